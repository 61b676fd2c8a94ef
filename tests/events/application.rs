//! Durable events of the application.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use pintle::{
    Error, ErrorKind, Host,
    events::{Draft, DurableOptions, Filter, Start, Topic},
};

use super::rig::{PATIENCE, Place, all_ok, data_of, seen_until};

fn draft(topic: &str, data: &str) -> Draft {
    Draft::new(Topic::parse(topic).expect("it is a topic"), "/shop", data.as_bytes())
}

/// What the application is given: data, sequence, attempt; it fails the first attempt at what begins with `once`.
fn follow(host: &Host, name: &str, options: DurableOptions) -> mpsc::Receiver<(String, u64, u32)> {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    host.subscribe_durable(name, "*.>", options, move |delivery| {
        let data = String::from_utf8_lossy(&delivery.event.data).into_owned();
        let fails = data.starts_with("once") && delivery.attempt == 1;
        let _ = tell.lock().expect("no panic").send((data, delivery.sequence, delivery.attempt));
        if fails { Err(Error::new(ErrorKind::Unavailable, "not yet")) } else { Ok(()) }
    })
    .expect("nobody else has the name");
    told
}

fn quick() -> DurableOptions {
    DurableOptions { backoff: Duration::from_millis(1), ..DurableOptions::default() }
}

#[test]
fn events_26_the_application_publishes_and_follows_durable_events() {
    let place = Place::new("follow orders.> d auto");
    let host = place.started();
    let told = follow(&host, "app", quick());
    host.emit_durable("acme", draft("orders.new", "once-1"), Duration::ZERO).expect("the disk is there");
    all_ok(&host, "beta", "emit a two");
    let mut got: Vec<_> = (0..3)
        .map(|_| told.recv_timeout(PATIENCE).expect("it comes"))
        .map(|(data, _, attempt)| (data, attempt))
        .collect();
    got.sort();
    assert_eq!(got, [("once-1".into(), 1), ("once-1".into(), 2), ("two".into(), 1)]);
    let seen = seen_until(&host, |seen| seen.len() >= 2);
    assert_eq!(data_of(&seen, "d"), ["once-1", "once-1"], "the plugin fails it once too");
    assert!(host.stop().left.is_empty());

    let host = place.started();
    host.emit_durable("", draft("orders.new", "three"), Duration::ZERO).expect("the disk is there");
    let told = follow(&host, "app", quick());
    assert_eq!(told.recv_timeout(PATIENCE).expect("it comes").0, "three", "it goes on where it was");
    let all = follow(&host, "another", DurableOptions { start: Start::All, ..quick() });
    assert_eq!(all.recv_timeout(PATIENCE).expect("it comes").0, "once-1");
    let filter = Filter::parse(r#"{"exact":{"source":"/shop"}}"#).expect("it is a filter");
    let some = follow(&host, "some", DurableOptions { filter: Some(filter), start: Start::All, ..quick() });
    let mut data: Vec<_> = (0..3).map(|_| some.recv_timeout(PATIENCE).expect("it comes").0).collect();
    data.sort();
    assert_eq!(data, ["once-1", "once-1", "three"]);
}

#[test]
fn events_31_an_event_of_the_application_that_comes_twice_is_delivered_once() {
    let place = Place::new("");
    let host = place.started();
    let told = follow(&host, "app", quick());
    for data in ["one", "two"] {
        let event = Draft { id: Some("same".into()), ..draft("orders.new", data) };
        host.emit_durable("", event, Duration::ZERO).expect("the disk is there");
    }
    host.emit_durable("", draft("orders.new", "end"), Duration::ZERO).expect("the disk is there");
    let got: Vec<_> = (0..2).map(|_| told.recv_timeout(PATIENCE).expect("it comes").0).collect();
    assert_eq!(got, ["one", "end"]);
}

#[test]
fn events_20_a_handler_of_the_application_that_panics_is_tried_again() {
    let place = Place::new("");
    let host = place.started();
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let (tell, told) = mpsc::channel();
    let noted = Arc::clone(&attempts);
    let tell = Mutex::new(tell);
    host.subscribe_durable("app", "orders.>", quick(), move |delivery| {
        noted.lock().expect("no panic while it is held").push(delivery.attempt);
        assert!(delivery.attempt > 2, "not yet");
        let _ = tell.lock().expect("no panic").send(());
        Ok(())
    })
    .expect("nobody else has the name");
    host.emit_durable("", draft("orders.new", "x"), Duration::ZERO).expect("the disk is there");
    told.recv_timeout(PATIENCE).expect("it comes again");
    assert_eq!(*attempts.lock().expect("no panic"), [1, 2, 3]);
}

#[test]
fn events_26_bad_options_of_the_application_are_refused() {
    let place = Place::new("");
    let host = place.started();
    let kind = |name: &str, pattern: &str, options: DurableOptions| {
        host.subscribe_durable(name, pattern, options, |_| Ok(())).map_err(|error| error.kind())
    };
    assert_eq!(kind("", "a", quick()), Err(ErrorKind::InvalidArgument));
    assert_eq!(kind("a\n", "a", quick()), Err(ErrorKind::InvalidArgument));
    assert_eq!(kind("a", "a..b", quick()), Err(ErrorKind::InvalidArgument));
    let ack = DurableOptions { ack: Duration::ZERO, ..quick() };
    assert_eq!(kind("a", "a", ack), Err(ErrorKind::OutOfRange));
    let never = DurableOptions { max_deliveries: 0, ..quick() };
    assert_eq!(kind("a", "a", never), Err(ErrorKind::OutOfRange));
    assert_eq!(kind("a", "a", quick()), Ok(()));
    assert_eq!(kind("a", "b", quick()), Err(ErrorKind::Conflict));
    let denied = host
        .emit_durable("", draft("plugin.x.y", ""), Duration::ZERO)
        .map(drop)
        .map_err(|error| error.kind());
    assert_eq!(denied, Err(ErrorKind::Denied));
}
