//! A network that says the same of every image: no error tells one image from another any more, so it learns nothing but how
//! frequent each class is. Integers get there when codes round to 0 or stay at their limits; floats are not watched.

use intrain_nn::Logits;

/// The answers to some images, compared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    /// The first image's, with its fraction bits.
    first: Option<(Vec<i64>, i32)>,
    n: usize,
    differ: bool,
}

impl Answers {
    /// Takes the logits of some more images.
    pub(crate) fn see(&mut self, logits: &Logits, n_classes: usize) {
        let Logits::Integers { values, frac_bits } = logits else {
            self.differ = true;
            return;
        };
        for row in values.chunks_exact(n_classes) {
            self.n += 1;
            let (first, bits) = self.first.get_or_insert_with(|| (row.to_vec(), *frac_bits));
            let are_equal = row == first && (bits == frac_bits || row.iter().all(|x| *x == 0));
            self.differ |= !are_equal;
        }
    }

    /// Whether there were several images and all got the same logits.
    pub(crate) const fn are_equal(&self) -> bool {
        self.n > 1 && !self.differ
    }
}

/// How long a network has been silent.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    /// The first of the steps, up to the last one, whose images all got the same logits.
    since: Option<u64>,
    is_told: bool,
}

impl Silence {
    /// What the images of a step got; `step` counts from 1.
    pub(crate) fn after_step(&mut self, step: u64, logits: &Logits, n_classes: usize) {
        let mut answers = Answers::default();
        answers.see(logits, n_classes);
        if answers.differ {
            self.since = None;
        } else if answers.are_equal() {
            self.since.get_or_insert(step);
        }
    }

    /// The warning behind an epoch of `n_steps` that ends with `step`, once: by what the test images got, and where there are
    /// none by what the training images got in all of the epoch.
    pub(crate) fn warning(&mut self, step: u64, n_steps: u64, test: &Answers) -> Option<String> {
        let is_silent = match test.n {
            0 => self.since.is_some_and(|since| since + n_steps <= step + 1),
            _ => test.are_equal(),
        };
        if !is_silent || self.is_told {
            return None;
        }
        self.is_told = true;
        let since = self.since.unwrap_or(step);
        Some(format!(
            "no signal since step {since}: every image gets the same logits, so no error tells one from another; lower the \
             learning rate, or give the rows 'weight' and 'activation' more bits"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integers(values: &[i64], frac_bits: i32) -> Logits {
        Logits::Integers { values: values.to_vec(), frac_bits }
    }

    fn answers(batches: &[Logits]) -> Answers {
        let mut answers = Answers::default();
        batches.iter().for_each(|logits| answers.see(logits, 2));
        answers
    }

    #[test]
    fn all_rows_are_compared() {
        assert!(answers(&[integers(&[1, 2, 1, 2], 3), integers(&[1, 2], 3)]).are_equal());
        assert!(answers(&[integers(&[0, 0], 3), integers(&[0, 0], 4)]).are_equal());
        for other in [
            vec![integers(&[1, 2, 1, 3], 3)],
            vec![integers(&[1, 2], 3), integers(&[1, 1], 3)],
            vec![integers(&[1, 2], 3), integers(&[1, 2], 4)],
            // One image is no sign of anything, and floats are not watched.
            vec![integers(&[1, 2], 3)],
            vec![Logits::Floats(vec![0.5; 4])],
            vec![],
        ] {
            assert!(!answers(&other).are_equal(), "{other:?}");
        }
    }

    #[test]
    fn a_silent_network_is_told_of_once_with_its_first_step() {
        let (same, other) = (integers(&[1, 2, 1, 2], 0), integers(&[1, 2, 1, 3], 0));
        let mut silence = Silence::default();
        for (step, logits) in [(1, &same), (2, &other), (3, &same), (4, &integers(&[5, 5], 0)), (5, &same)] {
            silence.after_step(step, logits, 2);
        }
        assert_eq!(silence.warning(5, 5, &answers(std::slice::from_ref(&other))), None);
        let warning = silence.warning(5, 5, &answers(std::slice::from_ref(&same))).unwrap();
        assert!(
            warning.starts_with("no signal since step 3: ") && warning.contains("lower the learning rate")
        );
        assert_eq!(silence.warning(10, 5, &answers(&[same])), None);
    }

    #[test]
    fn without_test_images_a_whole_epoch_counts() {
        let same = integers(&[1, 2, 1, 2], 0);
        let mut silence = Silence::default();
        for step in 4..=6 {
            silence.after_step(step, &same, 2);
        }
        assert_eq!(silence.warning(6, 4, &Answers::default()), None);
        assert!(silence.warning(6, 3, &Answers::default()).unwrap().contains("since step 4"));
    }
}
