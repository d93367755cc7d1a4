//! AVX-512 VNNI for bytes: four taps, or four rows, of 64 channels are interleaved, so that `vpdpbusd` adds up four products of
//! each channel at once.
//!
//! A's bytes are signed and the instruction wants one side without signs: each is read as `code + 128`, and 128 times the sum of
//! the other side is taken away again, exactly modulo 2^32.

use core::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_set1_epi8,
    _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_slli_epi32, _mm512_storeu_si512, _mm512_sub_epi32,
    _mm512_unpackhi_epi8, _mm512_unpackhi_epi16, _mm512_unpacklo_epi8, _mm512_unpacklo_epi16,
    _mm512_xor_si512,
};

use super::{Gradient, Multiply, TAPS};
use crate::elementwise;
use crate::isa::Isa;

/// Channels of a vector of bytes.
const CHANNELS: usize = 64;
/// Taps, or rows, that one instruction takes.
const LANES: usize = 4;
/// Groups of taps whose weights are held at once.
const GROUPS: usize = 16;

/// The 64 channels of four bytes each, as unpacking leaves them: quarter `q` of vector `v` holds channels `16 q + 4 v` and on.
type Quads = [__m512i; 4];

/// # Safety
/// The CPU has AVX-512 VNNI, and the arguments have passed the checks of [`super::multiply`].
pub(super) unsafe fn multiply(args: Multiply<'_, i8>) {
    if args.init.len() < CHANNELS || args.steps.len() > GROUPS * LANES {
        return elementwise::run(Isa::Avx512Vnni, args);
    }
    // SAFETY: the caller's promise, and there is a whole block of channels.
    unsafe { blocks(args) }
}

/// Three by three taps whose columns lie as far apart as neighbouring rows of C: the windows of a stride of 1. Each column of
/// A is interleaved once, for the three windows that it lies in.
struct Columns {
    /// From one column to the next.
    pitch: usize,
    /// The three taps of a column.
    taps: [usize; 3],
}

impl Columns {
    fn of(rows: &[u32], steps: &[u32]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h, i] = *<&[u32; 9]>::try_from(steps).ok()?;
        let pitch = b.checked_sub(a)?;
        let is_even =
            [(b, c), (d, e), (e, f), (g, h), (h, i)].iter().all(|(x, y)| y.checked_sub(*x) == Some(pitch));
        let (x, y) = (rows.first()?, rows.get(1)?);
        let is_it = is_even && y.checked_sub(*x) == Some(pitch);
        is_it.then_some(Self { pitch: pitch as usize, taps: [a, d, g].map(|tap| tap as usize) })
    }
}

/// The sums of 64 channels from `first` on, where windows share columns.
///
/// # Safety
/// As [`multiply`], for these channels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn shared_columns(columns: &Columns, first: usize, args: &mut Multiply<'_, i8>) {
    let (n, Columns { pitch, taps }) = (args.init.len(), columns);
    // SAFETY: the caller's promise: what is read are taps of rows, and what is written are rows of C.
    unsafe {
        let zero = _mm512_setzero_si512();
        let mut start = sums_of_quads(args.init.as_ptr().add(first));
        let of_column = |column: usize| {
            let of_tap =
                |row: usize| _mm512_loadu_si512(args.b.as_ptr().add((3 * row + column) * n + first).cast());
            quads([of_tap(0), of_tap(1), of_tap(2), zero])
        };
        let weights = [of_column(0), of_column(1), of_column(2)];
        weights.iter().for_each(|weights| take_away(&mut start, weights));
        // The fourth byte meets weights of 0.
        let column = |from: *const u8| {
            unsigned_quads([from.add(taps[0]), from.add(taps[1]), from.add(taps[2]), from.add(taps[2])])
        };
        let mut next = None;
        let (mut x, mut y) = ([zero; 4], [zero; 4]);
        for (m, row) in args.rows.iter().enumerate() {
            let row = *row as usize;
            let from = args.a.as_ptr().add(row + first);
            if next != Some(row) {
                // The first window of a line.
                (x, y) = (column(from), column(from.add(*pitch)));
            }
            let z = column(from.add(2 * pitch));
            let mut sums = start;
            add(&mut sums, x, &weights[0]);
            add(&mut sums, y, &weights[1]);
            add(&mut sums, z, &weights[2]);
            store(sums, args.c.as_mut_ptr().add(m * n + first));
            (x, y, next) = (y, z, Some(row + pitch));
        }
    }
}

/// # Safety
/// As [`multiply`], for at least 64 channels and at most 64 taps.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn blocks(args: Multiply<'_, i8>) {
    if let Some(columns) = Columns::of(args.rows, args.steps) {
        let (n, mut args) = (args.init.len(), args);
        // SAFETY: the caller's promise.
        each_block(n, |first| unsafe { shared_columns(&columns, first, &mut args) });
        return;
    }
    let Multiply { a, rows, steps, b, init, c } = args;
    let n = init.len();
    let n_groups = steps.len().div_ceil(LANES);
    // Steps behind the last one meet weights of 0.
    let mut places = [0; GROUPS * LANES];
    places.iter_mut().zip(steps).for_each(|(place, step)| *place = *step as usize);
    each_block(n, |first| {
        // SAFETY: `first + CHANNELS <= n`, B and init have n channels for each step, and the checks have proven that each row
        // and step with n channels behind it lies in A, and each row of n channels in C.
        unsafe {
            let mut weights: [Quads; GROUPS] = [[_mm512_setzero_si512(); 4]; GROUPS];
            let mut start: Quads = sums_of_quads(init.as_ptr().add(first));
            for (group, weights) in weights[..n_groups].iter_mut().enumerate() {
                let of_tap = |tap: usize| match group * LANES + tap {
                    tap if tap < steps.len() => _mm512_loadu_si512(b.as_ptr().add(tap * n + first).cast()),
                    _ => _mm512_setzero_si512(),
                };
                *weights = quads([of_tap(0), of_tap(1), of_tap(2), of_tap(3)]);
                take_away(&mut start, weights);
            }
            for (m, row) in rows.iter().enumerate() {
                let from = a.as_ptr().add(*row as usize + first);
                let mut sums = start;
                for (places, weights) in places.as_chunks::<LANES>().0.iter().zip(&weights[..n_groups]) {
                    add(&mut sums, unsigned_quads(places.map(|place| from.add(place))), weights);
                }
                store(sums, c.as_mut_ptr().add(m * n + first));
            }
        }
    });
}

/// Calls `f` with the first channel of each block. The last one may overlap the one before it: the same sums once more.
fn each_block(n: usize, mut f: impl FnMut(usize)) {
    (0..n / CHANNELS).for_each(|block| f(block * CHANNELS));
    if !n.is_multiple_of(CHANNELS) {
        f(n - CHANNELS);
    }
}

/// # Safety
/// The CPU has AVX-512 VNNI, and the arguments have passed the checks of [`super::gradient`].
pub(super) unsafe fn gradient(args: Gradient<'_, i8>) {
    if args.channels < CHANNELS {
        return elementwise::run(Isa::Avx512Vnni, args);
    }
    let Gradient { a, rows, steps, channels, e, g } = args;
    let whole = channels / CHANNELS * CHANNELS;
    let (four, rest) = rows.split_at(rows.len() / LANES * LANES);
    for (i, steps) in steps.chunks(TAPS).enumerate() {
        for first in (0..whole).step_by(CHANNELS) {
            let g = &mut g[i * TAPS * channels + first..];
            // SAFETY: the caller's promise; these channels, rows and steps are among those that were checked.
            unsafe {
                match *steps {
                    [x] => taps(a, four, [x], (channels, first), e, g),
                    [x, y] => taps(a, four, [x, y], (channels, first), e, g),
                    [x, y, z, ..] => taps(a, four, [x, y, z], (channels, first), e, g),
                    [] => {}
                }
            }
        }
    }
    // Rows that make no four, and channels that fill no vector.
    let of_rest = &e[four.len() * channels..];
    // SAFETY: the caller's promise.
    unsafe {
        remaining(Gradient { a, rows: rest, steps, channels, e: of_rest, g }, 0);
        if whole < channels {
            remaining(Gradient { a, rows: four, steps, channels, e: &e[..four.len() * channels], g }, whole);
        }
    }
}

/// The sums of all channels from `first` on, by the plain loop.
///
/// # Safety
/// The CPU has AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn remaining(args: Gradient<'_, i8>, first: usize) {
    args.channels_from(first);
}

/// Adds the sums of `N` taps and 64 channels from `first` on to `g`, over rows by fours.
///
/// # Safety
/// As [`gradient`]; `g` begins at the first of the taps and channels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn taps<const N: usize>(
    a: &[u8],
    rows: &[u32],
    steps: [u32; N],
    (n, first): (usize, usize),
    e: &[i8],
    g: &mut [i32],
) {
    // SAFETY: each row and step with n channels behind it lies in A, each row in E, each tap in G.
    unsafe {
        let zero = _mm512_setzero_si512();
        let (mut sums, mut start): ([Quads; N], Quads) = ([[zero; 4]; N], [zero; 4]);
        for (i, rows) in rows.as_chunks::<LANES>().0.iter().enumerate() {
            let of_row =
                |row: usize| _mm512_loadu_si512(e.as_ptr().add((i * LANES + row) * n + first).cast());
            let errors = quads([of_row(0), of_row(1), of_row(2), of_row(3)]);
            take_away(&mut start, &errors);
            for (sums, step) in sums.iter_mut().zip(steps) {
                let from = a.as_ptr().add(step as usize + first);
                add(sums, unsigned_quads(rows.map(|row| from.add(row as usize))), &errors);
            }
        }
        for (tap, sums) in sums.iter().enumerate() {
            let to = g.as_mut_ptr().add(tap * n);
            let before = sums_of_quads(to);
            let total =
                [0, 1, 2, 3].map(|v| _mm512_add_epi32(_mm512_add_epi32(before[v], start[v]), sums[v]));
            store(total, to);
        }
    }
}

/// Four vectors of 64 bytes, interleaved to four bytes of each channel.
#[target_feature(enable = "avx512f,avx512bw")]
fn quads([x, y, z, w]: [__m512i; 4]) -> Quads {
    let (xy_low, xy_high) = (_mm512_unpacklo_epi8(x, y), _mm512_unpackhi_epi8(x, y));
    let (zw_low, zw_high) = (_mm512_unpacklo_epi8(z, w), _mm512_unpackhi_epi8(z, w));
    [
        _mm512_unpacklo_epi16(xy_low, zw_low),
        _mm512_unpackhi_epi16(xy_low, zw_low),
        _mm512_unpacklo_epi16(xy_high, zw_high),
        _mm512_unpackhi_epi16(xy_high, zw_high),
    ]
}

/// The same of signed bytes in memory, each as `code + 128`.
///
/// # Safety
/// 64 bytes can be read from each.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn unsigned_quads(from: [*const u8; 4]) -> Quads {
    // SAFETY: the caller's promise.
    let codes = from.map(|from| unsafe { _mm512_loadu_si512(from.cast()) });
    let sign = _mm512_set1_epi8(i8::MIN);
    quads(codes.map(|codes| _mm512_xor_si512(codes, sign)))
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn add(sums: &mut Quads, unsigned: Quads, signed: &Quads) {
    for v in 0..4 {
        sums[v] = _mm512_dpbusd_epi32(sums[v], unsigned[v], signed[v]);
    }
}

/// Takes away what the 128 of the other side adds.
#[target_feature(enable = "avx512f,avx512vnni")]
fn take_away(sums: &mut Quads, signed: &Quads) {
    let (zero, one) = (_mm512_setzero_si512(), _mm512_set1_epi8(1));
    for v in 0..4 {
        let total = _mm512_dpbusd_epi32(zero, one, signed[v]);
        sums[v] = _mm512_sub_epi32(sums[v], _mm512_slli_epi32::<7>(total));
    }
}

/// A transpose of four by four quarters of vectors, which is its own inverse: each vector becomes 16 channels one behind the
/// other.
#[target_feature(enable = "avx512f")]
fn turned([x, y, z, w]: Quads) -> Quads {
    let (xy_even, zw_even) = (_mm512_shuffle_i32x4::<0x88>(x, y), _mm512_shuffle_i32x4::<0x88>(z, w));
    let (xy_odd, zw_odd) = (_mm512_shuffle_i32x4::<0xDD>(x, y), _mm512_shuffle_i32x4::<0xDD>(z, w));
    [
        _mm512_shuffle_i32x4::<0x88>(xy_even, zw_even),
        _mm512_shuffle_i32x4::<0x88>(xy_odd, zw_odd),
        _mm512_shuffle_i32x4::<0xDD>(xy_even, zw_even),
        _mm512_shuffle_i32x4::<0xDD>(xy_odd, zw_odd),
    ]
}

/// 64 sums from memory, in the order of [`Quads`].
///
/// # Safety
/// They can be read.
#[target_feature(enable = "avx512f")]
unsafe fn sums_of_quads(from: *const i32) -> Quads {
    // SAFETY: the caller's promise.
    turned([0, 1, 2, 3].map(|v| unsafe { _mm512_loadu_si512(from.add(16 * v).cast()) }))
}

/// 64 sums to memory, channel by channel.
///
/// # Safety
/// They can be written.
#[target_feature(enable = "avx512f")]
unsafe fn store(sums: Quads, to: *mut i32) {
    for (v, sums) in turned(sums).into_iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_si512(to.add(16 * v).cast(), sums) };
    }
}
