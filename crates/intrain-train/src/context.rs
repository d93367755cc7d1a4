//! With what a session computes where nobody says otherwise.

use std::sync::Arc;

use intrain_kernels::Isa;
use intrain_nn::Context;
use rayon::ThreadPoolBuilder;

use crate::TrainError;

/// The best kernels that this CPU has, on so many threads; 0 is one for each CPU.
///
/// # Errors
/// The system gives no threads.
pub fn this_machine(threads: usize) -> Result<Context, TrainError> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool =
        pool.map_err(|e| TrainError::Setting(format!("{threads} threads: {e}; ask for fewer, at least 1")))?;
    Ok(Context { isa: Isa::best(), threads: Arc::new(pool), machine: None })
}
