//! Worked examples of HWGQ 2017, and every kernel against the reference.

use super::*;

const X: [f32; 12] = [-0.3, 0.0, 1e-6, 0.538, 0.807, 0.8071, 1.2, 1.345, 1.3451, 1.614, 2.614, 9.0];

fn both(quantizer: &str, isa: Isa) -> (Vec<f32>, Vec<f32>) {
    let quantizer: Quantizer = quantizer.parse().unwrap();
    let (mut y, mut dx) = (X.to_vec(), vec![1.0; X.len()]);
    forward(isa, &quantizer, &mut y);
    back(isa, &quantizer, &X, &mut dx);
    (y, dx)
}

#[test]
fn levels_and_the_three_ways_back() {
    let [q1, q2, q3] = [0.538, 1.076, 1.614];
    let y = [0.0, 0.0, q1, q1, q1, q2, q2, q2, q3, q3, q3, q3];
    let inside = [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    for (surrogate, tail) in [("", [1.0, 1.0]), ("clipped", [0.0, 0.0]), ("log-tailed", [0.5, 0.119_246])] {
        let (got, dx) = both(&format!("levels<0.538,1.076,1.614> {surrogate}"), Isa::Reference);
        assert_eq!(got, y);
        assert_eq!(dx[..10], inside);
        for (dx, want) in dx[10..].iter().zip(tail) {
            assert!((dx - want).abs() < 1e-6, "{surrogate}: {dx} and {want}");
        }
    }
}

#[test]
fn the_sign_and_its_hard_tanh() {
    let (y, dx) = both("binary nearest-away saturate clipped", Isa::Reference);
    assert_eq!(y[..3], [-1.0, 1.0, 1.0]);
    assert_eq!(dx[..7], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
}

#[test]
fn levels_have_codes_and_sums_a_worth() {
    let steps = [
        "levels<0.538,1.076,1.614>",
        "levels<0.1842,0.3684,0.5526,0.7368,0.921,1.1052,1.2894>",
        "binary nearest-away saturate",
    ];
    for quantizer in steps.map(|line| line.parse::<Quantizer>().unwrap()) {
        let (range, mut want) = (quantizer.format.min()..=quantizer.format.max(), vec![]);
        want.extend(range.filter(|p| quantizer.format != Format::Binary || *p != 0));
        let x: Vec<f32> = want.iter().map(|&code| quantizer.value_as_float(code)).collect();
        for isa in Isa::available() {
            let mut out = vec![99; x.len()];
            codes(isa, &quantizer, &x, &mut out);
            assert_eq!(
                out.iter().map(|&code| i64::from(code)).collect::<Vec<_>>(),
                want,
                "{quantizer} {isa:?}"
            );
            let mut y = [0.0; 4];
            values(isa, &[6, -6, 1, 0], [&[0.5, 0.25], &[0.0, 1.0]], &mut y);
            assert_eq!(y, [3.0, -0.5, 0.5, 1.0]);
        }
    }
}

#[test]
fn every_kernel_gives_the_bits_of_the_reference() {
    for quantizer in [
        "float32",
        "binary nearest-away saturate clipped",
        "binary nearest-away saturate",
        "levels<0.453,1.51> log-tailed",
        "levels<0.538,1.076,1.614> clipped",
        "levels<0.538,1.076,1.614>",
    ] {
        let want = both(quantizer, Isa::Reference);
        for isa in Isa::available() {
            assert_eq!(both(quantizer, isa), want, "{quantizer} {isa:?}");
        }
    }
}
