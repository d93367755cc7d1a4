//! Products as a linear layer does them: rows of A staged and multiplied item by item on all threads, B packed before.
//!
//! Sizes are M x N x K: two of equal sides, and the shapes of convolutions over many, some and few pixels.

use std::sync::Arc;

use intrain_kernels::pack::{Left, PackedF32, pack_f32_into, pack_i8, pack_i16};
use intrain_kernels::product::{Args, Packed, Store};
use intrain_kernels::stage::{Code, Conv, RowsLayout, Tables, stage_rows, staged_as_is};
use intrain_kernels::{Isa, dot_f32, dot_i8, dot_i16};
use intrain_nn::{Context, linear_rows};
use rayon::prelude::*;

use super::{Group, Run, Task, Unit, Work, Yardstick, noise, noise_of_floats};

/// M, N and K: rows of A, columns of B, depth.
type Size = [usize; 3];

const SIZES: [Size; 5] =
    [[1024, 1024, 1024], [2048, 2048, 2048], [8192, 128, 1152], [2048, 256, 2304], [512, 512, 4608]];

/// Name, yardstick, and how a product of a size is made ready.
type Kind = (&'static str, Yardstick, fn(&Context, Size) -> Run);

const KINDS: [Kind; 4] = [
    // Any bytes, by any bytes.
    ("i8", Yardstick::Int8, |context, size| bytes(context, size, Left::Signed)),
    // What left a ReLU, by any bytes.
    ("u8", Yardstick::Int8, |context, size| bytes(context, size, Left::Unsigned)),
    // All 16 bits on both sides.
    ("i16", Yardstick::Int16, words),
    ("f32", Yardstick::Float32, floats),
];

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(super) fn works() -> Vec<Work> {
    let all = KINDS.iter().flat_map(|kind| SIZES.map(|size| (kind, size)));
    let work = |(&(kind, yardstick, prepare), size): (&Kind, Size)| {
        let ([m, n, k], amount) = (size, 2.0 * size.iter().product::<usize>() as f64);
        let prepare = move |context: &Context| {
            let (run, yardstick) = (prepare(context, size), Some(yardstick));
            Ok(Task { amount, unit: Unit::Operations, effort: amount, yardstick, run })
        };
        let name = format!("{kind}-{m}x{n}x{k}");
        Work { name, group: Group::Products, prepare: Box::new(prepare) }
    };
    all.map(work).collect()
}

fn bytes(context: &Context, size: Size, left: Left) -> Run {
    let ([m, n, k], isa) = (size, context.isa);
    let mask = if left == Left::Unsigned { 0x7F } else { -1 };
    let byte = |word: u32| word.to_le_bytes()[3].cast_signed();
    let a = noise(isa, 0, m * k).into_iter().map(|word| byte(word) & mask).collect();
    let b: Vec<i8> = noise(isa, 1, k * n).into_iter().map(byte).collect();
    let tables = Conv::linear(linear_rows(m), k, n).forward::<i8>(1);
    let b = pack_i8(isa, tables.source(&b), left);
    product::<i8, _>(context, size, (a, left.zero()), (tables, b), dot_i8::run)
}

fn words(context: &Context, size: Size) -> Run {
    let ([m, n, k], isa) = (size, context.isa);
    let word = |word: u32| (word.cast_signed() >> 16) as i16;
    let a = noise(isa, 0, m * k).into_iter().map(word).collect();
    let b: Vec<i16> = noise(isa, 1, k * n).into_iter().map(word).collect();
    let tables = Conv::linear(linear_rows(m), k, n).forward::<i16>(1);
    let b = pack_i16(isa, tables.source(&b), 1 << 15, (i16::MIN.into(), i16::MAX.into()));
    product::<i16, _>(context, size, (a, 0), (tables, b), dot_i16::run)
}

/// A product of codes, of which 0 is staged as `zero`, and a packed B with the tables that it was packed by.
fn product<P, B>(
    context: &Context,
    [m, n, k]: Size,
    (a, zero): (Vec<P>, P::Staged),
    (tables, b): (Tables, B),
    dot: fn(Isa, Args<'_, B>),
) -> Run
where
    P: Code<Staged: Send + Sync> + Sync + 'static,
    B: Packed<Left = P::Staged, Sum: Send> + Sync + 'static,
{
    let (isa, threads) = (context.isa, Arc::clone(&context.threads));
    let rows = tables.rows.len();
    let layout: RowsLayout = Conv::linear(rows, k, n).forward_layout();
    let mut c = vec![B::Sum::default(); m * n];
    Box::new(move || {
        threads.install(|| {
            let items = c.par_chunks_exact_mut(rows * n).zip(a.par_chunks_exact(rows * k));
            items.for_each_init(Vec::new, |staged, (c, a)| {
                let staged = staged_as_is(a, &layout, zero).unwrap_or_else(|| {
                    staged.resize(layout.buffer_len(1), zero);
                    stage_rows(a, &layout, staged, zero);
                    staged
                });
                let (rows, steps) = (&tables.rows, &tables.steps);
                dot(
                    isa,
                    Args {
                        a: staged,
                        rows,
                        steps,
                        segments: 0..1,
                        b: &b,
                        c,
                        c_stride: n,
                        init: None,
                        store: Store::Set,
                    },
                );
            });
        });
    })
}

fn floats(context: &Context, size: Size) -> Run {
    let ([m, n, k], isa) = (size, context.isa);
    let (a, values) = (noise_of_floats(isa, 0, m * k), noise_of_floats(isa, 1, k * n));
    let tables = Conv::linear(linear_rows(m), k, n).forward::<f32>(1);
    let mut b = PackedF32::default();
    pack_f32_into(isa, tables.source(&values), &mut b);
    product::<f32, _>(context, size, (a, 0.0), (tables, b), dot_f32::run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_divide_the_rows() {
        for [m, ..] in SIZES {
            assert!(m.is_multiple_of(linear_rows(m)), "{m} rows in items of {}", linear_rows(m));
        }
    }
}
