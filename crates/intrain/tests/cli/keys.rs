//! A key that is misspelled is refused in every kind of file, and the message has the file, the key and the key that is meant.

use super::Place;

#[test]
fn unknown_keys_are_refused_with_their_file() {
    let place = Place::new();
    let recipe = place.stdout(&["recipe", "show", "wage", "--toml"]);
    let except = "[[except]]\nrole = 'master'\nlayer = 'fc1'\nquantizer = 'unit<9> floor'\n";
    let sweep = "recipes = ['wage']\n";
    let arrays =
        "n = [2]\nword = [12]\nrandom_bits = [0]\nseeds = [1]\nmodel = 'digits-cnn'\ndata = 'digits'\n";
    let model = "name = 'x'\ninput = { h = 8, w = 8, c = 1, pixels = 'x/256' }\n[[layer]]\nname = 'relu1'\nkind = 'relu'\n";
    let with = |text: &str, more: &str| format!("{text}\n{more}\n");
    let cases: Vec<(&[&str], String, &str)> = vec![
        (
            &["train", "x.toml"],
            "epoch = 3".to_owned(),
            "x.toml: 'epoch' is not a setting; did you mean 'epochs'?",
        ),
        (
            &["recipe", "check", "x.toml"],
            recipe.replace("loss ", "los "),
            "x.toml: the recipe: 'los' is not a key here; did you mean 'loss'?",
        ),
        (
            &["recipe", "check", "x.toml"],
            with(&recipe, except),
            "x.toml: [[except]] number 1 of the recipe: 'layer' is not a key here; did you mean 'layers'?",
        ),
        (
            &["train", "--recipe", "x.toml"],
            recipe.replace("\"gradient\"", "\"gradiant\""),
            "x.toml: 'gradiant' is not a role; did you mean 'gradient'?",
        ),
        (
            &["train", "--model", "x.toml"],
            with(model, "slope = 1"),
            "x.toml: layer 'relu1' of kind 'relu': 'slope' is not a key here",
        ),
        (
            &["sweep", "x.toml"],
            with(sweep, "seed = [1]"),
            "x.toml: the sweep: 'seed' is not a key here; did you mean 'seeds'?",
        ),
        (
            &["sweep", "x.toml"],
            with(sweep, "[settings]\nepoch = 1"),
            "x.toml: [settings]: 'epoch' is not a setting; did you mean 'epochs'?",
        ),
        (
            &["accel", "sweep", "x.toml"],
            with(arrays, "[machine]\npanels = 1"),
            "x.toml: [machine]: 'panels' is not a key here; did you mean 'panel'?",
        ),
        (
            &["accel", "report", "--config", "x.toml"],
            "words = 8".to_owned(),
            "x.toml: the machine: 'words' is not a key here; did you mean 'word'?",
        ),
        (
            &["accel", "report", "--config", "x.toml"],
            "lfsr = { bit = 8 }".to_owned(),
            "x.toml: 'lfsr' of the machine: 'bit' is not a key here; did you mean 'bits'?",
        ),
    ];
    for (args, text, part) in cases {
        std::fs::write(place.path("x.toml"), text).unwrap();
        let message = place.refusal(args);
        assert!(message.contains(part), "{args:?}: {message}");
    }
}
