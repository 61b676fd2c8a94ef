//! Several hosts in one process, and the ends of a host.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use pintle::{ErrorKind, PluginState};
use pintle_test_support::samples;

use crate::scene::{PATIENCE, Scene, ask, draft, emit, heard, info, listen, state, told, until};

#[test]
fn contract_91_hosts_with_the_same_plugins_know_nothing_of_each_other() {
    let scene = || {
        Scene::new()
            .witness("witness", &[("load", "subscribe w.>; interval tick 3600000")])
            .plugin(&samples().rust("hello"))
    };
    let scenes = [scene(), scene(), scene()];
    let hosts: Vec<_> = scenes.iter().map(Scene::started).collect();
    for (number, host) in hosts.iter().enumerate() {
        listen(host);
        assert_eq!((host.subscriptions().len(), host.jobs().len()), (3, 1));
        for _ in 0..=number {
            emit(host, "", "w.a", &number.to_string());
        }
    }
    for (number, scene) in scenes.iter().enumerate() {
        until("its events are handled", || scene.count("witness", "event ") == number + 1);
        let own =
            scene.journal("witness").into_iter().filter(|line| line.ends_with(&format!("data={number}")));
        assert_eq!(own.count(), number + 1);
        assert_eq!(heard(&hosts[number]), 0);
    }
    // One host's context acts as its owner in its own host, whoever uses it: a context finds its host by itself.
    let own = told(&ask(&hosts[0], "", "witness", "own"));
    assert_eq!(
        told(&ask(&hosts[1], "", "witness", &format!("use {own}"))),
        "scope 0 emit 0 subscribe 0 log 0 config 0"
    );
    assert_eq!((heard(&hosts[0]), heard(&hosts[1])), (1, 0));

    let stopped = hosts[0].stop();
    assert!(stopped.left.is_empty() && stopped.failed.is_empty(), "{stopped:?}");
    let stale = "scope 4 emit 4 subscribe 4 log 4 config 4";
    assert_eq!(told(&ask(&hosts[1], "", "witness", &format!("use {own}"))), stale);
    assert_eq!(scenes[0].journal("witness").last().map(String::as_str), Some("unload"));
    emit(&hosts[1], "", "w.b", "");
    until("the others work on", || scenes[1].count("witness", "event w.> w.b") == 1);
    assert_eq!(scenes[1].count("witness", "unload"), 0);
}

#[test]
fn a_host_that_is_dropped_stops_first() {
    let scene =
        Scene::new().witness("witness", &[("load", "subscribe w.>")]).plugin(&samples().rust("hello"));
    let host = scene.started();
    let staged = staged_in(&host);
    assert!(staged.exists());
    drop(host);
    assert_eq!(
        scene.journal("witness"),
        ["load", "load: subscribe w.> = 0", "enable", "disable", "release w.>", "unload"]
    );
    until("its staged files are gone", || !staged.exists());
    let maps = std::fs::read_to_string("/proc/self/maps").expect("this is Linux");
    assert!(!maps.contains(&*staged.to_string_lossy()), "its libraries are gone");
}

/// The folder that a host stages its libraries in: only the memory map knows where it is.
fn staged_in(host: &pintle::Host) -> std::path::PathBuf {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("this is Linux");
    let generation = info(host, "witness").generation.expect("it is loaded").to_string();
    let path = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..])).find(|path| {
        path.contains("witness") && path.rsplit('/').next().is_some_and(|name| name.contains(&generation))
    });
    let path = std::path::Path::new(path.expect("it is mapped"));
    path.parent().expect("it lies in a folder").to_owned()
}

#[test]
fn a_host_that_has_stopped_takes_nothing_and_the_second_stop_does_nothing() {
    let scene = Scene::new().witness("witness", &[("load", "subscribe w.>"), ("unload", "fail never")]);
    let host = scene.started();
    assert!(host.stop().left.is_empty());
    let journal = scene.journal("witness");
    let again = host.stop();
    assert!(again.left.is_empty() && again.failed.is_empty());
    let kind = |result: pintle::Result<()>| result.map_err(|error| error.kind());
    assert_eq!(kind(host.load("witness")), Err(ErrorKind::Stopping));
    assert_eq!(kind(host.enable("witness")), Err(ErrorKind::Stopping));
    assert_eq!(kind(host.disable("witness")), Err(ErrorKind::NotFound));
    assert_eq!(kind(host.unload("witness")), Err(ErrorKind::NotFound));
    assert_eq!(kind(host.configure("witness", &serde_json::json!({}))), Err(ErrorKind::Stopping));
    assert_eq!(kind(host.subscribe("w.>", |_| {})), Err(ErrorKind::Stopping));
    assert_eq!(kind(host.emit("", draft("w.a", "")).map(drop)), Err(ErrorKind::Unavailable));
    let called = host.call("", "witness.run", 1, "do", b"own", None).map(drop);
    assert!(matches!(kind(called), Err(ErrorKind::Unavailable | ErrorKind::NotFound)));
    assert_eq!(state(&host, "witness"), PluginState::Unloaded);
    assert_eq!(host.workers().workers, 0);
    assert_eq!(scene.journal("witness"), journal);
}

#[test]
fn a_start_after_the_stop_starts_nothing() {
    let scene = Scene::new().witness("witness", &[]);
    let host = scene.host();
    host.stop();
    let started = host.start();
    assert!(started.enabled.is_empty(), "{started:?}");
    assert!(scene.journal("witness").is_empty());
}

#[test]
fn of_several_stops_at_once_one_does_the_work() {
    let scene = Scene::new().witness("witness", &[]);
    let host = scene.started();
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| host.stop());
        }
    });
    assert_eq!(scene.journal("witness"), ["load", "enable", "disable", "unload"]);
    assert_eq!(host.workers().workers, 0);
}

#[test]
fn a_host_stops_while_events_pour_in_from_several_threads() {
    let scene = Scene::new()
        .witness("witness", &[("load", "subscribe w.>; interval tick 1"), ("event", "emit out.echo")])
        .witness("second", &[("load", "subscribe w.>; subscribe plugin.>")])
        .plugin(&samples().rust("hello"));
    let host = scene.started();
    let taken = AtomicUsize::new(0);
    thread::scope(|threads| {
        for thread in 0..4 {
            let (host, taken) = (&host, &taken);
            threads.spawn(move || {
                loop {
                    let topic = if thread == 0 { "greet.you" } else { "w.a" };
                    match host.emit("acme", draft(topic, "{\"name\":\"you\"}")) {
                        Ok(_) => taken.fetch_add(1, Relaxed),
                        Err(error) => break assert_eq!(error.kind(), ErrorKind::Unavailable),
                    };
                }
            });
        }
        until("events pour in", || taken.load(Relaxed) > 2_000);
        let stopped = host.stop();
        assert!(stopped.left.is_empty() && stopped.failed.is_empty(), "{stopped:?}");
    });
    for name in ["witness", "second"] {
        assert_eq!(scene.journal(name).last().map(String::as_str), Some("unload"), "{name}");
        let disabled =
            scene.journal(name).iter().position(|line| line == "disable").expect("it was disabled");
        assert!(!scene.journal(name)[disabled..].iter().any(|line| line.starts_with("event ")), "{name}");
    }
    let counters = host.event_totals().counters;
    let settled = counters.delivered + counters.failed + counters.dropped.total();
    assert_eq!((counters.waiting, counters.running, counters.matched), (0, 0, settled), "{counters:?}");
    assert_eq!(host.workers().workers, 0);
}

#[test]
fn a_host_without_plugins_stops_at_once_even_if_it_never_started() {
    let begun = Instant::now();
    let scene = Scene::new();
    let host = scene.host();
    assert!(host.wait_idle(Duration::ZERO) && host.wait_closed(Duration::ZERO));
    host.stop();
    assert!(begun.elapsed() < PATIENCE / 4, "{:?}", begun.elapsed());
}
