//! The operations between floats: section 1.6 of `docs/arithmetic.md`.

use serde::{Deserialize, Serialize};

operations! {
    /// Binary32 numbers to payloads, and what those are worth.
    FloatQuantize {
        /// Line of the quantizer.
        quantizer: String,
        /// Numbers that are rounded to binary32 first.
        inputs: Vec<f64>,
        /// A random word per element; empty where the rounding uses none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        words: Vec<u32>,
        /// Payloads.
        payloads: Vec<i64>,
        /// Their values, rounded to binary32.
        values: Vec<f64>,
    }
    /// An activation between floats, and its backward pass.
    FloatActivation {
        /// Line of the quantizer.
        quantizer: String,
        /// What enters, rounded to binary32 first.
        inputs: Vec<f64>,
        /// The errors behind it.
        errors: Vec<f64>,
        /// What leaves.
        outputs: Vec<f64>,
        /// The errors in front of it.
        errors_in: Vec<f64>,
    }
    /// One weight under error feedback, step after step.
    FloatFeedback {
        /// Line of the row `master`.
        quantizer: String,
        /// Whether the optimizer is Adam; else it is descent with momentum.
        adam: bool,
        /// The rate.
        rate: f64,
        /// Share of the momentum that is kept; Adam has its own.
        momentum: f64,
        /// Share of the weight that is added to its gradient; 0 where the file does not say it.
        #[serde(default)]
        decay: f64,
        /// The first payload.
        start: i64,
        /// A gradient per step, binary32.
        gradients: Vec<f64>,
        /// The payload behind each step.
        payloads: Vec<i64>,
        /// What rounding has taken from the weight, behind each step.
        residuals: Vec<f64>,
    }
    /// The scale of each filter's binary weights.
    Filter {
        /// Filters; they are the last dimension.
        filters: usize,
        /// `[.., filters]`.
        weights: Vec<f64>,
        /// Mean magnitude of each filter.
        means: Vec<f64>,
        /// `[.., filters]`: -1 or 1.
        signs: Vec<i64>,
    }
    /// Levels with the least squared error for the positive half of a normal distribution.
    Codebook {
        /// `uniform` or `free`.
        kind: String,
        /// The levels of a codebook of 1, of 2 and so on, to four digits.
        levels: Vec<Vec<String>>,
    }
    /// Codes times binary weights: an integer sum, then the codes' step and the filter's scale.
    BinaryProduct {
        /// Levels in equal steps.
        quantizer: String,
        /// Codes that enter.
        codes: Vec<i64>,
        /// Filters; they are the last dimension.
        filters: usize,
        /// `[codes, filters]`.
        weights: Vec<f64>,
        /// A sum of each filter.
        sums: Vec<i64>,
        /// What they are worth, as text.
        values: Vec<String>,
    }
    /// Batch normalization without gain and offset.
    BatchNorm {
        /// `[pixels, channels]`.
        inputs: Vec<f64>,
        /// Channels.
        channels: usize,
        /// Of each channel, as text.
        means: Vec<String>,
        /// Unbiased variance of each channel, that of evaluation, as text.
        variances: Vec<String>,
        /// `[pixels, channels]`, as text.
        outputs: Vec<String>,
    }
    /// The learning rate of a step under a polynomial schedule.
    PolynomialRate {
        /// At the start.
        rate: f64,
        /// Power of the share that is left.
        power: f64,
        /// Epochs of the run.
        epochs: u32,
        /// Steps of an epoch.
        per_epoch: u64,
        /// Numbers of steps.
        steps: Vec<u64>,
        /// The rate of each.
        rates: Vec<f64>,
    }
    /// A Markov chain, and the same chain that rests at every other step.
    MarkovChain {
        /// Probabilities from each state to each state.
        transitions: Vec<Vec<f64>>,
        /// Where both end, as text.
        stationary: Vec<String>,
    }
    /// Stochastic rounding on the toy problem, as a chain.
    ToyChain {
        /// Deviation of the slopes' noise.
        noise: f64,
        /// The stationary distribution as the rate falls, as text.
        limit: Vec<String>,
        /// Learning rates.
        rates: Vec<f64>,
        /// Spectral gap at each, as text.
        gaps: Vec<String>,
        /// Total variation from the limit at each, as text.
        distances: Vec<String>,
        /// Probability of the two states around the best one at each, as text.
        at_best: Vec<String>,
    }
    /// What theorems allow on a convex problem.
    ConvexBounds {
        /// Dimensions.
        d: f64,
        /// Bound of the slopes.
        g: f64,
        /// Curvature.
        mu: f64,
        /// Steps.
        t: f64,
        /// Diameter of the domain.
        diameter: f64,
        /// Lipschitz constant of the Hessian.
        l2: f64,
        /// Distances of two weights.
        deltas: Vec<f64>,
        /// Stochastic rounding at each, as text.
        stochastic: Vec<String>,
        /// BinaryConnect at each, as text.
        binary_connect: Vec<String>,
    }
}
