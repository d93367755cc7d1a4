//! Names of data sets, and where their files are looked for: the front door of the crate.

use std::path::{Path, PathBuf};

use crate::bounded::{read_file, reserve};
use crate::cifar::{Cifar, CifarFile};
use crate::folder_options::FolderOptions;
use crate::npz_options::NpzOptions;
use crate::table_options::TableOptions;
use crate::{
    DataError, Dataset, Encoder, Part, Split, cifar, digits, folder, mnist, npz, published, svhn, tables,
};

/// A data set that has a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What it is asked for by, and the folder that its files lie in.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
}

/// All data sets with names. Besides them there are `csv:PATH`, `npz:PATH` and `folder:PATH`.
pub const ENTRIES: [Entry; 6] = [
    Entry {
        name: "digits",
        about: "1,797 handwritten digits, 8x8 grey, 10 classes; embedded, needs no download",
    },
    Entry { name: "mnist", about: "70,000 handwritten digits, 28x28 grey, 10 classes; 12 MB" },
    Entry { name: "fashion-mnist", about: "70,000 pieces of clothing, 28x28 grey, 10 classes; 31 MB" },
    Entry { name: "cifar-10", about: "60,000 photographs, 32x32 RGB, 10 classes; 170 MB" },
    Entry { name: "cifar-100", about: "60,000 photographs, 32x32 RGB, 100 classes; 169 MB" },
    Entry { name: "svhn", about: "99,289 house numbers' digits, 32x32 RGB, 10 classes; 246 MB" },
];

/// Where files are looked for, first place first. A data set lies in a folder of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFolders {
    folders: Vec<PathBuf>,
}

impl DataFolders {
    /// The given folder (what `INTRAIN_DATA` says), then `intrain` in the user's cache folder.
    #[must_use]
    pub fn new(first: Option<PathBuf>) -> Self {
        use etcetera::BaseStrategy;
        let cache =
            etcetera::base_strategy::choose_native_strategy().ok().map(|s| s.cache_dir().join("intrain"));
        Self { folders: first.into_iter().chain(cache).collect() }
    }

    /// This folder and no other.
    #[must_use]
    pub fn only(folder: impl Into<PathBuf>) -> Self {
        Self { folders: vec![folder.into()] }
    }

    /// The folder that downloads go to, if there is any.
    #[must_use]
    pub fn first(&self) -> Option<&Path> {
        self.folders.first().map(PathBuf::as_path)
    }

    /// The folder of a data set.
    fn locate(&self, name: &str) -> Result<PathBuf, DataError> {
        let candidates: Vec<PathBuf> = self.folders.iter().map(|folder| folder.join(name)).collect();
        match candidates.iter().find(|candidate| candidate.is_dir()) {
            Some(found) => Ok(found.clone()),
            None => Err(DataError::NotFound { name: name.to_owned(), looked_at: candidates }),
        }
    }
}

/// Loads a data set: a name of [`ENTRIES`], `csv:PATH`, `npz:PATH` or `folder:PATH`.
///
/// # Errors
/// The name is unknown, or a file is missing, damaged or too large.
pub fn load(spec: &str, folders: &DataFolders) -> Result<Dataset, DataError> {
    load_for(spec, folders, None)
}

/// Loads a data set for a trained network, whose encoder says how numbers become bytes, where it has one.
///
/// # Errors
/// As [`load`]; and features that the encoder does not know.
pub fn load_for(spec: &str, folders: &DataFolders, encoder: Option<&Encoder>) -> Result<Dataset, DataError> {
    if let Some(path) = spec.strip_prefix("csv:") {
        return tables::load(path, spec, encoder);
    }
    if let Some(path) = spec.strip_prefix("npz:") {
        return npz::load(path, spec, encoder);
    }
    if let Some(path) = spec.strip_prefix("folder:") {
        return folder::load(Path::new(path), spec);
    }
    match spec {
        "digits" => digits::load(),
        "mnist" => mnist::DIGITS.load(spec, &folders.locate(spec)?),
        "fashion-mnist" => mnist::FASHION.load(spec, &folders.locate(spec)?),
        "cifar-10" => load_cifar(spec, &cifar::TEN, &folders.locate(spec)?),
        "cifar-100" => load_cifar(spec, &cifar::HUNDRED, &folders.locate(spec)?),
        "svhn" => load_svhn(spec, &folders.locate(spec)?),
        _ => Err(unknown(spec)),
    }
}

/// The error for a name that is not in the list.
pub(crate) fn unknown(name: &str) -> DataError {
    let similarity = |entry: &Entry| strsim::jaro_winkler(&name.to_lowercase(), entry.name);
    let nearest = ENTRIES.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    let nearest = nearest.filter(|entry| similarity(entry) > 0.7).map(|entry| entry.name);
    let known = ENTRIES.iter().map(|entry| entry.name).collect();
    DataError::UnknownName { name: name.to_owned(), nearest, known }
}

fn load_cifar(name: &str, cifar: &Cifar, folder: &Path) -> Result<Dataset, DataError> {
    let (unpacked, archive) = (folder.join(cifar.folder), folder.join(cifar.archive));
    let mut splits = [Split::default(), Split::default()];
    let mut warnings = Vec::new();
    let mut take = |file: &CifarFile, bytes: &[u8], path: &Path, to_remove: &Path| {
        warnings.extend(published::compare(bytes, file.sha256, name, path, to_remove));
        let split = cifar.parse(bytes, file.n_images, path)?;
        let part = &mut splits[usize::from(file.part == Part::Test)];
        if part.is_empty() {
            let n_images: usize =
                cifar.files.iter().filter(|f| f.part == file.part).map(|f| f.n_images).sum();
            reserve(&mut part.images, n_images * cifar::SHAPE.n_values(), path)?;
        }
        part.images.extend_from_slice(&split.images);
        part.labels.extend_from_slice(&split.labels);
        Ok::<(), DataError>(())
    };
    if unpacked.is_dir() {
        for file in cifar.files {
            let path = unpacked.join(file.name);
            if !path.is_file() {
                return Err(DataError::NotFound { name: name.to_owned(), looked_at: vec![path] });
            }
            take(file, &read_file(&path, cifar.max_file_bytes)?, &path, &unpacked)?;
        }
    } else if archive.is_file() {
        let file = std::fs::File::open(&archive).map_err(|e| DataError::io(&archive, "open", e))?;
        let files = cifar.unpack(std::io::BufReader::new(file), cifar.max_file_bytes, &archive)?;
        for (file, bytes) in cifar.files.iter().zip(files) {
            let member = PathBuf::from(format!("{}:{}", archive.display(), file.name));
            take(file, &bytes, &member, &archive)?;
        }
    } else {
        return Err(DataError::NotFound { name: name.to_owned(), looked_at: vec![unpacked, archive] });
    }
    let mut dataset = Dataset::new(name, cifar::SHAPE, cifar.classes.len(), splits, folder)?;
    dataset.warnings = warnings;
    Ok(dataset.with_class_names(cifar.classes))
}

fn load_svhn(name: &str, folder: &Path) -> Result<Dataset, DataError> {
    let mut splits = [Split::default(), Split::default()];
    let mut warnings = Vec::new();
    let files = svhn::FILES.into_iter().zip(svhn::N_IMAGES);
    for (split, ((file, _, sha256), n_images)) in splits.iter_mut().zip(files) {
        let path = folder.join(file);
        if !path.is_file() {
            return Err(DataError::NotFound { name: name.to_owned(), looked_at: vec![path] });
        }
        let bytes = read_file(&path, svhn::MAX_FILE_BYTES)?;
        warnings.extend(published::compare(&bytes, sha256, name, &path, &path));
        *split = svhn::parse(&bytes, n_images, &path)?;
    }
    let classes = &mnist::DIGITS.classes;
    let mut dataset = Dataset::new(name, svhn::SHAPE, classes.len(), splits, folder)?;
    dataset.warnings = warnings;
    Ok(dataset.with_class_names(classes))
}

/// The files and folders that a data set is read from, the one that it is called by first; none for a data set that has a name.
///
/// ```
/// let files = intrain_data::sources("csv:a/iris.csv,label=species,test=b.csv");
/// assert_eq!(files, [std::path::Path::new("a/iris.csv"), std::path::Path::new("b.csv")]);
/// assert!(intrain_data::sources("mnist").is_empty());
/// ```
#[must_use]
pub fn sources(name: &str) -> Vec<PathBuf> {
    let Some((kind, text)) = name.split_once(':') else { return Vec::new() };
    match kind {
        "csv" => TableOptions::parse(text)
            .map(|options| [options.path].into_iter().chain(options.test).collect())
            .unwrap_or_default(),
        "npz" => NpzOptions::parse(text).map(|options| vec![options.path]).unwrap_or_default(),
        "folder" => FolderOptions::parse(text).map(|options| vec![options.path]).unwrap_or_default(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_get_the_nearest() {
        let folders = DataFolders::only("/nowhere");
        let message = |name: &str| load(name, &folders).unwrap_err().to_string();
        for (name, nearest) in [
            ("cifar10", "cifar-10"),
            ("cifar100", "cifar-100"),
            ("SVHN", "svhn"),
            ("MNIST", "mnist"),
            ("fashion_mnist", "fashion-mnist"),
            ("digit", "digits"),
        ] {
            assert!(message(name).contains(&format!("did you mean `{nearest}`?")), "{}", message(name));
        }
        let strange = message("zzz");
        assert!(!strange.contains("did you mean") && strange.contains("digits, mnist"), "{strange}");
    }

    #[test]
    fn missing_files_are_named_with_the_remedy() {
        let temporary = tempfile::tempdir().unwrap();
        let folders = DataFolders::only(temporary.path());
        let message = |name: &str| load(name, &folders).unwrap_err().to_string();
        assert!(message("mnist").contains(&temporary.path().join("mnist").display().to_string()));
        assert!(message("mnist").contains("intrain data fetch mnist"));
        std::fs::create_dir(temporary.path().join("mnist")).unwrap();
        assert!(message("mnist").contains("train-images-idx3-ubyte.gz"), "{}", message("mnist"));
        std::fs::create_dir(temporary.path().join("cifar-10")).unwrap();
        assert!(message("cifar-10").contains("cifar-10-binary.tar.gz"), "{}", message("cifar-10"));
        std::fs::create_dir(temporary.path().join("cifar-100")).unwrap();
        assert!(message("cifar-100").contains("cifar-100-binary.tar.gz"), "{}", message("cifar-100"));
        std::fs::create_dir(temporary.path().join("svhn")).unwrap();
        assert!(message("svhn").contains("train_32x32.mat"), "{}", message("svhn"));
        let message = load("npz:/no/such.npz", &folders).unwrap_err().to_string();
        assert!(message.starts_with("/no/such.npz: cannot open"), "{message}");
    }

    #[test]
    fn folders_come_in_order() {
        let folders = DataFolders::new(Some("/first".into()));
        assert_eq!(folders.first(), Some(Path::new("/first")));
        assert_eq!(DataFolders { folders: vec![] }.first(), None);
        let message = load("mnist", &DataFolders { folders: vec![] }).unwrap_err().to_string();
        assert!(message.contains("INTRAIN_DATA is not set"), "{message}");
    }
}
