//! Many items in one call.

use std::{ffi::c_void, mem};

use pintle_abi::{
    PINTLE_INTERNAL, PINTLE_NOT_FOUND, PINTLE_OK, PintleBytes, PintleCache, PintleCacheEntry,
    PintleCacheInfo, PintleCacheItem, PintleCacheItemHandler, PintleCacheOptions, PintleStatus, PintleStr,
};

use super::{Cache, CacheItem, SetOptions};
use crate::{
    Error, Result, Status,
    table::{function, reaches},
    wire,
};

/// As many items as the host takes in one call.
const MOST: usize = 1_024;

/// An item to be written by [`Cache::set_many`].
#[derive(Clone, Copy, Debug)]
pub struct CacheEntry<'a> {
    key: &'a str,
    value: &'a [u8],
    options: SetOptions<'a>,
}

impl<'a> CacheEntry<'a> {
    /// An item, and how it is to be kept: a lifetime, or more ([`SetOptions`]).
    #[must_use]
    pub fn new(key: &'a str, value: &'a [u8], options: impl Into<SetOptions<'a>>) -> Self {
        Self { key, value, options: options.into() }
    }
}

impl<'a> Cache<'a> {
    /// Reads many items, with one answer for each key, in their order: the item, `None` if it is not there, or why it could
    /// not be read. They are read one after the other: what others write meanwhile is seen in some of them. The host is
    /// called once for every 1,024 keys.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Result};
    /// fn known(cx: &Context, names: &[String]) -> Result<usize> {
    ///     let items = cx.cache("names").get_many(names)?;
    ///     Ok(items.iter().filter(|item| matches!(item, Ok(Some(_)))).count())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](Status::InvalidArgument) also if one of the keys is none.
    pub fn get_many<K: AsRef<str>>(&self, keys: &[K]) -> Result<Vec<Result<Option<CacheItem>>>> {
        let get_many = function!(self.cx.host(), cache: PintleCache, get_many)?;
        let mut answers = Vec::with_capacity(keys.len());
        for keys in keys.chunks(MOST) {
            let raw: Vec<_> = keys.iter().map(|key| PintleStr::new(key.as_ref())).collect();
            let mut answered = Answered { first: answers.len(), answers: &mut answers };
            answered.answers.extend(keys.iter().map(|_| Err(Error::bare(Status::Internal))));
            let user = (&raw mut answered).cast();
            let each = PintleCacheItemHandler(Some(answer));
            // SAFETY: everything is borrowed for the call, in which alone `answer` is called with `user`.
            let status = unsafe { get_many(self.cx.raw(), self.ns(), raw.as_ptr(), raw.len(), each, user) };
            self.cx.check(status)?;
        }
        Ok(answers)
    }

    /// Writes many items, each as [`set_with`](Cache::set_with) would, with one answer for each, in their order. One that
    /// fails does not keep the others from being written. The host is called once for every 1,024 items.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use pintle_plugin::{CacheEntry, Context, Result};
    /// fn fill(cx: &Context, flags: &[(String, Vec<u8>)]) -> Result<()> {
    ///     let day = Duration::from_secs(24 * 60 * 60);
    ///     let entries: Vec<_> = flags.iter().map(|(ship, flag)| CacheEntry::new(ship, flag, day)).collect();
    ///     cx.cache("flags").set_many(&entries)?.into_iter().collect() // the first failure, if there is one
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [every function](Cache), but for the keys: then none was written. Should a later call of the host fail as a
    /// whole, what was written before stays, and the others get its error as their answer.
    pub fn set_many(&self, entries: &[CacheEntry<'_>]) -> Result<Vec<Result<()>>> {
        let mut answers = Vec::with_capacity(entries.len());
        for entries in entries.chunks(MOST) {
            let before = answers.len();
            match self.write_some(entries, &mut answers) {
                Ok(()) => {}
                Err(error) if before == 0 => return Err(error),
                Err(error) => {
                    answers.truncate(before);
                    let same = || Err(Error::new(error.status(), error.message().to_owned()));
                    answers.extend(entries.iter().map(|_| same()));
                }
            }
        }
        Ok(answers)
    }

    fn write_some(&self, entries: &[CacheEntry<'_>], answers: &mut Vec<Result<()>>) -> Result<()> {
        let set_many = function!(self.cx.host(), cache: PintleCache, set_many)?;
        let tags: Vec<_> = entries.iter().map(|entry| entry.options.raw_tags()).collect();
        // What is no lifetime is not even asked for.
        let options: Vec<Result<PintleCacheOptions>> = entries
            .iter()
            .zip(&tags)
            .map(|(CacheEntry { key, options, .. }, tags)| {
                Ok(options.raw(options.ttl_ms(|| self.name(key))?, 0, tags))
            })
            .collect();
        let raw: Vec<_> = entries
            .iter()
            .zip(&options)
            .filter_map(|(entry, options)| {
                options.as_ref().ok().map(|options| PintleCacheEntry {
                    size: size_of::<PintleCacheEntry>() as u32,
                    reserved: 0,
                    key: PintleStr::new(entry.key),
                    value: PintleBytes::new(entry.value),
                    options,
                })
            })
            .collect();
        let mut statuses = vec![PINTLE_INTERNAL; raw.len()];
        // SAFETY: everything is borrowed for the call, and there is room for as many statuses as there are entries.
        let status =
            unsafe { set_many(self.cx.raw(), self.ns(), raw.as_ptr(), raw.len(), statuses.as_mut_ptr()) };
        self.cx.check(status)?;
        let mut statuses = statuses.into_iter();
        answers.extend(options.into_iter().zip(entries).map(|(options, entry)| {
            options?;
            let status = statuses.next().unwrap_or(PINTLE_INTERNAL);
            Status::from_code(status)
                .map_or(Ok(()), |status| Err(Error::bare(status).context(self.name(entry.key))))
        }));
        Ok(())
    }
}

/// Where the answers to the keys of one call go.
struct Answered<'v> {
    answers: &'v mut Vec<Result<Option<CacheItem>>>,
    first: usize,
}

unsafe extern "C" fn answer(user: *mut c_void, item: *const PintleCacheItem) -> PintleStatus {
    // SAFETY: only `get_many` makes calls with this function, and lends `user` for them.
    let answered = unsafe { &mut *user.cast::<Answered<'_>>() };
    // SAFETY: the contract: an item begins with its size, and is lent for this call.
    if !unsafe { reaches(item.cast(), size_of::<PintleCacheItem>()) } {
        return PINTLE_INTERNAL;
    }
    // SAFETY: it reaches as far as this.
    let item = unsafe { item.read() };
    // SAFETY: the contract: null, or what begins with its size.
    let known = unsafe { reaches(item.info.cast(), size_of::<PintleCacheInfo>()) };
    let answer = match item.status {
        PINTLE_OK if known => {
            // SAFETY: the value is lent for this call, and the info reaches as far as this.
            let (bytes, info) = unsafe { (wire::bytes(item.value).to_vec(), item.info.read()) };
            Ok(Some(CacheItem::new(bytes, &info)))
        }
        PINTLE_NOT_FOUND => Ok(None),
        status => Err(Error::bare(Status::from_code(status).unwrap_or(Status::Internal))),
    };
    if let Some(place) = answered.answers.get_mut(answered.first.saturating_add(item.index)) {
        drop(mem::replace(place, answer));
    }
    PINTLE_OK
}
