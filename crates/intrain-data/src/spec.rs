//! What stands behind `KIND:` in the name of a data set of the user's own: `PATH,key=value,...`.

use std::path::Path;

use crate::DataError;

/// The path and the options behind it, each `key=value`, the last one first. A key is small letters; commas may stand in a path
/// and in a value. What is a path as it stands, because something is there, has no options.
///
/// # Errors
/// A key that is there twice: one of its values would count for nothing.
pub(crate) fn split(text: &str) -> Result<(&Path, Options<'_>), DataError> {
    let (mut path, mut options) = (text, Vec::new());
    while !Path::new(path).exists() {
        let Some((before, key, value)) = last_option(path) else { break };
        if let Some((_, later)) = options.iter().find(|(other, _)| *other == key) {
            let both = format!("{key}={value},{key}={later}");
            return Err(DataError::setting("the option", &both, "given once"));
        }
        options.push((key, value));
        path = before;
    }
    Ok((Path::new(path), options))
}

/// Keys with their values.
type Options<'a> = Vec<(&'a str, &'a str)>;

/// The text before the last `,key=value`, the key, and the value.
fn last_option(text: &str) -> Option<(&str, &str, &str)> {
    let is_key = |(_, key): &(usize, &str)| !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase());
    let mut starts = text.match_indices(',').filter_map(|(comma, _)| {
        let key = text[comma + 1..].split_once('=')?.0;
        Some((comma, key)).filter(is_key)
    });
    let (comma, key) = starts.next_back()?;
    Some((&text[..comma], key, &text[comma + key.len() + 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_behind_a_path() {
        let path = Path::new;
        assert_eq!(split("a,b.npz").unwrap(), (path("a,b.npz"), vec![]));
        assert_eq!(split("a,b/c=d,x=1,y=2,3").unwrap(), (path("a,b/c=d"), vec![("y", "2,3"), ("x", "1")]));
        assert_eq!(split("a,X=1").unwrap(), (path("a,X=1"), vec![]));
        let error = split("a,x=1,y=2,x=3").unwrap_err().to_string();
        assert_eq!(error, "the option is x=1,x=3, but must be given once");
        // What is there is meant.
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("a,crop=2");
        std::fs::create_dir(&there).unwrap();
        let text = format!("{},crop=1", there.display());
        assert_eq!(split(&text).unwrap(), (there.as_path(), vec![("crop", "1")]));
    }
}
