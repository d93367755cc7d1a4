//! What can go wrong between a file and a batch; every message names the file, the value, the limit and the remedy.

use std::path::{Path, PathBuf};

/// What an unknown name could be: a folder or an archive that lacks its prefix, or a known name with other letters.
fn meant(name: &str, nearest: Option<&str>) -> String {
    let path = Path::new(name);
    let extension = path.extension().and_then(|extension| extension.to_str()).filter(|_| path.is_file());
    match (path.is_dir(), extension) {
        (true, _) => format!(", but there is such a folder: write folder:{name}"),
        (false, Some("npz")) => format!(", but there is such an archive: write npz:{name}"),
        (false, Some("csv")) => format!(", but there is such a table: write csv:{name},label=COLUMN"),
        _ => nearest.map(|n| format!(", did you mean `{n}`?")).unwrap_or_default(),
    }
}

/// Failure to find, read, download or cut up a data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// No data set is called that.
    #[error(
        "unknown data set `{name}`{}; known are {}, csv:PATH, npz:PATH and folder:PATH",
        meant(.name, *.nearest),
        .known.join(", ")
    )]
    UnknownName {
        /// What was asked for.
        name: String,
        /// The known name that is spelled most like it, if one comes close.
        nearest: Option<&'static str>,
        /// All that are known.
        known: Vec<&'static str>,
    },
    /// None of the places where the files may lie has them.
    #[error("data set `{name}` not found: looked at {}; run `intrain data fetch {name}`", list(.looked_at))]
    NotFound {
        /// Name of the data set.
        name: String,
        /// Every path tried.
        looked_at: Vec<PathBuf>,
    },
    /// A file that is not what it should be.
    #[error("{}: {problem}; {remedy}", .path.display())]
    File {
        /// The file, with the member behind a colon where it is an archive.
        path: PathBuf,
        /// What was found, and what the limit is.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}; {}", named(.path), remedy(.source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// No full batch can be cut from the data set.
    #[error(
        "a batch of {batch_size} images is larger than the data set of {n_images} images; \
         choose a batch size of at most {n_images}"
    )]
    BatchTooLarge {
        /// Images in a batch.
        batch_size: usize,
        /// Images in the data set.
        n_images: usize,
    },
    /// An array in memory whose sizes or labels don't fit.
    #[error("an array of images: {problem}; {remedy}")]
    Array {
        /// What was found, and what the limit is.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A setting out of its range.
    #[error("{setting} is {value}, but must be {limit}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// The range, in words.
        limit: String,
    },
    /// A download that did not come through; what had come is kept where it can be resumed.
    #[error("{url}: {problem}; {remedy}")]
    Download {
        /// The address.
        url: String,
        /// What happened.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// A file with other contents than the published ones.
    #[error("{}: SHA-256 is {found}, but {expected} was published; {remedy}", .path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The published sum, in hexadecimal.
        expected: String,
        /// The sum of what is there.
        found: String,
        /// What to do.
        remedy: String,
    },
}

impl DataError {
    pub(crate) fn setting(setting: &'static str, value: &str, limit: &str) -> Self {
        Self::Setting { setting, value: value.to_owned(), limit: limit.to_owned() }
    }

    pub(crate) fn file(path: &Path, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), problem: problem.into(), remedy: remedy.into() }
    }

    pub(crate) fn io(path: &Path, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), action, source }
    }
}

/// A path, which may be nothing at all behind `npz:` or `folder:`.
fn named(path: &Path) -> String {
    if path.as_os_str().is_empty() { "no path".to_owned() } else { path.display().to_string() }
}

fn remedy(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::NotFound => {
            "check the path; a relative one starts in the folder that the program runs in"
        }
        std::io::ErrorKind::PermissionDenied => "change its permissions, or choose another",
        std::io::ErrorKind::StorageFull => "free space on that disk, or choose another",
        _ => "check the disk and the path",
    }
}

fn list(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "no folder at all, because INTRAIN_DATA is not set and there is no cache folder".to_owned();
    }
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Names in a row, the first ten of them.
pub(crate) fn few(names: &[String]) -> String {
    const MOST: usize = 10;
    let row = names[..names.len().min(MOST)].join(", ");
    match names.len().saturating_sub(MOST) {
        0 => row,
        more => format!("{row} and {more} more"),
    }
}
