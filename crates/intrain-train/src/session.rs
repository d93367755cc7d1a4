//! A session: a run in memory. Epochs over a data set, with the recipe and the learning rate of each step, an evaluation after
//! each epoch, what the microscope saw, and warnings.
//!
//! It knows no folder and prints nothing: a [`Listener`] hears of every step and every epoch, and may end it. The run folder
//! (`run.rs`) is one; a program that trains without files needs none and passes `&mut ()`.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use intrain_data::{Batch, Dataset, Loader, Part};
use intrain_model::Shape;
use intrain_nn::{Context, Logits, Outcome, Plan};

use crate::TrainError;
use crate::begin;
use crate::config::Config;
use crate::divergence;
use crate::evaluation::{Evaluation, deploy, estimates_statistics};
use crate::metrics::Row;
use crate::microscope::Microscope;
use crate::saved;
use crate::signs::Signs;
use crate::silence::Silence;
use crate::step::Trainer;
use crate::summary::Ended;
use crate::sums::{Bests, Clock, EpochSums};
use crate::telemetry;
use crate::transfer::{self, Taken};
use crate::verdicts::Verdicts;

mod saving;

pub use crate::context::this_machine;
pub use crate::evaluation::EVALUATION_BATCH;
pub use crate::listener::{Epoch, Listener, Progress};
pub use crate::prove::prove;

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
    best: Bests,
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
    pub fn new(mut config: Config, dataset: Arc<Dataset>, context: Context) -> Result<Self, TrainError> {
        config.check_settings()?;
        config.check(dataset.shape, dataset.n_classes)?;
        let dataset = config.settings.parted(dataset)?;
        let notes = begin::choose_formats(&mut config, &dataset, &context)?;
        let mut session = Self::at_epoch(config, dataset, context, 0)?;
        let Self { trainer, config, dataset, .. } = &mut session;
        session.taken = begin::take_weights(trainer, config, dataset, notes)?;
        session.config.batches(Arc::clone(&session.dataset))?;
        saved::check_names(&session.trainer)?;
        if session.config.settings.patience > 0
            && session.dataset.part(session.dataset.chosen_by()).is_empty()
        {
            let reason = "patience counts evaluations, and the data has no test images; leave it out, or take images for \
                          validation (validation = 0.1)";
            return Err(TrainError::Setting(reason.to_owned()));
        }
        Ok(session)
    }

    /// The session that a checkpoint's state is of, before its tensors are restored; `dataset` has the parts that the settings say.
    pub(crate) fn at_state(
        config: Config,
        dataset: Arc<Dataset>,
        context: Context,
        state: &saved::State,
    ) -> Result<Self, TrainError> {
        let session = Self::at_epoch(config, dataset, context, state.epoch)?;
        let saved::State { sums, best, clock, .. } = *state;
        let best = best.going_on(session.n_steps() > state.step);
        Ok(Self { sums, best, clock, ..session })
    }

    fn at_epoch(
        config: Config,
        dataset: Arc<Dataset>,
        context: Context,
        epoch: u32,
    ) -> Result<Self, TrainError> {
        let per_epoch = config.settings.steps_per_epoch(dataset.train.len());
        config.settings.check_warmup(per_epoch)?;
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
            best: Bests::default(),
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
            best: self.best,
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

    /// The share of mistakes on the test images at the best evaluation: the lowest one, where there are no images for
    /// validation. Infinite before the first.
    #[must_use]
    pub const fn best_test_error(&self) -> f64 {
        self.best.now.test_error
    }

    /// The lowest share of mistakes on the images for validation, where there are some and they were evaluated.
    #[must_use]
    pub const fn best_validation_error(&self) -> Option<f64> {
        self.best.now.validation_error
    }

    /// Where it is. The epoch is that of the last step.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts of images and steps are far below 2^53")]
    pub fn progress(&self) -> Progress {
        let Outcome { loss, n_wrong, n } = self.sums.outcome;
        let step = self.trainer.steps();
        // Where nothing has been trained on, a loss would be 0 of 0.
        let share = |sum: f64| if n == 0 { f64::NAN } else { sum / n as f64 };
        Progress {
            step,
            n_steps: self.n_steps(),
            epoch: u32::try_from(step.saturating_sub(1) / self.steps_per_epoch()).unwrap_or(u32::MAX),
            loss: share(loss),
            error: share(n_wrong as f64),
            images_per_second: self.clock.images as f64 / self.clock.seconds.max(1e-9),
        }
    }

    /// Whether an evaluation belongs behind the last step.
    #[must_use]
    pub fn is_at_evaluation(&self) -> bool {
        let step = self.trainer.steps();
        step.is_multiple_of(self.steps_per_epoch()) || step == self.n_steps()
    }

    /// Whether all steps are done, or as many evaluations as the settings have `patience` have not lowered the best error.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.trainer.steps() >= self.n_steps() || self.has_lost_patience()
    }

    /// What ended it.
    pub(crate) fn ended(&self) -> Ended {
        let of = self.steps_per_epoch() * u64::from(self.config.settings.epochs);
        match self.trainer.steps() {
            _ if self.has_lost_patience() => Ended::Patience { evaluations: self.best.now.since },
            steps if steps >= of => Ended::Epochs,
            steps if steps >= self.n_steps() => Ended::MaxSteps { of },
            _ => Ended::NotYet,
        }
    }

    /// Whether the run ends because its error falls no more.
    const fn has_lost_patience(&self) -> bool {
        let patience = self.config.settings.patience;
        patience > 0 && self.best.now.since >= patience
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
        if self.n_steps() == 0 {
            // What it starts with is all there will be.
            self.end_epoch(0.0, listener)?;
        }
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
        let evaluations = if self.is_due() || self.trainer.steps() == self.n_steps() {
            [
                self.with_running_statistics()?,
                self.evaluation(Part::Test)?,
                self.evaluation(Part::Validation)?,
            ]
        } else {
            std::array::from_fn(|_| Evaluation::default())
        };
        let signs = match self.signs.take() {
            Some(signs) => signs,
            None => self.signs_at_start(listener),
        };
        let changed = signs.changed(self.trainer.plan(), self.trainer.parameters());
        self.signs = Some(signs);
        let row = self.row(rate, &evaluations, changed.all);
        let details = self.microscope.details(&self.trainer, &changed);
        let hyper = self.config.settings.hyper();
        if let Some(warning) =
            telemetry::warning(self.trainer.plan(), hyper, self.progress().epoch + 1, &details)
            && !std::mem::replace(&mut self.has_warned, true)
        {
            listener.warn(&warning);
        }
        if let Some(warning) = self.silence.warning(row.step, self.steps_per_epoch(), &evaluations[1].answers)
        {
            listener.warn(&warning);
        }
        if row.step.is_multiple_of(self.steps_per_epoch()) {
            self.sums = EpochSums::default();
        }
        let is_best = self.best.take(&row, self.is_due());
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

    /// Whether an evaluation follows the last step however long the run is; another one follows the last step of all.
    fn is_due(&self) -> bool {
        let every = self.steps_per_epoch() * u64::from(self.config.settings.evaluate_every);
        self.trainer.steps().is_multiple_of(every)
    }

    /// The numbers of an epoch that ends.
    #[allow(clippy::cast_precision_loss, reason = "counts of images and weights are far below 2^53")]
    fn row(&self, rate: f64, evaluations: &[Evaluation; 3], changed_signs: f64) -> Row {
        let (progress, updates) = (self.progress(), self.sums.updates);
        let [running, test, validation] = evaluations.each_ref().map(|evaluation| evaluation.shares);
        let of_updates = |count: u64| count as f64 / updates.n.max(1) as f64;
        Row {
            step: progress.step,
            epoch: u32::try_from(progress.step / self.steps_per_epoch()).unwrap_or(u32::MAX),
            learning_rate: rate,
            train_loss: progress.loss,
            train_error: progress.error,
            test_loss: test.loss,
            test_error: test.error,
            dead_updates: of_updates(updates.n_dead),
            saturated_weights: of_updates(updates.n_saturated),
            changed_signs,
            images_per_second: progress.images_per_second,
            seconds: self.clock.seconds,
            test_top5_error: test.top5_error,
            validation_loss: validation.loss,
            validation_error: validation.error,
            validation_top5_error: validation.top5_error,
            running_test_loss: running.loss,
            running_test_error: running.error,
        }
    }

    /// Loss and mistakes over a part of the data, with every rounding as the deployed model has it.
    ///
    /// # Errors
    /// None for data that a session holds.
    pub fn evaluate(&mut self, part: Part) -> Result<Outcome, TrainError> {
        Ok(self.evaluation(part)?.outcome)
    }

    fn evaluation(&mut self, part: Part) -> Result<Evaluation, TrainError> {
        deploy(&mut self.trainer, &self.config, &self.dataset)?;
        let mut evaluation = Evaluation::of(&mut self.trainer, &self.dataset, part)?;
        if part == Part::Test {
            self.verdicts = Some((self.trainer.steps(), std::mem::take(&mut evaluation.verdicts)));
        }
        Ok(evaluation)
    }

    /// The answers to the test images with the statistics of norms that training has kept, where the deployed network has others.
    fn with_running_statistics(&mut self) -> Result<Evaluation, TrainError> {
        if estimates_statistics(&self.config, self.plan()) && !self.trainer.has_estimated_statistics() {
            return Evaluation::of(&mut self.trainer, &self.dataset, Part::Test);
        }
        Ok(Evaluation::default())
    }

    /// The answers to the test images, where they were evaluated behind the last step.
    pub(crate) fn verdicts(&self) -> Option<&Verdicts> {
        self.verdicts.as_ref().filter(|(step, _)| *step == self.trainer.steps()).map(|(_, verdicts)| verdicts)
    }

    /// What the network answers to images of its size, `[n, height, width, channels]`, class by class and image by image, with
    /// every rounding as the deployed model has it.
    ///
    /// # Errors
    /// No image, or a number of bytes that is no whole number of images.
    pub fn logits(&mut self, images: &[u8]) -> Result<Logits, TrainError> {
        let Shape { h, w, c } = self.config.model.input.shape;
        let size = h * w * c;
        if images.is_empty() || !images.len().is_multiple_of(size) {
            return Err(TrainError::Setting(format!(
                "{} bytes are no whole number of images of {h}x{w}x{c}; give {size} bytes for each, and at least one image",
                images.len()
            )));
        }
        deploy(&mut self.trainer, &self.config, &self.dataset)?;
        self.trainer.logits(images.chunks(size * EVALUATION_BATCH))
    }

    /// What is not finite never reaches a checkpoint, the metrics or a model.
    pub(crate) fn check_weights(&self) -> Result<(), TrainError> {
        let (plan, [(_, momentum), _]) = (self.trainer.plan(), self.trainer.optimizer().moments());
        let of_weights = divergence::not_finite(plan, self.trainer.parameters());
        match of_weights.or_else(|| divergence::residual_not_finite(plan, momentum)) {
            Some(what) => Err(self.diverged(what)),
            None => Ok(()),
        }
    }

    /// The last step left the numbers.
    fn diverged(&self, what: String) -> TrainError {
        let (step, per_epoch) = (self.trainer.steps(), self.steps_per_epoch());
        let last = step.saturating_sub(1);
        let rate = self.config.settings.learning_rate_of_step(last, per_epoch);
        TrainError::Diverged { step, epoch: last / per_epoch + 1, what, checkpoint: None, rate, again: None }
    }
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
