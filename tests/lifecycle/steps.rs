//! The steps of a plugin's life: which may follow which, what the plugin is called with, and what it may do in each.

use std::thread;

use pintle::{ErrorKind, PluginState};
use pintle_test_support::samples;

use crate::scene::{PATIENCE, Scene, ask, emit, heard, info, listen, state, told, until};

#[test]
fn contract_23_a_plugin_can_be_enabled_and_disabled_any_number_of_times() {
    let scene = Scene::new().witness("witness", &[]);
    let host = scene.host();
    host.load("witness").expect("it is fine");
    assert_eq!(state(&host, "witness"), PluginState::Loaded);
    for _ in 0..3 {
        host.enable("witness").expect("it is fine");
        assert_eq!(state(&host, "witness"), PluginState::Enabled);
        host.enable("witness").expect("that it is enabled already is no failure");
        host.disable("witness").expect("it is fine");
        assert_eq!(state(&host, "witness"), PluginState::Loaded);
        host.disable("witness").expect("that it is disabled already is no failure");
    }
    let first = info(&host, "witness");
    host.unload("witness").expect("it is fine");
    let gone = info(&host, "witness");
    assert_eq!((gone.state, gone.generation), (PluginState::Unloaded, None));
    host.enable("witness").expect("it is loaded again");
    let second = info(&host, "witness");
    assert_eq!(second.state, PluginState::Enabled);
    assert!(second.generation > first.generation && second.sha256 == first.sha256);
    assert_eq!((second.version.as_str(), second.built_in), ("0.1.0", false));
    host.stop();
    let steps = "load enable disable enable disable enable disable unload load enable disable unload";
    assert_eq!(scene.journal("witness").join(" "), steps);
}

#[test]
fn loading_twice_is_a_conflict_and_changes_nothing() {
    let scene = Scene::new().witness("witness", &[]);
    let host = scene.started();
    let error = host.load("witness").expect_err("it is loaded");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.to_string(), "plugin \"witness\": it is loaded already: unload it first");
    assert_eq!(state(&host, "witness"), PluginState::Enabled);
    assert_eq!(scene.journal("witness"), ["load", "enable"]);
}

#[test]
fn contract_18_where_load_failed_unload_is_not_called() {
    let scene = Scene::new().witness("witness", &[("load", "subscribe w.>; fail no")]);
    let host = scene.host();
    let error = host.enable("witness").expect_err("its load fails");
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Conflict, "plugin \"witness\": no".into()));
    assert!(host.subscriptions().is_empty(), "what it had registered is gone");
    assert!(host.wait_closed(PATIENCE));
    host.stop();
    assert_eq!(
        scene.journal("witness"),
        ["load", "load: subscribe w.> = 0", "load: fail no = 6"],
        "its registration is released, but after its journal was closed"
    );
}

#[test]
fn contract_19_where_enable_failed_disable_is_not_called() {
    let scene = Scene::new().witness("witness", &[("enable", "subscribe w.>; interval tick 1000; fail no")]);
    let host = scene.host();
    host.load("witness").expect("it is fine");
    for _ in 0..2 {
        let error = host.enable("witness").expect_err("its enable fails");
        assert_eq!(error.to_string(), "plugin \"witness\": no");
        assert_eq!(state(&host, "witness"), PluginState::Loaded);
        assert!(info(&host, "witness").error.is_some());
        assert!(host.subscriptions().is_empty() && host.jobs().is_empty(), "what enable registered is gone");
    }
    host.disable("witness").expect("there is nothing to disable");
    host.unload("witness").expect("it is loaded");
    let journal = scene.journal("witness");
    let steps: Vec<_> = journal.iter().filter(|line| !line.contains(' ')).collect();
    assert_eq!(steps, ["load", "enable", "enable", "unload"]);
    assert_eq!(scene.count("witness", "release "), 4);
}

#[test]
fn contract_20_unloading_disables_first_and_a_disable_that_fails_is_reported_and_stops_nothing() {
    let scene = Scene::new().witness("witness", &[("disable", "fail never")]);
    let host = scene.started();
    host.unload("witness").expect("it is unloaded all the same");
    assert_eq!(scene.journal("witness"), ["load", "enable", "disable", "disable: fail never = 6", "unload"]);
    assert_eq!(state(&host, "witness"), PluginState::Unloaded);
    host.stop();
    assert!(
        scene
            .records()
            .iter()
            .any(|record| { record["message"] == "plugin \"witness\": never" && record["level"] == "warn" })
    );
}

#[test]
fn a_disable_that_fails_is_answered_and_the_plugin_is_disabled_all_the_same() {
    let scene = Scene::new().witness("witness", &[("disable", "fail never")]);
    let host = scene.started();
    let error = host.disable("witness").expect_err("it said so");
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Conflict, "plugin \"witness\": never".into()));
    assert_eq!(state(&host, "witness"), PluginState::Loaded);
    host.enable("witness").expect("it can be enabled again");
}

#[test]
fn contract_11_everything_of_a_plugin_runs_on_threads_of_the_host() {
    let all = ["load", "enable", "disable", "unload", "event", "job"].map(|place| (place, "thread"));
    let mut scripts = all.to_vec();
    scripts[0].1 = "thread; subscribe w.>; interval tick 5";
    let scene = Scene::new().witness("witness", &scripts);
    let host = scene.started();
    emit(&host, "", "w.a", "");
    ask(&host, "", "witness", "thread");
    until("its job runs", || scene.count("witness", "job: thread") > 0);
    until("its event is handled", || scene.count("witness", "event: thread") > 0);
    host.stop();
    let journal = scene.journal("witness");
    for place in ["load", "enable", "disable", "unload", "event", "job", "call"] {
        let line = journal.iter().find(|line| line.starts_with(&format!("{place}: thread")));
        let line = line.unwrap_or_else(|| panic!("{place} did not run: {journal:?}"));
        let (_, names) = line.split_once("= 0 ").expect("it tells them");
        let (now, entry) = names.split_once(" entry ").expect("it tells both");
        for thread in [now, entry] {
            let number = thread.strip_prefix("pintle-").and_then(|number| number.parse::<u32>().ok());
            assert!(number.is_some(), "{place} ran on {thread}");
        }
    }
}

#[test]
fn contract_12_the_context_of_load_is_the_plugins_own_in_the_system_scope_and_lives_on() {
    let scene = Scene::new().witness("witness", &[]).witness("second", &[]);
    let host = scene.started();
    let own = told(&ask(&host, "acme", "witness", "own"));
    let use_it = format!("use {own}");
    assert_eq!(told(&ask(&host, "", "second", &use_it)), "scope 0 emit 0 subscribe 0 log 0 config 0");
    host.disable("witness").expect("it is fine");
    assert_eq!(told(&ask(&host, "", "second", &use_it)), "scope 0 emit 0 subscribe 16 log 0 config 0");
    host.enable("witness").expect("it is fine");
    assert_eq!(told(&ask(&host, "", "witness", "own")), own);
}

#[test]
fn contract_47_and_56_after_unload_every_context_of_the_generation_is_stale() {
    let scene = Scene::new().witness("witness", &[("load", "hold")]).witness("second", &[]);
    let host = scene.started();
    let own = told(&ask(&host, "", "witness", "own"));
    host.unload("witness").expect("it is fine");
    let stale = "scope 4 emit 4 subscribe 4 log 4 config 4";
    assert_eq!(told(&ask(&host, "", "second", &format!("use {own}"))), stale);
    host.enable("witness").expect("it is fine");
    assert_eq!(
        told(&ask(&host, "", "second", &format!("use {own}"))),
        stale,
        "a new generation has new ones"
    );
    assert_ne!(told(&ask(&host, "", "witness", "own")), own);
}

#[test]
fn contract_13_steps_run_alone_and_ahead_of_what_waits() {
    let scene = Scene::new();
    let gate = scene.path("gate");
    let hang = format!("hang {}", gate.display());
    let scene = scene.witness("witness", &[("load", "subscribe w.>"), ("event", &hang)]);
    let host = scene.started();
    for number in 0..5 {
        emit(&host, "", "w.a", &number.to_string());
    }
    until("the first event is being handled", || scene.count("witness", "hangs") == 1);
    thread::scope(|threads| {
        let disabled = threads.spawn(|| host.disable("witness"));
        until("it is being disabled", || info(&host, "witness").counters.waiting == 5);
        scene.free("gate");
        disabled.join().expect("it does not panic").expect("it is fine");
    });
    let journal = scene.journal("witness");
    let events = journal.iter().filter(|line| line.starts_with("event w.>")).count();
    assert_eq!((events, journal.last().map(String::as_str)), (1, Some("disable")), "{journal:?}");
}

#[test]
fn contract_15_in_load_an_emit_is_unavailable() {
    let script = "emit out.a; subscribe w.>; interval tick 1000";
    let scene = Scene::new().witness("witness", &[("load", script), ("enable", "emit out.a")]);
    let host = scene.host();
    listen(&host);
    host.enable("witness").expect("it is fine");
    let journal = scene.journal("witness");
    assert!(journal[1].starts_with("load: emit out.a = 14 a plugin does not act in `load`"), "{journal:?}");
    assert_eq!(journal[2..4], ["load: subscribe w.> = 0", "load: interval tick 1000 = 0"]);
    assert_eq!(journal[5..], ["enable: emit out.a = 0"]);
    assert_eq!(heard(&host), 1);
}

#[test]
fn contract_53_and_55_from_disable_on_registering_and_calling_is_stopping_and_the_rest_works() {
    let script = "subscribe w.x; interval tick 1000; once tock 1000; call second.run; hold; emit out.last; log 2 bye; config /number";
    let scene = Scene::new()
        .witness("second", &[])
        .witness("witness", &[("load", "subscribe w.>"), ("disable", script), ("unload", script)]);
    let host = scene.started();
    listen(&host);
    host.unload("witness").expect("it is fine");
    for place in ["disable", "unload"] {
        let journal = scene.journal("witness");
        let lines: Vec<_> =
            journal.iter().filter_map(|line| line.strip_prefix(&format!("{place}: "))).collect();
        let statuses: Vec<_> = lines.iter().map(|line| line.split_once(" = ").expect("it has one")).collect();
        for (command, status) in &statuses {
            let expected = match command.split(' ').next() {
                Some("emit" | "log" | "config") => "0",
                _ => "16",
            };
            assert_eq!(status.split(' ').next(), Some(expected), "in {place}: {command} = {status}");
        }
        assert_eq!(statuses.len(), 8, "{lines:?}");
    }
    assert_eq!(heard(&host), 2);
}

#[test]
fn contract_24_a_load_that_does_not_return_is_given_up_named_and_undone_when_it_does() {
    let scene = Scene::new().deadlines("load_ms = 1000");
    let hang = format!("subscribe w.>; hang {}", scene.path("gate").display());
    let scene = scene.witness("witness", &[("load", &hang)]).witness("second", &[("load", "subscribe w.>")]);
    let host = scene.host();
    let started = host.start();
    assert_eq!(started.enabled, ["second"]);
    let [error] = &started.failed[..] else { panic!("{started:?}") };
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let text =
        "plugin \"witness\": `load` did not return within 1000 ms: nothing else of it runs until it does";
    assert_eq!(error.to_string(), text);
    until("it is reported as stuck", || info(&host, "witness").stuck);
    emit(&host, "", "w.a", "");
    until("the other works", || scene.count("second", "event w.>") == 1);
    scene.free("gate");
    until("what came too late is undone", || {
        scene.journal("witness").last().is_some_and(|line| line == "unload")
    });
    until("it is no longer stuck", || !info(&host, "witness").stuck);
    host.enable("witness").expect("now it returns at once");
    assert_eq!(state(&host, "witness"), PluginState::Enabled);
}

#[test]
fn contract_24_an_enable_that_does_not_return_is_given_up_and_disabled_when_it_does() {
    let scene = Scene::new().deadlines("load_ms = 1000");
    let hang = format!("subscribe w.>; hang {}", scene.path("gate").display());
    let scene = scene.witness("witness", &[("enable", &hang)]);
    let host = scene.host();
    let error = host.enable("witness").expect_err("its enable hangs");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(state(&host, "witness"), PluginState::Loaded);
    scene.free("gate");
    until("what came too late is undone", || scene.count("witness", "disable") == 1);
    until("its registrations are gone", || host.subscriptions().is_empty());
    host.enable("witness").expect("now it returns at once");
    assert_eq!(emit(&host, "", "w.a", "").queued, 1);
}

#[test]
fn calls_that_a_plugin_makes_in_load_are_counted() {
    let scene = Scene::new().plugin(&samples().c("hello"));
    let host = scene.host();
    host.load("hello").expect("it is fine");
    assert_eq!(info(&host, "hello").counters.calls, 1, "it subscribes");
}

#[test]
fn what_a_plugin_did_is_counted_over_all_of_its_generations() {
    let scene =
        Scene::new().witness("witness", &[("load", "subscribe w.>"), ("event", "emit out.a; emit bad")]);
    let host = scene.started();
    for round in 1..=3 {
        emit(&host, "", "w.a", "");
        until("it is handled", || info(&host, "witness").counters.handled == round);
        let before = info(&host, "witness").counters;
        host.unload("witness").expect("it is fine");
        let after = info(&host, "witness").counters;
        assert!(after.calls >= before.calls && after.failed_calls == round, "{before:?} {after:?}");
        assert_eq!((after.registrations, after.handled), (0, round));
        host.enable("witness").expect("it is fine");
    }
}

#[test]
fn an_unloaded_library_is_gone_from_memory() {
    let scene = Scene::new().witness("witness", &[]).plugin(&samples().rust("hello"));
    let host = scene.started();
    host.unload("witness").expect("it is fine");
    host.unload("hello-rust").expect("it is fine");
    assert!(host.wait_closed(PATIENCE));
    assert_eq!(host.workers().retired, 0);
    host.stop();
    let gone =
        |record: &&serde_json::Value| record["message"] == "a library was closed and is gone from memory";
    assert_eq!(scene.records().iter().filter(gone).count(), 2);
}

#[test]
fn contract_89_a_library_whose_manifest_says_so_stays_mapped() {
    let scene = Scene::new().witness_with("witness", &["-DKEEP=true"], &[]);
    let host = scene.started();
    host.unload("witness").expect("it is fine");
    assert!(host.wait_closed(PATIENCE));
    host.stop();
    let kept =
        |record: &&serde_json::Value| record["message"] == "a library stays mapped, as its manifest asks";
    assert_eq!(scene.records().iter().filter(kept).count(), 1);
}
