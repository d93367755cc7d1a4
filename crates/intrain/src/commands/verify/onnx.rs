//! `intrain verify onnx`: how many logits of an ONNX file, in ONNX Runtime, are not those of a network here.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use intrain::answers::Answers;
use intrain::data::Part;
use intrain::import::{self, Options, Scaling};
use intrain::imported;
use intrain::model::Pixels;
use intrain::nn::{Logits, Plan};
use intrain::recipe;
use intrain::train::logits;
use intrain::train::saved::SavedModel;
use intrain::train::session::EVALUATION_BATCH;
use serde_json::{Value, json};

use super::super::import::{options, read};
use super::scratch::Scratch;
use crate::args::{NetworkArgs, VerifyOnnxArgs};
use crate::failure::Usage;
use crate::output::{Output, facts, grouped};
use crate::settings::{context, load_data_for, open_model};

/// Logits of floats differ where they are apart by more than this part of the largest.
const TOLERANCE: f64 = 1e-4;

/// A way to run the file, and what it came to.
struct Way {
    name: String,
    /// Differing logits, images that have any, and images of another class.
    counts: [u64; 3],
    /// The largest difference.
    apart: f64,
}

pub(super) fn run(args: &VerifyOnnxArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let options = options(&args.file, None, &args.scaling)?;
    let saved = match &args.of {
        Some(model) => open_model(&NetworkArgs { model: model.clone(), checkpoint: None })?,
        None => imported_model(args, &options)?,
    };
    let shape = saved.model.input.shape;
    let scaling = match (&options.scaling, args.of.is_some() && args.scaling.pixels.is_none()) {
        (Scaling::Pixels(_), true) => Scaling::Pixels(saved.model.input.pixels),
        (scaling, _) => scaling.clone(),
    };
    let mut images = load_data_for(&saved, &args.data)?.part(Part::Test).images.to_vec();
    images.truncate(args.images.map_or(usize::MAX, |n| n as usize * shape.len()));
    let plan = Plan::build(&saved.model, &saved.recipe, 1)?;
    let mut answers = Answers::of(plan, &saved, &context(None, None)?, EVALUATION_BATCH);
    let mut expected = None;
    for images in images.chunks(EVALUATION_BATCH * shape.len()) {
        logits::append(&mut expected, answers.logits(images))?;
    }
    let expected = expected.unwrap_or_else(|| Logits::Floats(vec![]));
    let ways = ask(&args.file, &images, &expected, (saved.model.n_classes()?, &lines(&scaling, shape.c)))?;
    let n_logits = expected.to_f64().len() as u64;
    let n_images = (images.len() / shape.len()) as u64;
    output.finish(&text(&ways, &expected, (n_logits, n_images)), &object(&ways, (n_logits, n_images)))?;
    let is_equal = ways.iter().all(|way| way.counts[0] == 0);
    Ok(if is_equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The file as a network in floats.
fn imported_model(args: &VerifyOnnxArgs, options: &Options) -> anyhow::Result<SavedModel> {
    let name = args.file.display();
    let imported = import::read(&read(&args.file)?, options).with_context(|| {
        format!(
            "{name}: to compare it with a trained network, name that: --of RUN; read as a network of floats"
        )
    })?;
    let recipe = recipe::preset("float32")?;
    let (_, parameters) = imported::parameters(&imported, &recipe).with_context(|| name.to_string())?;
    Ok(SavedModel {
        model: imported.model,
        recipe,
        data: args.data.clone(),
        validation: 0.0,
        classes: vec![],
        encoder: None,
        parameters,
        statistics_trail: false,
    })
}

/// What a model of floats sees of a pixel: factors, and what is added, channel by channel.
fn lines(scaling: &Scaling, channels: usize) -> [String; 2] {
    let joined = |of: &dyn Fn(usize) -> f64| {
        (0..channels).map(|channel| of(channel).to_string()).collect::<Vec<_>>().join(",")
    };
    let same = |scale: f64, shift: f64| [joined(&|_| scale), joined(&|_| shift)];
    match scaling {
        Scaling::Pixels(Pixels::Unit255) => same(1.0 / 255.0, 0.0),
        Scaling::Pixels(Pixels::Unit256) => same(1.0 / 256.0, 0.0),
        Scaling::Pixels(Pixels::Symmetric) => same(1.0 / 127.5, -1.0),
        Scaling::Normalized { mean, std } => {
            let of = |values: &[f64], channel: usize| values[channel.min(values.len() - 1)];
            [
                joined(&|channel| 1.0 / (255.0 * of(std, channel))),
                joined(&|channel| -of(mean, channel) / of(std, channel)),
            ]
        }
    }
}

/// What ONNX Runtime answers, in each way to run it.
fn ask(
    file: &Path,
    images: &[u8],
    expected: &Logits,
    (classes, lines): (usize, &[String; 2]),
) -> anyhow::Result<Vec<Way>> {
    let scratch = Scratch::new()?;
    let [program, pixels, logits] = ["compare.py", "images", "logits"].map(|name| scratch.0.join(name));
    fs::write(&program, include_str!("compare.py"))?;
    fs::write(&pixels, images)?;
    let (bytes, tolerance): (Vec<u8>, f64) = match expected {
        Logits::Floats(values) => {
            (values.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect(), TOLERANCE)
        }
        Logits::Integers { values, .. } => (values.iter().flat_map(|x| x.to_le_bytes()).collect(), 0.0),
    };
    fs::write(&logits, bytes)?;
    let mut command = Command::new("python3");
    command.arg(&program).arg(file).arg(&pixels).arg(&logits);
    command.arg(classes.to_string()).arg(tolerance.to_string()).args(lines);
    let refuse = |problem: String| Usage(format!("{}: {problem}", file.display()));
    let answered = command.output().map_err(|error| refuse(format!("no python3 to run it: {error}")))?;
    let errors = String::from_utf8_lossy(&answered.stderr);
    if errors.contains("No module named") {
        return Err(refuse("python3 lacks ONNX Runtime; pip install onnxruntime".to_owned()).into());
    }
    if !answered.status.success() {
        let said = errors.lines().last().unwrap_or("it ended without an answer");
        return Err(refuse(format!("ONNX Runtime does not run it: {said}")).into());
    }
    String::from_utf8_lossy(&answered.stdout)
        .lines()
        .map(|line| way(line).with_context(|| format!("the answer '{line}' of compare.py")))
        .collect()
}

/// A line of the program.
fn way(line: &str) -> Option<Way> {
    let mut words = line.split('\t');
    let name = words.next()?.to_owned();
    let mut count = || words.next()?.parse().ok();
    let counts = [count()?, count()?, count()?];
    Some(Way { name, counts, apart: words.next()?.parse().ok()? })
}

fn text(ways: &[Way], expected: &Logits, (n_logits, n_images): (u64, u64)) -> String {
    let said = |way: &Way| {
        let [logits, images, classes] = way.counts;
        let mut said = format!("{} of {} logits differ", grouped(logits), grouped(n_logits));
        if logits > 0 {
            let _ = write!(said, ", in {} of {} images", grouped(images), grouped(n_images));
        }
        if let (Logits::Floats(_), _) | (_, 1..) = (expected, logits) {
            let _ =
                write!(said, "; at most {} apart, {} images of another class", way.apart, grouped(classes));
        }
        said
    };
    facts(&ways.iter().map(|way| (way.name.as_str(), said(way))).collect::<Vec<_>>()).trim_end().to_owned()
}

fn object(ways: &[Way], (n_logits, n_images): (u64, u64)) -> Value {
    let way = |way: &Way| {
        let [logits, images, classes] = way.counts;
        json!({
            "runtime": way.name, "differing_logits": logits, "differing_images": images, "other_classes": classes,
            "largest_difference": way.apart,
        })
    };
    let ok = ways.iter().all(|way| way.counts[0] == 0);
    json!({"ok": ok, "logits": n_logits, "images": n_images, "ways": ways.iter().map(way).collect::<Vec<_>>()})
}
