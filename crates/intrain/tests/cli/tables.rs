//! Tables: trained on as they are, and answered with the ranges that the network keeps.

use std::fmt::Write;

use super::{Place, text};

/// Fifty flowers of each of three kinds, four lengths each, that overlap a little: as Fisher's, and made up.
fn flowers() -> String {
    let kinds =
        [("setosa", [50, 34, 15, 2]), ("versicolor", [59, 28, 43, 13]), ("virginica", [66, 30, 55, 20])];
    let mut word = 1_u32;
    let mut noise = |most: u32| {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (word >> 16) % (2 * most + 1)
    };
    let mut table = "sepal length,sepal width,petal length,petal width,species\n".to_owned();
    for (kind, middles) in kinds {
        for _ in 0..50 {
            for (middle, most) in middles.into_iter().zip([6, 5, 5, 2_u32]) {
                let tenths = middle + noise(most) - most.min(middle);
                let _ = write!(table, "{}.{},", tenths / 10, tenths % 10);
            }
            let _ = writeln!(table, "{kind}");
        }
    }
    table
}

fn learned() -> Place {
    let place = Place::new();
    std::fs::write(place.path("iris.csv"), flowers()).unwrap();
    // Nothing is said but the data: network, recipe, batch and epochs are the defaults.
    let run = place.json(&["train", "--data", "csv:iris.csv,label=species", "--out", "run"]);
    assert_eq!((&run["model"], &run["recipe"]), (&"table-mlp".into(), &"wage".into()));
    let error = run["test_error"].as_f64().unwrap();
    assert!(error < 0.2, "chance is 0.67: {run}");
    place
}

/// What a command reads is not what it writes, wherever that is named.
#[test]
fn nothing_that_is_read_is_written_over() {
    let place = learned();
    let files = ["iris.csv", "run/model.safetensors", "run/metrics.csv", "run/config.toml"];
    let bytes = || files.map(|file| std::fs::read(place.path(file)).unwrap());
    let before = bytes();
    let data = ["--data", "csv:iris.csv,label=species"];
    for file in files {
        for command in [
            &[&["predict", "run"], &data[..], &["--out", file]].concat()[..],
            &["predict", "run", "iris.csv,delimiter=comma", "--logits", file],
            &[&["eval", "run"], &data[..], &["--logits", file]].concat(),
            &["eval", "run", "--logits", file],
        ] {
            let message = place.refusal(command);
            assert!(message.contains("this is an input, which would be replaced"), "{command:?}: {message}");
        }
    }
    assert!(bytes() == before);
}

#[test]
fn a_table_is_learned_and_new_rows_are_answered() {
    let place = learned();
    let eval = place.json(&["eval", "run"]);
    assert_eq!(eval["images"], 30);
    // Other columns, another order, no classes; the last row lies outside of everything.
    let new = "petal width,id,petal length,sepal width,sepal length\n0.2,a,1.4,3.4,5.0\n2.1,b,5.6,3.0,6.7\n9,c,30,3,70\n";
    std::fs::write(place.path("new.csv"), new).unwrap();
    let output = place.run(&["predict", "run", "new.csv"]);
    let (answers, notes) = (text(&output.stdout), text(&output.stderr));
    assert!(answers.contains("new.csv line 2         setosa"), "{answers}");
    assert!(answers.contains("new.csv line 3         virginica"), "{answers}");
    assert!(notes.contains("columns that the network does not know are not used: id"), "{notes}");
    assert!(
        notes.contains("3 of 12 values of new.csv lie outside of the range that the network knows"),
        "{notes}"
    );
    // An image is none, whatever the network learned from.
    std::fs::write(place.path("a.png"), "x").unwrap();
    assert!(place.refusal(&["predict", "run", "a.png"]).contains("a.png: cannot be decoded"));
    // Without names, columns go by their places, which is said.
    std::fs::write(place.path("bare.csv"), "5.0,3.4,1.4,0.2\n").unwrap();
    let notes = text(&place.run(&["predict", "run", "bare.csv"]).stderr);
    let places = "they are taken as sepal length, sepal width, petal length, petal width, in this order";
    assert!(notes.contains(places), "{notes}");
    // A row alone has the answer that it has among others: its ranges are not its own.
    std::fs::write(
        place.path("one.csv"),
        new.lines().take(2).map(|line| format!("{line}\n")).collect::<String>(),
    )
    .unwrap();
    let likeliest = |file: &str| place.json(&["predict", "run", file])["images"][0]["likeliest"].clone();
    assert_eq!(likeliest("one.csv"), likeliest("new.csv"));
    // So has the network of a checkpoint.
    let of_last = place.json(&["predict", "run", "new.csv", "--checkpoint", "last"]);
    assert_eq!(of_last["images"][0]["likeliest"], likeliest("new.csv"));
    let message = place.refusal(&["predict", "run", "iris.csv", "--data", "digits"]);
    assert!(message.contains("cannot be used with"), "{message}");

    std::fs::write(place.path("short.csv"), "petal width\n0.2\n").unwrap();
    let message = place.refusal(&["predict", "run", "short.csv"]);
    assert!(
        message.contains("short.csv: has no feature 'sepal length'; its columns are petal width"),
        "{message}"
    );
}

#[test]
fn rows_for_validation_are_encoded_as_those_to_learn_from() {
    let place = Place::new();
    std::fs::write(place.path("iris.csv"), flowers()).unwrap();
    let data = "csv:iris.csv,label=species";
    place.json(&["train", "--data", data, "--set", "validation=0.2", "--epochs", "1", "--out", "run"]);
    let parts = [("train", 96), ("validation", 24), ("test", 30)];
    for (part, n) in parts {
        assert_eq!(place.json(&["eval", "run", "--split", part])["images"], n, "{part}");
    }
    // The same lengths in other units: the network's limits hold them all, instead of limits of their own.
    let tenfold: String = flowers().replace(".", "");
    std::fs::write(place.path("other.csv"), tenfold).unwrap();
    let output = place.run(&["eval", "run", "--data", "csv:other.csv,label=species"]);
    let notes = text(&output.stderr);
    assert!(notes.contains("test part of csv:other.csv,label=species lie outside of the range"), "{notes}");
}

#[test]
fn mistakes_in_a_table_are_named_by_line_and_column() {
    let place = Place::new();
    for (table, part) in [
        ("a,b,y\n1,2,n\n3,,p\n", "line 3, column 'b': it is empty"),
        ("a,b,y\n1,2,n\n3,x,p\n", "line 3, column 'b': 'x' is not a number"),
        ("a,b,y\n1,2,n\n3,p\n", "line 3 has 2 fields, and the first line 3"),
        ("a,b,y\n1,2,n\n3,4,p\n", "has 2 rows, one for each of its 2 classes"),
    ] {
        std::fs::write(place.path("t.csv"), table).unwrap();
        let message = place.refusal(&["train", "--data", "csv:t.csv,label=y"]);
        assert!(message.contains("t.csv") && message.contains(part), "{message}");
    }
}

#[test]
fn the_ranges_of_a_table_are_shown() {
    let place = Place::new();
    std::fs::write(place.path("t.csv"), "a,b,y\n0,5,n\n1,6,p\n2,5,n\n0.5,6,p\n").unwrap();
    let info = place.json(&["data", "info", "csv:t.csv,label=y"]);
    assert_eq!(
        info["features"],
        serde_json::json!([{"name": "a", "low": 0.0, "high": 1.0}, {"name": "b", "low": 5.0, "high": 6.0}])
    );
    assert!(place.stdout(&["data", "info", "csv:t.csv,label=y"]).contains("feature  low: 0  high: 255"));
    let message = place.refusal(&["train", "--data", "csv:t.csv"]);
    assert!(
        message.contains("nothing says which column has the classes; its columns are a, b, y"),
        "{message}"
    );
    let message = place.refusal(&["predict", "nowhere", "t.csv"]);
    assert!(message.contains("there is no such run folder"), "{message}");
}

#[test]
fn numbers_are_numbers() {
    let place = Place::new();
    let toy = place.json(&["lab", "toy", "--steps", "1000"]);
    for walk in toy["walks"].as_array().unwrap() {
        for key in ["rate", "near_minimum", "most_often"] {
            assert!(walk[key].is_number(), "{key}: {walk}");
        }
    }
    let plan = place.json(&["plan", "--recipe", "wage"]);
    let bound = |layer: &str| {
        let of_layer = plan["operations"]
            .as_array()
            .unwrap()
            .iter()
            .find(|o| o["layer"] == layer && !o["sum_bits"].is_null());
        of_layer.unwrap()["sum_bound"].as_u64().unwrap()
    };
    assert!(bound("conv1") > 0);
}

#[test]
fn a_text_is_no_trained_network_and_a_default_recipe_must_exist() {
    let place = Place::new();
    let toml = place.stdout(&["model", "show", "digits-cnn", "--toml"]);
    std::fs::write(place.path("mine.toml"), &toml).unwrap();
    let message = place.refusal(&["eval", "mine.toml"]);
    assert!(
        message
            .contains("mine.toml: this is a text of settings, a recipe or a network, not a trained network"),
        "{message}"
    );
    assert!(toml.contains("recipe = \"wage\""), "{toml}");
    std::fs::write(place.path("mine.toml"), toml.replace("recipe = \"wage\"", "recipe = \"wag\"")).unwrap();
    let message = place.refusal(&["model", "show", "mine.toml"]);
    assert!(
        message.contains(
            "mine.toml: [defaults] of the model, key 'recipe': no recipe is named 'wag'; did you mean 'wage'?"
        ),
        "{message}"
    );
}
