//! Smoke.
use pintle::{
    Host,
    events::{Draft, Topic},
};
use pintle_test_support::{install, samples};
use std::{sync::mpsc, time::Duration};

#[test]
fn hello() {
    let dir = tempfile::tempdir().unwrap();
    install(&samples().c("hello"), dir.path());
    install(&samples().rust("hello"), dir.path());
    let host = Host::builder().plugins(dir.path()).build().unwrap();
    let started = host.start();
    println!("{started:?}");
    let (tx, rx) = mpsc::channel();
    host.subscribe("plugin.>", move |event| {
        let _ = tx.send(format!("{event:?}"));
    })
    .unwrap();
    host.emit("acme", Draft::new(Topic::parse("greet.world").unwrap(), "/test", *b"{\"name\":\"you\"}"))
        .unwrap();
    for _ in 0..2 {
        println!("{}", rx.recv_timeout(Duration::from_secs(5)).unwrap());
    }
    println!("{:#?}", host.plugins());
    println!("{:?}", host.stop());
    assert!(host.wait_closed(Duration::from_secs(5)));
}
