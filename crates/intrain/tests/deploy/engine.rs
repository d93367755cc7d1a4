//! The deployed form answers as the engine that trains evaluates: every logit of random networks, and nothing leaves the range that was
//! proven for it.

use intrain_deploy::{About, DeployError, Deployed};
use intrain_infer::Inference;
use intrain_kernels::Isa;
use intrain_model::{Model, preset};
use intrain_nn::Plan;

use super::network::{self, Draw, integer_residual, recipe};
use super::networks::{CHAINS, GRAPHS, Trained, by_channel, chain, layer_norms, stored, trained};

fn compare(model: &Model, spec: &str, n: usize, seed: u64) {
    let Trained { plan, parameters, deployed, images } = trained(model, spec, n, seed);
    let mut network = network::network(&plan, Isa::best(), 1);
    network.load(&parameters, None);
    network.forward(&images, None);
    let intrain_nn::Logits::Integers { values, frac_bits } = network.logits() else {
        panic!("{spec}: floats")
    };
    assert_eq!(deployed.logits().frac_bits, frac_bits, "{spec}");
    let n_classes = values.len() / n;
    for (image, expected) in images.chunks_exact(plan.input.shape.len()).zip(values.chunks_exact(n_classes)) {
        let results = deployed.trace(image);
        assert_eq!(results.last().unwrap(), expected, "{} with {spec}, seed {seed}", model.name);
        for (node, result) in deployed.nodes.iter().zip(&results) {
            let range = node.result.range;
            assert_eq!(result.len(), node.result.shape.len(), "{}", node.result.name);
            let is_inside = result.iter().all(|x| (range.min..=range.max).contains(x));
            assert!(is_inside, "{spec}, seed {seed}: {} leaves {range:?}", node.result.name);
        }
    }
    check_arena(&deployed);
    check_kernels(&deployed, &images, &values);
}

/// The kernels answer as the interpreter does: every instruction set, some numbers of threads, batches cut otherwise than they were
/// announced.
fn check_kernels(deployed: &Deployed, images: &[u8], logits: &[i64]) {
    let size = deployed.image().len();
    let (n, n_classes) = (images.len() / size, deployed.logits().shape.len());
    for isa in Isa::available() {
        for (n_threads, announced) in [(1, n), (2, 1), (3, 64)] {
            let context = network::context(isa, n_threads);
            let mut inference = Inference::new(deployed, &context, announced).unwrap();
            assert_eq!(inference.frac_bits(), deployed.logits().frac_bits);
            for n in [n, 1, n] {
                let answers = inference.run(&images[..n * size]);
                assert_eq!(answers, logits[..n * n_classes], "{} threads, {}", n_threads, isa.name());
            }
        }
    }
}

/// No two tensors that are needed at the same time share a byte.
fn check_arena(deployed: &Deployed) {
    let arena = deployed.arena();
    let places: Vec<_> = arena.places.iter().flatten().collect();
    for (i, a) in places.iter().enumerate() {
        assert!(a.offset + a.bytes <= arena.bytes && a.offset % 8 == 0);
        for b in &places[..i] {
            let is_apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
            assert!(is_apart || a.last < b.first || b.last < a.first, "{a:?} {b:?}");
        }
    }
    assert!(
        arena.bytes >= arena.peak && 10 * arena.bytes <= 11 * arena.peak,
        "{} of {}",
        arena.bytes,
        arena.peak
    );
}

#[test]
fn random_chains_answer_as_the_engine() {
    for seed in 0..40 {
        let mut draw = Draw::new(seed);
        let model = chain(&mut draw);
        for spec in CHAINS {
            compare(&model, spec, 3, seed);
        }
    }
}

#[test]
fn networks_with_norms_and_sums_answer_as_the_engine() {
    for spec in GRAPHS {
        (0..6).for_each(|seed| compare(&integer_residual(), spec, 3, seed));
    }
}

#[test]
fn layer_norms_answer_as_the_engine() {
    let model = layer_norms();
    for spec in GRAPHS.into_iter().filter(|spec| *spec != "wage-rangebn") {
        (0..6).for_each(|seed| compare(&model, spec, 3, seed));
    }
}

#[test]
fn products_by_channel_answer_as_the_engine() {
    for seed in 0..12 {
        let model = by_channel(&mut Draw::new(seed));
        for spec in ["intrain-int8", "wageubn", "gupta"] {
            compare(&model, spec, 5, seed);
        }
    }
}

#[test]
fn presets_answer_as_the_engine() {
    for (name, spec) in [
        ("digits-cnn", "wage"),
        ("digits-cnn", "gupta"),
        ("lenet5", "wage"),
        ("gupta-cnn", "gupta"),
        ("resnet8", "intrain-int8"),
        ("resnet20:4", "intrain-int8"),
        ("ds-cnn", "intrain-int8"),
        ("mobilenet:1", "intrain-int8"),
        ("vgg7-norm:16", "wage-l1bn"),
    ] {
        compare(&preset(name).unwrap(), spec, 2, 7);
    }
}

#[test]
fn weights_of_2_bits_take_a_quarter_of_a_byte_each() {
    for (name, spec, most) in [("vgg7", "wage", 0.27), ("vgg7", "wage:4-8-8-8", 1.04)] {
        let plan = Plan::build(&preset(name).unwrap(), &recipe(spec), 1).unwrap();
        let layers = stored(&network::parameters(&plan, 1));
        let n: usize = plan.blocks.iter().map(|block| block.product.n_weights()).sum();
        let deployed = Deployed::lower(&plan, &layers, About::default()).unwrap();
        for isa in Isa::available() {
            let bytes = Inference::new(&deployed, &network::context(isa, 1), 64).unwrap().weight_bytes();
            assert!(bytes as f64 <= most * n as f64, "{spec}, {}: {bytes} bytes for {n}", isa.name());
        }
    }
}

#[test]
fn what_has_no_deployed_form_is_refused() {
    let refusal = |model: &Model, spec: &str| {
        let recipe = recipe(spec);
        let plan = Plan::build(model, &recipe, 1).unwrap();
        let about = About { recipe: recipe.name, ..About::default() };
        Deployed::lower(&plan, &stored(&network::parameters(&plan, 1)), about).unwrap_err()
    };
    let residual = integer_residual();
    assert_eq!(refusal(&residual, "float32"), DeployError::Floats { recipe: "float32".to_owned() });
    assert!(matches!(refusal(&residual, "niti"), DeployError::Dynamic { .. }));
    assert!(matches!(refusal(&residual, "li-bc"), DeployError::Floats { .. }));
    let plan = Plan::build(&residual, &recipe("intrain-int8"), 1).unwrap();
    let error = Deployed::lower(&plan, &[], About::default()).unwrap_err();
    assert!(matches!(error, DeployError::Parameters { what: "weights", found: 0, .. }), "{error}");
}
