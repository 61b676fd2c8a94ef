//! Changing a plugin's config while it runs.

use pintle::ErrorKind;
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
