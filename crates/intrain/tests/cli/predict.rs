//! What a trained network says of images, and classes that keep their names.

use std::path::Path;

use super::{Place, text};

/// Grey images of 8 x 8 pixels as uncompressed BMP: a bright left half for the first class, a bright right half for the second.
fn bmp(path: &Path, is_left: bool, level: u8) {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"BM");
    for number in [54 + 192_u32, 0, 54, 40, 8, 8] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&[1, 0, 24, 0]);
    bytes.extend_from_slice(&[0; 24]);
    for i in 0..64 {
        let value = if (i % 8 < 4) == is_left { level } else { 20 };
        bytes.extend_from_slice(&[value; 3]);
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// A folder of two classes that any network tells apart.
fn halves(place: &Place, folder: &str, [left, right]: [&str; 2]) {
    for part in ["train", "test"] {
        for i in 0..16_u8 {
            let file = format!("{i:02}.bmp");
            let class = |name: &str| place.path(folder).join(part).join(name).join(&file);
            bmp(&class(left), true, 150 + i);
            bmp(&class(right), false, 150 + i);
        }
    }
}

/// A network that has learned to tell them apart, or has begun to.
fn trained(recipe: &str, more: &[&str]) -> (Place, serde_json::Value) {
    let place = Place::new();
    halves(&place, "halves", ["left", "right"]);
    let train =
        ["train", "--data", "folder:halves", "--model", "digits-cnn", "--batch-size", "8", "--out", "run"];
    let run = place.json(&[&train[..], &["--recipe", recipe], more].concat());
    (place, run)
}

fn learned() -> Place {
    let (place, run) = trained("gupta", &["--epochs", "6", "--lr", "0.01"]);
    assert_eq!(run["test_error"], 0.0, "{run}");
    place
}

#[test]
fn classes_go_by_their_names() {
    let place = learned();
    // The same images, with classes that sort the other way round.
    halves(&place, "turned", ["left", "a-right"]);
    std::fs::rename(place.path("turned/train/a-right"), place.path("turned/train/right")).unwrap();
    std::fs::rename(place.path("turned/test/a-right"), place.path("turned/test/right")).unwrap();
    assert_eq!(place.json(&["eval", "run", "--data", "folder:turned"])["error"], 0.0);
    // One class alone: it is the second of the network, though the first of its folder.
    for part in ["train", "test"] {
        std::fs::remove_dir_all(place.path("turned").join(part).join("left")).unwrap();
    }
    let output = place.run(&["eval", "run", "--data", "folder:turned"]);
    assert!(text(&output.stdout).contains("0.00 % (0 of 16 images)"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("are counted as the network counts them, by their names"));
    halves(&place, "other", ["left", "wrong"]);
    let message = place.refusal(&["eval", "run", "--data", "folder:other"]);
    assert!(message.contains("has a class 'wrong', which the network does not know"), "{message}");
    assert!(message.contains("name its classes as the network does: left, right"), "{message}");
    // A class with another name is other data, to a run that goes on.
    std::fs::rename(place.path("halves/train/right"), place.path("halves/train/zright")).unwrap();
    std::fs::rename(place.path("halves/test/right"), place.path("halves/test/zright")).unwrap();
    let message = place.refusal(&["train", "--resume", "run", "--epochs", "7"]);
    assert!(message.contains("it belongs to other data"), "{message}");
}

#[test]
fn images_are_answered_by_name() {
    let place = learned();
    bmp(&place.path("one, two.bmp"), false, 160);
    bmp(&place.path("three.bmp"), true, 160);
    let answers = place.json(&["predict", "run", "one, two.bmp", "three.bmp", "--out", "out.csv"]);
    assert_eq!(answers["classes"], serde_json::json!(["left", "right"]));
    assert_eq!(
        (&answers["images"][0]["answer"], &answers["images"][1]["answer"]),
        (&"right".into(), &"left".into())
    );
    let csv = std::fs::read_to_string(place.path("out.csv")).unwrap();
    assert!(csv.starts_with("image,answer,logit\n\"one, two.bmp\",right,"), "{csv}");
    // Over a data set: the answers of `eval`, image by image, and its logits.
    let all = place.json(&["predict", "run", "--data", "folder:halves", "--logits", "a.npy"]);
    let images = all["images"].as_array().unwrap();
    assert!(images.len() == 32 && images.iter().all(|image| image["label"] == image["answer"]));
    // Images of files are called by them.
    assert_eq!(images[0]["image"], "test/left/00.bmp");
    place.json(&["eval", "run", "--logits", "b.npy"]);
    assert_eq!(std::fs::read(place.path("a.npy")).unwrap(), std::fs::read(place.path("b.npy")).unwrap());
    assert!(place.stdout(&["predict", "run", "three.bmp"]).contains("three.bmp         left"));

    // Held-out images lie in folders of their classes and are for nothing else.
    std::fs::rename(place.path("halves/test"), place.path("held")).unwrap();
    let held = ["--data", "folder:held", "--split", "all"];
    assert_eq!(place.json(&[&["eval", "run"], &held[..]].concat())["images"], 32);
    let all = place.json(&[&["predict", "run"], &held[..]].concat());
    let mut names: Vec<_> =
        all["images"].as_array().unwrap().iter().map(|i| i["image"].to_string()).collect();
    names.sort();
    names.dedup();
    assert_eq!((names.len(), names[0].as_str()), (32, "\"left/00.bmp\""));

    let message = place.refusal(&["eval", "run/checkpoints/best.ckpt"]);
    assert!(
        message.contains("name the run and which of its checkpoints: run --checkpoint best"),
        "{message}"
    );
    let message = place.refusal(&["train", "--resume", "run", "--set", "patience=3"]);
    assert!(message.contains("intrain train run/config.toml --init run --set patience=3"), "{message}");
    std::fs::rename(place.path("halves"), place.path("gone")).unwrap();
    let message = place.refusal(&["train", "--resume", "run", "--epochs", "7"]);
    assert!(message.contains("run: its data, folder:halves, cannot be read"), "{message}");
    let message = place.refusal(&["predict", "run"]);
    assert!(message.contains("<FILE>"), "{message}");
    std::fs::write(place.path("cut.bmp"), &std::fs::read(place.path("three.bmp")).unwrap()[..100]).unwrap();
    assert!(place.refusal(&["predict", "run", "cut.bmp"]).contains("cut.bmp: cannot be decoded"));
    // One of many: the others are answered.
    let output =
        place.run(&["predict", "run", "cut.bmp", "three.bmp", "no.bmp", "--out", "some.csv", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let said: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!((said["images"].as_array().unwrap().len(), &said["images"][0]["answer"]), (1, &"left".into()));
    assert!(said["errors"][1].as_str().unwrap().starts_with("no.bmp: cannot open"), "{said}");
    assert!(text(&output.stderr).contains("error: cut.bmp: cannot be decoded"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_to_string(place.path("some.csv")).unwrap().lines().count(), 2);
    assert!(place.refusal(&["predict", "run", "cut.bmp", "no.bmp"]).contains("cut.bmp: cannot be decoded"));
    for (flag, file) in [("--out", "three.bmp"), ("--logits", "run/model.safetensors")] {
        let message = place.refusal(&["predict", "run/model.safetensors", "three.bmp", flag, file]);
        assert!(message.contains("this is an input, which would be replaced"), "{message}");
    }
    let message = place.refusal(&["eval", "run/model.safetensors", "--logits", "run/model.safetensors"]);
    assert!(message.contains("this is an input, which would be replaced"), "{message}");
}

/// A network whose steps find powers of two answers an image alike, whatever others come with it.
#[test]
fn an_answer_does_not_depend_on_other_images() {
    let (place, _) = trained("niti", &["--epochs", "1"]);
    for (name, is_left, level) in [("a.bmp", true, 60), ("b.bmp", false, 255), ("c.bmp", true, 21)] {
        bmp(&place.path(name), is_left, level);
    }
    let of = |images: &[&str]| {
        let said = place.json(&[&["predict", "run"], images].concat());
        said["images"].as_array().unwrap().clone()
    };
    let together = of(&["a.bmp", "b.bmp", "c.bmp"]);
    for (i, name) in ["a.bmp", "b.bmp", "c.bmp"].into_iter().enumerate() {
        assert_eq!(of(&[name])[0]["likeliest"], together[i]["likeliest"], "{name}");
    }
}
