//! `report.html`: a run on one page, for a person: numbers, curves, answers, the recipe, the plan, the weights.
//!
//! Invariant: one file that needs nothing else, with all text from outside escaped. Its one script saves figures.

mod answers;
mod histogram;
mod maps;

use intrain_plot::{AxisName, Chart, Page, Scale, Series, number};
use minijinja::{Environment, UndefinedBehavior, Value, context};

pub use self::answers::{Answered, Mistake};
#[cfg(test)]
pub(crate) use self::maps::MAPS;
use crate::metrics::{Further, Row};

/// Width of figures, and height of what they show.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 180.0;

/// What a report shows; any part may be empty.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The heading.
    pub title: String,
    /// What was run, as name and value: recipe, model, data, seed, hash of the weights, command.
    pub facts: Vec<(String, String)>,
    /// The measurements of the run, in the order of their steps.
    pub curves: Vec<Row>,
    /// The recipe, as role and quantizer.
    pub recipe: Vec<(String, String)>,
    /// What ran, one row for each operation.
    pub plan: Table,
    /// The weights of each layer.
    pub weights: Vec<Weights>,
    /// Names `LAYER/ROLE/WHAT` and, for each of `curves`, their numbers.
    pub details: Further,
    /// How the test images were answered at the end, if they were.
    pub answered: Option<Answered>,
    /// What the user should know before trusting the numbers.
    pub warnings: Vec<String>,
}

/// A table of texts.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// One for each column.
    pub headings: Vec<String>,
    /// Each as long as `headings`.
    pub rows: Vec<Vec<String>>,
}

/// The weights of a layer.
#[derive(Debug, Clone, Default)]
pub struct Weights {
    /// As they are stored.
    pub stored: Histogram,
    /// As products read them outside training, where that is something else.
    pub read: Option<Histogram>,
}

/// How often each integer of a layer occurs.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    /// The layer's name.
    pub layer: String,
    /// The format of its integers, as text.
    pub format: String,
    /// First integer, last integer, and number of weights from the one to the other; rising and without overlap.
    pub bins: Vec<(i64, i64, u64)>,
    /// One of these integers is worth 2 to this power on the axis: 0 for codes, others for floats, which have no codes.
    pub step_log2: i32,
    /// Number of weights.
    pub n: u64,
    /// Share of weights that are zero, 0 to 1.
    pub zeros_share: f64,
    /// Share of weights that are not zero and lie at a limit or beyond it, 0 to 1: the ends of the format, or the limit that
    /// the overflow of their row states. Not a number where there is no limit.
    pub at_limit_share: f64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The template engine gave up.
    #[error("report: cannot fill in the page: {0}; the numbers are in metrics.csv")]
    Template(#[from] minijinja::Error),
}

/// Gives the page as HTML.
///
/// # Errors
/// [`ReportError`] if a library that it is made with fails; no content of `report` is known to bring that about.
pub fn render(report: &Report) -> Result<String, ReportError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let pairs = |pairs: &[(String, String)]| -> Value {
        pairs.iter().map(|(name, value)| Value::from_iter([name, value])).collect()
    };
    let weights = report.weights.iter().flat_map(|Weights { stored, read }| {
        let stored = std::iter::once(histogram("stored as", stored));
        stored.chain(read.iter().map(|read| histogram("read as", read)))
    });
    let maps = maps::figures(&report.details, &report.curves);
    let context = context! {
        warnings => Value::from_iter(&report.warnings),
        headline => headline(&report.curves),
        facts => pairs(&report.facts),
        charts => charts(&report.curves),
        histograms => weights.collect::<Value>(),
        maps => maps.into_iter().map(Value::from_safe_string).collect::<Value>(),
        answered => report.answered.as_ref().and_then(answers::context),
        recipe => pairs(&report.recipe),
        plan => context! {
            headings => Value::from_iter(&report.plan.headings),
            rows => report.plan.rows.iter().map(Value::from_iter).collect::<Value>(),
        },
    };
    // The name's ending turns escaping on.
    let main = environment.render_named_str("report.html", include_str!("template.html"), context)?;
    Ok(Page { title: &report.title, style: include_str!("report.css"), main: &main }.html())
}

/// Whether the run has images for validation.
fn is_validated(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.validation_error.is_some())
}

/// The rows that have a number, with it.
fn measured(rows: &[Row], number: fn(&Row) -> Option<f64>) -> impl DoubleEndedIterator<Item = (&Row, f64)> {
    rows.iter().filter_map(move |row| Some((row, number(row).filter(|e| e.is_finite())?)))
}

/// A number of the headline, with what it is and when it was measured.
fn card(label: &str, number: Option<String>, remark: String) -> Value {
    context! { label, number => number.unwrap_or_else(|| number::NONE.into()), remark }
}

/// The errors of the headline: the last, and the best by the part that chooses.
fn error_cards(rows: &[Row]) -> Vec<Value> {
    let when = |row: &Row| match row.epoch {
        // A run that ended inside its first epoch.
        0 => format!("step {}", number::grouped(row.step)),
        epoch => format!("epoch {epoch}, step {}", number::grouped(row.step)),
    };
    let of = |label: &str, found: Option<(&Row, f64)>| {
        let remark = found.map_or("not measured".into(), |(row, _)| when(row));
        card(label, found.map(|(_, error)| number::percent(error)), remark)
    };
    let tested = || measured(rows, |row| row.test_error);
    let best = measured(rows, Row::choosing_error).min_by(|a, b| a.1.total_cmp(&b.1));
    let mut cards = vec![of("Test error", tested().next_back())];
    if is_validated(rows) {
        let validated = measured(rows, |row| row.validation_error).next_back();
        let at_best = best.and_then(|(row, _)| Some((row, row.test_error?)));
        cards.push(of("Validation error", validated));
        cards.push(of("Best validation error", best));
        cards.push(of("Test error at the best validation", at_best));
    } else {
        cards.push(of("Best test error", best));
    }
    let top5 = measured(rows, |row| row.test_top5_error).next_back();
    cards.extend(top5.map(|found| of("Top-5 test error", Some(found))));
    cards
}

/// The few numbers that most readers came for: label, number, remark.
fn headline(rows: &[Row]) -> Value {
    let last = rows.last();
    // The median, because the first rows pay for a cold start.
    let mut speeds: Vec<f64> =
        rows.iter().map(|row| row.images_per_second).filter(|v| v.is_finite()).collect();
    speeds.sort_by(f64::total_cmp);
    let speed = speeds.get(speeds.len() / 2);

    let others = [
        card(
            "Training loss",
            last.map(|row| number::short(row.train_loss)),
            last.map_or("no rows".into(), |row| format!("error {}", number::percent(row.train_error))),
        ),
        card("Images per second", speed.map(|v| number::short(*v)), "median over the run".into()),
        card(
            "Time",
            last.map(|row| number::duration(row.seconds)),
            last.map_or("no rows".into(), |row| format!("{} steps", number::grouped(row.step))),
        ),
    ];
    error_cards(rows).into_iter().chain(others).collect()
}

/// A curve's points: `y` of the rows that have it, over `x`.
fn points(rows: &[Row], x: impl Fn(&Row) -> f64, y: impl Fn(&Row) -> Option<f64>) -> Vec<(f64, f64)> {
    rows.iter().filter_map(|row| Some((x(row), y(row)?))).collect()
}

fn charts(rows: &[Row]) -> Value {
    let step = |row: &Row| row.step as f64;
    let over_steps = |title, label, scale, curves: &[(&str, Vec<(f64, f64)>)]| {
        chart(title, "step", AxisName { label, scale }, curves)
    };
    let mut losses = vec![
        ("training", points(rows, step, |row| Some(row.train_loss))),
        ("test", points(rows, step, |row| row.test_loss)),
    ];
    if is_validated(rows) {
        losses.push(("validation", points(rows, step, |row| row.validation_loss)));
    }
    let loss = over_steps("Loss", "loss", Scale::Log, &losses);
    let updates = over_steps(
        "Updates without effect or held at a limit",
        "share of updates",
        Scale::Percent,
        &[
            ("without effect", points(rows, step, |row| Some(100.0 * row.dead_updates))),
            ("held at a limit", points(rows, step, |row| Some(100.0 * row.saturated_weights))),
        ],
    );
    let signs = over_steps(
        "Weights whose sign is not that of the start",
        "share of weights",
        Scale::Percent,
        &[("changed", points(rows, step, |row| Some(100.0 * row.changed_signs)))],
    );
    let rate = over_steps(
        "Learning rate",
        "learning rate",
        Scale::Linear,
        &[("rate", points(rows, step, |row| Some(row.learning_rate)))],
    );
    [loss, errors(rows), updates, signs, rate].into_iter().collect()
}

/// A chart of named curves, as the template shows it.
fn chart(title: &str, x_label: &str, y: AxisName<'_>, curves: &[(&str, Vec<(f64, f64)>)]) -> Value {
    let series = curves.iter().enumerate().map(|(color, (name, points))| Series {
        name: (*name).to_owned(),
        color,
        points: points.clone(),
        ..Series::default()
    });
    let x = AxisName { label: x_label, scale: Scale::Whole };
    let chart = Chart { title, x, y, series: series.collect(), width: WIDTH, height: HEIGHT };
    let svg = chart.figure().map(|figure| Value::from_safe_string(figure.inline()));
    context! { title, svg, left_out => chart.n_left_out() }
}

/// Errors at the end of each epoch; over steps where the run was too short for two epochs.
fn errors(rows: &[Row]) -> Value {
    let epochs: Vec<Row> = rows
        .chunk_by(|a, b| a.epoch == b.epoch)
        .filter(|rows| rows[0].epoch > 0)
        .map(|rows| {
            // The parts may have been evaluated on another row than the epoch's last.
            let test_error = rows.iter().rev().find_map(|row| row.test_error);
            let validation_error = rows.iter().rev().find_map(|row| row.validation_error);
            Row { test_error, validation_error, ..rows[rows.len() - 1] }
        })
        .collect();
    let (rows, x_label, x): (_, _, fn(&Row) -> f64) = if epochs.len() >= 2 {
        (&epochs[..], "epoch", |row| f64::from(row.epoch))
    } else {
        (rows, "step", |row| row.step as f64)
    };
    let percent = |error: Option<f64>| error.map(|error| 100.0 * error);
    let mut curves = vec![
        ("training", points(rows, x, |row| percent(Some(row.train_error)))),
        ("test", points(rows, x, |row| percent(row.test_error))),
    ];
    if is_validated(rows) {
        curves.push(("validation", points(rows, x, |row| percent(row.validation_error))));
    }
    chart(
        "Classification error",
        x_label,
        AxisName { label: "wrong answers", scale: Scale::Percent },
        &curves,
    )
}

fn histogram(how: &str, histogram: &Histogram) -> Value {
    let title = format!("{}, {how} {}", histogram.layer, histogram.format);
    let svg = histogram::figure(title.clone(), histogram);
    context! {
        title,
        n => number::grouped(histogram.n),
        zeros => number::percent(histogram.zeros_share),
        at_limit => number::percent(histogram.at_limit_share),
        svg => svg.map(|figure| Value::from_safe_string(figure.inline())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: u32) -> Vec<Row> {
        let row = |i: u32| Row {
            step: u64::from(i) * 100,
            epoch: i / 2,
            learning_rate: 0.1,
            train_loss: 2.0 / f64::from(i),
            train_error: 0.5 / f64::from(i),
            test_loss: i.is_multiple_of(2).then_some(2.1 / f64::from(i)),
            test_error: i.is_multiple_of(2).then_some(0.6 / f64::from(i)),
            images_per_second: 1000.0 + f64::from(i),
            seconds: f64::from(i),
            ..Row::default()
        };
        (1..=n).map(row).collect()
    }

    fn example() -> Report {
        let text = |s: &str| s.to_owned();
        Report {
            title: text("wage <2-8-8-8> & co"),
            facts: vec![(text("command"), text("intrain train --set \"a=<b>\""))],
            curves: rows(8),
            recipe: vec![(text("weight"), text("unit<2> nearest-even"))],
            plan: Table {
                headings: vec![text("operation")],
                rows: vec![vec![text("<script>alert(1)</script>")]],
            },
            weights: vec![Weights {
                stored: Histogram {
                    layer: text("conv1<x>"),
                    format: text("unit<8>"),
                    bins: (-4..=4).map(|v| (v, v, 10)).collect(),
                    n: 90,
                    zeros_share: 1.0 / 9.0,
                    at_limit_share: f64::NAN,
                    ..Histogram::default()
                },
                read: Some(Histogram { bins: vec![(-1, -1, 50), (1, 1, 40)], ..Histogram::default() }),
            }],
            details: Further { names: vec![text("conv1<x>/update/dead")], rows: vec![vec![Some(0.25)]; 8] },
            answered: Some(Answered {
                classes: vec![text("<x>"), text("b")],
                pairs: vec![(0, 1), (1, 1)],
                mistakes: vec![Mistake { png: b"png".to_vec(), ..Mistake::default() }],
            }),
            warnings: vec![text("a & b")],
        }
    }

    #[test]
    fn the_page_needs_nothing_else_and_escapes_what_it_shows() {
        let html = render(&example()).unwrap();
        // Images are in the page itself.
        let inside = "src=\"data:image/png;base64,";
        assert!(html.contains("src=\"data:image/png;base64,cG5n\""));
        let html = html.replace(inside, "");
        assert_eq!(html.matches("<script").count(), 1);
        for outside in ["http", "<script>alert", "src=", "@import", "url(", "<x>", "<2-8-8-8>", "a=<b>"] {
            assert!(!html.contains(outside), "{outside}");
        }
        let shown = ["wage &lt;2-8-8-8&gt; &amp; co", "unit&lt;2&gt; nearest-even", "11.11 %", "a &amp; b"];
        for shown in shown {
            assert!(html.contains(shown), "{shown}");
        }
        // Curves, a map, two histograms.
        assert_eq!(html.matches("<svg").count(), 8);
        assert!(html.contains(">-4<") && html.contains("conv1&lt;x&gt;, epoch 1: 25.0 %"));
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
    }

    #[test]
    fn the_headline_has_the_last_and_the_best() {
        let mut report = example();
        report.curves[7].test_error = Some(0.9);
        let html = render(&report).unwrap();
        for shown in ["90.00 %", "epoch 4, step 800", "10.00 %", "epoch 3, step 600", "1,005", "8.0 s"] {
            assert!(html.contains(shown), "{shown}");
        }
    }

    #[test]
    fn validation_chooses_the_best_and_has_a_curve() {
        let plain = render(&example()).unwrap();
        assert!(!plain.contains("validation") && plain.contains("Best test error"));
        assert!(!plain.contains("Top-5"));
        let mut report = example();
        for (row, error) in report.curves.iter_mut().zip([0.5, 0.4, 0.3, 0.1, 0.2, 0.3, 0.3, 0.25]) {
            (row.validation_error, row.validation_loss) = (Some(error), Some(1.0));
        }
        report.curves[3].test_error = Some(0.125);
        report.curves[7].test_top5_error = Some(0.0625);
        let html = render(&report).unwrap();
        let card = |label: &str| {
            let card = html.split(&format!(">{label}</div>")).nth(1).unwrap();
            card.split("</div></div>").next().unwrap().to_owned()
        };
        assert!(
            card("Best validation error").contains("10.00 %")
                && card("Best validation error").contains("step 400")
        );
        assert!(card("Test error at the best validation").contains("12.50 %"));
        assert!(card("Validation error").contains("25.00 %") && card("Top-5 test error").contains("6.25 %"));
        assert!(!html.contains("Best test error"));
        assert_eq!(html.matches(">validation</text>").count(), 2);
    }

    #[test]
    fn runs_that_ended_early_or_badly_have_a_report_too() {
        let n_charts = |curves: Vec<Row>| {
            let html = render(&Report { curves, ..Report::default() }).unwrap();
            (html.matches("<svg").count(), html.matches("Nothing was measured").count())
        };
        assert_eq!(n_charts(vec![]), (0, 5));
        assert_eq!(n_charts(rows(1)), (5, 0));
        assert_eq!(n_charts(rows(100)), (5, 0));
        let untested = |row: Row| Row { test_loss: None, test_error: None, ..row };
        assert_eq!(n_charts(rows(8).into_iter().map(untested).collect()), (5, 0));

        let lost = Row { train_loss: f64::NAN, learning_rate: f64::INFINITY, ..Row::default() };
        assert_eq!(n_charts(vec![lost]), (3, 2));
        let mut partly = rows(8);
        partly[4].train_loss = f64::NAN;
        partly[5].train_loss = f64::INFINITY;
        let html = render(&Report { curves: partly, ..Report::default() }).unwrap();
        assert!(html.contains("2 values aren't finite and not drawn") && !html.contains("NaN"));
    }
}
