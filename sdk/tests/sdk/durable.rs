//! Durable events: what the SDK asks the host for, and what the test host makes of it.

use std::{
    cell::RefCell,
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, UNIX_EPOCH},
};

use pintle_abi::*;
use pintle_plugin::{
    Context, Delivery, EmitOptions, Error, Event, Filter, Held, Plugin, QueuePolicy, Result, StartFrom,
    Status, SubscribeOptions, plugin,
    test::{DeadLetter, Host},
};
use serde::Deserialize;

use crate::{
    fake::{self, Fake},
    services::play,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_is_said_of_durable_events_reaches_the_host() {
    let fake = Fake::new();
    play(&fake, |cx| {
        let events = cx.events();
        events.emit_with("a", b"1", &EmitOptions::new().durable())?;
        events.emit_json_with("b", &2, &EmitOptions::new().id("i").durable())?;
        let all = SubscribeOptions::new()
            .name("n")
            .durable()
            .acknowledge()
            .start(StartFrom::Sequence(7))
            .filter(r#"{"exact":{"subject":"x"}}"#)
            .priority(-3)
            .ack_within(Duration::from_micros(1_001))
            .backoff(SECOND)
            .max_deliveries(4)
            .in_flight(5);
        events.subscribe_with("c", &all, |_, _| Ok(()))?;
        for start in [
            StartFrom::All,
            StartFrom::Time(UNIX_EPOCH + Duration::from_micros(9_999)),
            StartFrom::Time(UNIX_EPOCH - Duration::from_micros(1)),
        ] {
            events.subscribe_with("d", &SubscribeOptions::new().durable().start(start), |_, _| Ok(()))?;
        }
        Ok(())
    });
    assert_eq!(
        fake.calls(),
        [
            "emit a 1 flags=1",
            "emit b 2 id=i subject= type= key= wait=0 flags=1",
            "subscribe c name=n 0 0 flags=3 filter={\"exact\":{\"subject\":\"x\"}} (2, 7) (2, 1000) (-3, 4, 5)",
            "subscribe d name= 0 0 flags=1 filter= (1, 0) (0, 0) (0, 0, 0)",
            "subscribe d name= 0 0 flags=1 filter= (3, 9) (0, 0) (0, 0, 0)",
            "subscribe d name= 0 0 flags=1 filter= (3, -1) (0, 0) (0, 0, 0)",
        ]
    );
}

#[test]
fn a_handler_sees_which_delivery_it_is_and_another_thread_acknowledges_it() {
    let fake = Fake::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&seen);
    play(&fake, move |cx| {
        cx.events().subscribe("a", move |cx, event| {
            let place = (event.sequence(), event.attempt(), event.delivery());
            let Some(delivery) = event.delivery() else {
                assert_eq!(place, (None, None, None));
                return Ok(());
            };
            assert_eq!((event.sequence(), event.attempt()), (Some(41), Some(2)));
            theirs.lock().expect("not poisoned").push((cx.hold()?, delivery));
            Ok(())
        })?;
        Ok(())
    });
    assert_eq!(fake.deliver(1, "a", b"").0, PINTLE_OK);
    let event = PintleEvent { sequence: 41, delivery: 9, attempt: 2, ..Fake::event("a", b"") };
    assert_eq!(fake.deliver_raw(1, &raw const event).0, PINTLE_OK);
    let (held, delivery) = seen.lock().expect("not poisoned").pop().expect("delivered once");
    thread::spawn(move || -> Result<()> {
        delivery.ack(&held)?;
        delivery.nack(&held, None, "busy")?;
        delivery.nack(&held, Some(Duration::ZERO), "at once")?;
        delivery.nack(&held, Some(SECOND), "")
    })
    .join()
    .expect("it does not panic")
    .expect("the fake takes it");
    let calls: Vec<_> = fake.calls().into_iter().filter(|call| call.contains("ack ")).collect();
    assert_eq!(calls, ["ack 9", "nack 9 0 busy", "nack 9 1 at once", "nack 9 1000 "]);
}

#[test]
fn a_host_without_acknowledgements_is_named() {
    static OLDER: PintleEvents = PintleEvents { ack: None, nack: None, ..fake::EVENTS };
    static SHORT: PintleEvents = PintleEvents { size: 40, ..fake::EVENTS };
    for table in [&OLDER, &SHORT] {
        let fake = Fake::with(|host| host.events = table);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&seen);
        play(&fake, move |cx| {
            cx.events().subscribe("a", move |cx, event| {
                let delivery = event.delivery().expect("one is given");
                let failed = [delivery.ack(cx), delivery.nack(cx, None, "")];
                theirs
                    .lock()
                    .expect("not poisoned")
                    .extend(failed.map(|one| one.expect_err("not there").to_string()));
                Ok(())
            })?;
            Ok(())
        });
        let event = PintleEvent { sequence: 1, delivery: 1, attempt: 1, ..Fake::event("a", b"") };
        fake.deliver_raw(1, &raw const event);
        let seen = seen.lock().expect("not poisoned");
        assert!(seen[0].contains("`events.ack`") && seen[1].contains("`events.nack`"), "{seen:?}");
    }
}

#[derive(Deserialize)]
struct Order {
    number: u64,
}

#[test]
fn a_typed_handler_is_called_with_what_it_wants_only() {
    let fake = Fake::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&seen);
    play(&fake, move |cx| {
        cx.events().subscribe_json("a", move |_, event, order: Order| {
            theirs.lock().expect("not poisoned").push((event.topic().to_owned(), order.number));
            Ok(())
        })?;
        Ok(())
    });
    assert_eq!(fake.deliver(1, "a", br#"{"number":5}"#).0, PINTLE_OK);
    let (status, text, _) = fake.deliver(1, "a", br#"{"number":"five"}"#);
    assert_eq!(status, PINTLE_INVALID_ARGUMENT);
    assert!(text.expect("it says why").starts_with("the data of a: invalid type: string \"five\""));
    assert_eq!(*seen.lock().expect("not poisoned"), [("a".to_owned(), 5)]);
}

#[test]
fn filters_are_written_as_json() {
    let exact = || Filter::exact("subject", "a\"b");
    let cases = [
        (exact(), r#"{"exact":{"subject":"a\"b"}}"#),
        (!Filter::prefix("type", "x."), r#"{"not":{"prefix":{"type":"x."}}}"#),
        (
            exact().and(Filter::suffix("id", "]}")).and(exact()),
            r#"{"all":[{"exact":{"subject":"a\"b"}},{"suffix":{"id":"]}"}},{"exact":{"subject":"a\"b"}}]}"#,
        ),
        (
            exact().or(exact().and(exact())).or(exact().not()),
            r#"{"any":[{"exact":{"subject":"a\"b"}},{"all":[{"exact":{"subject":"a\"b"}},{"exact":{"subject":"a\"b"}}]},{"not":{"exact":{"subject":"a\"b"}}}]}"#,
        ),
    ];
    for (filter, json) in cases {
        assert_eq!((filter.as_str(), filter.to_string().as_str()), (json, json));
        assert_eq!(filter.as_ref(), json);
    }
}

/// Does in `enable` what its test says.
struct Worker;

/// What a test tells the plugin and is told by it. Everything runs on the thread of the test.
struct Told {
    enable: fn(&Context) -> Result<()>,
    /// What came: `<subscription> <data> <sequence>/<attempt>`.
    notes: Vec<String>,
    /// The next so many handlers refuse.
    refusals: usize,
    kept: Vec<(Held, Delivery)>,
    /// From `enable`.
    held: Option<Held>,
    /// How many subscriptions were asked for by it.
    asked: usize,
}

thread_local! {
    static TOLD: RefCell<Told> = const {
        RefCell::new(Told { enable: |_| Ok(()), notes: vec![], refusals: 0, kept: vec![], held: None, asked: 0 })
    };
}

plugin!(
    Worker,
    inline r#"{
        "id": "worker", "version": "1.0.0", "abi": "1.0",
        "services": { "storage": {}, "events": { "subscribe": [">"], "publish": [">"] } }
    }"#,
    entry = worker
);

impl Plugin for Worker {
    fn load(_: &Context) -> Result<Self> {
        Ok(Worker)
    }

    fn enable(&self, cx: &Context) -> Result<()> {
        let held = cx.hold()?;
        TOLD.with_borrow_mut(|told| {
            told.held = Some(held);
            told.enable
        })(cx)
    }

    fn disable(&self, _: &Context) -> Result<()> {
        // Not when the thread ends: the test host is no more then.
        TOLD.with_borrow_mut(|told| (told.kept.clear(), told.held = None));
        Ok(())
    }
}

fn start(enable: fn(&Context) -> Result<()>) -> Host {
    TOLD.with_borrow_mut(|told| told.enable = enable);
    Host::new().start::<Worker>().expect("it starts")
}

fn notes() -> Vec<String> {
    TOLD.with_borrow_mut(|told| mem::take(&mut told.notes))
}

fn refuse(times: usize) {
    TOLD.with_borrow_mut(|told| told.refusals = times);
}

/// Subscribes under a name, and notes what comes.
fn work(cx: &Context, name: &'static str, options: &SubscribeOptions<'_>) -> Result<()> {
    let handler = move |cx: &Context, event: &Event<'_>| {
        let waits = Some(SECOND * 30);
        if name == "patient" {
            assert_eq!(cx.remaining()?, waits, "a delivery may take so long");
        }
        let place = [event.sequence(), event.attempt().map(u64::from)];
        let place = place.map(|number| number.map_or("-".to_owned(), |number| number.to_string())).join("/");
        let note = format!("{name} {} {place}", event.text()?);
        let delivery = event.delivery().map(|delivery| Ok::<_, Error>((cx.hold()?, delivery))).transpose()?;
        TOLD.with_borrow_mut(|told| {
            told.notes.push(note);
            told.kept.extend(delivery);
            if told.refusals == 0 {
                return Ok(());
            }
            told.refusals -= 1;
            Err(Error::new(Status::Busy, "not now"))
        })
    };
    cx.events().subscribe_with("in.>", &options.name(name), handler).map(drop)
}

/// Subscribes later, with these options and a name of its own, and counts what comes.
fn ask(options: &SubscribeOptions<'_>) -> Result<Arc<AtomicUsize>> {
    TOLD.with_borrow_mut(|told| {
        told.asked += 1;
        let (name, heard) = (format!("{}", told.asked), Arc::new(AtomicUsize::new(0)));
        let counts = Arc::clone(&heard);
        let held = told.held.as_ref().expect("the plugin is enabled");
        held.events().subscribe_with("in.>", &options.name(&name), move |_, _| {
            counts.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })?;
        Ok(heard)
    })
}

fn publish(host: &Host, data: &str, options: EmitOptions<'_>) {
    host.emit_with("in.x", data.as_bytes(), &options.durable()).expect("it is taken");
}

fn pass(host: &Host, time: Duration) -> Vec<String> {
    host.advance(time).expect("the plugin is not at work");
    notes()
}

#[test]
fn durable_subscriptions_get_durable_events_and_transient_ones_get_all() {
    let host = start(|cx| {
        work(cx, "transient", &SubscribeOptions::new())?;
        work(cx, "patient", &SubscribeOptions::new().durable())
    });
    host.emit("in.x", b"a").expect("it is taken");
    publish(&host, "b", EmitOptions::new());
    publish(&host, "c", EmitOptions::new());
    assert_eq!(
        notes(),
        ["transient a -/-", "transient b -/-", "patient b 1/1", "transient c -/-", "patient c 2/1"]
    );
}

#[test]
fn what_has_failed_comes_again_later_and_later_and_is_a_dead_letter_in_the_end() {
    let host = start(|cx| {
        let options = SubscribeOptions::new().durable().backoff(SECOND).max_deliveries(4);
        work(cx, "w", &options)
    });
    refuse(4);
    publish(&host, "a", EmitOptions::new());
    assert_eq!(notes(), ["w a 1/1"]);
    publish(&host, "b", EmitOptions::new().key("k"));
    assert_eq!(notes(), ["w b 2/1"], "others pass it, but this fails too");
    let almost = SECOND - Duration::from_millis(1);
    assert_eq!(pass(&host, almost), [""; 0]);
    refuse(1);
    assert_eq!(pass(&host, Duration::from_millis(1)), ["w a 1/2", "w b 2/2"]);
    refuse(2);
    assert_eq!(pass(&host, SECOND * 2 - Duration::from_millis(1)), [""; 0]);
    assert_eq!(pass(&host, Duration::from_millis(1)), ["w a 1/3"]);
    assert_eq!(host.dead_letters(), []);
    assert_eq!(pass(&host, SECOND * 4), ["w a 1/4"]);
    let dead = host.dead_letters();
    let DeadLetter { subscription, event, attempts, reason, .. } = &dead[0];
    assert_eq!((subscription.as_str(), *attempts, reason.as_str()), ("w", 4, "not now"));
    assert_eq!((event.data.as_slice(), event.sequence, dead.len()), (&b"a"[..], Some(1), 1));
    assert_eq!(pass(&host, SECOND * 4_000), [""; 0], "that is the end of it");
}

#[test]
fn a_key_waits_behind_what_has_failed_and_others_do_not() {
    let host = start(|cx| work(cx, "w", &SubscribeOptions::new().durable()));
    refuse(1);
    for (data, key) in [("a", "k"), ("b", "k"), ("c", "other"), ("d", "k")] {
        publish(&host, data, EmitOptions::new().key(key));
    }
    host.tenant("acme").emit_with("in.x", b"e", &EmitOptions::new().durable().key("k")).expect("it is taken");
    assert_eq!(notes(), ["w a 1/1", "w c 3/1", "w e 5/1"]);
    assert_eq!(pass(&host, SECOND), ["w a 1/2", "w b 2/1", "w d 4/1"]);
}

#[test]
fn a_delivery_that_is_not_acknowledged_in_time_has_failed() {
    let host = start(|cx| {
        let options =
            SubscribeOptions::new().durable().acknowledge().ack_within(SECOND * 5).max_deliveries(2);
        work(cx, "w", &options)
    });
    publish(&host, "a", EmitOptions::new());
    let open = host.unacknowledged();
    assert_eq!((open.len(), open[0].subscription.as_str(), open[0].attempt), (1, "w", 1));
    assert_eq!(pass(&host, SECOND * 5), ["w a 1/1"]);
    assert_eq!(host.unacknowledged(), []);
    let late = open[0].delivery.ack(host.context()).expect_err("its time is over");
    assert_eq!(late.status(), Status::StaleHandle);
    assert_eq!(pass(&host, SECOND), ["w a 1/2"]);
    assert_eq!(pass(&host, SECOND * 5), [""; 0]);
    assert_eq!(host.dead_letters()[0].reason, "it was not acknowledged within 5000 ms");
}

#[test]
fn a_delivery_is_acknowledged_or_refused_once() {
    let host = start(|cx| work(cx, "w", &SubscribeOptions::new().durable().acknowledge().max_deliveries(2)));
    let kept = || TOLD.with_borrow_mut(|told| told.kept.pop()).expect("one was delivered");
    publish(&host, "a", EmitOptions::new());
    let (held, first) = kept();
    assert_eq!(host.unacknowledged()[0].delivery, first);
    let failed = [
        (first.nack(&held, Some(Duration::from_secs(86_401)), ""), Status::OutOfRange),
        (first.nack(&held, None, &"x".repeat(1_025)), Status::InvalidArgument),
        (first.nack(&held, None, "a\0b"), Status::InvalidArgument),
    ];
    for (outcome, status) in failed {
        assert_eq!(outcome.expect_err("refused").status(), status);
    }
    first.nack(&held, Some(SECOND * 60), "the printer is out of paper").expect("it is open");
    assert_eq!(first.ack(&held).expect_err("it is over").status(), Status::StaleHandle);
    assert_eq!(pass(&host, SECOND * 59), ["w a 1/1"]);
    assert_eq!(pass(&host, SECOND), ["w a 1/2"]);
    let (held, second) = kept();
    second.nack(&held, None, "again").expect("it is open");
    assert_eq!((host.dead_letters()[0].reason.as_str(), host.dead_letters()[0].attempts), ("again", 2));

    publish(&host, "b", EmitOptions::new());
    let (held, third) = kept();
    third.ack(&held).expect("it is open");
    assert_eq!(third.nack(&held, None, "").expect_err("it is over").status(), Status::StaleHandle);
    assert_eq!(pass(&host, SECOND * 4_000), ["w b 2/1"]);
    assert_eq!((host.unacknowledged(), host.dead_letters().len()), (Vec::new(), 1));
}

#[test]
fn no_more_are_delivered_than_may_be_in_flight() {
    let host = start(|cx| work(cx, "w", &SubscribeOptions::new().durable().acknowledge().in_flight(2)));
    for data in ["a", "b", "c", "d"] {
        publish(&host, data, EmitOptions::new());
    }
    assert_eq!(notes(), ["w a 1/1", "w b 2/1"]);
    host.unacknowledged()[1].delivery.ack(host.context()).expect("it is open");
    assert_eq!(pass(&host, Duration::ZERO), ["w c 3/1"]);
}

#[test]
fn events_wait_while_the_plugin_is_disabled_or_not_loaded() {
    let host = start(|cx| {
        work(cx, "auto", &SubscribeOptions::new().durable())?;
        work(cx, "explicit", &SubscribeOptions::new().durable().acknowledge())
    });
    publish(&host, "a", EmitOptions::new());
    let open = host.unacknowledged()[0].delivery;
    host.disable().expect("it does");
    assert_eq!(
        open.ack(host.context()).expect_err("the subscription has ended").status(),
        Status::StaleHandle
    );
    publish(&host, "b", EmitOptions::new());
    assert_eq!(notes(), ["auto a 1/1", "explicit a 1/1"]);
    host.enable().expect("it does");
    assert_eq!(
        notes(),
        ["explicit a 1/1", "auto b 2/1", "explicit b 2/1"],
        "the end of it counts for nothing"
    );
    host.unload().expect("it does");
    host.load::<Worker>().expect("it does");
    host.enable().expect("it does");
    assert_eq!(notes(), ["explicit a 1/1", "explicit b 2/1"]);
    host.reload().expect("it does");
    assert_eq!(notes(), ["explicit a 1/1", "explicit b 2/1"]);
}

#[test]
fn a_subscription_begins_where_it_says_unless_it_has_begun() {
    let host = start(|_| Ok(()));
    publish(&host, "a", EmitOptions::new());
    host.advance(SECOND * 60).expect("the plugin is not at work");
    publish(&host, "b", EmitOptions::new());
    publish(&host, "c", EmitOptions::new());
    TOLD.with_borrow_mut(|told| {
        told.enable = |cx| {
            let noon = UNIX_EPOCH + Duration::from_secs(1_767_268_800);
            let durable = SubscribeOptions::new().durable();
            work(cx, "new", &durable)?;
            work(cx, "all", &durable.start(StartFrom::All))?;
            work(cx, "third", &durable.start(StartFrom::Sequence(3)))?;
            work(cx, "next", &durable.start(StartFrom::Sequence(4)))?;
            work(cx, "later", &durable.start(StartFrom::Time(noon + SECOND)))
        }
    });
    host.reload().expect("it does");
    let mut came = notes();
    came.sort();
    assert_eq!(came, ["all a 1/1", "all b 2/1", "all c 3/1", "later b 2/1", "later c 3/1", "third c 3/1"]);
    host.reload().expect("it does");
    assert_eq!(notes(), [""; 0], "they stand where they stood");
    publish(&host, "d", EmitOptions::new());
    assert_eq!(notes(), ["new d 4/1", "all d 4/1", "third d 4/1", "next d 4/1", "later d 4/1"]);
}

#[test]
fn a_tenants_subscription_gets_its_tenants_events() {
    let host = start(|cx| {
        work(cx, "system", &SubscribeOptions::new().durable())?;
        cx.events()
            .subscribe("sign.up", |cx, _| work(cx, "own", &SubscribeOptions::new().durable()))
            .map(drop)
    });
    host.tenant("acme").emit("sign.up", b"").expect("it is taken");
    for (tenant, data) in [("acme", "a"), ("other", "b")] {
        let options = EmitOptions::new().durable();
        host.tenant(tenant).emit_with("in.x", data.as_bytes(), &options).expect("it is taken");
    }
    assert_eq!(notes(), ["system a 1/1", "own a 1/1", "system b 2/1"]);
}

#[test]
fn an_id_that_is_known_is_not_published_again() {
    let host = start(|cx| {
        work(cx, "transient", &SubscribeOptions::new())?;
        work(cx, "durable", &SubscribeOptions::new().durable())?;
        let again = |cx: &Context, _: &Event<'_>| {
            let options = EmitOptions::new().id("1").durable();
            cx.events().emit_with("said", b"", &options)?;
            cx.events().emit_json_with("said", &2, &options)
        };
        cx.events().subscribe("do", again).map(drop)
    });
    let options = EmitOptions::new().id("1");
    publish(&host, "a", options);
    publish(&host, "b", options);
    host.tenant("acme").emit_with("in.x", b"c", &options.durable()).expect("it is taken");
    host.emit_with("in.x", b"d", &options).expect("it is taken");
    assert_eq!(
        notes(),
        ["transient a -/-", "durable a 1/1", "transient c -/-", "durable c 2/1", "transient d -/-"]
    );
    host.advance(Duration::from_secs(120)).expect("the plugin is not at work");
    publish(&host, "e", options);
    assert_eq!(notes(), ["transient e -/-", "durable e 3/1"]);
    host.emit("do", b"").expect("it is taken");
    let said = host.emitted();
    assert_eq!((said.len(), said[0].sequence, said[0].id.as_str()), (1, Some(4), "1"));
}

#[test]
fn what_a_batch_publishes_is_durable() {
    let host = start(|cx| {
        let batch = |cx: &Context, _: &Event<'_>| {
            let batch = cx.storage().batch().set("k", b"v");
            batch.emit("t", b"").emit_with("d", b"", &EmitOptions::new().durable()).commit().map(drop)?;
            Ok(())
        };
        cx.events().subscribe("do", batch).map(drop)
    });
    host.emit("do", b"").expect("it is taken");
    let sequences: Vec<_> = host.emitted().iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [Some(1), Some(2)]);
}

#[test]
fn those_of_a_higher_priority_are_first() {
    let host = start(|cx| {
        work(cx, "low", &SubscribeOptions::new().priority(-5))?;
        work(cx, "none", &SubscribeOptions::new())?;
        work(cx, "as low", &SubscribeOptions::new().durable().priority(-5))?;
        work(cx, "high", &SubscribeOptions::new().durable().priority(7))
    });
    publish(&host, "a", EmitOptions::new());
    assert_eq!(notes(), ["high a 1/1", "none a -/-", "low a -/-", "as low a 1/1"]);
    host.emit("in.x", b"b").expect("it is taken");
    assert_eq!(notes(), ["none b -/-", "low b -/-"]);
    host.disable().expect("it does");
    publish(&host, "c", EmitOptions::new());
    host.enable().expect("it does");
    assert_eq!(notes(), ["high c 2/1", "as low c 2/1"]);
}

#[test]
fn filters_let_through_what_fulfils_them() {
    let host = start(|_| Ok(()));
    let event = EmitOptions::new().id("id-9").subject("door-7").key("k").content_type("text/plain");
    let is = |name: &str, value: &str| Filter::exact(name, value);
    let cases = [
        (is("subject", "door-7"), true),
        (is("subject", "door-"), false),
        (is("type", "in.x").and(is("id", "id-9")).and(is("source", "/application")), true),
        (is("partitionkey", "k").and(is("datacontenttype", "text/plain")).and(is("tenant", "acme")), true),
        (Filter::prefix("subject", "door-"), true),
        (Filter::prefix("subject", "oor-"), false),
        (Filter::suffix("subject", "-7"), true),
        (Filter::suffix("subject", "door"), false),
        (is("subject", "x").or(is("id", "id-9")), true),
        (is("subject", "x").or(is("id", "x")), false),
        (is("subject", "door-7").and(is("id", "x")), false),
        (is("subject", "door-7").not(), false),
        (is("unheard", "of"), false),
        (is("unheard", "of").not(), true),
    ];
    for (filter, expected) in cases {
        let heard = ask(&SubscribeOptions::new().filter(&filter)).expect("it is a filter");
        host.tenant("acme").emit_with("in.x", b"", &event).expect("it is taken");
        assert_eq!(heard.load(Ordering::Relaxed), usize::from(expected), "{filter}");
    }
    let both = r#"{"exact": {"subject": "door-7", "id": "other"}}"#;
    let heard = ask(&SubscribeOptions::new().filter(both)).expect("it is one");
    host.emit_with("in.x", b"", &event).expect("it is taken");
    assert_eq!(heard.load(Ordering::Relaxed), 0, "each attribute must fulfil it");
}

#[test]
fn what_is_no_filter_is_refused_with_where_it_is_wrong() {
    let _host = start(|_| Ok(()));
    let deep = |levels| "{\"not\":".repeat(levels) + r#"{"exact":{"id":"x"}}"# + &"}".repeat(levels);
    let many = |filters: usize| {
        let one = r#"{"exact":{"id":"x"}}"#;
        format!(r#"{{"all":[{}]}}"#, vec![one; filters].join(","))
    };
    let long = |bytes: usize| format!(r#"{{"exact":{{"id":"{}"}}}}"#, "x".repeat(bytes));
    for filter in [deep(7), many(63), long(512)] {
        ask(&SubscribeOptions::new().filter(&filter)).expect(&filter);
    }
    let cases = [
        ("nonsense".to_owned(), "expected"),
        ("[]".to_owned(), "at $"),
        ("{}".to_owned(), "at $"),
        (r#"{"exact":{"id":"x"},"not":{"exact":{"id":"x"}}}"#.to_owned(), "at $"),
        (r#"{"regex":{"id":"x"}}"#.to_owned(), "at $.regex"),
        (r#"{"exact":{}}"#.to_owned(), "at $.exact"),
        (r#"{"any":[]}"#.to_owned(), "at $.any"),
        (r#"{"any":[{"exact":{"id":"x"}},{"all":[{"not":7}]}]}"#.to_owned(), "at $.any[1].all[0].not"),
        (r#"{"exact":{"id":7}}"#.to_owned(), "at $.exact"),
        (r#"{"exact":{"ID":"x"}}"#.to_owned(), "at $.exact"),
        (r#"{"exact":{"time":"x"}}"#.to_owned(), "`time`"),
        (long(0), "at $.exact"),
        (long(513), "at $.exact"),
        (deep(8), "8 levels"),
        (many(64), "64 filters"),
        (format!("{}{}", many(1), " ".repeat(4_096)), "4096"),
    ];
    for (filter, text) in cases {
        let error = ask(&SubscribeOptions::new().filter(&filter)).expect_err(&filter);
        assert_eq!(error.status(), Status::InvalidArgument, "{filter}");
        assert!(error.message().contains(text), "{filter}: {error}");
    }
}

#[test]
fn options_that_cannot_be_are_refused() {
    let host = start(|_| Ok(()));
    let transient = SubscribeOptions::new();
    let durable = transient.durable();
    let too_long = Duration::from_millis(3_600_001);
    let cases = [
        (transient.acknowledge(), Status::InvalidArgument),
        (transient.start(StartFrom::All), Status::InvalidArgument),
        (transient.ack_within(SECOND), Status::InvalidArgument),
        (transient.backoff(SECOND), Status::InvalidArgument),
        (transient.max_deliveries(1), Status::InvalidArgument),
        (transient.in_flight(1), Status::InvalidArgument),
        (durable.capacity(1), Status::InvalidArgument),
        (durable.policy(QueuePolicy::Wait), Status::InvalidArgument),
        (transient.priority(1_001), Status::OutOfRange),
        (durable.priority(-1_001), Status::OutOfRange),
        (durable.ack_within(too_long), Status::OutOfRange),
        (durable.backoff(too_long), Status::OutOfRange),
        (durable.max_deliveries(1_001), Status::OutOfRange),
        (durable.in_flight(1_025), Status::OutOfRange),
    ];
    for (options, status) in cases {
        assert_eq!(ask(&options).expect_err("refused").status(), status, "{options:?}");
    }
    let most = durable
        .priority(1_000)
        .ack_within(SECOND * 3_600)
        .backoff(SECOND * 3_600)
        .start(StartFrom::Sequence(1));
    for start in [StartFrom::Sequence(0), StartFrom::Sequence(u64::MAX), StartFrom::Time(UNIX_EPOCH - SECOND)]
    {
        ask(&durable.start(start)).expect("it can begin there");
    }
    ask(&most.max_deliveries(1_000).in_flight(1_024)).expect("the most that is taken");
    let said = EmitOptions::new().durable();
    let error = host.context().events().emit_sync_with("said", b"", None, &said).expect_err("nobody waits");
    assert_eq!(error.status(), Status::InvalidArgument);
}
