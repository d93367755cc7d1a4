//! The cases of small floats and of blocks, through the scalar definition and through the kernels.

use intrain_golden as golden;
use intrain_golden::Op;
use intrain_kernels::Isa;
use intrain_kernels::blocks::{self, Args, Axis};
use intrain_num::block::{
    Coding, Edges, Element, ExactSum, Extent, HADAMARD, MX_BLOCK, Mx, NVFP4_BLOCK, NvTensor, hadamard,
};
use intrain_num::minifloat::{FloatFormat, FloatOverflow, FloatRound, Number};
use intrain_num::qtorch;

use super::Differences;

/// Whether the scalar crate has the operation; differences go to `found`.
pub(super) fn run(op: &Op, found: &mut Differences) -> bool {
    match op {
        Op::Minifloat(c) => minifloat(c, None, found),
        Op::Stochastic(c) => stochastic(c, found),
        Op::Qtorch(c) => qtorch_case(c, found),
        Op::MxBlock(c) => mx_block(c, None, found),
        Op::NvBlock(c) => nv_block(c, found),
        Op::BlockDot(c) => dot(c, found),
        Op::Hadamard(c) => {
            let outputs = hadamard(&c.inputs.map(narrow), HADAMARD).map(Number::to_f64);
            found.same("outputs", &outputs, &c.outputs);
        }
        _ => return false,
    }
    true
}

/// The same for kernels: of NVFP4 they take whole tensors, whose largest magnitude a case need not have.
pub(super) fn run_kernels(op: &Op, isa: Isa, found: &mut Differences) -> bool {
    match op {
        Op::Minifloat(c) => minifloat(c, Some(isa), found),
        Op::MxBlock(c) => mx_block(c, Some(isa), found),
        _ => return false,
    }
    true
}

/// Exact: the numbers of a case are binary32 numbers.
#[allow(clippy::cast_possible_truncation, reason = "the numbers of a case are binary32 numbers")]
fn narrow(x: f64) -> f32 {
    x as f32
}

fn padded<const N: usize>(inputs: &[f64]) -> [f32; N] {
    std::array::from_fn(|i| inputs.get(i).copied().map_or(0.0, narrow))
}

/// A row of numbers, nearest-even unless a case says otherwise.
const fn args<'a>(coding: Coding, round: FloatRound, values: &'a [f32]) -> Args<'a> {
    let axis = Axis { outer: 1, len: values.len(), inner: 1 };
    Args { coding, round, axis, values, stream: None, first_element: 0 }
}

fn minifloat(c: &golden::Minifloat, isa: Option<Isa>, found: &mut Differences) {
    let format: Option<FloatFormat> = found.parsed(&c.format);
    let (round, overflow): (Option<FloatRound>, Option<FloatOverflow>) =
        (found.parsed(&c.round), found.parsed(&c.overflow));
    let (Some(format), Some(round), Some(overflow)) = (format, round, overflow) else { return };
    let codes = match isa {
        None => c.inputs.iter().map(|x| format.encode(Number::from_f64(*x), round, overflow, 0)).collect(),
        Some(isa) => {
            let values: Vec<f32> = c.inputs.iter().copied().map(narrow).collect();
            let mut codes = vec![0u32; values.len()];
            blocks::codes(isa, args(Coding::Plain { format, overflow }, round, &values), &mut codes, &mut []);
            codes
        }
    };
    found.same_elements("codes", &codes, &c.codes);
}

fn stochastic(c: &golden::Stochastic, found: &mut Differences) {
    let Some(round) = found.parsed::<FloatRound>(&c.round) else { return };
    let ups = |f: &u32| {
        // Between 1 and 1.5, the codes 2 and 3 of E2M1.
        let x = Number::Finite { negative: false, mantissa: u64::from(32 + f), exponent: -5 };
        let code = |r: u32| FloatFormat::E2M1.encode(x, round, FloatOverflow::SatFinite, r << (32 - c.bits));
        (0..1u32 << c.bits).map(|r| u32::from(code(r) == 3)).sum()
    };
    let ups: Vec<u32> = c.fractions.iter().map(ups).collect();
    found.same_elements("words", &ups, &c.ups);
}

fn qtorch_case(c: &golden::Qtorch, found: &mut Differences) {
    let quantize = |(i, x): (usize, &f64)| match (c.exponent, c.mantissa, c.word_length) {
        (Some(exponent), Some(mantissa), _) => qtorch::float_quantize(narrow(*x), exponent, mantissa, None),
        (_, _, Some(word_length)) => {
            let exponent = c.largest.get(i).and_then(|largest| qtorch::block_exponent(narrow(*largest)));
            exponent
                .map_or(f32::NAN, |exponent| qtorch::block_quantize(narrow(*x), exponent, word_length, None))
        }
        _ => f32::NAN,
    };
    let bits: Vec<u64> = c.inputs.iter().enumerate().map(|x| f64::from(quantize(x)).to_bits()).collect();
    found.same_elements("outputs", &bits, &c.outputs.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
}

fn mx_block(c: &golden::MxBlock, isa: Option<Isa>, found: &mut Differences) {
    let (Some(element), Ok(rule)) = (found.parsed::<Element>(&c.element), c.rule.parse()) else { return };
    let (values, mut codes) = (padded::<MX_BLOCK>(&c.inputs), [0; MX_BLOCK]);
    let (edges, round) = (Edges::Ocp, FloatRound::NearestEven);
    let scale = match isa {
        None => Mx { element, rule, edges, round }.quantize(&values, &mut codes, |_| 0),
        Some(isa) => {
            let coding = Coding::Scaled { element, rule, edges, extent: Extent::Line };
            let mut scales = [0];
            blocks::codes(isa, args(coding, round, &values), &mut codes, &mut scales);
            scales[0]
        }
    };
    found.same("scale", &scale, &c.scale);
    found.same_elements("codes", &codes[..c.codes.len()], &c.codes);
}

fn nv_block(c: &golden::NvBlock, found: &mut Differences) {
    let Ok(rule) = c.rule.parse() else { return };
    let (values, tensor) = (padded::<NVFP4_BLOCK>(&c.inputs), NvTensor::new(rule, narrow(c.largest)));
    let block = tensor.block(&values, values.iter().fold(0.0, |a, x| x.abs().max(a)));
    let codes: Vec<u8> = values.iter().map(|x| tensor.code(*x, block, FloatRound::NearestEven, 0)).collect();
    found.same("scale", &block.scale, &c.scale);
    found.same_elements("codes", &codes[..c.codes.len()], &c.codes);
}

fn dot(c: &golden::BlockDot, found: &mut Differences) {
    let Some(element) = found.parsed::<Element>(&c.element) else { return };
    let scales = i32::from(c.scales[0]) + i32::from(c.scales[1]) - 254;
    let (mut sum, mut exact) = (ExactSum::default(), ExactSum::default());
    for (a, b) in c.a.iter().zip(&c.b) {
        sum.add_product(element.decode(*a), element.decode(*b), scales);
    }
    exact.add(c.exact.into(), -c.binary_digits);
    found.same("sum", &sum, &exact);
    found.same("rounded", &f64::from(sum.to_number().to_f32()), &c.rounded);
}
