//! Cuts a data set into batches: where the files end and the training step begins.
//!
//! The batch at a [`Position`] is a pure function of (seed, epoch, index), whatever was asked for before; so a run
//! goes on after a restart exactly where it was, and the thread that prefetches cannot change it.

#![allow(
    clippy::cast_possible_truncation,
    reason = "numbers of images and batches are cast, and are bounded"
)]

use std::sync::Arc;

use intrain_num::random::{Purpose, Stream};

use crate::{Augment, DataError, Dataset, Part, augment};

/// Images and labels of one step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Where in the run it belongs.
    pub position: Position,
    /// Pixels, `[len, height, width, channels]`, 0 to 255.
    pub images: Vec<u8>,
    /// Class of each image.
    pub labels: Vec<u16>,
    /// Index of each image in its part of the data set.
    pub indices: Vec<u32>,
}

impl Batch {
    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True without images.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// A place in a run, counted from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Times that the training images were gone through before.
    pub epoch: u64,
    /// Batch of the epoch.
    pub batch: usize,
}

/// The order of the images in an epoch: a permutation of `0..n_images`, by Fisher and Yates.
///
/// For `i` from the last image down to 1, image `i` changes places with image `below(i, i + 1)` of the stream
/// (seed, `Shuffle`, layer 0, step = epoch).
#[must_use]
pub fn order_of_epoch(seed: u64, epoch: u64, n_images: u32) -> Vec<u32> {
    let stream = Stream::new(seed, Purpose::Shuffle, 0, epoch);
    let mut order: Vec<u32> = (0..n_images).collect();
    for i in (1..n_images).rev() {
        order.swap(i as usize, stream.below(u64::from(i), i + 1) as usize);
    }
    order
}

/// What becomes of the images at an epoch's end that make no whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastBatch {
    /// They are left out of this epoch; each epoch leaves out others.
    #[default]
    Drop,
    /// They make a batch with the first images of the same epoch, which so are in it twice.
    Fill,
}

impl LastBatch {
    /// Batches of `batch_size`, above 0, in an epoch of `n_images`.
    #[must_use]
    pub const fn per_epoch(self, n_images: usize, batch_size: usize) -> usize {
        match self {
            Self::Drop => n_images / batch_size,
            Self::Fill => n_images.div_ceil(batch_size),
        }
    }

    /// Images that an epoch leaves out.
    #[must_use]
    pub const fn n_left_out(self, n_images: usize, batch_size: usize) -> usize {
        match self {
            Self::Drop => n_images % batch_size,
            Self::Fill => 0,
        }
    }
}

/// The batches to learn from: every epoch in its own order.
#[derive(Debug, Clone)]
pub struct TrainBatches {
    dataset: Arc<Dataset>,
    n_images: u32,
    batch_size: usize,
    seed: u64,
    augment: Augment,
    last: LastBatch,
    /// The epoch that was asked for last, and its order.
    current: (u64, Vec<u32>),
}

impl TrainBatches {
    /// Batches of `batch_size` images.
    ///
    /// # Errors
    /// The batch size is zero or above the number of training images, or the padding is above the smaller side.
    pub fn new(
        dataset: Arc<Dataset>,
        batch_size: usize,
        seed: u64,
        augment: Augment,
    ) -> Result<Self, DataError> {
        let n_images = dataset.train.len();
        check_batch_size(batch_size)?;
        if batch_size > n_images {
            return Err(DataError::BatchTooLarge { batch_size, n_images });
        }
        augment.check(dataset.shape)?;
        // Bound: an image has a byte at least, and a data set at most MAX_BYTES < 2^32 of them in a split.
        let n_images = n_images as u32;
        let current = (0, order_of_epoch(seed, 0, n_images));
        Ok(Self { dataset, n_images, batch_size, seed, augment, last: LastBatch::Drop, current })
    }

    /// The same with another end of each epoch.
    #[must_use]
    pub fn ending_with(self, last: LastBatch) -> Self {
        Self { last, ..self }
    }

    /// Batches in an epoch; at least 1.
    #[must_use]
    pub fn per_epoch(&self) -> usize {
        self.last.per_epoch(self.n_images as usize, self.batch_size)
    }

    /// Images in a batch.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// The data set.
    #[must_use]
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// Where a run stands after `step` steps.
    #[must_use]
    pub fn position_of_step(&self, step: u64) -> Position {
        let per_epoch = self.per_epoch() as u64;
        // Exact: the remainder is below `per_epoch`, a usize.
        Position { epoch: step / per_epoch, batch: (step % per_epoch) as usize }
    }

    /// The position behind this one.
    #[must_use]
    pub fn next_position(&self, Position { epoch, batch }: Position) -> Position {
        if batch + 1 < self.per_epoch() {
            Position { epoch, batch: batch + 1 }
        } else {
            Position { epoch: epoch + 1, batch: 0 }
        }
    }

    /// The batch at a position.
    ///
    /// # Panics
    /// `position.batch` is not below [`TrainBatches::per_epoch`].
    #[must_use]
    pub fn batch(&mut self, position: Position) -> Batch {
        let mut batch = Batch::default();
        self.fill(position, &mut batch);
        batch
    }

    /// Makes `batch` the batch at a position, in the memory that it has.
    ///
    /// # Panics
    /// `position.batch` is not below [`TrainBatches::per_epoch`].
    pub fn fill(&mut self, position: Position, batch: &mut Batch) {
        let Position { epoch, batch: index } = position;
        assert!(index < self.per_epoch(), "batch {index} of an epoch of {} batches", self.per_epoch());
        if self.current.0 != epoch {
            self.current = (epoch, order_of_epoch(self.seed, epoch, self.n_images));
        }
        batch.position = position;
        batch.indices.clear();
        let (order, start) = (&self.current.1, index * self.batch_size);
        let end = order.len().min(start + self.batch_size);
        batch.indices.extend_from_slice(&order[start..end]);
        batch.indices.extend_from_slice(&order[..start + self.batch_size - end]);
        batch.labels.clear();
        batch.images.clear();
        let Dataset { shape, stored, .. } = *self.dataset;
        batch.images.reserve(self.batch_size * shape.n_values());
        for &image in &batch.indices {
            batch.labels.push(self.dataset.train.labels[image as usize]);
            let pixels = self.dataset.train.image(stored, image as usize);
            self.augment.append(pixels, [stored, shape], (self.seed, epoch, image), &mut batch.images);
        }
    }
}

/// The batches to be measured on: all images of a part once, in the order of the source, the last batch as small as
/// it comes. Nothing is augmented, the middle is cut out where batches are smaller than images; epoch is 0.
///
/// # Errors
/// The batch size is zero.
pub fn evaluation(
    dataset: &Dataset,
    part: Part,
    batch_size: usize,
) -> Result<impl ExactSizeIterator<Item = Batch>, DataError> {
    check_batch_size(batch_size)?;
    let split = dataset.part(part);
    let Dataset { shape, stored, .. } = *dataset;
    Ok(split.labels.chunks(batch_size).enumerate().map(move |(batch, labels)| {
        let start = batch * batch_size;
        let mut images = Vec::with_capacity(labels.len() * shape.n_values());
        (start..start + labels.len())
            .for_each(|i| augment::append_middle(split.image(stored, i), [stored, shape], &mut images));
        Batch {
            position: Position { epoch: 0, batch },
            images,
            labels: labels.to_vec(),
            // Bound: as for the training images.
            indices: (start as u32..).take(labels.len()).collect(),
        }
    }))
}

fn check_batch_size(batch_size: usize) -> Result<(), DataError> {
    if batch_size == 0 {
        let limit = "at least 1".to_owned();
        return Err(DataError::Setting { setting: "batch size", value: "0".to_owned(), limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits() -> Arc<Dataset> {
        Arc::new(crate::digits::load().unwrap())
    }

    #[test]
    fn order_is_a_permutation_and_pinned() {
        let mut order = order_of_epoch(7, 3, 1000);
        assert_ne!(order, order_of_epoch(7, 4, 1000));
        assert_ne!(order, order_of_epoch(8, 3, 1000));
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..1000));
        assert_eq!(order_of_epoch(0, 0, 0), [0; 0]);
        assert_eq!(order_of_epoch(0, 0, 1), [0]);
        // Computed by a second program from the definition; a change here changes every run.
        assert_eq!(order_of_epoch(1, 0, 8), [0, 4, 7, 5, 3, 2, 6, 1]);
    }

    #[test]
    fn every_place_is_equally_likely() {
        let mut counts = [[0_u32; 5]; 5];
        for seed in 0..5_000 {
            for (place, &image) in order_of_epoch(seed, 0, 5).iter().enumerate() {
                counts[place][image as usize] += 1;
            }
        }
        // 1,000 expected, standard deviation 28.
        assert!(counts.iter().flatten().all(|&n| (860..1_140).contains(&n)), "{counts:?}");
    }

    #[test]
    fn a_batch_is_a_pure_function_of_its_position() {
        let augment = Augment { pad: 1, flip: true };
        let make = || TrainBatches::new(digits(), 100, 42, augment).unwrap();
        let mut batches = make();
        assert_eq!(batches.per_epoch(), 14);
        let mut position = Position::default();
        let mut forward = Vec::new();
        for step in 0..30 {
            assert_eq!(batches.position_of_step(step), position);
            forward.push(batches.batch(position));
            position = batches.next_position(position);
        }
        for expected in forward.iter().rev() {
            assert_eq!(make().batch(expected.position), *expected);
            assert_eq!(batches.batch(expected.position), *expected);
        }
        let mut first: Vec<u32> = forward[..14].iter().flat_map(|b| b.indices.clone()).collect();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 1400, "an image came twice in an epoch");
    }

    #[test]
    fn a_filled_epoch_has_every_image() {
        let last = LastBatch::Fill;
        let mut filled = TrainBatches::new(digits(), 100, 42, Augment::default()).unwrap().ending_with(last);
        let mut dropped = TrainBatches::new(digits(), 100, 42, Augment::default()).unwrap();
        assert_eq!((filled.per_epoch(), dropped.per_epoch()), (15, 14));
        assert_eq!((last.n_left_out(1438, 100), LastBatch::Drop.n_left_out(1438, 100)), (0, 38));
        let of_epoch = |batch| Position { epoch: 2, batch };
        for batch in 0..14 {
            assert_eq!(filled.batch(of_epoch(batch)), dropped.batch(of_epoch(batch)));
        }
        let order = order_of_epoch(42, 2, 1438);
        assert_eq!(filled.batch(of_epoch(14)).indices, [&order[1400..], &order[..62]].concat());
        assert_eq!(filled.position_of_step(31), Position { epoch: 2, batch: 1 });
    }

    #[test]
    fn labels_and_pixels_are_those_of_the_indices() {
        let dataset = digits();
        let mut batches = TrainBatches::new(Arc::clone(&dataset), 1438, 0, Augment::default()).unwrap();
        let batch = batches.batch(Position { epoch: 9, batch: 0 });
        for (place, &index) in batch.indices.iter().enumerate() {
            assert_eq!(batch.labels[place], dataset.train.labels[index as usize]);
            assert_eq!(batch.images[64 * place..][..64], *dataset.train.image(dataset.shape, index as usize));
        }
    }

    #[test]
    fn sizes_are_checked() {
        let message =
            |size| TrainBatches::new(digits(), size, 0, Augment::default()).unwrap_err().to_string();
        assert!(
            message(1439).starts_with("a batch of 1439 images is larger than the data set of 1438 images")
        );
        assert_eq!(message(0), "batch size is 0, but must be at least 1");
        assert!(evaluation(&digits(), Part::Test, 0).is_err());
        assert!(TrainBatches::new(digits(), 1, 0, Augment { pad: 9, flip: false }).is_err());
    }

    #[test]
    fn evaluation_sees_every_image_once() {
        let dataset = digits();
        let batches: Vec<Batch> = evaluation(&dataset, Part::Test, 100).unwrap().collect();
        assert_eq!(batches.iter().map(Batch::len).collect::<Vec<_>>(), [100, 100, 100, 59]);
        assert!(batches.iter().flat_map(|b| b.indices.clone()).eq(0..359));
        let images: Vec<u8> = batches.iter().flat_map(|b| b.images.clone()).collect();
        assert_eq!(images, dataset.test.images);
        assert_eq!(batches.iter().flat_map(|b| b.labels.clone()).collect::<Vec<_>>(), dataset.test.labels);
    }
}
