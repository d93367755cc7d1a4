//! A training step takes no memory after the first steps, with any number of threads: chains and graphs, integers and floats.
//!
//! The counter is the whole process's, so this file holds one test. Only the reference kernels are left out: the
//! plainest loops take memory as they go.

use std::alloc::System;
use std::sync::Arc;

use intrain_data::Batch;
use intrain_kernels::Isa;
use intrain_nn::{Context, Plan};
use intrain_train::Trainer;
use intrain_train::update::Hyper;
use rayon::{ThreadPool, ThreadPoolBuilder};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const WARM_UP: usize = 3;
const COUNTED: usize = 6;

/// Pixels below `end`, of all labels.
fn batch(plan: &Plan, end: usize) -> Batch {
    let n = plan.batch_size;
    let noise = |i: usize| u8::try_from((i * i + i / 7) % end).unwrap();
    Batch {
        images: (0..n * plan.input.shape.len()).map(noise).collect(),
        labels: (0..10).cycle().take(n).collect(),
        ..Batch::default()
    }
}

/// A pool, all of whose threads have begun.
fn pool(n_threads: usize) -> Arc<ThreadPool> {
    let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
    pool.broadcast(|_| ());
    Arc::new(pool)
}

/// Times that memory was asked for in the steps after the first.
fn allocations(plan: &Plan, hyper: Hyper, rate: f64, context: Context) -> usize {
    let threads = Arc::clone(&context.threads);
    let mut trainer = Trainer::new(plan.clone(), hyper, 1, context).unwrap();
    // The first steps see dark images and hardly learn, then codes and weights grow: what needs more bits than in all
    // steps before must find its memory ready.
    let (dark, bright) = (batch(plan, 2), batch(plan, 256));
    threads.install(|| {
        (0..WARM_UP).for_each(|_| _ = trainer.step(&dark, 0.01));
        let region = Region::new(ALLOCATOR);
        (0..COUNTED).for_each(|_| _ = trainer.step(&bright, rate));
        let change = region.change();
        change.allocations + change.reallocations
    })
}

#[test]
fn steps_take_no_memory() {
    // They outlive all steps: a thread that ends may ask for memory meanwhile.
    let pools = [1, 2, 5].map(pool);
    let plain = Hyper { method: intrain_train::update::Method::Sgd, momentum: 0.0, weight_decay: 0.0 };
    let with_terms = Hyper { method: intrain_train::update::Method::Sgd, momentum: 0.9, weight_decay: 5e-4 };
    for (model, recipe, batch_size, hyper, rate) in [
        ("digits-cnn", "wage", 64, plain, 8.0),
        ("lenet5", "wage", 20, plain, 8.0),
        ("mlp", "gupta:Q2.14", 50, plain, 64.0),
        ("gupta-cnn", "gupta:Q2.14", 20, with_terms, 64.0),
        ("lenet5", "niti", 20, plain, 1.0),
        ("resnet20:4", "intrain-int8", 8, with_terms, 0.01),
        ("resnet20:4", "wageubn", 8, with_terms, 0.01),
        ("vgg7-norm:8", "wage-l1bn", 8, plain, 8.0),
        ("vgg7-norm:8", "wage-rangebn", 8, plain, 8.0),
        ("lenet5", "float32", 20, with_terms, 0.01),
        ("resnet20:4", "float32", 8, with_terms, 0.01),
        ("resnet20:4", "hwgq", 8, with_terms, 0.01),
        ("vgg-small:32", "hwgq", 8, with_terms, 0.01),
        ("resnet20:4", "li-bc", 8, with_terms, 0.01),
        ("digits-cnn", "li-ef", 20, with_terms, 0.01),
        ("resnet20:4", "niti", 8, plain, 1.0),
        ("resnet20:4", "gupta:Q2.14", 8, with_terms, 0.01),
        ("mlp-norm", "intrain-int8", 20, with_terms, 0.01),
        ("ds-cnn", "intrain-int8", 8, with_terms, 0.01),
        ("ds-cnn", "gupta:Q2.14", 8, with_terms, 0.01),
        ("mobilenet:1", "intrain-int8", 4, with_terms, 0.01),
        ("mobilenet:1", "float32", 4, with_terms, 0.01),
        ("mlp-norm", "float32", 20, with_terms, 0.01),
    ] {
        let (model_of, recipe_of) = (intrain_model::preset(model), intrain_recipe::preset(recipe));
        let plan = Plan::build(&model_of.unwrap(), &recipe_of.unwrap(), batch_size).unwrap();
        for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::Reference) {
            for threads in &pools {
                let n = allocations(
                    &plan,
                    hyper,
                    rate,
                    Context { isa, threads: Arc::clone(threads), machine: None },
                );
                let n_threads = threads.current_num_threads();
                assert_eq!(n, 0, "{model} {recipe}, {}, {n_threads} threads", isa.name());
            }
        }
    }
}
