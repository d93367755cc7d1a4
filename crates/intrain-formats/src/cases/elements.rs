//! Blocks at ties of the elements, and of numbers that are special everywhere.

use std::collections::BTreeSet;

use intrain_num::minifloat::FloatFormat;

use super::block::{Blocks, STEPS, narrow, stepped};

/// Every midpoint of two codes, and its neighbours; of a format of many codes those at the ends of its binades.
///
/// With `under_scale` each block begins with the largest value, whose scale is 1 by the rules `floor`, `even` and `rceil`.
pub(super) fn element_ties(blocks: &mut Blocks, format: FloatFormat, under_scale: bool) {
    let max = format.max_code();
    let value = |code: u32| match format.decode(code) {
        // The step behind the largest value, which no code has.
        _ if code > max => 2.0 * format.max().to_f64() - format.decode(max - 1).to_f64(),
        number => number.to_f64(),
    };
    let ends = u32::from(!under_scale);
    let ties: Vec<f32> = tied_codes(format)
        .into_iter()
        .filter(|code| *code < max + ends)
        .map(|code| f64::midpoint(value(code), value(code + 1)))
        .filter(|tie| f64::from(narrow(*tie)) == *tie && narrow(*tie).is_normal())
        .map(narrow)
        .collect();
    let first: &[f32] = if under_scale { &[format.max().to_f32()] } else { &[] };
    if blocks.len <= first.len() || !first.iter().all(|x| x.is_normal()) {
        return;
    }
    for (steps, side) in STEPS {
        for (part, ties) in ties.chunks(blocks.len - first.len()).enumerate() {
            // Signs alternate, and differ between a tie and the one before the last.
            let signed = ties.iter().enumerate().map(|(i, x)| {
                let x = stepped(*x, steps);
                if i % 4 / 2 == 0 { x } else { -x }
            });
            let values: Vec<f32> = first.iter().copied().chain(signed).collect();
            blocks.add(format!("ties of elements, part {}{side}", part + 1), &values);
        }
    }
}

/// Codes below whose upper neighbours ties are looked for: all of a format of up to 8 bits; else 4 on either side of
/// zero, the least normal number, 1, its neighbours among the powers of two, and the top.
fn tied_codes(format: FloatFormat) -> BTreeSet<u32> {
    let (max, digits) = (format.max_code(), format.mantissa_bits());
    if max < 256 {
        return (0..=max).collect();
    }
    let one = format.bias().max(1).cast_unsigned();
    let binades = [0, 1, one - 1, one, one + 1].map(|field| u64::from(field) << digits);
    let near = |code: u64| code.saturating_sub(4)..code + 4;
    let all = binades.into_iter().chain([u64::from(max)]).flat_map(near);
    all.filter_map(|code| u32::try_from(code).ok()).filter(|code| *code <= max).collect()
}

/// Zeros, NaN, infinities, and the ends of binary32.
pub(super) fn specials(blocks: &mut Blocks) {
    let (inf, nan, signed_nan) = (f32::INFINITY, f32::from_bits(0x7fc0_0000), f32::from_bits(0xffc0_0000));
    let (least, normal) = (f32::from_bits(1), f32::MIN_POSITIVE);
    let tiny = f32::from_bits(27 << 23);
    let len = blocks.len;
    blocks.add("zeros", &[]);
    blocks.add("minus zeros", &vec![-0.0; len]);
    // Blocks that are too short to hold the special number beside others hold it alone.
    if len < 5 {
        for (name, x) in [
            ("NaN", nan),
            ("NaN with a sign", signed_nan),
            ("infinity", inf),
            ("minus infinity", -inf),
            ("the largest binary32", f32::MAX),
            ("the least subnormal binary32", least),
            ("minus the largest subnormal binary32", -stepped(normal, -1)),
        ] {
            blocks.add(name, &[x]);
        }
        return;
    }
    for (name, values) in [
        ("minus zero beside one, and numbers that become zero", [1.0, -0.0, 0.0, -tiny, tiny]),
        ("NaN beside one", [1.0, nan, -0.5, 0.0, 0.25]),
        ("NaN with a sign", [1.0, signed_nan, -0.5, 0.0, 0.25]),
        ("NaN first", [nan, 1.0, -0.5, 0.0, 0.25]),
        ("infinity beside one", [1.0, inf, -0.5, 0.0, 0.25]),
        ("minus infinity beside one", [1.0, -inf, -0.5, 0.0, 0.25]),
        ("NaN beside infinities", [inf, nan, -inf, 0.0, 1.0]),
        ("the largest binary32", [f32::MAX, -f32::MAX, f32::MAX / 2.0, 1.0, least]),
        ("powers of two of the top", [f32::MAX / 2.0, -f32::MAX / 4.0, f32::MAX / 8.0, 0.0, 0.0]),
        ("the least subnormal binary32", [least, -least, 0.0, -0.0, 0.0]),
        ("the largest subnormal binary32", [stepped(normal, -1), -stepped(normal, -1), least, -least, 0.0]),
        ("the least normal binary32", [normal, -normal, stepped(normal, -1), least, -least]),
        ("the largest magnitude is negative", [-1.9, 1.0, 0.3, -0.7, 0.1]),
    ] {
        blocks.add(name, &values);
    }
}
