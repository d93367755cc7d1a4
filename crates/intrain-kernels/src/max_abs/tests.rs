//! Every kernel equals its reference, on lengths around the vectors' and on the ends of each type.

use super::{keep, narrow, run};
use crate::elementwise::Integer;
use crate::isa::Isa;
use crate::requantize::tests::noise;

fn check<S: Integer + std::fmt::Debug, T: Integer + std::fmt::Debug>() {
    for n in (0..70).chain([255, 256, 1000, 4099]) {
        let mut values: Vec<S> = noise(n, 7);
        if n > 3 {
            values[n / 2] = S::from_i64(S::MIN);
        }
        let trace: Vec<u8> = noise::<i8>(n, 8).into_iter().map(i8::cast_unsigned).collect();
        let want = run(Isa::Reference, &values);
        assert!(n <= 3 || want == S::MIN.unsigned_abs());
        for mask in [0, 0x40, 0xc0] {
            let kept = |isa| {
                let mut kept = vec![T::default(); n];
                (keep(isa, &values, &trace, mask, &mut kept), kept)
            };
            let want_kept = kept(Isa::Reference);
            for isa in Isa::available() {
                let mut narrowed = vec![T::default(); n];
                assert_eq!(narrow(isa, &values, &mut narrowed), want, "{isa:?}, {n} values");
                assert_eq!(narrowed, want_kept.1, "{isa:?}, {n} values");
                assert_eq!(run(isa, &values), want, "{isa:?}, {n} values");
                assert_eq!(kept(isa), want_kept, "{isa:?}, {n} values, mask {mask}");
            }
        }
    }
}

#[test]
fn every_kernel_equals_the_reference() {
    check::<i8, i8>();
    check::<i16, i8>();
    check::<i32, i32>();
    check::<i32, i16>();
    check::<i64, i64>();
    check::<i64, i32>();
}

#[test]
fn counts_what_has_every_bit_of_the_mask() {
    for isa in Isa::available() {
        let (values, trace) = ([-9i32, 5, i32::MIN, 40_000], [0x40, 0xc0, 0x80, 0x00]);
        let mut kept = [0i16; 4];
        assert_eq!(keep(isa, &values, &trace, 0x40, &mut kept), 9);
        assert_eq!(kept, [-9, 5, 0, -25_536], "modulo 2^16");
        assert_eq!(keep(isa, &values, &trace, 0xc0, &mut kept), 5);
        assert_eq!(keep(isa, &values, &trace, 0, &mut kept), 1 << 31);
    }
}
