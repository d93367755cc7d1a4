//! The cases of small floats and of blocks.

use intrain_golden as golden;
use intrain_num::block::{self, Edges, Element, ExactSum, HADAMARD, Mx, NVFP4_BLOCK, NvTensor, scale_value};
use intrain_num::minifloat::{FloatFormat, FloatOverflow, FloatRound, Number};
use intrain_num::qtorch;

use crate::Report;

pub(super) fn minifloat(c: &golden::Minifloat, report: &mut Report) {
    let (format, round, overflow): (FloatFormat, FloatRound, FloatOverflow) =
        (c.format.parse().unwrap(), c.round.parse().unwrap(), c.overflow.parse().unwrap());
    let codes = |number: fn(f64) -> Number| -> Vec<u32> {
        c.inputs.iter().map(|x| format.encode(number(*x), round, overflow, 0)).collect()
    };
    report.same("codes", &codes(Number::from_f64), &c.codes);
    report.same("codes of binary32", &codes(|x| Number::from_f32(x as f32)), &c.codes);
}

pub(super) fn stochastic(c: &golden::Stochastic, report: &mut Report) {
    let round: FloatRound = c.round.parse().unwrap();
    let ups = |f: &u32| {
        // Between 1 and 1.5, the codes 2 and 3 of E2M1.
        let x = Number::Finite { negative: false, mantissa: u64::from(32 + f), exponent: -5 };
        let code = |r: u32| FloatFormat::E2M1.encode(x, round, FloatOverflow::SatFinite, r << (32 - c.bits));
        (0..1 << c.bits).filter(|r| code(*r) == 3).count() as u32
    };
    report.same("words", &c.fractions.iter().map(ups).collect(), &c.ups);
}

pub(super) fn qtorch(c: &golden::Qtorch, report: &mut Report) {
    let quantize = |(i, x): (usize, &f64)| match (c.exponent, c.mantissa, c.word_length) {
        (Some(exponent), Some(mantissa), _) => qtorch::float_quantize(*x as f32, exponent, mantissa, None),
        (_, _, Some(word_length)) => {
            let exponent = qtorch::block_exponent(c.largest[i] as f32).unwrap();
            qtorch::block_quantize(*x as f32, exponent, word_length, None)
        }
        _ => panic!("neither a float nor a block"),
    };
    let bits = |x: f32| f64::from(x).to_bits();
    let got: Vec<u64> = c.inputs.iter().enumerate().map(|x| bits(quantize(x))).collect();
    report.same("outputs", &got, &c.outputs.iter().map(|x| x.to_bits()).collect());
}

fn padded<const N: usize>(inputs: &[f64]) -> [f32; N] {
    std::array::from_fn(|i| inputs.get(i).map_or(0.0, |x| *x as f32))
}

pub(super) fn mx_block(c: &golden::MxBlock, report: &mut Report) {
    let mx = Mx {
        element: c.element.parse().unwrap(),
        rule: c.rule.parse().unwrap(),
        edges: Edges::Ocp,
        round: FloatRound::NearestEven,
    };
    let mut codes = [0; 32];
    let scale = mx.quantize(&padded::<32>(&c.inputs), &mut codes, |_| 0);
    report.same("scale", &scale, &c.scale);
    report.same("codes", &codes[..c.codes.len()].to_vec(), &c.codes);
}

pub(super) fn nv_block(c: &golden::NvBlock, report: &mut Report) {
    let values = padded::<NVFP4_BLOCK>(&c.inputs);
    let tensor = NvTensor::new(c.rule.parse().unwrap(), c.largest as f32);
    let block = tensor.block(&values, values.iter().fold(0.0, |a, x| x.abs().max(a)));
    let codes: Vec<u8> = values.iter().map(|x| tensor.code(*x, block, FloatRound::NearestEven, 0)).collect();
    report.same("scale", &block.scale, &c.scale);
    report.same("codes", &codes[..c.codes.len()].to_vec(), &c.codes);
}

pub(super) fn dot(c: &golden::BlockDot, report: &mut Report) {
    let element: Element = c.element.parse().unwrap();
    let mut sum = ExactSum::default();
    let scales = i32::from(c.scales[0]) + i32::from(c.scales[1]) - 254;
    for (a, b) in c.a.iter().zip(&c.b) {
        sum.add_product(element.decode(*a), element.decode(*b), scales);
    }
    let mut exact = ExactSum::default();
    exact.add(c.exact.into(), -c.binary_digits);
    report.same("sum", &sum, &exact);
    report.same("rounded", &f64::from(sum.to_number().to_f32()), &c.rounded);
    report.same("scale", &scale_value(c.scales[0]).to_f64().log2(), &(f64::from(c.scales[0]) - 127.0));
}

pub(super) fn hadamard(c: &golden::Hadamard, report: &mut Report) {
    let outputs = block::hadamard(&c.inputs.map(|x| x as f32), HADAMARD).map(Number::to_f64);
    report.same("outputs", &outputs, &c.outputs);
}
