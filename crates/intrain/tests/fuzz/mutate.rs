//! Changes to inputs that were valid: bytes for files, tokens for texts. Each change follows from the words of one
//! counter-based stream, so an input is a function of (target, seed, round) and of nothing else.

use intrain::num::random::{Purpose, Stream};

/// Most bytes of an input, so that no round takes long.
const MAX_BYTES: usize = 1 << 17;
/// Most changes of one input.
const MAX_CHANGES: usize = 6;

/// Integers at which readers go wrong.
const INTEGERS: [u64; 22] = [
    0,
    1,
    2,
    7,
    8,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x1000,
    0x1001,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Numbers at which texts go wrong.
#[rustfmt::skip]
const NUMBERS: [&str; 44] = [
    "0", "1", "-1", "2", "3", "7", "8", "9", "15", "16", "17", "31", "32", "33", "62", "63", "64", "65", "127", "128",
    "255", "256", "1024", "4096", "4097", "65535", "65536", "2147483647", "-2147483648", "4294967295", "4294967296",
    "9223372036854775807", "-9223372036854775808", "18446744073709551615", "18446744073709551616", "0.5", "-0.0",
    "1e-320", "1e308", "1e999", "inf", "nan", "0x7fffffff", "99999999999999999999999999999999999999999",
];

/// Pieces of text that open something, or are not what a letter looks like.
const PIECES: [&str; 24] = [
    "[", "[[", "{", "(", "<", "\"", "\"\"\"", "'", "{a=", "[{a=", "=", ",", ":", ".", "\n", "\0", "é",
    "\u{ffff}", "𝟙", "١", "\u{202e}", "#", "\\u{", "-",
];

/// What a target's inputs are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file of bytes.
    Bytes,
    /// A text, of whose tokens most changes are.
    Text,
}

/// The random words of one round, taken one after the other.
struct Words {
    stream: Stream,
    taken: u64,
}

impl Words {
    fn word(&mut self) -> u32 {
        self.taken += 1;
        self.stream.word(self.taken - 1)
    }

    /// A number in `0..bound`; 0 for a bound of 0.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound).unwrap_or(u32::MAX);
        usize::try_from((u64::from(self.word()) * u64::from(bound)) >> 32).unwrap_or(0)
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A range in `0..len`, most often a short one.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let most = if self.below(4) == 0 { len } else { 16 };
        let end = (start + self.below(most + 1)).min(len);
        start..end
    }

    fn byte(&mut self) -> u8 {
        self.word().to_le_bytes()[0]
    }
}

/// The input of a round: one of `seeds` with one change or a few. Round `i` below the number of seeds is seed `i` unchanged,
/// as proof that the reader takes it.
pub(crate) fn input(target: &str, kind: Kind, seeds: &[Vec<u8>], (seed, round): (u64, u64)) -> Vec<u8> {
    if let Some(unchanged) = usize::try_from(round).ok().and_then(|round| seeds.get(round)) {
        return unchanged.clone();
    }
    // FNV-1a of the name: targets that come later change no other's inputs.
    let hash =
        target.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let stream = Stream::new(seed, Purpose::Tool, hash >> 8, round);
    let mut words = Words { stream, taken: 0 };
    let mut bytes = seeds[words.below(seeds.len())].clone();
    // Half of the inputs have one change: with more of them, few texts are still read to their end.
    let n_changes = if words.below(2) == 0 { 1 } else { 1 + words.below(MAX_CHANGES) };
    for _ in 0..n_changes {
        if kind == Kind::Text && words.below(8) != 0 {
            bytes = change_text(&String::from_utf8_lossy(&bytes), seeds, &mut words).into_bytes();
        } else {
            change_bytes(&mut bytes, seeds, &mut words);
        }
        bytes.truncate(MAX_BYTES);
    }
    bytes
}

fn change_bytes(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], words: &mut Words) {
    let len = bytes.len();
    // Half of the places are in what most formats have at their beginning.
    let reach = if words.below(2) == 0 { len.min(64) } else { len };
    let at = words.below(reach);
    match words.below(10) {
        0 if len > 0 => bytes[at] ^= 1 << words.below(8),
        1 if len > 0 => bytes[at] = words.byte(),
        2 | 3 => write_integer(bytes, at, words),
        4 => bytes.truncate(words.below(len + 1)),
        5 => drop(bytes.drain(words.range(len))),
        6 => {
            let copy = bytes[words.range(len)].to_vec();
            bytes.splice(at..at, copy);
        }
        7 => {
            let other = words.below(seeds.len());
            let from = words.below(seeds[other].len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&seeds[other][from..]);
        }
        8 => {
            let noise: Vec<u8> = (0..=words.below(16)).map(|_| words.byte()).collect();
            bytes.splice(at..at, noise);
        }
        _ => {
            let range = words.range(len);
            let n = words.below(1 + 4096 / range.len().max(1));
            let copies = bytes[range].repeat(n);
            bytes.splice(at..at, copies);
        }
    }
}

/// Puts an extreme integer of 1, 2, 4 or 8 bytes over the bytes at `at`, in either order.
fn write_integer(bytes: &mut [u8], at: usize, words: &mut Words) {
    let value = words.one_of(&INTEGERS);
    let n = words.one_of(&[1, 2, 4, 4, 8]);
    let little = value.to_le_bytes();
    let is_little = words.below(2) == 0;
    for i in 0..n {
        if let Some(byte) = bytes.get_mut(at + i) {
            *byte = little[if is_little { i } else { n - 1 - i }];
        }
    }
}

/// The tokens of a text: words and numbers, blanks, and each other character by itself.
fn tokens(text: &str) -> Vec<&str> {
    let class = |c: char| match c {
        _ if c.is_alphanumeric() || c == '_' => 0,
        ' ' => 1,
        _ => 2,
    };
    let mut tokens = Vec::new();
    let mut start = 0;
    let mut before = None;
    for (at, c) in text.char_indices() {
        if before.is_some_and(|before| before != class(c) || before == 2) {
            tokens.push(&text[start..at]);
            start = at;
        }
        before = Some(class(c));
    }
    if start < text.len() {
        tokens.push(&text[start..]);
    }
    tokens
}

fn change_text(text: &str, seeds: &[Vec<u8>], words: &mut Words) -> String {
    if words.below(4) == 0 {
        return change_lines(text, words);
    }
    let mut tokens = tokens(text);
    let at = words.below(tokens.len());
    let other = String::from_utf8_lossy(&seeds[words.below(seeds.len())]).into_owned();
    let nested;
    match words.below(9) {
        _ if tokens.is_empty() => tokens.push(words.one_of(&PIECES)),
        0 => {
            let with = words.below(tokens.len());
            tokens.swap(at, with);
        }
        1 | 2 => {
            // The next number there is, from here on, becomes an extreme one.
            let is_number = |token: &&str| token.starts_with(|c: char| c.is_ascii_digit());
            let place = tokens[at..].iter().position(is_number).map_or(at, |i| at + i);
            tokens[place] = words.one_of(&NUMBERS);
        }
        3 => {
            let others = self::tokens(&other);
            tokens[at] = if others.is_empty() { "" } else { others[words.below(others.len())] };
            return tokens.concat();
        }
        4 => drop(tokens.remove(at)),
        5 => tokens.insert(at, tokens[at]),
        6 => tokens.insert(at, words.one_of(&PIECES)),
        7 => {
            let n = words.one_of(&[2, 8, 50, 100, 200, 5000]);
            nested = words.one_of(&PIECES).repeat(n);
            tokens.insert(at, &nested);
        }
        _ => tokens[at] = words.one_of(&NUMBERS),
    }
    tokens.concat()
}

fn change_lines(text: &str, words: &mut Words) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    if lines.is_empty() {
        return text.to_owned();
    }
    let at = words.below(lines.len());
    let with = words.below(lines.len());
    let repeated;
    match words.below(4) {
        0 => lines.swap(at, with),
        1 => drop(lines.remove(at)),
        2 => lines.insert(with, lines[at]),
        _ => {
            repeated = lines[at].repeat(words.one_of(&[2, 3, 50, 1000]));
            lines.insert(with, &repeated);
        }
    }
    lines.concat()
}
