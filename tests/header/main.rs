//! The header that C and C++ authors get: equal to the contract, accepted by every compiler, documented whole.
//!
//! `text` reads the header; `compile` gives it to the compilers, with the C files of this folder; `layout` compares
//! sizes and offsets with the Rust types; `docs` holds the rules for comments and names.

mod compile;
mod docs;
mod layout;
mod text;

/// The checked-in header.
const HEADER: &str = include_str!("../../include/pintle/plugin.h");

#[test]
fn contract_1_the_checked_in_header_is_the_generated_one() {
    let generated =
        std::fs::read_to_string(env!("PINTLE_GENERATED_HEADER")).expect("build.rs has just written it");
    let lines = generated.lines().zip(HEADER.lines()).enumerate();
    if let Some((at, (new, old))) = lines.into_iter().find(|(_, (new, old))| new != old) {
        panic!(
            "include/pintle/plugin.h is stale from line {}: it has\n{old}\nwhere abi/ gives\n{new}\n\
             run `cargo xtask header` and commit the result",
            at + 1
        );
    }
    assert_eq!(generated.len(), HEADER.len(), "include/pintle/plugin.h is stale: run `cargo xtask header`");
}
