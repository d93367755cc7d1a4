//! Nodes without products: each image on its own.

use intrain_deploy::Mean;
use intrain_kernels::Isa;
use intrain_model::Shape;
use rayon::prelude::*;

use crate::epilogue::{Pooling, Sum};
use crate::tensor::{Code, Tensor};

/// What each value of a pixel becomes.
pub(crate) fn pixels<P: Code>(codes: &[i64], images: &[u8], out: &mut [P]) {
    let table: [P; 256] = std::array::from_fn(|pixel| P::from_i64(codes[pixel]));
    // An image is some thousand pixels.
    out.par_chunks_mut(1 << 12).zip(images.par_chunks(1 << 12)).for_each(|(out, pixels)| {
        out.iter_mut().zip(pixels).for_each(|(out, pixel)| *out = table[usize::from(*pixel)]);
    });
}

/// The maximum over windows.
pub(crate) fn max_pool<P: Code>(isa: Isa, pooling: &Pooling, x: &[P], out: &mut [P]) {
    let images = x.len() / pooling.from.len();
    let to = out.len() / images;
    out.par_chunks_mut(to)
        .zip(x.par_chunks(pooling.from.len()))
        .for_each(|(out, x)| pooling.run(isa, x, out));
}

/// Sums of terms over images of `len` integers.
pub(crate) fn add<P: Code>(isa: Isa, sum: &Sum, len: usize, slots: &[Tensor], out: &mut [P]) {
    out.par_chunks_mut(len).enumerate().for_each_init(Default::default, |(sums, widened), (i, out)| {
        sum.run(isa, (&[], i * len), slots, out, (sums, widened));
    });
}

/// Means over windows.
pub(crate) fn mean<S: Code, P: Code>(m: &Mean, [input, output]: [Shape; 2], x: &[S], out: &mut [P]) {
    let c = input.c;
    out.par_chunks_mut(output.len()).zip(x.par_chunks(input.len())).for_each_init(
        Vec::new,
        |sums, (out, x)| {
            for (o, out) in out.chunks_exact_mut(c).enumerate() {
                let (top, left) = (o / output.w * m.stride[0], o % output.w * m.stride[1]);
                sums.clear();
                sums.resize(c, 0_i64);
                for y in top..top + m.size[0] {
                    for pixel in x[(y * input.w + left) * c..][..m.size[1] * c].chunks_exact(c) {
                        sums.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += (*x).into());
                    }
                }
                out.iter_mut().zip(&*sums).for_each(|(out, sum)| *out = P::from_i64(m.apply(*sum)));
            }
        },
    );
}

/// Every `stride`-th pixel, zeros for new channels.
pub(crate) fn shortcut<S: Code, P: Code>(stride: usize, [input, output]: [Shape; 2], x: &[S], out: &mut [P]) {
    out.par_chunks_mut(output.len()).zip(x.par_chunks(input.len())).for_each(|(out, x)| {
        for (o, out) in out.chunks_exact_mut(output.c).enumerate() {
            let (y, u) = (o / output.w * stride, o % output.w * stride);
            let from = &x[(y * input.w + u) * input.c..][..input.c];
            out[input.c..].fill(P::default());
            out.iter_mut().zip(from).for_each(|(out, x)| *out = P::from_i64((*x).into()));
        }
    });
}

/// Channels of several: `first` of `c` in all are those of `x`.
pub(crate) fn put<S: Code, P: Code>((first, of, c): (usize, usize, usize), x: &[S], out: &mut [P]) {
    out.par_chunks_mut(c).zip(x.par_chunks(of)).with_min_len(64).for_each(|(out, x)| {
        out[first..first + of].iter_mut().zip(x).for_each(|(out, x)| *out = P::from_i64((*x).into()));
    });
}
