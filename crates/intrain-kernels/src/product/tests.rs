//! What the tests of both products share: every kernel against the reference on one case.

use super::{Args, Packed, Run, Store};
use crate::isa::{Isa, Kernel};

/// A repeatable noise word.
pub(crate) fn noise(i: usize) -> u32 {
    let x = u32::try_from(i).unwrap().wrapping_mul(0x9E37_79B9) ^ 0x1234_5678;
    let x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
    x ^ (x >> 13)
}

/// Rows and steps that are neither equidistant nor in order, and the length of an A that they just fit in.
pub(crate) fn scattered(m: usize, n_steps: usize, lanes: usize) -> (Vec<u32>, Vec<u32>, usize) {
    let place = |i: usize| u32::try_from(i * lanes + noise(i) as usize % 7).unwrap();
    let rows: Vec<u32> = (0..m).rev().map(place).collect();
    let steps: Vec<u32> = (0..n_steps).map(place).collect();
    let end = rows.iter().max().unwrap() + steps.iter().max().unwrap();
    (rows, steps, end as usize + lanes)
}

/// Every kernel that this CPU has equals the reference in all of C but its scratch columns, stores of both kinds.
pub(crate) fn assert_kernels_match<B: Packed>(
    kernels: &[Kernel<Run<B>>],
    run: fn(Isa, Args<'_, B>),
    case: (&[B::Left], &[u32], &[u32], &B),
    old: impl Fn(usize) -> B::Sum,
    case_name: &str,
) where
    B::Sum: PartialEq + std::fmt::Debug,
{
    let (a, rows, steps, b) = case;
    let c_stride = b.n().next_multiple_of(16) + 16;
    let init: Vec<B::Sum> = (0..b.n()).map(|i| old(i + 99)).collect();
    for (store, init) in [(Store::Set, None), (Store::Add, Some(init.as_slice()))] {
        let product = |isa| {
            let mut c: Vec<B::Sum> = (0..rows.len() * c_stride).map(&old).collect();
            run(isa, Args { a, rows, steps, b, c: &mut c, c_stride, init, store });
            let beyond = b.n().next_multiple_of(16);
            for (i, &c) in c.iter().enumerate().filter(|(i, _)| i % c_stride >= beyond) {
                assert_eq!(c, old(i), "{isa:?} wrote outside its columns: {case_name}");
            }
            c.chunks(c_stride).map(|row| row[..b.n()].to_vec()).collect::<Vec<_>>()
        };
        let want = product(Isa::Reference);
        for kernel in kernels.iter().filter(|kernel| kernel.isa.is_available()) {
            assert_eq!(product(kernel.isa), want, "{} {store:?} {case_name}", kernel.name);
        }
    }
}
