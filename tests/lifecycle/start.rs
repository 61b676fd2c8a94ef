//! The start of a host whose folders have good plugins, bad ones, and files that are none.

use std::{
    fs,
    path::Path,
    sync::{Arc, Weak, mpsc},
    thread,
};

use pintle::{ErrorKind, Host, PluginState, Started};
use pintle_test_support::{compile_c, install, repository, samples};

use crate::scene::{PATIENCE, Scene, draft, emit, info, state, until};

fn misbehave(variant: &str) -> std::path::PathBuf {
    let source = repository().join("tests/plugins/misbehave.c");
    compile_c("misbehave", source, &[&format!("-DVARIANT={variant}")])
}

#[test]
fn contract_25_a_plugin_that_fails_at_the_start_is_named_with_its_cause_and_the_others_go_on() {
    let scene = Scene::new()
        .witness("alpha", &[("load", "subscribe w.>")])
        .witness("bad-load", &[("load", "fail the bridge is out")])
        .witness("bad-enable", &[("enable", "fail no light")])
        .witness("omega", &[("load", "subscribe w.>")])
        .toml("[plugin.misspelt]\nconfig = { number = 0, jurnal = 'x' }")
        .toml("[plugin.panicky]\nconfig = { at = 'load' }")
        .plugin(&crate::scene::witness_library("misspelt", &[]))
        .plugin(&misbehave("ENTRY_NULL"))
        .plugin(&samples().rust("panicky"))
        .plugin(&samples().rust("hello"));
    let text = scene.plugins().join("notes.so");
    fs::write(&text, "not a library").expect("the folder can be written");
    let half = scene.plugins().join("half.so");
    let whole = fs::read(samples().c("hello")).expect("it was built");
    fs::write(&half, &whole[..whole.len() / 2]).expect("the folder can be written");

    let host = scene.host();
    let mut started = host.start();
    started.enabled.sort();
    assert_eq!(started.enabled, ["alpha", "hello-rust", "omega"]);

    let mut failed: Vec<_> =
        started.failed.iter().map(|error| (error.plugin().unwrap_or("nobody"), error.to_string())).collect();
    failed.sort();
    let expected = [
        ("bad-enable", "plugin \"bad-enable\": no light"),
        ("bad-load", "plugin \"bad-load\": the bridge is out"),
        ("misbehave", "plugin \"misbehave\": its entry returned null"),
        ("misspelt", "plugin \"misspelt\": its config is not valid"),
        ("panicky", "plugin \"panicky\": panicked: panicky in load"),
    ];
    assert_eq!(failed.len(), expected.len(), "{failed:#?}");
    for ((plugin, error), (id, beginning)) in failed.iter().zip(expected) {
        assert!(*plugin == id && error.starts_with(beginning), "{error} should begin: {beginning}");
    }
    let mut skipped: Vec<&Path> = started.skipped.iter().map(|(path, _)| path.as_path()).collect();
    skipped.sort();
    assert_eq!(skipped, [half.as_path(), text.as_path()]);

    // What failed is remembered, and what did not works.
    for (id, expected) in [
        ("alpha", PluginState::Enabled),
        ("bad-enable", PluginState::Loaded),
        ("bad-load", PluginState::Failed),
        ("misbehave", PluginState::Failed),
        ("misspelt", PluginState::Failed),
        ("omega", PluginState::Enabled),
        ("panicky", PluginState::Failed),
    ] {
        assert_eq!(state(&host, id), expected, "{id}");
        let error = crate::scene::info(&host, id).error;
        assert_eq!(error.is_some(), expected != PluginState::Enabled, "{id}: {error:?}");
    }
    emit(&host, "", "w.a", "1");
    for name in ["alpha", "omega"] {
        until(name, || scene.count(name, "event w.> w.a") == 1);
    }
    let stopped = host.stop();
    assert!(stopped.left.is_empty() && stopped.failed.is_empty(), "{stopped:?}");

    // The operator reads the same in the log.
    let records = scene.records();
    for (_, beginning) in expected {
        let told = records.iter().any(|record| {
            record["level"] == "error"
                && record["message"].as_str().is_some_and(|text| text.starts_with(beginning))
        });
        assert!(told, "no record begins: {beginning}");
    }
}

#[test]
fn config_1_and_2_a_wrong_config_is_told_whole_and_the_plugin_is_not_loaded() {
    let scene = Scene::new()
        .toml("[plugin.misspelt]\nconfig = { number = 0, jurnal = 'x', load = 7 }")
        .plugin(&crate::scene::witness_library("misspelt", &[]));
    let host = scene.host();
    let started = host.start();
    let [error] = &started.failed[..] else { panic!("{started:?}") };
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let error = error.to_string();
    for part in ["/number", "/load", "jurnal", "journal", "correct [plugin.misspelt] in the host's settings"]
    {
        assert!(error.contains(part), "{part} is missing in: {error}");
    }
    assert!(scene.journal("misspelt").is_empty(), "nothing of it ran but its entry");
}

#[test]
fn a_plugin_that_the_settings_switch_off_is_not_loaded_and_can_be_enabled_later() {
    let scene = Scene::new().witness("witness", &[]).toml("enabled = false");
    let host = scene.started();
    assert!(host.plugins().is_empty() && scene.journal("witness").is_empty());
    host.enable("witness").expect("the operator changed his mind");
    assert_eq!(scene.journal("witness"), ["load", "enable"]);
}

#[test]
fn a_plugin_that_comes_after_the_start_can_be_loaded_and_one_that_does_not_is_not_found() {
    let scene = Scene::new().witness("witness", &[]);
    let host = scene.started();
    let error = host.load("hello").expect_err("it is not there yet");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "plugin \"hello\": it was not found in the plugin folders");
    for step in [host.disable("hello"), host.unload("hello")] {
        assert_eq!(step.map_err(|error| error.kind()), Err(ErrorKind::NotFound));
    }
    install(&samples().c("hello"), &scene.plugins());
    host.enable("hello").expect("now it is there");
    assert_eq!(state(&host, "hello"), PluginState::Enabled);
}

#[test]
fn contract_25_after_a_failed_load_the_mended_plugin_can_be_loaded() {
    let scene = Scene::new().plugin(&misbehave("VERSION_DIFFERS"));
    let host = scene.host();
    assert_eq!(host.start().failed.len(), 1);
    assert_eq!(state(&host, "misbehave"), PluginState::Failed);
    install(&misbehave("NORMAL"), &scene.plugins());
    host.enable("misbehave").expect("it is mended");
    assert_eq!(state(&host, "misbehave"), PluginState::Enabled);
    assert!(crate::scene::info(&host, "misbehave").error.is_none());
}

#[test]
fn a_service_of_a_plugin_that_is_gone_may_be_provided_by_another() {
    let scene = Scene::new().witness_with("first", &["-DSERVICE=shared.run"], &[]).witness_with(
        "heir",
        &["-DSERVICE=shared.run"],
        &[],
    );
    let host = scene.host();
    host.enable("broken").expect_err("its load fails");
    host.enable("first").expect("nobody else provides it");
    let error = host.enable("heir").expect_err("two cannot provide it");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("plugin \"first\" provides already"), "{error}");
    host.unload("first").expect("it is loaded");
    host.enable("heir").expect("nobody else provides it any more");
    host.call("", "shared.run", 1, "do", b"own", None).expect("the heir answers");
}

#[test]
fn events_6_the_host_tells_which_plugins_are_enabled_and_which_fail() {
    let scene = Scene::new().witness("second", &[]).witness("witness", &[("load", "fail the bridge is out")]);
    let host = scene.host();
    let (tell, told) = std::sync::mpsc::channel();
    host.subscribe("pintle.plugin.*", move |event| {
        let data: serde_json::Value = serde_json::from_slice(&event.data).expect("the host publishes JSON");
        let _ = tell.send(format!("{} {}", event.topic.as_str(), data["id"].as_str().unwrap_or("nobody")));
    })
    .expect("the pattern is valid");
    host.enable("second").expect("it is fine");
    host.enable("witness").expect_err("it was told to");
    for expected in ["loaded second", "enabled second", "failed witness"] {
        assert_eq!(told.recv_timeout(crate::scene::PATIENCE), Ok(format!("pintle.plugin.{expected}")));
    }
}

#[test]
fn events_6_at_the_start_each_plugin_is_told_as_loaded_before_it_is_told_as_enabled() {
    let scene = Scene::new().witness("first", &[]).witness("second", &[]).witness("third", &[]);
    let host = scene.host();
    let (tell, told) = mpsc::channel();
    host.subscribe("pintle.plugin.*", move |event| {
        let data: serde_json::Value = serde_json::from_slice(&event.data).expect("the host publishes JSON");
        let (id, generation) = (data["id"].as_str().unwrap_or("nobody"), data["generation"].as_u64());
        let _ = tell.send((format!("{} {id}", event.topic.as_str()), generation));
    })
    .expect("the pattern is valid");
    let started = host.start();
    assert_eq!(started.enabled.len(), 3, "{started:?}");
    let mut newest = None;
    for id in &started.enabled {
        let [loaded, enabled] = [(); 2].map(|()| told.recv_timeout(PATIENCE).expect("it is told"));
        assert_eq!(loaded.0, format!("pintle.plugin.loaded {id}"));
        assert_eq!(enabled.0, format!("pintle.plugin.enabled {id}"));
        assert!(loaded.1 == enabled.1 && loaded.1 > newest, "{loaded:?} {enabled:?} after {newest:?}");
        assert_eq!(info(&host, id).generation, loaded.1);
        newest = loaded.1;
    }
}

#[test]
fn contract_25_a_load_that_returns_too_late_at_the_start_is_undone_and_never_enabled() {
    for outcome in ["", "; fail too late"] {
        let scene = Scene::new().deadlines("load_ms = 300");
        let load = format!("hang {}{outcome}", scene.path("gate").display());
        let scene = scene.witness("witness", &[("load", &load)]).witness("zulu", &[]);
        let host = scene.host();
        let started = host.start();
        assert_eq!(started.enabled, ["zulu"], "{started:?}");
        assert_eq!(started.failed[0].kind(), ErrorKind::Timeout, "{started:?}");
        assert_eq!(state(&host, "witness"), PluginState::Failed);
        scene.free("gate");
        assert!(host.wait_idle(PATIENCE) && host.wait_closed(PATIENCE), "it is undone");
        assert_eq!(scene.count("witness", "enable"), 0, "{:?}", scene.journal("witness"));
        assert_eq!(scene.count("witness", "unload"), usize::from(outcome.is_empty()));
        assert_eq!(state(&host, "witness"), PluginState::Failed);
        if outcome.is_empty() {
            host.enable("witness").expect("the gate is open now");
            assert_eq!(state(&host, "witness"), PluginState::Enabled);
        }
    }
}

#[test]
fn contract_25_an_enable_that_returns_too_late_at_the_start_is_taken_back() {
    let scene = Scene::new().deadlines("load_ms = 300");
    let hang = format!("hang {}", scene.path("gate").display());
    let scene =
        scene.witness("witness", &[("load", "subscribe w.>"), ("enable", &hang)]).witness("zulu", &[]);
    let host = scene.host();
    let started = host.start();
    assert_eq!(started.enabled, ["zulu"], "{started:?}");
    assert_eq!(started.failed[0].kind(), ErrorKind::Timeout, "{started:?}");
    scene.free("gate");
    until("it is taken back", || scene.count("witness", "disable") == 1);
    assert!(host.wait_idle(PATIENCE));
    assert_eq!(state(&host, "witness"), PluginState::Loaded);
    assert_eq!(emit(&host, "", "w.a", "").queued, 0, "it is not enabled");
    host.enable("witness").expect("the gate is open now");
    emit(&host, "", "w.b", "");
    until("it is handled", || scene.count("witness", "event w.> w.b") == 1);
}

#[test]
fn contract_24_what_is_loaded_while_the_host_begins_to_stop_is_not_enabled_any_more() {
    let scene = Scene::new();
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene.witness("witness", &[("load", &hang)]).witness("zulu", &[]);
    let host = scene.host();
    thread::scope(|threads| {
        let starting = threads.spawn(|| host.start());
        until("it hangs", || scene.count("witness", "hangs") == 1);
        let stopping = threads.spawn(|| host.stop());
        until("the stop has begun", || {
            host.load("nobody").map_err(|error| error.kind()) == Err(ErrorKind::Stopping)
        });
        scene.free("gate");
        let started = starting.join().expect("no panic");
        assert!(started.enabled.is_empty(), "{started:?}");
        let kinds: Vec<_> = started.failed.iter().map(|error| (error.plugin(), error.kind())).collect();
        assert_eq!(
            kinds,
            [(Some("witness"), ErrorKind::Stopping), (Some("zulu"), ErrorKind::Stopping)],
            "{started:?}"
        );
        let stopped = stopping.join().expect("no panic");
        assert!(stopped.left.is_empty() && stopped.failed.is_empty(), "{stopped:?}");
    });
    for verb in ["enable", "disable"] {
        assert_eq!(scene.count("witness", verb), 0, "{:?}", scene.journal("witness"));
    }
    assert_eq!(scene.journal("witness").last().map(String::as_str), Some("unload"));
    assert!(scene.journal("zulu").is_empty());
}

/// A handler of the application starts the host, and a plugin waits in `enable` for that very handler's lane: one of
/// the two waits is refused. Whichever it is, the plugin is what the host says that it is.
#[test]
fn contract_60_a_start_inside_a_handler_that_a_plugin_waits_for_leaves_no_plugin_half_enabled() {
    for _ in 0..30 {
        let scene = Scene::new()
            .deadlines("load_ms = 3000")
            .witness("witness", &[("load", "subscribe w.>"), ("enable", "sync out.a data 2000")]);
        let host = Arc::new(scene.host());
        let (tell, told) = mpsc::channel::<Started>();
        let weak: Weak<Host> = Arc::downgrade(&host);
        host.subscribe("go", move |_| {
            let host = weak.upgrade().expect("the test holds it");
            let _ = tell.send(host.start());
        })
        .expect("the pattern is valid");
        host.subscribe("plugin.witness.>", |_| {}).expect("the pattern is valid");
        host.emit("", draft("go", "")).expect("the host runs");
        let started = told.recv_timeout(PATIENCE).expect("the handler returns");
        assert!(host.wait_idle(PATIENCE));
        let expected = if started.enabled.is_empty() { PluginState::Loaded } else { PluginState::Enabled };
        assert_eq!(state(&host, "witness"), expected, "{started:?}");
        let queued = emit(&host, "", "w.a", "").queued;
        assert_eq!(
            queued == 1,
            expected == PluginState::Enabled,
            "{started:?} {:?}",
            scene.journal("witness")
        );
    }
}
