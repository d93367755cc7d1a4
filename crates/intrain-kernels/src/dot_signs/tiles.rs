//! From a product by signs to register tiles: panels of B outside, rows inside, written once for all instruction sets.

use core::arch::x86_64::{__m128i, _mm_load_si128};

use super::Args;
use crate::pack::{Line, PANEL};
use crate::product::{Packed, Store};

/// What is added to each sum of four codes, so that none is negative.
const BIAS: u8 = 12;
/// Steps whose sums stay in bytes. Bound: `2 * 4 * (12 + 12) = 192`.
pub(super) const STEPS_IN_BYTES: usize = 2;
/// Steps of two panels that stay in the first-level cache, 16 KiB beside the table's 4. Bound: `128 * 96 = 12,288` fits in 16 bits.
const STEPS_CACHED: usize = 128;
/// Most panels of a tile.
pub(super) const PANELS: usize = 4;
/// Most rows of a tile.
const ROWS: usize = 8;

/// The sums of four codes by each choice of signs, plus [`BIAS`]; one line of 16 for each quad.
#[repr(align(64))]
struct Table([[u8; 16]; 256]);

static TABLE: Table = Table(table());

const fn table() -> [[u8; 16]; 256] {
    let mut table = [[BIAS; 16]; 256];
    let (mut quad, mut signs, mut i) = (0, 0, 0);
    while quad < 256 {
        while signs < 16 {
            while i < 4 {
                #[allow(clippy::cast_possible_truncation, reason = "two bits")]
                let code = ((quad >> (2 * i)) & 3) as u8;
                let sum = &mut table[quad][signs];
                *sum = if signs >> i & 1 == 1 { *sum + code } else { *sum - code };
                i += 1;
            }
            (signs, i) = (signs + 1, 0);
        }
        (quad, signs) = (quad + 1, 0);
    }
    table
}

/// The 16 sums of the quad at this place.
///
/// # Safety
/// The byte may be read.
#[inline(always)]
pub(super) unsafe fn sums_of_quad(quad: *const u8) -> __m128i {
    // SAFETY: the caller's promise; the table has a line of 16 aligned bytes for each byte.
    unsafe { _mm_load_si128(TABLE.0.as_ptr().add(*quad as usize).cast()) }
}

/// A panel's sums, those of its even columns first: they grow in words from the low and the high bytes of others.
pub(super) type Sums = [[u16; PANEL / 2]; 2];

/// Some rows by some panels.
pub(super) struct Tile<'a> {
    pub(super) a: *const u8,
    /// As many as the tile function is made for.
    pub(super) rows: &'a [u32],
    pub(super) steps: &'a [u32],
    /// The first are those that the tile function is made for.
    pub(super) panels: [&'a [Line]; PANELS],
    pub(super) sums: &'a mut [[Sums; PANELS]; ROWS],
}

/// A register tile: sets the sums of its rows and panels, each plus 12 for each quad.
///
/// # Safety
/// The CPU has its features; `a` may be read for 4 bytes at each row plus step; each panel holds a line for each step.
pub(super) type TileFn = unsafe fn(Tile<'_>);

/// The tile functions of each number of panels, and of them for each number of rows.
pub(super) type Tiles = [&'static [TileFn]];

/// Compiled for the instruction set of its caller.
///
/// # Safety
/// The CPU has the features of `tiles`, and `args` has passed its check.
#[inline(always)]
pub(super) unsafe fn run(args: Args<'_>, tiles: &Tiles) {
    let Args { a, rows, steps, segments, b, c, c_stride, init, store } = args;
    let (n, first_step) = (b.n(), b.n_steps() / b.segments() * segments.start);
    let mut sums = [[[[0; PANEL / 2]; 2]; PANELS]; ROWS];
    for column in (0..n).step_by(tiles.len() * PANEL) {
        let columns = (n - column).min(tiles.len() * PANEL);
        let n_panels = columns.div_ceil(PANEL);
        let tiles = tiles[n_panels - 1];
        let mut first = first_step;
        for (chunk, steps) in steps.chunks(STEPS_CACHED).enumerate() {
            let lines = first..first + steps.len();
            first = lines.end;
            // A tile of pairs may read the last panel twice.
            let panel = |i: usize| &b.panel(column + i.min(n_panels - 1) * PANEL)[lines.clone()];
            let panels = [panel(0), panel(1), panel(2), panel(3)];
            let (init, store) = match chunk {
                0 => (init.map(|init| &init[column..column + columns]), store),
                _ => (None, Store::Add),
            };
            let mut c = c[column..].chunks_mut(c_stride);
            for rows in rows.chunks(tiles.len()) {
                let tile = Tile { a: a.as_ptr(), rows, steps, panels, sums: &mut sums };
                // SAFETY: the check bounds rows plus steps by A, and each panel has a line for each of the steps.
                unsafe { tiles[rows.len() - 1](tile) };
                for (sums, c) in sums[..rows.len()].iter().zip(&mut c) {
                    flush(&mut c[..columns], sums, steps.len(), (store, init));
                }
            }
        }
    }
}

/// Adds a row's sums to C, without the bias of `steps` steps.
#[inline(always)]
fn flush(c: &mut [i32], sums: &[Sums; PANELS], steps: usize, (store, init): (Store, Option<&[i32]>)) {
    // Exact: at most `STEPS_CACHED` steps.
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "at most 128 steps")]
    let bias = 4 * i32::from(BIAS) * steps as i32;
    for (panel, (c, [even, odd])) in c.chunks_mut(PANEL).zip(sums).enumerate() {
        let mut in_order = [0; PANEL];
        for (pair, (even, odd)) in in_order.as_chunks_mut::<2>().0.iter_mut().zip(even.iter().zip(odd)) {
            *pair = [i32::from(*even) - bias, i32::from(*odd) - bias];
        }
        // Wrapping: modulo 2^32, as the whole sum is; the caller has proven that the true sum fits.
        if let Some(init) = init {
            let init = &init[panel * PANEL..];
            in_order.iter_mut().zip(init).for_each(|(sum, init)| *sum = sum.wrapping_add(*init));
        }
        match store {
            Store::Set => c.copy_from_slice(&in_order[..c.len()]),
            Store::Add => c.iter_mut().zip(in_order).for_each(|(c, sum)| *c = c.wrapping_add(sum)),
        }
    }
}
