//! The meaning of `peak`, in plain loops: as fast as the compiler makes them without an instruction set of our choice.

use super::{Operands, ROUND};
use std::hint::black_box;

/// Accumulators.
const LANES: usize = 64;

#[allow(clippy::float_arithmetic, reason = "floats are what is counted")]
pub(super) fn run(operands: Operands, rounds: u32) -> u64 {
    // Exact: whole numbers below 2^24.
    match operands {
        Operands::Bytes => count(rounds, 1_i8, 0, |sum: i32, a, b| sum + i32::from(a) * i32::from(b)),
        Operands::Int16 => count(rounds, 1_i16, 0, |sum: i32, a, b| sum + i32::from(a) * i32::from(b)),
        Operands::Floats => count(rounds, 1_f32, 0.0, |sum: f32, a, b| sum + a * b),
    }
}

/// `add`s the product of two ones to each accumulator, again and again; gives the sum of all.
fn count<T: Copy, S: Copy + Into<f64>>(
    rounds: u32,
    one: T,
    zero: S,
    multiply_add: impl Fn(S, T, T) -> S,
) -> u64 {
    let mut sums = [zero; LANES];
    let (mut a, mut b) = ([one; LANES], [one; LANES]);
    for _ in 0..u64::from(rounds) * (ROUND / LANES as u64) {
        // The compiler must not know that these are ones.
        (a, b) = black_box((a, b));
        for ((sum, &a), &b) in sums.iter_mut().zip(&a).zip(&b) {
            *sum = multiply_add(*sum, a, b);
        }
    }
    sums.into_iter().map(whole).sum()
}

/// A count that is not negative, as an integer.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count below 2^24")]
fn whole(count: impl Into<f64>) -> u64 {
    count.into() as u64
}
