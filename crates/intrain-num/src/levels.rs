//! Codebooks of a half-wave quantizer: zero and a few rising positive levels, as in HWGQ (arXiv 1702.00953).
//!
//! Section 1.6 of `docs/arithmetic.md`. A code is the number of a level, 0 is zero. Levels and thresholds are
//! binary32 numbers; a value is only compared with them, so its code is the same on every machine.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

use crate::format::ParseError;

/// Most positive levels: codes of 4 bits.
pub const LEVELS_MAX: usize = 15;

/// Positive levels `q_1 < q_2 < ...` and the thresholds between them.
///
/// `Q(x) = 0` for `x <= 0`, `q_i` for `t_i < x <= t_{i+1}` with `t_1 = 0`, `t_i` the middle of `q_{i-1}` and `q_i`, and
/// no end above: HWGQ section 3.1, `zhaoweicai/hwgq@ebc706b` `quant_layer.cpp`.
#[derive(Clone, Copy)]
pub struct Levels {
    n: u8,
    /// As many as `n`, then infinities.
    levels: [f32; LEVELS_MAX],
    /// `t_1` to `t_n`, then infinities.
    thresholds: [f32; LEVELS_MAX],
}

impl Levels {
    /// A codebook of these positive levels.
    ///
    /// # Errors
    /// None or more than [`LEVELS_MAX`], one that is not above the one before, or not finite.
    pub fn new(levels: &[f32]) -> Result<Self, ParseError> {
        if levels.is_empty() || levels.len() > LEVELS_MAX {
            return Err(ParseError::NumberOfLevels { n: levels.len() });
        }
        let mut all =
            Self { n: 0, levels: [f32::INFINITY; LEVELS_MAX], thresholds: [f32::INFINITY; LEVELS_MAX] };
        let mut before = 0.0;
        for (i, &level) in levels.iter().enumerate() {
            // Written so that NaN is refused too.
            let is_above = level > before && level < f32::INFINITY;
            if !is_above {
                return Err(ParseError::Levels { place: i + 1 });
            }
            all.levels[i] = level;
            all.thresholds[i] = if i == 0 { 0.0 } else { middle(before, level) };
            before = level;
            all.n += 1;
        }
        Ok(all)
    }

    /// The positive levels.
    #[must_use]
    pub fn positive(&self) -> &[f32] {
        &self.levels[..usize::from(self.n)]
    }

    /// The thresholds `t_1 = 0` to `t_n`.
    #[must_use]
    pub fn thresholds(&self) -> &[f32] {
        &self.thresholds[..usize::from(self.n)]
    }

    /// How many levels are positive.
    #[must_use]
    pub const fn n(&self) -> u8 {
        self.n
    }

    /// The largest level `q_n`.
    #[must_use]
    pub fn last(&self) -> f32 {
        self.levels[usize::from(self.n.max(1)) - 1]
    }

    /// The number of the level of `x`: how many thresholds lie below it. NaN has none.
    #[must_use]
    pub fn code(&self, x: f32) -> u8 {
        self.thresholds.iter().map(|&t| u8::from(x > t)).sum()
    }

    /// The level of that number.
    #[must_use]
    pub fn value(&self, code: u8) -> f32 {
        match code {
            0 => 0.0,
            _ => self.levels[usize::from(code.min(self.n)) - 1],
        }
    }

    /// The step `q_1`, where each level is the nearest binary32 number to a multiple of it: codes are then integers
    /// that a product can take.
    #[must_use]
    #[allow(
        clippy::float_arithmetic,
        clippy::cast_precision_loss,
        reason = "one rounding of a product by at most 15"
    )]
    pub fn step(&self) -> Option<f32> {
        let step = self.levels[0];
        let is_multiple = |(i, &level): (usize, &f32)| {
            // The text of a level may be rounded itself, so the last bits are not asked for.
            let exact = f64::from(step) * (i + 1) as f64;
            (f64::from(level) - exact).abs() <= exact * 1e-6
        };
        self.positive().iter().enumerate().all(is_multiple).then_some(step)
    }
}

/// The middle of two binary32 numbers, rounded to the nearest.
#[allow(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    reason = "the sum of two binary32 numbers of like size is exact in 53 bits, and its half is; one rounding follows"
)]
fn middle(a: f32, b: f32) -> f32 {
    (f64::midpoint(f64::from(a), f64::from(b))) as f32
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Levels {
    fn eq(&self, other: &Self) -> bool {
        self.positive() == other.positive()
    }
}

impl Eq for Levels {}

impl Hash for Levels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.positive().iter().for_each(|level| level.to_bits().hash(state));
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("levels<")?;
        for (i, level) in self.positive().iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{level}")?;
        }
        f.write_str(">")
    }
}

impl FromStr for Levels {
    type Err = ParseError;

    /// The numbers between `levels<` and `>`.
    fn from_str(inner: &str) -> Result<Self, ParseError> {
        let mut levels = [0.0; LEVELS_MAX];
        let mut n = 0;
        for text in inner.split(',') {
            let level = text.trim().parse().map_err(|_| ParseError::Levels { place: n + 1 })?;
            if let Some(place) = levels.get_mut(n) {
                *place = level;
            }
            n += 1;
        }
        levels.get(..n).map_or(Err(ParseError::NumberOfLevels { n }), Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn the_shipped_codebook_quantizes_as_in_the_worked_example() {
        let levels: Levels = "0.538,1.076,1.614".parse().unwrap();
        let xs = [-0.3, 0.0, 1e-6, 0.538, 0.807, 0.8071, 1.2, 1.345, 1.3451, 1.614, 2.614, 9.0];
        let codes: Vec<u8> = xs.iter().map(|&x| levels.code(x)).collect();
        assert_eq!(codes, [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3]);
        assert_eq!(levels.value(2), 1.076);
        assert_eq!(levels.step(), Some(0.538));
        assert_eq!(levels.to_string(), "levels<0.538,1.076,1.614>");
    }

    #[test]
    fn levels_of_free_distances_are_no_integers() {
        let levels: Levels = "0.453,1.51".parse().unwrap();
        assert_eq!(levels.step(), None);
        assert_eq!(levels.thresholds()[1], 0.9815);
        assert_eq!(levels.code(f32::NAN), 0);
        assert_eq!(levels.code(f32::INFINITY), 2);
    }

    #[test]
    fn levels_rise() {
        for (text, error) in [
            ("0.5,0.5", ParseError::Levels { place: 2 }),
            ("1,0.5", ParseError::Levels { place: 2 }),
            ("0,1", ParseError::Levels { place: 1 }),
            ("-1", ParseError::Levels { place: 1 }),
            ("1,inf", ParseError::Levels { place: 2 }),
            ("NaN", ParseError::Levels { place: 1 }),
            ("1,x", ParseError::Levels { place: 2 }),
            ("", ParseError::Levels { place: 1 }),
            ("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", ParseError::NumberOfLevels { n: 16 }),
        ] {
            assert_eq!(text.parse::<Levels>(), Err(error), "{text}");
        }
    }
}
