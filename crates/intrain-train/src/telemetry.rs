//! What a run shows of itself: TensorBoard events, warnings with cause and remedy, the report.

use intrain_data::Dataset;
use intrain_nn::{BlockPlan, Plan};
use intrain_num::{Quantizer, Round};
use intrain_plot::number;
use intrain_recipe::{Feedback, Role};

use crate::histograms;
use crate::metrics::{Details, Row};
use crate::report::{self, Histogram, Report, Table, Weights};
use crate::run_dir::RunDir;
use crate::session::Session;
use crate::step::Trainer;
use crate::summary::{Ended, Summary};
use crate::tensorboard::EventWriter;
use crate::update::{self, Hyper};
use crate::{TrainError, atomic_write};

pub use crate::histograms::histogram;

/// Tags of the numbers of an epoch; `docs/metrics.md` says what each means.
pub(crate) const TAGS: [&str; 15] = [
    "train/loss",
    "train/error",
    "test/loss",
    "test/error",
    "test/top5_error",
    "validation/loss",
    "validation/error",
    "validation/top5_error",
    "running/test_loss",
    "running/test_error",
    "learning_rate",
    "updates/dead",
    "updates/saturated",
    "signs/changed",
    "images_per_second",
];
/// What stands in front of a layer in the tags of histograms: weights as they are stored, and as they are read.
pub(crate) const HISTOGRAMS: [&str; 2] = ["weights", "weights_read"];

/// The run's TensorBoard events.
pub(crate) struct Events(EventWriter);

impl Events {
    pub(crate) fn create(dir: &RunDir) -> Result<Self, TrainError> {
        Ok(Self(EventWriter::create(&dir.0)?))
    }

    /// Tells a reader that what it has seen beyond `step` is void.
    pub(crate) fn restarted_at(&mut self, step: u64) -> Result<(), TrainError> {
        Ok(self.0.restarted_at(step)?)
    }

    /// The numbers and the weights after an epoch.
    pub(crate) fn epoch(
        &mut self,
        row: &Row,
        trainer: &Trainer,
        details: &Details,
    ) -> Result<(), TrainError> {
        let values = [
            Some(row.train_loss),
            Some(row.train_error),
            row.test_loss,
            row.test_error,
            row.test_top5_error,
            row.validation_loss,
            row.validation_error,
            row.validation_top5_error,
            row.running_test_loss,
            row.running_test_error,
            Some(row.learning_rate),
            Some(row.dead_updates),
            Some(row.saturated_weights),
            Some(row.changed_signs),
            Some(row.images_per_second),
        ];
        for (tag, value) in TAGS.into_iter().zip(values) {
            if let Some(value) = value {
                self.0.scalar(tag, row.step, value)?;
            }
        }
        for (name, value) in details {
            if let Some(value) = value {
                self.0.scalar(name, row.step, *value)?;
            }
        }
        for Weights { stored, read } in histograms::of_layers(trainer) {
            for (tag, histogram) in HISTOGRAMS.into_iter().zip([Some(stored), read]) {
                let Some(histogram) = histogram else { continue };
                let tag = format!("{tag}/{}", histogram.layer);
                self.0.histogram(&tag, row.step, &buckets(&histogram))?;
            }
        }
        Ok(self.0.flush()?)
    }
}

/// Pairs of a weight and how often it occurs.
#[allow(clippy::cast_precision_loss, reason = "a histogram's numbers are for the eye")]
fn buckets(histogram: &Histogram) -> Vec<(f64, f64)> {
    let value = |code: i64| libm::ldexp(code as f64, histogram.step_log2);
    histogram.bins.iter().map(|(_, to, count)| (value(*to), *count as f64)).collect()
}

/// A warning where rounding lost most updates of a layer: the one row that rounds them goes to the nearest. Rows that round
/// stochastically turn as many updates to nothing and lose none on average.
///
/// `epoch` is that of the step that was measured, counted from 1.
pub(crate) fn warning(plan: &Plan, hyper: Hyper, epoch: u32, details: &Details) -> Option<String> {
    let dead = |block: &BlockPlan| {
        let name = format!("{}/update/dead", block.name);
        details.iter().find(|(known, _)| *known == name).and_then(|(_, value)| *value).unwrap_or(0.0)
    };
    let losing = |block: &BlockPlan| losing_row(plan, block, hyper).filter(|_| dead(block) > 0.5);
    let mut stuck = plan.blocks.iter().filter_map(|block| Some((block, losing(block)?)));
    let (first, (role, quantizer)) = stuck.next()?;
    let others = match stuck.count() {
        0 => String::new(),
        1 => " and of one layer more".to_owned(),
        n => format!(" and of {n} layers more"),
    };
    Some(format!(
        "epoch {epoch}: rounding turned {:.0} % of the updates of '{}'{others} to nothing: row {role}, '{quantizer}', rounds to \
         the nearest, and most updates are below half of its step; use stochastic rounding, more fractional bits or a higher \
         learning rate",
        100.0 * dead(first),
        first.name
    ))
}

/// The row that rounds a block's updates, where it rounds to the nearest and what it takes is not fed back.
fn losing_row(plan: &Plan, block: &BlockPlan, hyper: Hyper) -> Option<(Role, Quantizer)> {
    let (role, quantizer) = update::rounding_row(block, hyper);
    let is_nearest = !quantizer.round.is_stochastic() && quantizer.round != Round::Floor;
    let loses = quantizer.format.is_quantized() && is_nearest && plan.error_feedback == Feedback::None;
    loses.then_some((role, quantizer))
}

/// The plan as a table for a reader.
#[must_use]
pub fn plan_table(plan: &Plan) -> Table {
    let headings = ["layer", "operation", "format", "arithmetic", "sum at most", "bits", "memory"];
    let row = |o: intrain_nn::plan::Operation| {
        let grouped = |n: u128| u64::try_from(n).map_or_else(|_| n.to_string(), number::grouped);
        let (bound, bits) =
            o.sum.map_or((String::new(), String::new()), |s| (grouped(s.bound), s.width_bits().to_string()));
        let arithmetic = if o.float { "float" } else { "integer" };
        vec![o.layer, o.name.to_owned(), o.format, arithmetic.to_owned(), bound, bits, size(o.bytes)]
    };
    Table {
        headings: headings.map(str::to_owned).to_vec(),
        rows: plan.operations().into_iter().map(row).collect(),
    }
}

/// Bytes for a reader.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "two digits are shown")]
pub fn size(bytes: usize) -> String {
    match bytes {
        0 => String::new(),
        1..=1023 => format!("{bytes} B"),
        1024..=1_048_575 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..=1_073_741_823 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// How many images are learned from, chosen by and measured on.
fn images(dataset: &Dataset) -> String {
    let Dataset { train, validation, test, left_out, .. } = dataset;
    let count = |n: usize| number::grouped(n as u64);
    let mut text = format!("{} to learn from", count(train.len()));
    for (split, what) in [(validation, "for validation"), (test, "to test")] {
        if !split.is_empty() {
            text.push_str(&format!(", {} {what}", count(split.len())));
        }
    }
    if !left_out.is_empty() {
        text.push_str(&format!("; {} that cannot be read left out", count(left_out.len())));
    }
    text
}

/// Why a run ended before its last epoch, if it did.
fn why_early(summary: &Summary, epochs: u32) -> Option<String> {
    let chosen_by = if summary.best_validation_error.is_some() { "validation" } else { "test" };
    match summary.ended {
        Ended::Epochs => None,
        Ended::MaxSteps { of } => {
            Some(format!("by max_steps; {epochs} epochs have {} steps", number::grouped(of)))
        }
        Ended::Patience { evaluations } => Some(format!(
            "of {epochs} epochs, by patience: evaluations since the best {chosen_by} error: {evaluations}"
        )),
        Ended::NotYet => Some(format!("of {epochs} epochs, stopped by hand")),
    }
}

pub(crate) fn write_report(
    dir: &RunDir,
    session: &Session,
    rows: &[Row],
    summary: &Summary,
) -> Result<(), TrainError> {
    let (config, trainer) = (session.config(), session.trainer());
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let details = crate::metrics::read_details(&dir.metrics()).unwrap_or_default();
    let last =
        details.names.iter().cloned().zip(details.rows.last().into_iter().flatten().copied()).collect();
    let epoch = session.progress().epoch + 1;
    let of_last_row = warning(trainer.plan(), trainer.optimizer().hyper(), epoch, &last);
    let n_parameters = number::grouped(trainer.plan().n_parameters() as u64);
    let mut facts = vec![
        fact("recipe", summary.recipe.clone()),
        fact("model", format!("{} ({n_parameters} parameters)", summary.model)),
        fact("data", summary.data.clone()),
        fact("seed", summary.seed.to_string()),
        fact("images", images(session.dataset())),
        fact("steps", format!("{}, {} epochs", number::grouped(summary.steps), summary.epochs)),
        fact("batch size", config.settings.batch_size.to_string()),
        fact("learning rate", config.settings.learning_rate.to_string()),
        fact("weights sha256", summary.weights_sha256.clone()),
        fact("recipe sha256", config.recipe.sha256()),
        fact("kernels", trainer.kernel().to_owned()),
        fact("repeat with", format!("intrain train {} --out NEW_FOLDER", dir.config().display())),
    ];
    if let Some(error) = summary.running_test_error {
        let text = format!("{:.2} %: those that training kept, in place of estimated ones", 100.0 * error);
        facts.insert(5, fact("test error with running statistics of norms", text));
    }
    if let Some(why) = why_early(summary, config.settings.epochs) {
        facts.insert(5, fact("ended early", why));
    }
    let report = Report {
        title: format!("{} on {} with {}", summary.model, summary.data, summary.recipe),
        facts,
        curves: rows.to_vec(),
        recipe: config.recipe.rows(),
        plan: plan_table(trainer.plan()),
        weights: histograms::of_layers(trainer),
        details,
        answered: session.verdicts().map(|verdicts| verdicts.answered(session.dataset())),
        warnings: of_last_row.into_iter().collect(),
    };
    let page = report::render(&report).map_err(|e| TrainError::Setting(e.to_string()))?;
    Ok(atomic_write(&dir.report(), page.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;
    use std::sync::Arc;

    use crate::tensorboard::tests::{events, fields};
    use crate::{Config, Observer, Progress, Run, RunDir, this_machine};

    /// Lets a run go to its end.
    struct Quiet;

    impl Observer for Quiet {
        fn step(&mut self, _: &Progress) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
        fn epoch(&mut self, _: &super::Row) {}
        fn warn(&mut self, _: &str) {}
    }

    /// Steps at which each tag of a histogram has one.
    fn histograms(dir: &std::path::Path) -> BTreeMap<String, Vec<u64>> {
        let mut steps: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for event in events(dir) {
            let field = |number| event.iter().find(|field| field.0 == number).map(|field| &field.1);
            // Event.step = 2, Event.summary = 5, Summary.value = 1, Value.tag = 1, Value.histo = 5
            let (Some(step), Some(summary)) = (field(2), field(5)) else { continue };
            let value = fields(&fields(summary)[0].1);
            if value.iter().any(|field| field.0 == 5) {
                let step = u64::from_le_bytes(step[..].try_into().unwrap());
                steps.entry(String::from_utf8(value[0].1.clone()).unwrap()).or_default().push(step);
            }
        }
        steps.values_mut().for_each(|steps| steps.sort_unstable());
        steps
    }

    #[test]
    fn each_epoch_has_one_histogram_of_each_layer() {
        let (folder, dataset) =
            (tempfile::tempdir().unwrap(), Arc::new(intrain_data::digits::load().unwrap()));
        // 1438 images make 11 steps; that only every second epoch is evaluated changes nothing.
        let text =
            "recipe = \"wage\"\nmodel = \"digits-cnn\"\nbatch_size = 130\nevaluate_every = 2\nepochs = 4\n";
        let (shape, n_classes) = (dataset.shape, dataset.n_classes);
        let config = Config::resolve(text.parse().unwrap(), &[], shape, n_classes).unwrap();
        let dir = RunDir::create(&folder.path().join("run")).unwrap();
        let run = Run::start(config, dataset, this_machine(1).unwrap(), dir).unwrap();
        run.train(&mut Quiet).unwrap();
        let histograms = histograms(&folder.path().join("run"));
        let layers = ["conv1", "conv2", "fc1", "fc2"];
        let tags = super::HISTOGRAMS.iter().flat_map(|of| layers.map(|layer| format!("{of}/{layer}")));
        assert_eq!(histograms.keys().cloned().collect::<Vec<_>>(), tags.collect::<Vec<_>>());
        for (tag, steps) in histograms {
            assert_eq!(steps, [11, 22, 33, 44], "{tag}");
        }
    }
}
