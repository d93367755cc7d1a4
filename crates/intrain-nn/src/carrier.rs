//! What carries a network's products and stations: 8-bit integers, 16-bit integers, or floats.
//!
//! [`crate::block`] and [`crate::network`] are written once over this trait; `integer.rs` and `float.rs` implement it.
#![deny(clippy::float_arithmetic)]

use intrain_kernels::Isa;
use intrain_num::Quantizer;
use intrain_num::random::Words;

use crate::block::linear_rows;
use crate::engine::Mode;
use crate::network::StepKey;
use crate::parameters::{Gradient, Parameters};
use crate::plan::{BlockPlan, InputPlan, LossPlan, Operand, ProductKind};
use crate::watch::Measure;

/// The arithmetic of a whole network. An *item* is what one thread takes at a time: an image, or some rows of a
/// linear layer's batch.
pub(crate) trait Carrier: Send + Sync + 'static {
    /// Activations and errors.
    type Payload: Copy + Default + Send + Sync + 'static;
    /// Sums of products.
    type Sum: Kept<Self>;
    /// Sums of errors as they mostly are: in half the bits.
    type Narrow: Kept<Self>;
    /// A block's weights as its products want them, and its address tables.
    type Product: Send + Sync;
    /// One thread's buffers.
    type Scratch: Default + Send;

    /// Images of a batch that make an item.
    fn images_at_a_time(plan: &BlockPlan, batch_size: usize) -> usize {
        match plan.product.kind {
            ProductKind::Conv => 1,
            ProductKind::Linear | ProductKind::BatchNorm | ProductKind::LayerNorm => linear_rows(batch_size),
        }
    }
    fn product(plan: &BlockPlan, batch_size: usize) -> Self::Product;
    /// Reads the stored weights: the recipe's row `weight`.
    fn load(isa: Isa, plan: &BlockPlan, product: &mut Self::Product, parameters: &Parameters, mode: Mode);
    /// Lays the weights out for the product with all of `input`.
    fn prepare_forward(isa: Isa, plan: &BlockPlan, product: &mut Self::Product, input: &[Self::Payload]);
    /// Lays the weights out for the product with all of `error`.
    fn prepare_error(isa: Isa, plan: &BlockPlan, product: &mut Self::Product, error: &[Self::Payload]);
    /// The payload of each pixel value: the recipe's row `input`.
    fn pixels(plan: &InputPlan) -> Vec<Self::Payload>;

    /// Sums `[rows, n]` of one item, bias included, into the scratch.
    fn forward(
        isa: Isa,
        plan: &BlockPlan,
        product: &Self::Product,
        input: &[Self::Payload],
        scratch: &mut Self::Scratch,
    );
    /// Copies the sums in the scratch; their largest magnitude.
    fn keep(isa: Isa, scratch: &Self::Scratch, kept: &mut [Self::Sum]) -> u64;
    /// Puts sums that were kept into the scratch again.
    fn bring(kept: &[Self::Sum], scratch: &mut Self::Scratch);
    /// From the sums in the scratch to the block's output: rows `activation.product` and `activation`, pooling, ReLU.
    /// `first` is the number of the item's first product element in the batch.
    fn finish(
        isa: Isa,
        plan: &BlockPlan,
        item: FinishItem<'_, Self>,
        scratch: &mut Self::Scratch,
        mode: Mode,
    );
    /// The last block's output `i` as a real number, for the loss.
    fn logit(plan: &LossPlan, logits: Logits<'_, Self>, i: usize) -> f64;
    /// The error at the logits: the recipe's row `error.loss`.
    fn error_at_loss(
        plan: &LossPlan,
        logits: Logits<'_, Self>,
        labels: &[u16],
        layer: u32,
        key: StepKey,
        out: &mut Vec<Self::Payload>,
    );

    /// Undoes max pooling for one image: the error goes where the maximum was.
    fn unpool(isa: Isa, plan: &BlockPlan, error: &[Self::Payload], trace: &[u8], out: &mut [Self::Payload]);
    /// Error sums `[input pixels, channels]` of one item, into the scratch.
    fn error(
        isa: Isa,
        plan: &BlockPlan,
        product: &Self::Product,
        error: &[Self::Payload],
        scratch: &mut Self::Scratch,
    );
    /// The error sums in the scratch.
    fn sums(scratch: &Self::Scratch) -> &[Self::Sum];

    /// The gradient of the weights over the whole batch, `[kernel, kernel, in, out]`, from `(input, error)`; and its
    /// largest magnitude, where the recipe divides by it.
    fn gradient(
        isa: Isa,
        plan: &BlockPlan,
        product: &mut Self::Product,
        operands: (&[Self::Payload], &[Self::Payload]),
        out: &mut Gradient,
        scratches: &mut [Self::Scratch],
    ) -> Option<u64>;
    /// The gradient of the biases: the error's sum over batch and pixels.
    fn bias_gradient(
        plan: &BlockPlan,
        error: &[Self::Payload],
        out: &mut Gradient,
        scratches: &mut [Self::Scratch],
    );

    /// What of the format of `operand` these payloads use.
    fn measure(operand: Operand, payloads: &[Self::Payload]) -> Measure;

    /// Gives each thread's buffers the room of the largest: which thread takes the largest item is up to the moment,
    /// and none shall find out in a later step that it has too little.
    fn level(_: &mut [Self::Scratch]) {}
}

/// Payloads and sums of the last block: one is empty, sums where the loss does not see them unrounded.
pub(crate) type Logits<'a, C> = (&'a [<C as Carrier>::Payload], &'a [<C as Carrier>::Sum]);

/// What error sums are kept in until the scale of the whole tensor is known.
pub(crate) trait Kept<C: Carrier + ?Sized>: Copy + Default + Send + Sync + 'static {
    /// Largest magnitude that is kept as it is.
    const MAX: u64;

    /// Keeps `sums`, and gives the largest magnitude of those whose trace has every bit of `mask`.
    fn keep(isa: Isa, sums: &[C::Sum], trace: &[u8], mask: u8, kept: &mut [Self]) -> u64;
    /// Cuts error sums, the first of which is the tensor's element of that number, to payloads; 0 where the trace lacks
    /// a bit of the cut's mask.
    fn cut(isa: Isa, cut: &Cut<'_>, sums: &[Self], trace: &[u8], first: u64, out: &mut [C::Payload]);
}

/// Where an item's results go.
pub(crate) struct FinishItem<'a, C: Carrier + ?Sized> {
    /// Number of the item's first element in the product's whole output.
    pub(crate) first_product: u64,
    /// Number of the item's first element in the block's whole output.
    pub(crate) first_output: u64,
    pub(crate) payload: &'a mut [C::Payload],
    /// Exact sums, for logits that the loss sees unrounded; else empty.
    pub(crate) sums: &'a mut [C::Sum],
    pub(crate) trace: &'a mut [u8],
    /// Random words of the product's whole output, where they are listed; else empty.
    pub(crate) words: &'a [u32],
}

/// How an error's sums become payloads.
pub(crate) struct Cut<'a> {
    pub(crate) quantizer: Quantizer,
    /// Bits dropped.
    pub(crate) shift: i32,
    /// What of an element's trace lets its error through.
    pub(crate) mask: u8,
    pub(crate) words: Words<'a>,
}
