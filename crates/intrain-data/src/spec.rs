//! What stands behind `KIND:` in the name of a data set of the user's own: `PATH,key=value,...`.

use std::path::Path;

/// The path and the options behind it, each `key=value`, the last one first. A key is small letters; commas may stand in a path
/// and in a value. What is a path as it stands, because something is there, has no options.
pub(crate) fn split(text: &str) -> (&Path, Vec<(&str, &str)>) {
    let (mut path, mut options) = (text, Vec::new());
    while !Path::new(path).exists() {
        let Some((before, key, value)) = last_option(path) else { break };
        options.push((key, value));
        path = before;
    }
    (Path::new(path), options)
}

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
        assert_eq!(split("a,b.npz"), (path("a,b.npz"), vec![]));
        assert_eq!(split("a,b/c=d,x=1,y=2,3"), (path("a,b/c=d"), vec![("y", "2,3"), ("x", "1")]));
        assert_eq!(split("a,X=1"), (path("a,X=1"), vec![]));
        // What is there is meant.
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("a,crop=2");
        std::fs::create_dir(&there).unwrap();
        let text = format!("{},crop=1", there.display());
        assert_eq!(split(&text), (there.as_path(), vec![("crop", "1")]));
    }
}
