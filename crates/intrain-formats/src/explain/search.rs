//! Ways that give the bytes of an array, from the numbers that it came from.

use intrain_kernels::blocks::{self, Axis};
use intrain_num::block::{Coding, Edges, Element, Extent, Mx, NvTensor, ScaleRule};
use intrain_num::minifloat::{FloatFormat, FloatOverflow, FloatRound, Number};
use rayon::prelude::*;

use super::layout::{self, OVERFLOWS, Unpacked};
use super::{Before, Found, Nearest, Seen, Source};
use crate::quantized::axis_of;
use crate::{Codes, Quantized, Way};

/// Blocks that are looked at before all are.
const SAMPLED: usize = 256;

/// The roundings that are tried; stochastic ones are recognized by their neighbours.
const ROUNDS: [FloatRound; 6] = [
    FloatRound::NearestEven,
    FloatRound::NearestAway,
    FloatRound::TowardZero,
    FloatRound::ToOdd,
    FloatRound::Up,
    FloatRound::Down,
];

/// Every way that gives `seen`, and without one the way that misses the fewest bytes.
pub(super) fn ways(seen: &Seen, source: Source<'_>) -> (Vec<Found>, Option<Nearest>) {
    let mut nearest = Best::default();
    for before in [Before::Nothing, Before::Bfloat16, Before::Binary16] {
        let rounded;
        let values = match before {
            Before::Bfloat16 => {
                rounded = rounded_to(FloatFormat::BFLOAT16, source.values);
                &rounded
            }
            Before::Binary16 => {
                let Ok(binary16) = "binary16".parse() else { continue };
                rounded = rounded_to(binary16, source.values);
                &rounded
            }
            _ => source.values,
        };
        let mut search = Search::new(seen, Source { values, ..source }, before);
        search.run();
        if !search.found.is_empty() {
            return (search.found, None);
        }
        nearest.take(search.best);
    }
    let near = nearest.describe(seen, source);
    (vec![], near)
}

/// Ways that give `seen` from the values that the array `other` has under one of the ways `of_other`; with `alike`, only
/// those with the same elements and blocks.
pub(super) fn again(
    seen: &Seen,
    other: &Seen,
    of_other: &[Found],
    shape: &[usize],
    alike: bool,
) -> Vec<Found> {
    let mut read: Vec<Found> = Vec::new();
    for found in of_other {
        // Values depend on elements and extents, not on how scales were found.
        let is_other = |known: &Found| {
            meaning(&known.way.coding) != meaning(&found.way.coding)
                || known.way.axis != found.way.axis
                || known.order != found.order
        };
        if !read.iter().all(is_other) {
            continue;
        }
        read.push(*found);
        let Some(values) = values_of(other, found, shape) else { continue };
        let mut search = Search::new(seen, Source { values: &values, shape }, Before::Again);
        search.only = alike.then_some(found.way);
        search.run();
        if !search.found.is_empty() {
            return search.found;
        }
    }
    vec![]
}

/// What the bytes of an array may be, without a rule: elements, extents and axes that its sizes leave.
pub(super) fn readings(seen: &Seen, shape: &[usize]) -> Vec<Found> {
    let (n, row) = (shape.iter().product(), shape.last().copied().unwrap_or(1));
    let mut found = Vec::new();
    if seen.scales.is_none() {
        return found;
    }
    for unpacked in layout::unpacked(seen, n, row) {
        for (axis, _, extent) in layout::extents(seen, shape) {
            for element in layout::elements(Some(&unpacked)) {
                let coding = layout::scaled(element, ScaleRule::Floor, Edges::Ocp, extent);
                let way = Way { axis, ..Way::new(coding) };
                found.push(Found {
                    way,
                    order: unpacked.order,
                    before: Before::Nothing,
                    is_stochastic: false,
                });
            }
        }
    }
    found
}

/// What a coding's codes and scales mean.
fn meaning(coding: &Coding) -> Coding {
    match *coding {
        Coding::Scaled { element, extent, .. } => {
            layout::scaled(element, ScaleRule::Floor, Edges::Ocp, extent)
        }
        other => other,
    }
}

/// The values of an array that was read in a way.
pub(super) fn values_of(seen: &Seen, found: &Found, shape: &[usize]) -> Option<Vec<f32>> {
    let (n, row) = (shape.iter().product(), shape.last().copied().unwrap_or(1));
    let unpacked =
        layout::unpacked(seen, n, row).into_iter().find(|unpacked| unpacked.order == found.order)?;
    let codes = match found.way.coding.bits() {
        ..=8 => Codes::Bytes(unpacked.codes.iter().map(|code| code.to_le_bytes()[0]).collect()),
        _ => Codes::Long(unpacked.codes),
    };
    let scales = seen.scales.clone().unwrap_or_default();
    let quantized =
        Quantized::from_parts(found.way, shape, codes, scales, seen.factor.unwrap_or(1.0)).ok()?;
    Some(quantized.values())
}

fn rounded_to(format: FloatFormat, values: &[f32]) -> Vec<f32> {
    let round = |x: &f32| {
        let code = format.encode(Number::from_f32(*x), FloatRound::NearestEven, FloatOverflow::SatNone, 0);
        format.decode(code).to_f32()
    };
    values.par_iter().map(round).collect()
}

/// The way that misses the fewest bytes.
#[derive(Debug, Clone, Default)]
struct Best(Option<(usize, Found)>);

impl Best {
    fn note(&mut self, missed: usize, found: Found) {
        if self.0.is_none_or(|(least, _)| missed < least) {
            self.0 = Some((missed, found));
        }
    }

    fn take(&mut self, other: Self) {
        if let Some((missed, found)) = other.0 {
            self.note(missed, found);
        }
    }

    /// The first block that the way misses.
    fn describe(self, seen: &Seen, source: Source<'_>) -> Option<Nearest> {
        let (_, found) = self.0?;
        let values = match found.before {
            Before::Bfloat16 => rounded_to(FloatFormat::BFLOAT16, source.values),
            Before::Binary16 => rounded_to("binary16".parse().ok()?, source.values),
            _ => source.values.to_vec(),
        };
        let made = Quantized::new(&values, source.shape, &found.way).ok()?;
        let row = source.shape.last().copied().unwrap_or(1);
        let unpacked = layout::unpacked(seen, values.len(), row)
            .into_iter()
            .find(|unpacked| unpacked.order == found.order);
        let scales = seen.scales.as_ref().filter(|scales| scales.len() == made.scales.len());
        let scale_misses =
            scales.map_or(0, |scales| scales.iter().zip(&made.scales).filter(|(a, b)| a != b).count());
        let code_misses = unpacked.as_ref().map_or(0, |unpacked| misses(&unpacked.codes, &made.codes));
        let of = scales.map_or(0, Vec::len) + unpacked.as_ref().map_or(0, |unpacked| unpacked.codes.len());
        let mut first = None;
        blocks::each_block(&found.way.coding, made.axis(), |block, places| {
            let scale = scales.map(|scales| [scales[block], made.scales[block]]);
            let differs = |i: &usize| unpacked.as_ref().is_some_and(|u| u.codes[*i] != made.codes.get(*i));
            if first.is_none() && (scale.is_some_and(|[a, b]| a != b) || places.iter().any(differs)) {
                let codes = unpacked
                    .as_ref()
                    .map_or(vec![], |u| places.iter().map(|i| [u.codes[*i], made.codes.get(*i)]).collect());
                first = Some((block, places.iter().map(|i| values[*i]).collect(), scale, codes));
            }
        });
        let (block, values, scales, codes) = first?;
        Some(Nearest { found, missed: scale_misses + code_misses, of, block, values, scales, codes })
    }
}

fn misses(seen: &[u32], made: &Codes) -> usize {
    seen.iter().enumerate().filter(|(i, code)| made.get(*i) != **code).count()
}

/// A search over all ways.
struct Search<'a> {
    seen: &'a Seen,
    values: &'a [f32],
    shape: &'a [usize],
    before: Before,
    /// Elements, blocks and axis that alone are tried.
    only: Option<Way>,
    /// The largest magnitude of the tensor.
    largest: f32,
    found: Vec<Found>,
    best: Best,
}

impl<'a> Search<'a> {
    fn new(seen: &'a Seen, source: Source<'a>, before: Before) -> Self {
        let Source { values, shape } = source;
        let largest = values.iter().fold(0.0, |largest, x| if x.abs() > largest { x.abs() } else { largest });
        Self { seen, values, shape, before, only: None, largest, found: vec![], best: Best::default() }
    }

    fn run(&mut self) {
        let row = self.shape.last().copied().unwrap_or(1);
        let unpacked = layout::unpacked(self.seen, self.values.len(), row);
        if self.seen.scales.is_none() && self.only.is_none() {
            self.plain(&unpacked);
        }
        self.scaled(&unpacked);
        if self.only.is_some_and(|way| !matches!(way.coding, Coding::Nvfp4 { .. })) {
            return;
        }
        if unpacked.iter().any(|unpacked| unpacked.bits <= 4)
            || unpacked.is_empty() && self.seen.values.is_none()
        {
            for way in layout::nvfp4(self.seen, self.shape) {
                if self.scales_can_be(&way) {
                    self.rounds(way, &unpacked);
                }
            }
        }
    }

    /// Floats without scale.
    fn plain(&mut self, unpacked: &[Unpacked]) {
        let none = [Unpacked { codes: vec![], bits: 0, order: None }];
        let unpacked = if self.seen.values.is_some() { &none } else { unpacked };
        for one in unpacked {
            for format in layout::floats(one) {
                let before = self.found.len();
                for overflow in OVERFLOWS {
                    if self.found.len() == before {
                        self.rounds(Way::new(Coding::Plain { format, overflow }), unpacked);
                    }
                }
            }
        }
    }

    /// Elements under E8M0 scales.
    fn scaled(&mut self, unpacked: &[Unpacked]) {
        let has_scales = self.seen.scales.is_some();
        for (axis, kernel_axis, extent) in layout::extents(self.seen, self.shape) {
            let usual = matches!(extent, Extent::Run(32) | Extent::Tile(32) | Extent::Tensor);
            let is_other =
                self.only.is_some_and(|only| only.axis != axis || only.coding.extent() != Some(extent));
            if !has_scales && !usual || is_other {
                continue;
            }
            let largest = Largest::new(extent, kernel_axis, self.values);
            let widths = unpacked.iter().map(Some).chain(unpacked.is_empty().then_some(None));
            let mut elements: Vec<Element> = Vec::new();
            for element in widths.flat_map(layout::elements) {
                // Both orders of halves leave the same elements.
                let coding = layout::scaled(element, ScaleRule::Floor, Edges::Ocp, extent);
                let is_asked_for = self.only.is_none_or(|only| meaning(&only.coding) == coding);
                if is_asked_for && !elements.contains(&element) {
                    elements.push(element);
                }
            }
            for element in elements {
                self.rules((axis, extent), element, &largest, unpacked);
            }
        }
    }

    /// Every rule for an element. Rules that give the same scales give the same codes.
    fn rules(
        &mut self,
        (axis, extent): (i64, Extent),
        element: Element,
        largest: &Largest,
        unpacked: &[Unpacked],
    ) {
        let mut tried: Vec<(Vec<u8>, Vec<Found>)> = Vec::new();
        for (_, rule) in ScaleRule::ALL {
            for (_, edges) in Edges::ALL {
                let way = Way { axis, ..Way::new(layout::scaled(element, rule, edges, extent)) };
                let scales = largest.scales(&Mx { element, rule, edges, round: FloatRound::NearestEven });
                if let Some(seen) = &self.seen.scales {
                    let missed = seen.iter().zip(&scales).filter(|(a, b)| a != b).count();
                    if missed > 0 {
                        self.best.note(missed + self.values.len(), self.as_found(way, None));
                        continue;
                    }
                }
                // The least scale has other meanings at some edges.
                let known = tried.iter().find(|(known, _)| *known == scales).filter(|_| !scales.contains(&0));
                let is_first_edge = edges == Edges::Ocp;
                if let Some((_, found)) = known {
                    if is_first_edge {
                        let same =
                            |found: &Found| Found { way: Way { coding: way.coding, ..found.way }, ..*found };
                        self.found.extend(found.iter().map(same));
                    }
                    continue;
                }
                let start = self.found.len();
                self.rounds(way, unpacked);
                tried.push((scales, self.found[start..].to_vec()));
                if self.found.len() > start {
                    break;
                }
            }
        }
    }

    /// Whether a way of NVFP4 gives the scales that were seen, in some blocks from one end to the other.
    fn scales_can_be(&mut self, way: &Way) -> bool {
        let (Coding::Nvfp4 { rule, .. }, Some(seen)) = (way.coding, &self.seen.scales) else { return true };
        let Ok(axis) = axis_of(self.shape, way.axis) else { return false };
        let tensor = NvTensor::new(rule, self.largest);
        let every = (seen.len() / SAMPLED).max(1);
        let (mut misses, mut block_values) = (0, Vec::new());
        blocks::each_block(&way.coding, axis, |block, places| {
            if block % every == 0 {
                block_values.clear();
                block_values.extend(places.iter().map(|i| self.values[*i]));
                let largest = block_values.iter().fold(0.0, |a: f32, x| a.max(x.abs()));
                misses += usize::from(seen.get(block) != Some(&tensor.block(&block_values, largest).scale));
            }
        });
        if misses > 0 {
            self.best.note(misses * every + self.values.len(), self.as_found(*way, None));
        }
        misses == 0
    }

    /// Every rounding of a way.
    fn rounds(&mut self, way: Way, unpacked: &[Unpacked]) {
        let before = self.found.len();
        for round in ROUNDS {
            let way = Way { round, ..way };
            let Ok(made) = Quantized::new(self.values, self.shape, &way) else { return };
            if let Some(seen) = &self.seen.scales {
                let missed = seen.iter().zip(&made.scales).filter(|(a, b)| a != b).count();
                if seen.len() != made.scales.len() || missed > 0 {
                    self.best.note(missed + self.values.len(), self.as_found(way, None));
                    return;
                }
            }
            if let Some(values) = &self.seen.values {
                let decoded = made.values();
                let missed = values.iter().zip(&decoded).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
                self.note(values.len() == decoded.len(), missed, way, None);
                continue;
            }
            if self.seen.codes.is_none() {
                // Scales do not depend on a rounding.
                self.found.push(self.as_found(way, None));
                return;
            }
            for one in unpacked.iter().filter(|one| fits(one, &way.coding)) {
                let missed = misses(&one.codes, &made.codes);
                self.note(true, missed, way, one.order);
            }
        }
        if self.found.len() == before {
            self.stochastic(way, unpacked);
        }
    }

    /// Whether each code is one of the two around its number.
    fn stochastic(&mut self, way: Way, unpacked: &[Unpacked]) {
        let both = [FloatRound::Up, FloatRound::Down].map(|round| {
            Quantized::new(self.values, self.shape, &Way { round, ..way }).map(|made| made.codes)
        });
        let [Ok(up), Ok(down)] = both else { return };
        for one in unpacked.iter().filter(|one| fits(one, &way.coding)) {
            let codes = one.codes.iter().enumerate();
            let is_between = codes.clone().all(|(i, code)| *code == up.get(i) || *code == down.get(i));
            // Codes of values alone say nothing of a rounding.
            let rounds = codes.filter(|(i, _)| up.get(*i) != down.get(*i)).count();
            if is_between && rounds > 0 {
                self.found.push(Found { is_stochastic: true, ..self.as_found(way, one.order) });
            }
        }
    }

    fn note(&mut self, is_comparable: bool, missed: usize, way: Way, order: Option<crate::pack::Order>) {
        let found = self.as_found(way, order);
        if is_comparable && missed == 0 {
            self.found.push(found);
        } else {
            self.best.note(missed, found);
        }
    }

    const fn as_found(&self, way: Way, order: Option<crate::pack::Order>) -> Found {
        Found { way, order, before: self.before, is_stochastic: false }
    }
}

/// Whether codes that were read in a way can be those of a coding.
fn fits(unpacked: &Unpacked, coding: &Coding) -> bool {
    if unpacked.order.is_some() { coding.bits() == unpacked.bits } else { coding.bits() >= unpacked.bits }
}

/// The largest magnitude of each block, with NaN seen and not.
struct Largest {
    with_nan: Vec<u32>,
    without_nan: Vec<u32>,
}

impl Largest {
    fn new(extent: Extent, axis: Axis, values: &[f32]) -> Self {
        let coding = layout::scaled(Element::INT8, ScaleRule::Floor, Edges::Ocp, extent);
        let mut largest = Self { with_nan: vec![], without_nan: vec![] };
        let magnitude = |i: &usize| values[*i].to_bits() & 0x7fff_ffff;
        blocks::each_block(&coding, axis, |_, places| {
            let magnitudes = places.iter().map(magnitude);
            largest.with_nan.push(magnitudes.clone().max().unwrap_or(0));
            largest.without_nan.push(magnitudes.filter(|m| *m <= 0x7f80_0000).max().unwrap_or(0));
        });
        largest
    }

    fn scales(&self, mx: &Mx) -> Vec<u8> {
        let largest = if mx.magnitude(f32::NAN) == 0 { &self.without_nan } else { &self.with_nan };
        largest.iter().map(|a| mx.scale(*a)).collect()
    }
}
