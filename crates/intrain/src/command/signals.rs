//! Signals that end a run: the first after its step, with a checkpoint, the second at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::command::output::say;

/// Exit code of a program that a signal ended.
pub(crate) const INTERRUPTED: u8 = 130;

/// Whether someone has asked for the end, from now on.
///
/// # Errors
/// The system refuses a signal handler.
pub(crate) fn watch() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    on_signal(move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
        say("stopping after this step; ask once more to end at once, at the last checkpoint");
    })?;
    Ok(stop)
}

/// Calls `heard` at Ctrl-C, at the signal to terminate, and when the terminal closes; not for signals that whoever started the
/// program had it ignore, as `nohup` does.
#[cfg(unix)]
fn on_signal(mut heard: impl FnMut() + Send + 'static) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    let ignored = ignored();
    let is_heard = |signal: &i32| ignored & (1 << (signal - 1)) == 0;
    let mut signals =
        signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM].into_iter().filter(is_heard))?;
    let listen = move || signals.forever().for_each(|_| heard());
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
    Ok(())
}

#[cfg(not(unix))]
fn on_signal(heard: impl FnMut() + Send + 'static) -> anyhow::Result<()> {
    Ok(ctrlc::set_handler(heard)?)
}

/// The signals that the program was started to ignore, bit `n - 1` for signal `n`. Linux says it in a file; elsewhere none is
/// known.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
