//! Do sanitizers see what a plugin does? One plugin (`faulty.c`) with a fault of the caller's choice, in a host.
//!
//! `cargo xtask asan` runs this with sanitizers in the process and expects each fault to end it, before it believes that
//! the other suites are without one. In a plain test run the plugin has no fault, and works.

use std::{env, sync::mpsc, time::Duration};

use pintle::{
    Host,
    events::{Draft, Topic},
};
use pintle_test_support::{compile_c, install, repository};

/// Names the fault: the number that `faulty.c` has for it.
const FAULT: &str = "PINTLE_FAULT";

#[test]
fn a_plugin_with_the_fault_that_was_asked_for_lives_and_ends() {
    let fault = format!("-DFAULT={}", env::var(FAULT).unwrap_or_else(|_| "0".into()));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let source = repository().join("tests/sanitizers/faulty.c");
    install(&compile_c("faulty", source, &[&fault]), folder.path());
    let host = Host::builder().plugins(folder.path()).build().expect("the host can be made");
    let (heard, answers) = mpsc::channel();
    let listen = move |event: &pintle::events::Event| {
        let _ = heard.send(event.data.len());
    };
    host.subscribe("plugin.faulty.>", listen).expect("the pattern is valid");
    let started = host.start();
    assert_eq!(started.enabled, ["faulty"], "{started:?}");
    for _ in 0..2 {
        // Larger than what fits beside other fields, so that it has a block of the heap of its own.
        let data = format!("\"{}\"", "x".repeat(100));
        let topic = Topic::parse("fault.now").expect("the topic is valid");
        host.emit("", Draft::new(topic, "/test", data.into_bytes())).expect("the event is valid");
        let answer = answers.recv_timeout(Duration::from_secs(60)).expect("the plugin answers");
        assert_eq!(answer, 102);
        // By then the host has let go of the event.
        assert!(host.wait_idle(Duration::from_secs(60)));
    }
    let stopped = host.stop();
    assert!(stopped.left.is_empty() && stopped.failed.is_empty(), "{stopped:?}");
}
