//! The cases about why training with quantized weights stops where it stops: Li 2017, by `intrain-lab`.

use intrain_golden as golden;
use intrain_golden::Op;
use intrain_lab::{chain, convex, toy};

use super::Differences;

/// Whether there is such an operation; differences go to `found`.
pub(super) fn run(op: &Op, found: &mut Differences) -> bool {
    match op {
        Op::MarkovChain(c) => {
            found.same_texts("stationary", &chain::stationary(&c.transitions), &c.stationary);
            let lazy = chain::lazy(&c.transitions);
            found.same_texts("stationary, resting", &chain::stationary(&lazy), &c.stationary);
        }
        Op::ToyChain(c) => toy_chain(c, found),
        Op::ConvexBounds(c) => {
            let at =
                |bound: &dyn Fn(f64) -> f64| c.deltas.iter().map(|&delta| bound(delta)).collect::<Vec<_>>();
            let stochastic = at(&|delta| convex::bound_sr(c.t, c.mu, c.g, c.d, delta));
            let binary_connect =
                at(&|delta| convex::bound_bc_curved(c.t, c.mu, c.g, c.diameter, c.l2, c.d, delta));
            found.same_texts("stochastic", &stochastic, &c.stochastic);
            found.same_texts("binary_connect", &binary_connect, &c.binary_connect);
        }
        _ => return false,
    }
    true
}

fn toy_chain(c: &golden::ToyChain, found: &mut Differences) {
    /// The states on both sides of the lowest place.
    const BEST: [f64; 2] = [4.5, 5.0];
    let limit = chain::limit(c.noise);
    found.same_texts("limit", &limit, &c.limit);
    let (mut gaps, mut distances, mut at_best) = (vec![], vec![], vec![]);
    for &rate in &c.rates {
        let chain = chain::transitions(rate, c.noise);
        let stationary = chain::stationary(&chain);
        gaps.push(chain::spectral_gap(&chain));
        distances.push(chain::total_variation(&stationary, &limit));
        let best = stationary.iter().enumerate().filter(|(i, _)| BEST.contains(&toy::state(*i)));
        at_best.push(best.map(|(_, p)| p).sum());
    }
    found.same_texts("gaps", &gaps, &c.gaps);
    found.same_texts("distances", &distances, &c.distances);
    found.same_texts("at_best", &at_best, &c.at_best);
}
