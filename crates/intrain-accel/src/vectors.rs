//! Test vectors: products as the `.hex` files that a test bench reads, and its results read back.
//!
//! Between the values and the hardware. Operands are packed as the hardware reads them: tile by tile, a beat for each step
//! of k, with zeros where a tile is filled up. The formats of all files are described in `rtl/tb/accel_tb.cpp`.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cycles::{Cycles, CyclesError, Memory, Tokens};
use crate::machine::Machine;
use crate::order::{BEATS_MAX, Format, Product, Tiling};
use crate::{Array, ArrayError, MachineError};

/// One product with its operands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What is computed.
    pub product: Product,
    /// Words, row-major `[l, k]`.
    pub a: Vec<i32>,
    /// Words, row-major `[k, m]`.
    pub b: Vec<i32>,
    /// Start state of each column's LFSR; may be empty where rounding is to nearest.
    pub seeds: Vec<u32>,
}

/// What came out of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Row-major `[l, m]`.
    pub c: Vec<i64>,
    /// Where the time went.
    pub cycles: Cycles,
}

/// Vectors that could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VectorError {
    /// The machine cannot be built.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A job does not fit.
    #[error("job {job}: {cause}")]
    Job {
        /// Which, counted from 0.
        job: usize,
        /// Why not.
        cause: ArrayError,
    },
    /// All jobs together need more memory than addresses reach.
    #[error(
        "the jobs need {beats} beats of operands or results, and addresses reach {limit}; run fewer at once"
    )]
    TooLarge {
        /// What they need.
        beats: u64,
        /// Most.
        limit: u64,
    },
    /// The memory never answers.
    #[error(transparent)]
    Memory(#[from] CyclesError),
    /// A file that cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A result file that is not what the test bench writes.
    #[error("{}:{line}: {reason}", path.display())]
    Result {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// Writes `operands.hex`, `memory.hex`, `commands.hex` and `seeds.hex` of `jobs` into `folder`, which must be there.
///
/// # Errors
/// A job that does not fit the machine, or a file that cannot be written.
pub fn write(machine: &Machine, jobs: &[Job], memory: &Memory, folder: &Path) -> Result<(), VectorError> {
    let array = Array::new(machine)?;
    memory.check()?;
    let (mut operands, mut commands, mut seeds) = (String::new(), String::new(), String::new());
    let (mut read, mut written) = (0, 0);
    for (job, Job { product, a, b, seeds: states }) in jobs.iter().enumerate() {
        array.check(product, a, b, states).map_err(|cause| VectorError::Job { job, cause })?;
        let tiling = Tiling::of(machine, product);
        let (a_base, steps) = (read, product.k as u64);
        let b_base = a_base + tiling.rows as u64 * steps;
        pack_a(machine, product, a, &mut operands);
        pack_b(machine, product, b, &mut operands);
        let Tokens { write, capacity, .. } = Tokens::of(machine, product, memory);
        let format = match product.format {
            Format::Rounded(index) => index,
            Format::Exact => machine.drop.len(),
        };
        let (rows, columns) = (tiling.rows, tiling.columns);
        let _ = writeln!(
            commands,
            "{rows:x} {columns:x} {steps:x} {format:x} {a_base:x} {b_base:x} {written:x} {write:x} {capacity:x}"
        );
        let state = |column| states.get(column).copied().unwrap_or(0);
        let line: Vec<String> = (0..machine.n).map(|column| format!("{:x}", state(column))).collect();
        let _ = writeln!(seeds, "{}", line.join(" "));
        read = b_base + tiling.columns as u64 * steps;
        written += tiling.c_beats();
        let beats = read.max(written);
        if beats > BEATS_MAX {
            return Err(VectorError::TooLarge { beats, limit: BEATS_MAX });
        }
    }
    let rates = jobs.first().map(|job| Tokens::of(machine, &job.product, memory));
    let (rate, cost) = rates.map_or((0, 0), |tokens| (tokens.rate, tokens.read));
    let memory = format!("{:x} {rate:x} {cost:x}\n", memory.latency);
    for (name, text) in
        [("operands.hex", operands), ("memory.hex", memory), ("commands.hex", commands), ("seeds.hex", seeds)]
    {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|cause| VectorError::Io { path, cause })?;
    }
    Ok(())
}

/// Row tiles of A, a beat for each step: the tile's `n` rows.
fn pack_a(machine: &Machine, product: &Product, a: &[i32], text: &mut String) {
    let Product { l, k, .. } = *product;
    for tile in 0..Tiling::of(machine, product).rows {
        for step in 0..k {
            let row = |lane| tile * machine.n + lane;
            pack(machine, |lane| if row(lane) < l { a[row(lane) * k + step] } else { 0 }, text);
        }
    }
}

/// Column tiles of B, a beat for each step: the tile's `n` columns.
fn pack_b(machine: &Machine, product: &Product, b: &[i32], text: &mut String) {
    let Product { k, m, .. } = *product;
    for tile in 0..Tiling::of(machine, product).columns {
        for step in 0..k {
            let column = |lane| tile * machine.n + lane;
            pack(machine, |lane| if column(lane) < m { b[step * m + column(lane)] } else { 0 }, text);
        }
    }
}

/// One beat as a line: lane 0 in the lowest bits, most significant digit first.
fn pack(machine: &Machine, lane: impl Fn(usize) -> i32, text: &mut String) {
    let word = machine.word as usize;
    let mut digits = vec![0u8; (machine.n * word).div_ceil(4)];
    for index in 0..machine.n {
        let value = lane(index);
        for bit in (0..word).filter(|bit| value >> bit & 1 == 1) {
            let at = index * word + bit;
            digits[at / 4] |= 1 << (at % 4);
        }
    }
    text.extend(digits.iter().rev().map(|digit| char::from(b"0123456789abcdef"[usize::from(*digit)])));
    text.push('\n');
}

/// Reads `results.hex` and `counters.hex` of `jobs` from `folder`.
///
/// # Errors
/// A file that is missing, or not what the test bench writes.
pub fn read(machine: &Machine, jobs: &[Job], folder: &Path) -> Result<Vec<Outcome>, VectorError> {
    machine.check()?;
    let mut results = Lines::open(folder.join("results.hex"))?;
    let mut counters = Lines::open(folder.join("counters.hex"))?;
    let mut outcomes = Vec::new();
    for (job, Job { product, .. }) in jobs.iter().enumerate() {
        product.check(machine).map_err(|cause| VectorError::Job { job, cause: cause.into() })?;
        let c = unpack(machine, product, &mut results)?;
        outcomes.push(Outcome { c, cycles: counted(&mut counters)? });
    }
    results.end()?;
    counters.end()?;
    Ok(outcomes)
}

/// The results of one product, out of the order in which tiles are written.
fn unpack(machine: &Machine, product: &Product, results: &mut Lines) -> Result<Vec<i64>, VectorError> {
    let (n, out) = (machine.n, machine.out_bits() as usize);
    let mut c = vec![0; product.l * product.m];
    for tile in Tiling::of(machine, product).order() {
        for row in tile.row * n..(tile.row + 1) * n {
            let line = results.next_line()?;
            let n_digits = (n * out).div_ceil(4);
            let digits: Option<Vec<u32>> = line.chars().rev().map(|digit| digit.to_digit(16)).collect();
            let digits = digits.filter(|digits| digits.len() == n_digits).ok_or_else(|| {
                results.error(format!("'{line}' is no beat of {n_digits} hexadecimal digits"))
            })?;
            let columns = (tile.column * n..(tile.column + 1) * n).enumerate();
            for (lane, column) in columns.filter(|(_, column)| row < product.l && *column < product.m) {
                let bit = |at: usize| i64::from(digits[at / 4] >> (at % 4) & 1);
                let value = (0..out).fold(0, |value, at| value | bit(lane * out + at) << at);
                // The top bit is the sign.
                let shift = 64 - machine.out_bits();
                c[row * product.m + column] = value << shift >> shift;
            }
        }
    }
    Ok(c)
}

fn counted(counters: &mut Lines) -> Result<Cycles, VectorError> {
    let line = counters.next_line()?;
    let numbers: Result<Vec<u64>, _> = line.split_whitespace().map(|n| u64::from_str_radix(n, 16)).collect();
    let numbers: Option<[u64; 9]> = numbers.ok().and_then(|numbers| numbers.try_into().ok());
    let [total, array, steps, wait_load, wait_drain, wait_output, a_beats, b_beats, c_beats] =
        numbers.ok_or_else(|| counters.error(format!("'{line}' is not nine hexadecimal numbers")))?;
    Ok(Cycles { total, array, steps, wait_load, wait_drain, wait_output, a_beats, b_beats, c_beats })
}

/// A file, line by line.
struct Lines {
    path: PathBuf,
    lines: std::vec::IntoIter<String>,
    at: usize,
}

impl Lines {
    fn open(path: PathBuf) -> Result<Self, VectorError> {
        match fs::read_to_string(&path) {
            Ok(text) => {
                let lines: Vec<String> = text.lines().map(str::to_owned).collect();
                Ok(Self { path, lines: lines.into_iter(), at: 0 })
            }
            Err(cause) => Err(VectorError::Io { path, cause }),
        }
    }

    fn next_line(&mut self) -> Result<String, VectorError> {
        self.at += 1;
        self.lines.next().ok_or_else(|| self.error("the file ends too early".to_owned()))
    }

    fn end(mut self) -> Result<(), VectorError> {
        self.at += 1;
        match self.lines.next() {
            Some(_) => Err(self.error("the file has more lines than results".to_owned())),
            None => Ok(()),
        }
    }

    fn error(&self, reason: String) -> VectorError {
        VectorError::Result { path: self.path.clone(), line: self.at, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(l: usize, k: usize, m: usize) -> Job {
        let words = |count: usize| (0..count).map(|i| i32::try_from(i).unwrap() - 2).collect();
        let product = Product { l, k, m, format: Format::Exact };
        Job { product, a: words(l * k), b: words(k * m), seeds: vec![1, 2] }
    }

    fn small() -> Machine {
        Machine { n: 2, word: 6, accumulator: 12, drop: vec![3], ..Machine::default() }
    }

    #[test]
    fn beats_are_columns_of_a_and_rows_of_b() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory { latency: 9, rate: crate::Rate::BytesPerCycle { numerator: 1, denominator: 2 } };
        write(&small(), &[job(3, 2, 1), job(1, 1, 1)], &memory, folder.path()).unwrap();
        let text = |name| fs::read_to_string(folder.path().join(name)).unwrap();
        // A = [[-2, -1], [0, 1], [2, 3]], B = [-2, -1]: row 0 or column 0 in the low six bits.
        assert_eq!(text("operands.hex"), "03e\n07f\n002\n003\n03e\n03f\n03e\n03e\n");
        assert_eq!(text("memory.hex"), "9 8 18\n");
        assert_eq!(text("commands.hex"), "2 1 2 1 0 4 0 30 50\n1 1 1 1 6 7 4 30 50\n");
        assert_eq!(text("seeds.hex"), "1 2\n1 2\n");
    }

    #[test]
    fn results_come_back_in_rows() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name, text| fs::write(folder.path().join(name), text).unwrap();
        put("results.hex", "fff001\n800002\n000003\nabc123\n");
        put("counters.hex", "a b c 1 2 3 4 5 10\n");
        let jobs = [job(3, 2, 2)];
        let outcomes = read(&small(), &jobs, folder.path()).unwrap();
        assert_eq!(outcomes[0].c, [1, -1, 2, -2048, 3, 0]);
        assert_eq!((outcomes[0].cycles.total, outcomes[0].cycles.c_beats), (10, 16));

        for (results, counters, expected) in [
            ("fff001\n", "1 2 3 4 5 6 7 8 9\n", "results.hex:2: the file ends too early"),
            ("fff001\nx00002\n000003\nabc123\n", "1\n", "results.hex:2: 'x00002' is no beat of 6"),
            ("fff001\n800002\n000003\nabc123\n", "1 2 3\n", "counters.hex:1: '1 2 3' is not nine"),
            ("0\n", "1\n", "results.hex:1: '0' is no beat"),
        ] {
            put("results.hex", results);
            put("counters.hex", counters);
            let error = read(&small(), &jobs, folder.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn jobs_that_do_not_fit_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let bad = Job { a: vec![32; 6], ..job(3, 2, 1) };
        let error = write(&small(), &[job(3, 2, 1), bad], &Memory::unlimited(1), folder.path()).unwrap_err();
        assert!(error.to_string().starts_with("job 1: A[0] = 32 is outside -32..=31"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
