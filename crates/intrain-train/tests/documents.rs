//! `docs/runs.md` names every setting, and the file of settings that it shows is one.

use intrain_data::ImageShape;
use intrain_train::Config;
use intrain_train::config::KEYS;

#[test]
fn every_setting_has_a_row() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/runs.md");
    let text = std::fs::read_to_string(path).unwrap();
    for key in KEYS {
        assert!(text.contains(&format!("\n| `{key}` | ")), "docs/runs.md has no row for the setting '{key}'");
    }
    let file = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let shape = ImageShape { height: 28, width: 28, channels: 1 };
    let settings = Config::resolve(file.parse().unwrap(), &[], shape, 10).unwrap().settings;
    assert_eq!((settings.epochs, settings.patience, settings.fill_last_batch), (20, 3, true));
}
