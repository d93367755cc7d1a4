//! Which formats, extents and axes the numbers of codes and scales leave.

use intrain_kernels::blocks::{self, Axis};
use intrain_num::block::{Coding, Edges, Element, Extent, NvRule, ScaleRule};
use intrain_num::minifloat::{FloatFormat, FloatOverflow, NAMES};

use super::Seen;
use crate::Way;
use crate::pack::{self, Order};
use crate::quantized::axis_of;

/// What shares a scale, as far as it is in use.
const EXTENTS: [Extent; 8] = [
    Extent::Run(32),
    Extent::Run(16),
    Extent::Run(64),
    Extent::Run(128),
    Extent::Tile(16),
    Extent::Tile(32),
    Extent::Line,
    Extent::Tensor,
];
/// The elements that blocks have.
const ELEMENTS: [&str; 11] = [
    "e4m3",
    "e5m2",
    "e2m1",
    "e2m3",
    "e3m2",
    "int8",
    "int4",
    "e4m3fnuz",
    "e5m2fnuz",
    "e4m3ieee",
    "binary8p4se",
];

/// Codes one by one, with the width and the order in which they were packed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unpacked {
    pub(super) codes: Vec<u32>,
    /// 4 or 6 where they were packed, so that nothing else can be; else the most that a code can have.
    pub(super) bits: u32,
    pub(super) order: Option<Order>,
}

/// The ways in which an array's codes can be read as `n` codes in rows of `len`.
pub(super) fn unpacked(seen: &Seen, n: usize, len: usize) -> Vec<Unpacked> {
    let Some(codes) = &seen.codes else { return vec![] };
    let mut ways = Vec::new();
    if codes.len() == n {
        let widest = codes.iter().max().map_or(0, |code| 32 - code.leading_zeros());
        ways.push(Unpacked { codes: codes.clone(), bits: widest, order: None });
    }
    let Ok(bytes) = codes.iter().map(|code| u8::try_from(*code)).collect::<Result<Vec<u8>, _>>() else {
        return ways;
    };
    for bits in [4, 6] {
        if n > 0 && bytes.len() == n * bits as usize / 8 && len > 0 {
            for order in [Order::LowFirst, Order::HighFirst].into_iter().take(if bits == 4 { 2 } else { 1 }) {
                if let Ok(codes) = pack::unpack(&bytes, bits, len, order) {
                    let codes = codes.into_iter().map(u32::from).collect();
                    ways.push(Unpacked { codes, bits, order: Some(order) });
                }
            }
        }
    }
    ways
}

/// The axes of a shape, the last as -1, and the extents on each that have as many scales as were seen; all where none
/// were.
pub(super) fn extents(seen: &Seen, shape: &[usize]) -> Vec<(i64, Axis, Extent)> {
    let n = i64::try_from(shape.len()).unwrap_or(0).max(1);
    let mut found = Vec::new();
    for place in (0..n).rev() {
        let axis = if place == n - 1 { -1 } else { place };
        let Ok(kernel_axis) = axis_of(shape, axis) else { continue };
        for extent in EXTENTS {
            if matches!(extent, Extent::Tile(_)) && shape.len() < 2 || extent == Extent::Tensor && axis != -1
            {
                continue;
            }
            // Any element: the number of scales does not depend on it.
            let coding = scaled(Element::INT8, ScaleRule::Floor, Edges::Ocp, extent);
            let n_scales = blocks::scale_count(&coding, kernel_axis);
            if seen.scales.as_ref().is_none_or(|scales| scales.len() == n_scales) {
                found.push((axis, kernel_axis, extent));
            }
        }
    }
    found
}

pub(super) const fn scaled(element: Element, rule: ScaleRule, edges: Edges, extent: Extent) -> Coding {
    Coding::Scaled { element, rule, edges, extent }
}

/// The elements that codes of `bits` can be: exactly those that were packed, else all that are wide enough.
pub(super) fn elements(bits: Option<&Unpacked>) -> Vec<Element> {
    let fits = |element: &Element| match bits {
        None => true,
        Some(unpacked) if unpacked.order.is_some() => element.bits() == unpacked.bits,
        Some(unpacked) => element.bits() >= unpacked.bits,
    };
    ELEMENTS.iter().filter_map(|name| name.parse().ok()).filter(fits).collect()
}

/// The floats without scale that codes of `bits` can be.
pub(super) fn floats(unpacked: &Unpacked) -> Vec<FloatFormat> {
    let others =
        ["binary8p3se", "binary8p4se", "binary4p2sf"].into_iter().filter_map(|name| name.parse().ok());
    let fits = |format: &FloatFormat| {
        if unpacked.order.is_some() { format.bits() == unpacked.bits } else { format.bits() >= unpacked.bits }
    };
    NAMES.iter().map(|(_, format, _)| *format).chain(others).filter(fits).collect()
}

/// Every way with a scale that is not E8M0.
pub(super) fn nvfp4(seen: &Seen, shape: &[usize]) -> Vec<Way> {
    let extents = extents(seen, shape);
    let fits = extents.iter().filter(|(.., extent)| matches!(extent, Extent::Run(16) | Extent::Tile(16)));
    fits.flat_map(|(axis, _, extent)| {
        NvRule::ALL.map(|(_, rule)| Way { axis: *axis, ..Way::new(Coding::Nvfp4 { rule, extent: *extent }) })
    })
    .collect()
}

/// Every choice of a float without scale beyond its largest value.
pub(super) const OVERFLOWS: [FloatOverflow; 3] =
    [FloatOverflow::SatFinite, FloatOverflow::SatNone, FloatOverflow::SatPropagate];
