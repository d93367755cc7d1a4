//! `intrain data`: what there is to train on, where it comes from, what is in it.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::data::encoder::Range;
use crate::data::{self, Dataset, ImageShape, Progress, catalog};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::command::args::{DataAction, DataArgs};
use crate::command::output::{Output, facts, grouped, say, table};
use crate::command::settings::{data_folders, load_data};

pub(crate) fn run(args: &DataArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match &args.action {
        DataAction::List => list(output)?,
        DataAction::Fetch { name } => fetch(name, output)?,
        DataAction::Info { name } => info(name, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(output: &Output) -> anyhow::Result<()> {
    let own = [
        (
            "csv:PATH,label=COLUMN",
            "a table of numbers with a column of classes; behind it: ,test=PATH,delimiter=tab",
        ),
        (
            "npz:PATH",
            "arrays x_train, y_train, x_test and y_test, perhaps x_val and y_val, in a file of numpy.savez; behind PATH: ,layout=nchw,range=-1..1",
        ),
        (
            "folder:PATH",
            "PNG, JPEG, BMP or WebP images in folders train/CLASS and test/CLASS, perhaps val/CLASS; behind PATH: ,resize=256,crop=224,broken=skip",
        ),
    ];
    let named = catalog::ENTRIES.map(|entry| (entry.name, entry.about));
    let rows: Vec<_> =
        named.iter().chain(&own).map(|(name, about)| [name, about].map(|s| (*s).to_owned())).collect();
    let object: Vec<_> = rows.iter().map(|[name, about]| json!({"name": name, "about": about})).collect();
    Ok(output.finish(&table(["data", "what it is"], &rows), &json!({ "data": object }))?)
}

fn fetch(name: &str, output: &Output) -> anyhow::Result<()> {
    let mut display = Download::default();
    let folder = data::fetch(name, &data_folders(), &mut |progress| display.show(progress))?;
    let text = format!("{name} is in {}", folder.display());
    Ok(output.finish(&text, &json!({"data": name, "folder": folder.display().to_string()}))?)
}

fn info(name: &str, output: &Output) -> anyhow::Result<()> {
    let dataset = load_data(name)?;
    let summary = data::summarize(&dataset);
    let ImageShape { height, width, channels } = summary.shape;
    let numbers = |values: &[f64]| values.iter().map(|v| format!("{v:.4}")).collect::<Vec<_>>().join(", ");
    let total = |counts: &[usize]| grouped(counts.iter().sum::<usize>() as u64);
    let is_validated = !dataset.validation.is_empty();
    let mut lines = vec![
        ("data", dataset.name.clone()),
        ("images", format!("{height}x{width}x{channels} (height x width x channels)")),
        ("train", total(&summary.train_counts)),
        ("test", total(&summary.test_counts)),
        ("mean", format!("{} (pixels / 255, per channel, training images)", numbers(&summary.mean))),
        ("deviation", numbers(&summary.std)),
    ];
    if dataset.stored != dataset.shape {
        let ImageShape { height, width, .. } = dataset.stored;
        lines[1].1.push_str(&format!(", cut out of {height}x{width}"));
    }
    if is_validated {
        lines.insert(3, ("validation", total(&summary.validation_counts)));
    }
    let mut text = facts(&lines);
    text.push('\n');
    let class = |i: usize| dataset.class_names.get(i).cloned().unwrap_or_else(|| i.to_string());
    let [train, validation, test] = [&summary.train_counts, &summary.validation_counts, &summary.test_counts];
    let classes = 0..dataset.n_classes;
    if is_validated {
        let row = |i: usize| [class(i), train[i].to_string(), validation[i].to_string(), test[i].to_string()];
        text.push_str(&table(
            ["class", "train", "validation", "test"],
            &classes.map(row).collect::<Vec<_>>(),
        ));
    } else {
        let row = |i: usize| [class(i), train[i].to_string(), test[i].to_string()];
        text.push_str(&table(["class", "train", "test"], &classes.map(row).collect::<Vec<_>>()));
    }
    let features = limits(&dataset);
    if !features.is_empty() {
        let row = |(name, range): &(String, Range)| {
            [name.clone(), range.low().to_string(), range.high().to_string()]
        };
        text.push('\n');
        text.push_str(&table(
            ["feature", "low: 0", "high: 255"],
            &features.iter().map(row).collect::<Vec<_>>(),
        ));
    }
    let features: Vec<_> = features
        .iter()
        .map(|(name, range)| json!({"name": name, "low": range.low(), "high": range.high()}))
        .collect();
    let mut object = json!({
        "data": dataset.name, "height": height, "width": width, "channels": channels,
        "classes": (0..dataset.n_classes).map(class).collect::<Vec<_>>(),
        "train_counts": summary.train_counts, "test_counts": summary.test_counts,
        "mean": summary.mean, "std": summary.std, "features": features,
    });
    if is_validated {
        object["validation_counts"] = json!(summary.validation_counts);
    }
    Ok(output.finish(&text, &object)?)
}

/// The values that became 0 and 255, of each feature by its name or number, or of `all`.
fn limits(dataset: &Dataset) -> Vec<(String, Range)> {
    let Some(encoder) = &dataset.encoder else { return Vec::new() };
    let ranges = encoder.ranges();
    let name = |i: usize| match encoder.names().get(i) {
        Some(name) => name.clone(),
        None if ranges.len() == 1 => "all".to_owned(),
        None => i.to_string(),
    };
    ranges.iter().enumerate().map(|(i, range)| (name(i), *range)).collect()
}

/// A bar per file on a terminal, else a line per file and about every 10 seconds.
#[derive(Default)]
struct Download {
    file: String,
    bar: Option<ProgressBar>,
    said: Option<Instant>,
}

impl Download {
    fn show(&mut self, progress: Progress<'_>) {
        let Progress { file, done_bytes, total_bytes } = progress;
        if self.file != file {
            file.clone_into(&mut self.file);
            self.said = None;
            self.bar = std::io::stderr().is_terminal().then(|| {
                let style = ProgressStyle::with_template(
                    "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
                );
                ProgressBar::new(total_bytes)
                    .with_message(file.to_owned())
                    .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            });
        }
        match &self.bar {
            Some(bar) => bar.set_position(done_bytes),
            None if done_bytes == total_bytes
                || self.said.is_none_or(|at| at.elapsed() > Duration::from_secs(10)) =>
            {
                self.said = Some(Instant::now());
                say(&format!("{file}: {} of {} bytes", grouped(done_bytes), grouped(total_bytes)));
            }
            None => {}
        }
    }
}
