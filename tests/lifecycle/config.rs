//! Changing a plugin's config while it runs.

use pintle::{ErrorKind, Host};
use serde_json::{Value, json};

use crate::scene::{Scene, ask, told};

fn config(scene: &Scene, changes: &Value) -> Value {
    let mut config = json!({ "journal": scene.journal_of("witness") });
    let config_map = config.as_object_mut().expect("it is one");
    for (key, value) in changes.as_object().expect("it is one") {
        config_map.insert(key.clone(), value.clone());
    }
    config
}

#[test]
fn config_6_a_change_is_offered_to_the_plugin_and_then_counts() {
    let scene = Scene::new().witness("witness", &[("configure", "config /number")]);
    let host = scene.started();
    assert_eq!(told(&ask(&host, "", "witness", "config /number")), "1");
    let new = config(&scene, &json!({ "number": 7, "configure": "config /number" }));
    host.configure("witness", &new).expect("it is valid");
    let journal = scene.journal("witness");
    assert!(
        journal.iter().any(|line| line.starts_with("configure {") && line.contains("\"number\":7")),
        "{journal:?}"
    );
    assert!(
        journal.contains(&"configure: config /number = 0 1".to_owned()),
        "until it agrees it reads the old one"
    );
    assert_eq!(told(&ask(&host, "", "witness", "config /number")), "7");
    assert_eq!(host.configs()["witness"]["number"], 7);
    // What changes nothing is not offered.
    let offered = scene.count("witness", "configure {");
    host.configure("witness", &new).expect("it is valid");
    assert_eq!(scene.count("witness", "configure {"), offered);
}

#[test]
fn config_7_a_refused_change_leaves_the_old_config_and_tells_why() {
    let scene = Scene::new().witness("witness", &[("configure", "fail seven is unlucky")]);
    let host = scene.started();
    let error = host.configure("witness", &config(&scene, &json!({ "number": 7 }))).expect_err("it refuses");
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::Conflict, "plugin \"witness\": seven is unlucky".into())
    );
    assert_eq!(told(&ask(&host, "", "witness", "config /number")), "1");
    assert_eq!(host.configs()["witness"]["number"], 1);
}

#[test]
fn config_2_everything_that_is_wrong_with_a_change_is_told_at_once_and_the_plugin_is_not_asked() {
    let scene = Scene::new().witness("witness", &[]);
    let host = scene.started();
    let wrong = json!({ "number": 0, "load": 7, "jurnal": "x" });
    let error = host.configure("witness", &wrong).expect_err("all of it is wrong");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let error = error.to_string();
    for part in ["plugin \"witness\": the new config is not valid: ", "/number", "/load", "jurnal", "journal"]
    {
        assert!(error.contains(part), "{part} is missing in: {error}");
    }
    assert_eq!(scene.count("witness", "configure"), 0);
    assert_eq!(told(&ask(&host, "", "witness", "config /number")), "1");
    let kind = host.configure("nobody", &json!({})).map_err(|error| error.kind());
    assert_eq!(kind, Err(ErrorKind::NotFound));
}

#[test]
fn a_changed_config_is_kept_over_disable_and_enable() {
    let scene = Scene::new().witness("witness", &[]);
    let host = scene.started();
    host.disable("witness").expect("it is fine");
    host.configure("witness", &config(&scene, &json!({ "number": 7 }))).expect("it is valid");
    host.enable("witness").expect("it is fine");
    assert_eq!(told(&ask(&host, "", "witness", "config /number")), "7");
}

/// What the operator sets begins with what he is shown: each secret stays with what it belongs to, or he is asked for it.
#[test]
fn secrets_in_lists_stay_with_their_elements_when_the_operator_changes_the_list() {
    let door = |name: &str, key: &str| json!({ "name": name, "key": key });
    let (front, back) = (door("front", "secret-f"), door("back", "secret-b"));
    let (front_shown, back_shown) = (door("front", "***"), door("back", "***"));
    let set = |host: &Host, scene: &Scene, changes: Value| {
        host.ask("config.set", json!({ "id": "witness", "config": config(scene, &changes) }))
    };
    let both = json!([front, back]);
    let cases = [
        ("as it is shown", json!([front_shown, back_shown]), Some(both.clone())),
        ("one is gone", json!([back_shown]), Some(json!([back]))),
        ("in another order", json!([back_shown, front_shown]), Some(json!([back, front]))),
        ("one more", json!([front_shown, back_shown, front]), Some(json!([front, back, front]))),
        ("one more in front", json!([door("x", "y"), back_shown]), Some(json!([door("x", "y"), back]))),
        (
            "one is changed",
            json!([front_shown, door("rear", "***")]),
            Some(json!([front, door("rear", "secret-b")])),
        ),
        (
            "a new secret",
            json!([door("front", "new"), back_shown]),
            Some(json!([door("front", "new"), back])),
        ),
        ("both are changed", json!([door("a", "***"), door("b", "***")]), None),
        ("one is gone, and the other changed", json!([door("rear", "***")]), None),
        ("one that was not there", json!([front_shown, back_shown, door("new", "***")]), None),
    ];
    for (what, doors, expected) in cases {
        let scene = Scene::new().witness("witness", &[]);
        let host = scene.started();
        host.configure("witness", &config(&scene, &json!({ "doors": both }))).expect("it is valid");
        assert_eq!(host.configs()["witness"]["doors"], json!([front_shown, back_shown]));
        let outcome = set(&host, &scene, json!({ "doors": doors }));
        match &expected {
            Some(_) => drop(outcome.unwrap_or_else(|error| panic!("{what}: {error}"))),
            None => {
                let error = outcome.expect_err(what);
                assert_eq!(
                    (error.kind(), error.plugin()),
                    (ErrorKind::InvalidArgument, Some("witness")),
                    "{what}"
                );
                assert!(
                    error.to_string().contains("config/doors/") && !error.to_string().contains("secret-"),
                    "{what}: {error}"
                );
            }
        }
        let now: Value =
            serde_json::from_str(&told(&ask(&host, "", "witness", "config /doors"))).expect("it is JSON");
        assert_eq!(now, expected.unwrap_or_else(|| both.clone()), "{what}");
    }
    let scene = Scene::new().witness("witness", &[]);
    let host = scene.started();
    host.configure("witness", &config(&scene, &json!({ "keys": ["a", "b"] }))).expect("it is valid");
    for (keys, expected) in [
        (json!(["***"]), None),
        (json!(["***", "***", "c"]), Some(json!(["a", "b", "c"]))),
        (json!(["***", "d", "***"]), Some(json!(["a", "d", "c"]))),
        (json!(["x"]), Some(json!(["x"]))),
    ] {
        let before = told(&ask(&host, "", "witness", "config /keys"));
        let outcome = set(&host, &scene, json!({ "keys": keys }));
        assert_eq!(outcome.is_ok(), expected.is_some(), "{keys}: {outcome:?}");
        let now = told(&ask(&host, "", "witness", "config /keys"));
        assert_eq!(now, expected.map_or(before, |keys| keys.to_string()), "{keys}");
    }
}
