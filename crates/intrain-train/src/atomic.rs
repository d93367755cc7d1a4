//! Replaces a file as a whole or not at all; every file of a run that is ever rewritten goes through here.
//!
//! Invariant: at any moment, also after a crash, the path holds the old content or the new one, never a part.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::ArtefactError;

/// Writes `bytes` to `path`, in place of what was there.
///
/// The bytes go to `<name>.tmp-<process id>` in the same folder, reach the disk, and take the name only then. So one
/// process may have one writer per path. A link is followed; what is no regular file (`/dev/stdout`, a pipe) can't be
/// replaced and is written to.
///
/// # Errors
/// [`ArtefactError::Io`] if the system refuses a step (disk full, no permission, no such folder). The temporary is
/// removed then; up to the renaming, an old file stays as it was.
pub fn atomic_write(path: &Path, bytes: &[u8]) -> Result<(), ArtefactError> {
    let there = fs::metadata(path).ok();
    if there.as_ref().is_some_and(|there| !there.is_file() && !there.is_dir()) {
        let written = File::options().write(true).open(path).and_then(|mut file| file.write_all(bytes));
        return written.map_err(ArtefactError::io(path, "write"));
    }
    let target = there.and_then(|_| fs::canonicalize(path).ok());
    let path = target.as_deref().unwrap_or(path);
    let temporary = temporary_for(path);
    let written = write_synced(&temporary, bytes).map_err(ArtefactError::io(path, "write")).and_then(|()| {
        fs::rename(&temporary, path).map_err(ArtefactError::io(path, "put the new file in its place"))
    });
    if let Err(error) = written {
        // The first error is the one to tell; a temporary that was never created can't be removed either.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_folder(path).map_err(ArtefactError::io(path, "sync the folder of"))
}

fn temporary_for(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(format!(".tmp-{}", std::process::id()));
    path.with_file_name(name)
}

/// Removes what killed processes have left of writing `files`: `<name>.tmp-<process id>` beside each, and nothing else.
///
/// Only for files that no other process writes now, as behind a lock. What the system does not let go stays.
pub(crate) fn remove_temporaries(files: &[PathBuf]) {
    let folders: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
    for entry in folders.into_iter().flat_map(fs::read_dir).flatten().flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && written(&entry.path()).is_some_and(|file| files.contains(&file)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The file that a temporary was to become; `None` for what is no temporary.
pub(crate) fn written(temporary: &Path) -> Option<PathBuf> {
    let (name, process) = temporary.file_name()?.to_str()?.rsplit_once(".tmp-")?;
    let is_number = !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| temporary.with_file_name(name))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the renaming itself last through a power cut.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match File::open(folder)?.sync_all() {
        // Some network file systems can't sync a folder; there the renaming is as lasting as they make it.
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

/// Elsewhere a folder can't be opened as a file, and the system keeps renamings in its own journal.
#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_the_whole_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        atomic_write(&path, b"a long first content").unwrap();
        atomic_write(&path, b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!(names(folder.path()), ["a.csv"]);
    }

    /// The temporary's name is made to lead to `/dev/full`, where the system answers each write with "disk full".
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_leaves_the_old_file_and_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.ckpt");
        atomic_write(&path, b"good").unwrap();
        std::os::unix::fs::symlink("/dev/full", temporary_for(&path)).unwrap();

        let error = atomic_write(&path, b"new").unwrap_err();
        assert!(
            matches!(&error, ArtefactError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
        );
        let text = error.to_string();
        assert!(text.contains("last.ckpt: cannot write") && text.contains("free space"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), b"good");
        assert_eq!(names(folder.path()), ["last.ckpt"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_devices_are_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, b"old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        atomic_write(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"new");

        let null = folder.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &null).unwrap();
        atomic_write(&null, b"gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        assert_eq!(names(folder.path()), ["link", "null", "target"]);
    }

    #[test]
    fn a_refused_renaming_leaves_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        let text = atomic_write(&path, b"new").unwrap_err().to_string();
        assert!(text.contains("taken: cannot put the new file in its place"), "{text}");
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("checkpoints")).unwrap();
        fs::create_dir(path("a.csv.tmp-3")).unwrap();
        let others =
            ["a.csv", "a.csv.tmp-", "a.csv.tmp-1x", "a.csv.tmp-+1", "b.csv.tmp-7", "checkpoints/a.csv.tmp-7"];
        let left = ["a.csv.tmp-7", "a.csv.tmp-4194304", "checkpoints/last.ckpt.tmp-12"];
        others.iter().chain(&left).for_each(|name| fs::write(path(name), b"").unwrap());
        remove_temporaries(&[path("a.csv"), path("checkpoints/last.ckpt"), path("missing/b.csv")]);
        for name in others {
            assert!(path(name).exists(), "{name}");
        }
        for name in left {
            assert!(!path(name).exists(), "{name}");
        }
        assert!(path("a.csv.tmp-3").exists());
        assert_eq!(written(&temporary_for(&path("a.csv"))), Some(path("a.csv")));
    }

    #[test]
    fn a_missing_folder_and_a_path_without_a_name_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let text = atomic_write(&folder.path().join("no/a.csv"), b"").unwrap_err().to_string();
        assert!(text.contains("create the folder first"), "{text}");
        assert!(atomic_write(&folder.path().join(".."), b"").is_err());
        assert!(atomic_write(Path::new(""), b"").is_err());
    }
}
