//! A run: a session with everything that it leaves behind in a folder. A crash at any moment leaves the last good checkpoint
//! intact, and so does a network whose numbers stop being finite.

use std::fs::File;
use std::ops::ControlFlow;
use std::sync::Arc;

use intrain_data::{Dataset, Part};
use intrain_nn::{Context, Plan};

use crate::config::{Config, Settings};
use crate::evaluation::optional_columns;
use crate::metrics::{MetricsFile, Row};
use crate::saved;
use crate::session::{Epoch, Listener, Session};
use crate::telemetry::{self, Events};
use crate::transfer::Taken;
use crate::{TrainError, atomic_write};

pub use crate::run_dir::RunDir;
pub use crate::session::Progress;
pub use crate::summary::{Ended, Summary};

/// Who watches a run.
pub trait Observer {
    /// After each step; `Break` ends the run with a checkpoint.
    fn step(&mut self, progress: &Progress) -> ControlFlow<()>;
    /// After each epoch's evaluation.
    fn epoch(&mut self, row: &Row);
    /// Something that a person should know.
    fn warn(&mut self, message: &str);
}

/// A run in progress.
pub struct Run {
    session: Session,
    dir: RunDir,
    metrics: MetricsFile,
    events: Events,
    /// Held as long as the run lives.
    lock: File,
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
        let session = Session::new(config, dataset, context)?;
        let lock = dir.lock()?;
        atomic_write(&dir.config(), session.config().to_toml()?.as_bytes())?;
        let columns = optional_columns(session.config(), session.plan(), session.dataset());
        let metrics = MetricsFile::create(&dir.metrics(), columns)?;
        let events = Events::create(&dir)?;
        Ok(Self { session, dir, metrics, events, lock })
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
        let dataset = config.settings.parted(dataset)?;
        let lock = dir.lock()?;
        let (state, tensors) = saved::read_checkpoint(&checkpoint, &config, &dataset)?;
        config.check_settings()?;
        let max_steps = config.settings.max_steps;
        if max_steps != 0 && max_steps < state.step {
            return Err(TrainError::Setting(format!(
                "max_steps = {max_steps} lies behind step {}, where the run is; ask for more steps",
                state.step
            )));
        }
        let mut session = Session::at_state(config, dataset, context, &state)?;
        if session.n_steps() < state.step {
            return Err(TrainError::Setting(format!(
                "epochs = {} end at step {}, behind which the run is (step {}); ask for more epochs",
                session.config().settings.epochs,
                session.n_steps(),
                state.step
            )));
        }
        saved::restore(&checkpoint, tensors, session.trainer_mut(), state.step)?;
        let columns = optional_columns(session.config(), session.plan(), session.dataset());
        let metrics = MetricsFile::resume(&dir.metrics(), state.step, columns)?;
        let mut events = Events::create(&dir)?;
        events.restarted_at(state.step + 1)?;
        // What it says is what was trained: a run that has ended all the same keeps what it says.
        if !session.is_done() {
            atomic_write(&dir.config(), session.config().to_toml()?.as_bytes())?;
        }
        Ok(Self { session, dir, metrics, events, lock })
    }

    /// Training images that each epoch leaves out, because they make no whole batch.
    #[must_use]
    pub fn n_left_out(&self) -> usize {
        let settings = &self.session.config().settings;
        settings.last_batch().n_left_out(self.session.dataset().train.len(), settings.batch_size)
    }

    /// The data, in the parts that the settings say.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        self.session.dataset()
    }

    /// What was taken from the file that it begins with, where there is one and nothing was resumed.
    #[must_use]
    pub const fn taken(&self) -> Option<&Taken> {
        self.session.taken()
    }

    /// Whether there is no step to do: it was resumed behind its end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.session.is_done()
    }

    /// The plan in force.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.session.plan()
    }

    /// Trains to the end, or until the observer breaks.
    ///
    /// # Errors
    /// What the system refuses while files are written, and [`TrainError::Diverged`] at the step where the loss, or before
    /// the checkpoint where a stored weight, is not finite; the last good checkpoint stays.
    pub fn train(self, observer: &mut dyn Observer) -> Result<Summary, TrainError> {
        let Self { mut session, dir, metrics, events, lock } = self;
        let mut folder = Folder { dir: &dir, metrics, events, observer };
        let fitted = session.fit(&mut folder);
        let interrupted = fitted.map_err(|error| kept(error, &dir, &session.config().settings))?;
        if !interrupted && session.verdicts().is_none() && !session.dataset().test.is_empty() {
            // It was resumed behind its end: the report shows the answers all the same.
            session.evaluate(Part::Test)?;
        }
        let summary = finish(&mut session, &dir, interrupted, observer);
        drop(lock);
        summary
    }
}

/// The folder of a run hears of its session, and passes on to the observer what it hears.
struct Folder<'a> {
    dir: &'a RunDir,
    metrics: MetricsFile,
    events: Events,
    observer: &'a mut dyn Observer,
}

impl Listener for Folder<'_> {
    fn step(&mut self, session: &Session, progress: &Progress) -> Result<ControlFlow<()>, TrainError> {
        let flow = self.observer.step(progress);
        let is_due = progress.step.is_multiple_of(session.config().settings.checkpoint_every);
        if (is_due || flow.is_break()) && !session.is_at_evaluation() {
            session.check_weights()?;
            session.checkpoint(&self.dir.last())?;
        }
        Ok(flow)
    }

    fn epoch(&mut self, session: &Session, epoch: &Epoch<'_>) -> Result<(), TrainError> {
        self.metrics.append(epoch.row, epoch.details)?;
        self.events.epoch(epoch.row, session.trainer(), epoch.details)?;
        if epoch.is_best {
            session.checkpoint(&self.dir.best())?;
        }
        session.checkpoint(&self.dir.last())?;
        self.observer.epoch(epoch.row);
        Ok(())
    }

    fn warn(&mut self, message: &str) {
        self.observer.warn(message);
    }
}

/// A run that diverged says which checkpoint is left, and how it begins anew: with an eighth of its learning rate, a power of two
/// where that has to be one.
fn kept(mut error: TrainError, dir: &RunDir, settings: &Settings) -> TrainError {
    if let TrainError::Diverged { checkpoint, again, .. } = &mut error {
        *checkpoint = Some(dir.last()).filter(|path| path.exists());
        let lower = (settings.learning_rate / 8.0).max(settings.cosine_floor);
        *again = Some(format!("intrain train {} --lr {lower}", dir.config().display()));
    }
    error
}

/// The model, the report, and what it all came to.
fn finish(
    session: &mut Session,
    dir: &RunDir,
    interrupted: bool,
    observer: &mut dyn Observer,
) -> Result<Summary, TrainError> {
    session.save(&dir.model())?;
    let session = &*session;
    let (config, trainer, progress) = (session.config(), session.trainer(), session.progress());
    let rows = crate::metrics::read(&dir.metrics())?;
    // A row of an earlier step would tell of other weights.
    let last = rows.last().filter(|row| row.step == trainer.steps());
    let summary = Summary {
        recipe: config.recipe.name.clone(),
        model: config.model.name.clone(),
        data: config.data.clone(),
        seed: config.settings.seed,
        epochs: u32::try_from(trainer.steps() / session.steps_per_epoch()).unwrap_or(u32::MAX),
        steps: trainer.steps(),
        train_loss: last.map_or(progress.loss, |row| row.train_loss),
        test_error: last.and_then(|row| row.test_error).unwrap_or(f64::NAN),
        running_test_error: last.and_then(|row| row.running_test_error),
        best_test_error: session.best_test_error(),
        test_top5_error: last.and_then(|row| row.test_top5_error),
        validation_error: last.and_then(|row| row.validation_error),
        best_validation_error: session.best_validation_error(),
        images_per_second: progress.images_per_second,
        weights_sha256: saved::weights_sha256(trainer.parameters()),
        run_dir: dir.0.clone(),
        interrupted,
        ended: session.ended(),
    };
    if let Err(error) = telemetry::write_report(dir, session, &rows, &summary) {
        observer.warn(&format!("no report: {error}"));
    }
    Ok(summary)
}
