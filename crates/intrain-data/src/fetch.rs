//! Downloads data sets from where their authors publish them, and lets nothing but the published bytes through.
//!
//! A file grows as `FILE.part`, is resumed where it stopped, is checked by SHA-256, and only then takes its name: what
//! [`crate::load`] finds under that name is whole. This is the only file of the project that opens a connection.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::cifar::Cifar;
use crate::{DataError, DataFolders, catalog, cifar, svhn};

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// Bytes on disk.
    pub done_bytes: u64,
    /// Bytes of the whole file.
    pub total_bytes: u64,
}

/// Where a data set is published, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What file names are put behind; without a slash at its end.
    pub base_url: String,
    /// The files.
    pub files: Vec<RemoteFile>,
    /// Where the only file is an archive of CIFAR: what is in it.
    pub unpacked: Option<Unpacked>,
}

/// The files of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Which archive.
    pub cifar: &'static Cifar,
    /// The SHA-256 of its files, in their order, in hexadecimal; a file without one is not checked.
    pub sha256: Vec<String>,
}

/// A published file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its name, here and behind the base address.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its SHA-256, 64 small hexadecimal digits.
    pub sha256: String,
}

const RESUME: &str = "run the command again, it goes on where it stopped";

impl Source {
    /// The official source of a data set.
    ///
    /// # Errors
    /// The name is unknown, or the data set needs no download.
    pub fn official(name: &str) -> Result<Self, DataError> {
        let (base_url, files): (_, &[(&str, u64, &str)]) = match name {
            "mnist" => ("https://ossci-datasets.s3.amazonaws.com/mnist", &MNIST),
            "fashion-mnist" => ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com", &FASHION_MNIST),
            "cifar-10" => return Ok(Self::cifar(&cifar::TEN)),
            "cifar-100" => return Ok(Self::cifar(&cifar::HUNDRED)),
            "svhn" => ("http://ufldl.stanford.edu/housenumbers", &svhn::FILES),
            "digits" => {
                let limit =
                    "one with files, such as mnist: digits is embedded and needs no download".to_owned();
                return Err(DataError::Setting {
                    setting: "the data set to fetch",
                    value: name.to_owned(),
                    limit,
                });
            }
            _ => return Err(catalog::unknown(name)),
        };
        let files = files.iter().map(|&(name, size_bytes, sha256)| RemoteFile {
            name: name.to_owned(),
            size_bytes,
            sha256: sha256.to_owned(),
        });
        Ok(Self { base_url: base_url.to_owned(), files: files.collect(), unpacked: None })
    }

    fn cifar(cifar: &'static Cifar) -> Self {
        let (size_bytes, sha256) = cifar.published;
        let (name, sha256) = (cifar.archive.to_owned(), sha256.to_owned());
        let of_files = cifar.files.iter().map(|file| file.sha256.to_owned()).collect();
        Self {
            base_url: "https://www.cs.toronto.edu/~kriz".to_owned(),
            files: vec![RemoteFile { name, size_bytes, sha256 }],
            unpacked: Some(Unpacked { cifar, sha256: of_files }),
        }
    }
}

/// Downloads a data set from its official source into the first of `folders`; gives the folder that it lies in.
/// Files that are there already are checked, and not downloaded again.
///
/// # Errors
/// The name is unknown, the server does not deliver, a checksum differs, or the disk refuses.
pub fn fetch(
    name: &str,
    folders: &DataFolders,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, DataError> {
    fetch_from(&Source::official(name)?, name, folders, progress)
}

/// As [`fetch`], from another source, such as a mirror.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_from(
    source: &Source,
    name: &str,
    folders: &DataFolders,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, DataError> {
    let Some(first) = folders.first() else {
        return Err(DataError::NotFound { name: name.to_owned(), looked_at: Vec::new() });
    };
    let folder = first.join(name);
    std::fs::create_dir_all(&folder).map_err(|e| DataError::io(&folder, "create", e))?;
    if let Some(unpacked) = &source.unpacked {
        let there = folder.join(unpacked.cifar.folder);
        if there.exists() {
            check_unpacked(unpacked, &there, &there)?;
            return Ok(folder);
        }
    }
    for file in &source.files {
        let path = folder.join(&file.name);
        let was_there = path.exists();
        if was_there {
            check(&path, &file.sha256, "remove it and run the command again".to_owned())?;
            progress(Progress {
                file: &file.name,
                done_bytes: file.size_bytes,
                total_bytes: file.size_bytes,
            });
        } else {
            download(&source.base_url, file, &path, progress)?;
        }
        if let Some(unpacked) = &source.unpacked {
            unpack(&path, &folder.join(unpacked.cifar.folder), unpacked)?;
            if !was_there {
                std::fs::remove_file(&path).map_err(|e| DataError::io(&path, "remove", e))?;
            }
        }
    }
    Ok(folder)
}

/// Brings one file to `path`, by way of `path.part`.
fn download(
    base_url: &str,
    file: &RemoteFile,
    path: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), DataError> {
    let part = &path.with_file_name(format!("{}.part", file.name));
    let cannot = |action| move |e| DataError::io(part, action, e);
    let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(part);
    let mut disk = opened.map_err(cannot("create"))?;
    // A file system without locks is no reason to fail: the checksum would find two writers out.
    if let Err(TryLockError::WouldBlock) = disk.try_lock() {
        return Err(DataError::file(part, "is being written by another download", "wait until that is done"));
    }
    let mut done = disk.seek(SeekFrom::End(0)).map_err(cannot("read"))?;
    if done > file.size_bytes {
        done = restart(&mut disk).map_err(cannot("empty"))?;
    }
    if done < file.size_bytes {
        let url = format!("{base_url}/{}", file.name);
        let (done, body) = request(&url, done, &mut disk, part)?;
        let report =
            |done_bytes| progress(Progress { file: &file.name, done_bytes, total_bytes: file.size_bytes });
        receive(body, &url, (done, file.size_bytes), &mut disk, part, report)?;
    }
    disk.sync_all().map_err(cannot("write"))?;
    // The lock ends here: on some systems nobody else could read the file, not even the check.
    drop(disk);
    if let Err(error) = check(part, &file.sha256, "it was removed: run the command again".to_owned()) {
        std::fs::remove_file(part).map_err(cannot("remove"))?;
        return Err(error);
    }
    std::fs::rename(part, path).map_err(cannot("rename"))
}

/// Asks for what lies behind the first `done` bytes; gives where the answer begins, and its body.
fn request(
    url: &str,
    done: u64,
    disk: &mut File,
    part: &Path,
) -> Result<(u64, impl Read + use<>), DataError> {
    let minute = Some(Duration::from_secs(60));
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(minute)
        .timeout_recv_response(minute)
        .timeout_per_read(minute)
        .build()
        .new_agent();
    let mut request = agent.get(url);
    if done > 0 {
        request = request.header("Range", format!("bytes={done}-"));
    }
    let failed =
        |problem: String, remedy: String| DataError::Download { url: url.to_owned(), problem, remedy };
    let response = request
        .call()
        .map_err(|e| failed(format!("no answer: {e}"), format!("check the connection, then {RESUME}")))?;
    let range = response.headers().get("Content-Range").and_then(|range| range.to_str().ok());
    let resumes = range.is_some_and(|range| range.starts_with(&format!("bytes {done}-")));
    let start = match response.status().as_u16() {
        206 if resumes => done,
        // A server that knows no ranges sends the file from its beginning.
        200 => restart(disk).map_err(|e| DataError::io(part, "empty", e))?,
        status => {
            let problem = format!("the server answered {status} to bytes {done} and on, expected 200 or 206");
            return Err(failed(problem, format!("remove {} and run the command again", part.display())));
        }
    };
    Ok((start, response.into_body().into_reader()))
}

/// Writes the body behind the first `done` bytes, until there are `size` of them.
fn receive(
    mut body: impl Read,
    url: &str,
    (mut done, size): (u64, u64),
    disk: &mut File,
    part: &Path,
    mut report: impl FnMut(u64),
) -> Result<(), DataError> {
    let failed = |problem: String, remedy: &str| DataError::Download {
        url: url.to_owned(),
        problem,
        remedy: remedy.to_owned(),
    };
    let mut buffer = vec![0; 1 << 16];
    loop {
        report(done);
        let read = body.read(&mut buffer);
        let n_bytes =
            read.map_err(|e| failed(format!("broke off after {done} of {size} bytes: {e}"), RESUME))?;
        if n_bytes == 0 {
            break;
        }
        // Exact: at most the length of the buffer.
        done += n_bytes as u64;
        if done > size {
            restart(disk).map_err(|e| DataError::io(part, "empty", e))?;
            return Err(failed(format!("sends more than the published {size} bytes"), "try again later"));
        }
        disk.write_all(&buffer[..n_bytes]).map_err(|e| DataError::io(part, "write", e))?;
    }
    if done < size {
        return Err(failed(format!("ended after {done} of {size} bytes"), RESUME));
    }
    Ok(())
}

/// Empties a file: nothing of it is done.
fn restart(disk: &mut File) -> std::io::Result<u64> {
    disk.set_len(0)?;
    disk.seek(SeekFrom::Start(0))
}

/// Unpacks an archive into `folder`, which appears only when all of it is there and right.
fn unpack(archive: &Path, folder: &Path, unpacked: &Unpacked) -> Result<(), DataError> {
    let cifar = unpacked.cifar;
    let file = File::open(archive).map_err(|e| DataError::io(archive, "open", e))?;
    let files = cifar.unpack(std::io::BufReader::new(file), cifar.max_file_bytes, archive)?;
    let part = &folder.with_file_name(format!("{}.part", cifar.folder));
    let cannot = |action| move |e| DataError::io(part, action, e);
    if part.exists() {
        std::fs::remove_dir_all(part).map_err(cannot("remove"))?;
    }
    std::fs::create_dir(part).map_err(cannot("create"))?;
    for (file, bytes) in cifar.files.iter().zip(files) {
        let path = part.join(file.name);
        let written =
            File::create(&path).and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()));
        written.map_err(|e| DataError::io(&path, "write", e))?;
    }
    check_unpacked(unpacked, part, archive)?;
    std::fs::rename(part, folder).map_err(cannot("rename"))
}

/// Compares the SHA-256 of the files in `folder`, which came from `origin`.
fn check_unpacked(unpacked: &Unpacked, folder: &Path, origin: &Path) -> Result<(), DataError> {
    let remedy = format!("remove {} and run the command again", origin.display());
    let mut files = unpacked.cifar.files.iter().zip(&unpacked.sha256);
    files.try_for_each(|(file, sum)| check(&folder.join(file.name), sum, remedy.clone()))
}

/// Compares the SHA-256 of a file.
fn check(path: &Path, expected: &str, remedy: String) -> Result<(), DataError> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut file = File::open(path).map_err(|e| DataError::io(path, "open", e))?;
    loop {
        match file.read(&mut buffer).map_err(|e| DataError::io(path, "read", e))? {
            0 => break,
            n_bytes => hasher.update(&buffer[..n_bytes]),
        }
    }
    let found: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found != expected {
        return Err(DataError::Checksum {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
            remedy,
        });
    }
    Ok(())
}

const MNIST: [(&str, u64, &str); 4] = [
    (
        "train-images-idx3-ubyte.gz",
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    (
        "train-labels-idx1-ubyte.gz",
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    (
        "t10k-images-idx3-ubyte.gz",
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    ("t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
];

const FASHION_MNIST: [(&str, u64, &str); 4] = [
    (
        "train-images-idx3-ubyte.gz",
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    (
        "train-labels-idx1-ubyte.gz",
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    (
        "t10k-images-idx3-ubyte.gz",
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    ("t10k-labels-idx1-ubyte.gz", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
];
