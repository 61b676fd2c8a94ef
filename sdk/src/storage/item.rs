//! What is told of stored items, and of all of them together.

use std::time::SystemTime;

use pintle_abi::{PINTLE_FOREVER, PintleStorageInfo, PintleStorageStats};
use serde::de::DeserializeOwned;

use crate::{Error, Lifetime, Result, Status, events::at};

/// A stored item with what the host knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageItem {
    /// Its key.
    pub key: String,
    /// What was written.
    pub value: Vec<u8>,
    /// Grows with every write, over all items, and is never used again. For [`Storage::set_if_version`](crate::Storage::set_if_version).
    pub version: u64,
    /// When it was created.
    pub created: SystemTime,
    /// When it was last written.
    pub updated: SystemTime,
    /// How long it is still there.
    pub lifetime: Lifetime,
}

impl StorageItem {
    pub(super) fn new(key: &str, value: Vec<u8>, info: &PintleStorageInfo) -> Self {
        Self {
            key: key.to_owned(),
            value,
            version: info.version,
            created: at(info.created_ms),
            updated: at(info.updated_ms),
            lifetime: Lifetime::read(info.ttl_ms),
        }
    }

    /// The value, read as JSON.
    ///
    /// # Errors
    /// [`WrongType`](Status::WrongType) if no `T` can be made of it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        read_json(&self.key, &self.value)
    }
}

/// What became of a write under a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "the item may not have been written"]
pub enum CheckedWrite {
    /// It was written, and has this version now.
    Written(u64),
    /// It was not written: this is the version that it has; `None` if it is not there.
    Conflict(Option<u64>),
}

/// What became of an addition under a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "nothing may have been added"]
pub enum CheckedSum {
    /// It was added.
    Counted {
        /// What the item is now.
        sum: i64,
        /// The version that it has now.
        version: u64,
    },
    /// Nothing was added: this is the version that the item has; `None` if it is not there.
    Conflict(Option<u64>),
}

/// What a plugin has in the storage for one tenant. From [`Storage::stats`](crate::Storage::stats).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageStats {
    /// How many items there are. One that has expired may count for a moment.
    pub items: u64,
    /// The bytes of their keys and values.
    pub bytes: u64,
    /// How many there may be; `None`: as many as there is room for.
    pub most_items: Option<u64>,
    /// How many bytes they may have; `None`: as many as there is room for.
    pub most_bytes: Option<u64>,
    /// The version that was given last, to an item of anybody. What changes from now on has a larger one, for
    /// [`Storage::watch_after`](crate::Storage::watch_after).
    pub version: u64,
}

impl StorageStats {
    pub(super) fn new(told: &PintleStorageStats) -> Self {
        let limit = |limit: u64| (limit != 0).then_some(limit);
        Self {
            items: told.items,
            bytes: told.bytes,
            most_items: limit(told.most_items),
            most_bytes: limit(told.most_bytes),
            version: told.version,
        }
    }
}

/// For the host to fill in.
pub(super) fn no_info() -> PintleStorageInfo {
    PintleStorageInfo {
        size: size_of::<PintleStorageInfo>() as u32,
        flags: 0,
        version: 0,
        created_ms: 0,
        updated_ms: 0,
        ttl_ms: PINTLE_FOREVER,
    }
}

/// For errors.
pub(super) fn name(key: &str) -> String {
    format!("stored item {key:?}")
}

pub(super) fn json(key: &str, value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::from(error).context(name(key)))
}

pub(super) fn read_json<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T> {
    serde_json::from_slice(value)
        .map_err(|error| Error::new(Status::WrongType, format!("{}: {error}", name(key))))
}

/// The contract says 0 for what is not there.
pub(super) fn there(version: u64) -> Option<u64> {
    (version != 0).then_some(version)
}
