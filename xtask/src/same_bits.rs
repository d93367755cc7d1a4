//! `cargo xtask same-bits`: the promise of one result, proven with the real command on real data.
//!
//! The same run over 1, 2 and 3 threads, with every kernel of this CPU, and killed at moments that nobody chose and
//! resumed, must end with the same weights. Needs MNIST; about a quarter of an hour on two cores.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use crate::cargo;

/// Steps of each run.
const STEPS: &str = "300";
/// Times that a run is killed.
const KILLS: u32 = 10;

/// Runs everything and reports every hash that differs.
///
/// # Errors
/// The runs that differ, or one that failed.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("intrain-same-bits-{}", std::process::id()));
    let proof = Proof { program: cargo::release_program(root)?, folder: folder.clone() };
    let integer = ["--recipe", "wage", "--model", "lenet5", "--data", "mnist"];
    let fixed = ["--recipe", "gupta", "--model", "gupta-cnn", "--data", "mnist"];
    let float = ["--recipe", "float32", "--model", "gupta-cnn", "--data", "mnist"];
    // Norms, residual sums, Adam, and weights of one bit that are rounded stochastically.
    let graph = ["--recipe", "li-sr", "--model", "resnet20:4", "--data", "mnist"];
    // Norms, residual sums and softmax in integers, with momentum and weight decay.
    let residual = ["--recipe", "intrain-int8", "--model", "resnet20:4", "--data", "mnist"];
    let mut different = Vec::new();
    different.extend(proof.compare("wage", &integer, &["reference", "avx2", "avx512vnni"])?);
    different.extend(proof.compare("gupta", &fixed, &["reference", "avx2", "avx512vnni"])?);
    different.extend(proof.compare("int8", &residual, &["reference", "avx2", "avx512vnni"])?);
    different.extend(proof.compare("float32", &float, &["avx2", "avx512vnni"])?);
    // The reference takes its time: the one kernel that every machine has, on the smallest float network.
    let digits = ["--recipe", "hwgq", "--model", "digits-cnn", "--data", "digits"];
    different.extend(proof.compare("hwgq", &digits, &["reference", "avx2", "avx512vnni"])?);
    different.extend(proof.compare("li-sr", &graph, &["avx2", "avx512vnni"])?);
    std::fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    if different.is_empty() { Ok(()) } else { Err(format!("not the same bits:\n{}", different.join("\n"))) }
}

struct Proof {
    program: PathBuf,
    folder: PathBuf,
}

impl Proof {
    /// All variations of one run; gives those whose weights differ from the first one's.
    fn compare(&self, name: &str, run: &[&str], kernels: &[&str]) -> Result<Vec<String>, String> {
        let first = self.train(&format!("{name}-1"), run, &["--threads", "1"])?;
        eprintln!("{name:8} 1 thread          {first}");
        let mut different = Vec::new();
        let mut check = |what: String, hash: String| {
            eprintln!("{name:8} {what:17} {hash}");
            if hash != first {
                different.push(format!("  {name}, {what}: {hash} instead of {first}"));
            }
        };
        for threads in ["2", "3"] {
            let hash = self.train(&format!("{name}-{threads}"), run, &["--threads", threads])?;
            check(format!("{threads} threads"), hash);
        }
        for kernel in kernels {
            match self.train(&format!("{name}-{kernel}"), run, &["--kernel", kernel]) {
                Ok(hash) => check((*kernel).to_owned(), hash),
                // A CPU without the kernel says so; nothing is proven about it here.
                Err(reason) => eprintln!("{name:8} {kernel:17} left out: {}", reason.trim()),
            }
        }
        check(format!("{KILLS} kills"), self.killed(&format!("{name}-killed"), run)?);
        Ok(different)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn arguments<'a>(run: &[&'a str], out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut args =
            vec!["train", "--json", "--max-steps", STEPS, "--set", "checkpoint_every=7", "--out", out];
        args.extend_from_slice(run);
        args.extend_from_slice(more);
        args
    }

    /// Trains and gives the weights' hash.
    fn train(&self, name: &str, run: &[&str], more: &[&str]) -> Result<String, String> {
        let out = self.folder.join(name).display().to_string();
        hash_of(&mut self.command(&Self::arguments(run, &out, more)))
    }

    /// Trains, kills the process again and again without warning, resumes, and gives the hash of the last.
    fn killed(&self, name: &str, run: &[&str]) -> Result<String, String> {
        let out = self.folder.join(name).display().to_string();
        let resume = ["train", "--json", "--resume", &out];
        let mut args = Self::arguments(run, &out, &[]);
        for _ in 0..KILLS {
            let mut child = self.command(&args).spawn().map_err(|error| error.to_string())?;
            let noise = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.subsec_nanos());
            sleep(Duration::from_millis(200 + u64::from(noise % 1_300)));
            // On Unix this is SIGKILL: the process cannot write another byte.
            let _ = child.kill();
            let _ = child.wait();
            if self.folder.join(name).join("config.toml").exists() {
                args = resume.to_vec();
            }
        }
        hash_of(&mut self.command(&args))
    }
}

fn hash_of(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let hash = text.rsplit("\"weights_sha256\":\"").next().and_then(|rest| rest.split('"').next());
    match hash.filter(|hash| output.status.success() && hash.len() == 64) {
        Some(hash) => Ok(hash.to_owned()),
        None => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
