//! Durable events of the application.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use pintle::{
    Error, ErrorKind, Host,
    events::{DeadLettersOf, Draft, DurableOptions, Filter, Start, SubscribeOptions, Topic},
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
    let none = DurableOptions { acknowledge: true, in_flight: 0, ..quick() };
    assert_eq!(kind("a", "a", none), Err(ErrorKind::OutOfRange));
    assert_eq!(kind("a", "a", quick()), Ok(()));
    assert_eq!(kind("a", "b", quick()), Err(ErrorKind::Conflict));
    let denied = host
        .emit_durable("", draft("plugin.x.y", ""), Duration::ZERO)
        .map(drop)
        .map_err(|error| error.kind());
    assert_eq!(denied, Err(ErrorKind::Denied));
}

#[test]
fn events_26_and_events_27_the_application_acknowledges_when_it_is_done() {
    let place = Place::new("");
    let host = place.started();
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let options = DurableOptions { acknowledge: true, in_flight: 2, max_deliveries: 2, ..quick() };
    host.subscribe_durable("app", "orders.>", options, move |delivery| {
        let data = String::from_utf8_lossy(&delivery.event.data).into_owned();
        let fails = data == "fails";
        let receipt = delivery.receipt().expect("it is to be acknowledged");
        let _ = tell.lock().expect("no panic").send((data, delivery.attempt, receipt));
        if fails { Err(Error::new(ErrorKind::Unavailable, "as it was told")) } else { Ok(()) }
    })
    .expect("nobody else has the name");
    let emit = |data: &str| {
        host.emit_durable("", draft("orders.new", data), Duration::ZERO).expect("the disk is there");
    };
    let next = || told.recv_timeout(PATIENCE).expect("it comes");
    for data in ["one", "two", "three"] {
        emit(data);
    }
    let (one, two) = (next(), next());
    assert_eq!((&*one.0, one.1, &*two.0, two.1), ("one", 1, "two", 1));
    assert!(host.wait_idle(PATIENCE));
    assert!(told.try_recv().is_err(), "no more than two are in flight");
    // On any thread, and once.
    let receipt = one.2;
    std::thread::spawn(move || receipt.ack()).join().expect("no panic").expect("it is in time");
    for over in [receipt.ack(), receipt.nack(None, "late")] {
        assert_eq!(over.map_err(|error| error.kind()), Err(ErrorKind::StaleHandle));
    }
    let three = next();
    assert_eq!((&*three.0, three.1), ("three", 1));
    for (delay, reason, kind) in [
        (Some(Duration::from_secs(86_401)), "", ErrorKind::OutOfRange),
        (None, &*"x".repeat(1_025), ErrorKind::TooLarge),
    ] {
        assert_eq!(three.2.nack(delay, reason).map_err(|error| error.kind()), Err(kind));
    }
    three.2.nack(Some(Duration::ZERO), "not yet").expect("it is in time");
    let again = next();
    assert_eq!((&*again.0, again.1), ("three", 2));
    again.2.nack(None, "no use").expect("it is in time");
    // An error of the handler needs no answer.
    emit("fails");
    let (first, second) = (next(), next());
    assert_eq!((first.1, second.1), (1, 2));
    two.2.ack().expect("it is in time");
    let letters = loop {
        let letters = host.dead_letters(&DeadLettersOf::default(), 0, 0).expect("the disk is there").letters;
        if letters.len() == 2 {
            break letters;
        }
        std::thread::yield_now();
    };
    assert_eq!(&*letters[0].reason, "no use");
    assert!(letters[1].reason.contains("as it was told"), "{}", letters[1].reason);
    let totals = host.durable_totals();
    assert_eq!((totals.written, totals.acknowledged, totals.retried, totals.dead), (4, 2, 2, 2));
    assert_eq!((totals.delivered, totals.redelivered), (6, 2));
    assert!(host.stop().left.is_empty());
    assert_eq!(one.2.ack().map_err(|error| error.kind()), Err(ErrorKind::StaleHandle));
}

#[test]
fn events_26_what_the_application_has_not_acknowledged_comes_after_a_restart() {
    let place = Place::new("");
    let subscribe = |host: &Host| {
        let (tell, told) = mpsc::channel();
        let tell = Mutex::new(tell);
        let options = DurableOptions { acknowledge: true, ..quick() };
        host.subscribe_durable("app", "orders.>", options, move |delivery| {
            let data = String::from_utf8_lossy(&delivery.event.data).into_owned();
            let _ = tell.lock().expect("no panic").send((data, delivery.attempt, delivery.receipt()));
            Ok(())
        })
        .expect("nobody else has the name");
        told
    };
    let host = place.started();
    let told = subscribe(&host);
    for data in ["one", "two"] {
        host.emit_durable("", draft("orders.new", data), Duration::ZERO).expect("the disk is there");
    }
    let _ = told.recv_timeout(PATIENCE).expect("it comes");
    let (_, _, two) = told.recv_timeout(PATIENCE).expect("it comes");
    two.expect("it is to be acknowledged").ack().expect("it is in time");
    assert!(host.stop().left.is_empty());
    let host = place.started();
    let (data, attempt, _) = subscribe(&host).recv_timeout(PATIENCE).expect("it comes");
    assert_eq!((&*data, attempt), ("one", 1), "the end of the host is no attempt");
}

#[test]
fn events_9_subscriptions_of_the_application_have_names() {
    let place = Place::new("");
    let host = place.started();
    let named = |name: &str| SubscribeOptions { name: name.into(), ..SubscribeOptions::default() };
    let (tell, told) = mpsc::channel();
    for name in ["first", "second"] {
        let tell = Mutex::new(tell.clone());
        host.subscribe_with("orders.>", named(name), move |_| {
            let _ = tell.lock().expect("no panic").send(name);
        })
        .expect("nobody else has the name");
    }
    host.emit("", draft("orders.new", "")).expect("it is taken");
    let mut heard = [(); 2].map(|()| told.recv_timeout(PATIENCE).expect("it comes"));
    heard.sort_unstable();
    assert_eq!(heard, ["first", "second"]);
    let mut names: Vec<_> = host.subscriptions().into_iter().map(|one| one.name.to_string()).collect();
    names.sort();
    assert_eq!(names, ["first", "second"]);
    let kind = |pattern: &str, name: &str| {
        host.subscribe_with(pattern, named(name), |_| {}).map_err(|error| error.kind())
    };
    assert_eq!(kind("a", "first"), Err(ErrorKind::Conflict));
    assert_eq!(kind("a", "a\n"), Err(ErrorKind::InvalidArgument));
    assert_eq!(kind("a", &"x".repeat(129)), Err(ErrorKind::InvalidArgument));
    assert_eq!((kind("a", ""), kind("a", "")), (Ok(()), Err(ErrorKind::Conflict)), "its pattern is its name");
    let durable = host.subscribe_durable("second", "a", quick(), |_| Ok(())).map_err(|error| error.kind());
    assert_eq!(durable, Err(ErrorKind::Conflict));
}
