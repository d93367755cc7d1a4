//! What follows a product while its sums are in cache: a rounding, and a pooling or a sum of terms behind it.

use intrain_deploy::{Activation, BatchNorm, LayerNorm, Norm, Requantize};
use intrain_kernels::fixed_norm::{self, Affines, Means, Store};
use intrain_kernels::max_pool::{self, Image};
use intrain_kernels::requantize::{self, Trace};
use intrain_kernels::{Integer, Isa};
use intrain_model::Shape;
use intrain_num::Round;
use intrain_plan::Pool;

use crate::error::Unsupported;
use crate::tensor::{Code, Tensor};
use crate::width::Part;

/// From sums to what a step leaves.
pub(crate) enum Epilogue {
    /// The sums themselves: logits.
    Sums,
    /// Rounded.
    Rounded(Requantize),
    /// Rounded, and the maximum of each window.
    Pooled(Requantize, Pooling),
    /// Rounded, then a term of a sum that is rounded.
    Added(Requantize, Sum),
}

/// Windows that do not overlap, over images of that shape.
#[derive(Clone, Copy)]
pub(crate) struct Pooling {
    pub(crate) from: Shape,
    pub(crate) pool: Pool,
}

/// Terms and the rounding of their sum.
pub(crate) struct Sum {
    pub(crate) terms: Vec<Term>,
    rounding: Requantize,
}

/// A term of a sum.
pub(crate) struct Term {
    /// Where it lies; none for what the product in front has left.
    pub(crate) slot: Option<usize>,
    shift: u32,
    norm: Option<Lines>,
}

/// A norm on the way of a term.
enum Lines {
    /// Each channel's line, moved up by the term's shift.
    Channels(Affines),
    /// Statistics of each pixel.
    Pixel(Box<LayerNorm>),
}

/// Rounds sums to integers of type `P`, which holds what is left of them.
pub(crate) fn round<S: Integer, P: Integer>(isa: Isa, sums: &[S], q: &Requantize, out: &mut [P]) {
    let Requantize { shift, round, .. } = *q;
    // Exact: the deployed form has proven that no result lies beyond the type.
    let (min, max) = (q.min.max(P::MIN), q.max.min(P::MAX));
    let (words, first_element, trace) = (None, 0, Trace::None);
    requantize::run(isa, requantize::Args { sums, out, shift, round, min, max, words, first_element, trace });
}

impl Pooling {
    /// The maxima of images, or of some rows of one.
    pub(crate) fn run<T: Integer>(&self, isa: Isa, input: &[T], out: &mut [T]) {
        let Self { from: Shape { w, c, .. }, pool } = *self;
        let pool = max_pool::Pool { size: pool.size, stride: pool.stride, pad: pool.pad };
        let to = out.len() / input.len().div_ceil(self.from.len());
        for (input, out) in input.chunks(self.from.len()).zip(out.chunks_exact_mut(to)) {
            let image = Image { h: input.len() / (w * c), w, c, pixel_stride: c };
            max_pool::maxima(isa, (input, image), pool, out);
        }
    }
}

impl Sum {
    /// # Errors
    /// The kernels have no such norm, or sums have more than 32 bits.
    pub(crate) fn of(layer: &str, a: &Activation, slots: &[Option<usize>]) -> Result<Self, Unsupported> {
        if a.bound >= 1 << 31 {
            return Err(Unsupported::new(layer, format!("sums of {} are more than 32 bits", a.bound)));
        }
        let term = |(term, slot): (&intrain_deploy::Term, &Option<usize>)| {
            let norm = match &term.norm {
                None => None,
                Some(Norm::Batch(norm)) => Some(Lines::Channels(affines(layer, norm, term.shift)?)),
                Some(Norm::Layer(norm)) => Some(Lines::Pixel(Box::new(norm.clone()))),
            };
            Ok(Term { slot: *slot, shift: term.shift, norm })
        };
        let terms = a.terms.iter().zip(slots).map(term).collect::<Result<_, Unsupported>>()?;
        Ok(Self { terms, rounding: a.requantize })
    }

    /// The results from element `at` on; `own` is the term that has no slot.
    pub(crate) fn run<P: Code>(
        &self,
        isa: Isa,
        (own, at): (&[i16], usize),
        slots: &[Tensor],
        out: &mut [P],
        (sums, widened): (&mut Vec<i32>, &mut Vec<i16>),
    ) {
        sums.resize(out.len(), 0);
        for (i, term) in self.terms.iter().enumerate() {
            let store = if i == 0 { Store::Set } else { Store::Add };
            let part = at..at + out.len();
            let x = match term.slot {
                None => own,
                Some(slot) => match (&slots[slot], &term.norm) {
                    (Tensor::I8(x), None) => {
                        fixed_norm::add_shifted(isa, &x[part], term.shift, sums, store);
                        continue;
                    }
                    (tensor, _) => tensor.words(part, widened),
                },
            };
            match &term.norm {
                Some(Lines::Channels(lines)) => fixed_norm::apply(isa, x, lines, sums, store),
                Some(Lines::Pixel(norm)) => normalize(norm, x, term.shift, sums, store),
                None => fixed_norm::add_shifted(isa, x, term.shift, sums, store),
            }
        }
        round(isa, sums, &self.rounding, out);
    }
}

/// Pixels, each by its own statistics, moved up by `shift`.
fn normalize(norm: &LayerNorm, x: &[i16], shift: u32, sums: &mut [i32], store: Store) {
    let mut pixel = vec![];
    for (x, sums) in x.chunks_exact(norm.gain.len()).zip(sums.chunks_exact_mut(norm.gain.len())) {
        pixel.clear();
        pixel.extend(x.iter().map(|x| i64::from(*x)));
        for (sum, value) in sums.iter_mut().zip(norm.apply(&pixel)) {
            // Exact: the deployed form has proven that no sum of terms has more than 32 bits.
            let value = i32::from_i64(value << shift);
            *sum = if store == Store::Set { value } else { *sum + value };
        }
    }
}

/// The lines of a norm, moved up by `shift`.
fn affines(layer: &str, norm: &BatchNorm, shift: u32) -> Result<Affines, Unsupported> {
    let is_plain = matches!(norm.value.round, Round::NearestDown | Round::Floor);
    if !is_plain || !norm.lines.iter().all(|line| (1..=30).contains(&line.shift)) {
        return Err(Unsupported::new(layer, "a norm that is not rounded by an added constant and a shift"));
    }
    let [gain, offset] =
        [&norm.gain, &norm.offset].map(|learned| learned.iter().map(|x| x << shift).collect::<Vec<i64>>());
    if !gain.iter().chain(&offset).all(|learned| i32::try_from(*learned).is_ok()) {
        return Err(Unsupported::new(
            layer,
            "gains and offsets that have more than 32 bits at the unit of the sum",
        ));
    }
    let means = Means::new(&vec![0; norm.lines.len()], 0);
    let mut lines = Affines::default();
    lines.set(&norm.lines, means, [&gain, &offset], norm.value.round, (norm.value.min, norm.value.max));
    Ok(lines)
}

impl Epilogue {
    /// From the sums of whole rows of pixels to `out`; `at` is the number of the first among the product's results.
    pub(crate) fn run<S: Code, P: Code>(
        &self,
        isa: Isa,
        (sums, at): (&[S], usize),
        slots: &[Tensor],
        out: &mut [P],
        part: &mut Part,
    ) {
        let Part { held, terms, widened } = part;
        match self {
            Self::Sums => unreachable!("logits are written as they are"),
            Self::Rounded(q) => round(isa, sums, q, out),
            Self::Pooled(q, pooling) => {
                // Exact: a rounding is monotone, so it may follow the maximum, of which there are fewer.
                let maxima = S::of_mut(held, out.len());
                pooling.run(isa, sums, maxima);
                round(isa, maxima, q, out);
            }
            Self::Added(q, sum) => {
                let rounded = i16::of_mut(held, sums.len());
                round(isa, sums, q, rounded);
                sum.run(isa, (rounded, at), slots, out, (terms, widened));
            }
        }
    }
}
