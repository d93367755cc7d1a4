//! Requantization chunk by chunk: sums to codes in one pass, then the trace.

use super::rounding::{Biased, CHUNK, Codes, Lane, Rounding, WordsOfChunk};
use super::{Args, Relu, TRACE_INDEX, TRACE_INSIDE, TRACE_RELU, Trace};
use crate::elementwise::{Integer, Operation};
use crate::isa::Isa;

impl<S: Integer, T: Integer> Operation for Args<'_, S, T> {
    type Output = ();

    fn reference(self) {
        super::reference::run(self);
    }

    #[inline(always)]
    fn vectorized(self, isa: Isa) {
        let Self { shift, round, min, max, .. } = self;
        let has_relu = matches!(self.trace, Trace::Write { relu: Relu::Yes, .. });
        // Exact: every rounding is monotone and takes 0 to 0, so a ReLU before it is a limit of 0 behind it.
        let rounding = Rounding { round, shift, min: if has_relu { 0 } else { min }, max };
        if S::BITS <= 32 && rounding.fits_32_bits() {
            chunks::<i32, S, T>(self, rounding, isa);
        } else {
            chunks::<i64, S, T>(self, rounding, isa);
        }
    }
}

#[inline(always)]
fn chunks<L: Lane, S: Integer, T: Integer>(args: Args<'_, S, T>, rounding: Rounding, isa: Isa)
where
    for<'a> Codes<'a, S, T>: Biased<L>,
{
    let Args { sums, out, mut trace, words, first_element, .. } = args;
    let inside = Inside::new::<S>(args.shift, args.min, args.max);
    let mut words = WordsOfChunk::<{ CHUNK + 4 }>::new(isa, words, rounding.round);
    let shift = rounding.shift;
    for (c, (sums, out)) in sums.chunks(CHUNK).zip(out.chunks_mut(CHUNK)).enumerate() {
        let start = c * CHUNK;
        let words = words.get(first_element + start as u64, sums.len());
        if (1..L::BITS).contains(&shift) {
            let codes = Codes { sums, out: &mut *out, words, rounding };
            L::with_bias(rounding.round, shift.unsigned_abs(), codes);
        } else {
            through_lanes(sums, out, words, rounding);
        }
        match &mut trace {
            Trace::None => {}
            Trace::Write { trace, relu } => write(&mut trace[start..][..sums.len()], sums, *relu, &inside),
            Trace::Gate { trace, mask } => gate(out, &trace[start..][..sums.len()], *mask),
        }
    }
}

/// Any shift, in lanes of 64 bits: sums to lanes, rounded in place, lanes to codes.
#[inline(always)]
fn through_lanes<S: Integer, T: Integer>(sums: &[S], out: &mut [T], words: &[u32], rounding: Rounding) {
    let mut lanes = [0_i64; CHUNK];
    let lanes = &mut lanes[..sums.len()];
    for (lane, &x) in lanes.iter_mut().zip(sums) {
        *lane = x.into();
    }
    Lane::round(lanes, words, rounding);
    for (code, lane) in out.iter_mut().zip(lanes) {
        *code = lane.into_code();
    }
}

/// Sets the two top bits of the trace from the sums.
#[inline(always)]
fn write<S: Integer>(trace: &mut [u8], sums: &[S], relu: Relu, inside: &Inside) {
    let last = S::from_i64(inside.last);
    // Exact: behind a ReLU x >= 0 >= min, and a sum below 0 is 0 there, which is inside.
    let (open, first) = match relu {
        Relu::Yes => (S::from_i64(1), S::from_i64(S::MIN)),
        Relu::No => (S::from_i64(S::MIN), S::from_i64(inside.first)),
    };
    for (t, &x) in trace.iter_mut().zip(sums) {
        let relu = if x >= open { TRACE_RELU } else { 0 };
        let inside = if (x >= first) & (x <= last) { TRACE_INSIDE } else { 0 };
        *t = (*t & TRACE_INDEX) | relu | inside;
    }
}

/// Zeroes the codes that the activation held back.
///
/// Exact: every rounding takes 0 to 0, so a mask behind it is the same as one before it.
#[inline(always)]
fn gate<T: Integer>(out: &mut [T], trace: &[u8], mask: u8) {
    for (code, t) in out.iter_mut().zip(trace) {
        *code = if t & mask == mask { *code } else { T::default() };
    }
}

/// The sums `first..=last` for which `min <= x * 2^-shift <= max`; 0 is always among them.
struct Inside {
    first: i64,
    last: i64,
}

impl Inside {
    fn new<S: Integer>(shift: i32, min: i64, max: i64) -> Self {
        // Exact: at 64 places a limit other than 0 is beyond every sum, and a sum other than 0 beyond every limit.
        let places = shift.unsigned_abs().min(64);
        let (min, max) = (i128::from(min), i128::from(max));
        let (first, last) =
            if shift < 0 { (-(-min >> places), max >> places) } else { (min << places, max << places) };
        let hold = |x: i128| i64::try_from(x.clamp(S::MIN.into(), S::MAX.into())).unwrap_or(0);
        Self { first: hold(first), last: hold(last) }
    }
}
