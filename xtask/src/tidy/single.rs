//! The rule that what all networks share is there once: one planner, one executor, one table of a plan, one reference step.

use super::rust::{code_of, words};

/// What is there once: what it is, the folder in which files are looked at, and the code that says it.
const ONCE: [(&str, &str, &str); 3] = [
    ("planner", "crates/intrain-plan/src/", "pub fn build("),
    ("table of operations", "crates/intrain-plan/src/", "pub fn operations("),
    ("executor", "crates/intrain-nn/src/", "struct Executor"),
];
/// Where the step of the contract in plain loops is.
const REFERENCE: &str = "crates/intrain-nn/tests/reference_step/";

/// Checks all files of the workspace, given as paths and texts.
pub(crate) fn check(files: &[(String, String)]) -> Vec<String> {
    let mut failures = Vec::new();
    for (what, folder, code) in ONCE {
        let places = files.iter().filter(|(path, _)| path.starts_with(folder)).flat_map(|(path, text)| {
            let n = words(&code_of(text), code).count();
            std::iter::repeat_n(path.as_str(), n)
        });
        let places: Vec<&str> = places.collect();
        if places.len() != 1 {
            failures.push(format!(
                "{folder}: `{code}` stands {} times {places:?}; there is one {what}",
                places.len()
            ));
        }
    }
    let mut folders: Vec<&str> = files.iter().filter_map(|(path, _)| reference_folder(path)).collect();
    folders.dedup();
    if folders != [REFERENCE] {
        failures.push(format!("folders of reference steps are {folders:?}; there is one, {REFERENCE}"));
    }
    failures
}

/// The folder, named `reference_...` and among tests, in which a file lies.
fn reference_folder(path: &str) -> Option<&str> {
    let at = path.find("/tests/reference_")? + "/tests/".len();
    let len = path[at..].find('/')?;
    Some(&path[..=at + len])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(more: &[(&str, &str)]) -> Vec<(String, String)> {
        let there = [
            ("crates/intrain-nn/src/executor.rs", "pub(crate) struct Executor {}\n// struct Executor"),
            ("crates/intrain-nn/tests/reference_step/main.rs", "mod step;"),
            ("crates/intrain-nn/tests/reference_step/step.rs", ""),
            ("crates/intrain-plan/src/build.rs", "impl Plan { pub fn build() {} fn build_node() {} }"),
            ("crates/intrain-plan/src/table.rs", "impl Plan { pub fn operations() {} }"),
            ("crates/intrain/src/bench.rs", "fn operations() {} struct Executor;"),
        ];
        there.iter().chain(more).map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn one_of_each_passes() {
        assert_eq!(check(&files(&[])), [""; 0]);
    }

    #[test]
    fn a_second_one_is_named() {
        for (path, text, expected) in [
            ("crates/intrain-plan/src/graph.rs", "pub fn build() {}", "there is one planner"),
            (
                "crates/intrain-plan/src/graph.rs",
                "pub fn operations() {}",
                "there is one table of operations",
            ),
            ("crates/intrain-nn/src/graph.rs", "struct Executor;", "there is one executor"),
            (
                "crates/intrain-nn/tests/reference_graph/main.rs",
                "",
                "there is one, crates/intrain-nn/tests/reference_step/",
            ),
        ] {
            let failures = check(&files(&[(path, text)]));
            assert_eq!(failures.len(), 1, "{path}: {failures:?}");
            assert!(failures[0].ends_with(expected) && failures[0].contains("graph"), "{}", failures[0]);
        }
    }

    #[test]
    fn none_at_all_is_named() {
        assert_eq!(check(&[]).len(), ONCE.len() + 1);
    }
}
