//! Settings with anything in them: every key of the table with every wrong kind of value, and keys that there are not in
//! every section. Derived from `KEYS`, so that a key that is added is covered by itself.

use std::collections::BTreeSet;

use pintle::{
    Settings,
    settings::{KEYS, Key, Problems},
};

/// Every kind of value that TOML has, odd ones among them. None is one that a key with words of its own takes.
const VALUES: [(&str, &str); 22] = [
    ("string", r#""no such thing""#),
    ("empty string", r#""""#),
    ("string that steers", r#""\u001b[2J\u0000\u202e""#),
    ("string of a number", r#""7""#),
    ("long string", LONG),
    ("integer", "7"),
    ("negative integer", "-7"),
    ("zero", "0"),
    ("largest integer", "9223372036854775807"),
    ("too large integer", "99999999999999999999999999"),
    ("hexadecimal integer", "0xffffffffffffffff"),
    ("float", "7.5"),
    ("whole float", "7.0"),
    ("nan", "nan"),
    ("infinity", "-inf"),
    ("huge float", "1e999"),
    ("boolean", "true"),
    ("date and time", "1979-05-27T07:32:00Z"),
    ("time", "07:32:00"),
    ("empty array", "[]"),
    ("array", r#"[1, "", { a = 1 }, [2]]"#),
    ("table", r#"{ "no such key" = 1 }"#),
];

/// Stands for a text that is longer than one wants to write here.
const LONG: &str = "\"long\"";

/// A key with a value, on the second line.
fn text_of(name: &str, value: &str) -> String {
    // One without the other is another mistake.
    let before = match name.strip_suffix(".slow") {
        Some(section) => format!("{}.slow_ms = 1", plugin_key(section)),
        None => "# a line before".into(),
    };
    format!("{before}\n{}", line_of(name, value))
}

fn line_of(name: &str, value: &str) -> String {
    let long = format!("\"{}\"", "x".repeat(100_000));
    format!("{} = {}\n", plugin_key(name), if value == LONG { &long } else { value })
}

/// The name of a key for some plugin.
fn plugin_key(name: &str) -> String {
    name.replace("<id>", "some-id")
}

/// Whether a key takes a value, as its words say.
fn takes(key: &Key, value: &str) -> bool {
    let words = key.takes;
    if words.starts_with("the path of") {
        // Whether there is such a path is asked by whoever opens it.
        value.starts_with('"') && value != r#""""#
    } else if words.starts_with("a list") {
        value == "[]"
    } else if words == "a table" {
        value.starts_with('{')
    } else if words == "true or false" {
        value == "true"
    } else if let Some((_, bounds)) = words.split_once(" from ") {
        let mut bounds = bounds.split([' ', ',']).filter_map(|word| word.parse::<i64>().ok());
        let (least, most) = (bounds.next().expect("a least"), bounds.next().expect("a most"));
        value.parse::<i64>().is_ok_and(|number| (least..=most).contains(&number))
    } else if words.starts_with("a loopback address") {
        false
    } else {
        assert!(words.contains(r#" or ""#), "{}: these words are new here: {words}", key.name);
        false
    }
}

fn told(text: &str) -> Option<Problems> {
    Settings::from_text(text, "/etc/pintle").err()
}

#[test]
fn every_key_refuses_every_wrong_value_with_its_line_and_what_it_takes() {
    let mut refused = 0;
    for key in &KEYS {
        for (kind, value) in VALUES {
            let problems = told(&text_of(key.name, value));
            assert_eq!(problems.is_none(), takes(key, value), "{} and a {kind}: {problems:?}", key.name);
            let Some(problems) = problems else { continue };
            refused += 1;
            for problem in &problems.list {
                assert_eq!(problem.key, plugin_key(key.name), "{kind}: {problems}");
                assert_eq!(problem.place.map(|(line, _)| line), Some(2), "{kind}: {problems}");
                assert_eq!(problem.message, format!("must be {}", key.takes), "{kind}");
            }
            let shown = problems.to_string();
            assert!(shown.starts_with("settings:2:") && shown.len() < 4_000, "{kind}: {shown:?}");
            assert!(!shown.contains(['\u{1b}', '\0', '\u{202e}']), "{kind}: {shown:?}");
        }
    }
    assert!(refused > KEYS.len() * 15, "{refused}");
}

#[test]
fn all_mistakes_of_a_text_are_told_at_once_each_at_its_line() {
    for (kind, value) in VALUES {
        let wrong: Vec<&Key> = KEYS.iter().filter(|key| !takes(key, value)).collect();
        let lines: String = wrong.iter().map(|key| line_of(key.name, value)).collect();
        let problems = told(&lines).unwrap_or_else(|| panic!("all of it is wrong: {kind}"));
        let place = |at: usize, key: &str| (Some(at + 1), plugin_key(key));
        let found =
            problems.list.iter().map(|problem| (problem.place.map(|place| place.0), problem.key.clone()));
        let found: BTreeSet<_> = found.collect();
        let expected: BTreeSet<_> = wrong.iter().enumerate().map(|(at, key)| place(at, key.name)).collect();
        assert_eq!(found, expected, "{kind}");
    }
}

/// Every section that there is, by the names of its keys.
fn sections() -> BTreeSet<String> {
    let mut sections = BTreeSet::from([String::new()]);
    for key in &KEYS {
        let name = plugin_key(key.name);
        let parts: Vec<_> = name.split('.').collect();
        sections.extend((1..parts.len()).map(|depth| parts[..depth].join(".")));
    }
    // What stands there is for a plugin to choose.
    sections.remove("plugin");
    sections
}

#[test]
fn a_key_that_there_is_not_is_refused_in_every_section_and_so_is_a_section_that_is_none() {
    let sections = sections();
    assert!(sections.len() > 7, "{sections:?}");
    for section in &sections {
        let full = |key: &str| if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
        for (written, key) in [("nonsense", "nonsense"), ("\"\"", ""), ("\"a b\"", "a b"), ("\"ü\"", "ü")] {
            let problems = told(&format!("\n\n{} = 1\n", full(written)));
            let problems = problems.unwrap_or_else(|| panic!("{section} takes {written}"));
            let [problem] = &problems.list[..] else { panic!("{problems}") };
            assert_eq!(
                (problem.place.map(|place| place.0), &problem.key),
                (Some(3), &full(key)),
                "{problems}"
            );
            assert!(problem.message.starts_with("there is no such key"), "{problems}");
            assert!(problem.message.contains('`'), "it does not say what there is: {problems}");
        }
        for (kind, value) in VALUES.iter().filter(|(kind, _)| !section.is_empty() && *kind != "table") {
            let problems =
                told(&text_of(section, value)).unwrap_or_else(|| panic!("{section} takes a {kind}"));
            let [problem] = &problems.list[..] else { panic!("{problems}") };
            assert_eq!((&problem.key, problem.message.as_str()), (section, "must be a table"), "{kind}");
        }
    }
}

#[test]
fn texts_that_are_no_settings_are_told_with_a_place_however_deep_or_wide() {
    let wide: String = (0..5_000).map(|number| format!("k{number} = {number}\n")).collect();
    let deep = [
        "[".repeat(100_000),
        format!("{} = 1", ["a"; 50_000].join(".")),
        format!("[{}]", ["a"; 50_000].join(".")),
        format!("x = {}1{}", "{ a = ".repeat(20_000), " }".repeat(20_000)),
        format!("plugins = {}{}", "[".repeat(20_000), "]".repeat(20_000)),
        format!("[plugin.p.config]\nx = {}{}", "[".repeat(20_000), "]".repeat(20_000)),
    ];
    let short = ["\0", "= 1", "a", "\u{feff}\u{feff}", "[a]\n[a]", "\"\"\"", "a = 1\ra = 2", "x = \u{1b}"];
    for text in short.into_iter().chain(deep.iter().map(String::as_str)) {
        let start: String = text.chars().take(20).collect();
        let problems = told(text).unwrap_or_else(|| panic!("{start:?} is taken"));
        let all_placed = problems.list.iter().all(|problem| problem.place.is_some());
        assert!(!problems.list.is_empty() && all_placed, "{start:?}: {problems}");
    }
    assert_eq!(told(&wide).map(|problems| problems.list.len()), Some(5_000), "all of them at once");
}
