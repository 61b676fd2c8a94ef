//! `pintle-plugin`: plugins for Pintle hosts, in safe Rust.
//!
//! A plugin is a struct that implements [`Plugin`], and one line, [`plugin!`]. Build it as a `cdylib`, put the library
//! into a folder that a host looks at, and it runs. This one greets whoever is announced:
//!
//! ```
//! #![forbid(unsafe_code)]
//! use pintle_plugin::{Context, Plugin, Result, plugin};
//! use serde::{Deserialize, Serialize};
//!
//! struct Greeter {
//!     word: String,
//! }
//!
//! #[derive(Deserialize)]
//! struct Arrival {
//!     name: String,
//! }
//!
//! #[derive(Serialize)]
//! struct Greeting {
//!     text: String,
//! }
//!
//! impl Plugin for Greeter {
//!     fn load(cx: &Context) -> Result<Self> {
//!         Ok(Greeter { word: cx.config().text("/word")? })
//!     }
//!
//!     fn enable(&self, cx: &Context) -> Result<()> {
//!         let word = self.word.clone();
//!         cx.events().subscribe("arrived.>", move |cx, event| {
//!             let arrival: Arrival = event.json()?;
//!             cx.log().info("greeting", &[("name", arrival.name.as_str().into())]);
//!             let text = format!("{word}, {}!", arrival.name);
//!             cx.events().emit_json("greeted", &Greeting { text }) // as `plugin.greeter.greeted`
//!         })?;
//!         Ok(())
//!     }
//! }
//!
//! plugin!(Greeter, inline r#"{
//!     "id": "greeter", "version": "0.1.0", "abi": "1.0",
//!     "services": { "events": { "subscribe": ["arrived.>"], "publish": ["greeted"] } },
//!     "config": { "type": "object", "properties": { "word": { "type": "string", "default": "Hello" } } }
//! }"#);
//! # fn main() {}
//! ```
//!
//! # A whole plugin, step by step
//!
//! The rest of this page builds one that looks after a harbour: it counts ships, remembers where each one lies, answers
//! questions, and reports every night. All pieces are in one file, which is compiled, and run in a test, with this page.
//!
//! **The crate.** `cargo new --lib harbour`, and in its `Cargo.toml`:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! pintle-plugin = "0.1"
//! serde = { version = "1", features = ["derive"] }
//!
//! [dev-dependencies]
//! pintle-plugin = { version = "0.1", features = ["test"] }
//! ```
//!
//! **The manifest** says who the plugin is, and asks for what it needs: whatever is not asked for here is
//! [`Denied`](Status::Denied). It may be a file, `plugin!(Harbour, "plugin.json")`, or stand in the code, as below.
//!
//! **Its life.** [`load`](Plugin::load) reads the settings and makes the plugin; a plugin that cannot work refuses here, and
//! the text of its error is what the operator reads. From [`enable`](Plugin::enable) on it acts. Everything is asked
//! through the [`Context`] that each function is lent:
//!
//! | | |
//! |---|---|
//! | [`cx.config()`](Context::config) | the settings, by JSON pointer or as a type |
//! | [`cx.log()`](Context::log) | records with typed fields |
//! | [`cx.events()`](Context::events) | subscribe, emit, and emit and wait for answers; [durable](EmitOptions::durable) events, and [filters](Filter) |
//! | [`cx.cache("…")`](Context::cache) | volatile items and counters, with lifetimes; what takes long is [loaded once](Cache::get_or_load) |
//! | [`cx.storage()`](Context::storage) | durable items, with versions |
//! | [`cx.database()`](Context::database) | SQL, on a database of the plugin's own |
//! | [`cx.idempotency()`](Context::idempotency) | operations that must happen once, however often they are asked for |
//! | [`cx.files()`](Context::files) | files by path, and the resources that the manifest lists |
//! | [`cx.scheduler()`](Context::scheduler) | jobs by cron rule, at a beat, once, or after another; durable ones too |
//! | [`cx.call(…)`](Context::call) | services of other plugins |
//! | [`cx.tenant()`](Context::tenant) | on whose behalf this is |
//! | [`cx.hold()`](Context::hold) | a context for work that outlives this function |
//!
//! **Tenants.** A handler's context belongs to the tenant of its event: the cache, the storage and the files that it reaches
//! are that tenant's, and so are the events that it emits. The plugin does nothing for it, and cannot get it wrong.
//!
//! ```
//! #![forbid(unsafe_code)]
//! use std::time::Duration;
//!
//! use pintle_plugin::{Context, Error, Plugin, Request, Result, Status, plugin};
//! use serde::{Deserialize, Serialize};
//!
//! struct Harbour {
//!     settings: Settings,
//! }
//!
//! /// The whole config as a type; its schema is in the manifest.
//! #[derive(Clone, Deserialize)]
//! struct Settings {
//!     berths: u64,
//! }
//!
//! /// What is stored of each ship.
//! #[derive(Deserialize, Serialize)]
//! struct Berth {
//!     number: u64,
//!     flag: Option<String>,
//! }
//!
//! #[derive(Deserialize)]
//! struct Arrival {
//!     ship: String,
//!     berth: u64,
//! }
//!
//! impl Plugin for Harbour {
//!     fn load(cx: &Context) -> Result<Self> {
//!         let settings: Settings = cx.config().get("")?;
//!         if settings.berths == 0 {
//!             return Err(Error::new(Status::InvalidArgument, "a harbour without berths: set `berths`"));
//!         }
//!         Ok(Harbour { settings })
//!     }
//!
//!     fn enable(&self, cx: &Context) -> Result<()> {
//!         // A handler outlives this function, so it takes along what it needs.
//!         let settings = self.settings.clone();
//!         cx.events().subscribe("ship.arrived", move |cx, event| {
//!             let arrival: Arrival = event.json()?; // what is no arrival is refused, with place and reason
//!             moor(cx, &settings, &arrival)
//!         })?;
//!         cx.scheduler().cron("report", "0 0 * * *", |cx, run| {
//!             let ships: Vec<String> = cx.storage().keys("ship/").collect::<Result<_>>()?;
//!             cx.log().info("nightly report", &[("ships", ships.len().into())]);
//!             run.reply_json(&ships)
//!         })?;
//!         Ok(())
//!     }
//!
//!     // Other plugins and the application ask by message: a method's name and JSON, in and out.
//!     fn call(&self, cx: &Context, request: &Request<'_>) -> Result<Vec<u8>> {
//!         match request.method() {
//!             "where" => request.answer(|ship: String| cx.storage().get_json::<Berth>(&key(&ship))),
//!             "today" => request.answer(|(): ()| Ok(cx.cache("today").get_integer("ships")?.unwrap_or(0))),
//!             _ => Err(request.unsupported()),
//!         }
//!     }
//! }
//!
//! fn key(ship: &str) -> String {
//!     format!("ship/{ship}")
//! }
//!
//! fn moor(cx: &Context, settings: &Settings, arrival: &Arrival) -> Result<()> {
//!     if arrival.berth >= settings.berths {
//!         let text = format!("there is no berth {}: the last one is {}", arrival.berth, settings.berths - 1);
//!         return Err(Error::new(Status::OutOfRange, text));
//!     }
//!     // A register that does not answer must not keep ships at sea.
//!     let flag = cx.call_json("register.flags", 1, "flag", &arrival.ship, Some(Duration::from_secs(1)));
//!     let flag = flag.inspect_err(|error| {
//!         cx.log().warn("no flag", &[("ship", arrival.ship.as_str().into()), ("error", error.message().into())]);
//!     });
//!     cx.storage().set_json(&key(&arrival.ship), &Berth { number: arrival.berth, flag: flag.ok() })?;
//!     cx.cache("today").incr_for("ships", 1, Duration::from_secs(24 * 60 * 60))?;
//!     cx.events().emit_json("moored", &arrival.ship)
//! }
//!
//! plugin!(Harbour, inline r#"{
//!     "id": "harbour", "version": "0.1.0", "abi": "1.0",
//!     "services": {
//!         "events": { "subscribe": ["ship.arrived"], "publish": ["moored"] },
//!         "cache": { "namespaces": ["today"] },
//!         "storage": {},
//!         "scheduler": {},
//!         "call": ["register.flags"]
//!     },
//!     "provides": { "harbour.ships": { "major": 1, "methods": ["where", "today"] } },
//!     "config": { "type": "object", "properties": { "berths": { "type": "integer", "default": 12 } } }
//! }"#);
//!
//! # fn main() { the_harbour_moors_ships().unwrap() }
//! // And its test, without a host: with `#[test]`, in the same file.
//! fn the_harbour_moors_ships() -> Result<()> {
//!     use pintle_plugin::test::Host;
//!     use serde_json::{Value, json};
//!
//!     let host = Host::new()
//!         .config(json!({ "berths": 2 }))
//!         .provide("register.flags", 1, |_method, _request| Ok(br#""Malta""#.to_vec()))
//!         .start::<Harbour>()?;
//!     let acme = host.tenant("acme");
//!     acme.emit_json("ship.arrived", &json!({ "ship": "Anna", "berth": 1 }))?;
//!
//!     let place: Value = acme.call_json("harbour.ships", "where", &"Anna")?;
//!     assert_eq!(place, json!({ "number": 1, "flag": "Malta" }));
//!     let elsewhere: Value = host.tenant("bolt").call_json("harbour.ships", "where", &"Anna")?;
//!     assert_eq!(elsewhere, json!(null));
//!     assert_eq!(host.emitted()[0].topic, "plugin.harbour.moored");
//!
//!     // What goes wrong: a berth that is none, a register that is down, a disk that is full, the next day.
//!     let error = acme.emit_json("ship.arrived", &json!({ "ship": "Bea", "berth": 2 })).unwrap_err();
//!     assert_eq!(error.status(), Status::OutOfRange);
//!     host.fail_next("call", Status::Unavailable, "the register is down");
//!     acme.emit_json("ship.arrived", &json!({ "ship": "Cleo", "berth": 0 }))?;
//!     assert_eq!(host.logs().last().unwrap().field("ship"), Some(&json!("Cleo")));
//!     host.fail_next("storage.set", Status::Unavailable, "the disk is full");
//!     assert!(acme.emit_json("ship.arrived", &json!({ "ship": "Dora", "berth": 0 })).is_err());
//!     assert_eq!(acme.call_json::<u64>("harbour.ships", "today", &())?, 2);
//!     host.advance(Duration::from_secs(24 * 60 * 60))?;
//!     assert_eq!(acme.call_json::<u64>("harbour.ships", "today", &())?, 0);
//!     Ok(())
//! }
//! ```
//!
//! **Reloads.** A plugin that keeps something in memory which the next generation needs says so in [`Plugin::save`] and takes
//! it in [`Plugin::restore`]; cache and storage stay as they are. Settings that change while it runs come to
//! [`Plugin::configure`].
//!
//! # What holds
//!
//! - **Contexts end.** Each function is lent a [`Context`]: it says on whose behalf the host is called (plugin and
//!   tenant) and ends with the function. Work that outlives it takes a [`Held`] with it ([`Context::hold`]).
//! - **Nothing unwinds into the host.** A panic in any function, handler or destructor of a plugin is caught and
//!   becomes [`Status::Panic`], with the panic's text in the host's report. The plugin goes on, so what was half changed
//!   stays half changed: a `Mutex` that was locked is poisoned. This needs `panic = "unwind"`, which is cargo's default.
//!   The plugin's panic hook is left alone; the default one prints the place to stderr.
//! - **One at a time.** All functions of a plugin run on its lane, one after the other, on changing threads, unless its
//!   manifest asks for more `concurrency`. `Sync` is asked for all the same, so that asking for more is only a number.
//! - **What is missing is `None`.** Reading what is not there is no error, in the cache and in storage. In the settings it is
//!   [`Status::NotFound`], because a setting with a default is always there; [`Optional`] makes that a `None`.
//! - **Errors say where.** Those that come from the host carry its sentence; those of JSON name the key, the topic or the
//!   method. `?` takes any error of the standard library's kind.
//! - **Older hosts.** A function that the host does not have answers [`Status::Unsupported`].
//!
//! # The feature `layout-check`
//!
//! With it the plugin also exports the layout of the contract that it was built against. A host with the same feature
//! compares it with its own before it calls anything, and refuses a plugin whose contract has drifted, naming the type
//! and the field. A contract that only grew at the end, on either side, is no drift. Without it, or where the host does
//! not have it, sizes are all that is looked at.
//!
//! # Where to read on
//!
//! [`Plugin`] is the life of a plugin. [`Context`] is everything it can ask for: [`Log`], [`Config`], [`Events`], [`Cache`],
//! [`Storage`], [`Database`], [`Files`], [`Scheduler`] and [`Context::call`]. [`Error`] is how both sides fail. The module `test` (feature `test`)
//! is the host of the test above.

mod cache;
mod config;
mod context;
mod database;
mod entry;
mod error;
mod events;
mod files;
mod idempotency;
mod log;
mod manifest;
mod pages;
mod plugin;
mod registration;
mod results;
mod scheduler;
mod storage;
mod table;
#[cfg(feature = "test")]
pub mod test;
mod wire;

pub use cache::{
    Age, Cache, CacheEntry, CacheItem, CacheStats, CacheValue, ExpireIf, Expiry, Fetch, FetchOptions,
    Fetched, Lease, Lifetime, SetOptions,
};
pub use config::Config;
pub use context::{Context, Held, Scope};
pub use database::{
    ColumnIndex, Database, DatabaseStats, FromSql, MigrateError, MigrateOptions, Migrated, Migration, Params,
    Row, Sql, SqlColumn, SqlDone, SqlOptions, SqlValue, ToSql, Transaction, TransactionOptions,
};
pub use error::{Error, Optional, Result, Status};
pub use events::{
    Delivery, EmitOptions, Event, Events, Filter, QueuePolicy, StartFrom, SubscribeOptions, Subscription,
};
pub use files::{FileInfo, Files};
pub use idempotency::{BeginOptions, Begun, Idempotency, Outcome, Start};
pub use log::{Field, Level, Log, Logger};
pub use pages::{KeyPage, Keys};
pub use plugin::{Plugin, Request};
pub use results::{HandlerOutcome, HandlerResult};
pub use scheduler::{Job, JobInfo, JobOptions, Missed, Overlap, Run, RunResult, Scheduler};
pub use storage::{
    Batch, BatchError, BatchJob, Change, ChangeKind, CheckedSum, CheckedWrite, StepOutcome, Storage,
    StorageItem, StorageOptions, StorageStats, Watch,
};

/// The JSON library whose [`Value`](serde_json::Value) stands in [`Plugin::configure`].
pub use serde_json;

/// What the code of [`plugin!`] needs. Not for use by hand.
#[doc(hidden)]
pub mod macro_support {
    pub use crate::{
        entry::{Described, Exported, describe},
        manifest::{Identity, Record, identity},
    };
    pub use pintle_abi::PintlePlugin;
    #[cfg(feature = "layout-check")]
    pub use pintle_abi::layout;
}
