//! `page.html`: a sweep on one page, for a person: the table, mean curves with their bands, every run with its report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use intrain_plot::{AxisName, Chart, Page, Rows, Scale, Series, Value as Shown, number};
use minijinja::{Environment, UndefinedBehavior, Value, context};

use super::{Entry, Group, Row, Sweep, SweepError, interval};

/// Width of the figures.
const WIDTH: f64 = 460.0;

/// A finished run on the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// What it came to.
    pub row: Row,
    /// Its test errors by epoch, 0 to 1.
    pub curve: BTreeMap<u32, f64>,
    /// Where its report lies, as seen from the page.
    pub report: Option<String>,
}

/// Test errors by epoch of a run, from its `metrics.csv`.
#[must_use]
pub fn curve(metrics: &str) -> BTreeMap<u32, f64> {
    let mut lines = metrics.lines();
    let header = lines.next().unwrap_or_default();
    let column = |name: &str| header.split(',').position(|field| field == name);
    let (Some(epoch), Some(error)) = (column("epoch"), column("test_error")) else { return BTreeMap::new() };
    let point = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let error = fields.get(error)?.parse::<f64>().ok().filter(|x| x.is_finite())?;
        Some((fields.get(epoch)?.parse().ok()?, error))
    };
    lines.filter_map(point).collect()
}

/// The page of a sweep, as HTML.
///
/// # Errors
/// The template engine gave up; no sweep is known to bring that about.
pub fn page(sweep: &Sweep, groups: &[Group], runs: &[Finished]) -> Result<String, SweepError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let names = names(groups);
    let fact = |(key, value): (&String, &toml::Value)| Value::from_iter([key.clone(), value.to_string()]);
    let (figures, has_curves) = figures(groups, &names, runs);
    let context = context! {
        n_finished => runs.len(),
        n_runs => sweep.runs.len(),
        facts => sweep.settings.iter().map(fact).collect::<Value>(),
        figures,
        has_curves,
        table => table(groups),
        // A single data set is named above already.
        has_data => groups.iter().any(|group| group.entry.data != groups[0].entry.data),
        runs => runs.iter().map(|run| of_run(run, groups, &names)).collect::<Value>(),
    };
    // The name's ending turns escaping on.
    let main = environment.render_named_str("page.html", include_str!("page.html"), context);
    let main =
        main.map_err(|e| SweepError(format!("the page cannot be filled in: {e}; table.md has its table")))?;
    // A figure of few rows does not stretch to the height of the one beside it.
    Ok(Page { title: &sweep.name, style: ".charts { align-items: start; }\n", main: &main }.html())
}

/// One of the names of an entry.
type Name = fn(&Entry) -> &String;

/// The table of groups without columns that are empty in every row.
fn table(groups: &[Group]) -> Value {
    let columns: [(&str, Name); 3] =
        [("data", |e| &e.data), ("model", |e| &e.model), ("recipe", |e| &e.recipe)];
    let shown: Vec<_> =
        columns.into_iter().filter(|(_, of)| groups.iter().any(|g| !of(&g.entry).is_empty())).collect();
    let mut headings = vec!["runs", "test error", "deviation", "95 % interval of the mean"];
    let has_running = groups.iter().any(|group| group.running.is_some());
    if has_running {
        headings.push("with running statistics");
    }
    let row = |group: &Group| {
        let [low, high] = interval(group);
        let interval = if low.is_nan() {
            number::NONE.to_owned()
        } else {
            format!("{} to {}", number::percent(low), number::percent(high))
        };
        let [mean, deviation] = [group.mean, group.deviation].map(number::percent);
        let mut numbers = vec![group.n.to_string(), mean, deviation, interval];
        if has_running {
            numbers.push(number::percent(group.running.map_or(f64::NAN, |spread| spread.mean)));
        }
        context! {
            names => shown.iter().map(|(_, of)| of(&group.entry).clone()).collect::<Value>(),
            numbers => Value::from_iter(numbers),
        }
    };
    context! {
        names => shown.iter().map(|(name, _)| *name).collect::<Value>(),
        numbers => Value::from_iter(headings),
        rows => groups.iter().map(row).collect::<Value>(),
    }
}

/// What figures call each group: the recipe, the model or both, by what differs.
fn names(groups: &[Group]) -> Vec<String> {
    let distinct =
        |of: fn(&Entry) -> &String| groups.iter().map(|g| of(&g.entry)).collect::<BTreeSet<_>>().len();
    let (n_recipes, n_models) = (distinct(|e| &e.recipe), distinct(|e| &e.model));
    // Files are known by their names alone, as long as these differ.
    let stem = |recipe: &str| {
        let path = Path::new(recipe);
        let is_file = path.extension().is_some_and(|extension| extension == "toml");
        let stem = path.file_stem().filter(|_| is_file);
        stem.map_or_else(|| recipe.to_owned(), |stem| stem.to_string_lossy().into_owned())
    };
    let stems = groups.iter().map(|g| stem(&g.entry.recipe)).collect::<BTreeSet<_>>().len();
    let name = |group: &Group| {
        let Entry { recipe, model, .. } = &group.entry;
        let recipe = if stems == n_recipes { stem(recipe) } else { recipe.clone() };
        match (n_recipes > 1, n_models > 1) {
            (true, true) => format!("{recipe}, {model}"),
            (false, true) => model.clone(),
            _ => recipe,
        }
    };
    groups.iter().map(name).collect()
}

/// Two figures for each data set: errors over epochs, and errors at the end with their intervals. Also whether one has curves.
fn figures(groups: &[Group], names: &[String], runs: &[Finished]) -> (Value, bool) {
    let mut has_curves = false;
    let mut datasets: Vec<&String> = Vec::new();
    let mut colors: Vec<&String> = Vec::new();
    for (group, name) in groups.iter().zip(names) {
        if !datasets.contains(&&group.entry.data) {
            datasets.push(&group.entry.data);
        }
        if !colors.contains(&name) {
            colors.push(name);
        }
    }
    let color = |name: &String| colors.iter().position(|known| *known == name).unwrap_or_default();
    let figures = datasets.into_iter().flat_map(|data| {
        let of_data = || groups.iter().zip(names).filter(move |(group, _)| group.entry.data == *data);
        let models: BTreeSet<&String> = of_data().map(|(group, _)| &group.entry.model).collect();
        let place = match models.first() {
            Some(model) if models.len() == 1 && !model.is_empty() => format!("{model} on {data}"),
            _ => data.clone(),
        };
        let series = of_data().map(|(group, name)| Series {
            name: name.clone(),
            color: color(name),
            ..of_group(group, runs)
        });
        let curves = Chart {
            title: &format!("Test error by epoch, {place}"),
            x: AxisName { label: "epoch", scale: Scale::Whole },
            y: AxisName { label: "test error", scale: Scale::Percent },
            series: series.filter(|series| !series.points.is_empty()).collect(),
            width: WIDTH,
            height: 240.0,
        };
        let row = |(group, name): (&Group, &String)| {
            let [low, high] = interval(group).map(|end| 100.0 * end);
            let value = Shown::Interval { mean: 100.0 * group.mean, low, high };
            intrain_plot::Row { name: name.clone(), color: color(name), value }
        };
        let ends = Rows {
            title: &format!("Test error at the end, {place}"),
            label: "mean of the seeds, with its 95 % interval",
            scale: Scale::Percent,
            at_least: 0.0,
            rows: of_data().map(row).collect(),
            legend: Vec::new(),
            width: WIDTH,
        };
        // Of one epoch there is no curve, and the other figure shows its errors.
        let has_curve = curves.series.iter().any(|series| series.points.len() > 1);
        has_curves |= has_curve;
        [curves.figure().filter(|_| has_curve), ends.figure()]
    });
    let figures: Value = figures.flatten().map(|figure| Value::from_safe_string(figure.inline())).collect();
    (figures, has_curves)
}

/// The mean of a group's curves, and the band from the lowest to the highest of them, at the epochs that all have. A run that
/// diverged has no place in a mean.
#[allow(clippy::cast_precision_loss, reason = "a few runs")]
fn of_group(group: &Group, runs: &[Finished]) -> Series {
    let of = |run: &&Finished| Entry { seed: 0, ..run.row.entry.clone() } == group.entry;
    let curves: Vec<_> =
        runs.iter().filter(of).filter(|run| run.row.test_error.is_finite()).map(|run| &run.curve).collect();
    let (mut points, mut band) = (Vec::new(), Vec::new());
    for epoch in curves.first().into_iter().flat_map(|curve| curve.keys()) {
        let errors: Vec<f64> =
            curves.iter().filter_map(|curve| curve.get(epoch)).map(|e| 100.0 * e).collect();
        if errors.len() < curves.len() {
            continue;
        }
        let x = f64::from(*epoch);
        points.push((x, errors.iter().sum::<f64>() / errors.len() as f64));
        if errors.len() > 1 {
            let ends = errors.iter().fold((f64::MAX, f64::MIN), |(low, high), e| (low.min(*e), high.max(*e)));
            band.push((x, ends.0, ends.1));
        }
    }
    Series { points, band, ..Series::default() }
}

fn of_run(run: &Finished, groups: &[Group], names: &[String]) -> Value {
    let Row { entry, test_error, best_test_error, train_loss, weights_sha256, running_test_error: _ } =
        &run.row;
    let group = groups.iter().position(|group| group.entry == Entry { seed: 0, ..entry.clone() });
    context! {
        name => group.and_then(|i| names.get(i)).unwrap_or(&entry.recipe),
        data => &entry.data,
        seed => entry.seed.to_string(),
        test_error => number::percent(*test_error),
        best => number::percent(*best_test_error),
        train_loss => number::aligned(*train_loss),
        diverged => weights_sha256.is_empty(),
        // Names of folders have nothing that must be escaped.
        report => run.report.clone().map(Value::from_safe_string),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Sweep, groups};
    use super::*;

    const TEXT: &str = "recipes = [\"wage\", \"o/<b>.toml\"]\nseeds = [1, 2]\n[settings]\nepochs = 3\n";

    fn finished(entry: &Entry, test_error: f64, curve: &[(u32, f64)]) -> Finished {
        let row = Row {
            entry: entry.clone(),
            test_error,
            best_test_error: test_error,
            train_loss: 0.5,
            weights_sha256: if test_error.is_nan() { String::new() } else { "ab".to_owned() },
            running_test_error: None,
        };
        Finished {
            row,
            curve: curve.iter().copied().collect(),
            report: Some("runs/a/report.html".to_owned()),
        }
    }

    fn of(sweep: &Sweep, runs: &[Finished]) -> String {
        let rows: Vec<Row> = runs.iter().map(|run| run.row.clone()).collect();
        page(sweep, &groups(sweep, &rows), runs).unwrap()
    }

    #[test]
    fn curves_are_means_with_bands_over_whole_epochs() {
        let sweep = Sweep::parse(TEXT, "x").unwrap();
        let sweep = sweep.with_defaults([("digits-cnn", "digits")].into_iter().cycle());
        let runs = [
            finished(&sweep.named[0], 0.01, &[(1, 0.5), (2, 0.25), (3, 0.01)]),
            finished(&sweep.named[2], 0.03, &[(1, 0.25), (2, 0.25), (3, 0.03)]),
            finished(&sweep.named[1], 0.9, &[(1, 0.9), (2, 0.9), (3, 0.9)]),
            finished(&sweep.named[3], f64::NAN, &[(1, 0.9)]),
        ];
        let html = of(&sweep, &runs);
        // The mean of two seeds, the band between them, and no epoch between two.
        assert!(html.contains("wage, 1: 37.50 %") && html.contains("<polygon class=\"band c0\""), "{html}");
        assert!(html.contains(">2</text>") && !html.contains(">1.5</text>"));
        // Student's interval of 1 % and 3 % reaches below 0 and is cut there.
        assert!(
            html.contains("2.00 % (0.00 % to 14.71 %)") && html.contains("0.00 % to 14.71 %</td>"),
            "{html}"
        );
        // A run that diverged is in no mean; a recipe's file is known by its name, as text.
        assert!(html.contains("&lt;b&gt;, 1: 90.00 %") && html.contains("diverged") && !html.contains("<b>"));
        assert_eq!(html.matches("<a href=\"runs/a/report.html\">").count(), 4);
        assert!(html.contains("4 of 4 runs") && html.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn columns_that_say_nothing_are_not_there() {
        let sweep = Sweep::parse(TEXT, "x").unwrap();
        let html = of(&sweep, &[finished(&sweep.named[0], 0.5, &[(1, 0.5)])]);
        assert!(!html.contains(">data<") && !html.contains(">model<") && html.contains(">recipe<"));
        assert!(!html.contains("<td></td>"), "{html}");
        // One epoch is no curve.
        assert!(!html.contains("Test error by epoch") && !html.contains("A curve is"));
        assert!(html.contains("<h2>Results</h2>") && html.contains("Test error at the end"));
        let none = of(&sweep, &[]);
        assert!(none.contains("No run is finished yet") && !none.contains("<svg"));
    }

    #[test]
    fn figures_name_what_differs() {
        let text =
            "recipes = [\"wage\"]\nmodels = [\"mlp\", \"digits-cnn\"]\ndata = [\"digits\"]\nseeds = [1]\n";
        let sweep = Sweep::parse(text, "x").unwrap();
        assert_eq!(names(&groups(&sweep, &[])), ["mlp", "digits-cnn"]);
        let two = Sweep::parse("recipes = [\"a/x.toml\", \"b/x.toml\"]\nseeds = [1]\n", "x").unwrap();
        assert_eq!(names(&groups(&two, &[])), ["a/x.toml", "b/x.toml"]);
    }

    #[test]
    fn errors_are_read_from_metrics() {
        let points = curve("epoch,step,test_error\n0,10,0.5\n1,20,NaN\n2,30,0.25\n");
        assert_eq!(points, BTreeMap::from([(0, 0.5), (2, 0.25)]));
        assert!(curve("").is_empty() && curve("epoch\n1\n").is_empty());
    }
}
