//! Whether a network's stored numbers are numbers still. Integers always are; floats are looked through before they are kept.

use intrain_nn::{Parameters, Plan, Stored};
use intrain_recipe::Feedback;

use crate::update::OfParts;

/// The first stored weight, bias or running statistic that is not finite, as a sentence.
pub(crate) fn not_finite(plan: &Plan, parameters: &[Parameters]) -> Option<String> {
    plan.blocks.iter().zip(parameters).find_map(|(block, of_block)| {
        let moments = of_block.moments.as_ref();
        let tensors = [
            ("weight", Some(&of_block.weight)),
            ("bias", of_block.bias.as_ref()),
            ("running mean", moments.map(|moments| &moments.mean)),
            ("running spread", moments.map(|moments| &moments.spread)),
        ];
        tensors.into_iter().find_map(|(what, stored)| {
            let Some(Stored::F32(values)) = stored else { return None };
            let at = values.iter().position(|x| !x.is_finite())?;
            Some(format!("{what} {at} of layer '{}' is {}", block.name, values[at]))
        })
    })
}

/// The first residual of error feedback that is not finite, as a sentence: what a weight is worth is its code and this.
pub(crate) fn residual_not_finite(plan: &Plan, momentum: &[OfParts]) -> Option<String> {
    if plan.error_feedback == Feedback::None {
        return None;
    }
    plan.blocks.iter().zip(momentum).find_map(|(block, [of_weight, _])| {
        let Some(Stored::F32(values)) = of_weight else { return None };
        let at = values.iter().position(|x| !x.is_finite())?;
        Some(format!("what rounding took from weight {at} of layer '{}' is {}", block.name, values[at]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layer_and_the_value_are_named() {
        let model = intrain_model::preset("digits-cnn").unwrap();
        let plan = |recipe| Plan::build(&model, &intrain_recipe::preset(recipe).unwrap(), 4).unwrap();
        let wage = plan("wage");
        assert_eq!(not_finite(&wage, &Parameters::initial(&wage, 1)), None);
        let float = plan("float32");
        let mut parameters = Parameters::initial(&float, 1);
        assert_eq!(not_finite(&float, &parameters), None);
        let Stored::F32(values) = &mut parameters[2].weight else { panic!("float32 stores floats") };
        values[7] = f32::NEG_INFINITY;
        assert_eq!(not_finite(&float, &parameters), Some("weight 7 of layer 'fc1' is -inf".to_owned()));
    }

    #[test]
    fn a_residual_is_a_part_of_its_weight() {
        let model = intrain_model::preset("digits-cnn").unwrap();
        let plan = |recipe| Plan::build(&model, &intrain_recipe::preset(recipe).unwrap(), 4).unwrap();
        let mut momentum: Vec<OfParts> = vec![[None, None], [Some(Stored::F32(vec![0.0, f32::NAN])), None]];
        let message = "what rounding took from weight 1 of layer 'conv2' is NaN";
        assert_eq!(residual_not_finite(&plan("li-ef"), &momentum), Some(message.to_owned()));
        // A momentum is no part of it.
        assert_eq!(residual_not_finite(&plan("li-r"), &momentum), None);
        momentum[1] = [Some(Stored::F32(vec![0.5])), None];
        assert_eq!(residual_not_finite(&plan("li-ef"), &momentum), None);
    }
}
