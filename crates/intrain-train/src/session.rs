//! A session: a run in memory. Epochs over a data set, with the recipe and the learning rate of each step, an evaluation after
//! each epoch, what the microscope saw, and warnings.
//!
//! It knows no folder and prints nothing: a [`Listener`] hears of every step and every epoch, and may end it. The run folder
//! (`run.rs`) is one; a program that trains without files needs none and passes `&mut ()`.

mod evaluation;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use intrain_data::{Batch, Dataset, Loader};
use intrain_kernels::Isa;
use intrain_nn::{Context, Outcome, Plan};
use rayon::ThreadPoolBuilder;

use crate::TrainError;
use crate::config::Config;
use crate::divergence;
use crate::lost_updates;
use crate::metrics::Row;
use crate::microscope::Microscope;
use crate::saved::{self, OfRun};
use crate::signs::Signs;
use crate::silence::Silence;
use crate::step::Trainer;
use crate::summary::Ended;
use crate::sums::{Clock, EpochSums};
use crate::transfer::{self, Taken};
use crate::verdicts::Verdicts;

use self::evaluation::Evaluated;

pub(crate) use self::evaluation::RUNNING_TEST_ERROR;
#[cfg(test)]
pub(crate) use self::evaluation::RUNNING_TEST_LOSS;
pub use crate::listener::{Epoch, Listener, Progress};
pub use crate::prove::prove;

/// Images that are evaluated at a time, here and by the commands on trained networks.
pub const EVALUATION_BATCH: usize = 250;

/// A run in memory: model, recipe, settings and data, and the network that learns from them.
pub struct Session {
    config: Config,
    dataset: Arc<Dataset>,
    /// The data's, once a checkpoint needs it.
    fingerprint: OnceLock<String>,
    context: Context,
    trainer: Trainer,
    /// Epoch whose recipe is in force.
    epoch: u32,
    sums: EpochSums,
    best_test_error: f64,
    /// Evaluations since the best one.
    since_best: u32,
    /// The signs that weights started with; looked up at the end of the first epoch.
    signs: Option<Signs>,
    microscope: Microscope,
    silence: Silence,
    /// The answers to the test images when they were last evaluated, and the steps before.
    verdicts: Option<(u64, Verdicts)>,
    /// What was taken from the file that the run begins with.
    taken: Option<Taken>,
    /// Whether it was said that rounding loses updates; once is enough.
    has_warned: bool,
    /// Seconds and images of training proper, those before a restart included.
    clock: Clock,
}

impl Session {
    /// A session before its first step, with initial weights drawn from the seed of the settings.
    ///
    /// # Errors
    /// Everything that could go wrong later: shapes, widths, rows, data, and every learning rate of every epoch, proven against
    /// the largest gradient that there can be.
    pub fn new(config: Config, dataset: Arc<Dataset>, context: Context) -> Result<Self, TrainError> {
        config.check_settings()?;
        config.check(dataset.shape, dataset.n_classes)?;
        let mut session = Self::at_epoch(config, dataset, context, 0)?;
        let begun = transfer::start(&session.config, session.trainer.plan())?;
        if let (Some(init), (parameters, Some(taken))) = (&mut session.config.init, begun) {
            init.sha256 = Some(taken.sha256.clone());
            *session.trainer.restore().0 = parameters;
            session.taken = Some(taken);
        }
        session.config.batches(Arc::clone(&session.dataset))?;
        saved::check_names(&session.trainer)?;
        if session.config.settings.patience > 0 && session.dataset.test.is_empty() {
            let reason =
                "patience counts evaluations, and the data has no test images; leave it out".to_owned();
            return Err(TrainError::Setting(reason));
        }
        Ok(session)
    }

    /// The session that a checkpoint's state is of, before its tensors are restored.
    pub(crate) fn at_state(
        config: Config,
        dataset: Arc<Dataset>,
        context: Context,
        state: &saved::State,
    ) -> Result<Self, TrainError> {
        let session = Self::at_epoch(config, dataset, context, state.epoch)?;
        let saved::State { sums, best_test_error, since_best, clock, .. } = *state;
        Ok(Self { sums, best_test_error, since_best, clock, ..session })
    }

    fn at_epoch(
        config: Config,
        dataset: Arc<Dataset>,
        context: Context,
        epoch: u32,
    ) -> Result<Self, TrainError> {
        let per_epoch = config.settings.steps_per_epoch(dataset.train.len());
        prove(&config, epoch, per_epoch)?;
        let trainer = trainer_at(&config, epoch, context.clone())?;
        Ok(Self {
            config,
            dataset,
            fingerprint: OnceLock::new(),
            context,
            trainer,
            epoch,
            sums: EpochSums::default(),
            best_test_error: f64::INFINITY,
            since_best: 0,
            signs: None,
            microscope: Microscope::default(),
            silence: Silence::default(),
            verdicts: None,
            taken: None,
            has_warned: false,
            clock: Clock::default(),
        })
    }

    /// Where it is, besides its tensors.
    fn state(&self) -> saved::State {
        saved::State {
            epoch: self.epoch,
            step: self.trainer.steps(),
            sums: self.sums,
            best_test_error: self.best_test_error,
            since_best: self.since_best,
            clock: self.clock,
        }
    }

    /// What it was built from.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The data.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// What was taken from the file that it begins with, where there is one and nothing was resumed.
    #[must_use]
    pub const fn taken(&self) -> Option<&Taken> {
        self.taken.as_ref()
    }

    /// The network that learns.
    #[must_use]
    pub const fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    pub(crate) const fn trainer_mut(&mut self) -> &mut Trainer {
        &mut self.trainer
    }

    /// The plan in force.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.trainer.plan()
    }

    /// Epoch whose recipe is in force, counted from 0.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Steps of an epoch.
    #[must_use]
    pub fn steps_per_epoch(&self) -> u64 {
        self.config.settings.steps_per_epoch(self.dataset.train.len())
    }

    /// Steps at the end.
    #[must_use]
    pub fn n_steps(&self) -> u64 {
        let settings = &self.config.settings;
        let whole = self.steps_per_epoch() * u64::from(settings.epochs);
        if settings.max_steps == 0 { whole } else { whole.min(settings.max_steps) }
    }

    /// The lowest share of mistakes on the test images after an epoch; infinite before the first.
    #[must_use]
    pub const fn best_test_error(&self) -> f64 {
        self.best_test_error
    }

    /// Where it is. The epoch is that of the last step.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts of images and steps are far below 2^53")]
    pub fn progress(&self) -> Progress {
        let Outcome { loss, n_wrong, n } = self.sums.outcome;
        let step = self.trainer.steps();
        Progress {
            step,
            n_steps: self.n_steps(),
            epoch: u32::try_from(step.saturating_sub(1) / self.steps_per_epoch()).unwrap_or(u32::MAX),
            loss: loss / n.max(1) as f64,
            error: n_wrong as f64 / n.max(1) as f64,
            images_per_second: self.clock.images as f64 / self.clock.seconds.max(1e-9),
        }
    }

    /// Whether an evaluation belongs behind the last step.
    #[must_use]
    pub fn is_at_evaluation(&self) -> bool {
        let step = self.trainer.steps();
        step.is_multiple_of(self.steps_per_epoch()) || step == self.n_steps()
    }

    /// Whether all steps are done, or as many evaluations as the settings have `patience` have not lowered the best test error.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.trainer.steps() >= self.n_steps() || self.has_lost_patience()
    }

    /// What ended it.
    pub(crate) fn ended(&self) -> Ended {
        let of = self.steps_per_epoch() * u64::from(self.config.settings.epochs);
        match self.trainer.steps() {
            _ if self.has_lost_patience() => Ended::Patience { evaluations: self.since_best },
            steps if steps >= of => Ended::Epochs,
            steps if steps >= self.n_steps() => Ended::MaxSteps { of },
            _ => Ended::NotYet,
        }
    }

    /// Whether the run ends because its test error falls no more.
    const fn has_lost_patience(&self) -> bool {
        let patience = self.config.settings.patience;
        patience > 0 && self.since_best >= patience
    }

    /// Trains to the end, or until the listener breaks; says whether the listener ended it. The next call goes on from there.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] at the step where the loss, or at the evaluation where a stored weight, is not finite; and
    /// what the listener says.
    pub fn fit(&mut self, listener: &mut dyn Listener) -> Result<bool, TrainError> {
        let batches = self.config.batches(Arc::clone(&self.dataset))?;
        let start = batches.position_of_step(self.trainer.steps());
        let mut loader = Loader::start(batches, start);
        let mut flow = ControlFlow::Continue(());
        while !self.is_done() && flow.is_continue() {
            let Some(batch) = loader.next() else { break };
            let rate = self.step(&batch)?;
            loader.recycle(batch);
            flow = listener.step(self, &self.progress())?;
            if self.is_at_evaluation() {
                self.end_epoch(rate, listener)?;
            }
        }
        Ok(flow.is_break())
    }

    /// One step; gives its learning rate.
    fn step(&mut self, batch: &Batch) -> Result<f64, TrainError> {
        let (step, per_epoch) = (self.trainer.steps(), self.steps_per_epoch());
        if step.is_multiple_of(per_epoch) {
            self.enter_epoch(u32::try_from(step / per_epoch).unwrap_or(u32::MAX))?;
        }
        let end = ((step / per_epoch + 1) * per_epoch).min(self.n_steps());
        self.microscope.before_step(&mut self.trainer, end - 1);
        let rate = self.config.settings.learning_rate_of_step(step, per_epoch);
        let began = Instant::now();
        let (outcome, updates) = self.trainer.step(batch, rate);
        self.clock.seconds += began.elapsed().as_secs_f64();
        self.clock.images += batch.len() as u64;
        self.sums =
            EpochSums { outcome: self.sums.outcome.and(outcome), updates: self.sums.updates.and(updates) };
        if !outcome.loss.is_finite() {
            return Err(self.diverged(format!("the loss is {}", outcome.loss)));
        }
        let n_classes = self.plan().loss.n_classes;
        self.silence.after_step(self.trainer.steps(), &self.trainer.last_logits(), n_classes);
        Ok(rate)
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

    fn end_epoch(&mut self, rate: f64, listener: &mut dyn Listener) -> Result<(), TrainError> {
        self.check_weights()?;
        let Evaluated { running, test, answers } = self.evaluate_epoch()?;
        let signs = match self.signs.take() {
            Some(signs) => signs,
            None => self.signs_at_start(listener),
        };
        let changed = signs.changed(self.trainer.plan(), self.trainer.parameters());
        self.signs = Some(signs);
        let row = self.row(rate, test, changed.all);
        let mut details = self.microscope.details(&self.trainer, &changed);
        details.extend(self.of_running_statistics(running));
        let hyper = self.config.settings.hyper();
        if let Some(warning) = lost_updates::warning(self.trainer.plan(), hyper, &row, &details)
            && !std::mem::replace(&mut self.has_warned, true)
        {
            listener.warn(&warning);
        }
        if let Some(warning) = self.silence.warning(row.step, self.steps_per_epoch(), &answers) {
            listener.warn(&warning);
        }
        if row.step.is_multiple_of(self.steps_per_epoch()) {
            self.sums = EpochSums::default();
        }
        let is_best = row.test_error.is_some_and(|error| error < self.best_test_error);
        if is_best {
            self.best_test_error = row.test_error.unwrap_or(self.best_test_error);
        }
        self.since_best = if is_best { 0 } else { self.since_best + u32::from(row.test_error.is_some()) };
        listener.epoch(self, &Epoch { row: &row, details: &details, is_best })
    }

    /// The signs that weights started with.
    fn signs_at_start(&self, listener: &mut dyn Listener) -> Signs {
        let start = transfer::start(&self.config, self.trainer.plan());
        start.map_or_else(
            |error| {
                listener.warn(&format!("changed signs are counted from here on: {error}"));
                Signs::of(self.trainer.parameters())
            },
            |(parameters, _)| Signs::of(&parameters),
        )
    }

    /// Whether the test images follow the last step: the epoch is one that is evaluated, or the run ends.
    fn is_evaluated(&self) -> bool {
        let epochs = self.trainer.steps().div_ceil(self.steps_per_epoch());
        let is_due = epochs.is_multiple_of(self.config.settings.evaluate_every.into());
        is_due || self.trainer.steps() == self.n_steps()
    }

    /// The numbers of an epoch that ends.
    #[allow(clippy::cast_precision_loss, reason = "counts of images and weights are far below 2^53")]
    fn row(&self, rate: f64, test: Outcome, changed_signs: f64) -> Row {
        let (progress, updates) = (self.progress(), self.sums.updates);
        let of_test = |sum: f64| (test.n > 0).then(|| sum / test.n as f64);
        let of_updates = |count: u64| count as f64 / updates.n.max(1) as f64;
        Row {
            step: progress.step,
            epoch: u32::try_from(progress.step / self.steps_per_epoch()).unwrap_or(u32::MAX),
            learning_rate: rate,
            train_loss: progress.loss,
            train_error: progress.error,
            test_loss: of_test(test.loss),
            test_error: of_test(test.n_wrong as f64),
            dead_updates: of_updates(updates.n_dead),
            saturated_weights: of_updates(updates.n_saturated),
            changed_signs,
            images_per_second: progress.images_per_second,
            seconds: self.clock.seconds,
        }
    }

    /// Writes the network as a run does its `model.safetensors`, in place of what was there; `intrain eval` and
    /// [`saved::read_model`] read it.
    ///
    /// # Errors
    /// A stored weight that is not finite, and what the system refuses.
    pub fn save(&mut self, path: &Path) -> Result<(), TrainError> {
        self.check_weights()?;
        self.estimate_statistics()?;
        saved::write_model(path, self.of_run(), self.epoch, self.plan(), self.trainer.deployed())
    }

    /// Writes a checkpoint to go on from, in place of the one that was there.
    pub(crate) fn checkpoint(&self, path: &Path) -> Result<(), TrainError> {
        let fingerprint = self.fingerprint.get_or_init(|| self.dataset.fingerprint());
        saved::write_checkpoint(path, (self.of_run(), fingerprint), &self.trainer, &self.state())
    }

    fn of_run(&self) -> OfRun<'_> {
        OfRun { config: &self.config, classes: &self.dataset.class_names }
    }

    /// What is not finite never reaches a checkpoint, the metrics or a model.
    pub(crate) fn check_weights(&self) -> Result<(), TrainError> {
        match divergence::not_finite(self.trainer.plan(), self.trainer.parameters()) {
            Some(what) => Err(self.diverged(what)),
            None => Ok(()),
        }
    }

    /// The last step left the numbers.
    fn diverged(&self, what: String) -> TrainError {
        let (step, per_epoch) = (self.trainer.steps(), self.steps_per_epoch());
        let last = step.saturating_sub(1);
        let rate = self.config.settings.learning_rate_of_step(last, per_epoch);
        TrainError::Diverged { step, epoch: last / per_epoch + 1, what, checkpoint: None, rate }
    }
}

/// The best kernels that this CPU has, on so many threads; 0 is one for each CPU.
///
/// # Errors
/// The system gives no threads.
pub fn this_machine(threads: usize) -> Result<Context, TrainError> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool =
        pool.map_err(|e| TrainError::Setting(format!("{threads} threads: {e}; ask for fewer, at least 1")))?;
    Ok(Context { isa: Isa::best(), threads: Arc::new(pool), machine: None })
}

/// A trainer for the recipe as it holds in `epoch`.
///
/// # Errors
/// As [`Plan::build`] and [`Trainer::new`].
fn trainer_at(config: &Config, epoch: u32, context: Context) -> Result<Trainer, TrainError> {
    let settings = &config.settings;
    let plan = Plan::build(&config.model, &config.recipe.at_epoch(epoch), settings.batch_size)?;
    Trainer::new(plan, settings.hyper(), settings.seed, context)
}
