//! Verilator, with all warnings on, finds nothing in the hardware of many machines.

use intrain_accel::Machine;
use intrain_accel::cosim::{CosimError, lint, verilator_version};
use intrain_accel::machine::{Overflow, Register, RoundUnit, Rounding};

#[test]
fn no_warnings() {
    if let Err(error @ CosimError::NoVerilator { .. }) = verilator_version() {
        eprintln!("skipped: {error}");
        return;
    }
    let base = Machine::default();
    let small = Machine { n: 3, panel: 2, depth: 16, ..base.clone() };
    let machines = [
        base.clone(),
        Machine { round_unit: RoundUnit::Dsp, ..base.clone() },
        Machine { n: 1, panel: 1, ..small.clone() },
        Machine { n: 1, panel: 16, depth: 8192, round_unit: RoundUnit::Dsp, exact: false, ..base.clone() },
        Machine { n: 2, overflow: Overflow::Saturate, ..small.clone() },
        Machine { rounding: Rounding::Nearest, drop: vec![0], exact: false, ..small.clone() },
        Machine { word: 2, accumulator: 4, drop: vec![3, 0, 1, 2], panel: 3, ..small.clone() },
        Machine {
            word: 18,
            accumulator: 36,
            overflow: Overflow::Saturate,
            round_unit: RoundUnit::Dsp,
            ..small.clone()
        },
        Machine {
            lfsr: Register { bits: 4, taps: 0x3 },
            random_bits: Some(2),
            drop: vec![40, 1],
            ..small.clone()
        },
        Machine { lfsr: Register { bits: 32, taps: 0x8000_0001 }, drop: vec![32, 0, 5], panel: 5, ..small },
        Machine { rounding: Rounding::Nearest, drop: vec![47], round_unit: RoundUnit::Dsp, n: 5, ..base },
    ];
    let folder = tempfile::tempdir().unwrap();
    let failures: Vec<String> = machines
        .iter()
        .enumerate()
        .filter_map(|(i, machine)| {
            lint(machine, &folder.path().join(i.to_string())).err().map(|e| format!("{machine:?}: {e}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
