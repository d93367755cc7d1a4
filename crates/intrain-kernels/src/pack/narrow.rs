//! Four lines of bytes in one: values of -2 to 1 in 2 bits each, and back.
//!
//! Byte `j` of a packed line holds byte `j` of lines `4k` to `4k + 3`, each plus 2, the first in its lowest bits.

use std::ops::Range;

use super::panels::Line;
use crate::elementwise::{self, Operation};
use crate::isa::Isa;

/// Lines of bytes in a packed one.
const LINES: usize = 4;
/// Bytes of a line.
const BYTES: usize = size_of::<Line>();
/// What is added to a value, so that none is negative.
const BIAS: u8 = 2;

/// Packs lines; none where a byte is not one of -2 to 1.
pub(super) fn pack(lines: &[Line]) -> Option<Vec<Line>> {
    let fits = |word: u32| word.to_le_bytes().iter().all(|byte| (-2..=1).contains(&byte.cast_signed()));
    if !lines.iter().flat_map(|line| line.0).all(fits) {
        return None;
    }
    let of = |lines: &[Line]| {
        let mut packed = [0; BYTES];
        for (i, line) in lines.iter().enumerate() {
            for (packed, byte) in packed.iter_mut().zip(bytes(line)) {
                *packed |= byte.wrapping_add(BIAS) << (2 * i);
            }
        }
        line(&packed)
    };
    Some(lines.chunks(LINES).map(of).collect())
}

/// A byte of the line of that number, before it was packed.
pub(super) fn value(packed: &[Line], line: usize, byte: usize) -> i8 {
    wide(bytes(&packed[line / LINES])[byte] >> (2 * (line % LINES))).cast_signed()
}

/// The value of the two lowest bits.
#[inline(always)]
const fn wide(bits: u8) -> u8 {
    (bits & 3).wrapping_sub(BIAS)
}

#[inline(always)]
fn bytes(line: &Line) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes.as_chunks_mut::<4>().0.copy_from_slice(&line.0.map(u32::to_le_bytes));
    bytes
}

#[inline(always)]
fn line(bytes: &[u8; BYTES]) -> Line {
    let mut line = Line::default();
    line.0
        .iter_mut()
        .zip(bytes.as_chunks::<4>().0)
        .for_each(|(word, bytes)| *word = u32::from_le_bytes(*bytes));
    line
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
        for (i, line) in self.lines.iter_mut().enumerate().take(self.packed.len() * LINES) {
            let mut values = [0; BYTES];
            for (byte, to) in values.iter_mut().enumerate() {
                *to = value(self.packed, i, byte).cast_unsigned();
            }
            *line = self::line(&values);
        }
    }

    #[inline(always)]
    fn vectorized(self, _: Isa) {
        for (packed, lines) in self.packed.iter().zip(self.lines.as_chunks_mut::<LINES>().0) {
            let packed = bytes(packed);
            // Shifts are constants: over the four lines in an inner loop, a compiler would scatter each byte.
            *lines = [spread::<0>(&packed), spread::<2>(&packed), spread::<4>(&packed), spread::<6>(&packed)];
        }
    }
}

/// The line whose bits start at `SHIFT`.
#[inline(always)]
fn spread<const SHIFT: u32>(packed: &[u8; BYTES]) -> Line {
    let mut values = [0; BYTES];
    values.iter_mut().zip(packed).for_each(|(to, byte)| *to = wide(byte >> SHIFT));
    line(&values)
}
