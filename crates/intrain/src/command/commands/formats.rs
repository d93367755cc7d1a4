//! `intrain formats`: what small floats and blocks there are, their limits and all their codes.

use std::process::ExitCode;

use crate::formats::PROFILES;
use crate::num::block::{Coding, CodingError, NvRule, ScaleRule, block_names};
use crate::num::minifloat::{FloatFormat, NAMES, Number};
use serde_json::{Value, json};

use crate::command::args::FormatsArgs;
use crate::command::failure::Usage;
use crate::command::output::{Output, facts, grouped, table};

mod block;

/// Codes of a format that are shown without being asked for, in bits.
const SHOWN_BITS: u32 = 8;
/// Codes that are shown at all, in bits.
const MOST_BITS: u32 = 16;

/// Blocks: name, elements that share a scale, element, scale, source.
const BLOCKS: [[&str; 5]; 8] = [
    ["mxfp8, mxfp8-e5m2", "32", "e4m3, e5m2", "e8m0", "OCP MX 1.0"],
    ["mxfp6, mxfp6-e3m2", "32", "e2m3, e3m2", "e8m0", "OCP MX 1.0"],
    ["mxfp4", "32", "e2m1", "e8m0", "OCP MX 1.0"],
    ["mxint8", "32", "int8: code / 64", "e8m0", "OCP MX 1.0"],
    ["mxint4", "32", "int4: code / 4", "e8m0", ""],
    ["nvfp4", "16 or 16x16", "e2m1", "e4m3, and binary32 of the tensor", "NVIDIA TransformerEngine"],
    ["bfp<W>", "row", "int<W>, 3 to 8 bits", "e8m0", "block floating point"],
    ["mx<ELEMENT,SIZE>", "SIZE", "any float of 8 bits or less, int<W>", "e8m0", ""],
];

pub(crate) fn run(args: &FormatsArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match &args.name {
        None => all(output)?,
        Some(name) => match name.parse::<Coding>() {
            Ok(coding) if coding.extent().is_some() => block::run(name, &coding, output)?,
            // A name that is known, with a rule or an extent that is not.
            Err(error) if error != CodingError::Name => {
                return Err(Usage(format!("'{name}' has {error}")).into());
            }
            _ => one(name, args.codes, output)?,
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn all(output: &Output) -> anyhow::Result<()> {
    let extra = ["binary8p4se", "binary8p3se", "binary8p4sf", "binary8p3sf", "binary4p2sf"];
    let named = NAMES.iter().map(|(name, format, _)| (*name, *format));
    let p3109 = extra.into_iter().filter_map(|name| Some((name, name.parse::<FloatFormat>().ok()?)));
    let formats: Vec<_> = named.chain(p3109).collect();
    let rows: Vec<[String; 8]> = formats
        .iter()
        .map(|(name, format)| {
            let facts = Facts::of(*format);
            [
                (*name).to_owned(),
                format.bits().to_string(),
                format.bias().to_string(),
                facts.max,
                facts.min_normal,
                facts.min,
                facts.special,
                facts.finite,
            ]
        })
        .collect();
    let names = |all: &[(&str, ScaleRule)]| all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let nvfp4: Vec<&str> = NvRule::ALL.iter().map(|(name, _)| *name).collect();
    let profiles: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
    let text = format!(
        "{}\nOther floats: float<E,M> with ieee, fn, finite or fnuz behind it, float<E,M,bias=B>, Binary{{K}}p{{P}}{{s|u}}{{e|f}}.\n\n{}\n\
         Scale rules behind @: {}.\nOf nvfp4: {}.\nProfiles: {}.\n`intrain formats NAME` shows all codes; `docs/arithmetic.md`, \
         sections 12 and 13, say what each means.",
        table(
            ["float", "bits", "bias", "largest", "least normal", "least", "NaN, infinity, -0", "finite"],
            &rows
        ),
        table(
            ["block", "share a scale", "element", "scale", "source"],
            &BLOCKS.map(|row| row.map(str::to_owned))
        ),
        names(&ScaleRule::ALL),
        nvfp4.join(", "),
        profiles.join(", "),
    );
    let floats: Vec<Value> = formats.iter().map(|(name, format)| object(name, *format, false)).collect();
    let rules: Vec<&str> = ScaleRule::ALL.iter().map(|(name, _)| *name).collect();
    let blocks: Vec<Value> = BLOCKS
        .iter()
        .map(|[name, size, element, scale, _]| json!({"name": name, "block": size, "element": element, "scale": scale}))
        .collect();
    let object = json!({"floats": floats, "blocks": blocks, "scale_rules": rules, "nvfp4_rules": nvfp4, "profiles": profiles});
    output.finish(&text, &object)?;
    Ok(())
}

fn one(name: &str, codes: bool, output: &Output) -> anyhow::Result<()> {
    let format: FloatFormat = name.parse().map_err(|error| {
        if name.starts_with("qtorch") {
            return Usage(format!(
                "'{name}' is a function of QPyTorch, not a format; `intrain quantize --as {name}` runs it"
            ));
        }
        // What is written as blocks are.
        if ["mx", "nv", "bfp"].iter().any(|front| name.starts_with(front)) {
            let nearest = block_names().min_by_key(|known| strsim::damerau_levenshtein(known, name));
            return Usage(format!(
                "'{name}' is {}; the nearest name is '{}'",
                CodingError::Name,
                nearest.unwrap_or_default()
            ));
        }
        let known = NAMES.iter().map(|(name, ..)| *name).chain(block_names());
        let nearest = known.min_by_key(|known| strsim::damerau_levenshtein(known, name)).unwrap_or_default();
        Usage(format!("'{name}' is {error}; the nearest name is '{nearest}'"))
    })?;
    let shown = format.bits() <= SHOWN_BITS || codes;
    if shown && format.bits() > MOST_BITS {
        return Err(Usage(format!(
            "--codes: {name} has 2^{} codes, above the limit of 2^{MOST_BITS}; leave --codes out",
            format.bits()
        ))
        .into());
    }
    let limits = Facts::of(format);
    let mut text = facts(&[
        ("format", format.to_string()),
        (
            "bits",
            format!(
                "{} ({} of exponent, {} of mantissa)",
                format.bits(),
                format.exponent_bits(),
                format.mantissa_bits()
            ),
        ),
        ("bias", format.bias().to_string()),
        ("largest", format!("{} (code {:#x})", limits.max, format.max_code())),
        ("least normal", limits.min_normal),
        ("least", limits.min),
        ("special", limits.special),
        ("finite codes", limits.finite),
    ]);
    if shown {
        text.push('\n');
        text.push_str(&codes_of(format.bits(), |code| format.decode(code)));
    }
    output.finish(&text, &object(name, format, shown))?;
    Ok(())
}

/// All codes of so many bits with their values.
fn codes_of(bits: u32, decode: impl Fn(u32) -> Number) -> String {
    let (digits, width) = (bits.div_ceil(4) as usize, bits as usize);
    let row = |code| [format!("{code:0digits$x}"), format!("{code:0width$b}"), shown_value(decode(code))];
    let rows: Vec<[String; 3]> = (0..1u32 << bits).map(row).collect();
    table(["code", "bits", "value"], &rows)
}

/// Limits of a format in words.
struct Facts {
    max: String,
    min_normal: String,
    min: String,
    special: String,
    finite: String,
}

impl Facts {
    fn of(format: FloatFormat) -> Self {
        let codes = |code: Option<u32>| code.map(|code| format!("{code:#x}"));
        let nan = match (codes(format.nan(false)), codes(format.nan(true))) {
            (Some(a), Some(b)) if a != b => format!("NaN {a} {b}"),
            (Some(a), _) => format!("NaN {a}"),
            _ => "no NaN".to_owned(),
        };
        let infinity = codes(format.infinity())
            .map_or_else(|| "no infinity".to_owned(), |code| format!("infinity {code}"));
        let zero =
            if format.has_minus_zero() { format!("-0 {:#x}", format.sign()) } else { "no -0".to_owned() };
        let magnitudes = u64::from(format.max_code()) + 1;
        let finite = if format.is_signed() {
            2 * magnitudes - u64::from(!format.has_minus_zero())
        } else {
            magnitudes
        };
        Self {
            max: power(format.max()),
            min_normal: power(format.decode(1 << format.mantissa_bits())),
            min: power(format.decode(1)),
            special: format!("{nan}; {infinity}; {zero}"),
            finite: grouped(finite),
        }
    }
}

/// A value as a decimal number where that is short, else as a power of two.
fn power(number: Number) -> String {
    let Number::Finite { mantissa, exponent, .. } = number else { return shown_value(number) };
    let shift = mantissa.trailing_zeros();
    let (mantissa, exponent) =
        if mantissa == 0 { (0, 0) } else { (mantissa >> shift, exponent + shift.cast_signed()) };
    match mantissa {
        _ if (-4..=20).contains(&exponent) => number.to_f64().to_string(),
        1 => format!("2^{exponent}"),
        _ => format!("{mantissa} * 2^{exponent}"),
    }
}

fn shown_value(number: Number) -> String {
    let x = number.to_f64();
    match number {
        Number::Nan { .. } => "NaN".to_owned(),
        Number::Infinite { negative } => if negative { "-infinity" } else { "infinity" }.to_owned(),
        Number::Finite { .. } if x == 0.0 || (1e-5..1e7).contains(&x.abs()) => x.to_string(),
        Number::Finite { .. } => format!("{x:e}"),
    }
}

fn object(name: &str, format: FloatFormat, with_codes: bool) -> Value {
    let mut object = json!({
        "name": name, "format": format.to_string(), "bits": format.bits(), "exponent_bits": format.exponent_bits(),
        "mantissa_bits": format.mantissa_bits(), "bias": format.bias(), "signed": format.is_signed(),
        "max": format.max().to_f64(), "max_code": format.max_code(), "min_normal": format.decode(1 << format.mantissa_bits()).to_f64(),
        "min": format.decode(1).to_f64(), "nan": format.nan(false), "infinity": format.infinity(),
        "minus_zero": format.has_minus_zero().then(|| format.sign()),
    });
    if with_codes {
        object["values"] = values(format.bits(), |code| format.decode(code));
    }
    object
}

/// The values of all codes: numbers, and words for what is none.
fn values(bits: u32, decode: impl Fn(u32) -> Number) -> Value {
    let value = |number: Number| match number {
        Number::Finite { .. } => json!(number.to_f64()),
        _ => json!(shown_value(number)),
    };
    (0..1u32 << bits).map(|code| value(decode(code))).collect()
}
