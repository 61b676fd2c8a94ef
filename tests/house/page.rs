//! ARCHITECTURE.md ("Who may know whom") says what the tables of this test hold.

use std::{collections::BTreeMap, fs, path::Path};

use super::{MAY_BE_UNSAFE, MAY_KNOW};

#[test]
fn the_drawing_is_the_one_of_the_page() {
    let page = section();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")).map(|row| {
        let (part, others) = row.split_once("` |").expect("a row has two cells");
        (part, in_backticks(others))
    });
    let drawn: BTreeMap<&str, Vec<&str>> = rows.collect();
    let held = MAY_KNOW.iter().map(|(part, others)| (*part, others.to_vec())).collect();
    assert_eq!(drawn, held, "ARCHITECTURE.md and MAY_KNOW differ");
}

#[test]
fn the_page_names_each_place_of_unsafe_code() {
    let page = section();
    let (_, unsafe_places) = page.split_once("`unsafe` is for").expect("the page says where unsafe code is");
    let places = in_backticks(unsafe_places.split_once("Each block").expect("and how").0);
    let beyond_host = ["abi/", "sdk/"];
    let mut named: Vec<&str> = places.into_iter().filter(|place| !beyond_host.contains(place)).collect();
    named.sort_unstable();
    assert_eq!(named, MAY_BE_UNSAFE, "ARCHITECTURE.md and MAY_BE_UNSAFE differ");
}

fn section() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let page = fs::read_to_string(path).expect("ARCHITECTURE.md is there");
    let (_, section) = page.split_once("\n## Who may know whom\n").expect("the page has the drawing");
    section.split("\n## ").next().expect("a split gives one part at least").to_owned()
}

fn in_backticks(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
