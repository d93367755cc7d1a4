//! Activations between floats, and their backward passes: ReLU, a codebook in its place, or the sign.
//!
//! HWGQ, arXiv 1702.00953 sections 3.1 and 3.2. The backward pass looks at the value that had entered. Comparisons and
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

/// The codes of values that an activation has left: of levels in equal steps, or of signs.
///
/// # Panics
/// When lengths differ, or for a format without such codes.
pub fn codes(isa: Isa, quantizer: &Quantizer, x: &[f32], out: &mut [i8]) {
    assert!(x.len() == out.len(), "codes: lengths differ");
    let step = match quantizer.format {
        Format::Levels(levels) => levels.step(),
        Format::Binary => Some(1.0),
        _ => None,
    };
    let step = step.unwrap_or_else(|| unreachable!("{} has no equal steps", quantizer.format));
    elementwise::run(isa, Codes { inverse: 1.0 / step, quantizer, x, out });
}

/// What sums of codes by signs are worth: `y = sum * scale + offset`, channel by channel.
///
/// # Panics
/// When lengths differ.
pub fn values(isa: Isa, sums: &[i32], [scale, offset]: [&[f32]; 2], y: &mut [f32]) {
    assert!(sums.len() == y.len() && sums.len().is_multiple_of(scale.len()), "values: lengths differ");
    assert!(scale.len() == offset.len(), "values: lengths differ");
    elementwise::run(isa, Values { sums, scale, offset, y });
}

struct Codes<'a> {
    inverse: f32,
    quantizer: &'a Quantizer,
    x: &'a [f32],
    out: &'a mut [i8],
}

impl Operation for Codes<'_> {
    type Output = ();

    #[allow(clippy::cast_possible_truncation, reason = "a code of at most 15")]
    fn reference(self) {
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            *out = self.quantizer.code_of_float(x, 0) as i8;
        }
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "a code of at most 15")]
    fn vectorized(self, _isa: Isa) {
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            // A multiple of the step but for its last bits, so the nearest whole number is the code; -1 of signs too.
            *out = ((x * self.inverse + 128.5) as i32 - 128) as i8;
        }
    }
}

struct Values<'a> {
    sums: &'a [i32],
    scale: &'a [f32],
    offset: &'a [f32],
    y: &'a mut [f32],
}

impl Operation for Values<'_> {
    type Output = ();

    fn reference(self) {
        self.vectorized(Isa::Reference);
    }

    #[inline(always)]
    #[allow(clippy::cast_precision_loss, reason = "one rounding of the sum")]
    fn vectorized(self, _isa: Isa) {
        let c = self.scale.len();
        for (sums, y) in self.sums.chunks_exact(c).zip(self.y.chunks_exact_mut(c)) {
            let lines = self.scale.iter().zip(self.offset);
            for ((y, &sum), (&scale, &offset)) in y.iter_mut().zip(sums).zip(lines) {
                *y = sum as f32 * scale + offset;
            }
        }
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
            *x = self.levels.value(self.levels.code(*x));
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
