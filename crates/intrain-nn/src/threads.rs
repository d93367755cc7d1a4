//! Work over threads: each thread takes the next item as soon as it has done one, with a scratch of its own.
//!
//! Which thread takes which item is up to the moment, so an item's result must depend on the item alone. Nothing is
//! allocated here, however many items there are.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// Calls `f(scratch, item)` once for each item, on as many threads as there are scratches.
pub fn for_each<S, I>(scratches: &mut [S], items: I, f: impl Fn(&mut S, I::Item) + Sync)
where
    S: Send,
    I: Iterator + Send,
{
    max(scratches, items, |scratch, item| {
        f(scratch, item);
        0
    });
}

/// The same, and the largest number that `f` gives, 0 without items: the one place where a maximum over a batch is taken.
pub fn max<S, I>(scratches: &mut [S], items: I, f: impl Fn(&mut S, I::Item) -> u64 + Sync) -> u64
where
    S: Send,
    I: Iterator + Send,
{
    let items = Mutex::new(items);
    let of_thread = |scratch: &mut S| {
        // A lock that a panic left behind is no reason for a second one: the first reaches the caller.
        let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
        let mut largest = 0;
        while let Some(item) = next() {
            largest = largest.max(f(scratch, item));
        }
        largest
    };
    scratches.par_iter_mut().with_max_len(1).map(of_thread).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::for_each;

    #[test]
    fn every_item_is_done_once_whatever_the_number_of_threads() {
        for threads in [1, 2, 5] {
            let (mut scratches, mut out) = (vec![0u32; threads], vec![0u32; 100]);
            for_each(&mut scratches, out.chunks_mut(3).enumerate(), |n_items, (i, out)| {
                *n_items += 1;
                out.iter_mut().for_each(|x| *x += u32::try_from(i).unwrap());
            });
            assert_eq!(scratches.iter().sum::<u32>(), 34);
            assert!(out.iter().zip(0..).all(|(x, i)| *x == i / 3), "{out:?}");
        }
    }
}
