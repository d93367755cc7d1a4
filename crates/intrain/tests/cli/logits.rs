//! What a network answers, image by image, as an array for other programs.

use intrain::array::{Array, Values};
use intrain::data::digits;

use super::Place;

/// The logits that a command wrote, and what it said as `--json`.
fn logits(place: &Place, args: &[&str]) -> (Array, serde_json::Value) {
    let said = place.json(&[&["eval", "run", "--logits", "x.npy"], args].concat());
    assert_eq!(said["logits"], "x.npy");
    (Array::read(&place.path("x.npy")).unwrap(), said)
}

/// How many rows have their first largest element elsewhere than at the label.
fn n_wrong<T: PartialOrd>(values: &[T], labels: &[u16]) -> usize {
    let answer = |row: &[T]| (0..10).fold(0, |best, c| if row[c] > row[best] { c } else { best });
    values.chunks(10).zip(labels).filter(|(row, label)| answer(row) != usize::from(**label)).count()
}

#[test]
fn integer_logits_are_integers_with_their_fraction_bits() {
    let place = Place::new();
    let data = digits::load().unwrap();
    for (recipe, frac_bits) in [("wage", Some(10)), ("niti", None)] {
        let run = place.path("run");
        place.json(&["train", "--recipe", recipe, "--max-steps", "30", "--out", "run"]);
        for (split, labels) in [("test", &data.test.labels), ("train", &data.train.labels)] {
            let (array, said) = logits(&place, &["--split", split]);
            assert_eq!(array.layout.shape, [labels.len(), 10]);
            let Values::Integers(values) = array.values else { panic!("{recipe}: not integers") };
            let bits = said["frac_bits"].as_i64().expect("integer logits have fraction bits");
            assert!(frac_bits.is_none_or(|expected| expected == bits), "{recipe}: {bits} fraction bits");
            assert_eq!(said["wrong"], n_wrong(&values, labels), "{recipe} {split}");
        }
        let text = place.stdout(&["eval", "run", "--logits", "x.npy"]);
        assert!(text.contains("fraction bits") && text.contains("x.npy (int64 * 2^"), "{text}");
        std::fs::remove_dir_all(run).unwrap();
    }
}

#[test]
fn float_logits_are_floats_and_no_file_is_written_unasked() {
    let place = Place::new();
    place.json(&["train", "--recipe", "float32", "--max-steps", "30", "--out", "run"]);
    let said = place.json(&["eval", "run"]);
    assert!(said["logits"].is_null() && said["frac_bits"].is_null(), "{said}");
    assert!(!place.path("x.npy").exists());
    let (array, said) = logits(&place, &[]);
    assert!(said["frac_bits"].is_null(), "{said}");
    let Values::F32(values) = array.values else { panic!("not float32") };
    assert_eq!(said["wrong"], n_wrong(&values, &digits::load().unwrap().test.labels));
    let output = place.run(&["eval", "run", "--logits", "nowhere/x.npy"]);
    let message = super::text(&output.stderr);
    assert!(!output.status.success() && message.contains("create the folder first"), "{message}");
}
