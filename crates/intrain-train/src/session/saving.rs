//! What of a session goes into files: the network as it is deployed, and the state to go on from.

use std::path::Path;

use intrain_data::Dataset;

use super::Session;
use crate::TrainError;
use crate::checkpoint::NamedTensor;
use crate::evaluation::deploy;
use crate::saved::{self, OfRun};

impl Session {
    /// Writes the network as a run does its `model.safetensors`, in place of what was there; `intrain eval` and
    /// [`saved::read_model`] read it.
    ///
    /// # Errors
    /// A stored weight that is not finite, and what the system refuses.
    pub fn save(&mut self, path: &Path) -> Result<(), TrainError> {
        self.check_weights()?;
        deploy(&mut self.trainer, &self.config, &self.dataset)?;
        saved::write_model(path, self.of_run(), self.epoch, self.plan(), self.trainer.deployed())
    }

    /// The tensors that [`save`](Self::save) writes.
    ///
    /// # Errors
    /// As [`logits`](Self::logits), but for the images.
    pub fn tensors(&mut self) -> Result<Vec<NamedTensor>, TrainError> {
        deploy(&mut self.trainer, &self.config, &self.dataset)?;
        Ok(saved::model_tensors(self.plan(), self.trainer.deployed()))
    }

    /// Writes a checkpoint to go on from, in place of the one that was there.
    pub(crate) fn checkpoint(&self, path: &Path) -> Result<(), TrainError> {
        let fingerprint = self.fingerprint.get_or_init(|| self.dataset.fingerprint());
        saved::write_checkpoint(path, (self.of_run(), fingerprint), &self.trainer, &self.state())
    }

    fn of_run(&self) -> OfRun<'_> {
        let Dataset { class_names, encoder, .. } = &*self.dataset;
        OfRun { config: &self.config, classes: class_names, encoder: encoder.as_ref() }
    }
}
