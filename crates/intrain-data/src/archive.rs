//! NPZ archives of any arrays: each member's name and bytes, read and written.
//!
//! Invariant: equal members give equal bytes, and no archive makes the reader take more memory than the limit of a file.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::DataError;
use crate::bounded::{COPY_AGAIN, MAX_BYTES, read_promised, too_long};

/// A member: the name without `.npy`, and the bytes of its NPY file.
pub type Member = (String, Vec<u8>);

/// Reads all arrays of an NPZ archive, in the order of the archive; `path` is what errors name.
///
/// # Errors
/// The archive is corrupt, holds something other than NPY files, or more bytes than the limit of a file.
pub fn read(bytes: &[u8], path: &Path) -> Result<Vec<Member>, DataError> {
    let cannot = |e: zip::result::ZipError| {
        DataError::file(path, format!("is no NPZ archive that can be read: {e}"), COPY_AGAIN)
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(cannot)?;
    let mut members = Vec::new();
    let mut total = 0u64;
    for i in 0..archive.len() {
        let file = archive.by_index(i).map_err(cannot)?;
        let name = file.name().map_err(cannot)?.into_owned();
        let member = PathBuf::from(format!("{}:{name}", path.display()));
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else {
            let problem = "is no NPY file; an archive of arrays holds nothing else";
            return Err(DataError::file(&member, problem, "save the arrays with numpy.savez"));
        };
        total = total.saturating_add(file.size());
        if total > MAX_BYTES {
            return Err(too_long(&member, MAX_BYTES));
        }
        let size = file.size();
        members.push((name, read_promised(file, size, &member, COPY_AGAIN)?));
    }
    Ok(members)
}

/// The bytes of an NPZ archive as `numpy.savez` writes it: stored, not compressed, without times.
///
/// # Errors
/// A name is used twice, or the archive is too large for its format.
pub fn to_bytes(members: &[Member]) -> Result<Vec<u8>, DataError> {
    let cannot = |e: &dyn std::fmt::Display| {
        DataError::file(
            "the archive".as_ref(),
            format!("cannot be written: {e}"),
            "write fewer or other arrays",
        )
    };
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .large_file(members.iter().any(|(_, bytes)| bytes.len() as u64 >= u64::from(u32::MAX)));
    for (name, bytes) in members {
        writer.start_file(format!("{name}.npy"), options).map_err(|e| cannot(&e))?;
        writer.write_all(bytes).map_err(|e| cannot(&e))?;
    }
    Ok(writer.finish().map_err(|e| cannot(&e))?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npy;

    #[test]
    fn members_come_back_and_equal_ones_give_equal_bytes() {
        let array = npy::to_bytes(&[3], npy::Order::C, [1u8, 2, 3].into_iter()).unwrap();
        let members = vec![("codes".to_owned(), array.clone()), ("scales".to_owned(), array)];
        let bytes = to_bytes(&members).unwrap();
        assert_eq!(bytes, to_bytes(&members).unwrap());
        assert_eq!(read(&bytes, "x.npz".as_ref()).unwrap(), members);
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 3] {
            let error = read(&bytes[..cut], "x.npz".as_ref()).unwrap_err().to_string();
            assert!(error.contains("x.npz"), "{error}");
        }
        assert!(to_bytes(&[members[0].clone(), members[0].clone()]).is_err());
    }
}
