//! Jumps over what repeats: a machine in a state that it was in before does the same again.
//!
//! At the end of each column tile the model's state is kept, with all times and places relative to the tile control's. If the
//! state was there before, then as many such periods as end before the panel's last column tile (or the last full panel) pass at
//! once: all counters grow by the period's share. Exact: the walkers decide by "first" and "last" only, and neither
//! changes in the part that is left out.

use std::collections::BTreeMap;

use super::Cycles;
use super::model::Model;
use super::walk::Operand;

/// Most states that are kept: a memory whose fraction never meets itself is simply stepped through.
const STATES_MAX: usize = 4096;

/// The state of a model, relative to its time and place. Two models with equal states go on alike.
type State = Vec<u64>;

/// What a model had counted in a state.
#[derive(Debug, Clone, Copy)]
struct Mark {
    now: u64,
    counters: Cycles,
    panel: usize,
    column: usize,
}

/// Runs a model to its end.
pub(super) fn run(mut model: Model) -> Cycles {
    let mut in_panel = BTreeMap::new();
    let mut panels = BTreeMap::new();
    loop {
        let event = model.step();
        if event.done {
            return model.counters();
        }
        if !event.next_column || !model.active {
            continue;
        }
        if model.walker.column == 0 {
            in_panel.clear();
            jump_panels(&mut model, &mut panels);
        }
        if model.loads.walker.panel == model.walker.panel && !model.loads.done {
            jump_columns(&mut model, &mut in_panel);
        }
    }
}

fn jump_panels(model: &mut Model, seen: &mut BTreeMap<State, Mark>) {
    let tiling = model.tiling;
    let place = [(model.loads.walker.panel - model.walker.panel) as u64, model.loads.walker.column as u64];
    if let Some(mark) = before(model, place, seen) {
        let full = tiling.rows / tiling.panel;
        let period = model.walker.panel - mark.panel;
        // The loader is never behind the tile control. In the last full panel nothing is left out.
        let times = full.saturating_sub(model.loads.walker.panel + 1) / period;
        if !model.loads.done && times > 0 {
            model.walker.panel += times * period;
            model.loads.walker.panel += times * period;
            pass(model, &mark, times as u64);
        }
    }
}

fn jump_columns(model: &mut Model, seen: &mut BTreeMap<State, Mark>) {
    let (here, loads) = (model.walker.column, model.loads.walker.column);
    // Whether the loader is in its first column tile decides whether it loads A.
    let place = [(loads - here) as u64, u64::from(loads == 0)];
    if let Some(mark) = before(model, place, seen) {
        let period = here - mark.column;
        let times = model.tiling.columns.saturating_sub(loads + 2) / period;
        if times > 0 {
            model.walker.column += times * period;
            model.loads.walker.column += times * period;
            pass(model, &mark, times as u64);
        }
    }
}

/// What was counted when the state was as it is now; else keeps it.
fn before(model: &Model, place: [u64; 2], seen: &mut BTreeMap<State, Mark>) -> Option<Mark> {
    if seen.len() == STATES_MAX {
        return None;
    }
    let (panel, column) = (model.walker.panel, model.walker.column);
    let mark = Mark { now: model.now, counters: model.counters, panel, column };
    seen.insert(state(model, place), mark)
}

fn state(model: &Model, place: [u64; 2]) -> State {
    let Model { loads, walker, now, .. } = model;
    let mut state = place.to_vec();
    let operand = |operand: Operand| u64::from(operand == Operand::A);
    state.extend([operand(loads.operand), u64::from(loads.done), model.tokens]);
    state.extend(
        [loads.walker.row, loads.walker.left, loads.beat, walker.row, walker.left, model.step]
            .map(|x| x as u64),
    );
    state.extend(
        [model.a_free, model.b_free, model.a_ready, model.b_ready, model.draining, model.room, model.row]
            .map(|x| x as u64),
    );
    state.push(model.arriving.len() as u64);
    state.extend(model.arriving.iter().flat_map(|(when, what)| [when - now, operand(*what)]));
    // A tile whose last row is offered already cannot be told from an older one.
    let oldest = model.offered(model.tiling.n);
    state.extend(model.finishing.iter().map(|last| (now - last).min(oldest)));
    state
}

/// Counts `times` periods since `mark`; the places have moved already.
fn pass(model: &mut Model, mark: &Mark, times: u64) {
    let time = (model.now - mark.now) * times;
    model.now += time;
    model.last_issue += time;
    model.arriving.iter_mut().for_each(|(when, _)| *when += time);
    model.finishing.iter_mut().for_each(|last| *last += time);
    let (now, then) = (&mut model.counters, &mark.counters);
    for (now, then) in [
        (&mut now.steps, then.steps),
        (&mut now.wait_load, then.wait_load),
        (&mut now.wait_drain, then.wait_drain),
        (&mut now.wait_output, then.wait_output),
        (&mut now.a_beats, then.a_beats),
        (&mut now.b_beats, then.b_beats),
        (&mut now.c_beats, then.c_beats),
    ] {
        *now += (*now - then) * times;
    }
}
