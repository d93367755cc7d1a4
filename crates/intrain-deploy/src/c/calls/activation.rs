//! Activations: one or two terms, norms among them, added up and rounded once.

use intrain_num::{Quantizer, Spread};

use super::super::functions::{instance, number};
use super::super::source::Source;
use super::super::tables::{c_type, short, tensor_type};
use super::product::sum_of;
use crate::error::DeployError;
use crate::form::{Activation, BatchNorm, Element, LayerNorm, Norm};
use crate::range::Range;

pub(super) fn write(source: &mut Source<'_>, i: usize, a: &Activation) -> Result<(), DeployError> {
    let deployed = source.deployed;
    let node = &deployed.nodes[i];
    let refuse =
        |reason: String| DeployError::Target { layer: node.result.name.clone(), target: "C", reason };
    let sum = sum_of(a.bound, Some(&a.requantize))
        .ok_or_else(|| refuse(format!("its sum can reach {}, and C has integers of 64 bits", a.bound)))?;
    let y = node.result.element();
    let (mut terms, mut names, mut parameters, mut norms) = (vec![], vec![], vec![], vec![]);
    let mut prepare = String::new();
    for (k, (term, from)) in a.terms.iter().zip(&node.sources).enumerate() {
        let entering = &deployed.nodes[*from].result;
        let x = entering.element();
        let (value, name, norm) = match &term.norm {
            None => (format!("(ACC_T)x{k}[k]"), short(x).to_owned(), "0".to_owned()),
            Some(Norm::Batch(norm)) => {
                let (function, table) = batch_norm(source, (i, k), norm, (entering.range, sum))?;
                let value = format!("{function}((const norm_t *)p->norm[{k}], k, x{k}[k])");
                (value, format!("{}{}", short(x), function.replace("norm", "n")), format!("&{table}"))
            }
            Some(Norm::Layer(norm)) => {
                let (function, table) = layer_norm(source, (i, k), norm, (x, sum))?;
                let p = format!("(const layer_norm_t *)p->norm[{k}]");
                let line =
                    format!("        const line_t line{k} = layer_line_{}({p}, x{k}, p->c);\n", short(x));
                prepare.push_str(&line);
                let value = format!("{function}({p}, &line{k}, k, x{k}[k])");
                (value, format!("{}{}", short(x), function.replace("layer_norm", "l")), format!("&{table}"))
            }
        };
        terms.push(format!("{value} * ((ACC_T)1 << p->up[{k}])"));
        parameters.push(format!("const {} *x{k}", tensor_type(x)));
        names.push(name);
        norms.push(norm);
    }
    let advance: String = (0..terms.len()).map(|k| format!("        x{k} += p->c;\n")).collect();
    let name = format!("activation_{}_{}_{}", names.join("_"), short(sum), short(y));
    let acc = format!("_{}", short(sum));
    let words = [
        ("NAME", name.as_str()),
        ("PARAMETERS", &parameters.join(", ")),
        ("PREPARE\n", &prepare),
        ("ADVANCE\n", &advance),
        ("SUM", &terms.join(" + ")),
        ("ACC_T", c_type(sum)),
        ("_ACC", &acc),
        ("Y_T", tensor_type(y)),
    ];
    source.function(&name, instance(include_str!("../kernels/activation.c"), &words));
    let q = source.requantize(sum, &a.requantize);
    let ups: Vec<String> = a.terms.iter().map(|term| term.shift.to_string()).collect();
    let shape = node.result.shape;
    source.describe(&format!(
        "static const activation_t p{i} = {{ {}, {}, {{ {} }}, {{ {} }}, {q} }};\n",
        shape.h * shape.w,
        shape.c,
        norms.join(", "),
        ups.join(", ")
    ));
    let entering: Vec<String> = node.sources.iter().map(|from| source.at(*from)).collect();
    source.call(i, &format!("{name}(&p{i}, {}, {})", entering.join(", "), source.at(i)));
    Ok(())
}

/// Adds a norm's tables and function; the names of its function and description.
fn batch_norm(
    source: &mut Source<'_>,
    (i, k): (usize, usize),
    norm: &BatchNorm,
    (entering, sum): (Range, Element),
) -> Result<(String, String), DeployError> {
    let layer = source.deployed.nodes[i].result.name.clone();
    let largest = norm.lines.iter().map(|line| {
        let ends = [entering.min, entering.max].map(|x| line.exact(x).unsigned_abs());
        ends[0].max(ends[1]) + (1 << (line.shift.clamp(1, 62) - 1))
    });
    let largest = largest.max().unwrap_or(0);
    let exact = if largest < 0x7fff_ffff { Element::I32 } else { Element::I64 };
    let table = |what: &str| source_name(source, i, k, what);
    let [multiplier, offset, shift] = ["multiplier", "offset", "shift"].map(table);
    let (gain, add, gain_type) = learned(source, (i, k), &norm.gain, &norm.offset)?;
    let of = |f: fn(&intrain_num::norm::ChannelAffine) -> i64| norm.lines.iter().map(f).collect::<Vec<_>>();
    let offsets = of(|line| line.offset);
    if Element::narrowest(&offsets) > Element::I32 {
        return Err(too_wide(layer));
    }
    source.tables.add(
        &multiplier,
        &format!("{layer}: norm, multipliers"),
        Element::I16,
        of(|line| line.multiplier),
    );
    source.tables.add(&offset, &format!("{layer}: norm, offsets of the products"), Element::I32, offsets);
    source.tables.add(
        &shift,
        &format!("{layer}: norm, bits dropped"),
        Element::U8,
        of(|line| line.shift.into()),
    );
    let round = source.round(exact, norm.value.round);
    let description = format!("n{i}_{k}");
    source.describe(&format!(
        "static const norm_t {description} = {{ {multiplier}, {offset}, {shift}, {gain}, {add}, {round}, {}, {} }};\n",
        norm.value.min, norm.value.max
    ));
    let name = format!("norm_{}_{}_{}", short(exact), short(gain_type), short(sum));
    let acc = format!("_{}", short(exact));
    let words = [
        ("NORM", name.as_str()),
        ("SUM_T", c_type(sum)),
        ("ACC_T", c_type(exact)),
        ("_ACC", &acc),
        ("GAIN_T", c_type(gain_type)),
    ];
    source.function(&name, instance(include_str!("../kernels/norm.c"), &words));
    Ok((name, description))
}

/// Adds the tables of what a norm has learned; their names, and the type of gains.
fn learned(
    source: &mut Source<'_>,
    (i, k): (usize, usize),
    gains: &[i64],
    offsets: &[i64],
) -> Result<(String, String, Element), DeployError> {
    let layer = source.deployed.nodes[i].result.name.clone();
    if Element::narrowest(offsets) > Element::I32 {
        return Err(too_wide(layer));
    }
    let [gain, add] = ["gain", "add"].map(|what| source_name(source, i, k, what));
    let element = Element::narrowest(gains);
    source.tables.add(&gain, &format!("{layer}: norm, gains"), element, gains.to_vec());
    let comment = format!("{layer}: norm, offsets of the results");
    source.tables.add(&add, &comment, Element::I32, offsets.to_vec());
    Ok((gain, add, element))
}

fn too_wide(layer: String) -> DeployError {
    let reason = "a constant of its norm does not fit 32 bits".to_owned();
    DeployError::Target { layer, target: "C", reason }
}

/// The same of a norm over the channels of each pixel.
fn layer_norm(
    source: &mut Source<'_>,
    (i, k): (usize, usize),
    norm: &LayerNorm,
    (x, sum): (Element, Element),
) -> Result<(String, String), DeployError> {
    let node = &source.deployed.nodes[i].result;
    let (layer, c, rows) = (node.name.clone(), node.shape.c as u128, norm.rows);
    let [mean_digits, spread_digits] = [rows.mean, rows.spread_row].map(|row| row.format.frac_bits());
    let mean_up = mean_digits - rows.frac_bits;
    let is_l1 = rows.spread == Spread::L1;
    let finer = if is_l1 {
        spread_digits - mean_digits.max(rows.frac_bits) - 15
    } else {
        2 * (spread_digits - rows.frac_bits)
    };
    let (up, down) = (finer.max(0).unsigned_abs(), (-finer).max(0).unsigned_abs());
    // What is divided: squares of 16-bit integers, or their distances from a mean among them.
    let largest = if is_l1 { (c << (16 + mean_up)) * 41_069 } else { (c * c) << 30 } << up.min(64);
    if largest >= 1 << 62 || c << down.min(64) >= 1 << 62 {
        let reason = format!(
            "the spread of its {c} channels is a root of numbers up to {largest}, and C has integers of 64 bits"
        );
        return Err(DeployError::Target { layer, target: "C", reason });
    }
    let (gain, add, gain_type) = learned(source, (i, k), &norm.gain, &norm.offset)?;
    let (mean_round, round) = (number(rows.mean.round), source.round(Element::I64, rows.value.round));
    let [least, largest] = rows.spreads();
    let shift = rows.frac_bits - spread_digits - rows.value.format.frac_bits();
    let limits = |q: Quantizer| format!("{}, {}", q.format.min(), q.format.max());
    let description = format!("n{i}_{k}");
    source.describe(&format!(
        "static const layer_norm_t {description} = {{ {gain}, {add}, {mean_up}, {mean_round}, {}, {up}, {down}, {shift}, {round}, \
         {}, {least}, {largest}, {} }};\n",
        i32::from(is_l1),
        limits(rows.mean),
        limits(rows.value),
    ));
    source.function("layer_norm_types", include_str!("../kernels/layer_norm_types.c").to_owned());
    let line = format!("layer_line_{}", short(x));
    let (helpers, of_types) =
        include_str!("../kernels/layer_norm.c").split_once("/* A pixel's").unwrap_or_default();
    source.function("layer_norm_helpers", helpers.to_owned());
    let text = format!("/* A pixel's{of_types}");
    source.function(&line, instance(&text, &[("layer_line_XS", line.as_str()), ("X_T", tensor_type(x))]));
    let name = format!("layer_norm_{}_{}", short(gain_type), short(sum));
    let words = [("NORM", name.as_str()), ("SUM_T", c_type(sum)), ("GAIN_T", c_type(gain_type))];
    source.function(&name, instance(include_str!("../kernels/layer_norm_value.c"), &words));
    Ok((name, description))
}

fn source_name(source: &Source<'_>, i: usize, k: usize, what: &str) -> String {
    source.name(&format!("n{i}_{k}_{what}"))
}
