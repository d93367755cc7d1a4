//! Why two quantized arrays differ: every way that gives the one, every way that gives the other, and the switch between them.
//!
//! Nothing but bytes is looked at: what a file says of itself plays no part. With the numbers that both came from, ways are
//! tried until the bytes are equal; without, each pair of scale rules is tried for whether one number in each block could
//! have given both ([`without_source`]). Deterministic: the same bytes get the same answer.

mod compare;
mod layout;
mod search;
#[cfg(test)]
mod tests;
mod thresholds;

use std::fmt;

use intrain_num::block::{Coding, Extent};

pub use compare::{Difference, First};
pub use thresholds::Pair;

use crate::Way;
use crate::pack::Order;

/// An array as it was found: codes, scales, or both; or values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Codes as they lie in the file, packed or not; each of at most 32 bits.
    pub codes: Option<Vec<u32>>,
    /// Codes of scales.
    pub scales: Option<Vec<u8>>,
    /// Values of the format, in binary32.
    pub values: Option<Vec<f32>>,
    /// The factor of an NVFP4 tensor.
    pub factor: Option<f32>,
}

/// The numbers that both arrays came from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Values, C order.
    pub values: &'a [f32],
    /// Their sizes.
    pub shape: &'a [usize],
}

/// What was done to the numbers before they were quantized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// They were rounded to bfloat16.
    Bfloat16,
    /// They were rounded to binary16.
    Binary16,
    /// They are the other array's values: this one was quantized again.
    Again,
}

/// A way that gives the bytes of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Format, rounding, axis.
    pub way: Way,
    /// Order of halves, where codes are packed.
    pub order: Option<Order>,
    /// What came first.
    pub before: Before,
    /// Whether the rounding was not found, but each code is one of the two around its number, as under a stochastic one.
    pub is_stochastic: bool,
}

/// One thing in which two ways differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `format`, `scale rule`, `edges`, `extent`, `rounding`, `axis`, `packing` or `before`.
    pub what: &'static str,
    /// Of the first array.
    pub a: String,
    /// Of the second.
    pub b: String,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Where the bytes differ; `None` where they are equal.
    pub difference: Option<Difference>,
    /// Every way that gives the first array.
    pub a: Vec<Found>,
    /// Every way that gives the second.
    pub b: Vec<Found>,
    /// The smallest change from a way of the first to one of the second.
    pub switch: Vec<Change>,
    /// Without a source: the pairs of rules that could have given both, the likeliest first.
    pub pairs: Vec<Pair>,
    /// Without a source: in how many blocks of NVFP4 one array made the maximum 4 and the other 6, if that is all.
    pub chose_otherwise: usize,
    /// The least block that no way gives, of the first array and of the second.
    pub unexplained: [Option<Nearest>; 2],
}

/// The way that misses the fewest bytes of an array, and the first block that it misses.
#[derive(Debug, Clone, PartialEq)]
pub struct Nearest {
    /// The way.
    pub found: Found,
    /// Bytes of codes and scales that are others.
    pub missed: usize,
    /// Of how many.
    pub of: usize,
    /// Number of the block.
    pub block: usize,
    /// Its numbers.
    pub values: Vec<f32>,
    /// Scale that was seen, and that of the way.
    pub scales: Option<[u8; 2]>,
    /// Codes that were seen, and those of the way; empty where only scales were seen.
    pub codes: Vec<[u32; 2]>,
}

impl Explanation {
    /// Whether both arrays are explained.
    #[must_use]
    pub fn is_explained(&self) -> bool {
        let is_again = self.b.iter().any(|found| found.before == Before::Again);
        self.difference.is_none()
            || is_again
            || !self.switch.is_empty()
            || !self.a.is_empty() && !self.b.is_empty()
            || !self.pairs.is_empty()
            || self.chose_otherwise > 0
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_stochastic {
            write!(f, "{} with a stochastic rounding", self.way.coding)?;
            if self.way.coding.extent().is_some() {
                write!(f, " axis {}", self.way.axis)?;
            }
        } else {
            write!(f, "{}", self.way)?;
        }
        if let Some(order) = self.order {
            write!(f, ", packed {order}")?;
        }
        match self.before {
            Before::Nothing => Ok(()),
            Before::Bfloat16 => f.write_str(", of the numbers rounded to bfloat16 first"),
            Before::Binary16 => f.write_str(", of the numbers rounded to binary16 first"),
            Before::Again => f.write_str(", of the other array's values: quantized again"),
        }
    }
}

/// Explains two arrays from the numbers that they came from.
#[must_use]
pub fn with_source(a: &Seen, b: &Seen, source: Source<'_>) -> Explanation {
    let difference = compare::difference(a, b);
    let mut nearest = [None, None];
    let mut ways = |seen: &Seen, slot: usize| {
        let (found, near) = search::ways(seen, source);
        nearest[slot] = near;
        found
    };
    let (mut of_a, mut of_b) = (ways(a, 0), ways(b, 1));
    // One of them may be the other, quantized again: every bit says so, where a stochastic rounding only lets it be.
    let is_open = |found: &[Found]| found.iter().all(|found| found.is_stochastic);
    if is_open(&of_b) && !is_open(&of_a) {
        let again = search::again(b, a, &of_a, source.shape, false);
        of_b = if again.is_empty() { of_b } else { again };
    }
    if is_open(&of_a) && !is_open(&of_b) {
        let again = search::again(a, b, &of_b, source.shape, false);
        of_a = if again.is_empty() { of_a } else { again };
    }
    let switch = switch(&of_a, &of_b);
    if !of_a.is_empty() {
        nearest[0] = None;
    }
    if !of_b.is_empty() {
        nearest[1] = None;
    }
    Explanation {
        difference,
        a: of_a,
        b: of_b,
        switch,
        pairs: vec![],
        chose_otherwise: 0,
        unexplained: nearest,
    }
}

/// Explains two arrays of the sizes `shape` from their bytes alone.
#[must_use]
pub fn without_source(a: &Seen, b: &Seen, shape: &[usize]) -> Explanation {
    let difference = compare::difference(a, b);
    let mut explanation = Explanation {
        difference,
        a: vec![],
        b: vec![],
        switch: vec![],
        pairs: vec![],
        chose_otherwise: 0,
        unexplained: [None, None],
    };
    if are_swapped(a, b) {
        let a = format!("{}, or the other way round", Order::LowFirst);
        explanation.switch = vec![Change { what: "packing", a, b: Order::HighFirst.to_string() }];
        return explanation;
    }
    // What the first may be, so that its values are known.
    let readings = search::readings(a, shape);
    let again = search::again(b, a, &readings, shape, true);
    if !again.is_empty() && explanation.difference.is_some() {
        explanation.switch = vec![Change {
            what: "before",
            a: "the numbers".to_owned(),
            b: "the first array's values: quantized again".to_owned(),
        }];
        explanation.b = again;
        return explanation;
    }
    explanation.chose_otherwise = thresholds::four_over_six(a, b, shape);
    if explanation.chose_otherwise == 0 {
        explanation.pairs = thresholds::pairs(a, b, shape);
    }
    explanation
}

/// Whether the halves of each byte of codes change places between two arrays, and nothing else does.
fn are_swapped(a: &Seen, b: &Seen) -> bool {
    let (Some(of_a), Some(of_b)) = (&a.codes, &b.codes) else { return false };
    let swapped = |(a, b): (&u32, &u32)| *a < 256 && (a << 4 | a >> 4) & 0xff == *b;
    of_a != of_b && of_a.len() == of_b.len() && a.scales == b.scales && of_a.iter().zip(of_b).all(swapped)
}

/// The changes between the two ways that differ least.
fn switch(a: &[Found], b: &[Found]) -> Vec<Change> {
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| changes(a, b)));
    pairs.min_by_key(Vec::len).unwrap_or_default()
}

fn changes(a: &Found, b: &Found) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut note = |what, a: String, b: String| {
        if a != b {
            changes.push(Change { what, a, b });
        }
    };
    let format = |coding: &Coding| match coding {
        Coding::Plain { format, .. } => format.to_string(),
        Coding::Scaled { element, .. } => format!("{element} under E8M0 scales"),
        Coding::Nvfp4 { .. } => "nvfp4".to_owned(),
    };
    let rule = |coding: &Coding| match coding {
        Coding::Plain { overflow, .. } => overflow.to_string(),
        Coding::Scaled { rule, .. } => rule.to_string(),
        Coding::Nvfp4 { rule, .. } => rule.to_string(),
    };
    let edges = |coding: &Coding| match coding {
        Coding::Scaled { edges, .. } => edges.to_string(),
        _ => String::new(),
    };
    let extent = |coding: &Coding| coding.extent().as_ref().map_or_else(String::new, Extent::to_string);
    let (ca, cb) = (&a.way.coding, &b.way.coding);
    note("format", format(ca), format(cb));
    note("scale rule", rule(ca), rule(cb));
    note("edges", edges(ca), edges(cb));
    note("extent of a scale", extent(ca), extent(cb));
    let round = |found: &Found| {
        if found.is_stochastic { "stochastic".to_owned() } else { found.way.round.to_string() }
    };
    note("rounding", round(a), round(b));
    if ca.extent().is_some() && cb.extent().is_some() {
        note("axis", a.way.axis.to_string(), b.way.axis.to_string());
    }
    let order =
        |found: &Found| found.order.map_or_else(|| "a byte each".to_owned(), |order| order.to_string());
    note("packing", order(a), order(b));
    let before = |found: &Found| {
        match found.before {
            Before::Nothing => "the numbers",
            Before::Bfloat16 => "the numbers rounded to bfloat16",
            Before::Binary16 => "the numbers rounded to binary16",
            Before::Again => "the other array's values: quantized again",
        }
        .to_owned()
    };
    note("before", before(a), before(b));
    changes
}
