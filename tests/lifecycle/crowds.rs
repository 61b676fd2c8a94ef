//! Steps of many plugins, or of one, from several threads at once.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use pintle::{ErrorKind, PluginState};
use pintle_test_support::samples;

use crate::scene::{Scene, draft, emit, info, state, until};

/// What a step may answer when others step in between.
#[track_caller]
fn in_between(outcome: pintle::Result<()>) {
    if let Err(error) = outcome {
        assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict), "{error}");
    }
}

#[test]
fn one_plugin_survives_steps_from_several_threads_at_once() {
    let scene = Scene::new()
        .witness("witness", &[("load", "subscribe w.>"), ("enable", "subscribe w.x; interval tick 1")]);
    let host = scene.started();
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            while !over.load(Relaxed) {
                let _ = host.emit("acme", draft("w.x", "")).expect("the host runs");
                let _ = host.call("", "witness.run", 1, "do", b"emit out.a", None);
            }
        });
        let steppers: Vec<_> = (0..4)
            .map(|number| {
                let host = &host;
                threads.spawn(move || {
                    for round in 0..25 {
                        in_between(match (round + number) % 4 {
                            0 => host.load("witness"),
                            1 => host.enable("witness"),
                            2 => host.disable("witness"),
                            _ => host.unload("witness"),
                        });
                    }
                })
            })
            .collect();
        let outcomes: Vec<_> = steppers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        over.store(true, Relaxed);
        for outcome in outcomes {
            outcome.expect("no step panics");
        }
    });
    host.enable("witness").expect("it is as good as new");
    assert_eq!(state(&host, "witness"), PluginState::Enabled);
    assert_eq!(info(&host, "witness").counters.registrations, 3);
    assert_eq!(emit(&host, "", "w.y", "").queued, 1);
    host.stop();
    // The journal of each generation is a life in order.
    let mut expected = &["load"][..];
    for line in scene.journal("witness").iter().filter(|line| !line.contains(' ')) {
        assert!(expected.contains(&line.as_str()), "{line} came where only {expected:?} may");
        expected = match line.as_str() {
            "load" => &["enable", "unload"],
            "enable" => &["disable"],
            "disable" => &["enable", "unload"],
            _ => &["load"],
        };
    }
    assert_eq!(scene.count("witness", "load: subscribe w.> = 0"), scene.count("witness", "release w.>"));
}

#[test]
fn to_enable_a_plugin_from_several_threads_at_once_is_to_enable_it() {
    for _ in 0..10 {
        let scene = Scene::new().witness("witness", &[]);
        let host = scene.host();
        thread::scope(|threads| {
            let enablers: Vec<_> = (0..4).map(|_| threads.spawn(|| host.enable("witness"))).collect();
            for enabler in enablers {
                enabler.join().expect("it does not panic").expect("it is enabled");
            }
        });
        assert_eq!(scene.journal("witness"), ["load", "enable"]);
    }
}

#[test]
fn many_plugins_come_and_go_at_once() {
    let mut scene = Scene::new().plugin(&samples().rust("hello")).plugin(&samples().c("hello"));
    let names: Vec<String> = (0..6).map(|number| format!("w{}", (b'a' + number) as char)).collect();
    for name in &names {
        scene = scene.witness(name, &[("load", "subscribe w.>")]);
    }
    let host = scene.started();
    thread::scope(|threads| {
        for id in names.iter().map(String::as_str).chain(["hello", "hello-rust"]) {
            let host = &host;
            threads.spawn(move || {
                for _ in 0..10 {
                    host.unload(id).expect("nobody else unloads it");
                    host.load(id).expect("nobody else loads it");
                    host.enable(id).expect("it is fine");
                    emit(host, "", "w.a", id);
                    emit(host, "", "greet.you", "{\"name\":\"you\"}");
                }
            });
        }
    });
    assert!(host.plugins().iter().all(|plugin| plugin.state == PluginState::Enabled));
    emit(&host, "", "w.last", "");
    for name in &names {
        until(name, || scene.count(name, "event w.> w.last") == 1);
    }
    assert!(host.stop().left.is_empty());
    for name in &names {
        let count = |line| scene.count(name, line);
        assert_eq!(
            (count("load"), count("enable"), count("disable"), count("unload")),
            (22, 11, 11, 11),
            "{name}"
        );
    }
}

#[test]
fn whatever_is_loaded_while_the_host_stops_is_unloaded_too() {
    for _ in 0..10 {
        let scene = Scene::new().witness("witness", &[]).witness("second", &[]);
        let host = scene.host();
        thread::scope(|threads| {
            for id in ["witness", "second"] {
                let host = &host;
                threads.spawn(move || {
                    while host.enable(id).map_or_else(|error| error.kind() != ErrorKind::Stopping, |()| true)
                    {
                        let _ = host.unload(id);
                    }
                });
            }
            until("they come and go", || {
                scene.count("witness", "load") > 1 && scene.count("second", "load") > 1
            });
            let stopped = host.stop();
            assert!(stopped.left.is_empty(), "{stopped:?}");
        });
        for id in ["witness", "second"] {
            assert!(
                matches!(state(&host, id), PluginState::Unloaded | PluginState::Failed),
                "{id}: {:?}",
                state(&host, id)
            );
            assert_eq!(scene.count(id, "load"), scene.count(id, "unload"), "{:?}", scene.journal(id));
        }
    }
}
