//! Networks as tables, and as files that train as the network that they were written from.

use super::Place;

#[test]
fn models_are_listed_and_shown() {
    let place = Place::new();
    insta::assert_snapshot!("model_list", place.stdout(&["model", "list"]));
    insta::assert_snapshot!("model_show_lenet5", place.stdout(&["model", "show", "lenet5"]));
    insta::assert_snapshot!("model_show_resnet20", place.stdout(&["model", "show", "resnet20:8"]));
    let large = place.stdout(&["model", "show", "resnet18"]);
    assert!(large.contains("none of the named sets has such images and classes"), "{large}");
    let list = place.json(&["model", "list"]);
    for model in list["models"].as_array().unwrap() {
        let name = model["name"].as_str().unwrap();
        let shown = place.json(&["model", "show", name]);
        for key in ["parameters", "recipe", "input"] {
            assert_eq!(shown[key], model[key], "{name}: {key}");
        }
        let layers = shown["layers"].as_array().unwrap();
        let parameters: u64 = layers.iter().map(|layer| layer["parameters"].as_u64().unwrap()).sum();
        assert_eq!(shown["parameters"], parameters, "{name}");
    }
}

#[test]
fn a_model_in_a_file_is_the_model() {
    let place = Place::new();
    let text = place.stdout(&["model", "show", "digits-cnn", "--toml"]);
    std::fs::write(place.path("mine.toml"), text.replace("\"digits-cnn\"", "\"mine\"")).unwrap();
    let (of_file, of_preset) =
        (place.json(&["model", "show", "mine.toml"]), place.json(&["model", "show", "digits-cnn"]));
    assert_eq!(of_file["layers"], of_preset["layers"]);
    assert_eq!((&of_file["name"], &of_file["recipe"]), (&"mine".into(), &"wage".into()));
    let train = |model: &str, out: &str| {
        place.json(&["train", "--model", model, "--max-steps", "9", "--out", out])["weights_sha256"].clone()
    };
    assert_eq!(train("mine.toml", "a"), train("digits-cnn", "b"));

    for (from, to, part) in [
        (
            "[defaults]",
            "[default]",
            "mine.toml: the model: 'default' is not a key here; did you mean 'defaults'?",
        ),
        (
            "weight_decay",
            "weigth_decay",
            "mine.toml: [defaults] of the model: 'weigth_decay' is not a key here",
        ),
        ("kind = \"relu\"", "kind = \"relu\"\nslope = 1", "mine.toml: layer 'relu1' of kind 'relu': 'slope'"),
    ] {
        assert!(text.contains(from), "{from}: {text}");
        std::fs::write(place.path("mine.toml"), text.replacen(from, to, 1)).unwrap();
        for command in [&["model", "show", "mine.toml"][..], &["train", "--model", "mine.toml"]] {
            let message = place.refusal(command);
            assert!(message.contains(part), "{message}");
        }
    }
}
