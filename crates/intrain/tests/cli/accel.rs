//! A trained network that answers on the array.

use super::Place;

#[test]
fn a_trained_network_answers_on_the_array() {
    let place = Place::new();
    for recipe in ["gupta:array", "gupta", "gupta:nearest"] {
        let run = format!("run-{recipe}").replace(':', "-");
        place.stdout(&["train", "--recipe", recipe, "--max-steps", "3", "--out", &run]);
        let sim = |images: &str| place.json(&["accel", "sim", "--n", "4", "--of", &run, "--images", images]);
        let [one, three] = ["1", "3"].map(sim);
        assert_eq!((&one["images"], &three["images"]), (&1.into(), &3.into()));
        let macs = |answered: &serde_json::Value| answered["macs"].as_u64().unwrap();
        assert_eq!(macs(&three), 3 * macs(&one), "{recipe}");
        assert!(one["cycles"].as_u64() < three["cycles"].as_u64());
    }
    let written = place.json(&["accel", "rtl", "--n", "4", "--of", "run-gupta", "--out", "answer"]);
    let model = intrain::model::preset("digits-cnn").unwrap();
    let n_products = model.layers.iter().filter(|layer| layer.kind.is_product()).count();
    assert_eq!(written["products"], n_products);
    assert!(place.path("answer/vectors/operands.hex").exists());
    let package = std::fs::read_to_string(place.path("answer/intrain_accel_pkg.sv")).unwrap();
    let of_training = place.json(&["accel", "rtl", "--n", "4", "--out", "training"]);
    assert_eq!(of_training["n"], 4);
    assert_ne!(package, std::fs::read_to_string(place.path("training/intrain_accel_pkg.sv")).unwrap());

    for (args, part) in [
        (&["sim", "--of", "run-gupta", "--epochs", "1"][..], "cannot be used with"),
        (&["rtl", "--of", "run-gupta", "--step", "--out", "o"], "cannot be used with"),
        (&["sim", "--images", "3"], "--of"),
        (&["sim", "--of", "nowhere"], "there is no such run folder"),
    ] {
        let message = place.refusal(&[&["accel"], args].concat());
        assert!(message.contains(part), "{message}");
    }
    // What would answer otherwise is refused before it runs.
    std::fs::write(place.path("narrow.toml"), "n = 4\naccumulator = 32\n").unwrap();
    let message = place.refusal(&["accel", "sim", "--config", "narrow.toml", "--of", "run-gupta"]);
    assert!(message.contains("and the accumulators have 32"), "{message}");
    let floor = "recipe.roles.activation.product='fixed<8,8> floor saturate'";
    place.stdout(&["train", "--recipe", "gupta", "--max-steps", "1", "--set", floor, "--out", "floor"]);
    let message = place.refusal(&["accel", "sim", "--n", "4", "--of", "floor"]);
    assert!(message.contains("rounds to the nearest, ties down"), "{message}");
    place.stdout(&["train", "--recipe", "wage", "--max-steps", "3", "--out", "wage"]);
    let message = place.refusal(&["accel", "sim", "--of", "wage"]);
    assert!(message.contains("the array leaves fixed-point words of 16 bits"), "{message}");
}
