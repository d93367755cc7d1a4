//! Every kernel equals its reference, for columns around the lanes', and at the ends of each type over many rows.

use super::{ROWS, add};
use crate::elementwise::Integer;
use crate::isa::Isa;
use crate::requantize::tests::noise;

fn check<T: Integer>() {
    for n in [1, 2, 3, 8, 10, 16, 31, 32, 63, 64, 65, 100, 128, 200] {
        for n_rows in [0, 1, 2, 7, 64, 301] {
            let rows: Vec<T> = noise(n * n_rows, 3);
            let sums = |isa| {
                let mut sums: Vec<i64> = (0..).take(n).collect();
                add(isa, &rows, &mut sums);
                sums
            };
            let want = sums(Isa::Reference);
            assert!(Isa::available().into_iter().all(|isa| sums(isa) == want), "{n_rows} rows of {n}");
        }
    }
    for n in [1, 16, 64] {
        let rows = vec![T::from_i64(T::MIN); n * (2 * ROWS + 3)];
        for isa in Isa::available() {
            let mut sums = vec![0; n];
            add(isa, &rows, &mut sums);
            assert_eq!(sums, vec![T::MIN * i64::try_from(2 * ROWS + 3).unwrap(); n], "{}", isa.name());
        }
    }
}

#[test]
fn every_kernel_equals_the_reference() {
    check::<i8>();
    check::<i16>();
}
