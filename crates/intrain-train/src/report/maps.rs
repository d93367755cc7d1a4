//! Maps of what the microscope saw: a row for each layer, a column for each measurement.

use intrain_plot::{Full, Map};

use super::WIDTH;
use crate::metrics::{Further, Row};

/// Role, measure, title and scale of each map, in the order of the page.
pub(crate) const MAPS: [(&str, &str, &str, Full); 11] = [
    ("update", "dead", "Updates that rounding turned to nothing", Full::Share),
    ("update", "bias", "Bias of rounding, in steps of the weight", Full::Largest),
    ("master", "oscillating", "Weights that the last step brought back", Full::Share),
    ("master", "signs", "Weights whose sign is not that of the start", Full::Share),
    ("master", "limit", "Stored weights at a limit", Full::Share),
    ("master", "bits", "Effective bits of stored weights", Full::Largest),
    ("activation", "limit", "Activations at a limit", Full::Share),
    ("activation", "zero", "Activations that are zero", Full::Share),
    ("activation", "bits", "Effective bits of activations", Full::Largest),
    ("error", "zero", "Errors that are zero", Full::Share),
    ("error", "bits", "Effective bits of errors", Full::Largest),
];

/// A figure for each role and measure that was taken: layers from top to bottom, time from left to right.
pub(super) fn figures(details: &Further, curves: &[Row]) -> Vec<String> {
    let map = |&(role, what, title, full): &(&str, &str, &'static str, Full)| {
        let ending = format!("/{role}/{what}");
        let layers = details.names.iter().enumerate().filter_map(|(i, name)| {
            let values = details.rows.iter().map(|row| row.get(i).copied().flatten()).collect();
            Some((name.strip_suffix(&ending)?.to_owned(), values))
        });
        // A run that ended inside its first epoch has no whole one to name.
        let is_short = curves.last().is_some_and(|row| row.epoch == 0);
        let name = |row: &Row| if is_short { row.step.to_string() } else { row.epoch.to_string() };
        let (column_label, columns) =
            (if is_short { "step" } else { "epoch" }, curves.iter().map(name).collect());
        let map = Map { title, full, rows: layers.collect(), column_label, columns, width: WIDTH };
        Some(map.figure()?.inline())
    };
    MAPS.iter().filter_map(map).collect()
}
