//! Rounds of one target: each input is run, and what it did is counted: panics, memory asked for, time.
//!
//! Memory is the sum of all that an input asked for, which is never less than what it held at once. The counter is the whole
//! process's, so one target runs at a time.

use std::alloc::System;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use crate::mutate::{self, Kind};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Memory that an input may ask for besides twice what it decodes to, in bytes.
const MEMORY_BESIDES: usize = 64 << 20;
/// The longest that an input may take. Generous, because other programs run meanwhile.
const LONGEST: Duration = Duration::from_secs(20);
/// Failures of one target that are told apart; from then on they are only counted.
const MAX_FAILURES: usize = 20;

/// A reader of what comes from outside.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// Whether its inputs are texts.
    pub(crate) kind: Kind,
    /// Valid inputs.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// Done to each changed input: checksums made right again, or a container put around.
    pub(crate) seal: fn(Vec<u8>) -> Vec<u8>,
    /// Reads it: `None` where it is refused, else the bytes that it decoded to. May panic, which is a failure.
    pub(crate) run: fn(&[u8]) -> Option<usize>,
    /// Bytes that the format's own limits let a refused input decode to before it is refused.
    pub(crate) limit: usize,
}

/// What went wrong with an input.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) round: u64,
    /// Message and place of a panic, or which limit was passed.
    pub(crate) what: String,
    pub(crate) input: Vec<u8>,
}

/// What came of a target's rounds.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) inputs: u64,
    pub(crate) accepted: u64,
    pub(crate) panics: u64,
    /// Inputs that asked for too much memory or took too long.
    pub(crate) beyond_limits: u64,
    /// Most bytes that one input asked for, and its round.
    pub(crate) memory: (usize, u64),
    /// The longest that one input took, and its round.
    pub(crate) longest: (Duration, u64),
    /// The first of each kind.
    pub(crate) failures: Vec<Failure>,
}

/// The message and place of the last panic, which the hook leaves here.
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Makes panics silent: their words are kept for the report.
pub(crate) fn keep_panics() {
    std::panic::set_hook(Box::new(|info| {
        let mut last = LAST_PANIC.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *last = info.to_string().replace('\n', " ");
    }));
}

/// How one input ended.
struct Ending {
    /// As [`Target::run`], or the words of its panic.
    result: Result<Option<usize>, String>,
    memory: usize,
    time: Duration,
}

impl Target {
    /// The input of a round.
    pub(crate) fn input(&self, seeds: &[Vec<u8>], at: (u64, u64)) -> Vec<u8> {
        (self.seal)(mutate::input(self.name, self.kind, seeds, at))
    }

    /// Rounds 0 and up, until `time` is over. `mark` holds the number of the round, should an input end the process.
    pub(crate) fn rounds(&self, seed: u64, time: Duration, mut mark: Option<File>) -> Report {
        let seeds = (self.seeds)();
        let (began, mut report) = (Instant::now(), Report::default());
        for round in 0.. {
            if round >= seeds.len() as u64 && began.elapsed() >= time {
                break;
            }
            if let Some(file) = &mut mark {
                // Without the mark a fatal input is found by running all rounds again.
                let _ = file
                    .seek(SeekFrom::Start(0))
                    .and_then(|_| file.write_all(format!("{seed} {round}\n").as_bytes()));
            }
            let input = self.input(&seeds, (seed, round));
            let ending = self.try_one(&input);
            if round < seeds.len() as u64 && matches!(ending.result, Ok(None)) {
                report.beyond_limits += 1;
                report.keep(
                    round,
                    format!("seed {round} is refused: so it tests nothing; mend it"),
                    input.clone(),
                );
            }
            self.count(&mut report, round, input, ending);
        }
        report
    }

    fn try_one(&self, input: &[u8]) -> Ending {
        let (began, region) = (Instant::now(), Region::new(ALLOCATOR));
        let result = catch_unwind(AssertUnwindSafe(|| (self.run)(input)));
        let (memory, time) = (region.change().bytes_allocated, began.elapsed());
        let words = || LAST_PANIC.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        Ending { result: result.map_err(|_| words()), memory, time }
    }

    /// Runs one input and lets it panic, with the words on standard error.
    pub(crate) fn repeat(&self, input: &[u8]) -> String {
        let (began, region) = (Instant::now(), Region::new(ALLOCATOR));
        let result = (self.run)(input);
        let memory = region.change().bytes_allocated;
        let verdict = result.map_or("refused".to_owned(), |bytes| format!("accepted as {bytes} bytes"));
        format!("{verdict}; asked for {memory} bytes of memory in {:.3} s", began.elapsed().as_secs_f64())
    }

    fn count(&self, report: &mut Report, round: u64, input: Vec<u8>, ending: Ending) {
        report.inputs += 1;
        report.memory = report.memory.max((ending.memory, round));
        report.longest = report.longest.max((ending.time, round));
        let decoded = match ending.result {
            Err(words) => {
                report.panics += 1;
                return report.keep(round, words, input);
            }
            Ok(Some(decoded)) => {
                report.accepted += 1;
                decoded
            }
            Ok(None) => self.limit,
        };
        let most = decoded.saturating_mul(2).saturating_add(MEMORY_BESIDES);
        if ending.memory > most {
            report.beyond_limits += 1;
            report.keep(round, format!("more memory than {most} bytes was asked for"), input);
        } else if ending.time > LONGEST {
            report.beyond_limits += 1;
            report.keep(round, format!("more time than {} s was taken", LONGEST.as_secs()), input);
        }
    }
}

impl Report {
    /// Keeps the first failure of each place.
    fn keep(&mut self, round: u64, what: String, input: Vec<u8>) {
        // The place of a panic stands before its message: `panicked at FILE:LINE:COLUMN: MESSAGE`.
        let place = |what: &str| what.split(": ").next().unwrap_or_default().to_owned();
        let is_new = self.failures.iter().all(|known| place(&known.what) != place(&what));
        if is_new && self.failures.len() < MAX_FAILURES {
            self.failures.push(Failure { round, what, input });
        }
    }

    /// Whether nothing went wrong.
    pub(crate) const fn is_sound(&self) -> bool {
        self.panics == 0 && self.beyond_limits == 0
    }
}

/// A file that holds the number of a round while it runs.
pub(crate) fn mark(folder: &Path, target: &str) -> std::io::Result<File> {
    File::create(folder.join(format!("{target}.round")))
}
