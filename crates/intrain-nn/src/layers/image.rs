//! Max pooling of a block's products, and its way back.

use intrain_kernels::Isa;
use intrain_kernels::max_pool::{self, BackwardArgs, ForwardArgs, Image};
use intrain_model::Shape;

use crate::plan::{BlockPlan, Pool};

/// Max pooling of one image of a block's products; the choice goes to the low bits of the trace.
pub(crate) fn pool<T: max_pool::Element>(
    isa: Isa,
    plan: &BlockPlan,
    input: &[T],
    out: &mut [T],
    trace: &mut [u8],
) {
    let Some(pool) = plan.pool else { return };
    max_pool::forward(isa, ForwardArgs { input, image: image(plan), pool: windows(pool), out, index: trace });
}

/// The way back of [`pool`]: each error goes to the pixel that was chosen; overlapping windows add and are held.
pub(crate) fn unpool<T: max_pool::Error>(
    isa: Isa,
    plan: &BlockPlan,
    error: &[T],
    trace: &[u8],
    out: &mut [T],
    (min, max): (T, T),
) {
    let Some(pool) = plan.pool else { return };
    max_pool::backward(
        isa,
        BackwardArgs { error, index: trace, image: image(plan), pool: windows(pool), out, min, max },
    );
}

/// The windows as the kernels take them.
pub(crate) const fn windows(pool: Pool) -> max_pool::Pool {
    max_pool::Pool { size: pool.size, stride: pool.stride, pad: pool.pad }
}

const fn image(plan: &BlockPlan) -> Image {
    let Shape { h, w, c } = plan.product.output;
    Image { h, w, c, pixel_stride: c }
}
