//! Test vectors: images with their logits, chosen so that a wrong rounding, limit or padding shows.

use std::collections::BTreeSet;

use intrain_num::Round;

use crate::form::{Deployed, Requantize};

/// Images and what the network answers to each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vectors {
    /// Pixels, image by image.
    pub images: Vec<u8>,
    /// Logits, image by image.
    pub logits: Vec<i64>,
    n: usize,
}

/// What an image shows of a network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// The network's answer.
    pub logits: Vec<i64>,
    /// The corners of roundings that it met: a node and which corner.
    pub(crate) corners: BTreeSet<(usize, Corner)>,
}

/// A case in which two roundings, or two limits, differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Corner {
    /// Half way above an even integer: nearest-even goes down.
    TieAboveEven,
    /// Half way above an odd one.
    TieAboveOdd,
    /// Below a half of a step.
    Below,
    /// Above it.
    Above,
    /// One more than the largest that leaves, or beyond.
    BeyondMax,
    /// The largest itself.
    AtMax,
    /// One less than the least that leaves, or beyond.
    BeyondMin,
    /// The least itself.
    AtMin,
}

impl Corner {
    /// Those of one rounding.
    fn of(sum: i64, q: &Requantize) -> impl Iterator<Item = Self> {
        let floor = Round::Floor.shift_right(sum, q.shift, 0);
        let fraction = (1..63).contains(&q.shift).then(|| {
            // Bound: the shift is below 63.
            let (rest, half) = (sum & ((1 << q.shift) - 1), 1 << (q.shift - 1));
            match (rest.cmp(&half), floor & 1) {
                (std::cmp::Ordering::Equal, 0) => Self::TieAboveEven,
                (std::cmp::Ordering::Equal, _) => Self::TieAboveOdd,
                (std::cmp::Ordering::Less, _) => Self::Below,
                (std::cmp::Ordering::Greater, _) => Self::Above,
            }
        });
        let rounded = q.round.shift_right(sum, q.shift, 0);
        // What a limit takes hides how it was rounded.
        let limit = match rounded {
            x if x > q.max => Some(Self::BeyondMax),
            x if x < q.min => Some(Self::BeyondMin),
            x if x == q.max => Some(Self::AtMax),
            x if x == q.min => Some(Self::AtMin),
            _ => None,
        };
        let is_held = matches!(limit, Some(Self::BeyondMax | Self::BeyondMin));
        fraction.filter(|_| !is_held).into_iter().chain(limit)
    }
}

impl Deployed {
    /// What an image shows of this network.
    ///
    /// # Panics
    /// The image does not have the network's shape.
    #[must_use]
    pub fn show(&self, image: &[u8]) -> Shown {
        let mut corners = BTreeSet::new();
        let mut trace = self.trace_with(image, &mut |node, sum, q| {
            corners.extend(Corner::of(sum, q).map(|corner| (node, corner)));
        });
        Shown { logits: trace.pop().unwrap_or_default(), corners }
    }
}

impl Vectors {
    /// Images.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.n
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The answers of `deployed` to these images.
    ///
    /// # Panics
    /// The images do not have the network's shape.
    #[must_use]
    pub fn of(deployed: &Deployed, images: &[u8]) -> Self {
        let mut vectors = Self::default();
        images
            .chunks_exact(deployed.image().len())
            .for_each(|image| vectors.push(image, &deployed.run(image)));
        vectors
    }

    fn push(&mut self, image: &[u8], logits: &[i64]) {
        self.images.extend_from_slice(image);
        self.logits.extend_from_slice(logits);
        self.n += 1;
    }

    /// At most `n` of the candidates: first those that show most corners which none before them has shown, then the others in order.
    #[must_use]
    pub fn choose(candidates: &[(&[u8], Shown)], n: usize) -> Self {
        let mut rest: Vec<&(&[u8], Shown)> = candidates.iter().collect();
        let (mut seen, mut vectors) = (BTreeSet::new(), Self::default());
        while vectors.n < n && !rest.is_empty() {
            let new = |(_, shown): &(&[u8], Shown)| shown.corners.difference(&seen).count();
            // The first of those with most.
            let best = (0..rest.len()).rev().max_by_key(|i| new(rest[*i])).unwrap_or(0);
            let (image, shown) = rest.remove(best);
            seen.extend(shown.corners.iter().copied());
            vectors.push(image, &shown.logits);
        }
        vectors
    }
}
