//! The inner loop of all products on AVX-512 VNNI: groups of 4 bytes of A against lines of B, in registers.
//!
//! Its three instructions are written as assembly to fix their order: a compiler that may move them loads the groups
//! of all rows first, runs out of registers, and the loop takes twice the time.

use core::arch::asm;
use core::arch::x86_64::{__m512i, _mm512_load_si512, _mm512_setzero_si512};

/// Adds `ROWS` rows by `WIDTH` lines of columns to `sums`, modulo 2^32 or fused; `LANES` is 4 for bytes, 2 for words, 1
/// for floats.
///
/// # Safety
/// `a` may be read for 4 bytes at each `(row + step) * 4 / LANES`; `b` holds `steps * WIDTH` aligned lines.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(crate) unsafe fn sums<const ROWS: usize, const WIDTH: usize, const LANES: usize>(
    a: *const u8,
    rows: &[u32],
    steps: &[u32],
    b: *const __m512i,
    mut sums: [[__m512i; WIDTH]; ROWS],
) -> [[__m512i; WIDTH]; ROWS] {
    let size = const { 4 / LANES };
    let rows: &[u32; ROWS] = rows.try_into().expect("a tile gets the rows that it is made for");
    let mut starts = [a; ROWS];
    for (start, &row) in starts.iter_mut().zip(rows) {
        // SAFETY: the row starts inside A.
        *start = unsafe { a.add(row as usize * size) };
    }
    let mut b = b;
    for &step in steps {
        let mut lines = [_mm512_setzero_si512(); WIDTH];
        for line in &mut lines {
            // SAFETY: B holds `WIDTH` lines for each step.
            (*line, b) = unsafe { (_mm512_load_si512(b), b.add(1)) };
        }
        for row in 0..ROWS {
            // SAFETY: the 4 bytes of this row and step lie inside A.
            let group = unsafe { broadcast(starts[row], step as usize * size) };
            for column in 0..WIDTH {
                multiply_add::<LANES>(&mut sums[row][column], group, lines[column]);
            }
        }
    }
    sums
}

/// The 4 bytes at `start + offset`, sixteen times.
///
/// # Safety
/// They may be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn broadcast(start: *const u8, offset: usize) -> __m512i {
    let group;
    // SAFETY: one load of 4 readable bytes.
    unsafe {
        asm!("vpbroadcastd {}, dword ptr [{} + {}]", out(zmm_reg) group, in(reg) start, in(reg) offset,
            options(readonly, nostack, preserves_flags));
    }
    group
}

/// `sum += group * line`, 4 products of bytes (`LANES = 4`), 2 of words (`LANES = 2`) or one of floats in each column.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn multiply_add<const LANES: usize>(sum: &mut __m512i, group: __m512i, line: __m512i) {
    // Wrapping: modulo 2^32; neither instruction saturates, unlike `vpdpbusds` and `vpdpwssds`.
    if LANES == 4 {
        // SAFETY: registers only; the features are enabled here.
        unsafe {
            asm!("vpdpbusd {}, {}, {}", inout(zmm_reg) *sum, in(zmm_reg) group, in(zmm_reg) line,
                options(nomem, nostack, preserves_flags));
        }
    } else if LANES == 2 {
        // SAFETY: registers only; the features are enabled here.
        unsafe {
            asm!("vpdpwssd {}, {}, {}", inout(zmm_reg) *sum, in(zmm_reg) group, in(zmm_reg) line,
                options(nomem, nostack, preserves_flags));
        }
    } else {
        // SAFETY: registers only; the features are enabled here.
        unsafe {
            asm!("vfmadd231ps {}, {}, {}", inout(zmm_reg) *sum, in(zmm_reg) group, in(zmm_reg) line,
                options(nomem, nostack, preserves_flags));
        }
    }
}
