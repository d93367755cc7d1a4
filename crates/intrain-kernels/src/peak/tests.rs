//! Every kernel of this CPU counts exactly the multiply-adds that it was asked for, up to the most rounds.

use super::{KERNELS, Operands, ROUND, ROUNDS_MAX, run};

#[test]
fn every_kernel_does_all_its_work() {
    for kernel in KERNELS.iter().filter(|kernel| kernel.isa.is_available()) {
        for operands in [Operands::Bytes, Operands::Int16, Operands::Floats] {
            // Around the rounds after which 16 bits are full.
            for rounds in [0, 1, 2, 3, 1000, 4094, 4095, 4096, 8191, ROUNDS_MAX] {
                let count = run(kernel.isa, operands, rounds);
                assert_eq!(count, u64::from(rounds) * ROUND, "{} {operands:?} {rounds}", kernel.name);
            }
        }
    }
}

#[test]
#[should_panic(expected = "are more than 524288")]
fn more_rounds_than_a_lane_can_count_are_refused() {
    let _ = run(super::Isa::Reference, Operands::Floats, ROUNDS_MAX + 1);
}
