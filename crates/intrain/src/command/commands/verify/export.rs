//! `intrain verify export`: what compilers make of an exported network, against what the network answers here.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Output as Answered};

use crate::deploy::Deployed;
use crate::deployed;
use crate::nn::{Logits, Network, Plan};
use crate::train::saved::SavedModel;
use crate::train::session::EVALUATION_BATCH;
use anyhow::Context as _;
use serde_json::{Value, json};

use super::super::export::{MANIFEST, images_of};
use super::programs::{Build, TARGETS, Target};
use super::scratch::Scratch;
use crate::command::args::VerifyExportArgs;
use crate::command::failure::Usage;
use crate::command::output::{Output, facts, grouped};
use crate::command::settings::{context, open_model};

/// A row of the table: what was tried, and what it came to.
struct Tried {
    name: String,
    result: Result<Checked, String>,
}

enum Checked {
    /// Equal, so many images; on a board, with so many instructions an image.
    Equal { n: usize, instructions: Option<u64> },
    /// Not checked: why.
    Not(String),
}

pub(super) fn run(args: &VerifyExportArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let saved = open_model(&args.network)?;
    let plan = Plan::build(&saved.model, &saved.recipe, 1)
        .with_context(|| args.network.model.display().to_string())?;
    let deployed = deployed::lower(&plan, &saved)?;
    let export = Export::read(&args.folder, &deployed)?;
    let images = match args.images as usize {
        0 => vec![],
        n => {
            let mut images = images_of(&saved, Some(args.data.as_deref().unwrap_or(&saved.data)))?;
            images.truncate(n * deployed.image().len());
            images
        }
    };
    let expected = answers(&saved, plan, &images)?;
    let scratch = Scratch::new()?;
    let file = scratch.0.join("images");
    fs::write(&file, &images)?;
    let case =
        Case { deployed: &deployed, export: &export, images: &images, expected: &expected, file: &file };
    let of = |target: &Target| Tried { name: target.name.to_owned(), result: case.check(target, &scratch.0) };
    let tried: Vec<Tried> = match export.target.as_str() {
        "c" => TARGETS.iter().map(of).collect(),
        "rust" => vec![Tried { name: "rustc -O".to_owned(), result: case.check_rust(&scratch.0) }],
        "qonnx" => case.check_python(&QONNX, &scratch.0)?,
        _ => case.check_python(&ONNX_RUNTIME, &scratch.0)?,
    };
    finish(&tried, output)
}

fn finish(tried: &[Tried], output: &Output) -> anyhow::Result<ExitCode> {
    let words = |tried: &Tried| match &tried.result {
        Ok(Checked::Equal { n, instructions }) => {
            let instructions = instructions.map(|n| format!(", {} instructions an image", grouped(n)));
            format!("equal ({} images{})", grouped(*n as u64), instructions.unwrap_or_default())
        }
        Ok(Checked::Not(why)) => format!("not checked: {why}"),
        Err(difference) => format!("DIFFERS: {difference}"),
    };
    let lines: Vec<(&str, String)> = tried.iter().map(|tried| (tried.name.as_str(), words(tried))).collect();
    let n_of = |is: fn(&Tried) -> bool| tried.iter().filter(|tried| is(tried)).count();
    let (n_equal, n_failed) =
        (n_of(|t| matches!(t.result, Ok(Checked::Equal { .. }))), n_of(|t| t.result.is_err()));
    let ways = |n: usize| if n == 1 { "1 way to run it".to_owned() } else { format!("{n} ways to run it") };
    let end = match (n_failed, n_equal) {
        (0, 0) => "nothing was checked: install a compiler".to_owned(),
        (0, n) => format!("{} answer bit for bit; {} not checked", ways(n), tried.len() - n),
        (n, _) => format!("NOT as the network answers: {}", ways(n)),
    };
    let object = |tried: &Tried| match &tried.result {
        Ok(Checked::Equal { n, instructions }) => {
            json!({"target": tried.name, "result": "equal", "images": n, "instructions": instructions})
        }
        Ok(Checked::Not(why)) => json!({"target": tried.name, "result": "not checked", "reason": why}),
        Err(difference) => json!({"target": tried.name, "result": "differs", "reason": difference}),
    };
    let object =
        json!({"ok": n_failed == 0 && n_equal > 0, "targets": tried.iter().map(object).collect::<Vec<_>>()});
    output.finish(&format!("{}\n{end}", facts(&lines).trim_end()), &object)?;
    Ok(if n_failed == 0 && n_equal > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The answers of the engine, image by image.
fn answers(saved: &SavedModel, plan: Plan, images: &[u8]) -> anyhow::Result<Vec<i64>> {
    let size = plan.input.shape.len();
    let mut network = Network::new(plan, context(None, None)?);
    network.load(&saved.parameters, None);
    let mut all = vec![];
    for images in images.chunks(EVALUATION_BATCH * size) {
        network.forward(images, None);
        let Logits::Integers { values, .. } = network.logits() else {
            anyhow::bail!("the engine answers in floats")
        };
        all.extend(values);
    }
    Ok(all)
}

/// What `intrain export` wrote.
struct Export<'a> {
    folder: &'a Path,
    target: String,
    prefix: String,
    sources: Vec<String>,
    n_vectors: usize,
}

impl<'a> Export<'a> {
    /// Reads the manifest, and compares it with the network.
    fn read(folder: &'a Path, deployed: &Deployed) -> anyhow::Result<Self> {
        let path = folder.join(MANIFEST);
        let name = path.display();
        let text = fs::read_to_string(&path).map_err(|e| {
            Usage(format!("{name}: cannot read: {e}; name the folder that intrain export wrote"))
        })?;
        let manifest: Value = serde_json::from_str(&text)
            .map_err(|e| Usage(format!("{name}: {e}; export the network again")))?;
        let word = |key: &str| manifest[key].as_str().map(str::to_owned);
        let (sha256, about) = (word("weights_sha256").unwrap_or_default(), &deployed.about);
        if sha256 != about.weights_sha256 {
            return Err(Usage(format!(
                "{name}: it is of weights {sha256}, and the network has {}; export this network, or name the one that was exported, a \
                 checkpoint by --checkpoint",
                about.weights_sha256
            ))
            .into());
        }
        let prefix =
            word("prefix").filter(|prefix| prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
        let (Some(target), Some(prefix)) = (word("target"), prefix) else {
            return Err(Usage(format!(
                "{name}: it has no 'target' and no 'prefix'; export the network again"
            ))
            .into());
        };
        // A name from a file leads nowhere else.
        let is_source =
            |name: &&str| name.ends_with(".c") && name.starts_with(prefix.as_str()) && !name.contains('/');
        let files = manifest["files"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let sources = files.filter(is_source).map(str::to_owned).collect();
        if !matches!(target.as_str(), "c" | "rust" | "onnx" | "onnx-qdq" | "qonnx") {
            return Err(Usage(format!(
                "{name}: it is of --to {target}, which nothing runs; export --to c or onnx"
            ))
            .into());
        }
        let n_vectors = manifest["vectors"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        Ok(Self { folder, target, prefix, sources, n_vectors })
    }
}

/// What is compared.
struct Case<'a> {
    deployed: &'a Deployed,
    export: &'a Export<'a>,
    images: &'a [u8],
    expected: &'a [i64],
    /// The images as a file.
    file: &'a Path,
}

impl Case<'_> {
    fn check(&self, target: &Target, scratch: &Path) -> Result<Checked, String> {
        if let Some(missing) = target.missing() {
            return Ok(Checked::Not(missing));
        }
        let vectors = target.run(&target.make(&self.build(scratch))?)?;
        let instructions = said_equal(&vectors)?;
        if self.images.is_empty() {
            return Ok(Checked::Equal { n: self.export.n_vectors, instructions });
        }
        let build = Build { images: Some(self.file), ..self.build(scratch) };
        let answered = target.run(&target.make(&build)?)?;
        match self.compare(&answered)? {
            None => Ok(Checked::Equal { n: self.n_images(), instructions }),
            Some(image) => Err(self.trace(target, scratch, image)),
        }
    }

    /// The vectors and the images.
    fn n_images(&self) -> usize {
        self.export.n_vectors + self.expected.len() / self.deployed.logits().shape.len()
    }

    /// The first image to which a program answered otherwise.
    fn compare(&self, answered: &Answered) -> Result<Option<usize>, String> {
        let text = String::from_utf8_lossy(&answered.stdout);
        let lines = text.lines().filter(|line| !line.starts_with("instructions"));
        let found: Vec<i64> =
            lines.flat_map(str::split_whitespace).filter_map(|word| word.parse().ok()).collect();
        let first = self.expected.iter().zip(&found).position(|(a, b)| a != b);
        if first.is_none() && found.len() != self.expected.len() {
            return Err(format!("{} logits of {} came back", found.len(), self.expected.len()));
        }
        Ok(first.map(|i| i / self.deployed.logits().shape.len()))
    }

    /// The constants with what runs them.
    fn check_rust(&self, scratch: &Path) -> Result<Checked, String> {
        let rustc = |args: &[&str]| {
            let output = Command::new("rustc")
                .current_dir(self.export.folder)
                .args(["-O", "--edition", "2024", "-o"])
                .args(args)
                .output();
            let output = output.map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() {
                Ok(())
            } else {
                Err(text.lines().take(3).collect::<Vec<_>>().join("; "))
            }
        };
        if Command::new("rustc").arg("--version").output().is_err() {
            return Ok(Checked::Not("no rustc; see https://rustup.rs".to_owned()));
        }
        let [library, program] =
            ["libintrain_run.rlib", "program"].map(|name| scratch.join(name).display().to_string());
        rustc(&[&library, "--crate-type", "rlib", "--crate-name", "intrain_run", "intrain_run.rs"])?;
        rustc(&[
            &program,
            "--extern",
            &format!("intrain_run={library}"),
            &format!("{}_test.rs", self.export.prefix),
        ])?;
        let run =
            |args: &[&Path]| Command::new(&program).args(args).output().map_err(|error| error.to_string());
        said_equal(&run(&[])?)?;
        let answered = if self.images.is_empty() { None } else { self.compare(&run(&[self.file])?)? };
        match answered {
            None => Ok(Checked::Equal { n: self.n_images(), instructions: None }),
            Some(image) => Err(format!("image {image}: its logits differ")),
        }
    }

    fn build<'b>(&'b self, scratch: &'b Path) -> Build<'b> {
        let Export { folder, sources, prefix, .. } = self.export;
        Build { folder, sources, prefix, scratch, is_traced: false, images: None }
    }

    /// The first layer and element of an image that differ.
    fn trace(&self, target: &Target, scratch: &Path, image: usize) -> String {
        let size = self.deployed.image().len();
        let pixels = &self.images[image * size..][..size];
        let unknown = format!("image {image}: its logits differ");
        let file = scratch.join("image");
        let build = Build { is_traced: true, images: Some(&file), ..self.build(scratch) };
        let traced = fs::write(&file, pixels).map_err(|e| e.to_string());
        let traced = traced.and_then(|()| target.run(&target.make(&build)?));
        let Ok(output) = traced else { return unknown };
        let results = self.deployed.trace(pixels);
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Some(rest) = line.strip_prefix("node ") else { continue };
            let mut numbers = rest.split(' ').filter_map(|word| word.parse::<i64>().ok());
            let Some(node) = numbers.next().and_then(|node| usize::try_from(node).ok()) else { continue };
            let Some(right) = results.get(node) else { continue };
            if let Some((i, (found, right))) = numbers.zip(right).enumerate().find(|(_, (a, b))| a != *b) {
                let name = &self.deployed.nodes[node].result.name;
                return format!("image {image}, layer '{name}', element {i}: {found}, and {right} is right");
            }
        }
        unknown
    }

    /// The vectors, and the images, in what runs a model in Python.
    fn check_python(&self, runtime: &Runtime, scratch: &Path) -> anyhow::Result<Vec<Tried>> {
        let prefix = &self.export.prefix;
        let path = |end: &str| self.export.folder.join(format!("{prefix}{end}"));
        let (program, logits) = (scratch.join("run.py"), scratch.join("logits"));
        fs::write(&program, runtime.program)?;
        fs::write(&logits, self.expected.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())?;
        let files = [path(".onnx"), path("_images.npy"), path("_logits.npy"), self.file.to_owned(), logits];
        let output = Command::new("python3").arg(&program).args(&files).output();
        let n = self.n_images();
        let tried = |result| Tried { name: runtime.name.to_owned(), result };
        let (text, errors) = match &output {
            Ok(output) => (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
            Err(error) => return Ok(vec![tried(Ok(Checked::Not(format!("no python3: {error}"))))]),
        };
        if errors.contains("No module named") {
            let remedy = format!("python3 lacks a module; pip install {}", runtime.packages);
            return Ok(vec![tried(Ok(Checked::Not(remedy)))]);
        }
        let row = |line: &str| {
            let (name, difference) = line.split_once('\t')?;
            let result = if difference.is_empty() {
                Ok(Checked::Equal { n, instructions: None })
            } else {
                Err(difference.to_owned())
            };
            Some(Tried { name: name.to_owned(), result })
        };
        let mut all: Vec<Tried> = text.lines().filter_map(row).collect();
        if all.is_empty() || !output.as_ref().is_ok_and(|output| output.status.success()) {
            let said = errors.lines().last().unwrap_or("it ended without an answer");
            all.push(tried(Err(said.to_owned())));
        }
        Ok(all)
    }
}

/// What a program that runs the vectors says; on a board the instructions of an image.
fn said_equal(vectors: &Answered) -> Result<Option<u64>, String> {
    let said =
        String::from_utf8_lossy(&vectors.stdout).into_owned() + &String::from_utf8_lossy(&vectors.stderr);
    if !vectors.status.success() {
        return Err(format!("vectors: {}", said.lines().take(3).collect::<Vec<_>>().join("; ")));
    }
    Ok(said.lines().find_map(|line| line.strip_prefix("instructions ")?.parse().ok()))
}

/// What runs a model in Python.
struct Runtime {
    name: &'static str,
    /// Packages of pip.
    packages: &'static str,
    /// Prints a line for each way to run a model: its name, a tabulator, and what differs.
    program: &'static str,
}

const ONNX_RUNTIME: Runtime =
    Runtime { name: "ONNX Runtime", packages: "onnxruntime", program: include_str!("onnx.py") };
/// The executor of QONNX itself.
const QONNX: Runtime =
    Runtime { name: "qonnx", packages: "qonnx onnxruntime", program: include_str!("qonnx.py") };
