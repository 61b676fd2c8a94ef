//! How an item is to be written, said step by step.

use std::time::Duration;

use pintle_abi::{
    PINTLE_STORAGE_IF_VERSION, PINTLE_STORAGE_KEEP_TTL, PINTLE_STORAGE_TTL, PintleStorageOptions,
};

use super::item::name;
use crate::{Error, Lifetime, Result, Status, context::milliseconds};

/// How a stored item is to be written: for how long, and under which condition. A lifetime alone, also a [`Duration`], is
/// made one by `.into()`.
///
/// ```
/// # use std::time::Duration;
/// # use pintle_plugin::{CheckedWrite, Context, Result, StorageOptions};
/// /// Who comes first has it for a minute.
/// fn claim(cx: &Context, berth: &str, ship: &str) -> Result<bool> {
///     let options = StorageOptions::new().lifetime(Duration::from_secs(60)).only_if_absent();
///     let written = cx.storage().set_with(&format!("claims/{berth}"), ship.as_bytes(), options)?;
///     Ok(matches!(written, CheckedWrite::Written(_)))
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct StorageOptions {
    lifetime: Kept,
    if_version: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Kept {
    #[default]
    NotSaid,
    For(Lifetime),
    AsItIs,
}

impl StorageOptions {
    /// For ever, and without a condition.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the item lives; otherwise for ever. A lifetime of nothing is [`OutOfRange`](Status::OutOfRange) where the
    /// item is written. In place of [`keep_lifetime`](StorageOptions::keep_lifetime), if that was said.
    #[must_use]
    pub fn lifetime(mut self, lifetime: impl Into<Lifetime>) -> Self {
        self.lifetime = Kept::For(lifetime.into());
        self
    }

    /// An item that is there keeps the lifetime that it has; one that is not lives for ever. In place of
    /// [`lifetime`](StorageOptions::lifetime), if that was said.
    #[must_use]
    pub fn keep_lifetime(mut self) -> Self {
        self.lifetime = Kept::AsItIs;
        self
    }

    /// Only if the item has this version, from [`StorageItem::version`](crate::StorageItem::version) or an earlier write;
    /// 0: only if it is not there.
    #[must_use]
    pub fn only_if_version(mut self, version: u64) -> Self {
        self.if_version = Some(version);
        self
    }

    /// Only if the item is not there. In place of [`only_if_version`](StorageOptions::only_if_version), if that was said.
    #[must_use]
    pub fn only_if_absent(self) -> Self {
        self.only_if_version(0)
    }

    /// In the contract a lifetime of 0 is an endless one, which is not what somebody means who computed 0.
    pub(super) fn raw(&self, key: &str) -> Result<PintleStorageOptions> {
        let mut raw = PintleStorageOptions {
            size: size_of::<PintleStorageOptions>() as u32,
            flags: 0,
            if_version: self.if_version.unwrap_or(0),
            ttl_ms: 0,
        };
        if self.if_version.is_some() {
            raw.flags |= PINTLE_STORAGE_IF_VERSION;
        }
        match self.lifetime {
            Kept::NotSaid => {}
            Kept::AsItIs => raw.flags |= PINTLE_STORAGE_KEEP_TTL,
            Kept::For(Lifetime::Endless) => raw.flags |= PINTLE_STORAGE_TTL,
            Kept::For(Lifetime::For(Duration::ZERO)) => {
                let text = format!("{}: the lifetime must be longer than nothing", name(key));
                return Err(Error::new(Status::OutOfRange, text));
            }
            Kept::For(Lifetime::For(span)) => {
                raw.flags |= PINTLE_STORAGE_TTL;
                raw.ttl_ms = milliseconds(span);
            }
        }
        Ok(raw)
    }
}

impl From<Lifetime> for StorageOptions {
    fn from(lifetime: Lifetime) -> Self {
        Self::new().lifetime(lifetime)
    }
}

impl From<Duration> for StorageOptions {
    fn from(lifetime: Duration) -> Self {
        Self::new().lifetime(lifetime)
    }
}
