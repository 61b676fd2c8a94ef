//! Lanes: where everything of a plugin runs.
//!
//! A [`Lane`] is a bounded queue in order, one for each plugin. [`Pool`] has the workers, the only threads that
//! ever run code of plugins: a worker takes a lane that has work, runs a batch of its calls, and goes to the
//! next. From this come order, isolation (a hung plugin holds one worker and another takes its place), waiting
//! without deadlock ([`waits`](self) finds circles) and a safe unload (workers know which generations they have
//! run and can be ended before a library is closed). [`Register`] is the one place where a generation's
//! registrations are kept and drained.
//!
//! Knows `identity` and `error`. Runs tasks; what a task does is not known here.

mod closer;
mod handover;
mod lane;
mod monitor;
mod pending;
mod pool;
mod register;
mod sync;
mod waits;
mod worker;

pub(crate) use lane::{Lane, LaneOptions, Stuck, Task};
#[cfg(pintle_model)]
pub(crate) use monitor::Monitor;
pub(crate) use pending::{Pending, Promise};
pub(crate) use pool::{Awaited, Caller, Pool, PoolOptions, PoolStats, Report, Retired, panic_text};
pub(crate) use register::{Entry, Register};
pub(crate) use waits::Turn;
pub(crate) use worker::{About, Outcome, Run};
