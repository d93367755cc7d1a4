//! What stochastic roundings with few random bits add to a mean, exactly, and what lanes that share a register add to the
//! variance of a sum: the tables of `docs/accelerator.md`, from the roundings of `intrain-num`.
//!
//! Everything is counted in integers, so every figure is compared without tolerance.

use intrain_num::Lfsr;
use intrain_num::columns::Columns;
use intrain_num::minifloat::{FloatFormat, FloatOverflow, FloatRound, Number};
use intrain_num::random::{Purpose, Stream};

/// Whether `1 + fraction / 2^fine` steps above the code `from` become one step more.
fn is_up(format: FloatFormat, from: u32, (fraction, fine): (u64, u32), round: FloatRound, word: u32) -> bool {
    let Number::Finite { mantissa, exponent, .. } = format.decode(from) else { panic!("{from} is finite") };
    let fine_exponent = exponent - fine.cast_signed();
    let x =
        Number::Finite { negative: false, mantissa: (mantissa << fine) + fraction, exponent: fine_exponent };
    let code = format.encode(x, round, FloatOverflow::SatFinite, word);
    assert!(code == from || code == from + 1, "{format} {from} {fraction} {round}: {code}");
    code > from
}

/// The sum of all errors, in units of `2^-fine` of a step, over every `v` of `fine` bits and every random number.
fn error(format: FloatFormat, from: u32, fine: u32, bits: u32, round: FloatRound) -> i64 {
    let mut sum = 0;
    for fraction in 0..1_u64 << fine {
        for random in 0..1_u32 << bits {
            let up = is_up(format, from, (fraction, fine), round, random << (32 - bits));
            sum += (i64::from(up) << fine) - fraction.cast_signed();
        }
    }
    sum
}

fn stochastic(bits: u32) -> [FloatRound; 3] {
    [FloatRound::StochasticA { bits }, FloatRound::StochasticB { bits }, FloatRound::StochasticC { bits }]
}

/// Of values with 12 bits below the step, and of bfloat16 values in e4m3 and e2m1, which have 4 and 6: means in units of
/// `2^-N` of a step are `-(1 - 2^(N-K)) / 2`, `2^(N-K) / 2` and 0 for values of `K > N` bits; 0 where `K <= N`.
#[test]
fn bias_of_few_random_bits() {
    for bits in [1, 2, 3, 4, 8] {
        for fine in [4, 6, 12] {
            // A subnormal binade and another one, in a step of an even code and of an odd one.
            for (format, from) in [(FloatFormat::E4M3, 0), (FloatFormat::E4M3, 57), (FloatFormat::E2M1, 4)] {
                let cut = fine > bits;
                // How many errors are summed, 2^(fine + bits), times the mean, in units of 2^-fine of a step.
                let a = if cut { -((1 << (2 * fine - 1)) - (1 << (fine + bits - 1))) } else { 0 };
                let b = if cut { 1 << (fine + bits - 1) } else { 0 };
                let got = stochastic(bits).map(|round| error(format, from, fine, bits, round));
                assert_eq!(got, [a, b, 0], "{format} {from}, {bits} random bits, {fine} bits of v");
            }
        }
    }
}

const LANES: usize = 16;
const BITS: u32 = 8;
/// A whole period of the register, so each draw comes up once.
const DRAWS: usize = 65_535;

/// Where the lanes' random numbers come from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// One number for all lanes.
    Same,
    /// One register of 16 bits; lane `j` reads it rotated by `j`.
    Rotated,
    /// One register of 32 bits for 4 lanes, which read bytes of their own.
    Bytes,
    /// A register of 16 bits for each lane, in the states of section 3.4.
    Own,
    /// A word for each element.
    Philox,
}

/// The numbers of `BITS` bits of all lanes, draw after draw.
fn numbers(source: Source) -> Vec<[u32; LANES]> {
    let stream = Stream::new(1, Purpose::Tool, 0, 0);
    let registers = |n: usize, bits, taps| -> Vec<Lfsr> {
        let columns = Columns { n, panel: 1, bits, taps };
        columns.seeds(stream).map(|seed| Lfsr::new(bits, taps, seed).unwrap()).collect()
    };
    let mut registers = match source {
        Source::Same | Source::Rotated => registers(1, 16, Lfsr::TAPS_16),
        // x^32 + x^22 + x^2 + x + 1, in states that have nothing to do with each other.
        Source::Bytes => {
            (0..LANES / 4).map(|j| Lfsr::new(32, 0x0040_0007, stream.word(j as u64)).unwrap()).collect()
        }
        Source::Own => registers(LANES, 16, Lfsr::TAPS_16),
        Source::Philox => Vec::new(),
    };
    let mut draw = |i: usize| {
        let states: Vec<u32> = registers.iter_mut().map(Lfsr::draw).collect();
        std::array::from_fn(|lane| match source {
            Source::Same => states[0] >> 8,
            Source::Rotated => (states[0] << lane | states[0] >> (16 - lane)) >> 8 & 0xff,
            Source::Bytes => states[lane / 4] >> (8 * (lane % 4)) & 0xff,
            Source::Own => states[lane] >> 8,
            Source::Philox => stream.word((i * LANES + lane) as u64) >> (32 - BITS),
        })
    };
    (0..DRAWS).map(&mut draw).collect()
}

/// Values of `v`, in 256ths of a step.
#[derive(Debug, Clone, Copy)]
enum Values {
    All(u32),
    /// Another one for each lane and draw.
    Random,
}

/// Thousandths, cut towards zero: the correlation of neighbours' errors, and the variance of the lanes' sum over the sum of
/// their variances, which is 1 for independent lanes and `LANES` for equal errors.
fn thousandths(numbers: &[[u32; LANES]], values: Values) -> (i64, i64) {
    let of_values = Stream::new(2, Purpose::Tool, 0, 0);
    let (mut squares, mut neighbours, mut sums) = (0, 0, 0);
    for (i, draw) in numbers.iter().enumerate() {
        let mut errors = [0_i64; LANES];
        for (lane, (error, random)) in errors.iter_mut().zip(draw).enumerate() {
            let v = match values {
                Values::All(v) => v,
                Values::Random => of_values.below((i * LANES + lane) as u64, 256),
            };
            let round = FloatRound::StochasticA { bits: BITS };
            // 1.5 of e2m1, whose next code is 2.
            let up = is_up(FloatFormat::E2M1, 3, (u64::from(v), 8), round, random << (32 - BITS));
            *error = 256 * i64::from(up) - i64::from(v);
        }
        squares += errors.iter().map(|e| e * e).sum::<i64>();
        neighbours += errors.windows(2).map(|pair| pair[0] * pair[1]).sum::<i64>();
        sums += errors.iter().sum::<i64>().pow(2);
    }
    let lanes = LANES.cast_signed() as i64;
    (1000 * neighbours * lanes / (squares * (lanes - 1)), 1000 * sums / squares)
}

#[test]
fn lanes_that_share_a_register() {
    let values = [Values::All(128), Values::All(64), Values::All(240), Values::Random];
    for (source, want) in [
        (Source::Same, [(1000, 16_000), (1000, 16_000), (1000, 16_000), (500, 8499)]),
        (Source::Rotated, [(0, 999), (333, 1666), (466, 2463), (249, 1995)]),
        (Source::Bytes, [(-1, 1000), (-1, 993), (1, 1005), (-1, 996)]),
        (Source::Own, [(0, 999), (0, 999), (0, 996), (0, 997)]),
        (Source::Philox, [(0, 997), (-1, 1009), (0, 1007), (0, 997)]),
    ] {
        let numbers = numbers(source);
        assert_eq!(values.map(|values| thousandths(&numbers, values)), want, "{source:?}");
    }
}
