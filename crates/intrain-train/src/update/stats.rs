//! What happened to updates, counted.

/// What happened to a step's updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpdateStats {
    /// Elements whose gradient was not zero and whose update rounding turned to nothing.
    pub n_dead: u64,
    /// Elements that were held behind the update: at an end of their format, or at the limit that `clip` states in the row
    /// `master`.
    pub n_saturated: u64,
    /// Elements that were held before the update, at the limit that `clip-before` states there; of steps that are watched.
    pub n_held_before: u64,
    /// Elements.
    pub n: u64,
    /// What rounding has added to the stored weights, in parts of 2^-20 of their last bit, all elements together; of
    /// steps that are watched, where a single rounding stores the weight.
    pub drift: i64,
    /// Elements that `drift` is of.
    pub n_drift: u64,
}

impl UpdateStats {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            n_dead: self.n_dead + other.n_dead,
            n_saturated: self.n_saturated + other.n_saturated,
            n_held_before: self.n_held_before + other.n_held_before,
            n: self.n + other.n,
            drift: self.drift.saturating_add(other.drift),
            n_drift: self.n_drift + other.n_drift,
        }
    }
}
