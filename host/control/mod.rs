//! The control socket: a running host answers requests of its operator, one JSON object on each line, over
//! `<data>/pintle.sock`. docs/control.md has the protocol.
//!
//! `socket` finds the place of the socket, `lines` reads lines of bounded length, `wire` knows JSON-RPC, a `session` is
//! one connection as the host sees it, `server` accepts them, `client` is the other side. What is asked for is nobody's
//! business here: the server knows [`Methods`] alone.

mod cache;
mod client;
mod config;
mod events;
mod jobs;
mod lines;
mod methods;
mod query;
#[cfg(unix)]
mod server;
mod session;
#[cfg(unix)]
mod socket;
#[cfg(not(unix))]
#[path = "nowhere.rs"]
mod socket;
mod sql;
mod storage;
mod wire;

#[cfg(all(test, unix))]
mod tests;

use std::{sync::Arc, time::Duration};

use serde_json::Value;

pub use client::{Client, Notification};
pub(crate) use methods::{HostMethods, answer};
#[cfg(unix)]
pub(crate) use server::Control;
pub(crate) use session::Session;
#[cfg(not(unix))]
pub(crate) use socket::Control;
pub(crate) use wire::Params;

use crate::error::Error;

/// The protocol that both sides here speak. Members are only ever added to it; a change that older clients could not
/// live with would raise it.
const PROTOCOL: u64 = 1;

/// The name of the socket in the data folder.
const SOCKET: &str = "pintle.sock";

/// The longest request, in bytes.
const LONGEST_REQUEST: usize = 2 << 20;

/// The longest line that a host sends, in bytes.
const LONGEST_ANSWER: usize = 16 << 20;

/// How long the other side may let everything lie that is sent to it, and how long a host may take to say hello.
const PATIENCE: Duration = Duration::from_secs(5);

/// What can be asked for.
pub(crate) trait Methods: Send + Sync {
    /// The names of all methods.
    fn names(&self) -> &'static [&'static str];

    /// Carries out one of them, on the thread of the connection: as long as it takes, other connections are served, and
    /// this one waits.
    fn answer(&self, method: &str, params: Params<'_>, session: &Arc<Session>) -> Result<Value, Refusal>;
}

/// Why a request has no result.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is no such method.
    UnknownMethod,
    /// What is wrong with the params.
    Params(String),
    /// What the host answered.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
