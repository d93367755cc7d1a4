//! Completions and manual pages know every command that the help knows.

use super::Place;

/// Names of the commands, from the help.
fn commands(place: &Place) -> Vec<String> {
    let help = place.stdout(&["--help"]);
    let list = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    names.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn completions_know_every_command() {
    let place = Place::new();
    let commands = commands(&place);
    assert!(commands.len() >= 15, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = place.stdout(&["completions", shell]);
        for word in commands.iter().map(String::as_str).chain(["require-integer"]) {
            assert!(script.contains(word), "{shell}: {word}");
        }
        assert_eq!(place.json(&["completions", shell])["script"], script.as_str());
    }
    let message = place.refusal(&["completions", "tcsh"]);
    assert!(message.contains("bash, elvish, fish, powershell, zsh"), "{message}");
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let place = Place::new();
    let program = place.stdout(&["man"]);
    for command in commands(&place).iter().filter(|name| *name != "help") {
        let name = format!("intrain\\-{command}");
        assert!(program.contains(&format!("{name}(1)")), "{command}");
        let page = place.stdout(&["man", command]);
        assert!(page.contains(&format!("{name} \\-")), "{command}: {page}");
    }
    let page = place.stdout(&["man", "accel", "sim"]);
    assert!(page.starts_with(".ie") && page.contains(".TH intrain-accel-sim 1"), "{page}");
    let message = place.refusal(&["man", "recipe", "shwo"]);
    assert!(
        message.contains("`intrain recipe` has no command 'shwo'; its commands are list, show,"),
        "{message}"
    );
    let message = place.refusal(&["man", "train", "digits"]);
    assert!(message.contains("`intrain train` has no commands"), "{message}");
}
