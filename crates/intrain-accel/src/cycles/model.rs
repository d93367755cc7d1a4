//! The registers of the accelerator that decide when something happens, one clock at a time.
//!
//! Each part names the unit in `rtl/` that it equals. Values are not here: no decision depends on them.

use std::collections::VecDeque;

use super::walk::{Loads, Operand, Walker};
use super::{Cycles, Memory, Rate, Tokens};
use crate::machine::{B_SLOTS, Machine};
use crate::order::{Product, Tiling};

/// From a step's issue until its operands stand at the array's edge.
const EDGE: u64 = 2;
/// From a tile's last issue until its first result leaves the first column's rounding unit.
const RESULT: u64 = 9;

/// Everything that is clocked.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) tiling: Tiling,
    latency: u64,
    bucket: Option<Tokens>,
    /// The cycle that [`Self::step`] does next; 0 accepted the command, 1 started the units.
    pub(super) now: u64,
    pub(super) tokens: u64,
    // loader.sv
    pub(super) loads: Loads,
    pub(super) a_free: usize,
    pub(super) b_free: usize,
    /// Last beats on their way, with the cycle in which they arrive.
    pub(super) arriving: VecDeque<(u64, Operand)>,
    // tile_control.sv
    pub(super) walker: Walker,
    pub(super) active: bool,
    pub(super) step: usize,
    pub(super) a_ready: usize,
    pub(super) b_ready: usize,
    pub(super) draining: usize,
    pub(super) room: usize,
    // output_fifo.sv, writer.sv
    /// Cycles of the last steps of tiles that are not wholly written.
    pub(super) finishing: VecDeque<u64>,
    pub(super) row: usize,
    // counters.sv
    pub(super) counters: Cycles,
    pub(super) first_issue: Option<u64>,
    pub(super) last_issue: u64,
}

/// What a clock did that others look at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Event {
    /// The last beat was written.
    pub(super) done: bool,
    /// The tile control went to the next column tile.
    pub(super) next_column: bool,
}

impl Model {
    pub(super) fn new(machine: &Machine, product: &Product, memory: &Memory) -> Self {
        let tiling = Tiling::of(machine, product);
        let bucket = match memory.rate {
            Rate::Unlimited => None,
            Rate::BytesPerCycle { .. } => Some(Tokens::of(machine, product, memory)),
        };
        Self {
            tiling,
            latency: memory.latency.into(),
            tokens: bucket.map_or(0, |bucket| bucket.capacity),
            bucket,
            // The units start one clock behind the command; the bucket is full then.
            now: 2,
            loads: Loads::new(tiling),
            a_free: if tiling.chunked() { 2 } else { machine.a_slots() },
            b_free: B_SLOTS,
            arriving: VecDeque::new(),
            walker: Walker::new(tiling),
            active: true,
            step: 0,
            a_ready: 0,
            b_ready: 0,
            draining: 0,
            room: machine.output_tiles(),
            finishing: VecDeque::new(),
            row: 0,
            counters: Cycles::default(),
            first_issue: None,
            last_issue: 0,
        }
    }

    /// From a tile's last issue until its row `row` is offered to memory.
    pub(super) const fn offered(&self, row: usize) -> u64 {
        RESULT + (self.tiling.n + 2 * row) as u64
    }

    /// One clock.
    pub(super) fn step(&mut self) -> Event {
        let mut event = Event::default();
        // Memory: writes first. All decisions are made from the registers as this cycle found them.
        let offers = self.finishing.front().is_some_and(|last| self.now >= last + self.offered(self.row));
        let written = offers && self.pays(|bucket| bucket.write);
        let slot_free = match self.loads.operand {
            Operand::A => self.a_free > 0,
            Operand::B => self.b_free > 0,
        };
        let requested = !self.loads.done && slot_free && self.pays(|bucket| bucket.read);
        let arrived = self.arriving.front().is_some_and(|(when, _)| *when == self.now);
        let ends_tile = self.walker.last_chunk() && self.step + 1 == self.walker.length();
        let issued = self.active && self.may_issue(ends_tile);

        self.draining = self.draining.saturating_sub(1);
        if requested {
            self.request();
        }
        if issued {
            event.next_column = self.issue(ends_tile);
        }
        if arrived && let Some((_, operand)) = self.arriving.pop_front() {
            match operand {
                Operand::A => self.a_ready += 1,
                Operand::B => self.b_ready += 1,
            }
        }
        if written {
            event.done = self.write();
        }
        if let Some(bucket) = self.bucket {
            self.tokens = bucket.capacity.min(self.tokens + bucket.rate);
        }
        self.now += 1;
        event
    }

    /// Takes a beat's tokens, if they are there.
    fn pays(&mut self, cost: impl Fn(&Tokens) -> u64) -> bool {
        let Some(bucket) = &self.bucket else { return true };
        let cost = cost(bucket);
        let pays = self.tokens >= cost;
        if pays {
            self.tokens -= cost;
        }
        pays
    }

    /// A read beat is accepted: `loader.sv`.
    fn request(&mut self) {
        let operand = self.loads.operand;
        match operand {
            Operand::A => self.counters.a_beats += 1,
            Operand::B => self.counters.b_beats += 1,
        }
        if self.loads.last_beat() {
            match operand {
                Operand::A => self.a_free -= 1,
                Operand::B => self.b_free -= 1,
            }
            self.arriving.push_back((self.now + self.latency, operand));
        }
        self.loads.advance();
    }

    /// Whether the tile control issues a step in this cycle; counts why not.
    fn may_issue(&mut self, ends_tile: bool) -> bool {
        let needed = if self.tiling.chunked() { 1 } else { self.walker.row + 1 };
        let waits = if self.a_ready < needed || self.b_ready == 0 {
            &mut self.counters.wait_load
        } else if ends_tile && self.draining != 0 {
            &mut self.counters.wait_drain
        } else if ends_tile && self.room == 0 {
            &mut self.counters.wait_output
        } else {
            return true;
        };
        *waits += u64::from(self.first_issue.is_some());
        false
    }

    /// A step is issued: `tile_control.sv`. Gives whether the column tile ended.
    fn issue(&mut self, ends_tile: bool) -> bool {
        self.first_issue.get_or_insert(self.now);
        self.last_issue = self.now;
        self.counters.steps += 1;
        self.step += 1;
        if ends_tile {
            self.draining = 2 * self.tiling.n - 2;
            self.room -= 1;
            self.finishing.push_back(self.now);
        }
        if self.step < self.walker.length() {
            return false;
        }
        self.step = 0;
        let (last_row, last_column) = (self.walker.last_row(), self.walker.last_column());
        if self.tiling.chunked() {
            self.a_ready -= 1;
            self.b_ready -= 1;
            self.a_free += 1;
            self.b_free += 1;
        } else {
            if last_column {
                self.a_free += 1;
            }
            if last_row {
                self.b_ready -= 1;
                self.b_free += 1;
            }
            if last_row && last_column {
                self.a_ready -= self.walker.panel_rows();
            }
        }
        self.active = !self.walker.advance(false);
        ends_tile && last_row
    }

    /// A write beat is accepted: `writer.sv`. Gives whether it was the last.
    fn write(&mut self) -> bool {
        self.counters.c_beats += 1;
        self.row += 1;
        if self.row < self.tiling.n {
            return false;
        }
        self.row = 0;
        self.finishing.pop_front();
        self.room += 1;
        let done = !self.active && self.finishing.is_empty();
        if done {
            self.counters.total = self.now + 1;
        }
        done
    }

    /// The counters of a product that is done.
    pub(super) fn counters(&self) -> Cycles {
        let results = self.last_issue + RESULT + 3 * (self.tiling.n as u64 - 1);
        let array = results + 1 - (self.first_issue.unwrap_or(0) + EDGE);
        Cycles { array, ..self.counters }
    }
}
