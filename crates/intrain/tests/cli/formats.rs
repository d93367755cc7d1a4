//! Formats of floats and blocks: tables, arrays there and back, why two differ, products, test vectors.

use std::fs;

use intrain::data::{archive, npy};
use serde_json::Value;

use super::{Place, text};

fn save(place: &Place, name: &str, shape: &[usize], values: &[f32]) {
    let bytes = npy::to_bytes(shape, npy::Order::C, values.iter().copied()).unwrap();
    fs::write(place.path(name), bytes).unwrap();
}

/// Numbers that spread like sums of four uniform ones, each a few bits long.
fn numbers(n: usize) -> Vec<f32> {
    let mut word = 1_u32;
    let mut next = || {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (word >> 20) as f32 / 4096.0 - 0.5
    };
    (0..n).map(|_| next() + next() + next() + next()).collect()
}

fn bytes_of(place: &Place, name: &str) -> Vec<u8> {
    let bytes = fs::read(place.path(name)).unwrap();
    npy::parse(&bytes, name.as_ref()).unwrap().bytes.to_vec()
}

#[test]
fn formats_are_listed_with_all_codes() {
    let place = Place::new();
    insta::assert_snapshot!("formats", place.stdout(&["formats"]));
    insta::assert_snapshot!("formats_e2m1", place.stdout(&["formats", "e2m1"]));
    let all = place.json(&["formats"]);
    assert_eq!(all["scale_rules"].as_array().unwrap().len(), 7);
    let e4m3 = place.json(&["formats", "float8_e4m3fn"]);
    assert_eq!((&e4m3["format"], e4m3["values"].as_array().unwrap().len()), (&"e4m3".into(), 256));
    assert_eq!((&e4m3["values"][0x7e], &e4m3["values"][0x7f]), (&448.0.into(), &"NaN".into()));
    assert_eq!(place.json(&["formats", "bf16"])["values"], Value::Null);
    insta::assert_snapshot!("formats_nvfp4", place.stdout(&["formats", "nvfp4/16x16"]));
    let mxint8 = place.json(&["formats", "mxint8@even"]);
    assert_eq!((&mxint8["bits_per_number"], &mxint8["max"]), (&8.25.into(), &1.984_375.into()));
    // The code without a counterpart, and -1.
    assert_eq!((&mxint8["values"][0x80], &mxint8["values"][0xc0]), (&(-2.0).into(), &(-1.0).into()));
    for (args, part) in [
        (&["formats", "mxfp5"][..], "the nearest name is 'mxfp8'"),
        (&["formats", "mxfp4@evem"], "no rule of its scale"),
        (&["formats", "e4m4"], "the nearest name is 'e4m3'"),
        (&["formats", "float32", "--codes"], "leave --codes out"),
        (&["formats", "binary9p12se"], "Binary8p4se"),
    ] {
        let message = place.refusal(args);
        assert!(message.contains(part), "{args:?}: {message}");
    }
}

#[test]
fn arrays_go_there_and_back() {
    let place = Place::new();
    let x = numbers(6 * 64);
    save(&place, "x.npy", &[6, 64], &x);
    for (format, files) in [
        ("mxfp8@rceil", ["a.npz", "b.safetensors"]),
        ("mxfp4", ["c.npz", "d.safetensors"]),
        ("mxfp6-e3m2@even", ["e.npz", "f.safetensors"]),
        ("nvfp4", ["g.npz", "h.safetensors"]),
        ("nvfp4@4over6-mae-256/16x16", ["i.npz", "j.safetensors"]),
        ("bfp<5>", ["k.npz", "l.safetensors"]),
        ("bf16", ["m.npz", "n.safetensors"]),
        ("e5m2", ["o.npz", "p.safetensors"]),
    ] {
        place.stdout(&["quantize", "x.npy", "--as", format, "--out", "values.npy", "--payload", "codes.npy"]);
        for file in files {
            let quantized = place.json(&["quantize", "x.npy", "--as", format, "--out", file]);
            // The file says how it was made; quantized again it is the same or not, as was reported.
            let again = place.json(&["requantize", file]);
            for (a, b) in
                [("again_changed_scales", "changed_scales"), ("again_changed_codes", "changed_codes")]
            {
                assert_eq!(quantized[a], again[b], "{format} {file}");
            }
            let before = fs::read(place.path(file)).unwrap();
            place.stdout(&["quantize", "x.npy", "--as", format, "--out", file]);
            assert!(fs::read(place.path(file)).unwrap() == before, "{file}: equal content, equal bytes");
        }
        // Both kinds of file hold the same array.
        place.stdout(&["explain", files[0], files[1], "--from", "x.npy"]);
    }
    // A stranger's archive: names in use, no word of the format.
    let (codes, scales) = (vec![0x21u8; 64], vec![127u8; 4]);
    let array =
        |shape: &[usize], bytes: &[u8]| npy::to_bytes(shape, npy::Order::C, bytes.iter().copied()).unwrap();
    let members =
        [("qdata".to_owned(), array(&[4, 16], &codes)), ("scale".to_owned(), array(&[4, 1], &scales))];
    fs::write(place.path("other.npz"), archive::to_bytes(&members).unwrap()).unwrap();
    let message = place.refusal(&["requantize", "other.npz"]);
    assert!(message.contains("does not say its format"), "{message}");
}

/// binary32 numbers of their bytes.
fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
}

/// Files of other programs are read by the names that those use, and refused where a number would be guessed.
#[test]
fn files_of_others_are_read_by_their_names() {
    let place = Place::new();
    save(&place, "x.npy", &[6, 64], &numbers(6 * 64));
    place.stdout(&[
        "quantize",
        "x.npy",
        "--as",
        "nvfp4",
        "--out",
        "v.npy",
        "--payload",
        "c.npy",
        "--scales",
        "s.npy",
    ]);
    let said = place.json(&["quantize", "x.npy", "--as", "nvfp4", "--out", "q.npz"]);
    #[allow(clippy::cast_possible_truncation, reason = "a float32")]
    let factor = said["tensor_scale"].as_f64().unwrap() as f32;
    let file = |name: &str| fs::read(place.path(name)).unwrap();
    let number = |x: f32| npy::to_bytes(&[1], npy::Order::C, [x].into_iter()).unwrap();
    let codes = bytes_of(&place, "c.npy");
    let packed: Vec<u8> = codes.chunks(2).map(|two| two[0] | two[1] << 4).collect();
    let packed = npy::to_bytes(&[6, 32], npy::Order::C, packed.into_iter()).unwrap();
    let write = |name: &str, members: &[(&str, Vec<u8>)]| {
        let members: Vec<(String, Vec<u8>)> =
            members.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
        fs::write(place.path(name), archive::to_bytes(&members).unwrap()).unwrap();
    };
    let scales = file("s.npy");
    let named = |codes: &'static str, scales_name: &'static str| {
        [(codes, packed.clone()), (scales_name, scales.clone())]
    };
    let with = |codes, scales, factor: (&'static str, f32)| {
        [named(codes, scales).to_vec(), vec![(factor.0, number(factor.1))]].concat()
    };
    // The factor multiplies; compressed-tensors has what divides.
    let want = floats(&bytes_of(&place, "v.npy"));
    for (file_name, members) in [
        ("modelopt.npz", with("l0.weight", "l0.weight_scale", ("l0.weight_scale_2", factor))),
        ("compressed.npz", with("weight_packed", "weight_scale", ("weight_global_scale", 1.0 / factor))),
        ("torchao.npz", with("qdata", "scale", ("tensor_scale", factor))),
    ] {
        write(file_name, &members);
        place.stdout(&["requantize", file_name, "--of", "nvfp4", "--as", "binary32", "--out", "r.npz"]);
        let read = archive::read(&file("r.npz"), "r.npz".as_ref()).unwrap();
        let codes = read.into_iter().find_map(|(name, bytes)| (name == "codes").then_some(bytes)).unwrap();
        let read = floats(npy::parse(&codes, "codes".as_ref()).unwrap().bytes);
        for (got, want) in read.iter().zip(&want) {
            // A quotient of one is rounded twice.
            let differs = if file_name == "compressed.npz" {
                (got - want).abs() > want.abs() * 1e-6
            } else {
                got != want
            };
            assert!(!differs, "{file_name}: {got} instead of {want}");
        }
        assert_eq!(read.len(), 384);
    }
    write("no-factor.npz", &named("weight", "weight_scale"));
    write("two.npz", &[named("a.weight", "a.weight_scale"), named("b.weight", "b.weight_scale")].concat());
    write("floats.npz", &[("weight", packed.clone()), ("weight_scale", number(2.0))]);
    for (args, part) in [
        (&["requantize", "no-factor.npz", "--of", "nvfp4"][..], "no factor of the tensor"),
        (&["requantize", "two.npz", "--of", "nvfp4"], "several tensors (a.weight, b.weight)"),
        (&["requantize", "floats.npz", "--of", "mxfp4"], "are float32; scales are codes of 8 bits"),
        (&["requantize", "q.npz", "--of", "mxfp4"], "says that it is nvfp4@te, not mxfp4@floor"),
    ] {
        let message = place.refusal(args);
        assert!(message.contains(part), "{args:?}: {message}");
    }
    place.stdout(&["requantize", "no-factor.npz", "--of", "nvfp4@torchao-1level"]);
    // An axis is heard without a format, too.
    let along = place.json(&["requantize", "q.npz", "--axis", "0"]);
    assert!(along["quantizer"].as_str().unwrap().ends_with("axis 0"), "{along}");
}

#[test]
fn no_file_of_another_kind_is_replaced() {
    let place = Place::new();
    save(&place, "x.npy", &[6, 64], &numbers(6 * 64));
    for (file, format) in [("a.npz", "mxfp8"), ("b.npz", "mxfp8"), ("c.npz", "mxfp4")] {
        place.stdout(&["quantize", "x.npy", "--as", format, "--out", file]);
    }
    fs::write(place.path("note.txt"), "mine").unwrap();
    fs::copy(place.path("x.npy"), place.path("y.npz")).unwrap();
    let before = |name: &str| fs::read(place.path(name)).unwrap();
    let files = ["x.npy", "a.npz", "b.npz", "c.npz", "note.txt", "y.npz"].map(|name| (name, before(name)));
    for args in [
        &["vectors", "export", "--as", "mxfp4", "--out", "x.npy"][..],
        &["vectors", "export", "--as", "mxfp4", "--out", "c.npz"],
        &["gemm", "a.npz", "b.npz", "--out", "note.txt"],
        &["gemm", "a.npz", "b.npz", "--out", "c.npz"],
        &["gemm", "a.npz", "b.npz", "--out", "a.npz"],
        &["quantize", "x.npy", "--as", "mxfp4", "--payload", "c.npz"],
        &["quantize", "x.npy", "--as", "qtorch<4,3>", "--out", "new.npz"],
        &["requantize", "a.npz", "--out", "y.npz"],
        &["requantize", "a.npz", "--out", "new.npy"],
    ] {
        let message = place.refusal(args);
        assert!(
            message.contains("name another file") || message.contains("write a name"),
            "{args:?}: {message}"
        );
    }
    for (name, bytes) in files {
        assert!(before(name) == bytes, "{name} is as it was");
    }
    // Text replaces text, and an array an array.
    place.stdout(&["vectors", "export", "--as", "mxfp4", "--out", "note.txt"]);
    place.stdout(&["gemm", "a.npz", "b.npz", "--out", "x.npy"]);
}

#[test]
fn what_cannot_be_quantized_says_why() {
    let place = Place::new();
    let mut x = numbers(3 * 50);
    save(&place, "x.npy", &[3, 50], &x);
    x[7] = f32::NAN;
    save(&place, "nan.npy", &[3, 50], &x);
    let odd = npy::to_bytes(&[3, 5], npy::Order::C, [1u8; 15].into_iter()).unwrap();
    let members = [("codes".to_owned(), odd.clone()), ("scales".to_owned(), odd)];
    fs::write(place.path("odd.npz"), archive::to_bytes(&members).unwrap()).unwrap();
    let mut all = String::new();
    for args in [
        &["quantize", "x.npy", "--as", "mxfp5"][..],
        &["quantize", "x.npy", "--as", "mxfp4@flor"],
        &["quantize", "x.npy", "--as", "mxfp4", "--scale-rule", "rcail"],
        &["quantize", "x.npy", "--as", "mxfp4@even:nvidia"],
        &["quantize", "x.npy", "--as", "mxfp4", "--tile", "16x32"],
        &["quantize", "x.npy", "--as", "nvfp4", "--tile", "32"],
        &["quantize", "x.npy", "--as", "bf16", "--scale-rule", "floor"],
        &["quantize", "x.npy", "--as", "mxfp4", "--axis", "2"],
        &["quantize", "x.npy", "--as", "mxfp4", "--profile", "tea"],
        &["quantize", "x.npy", "--as", "mxfp4", "--round", "nearest"],
        &["quantize", "x.npy", "--as", "mxfp4", "--overflow", "sat-none"],
        &["quantize", "x.npy", "--as", "e4m3", "--scales", "s.npy"],
        &["quantize", "x.npy", "--as", "Q4.4", "--scales", "s.npy"],
        &["quantize", "x.npy", "--as", "Q4.4", "--out", "q.npz"],
        &["quantize", "x.npy", "--as", "mxfp6", "--out", "q.npz"],
        &["quantize", "x.npy", "--as", "qtorch<9,2>"],
        &["quantize", "x.npy", "--as", "qtorch<5,2>", "--payload", "c.npy"],
        &["quantize", "nan.npy", "--as", "mxfp8"],
        &["requantize", "odd.npz", "--of", "mxfp4"],
        &["requantize", "x.npy", "--of", "mxfp4"],
        &["explain", "x.npy", "odd.npz"],
        &["gemm", "odd.npz", "odd.npz"],
        &["gemm", "odd.npz", "odd.npz", "--accumulate", "truncated<0,32>"],
        &["vectors", "export", "--as", "mxfp8", "--format", "xml"],
    ] {
        let output = place.run(args);
        assert!(!output.status.success(), "{args:?}");
        all.push_str(&format!(
            "$ intrain {}\n{}{}\n",
            args.join(" "),
            text(&output.stdout),
            text(&output.stderr)
        ));
    }
    insta::assert_snapshot!(
        "formats_mistakes",
        all.replace(&place.path("").display().to_string(), "[PLACE]/")
    );
    // What is refused can be had otherwise.
    let found = place.json(&["quantize", "nan.npy", "--as", "mxfp8", "--nan", "propagate"]);
    assert_eq!(found["nan_blocks"], 1);
    place.stdout(&["quantize", "x.npy", "--as", "mxfp6", "--pack", "none", "--out", "q.npz"]);
}

#[test]
fn causes_are_named() {
    let place = Place::new();
    save(&place, "x.npy", &[256, 128], &numbers(256 * 128));
    let make = |format: &str, out: &str| place.stdout(&["quantize", "x.npy", "--as", format, "--out", out]);
    make("mxfp6@even", "a.npz");
    make("mxfp6@div-nearest", "b.npz");
    let found = place.json(&["explain", "a.npz", "b.npz", "--from", "x.npy"]);
    assert_eq!(
        (&found["switch"][0]["a"], &found["switch"][0]["b"]),
        (&"even".into(), &"div-nearest".into()),
        "{found}"
    );
    let alone = place.json(&["explain", "a.npz", "b.npz"]);
    assert_eq!((&alone["pairs"][0]["a"], &alone["pairs"][0]["b"]), (&"even".into(), &"div-nearest".into()));
    insta::assert_snapshot!("explain", place.stdout(&["explain", "a.npz", "b.npz", "--from", "x.npy"]));

    make("mxfp8@rceil", "once.npz");
    assert_eq!(place.run(&["requantize", "once.npz", "--check"]).status.code(), Some(1));
    place.stdout(&["requantize", "once.npz", "--out", "twice.npz"]);
    for from in [&["--from", "x.npy"][..], &[]] {
        let found = place.json(&[&["explain", "once.npz", "twice.npz"], from].concat());
        assert_eq!(found["b"][0]["before"], "again", "{found}");
    }
    make("mxfp8@floor", "floor.npz");
    place.stdout(&["requantize", "floor.npz", "--check"]);

    // Noise, and scales alone.
    let noise: Vec<u8> = numbers(256 * 128).iter().map(|x| x.to_bits().to_le_bytes()[2] >> 4).collect();
    let array =
        |shape: &[usize], bytes: &[u8]| npy::to_bytes(shape, npy::Order::C, bytes.iter().copied()).unwrap();
    let members = [
        ("codes".to_owned(), array(&[256, 128], &noise)),
        ("scales".to_owned(), array(&[256, 4], &noise[..1024])),
    ];
    fs::write(place.path("noise.npz"), archive::to_bytes(&members).unwrap()).unwrap();
    let output = place.run(&["explain", "a.npz", "noise.npz", "--from", "x.npy"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("not explained"), "{}", text(&output.stdout));
    place.stdout(&["quantize", "x.npy", "--as", "mxfp8@even", "--scales", "s1.npy"]);
    place.stdout(&["quantize", "x.npy", "--as", "mxfp8@rceil", "--scales", "s2.npy"]);
    let found = place.json(&["explain", "s1.npy", "s2.npy", "--scales", "--from", "x.npy"]);
    assert!(
        found["switch"].as_array().unwrap().iter().any(|change| change["what"] == "scale rule"),
        "{found}"
    );
}

#[test]
fn products_and_vectors() {
    let place = Place::new();
    save(&place, "a.npy", &[5, 96], &numbers(5 * 96));
    save(&place, "b.npy", &[7, 96], &numbers(7 * 96));
    for file in ["a", "b"] {
        place.stdout(&["quantize", &format!("{file}.npy"), "--as", "mxfp8", "--out", &format!("{file}.npz")]);
    }
    let exact = place.json(&["gemm", "a.npz", "b.npz", "--out", "y.npy"]);
    assert_eq!(exact["shape"], serde_json::json!([5, 7]));
    assert_eq!(bytes_of(&place, "y.npy").len(), 4 * 35);
    let cut = place.json(&["gemm", "a.npz", "b.npz", "--accumulate", "truncated<13,32>"]);
    assert!(cut["different"].as_u64().unwrap() > 0);
    for format in ["csv", "toml", "json", "c", "memh"] {
        let name = format!("v.{format}");
        place.stdout(&["vectors", "export", "--as", "mxfp4", "--format", format, "--out", &name]);
        let written = fs::read_to_string(place.path(&name)).unwrap();
        assert_eq!(
            written.trim_end(),
            place.stdout(&["vectors", "export", "--as", "mxfp4", "--format", format]).trim_end()
        );
    }
    // QPyTorch's quirks: ties away from zero, a second rounding below the least normal number.
    save(&place, "q.npy", &[4], &[1.125, -1.125, f32::from_bits(109 << 23 | 0x7f_fff8), -0.0]);
    place.stdout(&["quantize", "q.npy", "--as", "qtorch<5,2>", "--out", "o.npy"]);
    let values: Vec<f32> =
        bytes_of(&place, "o.npy").chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    assert_eq!(values[..3], [1.25, -1.25, 2f32.powi(-16)]);
    assert_eq!(values[3].to_bits(), 0);
}
