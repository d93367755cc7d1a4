//! A block's three products as plain matrix products: what the host lays out before the array multiplies.
//!
//! Section 6 of `docs/arithmetic.md`, with the sums in the order of `k`. A bias is one step more of `k`: a 1 in the weights'
//! last bit times the bias.

use intrain_nn::plan::ProductPlan;

/// Two matrices, row by row: `a` is `l x k`, `b` is `k x m`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operands {
    /// Rows of the result.
    pub l: usize,
    /// Products that are summed.
    pub k: usize,
    /// Columns of the result.
    pub m: usize,
    /// `l x k` codes.
    pub a: Vec<i32>,
    /// `k x m` codes.
    pub b: Vec<i32>,
}

/// Which of a block's products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Activations by weights.
    Forward,
    /// Errors by weights.
    Error,
    /// Activations by errors.
    Gradient,
}

impl Direction {
    /// As tables name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Error => "error",
            Self::Gradient => "gradient",
        }
    }
}

/// Pairs of input and output pixels that a tap of the kernel joins: `f(input pixel, tap, output pixel)`, numbers over the
/// whole batch of `n` images.
fn taps(p: &ProductPlan, n: usize, mut f: impl FnMut(usize, usize, usize)) {
    let (input, output, window) = (p.input, p.output, p.window);
    // Along an axis: the input of a tap, where it lies on the image.
    let at = |axis: usize, to: usize, tap: usize, size: usize| {
        let place = to * window.stride[axis] + tap * window.dilation[axis];
        place.checked_sub(window.pad[axis]).filter(|place| *place < size)
    };
    for image in 0..n {
        for y in 0..output.h {
            for x in 0..output.w {
                let to = (image * output.h + y) * output.w + x;
                for tap in 0..window.n_taps() {
                    let (ky, kx) = (tap / window.kernel[1], tap % window.kernel[1]);
                    if let (Some(v), Some(u)) = (at(0, y, ky, input.h), at(1, x, kx, input.w)) {
                        f((image * input.h + v) * input.w + u, tap, to);
                    }
                }
            }
        }
    }
}

/// `[pixels of the output][taps and input channels]`, a column of `one` behind them where there is a bias.
fn windows(p: &ProductPlan, x: &[i32], n: usize, one: Option<i32>) -> Vec<i32> {
    let (c, fan_in) = (p.input.c, p.fan_in());
    let k = fan_in + usize::from(one.is_some());
    let mut a = vec![0; n * p.output.h * p.output.w * k];
    taps(p, n, |from, tap, to| {
        a[to * k + tap * c..][..c].copy_from_slice(&x[from * c..][..c]);
    });
    if let Some(one) = one {
        a.iter_mut().skip(fan_in).step_by(k).for_each(|last| *last = one);
    }
    a
}

fn transposed(rows: &[i32], columns: usize) -> Vec<i32> {
    let n = rows.len() / columns;
    (0..columns).flat_map(|c| (0..n).map(move |r| rows[r * columns + c])).collect()
}

impl Operands {
    /// Forward: windows of `x` by `weights` `[taps, in, out]`, biases in their own last bit behind them.
    #[must_use]
    pub fn forward(p: &ProductPlan, x: &[i32], weights: &[i32], one: Option<i32>) -> Self {
        let n = x.len() / p.input.len();
        let (l, m, k) = (n * p.output.h * p.output.w, p.output.c, p.fan_in() + usize::from(one.is_some()));
        Self { l, k, m, a: windows(p, x, n, one), b: weights[..k * m].to_vec() }
    }

    /// Error: for each input pixel the errors of the windows that it lies in, by the weights.
    #[must_use]
    pub fn error(p: &ProductPlan, error: &[i32], weights: &[i32]) -> Self {
        let n = error.len() / p.output.len();
        let (c_in, c_out, n_taps) = (p.input.c, p.output.c, p.window.n_taps());
        let (l, k) = (n * p.input.h * p.input.w, n_taps * c_out);
        let mut a = vec![0; l * k];
        taps(p, n, |from, tap, to| {
            a[from * k + tap * c_out..][..c_out].copy_from_slice(&error[to * c_out..][..c_out]);
        });
        let of_tap = |tap: usize| transposed(&weights[tap * c_in * c_out..][..c_in * c_out], c_out);
        Self { l, k, m: c_in, a, b: (0..n_taps).flat_map(of_tap).collect() }
    }

    /// Gradient: the windows of `x`, turned over, by the errors; the biases' gradients are the last row.
    #[must_use]
    pub fn gradient(p: &ProductPlan, x: &[i32], error: &[i32], bias: bool) -> Self {
        let n = x.len() / p.input.len();
        let l = p.fan_in() + usize::from(bias);
        let a = transposed(&windows(p, x, n, bias.then_some(1)), l);
        Self { l, k: error.len() / p.output.c, m: p.output.c, a, b: error.to_vec() }
    }
}
