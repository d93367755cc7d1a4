//! The window of a convolution: its taps, and how it moves over the image.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::layer::{Shape, positive};

/// Kernel, stride, padding and dilation of a convolution, each as `[height, width]`. Files have one number where both
/// are equal: `kernel = 3`, `kernel = [10, 4]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Taps.
    #[serde(with = "pair")]
    pub kernel: [usize; 2],
    /// Pixels from one window to the next.
    #[serde(with = "pair", default = "ones")]
    pub stride: [usize; 2],
    /// Rows and columns of zeros on each side of the image.
    #[serde(with = "pair", default)]
    pub pad: [usize; 2],
    /// Pixels from one tap to the next.
    #[serde(with = "pair", default = "ones", skip_serializing_if = "is_ones")]
    pub dilation: [usize; 2],
}

const fn ones() -> [usize; 2] {
    [1, 1]
}

const fn is_ones(pair: &[usize; 2]) -> bool {
    matches!(pair, [1, 1])
}

impl Window {
    /// One pixel: a 1 x 1 convolution, and what a linear layer sees of its vector.
    pub const PIXEL: Self = Self::square(1, 1, 0);

    /// The same along both axes, without dilation.
    #[must_use]
    pub const fn square(kernel: usize, stride: usize, pad: usize) -> Self {
        Self { kernel: [kernel; 2], stride: [stride; 2], pad: [pad; 2], dilation: [1; 2] }
    }

    /// Taps of the kernel.
    #[must_use]
    pub const fn n_taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Pixels from the first tap to the last, both included, as `[height, width]`.
    #[must_use]
    pub const fn extent(&self) -> [usize; 2] {
        [(self.kernel[0] - 1) * self.dilation[0] + 1, (self.kernel[1] - 1) * self.dilation[1] + 1]
    }

    /// Height and width of what a convolution of this window makes of an image, with `out` channels.
    ///
    /// # Errors
    /// What does not fit, and what would.
    pub(crate) fn output(&self, input: Shape, out: usize) -> Result<Shape, String> {
        positive("out", out, 1 << 16)?;
        for (name, pair) in [("kernel", self.kernel), ("stride", self.stride), ("dilation", self.dilation)] {
            pair.into_iter().try_for_each(|value| positive(name, value, 64))?;
        }
        let side = |axis: usize, name: &str, size: usize| {
            let (pad, extent) = (self.pad[axis], self.extent()[axis]);
            if pad >= extent {
                let kernel = if self.dilation[axis] == 1 { "kernel" } else { "the kernel's extent" };
                return Err(format!(
                    "pad = {pad} is not below {kernel} = {extent}: outer windows would see only zeros"
                ));
            }
            n_windows(name, size + 2 * pad, extent, self.stride[axis])
        };
        Ok(Shape { h: side(0, "height", input.h)?, w: side(1, "width", input.w)?, c: out })
    }
}

/// Windows of this size along a padded axis.
pub(crate) fn n_windows(name: &str, padded: usize, size: usize, stride: usize) -> Result<usize, String> {
    padded.checked_sub(size).map(|rest| rest / stride + 1).ok_or_else(|| {
        format!("a window of {size} does not fit a padded {name} of {padded}; make it smaller or pad more")
    })
}

/// What differs from a window that moves by one pixel over an image without padding: `3x3, stride 2, pad 1`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [h, w] = self.kernel;
        write!(f, "{h}x{w}")?;
        for (name, [y, x], usual) in
            [("stride", self.stride, 1), ("pad", self.pad, 0), ("dilation", self.dilation, 1)]
        {
            if [y, x] != [usual; 2] {
                write!(f, ", {name} {y}")?;
                if x != y {
                    write!(f, "x{x}")?;
                }
            }
        }
        Ok(())
    }
}

/// A pair of numbers in a file: one number where both are equal.
mod pair {
    use std::fmt;

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserializer, Serialize, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(pair: &[usize; 2], serializer: S) -> Result<S::Ok, S::Error> {
        if pair[0] == pair[1] { pair[0].serialize(serializer) } else { pair.serialize(serializer) }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[usize; 2], D::Error> {
        deserializer.deserialize_any(Pair)
    }

    struct Pair;

    impl<'de> Visitor<'de> for Pair {
        type Value = [usize; 2];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number, or two for height and width, for example [10, 4]")
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<[usize; 2], E> {
            let value = usize::try_from(value)
                .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))?;
            Ok([value; 2])
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<[usize; 2], E> {
            let value = usize::try_from(value)
                .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))?;
            Ok([value; 2])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<[usize; 2], A::Error> {
            let mut next = |n: usize| seq.next_element()?.ok_or_else(|| A::Error::invalid_length(n, &Self));
            let pair = [next(0)?, next(1)?];
            match seq.next_element::<serde::de::IgnoredAny>()? {
                None => Ok(pair),
                Some(_) => Err(A::Error::invalid_length(3, &Self)),
            }
        }
    }
}
