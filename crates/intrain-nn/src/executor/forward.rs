//! Each node forward: from the results in front of it to its own.

use std::ops::Range;

use intrain_kernels::Integer;
use intrain_num::Round;

use crate::block::{Block, Part};
use crate::key::Mode;
use crate::ops::activation::{self, Terms};
use crate::ops::pool::{self, Windows};
use crate::ops::product::Place;
use crate::ops::route;
use crate::plan::{self, Node, Op, Pool, Storage};
use crate::tensor::{Activation, Element, Tensor, for_integers, with_codes, with_element};

use super::Executor;

impl Executor {
    /// The result of node `i` from those in front of it.
    pub(super) fn run(&mut self, i: usize, images: &[u8], mode: Mode) {
        if self.plan.nodes[i].storage == Storage::Fused {
            return;
        }
        let mut out = std::mem::take(&mut self.results[i]);
        let node = &self.plan.nodes[i];
        match &node.op {
            Op::Image => {
                out.frac_bits = node.operand.frac_bits;
                let element = node.storage.element().unwrap_or(plan::Element::I8);
                with_element!(element, T => {
                    let target = T::of_mut(&mut out.tensor);
                    target.resize(images.len(), T::default());
                    route::pixels(images, T::of(&self.pixels), target);
                });
            }
            Op::Product(product) => {
                let (plan, weights, _) = self.blocks[product.block].product_mut();
                let place = Place { plan, product, node };
                weights.forward(place, &self.results[node.sources[0]], &mut out, mode, &mut self.space);
            }
            Op::Activation(_) if node.storage == Storage::Floats => self.activation_floats(i, &mut out, mode),
            Op::Activation(activation) => {
                activation::prepare(activation, &self.results, &mut self.blocks, mode, &mut self.space);
                let terms = Terms { activation, results: &self.results, blocks: &self.blocks };
                let (c, element) = (node.output.c, node.storage.element().unwrap_or(plan::Element::I8));
                with_codes!(element, P => activation::forward::<P>(terms, c, &mut out, &mut self.space));
            }
            Op::Norm(block) => {
                let x = f32::of(&self.results[node.sources[0]].tensor);
                let target = f32::of_mut(&mut out.tensor);
                target.resize(x.len(), 0.0);
                let Block { plan, part, .. } = &mut self.blocks[*block];
                if let Part::Norm(norm) = part {
                    norm.forward_floats(self.space.isa, (plan, None), x, target, mode);
                }
            }
            Op::MaxPool(pool) => self.max_pool(node, *pool, &mut out),
            Op::MeanPool(pool) => self.mean(node, Windows::of(*pool), &mut out),
            Op::GlobalMean => self.mean(node, Windows::whole(node), &mut out),
            Op::Add => {
                let [a, b] = [0, 1].map(|k| f32::of(&self.results[node.sources[k]].tensor));
                let target = f32::of_mut(&mut out.tensor);
                target.resize(a.len(), 0.0);
                route::add_floats([a, b], target);
            }
            Op::Concat => self.concat(node, &mut out),
            Op::Shortcut { stride } => self.shortcut(node, *stride, &mut out),
        }
        self.results[i] = out;
    }

    /// Between floats: with the norm in front of it, in the buffer of what enters, or on its own.
    fn activation_floats(&mut self, i: usize, out: &mut Activation, mode: Mode) {
        let node = &self.plan.nodes[i];
        let Op::Activation(activation) = &node.op else { return };
        let (term, isa) = (activation.terms[0], self.space.isa);
        if activation.in_place {
            std::mem::swap(out, &mut self.results[term.source]);
            activation::floats(isa, (activation.kind, &activation.row), f32::of_mut(&mut out.tensor));
            return;
        }
        let x = f32::of(&self.results[term.source].tensor);
        let target = f32::of_mut(&mut out.tensor);
        target.resize(x.len(), 0.0);
        match term.norm {
            Some(block) => {
                let Block { plan, part, .. } = &mut self.blocks[block];
                if let Part::Norm(norm) = part {
                    norm.forward_floats(isa, (plan, Some(activation.row)), x, target, mode);
                }
            }
            None => {
                route::copy(x, target);
                activation::floats(isa, (activation.kind, &activation.row), target);
            }
        }
    }

    fn max_pool(&self, node: &Node, pool: Pool, out: &mut Activation) {
        let (source, isa) = (&self.results[node.sources[0]], self.space.isa);
        let len = source.tensor.len() / node.input.len() * node.output.len();
        out.trace.resize(len, 0);
        out.frac_bits = source.frac_bits;
        with_element!(node.storage.element().unwrap_or(plan::Element::F32), T => {
            let target = T::of_mut(&mut out.tensor);
            target.resize(len, T::default());
            pool::max(isa, (node, pool), T::of(&source.tensor), target, &mut out.trace);
        });
    }

    fn mean(&self, node: &Node, windows: Windows, out: &mut Activation) {
        let source = &self.results[node.sources[0]];
        let len = source.tensor.len() / node.input.len() * node.output.len();
        if node.storage == Storage::Floats {
            let target = f32::of_mut(&mut out.tensor);
            target.resize(len, 0.0);
            pool::mean_floats(node, windows, f32::of(&source.tensor), target);
            return;
        }
        out.frac_bits = node.operand.frac_bits;
        if node.finds_unit {
            let n = for_integers!(&source.tensor, x => pool::log2_of_largest_mean(node, windows, x));
            out.frac_bits += source.frac_bits - n;
        }
        let finer = out.frac_bits - source.frac_bits;
        with_codes!(node.storage.element().unwrap_or(plan::Element::I8), P => {
            let target = P::of_mut(&mut out.tensor);
            target.resize(len, P::default());
            for_integers!(&source.tensor, x => pool::mean((node, windows), finer, x, target));
        });
    }

    fn concat(&self, node: &Node, out: &mut Activation) {
        let len = self.n_images() * node.output.len();
        // Where steps find units, the coarsest.
        let frac_bits = node.sources.iter().map(|source| self.results[*source].frac_bits);
        out.frac_bits = frac_bits.min().unwrap_or(0);
        match node.storage.element() {
            Some(plan::Element::F32) => self.concat_of::<f32>(node, len, out),
            Some(plan::Element::I8) => self.concat_of::<i8>(node, len, out),
            _ => self.concat_of::<i16>(node, len, out),
        }
    }

    fn concat_of<T: Joined>(&self, node: &Node, len: usize, out: &mut Activation) {
        let (frac_bits, target) = (out.frac_bits, T::of_mut(&mut out.tensor));
        target.resize(len, T::default());
        let mut first = 0;
        for &source in &node.sources {
            let (c, source) = (self.plan.nodes[source].output.c, &self.results[source]);
            let coarser = source.frac_bits - frac_bits;
            T::put(source, coarser, first..first + c, (node.output.c, target));
            first += c;
        }
    }

    fn shortcut(&self, node: &Node, stride: usize, out: &mut Activation) {
        let source = &self.results[node.sources[0]];
        out.frac_bits = source.frac_bits;
        with_element!(node.storage.element().unwrap_or(plan::Element::F32), T => {
            let target = T::of_mut(&mut out.tensor);
            target.resize(self.n_images() * node.output.len(), T::default());
            route::shortcut(node, stride, T::of(&source.tensor), target);
        });
    }
}

/// Elements that a concatenation can hold: its own type, or codes of a narrower one.
trait Joined: Element {
    /// Puts what `source` holds, in a unit that is so many bits `coarser`, into some channels of the whole.
    fn put(source: &Activation, coarser: i32, channels: Range<usize>, whole: (usize, &mut [Self]));
}

impl Joined for f32 {
    fn put(source: &Activation, _: i32, channels: Range<usize>, (c, out): (usize, &mut [Self])) {
        route::put_channels(Self::of(&source.tensor), channels, c, out, |x| x);
    }
}

impl Joined for i8 {
    fn put(source: &Activation, coarser: i32, channels: Range<usize>, (c, out): (usize, &mut [Self])) {
        put_codes(Self::of(&source.tensor), coarser, channels, (c, out));
    }
}

impl Joined for i16 {
    fn put(source: &Activation, coarser: i32, channels: Range<usize>, (c, out): (usize, &mut [Self])) {
        match &source.tensor {
            Tensor::I8(codes) => put_codes(codes, coarser, channels, (c, out)),
            tensor => put_codes(Self::of(tensor), coarser, channels, (c, out)),
        }
    }
}

fn put_codes<S: Integer + Send + Sync, T: Integer + From<S> + Send>(
    codes: &[S],
    coarser: i32,
    channels: Range<usize>,
    (c, out): (usize, &mut [T]),
) {
    if coarser == 0 {
        return route::put_channels(codes, channels, c, out, T::from);
    }
    let moved = |x: S| T::from_i64(Round::NearestDown.shift_right(x.into(), coarser, 0));
    route::put_channels(codes, channels, c, out, moved);
}
