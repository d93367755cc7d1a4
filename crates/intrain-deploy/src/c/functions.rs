//! The functions that a network needs, each for the types of its tensors, from the templates in `kernels/`.

use intrain_num::Round;

use super::tables::{c_type, short, tensor_type};
use crate::form::Element;

/// A template of C and what takes the place of its words.
pub(super) fn instance(template: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(template.to_owned(), |text, (word, replacement)| text.replace(word, replacement))
}

/// The number of a rounding in C.
pub(super) const fn number(round: Round) -> i32 {
    match round {
        Round::Floor => 0,
        Round::NearestEven => 1,
        Round::NearestAway => 3,
        Round::TowardZero => 4,
        // Evaluation has none that is stochastic.
        Round::NearestDown | Round::Stochastic { .. } | Round::StochasticMagnitude { .. } => 2,
    }
}

/// What is added in front of the floor.
fn addend(round: i32) -> Option<(&'static str, &'static str)> {
    Some(match round {
        1 => ("nearest-even", "half - 1 + (floor_ACC(x, shift) & 1)"),
        2 => ("nearest-down", "half - 1"),
        3 => ("nearest-away", "half - (x < 0)"),
        4 => ("toward-zero", "x < 0 ? half - 1 + half : 0"),
        _ => return None,
    })
}

/// The functions that round sums of this type, by the roundings that are used, and those that hold them.
pub(super) fn rounding(sum: Element, rounds: &[i32], is_held: bool) -> String {
    let case = |round: &i32| {
        addend(*round).map(|(name, addend)| format!("    case {round}: /* {name} */ x += {addend}; break;"))
    };
    let cases: Vec<String> = rounds.iter().filter_map(case).collect();
    let cases = if cases.is_empty() {
        "    (void)round;\n".to_owned()
    } else {
        let half = "    const ACC_T half = (ACC_T)1 << (shift - 1);\n";
        format!("{half}    switch (round) {{\n{}\n    default: break;\n    }}\n", cases.join("\n"))
    };
    let mut text = include_str!("kernels/rounding.c").replace("ROUND_CASES\n", &cases) + "\n";
    if is_held {
        text += include_str!("kernels/requantize.c");
        text.push('\n');
    }
    instance(&text, &[("ACC_T", c_type(sum)), ("_ACC", &format!("_{}", short(sum)))])
}

/// How weights lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layout {
    /// One an element.
    Plain(Element),
    /// So many bits each, the first in the lowest bits of a byte.
    Packed(u32),
}

impl Layout {
    pub(super) fn name(self) -> String {
        match self {
            Self::Plain(element) => short(element).to_owned(),
            Self::Packed(bits) => format!("w{bits}"),
        }
    }
}

impl Layout {
    /// The least weight that so many bits hold.
    pub(super) const fn least(self) -> i64 {
        match self {
            Self::Plain(_) => 0,
            Self::Packed(bits) => -(1 << (bits - 1)),
        }
    }

    /// Weights that share a word of 32 bits.
    pub(super) const fn group(bits: u32) -> usize {
        32 / bits as usize
    }
}

/// The function that adds up products along the channels, with its name.
pub(super) fn dot(x: Element, weights: Layout, sum: Element) -> (String, String) {
    let name = format!("dot_{}_{}_{}", short(x), weights.name(), short(sum));
    let types = [("DOT", name.as_str()), ("X_T", tensor_type(x)), ("ACC_T", c_type(sum))];
    let simd = extension(x, sum);
    let text = match weights {
        Layout::Plain(element) => {
            let body = simd
                .filter(|_| element == Element::I8)
                .map_or(String::new(), |words| instance(include_str!("kernels/dot_simd.c"), &words));
            let words = [("SIMD\n", body.as_str()), ("W_T", c_type(element))];
            instance(include_str!("kernels/dot.c"), &[&words[..], &types[..]].concat())
        }
        Layout::Packed(bits) => {
            let products = packed_products(bits);
            let (bits, group) = (bits.to_string(), Layout::group(bits).to_string());
            let words = [("PACKED_PRODUCTS\n", products.as_str()), ("BITS", &bits), ("GROUP", &group)];
            instance(include_str!("kernels/dot_packed.c"), &[&words[..], &types[..]].concat())
        }
    };
    (name, text)
}

/// The words of functions that make two numbers of 16 bits from bytes, where two products of them in an instruction give such sums.
fn extension(x: Element, sum: Element) -> Option<[(&'static str, &'static str); 4]> {
    let [even, odd] = match (x, sum) {
        (Element::I8, Element::I32) => ["sxtb16_even", "sxtb16_odd"],
        (Element::U8, Element::I32) => ["uxtb16_even", "uxtb16_odd"],
        _ => return None,
    };
    // The longer words first: they hold the others.
    Some([
        ("SXTB16_EVEN", "sxtb16_even"),
        ("SXTB16_ODD", "sxtb16_odd"),
        ("XTB16_EVEN", even),
        ("XTB16_ODD", odd),
    ])
}

/// The function of two outputs at once, by that of one, with its name.
pub(super) fn dot_pair(x: Element, weights: Layout, sum: Element) -> (String, String) {
    let one = dot(x, weights, sum).0;
    let name = one.replace("dot_", "dot_pair_");
    let body = match (extension(x, sum), weights) {
        (Some(words), Layout::Plain(Element::I8)) => {
            instance(include_str!("kernels/dot_pair_simd.c"), &words)
        }
        (Some(words), Layout::Packed(bits)) => packed_pair(bits, words[2].1, words[3].1),
        _ => String::new(),
    };
    let end = if body.is_empty() { "" } else { "#endif\n" };
    let words = [
        ("SIMD_END\n", end),
        ("SIMD\n", body.as_str()),
        ("DOT_PAIR", &name),
        ("DOT", &one),
        ("X_T", tensor_type(x)),
        ("ACC_T", c_type(sum)),
    ];
    let text = instance(include_str!("kernels/dot_pair.c"), &words);
    (name, text)
}

/// The function that adds up integers, with its name.
pub(super) fn total(x: Element, sum: Element) -> (String, String) {
    let name = format!("total_{}_{}", short(x), short(sum));
    let words = [("TOTAL", name.as_str()), ("X_T", tensor_type(x)), ("ACC_T", c_type(sum))];
    let text = instance(include_str!("kernels/total.c"), &words);
    (name, text)
}

/// The products of a word of weights, four by four.
fn packed_products(bits: u32) -> String {
    let mask = (1 << bits) - 1;
    let four = |j: u32| {
        let (byte, bit) = (2 * bits * j / 8, 2 * bits * j % 8);
        let code = |byte: u32, bit: u32| format!("((w[{byte}] >> {bit}) & {mask})");
        let product = |k: u32, code: String| format!("        sum += (ACC_T)x[{}] * {code};\n", 4 * j + k);
        [
            product(0, code(byte, bit)),
            product(1, code(byte, bit + bits)),
            product(2, code(byte + 2, bit)),
            product(3, code(byte + 2, bit + bits)),
        ]
        .concat()
    };
    (0..8 / bits).map(four).collect()
}

/// The products of a word of weights of each of two outputs, by pairs of 16 bits.
fn packed_pair(bits: u32, even: &str, odd: &str) -> String {
    let four = |j: u32| {
        let shift = 2 * bits * j;
        let pair = |extended: &str, shift: u32| {
            let product = |sum: &str, word: &str| {
                format!("        {sum} = __smlad(x2, (int16x2_t)(({word} >> {shift}) & mask), {sum});\n")
            };
            format!(
                "        x2 = (int16x2_t){extended}(a);\n{}{}",
                product("first", "b"),
                product("second", "c")
            )
        };
        format!("        a = word_of(x + {});\n{}{}", 4 * j, pair(even, shift), pair(odd, shift + bits))
    };
    let fours: String = (0..8 / bits).map(four).collect();
    let (group, per_byte) = (Layout::group(bits), 8 / bits);
    format!(
        "#ifdef MODEL_SIMD32\n    const uint8_t *v = (const uint8_t *)weights + at / {per_byte}, *w = v + filter / {per_byte};\n    \
         int32_t first = sums[0], second = sums[1];\n    uint32_t mask = 0x{0:04x}{0:04x}u;\n    \
         /* In a register: each weight is then one instruction. */\n    __asm__(\"\" : \"+r\"(mask));\n    \
         for (; n > 0; n -= {group}, x += {group}, v += 4, w += 4) {{\n        \
         const uint32_t b = word_of(v), c = word_of(w);\n        uint32_t a;\n        int16x2_t x2;\n{fours}    }}\n    \
         sums[0] = first;\n    sums[1] = second;\n#else\n",
        (1u32 << bits) - 1,
    )
}

/// A word of packed weights as its four bytes: those of one group, in order.
pub(super) fn packed(weights: &[i32], bits: u32) -> [u8; 4] {
    let least = 1 << (bits - 1);
    let place = |(i, w): (u32, &i32)| {
        let (four, k) = (i / 4, i % 4);
        let half = if k < 2 { 0 } else { 16 };
        (w + least).cast_unsigned() << (half + 2 * bits * four + bits * (k % 2))
    };
    (0..).zip(weights).map(place).fold(0u32, |word, bits| word | bits).to_le_bytes()
}
