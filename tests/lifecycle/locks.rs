//! No lock of the host is held while code of a plugin runs: wherever a plugin hangs, everything that an application or
//! another plugin asks of the host is answered.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use pintle::{Host, Result, log::Level};
use serde_json::json;

use crate::scene::{Scene, ask, draft, emit, until};

/// Within which each answer must come: far below the deadlines of the plugin's functions (10 s), which would end a
/// wait for one of them.
const PROMPTLY: Duration = Duration::from_secs(4);

/// Asks for everything, from a thread of its own, while `hangs` does not return.
///
/// `before` brings the witness to where `hangs` can be called.
#[track_caller]
fn all_is_answered(
    place: &str,
    scene: Scene,
    before: impl FnOnce(&Host),
    hangs: impl FnOnce(&Host) + Send,
    is_here: impl Fn(&Scene) -> bool,
) {
    let scene = scene
        .witness("second", &[("load", "subscribe w.>"), ("enable", "interval beat 20")])
        .witness("third", &[("load", "subscribe w.>")]);
    let host = scene.host();
    host.enable("second").expect("it is fine");
    before(&host);
    let unanswered = thread::scope(|threads| {
        threads.spawn(|| hangs(&host));
        let (told, tale) = mpsc::channel();
        until(&format!("it hangs in {place}"), || is_here(&scene));
        let (host, scene) = (&host, &scene);
        threads.spawn(move || everything(host, scene, &told));
        let mut last = "nothing";
        let unanswered = loop {
            match tale.recv_timeout(PROMPTLY) {
                Ok((what, Ok(()))) => last = what,
                Ok((what, Err(why))) => break Some(format!("{what}: {why}")),
                Err(RecvTimeoutError::Timeout) => break Some(format!("what comes after {last} waits")),
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        // Also where this fails, or the threads could not be joined.
        scene.free("gate");
        unanswered
    });
    assert_eq!(unanswered, None, "while a plugin hangs in {place}");
    assert!(host.stop().left.is_empty());
}

/// What is told of each function: its name, and what went wrong.
type Told = mpsc::Sender<(&'static str, std::result::Result<(), String>)>;

/// Asks, and looks at the answer.
type Look = fn(&Host);

fn everything(host: &Host, scene: &Scene, told: &Told) {
    let tell = |what, outcome: Result<()>| {
        // Nobody listens any more once one has failed.
        let _ = told.send((what, outcome.map_err(|error| error.to_string())));
    };
    let look: [(&str, Look); 8] = [
        ("plugins", |host| assert_eq!(host.plugins().iter().filter(|one| one.id == "second").count(), 1)),
        ("available", |host| drop(host.available())),
        ("subscriptions", |host| assert!(!host.subscriptions().is_empty())),
        ("jobs", |host| assert!(!host.jobs().is_empty())),
        ("event_totals", |host| assert!(host.event_totals().emitted > 0)),
        ("configs", |host| assert!(host.configs().contains_key("second"))),
        ("workers", |host| assert!(host.workers().workers > 0)),
        ("set_log_level", |host| {
            host.set_log_level(Some("witness"), Level::Trace);
            host.set_log_level(None, Level::Debug);
        }),
    ];
    for (what, look) in look {
        look(host);
        tell(what, Ok(()));
    }
    tell("reopen_log", host.reopen_log());
    tell("subscribe", host.subscribe("w.own", |_| {}));
    tell("emit", host.emit("acme", draft("w.x", "")).map(drop));
    tell("emit_and_wait", host.emit_and_wait("", draft("w.x", ""), Duration::from_millis(1)).map(drop));
    for (what, step) in [
        ("load", Host::load as fn(&Host, &str) -> Result<()>),
        ("enable", Host::enable),
        ("disable", Host::disable),
        ("enable again", Host::enable),
        ("unload", Host::unload),
        ("load again", Host::load),
        ("enable for the second time", Host::enable),
    ] {
        tell(what, step(host, "third"));
    }
    tell("configure", host.configure("third", &json!({ "journal": scene.journal_of("third"), "number": 2 })));
    // What a plugin asks of the host: each table.
    for (what, commands) in [
        ("events of a plugin", "emit out.x; subscribe w.more; unsubscribe w.more"),
        ("jobs of a plugin", "interval more 60000; remove more; once other 60000; cron more @daily"),
        ("log and config of a plugin", "log 2 text; config /journal"),
        ("contexts of a plugin", "hold; held own; release; use 0"),
        ("a call of a plugin", "call third.run"),
    ] {
        let answer = host.call("acme", "second.run", 1, "do", commands.as_bytes(), None);
        let refused = answer.map(|answer| {
            let answer = String::from_utf8_lossy(&answer).into_owned();
            answer.lines().find(|line| !line.contains(" = 0")).map(str::to_owned)
        });
        let outcome = match refused {
            Ok(None) => Ok(()),
            Ok(Some(line)) => Err(line),
            Err(error) => Err(error.to_string()),
        };
        let _ = told.send((what, outcome));
    }
}

fn hung_once(scene: &Scene) -> bool {
    scene.count("witness", "hangs") == 1
}

#[test]
fn contract_79_no_lock_is_held_while_a_lifecycle_function_runs() {
    for place in ["load", "enable", "disable", "unload", "configure"] {
        let scene = Scene::new();
        let hang = format!("hang {}", scene.path("gate").display());
        let journal = scene.journal_of("witness");
        let scene = scene.witness("witness", &[(place, &hang)]);
        // `configure` gives a new config, without the script: the old one counts until it has returned.
        let config = json!({ "journal": journal, "number": 2 });
        let hangs = move |host: &Host| {
            let outcome = match place {
                "load" => host.load("witness"),
                "enable" => host.enable("witness"),
                "disable" => host.disable("witness"),
                "unload" => host.unload("witness"),
                _ => host.configure("witness", &config),
            };
            outcome.unwrap_or_else(|error| panic!("{place}: {error}"));
        };
        let before = |host: &Host| {
            if !matches!(place, "load" | "enable") {
                host.enable("witness").expect("it is fine");
            }
        };
        all_is_answered(place, scene, before, hangs, hung_once);
    }
}

#[test]
fn contract_79_no_lock_is_held_while_the_entry_function_runs() {
    let scene = Scene::new();
    let gate = scene.path("gate");
    let scene = scene.witness_with("witness", &[&format!("-DGATE={gate:?}")], &[]);
    let hangs = |host: &Host| host.load("witness").expect("it is let go in time");
    all_is_answered("the entry", scene, |_| (), hangs, |_| gate.with_extension("here").exists());
}

#[test]
fn contract_79_no_lock_is_held_while_a_handler_or_a_release_runs() {
    for (place, load, trigger) in [
        ("event", "subscribe w.first", "emit"),
        ("job", "", "once job 0"),
        ("release", "subscribe w.first", "unsubscribe w.first"),
        ("call", "", "hang"),
    ] {
        let scene = Scene::new();
        let hang = format!("hang {}", scene.path("gate").display());
        let at = if place == "call" { "event" } else { place };
        let scene = scene.witness("witness", &[("load", load), (at, &hang)]);
        let hangs = move |host: &Host| match trigger {
            "emit" => drop(emit(host, "", "w.first", "")),
            "hang" => drop(ask(host, "", "witness", &hang)),
            _ => drop(ask(host, "", "witness", trigger)),
        };
        let before = |host: &Host| host.enable("witness").expect("it is fine");
        all_is_answered(place, scene, before, hangs, hung_once);
    }
}

#[test]
fn contract_79_no_lock_is_held_while_a_sink_is_written() {
    for function in ["config", "text", "scope", "error", "call", "sync"] {
        let scene = Scene::new();
        let sink = format!("sink {function} {}", scene.path("gate").display());
        let scene = scene.witness("witness", &[]);
        let hangs = move |host: &Host| {
            let answer = ask(host, "", "witness", &sink);
            assert!(answer[0].contains(" = 0"), "{answer:?}");
        };
        let before = |host: &Host| {
            host.enable("witness").expect("it is fine");
            // For `sync`, so that there is a result.
            host.subscribe("plugin.witness.out.sink", |_| {}).expect("nobody has subscribed to it");
        };
        all_is_answered(&format!("a sink of {function}"), scene, before, hangs, hung_once);
    }
}
