//! How one item is written, counted, made to live longer or shorter, and removed.

use std::{ptr, time::Duration};

use pintle_abi::{
    PINTLE_CONFLICT, PINTLE_STORAGE_JSON, PintleBytes, PintleStatus, PintleStorage, PintleStorageOptions,
    PintleStr,
};
use serde::Serialize;

use super::{
    CheckedSum, CheckedWrite, Storage, StorageOptions,
    item::{json, there},
};
use crate::{Lifetime, Result, context::milliseconds, table::function};

impl Storage<'_> {
    /// Writes an item for ever, and gives its new version.
    ///
    /// # Errors
    /// [`TooLarge`](crate::Status::TooLarge).
    pub fn set(&self, key: &str, value: &[u8]) -> Result<u64> {
        self.write_always(key, value, ptr::null())
    }

    /// [`set`](Storage::set) with a lifetime: a [`Duration`], or [`Lifetime::Endless`].
    ///
    /// # Errors
    /// As `set`; [`OutOfRange`](crate::Status::OutOfRange) (a lifetime of nothing, or one that overflows).
    pub fn set_for(&self, key: &str, value: &[u8], lifetime: impl Into<Lifetime>) -> Result<u64> {
        let options = StorageOptions::from(lifetime.into()).raw(key)?;
        self.write_always(key, value, &raw const options)
    }

    /// [`set`](Storage::set) with more to say: a lifetime, a condition ([`StorageOptions`]).
    ///
    /// # Errors
    /// As [`set_for`](Storage::set_for). That the condition does not hold is no error.
    pub fn set_with(
        &self,
        key: &str,
        value: &[u8],
        options: impl Into<StorageOptions>,
    ) -> Result<CheckedWrite> {
        self.write_checked(key, value, &options.into().raw(key)?)
    }

    /// [`set`](Storage::set) of a value, as JSON.
    ///
    /// # Errors
    /// As `set`; [`InvalidArgument`](crate::Status::InvalidArgument) if it cannot be written as JSON.
    pub fn set_json(&self, key: &str, value: &impl Serialize) -> Result<u64> {
        self.set(key, &json(key, value)?)
    }

    /// [`set_for`](Storage::set_for) of a value, as JSON.
    ///
    /// # Errors
    /// As `set_for`; [`InvalidArgument`](crate::Status::InvalidArgument) if it cannot be written as JSON.
    pub fn set_json_for(
        &self,
        key: &str,
        value: &impl Serialize,
        lifetime: impl Into<Lifetime>,
    ) -> Result<u64> {
        self.set_for(key, &json(key, value)?, lifetime)
    }

    /// [`set_with`](Storage::set_with) of a value, as JSON.
    ///
    /// # Errors
    /// As `set_with`; [`InvalidArgument`](crate::Status::InvalidArgument) if it cannot be written as JSON.
    pub fn set_json_with(
        &self,
        key: &str,
        value: &impl Serialize,
        options: impl Into<StorageOptions>,
    ) -> Result<CheckedWrite> {
        self.set_with(key, &json(key, value)?, options)
    }

    /// [`set`](Storage::set) of a text that says it is JSON and comes from elsewhere: the host looks whether it is, before
    /// it writes it as it stands.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Event, Result};
    /// fn on_plan(cx: &Context, event: &Event<'_>) -> Result<()> {
    ///     // What is no JSON is refused here, and not found by whoever reads it next year.
    ///     cx.storage().set_json_text("plan", event.text()?)?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As `set`; [`InvalidArgument`](crate::Status::InvalidArgument), with the place, if it is not one JSON text.
    pub fn set_json_text(&self, key: &str, text: &str) -> Result<u64> {
        let mut options = StorageOptions::new().raw(key)?;
        options.flags |= PINTLE_STORAGE_JSON;
        self.write_always(key, text.as_bytes(), &raw const options)
    }

    /// Writes an item only if it has this version, which [`get_item`](Storage::get_item) or an earlier write told; 0: only
    /// if it is not there.
    ///
    /// # Errors
    /// As [`set`](Storage::set). Another version is no error.
    pub fn set_if_version(&self, key: &str, value: &[u8], version: u64) -> Result<CheckedWrite> {
        self.set_with(key, value, StorageOptions::new().only_if_version(version))
    }

    /// [`set_if_version`](Storage::set_if_version) of a value, as JSON.
    ///
    /// # Errors
    /// As `set_if_version`; [`InvalidArgument`](crate::Status::InvalidArgument) if it cannot be written as JSON.
    pub fn set_json_if_version(
        &self,
        key: &str,
        value: &impl Serialize,
        version: u64,
    ) -> Result<CheckedWrite> {
        self.set_if_version(key, &json(key, value)?, version)
    }

    /// Writes an item only if it is not there yet.
    ///
    /// # Errors
    /// As [`set`](Storage::set). That it is there is no error.
    pub fn create(&self, key: &str, value: &[u8]) -> Result<CheckedWrite> {
        self.set_if_version(key, value, 0)
    }

    /// [`create`](Storage::create) of a value, as JSON.
    ///
    /// # Errors
    /// As `create`; [`InvalidArgument`](crate::Status::InvalidArgument) if it cannot be written as JSON.
    pub fn create_json(&self, key: &str, value: &impl Serialize) -> Result<CheckedWrite> {
        self.set_json_if_version(key, value, 0)
    }

    /// Adds to a number and gives the sum, in one step that no other write can come between. The item is the decimal text of
    /// a 64-bit integer ([`get_integer`](Storage::get_integer)); what is not there counts from 0.
    ///
    /// # Errors
    /// [`WrongType`](crate::Status::WrongType) (the item is another text), [`OutOfRange`](crate::Status::OutOfRange) (the
    /// sum overflows). Nothing is changed then.
    pub fn incr(&self, key: &str, delta: i64) -> Result<i64> {
        self.add_always(key, delta, ptr::null())
    }

    /// [`incr`](Storage::incr) with the lifetime that the number gets if this creates it. One that is there keeps its own,
    /// so that counting does not keep a counter alive.
    ///
    /// # Errors
    /// As `incr`; [`OutOfRange`](crate::Status::OutOfRange) also for a lifetime of nothing, or one that overflows.
    pub fn incr_for(&self, key: &str, delta: i64, lifetime: impl Into<Lifetime>) -> Result<i64> {
        let options = StorageOptions::from(lifetime.into()).raw(key)?;
        self.add_always(key, delta, &raw const options)
    }

    /// [`incr_for`](Storage::incr_for) under a condition.
    ///
    /// # Errors
    /// As `incr_for`. That the condition does not hold is no error.
    pub fn incr_with(&self, key: &str, delta: i64, options: impl Into<StorageOptions>) -> Result<CheckedSum> {
        let options = options.into().raw(key)?;
        match self.add(key, delta, &raw const options)? {
            (PINTLE_CONFLICT, _, current) => Ok(CheckedSum::Conflict(there(current))),
            (status, sum, version) => self.cx.check(status).map(|()| CheckedSum::Counted { sum, version }),
        }
    }

    /// Changes how long an item lives, from now on, and tells whether it is there. No time at all removes it. It is a write:
    /// the item gets another version.
    ///
    /// # Errors
    /// [`OutOfRange`](crate::Status::OutOfRange) if the lifetime overflows.
    pub fn expire(&self, key: &str, lifetime: impl Into<Lifetime>) -> Result<bool> {
        let expire = function!(self.cx.host(), storage: PintleStorage, expire)?;
        let ms = match lifetime.into() {
            Lifetime::Endless => 0,
            Lifetime::For(Duration::ZERO) => -1,
            Lifetime::For(span) => milliseconds(span),
        };
        let mut existed = 0;
        // SAFETY: `key` is borrowed and `existed` writable for the call.
        self.cx.check(unsafe { expire(self.cx.raw(), PintleStr::new(key), ms, &raw mut existed) })?;
        Ok(existed != 0)
    }

    /// Removes an item, and tells whether it was there.
    ///
    /// # Errors
    /// Those of [every function](Storage).
    pub fn remove(&self, key: &str) -> Result<bool> {
        let remove = function!(self.cx.host(), storage: PintleStorage, remove)?;
        let mut existed = 0;
        // SAFETY: `key` is borrowed and `existed` writable for the call.
        self.cx.check(unsafe { remove(self.cx.raw(), PintleStr::new(key), &raw mut existed) })?;
        Ok(existed != 0)
    }

    /// Removes every item of the plugin for the tenant of the context (in the system scope: those of the system scope, and
    /// no tenant's), and tells how many there were.
    ///
    /// # Errors
    /// Those of [every function](Storage).
    pub fn clear(&self) -> Result<u64> {
        let clear = function!(self.cx.host(), storage: PintleStorage, clear)?;
        let mut removed = 0;
        // SAFETY: `removed` is writable for the call.
        self.cx.check(unsafe { clear(self.cx.raw(), &raw mut removed) })?;
        Ok(removed)
    }

    fn write_always(&self, key: &str, value: &[u8], options: *const PintleStorageOptions) -> Result<u64> {
        let (status, version) = self.write(key, value, options)?;
        self.cx.check(status)?;
        Ok(version)
    }

    fn write_checked(&self, key: &str, value: &[u8], options: &PintleStorageOptions) -> Result<CheckedWrite> {
        match self.write(key, value, options)? {
            (PINTLE_CONFLICT, current) => Ok(CheckedWrite::Conflict(there(current))),
            (status, version) => self.cx.check(status).map(|()| CheckedWrite::Written(version)),
        }
    }

    /// The status, and the version that the host told.
    fn write(
        &self,
        key: &str,
        value: &[u8],
        options: *const PintleStorageOptions,
    ) -> Result<(PintleStatus, u64)> {
        let set = function!(self.cx.host(), storage: PintleStorage, set)?;
        let mut version = 0;
        // SAFETY: everything is borrowed, and `version` is writable for the call; options may be null.
        let status = unsafe {
            set(self.cx.raw(), PintleStr::new(key), PintleBytes::new(value), options, &raw mut version)
        };
        Ok((status, version))
    }

    fn add_always(&self, key: &str, delta: i64, options: *const PintleStorageOptions) -> Result<i64> {
        let (status, sum, _) = self.add(key, delta, options)?;
        self.cx.check(status)?;
        Ok(sum)
    }

    /// The status, and the sum and the version that the host told.
    fn add(
        &self,
        key: &str,
        delta: i64,
        options: *const PintleStorageOptions,
    ) -> Result<(PintleStatus, i64, u64)> {
        let incr = function!(self.cx.host(), storage: PintleStorage, incr)?;
        let (mut sum, mut version) = (0, 0);
        // SAFETY: everything is borrowed, and `sum` and `version` are writable for the call; options may be null.
        let status = unsafe {
            incr(self.cx.raw(), PintleStr::new(key), delta, options, &raw mut sum, &raw mut version)
        };
        Ok((status, sum, version))
    }
}
