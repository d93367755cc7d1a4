//! Updates in float: gradient descent with momentum, or Adam; and how the result is stored, in float or quantized.
//!
//! R and SR of Li 2017 (arXiv 1706.02379, section 3) are this with a master that is binary or on a grid: the step in
//! float is subtracted from the stored value, and the difference is rounded once. No float copy is kept.

use intrain_kernels::{Isa, philox};
use intrain_num::random::{Purpose, Stream};
use intrain_num::{Format, Overflow, Quantizer};
use rayon::prelude::*;

use super::{Hyper, Method, UpdateStats};

/// Elements that one thread updates at a time.
pub(super) const CHUNK: usize = 1 << 12;

/// Shares of the moments that Adam keeps, and what is added to the root: Kingma and Ba 2015, arXiv 1412.6980.
const BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

/// What a step's updates of one tensor need.
pub(super) struct Floats {
    pub(super) isa: Isa,
    pub(super) hyper: Hyper,
    /// Learning rate.
    pub(super) rate: f64,
    /// Learning rate for a gradient that was summed over the batch.
    pub(super) rate_of_sum: f64,
    /// Steps before this one.
    pub(super) step: u64,
    /// How the tensor is stored.
    pub(super) master: Quantizer,
    /// Of the words that round it.
    pub(super) stream: Option<Stream>,
    /// Whether `drift` is measured.
    pub(super) collects_stats: bool,
    /// Whether the momentum of a quantized weight is the error of its rounding.
    pub(super) feeds_back: bool,
}

/// A stored weight as the number that it is worth.
pub(super) trait Weight: Copy + Send {
    fn value(self, master: &Quantizer) -> f32;
    fn stored(master: &Quantizer, x: f32, word: u32) -> Self;
}

impl Weight for f32 {
    fn value(self, _: &Quantizer) -> f32 {
        self
    }

    fn stored(master: &Quantizer, x: f32, _: u32) -> f32 {
        let limit = float_limit(master);
        x.clamp(-limit, limit)
    }
}

/// The largest magnitude of a weight that is stored as a float; infinite where the row states none.
fn float_limit(master: &Quantizer) -> f32 {
    match master.overflow {
        #[allow(clippy::cast_precision_loss, reason = "a limit of a weight")]
        Overflow::Clip { limit } => limit as f32,
        _ => f32::INFINITY,
    }
}

macro_rules! weights {
    ($($type:ty),*) => {$(
        impl Weight for $type {
            fn value(self, master: &Quantizer) -> f32 {
                master.value_as_float(self.into())
            }

            #[allow(clippy::cast_possible_truncation, reason = "a code of the format that the type was chosen for")]
            fn stored(master: &Quantizer, x: f32, word: u32) -> Self {
                master.code_of_float(x, word) as Self
            }
        }
    )*};
}

weights!(i8, i16, i32);

impl Floats {
    /// The words that a stored weight of a block is rounded with.
    pub(super) fn stream(master: Quantizer, seed: u64, layer: u32, step: u64) -> Option<Stream> {
        let is_random = match master.format {
            Format::Float32 => false,
            Format::Coded(coded) => coded.round.is_stochastic(),
            _ => master.round.is_stochastic(),
        };
        is_random.then(|| Stream::new(seed, Purpose::Master, layer, step))
    }

    /// One step. `moments` are the optimizer's: none, the momentum, or Adam's two.
    ///
    /// With momentum `v = momentum * v + rate * (g / batch + decay * w); w -= v`.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "hyperparameters are rounded to the float they act in"
    )]
    pub(super) fn run<W: Weight>(
        &self,
        gradient: &[f32],
        weights: &mut [W],
        [momentum, variance]: [Option<&mut Vec<f32>>; 2],
    ) -> UpdateStats {
        let (rate, decay) = (self.rate_of_sum as f32, (self.rate * self.hyper.weight_decay) as f32);
        let n = weights.len() as u64;
        let chunks = weights.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).enumerate();
        let stats: UpdateStats = match (self.hyper.method, momentum, variance) {
            (_, Some(residual), variance) if self.feeds_back && self.master.format.is_quantized() => {
                self.with_residual(gradient, weights, residual, variance)
            }
            (Method::Adam, Some(m), Some(v)) => {
                let adam = self.adam();
                let chunks = chunks.zip(m.par_chunks_mut(CHUNK)).zip(v.par_chunks_mut(CHUNK));
                chunks
                    .map(|(((i, (w, g)), m), v)| {
                        self.store(i, w, &mut [], |i, w| adam.update(g[i], w, &mut m[i], &mut v[i]))
                    })
                    .reduce(UpdateStats::default, UpdateStats::and)
            }
            (_, Some(v), _) => {
                let keep = self.hyper.momentum as f32;
                chunks
                    .zip(v.par_chunks_mut(CHUNK))
                    .map(|((i, (w, g)), v)| {
                        self.store(i, w, &mut [], |i, w| {
                            v[i] = keep * v[i] + (rate * g[i] + decay * w);
                            v[i]
                        })
                    })
                    .reduce(UpdateStats::default, UpdateStats::and)
            }
            _ => chunks
                .map(|(i, (w, g))| self.store(i, w, &mut [], |i, w| rate * g[i] + decay * w))
                .reduce(UpdateStats::default, UpdateStats::and),
        };
        UpdateStats { n, ..stats }
    }

    /// One step with error feedback: the tensor of the momentum holds what rounding took from each weight, and a gradient acts
    /// at once by all that it would give to this step and those that follow.
    #[allow(clippy::cast_possible_truncation, reason = "as above")]
    fn with_residual<W: Weight>(
        &self,
        gradient: &[f32],
        weights: &mut [W],
        residual: &mut [f32],
        variance: Option<&mut Vec<f32>>,
    ) -> UpdateStats {
        let chunks = weights.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
        let chunks = chunks.zip(residual.par_chunks_mut(CHUNK)).enumerate();
        if let Some(v) = variance {
            let adam = self.adam();
            return chunks
                .zip(v.par_chunks_mut(CHUNK))
                .map(|((i, ((w, g), e)), v)| {
                    self.store(i, w, e, |i, w| adam.update_at_once(g[i], w, &mut v[i]))
                })
                .reduce(UpdateStats::default, UpdateStats::and);
        }
        let reach = 1.0 / (1.0 - self.hyper.momentum);
        let (rate, decay) = (self.rate_of_sum * reach, self.rate * self.hyper.weight_decay * reach);
        let (rate, decay) = (rate as f32, decay as f32);
        chunks
            .map(|(i, ((w, g), e))| self.store(i, w, e, |i, w| rate * g[i] + decay * w))
            .reduce(UpdateStats::default, UpdateStats::and)
    }

    /// Subtracts the update of each weight of a chunk and stores the difference. `residual` is what rounding took from the
    /// weights so far, and is empty where that is lost.
    fn store<W: Weight>(
        &self,
        chunk: usize,
        weights: &mut [W],
        residual: &mut [f32],
        mut update: impl FnMut(usize, f32) -> f32,
    ) -> UpdateStats {
        let master = &self.master;
        if master.format == Format::Float32 {
            let limit = float_limit(master);
            let mut n_saturated = 0;
            for (i, weight) in weights.iter_mut().enumerate() {
                let w = weight.value(master);
                let next = w - update(i, w);
                *weight = W::stored(master, next, 0);
                n_saturated += u32::from(next.abs() > limit);
            }
            return UpdateStats { n_saturated: n_saturated.into(), ..UpdateStats::default() };
        }
        if let Some(coded) = master.format.coded() {
            return self.store_coded(coded, chunk, weights, update);
        }
        let mut words = [0; CHUNK];
        if let Some(Stream { key, counter_high }) = self.stream {
            // Bound: a tensor has fewer than 2^32 elements, and four of them share a block.
            #[allow(clippy::cast_possible_truncation, reason = "the number of a block")]
            let block = (chunk * CHUNK / 4) as u32;
            philox::fill(self.isa, key, counter_high, block, &mut words[..weights.len()]);
        }
        let mut stats = UpdateStats::default();
        let limits = master.limits();
        let (low, high) = (master.value_as_float(limits.0), master.value_as_float(limits.1));
        // From one stored value to the next.
        let step = if master.format == Format::Binary { 2.0 } else { master.value_as_float(1).into() };
        for (i, (weight, word)) in weights.iter_mut().zip(words).enumerate() {
            let w = weight.value(master);
            let held = residual.get(i).copied().unwrap_or(0.0);
            let update = update(i, w + held);
            let next = (w + held) - update;
            *weight = W::stored(master, next, word);
            if let Some(residual) = residual.get_mut(i) {
                // What saturation takes is gone, as from a weight that is stored as a float.
                *residual = next.clamp(low, high) - weight.value(master);
            }
            stats.n_dead += u64::from(update != 0.0 && weight.value(master) == w);
            stats.n_saturated += u64::from(next < low || next > high);
            if self.collects_stats {
                // Exact to the part: this is for the eye, and sums of integers have no order.
                #[allow(clippy::cast_possible_truncation, reason = "a cast of floats saturates")]
                let drift =
                    (f64::from(weight.value(master) - next + held) / step * f64::from(1 << 20)) as i64;
                stats.drift = stats.drift.saturating_add(drift);
                stats.n_drift += 1;
            }
        }
        stats
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "as above; steps below 2^53"
    )]
    fn adam(&self) -> Adam {
        let steps = (self.step + 1) as f64;
        // Moments start at 0: what they lack of a mean, after so many steps.
        let [c1, c2] = BETAS.map(|beta| 1.0 - libm::pow(beta, steps));
        Adam {
            betas: BETAS.map(|beta| beta as f32),
            rests: BETAS.map(|beta| (1.0 - beta) as f32),
            share: (self.rate_of_sum / self.rate) as f32,
            decay: self.hyper.weight_decay as f32,
            rate: (self.rate / c1) as f32,
            rate_at_once: self.rate as f32,
            correction: (1.0 / c2) as f32,
        }
    }
}

/// Adam's numbers of one step.
#[derive(Clone, Copy)]
struct Adam {
    betas: [f32; 2],
    rests: [f32; 2],
    /// One divided by the batch's size.
    share: f32,
    decay: f32,
    /// Learning rate, the first moment corrected.
    rate: f32,
    /// Learning rate, without a first moment.
    rate_at_once: f32,
    /// Of the second moment.
    correction: f32,
}

impl Adam {
    /// `rate * m / (sqrt(v) + epsilon)`, moments corrected.
    fn update(&self, g: f32, w: f32, m: &mut f32, v: &mut f32) -> f32 {
        let g = self.share * g + self.decay * w;
        *m = self.betas[0] * *m + self.rests[0] * g;
        *v = self.betas[1] * *v + self.rests[1] * (g * g);
        self.rate * *m / ((*v * self.correction).sqrt() + EPSILON)
    }

    /// `rate * g / (sqrt(v) + epsilon)`, the second moment corrected: what a gradient gives to all steps together, since its
    /// shares in the first moments of these steps add up to 1.
    fn update_at_once(&self, g: f32, w: f32, v: &mut f32) -> f32 {
        let g = self.share * g + self.decay * w;
        *v = self.betas[1] * *v + self.rests[1] * (g * g);
        self.rate_at_once * g / ((*v * self.correction).sqrt() + EPSILON)
    }
}

#[cfg(test)]
mod tests {
    use intrain_golden::Op;

    use super::*;

    fn floats(method: Method, master: &str) -> Floats {
        let master: Quantizer = master.parse().unwrap();
        Floats {
            isa: Isa::best(),
            hyper: Hyper { method, momentum: 0.0, weight_decay: 0.0 },
            rate: 0.1,
            rate_of_sum: 0.1,
            step: 0,
            master,
            stream: Floats::stream(master, 1, 0, 0),
            collects_stats: true,
            feeds_back: false,
        }
    }

    /// Gradients of one size whose sign turns every 3,000 steps, with noise: at a thousandth a step they take a weight from
    /// one end of the domain to the other and hold it there.
    fn gradient(step: u64) -> f32 {
        let noise = f32::from(u8::try_from(step * 7919 % 101).unwrap()) / 101.0 - 0.5;
        if (step / 3000).is_multiple_of(2) { 1.0 + noise } else { noise - 1.0 }
    }

    /// The steps at which the sign of one weight changes, of 15,000; it starts at 1.
    fn flips<W: Weight>(method: Method, master: &str, start: W, feeds_back: bool) -> Vec<u64> {
        let mut floats = floats(method, master);
        floats.hyper.momentum = 0.9;
        floats.feeds_back = feeds_back;
        let rate = if method == Method::Adam { 1e-3 } else { 1e-4 };
        (floats.rate, floats.rate_of_sum) = (rate, rate);
        let (mut w, mut m, mut v) = ([start], vec![0.0], vec![0.0]);
        let mut flips = vec![];
        for step in 0..15_000 {
            floats.step = step;
            let before = w[0].value(&floats.master) < 0.0;
            let variance = (method == Method::Adam).then_some(&mut v);
            floats.run(&[gradient(step)], &mut w, [Some(&mut m), variance]);
            if before != (w[0].value(&floats.master) < 0.0) {
                flips.push(step);
            }
        }
        flips
    }

    /// R whose rounding sees the momentum alone, and whose momentum gets what saturation took, changes no sign here.
    fn flips_without_reach() -> Vec<u64> {
        let (mut w, mut v, mut flips) = (1.0_f32, 0.0_f32, vec![]);
        for step in 0..15_000 {
            v = 0.9 * v + 1e-4 * gradient(step);
            let next = w - v;
            let stored = if next >= 0.0 { 1.0 } else { -1.0 };
            v -= (next - stored) * (0.1 / 0.9);
            if stored != w {
                flips.push(step);
            }
            w = stored;
        }
        flips
    }

    /// Whether two weights change their signs as often, and each time within so many steps of each other that a momentum of
    /// 0.9 lags by: 9 on the way, and twice as many behind a turn.
    fn flip_together(a: &[u64], b: &[u64]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 20)
    }

    #[test]
    fn with_error_feedback_signs_change_when_those_of_a_float_accumulator_do() {
        for method in [Method::Sgd, Method::Adam] {
            let accumulator = flips(method, "float32 clip<1>", 1.0_f32, false);
            assert_eq!(accumulator.len(), 5, "{accumulator:?}");
            let fed_back = flips(method, "binary nearest-away saturate", 1_i8, true);
            assert!(flip_together(&fed_back, &accumulator), "{method:?}: {fed_back:?} {accumulator:?}");
            let lost = flips(method, "binary nearest-away saturate", 1_i8, false);
            assert!(!flip_together(&lost, &accumulator), "{method:?}: {lost:?}");
            let old = flips_without_reach();
            assert!(!flip_together(&old, &accumulator), "{old:?}");
        }
    }

    /// Where no float rounds, the stored weight is what BinaryConnect reads, and weight and residual together are its
    /// accumulator, at its limits too: with a momentum of 1/2, a gradient counts twice.
    #[test]
    fn weight_and_residual_are_the_accumulator_of_binary_connect() {
        for (master, smallest) in
            [("binary nearest-away saturate", -1_i64), ("grid<0.25,4> nearest-away saturate", -4)]
        {
            let mut fed_back = floats(Method::Sgd, master);
            (fed_back.hyper.momentum, fed_back.feeds_back) = (0.5, true);
            (fed_back.rate, fed_back.rate_of_sum) = (0.125, 0.125);
            let mut connect = floats(Method::Sgd, "float32 clip<1>");
            (connect.rate, connect.rate_of_sum) = (0.25, 0.25);
            let (mut w, mut residual, mut accumulator) =
                ([1_i8], vec![0.0], [fed_back.master.value_as_float(1)]);
            let mut reached = false;
            for step in 0..5000_u64 {
                let turn = if step / 200 % 2 == 0 { 3 } else { -3 };
                let g = [f32::from(i8::try_from(step * 7919 % 13).unwrap() - 6 + turn) / 64.0];
                fed_back.run(&g, &mut w, [Some(&mut residual), None]);
                connect.run(&g, &mut accumulator, [None, None]);
                assert_eq!(
                    w[0].value(&fed_back.master) + residual[0],
                    accumulator[0],
                    "{master}, step {step}"
                );
                assert_eq!(
                    i64::from(w[0]),
                    fed_back.master.code_of_float(accumulator[0], 0),
                    "{master}, step {step}"
                );
                reached |= i64::from(w[0]) == smallest && residual[0] == 0.0;
            }
            assert!(reached, "{master}: the limit was never reached");
        }
    }

    #[test]
    fn error_feedback_is_that_of_the_golden_suite() {
        let mut n_cases = 0;
        for (_, case) in intrain_golden::load().unwrap() {
            let Op::FloatFeedback(c) = &case.op else { continue };
            let mut floats = floats(if c.adam { Method::Adam } else { Method::Sgd }, &c.quantizer);
            (floats.hyper.momentum, floats.hyper.weight_decay, floats.feeds_back) =
                (c.momentum, c.decay, true);
            (floats.rate, floats.rate_of_sum) = (c.rate, c.rate);
            let (mut w, mut residual, mut v) = ([i8::try_from(c.start).unwrap()], vec![0.0], vec![0.0]);
            let (mut payloads, mut residuals) = (vec![], vec![]);
            for (step, gradient) in (0..).zip(&c.gradients) {
                floats.step = step;
                #[allow(clippy::cast_possible_truncation, reason = "cases hold binary32 numbers")]
                let gradient = [*gradient as f32];
                floats.run(&gradient, &mut w, [Some(&mut residual), c.adam.then_some(&mut v)]);
                payloads.push(i64::from(w[0]));
                residuals.push(f64::from(residual[0]));
            }
            assert_eq!((&payloads, &residuals), (&c.payloads, &c.residuals), "{}", case.name);
            n_cases += 1;
        }
        assert!(n_cases >= 5, "{n_cases} cases");
    }

    /// A rate that falls, and a second moment that changes, leave the residual what it is: it counts in weights.
    #[test]
    fn a_residual_outlives_its_rate() {
        let mut floats = floats(Method::Adam, "binary nearest-away saturate");
        (floats.hyper.momentum, floats.feeds_back) = (0.9, true);
        let (mut w, mut residual, mut v) = ([1_i8], vec![0.0], vec![0.0]);
        floats.run(&[1.0], &mut w, [Some(&mut residual), Some(&mut v)]);
        assert!((residual[0] + 0.1).abs() < 1e-6, "{residual:?}");
        (floats.rate, floats.rate_of_sum, floats.step) = (0.001, 0.001, 1);
        floats.run(&[0.0], &mut w, [Some(&mut residual), Some(&mut v)]);
        assert!((residual[0] + 0.1).abs() < 1e-6, "{residual:?}");
    }

    /// Worked example of Li 2017: w = .5, gradient .8, rate .1, step .5.
    #[test]
    fn one_step_of_r_sr_and_binary_connect() {
        let r = floats(Method::Sgd, "grid<0.5,2> nearest-away saturate");
        let mut w = [1_i8; 1];
        assert_eq!(r.run(&[0.8], &mut w, [None, None]).n_dead, 1);
        assert_eq!(w, [1], "R stays at .5");

        let sr = floats(Method::Sgd, "grid<0.5,2> stochastic<32> saturate");
        let mut w = [1_i8; 10_000];
        sr.run(&[0.8; 10_000], &mut w, [None, None]);
        let up = w.iter().filter(|w| **w == 1).count();
        assert!(w.iter().all(|w| [0, 1].contains(w)) && up.abs_diff(8400) < 120, "{up} of 10000 stay: 8400");

        let bc = floats(Method::Sgd, "float32 clip<1>");
        let mut w = [0.5_f32];
        for want in [0.42, 0.34, 0.26, 0.18, 0.10] {
            assert_eq!(bc.run(&[0.8], &mut w, [None, None]).n_saturated, 0);
            assert!((w[0] - want).abs() < 1e-6, "{w:?} {want}");
        }
        assert_eq!(bc.run(&[-80.0], &mut w, [None, None]).n_saturated, 1, "a float is held at its limit too");
        assert_eq!(w, [1.0]);
    }

    /// A float of few bits is rounded once, by itself: half of a last digit is lost to the nearest, and kept on average by
    /// stochastic rounding.
    #[test]
    fn one_step_of_a_small_float() {
        let nearest = floats(Method::Sgd, "bfloat16");
        let mut w = [1.0_f32, 1.0, -2.0];
        let stats = nearest.run(&[-0.03, -0.1, 0.0], &mut w, [None, None]);
        assert_eq!((w, stats.n_dead, stats.n_saturated), ([1.0, 1.007_812_5, -2.0], 1, 0));
        let random = floats(Method::Sgd, "bfloat16 sr-a<16>");
        let mut w = [1.0_f32; 10_000];
        random.run(&[-0.019_531_25; 10_000], &mut w, [None, None]);
        let up = w.iter().filter(|w| **w == 1.007_812_5).count();
        assert!(up.abs_diff(2500) < 150 && w.iter().all(|w| [1.0, 1.007_812_5].contains(w)), "{up}");
        let mut w = [400.0_f32];
        let e4m3 = floats(Method::Sgd, "e4m3");
        assert_eq!((e4m3.run(&[-1e4], &mut w, [None, None]).n_saturated, w), (1, [448.0]));
    }

    /// The first step of Adam is the rate, whatever the gradient's size; the second of equal gradients too.
    #[test]
    fn adam_steps_by_its_rate() {
        let mut adam = floats(Method::Adam, "float32");
        let (mut w, mut m, mut v) = ([1.0_f32, 1.0, 1.0], vec![0.0; 3], vec![0.0; 3]);
        for step in 0..2 {
            adam.step = step;
            adam.run(&[5.0, -1e-3, 0.0], &mut w, [Some(&mut m), Some(&mut v)]);
        }
        for (w, want) in w.iter().zip([0.8, 1.2, 1.0]) {
            assert!((w - want).abs() < 1e-5, "{w} {want}");
        }
    }
}
