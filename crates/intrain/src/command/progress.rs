//! How a run looks while it goes: a bar on a terminal, plain lines elsewhere; Ctrl-C ends it after the step.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::train::metrics::Row;
use crate::train::run::{Observer, Progress};
use indicatif::{ProgressBar, ProgressStyle};

use crate::command::output::{grouped, percent, say, speed};
use crate::command::signals;
pub(crate) use crate::command::signals::INTERRUPTED;

/// Without a terminal a line comes after each epoch, and after this time.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Watches a run for a person.
pub(crate) struct Watcher {
    n_epochs: u32,
    /// Epoch of the last step, counted from 1.
    epoch: u32,
    stop: Arc<AtomicBool>,
    bar: Option<ProgressBar>,
    /// When the last line was written.
    said: Instant,
    /// When the run, or its resumption, was at which step.
    began: Option<(Instant, u64)>,
}

impl Watcher {
    /// Watches a run of `n_epochs`, and takes over Ctrl-C: the first ends the run after its step, the second at once.
    ///
    /// # Errors
    /// The system refuses a signal handler.
    pub(crate) fn new(n_epochs: u32) -> anyhow::Result<Self> {
        let stop = signals::watch()?;
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} [{wide_bar}] {pos}/{len} {msg}, {eta} left");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Ok(Self { n_epochs, epoch: 1, stop, bar, said: Instant::now(), began: None })
    }

    /// Watches the next run, of so many epochs.
    pub(crate) fn begin(&mut self, n_epochs: u32) {
        (self.n_epochs, self.began, self.said) = (n_epochs, None, Instant::now());
        if let Some(bar) = &self.bar {
            bar.reset();
            bar.set_length(0);
        }
    }

    fn tell(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(line)),
            None => say(line),
        }
    }
}

impl Observer for Watcher {
    fn step(&mut self, progress: &Progress) -> ControlFlow<()> {
        let Progress { step, n_steps, epoch, loss, error, images_per_second } = *progress;
        let (began, first) = *self.began.get_or_insert((Instant::now(), step));
        self.epoch = epoch + 1;
        let epoch = format!("epoch {}/{}", self.epoch, self.n_epochs);
        let message = || format!("loss {loss:.4}, error {}, {}", percent(error), speed(images_per_second));
        match &self.bar {
            Some(bar) => {
                if bar.length() != Some(n_steps) {
                    // A resumed run starts in the middle: only what is done from here on says how long it takes.
                    bar.set_length(n_steps);
                    bar.set_position(step);
                    bar.reset_eta();
                }
                bar.set_prefix(epoch);
                bar.set_message(message());
                bar.set_position(step);
            }
            None if self.said.elapsed() > BETWEEN_LINES => {
                self.said = Instant::now();
                #[allow(clippy::cast_precision_loss, reason = "whole seconds are shown")]
                let left =
                    began.elapsed().as_secs_f64() * (n_steps - step) as f64 / (step - first).max(1) as f64;
                say(&format!(
                    "{epoch}, step {} of {}, {}, {left:.0} s left",
                    grouped(step),
                    grouped(n_steps),
                    message()
                ));
            }
            None => {}
        }
        if self.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn epoch(&mut self, row: &Row) {
        // What is evaluated without a step is told at the end.
        if row.step == 0 {
            return;
        }
        let parts = [("validation", row.validation_error), ("test", row.test_error)];
        let evaluated =
            |(part, error): (&str, Option<f64>)| Some(format!(", {part} error {}", percent(error?)));
        let evaluated: String = parts.into_iter().filter_map(evaluated).collect();
        self.tell(&format!(
            "epoch {}/{}, step {}, loss {:.4}, error {}{evaluated}, {}",
            self.epoch,
            self.n_epochs,
            grouped(row.step),
            row.train_loss,
            percent(row.train_error),
            speed(row.images_per_second)
        ));
        self.said = Instant::now();
    }

    fn warn(&mut self, message: &str) {
        self.tell(&format!("warning: {message}"));
    }
}
