//! An array's codes with their scales.

use intrain_kernels::Isa;
use intrain_kernels::blocks::{self, Axis, Statistics};
use intrain_num::block::Extent;

use crate::Way;

/// Codes, one element each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Codes {
    /// Of up to 8 bits.
    Bytes(Vec<u8>),
    /// Of up to 16 bits.
    Words(Vec<u16>),
    /// Of up to 32 bits.
    Long(Vec<u32>),
}

impl Codes {
    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Bytes(codes) => codes.len(),
            Self::Words(codes) => codes.len(),
            Self::Long(codes) => codes.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Code `i`.
    #[must_use]
    pub fn get(&self, i: usize) -> u32 {
        match self {
            Self::Bytes(codes) => codes[i].into(),
            Self::Words(codes) => codes[i].into(),
            Self::Long(codes) => codes[i],
        }
    }

    /// Codes of up to 8 bits.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(codes) => Some(codes),
            _ => None,
        }
    }
}

/// An array in a format.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantized {
    /// How it was made, and what its codes mean.
    pub way: Way,
    /// Sizes, C order.
    pub shape: Vec<usize>,
    /// One code for each element, C order.
    pub codes: Codes,
    /// One code for each block: `shape` with the blocked dimensions divided by the block's, rounded up, in C order.
    pub scales: Vec<u8>,
    /// The factor of the whole tensor behind scales and codes; 1 but for NVFP4.
    pub factor: f32,
}

/// A shape that a way cannot be applied to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The axis.
    #[error("axis {axis} is no axis of {shape:?}; write 0 to {}, or -1 for the last", shape.len().saturating_sub(1))]
    Axis {
        /// What was asked for.
        axis: i64,
        /// The array's sizes.
        shape: Vec<usize>,
    },
    /// A tile needs two axes.
    #[error(
        "tiles of {extent} need an array of two dimensions or more, and this one is {shape:?}; use runs along its axis"
    )]
    Tile {
        /// What was asked for.
        extent: String,
        /// The array's sizes.
        shape: Vec<usize>,
    },
    /// Another number of values, codes or scales than the shape has.
    #[error("{what}: there are {got}, and the shape {shape:?} has {want}; they do not belong together")]
    Length {
        /// Values, codes or scales.
        what: &'static str,
        /// The array's sizes.
        shape: Vec<usize>,
        /// What there is.
        got: usize,
        /// What there should be.
        want: usize,
    },
}

/// The axis of a shape as the kernels want it. An array without an axis is one element along one.
///
/// # Errors
/// The shape has no such axis.
pub(crate) fn axis_of(shape: &[usize], axis: i64) -> Result<Axis, ShapeError> {
    let refused = || ShapeError::Axis { axis, shape: shape.to_vec() };
    if shape.is_empty() && (axis == 0 || axis == -1) {
        return Ok(Axis { outer: 1, len: 1, inner: 1 });
    }
    let n = i64::try_from(shape.len()).map_err(|_| refused())?;
    let place = if axis < 0 { axis.checked_add(n) } else { Some(axis) };
    let place = place.filter(|place| (0..n).contains(place)).ok_or_else(refused)?;
    let place = usize::try_from(place).map_err(|_| refused())?;
    if shape.contains(&0) {
        // The other sizes of an array of nothing have no bound.
        return Ok(Axis { outer: 0, len: shape[place], inner: 1 });
    }
    Ok(Axis {
        outer: shape[..place].iter().product(),
        len: shape[place],
        inner: shape[place + 1..].iter().product(),
    })
}

impl Quantized {
    /// Quantizes an array of the sizes `shape`, in C order. The random word of element `i` is word `i` of the stream
    /// (seed, tool, 0, step).
    ///
    /// # Errors
    /// The shape has no such axis, no second one for tiles, or another number of values.
    pub fn new(values: &[f32], shape: &[usize], way: &Way) -> Result<Self, ShapeError> {
        let axis = check(shape, way)?;
        let want = axis.elements();
        check_length("values", (values.len(), want), shape)?;
        let args = way.args(axis, values);
        let mut scales = vec![0; blocks::scale_count(&way.coding, axis)];
        let isa = Isa::best();
        let (codes, factor) = match way.coding.bits() {
            ..=8 => {
                let mut codes = vec![0u8; want];
                let factor = blocks::codes(isa, args, &mut codes, &mut scales);
                (Codes::Bytes(codes), factor)
            }
            9..=16 => {
                let mut codes = vec![0u16; want];
                let factor = blocks::codes(isa, args, &mut codes, &mut scales);
                (Codes::Words(codes), factor)
            }
            _ => {
                let mut codes = vec![0u32; want];
                let factor = blocks::codes(isa, args, &mut codes, &mut scales);
                (Codes::Long(codes), factor)
            }
        };
        Ok(Self { way: *way, shape: shape.to_vec(), codes, scales, factor })
    }

    /// An array from its parts, as they come from a file.
    ///
    /// # Errors
    /// They do not belong together.
    pub fn from_parts(
        way: Way,
        shape: &[usize],
        codes: Codes,
        scales: Vec<u8>,
        factor: f32,
    ) -> Result<Self, ShapeError> {
        let axis = check(shape, &way)?;
        for (what, got, want) in [
            ("codes", codes.len(), axis.elements()),
            ("scales", scales.len(), blocks::scale_count(&way.coding, axis)),
        ] {
            check_length(what, (got, want), shape)?;
        }
        Ok(Self { way, shape: shape.to_vec(), codes, scales, factor })
    }

    /// The axis along which blocks run.
    #[must_use]
    pub fn axis(&self) -> Axis {
        // The shape was checked when this was made.
        axis_of(&self.shape, self.way.axis).unwrap_or(Axis { outer: 1, len: self.codes.len(), inner: 1 })
    }

    /// What the codes are worth in binary32, rounded once where that cannot hold it.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.codes.len()];
        let (coding, axis, scales) = (&self.way.coding, self.axis(), &self.scales);
        match &self.codes {
            Codes::Bytes(codes) => blocks::decode(coding, axis, codes, scales, self.factor, &mut out),
            Codes::Words(codes) => blocks::decode(coding, axis, codes, scales, self.factor, &mut out),
            Codes::Long(codes) => blocks::decode(coding, axis, codes, scales, self.factor, &mut out),
        }
        out
    }

    /// What quantizing `values` did.
    ///
    /// # Panics
    /// When `values` are not as many as the codes.
    #[must_use]
    pub fn statistics(&self, values: &[f32], decoded: &[f32]) -> Statistics {
        blocks::statistics(&self.way.args(self.axis(), values), &self.scales, self.factor, decoded)
    }

    /// The same array quantized again from its own values; a way that keeps every code and scale is idempotent there.
    ///
    /// # Errors
    /// None for an array that was made here.
    pub fn again(&self) -> Result<Self, ShapeError> {
        Self::new(&self.values(), &self.shape, &self.way)
    }

    /// Sizes of the array of scales.
    #[must_use]
    pub fn scale_shape(&self) -> Vec<usize> {
        scale_shape(&self.shape, &self.way)
    }
}

/// Sizes of the array of scales: a tensor's single scale has none.
#[must_use]
pub(crate) fn scale_shape(shape: &[usize], way: &Way) -> Vec<usize> {
    let (Some(extent), false) = (way.coding.extent(), shape.is_empty()) else { return vec![] };
    let n = shape.len();
    let place = usize::try_from(way.axis)
        .unwrap_or_else(|_| n.saturating_sub(usize::try_from(way.axis.unsigned_abs()).unwrap_or(n)));
    let mut sizes = shape.to_vec();
    match extent {
        Extent::Tensor => return vec![],
        Extent::Line => sizes[place] = usize::from(sizes[place] > 0),
        Extent::Run(run) => sizes[place] = sizes[place].div_ceil(run as usize),
        Extent::Tile(tile) => {
            // Lines that are neighbours: those of the dimension in front, all in front as one, or all behind.
            let product = |sizes: &[usize]| sizes.iter().fold(1usize, |n, size| n.saturating_mul(*size));
            let (front, behind) = (product(&shape[..place]), product(&shape[place + 1..]));
            let len = sizes[place].div_ceil(tile as usize);
            return if behind == 1 {
                vec![front.div_ceil(tile as usize), len]
            } else {
                vec![front, len, behind.div_ceil(tile as usize)]
            };
        }
    }
    sizes
}

/// The axis, if the way fits the shape.
pub(crate) fn check(shape: &[usize], way: &Way) -> Result<Axis, ShapeError> {
    let axis = axis_of(shape, way.axis)?;
    if let Some(extent @ Extent::Tile(_)) = way.coding.extent()
        && shape.len() < 2
    {
        return Err(ShapeError::Tile { extent: extent.to_string(), shape: shape.to_vec() });
    }
    Ok(axis)
}

/// Refuses another number of something than the shape has.
pub(crate) fn check_length(
    what: &'static str,
    (got, want): (usize, usize),
    shape: &[usize],
) -> Result<(), ShapeError> {
    if got == want { Ok(()) } else { Err(ShapeError::Length { what, shape: shape.to_vec(), got, want }) }
}
