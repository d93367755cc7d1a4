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

mod block;
mod elements;
mod nvfp4;
mod scaled;
#[cfg(test)]
mod tests;
mod text;

use intrain_num::block::{Coding, Extent, Mx, NVFP4_BLOCK, NvRule, NvTensor, ScaleRule};
use intrain_num::minifloat::{FloatRound, Number};
use intrain_num::random::{Purpose, Stream};

use block::{Block, Blocks, largest_of};
use elements::{element_ties, specials};
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
