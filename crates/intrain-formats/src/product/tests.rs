//! Products against sums of binary digits, models against the same in binary64, and the golden suite.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "small numbers of the tests"
)]

use std::collections::BTreeMap;

use intrain_golden::Op;
use intrain_num::random::{Purpose, Stream};

use super::*;
use crate::{Codes, Way};

/// Exponent bits, mantissa bits, bias, codes from this magnitude on are special.
fn fields(name: &str) -> (u32, u32, i32, u32) {
    match name {
        "mxfp8" => (4, 3, 7, 0x7f),
        "mxfp8-e5m2" => (5, 2, 15, 0x7c),
        "mxfp6" => (2, 3, 1, 0x20),
        "mxfp6-e3m2" => (3, 2, 3, 0x20),
        "mxfp4" | "nvfp4" => (2, 1, 1, 8),
        "bfloat16" => (8, 7, 127, 0x7f80),
        "binary16" => (5, 10, 15, 0x7c00),
        _ => panic!("{name}"),
    }
}

/// A finite code as an integer times a power of two; `Err` holds infinities and NaN.
fn value(name: &str, code: u32) -> Result<(i128, i32), f64> {
    if name == "mxint8" {
        return Ok(((code as u8 as i8).into(), -6));
    }
    let (e, m, bias, special) = fields(name);
    let (sign, magnitude) = (code >> (e + m), code & ((1 << (e + m)) - 1));
    let sign = if sign == 1 { -1 } else { 1 };
    if magnitude >= special {
        let infinite = name != "mxfp8" && magnitude == special;
        return Err(if infinite { f64::from(sign) * f64::INFINITY } else { f64::NAN });
    }
    let (field, fraction) = ((magnitude >> m) as i32, i128::from(magnitude & ((1 << m) - 1)));
    let (mantissa, exponent) = if field == 0 { (fraction, 1) } else { (fraction + (1 << m), field) };
    Ok((i128::from(sign) * mantissa, exponent - bias - m as i32))
}

/// A scale likewise.
fn scale(name: &str, code: u8) -> Result<(i128, i32), f64> {
    match name {
        "nvfp4" => value("mxfp8", code.into()),
        _ if code == 255 => Err(f64::NAN),
        _ => Ok((1, i32::from(code) - 127)),
    }
}

/// The sum of terms, digit after digit from the lowest on, rounded to the nearest binary32.
fn sum_of_digits(terms: &[(i128, i32)]) -> f32 {
    let mut at: BTreeMap<i32, i128> = BTreeMap::new();
    for (m, e) in terms.iter().filter(|(m, _)| *m != 0) {
        *at.entry(*e).or_default() += m;
    }
    let (Some(low), Some(high)) = (at.keys().next().copied(), at.keys().last().copied()) else { return 0.0 };
    let (mut carry, mut digits) = (0i128, Vec::new());
    for e in low..high + 128 {
        carry += at.get(&e).copied().unwrap_or(0);
        digits.push(carry & 1 == 1);
        carry >>= 1;
    }
    if carry == -1 {
        return -sum_of_digits(&terms.iter().map(|(m, e)| (-m, *e)).collect::<Vec<_>>());
    }
    assert_eq!(carry, 0);
    let Some(top) = digits.iter().rposition(|digit| *digit) else { return 0.0 };
    let digit = |e: i32| e >= low && digits.get((e - low) as usize).copied().unwrap_or(false);
    let last = (top as i32 + low - 23).max(-149);
    let mut mantissa = (0..24).fold(0i64, |mantissa, i| mantissa + (i64::from(digit(last + i)) << i));
    let rest = (low..last - 1).any(digit);
    if digit(last - 1) && (rest || mantissa % 2 == 1) {
        mantissa += 1;
    }
    // Exact, or infinite.
    (mantissa as f64 * 2f64.powi(last)) as f32
}

struct Matrix {
    name: &'static str,
    q: Quantized,
}

impl Matrix {
    fn lines(&self) -> usize {
        self.q.shape[usize::from(self.q.way.axis == 0)]
    }

    fn k(&self) -> usize {
        self.q.shape[usize::from(self.q.way.axis != 0)]
    }

    /// Code and scale of number `i` of a line, for runs.
    fn at(&self, line: usize, i: usize) -> (u32, u8) {
        let run = if self.name == "nvfp4" { 16 } else { 32 };
        let (lines, k) = (self.lines(), self.k());
        let (code, block) = match self.q.way.axis {
            0 => (i * lines + line, i / run * lines + line),
            _ => (line * k + i, line * k.div_ceil(run) + i / run),
        };
        let scale = if self.q.scales.is_empty() { 127 } else { self.q.scales[block] };
        (self.q.codes.get(code), scale)
    }
}

/// A matrix of random codes, and of scales from `scales`.
fn matrix(name: &'static str, lines: usize, k: usize, seed: u64, axis: i64, scales: &[u8]) -> Matrix {
    let way = Way { axis, ..Way::new(name.parse().unwrap()) };
    let stream = Stream::new(seed, Purpose::Tool, 1, 0);
    let bits = way.coding.bits();
    let finite = |word: u32| {
        let code = word >> (32 - bits);
        // Infinities and NaN have tests of their own.
        if value(name, code).is_ok() { code } else { code & !(1 << (bits - 2)) }
    };
    let words: Vec<u32> = (0..lines * k).map(|i| finite(stream.word(i as u64))).collect();
    let codes = if bits > 8 {
        Codes::Words(words.iter().map(|code| *code as u16).collect())
    } else {
        Codes::Bytes(words.iter().map(|code| *code as u8).collect())
    };
    let shape = if axis == 0 { [k, lines] } else { [lines, k] };
    let count = match way.coding.extent() {
        None => 0,
        _ if name == "nvfp4" => lines * k.div_ceil(16),
        _ => lines * k.div_ceil(32),
    };
    let scale = |i: usize| scales[stream.word(1 << 20 | i as u64) as usize % scales.len()];
    let factor = if name == "nvfp4" { 0.3 + seed as f32 } else { 1.0 };
    let q = Quantized::from_parts(way, &shape, codes, (0..count).map(scale).collect(), factor).unwrap();
    Matrix { name, q }
}

fn oracle(a: &Matrix, b: &Matrix) -> Vec<f32> {
    let factor = a.q.factor * b.q.factor;
    let mut out = Vec::new();
    for i in 0..a.lines() {
        for j in 0..b.lines() {
            let (mut terms, mut special) = (Vec::new(), 0.0f64);
            for at in 0..a.k() {
                let ((x, s), (y, t)) = (a.at(i, at), b.at(j, at));
                let parts = [value(a.name, x), scale(a.name, s), value(b.name, y), scale(b.name, t)];
                if parts.iter().all(Result::is_ok) {
                    terms.push(parts.iter().fold((1, 0), |(m, e), part| {
                        let (n, f) = part.unwrap();
                        (m * n, e + f)
                    }));
                } else {
                    special += parts.iter().fold(1.0, |product, part| match part {
                        Ok((m, _)) => product * *m as f64,
                        Err(special) => product * special,
                    });
                }
            }
            let sum = if special == 0.0 { sum_of_digits(&terms) } else { special as f32 };
            out.push(sum * factor);
        }
    }
    out
}

fn same(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (x, y)) in got.iter().zip(want).enumerate() {
        let y = if y.is_nan() { f32::NAN } else { *y };
        assert_eq!(x.to_bits(), y.to_bits(), "{what}: output {i} is {x:e}, and should be {y:e}");
    }
}

const NAMES: [&str; 7] = ["mxfp4", "mxfp6", "mxfp6-e3m2", "mxint8", "mxfp8", "mxfp8-e5m2", "nvfp4"];

/// Scales of a name: usual ones, all, and the ends.
fn scale_sets(name: &str) -> [Vec<u8>; 3] {
    if name == "nvfp4" {
        [vec![0x38, 0x40, 0x31, 0], (0..0x7f).chain(0x80..0xff).collect(), vec![1, 0x7e]]
    } else {
        [(117..137).collect(), (0..255).collect(), vec![0, 254]]
    }
}

#[test]
fn exact_products_are_sums_of_digits() {
    for (n, name) in NAMES.into_iter().enumerate() {
        for (s, scales) in scale_sets(name).iter().enumerate() {
            // Tails of a block, one number, none.
            for k in [0, 1, 16, 32, 77, 200] {
                let seed = (n * 100 + s * 10 + k) as u64;
                let a = matrix(name, 3, k, seed, -1, scales);
                for axis in [-1, 0] {
                    let b = matrix(name, 2, k, seed + 1000, axis, scales);
                    let got = product(&a.q, &b.q, Accumulate::Exact).unwrap();
                    same(&got, &oracle(&a, &b), &format!("{name}, scales {s}, k {k}, axis {axis}"));
                }
            }
        }
    }
}

#[test]
fn formats_may_differ_and_need_no_scale() {
    let names = [NAMES.as_slice(), &["bfloat16", "binary16"]].concat();
    for (n, x) in names.iter().enumerate() {
        for y in &names {
            let (a, b) = (
                matrix(x, 2, 70, n as u64, -1, &scale_sets(x)[0]),
                matrix(y, 2, 70, 50 + n as u64, 0, &scale_sets(y)[1]),
            );
            let got = product(&a.q, &b.q, Accumulate::Exact).unwrap();
            same(&got, &oracle(&a, &b), &format!("{x} by {y}"));
        }
    }
}

#[test]
fn nan_infinities_and_zeros() {
    let usual: Vec<u8> = (120..130).collect();
    for name in NAMES {
        let scales = if name == "nvfp4" { vec![0x38, 0x40] } else { usual.clone() };
        let (mut a, b) = (matrix(name, 4, 96, 5, -1, &scales), matrix(name, 3, 96, 6, -1, &scales));
        let blocks = a.q.scales.len() / 4;
        // A NaN scale over a block of zeros, a block of zeros under the largest scale, and zeros alone.
        a.q.scales[1] = if name == "nvfp4" { 0x7f } else { 0xff };
        a.q.scales[blocks + 1] = if name == "nvfp4" { 0x7e } else { 0xfe };
        let Codes::Bytes(codes) = &mut a.q.codes else { panic!("8 bits") };
        codes[16..64].fill(0);
        codes[96 + 16..96 + 64].fill(0);
        codes[2 * 96..3 * 96].fill(0);
        if let Some(special) = ["mxfp8", "mxfp8-e5m2"].iter().position(|special| *special == name) {
            codes[3 * 96 + 5] = [0x7f, 0x7c][special];
            codes[3 * 96 + 6] = [0xff, 0x7c][special];
        }
        let got = product(&a.q, &b.q, Accumulate::Exact).unwrap();
        assert!(got[..3].iter().all(|y| y.is_nan()) && got[3].is_finite(), "{name}");
        same(&got[6..9], &[0.0; 3], name);
        same(&got, &oracle(&a, &b), name);
    }
    // Infinity by zero, and infinities of both signs.
    let all: Vec<u8> = vec![127];
    for (codes, want) in
        [([0x7c, 0x3c], f32::INFINITY), ([0x7c, 0xfc], f32::NAN), ([0xfc, 0xfc], f32::NEG_INFINITY)]
    {
        let (mut a, mut b) =
            (matrix("mxfp8-e5m2", 1, 2, 1, -1, &all), matrix("mxfp8-e5m2", 2, 2, 1, -1, &all));
        a.q.codes = Codes::Bytes(codes.to_vec());
        b.q.codes = Codes::Bytes(vec![0x3c, 0x3c, 0, 0x3c]);
        for how in [Accumulate::Exact, Accumulate::F32, Accumulate::HOPPER_FP8] {
            same(&product(&a.q, &b.q, how).unwrap(), &[want, f32::NAN], &how.to_string());
        }
    }
}

#[test]
fn larger_products_have_the_same_bits_with_any_threads() {
    for name in NAMES {
        let scales = &scale_sets(name)[0];
        let (a, b) = (matrix(name, 9, 2083, 7, -1, scales), matrix(name, 21, 2083, 8, 0, scales));
        let want = oracle(&a, &b);
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let all = |how| pool.install(|| product(&a.q, &b.q, how).unwrap());
            same(&all(Accumulate::Exact), &want, name);
            for how in [Accumulate::F32, Accumulate::HOPPER_FP8, Accumulate::BLACKWELL_MX] {
                same(&all(how), &product(&a.q, &b.q, how).unwrap(), name);
            }
        }
    }
}

#[test]
fn tiles_rows_and_whole_tensors_share_scales_as_they_decode() {
    let stream = Stream::new(3, Purpose::Tool, 2, 0);
    let x: Vec<f32> = (0..20 * 70).map(|i| (f64::from(stream.word(i) as i32) / 3e9) as f32).collect();
    for name in ["mxfp8@rceil/tensor", "mxfp6/row", "mxfp4/16x16", "nvfp4/16x16", "mx<e4m3,7>", "bfp<8>"] {
        for (shape, axis) in [([20, 70], -1), ([70, 20], 0)] {
            let way = Way { axis, ..Way::new(name.parse().unwrap()) };
            let q = Quantized::new(&x, &shape, &way).unwrap();
            let k = 70;
            // A of ones picks a number of each line.
            let mut ones = vec![0.0; k * k];
            (0..k).for_each(|i| ones[i * k + i] = 1.0);
            let ones = Quantized::new(&ones, &[k, k], &Way::new("mxint8".parse().unwrap())).unwrap();
            for how in ["exact", "f32", "truncated<25,32>"] {
                let got = product(&ones, &q, how.parse().unwrap()).unwrap();
                let values = q.values();
                let at = |i: usize, j: usize| if axis == 0 { values[i * 20 + j] } else { values[j * k + i] };
                let want: Vec<f32> = (0..k * 20).map(|place| at(place / 20, place % 20) + 0.0).collect();
                same(&got, &want, &format!("{name} {how} axis {axis}"));
            }
        }
    }
}

/// The truncated sum in binary64, which holds 25 fraction bits of 32 terms.
fn truncated_in_f64(a: &Matrix, b: &Matrix, i: usize, j: usize, fraction: i32, block: usize) -> f32 {
    // A significand in [1, 2) or less, and its exponent.
    let split = |matrix: &Matrix, line: usize, at: usize| {
        let (code, s) = matrix.at(line, at);
        let ((m, _), (_, up)) = (value(matrix.name, code).unwrap(), scale(matrix.name, s).unwrap());
        let (e, digits, bias, _) = fields(matrix.name);
        let field = (code >> digits & ((1 << e) - 1)) as i32;
        (m as f64 / 2f64.powi(digits as i32), field.max(1) - bias + up)
    };
    let mut sum = 0.0f64;
    for start in (0..a.k()).step_by(block) {
        let mut terms = vec![];
        for at in start..(start + block).min(a.k()) {
            let ((x, e), (y, f)) = (split(a, i, at), split(b, j, at));
            if x * y != 0.0 {
                terms.push((x * y, e + f));
            }
        }
        let of_sum = if sum == 0.0 { -126 } else { (sum.abs().log2().floor() as i32).max(-126) };
        terms.push((sum / 2f64.powi(of_sum), of_sum));
        let largest = terms.iter().map(|(_, e)| *e).max().unwrap();
        let total: f64 = terms.iter().map(|(x, e)| (x * 2f64.powi(e - largest + fraction)).trunc()).sum();
        let total = total * 2f64.powi(largest - fraction);
        let step = 2f64.powi((total.abs().log2().floor() as i32).max(-126) - fraction.min(23));
        sum = if total == 0.0 { 0.0 } else { (total / step).trunc() * step };
    }
    sum as f32
}

#[test]
fn truncated_sums_follow_their_definition() {
    for name in ["mxfp4", "mxfp6", "mxfp6-e3m2", "mxfp8", "mxfp8-e5m2"] {
        let scales: Vec<u8> = (122..132).collect();
        let (a, b) = (matrix(name, 5, 330, 11, -1, &scales), matrix(name, 6, 330, 12, -1, &scales));
        for (fraction, block) in [(13, 32), (25, 32), (25, 16), (24, 8), (1, 7), (23, 4)] {
            let how = Accumulate::Truncated { fraction, block, group: None };
            let want: Vec<f32> = (0..30)
                .map(|at| truncated_in_f64(&a, &b, at / 6, at % 6, fraction as i32, block as usize))
                .collect();
            same(&product(&a.q, &b.q, how).unwrap(), &want, &format!("{name} {how}"));
        }
    }
}

#[test]
fn what_truncated_sums_lose() {
    let q =
        |x: &[f32], name: &str| Quantized::new(x, &[1, x.len()], &Way::new(name.parse().unwrap())).unwrap();
    let sum = |x: &[f32], name: &str, how: &str| {
        product(&q(x, name), &q(&vec![1.0; x.len()], name), how.parse().unwrap()).unwrap()[0]
    };
    // 1 beside 2^8 stays with 13 bits; 2^-6 is below them.
    assert_eq!(sum(&[256.0, 1.0, 0.015_625], "e4m3", "truncated<13,32>"), 257.0);
    assert_eq!(sum(&[256.0, 1.0, 0.015_625], "e4m3", "truncated<25,32>"), 256.0 + 1.0 + 0.015_625);
    // Toward zero from both sides.
    assert_eq!(sum(&[-256.0, 0.015_625], "e4m3", "truncated<13,32>"), -256.0);
    // Two blocks: what the first lost is gone.
    let x = [256.0, 0.015_625, -256.0, 0.0];
    assert_eq!(sum(&x, "e4m3", "truncated<13,2>"), 0.0);
    assert_eq!(sum(&x, "e4m3", "truncated<25,2>"), 0.015_625);
    // Groups are exact: within one, nothing is aligned.
    let mut x = [0.0; 32];
    (x[0], x[1], x[16]) = (6.0, -5.5, 0.5);
    let name = "mx<e2m1,16>@rceil";
    assert_eq!(sum(&x, name, "truncated<1,32>"), 0.0);
    assert_eq!(sum(&x, name, "truncated<35,64,16>"), sum(&x, name, "exact"));
    // Beyond the largest binary32, both ways.
    let huge = [f32::MAX; 4];
    for how in ["truncated<25,32>", "truncated<13,2>", "exact"] {
        assert_eq!(sum(&huge, "bfloat16", how), f32::INFINITY, "{how}");
    }
}

#[test]
fn groups_of_nvfp4_keep_all_bits_of_near_scales() {
    let scales = &[0x38, 0x3a, 0x40, 0x47, 0];
    let (a, b) = (matrix("nvfp4", 4, 250, 21, -1, scales), matrix("nvfp4", 5, 250, 22, 0, scales));
    let got = product(&a.q, &b.q, Accumulate::BLACKWELL_FP4).unwrap();
    // Exact in 24 bits, so that truncation takes nothing.
    same(&got, &product(&a.q, &b.q, Accumulate::Exact).unwrap(), "nvfp4");
}

/// The sum of groups in binary64, which holds 35 fraction bits, 10 of a group and 2 of a block.
fn grouped_in_f64(a: &Matrix, b: &Matrix, i: usize, j: usize, fraction: i32, block: usize) -> f32 {
    let element = |matrix: &Matrix, line: usize, at: usize| {
        let (m, e) = value(matrix.name, matrix.at(line, at).0).unwrap();
        m as f64 * 2f64.powi(e)
    };
    // A significand in [1, 2) or less, and its exponent.
    let split = |matrix: &Matrix, line: usize, at: usize| {
        let (m, e) = scale(matrix.name, matrix.at(line, at).1).unwrap();
        if matrix.name == "nvfp4" { (m as f64 / 8.0, e + 3) } else { (1.0, e) }
    };
    let mut sum = 0.0f64;
    for start in (0..a.k()).step_by(block) {
        let end = (start + block).min(a.k());
        let mut terms = vec![];
        for first in (start..end).step_by(16) {
            let ((x, e), (y, f)) = (split(a, i, first), split(b, j, first));
            let group: f64 =
                (first..end.min(first + 16)).map(|at| element(a, i, at) * element(b, j, at)).sum();
            if x * y != 0.0 {
                terms.push((group * x * y, e + f));
            }
        }
        let of_sum = if sum == 0.0 { -126 } else { (sum.abs().log2().floor() as i32).max(-126) };
        terms.push((sum / 2f64.powi(of_sum), of_sum));
        let largest = terms.iter().map(|(_, e)| *e).max().unwrap();
        let total: f64 = terms.iter().map(|(x, e)| (x * 2f64.powi(e - largest + fraction)).trunc()).sum();
        let total = total * 2f64.powi(largest - fraction);
        let step = 2f64.powi((total.abs().log2().floor() as i32).max(-126) - fraction.min(23));
        sum = if total == 0.0 { 0.0 } else { (total / step).trunc() * step };
    }
    sum as f32
}

#[test]
fn grouped_sums_follow_their_definition() {
    for (name, scales) in [
        ("mxfp4", (120..134).collect::<Vec<u8>>()),
        ("mxfp4", (100..150).collect()),
        ("nvfp4", (0..0x7f).collect()),
        ("nvfp4", vec![0x00, 0x01, 0x7e]),
    ] {
        let (a, b) = (matrix(name, 6, 250, 21, -1, &scales), matrix(name, 7, 250, 22, 0, &scales));
        let factor = a.q.factor * b.q.factor;
        for (fraction, block) in [(10, 64), (35, 64), (3, 32), (23, 16)] {
            let how = Accumulate::Truncated { fraction, block, group: Some(16) };
            let want: Vec<f32> = (0..42)
                .map(|at| grouped_in_f64(&a, &b, at / 7, at % 7, fraction as i32, block as usize) * factor)
                .collect();
            same(&product(&a.q, &b.q, how).unwrap(), &want, &format!("{name} {how}"));
        }
    }
}

#[test]
fn golden_dots() {
    let mut seen = 0;
    for (_, case) in intrain_golden::load().unwrap() {
        let Op::BlockDot(dot) = case.op else { continue };
        let way = Way::new(format!("mx<{},32>", dot.element).parse().unwrap());
        let q = |codes: &[u8], scale: u8| {
            let codes = Codes::Bytes(codes.to_vec());
            Quantized::from_parts(way, &[1, 32], codes, vec![scale], 1.0).unwrap()
        };
        let got = product(&q(&dot.a, dot.scales[0]), &q(&dot.b, dot.scales[1]), Accumulate::Exact).unwrap();
        assert_eq!(f64::from(got[0]), dot.rounded, "{}", case.name);
        seen += 1;
    }
    assert!(seen >= 6);
}

#[test]
fn what_has_no_product_is_refused() {
    let q = |shape: &[usize], name: &str, axis: i64| {
        let x = vec![1.0; shape.iter().product()];
        Quantized::new(&x, shape, &Way { axis, ..Way::new(name.parse().unwrap()) }).unwrap()
    };
    let a = q(&[2, 32], "mxfp4", 1);
    for (a, b, text) in [
        (&a, q(&[2, 3, 32], "mxfp4", -1), "two dimensions"),
        (&q(&[32, 2], "mxfp4", 0), q(&[2, 32], "mxfp4", -1), "must be the last one"),
        (&a, q(&[2, 31], "mxfp4", -1), "a have 32 numbers, those of b 31"),
        (&a, q(&[2, 32], "mxfp4", 0), "same k"),
        (&a, q(&[2, 32], "float<11,2>", -1), "2^-320"),
    ] {
        let refused = product(a, &b, Accumulate::Exact).unwrap_err().to_string();
        assert!(refused.contains(text), "{refused}");
    }
    let fp8 = q(&[2, 32], "mxfp8", -1);
    assert_eq!(product(&fp8, &a, Accumulate::BLACKWELL_FP4), Err(ProductError::Group));
    let how = Accumulate::Truncated { fraction: 0, block: 1, group: None };
    assert_eq!(product(&a, &a, how), Err(ProductError::Accumulate(NoAccumulate)));
    let mut cut = a.clone();
    cut.scales.pop();
    assert!(matches!(product(&a, &cut, Accumulate::Exact), Err(ProductError::Shape(_))));
    for text in ["exact", "f32", "truncated<13,32>", "truncated<35,64,16>"] {
        assert_eq!(text.parse::<Accumulate>().unwrap().to_string(), text);
    }
    for text in ["", "truncated", "truncated<0,32>", "truncated<13>", "truncated<49,1>", "truncated<9,32,5>"]
    {
        assert!(text.parse::<Accumulate>().is_err(), "{text}");
    }
}

#[test]
fn differences_are_counted() {
    let found = compare(
        &[1.0, -0.0, f32::NAN, f32::NAN, f32::INFINITY, 3.0],
        &[1.0, 0.0, f32::NAN, 1.0, f32::MAX, 2.0],
    );
    assert_eq!((found.outputs, found.different, found.nan), (6, 3, 1));
    assert_eq!((found.share(), found.ulps, found.relative), (0.5, 1 << 22, f64::INFINITY));
    assert_eq!(compare(&[], &[]).share(), 0.0);
}
