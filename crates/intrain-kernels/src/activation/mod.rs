//! Activations between floats, and their ways back: ReLU, a codebook in its place, or the sign.
//!
//! HWGQ, arXiv 1702.00953 sections 3.1 and 3.2. The way back looks at the value that had entered. Comparisons and
//! selections, but for the tail's division: the same bits with every kernel.
#![allow(clippy::float_arithmetic, reason = "a float role")]

use intrain_num::{Format, Levels, Quantizer, Surrogate};

use crate::elementwise::{self, Operation};
use crate::isa::Isa;

#[cfg(test)]
mod tests;

/// `x = activation(x)`: ReLU where the role is float32.
///
/// # Panics
/// For a format that is no activation between floats.
pub fn forward(isa: Isa, quantizer: &Quantizer, x: &mut [f32]) {
    match quantizer.format {
        Format::Float32 => elementwise::run(isa, Each { x, f: |x: f32| if x <= 0.0 { 0.0 } else { x } }),
        Format::Binary => elementwise::run(isa, Each { x, f: |x: f32| if x < 0.0 { -1.0 } else { 1.0 } }),
        Format::Levels(levels) => elementwise::run(isa, Codebook { levels, x }),
        format => unreachable!("{format} is no activation between floats"),
    }
}

/// Turns the error `dy` behind the activation into that in front of it, where the value `x` had entered.
///
/// # Panics
/// When lengths differ.
pub fn back(isa: Isa, quantizer: &Quantizer, x: &[f32], dy: &mut [f32]) {
    assert!(x.len() == dy.len(), "activation: lengths differ");
    // Open between these two, the second one included.
    let gate = |low: f32, high: f32| move |x: f32, dy: f32| if x > low && x <= high { dy } else { 0.0 };
    match (quantizer.format, quantizer.surrogate) {
        (Format::Levels(levels), Surrogate::Clipped) => {
            elementwise::run(isa, EachBack { x, dy, f: gate(0.0, levels.last()) });
        }
        (Format::Levels(levels), Surrogate::LogTailed) => {
            let (last, start) = (levels.last(), levels.last() - 1.0);
            // The forward pass as if it were q + ln(x - (q - 1)) beyond q.
            let f = move |x: f32, dy: f32| {
                let tail = dy / (x - start);
                let inside = if x > 0.0 { dy } else { 0.0 };
                if x > last { tail } else { inside }
            };
            elementwise::run(isa, EachBack { x, dy, f });
        }
        // Hard tanh, both ends included.
        (Format::Binary, Surrogate::Clipped) => {
            let f = |x: f32, dy: f32| if x.abs() <= 1.0 { dy } else { 0.0 };
            elementwise::run(isa, EachBack { x, dy, f });
        }
        (Format::Binary, _) => {}
        _ => elementwise::run(isa, EachBack { x, dy, f: gate(0.0, f32::INFINITY) }),
    }
}

struct Each<'a, F> {
    x: &'a mut [f32],
    f: F,
}

impl<F: Fn(f32) -> f32> Operation for Each<'_, F> {
    type Output = ();

    fn reference(self) {
        self.vectorized(Isa::Reference);
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        for x in self.x {
            *x = (self.f)(*x);
        }
    }
}

struct Codebook<'a> {
    levels: Levels,
    x: &'a mut [f32],
}

/// Elements that stay in registers or nearby while the levels pass.
const CHUNK: usize = 256;

impl Operation for Codebook<'_> {
    type Output = ();

    fn reference(self) {
        for x in self.x {
            *x = self.levels.value(self.levels.payload(*x));
        }
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let levels = self.levels.positive().iter().zip(self.levels.thresholds());
        let mut values = [0.0; CHUNK];
        for x in self.x.chunks_mut(CHUNK) {
            let values = &mut values[..x.len()];
            values.fill(0.0);
            for (&level, &threshold) in levels.clone() {
                for (value, &x) in values.iter_mut().zip(&*x) {
                    *value = if x > threshold { level } else { *value };
                }
            }
            x.copy_from_slice(values);
        }
    }
}

struct EachBack<'a, F> {
    x: &'a [f32],
    dy: &'a mut [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> f32> Operation for EachBack<'_, F> {
    type Output = ();

    fn reference(self) {
        self.vectorized(Isa::Reference);
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        for (dy, &x) in self.dy.iter_mut().zip(self.x) {
            *dy = (self.f)(x, *dy);
        }
    }
}
