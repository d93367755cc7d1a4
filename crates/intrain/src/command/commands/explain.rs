//! `intrain explain`: why two quantized arrays differ.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::formats::explain::{self, Before, Difference, Explanation, Found, Nearest, Seen, Source};
use crate::tensors::Arrays;
use serde_json::{Value, json};

use crate::command::args::ExplainArgs;
use crate::command::failure::Usage;
use crate::command::output::{Output, grouped, percent};

/// Ways that are listed before the rest is counted.
const LISTED: usize = 12;

pub(crate) fn run(args: &ExplainArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let (a, b) = (Arrays::read(&args.a)?, Arrays::read(&args.b)?);
    let (seen_a, seen_b) = (a.seen(|_| args.scales)?, b.seen(|_| args.scales)?);
    let explanation = if let Some(path) = &args.from {
        let (values, shape) = Arrays::read(path)?.floats()?;
        for (file, seen) in [(&args.a, &seen_a), (&args.b, &seen_b)] {
            check_size((path, values.len()), file, seen)?;
        }
        explain::with_source(&seen_a, &seen_b, Source { values: &values, shape: &shape })
    } else {
        let shape = a.codes_shape().ok_or_else(|| {
            Usage(format!(
                "{}: without --from the array of codes is needed; its shape says how blocks lie",
                args.a.display()
            ))
        })?;
        // Packed codes have shorter rows than their elements.
        let shapes = [(1, 1), (2, 1), (4, 3)].map(|(times, by)| {
            let mut shape = shape.to_vec();
            if let Some(row) = shape.last_mut() {
                *row = row.saturating_mul(times) / by;
            }
            shape
        });
        let mut all = shapes.iter().map(|shape| explain::without_source(&seen_a, &seen_b, shape));
        let first = all.next().ok_or_else(|| Usage("the array has no shape".to_owned()))?;
        if first.is_explained() { first } else { all.find(Explanation::is_explained).unwrap_or(first) }
    };
    let is_explained = explanation.is_explained();
    output.finish(&text(&explanation, args.from.is_some()), &object(&explanation))?;
    Ok(if is_explained { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Refuses numbers that are not as many as an array's codes, packed or not, or as its values.
fn check_size((path, n): (&Path, usize), file: &Path, seen: &Seen) -> Result<(), Usage> {
    let (len, what) = match (&seen.codes, &seen.values) {
        (Some(codes), _) => (codes.len(), "codes"),
        (None, Some(values)) => (values.len(), "values"),
        (None, None) => return Ok(()),
    };
    let packed = [1, 2].map(|by| n.div_ceil(by)).contains(&len) || len == (n * 3).div_ceil(4);
    if packed && (what == "codes" || len == n) {
        return Ok(());
    }
    let problem = if len < n { "; scales alone are read as such with --scales" } else { "" };
    Err(Usage(format!(
        "--from {}: it has {} numbers, and {} has {} {what}; name the numbers that it came from{problem}",
        path.display(),
        grouped(n as u64),
        file.display(),
        grouped(len as u64)
    )))
}

fn text(explanation: &Explanation, has_source: bool) -> String {
    let mut text = String::new();
    match &explanation.difference {
        None => text.push_str("A and B are equal, byte for byte.\n"),
        Some(difference) => describe(&mut text, difference),
    }
    for (name, found, nearest) in [
        ("A", &explanation.a, &explanation.unexplained[0]),
        ("B", &explanation.b, &explanation.unexplained[1]),
    ] {
        ways(&mut text, name, found, nearest.as_ref());
    }
    for change in &explanation.switch {
        let _ = writeln!(text, "\nThe switch: {}: {} in A, {} in B.", change.what, change.a, change.b);
    }
    remarks(&mut text, explanation);
    if explanation.chose_otherwise > 0 {
        let _ = writeln!(
            text,
            "\nFrom the bytes alone: NVFP4 by 4over6, and in {} blocks one array made the maximum 6 where the other made it 4: \
             their errors nearly tie there, and are computed otherwise (through 1/S, or through the tensor's maximum; as \
             magnitudes, or as squares). --from X.npy names the two.",
            grouped(explanation.chose_otherwise as u64)
        );
    }
    if let Some(best) = explanation.pairs.first() {
        let _ = writeln!(
            text,
            "\nFrom the bytes alone: {} elements, and most likely the scale rule {} in A where B has {}.",
            best.element, best.a, best.b
        );
        let others: Vec<String> = explanation.pairs[1..]
            .iter()
            .filter(|pair| pair.element == best.element)
            .map(|pair| format!("{} and {}", pair.a, pair.b))
            .collect();
        if !others.is_empty() {
            let _ = writeln!(
                text,
                "Less likely, and not excluded by any block: {}. --from X.npy decides.",
                others.join("; ")
            );
        }
    }
    if !explanation.is_explained() {
        text.push_str("\nnot explained");
        text.push_str(if has_source {
            ": no format, rule, rounding, axis or packing that is known gives these bytes.\n"
        } else {
            " by the bytes alone; name the numbers that both came from with --from X.npy.\n"
        });
    }
    text
}

fn describe(text: &mut String, difference: &Difference) {
    let share = |[n, of]: [usize; 2]| {
        #[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
        let ratio = if of == 0 { 0.0 } else { n as f64 / of as f64 };
        format!("{} of {} ({})", grouped(n as u64), grouped(of as u64), percent(ratio))
    };
    if difference.is_of_other_size {
        text.push_str("A and B hold different numbers or kinds of scales, codes and values.\n");
    }
    if let Some(first) = difference.scale {
        let _ = writeln!(
            text,
            "scales differ: {}, the first at {}: {:#04x} in A, {:#04x} in B",
            share(difference.scales),
            first.index,
            first.a,
            first.b
        );
        let steps: Vec<String> = difference
            .steps
            .iter()
            .filter(|(step, _)| **step != 0)
            .map(|(step, n)| format!("{step:+} in {}", grouped(*n as u64)))
            .collect();
        let _ = writeln!(text, "scales of B against A: {}", steps.join(", "));
    }
    for (what, first) in [("codes", difference.code), ("values", difference.value)] {
        if let Some(first) = first {
            let shown = |bits: u32| {
                if what == "values" { format!("{:e}", f32::from_bits(bits)) } else { format!("{bits:#04x}") }
            };
            let _ = writeln!(
                text,
                "{what} differ: {}, the first at {}: {} in A, {} in B",
                share(difference.codes),
                first.index,
                shown(first.a),
                shown(first.b)
            );
        }
    }
}

fn ways(text: &mut String, name: &str, found: &[Found], nearest: Option<&Nearest>) {
    if !found.is_empty() {
        let _ = writeln!(text, "\n{name} is given by");
        found.iter().take(LISTED).for_each(|found| {
            let _ = writeln!(text, "  {found}");
        });
        if found.len() > LISTED {
            let _ = writeln!(text, "  and {} more", found.len() - LISTED);
        }
    }
    let Some(nearest) = nearest else { return };
    let _ = writeln!(
        text,
        "\n{name} is not explained. Nearest is {}, which misses {} of {} bytes. Its first other block, number {}:",
        nearest.found,
        grouped(nearest.missed as u64),
        grouped(nearest.of as u64),
        nearest.block
    );
    if let Some([seen, made]) = nearest.scales {
        let _ = writeln!(text, "  scale    {seen:#04x}, by that way {made:#04x}");
    }
    let shown = nearest.values.iter().take(32);
    let _ = writeln!(text, "  numbers  {}", shown.map(|x| format!("{x:e}")).collect::<Vec<_>>().join(" "));
    if !nearest.codes.is_empty() {
        let codes = |i: usize| {
            nearest.codes.iter().take(32).map(|c| format!("{:x}", c[i])).collect::<Vec<_>>().join(" ")
        };
        let _ = writeln!(text, "  codes    {}\n  that way {}", codes(0), codes(1));
    }
}

/// What the causes mean for a user.
fn remarks(text: &mut String, explanation: &Explanation) {
    let rules: Vec<&str> =
        explanation.switch.iter().filter(|c| c.what == "scale rule").flat_map(|c| [&*c.a, &*c.b]).collect();
    if rules.iter().any(|rule| ["floor", "div-floor", "div-nearest", "div-log2round"].contains(rule)) {
        text.push_str("These rules may clip the largest numbers of a block: floor, div-floor, div-nearest, div-log2round; rceil and ceil do not.\n");
    }
    if rules.iter().any(|rule| rule.ends_with("-dec")) {
        text.push_str("4over6 chose otherwise where both errors nearly tie: computed through 1/S, and through the tensor's maximum.\n");
    }
    if explanation.b.iter().chain(&explanation.a).any(|found| found.before == Before::Again) {
        text.push_str("A rule that is not idempotent (rceil, ceil) changes scales on a round trip: keep the scales with the tensor.\n");
    }
}

fn object(explanation: &Explanation) -> Value {
    let found = |found: &Found| {
        json!({
            "way": found.to_string(), "format": found.way.coding.to_string(), "round": found.way.round.to_string(), "axis": found.way.axis,
            "packing": found.order.map(|order| order.to_string()), "stochastic": found.is_stochastic,
            "before": match found.before {
                Before::Nothing => "nothing",
                Before::Bfloat16 => "bfloat16",
                Before::Binary16 => "binary16",
                Before::Again => "again",
            },
        })
    };
    let first = |first: Option<explain::First>| first.map(|f| json!({"index": f.index, "a": f.a, "b": f.b}));
    let difference = explanation.difference.as_ref().map(|d| {
        json!({
            "scales_differ": d.scales[0], "scales": d.scales[1], "codes_differ": d.codes[0], "codes": d.codes[1],
            "first_scale": first(d.scale), "first_code": first(d.code), "first_value": first(d.value),
            "scale_steps": d.steps.iter().map(|(step, n)| (step.to_string(), json!(n))).collect::<serde_json::Map<_, _>>(),
        })
    });
    json!({
        "explained": explanation.is_explained(), "difference": difference,
        "a": explanation.a.iter().map(found).collect::<Vec<_>>(), "b": explanation.b.iter().map(found).collect::<Vec<_>>(),
        "switch": explanation.switch.iter().map(|c| json!({"what": c.what, "a": c.a, "b": c.b})).collect::<Vec<_>>(),
        "chose_otherwise": explanation.chose_otherwise,
        "pairs": explanation.pairs.iter().map(|p| json!({"element": p.element.to_string(), "a": p.a.to_string(), "b": p.b.to_string()})).collect::<Vec<_>>(),
    })
}
