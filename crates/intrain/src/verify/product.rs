//! The cases that are products: a linear layer's and a convolution's forward, error and gradient.
//!
//! All six are one form, `C[m][n] = sum over taps of A[rows[m] + a] * B[b + n * n_stride]`; the scalar engine is that
//! line, the kernels get it as their address tables. A grouped convolution is a dense one with zeros between its groups.

use intrain_golden::{Conv, Linear};
use intrain_kernels::pack::{Left, Source, ZERO_LANE, pack_i8, pack_i16};
use intrain_kernels::product::Store;
use intrain_kernels::{Isa, dot_i8, dot_i16};

use super::elementwise::{narrow, widen};
use super::{Differences, Engine};

/// One product, in the form above.
struct Product<'a> {
    what: &'static str,
    a: Vec<i64>,
    /// Where each row of C starts in A.
    rows: Vec<usize>,
    /// Offsets in A and in B.
    taps: Vec<(usize, usize)>,
    b: &'a [i64],
    n: usize,
    n_stride: usize,
    /// Which of the sums there are; all of them where it is empty.
    kept: Vec<usize>,
    expected: &'a [i64],
}

/// The three products of a linear layer.
pub(super) fn linear(c: &Linear, engine: Engine, found: &mut Differences) -> bool {
    let Linear { batch, n_in, n_out, .. } = *c;
    let forward = Product {
        what: "forward_sums",
        a: c.activation.clone(),
        rows: (0..batch).map(|image| image * n_in).collect(),
        taps: (0..n_in).map(|i| (i, i * n_out)).collect(),
        b: &c.weight,
        n: n_out,
        n_stride: 1,
        kept: vec![],
        expected: &c.forward_sums,
    };
    let error = Product {
        what: "error_sums",
        a: c.error.clone(),
        rows: (0..batch).map(|image| image * n_out).collect(),
        taps: (0..n_out).map(|o| (o, o)).collect(),
        b: &c.weight,
        n: n_in,
        n_stride: n_out,
        kept: vec![],
        expected: &c.error_sums,
    };
    let gradient = Product {
        what: "gradient_sums",
        a: c.activation.clone(),
        rows: (0..n_in).collect(),
        taps: (0..batch).map(|image| (image * n_in, image * n_out)).collect(),
        b: &c.error,
        n: n_out,
        n_stride: 1,
        kept: vec![],
        expected: &c.gradient_sums,
    };
    [forward, error, gradient].iter().all(|product| product.check(&c.payload_type, engine, found))
}

/// An image with zeros around and between its pixels, so that every window lies inside.
struct Spread {
    values: Vec<i64>,
    h: usize,
    w: usize,
    c: usize,
}

impl Spread {
    /// Puts pixel `(y, x)` of `[batch, h, w, c]` at `(y, x) * stride + before` of a larger image.
    fn new(
        values: &[i64],
        [h, w, c]: [usize; 3],
        stride: [usize; 2],
        before: [usize; 2],
        [h_out, w_out]: [usize; 2],
    ) -> Self {
        let mut spread = vec![0; values.len() / (h * w * c) * h_out * w_out * c];
        for (i, pixel) in values.chunks_exact(c).enumerate() {
            let (image, y, x) =
                (i / (h * w), i / w % h * stride[0] + before[0], i % w * stride[1] + before[1]);
            spread[((image * h_out + y) * w_out + x) * c..][..c].copy_from_slice(pixel);
        }
        Self { values: spread, h: h_out, w: w_out, c }
    }

    fn at(&self, image: usize, y: usize, x: usize) -> usize {
        ((image * self.h + y) * self.w + x) * self.c
    }
}

/// All `(i, j, k)` below the given limits, in row-major order.
fn grid([n_i, n_j, n_k]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..n_i * n_j * n_k).map(move |at| (at / (n_j * n_k), at / n_k % n_j, at % n_k))
}

/// Where each weight of a grouped convolution lies among those of a dense one, which has zeros between the groups.
fn places(case: &Conv) -> Vec<usize> {
    let (c_group, taps) = (case.c_in / case.groups, case.kernel[0] * case.kernel[1]);
    grid([taps, c_group, case.c_out])
        .map(|(tap, i, o)| {
            let first = o * case.groups / case.c_out * c_group;
            (tap * case.c_in + first + i) * case.c_out + o
        })
        .collect()
}

/// The three products of a convolution.
pub(super) fn conv(case: &Conv, engine: Engine, found: &mut Differences) -> bool {
    let Conv { batch, h, w, c_in, c_out, kernel, stride, pad, dilation, .. } = *case;
    let [kh, kw] = kernel;
    let kept = places(case);
    let mut dense = vec![0; kh * kw * c_in * c_out];
    kept.iter().zip(&case.weight).for_each(|(place, weight)| dense[*place] = *weight);
    // Pixels from the first tap to the last.
    let span = [0, 1].map(|axis| (kernel[axis] - 1) * dilation[axis]);
    let output = |axis: usize, side: usize| (side + 2 * pad[axis] - span[axis] - 1) / stride[axis] + 1;
    let (h_out, w_out) = (output(0, h), output(1, w));
    let padded = [h + 2 * pad[0], w + 2 * pad[1]];
    let input = Spread::new(&case.activation, [h, w, c_in], [1, 1], pad, padded);
    // Backwards, a window sees the errors at their outputs' places, mirrored: `pad <= span` zeros before the first.
    let before = [span[0] - pad[0], span[1] - pad[1]];
    let back = Spread::new(&case.error, [h_out, w_out, c_out], stride, before, [h + span[0], w + span[1]]);
    let tap = |ky: usize, kx: usize| input.at(0, ky * dilation[0], kx * dilation[1]);
    let weight = |ky: usize, kx: usize, i: usize| ((ky * kw + kx) * c_in + i) * c_out;
    let window = [kh, kw, c_in];
    let forward = Product {
        what: "forward_sums",
        a: input.values.clone(),
        rows: grid([batch, h_out, w_out])
            .map(|(image, y, x)| input.at(image, y * stride[0], x * stride[1]))
            .collect(),
        taps: grid(window).map(|(ky, kx, i)| (tap(ky, kx) + i, weight(ky, kx, i))).collect(),
        b: &dense,
        n: c_out,
        n_stride: 1,
        kept: vec![],
        expected: &case.forward_sums,
    };
    let mirrored = |(ky, kx, o): (usize, usize, usize)| {
        (back.at(0, span[0] - ky * dilation[0], span[1] - kx * dilation[1]) + o, weight(ky, kx, 0) + o)
    };
    let error = Product {
        what: "error_sums",
        a: back.values.clone(),
        rows: grid([batch, h, w]).map(|(image, y, x)| back.at(image, y, x)).collect(),
        taps: grid([kh, kw, c_out]).map(mirrored).collect(),
        b: &dense,
        n: c_in,
        n_stride: c_out,
        kept: vec![],
        expected: &case.error_sums,
    };
    let pixel = |(image, y, x): (usize, usize, usize)| {
        (input.at(image, y * stride[0], x * stride[1]), ((image * h_out + y) * w_out + x) * c_out)
    };
    let gradient = Product {
        what: "gradient_sums",
        a: input.values.clone(),
        rows: grid(window).map(|(ky, kx, i)| tap(ky, kx) + i).collect(),
        taps: grid([batch, h_out, w_out]).map(pixel).collect(),
        b: &case.error,
        n: c_out,
        n_stride: 1,
        kept,
        expected: &case.gradient_sums,
    };
    [forward, error, gradient].iter().all(|product| product.check(&case.payload_type, engine, found))
}

impl Product<'_> {
    /// Whether the engine has this product.
    fn check(&self, payload_type: &str, engine: Engine, found: &mut Differences) -> bool {
        let sums = match (engine, payload_type) {
            (Engine::Scalar, _) => Some(self.scalar()),
            (Engine::Kernels(isa), "i8") => self.bytes(isa),
            (Engine::Kernels(isa), "i16") => self.words(isa),
            _ => return false,
        };
        match sums {
            Some(sums) if self.kept.is_empty() => found.same_elements(self.what, &sums, self.expected),
            Some(sums) => {
                let sums: Vec<i64> = self.kept.iter().map(|place| sums[*place]).collect();
                found.same_elements(self.what, &sums, self.expected);
            }
            None => found.same("the case's integers", &"outside of the type that it names", &"inside"),
        }
        true
    }

    fn scalar(&self) -> Vec<i64> {
        let element = |row: &usize, n: usize| -> i64 {
            self.taps.iter().map(|(a, b)| self.a[row + a] * self.b[b + n * self.n_stride]).sum()
        };
        self.rows.iter().flat_map(|row| (0..self.n).map(move |n| element(row, n))).collect()
    }

    /// The taps in steps of `lanes` consecutive elements of A: offsets in A, and B's table of offsets.
    fn tables(&self, lanes: usize) -> Option<(Vec<u32>, Vec<u32>)> {
        let (mut steps, mut table) = (Vec::new(), Vec::new());
        let mut taps = &self.taps[..];
        while let Some(&(first, _)) = taps.first() {
            let n = (0..lanes)
                .take_while(|lane| taps.get(*lane).is_some_and(|tap| tap.0 == first + lane))
                .count();
            let (step, rest) = taps.split_at(n);
            steps.push(u32::try_from(first).ok()?);
            for lane in 0..lanes {
                table.push(match step.get(lane) {
                    Some((_, b)) => u32::try_from(*b).ok()?,
                    None => ZERO_LANE,
                });
            }
            taps = rest;
        }
        Some((steps, table))
    }

    fn rows(&self) -> Option<Vec<u32>> {
        self.rows.iter().map(|row| u32::try_from(*row).ok()).collect()
    }

    /// The byte product: A carries a bias of 128 where it has signs, and some zeros at its end for the last step's empty
    /// lanes.
    fn bytes(&self, isa: Isa) -> Option<Vec<i64>> {
        let ((steps, table), rows) = (self.tables(4)?, self.rows()?);
        let left = if self.a.iter().any(|x| *x < 0) { Left::Signed } else { Left::Unsigned };
        let biased = |x: &i64| u8::try_from(x + i64::from(left.zero())).ok();
        let zeros = [Some(left.zero()); 3];
        let a: Vec<u8> = self.a.iter().map(biased).chain(zeros).collect::<Option<_>>()?;
        let b = pack_i8(
            isa,
            Source {
                values: &narrow::<i8>(self.b)?,
                n: self.n,
                n_stride: self.n_stride,
                table: &table,
                segments: 1,
            },
            left,
        );
        let c_stride = self.n;
        let mut c = vec![0i32; rows.len() * c_stride];
        let store = Store::Set;
        dot_i8::run(
            isa,
            dot_i8::Args {
                a: &a,
                rows: &rows,
                steps: &steps,
                segments: 0..1,
                b: &b,
                c: &mut c,
                c_stride,
                init: None,
                store,
            },
        );
        Some(widen(&c))
    }

    /// The word product.
    fn words(&self, isa: Isa) -> Option<Vec<i64>> {
        let ((steps, table), rows) = (self.tables(2)?, self.rows()?);
        let mut a = narrow::<i16>(&self.a)?;
        a.push(0);
        let a_max = a.iter().map(|x| u32::from(x.unsigned_abs())).max()?;
        let values = narrow::<i32>(self.b)?;
        let b = pack_i16(
            isa,
            Source { values: &values, n: self.n, n_stride: self.n_stride, table: &table, segments: 1 },
            a_max,
            values.iter().fold((0, 0), |(min, max), &v| (v.min(min), v.max(max))),
        );
        let c_stride = self.n;
        let mut c = vec![0i64; rows.len() * c_stride];
        let store = Store::Set;
        dot_i16::run(
            isa,
            dot_i16::Args {
                a: &a,
                rows: &rows,
                steps: &steps,
                segments: 0..1,
                b: &b,
                c: &mut c,
                c_stride,
                init: None,
                store,
            },
        );
        Some(c)
    }
}
