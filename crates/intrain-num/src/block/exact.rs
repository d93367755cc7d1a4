//! A sum that is never rounded: wide enough for every product of two codes under two scales.

use crate::minifloat::Number;

const LIMBS: usize = 12;
/// The power of two of the lowest bit. Bound: two binary32 subnormals multiply to `2^-298`, two E5M2 codes under two
/// E8M0 scales to `2^-286`.
const LOWEST: i32 = -320;

/// A sum of integers times powers of two, in two's complement of 768 bits; order never matters.
///
/// Bound: terms lie in `2^-320 .. 2^384`, and `2^63` of the largest fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExactSum {
    limbs: [u64; LIMBS],
    has_plus_infinity: bool,
    has_minus_infinity: bool,
    has_nan: bool,
}

impl Default for ExactSum {
    fn default() -> Self {
        Self { limbs: [0; LIMBS], has_plus_infinity: false, has_minus_infinity: false, has_nan: false }
    }
}

impl ExactSum {
    /// Adds `m * 2^exponent`.
    ///
    /// # Panics
    /// When the term lies outside `2^-320 .. 2^384`.
    pub fn add(&mut self, m: i128, exponent: i32) {
        if m == 0 {
            return;
        }
        let bits = 128 - if m < 0 { m.leading_ones() } else { m.leading_zeros() };
        let fits = exponent >= LOWEST && bits.cast_signed() <= 384i32.saturating_sub(exponent);
        assert!(fits, "a term of {bits} bits times 2^{exponent} lies outside the sum");
        let place = (exponent - LOWEST).cast_unsigned() as usize;
        let (first, up) = (place / 64, place % 64);
        let m = m.cast_unsigned();
        #[allow(clippy::cast_possible_truncation, reason = "limbs are cut out of the shifted term")]
        let low = [(m << up) as u64, (m << up >> 64) as u64];
        // The sign goes on through all limbs above.
        let sign = (m >> 127) as u64 * u64::MAX;
        #[allow(clippy::cast_possible_truncation, reason = "what is shifted out of 128 bits has at most 63")]
        let rest = if up == 0 { sign } else { (m >> (128 - up)) as u64 | sign << up };
        let parts = [low[0], low[1], rest];
        let mut carry = false;
        for (i, limb) in self.limbs[first..].iter_mut().enumerate() {
            let (sum, c1) = limb.overflowing_add(parts.get(i).copied().unwrap_or(sign));
            let (sum, c2) = sum.overflowing_add(carry.into());
            (*limb, carry) = (sum, c1 || c2);
        }
    }

    /// Adds `a * b * 2^n` as IEEE 754 multiplies: zero by infinity, and NaN, make the sum NaN.
    pub fn add_product(&mut self, a: Number, b: Number, n: i32) {
        let negative = a.is_negative() != b.is_negative();
        match (a, b) {
            (
                Number::Finite { mantissa: x, exponent: ex, .. },
                Number::Finite { mantissa: y, exponent: ey, .. },
            ) => {
                let product = (u128::from(x) * u128::from(y)).cast_signed();
                self.add(if negative { -product } else { product }, ex + ey + n);
            }
            (Number::Nan { .. }, _) | (_, Number::Nan { .. }) => self.has_nan = true,
            (Number::Finite { mantissa: 0, .. }, _) | (_, Number::Finite { mantissa: 0, .. }) => {
                self.has_nan = true
            }
            _ if negative => self.has_minus_infinity = true,
            _ => self.has_plus_infinity = true,
        }
    }

    /// Adds another sum.
    pub fn add_sum(&mut self, other: &Self) {
        let mut carry = false;
        for (limb, term) in self.limbs.iter_mut().zip(other.limbs) {
            let (sum, c1) = limb.overflowing_add(term);
            let (sum, c2) = sum.overflowing_add(carry.into());
            (*limb, carry) = (sum, c1 || c2);
        }
        self.has_nan |= other.has_nan;
        self.has_plus_infinity |= other.has_plus_infinity;
        self.has_minus_infinity |= other.has_minus_infinity;
    }

    /// The sum as a number of 64 bits whose last bit is set if anything below it is: rounding that to 62 bits or less
    /// is rounding the sum once. A sum of nothing is +0.
    #[must_use]
    pub fn to_number(&self) -> Number {
        if self.has_nan || self.has_plus_infinity && self.has_minus_infinity {
            return Number::Nan { negative: false };
        }
        if self.has_plus_infinity || self.has_minus_infinity {
            return Number::Infinite { negative: self.has_minus_infinity };
        }
        let negative = self.limbs[LIMBS - 1] >> 63 == 1;
        let mut limbs = self.limbs;
        if negative {
            let mut carry = true;
            for limb in &mut limbs {
                (*limb, carry) = (!*limb).overflowing_add(carry.into());
            }
        }
        let Some(high) = limbs.iter().rposition(|limb| *limb != 0) else { return Number::zero(false) };
        let up = limbs[high].leading_zeros();
        let next = if high > 0 { limbs[high - 1] } else { 0 };
        let mantissa = if up == 0 { limbs[high] } else { limbs[high] << up | next >> (64 - up) };
        let lost = high > 0 && (next << up != 0 || limbs[..high - 1].iter().any(|limb| *limb != 0));
        #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "at most 12 limbs")]
        let exponent = LOWEST + 64 * high as i32 - up.cast_signed();
        Number::Finite { negative, mantissa: mantissa | u64::from(lost), exponent }
    }
}
