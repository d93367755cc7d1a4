//! The Hadamard transform along an axis, 16 elements at a time: section 13.5 of the contract.
#![allow(clippy::float_arithmetic, reason = "sums in binary64 that are exact, or are not taken")]
#![allow(clippy::needless_range_loop, reason = "a lane is one index into several arrays")]

use std::array;

use intrain_num::block::hadamard;
use intrain_num::minifloat::{FloatFormat, FloatOverflow, FloatRound, Number};

use super::Axis;
use crate::elementwise::{self, Operation};
use crate::isa::Isa;

/// Elements of a transform.
const SIZE: usize = 16;
/// Transforms beside each other.
const BESIDE: usize = 8;

/// Transforms each 16 elements along the axis with the signs `signs`, and rounds each result once to bfloat16; fewer at
/// the end stay as they are, rounded alike.
///
/// # Panics
/// When this CPU lacks `isa`, or lengths differ.
pub fn transform(isa: Isa, axis: Axis, values: &[f32], signs: u16, out: &mut [f32]) {
    assert_eq!(values.len(), axis.elements(), "transform: values and shape differ in length");
    assert_eq!(values.len(), out.len(), "transform: values and out differ in length");
    elementwise::run(isa, Transform { axis, values, signs, out });
}

struct Transform<'a> {
    axis: Axis,
    values: &'a [f32],
    signs: u16,
    out: &'a mut [f32],
}

fn bfloat16(x: Number) -> f32 {
    let format = FloatFormat::BFLOAT16;
    format.decode(format.encode(x, FloatRound::NearestEven, FloatOverflow::SatNone, 0)).to_f32()
}

impl Transform<'_> {
    /// Calls `f` with the place of each group's first element, and with that of each element too near the end for one.
    #[inline(always)]
    fn each(axis: Axis, mut f: impl FnMut(usize, Part)) {
        let Axis { outer, len, inner } = axis;
        let whole = len / SIZE * SIZE;
        for o in 0..outer {
            for i in (0..whole).step_by(SIZE) {
                (0..inner).for_each(|j| f((o * len + i) * inner + j, Part::Group));
            }
            for i in whole..len {
                (0..inner).for_each(|j| f((o * len + i) * inner + j, Part::Rest));
            }
        }
    }
}

/// What stands at a place.
enum Part {
    Group,
    Rest,
}

impl Operation for Transform<'_> {
    type Output = ();

    fn reference(self) {
        let Self { axis, values, signs, out } = self;
        let step = axis.inner;
        Self::each(axis, |first, part| match part {
            Part::Group => {
                let y = hadamard(&array::from_fn(|i| values[first + i * step]), signs);
                y.into_iter().enumerate().for_each(|(i, y)| out[first + i * step] = bfloat16(y));
            }
            Part::Rest => out[first] = bfloat16(Number::from_f32(values[first])),
        });
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let Self { axis, values, signs, out } = self;
        // Groups are taken some at a time; those that are waiting, and how many.
        let (mut waiting, mut n) = ([0; BESIDE], 0);
        Self::each(axis, |place, part| match part {
            Part::Group => {
                waiting[n] = place;
                n += 1;
                if n == BESIDE {
                    several(&waiting, axis.inner, values, signs, out);
                    n = 0;
                }
            }
            Part::Rest => out[place] = bfloat16(Number::from_f32(values[place])),
        });
        for &first in &waiting[..n] {
            several(&[first], axis.inner, values, signs, out);
        }
    }
}

/// Some groups, lane by lane, by additions and subtractions in four stages.
///
/// Exact: in binary64, as long as the largest and the smallest magnitude lie within 2^25 of each other: 24 bits of a
/// number, 25 of the spread and 4 of the sum are 53. Other groups go through the definition.
#[inline(always)]
fn several<const N: usize>(first: &[usize; N], step: usize, values: &[f32], signs: u16, out: &mut [f32]) {
    let mut x = [[0.0f64; N]; SIZE];
    let (mut large, mut small) = ([0u32; N], [u32::MAX; N]);
    for (i, row) in x.iter_mut().enumerate() {
        let sign = if signs >> i & 1 == 1 { -0.25 } else { 0.25 };
        for lane in 0..N {
            let value = values[first[lane] + i * step];
            let exponent = value.to_bits() >> 23 & 0xff;
            large[lane] = large[lane].max(exponent);
            small[lane] = small[lane].min(if value == 0.0 { u32::MAX } else { exponent });
            row[lane] = f64::from(value) * sign;
        }
    }
    for half in [1, 2, 4, 8] {
        for i in (0..SIZE).filter(|i| i & half == 0) {
            for lane in 0..N {
                let (a, b) = (x[i][lane], x[i | half][lane]);
                (x[i][lane], x[i | half][lane]) = (a + b, a - b);
            }
        }
    }
    for lane in 0..N {
        let place = |i: usize| first[lane] + i * step;
        // Bound: normal numbers far from both ends, so that neither a sum nor its rounding leaves them.
        let is_exact = small[lane] == u32::MAX
            || small[lane] >= 40 && large[lane] <= 240 && large[lane] - small[lane] <= 25;
        if is_exact {
            // A sum of nothing but zeros is +0.
            (0..SIZE).for_each(|i| out[place(i)] = bfloat16_of(x[i][lane] + 0.0));
        } else {
            let y = hadamard(&array::from_fn(|i| values[place(i)]), signs);
            y.into_iter().enumerate().for_each(|(i, y)| out[place(i)] = bfloat16(y));
        }
    }
}

/// The nearest bfloat16 number, ties to even. Bound: zero, or a normal bfloat16 number's magnitude.
#[inline(always)]
fn bfloat16_of(x: f64) -> f32 {
    // 45 bits of the mantissa are dropped. Wrapping: a carry into the exponent is the next binade's first number.
    let bits = x.to_bits();
    let rounded = bits + (1 << 44) - 1 + (bits >> 45 & 1);
    // Exact: eight significant bits.
    #[allow(clippy::cast_possible_truncation, reason = "the rest is zero")]
    let value = f64::from_bits(rounded >> 45 << 45) as f32;
    value
}
