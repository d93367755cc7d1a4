//! What the tests of both products share: every kernel against the reference on one case.

use super::{Args, Packed, Run, Store};
use crate::isa::{Isa, Kernel};

/// A repeatable noise word.
pub(crate) fn noise(i: usize) -> u32 {
    let x = u32::try_from(i).unwrap().wrapping_mul(0x9E37_79B9) ^ 0x1234_5678;
    let x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
    x ^ (x >> 13)
}

/// Segments that so many steps fall into.
pub(crate) fn segments(n_steps: usize) -> usize {
    (1..=5).rev().find(|segments| n_steps.is_multiple_of(*segments)).unwrap()
}

/// Rows and steps that are neither equidistant nor in order, and the length of an A that they just fit in.
pub(crate) fn scattered(m: usize, n_steps: usize, lanes: usize) -> (Vec<u32>, Vec<u32>, usize) {
    let place = |i: usize| u32::try_from(i * lanes + noise(i) as usize % 7).unwrap();
    let rows: Vec<u32> = (0..m).rev().map(place).collect();
    let steps: Vec<u32> = (0..n_steps).map(place).collect();
    let end = rows.iter().max().unwrap() + steps.iter().max().unwrap();
    (rows, steps, end as usize + lanes)
}

/// Every kernel that this CPU has equals the reference in all of C, stores of both kinds, rows tight and apart.
pub(crate) fn assert_kernels_match<B: Packed>(
    kernels: &[Kernel<Run<B>>],
    run: fn(Isa, Args<'_, B>),
    case: (&[B::Left], &[u32], &[u32], &B),
    old: impl Fn(usize) -> B::Sum,
    bits: impl Fn(B::Sum) -> u64,
    case_name: &str,
) {
    let (a, rows, all_steps, b) = case;
    let (of_segment, n) = (b.n_steps() / b.segments(), b.segments());
    let init: Vec<B::Sum> = (0..b.n()).map(|i| old(i + 99)).collect();
    for (store, init, c_stride, part) in [
        (Store::Set, None, b.n(), 0..n),
        (Store::Add, Some(&init[..]), b.n() + 19, 0..n),
        (Store::Set, Some(&init[..]), b.n(), n / 2..n),
        (Store::Add, None, b.n() + 3, 0..n.div_ceil(2)),
    ] {
        let steps = &all_steps[part.start * of_segment..part.end * of_segment];
        let product = |isa| {
            let mut c: Vec<B::Sum> = (0..rows.len() * c_stride).map(&old).collect();
            let segments = part.clone();
            run(isa, Args { a, rows, steps, segments, b, c: &mut c, c_stride, init, store });
            for (i, &c) in c.iter().enumerate().filter(|(i, _)| i % c_stride >= b.n()) {
                assert_eq!(bits(c), bits(old(i)), "{isa:?} wrote outside its columns: {case_name}");
            }
            c.into_iter().map(&bits).collect::<Vec<_>>()
        };
        let want = product(Isa::Reference);
        for kernel in kernels.iter().filter(|kernel| kernel.isa.is_available()) {
            assert_eq!(product(kernel.isa), want, "{} {store:?} {case_name}", kernel.name);
        }
    }
}
