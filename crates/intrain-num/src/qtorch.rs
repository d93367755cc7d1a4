//! What QPyTorch computes, for people who come from there: its quirks are the specification. Section 12.4 of `docs/arithmetic.md`.
//!
//! Source: Tiiiger/QPyTorch at f58bba7, `qtorch/quant/quant_cpu/`. Numbers are binary32, results too.
#![allow(clippy::float_arithmetic, reason = "the rules are sequences of single binary32 operations")]

const SIGN: u32 = 1 << 31;
const INFINITY: u32 = 0x7f80_0000;

/// Rounds a magnitude to `man` mantissa bits, ties away from zero, by an addition to its bits.
const fn nearest(bits: u32, man: u32) -> u32 {
    let lost = 23 - man;
    // Wrapping: as unsigned integers in the original; a NaN's bits may pass into the sign.
    bits.wrapping_add(1 << (lost - 1)) >> lost << lost
}

/// As [`nearest`], with random bits in place of the half.
const fn stochastic(bits: u32, man: u32, word: u32) -> u32 {
    let lost = 23 - man;
    bits.wrapping_add(word >> (32 - lost)) >> lost << lost
}

/// One rounding of either kind: `word` is that of the element, where there is one.
const fn round(bits: u32, man: u32, word: Option<u32>) -> u32 {
    match word {
        None => nearest(bits, man),
        Some(word) => stochastic(bits, man, word),
    }
}

/// `float_quantize(x, exp, man)`: no infinity, no NaN, no -0; the top exponent is an ordinary one, and beyond it
/// the largest value. Below the least normal number it rounds twice. With a `word`, stochastic.
///
/// Bound: 1 to 8 bits of exponent, 0 to 22 of mantissa.
///
/// # Panics
/// Beyond those.
#[must_use]
pub fn float_quantize(x: f32, exp: u32, man: u32, word: Option<u32>) -> f32 {
    assert!(
        (1..=8).contains(&exp) && man <= 22,
        "float_quantize: {exp} and {man} bits are not 1..=8 and 0..=22"
    );
    let bits = x.to_bits();
    let least = 127 + 2 - (1 << (exp - 1));
    if (bits >> 23 & 0xff).cast_signed() < least {
        let shift = f32::from_bits(least.cast_unsigned() << 23 | bits & SIGN);
        return f32::from_bits(round((x + shift).to_bits(), man, word)) - shift;
    }
    let rounded = round(bits, man, word);
    let top = 127 + (1 << (exp - 1));
    if rounded != 0 && rounded >> 23 & 0xff > top {
        let mantissa = 0x7f_ffff >> (23 - man) << (23 - man);
        return f32::from_bits(bits & SIGN | top << 23 | mantissa);
    }
    f32::from_bits(rounded)
}

/// The exponent field that a block shares: that of its largest magnitude, not rounded; `None` where a number of the
/// block is infinite or NaN, which makes all of them NaN.
#[must_use]
pub fn block_exponent(largest: f32) -> Option<u32> {
    let bits = largest.to_bits() & !SIGN;
    (bits < INFINITY).then_some(bits >> 23)
}

/// `block_quantize(x, wl)` of an element whose block has the exponent field `exponent`: steps of `2^(E + 2 - wl)`,
/// ties towards plus infinity, symmetric limits. With a `word`, stochastic.
///
/// Bound: word length 1 to 22.
///
/// # Panics
/// Beyond that.
#[must_use]
pub fn block_quantize(x: f32, exponent: u32, wl: u32, word: Option<u32>) -> f32 {
    assert!((1..=22).contains(&wl), "block_quantize: a word length of {wl} is not in 1..=22");
    if exponent == 0 {
        // A block of subnormal numbers has no base.
        let rounded = f32::from_bits(round(x.to_bits(), wl, word));
        return if rounded == 0.0 { 0.0 } else { rounded };
    }
    let base = f32::from_bits(exponent << 23) * 6.0;
    let rounded = f32::from_bits(round((x + base).to_bits(), wl, word)) - base;
    let power = f32::from_bits(exponent << 23);
    // Exact: powers of two; the step may be subnormal.
    let step = power * f32::from_bits((127 + 2 - wl) << 23);
    let max = power * 2.0 - step;
    rounded.clamp(-max, max) + 0.0
}
