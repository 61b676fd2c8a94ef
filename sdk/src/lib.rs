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
//! [`Plugin`] is the life of a plugin. [`Context`] is everything it can ask for: [`Log`], [`Config`], [`Events`],
//! [`Scheduler`] and [`Context::call`]. [`Error`] is how both sides fail.

mod cache;
mod config;
mod context;
mod entry;
mod error;
mod events;
mod log;
mod manifest;
mod plugin;
mod registration;
mod scheduler;
mod storage;
mod table;
#[cfg(feature = "test")]
pub mod test;
mod wire;

pub use cache::{Cache, CacheItem, CacheValue, ExpireIf, Expiry, Fetched, Lifetime};
pub use config::Config;
pub use context::{Context, Held, Scope};
pub use error::{Error, Optional, Result, Status};
pub use events::{
    EmitOptions, Event, Events, HandlerOutcome, HandlerResult, QueuePolicy, SubscribeOptions, Subscription,
};
pub use log::{Field, Level, Log, Logger};
pub use plugin::{Plugin, Request};
pub use scheduler::{Job, JobOptions, Overlap, Run, Scheduler};
pub use storage::{CheckedWrite, KeyPage, Keys, Storage, StorageItem};

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
