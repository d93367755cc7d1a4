//! The meaning of an update, in the plainest loop over `intrain-num`.

use intrain_num::overflow::clamp;

use super::{Args, Counts};
use crate::elementwise::Integer;
use crate::requantize::rounding::word;

pub(super) fn run<G: Integer, M: Integer>(mut args: Args<'_, G, M>) -> Counts {
    let mut counts = Counts::default();
    for i in 0..args.gradient.len() {
        let word = word(args.stream.map(Into::into), args.round, args.first_element, i);
        element(&mut args, i, word, &mut counts);
    }
    counts
}

/// Updates element `i` with its random word.
pub(super) fn element<G: Integer, M: Integer>(
    args: &mut Args<'_, G, M>,
    i: usize,
    word: u32,
    counts: &mut Counts,
) {
    let gradient: i64 = args.gradient[i].into();
    let rounded = args.round.shift_right(gradient * args.multiplier, args.shift, word);
    let update = clamp(rounded, args.update_min, args.update_max);
    let before = args.before.unwrap_or(i64::MAX);
    let next = clamp(args.master[i].into(), -before, before) - update;
    let stored = clamp(next, args.master_min, args.master_max);
    counts.dead += u64::from(gradient != 0 && update == 0);
    counts.clamped += u64::from(stored != next);
    args.master[i] = M::from_i64(stored);
}
