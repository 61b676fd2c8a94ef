//! Growth of the contract in both directions: plugins built against an older and against a newer one work on this
//! host. Their layouts are frozen in the C files beside this one, which no header can change.

use std::{path::PathBuf, sync::mpsc, time::Duration};

use pintle::{
    Host,
    events::{Draft, Topic},
};
use pintle_test_support::{compile_c, install, repository};

fn answer_of(plugin: &str) -> (String, String) {
    let source: PathBuf = repository().join("tests/growth").join(plugin).with_extension("c");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    install(&compile_c(plugin, source, &[]), folder.path());
    let host = Host::builder().plugins(folder.path()).build().expect("the host can be made");
    let started = host.start();
    assert_eq!(started.enabled, [plugin], "{started:?}");
    let (heard, answers) = mpsc::channel();
    let listen = move |event: &pintle::events::Event| {
        let _ = heard.send((event.id.to_string(), String::from_utf8_lossy(&event.data).into_owned()));
    };
    host.subscribe(&format!("plugin.{plugin}.>"), listen).expect("the pattern is valid");
    let ask = Draft::new(Topic::parse("ask.now").expect("the topic is valid"), "/test", *b"{}");
    host.emit("", ask).expect("the event is valid");
    let answer = answers.recv_timeout(Duration::from_secs(20)).expect("the plugin answers");
    assert!(answers.try_recv().is_err(), "and once");
    answer
}

#[test]
fn contract_43_a_plugin_of_an_older_contract_works() {
    assert_eq!(answer_of("older"), ("an-id".into(), "ask.now ask.now".into()));
}

#[test]
fn contract_43_contract_38_contract_40_a_plugin_of_a_newer_contract_that_asks_first_works() {
    let (_, answer) = answer_of("newer");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("the plugin answers JSON");
    let unsupported = 15;
    assert_eq!(
        answer,
        serde_json::json!({
            "host": 0, "events": 0, "files": 1, "refused": unsupported, "scope": 0, "beyond": 1, "items": 0
        })
    );
}
