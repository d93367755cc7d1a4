//! Names of formats: the usual ones, P3109's, and `float<E,M>` for all others.

use core::fmt;
use core::str::FromStr;

use super::error::FloatError;
use super::format::{FloatFormat, Top};

/// The formats that have names, and other spellings of them.
pub const NAMES: [(&str, FloatFormat, &[&str]); 14] = [
    ("e4m3", FloatFormat::E4M3, &["e4m3fn", "float8_e4m3fn", "fp8_e4m3"]),
    ("e5m2", FloatFormat::E5M2, &["float8_e5m2", "fp8_e5m2"]),
    ("e4m3fnuz", named(4, 3, Top::Fnuz), &["float8_e4m3fnuz"]),
    ("e5m2fnuz", named(5, 2, Top::Fnuz), &["float8_e5m2fnuz"]),
    ("e4m3b11fnuz", with_bias(4, 3, 11, Top::Fnuz), &["float8_e4m3b11fnuz"]),
    ("e4m3ieee", named(4, 3, Top::Ieee), &["float8_e4m3"]),
    ("e3m4", named(3, 4, Top::Ieee), &["float8_e3m4"]),
    ("e3m2", FloatFormat::E3M2, &["e3m2fn", "float6_e3m2fn"]),
    ("e2m3", FloatFormat::E2M3, &["e2m3fn", "float6_e2m3fn"]),
    ("e2m1", FloatFormat::E2M1, &["e2m1fn", "float4_e2m1fn", "fp4"]),
    ("bfloat16", FloatFormat::BFLOAT16, &["bf16"]),
    ("binary16", named(5, 10, Top::Ieee), &["float16", "fp16", "half"]),
    ("tf32", named(8, 10, Top::Ieee), &[]),
    ("binary32", FloatFormat::BINARY32, &["float32", "fp32"]),
];

const fn named(exponent_bits: u32, mantissa_bits: u32, top: Top) -> FloatFormat {
    with_bias(exponent_bits, mantissa_bits, FloatFormat::usual_bias(exponent_bits, top), top)
}

const fn with_bias(exponent_bits: u32, mantissa_bits: u32, bias: i32, top: Top) -> FloatFormat {
    match FloatFormat::new(exponent_bits, mantissa_bits, bias, top, true) {
        Some(format) => format,
        None => panic!("a named format is within the limits"),
    }
}

impl Top {
    /// Its word behind `float<E,M>`; P3109's formats have names of their own.
    const WORDS: [(&'static str, Self); 4] =
        [("ieee", Self::Ieee), ("fn", Self::Fn), ("finite", Self::Finite), ("fnuz", Self::Fnuz)];
}

impl fmt::Display for FloatFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, ..)) = NAMES.iter().find(|(_, format, _)| format == self) {
            return f.write_str(name);
        }
        if matches!(self.top(), Top::P3109Finite | Top::P3109Extended) {
            let sign = if self.is_signed() { 's' } else { 'u' };
            let domain = if self.top() == Top::P3109Extended { 'e' } else { 'f' };
            return write!(f, "binary{}p{}{sign}{domain}", self.bits(), self.mantissa_bits() + 1);
        }
        write!(f, "float<{},{}", self.exponent_bits(), self.mantissa_bits())?;
        if self.bias() != Self::usual_bias(self.exponent_bits(), self.top()) {
            write!(f, ",bias={}", self.bias())?;
        }
        let word = Top::WORDS.iter().find(|(_, top)| *top == self.top()).map_or("", |(word, _)| word);
        write!(f, ">{word}")
    }
}

impl FromStr for FloatFormat {
    type Err = FloatError;

    /// Names are read in any case.
    fn from_str(text: &str) -> Result<Self, FloatError> {
        let is = |name: &str| name.eq_ignore_ascii_case(text);
        if let Some((_, format, _)) =
            NAMES.iter().find(|(name, _, others)| is(name) || others.iter().any(|other| is(other)))
        {
            return Ok(*format);
        }
        let strip = |text: &'_ str, prefix: &str| {
            let head = text.get(..prefix.len()).filter(|head| head.eq_ignore_ascii_case(prefix));
            head.map(|_| prefix.len())
        };
        if let Some(n) = strip(text, "binary") {
            return p3109(&text[n..]).ok_or(FloatError::Format);
        }
        let n = strip(text, "float<").ok_or(FloatError::Format)?;
        fields(&text[n..]).ok_or(FloatError::Format)
    }
}

/// What stands behind `Binary`: `8p4se`.
fn p3109(text: &str) -> Option<FloatFormat> {
    let (width, rest) = text.split_once(['p', 'P'])?;
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    let (width, precision): (u32, u32) = (width.parse().ok()?, rest[..digits].parse().ok()?);
    let (signed, top) = match &rest[digits..] {
        word if word.eq_ignore_ascii_case("se") => (true, Top::P3109Extended),
        word if word.eq_ignore_ascii_case("sf") => (true, Top::P3109Finite),
        word if word.eq_ignore_ascii_case("ue") => (false, Top::P3109Extended),
        word if word.eq_ignore_ascii_case("uf") => (false, Top::P3109Finite),
        _ => return None,
    };
    if !(3..=32).contains(&width) || precision < 1 {
        return None;
    }
    let exponent_bits = (width + u32::from(!signed)).checked_sub(precision)?;
    if !(1..=11).contains(&exponent_bits) {
        return None;
    }
    FloatFormat::new(exponent_bits, precision - 1, FloatFormat::usual_bias(exponent_bits, top), top, signed)
}

/// What stands behind `float<`: `4,3,bias=11>fnuz`; without a word behind it, `ieee`.
fn fields(text: &str) -> Option<FloatFormat> {
    let (fields, word) = text.split_once('>')?;
    let top = if word.is_empty() {
        Top::Ieee
    } else {
        Top::WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word))?.1
    };
    let mut fields = fields.split(',').map(str::trim);
    let (e, m): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    if !(1..=11).contains(&e) {
        return None;
    }
    let bias = match fields.next() {
        Some(bias) => bias.strip_prefix("bias=")?.parse().ok()?,
        None => FloatFormat::usual_bias(e, top),
    };
    if fields.next().is_some() { None } else { FloatFormat::new(e, m, bias, top, true) }
}
