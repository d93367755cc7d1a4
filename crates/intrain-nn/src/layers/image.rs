//! Max pooling of one image, and its backward pass.

use intrain_kernels::Isa;
use intrain_kernels::max_pool::{self, BackwardArgs, ForwardArgs, Image};
use intrain_model::Shape;

use crate::plan::Pool;

/// Max pooling of an image of shape `from`; which element each maximum was goes to the low bits of `index`.
pub(crate) fn pool<T: max_pool::Element>(
    isa: Isa,
    (from, pool): (Shape, Pool),
    input: &[T],
    out: &mut [T],
    index: &mut [u8],
) {
    max_pool::forward(isa, ForwardArgs { input, image: image(from), pool: windows(pool), out, index });
}

/// The backward pass of [`pool`]: each error goes to the pixel that was chosen; overlapping windows add, and the sums are
/// held between the limits.
pub(crate) fn unpool<T: max_pool::Error>(
    isa: Isa,
    (from, pool): (Shape, Pool),
    (error, index): (&[T], &[u8]),
    out: &mut [T],
    (min, max): (T, T),
) {
    let image = image(from);
    max_pool::backward(isa, BackwardArgs { error, index, image, pool: windows(pool), out, min, max });
}

/// The windows as the kernels take them.
const fn windows(pool: Pool) -> max_pool::Pool {
    max_pool::Pool { size: pool.size, stride: pool.stride, pad: pool.pad }
}

const fn image(shape: Shape) -> Image {
    let Shape { h, w, c } = shape;
    Image { h, w, c, pixel_stride: c }
}
