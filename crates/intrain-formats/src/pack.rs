//! Codes of fewer than 8 bits in bytes.
//!
//! Two 4-bit codes share a byte, the even one in the low or in the high half. 6-bit codes lie bit after bit, from the lowest of
//! the first byte on: four in three bytes.

use std::fmt;
use std::str::FromStr;

/// Which of two neighbours lies in the low half of a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The first: torchao, TransformerEngine, aiter.
    #[default]
    LowFirst,
    /// The second.
    HighFirst,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LowFirst => "low-first",
            Self::HighFirst => "high-first",
        })
    }
}

/// What stands in place of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no order of halves; write low-first or high-first")]
pub struct NoOrder;

impl FromStr for Order {
    type Err = NoOrder;

    fn from_str(text: &str) -> Result<Self, NoOrder> {
        [Self::LowFirst, Self::HighFirst].into_iter().find(|order| order.to_string() == text).ok_or(NoOrder)
    }
}

/// What cannot be packed or unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// Codes that do not fill a row of bytes.
    #[error("rows of {len} codes of {bits} bits end within a byte; pad them to a multiple of {multiple}")]
    Row {
        /// Codes of a row.
        len: usize,
        /// Bits of a code.
        bits: u32,
        /// What the row's length must be a multiple of.
        multiple: usize,
    },
    /// Bytes that do not hold whole codes.
    #[error(
        "{bytes} bytes hold no whole number of codes of {bits} bits in rows of {len}; the file is cut, or of another shape"
    )]
    Bytes {
        /// Bytes.
        bytes: usize,
        /// Bits of a code.
        bits: u32,
        /// Codes of a row.
        len: usize,
    },
}

/// Codes that share whole bytes, and those bytes; `None` for widths that are not packed.
const fn group(bits: u32) -> Option<(usize, usize)> {
    match bits {
        4 => Some((2, 1)),
        6 => Some((4, 3)),
        _ => None,
    }
}

/// Whether codes of a width are packed.
#[must_use]
pub const fn is_packed(bits: u32) -> bool {
    group(bits).is_some()
}

/// Packs codes in rows of `len`. Widths other than 4 and 6 stay a byte each.
///
/// # Errors
/// A row ends within a byte.
pub fn pack(codes: &[u8], bits: u32, len: usize, order: Order) -> Result<Vec<u8>, PackError> {
    let Some((together, _)) = group(bits) else { return Ok(codes.to_vec()) };
    if !len.is_multiple_of(together) {
        return Err(PackError::Row { len, bits, multiple: together });
    }
    Ok(match order {
        _ if bits == 6 => codes
            .chunks(4)
            .flat_map(|c| {
                let all = c.iter().rev().fold(0u32, |all, code| all << 6 | u32::from(code & 63));
                let [a, b, c, _] = all.to_le_bytes();
                [a, b, c]
            })
            .collect(),
        Order::LowFirst => codes.chunks(2).map(|c| c[0] & 15 | c[1] << 4).collect(),
        Order::HighFirst => codes.chunks(2).map(|c| c[1] & 15 | c[0] << 4).collect(),
    })
}

/// The codes that bytes hold, in rows of `len`.
///
/// # Errors
/// The bytes hold no whole rows.
pub fn unpack(bytes: &[u8], bits: u32, len: usize, order: Order) -> Result<Vec<u8>, PackError> {
    let Some((together, in_bytes)) = group(bits) else { return Ok(bytes.to_vec()) };
    let row = len / together * in_bytes;
    if !len.is_multiple_of(together) || !bytes.len().is_multiple_of(row) {
        return Err(PackError::Bytes { bytes: bytes.len(), bits, len });
    }
    Ok(match order {
        _ if bits == 6 => bytes
            .chunks(3)
            .flat_map(|b| {
                let all = u32::from_le_bytes([b[0], b[1], b[2], 0]);
                [0, 6, 12, 18].map(|place| (all >> place & 63).to_le_bytes()[0])
            })
            .collect(),
        Order::LowFirst => bytes.iter().flat_map(|b| [b & 15, b >> 4]).collect(),
        Order::HighFirst => bytes.iter().flat_map(|b| [b >> 4, b & 15]).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_back_and_lie_as_said() {
        let codes: Vec<u8> = (0..24).map(|i| i * 7 % 64).collect();
        for (bits, order) in
            [(4, Order::LowFirst), (4, Order::HighFirst), (6, Order::LowFirst), (8, Order::LowFirst)]
        {
            let codes: Vec<u8> = codes.iter().map(|c| c & (0xff >> (8 - bits))).collect();
            let bytes = pack(&codes, bits, 12, order).unwrap();
            assert_eq!(bytes.len(), 24 * bits as usize / 8);
            assert_eq!(unpack(&bytes, bits, 12, order), Ok(codes), "{bits} {order}");
        }
        assert_eq!(pack(&[1, 2], 4, 2, Order::LowFirst), Ok(vec![0x21]));
        assert_eq!(pack(&[1, 2], 4, 2, Order::HighFirst), Ok(vec![0x12]));
        assert_eq!(pack(&[1, 2, 3, 4], 6, 4, Order::LowFirst), Ok(vec![0x81, 0x30, 0x10]));
        assert!(pack(&[1, 2, 3], 4, 3, Order::LowFirst).is_err());
        assert!(unpack(&[1, 2, 3], 4, 4, Order::LowFirst).is_err());
        assert_eq!("low-first".parse(), Ok(Order::LowFirst));
        assert!("low".parse::<Order>().is_err());
    }
}
