//! Where two arrays differ.

use std::collections::BTreeMap;

use super::Seen;

/// The first byte, or value, that differs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct First {
    /// Its place among scales, codes or values.
    pub index: usize,
    /// In the first array, as bits.
    pub a: u32,
    /// In the second.
    pub b: u32,
}

/// How two arrays differ.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Difference {
    /// The first scale that differs.
    pub scale: Option<First>,
    /// The first code that differs.
    pub code: Option<First>,
    /// The first value that differs, as binary32 bits.
    pub value: Option<First>,
    /// Scales that differ, and scales.
    pub scales: [usize; 2],
    /// Codes or values that differ, and codes or values.
    pub codes: [usize; 2],
    /// How many scales of the second array lie how many steps above those of the first.
    pub steps: BTreeMap<i32, usize>,
    /// Whether there are other numbers of scales or codes.
    pub is_of_other_size: bool,
}

/// The difference; `None` where there is none.
pub(super) fn difference(a: &Seen, b: &Seen) -> Option<Difference> {
    let mut found = Difference::default();
    if let (Some(a), Some(b)) = (&a.scales, &b.scales) {
        let (first, n) = first(a, b, |x| (*x).into());
        (found.scale, found.scales) = (first, [n, a.len().min(b.len())]);
        found.is_of_other_size |= a.len() != b.len();
        for (a, b) in a.iter().zip(b) {
            *found.steps.entry(i32::from(*b) - i32::from(*a)).or_default() += 1;
        }
    }
    if let (Some(a), Some(b)) = (&a.codes, &b.codes) {
        let (first, n) = first(a, b, |x| *x);
        (found.code, found.codes) = (first, [n, a.len().min(b.len())]);
        found.is_of_other_size |= a.len() != b.len();
    }
    if let (Some(a), Some(b)) = (&a.values, &b.values) {
        let (first, n) = first(a, b, |x| x.to_bits());
        (found.value, found.codes) = (first, [n, a.len().min(b.len())]);
        found.is_of_other_size |= a.len() != b.len();
    }
    let differs =
        found.scale.is_some() || found.code.is_some() || found.value.is_some() || found.is_of_other_size;
    differs.then_some(found)
}

fn first<T>(a: &[T], b: &[T], bits: impl Fn(&T) -> u32) -> (Option<First>, usize) {
    let mut found = (None, 0);
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        let (a, b) = (bits(a), bits(b));
        if a != b {
            found.0.get_or_insert(First { index, a, b });
            found.1 += 1;
        }
    }
    found
}
