//! Every kernel equals the reference; the reference gives WAGE's worked examples.

use intrain_num::Round;

use super::{Args, Counts, reference, run};
use crate::elementwise::Integer;
use crate::isa::Isa;
use crate::requantize::tests::{ROUNDS, STREAM, noise};

/// Limits and rate of a case.
#[derive(Debug, Clone, Copy)]
struct Case {
    round: Round,
    multiplier: i64,
    shift: i32,
    update: (i64, i64),
    before: Option<i64>,
    first_element: u64,
}

fn results<G: Integer, M: Integer>(isa: Isa, case: Case, gradient: &[G]) -> (Vec<M>, Counts) {
    let Case { round, multiplier, shift, update: (update_min, update_max), before, first_element } = case;
    let mut master = noise::<M>(gradient.len(), 21);
    let args = Args {
        gradient,
        master: &mut master,
        multiplier,
        shift,
        round,
        stream: Some(STREAM),
        first_element,
        update_min,
        update_max,
        before,
        master_min: -M::MAX,
        master_max: M::MAX - 2,
    };
    let counts = run(isa, args);
    (master, counts)
}

fn compare<G: Integer, M: Integer + std::fmt::Debug>(case: Case, gradient: &[G]) {
    let want = results::<G, M>(Isa::Reference, case, gradient);
    for isa in Isa::available() {
        assert_eq!(results::<G, M>(isa, case, gradient), want, "{isa:?} {case:?} {}", gradient.len());
    }
}

fn check<G: Integer, M: Integer + std::fmt::Debug>() {
    let gradients: Vec<G> = noise::<G>(300, 22)
        .into_iter()
        // Bound: the product with the multiplier stays below 2^63.
        .map(|g| G::from_i64(g.into() >> if G::BITS == 64 { 16 } else { 0 }))
        .chain([0, 1, -1, 2, -2, 3, -3].map(G::from_i64))
        .collect();
    for round in ROUNDS {
        for shift in [-50, -2, 0, 1, 3, 8, 15, 16, 24, 31, 32, 35, 48, 63, 64, 80] {
            for (multiplier, before) in
                [(1, None), (8, Some(64)), (-3, Some(0)), (0, None), (40_000, Some(1 << 50))]
            {
                for update in [(-1 << 62, 1 << 62), (-127, 127), (0, i64::from(i32::MAX)), (-70_000, 5)] {
                    let case = Case { round, multiplier, shift, update, before, first_element: 5 };
                    compare::<G, M>(case, &gradients);
                }
            }
        }
        for n in (0..70).chain([255, 256, 257, 2051]) {
            let case = Case {
                round,
                multiplier: 2,
                shift: 10,
                update: (-M::MAX, M::MAX),
                before: Some(60),
                first_element: n as u64,
            };
            let gradient: Vec<G> =
                noise::<G>(n, 23).into_iter().map(|g| G::from_i64(g.into() >> 2)).collect();
            compare::<G, M>(case, &gradient);
        }
    }
}

#[test]
fn i32_to_i8() {
    check::<i32, i8>();
}

#[test]
fn i32_to_i16() {
    check::<i32, i16>();
}

#[test]
fn i32_to_i32() {
    check::<i32, i32>();
}

#[test]
fn i64_to_i8() {
    check::<i64, i8>();
}

#[test]
fn i64_to_i16() {
    check::<i64, i16>();
}

#[test]
fn i64_to_i32() {
    check::<i64, i32>();
}

/// WAGE's arguments: 16 random bits against a magnitude, weights clipped at +-64 / 128 before the subtraction.
fn wage<'a>(gradient: &'a [i32], master: &'a mut [i8], multiplier: i64, shift: i32) -> Args<'a, i32, i8> {
    Args {
        gradient,
        master,
        multiplier,
        shift,
        round: Round::StochasticMagnitude { bits: 16 },
        stream: Some(STREAM),
        first_element: 0,
        update_min: -127,
        update_max: 127,
        before: Some(64),
        master_min: -127,
        master_max: 127,
    }
}

/// The updates that `words` give, seen as what they take from weights of 0.
fn steps(gradient: &[i32], multiplier: i64, shift: i32, words: &[u32]) -> Vec<i8> {
    let mut master = vec![0i8; gradient.len()];
    let mut args = wage(gradient, &mut master, multiplier, shift);
    for (i, &word) in words.iter().enumerate() {
        reference::element(&mut args, i, word, &mut Counts::default());
    }
    master.into_iter().map(|m| -m).collect()
}

#[test]
fn wage_gradient_examples() {
    // [.9, -.31, .02, .001, -.0004] with 20 fraction bits; u = [.5, .5, .1, .005, .5] as 16 bits.
    let gradient = [943_718, -325_059, 20_972, 1_049, -419];
    let words = [0x8000, 0x8000, 0x1999, 0x147, 0x8000].map(|u: u32| u << 16);
    assert_eq!(steps(&gradient, 8, 20, &words), [7, -2, 1, 1, 0]);
    assert_eq!(steps(&gradient, 1, 20, &words), [1, 0, 0, 0, 0]);
    assert_eq!(steps(&gradient, 1, 23, &words), [0; 5]);
}

#[test]
fn wage_fully_connected_gradient_example() {
    let gradient = [8128, -4736, -16_129, 9398, 635, -370, 4191, -2442];
    let words = [0, 65_535, 30_000, 30_000, 1, 60_000, 32_768, 500].map(|r: u32| r << 16);
    assert_eq!(steps(&gradient, 1, 14, &words), [1, 0, -1, 1, 1, 0, 0, -1]);
}

#[test]
fn wage_same_update_twice() {
    for isa in Isa::available() {
        let mut master = [64i8, -63, 33, 0, -64];
        let gradient = [-7, 2, 1, -1, 0];
        let counts = run(isa, wage(&gradient, &mut master, 1, 0));
        assert_eq!((master, counts), ([71, -65, 32, 1, -64], Counts::default()), "{isa:?}");
        let _ = run(isa, wage(&gradient, &mut master, 1, 0));
        assert_eq!(master, [71, -66, 31, 2, -64], "{isa:?}: clipped before, as the code does");
        let mut master = [71i8, -65, 32, 1, -64];
        let _ = run(isa, Args { before: None, ..wage(&gradient, &mut master, 1, 0) });
        assert_eq!(master, [78, -67, 31, 2, -64], "{isa:?}: clipped after, as the paper does");
    }
}

#[test]
fn counts_dead_and_clamped() {
    for isa in Isa::available() {
        let mut master = [126i8, -126, 0, 5];
        let round = Round::NearestEven;
        let args = Args { round, before: None, ..wage(&[-40, 40, 1, 0], &mut master, 1, 3) };
        let counts = run(isa, args);
        assert_eq!((master, counts), ([127, -127, 0, 5], Counts { dead: 1, clamped: 2 }), "{isa:?}");
    }
}
