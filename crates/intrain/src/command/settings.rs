//! From flags to what a run needs: the table of keys, the data's shape, threads and kernels, the run folder.
//!
//! This is the one place that reads an environment variable: `INTRAIN_DATA`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::data::{self, DataFolders, Dataset, Encoder, ImageShape, Part};
use crate::kernels::Isa;
use crate::nn::Context;
use crate::train::config::{Config, check_keys, seed_value};
use crate::train::run::RunDir;
use crate::train::saved::{self, SavedModel};
use crate::train::this_machine;
use toml::{Table, Value};

use crate::command::args::{NetworkArgs, TrainArgs};
use crate::command::failure::Usage;
use crate::command::output::say;

/// The layers of an imported network, in its folder.
pub(crate) const IMPORTED_MODEL: &str = "model.toml";

/// Where data sets lie.
pub(crate) fn data_folders() -> DataFolders {
    DataFolders::new(std::env::var_os("INTRAIN_DATA").filter(|folder| !folder.is_empty()).map(PathBuf::from))
}

/// The configuration that the flags mean, and its data.
///
/// # Errors
/// A file, a key, a value or a data set that is wrong.
pub(crate) fn resolve_with_data(args: &TrainArgs) -> anyhow::Result<(Config, Arc<Dataset>)> {
    let (keys, sets) = keys(args)?;
    let dataset = Arc::new(load_data(&Config::data_name(&keys)?)?);
    let config = Config::resolve_on(keys, &sets, &dataset)?;
    Ok((config, dataset))
}

/// A data set; its notes, and images that were left out, are told.
///
/// # Errors
/// It is unknown, missing or damaged.
pub(crate) fn load_data(name: &str) -> anyhow::Result<Dataset> {
    load_data_with(name, None)
}

/// A data set for a trained network: its numbers become bytes and its classes are counted as the network has it, and its images
/// are of the network's size.
///
/// # Errors
/// As [`load_data`]; a class or a feature that the network does not know, or images of another size.
pub(crate) fn load_data_for(saved: &SavedModel, name: &str) -> anyhow::Result<Dataset> {
    let mut dataset = load_data_with(name, saved.encoder.as_ref())?;
    if let Some(note) = dataset.count_classes_as(&saved.classes)? {
        say(&format!("note: {name}: {note}"));
    }
    match (&dataset.encoder, &saved.encoder) {
        (Some(encoder), Some(known)) if encoder != known => say(&format!(
            "warning: {name}: values become bytes by {}, and the network was trained with {}",
            described(encoder),
            described(known)
        )),
        (Some(encoder), None) if name != saved.data => say(&format!(
            "note: {name}: values become bytes by {}; by what they did when the network was trained does not stand in its file",
            described(encoder)
        )),
        (None, Some(known)) => say(&format!(
            "note: {name}: its bytes are pixels as they are, and the network was trained on values with {}; if these bytes are \
             such values, write it behind the path",
            described(known)
        )),
        _ => {}
    }
    check_fits(saved, &dataset)?;
    Ok(dataset)
}

/// An encoder in words.
fn described(encoder: &Encoder) -> String {
    match encoder.ranges() {
        [range] => format!("range={range}"),
        ranges => format!("a range for each of {} features", ranges.len()),
    }
}

fn load_data_with(name: &str, encoder: Option<&Encoder>) -> anyhow::Result<Dataset> {
    /// Messages in full.
    const MESSAGES: usize = 10;
    let dataset = data::load_for(name, &data_folders(), encoder)?;
    dataset.notes.iter().for_each(|note| say(&format!("note: {note}")));
    dataset.warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
    for reason in dataset.left_out.iter().take(MESSAGES) {
        say(&format!("warning: left out: {reason}"));
    }
    if let Some(more) = dataset.left_out.len().checked_sub(MESSAGES).filter(|more| *more > 0) {
        say(&format!("warning: left out: {more} images more"));
    }
    Ok(dataset)
}

/// The configuration that the flags mean; data sets with names need not be there.
///
/// # Errors
/// As [`resolve_with_data`].
pub(crate) fn resolve(args: &TrainArgs) -> anyhow::Result<Config> {
    let (keys, sets) = keys(args)?;
    let name = Config::data_name(&keys)?;
    match known_shape(&name) {
        Some((shape, n_classes)) => Ok(Config::resolve(keys, &sets, shape, n_classes)?),
        None => Ok(Config::resolve_on(keys, &sets, &load_data(&name)?)?),
    }
}

/// Size of an image and number of classes of a data set that has a name, without its files; each is larger than any step.
fn known_shape(name: &str) -> Option<(ImageShape, usize)> {
    let square = |side, channels| Some((ImageShape { height: side, width: side, channels }, 10));
    match name {
        "digits" => square(8, 1),
        "mnist" | "fashion-mnist" => square(28, 1),
        "cifar-10" | "svhn" => square(32, 3),
        "cifar-100" => Some((ImageShape { height: 32, width: 32, channels: 3 }, 100)),
        _ => None,
    }
}

/// CONFIG.toml, overlaid by the flags; and the assignments of `--set` that are left.
fn keys(args: &TrainArgs) -> anyhow::Result<(Table, Vec<String>)> {
    let mut keys = match &args.config {
        Some(path) => read_table(path)?,
        None => Table::new(),
    };
    let text = |value: &Option<String>| value.clone().map(Value::from);
    // Bound: the parser holds counts of steps below 2^62.
    let whole = |value: Option<u64>| value.map(|n| Value::from(n.cast_signed()));
    let flags = [
        ("model", text(&args.model)),
        ("recipe", text(&args.recipe)),
        ("data", text(&args.data)),
        ("epochs", args.epochs.map(Value::from)),
        ("max_steps", whole(args.max_steps)),
        ("batch_size", args.batch_size.map(Value::from)),
        ("learning_rate", args.lr.map(Value::from)),
        ("seed", args.seed.map(seed_value)),
    ];
    for (key, value) in flags {
        if let Some(value) = value {
            keys.insert(key.to_owned(), value);
        }
    }
    if let Some(init) = &args.init {
        let model = init.join(IMPORTED_MODEL);
        if !keys.contains_key("model") && model.is_file() {
            // An imported network has no preset.
            keys.insert("model".to_owned(), model.display().to_string().into());
        }
        let file = if init.is_dir() { RunDir(init.clone()).model() } else { init.clone() };
        let file = std::path::absolute(&file).unwrap_or(file);
        keys.insert("init".to_owned(), file.display().to_string().into());
        keys.remove("init_sha256");
    }
    // These three decide what the rest means, so an assignment to one of them is the same as its flag.
    let (first, rest): (Vec<_>, Vec<_>) =
        args.set.iter().cloned().partition(|assignment| {
            matches!(assignment.split_once('='), Some(("data" | "model" | "recipe", _)))
        });
    for assignment in first {
        if let Some((key, value)) = assignment.split_once('=') {
            keys.insert(key.to_owned(), value.trim_matches(['"', '\'']).into());
        }
    }
    Ok((keys, rest))
}

fn read_table(path: &Path) -> anyhow::Result<Table> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Usage(format!("{name}: cannot read: {e}; name a TOML file that exists")))?;
    let table: Table = text.parse().map_err(|e| Usage(format!("{name}: {e}")))?;
    check_keys(&table).map_err(|e| Usage(format!("{name}: {e}")))?;
    Ok(table)
}

/// Threads and kernels.
///
/// # Errors
/// This CPU lacks the kernel's instruction set, or the system gives no threads.
pub(crate) fn context(threads: Option<u16>, kernel: Option<&str>) -> anyhow::Result<Context> {
    let isa = match kernel {
        None => Isa::best(),
        Some(name) => Isa::from_name(name).filter(|isa| isa.is_available()).ok_or_else(|| {
            let available: Vec<_> = Isa::available().iter().map(|isa| isa.name()).collect();
            Usage(format!("--kernel {name}: this CPU lacks it; it has {}", available.join(", ")))
        })?,
    };
    Ok(Context { isa, ..this_machine(threads.unwrap_or(0).into())? })
}

/// The network that a run folder or a `model.safetensors` holds, or a checkpoint of the folder.
///
/// # Errors
/// The file is missing, damaged, or of another program.
pub(crate) fn open_model(network: &NetworkArgs) -> anyhow::Result<SavedModel> {
    let (path, checkpoint) = (&network.model, network.checkpoint.as_deref());
    let name = path.display();
    if !path.exists() {
        return Err(Usage(format!(
            "{name}: there is no such run folder or model; name a run folder or its model.safetensors"
        ))
        .into());
    }
    if path.extension().is_some_and(|ending| ending == "toml") {
        return Err(Usage(format!(
            "{name}: this is a text of settings, a recipe or a network, not a trained network; name the folder of a run or its \
             model.safetensors"
        ))
        .into());
    }
    if path.extension().is_some_and(|ending| ending == "ckpt") {
        let run = path.parent().and_then(Path::parent).unwrap_or(Path::new("RUN")).display();
        let which = path.file_stem().unwrap_or_default().to_string_lossy();
        return Err(Usage(format!(
            "{name}: this is a checkpoint; name the run and which of its checkpoints: {run} --checkpoint {which}"
        ))
        .into());
    }
    let dir = RunDir(path.to_owned());
    match checkpoint {
        None => Ok(saved::read_model(&if path.is_dir() { dir.model() } else { path.to_owned() })?),
        Some(_) if !path.is_dir() => {
            Err(Usage(format!("{name}: --checkpoint is for a run folder, and this is a file")).into())
        }
        Some(which) => {
            let file = if which == "best" { dir.best() } else { dir.last() };
            Ok(saved::read_model_of_checkpoint(&file, &config_of(&dir)?)?)
        }
    }
}

/// The files that a trained network and data are read from, which no output may replace.
pub(crate) fn files_of(network: &NetworkArgs, data: Option<&str>) -> Vec<PathBuf> {
    let run = &network.model;
    let mut files = if run.is_dir() { RunDir(run.clone()).files().to_vec() } else { vec![run.clone()] };
    files.extend(data.into_iter().flat_map(data::sources));
    files
}

/// Says that a checkpoint has other statistics of norms than the network would be deployed with, where it does.
pub(crate) fn tell_of_trailing_statistics(saved: &SavedModel, network: &NetworkArgs) {
    if saved.statistics_trail {
        let (run, which) = (network.model.display(), network.checkpoint.as_deref().unwrap_or("last"));
        say(&format!(
            "note: {run}, checkpoint {which}: nothing was evaluated after its step, so its norms have the running statistics of \
             training; intrain eval {run} --checkpoint {which} --norm-batches 100 estimates them as a deployed network has them"
        ));
    }
}

/// What the config.toml of a run folder says.
///
/// # Errors
/// It is not there, or not one.
pub(crate) fn config_of(dir: &RunDir) -> anyhow::Result<Config> {
    let path = dir.config();
    let text = std::fs::read_to_string(&path)
        .map_err(|e| Usage(format!("{}: cannot read: {e}; name the folder of a run", path.display())))?;
    Ok(Config::from_toml(&text).map_err(|e| Usage(format!("{}: {e}", path.display())))?)
}

/// A data set with its classes counted as the network counts them, in the parts that the network's run had, where it is the one
/// of this run; and the part that `split` names.
///
/// # Errors
/// The data cannot be read, does not fit the network, or has no such part.
pub(crate) fn load_part(data: &str, split: &str, saved: &SavedModel) -> anyhow::Result<(Dataset, Part)> {
    let mut dataset = load_data_for(saved, data)?;
    if data == saved.data {
        dataset = dataset.with_validation(saved.validation)?;
    }
    let part = match split {
        "train" => Part::Train,
        "validation" => Part::Validation,
        "all" => {
            dataset = dataset.measured_whole();
            Part::Test
        }
        _ => Part::Test,
    };
    if dataset.part(part).is_empty() {
        let reason = format!(
            "--split {split}: {data} has no such images, and the network's run took none for validation; choose train or test"
        );
        return Err(Usage(reason).into());
    }
    Ok((dataset, part))
}

/// Whether the network takes the data's images and tells its classes apart.
///
/// # Errors
/// The sizes that differ.
fn check_fits(saved: &SavedModel, dataset: &Dataset) -> anyhow::Result<()> {
    let (input, shape) = (saved.model.input.shape, dataset.shape);
    if (input.h, input.w, input.c) != (shape.height, shape.width, shape.channels) {
        let reason = format!(
            "the network takes images of {input}, but data '{}' has {}x{}x{}; name data like '{}' with --data",
            dataset.name, shape.height, shape.width, shape.channels, saved.data
        );
        return Err(Usage(reason).into());
    }
    let outputs = saved.model.n_classes()?;
    if outputs < dataset.n_classes {
        let reason = format!(
            "the network has {outputs} outputs, but data '{}' has {} classes; name data like '{}' with --data",
            dataset.name, dataset.n_classes, saved.data
        );
        return Err(Usage(reason).into());
    }
    Ok(())
}

/// The first of `runs/DATA-RECIPE-1`, `-2`, ... that is not there yet, made.
///
/// # Errors
/// The system refuses.
pub(crate) fn new_run_folder(config: &Config) -> anyhow::Result<PathBuf> {
    let name: String = format!("{}-{}", file_stem(&config.data), config.recipe.name)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '-' })
        .collect();
    let refuse = |path: &Path, e| {
        Usage(format!(
            "{}: cannot create: {e}; name a folder that you may write to with --out",
            path.display()
        ))
    };
    let runs = Path::new("runs");
    std::fs::create_dir_all(runs).map_err(|e| refuse(runs, e))?;
    let mut number = 1u32;
    loop {
        let folder = runs.join(format!("{name}-{number}"));
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(e) => return Err(refuse(&folder, e).into()),
        }
    }
}

/// `npz:some/where/x.npz,range=-1..1` is called `x`.
fn file_stem(data: &str) -> String {
    let path = data::sources(data).into_iter().next().unwrap_or_else(|| data.into());
    path.file_stem().map_or_else(|| "data".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::file_stem;

    #[test]
    fn data_sets_name_folders() {
        for (data, stem) in [
            ("mnist", "mnist"),
            ("npz:a/b.npz", "b"),
            ("folder:/x/y/", "y"),
            ("folder:..", "data"),
            ("folder:a/b,resize=8", "b"),
            ("npz:a/b,c.npz,range=-1.5..1", "b,c"),
            ("csv:a/b.csv,label=x,test=c/d.csv", "b"),
        ] {
            assert_eq!(file_stem(data), stem, "{data}");
        }
    }
}
