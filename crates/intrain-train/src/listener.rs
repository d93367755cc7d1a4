//! Who hears of a session, and what it is told.

use std::ops::ControlFlow;

use crate::TrainError;
use crate::metrics::{Details, Row};
use crate::session::Session;

/// Where a session is, after a step.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Steps done, over the whole run.
    pub step: u64,
    /// Steps there will be.
    pub n_steps: u64,
    /// Epoch of the step, counted from 0.
    pub epoch: u32,
    /// Mean loss of an image over this epoch so far.
    pub loss: f64,
    /// Share of mistakes over this epoch so far.
    pub error: f64,
    /// Over the whole run, evaluation left out.
    pub images_per_second: f64,
}

/// What an epoch came to.
#[derive(Debug, Clone, Copy)]
pub struct Epoch<'a> {
    /// Its numbers.
    pub row: &'a Row,
    /// What the microscope saw on its last step.
    pub details: &'a Details,
    /// Whether the share of mistakes is lower than after every epoch before: on the images for validation, or on the test images
    /// where there are none.
    pub is_best: bool,
}

/// Who hears of a session. Every part may be left out; `()` hears nothing.
pub trait Listener {
    /// After each step; `Break` ends the session behind it.
    ///
    /// # Errors
    /// Whatever stands in the listener's way ends the session.
    fn step(&mut self, session: &Session, progress: &Progress) -> Result<ControlFlow<()>, TrainError> {
        let _ = (session, progress);
        Ok(ControlFlow::Continue(()))
    }

    /// After each epoch's evaluation, and after that of the last step.
    ///
    /// # Errors
    /// Whatever stands in the listener's way ends the session.
    fn epoch(&mut self, session: &Session, epoch: &Epoch<'_>) -> Result<(), TrainError> {
        let _ = (session, epoch);
        Ok(())
    }

    /// Something that a person should know.
    fn warn(&mut self, message: &str) {
        let _ = message;
    }
}

impl Listener for () {}
