//! The deployed form as C99: one header, one source, a test program with vectors. Nothing is allocated, nothing is called.

mod calls;
mod functions;
mod header;
mod source;
mod tables;
mod test_program;

use crate::error::DeployError;
use crate::form::Deployed;
use crate::vectors::Vectors;

use self::source::Source;

/// How C is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// In front of each name that other sources see, and the name of the files.
    pub prefix: String,
    /// Whether weights of at most 4 bits share bytes.
    pub pack: bool,
    /// Whether the weights have a source of their own.
    pub split: bool,
}

/// What was written, and what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Names and contents.
    pub files: Vec<(String, String)>,
    /// Bytes that the caller gives.
    pub arena: usize,
    /// Bytes of weights, biases, norms and other tables.
    pub constants: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { prefix: "model".to_owned(), pack: false, split: false }
    }
}

/// The network as C.
///
/// # Errors
/// What C's integers of 64 bits cannot hold.
pub fn write(deployed: &Deployed, vectors: &Vectors, options: &Options) -> Result<Written, DeployError> {
    let mut source = Source::new(deployed, options);
    calls::write(&mut source)?;
    let Options { prefix, split, .. } = options;
    let mut files = vec![
        (format!("{prefix}.h"), header::text(&source)),
        (format!("{prefix}.c"), source.text()),
        (format!("{prefix}_test.c"), test_program::text(&source, vectors)),
    ];
    if *split {
        files.push((format!("{prefix}_weights.c"), source.weights()));
    }
    Ok(Written { files, arena: source.arena.bytes, constants: source.tables.bytes() })
}
