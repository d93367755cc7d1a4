//! The threads that work on arrays, one pool for each process: threads do not live on in a forked child.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::IntrainError;

/// Elements up to which the caller works alone: handing work over takes as long.
pub(crate) const FEW: usize = 1 << 14;

/// Threads that were asked for; 0 is one for each CPU.
static THREADS: AtomicUsize = AtomicUsize::new(0);

struct Pool {
    process: u32,
    asked: usize,
    threads: Arc<ThreadPool>,
}

static POOL: Mutex<Option<Pool>> = Mutex::new(None);

/// Sets how many threads work on one array; 0 is one for each CPU that this process may use. No bit depends on it.
#[pyfunction]
#[pyo3(signature = (n, /))]
pub(crate) fn set_threads(n: usize) {
    THREADS.store(n, Ordering::Relaxed);
}

/// How many threads work on one array.
#[pyfunction]
pub(crate) fn threads() -> PyResult<usize> {
    Ok(pool()?.current_num_threads())
}

fn pool() -> PyResult<Arc<ThreadPool>> {
    let (process, asked) = (std::process::id(), THREADS.load(Ordering::Relaxed));
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(there) = pool.as_ref().filter(|pool| pool.process == process && pool.asked == asked) {
        return Ok(Arc::clone(&there.threads));
    }
    let built = ThreadPoolBuilder::new().num_threads(asked).build();
    let refuse = |e| IntrainError::new_err(format!("{asked} threads: {e}; ask for fewer, at least 1"));
    let threads = Arc::new(built.map_err(refuse)?);
    if let Some(before) = pool.replace(Pool { process, asked, threads: Arc::clone(&threads) })
        && before.process != process
    {
        // Its threads stayed in the parent; nobody would answer to its end.
        std::mem::forget(before);
    }
    Ok(threads)
}

/// `work` on an array of `n` elements: by the caller where they are few, else by the pool, with the interpreter's lock released.
///
/// # Errors
/// The system gives no threads.
pub(crate) fn run<R: Send>(py: Python<'_>, n: usize, work: impl FnOnce() -> R + Send) -> PyResult<R> {
    if n <= FEW {
        return Ok(work());
    }
    let pool = pool()?;
    Ok(py.detach(|| pool.install(work)))
}
