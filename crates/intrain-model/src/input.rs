//! What enters a network, what a pixel is worth, how weights start, and what the loss sees.

use std::fmt;
use std::str::FromStr;

use crate::layer::Shape;

/// What enters a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Shape of one image.
    pub shape: Shape,
    /// What a pixel of 0 to 255 is worth.
    pub pixels: Pixels,
}

/// The value of a pixel `p` of 0 to 255, as an exact fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pixels {
    /// `p / 255`, in `[0, 1]`.
    Unit255,
    /// `p / 256`, in `[0, 1)`. WAGE on MNIST.
    Unit256,
    /// `p / 127.5 - 1`, in `[-1, 1]`. WAGE on CIFAR-10.
    Symmetric,
}

impl Pixels {
    /// Numerator and denominator of the value of `p`.
    #[must_use]
    pub const fn fraction(self, p: u8) -> (i64, i64) {
        let p = p as i64;
        match self {
            Self::Unit255 => (p, 255),
            Self::Unit256 => (p, 256),
            Self::Symmetric => (2 * p - 255, 255),
        }
    }
}

/// How weights start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// Uniform in `+-sqrt(6 / fan_in)` (He 2015 for ReLU networks).
    Uniform,
    /// Normal with this deviation in millionths; Gupta's MLP has 10,000 (0.01).
    Normal {
        /// Standard deviation times 1,000,000.
        deviation_millionths: u32,
    },
}

/// Whether the activation quantizer also stands behind the last product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logits {
    /// The loss sees the exact sums (WAGE's VGG-7).
    Exact,
    /// The loss sees quantized activations (WAGE's LeNet-5).
    Quantized,
}

macro_rules! spelled {
    ($type:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!("'{text}' is not one of: {}", [$($text),+].join(", "))),
                }
            }
        }
    };
}

spelled!(Pixels { Unit255 = "x/255", Unit256 = "x/256", Symmetric = "x/127.5-1" });
spelled!(Logits { Exact = "exact", Quantized = "quantized" });

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Normal { deviation_millionths: d } => {
                write!(f, "normal<{}.{:06}>", d / 1_000_000, d % 1_000_000)
            }
        }
    }
}

impl FromStr for Init {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let remedy = || format!("'{text}' is not 'uniform' or 'normal<DEVIATION>' with 0 < DEVIATION <= 10");
        if text == "uniform" {
            return Ok(Self::Uniform);
        }
        let number = text.strip_prefix("normal<").and_then(|t| t.strip_suffix('>')).ok_or_else(remedy)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{part:0<6}");
        let d = digits
            .parse()
            .ok()
            .filter(|d| part.len() <= 6 && (1..=10_000_000).contains(d))
            .ok_or_else(remedy)?;
        Ok(Self::Normal { deviation_millionths: d })
    }
}
