//! `cargo xtask tidy`: what the compiler does not check: layers, sizes, words, and that documents name what is there.
//!
//! Invariant: every rule has a test below it that shows a sample which breaks it.

mod imports;
mod rust;
mod single;
mod source;
mod workspace;

use std::fs;
use std::path::{Path, PathBuf};

use self::workspace::Manifest;

/// Checks the workspace in `root`.
///
/// # Errors
/// Everything that breaks a rule, one per line.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut failures = Vec::new();
    let (mut manifests, mut files) = (Vec::new(), Vec::new());
    for folder in packages(root)? {
        let name = path_in(root, &folder);
        manifests.push(Manifest::parse(&name, &read(&folder.join("Cargo.toml"))?)?);
        let mut sources = Vec::new();
        for file in rust_files(&folder)? {
            let (path, text) = (path_in(root, &file), read(&file)?);
            failures.extend(source::check(&path, &text));
            sources.extend(
                path.strip_prefix(&format!("{name}/src/")).map(|path| (path.to_owned(), text.clone())),
            );
            files.push((path, text));
        }
        failures.extend(imports::check(&name, &sources));
    }
    failures.extend(single::check(&files));
    failures.extend(workspace::check_edges(&manifests));
    failures.extend(workspace::check_lints(&manifests));
    let table = Manifest::parse("Cargo.toml", &read(&root.join("Cargo.toml"))?)?;
    failures.extend(workspace::check_table(&table, &manifests));
    let reasons = read(&root.join(workspace::REASONS))?;
    failures.extend(workspace::check_reasons(&reasons, &manifests));
    failures.extend(check_sources(intrain_recipe::PRESETS.iter().map(|preset| {
        let source = intrain_recipe::preset(preset.name).map(|recipe| recipe.source);
        (preset.name, source.unwrap_or_default())
    })));
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// Every preset says where it comes from.
fn check_sources<'a>(presets: impl Iterator<Item = (&'a str, String)>) -> Vec<String> {
    let missing = presets.filter(|(_, source)| source.trim().is_empty());
    missing.map(|(name, _)| format!("recipe '{name}' has no source; name its paper or code")).collect()
}

/// The folders of the workspace's packages, by name.
fn packages(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut folders = entries(&root.join("crates"))?;
    folders.extend(["python", "xtask"].map(|folder| root.join(folder)));
    Ok(folders)
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let refuse = |error| format!("{}: cannot list: {error}", folder.display());
    let paths = fs::read_dir(folder).map_err(refuse)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(refuse)?;
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: cannot read: {error}", path.display()))
}

/// `path` as it is written inside the repository, with slashes.
fn path_in(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_preset_without_source_is_named() {
        let presets = [("good", "a paper".to_owned()), ("bad", " ".to_owned())];
        let failures = super::check_sources(presets.into_iter());
        assert_eq!(failures, ["recipe 'bad' has no source; name its paper or code"]);
    }

    #[test]
    fn paths_are_those_of_the_repository() {
        let root = std::path::Path::new("a");
        assert_eq!(super::path_in(root, &root.join("b").join("c.rs")), "b/c.rs");
    }
}
