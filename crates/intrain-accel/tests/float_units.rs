//! The float rounding units in Verilator against `intrain-num`: three small formats, every rounding, several numbers of
//! random bits, three source formats, and the units with a register of their own. Every code must be equal.
//!
//! Without Verilator this test says that it was skipped, and passes.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use intrain_accel::cosim::{CosimError, verilator_version};
use intrain_accel::rtl::{FLOAT_UNITS, UNITS};
use intrain_num::Lfsr;
use intrain_num::minifloat::{FloatFormat, FloatOverflow, FloatRound, Number, Top};

/// Records of a block, as `float_tb.cpp` has it.
const BLOCK: usize = 1 << 16;
const TARGETS: [FloatFormat; 3] = [FloatFormat::E4M3, FloatFormat::E5M2, FloatFormat::E2M1];
const SEED: u32 = 0xace1;

/// Numbers without pattern, the same everywhere.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 ^ self.0 >> 22) >> 22 & 0xffff_ffff).unwrap()
    }
}

/// One unit of the bench. Sources of 16 bits: bfloat16 takes a record's high half, binary16 its low one.
#[derive(Debug, Clone, Copy)]
struct Unit {
    source: FloatFormat,
    target: FloatFormat,
    round: FloatRound,
    /// Whether it is `float_sr_round`; it takes a value where the word is odd, and a byte says whether a result is there.
    has_register: bool,
}

fn binary16() -> FloatFormat {
    FloatFormat::new(5, 10, 15, Top::Ieee, true).unwrap()
}

fn stochastic(bits: u32) -> [FloatRound; 3] {
    [FloatRound::StochasticA { bits }, FloatRound::StochasticB { bits }, FloatRound::StochasticC { bits }]
}

fn units() -> Vec<Unit> {
    let mut units = Vec::new();
    let mut add = |source, target, round, has_register| {
        units.push(Unit { source, target, round, has_register });
    };
    for target in TARGETS {
        add(FloatFormat::BINARY32, target, FloatRound::NearestEven, false);
        for bits in [1, 2, 4, 8] {
            for round in stochastic(bits) {
                add(FloatFormat::BINARY32, target, round, false);
            }
        }
        for (source, bits) in [(FloatFormat::BFLOAT16, 3), (binary16(), 5)] {
            add(source, target, FloatRound::NearestEven, false);
            for round in stochastic(bits) {
                add(source, target, round, false);
            }
        }
    }
    for round in stochastic(20) {
        add(FloatFormat::BINARY32, FloatFormat::E3M2, round, false);
        add(FloatFormat::BFLOAT16, FloatFormat::E2M3, round, false);
    }
    for (target, round) in TARGETS.into_iter().zip(stochastic(8)) {
        add(FloatFormat::BINARY32, target, round, true);
    }
    units
}

impl Unit {
    /// The number of a rounding in `float_round.sv`, and its random bits.
    fn round(self) -> (u32, u32) {
        match self.round {
            FloatRound::StochasticA { bits } => (0, bits),
            FloatRound::StochasticB { bits } => (1, bits),
            FloatRound::StochasticC { bits } => (2, bits),
            FloatRound::NearestEven => (3, 1),
            other => panic!("no unit for {other}"),
        }
    }

    /// The code that the contract gives.
    fn code(self, value: u32, word: u32) -> u32 {
        let number = match self.source.mantissa_bits() {
            23 => Number::from_f32(f32::from_bits(value)),
            7 => self.source.decode(value >> 16),
            _ => self.source.decode(value & 0xffff),
        };
        self.target.encode(number, self.round, FloatOverflow::SatFinite, word)
    }

    /// The instance whose byte of `codes_o` is `at`.
    fn instance(self, at: usize) -> String {
        let top = match self.target.top() {
            Top::Ieee => 0,
            Top::Fn => 1,
            Top::Finite => 2,
            other => panic!("no unit for {other:?}"),
        };
        let (round, bits) = self.round();
        let value = match self.source.mantissa_bits() {
            23 => "value_i",
            7 => "value_i[31:16]",
            _ => "value_i[15:0]",
        };
        let width = self.target.bits();
        let parameters = format!(
            ".InExponent({}), .InMantissa({}), .InBias({}), .Exponent({}), .Mantissa({}), .Bias({}), .Top({top}), \
             .Round({round}), .RandomBits({bits})",
            self.source.exponent_bits(),
            self.source.mantissa_bits(),
            self.source.bias(),
            self.target.exponent_bits(),
            self.target.mantissa_bits(),
            self.target.bias(),
        );
        let code = format!("code{at}");
        let mut text = format!("  logic [{}:0] {code};\n", width - 1);
        let _ = writeln!(text, "  assign codes_o[{} +: 8] = 8'({code});", 8 * at);
        if self.has_register {
            let _ = writeln!(
                text,
                "  logic valid{at};\n  assign codes_o[{} +: 8] = 8'(valid{at});\n  float_sr_round #({parameters}) u{at} (\n    \
                 .clk_i, .rst_ni, .seed_load_i(~rst_ni), .seed_i(16'h{SEED:x}), .seed_o(),\n    .valid_i(word_i[0]), \
                 .value_i({value}), .valid_o(valid{at}), .code_o({code})\n  );",
                8 * (at + 1)
            );
        } else {
            let _ = writeln!(
                text,
                "  float_round #({parameters}) u{at} (\n    .value_i({value}), .random_i(word_i[31 -: {bits}]), \
                 .code_o({code})\n  );"
            );
        }
        text
    }

    const fn bytes(self) -> usize {
        1 + self.has_register as usize
    }
}

/// Bytes of all units, in whole words.
fn width(units: &[Unit]) -> usize {
    units.iter().map(|unit| unit.bytes()).sum::<usize>().next_multiple_of(4)
}

/// The module that holds all units side by side.
fn bench(units: &[Unit]) -> String {
    let (total, mut at) = (width(units), 0);
    let mut text = format!(
        "module float_bench (\n  input logic clk_i, rst_ni,\n  input logic [31:0] value_i, word_i,\n  output logic \
         [{}:0] codes_o\n);\n",
        8 * total - 1
    );
    for unit in units {
        text += &unit.instance(at);
        at += unit.bytes();
    }
    for byte in at..total {
        let _ = writeln!(text, "  assign codes_o[{} +: 8] = 8'd0;", 8 * byte);
    }
    text + "  logic unused_word;\n  assign unused_word = ^word_i;\nendmodule\n"
}

/// The bench, compiled in `folder`.
fn build(units: &[Unit], folder: &Path) -> PathBuf {
    let lfsr = UNITS.iter().filter(|(name, _)| *name == "lfsr.sv");
    let mut names: Vec<&str> = Vec::new();
    for (name, text) in FLOAT_UNITS.iter().chain(lfsr) {
        fs::write(folder.join(name), text).unwrap();
        names.push(name);
    }
    fs::write(folder.join("float_bench.sv"), bench(units)).unwrap();
    fs::write(folder.join("float_tb.cpp"), include_str!("../rtl/tb/float_tb.cpp")).unwrap();
    let arguments = "--cc --exe --build -j 2 -O3 --x-assign fast --x-initial unique --Mdir obj -o float_tb --top-module \
                     float_bench -Wall -Wno-PINCONNECTEMPTY -MAKEFLAGS OPT_FAST=-O1 -MAKEFLAGS OPT_SLOW=-O0";
    let output = Command::new("verilator")
        .current_dir(folder)
        .args(arguments.split(' '))
        .arg("float_bench.sv")
        .args(names)
        .arg("../float_tb.cpp")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder.join("obj/float_tb")
}

/// Values between two neighbouring magnitudes: both ends, the midpoint, thresholds of 9 bits, and what lies beside them.
fn between(low: f32, high: f32, noise: &mut Noise) -> Vec<u32> {
    // Exact: codes have at most 4 bits, and what is added 9 more below them.
    let at = |parts: u32| low + (high - low) * (f32::from(u16::try_from(parts).unwrap()) / 512.0);
    let mut values = Vec::new();
    for parts in [0, 1, 2, 255, 256, 257, 511].into_iter().chain((0..2).map(|_| noise.next() % 512)) {
        let bits = at(parts).to_bits();
        values.extend([bits.saturating_sub(1), bits, bits + 1]);
    }
    values
}

/// Values and words: everything that a unit may meet.
fn records(noise: &mut Noise) -> Vec<(u32, u32)> {
    let mut records = Vec::new();
    for bits in 0..=0xffff_u32 {
        for _ in 0..3 {
            records.push((bits << 16, noise.next()));
            // All codes of binary16, too: an odd factor permutes them.
            records.push((bits << 16 | bits.wrapping_mul(40_503) & 0xffff, noise.next()));
        }
        records.push((noise.next(), noise.next()));
    }
    // Zeros, subnormal numbers, the ends of the range, infinities and NaN, with both signs.
    let special =
        [0, 1, 2, 0x7f_ffff, 0x80_0000, 0x7f7f_ffff, 0x7f80_0000, 0x7f80_0001, 0x7fc0_0000, 0x7fff_ffff];
    let mut values: Vec<u32> = special.iter().flat_map(|value| [*value, value | 1 << 31]).collect();
    let n_special = values.len();
    for target in TARGETS {
        let magnitude = |code| target.decode(code).to_f32();
        let max = target.max_code();
        for code in 0..max {
            values.extend(between(magnitude(code), magnitude(code + 1), noise));
        }
        let beyond = magnitude(max) + (magnitude(max) - magnitude(max - 1));
        values.extend(between(magnitude(max), beyond, noise));
        // Below the least magnitude thresholds lie dense.
        values.extend((1..24).flat_map(|down| {
            let bits = magnitude(1).to_bits() - (down << 23);
            [bits - 1, bits, bits + 1, bits | 0x40_0000]
        }));
    }
    for (i, value) in values.into_iter().enumerate() {
        let sign = if i < n_special { 0 } else { noise.next() & 1 << 31 };
        for top in 0..256 {
            records.push((value | sign, top << 24 | noise.next() >> 8));
        }
    }
    records
}

/// What the units with a register give, clock by clock.
struct Pipeline {
    lfsr: Lfsr,
    /// The results of the two clocks before.
    stages: [Option<u32>; 2],
}

impl Pipeline {
    fn clock(&mut self, unit: Unit, value: u32, word: u32) {
        let code = (word & 1 == 1).then(|| unit.code(value, self.lfsr.draw() << 16));
        self.stages = [code, self.stages[0]];
    }
}

#[test]
fn codes_are_those_of_the_contract() {
    if let Err(error @ CosimError::NoVerilator { .. }) = verilator_version() {
        eprintln!("skipped: {error}");
        return;
    }
    let (units, folder) = (units(), tempfile::tempdir().unwrap());
    let program = build(&units, folder.path());
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take(), child.stdout.take().unwrap());
    let width = width(&units);
    let start = Lfsr::new(16, Lfsr::TAPS_16, SEED).unwrap();
    let mut pipelines: Vec<_> = units.iter().map(|_| Pipeline { lfsr: start, stages: [None; 2] }).collect();
    let records = records(&mut Noise(5));
    for block in records.chunks(BLOCK) {
        let bytes: Vec<u8> = block
            .iter()
            .flat_map(|(value, word)| [value.to_le_bytes(), word.to_le_bytes()])
            .flatten()
            .collect();
        input.as_mut().unwrap().write_all(&bytes).unwrap();
        if block.len() < BLOCK {
            // Only its end tells that a block is short.
            drop(input.take());
        }
        let mut codes = vec![0; block.len() * width];
        output.read_exact(&mut codes).unwrap();
        for ((value, word), codes) in block.iter().zip(codes.chunks(width)) {
            let mut at = 0;
            for (unit, pipeline) in units.iter().zip(&mut pipelines) {
                let got = u32::from(codes[at]);
                if unit.has_register {
                    let expected = pipeline.stages[1];
                    let valid = codes[at + 1] == 1;
                    assert_eq!(valid.then_some(got), expected, "{unit:?} before {value:#x} {word:#x}");
                    pipeline.clock(*unit, *value, *word);
                } else {
                    assert_eq!(got, unit.code(*value, *word), "{unit:?} {value:#x} {word:#x}");
                }
                at += unit.bytes();
            }
        }
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    eprintln!("{} units, {} values with words equal", units.len(), records.len());
}
