//! Help, completions, manual and `docs/cli.md`: all of them know the same commands.

use std::{collections::BTreeSet, fs};

use pintle_test_support::{repository, samples};
use serde_json::Value;

use super::place::{Place, foreign};

const COMMANDS: [&str; 17] = [
    "run",
    "inspect",
    "list",
    "plugins",
    "stats",
    "log",
    "emit",
    "tail",
    "events",
    "config",
    "cache",
    "storage",
    "sql",
    "jobs",
    "cron",
    "completions",
    "man",
];

#[test]
fn completions_know_every_command_in_every_shell() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let answer = place.ask(&["completions", shell]);
        assert_eq!((answer.code, &*answer.stderr), (Some(0), ""), "{shell}");
        for word in COMMANDS.iter().chain(&["json", "until-idle"]) {
            assert!(answer.stdout.contains(word), "{shell} lacks {word}");
        }
    }
    let answer = place.ask(&["completions", "tcl"]);
    assert_eq!((answer.code, &*answer.stdout), (Some(2), ""));
    assert!(answer.stderr.contains("[possible values: bash, elvish, fish, powershell, zsh]"));
}

#[test]
fn every_command_has_a_page_of_the_manual() {
    let place = Place::new();
    let whole = place.ask(&["man"]);
    for command in COMMANDS {
        assert!(whole.stdout.contains(&format!("pintle\\-{command}(1)")), "{}", whole.stdout);
        let page = place.ask(&["man", command]);
        assert_eq!((page.code, &*page.stderr), (Some(0), ""), "{command}");
        assert!(page.stdout.contains(&format!(".TH pintle-{command} 1")), "{}", page.stdout);
        assert!(page.stdout.contains(".SH \"EXIT STATUS\"\n.nf\n0  all went well\n"), "{}", page.stdout);
    }
    assert!(!whole.stdout.contains("pintle\\-help(1)"), "it has no page");
    for (parent, commands) in [
        ("plugins", &["list", "load", "enable", "disable", "unload", "release"][..]),
        ("config", &["get", "set", "unset"]),
        ("events", &["stats", "tail", "publish", "dead-letters", "replay", "drop"]),
        ("cache", &["stats", "list", "get", "invalidate"]),
        ("jobs", &["list", "history", "run", "pause", "resume", "forget"]),
        ("storage", &["stats", "list", "get", "set", "remove", "export", "import", "check"]),
    ] {
        for command in commands {
            let page = place.ask(&["man", parent, command]);
            assert!(page.stdout.contains(&format!(".TH pintle-{parent}-{command} 1")), "{}", page.stdout);
        }
    }
    let none = place.ask(&["man", "women"]);
    assert_eq!((none.code, &*none.stdout), (Some(2), ""));
    let said = format!("pintle: there is no command women: there are {}\n", COMMANDS.join(", "));
    assert_eq!(none.stderr, said);
}

#[test]
fn the_page_has_every_command_option_and_member() {
    let page = fs::read_to_string(repository().join("docs/cli.md")).expect("it is there");
    let place = Place::new();
    for command in COMMANDS {
        assert!(page.contains(&format!("## `pintle {command}`")), "docs/cli.md lacks {command}");
        let help = place.ask(&["help", command]).stdout;
        assert!(help.contains("Exit status:\n  0  all went well"), "{help}");
        for option in help.split_whitespace().filter(|word| word.starts_with("--") && *word != "--help") {
            let option = option.trim_end_matches([',', '.', ';', ':']);
            assert!(page.contains(&format!("`{option}")), "docs/cli.md lacks {option} of {command}");
        }
    }

    place.copy(&samples().c("hello"), "plugins/hello.so");
    let foreign = foreign();
    let foreign = foreign.to_str().expect("the repository has a plain name");
    let mut members = BTreeSet::new();
    for asked in [&["inspect", "--json", "plugins/hello.so", foreign][..], &["list", "--json", "plugins"]] {
        for line in place.ask(asked).json() {
            names(&line, &mut members);
        }
    }
    assert!(members.len() > 20, "{members:?}");
    let missing: Vec<_> = members.iter().filter(|member| !page.contains(&format!("`{member}`"))).collect();
    assert!(missing.is_empty(), "docs/cli.md lacks {missing:?}");
}

/// The names of all members but those within manifests.
fn names(value: &Value, into: &mut BTreeSet<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        into.insert(name.clone());
        if name != "manifest" {
            names(value, into);
        }
    }
}
