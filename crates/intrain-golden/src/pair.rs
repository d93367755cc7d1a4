//! A pair of sizes, `[height, width]`, as one number where both are equal. Models are written alike, but cases know no other crate.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    One(usize),
    Two([usize; 2]),
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn serialize<S: Serializer>(pair: &[usize; 2], serializer: S) -> Result<S::Ok, S::Error> {
    if pair[0] == pair[1] { pair[0].serialize(serializer) } else { pair.serialize(serializer) }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[usize; 2], D::Error> {
    Ok(match Written::deserialize(deserializer)? {
        Written::One(n) => [n, n],
        Written::Two(pair) => pair,
    })
}

pub(crate) const fn ones() -> [usize; 2] {
    [1, 1]
}

pub(crate) const fn is_ones(pair: &[usize; 2]) -> bool {
    matches!(pair, [1, 1])
}
