//! What may stand behind the path of a table: `PATH,label=species,test=test.csv,delimiter=tab`.

use std::path::PathBuf;

use crate::DataError;
use crate::spec::split;

/// A table and how it is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TableOptions {
    /// The file.
    pub(crate) path: PathBuf,
    /// The column of the classes: its name, or its number from 0.
    pub(crate) label: Option<String>,
    /// The file of the rows to be measured on.
    pub(crate) test: Option<PathBuf>,
    /// What stands between two fields; `None` where it is found out.
    pub(crate) delimiter: Option<u8>,
}

impl TableOptions {
    /// Takes options from the end of a text, as long as there are some; the rest is the path. A text that is the path of a
    /// file has none.
    ///
    /// # Errors
    /// An option that is none, or a value that it can't have.
    pub(crate) fn parse(text: &str) -> Result<Self, DataError> {
        let mut options = Self::default();
        let (path, parts) = split(text)?;
        for (key, value) in parts {
            match key {
                "label" => options.label = Some(value.to_owned()),
                "test" => options.test = Some(value.into()),
                "delimiter" => options.delimiter = Some(parse_delimiter(value)?),
                _ => {
                    let option = format!("{key}={value}");
                    let limit = "label=COLUMN, test=PATH or delimiter=D";
                    return Err(DataError::setting("the option of a table", &option, limit));
                }
            }
        }
        options.path = path.into();
        Ok(options)
    }
}

fn parse_delimiter(text: &str) -> Result<u8, DataError> {
    let byte = match text {
        "comma" => Some(b','),
        "semicolon" => Some(b';'),
        "tab" => Some(b'\t'),
        "space" => Some(b' '),
        _ => <[u8; 1]>::try_from(text.as_bytes()).ok().map(|[byte]| byte),
    };
    let is_free =
        |byte: &u8| byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\"\r\n.+-".contains(byte);
    byte.filter(is_free).ok_or_else(|| {
        let limit = "comma, semicolon, tab, space, or a single sign that stands in no number";
        DataError::setting("delimiter", text, limit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_behind_the_path() {
        let parse = |text: &str| TableOptions::parse(text).unwrap();
        assert_eq!(parse("a,b.csv"), TableOptions { path: "a,b.csv".into(), ..TableOptions::default() });
        let all = parse("a,b/c=d.csv,label=the class, or so,test=e.csv,delimiter=tab");
        assert_eq!((all.path, all.label), ("a,b/c=d.csv".into(), Some("the class, or so".to_owned())));
        assert_eq!((all.test, all.delimiter), (Some("e.csv".into()), Some(b'\t')));
        for (text, byte) in [(";", b';'), ("|", b'|'), (",", b','), ("semicolon", b';')] {
            assert_eq!(parse(&format!("a.csv,label=x,delimiter={text}")).delimiter, Some(byte), "{text}");
        }
        for (text, part) in [
            ("a.csv,target=y", "is target=y, but must be label=COLUMN, test=PATH or delimiter=D"),
            ("a.csv,delimiter=ab", "delimiter is ab, but must be comma, semicolon"),
            ("a.csv,delimiter=.", "delimiter is ., but must be"),
            ("a.csv,delimiter=", "delimiter is , but must be"),
        ] {
            let message = TableOptions::parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
