//! What a plugin asks of the host, through the SDK's safe methods, and what comes back.

use std::{
    panic,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::fake::{self, Fake};
use pintle_abi::*;
use pintle_plugin::{
    Context, EmitOptions, Fetched, Held, JobOptions, Level, Logger, Optional, Overlap, Plugin, QueuePolicy,
    Result, Status, SubscribeOptions, plugin,
};
use serde_json::json;

type Act = Box<dyn FnOnce(&Context) -> Result<()> + Send>;

/// Each test puts what it wants to do here, under its context, and gets the plugin's `load` to do it.
static ACTS: Mutex<Vec<(u64, Act)>> = Mutex::new(Vec::new());

struct Stage;

impl Plugin for Stage {
    fn load(cx: &Context) -> Result<Self> {
        // The test's context is all that tells it from the others; `Debug` shows it.
        let shown = format!("{cx:?}");
        let act = {
            let mut acts = ACTS.lock().expect("not poisoned");
            let at = acts.iter().position(|(ctx, _)| shown == format!("Context({ctx:#018x})"));
            acts.remove(at.expect("the test left its act")).1
        };
        act(cx).map(|()| Stage)
    }
}

plugin!(Stage, inline r#"{ "id": "stage", "version": "1.0.0", "abi": "1.0" }"#, entry = stage);

/// Runs `act` inside the plugin, under the fake's own context.
pub(crate) fn play(fake: &Fake, act: impl FnOnce(&Context) -> Result<()> + Send + 'static) {
    ACTS.lock().expect("not poisoned").push((fake.ctx, Box::new(act)));
    // SAFETY: the entry returns static data, and `load` is called as a host does.
    let (plugin, status, state) = unsafe {
        let plugin: &PintlePlugin = &*stage();
        let mut state = std::ptr::null_mut();
        (plugin, plugin.load.expect("required")(fake.ctx, fake.host(), &raw mut state), state)
    };
    assert_eq!(status, PINTLE_OK, "{:?}", fake.error());
    // SAFETY: loaded above.
    unsafe { plugin.unload.expect("given")(state, fake.ctx) };
}

#[test]
fn log_records_carry_typed_fields() {
    let fake = Fake::new();
    play(&fake, |cx| {
        let owned = String::from("o");
        cx.log().info(
            "all kinds",
            &[
                ("text", "a\nb".into()),
                ("owned", (&owned).into()),
                ("small", (-1_i8).into()),
                ("large", i64::MIN.into()),
                ("unsigned", u64::MAX.into()),
                ("size", 3_usize.into()),
                ("number", 1.5.into()),
                ("single", 0.5_f32.into()),
                ("yes", true.into()),
            ],
        );
        cx.log().trace("t", &[]);
        cx.log().debug("d", &[]);
        cx.log().warn("w", &[]);
        cx.log().error("e", &[]);
        cx.log().fatal("f", &[]);
        assert!(cx.log().enabled(Level::Info) && !cx.log().enabled(Level::Debug));
        Ok(())
    });
    let calls = fake.calls();
    assert_eq!(
        calls[0],
        format!(
            "log.write 2 all kinds text=\"a\\nb\" owned=\"o\" small=-1 large={} unsigned={} size=3 number=1.5 single=0.5 yes=true",
            i64::MIN,
            u64::MAX
        ),
        "nine fields, one more than fit without allocating"
    );
    assert_eq!(
        calls[1..6],
        ["log.write 0 t", "log.write 1 d", "log.write 3 w", "log.write 4 e", "log.write 5 f"]
    );
}

#[test]
fn a_logger_keeps_its_fields_and_ends_with_its_value() {
    let fake = Fake::new();
    play(&fake, |cx| {
        let logger: Logger = cx.log().logger(&[("part", "disk".into())])?;
        logger.on(cx).warn("full", &[("percent", 99_u8.into())]);
        Ok(())
    });
    assert_eq!(
        fake.calls()[..3],
        ["log.logger_new 0  part=\"disk\"", "log.logger_write 77 3 full percent=99", "log.logger_free 77"]
    );
}

#[test]
fn a_failing_log_tells_only_who_asks() {
    let fake = Fake::new();
    fake.refuse("log.write", PINTLE_TOO_LARGE, "at most 64 fields");
    play(&fake, |cx| {
        let error = cx.log().write(Level::Info, "x", &[]).expect_err("refused");
        assert_eq!((error.status(), error.message()), (Status::TooLarge, "at most 64 fields"));
        Ok(())
    });
}

#[test]
fn config_is_read_typed() {
    let config =
        json!({ "word": "hi", "n": 5, "x": 0.5, "on": true, "list": [1, 2], "limits": { "cpu": 80 } });
    let fake = Fake::new().configured(config);
    play(&fake, |cx| {
        let config = cx.config();
        assert_eq!(config.text("/word")?, "hi");
        assert_eq!(config.integer("/n")?, 5);
        assert_eq!(config.number("/x")?, 0.5);
        assert!(config.boolean("/on")?);
        assert_eq!(config.get::<Vec<u8>>("/list")?, [1, 2]);
        assert_eq!(config.get::<u8>("/limits/cpu")?, 80);
        assert_eq!(config.get::<serde_json::Value>("")?["n"], 5);

        let missing = config.text("/nothing").expect_err("not there");
        assert_eq!((missing.status(), missing.message()), (Status::NotFound, "config has no \"/nothing\""));
        assert_eq!(config.get::<u8>("/nothing").optional()?, None);
        assert_eq!(config.integer("/word").expect_err("a string").status(), Status::WrongType);
        let wrong = config.get::<u8>("/word").expect_err("a string");
        assert_eq!(wrong.status(), Status::WrongType);
        assert!(wrong.message().starts_with("config \"/word\": invalid type: string \"hi\""), "{wrong}");
        Ok(())
    });
}

#[test]
fn events_are_emitted_with_what_is_said() {
    let fake = Fake::new();
    play(&fake, |cx| {
        cx.events().emit("a.b", b"raw")?;
        cx.events().emit_json("c", &json!({ "n": 1 }))?;
        let options = EmitOptions::new()
            .id("i")
            .subject("s")
            .content_type("text/plain")
            .key("k")
            .wait(Duration::from_micros(1_001));
        cx.events().emit_with("d", b"", &options)
    });
    assert_eq!(
        fake.calls(),
        ["emit a.b raw", "emit c {\"n\":1}", "emit d  id=i subject=s type=text/plain key=k wait=2"]
    );
}

#[test]
fn a_handler_gets_each_event_with_a_context_of_its_tenant() {
    let fake = Fake::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&seen);
    play(&fake, move |cx| {
        let options = SubscribeOptions::new().name("mine").capacity(5).policy(QueuePolicy::DropNew);
        cx.events().subscribe_with("in.>", &options, move |cx, event| {
            assert_eq!((event.topic(), event.id(), event.source()), ("in.x", "id-1", "/tests"));
            assert_eq!((event.subject(), event.key(), event.tenant()), (None, None, Some("acme")));
            assert_eq!((event.content_type(), event.depth()), (Some("application/json"), 3));
            assert_eq!(event.time(), UNIX_EPOCH + Duration::from_millis(1_500));
            let scope = cx.scope()?;
            assert_eq!((scope.generation, scope.ends_with_call), (7, true));
            assert_eq!((scope.tenant.as_deref(), cx.is_system()?), (Some("acme"), false));
            assert_eq!(cx.remaining()?, Some(Duration::from_millis(250)));
            theirs.lock().expect("not poisoned").push(event.json::<i64>()?);
            event.reply(b"done")
        })?;
        assert_eq!((cx.tenant()?, cx.is_system()?, cx.remaining()?), (None, true, None));
        Ok(())
    });
    assert_eq!(fake.calls()[0], "subscribe in.> name=mine 5 1");
    assert_eq!(fake.deliver(1, "in.x", b"1"), (PINTLE_OK, None, b"done".to_vec()));
    let (status, text, reply) = fake.deliver(1, "in.x", b"nonsense");
    assert_eq!((status, reply), (PINTLE_INVALID_ARGUMENT, Vec::new()));
    assert_eq!(text.as_deref(), Some("the data of in.x: expected ident at line 1 column 2"));
    assert_eq!(fake.deliver(1, "in.x", b"2").0, PINTLE_OK);
    assert_eq!(*seen.lock().expect("not poisoned"), [1, 2]);
    assert_eq!(Arc::strong_count(&seen), 2, "the handler lives");
    fake.release(1);
    assert_eq!(Arc::strong_count(&seen), 1, "and is freed by release");
}

#[test]
fn events_that_are_too_small_or_null_never_reach_a_handler() {
    let fake = Fake::new();
    play(&fake, |cx| cx.events().subscribe("a", |_, _| panic!("must not run")).map(drop));
    let short = 167_u32;
    for event in [std::ptr::null(), (&raw const short).cast()] {
        assert_eq!(fake.deliver_raw(1, event), (PINTLE_INVALID_ARGUMENT, None, Vec::new()));
    }
    fake.release(1);
}

#[test]
fn a_handler_that_panics_is_called_again() {
    let fake = Fake::new();
    play(&fake, |cx| {
        cx.events().subscribe("a", |_, event| match event.text()? {
            "text" => panic!("of {}", event.topic()),
            "any" => panic::panic_any(7),
            _ => Ok(()),
        })?;
        cx.scheduler().once("job", Duration::ZERO, |_, run| panic!("in {}", run.job()))?;
        Ok(())
    });
    let texts: Vec<_> =
        ["text", "any", ""].map(|data| fake.deliver(1, "a", data.as_bytes())).map(|(s, t, _)| (s, t)).into();
    assert_eq!(
        texts,
        [
            (PINTLE_PANIC, Some("panicked: of a".to_owned())),
            (PINTLE_PANIC, Some("panicked: with a value that is no text".to_owned())),
            (PINTLE_OK, None)
        ]
    );
    assert_eq!(fake.run(2, "job"), (PINTLE_PANIC, Some("panicked: in job".to_owned())));
}

#[test]
fn a_panic_while_a_handler_is_freed_is_logged() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("boom");
        }
    }
    let fake = Fake::new();
    play(&fake, |cx| {
        let bomb = Bomb;
        cx.events().subscribe("a", move |_, _| {
            let _held = &bomb;
            Ok(())
        })?;
        Ok(())
    });
    fake.release(1);
    assert_eq!(
        fake.calls().last().map(String::as_str),
        Some("log.write 4 what a handler had captured panicked when dropped panic=\"boom\"")
    );
}

#[test]
fn a_refused_registration_frees_its_handler_and_gives_the_hosts_text() {
    struct Counted(Arc<AtomicU32>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let freed = Arc::new(AtomicU32::new(0));
    let fake = Fake::new();
    fake.refuse("subscribe", PINTLE_DENIED, "add \"a\" to services.events.subscribe");
    fake.refuse("interval", PINTLE_OUT_OF_RANGE, "argument `every_ms`: 0");
    let counter = Arc::clone(&freed);
    play(&fake, move |cx| {
        let counted = Counted(Arc::clone(&counter));
        let error = cx
            .events()
            .subscribe("a", move |_, _| {
                let _captured = &counted;
                Ok(())
            })
            .expect_err("refused");
        assert_eq!(
            (error.status(), error.message()),
            (Status::Denied, "add \"a\" to services.events.subscribe")
        );
        let counted = Counted(counter);
        let error = cx
            .scheduler()
            .interval("j", Duration::ZERO, move |_, _| {
                let _captured = &counted;
                Ok(())
            })
            .expect_err("refused");
        assert_eq!(error.status(), Status::OutOfRange);
        Ok(())
    });
    assert_eq!(freed.load(Ordering::SeqCst), 2);
}

#[test]
fn jobs_are_scheduled_in_whole_milliseconds_never_early() {
    let fake = Fake::new();
    play(&fake, |cx| {
        let scheduler = cx.scheduler();
        let options = JobOptions::new().zone("Europe/Vienna").overlap(Overlap::Queue);
        scheduler.cron_with("c", "0 4 * * *", &options, |_, _| Ok(()))?;
        scheduler.cron("d", "@daily", |_, _| Ok(()))?;
        scheduler.interval("i", Duration::from_nanos(1), |_, _| Ok(()))?;
        let job = scheduler.once("o", Duration::MAX, |_, run| {
            assert_eq!((run.job(), run.attempt()), ("o", 1));
            assert_eq!(run.due(), SystemTime::UNIX_EPOCH - Duration::from_millis(1));
            Ok(())
        })?;
        job.remove(cx)
    });
    assert_eq!(fake.run(4, "o"), (PINTLE_OK, None));
    let largest = i64::MAX;
    assert_eq!(
        fake.take()[..5],
        [
            "cron c 0 4 * * * zone=Europe/Vienna 1".to_owned(),
            "cron d @daily zone= 0".to_owned(),
            "interval i 1".to_owned(),
            format!("once o {largest}"),
            "remove 4".to_owned()
        ]
    );
    for handle in 1..=4 {
        fake.release(handle);
    }
}

#[test]
fn a_subscription_outlives_its_handle_until_it_is_ended() {
    let fake = Fake::new();
    play(&fake, |cx| {
        let _ = cx.events().subscribe("a", |_, _| Ok(()))?;
        let kept = cx.events().subscribe("b", |_, _| Ok(()))?;
        kept.unsubscribe(cx)
    });
    let calls = fake.calls();
    assert_eq!(
        calls.iter().filter(|call| call.starts_with("unsubscribe")).collect::<Vec<_>>(),
        ["unsubscribe 2"]
    );
}

#[test]
fn calls_go_to_other_plugins() {
    let fake = Fake::new();
    play(&fake, |cx| {
        assert_eq!(cx.call("geo.lookup", 2, "find", b"here", None)?, b"here");
        let twice: Vec<u8> =
            cx.call_json("geo.lookup", 2, "echo", &[1, 2], Some(Duration::from_millis(30)))?;
        assert_eq!(twice, [1, 2]);
        let error = cx.call("geo.lookup", 2, "find", b"", Some(Duration::ZERO)).expect_err("no time");
        assert_eq!(error.status(), Status::OutOfRange);
        Ok(())
    });
    assert_eq!(fake.calls(), ["call geo.lookup 2 find here 0", "call geo.lookup 2 echo [1,2] 30"]);

    fake.refuse("call", 4711, "");
    play(&fake, |cx| {
        let error = cx.call("a", 1, "b", b"", None).expect_err("refused");
        assert_eq!(error.status(), Status::Unknown(4711));
        assert_eq!(error.message(), "failed with a status that this plugin does not know: 4711");
        Ok(())
    });
}

#[test]
fn a_held_context_goes_to_another_thread_and_is_released_once() {
    let fake = Fake::new();
    play(&fake, |cx| {
        let held: Held = cx.hold()?;
        std::thread::spawn(move || held.log().info("later", &[])).join().expect("it ends well");
        Ok(())
    });
    assert_eq!(fake.calls(), ["hold", "log.write 2 later", "release 1"]);
}

#[test]
fn what_a_host_does_not_have_is_unsupported() {
    static SHORT: PintleEvents = PintleEvents { size: 16, ..fake::EVENTS };
    static NULLS: PintleEvents = PintleEvents { subscribe: None, ..fake::EVENTS };
    static FORGED: PintleEvents = PintleEvents { size: 23, ..fake::EVENTS };
    for table in [&raw const SHORT, &raw const NULLS, &raw const FORGED] {
        let fake = Fake::with(|host| host.events = table);
        play(&fake, |cx| {
            cx.events().emit("a", b"")?;
            let error = cx.events().subscribe("a", |_, _| Ok(())).expect_err("not there");
            assert_eq!(error.status(), Status::Unsupported);
            assert_eq!(
                error.message(),
                "this host does not have `events.subscribe`: update the host, or do without"
            );
            Ok(())
        });
    }
    let fake = Fake::with(|host| {
        host.events = std::ptr::null();
        host.log = std::ptr::null();
        host.last_error = None;
        host.hold = None;
    });
    fake.refuse("call", PINTLE_BUSY, "not to be read");
    play(&fake, |cx| {
        assert_eq!(cx.events().emit("a", b"").expect_err("no table").status(), Status::Unsupported);
        assert!(!cx.log().enabled(Level::Fatal));
        cx.log().fatal("into the void", &[]);
        assert_eq!(
            cx.hold().expect_err("no function").message(),
            "this host does not have `hold`: update the host, or do without"
        );
        let error = cx.call("a", 1, "b", b"", None).expect_err("refused");
        assert_eq!(error.message(), "there is no room for more now");
        Ok(())
    });
}

#[test]
fn a_miss_never_asks_the_host_why() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    unsafe extern "C" fn last_error(_: PintleCtx, _: PintleSink) -> PintleStatus {
        ASKED.fetch_add(1, Ordering::SeqCst);
        PINTLE_NOT_FOUND
    }
    unsafe extern "C" fn get(
        _: PintleCtx,
        _: PintleStr,
        key: PintleStr,
        _: PintleSink,
        _: *mut PintleCacheInfo,
    ) -> PintleStatus {
        if key.len == 1 { PINTLE_NOT_FOUND } else { PINTLE_DENIED }
    }
    unsafe extern "C" fn get_into(
        _: PintleCtx,
        _: PintleStr,
        key: PintleStr,
        _: *mut u8,
        _: usize,
        len: *mut usize,
        _: *mut PintleCacheInfo,
    ) -> PintleStatus {
        // A host that claims more than there was room for, and one that asks for more room.
        // SAFETY: the SDK lends a place for the length.
        unsafe { len.write(99) };
        match key.len {
            1 => PINTLE_NOT_FOUND,
            2 => PINTLE_OK,
            _ => PINTLE_BUFFER_TOO_SMALL,
        }
    }
    unsafe extern "C" fn stored(
        _: PintleCtx,
        _: PintleStr,
        _: PintleSink,
        _: *mut PintleStorageInfo,
    ) -> PintleStatus {
        PINTLE_NOT_FOUND
    }
    static CACHE: PintleCache = PintleCache {
        size: 24,
        reserved: 0,
        get: Some(get),
        get_into: Some(get_into),
        set: None,
        remove: None,
        exists: None,
        incr: None,
        expire: None,
        ttl: None,
        get_many: None,
        set_many: None,
        set_absent: None,
        fetch: None,
        fail: None,
        invalidate: None,
        invalidate_tag: None,
        clear: None,
        keys: None,
        stats: None,
    };
    static STORAGE: PintleStorage = PintleStorage {
        size: 16,
        reserved: 0,
        get: Some(stored),
        set: None,
        remove: None,
        exists: None,
        keys: None,
        clear: None,
        get_into: None,
        incr: None,
        expire: None,
        batch: None,
        watch: None,
        unwatch: None,
        stats: None,
    };
    let fake = Fake::with(|host| {
        host.last_error = Some(last_error);
        (host.cache, host.storage) = (&raw const CACHE, &raw const STORAGE);
    });
    play(&fake, |cx| {
        let cache = cx.cache("ns");
        assert_eq!((cache.get("k")?, cache.get_item("k")?, cache.get_integer("k")?), (None, None, None));
        assert_eq!(cache.get_into("k", &mut [0; 4])?, Fetched::Missing);
        assert_eq!(cache.get_into("kk", &mut [0; 4])?, Fetched::Found(&[0; 4]));
        assert_eq!(cache.get_into("kkk", &mut [0; 4])?, Fetched::TooSmall(99));
        assert_eq!((cx.storage().get("k")?, cx.storage().get_item("k")?), (None, None));
        assert_eq!(ASKED.load(Ordering::SeqCst), 0);
        assert_eq!(cache.get("kkk").expect_err("a failure").message(), "not granted to this plugin");
        assert_eq!(ASKED.load(Ordering::SeqCst), 1, "but a failure does");
        // What lies behind the end of a table is not there.
        let short = [cache.set("k", b""), cx.storage().set("k", b"").map(drop)];
        assert!(
            short.iter().all(|one| one.as_ref().is_err_and(|error| error.status() == Status::Unsupported))
        );
        Ok(())
    });
}
