//! What a plugin registers is given back to it: once, before its `unload`, and never while it is in use.

use std::{collections::BTreeMap, thread};

use crate::scene::{Scene, ask, emit, info, told, until};

/// How often each name was released, and that all of it came before `unload`.
fn released(scene: &Scene) -> BTreeMap<String, usize> {
    let journal = scene.journal("witness");
    let unload = journal.iter().position(|line| line == "unload").expect("it was unloaded");
    let mut released = BTreeMap::new();
    for (at, line) in journal.iter().enumerate() {
        if let Some(name) = line.strip_prefix("release ") {
            assert!(at < unload, "{name} was released after unload: {journal:#?}");
            *released.entry(name.to_owned()).or_default() += 1;
        }
    }
    released
}

#[test]
fn contract_65_release_is_called_once_and_before_unload_for_every_registration() {
    let scene = Scene::new().witness(
        "witness",
        &[
            ("load", "subscribe w.load; interval load 1; hold"),
            ("enable", "subscribe w.enable; interval enable 1; once once 0"),
        ],
    );
    let host = scene.started();
    // Ended one by one, replaced, refused, and left to the end.
    ask(&host, "", "witness", "subscribe w.ended; unsubscribe w.ended; interval removed 1; remove removed");
    ask(&host, "", "witness", "interval replaced 1000; interval replaced 2000");
    let refused = ask(&host, "", "witness", "subscribe w.load; subscribe not-granted; interval bad -1");
    for (answer, status) in refused.iter().zip(["= 6 ", "= 3 ", "= 8 "]) {
        assert!(answer.contains(status), "{answer}");
    }
    emit(&host, "", "w.load", "");
    until("the jobs and the event have run", || {
        ["job load", "job enable", "job once", "event w.load"]
            .iter()
            .all(|line| scene.count("witness", line) > 0)
    });
    host.stop();
    let expected = [
        ("enable", 1),
        ("load", 1),
        ("once", 1),
        ("removed", 1),
        ("replaced", 2),
        ("w.enable", 1),
        ("w.ended", 1),
        ("w.load", 1),
    ];
    assert_eq!(released(&scene), expected.map(|(name, times)| (name.to_owned(), times)).into());
}

#[test]
fn contract_65_release_comes_after_the_last_call_of_what_ends_itself() {
    let scene = Scene::new().witness(
        "witness",
        &[
            ("load", "subscribe w.>; interval tick 1"),
            ("event", "unsubscribe w.>; log 2 still here"),
            ("job", "remove tick; log 2 still here"),
        ],
    );
    let host = scene.started();
    emit(&host, "", "w.a", "");
    for name in ["w.>", "tick"] {
        until(name, || scene.count("witness", &format!("release {name}")) == 1);
    }
    host.stop();
    let journal = scene.journal("witness");
    for (last, name) in [("event: log", "release w.>"), ("job: log", "release tick")] {
        let place = |beginning: &str| {
            journal.iter().rposition(|line| line.starts_with(beginning)).expect("it is there")
        };
        assert!(place(last) < place(name), "{journal:#?}");
    }
    assert_eq!(released(&scene), [("tick".to_owned(), 1), ("w.>".to_owned(), 1)].into());
}

#[test]
fn contract_65_release_waits_for_a_call_that_is_under_way_when_the_plugin_is_unloaded() {
    let scene = Scene::new();
    let hang = format!("hang {}", scene.path("gate").display());
    let scene =
        scene.witness_with("witness", &["-DCONCURRENCY=2"], &[("load", "subscribe w.>"), ("event", &hang)]);
    let host = scene.started();
    emit(&host, "", "w.a", "");
    until("it is being handled", || scene.count("witness", "hangs") == 1);
    ask(&host, "", "witness", "unsubscribe w.>");
    thread::scope(|threads| {
        let unloaded = threads.spawn(|| host.unload("witness"));
        until("it is being unloaded", || info(&host, "witness").counters.waiting > 0);
        assert_eq!(scene.count("witness", "release"), 0);
        scene.free("gate");
        unloaded.join().expect("it does not panic").expect("it is fine");
    });
    assert_eq!(released(&scene), [("w.>".to_owned(), 1)].into());
}

#[test]
fn a_held_context_lives_until_the_generation_ends() {
    let scene = Scene::new().witness("witness", &[("load", "subscribe w.>"), ("event", "hold")]);
    let host = scene.started();
    emit(&host, "acme", "w.a", "");
    until("it holds", || scene.count("witness", "event: hold = 0") == 1);
    assert_eq!(ask(&host, "", "witness", "held log 2 x")[0], "held log 2 x = 0");
    assert_eq!(info(&host, "witness").counters.registrations, 2);
    host.disable("witness").expect("it is fine");
    host.enable("witness").expect("it is fine");
    assert_eq!(info(&host, "witness").counters.registrations, 2, "it is no handler");
    assert_eq!(ask(&host, "", "witness", "held log 2 x")[0], "held log 2 x = 0");
}

#[test]
fn contract_50_contract_56_a_handle_is_stale_for_other_plugins_and_for_the_next_generation() {
    let load = "subscribe w.kept; interval kept-job 60000";
    let scene = Scene::new().witness("witness", &[("load", load)]).witness("second", &[]);
    let host = scene.started();
    let handles =
        ["w.kept", "kept-job"].map(|name| told(&ask(&host, "", "witness", &format!("handle {name}"))));
    let stale = "unsubscribe 4 remove 4";
    let nobody_ends = |name: &str| {
        for handle in &handles {
            assert_eq!(told(&ask(&host, "", name, &format!("end {handle}"))), stale, "{handle} by {name}");
        }
        assert_eq!((host.subscriptions().len(), host.jobs().len()), (1, 1));
    };
    nobody_ends("second");
    host.unload("witness").expect("it is fine");
    host.enable("witness").expect("it is fine");
    nobody_ends("witness");
    let new = told(&ask(&host, "", "witness", "handle w.kept"));
    assert_eq!(told(&ask(&host, "", "witness", &format!("end {new}"))), "unsubscribe 0 remove 4");
}

#[test]
fn contract_29_contexts_are_held_up_to_a_quota() {
    let host = Scene::new().witness("witness", &[]).witness("second", &[]).started();
    let quota = "10 after 1024";
    let full = told(&ask(&host, "", "witness", "holds"));
    assert_eq!(full, quota);
    assert_eq!(told(&ask(&host, "", "witness", "holds")), quota, "what was released counts no more");
}

#[test]
fn contract_31_a_call_is_told_how_long_its_caller_waits_and_a_handler_that_nobody_does() {
    let scene = Scene::new().witness("witness", &[("load", "subscribe w.>"), ("event", "remaining")]);
    let host = scene.started();
    let left: u64 = told(&ask(&host, "", "witness", "remaining")).parse().expect("it is a number");
    // Rounded up, and the clock that deadlines are kept in has its own beat.
    assert!((1..=10_001).contains(&left), "of the 10 s of these tests {left} ms are left");
    emit(&host, "", "w.a", "");
    until("the handler is told", || scene.count("witness", "event: remaining = 0 forever") == 1);
}
