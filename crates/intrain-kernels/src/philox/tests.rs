//! Random words against the scalar definition and the published answers: every kernel of this CPU, extremes and sizes around each vector width, by equality.

use super::{KERNELS, fill};
use crate::isa::Isa;

#[test]
fn known_answers_of_random123() {
    let ones = u32::MAX;
    let cases = [
        ([0, 0], [0, 0, 0, 0], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([ones; 2], [ones; 4], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0xa409_3822, 0x299f_31d0],
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    for isa in Isa::available() {
        for (key, [block, h1, h2, h3], want) in cases {
            let mut out = [0; 4];
            fill(isa, key, [h1, h2, h3], block, &mut out);
            assert_eq!(out, want, "{}", isa.name());
        }
    }
}

#[test]
fn every_kernel_matches_reference_for_all_lengths_and_past_the_last_block() {
    let (key, high) = ([0xdead_beef, 0x1234_5678], [1, 0xffff_ffff, 77]);
    for kernel in KERNELS.iter().filter(|kernel| kernel.isa.is_available()) {
        for first_block in [0, 1, 1 << 31, u32::MAX - 40, u32::MAX - 3] {
            for len in (0..200).chain([255, 256, 257, 1000, 4099]) {
                let (mut got, mut want) = (vec![0; len], vec![0; len]);
                fill(kernel.isa, key, high, first_block, &mut got);
                fill(Isa::Reference, key, high, first_block, &mut want);
                assert_eq!(got, want, "{} {first_block} {len}", kernel.name);
            }
        }
    }
}
