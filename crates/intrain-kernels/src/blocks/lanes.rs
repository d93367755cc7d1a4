//! One element in a lane of 32 bits: a binary32 number to a code, or to the value of that code, without a branch.
//!
//! Dividing by a power of two is a change of the format's bias, so blocks need no other loop than floats do, and
//! every rounding sees the exact quotient.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "lanes change between signed, unsigned and float; what is converted has at most 24 bits"
)]

use intrain_num::block::{Coding, Element};
use intrain_num::minifloat::{FloatFormat, FloatOverflow, FloatRound, Number};

const MAGNITUDE: u32 = 0x7fff_ffff;
const INFINITY: u32 = 0x7f80_0000;

/// What a lane has to know of its format. Index 1 of a pair is for negative numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes {
    /// Mantissa bits, 1 to 14.
    m: u32,
    /// Bias without a scale.
    pub(super) bias: i32,
    /// Code of the largest magnitude.
    max: u32,
    /// Place of the sign bit.
    sign: u32,
    /// All bits of a negative number in two's complement, else 0.
    complement: u32,
    /// Codes beyond the largest, of infinity, of NaN, and of the zeros.
    special: [[u32; 2]; 4],
}

/// What [`Lanes::split`] found: the magnitude's code, the integer of the mantissa and the power of two of its step.
#[derive(Clone, Copy)]
struct Rounded {
    code: u32,
    steps: u32,
    step: i32,
}

impl Lanes {
    /// For floats of at most 16 bits with a sign, and roundings that lanes of 32 bits hold; `None` for others, which
    /// the reference serves.
    pub(super) fn new(coding: &Coding, round: FloatRound) -> Option<Self> {
        let (format, overflow, element) = match coding {
            Coding::Plain { format, overflow } => (*format, *overflow, None),
            Coding::Scaled { element, .. } => {
                (element.magnitudes(), FloatOverflow::SatFinite, Some(*element))
            }
            Coding::Nvfp4 { .. } => (FloatFormat::E2M1, FloatOverflow::SatFinite, None),
        };
        let (m, e) = (format.mantissa_bits(), format.exponent_bits());
        let random = match round {
            FloatRound::StochasticA { bits } | FloatRound::StochasticC { bits } => bits,
            FloatRound::StochasticB { bits } => bits + 1,
            _ => 0,
        };
        let bias = format.bias();
        // Bound: a step of the format lies 23 - m bits above the last bit of a mantissa, or higher.
        let fits = (1..=14).contains(&m) && e <= 8 && random + m <= 21;
        // Bound: the format's subnormal numbers reach as far down as those of binary32 that count, and powers of two
        // are normal binary32 numbers.
        if !(fits && format.is_signed() && format.bits() <= 16 && (-64..=127 - m as i32).contains(&bias)) {
            return None;
        }
        let of = |x| match element {
            Some(element) => element.encode(x, round, 0).into(),
            None => format.encode(x, round, overflow, 0),
        };
        // Any number beyond all formats of 8 bits of exponent.
        let beyond = |negative| Number::Finite { negative, mantissa: 1, exponent: 1000 };
        let both = |number: fn(bool) -> Number| [of(number(false)), of(number(true))];
        let special = [
            [of(beyond(false)), of(beyond(true))],
            both(|negative| Number::Infinite { negative }),
            both(|negative| Number::Nan { negative }),
            both(Number::zero),
        ];
        let is_integer = element.is_some_and(Element::is_integer);
        let complement = if is_integer { u32::MAX >> (32 - format.bits()) } else { 0 };
        Some(Self { m, bias, max: format.max_code(), sign: format.sign(), complement, special })
    }

    /// Mantissa bits of the format.
    pub(super) const fn mantissa_bits(&self) -> u32 {
        self.m
    }

    /// Rounds the magnitude of `bits` in the format with the bias `bias`.
    #[inline(always)]
    fn split(&self, bits: u32, bias: i32, word: u32, rounder: &impl Rounder) -> Rounded {
        let magnitude = bits & MAGNITUDE;
        let exponent = (magnitude >> 23).max(1) as i32;
        let is_normal = u32::from(magnitude >= 1 << 23);
        let mantissa = magnitude & 0x7f_ffff | is_normal << 23;
        let ordinary = exponent - 127 + bias;
        let field = ordinary.max(1);
        // Bound: at least 9; what is far below the least number has a mantissa that is shifted out.
        let below = (23 - self.m) + (field - ordinary) as u32;
        let steps = rounder.round(mantissa, below, word, bits >> 31);
        let code = ((field - 1) as u32) << self.m;
        Rounded { code: code + steps, steps, step: field - bias - self.m as i32 }
    }

    /// The code of the number with the binary32 bits `bits`.
    #[inline(always)]
    pub(super) fn code(&self, bits: u32, bias: i32, word: u32, rounder: &impl Rounder) -> u32 {
        let code = self.split(bits, bias, word, rounder).code;
        let negative = bits >> 31;
        let signs = negative.wrapping_neg();
        let signed = if self.complement == 0 {
            code | self.sign & signs
        } else {
            ((code ^ signs).wrapping_sub(signs)) & self.complement
        };
        let [beyond, infinity, nan, zero] =
            self.special.map(|pair| if negative == 0 { pair[0] } else { pair[1] });
        let code = if code == 0 {
            zero
        } else if code > self.max {
            beyond
        } else {
            signed
        };
        let magnitude = bits & MAGNITUDE;
        if magnitude < INFINITY {
            code
        } else if magnitude == INFINITY {
            infinity
        } else {
            nan
        }
    }
}

/// The values of a format beside its codes.
#[derive(Debug, Clone, Copy)]
pub(super) struct LaneValues {
    pub(super) lanes: Lanes,
    /// Values of [`Lanes::special`], as binary32 bits.
    special: [[u32; 2]; 4],
}

impl LaneValues {
    pub(super) fn new(lanes: Lanes, decode: impl Fn(u32) -> f32) -> Self {
        let special = lanes.special.map(|pair| pair.map(|code| decode(code).to_bits()));
        Self { lanes, special }
    }

    /// The value of the code of the number with the binary32 bits `bits`; under a scale, `largest` is what the
    /// largest code is worth.
    ///
    /// Exact: a code has at most 15 significant bits, and its step is a normal number.
    #[inline(always)]
    #[allow(clippy::float_arithmetic, reason = "an integer times a power of two, exact")]
    pub(super) fn value(
        &self,
        bits: u32,
        bias: i32,
        largest: Option<f32>,
        word: u32,
        rounder: &impl Rounder,
    ) -> f32 {
        let rounded = self.lanes.split(bits, bias, word, rounder);
        let negative = bits >> 31;
        let step = f32::from_bits(((rounded.step + 127) as u32) << 23);
        let value = (rounded.steps as f32 * step).to_bits() | negative << 31;
        let [beyond, infinity, nan, zero] =
            self.special.map(|pair| if negative == 0 { pair[0] } else { pair[1] });
        let beyond = largest.map_or(beyond, |largest| largest.to_bits() | negative << 31);
        let value = if rounded.code == 0 {
            zero
        } else if rounded.code > self.lanes.max {
            beyond
        } else {
            value
        };
        let magnitude = bits & MAGNITUDE;
        let infinity = if largest.is_some() { beyond } else { infinity };
        // Without a NaN of its own, NaN is the largest positive number.
        let is_finite = nan & MAGNITUDE < INFINITY;
        let nan = largest.filter(|_| is_finite).map_or(nan, f32::to_bits);
        f32::from_bits(if magnitude < INFINITY {
            value
        } else if magnitude == INFINITY {
            infinity
        } else {
            nan
        })
    }
}

/// A rounding of `mantissa / 2^below` to an integer, `9 <= below`, `mantissa < 2^24`.
pub(super) trait Rounder {
    const IS_NEAREST_EVEN: bool = false;

    fn round(&self, mantissa: u32, below: u32, word: u32, negative: u32) -> u32;
}

impl<F: Fn(u32, u32, u32, u32) -> u32> Rounder for F {
    #[inline(always)]
    fn round(&self, mantissa: u32, below: u32, word: u32, negative: u32) -> u32 {
        self(mantissa, below, word, negative)
    }
}

/// A rounding of its own type, for which lean lanes have another way.
struct NearestEven;

impl Rounder for NearestEven {
    const IS_NEAREST_EVEN: bool = true;

    #[inline(always)]
    fn round(&self, mantissa: u32, below: u32, _word: u32, _negative: u32) -> u32 {
        nearest_even(mantissa, below.min(31))
    }
}

/// A loop over elements to which a rounding is handed, so that each rounding has a loop of its own.
pub(super) trait Loop {
    fn run(self, rounder: impl Rounder);
}

/// Runs a loop with the rounding `round`. Bound: those that [`Lanes::new`] takes.
///
/// Exact: beyond 31 bits below the point all bits of a mantissa are shifted out, as they are at 31; in even more no
/// rounding but `up`, `down` and `to-odd` sees them, and those look whether there is a mantissa at all.
#[inline(always)]
pub(super) fn with_rounder(round: FloatRound, body: impl Loop) {
    match round {
        FloatRound::NearestEven => body.run(NearestEven),
        FloatRound::NearestAway => body.run(|x: u32, below: u32, _, _| {
            let below = below.min(31);
            (x + (1 << (below - 1))) >> below
        }),
        FloatRound::TowardZero => body.run(|x: u32, below: u32, _, _| x >> below.min(31)),
        FloatRound::Up => {
            body.run(|x: u32, below: u32, _, negative: u32| away(x, below.min(31), negative ^ 1))
        }
        FloatRound::Down => body.run(|x: u32, below: u32, _, negative: u32| away(x, below.min(31), negative)),
        FloatRound::ToOdd => body.run(|x: u32, below: u32, _, _| {
            let below = below.min(31);
            // The code of a mantissa of 2 bits or more is odd where the mantissa is.
            x >> below | u32::from(x & ((1 << below) - 1) != 0)
        }),
        // `floor(v 2^N) + R` carries into the steps: both are added with N bits below the point.
        FloatRound::StochasticA { bits } => body.run(move |x: u32, below: u32, word: u32, _| {
            ((x >> (below - bits).min(31)) + (word >> (32 - bits))) >> bits
        }),
        FloatRound::StochasticB { bits } => body.run(move |x: u32, below: u32, word: u32, _| {
            ((x >> (below - bits - 1).min(31)) + ((word >> (32 - bits)) << 1) + 1) >> (bits + 1)
        }),
        FloatRound::StochasticC { bits } => body.run(move |x: u32, below: u32, word: u32, _| {
            (nearest_even(x, (below - bits).min(31)) + (word >> (32 - bits))) >> bits
        }),
    }
}

/// Bound: `1 <= below <= 31`, so that nothing is carried out of 32 bits.
#[inline(always)]
fn nearest_even(x: u32, below: u32) -> u32 {
    (x + (1 << (below - 1)) - 1 + (x >> below & 1)) >> below
}

/// Away from zero where `is_away` is 1, else towards it.
#[inline(always)]
fn away(x: u32, below: u32, is_away: u32) -> u32 {
    (x + (((1 << below) - 1) & is_away.wrapping_neg())) >> below
}
