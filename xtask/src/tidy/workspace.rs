//! The rules between packages: which may depend on which, that lints are on, and why each external crate is there.

use std::collections::BTreeSet;

use toml::{Table, Value};

/// The document that says why each external crate is used.
pub(crate) const REASONS: &str = "docs/dependencies.md";

/// Each package, and what it may depend on. A package only knows packages above its line.
const LAYERS: &[(&str, &[&str])] = &[
    (GOLDEN, &[]),
    (PLOT, &[]),
    ("intrain-num", &[]),
    ("intrain-kernels", &["intrain-num"]),
    ("intrain-formats", &["intrain-num", "intrain-kernels"]),
    ("intrain-recipe", &["intrain-num"]),
    ("intrain-model", &[]),
    ("intrain-lab", &["intrain-num", PLOT]),
    ("intrain-data", &["intrain-num"]),
    ("intrain-plan", &["intrain-num", "intrain-recipe", "intrain-model"]),
    ("intrain-run", &[]),
    ("intrain-import", &["intrain-model"]),
    ("intrain-deploy", &["intrain-num", "intrain-model", "intrain-plan"]),
    (
        "intrain-nn",
        &[
            "intrain-num",
            "intrain-kernels",
            "intrain-formats",
            "intrain-recipe",
            "intrain-model",
            "intrain-plan",
        ],
    ),
    (
        "intrain-infer",
        &["intrain-num", "intrain-kernels", "intrain-model", "intrain-plan", "intrain-deploy", "intrain-nn"],
    ),
    (
        "intrain-train",
        &[
            "intrain-num",
            "intrain-kernels",
            "intrain-recipe",
            "intrain-model",
            "intrain-data",
            "intrain-plan",
            "intrain-nn",
            PLOT,
        ],
    ),
    (
        "intrain-accel",
        &[
            "intrain-num",
            "intrain-kernels",
            "intrain-recipe",
            "intrain-model",
            "intrain-plan",
            "intrain-nn",
            PLOT,
        ],
    ),
    (
        "intrain",
        &[
            GOLDEN,
            PLOT,
            "intrain-num",
            "intrain-kernels",
            "intrain-formats",
            "intrain-recipe",
            "intrain-model",
            "intrain-lab",
            "intrain-data",
            "intrain-plan",
            "intrain-deploy",
            "intrain-import",
            "intrain-nn",
            "intrain-infer",
            "intrain-train",
            "intrain-accel",
        ],
    ),
    ("intrain-python", &["intrain"]),
    ("xtask", &[GOLDEN, PLOT, "intrain-num", "intrain-recipe"]),
];

/// The cases that prove the contract; the tests of every package may know them.
const GOLDEN: &str = "intrain-golden";

/// Figures and pages: whoever shows something to a person may know them.
const PLOT: &str = "intrain-plot";

/// What a `Cargo.toml` says about dependencies.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// Name of the package; of the file, where it is a workspace.
    name: String,
    /// Folder of the package.
    folder: String,
    dependencies: BTreeSet<String>,
    dev_dependencies: BTreeSet<String>,
    /// Entries of `[workspace.dependencies]`.
    table: BTreeSet<String>,
    has_lints: bool,
}

impl Manifest {
    /// Reads the text of `folder`'s `Cargo.toml`.
    ///
    /// # Errors
    /// The text is not TOML.
    pub(crate) fn parse(folder: &str, text: &str) -> Result<Self, String> {
        let root: Table = text.parse().map_err(|error| format!("{folder}: Cargo.toml: {error}"))?;
        let table = |table: &Table, key: &str| -> Table {
            table.get(key).and_then(Value::as_table).cloned().unwrap_or_default()
        };
        let targets: Vec<Table> =
            table(&root, "target").into_iter().filter_map(|(_, v)| v.as_table().cloned()).collect();
        let names = |keys: &[&str]| -> BTreeSet<String> {
            let places = targets.iter().chain([&root]);
            places
                .flat_map(|place| keys.iter().flat_map(|key| table(place, key).into_iter()))
                .map(|(k, _)| k)
                .collect()
        };
        let name = table(&root, "package").get("name").and_then(Value::as_str).unwrap_or(folder).to_owned();
        let workspace = table(&root, "workspace");
        Ok(Self {
            name,
            folder: folder.to_owned(),
            dependencies: names(&["dependencies", "build-dependencies"]),
            dev_dependencies: names(&["dev-dependencies"]),
            table: table(&workspace, "dependencies").into_iter().map(|(k, _)| k).collect(),
            has_lints: table(&root, "lints").get("workspace").and_then(Value::as_bool) == Some(true),
        })
    }

    fn all(&self) -> impl Iterator<Item = &String> {
        self.dependencies.iter().chain(&self.dev_dependencies)
    }
}

fn is_own(name: &str) -> bool {
    name.starts_with("intrain") || name == "xtask"
}

/// Names of the crates that are not of this project, used by any package.
fn external(manifests: &[Manifest]) -> BTreeSet<&String> {
    manifests.iter().flat_map(Manifest::all).filter(|name| !is_own(name)).collect()
}

/// Every edge is allowed, every package is known, and there is no cycle, tests included.
pub(crate) fn check_edges(manifests: &[Manifest]) -> Vec<String> {
    let mut failures = Vec::new();
    for manifest in manifests {
        let name = &manifest.name;
        let Some((_, allowed)) = LAYERS.iter().find(|(package, _)| package == name) else {
            failures.push(format!(
                "{}: '{name}' has no line in LAYERS of tidy/workspace.rs; add one",
                manifest.folder
            ));
            continue;
        };
        let own = |names: &BTreeSet<String>| names.iter().filter(|n| is_own(n)).cloned().collect::<Vec<_>>();
        for to in own(&manifest.dependencies) {
            if !allowed.contains(&to.as_str()) {
                failures
                    .push(format!("{name} must not know {to} (docs/architecture.md); remove the dependency"));
            }
        }
        for to in own(&manifest.dev_dependencies) {
            if !allowed.contains(&to.as_str()) && to != GOLDEN {
                failures.push(format!("the tests of {name} must not know {to}; remove the dev-dependency"));
            }
        }
    }
    failures.extend(check_cycles(manifests));
    failures
}

fn check_cycles(manifests: &[Manifest]) -> Option<String> {
    let mut rest: Vec<&Manifest> = manifests.iter().collect();
    loop {
        let names: BTreeSet<&str> = rest.iter().map(|m| m.name.as_str()).collect();
        // What depends on nothing that is left is in no cycle.
        let in_cycle = |m: &&Manifest| m.all().any(|to| names.contains(to.as_str()));
        let next: Vec<&Manifest> = rest.iter().copied().filter(in_cycle).collect();
        if next.is_empty() {
            return None;
        }
        if next.len() == rest.len() {
            let names: Vec<&str> = names.into_iter().collect();
            return Some(format!(
                "packages in or above a cycle: {}; remove one of its edges",
                names.join(", ")
            ));
        }
        rest = next;
    }
}

/// Every package is under the workspace's lints.
pub(crate) fn check_lints(manifests: &[Manifest]) -> Vec<String> {
    let without = manifests.iter().filter(|m| !m.has_lints);
    without.map(|m| format!("{}/Cargo.toml: add `[lints] workspace = true`", m.folder)).collect()
}

/// Everything in `[workspace.dependencies]` is used by a package.
pub(crate) fn check_table(workspace: &Manifest, manifests: &[Manifest]) -> Vec<String> {
    let used: BTreeSet<&String> = manifests.iter().flat_map(Manifest::all).collect();
    let unused = workspace.table.iter().filter(|name| !used.contains(name) && !is_own(name));
    unused.map(|name| format!("Cargo.toml: no package uses '{name}'; remove it from the workspace")).collect()
}

/// The section *Used* of `reasons` has a table row for each external crate, and none for a crate that is gone.
pub(crate) fn check_reasons(reasons: &str, manifests: &[Manifest]) -> Vec<String> {
    let named: BTreeSet<&str> = reasons
        .lines()
        .skip_while(|line| *line != "## Used")
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name))
        .collect();
    let used = external(manifests);
    let missing = used.iter().filter(|name| !named.contains(name.as_str()));
    let gone = named.iter().filter(|name| !used.iter().any(|used| used == *name));
    missing
        .map(|name| format!("{REASONS}: no row for '{name}'; write down why it is used"))
        .chain(gone.map(|name| format!("{REASONS}: '{name}' is not used any more; remove its row")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str], dev: &[&str]) -> Manifest {
        let list =
            |names: &[&str]| names.iter().map(|n| format!("{n}.workspace = true\n")).collect::<String>();
        let text = format!(
            "[package]\nname = '{name}'\n[lints]\nworkspace = true\n[dependencies]\n{}[dev-dependencies]\n{}",
            list(dependencies),
            list(dev)
        );
        Manifest::parse(name, &text).unwrap()
    }

    #[test]
    fn layers_point_upwards() {
        for (i, (name, allowed)) in LAYERS.iter().enumerate() {
            for to in *allowed {
                assert!(LAYERS[..i].iter().any(|(above, _)| above == to), "{name} -> {to}");
            }
        }
    }

    #[test]
    fn allowed_edges_pass() {
        let manifests = [
            package("intrain-golden", &["serde"], &[]),
            package("intrain-num", &[], &["intrain-golden"]),
            package("intrain-kernels", &["intrain-num"], &[]),
        ];
        assert_eq!(check_edges(&manifests), [""; 0]);
    }

    #[test]
    fn other_edges_packages_and_cycles_are_named() {
        let failures = check_edges(&[
            package("intrain-num", &["intrain-golden"], &["intrain-nn"]),
            package("intrain-nn", &["intrain-num"], &[]),
            package("intrain-new", &[], &[]),
        ]);
        let expected = [
            "intrain-num must not know intrain-golden",
            "the tests of intrain-num must not know intrain-nn",
            "'intrain-new' has no line in LAYERS",
            "a cycle: intrain-nn, intrain-num;",
        ];
        assert_eq!(failures.len(), expected.len(), "{failures:?}");
        for (failure, part) in failures.iter().zip(expected) {
            assert!(failure.contains(part), "{failure}");
        }
    }

    #[test]
    fn dependencies_of_targets_and_builds_count() {
        let text = "[package]\nname = 'a'\n[build-dependencies]\nx = '1'\n[target.'cfg(unix)'.dependencies]\ny = '1'\n";
        let manifest = Manifest::parse("crates/a", text).unwrap();
        assert_eq!(manifest.all().collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(check_lints(&[manifest]), ["crates/a/Cargo.toml: add `[lints] workspace = true`"]);
    }

    #[test]
    fn unused_entries_of_the_workspace_are_named() {
        let workspace =
            Manifest::parse("Cargo.toml", "[workspace.dependencies]\nx = '1'\ny = '1'\nintrain-a = {}\n");
        let failures = check_table(&workspace.unwrap(), &[package("intrain-num", &["x"], &[])]);
        assert_eq!(failures, ["Cargo.toml: no package uses 'y'; remove it from the workspace"]);
    }

    #[test]
    fn each_external_crate_needs_a_reason() {
        let failures = check_reasons(
            "## Used\n| `gone` | why |\n| `x` | why |\n## Else\n| `y` | no |\n",
            &[package("intrain-num", &["x"], &["y"])],
        );
        assert_eq!(failures.len(), 2, "{failures:?}");
        assert!(failures[0].contains("no row for 'y'") && failures[1].contains("'gone' is not used"));
    }
}
