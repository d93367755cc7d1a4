//! NPY arrays: a header that is a Python dictionary, then the values. Source: NEP 1, `numpy.lib.format`.
//!
//! Pure functions over bytes: [`parse`] reads, [`to_bytes`] writes. The header is parsed here, not by a library, because the
//! sizes come from outside: their product is checked before anything is multiplied or allocated, and no nesting is followed.

use std::path::Path;

use crate::DataError;
use crate::bounded::COPY_AGAIN;

/// An array, as it lies in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Npy<'a> {
    /// What a value is.
    pub kind: Kind,
    /// Bytes of a value: 1, 2, 4 or 8.
    pub item_bytes: usize,
    /// Byte order of a value.
    pub order: ByteOrder,
    /// The dimension along which values are neighbours.
    pub contiguous: Order,
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

elements!(
    f32 = "<f4",
    f64 = "<f8",
    i8 = "|i1",
    u8 = "|u1",
    u16 = "<u2",
    u32 = "<u4",
    i16 = "<i2",
    i32 = "<i4",
    i64 = "<i8"
);

/// Longest header that is read; numpy writes 118 bytes.
const MAX_HEADER: usize = 4096;
/// Bytes at the beginning of a file that are enough for its header: magic number, version, length, and the longest header.
pub(crate) const START_BYTES: u64 = 12 + MAX_HEADER as u64;

/// Reads an array.
///
/// # Errors
/// Wrong magic number or version, a header that is not numpy's, a type other than bool, int, uint or float of 1 to 8
/// bytes, or a length other than the header's.
pub fn parse<'a>(bytes: &'a [u8], path: &Path) -> Result<Npy<'a>, DataError> {
    let header = Header::parse(bytes, path)?;
    // Exact: a usize fits u64 on every target of the project.
    header.check_length(bytes.len() as u64, path)?;
    let Header { kind, item_bytes, order, contiguous, shape, values_at } = header;
    Ok(Npy { kind, item_bytes, order, contiguous, shape, bytes: &bytes[values_at..] })
}

/// What is known of an array before its values are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// As in [`Npy`].
    pub(crate) kind: Kind,
    /// As in [`Npy`].
    pub(crate) item_bytes: usize,
    /// As in [`Npy`].
    pub(crate) order: ByteOrder,
    /// As in [`Npy`].
    pub(crate) contiguous: Order,
    /// As in [`Npy`].
    pub(crate) shape: Vec<usize>,
    /// Where the values begin in the file; at most the length of what the header was read from.
    pub(crate) values_at: usize,
}

impl Header {
    /// Reads it from the beginning of a file, of which [`START_BYTES`] are enough.
    ///
    /// # Errors
    /// As [`parse`], but for the length.
    pub(crate) fn parse(start: &[u8], path: &Path) -> Result<Self, DataError> {
        let (header, values_at) = split_header(start, path)?;
        let (kind, item_bytes, order) = parse_type(field(header, "descr", path)?, path)?;
        let contiguous = match field(header, "fortran_order", path)? {
            "False" => Order::C,
            "True" => Order::Fortran,
            other => {
                return Err(bad_header(path, &format!("fortran_order is {other}, expected False or True")));
            }
        };
        let shape = parse_shape(field(header, "shape", path)?, path)?;
        Ok(Self { kind, item_bytes, order, contiguous, shape, values_at })
    }

    /// Compares the length of the whole file with what the header promises.
    ///
    /// # Errors
    /// They differ, or the promise is more than can be addressed.
    pub(crate) fn check_length(&self, file_bytes: u64, path: &Path) -> Result<(), DataError> {
        let Self { item_bytes, shape, values_at, .. } = self;
        let found = file_bytes.saturating_sub(*values_at as u64);
        let expected = shape.iter().try_fold(*item_bytes, |product, &size| product.checked_mul(size));
        if expected.is_some_and(|expected| expected as u64 == found) {
            return Ok(());
        }
        let expected = expected.map_or("more than can be addressed".to_owned(), |n| n.to_string());
        let problem = format!(
            "has {found} bytes of values, expected {expected} (shape {shape:?} of {item_bytes} bytes)"
        );
        Err(DataError::file(path, problem, COPY_AGAIN))
    }

    /// The type in numpy's words: `float32`.
    pub(crate) fn type_name(&self) -> String {
        type_name(self.kind, self.item_bytes)
    }
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
    /// The values as signed integers, in the order of the file; `None` where the array holds floats.
    #[must_use]
    pub fn integers(&self) -> Option<impl Iterator<Item = i128>> {
        let (signed, unused) = (self.kind == Kind::Signed, 64 - 8 * u32::try_from(self.item_bytes).ok()?);
        let to_integer = move |word: u64| {
            // Exact: shifting up and down again repeats the sign bit of the narrow value.
            if signed { i128::from((word << unused).cast_signed() >> unused) } else { i128::from(word) }
        };
        (self.kind != Kind::Float).then(|| self.words().map(to_integer))
    }

    /// The values of an array of float16, float32 or float64, exactly, in the order of the file; `None` for any other.
    #[must_use]
    pub fn floats(&self) -> Option<impl Iterator<Item = f64>> {
        let item_bytes = self.item_bytes;
        #[allow(clippy::cast_possible_truncation, reason = "a word of 2 bytes fits u16, one of 4 bytes u32")]
        let to_float = move |word: u64| match item_bytes {
            2 => from_half(word as u16),
            4 => f64::from(f32::from_bits(word as u32)),
            _ => f64::from_bits(word),
        };
        (self.kind == Kind::Float).then(|| self.words().map(to_float))
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
        type_name(self.kind, self.item_bytes)
    }
}

/// The type in numpy's words.
pub(crate) fn type_name(kind: Kind, item_bytes: usize) -> String {
    let bits = 8 * item_bytes;
    match kind {
        Kind::Bool => "bool".to_owned(),
        Kind::Signed => format!("int{bits}"),
        Kind::Unsigned => format!("uint{bits}"),
        Kind::Float => format!("float{bits}"),
    }
}

/// The value of an IEEE 754 float of 16 bits: a sign, 5 bits of exponent, 10 bits of fraction.
fn from_half(bits: u16) -> f64 {
    let (exponent, fraction) = ((bits >> 10) & 0x1f, bits & 0x3ff);
    let magnitude = match (exponent, fraction) {
        (0, _) => f64::from(fraction) / f64::from(1_u32 << 24),
        (0x1f, 0) => f64::INFINITY,
        (0x1f, _) => f64::NAN,
        _ => f64::from_bits(((u64::from(exponent) + 1023 - 15) << 52) | (u64::from(fraction) << 42)),
    };
    if bits >> 15 == 0 { magnitude } else { -magnitude }
}

/// The text of the header, and where the values begin.
fn split_header<'a>(bytes: &'a [u8], path: &Path) -> Result<(&'a str, usize), DataError> {
    let Some(rest) = bytes.strip_prefix(b"\x93NUMPY") else {
        return Err(DataError::file(
            path,
            "does not begin with \\x93NUMPY",
            "this is not an NPY file: save it again",
        ));
    };
    let cut =
        || DataError::file(path, format!("ends in its header, after {} bytes", bytes.len()), COPY_AGAIN);
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
    let header = rest.get(..header_bytes).ok_or_else(cut)?;
    let header = std::str::from_utf8(header).map_err(|_| bad_header(path, "it is not UTF-8"))?;
    Ok((header, bytes.len() - rest.len() + header_bytes))
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
    // Under Python 2, numpy wrote long integers with an L behind them: `(20L, 3L)`.
    let to_size = |size: &str| size.strip_suffix('L').unwrap_or(size).parse().map_err(|_| wrong());
    inner.split(',').map(|size| to_size(size.trim())).collect()
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
        let bytes = file(&header("<u2", "(0,)"), &[]);
        assert!(parse(&bytes, Path::new("f")).unwrap().floats().is_none());
    }

    #[test]
    fn halves_are_exact() {
        let cases = [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x0001, 2.0_f64.powi(-24)),
            (0x03ff, 1023.0 * 2.0_f64.powi(-24)),
            (0x0400, 2.0_f64.powi(-14)),
            (0x3c00, 1.0),
            (0x3c01, 1.0 + 2.0_f64.powi(-10)),
            (0xc000, -2.0),
            (0x7bff, 65_504.0),
            (0x7c00, f64::INFINITY),
            (0xfc00, f64::NEG_INFINITY),
        ];
        let values: Vec<u8> = cases.iter().flat_map(|&(bits, _)| u16::to_be_bytes(bits)).collect();
        let bytes = file(&header(">f2", &format!("({},)", cases.len())), &values);
        let array = parse(&bytes, Path::new("f")).unwrap();
        let found: Vec<u64> = array.floats().unwrap().map(f64::to_bits).collect();
        assert_eq!(found, cases.map(|(_, value)| value.to_bits()));
        assert!(from_half(0x7e00).is_nan());
        assert_eq!(array.type_name(), "float16");
    }

    #[test]
    fn headers_of_python_2_and_fortran_order_are_read() {
        let bytes = file(&header("|u1", "(2L, 3L)"), &[1, 2, 3, 4, 5, 6]);
        assert_eq!(parse(&bytes, Path::new("f")).unwrap().shape, [2, 3]);
        let bytes = file(&header("|u1", "(6L,)").replace("False", "True"), &[1, 2, 3, 4, 5, 6]);
        let array = parse(&bytes, Path::new("f")).unwrap();
        assert_eq!((&array.shape[..], array.contiguous), (&[6][..], Order::Fortran));
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
        assert_eq!(parse(&bytes, Path::new("f")).unwrap().contiguous, Order::Fortran);
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
            (file(&header("|u1", "(1,)").replace("False", "Maybe"), &[0]), "fortran_order is Maybe"),
            (file(&header("|u1", "(1LL,)"), &[0]), "shape is (1LL,)"),
        ];
        for (bytes, expected) in cases {
            let message = parse(&bytes, Path::new("f")).unwrap_err().to_string();
            assert!(message.starts_with("f: ") && message.contains(expected), "{message}\n{expected}");
        }
    }
}
