//! NPZ files with four arrays: `x_train y_train x_test y_test`, or `train_images train_labels test_images test_labels`; with
//! `x_val y_val`, or `val_images val_labels`, they have images for validation too.
//!
//! Images are `[n, height, width]` or `[n, height, width, channels]`, or features `[n, features]` as images of one row, in C
//! order or in Fortran order: uint8, or floats in 0 to 1, which become `round(255 x)`, ties away from zero;
//! `,range=LOW..HIGH` behind the path is for other floats and integers. `,layout=nchw` says that channels come first; where
//! they seem to, nothing is read until that or `,layout=nhwc` is said. Labels are `[n]` or `[n, 1]` of any integer type; there
//! are as many classes as the greatest label plus one.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use crate::bounded::{COPY_AGAIN, MAX_BYTES, read_file, read_promised, read_start, too_long};
use crate::encoder::{Encoder, Range};
use crate::layout::{Axes, Layout};
use crate::npy::{self, Header, Kind};
use crate::npz_options::NpzOptions;
use crate::pixels;
use crate::{DataError, Dataset, ImageShape, Split, mat};

/// The two spellings of the arrays: images and labels to learn from, then to test, then for validation.
const SPELLINGS: [[[&str; 2]; 3]; 2] = [
    [["x_train", "y_train"], ["x_test", "y_test"], ["x_val", "y_val"]],
    [["train_images", "train_labels"], ["test_images", "test_labels"], ["val_images", "val_labels"]],
];

const SAVEZ: &str =
    "save all four arrays with numpy.savez(file, x_train=..., y_train=..., x_test=..., y_test=...)";

/// Reads a data set from the bytes of an NPZ file.
///
/// # Errors
/// The archive is corrupt, an array is missing or of another type or shape, or a value is out of range.
pub fn parse(bytes: &[u8], name: &str, path: &Path) -> Result<Dataset, DataError> {
    let options = NpzOptions { path: path.to_owned(), ..NpzOptions::default() };
    parse_with(bytes, name, &Reading { options, encoder: None })
}

/// Reads a data set from an NPZ file; options may stand behind its path. Values become bytes as `encoder` has it, where a
/// trained network brings one and no range is said.
///
/// # Errors
/// As [`parse`]; or the file cannot be read, or an option is none.
pub(crate) fn load(path: &str, name: &str, encoder: Option<&Encoder>) -> Result<Dataset, DataError> {
    let options = NpzOptions::parse(path)?;
    let encoder = encoder.filter(|_| options.range.is_none());
    parse_with(&read_file(&options.path, MAX_BYTES)?, name, &Reading { options, encoder })
}

/// How arrays are read.
struct Reading<'a> {
    options: NpzOptions,
    /// That of a trained network.
    encoder: Option<&'a Encoder>,
}

fn parse_with(bytes: &[u8], name: &str, reading: &Reading<'_>) -> Result<Dataset, DataError> {
    let path = &reading.options.path;
    if let Some(problem) = another_format(bytes) {
        return Err(DataError::file(path, problem, SAVEZ));
    }
    let corrupt =
        |e: ZipError| DataError::file(path, format!("cannot be read as a zip archive: {e}"), COPY_AGAIN);
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(corrupt)?;
    let has = |array: &str| archive.index_for_name(&format!("{array}.npy")).is_some();
    let Some(arrays) = SPELLINGS.into_iter().find(|[[images, _], ..]| has(images)) else {
        return Err(DataError::file(path, "holds neither x_train nor train_images", SAVEZ));
    };
    let [train, test, validation] = arrays;
    let is_validated = validation.into_iter().any(has);
    // Headers come first: what they promise must fit together before any of it is unpacked.
    let train = Pair::open(&mut archive, train, reading)?;
    let test = Pair::open(&mut archive, test, reading)?;
    let validation = is_validated.then(|| Pair::open(&mut archive, validation, reading)).transpose()?;
    let shape = train.shape;
    train.check("training", shape, path)?;
    test.check("test", shape, path)?;
    validation.iter().try_for_each(|pair| pair.check("validation", shape, path))?;
    let (mut notes, mut warnings, encoder) = (Vec::new(), Vec::new(), train.encoder());
    let mut read = |pair: &Pair<'_>| pair.read(&mut archive, &mut notes, &mut warnings);
    let (train, test) = (read(&train)?, read(&test)?);
    let validation = validation.as_ref().map(read).transpose()?.unwrap_or_default();
    let greatest = train.labels.iter().chain(&test.labels).chain(&validation.labels).max();
    let n_classes = greatest.map_or(0, |&label| usize::from(label) + 1);
    let dataset = Dataset::new(name, shape, n_classes, [train, test], path)?;
    Ok(Dataset { notes, warnings, encoder, validation, ..dataset })
}

/// What a file is that somebody may take for an NPZ file.
fn another_format(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\x93NUMPY") {
        Some("is an NPY file of one array, expected an NPZ file of four")
    } else if mat::is_hdf5(bytes) {
        Some("is an HDF5 file (.h5, or .mat of MATLAB 7.3), expected an NPZ file: read it with h5py")
    } else if bytes.starts_with(b"MATLAB 5.0") {
        Some("is a MAT-file, expected an NPZ file: read it with scipy.io.loadmat")
    } else {
        None
    }
}

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// An array of which the header was read.
struct Member {
    /// For messages: `file.npz:x_train.npy`.
    path: PathBuf,
    /// In the archive: `x_train.npy`.
    name: String,
    header: Header,
    /// Bytes of the unpacked array: as many as the header promises.
    n_bytes: u64,
}

impl Member {
    fn open(archive: &mut Archive<'_>, array: &str, path: &Path) -> Result<Self, DataError> {
        let name = format!("{array}.npy");
        let path = PathBuf::from(format!("{}:{name}", path.display()));
        let file = Self::find(archive, &name, &path)?;
        let n_bytes = file.size();
        if n_bytes > MAX_BYTES {
            return Err(too_long(&path, MAX_BYTES));
        }
        let header = Header::parse(&read_start(file, npy::START_BYTES, &path, COPY_AGAIN)?, &path)?;
        header.check_length(n_bytes, &path)?;
        Ok(Self { path, name, header, n_bytes })
    }

    fn find<'a>(
        archive: &'a mut Archive<'_>,
        name: &str,
        path: &Path,
    ) -> Result<ZipFile<'a, impl std::io::Read>, DataError> {
        archive.by_name(name).map_err(|e| DataError::file(path, format!("cannot be read: {e}"), SAVEZ))
    }

    fn read(&self, archive: &mut Archive<'_>) -> Result<Vec<u8>, DataError> {
        let file = Self::find(archive, &self.name, &self.path)?;
        read_promised(file, self.n_bytes, &self.path, COPY_AGAIN)
    }
}

/// Images and their labels.
struct Pair<'a> {
    images: Member,
    layout: Layout,
    shape: ImageShape,
    reading: &'a Reading<'a>,
    labels: Member,
}

impl<'a> Pair<'a> {
    fn open(
        archive: &mut Archive<'_>,
        [images, labels]: [&str; 2],
        reading: &'a Reading<'a>,
    ) -> Result<Self, DataError> {
        let path = &reading.options.path;
        let images = Member::open(archive, images, path)?;
        let (layout, shape) = check_images(&images, reading)?;
        let labels = Member::open(archive, labels, path)?;
        check_labels(&labels)?;
        Ok(Self { images, layout, shape, reading, labels })
    }

    /// The trained network's encoder, where it is meant for these images.
    fn given(&self) -> Option<&'a Encoder> {
        let Header { kind, item_bytes, .. } = self.images.header;
        self.reading.encoder.filter(|encoder| pixels::is_encoded(kind, item_bytes, encoder))
    }

    /// How values become bytes; `None` where they are bytes.
    fn encoder(&self) -> Option<Encoder> {
        let range = self.reading.options.range;
        let is_encoded = self.images.header.kind == Kind::Float || range.is_some();
        let own = || is_encoded.then(|| Encoder::of_all(range.unwrap_or(Range::UNIT)));
        self.given().cloned().or_else(own)
    }

    /// Checks that there is a label for each image, and that images have the size of those to learn from.
    fn check(&self, which: &str, shape: ImageShape, path: &Path) -> Result<(), DataError> {
        let (n_images, n_labels) = (self.layout.sizes[0], self.labels.header.shape[0]);
        if n_images != n_labels {
            let problem =
                format!("{n_images} {which} images with {n_labels} labels, expected as many of each");
            return Err(DataError::file(path, problem, "check that images and labels belong together"));
        }
        if self.shape != shape {
            let problem = format!("training images are {shape}, but {which} images are {}", self.shape);
            return Err(DataError::file(path, problem, "give both the same size"));
        }
        Ok(())
    }

    fn read(
        &self,
        archive: &mut Archive<'_>,
        notes: &mut Vec<String>,
        warnings: &mut Vec<String>,
    ) -> Result<Split, DataError> {
        let bytes = self.images.read(archive)?;
        let (Member { path, header, .. }, range) = (&self.images, self.reading.options.range);
        let images = match self.given() {
            Some(encoder) => {
                let (images, clamped) = pixels::with_encoder(&bytes, encoder, &self.layout, path)?;
                let of = path.display().to_string();
                notes.extend(clamped.note(&of, "the range that the network knows", encoder));
                images
            }
            None => self.layout.in_order(pixels::from_npy(bytes, range, path)?),
        };
        let is_as_saved = header.kind != Kind::Float && range.is_none();
        warnings.extend(pixels::note_of_dark(&images, is_as_saved, path));
        let labels = to_labels(&self.labels.read(archive)?, &self.labels.path)?;
        Ok(Split { images, labels, names: vec![] })
    }
}

fn check_images(
    Member { path, header, .. }: &Member,
    Reading { options, encoder }: &Reading<'_>,
) -> Result<(Layout, ImageShape), DataError> {
    if options.axes.is_none() && Axes::seem_channels_first(&header.shape) {
        let problem = format!("has shape {:?}, which looks like channels first", header.shape);
        let remedy = "write `,layout=nchw` behind the path of the file if it is so, or `,layout=nhwc` to take the \
                      dimensions as [n, height, width, channels]";
        return Err(DataError::file(path, problem, remedy));
    }
    let axes = options.axes.unwrap_or(Axes::ChannelsLast);
    let Some(layout) = Layout::new(&header.shape, header.contiguous, axes) else {
        let problem = format!(
            "has shape {:?}, expected [n, height, width], [n, height, width, channels] or [n, features]",
            header.shape
        );
        return Err(DataError::file(path, problem, "reshape the images"));
    };
    let [n, height, width, channels] = layout.sizes;
    let shape = ImageShape::new(height, width, channels, path)?;
    shape.bytes_of(n, path)?;
    match encoder.filter(|encoder| pixels::is_encoded(header.kind, header.item_bytes, encoder)) {
        Some(encoder) if encoder.takes(shape.n_values()) => {}
        Some(encoder) => {
            let n = encoder.ranges().len();
            let problem =
                format!("has images of {} values, and the network knows {n} features", shape.n_values());
            return Err(DataError::file(
                path,
                problem,
                "give the features that it was trained on, in their order",
            ));
        }
        None => pixels::check_type(header.kind, header.item_bytes, options.range, path)?,
    }
    Ok((layout, shape))
}

fn check_labels(Member { path, header, .. }: &Member) -> Result<(), DataError> {
    if !matches!(*header.shape.as_slice(), [_] | [_, 1]) {
        let problem = format!("has shape {:?}, expected [n] or [n, 1]", header.shape);
        return Err(DataError::file(path, problem, "save class numbers, not one-hot vectors: y.argmax(1)"));
    }
    if header.kind == Kind::Float {
        let problem = format!("is of type {}, expected integers", header.type_name());
        return Err(DataError::file(path, problem, "convert the labels with astype(\"int64\")"));
    }
    Ok(())
}

/// The labels of an array that was checked.
fn to_labels(bytes: &[u8], path: &Path) -> Result<Vec<u16>, DataError> {
    let array = npy::parse(bytes, path)?;
    let integers = array.integers().into_iter().flatten();
    let labels = integers.enumerate().map(|(index, y)| u16::try_from(y).map_err(|_| (index, y)));
    labels.collect::<Result<_, _>>().map_err(|(index, y)| {
        let problem = format!("label {index} is {y}, the limits are 0 and {}", u16::MAX);
        DataError::file(path, problem, "number the classes from 0")
    })
}
