//! Which two scale rules could have given two arrays, from their bytes alone.
//!
//! A rule gives the scale `2^k` for a maximum in one interval, `[T, 2T) 2^k`, and a block's largest code says in which part
//! of it the maximum lay. A pair of rules is possible if in each block one number lies in all four intervals. Among those
//! that are, the likeliest is the one under which what was seen is the most usual, if maxima are spread evenly over
//! their logarithm.
#![allow(clippy::cast_precision_loss, reason = "codes and counts far below 2^53")]

use std::collections::BTreeMap;

use intrain_kernels::blocks;
use intrain_num::block::{Edges, Element, ScaleRule};

use super::{Seen, layout};

/// Two rules that could have given both arrays.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The element of both.
    pub element: Element,
    /// The rule of the first array.
    pub a: ScaleRule,
    /// The rule of the second.
    pub b: ScaleRule,
    /// Mean logarithm of the probability of a block, in bits: the higher, the likelier.
    pub bits: f64,
}

/// An interval of magnitudes, as logarithms to base 2.
#[derive(Debug, Clone, Copy)]
struct Interval {
    low: f64,
    high: f64,
}

impl Interval {
    fn new(low: f64, high: f64) -> Self {
        Self { low: low.log2(), high: high.log2() }
    }

    fn and(self, other: Self) -> Self {
        Self { low: self.low.max(other.low), high: self.high.min(other.high) }
    }

    fn above(self, octaves: f64) -> Self {
        Self { low: self.low + octaves, high: self.high + octaves }
    }

    fn width(self) -> f64 {
        (self.high - self.low).max(0.0)
    }
}

/// What a block shows: how much higher the second scale is, and the largest magnitude codes of both.
type Block = (i32, Option<[u32; 2]>);

/// The pairs that are possible, the likeliest first; none where both arrays have the same scales.
pub(super) fn pairs(a: &Seen, b: &Seen, shape: &[usize]) -> Vec<Pair> {
    let (Some(scales_a), Some(scales_b)) = (&a.scales, &b.scales) else { return vec![] };
    if scales_a.len() != scales_b.len() || scales_a == scales_b {
        return vec![];
    }
    let (n, row) = (shape.iter().product(), shape.last().copied().unwrap_or(1));
    let (codes_a, codes_b) = (layout::unpacked(a, n, row), layout::unpacked(b, n, row));
    let codes = codes_a.first().zip(codes_b.first());
    let mut found = Vec::new();
    for element in layout::elements(codes.map(|(a, _)| a)) {
        let Some(blocks) =
            blocks_of(element, (scales_a, scales_b), codes.map(|(a, b)| (&*a.codes, &*b.codes)), (a, shape))
        else {
            continue;
        };
        for (_, rule_a) in ScaleRule::ALL {
            for (_, rule_b) in ScaleRule::ALL.into_iter().filter(|(_, rule)| *rule != rule_a) {
                if let Some(bits) = likelihood(element, rule_a, rule_b, &blocks) {
                    found.push(Pair { element, a: rule_a, b: rule_b, bits });
                }
            }
        }
    }
    found.sort_by(|x, y| y.bits.total_cmp(&x.bits));
    found
}

/// What blocks show, and how often; `None` where the sizes fit no extent or the codes no element.
fn blocks_of(
    element: Element,
    (scales_a, scales_b): (&[u8], &[u8]),
    codes: Option<(&[u32], &[u32])>,
    (seen, shape): (&Seen, &[usize]),
) -> Option<BTreeMap<Block, usize>> {
    let (_, axis, extent) = layout::extents(seen, shape).into_iter().next()?;
    let coding = layout::scaled(element, ScaleRule::Floor, Edges::Ocp, extent);
    let format = element.magnitudes();
    let magnitude = |code: u32| {
        // Two's complement has its magnitude in the value.
        let value = element.decode(code.to_le_bytes()[0]).to_f64().abs();
        (0..=format.max_code()).find(|code| format.decode(*code).to_f64() == value)
    };
    let magnitudes: Vec<Option<u32>> = (0..1u32 << element.bits()).map(magnitude).collect();
    let of = |code: u32| magnitudes.get(code as usize).copied().flatten();
    // An array with codes that no finite number has is of another format.
    if codes.is_some_and(|(a, b)| a.iter().chain(b).any(|code| of(*code).is_none())) {
        return None;
    }
    let mut blocks = BTreeMap::new();
    blocks::each_block(&coding, axis, |block, places| {
        let (a, b) = (scales_a[block], scales_b[block]);
        // The ends of the range say nothing of a rule.
        if [a, b].iter().any(|scale| matches!(scale, 0 | 254 | 255)) {
            return;
        }
        let largest = codes
            .map(|(a, b)| [a, b].map(|codes| places.iter().filter_map(|i| of(codes[*i])).max().unwrap_or(0)));
        *blocks.entry((i32::from(b) - i32::from(a), largest)).or_default() += 1;
    });
    Some(blocks)
}

/// Mean logarithm of the probability of a block under two rules; `None` where a block is impossible.
fn likelihood(element: Element, a: ScaleRule, b: ScaleRule, blocks: &BTreeMap<Block, usize>) -> Option<f64> {
    let (rule_a, rule_b) = (interval_of_rule(element, a), interval_of_rule(element, b));
    let (mut sum, mut n) = (0.0, 0usize);
    for ((step, codes), count) in blocks {
        let mut interval = rule_a.and(rule_b.above((*step).into()));
        if let Some([code_a, code_b]) = codes {
            interval = interval.and(interval_of_code(element, *code_a));
            interval = interval.and(interval_of_code(element, *code_b).above((*step).into()));
        }
        let width = interval.width();
        if width == 0.0 {
            return None;
        }
        sum += width.log2() * *count as f64;
        n += count;
    }
    (n > 0).then(|| sum / n as f64)
}

/// Where the maximum lies for which a rule gives the scale 1.
fn interval_of_rule(element: Element, rule: ScaleRule) -> Interval {
    let format = element.magnitudes();
    let max = format.max().to_f64();
    let power = f64::from(format.max_exponent()).exp2();
    let carries = 2.0 - (-f64::from(format.mantissa_bits()) - 1.0).exp2();
    let low = match rule {
        ScaleRule::Floor => power,
        ScaleRule::Ceil => power / 2.0,
        ScaleRule::Even => carries * power / 2.0,
        ScaleRule::Rceil => max / 2.0,
        ScaleRule::DivFloor => max,
        ScaleRule::DivNearest => 0.75 * max,
        ScaleRule::DivLog2Round => max / 2f64.sqrt(),
    };
    Interval::new(low, 2.0 * low)
}

/// Where a magnitude lies that is rounded to a code; everything from the largest code on.
fn interval_of_code(element: Element, code: u32) -> Interval {
    let format = element.magnitudes();
    let value = |code: u32| format.decode(code).to_f64();
    let low = if code == 0 { 0.0 } else { f64::midpoint(value(code - 1), value(code)) };
    let high =
        if code >= format.max_code() { f64::INFINITY } else { f64::midpoint(value(code), value(code + 1)) };
    Interval::new(low, high)
}
