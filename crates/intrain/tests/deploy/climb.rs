//! Limits that no image at hand reaches: a climb finds images that show them, or the weights prove that there are none.

use intrain_deploy::{Deployed, Limit, Requantize};
use intrain_model::preset;

use super::networks::{Trained, trained};

/// The limit one further or one nearer.
fn moved(deployed: &Deployed, limit: Limit, by: i64) -> Requantize {
    let q = *deployed.rounding(limit.node).unwrap();
    if limit.is_max { Requantize { max: q.max + by, ..q } } else { Requantize { min: q.min - by, ..q } }
}

#[test]
fn a_climb_from_black_shows_the_limits() {
    let (mut n_shown, mut n) = (0, 0);
    for seed in 0..4 {
        let Trained { deployed, .. } = trained(&preset("digits-cnn").unwrap(), "wage", 1, seed);
        let black = vec![0; deployed.image().len()];
        let unseen = deployed.unseen_limits([deployed.show(&black)].iter());
        for limit in unseen {
            let image = deployed.climb(limit, &[&black], 1_000_000_000);
            let image = image.unwrap_or_else(|| panic!("seed {seed}: no image reaches {limit:?}"));
            assert!(
                deployed.unseen_limits([deployed.show(&image)].iter()).iter().all(|other| *other != limit)
            );
            for by in [1, -1] {
                let other = moved(&deployed, limit, by);
                if !deployed.is_equivalent(limit.node, &other) {
                    let answer = deployed.with_rounding(limit.node, other).run(&image);
                    (n_shown, n) = (n_shown + usize::from(answer != deployed.run(&image)), n + 1);
                }
            }
        }
    }
    // With random weights roundings and limits behind it may hide what one limit changes from all that is tried.
    assert!(n > 8 && 2 * n_shown > n, "{n_shown} of {n}");
}

#[test]
fn limits_beyond_all_sums_are_equivalent() {
    let Trained { deployed, .. } = trained(&preset("digits-cnn").unwrap(), "wage", 1, 1);
    let node = deployed.products().map(|(i, _)| i).next().unwrap();
    let q = *deployed.rounding(node).unwrap();
    let largest = deployed.sums(node).unwrap().max;
    let wide = |max: i64| Requantize { max, ..q };
    let reached = q.round.shift_right(largest, q.shift, 0);
    let deployed = deployed.with_rounding(node, wide(reached + 5));
    assert!(deployed.is_equivalent(node, &wide(reached)));
    assert!(!deployed.is_equivalent(node, &wide(reached - 1)));
}
