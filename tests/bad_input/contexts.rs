//! Contexts and handles that are zero, forged, over, another's, or in the wrong process.

use pintle::PluginState;
use pintle_abi::*;

use crate::rig::{Expected, Rig, Running, SOON, plugin, relay};

const STALE: (PintleStatus, &str) = (
    PINTLE_STALE_HANDLE,
    "the context or handle is not valid: its call has ended, its generation is gone, or it was never given out",
);

/// What the method `use` of the probe tries.
const USES: [&str; 12] = [
    "scope",
    "emit",
    "sync",
    "subscribe",
    "job",
    "log",
    "enabled",
    "config",
    "remaining",
    "hold",
    "call",
    "set_error",
];

/// And what it tries of cache and storage.
pub(crate) const ITEM_USES: [&str; 22] = [
    "cache_set",
    "cache_get",
    "cache_get_into",
    "cache_exists",
    "cache_incr",
    "cache_expire",
    "cache_ttl",
    "cache_remove",
    "cache_get_many",
    "cache_set_many",
    "cache_set_absent",
    "cache_invalidate",
    "cache_invalidate_tag",
    "cache_keys",
    "cache_clear",
    "cache_stats",
    "storage_set",
    "storage_get",
    "storage_exists",
    "storage_keys",
    "storage_remove",
    "storage_clear",
];

fn probe() -> Running {
    Rig::of(&plugin("probe", &[])).with(&relay("a")).start_well()
}

/// The uses with this front, all answered alike but for the exceptions.
fn uses<'e>(
    fronts: &[&'static str],
    (status, text): (PintleStatus, &'e str),
    exceptions: &[Expected<'e>],
) -> Vec<(String, PintleStatus, &'e str)> {
    let mut expected = Vec::new();
    for front in fronts {
        for name in USES.into_iter().chain(ITEM_USES) {
            let name = format!("{front}{name}");
            let other = exceptions.iter().find(|(of, ..)| *of == name);
            let (status, text) = other.map_or((status, text), |(_, status, text)| (*status, *text));
            expected.push((name, status, text));
        }
    }
    expected
}

fn borrowed<'e>(expected: &'e [(String, PintleStatus, &'e str)]) -> Vec<Expected<'e>> {
    expected.iter().map(|(name, status, text)| (name.as_str(), *status, *text)).collect()
}

const NOT_RUNNING: &str = "no function of the plugin runs under this context";
const TAKEN: &str = "there is a subscription with the name \"probe.used\" already";

#[test]
fn contract_45_a_context_that_is_zero_or_forged_is_stale_for_every_function() {
    let cases = probe().probe("contexts", "");
    let mut expected = uses(&["zero_", "one_", "all_ones_", "next_", "one_bit_"], STALE, &[]);
    expected.extend(["release_zero", "release_forged"].map(|name| (name.to_owned(), STALE.0, STALE.1)));
    cases.are(&borrowed(&expected));
    assert_eq!(cases.number("guesses_not_stale"), 0);
}

#[test]
fn contract_46_the_context_of_a_call_is_stale_after_it_on_the_same_and_on_another_thread() {
    let running = probe();
    running.probe("stash", "");
    running.probe("stale", "").are(&borrowed(&uses(&["same_", "other_"], STALE, &[])));
}

#[test]
fn contract_51_a_live_context_acts_as_its_owner_on_a_thread_of_the_plugin() {
    let fine = (PINTLE_OK, "");
    let exceptions = [("own_set_error", PINTLE_NOT_FOUND, NOT_RUNNING)];
    probe().probe("thread", "").are(&borrowed(&uses(&["call_", "own_"], fine, &exceptions)));
}

#[test]
fn contract_52_in_a_forked_child_every_context_is_stale_and_the_parent_goes_on() {
    let running = probe();
    let cases = running.probe("fork", "");
    for child in ["child_call", "child_own"] {
        assert_eq!(cases.number(child), i64::from(PINTLE_STALE_HANDLE), "{child} (200: it was killed)");
    }
    cases.are(&borrowed(&uses(&["parent_"], (PINTLE_OK, ""), &[])));
    running.probe("tables", "");
}

#[test]
fn contract_12_the_own_context_lives_from_load_to_unload_and_acts_as_its_plugin_for_others_too() {
    let running = two_probes();
    let own = running.ask("probe2.run", "own", "").expect("it answers");
    // A copied context acts as its owner: what is granted and named is probe2's.
    let exceptions = [
        ("set_error", PINTLE_NOT_FOUND, NOT_RUNNING),
        ("other_set_error", PINTLE_NOT_FOUND, NOT_RUNNING),
        ("other_subscribe", PINTLE_CONFLICT, TAKEN),
    ];
    let expected = uses(&["", "other_"], (PINTLE_OK, ""), &exceptions);
    running.probe("use", &own).are(&borrowed(&expected));
    // Disabled it is still there, but neither registers nor waits.
    running.disable("probe2").expect("nothing of it fails");
    let stopping = "the plugin is being disabled";
    let exceptions = ["subscribe", "job", "hold", "call", "sync"].map(|name| {
        [(name.to_owned(), PINTLE_STOPPING, stopping), (format!("other_{name}"), PINTLE_STOPPING, stopping)]
    });
    let mut exceptions: Vec<_> = exceptions.into_iter().flatten().collect();
    exceptions.extend(
        ["set_error", "other_set_error"].map(|name| (name.to_owned(), PINTLE_NOT_FOUND, NOT_RUNNING)),
    );
    let expected = uses(&["", "other_"], (PINTLE_OK, ""), &borrowed(&exceptions));
    running.probe("use", &own).are(&borrowed(&expected));
}

#[test]
fn contract_47_and_contract_56_after_unload_every_context_of_the_generation_is_stale() {
    let running = two_probes();
    let own = running.ask("probe2.run", "own", "").expect("it answers");
    running.unload("probe2").expect("nothing of it fails");
    let expected = uses(&["", "other_"], STALE, &[]);
    running.probe("use", &own).are(&borrowed(&expected));
    assert!(running.wait_closed(SOON));
    running.probe("use", &own).are(&borrowed(&expected));
    // A new generation does not revive it.
    running.enable("probe2").expect("it can be loaded again");
    assert_eq!(running.state("probe2"), PluginState::Enabled);
    running.probe("use", &own).are(&borrowed(&expected));
}

#[test]
fn contract_29_a_held_context_lives_until_it_is_released() {
    let cases = probe().probe("hold", "");
    let exceptions = [("held_set_error", PINTLE_NOT_FOUND, NOT_RUNNING)];
    let mut expected = uses(&["held_"], (PINTLE_OK, ""), &exceptions);
    expected.extend(uses(&["released_"], STALE, &[]));
    let not_held = "argument `held`: this context was given to a function, not held: it ends by itself";
    expected.extend([
        ("hold".to_owned(), PINTLE_OK, ""),
        ("release".to_owned(), PINTLE_OK, ""),
        ("release_again".to_owned(), STALE.0, STALE.1),
        ("release_a_calls".to_owned(), PINTLE_INVALID_ARGUMENT, not_held),
        ("release_the_own".to_owned(), PINTLE_INVALID_ARGUMENT, not_held),
    ]);
    cases.are(&borrowed(&expected));
}

#[test]
fn contract_50_handles_that_are_over_forged_or_of_another_kind_are_stale() {
    let (stale, text) = STALE;
    probe().probe("handles", "").are(&[
        ("subscribe", PINTLE_OK, ""),
        (
            "subscribe_again",
            PINTLE_CONFLICT,
            "there is a subscription with the name \"probe.handles\" already",
        ),
        ("once", PINTLE_OK, ""),
        ("unsubscribe_zero", stale, text),
        ("unsubscribe_forged", stale, text),
        ("unsubscribe_a_job", stale, text),
        ("remove_a_subscription", stale, text),
        ("unsubscribe", PINTLE_OK, ""),
        ("unsubscribe_again", stale, text),
        ("remove", PINTLE_OK, ""),
        ("remove_again", stale, text),
        ("logger_new", PINTLE_OK, ""),
        ("logger_write", PINTLE_OK, ""),
        ("logger_forged", stale, text),
        ("logger_zero", stale, text),
        ("logger_free", PINTLE_OK, ""),
        ("logger_free_again", stale, text),
        ("logger_after_free", stale, text),
    ]);
}

fn two_probes() -> Running {
    let second = plugin("probe", &["-DNAME=probe2"]);
    let bytes = std::fs::read(second).expect("it was built");
    let rig = Rig::of(&plugin("probe", &[])).with(&relay("a")).with_file("probe2.so", bytes);
    rig.start_well()
}
