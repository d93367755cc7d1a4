//! The rule on imports: files of a crate that need each other in a circle are few.
//!
//! A path that begins with `crate`, `super` or `self` leads from its file to the file of the module that it names, or of the
//! module from which that one has the name. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};

use super::rust::{code_of, line_of, test_lines, words};

/// Most files in a circle of imports.
const CIRCLE_FILES_MAX: usize = 3;
/// A module's name as the idents behind `crate`.
type Module = Vec<String>;
/// What a file says: the paths of its code, each from `crate`, and the names that it takes from elsewhere.
#[derive(Debug, Default)]
struct Imports {
    paths: Vec<Module>,
    names: BTreeMap<String, Module>,
}

/// Checks the files of one crate: their paths below its folder `src`, and their texts.
pub(crate) fn check(package: &str, files: &[(String, String)]) -> Vec<String> {
    let is_code = |path: &str| !path.split(['/', '.']).any(|part| part == "tests");
    let of = |(path, text): &(String, String)| {
        let module = module_of(path);
        let imports = imports(&module, text);
        (module, (path.clone(), imports))
    };
    let modules: BTreeMap<Module, (String, Imports)> =
        files.iter().filter(|(path, _)| is_code(path)).map(of).collect();
    let edges: BTreeMap<&Module, BTreeSet<&Module>> = modules
        .iter()
        .map(|(module, (_, imports))| {
            let targets = imports.paths.iter().filter_map(|path| target(&modules, path));
            (module, targets.filter(|to| *to != module).collect())
        })
        .collect();
    let names = |circle: &BTreeSet<&Module>| -> Vec<&str> {
        circle.iter().map(|module| modules[*module].0.as_str()).collect()
    };
    circles(&edges)
        .iter()
        .filter(|circle| circle.len() > CIRCLE_FILES_MAX)
        .map(|circle| {
            let n = circle.len();
            let names = names(circle).join(", ");
            format!(
                "{package}/src: {n} files import each other in a circle, at most {CIRCLE_FILES_MAX}: {names}; move what they \
                 share into a file that imports none of them"
            )
        })
        .collect()
}

/// The module of a file below `src`: nothing for the crate's root.
fn module_of(path: &str) -> Module {
    let path = path.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" { Module::new() } else { path.split('/').map(str::to_owned).collect() }
}

fn imports(module: &Module, text: &str) -> Imports {
    let code = code_of(text);
    let tests = test_lines(&code);
    let mut imports = Imports::default();
    for start in ["crate", "super", "self", "use"] {
        for at in words(&code, start) {
            let behind = &code[at + start.len()..];
            if tests.iter().any(|lines| lines.contains(&line_of(&code, at))) {
                continue;
            }
            let mut found = Vec::new();
            if behind.starts_with("::") && !code[..at].ends_with("::") {
                tree(&code[at..], &mut Module::new(), &mut found);
                imports.paths.extend(found.iter().map(|path| absolute(module, path)));
            } else if start == "use" && behind.starts_with(' ') {
                tree(behind.trim_start(), &mut Module::new(), &mut found);
                for path in found {
                    let name = path.last().cloned().unwrap_or_default();
                    imports.names.insert(name, absolute(module, &path));
                }
            }
        }
    }
    imports
}

/// The paths of a tree such as `a::{b::C, d}`; how many bytes it has.
fn tree(code: &str, prefix: &mut Module, found: &mut Vec<Module>) -> usize {
    let depth = prefix.len();
    let mut at = 0;
    loop {
        let rest = &code[at..];
        if rest.starts_with('{') {
            at += 1;
            while at < code.len() && !code[at..].starts_with('}') {
                let len = tree(&code[at..], prefix, found);
                at += len.max(1);
            }
            at += 1;
            break;
        }
        let blank = rest.len() - rest.trim_start().len();
        let ident = &rest[blank..];
        let len = ident.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b'_'));
        let len = len.unwrap_or(ident.len());
        if len == 0 {
            // A star names everything of the module in front of it.
            if ident.starts_with('*') {
                found.push(prefix.clone());
                at += 1;
            }
            break;
        }
        prefix.push(ident[..len].to_owned());
        at += blank + len;
        if !code[at..].starts_with("::") {
            found.push(prefix.clone());
            break;
        }
        at += 2;
    }
    prefix.truncate(depth);
    at
}

/// A path as it is seen from `crate`. What begins with neither `crate`, `super` nor `self` is a child, or of another crate.
fn absolute(module: &Module, path: &[String]) -> Module {
    let mut from = module.clone();
    let mut rest = path;
    while let [first, behind @ ..] = rest {
        match first.as_str() {
            "crate" => from.clear(),
            "super" => _ = from.pop(),
            "self" => {}
            _ => break,
        }
        rest = behind;
    }
    // `{self}` at the end of a path is the module in front of it.
    from.extend(rest.iter().filter(|ident| *ident != "self").cloned());
    from
}

/// The module to which a path leads: the deepest that it names, or whose name another one hands on.
fn target<'a>(modules: &'a BTreeMap<Module, (String, Imports)>, path: &[String]) -> Option<&'a Module> {
    let mut path = path.to_vec();
    // Bound: a name that is handed on more often than this is not followed to its end.
    for _ in 0..8 {
        let depth = (0..=path.len()).rev().find(|depth| modules.contains_key(&path[..*depth]))?;
        let (module, (_, imports)) = modules.get_key_value(&path[..depth])?;
        match path.get(depth).and_then(|name| imports.names.get(name)) {
            Some(next) => path = [next.as_slice(), &path[depth + 1..]].concat(),
            None => return Some(module),
        }
    }
    None
}

/// The files that reach each other.
fn circles<'a>(edges: &BTreeMap<&'a Module, BTreeSet<&'a Module>>) -> BTreeSet<BTreeSet<&'a Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = edges
        .keys()
        .map(|from| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![*from]);
            while let Some(at) = open.pop() {
                open.extend(edges[at].iter().filter(|to| seen.insert(**to)));
            }
            (*from, seen)
        })
        .collect();
    let circle = |from: &&'a Module| -> BTreeSet<&'a Module> {
        reached[from].iter().copied().filter(|to| reached[to].contains(from)).collect()
    };
    edges.keys().map(circle).filter(|circle| !circle.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[(&str, &str)]) -> Vec<(String, String)> {
        texts.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_circle_of_four_files_is_named() {
        let failures = check(
            "crates/a",
            &files(&[
                ("lib.rs", "mod a; mod b; pub use b::Name;"),
                ("a.rs", "use crate::{x::Y, Name};"),
                ("b.rs", "use self::{c::{C, d}, e};\npub struct Name;"),
                ("b/c.rs", "fn f() -> crate::e::E { }"),
                ("e.rs", "use super::a::A;"),
            ]),
        );
        assert_eq!(failures.len(), 1, "{failures:?}");
        let expected =
            "crates/a/src: 4 files import each other in a circle, at most 3: a.rs, b.rs, b/c.rs, e.rs; ";
        assert!(failures[0].starts_with(expected), "{}", failures[0]);
    }

    #[test]
    fn small_circles_tests_and_ways_in_one_direction_pass() {
        let failures = check(
            "crates/a",
            &files(&[
                ("lib.rs", "pub mod a;\npub use a::A;"),
                (
                    "a/mod.rs",
                    "use self::b::B;\n// use crate::d::D;\n#[cfg(test)]\nmod tests {\n use crate::d::D;\n}",
                ),
                ("a/b.rs", "use super::c::C;"),
                ("a/c.rs", "use crate::A;\nuse std::fmt;"),
                ("d.rs", "use crate::a::{self, b::*};\n\"crate::d\""),
                ("a/tests.rs", "use crate::d::D;"),
            ]),
        );
        assert_eq!(failures, [""; 0]);
    }
}
