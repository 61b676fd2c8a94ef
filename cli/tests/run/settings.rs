//! Wrong settings, each told with its line, and nothing run. What is wrong with a value is derived from the table of keys,
//! so that a new one is covered by itself; `tests/hostile/settings.rs` says more of each.

use pintle::settings::KEYS;
use pintle_test_support::samples;

use super::place::{Place, event};

#[test]
fn wrong_settings_end_it_with_2_and_run_nothing() {
    let place = Place::with(&[samples().c("hello")]);
    place.write("in", event("1", "greet.you", "{}"));
    let all: String = KEYS.iter().map(|key| key.name.replace("<id>", "hello") + " = 1979-05-27\n").collect();
    let text = place.write("pintle.toml", &all);
    let arguments = ["--plugins", "plugins", "--data", "data", "--events", "in", "--until-idle"];
    let ended = place.run(&arguments);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
    let said = ended.said();
    assert_eq!(said.len(), KEYS.len(), "{said:?}");
    for (at, key) in KEYS.iter().enumerate() {
        let place = format!("pintle.toml:{}:", at + 1);
        let says = format!(": {}: must be {}", key.name.replace("<id>", "hello"), key.takes);
        assert!(
            said[at].starts_with(&place) && said[at].ends_with(&says),
            "{} does not say {says}",
            said[at]
        );
    }
    assert!(!place.path("data").exists(), "a host has been made");
    for odd in [
        "\u{feff}workers = 0",
        "workers = 0\r\n",
        "\0",
        "[[[[",
        "= = =",
        "x = \"\u{1b}[2J\"",
        "'\u{202e}' = 1",
    ] {
        std::fs::write(&text, odd).expect("it is ours");
        let ended = place.run(&arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{odd:?}: {}", ended.stderr);
        let said = ended.said();
        assert!(
            !said.is_empty() && said.iter().all(|line| line.starts_with("pintle.toml:1:")),
            "{odd:?}: {said:?}"
        );
        assert!(!ended.stderr.contains(['\u{1b}', '\0', '\u{202e}']), "{odd:?}: {}", ended.stderr);
    }
}
