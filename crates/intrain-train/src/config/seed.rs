//! Seeds of 64 bits in TOML, whose integers have 63: a seed from 2^63 on is a text there.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

/// A seed as TOML has it.
#[must_use]
pub fn seed_value(seed: u64) -> toml::Value {
    i64::try_from(seed).map_or_else(|_| seed.to_string().into(), toml::Value::from)
}

/// The seed that a text means: a whole number of 64 bits, or a hexadecimal one behind `0x`.
fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        // A number has no sign behind its prefix.
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// Writes a seed.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
pub(super) fn serialize<S: Serializer>(seed: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    match i64::try_from(*seed) {
        Ok(seed) => serializer.serialize_i64(seed),
        Err(_) => serializer.serialize_str(&seed.to_string()),
    }
}

/// Reads a seed: an integer or a text.
///
/// # Errors
/// It is neither, or not within 64 bits.
pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(SeedVisitor)
}

/// Reads a list of seeds, as a sweep has one.
///
/// # Errors
/// One of them is no seed.
pub fn deserialize_seeds<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    #[derive(Deserialize)]
    struct Seed(#[serde(deserialize_with = "deserialize")] u64);
    Ok(Vec::<Seed>::deserialize(deserializer)?.into_iter().map(|Seed(seed)| seed).collect())
}

struct SeedVisitor;

impl Visitor<'_> for SeedVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number in 0..={}, in quotes where it is above {}", u64::MAX, i64::MAX)
    }

    fn visit_u64<E: Error>(self, seed: u64) -> Result<u64, E> {
        Ok(seed)
    }

    fn visit_i64<E: Error>(self, seed: i64) -> Result<u64, E> {
        u64::try_from(seed).map_err(|_| E::invalid_value(Unexpected::Signed(seed), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_seeds_of_64_bits() {
        for (text, seed) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("0xffffffffffffffff", Some(u64::MAX)),
            (" 0x8000000000000000 ", Some(1 << 63)),
            ("18446744073709551616", None),
            ("0x10000000000000000", None),
            ("-1", None),
            ("0x+1", None),
            ("0x", None),
            ("", None),
        ] {
            assert_eq!(parse(text), seed, "{text}");
        }
        assert_eq!(seed_value(u64::MAX >> 1), toml::Value::Integer(i64::MAX));
        assert_eq!(seed_value(1 << 63), toml::Value::String("9223372036854775808".to_owned()));
    }
}
