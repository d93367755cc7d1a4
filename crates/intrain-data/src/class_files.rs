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
/// Most folders between an image and the folder of its class.
const MAX_DEPTH: usize = 16;
/// Folders that systems and archivers put beside those of people, besides the ones with a dot in front.
const OF_SYSTEMS: [&str; 2] = ["__MACOSX", "@eaDir"];

/// Whether a file or folder is no part of a data set: `.DS_Store`, `._1.png`, `__MACOSX`.
pub(crate) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || OF_SYSTEMS.iter().any(|system| name == *system)
}

/// What lies in a folder without being hidden, sorted.
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
    /// Links to folders.
    n_links: usize,
    /// The first of them.
    first_link: Option<PathBuf>,
}

impl Unread {
    /// The images of a class, in its folder or in folders below, sorted by their paths; what else there is is counted.
    ///
    /// # Errors
    /// A folder cannot be listed or lies too deep, or there is no image.
    pub(crate) fn list(&mut self, class_folder: &Path) -> Result<Vec<PathBuf>, DataError> {
        let (mut images, mut of_class) = (Vec::new(), Self::default());
        of_class.walk(class_folder, 0, &mut images)?;
        if images.is_empty() {
            let mut problem = "holds 0 files named .png, .jpg, .jpeg, .bmp or .webp".to_owned();
            if of_class.first.is_some() {
                problem = format!("{problem}, but images of other kinds ({})", of_class.counts());
            }
            let remedy = "put images there, converted to PNG if need be, or remove the folder";
            return Err(DataError::file(class_folder, problem, remedy));
        }
        images.sort();
        let Self { kinds, first, n_links, first_link } = of_class;
        kinds.into_iter().for_each(|(kind, n)| *self.kinds.entry(kind).or_default() += n);
        self.first = self.first.take().or(first);
        self.n_links += n_links;
        self.first_link = self.first_link.take().or(first_link);
        Ok(images)
    }

    /// Takes the images of a folder `depth` folders below its class. Links to folders are counted and not followed, so
    /// there are no circles and no image is there twice.
    fn walk(&mut self, folder: &Path, depth: usize, images: &mut Vec<PathBuf>) -> Result<(), DataError> {
        if depth > MAX_DEPTH {
            let problem = format!("lies {depth} folders below its class, the limit is {MAX_DEPTH}");
            return Err(DataError::file(folder, problem, "put its images into a folder further up"));
        }
        for path in entries(folder)? {
            if path.is_dir() {
                if path.is_symlink() {
                    self.n_links += 1;
                    self.first_link.get_or_insert(path);
                } else {
                    self.walk(&path, depth + 1, images)?;
                }
                continue;
            }
            let ending = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
            let Some(ending) = ending else { continue };
            if READ.contains(&&*ending) {
                images.push(path);
            } else if OTHER.contains(&&*ending) {
                *self.kinds.entry(ending).or_default() += 1;
                self.first.get_or_insert(path);
            }
        }
        Ok(())
    }

    /// Sentences about what was not read, none if there was nothing.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(first) = &self.first {
            let (n, counts, first) = (self.kinds.values().sum::<usize>(), self.counts(), first.display());
            notes.push(format!(
                "{n} images are of kinds that are not read, and not in the data set: {counts}, first {first}; \
                 convert them to PNG"
            ));
        }
        if let Some(first) = &self.first_link {
            let (n, first) = (self.n_links, first.display());
            notes.push(format!(
                "{n} links to folders below classes were not followed, first {first}; move the images there"
            ));
        }
        notes
    }

    /// `2 .gif, 1 .heic`.
    fn counts(&self) -> String {
        self.kinds.iter().map(|(kind, n)| format!("{n} .{kind}")).collect::<Vec<_>>().join(", ")
    }
}
