//! Cases as text: tables, configuration, a header of C and memory images. Numbers are bit patterns, so nothing is
//! lost; equal cases give equal bytes.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use intrain_num::block::Coding;

use super::Case;

/// A format of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// A line for each answer.
    Csv,
    /// An array of tables `case`, each with an array of tables `answer`.
    Toml,
    /// The same as one object.
    Json,
    /// A header with a structure and an array of it.
    C,
    /// Words of 32 bits for `$readmemh` of Verilog; the comment in front says what lies where.
    Memh,
}

impl TextFormat {
    /// All and their names.
    pub const ALL: [(&'static str, Self); 5] = [
        ("csv", Self::Csv),
        ("toml", Self::Toml),
        ("json", Self::Json),
        ("c", Self::C),
        ("memh", Self::Memh),
    ];
}

/// A name of no format of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no format of cases; write csv, toml, json, c or memh")]
pub struct NoTextFormat;

impl fmt::Display for TextFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, known)| known == self).map_or("", |(name, _)| name))
    }
}

impl FromStr for TextFormat {
    type Err = NoTextFormat;

    fn from_str(text: &str) -> Result<Self, NoTextFormat> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, known)| *known).ok_or(NoTextFormat)
    }
}

/// The cases of a coding as text.
#[must_use]
pub fn text(coding: &Coding, cases: &[Case], format: TextFormat) -> String {
    let mut out = String::new();
    match format {
        TextFormat::Csv => csv(coding, cases, &mut out),
        TextFormat::Toml => toml(coding, cases, &mut out),
        TextFormat::Json => json(coding, cases, &mut out),
        TextFormat::C => c(coding, cases, &mut out),
        TextFormat::Memh => memh(coding, cases, &mut out),
    }
    .unwrap_or_else(|fmt::Error| unreachable!("a string takes all text"));
    out
}

/// The format's name, without the rule of its scale: cases are for all rules. Edges stay.
fn name(coding: &Coding) -> String {
    let name = coding.to_string();
    let Some((front, behind)) = name.split_once('@') else { return name };
    let (rule, extent) = behind.split_once('/').map_or((behind, ""), |(rule, extent)| (rule, extent));
    let edges = match rule.split_once(':') {
        Some((_, edges)) => format!(" with the edges of {edges}"),
        None => String::new(),
    };
    let extent = if extent.is_empty() { String::new() } else { format!("/{extent}") };
    format!("{front}{extent}{edges}")
}

fn bits(x: f32) -> String {
    format!("0x{:08x}", x.to_bits())
}

/// Codes in as many digits as the format needs.
fn code(coding: &Coding, code: u32) -> String {
    format!("0x{code:0width$x}", width = coding.bits().div_ceil(4) as usize)
}

fn join<T>(all: &[T], between: &str, text: impl Fn(&T) -> String) -> String {
    all.iter().map(text).collect::<Vec<_>>().join(between)
}

/// A field of a table, quoted where it holds a comma.
fn field(text: &str) -> String {
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn csv(coding: &Coding, cases: &[Case], out: &mut String) -> fmt::Result {
    writeln!(out, "case,rule,round,tensor_largest,scale,codes,values,decimals")?;
    for case in cases {
        let values = join(&case.values, " ", |x| bits(*x));
        let decimals = join(&case.values, " ", |x| format!("{x:e}"));
        for answer in &case.answers {
            writeln!(
                out,
                "{},{},{},{},0x{:02x},{},{values},{decimals}",
                field(&case.name),
                answer.rule,
                answer.round,
                bits(case.largest),
                answer.scale,
                join(&answer.codes, " ", |x| code(coding, *x)),
            )?;
        }
    }
    Ok(())
}

fn toml(coding: &Coding, cases: &[Case], out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "# Blocks that tell rules of scales and roundings apart. Values are the bits of binary32 numbers."
    )?;
    writeln!(out, "format = \"{}\"", name(coding))?;
    for case in cases {
        writeln!(out, "\n[[case]]\nname = \"{}\"", case.name)?;
        writeln!(out, "tensor_largest = {} # {:e}", bits(case.largest), case.largest)?;
        writeln!(out, "values = [")?;
        for x in &case.values {
            writeln!(out, "  {}, # {x:e}", bits(*x))?;
        }
        writeln!(out, "]")?;
        for answer in &case.answers {
            writeln!(out, "\n[[case.answer]]\nrule = \"{}\"\nround = \"{}\"", answer.rule, answer.round)?;
            writeln!(out, "scale = 0x{:02x}", answer.scale)?;
            writeln!(out, "codes = [{}]", join(&answer.codes, ", ", |x| code(coding, *x)))?;
        }
    }
    Ok(())
}

/// Values are texts of bits, and of decimals beside them, as JSON has neither; scales and codes are numbers.
fn json(coding: &Coding, cases: &[Case], out: &mut String) -> fmt::Result {
    writeln!(out, "{{\n  \"format\": \"{}\",\n  \"cases\": [", name(coding))?;
    for (i, case) in cases.iter().enumerate() {
        let comma = |i: usize, len: usize| if i + 1 < len { "," } else { "" };
        writeln!(out, "    {{\n      \"name\": \"{}\",", case.name)?;
        writeln!(out, "      \"tensor_largest\": \"{}\",", bits(case.largest))?;
        writeln!(out, "      \"values\": [{}],", join(&case.values, ", ", |x| format!("\"{}\"", bits(*x))))?;
        writeln!(out, "      \"decimals\": [{}],", join(&case.values, ", ", |x| format!("\"{x:e}\"")))?;
        writeln!(out, "      \"answers\": [")?;
        for (j, answer) in case.answers.iter().enumerate() {
            writeln!(
                out,
                "        {{\"rule\": \"{}\", \"round\": \"{}\", \"scale\": {}, \"codes\": [{}]}}{}",
                answer.rule,
                answer.round,
                answer.scale,
                join(&answer.codes, ", ", u32::to_string),
                comma(j, case.answers.len()),
            )?;
        }
        writeln!(out, "      ]\n    }}{}", comma(i, cases.len()))?;
    }
    writeln!(out, "  ]\n}}")
}

/// Values of a block and answers of a case, which are the same for all cases.
fn sizes(cases: &[Case]) -> (usize, usize) {
    cases.first().map_or((1, 1), |case| (case.values.len(), case.answers.len().max(1)))
}

fn c(coding: &Coding, cases: &[Case], out: &mut String) -> fmt::Result {
    let (len, answers) = sizes(cases);
    let guard: String =
        name(coding).chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let (guard, upper) = (guard.to_lowercase(), guard.to_uppercase());
    let int = match coding.bits() {
        ..=8 => "uint8_t",
        9..=16 => "uint16_t",
        _ => "uint32_t",
    };
    write!(
        out,
        "/* Blocks of {} that tell rules of scales and roundings apart.\n\
         \x20  `values` and `tensor_largest` are the bits of binary32 numbers. */\n\
         #ifndef INTRAIN_CASES_{upper}_H\n#define INTRAIN_CASES_{upper}_H\n\n#include <stdint.h>\n\n\
         #define INTRAIN_{upper}_LEN {len}\n#define INTRAIN_{upper}_ANSWERS {answers}\n\
         #define INTRAIN_{upper}_CASES {}\n\n\
         struct intrain_{guard}_answer {{\n  const char *rule;\n  const char *round;\n  uint8_t scale;\n  {int} codes[{len}];\n}};\n\n\
         struct intrain_{guard}_case {{\n  const char *name;\n  uint32_t tensor_largest;\n  uint32_t values[{len}];\n  \
         struct intrain_{guard}_answer answers[{answers}];\n}};\n\n",
        name(coding),
        cases.len(),
    )?;
    // An array has one element at least.
    if !cases.is_empty() {
        writeln!(
            out,
            "static const struct intrain_{guard}_case intrain_{guard}_cases[{}] = {{",
            cases.len()
        )?;
    }
    for case in cases {
        writeln!(out, "  {{\"{}\",\n   {}, /* {:e} */\n   {{", case.name, bits(case.largest), case.largest)?;
        for x in &case.values {
            writeln!(out, "    {}, /* {x:e} */", bits(*x))?;
        }
        writeln!(out, "   }},\n   {{")?;
        for answer in &case.answers {
            writeln!(
                out,
                "    {{\"{}\", \"{}\", 0x{:02x}, {{{}}}}},",
                answer.rule,
                answer.round,
                answer.scale,
                join(&answer.codes, ", ", |x| code(coding, *x)),
            )?;
        }
        writeln!(out, "   }}}},")?;
    }
    if !cases.is_empty() {
        writeln!(out, "}};\n")?;
    }
    writeln!(out, "#endif")
}

fn memh(coding: &Coding, cases: &[Case], out: &mut String) -> fmt::Result {
    let (len, answers) = sizes(cases);
    let words = 1 + len + answers * (1 + len);
    writeln!(out, "// Blocks of {} that tell rules of scales and roundings apart.", name(coding))?;
    writeln!(
        out,
        "// Words of 32 bits; {} cases of {words} words, case n from word {words} n on:",
        cases.len()
    )?;
    writeln!(out, "//   word 0: the bits of the largest magnitude of the tensor, binary32")?;
    writeln!(out, "//   words 1 to {len}: the bits of the block's values, binary32")?;
    writeln!(
        out,
        "//   then for answer a, from word {} + {} a on: the code of the scale, and {len} codes",
        1 + len,
        1 + len
    )?;
    for (i, answer) in cases.first().iter().flat_map(|case| case.answers.iter().enumerate()) {
        let rule = if answer.rule.is_empty() { "no scale" } else { &answer.rule };
        writeln!(out, "//   answer {i}: {rule}, {}", answer.round)?;
    }
    for (n, case) in cases.iter().enumerate() {
        writeln!(out, "// case {n}: {}", case.name)?;
        writeln!(out, "{:08x}", case.largest.to_bits())?;
        writeln!(out, "{}", join(&case.values, " ", |x| format!("{:08x}", x.to_bits())))?;
        for answer in &case.answers {
            let codes = join(&answer.codes, " ", |x| format!("{x:08x}"));
            writeln!(out, "{:08x} {codes}", answer.scale)?;
        }
    }
    Ok(())
}
