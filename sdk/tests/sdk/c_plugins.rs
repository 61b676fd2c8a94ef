//! The C sample, and the C plugins of the host's tests, against the same tables: what they promise on their own,
//! before a whole host is asked.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use libloading::Library;
use pintle_abi::*;
use pintle_plugin::{EmitOptions, test::Host};
use serde_json::{Value, json};

use crate::{
    counting,
    driver::Driver,
    fake::{self, Fake},
};

const VARIANTS: [&str; 11] = [
    "NORMAL",
    "ENTRY_NULL",
    "SIZE_ZERO",
    "SIZE_HUGE",
    "SIZE_SHORT",
    "ID_DIFFERS",
    "VERSION_DIFFERS",
    "LOAD_NULL",
    "ID_NULL",
    "ID_BAD_UTF8",
    "ENTRY_MISSING",
];

/// Compiles a plugin with every warning an error, and opens it. It stays open.
pub(crate) fn open(source: &str, define: &str) -> &'static Library {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("sdk/ is in the repository");
    let name = format!("{}-{}.so", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let status = Command::new(std::env::var_os("CC").unwrap_or("cc".into()))
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-std=c99"])
        .arg(define)
        .arg("-I")
        .arg(root.join("include"))
        .arg(root.join(source))
        .arg("-o")
        .arg(&library)
        .status()
        .expect("a C compiler is there");
    assert!(status.success(), "{source} {define} does not compile");
    // SAFETY: these plugins have no constructors.
    let opened = unsafe { Library::new(&library) }.expect("it opens");
    std::fs::remove_file(&library).expect("it was just made");
    Box::leak(Box::new(opened))
}

fn entry(library: &Library) -> Option<*const PintlePlugin> {
    type Entry = unsafe extern "C" fn() -> *const PintlePlugin;
    // SAFETY: the contract's type of the entry function.
    let entry = unsafe { library.get::<Entry>(b"pintle_plugin_entry_v1\0") }.ok()?;
    // SAFETY: it does no work and may be called by anybody.
    Some(unsafe { entry() })
}

fn load(source: &str, define: &str, config: Value) -> Driver {
    let plugin = entry(open(source, define)).expect("it has an entry");
    Driver::load(plugin, Fake::new().configured(config)).expect("it loads")
}

fn threshold() -> Driver {
    let plugin = entry(open("sample-plugins/c/threshold/threshold.c", "-DX")).expect("it has an entry");
    let config = json!({ "cpu_above": 80, "memory_above": 90.5, "load_above": 4e0, "window_ms": 60_000 });
    let fake = Fake::with(|host| {
        (host.cache, host.storage) = (&counting::CACHE, &counting::STORAGE);
        (host.idempotency, host.files) = (&counting::IDEMPOTENCY, &counting::FILES);
        host.database = &counting::DATABASE;
    });
    Driver::load(plugin, fake.configured(config)).expect("it loads")
}

/// What it emitted.
fn alarms(driver: &Driver) -> Vec<String> {
    driver
        .fake
        .take()
        .into_iter()
        .filter_map(|call| {
            let (alarm, options) =
                call.strip_prefix("emit alarm ")?.rsplit_once(" id=").expect("it has an id");
            assert!(options.contains(" key=") && options.ends_with(" flags=1"), "it is durable: {call}");
            Some(alarm.to_owned())
        })
        .collect()
}

/// The first of its metric.
fn alarm(topic: &str, field: &str, value: &str, limit: &str, state: &str) -> String {
    counted(topic, field, value, limit, state, 1)
}

fn counted(topic: &str, field: &str, value: &str, limit: &str, state: &str, count: u64) -> String {
    let count = if count == 0 { String::new() } else { format!(r#","count":{count},"window_ms":60000"#) };
    format!(
        r#"{{"topic":"plugin.sysmon.{topic}","field":"{field}","value":{value},"limit":{limit},"state":"{state}"{count}}}"#
    )
}

fn busy(value: u32, state: &str, count: u64) -> String {
    counted("cpu", "busy", &value.to_string(), "80", state, count)
}

fn deliver_busy(driver: &Driver, value: u32) -> (PintleStatus, Option<String>) {
    let data = format!(r#"{{"busy":{value}}}"#);
    let (status, text, _) = driver.fake.deliver(1, "plugin.sysmon.cpu", data.as_bytes());
    (status, text)
}

#[test]
fn threshold_raises_and_clears_once_each() {
    let driver = threshold();
    assert!(driver.fake.take().contains(&"subscribe plugin.sysmon.>".to_owned()));
    let samples = [
        ("cpu", r#"{"busy":80}"#, None),
        (
            "cpu",
            r#"{"user":99,"busy" : 80.01, "idle":1}"#,
            Some(alarm("cpu", "busy", "80.01", "80", "raised")),
        ),
        ("cpu", r#"{"busy":9.9e1}"#, None),
        ("load", r#"{"load1":4.5,"load5":1}"#, Some(alarm("load", "load1", "4.5", "4.0", "raised"))),
        (
            "cpu",
            r#"{"note":"busy","x":{"busy":99},"busy":-1}"#,
            Some(alarm("cpu", "busy", "-1", "80", "cleared")),
        ),
        ("memory", r#"{"used":90.5}"#, None),
        ("memory", r#"{"used":905e-1,"total_bytes":1}"#, None),
        ("memory", r#"{"a":"\"used\":1","used":91}"#, Some(alarm("memory", "used", "91", "90.5", "raised"))),
        ("other", r#"{"busy":100}"#, None),
    ];
    for (topic, data, expected) in samples {
        let outcome = driver.fake.deliver(1, &format!("plugin.sysmon.{topic}"), data.as_bytes());
        assert_eq!(outcome, (PINTLE_OK, None, Vec::new()), "{data}");
        assert_eq!(alarms(&driver), Vec::from_iter(expected), "{data}");
    }
    driver.unload();
}

#[test]
fn threshold_logs_what_it_does_with_fields() {
    let driver = threshold();
    for total in 1..3 {
        driver.fake.deliver(1, "plugin.sysmon.cpu", br#"{"busy":81}"#);
        let record = format!(
            r#"log.write 3 alarm raised topic="plugin.sysmon.cpu" field="busy" value=81.0 limit=80.0 count=1 total={total}"#
        );
        let calls = driver.fake.take();
        assert_eq!(calls.iter().rfind(|call| call.starts_with("log.write")), Some(&record));
        driver.fake.deliver(1, "plugin.sysmon.cpu", br#"{"busy":1}"#);
        counting::end_windows(&driver.fake);
    }
    driver.unload();
}

#[test]
fn threshold_refuses_samples_that_it_cannot_read() {
    let driver = threshold();
    let cases = [
        "",
        "{",
        "{}",
        "null",
        "\"busy\"",
        r#"{"busy":}"#,
        r#"{"busy":"99"}"#,
        r#"{"busy":null}"#,
        r#"{"busy":-}"#,
        r#"{"busy":1.}"#,
        r#"{"busy":.5}"#,
        r#"{"busy":1e}"#,
        r#"{"busy":1e5.2}"#,
        r#"{"busy":--1}"#,
        r#"{"busy""#,
        r#"{"busy"#,
        r#"{"busy\":1"#,
        r#"{"x":{"busy":1}}"#,
        r#"[{"busy":1}]"#,
        r#"}}{"busy":99}"#,
        "{\"busy\":\0",
        r#"{"busy":1111111111111111111111111111111111111111}"#,
    ];
    for data in cases {
        let (status, text, _) = driver.fake.deliver(1, "plugin.sysmon.cpu", data.as_bytes());
        assert_eq!(status, PINTLE_INVALID_ARGUMENT, "{data}");
        assert_eq!(text.as_deref(), Some("the sample has no number called busy"), "{data}");
    }
    assert_eq!(alarms(&driver), Vec::<String>::new());
    driver.unload();
}

#[test]
fn threshold_takes_new_limits_and_refuses_bad_ones() {
    let driver = threshold();
    assert_eq!(
        driver.configure(r#"{"load_above":1,"memory_above":50,"cpu_above":10,"window_ms":60000}"#),
        PINTLE_OK
    );
    driver.fake.deliver(1, "plugin.sysmon.cpu", br#"{"busy":11}"#);
    assert_eq!(alarms(&driver), [alarm("cpu", "busy", "11", "10", "raised")]);
    for (config, lacks) in [
        (r#"{"load_above":1,"memory_above":50,"window_ms":60000}"#, "cpu_above"),
        (r#"{"load_above":1,"memory_above":50,"cpu_above":1}"#, "window_ms"),
    ] {
        assert_eq!(driver.configure(config), PINTLE_INVALID_ARGUMENT);
        assert_eq!(driver.fake.error(), Some(format!("the config has no number called {lacks}")));
    }
    driver.fake.deliver(1, "plugin.sysmon.cpu", br#"{"busy":9}"#);
    assert_eq!(alarms(&driver), [alarm("cpu", "busy", "9", "10", "cleared")], "the old limits stay");
    driver.unload();
}

#[test]
fn threshold_counts_the_alarms_of_a_metric_until_its_window_ends() {
    let driver = threshold();
    let steps = [
        (81, Some(busy(81, "raised", 1))),
        (82, None),
        (1, Some(busy(1, "cleared", 1))),
        (83, Some(busy(83, "raised", 2))),
        (2, Some(busy(2, "cleared", 2))),
    ];
    for (value, expected) in steps {
        assert_eq!(deliver_busy(&driver, value), (PINTLE_OK, None), "{value}");
        let calls = driver.fake.calls();
        let incr = "cache.incr alarms cpu.busy 1 for 60000".to_owned();
        assert_eq!(calls.contains(&incr), expected.is_some() && value > 80, "{value}: {calls:?}");
        assert_eq!(alarms(&driver), Vec::from_iter(expected));
    }
    driver.fake.deliver(1, "plugin.sysmon.memory", br#"{"used":95}"#);
    assert_eq!(alarms(&driver), [alarm("memory", "used", "95", "90.5", "raised")], "of its own metric");
    counting::end_windows(&driver.fake);
    deliver_busy(&driver, 84);
    assert_eq!(alarms(&driver), [busy(84, "raised", 1)]);
    counting::end_windows(&driver.fake);
    deliver_busy(&driver, 3);
    assert_eq!(alarms(&driver), [busy(3, "cleared", 0)], "the window has ended");
    driver.unload();
}

#[test]
fn threshold_raises_an_alarm_that_it_cannot_count() {
    let driver = threshold();
    driver.fake.refuse("cache.incr", PINTLE_UNAVAILABLE, "no cache today");
    assert_eq!(deliver_busy(&driver, 81).0, PINTLE_OK);
    let calls = driver.fake.calls();
    let told = r#"log.write 3 alarms cannot be counted reason="no cache today""#;
    assert!(calls.iter().any(|call| call == told), "{calls:?}");
    assert_eq!(alarms(&driver), [busy(81, "raised", 0)]);
    driver.unload();
}

#[test]
fn threshold_knows_after_a_reload_what_is_raised() {
    let old = threshold();
    old.fake.deliver(1, "plugin.sysmon.load", br#"{"load1":5}"#);
    let (status, saved) = old.save();
    assert_eq!((status, saved.as_slice()), (PINTLE_OK, b"\x02\x04acme".as_slice()));
    old.unload();
    let new = threshold();
    assert_eq!(new.restore(2, &saved), PINTLE_OK);
    new.fake.deliver(1, "plugin.sysmon.load", br#"{"load1":6}"#);
    assert_eq!(alarms(&new), Vec::<String>::new(), "it is raised already");
    new.fake.deliver(1, "plugin.sysmon.load", br#"{"load1":3}"#);
    assert_eq!(alarms(&new), [counted("load", "load1", "3", "4.0", "cleared", 0)]);
    // Version 1 knew no tenants.
    assert_eq!((new.restore(1, &[1, 0, 1]), new.save()), (PINTLE_OK, (PINTLE_OK, vec![0, 0, 2, 0])));
    assert_eq!((new.restore(2, b""), new.save().1), (PINTLE_OK, Vec::new()));
    for (schema, odd) in [
        (3, b"\x02\x04acme".as_slice()),
        (1, b"toolong"),
        (2, b"\x02"),
        (2, b"\x02\x05acme"),
        (2, b"\x03\x00"),
    ] {
        assert_eq!(new.restore(schema, odd), PINTLE_UNSUPPORTED, "{schema} {odd:?}");
    }
    new.unload();
}

#[test]
fn threshold_tries_again_where_an_alarm_could_not_be_emitted_and_counts_it_once() {
    let driver = threshold();
    let operations = |driver: &Driver| {
        let of_host = |call: &String| call.starts_with("idempotency.") || call.starts_with("files.");
        driver.fake.take().into_iter().filter(of_host).collect::<Vec<_>>()
    };
    driver.fake.refuse("emit", PINTLE_BUSY, "no room");
    assert_eq!(deliver_busy(&driver, 99), (PINTLE_BUSY, Some("no room".to_owned())));
    assert_eq!(operations(&driver), ["idempotency.begin alarm id-1 cpu.busy=99", "idempotency.fail 41 0"]);
    assert_eq!(deliver_busy(&driver, 98).0, PINTLE_OK);
    let calls = driver.fake.calls();
    let emitted = format!("emit alarm {} id=id-1 subject= type= key=cpu.busy ", busy(98, "raised", 1));
    assert!(calls.iter().any(|call| call.starts_with(&emitted)), "{calls:?}");
    assert_eq!(
        operations(&driver),
        [
            "idempotency.begin alarm id-1 cpu.busy=98",
            "files.put alarms/cpu.busy.json",
            "idempotency.complete 41"
        ]
    );
    driver.unload();
}

#[test]
fn threshold_raises_an_alarm_that_it_can_neither_guard_nor_keep() {
    let driver = threshold();
    driver.fake.refuse("idempotency.begin", PINTLE_UNAVAILABLE, "the disk is full");
    driver.fake.refuse("files.put", PINTLE_UNAVAILABLE, "the disk is still full");
    assert_eq!(deliver_busy(&driver, 81).0, PINTLE_OK);
    let calls = driver.fake.calls();
    for told in [
        r#"log.write 3 an alarm may come twice reason="the disk is full""#,
        r#"log.write 3 the alarm is not in its file reason="the disk is still full""#,
    ] {
        assert!(calls.iter().any(|call| call == told), "{told} is missing in {calls:?}");
    }
    assert_eq!(alarms(&driver), [busy(81, "raised", 1)]);
    driver.unload();
}

#[test]
fn threshold_does_not_load_where_it_may_not_listen_or_has_no_limits() {
    let plugin = entry(open("sample-plugins/c/threshold/threshold.c", "-DX")).expect("it has an entry");
    let config = json!({ "cpu_above": 1, "memory_above": 1, "load_above": 1, "window_ms": 1 });
    let fake = Fake::new().configured(config);
    fake.refuse("subscribe", PINTLE_DENIED, "not granted");
    let refused = Driver::load(plugin, fake).err();
    assert_eq!(refused, Some((PINTLE_DENIED, Some("not granted".to_owned()))));
    let refused =
        Driver::load(plugin, Fake::new().configured(json!({ "cpu_above": 1, "window_ms": 1 }))).err();
    assert_eq!(refused, Some((PINTLE_NOT_FOUND, Some("config has no \"/memory_above\"".to_owned()))));
}

#[test]
fn hello_greets() {
    let driver = load("tests/plugins/hello.c", "-DX", json!({}));
    assert_eq!(driver.fake.deliver(1, "greet.anna", b"{}").0, PINTLE_OK);
    let calls = driver.fake.take();
    assert_eq!(calls, ["subscribe greet.>", "log.write 2 greeting topic=\"greet.anna\"", "emit greeted {}"]);
    driver.unload();
}

#[test]
fn courier_acknowledges_what_is_durable() {
    type Entry = extern "C" fn() -> *const PintlePlugin;
    let library = open("tests/plugins/courier.c", "-DX");
    // SAFETY: the contract's type of the entry function.
    let entry = unsafe { library.get::<Entry>(b"pintle_plugin_entry_v1\0") }.expect("it has an entry");
    let host = Host::new();
    // SAFETY: the courier keeps the contract, and its library outlives the host.
    unsafe { host.load_entry(*entry) }.expect("it loads");
    host.enable().expect("it is enabled");
    let parcel = EmitOptions::new().id("p").durable();
    host.emit_with("parcel.a", b"{}", &parcel).expect("it is taken");
    host.emit_with("parcel.a", b"{}", &EmitOptions::new().durable().subject("sample")).expect("it is taken");
    host.emit("parcel.a", b"{}").expect("it is taken");
    host.advance(Duration::from_millis(59_999)).expect("the plugin is not at work");
    assert_eq!((host.emitted().len(), host.logs().len()), (0, 1));
    assert_eq!(host.logs()[0].field("error"), Some(&json!("nobody is in")));
    host.advance(Duration::from_millis(1)).expect("the plugin is not at work");
    let emitted = host.emitted();
    assert_eq!((emitted.len(), emitted[0].id.as_str(), emitted[0].sequence), (1, "p", Some(3)));
    assert_eq!((host.unacknowledged(), host.dead_letters()), (Vec::new(), Vec::new()));
}

#[test]
fn relay_forwards_along_its_route() {
    let driver = load("tests/plugins/relay.c", "-DNAME=b", json!({}));
    assert_eq!(driver.call("ping", b""), (PINTLE_OK, "pong".to_owned()));
    // The host of these tests answers with the request.
    assert_eq!(driver.call("forward", b"a.ping c.ping d.ping"), (PINTLE_OK, "b>c.ping d.ping".to_owned()));
    assert_eq!(driver.call("forward", b"a.ping"), (PINTLE_OK, "b>".to_owned()));
    let calls = driver.fake.take();
    let calls: Vec<_> = calls.iter().filter(|call| call.starts_with("call ")).collect();
    assert_eq!(calls, ["call a.ping 1 forward c.ping d.ping 0", "call a.ping 1 ping  0"]);
    driver.fake.refuse("call", PINTLE_REENTRANT, "a waits for b");
    assert_eq!(driver.call("forward", b"a.ping").0, PINTLE_REENTRANT);
    assert_eq!(driver.fake.error().as_deref(), Some("b calling a.ping: a waits for b"));
    assert_eq!(driver.call("remaining", b""), (PINTLE_OK, i64::MAX.to_string()));

    let here = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("relay-{}", std::process::id()));
    std::fs::create_dir_all(&here).expect("the folder can be made");
    std::fs::write(here.join("a.here"), "").expect("the folder can be written");
    let route = format!("{} a.ping", here.display());
    assert_eq!(driver.call("hold_then_forward", route.as_bytes()), (PINTLE_OK, "b>".to_owned()));
    assert!(here.join("b.here").exists());
    std::fs::remove_dir_all(&here).expect("it was just made");
    driver.unload();
}

#[test]
fn misbehave_is_wrong_in_just_what_its_variant_says() {
    for variant in VARIANTS {
        let library = open("tests/plugins/misbehave.c", &format!("-DVARIANT={variant}"));
        let Some(plugin) = entry(library) else {
            assert_eq!(variant, "ENTRY_MISSING");
            continue;
        };
        // SAFETY: null or static data.
        let Some(plugin) = (unsafe { plugin.as_ref() }) else {
            assert_eq!(variant, "ENTRY_NULL");
            continue;
        };
        let size = match variant {
            "SIZE_ZERO" => 0,
            "SIZE_HUGE" => u32::MAX,
            "SIZE_SHORT" => 56,
            _ => size_of::<PintlePlugin>() as u32,
        };
        assert_eq!(plugin.size, size, "{variant}");
        assert_eq!(plugin.load.is_none(), variant == "LOAD_NULL");
        assert_eq!(plugin.id.ptr.is_null(), variant == "ID_NULL");
        // SAFETY: static data, where it is not null.
        let text =
            |text: PintleStr| unsafe { fake::bytes(PintleBytes { ptr: text.ptr.cast(), len: text.len }) };
        assert_eq!(text(plugin.version) == b"0.1.0", variant != "VERSION_DIFFERS");
        if variant != "ID_NULL" {
            let odd = ["ID_DIFFERS", "ID_BAD_UTF8"].contains(&variant);
            assert_eq!(text(plugin.id) == b"misbehave", !odd, "{variant}");
        }
    }
}

#[test]
fn misbehave_fails_where_its_config_says() {
    let plugin = entry(open("tests/plugins/misbehave.c", "-DVARIANT=NORMAL")).expect("it has an entry");
    let refused = Driver::load(plugin, Fake::new().configured(json!({ "load": "fail" }))).err();
    assert_eq!(refused, Some((PINTLE_CONFLICT, Some("misbehave was told to fail in load".to_owned()))));
    let config = json!({ "enable": "garbage", "status": -7, "save": "silent", "call": "ok" });
    let driver = Driver::load(plugin, Fake::new().configured(config)).expect("it loads");
    assert_eq!(driver.enable(), -7);
    assert_eq!((driver.save().0, driver.fake.error()), (PINTLE_CONFLICT, None));
    assert_eq!(driver.call("run", b"x"), (PINTLE_OK, "x".to_owned()));
    driver.unload();
}

#[test]
fn misbehave_hangs_until_it_is_let_go() {
    let until = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("until-{}", std::process::id()));
    std::fs::write(&until, "").expect("the folder can be written");
    let config = json!({ "call": "hang", "until": until.to_str().expect("UTF-8") });
    let driver = load("tests/plugins/misbehave.c", "-DVARIANT=NORMAL", config);
    assert_eq!(driver.call("run", b"x"), (PINTLE_OK, "x".to_owned()));
    let mark = until.with_extension("hanging");
    assert!(mark.exists(), "it says that it hangs");
    std::fs::remove_file(mark).expect("it is there");
    std::fs::remove_file(until).expect("it is there");
    driver.unload();
}

#[test]
fn probe_tells_json() {
    type Entry = extern "C" fn() -> *const PintlePlugin;
    let library = open("tests/plugins/probe.c", "-DNAME=probe2");
    // SAFETY: the contract's type of the entry function.
    let entry = unsafe { library.get::<Entry>(b"pintle_plugin_entry_v1\0") }.expect("it has an entry");
    // It calls every function of every table, so it needs a host that has them: the one for tests.
    let host = Host::new();
    // SAFETY: the probe keeps the contract, and its library outlives the host.
    unsafe { host.load_entry(*entry) }.expect("it loads");
    host.enable().expect("it is enabled");
    let ask = |method: &str, request: &str| host.call("probe2.run", method, request.as_bytes());
    let json = |reply: Vec<u8>| serde_json::from_slice::<Value>(&reply).expect("JSON");
    let tables = json(ask("tables", "").expect("it tells"));
    let sizes = (size_of::<PintleHost>(), size_of::<PintleCache>());
    assert_eq!((&tables["host"], &tables["cache"]), (&json!(sizes.0), &json!(sizes.1)));
    let own: u64 = String::from_utf8_lossy(&ask("own", "").expect("it tells")).parse().expect("a number");
    assert_ne!(own, 0);
    let error = ask("fail", "4711").expect_err("it was told to");
    assert_eq!((error.status().code(), error.message()), (4711, "probe was told to fail"));
    assert_eq!(ask("stash", "").expect("it stashes"), b"{}");
    // A context of nobody, also on another thread.
    let used = json(ask("use", "4294967295").expect("it tells"));
    let used = used.as_object().expect("an object");
    assert!(used.len() >= 24 && used.len() % 2 == 0, "{used:?}");
    assert!(used.values().all(|case| case["status"] == PINTLE_STALE_HANDLE), "{used:?}");
}
