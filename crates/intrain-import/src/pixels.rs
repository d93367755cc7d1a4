//! What the network was trained to see of a pixel, as one of the encodings that a model has, and a line for each channel.

use intrain_model::Pixels;

/// What the network was trained to see of a pixel.
#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    /// One of the encodings of a model.
    Pixels(Pixels),
    /// `(x / 255 - mean) / std`, with a mean and a deviation for all channels or for each.
    Normalized {
        /// Means, in parts of the brightest pixel.
        mean: Vec<f64>,
        /// Deviations, above 0.
        std: Vec<f64>,
    },
}

/// An encoding `e` of the model, and for each channel the line `scale * e + shift` that is what the network sees.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entering {
    pub(crate) pixels: Pixels,
    pub(crate) scale: Vec<f64>,
    pub(crate) shift: Vec<f64>,
}

impl Scaling {
    /// The encoding whose zero is that of the network, where there is one: then nothing is shifted, and what a padded window finds
    /// outside of the image is what it found in training.
    ///
    /// The error is the reason alone.
    pub(crate) fn entering(&self, channels: usize) -> Result<Entering, String> {
        let (mean, std) = match self {
            Self::Pixels(pixels) => {
                return Ok(Entering {
                    pixels: *pixels,
                    scale: vec![1.0; channels],
                    shift: vec![0.0; channels],
                });
            }
            Self::Normalized { mean, std } => {
                (of_channels("mean", mean, channels)?, of_channels("std", std, channels)?)
            }
        };
        if let Some(std) = std.iter().find(|std| **std <= 0.0) {
            return Err(format!("a deviation of {std} divides by nothing; give deviations above 0"));
        }
        // x / 255 = factor * e + offset.
        let is = |value: f64| mean.iter().all(|mean| (mean - value).abs() < 1e-9);
        let (pixels, factor, offset) =
            if is(0.5) { (Pixels::Symmetric, 0.5, 0.5) } else { (Pixels::Unit255, 1.0, 0.0) };
        let is_kept = is(offset);
        Ok(Entering {
            pixels,
            scale: std.iter().map(|std| factor / std).collect(),
            shift: mean
                .iter()
                .zip(&std)
                .map(|(mean, std)| if is_kept { 0.0 } else { (offset - mean) / std })
                .collect(),
        })
    }
}

impl Scaling {
    /// What the network sees of a byte `x`, channel by channel: `factor * x + offset`, factors first.
    ///
    /// # Errors
    /// Numbers that are not those of `channels`, or that divide by nothing: the reason alone.
    pub fn lines(&self, channels: usize) -> Result<[Vec<f64>; 2], String> {
        let Entering { pixels, scale, shift } = self.entering(channels)?;
        let (factor, offset) = match pixels {
            Pixels::Unit255 => (1.0 / 255.0, 0.0),
            Pixels::Unit256 => (1.0 / 256.0, 0.0),
            Pixels::Symmetric => (1.0 / 127.5, -1.0),
        };
        let shift = scale.iter().zip(&shift).map(|(scale, shift)| scale * offset + shift).collect();
        Ok([scale.iter().map(|scale| scale * factor).collect(), shift])
    }
}

/// A number for each channel.
fn of_channels(name: &str, values: &[f64], channels: usize) -> Result<Vec<f64>, String> {
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        return Err(format!("{name} = {value} is no number that a pixel can have"));
    }
    match values {
        [value] => Ok(vec![*value; channels]),
        values if values.len() == channels => Ok(values.to_vec()),
        values => Err(format!(
            "{name} has {} numbers, and the image {channels} channels; give one, or {channels}",
            values.len()
        )),
    }
}

impl Entering {
    /// Whether the network sees the encoding as it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.scale.iter().all(|scale| (scale - 1.0).abs() < 1e-12) && !self.is_shifted()
    }

    /// Whether zero is another value in training than here.
    pub(crate) fn is_shifted(&self) -> bool {
        self.shift.iter().any(|shift| *shift != 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entering(mean: &[f64], std: &[f64]) -> Result<Entering, String> {
        Scaling::Normalized { mean: mean.to_vec(), std: std.to_vec() }.entering(3)
    }

    #[test]
    fn the_encoding_with_the_zero_of_training_is_taken() {
        let symmetric = entering(&[0.5], &[0.5]).unwrap();
        assert_eq!((symmetric.pixels, symmetric.is_plain()), (Pixels::Symmetric, true));
        let scaled = entering(&[0.5; 3], &[0.25, 0.5, 1.0]).unwrap();
        assert_eq!((scaled.scale, scaled.shift), (vec![2.0, 1.0, 0.5], vec![0.0; 3]));
        let unit = entering(&[0.0], &[1.0]).unwrap();
        assert_eq!((unit.pixels, unit.is_plain()), (Pixels::Unit255, true));
        let shifted = entering(&[0.4, 0.5, 0.6], &[0.2]).unwrap();
        assert_eq!((shifted.pixels, shifted.is_shifted()), (Pixels::Unit255, true));
        assert!((shifted.shift[0] + 2.0).abs() < 1e-12, "{shifted:?}");
    }

    #[test]
    fn numbers_that_scale_nothing_are_refused() {
        for (mean, std, part) in [
            (&[0.5][..], &[0.0][..], "above 0"),
            (&[0.5, 0.5], &[0.5], "mean has 2 numbers, and the image 3 channels"),
            (&[f64::NAN], &[0.5], "no number"),
        ] {
            let message = entering(mean, std).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}
