//! Guard rails: what the rows say about each other, found before anything runs.

use intrain_num::{Format, Round, Scale};

use crate::RecipeError;
use crate::role::{LearningRate, Recipe, Role, Slot};

/// Something that is allowed and will probably disappoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The row.
    pub role: Role,
    /// What will happen, and the remedy.
    pub message: String,
}

impl Recipe {
    /// Checks the rows against each other and gives what is allowed but doubtful.
    ///
    /// # Errors
    /// [`RecipeError::Check`] for the first combination that cannot work.
    pub fn check(&self) -> Result<Vec<Warning>, RecipeError> {
        self.float_roles_agree()?;
        for role in Role::ALL {
            for quantizer in quantizers(self.slot(role)) {
                check_width(role, quantizer.format)?;
                check_scale(role, quantizer.scale)?;
            }
        }
        if !self.is_float() {
            self.gradient_is_wider_than_weight()?;
            if self.learning_rate == LearningRate::Float32 {
                return Err(refuse(
                    "learning_rate",
                    "float32 cannot drive an integer update; use power-of-two or mantissa<15>",
                ));
            }
        }
        Ok(self.warnings())
    }

    /// Float is all or nothing here: products are integer products exactly when both operands are integers.
    fn float_roles_agree(&self) -> Result<(), RecipeError> {
        let float = self.is_float();
        for role in Role::ALL {
            for quantizer in quantizers(self.slot(role)) {
                if (quantizer.format == Format::Float32) != float {
                    let reason = format!(
                        "'{quantizer}' cannot stand beside master '{}': a recipe is either float32 in every role or \
                         integer in every role; write 'exact' where a station does nothing",
                        self.master.base
                    );
                    return Err(RecipeError::Check { role: role.name(), reason });
                }
            }
        }
        Ok(())
    }

    fn gradient_is_wider_than_weight(&self) -> Result<(), RecipeError> {
        for weight in quantizers(&self.weight).filter(|w| w.format.is_quantized()) {
            for (role, slot) in [(Role::Gradient, &self.gradient), (Role::Master, &self.master)] {
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
                    warnings.push(Warning { role, message });
                }
            }
        }
        warnings
    }
}

fn quantizers(slot: &Slot) -> impl Iterator<Item = intrain_num::Quantizer> {
    std::iter::once(slot.base).chain(slot.except.iter().map(|e| e.quantizer))
}

fn check_width(role: Role, format: Format) -> Result<(), RecipeError> {
    // Bound: 16-bit activations and errors and 24-bit weights are what the exact products can take.
    let max = match role {
        Role::Accumulator => return Ok(()),
        Role::Weight | Role::Master | Role::Momentum | Role::Update | Role::Gradient => 24,
        _ => 16,
    };
    if format.is_quantized() && format.bits() > max {
        let reason =
            format!("{format} has {} bits; the exact products take at most {max} here", format.bits());
        return Err(RecipeError::Check { role: role.name(), reason });
    }
    Ok(())
}

fn check_scale(role: Role, scale: Scale) -> Result<(), RecipeError> {
    let allowed = match scale {
        Scale::One => true,
        Scale::Alpha => role == Role::Weight,
        Scale::Shift => matches!(role, Role::ErrorAtLoss | Role::ErrorAtActivation | Role::Gradient),
    };
    if allowed {
        return Ok(());
    }
    let reason = format!(
        "the scale {scale} has no meaning here: @alpha belongs to weight, @shift to error.loss, error.activation and \
         gradient, whose powers of two may be forgotten"
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
        for spec in ["wage", "wage:2-8-12-12", "wage:3-6-8-4", "gupta", "gupta:Q4.16", "float32"] {
            assert_eq!(preset(spec).unwrap().check(), Ok(Vec::new()), "{spec}");
        }
        assert_eq!(preset("gupta:nearest").unwrap().check().unwrap().len(), 1);
    }

    #[test]
    fn impossible_rows_are_named() {
        for (role, row, part) in [
            (Role::Master, "unit<2> nearest-even", "k_G must exceed"),
            (Role::Gradient, "unit<2>@shift stochastic", "k_G must exceed"),
            (Role::Activation, "float32", "integer in every role"),
            (Role::Activation, "unit<17> nearest-even", "at most 16"),
            (Role::Input, "unit<8>@shift nearest-even", "no meaning here"),
            (Role::Master, "exact", "needs a format"),
        ] {
            let mut recipe = preset("wage").unwrap();
            recipe.slot_mut(role).base = row.parse().unwrap();
            let message = recipe.check().unwrap_err().to_string();
            assert!(message.contains(part) && message.contains(role.name()), "{message}");
        }
    }
}
