//! Which two scale rules could have given two arrays, from their bytes alone.
//!
//! A rule gives the scale `2^k` for a maximum in one interval, `[T, 2T) 2^k`, and a block's largest code says in which part
//! of it the maximum lay. A pair of rules is possible if in each block one number lies in all four intervals. Among those
//! that are, the likeliest is the one under which what was seen is the most usual, if maxima are spread evenly over
//! their logarithm, or are those of normal numbers.
#![allow(clippy::cast_precision_loss, reason = "codes and counts far below 2^53")]

use std::collections::BTreeMap;

use intrain_kernels::blocks;
use intrain_num::block::{Edges, Element, ScaleRule};
use intrain_num::minifloat::FloatFormat;

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

/// What a block shows: its first scale as a power of two, how much higher the second is, and the largest magnitude codes of both.
type Block = (i32, i32, Option<[u32; 2]>);

/// What blocks show and how often, and how maxima of normal numbers of that size are spread.
struct Shown {
    blocks: BTreeMap<Block, usize>,
    normal: Normal,
}

impl Shown {
    /// The logarithm of the probability of the first scales, each as usual as it is seen.
    fn scales(&self) -> f64 {
        let mut seen: BTreeMap<i32, usize> = BTreeMap::new();
        for ((scale, ..), count) in &self.blocks {
            *seen.entry(*scale).or_default() += count;
        }
        let n: usize = seen.values().sum();
        seen.values().map(|count| *count as f64 * (*count as f64 / n as f64).log2()).sum()
    }
}

/// Maxima of blocks of `len` normal numbers with the deviation `deviation`.
#[derive(Debug, Clone, Copy)]
struct Normal {
    len: f64,
    deviation: f64,
}

impl Normal {
    /// The probability of a maximum in an interval.
    fn probability(self, interval: Interval) -> f64 {
        let below = |log2: f64| libm::erf(log2.exp2() / (self.deviation * 2f64.sqrt())).powf(self.len);
        if interval.width() == 0.0 { 0.0 } else { below(interval.high) - below(interval.low) }
    }
}

/// How much likelier, in bits a block, another element must be to be named before a usual one.
const UNUSUAL: f64 = 0.25;
/// What a block that normal numbers do not show costs, in bits.
const IMPOSSIBLE: f64 = -40.0;

/// In how many blocks of NVFP4 one array made the maximum 6 and the other 4, where nothing else differs; else 0.
pub(super) fn four_over_six(a: &Seen, b: &Seen, shape: &[usize]) -> usize {
    let (Some(scales_a), Some(scales_b)) = (&a.scales, &b.scales) else { return 0 };
    let fits = !layout::nvfp4(a, shape).is_empty() && scales_a.len() == scales_b.len();
    if !fits || a.codes.as_ref().map(Vec::len) != b.codes.as_ref().map(Vec::len) {
        return 0;
    }
    let value = |code: u8| FloatFormat::E4M3.decode(code.into()).to_f64();
    // Both candidates are rounded, so that their quotient is 1.5 but for half a step of each.
    let is_choice = |(a, b): (&u8, &u8)| (value(*a.max(b)) / value(*a.min(b)) - 1.5).abs() <= 1.5 / 8.0;
    let differ = scales_a.iter().zip(scales_b).filter(|(a, b)| a != b);
    let (n, choices) =
        differ.fold((0, 0), |(n, choices), pair| (n + 1, choices + usize::from(is_choice(pair))));
    if n == choices { n } else { 0 }
}

/// The pairs that are possible, the likeliest first; none where both arrays have the same scales.
pub(super) fn pairs(a: &Seen, b: &Seen, shape: &[usize]) -> Vec<Pair> {
    let (Some(scales_a), Some(scales_b)) = (&a.scales, &b.scales) else { return vec![] };
    if scales_a.len() != scales_b.len() || scales_a == scales_b {
        return vec![];
    }
    let (n, row) = (shape.iter().product(), shape.last().copied().unwrap_or(1));
    let (codes_a, codes_b) = (layout::unpacked(a, n, row), layout::unpacked(b, n, row));
    let codes = codes_a.first().zip(codes_b.first());
    let mut found: Vec<(usize, Pair)> = Vec::new();
    for (place, element) in layout::elements(codes.map(|(a, _)| a)).into_iter().enumerate() {
        let both = codes.map(|(a, b)| (&*a.codes, &*b.codes));
        let Some(shown) = shown(element, (scales_a, scales_b), both, (a, shape)) else { continue };
        for (_, rule_a) in ScaleRule::ALL {
            for (_, rule_b) in ScaleRule::ALL.into_iter().filter(|(_, rule)| *rule != rule_a) {
                if let Some(bits) = likelihood(element, rule_a, rule_b, &shown) {
                    found.push((place, Pair { element, a: rule_a, b: rule_b, bits }));
                }
            }
        }
    }
    // The first of the usual elements that is nearly as likely as any.
    let best = found.iter().map(|(_, pair)| pair.bits).fold(f64::NEG_INFINITY, f64::max);
    let usual = found.iter().filter(|(_, pair)| pair.bits >= best - UNUSUAL).map(|(place, _)| *place).min();
    found.sort_by(|(x_place, x), (y_place, y)| {
        let is_other = |place: &usize| Some(*place) != usual;
        is_other(x_place).cmp(&is_other(y_place)).then(y.bits.total_cmp(&x.bits))
    });
    found.into_iter().map(|(_, pair)| pair).collect()
}

/// What blocks show, and how often; `None` where the sizes fit no extent or the codes no element.
fn shown(
    element: Element,
    (scales_a, scales_b): (&[u8], &[u8]),
    codes: Option<(&[u32], &[u32])>,
    (seen, shape): (&Seen, &[usize]),
) -> Option<Shown> {
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
    let value_of = |code: u32| of(code).map_or(0.0, |magnitude| format.decode(magnitude).to_f64());
    // An array with codes that no finite number has is of another format.
    if codes.is_some_and(|(a, b)| a.iter().chain(b).any(|code| of(*code).is_none())) {
        return None;
    }
    let mut blocks = BTreeMap::new();
    let (mut squares, mut n, mut n_blocks) = (0.0, 0usize, 0usize);
    blocks::each_block(&coding, axis, |block, places| {
        let (a, b) = (scales_a[block], scales_b[block]);
        // The ends of the range say nothing of a rule.
        if [a, b].iter().any(|scale| matches!(scale, 0 | 254 | 255)) {
            return;
        }
        let largest = codes
            .map(|(a, b)| [a, b].map(|codes| places.iter().filter_map(|i| of(codes[*i])).max().unwrap_or(0)));
        if let Some((codes, _)) = codes {
            let scale = f64::from(i32::from(a) - 127).exp2();
            squares += places.iter().map(|i| (value_of(codes[*i]) * scale).powi(2)).sum::<f64>();
        }
        n += places.len();
        n_blocks += 1;
        *blocks.entry((i32::from(a) - 127, i32::from(b) - i32::from(a), largest)).or_default() += 1;
    });
    let normal = Normal { len: n as f64 / n_blocks as f64, deviation: (squares / n as f64).sqrt() };
    Some(Shown { blocks, normal })
}

/// Mean logarithm of the probability of a block under two rules, if maxima are spread evenly or are those of normal numbers,
/// whichever fits better; `None` where a block is impossible.
fn likelihood(element: Element, a: ScaleRule, b: ScaleRule, shown: &Shown) -> Option<f64> {
    let (rule_a, rule_b) = (interval_of_rule(element, a), interval_of_rule(element, b));
    let (mut even, mut normal, mut n) = (0.0, 0.0, 0usize);
    for ((scale, step, codes), count) in &shown.blocks {
        let mut interval = rule_a.and(rule_b.above((*step).into()));
        if let Some([code_a, code_b]) = codes {
            interval = interval.and(interval_of_code(element, *code_a));
            interval = interval.and(interval_of_code(element, *code_b).above((*step).into()));
        }
        let width = interval.width();
        if width == 0.0 {
            return None;
        }
        even += width.log2() * *count as f64;
        // Of all maxima, so that the share of each scale counts, too.
        let probability = shown.normal.probability(interval.above((*scale).into()));
        normal += if probability > 0.0 { probability.log2() } else { IMPOSSIBLE } * *count as f64;
        n += count;
    }
    if n == 0 {
        return None;
    }
    // What the scales themselves say is left out of the even spread, whose range is not known: it is theirs.
    let scales = shown.scales();
    let best = if normal.is_finite() { f64::max(even + scales, normal) } else { even + scales };
    Some(best / n as f64)
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
