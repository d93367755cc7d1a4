//! NPY arrays: a header that is a Python dictionary, then the values. Source: NEP 1, `numpy.lib.format`.
//!
//! Pure functions over bytes: [`parse`] reads, [`to_bytes`] writes. The header is parsed here, not by a library, because the
//! sizes come from outside: their product is checked before anything is multiplied or allocated, and no nesting is followed.

use std::path::Path;

use crate::DataError;
use crate::bounded::AGAIN;

/// An array in C order, as it lies in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Npy<'a> {
    /// What a value is.
    pub kind: Kind,
    /// Bytes of a value: 1, 2, 4 or 8.
    pub item_bytes: usize,
    /// Byte order of a value.
    pub order: ByteOrder,
    /// Sizes, slowest dimension first; empty for a single value.
    pub shape: Vec<usize>,
    /// The values: `item_bytes` times the product of `shape`.
    pub bytes: &'a [u8],
}

/// What a value of an array is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A truth value, 0 or 1.
    Bool,
    /// Two's complement.
    Signed,
    /// Unsigned.
    Unsigned,
    /// IEEE 754.
    Float,
}

/// Which byte of a value comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// The lowest.
    Little,
    /// The highest.
    Big,
}

/// Which dimension is contiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The last.
    C,
    /// The first.
    Fortran,
}

/// What can be written as a value.
pub trait Element: Copy {
    /// The type in the header.
    const DESCR: &'static str;
    /// Appends its little-endian bytes.
    fn append(self, bytes: &mut Vec<u8>);
}

macro_rules! elements {
    ($($type:ty = $descr:literal),+) => {$(
        impl Element for $type {
            const DESCR: &'static str = $descr;
            fn append(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    )+};
}

elements!(f32 = "<f4", f64 = "<f8", i32 = "<i4", i64 = "<i8");

/// Longest header that is read; numpy writes 118 bytes.
const MAX_HEADER: usize = 4096;

/// Reads an array.
///
/// # Errors
/// Wrong magic number or version, a header that is not numpy's, a type other than bool, int, uint or float of 1 to 8
/// bytes, Fortran order, or a length other than the header's.
pub fn parse<'a>(bytes: &'a [u8], path: &Path) -> Result<Npy<'a>, DataError> {
    let (header, values) = split_header(bytes, path)?;
    let (kind, item_bytes, order) = parse_type(field(header, "descr", path)?, path)?;
    match field(header, "fortran_order", path)? {
        "False" => {}
        "True" => {
            let remedy = "save it in C order: numpy.ascontiguousarray(x)";
            return Err(DataError::file(path, "is in Fortran order, expected C order", remedy));
        }
        other => return Err(bad_header(path, &format!("fortran_order is {other}, expected False"))),
    }
    let shape = parse_shape(field(header, "shape", path)?, path)?;
    let expected = shape.iter().try_fold(item_bytes, |product, &size| product.checked_mul(size));
    if expected != Some(values.len()) {
        let expected = expected.map_or("more than can be addressed".to_owned(), |n| n.to_string());
        let problem = format!(
            "has {} bytes of values, expected {expected} (shape {shape:?} of {item_bytes} bytes)",
            values.len()
        );
        return Err(DataError::file(path, problem, AGAIN));
    }
    Ok(Npy { kind, item_bytes, order, shape, bytes: values })
}

/// The bytes of an NPY file of version 1.0: `values` in the order in which they lie in an array of that shape and order.
///
/// # Errors
/// More dimensions than a header can name.
///
/// ```
/// use intrain_data::npy;
///
/// let bytes = npy::to_bytes(&[2, 3], npy::Order::C, (0..6).map(i64::from))?;
/// let array = npy::parse(&bytes, "x.npy".as_ref())?;
/// assert_eq!((array.shape.as_slice(), array.type_name().as_str()), (&[2, 3][..], "int64"));
/// # Ok::<(), intrain_data::DataError>(())
/// ```
pub fn to_bytes<T: Element>(
    shape: &[usize],
    order: Order,
    values: impl ExactSizeIterator<Item = T>,
) -> Result<Vec<u8>, DataError> {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let tuple = match &sizes[..] {
        [one] => format!("({one},)"),
        many => format!("({})", many.join(", ")),
    };
    let fortran = if order == Order::Fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{}', 'fortran_order': {fortran}, 'shape': {tuple}, }}", T::DESCR);
    // Magic, version, length and header together are a multiple of 64, and end in a line feed.
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.push_str(&" ".repeat(padded - 1 - header.len()));
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(|_| DataError::Setting {
        setting: "the number of an array's dimensions",
        value: sizes.len().to_string(),
        limit: "small enough for a header of 65535 bytes; reshape the array".to_owned(),
    })?;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.reserve(values.len() * size_of::<T>());
    values.for_each(|value| value.append(&mut bytes));
    Ok(bytes)
}

impl Npy<'_> {
    /// The values as signed integers; `None` where the array holds floats.
    #[must_use]
    pub fn integers(&self) -> Option<impl Iterator<Item = i128>> {
        let (signed, unused) = (self.kind == Kind::Signed, 64 - 8 * u32::try_from(self.item_bytes).ok()?);
        let to_integer = move |word: u64| {
            // Exact: shifting up and down again repeats the sign bit of the narrow value.
            if signed { i128::from((word << unused).cast_signed() >> unused) } else { i128::from(word) }
        };
        (self.kind != Kind::Float).then(|| self.words().map(to_integer))
    }

    /// The values of an array of float32 or float64; `None` for any other.
    #[must_use]
    pub fn floats(&self) -> Option<impl Iterator<Item = f64>> {
        let single = self.item_bytes == 4;
        // Exact: every f32 is an f64; the word of an f32 has 32 bits.
        #[allow(clippy::cast_possible_truncation, reason = "a word of 4 bytes fits u32")]
        let to_float =
            move |w: u64| if single { f64::from(f32::from_bits(w as u32)) } else { f64::from_bits(w) };
        (self.kind == Kind::Float && self.item_bytes >= 4).then(|| self.words().map(to_float))
    }

    /// The bits of every value in the low end of a word.
    fn words(&self) -> impl Iterator<Item = u64> {
        let push = |word: u64, &byte: &u8| (word << 8) | u64::from(byte);
        let order = self.order;
        self.bytes.chunks_exact(self.item_bytes).map(move |item| match order {
            ByteOrder::Big => item.iter().fold(0, push),
            ByteOrder::Little => item.iter().rev().fold(0, push),
        })
    }

    /// The type in numpy's words: `float32`.
    #[must_use]
    pub fn type_name(&self) -> String {
        let bits = 8 * self.item_bytes;
        match self.kind {
            Kind::Bool => "bool".to_owned(),
            Kind::Signed => format!("int{bits}"),
            Kind::Unsigned => format!("uint{bits}"),
            Kind::Float => format!("float{bits}"),
        }
    }
}

fn split_header<'a>(bytes: &'a [u8], path: &Path) -> Result<(&'a str, &'a [u8]), DataError> {
    let Some(rest) = bytes.strip_prefix(b"\x93NUMPY") else {
        return Err(DataError::file(
            path,
            "does not begin with \\x93NUMPY",
            "this is not an NPY file: save it again",
        ));
    };
    let cut = || DataError::file(path, format!("ends in its header, after {} bytes", bytes.len()), AGAIN);
    // Bound: the length field is compared with MAX_HEADER before it is used.
    let (header_bytes, rest) = match *rest {
        [1, 0, a, b, ref rest @ ..] => (usize::from(u16::from_le_bytes([a, b])), rest),
        [2 | 3, 0, a, b, c, d, ref rest @ ..] => (u32::from_le_bytes([a, b, c, d]) as usize, rest),
        [major, minor, ..] if !(1..=3).contains(&major) || minor != 0 => {
            let problem = format!("is of version {major}.{minor}, expected 1.0, 2.0 or 3.0");
            return Err(DataError::file(path, problem, "save it again with numpy.save"));
        }
        _ => return Err(cut()),
    };
    if header_bytes > MAX_HEADER {
        return Err(bad_header(path, &format!("it has {header_bytes} bytes, the limit is {MAX_HEADER}")));
    }
    let (header, values) = rest.split_at_checked(header_bytes).ok_or_else(cut)?;
    let header = std::str::from_utf8(header).map_err(|_| bad_header(path, "it is not UTF-8"))?;
    Ok((header, values))
}

/// The text of a value: what follows `'name':`, up to the comma or brace, or for a tuple up to its end.
fn field<'a>(header: &'a str, name: &str, path: &Path) -> Result<&'a str, DataError> {
    let find = || {
        let (_, rest) = header.split_once(&format!("'{name}'"))?;
        let rest = rest.trim_start().strip_prefix(':')?.trim_start();
        let end = if rest.starts_with('(') { rest.find(')')? + 1 } else { rest.find([',', '}'])? };
        Some(rest[..end].trim_end())
    };
    find().ok_or_else(|| bad_header(path, &format!("it lacks '{name}'")))
}

fn parse_type(descr: &str, path: &Path) -> Result<(Kind, usize, ByteOrder), DataError> {
    let parse = || {
        let inner = descr.strip_prefix('\'')?.strip_suffix('\'')?;
        let mut letters = inner.chars();
        let order = match letters.next()? {
            '<' | '|' => ByteOrder::Little,
            '>' => ByteOrder::Big,
            _ => return None,
        };
        let (kind, sizes): (_, &[&str]) = match letters.next()? {
            'b' => (Kind::Bool, &["1"]),
            'i' => (Kind::Signed, &["1", "2", "4", "8"]),
            'u' => (Kind::Unsigned, &["1", "2", "4", "8"]),
            'f' => (Kind::Float, &["2", "4", "8"]),
            _ => return None,
        };
        let size = letters.as_str();
        sizes.contains(&size).then(|| size.parse().ok()).flatten().map(|item_bytes| (kind, item_bytes, order))
    };
    parse().ok_or_else(|| {
        let problem = format!("is of type {descr}, expected bool, int, uint or float of 1 to 8 bytes");
        DataError::file(path, problem, "convert it with numpy's astype")
    })
}

fn parse_shape(tuple: &str, path: &Path) -> Result<Vec<usize>, DataError> {
    let wrong = || bad_header(path, &format!("shape is {tuple}, expected a tuple of sizes"));
    let inner = tuple.strip_prefix('(').and_then(|t| t.strip_suffix(')')).ok_or_else(wrong)?.trim();
    let inner = inner.strip_suffix(',').unwrap_or(inner);
    if inner.is_empty() {
        return Ok(Vec::new());
    }
    inner.split(',').map(|size| size.trim().parse().map_err(|_| wrong())).collect()
}

fn bad_header(path: &Path, what: &str) -> DataError {
    DataError::file(
        path,
        format!("has a header that numpy does not write: {what}"),
        "save it again with numpy.save",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, values: &[u8]) -> Vec<u8> {
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), values].concat()
    }

    fn header(descr: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}   \n")
    }

    #[test]
    fn integers_of_every_width_and_order() {
        let cases: [(&str, &[u8], i128); 9] = [
            ("|b1", &[1], 1),
            ("|i1", &[0x80], -128),
            ("|u1", &[0x80], 128),
            ("<i2", &[0xfe, 0xff], -2),
            (">i2", &[0xff, 0xfe], -2),
            ("<u4", &[0xfe, 0xff, 0xff, 0xff], 0xffff_fffe),
            (">i4", &[0x80, 0, 0, 0], -0x8000_0000),
            ("<i8", &[0xff; 8], -1),
            ("<u8", &[0xff; 8], 0xffff_ffff_ffff_ffff),
        ];
        for (descr, bytes, expected) in cases {
            let file = file(&header(descr, "(1,)"), bytes);
            let array = parse(&file, Path::new("f")).unwrap();
            assert_eq!(array.integers().unwrap().collect::<Vec<_>>(), [expected], "{descr}");
            assert!(array.floats().is_none());
        }
    }

    #[test]
    fn floats_and_shapes() {
        let values = [0.5_f32, -2.0].map(f32::to_be_bytes).concat();
        let bytes = file(&header(">f4", "(2, 1)"), &values);
        let array = parse(&bytes, Path::new("f")).unwrap();
        assert_eq!((array.shape.as_slice(), array.type_name().as_str()), (&[2, 1][..], "float32"));
        assert_eq!(array.floats().unwrap().collect::<Vec<_>>(), [0.5, -2.0]);
        let bytes = file(&header("<f8", "()"), &0.1_f64.to_le_bytes());
        let array = parse(&bytes, Path::new("f")).unwrap();
        assert_eq!(array.floats().unwrap().collect::<Vec<_>>(), [0.1]);
        let bytes = file(&header("<f2", "(0,)"), &[]);
        assert!(parse(&bytes, Path::new("f")).unwrap().floats().is_none());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let integers = [i64::MIN, -1, 0, 1, 77, i64::MAX];
        for shape in [&[6][..], &[2, 3], &[1, 6, 1]] {
            let bytes = to_bytes(shape, Order::C, integers.iter().copied()).unwrap();
            assert_eq!((bytes.len() - 8 * integers.len()) % 64, 0);
            let array = parse(&bytes, Path::new("f")).unwrap();
            assert_eq!((array.shape.as_slice(), array.type_name().as_str()), (shape, "int64"));
            assert!(array.integers().unwrap().eq(integers.map(i128::from)));
        }
        let floats = [0.1_f32, -0.0, f32::INFINITY];
        let bytes = to_bytes(&[3], Order::C, floats.into_iter()).unwrap();
        let array = parse(&bytes, Path::new("f")).unwrap();
        let back: Vec<u64> = array.floats().unwrap().map(f64::to_bits).collect();
        assert_eq!(back, floats.map(|x| f64::from(x).to_bits()));
        let bytes = to_bytes(&[0, 5], Order::C, std::iter::empty::<i32>()).unwrap();
        assert_eq!(parse(&bytes, Path::new("f")).unwrap().shape, [0, 5]);
        let bytes = to_bytes(&[1, 1], Order::Fortran, [0.5_f64].into_iter()).unwrap();
        assert!(parse(&bytes, Path::new("f")).unwrap_err().to_string().contains("Fortran order"));
        let message = to_bytes(&[1; 30_000], Order::C, [0_i32].into_iter()).unwrap_err().to_string();
        assert!(message.contains("dimensions is 30000") && message.contains("reshape"), "{message}");
    }

    #[test]
    fn faults_are_named() {
        let cases = [
            (b"PK".to_vec(), "does not begin with"),
            (b"\x93NUMPY".to_vec(), "ends in its header"),
            (b"\x93NUMPY\x09\x00\x00".to_vec(), "is of version 9.0"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "4294967295 bytes, the limit is 4096"),
            (file("{}", &[]), "it lacks 'descr'"),
            (file(&header("<c8", "(1,)"), &[0; 8]), "is of type '<c8'"),
            (file(&header("<i3", "(1,)"), &[0; 3]), "is of type '<i3'"),
            (file(&header("|u1", "(-1,)"), &[0]), "shape is (-1,)"),
            (file(&header("|u1", "(2,)"), &[0]), "has 1 bytes of values, expected 2"),
            (file(&header("|u1", "(2,)"), &[0; 3]), "has 3 bytes of values, expected 2"),
            (file(&header("<f8", "(4294967296, 4294967296)"), &[]), "more than can be addressed"),
            (file(&header("|u1", "(1,)").replace("False", "True"), &[0]), "Fortran order"),
        ];
        for (bytes, expected) in cases {
            let message = parse(&bytes, Path::new("f")).unwrap_err().to_string();
            assert!(message.starts_with("f: ") && message.contains(expected), "{message}\n{expected}");
        }
    }
}
