//! Lanes, threads and types of numbers give what one number at a time gives; worked examples.
#![allow(clippy::cast_possible_truncation, reason = "values as binary32 numbers")]

use intrain_num::random::Purpose;

use super::*;

const STREAM: Stream = Stream::new(1, Purpose::Tool, 0, 0);

fn measured(numbers: Numbers<'_>, format: &str, round: &str, overflow: &str) -> (Vec<i64>, Measured) {
    let fixed = Fixed::new(format, round, overflow).unwrap();
    let mut codes = vec![0; numbers.len()];
    let measured = fixed.measure(numbers, Some(STREAM), &mut codes).unwrap();
    (codes, measured)
}

#[test]
fn gupta_rounds_ties_down_and_saturates() {
    let x = [0.0, 2f64.powi(-13), -(2f64.powi(-13)), 100.0, f64::NEG_INFINITY];
    let (codes, measured) = measured(Numbers::F64(&x), "Q4.12", "nearest-down", "saturate");
    assert_eq!(codes, [0, 0, -1, 32_767, -32_768]);
    let s = measured.statistics;
    assert_eq!((s.n, s.saturated, s.zeros, s.ties, s.infinite), (5, 2, 2, 2, 1));
    let errors = [0.0, -(2f64.powi(-13)), -(2f64.powi(-13)), 32_767.0 / 4096.0 - 100.0];
    assert_eq!(s.bias, errors.iter().sum::<f64>() / 4.0);
    assert_eq!((s.error_max, s.code_min, s.code_max), (100.0 - 32_767.0 / 4096.0, -32_768, 32_767));
}

#[test]
fn shift_divides_by_the_power_of_two_of_the_largest() {
    // Shift(0.3) = 2^-2: 0.3 / 0.25 saturates at 127/128.
    let (codes, m) = measured(Numbers::F64(&[0.3, -0.1, 0.0]), "unit<8>@shift", "nearest-even", "saturate");
    assert_eq!((m.scale_log2, codes.as_slice()), (-2, &[127, -51, 0][..]));
    assert_eq!(m.statistics.error_max, 0.3 / 0.25 - 127.0 / 128.0);
    let (_, zero) = measured(Numbers::F64(&[0.0]), "unit<8>@shift", "floor", "saturate");
    assert_eq!(zero.scale_log2, 0);
}

#[test]
fn integers_wrap_and_clip() {
    let x = Numbers::Integers(&[130, -5, i64::MIN]);
    assert_eq!(measured(x, "int<8>", "floor", "wrap").0[..2], [-126, -5]);
    assert_eq!(measured(x, "int<8>", "floor", "clip<3>").0, [3, -3, -3]);
    // 64 bits are held one short of what two's complement has, and that is an error of 1.
    let x = Numbers::Integers(&[i64::MIN, i64::MAX, 7]);
    let (codes, m) = measured(x, "int<64>", "floor", "saturate");
    assert_eq!(codes, [-i64::MAX, i64::MAX, 7]);
    assert_eq!((m.statistics.error_max, m.statistics.saturated), (1.0, 1));
}

#[test]
fn words_are_those_of_the_stream_whatever_the_chunk() {
    let x = vec![0.375; CHUNK + 5];
    let (codes, m) = measured(Numbers::F32(&x), "int<8>", "stochastic<16>", "saturate");
    // floor(0.375 + r / 2^16), with r the top 16 bits of the word.
    let expected: Vec<i64> =
        (0..x.len() as u64).map(|i| i64::from((STREAM.word(i) >> 16) >= 40_960)).collect();
    assert_eq!(codes, expected);
    assert!(m.statistics.bias.abs() < 0.01);
}

/// Numbers of all magnitudes around a step, their ties, what lies beyond 32 bits, and the ends of binary32.
fn numbers(n: usize) -> Vec<f32> {
    let ends = [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::from_bits(1), -0.0, 2.5, -0.5, 4e9, -1e30];
    let number = |i: usize| {
        let word = STREAM.word(i as u64 + 99);
        let mantissa = f64::from(word.cast_signed() >> (word % 23));
        (mantissa * 2f64.powi((word >> 8).cast_signed() % 48 - 40)) as f32
    };
    ends.into_iter().chain((0..n - ends.len()).map(number)).collect()
}

/// One number at a time, by the contract.
#[test]
fn lanes_and_threads_change_nothing() {
    let formats = [
        ("Q4.12", "nearest-even", "saturate"),
        ("Q2.6", "nearest-down", "wrap"),
        ("unit<8>@shift", "nearest-away", "saturate"),
        ("int<8>", "stochastic<16>", "clip<100>"),
        ("Q8.8", "stochastic<32>", "wrap"),
        ("unit<6>@shift", "stochastic-magnitude<8>", "clip<9>"),
        ("Q8.16", "floor", "wrap"),
        ("Q16.16", "toward-zero", "saturate"),
        ("int<40>", "nearest-even", "wrap"),
    ];
    for (format, round, overflow) in formats {
        let fixed = Fixed::new(format, round, overflow).unwrap();
        let shifts = fixed.quantizer.scale == Scale::Shift;
        for n in [9, 10, 2047, 2049, 3 * CHUNK + 77] {
            let x: Vec<f32> = numbers(n).into_iter().filter(|x| !shifts || x.is_finite()).collect();
            let scale_log2 = fixed.scale_log2(Numbers::F32(&x)).unwrap();
            let word = |i| if fixed.quantizer.round.is_stochastic() { STREAM.word(i) } else { 0 };
            let code =
                |(i, x): (u64, &f32)| fixed.quantizer.code(Real::from_f32(*x).unwrap(), scale_log2, word(i));
            let want: Vec<i64> = (0..).zip(&x).map(code).collect();
            let values: Vec<f32> =
                want.iter().map(|code| fixed.quantizer.value(*code).to_f64() as f32).collect();
            let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
            let mut lost = Vec::new();
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                for numbers in [Numbers::F32(&x), Numbers::F64(&wide)] {
                    let (mut codes, mut out) = (vec![0_i64; x.len()], vec![0.0; x.len()]);
                    let found = pool.install(|| fixed.measure(numbers, Some(STREAM), &mut codes).unwrap());
                    assert_eq!(codes, want, "{format} {round} {overflow}, {n}");
                    pool.install(|| fixed.values(numbers, Some(STREAM), &mut out).unwrap());
                    assert_eq!(out, values, "{format} {round} {overflow}, {n}");
                    codes.fill(0);
                    fixed.codes(numbers, Some(STREAM), &mut codes).unwrap();
                    assert_eq!(codes, want, "{format} {round} {overflow}, {n}");
                    lost.push(found);
                }
            }
            // To the last bit of each sum.
            assert!(
                lost.windows(2).all(|two| two[0] == two[1]),
                "{format} {round} {overflow}, {n}: {lost:?}"
            );
        }
    }
}

#[test]
fn codes_are_as_narrow_as_they_fit() {
    let fixed = Fixed::new("unit<8>", "nearest-even", "saturate").unwrap();
    let mut codes = [0_i8; 3];
    assert_eq!(fixed.codes(Numbers::F32(&[0.5, -2.0, 0.004]), None, &mut codes), Ok(0));
    assert_eq!(codes, [64, -127, 1]);
}

#[test]
fn mistakes_name_the_value_and_the_remedy() {
    for (format, round, overflow, part, at) in [
        ("Q0.8", "floor", "wrap", "'Q0.8' is fixed<IL,FL> needs", Part::Format),
        ("float32", "floor", "wrap", "quantizes nothing", Part::Format),
        ("unit<8>@alpha", "floor", "wrap", "write unit<8> or", Part::Format),
        ("unit<8>", "nearest", "wrap", "nearest-even", Part::Round),
        ("unit<8>", "floor", "clip-before<4>", "clip<N>", Part::Overflow),
    ] {
        let error = Fixed::new(format, round, overflow).unwrap_err();
        assert!(error.to_string().contains(part) && error.part() == at, "{error}");
    }
    let mut out = vec![0.0; 3 * CHUNK];
    let mut x = out.clone();
    let fixed = |format| Fixed::new(format, "floor", "saturate").unwrap();
    x[2 * CHUNK + 9] = f32::NAN;
    x[CHUNK + 7] = f32::NAN;
    x[CHUNK] = f32::INFINITY;
    for format in ["int<8>", "int<8>@shift", "int<32>"] {
        let found = fixed(format).values(Numbers::F32(&x), None, &mut out);
        assert_eq!(found, Err(Unfit::Nan(CHUNK + 7)), "{format}");
    }
    let found = fixed("int<8>@shift").values(Numbers::F32(&x[..CHUNK + 2]), None, &mut out[..CHUNK + 2]);
    assert_eq!(found, Err(Unfit::Infinite(CHUNK)));
}
