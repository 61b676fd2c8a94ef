//! A plugin's life through its C entry, as a host drives it: the calls, their failures, and panics everywhere.

use std::panic;

use crate::{
    driver::Driver,
    fake::{self, Fake},
};
use pintle_abi::*;
use pintle_plugin::{Context, Error, Held, Plugin, Request, Result, Status, plugin};
use serde_json::{Value, json};

/// Does in each function what its config says for it: `{"enable": "panic"}`. What it holds is released when it is freed.
struct Actor {
    _held: Held,
}

/// Panics when it is dropped, as the payload of a panic may.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

fn act(cx: &Context, what: &str) -> Result<()> {
    match cx.config().text(&format!("/{what}")).as_deref() {
        Ok("panic") => panic!("{what} went wrong"),
        Ok("grenade") => panic::panic_any(Grenade),
        Ok("fail") => Err(Error::new(Status::Conflict, format!("{what} does not want to"))),
        Ok("io") => Err(std::fs::read("/does/not/exist").expect_err("it is not there").into()),
        _ => Ok(()),
    }
}

impl Plugin for Actor {
    fn load(cx: &Context) -> Result<Self> {
        act(cx, "load")?;
        Ok(Actor { _held: cx.hold()? })
    }

    fn enable(&self, cx: &Context) -> Result<()> {
        act(cx, "enable")
    }

    fn disable(&self, cx: &Context) -> Result<()> {
        act(cx, "disable")
    }

    fn unload(self, cx: &Context) {
        let _ = act(cx, "unload");
    }

    fn configure(&self, cx: &Context, config: &Value) -> Result<()> {
        cx.log().info("offered", &[("config", config.to_string().as_str().into())]);
        act(cx, "configure")
    }

    fn save(&self, cx: &Context) -> Result<Vec<u8>> {
        act(cx, "save").map(|()| b"saved".to_vec())
    }

    fn restore(&self, cx: &Context, schema: u32, saved: &[u8]) -> Result<()> {
        cx.log().info("restoring", &[("schema", schema.into()), ("bytes", saved.len().into())]);
        act(cx, "restore")
    }

    fn call(&self, cx: &Context, request: &Request<'_>) -> Result<Vec<u8>> {
        act(cx, "call")?;
        match request.method() {
            "echo" => Ok(request.data().to_vec()),
            "nothing" => Ok(Vec::new()),
            "who" => Ok(format!(
                "{} {} for {}",
                request.caller(),
                request.major(),
                cx.tenant()?.as_deref().unwrap_or("nobody")
            )
            .into_bytes()),
            "double" => Ok((request.json::<i64>()? * 2).to_string().into_bytes()),
            _ => Err(request.unsupported()),
        }
    }
}

plugin!(Actor, inline r#"{ "id": "actor", "version": "1.2.3", "abi": "1.0" }"#, entry = actor);

/// A plugin with nothing but what it must have.
struct Least;

impl Plugin for Least {
    fn load(_: &Context) -> Result<Self> {
        Ok(Least)
    }
}

plugin!(Least, "tests/sdk/least.json", entry = least);

fn load_actor(config: Value) -> Driver {
    Driver::load(actor(), Fake::new().configured(config)).expect("it loads")
}

#[test]
fn the_entry_describes_the_plugin_as_its_manifest_does() {
    for (entry, id, version) in [(actor as extern "C" fn() -> _, "actor", "1.2.3"), (least, "least", "0.4.0")]
    {
        // SAFETY: the entry returns static data.
        let plugin: &PintlePlugin = unsafe { &*entry() };
        assert_eq!(plugin.size as usize, size_of::<PintlePlugin>());
        // SAFETY: the texts and the record are static.
        let (its_id, its_version, record) = unsafe {
            let text = |text: PintleStr| fake::bytes(PintleBytes { ptr: text.ptr.cast(), len: text.len });
            (text(plugin.id), text(plugin.version), fake::bytes(plugin.manifest))
        };
        assert_eq!((its_id, its_version), (id.as_bytes(), version.as_bytes()));
        assert_eq!(&record[..8], b"PINTLE1\0");
        let length = u64::from_ne_bytes(record[8..16].try_into().expect("eight bytes")) as usize;
        let manifest: Value = serde_json::from_slice(&record[16..16 + length]).expect("JSON");
        assert_eq!((&manifest["id"], &manifest["version"]), (&json!(id), &json!(version)));
        assert_eq!(record[16 + length], 0, "a NUL ends the text");
    }
}

#[test]
fn a_life_runs_from_load_to_unload_and_frees_everything() {
    let driver = load_actor(json!({}));
    assert_eq!(driver.enable(), PINTLE_OK);
    assert_eq!(driver.configure(r#"{"a":1}"#), PINTLE_OK);
    assert!(driver.fake.take().contains(&r#"log.write 2 offered config="{\"a\":1}""#.to_owned()));
    assert_eq!(driver.call("echo", b"hello"), (PINTLE_OK, "hello".to_owned()));
    assert_eq!(driver.disable(), PINTLE_OK);
    assert_eq!(driver.save(), (PINTLE_OK, b"saved".to_vec()));
    assert_eq!(driver.restore(3, b"saved"), PINTLE_OK);
    assert!(driver.fake.take().contains(&"log.write 2 restoring schema=3 bytes=5".to_owned()));
    let calls = driver.unload();
    assert_eq!(calls.iter().filter(|call| *call == "release 1").count(), 1, "{calls:?}");
}

#[test]
fn what_a_plugin_does_not_implement_is_taken_save_for_calls() {
    let driver = Driver::load(least(), Fake::new()).expect("it loads");
    assert_eq!(
        (driver.enable(), driver.disable(), driver.configure("{}")),
        (PINTLE_OK, PINTLE_OK, PINTLE_OK)
    );
    assert_eq!((driver.save(), driver.restore(3, b"x")), ((PINTLE_OK, Vec::new()), PINTLE_OK));
    assert_eq!(driver.call("any", b"").0, PINTLE_UNSUPPORTED);
    assert_eq!(driver.fake.error().as_deref(), Some("service `actor.act` 4 has no method `any`"));
    driver.unload();
}

#[test]
fn contract_77_every_function_may_fail_or_panic_and_says_why() {
    type Step = fn(&Driver) -> PintleStatus;
    let steps: [(&str, Step); 6] = [
        ("enable", Driver::enable),
        ("disable", Driver::disable),
        ("configure", |driver| driver.configure("{}")),
        ("save", |driver| driver.save().0),
        ("restore", |driver| driver.restore(3, b"")),
        ("call", |driver| driver.call("echo", b"").0),
    ];
    for (what, step) in steps {
        let ways = [
            ("fail", PINTLE_CONFLICT, format!("{what} does not want to")),
            ("panic", PINTLE_PANIC, format!("panicked: {what} went wrong")),
            ("grenade", PINTLE_PANIC, "panicked: with a value that is no text".to_owned()),
            ("io", PINTLE_NOT_FOUND, "No such file or directory (os error 2)".to_owned()),
        ];
        for (way, status, text) in ways {
            let driver = load_actor(json!({ what: way }));
            assert_eq!(step(&driver), status, "{what} {way}");
            assert_eq!(driver.fake.error().as_deref(), Some(text.as_str()));
            // It goes on: the same plugin takes the next call.
            driver.fake.seen.lock().expect("not poisoned").config = json!({});
            assert_eq!(step(&driver), PINTLE_OK, "{what} after {way}");
            driver.unload();
        }
    }
}

#[test]
fn load_may_fail_or_panic_and_leaves_nothing() {
    for (way, status, text) in [
        ("fail", PINTLE_CONFLICT, "load does not want to"),
        ("panic", PINTLE_PANIC, "panicked: load went wrong"),
        ("grenade", PINTLE_PANIC, "panicked: with a value that is no text"),
    ] {
        let refused = Driver::load(actor(), Fake::new().configured(json!({ "load": way })));
        let (its_status, its_text) = refused.err().expect("it refuses");
        assert_eq!((its_status, its_text.as_deref()), (status, Some(text)));
    }
}

#[test]
fn a_panic_in_unload_is_logged() {
    let driver = load_actor(json!({ "unload": "panic" }));
    let calls = driver.unload();
    assert_eq!(
        calls[1..],
        ["release 1", r#"log.write 4 the plugin panicked in unload panic="unload went wrong""#]
    );
}

#[test]
fn calls_reach_the_plugin_with_what_the_caller_gave() {
    let driver = load_actor(json!({}));
    assert_eq!(driver.call("nothing", b""), (PINTLE_OK, String::new()));
    assert_eq!(driver.call("who", b""), (PINTLE_OK, "other 4 for nobody".to_owned()));
    assert_eq!(driver.call("double", b"21"), (PINTLE_OK, "42".to_owned()));
    assert_eq!(driver.call("double", b"x").0, PINTLE_INVALID_ARGUMENT);
    assert_eq!(
        driver.fake.error().as_deref(),
        Some("the request of actor.act.double: expected value at line 1 column 1")
    );
    assert_eq!(driver.call_raw(std::ptr::null()).0, PINTLE_INVALID_ARGUMENT);
    let short = 71_u32;
    assert_eq!(
        driver.call_raw((&raw const short).cast()).0,
        PINTLE_INVALID_ARGUMENT,
        "only its size is read"
    );
    driver.unload();
}

#[test]
fn an_offered_config_that_is_not_json_is_refused() {
    let driver = load_actor(json!({}));
    assert_eq!(driver.configure("{"), PINTLE_INVALID_ARGUMENT);
    assert!(driver.fake.error().is_some_and(|text| text.starts_with("the offered config: ")));
    driver.unload();
}

#[test]
fn a_host_that_is_too_small_is_refused_without_touching_it() {
    let cases = [
        (143, PINTLE_UNSUPPORTED, true),
        (24, PINTLE_UNSUPPORTED, true),
        (23, PINTLE_UNSUPPORTED, false),
        (0, PINTLE_UNSUPPORTED, false),
    ];
    for (size, status, told) in cases {
        let refused = Driver::load(least(), Fake::with(|host| host.size = size)).err().expect("it refuses");
        let text = format!("the host's table has {size} bytes and this plugin needs 144: update the host");
        assert_eq!(refused, (status, told.then_some(text)));
    }
    for size in [144, 145, 4096, u32::MAX] {
        Driver::load(least(), Fake::with(|host| host.size = size)).expect("larger is fine").unload();
    }
}

#[test]
fn null_pointers_of_a_host_are_answered() {
    // SAFETY: the entry returns static data.
    let plugin: &PintlePlugin = unsafe { &*least() };
    let (load, mut state) = (plugin.load.expect("required"), std::ptr::null_mut());
    let fake = Fake::new();
    let null = std::ptr::null_mut();
    // SAFETY: that these are safe is what is tested.
    unsafe {
        assert_eq!(load(fake.ctx, std::ptr::null(), &raw mut state), PINTLE_INVALID_ARGUMENT);
        assert_eq!(load(fake.ctx, fake.host(), std::ptr::null_mut()), PINTLE_INVALID_ARGUMENT);
        assert_eq!(plugin.enable.expect("given")(null, fake.ctx), PINTLE_INVALID_ARGUMENT);
        plugin.unload.expect("given")(null, fake.ctx);
    }
}
