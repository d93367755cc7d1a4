//! A format: its fields, its bias, what its top codes are, and the value of each code.

use super::number::Number;

/// What the codes at the top of a format mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Top {
    /// An exponent field of ones is infinity (mantissa 0) or NaN: binary16, bfloat16, OCP's E5M2.
    Ieee,
    /// No infinity; all ones is NaN, with both signs: OCP's E4M3.
    Fn,
    /// All codes are finite: OCP's E3M2, E2M3, E2M1.
    Finite,
    /// No infinity, no -0: the code of -0 is the only NaN. Too large without saturation: NaN.
    Fnuz,
    /// P3109 without infinity: the codes of [`Top::Fnuz`] (unsigned: NaN is all ones); the largest value is the
    /// answer to everything beyond it.
    P3109Finite,
    /// P3109 with infinity at the largest code of each sign, below NaN where there is no sign.
    P3109Extended,
}

/// A float of up to 32 bits. Codes are `u32` whose low [`FloatFormat::bits`] bits count.
///
/// With the exponent field `e`, the mantissa field `f`, `M` mantissa bits and bias `B`, a code is worth
/// `f * 2^(1-B-M)` for `e = 0`, else `(2^M + f) * 2^(e-B-M)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FloatFormat {
    exponent_bits: u32,
    mantissa_bits: u32,
    bias: i32,
    top: Top,
    signed: bool,
}

impl FloatFormat {
    /// IEEE 754 binary32.
    pub const BINARY32: Self = Self::standard(8, 23, Top::Ieee);
    /// bfloat16.
    pub const BFLOAT16: Self = Self::standard(8, 7, Top::Ieee);
    /// OCP's E4M3, to 448.
    pub const E4M3: Self = Self::standard(4, 3, Top::Fn);
    /// OCP's E5M2, to 57344 and infinity.
    pub const E5M2: Self = Self::standard(5, 2, Top::Ieee);
    /// OCP's E3M2, to 28.
    pub const E3M2: Self = Self::standard(3, 2, Top::Finite);
    /// OCP's E2M3, to 7.5.
    pub const E2M3: Self = Self::standard(2, 3, Top::Finite);
    /// OCP's E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives.
    pub const E2M1: Self = Self::standard(2, 1, Top::Finite);

    /// A format with a sign and the bias that is usual for its top. Bound: as [`FloatFormat::new`] says.
    const fn standard(exponent_bits: u32, mantissa_bits: u32, top: Top) -> Self {
        let bias = Self::usual_bias(exponent_bits, top);
        Self { exponent_bits, mantissa_bits, bias, top, signed: true }
    }

    /// `2^(E-1) - 1`; one more for the formats that have no -0.
    pub(super) const fn usual_bias(exponent_bits: u32, top: Top) -> i32 {
        (1 << (exponent_bits - 1)) - 1 + !Self::has_minus_zero_at(top) as i32
    }

    /// A format, if it has a finite value beside zero, at most 32 bits and all its values are normal or subnormal
    /// binary64 numbers: exponent field of 1 to 11 bits. `ieee` needs a mantissa to tell NaN from infinity.
    #[must_use]
    pub const fn new(
        exponent_bits: u32,
        mantissa_bits: u32,
        bias: i32,
        top: Top,
        signed: bool,
    ) -> Option<Self> {
        if exponent_bits < 1 || exponent_bits > 11 || mantissa_bits > 23 || bias < -2048 || bias > 2048 {
            return None;
        }
        let format = Self { exponent_bits, mantissa_bits, bias, top, signed };
        if format.bits() > 32
            || format.bits() < 2
            || !signed && !matches!(top, Top::P3109Finite | Top::P3109Extended)
        {
            return None;
        }
        // Without a mantissa there is one code for infinity and NaN.
        if matches!(top, Top::Ieee) && mantissa_bits == 0 {
            return None;
        }
        let lost = match top {
            Top::Finite | Top::Fnuz => 0,
            Top::P3109Finite if signed => 0,
            Top::Fn | Top::P3109Finite => 1,
            Top::P3109Extended => 1 + !signed as u64,
            Top::Ieee => 1 << mantissa_bits,
        };
        if lost + 1 >= 1 << (exponent_bits + mantissa_bits) {
            return None;
        }
        let least = 1 - bias - mantissa_bits.cast_signed();
        if least < -1074 || format.max_exponent() > 1023 { None } else { Some(format) }
    }

    /// `E`.
    #[must_use]
    pub const fn exponent_bits(self) -> u32 {
        self.exponent_bits
    }

    /// `M`.
    #[must_use]
    pub const fn mantissa_bits(self) -> u32 {
        self.mantissa_bits
    }

    /// `B`.
    #[must_use]
    pub const fn bias(self) -> i32 {
        self.bias
    }

    /// What the top codes mean.
    #[must_use]
    pub const fn top(self) -> Top {
        self.top
    }

    /// Whether there are negative numbers.
    #[must_use]
    pub const fn is_signed(self) -> bool {
        self.signed
    }

    /// Width of a code.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.exponent_bits + self.mantissa_bits + self.signed as u32
    }

    /// The sign bit of a code; 0 where there is none.
    #[must_use]
    pub const fn sign(self) -> u32 {
        if self.signed { 1 << (self.bits() - 1) } else { 0 }
    }

    /// The code of the largest finite value.
    #[must_use]
    pub const fn max_code(self) -> u32 {
        let fields = self.exponent_bits + self.mantissa_bits;
        let all = u32::MAX >> (32 - fields);
        match self.top {
            Top::Finite | Top::Fnuz => all,
            Top::P3109Finite => all - !self.signed as u32,
            Top::P3109Extended => all - 1 - !self.signed as u32,
            Top::Fn => all - 1,
            Top::Ieee => (all >> self.mantissa_bits << self.mantissa_bits) - 1,
        }
    }

    /// The code of positive infinity.
    #[must_use]
    pub const fn infinity(self) -> Option<u32> {
        match self.top {
            Top::Ieee | Top::P3109Extended => Some(self.max_code() + 1),
            _ => None,
        }
    }

    /// The code of NaN; formats that have it with both signs give that of `negative`.
    #[must_use]
    pub const fn nan(self, negative: bool) -> Option<u32> {
        let sign = if negative { self.sign() } else { 0 };
        match self.top {
            Top::Finite => None,
            // The quiet one: the first bit of the mantissa.
            Top::Ieee => Some(sign | (self.max_code() + 1) | (1 << self.mantissa_bits >> 1)),
            Top::Fn => Some(sign | (self.max_code() + 1)),
            Top::Fnuz => Some(self.sign()),
            Top::P3109Finite | Top::P3109Extended if self.signed => Some(self.sign()),
            Top::P3109Finite => Some(self.max_code() + 1),
            Top::P3109Extended => Some(self.max_code() + 2),
        }
    }

    const fn has_minus_zero_at(top: Top) -> bool {
        matches!(top, Top::Ieee | Top::Fn | Top::Finite)
    }

    /// Whether -0 is a code.
    #[must_use]
    pub const fn has_minus_zero(self) -> bool {
        Self::has_minus_zero_at(self.top)
    }

    /// `floor(log2)` of the largest finite value: the `emax` of block formats.
    #[must_use]
    pub const fn max_exponent(self) -> i32 {
        let (max, m) = (self.max_code(), self.mantissa_bits);
        let field = (max >> m).cast_signed();
        if field > 0 {
            return field - self.bias;
        }
        // A format of one exponent has subnormal numbers alone.
        max.ilog2().cast_signed() + 1 - self.bias - m.cast_signed()
    }

    /// What a code is worth. Bits above the format's width are not looked at.
    #[must_use]
    pub const fn decode(self, code: u32) -> Number {
        let negative = code & self.sign() != 0;
        let magnitude = code & u32::MAX >> (32 - self.exponent_bits - self.mantissa_bits);
        let is_nan_of_minus_zero = self.signed && negative && magnitude == 0 && !self.has_minus_zero();
        if is_nan_of_minus_zero {
            return Number::Nan { negative: false };
        }
        if magnitude > self.max_code() {
            return match self.infinity() {
                Some(infinity) if magnitude == infinity => Number::Infinite { negative },
                _ => Number::Nan { negative },
            };
        }
        let m = self.mantissa_bits;
        let (field, fraction) = ((magnitude >> m).cast_signed(), (magnitude & ((1 << m) - 1)) as u64);
        let base = 1 - self.bias - m.cast_signed();
        if field == 0 {
            Number::Finite { negative, mantissa: fraction, exponent: base }
        } else {
            Number::Finite { negative, mantissa: fraction | 1 << m, exponent: base + field - 1 }
        }
    }

    /// The largest finite value.
    #[must_use]
    pub const fn max(self) -> Number {
        self.decode(self.max_code())
    }
}
