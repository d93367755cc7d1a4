//! The parameters as floats, in PyTorch's layout: with them and the integers that enter, each product leaves the integers that follow.

use intrain_deploy::{Deployed, FloatTensor, Op, Product};
use intrain_model::{Shape, preset};

use super::network::{Draw, integer_residual};
use super::networks::{CHAINS, GRAPHS, Trained, chain, stored, trained};

/// The sum of output `out` at a place of the result, as PyTorch's `conv2d` has it: `x` has channels last, `weight` output, input, kernel.
fn sum(
    p: &Product,
    [input, output]: [Shape; 2],
    x: &[f64],
    weight: &[f32],
    (y, u, out): (usize, usize, usize),
) -> f64 {
    let ([kh, kw], of_group) = (p.window.kernel, input.c / p.groups);
    let group = out / (output.c / p.groups);
    let mut sum = 0.0;
    for (i, ky, kx) in (0..of_group * kh * kw).map(|k| (k / (kh * kw), k / kw % kh, k % kw)) {
        let at = |o: usize, k: usize, axis: usize| {
            (o * p.window.stride[axis] + k * p.window.dilation[axis]).checked_sub(p.window.pad[axis])
        };
        let (Some(v), Some(h)) = (at(y, ky, 0), at(u, kx, 1)) else { continue };
        if v < input.h && h < input.w {
            let w = weight[((out * of_group + i) * kh + ky) * kw + kx];
            sum += x[(v * input.w + h) * input.c + group * of_group + i] * f64::from(w);
        }
    }
    sum
}

/// All products of a network: exact, as sums lie below 2^53.
#[allow(clippy::cast_precision_loss, reason = "integers below 2^53")]
fn compare(deployed: &Deployed, floats: &[FloatTensor], image: &[u8]) {
    let trace = deployed.trace(image);
    let of = |name: &str, what: &str| floats.iter().find(|tensor| tensor.name == format!("{name}.{what}"));
    for (i, node) in deployed.nodes.iter().enumerate() {
        let Op::Product(p) = &node.op else { continue };
        let (name, shapes) = (&node.result.name, [deployed.input_of(i), node.result.shape]);
        let source = &deployed.nodes[node.sources[0]].result;
        let x: Vec<f64> =
            trace[node.sources[0]].iter().map(|x| *x as f64 * 2f64.powi(-source.frac_bits)).collect();
        let weight = of(name, "weight").unwrap_or_else(|| panic!("{name} has no weight"));
        let bias = of(name, "bias");
        let digits = node.result.frac_bits + p.requantize.map_or(0, |q| q.shift);
        for (at, expected) in trace[i].iter().enumerate() {
            let c = shapes[1].c;
            let place = (at / c / shapes[1].w, at / c % shapes[1].w, at % c);
            let sum = sum(p, shapes, &x, &weight.values, place)
                + bias.map_or(0.0, |bias| f64::from(bias.values[at % c]));
            #[allow(clippy::cast_possible_truncation, reason = "an integer below 2^53")]
            let sum = (sum * 2f64.powi(digits)) as i64;
            assert_eq!(p.requantize.map_or(sum, |q| q.apply(sum)), *expected, "{name}, element {at}");
        }
    }
}

#[test]
fn products_by_the_floats_are_those_of_the_network() {
    let check = |Trained { plan, parameters, deployed, images }: &Trained| {
        let floats = deployed.floats(plan, &stored(parameters));
        compare(deployed, &floats, &images[..plan.input.shape.len()]);
    };
    for seed in 0..20 {
        let spec = CHAINS[usize::try_from(seed).unwrap() % CHAINS.len()];
        check(&trained(&chain(&mut Draw::new(seed)), spec, 1, seed));
    }
    for (seed, spec) in (0..).zip(GRAPHS) {
        check(&trained(&integer_residual(), spec, 1, seed));
    }
    check(&trained(&preset("ds-cnn").unwrap(), "intrain-int8", 1, 3));
}

#[test]
fn names_and_shapes_are_those_of_a_state_dict() {
    let Trained { plan, parameters, deployed, .. } = trained(&integer_residual(), "intrain-int8", 1, 1);
    let floats = deployed.floats(&plan, &stored(&parameters));
    let of = |name: &str| floats.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.shape.clone());
    assert_eq!(of("conv1.weight"), Some(vec![6, 3, 3, 3]));
    assert_eq!(of("norm1.weight"), Some(vec![6]));
    assert_eq!(of("norm1.running_var"), Some(vec![6]));
    assert_eq!(of("fc.weight"), Some(vec![4, 16]));
    // A norm that learns nothing.
    assert_eq!((of("norm2.weight"), of("norm2.running_mean")), (None, Some(vec![8])));
    for tensor in &floats {
        assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>(), "{}", tensor.name);
    }
}
