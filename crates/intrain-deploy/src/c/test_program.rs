//! A program that runs the vectors, or images of a file, and says which logit differs first.

use super::functions::instance;
use super::source::Source;
use super::tables::numbers;
use crate::vectors::Vectors;

pub(super) fn text(source: &Source<'_>, vectors: &Vectors) -> String {
    let pixels: Vec<i64> = vectors.images.iter().map(|pixel| (*pixel).into()).collect();
    let n = vectors.len().to_string();
    let macros = source.options.prefix.to_ascii_uppercase();
    let words = [
        ("N_IMAGES", n.as_str()),
        ("PIXELS\n", &numbers(&pixels)),
        ("LOGITS\n", &numbers(&vectors.logits)),
        ("PREFIX", &source.options.prefix),
        ("MACROS", &macros),
    ];
    instance(include_str!("kernels/test_program.c"), &words)
}
