//! A deployed network on this machine's kernels: the logits of a batch of images, or of one.
//!
//! [`Inference`] is made from a [`Deployed`] form and answers as its interpreter does, bit for bit, for every kernel and number of
//! threads. A product, its rounding and the pooling or the norm behind it are one pass over a part of an image while its sums
//! are in cache; nothing that only a backward pass would read is kept, and tensors share memory as soon as they have
//! no reader left.
//!
//! Invariant: nothing here knows recipes, plans' rows or stored weights.
#![forbid(unsafe_code)]

mod depthwise;
mod epilogue;
mod error;
mod nodes;
mod pieces;
mod product;
mod slots;
mod steps;
mod tensor;
mod width;

use intrain_deploy::Deployed;
use intrain_model::Shape;
use intrain_nn::Context;

pub use error::Unsupported;
use steps::Step;
use tensor::Tensor;
use width::Scratch;

/// A network that answers, and what it needs to do so.
pub struct Inference {
    context: Context,
    image: Shape,
    frac_bits: i32,
    n_classes: usize,
    steps: Vec<Step>,
    /// Tensors of the steps, each with as many images as the largest batch so far.
    slots: Vec<Tensor>,
    scratches: Vec<Scratch>,
}

impl Inference {
    /// Lays out the weights of `deployed` for batches of about `batch_size` images; any other number is answered too.
    ///
    /// # Errors
    /// The kernels have no product for one of its layers; [`Deployed::run`] computes it.
    pub fn new(deployed: &Deployed, context: &Context, batch_size: usize) -> Result<Self, Unsupported> {
        let n_threads = context.threads.current_num_threads();
        let (steps, slots) =
            context.run(|| steps::compile(deployed, context.isa, (batch_size, n_threads)))?;
        Ok(Self {
            context: context.clone(),
            image: deployed.image(),
            frac_bits: deployed.logits().frac_bits,
            n_classes: deployed.logits().shape.len(),
            steps,
            slots,
            scratches: (0..n_threads).map(|_| Scratch::default()).collect(),
        })
    }

    /// Bytes of memory that the weights take, as the kernels read them. In products of bytes, 128 columns whose weights are all of -2 to 1
    /// take 2 bits each, others 8; with wider operands, weights take 16 bits or more. Products channel by channel keep whole numbers.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        self.steps.iter().map(Step::weight_bytes).sum()
    }

    /// Fraction bits of the logits.
    #[must_use]
    pub const fn frac_bits(&self) -> i32 {
        self.frac_bits
    }

    /// The logits of `images` (pixels `[n, h, w, c]`), `[n, classes]`; `value = logit * 2^-frac_bits`.
    ///
    /// # Panics
    /// The pixels are not those of whole images.
    pub fn run(&mut self, images: &[u8]) -> Vec<i64> {
        assert!(
            images.len().is_multiple_of(self.image.len()),
            "{} bytes are not whole images of {}",
            images.len(),
            self.image.len()
        );
        let n = images.len() / self.image.len();
        if n == 0 {
            return vec![];
        }
        let Self { context, steps, slots, scratches, .. } = self;
        context.run(|| {
            for step in steps {
                let mut out = std::mem::take(&mut slots[step.slot()]);
                step.run(context.isa, (n, images), slots, &mut out, scratches);
                slots[step.slot()] = out;
            }
        });
        let last = self.steps.last().map_or(0, Step::slot);
        let logits = self.slots[last].to_integers();
        debug_assert_eq!(logits.len(), n * self.n_classes, "logits of each class");
        logits
    }
}
