//! `pintle list`: what is found, in which state, and how it ends.

use std::fs;

use pintle_test_support::samples;
use serde_json::{Value, json};

use super::place::{Place, foreign, mode};

/// Folders with a plugin in each state, and with what is none.
fn folders() -> Place {
    let place = Place::new();
    let manifest = |id: &str| format!(r#"{{ "id": "{id}", "version": "1.0.0", "abi": "1.0" }}"#);
    place.plugin("first/able.so", &manifest("able"));
    place.plugin("first/below/deep.so", &manifest("deep"));
    mode(&place.plugin("first/open.so", &manifest("open")), 0o646);
    place.copy(&foreign(), "first/foreign.dll");
    place.write("first/notes.txt", "notes");
    place.plugin("second/able.so", &manifest("able"));
    place.plugin("second/newer.so", &manifest("newer").replace("1.0\" }", "1.99\" }"));
    place.plugin("second/wrong.so", r#"{ "id": "Wrong", "version": "1.0.0", "abi": "1.0" }"#);
    place.plugin("second/poor.so", &manifest("poor").replace(" }", r#", "files": ["gone"] }"#));
    place.write("second/text.so", "not a library");
    place
}

/// File, id, state, and what the reason says.
const EXPECTED: [(&str, &str, &str, &str); 9] = [
    ("first/able.so", "able", "ready", ""),
    ("first/below/deep.so", "deep", "ready", ""),
    ("second/poor.so", "poor", "broken", "names the resource \"gone\""),
    ("first/foreign.dll", "foreign", "unsupported", "is for windows, by its name"),
    ("first/open.so", "open", "denied", "so that every user may change it: chmod o-w first/open.so"),
    ("second/able.so", "able", "duplicate", "has the id of first/able.so, which comes first"),
    ("second/newer.so", "newer", "unsupported", "asks for pintle ABI 1.99"),
    ("second/text.so", "-", "skipped", "is not a library"),
    ("second/wrong.so", "-", "broken", "the manifest of second/wrong.so has a problem"),
];

#[test]
fn every_plugin_is_listed_with_its_state_and_the_rest_on_demand() {
    let place = folders();
    for all in [false, true] {
        let expected: Vec<_> = EXPECTED.iter().filter(|row| all || row.2 != "skipped").collect();
        let flags: &[&str] = if all { &["--all"] } else { &[] };
        let plain = place.ask(&[&["list", "first", "second"], flags].concat());
        let json = place.ask(&[&["list", "--json", "first", "second"], flags].concat());
        assert_eq!((plain.code, json.code), (Some(0), Some(0)), "{}", plain.stderr);
        let counted = "pintle: 1 more entry is no plugin: --all shows it with the reason\n";
        assert_eq!(plain.stderr, if all { "" } else { counted });
        assert_eq!(json.stderr, plain.stderr);

        let rows: Vec<Vec<&str>> = plain.stdout.lines().map(|line| line.split('\t').collect()).collect();
        let lines = json.json();
        assert_eq!((rows.len(), lines.len()), (expected.len(), expected.len()), "{}", plain.stdout);
        for ((row, line), (file, id, state, reason)) in rows.iter().zip(&lines).zip(expected) {
            assert_eq!(row.len(), 7, "{row:?}");
            assert_eq!((row[5], row[0], row[2]), (*file, *id, *state), "{row:?}");
            assert!(row[6].contains(reason) && (row[6] == "-") == reason.is_empty(), "{row:?}");
            let text = |member: &str| line[member].as_str().unwrap_or("-").to_owned();
            assert_eq!((&*text("file"), &*text("id"), &*text("state")), (*file, *id, *state), "{line}");
            assert_eq!((text("version"), text("target")), (row[1].to_owned(), row[3].to_owned()));
            assert_eq!(line["error"]["text"].as_str().unwrap_or("-"), row[6]);
            if *state != "skipped" {
                let size = fs::metadata(place.path(file)).expect("it is there").len();
                assert_eq!((row[4], &line["size"]), (&*size.to_string(), &json!(size)));
            }
        }
    }
}

#[test]
fn a_folder_that_cannot_be_read_is_told_and_the_others_are_listed() {
    let place = folders();
    place.write("empty/.hidden", "");
    place.write("wide/notes", "");
    mode(&place.path("wide"), 0o777);
    for (folders, code, lines, said) in [
        (&["first"][..], 0, 4, &[][..]),
        (&["empty"], 0, 0, &["no plugin is in empty"]),
        (&["gone", "first"], 3, 4, &["the folder gone cannot be read: No such file"]),
        (&["gone"], 3, 0, &["the folder gone cannot be read: No such file"]),
        (
            &["first/able.so"],
            3,
            0,
            &["first/able.so is a file, not a folder: `pintle inspect first/able.so` shows what it is"],
        ),
        (&["wide", "first"], 3, 4, &["wide has mode 0777, so that every user may change it: chmod o-w wide"]),
        (&["first", "first"], 0, 4, &[]),
        (&[], 2, 0, &["error: the following required arguments", "  <DIR>", "Usage", "For more"]),
    ] {
        let answer = place.ask(&[&["list"], folders].concat());
        assert_eq!(answer.code, Some(code), "{folders:?}: {}", answer.stderr);
        assert_eq!(answer.stdout.lines().count(), lines, "{folders:?}: {}", answer.stdout);
        let told: Vec<&str> = answer.stderr.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(told.len(), said.len(), "{folders:?}: {told:?}");
        for (told, said) in told.iter().zip(said) {
            assert!(told.trim_start_matches("pintle: ").starts_with(said), "{folders:?}: {told}");
        }
    }
}

#[test]
fn what_a_host_would_warn_of_is_told_with_all_and_in_json() {
    let place = Place::new();
    mode(&place.copy(&samples().c("hello"), "plugins/hello.so"), 0o664);
    let warning = "plugins/hello.so has mode 0664, so that its group may change it";
    assert_eq!(place.ask(&["list", "plugins"]).stderr, "");
    assert!(place.ask(&["list", "--all", "plugins"]).stderr.contains(warning));
    let lines: Vec<Value> = place.ask(&["list", "--json", "plugins"]).json();
    assert_eq!(lines[0]["state"], "ready");
    assert!(lines[0]["warnings"][0].as_str().is_some_and(|text| text.contains(warning)), "{lines:?}");
}
