//! Sweeps over recipes and over arrays: each run and each machine once, in whichever order they are asked for.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::{Place, text};

#[test]
fn a_sweep_runs_each_run_once_and_goes_on() {
    let place = Place::new();
    let file = place.path("few.toml");
    let write = |recipes: &str, settings: &str| {
        let text = format!("recipes = [{recipes}]\nseeds = [1, 2]\n[settings]\nepochs = 1\n{settings}\n");
        std::fs::write(&file, text).unwrap();
    };
    write("\"wage\"", "max_steps = 9");
    let table = place.stdout(&["sweep", "few.toml"]);
    assert!(table.contains("| digits | digits-cnn | wage | 2 |"), "{table}");
    let finished = || std::fs::read_to_string(place.path("runs/sweep-few/runs.csv")).unwrap();
    let first = finished();
    assert_eq!(first.lines().count(), 3);
    // Another recipe joins; what is finished stays as it is.
    write("\"wage\", \"gupta\"", "max_steps = 9");
    assert!(place.stdout(&["sweep", "few.toml"]).contains("| gupta | 2 |"));
    assert!(finished().starts_with(&first) && finished().lines().count() == 5);
    assert!(std::fs::read_to_string(place.path("runs/sweep-few/page.html")).unwrap().contains("<svg"));

    let rows = std::fs::read_to_string(place.path("runs/sweep-few/table.csv")).unwrap();
    assert!(rows.contains("\"digits\",\"digits-cnn\",\"gupta\",2,"), "{rows}");
    // As an older version wrote the runs down.
    let older = finished().replace("\"digits\",\"digits-cnn\"", "\"\",\"\"");
    assert_ne!(older, finished());
    std::fs::write(place.path("runs/sweep-few/runs.csv"), older).unwrap();
    let output = place.run(&["sweep", "few.toml"]);
    assert!(!text(&output.stderr).contains("run 1 of 4"), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("| digits | digits-cnn | gupta | 2 |"), "{}", text(&output.stdout));

    write("\"wage\"", "max_steps = 8");
    assert!(place.refusal(&["sweep", "few.toml"]).contains("says now: max_steps was 9 and is 8 now"));
    write("\"wage\"", "seed = 1");
    assert!(place.refusal(&["sweep", "few.toml"]).contains("settings.seed clashes with the list 'seeds'"));
    write("\"wage\", \"wag\"", "max_steps = 9");
    assert!(place.refusal(&["sweep", "few.toml"]).contains("no recipe is named 'wag'"));
    assert_eq!(finished().lines().count(), 5);
}

#[test]
fn finished_runs_that_would_be_others_now_are_refused() {
    let place = Place::new();
    let recipe = place.stdout(&["recipe", "show", "wage", "--toml"]);
    std::fs::write(place.path("mine.toml"), &recipe).unwrap();
    let mut table = String::from("x,class\n");
    (0..40).for_each(|i| table.push_str(&format!("{i},{}\n", i / 20)));
    std::fs::write(place.path("a.csv"), &table).unwrap();
    let text =
        "recipes = ['mine.toml']\ndata = ['csv:a.csv,label=class']\n[settings]\nepochs = 1\nbatch_size = 4\n";
    std::fs::write(place.path("own.toml"), format!("seeds = [1]\n{text}")).unwrap();
    place.stdout(&["sweep", "own.toml"]);
    place.stdout(&["sweep", "own.toml"]);
    // Another row of the recipe.
    let other = recipe.replacen("unit<8>", "unit<6>", 1);
    assert_ne!(other, recipe);
    std::fs::write(place.path("mine.toml"), &other).unwrap();
    std::fs::write(place.path("own.toml"), format!("seeds = [1, 2]\n{text}")).unwrap();
    let message = place.refusal(&["sweep", "own.toml"]);
    let expected = "this run is finished, and the sweep's file would train another now: recipe.roles.";
    assert!(message.contains(expected) && message.contains("unit<6>"), "{message}");
    // Its name alone is no other run.
    let named = recipe.replacen("= \"wage\"", "= \"my wage\"", 1);
    assert_ne!(named, recipe);
    std::fs::write(place.path("mine.toml"), named).unwrap();
    place.stdout(&["sweep", "own.toml"]);
    // Other rows of data.
    std::fs::write(place.path("a.csv"), table.replace("\n20,1", "\n31,1")).unwrap();
    let message = place.refusal(&["sweep", "own.toml"]);
    assert!(message.contains("'csv:a.csv,label=class' holds other images now"), "{message}");
}

#[test]
fn arrays_are_swept() {
    let place = Place::new();
    let file = |text: &str| std::fs::write(place.path("arrays.toml"), text).unwrap();
    let text = "n = [2, 3]\nword = [12]\nrandom_bits = [0, 3]\nseeds = [1]\nmodel = \"digits-cnn\"\ndata = \"digits\"\n\
                [settings]\nmax_steps = 3\n";
    for (from, to, part) in [
        ("n = [2, 3]", "n = [0]", "the machine n0-word12-random0: n = 0 is not in 1..=64"),
        ("n = [2, 3]", "n = [2, 29]", "n = 29 needs 841 DSP48E1"),
        ("word = [12]", "word = [3]", "integer_bits.outputs = 6"),
        ("random_bits = [0, 3]", "random_bits = [17]", "more than the LFSR's 16 bits"),
    ] {
        file(&text.replace(from, to));
        let refusal = place.refusal(&["accel", "sweep", "arrays.toml", "--out", "wrong"]);
        assert!(refusal.contains(part), "{refusal}");
        assert!(!place.path("wrong").exists(), "{part}");
    }
    file(text);
    // In place of Yosys: the same small design for each machine, and a note of each call.
    let yosys = r#"#!/bin/sh
pwd >> ../../../../calls
echo '{"modules":{"intrain_accel":{"num_cells_by_type":{"systolic_array":1,"sr_round":2,"LUT2":1}},
  "systolic_array":{"num_cells_by_type":{"LUT3":40,"FDRE":9,"DSP48E1":4}},
  "sr_round":{"num_cells_by_type":{"LUT6":5,"RAMB18E1":3}}}}' > area.json
"#;
    std::fs::write(place.path("yosys"), yosys).unwrap();
    std::fs::set_permissions(place.path("yosys"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path("yosys").display().to_string();
    let args = ["accel", "sweep", "arrays.toml", "--yosys", &program];
    let calls = || std::fs::read_to_string(place.path("calls")).unwrap().lines().count();
    let table = place.stdout(&args);
    assert!(table.contains("| 3 | 12 | 3 | 4 | 51 | 9 | 3 | 10 (20.0 %) | 1 |"), "{table}");
    assert!(table.contains("| 2 | 12 | nearest | 4 | 51 |"), "{table}");
    assert_eq!(calls(), 4);
    // Arrays that round to the nearest share their run.
    let runs = std::fs::read_to_string(place.path("runs/sweep-arrays/runs.csv")).unwrap();
    assert_eq!(runs.lines().count(), 1 + 3);
    for file in ["machines.csv", "machines.md", "machines.svg"] {
        assert!(place.path("runs/sweep-arrays").join(file).exists(), "{file}");
    }
    assert_eq!(place.stdout(&args), table);
    assert_eq!(std::fs::read_to_string(place.path("runs/sweep-arrays/runs.csv")).unwrap(), runs);
    assert_eq!(calls(), 4);
    // A count belongs to the hardware that was counted.
    let unit = place.path("runs/sweep-arrays/hardware/n2-word12-random3/pe.sv");
    std::fs::write(unit, "// of another release\n").unwrap();
    assert_eq!(place.stdout(&args), table);
    assert_eq!(calls(), 5);
    // Seeds that the file has no more stay in the folder, and out of the table.
    file(&text.replace("seeds = [1]", "seeds = [1, 2]"));
    assert!(place.stdout(&args).contains("| 3 | 12 | 3 | 4 | 51 | 9 | 3 | 10 (20.0 %) | 2 |"));
    file(text);
    assert_eq!(place.stdout(&args), table);
}

/// A sweep of one long run in the folder `o`, once that run has ended its first epoch.
fn begun(place: &Place) -> Child {
    let text = "recipes = [\"wage\"]\n[settings]\nepochs = 3000\n";
    std::fs::write(place.path("long.toml"), text).unwrap();
    let mut command = place.command(&["sweep", "long.toml", "--out", "o"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while !place.path("o/runs/wage-1/checkpoints/last.ckpt").exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "no epoch has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// Sends a signal to a process, and waits for its end.
fn ended(child: Child, signal: &str) -> Output {
    let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    child.wait_with_output().unwrap()
}

/// A sweep that cannot start leaves nothing that would stand in the way of the next one.
#[test]
fn a_refused_sweep_leaves_no_folder() {
    let place = Place::new();
    std::fs::write(place.path("s.toml"), "recipes = [\"no.toml\"]\n[settings]\nepochs = 1\n").unwrap();
    let message = place.refusal(&["sweep", "s.toml"]);
    assert!(message.contains("no.toml: cannot read"), "{message}");
    assert!(!place.path("runs").exists());
}

#[test]
fn two_sweeps_do_not_share_a_folder() {
    let place = Place::new();
    let child = begun(&place);
    let message = place.refusal(&["sweep", "long.toml", "--out", "o"]);
    assert!(message.contains("o: another process trains in this folder; wait for its end"), "{message}");
    assert!(place.path("o/runs/wage-1/checkpoints/last.ckpt").exists());
    let output = ended(child, "-INT");
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("the same command goes on from here"));
}

#[test]
fn what_a_killed_process_left_goes_when_a_run_or_a_sweep_goes_on() {
    let place = Place::new();
    let file = "recipes = [\"wage\"]\n[settings]\nmax_steps = 3\n";
    std::fs::write(place.path("s.toml"), file).unwrap();
    place.stdout(&["train", "--out", "run", "--max-steps", "3"]);
    place.stdout(&["sweep", "s.toml", "--out", "o"]);
    let left = [
        "run/config.toml.tmp-12",
        "run/model.safetensors.tmp-12",
        "run/checkpoints/last.ckpt.tmp-4194303",
        "o/runs.csv.tmp-12",
        "o/page.html.tmp-12",
    ];
    let mine = ["run/notes.tmp-12", "run/config.toml.tmp-mine", "o/notes.tmp-12", "o/runs.csv.tmp-12.bak"];
    left.iter().chain(&mine).for_each(|name| std::fs::write(place.path(name), "part").unwrap());
    place.stdout(&["train", "--resume", "run", "--max-steps", "4"]);
    place.stdout(&["sweep", "s.toml", "--out", "o"]);
    for name in left {
        assert!(!place.path(name).exists(), "{name}");
    }
    for name in mine {
        assert!(place.path(name).exists(), "{name}");
    }
}

#[test]
fn a_sweep_goes_on_from_the_best_checkpoint_where_the_last_is_missing() {
    let place = Place::new();
    ended(begun(&place), "-TERM");
    let run = |name: &str| place.path("o/runs/wage-1").join(name);
    let first = || {
        let metrics = std::fs::read_to_string(run("metrics.csv")).unwrap();
        metrics.lines().nth(1).unwrap().to_owned()
    };
    let before = first();
    std::fs::remove_file(run("checkpoints/last.ckpt")).unwrap();
    for name in ["notes.txt", "checkpoints/notes.txt"] {
        std::fs::write(run(name), "mine").unwrap();
    }
    ended(begun(&place), "-TERM");
    // With its speed and its seconds: the run has not begun anew.
    assert_eq!(first(), before);
    for name in ["notes.txt", "checkpoints/notes.txt"] {
        assert_eq!(std::fs::read_to_string(run(name)).unwrap(), "mine");
    }
}

#[test]
fn a_sweep_removes_nothing_from_a_run_that_cannot_go_on() {
    let place = Place::new();
    let file = "recipes = [\"wage\"]\n[settings]\nmax_steps = 3\n";
    std::fs::write(place.path("s.toml"), file).unwrap();
    let args = ["sweep", "s.toml", "--out", "o"];
    place.stdout(&args);
    let rows = || std::fs::read_to_string(place.path("o/runs.csv")).unwrap();
    let before = rows();
    let forget = || {
        std::fs::remove_file(place.path("o/runs.csv")).unwrap();
        for name in ["last", "best"] {
            let _ = std::fs::remove_file(place.path(&format!("o/runs/wage-1/checkpoints/{name}.ckpt")));
        }
    };
    // What the program made alone: the run begins anew, to the same weights.
    forget();
    place.stdout(&args);
    assert_eq!(rows(), before);
    forget();
    std::fs::write(place.path("o/runs/wage-1/notes.txt"), "mine").unwrap();
    let message = place.refusal(&args);
    let part = "o/runs/wage-1: there is no checkpoint in this folder to go on from, and o/runs/wage-1/notes.txt is not";
    assert!(message.contains(part) && message.contains("move the folder away"), "{message}");
    assert_eq!(std::fs::read_to_string(place.path("o/runs/wage-1/notes.txt")).unwrap(), "mine");
}

#[test]
fn arrays_are_swept_without_yosys_for_their_test_errors() {
    let place = Place::new();
    let file = "n = [2, 3]\nword = [12]\nrandom_bits = [0]\nseeds = [1]\nmodel = \"digits-cnn\"\ndata = \"digits\"\n\
                [settings]\nmax_steps = 20\n";
    std::fs::write(place.path("arrays.toml"), file).unwrap();
    let args = ["accel", "sweep", "arrays.toml", "--out", "o"];
    // No program is found there.
    let run = |args: &[&str]| place.command(args).env("PATH", place.path("nowhere")).output().unwrap();
    let output = run(&args);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(table.contains("| 3 | 12 | nearest | - | - | - | - | - | 1 | "), "{table}");
    let last = table.trim_end().lines().last().unwrap();
    assert!(
        last.starts_with("area     not checked for 2 of 2 machines: Yosys is missing; install it"),
        "{table}"
    );
    let rows = std::fs::read_to_string(place.path("o/machines.csv")).unwrap();
    assert!(rows.contains("\n2,12,0,,,,,,,1,0."), "{rows}");
    assert!(!place.path("o/machines.svg").exists() && !table.contains("picture"), "{table}");
    let object: serde_json::Value =
        serde_json::from_slice(&run(&[&args[..], &["--json"]].concat()).stdout).unwrap();
    assert_eq!((&object["machines"], &object["areas"]), (&2.into(), &0.into()));
    assert!(object["picture"].is_null());
    // Who names one means it.
    let output = run(&[&args[..], &["--yosys", "./yosys"]].concat());
    assert_ne!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("./yosys: cannot start"), "{}", text(&output.stderr));
}
