//! As much of Rust as the checks need: what is code and what is not, where functions and test modules begin and end.
//!
//! Invariant: blanked code has the length and the lines of its text.

use std::ops::Range;

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    /// From its `fn` to its closing brace, lines counted from 0.
    pub(crate) lines: Range<usize>,
}

/// `text` with comments, strings and character literals blanked.
pub(crate) fn code_of(text: &str) -> String {
    let mut code = text.as_bytes().to_vec();
    let mut at = 0;
    while at < code.len() {
        let after_word = at > 0 && is_word(code[at - 1]);
        let hidden = hidden_len(&text.as_bytes()[at..], after_word);
        for byte in &mut code[at..at + hidden] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += hidden.max(1);
    }
    // Exact: comments and literals begin and end with ASCII, so no character is cut.
    String::from_utf8_lossy(&code).into_owned()
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Length of the comment or literal that `rest` begins with; 0 without one.
fn hidden_len(rest: &[u8], after_word: bool) -> usize {
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment_len(rest),
        [b'"', ..] => quoted_len(rest, b'"'),
        [b'r', ..] if !after_word => raw_string_len(rest),
        [b'b', b'r', ..] if !after_word => match raw_string_len(&rest[1..]) {
            0 => 0,
            len => len + 1,
        },
        [b'\'', b'\\', ..] => quoted_len(rest, b'\''),
        [b'\'', first, ..] => {
            // 'x' is a character, 'x without a second quote a lifetime.
            let len = match first {
                0..=0x7f => 1,
                0x80..=0xdf => 2,
                0xe0..=0xef => 3,
                _ => 4,
            };
            if rest.get(1 + len) == Some(&b'\'') { len + 2 } else { 0 }
        }
        _ => 0,
    }
}

fn quoted_len(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn raw_string_len(rest: &[u8]) -> usize {
    let n_hashes = rest[1..].iter().take_while(|b| **b == b'#').count();
    if rest.get(1 + n_hashes) != Some(&b'"') {
        return 0;
    }
    let end = [&b"\""[..], &vec![b'#'; n_hashes]].concat();
    let body = &rest[2 + n_hashes..];
    let len = body.windows(end.len()).position(|window| window == end);
    len.map_or(rest.len(), |len| 2 + n_hashes + len + end.len())
}

fn block_comment_len(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Where `word` stands alone in blanked code, as byte offsets.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = at.checked_sub(1).map(|i| bytes[i]);
        let behind = bytes.get(at + word.len()).copied();
        // A word that ends in a sign, such as `!`, ends there whatever follows.
        let open = word.as_bytes().last().is_some_and(|b| is_word(*b));
        !(before.is_some_and(is_word) || open && behind.is_some_and(is_word))
    })
}

/// The functions of blanked code that have a body, nested ones too.
pub(crate) fn functions(code: &str) -> Vec<Function<'_>> {
    words(code, "fn").filter_map(|at| function_at(code, at)).collect()
}

fn function_at(code: &str, at: usize) -> Option<Function<'_>> {
    let rest = code[at + 2..].trim_start();
    let name = &rest[..rest.bytes().position(|b| !is_word(b)).unwrap_or(rest.len())];
    // Without a name it is a type: `fn(u8) -> u8`.
    let block = (!name.is_empty()).then(|| block_behind(code, at)).flatten()?;
    Some(Function { name, lines: line_of(code, at)..line_of(code, block.end - 1) + 1 })
}

/// Lines of the modules that are compiled for tests only.
pub(crate) fn test_lines(code: &str) -> Vec<Range<usize>> {
    let attribute = "#[cfg(test)]";
    code.match_indices(attribute)
        .filter_map(|(at, _)| {
            let block = block_behind(code, at + attribute.len())?;
            Some(line_of(code, at)..line_of(code, block.end - 1) + 1)
        })
        .collect()
}

/// The first `{ ... }` behind `at`; none where the item ends with a `;` before.
fn block_behind(code: &str, at: usize) -> Option<Range<usize>> {
    let (mut open, mut depth) = (None, 0);
    let mut inside = 0;
    for (i, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' if open.is_none() => inside += 1,
            b')' | b']' if open.is_none() => inside -= 1,
            b';' if open.is_none() && inside == 0 => return None,
            b'{' if inside == 0 => {
                open = open.or(Some(i));
                depth += 1;
            }
            b'}' if inside == 0 => {
                depth -= 1;
                if depth == 0 {
                    return open.map(|open| open..i + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Line of a byte, counted from 0.
pub(crate) fn line_of(code: &str, at: usize) -> usize {
    code.as_bytes()[..at].iter().filter(|b| **b == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        for (text, code) in [
            ("a // { b\nc", "a       \nc"),
            ("/* { /* x */ } */d", "                 d"),
            (r#"f("\"{", '{', '\'')"#, "f(     ,    ,     )"),
            ("r#\"}\"\"# + br\"{\" + r#type", "        +       + r#type"),
            ("x<'a>('é', b'{')", "x<'a>(    , b   )"),
            ("for r in 0..r {}", "for r in 0..r {}"),
        ] {
            assert_eq!(code_of(text), code, "{text}");
        }
        assert_eq!(code_of("\"never closed\n{").len(), 15);
    }

    #[test]
    fn functions_have_names_and_lines() {
        let code = "trait T { fn a(&self) -> [u8; 3]; }\nimpl fn_x { const fn b<F: Fn()>(f: fn(u8),\n) {\n  fn c() {}\n }\n}";
        let functions = functions(code);
        let found: Vec<_> = functions.iter().map(|f| (f.name, f.lines.clone())).collect();
        assert_eq!(found, [("b", 1..5), ("c", 3..4)]);
    }

    #[test]
    fn test_modules_are_found() {
        let code =
            "#[cfg(test)]\nmod tests;\nfn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n {}\n}\nfn b() {}";
        assert_eq!(test_lines(code), vec![3..8; 1]);
    }

    #[test]
    fn words_stand_alone() {
        let found = |word| words("unsafe_x unsafe(unsafe) todo!() x_todo!", word).count();
        assert_eq!((found("unsafe"), found("todo!")), (2, 1));
    }
}
