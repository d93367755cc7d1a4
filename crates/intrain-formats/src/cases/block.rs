//! Blocks before they have answers.

/// A block before it has answers: name, largest magnitude of the tensor, values.
pub(super) struct Block {
    pub(super) name: String,
    pub(super) largest: f32,
    pub(super) values: Vec<f32>,
}

/// Collects blocks of one length, filled up with +0.
pub(super) struct Blocks {
    pub(super) len: usize,
    pub(super) all: Vec<Block>,
}

impl Blocks {
    /// Adds a block of a tensor without larger magnitudes.
    pub(super) fn add(&mut self, name: impl Into<String>, values: &[f32]) {
        self.add_of(name, 0.0, values);
    }

    /// Adds a block of a tensor whose largest magnitude is `largest`, or the block's own where that is larger.
    pub(super) fn add_of(&mut self, name: impl Into<String>, largest: f32, values: &[f32]) {
        let mut values = values.to_vec();
        values.resize(self.len, 0.0);
        let largest = largest.max(largest_of(&values));
        self.all.push(Block { name: name.into(), largest, values });
    }
}

/// The largest magnitude; NaN is not seen.
pub(super) fn largest_of(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, x| if x.abs() > largest { x.abs() } else { largest })
}

/// `-1`, `0` or `1` binary32 steps away from zero.
pub(super) fn stepped(x: f32, steps: i32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits(bits.wrapping_add_signed(steps))
}

/// What to call that.
pub(super) const STEPS: [(i32, &str); 3] = [(-1, ", a step below"), (0, ""), (1, ", a step above")];

/// To binary32; the caller looks whether that rounds.
#[allow(clippy::cast_possible_truncation, reason = "compared with the wide value afterwards")]
pub(super) const fn narrow(x: f64) -> f32 {
    x as f32
}
