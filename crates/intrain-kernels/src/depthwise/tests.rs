//! Every kernel against the plain loops, over channels around each vector width, and extremes.

use super::{Channel, Gradient, Multiply, gradient, multiply};
use crate::elementwise::Operation;
use crate::isa::Isa;
use crate::product::tests::noise;

/// Rows that overlap, as windows do, in two lines; the first nine steps are those of three by three taps.
fn tables(n: usize) -> (Vec<u32>, Vec<u32>, usize) {
    let at = |pixel: usize| u32::try_from(pixel * n).unwrap();
    let rows = [0, 1, 2, 3, 7, 5].map(at).to_vec();
    let steps = [0, 1, 2, 4, 5, 6, 8, 9, 10, 3, 11].into_iter().chain(12..66).map(at).collect();
    (rows, steps, (7 + 65 + 1) * n)
}

fn check<P: Channel>(
    n: usize,
    stage: impl Fn(usize) -> P::Staged,
    weight: impl Fn(usize) -> P::Weight,
    code: impl Fn(usize) -> P,
    sum: impl Fn(usize) -> P::Sum,
) {
    let (rows, all_steps, len) = tables(n);
    let a: Vec<P::Staged> = (0..len).map(stage).collect();
    let sizes = [1, 2, 3, 4, 9, 11, 25, 64, 65].map(|n_steps| (6, n_steps));
    for (n_rows, n_steps) in sizes.into_iter().chain([(0, 9), (1, 9), (2, 3), (4, 9), (5, 9)]) {
        let (rows, steps) = (&rows[..n_rows], &all_steps[..n_steps]);
        let b: Vec<P::Weight> = (0..n_steps * n).map(&weight).collect();
        let e: Vec<P> = (0..rows.len() * n).map(&code).collect();
        let init: Vec<P::Sum> = (0..n).map(&sum).collect();
        let start: Vec<P::Sum> = (0..n_steps * n).map(&sum).collect();
        let (mut expected, mut expected_gradient) = (vec![P::Sum::default(); e.len()], start.clone());
        let (a, b, init, e) = (&a[..], &b[..], &init[..], &e[..]);
        Multiply::<P> { a, rows, steps, b, init, c: &mut expected }.reference();
        Gradient::<P> { a, rows, steps, channels: n, e, g: &mut expected_gradient }.reference();
        for isa in Isa::available() {
            let mut c = vec![P::Sum::default(); e.len()];
            multiply(isa, Multiply::<P> { a, rows, steps, b, init, c: &mut c });
            assert_eq!(c, expected, "{isa:?}, {n} channels, {n_rows} rows, {n_steps} steps");
            let mut g = start.clone();
            gradient(isa, Gradient::<P> { a, rows, steps, channels: n, e, g: &mut g });
            assert_eq!(
                g, expected_gradient,
                "gradient, {isa:?}, {n} channels, {n_rows} rows, {n_steps} steps"
            );
        }
    }
}

#[test]
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "noise")]
fn kernels_equal_the_plain_loops() {
    for n in [1, 3, 8, 15, 16, 17, 40, 63, 64, 65, 100, 128, 200] {
        let byte = |i: usize| noise(i).to_le_bytes()[1].cast_signed();
        let sum = |i: usize| noise(i + 5).cast_signed() >> 4;
        let signed = |i: usize| byte(i).cast_unsigned();
        check::<i8>(n, signed, |i| byte(i + 77), |i| byte(i + 555), sum);
        check::<i8>(n, |_| 0x80, |_| i8::MIN, |_| i8::MIN, |_| 0);
        check::<i8>(n, |_| 0x7F, |_| i8::MIN, |_| i8::MIN, |_| -1);
        let word = |i: usize| (noise(i) >> 3) as i16;
        let wide = |i: usize| noise(i + 7).cast_signed() >> 8;
        check::<i16>(n, word, wide, |i| word(i + 99), |i| i64::from(noise(i)) << 20);
        check::<i16>(n, |_| i16::MIN, |_| -(1 << 23), |_| i16::MIN, |_| 0);
        let float = |i: usize| noise(i) as f32 / 1e9 - 2.0;
        check::<f32>(n, float, |i| float(i + 7), |i| float(i + 99), |i| float(i + 3));
    }
}

/// Sizes and addresses that do not fit are found before anything is read.
#[test]
fn what_does_not_fit_is_refused() {
    let (a, b, e) = ([0_u8; 20], [0_i8; 8], [0_i8; 8]);
    let refuses = |f: &(dyn Fn() + std::panic::RefUnwindSafe)| std::panic::catch_unwind(f).is_err();
    let times = |isa: Isa, rows: &[u32], steps: &[u32], n_b: usize, n_c: usize| {
        let (mut c, init) = ([0; 9], [0; 4]);
        multiply(isa, Multiply::<i8> { a: &a, rows, steps, b: &b[..n_b], init: &init, c: &mut c[..n_c] });
    };
    let sums = |isa: Isa, rows: &[u32], steps: &[u32], channels: usize, n_e: usize, n_g: usize| {
        let mut g = [0; 9];
        gradient(isa, Gradient::<i8> { a: &a, rows, steps, channels, e: &e[..n_e], g: &mut g[..n_g] });
    };
    for isa in Isa::available() {
        times(isa, &[0, 8], &[0, 8], 8, 8);
        sums(isa, &[0, 8], &[0, 8], 4, 8, 8);
        assert!(refuses(&|| times(isa, &[0, 8], &[0, 9], 8, 8)), "A is short");
        assert!(refuses(&|| times(isa, &[0, 8], &[0, 8], 7, 8)), "B is short");
        assert!(refuses(&|| times(isa, &[0, 8], &[0, 8], 8, 7)), "C is short");
        assert!(refuses(&|| times(isa, &[0, 8], &[], 0, 8)), "no step");
        assert!(refuses(&|| sums(isa, &[0, 9], &[0, 8], 4, 8, 8)), "A is short");
        assert!(refuses(&|| sums(isa, &[0, 8], &[0, 8], 4, 7, 8)), "E is short");
        assert!(refuses(&|| sums(isa, &[0, 8], &[0, 8], 4, 8, 7)), "G is short");
        assert!(refuses(&|| sums(isa, &[], &[0, 0], 1 << 63, 0, 0)), "the sizes overflow");
    }
}
