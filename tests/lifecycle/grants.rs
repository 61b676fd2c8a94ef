//! What the manifest asks for, narrowed by the operator: refused with the line that is missing.

use crate::scene::{Scene, ask};

/// What each command came to, of a witness whose grants were narrowed.
fn tried(grants: &str, commands: &str) -> Vec<String> {
    let scene = Scene::new()
        .witness("second", &[])
        .witness("third", &[])
        .witness("witness", &[])
        .toml(&format!("[plugin.witness.grants]\n{grants}"));
    let host = scene.started();
    ask(&host, "", "witness", commands)
}

#[track_caller]
fn denied(answer: &str, texts: &[&str]) {
    assert!(answer.contains(" = 3 "), "{answer} should be DENIED");
    for text in texts {
        assert!(answer.contains(text), "{text} is missing in: {answer}");
    }
}

#[test]
fn events_7_settings_narrow_what_a_plugin_subscribes_to() {
    let answers = tried(
        "subscribe = ['w.a.>', 'elsewhere.>']",
        "subscribe w.a.b; subscribe w.a.>; subscribe w.b; subscribe w.>; subscribe elsewhere.x; subscribe plugin.x",
    );
    assert!(answers[0].ends_with("= 0") && answers[1].ends_with("= 0"), "{answers:?}");
    for (answer, pattern) in answers[2..].iter().zip(["w.b", "w.>", "elsewhere.x", "plugin.x"]) {
        denied(
            answer,
            &[&format!("may not subscribe to \"{pattern}\""), "in its manifest", "the host's settings"],
        );
    }
}

#[test]
fn settings_narrow_what_a_plugin_publishes() {
    let answers = tried("publish = ['out.good']", "emit out.good; emit out.bad; emit else");
    assert!(answers[0].ends_with("= 0"), "{answers:?}");
    for (answer, topic) in answers[1..].iter().zip(["out.bad", "else"]) {
        denied(answer, &[&format!("may not publish \"{topic}\""), "in its manifest", "the host's settings"]);
    }
}

#[test]
fn calls_6_settings_narrow_whom_a_plugin_calls() {
    let answers = tried("call = ['third.run']", "call third.run; call second.run; call nobody.run");
    assert!(answers[0].ends_with("= 0"), "{answers:?}");
    for (answer, service) in answers[1..].iter().zip(["second.run", "nobody.run"]) {
        denied(answer, &[&format!("may not call \"{service}\""), "in its manifest", "the host's settings"]);
    }
}

#[test]
fn settings_narrow_methods_and_services() {
    let answers = tried("methods = ['events.emit']", "emit out.a; subscribe w.a; interval tick 1000");
    assert!(answers[0].ends_with("= 0"), "{answers:?}");
    denied(&answers[1], &["may not call events.subscribe", "\"subscribe\" to the methods", "settings"]);
    denied(&answers[2], &["may not call scheduler.interval", "\"interval\" to the methods", "settings"]);

    let answers = tried(
        "services = ['scheduler']",
        "emit out.a; subscribe w.a; interval tick 1000; log 2 x; config /number",
    );
    denied(&answers[0], &["may not call events.emit", "\"events\""]);
    denied(&answers[1], &["may not call events.subscribe"]);
    for answer in &answers[2..] {
        assert!(answer.contains(" = 0"), "{answer}");
    }
}

#[test]
fn an_empty_list_leaves_nothing() {
    let answers =
        tried("subscribe = []\npublish = []\ncall = []", "subscribe w.a; emit out.a; call third.run");
    for answer in &answers {
        denied(answer, &["the host's settings"]);
    }
}

#[test]
fn settings_never_widen_what_the_manifest_asks_for() {
    let answers = tried(
        "subscribe = ['>']\npublish = ['>']\ncall = ['fourth.run']",
        "subscribe x.y; emit else; call fourth.run",
    );
    for answer in &answers {
        denied(answer, &["may not"]);
    }
}
