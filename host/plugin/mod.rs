//! From a file to a running plugin.
//!
//! `manifest`, `inspect` and `discover` read files and run nothing; `stage` makes the private copy that is loaded;
//! `library` opens it and calls it; `layout` compares its contract with ours; `generation` is one loaded copy and the steps of its life; `permits` says what
//! it may do; `calls` brings messages to it. `entry` is a plugin over all of its generations, `suspend` and `supervisor` are about those that used up a budget, and `set` has all plugins of a
//! host and says which step may follow which.
//!
//! Knows `abi`, `identity`, `lanes` and the finished tables of `boundary`.

mod calls;
pub(crate) mod discover;
mod entry;
#[cfg(all(test, unix))]
mod fixtures;
mod generation;
pub(crate) mod inspect;
mod inventory;
#[cfg(feature = "layout-check")]
mod layout;
#[allow(unsafe_code, reason = "a library is opened and called by pointer")]
mod library;
pub(crate) mod manifest;
pub(crate) mod ownership;
mod permits;
mod set;
pub(crate) mod stage;
mod supervisor;
mod suspend;
mod thread_keys;

pub(crate) use self::set::{Plugins, PluginsOptions};
pub use self::{
    entry::{PluginCounters, PluginInfo, PluginState},
    suspend::Suspension,
};
