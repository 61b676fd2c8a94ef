//! `docs/promises.md` against the tests: what is said to be kept has a test that is named after it.
//!
//! A test keeps EVENTS-3 if its name has `events_3` as whole words: `fn events_3_a_prefix_is_not_a_match`.
//! A test that is ignored keeps nothing. With `PINTLE_PROMISES=strict` what is `due` counts as kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::Write,
    path::{Path, PathBuf},
};

/// `("EVENTS", 3)`.
type Number = (String, u32);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Kept,
    Due,
    Issue(u32),
    Withdrawn,
}

#[test]
fn every_kept_promise_has_a_test_and_every_test_a_promise() {
    let strict = env::var("PINTLE_PROMISES").is_ok_and(|how| how == "strict");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/promises.md")).expect("docs/promises.md is there");
    let tests = tests_below(root);
    assert!(tests.len() > 20, "only {} tests were found", tests.len());
    let Verdict { problems, untested } = compare(&page, &tests, strict);
    if !untested.is_empty() {
        let list = format!("promises that are due and have no test yet: {}\n", untested.join(" "));
        // Not eprint: the test runner would swallow it.
        let _ = std::io::stderr().write_all(list.as_bytes());
    }
    assert!(problems.is_empty(), "docs/promises.md:\n{}", problems.join("\n"));
}

#[test]
fn what_is_not_as_the_page_says_is_noticed() {
    let page = "| EVENTS-1 | One. | kept |\n| EVENTS-2 | Two. | due |\n| EVENTS-3 | Three. | issue 8 |\n\
                | LOG-1 | Gone. | withdrawn |\n";
    let compare = |page: &str, tests: &[&str], strict| {
        let tests: Vec<_> = tests.iter().map(|name| (PathBuf::from("t.rs"), (*name).to_owned())).collect();
        compare(page, &tests, strict).problems
    };
    let fine =
        ["events_1_is_kept", "durable_events_3_x", "events_22_times_is_no_number_of_a_section_called_vents"];
    let cases: [(&[&str], bool, &[&str]); 6] = [
        (&fine[..2], false, &[]),
        (&["and_events_1"], false, &[]),
        (
            &["events_10_x"],
            false,
            &["EVENTS-1 is kept by no test", "t.rs: `events_10_x` names EVENTS-10, which is not there"],
        ),
        (&fine[..2], true, &["EVENTS-2 is kept by no test"]),
        (&["events_1", "log_1_x"], false, &["t.rs: `log_1_x` names LOG-1, which is withdrawn"]),
        (&["myevents_1_x"], false, &["EVENTS-1 is kept by no test"]),
    ];
    for (tests, strict, expected) in cases {
        assert_eq!(compare(page, tests, strict), expected, "with the tests {tests:?}");
    }
    let twice = format!("{page}| EVENTS-1 | Again. | due |\n");
    assert_eq!(compare(&twice, &["events_1"], false), ["EVENTS-1 is there twice"]);
    let odd = format!("{page}| EVENTS-4 | Four. | soon |\n| EVENTS-6 | Six. | due |\n");
    let expected = ["EVENTS-4 has the state `soon`, which means nothing", "EVENTS-5 is missing"];
    assert_eq!(compare(&odd, &["events_1"], false), expected);
}

#[test]
fn tests_are_told_from_what_only_looks_like_them() {
    let text = "#[test]\nfn log_1_a() {}\nfn log_2_b() {}\n// #[test]\nfn log_3_c() {}\n\
                    #[test]\n    #[should_panic(expected = \"x\")]\n    fn log_4_d() {}\n\
                /// fn log_5_e\n#[cfg(test)]\nmod tests {}\n#[test] // why\n\n/// Doc.\npub fn log_6_f() {}\n\
                #[test]\n#[ignore = \"fails: \\\n  it is not there yet\"]\nfn log_7_g() {}\n";
    assert_eq!(tests_in(text), ["log_1_a", "log_4_d", "log_6_f"]);
}

#[derive(Default)]
struct Verdict {
    problems: Vec<String>,
    /// Due, and without a test.
    untested: Vec<String>,
}

fn compare(page: &str, tests: &[(PathBuf, String)], strict: bool) -> Verdict {
    let mut verdict = Verdict::default();
    let promises = promises_of(page, &mut verdict.problems);
    let sections: BTreeSet<&str> = promises.keys().map(|(section, _)| section.as_str()).collect();
    let mut tested = BTreeSet::new();
    for (file, name) in tests {
        for number in numbers_in(name, &sections) {
            let wrong = match promises.get(&number) {
                None => Some("is not there"),
                Some(State::Withdrawn) => Some("is withdrawn"),
                Some(_) => None,
            };
            if let Some(wrong) = wrong {
                let (section, number) = &number;
                let problem = format!("{}: `{name}` names {section}-{number}, which {wrong}", file.display());
                verdict.problems.push(problem);
            }
            tested.insert(number);
        }
    }
    let mut unkept = Vec::new();
    for (number, state) in &promises {
        let (section, at) = number;
        match state {
            _ if tested.contains(number) => {}
            State::Kept => unkept.push(format!("{section}-{at} is kept by no test")),
            State::Due if strict => unkept.push(format!("{section}-{at} is kept by no test")),
            State::Due => verdict.untested.push(format!("{section}-{at}")),
            State::Issue(_) | State::Withdrawn => {}
        }
    }
    verdict.problems.splice(0..0, unkept);
    verdict
}

/// The rows of the tables: `| EVENTS-3 | … | kept |`.
fn promises_of(page: &str, problems: &mut Vec<String>) -> BTreeMap<Number, State> {
    let mut promises = BTreeMap::new();
    for row in page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")) {
        let Some((name, rest)) = row.split_once(" | ") else { continue };
        let Some(number) = name.split_once('-').and_then(|(section, at)| {
            let named = !section.is_empty() && section.chars().all(|c| c.is_ascii_uppercase());
            Some((section.to_owned(), at.parse().ok()?)).filter(|_| named)
        }) else {
            continue;
        };
        let word = rest.rsplit(" | ").next().expect("a split gives one part at least").trim();
        let state = match word {
            "kept" => State::Kept,
            "due" => State::Due,
            "withdrawn" => State::Withdrawn,
            _ => match word.strip_prefix("issue ").and_then(|issue| issue.parse().ok()) {
                Some(issue) => State::Issue(issue),
                None => {
                    problems.push(format!("{name} has the state `{word}`, which means nothing"));
                    State::Due
                }
            },
        };
        if promises.insert(number, state).is_some() {
            problems.push(format!("{name} is there twice"));
        }
    }
    let mut last: Option<&Number> = None;
    for number in promises.keys() {
        let (section, at) = number;
        let due = last.filter(|(before, _)| before == section).map_or(1, |(_, before)| before + 1);
        if *at != due {
            problems.push(format!("{section}-{due} is missing"));
        }
        last = Some(number);
    }
    promises
}

/// `events_3` and the like, as whole words of a name.
fn numbers_in(name: &str, sections: &BTreeSet<&str>) -> Vec<Number> {
    let words: Vec<&str> = name.split('_').collect();
    let pairs = words.windows(2).filter_map(|pair| {
        let section = pair[0].to_ascii_uppercase();
        let number = pair[1].parse().ok()?;
        sections.contains(section.as_str()).then_some((section, number))
    });
    pairs.collect()
}

/// The names of the functions that stand under a `#[test]` and not under an `#[ignore]` after it.
fn tests_in(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut under_test = false;
    for line in text.lines().map(str::trim) {
        let plain = line.strip_prefix("pub ").unwrap_or(line);
        let plain = plain.strip_prefix("async ").unwrap_or(plain);
        if line.starts_with("#[test]") {
            under_test = true;
        } else if line.starts_with("#[ignore") {
            under_test = false;
        } else if let Some(name) = plain.strip_prefix("fn ").filter(|_| under_test) {
            names.extend(name.split(['(', '<']).next().map(str::to_owned));
            under_test = false;
        } else if !(line.is_empty() || line.starts_with("#[") || line.starts_with("//")) {
            // Attributes over several lines end like this; anything else is other code.
            under_test = under_test && (line.ends_with(")]") || line.ends_with(','));
        }
    }
    names
}

/// Every test of the workspace, with its file.
fn tests_below(root: &Path) -> Vec<(PathBuf, String)> {
    let mut tests = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the repository can be read") {
            let path = entry.expect("the repository can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let foreign = name.starts_with('.') || name.starts_with("target") || path.is_symlink();
            if path.is_dir() && !foreign {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests/promises.rs")
            {
                let text = fs::read_to_string(&path).expect("the repository can be read");
                let file = path.strip_prefix(root).expect("it is below").to_path_buf();
                tests.extend(tests_in(&text).into_iter().map(|name| (file.clone(), name)));
            }
        }
    }
    tests
}
