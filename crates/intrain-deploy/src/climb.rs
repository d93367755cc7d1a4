//! Images that reach what no other image has shown: a climb over pixels towards the limits of a rounding.

use std::collections::BTreeSet;

use intrain_num::random::{Purpose, Stream};

use crate::form::{Deployed, Op, Requantize};
use crate::vectors::{Corner, Shown};

/// A limit of a node's rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The node.
    pub node: usize,
    /// Whether it is the largest integer that leaves, or the least.
    pub is_max: bool,
}

/// How close an image comes: elements that another limit changes, then the sum that comes closest.
type Score = (usize, i64);

impl Deployed {
    /// The rounding of node `i`, where it has one of sums.
    #[must_use]
    pub fn rounding(&self, i: usize) -> Option<&Requantize> {
        match &self.nodes[i].op {
            Op::Product(p) => p.requantize.as_ref(),
            Op::Activation(a) => Some(&a.requantize),
            _ => None,
        }
    }

    /// Whether another rounding of node `i` leaves the same integers for every sum that the weights allow. Both have to differ in their
    /// limits alone: what each makes of a sum rises with it.
    #[must_use]
    pub fn is_equivalent(&self, i: usize, other: &Requantize) -> bool {
        let (Some(q), Some(sums)) = (self.rounding(i), self.sums(i)) else { return false };
        [sums.min, sums.max].iter().all(|sum| q.apply(*sum) == other.apply(*sum))
    }

    /// The roundings with that limit one further and one nearer, as far as they are not equivalent.
    fn moved(&self, limit: Limit) -> Vec<Requantize> {
        let Some(q) = self.rounding(limit.node) else { return vec![] };
        let by = |by: i64| {
            let (min, max) = if limit.is_max {
                (q.min, q.max.saturating_add(by))
            } else {
                (q.min.saturating_sub(by), q.max)
            };
            Requantize { min, max, ..*q }
        };
        [1, -1].map(by).into_iter().filter(|moved| !self.is_equivalent(limit.node, moved)).collect()
    }

    /// The limits that some image may reach, as far as the weights say, and none of these does.
    pub fn unseen_limits<'a>(&self, shown: impl Iterator<Item = &'a Shown>) -> Vec<Limit> {
        let seen: BTreeSet<(usize, Corner)> = shown.flat_map(|shown| &shown.corners).copied().collect();
        let limits =
            (0..self.nodes.len()).flat_map(|node| [true, false].map(|is_max| Limit { node, is_max }));
        let is_unseen = |limit: &Limit| {
            let (beyond, at) = match limit.is_max {
                true => (Corner::BeyondMax, Corner::AtMax),
                false => (Corner::BeyondMin, Corner::AtMin),
            };
            match self.moved(*limit).len() {
                0 => false,
                1 => !seen.contains(&(limit.node, at)),
                _ => !seen.contains(&(limit.node, beyond)),
            }
        };
        limits.filter(is_unseen).collect()
    }

    /// An image whose answer shows whether that limit is one more or one less, found from the best of `starts` by changes of pixels that
    /// bring a sum closer to the limit, then more sums beyond it, then others there. The best image that about `multiply_adds` find where none shows both;
    /// none where no sum reaches the limit.
    ///
    /// # Panics
    /// The images do not have the network's shape.
    #[must_use]
    pub fn climb(&self, limit: Limit, starts: &[&[u8]], multiply_adds: u64) -> Option<Vec<u8>> {
        let moved = self.moved(limit);
        let others: Vec<Self> = moved.iter().map(|q| self.with_rounding(limit.node, *q)).collect();
        let is_shown = |image: &[u8]| {
            let trace = self.trace(image);
            others.iter().all(|other| {
                let results =
                    other.resume(image, trace[..limit.node].to_vec(), other.nodes.len(), &mut |_, _, _| {});
                results.last() != trace.last()
            })
        };
        let score = |image: &[u8]| self.score(limit, &moved, image);
        let n_tries = multiply_adds / self.multiply_adds().max(1);
        let starts = &starts[..starts.len().min(usize::try_from(n_tries / 4).unwrap_or(usize::MAX))];
        let (mut best, image) =
            starts.iter().map(|image| (score(image), *image)).max_by_key(|(score, _)| *score)?;
        let mut image = image.to_vec();
        let limit_number = 2 * limit.node as u64 + u64::from(limit.is_max);
        let stream = Stream::new(0, Purpose::Tool, 1, limit_number);
        let mut left = n_tries - starts.len() as u64;
        let mut step = 0;
        while left > 0 {
            let changed = self.changed(&image, &stream, step);
            let reached = score(&changed);
            (step, left) = (step + 1, left - 1);
            // Beyond the limit other images with about as many sums there are as good: roundings behind them hide some.
            if reached < best && 2 * reached.0 <= best.0 {
                continue;
            }
            (best, image) = (best.max(reached), changed);
            if reached.0 > 0 {
                if is_shown(&image) {
                    return Some(image);
                }
                left = left.saturating_sub(1 + others.len() as u64);
            }
        }
        (best.0 > 0).then_some(image)
    }

    /// An image with a rectangle of one channel set to black, white or another value.
    fn changed(&self, image: &[u8], stream: &Stream, step: u64) -> Vec<u8> {
        let shape = self.image();
        // Eight numbers of each step.
        let below = |k: u64, n: usize| {
            let drawn = stream.below(8 * step + k, u32::try_from(n).unwrap_or(u32::MAX));
            usize::try_from(drawn).unwrap_or(0)
        };
        let side = 1 + below(0, 3);
        let (y, x, c) = (below(1, shape.h), below(2, shape.w), below(3, shape.c));
        let value = match below(4, 4) {
            0 => 0,
            3 => u8::try_from(below(5, 256)).unwrap_or(u8::MAX),
            _ => u8::MAX,
        };
        let mut changed = image.to_vec();
        for v in y..(y + side).min(shape.h) {
            for u in x..(x + side).min(shape.w) {
                changed[(v * shape.w + u) * shape.c + c] = value;
            }
        }
        changed
    }

    /// How close an image comes to a limit.
    fn score(&self, limit: Limit, moved: &[Requantize], image: &[u8]) -> Score {
        let (mut n, mut closest) = (0, i64::MIN);
        let _ = self.resume(image, vec![], limit.node + 1, &mut |node, sum, q: &Requantize| {
            if node == limit.node {
                n += usize::from(moved.iter().all(|moved| moved.apply(sum) != q.apply(sum)));
                closest = closest.max(if limit.is_max { sum } else { -sum });
            }
        });
        (n, closest)
    }

    /// The same network with another rounding of node `i`.
    #[must_use]
    pub fn with_rounding(&self, i: usize, q: Requantize) -> Self {
        let mut other = self.clone();
        match &mut other.nodes[i].op {
            Op::Product(p) => p.requantize = Some(q),
            Op::Activation(a) => a.requantize = q,
            _ => {}
        }
        other
    }
}
