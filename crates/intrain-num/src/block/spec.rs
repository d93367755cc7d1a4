//! A tensor format of small floats or integers as one line of text: `mxfp4@even`, `nvfp4@te/16x16`, `bfloat16`.
//!
//! `NAME[@RULE[:EDGES]][/EXTENT]`. The name settles the elements and usual values of the rest.

use core::fmt;
use core::str::FromStr;

use super::{Edges, Element, MX_BLOCK, NVFP4_BLOCK, NvRule, ScaleRule};
use crate::minifloat::{FloatFormat, FloatOverflow};

/// What shares a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extent {
    /// The whole tensor.
    Tensor,
    /// All elements along the axis.
    Line,
    /// This many neighbours along the axis.
    Run(u32),
    /// A square of this many lines and elements of each.
    Tile(u32),
}

/// What a tensor's codes are, and where their scales come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// A float without scale.
    Plain {
        /// The format of a number.
        format: FloatFormat,
        /// What happens beyond its largest value.
        overflow: FloatOverflow,
    },
    /// Elements under a power of two.
    Scaled {
        /// The format of an element.
        element: Element,
        /// The rule of the scale.
        rule: ScaleRule,
        /// What happens at the scale's edges.
        edges: Edges,
        /// What shares a scale.
        extent: Extent,
    },
    /// E2M1 under an E4M3 scale and a factor of the tensor.
    Nvfp4 {
        /// The rule of the scale.
        rule: NvRule,
        /// A run of 16 or a tile of 16 x 16.
        extent: Extent,
    },
}

/// A text that names no coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodingError {
    /// The name in front.
    Name,
    /// The rule behind `@`.
    Rule,
    /// The edges behind `:`.
    Edges,
    /// The extent behind `/`.
    Extent,
}

impl fmt::Display for CodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => {
                "no format; write mxfp8, mxfp8-e5m2, mxfp6, mxfp6-e3m2, mxfp4, mxint8, nvfp4, bfp<W> with 3 to 8 bits, \
                 mx<ELEMENT,SIZE>, or a float such as e4m3, bfloat16 or float<4,3>fn"
            }
            Self::Rule => {
                "no rule of its scale; write floor, ceil, even, rceil, div-floor, div-nearest or div-log2round, and \
                 for nvfp4 te, te-divfirst, torchao-1level, torchao-2level or 4over6-{mae,mse}-{256,448}[-dec]"
            }
            Self::Edges => "no profile of edges; write ocp, torchao@main, torchao@0.18, te or quark",
            Self::Extent => {
                "no extent of a scale; write tensor, row, a number of elements such as 32, or a square tile such as \
                 16x16 (nvfp4: 16 or 16x16)"
            }
        })
    }
}

impl core::error::Error for CodingError {}

#[allow(clippy::cast_possible_truncation, reason = "32")]
const MX: Extent = Extent::Run(MX_BLOCK as u32);
#[allow(clippy::cast_possible_truncation, reason = "16")]
const NVFP4: Extent = Extent::Run(NVFP4_BLOCK as u32);

/// The names with a scale of their own: element, and elements that share it.
const SCALED: [(&str, &str, Extent); 7] = [
    ("mxfp8", "e4m3", MX),
    ("mxfp8-e5m2", "e5m2", MX),
    ("mxfp6", "e2m3", MX),
    ("mxfp6-e3m2", "e3m2", MX),
    ("mxfp4", "e2m1", MX),
    ("mxint8", "int8", MX),
    ("mxint4", "int4", MX),
];
/// Other spellings of those.
const ALIASES: [(&str, &str); 3] =
    [("mxfp8-e4m3", "mxfp8"), ("mxfp6-e2m3", "mxfp6"), ("mxfp4-e2m1", "mxfp4")];
/// The most elements that share a scale by number.
const MAX_RUN: u32 = 1 << 20;

impl Coding {
    /// What shares a scale; `None` where there is none.
    #[must_use]
    pub const fn extent(&self) -> Option<Extent> {
        match self {
            Self::Plain { .. } => None,
            Self::Scaled { extent, .. } | Self::Nvfp4 { extent, .. } => Some(*extent),
        }
    }

    /// Width of a code.
    #[must_use]
    pub const fn bits(&self) -> u32 {
        match self {
            Self::Plain { format, .. } => format.bits(),
            Self::Scaled { element, .. } => element.bits(),
            Self::Nvfp4 { .. } => 4,
        }
    }

    /// The same under the rule of a name, such as `even`, if the coding has scales.
    ///
    /// # Errors
    /// It has no scale, or no such rule.
    pub fn with_rule(self, name: &str) -> Result<Self, CodingError> {
        let rule = match self {
            Self::Plain { .. } => Err(()),
            Self::Scaled { element, edges, extent, .. } => {
                name.parse().map(|rule| Self::Scaled { element, rule, edges, extent })
            }
            Self::Nvfp4 { extent, .. } => name.parse().map(|rule| Self::Nvfp4 { rule, extent }),
        };
        rule.map_err(|()| CodingError::Rule)
    }

    /// The same under another extent, if the coding has scales that can have it.
    ///
    /// # Errors
    /// It has no scale, or no such extent.
    pub const fn with_extent(self, new: Extent) -> Result<Self, CodingError> {
        match (self, new) {
            (Self::Scaled { element, rule, edges, .. }, _) => {
                Ok(Self::Scaled { element, rule, edges, extent: new })
            }
            (Self::Nvfp4 { rule, .. }, Extent::Run(16) | Extent::Tile(16)) => {
                Ok(Self::Nvfp4 { rule, extent: new })
            }
            _ => Err(CodingError::Extent),
        }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor => f.write_str("tensor"),
            Self::Line => f.write_str("row"),
            Self::Run(n) => write!(f, "{n}"),
            Self::Tile(n) => write!(f, "{n}x{n}"),
        }
    }
}

impl FromStr for Extent {
    type Err = CodingError;

    fn from_str(text: &str) -> Result<Self, CodingError> {
        let number = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|n| digits && (1..=MAX_RUN).contains(n))
        };
        match text {
            "tensor" => Some(Self::Tensor),
            "row" => Some(Self::Line),
            _ => match text.split_once('x') {
                Some((rows, columns)) if rows == columns => number(rows).map(Self::Tile),
                Some(_) => None,
                None => number(text).map(Self::Run),
            },
        }
        .ok_or(CodingError::Extent)
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain { format, .. } => format.fmt(f),
            Self::Scaled { element, rule, edges, extent } => {
                name(*element, *extent, f)?;
                write!(f, "@{rule}")?;
                if *edges == Edges::Ocp { Ok(()) } else { write!(f, ":{edges}") }
            }
            Self::Nvfp4 { rule, extent } => {
                write!(f, "nvfp4@{rule}")?;
                if *extent == NVFP4 { Ok(()) } else { write!(f, "/{extent}") }
            }
        }?;
        match self {
            // Names with an extent that is not theirs say it behind the rule.
            Self::Scaled { element, extent, .. }
                if usual(*element).is_some_and(|(_, usual)| usual != *extent) =>
            {
                write!(f, "/{extent}")
            }
            _ => Ok(()),
        }
    }
}

/// The name with which an element has an extent of its own.
fn usual(element: Element) -> Option<(&'static str, Extent)> {
    SCALED.iter().find(|(_, text, _)| text.parse() == Ok(element)).map(|(name, _, extent)| (*name, *extent))
}

fn name(element: Element, extent: Extent, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match usual(element) {
        Some((name, _)) => f.write_str(name),
        None => write!(f, "mx<{element},{extent}>"),
    }
}

impl FromStr for Coding {
    type Err = CodingError;

    fn from_str(text: &str) -> Result<Self, CodingError> {
        let (text, extent) = match text.rsplit_once('/') {
            Some((text, extent)) => (text, Some(extent.parse()?)),
            None => (text, None),
        };
        let (name, rule) = match text.split_once('@') {
            Some((name, rule)) => (name, Some(rule)),
            None => (text, None),
        };
        let coding = base(name).ok_or(CodingError::Name)?;
        let coding = match rule {
            Some(rule) => with_rule(coding, rule)?,
            None => coding,
        };
        match extent {
            Some(extent) => coding.with_extent(extent),
            None => Ok(coding),
        }
    }
}

/// A name with its usual rule and extent.
fn base(name: &str) -> Option<Coding> {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    let name = ALIASES.iter().find(|(alias, _)| is(alias)).map_or(name, |(_, name)| name);
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    if is("nvfp4") {
        return Some(Coding::Nvfp4 { rule: NvRule::Te, extent: NVFP4 });
    }
    let scaled =
        |element, extent| Coding::Scaled { element, rule: ScaleRule::Floor, edges: Edges::Ocp, extent };
    if let Some((_, element, extent)) = SCALED.iter().find(|(known, ..)| is(known)) {
        return Some(scaled(element.parse().ok()?, *extent));
    }
    if let Some(bits) = name.strip_prefix("bfp<") {
        return Some(scaled(Element::int(bits.strip_suffix('>')?.parse().ok()?)?, Extent::Line));
    }
    if let Some(fields) = name.strip_prefix("mx<") {
        let (element, extent) = fields.strip_suffix('>')?.rsplit_once(',')?;
        return Some(scaled(element.trim().parse().ok()?, extent.trim().parse().ok()?));
    }
    Some(Coding::Plain { format: name.parse().ok()?, overflow: FloatOverflow::SatFinite })
}

/// The names of blocks, from which [`Coding`] is parsed; `bfp<W>` and `mx<ELEMENT,SIZE>` are others.
pub fn block_names() -> impl Iterator<Item = &'static str> {
    SCALED.iter().map(|(name, ..)| *name).chain(["nvfp4"])
}

/// The rule and edges behind `@`. A float of at most 8 bits becomes one with a scale for the tensor.
fn with_rule(coding: Coding, text: &str) -> Result<Coding, CodingError> {
    if let Coding::Nvfp4 { extent, .. } = coding {
        return Ok(Coding::Nvfp4 { rule: text.parse().map_err(|()| CodingError::Rule)?, extent });
    }
    let (rule, edges) = match text.split_once(':') {
        Some((rule, edges)) => (rule, edges.parse().map_err(|()| CodingError::Edges)?),
        None => (text, Edges::Ocp),
    };
    let rule = rule.parse().map_err(|()| CodingError::Rule)?;
    match coding {
        Coding::Plain { format, .. } => {
            let element = Element::float(format).ok_or(CodingError::Rule)?;
            Ok(Coding::Scaled { element, rule, edges, extent: Extent::Tensor })
        }
        Coding::Scaled { element, extent, .. } => Ok(Coding::Scaled { element, rule, edges, extent }),
        Coding::Nvfp4 { .. } => Err(CodingError::Rule),
    }
}
