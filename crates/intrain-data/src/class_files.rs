//! The files of a class: which are images that are read, which are images of other kinds, which do not count.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::DataError;

/// Endings of the images that are read.
const READ: [&str; 5] = ["png", "jpg", "jpeg", "bmp", "webp"];
/// Endings of images that are not read, so that nobody takes them for learned.
const OTHER: [&str; 28] = [
    "arw", "avif", "cr2", "cr3", "dds", "dng", "exr", "gif", "hdr", "heic", "heif", "ico", "jfif", "jp2",
    "jpe", "jxl", "nef", "pbm", "pcx", "pgm", "pnm", "ppm", "psd", "qoi", "svg", "tga", "tif", "tiff",
];
/// Folders that systems and archivers put beside those of people, besides the ones with a dot in front.
const OF_SYSTEMS: [&str; 2] = ["__MACOSX", "@eaDir"];

/// Whether a file or folder is no part of a data set: `.DS_Store`, `._1.png`, `__MACOSX`.
pub(crate) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || OF_SYSTEMS.iter().any(|system| name == *system)
}

/// What lies in folders without being hidden, sorted.
///
/// # Errors
/// The folder cannot be listed; it is named.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = std::fs::read_dir(folder).and_then(|dir| dir.map(|e| Ok(e?.path())).collect());
    let mut paths: Vec<PathBuf> = read.map_err(|e| DataError::io(folder, "list", e))?;
    paths.retain(|path| !path.file_name().is_none_or(is_hidden));
    paths.sort();
    Ok(paths)
}

/// What lies among the images of classes and is not read.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    /// Images of other kinds: how many by their endings.
    kinds: BTreeMap<String, usize>,
    /// The first of them.
    first: Option<PathBuf>,
}

impl Unread {
    /// The images of a class, sorted by their paths; what else there is is counted.
    ///
    /// # Errors
    /// The folder cannot be listed, or there is no image.
    pub(crate) fn list(&mut self, class_folder: &Path) -> Result<Vec<PathBuf>, DataError> {
        let (mut images, mut of_class) = (Vec::new(), Self::default());
        for path in entries(class_folder)? {
            let ending = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
            let Some(ending) = ending else { continue };
            if READ.contains(&&*ending) {
                images.push(path);
            } else if OTHER.contains(&&*ending) {
                of_class.add(ending, 1, &path);
            }
        }
        if images.is_empty() {
            let mut problem = "holds 0 files named .png, .jpg, .jpeg, .bmp or .webp".to_owned();
            if of_class.first.is_some() {
                problem = format!("{problem}, but images of other kinds ({})", of_class.counts());
            }
            let remedy = "put images there, converted to PNG if need be, or remove the folder";
            return Err(DataError::file(class_folder, problem, remedy));
        }
        let Self { kinds, first } = of_class;
        if let Some(first) = first {
            kinds.into_iter().for_each(|(kind, n)| self.add(kind, n, &first));
        }
        Ok(images)
    }

    /// Sentences about what was not read, none if there was nothing.
    pub(crate) fn notes(&self) -> Vec<String> {
        let note = |first: &PathBuf| {
            let n_images: usize = self.kinds.values().sum();
            let (counts, first) = (self.counts(), first.display());
            format!(
                "{n_images} images are of kinds that are not read, and not in the data set: {counts}, first {first}; \
                 convert them to PNG"
            )
        };
        self.first.iter().map(note).collect()
    }

    fn add(&mut self, kind: String, n: usize, path: &Path) {
        *self.kinds.entry(kind).or_default() += n;
        self.first.get_or_insert_with(|| path.to_owned());
    }

    /// `2 .gif, 1 .heic`.
    fn counts(&self) -> String {
        self.kinds.iter().map(|(kind, n)| format!("{n} .{kind}")).collect::<Vec<_>>().join(", ")
    }
}
