//! Wrong C must be found by the vectors: every rounding, limit, shift and padding of a trained network's C, changed by one.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use intrain::data::{Part, digits};
use intrain::deployed;
use intrain::train::{Config, Session, saved, this_machine};
use intrain_deploy::{Deployed, Requantize, Vectors, c};
use intrain_nn::Plan;

use super::c::has_compiler;

/// The C of digits-cnn, trained for some epochs with WAGE's recipe.
fn digits_cnn() -> (c::Written, Deployed) {
    let dataset = Arc::new(digits::load().unwrap());
    let keys = "model = 'digits-cnn'\nrecipe = 'wage'\nepochs = 3".parse().unwrap();
    let config = Config::resolve(keys, &[], dataset.shape, dataset.n_classes).unwrap();
    let mut session = Session::new(config, Arc::clone(&dataset), this_machine(2).unwrap()).unwrap();
    session.fit(&mut ()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    session.save(&path).unwrap();
    let saved = saved::read_model(&path).unwrap();
    let plan = Plan::build(&saved.model, &saved.recipe, 1).unwrap();
    let deployed = deployed::lower(&plan, &saved).unwrap();
    let vectors: Vectors = deployed::vectors(&deployed, &dataset.part(Part::Test).images, 64);
    assert_eq!(vectors.len(), 64);
    (c::write(&deployed, &vectors, &c::Options::default()).unwrap(), deployed)
}

/// Numbers of a description: the product's, then shift, rounding, least and largest integer.
const PAD: [(usize, &str); 2] = [(13, "rows of padding"), (14, "columns of padding")];
const SHIFT: usize = 20;
const ROUND: usize = 21;
const MIN: usize = 22;
const MAX: usize = 23;

/// A source with one number changed.
struct Mutant {
    what: String,
    source: String,
    /// The node and the limits of its rounding, where they are what was changed.
    limits: Option<(usize, [i64; 2])>,
}

/// All sources with one number of a product's description changed.
fn mutants(source: &str) -> Vec<Mutant> {
    let mut all = vec![];
    for line in source.lines().filter(|line| line.starts_with("static const product_t")) {
        let (head, numbers) = line.split_once("{ ").unwrap();
        let numbers = numbers.replace(['{', '}', ';', ' '], "");
        let words: Vec<&str> = numbers.split(',').collect();
        let (tables, rest) = words.split_at(2);
        let rest: Vec<i64> = rest.iter().map(|word| word.parse().unwrap()).collect();
        assert_eq!(rest.len(), 24, "{line}");
        let mut change = |at: usize, to: i64, what: &str| {
            let mut rest = rest.clone();
            rest[at] = to;
            let text = |part: &[i64]| part.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
            let (sizes, q) = rest.split_at(20);
            let mutant = format!("{head}{{ {}, {}, {{ {} }} }};", tables.join(", "), text(sizes), text(q));
            let node = head.trim_start_matches("static const product_t p").split(' ').next();
            let node = node.and_then(|node| node.parse().ok()).unwrap();
            let limits = [MIN, MAX].contains(&at).then_some((node, [rest[MIN], rest[MAX]]));
            let (what, source) = (format!("{head}: {what} {to}"), source.replace(line, &mutant));
            all.push(Mutant { what, source, limits });
        };
        for (at, what) in PAD {
            change(at, rest[at] + 1, what);
        }
        // Logits that are exact sums have no rounding.
        if rest[SHIFT] == 0 && rest[MAX] == 0 {
            continue;
        }
        [-1, 1].into_iter().for_each(|by| change(SHIFT, rest[SHIFT] + by, "shift"));
        (0..=4).filter(|round| *round != rest[ROUND]).for_each(|round| change(ROUND, round, "rounding"));
        for at in [MIN, MAX] {
            [-1, 1].into_iter().for_each(|by| change(at, rest[at] + by, "limit"));
        }
    }
    all
}

/// Whether the program that these sources make says that all vectors are equal.
fn passes(folder: &Path, sources: [&str; 2]) -> bool {
    let output = Command::new("cc")
        .args(["-O1", "-w", "-o", "program"])
        .args(sources)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Command::new(folder.join("program")).output().unwrap().status.success()
}

#[test]
fn mutants_of_the_c_fail_on_its_vectors() {
    if !has_compiler() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (written, deployed) = digits_cnn();
    for (name, text) in &written.files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    assert!(passes(folder.path(), ["model.c", "model_test.c"]));
    // The roundings that the network lacks, so that a mutant can name them.
    let cases = "    case 2: x += half - 1; break;\n    case 3: x += half - (x < 0); break;\n    \
                 case 4: x += x < 0 ? half - 1 + half : 0; break;\n    default: break;";
    let source = &written.files.iter().find(|(name, _)| name == "model.c").unwrap().1;
    let source = source.replace("    default: break;", cases);
    let mutants = mutants(&source);
    assert!(mutants.len() > 30, "{}", mutants.len());
    let survives = |mutant: &&Mutant| {
        std::fs::write(folder.path().join("mutant.c"), &mutant.source).unwrap();
        passes(folder.path(), ["mutant.c", "model_test.c"])
    };
    // A limit that no sum reaches, as the weights prove, may be any.
    let is_equivalent = |mutant: &&Mutant| {
        mutant.limits.is_some_and(|(node, [min, max])| {
            let q = *deployed.rounding(node).unwrap();
            deployed.is_equivalent(node, &Requantize { min, max, ..q })
        })
    };
    let survivors = mutants.iter().filter(survives).filter(|mutant| !is_equivalent(mutant));
    let survivors: Vec<&str> = survivors.map(|mutant| mutant.what.as_str()).collect();
    assert!(survivors.is_empty(), "{} of {} survive: {survivors:#?}", survivors.len(), mutants.len());
}
