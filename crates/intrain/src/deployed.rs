//! From a trained network to its deployed form, and the images that show most of it.

use intrain_deploy::{About, DeployError, Deployed, FloatTensor, Shown, StoredLayer, Vectors};
use intrain_nn::{Parameters, Plan, Stored};
use intrain_num::random::{Purpose, Stream};
use intrain_train::saved::{SavedModel, weights_sha256};
use rayon::prelude::*;

/// The deployed form of a network that was saved; `plan` is its plan.
///
/// # Errors
/// The network computes in floats, or its answers depend on the other images of a batch.
pub fn lower(plan: &Plan, saved: &SavedModel) -> Result<Deployed, DeployError> {
    let about = About {
        model: saved.model.name.clone(),
        recipe: saved.recipe.name.clone(),
        weights_sha256: weights_sha256(&saved.parameters),
        classes: saved.classes.clone(),
    };
    Deployed::lower(plan, &stored_layers(saved), about)
}

/// The parameters as floats under the names of PyTorch, of a network that was lowered with `plan`.
#[must_use]
pub fn floats(deployed: &Deployed, plan: &Plan, saved: &SavedModel) -> Vec<FloatTensor> {
    deployed.floats(plan, &stored_layers(saved))
}

fn stored_layers(saved: &SavedModel) -> Vec<StoredLayer> {
    saved.parameters.iter().map(stored).collect()
}

/// What the deployed form reads of a block's parameters.
pub(crate) fn stored(parameters: &Parameters) -> StoredLayer {
    let integers = |stored: &Stored| (0..stored.len()).map(|i| stored.code(i)).collect::<Vec<i64>>();
    StoredLayer {
        weight: integers(&parameters.weight),
        bias: parameters.bias.as_ref().map(integers),
        moments: parameters.moments.as_ref().map(|m| [integers(&m.mean), integers(&m.spread)]),
    }
}

/// Multiply-adds that the search for vectors may take, over all images.
const SEARCH: u64 = 4_000_000_000;
/// Multiply-adds that the search for images beyond unseen limits may take, over all limits.
const CLIMB: u64 = 2_000_000_000;
/// Images that are made for any network: black, white, and noise.
const MADE: usize = 16;
/// Candidates from which the best begins a climb.
const STARTS: usize = 64;

/// At most `n` test vectors, chosen among black, white, noise and `images`, as many of these as may be tried, and images that are found for
/// limits which none of them reaches.
#[must_use]
pub fn vectors(deployed: &Deployed, images: &[u8], n: usize) -> Vectors {
    let size = deployed.image().len();
    let n_tried =
        usize::try_from(SEARCH / deployed.multiply_adds().max(1)).unwrap_or(usize::MAX).clamp(n, 1000);
    let mut candidates = made(size, MADE.min(n));
    candidates.extend(images.chunks_exact(size).take(n_tried.saturating_sub(MADE)).flatten());
    let show = |images: &[u8]| -> Vec<Shown> {
        images.par_chunks_exact(size).map(|image| deployed.show(image)).collect()
    };
    let mut shown = show(&candidates);
    let found = climb(deployed, &shown, &candidates.chunks_exact(size).take(STARTS).collect::<Vec<_>>());
    shown.extend(show(&found));
    candidates.extend(found);
    let candidates: Vec<_> = candidates.chunks_exact(size).zip(shown).collect();
    Vectors::choose(&candidates, n)
}

/// Images beyond the limits that no candidate has shown.
fn climb(deployed: &Deployed, shown: &[Shown], starts: &[&[u8]]) -> Vec<u8> {
    let limits = deployed.unseen_limits(shown.iter());
    let budget = CLIMB / limits.len().max(1) as u64;
    let found: Vec<_> =
        limits.into_par_iter().filter_map(|limit| deployed.climb(limit, starts, budget)).collect();
    found.concat()
}

/// Black, white, and noise of the contract's generator.
fn made(size: usize, n: usize) -> Vec<u8> {
    let mut images = vec![0; size];
    images.extend(std::iter::repeat_n(255, size));
    let stream = Stream::new(0, Purpose::Tool, 0, 0);
    let noise =
        (0..size * n.saturating_sub(2)).map(|i| u8::try_from(stream.below(i as u64, 256)).unwrap_or(u8::MAX));
    images.extend(noise);
    images.truncate(size * n);
    images
}
