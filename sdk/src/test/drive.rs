//! From the test host into the plugin: its life, its handlers, its calls and its jobs, each as a real host does it, on the
//! thread that asks.

use std::{ffi::c_void, panic, ptr, sync::Arc};

use pintle_abi::*;
use serde_json::Value;

use super::{
    Emitted,
    inside::{Beat, Entry, Inside, Kind, Lane, Loaded, Phase, Reply, State, Tenant, What},
    manifest::Manifest,
    table::{self, PATIENCE_MS, reply_sink},
    topic,
};
use crate::{Error, Level, Result, Status, wire};

/// The most that a plugin may save at a reload.
const LARGEST_STATE: usize = 64 << 20;

/// How one subscription took an event.
pub(super) struct Delivered {
    pub(super) subscriber: String,
    pub(super) subscription: String,
    pub(super) reply: Result<Vec<u8>>,
}

/// What is asked of the plugin while this lives goes one by one; at its end everything is delivered that came of it, and a
/// panic of the test's own stubs goes on.
struct Turn<'a> {
    inside: &'a Arc<Inside>,
    _lane: Lane<'a>,
}

impl<'a> Turn<'a> {
    fn take(inside: &'a Arc<Inside>) -> Result<Self> {
        Ok(Self { inside, _lane: inside.lane()? })
    }

    fn end(self) {
        loop {
            let Some(event) = self.inside.state().inbox.pop_front() else { break };
            deliver(self.inside, &event);
        }
        let panic = self.inside.state().panic.take();
        if let Some(payload) = panic {
            drop(self);
            panic::resume_unwind(payload);
        }
    }
}

pub(super) fn load(inside: &Arc<Inside>, plugin: &'static PintlePlugin, config: Value) -> Result<()> {
    let turn = Turn::take(inside)?;
    if inside.state().loaded.is_some() {
        return Err(Error::new(Status::Conflict, "the host has a plugin already: unload it first"));
    }
    // SAFETY: what an entry describes is static.
    let manifest = Arc::new(Manifest::read(unsafe { wire::bytes(plugin.manifest) })?);
    {
        let mut state = inside.state();
        state.config = manifest.with_defaults(config);
        state.manifest = manifest;
    }
    let outcome = begin(inside, plugin).map(|loaded| inside.state().loaded = Some(loaded));
    turn.end();
    outcome
}

/// Makes a generation: `load`.
fn begin(inside: &Inside, plugin: &'static PintlePlugin) -> Result<Loaded> {
    let (generation, own) = {
        let mut state = inside.state();
        let generation = inside.fresh(&mut state) & 0xffff_ffff;
        state.phases.insert(generation, Phase::Preparing);
        let own = inside.fresh(&mut state);
        let entry = Entry {
            kind: Kind::Own,
            generation,
            tenant: None,
            depth: 0,
            deadline_ms: None,
            running: false,
            error: None,
        };
        state.contexts.insert(own, entry);
        (generation, own)
    };
    let load = plugin.load.ok_or_else(|| Error::new(Status::InvalidArgument, "the plugin has no `load`"))?;
    let mut state = ptr::null_mut();
    // SAFETY: as the contract says: its own context, a table that is static, and a place for the state.
    let outcome = run(inside, own, || unsafe { load(own, &raw const table::TABLE, &raw mut state) });
    if let Err(error) = outcome {
        finish(inside, generation);
        return Err(error);
    }
    Ok(Loaded { plugin, state: state.expose_provenance(), own, generation, enabled: false })
}

/// Ends a generation: everything of it is given back or stale.
fn finish(inside: &Inside, generation: u64) {
    let mut state = inside.state();
    drop_registrations(&mut state, generation, |_| true);
    drop(state);
    give_back(inside);
    let mut state = inside.state();
    state.phases.remove(&generation);
    state.contexts.retain(|_, entry| entry.generation != generation);
    state.loggers.retain(|_, (of, _)| *of != generation);
}

fn drop_registrations(state: &mut State, generation: u64, which: impl Fn(bool) -> bool) {
    let all = state.registrations.iter();
    let gone: Vec<_> = all
        .filter(|(_, one)| one.generation == generation && which(one.since_enable))
        .map(|(handle, _)| *handle)
        .collect();
    for handle in gone {
        state.end_registration(handle);
    }
}

fn loaded(inside: &Inside) -> Result<Loaded> {
    inside
        .state()
        .loaded
        .ok_or_else(|| Error::new(Status::Unavailable, "no plugin is loaded: start one first"))
}

pub(super) fn enable(inside: &Arc<Inside>) -> Result<()> {
    let turn = Turn::take(inside)?;
    let loaded = loaded(inside)?;
    let outcome = if loaded.enabled { Ok(()) } else { enable_now(inside, loaded) };
    turn.end();
    outcome
}

fn enable_now(inside: &Inside, loaded: Loaded) -> Result<()> {
    let before = inside.state().phases.insert(loaded.generation, Phase::Live);
    let outcome = match loaded.plugin.enable {
        // SAFETY: as the contract says: what `load` made, and its own context. So in every function below.
        Some(enable) => run(inside, loaded.own, || unsafe { enable(pointer(loaded.state), loaded.own) }),
        None => Ok(()),
    };
    let mut state = inside.state();
    match &outcome {
        Ok(()) => state.loaded = Some(Loaded { enabled: true, ..loaded }),
        Err(_) => {
            drop_registrations(&mut state, loaded.generation, |since_enable| since_enable);
            state.phases.insert(loaded.generation, before.unwrap_or(Phase::Preparing));
            drop(state);
            give_back(inside);
        }
    }
    outcome
}

pub(super) fn disable(inside: &Arc<Inside>) -> Result<()> {
    let turn = Turn::take(inside)?;
    let outcome = disable_now(inside);
    turn.end();
    outcome
}

fn disable_now(inside: &Inside) -> Result<()> {
    let loaded = loaded(inside)?;
    if !loaded.enabled {
        return Ok(());
    }
    {
        let mut state = inside.state();
        state.phases.insert(loaded.generation, Phase::Stopping);
        state.loaded = Some(Loaded { enabled: false, ..loaded });
    }
    let outcome = match loaded.plugin.disable {
        // SAFETY: as in `enable_now`.
        Some(disable) => run(inside, loaded.own, || unsafe { disable(pointer(loaded.state), loaded.own) }),
        None => Ok(()),
    };
    drop_registrations(&mut inside.state(), loaded.generation, |since_enable| since_enable);
    give_back(inside);
    outcome
}

pub(super) fn unload(inside: &Arc<Inside>) -> Result<()> {
    let turn = Turn::take(inside)?;
    let outcome = loaded(inside).and_then(|_| {
        let disabled = disable_now(inside);
        unload_now(inside, loaded(inside)?);
        inside.state().loaded = None;
        disabled
    });
    turn.end();
    outcome
}

fn unload_now(inside: &Inside, loaded: Loaded) {
    drop_registrations(&mut inside.state(), loaded.generation, |_| true);
    give_back(inside);
    if let Some(unload) = loaded.plugin.unload {
        // SAFETY: as in `enable_now`; nothing else is called with this state afterwards.
        let _ = run(inside, loaded.own, || unsafe {
            unload(pointer(loaded.state), loaded.own);
            PINTLE_OK
        });
    }
    finish(inside, loaded.generation);
}

pub(super) fn configure(inside: &Arc<Inside>, config: Value) -> Result<()> {
    let turn = Turn::take(inside)?;
    let loaded = loaded(inside)?;
    let config = inside.state().manifest.with_defaults(config);
    let text = config.to_string();
    let outcome = match loaded.plugin.configure {
        Some(configure) => run(inside, loaded.own, || {
            // SAFETY: as in `enable_now`; the text is lent for the call.
            unsafe { configure(pointer(loaded.state), loaded.own, PintleBytes::new(text.as_bytes())) }
        }),
        None => Ok(()),
    };
    if outcome.is_ok() {
        inside.state().config = config;
    }
    turn.end();
    outcome
}

/// What a host does at a reload: the old generation stops and saves, the new one loads and restores, and where one of that
/// fails, the old one goes on.
pub(super) fn reload(inside: &Arc<Inside>) -> Result<()> {
    let turn = Turn::take(inside)?;
    let outcome = reload_now(inside);
    turn.end();
    outcome
}

fn reload_now(inside: &Inside) -> Result<()> {
    let was_enabled = loaded(inside)?.enabled;
    disable_now(inside)?;
    let old = loaded(inside)?;
    let new = save(inside, old).and_then(|saved| {
        let new = begin(inside, old.plugin)?;
        match restore(inside, new, &saved) {
            Ok(()) => Ok(new),
            Err(error) => {
                unload_now(inside, new);
                Err(error)
            }
        }
    });
    match new {
        Ok(new) => {
            unload_now(inside, old);
            inside.state().loaded = Some(new);
            if was_enabled { enable_now(inside, new) } else { Ok(()) }
        }
        Err(error) => {
            if was_enabled {
                enable_now(inside, old)?;
            }
            Err(error)
        }
    }
}

fn save(inside: &Inside, loaded: Loaded) -> Result<Vec<u8>> {
    let Some(save) = loaded.plugin.save else { return Ok(Vec::new()) };
    replying(inside, loaded.own, LARGEST_STATE, |reply| {
        // SAFETY: as in `enable_now`; the sink looks its handle up.
        unsafe { save(pointer(loaded.state), loaded.own, reply) }
    })
}

fn restore(inside: &Inside, loaded: Loaded, saved: &[u8]) -> Result<()> {
    let Some(restore) = loaded.plugin.restore else { return Ok(()) };
    let schema = inside.state().manifest.state;
    run(inside, loaded.own, || {
        // SAFETY: as in `enable_now`; what was saved is lent for the call.
        unsafe { restore(pointer(loaded.state), loaded.own, schema, PintleBytes::new(saved)) }
    })
}

fn pointer(state: usize) -> *mut c_void {
    ptr::with_exposed_provenance_mut(state)
}

/// Runs one function of the plugin under a context, and then gives back what it ended.
fn run(inside: &Inside, ctx: PintleCtx, function: impl FnOnce() -> PintleStatus) -> Result<()> {
    if let Some(entry) = inside.state().contexts.get_mut(&ctx) {
        (entry.running, entry.error) = (true, None);
    }
    let status = function();
    let mut text = None;
    if let Some(entry) = inside.state().contexts.get_mut(&ctx) {
        entry.running = false;
        text = entry.error.take();
    }
    give_back(inside);
    match (Status::from_code(status), text) {
        (None, _) => Ok(()),
        (Some(status), Some(text)) => Err(Error::new(status, text)),
        (Some(status), None) => Err(Error::bare(status)),
    }
}

/// Runs one function of the plugin that may answer something.
fn replying(
    inside: &Inside,
    ctx: PintleCtx,
    limit: usize,
    function: impl FnOnce(PintleSink) -> PintleStatus,
) -> Result<Vec<u8>> {
    let handle = {
        let mut state = inside.state();
        let handle = inside.fresh(&mut state);
        state.replies.insert(handle, Reply { bytes: Vec::new(), limit });
        handle
    };
    let outcome = run(inside, ctx, || function(reply_sink(handle)));
    let reply = inside.state().replies.remove(&handle);
    outcome.map(|()| reply.map(|reply| reply.bytes).unwrap_or_default())
}

/// Runs one function of the plugin under a context of its own, on behalf of a tenant.
fn under_call(
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
fn give_back(inside: &Inside) {
    loop {
        let Some((user, release)) = inside.state().releases.pop() else { return };
        if let Some(release) = release.0 {
            // SAFETY: as the contract says: once for each registration, after its last call, with its `user`.
            unsafe { release(pointer(user)) };
        }
    }
}

pub(super) fn emit(inside: &Arc<Inside>, event: &Emitted) -> Result<Vec<Vec<u8>>> {
    loaded(inside)?;
    let turn = Turn::take(inside)?;
    let delivered = deliver(inside, event);
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
    let turn = if subscriptions(inside, event).is_empty() { None } else { Some(Turn::take(inside)?) };
    inside.state().emitted.push(event.clone());
    let delivered = deliver(inside, event);
    if let Some(turn) = turn {
        turn.end();
    }
    Ok(delivered)
}

/// The plugin's own that match, in the order in which they were made.
fn subscriptions(inside: &Inside, event: &Emitted) -> Vec<u64> {
    let state = inside.state();
    let enabled = state.loaded.filter(|loaded| loaded.enabled).map(|loaded| loaded.generation);
    let matching = state.registrations.iter().filter(|(_, one)| {
        let What::Subscription { pattern, .. } = &one.what else { return false };
        Some(one.generation) == enabled
            && (one.tenant.is_none() || one.tenant.as_deref() == event.tenant.as_deref())
            && topic::matches(pattern, &event.topic)
    });
    matching.map(|(handle, _)| *handle).collect()
}

fn deliver(inside: &Inside, event: &Emitted) -> Vec<Delivered> {
    let mut all = Vec::new();
    for handle in subscriptions(inside, event) {
        // An earlier handler may have ended it.
        let (registration, loaded, plugin) = {
            let state = inside.state();
            let registration = state.registrations.get(&handle).cloned();
            let (Some(registration), Some(loaded)) = (registration, state.loaded) else { continue };
            (registration, loaded, state.manifest.id.clone())
        };
        let What::Subscription { handler: PintleEventHandler(Some(handler)), .. } = registration.what else {
            continue;
        };
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
        };
        let reply = under_call(inside, &loaded, &tenant, event.depth + 1, None, |ctx, reply| {
            // SAFETY: as the contract says: the `user` of this registration, and an event that is lent for the call.
            unsafe { handler(pointer(registration.user), ctx, &raw const raw, reply) }
        });
        if let Err(error) = &reply {
            report(inside, "a handler failed", &registration.name, event.tenant.clone(), error);
        }
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

/// The host's own record of a handler or a job that failed.
fn report(inside: &Inside, what: &str, name: &str, tenant: Option<String>, error: &Error) {
    let fields = vec![
        ("name".to_owned(), name.into()),
        ("status".to_owned(), format!("{:?}", error.status()).into()),
        ("error".to_owned(), error.message().into()),
    ];
    let record = super::LogRecord { level: Level::Error, message: what.to_owned(), fields, tenant };
    inside.state().logs.push(record);
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
    let found = {
        let state = inside.state();
        let mut all = state.registrations.iter();
        all.find_map(|(handle, one)| {
            let here = one.generation == loaded.generation && one.name == name && one.tenant == *tenant;
            (here && matches!(one.what, What::Job { .. })).then_some((*handle, state.now_ms))
        })
    };
    let outcome = match found {
        Some((handle, now)) => run_now(inside, handle, now),
        None => Err(Error::new(Status::NotFound, format!("the plugin has no job {name:?} in this scope"))),
    };
    turn.end();
    outcome
}

fn run_now(inside: &Inside, handle: u64, due_ms: i64) -> Result<Vec<u8>> {
    let (registration, loaded) = {
        let state = inside.state();
        (state.registrations.get(&handle).cloned(), state.loaded)
    };
    let gone = || Error::new(Status::NotFound, "the job is gone");
    let (registration, loaded) = (registration.ok_or_else(gone)?, loaded.ok_or_else(gone)?);
    let What::Job { handler: PintleJobHandler(Some(handler)), beat } = registration.what else {
        return Err(gone());
    };
    let raw = PintleRun {
        size: size_of::<PintleRun>() as u32,
        attempt: 1,
        job: PintleStr::new(&registration.name),
        due_ms,
    };
    let outcome = under_call(inside, &loaded, &registration.tenant, 0, None, |ctx, reply| {
        // SAFETY: as the contract says: the `user` of this registration, and a run that is lent for the call.
        unsafe { handler(pointer(registration.user), ctx, &raw const raw, reply) }
    });
    if let Err(error) = &outcome {
        let tenant = registration.tenant.as_deref().map(str::to_owned);
        report(inside, "a job failed", &registration.name, tenant, error);
    }
    if matches!(beat, Beat::Once(_)) {
        inside.state().end_registration(handle);
        give_back(inside);
    }
    outcome
}

/// Moves the clock, and runs each job when it is due on the way.
pub(super) fn advance(inside: &Arc<Inside>, to_ms: i64) -> Result<()> {
    let turn = Turn::take(inside)?;
    loop {
        let due = {
            let mut state = inside.state();
            let enabled = state.loaded.filter(|loaded| loaded.enabled).map(|loaded| loaded.generation);
            let jobs = state.registrations.iter_mut().filter_map(|(handle, one)| match &mut one.what {
                What::Job { beat, .. } if Some(one.generation) == enabled => match beat {
                    Beat::Every(_, next) | Beat::Once(next) => Some((*next, *handle)),
                    Beat::Cron => None,
                },
                _ => None,
            });
            let due = jobs.filter(|(at, _)| *at <= to_ms).min();
            if let Some((at, handle)) = due {
                state.now_ms = state.now_ms.max(at);
                if let Some(What::Job { beat: Beat::Every(every, next), .. }) =
                    state.registrations.get_mut(&handle).map(|one| &mut one.what)
                {
                    *next += *every;
                }
            } else {
                state.now_ms = state.now_ms.max(to_ms);
            }
            due
        };
        let Some((at, handle)) = due else { break };
        // What fails is in the log, and keeps its schedule.
        let _ = run_now(inside, handle, at);
        loop {
            let Some(event) = inside.state().inbox.pop_front() else { break };
            deliver(inside, &event);
        }
    }
    turn.end();
    Ok(())
}
