//! From figures to the table in the page: medians, and ratios with their spread over the rounds.

use super::Measured;
use super::measure::Figure;

const BEGIN: &str = "<!-- written by cargo xtask peers: begin -->";
const END: &str = "<!-- written by cargo xtask peers: end -->";

/// The table under `description`; a peer without figures has no line.
pub(crate) fn markdown(description: &str, measured: &[Measured]) -> String {
    let mut text = format!("{description}\n\n");
    text.push_str(
        "| work | Intrain | | peer | | peer / Intrain (least..most) |\n|---|---|--:|---|--:|--:|\n",
    );
    for (row, figures) in measured {
        let Some((ours, peers)) = figures.split_first() else { continue };
        for (peer, theirs) in row.peers.iter().zip(peers) {
            if ours.is_empty() || theirs.is_empty() {
                continue;
            }
            let (title, label) = (&row.title, &row.ours.label);
            let [ours_cell, theirs_cell] = [ours, theirs].map(|figures| figure(figures));
            let peer = &peer.label;
            text.push_str(&format!(
                "| {title} | {label} | {ours_cell} | {peer} | {theirs_cell} | {} |\n",
                ratio(ours, theirs)
            ));
        }
    }
    text
}

/// The median with its unit.
fn figure(figures: &[Figure]) -> String {
    let unit = figures.first().map_or("", |figure| figure.unit());
    format!("{} {unit}", digits(median(figures.iter().map(|figure| figure.value()))))
}

/// Median by median, and the ends of the rounds' own ratios.
fn ratio(ours: &[Figure], theirs: &[Figure]) -> String {
    let values = |figures: &[Figure]| figures.iter().map(|figure| figure.value()).collect::<Vec<_>>();
    let (ours, theirs) = (values(ours), values(theirs));
    let of_rounds = || ours.iter().zip(&theirs).map(|(ours, theirs)| theirs / ours);
    let (least, most) = (of_rounds().fold(f64::INFINITY, f64::min), of_rounds().fold(0.0, f64::max));
    format!(
        "**{:.2}** ({least:.2}..{most:.2})",
        median(theirs.iter().copied()) / median(ours.iter().copied())
    )
}

/// Of at least one number.
fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}

fn digits(x: f64) -> String {
    match x {
        99.95.. => format!("{x:.0}"),
        9.995.. => format!("{x:.1}"),
        _ => format!("{x:.2}"),
    }
}

/// `page` with `table` between its two marks, in place of what was there.
///
/// # Errors
/// The marks are not there.
pub(crate) fn inserted(page: &str, table: &str) -> Result<String, String> {
    let parts = page.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) =
        parts.ok_or_else(|| format!("the page has no lines '{BEGIN}' and '{END}'; put them back"))?;
    Ok(format!("{head}{BEGIN}\n{table}{END}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::super::rows::rows;
    use super::*;

    #[test]
    fn a_table_has_medians_and_the_spread_of_ratios() {
        let row = rows().into_iter().find(|row| row.name == "mlp-gupta").unwrap();
        let ms = |numbers: [f64; 3]| numbers.map(Figure::Ms).to_vec();
        let measured = [(row, vec![ms([2.0, 4.0, 3.0]), ms([6.0, 6.0, 200.0]), vec![]])];
        let text = markdown("A machine.", &measured);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[4..],
            [
                "| step of mlp, 100 images | gupta | 3.00 ms | PyTorch, f32 | 6.00 ms | **2.00** (1.50..66.67) |"
            ],
            "the peer without figures is left out"
        );
        assert!(lines[0] == "A machine." && lines[1].is_empty());
    }

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(inserted(&page, "new\n").unwrap(), format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert_eq!(inserted(&inserted(&page, "new\n").unwrap(), "old\n").unwrap(), page);
        assert!(inserted("a\n", "new\n").unwrap_err().contains("put them back"));
    }
}
