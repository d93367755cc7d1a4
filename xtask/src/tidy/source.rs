//! The rules of a single Rust file: sizes, its opening line, where `unsafe` may stand, words that may not.

use super::rust::{code_of, functions, line_of, test_lines, words};

/// Most lines of a file, tests apart.
const FILE_LINES_MAX: usize = 500;
/// Most lines of a function.
const FUNCTION_LINES_MAX: usize = 70;
/// The one place for unsafe code.
const UNSAFE_FOLDER: &str = "crates/intrain-kernels/";
/// Where environment variables may be read; what they say is passed on from there.
const ENVIRONMENT_FOLDERS: [&str; 2] = ["crates/intrain/", "xtask/"];
/// Names that say nothing about what is in a module.
const EMPTY_NAMES: [&str; 2] = ["utils", "common"];
/// Code that is not finished, and what to do about it.
const UNFINISHED: [(&str, &str); 3] = [
    ("todo!", "write it, or return a typed error"),
    ("unimplemented!", "write it, or return a typed error"),
    ("#[ignore", "make the test quick enough, or put it behind a task of its own"),
];
/// In comments as well; spelled so that this line does not break the rule.
const UNFINISHED_NOTE: &str = concat!("FIX", "ME");

/// Checks the file that lies at `path` in the repository.
pub(crate) fn check(path: &str, text: &str) -> Vec<String> {
    let code = code_of(text);
    let mut failures = Vec::new();
    if !text.starts_with("//!") {
        failures.push(format!("{path}:1: opens without `//!`; say what the file is and its invariant"));
    }
    for part in path.split('/').map(|part| part.trim_end_matches(".rs")) {
        if EMPTY_NAMES.contains(&part) {
            failures.push(format!("{path}: '{part}' says nothing; name the module by what it does"));
        }
    }
    check_sizes(path, &code, &mut failures);
    check_words(path, text, &code, &mut failures);
    failures
}

fn check_sizes(path: &str, code: &str, failures: &mut Vec<String>) {
    if is_test(path) {
        return;
    }
    let tests = test_lines(code);
    let n_lines = code.lines().count() - tests.iter().map(|lines| lines.len()).sum::<usize>();
    if n_lines > FILE_LINES_MAX {
        failures.push(format!("{path}: {n_lines} lines, tests apart; at most {FILE_LINES_MAX}: split it"));
    }
    for function in functions(code) {
        let (name, n_lines) = (function.name, function.lines.len());
        let in_tests = tests.iter().any(|lines| lines.contains(&function.lines.start));
        if n_lines > FUNCTION_LINES_MAX && !in_tests {
            let line = function.lines.start + 1;
            failures.push(format!(
                "{path}:{line}: function '{name}' has {n_lines} lines; at most {FUNCTION_LINES_MAX}: split it"
            ));
        }
    }
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.split('/').any(|part| part == "tests")
}

fn check_words(path: &str, text: &str, code: &str, failures: &mut Vec<String>) {
    if !path.starts_with(UNSAFE_FOLDER) {
        for at in words(code, "unsafe") {
            let line = line_of(code, at) + 1;
            failures
                .push(format!("{path}:{line}: `unsafe` outside {UNSAFE_FOLDER}; put the operation there"));
        }
    }
    if !is_test(path) && !ENVIRONMENT_FOLDERS.iter().any(|folder| path.starts_with(folder)) {
        for at in ["env::var", "env::var_os", "env::vars"].iter().flat_map(|word| words(code, word)) {
            let line = line_of(code, at) + 1;
            failures
                .push(format!("{path}:{line}: a library reads the environment; take an argument instead"));
        }
    }
    for (word, remedy) in UNFINISHED {
        for at in words(code, word) {
            failures.push(format!("{path}:{}: `{word}`: {remedy}", line_of(code, at) + 1));
        }
    }
    for at in words(text, UNFINISHED_NOTE) {
        failures.push(format!("{path}:{}: {UNFINISHED_NOTE}: do it now", line_of(text, at) + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(n: usize) -> String {
        "x;\n".repeat(n)
    }

    #[test]
    fn every_rule_has_a_sample_that_breaks_it() {
        let long_function = format!("//! A.\nfn f() {{\n{}}}\n", lines(69));
        let note = format!("//! A.\n// {UNFINISHED_NOTE} later\n");
        for (path, text, expected) in [
            ("crates/a/src/b.rs", "use x;\n".to_owned(), "b.rs:1: opens without `//!`"),
            ("crates/a/src/utils.rs", "//! A.\n".to_owned(), "'utils' says nothing"),
            ("crates/a/src/common/x.rs", "//! A.\n".to_owned(), "'common' says nothing"),
            ("crates/a/src/b.rs", format!("//! A.\n{}", lines(500)), "501 lines, tests apart; at most 500"),
            ("crates/a/src/b.rs", long_function, "b.rs:2: function 'f' has 71 lines"),
            ("crates/a/src/b.rs", "//! A.\nunsafe fn f() {}\n".to_owned(), "b.rs:2: `unsafe` outside"),
            ("crates/a/src/b.rs", "//! A.\nfn f() { todo!() }\n".to_owned(), "b.rs:2: `todo!`"),
            ("crates/a/src/b.rs", "//! A.\nfn f() { unimplemented!() }\n".to_owned(), "`unimplemented!`"),
            ("crates/a/tests/b.rs", "//! A.\n#[ignore]\n".to_owned(), "b.rs:2: `#[ignore`"),
            ("crates/a/tests/b.rs", "//! A.\n#[ignore = \"slow\"]\n".to_owned(), "b.rs:2: `#[ignore`"),
            (
                "crates/a/src/b.rs",
                "//! A.\nuse std::env;\nenv::var_os(X);\n".to_owned(),
                "b.rs:3: a library reads",
            ),
            ("crates/a/src/b.rs", note, "b.rs:2: "),
        ] {
            let failures = check(path, &text);
            assert_eq!(failures.len(), 1, "{path}: {failures:?}");
            assert!(failures[0].contains(expected), "{}", failures[0]);
        }
    }

    #[test]
    fn all_failures_come_at_once() {
        let failures = check("crates/a/src/utils.rs", "unsafe fn f() { todo!() }\n");
        assert_eq!(failures.len(), 4, "{failures:?}");
    }

    #[test]
    fn what_is_allowed_passes() {
        let tests =
            format!("//! A.\nfn f() {{}}\n#[cfg(test)]\nmod tests {{\nfn t() {{\n{}}}\n}}\n", lines(600));
        let words = "//! No unsafe, no todo! here.\nconst A: &str = \"unsafe todo! #[ignore]\";\n".to_owned();
        for (path, text) in [
            ("crates/a/src/b.rs", tests),
            ("crates/a/src/b/tests.rs", format!("//! A.\nfn t() {{\n{}}}\n", lines(600))),
            ("crates/intrain/src/b.rs", "//! A.\nfn f() { env::var(X); }\n".to_owned()),
            ("crates/intrain-kernels/src/b.rs", "//! A.\nunsafe fn f() {}\n".to_owned()),
            ("crates/a/src/b.rs", words),
            ("crates/a/src/b.rs", format!("//! A.\nfn f() {{\n{}}}\n", lines(68))),
        ] {
            assert_eq!(check(path, &text), [""; 0], "{path}");
        }
    }
}
