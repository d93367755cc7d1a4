//! Arrays in fixed point: codes, values and errors under a quantizer of the contract's sections 1 to 4.
//!
//! The random word of element `i` is word `i` of the stream that is given. Invariant: neither codes nor statistics depend on the
//! number of threads or on the kernel, and an array of binary64 numbers that are binary32 numbers gives what they give.
//!
//! ```
//! use intrain_formats::fixed::{Fixed, Numbers};
//!
//! let fixed = Fixed::new("Q4.12", "nearest-even", "saturate")?;
//! let x = [0.25, -9.0];
//! let (mut codes, mut values) = ([0_i16; 2], [0.0; 2]);
//! fixed.codes(Numbers::F32(&x), None, &mut codes)?;
//! fixed.values(Numbers::F32(&x), None, &mut values)?;
//! assert_eq!((codes, values), ([1024, -32_768], [0.25, -8.0]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use intrain_kernels::Isa;
use intrain_kernels::quantize::{self, Args, ValueArgs};
use intrain_num::quantizer::parse_scaled_format;
use intrain_num::random::Stream;
use intrain_num::{Format, Overflow, Quantizer, Real, Scale};
use rayon::prelude::*;

mod error;
mod numbers;
mod statistics;
#[cfg(test)]
mod tests;

pub use error::{FixedError, Part, Unfit};
pub use numbers::{CodeInt, Numbers, ValueFloat};
pub use statistics::{Measured, Statistics};

use statistics::Sums;

/// Elements that one thread takes, and of which errors are summed before the sums are added up in order: it settles statistics.
const CHUNK: usize = 1 << 16;
/// Elements between two looks at what to do with them: their codes stay in the nearest cache.
const PIECE: usize = 1 << 11;
/// Elements up to which no other thread is asked: waking one takes as long.
const FEW: usize = 1 << 14;
/// The widest codes that 32-bit lanes round with room to see what lies beyond them.
const NARROW_BITS: u32 = 24;

/// A quantizer to fixed point as it holds for an array outside of networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    quantizer: Quantizer,
}

impl Fixed {
    /// The quantizer that `FORMAT[@shift]`, a rounding and an overflow spell.
    ///
    /// # Errors
    /// A word that is none, and what means nothing outside of a network: `float32`, `exact`, `@alpha`, `clip-before`.
    pub fn new(format: &str, round: &str, overflow: &str) -> Result<Self, FixedError> {
        let spelling = |part, text: &str| {
            let text = text.to_owned();
            move |error| FixedError::Spelling { part, text, error }
        };
        let (parsed, scale) = parse_scaled_format(format).map_err(spelling(Part::Format, format))?;
        let round = round.parse().map_err(spelling(Part::Round, round))?;
        let limit = overflow.parse().map_err(spelling(Part::Overflow, overflow))?;
        let refuse = |part, problem: String| Err(FixedError::Meaning { part, problem });
        if matches!(parsed, Format::Float32 | Format::Exact) {
            let problem = format!("{format} quantizes nothing; write for example Q4.12, unit<8> or int<8>");
            return refuse(Part::Format, problem);
        }
        if !parsed.is_fixed_point() || scale == Scale::Filter {
            let problem = format!(
                "{format} is for weights and activations of a network, between floats; write for example Q4.12, \
                 unit<8> or int<8>"
            );
            return refuse(Part::Format, problem);
        }
        if !matches!(scale, Scale::One | Scale::Shift) {
            let problem = format!("{format}: {scale} belongs to a network; write {parsed} or {parsed}@shift");
            return refuse(Part::Format, problem);
        }
        if matches!(limit, Overflow::ClipBefore { .. }) {
            let problem = format!("{overflow} belongs to an update; write saturate, wrap or clip<N>");
            return refuse(Part::Overflow, problem);
        }
        Ok(Self { quantizer: Quantizer { scale, overflow: limit, ..Quantizer::plain(parsed, round) } })
    }

    /// The row of a recipe that this is.
    #[must_use]
    pub const fn quantizer(&self) -> &Quantizer {
        &self.quantizer
    }

    /// The codes of `numbers`, and the power of two that they were divided by (`@shift`, else 0).
    ///
    /// # Errors
    /// The first NaN; with `@shift` also the first infinity.
    ///
    /// # Panics
    /// When lengths differ, codes are wider than `T`, or a stochastic rounding has no stream.
    pub fn codes<T: CodeInt>(
        &self,
        numbers: Numbers<'_>,
        stream: Option<Stream>,
        out: &mut [T],
    ) -> Result<i32, Unfit> {
        self.check_codes::<T>();
        let scale_log2 = self.scale_log2(numbers)?;
        let each = |piece: Piece<'_>, out: &mut [T]| match piece.rounded {
            Rounded::Narrow(rounded) => self.held(rounded, out, |code| T::of(code.into())),
            Rounded::Wide(rounded) => {
                for (out, rounded) in out.iter_mut().zip(rounded) {
                    *out = T::of(self.apply(*rounded));
                }
            }
        };
        self.run((numbers, scale_log2, stream), out, each)?;
        Ok(scale_log2)
    }

    /// The values `code * step` of `numbers`: exact where `T` has as many significant bits as the code, so with 25 bits for
    /// binary32 and 54 for binary64, else rounded to nearest-even. With `@shift` the power of two that they were divided by is given and
    /// not multiplied back.
    ///
    /// # Errors
    /// As [`codes`](Self::codes).
    ///
    /// # Panics
    /// When lengths differ, or a stochastic rounding has no stream.
    pub fn values<T: ValueFloat>(
        &self,
        numbers: Numbers<'_>,
        stream: Option<Stream>,
        out: &mut [T],
    ) -> Result<i32, Unfit> {
        let scale_log2 = self.scale_log2(numbers)?;
        self.each_chunk((numbers, scale_log2, stream), out, |pieces, out: &mut [T]| pieces.values(out))?;
        Ok(scale_log2)
    }

    /// The values of floats in place of them: what [`values`](Self::values) gives, in the memory that they lie in.
    ///
    /// # Errors
    /// As [`codes`](Self::codes); nothing has been written then.
    ///
    /// # Panics
    /// When a stochastic rounding has no stream.
    ///
    /// ```
    /// use intrain_formats::fixed::Fixed;
    ///
    /// let mut x = [0.3_f32, -9.0];
    /// Fixed::new("Q4.1", "nearest-even", "saturate")?.values_in_place(&mut x, None)?;
    /// assert_eq!(x, [0.5, -8.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn values_in_place<T: ValueFloat>(
        &self,
        values: &mut [T],
        stream: Option<Stream>,
    ) -> Result<i32, Unfit> {
        let scale_log2 = self.scale_log2(T::numbers(values))?;
        if let Some(i) = T::numbers(values).first_nan() {
            return Err(Unfit::Nan(i));
        }
        let chunk = |(i, chunk): (usize, &mut [T])| {
            let copy = chunk.to_vec();
            let pieces = Pieces {
                fixed: self,
                first: i * CHUNK,
                numbers: T::numbers(&copy),
                scale_log2,
                stream: self.checked(stream),
            };
            pieces.values(chunk)
        };
        if values.len() <= FEW {
            values.chunks_mut(CHUNK).enumerate().try_for_each(chunk)?;
        } else {
            values.par_chunks_mut(CHUNK).enumerate().try_for_each(chunk)?;
        }
        Ok(scale_log2)
    }

    /// The codes of `numbers` and what was lost with them.
    ///
    /// # Errors
    /// As [`codes`](Self::codes).
    ///
    /// # Panics
    /// As [`codes`](Self::codes).
    pub fn measure<T: CodeInt>(
        &self,
        numbers: Numbers<'_>,
        stream: Option<Stream>,
        out: &mut [T],
    ) -> Result<Measured, Unfit> {
        self.check_codes::<T>();
        let scale_log2 = self.scale_log2(numbers)?;
        let n = numbers.len();
        let chunks = self.each_chunk((numbers, scale_log2, stream), out, |pieces, out: &mut [T]| {
            let mut sums = Sums::default();
            pieces.each(out, |piece, out| sums.add(self, scale_log2, &piece, out))?;
            Ok(sums)
        })?;
        let sums = chunks.into_iter().fold(Sums::default(), Sums::and);
        Ok(Measured { scale_log2, statistics: sums.statistics(n as u64) })
    }

    #[inline(always)]
    fn write_values<T: ValueFloat>(&self, piece: &Piece<'_>, out: &mut [T]) {
        match piece.rounded {
            Rounded::Narrow(rounded) => {
                let step = self.step();
                self.held(rounded, out, |code| T::of_narrow(code, step));
            }
            Rounded::Wide(rounded) => {
                for (out, rounded) in out.iter_mut().zip(rounded) {
                    *out = T::of_real(self.quantizer.value(self.apply(*rounded)));
                }
            }
        }
    }

    /// The stream, which a stochastic rounding needs.
    fn checked(&self, stream: Option<Stream>) -> Option<Stream> {
        let needs = self.quantizer.round.is_stochastic();
        assert!(!needs || stream.is_some(), "{} needs random words", self.quantizer.round);
        stream
    }

    /// The step of a code.
    fn step(&self) -> f64 {
        self.quantizer.value(1).to_f64()
    }

    /// What becomes of a rounded number.
    fn apply(&self, rounded: i64) -> i64 {
        let Quantizer { format, overflow, .. } = self.quantizer;
        overflow.apply(rounded, format.min(), format.max(), format.bits())
    }

    /// The same of many that lie in 32 bits with room, in lanes.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "limits of codes of at most 24 bits")]
    fn held<T>(&self, rounded: &[i32], out: &mut [T], of: impl Fn(i32) -> T) {
        let (min, max) = self.quantizer.limits();
        let (min, max) = (min as i32, max as i32);
        let unused = 32 - self.quantizer.format.bits();
        let wraps = self.quantizer.overflow == Overflow::Wrap;
        for (out, rounded) in out.iter_mut().zip(rounded) {
            let code = if wraps { (rounded << unused) >> unused } else { (*rounded).max(min).min(max) };
            *out = of(code);
        }
    }

    fn check_codes<T: CodeInt>(&self) {
        let bits = self.quantizer.format.bits();
        assert!(bits <= T::BITS, "codes of {bits} bits do not fit {}", T::BITS);
    }

    /// The power of two that `numbers` are divided by.
    fn scale_log2(&self, numbers: Numbers<'_>) -> Result<i32, Unfit> {
        if self.quantizer.scale != Scale::Shift {
            return Ok(0);
        }
        if let Some(i) = numbers.first_nan() {
            return Err(Unfit::Nan(i));
        }
        match numbers.first_infinity() {
            Some(i) => Err(Unfit::Infinite(i)),
            // Exact: rounding log2 rises with |x|, so the largest of the rounded is the rounded largest.
            None => Ok(numbers.largest().and_then(Real::round_log2).unwrap_or(0)),
        }
    }

    fn run<O: Send>(
        &self,
        (numbers, scale_log2, stream): (Numbers<'_>, i32, Option<Stream>),
        out: &mut [O],
        each: impl Fn(Piece<'_>, &mut [O]) + Sync,
    ) -> Result<(), Unfit> {
        self.each_chunk((numbers, scale_log2, stream), out, |pieces, out| pieces.each(out, &each))?;
        Ok(())
    }

    /// What `work` makes of each chunk, in order.
    fn each_chunk<O: Send, R: Send>(
        &self,
        (numbers, scale_log2, stream): (Numbers<'_>, i32, Option<Stream>),
        out: &mut [O],
        work: impl Fn(Pieces<'_>, &mut [O]) -> Result<R, Unfit> + Sync,
    ) -> Result<Vec<R>, Unfit> {
        assert_eq!(numbers.len(), out.len(), "fixed: numbers and out differ in length");
        let stream = self.checked(stream);
        let chunk = |(i, out): (usize, &mut [O])| {
            let numbers = numbers.part(i * CHUNK, out.len());
            work(Pieces { fixed: self, first: i * CHUNK, numbers, scale_log2, stream }, out)
        };
        let all: Result<Vec<R>, Unfit> = if out.len() <= FEW {
            out.chunks_mut(CHUNK).enumerate().map(chunk).collect()
        } else {
            out.par_chunks_mut(CHUNK).enumerate().map(chunk).collect()
        };
        // Another thread may have met a later NaN first.
        all.map_err(|unfit| numbers.first_nan().map_or(unfit, Unfit::Nan))
    }
}

/// A chunk, piece by piece.
struct Pieces<'a> {
    fixed: &'a Fixed,
    /// Place of its first element in the array.
    first: usize,
    numbers: Numbers<'a>,
    scale_log2: i32,
    stream: Option<Stream>,
}

/// Neighbours, rounded.
struct Piece<'a> {
    numbers: Numbers<'a>,
    rounded: Rounded<'a>,
}

/// Rounded numbers, in steps of the format, before overflow.
enum Rounded<'a> {
    Narrow(&'a [i32]),
    /// Held at the ends of 64 bits.
    Wide(&'a [i64]),
}

impl Pieces<'_> {
    /// Their values.
    fn values<T: ValueFloat>(&self, out: &mut [T]) -> Result<(), Unfit> {
        if let (Numbers::F32(values), Some(out)) = (self.numbers, T::as_f32(out)) {
            let Quantizer { format, round, overflow, .. } = self.fixed.quantizer;
            let (min, max) = self.fixed.quantizer.limits();
            let args = ValueArgs {
                values,
                out,
                frac_bits: format.frac_bits() - self.scale_log2,
                step_log2: -format.frac_bits(),
                round,
                min,
                max,
                stream: self.stream,
                first_element: self.first as u64,
            };
            if overflow != Overflow::Wrap && args.is_served() {
                return quantize::values(Isa::best(), args).map_err(|nan| Unfit::Nan(self.first + nan.0));
            }
        }
        self.each(out, |piece, out| self.fixed.write_values(&piece, out))
    }

    fn each<O>(&self, out: &mut [O], mut each: impl FnMut(Piece<'_>, &mut [O])) -> Result<(), Unfit> {
        let (mut narrow, mut wide) = ([0; PIECE], [0; PIECE]);
        for (i, out) in out.chunks_mut(PIECE).enumerate() {
            let numbers = self.numbers.part(i * PIECE, out.len());
            let first = self.first + i * PIECE;
            let rounded = if self.in_lanes(numbers, first, &mut narrow[..out.len()])? {
                Rounded::Narrow(&narrow[..out.len()])
            } else {
                self.one_by_one(numbers, first, &mut wide[..out.len()])?;
                Rounded::Wide(&wide[..out.len()])
            };
            each(Piece { numbers, rounded }, out);
        }
        Ok(())
    }

    /// Rounds binary32 numbers in lanes; whether lanes serve them.
    fn in_lanes(&self, numbers: Numbers<'_>, first: usize, out: &mut [i32]) -> Result<bool, Unfit> {
        let Quantizer { format, round, overflow, .. } = self.fixed.quantizer;
        let Numbers::F32(values) = numbers else { return Ok(false) };
        if format.bits() > NARROW_BITS {
            return Ok(false);
        }
        let args = Args {
            values,
            out: &mut *out,
            frac_bits: format.frac_bits() - self.scale_log2,
            round,
            min: i32::MIN.into(),
            max: i32::MAX.into(),
            stream: self.stream,
            first_element: first as u64,
        };
        quantize::run(Isa::best(), args).map_err(|nan| Unfit::Nan(first + nan.0))?;
        // What lies beyond 32 bits wraps by the bits that lanes do not have.
        let is_beyond = |rounded: &i32| *rounded == i32::MIN || *rounded == i32::MAX;
        Ok(overflow != Overflow::Wrap || !out.iter().any(is_beyond))
    }

    fn one_by_one(&self, numbers: Numbers<'_>, first: usize, out: &mut [i64]) -> Result<(), Unfit> {
        let Quantizer { format, round, .. } = self.fixed.quantizer;
        let stream = self.stream.filter(|_| round.is_stochastic());
        for (i, rounded) in out.iter_mut().enumerate() {
            let x = numbers.real(i).ok_or(Unfit::Nan(first + i))?;
            let word = stream.map_or(0, |stream| stream.word((first + i) as u64));
            *rounded = round.shift_right(x.mantissa, self.scale_log2 - x.exponent - format.frac_bits(), word);
        }
        Ok(())
    }
}
