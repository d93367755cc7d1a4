//! The channels' lines as lanes: a row of numbers for each vector of integers, until the channels begin anew.

use intrain_num::Round;
use intrain_num::norm::{ChannelAffine, NormBackward};

use super::Store;

/// Integers of a vector.
pub(super) const LANES: usize = 16;
/// A number for each integer of a vector.
pub(super) type Lane = [i32; LANES];
/// Rows, at least: with fewer the time would go into counting them.
const ROWS: usize = 8;

/// Vectors until the first channel is the first of a vector again.
pub(super) fn period(channels: usize) -> usize {
    channels >> channels.trailing_zeros().min(LANES.trailing_zeros())
}

/// Rows for `channels`: whole periods, and at least [`ROWS`].
fn rows(channels: usize) -> usize {
    let period = period(channels);
    period * ROWS.div_ceil(period)
}

/// Row, of `rows`, and lane of a tensor's integer `i`.
pub(super) const fn at(i: usize, rows: usize) -> (usize, usize) {
    (i / LANES % rows, i % LANES)
}

/// Row `k` of the numbers `f` of `channels`.
fn row(k: usize, channels: usize, f: impl Fn(usize) -> i64) -> Lane {
    // Bound: what the plan has proven to fit 32 bits.
    std::array::from_fn(|i| i32::try_from(f((k * LANES + i) % channels)).unwrap_or(i32::MAX))
}

/// What is made of a vector of integers of each tensor. No closure: only a method can demand to be inlined, and so to be
/// compiled with the instructions of its caller.
pub(super) trait OfVector<const N: usize> {
    /// Lanes, or sums of them.
    type Output;

    /// Of integers whose channels are row `k`. Must be `#[inline(always)]`.
    fn of(&self, k: usize, words: [&[i16; LANES]; N]) -> Self::Output;
}

/// The vector of each tensor that begins at its integer `at`, filled up with zeros behind the last.
#[inline(always)]
pub(super) fn filled<const N: usize>(tensors: [&[i16]; N], at: usize) -> [[i16; LANES]; N] {
    tensors.map(|tensor| {
        let mut words = [0; LANES];
        words[..tensor.len() - at].copy_from_slice(&tensor[at..]);
        words
    })
}

/// The vector of each tensor that begins at its integer `at`. Bound: it is whole.
#[inline(always)]
pub(super) fn vectors<const N: usize>(tensors: [&[i16]; N], at: usize) -> [&[i16; LANES]; N] {
    tensors.map(|tensor| tensor[at..].first_chunk().expect("a whole vector"))
}

/// `out = lanes.of(integers)`, or added to `out`, for each vector of tensors as long as `out`.
#[inline(always)]
pub(super) fn each<const N: usize>(
    tensors: [&[i16]; N],
    rows: usize,
    lanes: &impl OfVector<N, Output = Lane>,
    out: &mut [i32],
    store: Store,
) {
    let len = out.len();
    let whole = len / LANES * LANES;
    for start in (0..whole).step_by(rows * LANES) {
        for k in 0..rows.min((whole - start) / LANES) {
            let at = start + k * LANES;
            put(&lanes.of(k, vectors(tensors, at)), &mut out[at..at + LANES], store);
        }
    }
    if whole < len {
        let lanes = lanes.of(whole / LANES % rows, filled(tensors, whole).each_ref());
        put(&lanes[..len - whole], &mut out[whole..], store);
    }
}

#[inline(always)]
fn put(lanes: &[i32], out: &mut [i32], store: Store) {
    for (out, lane) in out.iter_mut().zip(lanes) {
        *out = if store == Store::Add { *out + lane } else { *lane };
    }
}

/// The means of all channels.
#[derive(Debug, Clone, Default)]
pub struct Means {
    pub(super) rows: Vec<Lane>,
    /// A mean's last bit lies so many places below the integers'.
    pub(super) places: u32,
    channels: usize,
}

impl Means {
    /// From the mean of each channel, in a bit that lies `places` below the integers' last.
    ///
    /// # Panics
    /// When there are no channels.
    #[must_use]
    pub fn new(mean: &[i64], places: u32) -> Self {
        let mut means = Self::default();
        means.set(mean, places);
        means
    }

    /// The same in memory that is there already.
    ///
    /// # Panics
    /// When there are no channels.
    pub fn set(&mut self, mean: &[i64], places: u32) {
        let channels = mean.len();
        assert!(channels > 0, "fixed_norm: no channels");
        self.rows.clear();
        self.rows.extend((0..rows(channels)).map(|k| row(k, channels, |i| mean[i])));
        (self.places, self.channels) = (places, channels);
    }

    /// How many there are.
    #[must_use]
    pub const fn channels(&self) -> usize {
        self.channels
    }
}

/// The lines of all channels.
#[derive(Debug, Clone, Default)]
pub struct Affines {
    pub(super) rows: Vec<Row>,
    pub(super) means: Means,
    /// Least and largest value.
    pub(super) limits: (i32, i32),
}

/// The lines of a vector.
#[derive(Debug, Clone)]
pub(super) struct Row {
    multiplier: Lane,
    /// What is added before the shift: the offset, and the rounding's constant.
    addend: Lane,
    shift: Lane,
    pub(super) gain: Lane,
    pub(super) offset: Lane,
}

impl Row {
    /// The value of an integer that is the vector's `i`-th.
    #[inline(always)]
    pub(super) fn value(&self, i: usize, x: i16, (min, max): (i32, i32)) -> i32 {
        let sum = i32::from(x) * self.multiplier[i] + self.addend[i];
        // Bound: `Lines::set` has checked the shift; the mask says so to the compiler.
        (sum >> (self.shift[i] & 31)).max(min).min(max)
    }
}

impl Affines {
    /// From each channel's line, and what its values are multiplied by and what is added: `value * gain + offset`.
    ///
    /// `round` is one that adds a constant: to the nearest with ties down, or floor.
    ///
    /// # Panics
    /// When it is another, when lengths differ, or a shift is not in 1 to 30.
    pub fn set(
        &mut self,
        lines: &[ChannelAffine],
        means: Means,
        [gain, offset]: [&[i64]; 2],
        round: Round,
        limits: (i64, i64),
    ) {
        let c = lines.len();
        let same = [means.channels, gain.len(), offset.len()].iter().all(|len| *len == c);
        assert!(c > 0 && same, "fixed_norm: lengths differ");
        assert!(
            lines.iter().all(|line| (1..=30).contains(&line.shift)),
            "fixed_norm: shifts must be 1 to 30"
        );
        let constant = |shift: i32| match round {
            Round::NearestDown => (1i64 << (shift - 1)) - 1,
            Round::Floor => 0,
            other => panic!("fixed_norm: {other} adds no constant"),
        };
        self.rows.clear();
        self.rows.extend((0..rows(c)).map(|k| Row {
            multiplier: row(k, c, |i| lines[i].multiplier),
            addend: row(k, c, |i| constant(lines[i].shift) - lines[i].offset),
            shift: row(k, c, |i| lines[i].shift.into()),
            gain: row(k, c, |i| gain[i]),
            offset: row(k, c, |i| offset[i]),
        }));
        self.means = means;
        let lane = |x: i64| i32::try_from(x).unwrap_or(0);
        self.limits = (lane(limits.0), lane(limits.1));
    }

    /// The means, whose memory can hold those of the next batch.
    pub fn take_means(&mut self) -> Means {
        std::mem::take(&mut self.means)
    }

    /// Channels of a pixel.
    #[must_use]
    pub const fn channels(&self) -> usize {
        self.means.channels
    }

    /// The value of the tensor's integer `i`, one by one.
    pub(super) fn value(&self, i: usize, x: i16) -> i32 {
        let (k, i) = self.at(i);
        self.rows[k].value(i, x, self.limits)
    }

    /// Row and lane of the tensor's integer `i`.
    pub(super) const fn at(&self, i: usize) -> (usize, usize) {
        at(i, self.rows.len())
    }

    pub(super) fn check(&self, x: usize) {
        let c = self.channels();
        assert!(c > 0 && x.is_multiple_of(c), "fixed_norm: {x} words are not pixels of {c} channels");
    }
}

/// The lines back of all channels.
#[derive(Debug, Clone, Default)]
pub struct AffinesBackward {
    pub(super) rows: Vec<RowBack>,
    pub(super) channels: usize,
}

/// The lines back of a vector.
#[derive(Debug, Clone)]
pub(super) struct RowBack {
    pub(super) from_error: Lane,
    pub(super) from_value: Lane,
    pub(super) constant: Lane,
}

impl AffinesBackward {
    /// From each channel's line back.
    ///
    /// # Panics
    /// When there are no channels.
    pub fn set(&mut self, lines: &[NormBackward]) {
        let c = lines.len();
        assert!(c > 0, "fixed_norm: no channels");
        self.channels = c;
        self.rows.clear();
        self.rows.extend((0..rows(c)).map(|k| RowBack {
            from_error: row(k, c, |i| lines[i].from_error),
            from_value: row(k, c, |i| lines[i].from_value),
            constant: row(k, c, |i| lines[i].constant),
        }));
    }
}
