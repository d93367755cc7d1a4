//! `intrain inspect`: what a trained network is made of, and how its run went.

use std::process::ExitCode;

use crate::nn::{BlockPlan, Parameters, Plan};
use crate::train::metrics::{self, OPTIONAL, Row};
use crate::train::report::Histogram;
use crate::train::run::RunDir;
use crate::train::saved::weights_sha256;
use crate::train::telemetry::histogram;
use serde_json::{Value, json};

use crate::command::args::InspectArgs;
use crate::command::output::{Output, facts, grouped, percent, speed, table};
use crate::command::settings::{open_model, tell_of_trailing_statistics};

/// The columns of both tables; `docs/metrics.md` says what each means.
const LAYER_COLUMNS: [&str; 6] = ["layer", "weights", "stored as", "read as", "zero", "at a limit"];
const EPOCH_COLUMNS: [&str; 10] = [
    "epoch",
    "step",
    "rate",
    "loss",
    "train error",
    "test error",
    "updates to nothing",
    "held at a limit",
    "signs changed",
    "speed",
];

/// Lines of a histogram, at most.
const LINES: usize = 17;
/// Columns of the longest bar.
const BAR: u64 = 48;

pub(crate) fn run(args: &InspectArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let saved = open_model(&args.network)?;
    tell_of_trailing_statistics(&saved, &args.network);
    let plan = Plan::build(&saved.model, &saved.recipe, 1)?;
    let sha256 = weights_sha256(&saved.parameters);
    let mut text = facts(&[
        ("network", format!("{} with {}, trained on {}", saved.model.name, saved.recipe.name, saved.data)),
        ("parameters", grouped(plan.n_parameters() as u64)),
        ("weights sha256", sha256.clone()),
    ]);
    text.push('\n');
    let layers: Vec<_> = plan.blocks.iter().zip(&saved.parameters).map(|(b, p)| Layer::of(b, p)).collect();
    text.push_str(&table(LAYER_COLUMNS, &layers.iter().map(Layer::row).collect::<Vec<_>>()));
    for histogram in layers.iter().filter_map(|layer| layer.histogram.as_ref()) {
        text.push('\n');
        text.push_str(&bars(histogram));
    }
    let rows = if args.network.model.is_dir() {
        metrics::read(&RunDir(args.network.model.clone()).metrics())?
    } else {
        vec![]
    };
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&telemetry(&rows));
    }
    let object = json!({
        "model": saved.model.name, "recipe": saved.recipe.name, "data": saved.data,
        "parameters": plan.n_parameters(), "weights_sha256": sha256,
        "layers": layers.iter().map(Layer::object).collect::<Vec<_>>(),
        "epochs": rows.iter().map(epoch).collect::<Vec<_>>(),
    });
    output.finish(&text, &object)?;
    Ok(ExitCode::SUCCESS)
}

/// A layer at rest.
struct Layer {
    name: String,
    shape: Vec<usize>,
    master: String,
    read: String,
    histogram: Option<Histogram>,
}

impl Layer {
    fn of(block: &BlockPlan, parameters: &Parameters) -> Self {
        let master = block.weight.master;
        let read = match block.weight.alpha_log2 {
            0 => block.weight.read.to_string(),
            alpha => format!("{}, / 2^{alpha}", block.weight.read),
        };
        Self {
            name: block.name.clone(),
            shape: block.product.weight_shape(),
            master: master.format.to_string(),
            read,
            histogram: histogram(&block.name, master, &parameters.weight),
        }
    }

    fn row(&self) -> [String; 6] {
        let shape = self.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        let share =
            |of: fn(&Histogram) -> f64| self.histogram.as_ref().map(|h| percent(of(h))).unwrap_or_default();
        let (zero, limit) = (share(|h| h.zeros_share), share(|h| h.at_limit_share));
        [self.name.clone(), shape, self.master.clone(), self.read.clone(), zero, limit]
    }

    fn object(&self) -> Value {
        let h = self.histogram.as_ref();
        let bins = h.map(|h| h.bins.iter().map(|(from, to, n)| json!([from, to, n])).collect::<Vec<_>>());
        json!({
            "layer": self.name, "shape": self.shape, "master": self.master, "weight": self.read,
            "zeros_share": h.map(|h| h.zeros_share), "at_limit_share": h.map(|h| h.at_limit_share), "histogram": bins,
        })
    }
}

/// A histogram in bars: codes from, to, and how many.
fn bars(histogram: &Histogram) -> String {
    let merge = histogram.bins.len().div_ceil(LINES).max(1);
    let merged: Vec<(i64, i64, u64)> = histogram
        .bins
        .chunks(merge)
        .map(|bins| (bins[0].0, bins[bins.len() - 1].1, bins.iter().map(|bin| bin.2).sum()))
        .collect();
    let most = merged.iter().map(|bin| bin.2).max().unwrap_or(0).max(1);
    let rows: Vec<_> = merged
        .into_iter()
        .map(|(from, to, n)| {
            // At least one column where there is anything at all.
            let columns = (n * BAR).div_ceil(most);
            let codes = if from == to { from.to_string() } else { format!("{from}..{to}") };
            [codes, grouped(n), (0..columns).map(|_| '#').collect()]
        })
        .collect();
    table([&format!("{}, {}", histogram.layer, histogram.format), "weights", ""], &rows)
}

fn telemetry(rows: &[Row]) -> String {
    let row = |row: &Row| {
        [
            row.epoch.to_string(),
            grouped(row.step),
            format!("{}", row.learning_rate),
            format!("{:.4}", row.train_loss),
            percent(row.train_error),
            row.test_error.map(percent).unwrap_or_default(),
            percent(row.dead_updates),
            percent(row.saturated_weights),
            percent(row.changed_signs),
            speed(row.images_per_second),
        ]
    };
    table(EPOCH_COLUMNS, &rows.iter().map(row).collect::<Vec<_>>())
}

fn epoch(row: &Row) -> Value {
    let mut epoch = json!({
        "epoch": row.epoch, "step": row.step, "learning_rate": row.learning_rate,
        "train_loss": row.train_loss, "train_error": row.train_error,
        "test_loss": row.test_loss, "test_error": row.test_error,
        "dead_updates": row.dead_updates, "saturated_weights": row.saturated_weights, "changed_signs": row.changed_signs,
        "images_per_second": row.images_per_second, "seconds": row.seconds,
    });
    for (name, value) in OPTIONAL.into_iter().zip(row.optional()) {
        if let Some(value) = value {
            epoch[name] = value.into();
        }
    }
    epoch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_has_its_line_on_the_page_of_metrics() {
        let page = include_str!("../../../../../docs/metrics.md");
        let section = page.split("\n## ").find(|section| section.starts_with("intrain inspect")).unwrap();
        let names = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        assert!(names.eq(LAYER_COLUMNS.into_iter().chain(EPOCH_COLUMNS)));
    }
}
