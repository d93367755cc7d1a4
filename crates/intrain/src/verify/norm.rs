//! The cases of norms and softmax in integers, through the scalar definition and through the kernels.

use intrain_golden as golden;
use intrain_golden::Op;
use intrain_kernels::Isa;
use intrain_kernels::fixed_norm::{self, Affines, AffinesBackward, Means, Store};
use intrain_num::norm::{
    Back, ChannelAffine, ErrorSums, Moments, NormBackward, Rows, range_part, range_parts,
};
use intrain_num::{Spread, softmax};
use intrain_recipe::Loss;

use super::Differences;

/// Whether the scalar crates have the operation; differences go to `found`.
pub(super) fn run(op: &Op, found: &mut Differences) -> bool {
    match op {
        Op::IntegerNorm(c) => norm(c, None, found),
        Op::IntegerLine(c) => line(c, found),
        Op::IntegerSoftmax(c) => softmax(c, found),
        Op::IExp(c) => {
            let outputs: Vec<i64> = c.inputs.iter().map(|q| softmax::i_exp(*q, c.digits)).collect();
            found.same_elements("outputs", &outputs, &c.outputs);
        }
        Op::IntegerRoot(c) => {
            let roots: Vec<u64> = c.inputs.iter().map(|n| n.isqrt()).collect();
            found.same_elements("roots", &roots, &c.roots);
        }
        _ => return false,
    }
    true
}

/// The same for kernels.
pub(super) fn run_kernels(op: &Op, isa: Isa, found: &mut Differences) -> bool {
    let Op::IntegerNorm(c) = op else { return false };
    norm(c, Some(isa), found);
    true
}

fn rows(texts: [&str; 4], frac_bits: i32, found: &mut Differences) -> Option<Rows> {
    let [spread, mean, spread_row, value] = texts;
    Some(Rows {
        spread: found.parsed(spread)?,
        frac_bits,
        mean: found.parsed(mean)?,
        spread_row: found.parsed(spread_row)?,
        value: found.parsed(value)?,
    })
}

fn line(c: &golden::IntegerLine, found: &mut Differences) {
    let texts = [&c.spread, &c.mean_row, &c.spread_row, &c.value_row].map(String::as_str);
    let Some(rows) = rows(texts, c.frac_bits, found) else { return };
    let line = rows.line(c.mean, c.scale);
    let values: Vec<i64> = c.words.iter().map(|x| rows.value((*x).into(), line)).collect();
    found.same_elements("values", &values, &c.values);
}

fn norm(c: &golden::IntegerNorm, isa: Option<Isa>, found: &mut Differences) {
    let texts = [&c.spread, &c.mean_row, &c.spread_row, &c.value_row].map(String::as_str);
    let Some(rows) = rows(texts, c.frac_bits, found) else { return };
    let moments = moments(&rows, &c.words);
    let (mean, scale) = (rows.mean(moments), rows.spread(moments));
    found.same("mean", &mean, &c.mean);
    found.same("scale", &scale, &c.scale);
    let line = rows.line(mean, scale);
    let values: Vec<i64> = c.words.iter().map(|x| rows.value((*x).into(), line)).collect();
    let finer = rows.mean.format.frac_bits() - rows.frac_bits;
    let sign = |x: &i16| ((i64::from(*x) << finer) - mean).signum();
    let sums = ErrorSums {
        errors: c.errors.iter().map(|e| i64::from(*e)).sum(),
        products: c.errors.iter().zip(&values).map(|(e, value)| i64::from(*e) * value).sum(),
        signs: c.words.iter().map(sign).sum(),
    };
    let back = Back { rows, n: c.words.len() as u64, frac_bits: c.places }.line(c.gain, line, sums);
    let (values, mut dx) = match isa {
        None => {
            let w = |i: usize| match rows.spread {
                Spread::L1 => sign(&c.words[i]),
                Spread::L2 | Spread::Range => values[i],
            };
            let dx =
                |i: usize| i64::from(c.errors[i]) * back.from_error + w(i) * back.from_value + back.constant;
            let dx = (0..c.words.len()).map(dx).collect();
            (values, dx)
        }
        Some(isa) => kernels(c, isa, &rows, (mean, line, back)),
    };
    if rows.spread == Spread::Range {
        let mut ends = vec![];
        for part in 0..range_parts(c.words.len()) {
            fixed_norm::ends(&c.words, 1, range_part(part, c.words.len()), &mut ends);
            for [largest, smallest] in ends.iter().copied() {
                dx[largest] -= back.point;
                dx[smallest] += back.point;
            }
        }
    }
    found.same_elements("values", &values, &c.values);
    found.same_elements("dx", &dx, &c.dx);
}

/// Values and errors of a channel, by the kernels.
fn kernels(
    c: &golden::IntegerNorm,
    isa: Isa,
    rows: &Rows,
    (mean, line, back): (i64, ChannelAffine, NormBackward),
) -> (Vec<i64>, Vec<i64>) {
    let (mut lines, mut lines_back) = (Affines::default(), AffinesBackward::default());
    let places = (rows.mean.format.frac_bits() - rows.frac_bits).unsigned_abs();
    let limits = (rows.value.format.min(), rows.value.format.max());
    lines.set(&[line], Means::new(&[mean], places), [&[1], &[0]], rows.value.round, limits);
    lines_back.set(&[back]);
    let mut out = vec![0; c.words.len()];
    let wide = |out: &[i32]| out.iter().map(|x| i64::from(*x)).collect::<Vec<_>>();
    fixed_norm::apply(isa, &c.words, &lines, &mut out, Store::Set);
    let values = wide(&out);
    fixed_norm::back(isa, rows.spread, [&c.words, &c.errors], (&lines, &lines_back), &mut out);
    (values, wide(&out))
}

/// Sums in the plainest way.
fn moments(rows: &Rows, words: &[i16]) -> Moments {
    let wide = || words.iter().map(|x| i64::from(*x));
    let mut moments = Moments { n: words.len() as u64, sum: wide().sum(), other: 0 };
    let mean = rows.mean(moments);
    let finer = rows.mean.format.frac_bits() - rows.frac_bits;
    moments.other = match rows.spread {
        Spread::L2 => wide().map(|x| x * x).sum(),
        Spread::L1 => wide().map(|x| ((x << finer) - mean).abs()).sum(),
        Spread::Range => {
            let mut sums = [vec![0]];
            for part in 0..range_parts(words.len()) {
                fixed_norm::add_ranges(words, range_part(part, words.len()), &mut sums);
            }
            sums[0][0]
        }
    };
    moments
}

fn softmax(c: &golden::IntegerSoftmax, found: &mut Differences) {
    let Some(kind) = found.parsed::<Loss>(&c.kind) else { return };
    let mut errors = Vec::new();
    let logits = c.logits.iter().copied();
    match kind {
        Loss::SoftmaxBase2 => softmax::base_2_error(logits, c.digits, c.label, |error| errors.push(error)),
        _ => softmax::i_exp_error(logits, c.digits, c.label, |error| errors.push(error)),
    }
    found.same_elements("errors", &errors, &c.errors);
}
