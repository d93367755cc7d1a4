//! The meaning of the deployed form: plain loops over 64-bit integers, which share no code with the engine that trains.

use intrain_model::Shape;
use intrain_plan::Pool;

use crate::form::{Activation, Deployed, Mean, Norm, Op, Product, Requantize, Term};

impl Deployed {
    /// What the network answers to one image of 8-bit pixels, channels last: its logits.
    ///
    /// # Panics
    /// The image does not have the network's shape.
    #[must_use]
    pub fn run(&self, image: &[u8]) -> Vec<i64> {
        self.trace(image).pop().unwrap_or_default()
    }

    /// The result of each node for one image.
    ///
    /// # Panics
    /// The image does not have the network's shape.
    #[must_use]
    pub fn trace(&self, image: &[u8]) -> Vec<Vec<i64>> {
        self.trace_with(image, &mut |_, _, _| {})
    }

    /// As [`Deployed::trace`]; `see` is called with each sum that is rounded, its node and its rounding.
    ///
    /// # Panics
    /// The image does not have the network's shape.
    pub fn trace_with(&self, image: &[u8], see: &mut impl FnMut(usize, i64, &Requantize)) -> Vec<Vec<i64>> {
        assert_eq!(image.len(), self.image().len(), "bytes of an image");
        self.resume(image, Vec::with_capacity(self.nodes.len()), self.nodes.len(), see)
    }

    /// The results of the first `n` nodes, where those of some are known.
    pub(crate) fn resume(
        &self,
        image: &[u8],
        mut results: Vec<Vec<i64>>,
        n: usize,
        see: &mut impl FnMut(usize, i64, &Requantize),
    ) -> Vec<Vec<i64>> {
        for (i, node) in self.nodes.iter().enumerate().take(n).skip(results.len()) {
            let shapes = [self.input_of(i), node.result.shape];
            let x = |k: usize| results[node.sources[k]].as_slice();
            let result = match &node.op {
                Op::Pixels(codes) => image.iter().map(|pixel| codes[usize::from(*pixel)]).collect(),
                Op::Product(p) => {
                    round_all(product(p, shapes, x(0)), p.requantize.as_ref(), |sum, q| see(i, sum, q))
                }
                Op::MaxPool(pool) => max_pool(*pool, shapes, x(0)),
                Op::Activation(a) => {
                    let entering: Vec<&[i64]> = (0..node.sources.len()).map(x).collect();
                    let sums = activation(a, shapes[1].c, &entering);
                    round_all(sums, Some(&a.requantize), |sum, q| see(i, sum, q))
                }
                Op::Mean(m) => mean(m, shapes, x(0)),
                Op::Shortcut { stride } => shortcut(*stride, shapes, x(0)),
                Op::Concat => {
                    let of = |source: &usize| (self.nodes[*source].result.shape.c, &results[*source][..]);
                    concat(shapes[1], &node.sources.iter().map(of).collect::<Vec<_>>())
                }
            };
            results.push(result);
        }
        results
    }
}

/// The elements of an image: row, column, channel.
fn each(shape: Shape) -> impl Iterator<Item = (usize, usize, usize)> {
    let Shape { h, w, c } = shape;
    (0..h).flat_map(move |y| (0..w).flat_map(move |x| (0..c).map(move |channel| (y, x, channel))))
}

/// The number of an element; none outside of the image, where `v` and `u` count from its padding.
fn at(shape: Shape, (v, u, channel): (usize, usize, usize), pad: [usize; 2]) -> Option<usize> {
    let v = v.checked_sub(pad[0]).filter(|v| *v < shape.h)?;
    let u = u.checked_sub(pad[1]).filter(|u| *u < shape.w)?;
    Some((v * shape.w + u) * shape.c + channel)
}

/// Each sum rounded, after `see` has seen it; exact where nothing rounds them.
fn round_all(mut sums: Vec<i64>, q: Option<&Requantize>, mut see: impl FnMut(i64, &Requantize)) -> Vec<i64> {
    if let Some(q) = q {
        for sum in &mut sums {
            see(*sum, q);
            *sum = q.apply(*sum);
        }
    }
    sums
}

/// The sums of a product.
fn product(p: &Product, [input, output]: [Shape; 2], x: &[i64]) -> Vec<i64> {
    let [kh, kw] = p.window.kernel;
    let [stride, dilation, pad] = [p.window.stride, p.window.dilation, p.window.pad];
    let (of_group, outs) = (input.c / p.groups, output.c / p.groups);
    let weights: Vec<i64> = p.weights.iter().map(|w| (*w).into()).collect();
    let mut sums = Vec::with_capacity(output.len());
    for (oy, ox) in (0..output.h).flat_map(|oy| (0..output.w).map(move |ox| (oy, ox))) {
        // The taps that lie on the image, and the pixel that each meets.
        let taps: Vec<(usize, usize)> = (0..kh * kw)
            .filter_map(|tap| {
                let (v, u) =
                    (oy * stride[0] + tap / kw * dilation[0], ox * stride[1] + tap % kw * dilation[1]);
                at(input, (v, u, 0), pad).map(|pixel| (tap, pixel))
            })
            .collect();
        for out in 0..output.c {
            let first = out / outs * of_group;
            let of_tap = |(tap, pixel): &(usize, usize)| {
                let w = &weights[(out * kh * kw + tap) * of_group..][..of_group];
                let x = &x[pixel + first..][..of_group];
                x.iter().zip(w).map(|(x, w)| x * w).sum::<i64>()
            };
            sums.push(p.bias.as_ref().map_or(0, |bias| bias[out]) + taps.iter().map(of_tap).sum::<i64>());
        }
    }
    sums
}

fn max_pool(pool: Pool, [input, output]: [Shape; 2], x: &[i64]) -> Vec<i64> {
    let largest = |(oy, ox, channel): (usize, usize, usize)| {
        let taps = each(Shape { h: pool.size, w: pool.size, c: 1 });
        let places = taps.filter_map(|(ky, kx, _)| {
            let place = (oy * pool.stride + ky, ox * pool.stride + kx, channel);
            at(input, place, [pool.pad; 2]).map(|at| x[at])
        });
        // Bound: padding is below the size, so a window holds a pixel.
        places.max().unwrap_or(0)
    };
    each(output).map(largest).collect()
}

/// The sums of an activation's terms.
fn activation(a: &Activation, c: usize, entering: &[&[i64]]) -> Vec<i64> {
    let mut sums = vec![0; entering[0].len()];
    for (term, x) in a.terms.iter().zip(entering) {
        let terms = normalized(term, c, x);
        sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
    }
    sums
}

/// A term of a sum, pixel by pixel of `c` channels.
fn normalized(term: &Term, c: usize, x: &[i64]) -> Vec<i64> {
    let moved = |x: i64| x << term.shift;
    match &term.norm {
        None => x.iter().map(|x| moved(*x)).collect(),
        Some(Norm::Batch(norm)) => {
            let of = |(i, x): (usize, &i64)| {
                let (channel, line) = (i % c, norm.lines[i % c]);
                let value = norm.value.round.shift_right(line.exact(*x), line.shift, 0);
                let value = value.clamp(norm.value.min, norm.value.max);
                moved(value * norm.gain[channel] + norm.offset[channel])
            };
            x.iter().enumerate().map(of).collect()
        }
        Some(Norm::Layer(norm)) => x.chunks_exact(c).flat_map(|pixel| norm.apply(pixel)).map(moved).collect(),
    }
}

fn mean(m: &Mean, [input, output]: [Shape; 2], x: &[i64]) -> Vec<i64> {
    let of = |(oy, ox, channel): (usize, usize, usize)| {
        let taps = each(Shape { h: m.size[0], w: m.size[1], c: 1 });
        let places = taps.filter_map(|(ky, kx, _)| {
            at(input, (oy * m.stride[0] + ky, ox * m.stride[1] + kx, channel), [0; 2])
        });
        m.apply(places.map(|at| x[at]).sum())
    };
    each(output).map(of).collect()
}

fn shortcut(stride: usize, [input, output]: [Shape; 2], x: &[i64]) -> Vec<i64> {
    let of = |(y, u, channel): (usize, usize, usize)| {
        let place = (y * stride, u * stride, channel);
        if channel < input.c { at(input, place, [0; 2]).map_or(0, |at| x[at]) } else { 0 }
    };
    each(output).map(of).collect()
}

/// `parts` are channels and integers of each.
fn concat(shape: Shape, parts: &[(usize, &[i64])]) -> Vec<i64> {
    (0..shape.h * shape.w)
        .flat_map(|pixel| parts.iter().flat_map(move |(c, x)| &x[pixel * c..][..*c]))
        .copied()
        .collect()
}
