//! `intrain export`: a trained network for other machines, with test vectors, checked against the engine before anything is written.

mod arrays;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::data::Part;
use crate::data::npy::{self, Order};
use crate::deploy::{Deployed, FloatTensor, Node, Op, Vectors, c, onnx, rust};
use crate::deployed;
use crate::nn::{Logits, Network, Plan};
use crate::train::atomic_write;
use crate::train::checkpoint::{self, NamedTensor, TensorData};
use crate::train::saved::SavedModel;
use anyhow::Context as _;
use serde_json::{Value, json};

use crate::command::args::ExportArgs;
use crate::command::failure::Usage;
use crate::command::output::{Group, OutFolder, Output, facts, grouped, say};
use crate::command::settings::{context, files_of, load_data_for, open_model, tell_of_trailing_statistics};

/// What says what was generated.
pub(super) const MANIFEST: &str = "manifest.json";

pub(crate) fn run(args: &ExportArgs, output: &Output) -> anyhow::Result<ExitCode> {
    check_prefix(&args.prefix)?;
    check_flags(args)?;
    let saved = open_model(&args.network)?;
    tell_of_trailing_statistics(&saved, &args.network);
    let folder = args.out.clone().unwrap_or_else(|| default_folder(&args.network.model, &args.to));
    let plan = Plan::build(&saved.model, &saved.recipe, 1)
        .with_context(|| args.network.model.display().to_string())?;
    let deployed = deployed::lower(&plan, &saved)?;
    let images = images_of(&saved, args.data.as_deref())?;
    let vectors = deployed::vectors(&deployed, &images, args.vectors as usize);
    check_engine(&saved, plan.clone(), &vectors)?;
    let written = match args.to.as_str() {
        "c" => of_c(args, &deployed, &vectors)?,
        "rust" => of_rust(args, &deployed, &vectors)?,
        "npy" | "hex" => Written { files: arrays::files(&deployed, &vectors, &args.to)?, sizes: None },
        "safetensors" => of_safetensors(args, &saved, &plan, &deployed, &vectors)?,
        _ => of_onnx(args, &deployed, &vectors)?,
    };
    let inputs = files_of(&args.network, args.data.as_deref());
    let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
    let out = OutFolder::check(&folder, vec![group(&written)], &inputs)?;

    out.make()?;
    for (name, content) in &written.files {
        atomic_write(&folder.join(name), content)?;
    }
    let manifest = manifest(args, &deployed, &written, &vectors);
    atomic_write(&folder.join(MANIFEST), format!("{manifest:#}\n").as_bytes())?;
    output.finish(&text(args, &folder, &deployed, &written, &vectors), &manifest)?;
    Ok(ExitCode::SUCCESS)
}

/// What is written.
struct Written {
    files: Vec<(String, Vec<u8>)>,
    /// Bytes of memory and of constants, where the target has them.
    sizes: Option<(usize, usize)>,
}

/// The files that are written together, the manifest first. No earlier version wrote one without a list of what it made, so none is known by
/// how it begins.
fn group(written: &Written) -> Group {
    Group::new(MANIFEST, "no manifest begins so", written.files.iter().map(|(name, _)| name.clone()))
}

/// Test vectors as arrays.
const VECTORS: [&str; 2] = ["images", "logits"];

/// Flags that are of C alone.
fn check_flags(args: &ExportArgs) -> Result<(), Usage> {
    let of_c = [
        ("--pack", args.pack),
        ("--split", args.split),
        ("--ram", args.ram.is_some()),
        ("--flash", args.flash.is_some()),
    ];
    if let Some((flag, _)) = of_c.iter().find(|(_, is_given)| *is_given && args.to != "c") {
        return Err(Usage(format!("{flag}: this is for --to c; leave it out")));
    }
    if args.debug && args.to != "onnx" {
        return Err(Usage("--debug: this is for --to onnx; C traces with -DPREFIX_TRACE".to_owned()));
    }
    Ok(())
}

fn of_c(args: &ExportArgs, deployed: &Deployed, vectors: &Vectors) -> anyhow::Result<Written> {
    let options = c::Options { prefix: args.prefix.clone(), pack: args.pack, split: args.split };
    let written = c::write(deployed, vectors, &options)?;
    check_limits(args, deployed, &written)?;
    let files = written.files.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
    Ok(Written { files, sizes: Some((written.arena, written.constants)) })
}

fn of_rust(args: &ExportArgs, deployed: &Deployed, vectors: &Vectors) -> anyhow::Result<Written> {
    let files = rust::write(deployed, vectors, &args.prefix)?;
    Ok(Written {
        files: files.into_iter().map(|(name, text)| (name, text.into_bytes())).collect(),
        sizes: None,
    })
}

fn of_onnx(args: &ExportArgs, deployed: &Deployed, vectors: &Vectors) -> anyhow::Result<Written> {
    let form = match args.to.as_str() {
        "onnx" => onnx::Form::Integers,
        "onnx-qdq" => onnx::Form::Quantized,
        _ => onnx::Form::Qonnx,
    };
    let model = onnx::write(deployed, form, args.debug)?;
    let mut files = vec![(format!("{}.onnx", args.prefix), model)];
    files.extend(vectors_channels_first(args, deployed, vectors)?);
    Ok(Written { files, sizes: None })
}

/// The parameters as floats, with what a reader needs to know.
fn of_safetensors(
    args: &ExportArgs,
    saved: &SavedModel,
    plan: &Plan,
    deployed: &Deployed,
    vectors: &Vectors,
) -> anyhow::Result<Written> {
    let name = format!("{}.safetensors", args.prefix);
    let tensors: Vec<NamedTensor> = deployed::floats(deployed, plan, saved)
        .into_iter()
        .map(|FloatTensor { name, shape, values }| NamedTensor { name, shape, data: TensorData::F32(values) })
        .collect();
    let about = &deployed.about;
    let metadata = [
        ("format", "pt".to_owned()),
        ("intrain", env!("CARGO_PKG_VERSION").to_owned()),
        ("recipe", about.recipe.clone()),
        ("weights_sha256", about.weights_sha256.clone()),
        ("model", saved.model.to_toml()),
        ("frac_bits", deployed.logits().frac_bits.to_string()),
        ("classes", about.classes.join("\n")),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
    let bytes = checkpoint::safetensors_bytes(Path::new(&name), &metadata, &tensors)?;
    let mut files = vec![(name, bytes)];
    files.extend(vectors_channels_first(args, deployed, vectors)?);
    Ok(Written { files, sizes: None })
}

/// Test vectors as arrays: images `[n, channels, height, width]`, and logits.
fn vectors_channels_first(
    args: &ExportArgs,
    deployed: &Deployed,
    vectors: &Vectors,
) -> anyhow::Result<[(String, Vec<u8>); 2]> {
    let (image, classes) = (deployed.image(), deployed.logits().shape.len());
    let at = |i: usize| {
        let (image_number, rest) = (i / image.len(), i % image.len());
        let (channel, pixel) = (rest / (image.h * image.w), rest % (image.h * image.w));
        vectors.images[image_number * image.len() + pixel * image.c + channel]
    };
    let pixels: Vec<u8> = (0..vectors.images.len()).map(at).collect();
    let [images, logits] = VECTORS.map(|name| format!("{}_{name}.npy", args.prefix));
    let shape = [vectors.len(), image.c, image.h, image.w];
    Ok([
        (images, npy::to_bytes(&shape, Order::C, pixels.into_iter())?),
        (logits, npy::to_bytes(&[vectors.len(), classes], Order::C, vectors.logits.iter().copied())?),
    ])
}

/// A prefix is a name of C.
fn check_prefix(prefix: &str) -> Result<(), Usage> {
    let is_name = prefix.starts_with(|c: char| c.is_ascii_alphabetic())
        && prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && prefix.len() <= 64;
    if is_name {
        return Ok(());
    }
    Err(Usage(format!(
        "--prefix {prefix}: it begins names of C; give at most 64 letters, digits and '_', a letter first"
    )))
}

/// `digits-wage-1-c` for `runs/digits-wage-1` and for its `model.safetensors`.
fn default_folder(model: &Path, target: &str) -> PathBuf {
    let run = if model.is_dir() { Some(model) } else { model.parent() };
    let absolute = run.and_then(|run| std::path::absolute(run).ok());
    let name =
        absolute.as_deref().and_then(Path::file_name).map_or("network".into(), |name| name.to_string_lossy());
    PathBuf::from(format!("{name}-{target}"))
}

/// Test images of the data; none, and a note, where they are not here and were not asked for.
pub(super) fn images_of(saved: &SavedModel, data: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let dataset = match load_data_for(saved, data.unwrap_or(&saved.data)) {
        Ok(dataset) => dataset,
        Err(error) if data.is_none() => {
            say(&format!(
                "note: vectors are black, white and noise, without images of '{}': {error}",
                saved.data
            ));
            return Ok(vec![]);
        }
        Err(error) => return Err(error),
    };
    Ok(dataset.part(Part::Test).images.to_vec())
}

/// The engine that trains answers as the vectors say.
fn check_engine(saved: &SavedModel, plan: Plan, vectors: &Vectors) -> anyhow::Result<()> {
    let mut network = Network::new(plan, context(None, None)?);
    network.load(&saved.parameters, None);
    network.forward(&vectors.images, None);
    let Logits::Integers { values, .. } = network.logits() else {
        anyhow::bail!("the engine answers in floats")
    };
    let differs = values.iter().zip(&vectors.logits).position(|(engine, form)| engine != form);
    match differs {
        None => Ok(()),
        Some(i) => anyhow::bail!(
            "logit {i} of the test vectors is {} in training's engine and {} in the deployed form; this is a fault of intrain, and \
             nothing was written; please report it with the network",
            values[i],
            vectors.logits[i]
        ),
    }
}

fn check_limits(args: &ExportArgs, deployed: &Deployed, written: &c::Written) -> Result<(), Usage> {
    if let Some(ram) = args.ram.filter(|ram| written.arena as u64 > *ram) {
        return Err(Usage(format!(
            "--ram {ram}: the tensors of one image need {} bytes at once ({}); train a narrower network, or one of smaller images",
            written.arena,
            widest(deployed)
        )));
    }
    if let Some(flash) = args.flash.filter(|flash| written.constants as u64 > *flash) {
        let pack = if args.pack { "" } else { "; --pack puts weights of few bits together" };
        return Err(Usage(format!(
            "--flash {flash}: the constants alone need {} bytes{pack}; train a smaller network, or weights of fewer bits",
            written.constants
        )));
    }
    Ok(())
}

/// The node at which most memory is needed, and for what.
fn widest(deployed: &Deployed) -> String {
    let arena = deployed.arena();
    let live = |node: usize| {
        arena.places.iter().enumerate().filter_map(move |(i, place)| {
            place.filter(|p| p.first <= node && node <= p.last).map(|p| (i, p.bytes))
        })
    };
    let bytes = |node: &usize| live(*node).map(|(_, bytes)| bytes).sum::<usize>();
    let node = (0..arena.places.len()).rev().max_by_key(bytes).unwrap_or(0);
    let parts: Vec<String> = live(node)
        .map(|(i, bytes)| format!("{} {}", deployed.nodes[i].result.name, grouped(bytes as u64)))
        .collect();
    format!("at {}: {}", deployed.nodes[node].result.name, parts.join(" + "))
}

fn manifest(args: &ExportArgs, deployed: &Deployed, written: &Written, vectors: &Vectors) -> Value {
    let (image, logits) = (deployed.image(), deployed.logits());
    let mut manifest = json!({
        "intrain": env!("CARGO_PKG_VERSION"), "target": args.to, "prefix": args.prefix,
        "model": deployed.about.model, "recipe": deployed.about.recipe,
        "weights_sha256": deployed.about.weights_sha256,
        "image": [image.h, image.w, image.c], "classes": logits.shape.len(), "class_names": deployed.about.classes,
        "frac_bits": logits.frac_bits, "vectors": vectors.len(),
        "files": written.files.iter().map(|(name, _)| name).collect::<Vec<_>>(),
    });
    if let Some((arena, constants)) = written.sizes {
        manifest["packed"] = args.pack.into();
        manifest["arena_bytes"] = arena.into();
        manifest["constant_bytes"] = constants.into();
    }
    manifest
}

/// Files that are named one by one.
const MANY: usize = 8;

fn text(
    args: &ExportArgs,
    folder: &Path,
    deployed: &Deployed,
    written: &Written,
    vectors: &Vectors,
) -> String {
    let (about, image, logits) = (&deployed.about, deployed.image(), deployed.logits());
    let bits = 65 - deployed.products().map(|(_, p)| p.bound).max().unwrap_or(0).leading_zeros();
    let is_rounding = |node: &&Node| match &node.op {
        Op::Product(p) => p.requantize.is_some(),
        op => matches!(op, Op::Activation(_) | Op::Mean(_)),
    };
    let n_rounds = deployed.nodes.iter().filter(is_rounding).count();
    let n_products = deployed.products().count();
    let is_first = args.to.contains("onnx") || args.to == "safetensors";
    let layout = if is_first { "first" } else { "last" };
    let exact = if args.to == "safetensors" {
        "the parameters; floats round sums otherwise than the network".to_owned()
    } else {
        format!("yes: {n_products} products, widest sum {bits} bits, {n_rounds} roundings")
    };
    let names = written.files.iter().map(|(name, _)| name.as_str()).chain([MANIFEST]);
    let files: Vec<String> = match written.files.len() {
        0..=MANY => names.map(|name| folder.join(name).display().to_string()).collect(),
        n => vec![format!("{} files in {}", n + 1, folder.display())],
    };
    let mut lines = vec![
        ("network", format!("{} with {}, weights {}", about.model, about.recipe, about.weights_sha256)),
        ("exact", exact),
        ("image", format!("{}x{}x{} bytes, channels {layout}", image.h, image.w, image.c)),
        ("output", format!("{} integers, 1 = 2^{}", logits.shape.len(), -logits.frac_bits)),
    ];
    if let Some((arena, constants)) = written.sizes {
        let weight_bits: Vec<String> =
            deployed.products().map(|(_, p)| p.weight_bits().to_string()).collect();
        let packed = if args.pack { ", packed" } else { "" };
        let of_bits = format!("weights of {} bits, layer by layer{packed}", weight_bits.join(", "));
        lines.push(("arena", format!("{} bytes ({})", grouped(arena as u64), widest(deployed))));
        lines.push(("constants", format!("{} bytes ({of_bits})", grouped(constants as u64))));
    }
    let (model, folder) = (args.network.model.display(), folder.display());
    lines.push(("vectors", format!("{}, equal in the engine that trains", vectors.len())));
    lines.push(("written", files.join(", ")));
    if !matches!(args.to.as_str(), "npy" | "hex" | "safetensors") {
        let which = args.network.checkpoint.as_ref().map(|which| format!(" --checkpoint {which}"));
        lines.push(("check", format!("intrain verify export {model} {folder}{}", which.unwrap_or_default())));
    }
    facts(&lines)
}
