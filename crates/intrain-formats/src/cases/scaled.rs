//! Maxima at which a rule of E8M0 scales changes its mind.

use std::collections::BTreeMap;

use intrain_num::block::{Element, ScaleRule};

use super::block::{Blocks, STEPS, narrow, stepped};

/// The bits of the least binary32 in `[1, 2)` from which on a rule gives the exponent that it has at the end of the
/// binade; those of 1 where it gives the same one throughout, and so changes there.
fn threshold(rule: ScaleRule, element: Element) -> u32 {
    let (mut low, mut high) = (1.0f32.to_bits(), 2.0f32.to_bits() - 1);
    let last = rule.exponent(element, high);
    // Exponents never fall with the maximum.
    while low < high {
        let middle = low.midpoint(high);
        if rule.exponent(element, middle) == last {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// A block below its maximum: from `a` down in equal parts, signs alternating.
#[allow(clippy::cast_precision_loss, reason = "at most 64 parts")]
fn below(a: f32, len: usize) -> Vec<f32> {
    let part = |i: usize| a * ((len - i) as f32 / len as f32);
    (0..len).map(|i| if i % 2 == 0 { part(i) } else { -part(i) }).collect()
}

/// Blocks at the thresholds of all rules: in `[1, 2)` with the neighbours, at both ends of the scale's range without.
pub(super) fn thresholds(blocks: &mut Blocks, element: Element) {
    let len = blocks.len;
    let mut all: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for (name, rule) in ScaleRule::ALL {
        all.entry(threshold(rule, element)).or_default().push(name);
    }
    // Where the element's largest value and the carry of `even` lie, even if no rule changes there.
    let format = element.magnitudes();
    let max = format.max().to_f64() * 2f64.powi(-format.max_exponent());
    let carry = 2.0 - 2f64.powi(-format.mantissa_bits().cast_signed() - 1);
    for at in [max, carry] {
        all.entry(narrow(at).to_bits()).or_default();
    }
    let named = |rules: &[&str], at: u32| match rules {
        [] => format!("mantissa 0x{:06x}", at & 0x7f_ffff),
        rules => format!("threshold of {}", rules.join(" and ")),
    };
    for (at, rules) in &all {
        for (steps, side) in STEPS {
            let a = stepped(f32::from_bits(*at), steps);
            blocks.add(format!("{}{side}", named(rules, *at)), &below(a, len));
        }
    }
    let emax = format.max_exponent();
    for (exponent, place) in [
        (emax.saturating_sub(128), "below the range of scales"),
        (emax.saturating_sub(127), "at the least scale"),
        (emax.saturating_sub(126), "above the least scale"),
        (127, "in the last binade"),
    ] {
        for (at, rules) in &all {
            let a = narrow(f64::from(f32::from_bits(*at)) * 2f64.powi(exponent));
            if a != 0.0 && a.is_finite() {
                blocks.add(format!("{}, {place}", named(rules, *at)), &below(a, len));
            }
        }
    }
}
