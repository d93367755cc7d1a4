//! The cases that `intrain-num` computes, one number at a time, and max pooling in its plainest loops.

use intrain_golden as golden;
use intrain_golden::Op;
use intrain_num::overflow::clamp;
use intrain_num::random::{Lfsr, Stream, philox4x32_10};
use intrain_num::scale::round_log2;
use intrain_num::{Format, Quantizer, Real, Round, Scale, Sum};

use super::Differences;

/// Whether the scalar crate has the operation; differences go to `found`.
pub(super) fn run(op: &Op, found: &mut Differences) -> bool {
    match op {
        Op::Philox(c) => found.same("words", &philox4x32_10(c.key, c.counter), &c.words),
        Op::Stream(c) => found.same_elements("words", &words(Some(c.stream), c.words.len()), &c.words),
        Op::Lfsr(c) => lfsr(c, found),
        Op::Round(c) => {
            let Some(round) = found.parsed::<Round>(&c.round) else { return true };
            let rounded = |(i, x): (usize, &i64)| round.shift_right(*x, c.shift, word(&c.words, i));
            found.same_elements("rounded", &each(&c.x, rounded), &c.rounded);
        }
        Op::Format(c) => format(c, found),
        Op::Quantize(c) => quantize(c, found),
        Op::RoundLog2(c) => {
            let got: Vec<_> = c.m.iter().filter_map(|m| round_log2(*m)).collect();
            found.same_elements("log2", &got, &c.log2);
        }
        Op::Shift(c) => {
            let got: Vec<_> = c.x.iter().filter_map(|x| Real::from_f64(*x)?.round_log2()).collect();
            found.same_elements("log2", &got, &c.log2);
        }
        Op::Accumulator(c) => {
            let sum = Sum::of_products(c.depth, c.a_max, c.b_max, c.held.into());
            found.same("bound", &sum.bound, &c.bound.into());
            found.same("width_bits", &sum.width_bits(), &c.width_bits);
        }
        Op::Macc(c) => macc(c, found),
        Op::Requantize(c) => requantize(c, found),
        Op::Activate(c) => activate(c, found),
        Op::Relu6(c) => relu6(c, found),
        Op::Error(c) => error(c, found),
        Op::MaxPool(c) => max_pool(c, found),
        Op::Update(c) => update(c, found),
        _ => return false,
    }
    true
}

fn each(values: &[i64], f: impl FnMut((usize, &i64)) -> i64) -> Vec<i64> {
    values.iter().enumerate().map(f).collect()
}

fn word(words: &[u32], i: usize) -> u32 {
    words.get(i).copied().unwrap_or(0)
}

/// The stream that a case names.
pub(super) fn stream(at: golden::Stream) -> Stream {
    let [low, high] = [at.seed, at.seed >> 32].map(low_word);
    let [step_low, step_high] = [at.step, at.step >> 32].map(low_word);
    Stream { key: [low, high], counter_high: [at.layer << 8 | u32::from(at.purpose), step_low, step_high] }
}

#[allow(clippy::cast_possible_truncation, reason = "the low word is what is asked for")]
const fn low_word(x: u64) -> u32 {
    x as u32
}

/// The words of `n` elements; zeros without a stream.
fn words(at: Option<golden::Stream>, n: usize) -> Vec<u32> {
    let Some(at) = at else { return vec![0; n] };
    let stream = stream(at);
    (at.first_element..).take(n).map(|element| stream.word(element)).collect()
}

fn lfsr(c: &golden::Lfsr, found: &mut Differences) {
    let Some(start) = Lfsr::new(c.bits, c.taps, c.state) else {
        return found.same("register", &"refused", &"accepted");
    };
    let mut lfsr = start;
    let states: Vec<u32> = c.states.iter().map(|_| lfsr.step()).collect();
    found.same_elements("states", &states, &c.states);
    let mut lfsr = start;
    // Bound: a register whose first state never comes back would run for ever, so one step beyond is enough.
    let period = (1..=c.period).find(|_| lfsr.step() == start.state());
    found.same("period", &period, &Some(c.period));
}

fn format(c: &golden::Format, found: &mut Differences) {
    for spelling in &c.spellings {
        let Some(format) = found.parsed::<Format>(spelling) else { continue };
        found.same("canonical spelling", &format.to_string(), &c.spellings[0]);
        let got = (format.bits(), format.frac_bits(), format.min(), format.max());
        found.same(spelling, &got, &(c.bits, c.frac_bits, c.min, c.max));
    }
}

fn quantize(c: &golden::Quantize, found: &mut Differences) {
    let Some(quantizer) = found.parsed::<Quantizer>(&c.quantizer) else { return };
    let reals: Vec<Real> = c.inputs.iter().filter_map(|x| Real::from_f64(*x)).collect();
    let largest =
        reals.iter().filter_map(|x| x.round_log2()).max().filter(|_| quantizer.scale == Scale::Shift);
    found.same("scale_log2", &largest.unwrap_or(0), &c.scale_log2);
    let payload = |(i, x): (usize, &Real)| quantizer.code(*x, c.scale_log2, word(&c.words, i));
    found.same_elements("payloads", &reals.iter().enumerate().map(payload).collect::<Vec<_>>(), &c.payloads);
}

/// The datapath itself: multiply, add up, add the random number, drop, saturate.
fn macc(c: &golden::Macc, found: &mut Differences) {
    let accumulator: i64 = c.a.iter().zip(&c.b).map(|(a, b)| a * b).sum();
    found.same("accumulator", &accumulator, &c.accumulator);
    let max = i64::MAX >> (64 - c.result_bits);
    let round = Round::Stochastic { bits: c.drop_bits };
    let result = |random: &u32| {
        let rounded = round.shift_right(accumulator, c.drop_bits.cast_signed(), random << (32 - c.drop_bits));
        clamp(rounded, -max - 1, max)
    };
    found.same_elements("results", &c.random.iter().map(result).collect::<Vec<_>>(), &c.results);
}

fn requantize(c: &golden::Requantize, found: &mut Differences) {
    let Some(round) = found.parsed::<Round>(&c.round) else { return };
    let words = words(c.stream, c.sums.len());
    let payload = |(i, x): (usize, &i64)| clamp(round.shift_right(*x, c.shift, words[i]), c.min, c.max);
    found.same_elements("payloads", &each(&c.sums, payload), &c.payloads);
}

fn activate(c: &golden::Activate, found: &mut Differences) {
    let Some(round) = found.parsed::<Round>(&c.round) else { return };
    let words = words(c.stream, c.sums.len());
    let values = each(&c.sums, |(_, x)| if c.relu { (*x).max(0) } else { *x });
    let payload = |(i, x): (usize, &i64)| clamp(round.shift_right(*x, c.shift, words[i]), c.min, c.max);
    found.same_elements("payloads", &each(&values, payload), &c.payloads);
    let passes: Vec<u8> = c.sums.iter().map(|x| u8::from(!c.relu || *x > 0)).collect();
    found.same_elements("passes", &passes, &c.passes);
    let inside = |x: &i64| {
        // Exact: x * 2^-shift and the limits, compared in units of the finer of their last bits.
        let x = i128::from(*x) << (-c.shift).max(0);
        u8::from(i128::from(c.min) << c.shift.max(0) <= x && x <= i128::from(c.max) << c.shift.max(0))
    };
    found.same_elements("inside", &values.iter().map(inside).collect::<Vec<_>>(), &c.inside);
}

/// The limit is 6 or that of the format, and whatever lies beyond it lets no error pass.
fn relu6(c: &golden::Relu6, found: &mut Differences) {
    let Some(quantizer) = found.parsed::<Quantizer>(&c.quantizer) else { return };
    let (shift, max) = relu6_limit(&quantizer, c.sum_frac_bits);
    let payload = |(_, x): (usize, &i64)| clamp(quantizer.round.shift_right((*x).max(0), shift, 0), 0, max);
    found.same_elements("payloads", &each(&c.sums, payload), &c.payloads);
    let passes = |x: &i64| {
        let x = i128::from(*x) << (-shift).max(0);
        u8::from(0 < x && x <= i128::from(max) << shift.max(0))
    };
    found.same_elements("passes", &c.sums.iter().map(passes).collect::<Vec<_>>(), &c.passes);
}

/// The bits that ReLU6 drops from a sum, and its largest payload.
pub(super) fn relu6_limit(quantizer: &Quantizer, sum_frac_bits: i32) -> (i32, i64) {
    let format = quantizer.format;
    (sum_frac_bits - format.frac_bits(), format.max().min(6 << format.frac_bits()))
}

fn error(c: &golden::Error, found: &mut Differences) {
    let Some(quantizer) = found.parsed::<Quantizer>(&c.quantizer) else { return };
    let words = words(c.stream, c.sums.len());
    let keeps = |mask: &[u8], i: usize| mask.get(i).is_none_or(|bit| *bit == 1);
    let left = each(&c.sums, |(i, x)| if keeps(&c.inside, i) { *x } else { 0 });
    let is_shift = quantizer.scale == Scale::Shift;
    let largest = left.iter().map(|x| x.unsigned_abs()).max().and_then(round_log2).filter(|_| is_shift);
    found.same("max_log2", &largest.unwrap_or(0), &c.max_log2);
    // With @shift the sums' own point cancels.
    let point = if is_shift { c.max_log2 } else { c.sum_frac_bits };
    let shift = point - quantizer.format.frac_bits();
    let payload = |(i, x): (usize, &i64)| {
        if keeps(&c.passes, i) { quantizer.code_of_shifted(*x, shift, words[i]) } else { 0 }
    };
    found.same_elements("payloads", &each(&left, payload), &c.payloads);
}

/// The first maximum of a window in row-major order wins; the error is added where the maximum was.
fn max_pool(c: &golden::MaxPool, found: &mut Differences) {
    let outputs = |extent: usize| (extent - c.size) / c.stride + 1;
    let (h_out, w_out) = (outputs(c.h), outputs(c.w));
    let (mut output, mut index, mut error_in) = (vec![], vec![], vec![0i64; c.input.len()]);
    for i in 0..h_out * w_out * c.c {
        let (y, x, channel) = (i / c.c / w_out * c.stride, i / c.c % w_out * c.stride, i % c.c);
        let at = |place: usize| ((y + place / c.size) * c.w + x + place % c.size) * c.c + channel;
        let places = 0..c.size * c.size;
        let first_largest =
            places.reduce(|best, place| if c.input[at(place)] > c.input[at(best)] { place } else { best });
        let place = first_largest.unwrap_or(0);
        output.push(c.input[at(place)]);
        index.push(u8::try_from(place).unwrap_or(u8::MAX));
        error_in[at(place)] += c.error[i];
    }
    error_in.iter_mut().for_each(|e| *e = clamp(*e, c.min, c.max));
    found.same_elements("output", &output, &c.output);
    found.same_elements("index", &index, &c.index);
    found.same_elements("error_in", &error_in, &c.error_in);
}

fn update(c: &golden::Update, found: &mut Differences) {
    let Some(round) = found.parsed::<Round>(&c.round) else { return };
    let words = if c.words.is_empty() { words(c.stream, c.gradient.len()) } else { c.words.clone() };
    let update = |(i, g): (usize, &i64)| {
        clamp(round.shift_right(g * c.multiplier, c.shift, words[i]), c.update_min, c.update_max)
    };
    let updates = each(&c.gradient, update);
    found.same_elements("updates", &updates, &c.updates);
    let before = |w: i64| c.clip_before.map_or(w, |limit| clamp(w, -limit, limit));
    let masters = each(&c.master, |(i, w)| clamp(before(*w) - updates[i], c.master_min, c.master_max));
    found.same_elements("masters", &masters, &c.masters);
}
