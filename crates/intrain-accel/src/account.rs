//! What a network costs on the machine: cycles, time, bytes and energy of each product, in rows for tables and files.

use std::collections::BTreeMap;
use std::fmt::Write;

use intrain_nn::Plan;
use intrain_nn::plan::ErrorRule;

use crate::cycles::{Cycles, CyclesError, Memory, cycles};
use crate::energy::{self, Energy};
use crate::engine::{Tally, format_of, forward, products};
use crate::lower::Direction;
use crate::machine::Machine;
use crate::order::{Format, Product};

/// A product of a layer, as often as it ran.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The layer.
    pub layer: String,
    /// Which of its products.
    pub direction: Direction,
    /// Its shape.
    pub product: Product,
    /// How often.
    pub times: u64,
    /// Of one run.
    pub cycles: Cycles,
    /// Of one run.
    pub energy: Energy,
}

/// Sums over rows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Total {
    /// Cycles.
    pub cycles: u64,
    /// Cycles in which the array stood still between a product's first and last step.
    pub stalls: u64,
    /// Multiply-accumulates of the products themselves.
    pub macs: u64,
    /// Bytes from and to memory.
    pub bytes: u64,
    /// Picojoules.
    pub energy: Energy,
}

/// The products of one training step of `plan`, each once.
#[must_use]
pub fn of_step(machine: &Machine, plan: &Plan) -> Tally {
    let (mut tally, n) = (Tally::new(), plan.batch_size);
    for (_, placed) in products(plan) {
        let block = plan.blocks[placed.block].dense();
        let (p, format) = (&block.product, |row, digits| format_of(machine, row, digits));
        let mut put = |direction, product| {
            tally.insert((placed.block, direction, product), 1);
        };
        let forward = forward(machine, plan, &placed, n);
        put(Direction::Forward, forward);
        put(Direction::Gradient, Product { l: forward.k, k: forward.l, m: forward.m, format: Format::Exact });
        if placed.error.rule != ErrorRule::None {
            let digits = block.error_operand.frac_bits + block.weight.operand.frac_bits;
            let k = p.window.n_taps() * p.output.c;
            let (l, m) = (n * p.input.h * p.input.w, p.input.c);
            put(Direction::Error, Product { l, k, m, format: format(placed.error.at_input, digits) });
        }
    }
    tally
}

/// The rows of what ran, in the order of the layers.
///
/// # Errors
/// A product that the machine cannot do.
pub fn rows(machine: &Machine, plan: &Plan, tally: &Tally) -> Result<Vec<Row>, CyclesError> {
    let (memory, mut known) = (Memory::of(machine), BTreeMap::new());
    tally
        .iter()
        .map(|((block, direction, product), times)| {
            let cycles = match known.get(product) {
                Some(cycles) => *cycles,
                None => cycles(machine, product, &memory)?,
            };
            known.insert(*product, cycles);
            Ok(Row {
                layer: plan.blocks[*block].name.clone(),
                direction: *direction,
                product: *product,
                times: *times,
                cycles,
                energy: energy::of_product(machine, product, &cycles),
            })
        })
        .collect()
}

/// All rows together.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
pub fn total(machine: &Machine, rows: &[Row]) -> Total {
    rows.iter().fold(Total::default(), |sum, row| Total {
        cycles: sum.cycles + row.times * row.cycles.total,
        stalls: sum.stalls + row.times * row.cycles.stalls(),
        macs: sum.macs + row.times * row.product.macs(),
        bytes: sum.bytes + row.times * row.bytes(machine).iter().sum::<u64>(),
        energy: sum.energy.plus(row.times as f64, &row.energy),
    })
}

impl Row {
    /// Bytes of A, of B and of C from and to memory, in one run.
    #[must_use]
    pub fn bytes(&self, machine: &Machine) -> [u64; 3] {
        let beat = |bits: u32| (machine.n as u64 * u64::from(bits)).div_ceil(8);
        let out_bits = match self.product.format {
            Format::Exact => machine.accumulator,
            Format::Rounded(_) => machine.word,
        };
        [
            self.cycles.a_beats * beat(machine.word),
            self.cycles.b_beats * beat(machine.word),
            self.cycles.c_beats * beat(out_bits),
        ]
    }

    /// As reports name it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.layer, self.direction.name())
    }

    /// Part of the array's nodes that a product's tiles fill.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
    pub fn mapping(&self, machine: &Machine) -> f64 {
        let (n, Product { l, m, .. }) = (machine.n, self.product);
        (l * m) as f64 / (l.next_multiple_of(n) * m.next_multiple_of(n)) as f64
    }

    /// Operations by byte of memory traffic: the roofline's abscissa.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
    pub fn intensity(&self, machine: &Machine) -> f64 {
        2.0 * self.product.macs() as f64 / self.bytes(machine).iter().sum::<u64>().max(1) as f64
    }
}

/// SCALE-Sim's `COMPUTE_REPORT.csv`: its columns in its order.
#[must_use]
pub fn compute_report(machine: &Machine, rows: &[Row]) -> String {
    let mut text = String::from(
        "LayerID, Total Cycles (incl. prefetch), Total Cycles, Stall Cycles, Overall Util %, Mapping Efficiency %, Compute Util %,\n",
    );
    for row in rows {
        let c = &row.cycles;
        let _ = writeln!(
            text,
            "{}, {}, {}, {}, {:.3}, {:.3}, {:.3},",
            row.name(),
            c.total,
            c.array,
            c.stalls(),
            100.0 * c.utilization(machine, &row.product),
            100.0 * row.mapping(machine),
            percent(c.steps, c.array),
        );
    }
    text
}

/// SCALE-Sim's `BANDWIDTH_REPORT.csv`: bytes per cycle of the buffers and of the memory.
#[must_use]
pub fn bandwidth_report(machine: &Machine, rows: &[Row]) -> String {
    let mut text = String::from(
        "LayerID, Avg IFMAP SRAM BW, Avg FILTER SRAM BW, Avg OFMAP SRAM BW, Avg IFMAP DRAM BW, Avg FILTER DRAM BW, Avg OFMAP \
         DRAM BW,\n",
    );
    for row in rows {
        let [a, b, c] = row.bytes(machine);
        let streamed = row.cycles.steps * (machine.n as u64 * u64::from(machine.word)).div_ceil(8);
        let _ = write!(text, "{}", row.name());
        for bytes in [streamed, streamed, c, a, b, c] {
            let _ = write!(text, ", {:.3}", ratio(bytes, row.cycles.total));
        }
        text.push_str(",\n");
    }
    text
}

/// SCALE-Sim's `DETAILED_ACCESS_REPORT.csv`, without its first and last cycles: words of the buffers and of the memory.
#[must_use]
pub fn access_report(machine: &Machine, rows: &[Row]) -> String {
    let mut text = String::from(
        "LayerID, SRAM IFMAP Reads, SRAM Filter Reads, SRAM OFMAP Writes, DRAM IFMAP Reads, DRAM Filter Reads, DRAM OFMAP \
         Writes,\n",
    );
    let n = machine.n as u64;
    for row in rows {
        let Cycles { steps, a_beats, b_beats, c_beats, .. } = row.cycles;
        let words = [steps, steps, c_beats, a_beats, b_beats, c_beats].map(|beats| (beats * n).to_string());
        let _ = writeln!(text, "{}, {},", row.name(), words.join(", "));
    }
    text
}

/// Everything about each row.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
pub fn table(machine: &Machine, rows: &[Row]) -> String {
    let mut text = String::from(
        "layer,direction,l,k,m,times,cycles,array_cycles,wait_load,wait_drain,wait_output,utilization,seconds,bytes_a,bytes_b,\
         bytes_c,arithmetic_pj,rounding_pj,buffers_pj,memory_pj\n",
    );
    for row in rows {
        let (c, e, Product { l, k, m, .. }) = (&row.cycles, &row.energy, row.product);
        let seconds = c.total as f64 / (machine.megahertz * 1e6);
        let [bytes_a, bytes_b, bytes_c] = row.bytes(machine);
        let _ = writeln!(
            text,
            "{},{},{l},{k},{m},{},{},{},{},{},{},{:.4},{seconds:.9},{bytes_a},{bytes_b},{bytes_c},{:.0},{:.0},{:.0},{:.0}",
            row.layer,
            row.direction.name(),
            row.times,
            c.total,
            c.array,
            c.wait_load,
            c.wait_drain,
            c.wait_output,
            c.utilization(machine, &row.product),
            e.arithmetic,
            e.rounding,
            e.buffers,
            e.memory,
        );
    }
    text
}

#[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * ratio(part, whole)
}
