//! Runs the vectors below; with a file of images, prints the logits of each, a line an image.
mod PREFIX;

use PREFIX::MODEL;

static IMAGES: &[u8] = &[PIXELS];

static EXPECTED: &[i64] = &[LOGITS];

fn main() {
    let (mut arena, mut logits) = (vec![0; MODEL.arena_bytes], vec![0; MODEL.classes]);
    if let Some(path) = std::env::args().nth(1) {
        let images = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        for image in images.chunks_exact(MODEL.image_bytes) {
            intrain_run::run(&MODEL, image, &mut arena, &mut logits).expect("an answer");
            let words: Vec<String> = logits.iter().map(i64::to_string).collect();
            println!("{}", words.join(" "));
        }
        return;
    }
    let images = IMAGES.chunks_exact(MODEL.image_bytes).zip(EXPECTED.chunks_exact(MODEL.classes));
    for (i, (image, expected)) in images.enumerate() {
        intrain_run::run(&MODEL, image, &mut arena, &mut logits).expect("an answer");
        if let Some(k) = (0..MODEL.classes).find(|k| logits[*k] != expected[*k]) {
            println!("image {i}, logit {k}: {}, and {} is right", logits[k], expected[k]);
            std::process::exit(1);
        }
    }
    println!("N_IMAGES of N_IMAGES images: equal");
}
