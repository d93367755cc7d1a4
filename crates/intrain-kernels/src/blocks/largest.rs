//! The largest magnitudes of a tensor and of its blocks, as binary32 bits.

use super::out::SEGMENT;
#[cfg(target_arch = "x86_64")]
use super::x86_avx2;
use crate::elementwise::Operation;
use crate::isa::Isa;

/// The largest magnitude of some values, as binary32 bits.
pub(super) struct Largest<'a> {
    pub(super) values: &'a [f32],
    pub(super) sees_nan: bool,
}

impl Operation for Largest<'_> {
    type Output = u32;

    fn reference(self) -> u32 {
        let limit = if self.sees_nan { u32::MAX } else { 0x7f80_0000 };
        let magnitudes = self.values.iter().map(|x| x.to_bits() & 0x7fff_ffff);
        magnitudes.filter(|magnitude| *magnitude <= limit).max().unwrap_or(0)
    }

    #[inline(always)]
    fn vectorized(self, isa: Isa) -> u32 {
        largest(isa, self.values, self.sees_nan)
    }
}

/// Largest magnitude as binary32 bits; NaN counts where `sees_nan`.
#[inline(always)]
pub(super) fn largest(isa: Isa, values: &[f32], sees_nan: bool) -> u32 {
    let mut largest = 0;
    let mut runs = [0; SEGMENT];
    for values in values.chunks(SEGMENT * 32) {
        let n = values.len().div_ceil(32);
        largest_of_blocks(isa, &mut runs[..n], std::iter::once(values), (32, sees_nan));
        for run in &runs[..n] {
            largest = largest.max(*run);
        }
    }
    largest
}

/// The largest magnitude of each block of `width` columns in some rows, as binary32 bits; NaN counts where `sees_nan`.
#[inline(always)]
pub(super) fn largest_of_blocks<'v>(
    isa: Isa,
    largest: &mut [u32],
    rows: impl Iterator<Item = &'v [f32]>,
    (width, sees_nan): (usize, bool),
) {
    largest.fill(0);
    let limit = if sees_nan { u32::MAX } else { 0x7f80_0000 };
    let seen = |x: &f32| {
        let magnitude = x.to_bits() & 0x7fff_ffff;
        if magnitude > limit { 0 } else { magnitude }
    };
    for row in rows {
        if width == 1 {
            largest.iter_mut().zip(row).for_each(|(a, x)| *a = (*a).max(seen(x)));
            continue;
        }
        let done = largest_of_runs(isa, largest, row, (width, sees_nan));
        for (a, block) in largest[done..].iter_mut().zip(row[done * width..].chunks(width)) {
            *a = block.iter().map(seen).fold(*a, u32::max);
        }
    }
}

/// The largest magnitude of each column of some short rows that lie behind one another.
#[inline(always)]
pub(super) fn largest_of_columns(largest: &mut [u32], rows: &[f32], sees_nan: bool) {
    let columns = largest.len();
    let limit = if sees_nan { u32::MAX } else { 0x7f80_0000 };
    let (eights, rest) = largest.as_chunks_mut::<8>();
    let first_of_rest = eights.len() * 8;
    for (i, eight) in eights.iter_mut().enumerate() {
        *eight = [0; 8];
        for row in rows.chunks_exact(columns) {
            // Stays in a vector.
            for (a, x) in eight.iter_mut().zip(&row[i * 8..][..8]) {
                let magnitude = x.to_bits() & 0x7fff_ffff;
                *a = if magnitude > limit { *a } else { magnitude.max(*a) };
            }
        }
    }
    for (i, a) in rest.iter_mut().enumerate() {
        *a = 0;
        for row in rows.chunks_exact(columns) {
            let magnitude = row[first_of_rest + i].to_bits() & 0x7fff_ffff;
            *a = if magnitude > limit { *a } else { magnitude.max(*a) };
        }
    }
}

/// The blocks in front that vectors serve, and how many they are.
#[inline(always)]
fn largest_of_runs(isa: Isa, largest: &mut [u32], row: &[f32], (width, sees_nan): (usize, bool)) -> usize {
    #[cfg(target_arch = "x86_64")]
    if isa >= Isa::Avx2 {
        // SAFETY: this runs with instruction sets that were found on this CPU, and `isa` has AVX2 or more.
        unsafe {
            return match (width, sees_nan) {
                (8, false) => x86_avx2::largest_of_runs::<8, false>(largest, row),
                (8, true) => x86_avx2::largest_of_runs::<8, true>(largest, row),
                (16, false) => x86_avx2::largest_of_runs::<16, false>(largest, row),
                (16, true) => x86_avx2::largest_of_runs::<16, true>(largest, row),
                (32, false) => x86_avx2::largest_of_runs::<32, false>(largest, row),
                (32, true) => x86_avx2::largest_of_runs::<32, true>(largest, row),
                _ => 0,
            };
        }
    }
    let _ = (isa, largest, row, width, sees_nan);
    0
}
