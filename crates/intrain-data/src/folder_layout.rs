//! Where the images of a folder lie: which files belong to which class, to learn from, to choose by and to test.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::class_files::{Unread, entries};
use crate::error::few;
use crate::{DataError, Split};

/// An image file and the number of its class.
pub(crate) type File = (PathBuf, u16);

/// What the folder of images for validation may be called.
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];

/// The files of a data set, in the order of class and file name.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Names of the classes, in the order of their numbers.
    pub(crate) classes: Vec<OsString>,
    /// The folder of their images to learn from.
    class_folder: PathBuf,
    /// Images to learn from; also those to test, where there is no folder for these.
    pub(crate) train: Vec<File>,
    /// Images to test, where there is a folder for them.
    pub(crate) test: Option<Vec<File>>,
    /// Images to choose by; most folders have none.
    pub(crate) validation: Vec<File>,
    /// What is to be said about files that are not read.
    pub(crate) notes: Vec<String>,
}

impl Layout {
    /// Lists the files of a folder with `train/CLASS`, `test/CLASS` and perhaps `val/CLASS`, or of one with `CLASS`.
    ///
    /// # Errors
    /// A folder cannot be listed, a class has no image to learn from, or there are two folders for validation; it is named.
    pub(crate) fn find(folder: &Path) -> Result<Self, DataError> {
        let (train, test) = (folder.join("train"), folder.join("test"));
        let mut layout = if train.is_dir() || test.is_dir() {
            let validation = validation_folder(folder)?;
            let mut layout = Self::of_parts(train, &test, validation.as_deref())?;
            layout.notes.extend(note_of_other_parts(folder, validation.as_deref())?);
            layout
        } else {
            let (classes, mut unread) = (subfolders(folder)?, Unread::default());
            let train = list_images(folder, &classes, &mut unread)?;
            let (class_folder, validation) = (folder.to_owned(), Vec::new());
            Self { classes, class_folder, train, test: None, validation, notes: unread.notes() }
        };
        if let [class] = &layout.classes[..] {
            let class_folder = layout.class_folder.join(class);
            if layout.train.iter().any(|(path, _)| path.parent() != Some(&class_folder)) {
                layout.notes.push(format!(
                    "all images are of one class, {}, and some lie in folders below it; if those are the classes, name \
                     the folder that they lie in",
                    class_folder.display()
                ));
            }
        }
        Ok(layout)
    }

    fn of_parts(train: PathBuf, test: &Path, validation: Option<&Path>) -> Result<Self, DataError> {
        if let Some(validation) = validation.filter(|_| !test.is_dir()) {
            let problem = "is there, and no folder test beside it";
            let remedy = "put images to be measured on into a folder test, or rename this one to test";
            return Err(DataError::file(validation, problem, remedy));
        }
        let uses = [(&*train, test, "to learn from"), (test, &*train, "to be measured on")];
        if let Some((missing, there, whose)) = uses.into_iter().find(|(folder, ..)| !folder.exists()) {
            let problem = format!("is not there, beside {}", there.display());
            let remedy = format!(
                "put images {whose} into its classes; or name a folder of classes, of which a part is then taken for the test"
            );
            return Err(DataError::file(missing, problem, remedy));
        }
        let classes = subfolders(&train)?;
        for part in [Some(test), validation].into_iter().flatten() {
            if let Some(class) = subfolders(part)?.into_iter().find(|class| !classes.contains(class)) {
                let problem = format!("is not a class of {}", train.display());
                let remedy = "a class needs images to learn from";
                return Err(DataError::file(&part.join(class), problem, remedy));
            }
        }
        let mut unread = Unread::default();
        let mut list = |part: &Path| list_images(part, &classes, &mut unread);
        let (train_files, test_files) = (list(&train)?, list(test)?);
        let validation_files = validation.map_or(Ok(Vec::new()), list)?;
        Ok(Self {
            classes,
            class_folder: train,
            train: train_files,
            test: Some(test_files),
            validation: validation_files,
            notes: unread.notes(),
        })
    }

    /// Number of files.
    pub(crate) fn n_files(&self) -> usize {
        self.train.len() + self.test.as_ref().map_or(0, Vec::len) + self.validation.len()
    }

    /// Checks that each class has an image to learn from among those with these labels.
    ///
    /// # Errors
    /// A class has none; its folder is named.
    pub(crate) fn check_classes(&self, labels: &[u16]) -> Result<(), DataError> {
        let mut has_images = vec![false; self.classes.len()];
        labels.iter().for_each(|label| has_images[usize::from(*label)] = true);
        let Some(class) = has_images.iter().position(|has| !has) else { return Ok(()) };
        let n_files = self.train.iter().filter(|(_, label)| usize::from(*label) == class).count();
        let problem = format!("holds 0 images to learn from that can be read, of {n_files}");
        let folder = self.class_folder.join(&self.classes[class]);
        Err(DataError::file(&folder, problem, "put images there or remove the folder"))
    }

    /// Parts images of classes without a folder for the test, and notes how.
    ///
    /// # Errors
    /// No class has a second image, so none is left to test.
    pub(crate) fn part(
        &self,
        all: Split,
        n_values: usize,
        notes: &mut Vec<String>,
    ) -> Result<[Split; 2], DataError> {
        let folder = self.class_folder.display();
        let mut counts = vec![0_usize; self.classes.len()];
        all.labels.iter().for_each(|label| counts[usize::from(*label)] += 1);
        let single = counts.iter().zip(&self.classes).filter(|(count, _)| **count == 1);
        let single: Vec<String> = single.map(|(_, class)| class.to_string_lossy().into_owned()).collect();
        if single.len() == self.classes.len() {
            let problem =
                format!("has no folder test, and each of its classes ({}) has 1 image", few(&single));
            let remedy = "give a class at least 2 images, or sort them into folders train and test";
            return Err(DataError::file(&self.class_folder, problem, remedy));
        }
        let (train, test) = all.a_fifth_of_each_class_is_test(n_values, self.classes.len());
        notes.push(format!(
            "{folder} has no folders train and test: of each class, every fifth image in the order of names is for the \
             test, of 2 to 4 images the last: {} images to learn from, {} to test",
            train.len(),
            test.len()
        ));
        if !single.is_empty() {
            notes.push(format!("{folder}: classes with 1 image are not tested: {}", few(&single)));
        }
        Ok([train, test])
    }
}

/// The folder of images for validation, if there is one.
///
/// # Errors
/// There are two.
fn validation_folder(folder: &Path) -> Result<Option<PathBuf>, DataError> {
    let mut found = VALIDATION.iter().map(|name| folder.join(name)).filter(|path| path.is_dir());
    let (first, second) = (found.next(), found.next());
    match (&first, second) {
        (Some(first), Some(second)) => {
            let problem = format!("is for validation, and so is {}", first.display());
            Err(DataError::file(&second, problem, "keep one of the two folders"))
        }
        _ => Ok(first),
    }
}

/// A sentence about folders beside those of the parts.
///
/// # Errors
/// The folder cannot be listed.
fn note_of_other_parts(folder: &Path, validation: Option<&Path>) -> Result<Option<String>, DataError> {
    let mut others = entries(folder)?;
    let is_part = |path: &PathBuf| {
        path.ends_with("train") || path.ends_with("test") || Some(path.as_path()) == validation
    };
    others.retain(|path| path.is_dir() && !is_part(path));
    let names = others.iter().filter_map(|path| path.file_name());
    let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    let folder = folder.display();
    let note = || {
        format!("{folder}: only train, val and test are read, these folders are not used: {}", few(&names))
    };
    Ok((!names.is_empty()).then(note))
}

/// Names of the folders in a folder, sorted; hidden ones do not count.
fn subfolders(folder: &Path) -> Result<Vec<OsString>, DataError> {
    let mut names: Vec<_> = entries(folder)?
        .into_iter()
        .filter(|path| path.is_dir())
        .filter_map(|path| path.file_name().map(OsStr::to_owned))
        .collect();
    names.sort();
    let limit = usize::from(u16::MAX) + 1;
    if names.is_empty() || names.len() > limit {
        let problem = format!("holds {} folders, expected one for each of 1 to {limit} classes", names.len());
        return Err(DataError::file(folder, problem, "sort the images into folders named for their classes"));
    }
    Ok(names)
}

/// Image files of every class, with their labels. A class without a folder here has none.
fn list_images(folder: &Path, classes: &[OsString], unread: &mut Unread) -> Result<Vec<File>, DataError> {
    let mut files = Vec::new();
    for (label, class) in (0_u16..).zip(classes) {
        let class_folder = folder.join(class);
        if class_folder.is_dir() {
            files.extend(unread.list(&class_folder)?.into_iter().map(|path| (path, label)));
        }
    }
    Ok(files)
}
