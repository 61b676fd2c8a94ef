//! The test host: what a plugin meets in it is what it meets in a real one.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use pintle_plugin::{
    Context, Error, HandlerOutcome, Held, Level, Optional, Plugin, Request, Result, Status, SubscribeOptions,
    plugin,
    test::{Emitted, Host},
};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

/// Does what it is told: events below `do.`, calls of `clerk.desk`, and settings for the steps of its life.
struct Clerk {
    word: Mutex<String>,
    held: Mutex<Vec<Held>>,
}

plugin!(
    Clerk,
    inline r#"{
        "id": "clerk", "version": "1.0.0", "abi": "1.0", "state": 7,
        "services": {
            "cache": { "namespaces": ["mine"] },
            "storage": { "methods": ["get", "set"] },
            "events": { "subscribe": ["do.>", "plugin.clerk.>"], "publish": ["said", "again", "asked"] },
            "scheduler": {},
            "call": ["geo.lookup", "clerk.desk"]
        },
        "provides": { "clerk.desk": { "major": 3, "methods": ["add", "who", "word", "forgotten"] } },
        "config": { "type": "object", "properties": {
            "word": { "type": "string", "default": "hi" },
            "limits": { "type": "object", "properties": { "most": { "type": "integer", "default": 5 } } }
        } }
    }"#,
    entry = clerk
);

fn fail_where_told(cx: &Context, step: &str) -> Result<()> {
    match cx.config().text("/fail").optional()? {
        Some(at) if at == step => Err(Error::new(Status::Conflict, format!("told to fail in {step}"))),
        _ => Ok(()),
    }
}

impl Plugin for Clerk {
    fn load(cx: &Context) -> Result<Self> {
        fail_where_told(cx, "load")?;
        for early in [cx.events().emit("said", b""), cx.storage().set("early", b"").map(drop)] {
            assert_eq!(early.expect_err("too early").status(), Status::Unavailable);
        }
        cx.cache("mine").set("loaded", b"")?;
        cx.events().subscribe("do.always", |cx, _| cx.events().emit("said", b"always"))?;
        Ok(Clerk { word: Mutex::new(cx.config().text("/word")?), held: Mutex::default() })
    }

    fn enable(&self, cx: &Context) -> Result<()> {
        fail_where_told(cx, "enable")?;
        cx.events().subscribe("do.*", |cx, event| match event.topic() {
            "do.say" => cx.events().emit("said", event.data()),
            "do.reply" => event.reply_json(&cx.tenant()?),
            "do.fail" => Err(Error::new(Status::Quota, "no more")),
            "do.panic" => panic!("told to"),
            "do.circle" => cx.events().emit("again", b""),
            _ => Ok(()),
        })?;
        cx.events().subscribe("plugin.clerk.again", |cx, _| cx.events().emit("again", b""))?;
        cx.events().subscribe("do.call.>", |cx, event| {
            let reply = cx.call("geo.lookup", 1, event.text()?, b"question", None)?;
            event.reply(&reply)
        })?;
        cx.events().subscribe("do.ask.>", |cx, _| {
            let answers = cx.events().emit_sync("asked", b"{}", Some(SECOND))?;
            let told = answers.iter().map(|one| {
                let reply =
                    one.reply.as_deref().map_or_else(Error::to_string, |b| String::from_utf8_lossy(b).into());
                format!("{} {:?} {reply}", one.subscriber, one.outcome)
            });
            cx.events().emit_json("said", &told.collect::<Vec<_>>())
        })?;
        cx.scheduler().cron("nightly", "0 4 * * *", |cx, run| {
            cx.events().emit("said", run.job().as_bytes())?;
            run.reply_json(&1)
        })?;
        cx.scheduler().interval("beat", SECOND, |cx, _| {
            let beats = cx.cache("mine").incr("beats", 1)?;
            if beats == 2 { Err(Error::new(Status::Busy, "tired")) } else { Ok(()) }
        })?;
        cx.scheduler().cron("span", "@every 4s", |cx, _| cx.events().emit("said", b"span"))?;
        cx.scheduler().once("first", SECOND / 2, |cx, _| cx.events().emit("said", b"first"))?;
        Ok(())
    }

    fn disable(&self, cx: &Context) -> Result<()> {
        let late = cx.events().subscribe("do.late", |_, _| Ok(())).expect_err("too late");
        assert_eq!(
            (late.status(), cx.hold().expect_err("too late").status()),
            (Status::Stopping, Status::Stopping)
        );
        assert_eq!(
            cx.call("geo.lookup", 1, "x", b"", None).expect_err("too late").status(),
            Status::Stopping
        );
        cx.storage().set("flushed", b"")?;
        cx.events().emit("said", b"bye")
    }

    fn configure(&self, cx: &Context, config: &Value) -> Result<()> {
        if config["word"] == "bad" {
            return Err(Error::new(Status::InvalidArgument, "not that word"));
        }
        assert_eq!(cx.config().text("/word")?, *self.word.lock().expect("not poisoned"), "the old one shows");
        *self.word.lock().expect("not poisoned") = config["word"].as_str().unwrap_or_default().to_owned();
        Ok(())
    }

    fn save(&self, _: &Context) -> Result<Vec<u8>> {
        Ok(self.word.lock().expect("not poisoned").clone().into_bytes())
    }

    fn restore(&self, cx: &Context, schema: u32, saved: &[u8]) -> Result<()> {
        fail_where_told(cx, "restore")?;
        assert_eq!(schema, 7);
        *self.word.lock().expect("not poisoned") = String::from_utf8_lossy(saved).into_owned();
        Ok(())
    }

    fn call(&self, cx: &Context, request: &Request<'_>) -> Result<Vec<u8>> {
        match request.method() {
            "add" => request.answer(|(a, b): (i64, i64)| Ok(a + b)),
            "word" => request.answer(|(): ()| Ok(self.word.lock().expect("not poisoned").clone())),
            "who" => {
                self.held.lock().expect("not poisoned").push(cx.hold()?);
                let scope = (cx.tenant()?, cx.remaining()?, request.caller(), request.major());
                request.answer(|(): ()| Ok(scope))
            }
            _ => Err(request.unsupported()),
        }
    }
}

fn started() -> Host {
    Host::new().start::<Clerk>().expect("it starts")
}

fn said(host: &Host) -> Vec<String> {
    let emitted = host.take_emitted();
    emitted.iter().map(|event| String::from_utf8_lossy(&event.data).into_owned()).collect()
}

#[test]
fn a_life_has_its_phases() -> Result<()> {
    let host = Host::new();
    assert_eq!(host.emit("do.say", b"").expect_err("nobody is there").status(), Status::Unavailable);
    host.load::<Clerk>()?;
    assert_eq!(host.load::<Clerk>().expect_err("one is").status(), Status::Conflict);
    assert!(host.cache("mine").exists("loaded")?, "the cache is there from the beginning");
    assert_eq!(host.emit("do.always", b"")?.len(), 0, "not before it is enabled");
    host.enable()?;
    assert_eq!(host.emit("do.always", b"")?.len(), 2);
    assert_eq!(said(&host), ["always"]);
    host.disable()?;
    assert_eq!((said(&host), host.storage().exists("flushed")?), (vec!["bye".to_owned()], true));
    assert_eq!(host.emit("do.always", b"")?.len(), 0);
    assert_eq!(host.run_job("nightly").expect_err("disabled").status(), Status::Unavailable);
    host.enable()?;
    assert_eq!(
        host.emit("do.always", b"")?.len(),
        2,
        "what `load` registered stays, the rest was dropped once"
    );
    host.unload()?;
    assert_eq!(said(&host), ["always", "bye"], "and can be looked at afterwards");
    assert_eq!(host.unload().expect_err("it is").status(), Status::Unavailable);
    host.load::<Clerk>()
}

#[test]
fn what_a_step_answers_is_what_the_test_gets() {
    for step in ["load", "enable"] {
        let error = Host::new().config(json!({ "fail": step })).start::<Clerk>().expect_err("it fails");
        assert_eq!(
            (error.status(), error.message()),
            (Status::Conflict, &*format!("told to fail in {step}"))
        );
    }
}

#[test]
fn each_grant_is_asked_for() -> Result<()> {
    struct Nosy;
    impl Plugin for Nosy {
        fn load(cx: &Context) -> Result<Self> {
            let subscription = cx.events().subscribe("a.*", |_, _| Ok(()))?;
            let refused: [(Result<()>, &str); 8] = [
                (cx.cache("theirs").set("k", b""), "use the cache namespace \"theirs\""),
                (cx.cache("mine").remove("k").map(drop), "call cache.remove: add \"cache\": {}"),
                (cx.storage().get("k").map(drop), "call storage.get: add \"storage\": {}"),
                (cx.events().emit("secret", b""), "publish \"secret\""),
                (cx.events().subscribe("a.>", |_, _| Ok(())).map(drop), "subscribe to \"a.>\""),
                (cx.scheduler().cron("j", "@daily", |_, _| Ok(())).map(drop), "call scheduler.cron"),
                (cx.call("geo.lookup", 1, "find", b"", None).map(drop), "call the service \"geo.lookup\""),
                (subscription.unsubscribe(cx), "call events.unsubscribe"),
            ];
            for (outcome, what) in refused {
                let error = outcome.expect_err(what);
                assert_eq!(error.status(), Status::Denied, "{error}");
                let front = format!("plugin \"nosy\" may not {what}");
                assert!(error.message().starts_with(&front), "{error} is not {front}");
            }
            cx.cache("mine").set("k", b"")?;
            Ok(Nosy)
        }
    }
    plugin!(
        Nosy,
        inline r#"{ "id": "nosy", "version": "1.0.0", "abi": "1.0", "services": {
            "cache": { "namespaces": ["mine"], "methods": ["set"] },
            "events": { "methods": ["emit", "subscribe"], "subscribe": ["a.*"], "publish": ["open.>"] }
        } }"#,
        entry = nosy
    );
    Host::new().start::<Nosy>().map(drop)
}

#[test]
fn handlers_run_for_the_tenant_of_the_event() -> Result<()> {
    let host = started();
    let acme = host.tenant("acme");
    assert_eq!(host.emit("do.reply", b"")?, [b"null"]);
    assert_eq!(acme.emit("do.reply", b"")?, [b"\"acme\""]);
    acme.emit_json("do.say", &json!({ "n": 1 }))?;
    let emitted = host.emitted();
    let event: &Emitted = &emitted[0];
    assert_eq!((event.topic.as_str(), event.source.as_str()), ("plugin.clerk.said", "/plugins/clerk"));
    assert_eq!((event.tenant.as_deref(), event.depth, event.sync), (Some("acme"), 1, false));
    assert_eq!((event.json::<Value>()?, event.time()), (json!({ "n": 1 }), host.now()));
    assert_eq!(host.emit("no topic", b"").expect_err("a space").status(), Status::InvalidArgument);
    Ok(())
}

#[test]
fn a_subscription_under_a_tenant_sees_that_tenants_events_only() -> Result<()> {
    struct Private;
    impl Plugin for Private {
        fn load(cx: &Context) -> Result<Self> {
            cx.events().subscribe("join", |cx, event| {
                cx.events().subscribe("talk.>", |cx, event| event.reply_json(&cx.tenant()?))?;
                let again = cx.events().subscribe("talk.>", |_, _| Ok(())).expect_err("the name is taken");
                assert_eq!(again.status(), Status::Conflict);
                let options = SubscribeOptions::new().name("second");
                let second = cx.events().subscribe_with("talk.>", &options, |_, _| Ok(()))?;
                second.unsubscribe(cx)?;
                assert_eq!(second.unsubscribe(cx).expect_err("it is over").status(), Status::StaleHandle);
                event.reply(b"joined")
            })?;
            Ok(Private)
        }
    }
    plugin!(
        Private,
        inline r#"{ "id": "private", "version": "1.0.0", "abi": "1.0",
            "services": { "events": { "subscribe": ["join", "talk.>"] } } }"#,
        entry = private
    );
    let host = Host::new().start::<Private>()?;
    for name in ["acme", "bolt"] {
        assert_eq!(host.tenant(name).emit("join", b"")?, [b"joined"]);
    }
    assert_eq!(host.tenant("acme").emit("talk.now", b"")?, [b"\"acme\""]);
    assert_eq!(host.tenant("bolt").emit("talk.now", b"")?, [b"\"bolt\""]);
    assert_eq!(host.emit("talk.now", b"")?.len(), 0, "the system is not every tenant");
    Ok(())
}

#[test]
fn a_handler_that_fails_or_panics_is_told_and_logged() -> Result<()> {
    let host = started();
    let cases = [("do.fail", Status::Quota, "no more"), ("do.panic", Status::Panic, "panicked: told to")];
    for (topic, status, text) in cases {
        let error = host.tenant("acme").emit(topic, b"").expect_err("it fails");
        assert_eq!(
            (error.status(), error.message()),
            (status, &*format!("clerk (do.*) with {topic}: {text}"))
        );
        let logs = host.take_logs();
        let record = logs.last().expect("it is logged");
        assert_eq!((record.level, record.message.as_str()), (Level::Error, "a handler failed"));
        assert_eq!((record.field("error"), record.tenant.as_deref()), (Some(&json!(text)), Some("acme")));
    }
    assert_eq!(host.emit("do.reply", b"")?, [b"null"], "the next one comes all the same");
    Ok(())
}

#[test]
fn a_circle_of_events_ends() -> Result<()> {
    let host = started();
    host.emit("do.circle", b"")?;
    let depths: Vec<u32> = host.emitted().iter().map(|event| event.depth).collect();
    assert_eq!(depths, (1..=64).collect::<Vec<_>>());
    let logs = host.logs();
    assert_eq!(logs.last().and_then(|record| record.field("status")), Some(&json!("Reentrant")));
    Ok(())
}

#[test]
fn who_waits_for_handlers_gets_every_outcome() -> Result<()> {
    let failing = |status: Status| move |_: &Emitted| Err(Error::new(status, "so"));
    let host = Host::new()
        .listen("good", "plugin.clerk.*", |event| Ok(event.data.clone()))
        .listen("bad", "plugin.clerk.asked", failing(Status::Denied))
        .listen("slow", "plugin.clerk.asked", failing(Status::Timeout))
        .listen("wild", "plugin.clerk.asked", failing(Status::Panic))
        .listen("away", "plugin.clerk.asked", failing(Status::Unavailable))
        .listen("deaf", "plugin.other.asked", failing(Status::Denied))
        .start::<Clerk>()?;
    host.emit("do.ask.all", b"")?;
    let emitted = host.emitted();
    assert!(emitted[0].sync && emitted[0].topic == "plugin.clerk.asked");
    assert_eq!(
        emitted[1].json::<Vec<String>>()?,
        ["good Handled {}", "bad Failed so", "slow TimedOut so", "wild Panicked so", "away Skipped so"]
    );
    Ok(())
}

#[test]
fn waiting_for_ones_own_handler_is_refused_before_anybody_is_called() -> Result<()> {
    struct Selfish;
    impl Plugin for Selfish {
        fn load(cx: &Context) -> Result<Self> {
            cx.events().subscribe("plugin.selfish.x", |_, _| panic!("it ran"))?;
            cx.events().subscribe("go", |cx, _| {
                let error = cx.events().emit_sync_json("x", &1, None).expect_err("its own lane");
                assert_eq!(error.status(), Status::Reentrant);
                let none = cx.events().emit_sync("x", b"", Some(Duration::ZERO)).expect_err("no time");
                assert_eq!(none.status(), Status::OutOfRange);
                Ok(())
            })?;
            Ok(Selfish)
        }
    }
    plugin!(
        Selfish,
        inline r#"{ "id": "selfish", "version": "1.0.0", "abi": "1.0", "services": { "events": {
            "subscribe": ["go", "plugin.selfish.x"], "publish": ["x"] } } }"#,
        entry = selfish
    );
    let host = Host::new().listen("other", ">", |_| Ok(Vec::new())).start::<Selfish>()?;
    host.emit("go", b"")?;
    assert_eq!(host.emitted(), []);
    assert_eq!(
        host.context().events().emit_sync("x", b"", None).expect("no plugin's lane waits")[0].outcome,
        HandlerOutcome::Panicked
    );
    Ok(())
}

#[test]
fn calls_reach_the_plugin_typed() -> Result<()> {
    let host = started();
    let acme = host.tenant("acme");
    assert_eq!(host.call_json::<i64>("clerk.desk", "add", &(2, 40))?, 42);
    assert_eq!(host.call("clerk.desk", "word", b"")?, b"\"hi\"", "nothing is read as null");
    assert_eq!(
        acme.call_json::<Value>("clerk.desk", "who", &())?,
        json!(["acme", { "secs": 5, "nanos": 0 }, "application", 3])
    );
    let cases = [
        ("clerk.desk", "add", Status::InvalidArgument, "the request of clerk.desk.add: invalid type: null"),
        ("clerk.desk", "forgotten", Status::Unsupported, "service `clerk.desk` 3 has no method `forgotten`"),
        (
            "clerk.desk",
            "unlisted",
            Status::Unsupported,
            "the manifest's `provides` lists no method `unlisted`",
        ),
        ("other.desk", "add", Status::NotFound, "plugin \"clerk\" does not provide `other.desk`"),
    ];
    for (service, method, status, text) in cases {
        let error = host.call(service, method, b"").expect_err(text);
        assert_eq!(error.status(), status);
        assert!(error.message().starts_with(text), "{error}");
    }
    host.disable()?;
    assert_eq!(host.call("clerk.desk", "word", b"").expect_err("disabled").status(), Status::Unavailable);
    Ok(())
}

#[test]
fn other_plugins_are_played_by_the_test() -> Result<()> {
    let host = Host::new()
        .provide("geo.lookup", 1, |method, request| match method {
            "find" => Ok([request, b"!"].concat()),
            "full" => Err(Error::new(Status::Quota, "geo has enough")),
            _ => panic!("nobody asks {method}"),
        })
        .start::<Clerk>()?;
    assert_eq!(host.emit("do.call.x", b"find")?, [b"question!"]);
    let error = host.emit("do.call.x", b"full").expect_err("it is passed on");
    assert_eq!(error.status(), Status::Quota);
    assert!(error.message().ends_with("geo has enough"), "{error}");
    let panic =
        catch_unwind(AssertUnwindSafe(|| host.emit("do.call.x", b"else"))).expect_err("it reaches the test");
    assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("nobody asks else"));
    let nobody = started().emit("do.call.x", b"find").expect_err("nobody provides it");
    assert_eq!(nobody.status(), Status::NotFound);
    Ok(())
}

#[test]
fn jobs_run_when_the_clock_passes_them_or_when_asked() -> Result<()> {
    let host = started();
    host.advance(SECOND / 2)?;
    assert_eq!(said(&host), ["first"]);
    assert_eq!(host.run_job("first").expect_err("it is gone").status(), Status::NotFound);
    host.advance(SECOND * 3)?;
    assert_eq!(host.cache("mine").get_integer("beats")?, Some(3), "one that fails keeps its schedule");
    let failed =
        host.logs().into_iter().find(|record| record.message == "a job failed").expect("it is logged");
    assert_eq!((failed.field("name"), failed.field("error")), (Some(&json!("beat")), Some(&json!("tired"))));
    assert_eq!((host.run_job("nightly")?, said(&host)), (b"1".to_vec(), vec!["nightly".to_owned()]));
    let elsewhere = host.tenant("acme").run_job("nightly").expect_err("it is the system's");
    assert_eq!(elsewhere.status(), Status::NotFound);
    host.advance(SECOND / 2)?;
    assert_eq!(said(&host), ["span"], "@every is an interval");
    host.disable()?;
    host.advance(SECOND * 9)?;
    assert_eq!(host.cache("mine").get_integer("beats")?, Some(4));
    Ok(())
}

#[test]
fn settings_have_their_defaults_and_changes_may_be_refused() -> Result<()> {
    let host = Host::new().config(json!({ "limits": {} })).start::<Clerk>()?;
    let word = || host.call_json::<String>("clerk.desk", "word", &());
    assert_eq!(host.context().config().integer("/limits/most")?, 5);
    host.configure(json!({ "word": "hello" }))?;
    assert_eq!((word()?, host.context().config().text("/word")?), ("hello".to_owned(), "hello".to_owned()));
    let error = host.configure(json!({ "word": "bad" })).expect_err("it refuses");
    assert_eq!((error.message(), word()?), ("not that word", "hello".to_owned()));
    assert_eq!(host.context().config().text("/word")?, "hello");
    host.configure(json!({}))?;
    assert_eq!(word()?, "hi");
    Ok(())
}

#[test]
fn a_reload_hands_over_and_ends_the_old_contexts() -> Result<()> {
    let host = started();
    host.configure(json!({ "word": "kept" }))?;
    host.storage().set("s", b"1")?;
    host.reload()?;
    assert_eq!(host.call_json::<String>("clerk.desk", "word", &())?, "kept");
    assert!(host.storage().exists("s")? && host.cache("mine").exists("loaded")?);
    assert_eq!(host.emit("do.always", b"")?.len(), 2, "each subscription is there once");

    let host = Host::new().config(json!({ "fail": "restore" })).start::<Clerk>()?;
    assert_eq!(host.reload().expect_err("it refuses").message(), "told to fail in restore");
    assert_eq!(host.emit("do.always", b"")?.len(), 2, "the old one goes on");
    Ok(())
}

#[test]
fn a_held_context_ends_with_its_generation() -> Result<()> {
    static KEPT: Mutex<Option<Held>> = Mutex::new(None);
    struct Keeper;
    impl Plugin for Keeper {
        fn load(cx: &Context) -> Result<Self> {
            cx.events().subscribe("keep", |cx, _| {
                *KEPT.lock().expect("not poisoned") = Some(cx.hold()?);
                Ok(())
            })?;
            Ok(Keeper)
        }
    }
    plugin!(
        Keeper,
        inline r#"{ "id": "keeper", "version": "1.0.0", "abi": "1.0",
            "services": { "cache": {}, "events": { "subscribe": ["keep"] } } }"#,
        entry = keeper
    );
    let host = Host::new().start::<Keeper>()?;
    host.tenant("acme").emit("keep", b"")?;
    let held = KEPT.lock().expect("not poisoned").take().expect("it was kept");
    let scope = held.scope()?;
    assert_eq!(
        (scope.tenant.as_deref(), scope.ends_with_call, held.remaining()?),
        (Some("acme"), false, None)
    );
    std::thread::scope(|threads| {
        threads.spawn(|| held.cache("ns").set("k", b"from a thread").expect("it lives"));
    });
    assert!(host.tenant("acme").cache("ns").exists("k")? && !host.cache("ns").exists("k")?);
    host.unload()?;
    let error = held.cache("ns").get("k").expect_err("it is over");
    assert_eq!(
        (error.status(), error.message()),
        (Status::StaleHandle, "the context is over, or never was one")
    );
    Ok(())
}

#[test]
fn what_is_told_to_fail_fails_once() -> Result<()> {
    let host = started();
    host.fail_next("events.emit", Status::Busy, "no room");
    assert!(host.emit("do.say", b"").expect_err("told to").message().ends_with("no room"));
    host.emit("do.say", b"x")?;
    assert_eq!(said(&host), ["x"]);
    Ok(())
}

#[test]
fn a_plugin_is_unloaded_with_its_host() {
    static UNLOADED: AtomicU32 = AtomicU32::new(0);
    struct Counted(Arc<()>);
    impl Plugin for Counted {
        fn load(cx: &Context) -> Result<Self> {
            let counted = Counted(Arc::new(()));
            let captured = Arc::clone(&counted.0);
            cx.events().subscribe("a", move |_, _| {
                let _ = &captured;
                Ok(())
            })?;
            Ok(counted)
        }

        fn unload(self, _: &Context) {
            assert_eq!(Arc::strong_count(&self.0), 1, "its handlers are freed before");
            UNLOADED.fetch_add(1, Ordering::SeqCst);
        }
    }
    plugin!(
        Counted,
        inline r#"{ "id": "counted", "version": "1.0.0", "abi": "1.0", "services": { "events": { "subscribe": ["a"] } } }"#,
        entry = counted
    );
    drop(Host::new().start::<Counted>().expect("it starts"));
    assert_eq!(UNLOADED.load(Ordering::SeqCst), 1);
}

#[test]
fn hosts_at_the_same_time_do_not_meet() {
    std::thread::scope(|threads| {
        for number in 0..8_i64 {
            threads.spawn(move || {
                let host = started();
                for _ in 0..100 {
                    host.cache("mine").incr("n", number).expect("it counts");
                    host.emit_json("do.say", &number).expect("it is said");
                }
                assert_eq!(host.cache("mine").get_integer("n").expect("it counted"), Some(number * 100));
                assert_eq!(said(&host), vec![number.to_string(); 100]);
            });
        }
    });
}

#[test]
fn a_host_that_two_threads_use_lets_the_plugin_do_one_thing_at_a_time() {
    let host = started();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| (0..50).for_each(|_| host.emit("do.say", b"x").map(drop).expect("it is said")));
        }
    });
    assert_eq!(said(&host).len(), 200);
}

#[test]
fn a_plugin_in_c_runs_in_it_by_its_entry() -> Result<()> {
    type Entry = extern "C" fn() -> *const pintle_abi::PintlePlugin;
    let library = crate::c_plugins::open("tests/plugins/hello.c", "-DX");
    // SAFETY: the contract's type of the entry function.
    let entry = unsafe { library.get::<Entry>(b"pintle_plugin_entry_v1\0") }.expect("it has an entry");
    let host = Host::new();
    // SAFETY: it is the entry of a plugin, and the library is open.
    unsafe { host.load_entry(*entry) }?;
    host.enable()?;
    host.tenant("acme").emit("greet.anna", b"{}")?;
    let emitted = host.emitted();
    assert_eq!(emitted[0].topic.split('.').next_back(), Some("greeted"));
    assert_eq!((emitted.len(), emitted[0].tenant.as_deref()), (1, Some("acme")));
    let logs = host.logs();
    assert_eq!((logs[0].message.as_str(), logs[0].field("topic")), ("greeting", Some(&json!("greet.anna"))));
    host.unload()
}
