//! MATLAB's MAT-files of version 5, as far as data sets need them: named arrays of whole numbers from 0 to 255.
//!
//! Source: `MathWorks`, MAT-File Format. A header of 128 bytes, then elements: a tag of type and size, and data up to
//! the next multiple of 8 bytes; up to 4 bytes of data lie in the tag itself. An array is an element of elements:
//! flags, dimensions, name, numbers; as it is or deflated.
//!
//! Pure functions over bytes. No size is believed before it was compared with what is there, so that memory is bounded
//! by the file and by what its arrays may unpack to.

use std::path::Path;

use flate2::bufread::ZlibDecoder;

use crate::DataError;
use crate::bounded::{AGAIN, read_promised, read_start, too_long};

/// A named array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Its name, up to 63 bytes; what is not UTF-8 in it is replaced.
    pub name: String,
    /// Sizes, fastest dimension first; 1 to 8 of them.
    pub shape: Vec<usize>,
    /// Values, 0 to 255; as many as the product of `shape`.
    pub values: Vec<u8>,
}

const HEADER_BYTES: usize = 128;
/// The end of the header: version 5, and the letters by which a reader knows the order of bytes.
const VERSION_AND_ORDER: [u8; 4] = *b"\x00\x01IM";
/// Greatest number of dimensions; SVHN has 4.
const MAX_DIMENSIONS: usize = 8;
/// Longest name, in bytes; MATLAB allows no longer ones.
const MAX_NAME: usize = 63;

/// Bytes of a tag: a type and a size.
const TAG_BYTES: usize = 8;
/// Bytes at the beginning of an unpacked element in which all lies that stands before the numbers: tags of the array, of
/// flags (8 bytes), dimensions (4 each), name and numbers.
const START_BYTES: u64 = (5 * TAG_BYTES + 8 + 4 * MAX_DIMENSIONS + MAX_NAME.next_multiple_of(8)) as u64;

// Types of elements.
const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const DOUBLE: u32 = 9;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

// Classes of arrays, and the flag of those that have an imaginary part.
const CLASS_DOUBLE: u8 = 6;
const CLASS_UINT8: u8 = 9;
const COMPLEX: u8 = 8;

/// Reads all arrays of a file; those that are deflated may unpack to `limit` bytes together.
///
/// # Errors
/// The file is not a little-endian MAT-file of version 5, is damaged, or unpacks to more than `limit`; or an array is
/// complex, of a class other than double and uint8, or has a value that is not a whole number from 0 to 255.
pub fn parse(bytes: &[u8], limit: u64, path: &Path) -> Result<Vec<Array>, DataError> {
    let wrong = |problem: String| DataError::file(path, problem, AGAIN);
    if is_hdf5(bytes) {
        let problem = "is an HDF5 file, as MATLAB 7.3 writes them, expected a MAT-file of version 5";
        let remedy = "save it with save(..., '-v7') in MATLAB, or with scipy.io.savemat in Python";
        return Err(DataError::file(path, problem, remedy));
    }
    let Some((header, mut rest)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(wrong(format!("holds {} bytes, expected at least {HEADER_BYTES}", bytes.len())));
    };
    let found = &header[HEADER_BYTES - VERSION_AND_ORDER.len()..];
    if found != VERSION_AND_ORDER {
        let problem = format!("has {found:02x?} at the end of its header, expected {VERSION_AND_ORDER:02x?}");
        let remedy = "this is not a little-endian MAT-file of version 5: get it again";
        return Err(DataError::file(path, problem, remedy));
    }
    let mut left = limit;
    let mut arrays = Vec::new();
    while !rest.is_empty() {
        let array = match element(&mut rest).map_err(wrong)? {
            (COMPRESSED, packed) => {
                let start = read_start(ZlibDecoder::new(packed), START_BYTES, path, AGAIN)?;
                let promised = promise(&start).map_err(wrong)?;
                let Some(rest_of_limit) = left.checked_sub(promised) else {
                    return Err(too_long(path, left));
                };
                left = rest_of_limit;
                only_array(&read_promised(ZlibDecoder::new(packed), promised, path, AGAIN)?)
            }
            (kind, data) => expect(MATRIX, "an array", kind).and_then(|()| array(data)),
        };
        arrays.push(array.map_err(wrong)?);
    }
    Ok(arrays)
}

/// Whether this is HDF5, of MATLAB or of another program: MATLAB puts its own 512 bytes in front of HDF5's signature.
pub(crate) fn is_hdf5(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89HDF\r\n\x1a\n") || bytes.starts_with(b"MATLAB 7.3")
}

/// The array that an unpacked element consists of.
fn only_array(mut bytes: &[u8]) -> Result<Array, String> {
    let data = next(&mut bytes, MATRIX, "an array")?;
    at_end(bytes, "an array")?;
    array(data)
}

/// Bytes that an unpacked element consists of, by its tag; the headers in its array are checked against that. `start` is
/// the element, or [`START_BYTES`] of it.
fn promise(start: &[u8]) -> Result<u64, String> {
    let (kind, n_bytes) = tag(start)?;
    expect(MATRIX, "an array", kind)?;
    let mut inside = &start[TAG_BYTES..];
    let head = Head::parse(&mut inside)?;
    // Exact: a usize fits u64 on every target of the project. The numbers' own tag may hold them, as of small ones.
    let before = (start.len() - TAG_BYTES - inside.len()) as u64;
    let numbers_end = before.saturating_add(head.n_bytes as u64);
    if numbers_end > n_bytes as u64 {
        return Err(format!("has {} of {} bytes in an array of {n_bytes}", head.name, head.n_bytes));
    }
    Ok((TAG_BYTES as u64).saturating_add((n_bytes as u64).next_multiple_of(8)))
}

/// What stands in an array before its numbers: flags, dimensions, name, and the tag of the numbers.
struct Head {
    name: String,
    shape: Vec<usize>,
    /// Type of the numbers, [`UINT8`] or [`DOUBLE`].
    kind: u32,
    /// Bytes of the numbers.
    n_bytes: usize,
}

impl Head {
    /// Takes it from the beginning of an array, up to the tag of the numbers, which is left.
    fn parse(bytes: &mut &[u8]) -> Result<Self, String> {
        check_flags(next(bytes, UINT32, "flags")?)?;
        let shape = parse_shape(next(bytes, INT32, "dimensions")?)?;
        let name = next(bytes, INT8, "a name")?;
        if name.len() > MAX_NAME {
            return Err(format!("has a name of {} bytes, the limit is {MAX_NAME}", name.len()));
        }
        let name = String::from_utf8_lossy(name).into_owned();
        let (kind, n_bytes) = tag(bytes)?;
        let item_bytes = match kind {
            UINT8 => 1,
            DOUBLE => 8,
            _ => return Err(format!("has {name} in numbers of type {kind}, expected {UINT8} or {DOUBLE}")),
        };
        let expected = shape.iter().try_fold(item_bytes, |product: usize, &size| product.checked_mul(size));
        if expected != Some(n_bytes) {
            let expected = expected.map_or("more than can be addressed".to_owned(), |n| n.to_string());
            return Err(format!("has {name} of shape {shape:?} in {n_bytes} bytes, expected {expected}"));
        }
        Ok(Self { name, shape, kind, n_bytes })
    }
}

/// The elements of an array: flags, dimensions, name, numbers.
fn array(mut bytes: &[u8]) -> Result<Array, String> {
    let Head { name, shape, kind, .. } = Head::parse(&mut bytes)?;
    let (_, numbers) = element(&mut bytes)?;
    at_end(bytes, "numbers")?;
    let values = if kind == UINT8 { numbers.to_vec() } else { to_bytes(numbers, &name)? };
    Ok(Array { name, shape, values })
}

/// The class lies in the lowest byte of the flags' first word, what the array has beside numbers in the next one.
fn check_flags(flags: &[u8]) -> Result<(), String> {
    let &[class, beside, _, _, _, _, _, _] = flags else {
        return Err(format!("has {} bytes of flags, expected 8", flags.len()));
    };
    if ![CLASS_DOUBLE, CLASS_UINT8].contains(&class) {
        return Err(format!(
            "has an array of class {class}, expected {CLASS_DOUBLE} (double) or {CLASS_UINT8} (uint8)"
        ));
    }
    if beside & COMPLEX != 0 {
        return Err(format!(
            "has an array of flags 0x{beside:02x}, but 0x{COMPLEX:02x} (complex) is not read"
        ));
    }
    Ok(())
}

fn parse_shape(dimensions: &[u8]) -> Result<Vec<usize>, String> {
    let (sizes, rest) = dimensions.as_chunks::<4>();
    if !rest.is_empty() || !(1..=MAX_DIMENSIONS).contains(&sizes.len()) {
        let n_bytes = dimensions.len();
        return Err(format!(
            "has {n_bytes} bytes of dimensions, expected 4 for each of 1 to {MAX_DIMENSIONS}"
        ));
    }
    let to_size = |&size: &[u8; 4]| {
        let size = i32::from_le_bytes(size);
        usize::try_from(size).map_err(|_| format!("has a dimension of {size}, expected at least 0"))
    };
    sizes.iter().map(to_size).collect()
}

/// Bytes of doubles that are whole numbers from 0 to 255.
fn to_bytes(doubles: &[u8], name: &str) -> Result<Vec<u8>, String> {
    let (doubles, _) = doubles.as_chunks::<8>();
    let to_byte = |(index, &double): (usize, &[u8; 8])| {
        let x = f64::from_le_bytes(double);
        // Saturates, and takes NaN for 0; the comparison finds both.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "compared below")]
        let byte = x as u8;
        let is_whole = f64::from(byte).total_cmp(&x).is_eq();
        is_whole.then_some(byte).ok_or_else(|| {
            format!("has value {index} of {name} as {x}, expected a whole number from 0 to 255")
        })
    };
    doubles.iter().enumerate().map(to_byte).collect()
}

/// The type of the next element, and the bytes of its data.
fn tag(bytes: &[u8]) -> Result<(u32, usize), String> {
    let Some(&[a, b, c, d, ref size @ ..]) = bytes.first_chunk::<TAG_BYTES>() else {
        return Err(format!("ends in a tag, after {} of {TAG_BYTES} bytes", bytes.len()));
    };
    // Of a small element the first word holds both type and size, and the second one its data.
    let small_size = usize::from(u16::from_le_bytes([c, d]));
    if small_size > size.len() {
        return Err(format!("has {small_size} bytes in a tag, the limit is {}", size.len()));
    }
    if small_size != 0 {
        return Ok((u32::from_le_bytes([a, b, 0, 0]), small_size));
    }
    // Exact: u32 fits usize on every target of the project.
    Ok((u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(*size) as usize))
}

/// Takes the next element: its type and its data.
fn element<'a>(bytes: &mut &'a [u8]) -> Result<(u32, &'a [u8]), String> {
    let (kind, size) = tag(bytes)?;
    let (tag, rest) = bytes.split_at(TAG_BYTES);
    let is_small = tag[2..4] != [0, 0];
    if is_small {
        *bytes = rest;
        return Ok((kind, &tag[4..4 + size]));
    }
    let Some(data) = rest.get(..size) else {
        return Err(format!("has an element of {size} bytes, but only {} are left", rest.len()));
    };
    // Deflated data is not filled up, and the last element need not be.
    let taken = if kind == COMPRESSED { size } else { size.next_multiple_of(8).min(rest.len()) };
    *bytes = &rest[taken..];
    Ok((kind, data))
}

/// Takes the data of the next element, which must be of this type.
fn next<'a>(bytes: &mut &'a [u8], expected: u32, what: &str) -> Result<&'a [u8], String> {
    let (kind, data) = element(bytes)?;
    expect(expected, what, kind).map(|()| data)
}

fn expect(expected: u32, what: &str, found: u32) -> Result<(), String> {
    let problem = || format!("has an element of type {found}, expected {expected} ({what})");
    (found == expected).then_some(()).ok_or_else(problem)
}

fn at_end(rest: &[u8], what: &str) -> Result<(), String> {
    let problem = || format!("has {} bytes behind {what}, expected 0", rest.len());
    rest.is_empty().then_some(()).ok_or_else(problem)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use super::*;

    fn padded(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = [kind.to_le_bytes(), u32::try_from(data.len()).unwrap().to_le_bytes()].concat();
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn flags(class: u8, beside: u8) -> Vec<u8> {
        padded(UINT32, &[class, beside, 0, 0, 0, 0, 0, 0])
    }

    fn dimensions(shape: &[i32]) -> Vec<u8> {
        padded(INT32, &shape.iter().flat_map(|size| size.to_le_bytes()).collect::<Vec<_>>())
    }

    /// Up to four bytes in a tag.
    fn small(kind: u16, data: &[u8]) -> Vec<u8> {
        let size = u16::try_from(data.len()).unwrap();
        let mut bytes = [&kind.to_le_bytes()[..], &size.to_le_bytes(), data].concat();
        bytes.resize(8, 0);
        bytes
    }

    /// An array with its name in a tag.
    pub(crate) fn matrix(name: &str, shape: &[i32], kind: u32, numbers: &[u8]) -> Vec<u8> {
        let parts =
            [flags(CLASS_UINT8, 0), dimensions(shape), small(1, name.as_bytes()), padded(kind, numbers)];
        padded(MATRIX, &parts.concat())
    }

    pub(crate) fn file(elements: &[Vec<u8>]) -> Vec<u8> {
        [&[b' '; 124][..], &VERSION_AND_ORDER, &elements.concat()].concat()
    }

    pub(crate) fn deflated(element: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(element).unwrap();
        let data = encoder.finish().unwrap();
        [&COMPRESSED.to_le_bytes(), &u32::try_from(data.len()).unwrap().to_le_bytes(), &data[..]].concat()
    }

    fn doubles(values: &[f64]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    fn array_of(name: &str, shape: &[usize], values: &[u8]) -> Array {
        Array { name: name.to_owned(), shape: shape.to_vec(), values: values.to_vec() }
    }

    fn message(elements: &[Vec<u8>]) -> String {
        parse(&file(elements), 1000, Path::new("f")).unwrap_err().to_string()
    }

    #[test]
    fn arrays_are_read_as_they_are_or_deflated() {
        let arrays =
            [matrix("X", &[3, 1], UINT8, &[7, 8, 9]), matrix("y", &[2, 1], DOUBLE, &doubles(&[10.0, 255.0]))];
        let expected = [array_of("X", &[3, 1], &[7, 8, 9]), array_of("y", &[2, 1], &[10, 255])];
        let packed = arrays.each_ref().map(|array| deflated(array));
        for elements in [&arrays, &packed] {
            assert_eq!(parse(&file(elements), 1000, Path::new("f")).unwrap(), expected);
        }
        assert_eq!(parse(&file(&[]), 0, Path::new("f")).unwrap(), []);
    }

    #[test]
    fn names_and_numbers_may_lie_in_their_tags_or_behind_them() {
        let parts =
            [flags(CLASS_DOUBLE, 0), dimensions(&[2, 2]), padded(INT8, b"labels"), small(2, &[4, 3, 2, 1])];
        let bytes = file(&[padded(MATRIX, &parts.concat())]);
        let expected = [array_of("labels", &[2, 2], &[4, 3, 2, 1])];
        assert_eq!(parse(&bytes, 0, Path::new("f")).unwrap(), expected);
    }

    #[test]
    fn what_is_unpacked_is_bounded_together() {
        let array = matrix("X", &[10, 10], UINT8, &[0; 100]);
        let bytes = file(&[deflated(&array), deflated(&array)]);
        let enough = 2 * array.len() as u64;
        assert_eq!(parse(&bytes, enough, Path::new("f")).unwrap().len(), 2);
        let message = parse(&bytes, enough - 1, Path::new("f")).unwrap_err().to_string();
        assert!(message.contains(&format!("holds more than {} bytes", enough / 2 - 1)), "{message}");
    }

    #[test]
    fn nothing_is_unpacked_beyond_what_headers_promise() {
        // What was cut off would be missed by whoever unpacked to the end.
        let cut = |element: &[u8]| {
            let packed = deflated(element);
            let n_bytes = u32::try_from(packed.len() - 8 - 4).unwrap();
            [&packed[..4], &n_bytes.to_le_bytes(), &packed[8..packed.len() - 4]].concat()
        };
        let long = vec![0; 1 << 20];
        let message = |element: &[u8], limit| {
            parse(&file(&[cut(element)]), limit, Path::new("f")).unwrap_err().to_string()
        };
        let wrong_shape = matrix("X", &[3, 1], UINT8, &long);
        assert!(message(&wrong_shape, 1 << 30).contains("of shape [3, 1] in 1048576 bytes, expected 3"));
        let right = matrix("X", &[1024, 1024], UINT8, &long);
        assert!(message(&right, 1 << 20).contains("holds more than 1048576 bytes"));
        assert!(message(&right, 1 << 30).contains("cannot be read"));
        // The array is said to end before its numbers do.
        let mut too_small = right;
        too_small[4..8].copy_from_slice(&100_u32.to_le_bytes());
        assert!(message(&too_small, 1 << 30).contains("has X of 1048576 bytes in an array of 100"));
        let longer = [&matrix("X", &[3, 1], UINT8, &[7, 8, 9])[..], &long].concat();
        assert!(message(&longer, 1 << 30).contains("holds more than the 64 bytes that its header promises"));
    }

    #[test]
    fn files_of_other_kinds_are_named() {
        let message = |bytes: &[u8]| parse(bytes, 1000, Path::new("f")).unwrap_err().to_string();
        assert_eq!(
            message(b"MATLAB"),
            "f: holds 6 bytes, expected at least 128; if it was downloaded, it is damaged: remove it and run \
             `intrain data fetch` again; if it is your own, write it again"
        );
        let of_matlab = [&b"MATLAB 7.3 MAT-file, Platform: GLNXA64"[..], &[b' '; 474], b"\x89HDF\r\n\x1a\n"];
        for bytes in [&of_matlab.concat()[..], b"\x89HDF\r\n\x1a\n"] {
            let message = message(bytes);
            assert!(message.contains("is an HDF5 file") && message.contains("'-v7'"), "{message}");
        }
        let mut big_endian = file(&[]);
        big_endian[124..].copy_from_slice(b"\x01\x00MI");
        assert!(message(&big_endian).contains("has [01, 00, 4d, 49] at the end of its header"));
        let whole =
            file(&[matrix("X", &[3, 1], UINT8, &[7, 8, 9]), deflated(&matrix("y", &[0], UINT8, &[]))]);
        for cut in (0..whole.len()).filter(|&cut| cut != 128 && cut != 192) {
            assert!(parse(&whole[..cut], 1000, Path::new("f")).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn faults_of_elements_are_named() {
        let array = matrix("X", &[3, 1], UINT8, &[7, 8, 9]);
        let cases = [
            (array[..5].to_vec(), "ends in a tag, after 5 of 8 bytes"),
            (array[..60].to_vec(), "has an element of 56 bytes, but only 52 are left"),
            (padded(UINT8, &[0]), "has an element of type 2, expected 14 (an array)"),
            (deflated(&padded(UINT8, &[0])), "has an element of type 2, expected 14 (an array)"),
            (
                deflated(&[&array[..], &[0; 8]].concat()),
                "holds more than the 64 bytes that its header promises",
            ),
            (padded(COMPRESSED, b"rubbish!"), "cannot be read"),
            (matrix("Xlong", &[1], UINT8, &[0]), "has 5 bytes in a tag, the limit is 4"),
        ];
        for (element, expected) in cases {
            let message = message(&[element]);
            assert!(message.starts_with("f: ") && message.contains(expected), "{message}\n{expected}");
        }
    }

    #[test]
    fn faults_of_arrays_are_named() {
        let [name, one] = [small(1, b"X"), dimensions(&[1])];
        let real = flags(CLASS_UINT8, 0);
        let of = |parts: &[&[u8]]| padded(MATRIX, &parts.concat());
        let cases = [
            (matrix("X", &[4, 1], UINT8, &[7, 8, 9]), "X of shape [4, 1] in 3 bytes, expected 4"),
            (matrix("X", &[2], DOUBLE, &[0; 15]), "X of shape [2] in 15 bytes, expected 16"),
            (matrix("X", &[i32::MAX; 3], UINT8, &[7]), "expected more than can be addressed"),
            (matrix("X", &[-1, 1], UINT8, &[]), "has a dimension of -1, expected at least 0"),
            (matrix("X", &[], UINT8, &[7]), "has 0 bytes of dimensions, expected 4 for each of 1 to 8"),
            (matrix("X", &[1; 9], UINT8, &[7]), "has 36 bytes of dimensions"),
            (matrix("X", &[1], 4, &[0, 0]), "has X in numbers of type 4, expected 2 or 9"),
            (matrix("X", &[1], DOUBLE, &doubles(&[0.5])), "has value 0 of X as 0.5, expected a whole number"),
            (matrix("X", &[2], DOUBLE, &doubles(&[255.0, 256.0])), "has value 1 of X as 256"),
            (matrix("X", &[1], DOUBLE, &doubles(&[-1.0])), "has value 0 of X as -1"),
            (matrix("X", &[1], DOUBLE, &doubles(&[f64::NAN])), "has value 0 of X as NaN"),
            (of(&[&flags(4, 0), &one, &name, &small(2, &[7])]), "of class 4, expected 6 (double) or 9"),
            (of(&[&flags(CLASS_UINT8, COMPLEX), &one, &name, &small(2, &[7])]), "0x08 (complex) is not read"),
            (of(&[&padded(UINT32, &[9])]), "has 1 bytes of flags, expected 8"),
            (of(&[&real, &name]), "has an element of type 1, expected 5 (dimensions)"),
            (of(&[&real, &one, &padded(INT8, &[b'n'; 64])]), "has a name of 64 bytes, the limit is 63"),
            (of(&[&real, &one, &name, &small(2, &[7]), &name]), "has 8 bytes behind numbers, expected 0"),
        ];
        for (array, expected) in cases {
            let message = message(&[array]);
            assert!(message.starts_with("f: ") && message.contains(expected), "{message}\n{expected}");
        }
    }
}
