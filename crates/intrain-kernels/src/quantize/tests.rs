//! Every kernel equals the reference: all roundings, every exponent, ties, limits and the last bit of a random word.

use intrain_num::Round;

use super::{Args, NanAt, ValueArgs, run, values};
use crate::elementwise::Integer;
use crate::isa::Isa;
use crate::requantize::tests::{ROUNDS, STREAM};

/// Digits behind the point, and what lies around the ends of what lanes serve.
const FRAC_BITS: [i32; 16] = [-200, -97, -96, -20, -3, -1, 0, 1, 7, 8, 12, 24, 31, 40, 94, 95];

fn codes<T: Integer>(
    isa: Isa,
    values: &[f32],
    (round, frac_bits, min, max): (Round, i32, i64, i64),
    first_element: u64,
) -> Result<Vec<T>, NanAt> {
    let mut out = vec![T::from_i64(-1); values.len()];
    let stream = round.is_stochastic().then_some(STREAM);
    run(isa, Args { values, out: &mut out, frac_bits, round, min, max, stream, first_element })?;
    Ok(out)
}

fn compare<T>(values: &[f32], how: (Round, i32, i64, i64), first_element: u64)
where
    T: Integer + std::fmt::Debug,
{
    let want = codes::<T>(Isa::Reference, values, how, first_element).unwrap();
    for isa in Isa::available() {
        let got = codes::<T>(isa, values, how, first_element).unwrap();
        if let Some(i) = (0..got.len()).find(|i| got[*i] != want[*i]) {
            let (x, got, want) = (values[i].to_bits(), got[i], want[i]);
            panic!("{isa:?} {how:?}: element {i} from {first_element}, {x:#x}: {got:?} instead of {want:?}");
        }
    }
}

fn in_all_types(values: &[f32], round: Round, frac_bits: i32, first_element: u64) {
    compare::<i8>(values, (round, frac_bits, -127, 127), first_element);
    compare::<i16>(values, (round, frac_bits, i16::MIN.into(), i16::MAX.into()), first_element);
    compare::<i32>(values, (round, frac_bits, i32::MIN.into(), i32::MAX.into()), first_element);
}

/// `x * 2^places` where that is a normal number.
fn scaled(x: f32, places: i32) -> f32 {
    let exponent = (x.to_bits() >> 23).cast_signed() & 0xff;
    let normal = (1..=254).contains(&(exponent + places));
    f32::from_bits(if normal { x.to_bits().wrapping_add_signed(places << 23) } else { 0 })
}

/// `x` with the sign bit that `is_negative` says.
fn signed(x: f32, is_negative: bool) -> f32 {
    f32::from_bits(x.to_bits() | u32::from(is_negative) << 31)
}

/// The float `by` places above a positive one, 0 at the end.
fn beside(x: f32, by: i32) -> f32 {
    f32::from_bits(x.to_bits().saturating_add_signed(by))
}

/// Each of `xs` and the floats beside it, with both signs.
fn around(xs: impl IntoIterator<Item = f32>) -> Vec<f32> {
    let beside = xs.into_iter().flat_map(|x| [-1, 0, 1].map(|by| beside(x, by)));
    beside.filter(|x| !x.is_nan()).flat_map(|x| [false, true].map(|sign| signed(x, sign))).collect()
}

/// Values by every kernel, beside the codes of the reference.
fn compare_values(
    x: &[f32],
    round: Round,
    (frac_bits, step_log2): (i32, i32),
    limits: (i64, i64),
    first: u64,
) {
    let stream = round.is_stochastic().then_some(STREAM);
    let (min, max) = limits;
    let mut want = vec![0_i32; x.len()];
    let args = Args { values: x, out: &mut want, frac_bits, round, min, max, stream, first_element: first };
    run(Isa::Reference, args).unwrap();
    for isa in Isa::available() {
        let mut got = vec![f32::NAN; x.len()];
        let args = ValueArgs {
            values: x,
            out: &mut got,
            frac_bits,
            step_log2,
            round,
            min,
            max,
            stream,
            first_element: first,
        };
        values(isa, args).unwrap();
        // Exact: at most 24 bits.
        let value = |code: i32| if code == 0 { 0.0 } else { scaled(code as f32, step_log2) };
        let other = |i: &usize| got[*i].to_bits() != value(want[*i]).to_bits();
        if let Some(i) = (0..got.len()).find(other) {
            let (x, got, want) = (x[i].to_bits(), got[i], want[i]);
            panic!(
                "{isa:?} {round} {frac_bits} {limits:?}: element {i}, {x:#x}: {got} instead of {want} steps"
            );
        }
    }
}

/// As `ROUNDS`, with at most 24 random bits.
fn served_rounds() -> Vec<Round> {
    let few = |round: Round| match round {
        Round::Stochastic { bits } => Round::Stochastic { bits: bits.min(24) },
        Round::StochasticMagnitude { bits } => Round::StochasticMagnitude { bits: bits.min(24) },
        round => round,
    };
    ROUNDS.map(few).to_vec()
}

#[test]
fn values_are_those_of_codes() {
    let leading = |high: u32| f32::from_bits(high << 16 | high.wrapping_mul(0x9e37) & 0xffff);
    let all = (0..1u32 << 16).map(leading).filter(|x| !x.is_nan());
    let named = [0.0, f32::MIN_POSITIVE, f32::from_bits(1), f32::MAX, f32::INFINITY];
    let whole = [1, 2, 3, 126, 127, 128, 255, 32_767, 65_535, (1 << 23) - 1, 1 << 23, 1 << 24];
    for frac_bits in [0, 1, 7, 12, 23, 24, 31, 60, 126] {
        let points = whole.into_iter().flat_map(|n| [0, -1].map(|half| scaled(n as f32, half - frac_bits)));
        let x: Vec<f32> = around(points.chain(named)).into_iter().chain(all.clone()).collect();
        for round in served_rounds() {
            for limits in [(-128, 127), (-1 << 24, 1 << 24), (3, 100), (-5, -1)] {
                compare_values(&x, round, (frac_bits, -(frac_bits % 40)), limits, 5);
            }
        }
    }
}

#[test]
fn values_meet_the_last_bit_of_a_word() {
    for round in served_rounds().into_iter().filter(|round| round.is_stochastic()) {
        let (Round::Stochastic { bits } | Round::StochasticMagnitude { bits }) = round else { continue };
        for (first, by) in (0..).zip([-1, 0, 1]) {
            let meeting = |i: u64| {
                let word = STREAM.word(first + i) >> (32 - bits);
                let r = if i & 2 == 0 { word } else { (1 << bits) - word };
                signed(beside(scaled(r as f32, 3 - bits.cast_signed()), by), i & 1 == 0)
            };
            let x: Vec<f32> = (0..5000).map(meeting).collect();
            for n in (0..40).chain([767, 768, 769, 5000]) {
                compare_values(&x[..n], round, (7 - 10 + 3, 0), (-100, 100), first);
            }
            compare_values(&x, round, (4, -4), (-100, 100), first);
        }
    }
}

#[test]
fn values_refuse_the_first_nan() {
    for isa in Isa::available() {
        for n in [1, 17, 800, 2000] {
            let (mut x, mut out) = (vec![1.0; n], vec![0.0; n]);
            x[n - 1] = f32::NAN;
            x[n / 2] = f32::from_bits(0xff80_0001);
            let args = ValueArgs {
                values: &x,
                out: &mut out,
                frac_bits: 3,
                step_log2: -3,
                round: Round::Floor,
                min: -100,
                max: 100,
                stream: None,
                first_element: 0,
            };
            assert_eq!(values(isa, args), Err(NanAt(n / 2)));
        }
    }
}

#[test]
fn every_sign_exponent_and_leading_mantissa() {
    let values: Vec<f32> = (0..1u32 << 16)
        .map(|high| f32::from_bits(high << 16 | high.wrapping_mul(0x9e37) & 0xffff))
        .filter(|x| !x.is_nan())
        .collect();
    for round in ROUNDS {
        for frac_bits in FRAC_BITS {
            in_all_types(&values, round, frac_bits, 6);
        }
    }
}

#[test]
fn zeros_ends_ties_and_limits() {
    let named =
        [0.0, f32::MIN_POSITIVE, f32::from_bits(1), f32::from_bits(0x7f_ffff), f32::MAX, f32::INFINITY];
    let whole =
        [1, 2, 3, 4, 5, 126, 127, 128, 129, 255, 32_766, 32_767, 32_768, 65_535, i32::MAX - 127, i32::MAX];
    for frac_bits in FRAC_BITS {
        let points = whole.into_iter().flat_map(|n| [0, -1].map(|half| scaled(n as f32, half - frac_bits)));
        let values = around(points.chain(named));
        for round in ROUNDS {
            in_all_types(&values, round, frac_bits, 1);
            compare::<i8>(&values, (round, frac_bits, 3, 100), 2);
            compare::<i32>(&values, (round, frac_bits, i64::from(i32::MIN) + 1, -1000), 3);
        }
    }
}

#[test]
fn the_last_bit_of_a_word_decides() {
    // What rounds up and what does not meet where the fraction, or what it lacks of 1, is the word.
    for round in ROUNDS.into_iter().filter(|round| round.is_stochastic()) {
        for (first, by) in (0..).zip([-1, 0, 1]) {
            let meeting = |i: u64| {
                let word = STREAM.word(first + i);
                let fraction = (if i & 2 == 0 { word } else { word.wrapping_neg() }) as f32;
                signed(beside(scaled(fraction, -32 - 7), by), i & 1 == 0)
            };
            let values: Vec<f32> = (0..20_000).map(meeting).collect();
            in_all_types(&values, round, 7, first);
        }
    }
}

#[test]
fn the_smallest_fractions_round_by_the_largest_and_smallest_words() {
    // The first elements of the stream whose words are all ones and all zeros.
    for (first, word) in [(7_031_861_145, u32::MAX), (8_232_618_864, 0)] {
        assert_eq!(STREAM.word(first), word);
        for frac_bits in FRAC_BITS {
            let normal = (-34..=-30).map(|places| scaled(1.0, places - frac_bits));
            let small = [f32::MIN_POSITIVE, f32::from_bits(0x20_0000), f32::from_bits(1)];
            for x in around(normal.chain(small)) {
                for round in ROUNDS.into_iter().filter(|round| round.is_stochastic()) {
                    in_all_types(&[x; 64], round, frac_bits, first);
                }
            }
        }
    }
}

#[test]
fn every_length_and_first_element() {
    let values: Vec<f32> = (0..3001u64).map(|i| scaled(STREAM.word(i).cast_signed() as f32, -28)).collect();
    for round in ROUNDS {
        for n in (0..70).chain([255, 767, 768, 769, 1535, 1536, 1537, 3001]) {
            in_all_types(&values[..n], round, 4, n as u64);
        }
    }
}

#[test]
fn the_first_nan_is_refused() {
    for isa in Isa::available() {
        for n in [1, 17, 800, 2000] {
            let mut values = vec![1.0; n];
            let how = (Round::Floor, 3, -100, 100);
            assert_eq!(codes::<i8>(isa, &values, how, 0), Ok(vec![8; n]));
            for at in [n - 1, n / 2] {
                values[at] = f32::from_bits(0xff80_0001);
                assert_eq!(codes::<i8>(isa, &values, how, 0), Err(NanAt(at)), "{isa:?} {n}");
            }
        }
    }
}
