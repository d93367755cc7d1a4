//! `C = A * B` or `C += A * B` in binary32, by the crate `gemm`; the float baseline's only product.
//!
//! One thread per call and fixed shapes: the same result for any number of threads on one machine.

/// How a product meets what `C` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// `C = A * B`.
    Replace,
    /// `C += A * B`.
    Add,
}

/// A strided matrix: element `(row, column)` is `data[row * row_stride + column * column_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// The elements.
    pub data: &'a [f32],
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Distance of two rows.
    pub row_stride: usize,
    /// Distance of two columns.
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Row-major `[rows, columns]`.
    #[must_use]
    pub const fn row_major(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The same elements, rows and columns exchanged.
    #[must_use]
    pub const fn transposed(self) -> Self {
        let Self { data, rows, columns, row_stride, column_stride } = self;
        Self { data, rows: columns, columns: rows, row_stride: column_stride, column_stride: row_stride }
    }

    fn reaches(&self) -> usize {
        if self.rows == 0 || self.columns == 0 {
            return 0;
        }
        (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride + 1
    }
}

/// `c` is row-major `[a.rows, b.columns]`.
///
/// # Panics
/// If the shapes do not fit each other or the slices.
pub fn run(a: Matrix<'_>, b: Matrix<'_>, c: &mut [f32], into: Into) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(k, b.rows, "the inner sizes of a product must agree");
    assert_eq!(c.len(), m * n, "C must be [{m}, {n}]");
    assert!(a.reaches() <= a.data.len() && b.reaches() <= b.data.len(), "an operand reaches past its slice");
    let stride = |s: usize| s.cast_signed();
    // SAFETY: the three asserts above keep every address `row * row_stride + column * column_stride` inside its
    // slice, and `c` is borrowed mutably, so nothing aliases it.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            stride(n),
            into == Into::Add,
            a.data.as_ptr(),
            stride(a.column_stride),
            stride(a.row_stride),
            b.data.as_ptr(),
            stride(b.column_stride),
            stride(b.row_stride),
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_integers_multiply_exactly_in_every_orientation() {
        let (m, n, k) = (7, 5, 9);
        let at = |i: usize| f32::from(u8::try_from(i * 7 % 13).unwrap()) - 6.0;
        let a: Vec<f32> = (0..m * k).map(at).collect();
        let b: Vec<f32> = (0..k * n).map(at).collect();
        let a_t: Vec<f32> = (0..m * k).map(|i| a[(i % m) * k + i / m]).collect();
        let mut want = vec![1.0; m * n];
        for i in 0..m * n {
            want[i] += (0..k).map(|l| a[i / n * k + l] * b[l * n + i % n]).sum::<f32>();
        }
        let mut c = vec![1.0; m * n];
        run(Matrix::row_major(&a, m, k), Matrix::row_major(&b, k, n), &mut c, Into::Add);
        assert_eq!(c, want);
        run(Matrix::row_major(&a_t, k, m).transposed(), Matrix::row_major(&b, k, n), &mut c, Into::Replace);
        assert_eq!(c, want.iter().map(|x| x - 1.0).collect::<Vec<_>>());
    }
}
