//! The meaning of blocks of a tensor, in the plainest loops over `intrain-num`; and what has no need to be fast.

use intrain_num::block::{Coding, Mx, NVFP4_BLOCK, NvTensor};
use intrain_num::minifloat::{FloatFormat, FloatRound, Number};

use super::{Args, Axis, Code, Grid};

/// Calls `f` with the number of each block and the places of its elements, row by row.
pub fn each_block(coding: &Coding, axis: Axis, mut f: impl FnMut(usize, &[usize])) {
    let grid = Grid::new(coding, axis);
    let mut places = Vec::new();
    let mut block = 0;
    if axis.elements() == 0 {
        return;
    }
    for matrix in 0..grid.count {
        for down in 0..grid.blocks_down() {
            for across in 0..grid.blocks_across() {
                places.clear();
                for row in (down * grid.block_rows..grid.rows).take(grid.block_rows) {
                    let first = (matrix * grid.rows + row) * grid.columns;
                    let columns = (across * grid.block_columns..grid.columns).take(grid.block_columns);
                    places.extend(columns.map(|column| first + column));
                }
                f(block, &places);
                block += 1;
            }
        }
    }
}

/// The random word of each element.
pub(super) fn word(args: &Args<'_>, place: usize) -> u32 {
    match args.stream {
        Some(stream) if args.round.is_stochastic() => stream.word(args.first_element + place as u64),
        _ => 0,
    }
}

/// The largest magnitude of a tensor; NaN is not seen.
pub(super) fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, x| if x.abs() > largest { x.abs() } else { largest })
}

/// Codes, scales and the tensor's factor: `code` and `scale` take the number of an element and of a block. `known` is the largest
/// magnitude of a tensor of which this is a part.
pub(super) fn quantize(
    args: &Args<'_>,
    known: Option<u32>,
    mut code: impl FnMut(usize, u32),
    mut scale: impl FnMut(usize, u8),
) -> f32 {
    let Args { coding, round, axis, values, .. } = *args;
    match coding {
        Coding::Plain { format, overflow } => {
            for (i, x) in values.iter().enumerate() {
                code(i, format.encode(Number::from_f32(*x), round, overflow, word(args, i)));
            }
            1.0
        }
        Coding::Scaled { element, rule, edges, .. } => {
            let mx = Mx { element, rule, edges, round };
            each_block(&coding, axis, |block, places| {
                let largest = || places.iter().map(|i| mx.magnitude(values[*i])).max().unwrap_or(0);
                let s = mx.scale(known.unwrap_or_else(largest));
                scale(block, s);
                places.iter().for_each(|&i| code(i, mx.code(values[i], s, word(args, i)).into()));
            });
            1.0
        }
        Coding::Nvfp4 { rule, .. } => {
            let tensor = NvTensor::new(rule, known.map_or_else(|| largest(values), f32::from_bits));
            let mut block_values = [0.0; NVFP4_BLOCK * NVFP4_BLOCK];
            each_block(&coding, axis, |block, places| {
                let block_values = &mut block_values[..places.len()];
                block_values.iter_mut().zip(places).for_each(|(x, i)| *x = values[*i]);
                let b = tensor.block(block_values, largest(block_values));
                scale(block, b.scale);
                places.iter().for_each(|&i| code(i, tensor.code(values[i], b, round, word(args, i)).into()));
            });
            tensor.decode_factor()
        }
    }
}

/// What codes are worth, in binary32: each value is rounded once where binary32 cannot hold it.
///
/// `factor` is the one that [`super::codes`] gave.
///
/// # Panics
/// When lengths differ.
pub fn decode<T: Code>(
    coding: &Coding,
    axis: Axis,
    codes: &[T],
    scales: &[u8],
    factor: f32,
    out: &mut [f32],
) {
    assert_eq!(codes.len(), axis.elements(), "blocks: codes and shape differ in length");
    assert_eq!(codes.len(), out.len(), "blocks: codes and out differ in length");
    assert_eq!(scales.len(), super::scale_count(coding, axis), "blocks: another number of scales");
    if let Coding::Plain { format, .. } = coding {
        out.iter_mut().zip(codes).for_each(|(x, code)| *x = format.decode(code.code()).to_f32());
        return;
    }
    each_block(coding, axis, |block, places| {
        let value = value_of(coding, scales[block], factor);
        places.iter().for_each(|&i| out[i] = value(codes[i].code()));
    });
}

/// The value of a code under a scale.
pub(super) fn value_of(coding: &Coding, scale: u8, factor: f32) -> impl Fn(u32) -> f32 {
    let coding = *coding;
    #[allow(clippy::cast_possible_truncation, reason = "elements have at most 8 bits")]
    #[allow(clippy::float_arithmetic, reason = "the last product of an NVFP4 value rounds, section 13.3")]
    move |code: u32| match coding {
        Coding::Plain { format, .. } => format.decode(code).to_f32(),
        Coding::Scaled { element, rule, edges, .. } => {
            Mx { element, rule, edges, round: FloatRound::NearestEven }.value(code as u8, scale).to_f32()
        }
        Coding::Nvfp4 { .. } => {
            // Exact: six significant bits.
            let product =
                FloatFormat::E2M1.decode(code).to_f32() * FloatFormat::E4M3.decode(scale.into()).to_f32();
            product * factor
        }
    }
}

/// What quantization did to a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Blocks.
    pub blocks: u64,
    /// Blocks with an element that lay beyond the largest value.
    pub clipped_blocks: u64,
    /// Elements that lay beyond the largest value.
    pub clipped: u64,
    /// Elements that became zero and were not.
    pub flushed: u64,
    /// Elements that are zero now.
    pub zeros: u64,
    /// Blocks whose scale is NaN.
    pub nan_blocks: u64,
}

/// Compares a tensor with its codes; `decoded` is what [`decode`] makes of them.
///
/// An element counts as clipped where its magnitude is larger than its value and that is the largest of its block's
/// scale, or infinite; an infinity that stays one does not.
///
/// # Panics
/// When lengths differ.
#[must_use]
pub fn statistics(args: &Args<'_>, scales: &[u8], factor: f32, decoded: &[f32]) -> Statistics {
    let mut found = Statistics::default();
    each_block(&args.coding, args.axis, |block, places| {
        let scale = scales.get(block).copied().unwrap_or(0);
        let max = match args.coding {
            Coding::Plain { format, .. } => format.max().to_f32(),
            Coding::Scaled { element, .. } => {
                value_of(&args.coding, scale, factor)(element.magnitudes().max_code())
            }
            Coding::Nvfp4 { .. } => value_of(&args.coding, scale, factor)(7),
        };
        let is_clipped = |(x, q): (f32, f32)| x.abs() > max && q.abs() >= max && q != x;
        let clipped = places.iter().filter(|i| is_clipped((args.values[**i], decoded[**i]))).count();
        found.blocks += 1;
        found.clipped += clipped as u64;
        found.clipped_blocks += u64::from(clipped > 0);
        found.nan_blocks += u64::from(max.is_nan());
        found.zeros += places.iter().filter(|i| decoded[**i] == 0.0).count() as u64;
        found.flushed +=
            places.iter().filter(|i| decoded[**i] == 0.0 && args.values[**i] != 0.0).count() as u64;
    });
    found
}
