//! Runs networks of integers that `intrain export --to rust` wrote as constants: without the standard library, without unsafe code, in memory
//! that the caller gives. The logits are those of the network that was trained, bit for bit.
//!
//! ```ignore
//! mod model; // what `intrain export` wrote
//!
//! let mut arena = [0u8; model::MODEL.arena_bytes];
//! let mut logits = [0i64; model::MODEL.classes];
//! intrain_run::run(&model::MODEL, &image, &mut arena, &mut logits)?;
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod layer_norm;
mod windows;

pub use layer_norm::LayerNorm;

use layer_norm::Line;
use windows::{max_pool, shortcut};

/// A network.
#[derive(Debug)]
pub struct Model {
    /// Bytes of an image: rows of pixels, channels last.
    pub image_bytes: usize,
    /// Bytes of memory that an answer needs.
    pub arena_bytes: usize,
    /// Logits.
    pub classes: usize,
    /// A logit is worth its integer times `2^-frac_bits`.
    pub frac_bits: i32,
    /// What is computed, in order; the last leaves the logits.
    pub nodes: &'static [Node],
}

/// One operation.
#[derive(Debug)]
pub struct Node {
    /// What enters; nothing where the image does.
    pub sources: &'static [Tensor],
    /// What it leaves.
    pub result: Tensor,
    /// What it computes.
    pub op: Op,
}

/// Where integers lie in the arena, channels last.
#[derive(Debug, Clone, Copy)]
pub struct Tensor {
    /// Bytes from the start of the arena.
    pub offset: usize,
    /// Rows, columns, channels.
    pub shape: [usize; 3],
    /// Their type, little-endian.
    pub element: Element,
}

/// The type of integers in the arena.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Element {
    I8,
    U8,
    I16,
    I32,
    I64,
}

/// What a node computes.
#[derive(Debug)]
pub enum Op {
    /// The integer of each value of a pixel.
    Pixels(&'static [i32; 256]),
    /// A convolution or a linear layer, and the pooling behind it.
    Product(Product),
    /// The maximum of each window.
    MaxPool(Pool),
    /// Terms that are added up and rounded once.
    Activation(&'static [Term], Requantize),
    /// The mean of each window.
    Mean(Mean),
    /// Every pixel at so many steps, zeros for new channels.
    Shortcut(usize),
    /// Channels of several, one behind the other.
    Concat,
}

/// A convolution.
#[derive(Debug)]
pub struct Product {
    /// `[out][kernel height][kernel width][in / groups]`.
    pub weights: Weights,
    /// In the last bit of the sums; empty where there is none.
    pub bias: &'static [i64],
    /// Rows and columns of its result, in front of the pooling.
    pub size: [usize; 2],
    /// Height and width.
    pub kernel: [usize; 2],
    /// Steps.
    pub stride: [usize; 2],
    /// Zeros around the image.
    pub pad: [usize; 2],
    /// Distances of taps.
    pub dilation: [usize; 2],
    /// Groups of channels.
    pub groups: usize,
    /// Whether sums fit 32 bits.
    pub is_narrow: bool,
    /// How sums are rounded; exact where they are not.
    pub requantize: Option<Requantize>,
    /// What follows at once.
    pub pool: Option<Pool>,
}

/// Weights in their narrowest type.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Weights {
    I8(&'static [i8]),
    I16(&'static [i16]),
    I32(&'static [i32]),
}

/// Windows of a maximum.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    /// Side.
    pub size: usize,
    /// Step.
    pub stride: usize,
    /// Rows and columns around the image that windows may reach into.
    pub pad: usize,
}

/// Windows of a mean: `min(max(round(sum * 2^up / divisor), min), max)`, to the nearest, ties down.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the formula says it")]
pub struct Mean {
    pub size: [usize; 2],
    pub stride: [usize; 2],
    pub up: u32,
    pub divisor: i64,
    pub min: i64,
    pub max: i64,
}

/// `min(max(round(x * 2^-shift), min), max)`.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the formula says it")]
pub struct Requantize {
    pub shift: i32,
    pub round: Round,
    pub min: i64,
    pub max: i64,
}

/// How a value between two integers becomes one of them.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Round {
    Floor,
    NearestEven,
    NearestDown,
    NearestAway,
    TowardZero,
}

/// A term of a sum, times `2^up`.
#[derive(Debug)]
pub struct Term {
    /// Bits by which it is moved.
    pub up: u32,
    /// A norm on the way.
    pub norm: Option<Norm>,
}

/// A norm, as evaluation computes it.
#[derive(Debug)]
pub enum Norm {
    /// Each channel has a line of its own.
    Batch(BatchNorm),
    /// Each pixel has one.
    Layer(LayerNorm),
}

/// `round((x * multiplier - offset) / 2^shift)`, held, times gain plus add; channel by channel.
#[derive(Debug)]
#[allow(missing_docs, reason = "the formula says it")]
pub struct BatchNorm {
    pub multiplier: &'static [i16],
    pub offset: &'static [i64],
    pub shift: &'static [u8],
    pub gain: &'static [i32],
    pub add: &'static [i64],
    pub round: Round,
    pub min: i64,
    pub max: i64,
}

/// What a caller gave that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The image has another number of bytes.
    Image,
    /// The arena is too small.
    Arena,
    /// There are fewer places than logits.
    Logits,
    /// The constants are no network: tensors overlap or lie outside of the arena.
    Model,
}

/// Answers one image: writes the logits of `model`.
///
/// # Errors
/// What the caller gave has another size; see [`Error`].
pub fn run(model: &Model, image: &[u8], arena: &mut [u8], logits: &mut [i64]) -> Result<(), Error> {
    if image.len() != model.image_bytes {
        return Err(Error::Image);
    }
    let arena = arena.get_mut(..model.arena_bytes).ok_or(Error::Arena)?;
    let logits = logits.get_mut(..model.classes).ok_or(Error::Logits)?;
    for node in model.nodes {
        node.run(image, arena).ok_or(Error::Model)?;
    }
    let last = model.nodes.last().ok_or(Error::Model)?.result;
    let bytes = arena.get(last.bytes()).ok_or(Error::Model)?;
    for (i, logit) in logits.iter_mut().enumerate() {
        *logit = last.element.load(bytes, i);
    }
    Ok(())
}

impl Element {
    const fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 => 2,
            Self::I32 => 4,
            Self::I64 => 8,
        }
    }

    /// The integer at `i`.
    fn load(self, bytes: &[u8], i: usize) -> i64 {
        match self {
            Self::I8 => i8::at(bytes, i).into(),
            Self::U8 => bytes[i].into(),
            Self::I16 => i16::at(bytes, i).into(),
            Self::I32 => i32::at(bytes, i).into(),
            Self::I64 => i64::at(bytes, i),
        }
    }

    /// Writes an integer that the type holds.
    fn store(self, bytes: &mut [u8], i: usize, value: i64) {
        let n = self.bytes();
        bytes[i * n..][..n].copy_from_slice(&value.to_le_bytes()[..n]);
    }
}

/// Integers in the arena.
trait Stored: Copy {
    fn at(bytes: &[u8], i: usize) -> Self;
    fn wide(self) -> i64;
    fn narrow(self) -> i32;
}

macro_rules! stored {
    ($($type:ty),+) => {$(
        impl Stored for $type {
            #[inline]
            fn at(bytes: &[u8], i: usize) -> Self {
                const N: usize = size_of::<$type>();
                let mut own = [0; N];
                own.copy_from_slice(&bytes[i * N..][..N]);
                Self::from_le_bytes(own)
            }
            #[inline]
            fn wide(self) -> i64 {
                self as i64
            }
            #[inline]
            #[allow(clippy::cast_possible_truncation, reason = "operands have at most 32 bits")]
            fn narrow(self) -> i32 {
                self as i32
            }
        }
    )+};
}

stored!(i8, u8, i16, i32, i64);

impl Tensor {
    const fn len(&self) -> usize {
        self.shape[0] * self.shape[1] * self.shape[2]
    }

    const fn bytes(&self) -> core::ops::Range<usize> {
        self.offset..self.offset + self.len() * self.element.bytes()
    }
}

impl Requantize {
    fn apply(&self, x: i64) -> i64 {
        let x = if self.shift > 0 {
            self.round.shift(x, self.shift.unsigned_abs())
        } else {
            x << self.shift.unsigned_abs()
        };
        x.clamp(self.min, self.max)
    }
}

impl Round {
    /// `x / 2^shift`, rounded; `shift` from 1 to 62.
    const fn shift(self, x: i64, shift: u32) -> i64 {
        let half = 1 << (shift - 1);
        let add = match self {
            Self::NearestEven => half - 1 + ((x >> shift) & 1),
            Self::NearestDown => half - 1,
            Self::NearestAway => half - (x < 0) as i64,
            Self::TowardZero if x < 0 => 2 * half - 1,
            Self::Floor | Self::TowardZero => 0,
        };
        (x + add) >> shift
    }
}

impl Node {
    /// Computes the node; none where its tensors are not in the arena, or lie in each other.
    fn run(&self, image: &[u8], arena: &mut [u8]) -> Option<()> {
        let core::ops::Range { start, end } = self.result.bytes();
        let (before, rest) = arena.split_at_mut_checked(start)?;
        let (result, after) = rest.split_at_mut_checked(end - start)?;
        let (before, after): (&[u8], &[u8]) = (before, after);
        let source = |k: usize| {
            let tensor = self.sources.get(k)?;
            let bytes = tensor.bytes();
            let in_front = before.get(bytes.clone());
            in_front.or_else(|| after.get(bytes.start.checked_sub(end)?..bytes.end.checked_sub(end)?))
        };
        let y = self.result;
        match &self.op {
            Op::Pixels(codes) => {
                for (i, pixel) in image.iter().enumerate() {
                    y.element.store(result, i, codes[usize::from(*pixel)].into());
                }
            }
            Op::Product(product) => product.run(self.sources.first()?, source(0)?, &y, result),
            Op::MaxPool(pool) => max_pool(*pool, self.sources.first()?, source(0)?, &y, result),
            Op::Activation(terms, requantize) => {
                let (c, mut lines) = (y.shape[2], [Line::default(); 2]);
                for i in 0..y.len() {
                    let mut sum = 0;
                    for (k, (term, line)) in terms.iter().zip(&mut lines).enumerate() {
                        let (x, bytes) = (self.sources.get(k)?.element, source(k)?);
                        if let (0, Some(Norm::Layer(norm))) = (i % c, &term.norm) {
                            *line = norm.line(x, bytes, i, c);
                        }
                        sum += term.value(x.load(bytes, i), i % c, *line);
                    }
                    y.element.store(result, i, requantize.apply(sum));
                }
            }
            Op::Mean(mean) => mean.run(self.sources.first()?, source(0)?, &y, result),
            Op::Shortcut(stride) => shortcut(*stride, self.sources.first()?, source(0)?, &y, result),
            Op::Concat => {
                let mut first = 0;
                for (k, x) in self.sources.iter().enumerate() {
                    let (bytes, c) = (source(k)?, x.shape[2]);
                    for i in 0..x.len() {
                        y.element.store(result, i / c * y.shape[2] + first + i % c, x.element.load(bytes, i));
                    }
                    first += c;
                }
            }
        }
        Some(())
    }
}

impl Term {
    /// What an integer of a channel adds; `line` is that of its pixel.
    fn value(&self, x: i64, channel: usize, line: Line) -> i64 {
        let (line, round, [min, max], gain, add) = match &self.norm {
            None => return x << self.up,
            Some(Norm::Layer(norm)) => (line, norm.round, norm.value, norm.gain, norm.add),
            Some(Norm::Batch(norm)) => {
                let [multiplier, offset] = [norm.multiplier[channel].into(), norm.offset[channel]];
                let line = Line { multiplier, offset, shift: norm.shift[channel].into() };
                (line, norm.round, [norm.min, norm.max], norm.gain, norm.add)
            }
        };
        let value = round.shift(x * line.multiplier - line.offset, line.shift).clamp(min, max);
        (value * i64::from(gain[channel]) + add[channel]) << self.up
    }
}

/// The taps of a kernel that lie on an image: those from the first to before the last.
fn taps(at: usize, [n, dilation, pad, size]: [usize; 4]) -> core::ops::Range<usize> {
    let first = (0..n).find(|k| at + k * dilation >= pad).unwrap_or(n);
    let last = (first..n).find(|k| at + k * dilation >= pad + size).unwrap_or(n);
    first..last
}

impl Product {
    fn run(&self, x: &Tensor, bytes: &[u8], y: &Tensor, result: &mut [u8]) {
        macro_rules! with {
            ($x:ty) => {
                match self.weights {
                    Weights::I8(w) => self.of::<$x, i8>(w, x, bytes, y, result),
                    Weights::I16(w) => self.of::<$x, i16>(w, x, bytes, y, result),
                    Weights::I32(w) => self.of::<$x, i32>(w, x, bytes, y, result),
                }
            };
        }
        match x.element {
            Element::I8 => with!(i8),
            Element::U8 => with!(u8),
            Element::I16 => with!(i16),
            Element::I32 => with!(i32),
            Element::I64 => with!(i64),
        }
    }

    fn of<X: Stored, W: Stored>(&self, w: &[W], x: &Tensor, bytes: &[u8], y: &Tensor, result: &mut [u8]) {
        let pool = self.pool.unwrap_or(Pool { size: 1, stride: 1, pad: 0 });
        let [oh, ow, oc] = y.shape;
        for (oy, ox) in (0..oh).flat_map(|oy| (0..ow).map(move |ox| (oy, ox))) {
            let mut is_first = true;
            let rows = taps(oy * pool.stride, [pool.size, 1, pool.pad, self.size[0]]);
            let columns = taps(ox * pool.stride, [pool.size, 1, pool.pad, self.size[1]]);
            for (qy, qx) in rows.flat_map(|qy| columns.clone().map(move |qx| (qy, qx))) {
                let at = [oy * pool.stride + qy - pool.pad, ox * pool.stride + qx - pool.pad];
                let first = (oy * ow + ox) * oc;
                for out in 0..oc {
                    let sum = self.sum::<X, W>(w, x, bytes, at, (out, oc));
                    let value = self.requantize.map_or(sum, |requantize| requantize.apply(sum));
                    if is_first || value > y.element.load(result, first + out) {
                        y.element.store(result, first + out, value);
                    }
                }
                is_first = false;
            }
        }
    }

    /// The sum of an output at a pixel of the product.
    fn sum<X: Stored, W: Stored>(
        &self,
        weights: &[W],
        x: &Tensor,
        bytes: &[u8],
        at: [usize; 2],
        (out, n_out): (usize, usize),
    ) -> i64 {
        let ([h, w, c], [kh, kw]) = (x.shape, self.kernel);
        let [v, u] = [at[0] * self.stride[0], at[1] * self.stride[1]];
        let (of_group, outs) = (c / self.groups, n_out / self.groups);
        let columns = taps(u, [kw, self.dilation[1], self.pad[1], w]);
        let mut sum = self.bias.get(out).copied().unwrap_or(0);
        for ky in taps(v, [kh, self.dilation[0], self.pad[0], h]) {
            let row = (v + ky * self.dilation[0] - self.pad[0]) * w;
            for kx in columns.clone() {
                let pixel = row + u + kx * self.dilation[1] - self.pad[1];
                let from = (pixel * c + out / outs * of_group) * size_of::<X>();
                let x = &bytes[from..][..of_group * size_of::<X>()];
                let w = &weights[((out * kh + ky) * kw + kx) * of_group..][..of_group];
                sum += if self.is_narrow { dot_narrow::<X, W>(x, w) } else { dot::<X, W>(x, w) };
            }
        }
        sum
    }
}

/// A sum of products that fits 32 bits.
fn dot_narrow<X: Stored, W: Stored>(x: &[u8], w: &[W]) -> i64 {
    let x = x.chunks_exact(size_of::<X>());
    let sum: i32 = x.zip(w).map(|(x, w)| X::at(x, 0).narrow() * w.narrow()).sum();
    sum.into()
}

fn dot<X: Stored, W: Stored>(x: &[u8], w: &[W]) -> i64 {
    x.chunks_exact(size_of::<X>()).zip(w).map(|(x, w)| X::at(x, 0).wide() * w.wide()).sum()
}
