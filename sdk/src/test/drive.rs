//! From the test host into the plugin: its handlers, its calls and its jobs, each as a real host does it, on the thread that
//! asks. The steps of its life are in `life`, and go through here too.

use std::{ffi::c_void, panic, ptr, sync::Arc};

use pintle_abi::*;

use super::{
    Emitted, durable,
    inside::{Entry, Inside, Kind, Lane, Loaded, Registration, Reply, Tenant, What},
    jobs,
    life::loaded,
    table::{PATIENCE_MS, reply_sink},
    topic,
};
use crate::{Error, Result, Status};

/// How one subscription took an event.
pub(super) struct Delivered {
    pub(super) subscriber: String,
    pub(super) subscription: String,
    pub(super) reply: Result<Vec<u8>>,
}

/// What is asked of the plugin while this lives goes one by one; at its end everything is delivered that came of it, and a
/// panic of the test's own stubs goes on.
pub(super) struct Turn<'a> {
    inside: &'a Arc<Inside>,
    _lane: Lane<'a>,
}

impl<'a> Turn<'a> {
    pub(super) fn take(inside: &'a Arc<Inside>) -> Result<Self> {
        Ok(Self { inside, _lane: inside.lane()? })
    }

    pub(super) fn end(self) {
        settle(self.inside);
        let panic = self.inside.state().panic.take();
        if let Some(payload) = panic {
            drop(self);
            panic::resume_unwind(payload);
        }
    }
}

/// Delivers what waits: events, those of the log too, and changes of the storage; and begins the runs that are due.
fn settle(inside: &Inside) {
    // A watch that changes what it watches never comes to an end, and in a real host keeps its lane at work; nor does a job that
    // asks for itself.
    for _ in 0..MOST_CHANGES {
        loop {
            let Some((event, to)) = inside.state().inbox.pop_front() else { break };
            deliver(inside, &event, to);
        }
        if !durable::deliver_next(inside) && !tell_next(inside) && !jobs::run_next(inside) {
            return;
        }
    }
    panic!(
        "{MOST_CHANGES} changes and runs came in a row: a watch seems to change what it watches, or a job to ask for itself"
    );
}

/// So many changes are told, and runs begun, in a row.
const MOST_CHANGES: u32 = 100_000;

/// Tells a watch of the oldest change that one of them has not been told; false if there is none.
fn tell_next(inside: &Inside) -> bool {
    let (registration, handler, change, loaded) = {
        let mut state = inside.state();
        let state = &mut *state;
        let Some(loaded) = state.loaded.filter(|loaded| loaded.enabled) else { return false };
        let next = state.registrations.iter().filter_map(|(handle, one)| {
            let What::Watch { told, .. } = one.what else { return None };
            let own = one.generation == loaded.generation;
            let change = state.storage.next_change(&one.tenant, &one.name, told).filter(|_| own)?;
            Some((change, *handle))
        });
        let Some((change, handle)) = next.min_by_key(|(change, handle)| (change.version, *handle)) else {
            return false;
        };
        let one = state.registrations.get_mut(&handle).expect("it was found there");
        let What::Watch { handler, told } = &mut one.what else { return false };
        told.up_to = change.version;
        let handler = *handler;
        (one.clone(), handler, change, loaded)
    };
    let PintleWatchHandler(Some(handler)) = handler else { return true };
    let raw = PintleStorageChange {
        size: size_of::<PintleStorageChange>() as u32,
        kind: change.kind,
        key: PintleStr::new(&change.key),
        version: change.version,
        at_ms: change.at_ms,
    };
    let outcome = under_call(inside, &loaded, &registration.tenant, 0, None, |ctx, reply| {
        // SAFETY: as the contract says: the `user` of this registration, and a change that is lent for the call.
        unsafe { handler(pointer(registration.user), ctx, &raw const raw, reply) }
    });
    if let Err(error) = outcome {
        let tenant = registration.tenant.as_deref().map(str::to_owned);
        inside.state().report("a watch failed", &registration.name, tenant, &error);
    }
    true
}

pub(super) fn pointer(state: usize) -> *mut c_void {
    ptr::with_exposed_provenance_mut(state)
}

/// Runs one function of the plugin under a context, and then gives back what it ended.
pub(super) fn run(inside: &Inside, ctx: PintleCtx, function: impl FnOnce() -> PintleStatus) -> Result<()> {
    if let Some(entry) = inside.state().contexts.get_mut(&ctx) {
        (entry.running, entry.error) = (true, None);
    }
    let status = function();
    let mut text = None;
    {
        let mut state = inside.state();
        state.end_transactions(ctx);
        if let Some(entry) = state.contexts.get_mut(&ctx) {
            entry.running = false;
            text = entry.error.take();
        }
    }
    give_back(inside);
    match (Status::from_code(status), text) {
        (None, _) => Ok(()),
        (Some(status), Some(text)) => Err(Error::new(status, text)),
        (Some(status), None) => Err(Error::bare(status)),
    }
}

/// Runs one function of the plugin that may answer something.
pub(super) fn replying(
    inside: &Inside,
    ctx: PintleCtx,
    limit: usize,
    function: impl FnOnce(PintleSink) -> PintleStatus,
) -> Result<Vec<u8>> {
    let handle = {
        let mut state = inside.state();
        let handle = inside.fresh(&mut state);
        state.replies.insert(handle, Reply { bytes: Vec::new(), limit, overflowed: false });
        handle
    };
    let outcome = run(inside, ctx, || function(reply_sink(handle)));
    let reply = inside.state().replies.remove(&handle);
    outcome?;
    match reply {
        Some(reply) if reply.overflowed => {
            Err(Error::new(Status::TooLarge, format!("the answer has more than {limit} bytes")))
        }
        reply => Ok(reply.map(|reply| reply.bytes).unwrap_or_default()),
    }
}

/// Runs one function of the plugin under a context of its own, on behalf of a tenant.
pub(super) fn under_call(
    inside: &Inside,
    loaded: &Loaded,
    tenant: &Tenant,
    depth: u32,
    deadline_ms: Option<i64>,
    function: impl FnOnce(PintleCtx, PintleSink) -> PintleStatus,
) -> Result<Vec<u8>> {
    let ctx = inside.open(Entry {
        kind: Kind::Call,
        generation: loaded.generation,
        tenant: tenant.clone(),
        depth,
        deadline_ms,
        running: false,
        error: None,
    });
    let outcome = replying(inside, ctx, super::input::MEBIBYTE, |reply| function(ctx, reply));
    inside.close(ctx);
    outcome
}

/// Calls `release` of everything that has ended, which may end more.
pub(super) fn give_back(inside: &Inside) {
    loop {
        let Some((user, release)) = inside.state().releases.pop() else { return };
        if let Some(release) = release.0 {
            // SAFETY: as the contract says: once for each registration, after its last call, with its `user`.
            unsafe { release(pointer(user)) };
        }
    }
}

pub(super) fn emit(inside: &Arc<Inside>, mut event: Emitted) -> Result<Vec<Vec<u8>>> {
    loaded(inside)?;
    let turn = Turn::take(inside)?;
    let new = !event.durable || inside.state().log.append(&mut event);
    let to = if new { subscriptions(inside, &event) } else { Vec::new() };
    let delivered = if new { deliver(inside, &event, to) } else { Vec::new() };
    turn.end();
    delivered
        .into_iter()
        .map(|one| {
            one.reply.map_err(|error| {
                error.context(format_args!("{} ({}) with {}", one.subscriber, one.subscription, event.topic))
            })
        })
        .collect()
}

/// From inside of the plugin: its own subscriptions could only run after it.
pub(super) fn emit_sync(inside: &Arc<Inside>, event: &Emitted) -> Result<Vec<Delivered>> {
    let to = subscriptions(inside, event);
    let turn = if to.is_empty() { None } else { Some(Turn::take(inside)?) };
    inside.state().emitted.push(event.clone());
    let delivered = deliver(inside, event, to);
    if let Some(turn) = turn {
        turn.end();
    }
    Ok(delivered)
}

/// The plugin's own that match and are live: those of a higher priority first, otherwise in the order in which they were made.
pub(super) fn subscriptions(inside: &Inside, event: &Emitted) -> Vec<u64> {
    let state = inside.state();
    let enabled = state.loaded.filter(|loaded| loaded.enabled).map(|loaded| loaded.generation);
    let mut matching: Vec<_> = state
        .registrations
        .iter()
        .filter(|(_, one)| Some(one.generation) == enabled && one.wants(event))
        .filter_map(|(handle, one)| match one.what {
            What::Subscription { priority, .. } => Some((-priority, *handle)),
            _ => None,
        })
        .collect();
    matching.sort_unstable();
    matching.into_iter().map(|(_, handle)| handle).collect()
}

/// Gives what the transient subscriptions and the test's own listeners made of it.
fn deliver(inside: &Inside, event: &Emitted, to: Vec<u64>) -> Vec<Delivered> {
    let mut all = Vec::new();
    for handle in to {
        // It may have ended meanwhile, or the plugin may have been disabled.
        let (registration, plugin, deadline_ms) = {
            let state = inside.state();
            let Some(registration) = state.registrations.get(&handle).cloned() else { continue };
            if state.loaded.is_none_or(|loaded| !loaded.enabled) {
                continue;
            }
            // Only an event whose publisher waits has a deadline.
            let deadline_ms = event.sync.then_some(state.now_ms + PATIENCE_MS);
            (registration, state.manifest.id.clone(), deadline_ms)
        };
        if let What::Subscription { durable: Some(_), .. } = registration.what {
            durable::deliver_up_to(inside, handle, event.sequence.unwrap_or(0));
            continue;
        }
        let reply = handle_event(inside, &registration, event, deadline_ms, (0, 0));
        all.push(Delivered { subscriber: plugin, subscription: registration.name, reply });
    }
    let listeners = inside.state().listeners.clone();
    for (subscriber, pattern, listener) in listeners {
        if topic::matches(&pattern, &event.topic) {
            let reply = inside.play(|| listener(event));
            all.push(Delivered { subscriber, subscription: pattern, reply });
        }
    }
    all
}

/// Runs the handler of a subscription. What it acknowledges by, and which delivery it is, are 0 for a transient one.
pub(super) fn handle_event(
    inside: &Inside,
    registration: &Registration,
    event: &Emitted,
    deadline_ms: Option<i64>,
    (delivery, attempt): (PintleDelivery, u32),
) -> Result<Vec<u8>> {
    let What::Subscription { handler: PintleEventHandler(Some(handler)), .. } = registration.what else {
        return Ok(Vec::new());
    };
    let loaded = loaded(inside)?;
    let tenant: Tenant = event.tenant.as_deref().map(Arc::from);
    let optional = |text: &Option<String>| text.as_deref().map_or(PintleStr::EMPTY, PintleStr::new);
    let raw = PintleEvent {
        size: size_of::<PintleEvent>() as u32,
        depth: event.depth,
        topic: PintleStr::new(&event.topic),
        id: PintleStr::new(&event.id),
        source: PintleStr::new(&event.source),
        subject: optional(&event.subject),
        content_type: PintleStr::new(&event.content_type),
        key: optional(&event.key),
        tenant: optional(&event.tenant),
        data: PintleBytes::new(&event.data),
        time_ms: event.time_ms,
        sequence: if attempt == 0 { 0 } else { event.sequence.unwrap_or(0) },
        delivery,
        attempt,
        reserved: 0,
    };
    let reply = under_call(inside, &loaded, &tenant, event.depth + 1, deadline_ms, |ctx, reply| {
        // SAFETY: as the contract says: the `user` of this registration, and an event that is lent for the call.
        unsafe { handler(pointer(registration.user), ctx, &raw const raw, reply) }
    });
    if let Err(error) = &reply {
        inside.state().report("a handler failed", &registration.name, event.tenant.clone(), error);
    }
    reply
}

pub(super) fn call(
    inside: &Arc<Inside>,
    tenant: &Tenant,
    service: &str,
    method: &str,
    request: &[u8],
) -> Result<Vec<u8>> {
    let loaded = loaded(inside)?;
    let turn = Turn::take(inside)?;
    let outcome = call_now(inside, &loaded, tenant, service, method, request);
    turn.end();
    outcome
}

fn call_now(
    inside: &Inside,
    loaded: &Loaded,
    tenant: &Tenant,
    service: &str,
    method: &str,
    request: &[u8],
) -> Result<Vec<u8>> {
    let (manifest, now) = {
        let state = inside.state();
        (Arc::clone(&state.manifest), state.now_ms)
    };
    let provided = manifest.provides.get(service).ok_or_else(|| {
        let text = format!(
            "plugin \"{}\" does not provide `{service}`: its manifest's `provides` has it not",
            manifest.id
        );
        Error::new(Status::NotFound, text)
    })?;
    if !provided.methods.iter().any(|known| known == method) {
        let text = format!("the manifest's `provides` lists no method `{method}` of `{service}`");
        return Err(Error::new(Status::Unsupported, text));
    }
    if !loaded.enabled {
        return Err(Error::new(Status::Unavailable, format!("plugin \"{}\" is not enabled", manifest.id)));
    }
    let answer = loaded.plugin.call.ok_or_else(|| {
        Error::new(Status::Unsupported, format!("plugin \"{}\" answers no calls", manifest.id))
    })?;
    let raw = PintleRequest {
        size: size_of::<PintleRequest>() as u32,
        major: provided.major,
        service: PintleStr::new(service),
        method: PintleStr::new(method),
        caller: PintleStr::new("application"),
        data: PintleBytes::new(request),
    };
    under_call(inside, loaded, tenant, 0, Some(now + PATIENCE_MS), |ctx, reply| {
        // SAFETY: as in `enable_now`; the request is lent for the call.
        unsafe { answer(pointer(loaded.state), ctx, &raw const raw, reply) }
    })
}

pub(super) fn run_job(inside: &Arc<Inside>, tenant: &Tenant, name: &str) -> Result<Vec<u8>> {
    let loaded = loaded(inside)?;
    if !loaded.enabled {
        return Err(Error::new(Status::Unavailable, "the plugin is not enabled"));
    }
    let turn = Turn::take(inside)?;
    let outcome = jobs::run_at_once(inside, tenant, name);
    turn.end();
    outcome
}

/// Moves the clock; on the way items expire, deliveries fail and come again, and each job runs when it is due.
pub(super) fn advance(inside: &Arc<Inside>, to_ms: i64) -> Result<()> {
    let turn = Turn::take(inside)?;
    settle(inside);
    loop {
        let over = {
            let mut state = inside.state();
            let due = state.next_job().filter(|at| *at <= to_ms);
            // What expires before that, or with it, is not there any more when the job runs.
            let expiry = [state.storage.next_expiry(), state.next_delivery()].into_iter().flatten().min();
            let expiry = expiry.filter(|at| *at <= due.unwrap_or(to_ms));
            let at = expiry.or(due).unwrap_or(to_ms);
            state.now_ms = state.now_ms.max(at);
            let now_ms = state.now_ms;
            if due.is_none() || expiry.is_some() {
                state.storage.pass(now_ms);
            }
            if expiry.is_some() {
                state.pass_deliveries();
            } else {
                state.pass_jobs();
            }
            due.is_none() && expiry.is_none()
        };
        settle(inside);
        if over {
            break;
        }
    }
    turn.end();
    Ok(())
}
