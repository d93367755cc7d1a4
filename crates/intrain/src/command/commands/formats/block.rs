//! `intrain formats NAME` of a block: what shares a scale, what a scale is worth, and the codes of its elements.

use crate::num::block::{Coding, Element, Extent};
use crate::num::minifloat::FloatFormat;
use serde_json::json;

use super::{codes_of, power, values};
use crate::command::output::{Output, facts};

/// Shows the block `coding`, which has a scale.
pub(super) fn run(name: &str, coding: &Coding, output: &Output) -> anyhow::Result<()> {
    let e2m1 = Element::float(FloatFormat::E2M1);
    let (Some(element), rule, scale) = (match coding {
        Coding::Plain { .. } => return Ok(()),
        Coding::Scaled { element, rule, .. } => {
            (Some(*element), rule.to_string(), "e8m0: 2^(code - 127), NaN 0xff")
        }
        Coding::Nvfp4 { rule, .. } => (e2m1, rule.to_string(), "e4m3, times a binary32 number of the tensor"),
    }) else {
        return Ok(());
    };
    let (bits, largest) = (element.bits(), element.magnitudes().max());
    let shared = shared(coding.extent());
    let share = shared.elements.map(|n| f64::from(bits) + 8.0 / f64::from(n));
    let mut text = facts(&[
        ("block", coding.to_string()),
        ("elements", format!("{element}, {bits} bits, at most {}", power(largest))),
        ("share a scale", shared.words),
        ("scale", scale.to_owned()),
        ("rule", rule.clone()),
        ("bits a number", share.map_or_else(|| format!("{bits}, and a scale of 8"), |bits| bits.to_string())),
        ("value", "the element's times the scale's".to_owned()),
    ]);
    text.push_str("\nElements:\n");
    let decode = |code: u32| element.decode(code.to_le_bytes()[0]);
    text.push_str(&codes_of(bits, decode));
    let object = json!({
        "name": name, "format": coding.to_string(), "element": element.to_string(), "bits": bits,
        "extent": coding.extent().map(|extent| extent.to_string()), "rule": rule, "bits_per_number": share,
        "scale": if matches!(coding, Coding::Nvfp4 { .. }) { "e4m3" } else { "e8m0" },
        "max": largest.to_f64(), "values": values(bits, decode),
    });
    output.finish(&text, &object)?;
    Ok(())
}

/// What shares a scale.
struct Shared {
    words: String,
    /// Elements, where the tensor does not settle them.
    elements: Option<u32>,
}

fn shared(extent: Option<Extent>) -> Shared {
    match extent {
        None | Some(Extent::Tensor) => Shared { words: "the whole tensor".to_owned(), elements: None },
        Some(Extent::Line) => Shared { words: "all numbers along the axis".to_owned(), elements: None },
        Some(Extent::Run(n)) => Shared { words: format!("{n} numbers along the axis"), elements: Some(n) },
        Some(Extent::Tile(n)) => Shared { words: format!("{n} x {n} numbers"), elements: n.checked_mul(n) },
    }
}
