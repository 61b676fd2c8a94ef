//! The table of the event service, and the shapes of an event.

use core::ffi::c_void;

use crate::{PintleBytes, PintleCtx, PintleRegistration, PintleSink, PintleStatus, PintleStr};

/// An event as a handler sees it. Everything is borrowed until the handler returns. The attributes are those of
/// CloudEvents 1.0; all but what the publisher gave are filled in by the host.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleEvent {
    /// `sizeof(pintle_event)` of the host.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// How many events led to this one: 0 for one that no handler emitted. Limited to 64.
    pub depth: u32,
    /// CloudEvents `type`: the topic, whole.
    pub topic: PintleStr,
    /// CloudEvents `id`: unique together with `source`.
    pub id: PintleStr,
    /// CloudEvents `source`: `/plugins/<id>` for a plugin, otherwise what the application gave.
    pub source: PintleStr,
    /// CloudEvents `subject`; empty if there is none.
    pub subject: PintleStr,
    /// CloudEvents `datacontenttype`; empty if there is none.
    pub content_type: PintleStr,
    /// The ordering key; empty if there is none.
    pub key: PintleStr,
    /// The tenant on whose behalf it was emitted; empty in the system scope.
    pub tenant: PintleStr,
    /// The payload, shared by all handlers.
    pub data: PintleBytes,
    /// CloudEvents `time`, in milliseconds since 1970-01-01 UTC.
    pub time_ms: i64,
    /// The number of the event in the log, which grows; 0: the event or the subscription is transient.
    pub sequence: u64,
    /// What `ack` and `nack` know this delivery by; 0 unless the subscription is `PINTLE_SUBSCRIBE_ACK`.
    pub delivery: PintleDelivery,
    /// Which delivery of the event to this durable subscription it is, from 1; 0: the subscription is transient.
    pub attempt: u32,
    /// Must be ignored.
    pub reserved: u32,
}

/// One delivery of a durable event to a subscription that acknowledges. It is over with its `ack` or `nack`, at the ack deadline,
/// and with the subscription.
pub type PintleDelivery = u64;

/// `pintle_emit_options.flags`: the event is written to the log before `emit` returns, and delivered to durable subscriptions until
/// they have acknowledged it, whatever happens to the process. Transient subscriptions get it as any other event.
pub const PINTLE_EMIT_DURABLE: u32 = 1 << 0;

/// The source of randomness and time is the host; what a publisher may say beside topic and data is here.
/// Zero means default everywhere: `pintle_emit_options o = {0}; o.size = sizeof o;` changes nothing.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleEmitOptions {
    /// `sizeof(pintle_emit_options)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Any of `PINTLE_EMIT_…`.
    pub flags: u32,
    /// CloudEvents `id`, 1 to 256 bytes; empty: the host makes one. A durable event whose id and source are those of one that was
    /// written for the same tenant within the dedupe window (settings, two minutes by default) is that event: `emit` answers OK and
    /// nothing is delivered again.
    pub id: PintleStr,
    /// CloudEvents `subject`, at most 512 bytes; empty: none.
    pub subject: PintleStr,
    /// CloudEvents `datacontenttype`, at most 128 bytes; empty: `application/json`.
    pub content_type: PintleStr,
    /// The ordering key, at most 512 bytes; empty: none.
    pub key: PintleStr,
    /// How long to wait for room in the queues of subscriptions with `PINTLE_QUEUE_WAIT`, in milliseconds, at
    /// most 60,000; 0: not at all. Must be 0 in `emit_sync`, which has a deadline of its own.
    pub wait_ms: i64,
}

/// A full queue loses its oldest event. The default.
pub const PINTLE_QUEUE_DROP_OLDEST: u32 = 0;
/// A full queue takes nothing new.
pub const PINTLE_QUEUE_DROP_NEW: u32 = 1;
/// A full queue makes the publisher wait as long as its `wait_ms` says, then the new event is dropped.
pub const PINTLE_QUEUE_WAIT: u32 = 2;

/// `pintle_subscribe_options.flags`: the subscription gets the durable events that match, and none but those, each until it is
/// acknowledged. Which it has acknowledged is kept under its name for the plugin and tenant that made it, beyond its end, that of
/// the plugin and that of the host, until the plugin is uninstalled. Events wait while the plugin is disabled or not loaded.
pub const PINTLE_SUBSCRIBE_DURABLE: u32 = 1 << 0;
/// `pintle_subscribe_options.flags`: with `PINTLE_SUBSCRIBE_DURABLE`: an event is acknowledged by `ack`, not by the OK of the handler.
pub const PINTLE_SUBSCRIBE_ACK: u32 = 1 << 1;

/// A durable subscription that is made for the first time begins with the events that come after it. The default.
pub const PINTLE_START_NEW: u32 = 0;
/// It begins with the oldest event of the log.
pub const PINTLE_START_ALL: u32 = 1;
/// It begins with the event of the number `start_at`.
pub const PINTLE_START_SEQUENCE: u32 = 2;
/// It begins with the first event that was written at the time `start_at` or later, in milliseconds since 1970-01-01 UTC.
pub const PINTLE_START_TIME: u32 = 3;

/// How a subscription is to be kept. Zero means default everywhere.
///
/// A filter is one JSON object, at most 4,096 bytes, with exactly one member (the dialects of the CloudEvents Subscriptions API 1.0):
/// `{"exact": {"subject": "door-7"}}`, `{"prefix": {…}}`, `{"suffix": {…}}`, each with one or more attributes that must all fulfil it,
/// `{"all": [filters]}`, `{"any": [filters]}`, `{"not": filter}`, nested up to 8 deep, 64 altogether. Attributes are `type`, `id`,
/// `source`, `subject`, `datacontenttype`, `partitionkey` (the ordering key), `tenant` and extensions that came in with the event, as
/// text; an attribute that an event does not have fulfils nothing. Values are 1 to 512 bytes and compared byte for byte.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleSubscribeOptions {
    /// `sizeof(pintle_subscribe_options)` of the plugin.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Any of `PINTLE_SUBSCRIBE_…`.
    pub flags: u32,
    /// The subscription's name, unique in its scope, 1 to 128 bytes; empty: the pattern.
    pub name: PintleStr,
    /// How many events may wait, 1 to 65,536; 0: 1,024. Must be 0 of a durable subscription: its events wait in the log.
    pub capacity: u32,
    /// One of `PINTLE_QUEUE_…`: what happens when that many wait. Must be 0 of a durable subscription.
    pub policy: u32,
    /// Which of the events that match the pattern it is for; empty: all. Others do not count for it, and a durable subscription
    /// passes over them.
    pub filter: PintleStr,
    /// Of the subscriptions of one event, those with a higher number get it first, and those with the same in the order in which
    /// they were made; each on its own lane, so that only subscriptions of one plugin also run in that order. -1,000 to 1,000.
    pub priority: i32,
    /// One of `PINTLE_START_…`: where a durable subscription begins that has no position under its name yet.
    pub start: u32,
    /// For `PINTLE_START_SEQUENCE` and `PINTLE_START_TIME`; otherwise 0.
    pub start_at: i64,
    /// Of a durable subscription, how long a delivery may take from the start of the handler, in milliseconds, 1 to 3,600,000; 0:
    /// 30,000. Then it counts as failed, and what the handler still answers no longer counts.
    pub ack_ms: i64,
    /// Of a durable subscription, how long an event waits after its first failure, in milliseconds, 1 to 3,600,000; 0: 1,000. Each
    /// further failure doubles it, up to an hour.
    pub backoff_ms: i64,
    /// Of a durable subscription, after how many deliveries an event that was not acknowledged becomes a dead letter, 1 to 1,000;
    /// 0: 10.
    pub max_deliveries: u32,
    /// Of a durable subscription, how many events may be delivered and neither acknowledged nor failed, 1 to 1,024; 0: 64.
    pub in_flight: u32,
}

/// Called on the plugin's lane with each event of a subscription.
///
/// - user: as given to `subscribe`.
/// - ctx: of the plugin, bound to the event's tenant; valid until the handler returns.
/// - event: borrowed until the handler returns.
/// - reply: takes at most 1 MiB, for a publisher that waits for it (`emit_sync`); above, it has failed with
///   TOO_LARGE, whatever the handler answers. Valid until the handler returns.
///
/// Returns: OK, or any other status: counted and logged as a failure, with the text of `set_error`. Of a durable subscription OK
/// acknowledges the event, unless it acknowledges by `ack`; any other status is as a `nack` without a delay.
/// Thread: the plugin's lane: [lane].
/// Blocks: it may, until the handler's deadline (30 s by default); the lane waits meanwhile.
/// Since: 1.0.
#[repr(transparent)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Clone, Copy, Debug)]
pub struct PintleEventHandler(
    pub  Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            ctx: PintleCtx,
            event: *const PintleEvent,
            reply: PintleSink,
        ) -> PintleStatus,
    >,
);

/// Called once on the plugin's lane after the last call of a registration, at the latest before `unload`: the
/// place to free `user`.
///
/// - user: as given when registering.
///
/// Returns: nothing.
/// Thread: the plugin's lane: [lane].
/// Blocks: it should not.
/// Since: 1.0.
#[repr(transparent)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Clone, Copy, Debug)]
pub struct PintleRelease(pub Option<unsafe extern "C" fn(user: *mut c_void)>);

/// `pintle_handler_result.outcome`: the handler answered OK.
pub const PINTLE_HANDLED: u32 = 0;
/// `pintle_handler_result.outcome`: the handler answered another status.
pub const PINTLE_HANDLER_FAILED: u32 = 1;
/// `pintle_handler_result.outcome`: the handler had not answered by the deadline; it may still do what it does.
pub const PINTLE_HANDLER_TIMEOUT: u32 = 2;
/// `pintle_handler_result.outcome`: the handler panicked or threw, which was caught.
pub const PINTLE_HANDLER_PANIC: u32 = 3;
/// `pintle_handler_result.outcome`: the handler was not called: its plugin is not enabled, is stuck, or has too
/// much to do.
pub const PINTLE_HANDLER_SKIPPED: u32 = 4;

/// What became of an event at one subscription. Everything is borrowed until the function that gets it returns.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleHandlerResult {
    /// `sizeof(pintle_handler_result)` of the host.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// One of `PINTLE_HANDLED` and `PINTLE_HANDLER_…`.
    pub outcome: u32,
    /// OK, what the handler answered, or why it was not called.
    pub status: PintleStatus,
    /// Must be ignored.
    pub reserved: u32,
    /// Whose subscription it is: a plugin's id, or `application`.
    pub subscriber: PintleStr,
    /// The subscription's name.
    pub subscription: PintleStr,
    /// What the handler wrote to its reply; empty unless it answered OK.
    pub reply: PintleBytes,
    /// Why it did not, in one sentence; empty if it answered OK.
    pub error: PintleStr,
}

/// Called with the result of each handler of `emit_sync`. Host calls from inside answer REENTRANT, except
/// `last_error` and `set_error`.
///
/// - user: as given to `emit_sync`.
/// - result: borrowed until this function returns.
///
/// Returns: OK to go on; anything else: no further result is told, and `emit_sync` answers CANCELLED.
/// Thread: that of the call of `emit_sync`: [any-thread].
/// Blocks: it should not.
/// Since: 1.0.
#[repr(transparent)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi))]
#[derive(Clone, Copy, Debug)]
pub struct PintleResultHandler(
    pub Option<unsafe extern "C" fn(user: *mut c_void, result: *const PintleHandlerResult) -> PintleStatus>,
);

/// Publish and subscribe. Topics are dot-separated tokens of `[A-Za-z0-9_-]`, at most 16 tokens and 256 bytes;
/// in patterns `*` stands for one token and a last `>` for one or more.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleEvents {
    /// The size of the host's table.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Must be ignored.
    pub reserved: u32,
    /// Publishes an event: at most once to each transient subscription that matches, and with `PINTLE_EMIT_DURABLE` at least once to
    /// each durable one. Never waits for handlers.
    ///
    /// - ctx: on whose behalf; the event gets its tenant.
    /// - topic: the host puts `plugin.<id of the plugin>.` in front; borrowed for the call.
    /// - data: the payload, at most 1 MiB, copied.
    /// - options: may be null; borrowed for the call.
    ///
    /// Returns: OK, also when nobody listens or a queue was full (counted and reported); INVALID_ARGUMENT;
    /// TOO_LARGE; DENIED; UNSUPPORTED (an option this host does not know); UNAVAILABLE (in `load` and
    /// `restore`, and after the end of the host; of a durable event also: the disk is full or fails, and nobody gets it); REENTRANT
    /// (depth above 64, or from inside a sink); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: at most `wait_ms`; of a durable event also until it is on disk.
    /// Since: 1.0.
    pub emit: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            topic: PintleStr,
            data: PintleBytes,
            options: *const PintleEmitOptions,
        ) -> PintleStatus,
    >,
    /// Subscribes to all topics that match a pattern. Made in the system scope it sees every tenant's events,
    /// made under a tenant only that tenant's. Made in `load`, it is live from `enable` on.
    ///
    /// A durable subscription gets the events in the order of the log, one after the other. An event that has failed comes again later, and others pass it, but for those with the same ordering key,
    /// which wait until it succeeds or is a dead letter. At least once: an event may come again whose handler had answered OK, if the
    /// process ended before that was on disk. `unsubscribe` ends it and keeps its position.
    ///
    /// - ctx: on whose behalf.
    /// - pattern: borrowed for the call.
    /// - handler: called with each event; not null.
    /// - user: passed to `handler` and `release`; the plugin's.
    /// - release: called once when `user` is needed no more; may be null. Where this call fails it is not
    ///   called, and `user` stays with the caller.
    /// - options: may be null; borrowed for the call.
    /// - subscription: gets the handle; may be null. Owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT (also: the filter, with where it is wrong; the capacity; options that go only with others);
    /// OUT_OF_RANGE (the priority; `start_at`, a time or a number of a durable one); DENIED (the pattern is not within what the
    /// manifest asks for); CONFLICT (the name is taken); QUOTA (1,024 registrations a plugin); UNSUPPORTED; UNAVAILABLE (of a durable one: the disk fails); STOPPING; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never; of a durable one until its position is on disk.
    /// Since: 1.0.
    pub subscribe: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            pattern: PintleStr,
            handler: PintleEventHandler,
            user: *mut c_void,
            release: PintleRelease,
            options: *const PintleSubscribeOptions,
            subscription: *mut PintleRegistration,
        ) -> PintleStatus,
    >,
    /// Ends a subscription. Events that still wait in its queue are dropped; a call under way is finished, then
    /// `release` is called.
    ///
    /// - ctx: any live context of the plugin.
    /// - subscription: from `subscribe` of the same plugin.
    ///
    /// Returns: OK; STALE_HANDLE (also for a subscription that is over, or another plugin's).
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub unsubscribe:
        Option<unsafe extern "C" fn(ctx: PintleCtx, subscription: PintleRegistration) -> PintleStatus>,
    /// Publishes an event and waits for its handlers, which run at the same time as far as their plugins can.
    ///
    /// - ctx: on whose behalf; the event gets its tenant.
    /// - topic: the host puts `plugin.<id of the plugin>.` in front; borrowed for the call.
    /// - data: the payload, at most 1 MiB, copied.
    /// - options: may be null; borrowed for the call. Without `PINTLE_EMIT_DURABLE`.
    /// - timeout_ms: how long to wait for all of them together, in milliseconds, 1 to 3,600,000; 0: 5,000 by default.
    ///   Never longer than this function's own caller waits.
    /// - each: called with the result of each handler, in the order of the subscriptions, before this returns; may
    ///   be null.
    /// - user: passed to `each`; the caller's.
    /// - handlers: gets how many results there are; may be null. Owned by the caller.
    ///
    /// Returns: OK, whatever the handlers answered, also when nobody listens; CANCELLED (`each` refused, or the
    /// caller of this function has given up); REENTRANT (a handler could only run after this call has returned: its
    /// own lane, or one that waits for it; or depth above 64, or from inside a sink): then no handler was called;
    /// BUSY (too many calls wait inside the host); OUT_OF_RANGE; INVALID_ARGUMENT; TOO_LARGE; DENIED; UNSUPPORTED;
    /// UNAVAILABLE (in `load` and `restore`); STOPPING; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: until all handlers have answered, at most `timeout_ms`.
    /// Since: 1.0.
    pub emit_sync: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            topic: PintleStr,
            data: PintleBytes,
            options: *const PintleEmitOptions,
            timeout_ms: i64,
            each: PintleResultHandler,
            user: *mut c_void,
            handlers: *mut u32,
        ) -> PintleStatus,
    >,
    /// Acknowledges a delivery of a subscription with `PINTLE_SUBSCRIBE_ACK`, in its handler or later: the event is done with and
    /// not delivered to it again. On disk soon, not necessarily when this returns.
    ///
    /// - ctx: any live context of the plugin.
    /// - delivery: from `pintle_event.delivery`.
    ///
    /// Returns: OK; STALE_HANDLE (the delivery is over: it was acknowledged or refused, its ack deadline has passed, or its
    /// subscription has ended); DENIED.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub ack: Option<unsafe extern "C" fn(ctx: PintleCtx, delivery: PintleDelivery) -> PintleStatus>,
    /// Says that a delivery of a subscription with `PINTLE_SUBSCRIBE_ACK` has failed: the event comes again, or becomes a dead letter
    /// if it was the last delivery.
    ///
    /// - ctx: any live context of the plugin.
    /// - delivery: from `pintle_event.delivery`.
    /// - delay_ms: after how long, in milliseconds, 1 to 86,400,000; 0: as `backoff_ms` says.
    /// - reason: why, at most 1,024 bytes, for the log and the dead letter; may be empty; borrowed for the call.
    ///
    /// Returns: OK; STALE_HANDLE (as for `ack`); OUT_OF_RANGE (the delay); INVALID_ARGUMENT (the reason); DENIED.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub nack: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            delivery: PintleDelivery,
            delay_ms: i64,
            reason: PintleStr,
        ) -> PintleStatus,
    >,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<PintleEvent>() == 168);
    assert!(offset_of!(PintleEvent, topic) == 8);
    assert!(offset_of!(PintleEvent, data) == 120);
    assert!(offset_of!(PintleEvent, time_ms) == 136);
    assert!(offset_of!(PintleEvent, sequence) == 144);
    assert!(offset_of!(PintleEvent, attempt) == 160);
    assert!(size_of::<PintleEmitOptions>() == 80);
    assert!(offset_of!(PintleEmitOptions, wait_ms) == 72);
    assert!(size_of::<PintleSubscribeOptions>() == 88);
    assert!(offset_of!(PintleSubscribeOptions, capacity) == 24);
    assert!(offset_of!(PintleSubscribeOptions, filter) == 32);
    assert!(offset_of!(PintleSubscribeOptions, start_at) == 56);
    assert!(offset_of!(PintleSubscribeOptions, in_flight) == 84);
    assert!(size_of::<PintleHandlerResult>() == 80);
    assert!(offset_of!(PintleHandlerResult, subscriber) == 16);
    assert!(offset_of!(PintleHandlerResult, error) == 64);
    assert!(size_of::<PintleEvents>() == 56);
    assert!(offset_of!(PintleEvents, emit) == 8);
    assert!(offset_of!(PintleEvents, unsubscribe) == 24);
    assert!(offset_of!(PintleEvents, emit_sync) == 32);
    assert!(offset_of!(PintleEvents, nack) == 48);
};
