//! Tensors in small floats, number by number: lines in blocks, tiles of neighbouring lines of a plane, one scale for a tensor.

use intrain_num::Coded;
use intrain_num::block::{Coding, Extent, HADAMARD, Mx, NvTensor, hadamard};
use intrain_num::minifloat::{FloatFormat, FloatOverflow, FloatRound, Number};

/// The elements along which blocks run.
pub(crate) struct Line {
    /// Tiles do not reach from plane to plane.
    pub(crate) plane: usize,
    pub(crate) elements: Vec<usize>,
}

/// The elements of each block.
fn blocks(extent: Extent, lines: &[Line]) -> Vec<Vec<usize>> {
    match extent {
        Extent::Tensor => vec![lines.iter().flat_map(|line| line.elements.clone()).collect()],
        Extent::Line => lines.iter().map(|line| line.elements.clone()).collect(),
        Extent::Run(n) => {
            lines.iter().flat_map(|line| line.elements.chunks(n as usize).map(<[_]>::to_vec)).collect()
        }
        Extent::Tile(n) => {
            let n = n as usize;
            let planes = lines.chunk_by(|a, b| a.plane == b.plane);
            let mut blocks = Vec::new();
            for rows in planes.flat_map(|plane| plane.chunks(n)) {
                let len = rows[0].elements.len();
                for start in (0..len).step_by(n) {
                    let of = |row: &Line| row.elements[start..(start + n).min(len)].to_vec();
                    blocks.push(rows.iter().flat_map(of).collect());
                }
            }
            blocks
        }
    }
}

/// Each element's value in the format, by its random word.
pub(crate) fn quantized(
    coded: Coded,
    lines: &[Line],
    values: &[f32],
    word: impl Fn(usize) -> u32,
) -> Vec<f32> {
    let mut out = vec![f32::NAN; values.len()];
    let largest = |block: &[usize]| block.iter().map(|i| values[*i].abs()).fold(0.0, f32::max);
    match coded.coding {
        Coding::Plain { format, overflow } => {
            for (i, x) in values.iter().enumerate() {
                let code = format.encode(Number::from_f32(*x), coded.round, overflow, word(i));
                out[i] = format.decode(code).to_f32();
            }
        }
        Coding::Scaled { element, rule, edges, extent } => {
            let mx = Mx { element, rule, edges, round: coded.round };
            for block in blocks(extent, lines) {
                let scale = mx.scale(largest(&block).to_bits());
                for i in block {
                    out[i] = mx.value(mx.code(values[i], scale, word(i)), scale).to_f32();
                }
            }
        }
        Coding::Nvfp4 { rule, extent } => {
            let all: Vec<usize> = (0..values.len()).collect();
            let tensor = NvTensor::new(rule, largest(&all));
            for block in blocks(extent, lines) {
                let of_block: Vec<f32> = block.iter().map(|i| values[*i]).collect();
                let scale = tensor.block(&of_block, largest(&block));
                for i in block {
                    out[i] = tensor.value(tensor.code(values[i], scale, coded.round, word(i)), scale.scale);
                }
            }
        }
    }
    out
}

/// The Hadamard transform of whole groups of 16 along each line; all is rounded to bfloat16, what is left over too.
pub(crate) fn transformed(lines: &[Line], values: &[f32]) -> Vec<f32> {
    let format = FloatFormat::BFLOAT16;
    let rounded = |x| {
        let code = format.encode(x, FloatRound::NearestEven, FloatOverflow::SatNone, 0);
        format.decode(code).to_f32()
    };
    let mut out: Vec<f32> = values.iter().map(|x| rounded(Number::from_f32(*x))).collect();
    for group in lines.iter().flat_map(|line| line.elements.chunks_exact(16)) {
        let x: [f32; 16] = std::array::from_fn(|i| values[group[i]]);
        for (i, y) in group.iter().zip(hadamard(&x, HADAMARD)) {
            out[*i] = rounded(y);
        }
    }
    out
}
