//! What stands in a block: a small float, or an integer of the same range in two's complement.

use core::fmt;
use core::str::FromStr;

use crate::minifloat::{FloatError, FloatFormat, FloatOverflow, FloatRound, Number, Top};

/// The format of a block's elements.
///
/// An integer of `W` bits is worth `code / 2^(W-2)`, from -1.98 to 1.98 for 8 bits, and is computed as the float of
/// the same width that has one step everywhere; `-2^(W-1)` exists as a code and no quantizer gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Element {
    float: FloatFormat,
    is_integer: bool,
}

impl Element {
    /// MX's INT8: `code / 64`.
    pub const INT8: Self = match Self::int(8) {
        Some(int8) => int8,
        None => panic!("8 bits are within the limits"),
    };

    /// A float of at most 8 bits with a sign.
    #[must_use]
    pub const fn float(format: FloatFormat) -> Option<Self> {
        if format.bits() <= 8 && format.is_signed() {
            Some(Self { float: format, is_integer: false })
        } else {
            None
        }
    }

    /// An integer of 3 to 8 bits.
    #[must_use]
    pub const fn int(bits: u32) -> Option<Self> {
        if bits < 3 || bits > 8 {
            return None;
        }
        // One exponent bit: normal and subnormal numbers have the same step, 2^(2-W).
        match FloatFormat::new(1, bits - 2, 1, Top::Finite, true) {
            Some(float) => Some(Self { float, is_integer: true }),
            None => None,
        }
    }

    /// Width of a code.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.float.bits()
    }

    /// The float whose magnitudes these are.
    #[must_use]
    pub const fn magnitudes(self) -> FloatFormat {
        self.float
    }

    /// Whether codes are integers in two's complement.
    #[must_use]
    pub const fn is_integer(self) -> bool {
        self.is_integer
    }

    /// The code of `x`, held at the largest. NaN: the format's, or its largest value.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "codes have at most 8 bits")]
    pub const fn encode(self, x: Number, round: FloatRound, word: u32) -> u8 {
        let code = self.float.encode(x, round, FloatOverflow::SatFinite, word) as u8;
        if self.is_integer { self.other_sign_form(code) } else { code }
    }

    /// What a code is worth.
    #[must_use]
    pub const fn decode(self, code: u8) -> Number {
        if !self.is_integer {
            return self.float.decode(code as u32);
        }
        if code as u32 & self.mask() == self.float.sign() {
            // The code without a counterpart.
            let exponent = 2 - self.bits().cast_signed();
            return Number::Finite { negative: true, mantissa: self.float.sign() as u64, exponent };
        }
        self.float.decode(self.other_sign_form(code) as u32)
    }

    const fn mask(self) -> u32 {
        u32::MAX >> (32 - self.bits())
    }

    /// Sign and magnitude to two's complement and back: both are this map.
    #[allow(clippy::cast_possible_truncation, reason = "codes have at most 8 bits")]
    const fn other_sign_form(self, code: u8) -> u8 {
        let (code, sign) = (code as u32 & self.mask(), self.float.sign());
        let other = if code & sign == 0 { code } else { (code & !sign).wrapping_neg() & self.mask() };
        // From two's complement: the negative's magnitude has to get its sign again; -0 does not exist there.
        let other = if code & sign != 0 && other != 0 { other | sign } else { other };
        other as u8
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_integer { write!(f, "int{}", self.bits()) } else { self.float.fmt(f) }
    }
}

impl FromStr for Element {
    type Err = FloatError;

    fn from_str(text: &str) -> Result<Self, FloatError> {
        if let Some(bits) = text.strip_prefix("int").and_then(|bits| bits.parse().ok()) {
            return Self::int(bits).ok_or(FloatError::Format);
        }
        text.parse().ok().and_then(Self::float).ok_or(FloatError::Format)
    }
}
