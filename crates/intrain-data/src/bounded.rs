//! Whole files and gzip streams in memory, never more than a stated number of bytes.
//!
//! Every reader of this crate gets its bytes here, so no header, however wrong, can make it allocate without end: vectors
//! grow with the bytes that come, and nothing is reserved for bytes that a header promises.

use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use crate::DataError;

/// Bound of one file, of one unpacked file, and of the pixels of one split, in bytes: 4 GiB less
/// one, so that the number of an image always fits 32 bits.
pub const MAX_BYTES: u64 = (4 << 30) - 1;

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// The file cannot be opened or read, or is longer.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let file = File::open(path).map_err(|e| DataError::io(path, "open", e))?;
    let metadata = file.metadata().map_err(|e| DataError::io(path, "read", e))?;
    if metadata.is_dir() {
        return Err(DataError::file(path, "is a folder, not a file", "name a file"));
    }
    if metadata.len() > limit {
        return Err(too_long(path, limit));
    }
    let cannot = |e: Error| match e.kind() {
        ErrorKind::OutOfMemory => no_memory(path, metadata.len()),
        _ => DataError::io(path, "read", e),
    };
    read_to_limit(file, limit).map_err(cannot)?.ok_or_else(|| too_long(path, limit))
}

/// Makes room for `n` elements more, which a sound file may hold.
///
/// # Errors
/// The system has no memory for them: the file is not at fault.
pub(crate) fn reserve<T>(elements: &mut Vec<T>, n: usize, path: &Path) -> Result<(), DataError> {
    elements.try_reserve_exact(n).map_err(|_| no_memory(path, (n * size_of::<T>()) as u64))
}

fn no_memory(path: &Path, n_bytes: u64) -> DataError {
    let problem = format!("does not fit in memory, which has no {n_bytes} bytes left");
    DataError::file(path, problem, "end other programs, or use a smaller data set")
}

/// Why a source gave no more.
fn unreadable(e: &Error, path: &Path, remedy: &str) -> DataError {
    match e.kind() {
        ErrorKind::OutOfMemory => {
            let problem = "does not fit in memory once it is unpacked";
            DataError::file(path, problem, "end other programs, or use a smaller data set")
        }
        _ => DataError::file(path, format!("cannot be read: {e}"), remedy),
    }
}

/// Unpacks one gzip stream, which must fill `packed` to its end, to at most `limit` bytes.
///
/// # Errors
/// The stream is corrupt, cut short, followed by other bytes, or unpacks to more than `limit`.
pub fn gunzip(packed: &[u8], limit: u64, path: &Path) -> Result<Vec<u8>, DataError> {
    let mut decoder = GzDecoder::new(packed);
    let unpacked = read_all(&mut decoder, limit, path, AGAIN)?;
    at_end(&decoder, path)?;
    Ok(unpacked)
}

/// As [`gunzip`], of what has said at its beginning how many bytes it holds. There may be fewer.
pub(crate) fn gunzip_promised(packed: &[u8], promised: u64, path: &Path) -> Result<Vec<u8>, DataError> {
    let mut decoder = GzDecoder::new(packed);
    let unpacked = read_promised(&mut decoder, promised, path, AGAIN)?;
    at_end(&decoder, path)?;
    Ok(unpacked)
}

fn at_end(decoder: &GzDecoder<&[u8]>, path: &Path) -> Result<(), DataError> {
    let trailing = decoder.get_ref().len();
    if trailing != 0 {
        let problem = format!("{trailing} bytes follow the gzip stream, expected 0");
        return Err(DataError::file(path, problem, AGAIN));
    }
    Ok(())
}

/// The remedy for a file of a data set that can be fetched, which is damaged if it was.
pub(crate) const AGAIN: &str = "if it was downloaded, it is damaged: remove it and run `intrain data fetch` again; if it is \
                                your own, write it again";
/// The remedy for a file that the user made: it is not the program's to say that it is worthless.
pub(crate) const COPY_AGAIN: &str = "it was not written or copied to its end: save or copy it again";

/// Reads to the end, and fails as soon as there are more than `limit` bytes; `remedy` is what to do where the source
/// itself fails, because what it unpacks is not right.
pub(crate) fn read_all(
    source: impl Read,
    limit: u64,
    path: &Path,
    remedy: &str,
) -> Result<Vec<u8>, DataError> {
    read_to_limit(source, limit)
        .map_err(|e| unreadable(&e, path, remedy))?
        .ok_or_else(|| too_long(path, limit))
}

/// As [`read_all`], of a source that has said at its beginning how many bytes it holds. There may be fewer.
pub(crate) fn read_promised(
    source: impl Read,
    promised: u64,
    path: &Path,
    remedy: &str,
) -> Result<Vec<u8>, DataError> {
    read_to_limit(source, promised).map_err(|e| unreadable(&e, path, remedy))?.ok_or_else(|| {
        let problem = format!("holds more than the {promised} bytes that its header promises");
        DataError::file(path, problem, remedy)
    })
}

/// The first bytes of a source, `n` of them where it has so many.
pub(crate) fn read_start(source: impl Read, n: u64, path: &Path, remedy: &str) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    let read = source.take(n).read_to_end(&mut bytes);
    read.map_err(|e| unreadable(&e, path, remedy))?;
    Ok(bytes)
}

/// `None` where there are more than `limit` bytes.
fn read_to_limit(source: impl Read, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let n_bytes = source.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    // Exact: a usize fits u64 on every target of the project.
    Ok((n_bytes as u64 <= limit).then_some(bytes))
}

/// The error for more than `limit` bytes.
pub(crate) fn too_long(path: &Path, limit: u64) -> DataError {
    DataError::file(path, format!("holds more than {limit} bytes"), "use a smaller file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gunzip_takes_whole_streams_only() {
        let path = Path::new("a.gz");
        let packed = pack(b"twelve bytes");
        assert_eq!(gunzip(&packed, 12, path).unwrap(), b"twelve bytes");
        let message = gunzip(&packed, 11, path).unwrap_err().to_string();
        assert_eq!(message, "a.gz: holds more than 11 bytes; use a smaller file");
        for cut in 0..packed.len() {
            assert!(gunzip(&packed[..cut], 100, path).is_err(), "cut at {cut}");
        }
        let message = gunzip(&[&packed[..], b"xyz"].concat(), 100, path).unwrap_err().to_string();
        assert!(message.contains("3 bytes follow"), "{message}");
        let mut corrupt = packed.clone();
        let last = corrupt.len() - 5;
        corrupt[last] ^= 1; // The checksum in the trailer.
        assert!(gunzip(&corrupt, 100, path).is_err());
    }

    #[test]
    fn short_memory_is_not_the_fault_of_a_file() {
        struct Full;
        impl Read for Full {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(ErrorKind::OutOfMemory.into())
            }
        }
        let message = read_all(Full, 10, Path::new("a.gz"), AGAIN).unwrap_err().to_string();
        assert_eq!(
            message,
            "a.gz: does not fit in memory once it is unpacked; end other programs, or use a smaller data set"
        );
        let mut bytes: Vec<u8> = Vec::new();
        let message = reserve(&mut bytes, isize::MAX as usize, Path::new("a")).unwrap_err().to_string();
        assert!(
            message.starts_with("a: does not fit in memory, which has no 9223372036854775807 bytes left")
        );
        reserve(&mut bytes, 10, Path::new("a")).unwrap();
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = read_file(Path::new("no/such.file"), 10).unwrap_err().to_string();
        assert!(message.starts_with("no/such.file: cannot open: ") && message.contains("check the path"));
        let message = read_file(Path::new("."), 10).unwrap_err().to_string();
        assert_eq!(message, ".: is a folder, not a file; name a file");
    }
}
