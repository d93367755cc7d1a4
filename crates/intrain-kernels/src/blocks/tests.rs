//! Every kernel equals the reference: formats, rules, roundings, extents, odd shapes, and the edges of binary32.

use intrain_num::block::{Coding, Edges, Element, Extent, NvRule, ScaleRule};
use intrain_num::minifloat::{FloatRound, NAMES};
use intrain_num::random::{Purpose, Stream};

use super::*;

const ROUNDS: [FloatRound; 12] = [
    FloatRound::NearestEven,
    FloatRound::NearestAway,
    FloatRound::TowardZero,
    FloatRound::Up,
    FloatRound::Down,
    FloatRound::ToOdd,
    FloatRound::StochasticA { bits: 8 },
    FloatRound::StochasticA { bits: 1 },
    FloatRound::StochasticB { bits: 5 },
    FloatRound::StochasticB { bits: 16 },
    FloatRound::StochasticC { bits: 8 },
    FloatRound::StochasticC { bits: 32 },
];

fn stream() -> Stream {
    Stream::new(5, Purpose::Tool, 3, 9)
}

/// Codes as wide as they need to be, scales, factor and values of every kernel against those of the reference.
fn compare(coding: Coding, round: FloatRound, axis: Axis, values: &[f32], first_element: u64) {
    let args = Args { coding, round, axis, values, stream: Some(stream()), first_element };
    let n_scales = scale_count(&coding, axis);
    let run = |isa| {
        let (mut codes, mut scales) = (vec![0u32; values.len()], vec![0; n_scales]);
        let factor = super::codes(isa, args, &mut codes, &mut scales);
        let mut out = vec![0.0; values.len()];
        super::values(isa, args, &mut out);
        let mut decoded = vec![0.0; values.len()];
        decode(&coding, axis, &codes, &scales, factor, &mut decoded);
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        (codes, scales, factor.to_bits(), bits(out), bits(decoded))
    };
    let want = run(Isa::Reference);
    assert_eq!(want.3, want.4, "{coding} {round}: values are those of codes");
    for isa in Isa::available() {
        let got = run(isa);
        assert_eq!(got.1, want.1, "{isa:?} {coding} {round} {axis:?}: scales");
        assert_eq!(got.2, want.2, "{isa:?} {coding} {round} {axis:?}: factor");
        for (i, x) in values.iter().enumerate() {
            assert_eq!(got.0[i], want.0[i], "{isa:?} {coding} {round} {axis:?}: code {i} of {x:e}");
            assert_eq!(got.3[i], want.3[i], "{isa:?} {coding} {round} {axis:?}: value {i} of {x:e}");
        }
    }
}

/// All bf16 numbers, NaN and infinities too, in an order that mixes magnitudes.
fn all_bf16() -> Vec<f32> {
    (0..1u32 << 16).map(|i| f32::from_bits(((i * 40_503) & 0xffff) << 16)).collect()
}

#[test]
fn all_bf16_numbers_in_every_small_format_and_rounding() {
    let values = all_bf16();
    let axis = Axis { outer: 1, len: values.len(), inner: 1 };
    for (_, format, _) in NAMES.iter().filter(|(_, format, _)| format.bits() <= 16) {
        for overflow in ["sat-finite", "sat-propagate", "sat-none"] {
            for round in ROUNDS {
                compare(
                    Coding::Plain { format: *format, overflow: overflow.parse().unwrap() },
                    round,
                    axis,
                    &values,
                    3,
                );
            }
        }
    }
    for text in [
        "binary8p4se",
        "binary8p3sf",
        "binary4p2sf",
        "binary6p1se",
        "binary8p1uf",
        "tf32",
        "float<4,3,bias=-80>fn",
        "float<6,1,bias=-60>finite",
    ] {
        for round in ROUNDS {
            compare(text.parse().unwrap(), round, axis, &values, 0);
        }
    }
}

#[test]
fn neighbours_of_every_tie() {
    for name in ["e4m3", "e5m2", "e2m1", "e3m2", "e4m3fnuz"] {
        let format = name.parse::<intrain_num::minifloat::FloatFormat>().unwrap();
        let mut values = Vec::new();
        for code in 0..format.max_code() {
            let (low, high) = (format.decode(code).to_f32(), format.decode(code + 1).to_f32());
            let middle = f32::midpoint(low, high);
            for x in [low, low.next_up(), middle.next_down(), middle, middle.next_up()] {
                values.extend([x, -x]);
            }
        }
        let axis = Axis { outer: 1, len: values.len(), inner: 1 };
        for round in ROUNDS {
            compare(Coding::Plain { format, overflow: Default::default() }, round, axis, &values, 0);
        }
    }
}

/// Formats with the exponents of binary32: whatever the bits below the last one are, in all binades.
#[test]
fn floats_that_are_the_top_of_binary32() {
    let lows = [0, 1, 0x3fff, 0x4000, 0x7fff, 0x8000, 0x8001, 0xffff, 0x1_8000, 0x1_8001];
    let values: Vec<f32> = (0..1u32 << 16)
        .step_by(61)
        .flat_map(|top| lows.map(|low| f32::from_bits((top << 16).wrapping_add(low))))
        .collect();
    let axis = Axis { outer: values.len(), len: 1, inner: 1 };
    for text in ["bfloat16", "tf32", "float<8,1>ieee", "float<8,20>ieee"] {
        for round in ROUNDS {
            compare(text.parse().unwrap(), round, axis, &values, 2);
        }
    }
    for overflow in ["sat-propagate", "sat-none"] {
        let format = intrain_num::minifloat::FloatFormat::BFLOAT16;
        for round in ROUNDS {
            let coding = Coding::Plain { format, overflow: overflow.parse().unwrap() };
            compare(coding, round, axis, &values, 0);
        }
    }
}

/// Parts under the largest magnitude of all are the tensor.
#[test]
fn parts_of_a_tensor_are_the_tensor() {
    let mut values = numbers(64 * 48, 7);
    for text in ["nvfp4", "nvfp4/16x16", "nvfp4@4over6-mse-256", "e4m3@rceil", "e5m2@even:te"] {
        for special in [0.0, f32::NAN, f32::INFINITY] {
            values[5] = special;
            let coding: Coding = text.parse().unwrap();
            let args = |rows: usize, values, first_element| Args {
                coding,
                round: FloatRound::StochasticA { bits: 8 },
                axis: Axis { outer: 1, len: rows, inner: 48 },
                values,
                stream: Some(stream()),
                first_element,
            };
            for isa in Isa::available() {
                let (mut whole, mut parts) = (vec![0.0; values.len()], vec![0.0; values.len()]);
                super::values(isa, args(64, &values, 0), &mut whole);
                let of_part = values.chunks(32 * 48).map(|part| largest(isa, &coding, part));
                let largest = of_part.max().unwrap();
                for (i, (out, part)) in parts.chunks_mut(32 * 48).zip(values.chunks(32 * 48)).enumerate() {
                    let first = (i * 32 * 48) as u64;
                    values_of_part(isa, args(32, part, first), largest, out);
                }
                let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&parts), bits(&whole), "{text} {special} {isa:?}");
            }
        }
    }
}

/// Numbers of all magnitudes, many of similar size, some zeros.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let words = Stream::new(seed, Purpose::Tool, 0, 0);
    let mut out = Vec::with_capacity(n);
    for i in 0..n as u64 {
        let (word, block) = (words.word(i), words.word((1 << 20) | (i / 32)));
        let exponent =
            if block % 16 == 0 { word >> 9 & 0xff } else { (120 + block % 8).saturating_sub(word >> 27) };
        let bits = word & 0x807f_ffff & !(0x7f_ffff * u32::from(block % 3 == 0)) | exponent << 23;
        let is_special = bits & 0x7f80_0000 == 0x7f80_0000;
        out.push(if word % 13 == 0 || is_special {
            f32::from_bits(word & 1 << 31)
        } else {
            f32::from_bits(bits)
        });
    }
    out
}

fn shapes() -> Vec<Axis> {
    let axis = |outer, len, inner| Axis { outer, len, inner };
    vec![
        axis(1, 1, 1),
        axis(3, 33, 1),
        axis(2, 1100, 1),
        axis(5, 64, 7),
        axis(2, 50, 70),
        axis(40, 20, 1),
        axis(1, 16, 600),
        axis(0, 4, 1),
    ]
}

#[test]
fn blocks_of_every_rule_extent_and_shape() {
    let elements = ["e4m3", "e5m2", "e3m2", "e2m3", "e2m1", "int8", "int4", "binary6p3se"];
    let extents = [
        Extent::Run(32),
        Extent::Run(16),
        Extent::Run(5),
        Extent::Run(8),
        Extent::Tile(16),
        Extent::Tile(3),
        Extent::Line,
        Extent::Tensor,
    ];
    let mut case = 0;
    for element in elements {
        let element: Element = element.parse().unwrap();
        for (_, rule) in ScaleRule::ALL {
            for (_, edges) in Edges::ALL {
                let extent = extents[case % extents.len()];
                let round = ROUNDS[case % ROUNDS.len()];
                for axis in shapes() {
                    let values = numbers(axis.elements(), case as u64);
                    compare(
                        Coding::Scaled { element, rule, edges, extent },
                        round,
                        axis,
                        &values,
                        case as u64,
                    );
                }
                case += 1;
            }
        }
    }
}

#[test]
fn blocks_with_specials_and_of_tiny_numbers() {
    let axis = Axis { outer: 9, len: 96, inner: 1 };
    let mut values = numbers(axis.elements(), 77);
    for (i, x) in
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN, f32::MAX, -0.0].into_iter().enumerate()
    {
        values[i * 64 + 5] = x;
    }
    for (i, x) in values[500..700].iter_mut().enumerate() {
        *x = f32::from_bits((u32::try_from(i).unwrap() * 77_777) & 0x807f_ffff);
    }
    for element in ["e4m3", "e2m1", "int8"] {
        for (_, rule) in ScaleRule::ALL {
            for (_, edges) in Edges::ALL {
                for round in ROUNDS {
                    let element = element.parse().unwrap();
                    compare(
                        Coding::Scaled { element, rule, edges, extent: Extent::Run(32) },
                        round,
                        axis,
                        &values,
                        1,
                    );
                }
            }
        }
    }
    for (_, rule) in NvRule::ALL {
        compare(Coding::Nvfp4 { rule, extent: Extent::Run(16) }, FloatRound::NearestEven, axis, &values, 1);
    }
}

#[test]
fn nvfp4_of_every_rule_and_shape() {
    for (case, (_, rule)) in NvRule::ALL.into_iter().enumerate() {
        for extent in [Extent::Run(16), Extent::Tile(16)] {
            for axis in shapes() {
                let mut values = numbers(axis.elements(), case as u64);
                values.iter_mut().for_each(|x| *x = if x.abs() > 1e20 { 1.5 } else { *x });
                compare(Coding::Nvfp4 { rule, extent }, ROUNDS[case % 8], axis, &values, 2);
            }
        }
    }
}

/// Rows that are shorter than a piece are taken together: whole groups of them, the rest of a group, and of a vector.
#[test]
fn blocks_across_short_rows() {
    let codings =
        ["mxfp8@rceil", "mxfp4@even", "mxint8@floor", "nvfp4@te", "nvfp4@4over6-mse-256", "e4m3@ceil/row"];
    for (case, inner) in [2, 3, 8, 9, 16, 24, 63, 64, 65, 128, 255, 256, 257].into_iter().enumerate() {
        for text in codings {
            let axis = Axis { outer: 2, len: 75, inner };
            let mut values = numbers(axis.elements(), inner as u64);
            values.iter_mut().for_each(|x| *x = if x.abs() > 1e20 { 1.5 } else { *x });
            let coding = text.parse().unwrap();
            for round in [ROUNDS[0], ROUNDS[case % ROUNDS.len()]] {
                compare(coding, round, axis, &values, 1);
            }
            values[5 * inner + 1] = f32::NAN;
            values[40 * inner] = f32::NEG_INFINITY;
            compare(coding, FloatRound::StochasticA { bits: 8 }, axis, &values, 1);
        }
    }
}

#[test]
fn scales_are_counted_like_blocks() {
    let axis = Axis { outer: 5, len: 70, inner: 3 };
    for (text, n) in [
        ("bf16", 0),
        ("mxfp4", 5 * 3 * 3),
        ("mxfp4/row", 15),
        ("mxfp4/tensor", 1),
        ("mxfp4/16x16", 5 * 5),
        ("nvfp4", 5 * 5 * 3),
    ] {
        assert_eq!(scale_count(&text.parse().unwrap(), axis), n, "{text}");
    }
    assert_eq!(scale_count(&"mxfp4/16x16".parse().unwrap(), Axis { outer: 33, len: 40, inner: 1 }), 9);
}

#[test]
fn statistics_count_what_was_lost() {
    let values = [6.0, 7.9, 0.01, 0.0, -7.5, 1.0];
    let axis = Axis { outer: 1, len: 6, inner: 1 };
    let args = Args {
        coding: "mxfp4/3".parse().unwrap(),
        round: FloatRound::NearestEven,
        axis,
        values: &values,
        stream: None,
        first_element: 0,
    };
    let (mut codes, mut scales, mut decoded) = ([0u8; 6], [0; 2], [0.0; 6]);
    let factor = super::codes(Isa::best(), args, &mut codes, &mut scales);
    decode(&args.coding, axis, &codes, &scales, factor, &mut decoded);
    assert_eq!(decoded, [6.0, 6.0, 0.0, 0.0, -6.0, 1.0]);
    let found = statistics(&args, &scales, factor, &decoded);
    let want = Statistics { blocks: 2, clipped_blocks: 2, clipped: 2, flushed: 1, zeros: 2, nan_blocks: 0 };
    assert_eq!(found, want);
}

#[test]
fn transforms_equal_their_definition() {
    for (case, axis) in shapes().into_iter().enumerate() {
        for signs in [0, intrain_num::block::HADAMARD, 0xffff] {
            let mut values = numbers(axis.elements(), case as u64);
            // Half of the groups have numbers of similar size, so that sums are exact in binary64.
            for (i, x) in values.iter_mut().enumerate() {
                if i % 2048 < 16 {
                    *x = -0.0;
                }
                let held = f32::from_bits(x.to_bits() & 0x83ff_ffff | 0x3c00_0000);
                *x = if i / 512 % 2 == 0 && *x != 0.0 { held } else { *x };
            }
            let run = |isa| {
                let mut out = vec![f32::NAN; values.len()];
                transform(isa, axis, &values, signs, &mut out);
                out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let want = run(Isa::Reference);
            for isa in Isa::available() {
                assert_eq!(run(isa), want, "{isa:?} {axis:?} {signs:#x}");
            }
        }
    }
}
