//! A host in a few tables: enough of one to drive a plugin through its entry, and a record of what the plugin asked.
//!
//! The functions of the tables get nothing but a context, so the low half of a context names the fake host; tests run
//! at the same time and each has its own.

#![allow(
    clippy::missing_safety_doc,
    clippy::undocumented_unsafe_blocks,
    reason = "the whole file plays the host"
)]

use std::{
    collections::HashMap,
    ffi::c_void,
    ptr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use pintle_abi::*;
use serde_json::{Value, json};

static NEXT: AtomicU64 = AtomicU64::new(1);
static FAKES: OnceLock<Mutex<HashMap<u64, Arc<Fake>>>> = OnceLock::new();

/// What a plugin registered.
#[derive(Clone, Copy)]
pub(crate) struct Registration {
    pub(crate) event: Option<PintleEventHandler>,
    pub(crate) job: Option<PintleJobHandler>,
    pub(crate) user: usize,
    pub(crate) release: PintleRelease,
}

#[derive(Default)]
pub(crate) struct Seen {
    /// `function arguments…`, in order.
    pub(crate) calls: Vec<String>,
    /// The last `set_error` of each context.
    pub(crate) errors: HashMap<u64, String>,
    pub(crate) registrations: HashMap<u64, Registration>,
    pub(crate) config: Value,
    /// The next call of this function fails so.
    pub(crate) refuse: HashMap<&'static str, (PintleStatus, &'static str)>,
    last_error: Option<String>,
    next: u64,
}

pub(crate) struct Fake {
    pub(crate) ctx: u64,
    pub(crate) seen: Mutex<Seen>,
    host: PintleHost,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(|_| {})
    }

    /// With a host table that `change` may spoil.
    pub(crate) fn with(change: impl FnOnce(&mut PintleHost)) -> Arc<Self> {
        let ctx = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut host = HOST;
        change(&mut host);
        let fake = Arc::new(Self { ctx, seen: Mutex::default(), host });
        FAKES.get_or_init(Mutex::default).lock().unwrap().insert(ctx, Arc::clone(&fake));
        fake
    }

    pub(crate) fn host(&self) -> *const PintleHost {
        &raw const self.host
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.seen.lock().unwrap().calls.clone()
    }

    /// What the plugin asked since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap().calls)
    }

    pub(crate) fn error(&self) -> Option<String> {
        self.seen.lock().unwrap().errors.get(&self.ctx).cloned()
    }

    pub(crate) fn configured(self: Arc<Self>, config: Value) -> Arc<Self> {
        self.seen.lock().unwrap().config = config;
        self
    }

    pub(crate) fn refuse(&self, function: &'static str, status: PintleStatus, text: &'static str) {
        self.seen.lock().unwrap().refuse.insert(function, (status, text));
    }

    pub(crate) fn registration(&self, handle: u64) -> Registration {
        self.seen.lock().unwrap().registrations[&handle]
    }

    /// Delivers an event to the registration, under a context of its own.
    pub(crate) fn deliver(
        &self,
        handle: u64,
        topic: &str,
        data: &[u8],
    ) -> (PintleStatus, Option<String>, Vec<u8>) {
        let event = Self::event(topic, data);
        self.deliver_raw(handle, &raw const event)
    }

    /// A transient one.
    pub(crate) fn event(topic: &str, data: &[u8]) -> PintleEvent {
        PintleEvent {
            size: size_of::<PintleEvent>() as u32,
            depth: 3,
            topic: PintleStr::new(topic),
            id: PintleStr::new("id-1"),
            source: PintleStr::new("/tests"),
            subject: PintleStr::EMPTY,
            content_type: PintleStr::new("application/json"),
            key: PintleStr::EMPTY,
            tenant: PintleStr::new("acme"),
            data: PintleBytes::new(data),
            time_ms: 1_500,
            sequence: 0,
            delivery: 0,
            attempt: 0,
            reserved: 0,
        }
    }

    pub(crate) fn deliver_raw(
        &self,
        handle: u64,
        event: *const PintleEvent,
    ) -> (PintleStatus, Option<String>, Vec<u8>) {
        let registration = self.registration(handle);
        let handler = registration.event.expect("a subscription").0.expect("not null");
        let ctx = self.child();
        let mut reply = Vec::new();
        let status = unsafe { handler(registration.user as *mut c_void, ctx, event, sink(&mut reply)) };
        (status, self.seen.lock().unwrap().errors.get(&ctx).cloned(), reply)
    }

    pub(crate) fn run(&self, handle: u64, job: &str) -> (PintleStatus, Option<String>) {
        let registration = self.registration(handle);
        let handler = registration.job.expect("a job").0.expect("not null");
        let run = PintleRun {
            size: size_of::<PintleRun>() as u32,
            attempt: 1,
            job: PintleStr::new(job),
            due_ms: -1,
            id: 9,
            flags: PINTLE_RUN_REQUESTED | 1 << 31,
            reserved: 0,
            data: PintleBytes::new(b"[1]"),
        };
        let ctx = self.child();
        let mut reply = Vec::new();
        let status =
            unsafe { handler(registration.user as *mut c_void, ctx, &raw const run, sink(&mut reply)) };
        (status, self.seen.lock().unwrap().errors.get(&ctx).cloned())
    }

    /// Ends the registration as the host does.
    pub(crate) fn release(&self, handle: u64) {
        let registration = self.seen.lock().unwrap().registrations.remove(&handle).expect("it is registered");
        unsafe {
            registration.release.0.expect("the SDK always gives one")(registration.user as *mut c_void)
        };
    }

    fn child(&self) -> u64 {
        let mut seen = self.seen.lock().unwrap();
        seen.next += 1;
        self.ctx | seen.next << 32
    }
}

/// A sink into a vector, as a host would give it.
pub(crate) fn sink(into: &mut Vec<u8>) -> PintleSink {
    unsafe extern "C" fn write(data: *mut c_void, piece: PintleBytes) -> PintleStatus {
        unsafe { &mut *data.cast::<Vec<u8>>() }.extend_from_slice(unsafe { bytes(piece) });
        PINTLE_OK
    }
    PintleSink { data: (&raw mut *into).cast(), write: Some(write) }
}

pub(crate) unsafe fn bytes<'a>(bytes: PintleBytes) -> &'a [u8] {
    if bytes.len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(bytes.ptr, bytes.len) } }
}

pub(crate) unsafe fn text<'a>(text: PintleStr) -> &'a str {
    str::from_utf8(unsafe { bytes(PintleBytes { ptr: text.ptr.cast(), len: text.len }) })
        .expect("the SDK sends UTF-8")
}

/// Finds the fake of a context, notes the call, and answers as `refuse` says.
pub(crate) fn on(
    ctx: u64,
    function: &'static str,
    call: String,
    then: impl FnOnce(&mut Seen) -> PintleStatus,
) -> PintleStatus {
    let fake = FAKES.get().and_then(|fakes| fakes.lock().unwrap().get(&(ctx & 0xffff_ffff)).cloned());
    let Some(fake) = fake else { return PINTLE_STALE_HANDLE };
    let mut seen = fake.seen.lock().unwrap();
    seen.calls.push(format!("{function}{call}"));
    if let Some((status, text)) = seen.refuse.remove(function) {
        seen.last_error = Some(text.to_owned());
        return status;
    }
    then(&mut seen)
}

unsafe fn give(to: PintleSink, value: &[u8]) -> PintleStatus {
    let Some(write) = to.write else { return PINTLE_OK };
    // In two pieces, as a host may.
    let (first, second) = value.split_at(value.len() / 2);
    for piece in [first, second] {
        if unsafe { write(to.data, PintleBytes::new(piece)) } != PINTLE_OK {
            return PINTLE_CANCELLED;
        }
    }
    PINTLE_OK
}

unsafe extern "C" fn last_error(ctx: PintleCtx, out: PintleSink) -> PintleStatus {
    let mut text = None;
    on(ctx, "last_error", String::new(), |seen| {
        seen.calls.pop();
        text = seen.last_error.take();
        PINTLE_OK
    });
    match text {
        Some(text) => unsafe { give(out, text.as_bytes()) },
        None => PINTLE_NOT_FOUND,
    }
}

unsafe extern "C" fn set_error(ctx: PintleCtx, message: PintleStr) -> PintleStatus {
    let message = unsafe { text(message) }.to_owned();
    on(ctx, "set_error", format!(" {message}"), |seen| {
        seen.errors.insert(ctx, message);
        PINTLE_OK
    })
}

unsafe extern "C" fn hold(ctx: PintleCtx, held: *mut PintleCtx) -> PintleStatus {
    on(ctx, "hold", String::new(), |seen| {
        seen.next += 1;
        unsafe { held.write(ctx & 0xffff_ffff | seen.next << 32) };
        PINTLE_OK
    })
}

unsafe extern "C" fn release(held: PintleCtx) -> PintleStatus {
    on(held, "release", format!(" {}", held >> 32), |_| PINTLE_OK)
}

unsafe extern "C" fn scope(ctx: PintleCtx, out: *mut PintleScopeInfo, tenant: PintleSink) -> PintleStatus {
    let status = on(ctx, "scope", String::new(), |_| {
        let info = unsafe { &mut *out };
        assert_eq!(info.size as usize, size_of::<PintleScopeInfo>());
        info.generation = 7;
        info.flags = if ctx >> 32 == 0 { PINTLE_SCOPE_SYSTEM } else { PINTLE_SCOPE_CALL };
        PINTLE_OK
    });
    if status != PINTLE_OK {
        return status;
    }
    unsafe { give(tenant, if ctx >> 32 == 0 { b"" } else { b"acme" }) }
}

unsafe extern "C" fn remaining(ctx: PintleCtx, ms: *mut i64) -> PintleStatus {
    on(ctx, "remaining", String::new(), |_| {
        unsafe { ms.write(if ctx >> 32 == 0 { PINTLE_FOREVER } else { 250 }) };
        PINTLE_OK
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
    let (service, method) = unsafe { (text(service), text(method)) };
    let request = unsafe { bytes(request) }.to_vec();
    let args = format!(" {service} {major} {method} {} {timeout_ms}", String::from_utf8_lossy(&request));
    match on(ctx, "call", args, |_| PINTLE_OK) {
        PINTLE_OK => unsafe { give(reply, &request) },
        status => status,
    }
}

unsafe extern "C" fn write(
    ctx: PintleCtx,
    level: u32,
    message: PintleStr,
    fields: *const PintleField,
    count: usize,
) -> PintleStatus {
    let record = unsafe { record(level, message, fields, count) };
    on(ctx, "log.write", record, |_| PINTLE_OK)
}

unsafe fn record(level: u32, message: PintleStr, fields: *const PintleField, count: usize) -> String {
    let mut record = format!(" {level} {}", unsafe { text(message) });
    for at in 0..count {
        let field = unsafe { fields.add(at).read() };
        assert_eq!(field.size as usize, size_of::<PintleField>());
        let value = match field.kind {
            PINTLE_FIELD_TEXT => json!(unsafe { text(field.text) }),
            PINTLE_FIELD_INTEGER => json!(field.integer),
            PINTLE_FIELD_UNSIGNED => json!(field.integer as u64),
            PINTLE_FIELD_NUMBER => json!(field.number),
            PINTLE_FIELD_BOOLEAN => json!(field.integer != 0),
            kind => panic!("no such kind of field: {kind}"),
        };
        record += &format!(" {}={value}", unsafe { text(field.name) });
    }
    record
}

unsafe extern "C" fn enabled(ctx: PintleCtx, level: u32, out: *mut u32) -> PintleStatus {
    on(ctx, "log.enabled", format!(" {level}"), |_| {
        unsafe { out.write((level >= PINTLE_LOG_INFO).into()) };
        PINTLE_OK
    })
}

unsafe extern "C" fn logger_new(
    ctx: PintleCtx,
    fields: *const PintleField,
    count: usize,
    logger: *mut PintleLogger,
) -> PintleStatus {
    let record = unsafe { record(0, PintleStr::EMPTY, fields, count) };
    on(ctx, "log.logger_new", record, |_| {
        unsafe { logger.write(77) };
        PINTLE_OK
    })
}

unsafe extern "C" fn logger_write(
    ctx: PintleCtx,
    logger: PintleLogger,
    level: u32,
    message: PintleStr,
    fields: *const PintleField,
    count: usize,
) -> PintleStatus {
    let record = unsafe { record(level, message, fields, count) };
    on(ctx, "log.logger_write", format!(" {logger}{record}"), |_| PINTLE_OK)
}

unsafe extern "C" fn logger_free(ctx: PintleCtx, logger: PintleLogger) -> PintleStatus {
    on(ctx, "log.logger_free", format!(" {logger}"), |_| PINTLE_OK)
}

/// Looks a value up and converts it, with the statuses of the contract.
fn lookup<T>(
    ctx: PintleCtx,
    function: &'static str,
    pointer: PintleStr,
    convert: impl FnOnce(&Value) -> Option<T>,
) -> Result<T, PintleStatus> {
    let pointer = unsafe { text(pointer) };
    let mut found = None;
    let status = on(ctx, function, format!(" {pointer}"), |seen| {
        let Some(value) = seen.config.pointer(pointer) else {
            seen.last_error = Some(format!("config has no \"{pointer}\""));
            return PINTLE_NOT_FOUND;
        };
        found = convert(value);
        if found.is_some() { PINTLE_OK } else { PINTLE_WRONG_TYPE }
    });
    found.ok_or(status)
}

unsafe extern "C" fn config_get(ctx: PintleCtx, pointer: PintleStr, out: PintleSink) -> PintleStatus {
    match lookup(ctx, "config.get", pointer, |value| Some(value.to_string())) {
        Ok(json) => unsafe { give(out, json.as_bytes()) },
        Err(status) => status,
    }
}

unsafe extern "C" fn config_text(ctx: PintleCtx, pointer: PintleStr, out: PintleSink) -> PintleStatus {
    match lookup(ctx, "config.text", pointer, |value| value.as_str().map(str::to_owned)) {
        Ok(text) => unsafe { give(out, text.as_bytes()) },
        Err(status) => status,
    }
}

unsafe extern "C" fn config_integer(ctx: PintleCtx, pointer: PintleStr, out: *mut i64) -> PintleStatus {
    lookup(ctx, "config.integer", pointer, Value::as_i64).map_or_else(
        |status| status,
        |value| {
            unsafe { out.write(value) };
            PINTLE_OK
        },
    )
}

unsafe extern "C" fn config_number(ctx: PintleCtx, pointer: PintleStr, out: *mut f64) -> PintleStatus {
    lookup(ctx, "config.number", pointer, Value::as_f64).map_or_else(
        |status| status,
        |value| {
            unsafe { out.write(value) };
            PINTLE_OK
        },
    )
}

unsafe extern "C" fn config_boolean(ctx: PintleCtx, pointer: PintleStr, out: *mut u32) -> PintleStatus {
    lookup(ctx, "config.boolean", pointer, Value::as_bool).map_or_else(
        |status| status,
        |value| {
            unsafe { out.write(value.into()) };
            PINTLE_OK
        },
    )
}

unsafe extern "C" fn emit(
    ctx: PintleCtx,
    topic: PintleStr,
    data: PintleBytes,
    options: *const PintleEmitOptions,
) -> PintleStatus {
    let (topic, data) = unsafe { (text(topic), String::from_utf8_lossy(bytes(data))) };
    let options = unsafe { options.as_ref() }.map_or(String::new(), |options| {
        assert_eq!(options.size as usize, size_of::<PintleEmitOptions>());
        let (id, subject, key) = unsafe { (text(options.id), text(options.subject), text(options.key)) };
        let content_type = unsafe { text(options.content_type) };
        let flags = if options.flags == 0 { String::new() } else { format!(" flags={}", options.flags) };
        if [id, subject, key, content_type].iter().all(|text| text.is_empty()) && options.wait_ms == 0 {
            return flags;
        }
        format!(" id={id} subject={subject} type={content_type} key={key} wait={}{flags}", options.wait_ms)
    });
    on(ctx, "emit", format!(" {topic} {data}{options}"), |_| PINTLE_OK)
}

/// Nobody is subscribed.
unsafe extern "C" fn emit_sync(
    ctx: PintleCtx,
    topic: PintleStr,
    data: PintleBytes,
    _: *const PintleEmitOptions,
    timeout_ms: i64,
    _: PintleResultHandler,
    _: *mut c_void,
    handlers: *mut u32,
) -> PintleStatus {
    let (topic, data) = unsafe { (text(topic), String::from_utf8_lossy(bytes(data))) };
    on(ctx, "emit_sync", format!(" {topic} {data} {timeout_ms}"), |_| {
        if let Some(handlers) = unsafe { handlers.as_mut() } {
            *handlers = 0;
        }
        PINTLE_OK
    })
}

unsafe fn register(
    seen: &mut Seen,
    registration: Registration,
    handle: *mut PintleRegistration,
) -> PintleStatus {
    seen.next += 1;
    let next = seen.next;
    seen.registrations.insert(next, registration);
    if let Some(handle) = unsafe { handle.as_mut() } {
        *handle = next;
    }
    PINTLE_OK
}

unsafe extern "C" fn subscribe(
    ctx: PintleCtx,
    pattern: PintleStr,
    handler: PintleEventHandler,
    user: *mut c_void,
    release: PintleRelease,
    options: *const PintleSubscribeOptions,
    subscription: *mut PintleRegistration,
) -> PintleStatus {
    let options = unsafe { options.as_ref() }.map_or(String::new(), |options| {
        assert_eq!(options.size as usize, size_of::<PintleSubscribeOptions>());
        let (name, filter) = unsafe { (text(options.name), text(options.filter)) };
        let transient = format!(" name={name} {} {}", options.capacity, options.policy);
        let start = (options.start, options.start_at);
        let times = (options.ack_ms, options.backoff_ms);
        let numbers = (options.priority, options.max_deliveries, options.in_flight);
        if (options.flags, filter, start, times, numbers) == (0, "", (0, 0), (0, 0), (0, 0, 0)) {
            return transient;
        }
        format!("{transient} flags={} filter={filter} {start:?} {times:?} {numbers:?}", options.flags)
    });
    let call = format!(" {}{options}", unsafe { text(pattern) });
    let registration = Registration { event: Some(handler), job: None, user: user as usize, release };
    on(ctx, "subscribe", call, |seen| unsafe { register(seen, registration, subscription) })
}

unsafe extern "C" fn unsubscribe(ctx: PintleCtx, subscription: PintleRegistration) -> PintleStatus {
    on(ctx, "unsubscribe", format!(" {subscription}"), |_| PINTLE_OK)
}

unsafe extern "C" fn ack(ctx: PintleCtx, delivery: PintleDelivery) -> PintleStatus {
    on(ctx, "ack", format!(" {delivery}"), |_| PINTLE_OK)
}

unsafe extern "C" fn nack(
    ctx: PintleCtx,
    delivery: PintleDelivery,
    delay_ms: i64,
    reason: PintleStr,
) -> PintleStatus {
    on(ctx, "nack", format!(" {delivery} {delay_ms} {}", unsafe { text(reason) }), |_| PINTLE_OK)
}

unsafe extern "C" fn cron(
    ctx: PintleCtx,
    name: PintleStr,
    rule: PintleStr,
    handler: PintleJobHandler,
    user: *mut c_void,
    release: PintleRelease,
    options: *const PintleJobOptions,
    job: *mut PintleRegistration,
) -> PintleStatus {
    let options = unsafe { options.read() };
    let (name, rule, zone) = unsafe { (text(name), text(rule), text(options.zone)) };
    let registration = Registration { event: None, job: Some(handler), user: user as usize, release };
    let call = format!(" {name} {rule} zone={zone} {}", options.overlap);
    on(ctx, "cron", call, |seen| unsafe { register(seen, registration, job) })
}

unsafe extern "C" fn interval(
    ctx: PintleCtx,
    name: PintleStr,
    every_ms: i64,
    handler: PintleJobHandler,
    user: *mut c_void,
    release: PintleRelease,
    _: *const PintleJobOptions,
    job: *mut PintleRegistration,
) -> PintleStatus {
    let registration = Registration { event: None, job: Some(handler), user: user as usize, release };
    let call = format!(" {} {every_ms}", unsafe { text(name) });
    on(ctx, "interval", call, |seen| unsafe { register(seen, registration, job) })
}

unsafe extern "C" fn once(
    ctx: PintleCtx,
    name: PintleStr,
    delay_ms: i64,
    handler: PintleJobHandler,
    user: *mut c_void,
    release: PintleRelease,
    _: *const PintleJobOptions,
    job: *mut PintleRegistration,
) -> PintleStatus {
    let registration = Registration { event: None, job: Some(handler), user: user as usize, release };
    let call = format!(" {} {delay_ms}", unsafe { text(name) });
    on(ctx, "once", call, |seen| unsafe { register(seen, registration, job) })
}

unsafe extern "C" fn remove(ctx: PintleCtx, job: PintleRegistration) -> PintleStatus {
    on(ctx, "remove", format!(" {job}"), |_| PINTLE_OK)
}

unsafe extern "C" fn after(
    ctx: PintleCtx,
    name: PintleStr,
    after: PintleStr,
    handler: PintleJobHandler,
    user: *mut c_void,
    release: PintleRelease,
    options: *const PintleJobOptions,
    job: *mut PintleRegistration,
) -> PintleStatus {
    let registration = Registration { event: None, job: Some(handler), user: user as usize, release };
    let call = unsafe {
        let options = options.read();
        let data = String::from_utf8_lossy(bytes(options.data)).into_owned();
        let times = (options.start_deadline_ms, options.jitter_ms, options.timeout_ms, options.backoff_ms);
        let kinds = (options.flags, options.overlap, options.missed, options.retries);
        format!(" {} {} {kinds:?} {times:?} {data}", text(name), text(after))
    };
    on(ctx, "after", call, |seen| unsafe { register(seen, registration, job) })
}

unsafe extern "C" fn handle(
    ctx: PintleCtx,
    pattern: PintleStr,
    handler: PintleJobHandler,
    user: *mut c_void,
    release: PintleRelease,
    job: *mut PintleRegistration,
) -> PintleStatus {
    let registration = Registration { event: None, job: Some(handler), user: user as usize, release };
    let call = format!(" {}", unsafe { text(pattern) });
    on(ctx, "handle", call, |seen| unsafe { register(seen, registration, job) })
}

unsafe extern "C" fn forget(ctx: PintleCtx, name: PintleStr) -> PintleStatus {
    on(ctx, "forget", format!(" {}", unsafe { text(name) }), |_| PINTLE_OK)
}

unsafe extern "C" fn pause(ctx: PintleCtx, name: PintleStr) -> PintleStatus {
    on(ctx, "pause", format!(" {}", unsafe { text(name) }), |_| PINTLE_OK)
}

unsafe extern "C" fn resume(ctx: PintleCtx, name: PintleStr) -> PintleStatus {
    on(ctx, "resume", format!(" {}", unsafe { text(name) }), |_| PINTLE_OK)
}

unsafe extern "C" fn run_now(ctx: PintleCtx, name: PintleStr) -> PintleStatus {
    on(ctx, "run_now", format!(" {}", unsafe { text(name) }), |_| PINTLE_OK)
}

unsafe extern "C" fn list(ctx: PintleCtx, visitor: PintleJobVisitor, user: *mut c_void) -> PintleStatus {
    on(ctx, "list", String::new(), |_| {
        let job = PintleJob {
            size: size_of::<PintleJob>() as u32,
            flags: PINTLE_JOB_IS_DURABLE | PINTLE_JOB_IS_WAITING,
            name: PintleStr::new("kept"),
            when: PintleStr::new("@daily"),
            next_ms: 1_000,
            last_ms: -1,
            runs: 3,
            failed: 2,
            skipped: 1,
        };
        unsafe { visitor.0.expect("a visitor")(user, &raw const job) }
    })
}

unsafe extern "C" fn history(
    ctx: PintleCtx,
    name: PintleStr,
    visitor: PintleRunVisitor,
    user: *mut c_void,
) -> PintleStatus {
    on(ctx, "history", format!(" {}", unsafe { text(name) }), |_| {
        let run = |status, result: &'static [u8]| PintleRunResult {
            size: size_of::<PintleRunResult>() as u32,
            flags: PINTLE_RUN_MISSED,
            id: 7,
            due_ms: 1_000,
            started_ms: 2_000,
            duration_ms: 30,
            attempts: 2,
            status,
            result: PintleBytes::new(result),
        };
        for run in [run(PINTLE_OK, b"5"), run(PINTLE_TIMEOUT, b"too slow")] {
            assert_eq!(unsafe { visitor.0.expect("a visitor")(user, &raw const run) }, PINTLE_OK);
        }
        PINTLE_OK
    })
}

pub(crate) const LOG: PintleLog = PintleLog {
    size: size_of::<PintleLog>() as u32,
    reserved: 0,
    write: Some(write),
    enabled: Some(enabled),
    logger_new: Some(logger_new),
    logger_write: Some(logger_write),
    logger_free: Some(logger_free),
};
const CONFIG: PintleConfig = PintleConfig {
    size: size_of::<PintleConfig>() as u32,
    reserved: 0,
    get: Some(config_get),
    text: Some(config_text),
    integer: Some(config_integer),
    number: Some(config_number),
    boolean: Some(config_boolean),
};
pub(crate) const EVENTS: PintleEvents = PintleEvents {
    emit_sync: Some(emit_sync),
    size: size_of::<PintleEvents>() as u32,
    reserved: 0,
    emit: Some(emit),
    subscribe: Some(subscribe),
    unsubscribe: Some(unsubscribe),
    ack: Some(ack),
    nack: Some(nack),
};
const SCHEDULER: PintleScheduler = PintleScheduler {
    size: size_of::<PintleScheduler>() as u32,
    reserved: 0,
    cron: Some(cron),
    interval: Some(interval),
    once: Some(once),
    remove: Some(remove),
    after: Some(after),
    handle: Some(handle),
    forget: Some(forget),
    pause: Some(pause),
    resume: Some(resume),
    run_now: Some(run_now),
    list: Some(list),
    history: Some(history),
};
const HOST: PintleHost = PintleHost {
    size: size_of::<PintleHost>() as u32,
    abi_minor: PINTLE_ABI_MINOR,
    last_error: Some(last_error),
    set_error: Some(set_error),
    hold: Some(hold),
    release: Some(release),
    scope: Some(scope),
    remaining: Some(remaining),
    call: Some(call),
    service: None,
    log: &LOG,
    config: &CONFIG,
    cache: ptr::null(),
    storage: ptr::null(),
    database: ptr::null(),
    events: &EVENTS,
    scheduler: &SCHEDULER,
    idempotency: ptr::null(),
    files: ptr::null(),
};

// SAFETY: the pointers of the table lead to static data.
unsafe impl Send for Fake {}
// SAFETY: as above.
unsafe impl Sync for Fake {}
