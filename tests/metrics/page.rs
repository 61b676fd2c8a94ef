//! docs/metrics.md says what there is, no more and no less.

use std::{collections::BTreeMap, fs};

use pintle::metrics::open_metrics;
use pintle_test_support::repository;

use crate::{checker::check, output::full};

/// Type, labels and meaning of each family.
type Rows = BTreeMap<String, (String, Vec<String>, String)>;

#[test]
fn the_page_has_a_row_for_each_family_and_the_text_a_family_for_each_row() {
    let page = fs::read_to_string(repository().join("docs/metrics.md")).expect("the page is there");
    let rows = page.lines().filter(|line| line.starts_with("| `pintle_"));
    let written: Rows = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [name, kind, labels, meaning] = cells[..] else { panic!("a row has four cells: {row}") };
            let names =
                |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
            (names(name).concat(), (kind.to_owned(), names(labels), meaning.to_owned()))
        })
        .collect();
    let families = check(&open_metrics(&full())).expect("it is right");
    let told: Rows = families
        .into_values()
        .map(|family| {
            let labels = family.samples.first().expect("something is in each").labels.keys();
            let labels = labels.filter(|label| *label != "le").cloned().collect();
            (family.name, (family.kind, labels, family.help))
        })
        .collect();
    for (name, row) in &told {
        assert_eq!(written.get(name), Some(row), "{name}, as docs/metrics.md has it and as it is");
    }
    let more: Vec<_> = written.keys().filter(|name| !told.contains_key(*name)).collect();
    assert!(more.is_empty(), "docs/metrics.md has what is not there: {more:?}");
}
