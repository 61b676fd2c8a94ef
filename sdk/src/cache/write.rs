//! How one item is written, counted, and made to live longer or shorter.

use std::{ptr, time::Duration};

use pintle_abi::{
    PINTLE_CONFLICT, PINTLE_EXPIRE_ALWAYS, PINTLE_OK, PintleBytes, PintleCache, PintleCacheLease,
    PintleCacheOptions, PintleStatus, PintleStr,
};
use serde::Serialize;

use super::{Cache, ExpireIf, Expiry, Lifetime, SetOptions, options};
use crate::{Result, context::milliseconds, table::function};

impl Cache<'_> {
    /// Writes an item with the host's default lifetime (1 hour, unless the operator says otherwise). Replaces value,
    /// lifetime, spans and tags of one that is there.
    ///
    /// # Errors
    /// [`TooLarge`](crate::Status::TooLarge).
    #[inline]
    pub fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        self.write(key, value, ptr::null())
    }

    /// [`set`](Cache::set) with a lifetime: a [`Duration`], or [`Lifetime::Endless`].
    ///
    /// # Errors
    /// [`TooLarge`](crate::Status::TooLarge); [`OutOfRange`](crate::Status::OutOfRange) (a lifetime of nothing, or one that overflows).
    #[inline]
    pub fn set_for(&self, key: &str, value: &[u8], lifetime: impl Into<Lifetime>) -> Result<()> {
        let options = self.lifetime(key, lifetime.into())?;
        self.write(key, value, &raw const options)
    }

    /// [`set`](Cache::set) with more to say: spans, tags, conditions ([`SetOptions`]).
    ///
    /// Where several may write at the same time, a version makes sure that nobody's write is lost:
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result, SetOptions, Status};
    /// fn join(cx: &Context, room: &str, name: &str) -> Result<()> {
    ///     loop {
    ///         let (mut names, version) = match cx.cache("rooms").get_item(room)? {
    ///             Some(item) => (item.json::<Vec<String>>()?, item.version),
    ///             None => (Vec::new(), 0), // 0: only if it is not there
    ///         };
    ///         names.push(name.to_owned());
    ///         match cx.cache("rooms").set_json_with(room, &names, SetOptions::new().only_if_version(version)) {
    ///             Err(error) if error.status() == Status::Conflict => {} // somebody else was first: once more
    ///             outcome => return outcome,
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`TooLarge`](crate::Status::TooLarge); [`OutOfRange`](crate::Status::OutOfRange) (a lifetime of nothing, or a lifetime or a span that
    /// overflows); [`Conflict`](crate::Status::Conflict) (a condition does not hold); [`InvalidArgument`](crate::Status::InvalidArgument) also
    /// for more than 16 tags, and what is no tag.
    pub fn set_with<'o>(&self, key: &str, value: &[u8], options: impl Into<SetOptions<'o>>) -> Result<()> {
        self.write_with(key, value, &options.into(), 0)
    }

    /// [`set`](Cache::set) of a value, as JSON.
    ///
    /// # Errors
    /// As `set`; [`InvalidArgument`](crate::Status::InvalidArgument) if it cannot be written as JSON.
    pub fn set_json(&self, key: &str, value: &impl Serialize) -> Result<()> {
        self.set(key, &self.json(key, value)?)
    }

    /// [`set_for`](Cache::set_for) of a value, as JSON.
    ///
    /// # Errors
    /// As `set_for`; [`InvalidArgument`](crate::Status::InvalidArgument) if it cannot be written as JSON.
    pub fn set_json_for(
        &self,
        key: &str,
        value: &impl Serialize,
        lifetime: impl Into<Lifetime>,
    ) -> Result<()> {
        self.set_for(key, &self.json(key, value)?, lifetime)
    }

    /// [`set_with`](Cache::set_with) of a value, as JSON.
    ///
    /// # Errors
    /// As `set_with`; [`InvalidArgument`](crate::Status::InvalidArgument) if it cannot be written as JSON.
    pub fn set_json_with<'o>(
        &self,
        key: &str,
        value: &impl Serialize,
        options: impl Into<SetOptions<'o>>,
    ) -> Result<()> {
        self.set_with(key, &self.json(key, value)?, options)
    }

    /// Writes that it is known that there is no such thing, for as long as the host's settings have it for that (10 seconds
    /// by default): [`fetch`](Cache::fetch) and [`get_or_load`](Cache::get_or_load) say so at once, and nobody looks for it
    /// meanwhile. Replaces an item that is there. For all other functions it is not there.
    ///
    /// # Errors
    /// Those of [every function](Cache).
    pub fn set_absent(&self, key: &str) -> Result<()> {
        self.set_absent_with(key, SetOptions::new())
    }

    /// [`set_absent`](Cache::set_absent) with a lifetime, tags, conditions.
    ///
    /// # Errors
    /// As [`set_with`](Cache::set_with); [`InvalidArgument`](crate::Status::InvalidArgument) also for spans: what does not exist cannot
    /// be stale.
    pub fn set_absent_with<'o>(&self, key: &str, options: impl Into<SetOptions<'o>>) -> Result<()> {
        self.write_absent(key, &options.into(), 0)
    }

    /// Removes an item, and tells whether it was there.
    ///
    /// # Errors
    /// Those of [every function](Cache).
    pub fn remove(&self, key: &str) -> Result<bool> {
        let remove = function!(self.cx.host(), cache: PintleCache, remove)?;
        let mut existed = 0;
        // SAFETY: namespace and key are borrowed, and `existed` is writable for the call.
        let status = unsafe { remove(self.cx.raw(), self.ns(), PintleStr::new(key), &raw mut existed) };
        self.cx.check(status)?;
        Ok(existed != 0)
    }

    /// Adds to an integer and gives the sum, in one step that no other thread can come between. What is not there counts
    /// from 0, with the host's default lifetime; bytes that are the digits of an integer become one.
    ///
    /// # Errors
    /// [`WrongType`](crate::Status::WrongType) (other bytes), [`OutOfRange`](crate::Status::OutOfRange) (the sum overflows). Nothing is
    /// changed then.
    #[inline]
    pub fn incr(&self, key: &str, delta: i64) -> Result<i64> {
        self.add(key, delta, ptr::null())
    }

    /// [`incr`](Cache::incr) with the lifetime that the integer gets if this creates it. One that is there keeps its own,
    /// so that counting does not keep a counter alive.
    ///
    /// # Errors
    /// As `incr`; [`OutOfRange`](crate::Status::OutOfRange) also for a lifetime of nothing, or one that overflows.
    #[inline]
    pub fn incr_for(&self, key: &str, delta: i64, lifetime: impl Into<Lifetime>) -> Result<i64> {
        let options = self.lifetime(key, lifetime.into())?;
        self.add(key, delta, &raw const options)
    }

    /// Changes how long an item lives, from now on, and tells whether it is there. No time at all removes it.
    ///
    /// # Errors
    /// [`OutOfRange`](crate::Status::OutOfRange) if the lifetime overflows.
    pub fn expire(&self, key: &str, lifetime: impl Into<Lifetime>) -> Result<bool> {
        let (status, existed) = self.change_expiry(key, lifetime.into(), PINTLE_EXPIRE_ALWAYS)?;
        self.cx.check(status)?;
        Ok(existed)
    }

    /// [`expire`](Cache::expire), under a condition.
    ///
    /// # Errors
    /// As `expire`; [`Unsupported`](crate::Status::Unsupported) on a host that does not know the condition.
    pub fn expire_if(&self, key: &str, lifetime: impl Into<Lifetime>, condition: ExpireIf) -> Result<Expiry> {
        match self.change_expiry(key, lifetime.into(), condition.code())? {
            (PINTLE_CONFLICT, true) => Ok(Expiry::Kept),
            (PINTLE_CONFLICT | PINTLE_OK, false) => Ok(Expiry::Missing),
            (status, _) => self.cx.check(status).map(|()| Expiry::Changed),
        }
    }

    #[inline]
    fn write(&self, key: &str, value: &[u8], options: *const PintleCacheOptions) -> Result<()> {
        let set = function!(self.cx.host(), cache: PintleCache, set)?;
        // SAFETY: everything is borrowed for the call; options may be null.
        let status =
            unsafe { set(self.cx.raw(), self.ns(), PintleStr::new(key), PintleBytes::new(value), options) };
        self.cx.check(status)
    }

    pub(super) fn write_with(
        &self,
        key: &str,
        value: &[u8],
        options: &SetOptions<'_>,
        lease: PintleCacheLease,
    ) -> Result<()> {
        let tags = options.raw_tags();
        let options = options.raw(options.ttl_ms(|| self.name(key))?, lease, &tags);
        self.write(key, value, &raw const options)
    }

    pub(super) fn write_absent(
        &self,
        key: &str,
        options: &SetOptions<'_>,
        lease: PintleCacheLease,
    ) -> Result<()> {
        let set_absent = function!(self.cx.host(), cache: PintleCache, set_absent)?;
        let tags = options.raw_tags();
        let options = options.raw(options.ttl_ms(|| self.name(key))?, lease, &tags);
        // SAFETY: everything is borrowed for the call.
        let status = unsafe { set_absent(self.cx.raw(), self.ns(), PintleStr::new(key), &raw const options) };
        self.cx.check(status)
    }

    #[inline]
    fn lifetime(&self, key: &str, lifetime: Lifetime) -> Result<PintleCacheOptions> {
        SetOptions::from(lifetime).ttl_ms(|| self.name(key)).map(options::lifetime)
    }

    #[inline]
    fn add(&self, key: &str, delta: i64, options: *const PintleCacheOptions) -> Result<i64> {
        let incr = function!(self.cx.host(), cache: PintleCache, incr)?;
        let mut sum = 0;
        // SAFETY: everything is borrowed, and `sum` is writable for the call; options may be null.
        let status =
            unsafe { incr(self.cx.raw(), self.ns(), PintleStr::new(key), delta, options, &raw mut sum) };
        self.cx.check(status)?;
        Ok(sum)
    }

    fn change_expiry(&self, key: &str, lifetime: Lifetime, condition: u32) -> Result<(PintleStatus, bool)> {
        let expire = function!(self.cx.host(), cache: PintleCache, expire)?;
        let ms = match lifetime {
            Lifetime::Endless => 0,
            Lifetime::For(Duration::ZERO) => -1,
            Lifetime::For(span) => milliseconds(span),
        };
        let mut existed = 0;
        // SAFETY: namespace and key are borrowed, and `existed` is writable for the call.
        let status =
            unsafe { expire(self.cx.raw(), self.ns(), PintleStr::new(key), ms, condition, &raw mut existed) };
        Ok((status, existed != 0))
    }
}
