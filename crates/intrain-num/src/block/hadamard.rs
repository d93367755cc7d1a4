//! The Hadamard transform of 16 values with random signs, that spreads large values before a block is quantized.
//! Source: NVIDIA TransformerEngine at d0067d0, `transformer_engine/pytorch/tensor/nvfp4_tensor.py`.

use super::ExactSum;
use crate::minifloat::Number;

/// The inputs that change their sign: bit `i` is set where the sign of element `i` is negative.
pub const HADAMARD: u16 = 0xd7e8;

/// `y[j] = sum over i of s[i] x[i] H[i][j] / 4` with `H[i][j] = (-1)^popcount(i & j)`, each sum exact.
///
/// The transform is orthogonal: applied to both operands along the contracted dimension it leaves a product as it is.
/// The caller rounds each number once, to bfloat16 or binary32.
#[must_use]
pub fn hadamard(x: &[f32; 16], signs: u16) -> [Number; 16] {
    let one = Number::Finite { negative: false, mantissa: 1, exponent: 0 };
    let minus_one = Number::Finite { negative: true, mantissa: 1, exponent: 0 };
    core::array::from_fn(|j| {
        let mut sum = ExactSum::default();
        for (i, x) in x.iter().enumerate() {
            let negative = ((i & j).count_ones() + u32::from(signs >> i & 1)) % 2 == 1;
            sum.add_product(Number::from_f32(*x), if negative { minus_one } else { one }, -2);
        }
        sum.to_number()
    })
}
