//! Single files that a command writes: none replaces an input, another of them, or a file of another kind.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::is_one_file;
use crate::command::failure::Usage;

/// A file to be written, with the flag that names it.
#[derive(Clone, Copy)]
pub(crate) struct Written<'a> {
    pub(crate) flag: &'a str,
    pub(crate) path: &'a Path,
    pub(crate) kind: Kind,
}

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An NPY array.
    Npy,
    /// An NPZ archive or a safetensors file, by the name.
    Package,
    /// Lines of text.
    Text,
}

/// Whether a file gets codes and scales.
pub(crate) fn is_package(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "npz" || ending == "safetensors")
}

/// Refuses what would replace an input, another output, or a file that is no such file.
pub(crate) fn check(files: &[Written<'_>], inputs: &[&Path]) -> Result<(), Usage> {
    for (i, Written { flag, path, kind }) in files.iter().enumerate() {
        let refuse = |problem: &str| Err(Usage(format!("{flag} {}: {problem}", path.display())));
        if inputs.iter().any(|input| is_one_file(path, input)) {
            let input = if inputs.len() == 1 { "the input" } else { "an input" };
            return refuse(&format!("this is {input}, which would be replaced; name another file"));
        }
        match kind {
            Kind::Npy if is_package(path) => {
                return refuse("an NPY array is written here; write a name that ends in .npy");
            }
            Kind::Package if !is_package(path) => {
                return refuse("write a name that ends in .npz or .safetensors");
            }
            _ => {}
        }
        if is_another(path, *kind) {
            let name = match kind {
                Kind::Npy => "NPY array",
                Kind::Package if path.extension().is_some_and(|ending| ending == "npz") => "NPZ archive",
                Kind::Package => "safetensors file",
                Kind::Text => "text",
            };
            return refuse(&format!(
                "this file is there already and is no {name}; move it away, or name another file"
            ));
        }
        if let Some(other) = files[i + 1..].iter().find(|other| is_one_file(path, other.path)) {
            return Err(Usage(format!(
                "{flag} {} and {} {} are one file; name two",
                path.display(),
                other.flag,
                other.path.display()
            )));
        }
    }
    Ok(())
}

/// Whether a file with something in it does not begin as its kind does.
fn is_another(path: &Path, kind: Kind) -> bool {
    if !path.is_file() {
        return false;
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(512).read_to_end(&mut bytes));
    let is_kind = match kind {
        Kind::Npy => bytes.starts_with(b"\x93NUMPY"),
        Kind::Package if path.extension().is_some_and(|ending| ending == "npz") => bytes.starts_with(b"PK"),
        // The length of the head, then its JSON.
        Kind::Package => bytes.get(8) == Some(&b'{'),
        // A character may be cut at the end.
        Kind::Text => {
            !bytes.contains(&0)
                && std::str::from_utf8(&bytes).map_or_else(|e| e.error_len().is_none(), |_| true)
        }
    };
    read.is_err() || !(bytes.is_empty() || is_kind)
}
