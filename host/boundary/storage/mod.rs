//! The table `pintle_storage`: here is what its functions have in common. [`read`] gives items, [`write`] changes one of
//! them, [`batch`] does several steps at once, [`watch`] tells of changes.

mod batch;
mod read;
mod watch;
mod write;

use pintle_abi::*;

use super::{Call, enter, input};
use crate::{
    error::{Error, ErrorKind, Result},
    services::{
        keys::Key,
        storage::{Info, Lifetime, Storage},
    },
};

pub(super) static TABLE: PintleStorage = PintleStorage {
    size: size_of::<PintleStorage>() as u32,
    reserved: 0,
    get: Some(read::get),
    set: Some(write::set),
    remove: Some(write::remove),
    exists: Some(read::exists),
    keys: Some(read::keys),
    clear: Some(write::clear),
    get_into: Some(read::get_into),
    incr: Some(write::incr),
    expire: Some(write::expire),
    batch: Some(batch::batch),
    watch: Some(watch::watch),
    unwatch: Some(watch::unwatch),
    stats: Some(read::stats),
};

/// What a writing function takes of `pintle_storage_options`.
struct Takes {
    flags: u32,
    /// Who takes them, and their names.
    text: &'static str,
}

/// What all of them are for.
const SET: Takes = Takes {
    flags: PINTLE_STORAGE_IF_VERSION | PINTLE_STORAGE_TTL | PINTLE_STORAGE_KEEP_TTL | PINTLE_STORAGE_JSON,
    text: "a set takes all flags",
};
const INCR: Takes = Takes {
    flags: PINTLE_STORAGE_IF_VERSION | PINTLE_STORAGE_TTL,
    text: "an incr takes PINTLE_STORAGE_IF_VERSION and PINTLE_STORAGE_TTL",
};
const REMOVE: Takes =
    Takes { flags: PINTLE_STORAGE_IF_VERSION, text: "a remove takes PINTLE_STORAGE_IF_VERSION" };
const CHECK: Takes =
    Takes { flags: PINTLE_STORAGE_IF_VERSION, text: "a check takes PINTLE_STORAGE_IF_VERSION" };

/// What options ask for.
struct Asked {
    if_version: Option<u64>,
    lifetime: Lifetime,
    /// The value must be JSON.
    json: bool,
}

impl Asked {
    /// INVALID_ARGUMENT: flags that contradict each other, or that say nothing here. OUT_OF_RANGE: the lifetime.
    fn of(call: &Call, options: Option<&PintleStorageOptions>, takes: &'static Takes) -> Result<Self> {
        const BOTH: u32 = PINTLE_STORAGE_TTL | PINTLE_STORAGE_KEEP_TTL;
        let Some(options) = options else {
            return Ok(Self { if_version: None, lifetime: Lifetime::Endless, json: false });
        };
        let is_set = |flag| options.flags & flag != 0;
        if options.flags & BOTH == BOTH {
            let problem =
                "its flags have PINTLE_STORAGE_TTL and PINTLE_STORAGE_KEEP_TTL: only one of them is taken";
            return Err(Error::argument("options", problem));
        }
        let other = options.flags & !takes.flags;
        if other != 0 {
            return Err(Error::lazy(ErrorKind::InvalidArgument, move || {
                format!("argument `options`: {}, not the flags {other:#x}: leave them out", takes.text)
            }));
        }
        let ttl_ms = is_set(PINTLE_STORAGE_TTL).then_some(options.ttl_ms);
        Ok(Self {
            if_version: is_set(PINTLE_STORAGE_IF_VERSION).then_some(options.if_version),
            lifetime: match is_set(PINTLE_STORAGE_KEEP_TTL) {
                true => Lifetime::Keep,
                false => call.core().storage.lifetime(ttl_ms)?,
            },
            json: is_set(PINTLE_STORAGE_JSON),
        })
    }

    /// INVALID_ARGUMENT: the value is to be JSON and is not.
    fn check(&self, value: &[u8]) -> Result<()> {
        if self.json { check_json(value) } else { Ok(()) }
    }
}

/// That bytes are one JSON text and nothing else. Nothing is put together of it, and how deep it is costs no stack.
fn check_json(value: &[u8]) -> Result<()> {
    let refused = |problem: String| {
        Err(Error::argument("value", format!("is no JSON text, and the options say that it is: {problem}")))
    };
    let text = match str::from_utf8(value) {
        Ok(text) => text,
        Err(error) => {
            let before = &value[..error.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
            return refused(format!("not UTF-8 at line {line} column {column}"));
        }
    };
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(()),
        Err(error) => refused(error.to_string()),
    }
}

#[cold]
#[inline(never)]
fn missing(key: Key<'_>) -> Error {
    let key = key.as_str().to_owned();
    Error::lazy(ErrorKind::NotFound, move || format!("the storage has no item {key:?} in this scope"))
}

fn what_is_known(storage: &Storage, info: &Info) -> PintleStorageInfo {
    PintleStorageInfo {
        size: size_of::<PintleStorageInfo>() as u32,
        flags: 0,
        version: info.version,
        created_ms: info.created_ms,
        updated_ms: info.updated_ms,
        ttl_ms: storage.left_ms(info).unwrap_or(PINTLE_FOREVER),
    }
}
