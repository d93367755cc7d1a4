//! Values of a tensor in a small float or in blocks, by threads: [`values`] is `intrain_kernels::blocks::values` in parts.
//!
//! Invariant: which thread quantizes an element changes nothing. Its word is that of its number in the tensor, and blocks are never
//! cut.

use intrain_kernels::Isa;
use intrain_kernels::blocks::{self, Args, Axis};
use intrain_num::block::{Coding, Extent};
use rayon::prelude::*;

/// Elements that one thread takes at a time, about.
const CHUNK: usize = 1 << 14;

/// Quantizes `args.values` to values of the format, by the threads of the pool that this is called in; up to 16 Ki elements by the
/// caller alone.
///
/// # Panics
/// As `intrain_kernels::blocks::values`.
pub fn values(isa: Isa, args: Args<'_>, out: &mut [f32]) {
    let Args { values, round, stream, .. } = args;
    assert_eq!(values.len(), out.len(), "parts: values and out differ in length");
    let (coding, axis) = in_one_line(args.coding, args.axis);
    let (unit, cut) = Cut::of(coding, axis);
    let chunk = unit * CHUNK.div_ceil(unit.max(1)).max(1);
    if values.len() <= CHUNK {
        return blocks::values(isa, Args { coding, axis, ..args }, out);
    }
    let is_whole = matches!(coding, Coding::Nvfp4 { .. }) || coding.extent() == Some(Extent::Tensor);
    let largest = is_whole.then(|| {
        let parts = values.par_chunks(CHUNK);
        parts.map(|part| blocks::largest(isa, &coding, part)).max().unwrap_or(0)
    });
    let chunks = out.par_chunks_mut(chunk).zip(values.par_chunks(chunk)).enumerate();
    chunks.for_each(|(i, (out, values))| {
        let axis = cut.axis(axis, values.len());
        let first_element = args.first_element + (i * chunk) as u64;
        let args = Args { coding, round, axis, values, stream, first_element };
        match largest {
            Some(largest) => blocks::values_of_part(isa, args, largest, out),
            None => blocks::values(isa, args, out),
        }
    });
}

/// The same blocks of a tensor as runs of one long line, where lines are a block or whole blocks: kernels like long lines.
fn in_one_line(mut coding: Coding, axis: Axis) -> (Coding, Axis) {
    let len = u32::try_from(axis.len).unwrap_or(u32::MAX);
    let (Coding::Scaled { extent, .. } | Coding::Nvfp4 { extent, .. }) = &mut coding else {
        return (coding, axis);
    };
    let run = match *extent {
        Extent::Run(n) if axis.inner == 1 && len.is_multiple_of(n) => n,
        Extent::Run(n) if axis.inner == 1 && len < n => len,
        Extent::Line if axis.inner == 1 => len,
        _ => return (coding, axis),
    };
    *extent = Extent::Run(run);
    (coding, Axis { outer: 1, len: axis.elements(), inner: 1 })
}

/// How a tensor is cut into parts that are quantized apart.
#[derive(Clone, Copy)]
enum Cut {
    /// Between any two elements.
    Elements,
    /// Between lines, or planes of them.
    Lines,
    /// Across a single plane, between blocks.
    Across,
}

impl Cut {
    /// With the least elements of a part.
    const fn of(coding: Coding, axis: Axis) -> (usize, Self) {
        let Axis { outer, len, inner } = axis;
        match coding.extent() {
            None | Some(Extent::Tensor) => (1, Self::Elements),
            // Tiles are some neighbouring lines, and lines of planes do not meet.
            Some(Extent::Tile(n)) if outer > 1 && inner == 1 => (n as usize * len, Self::Lines),
            _ if outer > 1 => (len * inner, Self::Lines),
            Some(Extent::Run(n) | Extent::Tile(n)) => (n as usize * inner, Self::Across),
            Some(Extent::Line) => (len * inner, Self::Across),
        }
    }

    /// The axis of `n` elements of the tensor with the axis `whole`.
    const fn axis(self, whole: Axis, n: usize) -> Axis {
        let Axis { len, inner, .. } = whole;
        match self {
            Self::Elements => Axis { outer: n, len: 1, inner: 1 },
            Self::Lines => Axis { outer: n / (len * inner), ..whole },
            Self::Across => Axis { outer: 1, len: n / inner, inner },
        }
    }
}
