//! Width proofs: what the sum of a product can reach at most, found when a network is built.
//!
//! Section 5 of `docs/arithmetic.md`. Integer sums are order-free exactly because they provably never overflow.

/// Largest magnitude that a sum of products can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    /// Magnitude, in units of the sum's last bit.
    pub bound: u128,
}

impl Sum {
    /// `depth` products of `|a| <= a_max` and `|b| <= b_max`, added to what the accumulator already holds.
    #[must_use]
    pub const fn of_products(depth: u64, a_max: u64, b_max: u64, held: u128) -> Self {
        // Bound: depth < 2^40 and 24-bit operands keep this far below 2^128.
        Self { bound: depth as u128 * a_max as u128 * b_max as u128 + held }
    }

    /// Bits of the narrowest two's complement register that holds every value in `-bound..=bound`.
    #[must_use]
    pub const fn width_bits(self) -> u32 {
        128 - self.bound.leading_zeros() + 1
    }

    /// Whether a two's complement register of `bits` holds every value in `-bound..=bound`.
    #[must_use]
    pub const fn fits(self, bits: u32) -> bool {
        self.width_bits() <= bits
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    #[test]
    fn width_is_tight() {
        assert_eq!(Sum { bound: 0 }.width_bits(), 1);
        assert_eq!(Sum { bound: 127 }.width_bits(), 8);
        assert_eq!(Sum { bound: 128 }.width_bits(), 9);
        assert!(Sum { bound: i32::MAX.unsigned_abs().into() }.fits(32));
        assert!(!Sum { bound: 1 << 31 }.fits(32));
    }

    #[test]
    fn widest_gradient_of_vgg7_fits_32_bits_and_one_image_more_than_130_does_not() {
        // 128 images of 32 x 32 pixels, 8-bit activations and errors.
        assert!(Sum::of_products(128 * 1024, 127, 127, 0).fits(32));
        assert!(Sum::of_products(130 * 1024, 127, 127, 0).fits(32));
        assert!(!Sum::of_products(131 * 1024, 127, 127, 0).fits(32));
    }

    /// No sum of 8-bit products ever passes the bound: exhaustive over the operands' extremes at small depth.
    #[test]
    fn bound_is_reached_and_never_passed() {
        for depth in 1..=4u64 {
            let bound = Sum::of_products(depth, 128, 128, 0).bound;
            let extremes = [-128i64, -1, 0, 127];
            let mut worst = 0u128;
            for a in extremes {
                for b in extremes {
                    worst = worst.max((a * b * depth.cast_signed()).unsigned_abs().into());
                }
            }
            assert_eq!(worst, bound);
        }
    }
}
