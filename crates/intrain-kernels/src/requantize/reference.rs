//! The meaning of requantization, in the plainest loop over `intrain-num`.

use intrain_num::overflow::clamp;

use super::rounding::word;
use super::{Args, Relu, TRACE_INDEX, TRACE_INSIDE, TRACE_RELU, Trace};
use crate::elementwise::Integer;

pub(super) fn run<S: Integer, T: Integer>(mut args: Args<'_, S, T>) {
    for i in 0..args.sums.len() {
        let sum: i64 = args.sums[i].into();
        let x = match &mut args.trace {
            Trace::Write { trace, relu } => {
                let x = if *relu == Relu::Yes { sum.max(0) } else { sum };
                let mut bits = trace[i] & TRACE_INDEX;
                if *relu == Relu::No || sum > 0 {
                    bits |= TRACE_RELU;
                }
                if is_inside(x, args.shift, args.min, args.max) {
                    bits |= TRACE_INSIDE;
                }
                trace[i] = bits;
                x
            }
            Trace::None | Trace::Gate { .. } => sum,
        };
        let word = word(args.words, args.round, args.first_element, i);
        let code = clamp(args.round.shift_right(x, args.shift, word), args.min, args.max);
        args.out[i] = match &args.trace {
            Trace::Gate { trace, mask } if trace[i] & mask != *mask => T::default(),
            _ => T::from_i64(code),
        };
    }
}

/// `min <= x * 2^-shift <= max`, exactly.
fn is_inside(x: i64, shift: i32, min: i64, max: i64) -> bool {
    // Exact: 64 places take any x or limit but 0 beyond every limit or x, so that more places change nothing.
    let places = shift.unsigned_abs().min(64);
    let (left, right) = if shift < 0 { (places, 0) } else { (0, places) };
    let x = i128::from(x) << left;
    i128::from(min) << right <= x && x <= i128::from(max) << right
}
