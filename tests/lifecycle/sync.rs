//! `emit_sync`: one event, and what each of its handlers answers, from plugins and from the application.
//!
//! `sync TOPIC DATA` of a witness tells how many results there were and each of them:
//! `3 | SUBSCRIBER SUBSCRIPTION OUTCOME STATUS REPLY-OR-ERROR | …`.

use std::{
    sync::{Arc, Barrier, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use pintle::{
    Error, ErrorKind, Host,
    events::{Event, HandlerResult, Outcome, SubscribeOptions},
};

use pintle_test_support::samples;

use crate::scene::{PATIENCE, Scene, ask, draft, emit, info, until, witness_library};

/// What a witness is told of the results of one `sync`.
fn results(host: &Host, tenant: &str, name: &str, command: &str) -> Vec<String> {
    let answer = ask(host, tenant, name, command).remove(0);
    let told = answer
        .strip_prefix(&format!("{command} = 0 "))
        .unwrap_or_else(|| panic!("{answer} is not what was hoped for"));
    let (count, results) = told.split_once(" | ").unwrap_or((told, ""));
    let results: Vec<_> = results
        .split(" | ")
        .filter(|result| !result.is_empty())
        .map(|result| result.trim().to_owned())
        .collect();
    assert_eq!(count, results.len().to_string(), "{answer}");
    results
}

/// The same of the application, in short.
fn short(results: Vec<HandlerResult>) -> Vec<String> {
    let short = |HandlerResult { subscriber, subscription, outcome }: HandlerResult| {
        let kind = |error: &Error| error.kind().name();
        let outcome = match &outcome {
            Outcome::Handled(reply) => format!("ok {}", String::from_utf8_lossy(reply)),
            Outcome::Failed(error) => format!("failed {error}"),
            Outcome::Timeout(error) => format!("timeout {}", kind(error)),
            Outcome::Panic(error) => format!("panic {error}"),
            Outcome::Skipped(error) => format!("skipped {}", kind(error)),
        };
        format!("{subscriber} {subscription} {outcome}")
    };
    results.into_iter().map(short).collect()
}

fn assert_begins(found: &[String], expected: &[&str]) {
    let right = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected));
    assert!(right, "{found:?} is not {expected:?}");
}

const SUBSCRIBES: (&str, &str) = ("load", "subscribe w.>; subscribe plugin.witness.>");

#[test]
fn events_39_handlers_run_at_the_same_time_and_each_reply_comes_back() {
    let scene = Scene::with_workers(2);
    let (here, there) = (scene.path("second.here"), scene.path("third.here"));
    // Each waits for the other, so both run at the same time: on two workers, since the publisher gives its place.
    let meet = |mine: &std::path::Path, other: &std::path::Path, answer: &str| {
        format!("meet {} {}; answer {answer}", mine.display(), other.display())
    };
    let scene = scene
        .witness("second", &[SUBSCRIBES, ("event", &meet(&here, &there, "one"))])
        .witness("third", &[SUBSCRIBES, ("event", &meet(&there, &here, "two"))])
        .witness("witness", &[]);
    let host = scene.started();
    let emitted = host.event_totals().emitted;
    let told = results(&host, "", "witness", "sync out.a data");
    assert_eq!(host.event_totals().emitted, emitted + 1);
    assert_eq!(told, ["second plugin.witness.> ok 0 one", "third plugin.witness.> ok 0 two"]);
    for name in ["second", "third"] {
        let event = "event plugin.witness.> plugin.witness.out.a tenant= system=1 call=1 data=data";
        assert_eq!(scene.count(name, event), 1);
        assert_eq!(info(&host, name).counters.handled, 1);
    }
    let counters: Vec<_> = host.subscriptions().into_iter().map(|one| one.counters).collect();
    assert!(counters.iter().all(|one| one.matched == one.delivered), "{counters:?}");
}

#[test]
fn events_39_every_outcome_is_told() {
    let scene = Scene::new().deadlines("handler_ms = 60000");
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene
        .witness("fails", &[SUBSCRIBES, ("event", "answer lost; fail no room for it")])
        .witness("hangs", &[SUBSCRIBES, ("event", &hang)])
        .witness("panics", &[SUBSCRIBES, ("event", "panic")])
        .witness("replies", &[SUBSCRIBES, ("event", "answer first; answer second")])
        .witness("says-nothing", &[SUBSCRIBES])
        .witness("sleeps", &[SUBSCRIBES])
        .witness("witness", &[]);
    let host = scene.started();
    host.disable("sleeps").expect("it is fine");
    let told = results(&host, "", "witness", "sync out.a data 2000");
    scene.free("gate");
    assert_begins(
        &told,
        &[
            "fails plugin.witness.> failed 6 plugin \"fails\": no room for it",
            "hangs plugin.witness.> timeout 11 the handler did not answer in time",
            "panics plugin.witness.> panic 19 plugin \"panics\": ",
            "replies plugin.witness.> ok 0 firstsecond",
            "says-nothing plugin.witness.> ok 0",
            "sleeps plugin.witness.> skipped 14 plugin \"sleeps\" is not enabled",
        ],
    );
    until("the one that hung has gone on", || info(&host, "hangs").counters.handled == 1);
    host.stop();
    // The publisher was told, so the log is not.
    let warned: Vec<_> = scene.records().into_iter().filter(|record| record["level"] == "warn").collect();
    assert!(warned.is_empty(), "{warned:?}");
}

#[test]
fn events_39_a_panic_of_a_rust_plugin_is_told_with_its_text() {
    let scene =
        Scene::new().plugin(&samples().rust("panicky")).toml("[plugin.panicky]\nconfig = { at = \"event\" }");
    let host = scene.started();
    let results = host.emit_sync("", draft("panic.now", "x"), None).expect("what handlers do is no error");
    let told = short(results);
    assert_eq!(told, ["panicky panic.> panic plugin \"panicky\": panicked: panicky in event"]);
}

#[test]
fn events_39_failures_that_nobody_is_told_of_go_to_the_log() {
    let scene =
        Scene::new().witness("second", &[SUBSCRIBES, ("event", "fail it is known")]).witness("witness", &[]);
    let host = scene.started();
    for (how, handlers) in [("deaf", "1"), ("null", "77")] {
        let command = format!("sync out.a data 0 {how}");
        assert_eq!(ask(&host, "", "witness", &command), [format!("{command} = 0 {handlers}")]);
    }
    host.stop();
    let records = scene.records();
    let warned = records.iter().filter(|record| record["message"].to_string().contains("it is known"));
    assert_eq!(warned.filter(|record| record["level"] == "warn").count(), 2, "{records:?}");
}

#[test]
fn events_39_a_reply_has_up_to_a_mebibyte() {
    const MOST: usize = 1 << 20;
    let over = "failed 9 plugin \"second\": the event handler answered more than 1 MiB";
    for (script, expected) in [
        ("bytes 0".to_owned(), "ok 0"),
        (format!("bytes {MOST}"), "ok 0 1048576 bytes"),
        (format!("bytes {MOST}; answer x"), over),
    ] {
        let scene = Scene::new().witness("second", &[SUBSCRIBES, ("event", &script)]).witness("witness", &[]);
        let host = scene.started();
        let expected = format!("second plugin.witness.> {expected}");
        assert_eq!(results(&host, "", "witness", "sync out.a data"), [expected]);
    }
}

#[test]
fn events_39_nobody_who_listens_is_no_error() {
    let scene = Scene::new().witness("witness", &[]);
    let host = scene.started();
    let unheard = host.event_totals().unheard;
    assert_eq!(results(&host, "", "witness", "sync out.a data"), [""; 0]);
    assert_eq!(host.event_totals().unheard, unheard + 1);
}

/// In order for each subscription, those that nobody waits for included.
#[test]
fn events_39_an_event_that_was_emitted_before_is_handled_before() {
    let scene = Scene::new().witness("second", &[SUBSCRIBES]).witness("witness", &[]);
    let host = scene.started();
    for _ in 0..50 {
        ask(&host, "", "witness", "emit out.a before; emit out.b before; sync out.c last");
    }
    let journal = scene.journal("second");
    let topics: Vec<_> =
        journal.iter().filter_map(|line| line.split("plugin.witness.out.").nth(1)?.chars().next()).collect();
    assert_eq!(topics.iter().collect::<String>(), "abc".repeat(50));
}

#[test]
fn events_40_one_deadline_for_all() {
    let scene = Scene::new().deadlines("handler_ms = 60000");
    let hang = format!("hang {}; remaining; call third.run", scene.path("gate").display());
    let scene = scene
        .witness("second", &[SUBSCRIBES, ("event", &hang)])
        .witness("third", &[("load", "subscribe plugin.witness.>; subscribe w.>"), ("event", &hang)])
        .witness("witness", &[]);
    let host = scene.started();
    // Two subscriptions of one plugin: its second handler stands behind the first.
    ask(&host, "", "second", "subscribe plugin.witness.out.a");
    let begun = Instant::now();
    let told = results(&host, "", "witness", "sync out.a data 1000");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1000) && took < Duration::from_millis(2900), "{took:?}");
    assert_begins(
        &told,
        &[
            "second plugin.witness.> timeout 11",
            "third plugin.witness.> timeout 11",
            "second plugin.witness.out.a timeout 11",
        ],
    );
    scene.free("gate");
    for name in ["second", "third"] {
        until("it goes on", || scene.count(name, "event: call third.run") == 1);
    }
    until("all is accounted for", || host.event_totals().counters.dropped.too_late == 1);
    // Those that had begun are told that nobody waits any more, and the third has never begun.
    for name in ["second", "third"] {
        assert_eq!(scene.count(name, "event "), 1, "{name}");
        assert_eq!(scene.count(name, "event: remaining = 0 0"), 1, "{:?}", scene.journal(name));
        assert_eq!(scene.count(name, "event: call third.run = 12"), 1, "{:?}", scene.journal(name));
    }
}

#[test]
fn events_40_and_contract_57_handlers_know_how_long_the_publisher_waits() {
    let scene = Scene::new().witness("second", &[SUBSCRIBES, ("event", "remaining")]).witness("witness", &[]);
    let host = scene.started();
    let remaining = |line: &str| -> Option<u64> { line.strip_prefix("event: remaining = 0 ")?.parse().ok() };
    // The default is that of the settings, here 10 s; and never longer than the publisher's own caller waits.
    // Rounded up to whole milliseconds on the way.
    for (own, asked, most) in [(None, "0", 10_010), (None, "700", 710), (Some(900), "5000", 910)] {
        let command = format!("sync out.a data {asked}");
        let own = own.map(Duration::from_millis);
        host.call("", "witness.run", 1, "do", command.as_bytes(), own).expect("it answers");
        let told = scene.journal("second").iter().filter_map(|line| remaining(line)).next_back();
        assert!(told.is_some_and(|ms| ms > 0 && ms <= most), "{told:?} of {most}");
    }
}

#[test]
fn events_40_and_contract_64_who_is_given_up_gives_up() {
    let scene = Scene::new().deadlines("handler_ms = 60000");
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene
        .witness("second", &[SUBSCRIBES, ("event", &hang)])
        .witness("witness", &[("load", "subscribe w.>")]);
    let host = scene.started();
    let before = Instant::now();
    let span = Some(Duration::from_millis(300));
    // It goes on at the very deadline of this call, so that its answer may just be in time.
    let _ = host.call("", "witness.run", 1, "do", b"sync out.a data 30000; sync out.b data", span);
    until("it goes on", || scene.count("witness", "call: sync out.b data = 12") == 1);
    assert!(before.elapsed() < PATIENCE, "no longer than its caller waited");
    assert_eq!(scene.count("witness", "call: sync out.a data 30000 = 12 the caller of this function"), 1);
    scene.free("gate");
}

/// One's own lane, from a call and from a handler; a circle of two and of three; and then nobody was called.
#[test]
fn events_40_and_contract_58_59_60_a_circle_ends_at_once_and_calls_nobody() {
    let reentrant =
        |name: &str| format!("= 17 plugin \"{name}\" cannot answer before this very call returns");
    // Its own lane.
    let scene = Scene::new().witness("other", &[("load", "subscribe plugin.witness.>")]).witness(
        "witness",
        &[("load", "subscribe plugin.witness.>; subscribe w.>"), ("event", "sync out.b data")],
    );
    let host = scene.started();
    let (before, emitted) = (Instant::now(), host.event_totals().emitted);
    let told = ask(&host, "", "witness", "sync out.a data");
    assert!(told[0].contains(&reentrant("witness")), "{told:?}");
    emit(&host, "", "w.a", "");
    until("its handler is told", || scene.count("witness", "event: sync out.b data = 17") == 1);
    assert!(before.elapsed() < Duration::from_secs(8), "at once, not at the deadline");
    assert_eq!((scene.count("other", "event "), scene.count("witness", "event plugin")), (0, 0));
    assert_eq!(host.event_totals().emitted, emitted + 1, "what nobody was called for was not published");
    // A chain of three that the last would close to a circle: of two, of three, and with a call as a part of it.
    for (script, plugins, ends) in [
        ("sync out.a data", &["second"][..], "second"),
        ("sync out.a data", &["second", "third"], "third"),
        ("call second.run", &["second"], "second"),
    ] {
        let mut scene = Scene::new();
        let mut last = "witness".to_owned();
        for name in plugins {
            let subscribe = format!("subscribe plugin.{last}.>");
            scene = scene.witness(name, &[("load", &subscribe), ("event", script)]);
            last = (*name).to_owned();
        }
        let closes = format!("subscribe plugin.{last}.>");
        scene = scene.witness("witness", &[("load", &closes), ("event", "log 2 never")]);
        let host = scene.started();
        // A call to a lane earlier in the chain is refused too.
        let told = results(&host, "", "witness", "sync out.x data");
        assert_eq!(told, [format!("{} plugin.witness.> ok 0", plugins[0])]);
        let circle = format!("event: {script} = 17");
        assert_eq!(scene.count(ends, &circle), 1, "{ends}: {:?}", scene.journal(ends));
        assert_eq!(scene.count("witness", "event "), 0);
    }
}

#[test]
fn events_39_and_contract_62_a_chain_of_three_answers_on_two_workers() {
    let scene = Scene::with_workers(2)
        .witness(
            "second",
            &[("load", "subscribe plugin.witness.>"), ("event", "sync out.b data; answer second")],
        )
        .witness(
            "third",
            &[("load", "subscribe plugin.second.>"), ("event", "sync out.c data; answer third")],
        )
        .witness("fourth", &[("load", "subscribe plugin.third.>"), ("event", "answer fourth")])
        .witness("witness", &[]);
    let host = scene.started();
    assert_eq!(results(&host, "", "witness", "sync out.a data"), ["second plugin.witness.> ok 0 second"]);
    for (name, told) in
        [("second", "third plugin.second.> ok 0 third"), ("third", "fourth plugin.third.> ok 0 fourth")]
    {
        let journal = scene.journal(name);
        assert!(journal.iter().any(|line| line.ends_with(&format!("= 0 1 | {told}"))), "{journal:?}");
    }
}

#[test]
fn contract_61_depth_counts_along_a_chain_of_waiting_publishers() {
    let scene = Scene::new()
        .witness("second", &[("load", "subscribe w.>"), ("event", "sync out.b data")])
        .witness("witness", &[]);
    let host = scene.started();
    let (tell, told) = mpsc::channel();
    let handler = move |event: &Event| {
        let _ = tell.send(event.depth);
    };
    host.subscribe("plugin.second.>", handler).expect("nobody has subscribed to it");
    let results = host.emit_sync("", draft("w.a", "x"), None).expect("it is fine");
    assert_eq!(short(results), ["second w.> ok "]);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(1));
    let deep = pintle::events::Draft { depth: 65, ..draft("w.a", "x") };
    assert_eq!(
        host.emit_sync("", deep, None).map(drop).map_err(|error| error.kind()),
        Err(ErrorKind::Reentrant)
    );
}

#[test]
fn events_39_events_go_to_the_handlers_of_their_tenant_and_under_it() {
    let scene = Scene::new().witness("second", &[SUBSCRIBES, ("event", "answer ok")]).witness("witness", &[]);
    let host = scene.started();
    ask(&host, "acme", "second", "subscribe plugin.witness.out.*");
    let system = "second plugin.witness.> ok 0 ok";
    let own = "second plugin.witness.out.* ok 0 ok";
    for (tenant, expected) in [("acme", &[system, own][..]), ("globex", &[system]), ("", &[system])] {
        assert_eq!(results(&host, tenant, "witness", "sync out.a data"), expected, "{tenant}");
        let event = format!("event plugin.witness.> plugin.witness.out.a tenant={tenant} ");
        assert_eq!(scene.count("second", &event), 1);
    }
    assert_eq!(scene.count("second", "event plugin.witness.out.* plugin.witness.out.a tenant=acme "), 1);
}

/// The subscriber is disabled, unloaded, or the whole host stops, while its handler stands in line.
#[test]
fn events_39_who_goes_meanwhile_is_skipped() {
    type Goes = fn(&Host);
    let goes: [(&str, Goes, &str); 3] = [
        ("disabled", |host| host.disable("second").expect("it is fine"), "is not enabled"),
        ("unloaded", |host| host.unload("second").expect("it is fine"), "is not enabled"),
        ("stopped", |host| drop(host.stop()), "is not enabled"),
    ];
    for (what, goes, why) in goes {
        let scene = Scene::new();
        let hang = format!("hang {}", scene.path("gate").display());
        let scene = scene.witness("second", &[("load", "subscribe w.>"), ("event", &hang)]);
        let host = scene.started();
        thread::scope(|threads| {
            let publisher = |topic| {
                let host = &host;
                threads.spawn(move || host.emit_sync("", draft(topic, "x"), Some(PATIENCE)))
            };
            let running = publisher("w.running");
            until("its handler runs", || scene.count("second", "hangs") == 1);
            let waiting = publisher("w.waiting");
            until("the other stands in line", || host.subscriptions()[0].counters.waiting == 1);
            let going = threads.spawn(|| goes(&host));
            // At once, although the lane is busy.
            let waiting = waiting.join().expect("no panic").expect("no error");
            let Outcome::Skipped(error) = &waiting[0].outcome else { panic!("{what}: {waiting:?}") };
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.to_string().contains(why), "{error}");
            // What runs is finished.
            scene.free("gate");
            let running = running.join().expect("no panic").expect("no error");
            assert_eq!(short(running), ["second w.> ok "], "{what}");
            going.join().expect("no panic");
        });
        let counters = host.event_totals().counters;
        assert_eq!((counters.delivered, counters.dropped.total()), (1, 1), "{what}");
    }
}

#[test]
fn contract_53_and_54_a_publisher_that_is_disabled_waits_no_longer() {
    let scene = Scene::new();
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene.witness("second", &[SUBSCRIBES, ("event", &hang)]).witness(
        "witness",
        &[("disable", "sync out.b data"), ("unload", "sync out.c data; emit out.flush x")],
    );
    let host = scene.started();
    thread::scope(|threads| {
        let asks = threads.spawn(|| ask(&host, "", "witness", "sync out.a data 10000"));
        until("the handler runs", || scene.count("second", "hangs") == 1);
        host.disable("witness").expect("it is fine");
        let told = asks.join().expect("no panic");
        assert_eq!(told, ["sync out.a data 10000 = 16 the caller is stopping, its waits were ended"]);
    });
    host.unload("witness").expect("it is fine");
    assert_eq!(scene.count("witness", "disable: sync out.b data = 16 the plugin is being disabled"), 1);
    assert_eq!(scene.count("witness", "unload: sync out.c data = 16 the plugin is being disabled"), 1);
    assert_eq!(scene.count("witness", "unload: emit out.flush x = 0"), 1, "it can still flush");
    scene.free("gate");
}

#[test]
fn a_plugin_asks_nobody_in_load_and_whom_it_likes_in_enable() {
    let scene = Scene::new()
        .witness("second", &[SUBSCRIBES, ("event", "answer hello")])
        // Its own subscription is not live before `enable` has returned: skipped, and no circle.
        .witness(
            "witness",
            &[("load", "subscribe plugin.witness.>; sync out.a data"), ("enable", "sync out.b data")],
        );
    let host = scene.started();
    let journal = scene.journal("witness");
    assert!(
        journal[2].starts_with("load: sync out.a data = 14 a plugin does not act in `load`"),
        "{journal:?}"
    );
    assert_eq!(scene.count("witness", "enable: sync out.b data = 0 2 | second plugin.witness.> ok 0 hello | witness plugin.witness.> skipped 14 "), 1, "{journal:?}");
    drop(host);
}

#[test]
fn events_39_a_stuck_lane_is_skipped() {
    let scene = Scene::new().deadlines("handler_ms = 300");
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene
        .witness("second", &[("load", "subscribe w.>"), ("event", &hang)])
        .witness("third", &[("load", "subscribe w.>"), ("event", "answer fine")]);
    let host = scene.started();
    emit(&host, "", "w.first", "");
    until("it is known as stuck", || info(&host, "second").stuck);
    let results = host.emit_sync("", draft("w.a", "x"), Some(PATIENCE)).expect("it is fine");
    assert!(
        results[0].outcome.error().is_some_and(|error| error.to_string().contains("is stuck")),
        "{results:?}"
    );
    assert_eq!(short(results), ["second w.> skipped UNAVAILABLE", "third w.> ok fine"]);
    scene.free("gate");
}

/// Full queues skip, whatever their policy, but for that which makes room.
#[test]
fn events_39_a_full_queue_is_skipped() {
    let scene = Scene::new();
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene.witness("second", &[("load", "narrow w.>"), ("event", &hang)]);
    let host = scene.started();
    emit(&host, "", "w.runs", "");
    until("its handler hangs", || scene.count("second", "hangs") == 1);
    emit(&host, "", "w.waits", "");
    let results = host.emit_sync("", draft("w.a", "x"), Some(PATIENCE)).expect("it is fine");
    assert_eq!(short(results), ["second w.> skipped BUSY"]);
    scene.free("gate");
}

#[test]
fn events_39_the_function_for_results_can_refuse_and_is_a_sink() {
    let scene = Scene::new()
        .witness("second", &[SUBSCRIBES, ("event", "answer hi")])
        .witness("third", &[SUBSCRIBES, ("event", "answer ho")])
        .witness("witness", &[]);
    let host = scene.started();
    let told = ask(&host, "", "witness", "sync out.a data 0 refuse");
    assert_eq!(
        told,
        [
            "sync out.a data 0 refuse = 12 the function that was passed as `each` refused a result with status 6"
        ]
    );
    // Only the first was told, and the number of handlers was left alone.
    assert_eq!(scene.count("witness", "sync told 77 | second plugin.witness.> ok 0 hi"), 1);
    assert!(
        !scene.journal("witness").iter().any(|line| line.contains("third")),
        "{:?}",
        scene.journal("witness")
    );
    // REENTRANT, whatever is called there, but for `last_error`, which tells of that.
    let told = ask(&host, "", "witness", "sync out.a data 0 inside; emit out.b after");
    for reply in ["hi", "ho"] {
        assert!(told[0].contains(&format!("ok 0 {reply} emit 17 sync 17 scope 17 error 0")), "{told:?}");
    }
    assert_eq!(told[1], "emit out.b after = 0");
}

#[test]
fn events_39_the_application_publishes_and_answers_too() {
    let scene =
        Scene::new().witness("second", &[SUBSCRIBES, ("event", "answer plugin")]).witness("witness", &[]);
    let host = Arc::new(scene.started());
    let replies = |event: &Event| match &*event.data {
        b"fail" => Err(Error::new(ErrorKind::Conflict, "not today")),
        b"panic" => panic!("not that"),
        b"much" => Ok(vec![0; (1 << 20) + 1]),
        data => Ok([b"got ", data].concat()),
    };
    host.subscribe_replying("w.*", SubscribeOptions::default(), replies).expect("the pattern is valid");
    host.subscribe("plugin.witness.>", |_| {}).expect("the pattern is valid");
    let sync = |data: &str| short(host.emit_sync("acme", draft("w.a", data), None).expect("it is fine"));
    let plugin = "second w.> ok plugin".to_owned();
    for (data, own) in [
        ("x", "application w.* ok got x"),
        ("fail", "application w.* failed not today"),
        ("panic", "application w.* panic the application's handler panicked: not that"),
        (
            "much",
            "application w.* failed the application's handler replied 1048577 bytes, at most 1 MiB is taken",
        ),
    ] {
        assert_eq!(sync(data), [plugin.clone(), own.to_owned()]);
    }
    // A plugin is answered by the application's closures too: those that only listen answer OK.
    let told = results(&host, "", "witness", "sync out.a data");
    assert_eq!(told, ["second plugin.witness.> ok 0 plugin", "application plugin.witness.> ok 0"]);
    // From its own handler it cannot wait for itself.
    let (tell, kinds) = mpsc::channel();
    let inner = Arc::downgrade(&host);
    let handler = move |_: &Event| {
        let Some(host) = inner.upgrade() else { return };
        let kind = |result: pintle::Result<_>| result.map(short).map_err(|error| error.kind());
        let _ = tell.send((
            kind(host.emit_sync("", draft("w.a", "x"), None)),
            kind(host.emit_sync("", draft("v.a", "x"), None)),
        ));
    };
    host.subscribe("u", handler).expect("the pattern is valid");
    emit(&host, "", "u", "");
    assert_eq!(kinds.recv_timeout(PATIENCE), Ok((Err(ErrorKind::Reentrant), Ok(Vec::new()))));
    // What it may not publish, and when.
    let kind =
        |topic: &str| host.emit_sync("", draft(topic, "x"), None).map(drop).map_err(|error| error.kind());
    assert_eq!((kind("plugin.a"), kind("pintle.a")), (Err(ErrorKind::Denied), Err(ErrorKind::Denied)));
    host.stop();
    assert_eq!(kind("w.a"), Err(ErrorKind::Unavailable));
}

/// A handler of the application that is given up: its publisher is told at the deadline, the handler goes on.
#[test]
fn events_40_the_application_s_handlers_have_the_deadline_too() {
    let scene = Scene::new();
    let host = scene.started();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let begun = Arc::new(Barrier::new(2));
    let here = begun.clone();
    host.subscribe("w.*", move |_| {
        here.wait();
        let _ = gate.lock().expect("no panic").recv();
    })
    .expect("the pattern is valid");
    emit(&host, "", "w.first", "");
    begun.wait();
    let results =
        host.emit_sync("", draft("w.a", "x"), Some(Duration::from_millis(100))).expect("it is fine");
    assert_eq!(short(results), ["application w.* timeout TIMEOUT"]);
    drop(go);
    until("what was given up does not begin", || host.event_totals().counters.dropped.too_late == 1);
    assert_eq!(host.event_totals().counters.delivered, 1);
}

/// Publishers, steps of a plugin's life and a stop all at once: every wait ends, and the counts add up.
#[test]
fn events_39_under_a_crowd_every_publisher_is_answered() {
    let scene = Scene::with_workers(2)
        .witness("second", &[SUBSCRIBES, ("event", "answer a")])
        .witness("third", &[SUBSCRIBES, ("event", "answer b")])
        .witness("witness", &[]);
    let host = scene.started();
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..50 {
                    let results = host.emit_sync("", draft("w.a", "x"), Some(PATIENCE)).expect("it is fine");
                    assert_eq!(results.len(), 2, "{results:?}");
                    assert!(!short(results).iter().any(|result| result.contains("timeout")));
                }
            });
        }
        threads.spawn(|| {
            for _ in 0..20 {
                host.disable("second").and_then(|()| host.enable("second")).expect("it is fine");
            }
        });
        threads.spawn(|| {
            for _ in 0..20 {
                ask(&host, "", "witness", "sync out.a data");
            }
        });
    });
    host.stop();
    let totals = host.event_totals();
    let counters = totals.counters;
    assert_eq!(counters.matched, counters.delivered + counters.dropped.total(), "{counters:?}");
}

/// The grants of `emit` hold for it, and it can be left out by its own name.
#[test]
fn what_is_not_granted_is_denied() {
    let scene = Scene::new().witness("witness", &[]).toml("").plugin(&witness_library("second", &[]));
    let scene = scene.toml("[plugin.second]\nenabled = false");
    let host = scene.started();
    let told = ask(
        &host,
        "",
        "witness",
        "sync elsewhere.a data; sync out..a data; sync out.a data -1; sync out.a data 3600001",
    );
    assert!(told[0].contains("= 3 plugin \"witness\": it may not publish \"elsewhere.a\""), "{told:?}");
    assert!(told[1].contains("= 2 argument `topic`"), "{told:?}");
    for at in [2, 3] {
        assert!(told[at].contains("= 8 argument `timeout_ms`"), "{told:?}");
    }
}
