//! The learning rate of each step: the schedule's of its epoch and the decay, a curve over the steps of the run, and a rise in
//! front of all.

use intrain_recipe::LearningRate;

use super::Settings;
use crate::TrainError;
use crate::rate;

/// What a polynomial schedule leaves of the rate at a step: `(1 - step / whole)^power`, 1 for a power of 0.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "steps are far below 2^53")]
pub fn polynomial(power: f64, step: u64, whole: u64) -> f64 {
    if power == 0.0 { 1.0 } else { libm::pow(1.0 - step as f64 / whole as f64, power) }
}

/// What a half cosine leaves at a step: `(1 + cos(pi * step / whole)) / 2`, as the square of a sine, which is above 0 at every
/// step of the run.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "steps are far below 2^53")]
pub fn half_cosine(step: u64, whole: u64) -> f64 {
    let left = whole.saturating_sub(step) as f64 / whole as f64;
    let sine = libm::sin(std::f64::consts::FRAC_PI_2 * left);
    sine * sine
}

impl Settings {
    /// Learning rate of a step, in epochs of so many steps.
    #[must_use]
    pub fn learning_rate_of_step(&self, step: u64, per_epoch: u64) -> f64 {
        let epoch = u32::try_from(step / per_epoch).unwrap_or(u32::MAX);
        self.at_step(self.learning_rate_at(epoch), step, per_epoch)
    }

    /// The same, of a step in an epoch with the learning rate `rate`.
    #[allow(clippy::cast_precision_loss, reason = "steps are far below 2^53")]
    fn at_step(&self, rate: f64, step: u64, per_epoch: u64) -> f64 {
        let rise = self.warmup_of(per_epoch);
        if step < rise {
            return rate * ((step + 1) as f64 / rise as f64);
        }
        let whole = (per_epoch * u64::from(self.epochs)).saturating_sub(rise).max(1);
        if self.cosine {
            return self.cosine_floor + (rate - self.cosine_floor) * half_cosine(step - rise, whole);
        }
        rate * polynomial(self.poly, step - rise, whole)
    }

    /// The smallest learning rate of an epoch whose rate is `rate`, where the rates of its steps differ. None is above `rate`,
    /// and they first rise, then fall.
    pub(crate) fn smallest_of_epoch(&self, rate: f64, epoch: u32, per_epoch: u64) -> Option<f64> {
        let differ = self.poly != 0.0 || self.cosine || self.warmup > 0 || self.warmup_steps > 0;
        let first = u64::from(epoch) * per_epoch;
        let [first, last] = [first, first + per_epoch - 1].map(|step| self.at_step(rate, step, per_epoch));
        differ.then_some(first.min(last))
    }

    /// Steps over which the learning rate rises, in epochs of so many steps.
    fn warmup_of(&self, per_epoch: u64) -> u64 {
        self.warmup_steps.max(u64::from(self.warmup).saturating_mul(per_epoch))
    }

    /// Checks that the rise ends before the run, in epochs of so many steps.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn check_warmup(&self, per_epoch: u64) -> Result<(), TrainError> {
        let (rise, whole) = (self.warmup_of(per_epoch), per_epoch * u64::from(self.epochs));
        if rise == 0 || rise < whole {
            return Ok(());
        }
        Err(TrainError::Setting(format!(
            "the learning rate would rise over {rise} steps (warmup, warmup_steps), and the run has {whole} steps in {} \
             epochs; let it rise over fewer",
            self.epochs
        )))
    }

    /// Learning rate of an epoch: without a rise and a curve over steps, that of each of its steps.
    #[must_use]
    pub fn learning_rate_at(&self, epoch: u32) -> f64 {
        (0..epoch).fold(self.base_rate(epoch), |rate, _| rate * self.decay)
    }

    /// Learning rates of all epochs, each as [`Settings::learning_rate_at`] has it.
    pub(crate) fn learning_rates(&self) -> impl Iterator<Item = f64> + '_ {
        let (mut base, mut rate) = (f64::NAN, f64::NAN);
        (0..self.epochs).map(move |epoch| {
            if self.base_rate(epoch) == base {
                rate *= self.decay;
            } else {
                (base, rate) = (self.base_rate(epoch), self.learning_rate_at(epoch));
            }
            rate
        })
    }

    /// The schedule's rate of an epoch, before any decay.
    fn base_rate(&self, epoch: u32) -> f64 {
        let scheduled = self.schedule.iter().rev().find(|(from, _)| *from <= epoch);
        scheduled.map_or(self.learning_rate, |(_, rate)| *rate)
    }

    /// Checks the numbers that make the learning rates, by themselves and against the recipe's row.
    pub(super) fn check_rates(&self, row: LearningRate) -> Result<(), TrainError> {
        let refuse = |reason: String| Err(TrainError::Setting(reason));
        if !(self.decay > 0.0 && self.decay <= 1.0) {
            return refuse(format!("decay = {} is not above 0 and at most 1", self.decay));
        }
        if !(0.0..=10.0).contains(&self.poly) {
            return refuse(format!("poly = {} is not in 0..=10", self.poly));
        }
        if let Some(pair) = self.schedule.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            return refuse(format!(
                "schedule names epoch {} before epoch {}; put its epochs in rising order, each once",
                pair[0].0, pair[1].0
            ));
        }
        for rate in self.learning_rates() {
            rate::check(row, rate)?;
        }
        self.check_curve()?;
        let curves = [
            (self.poly != 0.0, format!("poly = {}", self.poly)),
            (self.cosine, "cosine = true".to_owned()),
            (self.warmup > 0, format!("warmup = {}", self.warmup)),
            (self.warmup_steps > 0, format!("warmup_steps = {}", self.warmup_steps)),
        ];
        match curves.into_iter().find(|(is_on, _)| *is_on && row == LearningRate::PowerOfTwo) {
            None => Ok(()),
            Some((_, curve)) => refuse(format!(
                "{curve} gives learning rates that are no powers of two, which this recipe asks for; use schedule"
            )),
        }
    }

    /// Checks that a curve over steps is the only one, and that the rise is said once.
    fn check_curve(&self) -> Result<(), TrainError> {
        let refuse = |reason: String| Err(TrainError::Setting(reason));
        if self.warmup > 0 && self.warmup_steps > 0 {
            return refuse(format!(
                "warmup = {} and warmup_steps = {} both say how long the learning rate rises; leave one out",
                self.warmup, self.warmup_steps
            ));
        }
        if !self.cosine {
            return match self.cosine_floor {
                0.0 => Ok(()),
                floor => refuse(format!("cosine_floor = {floor} is there without cosine; add cosine = true")),
            };
        }
        if !(0.0..=self.learning_rate).contains(&self.cosine_floor) {
            return refuse(format!(
                "cosine_floor = {} is not in 0..={}, the learning rate at the start",
                self.cosine_floor, self.learning_rate
            ));
        }
        let others = [
            (self.poly != 0.0, "poly", "0"),
            (self.decay != 1.0, "decay", "1"),
            (!self.schedule.is_empty(), "schedule", "[]"),
        ];
        match others.into_iter().find(|(is_on, ..)| *is_on) {
            None => Ok(()),
            Some((_, key, off)) => refuse(format!(
                "cosine = true goes from learning_rate to cosine_floor by itself, and {key} would change it; write {key} = {off}, or \
                 leave cosine out"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use intrain_data::ImageShape;

    use super::*;
    use crate::Config;

    fn settings(keys: &str) -> Result<Settings, String> {
        let keys = format!("model = 'mlp'\nrecipe = 'float32'\nlearning_rate = 0.5\n{keys}").parse().unwrap();
        let shape = ImageShape { height: 28, width: 28, channels: 1 };
        Config::resolve(keys, &[], shape, 10).map(|config| config.settings).map_err(|error| error.to_string())
    }

    #[test]
    fn all_rates_are_those_of_each_epoch() {
        let settings = settings("epochs = 9\ndecay = 0.7\nschedule = [[3, 0.5], [4, 0.25]]").unwrap();
        let rates: Vec<f64> = settings.learning_rates().collect();
        assert_eq!(rates, (0..9).map(|epoch| settings.learning_rate_at(epoch)).collect::<Vec<_>>());
        assert_eq!(rates[4], (0..4).fold(0.25, |rate, _| rate * 0.7));
    }

    #[test]
    fn a_cosine_falls_from_the_rate_to_the_floor() {
        let rates = |keys: &str| {
            let settings = settings(&format!("epochs = 10\ncosine = true\n{keys}")).unwrap();
            assert_eq!((settings.schedule.len(), settings.decay, settings.poly), (0, 1.0, 0.0));
            (0..40).map(|step| settings.learning_rate_of_step(step, 4)).collect::<Vec<_>>()
        };
        for (keys, floor) in [("", 0.0), ("cosine_floor = 0.1", 0.1)] {
            let rates = rates(keys);
            for (step, rate) in (0_u8..).zip(&rates) {
                let cosine = (std::f64::consts::PI * f64::from(step) / 40.0).cos();
                let expected = floor + (0.5 - floor) * (1.0 + cosine) / 2.0;
                assert!((rate - expected).abs() < 1e-12, "step {step}: {rate}, {expected}");
            }
            assert!(rates.is_sorted_by(|a, b| a > b) && rates[39] > floor);
        }
        // Behind a rise the curve has the rest of the run.
        let rates = rates("warmup = 2");
        assert_eq!(rates[..9], [0.0625, 0.125, 0.1875, 0.25, 0.3125, 0.375, 0.4375, 0.5, 0.5]);
        assert!((rates[24] - 0.25).abs() < 1e-12 && rates[39] > 0.0);
    }

    #[test]
    fn a_rise_is_in_front_of_every_schedule() {
        let rate = |keys: &str, step| settings(keys).unwrap().learning_rate_of_step(step, 4);
        let scheduled = "epochs = 10\nschedule = [[1, 0.25]]\nwarmup_steps = 8";
        assert_eq!(
            [0, 3, 4, 7, 8, 39].map(|step| rate(scheduled, step)),
            [0.0625, 0.25, 0.15625, 0.25, 0.25, 0.25]
        );
        let poly = "epochs = 10\nschedule = []\npoly = 1\nwarmup = 5";
        assert_eq!([0, 19, 20, 30].map(|step| rate(poly, step)), [0.025, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn the_smallest_rate_of_an_epoch_is_at_one_of_its_ends() {
        let all = "epochs = 6\nschedule = []";
        for keys in [
            "poly = 2",
            "cosine = true",
            "warmup_steps = 6",
            "cosine = true\nwarmup_steps = 7\ncosine_floor = 0.3",
        ] {
            let settings = settings(&format!("{all}\n{keys}")).unwrap();
            for epoch in 0..6 {
                let of_steps =
                    (4 * epoch..4 * epoch + 4).map(|step| settings.learning_rate_of_step(step.into(), 4));
                let of_steps: Vec<f64> = of_steps.collect();
                let smallest = settings.smallest_of_epoch(settings.learning_rate_at(epoch), epoch, 4);
                assert_eq!(smallest, of_steps.iter().copied().reduce(f64::min), "{keys}");
                assert!(of_steps.iter().all(|rate| *rate <= settings.learning_rate_at(epoch)));
            }
        }
        assert_eq!(settings(all).unwrap().smallest_of_epoch(0.5, 0, 4), None);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (keys, part) in [
            ("cosine = true\npoly = 1", "write poly = 0"),
            ("cosine = true\ndecay = 0.9", "write decay = 1"),
            ("cosine = true\nschedule = [[1, 0.1]]", "write schedule = []"),
            ("cosine = true\ncosine_floor = 0.6", "not in 0..=0.5"),
            ("cosine = true\ncosine_floor = -0.1", "not in 0..=0.5"),
            ("cosine_floor = 0.1", "add cosine = true"),
            ("warmup = 1\nwarmup_steps = 3", "leave one out"),
            ("recipe = 'wage'\nlearning_rate = 8\ncosine = true", "no powers of two"),
            ("recipe = 'wage'\nlearning_rate = 8\nwarmup = 1", "no powers of two"),
            ("recipe = 'wage'\nlearning_rate = 8\nwarmup_steps = 5", "no powers of two"),
        ] {
            let keys = if keys.starts_with("recipe") {
                let shape = ImageShape { height: 28, width: 28, channels: 1 };
                Config::resolve(keys.parse().unwrap(), &[], shape, 10).unwrap_err().to_string()
            } else {
                settings(keys).unwrap_err()
            };
            assert!(keys.contains(part), "{keys}");
        }
        let long = settings("epochs = 3\nwarmup_steps = 12").unwrap();
        assert!(long.check_warmup(5).is_ok());
        assert!(long.check_warmup(4).unwrap_err().to_string().contains("over 12 steps"));
    }
}
