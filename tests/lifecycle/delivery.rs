//! Which events reach a plugin, and which do not, along the steps of its life.

use std::{
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use pintle::events::{Event, Policy, SubscribeOptions};

use crate::scene::{PATIENCE, Scene, ask, emit, info, until};

#[test]
fn contract_14_no_handler_runs_before_enable_returned() {
    let scene = Scene::new();
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene.witness("witness", &[("load", "subscribe w.>; interval tick 1"), ("enable", &hang)]);
    let host = scene.host();
    host.load("witness").expect("it is fine");
    assert_eq!(emit(&host, "", "w.loaded", "").dropped, 1);
    thread::scope(|threads| {
        let enabled = threads.spawn(|| host.enable("witness"));
        until("it is being enabled", || scene.count("witness", "hangs") == 1);
        assert_eq!(emit(&host, "", "w.enabling", "").dropped, 1);
        scene.free("gate");
        enabled.join().expect("it does not panic").expect("it is fine");
    });
    assert_eq!(emit(&host, "", "w.enabled", "").queued, 1);
    until("it is handled", || scene.count("witness", "event ") > 0);
    until("its job runs", || scene.count("witness", "job ") > 0);
    host.stop();
    let journal = scene.journal("witness");
    let enabled = journal.iter().position(|line| line.starts_with("enable: hang")).expect("it was enabled");
    let first = journal.iter().position(|line| line.starts_with("event ") || line.starts_with("job "));
    assert!(first.is_some_and(|first| first > enabled), "{journal:?}");
    assert_eq!(scene.count("witness", "event "), 1);
    assert_eq!(scene.count("witness", "event w.> w.enabled"), 1);
}

#[test]
fn contract_21_while_disabled_nothing_is_delivered_and_what_is_dropped_is_counted() {
    let scene = Scene::new().witness("witness", &[("load", "subscribe w.>")]);
    let host = scene.started();
    emit(&host, "", "w.before", "");
    until("it is handled", || info(&host, "witness").counters.handled == 1);
    host.disable("witness").expect("it is fine");
    for _ in 0..3 {
        let emitted = emit(&host, "", "w.meanwhile", "");
        assert_eq!((emitted.matched, emitted.queued, emitted.dropped), (1, 0, 1));
    }
    assert_eq!(host.subscriptions()[0].counters.dropped.not_live, 3);
    assert_eq!(host.event_totals().counters.dropped.total(), 3);
    host.enable("witness").expect("it is fine");
    emit(&host, "", "w.after", "");
    until("it is handled", || info(&host, "witness").counters.handled == 2);
    host.stop();
    let events: Vec<_> =
        scene.journal("witness").into_iter().filter(|line| line.starts_with("event")).collect();
    assert!(
        events[0].contains("w.before") && events[1].contains("w.after") && events.len() == 2,
        "{events:?}"
    );
}

#[test]
fn contract_21_what_waits_when_a_plugin_is_disabled_is_dropped_and_counted() {
    let scene = Scene::new();
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene.witness("witness", &[("load", "subscribe w.>"), ("event", &hang)]);
    let host = scene.started();
    for _ in 0..10 {
        emit(&host, "", "w.a", "");
    }
    until("the first is being handled", || scene.count("witness", "hangs") == 1);
    thread::scope(|threads| {
        let disabled = threads.spawn(|| host.disable("witness"));
        until("the others are dropped", || host.subscriptions()[0].counters.dropped.not_live == 9);
        scene.free("gate");
        disabled.join().expect("it does not panic").expect("it is fine");
    });
    let counters = host.subscriptions()[0].counters;
    assert_eq!((counters.delivered, counters.waiting, counters.running), (1, 0, 0));
    assert_eq!(scene.count("witness", "event "), 1);
}

#[test]
fn contract_22_what_is_registered_in_load_survives_disable_and_what_is_registered_since_enable_does_not() {
    let scene = Scene::new().witness(
        "witness",
        &[
            ("load", "subscribe w.load; interval load 3600000"),
            ("enable", "subscribe w.enable; interval enable 3600000"),
        ],
    );
    let host = scene.started();
    ask(&host, "", "witness", "subscribe w.call; interval call 3600000; subscribe w.two; unsubscribe w.two");
    until("what was ended is released", || scene.count("witness", "release w.two") == 1);
    let names = || -> Vec<String> {
        let subscriptions = host.subscriptions();
        let jobs = host.jobs();
        let mut names: Vec<_> = subscriptions.iter().map(|one| one.name.to_string()).collect();
        names.extend(jobs.iter().map(|one| format!("{} {}", one.name, one.live)));
        names.sort();
        names
    };
    let all = ["call true", "enable true", "load true", "w.call", "w.enable", "w.load"];
    assert_eq!(names(), all);
    until("what was ended before is released", || scene.count("witness", "release w.two") == 1);
    host.disable("witness").expect("it is fine");
    assert_eq!(names(), ["load false", "w.load"]);
    let journal = scene.journal("witness");
    let disabled = journal.iter().position(|line| line == "disable").expect("it was disabled");
    let mut released: Vec<_> = journal[disabled + 1..].iter().map(String::as_str).collect();
    released.sort_unstable();
    assert_eq!(released, ["release call", "release enable", "release w.call", "release w.enable"]);
    host.enable("witness").expect("it is fine");
    assert_eq!(names(), ["enable true", "load true", "w.enable", "w.load"]);
    assert_eq!(emit(&host, "", "w.load", "").queued, 1, "it is live again");
    assert_eq!(emit(&host, "", "w.enable", "").queued, 1);
    assert_eq!(emit(&host, "", "w.call", "").matched, 0);
    until("both are handled", || scene.count("witness", "event ") == 2);
}

#[test]
fn events_21_and_scheduler_17_unload_removes_all_subscriptions_and_jobs() {
    let script =
        [("load", "subscribe w.a; interval a 1"), ("enable", "subscribe w.b; interval b 1; once c 3600000")];
    let scene = Scene::new().witness("witness", &script);
    let host = scene.started();
    assert_eq!((host.subscriptions().len(), host.jobs().len()), (2, 3));
    host.unload("witness").expect("it is fine");
    assert_eq!((host.subscriptions().len(), host.jobs().len()), (0, 0));
    assert_eq!(emit(&host, "", "w.a", "").matched, 0);
    let journal = scene.journal("witness");
    assert_eq!(
        journal.last().map(String::as_str),
        Some("unload"),
        "nothing of it ran afterwards: {journal:?}"
    );
}

#[test]
fn events_11_transient_events_come_in_order_to_each_subscription() {
    let scene = Scene::new()
        .witness("witness", &[("load", "subscribe w.>")])
        .witness("second", &[("load", "subscribe w.>")]);
    let host = scene.started();
    for number in 0..500 {
        emit(&host, "", "w.a", &number.to_string());
    }
    for name in ["witness", "second"] {
        until(name, || scene.count(name, "event ") == 500);
        let journal = scene.journal(name);
        let events = journal.iter().filter(|line| line.starts_with("event "));
        for (number, line) in events.enumerate() {
            assert!(line.ends_with(&format!("data={number}")), "{name}: {line} is number {number}");
        }
    }
}

#[test]
fn what_a_plugin_emits_in_disable_and_unload_still_reaches_the_others_and_the_application() {
    let scene = Scene::new()
        .witness("first", &[("load", "subscribe plugin.>")])
        .witness("witness", &[("disable", "emit out.disable"), ("unload", "emit out.unload")]);
    let host = scene.started();
    let (tell, told) = mpsc::channel();
    host.subscribe("plugin.witness.>", move |event| {
        let _ = tell.send(event.topic.as_str().to_owned());
    })
    .expect("nobody has subscribed to it");
    host.unload("witness").expect("it is fine");
    for place in ["disable", "unload"] {
        assert_eq!(told.recv_timeout(PATIENCE), Ok(format!("plugin.witness.out.{place}")));
        until(place, || scene.count("first", &format!("event plugin.> plugin.witness.out.{place}")) == 1);
    }
}

#[test]
fn contract_80_calls_run_one_at_a_time_unless_the_manifest_asks_for_more_and_then_never_more() {
    for (concurrency, flags) in [(1, vec![]), (3, vec!["-DCONCURRENCY=3"])] {
        let scene = Scene::with_workers(8);
        let hang = format!("hang {}", scene.path("gate").display());
        let scene = scene.witness_with("witness", &flags, &[("load", "subscribe w.>"), ("event", &hang)]);
        let host = scene.started();
        for _ in 0..8 {
            emit(&host, "", "w.a", "");
        }
        until("as many as may run do", || scene.count("witness", "hangs") == concurrency);
        let counters = info(&host, "witness").counters;
        assert_eq!((counters.running, counters.waiting), (concurrency as u64, 8 - concurrency as u64));
        scene.free("gate");
        until("all are handled", || info(&host, "witness").counters.handled == 8);
    }
}

#[test]
fn events_16_emit_waits_for_no_handler() {
    const EVENTS: u32 = 3_000;
    let scene = Scene::new();
    let hang = format!("hang {}", scene.path("gate").display());
    let listening = [("load", "subscribe w.>; subscribe plugin.>"), ("event", hang.as_str())];
    let scene = scene.witness("witness", &listening).witness("third", &listening).witness("second", &[]);
    let host = scene.started();
    // The application listens too, with a queue that would make a publisher wait that is willing to.
    let (begun, begins) = mpsc::channel();
    let (go, goes) = mpsc::channel::<()>();
    let goes = Mutex::new(goes);
    let options = SubscribeOptions { capacity: 1, policy: Policy::Wait, ..SubscribeOptions::default() };
    let handler = move |_: &Event| {
        let _ = begun.send(());
        // Until the other end is gone.
        let _ = goes.lock().expect("no panic").recv();
    };
    host.subscribe_with(">", options, handler).expect("the pattern is valid");
    emit(&host, "", "w.first", "");
    for name in ["witness", "third"] {
        until("its handler hangs", || scene.count(name, "hangs") == 1);
    }
    begins.recv_timeout(PATIENCE).expect("the application's handler hangs");
    let started = Instant::now();
    for number in 0..EVENTS {
        assert_eq!(emit(&host, "", "w.further", &number.to_string()).matched, 3);
    }
    let script = vec!["emit out.x"; 500].join(";");
    for answer in ask(&host, "", "second", &script) {
        assert!(answer.ends_with("= 0"), "{answer}");
    }
    let took = started.elapsed();
    // Nothing of it was handled: not one of them can have waited for a handler.
    for name in ["witness", "third"] {
        assert_eq!(scene.count(name, "event "), 1);
    }
    assert!(begins.try_recv().is_err());
    // Far less than what one of these handlers may take.
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    drop(go);
    scene.free("gate");
}

#[test]
fn events_17_a_publisher_does_not_wait_for_room_in_a_queue_that_only_its_own_lane_empties() {
    let scene = Scene::new().witness("witness", &[("load", "narrow plugin.>")]);
    let host = scene.started();
    let started = Instant::now();
    for answer in ask(&host, "", "witness", "patient out.a; patient out.b; patient out.c") {
        assert!(answer.ends_with("= 0"), "{answer}");
    }
    assert!(started.elapsed() < Duration::from_secs(5), "not the minute that it would wait");
    assert_eq!(host.subscriptions()[0].counters.dropped.no_room, 2);
    until("the first is handled", || scene.count("witness", "event plugin.> plugin.witness.out.a") == 1);
}

#[test]
fn events_24_an_event_that_came_in_as_a_cloudevent_keeps_what_it_came_with() {
    let host = Scene::new().host();
    let (tell, told) = mpsc::channel();
    host.subscribe("a.b", move |event| {
        let _ = tell.send(event.clone());
    })
    .expect("the pattern is valid");
    let text = br#"{"specversion":"1.0","id":"its-own","source":"/else/where","type":"a.b","subject":"of it",
                    "time":"2001-02-03T04:05:06.789Z","data":1}"#;
    host.emit("", pintle::events::from_json(text).expect("it is one")).expect("it is the application's");
    let event = told.recv_timeout(PATIENCE).expect("it is heard");
    assert_eq!((&*event.id, &*event.source, &*event.subject), ("its-own", "/else/where", "of it"));
    assert_eq!(event.time_ms, 981_173_106_789);
}
