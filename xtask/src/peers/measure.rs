//! Where figures come from: `intrain bench`, one Python process that stays, and processes that are started for a figure.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::cargo;

/// Where distributions put tcmalloc. With the allocator of glibc, PyTorch gives large tensors back after each step.
const TCMALLOC: [&str; 6] = [
    "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4",
    "/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4",
    "/usr/lib/aarch64-linux-gnu/libtcmalloc_minimal.so.4",
    "/usr/lib64/libtcmalloc_minimal.so.4",
    "/usr/lib64/libtcmalloc.so.4",
    "/usr/lib/libtcmalloc_minimal.so.4",
];

/// What makes a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A round of a work of `intrain bench`.
    Bench { one_thread: bool },
    /// The most memory that this round holds.
    BenchMemory,
    /// A work of `peers.py`.
    Peer,
    /// The most memory of a process that does nothing else.
    PeerMemory,
    /// From the start to the end of such a process.
    PeerStart,
    /// From the start to the end of `intrain train` on MNIST with one step.
    Train,
}

/// Whose figure it is.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) kind: Kind,
    /// For a reader.
    pub(crate) label: String,
    /// Of the work.
    pub(crate) name: String,
}

/// A measured number, always better where it is less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Figure {
    Ms(f64),
    MiB(f64),
}

impl Figure {
    /// The number alone.
    pub(crate) const fn value(self) -> f64 {
        match self {
            Self::Ms(x) | Self::MiB(x) => x,
        }
    }

    /// Its unit.
    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Ms(_) => "ms",
            Self::MiB(_) => "MiB",
        }
    }
}

/// This machine with both sides on it.
pub(crate) struct Machine {
    root: PathBuf,
    program: PathBuf,
    python: Python,
    server: Server,
    threads: usize,
    /// What was said to be missing already.
    missing: Vec<String>,
}

impl Machine {
    /// Builds Intrain, and starts the process of the peers.
    ///
    /// # Errors
    /// The build fails, or Python has no PyTorch.
    pub(crate) fn start(root: &Path, python: &str) -> Result<Self, String> {
        let tcmalloc = TCMALLOC.iter().map(Path::new).find(|path| path.exists());
        let python =
            Python { program: python.to_owned(), script: root.join("xtask/peers/peers.py"), tcmalloc };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let server = Server::start(&python, threads)?;
        let (root, program) = (root.to_owned(), cargo::release_program(root)?);
        Ok(Self { root, program, python, server, threads, missing: vec![] })
    }

    /// What the figures depend on, for the top of the table.
    pub(crate) fn description(&self, rounds: usize) -> String {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let tcmalloc = if self.python.tcmalloc.is_some() { "with tcmalloc" } else { "without tcmalloc" };
        format!(
            "{} with {} threads on each side; commit {}, {}; PyTorch {} {tcmalloc}; medians of {rounds} rounds.",
            cpu.map_or("a processor without a name", |(_, name)| name),
            self.threads,
            self.says("git", &["describe", "--always", "--dirty"]),
            self.says("rustc", &["--version"]),
            self.server.version,
        )
    }

    fn says(&self, program: &str, args: &[&str]) -> String {
        let output = Command::new(program).args(args).current_dir(&self.root).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| format!("unknown to {program}"))
    }

    /// A figure; none, after a message, where this machine lacks what it needs.
    ///
    /// # Errors
    /// A process that fails.
    pub(crate) fn measure(&mut self, source: &Source) -> Result<Option<Figure>, String> {
        let name = &source.name;
        let threads = self.threads.to_string();
        let figure = match source.kind {
            Kind::Bench { one_thread } => {
                let threads = if one_thread { "1" } else { &threads };
                Ok(Figure::Ms(number(&self.bench(name, threads)?["works"][0]["ms"])?))
            }
            Kind::BenchMemory => match &self.bench(name, &threads)?["peak_memory_bytes"] {
                Value::Null => Err("this system does not tell the memory of a process".to_owned()),
                bytes => Ok(Figure::MiB(number(bytes)? / f64::from(1 << 20))),
            },
            Kind::Peer => {
                let answer = self.server.ask(name)?;
                match answer["missing"].as_str() {
                    Some(reason) => Err(reason.to_owned()),
                    None => Ok(Figure::Ms(number(&answer["ms"])?)),
                }
            }
            Kind::PeerMemory => {
                let answer = self.python.once(self.threads, name)?;
                Ok(Figure::MiB(number(&answer["memory_bytes"])? / f64::from(1 << 20)))
            }
            Kind::PeerStart => {
                let began = Instant::now();
                self.python.once(self.threads, name)?;
                Ok(Figure::Ms(1e3 * began.elapsed().as_secs_f64()))
            }
            Kind::Train => self.train(name, &threads)?,
        };
        let reason = match figure {
            Ok(figure) => return Ok(Some(figure)),
            Err(reason) => format!("{} ({name}) is left out: {reason}", source.label),
        };
        if !self.missing.contains(&reason) {
            eprintln!("{reason}");
            self.missing.push(reason);
        }
        Ok(None)
    }

    fn bench(&self, name: &str, threads: &str) -> Result<Value, String> {
        let args = ["bench", name, "--repeat", "1", "--threads", threads, "--json"];
        let output = run(Command::new(&self.program).args(args))?;
        serde_json::from_str(&output).map_err(|error| format!("intrain bench {name}: {error}: '{output}'"))
    }

    /// Time of a whole `intrain train`; the inner error where the data is not there.
    fn train(&self, model: &str, threads: &str) -> Result<Result<Figure, String>, String> {
        let out = cargo::target(&self.root).join("peers-run");
        let args =
            ["train", "--data", "mnist", "--model", model, "--max-steps", "1", "--threads", threads, "--out"];
        let began = Instant::now();
        let done = run(Command::new(&self.program).args(args).arg(&out));
        let time = Figure::Ms(1e3 * began.elapsed().as_secs_f64());
        if out.exists() {
            fs::remove_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
        }
        Ok(done.map(|_| time))
    }
}

fn number(value: &Value) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("expected a number, got {value}"))
}

/// Standard output of a command that succeeds; its standard error is the message of one that fails.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("cannot start: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// An interpreter and what runs in it.
struct Python {
    program: String,
    script: PathBuf,
    tcmalloc: Option<&'static Path>,
}

impl Python {
    fn command(&self, threads: usize) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(&self.script).arg(threads.to_string());
        if let Some(tcmalloc) = self.tcmalloc {
            command.env("LD_PRELOAD", tcmalloc);
        }
        command
    }

    /// The answer of a process that does one work once.
    fn once(&self, threads: usize, name: &str) -> Result<Value, String> {
        let output = run(self.command(threads).arg(name))?;
        serde_json::from_str(&output).map_err(|error| format!("peers.py {name}: {error}: '{output}'"))
    }

    fn lacks(&self, what: &str) -> String {
        format!(
            "{}: {what}; make an environment with `python3 -m venv ENV && ENV/bin/pip install torch ninja qtorch` and \
             pass it with --python ENV/bin/python",
            self.program
        )
    }
}

/// The process that keeps PyTorch loaded.
struct Server {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// Of PyTorch.
    version: String,
}

impl Server {
    fn start(python: &Python, threads: usize) -> Result<Self, String> {
        let child = python.command(threads).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| python.lacks(&format!("cannot start: {error}")))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("peers.py has no pipes".to_owned());
        };
        let mut server = Self { child, to, from: BufReader::new(from), version: String::new() };
        let first = server.answer()?;
        if let Some(reason) = first["missing"].as_str() {
            return Err(python.lacks(reason));
        }
        server.version = first["torch"].as_str().unwrap_or_default().to_owned();
        Ok(server)
    }

    fn ask(&mut self, name: &str) -> Result<Value, String> {
        writeln!(self.to, "{name}").map_err(|error| format!("peers.py {name}: {error}"))?;
        self.answer().map_err(|error| format!("{name}: {error}"))
    }

    fn answer(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        self.from.read_line(&mut line).map_err(|error| format!("peers.py: {error}"))?;
        serde_json::from_str(&line).map_err(|_| format!("peers.py has ended, or answered '{}'", line.trim()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It keeps nothing that could be lost.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
