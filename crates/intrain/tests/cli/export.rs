//! Networks that leave the house: what is written, what is refused, and that a wrong program is found.

use std::io::Write as _;
use std::process::Command;

use intrain::data::npy;
use serde_json::Value;

use super::{Place, text};

/// Of the images of `lenet.onnx`.
const SHAPE: [usize; 4] = [16, 18, 14, 1];

/// The embedded digits, trained for an epoch.
fn trained(recipe: &str, more: &[&str]) -> Place {
    let place = Place::new();
    let train = ["train", "--recipe", recipe, "--epochs", "1", "--out", "run"];
    place.stdout(&[&train, more].concat());
    place
}

fn has_compiler() -> bool {
    let found = Command::new("gcc").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: there is no gcc");
    }
    found
}

/// The result of each target.
fn results(checked: &Value) -> Vec<(String, String)> {
    let word = |target: &Value, key: &str| target[key].as_str().unwrap_or_default().to_owned();
    let targets = checked["targets"].as_array().unwrap();
    targets.iter().map(|target| (word(target, "target"), word(target, "result"))).collect()
}

#[test]
fn c_is_written_checked_and_its_faults_are_found() {
    let place = trained("wage", &[]);
    let written = place.json(&["export", "run", "--to", "c", "--pack"]);
    assert_eq!(written["files"], serde_json::json!(["model.h", "model.c", "model_test.c"]));
    assert_eq!((&written["vectors"], &written["arena_bytes"]), (&64.into(), &3072.into()));
    let folder = place.path("run-c");
    let manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest, written);
    // Equal content gives equal bytes, in a folder that is the program's own.
    let before = std::fs::read(folder.join("model.c")).unwrap();
    place.stdout(&["export", "run", "--to", "c", "--pack"]);
    assert_eq!(std::fs::read(folder.join("model.c")).unwrap(), before);
    if !has_compiler() {
        return;
    }
    let checked = place.json(&["verify", "export", "run", "run-c", "--images", "20"]);
    assert!(results(&checked).contains(&("gcc -O3".to_owned(), "equal".to_owned())), "{checked}");
    assert!(results(&checked).iter().all(|(_, result)| result != "differs"), "{checked}");

    // A rounding that is none of the network's.
    let source = text(&before).replace("half - 1 + (floor_i32(x, shift) & 1)", "half");
    std::fs::write(folder.join("model.c"), source).unwrap();
    let output = place.run(&["verify", "export", "run", "run-c"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.contains("DIFFERS: vectors: image ") && said.contains("is right"), "{said}");
    // Of the vectors nothing is known but the logits; of images, the layer.
    let vectors = folder.join("model_test.c");
    let blind = std::fs::read_to_string(&vectors).unwrap().replace("logits[i] != right[i]", "0");
    std::fs::write(&vectors, blind).unwrap();
    let said = text(&place.run(&["verify", "export", "run", "run-c", "--images", "300"]).stdout);
    assert!(said.contains("layer 'conv1', element "), "{said}");
}

#[test]
fn rust_and_arrays_are_written() {
    let place = trained("wage", &[]);
    let written = place.json(&["export", "run", "--to", "rust"]);
    assert_eq!(written["files"], serde_json::json!(["model.rs", "model_test.rs", "intrain_run.rs"]));
    let checked = place.json(&["verify", "export", "run", "run-rust", "--images", "50"]);
    assert_eq!(checked["targets"][0]["result"], "equal", "{checked}");
    assert_eq!(checked["targets"][0]["images"], 114);

    let written = place.json(&["export", "run", "--to", "npy"]);
    let files = written["files"].as_array().unwrap();
    assert!(files.contains(&"1.weights.npy".into()) && files.contains(&"1.result.npy".into()), "{written}");
    place.stdout(&["export", "run", "--to", "hex", "--vectors", "2"]);
    let hex = std::fs::read_to_string(place.path("run-hex/images.hex")).unwrap();
    let is_byte = |line: &str| line.len() == 2 && u8::from_str_radix(line, 16).is_ok();
    assert!(hex.lines().count() == 128 && hex.lines().all(is_byte), "{hex}");
    let message = place.refusal(&["verify", "export", "run", "run-hex"]);
    assert!(message.contains("it is of --to hex"), "{message}");
}

#[test]
fn onnx_is_written_with_its_vectors() {
    let place = trained("wage", &[]);
    for target in ["onnx", "onnx-qdq", "qonnx"] {
        let written = place.json(&["export", "run", "--to", target, "--vectors", "8", "--out", target]);
        assert_eq!(
            written["files"],
            serde_json::json!(["model.onnx", "model_images.npy", "model_logits.npy"])
        );
        let bytes = std::fs::read(place.path(target).join("model.onnx")).unwrap();
        assert_eq!(&bytes[..11], b"\x08\x09\x12\x07intrain");
        let output = place.run(&["verify", "export", "run", target, "--json"]);
        let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(results(&checked).iter().all(|(_, result)| result != "differs"), "{checked}");
    }
}

#[test]
fn floats_are_written_for_pytorch() {
    let place = trained("wage", &["--max-steps", "2"]);
    let written = place.json(&["export", "run", "--to", "safetensors", "--vectors", "4"]);
    assert_eq!(
        written["files"],
        serde_json::json!(["model.safetensors", "model_images.npy", "model_logits.npy"])
    );
    let bytes = std::fs::read(place.path("run-safetensors/model.safetensors")).unwrap();
    let header = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let header: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let metadata = &header["__metadata__"];
    assert_eq!(
        (&metadata["format"], &metadata["frac_bits"]),
        (&"pt".into(), &written["frac_bits"].to_string().into())
    );
    assert_eq!(header["conv1.weight"]["dtype"], "F32", "{header}");
    let message = place.refusal(&["verify", "export", "run", "run-safetensors"]);
    assert!(message.contains("it is of --to safetensors"), "{message}");
}

#[test]
fn what_cannot_be_exported_is_refused_before_anything_is_written() {
    let place = trained("float32", &[]);
    let message = place.refusal(&["export", "run", "--to", "c"]);
    assert!(message.contains("'float32' computes in floats"), "{message}");
    assert!(!place.path("run-c").exists());

    let place = trained("gupta", &["--max-steps", "2"]);
    let message = place.refusal(&["export", "run", "--to", "onnx-qdq"]);
    assert!(message.contains("use --to onnx"), "{message}");
    for (more, part) in [
        (&["--to", "c", "--ram", "1000"][..], "--ram 1000: the tensors of one image need "),
        (&["--to", "c", "--flash", "1000"], "--flash 1000: the constants alone need "),
        (&["--to", "c", "--prefix", "2nd"], "--prefix 2nd: it begins names of C"),
        (&["--to", "onnx", "--pack"], "--pack: this is for --to c"),
        (&["--to", "c", "--debug"], "--debug: this is for --to onnx"),
        (&["--to", "c", "--data", "mnist"], "mnist"),
    ] {
        let message = place.refusal(&[&["export", "run"], more].concat());
        assert!(message.contains(part), "{message}");
    }
    assert!(!place.path("run-c").exists() && !place.path("run-onnx-qdq").exists());

    // Another's file is not replaced, and an export is of its network alone.
    std::fs::create_dir(place.path("mine")).unwrap();
    std::fs::write(place.path("mine/model.c"), "int mine;").unwrap();
    let message = place.refusal(&["export", "run", "--to", "c", "--out", "mine"]);
    assert!(message.contains("intrain did not make it"), "{message}");
    place.stdout(&["export", "run", "--to", "c"]);
    place.stdout(&["train", "--recipe", "gupta", "--max-steps", "3", "--out", "other"]);
    let message = place.refusal(&["verify", "export", "other", "run-c"]);
    assert!(message.contains("it is of weights "), "{message}");
    assert!(place.refusal(&["verify", "export", "run", "mine"]).contains("manifest.json: cannot read"));
}

/// Sixteen images of a network of PyTorch as a data set, and the network.
fn imported(place: &Place, name: &str, shape: [usize; 4]) {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/fixtures");
    std::fs::copy(fixtures.join(format!("{name}.onnx")), place.path(&format!("{name}.onnx"))).unwrap();
    let pixels = std::fs::read(fixtures.join(format!("{name}.images"))).unwrap();
    let images = npy::to_bytes(&shape, npy::Order::C, pixels.into_iter()).unwrap();
    let labels = npy::to_bytes(&[16], npy::Order::C, (0..16_u8).map(|i| i % 10)).unwrap();
    let mut zip = zip::ZipWriter::new(std::fs::File::create(place.path("images.npz")).unwrap());
    for (name, bytes) in
        [("x_train", &images), ("y_train", &labels), ("x_test", &images), ("y_test", &labels)]
    {
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn logits_of_onnx_files_are_counted() {
    let found = Command::new("python3").args(["-c", "import onnxruntime"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: python3 has no onnxruntime");
        return;
    }
    let place = trained("wage", &[]);
    place.stdout(&["export", "run", "--to", "onnx"]);
    let ask = ["verify", "onnx", "run-onnx/model.onnx", "--data", "digits"];
    let counted = place.json(&[&ask[..], &["--of", "run"]].concat());
    assert_eq!((&counted["ok"], &counted["logits"]), (&true.into(), &3590.into()), "{counted}");
    let ways = counted["ways"].as_array().unwrap();
    assert!(ways.len() == 4 && ways.iter().all(|way| way["differing_logits"] == 0), "{counted}");

    // Of another network, of none, and no file at all.
    place.stdout(&["train", "--recipe", "wage", "--max-steps", "3", "--out", "other"]);
    let output = place.run(&[&ask[..], &["--of", "other", "--images", "50"]].concat());
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains(" of 500 logits differ, in ") && said.contains(" of 50 images"), "{said}");
    let message = place.refusal(&ask);
    assert!(message.contains("name that: --of RUN"), "{message}");
    assert!(place.refusal(&["verify", "onnx", "none.onnx", "--data", "digits"]).contains("cannot read"));

    // What was asked of pixels is not ignored: the file takes bytes, and its image has one channel.
    for (more, part) in [
        (&["--pixels", "x/255"][..], "it takes bytes as they are; leave --pixels"),
        (&["--mean", "0.1,0.2", "--std", "1"], "mean has 2 numbers, and the image 1 channels"),
        (&["--mean", "0", "--std", "0"], "a deviation of 0 divides by nothing"),
    ] {
        let message = place.refusal(&[&ask[..], &["--of", "run"], more].concat());
        assert!(message.contains(part), "{message}");
    }

    // Of floats: the file, imported, answers as in ONNX Runtime; what it was not trained to see, otherwise.
    // The first ends in a softmax, and is imported without it.
    for (name, shape, scaling) in [
        ("inception", [16, 10, 12, 2], &[][..]),
        ("lenet", SHAPE, &[]),
        ("lenet", SHAPE, &["--mean", "0.5", "--std", "0.25"]),
    ] {
        imported(&place, name, shape);
        let file = format!("{name}.onnx");
        let counted = place.json(&[&["verify", "onnx", &file, "--data", "npz:images.npz"], scaling].concat());
        assert_eq!((&counted["ok"], &counted["images"]), (&true.into(), &16.into()), "{name}: {counted}");
    }
    let message = place.refusal(&["verify", "onnx", "lenet.onnx", "--data", "digits", "--of", "run"]);
    assert!(message.contains("the images are [n, 1, 8, 8]"), "{message}");
    // A network of integers from it is another one, by how much stands in the unit of the logits.
    place.stdout(&["import", "lenet.onnx", "--out", "lenet", "--data", "npz:images.npz"]);
    let quantize = ["train", "--init", "lenet", "--recipe", "intrain-int8", "--epochs", "0"];
    let data = ["--data", "npz:images.npz"];
    place.stdout(&[&quantize[..], &data, &["--batch-size", "8", "--out", "q"]].concat());
    let ask = ["verify", "onnx", "lenet.onnx", "--data", "npz:images.npz"];
    let output = place.run(&[&ask[..], &["--of", "q", "--json"]].concat());
    let counted: Value = serde_json::from_slice(&output.stdout).unwrap();
    let way = &counted["ways"][0];
    assert_eq!((output.status.code(), way["other_classes"].as_u64() < Some(5)), (Some(1), true), "{counted}");
    assert!(way["largest_difference"].as_f64().unwrap() < 1.0, "{counted}");
}
