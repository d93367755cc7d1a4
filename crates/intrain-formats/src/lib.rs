//! Arrays in fixed point ([`fixed`], sections 1 to 4 of `docs/arithmetic.md`) and in the formats of today: small floats, MX,
//! NVFP4, block floating point, QPyTorch's (sections 12 and 13).
//!
//! [`Quantized`] is an array's codes with their scales, [`pack`] how codes lie in bytes, [`explain`] finds what turns one
//! array into another, [`product`] has the products of two, and [`cases`] the blocks by which rules of scales and
//! roundings are told apart. Invariant: nothing here knows files, networks or recipes; equal input gives equal bytes.
//!
//! ```
//! use intrain_formats::{Quantized, Way};
//!
//! let x = [0.5, -1.5, 6.5, 0.1];
//! let q = Quantized::new(&x, &[1, 4], &Way::new("mxfp4@rceil".parse()?))?;
//! assert_eq!((q.scales[0], q.values()), (128, vec![0.0, -2.0, 6.0, 0.0]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod cases;
pub mod explain;
pub mod fixed;
pub mod pack;
pub mod parts;
pub mod product;
mod profile;
mod qtorch;
mod quantized;
pub mod spec;
mod way;

pub use profile::{PROFILES, Profile};
pub use qtorch::Qtorch;
pub use quantized::{Codes, Quantized, ShapeError};
pub use spec::{Spec, Spelled};
pub use way::Way;
