//! What a command writes replaces nothing that the program did not make, and no input.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{Place, f64s, npy};

const SWEEP: &str = "recipes = [\"wage\"]\n[settings]\nmax_steps = 3\n";
const ARRAYS: &str = "n = [2]\nword = [12]\nrandom_bits = [0]\nseeds = [1]\nmodel = \"digits-cnn\"\ndata = \"digits\"\n\
                      [settings]\nmax_steps = 3\n";
/// In place of Yosys: the same small design for each machine.
const YOSYS: &str = r#"#!/bin/sh
echo '{"modules":{"intrain_accel":{"num_cells_by_type":{"systolic_array":1,"sr_round":2,"LUT2":1}},
  "systolic_array":{"num_cells_by_type":{"LUT3":40,"FDRE":9,"DSP48E1":4}},
  "sr_round":{"num_cells_by_type":{"LUT6":5,"RAMB18E1":3}}}}' > area.json
"#;

/// Every command that writes into a folder, each with files that it would write there.
const COMMANDS: [(&[&str], &[&str]); 7] = [
    (&["sweep", "s.toml"], &["table.csv", "table.md", "page.html", "runs.csv", ".intrain"]),
    (
        &["accel", "sweep", "arrays.toml", "--yosys", "yosys"],
        &[
            "machines.csv",
            "machines.md",
            "machines.svg",
            "areas.csv",
            "recipes/word12-nearest.toml",
            "hardware/n2-word12-random0/pe.sv",
            "hardware/n2-word12-random0/notes.txt",
        ],
    ),
    (&["lab", "toy", "--steps", "1000"], &["toy.csv", "toy.svg", ".intrain"]),
    (&["accel", "sim", "--n", "2"], &["COMPUTE_REPORT.csv", "accel.csv", "machine.toml", "roofline.svg"]),
    (&["accel", "sim", "--n", "2", "--max-steps", "1"], &["accel/accel.csv", ".lock"]),
    (&["accel", "rtl", "--n", "2"], &["pe.sv", "intrain_accel.h", "vectors/operands.hex"]),
    (
        &["accel", "report", "--n", "2", "--yosys", "yosys"],
        &["report.md", "stochastic/area.ys", "nearest/pe.sv"],
    ),
];

fn place() -> Place {
    let place = Place::new();
    for (name, text) in [("s.toml", SWEEP), ("arrays.toml", ARRAYS), ("yosys", YOSYS)] {
        fs::write(place.path(name), text).unwrap();
    }
    fs::set_permissions(place.path("yosys"), fs::Permissions::from_mode(0o755)).unwrap();
    place
}

/// The command with its Yosys by its whole path, and an `--out`.
fn with_out(place: &Place, command: &[&str], out: &str) -> Vec<String> {
    let whole = |arg: &&str| match *arg {
        "yosys" => place.path("yosys").display().to_string(),
        arg => arg.to_owned(),
    };
    command.iter().chain(&["--out", out]).map(whole).collect()
}

fn run(place: &Place, args: &[String]) -> String {
    place.stdout(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn files_of_others_are_not_replaced() {
    let place = place();
    let train: (&[&str], &[&str]) = (&["train", "--max-steps", "1"], &[".lock", "config.toml"]);
    for (command, names) in COMMANDS.into_iter().chain([train]) {
        for name in names {
            let file = place.path("o").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "mine\n").unwrap();
            let args = with_out(&place, command, "o");
            let message = place.refusal(&args.iter().map(String::as_str).collect::<Vec<_>>());
            assert!(message.contains("choose another folder with --out"), "{args:?}: {message}");
            // A file in a folder that is the program's as a whole stands for that folder.
            let folder = name.rsplit_once('/').map_or(*name, |(folder, _)| folder);
            let shown = [*name, folder].iter().any(|name| message.contains(&format!("o/{name}")));
            assert!(shown, "{args:?}: {message}");
            assert_eq!(fs::read_to_string(&file).unwrap(), "mine\n", "{args:?}");
            // Refused before anything is computed or written.
            let first = name.split('/').next().unwrap();
            let found: Vec<_> =
                fs::read_dir(place.path("o")).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(found, [first], "{args:?}");
            fs::remove_dir_all(place.path("o")).unwrap();
        }
    }
}

#[test]
fn what_the_program_made_is_made_again() {
    for (i, (command, names)) in COMMANDS.into_iter().enumerate() {
        let place = place();
        // Empty folders are as good as none, and files of other names are left alone.
        fs::create_dir(place.path("o")).unwrap();
        fs::write(place.path("o/notes.txt"), "mine").unwrap();
        let args = with_out(&place, command, "o");
        run(&place, &args);
        // A run is begun once; the tables beside it could be made again.
        if command.contains(&"--max-steps") {
            continue;
        }
        let made = || -> Vec<Vec<u8>> {
            let names = names.iter().filter(|name| !name.ends_with("notes.txt"));
            names.map(|name| fs::read(place.path("o").join(name)).unwrap()).collect()
        };
        let first = made();
        run(&place, &args);
        assert_eq!(made(), first, "{i}: {args:?}");
        // As an older version left it, without a list.
        fs::remove_file(place.path("o/.intrain")).unwrap();
        run(&place, &args);
        assert_eq!(made(), first, "{i}: {args:?}");
        assert_eq!(fs::read_to_string(place.path("o/notes.txt")).unwrap(), "mine");
    }
}

#[test]
fn an_input_is_not_replaced() {
    let place = place();
    place.stdout(&["accel", "sim", "--n", "2", "--out", "o"]);
    let before = fs::read(place.path("o/machine.toml")).unwrap();
    let message = place.refusal(&["accel", "sim", "--config", "./o/machine.toml", "--n", "3", "--out", "o"]);
    assert!(
        message.contains("./o/machine.toml: the command reads this file and would replace it"),
        "{message}"
    );
    assert_eq!(fs::read(place.path("o/machine.toml")).unwrap(), before);
    let message = place.refusal(&["sweep", "s.toml", "--out", "s.toml"]);
    assert!(message.contains("s.toml: this is a file; name a folder with --out"), "{message}");
}

#[test]
fn quantize_replaces_neither_its_input_nor_other_files() {
    let place = Place::new();
    npy(&place.path("x.npy"), "<f8", "False", "(2,)", &f64s(&[0.5, 0.3]));
    std::os::unix::fs::symlink("x.npy", place.path("link.npy")).unwrap();
    fs::write(place.path("notes.txt"), "mine").unwrap();
    fs::write(place.path("empty.npy"), "").unwrap();
    let before = fs::read(place.path("x.npy")).unwrap();
    let quantize = |more: &[&'static str]| [&["quantize", "x.npy", "--as", "Q4.12"], more].concat();
    for (more, part) in [
        (&["--out", "x.npy"][..], "--out x.npy: this is the input"),
        (&["--out", "./x.npy"], "--out ./x.npy: this is the input"),
        (&["--payload", "link.npy"], "--payload link.npy: this is the input"),
        (
            &["--out", "y.npy", "--payload", "./y.npy"],
            "--out y.npy and --payload ./y.npy are one file; name two",
        ),
        (&["--out", "notes.txt"], "--out notes.txt: this file is there already and is no NPY array"),
    ] {
        let message = place.refusal(&quantize(more));
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(fs::read(place.path("x.npy")).unwrap(), before);
    assert_eq!(fs::read_to_string(place.path("notes.txt")).unwrap(), "mine");
    assert!(!place.path("y.npy").exists());
    // An array is replaced, as before; what is no file is written to.
    place.stdout(&quantize(&["--out", "empty.npy", "--payload", "p.npy"]));
    place.stdout(&quantize(&["--out", "empty.npy", "--payload", "p.npy"]));
    place.stdout(&quantize(&["--out", "/dev/null", "--payload", "/dev/null"]));
}
