//! What can be asked of a host: from the params of a request to its own functions, and from what they answer to JSON.
//! docs/control.md has each method, with what it takes and gives; a test holds the two together.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Map, Value, json, value::RawValue};

use super::{Methods, Params, Refusal, Session, cache, config, events, jobs, sql, storage};
use crate::{
    Host, PluginInfo,
    error::{Error, ErrorKind, Result},
    events::{
        Draft, Emitted, Event, HandlerResult, Outcome, Pattern, Policy, SubscribeOptions, from_json, to_json,
    },
    host::Kept,
    inspect::Candidate,
    log::Level,
};

/// How many events may wait for a connection in the queue of its subscription.
const TAIL_CAPACITY: usize = 4_096;

/// The most patterns that one connection can ask for.
const MOST_PATTERNS: usize = 16;

/// The longest that a request may wait for handlers or for room.
const LONGEST_WAIT_MS: u64 = 60_000;

pub(super) type Answer = Result<Value, Refusal>;

/// A method: from the host, its params and the connection, if there is one, to its answer.
type Method = fn(&Host, Params<'_>, Option<&Arc<Session>>) -> Answer;

const METHODS: [(&str, Method); 47] = [
    ("host", |host, params, _| none(params).and_then(|()| given(&host.stats().host))),
    ("plugins", |host, params, _| plugins(host, params.read()?)),
    ("stats", |host, params, _| none(params).and_then(|()| given(&host.stats()))),
    ("metrics", |host, params, _| none(params).map(|()| json!({ "text": host.open_metrics() }))),
    ("subscriptions", |host, params, _| none(params).map(|()| events::subscriptions(host))),
    ("jobs", |host, params, _| jobs::list(host, params.read()?)),
    ("jobs.history", |host, params, _| jobs::history(host, params.read()?)),
    ("jobs.run", |host, params, _| jobs::step(params.read()?, |of, by, name| host.run_job(of, by, name))),
    ("jobs.pause", |host, params, _| jobs::step(params.read()?, |of, by, name| host.pause_job(of, by, name))),
    ("jobs.resume", |host, params, _| {
        jobs::step(params.read()?, |of, by, name| host.resume_job(of, by, name))
    }),
    ("jobs.forget", |host, params, _| {
        jobs::step(params.read()?, |of, by, name| host.forget_job(of, by, name))
    }),
    ("plugin.load", |host, params, _| step(params, |id| host.load(id))),
    ("plugin.enable", |host, params, _| step(params, |id| host.enable(id))),
    ("plugin.disable", |host, params, _| step(params, |id| host.disable(id))),
    ("plugin.unload", |host, params, _| step(params, |id| host.unload(id))),
    ("plugin.release", |host, params, _| step(params, |id| host.release(id))),
    ("log.levels", |host, params, _| none(params).map(|()| levels(host))),
    ("log.level", |host, params, _| set_level(host, params.read()?)),
    ("log.reopen", |host, params, _| none(params).and_then(|()| Ok(host.reopen_log().map(done)?))),
    ("emit", |host, params, _| emit(host, params.read()?)),
    ("emit_sync", |host, params, _| emit_sync(host, params.read()?)),
    ("tail", |host, params, session| tail(host, params.read()?, session)),
    ("events.stats", |host, params, _| none(params).and_then(|()| events::stats(host))),
    ("events.dead", |host, params, _| events::dead(host, params.read()?)),
    ("events.replay", |host, params, _| events::replay(host, params.read()?)),
    ("events.drop", |host, params, _| events::drop(host, params.read()?)),
    ("config.get", |host, params, _| config::get(host, params.read()?)),
    ("config.set", |host, params, _| config::set(host, params.read()?)),
    ("config.patch", |host, params, _| config::patch(host, params.read()?)),
    ("cache.stats", |host, params, _| none(params).and_then(|()| cache::stats(host))),
    ("cache.list", |host, params, _| cache::list(host, params.read()?)),
    ("cache.get", |host, params, _| cache::get(host, params.read()?)),
    ("cache.invalidate", |host, params, _| cache::invalidate(host, params.read()?)),
    ("storage.stats", |host, params, _| storage::stats(host, params.read()?)),
    ("storage.list", |host, params, _| storage::list(host, params.read()?)),
    ("storage.get", |host, params, _| storage::get(host, params.read()?)),
    ("storage.set", |host, params, _| storage::set(host, params.read()?)),
    ("storage.remove", |host, params, _| storage::remove(host, params.read()?)),
    ("storage.export", |host, params, _| storage::export(host, params.read()?)),
    ("storage.import", |host, params, _| storage::import(host, params.read()?)),
    ("storage.check", |host, params, _| storage::check(host, params.read()?)),
    ("sql.list", |host, params, _| sql::list(host, params.read()?)),
    ("sql.query", |host, params, session| sql::query(host, params.read()?, session)),
    ("sql.next", |_, params, session| sql::next(params.read()?, session)),
    ("sql.execute", |host, params, _| sql::execute(host, params.read()?)),
    ("sql.script", |host, params, _| sql::script(host, params.read()?)),
    ("sql.backup", |host, params, session| sql::backup(host, params.read()?, session)),
];

const NAMES: [&str; METHODS.len()] = {
    let mut names = [""; METHODS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = METHODS[at].0;
        at += 1;
    }
    names
};

/// The methods of a host, as its control socket serves them. Does not keep the host from stopping.
pub(crate) struct HostMethods(pub(crate) Host);

impl Methods for HostMethods {
    fn names(&self) -> &'static [&'static str] {
        &NAMES
    }

    fn answer(&self, method: &str, params: Params<'_>, session: &Arc<Session>) -> Answer {
        answer(&self.0, method, params, Some(session))
    }
}

/// Answers as the control socket does. Without a connection there is nowhere to send events to.
pub(crate) fn answer(
    host: &Host,
    method: &str,
    params: Params<'_>,
    session: Option<&Arc<Session>>,
) -> Answer {
    match METHODS.iter().find(|(name, _)| *name == method) {
        Some((_, carry_out)) => carry_out(host, params, session),
        None => Err(Refusal::UnknownMethod),
    }
}

/// One plugin, by its id.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// Those too that lie in the plugin folders and were never loaded, and those that have only left something behind.
    #[serde(default)]
    available: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelOf {
    plugin: Option<String>,
    /// Null: the plugin follows the level of the host again.
    level: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publish {
    /// A CloudEvent in JSON.
    event: Box<RawValue>,
    #[serde(default)]
    wait_ms: u64,
    #[serde(default)]
    durable: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishSync {
    event: Box<RawValue>,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tail {
    #[serde(default)]
    patterns: Vec<String>,
}

/// A plugin, as `plugins` shows it.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    version: &'a str,
    state: &'static str,
    generation: Option<u64>,
    path: String,
    sha256: Option<String>,
    loaded_ms: Option<i64>,
    stuck: bool,
    suspended: Option<Value>,
    error: Option<Failure>,
    calls: u64,
    failed_calls: u64,
    handled: u64,
    failed_handled: u64,
    waiting: u64,
    running: u64,
    registrations: u64,
    emitted: u64,
    cache_items: u64,
    cache_bytes: u64,
    cache_hits: u64,
    cache_misses: u64,
    storage_items: u64,
    storage_bytes: u64,
    database_bytes: u64,
}

#[derive(Serialize)]
pub(super) struct Failure {
    kind: &'static str,
    text: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self { kind: error.kind().name(), text: error.to_string() }
    }
}

fn plugins(host: &Host, listing: Listing) -> Answer {
    let infos = host.plugins();
    let mut shown: Vec<Value> =
        infos.iter().map(|info| given(&Shown::of(info))).collect::<Result<_, Refusal>>()?;
    if listing.available {
        let discovery = host.available();
        let mut stored = host.stored();
        for info in &infos {
            stored.remove(&info.id);
        }
        let unknown = |candidate: &&Candidate| infos.iter().all(|info| info.id != candidate.manifest.id);
        for candidate in discovery.found.iter().filter(unknown) {
            let manifest = &candidate.manifest;
            let (version, path) = (manifest.version.to_string(), candidate.path.display().to_string());
            let kept = stored.remove(&manifest.id).unwrap_or_default();
            shown.push(given(&Shown::idle(&manifest.id, &version, "available", path, kept))?);
        }
        for (id, kept) in stored.iter().filter(|(_, kept)| **kept != Kept::default()) {
            shown.push(given(&Shown::idle(id, "", "absent", String::new(), *kept))?);
        }
    }
    Ok(json!({ "plugins": shown }))
}

impl<'a> Shown<'a> {
    fn of(info: &'a PluginInfo) -> Self {
        let counters = &info.counters;
        Self {
            id: &info.id,
            version: &info.version,
            state: info.state.name(),
            generation: info.generation,
            path: info.path.display().to_string(),
            sha256: info.sha256.map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect()),
            loaded_ms: info.loaded_at.map(unix_ms),
            stuck: info.stuck,
            suspended: info.suspended.as_ref().map(|suspended| {
                json!({
                    "reason": suspended.reason.name(),
                    "text": suspended.text,
                    "since_ms": unix_ms(suspended.since),
                    "until_ms": suspended.until.map(unix_ms),
                })
            }),
            error: info.error.as_ref().map(Failure::from),
            calls: counters.calls,
            failed_calls: counters.failed_calls,
            handled: counters.handled,
            failed_handled: counters.failed_handled,
            waiting: counters.waiting,
            running: counters.running,
            registrations: counters.registrations,
            emitted: counters.emitted,
            cache_items: counters.cache_items,
            cache_bytes: counters.cache_bytes,
            cache_hits: counters.cache_hits,
            cache_misses: counters.cache_misses,
            storage_items: counters.storage_items,
            storage_bytes: counters.storage_bytes,
            database_bytes: counters.database_bytes,
        }
    }

    /// One that this host has never loaded.
    fn idle(id: &'a str, version: &'a str, state: &'static str, path: String, kept: Kept) -> Self {
        Self {
            id,
            version,
            state,
            generation: None,
            path,
            sha256: None,
            loaded_ms: None,
            stuck: false,
            suspended: None,
            error: None,
            calls: 0,
            failed_calls: 0,
            handled: 0,
            failed_handled: 0,
            waiting: 0,
            running: 0,
            registrations: 0,
            emitted: 0,
            cache_items: 0,
            cache_bytes: 0,
            cache_hits: 0,
            cache_misses: 0,
            storage_items: kept.items,
            storage_bytes: kept.bytes,
            database_bytes: kept.database_bytes,
        }
    }
}

fn step(params: Params<'_>, carry_out: impl FnOnce(&str) -> Result<()>) -> Answer {
    let Of { id } = params.read()?;
    Ok(carry_out(&id).map(done)?)
}

fn levels(host: &Host) -> Value {
    let levels = host.log_levels();
    let plugins: Map<String, Value> =
        levels.plugins.iter().map(|(id, level)| (id.clone(), level.name().into())).collect();
    json!({ "default": levels.default.name(), "plugins": plugins })
}

fn set_level(host: &Host, LevelOf { plugin, level }: LevelOf) -> Answer {
    let level: Option<Level> = match level {
        Some(level) => Some(level.parse().map_err(|_| {
            Refusal::Params(format!(
                "`level`: {level:?} is none: there are trace, debug, info, warn, error and fatal"
            ))
        })?),
        None => None,
    };
    match (plugin, level) {
        (plugin, Some(level)) => host.set_log_level(plugin.as_deref(), level),
        (Some(plugin), None) => host.clear_log_level(&plugin),
        (None, None) => {
            return Err(Refusal::Params(
                "`level` is missing: only a plugin can do without one of its own".into(),
            ));
        }
    }
    Ok(levels(host))
}

fn emit(host: &Host, Publish { event, wait_ms, durable }: Publish) -> Answer {
    let draft = draft(&event)?;
    let tenant = draft.tenant.to_string();
    let wait = wait("wait_ms", wait_ms)?;
    let Emitted { matched, queued, dropped, displaced } = match durable {
        false => host.emit_and_wait(&tenant, draft, wait)?,
        true => host.emit_durable(&tenant, draft, wait)?,
    };
    Ok(json!({ "matched": matched, "queued": queued, "dropped": dropped, "displaced": displaced }))
}

fn emit_sync(host: &Host, PublishSync { event, timeout_ms }: PublishSync) -> Answer {
    let draft = draft(&event)?;
    let tenant = draft.tenant.to_string();
    let timeout = timeout_ms.map(|ms| wait("timeout_ms", ms)).transpose()?;
    let results = host.emit_sync(&tenant, draft, timeout)?;
    Ok(json!({ "results": results.iter().map(handled).collect::<Vec<_>>() }))
}

fn handled(result: &HandlerResult) -> Value {
    let outcome = match &result.outcome {
        Outcome::Handled(_) => "handled",
        Outcome::Failed(_) => "failed",
        Outcome::Timeout(_) => "timeout",
        Outcome::Panic(_) => "panic",
        Outcome::Skipped(_) => "skipped",
    };
    let mut shown = json!({
        "subscriber": &*result.subscriber,
        "subscription": &*result.subscription,
        "outcome": outcome,
        "error": result.outcome.error().map(Failure::from),
    });
    // Bytes that are no text travel as in CloudEvents.
    match str::from_utf8(result.outcome.reply()) {
        Ok(text) => shown["reply"] = text.into(),
        Err(_) => {
            shown["reply_base64"] = data_encoding::BASE64.encode(result.outcome.reply()).into();
        }
    }
    shown
}

/// An event as `tail` sends it.
#[derive(Serialize)]
struct Told<'a> {
    event: &'a RawValue,
}

fn tail(host: &Host, Tail { patterns }: Tail, session: Option<&Arc<Session>>) -> Answer {
    let Some(session) = session else {
        let text = "events can be told on a connection only: ask the control socket";
        return Err(Error::new(ErrorKind::Unsupported, text).into());
    };
    let patterns = if patterns.is_empty() { vec![">".to_owned()] } else { patterns };
    let before = session.kept();
    if before + patterns.len() > MOST_PATTERNS {
        let problem = match before {
            0 => format!("`patterns`: {} are too many, {MOST_PATTERNS} are taken", patterns.len()),
            _ => format!(
                "`patterns`: {} are too many on a connection that has {before} already, {MOST_PATTERNS} are taken",
                patterns.len()
            ),
        };
        return Err(Refusal::Params(problem));
    }
    let parsed: Vec<Pattern> = patterns.iter().map(|text| Pattern::parse(text)).collect::<Result<_>>()?;
    let mut taps = Vec::with_capacity(parsed.len());
    for (at, text) in patterns.iter().enumerate() {
        let before = parsed[..at].to_vec();
        let session = Arc::downgrade(session);
        let late = session.clone();
        let missed = move |count| {
            if let Some(session) = late.upgrade() {
                session.missed(count);
            }
        };
        let tell = move |event: &Event| {
            // One that an earlier pattern is for has been told.
            if !before.iter().any(|pattern| pattern.matches(&event.topic))
                && let Some(session) = session.upgrade()
                && let Ok(event) = RawValue::from_string(to_json(event))
            {
                session.notify("event", &Told { event: &event });
            }
        };
        let options = SubscribeOptions {
            capacity: TAIL_CAPACITY,
            policy: Policy::DropOldest,
            ..SubscribeOptions::default()
        };
        taps.push(host.tap(text, options, tell, missed)?);
    }
    for tap in taps {
        session.keep(Box::new(tap));
    }
    Ok(json!({ "patterns": patterns }))
}

/// A path that means the same to both sides: they may be in different folders.
pub(super) fn absolute(name: &str, path: &Path) -> Result<(), Refusal> {
    match path.is_absolute() {
        true => Ok(()),
        false => {
            let problem = format!("`{name}`: {:?} is no absolute path on the host's machine", path.display());
            Err(Refusal::Params(problem))
        }
    }
}

fn draft(event: &RawValue) -> Result<Draft, Refusal> {
    from_json(event.get().as_bytes()).map_err(|error| Refusal::Params(format!("`event`: {error}")))
}

fn wait(name: &str, ms: u64) -> Result<Duration, Refusal> {
    if ms > LONGEST_WAIT_MS {
        return Err(Refusal::Params(format!("`{name}`: {ms}, at most {LONGEST_WAIT_MS} are taken")));
    }
    Ok(Duration::from_millis(ms))
}

fn none(params: Params<'_>) -> Result<(), Refusal> {
    let params: BTreeMap<String, IgnoredAny> = params.read()?;
    match params.keys().next() {
        None => Ok(()),
        Some(name) => Err(Refusal::Params(format!("`{name}`: this method takes no params"))),
    }
}

pub(super) fn given(value: &impl Serialize) -> Answer {
    serde_json::to_value(value).map_err(|error| {
        Error::new(ErrorKind::Internal, format!("the answer cannot be said in JSON: {error}")).into()
    })
}

pub(super) fn done((): ()) -> Value {
    json!({})
}

fn unix_ms(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docs_explain_every_method_and_no_other() {
        let docs = include_str!("../../docs/control.md");
        let methods = docs.split("\n## Methods\n").nth(1).expect("there is the section");
        let section = methods.split("\n## ").next().unwrap_or(methods);
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let documented: std::collections::BTreeSet<_> = rows.map(|(name, _)| name).collect();
        assert_eq!(documented, NAMES.into_iter().collect());
    }
}
