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

/// `y = activation(x)`: ReLU where the role is float32.
///
/// # Panics
/// When lengths differ, or for a format that is no activation between floats.
pub fn forward(isa: Isa, quantizer: &Quantizer, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "activation: lengths differ");
    match quantizer.format {
        Format::Float32 => elementwise::run(isa, Each { x, y, f: |x: f32| if x <= 0.0 { 0.0 } else { x } }),
        Format::Binary => elementwise::run(isa, Each { x, y, f: |x: f32| if x < 0.0 { -1.0 } else { 1.0 } }),
        Format::Levels(levels) => elementwise::run(isa, Codebook { levels, x, y }),
        format => unreachable!("{format} is no activation between floats"),
    }
}

/// The error in front of the activation, from the error `dy` behind it and the value `x` that had entered.
///
/// # Panics
/// When lengths differ.
pub fn back(isa: Isa, quantizer: &Quantizer, [x, dy]: [&[f32]; 2], dx: &mut [f32]) {
    assert!(x.len() == dy.len() && x.len() == dx.len(), "activation: lengths differ");
    // Open between these two, the second one included.
    let gate = |low: f32, high: f32| move |x: f32, dy: f32| if x > low && x <= high { dy } else { 0.0 };
    match (quantizer.format, quantizer.surrogate) {
        (Format::Levels(levels), Surrogate::Clipped) => {
            elementwise::run(isa, EachBack { x, dy, dx, f: gate(0.0, levels.last()) });
        }
        (Format::Levels(levels), Surrogate::LogTailed) => {
            let (last, start) = (levels.last(), levels.last() - 1.0);
            // The forward pass as if it were q + ln(x - (q - 1)) beyond q.
            let f = move |x: f32, dy: f32| {
                let tail = dy / (x - start);
                let inside = if x > 0.0 { dy } else { 0.0 };
                if x > last { tail } else { inside }
            };
            elementwise::run(isa, EachBack { x, dy, dx, f });
        }
        // Hard tanh, both ends included.
        (Format::Binary, Surrogate::Clipped) => {
            let f = |x: f32, dy: f32| if x.abs() <= 1.0 { dy } else { 0.0 };
            elementwise::run(isa, EachBack { x, dy, dx, f });
        }
        (Format::Binary, _) => dx.copy_from_slice(dy),
        _ => elementwise::run(isa, EachBack { x, dy, dx, f: gate(0.0, f32::INFINITY) }),
    }
}

struct Each<'a, F> {
    x: &'a [f32],
    y: &'a mut [f32],
    f: F,
}

impl<F: Fn(f32) -> f32> Operation for Each<'_, F> {
    type Output = ();

    fn reference(self) {
        self.vectorized(Isa::Reference);
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        for (y, &x) in self.y.iter_mut().zip(self.x) {
            *y = (self.f)(x);
        }
    }
}

struct Codebook<'a> {
    levels: Levels,
    x: &'a [f32],
    y: &'a mut [f32],
}

/// Elements that stay in registers or nearby while the levels pass.
const CHUNK: usize = 256;

impl Operation for Codebook<'_> {
    type Output = ();

    fn reference(self) {
        for (y, &x) in self.y.iter_mut().zip(self.x) {
            *y = self.levels.value(self.levels.payload(x));
        }
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let levels = self.levels.positive().iter().zip(self.levels.thresholds());
        for (y, x) in self.y.chunks_mut(CHUNK).zip(self.x.chunks(CHUNK)) {
            y.fill(0.0);
            for (&level, &threshold) in levels.clone() {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = if x > threshold { level } else { *y };
                }
            }
        }
    }
}

struct EachBack<'a, F> {
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> f32> Operation for EachBack<'_, F> {
    type Output = ();

    fn reference(self) {
        self.vectorized(Isa::Reference);
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        for ((dx, &x), &dy) in self.dx.iter_mut().zip(self.x).zip(self.dy) {
            *dx = (self.f)(x, dy);
        }
    }
}
