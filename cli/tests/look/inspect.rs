//! `pintle inspect`: what it shows, what it refuses, and that it runs nothing.

use std::{fs, process::Command};

use pintle_test_support::{compile_c, samples};
use serde_json::json;

use super::place::{Place, foreign, mode, source};

const RICH: &str = r#"{
  "id": "rich", "version": "1.2.3-beta.1", "abi": "1.0", "name": "Rich", "description": "Has\u001b[2J everything",
  "authors": ["Ann", "Bob"], "license": "MIT", "homepage": "https://example.org",
  "services": {
    "log": {}, "storage": { "methods": ["get", "set"] }, "cache": { "namespaces": ["a", "b"] },
    "events": { "subscribe": ["in.>"], "publish": ["out"] }, "call": ["geo.lookup"]
  },
  "provides": { "stats.query": { "major": 2, "methods": ["top", "total"] } },
  "requires": { "other": "^1.4" },
  "config": {
    "type": "object", "required": ["where"],
    "properties": {
      "where": { "type": "string" }, "often": { "type": "integer", "default": 5 },
      "token": { "type": "string", "writeOnly": true, "default": "hunter2" }
    }
  },
  "limits": { "cache_bytes": 1000 }, "concurrency": 4, "state": 7, "files": ["words.txt"], "keep_mapped": true
}"#;

#[test]
fn all_that_a_plugin_says_is_shown() {
    let place = Place::new();
    place.plugin("rich.so", RICH);
    place.write("words.txt", "words");
    let shown = place.ask(&["inspect", "rich.so"]);
    assert_eq!((shown.code, &*shown.stderr), (Some(0), ""), "{}", shown.stdout);
    let lines: Vec<String> =
        shown.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "rich.so",
        "id rich",
        "version 1.2.3-beta.1",
        "name Rich",
        "description Has\\u{1b}[2J everything",
        "authors Ann, Bob",
        "license MIT",
        "homepage https://example.org",
        "abi 1.0, this host has 1.0",
        "entry pintle_plugin_entry_v1",
        "manifest in the library",
        "asks for cache: all methods; namespaces a, b",
        "asks for call: geo.lookup",
        "asks for events: all methods; subscribe in.>; publish out",
        "asks for log: all methods",
        "asks for storage: get, set",
        "provides stats.query 2: top, total",
        "requires other ^1.4",
        "config often: integer, default 5",
        "config token: string, secret",
        "config where: string, required",
        "limit cache_bytes 1000",
        "concurrency 4",
        "state 7",
        "files words.txt",
        "unload stays in memory, as its manifest asks (keep_mapped)",
        "loadable yes",
    ] {
        assert!(lines.iter().any(|found| found == line), "{}\nlacks: {line}", shown.stdout);
    }
    assert!(!shown.stdout.contains('\u{1b}') && !shown.stdout.contains("hunter2"), "{}", shown.stdout);

    let line = &place.ask(&["inspect", "--json", "rich.so"]).json()[0];
    let manifest: serde_json::Value = serde_json::from_str(RICH).expect("it is JSON");
    assert_eq!(line["manifest"], manifest);
    for (member, expected) in [
        ("file", json!("rich.so")),
        ("plugin", json!(true)),
        ("id", json!("rich")),
        ("version", json!("1.2.3-beta.1")),
        ("abi", json!("1.0")),
        ("size", json!(fs::metadata(place.path("rich.so")).expect("it is there").len())),
        ("shared_object", json!(true)),
        ("entry", json!(true)),
        ("manifest_file", json!(null)),
        ("loadable", json!(true)),
        ("error", json!(null)),
        ("distrusted", json!(null)),
        ("warnings", json!([])),
    ] {
        assert_eq!(line[member], expected, "{member}");
    }
    assert_eq!(line["target"]["arch"], std::env::consts::ARCH);
}

#[test]
fn the_hash_is_the_one_that_other_tools_tell() {
    let place = Place::new();
    // One is read at once, the other one in pieces.
    for library in [foreign(), samples().rust("echo")] {
        let name = library.to_str().expect("the repository has a plain name");
        let told = Command::new("sha256sum").arg(name).output().expect("sha256sum is of coreutils");
        let told = String::from_utf8(told.stdout).expect("it writes text");
        let line = &place.ask(&["inspect", "--json", name]).json()[0];
        assert_eq!(line["sha256"].as_str(), told.split(' ').next(), "{name}");
        assert_eq!(line["sha256"].as_str().map(str::len), Some(64));
    }
}

#[test]
fn what_is_no_plugin_is_told_with_its_name_and_the_others_are_shown() {
    let place = Place::new();
    let good = place.plugin("good.so", r#"{ "id": "good", "version": "1.0.0", "abi": "1.0" }"#);
    let bytes = fs::read(&good).expect("it was written");
    place.write("folder/inside", "");
    place.write("text.so", "not a library");
    place.write("empty.so", "");
    place.write("cut.so", &bytes[..bytes.len() / 2]);
    place.copy(&compile_c("bare", "int bare(void);\nint bare(void) { return 1; }\n", &[]), "bare.so");
    place.plugin("wrong.so", r#"{ "id": "Wrong", "abi": "1.0" }"#);
    place.write("twice.so", &bytes);
    place.write("twice.pintle.json", "{}");
    place.write("secret.so", &bytes);
    mode(&place.path("secret.so"), 0o000);
    let made = Command::new("mkfifo").arg(place.path("fifo.so")).status().expect("mkfifo is of coreutils");
    assert!(made.success());
    let mut cases = vec![
        ("gone.so", "NOT_FOUND", "gone.so is not there: name a file that is there"),
        ("folder", "INVALID_ARGUMENT", "`pintle list folder` shows what is in it"),
        ("text.so", "INVALID_ARGUMENT", "text.so is not a library: not an ELF, PE or Mach-O file"),
        ("empty.so", "INVALID_ARGUMENT", "empty.so is empty: build or copy it again"),
        ("cut.so", "INVALID_ARGUMENT", "cut.so is truncated"),
        ("bare.so", "INVALID_ARGUMENT", "bare.so has no manifest: not a Pintle plugin: embed one"),
        ("wrong.so", "INVALID_ARGUMENT", "the manifest of wrong.so has 2 problems"),
        ("twice.so", "INVALID_ARGUMENT", "twice.so has a manifest inside, and twice.pintle.json is another"),
        ("fifo.so", "INVALID_ARGUMENT", "fifo.so is not a regular file"),
    ];
    // Root may read everything.
    if fs::read(place.path("secret.so")).is_err() {
        cases.push(("secret.so", "DENIED", "secret.so may not be read by this user: let this user read it"));
    }
    for (file, kind, text) in &cases {
        let shown = place.ask(&["inspect", file, "good.so"]);
        assert_eq!(shown.code, Some(3), "{file}: {}", shown.stderr);
        let said: Vec<&str> = shown.stderr.lines().collect();
        assert!(said.len() == 1 && said[0].starts_with("pintle: ") && said[0].contains(text), "{said:?}");
        assert!(shown.stdout.contains("good.so\n  id           good\n"), "{file}: {}", shown.stdout);

        let shown = place.ask(&["inspect", "--json", file, "good.so"]);
        let lines = shown.json();
        assert_eq!((shown.code, lines.len()), (Some(3), 2), "{file}");
        assert_eq!((lines[0]["plugin"].as_bool(), lines[1]["plugin"].as_bool()), (Some(false), Some(true)));
        assert_eq!((&lines[0]["file"], &lines[0]["error"]["kind"]), (&json!(file), &json!(kind)));
        assert!(lines[0]["error"]["text"].as_str().is_some_and(|error| error.contains(text)), "{lines:?}");
    }
}

#[test]
fn a_plugin_that_this_host_cannot_load_is_shown_with_the_reason() {
    let place = Place::new();
    place.copy(&foreign(), "foreign.dll");
    place.plugin("newer.so", r#"{ "id": "newer", "version": "1.0.0", "abi": "1.99" }"#);
    place.plugin("poor.so", r#"{ "id": "poor", "version": "1.0.0", "abi": "1.0", "files": ["gone.txt"] }"#);
    let least = r#"{ "id": "least", "version": "1.0.0", "abi": "1.0" }"#;
    let closed = source(least).replace("pintle_plugin_entry_v1", "something_else");
    place.copy(&compile_c("closed", closed, &["-Wno-missing-prototypes"]), "closed.so");
    place.copy(&compile_c("leaning", source(least), &["-Wl,-rpath,$ORIGIN"]), "leaning.so");
    for (file, text) in [
        ("foreign.dll", "foreign.dll is for x86_64 windows (PE), this host is"),
        ("newer.so", "plugin \"newer\": asks for pintle ABI 1.99, this host has 1.0: rebuild it"),
        ("poor.so", "names the resource \"gone.txt\", and ./gone.txt is not there: put it beside"),
        ("closed.so", "closed.so does not export pintle_plugin_entry_v1: declare it"),
        ("leaning.so", "looks for libraries in \"$ORIGIN\""),
    ] {
        let shown = place.ask(&["inspect", file]);
        assert_eq!((shown.code, &*shown.stderr), (Some(4), ""), "{file}");
        let verdict = shown.stdout.lines().find(|line| line.starts_with("  loadable     no: "));
        assert!(verdict.is_some_and(|verdict| verdict.contains(text)), "{file}: {}", shown.stdout);
        let shown = place.ask(&["inspect", "--json", file]);
        let line = &shown.json()[0];
        assert_eq!((shown.code, &line["plugin"], &line["loadable"]), (Some(4), &json!(true), &json!(false)));
        assert!(line["error"]["text"].as_str().is_some_and(|error| error.contains(text)), "{line}");
        let with_stranger = place.ask(&["inspect", file, "gone"]);
        assert_eq!(with_stranger.code, Some(3), "what is no plugin is worse");
    }
}

#[test]
fn where_a_plugin_lies_is_a_note_and_no_refusal() {
    let place = Place::new();
    let library = place.plugin("open.so", r#"{ "id": "open", "version": "1.0.0", "abi": "1.0" }"#);
    for (bits, verdict, note) in [
        (0o666, "yes, but not from where it lies", "open.so has mode 0666, so that every user may change it"),
        (0o664, "yes", "open.so has mode 0664, so that its group may change it"),
    ] {
        mode(&library, bits);
        let shown = place.ask(&["inspect", "open.so"]);
        assert_eq!((shown.code, &*shown.stderr), (Some(0), ""));
        assert!(shown.stdout.contains(&format!("  loadable     {verdict}\n")), "{}", shown.stdout);
        assert!(shown.stdout.lines().any(|line| line.starts_with("  note ") && line.contains(note)));
        let line = &place.ask(&["inspect", "--json", "open.so"]).json()[0];
        let told = if bits == 0o666 { &line["distrusted"] } else { &line["warnings"][0] };
        assert!(line["loadable"] == true && told.as_str().is_some_and(|text| text.contains(note)), "{line}");
    }
}

#[test]
fn a_resource_that_strangers_may_change_is_a_note_too() {
    let place = Place::new();
    place.plugin("poor.so", r#"{ "id": "poor", "version": "1.0.0", "abi": "1.0", "files": ["words"] }"#);
    mode(&place.write("words", ""), 0o666);
    let line = &place.ask(&["inspect", "--json", "poor.so"]).json()[0];
    assert_eq!((&line["loadable"], &line["error"]), (&json!(true), &json!(null)));
    assert!(line["distrusted"].as_str().is_some_and(|text| text.contains("chmod o-w ./words")), "{line}");
}

#[test]
fn contract_81_inspect_and_list_execute_nothing_of_a_library() {
    let place = Place::new();
    let mark = place.path("mark");
    let planted = "#include <stdio.h>\n\
        __attribute__((constructor)) static void plant(void) {\n\
          FILE *mark = fopen(MARK, \"w\");\n  if (mark) fclose(mark);\n}\n";
    let flag = format!("-DMARK=\"{}\"", mark.display());
    let manifest = r#"{ "id": "planted", "version": "1.0.0", "abi": "1.0" }"#;
    place.copy(&compile_c("planted", planted.to_owned() + &source(manifest), &[&flag]), "plugins/planted.so");
    place.copy(&compile_c("planted", planted, &[&flag]), "plugins/bare.so");
    let files = ["plugins/planted.so", "plugins/bare.so"];
    for (arguments, code) in [
        (&["inspect", files[0], files[1]][..], 3),
        (&["inspect", "--json", files[0], files[1]], 3),
        (&["list", "plugins"], 0),
        (&["list", "--all", "--json", "plugins"], 0),
    ] {
        let answer = place.ask(arguments);
        assert_eq!(answer.code, Some(code), "{arguments:?}: {}", answer.stderr);
        assert!(answer.stdout.contains("planted"), "{arguments:?}");
        assert!(!mark.exists(), "{arguments:?} has executed something");
    }
    // It would have left its mark.
    place.ask(&["run", "--plugins", "plugins", "--until-idle"]);
    assert!(mark.exists(), "the constructor does not run where a plugin is loaded");
}
