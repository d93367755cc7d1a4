//! `Round::shift_right` and a clamp over slices, branch-free: from sums to codes as requantization wants it, and in place
//! in lanes as update does.
//!
//! Every rounding is `floor(x / 2^s) + ((rest + bias) >> s)`, `0 <= rest < 2^s` and `0 <= bias <= 2^s`: they differ in
//! the bias alone, a function of the floor and of the random word. Invariant: no step overflows a lane, for any `x`.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "lanes change between signed and unsigned, and a chunk's block number is 32 bits by contract"
)]

use intrain_num::Round;
use intrain_num::overflow::clamp;
use intrain_num::random::RandomBits;

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
    /// The unsigned integer of its width.
    type Unsigned;
    /// Width.
    const BITS: i32;

    /// `x` as a lane. Bound: it fits.
    fn of<S: Integer>(x: S) -> Self;
    /// The lane as a code. Bound: it fits.
    fn into_code<T: Integer>(self) -> T;
    /// `x` held in the range of lanes.
    fn limit(x: i64) -> Self;
    /// Rounds and clamps all lanes, the i-th with `words[i]`.
    fn round(lanes: &mut [Self], words: &[u32], rounding: Rounding);
    /// Runs a loop with the bias of `round`, where `shift` bits are dropped. Bound: `1 <= shift <= BITS`.
    fn with_bias(round: Round, shift: u32, elements: impl Biased<Self>);
}

/// A loop over elements to which the bias of a rounding is handed, so that each rounding has a loop of its own.
pub(crate) trait Biased<L: Lane> {
    /// Rounds each element with `bias(floor, word)`.
    fn run(self, bias: impl Fn(L, u32) -> L::Unsigned);
}

/// Sums on their way to codes, each with its word. Bound: `1 <= shift < BITS`.
pub(super) struct Codes<'a, S, T> {
    pub(super) sums: &'a [S],
    pub(super) out: &'a mut [T],
    pub(super) words: &'a [u32],
    pub(super) rounding: Rounding,
}

/// The lanes of a chunk, on their way to be rounded in place. Bound: `1 <= shift < BITS`.
struct Lanes<'a, L> {
    lanes: &'a mut [L],
    words: &'a [u32],
    rounding: Rounding,
}

/// What rounds one lane. Bound: `1 <= shift < BITS`.
struct Step<L> {
    shift: u32,
    min: L,
    max: L,
}

macro_rules! lane {
    ($int:ty, $uint:ty, $from:ident, $of:expr, $round:path) => {
        impl Lane for $int {
            type Unsigned = $uint;
            const BITS: i32 = <$int>::BITS.cast_signed();

            #[inline(always)]
            fn of<S: Integer>(x: S) -> Self {
                $of(x)
            }
            #[inline(always)]
            fn into_code<T: Integer>(self) -> T {
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

            #[inline(always)]
            fn with_bias(round: Round, shift: u32, elements: impl Biased<Self>) {
                const SIGN: u32 = <$int>::BITS - 1;
                let below_step = <$uint>::MAX >> (<$int>::BITS - shift);
                let below_half = below_step >> 1;
                match round {
                    Round::Floor => elements.run(|_, _| 0),
                    Round::TowardZero => elements.run(|floor, _| (floor >> SIGN) as $uint & below_step),
                    Round::NearestDown => elements.run(|_, _| below_half),
                    Round::NearestAway => {
                        elements.run(|floor, _| below_half + 1 - ((floor as $uint) >> SIGN));
                    }
                    Round::NearestEven => elements.run(|floor, _| below_half + (floor & 1) as $uint),
                    Round::Stochastic { bits } => {
                        let bits = bits.min(shift);
                        elements.run(|_, word| <$uint>::from(word >> (32 - bits)) << (shift - bits));
                    }
                    Round::StochasticMagnitude { bits } => {
                        let bits = bits.min(shift);
                        let ignored = ((1 as $uint) << (shift - bits)) - 1;
                        elements.run(|floor, word| {
                            let r = <$uint>::from(word >> (32 - bits)) << (shift - bits) | ignored;
                            // Exact: from 0 on, `F > R` is `F + (2^b - 1 - R) >= 2^b`. Below 0 the magnitude rounds
                            // down where its `F` is at most `R`, so where `rest + (R + 1) * 2^(s - b) > 2^s`.
                            r ^ (!(floor >> SIGN) as $uint & below_step)
                        });
                    }
                }
            }
        }

        impl Biased<$int> for Lanes<'_, $int> {
            #[inline(always)]
            fn run(self, bias: impl Fn($int, u32) -> $uint) {
                let step = Step::<$int>::new(self.rounding);
                for (x, &word) in self.lanes.iter_mut().zip(self.words) {
                    *x = step.round(*x, |floor| bias(floor, word));
                }
            }
        }

        impl<S: Integer, T: Integer> Biased<$int> for Codes<'_, S, T> {
            #[inline(always)]
            fn run(self, bias: impl Fn($int, u32) -> $uint) {
                let step = Step::<$int>::new(self.rounding);
                for ((out, &x), &word) in self.out.iter_mut().zip(self.sums).zip(self.words) {
                    *out = step.round(Lane::of(x), |floor| bias(floor, word)).into_code();
                }
            }
        }

        impl Step<$int> {
            #[inline(always)]
            fn new(rounding: Rounding) -> Self {
                let limit = <$int as Lane>::limit;
                Self {
                    shift: rounding.shift.unsigned_abs(),
                    min: limit(rounding.min),
                    max: limit(rounding.max),
                }
            }

            /// A lane, rounded and clamped.
            #[inline(always)]
            fn round(&self, x: $int, bias: impl Fn($int) -> $uint) -> $int {
                let below_step = <$uint>::MAX >> (<$int>::BITS - self.shift);
                let (floor, rest) = (x >> self.shift, x as $uint & below_step);
                // Bound: rest + bias < 2 * 2^shift <= 2^BITS; the floor has a bit to spare for the one added.
                let rounded = floor + ((rest + bias(floor)) >> self.shift) as $int;
                rounded.max(self.min).min(self.max)
            }
        }
    };
}

lane!(i32, u32, from_i32, Integer::to_i32, shift_right);
lane!(i64, u64, from_i64, Into::into, round_64);

/// `clamp(round(x * 2^-shift))`, `1 <= shift < BITS`.
#[inline(always)]
fn shift_right<L: Lane>(lanes: &mut [L], words: &[u32], rounding: Rounding)
where
    for<'a> Lanes<'a, L>: Biased<L>,
{
    L::with_bias(rounding.round, rounding.shift.unsigned_abs(), Lanes { lanes, words, rounding });
}

/// Any shift: lanes of 64 bits also serve those that lanes of 32 bits don't.
#[inline(always)]
fn round_64(lanes: &mut [i64], words: &[u32], rounding: Rounding) {
    match rounding.shift {
        ..=0 => shift_left(lanes, rounding),
        1..=63 => shift_right(lanes, words, rounding),
        64.. => {
            let Rounding { round, shift, min, max } = rounding;
            for (x, &word) in lanes.iter_mut().zip(words) {
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
pub(crate) fn word(words: Option<RandomBits<'_>>, round: Round, first_element: u64, i: usize) -> u32 {
    match words {
        Some(words) if round.is_stochastic() => words.word(first_element + i as u64),
        _ => 0,
    }
}

/// The random words of one chunk after the other, `SIZE - 4` elements or less: a chunk may begin inside a block.
pub(crate) struct WordsOfChunk<'a, const SIZE: usize> {
    buffer: [u32; SIZE],
    words: Option<RandomBits<'a>>,
    isa: Isa,
}

impl<'a, const SIZE: usize> WordsOfChunk<'a, SIZE> {
    /// Of `words`, where `round` is stochastic.
    #[inline(always)]
    pub(crate) fn new(isa: Isa, words: Option<RandomBits<'a>>, round: Round) -> Self {
        Self { buffer: [0; SIZE], words: words.filter(|_| round.is_stochastic()), isa }
    }

    /// The words of elements `first..first + n`; zeros where the rounding needs none.
    #[inline(always)]
    pub(crate) fn get(&mut self, first: u64, n: usize) -> &[u32] {
        let stream = match self.words {
            None => return &self.buffer[..n],
            Some(RandomBits::Listed(words)) => return &words[first as usize..][..n],
            Some(RandomBits::Stream(stream)) => stream,
        };
        // A block holds four words.
        let skipped = (first % 4) as usize;
        let words = &mut self.buffer[..skipped + n];
        philox::fill(self.isa, stream.key, stream.counter_high, (first / 4) as u32, words);
        &words[skipped..]
    }
}

/// Asserts that `round` has what it needs.
pub(crate) fn check(round: Round, has_words: bool) {
    if let Round::Stochastic { bits } | Round::StochasticMagnitude { bits } = round {
        assert!((1..=32).contains(&bits), "{round} compares {bits} random bits, not 1 to 32");
        assert!(has_words, "{round} needs random words");
    }
}
