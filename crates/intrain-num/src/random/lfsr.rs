//! The hardware's random source: a shift register, its steps, and leaps over many of them.

/// A Fibonacci linear-feedback shift register that shifts right: the random source of the hardware.
///
/// `taps` is the mask of state bits whose parity enters at the top. `x^16 + x^14 + x^13 + x^11 + 1` is
/// [`Lfsr::TAPS_16`]: bits 0, 2, 3 and 5, period 65,535.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lfsr {
    state: u32,
    taps: u32,
    bits: u32,
}

impl Lfsr {
    /// Taps of `x^16 + x^14 + x^13 + x^11 + 1`.
    pub const TAPS_16: u32 = 0b10_1101;

    /// A register of `bits` (2 to 32) in a state that is not zero; `None` where it could never move.
    #[must_use]
    pub const fn new(bits: u32, taps: u32, state: u32) -> Option<Self> {
        if bits < 2 || bits > 32 {
            return None;
        }
        let mask = u32::MAX >> (32 - bits);
        if state & mask == 0 || taps & mask == 0 || taps & !mask != 0 {
            return None;
        }
        Some(Self { state: state & mask, taps, bits })
    }

    /// Steps once and gives the new state.
    pub const fn step(&mut self) -> u32 {
        let bit = (self.state & self.taps).count_ones() & 1;
        self.state = (self.state >> 1) | (bit << (self.bits - 1));
        self.state
    }

    /// As many steps as it has bits, and the new state: no bit of it was in the last draw.
    pub const fn draw(&mut self) -> u32 {
        let mut step = 0;
        while step < self.bits {
            self.step();
            step += 1;
        }
        self.state
    }

    /// A leap over `steps` steps, for [`Lfsr::leapt`] of a register with the same taps: the polynomial `x^steps` modulo
    /// `x^bits + sum of T_i x^i` over GF(2), with bit `i` the coefficient of `x^i`.
    #[must_use]
    pub const fn leap(&self, steps: u64) -> u32 {
        let mut power = 1;
        let mut bit = u64::BITS - steps.leading_zeros();
        while bit > 0 {
            bit -= 1;
            power = self.times(power, power);
            if steps >> bit & 1 == 1 {
                power = self.times_x(power);
            }
        }
        power
    }

    /// The state after a leap: the sum of those of the next `bits` states, this one first, whose coefficient is 1.
    #[must_use]
    pub const fn leapt(mut self, mut leap: u32) -> u32 {
        let mut sum = 0;
        while leap != 0 {
            if leap & 1 == 1 {
                sum ^= self.state;
            }
            self.step();
            leap >>= 1;
        }
        sum
    }

    /// Whether every state but 0 comes up: the period is `2^bits - 1`.
    #[must_use]
    pub fn is_maximal(&self) -> bool {
        let period = (u32::MAX >> (32 - self.bits)) as u64;
        if self.leap(period) != 1 {
            return false;
        }
        // The order of x divides the period; a shorter one would divide the period by one of its prime factors.
        let (mut rest, mut prime) = (period, 2);
        while rest > 1 {
            if prime * prime > rest {
                prime = rest;
            }
            if rest.is_multiple_of(prime) {
                if self.leap(period / prime) == 1 {
                    return false;
                }
                while rest.is_multiple_of(prime) {
                    rest /= prime;
                }
            }
            prime += 1;
        }
        true
    }

    /// The product of two polynomials over GF(2), modulo the register's.
    const fn times(&self, a: u32, b: u32) -> u32 {
        let (mut product, mut bit) = (0, self.bits);
        while bit > 0 {
            bit -= 1;
            product = self.times_x(product);
            if b >> bit & 1 == 1 {
                product ^= a;
            }
        }
        product
    }

    /// `x^bits` is the sum of the taps' powers.
    const fn times_x(&self, a: u32) -> u32 {
        let shifted = (a << 1) & (u32::MAX >> (32 - self.bits));
        if a >> (self.bits - 1) & 1 == 1 { shifted ^ self.taps } else { shifted }
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> u32 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lfsr_sequence_and_period() {
        let mut lfsr = Lfsr::new(16, Lfsr::TAPS_16, 0xACE1).unwrap();
        assert_eq!([(); 6].map(|()| lfsr.step()), [0x5670, 0xAB38, 0x559C, 0x2ACE, 0x1567, 0x8AB3]);
        let start = lfsr.state();
        let period = 1 + (0..).take_while(|_| lfsr.step() != start).count();
        assert_eq!(period, 65_535);
    }

    #[test]
    fn lfsr_refuses_what_cannot_move() {
        assert_eq!(Lfsr::new(16, Lfsr::TAPS_16, 0), None);
        assert_eq!(Lfsr::new(16, 0, 1), None);
        assert_eq!(Lfsr::new(4, Lfsr::TAPS_16, 1), None);
        assert_eq!(Lfsr::new(33, 1, 1), None);
    }

    /// Leaps are compared with single steps, in registers of every width; one of them is not maximal, one has gone round.
    #[test]
    fn a_leap_is_that_many_steps() {
        for (bits, taps) in [(2, 0x3), (4, 0x3), (4, 0x1), (7, 0x41), (16, Lfsr::TAPS_16), (32, 0x8000_0057)]
        {
            let start = Lfsr::new(bits, taps, 0x9e37_79b9 & (u32::MAX >> (32 - bits))).unwrap();
            let mut walked = start;
            for steps in 0..1000 {
                assert_eq!(start.leapt(start.leap(steps)), walked.state(), "{bits} bits, {steps} steps");
                walked.step();
            }
        }
        let lfsr = Lfsr::new(16, Lfsr::TAPS_16, 0xACE1).unwrap();
        assert_eq!(lfsr.leapt(lfsr.leap(65_535 * 12_345_678_901 + 6)), 0x8AB3);
    }

    /// By walking the whole period, of every mask of small registers.
    #[test]
    fn maximal_registers_are_those_that_reach_every_state() {
        for bits in 2..=10_u32 {
            for taps in (1..1_u32 << bits).step_by(2) {
                let mut lfsr = Lfsr::new(bits, taps, 1).unwrap();
                let period = 1 + (0..).take_while(|_| lfsr.step() != 1).count();
                assert_eq!(lfsr.is_maximal(), period == (1 << bits) - 1, "{bits} bits, {taps:#x}: {period}");
            }
        }
        assert!(Lfsr::new(16, Lfsr::TAPS_16, 1).unwrap().is_maximal());
        // x^32 + x^22 + x^2 + x + 1, and the same with one term more.
        assert!(Lfsr::new(32, 0x0040_0007, 1).unwrap().is_maximal());
        assert!(!Lfsr::new(32, 0x0040_000f, 1).unwrap().is_maximal());
    }
}
