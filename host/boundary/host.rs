//! The table `pintle_host`.

use std::ffi::c_void;

use parking_lot::Mutex;
use pintle_abi::*;

use super::{
    Call, Message, cache, config, database, enter, enter_from_anywhere, events, files, idempotency, input,
    log, scheduler,
    sink::{LARGEST_REPLY, Sink},
    stale, status_of, storage, thread,
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Method, Service, Slot, Tenant},
    lanes::{Caller, Entry},
};

/// How much of a plugin's error text is kept.
const LONGEST_ERROR: usize = 4096;

/// What every plugin of every host is handed.
pub(crate) static TABLE: PintleHost = PintleHost {
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
    log: &log::TABLE,
    config: &config::TABLE,
    cache: &cache::TABLE,
    storage: &storage::TABLE,
    database: &database::TABLE,
    events: &events::TABLE,
    scheduler: &scheduler::TABLE,
    idempotency: &idempotency::TABLE,
    files: &files::TABLE,
};

unsafe extern "C" fn last_error(ctx: PintleCtx, out: PintleSink) -> PintleStatus {
    let answer = || {
        let out = Sink::new("out", out)?;
        let error = thread::last_failure(ctx)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "this thread has no failure with this context"))?;
        let text = error.to_string();
        // SAFETY: the contract lets `write` be called until this function returns.
        unsafe { out.write(text.as_bytes()) }
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(answer)) {
        Ok(Ok(())) => PINTLE_OK,
        Ok(Err(error)) => status_of(error.kind()),
        Err(_) => PINTLE_PANIC,
    }
}

unsafe extern "C" fn set_error(ctx: PintleCtx, message: PintleStr) -> PintleStatus {
    enter_from_anywhere(ctx, Method::SetError, move |call| {
        // SAFETY: the contract says that the text is readable for this call.
        let message = unsafe { input::raw("message", message.ptr.cast(), message.len) }?;
        let text = String::from_utf8_lossy(&message[..message.len().min(LONGEST_ERROR)]);
        // One line wherever it is shown.
        let text = text.replace(char::is_control, " ");
        let worker = call.scope.worker.checked_sub(1).and_then(|number| call.core().pool.worker(number));
        if worker.is_some_and(|worker| worker.write_error(ctx, text)) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::NotFound,
            "no function of the plugin runs under this context: pass the one that the running function was given",
        ))
    })
}

/// A held context, as the register keeps it.
struct Held {
    slot: Mutex<Option<Slot>>,
    /// Keeps the tenant's number valid.
    _tenant: Tenant,
}

impl Entry for Held {
    fn kind(&self) -> &'static str {
        "held context"
    }

    fn end(&self) {
        self.slot.lock().take();
    }
}

unsafe extern "C" fn hold(ctx: PintleCtx, held: *mut PintleCtx) -> PintleStatus {
    enter(ctx, Method::Hold, move |call| {
        let out = input::output("held", held)?;
        let register = call.register()?;
        let mut slot = Slot::take_held().ok_or_else(|| {
            Error::new(
                ErrorKind::Quota,
                "the process has 65,536 contexts, all that there can be: release some",
            )
        })?;
        let scope = crate::identity::Scope { call: false, worker: 0, deadline: i64::MAX, ..call.scope };
        let held = slot.open(&scope);
        let entry = Held { slot: Mutex::new(Some(slot)), _tenant: call.tenant()? };
        register.add_as(held, std::sync::Arc::new(entry))?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { out.write(held) };
        Ok(())
    })
}

unsafe extern "C" fn release(held: PintleCtx) -> PintleStatus {
    enter(held, Method::Release, move |call| {
        let register = call.register()?;
        match register.end::<Held>(held) {
            Some(_) => {
                database::end_of(&register, held);
                Ok(())
            }
            None => Err(Error::argument(
                "held",
                "this context was given to a function, not held: it ends by itself",
            )),
        }
    })
}

unsafe extern "C" fn scope(ctx: PintleCtx, out: *mut PintleScopeInfo, tenant: PintleSink) -> PintleStatus {
    enter(ctx, Method::Scope, move |call| {
        // Checked before anything is written, so that a failure changes nothing.
        // SAFETY: the contract says that `out` leads to as many bytes as its first four say.
        let out = unsafe { input::required_info("out", out) }?;
        if tenant.write.is_some() {
            let sink = Sink::new("tenant", tenant)?;
            // SAFETY: the contract lets `write` be called until this function returns.
            unsafe { sink.write(call.tenant()?.name().as_bytes()) }?;
        }
        let system = if call.scope.tenant == Tenant::SYSTEM { PINTLE_SCOPE_SYSTEM } else { 0 };
        let flags = system | if call.scope.call { PINTLE_SCOPE_CALL } else { 0 };
        let size = size_of::<PintleScopeInfo>() as u32;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { out.write(&PintleScopeInfo { size, flags, generation: call.scope.generation }) };
        Ok(())
    })
}

unsafe extern "C" fn remaining(ctx: PintleCtx, ms: *mut i64) -> PintleStatus {
    enter(ctx, Method::Remaining, move |call| {
        let out = input::output("ms", ms)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { out.write(call.remaining()) };
        Ok(())
    })
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
    enter(ctx, Method::Call, move |call| {
        let reply = Sink::new("reply", reply)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let service = unsafe { input::text("service", service, 256) }?;
        // SAFETY: as above.
        let method = unsafe { input::text("method", method, 256) }?;
        // SAFETY: as above.
        let data = unsafe { input::bytes("request", request, LARGEST_REPLY) }?;
        input::timeout(timeout_ms)?;
        let answer = send(call, service, major, method, data, timeout_ms)?;
        call.count_bytes(Service::Call, data.len() + answer.len());
        // SAFETY: the contract lets `write` be called until this function returns.
        unsafe { reply.write(&answer) }
    })
}

/// The part of `call` that knows no pointer.
fn send(
    call: &Call,
    service: &str,
    major: u32,
    method: &str,
    data: &[u8],
    timeout_ms: i64,
) -> Result<Vec<u8>> {
    if !call.grants().permits().call.iter().any(|granted| granted == service) {
        let service = service.to_owned();
        let denied = Error::lazy(ErrorKind::Denied, move || {
            format!(
                "it may not call \"{service}\": add it to \"services\": {{ \"call\": [\"{service}\"] }} in its manifest, or, if it is there, to the host's settings"
            )
        });
        return Err(denied.of(call.record.id.clone()));
    }
    let deadline = call.may_wait(timeout_ms)?;
    let router = call.core().router.get().ok_or_else(stale)?;
    router.call(Message {
        caller: &call.record.id,
        from: Some(Caller { generation: call.scope.generation, seat: call.scope.seat }),
        tenant: call.tenant()?,
        depth: call.scope.depth,
        service,
        major,
        method,
        data: data.to_vec(),
        deadline,
    })
}

unsafe extern "C" fn service(
    ctx: PintleCtx,
    id: PintleStr,
    major: u32,
    min_size: u32,
    table: *mut *const c_void,
    itself: *mut *mut c_void,
) -> PintleStatus {
    enter(ctx, Method::Service, move |_| {
        let table = input::output("table", table)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let id = unsafe { input::text("id", id, 256) }?;
        let found = built_in(id).filter(|(_, size)| major == 1 && *size >= min_size);
        let (found, _) = found.ok_or_else(|| {
            let id = id.to_owned();
            Error::lazy(ErrorKind::NotFound, move || {
                format!("this host has no service \"{id}\" of major {major} that reaches {min_size} bytes")
            })
        })?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { table.write(found) };
        if let Ok(itself) = input::output("itself", itself) {
            // SAFETY: as above.
            unsafe { itself.write(std::ptr::null_mut()) };
        }
        Ok(())
    })
}

/// A built-in service's table and its size.
fn built_in(id: &str) -> Option<(*const c_void, u32)> {
    macro_rules! tables {
        ($($name:literal => $table:ident),* $(,)?) => {
            match id {
                // SAFETY: the members of `TABLE` lead to static tables.
                $($name => Some((TABLE.$table.cast(), unsafe { (*TABLE.$table).size })),)*
                _ => None,
            }
        };
    }
    tables! {
        "pintle.log" => log,
        "pintle.config" => config,
        "pintle.cache" => cache,
        "pintle.storage" => storage,
        "pintle.database" => database,
        "pintle.events" => events,
        "pintle.scheduler" => scheduler,
        "pintle.idempotency" => idempotency,
        "pintle.files" => files,
    }
}
