//! The update chunk by chunk: gradients to lanes, rounded in place, then one pass over the stored weights.

use super::{Args, Counts};
use crate::elementwise::{Integer, Operation};
use crate::isa::Isa;
use crate::requantize::rounding::{CHUNK, Lane, Rounding, WordsOfChunk};

impl<G: Integer, M: Integer> Operation for Args<'_, G, M> {
    type Output = Counts;

    fn reference(self) -> Counts {
        super::reference::run(self)
    }

    #[inline(always)]
    fn vectorized(mut self, isa: Isa) -> Counts {
        self.divide_out_powers_of_two();
        let is_narrow = G::BITS <= 32 && M::BITS <= 16 && self.multiplier == 1;
        if is_narrow && self.rounding(0).fits_32_bits() {
            chunks::<i32, G, M>(self, isa)
        } else {
            chunks::<i64, G, M>(self, isa)
        }
    }
}

impl<G, M> Args<'_, G, M> {
    /// Makes the multiplier odd: learning rates are mostly powers of two, and then no product is left.
    ///
    /// Exact: `g * 2^k * 2^-shift` is the same number as `g * 2^-(shift - k)`, and random bits below the last bit of
    /// its fraction decide nothing.
    fn divide_out_powers_of_two(&mut self) {
        if self.multiplier != 0 {
            let places = self.multiplier.trailing_zeros();
            self.multiplier >>= places;
            self.shift = self.shift.saturating_sub_unsigned(places);
        }
    }

    /// The rounding of the update, its limits held within `far`.
    fn rounding(&self, far: i64) -> Rounding {
        let Self { round, shift, update_min, update_max, .. } = *self;
        Rounding { round, shift, min: update_min.clamp(-far, far), max: update_max.clamp(-far, far) }
    }
}

#[inline(always)]
fn chunks<L: UpdateLane, G: Integer, M: Integer>(args: Args<'_, G, M>, isa: Isa) -> Counts {
    // Bound: an update this far takes any stored weight, less than half of it, past its limit: the clamp behind the
    // subtraction then gives and counts the same as for a larger one, and the subtraction fits a lane.
    let rounding = args.rounding(L::FAR);
    let before = args.before.unwrap_or(i64::MAX).min(L::FAR);
    let limits =
        Limits { before: L::limit(before), min: L::limit(args.master_min), max: L::limit(args.master_max) };
    let mut words = WordsOfChunk::<{ CHUNK + 4 }>::new(isa, args.stream.map(Into::into), args.round);
    let mut lanes = [L::default(); CHUNK];
    let mut counts = Counts::default();
    for (c, (gradient, master)) in args.gradient.chunks(CHUNK).zip(args.master.chunks_mut(CHUNK)).enumerate()
    {
        let lanes = &mut lanes[..gradient.len()];
        L::load(lanes, gradient, args.multiplier);
        let first = args.first_element + (c * CHUNK) as u64;
        L::round(lanes, words.get(first, gradient.len()), rounding);
        let (dead, clamped) = L::subtract(master, lanes, gradient, &limits);
        counts.dead += u64::from(dead);
        counts.clamped += u64::from(clamped);
    }
    counts
}

/// Limits of the stored weight.
struct Limits<L> {
    before: L,
    min: L,
    max: L,
}

/// The two widths in which a chunk is updated.
trait UpdateLane: Lane {
    /// Beyond the sum of any two stored weights' magnitudes.
    const FAR: i64;

    /// `lanes = gradient * multiplier`. Bound: it fits.
    fn load<G: Integer>(lanes: &mut [Self], gradient: &[G], multiplier: i64);

    /// `master = clamp(clamp(master) - lanes)`; how many updates were dead, how many weights clamped.
    fn subtract<G: Integer, M: Integer>(
        master: &mut [M],
        lanes: &[Self],
        gradient: &[G],
        limits: &Limits<Self>,
    ) -> (u32, u32);
}

macro_rules! update_lane {
    ($int:ty, $far:expr) => {
        impl UpdateLane for $int {
            const FAR: i64 = $far;

            #[inline(always)]
            fn load<G: Integer>(lanes: &mut [Self], gradient: &[G], multiplier: i64) {
                if multiplier == 1 {
                    for (lane, &g) in lanes.iter_mut().zip(gradient) {
                        *lane = Lane::of(g);
                    }
                } else {
                    let multiplier: Self = Lane::limit(multiplier);
                    for (lane, &g) in lanes.iter_mut().zip(gradient) {
                        *lane = <Self as Lane>::of(g) * multiplier;
                    }
                }
            }

            #[inline(always)]
            fn subtract<G: Integer, M: Integer>(
                master: &mut [M],
                lanes: &[Self],
                gradient: &[G],
                limits: &Limits<Self>,
            ) -> (u32, u32) {
                let (mut dead, mut clamped) = (0, 0);
                for ((weight, &update), &g) in master.iter_mut().zip(lanes).zip(gradient) {
                    let held = <Self as Lane>::of(*weight).max(-limits.before).min(limits.before);
                    let next = held - update;
                    let stored = next.max(limits.min).min(limits.max);
                    dead += u32::from((update == 0) & (g != G::default()));
                    clamped += u32::from(stored != next);
                    *weight = stored.into_code();
                }
                (dead, clamped)
            }
        }
    };
}

update_lane!(i32, 1 << 30);
update_lane!(i64, 1 << 40);
