//! `echo-rust`: remembers what it hears on `echo.>`, for each tenant, and answers for it. Its twins are `echo-c`
//! (sample-plugins/c/echo) and `echo-cpp` (sample-plugins/cpp/echo): from outside they differ in nothing but the id.
//!
//! With each event it
//! - counts the topic in the cache, in the namespace `seen`, for `window_ms` (config, 60,000) from the first on;
//! - keeps the data in the storage, under the topic;
//! - logs `heard` with the fields topic and seen (the host adds the tenant);
//! - emits `plugin.echo-rust.heard` with `{"topic":"…","seen":N,"tenant":"…"}`, the tenant empty in the system scope;
//! - replies with the data, for publishers that wait.
//!
//! Service `echo-rust.run` 1, for the caller's tenant:
//!
//! | method | request | reply |
//! |---|---|---|
//! | `latest` | a topic | the data that was last heard on it; NOT_FOUND if there was none |
//! | `seen` | a topic | how often in its window, decimal |
//! | `topics` | a prefix | the topics that begin with it, a line each |
//! | `forget` | | forgets counts and data; how many topics there were |
//! | `fail` | | CONFLICT, to see how a failure looks |

#![forbid(unsafe_code)]

use std::time::Duration;

use pintle_plugin::{Context, Error, Event, Plugin, Request, Result, Status, plugin};
use serde::Serialize;

struct Echo;

#[derive(Serialize)]
struct Heard<'a> {
    topic: &'a str,
    seen: i64,
    tenant: &'a str,
}

fn hear(cx: &Context, event: &Event<'_>) -> Result<()> {
    let topic = event.topic();
    let window = cx.config().integer("/window_ms")?;
    let seen = cx.cache("seen").incr_for(topic, 1, Duration::from_millis(window.unsigned_abs()))?;
    cx.storage().set(topic, event.data())?;
    cx.log().info("heard", &[("topic", topic.into()), ("seen", seen.into())]);
    let tenant = event.tenant().unwrap_or_default();
    cx.events().emit_json("heard", &Heard { topic, seen, tenant })?;
    event.reply(event.data())
}

impl Plugin for Echo {
    fn load(cx: &Context) -> Result<Self> {
        cx.events().subscribe("echo.>", hear)?;
        Ok(Echo)
    }

    fn call(&self, cx: &Context, request: &Request<'_>) -> Result<Vec<u8>> {
        match request.method() {
            "latest" => latest(cx, text(request)?),
            "seen" => Ok(cx.cache("seen").get(text(request)?)?.unwrap_or_else(|| b"0".to_vec())),
            "topics" => topics(cx, text(request)?),
            "forget" => forget(cx),
            "fail" => Err(Error::new(Status::Conflict, "echo was told to fail")),
            _ => Err(request.unsupported()),
        }
    }
}

fn text<'a>(request: &Request<'a>) -> Result<&'a str> {
    Ok(str::from_utf8(request.data())?)
}

fn latest(cx: &Context, topic: &str) -> Result<Vec<u8>> {
    let data = cx.storage().get(topic)?;
    data.ok_or_else(|| Error::new(Status::NotFound, "nothing was heard on that topic"))
}

fn topics(cx: &Context, prefix: &str) -> Result<Vec<u8>> {
    let mut lines = String::new();
    for topic in cx.storage().keys(prefix) {
        lines += &topic?;
        lines.push('\n');
    }
    Ok(lines.into_bytes())
}

fn forget(cx: &Context) -> Result<Vec<u8>> {
    for topic in cx.storage().keys("") {
        cx.cache("seen").remove(&topic?)?;
    }
    Ok(cx.storage().clear()?.to_string().into_bytes())
}

plugin!(Echo, inline r#"{
  "id": "echo-rust", "version": "0.1.0", "abi": "1.0",
  "name": "Echo in Rust", "description": "Remembers what it hears on echo.> and answers for it",
  "license": "MIT OR Apache-2.0",
  "services": {
    "cache": { "methods": ["get", "incr", "remove"], "namespaces": ["seen"] },
    "storage": { "methods": ["get", "set", "keys", "clear"] },
    "events": { "subscribe": ["echo.>"], "publish": ["heard"] }
  },
  "provides": { "echo-rust.run": { "major": 1, "methods": ["latest", "seen", "topics", "forget", "fail"] } },
  "config": {
    "type": "object",
    "properties": { "window_ms": { "type": "integer", "minimum": 1, "default": 60000 } },
    "additionalProperties": false
  }
}"#);
