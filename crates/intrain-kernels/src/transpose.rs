//! The transpose of a small square block.
//!
//! Staging (pixels to planes) and packing (rows of weights to columns) are made of it. Invariant: elements move and nothing else.

/// Side of a block: 16 bytes are a vector of SSE2, which every x86-64 CPU has.
pub(crate) const BLOCK: usize = 16;

/// `[j][i]` from `[i][j]`.
#[inline(always)]
pub(crate) fn transposed<T: Copy>(block: [[T; BLOCK]; BLOCK]) -> [[T; BLOCK]; BLOCK] {
    transposed_rows(block.each_ref())
}

/// The same of rows that lie anywhere.
#[inline(always)]
pub(crate) fn transposed_rows<T: Copy>(block: [&[T; BLOCK]; BLOCK]) -> [[T; BLOCK]; BLOCK] {
    #[cfg(target_arch = "x86_64")]
    match size_of::<T>() {
        // SAFETY: the size of an element is the one that is named.
        1 => return unsafe { x86::transposed::<T, 1, 16>(block) },
        // SAFETY: as above.
        2 => return unsafe { x86::transposed::<T, 2, 8>(block) },
        // SAFETY: as above.
        4 => return unsafe { x86::transposed::<T, 4, 4>(block) },
        _ => {}
    }
    plain(block)
}

/// The same, element by element.
#[inline(always)]
fn plain<T: Copy>(block: [&[T; BLOCK]; BLOCK]) -> [[T; BLOCK]; BLOCK] {
    std::array::from_fn(|j| std::array::from_fn(|i| block[i][j]))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! SSE2: parts of as many rows as a vector has elements, each by perfect shuffles of its rows. The compiler makes many more
    //! instructions of the loops that say the same.

    use core::arch::x86_64::{
        __m128i, _mm_loadu_si128, _mm_setzero_si128, _mm_storeu_si128, _mm_unpackhi_epi8, _mm_unpackhi_epi16,
        _mm_unpackhi_epi32, _mm_unpacklo_epi8, _mm_unpacklo_epi16, _mm_unpacklo_epi32,
    };
    use std::mem::MaybeUninit;

    use super::BLOCK;

    /// # Safety
    /// An element has `SIZE` bytes: 1, 2 or 4; `SIDE` is `16 / SIZE`.
    #[inline(always)]
    pub(super) unsafe fn transposed<T: Copy, const SIZE: usize, const SIDE: usize>(
        block: [&[T; BLOCK]; BLOCK],
    ) -> [[T; BLOCK]; BLOCK] {
        let mut out = MaybeUninit::<[[T; BLOCK]; BLOCK]>::uninit();
        let to = out.as_mut_ptr().cast::<u8>();
        for top in (0..BLOCK).step_by(SIDE) {
            for left in (0..BLOCK).step_by(SIDE) {
                // SAFETY: SSE2 is part of x86-64.
                let mut rows = [unsafe { _mm_setzero_si128() }; SIDE];
                for (i, row) in rows.iter_mut().enumerate() {
                    // SAFETY: `SIDE` elements, 16 bytes, of one row of the block.
                    *row = unsafe { _mm_loadu_si128(block[top + i].as_ptr().add(left).cast()) };
                }
                for _ in 0..SIDE.ilog2() {
                    rows = shuffled::<SIZE, SIDE>(rows);
                }
                for (i, row) in rows.into_iter().enumerate() {
                    // SAFETY: as above, of one row of what is returned.
                    unsafe { _mm_storeu_si128(to.add(((left + i) * BLOCK + top) * SIZE).cast(), row) };
                }
            }
        }
        // SAFETY: every part has been written, with elements of the block.
        unsafe { out.assume_init() }
    }

    /// Rows `i` and `i + SIDE / 2` interleaved into rows `2 i` and `2 i + 1`.
    #[inline(always)]
    fn shuffled<const SIZE: usize, const SIDE: usize>(rows: [__m128i; SIDE]) -> [__m128i; SIDE] {
        let mut next = rows;
        for i in 0..SIDE / 2 {
            let (a, b) = (rows[i], rows[i + SIDE / 2]);
            // SAFETY: SSE2 is part of x86-64.
            (next[2 * i], next[2 * i + 1]) = unsafe {
                match SIZE {
                    1 => (_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)),
                    2 => (_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b)),
                    _ => (_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b)),
                }
            };
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, plain, transposed};

    fn check<T: Copy + PartialEq + std::fmt::Debug>(element: impl Fn(usize) -> T) {
        let block = std::array::from_fn(|i| std::array::from_fn(|j| element(i * BLOCK + j)));
        let out = transposed(block);
        assert_eq!(out, plain(block.each_ref()));
        assert_eq!(out[3][11], element(11 * BLOCK + 3));
        assert_eq!(transposed(out), block);
    }

    #[test]
    fn elements_of_every_size_change_places() {
        check(|i| u8::try_from(i).unwrap());
        check(|i| i8::try_from(i.cast_signed() - 128).unwrap());
        check(|i| i16::try_from(i.cast_signed() - 100).unwrap() * 200);
        check(|i| u32::try_from(i).unwrap() * 0x0101_0101);
        check(|i| f32::from(u16::try_from(i).unwrap()));
        check(|i| i as u64);
    }
}
