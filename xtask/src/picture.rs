//! The picture of the README: the curve of the loss in `report.html`, as a file of its own.

/// Where it lies in the repository.
pub(crate) const PATH: &str = "docs/pictures/digits-loss.svg";

/// In front of the chart: the colours of the report's style sheet, on a card of their own, so that the page around may be light
/// or dark; a title, and the legend that the report has beside the chart.
const HEAD: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1280 720" width="640" height="360" role="img">
<title>Loss of the embedded digits' run step by step, for training and test images</title>
<style>
svg { --card: #ffffff; --ink: #16191f; --soft: #5b6472; --line: #dfe3e8; --first: #2563eb; --second: #d9580d; }
@media (prefers-color-scheme: dark) {
  svg { --card: #181c23; --ink: #e8eaee; --soft: #99a3b1; --line: #2b313b; --first: #6ea8ff; --second: #ff9d5c; }
}
[stroke="#0000F1"] { stroke: var(--first); } [fill="#0000F1"] { fill: var(--first); }
[stroke="#0000F2"] { stroke: var(--second); } [fill="#0000F2"] { fill: var(--second); }
[stroke="#0000F4"] { stroke: var(--soft); } [fill="#0000F4"] { fill: var(--soft); }
[stroke="#0000F5"] { stroke: var(--line); }
</style>
<rect x="1" y="1" width="1278" height="718" rx="20" style="fill: var(--card); stroke: var(--line)"/>
<g font-family="sans-serif" font-size="30">
<text x="174" y="56" style="fill: var(--ink)">intrain train: digits, 2-bit weights</text>
<text x="980" y="56" text-anchor="end" fill="#0000F1">training</text>
<text x="1255" y="56" text-anchor="end" fill="#0000F2">test images</text>
</g>
<g transform="translate(0, 72)">
"##;

/// The picture of a run, from its report.
///
/// # Errors
/// The report has no such chart.
pub(crate) fn of_report(report: &str) -> Result<String, String> {
    let chart = report
        .split_once("<h3>Loss</h3>")
        .and_then(|(_, rest)| rest.split_once("<svg"))
        .and_then(|(_, rest)| rest.split_once('>'))
        .and_then(|(_, rest)| rest.split_once("</svg>"));
    let (chart, _) =
        chart.ok_or("report.html has no chart of the loss; look for its title in template.html")?;
    Ok(format!("{HEAD}{}\n</g>\n</svg>\n", chart.trim()))
}

#[cfg(test)]
mod tests {
    use super::of_report;

    #[test]
    fn the_chart_of_the_loss_is_taken() {
        let report = "<h3>Loss</h3>..<svg viewBox=\"0\">\n<a/>\n</svg><h3>Error</h3><svg><b/></svg>";
        let picture = of_report(report).unwrap();
        assert!(picture.ends_with("translate(0, 72)\">\n<a/>\n</g>\n</svg>\n"), "{picture}");
        assert!(of_report("<h3>Loss</h3>").is_err());
    }
}
