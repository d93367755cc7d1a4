//! Formats against their tables, encoding against an exhaustive search, stochastic rounding by enumeration.
#![allow(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the tests compare with the machine's own float arithmetic"
)]

use std::format;
use std::string::ToString;
use std::vec::Vec;

use super::*;

fn named(name: &str) -> FloatFormat {
    name.parse().unwrap()
}

fn encode(name: &str, x: f64, round: &str, overflow: &str) -> u32 {
    named(name).encode(Number::from_f64(x), round.parse().unwrap(), overflow.parse().unwrap(), 0)
}

#[test]
fn limits_of_the_named_formats() {
    for (name, bits, bias, max, max_code, least) in [
        ("e4m3", 8, 7, 448.0, 0x7e, 2f64.powi(-9)),
        ("e5m2", 8, 15, 57344.0, 0x7b, 2f64.powi(-16)),
        ("e4m3fnuz", 8, 8, 240.0, 0x7f, 2f64.powi(-10)),
        ("e5m2fnuz", 8, 16, 57344.0, 0x7f, 2f64.powi(-17)),
        ("e3m2", 6, 3, 28.0, 0x1f, 2f64.powi(-4)),
        ("e2m3", 6, 1, 7.5, 0x1f, 0.125),
        ("e2m1", 4, 1, 6.0, 0x7, 0.5),
        ("float<1,2,bias=0>finite", 4, 0, 3.5, 0x7, 0.5),
        ("bfloat16", 16, 127, 255.0 * 2f64.powi(120), 0x7f7f, 2f64.powi(-133)),
        ("binary16", 16, 15, 65504.0, 0x7bff, 2f64.powi(-24)),
        ("binary8p4se", 8, 8, 224.0, 0x7e, 2f64.powi(-10)),
        ("binary8p3se", 8, 16, 49152.0, 0x7e, 2f64.powi(-17)),
        ("binary4p2sf", 4, 2, 3.0, 0x7, 0.25),
        ("binary8p1uf", 8, 128, 2f64.powi(126), 0xfe, 2f64.powi(-127)),
    ] {
        let format = named(name);
        assert_eq!((format.bits(), format.bias(), format.max_code()), (bits, bias, max_code), "{name}");
        assert_eq!((format.max().to_f64(), format.decode(1).to_f64()), (max, least), "{name}");
        assert_eq!(format.to_string().parse(), Ok(format), "{name}");
        assert_eq!(format.max_exponent(), max.log2().floor() as i32, "{name}");
    }
}

#[test]
fn names_round_trip_and_others_are_refused() {
    for (name, format, others) in NAMES {
        assert_eq!((name.parse(), format.to_string().as_str()), (Ok(format), name));
        for other in others {
            assert_eq!(other.to_uppercase().parse(), Ok(format), "{other}");
        }
    }
    for text in ["float<4,3>", "float<4, 3, bias=9>fn", "Binary5p3ue", "BINARY16P8SF"] {
        let format = named(text);
        assert_eq!(format.to_string().parse(), Ok(format), "{text}");
    }
    for text in [
        "",
        "e4m4",
        "float<4,3",
        "float<0,3>",
        "float<12,3>",
        "float<8,24>",
        "float<4,3>p",
        "float<4,3,7>",
        "binary8",
        "binary2p1sf",
        "binary8p9se",
        "binary8p0se",
        "binary8p4s",
        "float<1,0>ieee",
        "float<5,0>",
        "float<4,3,bias=9999>",
        "binaré8p4se",
    ] {
        assert_eq!(text.parse::<FloatFormat>(), Err(FloatError::Format), "{text}");
    }
    for text in ["sr-a<1>", "sr-b<32>", "sr-c<8>", "up", "to-odd"] {
        assert_eq!(text.parse::<FloatRound>().unwrap().to_string(), text);
    }
    for text in ["sr-a", "sr-a<0>", "sr-a<33>", "sr-d<4>", "nearest"] {
        assert_eq!(text.parse::<FloatRound>(), Err(FloatError::Round), "{text}");
    }
}

/// The formats of which all codes are walked.
fn small() -> Vec<FloatFormat> {
    let mut formats: Vec<_> = NAMES.iter().map(|(_, f, _)| *f).filter(|f| f.bits() <= 8).collect();
    for k in 3..=8 {
        for p in 1..=k {
            for domain in ["se", "sf", "ue", "uf"] {
                formats.extend(format!("binary{k}p{p}{domain}").parse::<FloatFormat>());
            }
        }
    }
    // P3109 has 120 formats of 3 to 8 bits; those without infinity at 8p4 and 8p3 are other formats by name.
    assert_eq!(formats.len(), 10 + 120);
    formats
}

#[test]
fn every_code_is_the_code_of_its_value() {
    for format in small() {
        for code in 0..1 << format.bits() {
            for overflow in [FloatOverflow::SatNone, FloatOverflow::SatPropagate] {
                let x = format.decode(code);
                let back = format.encode(x, FloatRound::NearestEven, overflow, 0);
                let nan = format.nan(x.is_negative());
                let want = if matches!(x, Number::Nan { .. }) { nan.unwrap() } else { code };
                assert_eq!(back, want, "{format} {code:#x}");
            }
        }
    }
}

/// Every rounding on all codes, all midpoints, and what lies close to both, against the definition: the neighbours
/// are found by a search through all values.
#[test]
fn roundings_by_a_search_through_all_values() {
    let rounds = ["nearest-even", "nearest-away", "toward-zero", "up", "down", "to-odd"];
    for format in small() {
        let values: Vec<f64> = (0..=format.max_code()).map(|c| format.decode(c).to_f64()).collect();
        for pair in values.windows(2) {
            let (low, high) = (pair[0], pair[1]);
            let code = values.iter().position(|v| *v == low).unwrap() as u32;
            let middle = (low + high) / 2.0;
            for (x, place) in
                [(low, 0), (low.next_up(), 1), (middle.next_down(), 1), (middle, 2), (middle.next_up(), 3)]
            {
                for negative in [false, true] {
                    for round in rounds {
                        let odd = code & 1 == 1;
                        let is_up = match round {
                            "nearest-even" => place == 3 || place == 2 && odd,
                            "nearest-away" => place >= 2,
                            "up" => place > 0 && !negative,
                            "down" => place > 0 && negative,
                            "to-odd" => place > 0 && !odd,
                            _ => false,
                        };
                        let magnitude = code + u32::from(is_up);
                        let want = match (negative, format.is_signed(), magnitude) {
                            (false, ..) => magnitude,
                            (true, true, 0) if !format.has_minus_zero() => 0,
                            (true, true, _) => magnitude | format.sign(),
                            (true, false, 0) => 0,
                            (true, false, _) => format.nan(true).unwrap(),
                        };
                        let x = if negative { -x } else { x };
                        assert_eq!(
                            encode(&format.to_string(), x, round, "sat-none"),
                            want,
                            "{format} {x:e} {round}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn beyond_the_largest() {
    for (format, x, round, overflow, code) in [
        ("e4m3", 464.0, "nearest-even", "sat-none", 0x7e),
        ("e4m3", 464.1, "nearest-even", "sat-none", 0x7f),
        ("e4m3", -1e9, "nearest-even", "sat-none", 0xff),
        ("e4m3", 1e9, "toward-zero", "sat-none", 0x7e),
        ("e4m3", f64::INFINITY, "nearest-even", "sat-propagate", 0x7e),
        ("e5m2", 61439.9, "nearest-even", "sat-none", 0x7b),
        ("e5m2", 61440.0, "nearest-even", "sat-none", 0x7c),
        ("e5m2", f64::NEG_INFINITY, "down", "sat-propagate", 0xfc),
        ("e5m2", 1e9, "down", "sat-none", 0x7b),
        ("e5m2", -1e9, "down", "sat-none", 0xfc),
        ("e5m2", 1e9, "to-odd", "sat-none", 0x7b),
        ("binary8p4se", 1e9, "to-odd", "sat-none", 0x7f),
        ("binary8p4ue", 1e99, "to-odd", "sat-none", 0xfd),
        ("binary8p4ue", -1.0, "nearest-even", "sat-none", 0xff),
        ("binary8p4ue", -1.0, "nearest-even", "sat-finite", 0),
        ("binary4p2sf", f64::INFINITY, "nearest-even", "sat-none", 0x7),
        ("e4m3fnuz", 1e9, "nearest-even", "sat-none", 0x80),
        ("e2m1", f64::NAN, "nearest-even", "sat-none", 0x7),
        ("e5m2", f64::NAN, "nearest-even", "sat-finite", 0x7e),
    ] {
        assert_eq!(encode(format, x, round, overflow), code, "{format} {x} {round} {overflow}");
    }
}

#[test]
fn binary32_is_the_machines() {
    let mut state = 1u64;
    for _ in 0..200_000 {
        // An affine walk through all of binary64.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let x = f64::from_bits(state);
        let near = f64::from_bits(state & !(0x7ff << 52) | (0x370 + (state >> 40 & 0xff)) << 52);
        for x in [x, near] {
            if !x.is_nan() {
                assert_eq!(Number::from_f64(x).to_f32().to_bits(), (x as f32).to_bits(), "{x:e}");
            }
        }
    }
}

#[test]
fn stochastic_roundings_count_their_words() {
    // v = f / 2^12 between 1 and 1.5 of E2M1: the words that round up, of all words of N bits.
    let format = FloatFormat::E2M1;
    for n in 1..=8 {
        for f in 0..1u32 << 12 {
            let x =
                Number::Finite { negative: f & 1 == 1, mantissa: u64::from((1 << 13) + f), exponent: -13 };
            let ups = |round| {
                (0..1u32 << n)
                    .filter(|r| format.encode(x, round, FloatOverflow::SatFinite, r << (32 - n)) & 7 == 3)
                    .count()
            };
            let (scaled, one) = (u64::from(f) << n, 1u64 << 12);
            let (floor, rest) = (scaled / one, scaled % one);
            let nearest = floor + u64::from(2 * rest > one || 2 * rest == one && floor % 2 == 1);
            assert_eq!(ups(FloatRound::StochasticA { bits: n }) as u64, floor, "{n} {f}");
            assert_eq!(
                ups(FloatRound::StochasticB { bits: n }) as u64,
                floor + u64::from(2 * rest >= one),
                "{n} {f}"
            );
            assert_eq!(ups(FloatRound::StochasticC { bits: n }) as u64, nearest, "{n} {f}");
        }
    }
}

#[test]
fn tiny_numbers_still_decide() {
    let tiny = Number::Finite { negative: false, mantissa: 3, exponent: -1000 };
    for (round, code) in [("up", 1), ("down", 0), ("to-odd", 1), ("nearest-even", 0), ("sr-b<32>", 0)] {
        let round = round.parse().unwrap();
        assert_eq!(FloatFormat::E5M2.encode(tiny, round, FloatOverflow::SatFinite, 0), code, "{round}");
    }
}
