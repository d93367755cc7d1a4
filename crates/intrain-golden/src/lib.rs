//! The golden suite as data: the cases of `golden/*.toml` that prove `docs/arithmetic.md`. It computes nothing.
//!
//! Whoever computes (scalar, SIMD, exported C, hardware) loads the suite, runs the operations that it has, and
//! compares with `assert_eq!`. Tensors are flat, channels last; weights are `[kernel height, kernel width, in / groups, out]` or `[in, out]`.
#![forbid(unsafe_code)]

mod case;
mod pair;

pub use case::*;

use std::fmt;

use serde::{Deserialize, Serialize};

/// Name and text of every file of the suite.
pub const TEXTS: [(&str, &str); 18] = [
    ("philox", include_str!("../../../golden/philox.toml")),
    ("lfsr", include_str!("../../../golden/lfsr.toml")),
    ("array", include_str!("../../../golden/array.toml")),
    ("round", include_str!("../../../golden/round.toml")),
    ("format", include_str!("../../../golden/format.toml")),
    ("scale", include_str!("../../../golden/scale.toml")),
    ("requantize", include_str!("../../../golden/requantize.toml")),
    ("product", include_str!("../../../golden/product.toml")),
    ("pool", include_str!("../../../golden/pool.toml")),
    ("update", include_str!("../../../golden/update.toml")),
    ("init", include_str!("../../../golden/init.toml")),
    ("gupta2015", include_str!("../../../golden/gupta2015.toml")),
    ("wage2018", include_str!("../../../golden/wage2018.toml")),
    ("li2017", include_str!("../../../golden/li2017.toml")),
    ("normalization", include_str!("../../../golden/normalization.toml")),
    ("hwgq2017", include_str!("../../../golden/hwgq2017.toml")),
    ("minifloat", include_str!("../../../golden/minifloat.toml")),
    ("block", include_str!("../../../golden/block.toml")),
];

/// One file of the suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct File {
    /// The cases, in the file's order.
    #[serde(rename = "case", default)]
    pub cases: Vec<Case>,
}

/// One case: a name that is unique in its file, and an operation with its inputs and its one right answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// What the case is about.
    pub name: String,
    /// Inputs and answer.
    #[serde(flatten)]
    pub op: Op,
}

/// A file of the suite that is not what it should be.
#[derive(Debug)]
pub struct LoadError {
    file: String,
    cause: toml::de::Error,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, cause } = self;
        write!(
            f,
            "golden/{file}.toml does not follow the suite's schema; restore it or regenerate it: {cause}"
        )
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// Reads the text of one file; `file` only names it in the error.
///
/// # Errors
/// The first line that does not follow the schema.
pub fn parse(file: &str, text: &str) -> Result<File, LoadError> {
    toml::from_str(text).map_err(|cause| LoadError { file: file.to_owned(), cause })
}

/// The whole suite as it was when this crate was built, as (file name, case).
///
/// # Errors
/// The first file that does not follow the schema.
pub fn load() -> Result<Vec<(&'static str, Case)>, LoadError> {
    let mut cases = Vec::new();
    for (file, text) in TEXTS {
        cases.extend(parse(file, text)?.cases.into_iter().map(|case| (file, case)));
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_file_loads_and_names_are_unique() {
        let cases = super::load().unwrap_or_else(|error| panic!("{error}"));
        let names: BTreeSet<_> = cases.iter().map(|(file, case)| (*file, case.name.as_str())).collect();
        assert_eq!(names.len(), cases.len(), "two cases of one file share a name");
        for (file, _) in super::TEXTS {
            assert!(names.iter().any(|(f, _)| *f == file), "golden/{file}.toml has no case");
        }
    }

    #[test]
    fn unknown_fields_and_operations_are_refused() {
        for text in [
            "[[case]]\nname = \"a\"\nop = \"no-such-op\"\n",
            "[[case]]\nname = \"a\"\nop = \"round-log2\"\nm = [1]\nlog2 = [0]\nextra = 1\n",
            "[[case]]\nop = \"round-log2\"\nm = [1]\nlog2 = [0]\n",
        ] {
            let error = super::parse("test", text).unwrap_err().to_string();
            assert!(error.starts_with("golden/test.toml"), "{error}");
        }
    }
}
