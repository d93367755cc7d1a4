//! Small binary floats, `float<E,M>`: their codes, values, roundings and overflow. Section 12 of `docs/arithmetic.md`.
//!
//! A code holds a sign (formats without one: none), an exponent field and a mantissa field. Everything here is
//! computed from bits and integers, so it is exact on every machine.
//! Sources: IEEE 754-2019; OCP 8-bit floating point specification 1.0; OCP microscaling formats 1.0; IEEE P3109,
//! interim report 4.0, for the names `Binary{K}p{P}{s|u}{e|f}`, the stochastic roundings and the overflow rules.
//!
//! ```
//! use intrain_num::minifloat::{FloatFormat, FloatOverflow, FloatRound, Number};
//!
//! let e4m3: FloatFormat = "e4m3".parse()?;
//! let code = e4m3.encode(Number::from_f32(464.0), FloatRound::NearestEven, FloatOverflow::SatNone, 0);
//! assert_eq!((code, e4m3.decode(code).to_f64()), (0x7e, 448.0)); // a tie at the top stays in range
//! # Ok::<(), intrain_num::minifloat::FloatError>(())
//! ```

mod encode;
mod error;
mod format;
mod names;
mod number;
mod round;
#[cfg(test)]
mod tests;

pub use error::FloatError;
pub use format::{FloatFormat, Top};
pub use names::NAMES;
pub use number::Number;
pub use round::{FloatOverflow, FloatRound};
