//! `repeat WORK TIMES`: one work of `intrain bench`, a number of times on one thread with the kernels for AVX2.
//!
//! What `cargo xtask instructions` counts the instructions of; it times nothing.

use std::process::ExitCode;
use std::sync::Arc;

use intrain::bench;
use intrain::kernels::Isa;
use intrain::nn::Context;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match repeat(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn repeat(args: &[String]) -> Result<(), String> {
    let [name, times] = args else { return Err("usage: repeat WORK TIMES".to_owned()) };
    let times: u32 = times.parse().map_err(|error| format!("'{times}' is no number of times: {error}"))?;
    if !Isa::Avx2.is_available() {
        return Err("this CPU has no AVX2".to_owned());
    }
    let threads =
        rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|error| error.to_string())?;
    let context = Context { isa: Isa::Avx2, threads: Arc::new(threads), machine: None };
    for work in bench::select(std::slice::from_ref(name)).map_err(|error| error.to_string())? {
        bench::repeat(&work, &context, times).map_err(|error| error.to_string())?;
    }
    Ok(())
}
