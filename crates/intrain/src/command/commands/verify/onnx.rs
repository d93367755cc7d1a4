//! `intrain verify onnx`: how many logits of an ONNX file, in ONNX Runtime, are not those of a network here.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, ExitCode};

use crate::answers::Answers;
use crate::data::Part;
use crate::import::{self, Scaling};
use crate::imported;
use crate::model::Shape;
use crate::nn::{Logits, Plan, loss};
use crate::recipe;
use crate::train::logits;
use crate::train::saved::SavedModel;
use crate::train::session::EVALUATION_BATCH;
use anyhow::Context as _;
use serde_json::{Value, json};

use super::super::import::{options, read};
use super::scratch::Scratch;
use crate::command::args::{NetworkArgs, ScalingArgs, VerifyOnnxArgs};
use crate::command::failure::Usage;
use crate::command::output::{Output, facts, grouped};
use crate::command::settings::{context, load_data_for, open_model};

/// Logits of floats differ where they are apart by more than this part of the largest.
const TOLERANCE: f64 = 1e-4;

/// The status by which the program refuses the file.
const REFUSED: i32 = 3;

/// A way to run the file, and what it came to.
struct Way {
    name: String,
    /// Differing logits, images that have any, and images of another class.
    counts: [u64; 3],
    /// The largest difference.
    apart: f64,
}

/// The network here, and what the file does besides.
struct Network {
    saved: SavedModel,
    /// Whether the file answers with the softmax of its logits.
    has_softmax: bool,
    /// What a file of floats sees of a byte, channel by channel.
    lines: [Vec<f64>; 2],
}

pub(super) fn run(args: &VerifyOnnxArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let network = network(args)?;
    let (saved, n_classes) = (&network.saved, network.saved.model.n_classes()?);
    let size = saved.model.input.shape.len();
    let mut images = load_data_for(saved, &args.data)?.part(Part::Test).images.to_vec();
    images.truncate(args.images.map_or(usize::MAX, |n| n as usize * size));
    let plan = Plan::build(&saved.model, &saved.recipe, 1)?;
    let mut answers = Answers::of(plan, saved, &context(None, None)?, EVALUATION_BATCH);
    let mut expected = None;
    for images in images.chunks(EVALUATION_BATCH * size) {
        logits::append(&mut expected, answers.logits(images))?;
    }
    let expected = expected.unwrap_or_else(|| Logits::Floats(vec![]));
    let ways = ask(args, &network, &images, &expected)?;
    let n_images = images.len() / size;
    let n = ((n_images * n_classes) as u64, n_images as u64);
    output.finish(&text(&ways, &expected, n), &object(&ways, n))?;
    let is_equal = ways.iter().all(|way| way.counts[0] == 0);
    Ok(if is_equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The trained network, or the file as a network of floats.
fn network(args: &VerifyOnnxArgs) -> anyhow::Result<Network> {
    let options = options(&args.file, None, &args.scaling)?;
    let lines = |scaling: &Scaling, saved: &SavedModel| {
        scaling.lines(saved.model.input.shape.c).map_err(|reason| Usage(format!("--mean, --std: {reason}")))
    };
    if let Some(model) = &args.of {
        let saved = open_model(&NetworkArgs { model: model.clone(), checkpoint: None })?;
        // A file that a trained network has become sees what that network sees, where nothing else is said.
        let own = Scaling::Pixels(saved.model.input.pixels);
        let lines = lines(if is_asked(&args.scaling) { &options.scaling } else { &own }, &saved)?;
        return Ok(Network { saved, has_softmax: false, lines });
    }
    let name = args.file.display();
    let imported = import::read(&read(&args.file)?, &options).with_context(|| {
        format!(
            "{name}: to compare it with a trained network, name that: --of RUN; read as a network of floats"
        )
    })?;
    let recipe = recipe::preset("float32")?;
    let (_, parameters) = imported::parameters(&imported, &recipe).with_context(|| name.to_string())?;
    let saved = SavedModel {
        model: imported.model,
        recipe,
        data: args.data.clone(),
        validation: 0.0,
        classes: vec![],
        encoder: None,
        parameters,
        statistics_trail: false,
    };
    let lines = lines(&options.scaling, &saved)?;
    Ok(Network { saved, has_softmax: imported.has_softmax, lines })
}

fn is_asked(scaling: &ScalingArgs) -> bool {
    scaling.pixels.is_some() || !scaling.mean.is_empty()
}

/// What ONNX Runtime answers, in each way to run it.
fn ask(
    args: &VerifyOnnxArgs,
    network: &Network,
    images: &[u8],
    expected: &Logits,
) -> anyhow::Result<Vec<Way>> {
    let (scratch, Shape { h, w, c }) = (Scratch::new()?, network.saved.model.input.shape);
    let [program, pixels, logits] = ["compare.py", "images", "logits"].map(|name| scratch.0.join(name));
    fs::write(&program, include_str!("compare.py"))?;
    fs::write(&pixels, images)?;
    let (bytes, unit, tolerance): (Vec<u8>, f64, f64) = match expected {
        Logits::Floats(values) => {
            (values.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect(), 0.0, TOLERANCE)
        }
        Logits::Integers { values, frac_bits } => {
            (values.iter().flat_map(|x| x.to_le_bytes()).collect(), loss::real(*frac_bits, 1), 0.0)
        }
    };
    fs::write(&logits, bytes)?;
    let shape = format!("{h},{w},{c},{}", network.saved.model.n_classes()?);
    let joined = |line: &Vec<f64>| line.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
    let mut command = Command::new("python3");
    command.arg(&program).arg(&args.file).arg(&pixels).arg(&logits).arg(shape);
    command.args([unit, tolerance].map(|number| number.to_string()));
    command.args([network.has_softmax, is_asked(&args.scaling)].map(|is| u8::from(is).to_string()));
    command.args(network.lines.each_ref().map(joined));
    let refuse = |problem: String| Usage(format!("{}: {problem}", args.file.display()));
    let answered = command.output().map_err(|error| {
        refuse(format!("no python3 to run it: {error}; install Python 3, then pip install onnxruntime"))
    })?;
    let errors = String::from_utf8_lossy(&answered.stderr);
    let said = errors.lines().last().unwrap_or("it ended without an answer");
    if errors.contains("No module named") {
        return Err(refuse("python3 lacks ONNX Runtime; pip install onnxruntime".to_owned()).into());
    }
    match answered.status.code() {
        Some(0) => {}
        Some(REFUSED) => return Err(refuse(said.to_owned()).into()),
        _ => return Err(refuse(format!("ONNX Runtime does not run it: {said}")).into()),
    }
    let text = String::from_utf8_lossy(&answered.stdout);
    text.lines().map(|line| way(line).with_context(|| format!("'{line}' of compare.py"))).collect()
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
