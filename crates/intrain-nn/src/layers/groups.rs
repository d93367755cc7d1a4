//! A grouped convolution on the general product: zeros between the weights of its groups, and the gradients that are its own.
#![deny(clippy::float_arithmetic)]

use crate::parameters::Gradient;
use crate::plan::ProductPlan;

/// Calls `f(dense, compact)` with the numbers of each weight of a grouped convolution in `[taps, in, out]` and in `[taps, in /
/// groups, out]`.
fn each_weight(p: &ProductPlan, mut f: impl FnMut(usize, usize)) {
    let (c_in, c_out) = (p.input.c / p.groups, p.output.c);
    for (tap, i) in (0..p.window.n_taps()).flat_map(|tap| (0..c_in).map(move |i| (tap, i))) {
        for o in 0..c_out {
            let group = o / (c_out / p.groups);
            let dense = (tap * p.input.c + group * c_in + i) * c_out + o;
            f(dense, (tap * c_in + i) * c_out + o);
        }
    }
}

/// Puts zeros between the weights of the groups, so that the general product can multiply them: a product with 0 adds
/// nothing, and the sums that are proven to fit are those of a group. `spread` belongs to this
/// convolution alone: what lies between its groups is 0 from the first call on.
pub(crate) fn spread<T: Copy + Default>(p: &ProductPlan, weights: &[T], spread: &mut Vec<T>) {
    spread.resize(p.window.n_taps() * p.input.c * p.output.c, T::default());
    each_weight(p, |dense, at| spread[dense] = weights[at]);
}

/// The gradients of the weights that a grouped convolution has; of integers their largest magnitude.
pub(crate) fn gather(p: &ProductPlan, dense: &Gradient, out: &mut Gradient) -> u64 {
    fn of<T: Copy + Default>(p: &ProductPlan, from: &[T], to: &mut Vec<T>) {
        to.resize(p.n_weights(), T::default());
        each_weight(p, |dense, at| to[at] = from[dense]);
    }
    match (dense, out) {
        (Gradient::I32(from), Gradient::I32(to)) => {
            of(p, from, to);
            to.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0).into()
        }
        (Gradient::I64(from), Gradient::I64(to)) => {
            of(p, from, to);
            to.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0)
        }
        (Gradient::F32(from), Gradient::F32(to)) => {
            of(p, from, to);
            0
        }
        _ => unreachable!("both have the type that the plan's sums need"),
    }
}
