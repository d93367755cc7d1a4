//! The records of an experiment as a page for readers: mean, standard deviation and interval over the seeds of each row.

use intrain_plot::Spread;

use super::experiment::{Experiment, Row};
use super::record::Record;

/// The page `docs/results/NAME.md`.
pub(crate) fn markdown(name: &str, experiment: &Experiment, records: &[Record]) -> String {
    let rows: String = experiment.rows.iter().map(|row| line(experiment, row, records)).collect();
    let commands: String = experiment
        .rows
        .iter()
        .map(|row| format!("    intrain train {} --seed S\n", row.args.join(" ")))
        .collect();
    let [heading, ruler, about_running] = match has_running(experiment, records) {
        true => [
            " with running statistics, % |",
            "---|",
            " With running statistics: what the same networks get wrong with the means and spreads that their norms kept while \
             training, in place of those that were estimated with the weights as they are.",
        ],
        false => [""; 3],
    };
    format!(
        "# {title}\n\n{about}\n\n\
         | row | runs | test error, % | standard deviation | 95 % interval | best epoch, % | training loss |{heading}\n\
         |---|---|---|---|---|---|---|{ruler}\n{rows}\n\
         Test errors are those after the last epoch: the mean over the seeds, the standard deviation with `n - 1`, and the interval \
         of the mean by Student's t.{about_running} The best epoch is chosen by the test images and stands here for comparison only. Single runs, each with the \
         SHA-256 of its weights: [{name}.csv]({name}.csv).\n\n\
         Written by `cargo xtask results {name}`, which runs what is missing. The rows by hand:\n\n{commands}",
        title = experiment.title,
        about = experiment.about.trim(),
    )
}

/// Whether a run of the table was also measured with running statistics of its norms.
fn has_running(experiment: &Experiment, records: &[Record]) -> bool {
    let is_shown = |record: &Record| experiment.rows.iter().any(|row| row.name == record.row);
    records.iter().any(|record| is_shown(record) && record.number(RUNNING).is_some())
}

const RUNNING: &str = "running_test_error";

fn line(experiment: &Experiment, row: &Row, records: &[Record]) -> String {
    let n_planned = experiment.seeds(row).len();
    let of_row: Vec<&Record> = records.iter().filter(|record| record.row == row.name).collect();
    let values = |key: &str| of_row.iter().filter_map(|r| r.number(key)).collect::<Vec<f64>>();
    let show = |x: f64, factor: f64, digits: usize| match x.is_finite() {
        true => format!("{:.digits$}", x * factor),
        false => "-".to_owned(),
    };
    let mean = |key: &str| Spread::of(&values(key)).mean;
    let Spread { mean: error, deviation, interval } = Spread::of(&values("test_error"));
    let ends = [(error - interval).max(0.0), (error + interval).min(1.0)].map(|end| show(end, 100.0, 2));
    let running = show(mean(RUNNING), 100.0, 2);
    format!(
        "| {} | {} | {} | {} | {} | {} | {} |{}\n",
        row.name,
        if of_row.len() == n_planned {
            n_planned.to_string()
        } else {
            format!("{} of {n_planned}", of_row.len())
        },
        show(error, 100.0, 2),
        show(deviation, 100.0, 2),
        if interval.is_finite() { ends.join(" .. ") } else { "-".to_owned() },
        show(mean("best_test_error"), 100.0, 2),
        show(mean("train_loss"), 1.0, 4),
        if has_running(experiment, records) { format!(" {running} |") } else { String::new() },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::experiment::tests::TEXT;
    use crate::results::record::tests::run;

    #[test]
    fn rows_have_mean_and_deviation() {
        let experiment = Experiment::parse(TEXT).unwrap();
        let page = markdown("t", &experiment, &[run("short run", 1, 0.01), run("short run", 2, 0.02)]);
        assert!(page.contains("| short run | 2 | 1.50 | 0.71 | 0.00 .. 7.85 | - | 0.2500 |\n"), "{page}");
        assert!(page.contains("| long run | 0 of 1 | - | - | - | - | - |\n"), "{page}");
        assert!(page.contains("    intrain train --epochs 1 --seed S\n"), "{page}");
        assert!(page.starts_with("# T\n\nA.\n"), "{page}");
    }
}
