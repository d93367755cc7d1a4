//! Initial weights of whole networks against the cases of `golden/init.toml`.
//!
//! A network is built around each case so that the case's block, fan-in and quantizers come up in it.

mod network;

use intrain_golden::{InitNormal, InitWage, Op, Stream};
use intrain_model::{Init, Model};
use intrain_nn::{Parameters, Plan};
use intrain_recipe::Recipe;
use network::{linear, model, recipe};

/// The stored codes with which block `at.layer` starts, where it has `fan_in` inputs.
fn initial(at: Stream, fan_in: usize, n: usize, init: Init, recipe: &Recipe) -> (Plan, Vec<i64>) {
    let layer = usize::try_from(at.layer).unwrap();
    let first = usize::try_from(at.first_element).unwrap();
    let n_out = (first + n).div_ceil(fan_in).max(2);
    // The case's block is the last one; those before it are as narrow as can be.
    let mut blocks = vec![linear(1); layer];
    if let Some(before) = blocks.last_mut() {
        before.out = fan_in;
    }
    let mut model: Model = model((1, 1, if layer == 0 { fan_in } else { 1 }), &blocks, n_out);
    model.init = init;
    let plan = Plan::build(&model, recipe, 1).unwrap();
    let parameters = Parameters::initial(&plan, at.seed);
    let weight = &parameters[layer].weight;
    let codes = (first..first + n).map(|i| weight.code(i)).collect();
    (plan, codes)
}

fn wage(name: &str, case: &InitWage) {
    let bits = case.weight_bits;
    let recipe = recipe(&format!("wage:{bits}-8-{}-8", bits + 3));
    let (_, codes) = initial(
        case.stream,
        usize::try_from(case.fan_in).unwrap(),
        case.payloads.len(),
        Init::Uniform,
        &recipe,
    );
    // The stored weight has three bits more than the one that is read, and they start at 0.
    assert_eq!(codes, case.payloads.iter().map(|x| x << 3).collect::<Vec<_>>(), "{name}");
}

fn normal(name: &str, case: &InitNormal) {
    let q = &case.quantizer;
    let rows = ["master", "momentum", "update"].map(|role| format!(" | {role} = {q}")).concat();
    let init = Init::Normal { deviation_millionths: case.deviation_millionths };
    let (plan, codes) = initial(case.stream, 4, case.payloads.len(), init, &recipe(&format!("gupta{rows}")));
    assert_eq!(codes, case.payloads, "{name}: {:?}", plan.init);
}

#[test]
fn networks_start_as_the_golden_cases_say() {
    let mut n_cases = 0;
    for (file, case) in intrain_golden::load().unwrap() {
        match &case.op {
            Op::InitWage(wage_case) => wage(&case.name, wage_case),
            Op::InitNormal(normal_case) => normal(&case.name, normal_case),
            _ => continue,
        }
        assert_eq!(file, "init");
        n_cases += 1;
    }
    assert!(n_cases >= 5, "{n_cases} cases");
}
