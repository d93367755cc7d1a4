//! Where a tensor's power of two comes from. Section 1.3 of `docs/arithmetic.md`.

use core::fmt;

/// What multiplies `code * step` to give the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scale {
    /// Nothing: the format alone says the value.
    #[default]
    One,
    /// `@alpha`: a power of two fixed per layer when it is built, `max(Shift(Lmin / L0), 1)`, by which the
    /// product is divided. WAGE, arXiv 1802.04680 eq. 7 with the code's `L0 = sqrt(3 / fan_in)`.
    Alpha,
    /// `@shift`: the tensor is first divided by `Shift(max|x|) = 2^round(log2 max|x|)`, and that power of two is
    /// then forgotten. WAGE, arXiv 1802.04680 eq. 8 and 9.
    Shift,
    /// `@dynamic`: as `@shift`, but the power of two stays with the tensor: dynamic fixed point.
    Dynamic,
    /// `@bound`: a power of two by which the tensor provably fits, found from the largest error and the weights before the
    /// product is computed; it stays with the tensor.
    Bound,
    /// `@fan`: a power of two per layer, fixed when it is built, so that initial weights of its fan-in use a quarter to a
    /// half of the format.
    Fan,
    /// `@filter`: each output filter's mean magnitude, by which its products are multiplied. HWGQ, arXiv 1702.00953
    /// section 2.2; the mean is a sum in binary64 in the order of the weights, divided and rounded to binary32.
    Filter,
}

impl Scale {
    /// Whether the largest magnitude of the whole tensor decides how it is rounded.
    #[must_use]
    pub const fn is_relative(self) -> bool {
        matches!(self, Self::Shift | Self::Dynamic)
    }

    /// The suffix of a format's name.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Alpha => "@alpha",
            Self::Shift => "@shift",
            Self::Dynamic => "@dynamic",
            Self::Bound => "@bound",
            Self::Fan => "@fan",
            Self::Filter => "@filter",
        }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.suffix())
    }
}

/// `round(log2 m)` for `m >= 1`, exactly: `floor(log2 m) + [m^2 > 2^(2 floor + 1)]`; `None` for `m = 0`.
///
/// Exact: `sqrt 2` is irrational, so there is no tie to break.
#[must_use]
pub const fn round_log2(m: u64) -> Option<i32> {
    if m == 0 {
        return None;
    }
    let floor = 63 - m.leading_zeros();
    let square = m as u128 * m as u128;
    Some(floor.cast_signed() + (square > 1u128 << (2 * floor + 1)) as i32)
}

/// `n` of `@fan`: one more than the least integer with `2^n >= sqrt(6 / fan_in)`, the limit of initial weights.
#[must_use]
pub const fn fan_log2(fan_in: usize) -> i32 {
    // 2^(n - 1) is enough too where 4^(n - 1) * fan_in >= 6.
    let (fan_in, mut n) = (fan_in as u128, 2);
    while n > -30 && (fan_in << 4) >= 6 << (2 * (3 - n)) {
        n -= 1;
    }
    n + 1
}

#[cfg(test)]
mod tests {
    use super::{fan_log2, round_log2};

    #[test]
    fn worked_examples() {
        let pairs = [
            (1, 0),
            (2, 1),
            (3, 2),
            (5, 2),
            (6, 3),
            (11, 3),
            (12, 4),
            (22, 4),
            (23, 5),
            (90, 6),
            (91, 7),
            (181, 7),
            (182, 8),
            (46_340, 15),
            (46_341, 16),
            (u64::MAX, 64),
        ];
        for (m, n) in pairs {
            assert_eq!(round_log2(m), Some(n), "round(log2 {m})");
        }
        assert_eq!(round_log2(0), None);
    }

    #[test]
    fn initial_weights_use_a_quarter_to_a_half_of_fan() {
        for fan_in in 1..10_000_usize {
            let n = fan_log2(fan_in);
            // (sqrt(6 / fan_in) / 2^n)^2 in (1/16, 1/4].
            let square = 6 << 40;
            let of = |places: i32| (fan_in as u128) << (40 + 2 * n - places);
            assert!(square > of(4) && square <= of(2), "{fan_in}: {n}");
        }
        assert_eq!((fan_log2(27), fan_log2(144), fan_log2(576), fan_log2(64)), (0, -1, -2, 0));
    }
}
