//! Guard rails: what the rows say about each other, found before anything runs.

use intrain_num::columns::Fault;
use intrain_num::{Format, Overflow, Quantizer, RandomSource, Round, Scale, Surrogate};

use crate::RecipeError;
use crate::role::{Feedback, LearningRate, Recipe, Role, Slot};

mod coded;

/// Something that is allowed and will probably disappoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The row, or the key.
    pub row: &'static str,
    /// What will happen, and the remedy.
    pub message: String,
}

impl Recipe {
    /// Checks the rows against each other and gives what is allowed but doubtful.
    ///
    /// # Errors
    /// [`RecipeError::Check`] for the first combination that cannot work.
    pub fn check(&self) -> Result<Vec<Warning>, RecipeError> {
        coded::check(self)?;
        self.float_roles_agree()?;
        for role in Role::ALL {
            for quantizer in quantizers(self.slot(role)) {
                check_width(role, quantizer.format)?;
                check_scale(role, quantizer.scale, quantizer.format)?;
                check_overflow(role, quantizer.overflow)?;
                check_surrogate(role, quantizer)?;
            }
        }
        if self.error_feedback != Feedback::None && self.master.except.iter().any(|e| e.from_epoch > 0) {
            return Err(refuse(
                "error_feedback",
                "the momentum holds what rounding takes from weights of one format, so row 'master' cannot change at an epoch \
                 (from_epoch); write \"none\", or leave the exception out",
            ));
        }
        if !self.is_float() {
            if quantizers(&self.input).any(|input| !input.format.is_quantized()) {
                return Err(refuse(
                    "input",
                    "a pixel is no integer by itself, so 'exact' cannot stand here; give it a format, for example \
                     'unit<8> nearest-even saturate'",
                ));
            }
            self.alpha_cancels()?;
            self.gradient_is_wider_than_weight()?;
            if self.error_feedback != Feedback::None {
                return Err(refuse(
                    "error_feedback",
                    "an integer momentum cannot hold the error; write \"none\"",
                ));
            }
            if self.learning_rate == LearningRate::Float32 {
                return Err(refuse(
                    "learning_rate",
                    "float32 cannot drive an integer update; use power-of-two or mantissa<15>",
                ));
            }
        }
        Ok(self.warnings())
    }

    /// Integer recipes are fixed point in every role. In a recipe with float errors, weights may be binary or on a grid and
    /// activations levels or signs; what is in between stays in float.
    fn float_roles_agree(&self) -> Result<(), RecipeError> {
        let float = self.is_float();
        for role in Role::ALL {
            for quantizer in quantizers(self.slot(role)) {
                let format = quantizer.format;
                let fits = match (float, role) {
                    (false, _) => format == Format::Exact || format.is_fixed_point(),
                    (true, Role::Weight) => !format.is_fixed_point() && !matches!(format, Format::Levels(_)),
                    // The rows that may have small floats have been looked at before.
                    (true, _) if format.coded().is_some() => true,
                    (true, Role::Master) => {
                        matches!(format, Format::Float32 | Format::Binary | Format::Grid(_))
                    }
                    (true, Role::Activation) => {
                        matches!(format, Format::Float32 | Format::Levels(_) | Format::Binary)
                    }
                    (true, _) => format == Format::Float32,
                };
                if fits {
                    continue;
                }
                let remedy = if float {
                    "weight and master may be binary or grid<DELTA,N>, activation binary or levels<...>, and weight, \
                     activation, error.product, gradient and master small floats; all else is float32"
                } else {
                    "a recipe with integer errors is fixed point in every role; write 'exact' where nothing is done"
                };
                let reason = format!(
                    "'{quantizer}' cannot stand beside error.loss '{}': {remedy}",
                    self.error_at_loss.base
                );
                return Err(RecipeError::Check { role: role.name(), reason });
            }
        }
        Ok(())
    }

    fn gradient_is_wider_than_weight(&self) -> Result<(), RecipeError> {
        for weight in quantizers(&self.weight).filter(|w| w.format.is_quantized()) {
            // In front of a momentum a gradient is no update yet.
            let is_update = !self.momentum.base.format.is_quantized();
            let gradient = is_update.then_some((Role::Gradient, &self.gradient));
            for (role, slot) in gradient.into_iter().chain([(Role::Master, &self.master)]) {
                for wide in quantizers(slot).filter(|q| q.format.is_quantized()) {
                    if wide.format.frac_bits() <= weight.format.frac_bits() {
                        let reason = format!(
                            "{} has no finer step than weight {}: an update could not be stored (k_G must exceed \
                             k_W); give {role} more bits",
                            wide.format, weight.format
                        );
                        return Err(RecipeError::Check { role: role.name(), reason });
                    }
                }
            }
        }
        for master in quantizers(&self.master) {
            if !master.format.is_quantized() {
                return Err(refuse(
                    "master",
                    "the stored weight needs a format, for example 'fixed<2,14> nearest-down saturate'",
                ));
            }
        }
        Ok(())
    }

    /// A layer's alpha is in the exponent of the errors and gradients behind its product: formats that count no exponent cannot
    /// hold them.
    fn alpha_cancels(&self) -> Result<(), RecipeError> {
        if quantizers(&self.weight).all(|weight| weight.scale != Scale::Alpha) {
            return Ok(());
        }
        let is_relative = |q: Quantizer| q.format.is_quantized() && q.scale == Scale::Shift;
        let relative = |q: Quantizer| is_relative(q) || q.scale == Scale::Dynamic;
        let absolute = |q: Quantizer| !q.format.is_quantized() || q.scale == Scale::Bound;
        let fits = [
            (Role::ErrorAtActivation, quantizers(&self.error_at_activation).all(relative)),
            (Role::ErrorAtProduct, quantizers(&self.error_at_product).all(absolute)),
            (Role::Gradient, quantizers(&self.gradient).all(is_relative)),
        ];
        for (role, fits) in fits {
            if !fits {
                return Err(refuse(
                    role.name(),
                    "a weight @alpha needs errors and gradients whose power of two is forgotten or kept: write \
                     error.activation with @shift or @dynamic, gradient with @shift and error.product as exact, or leave \
                     @alpha out",
                ));
            }
        }
        Ok(())
    }

    fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (role, slot) in [(Role::Update, &self.update), (Role::Gradient, &self.gradient)] {
            for quantizer in quantizers(slot) {
                let nearest =
                    matches!(quantizer.round, Round::NearestEven | Round::NearestDown | Round::NearestAway);
                if quantizer.format.is_quantized() && nearest {
                    let message = format!(
                        "nearest rounding turns every update below 2^{} to nothing; if learning stalls, use stochastic \
                         rounding or more fractional bits",
                        -quantizer.format.frac_bits() - 1
                    );
                    warnings.push(Warning { row: role.name(), message });
                }
            }
        }
        // What is fed back is not lost.
        let loses = self.is_float() && self.error_feedback == Feedback::None;
        for master in quantizers(&self.master).filter(|_| loses) {
            let half = match (master.format, master.round.is_stochastic()) {
                (Format::Binary, false) => "1",
                (Format::Grid(_), false) => "half of its step",
                _ => continue,
            };
            let message = format!(
                "'{master}' rounds the stored weight to the nearest, so an update below {half} never changes it; if \
                 learning stalls, use stochastic rounding, or keep the weight in float32 and quantize it when it is read"
            );
            warnings.push(Warning { row: Role::Master.name(), message });
        }
        warnings.extend(coded::warnings(self));
        if let RandomSource::Columns(columns) = self.random {
            let warning = |fault: Fault| Warning { row: "random", message: fault.to_string() };
            warnings.extend(columns.fault().map(warning));
        }
        warnings
    }
}

fn quantizers(slot: &Slot) -> impl Iterator<Item = Quantizer> {
    std::iter::once(slot.base).chain(slot.except.iter().map(|e| e.quantizer))
}

fn check_width(role: Role, format: Format) -> Result<(), RecipeError> {
    // Bound: 16-bit activations and errors and 24-bit weights are what the exact products can take.
    let max = match role {
        Role::Accumulator => return Ok(()),
        Role::Weight | Role::Master | Role::Momentum | Role::Update | Role::Gradient => 24,
        Role::NormMean | Role::NormSpread => 24,
        _ => 16,
    };
    if format.is_quantized() && format.bits() > max {
        let reason =
            format!("{format} has {} bits; the exact products take at most {max} here", format.bits());
        return Err(RecipeError::Check { role: role.name(), reason });
    }
    Ok(())
}

fn check_overflow(role: Role, overflow: Overflow) -> Result<(), RecipeError> {
    let (allowed, remedy) = match overflow {
        Overflow::Saturate => (true, ""),
        Overflow::Wrap => (
            role == Role::Accumulator,
            "it belongs to accumulator alone, whose final sums provably fit; write saturate",
        ),
        Overflow::Clip { .. } => (
            matches!(role, Role::Input | Role::Weight | Role::ErrorAtLoss | Role::Master),
            "it belongs to input, weight, error.loss and master; write saturate and state the range by the format",
        ),
        Overflow::ClipBefore { .. } => (
            role == Role::Master,
            "it belongs to master, which an update changes; write saturate or clip<LIMIT>",
        ),
    };
    if allowed {
        return Ok(());
    }
    Err(RecipeError::Check {
        role: role.name(),
        reason: format!("'{overflow}' has no meaning here: {remedy}"),
    })
}

fn check_scale(role: Role, scale: Scale, format: Format) -> Result<(), RecipeError> {
    if scale == Scale::Alpha && !matches!(format, Format::Unit { .. }) {
        let reason = format!("{format}@alpha has no meaning: alpha is that of unit<k>; write unit<k>@alpha");
        return Err(RecipeError::Check { role: role.name(), reason });
    }
    let allowed = match scale {
        Scale::One => true,
        Scale::Alpha => role == Role::Weight,
        Scale::Filter => role == Role::Weight && format == Format::Binary,
        Scale::Fan => matches!(role, Role::Weight | Role::Master) && format.is_fixed_point(),
        Scale::Shift => {
            matches!(role, Role::ErrorAtLoss | Role::ErrorAtActivation | Role::ErrorAtNorm | Role::Gradient)
        }
        Scale::Dynamic => matches!(
            role,
            Role::ActivationAtProduct | Role::ErrorAtLoss | Role::ErrorAtActivation | Role::ErrorAtNorm
        ),
        Scale::Bound => role == Role::ErrorAtProduct,
    };
    if allowed {
        return Ok(());
    }
    let reason = format!(
        "the scale {scale} has no meaning here: @alpha, @fan and binary@filter belong to weight (@fan to master too), @shift to error.loss, \
         error.activation, error.norm and gradient, whose powers of two may be forgotten, @dynamic to \
         activation.product, error.loss, error.activation and error.norm, @bound to error.product"
    );
    Err(RecipeError::Check { role: role.name(), reason })
}

fn check_surrogate(role: Role, quantizer: Quantizer) -> Result<(), RecipeError> {
    let fits = match quantizer.surrogate {
        Surrogate::StraightThrough => true,
        Surrogate::Clipped => role == Role::Activation || role == Role::ActivationAtProduct,
        Surrogate::LogTailed => role == Role::Activation && matches!(quantizer.format, Format::Levels(_)),
    };
    if fits {
        return Ok(());
    }
    let reason = format!(
        "'{quantizer}' has a backward pass that has no meaning here: 'clipped' belongs to activation, 'log-tailed' to an \
         activation of levels<...>"
    );
    Err(RecipeError::Check { role: role.name(), reason })
}

fn refuse(role: &'static str, reason: &str) -> RecipeError {
    RecipeError::Check { role, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use crate::{Role, preset};

    #[test]
    fn presets_pass() {
        for spec in [
            "wage",
            "wage:2-8-12-12",
            "wage:3-6-8-4",
            "gupta",
            "gupta:Q4.16",
            "float32",
            "intrain-int8",
            "niti",
            "wageubn",
            "wage-l1bn",
            "wage-rangebn",
        ] {
            assert_eq!(preset(spec).unwrap().check(), Ok(Vec::new()), "{spec}");
        }
        assert_eq!(preset("gupta:nearest").unwrap().check().unwrap().len(), 1);
    }

    /// The residual is in units of one format: a change of it would take one for the other.
    #[test]
    fn stored_weights_that_feed_back_keep_their_format() {
        let mut recipe = preset("li-ef").unwrap();
        let from_epoch = |from_epoch| crate::Exception {
            layers: crate::Pattern("conv*".into()),
            from_epoch,
            quantizer: "grid<0.5,8> nearest-away saturate".parse().unwrap(),
        };
        recipe.master.except.push(from_epoch(0));
        assert!(recipe.check().is_ok());
        recipe.master.except.push(from_epoch(5));
        let message = recipe.check().unwrap_err().to_string();
        assert!(
            message.contains("error_feedback") && message.contains("leave the exception out"),
            "{message}"
        );
        recipe.error_feedback = crate::role::Feedback::None;
        assert!(recipe.check().is_ok());
    }

    /// A row, or a key, that will probably disappoint, is named with its remedy; what cures it says nothing.
    #[test]
    fn doubtful_rows_and_keys_are_named() {
        let warnings = |spec: &str, random: &str| {
            let mut recipe = preset(spec).unwrap();
            recipe.random = random.parse().unwrap();
            let warnings = recipe.check().unwrap();
            warnings.iter().map(|warning| format!("{}: {}", warning.row, warning.message)).collect::<Vec<_>>()
        };
        assert!(warnings("li-r", "philox")[0].starts_with("master: 'binary nearest-away saturate' rounds"));
        assert_eq!(warnings("li-ef", "philox"), [""; 0]);
        let found = warnings("gupta:array", "array<16,1> lfsr<4,0x3>");
        assert!(
            found.len() == 1 && found[0].starts_with("random: 16 columns draw from a register of 4 bits"),
            "{found:?}"
        );
        let found = warnings("gupta:array", "array<2,1> lfsr<16,0x1>");
        assert!(found.len() == 1 && found[0].contains("use taps of maximal period"), "{found:?}");
        assert_eq!(warnings("gupta:array", "array<28,4> lfsr<16,0x2d>"), [""; 0]);
    }

    #[test]
    fn impossible_rows_are_named() {
        for (role, row, part) in [
            (Role::Master, "unit<2> nearest-even", "k_G must exceed"),
            (Role::Gradient, "unit<2>@shift stochastic", "k_G must exceed"),
            (Role::Activation, "float32", "fixed point in every role"),
            (Role::Activation, "levels<0.5,1> clipped", "fixed point in every role"),
            (Role::Weight, "binary@filter nearest-away", "fixed point in every role"),
            (Role::Activation, "unit<17> nearest-even", "at most 16"),
            (Role::Input, "unit<8>@shift nearest-even", "no meaning here"),
            (Role::Master, "exact", "needs a format"),
            (Role::Weight, "fixed<2,4>@alpha nearest-even", "write unit<k>@alpha"),
            (Role::Activation, "unit<8> nearest-even clip<64>", "'clip<64>' has no meaning here"),
            (Role::Weight, "unit<2>@alpha nearest-even clip-before<1>", "belongs to master"),
            (Role::ErrorAtActivation, "unit<8> nearest-even", "a weight @alpha needs errors and gradients"),
            (Role::ErrorAtProduct, "unit<8> nearest-even", "a weight @alpha needs errors and gradients"),
            (Role::Gradient, "unit<8> stochastic", "a weight @alpha needs errors and gradients"),
            (Role::Activation, "unit<8>@fan nearest-even", "no meaning here"),
        ] {
            let mut recipe = preset("wage").unwrap();
            recipe.slot_mut(role).base = row.parse().unwrap();
            let message = recipe.check().unwrap_err().to_string();
            assert!(message.contains(part) && message.contains(role.name()), "{message}");
        }
    }

    #[test]
    fn wrap_belongs_to_the_accumulator_alone() {
        for role in Role::ALL {
            let mut recipe = preset("gupta").unwrap();
            recipe.slot_mut(role).base = "fixed<2,14> nearest-even wrap".parse().unwrap();
            match recipe.check() {
                Ok(_) => assert_eq!(role, Role::Accumulator),
                Err(error) => {
                    let message = error.to_string();
                    assert!(
                        message.contains("'wrap' has no meaning") && message.contains(role.name()),
                        "{message}"
                    );
                }
            }
        }
    }
}
