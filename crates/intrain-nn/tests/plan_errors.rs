//! Every way in which a model and a recipe do not go together is an error that names the place and the remedy.

mod network;

use intrain_model::{Layer, LayerKind, Model};
use intrain_nn::{Arithmetic, Plan, PlanError};
use intrain_recipe::{Exception, Pattern, Recipe};
use network::{conv, integer_residual, linear, model, recipe, residual};

fn refused(model: &Model, recipe: &Recipe, batch_size: usize) -> PlanError {
    match Plan::build(model, recipe, batch_size) {
        Err(error) => error,
        Ok(plan) => panic!("planned: {plan:?}"),
    }
}

fn small() -> Model {
    model((6, 6, 2), &[conv(3, 3, 1, 1).pooled(2, 2), linear(5)], 3)
}

#[test]
fn rows_that_do_not_go_together_are_refused() {
    for (spec, parts) in [
        (
            "gupta | activation = fixed<8,8> nearest-down",
            &["'block0'", "both 'activation.product' and 'activation'", "make one of them exact"][..],
        ),
        (
            "wage | block1:activation = exact",
            &["'block1'", "neither 'activation.product' nor 'activation'", "give one a format"],
        ),
        (
            "gupta | block0:error.activation = fixed<2,14> nearest-down",
            &["'block0'", "both 'error.activation' and 'error.product'", "make one of them exact"],
        ),
        (
            "gupta | block1:error.product = exact",
            &["'block0'", "neither 'error.activation' nor 'error.product'", "give one a format"],
        ),
        ("wage | random = array<28,4> lfsr<16,0x2d>", &["'random'", "would round nothing"]),
        (
            "gupta:array | error.product = fixed<2,14> stochastic-magnitude",
            &["'error.product'", "write 'stochastic'"],
        ),
        (
            "gupta:array | random = array<28,4> lfsr<8,0x1d>",
            &["'activation.product'", "drops 14 bits", "a register of the array has 8", "'stochastic<8>'"],
        ),
        ("gupta | error.loss = exact", &["'error.loss'", "needs a format"]),
        ("gupta | input = fixed<8,8> stochastic", &["'input'", "not per step", "nearest rounding"]),
        (
            "gupta | activation.product = fixed<8,8> nearest-down saturate clipped",
            &["'activation.product'", "'clipped' belongs to the row 'activation'"],
        ),
        (
            "gupta | weight = fixed<2,4> nearest-down",
            &["'block0'", "its bias has 2 more fractional bits than the sum", "leave the bias out"],
        ),
        ("wage | last:input = unit<20> nearest-even", &["'input'", "20 bits", "at most 16"]),
    ] {
        let message = refused(&small(), &recipe(spec), 4).to_string();
        for part in parts {
            assert!(message.contains(part), "{spec}: '{message}' lacks '{part}'");
        }
    }
}

#[test]
fn an_accumulator_that_may_overflow_is_refused_with_its_bound() {
    // Each of the three sums in turn; the register is the widest that does not hold it.
    for (model, batch_size, bits, product, bound, remedy) in [
        (model((1, 1, 1033), &[], 2), 1, 18, "forward", 1033 * 127, "fan-in"),
        (model((1, 1, 2), &[linear(3)], 1033), 1, 18, "error", 1033 * 127, "fan-out"),
        (model((1, 1, 2), &[], 2), 40, 20, "gradient", 40 * 127 * 127, "batch"),
    ] {
        let recipe = recipe(&format!("wage | accumulator = int<{bits}> floor wrap"));
        let expected = PlanError::Accumulator {
            layer: "last".to_owned(),
            product,
            bound,
            needed: bits + 1,
            stated: bits,
            remedy,
        };
        let error = refused(&model, &recipe, batch_size);
        assert_eq!(error, expected);
        let message = error.to_string();
        let parts =
            ["layer 'last'", product, &bound.to_string(), "widen the recipe's row 'accumulator'", remedy];
        for part in parts {
            assert!(message.contains(part), "'{message}' lacks '{part}'");
        }
        let wider = network::recipe(&format!("wage | accumulator = int<{}> floor wrap", bits + 1));
        assert!(Plan::build(&model, &wider, batch_size).is_ok());
    }
}

#[test]
fn exceptions_must_match_a_product() {
    for (pattern, from_epoch, matches) in
        [("conv*", 0, false), ("pool0", 0, false), ("block*", 0, true), ("block9", 3, false), ("*", 0, true)]
    {
        let mut recipe = recipe("wage");
        let (layers, quantizer) = (Pattern(pattern.to_owned()), recipe.activation.base);
        recipe.activation.except.push(Exception { layers, from_epoch, quantizer });
        match Plan::build(&small(), &recipe, 1) {
            Ok(_) => assert!(matches, "{pattern}"),
            Err(PlanError::Pattern { role: "activation", pattern: named, layers }) => {
                assert!(
                    !matches && named == pattern && layers == "block0, block1, last",
                    "{pattern}: {layers}"
                );
            }
            Err(other) => panic!("{pattern}: {other}"),
        }
    }
}

#[test]
fn layers_beyond_32_bit_addresses_are_refused() {
    let model = model((1, 1, 10), &[linear(70_000), linear(70_000)], 10);
    let message = Plan::build(&model, &recipe("wage"), 1).unwrap_err().to_string();
    assert!(message.contains("layer 'block1': it has 4900000000 weights"), "{message}");
}

#[test]
fn an_image_has_a_format() {
    let message = Plan::build(&small(), &recipe("wage | input = exact"), 1).unwrap_err().to_string();
    assert!(message.contains("'exact' cannot stand here"), "{message}");
}

#[test]
fn exceptions_hold_for_the_image_and_the_loss_too() {
    let recipe = recipe("wage | block0:input = unit<4> floor | last:error.loss = unit<5>@shift floor");
    let plan = Plan::build(&small(), &recipe, 1).unwrap();
    assert_eq!(plan.input.quantizer.to_string(), "unit<4> floor saturate");
    assert_eq!(plan.blocks[0].input_operand.max, 7);
    assert_eq!(plan.loss.quantizer.to_string(), "unit<5>@shift floor saturate");
    assert_eq!(plan.blocks[2].error_operand.max, 15);
}

#[test]
fn batch_sizes_have_limits() {
    for batch_size in [0, (1 << 16) + 1, usize::MAX] {
        let error = refused(&small(), &recipe("wage"), batch_size);
        assert_eq!(error, PlanError::BatchSize { batch_size, max: 1 << 16 });
        assert!(error.to_string().contains("1..=65536"), "{error}");
    }
}

#[test]
fn networks_that_cannot_be_trained_are_refused() {
    let relu = |name: &str| Layer::new(name, LayerKind::Relu);
    let pool = Layer::new("again", LayerKind::MaxPool { size: 2, stride: 1, pad: 0 });
    let mut ends_with_relu = small();
    ends_with_relu.layers.push(relu("end"));
    let mut two_pools = small();
    two_pools.layers.insert(2, pool);
    let mut no_product = small();
    no_product.layers.clear();
    let mut same_name = small();
    same_name.layers[1].name = "block0".to_owned();
    let mut image_at_end = small();
    image_at_end.layers.truncate(1);
    for (model, parts) in [
        (ends_with_relu, ["'last'", "remove the ReLU"]),
        (two_pools, ["'relu0' is no product", "write @dynamic in place of @shift"]),
        (no_product, ["'small'", "no conv or linear layer"]),
        (same_name, ["'block0'", "names must be unique"]),
        (image_at_end, ["'small'", "end with a linear layer"]),
    ] {
        let message = refused(&model, &recipe("wage"), 1).to_string();
        for part in parts {
            assert!(message.contains(part), "'{message}' lacks '{part}'");
        }
    }
}

/// A single image's gradient may pass 32 bits: 364 x 364 pixels of 8 bits fit, one row and column more do not.
#[test]
fn large_images_get_wider_sums() {
    for (side, arithmetic) in [(364, Arithmetic::Int8), (365, Arithmetic::Int16)] {
        let model = model((side, side, 1), &[conv(1, 1, 1, 0).pooled(8, 8)], 2);
        assert_eq!(Plan::build(&model, &recipe("wage"), 1).unwrap().arithmetic, arithmetic, "side {side}");
    }
}

#[test]
fn graphs_of_integers_say_what_they_cannot_do() {
    for (spec, parts) in [
        ("wage", ["'conv1'", "use intrain-int8"]),
        ("intrain-int8 | norm.mean = exact", ["'norm1'", "no row 'norm.mean'"]),
        (
            "intrain-int8 | norm.mean = fixed<9,12> nearest-down",
            ["'norm1'", "the range of activation.product"],
        ),
        ("intrain-int8 | norm.mean = fixed<8,6> nearest-down", ["'norm1'", "8 to 17 fraction bits"]),
        ("intrain-int8 | norm.spread = fixed<8,7> floor", ["'norm1'", "coarser than activation.product"]),
        ("intrain-int8 | norm.value = fixed<2,14> nearest-down", ["'norm1'", "fewer fractional bits"]),
        ("intrain-int8 | norm.value = fixed<8,10> nearest-down", ["'norm.value'", "at most 16"]),
        ("intrain-int8 | norm.value = fixed<4,12> nearest-even", ["'norm1'", "nearest-down or floor"]),
        ("intrain-int8 | activation = fixed<4,4> stochastic", ["'relu1'", "a nearest rounding"]),
        ("intrain-int8 | @norms:master = fixed<1,15> stochastic", ["'norm1'", "gains start at 1"]),
        ("intrain-int8 | error.norm = exact", ["'error.norm'", "give the row a format"]),
        (
            "wage-l1bn | error.product = exact",
            ["row 'error.norm' forgets", "write @dynamic in place of @shift"],
        ),
        ("intrain-int8 | @norms:master = fixed<4,12> stochastic", ["'relu5'", "and there are 32"]),
    ] {
        let message = refused(&integer_residual(), &recipe(spec), 4).to_string();
        for part in parts {
            assert!(message.contains(part), "{spec}: '{message}' lacks '{part}'");
        }
    }
    // Ranges are those of a batch's parts.
    let mut model = integer_residual();
    model.layers[1].kind = LayerKind::LayerNorm { affine: true };
    let message = refused(&model, &recipe("wage-rangebn"), 4).to_string();
    assert!(message.contains("'norm1'") && message.contains("use norm = l2 or l1"), "{message}");
    // Overlapping means, a sum that no ReLU rounds.
    let message = refused(&residual(), &recipe("intrain-int8"), 4).to_string();
    assert!(message.contains("'mean'") && message.contains("'sum2' enters it"), "{message}");
    let plan = Plan::build(&integer_residual(), &recipe("intrain-int8"), 4).unwrap();
    assert_eq!((plan.arithmetic, plan.float_operations().len()), (Arithmetic::Int8, 0));
}
