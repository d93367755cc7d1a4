//! Every kernel equals its reference, on lengths around the vectors' and on the ends of each type.

use super::{masked, run};
use crate::elementwise::Integer;
use crate::isa::Isa;
use crate::requantize::tests::noise;

fn check<S: Integer + std::fmt::Debug>() {
    for n in (0..70).chain([255, 256, 1000, 4099]) {
        let mut values: Vec<S> = noise(n, 7);
        if n > 3 {
            values[n / 2] = S::from_i64(S::MIN);
        }
        let trace: Vec<u8> = noise::<i8>(n, 8).into_iter().map(i8::cast_unsigned).collect();
        let want = run(Isa::Reference, &values);
        assert!(n <= 3 || want == S::MIN.unsigned_abs());
        let mut want_values = values.clone();
        let want_masked = masked(Isa::Reference, &mut want_values, &trace, 0x40);
        for isa in Isa::available() {
            assert_eq!(run(isa, &values), want, "{isa:?}, {n} values");
            let mut got = values.clone();
            assert_eq!(masked(isa, &mut got, &trace, 0x40), want_masked, "{isa:?}, {n} values");
            assert_eq!(got, want_values, "{isa:?}, {n} values");
        }
    }
}

#[test]
fn every_kernel_equals_the_reference() {
    check::<i8>();
    check::<i16>();
    check::<i32>();
    check::<i64>();
}

#[test]
fn masks_what_is_not_set() {
    for isa in Isa::available() {
        let mut values = [-9i32, 5, i32::MIN, 3];
        assert_eq!(masked(isa, &mut values, &[0x40, 0xc0, 0x80, 0x00], 0x40), 9);
        assert_eq!(values, [-9, 5, 0, 0]);
        assert_eq!(masked(isa, &mut values, &[0x40, 0xc0, 0x80, 0x00], 0x80), 5);
        assert_eq!(values, [0, 5, 0, 0]);
    }
}
