//! `cargo xtask golden [--check]`: writes the generated files of the golden suite, or compares them.
//!
//! Inputs are fixed extremes and the project's own random words; answers come from the scalar crate and plain loops.
//! The worked examples of the papers and the published answers are written by hand and never touched here.

mod parameters;
mod scalar;
mod tensors;

use std::fs;
use std::path::{Path, PathBuf};

use intrain_golden::{Case, File, Op};
use intrain_num::random::{Purpose, Stream};

/// Name, schema for the reader, and cases of every generated file.
fn files() -> [(&'static str, &'static str, Vec<Case>); 7] {
    [
        ("round", scalar::ROUND_SCHEMA, scalar::round()),
        ("format", scalar::FORMAT_SCHEMA, scalar::format()),
        ("requantize", scalar::REQUANTIZE_SCHEMA, scalar::requantize()),
        ("product", tensors::PRODUCT_SCHEMA, tensors::product()),
        ("pool", tensors::POOL_SCHEMA, tensors::pool()),
        ("update", parameters::UPDATE_SCHEMA, parameters::update()),
        ("init", parameters::INIT_SCHEMA, parameters::init()),
    ]
}

/// Runs the task: without arguments it writes `golden/`, with `--check` it compares.
///
/// # Errors
/// Every file that cannot be written or that differs, one per line.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../golden");
    match args {
        [] => write(&dir),
        [flag] if flag == "--check" => check(&dir),
        _ => Err("write: cargo xtask golden [--check]".to_owned()),
    }
}

/// Writes every generated file into `dir`.
///
/// # Errors
/// The first file that cannot be written.
pub(crate) fn write(dir: &Path) -> Result<(), String> {
    for (name, schema, cases) in files() {
        let path = dir.join(name).with_extension("toml");
        fs::write(&path, text(schema, cases)?).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Compares every generated file in `dir` with what would be written.
///
/// # Errors
/// All files that differ or cannot be read.
pub(crate) fn check(dir: &Path) -> Result<(), String> {
    let mut failures = Vec::new();
    for (name, schema, cases) in files() {
        let path = dir.join(name).with_extension("toml");
        let expected = text(schema, cases)?;
        match fs::read_to_string(&path) {
            Ok(found) if found == expected => {}
            Ok(found) => {
                let same = found.lines().zip(expected.lines()).take_while(|(a, b)| a == b).count();
                failures.push(format!(
                    "{}:{}: differs from what the scalar crate computes; if the contract changed on purpose, run \
                     `cargo xtask golden` and write down why",
                    path.display(),
                    same + 1
                ));
            }
            Err(error) => failures.push(format!("{}: {error}; run `cargo xtask golden`", path.display())),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

fn text(schema: &str, cases: Vec<Case>) -> Result<String, String> {
    let body = toml::to_string(&File { cases }).map_err(|error| error.to_string())?;
    let mut text = String::new();
    for line in schema.lines() {
        text.push_str(if line.is_empty() { "#" } else { "# " });
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    body.lines().for_each(|line| push_wrapped(&mut text, line));
    Ok(text)
}

/// Long arrays go on several lines.
fn push_wrapped(text: &mut String, line: &str) {
    const WIDTH: usize = 116;
    let mut rest = line;
    while rest.len() > WIDTH {
        let Some(at) = rest[..WIDTH].rfind(", ") else { break };
        text.push_str(&rest[..=at]);
        text.push_str("\n    ");
        rest = &rest[at + 2..];
    }
    text.push_str(rest);
    text.push('\n');
}

fn case(name: impl Into<String>, op: Op) -> Case {
    Case { name: name.into(), op }
}

/// Inputs of the cases: a stream of words that no engine uses.
struct Numbers {
    stream: Stream,
    next: u64,
}

impl Numbers {
    /// Each file has its own numbers, so that a new case in one leaves the others alone.
    const fn new(file: u64) -> Self {
        Self { stream: Stream::new(2015, Purpose::Tool, 0, file), next: 0 }
    }

    fn word(&mut self) -> u32 {
        self.next += 1;
        self.stream.word(self.next - 1)
    }

    fn words(&mut self, n: usize) -> Vec<u32> {
        (0..n).map(|_| self.word()).collect()
    }

    /// A number in `min..=max`, wider than 32 bits where needed.
    fn between(&mut self, min: i64, max: i64) -> i64 {
        let wide = i128::from(self.word()) << 32 | i128::from(self.word());
        let span = i128::from(max) - i128::from(min) + 1;
        // Bound: the result lies between two 64-bit numbers.
        i64::try_from(i128::from(min) + ((wide * span) >> 64)).unwrap_or(max)
    }

    fn list(&mut self, n: usize, min: i64, max: i64) -> Vec<i64> {
        (0..n).map(|_| self.between(min, max)).collect()
    }
}

/// The stream of a case and the words of its elements; nothing where the rounding needs none.
fn random_words(
    round: intrain_num::Round,
    purpose: Purpose,
    n: usize,
) -> (Option<intrain_golden::Stream>, Vec<u32>) {
    if !round.is_stochastic() {
        return (None, vec![0; n]);
    }
    let at = intrain_golden::Stream {
        seed: 0x1234_5678_9abc,
        purpose: purpose as u8,
        layer: 3,
        step: 41,
        first_element: 5,
    };
    let stream = Stream::new(at.seed, purpose, at.layer, at.step);
    (Some(at), (0..n as u64).map(|i| stream.word(at.first_element + i)).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn files_in_the_repository_are_up_to_date() {
        super::run(&["--check".to_owned()]).unwrap_or_else(|message| panic!("{message}"));
    }

    #[test]
    fn wrapped_text_reads_back() {
        for (name, schema, cases) in super::files() {
            let text = super::text(schema, cases.clone()).unwrap();
            assert_eq!(intrain_golden::parse(name, &text).unwrap().cases, cases, "{name}");
        }
    }
}
