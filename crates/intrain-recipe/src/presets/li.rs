//! R, SR and BinaryConnect: Li et al. 2017, arXiv 1706.02379, section 3.
//!
//! The three differ in when a weight is quantized: behind the update (R to the nearest, SR stochastically), or in front
//! of the product (BinaryConnect), which is one row each. The paper has no public code. Only the weights of
//! convolutions are quantized there (section 7).

use intrain_num::{Format, Grid, Quantizer};

use super::{defaults, line, refuse};
use crate::RecipeError;
use crate::role::{Exception, Feedback, Pattern, Recipe, Role};

const USAGE: &str = "write for example li-sr, li-sr:all (linear layers too) or li-sr:0.5 (weights on a grid of this step \
                     between -1 and +1 in place of -1 and +1 alone)";

/// Section 7: Adam, no weight decay, a tenth of the rate from 82 of 160 epochs on, and again from 122.
const DEFAULTS: &str = "
epochs = 160
batch_size = 128
optimizer = 'adam'
learning_rate = 0.01
momentum = 0.0
weight_decay = 0.0
decay = 1.0
poly = 0.0
schedule = [['82/160', 10.0], ['122/160', 100.0]]
";

/// `li-r`, `li-sr`, `li-big-sr`, `li-bc` or `li-ef`, with parameters.
pub(super) fn li(spec: &str, name: &str, parameters: &[&str]) -> Result<Recipe, RecipeError> {
    let (mut format, mut layers) = (Format::Binary, "conv*");
    for parameter in parameters {
        match *parameter {
            "all" if layers != "*" => layers = "*",
            step if format == Format::Binary => format = grid(step).ok_or_else(|| refuse(spec, USAGE))?,
            _ => return Err(refuse(spec, USAGE)),
        }
    }
    let round = if matches!(name, "li-sr" | "li-big-sr") { "stochastic<32>" } else { "nearest-away" };
    let quantizer = line(&format!("{format} {round} saturate"));
    let mut recipe = Recipe::of(Quantizer::FLOAT);
    recipe.name = if parameters.is_empty() { name.to_owned() } else { spec.to_owned() };
    recipe.source = match name {
        "li-big-sr" => "Li et al. 2017, arXiv 1706.02379, section 7: li-sr with batches of 1024".to_owned(),
        "li-ef" => {
            "li-r of Li et al. 2017 with error feedback, as in optimizers without master weights".to_owned()
        }
        // BinaryConnect's code scales the rate by the layer's width; weights here start anywhere in the domain, for all methods alike.
        "li-bc" => "Li et al. 2017, arXiv 1706.02379, section 3; weights start in all of -1..1 with one rate for all layers, \
                    where BinaryConnect's code scales the rate by the layer: it learns more slowly at first"
            .to_owned(),
        _ => "Li et al. 2017, arXiv 1706.02379, section 3".to_owned(),
    };
    recipe.defaults = defaults(DEFAULTS);
    if name == "li-big-sr" {
        recipe.defaults.insert("batch_size".to_owned(), 1024.into());
    }
    recipe.error_feedback = if name == "li-ef" { Feedback::Momentum } else { Feedback::None };
    let mut except = |role: Role, quantizer: Quantizer| {
        let exception = Exception { layers: Pattern(layers.to_owned()), from_epoch: 0, quantizer };
        recipe.slot_mut(role).except.push(exception);
    };
    if name == "li-bc" {
        except(Role::Weight, quantizer);
        // The domain is bounded (section 3), as in BinaryConnect.
        except(Role::Master, line("float32 clip<1>"));
    } else {
        except(Role::Master, quantizer);
    }
    Ok(recipe)
}

/// Multiples of `step` in -1..=1.
fn grid(step: &str) -> Option<Format> {
    let step: f32 = step.parse().ok().filter(|step| (1e-4..=1.0).contains(step))?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 10,000")]
    let limit = (1.0 / step).round() as u32;
    Grid::new(step, limit).ok().map(Format::Grid)
}
