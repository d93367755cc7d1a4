//! What both products share on AVX2.

/// Steps of a panel of B, 128 bytes each, that stay in a first-level cache of 32 KiB beside a tile's rows of A.
pub(crate) const STEPS_CACHED: usize = 128;
