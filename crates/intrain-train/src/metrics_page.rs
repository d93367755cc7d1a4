//! The page `docs/metrics.md` against the names that the code can emit.

use std::collections::BTreeSet;
use std::sync::Arc;

use intrain_data::{Dataset, digits};
use intrain_nn::Context;

use crate::report::MAPS;
use crate::session::{Epoch, Listener, Session, this_machine};
use crate::telemetry::Events;
use crate::{Config, RunDir, TrainError, metrics, microscope, telemetry};

const PAGE: &str = include_str!("../../../docs/metrics.md");

/// The cells of the table under a heading, the row of headings left out.
fn rows(heading: &str) -> Vec<[String; 2]> {
    let section = PAGE.split("\n## ").find(|section| section.starts_with(heading)).expect(heading);
    let lines = section.lines().filter(|line| line.starts_with("| "));
    let cells = lines.skip(1).map(|line| {
        let mut cells = line.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`']).to_owned());
        [cells.next().unwrap(), cells.next().unwrap()]
    });
    cells.collect()
}

#[track_caller]
fn is_the_page(heading: &str, names: &[String]) {
    let on_page: Vec<String> = rows(heading).into_iter().map(|[name, _]| name).collect();
    assert_eq!(on_page, names, "docs/metrics.md, '{heading}': left the page, right the code");
    assert_eq!(on_page.iter().collect::<BTreeSet<_>>().len(), on_page.len(), "a name stands there twice");
    assert!(rows(heading).iter().all(|[_, definition]| !definition.is_empty()));
}

fn of_layer(name: &&str) -> String {
    format!("LAYER/{name}")
}

#[test]
fn each_column_has_its_line() {
    let columns = metrics::HEADER.split(',').chain(metrics::OPTIONAL);
    is_the_page("metrics.csv", &columns.map(str::to_owned).collect::<Vec<_>>());
    is_the_page("Columns of layers", &microscope::NAMES.iter().map(of_layer).collect::<Vec<_>>());
}

#[test]
fn each_tag_has_its_line() {
    let histograms = telemetry::HISTOGRAMS.map(|tag| format!("{tag}/LAYER"));
    let tags: Vec<_> = telemetry::TAGS.iter().map(|&tag| tag.to_owned()).chain(histograms).collect();
    is_the_page("TensorBoard", &tags);
}

#[test]
fn each_map_has_its_line_and_shows_a_column_that_there_is() {
    let maps: Vec<_> = MAPS.iter().map(|(.., title, _)| (*title).to_owned()).collect();
    is_the_page("Maps of the report", &maps);
    let columns: Vec<_> = MAPS.iter().map(|(role, what, ..)| format!("LAYER/{role}/{what}")).collect();
    assert_eq!(rows("Maps of the report").into_iter().map(|[_, column]| column).collect::<Vec<_>>(), columns);
    let known: BTreeSet<_> = microscope::NAMES.iter().map(of_layer).collect();
    assert!(columns.iter().all(|column| known.contains(column)), "{columns:?}");
}

/// The names `ROLE/WHAT` of what sessions tell.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Listener for Names {
    fn epoch(&mut self, _: &Session, epoch: &Epoch<'_>) -> Result<(), TrainError> {
        let of = |(name, _): &(String, Option<f64>)| {
            let parts: Vec<&str> = name.rsplitn(3, '/').collect();
            format!("{}/{}", parts[1], parts[0])
        };
        self.0.extend(epoch.details.iter().map(of));
        Ok(())
    }
}

/// Integers and floats, with and without norms: all names are met, and no other.
#[test]
fn runs_emit_the_names_of_the_page() {
    let (dataset, context) = (Arc::new(digits::load().unwrap()), this_machine(2).unwrap());
    let mut names = Names::default();
    for recipe in ["wage", "gupta", "li-bc", "li-sr", "float32", "mxfp4"] {
        session(recipe, "", 1, &dataset, &context).fit(&mut names).unwrap();
    }
    session("intrain-int8", NORM, 1, &dataset, &context).fit(&mut names).unwrap();
    let known: BTreeSet<String> = microscope::NAMES.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(names.0, known);
}

/// A norm between convolution and activation: what the product leaves in front of it has 16 bits.
const NORM: &str = r#"{ name = "norm1", kind = "batch-norm" },"#;

fn session(recipe: &str, norm: &str, epochs: u32, dataset: &Arc<Dataset>, context: &Context) -> Session {
    let recipe = intrain_recipe::preset(recipe).unwrap().to_toml();
    let mut keys: toml::Table = format!(
        r#"
        batch_size = 479
        epochs = {epochs}
        max_steps = {}
        [model]
        name = "small"
        input = {{ h = 8, w = 8, c = 1, pixels = "x/256" }}
        layer = [
            {{ name = "conv1", kind = "conv", out = 8, kernel = 3 }},
            {norm}
            {{ name = "relu1", kind = "relu" }},
            {{ name = "flatten1", kind = "flatten" }},
            {{ name = "fc1", kind = "linear", out = 10 }},
        ]
        "#,
        3 * epochs
    )
    .parse()
    .unwrap();
    keys.insert("recipe".to_owned(), recipe.parse::<toml::Table>().unwrap().into());
    let config = Config::resolve(keys, &[], dataset.shape, dataset.n_classes).unwrap();
    Session::new(config, Arc::clone(dataset), context.clone()).unwrap()
}

impl Listener for Events {
    fn epoch(&mut self, session: &Session, epoch: &Epoch<'_>) -> Result<(), TrainError> {
        Events::epoch(self, epoch.row, session.trainer(), epoch.details)
    }
}

#[test]
fn each_epoch_has_its_histograms() {
    let (dataset, context) = (Arc::new(digits::load().unwrap()), this_machine(2).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut events = Events::create(&RunDir(folder.path().to_owned())).unwrap();
    session("li-bc", "", 3, &dataset, &context).fit(&mut events).unwrap();
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
    let bytes = std::fs::read(file.path()).unwrap();
    let n_of = |tag: &str| bytes.windows(tag.len()).filter(|window| *window == tag.as_bytes()).count();
    // The stored floats of both layers, and the signs that the convolution reads.
    for (tag, expected) in
        [("weights/conv1", 3), ("weights/fc1", 3), ("weights_read/conv1", 3), ("weights_read/fc1", 0)]
    {
        assert_eq!(n_of(tag), expected, "{tag}");
    }
}
