//! `intrain bench`: rates of kernels and steps beside the machine's own peaks, as a table.

use std::process::ExitCode;

use crate::bench::{self, Bench, Row, Share, Spread, Unit};
use crate::memory;
use crate::nn::Context;
use crate::train::telemetry::size;
use serde_json::{Value, json};

use crate::command::args::BenchArgs;
use crate::command::output::{Output, facts, grouped, say, table};
use crate::command::settings::context;

pub(crate) fn run(args: &BenchArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let works = bench::select(&args.names)?;
    let context = context(args.threads, args.kernel.as_deref())?;
    let mut bench = Bench::new(&works, &context)?;
    for round in 1..=args.repeat {
        say(&format!("round {round} of {}", args.repeat));
        bench.round();
    }
    let (rows, memory) = (bench.rows(), memory::peak_bytes());
    output.finish(&text(&rows, &context, memory), &object(&rows, &context, args.repeat, memory))?;
    Ok(ExitCode::SUCCESS)
}

fn text(rows: &[Row], context: &Context, memory: Option<usize>) -> String {
    let cells = |row: &Row| {
        let Row { name, unit, rate, seconds, share } = row;
        let (operations, share, of) = match share {
            None => Default::default(),
            Some(s) => (operations(row).map(figure).unwrap_or_default(), percent(s.ratio), s.of.name()),
        };
        let spread = format!("{}..{}", figure(rate.min), figure(rate.max));
        let ms = figure(1e3 * seconds.median);
        [name.clone(), figure(rate.median), unit.name().to_owned(), spread, ms, operations, share, of]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    let headings = ["work", "median", "unit", "least..most", "ms", "GOP", "share", "of"];
    let memory = memory.map_or_else(|| "not told by this system".to_owned(), size);
    let about = facts(&[
        ("threads", context.threads.current_num_threads().to_string()),
        ("kernels", context.isa.name().to_owned()),
        ("most memory", memory),
    ]);
    format!("{}\n{about}", table(headings, &rows))
}

/// Billions of operations in a run, where the work is compared by operations.
fn operations(row: &Row) -> Option<f64> {
    let Share { of, effort, .. } = row.share?;
    (of.unit() == Unit::Operations).then_some(effort / 1e9)
}

/// Three digits that count, at least.
fn figure(x: f64) -> String {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate or a time is at least 0"
    )]
    match x {
        99.95.. => grouped(x.round() as u64),
        9.995.. => format!("{x:.1}"),
        0.9995.. => format!("{x:.2}"),
        _ => format!("{x:.3}"),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn object(rows: &[Row], context: &Context, repeat: u16, memory: Option<usize>) -> Value {
    let spread = |Spread { median, min, max }| json!({"median": median, "min": min, "max": max});
    let row = |row: &Row| {
        json!({
            "name": row.name, "unit": row.unit.name(), "rate": spread(row.rate),
            "ms": 1e3 * row.seconds.median, "gop": operations(row),
            "share": row.share.map(|share| share.ratio), "of": row.share.map(|share| share.of.name()),
        })
    };
    let (works, yardsticks): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.share.is_some());
    json!({
        "threads": context.threads.current_num_threads(), "kernel": context.isa.name(), "repeat": repeat,
        "yardsticks": yardsticks.into_iter().map(row).collect::<Vec<_>>(),
        "works": works.into_iter().map(row).collect::<Vec<_>>(),
        "peak_memory_bytes": memory,
    })
}

#[cfg(test)]
mod tests {
    use super::figure;

    #[test]
    fn figures_show_three_digits() {
        for (x, text) in [
            (1234.5, "1,235"),
            (99.96, "100"),
            (12.34, "12.3"),
            (9.996, "10.0"),
            (1.234, "1.23"),
            (0.01234, "0.012"),
        ] {
            assert_eq!(figure(x), text);
        }
    }
}
