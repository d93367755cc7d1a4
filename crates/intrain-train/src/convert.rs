//! Stored numbers from one format to another: exactly where the new step is finer, else to the nearest.

use intrain_nn::Stored;
use intrain_num::{Quantizer, Round};

/// Values `code * 2^-shift` of one format to the nearest of another; how many the other's range holds at a limit.
pub(crate) fn convert(
    from: &Stored,
    to: &mut Stored,
    (old, new): (Quantizer, Quantizer),
    shift: i32,
) -> usize {
    let is_exact = old.format.is_fixed_point() && new.format.is_fixed_point();
    let scale = libm::exp2(f64::from(-shift));
    let mut n_held = 0;
    for i in 0..from.len() {
        #[allow(clippy::cast_possible_truncation, reason = "a float weight is binary32")]
        let value = || match from {
            Stored::F32(values) => (f64::from(values[i]) * scale) as f32,
            codes => (f64::from(old.value_as_float(codes.code(i))) * scale) as f32,
        };
        if let Stored::F32(values) = &mut *to {
            let stored = new.format.coded().map(|coded| coded.in_evaluation());
            values[i] = stored.map_or_else(value, |coded| coded.value(value(), 0));
            continue;
        }
        if !is_exact {
            let nearest = Quantizer { round: new.round.in_evaluation(), ..new };
            let code = nearest.code_of_float(value(), 0);
            let is_limit =
                new.format.is_fixed_point() && (code == new.format.min() || code == new.format.max());
            n_held += usize::from(is_limit && value().abs() > new.value_as_float(code).abs());
            to.set_code(i, code);
            continue;
        }
        let drop = old.format.frac_bits() + shift - new.format.frac_bits();
        let code = Round::NearestEven.shift_right(from.code(i), drop, 0);
        let held = code.clamp(new.format.min(), new.format.max());
        n_held += usize::from(held != code);
        to.set_code(i, held);
    }
    n_held
}
