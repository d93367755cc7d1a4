//! What a machine's file may say, what is refused, and with which words.

use super::*;

fn refusal(text: &str) -> String {
    Machine::from_toml(text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_is_the_machine_of_the_paper() {
    let machine = Machine::from_toml("").unwrap();
    assert_eq!(machine, Machine::default());
    assert_eq!(machine.dsp(), 784);
    let ops = machine.peak_operations_per_second();
    assert!((260.2e9..260.3e9).contains(&ops), "{ops}");
    let with_dsp = Machine::from_toml("round_unit = \"dsp\"").unwrap();
    assert_eq!(with_dsp.dsp(), 812);
}

#[test]
fn a_machine_survives_its_own_text() {
    let odd = Machine {
        n: 3,
        overflow: Overflow::Saturate,
        rounding: Rounding::Nearest,
        random_bits: Some(7),
        lfsr: Register { bits: 9, taps: 0x11 },
        ..Machine::default()
    };
    for machine in [Machine::default(), odd] {
        let text = toml::to_string(&machine).unwrap();
        assert_eq!(Machine::from_toml(&text).unwrap(), machine, "{text}");
    }
}

#[test]
fn refusals_name_value_limit_and_remedy() {
    for (text, expected) in [
        ("n = 0", "n = 0 is not in 1..=64; choose"),
        ("n = 65", "n = 65 is not in 1..=64"),
        ("n = 29", "n = 29 needs 841 DSP48E1 (29 x 29), and xc7k325t has 840; use n <= 28"),
        ("n = 29\nround_unit = \"dsp\"", "needs 870 DSP48E1 (29 x 29 + 29 for rounding)"),
        ("word = 1", "word = 1 is not in 2..=18"),
        ("word = 19", "word = 19 is not in 2..=18"),
        (
            "accumulator = 31",
            "accumulator = 31 bits hold no product of two words of 16 bits; use at least 32",
        ),
        ("accumulator = 49", "accumulator = 49 is not in 1..=48"),
        ("panel = 0", "panel = 0 is not in 1..=16"),
        ("panel = 17", "panel = 17 is not in 1..=16"),
        ("depth = 8", "depth = 8 is not in 16..=8192"),
        ("depth = 1000", "depth = 1000 is not a power of two; use 512 or 1024"),
        ("panel = 16\ndepth = 8192", "and xc7k325t has 445; use n <= 3"),
        ("drop = [17]", "drop = 17 needs more random bits than the LFSR's 16"),
        ("drop = [48]", "drop = 48 is not in 0..=47"),
        ("drop = []", "drop has 0 formats; name 1 to 4"),
        ("drop = [1, 2, 3, 4, 5]", "drop has 5 formats"),
        ("random_bits = 17", "random_bits = 17 is more than the LFSR's 16 bits; use at most 16"),
        ("random_bits = 0", "random_bits = 0 is not in 1..="),
        ("lfsr = { bits = 33, taps = 1 }", "lfsr.bits = 33 is not in 4..=32"),
        ("lfsr = { bits = 16, taps = 0x2c }", "lfsr.taps = 0x2c has no bit 0"),
        (
            "lfsr = { bits = 8, taps = 0x101 }",
            "lfsr.taps = 0x101 has bits beyond the register's 8; use bits 0 to 7",
        ),
        ("device = \"xc7\"", "device = \"xc7\" is not known; use one of xc7a35t,"),
        ("megahertz = 0.0", "megahertz = 0 is not a positive number"),
        ("gigabytes_per_second = nan", "gigabytes_per_second = NaN is not a positive number"),
        ("size = 28", "unknown field `size`"),
        ("overflow = \"clip\"", "unknown variant `clip`"),
        ("n = -1", "invalid value"),
        ("n", "TOML parse error"),
    ] {
        let message = refusal(text);
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn what_is_almost_refused_is_not() {
    for text in [
        "drop = [47]\nrandom_bits = 16",
        "drop = [47]\nrounding = \"nearest\"",
        "drop = [0]",
        "word = 18\naccumulator = 36",
        "n = 64\ndevice = \"xc7vx690t\"",
        "lfsr = { bits = 32, taps = 0x80000001 }",
        "n = 1\nlfsr = { bits = 4, taps = 0x3 }\ndrop = [4]",
    ] {
        let machine = Machine::from_toml(text);
        if text.starts_with("n = 64") {
            assert!(matches!(machine, Err(MachineError::Dsp { largest: 60, .. })), "{machine:?}");
        } else {
            assert!(machine.is_ok(), "{text}: {machine:?}");
        }
    }
}

#[test]
fn enough_tiles_fit_the_output_fifos() {
    for (n, tiles) in [(1, 11), (2, 5), (4, 3), (8, 3), (9, 3), (10, 2), (28, 2), (64, 2)] {
        assert_eq!(Machine { n, ..Machine::default() }.output_tiles(), tiles, "n = {n}");
    }
}
