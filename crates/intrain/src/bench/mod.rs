//! How fast kernels, whole steps and answers are, as shares of the most that this machine can do in the same minute.
//!
//! [`select`] chooses works by name, [`Bench`] runs them: in each round first the yardsticks, then each work, so that a
//! machine that changes its speed changes it for both sides of a ratio. Invariant: times are of works made ready and
//! warm; what is compared with a yardstick is counted in the yardstick's own unit.

mod depthwise;
mod formats;
mod inference;
mod products;
mod rates;
mod rounding;
mod steps;
mod yardstick;

use std::time::{Duration, Instant};

use intrain_kernels::{Isa, philox};
use intrain_nn::Context;
use intrain_num::random::{Purpose, Stream};
use intrain_train::TrainError;

pub use rates::{Row, Share, Spread, Unit};
pub use yardstick::Yardstick;

/// How long a work is repeated in a round; it runs once at least.
const TIME: Duration = Duration::from_millis(50);
/// Runs before the first round.
const WARM_UP: usize = 2;

/// Works that are measured in the same unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Matrix products with a packed right side.
    Products,
    /// Passes over tensors that round each element.
    Rounding,
    /// Whole training steps.
    Steps,
    /// Answers of trained networks.
    Inference,
}

impl Group {
    /// Every group, in the order of the report.
    pub const ALL: [Self; 4] = [Self::Products, Self::Rounding, Self::Steps, Self::Inference];

    /// As on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Products => "products",
            Self::Rounding => "rounding",
            Self::Steps => "steps",
            Self::Inference => "inference",
        }
    }
}

/// Runs a work once.
type Run = Box<dyn FnMut()>;
/// Makes a work ready.
type Prepare = Box<dyn Fn(&Context) -> Result<Task, TrainError>>;

/// Something to measure.
pub struct Work {
    /// As on the command line.
    pub name: String,
    /// Where it belongs.
    pub group: Group,
    prepare: Prepare,
}

/// A work, or a yardstick, ready to run.
struct Task {
    /// What a run does, in `unit`.
    amount: f64,
    unit: Unit,
    /// What a run does in the unit of its yardstick, and that one; a yardstick has none.
    effort: f64,
    yardstick: Option<Yardstick>,
    run: Run,
}

/// A name that no group and no work has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no work or group is named '{name}'; did you mean '{nearest}'? Groups are products, rounding, steps and inference; \
     `intrain bench --help` shows all works"
)]
pub struct UnknownWork {
    /// What was asked for.
    pub name: String,
    /// The nearest name there is.
    pub nearest: String,
}

/// Every work, in the order of the report.
#[must_use]
pub fn works() -> Vec<Work> {
    let groups = [
        products::works(),
        depthwise::works(),
        rounding::works(),
        formats::works(),
        steps::works(),
        inference::works(),
    ];
    groups.into_iter().flatten().collect()
}

/// The works that `names` name, by themselves or by their group; all without names.
///
/// # Errors
/// The first name that is neither, with the nearest one.
pub fn select(names: &[String]) -> Result<Vec<Work>, UnknownWork> {
    let works = works();
    let known = || Group::ALL.map(Group::name).into_iter().chain(works.iter().map(|work| &work.name[..]));
    if let Some(name) = names.iter().find(|name| known().all(|known| known != *name)) {
        let nearest = known().min_by_key(|known| strsim::damerau_levenshtein(known, name));
        return Err(UnknownWork { name: name.clone(), nearest: nearest.unwrap_or_default().to_owned() });
    }
    let is_named = |work: &Work| names.iter().any(|name| *name == work.name || name == work.group.name());
    Ok(works.into_iter().filter(|work| names.is_empty() || is_named(work)).collect())
}

/// Makes a work ready and runs it a number of times, without a clock.
///
/// # Errors
/// A network that cannot be planned.
pub fn repeat(work: &Work, context: &Context, times: u32) -> Result<(), TrainError> {
    let mut task = (work.prepare)(context)?;
    (0..times).for_each(|_| (task.run)());
    Ok(())
}

/// Works and their yardsticks, and the times that they took so far.
pub struct Bench {
    /// Yardsticks come first.
    entries: Vec<Entry>,
}

struct Entry {
    name: String,
    task: Task,
    /// Per run, a figure for each round.
    seconds: Vec<f64>,
}

impl Bench {
    /// Makes works and their yardsticks ready on the threads and kernels of `context`, and warms them up.
    ///
    /// # Errors
    /// A network that cannot be planned.
    pub fn new(works: &[Work], context: &Context) -> Result<Self, TrainError> {
        let mut entries = Vec::new();
        let mut yardsticks: Vec<Yardstick> = Vec::new();
        for work in works {
            let task = (work.prepare)(context)?;
            yardsticks.extend(task.yardstick.filter(|yardstick| !yardsticks.contains(yardstick)));
            entries.push(Entry { name: work.name.clone(), task, seconds: vec![] });
        }
        let yardstick = |y: Yardstick| Entry { name: y.name(), task: y.task(context), seconds: vec![] };
        let mut entries: Vec<Entry> = yardsticks.into_iter().map(yardstick).chain(entries).collect();
        for entry in &mut entries {
            (0..WARM_UP).for_each(|_| (entry.task.run)());
        }
        Ok(Self { entries })
    }

    /// Runs everything for a short while, one after the other.
    pub fn round(&mut self) {
        for entry in &mut self.entries {
            entry.seconds.push(seconds_per_run(&mut entry.task.run));
        }
    }

    /// What the rounds came to: a row for each yardstick, then one for each work.
    ///
    /// # Panics
    /// Before the first round.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let best = |yardstick: Yardstick| {
            let is_it = |entry: &&Entry| entry.task.yardstick.is_none() && entry.name == yardstick.name();
            let entry = self.entries.iter().find(is_it).expect("a yardstick is prepared for each work");
            Spread::of(&entry.seconds).rate(entry.task.amount).median
        };
        let row = |entry: &Entry| {
            let Task { amount, unit, effort, yardstick, .. } = entry.task;
            let of = yardstick.map(|yardstick| (yardstick, effort, best(yardstick)));
            Row::new(&entry.name, &entry.seconds, (amount, unit), of)
        };
        self.entries.iter().map(row).collect()
    }
}

#[allow(clippy::cast_precision_loss, reason = "runs of a twentieth of a second")]
fn seconds_per_run(run: &mut dyn FnMut()) -> f64 {
    let (began, mut n_runs) = (Instant::now(), 0_u64);
    loop {
        run();
        n_runs += 1;
        let elapsed = began.elapsed();
        if elapsed >= TIME {
            return elapsed.as_secs_f64() / n_runs as f64;
        }
    }
}

/// Random words from the contract's generator; each `layer` is another sequence.
fn noise(isa: Isa, layer: u32, n: usize) -> Vec<u32> {
    let Stream { key, counter_high } = Stream::new(1, Purpose::Tool, layer, 0);
    let mut words = vec![0; n];
    philox::fill(isa, key, counter_high, 0, &mut words);
    words
}

/// The same words as floats between -1 and 1.
#[allow(clippy::cast_precision_loss, reason = "words are rounded to floats on purpose")]
fn noise_of_floats(isa: Isa, layer: u32, n: usize) -> Vec<f32> {
    noise(isa, layer, n).into_iter().map(|word| word.cast_signed() as f32 / 2_f32.powi(31)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lie_in_every_group() {
        let works = works();
        let mut names: Vec<&str> = works.iter().map(|work| &work.name[..]).collect();
        names.extend(Group::ALL.map(Group::name));
        let n = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), n);
        assert!(Group::ALL.iter().all(|group| works.iter().any(|work| work.group == *group)));
    }

    #[test]
    fn works_are_chosen_by_name_and_by_group() {
        let chosen = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            select(&names).map(|works| works.into_iter().map(|work| work.name).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&[]).unwrap().len(), works().len());
        assert_eq!(chosen(&["vgg7-wage", "mlp-wage"]).unwrap(), ["vgg7-wage", "mlp-wage"]);
        let rounding = chosen(&["rounding", "requantize-nearest"]).unwrap();
        let first = ["requantize-nearest", "requantize-stochastic", "quantize-stochastic"];
        assert_eq!((&rounding[..3], rounding.len()), (&first.map(str::to_owned)[..], 10));
        let message = chosen(&["steps", "vgg7-wag"]).unwrap_err().to_string();
        assert!(message.contains("'vgg7-wag'; did you mean 'vgg7-wage'?"), "{message}");
    }
}
