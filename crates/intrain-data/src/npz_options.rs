//! What may stand behind the path of an NPZ file: `PATH,layout=nchw,range=-1..1`.

use std::path::PathBuf;

use crate::DataError;
use crate::encoder::Range;
use crate::layout::Axes;
use crate::spec::split;

/// A file and how its arrays are read.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct NpzOptions {
    /// The file.
    pub(crate) path: PathBuf,
    /// Which dimension of images is which; `None` where nobody said so.
    pub(crate) axes: Option<Axes>,
    /// Which values become 0 and 255; `None` where nobody said so.
    pub(crate) range: Option<Range>,
}

impl NpzOptions {
    /// Takes options from the end of a text, as long as there are some; the rest is the path. A text that is the path of
    /// a file has none.
    ///
    /// # Errors
    /// An option that is none, or a value that it can't have.
    pub(crate) fn parse(text: &str) -> Result<Self, DataError> {
        let mut options = Self::default();
        let (path, parts) = split(text)?;
        for (key, value) in parts {
            match key {
                "layout" => options.axes = Some(parse_axes(value)?),
                "range" => options.range = Some(parse_range(value)?),
                _ => {
                    return Err(DataError::setting(
                        "the option of an NPZ file",
                        &format!("{key}={value}"),
                        "layout=nchw or range=LOW..HIGH",
                    ));
                }
            }
        }
        options.path = path.into();
        Ok(options)
    }
}

fn parse_axes(text: &str) -> Result<Axes, DataError> {
    match text {
        "nhwc" => Ok(Axes::ChannelsLast),
        "nchw" => Ok(Axes::ChannelsFirst),
        _ => {
            let limit =
                "`nhwc` (images, height, width, channels) or `nchw` (images, channels, height, width)";
            Err(DataError::setting("layout", text, limit))
        }
    }
}

fn parse_range(text: &str) -> Result<Range, DataError> {
    let limit = "two finite numbers in order, LOW..HIGH, as -1..1: the values that become 0 and 255";
    Range::parse(text).ok_or_else(|| DataError::setting("range", text, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_behind_the_path() {
        let parse = |text: &str| NpzOptions::parse(text).unwrap();
        assert_eq!(parse("a,b.npz"), NpzOptions { path: "a,b.npz".into(), axes: None, range: None });
        let all = parse("a,b/c=d.npz,layout=nchw");
        assert_eq!((all.path, all.axes), ("a,b/c=d.npz".into(), Some(Axes::ChannelsFirst)));
        assert_eq!(parse("a.npz,layout=nhwc").axes, Some(Axes::ChannelsLast));
        let both = parse("a.npz,range=-2.5..1,layout=nchw");
        assert_eq!((both.range, both.path), (Range::parse("-2.5..1"), "a.npz".into()));
        for (text, part) in [
            ("a.npz,layout=hwcn", "layout is hwcn, but must be `nhwc`"),
            ("a.npz,resize=8", "is resize=8, but must be layout=nchw or range=LOW..HIGH"),
            ("a.npz,range=1..-1", "range is 1..-1, but must be two finite numbers in order"),
        ] {
            let message = NpzOptions::parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_file_of_that_name_has_no_options() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run,lr=1.npz");
        std::fs::write(&path, "").unwrap();
        assert_eq!(NpzOptions::parse(path.to_str().unwrap()).unwrap().path, path);
        let with = format!("{},layout=nchw", path.display());
        let options = NpzOptions::parse(&with).unwrap();
        assert_eq!((options.path, options.axes), (path, Some(Axes::ChannelsFirst)));
    }
}
