//! The golden suite against this machine: each case through the scalar definition and through every kernel here.
//!
//! An engine runs the operations that it has; what it lacks it leaves out, and the report says how many it ran.
//! Invariant: equality, never a tolerance, and all cases that differ are reported.

mod array;
mod elementwise;
mod float;
mod formats;
mod norm;
mod product;
mod scalar;
mod study;

use std::fmt::Debug;

use intrain_golden::{Case, LoadError, Op};
use intrain_kernels::Isa;

/// Something that computes the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// `intrain-num`, one number at a time.
    Scalar,
    /// `intrain-kernels` with an instruction set.
    Kernels(Isa),
}

impl Engine {
    /// Every engine that this machine has.
    #[must_use]
    pub fn available() -> Vec<Self> {
        std::iter::once(Self::Scalar).chain(Isa::available().into_iter().map(Self::Kernels)).collect()
    }

    /// As in the report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Kernels(isa) => isa.name(),
        }
    }
}

/// How many cases of a file an engine ran, and how many of them it answered right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Right to the last bit.
    pub passed: usize,
    /// Run.
    pub run: usize,
}

/// A result that is not what the suite says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The file, without `golden/` and `.toml`.
    pub topic: &'static str,
    /// Name of the case.
    pub case: String,
    /// Who computed it.
    pub engine: Engine,
    /// What differs, what it should be, and what it is.
    pub difference: String,
}

/// What the suite came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The engines, in the order of the tallies.
    pub engines: Vec<Engine>,
    /// Per file: its name, its cases, and a tally for each engine.
    pub topics: Vec<(&'static str, usize, Vec<Tally>)>,
    /// Everything that differs.
    pub mismatches: Vec<Mismatch>,
    /// Cases that no engine here runs: they are about whole networks or hardware, and proven by those crates' tests.
    pub left_out: usize,
}

/// Runs the suite with which this program was built.
///
/// # Errors
/// A file of the suite does not follow its schema.
pub fn golden() -> Result<Report, LoadError> {
    Ok(check(&intrain_golden::load()?, &Engine::available()))
}

/// Runs `cases` on `engines`.
#[must_use]
pub fn check(cases: &[(&'static str, Case)], engines: &[Engine]) -> Report {
    let mut report = Report { engines: engines.to_vec(), topics: vec![], mismatches: vec![], left_out: 0 };
    for (topic, case) in cases {
        if report.topics.last().is_none_or(|(last, ..)| last != topic) {
            report.topics.push((topic, 0, vec![Tally::default(); engines.len()]));
        }
        let mut was_run = false;
        for (i, &engine) in engines.iter().enumerate() {
            let Some(differences) = run(&case.op, engine) else { continue };
            was_run = true;
            if let Some((_, _, tallies)) = report.topics.last_mut() {
                tallies[i].run += 1;
                tallies[i].passed += usize::from(differences.0.is_empty());
            }
            let mismatch = |difference| Mismatch { topic, case: case.name.clone(), engine, difference };
            report.mismatches.extend(differences.0.into_iter().map(mismatch));
        }
        if let Some((_, n_cases, _)) = report.topics.last_mut() {
            *n_cases += 1;
        }
        report.left_out += usize::from(!was_run);
    }
    report
}

/// The differences that an engine shows in a case; `None` where it does not have the operation.
fn run(op: &Op, engine: Engine) -> Option<Differences> {
    let mut differences = Differences::default();
    let has_it = match (op, engine) {
        (Op::Linear(case), _) => product::linear(case, engine, &mut differences),
        (Op::Conv(case), _) => product::conv(case, engine, &mut differences),
        (_, Engine::Scalar) => {
            scalar::run(op, &mut differences)
                || float::run(op, &mut differences)
                || norm::run(op, &mut differences)
                || array::run(op, &mut differences)
                || formats::run(op, &mut differences)
        }
        (_, Engine::Kernels(isa)) => {
            elementwise::run(op, isa, &mut differences)
                || float::run_kernels(op, isa, &mut differences)
                || norm::run_kernels(op, isa, &mut differences)
                || formats::run_kernels(op, isa, &mut differences)
        }
    };
    has_it.then_some(differences)
}

/// What differs in a case.
#[derive(Debug, Default)]
struct Differences(Vec<String>);

impl Differences {
    /// Notes a whole that is not as it should be.
    fn same<T: PartialEq + Debug>(&mut self, what: &str, got: &T, expected: &T) {
        if got != expected {
            self.0.push(format!("{what}: expected {expected:?}, got {got:?}"));
        }
    }

    /// Notes the first element that is not as it should be, and how many there are.
    fn same_elements<T: PartialEq + Debug>(&mut self, what: &str, got: &[T], expected: &[T]) {
        if got.len() != expected.len() {
            return self.same(&format!("number of {what}"), &got.len(), &expected.len());
        }
        let differs = |i: &usize| got[*i] != expected[*i];
        if let Some(i) = (0..got.len()).find(differs) {
            let n = (0..got.len()).filter(differs).count();
            let rest = if n == 1 { String::new() } else { format!(" ({n} of {} differ)", got.len()) };
            self.0.push(format!("{what}[{i}]: expected {:?}, got {:?}{rest}", expected[i], got[i]));
        }
    }

    /// Notes the first number that has other digits than the suite says, to as many as it says.
    fn same_texts(&mut self, what: &str, got: &[f64], expected: &[String]) {
        let digits = |text: &String| text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let texts: Vec<String> = got
            .iter()
            .zip(expected.iter().map(digits).chain(std::iter::repeat(0)))
            .map(|(x, digits)| format!("{x:.digits$}"))
            .collect();
        self.same_elements(what, &texts, expected);
    }

    /// Notes a text of the suite that does not parse.
    fn parsed<T: std::str::FromStr<Err: Debug>>(&mut self, text: &str) -> Option<T> {
        let parsed = text.parse();
        if let Err(error) = &parsed {
            self.0.push(format!("'{text}' does not parse: {error:?}"));
        }
        parsed.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_keeps_the_contract() {
        let report = golden().unwrap();
        assert_eq!(report.mismatches, []);
        // Every engine takes part where it must.
        for (topic, at_least) in [
            ("round", 70),
            ("product", 40),
            ("requantize", 40),
            ("pool", 20),
            ("minifloat", 39),
            ("block", 95),
        ] {
            let (_, n_cases, tallies) = report.topics.iter().find(|(name, ..)| *name == topic).unwrap();
            assert!(tallies[0].run >= at_least, "{topic}: {} of {n_cases}", tallies[0].run);
            assert_eq!(tallies.len(), 1 + Isa::available().len());
        }
        for (topic, _, tallies) in report.topics.iter().filter(|t| ["product", "pool"].contains(&t.0)) {
            assert!(tallies.iter().all(|tally| tally.run == tallies[0].run), "{topic}: {tallies:?}");
        }
    }

    /// A changed answer is found by every engine that runs the case.
    #[test]
    fn a_wrong_answer_is_a_mismatch_in_every_engine() {
        let mut cases = intrain_golden::load().unwrap();
        let mut n_changed = 0;
        for (_, case) in &mut cases {
            let answer = match &mut case.op {
                Op::Round(c) => &mut c.rounded,
                Op::Requantize(c) => &mut c.payloads,
                Op::Activate(c) => &mut c.payloads,
                Op::Relu6(c) => &mut c.payloads,
                Op::Error(c) => &mut c.payloads,
                Op::Quantize(c) => &mut c.payloads,
                Op::Update(c) => &mut c.masters,
                Op::MaxPool(c) => &mut c.error_in,
                Op::Linear(c) => &mut c.gradient_sums,
                Op::Conv(c) => &mut c.error_sums,
                _ => continue,
            };
            let Some(last) = answer.last_mut() else { continue };
            *last ^= 1;
            n_changed += 1;
        }
        let report = check(&cases, &[Engine::Scalar]);
        assert_eq!(report.mismatches.len(), n_changed);
        let all = check(&cases, &Engine::available());
        let per_kernel =
            all.mismatches.iter().filter(|m| m.engine == Engine::Kernels(Isa::Reference)).count();
        assert_eq!(all.mismatches.len(), n_changed + per_kernel * Isa::available().len());
        assert!(all.mismatches[0].difference.contains("expected"), "{:?}", all.mismatches[0]);
    }
}
