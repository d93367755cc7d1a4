//! Floats with the exponents of binary32 and fewer bits behind, such as bfloat16: their codes are the top bits of a number.

use intrain_num::Round;
use intrain_num::block::Coding;
use intrain_num::minifloat::{FloatFormat, FloatRound, Number, Top};

use super::Args;
use super::lanes::{Loop, Rounder, with_rounder};
use super::out::{SEGMENT, Values};
use super::walk;
use crate::elementwise::Operation;
use crate::isa::Isa;
use crate::requantize::rounding::WordsOfChunk;

/// What a lane has to know of its format.
#[derive(Debug, Clone, Copy)]
pub(super) struct Short {
    /// Bits of a binary32 number below the last one of the format, 1 to 22.
    below: u32,
    /// Code of the largest magnitude.
    max: u32,
    /// Values beyond the largest, of infinity and of NaN, as binary32 bits; index 1 is for negative numbers.
    special: [[u32; 2]; 3],
}

impl Short {
    /// For formats with the bias and the top codes of binary32, and roundings that look no further than binary32 reaches.
    pub(super) fn new(coding: &Coding, round: FloatRound) -> Option<Self> {
        let Coding::Plain { format, overflow } = *coding else { return None };
        let m = format.mantissa_bits();
        let is_short = FloatFormat::new(8, m, 127, Top::Ieee, true) == Some(format) && (1..23).contains(&m);
        let random = match round {
            FloatRound::StochasticA { bits } | FloatRound::StochasticC { bits } => bits,
            FloatRound::StochasticB { bits } => bits + 1,
            _ => 0,
        };
        if !is_short || random > 23 - m {
            return None;
        }
        let value = |number| format.decode(format.encode(number, round, overflow, 0)).to_f32().to_bits();
        let both = |number: fn(bool) -> Number| [value(number(false)), value(number(true))];
        let special = [
            both(|negative| Number::Finite { negative, mantissa: 1, exponent: 1000 }),
            both(|negative| Number::Infinite { negative }),
            both(|negative| Number::Nan { negative }),
        ];
        Some(Self { below: 23 - m, max: format.max_code(), special })
    }

    /// The value of the code of the number with the binary32 bits `bits`.
    #[inline(always)]
    fn value(&self, bits: u32, word: u32, rounder: &impl Rounder) -> f32 {
        const INFINITY: u32 = 0x7f80_0000;
        let (magnitude, negative) = (bits & 0x7fff_ffff, bits >> 31);
        // Bound: 31 bits and one that is carried.
        let code = rounder.round(magnitude, self.below, word, negative);
        let [beyond, infinity, nan] = self.special.map(|pair| if negative == 0 { pair[0] } else { pair[1] });
        let value = if code > self.max { beyond } else { code << self.below | negative << 31 };
        f32::from_bits(if magnitude < INFINITY {
            value
        } else if magnitude == INFINITY {
            infinity
        } else {
            nan
        })
    }
}

/// A tensor and what it becomes.
pub(super) struct Walk<'a> {
    pub(super) short: Short,
    pub(super) args: Args<'a>,
    pub(super) out: &'a mut [f32],
}

impl Operation for Walk<'_> {
    type Output = f32;

    fn reference(self) -> f32 {
        walk::Walk { args: self.args, largest: None, out: Values { values: self.out } }.reference()
    }

    #[inline(always)]
    fn vectorized(self, isa: Isa) -> f32 {
        let Self { short, args, out } = self;
        let words = if args.round.is_stochastic() { Round::Stochastic { bits: 32 } } else { Round::Floor };
        let mut words: WordsOfChunk<'_, { SEGMENT + 4 }> =
            WordsOfChunk::new(isa, args.stream.map(Into::into), words);
        let pieces = out.chunks_mut(SEGMENT).zip(args.values.chunks(SEGMENT));
        for (i, (out, values)) in pieces.enumerate() {
            let words = words.get(args.first_element + (i * SEGMENT) as u64, values.len());
            with_rounder(args.round, Piece { short, out, values, words });
        }
        1.0
    }
}

/// Neighbouring elements.
struct Piece<'a> {
    short: Short,
    out: &'a mut [f32],
    values: &'a [f32],
    words: &'a [u32],
}

impl Loop for Piece<'_> {
    #[inline(always)]
    fn run(self, rounder: impl Rounder) {
        for ((out, x), word) in self.out.iter_mut().zip(self.values).zip(self.words) {
            *out = self.short.value(x.to_bits(), *word, &rounder);
        }
    }
}
