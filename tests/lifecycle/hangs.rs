//! A plugin that hangs hinders nobody else: not while it does, and not at the stop.

use std::{
    thread,
    time::{Duration, Instant},
};

use pintle::{ErrorKind, Host, control::Client};
use pintle_test_support::samples;
use serde_json::json;

use crate::scene::{Scene, ask, emit, info, until};

/// How many events the others must get while some hang.
const FURTHER: usize = 1_000;

fn hung_plugins_delay_nobody(hung: usize) {
    let mut scene = Scene::new()
        .deadlines("handler_ms = 1000")
        .witness("second", &[("load", "subscribe w.>")])
        .witness("third", &[("load", "subscribe w.>")]);
    let hang = format!("hang {}", scene.path("gate").display());
    let names: Vec<String> =
        (0..hung).map(|number| format!("stuck-{}", (b'a' + number as u8) as char)).collect();
    for name in &names {
        scene = scene.witness(name, &[("load", "subscribe w.>"), ("event", &hang)]);
    }
    let host = scene.started();
    emit(&host, "", "w.first", "");
    for name in &names {
        until("it hangs", || scene.count(name, "hangs") == 1);
    }
    for number in 0..FURTHER {
        emit(&host, "", "w.further", &number.to_string());
    }
    for name in ["second", "third"] {
        until("the others get all", || scene.count(name, "event w.> w.further") == FURTHER);
    }
    for name in &names {
        until("it is known as stuck", || info(&host, name).stuck);
        assert_eq!(scene.count(name, "event "), 1);
        assert!(!ask(&host, "", "second", "own").is_empty(), "calls are answered too");
        let kind = host.call("", &format!("{name}.run"), 1, "do", b"own", None).map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::Unavailable));
    }
    let stuck = || -> Vec<String> {
        let told = scene.records().into_iter().filter(|record| {
            record["message"].as_str().is_some_and(|text| text.starts_with("a plugin is stuck"))
        });
        told.map(|record| format!("{} in {}", record["of"], record["in"])).collect()
    };
    until("all are reported", || stuck().len() >= hung);
    assert!(stuck().iter().all(|line| line.contains("w.>")), "{:?}", stuck());

    stops_in_time(&host, &names, "w.>");
    for name in ["second", "third"] {
        assert_eq!(scene.journal(name).last().map(String::as_str), Some("unload"), "{name}");
    }
    assert_eq!(stuck().len(), hung, "each is reported once: {:?}", stuck());
    let_go(&scene, &host);
}

/// Stops the host, whose plugins of these names hang, and looks at what it says of them.
#[track_caller]
fn stops_in_time(host: &Host, names: &[String], inside: &str) {
    let deadline = Duration::from_millis(3_000);
    let begun = Instant::now();
    let stopped = host.stop_within(deadline);
    let took = begun.elapsed();
    // The rest is what a loaded machine needs to wake a thread.
    assert!(took <= deadline + Duration::from_millis(200), "it took {took:?}");
    assert_eq!(stopped.left.len(), names.len(), "{stopped:?}");
    for name in names {
        let left = stopped.left.iter().find(|left| left.starts_with(&format!("plugin \"{name}\" in ")));
        assert!(
            left.is_some_and(|left| left.contains(inside)),
            "{name} is not named with what it hangs in: {stopped:?}"
        );
        let failed = stopped.failed.iter().find(|error| error.plugin() == Some(name));
        assert_eq!(failed.map(|error| error.kind()), Some(ErrorKind::Timeout), "{name}: {stopped:?}");
    }
}

/// Lets what hangs return, so that nothing of this test runs beside the next one.
fn let_go(scene: &Scene, host: &Host) {
    scene.free("gate");
    until("the threads that were left behind end", || host.workers().workers == 0);
}

#[test]
fn events_20_a_plugin_that_hangs_delays_no_other_and_the_host_stops_in_time() {
    hung_plugins_delay_nobody(1);
}

#[test]
fn events_20_five_plugins_that_hang_delay_no_other_and_the_host_stops_in_time() {
    hung_plugins_delay_nobody(5);
}

#[test]
fn plugins_that_hang_do_not_keep_the_others_from_a_clean_stop_however_many() {
    let mut scene =
        Scene::new().deadlines("handler_ms = 1000").witness("first", &[("unload", "emit out.bye")]);
    let hang = format!("hang {}", scene.path("gate").display());
    let names: Vec<String> =
        (0..12).map(|number| format!("stuck-{}", (b'a' + number as u8) as char)).collect();
    for name in &names {
        scene = scene.witness(name, &[("load", "subscribe w.>"), ("event", &hang)]);
    }
    let host = scene.started();
    emit(&host, "", "w.first", "");
    for name in &names {
        until("it hangs", || scene.count(name, "hangs") == 1);
    }
    stops_in_time(&host, &names, "w.>");
    assert_eq!(scene.journal("first"), ["load", "enable", "disable", "unload", "unload: emit out.bye = 0"]);
    let_go(&scene, &host);
}

#[test]
fn contract_24_the_stop_is_in_time_wherever_a_plugin_hangs() {
    for place in ["enable", "disable", "unload"] {
        let scene = Scene::new().deadlines("load_ms = 1000\nstop_ms = 1000");
        let hang = format!("hang {}", scene.path("gate").display());
        let scene = scene.witness("witness", &[(place, &hang)]).witness("second", &[]);
        let host = scene.host();
        let _ = host.start();
        stops_in_time(&host, &["witness".to_owned()], &format!("`{place}`"));
        assert_eq!(scene.journal("second"), ["load", "enable", "disable", "unload"]);
        let_go(&scene, &host);
    }
}

#[test]
fn contract_24_the_stop_is_in_time_while_somebody_else_waits_for_a_step() {
    for place in ["load", "disable"] {
        let scene = Scene::new();
        let hang = format!("hang {}", scene.path("gate").display());
        let scene = scene.witness("witness", &[(place, &hang)]).witness("second", &[]);
        let host = scene.host();
        host.enable("second").expect("it is fine");
        thread::scope(|threads| {
            threads.spawn(|| host.enable("witness").and_then(|()| host.disable("witness")));
            until("it hangs", || scene.count("witness", "hangs") == 1);
            stops_in_time(&host, &["witness".to_owned()], &format!("`{place}`"));
            assert_eq!(scene.journal("second"), ["load", "enable", "disable", "unload"]);
            scene.free("gate");
        });
        let_go(&scene, &host);
    }
}

#[test]
fn contract_24_a_load_that_hangs_is_left_behind_at_the_stop_and_named() {
    let scene = Scene::new().deadlines("load_ms = 1000");
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene.witness("witness", &[("load", &hang)]);
    let host = scene.host();
    assert_eq!(host.start().failed.len(), 1);
    let stopped = host.stop_within(Duration::from_millis(500));
    assert_eq!(stopped.left, ["plugin \"witness\" in `load`"]);
    let_go(&scene, &host);
}

#[test]
fn contract_24_a_stuck_lane_resumes_when_its_call_returns() {
    let scene = Scene::new().deadlines("handler_ms = 500");
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene.witness("witness", &[("load", "subscribe w.>"), ("event", &hang)]);
    let host = scene.started();
    emit(&host, "", "w.first", "");
    until("it is known as stuck", || info(&host, "witness").stuck);
    let emitted = emit(&host, "", "w.meanwhile", "");
    assert_eq!((emitted.matched, emitted.dropped), (1, 1), "a stuck lane takes no more");
    assert_eq!(host.subscriptions()[0].counters.dropped.not_taken, 1);
    scene.free("gate");
    until("it is no longer stuck", || !info(&host, "witness").stuck);
    assert_eq!(emit(&host, "", "w.last", "").queued, 1);
    until("it is handled", || scene.count("witness", "event w.> w.last") == 1);
    assert!(host.stop().left.is_empty());
    let messages: Vec<_> = scene.records().into_iter().map(|record| record["message"].to_string()).collect();
    assert!(messages.iter().any(|text| text.contains("no longer stuck")), "{messages:?}");
}

#[test]
fn contract_24_an_unload_that_is_given_up_can_be_repeated_when_the_call_has_returned() {
    let scene = Scene::new().deadlines("stop_ms = 300");
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene.witness("witness", &[("load", "subscribe w.>"), ("event", &hang)]);
    let host = scene.started();
    emit(&host, "", "w.first", "");
    until("it hangs", || scene.count("witness", "hangs") == 1);
    let error = host.unload("witness").expect_err("it hangs");
    assert_eq!((error.kind(), error.plugin()), (ErrorKind::Timeout, Some("witness")));
    assert_eq!(emit(&host, "", "w.meanwhile", "").queued, 0, "nothing is delivered any more");
    scene.free("gate");
    until("it can be unloaded", || host.unload("witness").is_ok());
    let journal = scene.journal("witness");
    assert_eq!(journal.last().map(String::as_str), Some("unload"), "{journal:?}");
    assert_eq!(
        (scene.count("witness", "disable"), scene.count("witness", "release w.>")),
        (1, 1),
        "{journal:?}"
    );
    host.enable("witness").expect("it is as good as new");
}

#[test]
fn a_rust_plugin_that_hangs_while_it_is_unloaded_pins_only_its_own_library() {
    let scene = Scene::new().deadlines("load_ms = 1000").plugin(&samples().rust("hello"));
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene.witness("witness", &[("load", "subscribe w.>"), ("event", &hang)]);
    let host = scene.started();
    emit(&host, "", "w.first", "");
    until("it hangs", || scene.count("witness", "hangs") == 1);
    thread::scope(|threads| {
        threads.spawn(|| host.unload("hello-rust").expect("it does not hang"));
    });
    // Perhaps the worker that hangs had run the Rust plugin before; then that one is retired, and counted so.
    let closed = host.wait_closed(Duration::from_millis(200));
    assert_eq!(closed, host.workers().retired == 0);
    scene.free("gate");
    assert!(host.wait_closed(crate::scene::PATIENCE), "nothing is left when the call has returned");
}

#[test]
fn a_request_of_the_operator_that_ends_while_the_host_stops_is_not_told_as_left_behind() {
    let scene = Scene::with_workers(2);
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene.witness("witness", &[("disable", &hang)]).witness("second", &[]);
    let mut settings = scene.settings();
    settings.data = Some(scene.path("data"));
    let host = scene.host_of(settings);
    assert!(host.start().failed.is_empty());
    let mut client = Client::connect(&scene.path("data")).expect("it is there").expect("it serves");
    thread::scope(|threads| {
        threads.spawn(move || client.call("plugin.disable", json!({ "id": "witness" })));
        until("it hangs", || scene.count("witness", "hangs") == 1);
        let stopping = threads.spawn(|| host.stop());
        // Other plugins are unloaded when nobody is waited for any more who has asked for something.
        until("the stop goes on", || scene.count("second", "unload") == 1);
        scene.free("gate");
        let stopped = stopping.join().expect("no panic");
        assert!(stopped.left.is_empty() && stopped.failed.is_empty(), "{stopped:?}");
    });
    assert_eq!(scene.journal("witness").last().map(String::as_str), Some("unload"));
}
