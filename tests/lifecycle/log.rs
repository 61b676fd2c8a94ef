//! What plugins and host write into the log.

use pintle::log::Level;
use serde_json::Value;

use crate::scene::{Scene, ask, emit, until};

fn records_of(scene: &Scene, message: &str) -> Vec<Value> {
    scene.records().into_iter().filter(|record| record["message"] == message).collect()
}

#[test]
fn log_4_a_record_has_plugin_version_tenant_and_what_runs() {
    let scene = Scene::new().witness(
        "witness",
        &[
            ("load", "log 2 in load; subscribe w.>; interval tick 1"),
            ("event", "log 2 in event"),
            ("job", "log 2 in job"),
        ],
    );
    let host = scene.started();
    let emitted = {
        let mut event = crate::scene::draft("w.a", "");
        event.id = Some("event-7".into());
        host.emit("acme", event).expect("it is fine")
    };
    assert_eq!(emitted.queued, 1);
    ask(&host, "globex", "witness", "log 2 in call");
    until("its job has run", || scene.count("witness", "job: log") > 0);
    until("the event was handled", || scene.count("witness", "event: log") > 0);
    host.stop();
    let cases = [
        ("in load", Value::Null, Value::Null, ""),
        ("in event", "acme".into(), "event-7".into(), "event"),
        ("in job", Value::Null, "tick".into(), "job"),
        ("in call", "globex".into(), "witness.run.do".into(), "call"),
    ];
    for (message, tenant, name, kind) in cases {
        let records = records_of(&scene, message);
        let record = records.first().unwrap_or_else(|| panic!("{message} is missing"));
        assert_eq!((&record["plugin"], &record["version"]), (&"witness".into(), &"0.1.0".into()), "{record}");
        assert_eq!(record["level"], "info");
        assert_eq!(record["tenant"], tenant, "{record}");
        for other in ["event", "job", "call"] {
            let expected = if other == kind { name.clone() } else { Value::Null };
            assert_eq!(record[other], expected, "{record}");
        }
        let time = record["time"].as_str().expect("it has a time");
        assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
    }
}

#[test]
fn log_8_levels_change_while_plugins_run_for_one_or_for_all() {
    let scene = Scene::new().witness("witness", &[]).toml("log = 'warn'").witness("second", &[]);
    let host = scene.started();
    let say = |text: &str| {
        for name in ["witness", "second"] {
            for level in [Level::Debug, Level::Info, Level::Warn] {
                ask(&host, "", name, &format!("log {} {text} {name} {level}", level as u32));
            }
        }
    };
    say("settings");
    host.set_log_level(Some("witness"), Level::Debug);
    host.set_log_level(Some("second"), Level::Error);
    say("plugins");
    host.set_log_level(None, Level::Fatal);
    say("default");
    host.stop();
    let messages: Vec<String> = scene
        .records()
        .into_iter()
        .filter(|record| record["plugin"].is_string())
        .map(|record| record["message"].as_str().unwrap_or_default().to_owned())
        .collect();
    let expected = [
        "settings witness warn",
        "settings second debug",
        "settings second info",
        "settings second warn",
        "plugins witness debug",
        "plugins witness info",
        "plugins witness warn",
        "default witness debug",
        "default witness info",
        "default witness warn",
    ];
    assert_eq!(messages, expected, "a plugin's own level goes before the default");
}

#[test]
fn log_14_every_record_that_was_taken_is_written_when_the_host_stops() {
    let scene = Scene::new()
        .witness("witness", &[("load", "subscribe w.>"), ("event", "log 2 one"), ("unload", "log 2 last")]);
    let host = scene.started();
    for _ in 0..300 {
        emit(&host, "", "w.a", "");
    }
    until("all are handled", || scene.count("witness", "event: log") == 300);
    host.stop();
    assert_eq!((records_of(&scene, "one").len(), records_of(&scene, "last").len()), (300, 1));
}

#[test]
fn a_handler_that_fails_is_told_in_the_log_with_plugin_and_cause() {
    let scene = Scene::new().witness(
        "witness",
        &[("load", "subscribe w.>; once tick 0"), ("event", "fail out of ink"), ("job", "fail no paper")],
    );
    let host = scene.started();
    emit(&host, "", "w.a", "");
    until("both ran", || scene.count("witness", "event: fail") + scene.count("witness", "job: fail") == 2);
    host.stop();
    for text in ["plugin \"witness\": out of ink", "plugin \"witness\": no paper"] {
        let [record] = &records_of(&scene, text)[..] else {
            panic!("{text} is not there once: {:#?}", scene.records())
        };
        assert_eq!(record["level"], "warn");
    }
}

#[test]
fn log_1_every_level_is_written_and_fatal_exits_nothing() {
    let scene = Scene::new().toml("[log]\nlevel = 'trace'").witness("witness", &[]);
    let host = scene.started();
    host.set_log_level(Some("witness"), Level::Trace);
    let names = ["trace", "debug", "info", "warn", "error", "fatal"];
    for (number, name) in names.iter().enumerate() {
        assert_eq!(ask(&host, "", "witness", &format!("log {number} as {name}")).len(), 1);
    }
    assert!(!ask(&host, "", "witness", "own").is_empty(), "it goes on after `fatal`");
    host.stop();
    for name in names {
        let records = records_of(&scene, &format!("as {name}"));
        assert!(records.len() == 1 && records[0]["level"] == name, "{name}: {records:?}");
    }
}

#[test]
fn events_15_drops_are_told_in_the_log() {
    let scene = Scene::new();
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene.witness("witness", &[("load", "subscribe w.>"), ("event", &hang)]);
    let host = scene.started();
    emit(&host, "", "w.a", "");
    until("it hangs", || scene.count("witness", "hangs") == 1);
    let displaced: usize = (0..1_100).map(|_| emit(&host, "", "w.a", "").displaced).sum();
    assert_eq!(displaced, 1_100 - 1_024);
    assert_eq!(host.subscriptions()[0].counters.dropped.displaced, displaced as u64);
    let told = || records_of(&scene, "events were dropped because their handlers do not keep up");
    until("the log tells it, while the handler still hangs", || !told().is_empty());
    scene.free("gate");
    assert_eq!((&told()[0]["level"], &told()[0]["of"]), (&"warn".into(), &"witness".into()), "{:?}", told());
}
