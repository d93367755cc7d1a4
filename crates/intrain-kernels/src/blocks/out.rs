//! What a walk writes of neighbouring elements: codes with scales, or values.

use super::lanes::{LaneValues, Rounder};
use super::lean::Lean;
use super::reference::{self, value_of};
use super::scales::Scaling;
use super::{Args, Code};

/// Elements of a piece, and its blocks at most.
pub(super) const SEGMENT: usize = 512;

/// Codes of elements and of scales.
pub(super) struct Codes<'a, T> {
    pub(super) codes: &'a mut [T],
    pub(super) scales: &'a mut [u8],
}

/// Values of a format.
pub(super) struct Values<'a> {
    pub(super) values: &'a mut [f32],
}

/// What a walk writes.
pub(super) trait Out {
    /// Whether it is asked what a code is worth.
    const IS_WORTH: bool;

    /// All of it, by the definition, under the largest magnitude of the whole tensor where that is known.
    fn reference(&mut self, args: &Args<'_>, largest: Option<u32>) -> f32;
    /// The scales of blocks beside each other, from block `first`.
    fn scales(&mut self, first: usize, codes: &[u8]);
    /// One element by the definition: its code under a scale.
    fn element(&mut self, args: &Args<'_>, place: usize, code: u32, scale: u8);
    /// A piece of a row in lean lanes, rounded to nearest-even.
    fn nearest<const INTEGER: bool>(&mut self, row: &Row<'_>, lean: &Lean);
    /// A piece of a row in lean lanes under another rounding.
    fn lean_row<const INTEGER: bool>(&mut self, row: &Row<'_>, lean: &Lean, rounder: &impl Rounder);
    /// A piece of a row in lanes.
    fn row(&mut self, row: &Row<'_>, lanes: &LaneValues, rounder: &impl Rounder);
}

/// Neighbouring elements of a row, or of some whole rows.
pub(super) struct Row<'a> {
    /// Place of its first element in the tensor.
    pub(super) place: usize,
    pub(super) values: &'a [f32],
    pub(super) words: &'a [u32],
    pub(super) columns: &'a Columns,
    pub(super) scaling: &'a Scaling,
}

/// What the lanes of each element of a piece need.
pub(super) struct Columns {
    pub(super) bias: [i32; SEGMENT],
    pub(super) encode: [f32; SEGMENT],
    pub(super) worth: [f32; SEGMENT],
}

impl<T: Code> Out for Codes<'_, T> {
    const IS_WORTH: bool = false;

    fn reference(&mut self, args: &Args<'_>, largest: Option<u32>) -> f32 {
        let Self { codes, scales } = self;
        reference::quantize(
            args,
            largest,
            |i, code| codes[i] = T::of(code),
            |block, scale| scales[block] = scale,
        )
    }

    fn scales(&mut self, first: usize, codes: &[u8]) {
        self.scales[first..][..codes.len()].copy_from_slice(codes);
    }

    fn element(&mut self, _args: &Args<'_>, place: usize, code: u32, _scale: u8) {
        self.codes[place] = T::of(code);
    }

    #[inline(always)]
    #[allow(clippy::float_arithmetic, reason = "a product with a power of two, or section 13.3's")]
    fn nearest<const INTEGER: bool>(&mut self, row: &Row<'_>, lean: &Lean) {
        // Loops, not closures, which would be compiled without the instructions of this one.
        let codes = self.codes[row.place..][..row.values.len()].iter_mut().zip(row.values);
        if let Scaling::None = row.scaling {
            for (code, x) in codes {
                *code = T::of(lean.code::<INTEGER>(*x));
            }
        } else {
            for ((code, x), encode) in codes.zip(&row.columns.encode) {
                *code = T::of(lean.code::<INTEGER>(x * encode));
            }
        }
    }

    #[inline(always)]
    #[allow(clippy::float_arithmetic, reason = "a product with a power of two, or section 13.3's")]
    fn lean_row<const INTEGER: bool>(&mut self, row: &Row<'_>, lean: &Lean, rounder: &impl Rounder) {
        let codes = self.codes[row.place..][..row.values.len()].iter_mut();
        let elements = codes.zip(row.values).zip(row.words);
        if let Scaling::None = row.scaling {
            for ((code, x), word) in elements {
                *code = T::of(lean.rounded::<INTEGER>(*x, *word, rounder));
            }
        } else {
            for (((code, x), word), encode) in elements.zip(&row.columns.encode) {
                *code = T::of(lean.rounded::<INTEGER>(x * encode, *word, rounder));
            }
        }
    }

    #[inline(always)]
    #[allow(clippy::float_arithmetic, reason = "the product in front of an NVFP4 code rounds, section 13.3")]
    fn row(&mut self, row: &Row<'_>, lanes: &LaneValues, rounder: &impl Rounder) {
        let codes = self.codes[row.place..][..row.values.len()].iter_mut();
        let elements = codes.zip(row.values).zip(row.words);
        let lanes = &lanes.lanes;
        if let Scaling::Factor(..) = row.scaling {
            for (((code, x), word), encode) in elements.zip(&row.columns.encode) {
                *code = T::of(lanes.code((x * encode).to_bits(), lanes.bias, *word, rounder));
            }
        } else {
            for (((code, x), word), bias) in elements.zip(&row.columns.bias) {
                *code = T::of(lanes.code(x.to_bits(), *bias, *word, rounder));
            }
        }
    }
}

impl Out for Values<'_> {
    const IS_WORTH: bool = true;

    fn reference(&mut self, args: &Args<'_>, largest: Option<u32>) -> f32 {
        // The scales of a tensor are known before its values, so codes are kept where values will be.
        let mut scales = vec![0; super::scale_count(&args.coding, args.axis)];
        let mut codes = vec![0u32; args.values.len()];
        let factor = reference::quantize(
            args,
            largest,
            |i, code| codes[i] = code,
            |block, scale| scales[block] = scale,
        );
        reference::decode(&args.coding, args.axis, &codes, &scales, factor, self.values);
        factor
    }

    fn scales(&mut self, _first: usize, _codes: &[u8]) {}

    fn element(&mut self, args: &Args<'_>, place: usize, code: u32, scale: u8) {
        self.values[place] = value_of(&args.coding, scale, 1.0)(code);
    }

    #[inline(always)]
    #[allow(clippy::float_arithmetic, reason = "products with powers of two, or section 13.3's")]
    fn nearest<const INTEGER: bool>(&mut self, row: &Row<'_>, lean: &Lean) {
        let values = self.values[row.place..][..row.values.len()].iter_mut().zip(row.values);
        let columns = row.columns.encode.iter().zip(&row.columns.worth);
        match row.scaling {
            Scaling::None => {
                for (value, x) in values {
                    *value = lean.value::<INTEGER>(*x);
                }
            }
            // Exact: a code's value and a power of two whose product is a normal number.
            Scaling::Bias(_) => {
                for ((value, x), (encode, worth)) in values.zip(columns) {
                    *value = lean.value::<INTEGER>(x * encode) * worth;
                }
            }
            Scaling::Factor(tensor, _) => {
                let factor = tensor.decode_factor();
                for ((value, x), (encode, worth)) in values.zip(columns) {
                    *value = lean.value::<INTEGER>(x * encode) * worth * factor;
                }
            }
        }
    }

    #[inline(always)]
    #[allow(clippy::float_arithmetic, reason = "products with powers of two, or section 13.3's")]
    fn lean_row<const INTEGER: bool>(&mut self, row: &Row<'_>, lean: &Lean, rounder: &impl Rounder) {
        let values = self.values[row.place..][..row.values.len()].iter_mut();
        let elements = values.zip(row.values).zip(row.words);
        let columns = row.columns.encode.iter().zip(&row.columns.worth);
        match row.scaling {
            Scaling::None => {
                for ((value, x), word) in elements {
                    *value = lean.rounded_value::<INTEGER>(*x, *word, rounder);
                }
            }
            // Exact, as for nearest-even.
            Scaling::Bias(_) => {
                for (((value, x), word), (encode, worth)) in elements.zip(columns) {
                    *value = lean.rounded_value::<INTEGER>(x * encode, *word, rounder) * worth;
                }
            }
            Scaling::Factor(tensor, _) => {
                let factor = tensor.decode_factor();
                for (((value, x), word), (encode, worth)) in elements.zip(columns) {
                    *value = lean.rounded_value::<INTEGER>(x * encode, *word, rounder) * worth * factor;
                }
            }
        }
    }

    #[inline(always)]
    #[allow(clippy::float_arithmetic, reason = "the products around an NVFP4 code round, section 13.3")]
    fn row(&mut self, row: &Row<'_>, lanes: &LaneValues, rounder: &impl Rounder) {
        let values = self.values[row.place..][..row.values.len()].iter_mut();
        let elements = values.zip(row.values).zip(row.words);
        let bias = lanes.lanes.bias;
        match row.scaling {
            Scaling::None => {
                for ((value, x), word) in elements {
                    *value = lanes.value(x.to_bits(), bias, None, *word, rounder);
                }
            }
            Scaling::Bias(_) => {
                for (((value, x), word), (bias, worth)) in
                    elements.zip(row.columns.bias.iter().zip(&row.columns.worth))
                {
                    *value = lanes.value(x.to_bits(), *bias, Some(*worth), *word, rounder);
                }
            }
            Scaling::Factor(tensor, _) => {
                let factor = tensor.decode_factor();
                for (((value, x), word), (encode, worth)) in
                    elements.zip(row.columns.encode.iter().zip(&row.columns.worth))
                {
                    let code = lanes.value((x * encode).to_bits(), bias, None, *word, rounder);
                    *value = code * worth * factor;
                }
            }
        }
    }
}
