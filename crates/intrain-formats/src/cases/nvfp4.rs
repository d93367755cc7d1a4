//! Blocks of NVFP4: ties of its scale and of its elements, the ends of its range, and blocks that tell rules apart.

use intrain_num::minifloat::FloatFormat;
use intrain_num::random::{Purpose, Stream};

use super::block::{Blocks, STEPS, stepped};
use super::elements::specials;

/// Largest magnitudes of the tensors. With 2688 most rules have no factor, with 1 and 5.5 they do.
const LARGEST: [f32; 3] = [2688.0, 1.0, 5.5];
/// Scales in whose upper tie maxima lie: zero, subnormal, the least normal one, around 1, the top.
const SCALES: [u8; 9] = [0x00, 0x01, 0x06, 0x07, 0x08, 0x37, 0x38, 0x45, 0x7d];
/// Blocks of [`drawn`] that are near a tie of a rule, so that every two rules differ in one of them: the first to tell
/// apart two rules that no drawing before did, up to where all 66 pairs were.
const NEAR: [u64; 8] = [0, 1, 119, 4487, 7083, 8335, 23716, 143_736];

pub(super) fn blocks(blocks: &mut Blocks) {
    for largest in LARGEST {
        for code in SCALES {
            let value = |code: u8| FloatFormat::E4M3.decode(code.into()).to_f32();
            let tie = (value(code) + value(code + 1)) / 2.0;
            for (steps, side) in STEPS {
                let a = stepped(6.0 * tie * (largest / 2688.0), steps);
                let name = format!(
                    "maximum between the scales 0x{code:02x} and 0x{:02x} of {largest}{side}",
                    code + 1
                );
                blocks.add_of(name, largest, &[a, -a / 2.0, a / 3.0, -a / 5.0, a / 12.0, -a / 24.0]);
            }
        }
    }
    // The scale is 1.
    let ties = [0.25, -0.75, 1.25, -1.75, 2.5, -3.5, 5.0];
    for (steps, side) in STEPS {
        let both = [1.0, -1.0].into_iter().flat_map(|sign| ties.map(|tie| sign * stepped(tie, steps)));
        let values: Vec<f32> = [6.0].into_iter().chain(both).collect();
        blocks.add_of(format!("ties of elements{side}"), 2688.0, &values);
    }
    let fours = [4.0, -3.0, 2.0, 1.0, -1.5, 0.5, 3.0, -4.0];
    blocks.add_of("values that a largest code of 4 holds exactly", 2688.0, &fours);
    blocks.add_of("values that both largest codes hold exactly", 2688.0, &[6.0, -6.0]);
    blocks.add_of("a block far below the largest", 1e6, &[0.5, -0.25, 0.0, -0.0]);
    blocks.add_of("the largest magnitude of all", f32::MAX, &[1.0, -2.0, 0.5]);
    blocks.add_of("an infinite tensor", f32::INFINITY, &[1.0, -2.0, 0.5]);
    blocks.add("the tensor's largest is 1e-38", &[1e-38, -5e-39, 1e-39]);
    specials(blocks);
    for n in NEAR {
        let (largest, values) = drawn(n);
        blocks.add_of(format!("near a tie, drawing {n}"), largest, &values);
    }
}

/// Drawing `n`: the tensor's largest magnitude and 16 coarse values, from 17 words of a stream.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "8 bits are exact")]
fn drawn(n: u64) -> (f32, [f32; 16]) {
    let stream = Stream::new(1, Purpose::Tool, 1, 0);
    let byte = |i: u64| (stream.word(17 * n + i) >> 24) as u8;
    let values = std::array::from_fn(|i| f32::from(byte(i as u64).cast_signed()) / 16.0);
    (8.0 + f32::from(byte(16)) / 16.0, values)
}
