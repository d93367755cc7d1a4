//! Names in a tar archive that lie outside its headers: they are held in memory whole, so they are bounded before.
//!
//! The headers of members have room for short names only. Longer ones come as members of their own, of any size that the
//! archive likes.

use std::io::Read;
use std::path::Path;

use crate::DataError;
use crate::bounded::{AGAIN, MAX_BYTES, read_all};

/// Longest name, in bytes; no system has longer paths.
const MAX_NAME_BYTES: u64 = 4096;
/// Most bytes of the extended headers of a member: its name and what else is said of it.
const MAX_EXTENDED_BYTES: u64 = 64 << 10;

/// Checks a gzip-compressed archive from end to end, in little memory.
///
/// # Errors
/// The archive is corrupt, a name or an extended header is too long, or a member is not stored as its header says.
pub(crate) fn check(archive: impl Read, path: &Path) -> Result<(), DataError> {
    let corrupt = |e: std::io::Error| DataError::file(path, format!("cannot be unpacked: {e}"), AGAIN);
    let refuse = |problem: String| Err(DataError::file(path, problem, AGAIN));
    // Bound: whatever the archive unpacks to, it is looked through and not held.
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive).take(MAX_BYTES));
    // Raw: a name is a member like any other here, and none is read ahead.
    for entry in tar.entries().map_err(corrupt)?.raw(true) {
        let entry = entry.map_err(corrupt)?;
        let (kind, n_bytes) = (entry.header().entry_type(), entry.size());
        if kind.is_pax_local_extensions() {
            if n_bytes > MAX_EXTENDED_BYTES {
                return refuse(format!(
                    "has an extended header of {n_bytes} bytes, the limit is {MAX_EXTENDED_BYTES}"
                ));
            }
            // Such a size goes before that of the member's header, and would lead around this check.
            let header = read_all(entry, MAX_EXTENDED_BYTES, path)?;
            let has_size = |e: tar::PaxExtension<'_>| e.key_bytes() == b"size";
            if tar::PaxExtensions::new(&header).any(|e| e.is_ok_and(has_size)) {
                return refuse("has a member with a size in an extended header, expected none".to_owned());
            }
        } else if kind.is_gnu_longname() || kind.is_gnu_longlink() {
            if n_bytes > MAX_NAME_BYTES {
                return refuse(format!("has a name of {n_bytes} bytes, the limit is {MAX_NAME_BYTES}"));
            }
        } else if kind.is_gnu_sparse() {
            return refuse("has a member that is stored with holes, expected none".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of one special member with this content, and a file behind it.
    fn archive(kind: tar::EntryType, content: &[u8]) -> Vec<u8> {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        let mut append = |kind, name: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_path(name).unwrap();
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append(&header, content).unwrap();
        };
        append(kind, "special", content);
        append(tar::EntryType::Regular, "a", &[7; 1000]);
        tar.into_inner().unwrap().finish().unwrap()
    }

    fn checked(kind: tar::EntryType, content: &[u8]) -> Result<(), String> {
        check(&archive(kind, content)[..], Path::new("a.tar.gz")).map_err(|e| e.to_string())
    }

    #[test]
    fn long_names_are_refused_before_they_are_read() {
        for kind in [tar::EntryType::GNULongName, tar::EntryType::GNULongLink] {
            assert_eq!(checked(kind, &[b'n'; 4096]), Ok(()));
            let message = checked(kind, &[b'n'; 4097]).unwrap_err();
            assert!(
                message.starts_with("a.tar.gz: has a name of 4097 bytes, the limit is 4096;"),
                "{message}"
            );
        }
        let kind = tar::EntryType::XHeader;
        assert_eq!(checked(kind, b"12 path=bcd\n"), Ok(()));
        let message = checked(kind, &[b'n'; (64 << 10) + 1]).unwrap_err();
        assert!(message.contains("has an extended header of 65537 bytes, the limit is 65536;"), "{message}");
        // What would lead around the check.
        assert!(checked(kind, b"10 size=1\n").unwrap_err().contains("a size in an extended header"));
        assert!(checked(tar::EntryType::GNUSparse, &[]).unwrap_err().contains("stored with holes"));
    }

    #[test]
    fn archives_that_are_cut_are_refused() {
        let whole = archive(tar::EntryType::Regular, &[1; 600]);
        assert!(check(&whole[..], Path::new("f")).is_ok());
        for cut in 0..whole.len() - 20 {
            assert!(check(&whole[..cut], Path::new("f")).is_err(), "cut at {cut}");
        }
    }
}
