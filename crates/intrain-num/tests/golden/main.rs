//! The golden suite against the scalar crate: every case that needs no tensor. All failing cases are reported.
//!
//! What the crate has no function for (momentum, rates, alpha) is checked against the definition in
//! `docs/arithmetic.md`, in wide integers.
#![allow(
    clippy::cast_possible_truncation,
    reason = "words and shifts are cut out of wider integers on purpose"
)]

mod blocks;

use std::fmt::Debug;

use intrain_golden as golden;
use intrain_golden::Op;
use intrain_num::overflow::clamp;
use intrain_num::random::{Lfsr, Purpose, Stream, philox4x32_10};
use intrain_num::scale::round_log2;
use intrain_num::{Columns, Format, Quantizer, Real, Round, Scale, Sum};

#[test]
fn every_scalar_case() {
    let cases = golden::load().unwrap_or_else(|error| panic!("{error}"));
    let mut failures = Vec::new();
    let mut n_checked = 0;
    for (file, case) in &cases {
        let mut report = Report::default();
        if check(&case.op, &mut report) {
            n_checked += 1;
        }
        failures.extend(report.0.iter().map(|f| format!("golden/{file}.toml, '{}': {f}", case.name)));
    }
    assert!(failures.is_empty(), "{} of {n_checked} cases fail:\n{}", failures.len(), failures.join("\n"));
    assert!(n_checked > 380, "only {n_checked} cases were checked");
}

/// Differences found in one case.
#[derive(Default)]
struct Report(Vec<String>);

impl Report {
    fn same<T: PartialEq + Debug>(&mut self, what: &str, got: &T, want: &T) {
        if got != want {
            self.0.push(format!("{what} is {got:?}, should be {want:?}"));
        }
    }
}

/// Whether the case is one for the scalar crate.
fn check(op: &Op, report: &mut Report) -> bool {
    match op {
        Op::Philox(c) => report.same("words", &philox4x32_10(c.key, c.counter), &c.words),
        Op::Stream(c) => report.same("words", &stream_words(c.stream, c.words.len()), &c.words),
        Op::Lfsr(c) => lfsr(c, report),
        Op::ArrayWords(c) => array_words(c, report),
        Op::Round(c) => {
            let round: Round = c.round.parse().unwrap();
            let got = each(&c.x, |i, x| round.shift_right(x, c.shift, word(&c.words, i)));
            report.same("rounded", &got, &c.rounded);
        }
        Op::Format(c) => format(c, report),
        Op::Quantize(c) => quantize(c, report),
        Op::Pixels(c) => pixels(c, report),
        Op::RoundLog2(c) => {
            let got: Vec<_> = c.m.iter().filter_map(|m| round_log2(*m)).collect();
            report.same("log2", &got, &c.log2);
        }
        Op::Shift(c) => {
            let got: Vec<_> = c.x.iter().filter_map(|x| Real::from_f64(*x)?.round_log2()).collect();
            report.same("log2", &got, &c.log2);
        }
        Op::Alpha(c) => c.fan_in.iter().zip(&c.alpha).for_each(|(f, a)| alpha(c.weight_bits, *f, *a, report)),
        Op::Accumulator(c) => {
            let sum = Sum::of_products(c.depth, c.a_max, c.b_max, c.held.into());
            report.same("bound", &sum.bound, &c.bound.into());
            report.same("width", &sum.width_bits(), &c.width_bits);
        }
        Op::Macc(c) => macc(c, report),
        Op::Requantize(c) => {
            let (round, words) = (c.round.parse().unwrap(), case_words(c.stream, c.sums.len()));
            let got = each(&c.sums, |i, x| station(round, x, c.shift, words[i], c.min, c.max));
            report.same("payloads", &got, &c.payloads);
        }
        Op::Activate(c) => activate(c, report),
        Op::Relu6(c) => relu6(c, report),
        Op::Error(c) => error(c, report),
        Op::SquaredError(c) => squared_error(c, report),
        Op::LearningRate(c) => learning_rate(c, report),
        Op::Update(c) => update(c, report),
        Op::Momentum(c) => momentum(c, report),
        Op::InitWage(c) => init_wage(c, report),
        Op::InitNormal(c) => init_normal(c, report),
        Op::Minifloat(c) => blocks::minifloat(c, report),
        Op::Stochastic(c) => blocks::stochastic(c, report),
        Op::Qtorch(c) => blocks::qtorch(c, report),
        Op::MxBlock(c) => blocks::mx_block(c, report),
        Op::NvBlock(c) => blocks::nv_block(c, report),
        Op::BlockDot(c) => blocks::dot(c, report),
        Op::Hadamard(c) => blocks::hadamard(c, report),
        Op::ArrayProduct(_)
        | Op::Linear(_)
        | Op::Conv(_)
        | Op::MaxPool(_)
        | Op::FloatQuantize(_)
        | Op::FloatActivation(_)
        | Op::FloatFeedback(_)
        | Op::Filter(_)
        | Op::Codebook(_)
        | Op::BinaryProduct(_)
        | Op::BatchNorm(_)
        | Op::PolynomialRate(_)
        | Op::IntegerNorm(_)
        | Op::IntegerLine(_)
        | Op::IntegerSoftmax(_)
        | Op::IExp(_)
        | Op::IntegerRoot(_)
        | Op::MarkovChain(_)
        | Op::ToyChain(_)
        | Op::ConvexBounds(_) => return false,
    }
    true
}

fn each(values: &[i64], f: impl Fn(usize, i64) -> i64) -> Vec<i64> {
    values.iter().enumerate().map(|(i, x)| f(i, *x)).collect()
}

fn word(words: &[u32], i: usize) -> u32 {
    words.get(i).copied().unwrap_or(0)
}

fn station(round: Round, x: i64, shift: i32, word: u32, min: i64, max: i64) -> i64 {
    clamp(round.shift_right(x, shift, word), min, max)
}

fn stream(at: golden::Stream) -> Stream {
    let purposes = [
        Purpose::Init,
        Purpose::Weight,
        Purpose::Activation,
        Purpose::ErrorAtLoss,
        Purpose::ErrorAtActivation,
        Purpose::ErrorAtProduct,
        Purpose::Gradient,
        Purpose::Momentum,
        Purpose::Update,
        Purpose::Master,
    ];
    let purpose = purposes.into_iter().find(|p| *p as u8 == at.purpose).unwrap();
    Stream::new(at.seed, purpose, at.layer, at.step)
}

fn stream_words(at: golden::Stream, n: usize) -> Vec<u32> {
    let stream = stream(at);
    (0..n as u64).map(|i| stream.word(at.first_element + i)).collect()
}

fn case_words(at: Option<golden::Stream>, n: usize) -> Vec<u32> {
    at.map_or_else(|| vec![0; n], |at| stream_words(at, n))
}

fn array_words(c: &golden::ArrayWords, report: &mut Report) {
    let columns = Columns { n: c.n, panel: c.panel, bits: c.bits, taps: c.taps };
    let stream = stream(c.stream);
    let seeds: Vec<u32> = columns.seeds(stream).collect();
    report.same("seeds", &seeds, &c.seeds);
    let mut words = vec![0; c.rows * c.columns];
    columns.words(stream, [c.rows, c.columns], &mut words);
    report.same("words", &words, &c.words);
}

fn lfsr(c: &golden::Lfsr, report: &mut Report) {
    let mut lfsr = Lfsr::new(c.bits, c.taps, c.state).unwrap();
    let got: Vec<u32> = c.states.iter().map(|_| lfsr.step()).collect();
    report.same("states", &got, &c.states);
    let mut lfsr = Lfsr::new(c.bits, c.taps, c.state).unwrap();
    let period = 1 + (0..).take_while(|_| lfsr.step() != c.state).count();
    report.same("period", &period, &(c.period as usize));
}

fn format(c: &golden::Format, report: &mut Report) {
    for spelling in &c.spellings {
        let format: Format = spelling.parse().unwrap();
        report.same("canonical spelling", &format.to_string(), &c.spellings[0]);
        let got = (format.bits(), format.frac_bits(), format.min(), format.max());
        report.same(spelling, &got, &(c.bits, c.frac_bits, c.min, c.max));
    }
}

fn quantize(c: &golden::Quantize, report: &mut Report) {
    let quantizer: Quantizer = c.quantizer.parse().unwrap();
    let reals: Vec<Real> = c.inputs.iter().map(|x| Real::from_f64(*x).unwrap()).collect();
    let largest =
        reals.iter().filter_map(|x| x.round_log2()).max().filter(|_| quantizer.scale == Scale::Shift);
    report.same("scale_log2", &largest.unwrap_or(0), &c.scale_log2);
    let payload = |(i, x): (usize, &Real)| quantizer.code(*x, c.scale_log2, word(&c.words, i));
    report.same("payloads", &reals.iter().enumerate().map(payload).collect::<Vec<_>>(), &c.payloads);
}

/// `q` is the nearest, or the floor, of `numerator * 2^frac_bits / denominator`: by the crate, and by inequalities.
fn pixels(c: &golden::Pixels, report: &mut Report) {
    let quantizer: Quantizer = c.quantizer.parse().unwrap();
    for (p, q) in (0i64..).zip(&c.payloads) {
        let (numerator, denominator) = match c.scaling.as_str() {
            "x/255" => (p, 255),
            "x/256" => (p, 256),
            "x/127.5-1" => (2 * p - 255, 255),
            other => panic!("no such scaling: {other}"),
        };
        let scaled = numerator << quantizer.format.frac_bits();
        let rounded = quantizer.round.ratio(scaled, denominator);
        let got = clamp(rounded, quantizer.format.min(), quantizer.format.max());
        report.same(&format!("pixel {p}"), &got, q);
        let rest = scaled - q * denominator;
        let is_held = *q == quantizer.format.max() && rest > 0 || *q == quantizer.format.min() && rest < 0;
        let is_right = match quantizer.round {
            Round::NearestEven => {
                2 * rest.abs() < denominator || (2 * rest.abs() == denominator && q % 2 == 0)
            }
            Round::NearestDown => -denominator < 2 * rest && 2 * rest <= denominator,
            Round::Floor => (0..denominator).contains(&rest),
            other => panic!("the suite has no pixels with {other}"),
        };
        report.same(&format!("pixel {p} being {q}"), &(is_held || is_right), &true);
    }
    report.same("number of pixels", &c.payloads.len(), &256);
}

/// `alpha = max(2^n, 1)` with `2^(n - 1/2) < Lmin / L0 < 2^(n + 1/2)` and `(Lmin / L0)^2 = 3 fan_in / 4^k_W`.
fn alpha(weight_bits: u32, fan_in: u64, alpha: u64, report: &mut Report) {
    let (square, alpha_square) = (6 * u128::from(fan_in), u128::from(alpha).pow(2) << (2 * weight_bits));
    let is_below = square < 4 * alpha_square;
    let is_above = square > alpha_square;
    let is_right = alpha.is_power_of_two() && is_below && (is_above || alpha == 1);
    report.same(&format!("alpha = {alpha} for fan-in {fan_in}"), &is_right, &true);
}

fn macc(c: &golden::Macc, report: &mut Report) {
    let accumulator: i64 = c.a.iter().zip(&c.b).map(|(a, b)| a * b).sum();
    report.same("accumulator", &accumulator, &c.accumulator);
    let max = i64::MAX >> (64 - c.result_bits);
    let round = Round::Stochastic { bits: c.drop_bits };
    let shift = c.drop_bits.cast_signed();
    let result =
        |random: &u32| station(round, accumulator, shift, random << (32 - c.drop_bits), -max - 1, max);
    report.same("results", &c.random.iter().map(result).collect::<Vec<_>>(), &c.results);
    // The datapath itself: add and drop.
    let dropped = |random: &u32| clamp((accumulator + i64::from(*random)) >> c.drop_bits, -max - 1, max);
    report.same("results of the datapath", &c.random.iter().map(dropped).collect::<Vec<_>>(), &c.results);
}

fn activate(c: &golden::Activate, report: &mut Report) {
    let (round, words) = (c.round.parse().unwrap(), case_words(c.stream, c.sums.len()));
    let value = |x: i64| if c.relu { x.max(0) } else { x };
    let got = each(&c.sums, |i, x| station(round, value(x), c.shift, words[i], c.min, c.max));
    report.same("payloads", &got, &c.payloads);
    let passes: Vec<u8> = c.sums.iter().map(|x| u8::from(!c.relu || *x > 0)).collect();
    report.same("passes", &passes, &c.passes);
    let inside = |x: &i64| {
        // x * 2^-shift within the limits, compared in units of the finer of the two last bits.
        let x = i128::from(value(*x)) << (-c.shift).max(0);
        let limit = |limit: i64| i128::from(limit) << c.shift.max(0);
        u8::from(limit(c.min) <= x && x <= limit(c.max))
    };
    report.same("inside", &c.sums.iter().map(inside).collect::<Vec<_>>(), &c.inside);
}

/// `min(max(x, 0), 6)` in units of the finer of the two last bits, then the format: its limit, and one rounding.
fn relu6(c: &golden::Relu6, report: &mut Report) {
    let quantizer: Quantizer = c.quantizer.parse().unwrap();
    let format = quantizer.format;
    let digits = c.sum_frac_bits.max(format.frac_bits());
    let (of_sum, of_payload) = (digits - c.sum_frac_bits, digits - format.frac_bits());
    let limit = (6i64 << digits).min(format.max() << of_payload);
    let payload = |_, x: i64| quantizer.round.shift_right((x << of_sum).clamp(0, limit), of_payload, 0);
    report.same("payloads", &each(&c.sums, payload), &c.payloads);
    let passes = |x: &i64| u8::from(0 < *x && *x << of_sum <= limit);
    report.same("passes", &c.sums.iter().map(passes).collect::<Vec<_>>(), &c.passes);
}

fn error(c: &golden::Error, report: &mut Report) {
    let quantizer: Quantizer = c.quantizer.parse().unwrap();
    let words = case_words(c.stream, c.sums.len());
    let keeps = |mask: &[u8], i: usize| mask.is_empty() || mask[i] == 1;
    let left = each(&c.sums, |i, x| if keeps(&c.inside, i) { x } else { 0 });
    let largest = left.iter().map(|x| x.unsigned_abs()).max().and_then(round_log2);
    let max_log2 = largest.filter(|_| quantizer.scale == Scale::Shift).unwrap_or(0);
    report.same("max_log2", &max_log2, &c.max_log2);
    // With @shift the sums' own point cancels.
    let point = if quantizer.scale == Scale::Shift { max_log2 } else { c.sum_frac_bits };
    let shift = point - quantizer.format.frac_bits();
    let payload = |i, x| if keeps(&c.passes, i) { quantizer.code_of_shifted(x, shift, words[i]) } else { 0 };
    report.same("payloads", &each(&left, payload), &c.payloads);
}

fn squared_error(c: &golden::SquaredError, report: &mut Report) {
    let target = |i: usize| i64::from(i % c.classes == c.labels[i / c.classes]) << c.frac_bits;
    let errors = each(&c.logits, |i, y| y - target(i));
    report.same("sum of squares", &errors.iter().map(|e| e * e).sum(), &c.sum_of_squares);
    report.same("errors", &errors, &c.errors);
}

/// The nearest `m * 2^e` with the finest `2^e` whose rounded `m` is below 2^15, written in lowest terms.
fn learning_rate(c: &golden::LearningRate, report: &mut Report) {
    for ((rate, m), e) in c.rates.iter().zip(&c.mantissas).zip(&c.exponents) {
        let Real { mantissa, exponent } = Real::from_f64(*rate).unwrap();
        let rounded = |e: i32| Round::NearestEven.shift_right(mantissa, e - exponent, 0);
        let is_finest =
            |z: &i32| rounded(e - z) == m << z && m << z < 1 << 15 && rounded(e - z - 1) >= 1 << 15;
        let is_right = (0..15).any(|z| is_finest(&z)) && (m % 2 == 1);
        report.same(&format!("{rate} being {m} * 2^{e}"), &is_right, &true);
    }
}

fn update(c: &golden::Update, report: &mut Report) {
    let round: Round = c.round.parse().unwrap();
    let words = if c.words.is_empty() { case_words(c.stream, c.gradient.len()) } else { c.words.clone() };
    let step =
        |i: usize, g: i64| station(round, g * c.multiplier, c.shift, words[i], c.update_min, c.update_max);
    let updates = each(&c.gradient, step);
    let before = |w: i64| c.clip_before.map_or(w, |limit| clamp(w, -limit, limit));
    let masters = each(&c.master, |i, w| clamp(before(w) - updates[i], c.master_min, c.master_max));
    report.same("updates", &updates, &c.updates);
    report.same("masters", &masters, &c.masters);
}

/// `Q(keep * momentum + rate * gradient + decay * master)`: exact in 128 bits, then rounded once by definition.
fn momentum(c: &golden::Momentum, report: &mut Report) {
    let quantizer: Quantizer = c.momentum_quantizer.parse().unwrap();
    let master: Quantizer = c.master_quantizer.parse().unwrap();
    let frac_bits = quantizer.format.frac_bits();
    let momentums = each(&c.momentum, |i, v| {
        let terms = [
            (c.keep, v, frac_bits),
            (c.rate, c.gradient[i], c.gradient_frac_bits),
            (c.decay, c.master[i], master.format.frac_bits()),
        ];
        // In units of 2^-80, below every term's last bit.
        let term = |(rate, x, point): (golden::Rate, i64, i32)| {
            (i128::from(rate.mantissa) * i128::from(x)) << (80 + rate.exponent - point)
        };
        let sum: i128 = terms.into_iter().map(term).sum();
        let dropped = 80 - frac_bits;
        let up = match quantizer.round {
            Round::NearestDown => (1 << (dropped - 1)) - 1,
            Round::Stochastic { bits: 32 } => i128::from(word(&c.words, i)) << (dropped - 32),
            other => panic!("the suite has no momentum with {other}"),
        };
        // Exact: the random number has zeros below its 32 bits, so a truncated fraction gives the same carry.
        let rounded = (sum + up) >> dropped;
        let by_crate = quantizer.round.shift_right_wide(sum, dropped, word(&c.words, i));
        assert_eq!(i128::from(by_crate), rounded, "{} on 128 bits of {sum}", quantizer.round);
        clamp(i64::try_from(rounded).unwrap(), quantizer.format.min(), quantizer.format.max())
    });
    let masters = each(&c.master, |i, w| master.code_of_shifted(w - momentums[i], 0, 0));
    report.same("momentums", &momentums, &c.momentums);
    report.same("masters", &masters, &c.masters);
}

fn init_wage(c: &golden::InitWage, report: &mut Report) {
    let quantizer: Quantizer = format!("unit<{}> nearest-even", c.weight_bits).parse().unwrap();
    let limit = (3.0 / f64::from(c.fan_in)).sqrt().max(1.5 / f64::from(1u32 << (c.weight_bits - 1)));
    let payload = |word: &u32| {
        let odd = 2 * i64::from(*word) + 1 - (1 << 32);
        let uniform = Real { mantissa: odd, exponent: -32 }.to_f64();
        quantizer.code(Real::from_f64(uniform * limit).unwrap(), 0, 0)
    };
    let words = stream_words(c.stream, c.payloads.len());
    report.same("payloads", &words.iter().map(payload).collect::<Vec<_>>(), &c.payloads);
}

fn init_normal(c: &golden::InitNormal, report: &mut Report) {
    let quantizer: Quantizer = c.quantizer.parse().unwrap();
    let n = c.word_sums.len();
    let first = golden::Stream { first_element: 12 * c.stream.first_element, ..c.stream };
    let sums: Vec<u64> =
        stream_words(first, 12 * n).chunks(12).map(|w| w.iter().map(|w| u64::from(*w)).sum()).collect();
    report.same("word sums", &sums, &c.word_sums);
    let payload = |sum: &u64| {
        let centred = sum.cast_signed() + 6 - (6 << 32);
        let normal = Real { mantissa: centred, exponent: -32 }.to_f64();
        let x = f64::from(c.deviation_millionths) / 1e6 * normal;
        quantizer.code(Real::from_f64(x).unwrap(), 0, 0)
    };
    report.same("payloads", &sums.iter().map(payload).collect::<Vec<_>>(), &c.payloads);
}
