//! A run: epochs over the data, with everything that it leaves behind. A crash at any moment leaves the last good checkpoint
//! intact, and so does a network whose numbers stop being finite.

mod dir;

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use intrain_data::{Dataset, Loader, Part, TrainBatches, evaluation};
use intrain_nn::{Context, Outcome, Plan};

use crate::config::Config;
use crate::divergence;
use crate::metrics::{MetricsFile, Row};
use crate::microscope::Microscope;
use crate::saved;
use crate::signs::Signs;
use crate::step::Trainer;
use crate::telemetry::{self, Events};
use crate::update::{self, UpdateStats};
use crate::{TrainError, atomic_write};

pub use dir::RunDir;

/// Images that are evaluated at a time.
const EVALUATION_BATCH: usize = 250;

/// Where a run is, after a step.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Steps done, over the whole run.
    pub step: u64,
    /// Steps there will be.
    pub n_steps: u64,
    /// Epoch, counted from 0.
    pub epoch: u32,
    /// Mean loss of an image over this epoch so far.
    pub loss: f64,
    /// Share of mistakes over this epoch so far.
    pub error: f64,
    /// Over the whole run, evaluation left out.
    pub images_per_second: f64,
}

/// Who watches a run.
pub trait Observer {
    /// After each step; `Break` ends the run with a checkpoint.
    fn step(&mut self, progress: &Progress) -> ControlFlow<()>;
    /// After each epoch's evaluation.
    fn epoch(&mut self, row: &Row);
    /// Something that a person should know.
    fn warn(&mut self, message: &str);
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Name of the recipe.
    pub recipe: String,
    /// Name of the model.
    pub model: String,
    /// Name of the data.
    pub data: String,
    /// Seed.
    pub seed: u64,
    /// Whole epochs done.
    pub epochs: u32,
    /// Steps done.
    pub steps: u64,
    /// Mean loss of an image over the last epoch.
    pub train_loss: f64,
    /// Share of mistakes on the test images; not a number where a run was stopped since the last evaluation.
    pub test_error: f64,
    /// The lowest share of mistakes after an epoch; infinite before the first.
    pub best_test_error: f64,
    /// Training speed, evaluation left out.
    pub images_per_second: f64,
    /// SHA-256 over all stored weights and biases in layer order, little-endian.
    pub weights_sha256: String,
    /// Where everything lies.
    pub run_dir: PathBuf,
    /// Whether the observer ended it early.
    pub interrupted: bool,
}

/// What an epoch has come to so far; part of a checkpoint, so that a resumed epoch reports the same numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct EpochSums {
    pub(crate) outcome: Outcome,
    pub(crate) updates: UpdateStats,
}

/// A run in progress.
pub struct Run {
    config: Config,
    dataset: Arc<Dataset>,
    context: Context,
    dir: RunDir,
    trainer: Trainer,
    /// Epoch whose recipe is in force.
    epoch: u32,
    sums: EpochSums,
    best_test_error: f64,
    metrics: MetricsFile,
    events: Events,
    /// The signs that weights started with; looked up at the end of the first epoch.
    signs: Option<Signs>,
    microscope: Microscope,
    /// Seconds and images of training proper, those before a restart included.
    clock: Clock,
    /// Held as long as the run lives.
    _lock: File,
}

/// Time of training proper: loading and evaluation left out.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Clock {
    pub(crate) seconds: f64,
    pub(crate) images: u64,
}

impl Run {
    /// Starts a run in a new folder.
    ///
    /// # Errors
    /// Everything that could go wrong later: shapes, widths, rows, data; and what the system refuses.
    pub fn start(
        config: Config,
        dataset: Arc<Dataset>,
        context: Context,
        dir: RunDir,
    ) -> Result<Self, TrainError> {
        config.check(dataset.shape, dataset.n_classes)?;
        let trainer = trainer_at(&config, 0, context.clone())?;
        TrainBatches::new(
            dataset.clone(),
            config.settings.batch_size,
            config.settings.seed,
            config.settings.augment(),
        )?;
        let lock = dir.lock()?;
        atomic_write(&dir.config(), config.to_toml()?.as_bytes())?;
        let (metrics, events) = (MetricsFile::create(&dir.metrics())?, Events::create(&dir)?);
        let sums = EpochSums::default();
        let best_test_error = f64::INFINITY;
        Ok(Self {
            config,
            dataset,
            context,
            dir,
            trainer,
            epoch: 0,
            sums,
            best_test_error,
            metrics,
            events,
            signs: None,
            microscope: Microscope::default(),
            clock: Clock::default(),
            _lock: lock,
        })
    }

    /// Goes on from the last checkpoint of `dir`. Another `max_steps` in `config` is written down there.
    ///
    /// # Errors
    /// A checkpoint that is missing, damaged, or of another run; and as [`Run::start`].
    pub fn resume(
        config: Config,
        dataset: Arc<Dataset>,
        context: Context,
        dir: RunDir,
    ) -> Result<Self, TrainError> {
        let checkpoint = if dir.last().exists() { dir.last() } else { dir.best() };
        if !checkpoint.exists() {
            // The run was stopped before its first checkpoint: it begins again.
            dir.check_unstarted()?;
            return Self::start(config, dataset, context, dir);
        }
        config.check(dataset.shape, dataset.n_classes)?;
        let lock = dir.lock()?;
        let (state, tensors) = saved::read_checkpoint(&checkpoint, &config, &dataset)?;
        let max_steps = config.settings.max_steps;
        if max_steps != 0 && max_steps < state.step {
            return Err(TrainError::Setting(format!(
                "max_steps = {max_steps} lies behind step {}, where the run is; ask for more steps",
                state.step
            )));
        }
        let mut trainer = trainer_at(&config, state.epoch, context.clone())?;
        saved::restore(&checkpoint, tensors, &mut trainer, state.step)?;
        let (metrics, mut events) = (MetricsFile::resume(&dir.metrics(), state.step)?, Events::create(&dir)?);
        events.restarted_at(state.step + 1)?;
        atomic_write(&dir.config(), config.to_toml()?.as_bytes())?;
        Ok(Self {
            config,
            dataset,
            context,
            dir,
            trainer,
            epoch: state.epoch,
            sums: state.sums,
            best_test_error: state.best_test_error,
            metrics,
            events,
            signs: None,
            microscope: Microscope::default(),
            clock: state.clock,
            _lock: lock,
        })
    }

    /// The plan in force.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.trainer.plan()
    }

    /// Trains to the end, or until the observer breaks.
    ///
    /// # Errors
    /// What the system refuses while files are written, and [`TrainError::Diverged`] at the step where the loss, or before
    /// the checkpoint where a stored weight, is not finite; the last good checkpoint stays.
    pub fn train(mut self, observer: &mut dyn Observer) -> Result<Summary, TrainError> {
        let settings = self.config.settings.clone();
        let batches =
            TrainBatches::new(self.dataset.clone(), settings.batch_size, settings.seed, settings.augment())?;
        let per_epoch = self.per_epoch();
        let whole = per_epoch * u64::from(settings.epochs);
        let n_steps = if settings.max_steps == 0 { whole } else { whole.min(settings.max_steps) };
        let start = batches.position_of_step(self.trainer.steps());
        let mut loader = Loader::start(batches, start);
        let mut interrupted = false;
        while self.trainer.steps() < n_steps && !interrupted {
            let Some(batch) = loader.next() else { break };
            let epoch = u32::try_from(self.trainer.steps() / per_epoch).unwrap_or(u32::MAX);
            if self.trainer.steps().is_multiple_of(per_epoch) {
                self.enter_epoch(epoch)?;
            }
            let end = ((self.trainer.steps() / per_epoch + 1) * per_epoch).min(n_steps);
            self.microscope.before_step(&mut self.trainer, end - 1);
            let rate = settings.learning_rate_of_step(self.trainer.steps(), per_epoch);
            let began = Instant::now();
            let (outcome, updates) = self.trainer.step(&batch, rate);
            self.clock.seconds += began.elapsed().as_secs_f64();
            self.clock.images += batch.len() as u64;
            self.sums = EpochSums {
                outcome: self.sums.outcome.and(outcome),
                updates: self.sums.updates.and(updates),
            };
            loader.recycle(batch);
            if !outcome.loss.is_finite() {
                return Err(self.diverged(format!("the loss is {}", outcome.loss)));
            }
            let step = self.trainer.steps();
            interrupted = observer.step(&self.progress(n_steps, epoch)).is_break();
            if step.is_multiple_of(per_epoch) || step == n_steps {
                self.end_epoch(epoch, rate, observer)?;
            } else if step.is_multiple_of(settings.checkpoint_every) || interrupted {
                self.check_weights()?;
                self.checkpoint(&self.dir.last())?;
            }
        }
        self.finish(interrupted, observer)
    }

    /// A recipe may switch formats at an epoch: the network is planned anew and the stored weights move, exactly
    /// where the new step is finer.
    fn enter_epoch(&mut self, epoch: u32) -> Result<(), TrainError> {
        self.epoch = epoch;
        if epoch == 0 || self.config.recipe.at_epoch(epoch) == self.config.recipe.at_epoch(epoch - 1) {
            return Ok(());
        }
        let mut next = trainer_at(&self.config, epoch, self.context.clone())?;
        saved::move_parameters(&self.trainer, &mut next);
        self.trainer = next;
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of images and steps are far below 2^53")]
    fn progress(&self, n_steps: u64, epoch: u32) -> Progress {
        let Outcome { loss, n_wrong, n } = self.sums.outcome;
        Progress {
            step: self.trainer.steps(),
            n_steps,
            epoch,
            loss: loss / n.max(1) as f64,
            error: n_wrong as f64 / n.max(1) as f64,
            images_per_second: self.clock.images as f64 / self.clock.seconds.max(1e-9),
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of images and weights are far below 2^53")]
    fn end_epoch(&mut self, epoch: u32, rate: f64, observer: &mut dyn Observer) -> Result<(), TrainError> {
        self.check_weights()?;
        let batches = evaluation(&self.dataset, Part::Test, EVALUATION_BATCH)?;
        let test = self.trainer.evaluate(batches);
        let progress = self.progress(self.trainer.steps(), epoch);
        let updates = self.sums.updates;
        let (plan, seed) = (self.trainer.plan(), self.config.settings.seed);
        let signs = self.signs.get_or_insert_with(|| Signs::at_start(plan, seed));
        let changed = signs.changed(plan, self.trainer.parameters());
        let test_error = test.n_wrong as f64 / test.n.max(1) as f64;
        let (step, per_epoch) = (self.trainer.steps(), self.per_epoch());
        let row = Row {
            step,
            epoch: u32::try_from(step / per_epoch).unwrap_or(u32::MAX),
            learning_rate: rate,
            train_loss: progress.loss,
            train_error: progress.error,
            test_loss: Some(test.loss / test.n.max(1) as f64),
            test_error: Some(test_error),
            dead_updates: updates.n_dead as f64 / updates.n.max(1) as f64,
            saturated_weights: updates.n_saturated as f64 / updates.n.max(1) as f64,
            changed_signs: changed.all,
            images_per_second: progress.images_per_second,
            seconds: self.clock.seconds,
        };
        let details = self.microscope.details(&self.trainer, &changed);
        if let Some(warning) = telemetry::warning(self.trainer.plan(), &row, &details) {
            observer.warn(&warning);
        }
        self.metrics.append(&row, &details)?;
        self.events.epoch(&row, &self.trainer, &details)?;
        if step.is_multiple_of(per_epoch) {
            self.sums = EpochSums::default();
        }
        if test_error < self.best_test_error {
            self.best_test_error = test_error;
            self.checkpoint(&self.dir.best())?;
        }
        self.checkpoint(&self.dir.last())?;
        observer.epoch(&row);
        Ok(())
    }

    /// What is not finite never reaches a checkpoint, the metrics or a model.
    fn check_weights(&self) -> Result<(), TrainError> {
        match divergence::not_finite(self.trainer.plan(), self.trainer.parameters()) {
            Some(what) => Err(self.diverged(what)),
            None => Ok(()),
        }
    }

    /// The last step left the numbers.
    fn diverged(&self, what: String) -> TrainError {
        let (step, per_epoch) = (self.trainer.steps(), self.per_epoch());
        let last = step.saturating_sub(1);
        TrainError::Diverged {
            step,
            epoch: last / per_epoch + 1,
            what,
            checkpoint: Some(self.dir.last()).filter(|path| path.exists()),
            rate: self.config.settings.learning_rate_of_step(last, per_epoch),
        }
    }

    fn checkpoint(&self, path: &Path) -> Result<(), TrainError> {
        let state = saved::State {
            epoch: self.epoch,
            step: self.trainer.steps(),
            sums: self.sums,
            best_test_error: self.best_test_error,
            clock: self.clock,
        };
        saved::write_checkpoint(path, (&self.config, &self.dataset), &self.trainer, &state)
    }

    fn per_epoch(&self) -> u64 {
        (self.dataset.train.len() / self.config.settings.batch_size).max(1) as u64
    }

    fn finish(self, interrupted: bool, observer: &mut dyn Observer) -> Result<Summary, TrainError> {
        let (plan, parameters) = (self.trainer.plan(), self.trainer.parameters());
        saved::write_model(&self.dir.model(), &self.config, self.epoch, plan, parameters)?;
        let rows = crate::metrics::read(&self.dir.metrics())?;
        // A row of an earlier step would tell of other weights.
        let last = rows.last().filter(|row| row.step == self.trainer.steps());
        let summary = Summary {
            recipe: self.config.recipe.name.clone(),
            model: self.config.model.name.clone(),
            data: self.config.data.clone(),
            seed: self.config.settings.seed,
            epochs: u32::try_from(self.trainer.steps() / self.per_epoch()).unwrap_or(u32::MAX),
            steps: self.trainer.steps(),
            train_loss: last.map_or(self.progress(0, 0).loss, |row| row.train_loss),
            test_error: last.and_then(|row| row.test_error).unwrap_or(f64::NAN),
            best_test_error: self.best_test_error,
            images_per_second: self.progress(0, 0).images_per_second,
            weights_sha256: saved::weights_sha256(self.trainer.parameters()),
            run_dir: self.dir.0.clone(),
            interrupted,
        };
        if let Err(error) = telemetry::write_report(&self.dir, &self.config, &self.trainer, &rows, &summary) {
            observer.warn(&format!("no report: {error}"));
        }
        Ok(summary)
    }
}

/// A trainer for the recipe as it holds in `epoch`.
///
/// # Errors
/// As [`Plan::build`] and [`Trainer::new`].
fn trainer_at(config: &Config, epoch: u32, context: Context) -> Result<Trainer, TrainError> {
    let settings = &config.settings;
    let hyper = settings.hyper();
    let plan = Plan::build(&config.model, &config.recipe.at_epoch(epoch), settings.batch_size)?;
    // Every format that the run will switch to, and every rate, is proven before its first step.
    let mut in_force = (config.recipe.at_epoch(epoch), plan.clone());
    for (later, rate) in (0..settings.epochs).zip(settings.learning_rates()).skip(epoch as usize) {
        let recipe = config.recipe.at_epoch(later);
        if recipe != in_force.0 {
            let plan = Plan::build(&config.model, &recipe, settings.batch_size)?;
            in_force = (recipe, plan);
        }
        update::check(&in_force.1, hyper, rate)?;
    }
    Trainer::new(plan, hyper, settings.seed, context)
}
