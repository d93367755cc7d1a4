//! The meaning of quantization, in the plainest loop over `intrain-num`.

use intrain_num::Real;
use intrain_num::overflow::clamp;

use super::{Args, NanAt};
use crate::elementwise::Integer;
use crate::requantize::rounding::word;

pub(super) fn run<T: Integer>(args: Args<'_, T>) -> Result<(), NanAt> {
    let Args { values, out, frac_bits, round, min, max, stream, first_element } = args;
    for (i, (code, &x)) in out.iter_mut().zip(values).enumerate() {
        let x = Real::from_f32(x).ok_or(NanAt(i))?;
        let word = word(stream.map(Into::into), round, first_element, i);
        *code = T::from_i64(clamp(round.shift_right(x.mantissa, -x.exponent - frac_bits, word), min, max));
    }
    Ok(())
}
