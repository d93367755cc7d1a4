//! Protocol buffers: a message as its fields. Nothing is copied; a length is compared with what is there before anything is taken.

use crate::error::ImportError;

/// A field's value as it is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A varint.
    Int(u64),
    /// Four bytes.
    Four([u8; 4]),
    /// Eight bytes.
    Eight([u8; 8]),
    /// Bytes, a text, a message or a packed list.
    Bytes(Message<'a>),
}

/// The bytes of a message, and where they start in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

/// A field: its number, its value, and where it starts in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) value: Value<'a>,
    pub(crate) at: usize,
}

pub(crate) fn damaged(at: usize, problem: impl Into<String>) -> ImportError {
    ImportError::Damaged { at, problem: problem.into() }
}

impl<'a> Message<'a> {
    /// The next `n` bytes.
    fn take(&mut self, n: u64) -> Result<Self, ImportError> {
        let left = self.bytes.len();
        match usize::try_from(n).ok().and_then(|n| self.bytes.split_at_checked(n)) {
            Some((taken, rest)) => {
                let taken = Self { bytes: taken, at: self.at };
                *self = Self { bytes: rest, at: self.at + taken.bytes.len() };
                Ok(taken)
            }
            None => Err(damaged(self.at, format!("{n} bytes are announced and {left} are left"))),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        let taken = self.take(N as u64)?;
        taken.bytes.try_into().map_err(|_| damaged(taken.at, "a number ends early"))
    }

    fn varint(&mut self) -> Result<u64, ImportError> {
        let (at, mut value) = (self.at, 0_u64);
        for i in 0..10 {
            let [byte] = self.array()?;
            value |= u64::from(byte & 127) << (7 * i);
            if byte < 128 {
                return Ok(value);
            }
        }
        Err(damaged(at, "a number has more than ten bytes"))
    }

    /// All bytes as packed varints.
    pub(crate) fn varints(mut self) -> impl Iterator<Item = Result<u64, ImportError>> {
        std::iter::from_fn(move || (!self.bytes.is_empty()).then(|| self.varint()))
    }

    /// The bytes as a text.
    pub(crate) fn text(self) -> Result<&'a str, ImportError> {
        std::str::from_utf8(self.bytes).map_err(|_| damaged(self.at, "a text is not UTF-8"))
    }

    fn field(&mut self) -> Result<Field<'a>, ImportError> {
        let at = self.at;
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Int(self.varint()?),
            1 => Value::Eight(self.array()?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Four(self.array()?),
            kind => return Err(damaged(at, format!("a field has the unknown encoding {kind}"))),
        };
        Ok(Field { number: key >> 3, value, at })
    }
}

/// The fields, up to the first that is damaged.
impl<'a> Iterator for Message<'a> {
    type Item = Result<Field<'a>, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.bytes = &[];
        }
        Some(field)
    }
}

impl<'a> Field<'a> {
    /// A message, a text or bytes.
    pub(crate) fn message(self) -> Result<Message<'a>, ImportError> {
        match self.value {
            Value::Bytes(message) => Ok(message),
            _ => Err(damaged(self.at, format!("field {} is a number and should be a message", self.number))),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, ImportError> {
        self.message()?.text()
    }

    /// A number of 64 bits with its sign.
    pub(crate) fn int(self) -> Result<i64, ImportError> {
        match self.value {
            Value::Int(value) => Ok(value.cast_signed()),
            _ => Err(damaged(self.at, format!("field {} is no whole number", self.number))),
        }
    }

    pub(crate) fn float(self) -> Result<f32, ImportError> {
        match self.value {
            Value::Four(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(damaged(self.at, format!("field {} is no number of 4 bytes", self.number))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<Field<'_>>, ImportError> {
        Message { bytes, at: 0 }.collect()
    }

    #[test]
    fn fields_are_read_as_the_format_says() {
        let fields = all(&[0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1d, 0, 0, 0x80, 0x3f]).unwrap();
        assert_eq!(fields[0].int(), Ok(150));
        assert_eq!(fields[1].text(), Ok("hi"));
        assert_eq!(fields[2].float(), Ok(1.0));
        assert_eq!(fields.iter().map(|field| field.at).collect::<Vec<_>>(), [0, 3, 7]);
    }

    #[test]
    fn lengths_are_compared_with_what_is_there() {
        for (bytes, part) in [
            (&[0x12, 0x05, b'h'][..], "byte 2: 5 bytes are announced and 1 are left"),
            (
                &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                "are announced and 0 are left",
            ),
            (&[0xff; 11], "more than ten bytes"),
            (&[0x0b], "unknown encoding 3"),
            (&[0x0d, 1, 2], "announced"),
        ] {
            let message = all(bytes).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
