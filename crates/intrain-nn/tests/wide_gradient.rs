//! A linear layer's gradient of 16-bit operands is kept in 32 bits until a sum needs more: that step and all later ones give
//! the exact sums.

mod network;

use intrain_kernels::Isa;
use intrain_model::Pixels;
use intrain_nn::{Gradient, Plan, StepKey};
use network::{integers, model, network, parameters, recipe};

#[test]
fn sums_beyond_32_bits_are_exact() {
    const BATCH: u8 = 200;
    let mut linear = model((1, 1, 6), &[], 3);
    linear.input.pixels = Pixels::Unit256;
    let plan = Plan::build(&linear, &recipe("gupta:Q2.14:Q6.10:Q2.14:nearest"), BATCH.into()).unwrap();
    // Weights of nearly 2 and -2: the logits of white images are nearly 12 and -12, and class 1 has all the probability.
    let mut parameters = parameters(&plan, 1);
    let (max, n_classes) = (plan.blocks[0].weight.master.format.max(), 3);
    for i in 0..parameters[0].weight.len() {
        parameters[0].weight.set_code(i, if i % n_classes == 1 { max } else { -max });
    }
    let images = |pixel: u8| vec![pixel; usize::from(BATCH) * plan.input.shape.len()];
    for isa in Isa::available() {
        let mut network = network(&plan, isa, 2);
        let mut gradient = |images: &[u8], labels: &[u16], step: u64| {
            let key = StepKey { seed: 1, step };
            network.load(&parameters, Some(key));
            network.forward(images, Some(key));
            network.backward(labels, key);
            network.gradients().next().unwrap().weight.clone()
        };
        // Black images: every sum is 0.
        let of_black = gradient(&images(0), &[1; BATCH as usize], 0);
        assert!(matches!(of_black, Gradient::I32(_)), "{}", isa.name());
        assert!(integers(&of_black).iter().all(|sum| *sum == 0));
        // White ones of class 0, all answered with class 1: errors of -1 and 1, in steps of 2^-14, and inputs of 255 / 256, in steps of 2^-10.
        let of_white = gradient(&images(255), &[0; BATCH as usize], 1);
        let sum = i64::from(BATCH) * (255 << 2) * (1 << 14);
        assert!(sum > i64::from(i32::MAX));
        assert_eq!(integers(&of_white), [-sum, sum, 0].repeat(6), "{}", isa.name());
        // One in ten of them wrong: sums that would fit 32 bits again.
        let labels: Vec<u16> = (0..BATCH).map(|i| u16::from(i % 10 > 0)).collect();
        let of_few = gradient(&images(255), &labels, 2);
        assert_eq!(integers(&of_few), [-sum / 10, sum / 10, 0].repeat(6), "{}", isa.name());
    }
}
