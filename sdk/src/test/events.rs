//! The table of events. What the plugin emits is kept for the test, and waits for the plugin's own subscriptions until
//! its running function has returned, as on a lane.

use std::ffi::c_void;

use pintle_abi::*;

use super::{
    Emitted,
    drive::{self, Delivered},
    durable::{self, Begin, Durable},
    filter::Filter,
    input,
    inside::{Call, Registration, What, enter, in_sink},
    table::must_wait,
    topic,
};
use crate::{Error, Result, Status};

/// So many events may lead to one.
const DEEPEST: u32 = 64;

pub(super) static TABLE: PintleEvents = PintleEvents {
    size: size_of::<PintleEvents>() as u32,
    reserved: 0,
    emit: Some(emit),
    subscribe: Some(subscribe),
    unsubscribe: Some(unsubscribe),
    emit_sync: Some(emit_sync),
    ack: Some(durable::ack),
    nack: Some(durable::nack),
};

/// What both kinds of emitting check and make.
///
/// # Safety
/// Everything is readable for this call.
pub(super) unsafe fn draft(
    call: &Call,
    rest: PintleStr,
    data: PintleBytes,
    options: *const PintleEmitOptions,
    sync: bool,
) -> Result<Emitted> {
    // SAFETY: the caller's promise, here and below.
    let (rest, data, options) = unsafe {
        (
            input::text("topic", rest, 256)?,
            input::bytes("data", data, input::MEBIBYTE)?,
            input::options(options)?,
        )
    };
    topic::check(rest)?;
    call.must_grant(|manifest| manifest.must_grant_publish(rest))?;
    call.must_act()?;
    let id = if call.manifest.id.is_empty() { "test" } else { &call.manifest.id };
    let topic = format!("plugin.{id}.{rest}");
    topic::check(&topic)?;
    if call.entry.depth > DEEPEST {
        let text = format!("{DEEPEST} events led to this one: the plugins' events go in a circle");
        return Err(Error::new(Status::Reentrant, text));
    }
    let mut state = call.state();
    let mut event = Emitted {
        topic,
        data: data.to_vec(),
        tenant: call.entry.tenant.as_deref().map(str::to_owned),
        id: format!("id-{}", call.inside.fresh(&mut state) & 0xffff_ffff),
        source: format!("/plugins/{id}"),
        subject: None,
        content_type: "application/json".to_owned(),
        key: None,
        depth: call.entry.depth,
        time_ms: state.now_ms,
        sync,
        sequence: None,
        durable: false,
    };
    drop(state);
    let Some(options) = options else { return Ok(event) };
    if options.flags & !PINTLE_EMIT_DURABLE != 0 {
        return Err(Error::new(
            Status::Unsupported,
            format!("argument `options.flags`: {:#x}", options.flags),
        ));
    }
    event.durable = options.flags & PINTLE_EMIT_DURABLE != 0;
    if event.durable && sync {
        return Err(input::wrong(
            "options.flags",
            "nobody waits for the handlers of a durable event: use `emit`",
        ));
    }
    let longest = if sync { 0 } else { 60_000 };
    if !(0..=longest).contains(&options.wait_ms) {
        let text = format!("{}, 0 to {longest} are taken", options.wait_ms);
        return Err(input::wrong("options.wait_ms", text));
    }
    // SAFETY: as above.
    unsafe {
        let optional = |argument, text: PintleStr, most| {
            if text.len == 0 {
                Ok(None)
            } else {
                let text = input::text(argument, text, most)?;
                if text.contains(char::is_control) {
                    return Err(input::wrong(argument, "it has a control character"));
                }
                Ok(Some(text.to_owned()))
            }
        };
        event.id = optional("options.id", options.id, 256)?.unwrap_or(event.id);
        event.subject = optional("options.subject", options.subject, 512)?;
        event.content_type =
            optional("options.content_type", options.content_type, 128)?.unwrap_or(event.content_type);
        event.key = optional("options.key", options.key, 512)?;
    }
    Ok(event)
}

unsafe extern "C" fn emit(
    ctx: PintleCtx,
    topic: PintleStr,
    data: PintleBytes,
    options: *const PintleEmitOptions,
) -> PintleStatus {
    // SAFETY: the contract: inputs are readable and outputs writable for this call. So in every function of this table.
    enter(ctx, "events.emit", |call| unsafe {
        let event = draft(call, topic, data, options, false)?;
        publish(call, event);
        Ok(())
    })
}

/// The event waits for the plugin's own subscriptions; a durable one is in the log. One that is there already is not published
/// again.
pub(super) fn publish(call: &Call, mut event: Emitted) {
    if event.durable && !call.state().log.append(&mut event) {
        return;
    }
    // What is not live yet, or not made yet, does not get it, unless it asks the log.
    let to = drive::subscriptions(&call.inside, &event);
    let mut state = call.state();
    state.emitted.push(event.clone());
    state.inbox.push_back((event, to));
}

unsafe extern "C" fn emit_sync(
    ctx: PintleCtx,
    topic: PintleStr,
    data: PintleBytes,
    options: *const PintleEmitOptions,
    timeout_ms: i64,
    each: PintleResultHandler,
    user: *mut c_void,
    handlers: *mut u32,
) -> PintleStatus {
    // SAFETY: as in `emit`.
    enter(ctx, "events.emit_sync", |call| unsafe {
        let event = draft(call, topic, data, options, true)?;
        input::timeout(timeout_ms)?;
        must_wait(call)?;
        let results = drive::emit_sync(&call.inside, &event)?;
        if let Some(handlers) = handlers.as_mut() {
            *handlers = results.len() as u32;
        }
        let Some(each) = each.0 else { return Ok(()) };
        for result in &results {
            let result = as_raw(result);
            if in_sink(|| each(user, &raw const result)) != PINTLE_OK {
                return Err(Error::new(Status::Cancelled, "`each` refused"));
            }
        }
        Ok(())
    })
}

/// A stub says by its error's status how it took the event, so that a test can play every outcome.
fn as_raw(delivered: &Delivered) -> PintleHandlerResult {
    let (outcome, status, reply, error) = match &delivered.reply {
        Ok(reply) => (PINTLE_HANDLED, PINTLE_OK, PintleBytes::new(reply), PintleStr::EMPTY),
        Err(error) => {
            let outcome = match error.status() {
                Status::Timeout => PINTLE_HANDLER_TIMEOUT,
                Status::Panic => PINTLE_HANDLER_PANIC,
                Status::Unavailable | Status::Busy => PINTLE_HANDLER_SKIPPED,
                _ => PINTLE_HANDLER_FAILED,
            };
            (outcome, error.status().code(), PintleBytes::EMPTY, PintleStr::new(error.message()))
        }
    };
    PintleHandlerResult {
        size: size_of::<PintleHandlerResult>() as u32,
        outcome,
        status,
        reserved: 0,
        subscriber: PintleStr::new(&delivered.subscriber),
        subscription: PintleStr::new(&delivered.subscription),
        reply,
        error,
    }
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
    // SAFETY: as in `emit`.
    enter(ctx, "events.subscribe", |call| unsafe {
        if handler.0.is_none() {
            return Err(input::wrong("handler", "null"));
        }
        let pattern = input::text("pattern", pattern, 256)?;
        topic::check_pattern(pattern)?;
        let options = input::options(options)?;
        call.must_grant(|manifest| manifest.must_grant_subscribe(pattern))?;
        let mut name = pattern.to_owned();
        let (mut filter, mut priority, mut durable) = (None, 0, None);
        if let Some(options) = options {
            if options.flags & !(PINTLE_SUBSCRIBE_DURABLE | PINTLE_SUBSCRIBE_ACK) != 0
                || options.policy > PINTLE_QUEUE_WAIT
                || options.start > PINTLE_START_TIME
            {
                let text = "argument `options`: a flag, policy or start that this host does not know";
                return Err(Error::new(Status::Unsupported, text));
            }
            if options.capacity > 65_536 {
                return Err(input::wrong("options.capacity", format!("{}, 1 to 65,536", options.capacity)));
            }
            if options.name.len > 0 {
                name = input::text("options.name", options.name, 128)?.to_owned();
                if name.contains(char::is_control) {
                    return Err(input::wrong("options.name", "it has a control character"));
                }
            }
            in_range("priority", options.priority.into(), -1_000, 1_000)?;
            priority = options.priority;
            durable = how_durable(&options)?;
            filter = Filter::take(options.filter)?;
        }
        let taken = {
            let state = call.state();
            state.registrations.values().any(|one| {
                matches!(one.what, What::Subscription { .. })
                    && (one.generation, &one.name, &one.tenant)
                        == (call.entry.generation, &name, &call.entry.tenant)
            })
        };
        if taken {
            let text = format!("the plugin has a subscription {name:?} already: give this one another name");
            return Err(Error::new(Status::Conflict, text));
        }
        let begin = durable.map(|(_, begin)| (name.clone(), begin));
        let durable = durable.map(|(durable, _)| durable);
        let what = What::Subscription { pattern: pattern.to_owned(), handler, filter, priority, durable };
        let handle = register(call, name, what, None, (user, release))?;
        if let Some((name, begin)) = begin {
            call.state().log.join(&call.entry.tenant, &name, begin);
        }
        if let Some(subscription) = subscription.as_mut() {
            *subscription = handle;
        }
        Ok(())
    })
}

/// How a durable subscription is kept, and where it begins; `None` for a transient one. Options of the one kind must be zero for
/// the other.
fn how_durable(options: &PintleSubscribeOptions) -> Result<Option<(Durable, Begin)>> {
    let explicit = options.flags & PINTLE_SUBSCRIBE_ACK != 0;
    let durable_only = [
        ("flags", explicit),
        ("start", options.start != PINTLE_START_NEW),
        ("start_at", options.start_at != 0),
        ("ack_ms", options.ack_ms != 0),
        ("backoff_ms", options.backoff_ms != 0),
        ("max_deliveries", options.max_deliveries != 0),
        ("in_flight", options.in_flight != 0),
    ];
    let transient_only = [("capacity", options.capacity != 0), ("policy", options.policy != 0)];
    let refuse = |members: &[(&str, bool)], kind: &str| match members.iter().find(|(_, there)| *there) {
        Some((member, _)) => {
            Err(input::wrong(&format!("options.{member}"), format_args!("it is for {kind} subscriptions")))
        }
        None => Ok(()),
    };
    if options.flags & PINTLE_SUBSCRIBE_DURABLE == 0 {
        refuse(&durable_only, "durable")?;
        return Ok(None);
    }
    refuse(&transient_only, "transient")?;
    let begin = match options.start {
        PINTLE_START_SEQUENCE => {
            in_range("start_at", options.start_at, 0, i64::MAX)?;
            Begin::Sequence(options.start_at.max(1).unsigned_abs())
        }
        PINTLE_START_TIME => Begin::Time(options.start_at),
        _ if options.start_at != 0 => {
            return Err(input::wrong("options.start_at", "it is for a start at a number or a time"));
        }
        PINTLE_START_ALL => Begin::Sequence(1),
        _ => Begin::New,
    };
    in_range("ack_ms", options.ack_ms, 0, 3_600_000)?;
    in_range("backoff_ms", options.backoff_ms, 0, 3_600_000)?;
    in_range("max_deliveries", options.max_deliveries.into(), 0, 1_000)?;
    in_range("in_flight", options.in_flight.into(), 0, 1_024)?;
    let or = |given: i64, default| if given == 0 { default } else { given };
    let durable = Durable {
        explicit,
        ack_ms: or(options.ack_ms, 30_000),
        backoff_ms: or(options.backoff_ms, 1_000),
        max_deliveries: if options.max_deliveries == 0 { 10 } else { options.max_deliveries },
        in_flight: if options.in_flight == 0 { 64 } else { options.in_flight as usize },
    };
    Ok(Some((durable, begin)))
}

fn in_range(member: &str, value: i64, least: i64, most: i64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let text = format!("argument `options.{member}`: {value}, {least} to {most} are taken");
    Err(Error::new(Status::OutOfRange, text))
}

/// Whether handlers are taken now.
pub(super) fn must_register(call: &Call) -> Result<()> {
    if call.of_test() {
        return Err(Error::new(Status::Unsupported, "a handler belongs to a plugin: start one"));
    }
    call.must_not_stop()
}

/// Takes a handler of the plugin, perhaps in the place of another.
pub(super) fn register(
    call: &Call,
    name: String,
    what: What,
    replaced: Option<PintleRegistration>,
    (user, release): (*mut c_void, PintleRelease),
) -> Result<PintleRegistration> {
    must_register(call)?;
    let mut state = call.state();
    match replaced {
        Some(replaced) => state.end_registration(replaced),
        None => state.must_have_room(call.entry.generation, Some(&what))?,
    }
    let handle = call.inside.fresh(&mut state);
    let since_enable = call.is_since_enable(&state);
    state.registrations.insert(
        handle,
        Registration {
            generation: call.entry.generation,
            tenant: call.entry.tenant.clone(),
            name,
            what,
            user: user.expose_provenance(),
            release,
            since_enable,
        },
    );
    Ok(handle)
}

/// Ends a registration of the caller's plugin that is of the right kind.
pub(super) fn end(call: &Call, handle: PintleRegistration, right: impl Fn(&What) -> bool) -> Result<()> {
    let mut state = call.state();
    let own = state
        .registrations
        .get(&handle)
        .is_some_and(|one| one.generation == call.entry.generation && right(&one.what));
    if !own {
        return Err(Error::new(Status::StaleHandle, "the handle is over, or never was one"));
    }
    state.end_registration(handle);
    Ok(())
}

unsafe extern "C" fn unsubscribe(ctx: PintleCtx, subscription: PintleRegistration) -> PintleStatus {
    enter(ctx, "events.unsubscribe", |call| {
        end(call, subscription, |what| matches!(what, What::Subscription { .. }))
    })
}
