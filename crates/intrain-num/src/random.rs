//! Random bits as a pure function of (seed, step, layer, role, element), and the hardware's LFSR.
//!
//! Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
//! The layout of key and counter is section 3 of `docs/arithmetic.md`.
#![allow(clippy::cast_possible_truncation, reason = "words are cut out of wider integers on purpose")]

mod lfsr;

pub use lfsr::Lfsr;

/// What a stream of random words is for: the `role` byte of the counter. The numbers are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Purpose {
    /// Initial weights; `step` is 0.
    Init = 0,
    /// Rounding of the stored weight when it is read.
    Weight = 1,
    /// Rounding of a product's output, and of the activation behind it.
    Activation = 2,
    /// Rounding of the error at the loss.
    ErrorAtLoss = 3,
    /// Rounding of the error at an activation.
    ErrorAtActivation = 4,
    /// Rounding of the error behind a product.
    ErrorAtProduct = 5,
    /// Rounding of the gradient.
    Gradient = 6,
    /// Rounding of the momentum.
    Momentum = 7,
    /// Rounding of the update.
    Update = 8,
    /// Rounding of the stored weight when it is written.
    Master = 9,
    /// Rounding of what enters a product, for its forward pass, between floats.
    OperandForward = 10,
    /// Rounding of what enters a product, for the gradient of its weights, between floats.
    OperandOfGradient = 11,
    /// Rounding of the error at a product's output, for the error in front of it, between floats.
    ErrorBackward = 12,
    /// Rounding of the error at a product's output, for the gradient of its weights, between floats.
    ErrorOfGradient = 13,
    /// Rounding of the stored weight when the error's product reads it, where that reads other blocks, between floats.
    WeightBackward = 14,
    /// Order of an epoch; `step` is the epoch.
    Shuffle = 32,
    /// Position of a crop; `step` is the epoch, the element is the image.
    Crop = 33,
    /// Horizontal flip; `step` is the epoch, the element is the image.
    Flip = 34,
    /// The command `intrain quantize` and other uses without a network.
    Tool = 48,
}

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// One block of Philox4x32-10: four words from a key and a counter.
#[must_use]
pub const fn philox4x32_10(mut key: [u32; 2], mut counter: [u32; 4]) -> [u32; 4] {
    let mut round = 0;
    while round < 10 {
        let p0 = MULTIPLIER[0] as u64 * counter[0] as u64;
        let p1 = MULTIPLIER[1] as u64 * counter[2] as u64;
        counter = [
            (p1 >> 32) as u32 ^ counter[1] ^ key[0],
            p1 as u32,
            (p0 >> 32) as u32 ^ counter[3] ^ key[1],
            p0 as u32,
        ];
        // Wrapping: the key schedule is a Weyl sequence modulo 2^32.
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        round += 1;
    }
    counter
}

/// The random words of one tensor at one station of one step: word of an element = f(seed, step, layer, purpose, element).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Key of every block: the seed, low word first.
    pub key: [u32; 2],
    /// Counter words 1 to 3 of every block; word 0 is the block.
    pub counter_high: [u32; 3],
}

impl Stream {
    /// The stream of `(seed, purpose, layer, step)`.
    ///
    /// Bound: `layer < 2^24`; the purpose takes the low byte of counter word 1.
    #[must_use]
    pub const fn new(seed: u64, purpose: Purpose, layer: u32, step: u64) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            counter_high: [layer << 8 | purpose as u32, step as u32, (step >> 32) as u32],
        }
    }

    /// The 32-bit word of `element` (below 2^34): word `element % 4` of block `element / 4`.
    #[must_use]
    pub const fn word(&self, element: u64) -> u32 {
        let [h1, h2, h3] = self.counter_high;
        philox4x32_10(self.key, [(element / 4) as u32, h1, h2, h3])[(element % 4) as usize]
    }

    /// A number in `0..bound`, by multiplication: `floor(word * bound / 2^32)`.
    #[must_use]
    pub const fn below(&self, element: u64, bound: u32) -> u32 {
        ((self.word(element) as u64 * bound as u64) >> 32) as u32
    }
}

/// The random words of a tensor, whatever they come from.
#[derive(Debug, Clone, Copy)]
pub enum RandomBits<'a> {
    /// Computed from the element's number.
    Stream(Stream),
    /// Listed, that of each element of the whole tensor.
    Listed(&'a [u32]),
}

impl RandomBits<'_> {
    /// The word of `element`.
    ///
    /// # Panics
    /// When a list is too short.
    #[must_use]
    pub const fn word(&self, element: u64) -> u32 {
        match self {
            Self::Stream(stream) => stream.word(element),
            Self::Listed(words) => words[element as usize],
        }
    }
}

impl From<Stream> for RandomBits<'_> {
    fn from(stream: Stream) -> Self {
        Self::Stream(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_known_answers() {
        // Random123, kat_vectors, philox4x32 10.
        assert_eq!(philox4x32_10([0; 2], [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox4x32_10([u32::MAX; 2], [u32::MAX; 4]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32_10([0xa409_3822, 0x299f_31d0], [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn stream_places_seed_step_layer_purpose_and_element() {
        let stream = Stream::new(0x0123_4567_89ab_cdef, Purpose::Update, 5, 0xaaaa_bbbb_cccc);
        assert_eq!(stream.key, [0x89ab_cdef, 0x0123_4567]);
        assert_eq!(stream.counter_high, [0x508, 0xbbbb_cccc, 0xaaaa]);
        let block = philox4x32_10(stream.key, [1, 0x508, 0xbbbb_cccc, 0xaaaa]);
        assert_eq!([4, 5, 6, 7].map(|e| stream.word(e)), block);
    }

    #[test]
    fn below_is_in_range_and_reaches_both_ends() {
        let stream = Stream::new(1, Purpose::Shuffle, 0, 0);
        let seen: std::collections::BTreeSet<u32> = (0..200).map(|e| stream.below(e, 7)).collect();
        assert_eq!(seen.into_iter().collect::<std::vec::Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
    }
}
