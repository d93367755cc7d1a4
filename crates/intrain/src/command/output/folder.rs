//! The folder that a command writes into: which files there are the program's own.
//!
//! A file `.intrain` lists what the program has made in its folder. Nothing else is replaced, but for the files of an older
//! version, which wrote no list: they are known by how they begin.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::train::atomic_write;

use crate::command::failure::Usage;

/// The list, and its first line.
const LIST: &str = ".intrain";
const HEADING: &str = "# What intrain made in this folder; it replaces nothing else.";

/// Files that are written together: where the first of them is the program's, the others are.
pub(crate) struct Group {
    names: Vec<String>,
    beginning: String,
}

impl Group {
    /// The first file, how it begins in every version, and the others. A name that ends in `/` is a folder with all in it.
    pub(crate) fn new(
        first: impl Into<String>,
        beginning: impl Into<String>,
        others: impl IntoIterator<Item = String>,
    ) -> Self {
        Self { names: [first.into()].into_iter().chain(others).collect(), beginning: beginning.into() }
    }
}

/// A folder, and what a command will write there.
pub(crate) struct OutFolder {
    path: PathBuf,
    groups: Vec<Group>,
}

impl OutFolder {
    /// Looks whether the groups may be written into `path`, while nothing is computed or written yet. `inputs` are the files
    /// that the command reads.
    ///
    /// # Errors
    /// A file that the program did not make, or an input, would be replaced; the message has the file and what to do.
    pub(crate) fn check(path: &Path, groups: Vec<Group>, inputs: &[&Path]) -> Result<Self, Usage> {
        let folder = Self { path: path.to_owned(), groups };
        if path.exists() && !path.is_dir() {
            return Err(Usage(format!("{}: this is a file; name a folder with --out", path.display())));
        }
        for file in folder.files() {
            if let Some(input) = inputs.iter().find(|input| is_one_file(input, &file)) {
                let problem =
                    "the command reads this file and would replace it; choose another folder with --out";
                return Err(Usage(format!("{}: {problem}", input.display())));
            }
        }
        folder.check_owner(&folder.listed()?)?;
        Ok(folder)
    }

    /// Makes the folder, and puts the groups on its list, before the first of them is written.
    ///
    /// # Errors
    /// As [`OutFolder::check`], for files that have come since; or the system refuses.
    pub(crate) fn make(&self) -> anyhow::Result<()> {
        let path = self.path.display();
        fs::create_dir_all(&self.path)
            .map_err(|e| Usage(format!("{path}: cannot create: {e}; choose another folder with --out")))?;
        let before = self.listed()?;
        self.check_owner(&before)?;
        let mut all = before.clone();
        all.extend(self.names().cloned());
        if all != before {
            let lines: String = all.iter().map(|name| format!("{name}\n")).collect();
            atomic_write(&self.path.join(LIST), format!("{HEADING}\n{lines}").as_bytes())?;
        }
        Ok(())
    }

    /// All files, those in folders of the program aside.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let names = self.names().map(String::as_str).filter(|name| !name.ends_with('/'));
        names.chain([LIST]).map(|name| self.path.join(name)).collect()
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.groups.iter().flat_map(|group| &group.names)
    }

    /// What stands on the list.
    fn listed(&self) -> Result<BTreeSet<String>, Usage> {
        let path = self.path.join(LIST);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => {
                return Err(Usage(format!("{}: cannot read: {error}; choose another --out", path.display())));
            }
        };
        let mut lines = text.lines();
        if lines.next() != Some(HEADING) {
            return Err(foreign(&path));
        }
        Ok(lines.map(str::to_owned).collect())
    }

    /// Refuses files that are there and that the program did not make.
    fn check_owner(&self, listed: &BTreeSet<String>) -> Result<(), Usage> {
        for Group { names, beginning } in &self.groups {
            if begins(&self.path.join(&names[0]), beginning) {
                continue;
            }
            let is_foreign = |name: &&String| !listed.contains(*name) && is_there(&self.path.join(name));
            if let Some(name) = names.iter().find(is_foreign) {
                return Err(foreign(&self.path.join(name)));
            }
        }
        Ok(())
    }
}

fn foreign(path: &Path) -> Usage {
    Usage(format!(
        "{}: this is there already, and intrain did not make it; move it away, or choose another folder with --out",
        path.display()
    ))
}

/// Whether there is anything to lose: an empty folder is nothing.
fn is_there(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Err(_) => false,
        Ok(found) if found.is_dir() => {
            fs::read_dir(path).map_or(true, |mut entries| entries.next().is_some())
        }
        Ok(_) => true,
    }
}

fn begins(path: &Path, beginning: &str) -> bool {
    let mut bytes = vec![0; beginning.len()];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).is_ok()
        && bytes == beginning.as_bytes()
}

/// Whether two paths mean one file, through links too; neither needs to be there. Devices and pipes are no files.
pub(crate) fn is_one_file(a: &Path, b: &Path) -> bool {
    resolved(a).is_some_and(|a| resolved(b) == Some(a))
}

/// Refuses to write a file in place of one that the command reads, or two in one place. `written` are the flags with their
/// files, `inputs` files, and folders with all that lies in them.
pub(crate) fn check_written(written: &[(&str, &Option<PathBuf>)], inputs: &[PathBuf]) -> Result<(), Usage> {
    let written: Vec<(&str, &PathBuf)> =
        written.iter().filter_map(|(flag, path)| Some((*flag, path.as_ref()?))).collect();
    for (i, (flag, path)) in written.iter().enumerate() {
        let name = path.display();
        if inputs.iter().any(|input| is_one_file(input, path) || holds(input, path)) {
            let text = format!("{flag} {name}: this is an input, which would be replaced; name another file");
            return Err(Usage(text));
        }
        if let Some((other, same)) = written[..i].iter().find(|(_, before)| is_one_file(before, path)) {
            return Err(Usage(format!(
                "{other} {} and {flag} {name} are one file; name two",
                same.display()
            )));
        }
    }
    Ok(())
}

/// Whether a file is there, and in a folder.
fn holds(folder: &Path, file: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    folder.is_dir() && real(file).zip(real(folder)).is_some_and(|(file, folder)| file.starts_with(folder))
}

fn resolved(path: &Path) -> Option<PathBuf> {
    if let Ok(there) = fs::canonicalize(path) {
        return there.is_file().then_some(there);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(fs::canonicalize(folder).ok()?.join(path.file_name()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(folder: &Path, inputs: &[&Path]) -> Result<OutFolder, String> {
        let groups = vec![
            Group::new("a.csv", "x,y\n", ["a.svg".to_owned()]),
            Group::new("hardware/top.sv", "// top", ["hardware/".to_owned()]),
        ];
        OutFolder::check(folder, groups, inputs).map_err(|error| error.to_string())
    }

    #[test]
    fn only_what_the_program_made_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let out = check(&path("new"), &[]).unwrap();
        assert!(!path("new").exists(), "a check writes nothing");
        out.make().unwrap();
        let list = fs::read_to_string(path("new/.intrain")).unwrap();
        assert_eq!(list, format!("{HEADING}\na.csv\na.svg\nhardware/\nhardware/top.sv\n"));
        fs::write(path("new/a.svg"), "written").unwrap();
        fs::write(path("new/notes.txt"), "mine").unwrap();
        check(&path("new"), &[]).unwrap().make().unwrap();

        // Another's files, and those of an older version.
        for (name, text, is_foreign) in [
            ("a.csv", "mine", true),
            ("a.csv", "x,y\n1,2\n", false),
            ("a.svg", "mine", true),
            ("hardware/notes.txt", "mine", true),
            ("hardware/top.sv", "// top of 3", false),
            (".intrain", "mine", true),
        ] {
            let other = tempfile::tempdir().unwrap();
            fs::create_dir(other.path().join("hardware")).unwrap();
            check(other.path(), &[]).unwrap();
            fs::write(other.path().join(name), text).unwrap();
            match check(other.path(), &[]) {
                Ok(_) => assert!(!is_foreign, "{name}: {text}"),
                Err(message) => {
                    assert!(is_foreign, "{name}: {message}");
                    assert!(
                        message.contains("intrain did not make it; move it away, or choose"),
                        "{message}"
                    );
                }
            }
            // What comes between the check and the writing, too.
            assert_eq!(out_of(other.path()).make().is_err(), is_foreign, "{name}");
        }
    }

    /// A folder that was checked when nothing was there.
    fn out_of(path: &Path) -> OutFolder {
        let nothing = tempfile::tempdir().unwrap();
        OutFolder { path: path.to_owned(), ..check(nothing.path(), &[]).unwrap() }
    }

    #[test]
    fn no_input_is_written_over_and_no_file_twice() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir_all(at("data/train")).unwrap();
        ["a.csv", "data/train/1.png"].iter().for_each(|name| fs::write(at(name), "x").unwrap());
        let check = |written: &[&str]| {
            let paths: Vec<_> = written.iter().map(|name| Some(at(name))).collect();
            let written: Vec<_> = ["--out", "--logits"].into_iter().zip(&paths).collect();
            check_written(&written, &[at("a.csv"), at("data")]).map_err(|Usage(text)| text)
        };
        assert_eq!(check(&["b.csv", "data/new.npy"]), Ok(()));
        for name in ["a.csv", "data/../a.csv", "data/train/1.png"] {
            let message = check(&[name]).unwrap_err();
            assert!(message.contains("this is an input, which would be replaced"), "{message}");
        }
        assert!(check(&["b", "./b"]).unwrap_err().contains("are one file; name two"));
    }

    #[test]
    fn inputs_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.csv"), "x,y\n").unwrap();
        let input = folder.path().join(".").join("a.csv");
        let message = check(folder.path(), &[&input]).err().unwrap();
        assert!(message.contains("the command reads this file and would replace it"), "{message}");
        check(folder.path(), &[&path("b.csv")]).unwrap();
        assert!(check(&path("a.csv"), &[]).err().unwrap().contains("this is a file; name a folder"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(path("a.csv"), path("link")).unwrap();
            assert!(is_one_file(&path("link"), &path("a.csv")));
            assert!(!is_one_file(Path::new("/dev/null"), Path::new("/dev/null")));
        }
        assert!(is_one_file(&path("new"), &folder.path().join("./new")));
        assert!(!is_one_file(&path("new"), &path("other")) && !is_one_file(&path("no/a"), &path("no/a")));
    }
}
