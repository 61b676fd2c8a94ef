//! What becomes of plugins that are slow, stuck or faulty, where the settings say how much of that is tolerated.

use std::{
    path::Path,
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant, SystemTime},
};

use pintle::{ErrorKind, Host, PluginState, SuspensionReason, stats::PluginStats};
use serde_json::{Value, json};

use crate::scene::{PATIENCE, Scene, ask, emit, info, state, until};

/// A cool-down that no test waits for.
const LONG: &str = "cooldown_ms = 3600000\n";

/// One failing handler of all is too much.
const FRAIL: &str = "window_ms = 3600000\nerrors_percent = 0\nerrors_least = 1\n";

/// What an operator does.
type Way = fn(&Host) -> pintle::Result<()>;

/// What the host publishes of its plugins.
struct Told(Receiver<(String, Value)>);

impl Told {
    fn of(host: &Host) -> Self {
        let (tell, told) = mpsc::channel();
        host.subscribe("pintle.plugin.*", move |event| {
            let data = serde_json::from_slice(&event.data).expect("the host publishes JSON");
            let topic = event.topic.as_str();
            let _ = tell.send((topic.rsplit('.').next().unwrap_or(topic).to_owned(), data));
        })
        .expect("the pattern is valid");
        Self(told)
    }

    /// The data of the next event of this kind about a plugin; others are passed over.
    #[track_caller]
    fn next(&self, what: &str, id: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (topic, data) = self.0.recv_timeout(left).unwrap_or_else(|_| panic!("{id} is not {what}"));
            if topic == what && data["id"] == id {
                return data;
            }
        }
    }

    /// What was told of a plugin and not asked for.
    fn rest(&self, id: &str) -> Vec<String> {
        self.0.try_iter().filter(|(_, data)| data["id"] == id).map(|(topic, _)| topic).collect()
    }
}

fn stats(host: &Host, id: &str) -> PluginStats {
    host.stats().plugins.into_iter().find(|plugin| plugin.id == id).expect("it is known")
}

fn handled(host: &Host, id: &str, count: u64) {
    until("the handlers have ended", || info(host, id).counters.handled >= count);
}

/// The errors that the log tells of a plugin.
fn errors(scene: &Scene, id: &str) -> Vec<String> {
    let records = scene.records().into_iter();
    records
        .filter(|record| record["level"] == "error" && record["of"] == id)
        .map(|record| record["message"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// A witness that fails in each event.
fn faulty(budgets: &str) -> Scene {
    Scene::with_workers(2)
        .toml(&format!("[budgets]\n{budgets}"))
        .witness("witness", &[("load", "subscribe w.>"), ("event", "fail out of order")])
}

/// A call that takes longer than a millisecond.
fn slow_call(scene: &Scene, host: &Host, number: usize) {
    let gate = format!("slow-{number}");
    thread::scope(|threads| {
        let hang = format!("hang {}", scene.path(&gate).display());
        threads.spawn(move || ask(host, "", "witness", &hang));
        // It looks for the file before it sleeps for a millisecond, so it takes one at least.
        until("it hangs", || scene.count("witness", "hangs") > number);
        thread::sleep(Duration::from_millis(2));
        scene.free(&gate);
    });
}

#[test]
fn budgets_1_and_budgets_3_the_first_failure_that_is_too_many_suspends_and_is_reported() {
    let scene = faulty("errors_percent = 50\nerrors_least = 4\nwindow_ms = 3600000\ncooldown_ms = 90000");
    let host = scene.started();
    let told = Told::of(&host);
    let before = SystemTime::now() - Duration::from_millis(1);
    for _ in 0..3 {
        ask(&host, "", "witness", "own");
    }
    for count in 1..=3 {
        emit(&host, "", "w.a", "");
        handled(&host, "witness", 3 + count);
    }
    assert_eq!(info(&host, "witness").suspended, None, "half of them may fail");
    emit(&host, "", "w.a", "");
    let data = told.next("suspended", "witness");
    let text = "4 of 7 handlers failed within 3600 s, 50 % are allowed";
    let generation = info(&host, "witness").generation;
    let until_ms = data["until_ms"].as_i64().expect("a time");
    let expected = json!({ "id": "witness", "version": "0.1.0", "generation": generation, "reason": "errors",
                           "text": text, "until_ms": until_ms });
    assert_eq!(data, expected);
    let found = info(&host, "witness").suspended.expect("it is suspended");
    assert_eq!((found.reason, found.text.as_str()), (SuspensionReason::Errors, text));
    assert!(found.since >= before && found.since <= SystemTime::now(), "{found:?}");
    assert_eq!(found.until, Some(found.since + Duration::from_millis(90_000)));
    let counted = stats(&host, "witness");
    let suspended = counted.suspended.expect("it is suspended");
    assert_eq!((suspended.reason, suspended.text.as_str(), counted.suspensions), ("errors", text, 1));
    assert_eq!(
        (suspended.until_ms, suspended.until_ms.map(|ms| ms - suspended.since_ms)),
        (Some(until_ms), Some(90_000))
    );
    assert_eq!(counted.handlers["event"].slow, None, "nobody has said what is slow");
    host.stop();
    assert_eq!(
        errors(&scene, "witness"),
        [format!("{text}: disabled for 90 s; `pintle plugins release witness` enables it at once")]
    );
}

#[test]
fn budgets_1_the_first_slow_handler_that_is_too_many_suspends() {
    let scene = Scene::with_workers(2)
        .toml("[budgets]\nslow_ms = 1\nslow = 2\nwindow_ms = 3600000\ncooldown_ms = 0")
        .witness("witness", &[]);
    let host = scene.started();
    let told = Told::of(&host);
    for number in 0..3 {
        assert_eq!(info(&host, "witness").suspended, None);
        slow_call(&scene, &host, number);
    }
    let data = told.next("suspended", "witness");
    let text = "3 handlers took longer than 1 ms within 3600 s, 2 are allowed";
    assert_eq!(
        (data["text"].as_str(), &data["reason"], &data["until_ms"]),
        (Some(text), &json!("slow"), &Value::Null)
    );
    assert_eq!(info(&host, "witness").suspended.map(|found| found.until), Some(None));
    assert_eq!(stats(&host, "witness").handlers["call"].slow, Some(3));
    host.stop();
    let expected = format!("{text}: disabled until it is released: `pintle plugins release witness`");
    assert_eq!(errors(&scene, "witness"), [expected]);
}

#[test]
fn slow_handlers_are_counted_where_they_suspend_nobody() {
    let scene = Scene::new().toml("[budgets]\nslow_ms = 1").witness("witness", &[]);
    let host = scene.started();
    for number in 0..3 {
        slow_call(&scene, &host, number);
    }
    until("they have ended", || stats(&host, "witness").handlers["call"].handled == 3);
    assert_eq!(stats(&host, "witness").handlers["call"].slow, Some(3));
    assert_eq!((state(&host, "witness"), info(&host, "witness").suspended), (PluginState::Enabled, None));
}

#[test]
fn budgets_1_and_budgets_7_the_first_stuck_call_that_is_too_many_suspends_and_disable_is_called_when_it_returns()
 {
    let scene =
        Scene::with_workers(2).deadlines("handler_ms = 200").toml(&format!("[budgets]\nstuck = 1\n{LONG}"));
    let gate = scene.path("gate");
    let scene = scene
        .witness("witness", &[("load", "subscribe w.>"), ("event", &format!("hang {}", gate.display()))]);
    let host = scene.started();
    let told = Told::of(&host);
    for number in 1..=2 {
        emit(&host, "", "w.a", "");
        until("it hangs", || scene.count("witness", "hangs") == number);
        until("it is known as stuck", || stats(&host, "witness").lane.times_stuck == number as u64);
        if number == 1 {
            scene.free("gate");
            until("it is no longer stuck", || !info(&host, "witness").stuck);
            std::fs::remove_file(&gate).expect("it is there");
        }
    }
    let data = told.next("suspended", "witness");
    assert_eq!(data["text"], "2 calls went past the deadline within 60 s, 1 is allowed");
    let found = info(&host, "witness");
    assert_eq!((found.state, found.stuck, scene.count("witness", "disable")), (PluginState::Loaded, true, 0));
    assert_eq!(emit(&host, "", "w.meanwhile", "").queued, 0);
    scene.free("gate");
    until("it is disabled", || scene.count("witness", "disable") == 1);
    host.release("witness").expect("it no longer hangs");
    emit(&host, "", "w.after", "");
    until("it is handled", || scene.count("witness", "event w.> w.after") == 1);
    assert_eq!(scene.count("witness", "event w.> w.meanwhile"), 0);
}

#[test]
fn budgets_2_to_a_suspended_plugin_nothing_is_delivered_and_the_others_are_not_touched() {
    let scene = faulty(&format!("{FRAIL}{LONG}"))
        .witness("second", &[("load", "subscribe w.>; interval tick 1")])
        .toml("[plugin.third.budgets]\nerrors_percent = false")
        .witness("third", &[("load", "subscribe w.>; interval tick 1"), ("event", "fail as well")]);
    let host = scene.started();
    let told = Told::of(&host);
    emit(&host, "", "w.first", "");
    told.next("suspended", "witness");
    until("it is disabled", || scene.count("witness", "disable") == 1);
    for _ in 0..5 {
        assert_eq!(emit(&host, "", "w.meanwhile", "").matched, 3);
    }
    let error = host.call("", "witness.run", 1, "do", b"own", None).expect_err("it is suspended");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("plugin \"witness\" is suspended"), "{error}");
    for name in ["second", "third"] {
        until("the others get all", || scene.count(name, "event w.> w.meanwhile") == 5);
        let jobs = scene.count(name, "job ");
        until("jobs go on", || scene.count(name, "job ") > jobs + 3);
        assert!(info(&host, name).suspended.is_none() && !ask(&host, "", name, "own").is_empty());
    }
    assert_eq!(scene.count("witness", "event "), 1);
    let not_live = stats(&host, "witness").events.dropped.not_live;
    assert_eq!(not_live, 5);
    let stopped = host.stop();
    assert!(stopped.left.is_empty() && stopped.failed.is_empty(), "{stopped:?}");
    assert_eq!(scene.count("witness", "disable"), 1, "once is enough");
}

#[test]
fn budgets_4_after_the_cool_down_it_works_again_with_an_empty_window() {
    let scene = faulty("window_ms = 3600000\nerrors_percent = 0\nerrors_least = 2\ncooldown_ms = 50");
    let host = scene.started();
    let told = Told::of(&host);
    for round in 1..=3 {
        emit(&host, "", "w.a", "");
        handled(&host, "witness", 2 * round - 1);
        assert_eq!(state(&host, "witness"), PluginState::Enabled, "one is too few to say");
        emit(&host, "", "w.a", "");
        let data = told.next("suspended", "witness");
        assert!(data["text"].as_str().is_some_and(|text| text.starts_with("2 of 2 ")), "{data}");
        let data = told.next("released", "witness");
        let generation = info(&host, "witness").generation;
        let expected =
            json!({ "id": "witness", "version": "0.1.0", "generation": generation, "by": "cooldown" });
        assert_eq!(data, expected);
        let found = info(&host, "witness");
        assert_eq!((found.state, found.suspended), (PluginState::Enabled, None));
        assert_eq!(stats(&host, "witness").suspensions, round);
    }
    assert_eq!((scene.count("witness", "enable"), scene.count("witness", "disable")), (4, 3));
}

#[test]
fn budgets_5_an_enable_that_fails_after_the_cool_down_is_reported_and_tried_again() {
    let scene = faulty(&format!("{FRAIL}cooldown_ms = 50"));
    let host = scene.started();
    let told = Told::of(&host);
    let configure = |enable: &str| {
        let mut config = host.configs()["witness"].clone();
        config["enable"] = enable.into();
        host.configure("witness", &config).expect("it takes it");
    };
    configure("fail still broken");
    emit(&host, "", "w.a", "");
    told.next("suspended", "witness");
    for _ in 0..2 {
        let data = told.next("failed", "witness");
        assert!(data["error"].as_str().is_some_and(|text| text.contains("still broken")), "{data}");
        assert!(info(&host, "witness").suspended.is_some());
    }
    configure("");
    told.next("released", "witness");
    assert_eq!(state(&host, "witness"), PluginState::Enabled);
    host.stop();
    let begin =
        "a suspended plugin has cooled down and could not be enabled, which is tried again in 50 ms: ";
    let failed = errors(&scene, "witness").into_iter().filter(|text| text.starts_with(begin));
    assert!(failed.count() >= 2);
}

#[test]
fn budgets_6_it_is_released_by_hand_with_release_and_with_enable() {
    let scene = faulty(&format!("{FRAIL}{LONG}"));
    let host = scene.started();
    let told = Told::of(&host);
    let ways: [(&str, Way); 2] =
        [("release", |host| host.release("witness")), ("enable", |host| host.enable("witness"))];
    for (round, (name, way)) in ways.into_iter().enumerate() {
        let error = host.release("witness").expect_err("it is not suspended");
        assert_eq!((error.kind(), error.plugin()), (ErrorKind::NotFound, Some("witness")));
        emit(&host, "", "w.a", "");
        told.next("suspended", "witness");
        way(&host).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(told.next("released", "witness")["by"], "operator");
        let found = info(&host, "witness");
        assert_eq!((found.state, found.suspended), (PluginState::Enabled, None));
        assert!(!ask(&host, "", "witness", "own").is_empty());
        assert_eq!(
            (scene.count("witness", "disable"), scene.count("witness", "enable")),
            (round + 1, round + 2)
        );
    }
    assert_eq!(host.release("nobody").map_err(|error| error.kind()), Err(ErrorKind::NotFound));
    host.stop();
    assert_eq!(host.release("witness").map_err(|error| error.kind()), Err(ErrorKind::Stopping));
}

#[test]
fn budgets_6_one_that_is_disabled_or_unloaded_by_hand_does_not_come_back_by_itself() {
    let ways: [(Way, PluginState); 2] = [
        (|host| host.disable("witness"), PluginState::Loaded),
        (|host| host.unload("witness"), PluginState::Unloaded),
    ];
    for (way, expected) in ways {
        let scene = faulty(&format!("{FRAIL}cooldown_ms = 1000"))
            .witness("second", &[("load", "subscribe w.b"), ("event", "fail later")]);
        let host = scene.started();
        let told = Told::of(&host);
        emit(&host, "", "w.a", "");
        told.next("suspended", "witness");
        way(&host).expect("it is loaded");
        told.next("disabled", "witness");
        assert_eq!((state(&host, "witness"), info(&host, "witness").suspended), (expected, None));
        // When the second has cooled down the first would have long before.
        emit(&host, "", "w.b", "");
        told.next("suspended", "second");
        told.next("released", "second");
        let rest = told.rest("witness");
        assert!(!rest.iter().any(|what| what == "released" || what == "enabled"), "{rest:?}");
        assert_eq!(state(&host, "witness"), expected);
        assert_eq!(scene.count("witness", "enable"), 1);
        host.enable("witness").expect("it is fine");
        assert_eq!(state(&host, "witness"), PluginState::Enabled);
    }
}

#[test]
fn budgets_6_another_load_begins_with_an_empty_window() {
    let scene = faulty(&format!("window_ms = 3600000\nerrors_percent = 0\nerrors_least = 2\n{LONG}"));
    let host = scene.started();
    let told = Told::of(&host);
    for count in 1..=3 {
        emit(&host, "", "w.a", "");
        handled(&host, "witness", count);
        host.unload("witness").expect("it is loaded");
        host.enable("witness").expect("it is fine");
    }
    assert_eq!((state(&host, "witness"), stats(&host, "witness").suspensions), (PluginState::Enabled, 0));
    emit(&host, "", "w.a", "");
    emit(&host, "", "w.a", "");
    assert!(
        told.next("suspended", "witness")["text"].as_str().is_some_and(|text| text.starts_with("2 of 2 "))
    );
}

#[test]
fn budgets_7_one_that_hangs_for_ever_is_suspended_and_the_host_stops_in_time() {
    for cooldown in ["cooldown_ms = 1\n", LONG] {
        let scene = Scene::with_workers(2)
            .deadlines("handler_ms = 100")
            .toml(&format!("[budgets]\nstuck = 0\n{cooldown}"));
        let hang = format!("hang {}", scene.path("gate").display());
        let scene =
            scene.witness("witness", &[("load", "subscribe w.>"), ("event", &hang)]).witness("second", &[]);
        let host = scene.started();
        let told = Told::of(&host);
        emit(&host, "", "w.a", "");
        let data = told.next("suspended", "witness");
        assert_eq!(data["text"], "1 call went past the deadline within 60 s, none is allowed");
        assert!(!ask(&host, "", "second", "own").is_empty());
        let begun = Instant::now();
        let stopped = host.stop_within(Duration::from_millis(2_000));
        assert!(begun.elapsed() <= Duration::from_millis(2_500), "it took {:?}", begun.elapsed());
        assert_eq!(stopped.left.len(), 1, "{stopped:?}");
        assert!(stopped.left[0].starts_with("plugin \"witness\" in "), "{stopped:?}");
        assert_eq!(scene.journal("second").last().map(String::as_str), Some("unload"));
        scene.free("gate");
        until("the threads that were left behind end", || host.workers().workers == 0);
    }
}

#[test]
fn budgets_7_plugins_that_hang_do_not_keep_others_from_being_suspended() {
    let scene = Scene::with_workers(2).deadlines("handler_ms = 100");
    let mut scene = scene.toml(&format!("[budgets]\nstuck = 0\n{FRAIL}{LONG}"));
    let hang = format!("hang {}", scene.path("gate").display());
    let names = ["stuck-a", "stuck-b", "stuck-c", "stuck-d"];
    for name in names {
        scene = scene.witness(name, &[("load", "subscribe w.hang"), ("event", &hang)]);
    }
    let scene = scene.witness("witness", &[("load", "subscribe w.fail"), ("event", "fail")]);
    let host = scene.started();
    let told = Told::of(&host);
    let begun = Instant::now();
    emit(&host, "", "w.hang", "");
    for name in names {
        until("it is suspended", || info(&host, name).suspended.is_some());
    }
    emit(&host, "", "w.fail", "");
    told.next("suspended", "witness");
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "not the deadline of one `disable` of a plugin that hangs"
    );
    scene.free("gate");
    for name in names {
        until("it is disabled", || scene.count(name, "disable") == 1);
    }
}

#[test]
fn budgets_8_what_is_answered_to_a_call_counts_only_if_it_is_the_plugins_own_failure() {
    let scene = faulty(&format!("{FRAIL}{LONG}"));
    let host = scene.started();
    let told = Told::of(&host);
    let call = |command: &str| {
        let answer = host.call("", "witness.run", 1, "do", command.as_bytes(), None);
        answer.map(drop).map_err(|error| error.kind())
    };
    for _ in 0..5 {
        assert_eq!(call("fail you ask for too much"), Err(ErrorKind::Conflict));
    }
    assert_eq!(call("own"), Ok(()));
    assert_eq!(info(&host, "witness").suspended, None);
    assert_eq!(call("panic"), Err(ErrorKind::Panic));
    assert_eq!(
        told.next("suspended", "witness")["text"],
        "1 of 7 handlers failed within 3600 s, 0 % are allowed"
    );
}

#[test]
fn a_storm_suspends_all_at_once_under_load_and_all_come_back() {
    let names: Vec<String> = (b'a'..=b'l').map(|letter| format!("faulty-{}", letter as char)).collect();
    let mut scene = Scene::with_workers(2)
        .toml("[budgets]\nwindow_ms = 3600000\nerrors_percent = 0\nerrors_least = 3\ncooldown_ms = 20")
        .witness("steady", &[("load", "subscribe w.>")]);
    for name in &names {
        scene = scene.witness(name, &[("load", "subscribe w.>; interval tick 1"), ("event", "fail again")]);
    }
    let host = scene.started();
    const EVENTS: usize = 300;
    thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                for _ in 0..EVENTS / 2 {
                    emit(&host, "", "w.a", "");
                    thread::yield_now();
                }
            });
        }
    });
    until("the one that is fine gets all", || scene.count("steady", "event ") == EVENTS);
    for name in &names {
        until("it was suspended, and is back", || {
            let stats = stats(&host, name);
            stats.suspensions > 0 && stats.suspended.is_none() && state(&host, name) == PluginState::Enabled
        });
    }
    assert_eq!((stats(&host, "steady").suspensions, info(&host, "steady").counters.failed_handled), (0, 0));
    let stopped = host.stop();
    assert!(stopped.left.is_empty() && stopped.failed.is_empty(), "{stopped:?}");
    for name in &names {
        let (enabled, disabled) = (scene.count(name, "enable"), scene.count(name, "disable"));
        assert_eq!(enabled, disabled, "{name}: {:?}", scene.journal(name));
    }
}

#[test]
fn a_host_that_stops_while_plugins_trip_and_cool_down_stops_clean() {
    for round in 0..10 {
        let scene = faulty(&format!("{FRAIL}cooldown_ms = 1")).witness(
            "second",
            &[("load", "subscribe w.>; interval tick 1"), ("event", "fail"), ("job", "fail")],
        );
        let host = scene.started();
        thread::scope(|threads| {
            threads.spawn(|| {
                while host.emit("", crate::scene::draft("w.a", "")).is_ok() {
                    thread::yield_now();
                }
            });
            let suspended = || stats(&host, "second").suspensions;
            until("it was suspended", || suspended() > round);
            let stopped = host.stop();
            assert!(stopped.left.is_empty() && stopped.failed.is_empty(), "{stopped:?}");
        });
        for name in ["witness", "second"] {
            assert_eq!(scene.journal(name).last().map(String::as_str), Some("unload"), "{name}");
            assert_eq!(scene.count(name, "enable"), scene.count(name, "disable"), "{name}");
        }
    }
}

#[test]
fn a_plugin_that_is_disabled_and_enabled_while_it_trips_ends_as_it_was_told_last() {
    let scene = faulty(&format!("{FRAIL}cooldown_ms = 1"));
    let host = scene.started();
    thread::scope(|threads| {
        let (done, over) = mpsc::channel::<()>();
        let emitting = &host;
        threads.spawn(move || {
            while over.try_recv() == Err(mpsc::TryRecvError::Empty) {
                emit(emitting, "", "w.a", "");
                thread::yield_now();
            }
        });
        for _ in 0..100 {
            host.enable("witness").expect("it is fine");
            host.disable("witness").expect("it is fine");
            let found = info(&host, "witness");
            assert_eq!((found.state, found.suspended), (PluginState::Loaded, None));
            assert_eq!(scene.count("witness", "enable"), scene.count("witness", "disable"));
        }
        drop(done);
    });
    host.unload("witness").expect("it is fine");
    assert!(Path::new(&scene.journal_of("witness")).is_file());
    assert_eq!(scene.count("witness", "enable"), scene.count("witness", "disable"));
}

#[test]
fn what_is_told_of_a_plugin_comes_in_the_order_in_which_it_happened() {
    // It trips with the first event after each `enable`, while that is still being told.
    let scene = faulty(&format!("{FRAIL}cooldown_ms = 1"));
    let host = scene.started();
    let told = Told::of(&host);
    let mut seen = Vec::new();
    thread::scope(|threads| {
        let (done, over) = mpsc::channel::<()>();
        let emitting = &host;
        threads.spawn(move || {
            while over.try_recv() == Err(mpsc::TryRecvError::Empty) {
                emit(emitting, "", "w.a", "");
            }
        });
        let deadline = Instant::now() + PATIENCE;
        while seen.len() < 600 {
            let left = deadline.saturating_duration_since(Instant::now());
            let (topic, _) = told.0.recv_timeout(left).expect("it is suspended and released again and again");
            seen.push(topic);
        }
        drop(done);
    });
    for (at, round) in seen.chunks(3).enumerate() {
        assert_eq!(round, ["suspended", "enabled", "released"], "round {at}");
    }
}
