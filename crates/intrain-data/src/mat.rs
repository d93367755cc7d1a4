//! MATLAB's MAT-files of version 5, as far as data sets need them: named arrays of small whole numbers.
//!
//! A header of 128 bytes, then elements: a tag of type and size, and data up to the next multiple of 8 bytes; small data
//! lies in the tag itself. An array is an element of elements (flags, dimensions, name, numbers), as it is or deflated.
//! Invariant: no size is believed before it was compared with what is there.

use std::io::Read;
use std::path::Path;

use crate::DataError;
use crate::bounded::{AGAIN, MAX_BYTES};

/// A named array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Its name.
    pub name: String,
    /// Lengths of its dimensions; the first one counts fastest.
    pub shape: Vec<usize>,
    /// The numbers, 0 to 255.
    pub values: Vec<u8>,
}

const HEADER_BYTES: usize = 128;

// Types of elements.
const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const DOUBLE: u32 = 9;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// Reads all arrays of a file.
///
/// # Errors
/// The file is damaged or of another kind, or a number is not whole or not in 0..=255.
pub fn parse(bytes: &[u8], path: &Path) -> Result<Vec<Array>, DataError> {
    let wrong = |problem: String| DataError::file(path, problem, AGAIN);
    if bytes.len() < HEADER_BYTES || &bytes[124..HEADER_BYTES] != b"\x00\x01IM" {
        return Err(wrong("is no MAT-file of version 5 in little-endian order".to_owned()));
    }
    let mut rest = &bytes[HEADER_BYTES..];
    let mut arrays = Vec::new();
    while !rest.is_empty() {
        let (kind, data) = element(&mut rest).map_err(wrong)?;
        let array = match kind {
            MATRIX => array(data),
            COMPRESSED => inflate(data).and_then(|inflated| {
                let (kind, data) = element(&mut &inflated[..])?;
                if kind == MATRIX { array(data) } else { Err(format!("has an element of type {kind}")) }
            }),
            kind => Err(format!("has an element of type {kind}, expected arrays alone")),
        };
        arrays.push(array.map_err(wrong)?);
    }
    Ok(arrays)
}

fn inflate(data: &[u8]) -> Result<Vec<u8>, String> {
    let mut inflated = Vec::new();
    let read = flate2::read::ZlibDecoder::new(data).take(MAX_BYTES + 1).read_to_end(&mut inflated);
    read.map_err(|e| format!("holds an array that cannot be unpacked: {e}"))?;
    if inflated.len() as u64 > MAX_BYTES {
        return Err(format!("holds an array of more than {MAX_BYTES} bytes"));
    }
    Ok(inflated)
}

/// Takes the next element: its type and its data.
fn element<'a>(bytes: &mut &'a [u8]) -> Result<(u32, &'a [u8]), String> {
    let cut = || "ends in the middle of an element".to_owned();
    let (tag, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut)?;
    let [a, b, c, d, small @ ..] = *tag;
    let (kind, size) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(small));
    if c != 0 || d != 0 {
        // Up to four bytes in the place of the size.
        let size = usize::from(u16::from_le_bytes([c, d]));
        let data =
            bytes[4..8].get(..size).ok_or_else(|| format!("has {size} bytes in a tag, the limit is 4"))?;
        *bytes = rest;
        return Ok((u32::from(u16::from_le_bytes([a, b])), data));
    }
    let size = usize::try_from(size).map_err(|_| cut())?;
    let data = rest.get(..size).ok_or_else(cut)?;
    // Deflated data is not filled up.
    let whole = if kind == COMPRESSED { size } else { size.next_multiple_of(8).min(rest.len()) };
    *bytes = &rest[whole..];
    Ok((kind, data))
}

/// The elements of an array: flags, dimensions, name, numbers.
fn array(mut bytes: &[u8]) -> Result<Array, String> {
    let mut next = |expected: u32, what: &str| match element(&mut bytes)? {
        (kind, data) if kind == expected || expected == 0 => Ok((kind, data)),
        (kind, _) => Err(format!("has {what} of type {kind}, expected {expected}")),
    };
    let _flags = next(UINT32, "flags")?;
    let (_, dimensions) = next(INT32, "dimensions")?;
    let (_, name) = next(INT8, "a name")?;
    let (kind, numbers) = next(0, "numbers")?;
    let mut shape = Vec::new();
    let mut n = Some(1_usize);
    for length in dimensions.as_chunks::<4>().0 {
        let length =
            usize::try_from(i32::from_le_bytes(*length)).map_err(|_| "has a negative length".to_owned())?;
        n = n.and_then(|n| n.checked_mul(length));
        shape.push(length);
    }
    let name = String::from_utf8_lossy(name).into_owned();
    let values = match kind {
        UINT8 => numbers.to_vec(),
        DOUBLE => numbers
            .as_chunks::<8>()
            .0
            .iter()
            .map(|x| small(f64::from_le_bytes(*x)))
            .collect::<Result<_, _>>()?,
        kind => return Err(format!("has '{name}' in numbers of type {kind}, expected {UINT8} or {DOUBLE}")),
    };
    if n != Some(values.len()) {
        return Err(format!("has '{name}' of shape {shape:?} with {} numbers", values.len()));
    }
    Ok(Array { name, shape, values })
}

/// A whole number of 0 to 255.
fn small(x: f64) -> Result<u8, String> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "compared below")]
    let value = x as u8;
    if f64::from(value).to_bits() == x.to_bits() {
        Ok(value)
    } else {
        Err(format!("has {x}, expected 0 to 255"))
    }
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

    /// An array with its name in its tag.
    pub(crate) fn matrix(name: &str, shape: &[i32], kind: u32, numbers: &[u8]) -> Vec<u8> {
        let mut small = [1_u16.to_le_bytes(), u16::try_from(name.len()).unwrap().to_le_bytes()].concat();
        small.extend(name.bytes());
        small.resize(8, 0);
        let dimensions: Vec<u8> = shape.iter().flat_map(|length| length.to_le_bytes()).collect();
        let parts = [
            padded(UINT32, &[9, 0, 0, 0, 0, 0, 0, 0]),
            padded(INT32, &dimensions),
            small,
            padded(kind, numbers),
        ];
        padded(MATRIX, &parts.concat())
    }

    pub(crate) fn file(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![b' '; 124];
        bytes.extend(b"\x00\x01IM");
        elements.iter().for_each(|element| bytes.extend(element));
        bytes
    }

    pub(crate) fn deflated(element: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(element).unwrap();
        let data = encoder.finish().unwrap();
        [&COMPRESSED.to_le_bytes(), &u32::try_from(data.len()).unwrap().to_le_bytes(), &data[..]].concat()
    }

    #[test]
    fn arrays_are_read_as_they_are_or_deflated() {
        let doubles: Vec<u8> = [10.0_f64, 1.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let bytes = file(&[
            matrix("X", &[3, 1], UINT8, &[7, 8, 9]),
            deflated(&matrix("y", &[2, 1], DOUBLE, &doubles)),
        ]);
        let arrays = parse(&bytes, Path::new("f")).unwrap();
        assert_eq!(arrays[0], Array { name: "X".to_owned(), shape: vec![3, 1], values: vec![7, 8, 9] });
        assert_eq!((&arrays[1].name[..], &arrays[1].values[..]), ("y", &[10, 1][..]));
    }

    #[test]
    fn faults_are_named() {
        let message = |bytes: &[u8]| parse(bytes, Path::new("f")).unwrap_err().to_string();
        assert!(message(b"MATLAB").contains("no MAT-file of version 5"));
        let whole = file(&[matrix("X", &[3, 1], UINT8, &[7, 8, 9])]);
        assert!(message(&whole[..150]).contains("middle of an element"));
        assert!(message(&file(&[matrix("X", &[4, 1], UINT8, &[7, 8, 9])])).contains("[4, 1] with 3 numbers"));
        assert!(message(&file(&[matrix("X", &[-1, 1], UINT8, &[])])).contains("negative"));
        assert!(message(&file(&[matrix("X", &[1], 4, &[0, 0])])).contains("type 4"));
        assert!(message(&file(&[matrix("X", &[1], DOUBLE, &0.5_f64.to_le_bytes())])).contains("has 0.5"));
        assert!(message(&file(&[padded(UINT8, &[0])])).contains("type 2"));
    }
}
