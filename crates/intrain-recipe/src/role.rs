//! The roles in the order in which a training step meets them, and the record that holds a quantizer for each.
//!
//! *When* quantization happens is the role itself; its doc comment says where exactly.

use std::fmt;
use std::str::FromStr;

use intrain_num::{Format, Quantizer, RandomSource, Scale, Spread};

/// Makes the record, the roles and their spellings from one list, so that a row is said once.
macro_rules! recipe {
    (
        keys { $($(#[$doc:meta])* $key:ident: $type:ty = $default:expr,)+ }
        rows { $($(#[$row_doc:meta])* $field:ident: $role:ident = $name:literal,)+ }
    ) => {
        /// A recipe. Its rows stand in the order in which a step meets them.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Recipe {
            $($(#[$doc])* pub $key: $type,)+
            $($(#[$row_doc])* pub $field: Slot,)+
        }

        /// A role that holds a quantizer. There is one spelling of each, in text and in code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Role {
            $($(#[$row_doc])* $role,)+
        }

        impl Role {
            /// All roles, in the order of a step.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$role),+];

            /// Its row's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$role => $name,)+ }
            }
        }

        impl Recipe {
            /// The baseline's recipe with one quantizer in every row.
            pub(crate) fn of(quantizer: Quantizer) -> Self {
                Self { $($key: $default,)+ $($field: quantizer.into(),)+ }
            }

            /// The row of a role.
            #[must_use]
            pub const fn slot(&self, role: Role) -> &Slot {
                match role { $(Role::$role => &self.$field,)+ }
            }

            /// The row of a role, to change it.
            pub const fn slot_mut(&mut self, role: Role) -> &mut Slot {
                match role { $(Role::$role => &mut self.$field,)+ }
            }
        }
    };
}

recipe! {
    keys {
        /// Short name, as on the command line.
        name: String = "float32".to_owned(),
        /// Where the rows come from: paper and code.
        source: String = "the baseline: plain stochastic gradient descent in binary32".to_owned(),
        /// The loss, whose derivative starts the backward pass.
        loss: Loss = Loss::SoftmaxCrossEntropy,
        /// Whether layers may have biases at all.
        bias: Bias = Bias::Model,
        /// Where the random bits come from with which products' results are rounded (`activation.product`, `error.product`).
        random: RandomSource = RandomSource::Philox,
        /// How a norm measures how far values are from their mean.
        norm: Spread = Spread::L2,
        /// How the learning rate is represented.
        learning_rate: LearningRate = LearningRate::Float32,
        /// What becomes of the error that rounding makes in `master`.
        error_feedback: Feedback = Feedback::None,
        /// Settings of a run that says nothing else, by their names. They are read by whoever runs; nothing here knows them.
        defaults: toml::Table = toml::Table::new(),
    }
    rows {
        /// The image, as it enters the first product.
        input: Input = "input",
        /// The stored weight, when a product reads it.
        weight: Weight = "weight",
        /// The register in which a product is summed: its width is a limit that is proven when a network is built.
        accumulator: Accumulator = "accumulator",
        /// The sum with its bias, right behind a product (Gupta's one rounding per output element).
        activation_at_product: ActivationAtProduct = "activation.product",
        /// A channel's mean over the batch, in a norm.
        norm_mean: NormMean = "norm.mean",
        /// A channel's spread over the batch, in a norm.
        norm_spread: NormSpread = "norm.spread",
        /// The normalized value, before gain and offset.
        norm_value: NormValue = "norm.value",
        /// The stored gain of a norm, when it is read.
        norm_gain: NormGain = "norm.gain",
        /// The stored offset of a norm, when it is read.
        norm_offset: NormOffset = "norm.offset",
        /// The output of a block: behind pooling and ReLU, before the next product (WAGE's `Q_A`); a small float: what enters a
        /// product, as its forward pass and its gradient read it.
        activation: Activation = "activation",
        /// The derivative of the loss, before any product.
        error_at_loss: ErrorAtLoss = "error.loss",
        /// The error that has come back to an activation: behind its surrogate's mask, before ReLU's (WAGE's `Q_E`).
        error_at_activation: ErrorAtActivation = "error.activation",
        /// The error behind a norm's backward pass, in front of the product before it.
        error_at_norm: ErrorAtNorm = "error.norm",
        /// The error behind a product's backward pass, before anything else touches it; a small float: the error at a product's
        /// output, as both products of the backward pass read it.
        error_at_product: ErrorAtProduct = "error.product",
        /// The weight gradient, summed over the batch.
        gradient: Gradient = "gradient",
        /// The momentum, when it is written.
        momentum: Momentum = "momentum",
        /// What is subtracted from the stored weight.
        update: Update = "update",
        /// The stored weight, when it is written.
        master: Master = "master",
    }
}

impl Recipe {
    /// Whether some layer's weights are binary, as they are stored or as products read them.
    #[must_use]
    pub fn has_binary_weights(&self) -> bool {
        let formats = |slot: &Slot| {
            let exceptions = slot.except.iter().map(|exception| exception.quantizer.format);
            exceptions.chain([slot.base.format]).any(|format| format == Format::Binary)
        };
        formats(&self.weight) || formats(&self.master)
    }
}

impl Role {
    /// Those that only norms have.
    pub const OF_NORMS: [Self; 6] = [
        Self::NormMean,
        Self::NormSpread,
        Self::NormValue,
        Self::NormGain,
        Self::NormOffset,
        Self::ErrorAtNorm,
    ];

    /// Whether a recipe's text need not have the row: those that came later.
    #[must_use]
    pub fn may_be_left_out(self) -> bool {
        Self::OF_NORMS.contains(&self)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Recipe {
    /// The recipe as it holds from `epoch` on: exceptions that start later are left out, and the others start at 0.
    #[must_use]
    pub fn at_epoch(&self, epoch: u32) -> Self {
        let mut recipe = self.clone();
        for role in Role::ALL {
            let slot = recipe.slot_mut(role);
            slot.except.retain(|exception| exception.from_epoch <= epoch);
            slot.except.iter_mut().for_each(|exception| exception.from_epoch = 0);
        }
        recipe
    }

    /// Whether errors and gradients are floats: then products back are float products, and weights and activations may be
    /// quantized between floats.
    #[must_use]
    pub fn is_float(&self) -> bool {
        self.error_at_loss.base.format == Format::Float32
    }

    /// Whether products quantize what enters them, as the row `activation` names a small float: its exceptions then name
    /// products, and ReLUs leave floats.
    #[must_use]
    pub fn activation_enters(&self) -> bool {
        self.activation.has_coded()
    }

    /// The recipe for a network whose exceptions for [`Pattern::FIRST`] and [`Pattern::LAST`] layers have these names.
    #[must_use]
    pub fn with_ends(&self, ends: impl Fn(Role) -> [String; 2]) -> Self {
        let mut recipe = self.clone();
        for role in Role::ALL {
            let [first, last] = ends(role);
            for exception in &mut recipe.slot_mut(role).except {
                match exception.layers.0.as_str() {
                    Pattern::FIRST => exception.layers.0.clone_from(&first),
                    Pattern::LAST => exception.layers.0.clone_from(&last),
                    _ => {}
                }
            }
        }
        recipe
    }

    /// Whether the row says nothing: rows of norms may, and are then left out of a recipe's text.
    #[must_use]
    pub fn is_silent(&self, role: Role) -> bool {
        role.may_be_left_out() && *self.slot(role) == Slot::silent(self.is_float())
    }

    /// Whether weights start and are scaled as WAGE's (`weight` has a power of two per layer).
    #[must_use]
    pub fn has_layer_alpha(&self) -> bool {
        self.weight.base.scale == Scale::Alpha
    }
}

/// A quantizer, and where another one holds instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// What holds where no exception does.
    pub base: Quantizer,
    /// The last one that matches wins.
    pub except: Vec<Exception>,
}

impl Slot {
    /// A row that says nothing, in a recipe with float errors or with integer ones.
    #[must_use]
    pub fn silent(is_float: bool) -> Self {
        if is_float { Quantizer::FLOAT.into() } else { Quantizer::EXACT.into() }
    }

    /// Whether the row names a small float, somewhere.
    #[must_use]
    pub fn has_coded(&self) -> bool {
        let exceptions = self.except.iter().map(|exception| exception.quantizer);
        exceptions.chain([self.base]).any(|quantizer| quantizer.format.coded().is_some())
    }

    /// The quantizer of the norm `layer`, for which [`Pattern::NORMS`] stands too.
    #[must_use]
    pub fn of_norm(&self, layer: &str) -> Quantizer {
        let matches = |pattern: &Pattern| pattern.0 == Pattern::NORMS || pattern.matches(layer);
        let last = self.except.iter().rev().find(|e| e.from_epoch == 0 && matches(&e.layers));
        last.map_or(self.base, |e| e.quantizer)
    }

    /// The quantizer of `layer` (in a recipe that [`Recipe::at_epoch`] has settled).
    #[must_use]
    pub fn of_layer(&self, layer: &str) -> Quantizer {
        let last = self.except.iter().rev().find(|e| e.from_epoch == 0 && e.layers.matches(layer));
        last.map_or(self.base, |e| e.quantizer)
    }
}

impl From<Quantizer> for Slot {
    fn from(base: Quantizer) -> Self {
        Self { base, except: Vec::new() }
    }
}

/// Another quantizer for some layers, from some epoch on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Which layers.
    pub layers: Pattern,
    /// First epoch, counted from 0.
    pub from_epoch: u32,
    /// What holds there.
    pub quantizer: Quantizer,
}

/// A layer's name, in which each `*` stands for any run of characters; `@first` and `@last` are the ends of a network, `@norms`
/// its norms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(pub String);

impl Pattern {
    /// The first layer that has the role at all.
    pub const FIRST: &'static str = "@first";
    /// The last one.
    pub const LAST: &'static str = "@last";
    /// Every norm: its stored gains and offsets.
    pub const NORMS: &'static str = "@norms";

    /// Every layer.
    #[must_use]
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// Whether `name` is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = pieces.next_back() else { return rest.is_empty() };
        for piece in pieces {
            match rest.find(piece) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

/// The loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// `1/2 sum (y - t)^2` over classes and batch, one-hot targets; integers throughout. WAGE.
    SquaredError,
    /// Softmax and cross-entropy, summed over the batch; computed in float. Gupta 2015 and `float32`.
    SoftmaxCrossEntropy,
    /// The same in integers: exponentials by I-BERT's polynomial (arXiv 2101.01321).
    SoftmaxIExp,
    /// The same in integers with powers of two: NITI (arXiv 2009.13108).
    SoftmaxBase2,
}

/// Whether layers may have biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bias {
    /// As the model says; stored like weights.
    Model,
    /// None anywhere, whatever the model says (WAGE).
    None,
}

/// How the learning rate is represented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LearningRate {
    /// In float.
    Float32,
    /// It must be a power of two: a shift (WAGE).
    PowerOfTwo,
    /// An integer of at most 15 bits times a power of two.
    Mantissa15,
}

/// What becomes of the error that rounding makes in a stored weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Feedback {
    /// It is lost.
    #[default]
    None,
    /// The tensor of the momentum keeps it, and the next rounding counts it.
    Momentum,
}

/// Gives a closed enum its one spelling, both ways.
macro_rules! spelled {
    ($type:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!("'{text}' is not one of: {}", [$($text),+].join(", "))),
                }
            }
        }
    };
}

spelled!(Loss { SquaredError = "squared-error", SoftmaxCrossEntropy = "softmax-cross-entropy", SoftmaxIExp = "softmax-i-exp", SoftmaxBase2 = "softmax-base-2" });
spelled!(Feedback { None = "none", Momentum = "momentum" });
spelled!(Bias { Model = "model", None = "none" });
spelled!(LearningRate { Float32 = "float32", PowerOfTwo = "power-of-two", Mantissa15 = "mantissa<15>" });

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn patterns() {
        for (pattern, name, matches) in [
            ("*", "conv1", true),
            ("conv*", "conv1", true),
            ("conv*", "fc1", false),
            ("fc1", "fc1", true),
            ("fc1", "fc10", false),
            ("*1", "fc1", true),
            ("c*v*2", "conv12", true),
            ("c*v*2", "conv13", false),
            ("aa*aa", "aaa", false),
            ("a*b*b", "ab", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(Pattern(pattern.to_owned()).matches(name), matches, "{pattern} on {name}");
        }
    }
}
