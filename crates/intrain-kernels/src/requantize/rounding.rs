//! `Round::shift_right` and a clamp over a slice of lanes, in place and branch-free: what requantization and update
//! share.
//!
//! All roundings but one are `floor(x / 2^s) + ((rest + bias) >> s)`, `0 <= rest < 2^s` and `0 <= bias <= 2^s`: they
//! differ in the bias alone. The last is the same on `|x|`. Invariant: no step overflows a lane, for any `x`.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "lanes change between signed and unsigned, and a chunk's block number is 32 bits by contract"
)]

use intrain_num::Round;
use intrain_num::overflow::clamp;
use intrain_num::random::Stream;

use crate::elementwise::Integer;
use crate::isa::Isa;
use crate::philox;

/// Elements that go through the lanes at a time: lanes and words stay in the nearest cache.
pub(crate) const CHUNK: usize = 256;

/// Limits of lanes of 64 bits are within this, so that a lane that was shifted left still compares rightly.
const LARGEST_LIMIT: i64 = 1 << 62;

/// A shift with its rounding and the clamp behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounding {
    pub(crate) round: Round,
    pub(crate) shift: i32,
    pub(crate) min: i64,
    pub(crate) max: i64,
}

impl Rounding {
    /// Whether values of 32 bits can be rounded in lanes of 32 bits.
    pub(crate) fn fits_32_bits(&self) -> bool {
        (1..=31).contains(&self.shift)
    }
}

/// The signed integer that a chunk is computed in.
pub(crate) trait Lane: Copy + Default {
    /// `x` as a lane. Bound: it fits.
    fn of<S: Integer>(x: S) -> Self;
    /// The lane as a payload. Bound: it fits.
    fn into_payload<T: Integer>(self) -> T;
    /// `x` held in the range of lanes.
    fn limit(x: i64) -> Self;
    /// Rounds and clamps all lanes, the i-th with `words[i]`; a rounding that is not stochastic needs no words.
    fn round(lanes: &mut [Self], words: &[u32], rounding: Rounding);
}

macro_rules! lane {
    ($int:ty, $uint:ty, $module:ident, $from:ident, $of:expr, $round:path) => {
        impl Lane for $int {
            #[inline(always)]
            fn of<S: Integer>(x: S) -> Self {
                $of(x)
            }
            #[inline(always)]
            fn into_payload<T: Integer>(self) -> T {
                T::$from(self)
            }
            #[inline(always)]
            fn limit(x: i64) -> Self {
                clamp(x, <$int>::MIN as i64, <$int>::MAX as i64) as Self
            }
            #[inline(always)]
            fn round(lanes: &mut [Self], words: &[u32], rounding: Rounding) {
                $round(lanes, words, rounding);
            }
        }

        mod $module {
            use super::{Lane, Round, Rounding};

            /// Bound: `1 <= shift < BITS`.
            #[inline(always)]
            pub(super) fn shift_right(lanes: &mut [$int], words: &[u32], rounding: Rounding) {
                const SIGN: u32 = <$int>::BITS - 1;
                let shift = rounding.shift.unsigned_abs();
                let below_step = <$uint>::MAX >> (<$int>::BITS - shift);
                let below_half = below_step >> 1;
                match rounding.round {
                    Round::Floor => plain(lanes, rounding, |_| 0),
                    Round::TowardZero => plain(lanes, rounding, |x| (x >> SIGN) as $uint & below_step),
                    Round::NearestDown => plain(lanes, rounding, |_| below_half),
                    Round::NearestAway => {
                        plain(lanes, rounding, |x| below_half + 1 - ((x as $uint) >> SIGN));
                    }
                    Round::NearestEven => {
                        plain(lanes, rounding, |x| below_half + ((x >> shift) & 1) as $uint);
                    }
                    Round::Stochastic { bits } => {
                        let bits = bits.min(shift);
                        stochastic(lanes, words, rounding, |w| {
                            <$uint>::from(w >> (32 - bits)) << (shift - bits)
                        });
                    }
                    Round::StochasticMagnitude { bits } => {
                        let bits = bits.min(shift);
                        // Exact: `fraction > r` is `fraction + (2^bits - 1 - r) >= 2^bits`.
                        magnitude(lanes, words, rounding, |w| {
                            <$uint>::from(!w >> (32 - bits)) << (shift - bits)
                        });
                    }
                }
            }

            /// `floor(x / 2^shift) + ((rest + bias) >> shift)`.
            #[inline(always)]
            fn shifted(x: $int, shift: u32, bias: $uint) -> $int {
                let rest = x as $uint & (<$uint>::MAX >> (<$int>::BITS - shift));
                // Bound: rest + bias < 2 * 2^shift <= 2^BITS; the quotient has a bit to spare for the one added.
                (x >> shift) + ((rest + bias) >> shift) as $int
            }

            #[inline(always)]
            fn plain(lanes: &mut [$int], rounding: Rounding, bias: impl Fn($int) -> $uint) {
                let (min, max) = (Lane::limit(rounding.min), Lane::limit(rounding.max));
                let shift = rounding.shift.unsigned_abs();
                for x in lanes {
                    *x = shifted(*x, shift, bias(*x)).max(min).min(max);
                }
            }

            #[inline(always)]
            fn stochastic(
                lanes: &mut [$int],
                words: &[u32],
                rounding: Rounding,
                bias: impl Fn(u32) -> $uint,
            ) {
                let (min, max) = (Lane::limit(rounding.min), Lane::limit(rounding.max));
                let shift = rounding.shift.unsigned_abs();
                for (x, &word) in lanes.iter_mut().zip(words) {
                    *x = shifted(*x, shift, bias(word)).max(min).min(max);
                }
            }

            #[inline(always)]
            fn magnitude(lanes: &mut [$int], words: &[u32], rounding: Rounding, bias: impl Fn(u32) -> $uint) {
                let (min, max) = (Lane::limit(rounding.min), Lane::limit(rounding.max));
                let shift = rounding.shift.unsigned_abs();
                let below_step = <$uint>::MAX >> (<$int>::BITS - shift);
                for (x, &word) in lanes.iter_mut().zip(words) {
                    let sign = *x >> (<$int>::BITS - 1);
                    let m = x.unsigned_abs();
                    let rounded = ((m >> shift) + (((m & below_step) + bias(word)) >> shift)) as $int;
                    // Exact: `(r ^ 0) - 0 = r` and `(r ^ -1) - -1 = -r`.
                    *x = ((rounded ^ sign) - sign).max(min).min(max);
                }
            }
        }
    };
}

lane!(i32, u32, lanes_32, from_i32, Integer::to_i32, lanes_32::shift_right);
lane!(i64, u64, lanes_64, from_i64, Into::into, round_64);

/// Any shift: lanes of 64 bits also serve those that lanes of 32 bits don't.
#[inline(always)]
fn round_64(lanes: &mut [i64], words: &[u32], rounding: Rounding) {
    match rounding.shift {
        ..=0 => shift_left(lanes, rounding),
        1..=63 => lanes_64::shift_right(lanes, words, rounding),
        64.. => {
            let Rounding { round, shift, min, max } = rounding;
            for (i, x) in lanes.iter_mut().enumerate() {
                let word = words.get(i).copied().unwrap_or(0);
                *x = clamp(round.shift_right(*x, shift, word), min, max);
            }
        }
    }
}

/// `clamp(x * 2^-shift)`, `shift <= 0`.
#[inline(always)]
fn shift_left(lanes: &mut [i64], rounding: Rounding) {
    let min = clamp(rounding.min, -LARGEST_LIMIT, LARGEST_LIMIT);
    let max = clamp(rounding.max, -LARGEST_LIMIT, LARGEST_LIMIT);
    // Exact: 62 places already take any x but 0 to 2^62 and beyond, where no limit is.
    let places = rounding.shift.unsigned_abs().min(62);
    let largest = i64::MAX >> places;
    for x in lanes {
        // Exact: what `largest` holds back would pass `largest << places >= 2^62` and the limits with it.
        *x = ((*x).max(-largest).min(largest) << places).max(min).min(max);
    }
}

/// The word of element `i` of a tensor that begins at `first_element`; 0 where no word is used.
pub(crate) fn word(stream: Option<Stream>, round: Round, first_element: u64, i: usize) -> u32 {
    match stream {
        Some(stream) if round.is_stochastic() => stream.word(first_element + i as u64),
        _ => 0,
    }
}

/// The random words of one chunk after the other.
pub(crate) struct Words {
    buffer: [u32; CHUNK + 4],
    stream: Option<Stream>,
    isa: Isa,
}

impl Words {
    /// Of `stream`, where `round` is stochastic.
    #[inline(always)]
    pub(crate) fn new(isa: Isa, stream: Option<Stream>, round: Round) -> Self {
        Self { buffer: [0; CHUNK + 4], stream: stream.filter(|_| round.is_stochastic()), isa }
    }

    /// The words of elements `first..first + n`, `n <= CHUNK`; none where the rounding needs none.
    #[inline(always)]
    pub(crate) fn get(&mut self, first: u64, n: usize) -> &[u32] {
        let Some(stream) = self.stream else { return &[] };
        // A block holds four words; the chunk may begin inside one.
        let skipped = (first % 4) as usize;
        let words = &mut self.buffer[..skipped + n];
        philox::fill(self.isa, stream.key, stream.counter_high, (first / 4) as u32, words);
        &words[skipped..]
    }
}

/// Asserts that `round` has what it needs.
pub(crate) fn check(round: Round, stream: Option<Stream>) {
    if let Round::Stochastic { bits } | Round::StochasticMagnitude { bits } = round {
        assert!((1..=32).contains(&bits), "{round} compares {bits} random bits, not 1 to 32");
        assert!(stream.is_some(), "{round} needs a stream of random words");
    }
}
