//! Every kernel equals the reference: all roundings, all shifts, ends and ties, lengths around the vectors'.

use intrain_num::Round;
use intrain_num::random::{Purpose, RandomBits, Stream};

use super::{Args, Relu, TRACE_INSIDE, TRACE_RELU, Trace, run};
use crate::elementwise::Integer;
use crate::isa::Isa;

pub(crate) const ROUNDS: [Round; 13] = [
    Round::NearestEven,
    Round::NearestDown,
    Round::NearestAway,
    Round::Floor,
    Round::TowardZero,
    Round::Stochastic { bits: 1 },
    Round::Stochastic { bits: 8 },
    Round::Stochastic { bits: 16 },
    Round::Stochastic { bits: 32 },
    Round::StochasticMagnitude { bits: 1 },
    Round::StochasticMagnitude { bits: 8 },
    Round::StochasticMagnitude { bits: 16 },
    Round::StochasticMagnitude { bits: 32 },
];

pub(crate) const STREAM: Stream = Stream::new(0x1234_5678_9abc, Purpose::Tool, 3, 77);

/// `n` numbers of all magnitudes that `S` holds, its smallest excepted.
pub(crate) fn noise<S: Integer>(n: usize, seed: u64) -> Vec<S> {
    let stream = Stream::new(seed, Purpose::Tool, 0, 0);
    (0..n as u64)
        .map(|i| {
            let word = |k| u64::from(stream.word(4 * i + k));
            let bits = (word(0) << 32 | word(1)).cast_signed() >> (64 - S::BITS);
            S::from_i64((bits >> (word(2) % u64::from(S::BITS))).max(S::MIN + 1))
        })
        .collect()
}

/// Ends of `S`, and ties and their neighbours for `shift`.
fn hard<S: Integer>(shift: i32) -> Vec<S> {
    let mut values = vec![0, 1, 2, 3, S::MAX, S::MAX - 1, S::MAX / 2, S::MAX / 2 + 1];
    let half = 1i64.checked_shl((shift - 1).clamp(0, 62).unsigned_abs()).unwrap_or(1);
    for odd in [1i64, 3, 5, 7, 253, 255, 257, 65_535] {
        for offset in [-1, 0, 1] {
            values.push(odd.saturating_mul(half).saturating_add(offset));
        }
    }
    let in_range = |x: &i64| S::MIN < *x && *x <= S::MAX;
    values.iter().flat_map(|&x| [x, -x]).filter(in_range).map(S::from_i64).collect()
}

/// What a case does with a trace.
#[derive(Debug, Clone, Copy)]
enum Use {
    None,
    Write(Relu),
    Gate(u8),
}

fn results<S: Integer, T: Integer>(
    isa: Isa,
    sums: &[S],
    (round, shift, min, max): (Round, i32, i64, i64),
    first_element: u64,
    use_of_trace: Use,
) -> (Vec<T>, Vec<u8>) {
    let mut out = vec![T::from_i64(-1); sums.len()];
    let mut bytes: Vec<u8> = noise::<i8>(sums.len(), 5).into_iter().map(i8::cast_unsigned).collect();
    let gate = bytes.clone();
    let trace = match use_of_trace {
        Use::None => Trace::None,
        Use::Write(relu) => Trace::Write { trace: &mut bytes, relu },
        Use::Gate(mask) => Trace::Gate { trace: &gate, mask },
    };
    let words = round.is_stochastic().then_some(RandomBits::Stream(STREAM));
    run(isa, Args { sums, out: &mut out, shift, round, min, max, words, first_element, trace });
    (out, bytes)
}

fn compare<S, T>(sums: &[S], how: (Round, i32, i64, i64), first_element: u64)
where
    S: Integer,
    T: Integer + std::fmt::Debug,
{
    let gates = [Use::Gate(TRACE_RELU), Use::Gate(TRACE_RELU | TRACE_INSIDE)];
    for use_of_trace in [Use::None, Use::Write(Relu::Yes), Use::Write(Relu::No)].into_iter().chain(gates) {
        let want = results::<S, T>(Isa::Reference, sums, how, first_element, use_of_trace);
        for isa in Isa::available() {
            let got = results::<S, T>(isa, sums, how, first_element, use_of_trace);
            let case = (isa, how, sums.len(), first_element, use_of_trace, S::BITS);
            assert_eq!(got.0, want.0, "codes of {case:?}");
            assert_eq!(got.1, want.1, "trace of {case:?}");
        }
    }
}

fn check<S: Integer, T: Integer + std::fmt::Debug>() {
    for round in ROUNDS {
        for shift in
            [-80, -63, -62, -31, -8, -1, 0, 1, 2, 7, 8, 15, 16, 24, 30, 31, 32, 33, 40, 62, 63, 64, 90]
        {
            let mut sums = hard::<S>(shift);
            sums.extend(noise::<S>(150, 11));
            compare::<S, T>(&sums, (round, shift, T::MIN, T::MAX), 6);
            compare::<S, T>(&sums, (round, shift, 0, T::MAX / 3), 0);
            compare::<S, T>(&sums, (round, shift, -T::MAX / 5, 0), 3);
        }
        for n in (0..70).chain([255, 256, 257, 3001]) {
            compare::<S, T>(&noise::<S>(n, 13), (round, 9, -T::MAX, T::MAX), n as u64);
        }
    }
}

#[test]
fn i32_to_i8() {
    check::<i32, i8>();
}

#[test]
fn i32_to_i16() {
    check::<i32, i16>();
}

#[test]
fn i32_to_i32() {
    check::<i32, i32>();
}

#[test]
fn i64_to_i8() {
    check::<i64, i8>();
}

#[test]
fn i64_to_i16() {
    check::<i64, i16>();
}

#[test]
fn i64_to_i32() {
    check::<i64, i32>();
}

#[test]
fn i16_to_i8() {
    check::<i16, i8>();
}

#[test]
fn i16_to_i16() {
    check::<i16, i16>();
}

#[test]
fn smallest_of_32_bits_is_a_value_like_any() {
    for round in ROUNDS {
        for shift in [-3, 0, 1, 16, 30, 31, 32, 40] {
            compare::<i32, i32>(&[i32::MIN; 20], (round, shift, i32::MIN.into(), i32::MAX.into()), 1);
        }
    }
}

#[test]
fn wage_fully_connected_example() {
    // arXiv 1802.04680 with alpha = 2: sums [224, -99] of unit<2> weights and unit<8> inputs.
    for isa in Isa::available() {
        let (out, trace) = results::<i32, i8>(
            isa,
            &[224, -99, 600, 508, 509],
            (Round::NearestEven, 2, -127, 127),
            0,
            Use::Write(Relu::No),
        );
        assert_eq!(out, [56, -25, 127, 127, 127]);
        let inside: Vec<bool> = trace.iter().map(|t| t & TRACE_INSIDE != 0).collect();
        assert_eq!(inside, [true, true, false, true, false], "509 rounds to 127, but lies outside");
        assert!(trace.iter().all(|t| t & TRACE_RELU != 0));
    }
}

#[test]
fn relu_trace_keeps_the_index() {
    for isa in Isa::available() {
        let mut out = [9i8; 4];
        let mut trace = [0x3f, 0xc1, 0x02, 0x03];
        let args = Args {
            sums: &[-5i32, 0, 4, 5000],
            out: &mut out,
            shift: 2,
            round: Round::NearestEven,
            min: -127,
            max: 127,
            words: None,
            first_element: 0,
            trace: Trace::Write { trace: &mut trace, relu: Relu::Yes },
        };
        run(isa, args);
        assert_eq!(out, [0, 0, 1, 127]);
        assert_eq!(trace, [0x7f, 0x41, 0xc2, 0x83]);
    }
}

#[test]
#[should_panic(expected = "needs random words")]
fn refuses_a_stochastic_rounding_without_words() {
    let args = Args {
        sums: &[1i32],
        out: &mut [0i8],
        shift: 1,
        round: Round::Stochastic { bits: 8 },
        min: -1,
        max: 1,
        words: None,
        first_element: 0,
        trace: Trace::None,
    };
    run(Isa::Reference, args);
}
