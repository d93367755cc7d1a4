//! The meaning of `fill`: block by block.

use intrain_num::random::philox4x32_10;

pub(super) fn run(key: [u32; 2], counter_high: [u32; 3], first_block: u32, out: &mut [u32]) {
    let [h1, h2, h3] = counter_high;
    let mut block = first_block;
    for out in out.chunks_mut(4) {
        out.copy_from_slice(&philox4x32_10(key, [block, h1, h2, h3])[..out.len()]);
        // Wrapping: the block number is the low counter word, modulo 2^32.
        block = block.wrapping_add(1);
    }
}
