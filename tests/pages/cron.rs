//! `docs/cron.md` lists the differences that `cargo xtask cron-differential` lets pass, and its rules are rules.

use std::collections::BTreeSet;

use pintle::cron::Rule;

use crate::read;

/// What stands between ticks.
fn ticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_class_of_differences_is_on_the_page() {
    let (page, script) = (read("docs/cron.md"), read("xtask/cron_differential.py"));
    let listed: BTreeSet<&str> = page
        .lines()
        .skip_while(|line| !line.starts_with("| class |"))
        .skip(2)
        .filter_map(|row| row.strip_prefix("| `")?.split('`').next())
        .collect();
    let classes = script.split_once("CLASSES = {").expect("it has classes").1;
    let classes = classes.split_once("\n}").expect("they end").0;
    let known: BTreeSet<&str> =
        classes.lines().filter_map(|line| line.trim().strip_prefix('"')?.split('"').next()).collect();
    assert!(known.len() > 5, "{known:?}");
    assert_eq!(listed, known, "docs/cron.md and xtask/cron_differential.py differ");
}

#[test]
fn rules_on_the_page_are_rules() {
    let page = read("docs/cron.md");
    let (rules, refused) = page.split_once("## What other crons do").expect("it has this part");
    let shown: Vec<_> = ticked(rules).filter(|text| text.split(' ').count() >= 5).collect();
    assert!(shown.len() > 12, "{shown:?}");
    for text in shown.into_iter().filter(|text| !text.contains("minute") && *text != "0 0 30 2 *") {
        Rule::parse(text, None).unwrap_or_else(|error| panic!("{error}"));
    }
    for item in ["5/10", "22-2", "FRI-MON", "*/0", "1,,2", "*-3", "?", "1~30", "H"] {
        assert!(ticked(refused).any(|text| text == item), "docs/cron.md lacks {item}");
        Rule::parse(&format!("0 0 * * {item}"), None).expect_err(item);
        Rule::parse(&format!("{item} 0 * * *"), None).expect_err(item);
    }
}
