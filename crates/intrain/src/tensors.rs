//! Arrays of codes, scales and values in files: NPY, NPZ and safetensors, in and out.
//!
//! A quantized array in an NPZ file has the members `codes`, `scales`, `tensor_scale` and `meta` (JSON as bytes); in a
//! safetensors file the same names, the types of today (F8_E4M3, F8_E8M0, packed U8), and the JSON's keys as metadata. Files of
//! other people are read by the names in use.

mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use intrain_data::bounded::{MAX_BYTES, read_file};
use intrain_data::npy::{self, Kind, Npy, Order};
use intrain_data::{DataError, archive};
use intrain_formats::explain::Seen;
use intrain_formats::pack::{self, PackError};
use intrain_formats::{Codes, Quantized, ShapeError, Way};
use intrain_num::block::{Coding, NvRule};
use intrain_num::minifloat::{FloatFormat, Number};
use intrain_train::ArtefactError;
use intrain_train::checkpoint::{self, Dtype, RawTensor};

pub use write::{write_bytes, write_codes, write_quantized, write_values};

/// A file of arrays that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorsError {
    /// What is wrong in a file, and the remedy.
    #[error("{}: {problem}", .path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// The array, its value, the limit and the remedy.
        problem: String,
    },
    /// A file that is no array.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file that is no sound safetensors file, or that cannot be written.
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    /// A shape that does not fit.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Codes that do not fill bytes.
    #[error(transparent)]
    Pack(#[from] PackError),
}

/// An array of a file, C order.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedArray {
    /// Its name; empty in an NPY file.
    pub name: String,
    /// Its type, in the file's words.
    pub dtype: String,
    /// Sizes, slowest dimension first.
    pub shape: Vec<usize>,
    /// Its elements.
    pub elements: Elements,
}

/// The elements of an array.
#[derive(Debug, Clone, PartialEq)]
pub enum Elements {
    /// Numbers; those of float64 are exact here, too.
    Floats(Vec<f64>),
    /// Integers, and codes of small floats, as bits of at most 32.
    Codes(Vec<u32>),
}

/// A file's arrays and what it says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arrays {
    /// The file, for messages.
    pub path: PathBuf,
    /// In the order of the file.
    pub arrays: Vec<NamedArray>,
    /// Metadata; empty without any.
    pub meta: BTreeMap<String, String>,
}

/// Names that codes, scales and factors have in files: alone, or behind a `.` or a `_`.
const CODES: [&str; 7] = ["codes", "qdata", "data", "payload", "weight_packed", "elements", "weight"];
const SCALES: [&str; 5] = ["scales", "scale", "weight_scale", "block_scale", "shared_exponents"];
const FACTORS: [&str; 4] = ["tensor_scale", "factor", "weight_scale_2", "global_scale"];
/// The factor of compressed-tensors: what the numbers were multiplied by, so a value is divided by it.
const DIVISOR: &str = "weight_global_scale";

impl Arrays {
    /// Reads a file by its ending.
    ///
    /// # Errors
    /// It is missing, damaged, or of another kind.
    pub fn read(path: &Path) -> Result<Self, TensorsError> {
        let bytes = read_file(path, MAX_BYTES)?;
        Self::parse(&bytes, path)
    }

    /// Reads a file's bytes: NPY, NPZ or safetensors, as they begin.
    ///
    /// # Errors
    /// They are damaged, or of another kind.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, TensorsError> {
        let mut read = Self { path: path.to_owned(), ..Self::default() };
        if bytes.starts_with(b"\x93NUMPY") {
            read.arrays.push(from_npy(String::new(), &npy::parse(bytes, path)?, path)?);
        } else if bytes.starts_with(b"PK") {
            for (name, bytes) in archive::read(bytes, path)? {
                let npy = npy::parse(&bytes, path)?;
                if name == "meta" {
                    read.meta = serde_json::from_slice(npy.bytes).unwrap_or_default();
                } else {
                    read.arrays.push(from_npy(name, &npy, path)?);
                }
            }
        } else if path.extension().is_some_and(|ending| ending == "safetensors") {
            let (meta, tensors) = checkpoint::parse_raw_safetensors(bytes, path)?;
            read.meta = meta;
            read.arrays =
                tensors.into_iter().map(|tensor| from_raw(tensor, path)).collect::<Result<_, _>>()?;
        } else {
            return Err(read.refused("is no NPY, NPZ or safetensors file; name a file of one of these kinds"));
        }
        Ok(read)
    }

    /// The array that has one of the names.
    fn named(&self, names: &[&str]) -> Option<&NamedArray> {
        names.iter().find_map(|name| self.arrays.iter().find(|array| has_name(array, name)))
    }

    /// Refuses a file with the codes of several tensors.
    fn check_is_one(&self) -> Result<(), TensorsError> {
        for name in CODES {
            let all: Vec<&str> =
                self.arrays.iter().filter(|array| has_name(array, name)).map(|array| &*array.name).collect();
            if all.len() > 1 {
                return Err(self.refused(format!(
                    "holds the codes of several tensors ({}); save each in a file of its own",
                    all.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// The number that all values are multiplied by, if there is one.
    fn factor(&self) -> Option<f32> {
        let array = self.named(&FACTORS)?;
        let Elements::Floats(values) = &array.elements else { return None };
        #[allow(clippy::cast_possible_truncation, reason = "a float32 in the file")]
        let factor = *values.first()? as f32;
        Some(if has_name(array, DIVISOR) { 1.0 / factor } else { factor })
    }

    /// The only array of numbers, in binary32.
    ///
    /// # Errors
    /// There are several or none, they are integers, or float64 numbers that binary32 does not hold.
    pub fn floats(&self) -> Result<(Vec<f32>, Vec<usize>), TensorsError> {
        let mut arrays = self.arrays.iter();
        let (Some(array), None) = (arrays.next(), arrays.next()) else {
            let names: Vec<&str> = self.arrays.iter().map(|array| &*array.name).collect();
            return Err(self.refused(format!(
                "holds {} arrays ({}), and one of numbers is needed; save it as an NPY file",
                names.len(),
                names.join(", ")
            )));
        };
        Ok((self.as_floats(array)?, array.shape.clone()))
    }

    fn as_floats(&self, array: &NamedArray) -> Result<Vec<f32>, TensorsError> {
        let Elements::Floats(values) = &array.elements else {
            return Err(self.refused(format!("holds {}; convert it to float32 or float16", array.dtype)));
        };
        let exact = |(i, x): (usize, &f64)| {
            #[allow(clippy::cast_possible_truncation, reason = "what is lost is refused")]
            let narrow = *x as f32;
            if f64::from(narrow) == *x || x.is_nan() {
                return Ok(narrow);
            }
            Err(self.refused(format!(
                "element {i} is {x:e}, which binary32 does not hold; formats of at most 32 bits are rounded from that: \
                 convert the array to float32"
            )))
        };
        values.iter().enumerate().map(exact).collect()
    }

    /// Codes, scales and a factor by their names; an NPY file of bytes is what its number of elements says.
    ///
    /// # Errors
    /// No array has a name that is known.
    pub fn seen(&self, scales_alone: impl Fn(&NamedArray) -> bool) -> Result<Seen, TensorsError> {
        let codes_of = |array: &NamedArray| match &array.elements {
            Elements::Codes(codes) => Some(codes.clone()),
            Elements::Floats(_) => None,
        };
        let bytes_of = |array: &NamedArray| -> Option<Vec<u8>> {
            codes_of(array)?.into_iter().map(|code| u8::try_from(code).ok()).collect()
        };
        if let [only] = &self.arrays[..] {
            return Ok(match &only.elements {
                Elements::Floats(_) => Seen { values: Some(self.as_floats(only)?), ..Seen::default() },
                Elements::Codes(_) if scales_alone(only) || SCALES.contains(&&*only.name) => {
                    Seen { scales: bytes_of(only), ..Seen::default() }
                }
                Elements::Codes(codes) => Seen { codes: Some(codes.clone()), ..Seen::default() },
            });
        }
        self.check_is_one()?;
        let codes = self.named(&CODES);
        let scales = self.named(&SCALES).filter(|array| codes.is_none_or(|codes| codes.name != array.name));
        if codes.is_none() && scales.is_none() {
            let names: Vec<&str> = self.arrays.iter().map(|array| &*array.name).collect();
            return Err(self.refused(format!(
                "holds {}; name its arrays {} and {}, and the factor of a tensor {}",
                names.join(", "),
                CODES[0],
                SCALES[0],
                FACTORS[0]
            )));
        }
        if let Some(NamedArray { name, dtype, elements: Elements::Floats(_), .. }) = scales {
            return Err(self.refused(format!(
                "its scales, '{name}', are {dtype}; scales are codes of 8 bits, E8M0 or E4M3: write them so"
            )));
        }
        let (codes, scales) = (codes.and_then(codes_of), scales.and_then(bytes_of));
        Ok(Seen { codes, scales, values: None, factor: self.factor() })
    }

    /// The sizes of the array of codes, if there is one.
    #[must_use]
    pub fn codes_shape(&self) -> Option<&[usize]> {
        let only = if let [only] = &self.arrays[..] { Some(only) } else { None };
        self.named(&CODES).or(only).map(|array| &*array.shape)
    }

    /// A quantized array, of the way that the file says or that was asked for.
    ///
    /// # Errors
    /// The file says no way, or its arrays do not belong together.
    pub fn quantized(&self, way: Option<Way>) -> Result<Quantized, TensorsError> {
        let way = match (way, self.meta.get("format")) {
            (Some(way), Some(_)) if !is_read_alike(&way.coding, &self.way()?.coding) => {
                return Err(self.refused(format!(
                    "says that it is {}, not {}; leave --of out",
                    self.way()?.coding,
                    way.coding
                )));
            }
            (Some(way), _) => way,
            (None, Some(_)) => self.way()?,
            (None, None) => {
                return Err(
                    self.refused("does not say its format; `intrain requantize FILE --of FORMAT --out NEW.npz` writes one that does")
                );
            }
        };
        let seen = self.seen(|_| false)?;
        if let (Coding::Plain { .. }, Some(array)) = (&way.coding, self.named(&CODES))
            && let Elements::Floats(_) = array.elements
        {
            // The file's own type is the format: its codes are those of its values.
            return Ok(Quantized::new(&self.as_floats(array)?, &array.shape, &way)?);
        }
        let (Some(codes), Some(array)) = (seen.codes, self.named(&CODES)) else {
            return Err(self.refused(format!("has no array '{}' of codes; name it so", CODES[0])));
        };
        let bits = way.coding.bits();
        let mut shape = array.shape.clone();
        let is_packed = pack::is_packed(bits) && self.meta.get("order").is_none_or(|order| order != "none");
        let codes = if is_packed {
            let order = match self.meta.get("order") {
                Some(order) => order.parse().map_err(|e| self.refused(format!("order '{order}' is {e}")))?,
                None => pack::Order::LowFirst,
            };
            let bytes: Vec<u8> = codes.iter().map(|code| code.to_le_bytes()[0]).collect();
            if let Some(row) = shape.last_mut() {
                *row = row.saturating_mul(8) / bits as usize;
            }
            Codes::Bytes(pack::unpack(&bytes, bits, shape.last().copied().unwrap_or(1), order)?)
        } else {
            codes_of_bits(codes, bits)
        };
        let scales = seen.scales.unwrap_or_default();
        let needs_factor =
            matches!(way.coding, Coding::Nvfp4 { rule, .. } if rule != NvRule::TorchaoOneLevel);
        if needs_factor && seen.factor.is_none() {
            let names: Vec<&str> = self.arrays.iter().map(|array| &*array.name).collect();
            return Err(self.refused(format!(
                "holds {}, and no factor of the tensor, which values of {} are multiplied by; name it {}, or read the file as \
                 nvfp4@torchao-1level, which has none",
                names.join(", "),
                way.coding,
                FACTORS[0]
            )));
        }
        Ok(Quantized::from_parts(way, &shape, codes, scales, seen.factor.unwrap_or(1.0))?)
    }

    /// The way that the file says.
    fn way(&self) -> Result<Way, TensorsError> {
        let text = |key: &str| self.meta.get(key).map_or("", String::as_str);
        let wrong =
            |key: &str| self.refused(format!("its {key} '{}' is none; write the file again", text(key)));
        let number = |key: &str, usual: i64| text(key).parse().unwrap_or(usual);
        Ok(Way {
            round: text("round").parse().map_err(|_| wrong("round"))?,
            axis: number("axis", -1),
            seed: u64::try_from(number("seed", 1)).unwrap_or(1),
            ..Way::new(text("format").parse::<Coding>().map_err(|_| wrong("format"))?)
        })
    }

    fn refused(&self, problem: impl Into<String>) -> TensorsError {
        TensorsError::Input { path: self.path.clone(), problem: problem.into() }
    }
}

/// Whether an array has a name, alone or as the last part of its own.
fn has_name(array: &NamedArray, name: &str) -> bool {
    array.name.strip_suffix(name).is_some_and(|front| front.is_empty() || front.ends_with(['.', '_']))
}

/// Whether the same bytes are the same values in both: rules of scales do not matter for that, but NVFP4's factor does.
fn is_read_alike(a: &Coding, b: &Coding) -> bool {
    match (a, b) {
        (Coding::Plain { format: a, .. }, Coding::Plain { format: b, .. }) => a == b,
        (Coding::Scaled { element: a, extent: e, .. }, Coding::Scaled { element: b, extent: f, .. }) => {
            a == b && e == f
        }
        (Coding::Nvfp4 { extent: a, .. }, Coding::Nvfp4 { extent: b, .. }) => a == b,
        _ => false,
    }
}

fn codes_of_bits(codes: Vec<u32>, bits: u32) -> Codes {
    #[allow(clippy::cast_possible_truncation, reason = "codes of a format have its bits; others are cut")]
    match bits {
        ..=8 => Codes::Bytes(codes.into_iter().map(|code| code as u8).collect()),
        9..=16 => Codes::Words(codes.into_iter().map(|code| code as u16).collect()),
        _ => Codes::Long(codes),
    }
}

/// An NPY file's array, in C order.
fn from_npy(name: String, npy: &Npy<'_>, path: &Path) -> Result<NamedArray, TensorsError> {
    let dtype = npy.type_name();
    let elements = match npy.floats() {
        Some(floats) => Elements::Floats(in_c_order(floats.collect(), npy)),
        None => {
            let wide = npy.kind == Kind::Bool || npy.item_bytes > 4;
            let integers = npy.integers().filter(|_| !wide).ok_or_else(|| TensorsError::Input {
                path: path.to_owned(),
                problem: format!(
                    "{}{dtype}; codes are integers of 8, 16 or 32 bits, values floats",
                    if name.is_empty() { "holds ".to_owned() } else { format!("array '{name}' is of ") }
                ),
            })?;
            let mask = u32::MAX >> (32 - 8 * npy.item_bytes.min(4));
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the bits of 32 or fewer"
            )]
            let codes = integers.map(|x| x as u32 & mask).collect();
            Elements::Codes(in_c_order(codes, npy))
        }
    };
    Ok(NamedArray { name, dtype, shape: npy.shape.clone(), elements })
}

/// The elements of a file with the first dimension contiguous, in the order of those with the last.
fn in_c_order<T: Copy>(elements: Vec<T>, npy: &Npy<'_>) -> Vec<T> {
    if npy.contiguous == Order::C || npy.shape.len() < 2 {
        return elements;
    }
    let place = |i: usize| {
        let (mut rest, mut at) = (i, 0);
        let mut strides = Vec::with_capacity(npy.shape.len());
        npy.shape.iter().fold(1, |stride, size| {
            strides.push(stride);
            stride * size
        });
        for (size, stride) in npy.shape.iter().zip(&strides).rev() {
            at += rest % size * stride;
            rest /= size;
        }
        elements[at]
    };
    (0..elements.len()).map(place).collect()
}

/// A tensor of a safetensors file.
fn from_raw(tensor: RawTensor, path: &Path) -> Result<NamedArray, TensorsError> {
    let RawTensor { name, dtype, shape, bytes } = tensor;
    let words = |width: usize| {
        bytes
            .chunks_exact(width)
            .map(|item| item.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte)))
    };
    #[allow(clippy::cast_possible_truncation, reason = "words of at most 32 bits")]
    let codes = |width: usize| Elements::Codes(words(width).map(|word| word as u32).collect());
    #[allow(clippy::cast_possible_truncation, reason = "words of at most 32 bits")]
    let small = |format: FloatFormat| {
        Elements::Floats(words(2).map(|word| format.decode(word as u32).to_f64()).collect())
    };
    let binary16 = "binary16".parse().unwrap_or(FloatFormat::BFLOAT16);
    let elements = match dtype {
        Dtype::F32 => Elements::Floats(words(4).map(|word| f32_of(word).into()).collect()),
        Dtype::F64 => Elements::Floats(words(8).map(f64::from_bits).collect()),
        Dtype::BF16 => small(FloatFormat::BFLOAT16),
        Dtype::F16 => small(binary16),
        Dtype::U16 | Dtype::I16 => codes(2),
        Dtype::U32 | Dtype::I32 => codes(4),
        _ if dtype.bitsize() <= 8 => codes(1),
        _ => {
            let problem =
                format!("tensor '{name}' is of type {dtype}; codes have up to 32 bits, values are floats");
            return Err(TensorsError::Input { path: path.to_owned(), problem });
        }
    };
    Ok(NamedArray { name, dtype: dtype.to_string(), shape, elements })
}

#[allow(clippy::cast_possible_truncation, reason = "a word of 32 bits")]
fn f32_of(word: u64) -> f32 {
    f32::from_bits(word as u32)
}

/// What a number of an array is, where it cannot be quantized.
#[must_use]
pub fn first_nan(values: &[f32]) -> Option<usize> {
    values.iter().position(|x| matches!(Number::from_f32(*x), Number::Nan { .. }))
}
