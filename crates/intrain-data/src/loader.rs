//! Makes the batches to come on a thread of its own, while the step computes.
//!
//! The batches are those of [`TrainBatches`], bit for bit and in order; the thread only changes when they are made.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use crate::{Batch, Position, TrainBatches};

/// Batches that are ready before they are asked for.
const DEPTH: usize = 4;

/// An endless iterator over batches, epoch after epoch. The thread ends when this is dropped.
///
/// ```
/// use intrain_data::{Augment, DataFolders, Loader, Position, TrainBatches, load};
///
/// let dataset = load("digits", &DataFolders::new(None))?;
/// let batches = TrainBatches::new(dataset.into(), 64, 1, Augment::default())?;
/// let n_steps = batches.per_epoch();
/// let mut loader = Loader::start(batches, Position::default());
/// for batch in loader.by_ref().take(n_steps) {
///     assert_eq!((batch.len(), batch.images.len()), (64, 64 * 8 * 8));
/// }
/// # Ok::<(), intrain_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct Loader {
    /// `None` only while dropping.
    ready: Option<Receiver<Batch>>,
    used: Sender<Batch>,
    worker: Option<JoinHandle<()>>,
}

impl Loader {
    /// Starts the thread at a position.
    ///
    /// # Panics
    /// `start.batch` is not below [`TrainBatches::per_epoch`], or the system gives no thread.
    #[must_use]
    pub fn start(batches: TrainBatches, start: Position) -> Self {
        assert!(
            start.batch < batches.per_epoch(),
            "start at batch {} of {}",
            start.batch,
            batches.per_epoch()
        );
        let (ready_sender, ready) = sync_channel(DEPTH);
        let (used, used_receiver) = channel();
        let worker = std::thread::spawn(move || work(batches, start, &ready_sender, &used_receiver));
        Self { ready: Some(ready), used, worker: Some(worker) }
    }

    /// Gives a batch that was used back, so that its memory is used again. Need not be called.
    pub fn recycle(&self, batch: Batch) {
        // A worker that has ended needs no memory; `next` reports why it ended.
        let _ = self.used.send(batch);
    }
}

fn work(mut batches: TrainBatches, start: Position, ready: &SyncSender<Batch>, used: &Receiver<Batch>) {
    let mut position = start;
    loop {
        let mut batch = used.try_recv().unwrap_or_default();
        batches.fill(position, &mut batch);
        position = batches.next_position(position);
        if ready.send(batch).is_err() {
            return; // The loader was dropped.
        }
    }
}

impl Iterator for Loader {
    type Item = Batch;

    /// The next batch; never `None`.
    fn next(&mut self) -> Option<Batch> {
        let batch = self.ready.as_ref()?.recv().ok();
        if batch.is_none()
            && let Some(Err(panic)) = self.worker.take().map(JoinHandle::join)
        {
            std::panic::resume_unwind(panic);
        }
        batch
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // The worker's next send fails, and it ends.
        self.ready = None;
        if let Some(worker) = self.worker.take() {
            // A panic of the worker was reported by `next`, or nobody waits for its batch any more.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Augment;
    use std::sync::Arc;

    fn batches() -> TrainBatches {
        let dataset = Arc::new(crate::digits::load().unwrap());
        TrainBatches::new(dataset, 300, 5, Augment { pad: 2, flip: true }).unwrap()
    }

    #[test]
    fn gives_the_same_batches_from_any_start() {
        let mut direct = batches();
        for start in [Position::default(), Position { epoch: 2, batch: 3 }] {
            let mut position = start;
            let mut loader = Loader::start(batches(), start);
            for _ in 0..12 {
                let batch = loader.next().unwrap();
                assert_eq!(batch, direct.batch(position));
                position = direct.next_position(position);
                loader.recycle(batch);
            }
        }
    }

    #[test]
    fn dropping_ends_the_thread() {
        let dataset = Arc::new(crate::digits::load().unwrap());
        for taken in [0, 1, 7] {
            let batches = TrainBatches::new(Arc::clone(&dataset), 100, 0, Augment::default()).unwrap();
            let mut loader = Loader::start(batches, Position::default());
            for _ in 0..taken {
                loader.next().unwrap();
            }
            drop(loader);
            // The worker held the second reference.
            assert_eq!(Arc::strong_count(&dataset), 1);
        }
    }
}
