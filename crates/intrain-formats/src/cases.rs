//! Blocks that tell rules of scales and roundings apart, with what each rule makes of them.
//!
//! The values are where answers change: maxima at every threshold of every rule and one binary32 step beside it, ties
//! of the elements, both zeros, NaN, infinities, and the ends of the scale's range. Whoever has another implementation
//! quantizes them and sees by the first difference which rule it follows. [`text`] writes them for a test bench.
//!
//! ```
//! use intrain_formats::cases::{ROUNDINGS, TextFormat, cases, text};
//!
//! let coding = "mxfp4".parse()?;
//! let cases = cases(&coding, &ROUNDINGS[..1]);
//! let case = cases.iter().find(|case| case.name == "threshold of even").unwrap();
//! assert_eq!(case.values[0], 1.75);
//! let scales: Vec<_> = case.answers.iter().map(|answer| (answer.rule.as_str(), answer.scale)).collect();
//! assert_eq!(scales[..4], [("floor", 125), ("ceil", 126), ("even", 126), ("rceil", 126)]);
//! assert!(text(&coding, &cases, TextFormat::Csv).starts_with("case,rule,round,"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod nvfp4;
mod scaled;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeSet;

use intrain_num::block::{Coding, Extent, Mx, NVFP4_BLOCK, NvRule, NvTensor, ScaleRule};
use intrain_num::minifloat::{FloatFormat, FloatRound, Number};
use intrain_num::random::{Purpose, Stream};

pub use text::{NoTextFormat, TextFormat, text};

/// What a rule makes of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Name of the scale's rule; empty where there is no scale.
    pub rule: String,
    /// Rounding of the elements.
    pub round: FloatRound,
    /// Code of the scale; 0 where there is none.
    pub scale: u8,
    /// Codes of the elements.
    pub codes: Vec<u32>,
}

/// A block and all answers to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What it tells apart, or what is special about it. Unique among the cases of a format.
    pub name: String,
    /// The largest magnitude of the tensor that the block is from: NVFP4 alone looks at it.
    pub largest: f32,
    /// The block.
    pub values: Vec<f32>,
    /// For each rule, in the order of its table, and each rounding, in the order asked for.
    pub answers: Vec<Answer>,
}

/// The roundings that need no random bits.
pub const ROUNDINGS: [FloatRound; 6] = [
    FloatRound::NearestEven,
    FloatRound::NearestAway,
    FloatRound::TowardZero,
    FloatRound::Up,
    FloatRound::Down,
    FloatRound::ToOdd,
];

/// The most values of a case.
const MAX_LEN: usize = 64;
/// Values of a case where nothing, or very much, shares a scale.
const USUAL_LEN: usize = 32;

/// A block before it has answers: name, largest magnitude of the tensor, values.
struct Block {
    name: String,
    largest: f32,
    values: Vec<f32>,
}

/// Collects blocks of one length, filled up with +0.
struct Blocks {
    len: usize,
    all: Vec<Block>,
}

impl Blocks {
    /// Adds a block of a tensor without larger magnitudes.
    fn add(&mut self, name: impl Into<String>, values: &[f32]) {
        self.add_of(name, 0.0, values);
    }

    /// Adds a block of a tensor whose largest magnitude is `largest`, or the block's own where that is larger.
    fn add_of(&mut self, name: impl Into<String>, largest: f32, values: &[f32]) {
        let mut values = values.to_vec();
        values.resize(self.len, 0.0);
        let largest = largest.max(largest_of(&values));
        self.all.push(Block { name: name.into(), largest, values });
    }
}

/// The largest magnitude; NaN is not seen.
fn largest_of(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, x| if x.abs() > largest { x.abs() } else { largest })
}

/// Values of a case: those of a run, or of the first row of a tile whose other rows do not exist.
fn len_of(coding: &Coding) -> usize {
    match coding.extent() {
        Some(Extent::Run(n) | Extent::Tile(n)) if n as usize <= MAX_LEN => n as usize,
        _ if matches!(coding, Coding::Nvfp4 { .. }) => NVFP4_BLOCK,
        _ => USUAL_LEN,
    }
}

/// The cases of a format: for all rules of its scale, whichever it names, under its edges or its overflow.
///
/// A stochastic rounding takes word `i` of the stream (1, tool, 0, 0) for value `i`, as [`crate::Way`] does.
///
/// # Panics
/// None for codings that were parsed.
#[must_use]
pub fn cases(coding: &Coding, rounds: &[FloatRound]) -> Vec<Case> {
    let mut blocks = Blocks { len: len_of(coding), all: Vec::new() };
    match coding {
        Coding::Plain { format, .. } => {
            element_ties(&mut blocks, *format, false);
            specials(&mut blocks);
        }
        Coding::Scaled { element, .. } => {
            scaled::thresholds(&mut blocks, *element);
            element_ties(&mut blocks, element.magnitudes(), true);
            specials(&mut blocks);
        }
        Coding::Nvfp4 { .. } => nvfp4::blocks(&mut blocks),
    }
    let answered = |block: Block| Case {
        answers: answers(coding, &block, rounds),
        name: block.name,
        largest: block.largest,
        values: block.values,
    };
    blocks.all.into_iter().map(answered).collect()
}

fn answers(coding: &Coding, block: &Block, rounds: &[FloatRound]) -> Vec<Answer> {
    let stream = Stream::new(1, Purpose::Tool, 0, 0);
    let word = |i: usize, round: FloatRound| if round.is_stochastic() { stream.word(i as u64) } else { 0 };
    let values = || block.values.iter().copied().enumerate();
    let mut all = Vec::new();
    let mut add = |rule: &str, round, scale, codes: Vec<u32>| {
        all.push(Answer { rule: rule.to_owned(), round, scale, codes });
    };
    match *coding {
        Coding::Plain { format, overflow } => {
            for &round in rounds {
                let code = |(i, x)| format.encode(Number::from_f32(x), round, overflow, word(i, round));
                add("", round, 0, values().map(code).collect());
            }
        }
        Coding::Scaled { element, edges, .. } => {
            for (name, rule) in ScaleRule::ALL {
                for &round in rounds {
                    let mx = Mx { element, rule, edges, round };
                    let mut codes = vec![0; block.values.len()];
                    let scale = mx.quantize(&block.values, &mut codes, |i| word(i, round));
                    add(name, round, scale, codes.into_iter().map(u32::from).collect());
                }
            }
        }
        Coding::Nvfp4 { .. } => {
            for (name, rule) in NvRule::ALL {
                let tensor = NvTensor::new(rule, block.largest);
                let scale = tensor.block(&block.values, largest_of(&block.values));
                for &round in rounds {
                    let code = |(i, x)| tensor.code(x, scale, round, word(i, round)).into();
                    add(name, round, scale.scale, values().map(code).collect());
                }
            }
        }
    }
    all
}

/// `-1`, `0` or `1` binary32 steps away from zero.
fn stepped(x: f32, steps: i32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits(bits.wrapping_add_signed(steps))
}

/// What to call that.
const STEPS: [(i32, &str); 3] = [(-1, ", a step below"), (0, ""), (1, ", a step above")];

/// Every midpoint of two codes, and its neighbours; of a format of many codes those at the ends of its binades.
///
/// With `under_scale` each block begins with the largest value, whose scale is 1 by the rules `floor`, `even` and `rceil`.
fn element_ties(blocks: &mut Blocks, format: FloatFormat, under_scale: bool) {
    let max = format.max_code();
    let value = |code: u32| match format.decode(code) {
        // The step behind the largest value, which no code has.
        _ if code > max => 2.0 * format.max().to_f64() - format.decode(max - 1).to_f64(),
        number => number.to_f64(),
    };
    let ends = u32::from(!under_scale);
    let ties: Vec<f32> = tied_codes(format)
        .into_iter()
        .filter(|code| *code < max + ends)
        .map(|code| f64::midpoint(value(code), value(code + 1)))
        .filter(|tie| f64::from(narrow(*tie)) == *tie && narrow(*tie).is_normal())
        .map(narrow)
        .collect();
    let first: &[f32] = if under_scale { &[format.max().to_f32()] } else { &[] };
    if blocks.len <= first.len() || !first.iter().all(|x| x.is_normal()) {
        return;
    }
    for (steps, side) in STEPS {
        for (part, ties) in ties.chunks(blocks.len - first.len()).enumerate() {
            // Signs alternate, and differ between a tie and the one before the last.
            let signed = ties.iter().enumerate().map(|(i, x)| {
                let x = stepped(*x, steps);
                if i % 4 / 2 == 0 { x } else { -x }
            });
            let values: Vec<f32> = first.iter().copied().chain(signed).collect();
            blocks.add(format!("ties of elements, part {}{side}", part + 1), &values);
        }
    }
}

/// Codes below whose upper neighbours ties are looked for: all of a format of up to 8 bits; else 4 on either side of
/// zero, the least normal number, 1, its neighbours among the powers of two, and the top.
fn tied_codes(format: FloatFormat) -> BTreeSet<u32> {
    let (max, digits) = (format.max_code(), format.mantissa_bits());
    if max < 256 {
        return (0..=max).collect();
    }
    let one = format.bias().max(1).cast_unsigned();
    let binades = [0, 1, one - 1, one, one + 1].map(|field| u64::from(field) << digits);
    let near = |code: u64| code.saturating_sub(4)..code + 4;
    let all = binades.into_iter().chain([u64::from(max)]).flat_map(near);
    all.filter_map(|code| u32::try_from(code).ok()).filter(|code| *code <= max).collect()
}

/// To binary32; the caller looks whether that rounds.
#[allow(clippy::cast_possible_truncation, reason = "compared with the wide value afterwards")]
const fn narrow(x: f64) -> f32 {
    x as f32
}

/// Zeros, NaN, infinities, and the ends of binary32.
fn specials(blocks: &mut Blocks) {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let (least, normal) = (f32::from_bits(1), f32::MIN_POSITIVE);
    let tiny = f32::from_bits(27 << 23);
    let len = blocks.len;
    blocks.add("zeros", &[]);
    blocks.add("minus zeros", &vec![-0.0; len]);
    for (name, values) in [
        ("minus zero beside one, and numbers that become zero", [1.0, -0.0, 0.0, -tiny, tiny]),
        ("NaN beside one", [1.0, nan, -0.5, 0.0, 0.25]),
        ("NaN with a sign", [1.0, -nan, -0.5, 0.0, 0.25]),
        ("NaN first", [nan, 1.0, -0.5, 0.0, 0.25]),
        ("infinity beside one", [1.0, inf, -0.5, 0.0, 0.25]),
        ("minus infinity beside one", [1.0, -inf, -0.5, 0.0, 0.25]),
        ("NaN beside infinities", [inf, nan, -inf, 0.0, 1.0]),
        ("the largest binary32", [f32::MAX, -f32::MAX, f32::MAX / 2.0, 1.0, least]),
        ("powers of two of the top", [f32::MAX / 2.0, -f32::MAX / 4.0, f32::MAX / 8.0, 0.0, 0.0]),
        ("the least subnormal binary32", [least, -least, 0.0, -0.0, 0.0]),
        ("the largest subnormal binary32", [stepped(normal, -1), -stepped(normal, -1), least, -least, 0.0]),
        ("the least normal binary32", [normal, -normal, stepped(normal, -1), least, -least]),
        ("the largest magnitude is negative", [-1.9, 1.0, 0.3, -0.7, 0.1]),
    ] {
        blocks.add(name, &values);
    }
}
