//! Four lines of bytes in one: values of -2 to 1 in 2 bits each, and back.
//!
//! Byte `j` of a packed line holds byte `j` of lines `4k` to `4k + 3`, the first in its lowest bits.

use std::ops::Range;

use super::panels::Line;
use crate::elementwise::{self, Operation};
use crate::isa::Isa;

/// Lines of bytes in a packed one.
const LINES: usize = 4;

/// Packs lines; none where a byte is not one of -2 to 1.
pub(super) fn pack(lines: &[Line]) -> Option<Vec<Line>> {
    let fits = |word: u32| word.to_le_bytes().iter().all(|byte| (-2..=1).contains(&byte.cast_signed()));
    if !lines.iter().flat_map(|line| line.0).all(fits) {
        return None;
    }
    let of = |lines: &[Line]| {
        let mut packed = Line::default();
        for (i, line) in lines.iter().enumerate() {
            for (packed, word) in packed.0.iter_mut().zip(line.0) {
                *packed |= (word & 0x0303_0303) << (2 * i);
            }
        }
        packed
    };
    Some(lines.chunks(LINES).map(of).collect())
}

/// A byte of the line of that number, before it was packed.
pub(super) fn value(packed: &[Line], line: usize, byte: usize) -> i8 {
    let byte = packed[line / LINES].0[byte / LINES].to_le_bytes()[byte % LINES];
    wide(byte >> (2 * (line % LINES)))
}

/// The value of the two lowest bits.
#[inline(always)]
const fn wide(bits: u8) -> i8 {
    (((bits & 3) ^ 2).wrapping_sub(2)).cast_signed()
}

/// Lines `range`, as they were before they were packed, in `room`.
pub(super) fn unpack<'a>(
    isa: Isa,
    packed: &[Line],
    range: Range<usize>,
    room: &'a mut Vec<Line>,
) -> &'a [Line] {
    let (first, end) = (range.start / LINES, range.end.div_ceil(LINES));
    room.resize(((end - first) * LINES).max(room.len()), Line::default());
    elementwise::run(isa, Unpack { packed: &packed[first..end], lines: room });
    &room[range.start - first * LINES..][..range.len()]
}

struct Unpack<'a> {
    packed: &'a [Line],
    lines: &'a mut [Line],
}

impl Operation for Unpack<'_> {
    type Output = ();

    fn reference(self) {
        for (packed, lines) in self.packed.iter().zip(self.lines.chunks_exact_mut(LINES)) {
            for (i, line) in lines.iter_mut().enumerate() {
                for (word, packed) in line.0.iter_mut().zip(packed.0) {
                    *word = u32::from_le_bytes(
                        packed.to_le_bytes().map(|byte| wide(byte >> (2 * i)).cast_unsigned()),
                    );
                }
            }
        }
    }

    #[inline(always)]
    fn vectorized(self, _: Isa) {
        for (packed, lines) in self.packed.iter().zip(self.lines.chunks_exact_mut(LINES)) {
            for (i, line) in lines.iter_mut().enumerate() {
                for (word, packed) in line.0.iter_mut().zip(packed.0) {
                    // All four bytes at once: 0 to 3 becomes 0, 1, -2, -1.
                    let bits = (packed >> (2 * i)) & 0x0303_0303;
                    let sign = (bits >> 1) & 0x0101_0101;
                    // Exact: 252 times a sign stays in its byte.
                    *word = bits | (sign << 8).wrapping_sub(sign << 2);
                }
            }
        }
    }
}
