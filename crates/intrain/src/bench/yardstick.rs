//! The most that this machine can do: its multiply-adds on all threads, and its copy between two buffers in memory.

use std::sync::Arc;

use intrain_kernels::Isa;
use intrain_kernels::peak::{self, Operands};
use intrain_nn::{Arithmetic, Context};
use rayon::prelude::*;

use super::{Run, Task, Unit};

/// What a work is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Yardstick {
    /// Multiply-adds of bytes.
    Int8,
    /// Multiply-adds of 16-bit words.
    Int16,
    /// Multiply-adds of binary32.
    Float32,
    /// A copy that reads and writes so many bytes together.
    Copy {
        /// Half of them read, half written.
        bytes: usize,
    },
}

/// Calls of the peak's loop in a run for each thread: as products do, a thread that is held up leaves some to others.
const CALLS: usize = 64;
/// Rounds of a call: a fraction of a millisecond with vectors.
const ROUNDS: u32 = peak::ROUNDS_MAX / 8;
/// Bytes that a thread copies at a time.
const CHUNK: usize = 1 << 17;

impl Yardstick {
    /// What carries a network, as a yardstick.
    pub(super) const fn of(arithmetic: Arithmetic) -> Self {
        match arithmetic {
            Arithmetic::Int8 => Self::Int8,
            Arithmetic::Int16 => Self::Int16,
            Arithmetic::Float32 => Self::Float32,
        }
    }

    /// As in the report.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Int8 => "peak int8".to_owned(),
            Self::Int16 => "peak int16".to_owned(),
            Self::Float32 => "peak float32".to_owned(),
            Self::Copy { bytes } => format!("copy of {} MiB", (bytes / 2) >> 20),
        }
    }

    /// What it counts.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::Int8 | Self::Int16 | Self::Float32 => Unit::Operations,
            Self::Copy { .. } => Unit::Bytes,
        }
    }

    pub(super) fn task(self, context: &Context) -> Task {
        let (amount, run) = match self {
            Self::Int8 => multiply_adds(context, context.isa, Operands::Bytes),
            Self::Int16 => multiply_adds(context, context.isa, Operands::Int16),
            Self::Float32 => multiply_adds(context, Isa::best(), Operands::Floats),
            Self::Copy { bytes } => copy(context, bytes),
        };
        Task { amount, unit: self.unit(), effort: amount, yardstick: None, run }
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn multiply_adds(context: &Context, isa: Isa, operands: Operands) -> (f64, Run) {
    let threads = Arc::clone(&context.threads);
    let calls = threads.current_num_threads() * CALLS;
    let wanted = (calls as u64) * u64::from(ROUNDS) * peak::ROUND;
    let run = move || {
        let count = |_| peak::run(isa, operands, ROUNDS);
        let counted: u64 = threads.install(|| (0..calls).into_par_iter().map(count).sum());
        assert_eq!(counted, wanted, "the peak's loop has not done all of its work");
    };
    (2.0 * wanted as f64, Box::new(run))
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn copy(context: &Context, bytes: usize) -> (f64, Run) {
    let threads = Arc::clone(&context.threads);
    let (from, mut to) = (vec![1_u8; bytes / 2], vec![0_u8; bytes / 2]);
    let run = move || {
        threads.install(|| {
            let chunks = to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK));
            chunks.for_each(|(to, from)| to.copy_from_slice(from));
        });
    };
    (bytes as f64, Box::new(run))
}
