//! Stub of the block kernels over the scalar crate, until the real ones are there.
#![allow(clippy::float_arithmetic, reason = "stub")]

use intrain_num::block::{Coding, Extent, Mx, NvTensor, hadamard};
use intrain_num::minifloat::{FloatFormat, FloatRound, Number};
use intrain_num::random::Stream;

use crate::Isa;

/// A tensor `[outer, len, inner]`, blocks run along `len`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    pub outer: usize,
    pub len: usize,
    pub inner: usize,
}

#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    pub coding: Coding,
    pub round: FloatRound,
    pub axis: Axis,
    pub values: &'a [f32],
    pub stream: Option<Stream>,
    pub first_element: u64,
}

fn blocks(axis: Axis, extent: Extent, mut f: impl FnMut(&[usize])) {
    let Axis { outer, len, inner } = axis;
    let at = |o: usize, k: usize, i: usize| (o * len + k) * inner + i;
    match extent {
        Extent::Tensor => f(&(0..outer * len * inner).collect::<Vec<_>>()),
        Extent::Line | Extent::Run(_) => {
            let n = if let Extent::Run(n) = extent { n as usize } else { len };
            for o in 0..outer {
                for i in 0..inner {
                    for k in (0..len).step_by(n.max(1)) {
                        f(&(k..(k + n).min(len)).map(|k| at(o, k, i)).collect::<Vec<_>>());
                    }
                }
            }
        }
        Extent::Tile(n) => {
            let n = n as usize;
            let lines: Vec<(usize, usize)> = (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))).collect();
            let groups: Vec<Vec<(usize, usize)>> = if inner > 1 {
                lines.chunks(inner).flat_map(|l| l.chunks(n).map(<[_]>::to_vec)).collect()
            } else {
                lines.chunks(n).map(<[_]>::to_vec).collect()
            };
            for group in groups {
                for k in (0..len).step_by(n) {
                    let all: Vec<usize> =
                        group.iter().flat_map(|&(o, i)| (k..(k + n).min(len)).map(move |k| at(o, k, i))).collect();
                    f(&all);
                }
            }
        }
    }
}

pub fn values(_: Isa, args: Args<'_>, out: &mut [f32]) {
    let Args { coding, round, axis, values, stream, first_element } = args;
    let word = |i: usize| {
        if round.is_stochastic() { stream.map_or(0, |s| s.word(first_element + i as u64)) } else { 0 }
    };
    match coding {
        Coding::Plain { format, overflow } => {
            for (i, (y, x)) in out.iter_mut().zip(values).enumerate() {
                *y = format.decode(format.encode(Number::from_f32(*x), round, overflow, word(i))).to_f32();
            }
        }
        Coding::Scaled { element, rule, edges, extent } => {
            let mx = Mx { element, rule, edges, round };
            blocks(axis, extent, |block| {
                let scale = mx.scale(block.iter().map(|i| mx.magnitude(values[*i])).max().unwrap_or(0));
                for &i in block {
                    out[i] = mx.value(mx.code(values[i], scale, word(i)), scale).to_f32();
                }
            });
        }
        Coding::Nvfp4 { rule, extent } => {
            let max = |m: f32, x: f32| if x.abs() > m { x.abs() } else { m };
            let tensor = NvTensor::new(rule, values.iter().copied().fold(0.0, max));
            blocks(axis, extent, |block| {
                let of: Vec<f32> = block.iter().map(|i| values[*i]).collect();
                let nv = tensor.block(&of, of.iter().copied().fold(0.0, max));
                for &i in block {
                    out[i] = tensor.value(tensor.code(values[i], nv, round, word(i)), nv.scale);
                }
            });
        }
    }
}

pub fn transform(_: Isa, axis: Axis, values: &[f32], signs: u16, out: &mut [f32]) {
    out.copy_from_slice(values);
    let bf = FloatFormat::BFLOAT16;
    blocks(axis, Extent::Run(16), |block| {
        if block.len() == 16 {
            let x: [f32; 16] = core::array::from_fn(|i| values[block[i]]);
            for (i, y) in block.iter().zip(hadamard(&x, signs)) {
                let code = bf.encode(y, FloatRound::NearestEven, intrain_num::minifloat::FloatOverflow::SatNone, 0);
                out[*i] = bf.decode(code).to_f32();
            }
        }
    });
}
