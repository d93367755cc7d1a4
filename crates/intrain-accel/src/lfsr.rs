//! A column's random bits: the LFSR of section 3.4 of `docs/arithmetic.md`, leapt by its whole length at each draw.
//!
//! Behind the sums, before the rounding. A draw steps the register as often as it has bits, so that consecutive draws share
//! none, and takes the top bits of the state. The leap is linear over GF(2): the hardware does it in one XOR network.

use intrain_num::Lfsr;
use intrain_num::columns::Draw;

use crate::machine::Register;

/// The leap of a register by as many steps as it has bits.
#[derive(Debug, Clone)]
pub struct Leap {
    register: Register,
    draw: Draw,
}

impl Leap {
    /// The leap of `register`; `None` if it is no register (bits outside 2..=32, taps that are 0 or too wide).
    #[must_use]
    pub fn new(register: Register) -> Option<Self> {
        let Register { bits, taps } = register;
        Lfsr::new(bits, taps, 1).map(|_| Self { register, draw: Draw::new(bits, taps) })
    }

    /// The state after a draw.
    #[must_use]
    pub const fn next(&self, state: u32) -> u32 {
        self.draw.next(state)
    }

    /// The top `bits` of a state: what a draw gives, once the state has leapt. `bits` is at most the register's.
    #[must_use]
    pub const fn top(&self, state: u32, bits: u32) -> u32 {
        if bits == 0 { 0 } else { state >> (self.register.bits - bits) }
    }

    /// Whether a column may start in `state`: not 0, and no bit beyond the register.
    #[must_use]
    pub fn may_start(&self, state: u32) -> bool {
        state != 0 && state >> (self.register.bits - 1) <= 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The meaning of a draw, one step after the other.
    fn steps(register: Register, state: u32) -> Option<u32> {
        let mut lfsr = Lfsr::new(register.bits, register.taps, state)?;
        for _ in 0..register.bits {
            lfsr.step();
        }
        Some(lfsr.state())
    }

    #[test]
    fn a_leap_is_as_many_steps_as_bits() {
        for (bits, taps) in [(4, 0x3), (7, 0x41), (16, Lfsr::TAPS_16), (31, 0x9), (32, 0x8020_0003)] {
            let register = Register { bits, taps };
            let leap = Leap::new(register).unwrap();
            let mut state = 0x9e37_79b9 & (u32::MAX >> (32 - bits));
            for _ in 0..200 {
                assert!(leap.may_start(state));
                let next = leap.next(state);
                assert_eq!(Some(next), steps(register, state), "{bits} bits, state {state:#x}");
                state = next;
            }
        }
    }

    #[test]
    fn a_draw_is_the_top_of_the_register() {
        let leap = Leap::new(Register { bits: 16, taps: Lfsr::TAPS_16 }).unwrap();
        // The register shifts right, so sixteen steps replace every bit; the newest is on top.
        assert_eq!(leap.top(0xACE1, 16), 0xACE1);
        assert_eq!(leap.top(0xACE1, 8), 0xAC);
        assert_eq!(leap.top(0xACE1, 1), 1);
        assert_eq!(leap.top(0xACE1, 0), 0);
    }

    #[test]
    fn no_start_in_zero_or_beyond_the_register() {
        let leap = Leap::new(Register { bits: 16, taps: Lfsr::TAPS_16 }).unwrap();
        assert!(
            !leap.may_start(0) && !leap.may_start(0x1_0000) && leap.may_start(0xffff) && leap.may_start(1)
        );
        assert!(Leap::new(Register { bits: 33, taps: 1 }).is_none());
        let whole = Leap::new(Register { bits: 32, taps: 1 }).unwrap();
        assert!(whole.may_start(u32::MAX));
    }
}
