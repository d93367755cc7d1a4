//! Rules of scales against their definitions in fractions, exact sums against integers.
#![allow(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the tests compare with the machine's own float arithmetic"
)]

use std::string::ToString;
use std::vec::Vec;

use super::*;
use crate::minifloat::{FloatFormat, FloatRound, Number};

const ELEMENTS: [&str; 6] = ["e4m3", "e5m2", "e3m2", "e2m3", "e2m1", "int8"];

fn mx(element: &str, rule: ScaleRule, edges: Edges) -> Mx {
    Mx { element: element.parse().unwrap(), rule, edges, round: FloatRound::NearestEven }
}

/// Maxima around every place where a rule can change its mind, in some binades.
fn maxima(max: f64) -> Vec<f32> {
    let mut all = Vec::new();
    for fraction in [1.0, 1.25, 1.5, 1.75, 1.875, 1.9375, 1.984_375, max / max.log2().floor().exp2()] {
        for r in [1.0, 1.5, 2f64.sqrt(), 4.0 / 3.0] {
            for binade in [-126, -60, 0, 7, 90] {
                let x = (fraction * r) as f32 * 2f32.powi(binade);
                all.extend([x, x.next_up(), x.next_down()]);
            }
        }
    }
    all
}

#[test]
fn scale_rules_follow_their_definitions() {
    for name in ELEMENTS {
        let element: Element = name.parse().unwrap();
        let format = element.magnitudes();
        let max = format.max().to_f64();
        for a in maxima(max) {
            let x = f64::from(a);
            // Exact: powers of two times numbers of 24 bits.
            let (n, ratio) = (x.log2().floor() as i32, |k: i32| x / 2f64.powi(k));
            let n = if ratio(n) >= 2.0 {
                n + 1
            } else if ratio(n) < 1.0 {
                n - 1
            } else {
                n
            };
            let carries = 2.0 - 2f64.powi(-(format.mantissa_bits() as i32) - 1);
            let emax = max.log2().floor() as i32;
            let fits = (-300..300).find(|k| ratio(*k) <= max).unwrap();
            let holds = (-300..300).rev().find(|k| ratio(*k) >= max).unwrap();
            let squares = |k: i32| ratio(k) * ratio(k) / (max * max);
            for (rule, want) in [
                (ScaleRule::Floor, n - emax),
                (ScaleRule::Ceil, n - emax + i32::from(ratio(n) > 1.0)),
                (ScaleRule::Even, n - emax + i32::from(ratio(n) >= carries)),
                (ScaleRule::Rceil, fits),
                (ScaleRule::DivFloor, holds),
                (ScaleRule::DivNearest, holds + i32::from(ratio(holds) >= 1.5 * max)),
                // Bound: 48 bits of a square are exact in binary64.
                (ScaleRule::DivLog2Round, holds + i32::from(squares(holds) >= 2.0)),
            ] {
                assert_eq!(rule.exponent(element, a.to_bits()), want, "{name} {rule} {a:e}");
            }
        }
    }
}

#[test]
fn edges_of_the_scale() {
    let bits = |x: f32| x.to_bits();
    for (element, rule, edges, a, scale) in [
        ("e2m1", ScaleRule::Floor, Edges::Ocp, 0.0, 0),
        ("e2m1", ScaleRule::Floor, Edges::Ocp, f32::INFINITY, 0xff),
        ("e2m1", ScaleRule::Floor, Edges::Torchao018, f32::INFINITY, 0xfd),
        ("e4m3", ScaleRule::Even, Edges::Torchao018, f32::INFINITY, 0xf7),
        ("e4m3", ScaleRule::Rceil, Edges::Torchao018, f32::INFINITY, 0xfe),
        ("e4m3", ScaleRule::Rceil, Edges::Te, f32::INFINITY, 0xfe),
        ("e2m1", ScaleRule::Even, Edges::Quark, f32::INFINITY, 0xfe),
        ("int8", ScaleRule::Even, Edges::Ocp, f32::MAX, 0xfe),
        ("int8", ScaleRule::Even, Edges::TorchaoMain, f32::MAX, 0xff),
        ("int8", ScaleRule::Even, Edges::Ocp, f32::NAN, 0xff),
        ("e4m3", ScaleRule::Floor, Edges::Ocp, f32::from_bits(1), 0),
    ] {
        assert_eq!(mx(element, rule, edges).scale(bits(a)), scale, "{element} {rule} {edges} {a}");
    }
    let te = mx("e4m3", ScaleRule::Rceil, Edges::Te);
    let mut codes = [0; 2];
    assert_eq!((te.quantize(&[f32::NAN, 448.0], &mut codes, |_| 0), codes), (0x7f, [0x7f, 0x7e]));
    // A block of the least scale: 2^-127, but torchao 0.18 divides by 2^-126, with rceil by 1.
    let x = [f32::from_bits(3 << 21)];
    for (edges, rule, code) in [
        (Edges::Ocp, ScaleRule::Floor, 0x3c),
        (Edges::Torchao018, ScaleRule::Floor, 0x34),
        (Edges::Torchao018, ScaleRule::Rceil, 0),
    ] {
        let mut codes = [0];
        assert_eq!(mx("e4m3", rule, edges).quantize(&x, &mut codes, |_| 0), 0);
        assert_eq!(codes[0], code, "{edges} {rule}");
    }
}

#[test]
fn integers_are_codes_in_twos_complement() {
    for bits in 3..=8 {
        let element = Element::int(bits).unwrap();
        let limit = 1i32 << (bits - 1);
        for code in -limit..limit {
            let value = f64::from(code) / 2f64.powi(bits as i32 - 2);
            let byte = (code as u8) & (0xff >> (8 - bits));
            assert_eq!(element.decode(byte).to_f64(), value, "{bits} {code}");
            let held = if code == -limit { (1 - limit) as u8 & (0xff >> (8 - bits)) } else { byte };
            assert_eq!(
                element.encode(Number::from_f64(value), FloatRound::NearestEven, 0),
                held,
                "{bits} {code}"
            );
        }
        assert_eq!(element.to_string().parse(), Ok(element));
    }
    assert_eq!(Element::INT8.encode(Number::from_f64(-0.0), FloatRound::NearestEven, 0), 0);
}

#[test]
fn sums_are_exact() {
    let mut sum = ExactSum::default();
    sum.add(1, 200);
    sum.add(-3, -320);
    sum.add(i128::MAX, 100);
    sum.add(-i128::MAX, 100);
    sum.add(-1, 200);
    assert_eq!(
        sum.to_number().scaled(320),
        Number::Finite { negative: true, mantissa: 3 << 62, exponent: -62 }
    );
    // Against integers of 128 bits, with carries through several limbs.
    let mut state = 7u64;
    let (mut sum, mut whole, mut parts) =
        (ExactSum::default(), 0i128, [ExactSum::default(), ExactSum::default()]);
    for i in 0..20_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (m, e) = (i128::from((state >> 20).cast_signed() >> (state % 23)), (state % 57) as i32);
        sum.add(m, e);
        parts[i % 2].add(m, e);
        whole += m << e;
    }
    let mut want = ExactSum::default();
    want.add(whole, 0);
    let [mut joined, other] = parts;
    joined.add_sum(&other);
    assert_eq!((&sum, &joined), (&want, &want));
}

#[test]
fn sums_keep_what_ieee_says_of_infinities() {
    let (inf, zero, one) = (Number::Infinite { negative: false }, Number::zero(true), Number::from_f32(1.0));
    let sum = |pairs: &[(Number, Number)]| {
        let mut sum = ExactSum::default();
        pairs.iter().for_each(|(a, b)| sum.add_product(*a, *b, 0));
        sum.to_number().to_f64()
    };
    assert_eq!(sum(&[(inf, one), (one, one)]), f64::INFINITY);
    assert!(sum(&[(inf, zero)]).is_nan());
    assert!(sum(&[(inf, one), (inf, Number::from_f32(-1.0))]).is_nan());
    assert_eq!(sum(&[(zero, one)]).to_bits(), 0);
}

#[test]
fn a_sum_is_rounded_once() {
    // 1 + 2^-24 is a tie of binary32; a bit far below decides it.
    let mut sum = ExactSum::default();
    sum.add(1, 0);
    sum.add(1, -24);
    assert_eq!(sum.to_number().to_f32(), 1.0);
    sum.add(1, -290);
    assert_eq!(sum.to_number().to_f32(), 1.0f32.next_up());
    sum.add(-2, -290);
    assert_eq!(sum.to_number().to_f32(), 1.0);
}

#[test]
fn hadamard_keeps_lengths_and_is_its_own_inverse() {
    let x: [f32; 16] = core::array::from_fn(|i| (i * i) as f32 - 40.0);
    let y = hadamard(&x, 0).map(Number::to_f32);
    assert_eq!(hadamard(&y, 0).map(Number::to_f32), x);
    let signs = hadamard(&[1.0; 16], HADAMARD).map(Number::to_f32);
    assert_eq!(signs.map(|x| x * x).iter().sum::<f32>(), 16.0);
    assert_eq!(hadamard(&x, HADAMARD).map(|y| y.to_f64() as f32), hadamard(&x, HADAMARD).map(Number::to_f32));
}

#[test]
fn nvfp4_scales_of_a_tensor_of_zeros() {
    for (name, rule) in NvRule::ALL {
        let tensor = NvTensor::new(rule, 0.0);
        if matches!(rule, NvRule::TorchaoTwoLevel) {
            continue;
        }
        let block = tensor.block(&[0.0; 16], 0.0);
        assert_eq!(tensor.code(0.0, block, FloatRound::NearestEven, 0), 0, "{name}");
        assert_eq!(name.parse(), Ok(rule));
    }
    assert_eq!(FloatFormat::E2M1.max().to_f64(), 6.0);
}

#[test]
fn codings_round_trip_and_others_are_refused() {
    for (text, shown, bits) in [
        ("mxfp4", "mxfp4@floor", 4),
        ("MXFP8-E4M3@rceil:te/32x32", "mxfp8@rceil:te/32x32", 8),
        ("mxint8@even:torchao@main", "mxint8@even:torchao@main", 8),
        ("e4m3@floor", "mxfp8@floor/tensor", 8),
        ("nvfp4", "nvfp4@te", 4),
        ("nvfp4@4over6-mse-256/16x16", "nvfp4@4over6-mse-256/16x16", 4),
        ("bfp<5>", "mx<int5,row>@floor", 5),
        ("mx<binary6p3sf, 64>@ceil", "mx<binary6p3sf,64>@ceil", 6),
        ("bf16", "bfloat16", 16),
        ("float<4,3,bias=9>fn", "float<4,3,bias=9>fn", 8),
    ] {
        let coding: Coding = text.parse().unwrap();
        assert_eq!((coding.to_string().as_str(), coding.bits()), (shown, bits), "{text}");
        assert_eq!(shown.parse(), Ok(coding), "{shown}");
    }
    for (text, error) in [
        ("mxfp5", CodingError::Name),
        ("bfp<9>", CodingError::Name),
        ("mx<bf16,32>", CodingError::Name),
        ("mx<e4m3,0>", CodingError::Name),
        ("mxfp4@round", CodingError::Rule),
        ("bf16@floor", CodingError::Rule),
        ("nvfp4@floor", CodingError::Rule),
        ("mxfp4@even:nvidia", CodingError::Edges),
        ("mxfp4/16x32", CodingError::Extent),
        ("mxfp4/+8", CodingError::Extent),
        ("nvfp4/32", CodingError::Extent),
        ("bf16/32", CodingError::Extent),
    ] {
        assert_eq!(text.parse::<Coding>(), Err(error), "{text}");
    }
}

#[test]
fn terms_up_to_the_top_of_a_sum_are_held() {
    // The largest E5M2 codes under the largest scales: 7 * 7 * 2^280.
    let number = |exponent| Number::Finite { negative: true, mantissa: 7, exponent };
    let mut sum = ExactSum::default();
    sum.add_product(number(140), number(140), 0);
    assert_eq!(sum.to_number(), Number::Finite { negative: false, mantissa: 49 << 58, exponent: 222 });
    let mut sum = ExactSum::default();
    sum.add(-(1 << 63), 384 - 64);
    sum.add(1, 383);
    assert_eq!(sum, ExactSum::default());
}

#[test]
#[should_panic(expected = "lies outside the sum")]
fn terms_above_the_top_of_a_sum_are_refused() {
    ExactSum::default().add(3, 383);
}
