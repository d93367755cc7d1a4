//! The cycle model against its closed form, its counts, and itself without jumps.

use proptest::prelude::*;

use super::*;
use crate::Format;
use crate::order::Tiling;

fn product(l: usize, k: usize, m: usize) -> Product {
    Product { l, k, m, format: Format::Rounded(0) }
}

fn small(n: usize) -> Machine {
    Machine { n, depth: 16, panel: 2, ..Machine::default() }
}

#[test]
fn closed_form_where_memory_is_not_waited_for() {
    // One panel, or enough columns for each: loads hide behind the array.
    for n in [1, 3, 4, 10, 28] {
        let machine = Machine { n, ..Machine::default() };
        for (tiles_l, k, tiles_m) in [(1, 1, 1), (1, 55, 1), (4, 60, 1), (4, 200, 5), (4, 3, 7), (8, 100, 3)]
        {
            let (l, m) = (n * tiles_l, n * tiles_m);
            let got = cycles(&machine, &product(l, k, m), &Memory::unlimited(7)).unwrap();
            let (n, k) = (n as u64, k as u64);
            let interval = k.max(2 * n - 1);
            let array = ((tiles_l * tiles_m) as u64 - 1) * interval + k + 3 * n + 4;
            assert_eq!(
                (got.array, got.wait_load, got.wait_output),
                (array, 0, 0),
                "n {n}, {tiles_l} {k} {tiles_m}"
            );
            assert_eq!(got.total, 2 * k + 7 + array + 5, "n {n}, {tiles_l} {k} {tiles_m}");
        }
    }
}

#[test]
fn a_beat_for_everything() {
    for (l, k, m) in [(1, 1, 1), (13, 16, 7), (13, 17, 7), (5, 100, 9), (30, 5, 2)] {
        for machine in [small(1), small(3), small(4)] {
            let tiling = Tiling::of(&machine, &product(l, k, m));
            let got = cycles(&machine, &product(l, k, m), &Memory::of(&machine)).unwrap();
            assert_eq!((got.a_beats, got.b_beats), (tiling.a_beats(), tiling.b_beats()), "{l} {k} {m}");
            assert_eq!(
                (got.c_beats, got.steps),
                (tiling.c_beats(), tiling.tiles() * k as u64),
                "{l} {k} {m}"
            );
            // Between first and last step, and the way through the array.
            assert_eq!(got.array, got.steps + got.stalls() + 3 * machine.n as u64 + 4, "{l} {k} {m}");
        }
    }
}

#[test]
fn a_slow_memory_is_the_limit() {
    let machine = small(4);
    let rate = Rate::BytesPerCycle { numerator: 1, denominator: 1 };
    let got = cycles(&machine, &product(40, 16, 40), &Memory { latency: 1, rate }).unwrap();
    // 8 bytes a beat; all but the two beats in the first bucket are waited for.
    let bytes = 8 * (got.a_beats + got.b_beats + got.c_beats);
    assert!((bytes - 16..bytes + 200).contains(&got.total), "{got:?}");
}

#[test]
fn large_products_take_no_time() {
    // 2^30 rows of C: more than 10^13 cycles.
    let machine = Machine { n: 28, ..Machine::default() };
    let got = cycles(&machine, &product(100_000_000, 900, 1000), &Memory::of(&machine)).unwrap();
    assert_eq!(got.steps, 100_000_000u64.div_ceil(28) * 36 * 900);
    assert!(got.utilization(&machine, &product(100_000_000, 900, 1000)) > 0.9, "{got:?}");
}

#[test]
fn jumps_change_nothing_on_the_machine_of_the_paper() {
    let machine = Machine::default();
    for (l, k, m) in [(700, 100, 1500), (3000, 30, 100), (60, 1100, 600), (100, 784, 1000)] {
        let (product, memory) = (product(l, k, m), Memory::of(&machine));
        let got = cycles(&machine, &product, &memory).unwrap();
        assert_eq!(got, cycles_step_by_step(&machine, &product, &memory), "{l} {k} {m}");
    }
}

#[test]
fn a_memory_that_never_answers_is_refused() {
    let machine = Machine::default();
    for memory in [
        Memory::unlimited(0),
        Memory { latency: 1, rate: Rate::BytesPerCycle { numerator: 0, denominator: 1 } },
        Memory { latency: 1, rate: Rate::BytesPerCycle { numerator: 1, denominator: 0 } },
    ] {
        assert!(matches!(cycles(&machine, &product(1, 1, 1), &memory), Err(CyclesError::Memory { .. })));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn jumps_change_nothing(
        n in 1usize..6, panel in 1usize..4, rows in 1usize..40, columns in 1usize..40, k in 1usize..40,
        latency in 1u32..60, numerator in 0u32..80, denominator in 1u32..9, exact: bool,
    ) {
        let machine = Machine { panel, ..small(n) };
        let rate = if numerator == 0 { Rate::Unlimited } else { Rate::BytesPerCycle { numerator, denominator } };
        let memory = Memory { latency, rate };
        let format = if exact { Format::Exact } else { Format::Rounded(0) };
        let product = Product { l: rows * n, k, m: columns * n, format };
        prop_assert_eq!(
            cycles(&machine, &product, &memory).unwrap(),
            cycles_step_by_step(&machine, &product, &memory)
        );
    }
}
