//! What an application does with the operations of one of its plugins that must happen once: [`PluginIdempotency`].

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::Host;
use crate::{
    boundary::Core,
    error::Result,
    identity::{DataScope, Tenant},
    services::{
        idempotency::{Address, Known, State},
        keys::{Key, Namespace},
    },
};

/// The operations of one plugin on behalf of one tenant: [`Host::idempotency`]. All functions may be called from any thread;
/// after the host has stopped they answer UNAVAILABLE, and so they do while the disk fails.
///
/// Only its plugin begins and ends an operation: an application looks, and forgets what stands in the way.
#[derive(Clone)]
pub struct PluginIdempotency {
    core: &'static Core,
    number: u64,
    id: Arc<str>,
    /// Held, so that its number stays.
    tenant: Tenant,
}

/// What is known of an operation, as it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdempotencyRecord {
    /// How far it is.
    pub state: IdempotencyState,
    /// How often it was started, since there is a record of it: more than once where a lease was over and somebody else
    /// took over.
    pub attempt: u32,
    /// When it was begun first.
    pub begun: SystemTime,
    /// In progress: how long its lease still lasts; else how long the record is still kept.
    pub left: Duration,
    /// What it ended with: its result, or what it has failed with. Empty unless it has ended.
    pub result: Vec<u8>,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdempotencyState {
    /// Somebody has started it and holds the lease.
    InProgress,
    /// Somebody has started it, and the lease is over: the next one who begins it starts again.
    Abandoned,
    /// It is over, with a result.
    Done,
    /// It has failed for good.
    Failed,
}

impl Host {
    /// The operations of a plugin that must happen once, on behalf of a tenant (empty: the system scope). The plugin need
    /// not be loaded.
    ///
    /// ```no_run
    /// # fn main() -> pintle::Result<()> {
    /// # let host = pintle::Host::builder().plugins("plugins").build()?;
    /// use pintle::idempotency::IdempotencyState;
    ///
    /// let operations = host.idempotency("shop", "acme")?;
    /// if let Some(record) = operations.get("charge", "order-17")? {
    ///     println!("{:?}, begun {} times", record.state, record.attempt);
    ///     // The bank says that the money never came, so that the customer may try again.
    ///     if record.state == IdempotencyState::Failed {
    ///         operations.forget("charge", "order-17")?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// NOT_FOUND: the plugin was never loaded in this host, and no operation of it is known. INVALID_ARGUMENT: the tenant.
    /// UNAVAILABLE: the host has stopped, or the plugin was never loaded and the disk fails.
    pub fn idempotency(&self, plugin: &str, tenant: &str) -> Result<PluginIdempotency> {
        let core = self.inner.core;
        let tenant = core.tenants.named_by_application(tenant)?;
        let (number, id) = self.inner.plugins.with_operations(plugin)?;
        Ok(PluginIdempotency { core, number, id, tenant })
    }
}

impl PluginIdempotency {
    /// The plugin's id.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.id
    }

    /// The tenant; empty: the system scope.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.tenant.name()
    }

    /// What is known of an operation under a key; None if nothing is: it was never begun, has failed without being kept, or
    /// is forgotten. Starts nothing.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: `operation` (1 to 128 bytes) or `key` (1 to 512 bytes).
    pub fn get(&self, operation: &str, key: &str) -> Result<Option<IdempotencyRecord>> {
        Ok(self.core.idempotency.look(&self.address(operation, key)?)?.map(Into::into))
    }

    /// Removes what is known of an operation, so that it can be begun anew at once, and tells whether there was something.
    /// Whoever is at work on it is not stopped; what he ends with is refused. So if it is in progress it may happen twice.
    ///
    /// # Errors
    ///
    /// As `get`.
    pub fn forget(&self, operation: &str, key: &str) -> Result<bool> {
        self.core.idempotency.forget(&self.address(operation, key)?)
    }

    fn address<'a>(&'a self, operation: &'a str, key: &'a str) -> Result<Address<'a>> {
        Ok(Address {
            scope: DataScope::new(self.number, &self.id, self.tenant.number(), &self.core.tenants),
            operation: Namespace::parse("operation", operation.as_bytes())?,
            key: Key::parse("key", key.as_bytes())?,
        })
    }
}

impl fmt::Debug for PluginIdempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginIdempotency")
            .field("plugin", &self.id)
            .field("tenant", self.tenant.name())
            .finish_non_exhaustive()
    }
}

impl From<Known> for IdempotencyRecord {
    fn from(known: Known) -> Self {
        let span = |ms: i64| Duration::from_millis(ms.unsigned_abs());
        let begun = match known.begun_ms {
            ms @ 0.. => UNIX_EPOCH.checked_add(span(ms)),
            ms => UNIX_EPOCH.checked_sub(span(ms)),
        };
        Self {
            state: match known.state {
                // Looking starts nothing and compares nothing: the first and the last are not told to those who look.
                State::Started { .. } | State::InProgress | State::Mismatch => IdempotencyState::InProgress,
                State::Abandoned => IdempotencyState::Abandoned,
                State::Done => IdempotencyState::Done,
                State::Failed => IdempotencyState::Failed,
            },
            attempt: known.attempt,
            begun: begun.unwrap_or(UNIX_EPOCH),
            left: span(known.left_ms.max(0)),
            result: known.result,
        }
    }
}
