//! B of the word product: codes of up to 32 bits, split into 16-bit limbs so that no 32-bit sum overflows.
//!
//! `v = sum over limbs of limb * 2^shift`, every limb but the last a balanced digit of `width` bits.
//! Invariant: `2 * a_max * |limb| * flush_steps < 2^31`; this also keeps `-32768 * -32768 * 2 = 2^31` out.

use std::ops::Range;

use super::Source;
use super::fill::fill;
use super::panels::{Limb, PANEL};
use crate::elementwise::{self, Operation};
use crate::isa::Isa;
use crate::product::{Lined, Packed};

/// A packed B of words, `[n_steps, n, 2]` in panels, once for each limb.
#[derive(Clone, Debug, Default)]
pub struct PackedI16 {
    n: usize,
    n_steps: usize,
    segments: usize,
    a_max: u32,
    /// The first `n_limbs` are B; the others keep their memory.
    limbs: [Limb; MOST_LIMBS],
    n_limbs: usize,
    /// Limbs that have room for their lines, needed or not.
    n_limbs_of_room: usize,
}

/// Flushing more often than every 16 steps costs more than another limb.
const FLUSH_STEPS_WANTED: usize = 16;

impl PackedI16 {
    /// Nothing yet, with room for all values in `range` beside an A as far as `a_max` from 0: what is packed into it may
    /// need more limbs than what was packed before, and yet no memory.
    #[must_use]
    pub fn with_room(a_max: u32, range: (i32, i32)) -> Self {
        Self { n_limbs_of_room: Split::new(range, a_max, usize::MAX).n_limbs, ..Self::default() }
    }

    /// The bound on `|a|` that the limbs were chosen for.
    #[must_use]
    pub const fn a_max(&self) -> u32 {
        self.a_max
    }

    /// Bytes of memory that B takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.limbs().iter().map(|limb| size_of_val(limb.lines.as_slice())).sum()
    }

    /// `B[step][column][lane]`, put together from its limbs.
    ///
    /// # Panics
    /// If the index lies outside B.
    #[must_use]
    pub fn value(&self, step: usize, column: usize, lane: usize) -> i64 {
        let digits = self.limbs().iter().map(|limb| {
            let [low0, high0, low1, high1] = limb.column(self.n, self.n_steps, step, column).to_le_bytes();
            let digit = i16::from_le_bytes([[low0, high0], [low1, high1]][lane]);
            i64::from(digit) << limb.shift
        });
        digits.sum()
    }

    /// Compiled for the instruction set of its caller.
    #[inline(always)]
    fn fill<S: Copy + Into<i32>>(&mut self, source: &Source<'_, S>, range: (i32, i32)) {
        let split = Split::new(range, self.a_max, self.n_steps);
        self.n_limbs = split.n_limbs;
        for (index, limb) in self.limbs[..split.n_limbs].iter_mut().enumerate() {
            (limb.shift, limb.flush_steps) = (split.shift(index), split.flush_steps[index]);
            let digit = split.digit(index);
            if split.n_limbs == 1 {
                fill::<S, 2>(source, &mut limb.lines, |value| low_word(value.into()));
            } else if digit.fits_32_bits(range) {
                fill::<S, 2>(source, &mut limb.lines, |value| low_word(digit.of(value.into())));
            } else {
                fill::<S, 2>(source, &mut limb.lines, |value| low_word(digit.of_any(value.into())));
            }
        }
    }
}

/// Memory is no part of B.
impl PartialEq for PackedI16 {
    fn eq(&self, other: &Self) -> bool {
        let sizes = |b: &Self| (b.n, b.n_steps, b.segments, b.a_max);
        sizes(self) == sizes(other) && self.limbs() == other.limbs()
    }
}

impl Eq for PackedI16 {}

impl Packed for PackedI16 {
    type Left = i16;
    type Sum = i64;
    const LANES: usize = 2;

    fn n(&self) -> usize {
        self.n
    }

    fn n_steps(&self) -> usize {
        self.n_steps
    }

    fn segments(&self) -> usize {
        self.segments
    }

    /// Whether `|a| <= a_max` for all of A, which the limbs rely on.
    fn accepts(&self, a: &[i16]) -> bool {
        a.iter().map(|a| u32::from(a.unsigned_abs())).max() <= Some(self.a_max)
    }
}

impl Lined for PackedI16 {
    const NEUTRAL: i64 = 0;

    fn limbs(&self) -> &[Limb] {
        &self.limbs[..self.n_limbs]
    }

    fn start(&self, init: Option<&[i64]>, first: usize, _: Range<usize>) -> [i64; PANEL] {
        let mut start = [0; PANEL];
        let init = init.unwrap_or_default().iter().skip(first);
        start.iter_mut().zip(init).for_each(|(start, init)| *start = *init);
        start
    }
}

/// Packs codes of 8, 16 or 32 bits; `source.table` holds 2 lanes a step, `a_max` bounds `|a|` of the other side and
/// `range` the values: they decide how many limbs there are.
///
/// # Panics
/// If the table and the values do not fit, or `a_max` exceeds 32,768; see [`pack_i16_into`] to use buffers again.
#[must_use]
pub fn pack_i16<S: Copy + Into<i32>>(
    isa: Isa,
    source: Source<'_, S>,
    a_max: u32,
    range: (i32, i32),
) -> PackedI16 {
    let mut packed = PackedI16::default();
    pack_i16_into(isa, source, a_max, range, &mut packed);
    packed
}

/// As [`pack_i16`], into the buffers of an earlier pack of any shape.
///
/// # Panics
/// If the CPU lacks `isa`, there is no column or no step, a lane lies outside the values, or `a_max` exceeds 32,768.
pub fn pack_i16_into<S: Copy + Into<i32>>(
    isa: Isa,
    source: Source<'_, S>,
    a_max: u32,
    range: (i32, i32),
    packed: &mut PackedI16,
) {
    assert!(a_max <= 1 << 15, "a bound of {a_max} on |a| exceeds 32768");
    packed.n_steps = source.n_steps(2);
    (packed.n, packed.segments, packed.a_max) = (source.n, source.segments, a_max);
    debug_assert!(
        source.runs().flatten().all(|&value| (range.0..=range.1).contains(&value.into())),
        "a value of B is outside of {range:?}"
    );
    elementwise::run(isa, PackWords { source, range, packed: &mut *packed });
    let n_lines = packed.limbs[0].lines.len();
    for Limb { lines, .. } in &mut packed.limbs[..packed.n_limbs_of_room] {
        lines.reserve_exact(n_lines.saturating_sub(lines.len()));
    }
}

/// Packing as an operation: the same loops, compiled for each instruction set.
struct PackWords<'a, S> {
    source: Source<'a, S>,
    range: (i32, i32),
    packed: &'a mut PackedI16,
}

impl<S: Copy + Into<i32>> Operation for PackWords<'_, S> {
    type Output = ();

    fn reference(self) {
        self.packed.fill(&self.source, self.range);
    }

    #[inline(always)]
    fn vectorized(self, _: Isa) {
        self.packed.fill(&self.source, self.range);
    }
}

/// Exact: `Split::new` has bounded each limb to 16 bits.
const fn low_word(limb: i32) -> u32 {
    limb.cast_unsigned() & 0xFFFF
}

/// How values are cut into limbs.
#[derive(Debug, PartialEq, Eq)]
struct Split {
    width: u32,
    n_limbs: usize,
    /// Of each limb.
    flush_steps: [usize; MOST_LIMBS],
}

/// Limbs of 7 bits that any value of 32 bits fits in.
const MOST_LIMBS: usize = 5;

impl Split {
    /// The fewest limbs whose sums need no flush for 16 steps, or for all of the depth.
    ///
    /// Exact: ends, since 5 limbs of 7 bits allow a flush every 511 steps at `a_max = 2^15`.
    fn new(range: (i32, i32), a_max: u32, n_steps: usize) -> Self {
        let total_bits = 33 - range.0.unsigned_abs().max(range.1.unsigned_abs()).leading_zeros();
        (1..=MOST_LIMBS)
            .find_map(|n_limbs| {
                let width = total_bits.div_ceil(n_limbs.try_into().ok()?);
                let flush_steps = flush_steps(range, width, n_limbs, a_max)?;
                let enough = |&steps: &usize| steps >= n_steps.min(FLUSH_STEPS_WANTED);
                flush_steps[..n_limbs].iter().all(enough).then(|| Self {
                    width,
                    n_limbs,
                    flush_steps: flush_steps.map(|steps| steps.min(n_steps)),
                })
            })
            .expect("five limbs of seven bits always do")
    }

    fn shift(&self, index: usize) -> u32 {
        (0..index).map(|_| self.width).sum()
    }

    /// Limb `index` of values: the balanced digit, or what is left for the last limb.
    ///
    /// With `half = 2^(width-1)`: `digit = ((v + half) mod 2^width) - half`, and the rest is `(v + half) >> width`. The rest
    /// behind several limbs is one such shift, since `floor((floor(x / a) + h) / b) = floor((x + h * a) / (a * b))`.
    fn digit(&self, index: usize) -> Digit {
        let half = 1 << (self.width - 1);
        let shift = self.shift(index);
        let addend = (0..index).map(|limb| i64::from(half) << self.shift(limb)).sum();
        let is_last = index + 1 == self.n_limbs;
        let (half, mask) = if is_last { (0, -1) } else { (half, 2 * half - 1) };
        Digit { addend, shift, half, mask }
    }
}

/// What takes a limb out of a value: `(((value + addend) >> shift) + half mod 2^width) - half`.
#[derive(Debug, Clone, Copy)]
struct Digit {
    addend: i64,
    shift: u32,
    half: i32,
    mask: i32,
}

impl Digit {
    /// Whether values of this range may be taken in 32 bits.
    fn fits_32_bits(self, range: (i32, i32)) -> bool {
        i64::from(range.1) + self.addend <= i64::from(i32::MAX) && self.shift < 32
    }

    /// Bound: [`Digit::fits_32_bits`].
    #[inline(always)]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the addend fits where the sum with the largest value does"
    )]
    fn of(self, value: i32) -> i32 {
        // Wrapping: modulo 2^32, of which the mask keeps less; a last limb adds no half.
        let rest = value.wrapping_add(self.addend as i32) >> (self.shift & 31);
        (rest.wrapping_add(self.half) & self.mask).wrapping_sub(self.half)
    }

    /// Of any value.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "a limb lies between 16-bit bounds")]
    fn of_any(self, value: i32) -> i32 {
        let rest = (i64::from(value) + self.addend) >> self.shift;
        (((rest + i64::from(self.half)) & i64::from(self.mask)) - i64::from(self.half)) as i32
    }
}

/// The flush bound of each limb, or `None` where the last one does not fit 16 bits.
fn flush_steps(range: (i32, i32), width: u32, n_limbs: usize, a_max: u32) -> Option<[usize; MOST_LIMBS]> {
    let half = 1_i64 << (width - 1);
    let (mut min, mut max) = (i64::from(range.0), i64::from(range.1));
    let mut bounds = [0; MOST_LIMBS];
    for (limb, bound) in (1..=n_limbs).zip(&mut bounds) {
        let limb_max = if limb == n_limbs { max.max(-min) } else { half.min(max.max(-min)) };
        // Bound: one multiply-add of a step adds two products, each at most a_max * limb_max.
        let step_max = (2 * i64::from(a_max) * limb_max).max(1);
        *bound = usize::try_from(i64::from(i32::MAX) / step_max).ok()?;
        if limb < n_limbs {
            (min, max) = ((min + half) >> width, (max + half) >> width);
        }
    }
    let fits = min >= i64::from(i16::MIN) && max <= i64::from(i16::MAX) && (n_limbs == 1 || width <= 16);
    fits.then_some(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_exact_and_as_short_as_the_bounds_allow() {
        let whole = |a_max, range, n_steps| Split::new(range, a_max, n_steps).n_limbs;
        assert_eq!(whole(1 << 15, (-(1 << 15), (1 << 15) - 1), 1000), 2);
        assert_eq!(whole(255, (-(1 << 15), (1 << 15) - 1), 1000), 1);
        assert_eq!(whole((1 << 15) - 1, (-(1 << 15), (1 << 15) - 1), 1), 1);
        assert_eq!(whole(1 << 15, (-(1 << 15), 0), 1), 2, "2^31 overflows in one step");
        assert_eq!(whole(128, (-(1 << 23), (1 << 23) - 1), 1000), 2);
        assert_eq!(whole(1 << 15, (-(1 << 23), (1 << 23) - 1), 1000), 3);
        for range in [(0, 0), (i32::MIN, i32::MAX), (-(1 << 23), (1 << 23) - 1), (-100_000, 5), (0, 70_000)] {
            for a_max in [0, 1, 127, 128, 1000, (1 << 15) - 1, 1 << 15] {
                let split = Split::new(range, a_max, usize::MAX);
                for value in [range.0, range.0 / 2, range.0 / 3, -1, 0, 1, range.1 / 3, range.1] {
                    let value = value.clamp(range.0, range.1);
                    let digits = (0..split.n_limbs).map(|limb| {
                        let digit = split.digit(limb);
                        let any = digit.of_any(value);
                        assert!(!digit.fits_32_bits(range) || digit.of(value) == any, "{value} {digit:?}");
                        i64::from(any) << split.shift(limb)
                    });
                    assert_eq!(digits.sum::<i64>(), i64::from(value), "{range:?} {a_max} {split:?}");
                }
            }
        }
    }
}
