//! The records of an experiment as a page for readers: mean and standard deviation over the seeds of each row.

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
    format!(
        "# {title}\n\n{about}\n\n\
         | row | runs | test error, % | standard deviation | best epoch, % | training loss |\n\
         |---|---|---|---|---|---|\n{rows}\n\
         Test errors are those after the last epoch: the mean over the seeds, and the standard deviation with `n - 1`. \
         The best epoch is chosen by the test images and stands here for comparison only. Single runs, each with the \
         SHA-256 of its weights: [{name}.csv]({name}.csv).\n\n\
         Written by `cargo xtask results {name}`, which runs what is missing. The rows by hand:\n\n{commands}",
        title = experiment.title,
        about = experiment.about.trim(),
    )
}

fn line(experiment: &Experiment, row: &Row, records: &[Record]) -> String {
    let n_planned = experiment.seeds(row).len();
    let of_row: Vec<&Record> = records.iter().filter(|record| record.row == row.name).collect();
    let values = |key: &str| of_row.iter().filter_map(|r| r.number(key)).collect::<Vec<f64>>();
    let show = |x: Option<f64>, factor: f64, digits: usize| {
        x.map_or_else(|| "-".to_owned(), |x| format!("{:.digits$}", x * factor))
    };
    let errors = values("test_error");
    format!(
        "| {} | {} | {} | {} | {} | {} |\n",
        row.name,
        if of_row.len() == n_planned {
            n_planned.to_string()
        } else {
            format!("{} of {n_planned}", of_row.len())
        },
        show(mean(&errors), 100.0, 2),
        show(deviation(&errors), 100.0, 2),
        show(mean(&values("best_test_error")), 100.0, 2),
        show(mean(&values("train_loss")), 1.0, 4),
    )
}

#[allow(clippy::cast_precision_loss, reason = "a table has few runs")]
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Standard deviation of a sample; none of a single value.
#[allow(clippy::cast_precision_loss, reason = "a table has few runs")]
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
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
        assert!(page.contains("| short run | 2 | 1.50 | 0.71 | - | 0.2500 |\n"), "{page}");
        assert!(page.contains("| long run | 0 of 1 | - | - | - | - |\n"), "{page}");
        assert!(page.contains("    intrain train --epochs 1 --seed S\n"), "{page}");
        assert!(page.starts_with("# T\n\nA.\n"), "{page}");
    }
}
