//! How far two results lie from each other.

/// What two results differ by.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Difference {
    /// Outputs.
    pub outputs: usize,
    /// Outputs that are not equal; two NaN are, and so are the two zeros.
    pub different: usize,
    /// Of those, outputs where one of the two is NaN; the largest differences leave them out.
    pub nan: usize,
    /// The largest difference in steps from one binary32 number to the next; an infinity is the step behind the last.
    pub ulps: u64,
    /// The largest difference as a part of the reference's magnitude; infinite where the reference is 0 and the other is not.
    pub relative: f64,
}

impl Difference {
    /// Outputs that differ, as a part of all; 0 without outputs.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a share")]
    pub fn share(&self) -> f64 {
        if self.outputs == 0 { 0.0 } else { self.different as f64 / self.outputs as f64 }
    }
}

/// Compares a result with a reference.
///
/// ```
/// use intrain_formats::product::compare;
///
/// let found = compare(&[1.0, 2.5, 3.0], &[1.0, 2.0, 3.0]);
/// assert_eq!((found.different, found.relative, found.ulps), (1, 0.25, 1 << 21));
/// ```
///
/// # Panics
/// When lengths differ.
#[must_use]
pub fn compare(result: &[f32], reference: &[f32]) -> Difference {
    assert_eq!(result.len(), reference.len(), "compare: results differ in length");
    let mut found = Difference { outputs: result.len(), ..Difference::default() };
    for (x, y) in result.iter().zip(reference) {
        if x == y || x.is_nan() && y.is_nan() {
            continue;
        }
        found.different += 1;
        if x.is_nan() || y.is_nan() {
            found.nan += 1;
            continue;
        }
        found.ulps = found.ulps.max(place(*x).abs_diff(place(*y)));
        let (x, y) = (f64::from(*x), f64::from(*y));
        // A difference of infinities, which are not equal, is infinite, and so is its share.
        let relative = if y.is_infinite() { f64::INFINITY } else { (x - y).abs() / y.abs() };
        found.relative = found.relative.max(relative);
    }
    found
}

/// The place of a number among all binary32 numbers; both zeros have 0.
fn place(x: f32) -> i64 {
    let magnitude = i64::from(x.to_bits() & 0x7fff_ffff);
    if x.is_sign_negative() { -magnitude } else { magnitude }
}
