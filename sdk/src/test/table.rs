//! What the test host hands over: its own functions, and the tables.

use std::{ffi::c_void, ptr, sync::Arc};

use pintle_abi::*;

use super::{
    cache, config, events, files, idempotency, input,
    inside::{Call, Entry, Kind, enter, host_of, remembered},
    log, scheduler, storage,
};
use crate::{Error, Result, Status, wire};

/// A call of the plugin waits so long if it does not say how long.
pub(super) const PATIENCE_MS: i64 = 5_000;
/// As much as the host keeps of the text of an error.
const LONGEST_ERROR: usize = 4_096;

/// Not there: its size says so.
#[cfg(not(feature = "test-sql"))]
static DATABASE: PintleDatabase = PintleDatabase {
    size: 4,
    reserved: 0,
    execute: None,
    query: None,
    query_one: None,
    script: None,
    begin: None,
    commit: None,
    rollback: None,
    migrate: None,
    create_table: None,
    stats: None,
};

#[cfg(feature = "test-sql")]
use super::database::TABLE as DATABASE;

pub(super) static TABLE: PintleHost = PintleHost {
    size: size_of::<PintleHost>() as u32,
    abi_minor: PINTLE_ABI_MINOR,
    last_error: Some(last_error),
    set_error: Some(set_error),
    hold: Some(hold),
    release: Some(release),
    scope: Some(scope),
    remaining: Some(remaining),
    call: Some(call),
    service: Some(service),
    log: &raw const log::TABLE,
    config: &raw const config::TABLE,
    cache: &raw const cache::TABLE,
    storage: &raw const storage::TABLE,
    database: &raw const DATABASE,
    events: &raw const events::TABLE,
    scheduler: &raw const scheduler::TABLE,
    idempotency: &raw const idempotency::TABLE,
    files: &raw const files::TABLE,
};

unsafe extern "C" fn last_error(ctx: PintleCtx, out: PintleSink) -> PintleStatus {
    let Some(text) = remembered(ctx) else { return PINTLE_NOT_FOUND };
    // SAFETY: the contract: the plugin lends its sink for this call.
    match unsafe { input::give("out", out, text.as_bytes()) } {
        Ok(()) => PINTLE_OK,
        Err(error) => error.status().code(),
    }
}

unsafe extern "C" fn set_error(ctx: PintleCtx, message: PintleStr) -> PintleStatus {
    // SAFETY: the contract: inputs are readable and outputs writable for this call. So in every function of this table.
    enter(ctx, "set_error", |call| unsafe {
        let bytes =
            input::bytes("message", PintleBytes { ptr: message.ptr.cast(), len: message.len }, usize::MAX)?;
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST_ERROR)]).into_owned();
        match call.state().contexts.get_mut(&ctx) {
            Some(entry) if entry.running => entry.error = Some(text),
            _ => return Err(Error::new(Status::NotFound, "no function runs under this context")),
        }
        Ok(())
    })
}

unsafe extern "C" fn hold(ctx: PintleCtx, held: *mut PintleCtx) -> PintleStatus {
    // SAFETY: as in `set_error`.
    enter(ctx, "hold", |call| unsafe {
        let held = input::output("held", held)?;
        call.must_not_stop()?;
        call.state().must_have_room(call.entry.generation, None)?;
        let entry =
            Entry { kind: Kind::Held, deadline_ms: None, running: false, error: None, ..call.entry.clone() };
        *held = call.inside.open(entry);
        Ok(())
    })
}

unsafe extern "C" fn release(held: PintleCtx) -> PintleStatus {
    enter(held, "release", |call| {
        if call.entry.kind != Kind::Held {
            return Err(input::wrong("held", "the context was not held"));
        }
        call.inside.close(held);
        Ok(())
    })
}

unsafe extern "C" fn scope(ctx: PintleCtx, out: *mut PintleScopeInfo, tenant: PintleSink) -> PintleStatus {
    // SAFETY: as in `set_error`.
    enter(ctx, "scope", |call| unsafe {
        if out.is_null() || out.cast::<u32>().read() as usize != size_of::<PintleScopeInfo>() {
            return Err(input::wrong("out", "null, or its size is another"));
        }
        if tenant.write.is_some() {
            input::give("tenant", tenant, call.entry.tenant.as_deref().unwrap_or("").as_bytes())?;
        }
        let mut flags = 0;
        if call.entry.tenant.is_none() {
            flags |= PINTLE_SCOPE_SYSTEM;
        }
        if call.entry.kind == Kind::Call {
            flags |= PINTLE_SCOPE_CALL;
        }
        let size = size_of::<PintleScopeInfo>() as u32;
        out.write(PintleScopeInfo { size, flags, generation: call.entry.generation });
        Ok(())
    })
}

unsafe extern "C" fn remaining(ctx: PintleCtx, ms: *mut i64) -> PintleStatus {
    // SAFETY: as in `set_error`.
    enter(ctx, "remaining", |call| unsafe {
        *input::output("ms", ms)? = left_ms(call);
        Ok(())
    })
}

/// STOPPING, CANCELLED: the call must not wait for others.
pub(super) fn must_wait(call: &Call) -> Result<()> {
    call.must_not_stop()?;
    if left_ms(call) == 0 {
        return Err(Error::new(Status::Cancelled, "the caller of this function has given up"));
    }
    Ok(())
}

fn left_ms(call: &Call) -> i64 {
    call.entry.deadline_ms.map_or(PINTLE_FOREVER, |at| (at - call.state().now_ms).max(0))
}

unsafe extern "C" fn call(
    ctx: PintleCtx,
    service: PintleStr,
    major: u32,
    method: PintleStr,
    request: PintleBytes,
    timeout_ms: i64,
    reply: PintleSink,
) -> PintleStatus {
    // SAFETY: as in `set_error`.
    enter(ctx, "call", |call| unsafe {
        let (service, method) = (input::text("service", service, 256)?, input::text("method", method, 256)?);
        let request = input::bytes("request", request, input::MEBIBYTE)?;
        input::timeout(timeout_ms)?;
        call.must_grant(|manifest| manifest.must_grant_call(service))?;
        must_wait(call)?;
        input::give("reply", reply, &ask(call, service, major, method, request)?)
    })
}

fn ask(call: &Call, service: &str, major: u32, method: &str, request: &[u8]) -> Result<Vec<u8>> {
    let own = call.manifest.provides.get(service).filter(|own| own.major == major);
    // Before it is loaded nobody knows that it provides anything.
    if let (Some(own), Some(loaded)) = (own, call.state().loaded) {
        let id = &call.manifest.id;
        return Err(if !loaded.enabled {
            Error::new(Status::Unavailable, format!("plugin \"{id}\" is not enabled"))
        } else if !own.methods.iter().any(|known| known == method) {
            Error::new(Status::Unsupported, format!("service `{service}` has no method `{method}`"))
        } else {
            let text = format!("the plugin provides `{service}` itself: only its own lane could answer");
            Error::new(Status::Reentrant, text)
        });
    }
    let provider = call.state().providers.get(&(service.to_owned(), major)).cloned();
    let provider = provider.ok_or_else(|| {
        let text = format!("nobody provides the service `{service}` in major version {major}");
        Error::new(Status::NotFound, text)
    })?;
    call.inside.play(|| provider(method, request))
}

unsafe extern "C" fn service(
    ctx: PintleCtx,
    id: PintleStr,
    major: u32,
    min_size: u32,
    table: *mut *const c_void,
    itself: *mut *mut c_void,
) -> PintleStatus {
    // SAFETY: as in `set_error`; the tables are static and begin with their size.
    enter(ctx, "service", |_| unsafe {
        let out = input::output("table", table)?;
        let id = input::text("id", id, 256)?;
        let found: *const u32 = match id {
            "pintle.log" => TABLE.log.cast(),
            "pintle.config" => TABLE.config.cast(),
            "pintle.cache" => TABLE.cache.cast(),
            "pintle.storage" => TABLE.storage.cast(),
            "pintle.database" => TABLE.database.cast(),
            "pintle.events" => TABLE.events.cast(),
            "pintle.scheduler" => TABLE.scheduler.cast(),
            "pintle.idempotency" => TABLE.idempotency.cast(),
            "pintle.files" => TABLE.files.cast(),
            _ => ptr::null(),
        };
        if found.is_null() || major != 1 || *found < min_size {
            return Err(Error::new(
                Status::NotFound,
                format!("there is no service \"{id}\" {major} for you"),
            ));
        }
        *out = found.cast();
        if let Some(itself) = itself.as_mut() {
            *itself = ptr::null_mut();
        }
        Ok(())
    })
}

/// A sink into the reply of this handle. What it carries is a number, which is looked up: written too late, it is stale.
pub(super) fn reply_sink(handle: u64) -> PintleSink {
    PintleSink { data: ptr::without_provenance_mut(handle as usize), write: Some(write_reply) }
}

unsafe extern "C" fn write_reply(data: *mut c_void, piece: PintleBytes) -> PintleStatus {
    let handle = data.addr() as u64;
    let Some(inside) = host_of(handle) else { return PINTLE_STALE_HANDLE };
    let mut state = inside.state();
    let Some(reply) = state.replies.get_mut(&handle) else { return PINTLE_STALE_HANDLE };
    // SAFETY: the contract: the plugin lends the piece for this call.
    let piece = unsafe { wire::bytes(piece) };
    if reply.overflowed || reply.bytes.len() + piece.len() > reply.limit {
        reply.overflowed = true;
        return PINTLE_TOO_LARGE;
    }
    reply.bytes.extend_from_slice(piece);
    PINTLE_OK
}

/// A tenant by its name.
pub(super) fn tenant(name: &str) -> Arc<str> {
    assert!(
        (1..=128).contains(&name.len()) && !name.contains('\0'),
        "a tenant's name has 1 to 128 bytes and no NUL: {name:?}"
    );
    name.into()
}
