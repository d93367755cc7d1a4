//! What `intrain data info` shows: sizes, images per class, mean and standard deviation of the pixels.

use crate::{Dataset, ImageShape, Split};

/// A data set in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Size of an image as a network sees it.
    pub shape: ImageShape,
    /// Images of each class to learn from.
    pub train_counts: Vec<usize>,
    /// Images of each class to choose by; all 0 where there is no such part.
    pub validation_counts: Vec<usize>,
    /// Images of each class to test.
    pub test_counts: Vec<usize>,
    /// Mean of each channel over the training images, pixels divided by 255.
    pub mean: Vec<f64>,
    /// Standard deviation (of the population) of each channel over the training images, pixels divided by 255.
    pub std: Vec<f64>,
}

/// Counts and averages.
#[must_use]
pub fn summarize(dataset: &Dataset) -> Summary {
    let channels = dataset.shape.channels;
    let mut sums = vec![(0_u64, 0_u64); channels];
    for pixel in dataset.train.images.chunks_exact(channels) {
        for ((sum, squares), &value) in sums.iter_mut().zip(pixel) {
            // Bound: 2^32 values of at most 255^2 stay below 2^48.
            *sum += u64::from(value);
            *squares += u64::from(value) * u64::from(value);
        }
    }
    // Exact: all three are below 2^53.
    let n = (dataset.train.images.len() / channels) as f64;
    let mean_and_std = sums.into_iter().map(|(sum, squares)| {
        let (mean, mean_square) = (sum as f64 / n, squares as f64 / n);
        (mean / 255.0, (mean_square - mean * mean).max(0.0).sqrt() / 255.0)
    });
    let (mean, std) = mean_and_std.unzip();
    Summary {
        shape: dataset.shape,
        train_counts: counts(&dataset.train, dataset.n_classes),
        validation_counts: counts(&dataset.validation, dataset.n_classes),
        test_counts: counts(&dataset.test, dataset.n_classes),
        mean,
        std,
    }
}

fn counts(split: &Split, n_classes: usize) -> Vec<usize> {
    let mut counts = vec![0; n_classes];
    for &label in &split.labels {
        counts[usize::from(label)] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_in_numbers() {
        let digits = crate::digits::load().unwrap();
        let summary = summarize(&digits);
        assert_eq!(summary.train_counts.iter().sum::<usize>(), 1438);
        assert_eq!(summary.test_counts.iter().sum::<usize>(), 359);
        assert_eq!((summary.mean.len(), summary.std.len()), (1, 1));
        // The whole set has 0.3061 and 0.3769; the training images differ in the fourth digit.
        assert!(
            (summary.mean[0] - 0.306).abs() < 2e-3 && (summary.std[0] - 0.377).abs() < 2e-3,
            "{summary:?}"
        );
    }
}
