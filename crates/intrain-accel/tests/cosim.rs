//! The generated hardware in Verilator against values and cycles: every edge of a tile, short and long k, chunks, products
//! back to back, slow memories. Every value and every counter must be equal.
//!
//! Without Verilator these tests say that they were skipped, and pass.

use intrain_accel::cosim::{Cosim, CosimError, verilator_version};
use intrain_accel::machine::{Overflow, Register, RoundUnit, Rounding};
use intrain_accel::vectors::{Job, Outcome};
use intrain_accel::{Cycles, Format, Machine, Memory, Product, Rate};

/// Numbers without pattern, the same everywhere.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 ^ self.0 >> 22) >> 22 & 0xffff_ffff).unwrap()
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }
}

/// What operands are like.
#[derive(Clone, Copy)]
enum Fill {
    /// Any word.
    Random,
    /// The ends of the range, in runs, so that accumulators reach theirs.
    Extreme,
}

fn words(count: usize, word: u32, fill: Fill, noise: &mut Noise) -> Vec<i32> {
    let (low, high) = (-(1 << (word - 1)), (1 << (word - 1)) - 1);
    let one = |i: usize, noise: &mut Noise| match fill {
        Fill::Random => noise.next().cast_signed() >> (32 - word),
        Fill::Extreme if i % 7 == 3 => [low, high, 0, -1][noise.below(4)],
        Fill::Extreme if (i / 40).is_multiple_of(2) => low,
        Fill::Extreme => high,
    };
    (0..count).map(|i| one(i, noise)).collect()
}

fn job(machine: &Machine, product: Product, fill: Fill, noise: &mut Noise) -> Job {
    let Product { l, k, m, .. } = product;
    let mask = u32::MAX >> (32 - machine.lfsr.bits);
    Job {
        product,
        a: words(l * k, machine.word, fill, noise),
        b: words(k * m, machine.word, fill, noise),
        seeds: (0..machine.n).map(|_| (noise.next() & mask).max(1)).collect(),
    }
}

/// Every format that the machine has.
fn formats(machine: &Machine) -> Vec<Format> {
    let exact = machine.exact.then_some(Format::Exact);
    (0..machine.drop.len()).map(Format::Rounded).chain(exact).collect()
}

/// Products that meet every edge: k from 1 over `2n - 1` and the depth, tiles full and partial, panels full and partial.
fn jobs(machine: &Machine, noise: &mut Noise) -> Vec<Job> {
    let Machine { n, panel, depth, .. } = *machine;
    let formats = formats(machine);
    let mut jobs = Vec::new();
    let mut add = |l: usize, k: usize, m: usize, fill, noise: &mut Noise| {
        let format = formats[jobs.len() % formats.len()];
        jobs.push(job(machine, Product { l, k, m, format }, fill, noise));
    };
    // Every shape of an edge tile, k going through all short values.
    let mut k = 0;
    for l in 1..=n {
        for m in 1..=n {
            k = k % (2 * n + 2) + 1;
            add(l, k, m, Fill::Random, noise);
        }
    }
    for k in [1, n, 2 * n - 2, 2 * n - 1, 2 * n, depth - 1, depth, depth + 1, 2 * depth, 3 * depth - 2] {
        let k = k.max(1);
        for (rows, columns) in [(1, 1), (2, 3), (panel + 1, 2), (2 * panel + 1, 3)] {
            let fill = if rows % 2 == 0 { Fill::Extreme } else { Fill::Random };
            add(rows * n - noise.below(n), k, columns * n - noise.below(n), fill, noise);
        }
    }
    add(n, 5 * depth + 3, n, Fill::Extreme, noise);
    add(3 * panel * n, 2, 9 * n, Fill::Random, noise);
    jobs
}

/// No limit, about one beat a cycle, the paper's board, slow, and odd fractions.
fn memories(machine: &Machine) -> Vec<Memory> {
    let beat = u32::try_from(machine.n).unwrap() * machine.word;
    let rate = |numerator, denominator| Rate::BytesPerCycle { numerator, denominator };
    vec![
        Memory::unlimited(1),
        Memory::of(machine),
        Memory { latency: 5, rate: rate(beat, 8) },
        Memory { latency: 40, rate: rate(beat, 20) },
        Memory { latency: 2, rate: rate(beat.div_ceil(7), 9) },
    ]
}

/// The hardware of `machine`, compiled, and its folder; `None`, with a message, without Verilator.
fn build(name: &str, machine: &Machine) -> Option<(tempfile::TempDir, Cosim)> {
    let folder = tempfile::tempdir().unwrap();
    match Cosim::build(machine, folder.path()) {
        Ok(cosim) => Some((folder, cosim)),
        Err(error @ CosimError::NoVerilator { .. }) => {
            eprintln!("{name}: skipped: {error}");
            None
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

fn run(name: &str, cosim: &Cosim, jobs: &[Job], memory: &Memory) -> Vec<Outcome> {
    let outcomes = cosim.compare(jobs, memory).unwrap_or_else(|error| panic!("{name}, {memory:?}: {error}"));
    let cycles: u64 = outcomes.iter().map(|outcome| outcome.cycles.total).sum();
    eprintln!("{name}: {} products, {cycles} cycles equal, {memory:?}", jobs.len());
    outcomes
}

fn compare(name: &str, machine: &Machine) {
    compare_with(name, machine, |_, _| Vec::new());
}

/// Compares on every memory; with the first one, `more` jobs of the machine as well.
fn compare_with(name: &str, machine: &Machine, more: fn(&Machine, &mut Noise) -> Vec<Job>) {
    let Some((_folder, cosim)) = build(name, machine) else { return };
    let mut noise = Noise(machine.n as u64 + 17);
    let mut waits = [0; 3];
    let mut more = more(machine, &mut noise);
    for memory in memories(machine) {
        let mut jobs = jobs(machine, &mut noise);
        jobs.append(&mut more);
        for outcome in run(name, &cosim, &jobs, &memory) {
            let Cycles { wait_load, wait_drain, wait_output, .. } = outcome.cycles;
            waits = [waits[0] + wait_load, waits[1] + wait_drain, waits[2] + wait_output];
        }
    }
    // The jobs meet every reason to wait; one node never has to, but for operands.
    assert!(waits[0] > 0 && (machine.n == 1 || waits[1] > 0 && waits[2] > 0), "{name}: {waits:?}");
}

fn small(n: usize) -> Machine {
    Machine { n, panel: 2, depth: 16, ..Machine::default() }
}

#[test]
fn four_by_four() {
    compare("4x4", &small(4));
}

#[test]
fn eight_by_eight_rounds_in_a_dsp() {
    let machine =
        Machine { depth: 32, panel: 4, round_unit: RoundUnit::Dsp, random_bits: Some(9), ..small(8) };
    compare("8x8, dsp", &machine);
}

#[test]
fn narrow_words_saturate() {
    let machine = Machine {
        word: 8,
        accumulator: 17,
        overflow: Overflow::Saturate,
        panel: 3,
        drop: vec![9, 4, 0],
        lfsr: Register { bits: 11, taps: 0x5 },
        round_unit: RoundUnit::Dsp,
        ..small(3)
    };
    compare("3x3, 8 bits, saturating", &machine);
}

#[test]
fn narrow_words_wrap_and_go_to_nearest() {
    let machine = Machine {
        word: 5,
        accumulator: 10,
        rounding: Rounding::Nearest,
        exact: false,
        drop: vec![4, 0, 1, 9],
        ..small(3)
    };
    compare("3x3, 5 bits, nearest", &machine);
}

/// Sums of 18-bit words reach the ends of 48 bits after 2^13 steps, and random bits below bit 47 carry them over.
fn top_of_48_bits(machine: &Machine, noise: &mut Noise) -> Vec<Job> {
    let (low, high) = (-(1 << 17), (1 << 17) - 1);
    let mut jobs = Vec::new();
    for (k, x, y) in
        [(8191, low, low), (8192, low, low), (8193, low, high), (8194, low, high), (9000, low, low)]
    {
        for format in formats(machine) {
            let product = Product { l: 3, k, m: 1, format };
            let seeds = vec![noise.next().max(1)];
            jobs.push(Job { product, a: vec![x; 3 * k], b: vec![y; k], seeds });
        }
    }
    jobs
}

fn one_node(overflow: Overflow, round_unit: RoundUnit) -> Machine {
    Machine {
        word: 18,
        overflow,
        round_unit,
        drop: vec![47, 17, 0, 33],
        lfsr: Register { bits: 32, taps: 0x8020_0003 },
        random_bits: Some(32),
        panel: 1,
        ..small(1)
    }
}

#[test]
fn one_node_in_carry_chains_saturates() {
    let machine = one_node(Overflow::Saturate, RoundUnit::Fabric);
    compare_with("1x1, 18 bits, saturating", &machine, top_of_48_bits);
}

#[test]
fn one_node_in_a_dsp_wraps() {
    let machine = one_node(Overflow::Wrap, RoundUnit::Dsp);
    compare_with("1x1, 18 bits, dsp", &machine, top_of_48_bits);
}

#[test]
fn a_folder_that_make_cannot_bear_is_refused() {
    if verilator_version().is_ok() {
        let folder = tempfile::tempdir().unwrap();
        let refused = Cosim::build(&small(1), &folder.path().join("a b"));
        assert!(matches!(refused, Err(CosimError::Space { .. })), "{refused:?}");
        assert!(!folder.path().join("a b").exists());
    }
}
