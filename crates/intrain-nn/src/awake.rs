//! Threads that stay awake while a step runs.
//!
//! A step is tens of short parallel regions with a little serial work between them. A worker of rayon that finds nothing to do
//! falls asleep within microseconds, and waking it takes longer than most regions of a small network. So while a step runs, the
//! other workers look for work without pause, as threads of OpenMP do. Nothing is allocated, and no result depends on it.

use std::cell::Cell;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rayon::Yield;

/// Fruitless looks, some microseconds in all, after which a thread lets other programs run between two looks.
const PATIENCE: u32 = 1 << 7;

thread_local! {
    /// Whether this thread runs a step or looks for work of one.
    static IS_BUSY: Cell<bool> = const { Cell::new(false) };
}

/// A step that is running.
struct Watch {
    n_others: usize,
    /// Threads that have begun to look.
    n_looking: AtomicUsize,
    has_ended: AtomicBool,
}

/// Calls `f` on this thread of a pool, and keeps the others awake until it returns.
pub(crate) fn awake<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    let n_others = rayon::current_num_threads() - 1;
    if n_others == 0 || IS_BUSY.get() {
        return f();
    }
    let watch = Watch { n_others, n_looking: AtomicUsize::new(0), has_ended: AtomicBool::new(false) };
    let _busy = Busy::new();
    with_lookouts(n_others, &watch, f)
}

/// Offers `n` times to look for work, then calls `f`.
fn with_lookouts<R: Send>(n: usize, watch: &Watch, f: impl FnOnce() -> R + Send) -> R {
    if n == 0 {
        let _end = End(watch);
        return f();
    }
    rayon::join(|| with_lookouts(n - 1, watch, f), || watch.look()).0
}

impl Watch {
    /// Looks for work until the step ends. A thread that does so, or that runs a step and came here while it waited, does not.
    fn look(&self) {
        if IS_BUSY.get() {
            return;
        }
        let _busy = Busy::new();
        self.n_looking.fetch_add(1, Ordering::Relaxed);
        let mut n_fruitless = 0;
        while !self.has_ended.load(Ordering::Relaxed) {
            // A thread that took work before all others look would take their offers, too.
            let may_take = self.n_looking.load(Ordering::Relaxed) == self.n_others || n_fruitless >= PATIENCE;
            if may_take && rayon::yield_now() == Some(Yield::Executed) {
                n_fruitless = 0;
            } else if n_fruitless < PATIENCE {
                n_fruitless += 1;
                spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }
}

/// Marks this thread as busy while it lives.
struct Busy;

impl Busy {
    fn new() -> Self {
        IS_BUSY.set(true);
        Self
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        IS_BUSY.set(false);
    }
}

/// Ends a watch when it is dropped: also where a step panics.
struct End<'a>(&'a Watch);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.has_ended.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rayon::ThreadPoolBuilder;
    use rayon::prelude::*;

    use super::awake;

    #[test]
    fn results_pass_whatever_is_nested_and_however_many_threads() {
        for n_threads in [1, 2, 3, 7] {
            let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            for _ in 0..50 {
                let sum: u64 = pool.install(|| awake(|| awake(|| (0..1000_u64).into_par_iter().sum())));
                assert_eq!(sum, 499_500);
            }
        }
    }

    /// Two steps share a pool: each waits for the other's work without an end if a thread could look twice.
    #[test]
    fn two_steps_in_one_pool_end() {
        let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for _ in 0..50 {
            let step = || awake(|| (0..1000_u64).into_par_iter().sum::<u64>());
            assert_eq!(pool.join(step, step), (499_500, 499_500));
        }
    }

    #[test]
    fn a_step_that_panics_lets_the_others_go() {
        let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let step = || pool.install(|| awake(|| panic!("as meant")));
        assert!(catch_unwind(AssertUnwindSafe(step)).is_err());
        assert_eq!(pool.install(|| awake(|| 7)), 7);
    }
}
