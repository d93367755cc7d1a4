//! Constant tables: arrays of integers in the narrowest type, with what they are in a comment.

use std::fmt::Write;

use crate::form::Element;

/// The type in C.
pub(super) const fn c_type(element: Element) -> &'static str {
    match element {
        Element::I8 => "int8_t",
        Element::U8 => "uint8_t",
        Element::I16 => "int16_t",
        Element::I32 => "int32_t",
        Element::I64 => "int64_t",
    }
}

/// The type of a tensor: bytes of the arena hold tensors of several types, one after the other. A pointer to bytes may do so anyway.
pub(super) const fn tensor_type(element: Element) -> &'static str {
    match element {
        Element::I8 | Element::U8 => c_type(element),
        Element::I16 => "shared_i16",
        Element::I32 => "shared_i32",
        Element::I64 => "shared_i64",
    }
}

/// The type in names of functions.
pub(super) const fn short(element: Element) -> &'static str {
    match element {
        Element::I8 => "i8",
        Element::U8 => "u8",
        Element::I16 => "i16",
        Element::I32 => "i32",
        Element::I64 => "i64",
    }
}

/// An array of constants.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    name: String,
    comment: String,
    element: Element,
    values: Vec<i64>,
}

/// All arrays of a network.
#[derive(Debug, Default)]
pub(super) struct Tables(Vec<Table>);

/// Columns of a line of numbers.
const WIDTH: usize = 110;

impl Tables {
    pub(super) fn add(&mut self, name: &str, comment: &str, element: Element, values: Vec<i64>) {
        self.0.push(Table { name: name.to_owned(), comment: comment.to_owned(), element, values });
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|table| table.values.len() * table.element.bytes()).sum()
    }

    /// Definitions, each with `storage` in front.
    pub(super) fn definitions(&self, storage: &str) -> String {
        self.0.iter().map(|table| table.definition(storage)).collect()
    }

    pub(super) fn declarations(&self) -> String {
        let declaration =
            |t: &Table| format!("extern const {} {}[{}];\n", c_type(t.element), t.name, t.values.len());
        self.0.iter().map(declaration).collect()
    }
}

impl Table {
    fn definition(&self, storage: &str) -> String {
        let Self { name, comment, element, values } = self;
        format!(
            "/* {} */\n{storage}const {} {name}[{}] = {{\n{}}};\n",
            plain(comment),
            c_type(*element),
            values.len(),
            numbers(values)
        )
    }
}

/// Integers in lines. The least integers of 32 and 64 bits are no literals of C.
pub(super) fn numbers(values: &[i64]) -> String {
    let (mut text, mut line) = (String::new(), String::new());
    for value in values {
        let mut number = String::new();
        let written = match *value {
            i64::MIN => write!(number, "-9223372036854775807 - 1,"),
            value if i32::try_from(value).is_err() => write!(number, "INT64_C({value}),"),
            value if value == i64::from(i32::MIN) => write!(number, "-2147483647 - 1,"),
            value => write!(number, "{value},"),
        };
        debug_assert!(written.is_ok(), "a string takes all");
        if line.len() + number.len() > WIDTH {
            text.push_str("    ");
            text.push_str(line.trim_end());
            text.push('\n');
            line.clear();
        }
        line.push_str(&number);
        line.push(' ');
    }
    format!("{text}    {}\n", line.trim_end())
}

/// Text that ends no comment: names of layers come from files.
pub(super) fn plain(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars()
        .map(safe)
        .collect::<String>()
        .replace("*/", "* /")
        .replace("/*", "/ *")
        .replace("??", "? ?")
        .replace('\\', "/")
}
