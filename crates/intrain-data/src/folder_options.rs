//! What may stand behind the path of a folder of images: `PATH,resize=256,crop=224,broken=skip`.

use std::path::PathBuf;

use crate::spec::split;
use crate::{DataError, ImageShape};

/// A folder and how its images are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FolderOptions {
    /// The folder.
    pub(crate) path: PathBuf,
    /// Side of the squares that images are brought to.
    pub(crate) resize: Option<usize>,
    /// Side of the squares that batches are cut of.
    pub(crate) crop: Option<usize>,
    /// Whether an image that can't be read is left out, instead of stopping.
    pub(crate) skips_broken: bool,
}

impl FolderOptions {
    /// Takes options from the end of a text, as long as there are some; the rest is the path.
    ///
    /// # Errors
    /// An option that is none, or a value that it can't have.
    pub(crate) fn parse(text: &str) -> Result<Self, DataError> {
        let mut options = Self { path: PathBuf::new(), resize: None, crop: None, skips_broken: false };
        let (path, parts) = split(text)?;
        for (key, value) in parts {
            match (key, value) {
                ("resize", side) => options.resize = Some(parse_side("resize", side)?),
                ("crop", side) => options.crop = Some(parse_side("crop", side)?),
                ("broken", "skip") => options.skips_broken = true,
                ("broken", "stop") => options.skips_broken = false,
                ("broken", other) => return Err(DataError::setting("broken", other, "`stop` or `skip`")),
                _ => {
                    return Err(DataError::setting(
                        "the option of a folder",
                        &format!("{key}={value}"),
                        "resize=N, crop=N or broken=skip",
                    ));
                }
            }
        }
        options.path = path.into();
        match (options.resize, options.crop) {
            (Some(resize), Some(crop)) if crop > resize => Err(DataError::setting(
                "crop",
                &crop.to_string(),
                &format!("at most {resize}, what resize gives"),
            )),
            _ => Ok(options),
        }
    }
}

fn parse_side(name: &'static str, text: &str) -> Result<usize, DataError> {
    let side = text.parse().ok().filter(|side| (1..=ImageShape::MAX_SIDE).contains(side));
    side.ok_or_else(|| {
        DataError::setting(name, text, &format!("a side in pixels, 1 to {}", ImageShape::MAX_SIDE))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_behind_the_path() {
        let parse = |text: &str| FolderOptions::parse(text).unwrap();
        assert_eq!(parse("a,b").path, PathBuf::from("a,b"));
        let all = parse("a,b/c=d,resize=256,crop=224,broken=skip");
        assert_eq!((all.path, all.resize, all.crop), (PathBuf::from("a,b/c=d"), Some(256), Some(224)));
        assert!(all.skips_broken);
        for (text, part) in [
            ("a,resize=0", "resize is 0"),
            ("a,resize=x", "1 to 4096"),
            ("a,resize=8,crop=9", "at most 8"),
            ("a,broken=maybe", "`stop` or `skip`"),
            ("a,size=8", "is size=8, but must be resize=N"),
        ] {
            let message = FolderOptions::parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
