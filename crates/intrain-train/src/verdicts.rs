//! Which class a network gave to each test image, and how sure a wrong answer was; what the report shows of it.

use intrain_data::thumbnail::Thumbnail;
use intrain_data::{Dataset, Part};
use intrain_nn::{Logits, loss};

use crate::report::{Answered, Mistake};

/// Most images that the report shows.
const MISTAKES_MAX: usize = 16;
/// Longest side of an image there.
const SIDE_MAX: usize = 96;

/// The answers to the images of an evaluation, in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Verdicts {
    /// The class of the largest logit, the first of equal ones.
    answers: Vec<u16>,
    /// How far that logit lies above the one of the true class.
    leads: Vec<f64>,
    /// Images whose class is not among the five likeliest.
    n_beyond_top5: usize,
}

impl Verdicts {
    /// Takes the logits of some more images; `labels` are those of all images.
    pub(crate) fn see(&mut self, logits: &Logits, n_classes: usize, labels: &[u16]) {
        let first = self.answers.len();
        for (row, label) in logits.to_f64().chunks_exact(n_classes).zip(labels.iter().skip(first)) {
            let answer = loss::first_largest(row.iter().copied());
            // Bound: labels have 16 bits, so there are at most 2^16 classes.
            self.answers.push(u16::try_from(answer).unwrap_or(u16::MAX));
            self.leads.push(row[answer] - row[usize::from(*label)]);
            self.n_beyond_top5 += usize::from(!loss::is_among_largest(5, row, usize::from(*label)));
        }
    }

    /// Images whose class is not among the five likeliest.
    pub(crate) const fn n_beyond_top5(&self) -> usize {
        self.n_beyond_top5
    }

    /// The numbers of the images with a wrong answer, the surest one first.
    fn mistakes(&self, labels: &[u16]) -> Vec<usize> {
        let is_wrong = |i: &usize| self.answers[*i] != labels[*i];
        let mut wrong: Vec<usize> = (0..self.answers.len().min(labels.len())).filter(is_wrong).collect();
        wrong.sort_by(|a, b| self.leads[*b].total_cmp(&self.leads[*a]));
        wrong
    }

    /// What the report shows.
    pub(crate) fn answered(&self, dataset: &Dataset) -> Answered {
        let labels = &dataset.test.labels;
        let class = |number: u16| {
            let number = usize::from(number);
            dataset.class_names.get(number).cloned().unwrap_or_else(|| number.to_string())
        };
        let mistake = |&i: &usize| {
            let Thumbnail { width, height, png } = Thumbnail::of(dataset, Part::Test, i, SIDE_MAX)?;
            let (class, answer) = (class(labels[i]), class(self.answers[i]));
            Some(Mistake {
                name: dataset.test.name(i),
                class,
                answer,
                lead: self.leads[i],
                width,
                height,
                png,
            })
        };
        let mistakes = self.mistakes(labels).iter().take(MISTAKES_MAX).filter_map(mistake).collect();
        let pairs = labels.iter().zip(&self.answers).map(|(label, answer)| (*label, *answer)).collect();
        Answered { classes: dataset.class_names.clone(), pairs, mistakes }
    }
}

#[cfg(test)]
mod tests {
    use intrain_data::digits;

    use super::*;

    #[test]
    fn the_surest_mistakes_come_first_and_ties_go_to_the_first_class() {
        let labels = [0, 1, 1, 0, 2];
        let mut verdicts = Verdicts::default();
        // Two batches with other fraction bits: the second one's logits are halves.
        let batch = |values: &[i64], frac_bits| Logits::Integers { values: values.to_vec(), frac_bits };
        verdicts.see(&batch(&[5, 5, 1, 7, 4, 0], 0), 3, &labels);
        verdicts.see(&batch(&[9, 2, 0, 0, 8, 0, 1, 1, 1], 1), 3, &labels);
        assert_eq!(verdicts.answers, [0, 0, 0, 1, 0]);
        assert_eq!(verdicts.leads, [0.0, 3.0, 3.5, 4.0, 0.0]);
        assert_eq!(verdicts.mistakes(&labels), [3, 2, 1, 4]);
        assert_eq!(verdicts.n_beyond_top5(), 0);
    }

    #[test]
    fn the_report_gets_names_and_at_most_sixteen_images() {
        let dataset = digits::load().unwrap();
        let n = dataset.test.len();
        let mut verdicts = Verdicts::default();
        // Everything is a 3, most of all the images at the end.
        let logits = (0..n).flat_map(|i| (0..10_u8).map(move |c| if c == 3 { i as f32 + 1.0 } else { 0.0 }));
        verdicts.see(&Logits::Floats(logits.collect()), 10, &dataset.test.labels);
        // Behind the 3 the first of equal classes are the likeliest: 0, 1, 2 and 4.
        assert_eq!(verdicts.n_beyond_top5(), dataset.test.labels.iter().filter(|label| **label > 4).count());
        let answered = verdicts.answered(&dataset);
        assert_eq!((answered.classes.len(), answered.pairs.len()), (10, n));
        assert!(answered.pairs.iter().all(|(_, answer)| *answer == 3));
        assert_eq!(answered.mistakes.len(), MISTAKES_MAX);
        let first = &answered.mistakes[0];
        assert_eq!((first.answer.as_str(), first.width, first.height), ("3", 8, 8));
        assert!(
            first.name.parse::<usize>().unwrap() + 5 > n
                && first.class != "3"
                && first.png.starts_with(b"\x89PNG")
        );
        assert!(answered.mistakes.is_sorted_by(|a, b| a.lead >= b.lead));
    }
}
