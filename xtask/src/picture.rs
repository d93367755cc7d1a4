//! The picture of the README: the curve of the loss in `report.html`, as a file of its own.

use intrain_plot::as_file;

/// Where it lies in the repository.
pub(crate) const PATH: &str = "docs/pictures/digits-loss.svg";

/// How wide it is shown.
const WIDTH: f64 = 640.0;

/// The picture of a run, from its report.
///
/// # Errors
/// The report has no such chart.
pub(crate) fn of_report(report: &str) -> Result<String, String> {
    let chart = report.split("<svg ").find_map(|rest| {
        let (chart, _) = rest.split_once("</svg>")?;
        chart.lines().next()?.contains("aria-label=\"Loss\"").then(|| format!("<svg {chart}</svg>"))
    });
    let chart = chart.ok_or("report.html has no chart of the loss; look for its title in report/mod.rs")?;
    // Outside of the report, the title says what was run.
    let titled = chart.replacen(">Loss</text>", ">intrain train: digits, 2-bit weights</text>", 1);
    Ok(as_file(&titled, WIDTH))
}

#[cfg(test)]
mod tests {
    use super::of_report;

    #[test]
    fn the_chart_of_the_loss_is_taken() {
        let chart = |name: &str| {
            format!(
                "<svg viewBox=\"0 0 46 36\" role=\"img\" aria-label=\"{name}\">\n<text>{name}</text></svg>"
            )
        };
        let report = format!("{}{}{}", chart("Error"), chart("Loss"), chart("Signs"));
        let picture = of_report(&report).unwrap();
        assert!(picture.starts_with("<svg xmlns=") && picture.contains("width=\"640\""), "{picture}");
        assert!(picture.ends_with("<text>intrain train: digits, 2-bit weights</text></svg>\n"), "{picture}");
        assert!(of_report(&chart("Error")).is_err());
    }
}
