//! What the mirror can be told to do: `["cache.set", "n", "key", "value"]`. Each is answered with a line: `ok` and what came
//! of it, or the name of the status. Texts of errors are not told: two hosts may say it in different words.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pintle_plugin::{
    Context, EmitOptions, Event, Field, FileInfo, Held, Job, JobInfo, JobOptions, Level, Lifetime, Logger,
    Overlap, QueuePolicy, Result, SubscribeOptions, Subscription, serde_json::Value,
};

use super::{asked, durable::Followed, stored::Watches};

/// So many are made by what makes as many as it may.
const TOO_MANY: usize = 3_000;

/// What outlives a call, and can be named in the next.
#[derive(Default)]
pub(crate) struct Kept {
    held: Mutex<Vec<Arc<Held>>>,
    loggers: Mutex<Vec<Logger>>,
    subscriptions: Mutex<Vec<Subscription>>,
    jobs: Mutex<Vec<Job>>,
    pub(crate) watches: Watches,
    pub(crate) followed: Arc<Followed>,
    heard: Mutex<Vec<String>>,
    /// The tokens of operations that were started.
    pub(crate) starts: Mutex<Vec<u64>>,
}

pub(crate) fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The words of an operation.
pub(crate) struct Words<'a>(pub(crate) &'a [Value]);

impl Words<'_> {
    /// A word; `x*513` is 513 times an x. Empty if there is none.
    pub(crate) fn text(&self, at: usize) -> String {
        let word = self.0.get(at).and_then(Value::as_str).unwrap_or_default();
        match word.strip_prefix("x*").and_then(|times| times.parse().ok()) {
            Some(times) => "x".repeat(times),
            None => word.to_owned(),
        }
    }

    pub(crate) fn integer(&self, at: usize) -> i64 {
        self.0.get(at).and_then(Value::as_i64).unwrap_or_default()
    }

    pub(crate) fn unsigned(&self, at: usize) -> u64 {
        self.0.get(at).and_then(Value::as_u64).unwrap_or_default()
    }

    pub(crate) fn milliseconds(&self, at: usize) -> Duration {
        Duration::from_millis(self.unsigned(at))
    }

    /// `null` is endless.
    pub(crate) fn lifetime(&self, at: usize) -> Lifetime {
        match self.0.get(at) {
            Some(Value::Number(_)) => Lifetime::For(self.milliseconds(at)),
            _ => Lifetime::Endless,
        }
    }
}

/// `ok` and what came of it, or the name of the status.
pub(crate) fn told<T>(outcome: Result<T>, tell: impl FnOnce(T) -> String) -> String {
    match outcome {
        Ok(value) => format!("ok {}", tell(value)).trim_end().to_owned(),
        Err(error) => format!("{:?}", error.status()),
    }
}

pub(crate) fn shown<T: Debug>(outcome: Result<T>) -> String {
    told(outcome, |value| format!("{value:?}"))
}

/// Neither when they run, which the hosts say in words of their own, nor how often they have.
fn shown_jobs(jobs: &[JobInfo]) -> String {
    let each = jobs.iter().map(|job| {
        let next = if job.next.is_some() { " next" } else { "" };
        format!("{} durable={} paused={} waiting={}{next}", job.name, job.durable, job.paused, job.waiting)
    });
    each.collect::<Vec<_>>().join(" | ")
}

/// Time passes in one of the hosts: lifetimes are told in steps of 100 seconds, rounded up.
pub(crate) fn life(lifetime: Lifetime) -> String {
    match lifetime.duration() {
        None => "endless".into(),
        Some(left) => format!("{}00s", left.as_millis().div_ceil(100_000)),
    }
}

/// Bytes as they are if they are few, or how many.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    if bytes.len() > 64 {
        format!("{} bytes", bytes.len())
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// How many can be made of something, and how making it then fails.
pub(crate) fn until_refused<T>(mut make: impl FnMut(usize) -> Result<T>) -> String {
    let mut made = Vec::new();
    loop {
        match make(made.len()) {
            Ok(one) if made.len() < TOO_MANY => made.push(one),
            Ok(_) => return "never refused".into(),
            Err(error) => return format!("{:?} after {}", error.status(), made.len()),
        }
    }
}

impl Kept {
    /// Does them all and tells of each.
    pub(crate) fn all(&self, cx: &Context, operations: &[Value]) -> Vec<String> {
        operations.iter().map(|one| self.one(cx, one)).collect()
    }

    /// Notes an event as its handler sees it.
    pub(crate) fn hear(&self, by: &str, event: &Event<'_>) {
        let attributes = (event.subject(), event.content_type(), event.key(), event.tenant());
        // What the host makes up is another in each.
        let id = if event.id().starts_with("my-") { event.id() } else { "some" };
        let (topic, source, depth) = (event.topic(), event.source(), event.depth());
        let data = bytes(event.data());
        lock(&self.heard).push(format!("{by} {topic} {source} {id} {depth} {attributes:?} {data}"));
    }

    fn one(&self, cx: &Context, operation: &Value) -> String {
        let Some([Value::String(name), words @ ..]) = operation.as_array().map(Vec::as_slice) else {
            return "no operation".into();
        };
        let words = Words(words);
        match name.split_once('.') {
            Some(("cache", name)) => self.cache(cx, name, &words),
            Some(("storage", name)) => self.storage(cx, name, &words),
            Some(("sql", name)) => asked::sql(cx, name, &words),
            Some(("once", name)) => self.once(cx, name, &words),
            Some(("files", name)) => files(cx, name, &words),
            Some(("events", name)) => self.events(cx, name, &words),
            Some(("durable", name)) => self.durable(cx, name, &words),
            Some(("scheduler", name)) => self.scheduler(cx, name, &words),
            Some(("config", name)) => config(cx, name, &words),
            Some(("log", name)) => self.log(cx, name, &words),
            _ => self.context(cx, name, &words),
        }
    }

    fn events(&self, cx: &Context, name: &str, words: &Words<'_>) -> String {
        let (events, topic, data) = (cx.events(), words.text(0), words.text(1));
        let [id, subject, content_type, key] = [2, 3, 4, 5].map(|at| words.text(at));
        let options = EmitOptions::new().id(&id).subject(&subject).content_type(&content_type).key(&key);
        let options = options.wait(words.milliseconds(6));
        let policy = [QueuePolicy::DropOldest, QueuePolicy::DropNew, QueuePolicy::Wait];
        match name {
            "emit" => shown(events.emit_with(&topic, data.as_bytes(), &options)),
            "sync" => {
                // The timeout in milliseconds is behind the options; none if it is not there.
                let timeout = words.0.get(7).map(|_| words.milliseconds(7));
                told(events.emit_sync_with(&topic, data.as_bytes(), timeout, &options), |results| {
                    let results = results.iter().map(|one| {
                        let reply = one.reply.as_ref().map(|reply| bytes(reply));
                        let reply = reply.unwrap_or_else(|error| format!("{:?}", error.status()));
                        format!("{} {} {:?} {reply}", one.subscriber, one.subscription, one.outcome)
                    });
                    results.collect::<Vec<_>>().join(" | ")
                })
            }
            "subscribe" => {
                let options = SubscribeOptions::new().name(&data);
                let options = options.capacity(words.unsigned(2) as u32);
                let options = options.policy(policy[words.unsigned(3) as usize]);
                let made = events.subscribe_with(&topic, &options, |_, _| Ok(()));
                told(made, |made| {
                    lock(&self.subscriptions).push(made);
                    String::new()
                })
            }
            "subscribe_all" => {
                let made = |at: usize| {
                    let name = format!("one of many {at}");
                    let made =
                        events.subscribe_with("mirror.many", &SubscribeOptions::new().name(&name), |_, _| {
                            Ok(())
                        });
                    made.inspect(|made| lock(&self.subscriptions).push(*made))
                };
                until_refused(made)
            }
            "unsubscribe" => {
                let found = lock(&self.subscriptions).get(words.unsigned(0) as usize).copied();
                found.map_or("no such subscription".into(), |one| shown(one.unsubscribe(cx)))
            }
            "unsubscribe_all" => {
                let ended =
                    lock(&self.subscriptions).drain(..).filter(|one| one.unsubscribe(cx).is_ok()).count();
                format!("ok {ended}")
            }
            "heard" => format!("ok {}", std::mem::take(&mut *lock(&self.heard)).join(" | ")),
            _ => "no operation".into(),
        }
    }

    fn scheduler(&self, cx: &Context, name: &str, words: &Words<'_>) -> String {
        let (scheduler, job, zone) = (cx.scheduler(), words.text(0), words.text(2));
        let data = words.text(8);
        // `["scheduler.kept", job, milliseconds, durable, retries, start deadline, jitter, timeout, back-off, data]`
        let kept = JobOptions::new()
            .retries(words.unsigned(3) as u32)
            .start_deadline(words.milliseconds(4))
            .jitter(words.milliseconds(5))
            .timeout(words.milliseconds(6))
            .backoff(words.milliseconds(7))
            .data(&data);
        let kept = if words.unsigned(2) == 1 { kept.durable() } else { kept };
        let options = JobOptions::new().zone(&zone).overlap(Overlap::Queue);
        let made = match name {
            "cron" => scheduler.cron_with(&job, &words.text(1), &options, |_, _| Ok(())),
            "interval" => scheduler.interval_with(&job, words.milliseconds(1), &options, |_, _| Ok(())),
            "once" => scheduler.once(&job, words.milliseconds(1), |_, _| Ok(())),
            "kept" => scheduler.interval_with(&job, words.milliseconds(1), &kept, |_, _| Ok(())),
            "after" => scheduler.after_with(&job, &words.text(1), &kept, |_, _| Ok(())),
            "handle" => scheduler.handle(&job, |_, _| Ok(())),
            "forget" => return shown(scheduler.forget(&job)),
            "pause" => return shown(scheduler.pause(&job)),
            "resume" => return shown(scheduler.resume(&job)),
            "run_now" => return shown(scheduler.run_now(&job)),
            "list" => return told(scheduler.list(), |jobs| shown_jobs(&jobs)),
            "history" => return told(scheduler.history(&job), |runs| runs.len().to_string()),
            "remove" => {
                let found = lock(&self.jobs).get(words.unsigned(0) as usize).copied();
                return found.map_or("no such job".into(), |job| shown(job.remove(cx)));
            }
            "interval_all" => {
                let beat = Duration::from_secs(1_000_000);
                let mut jobs = Vec::new();
                let made = until_refused(|at| {
                    let job = scheduler.interval(&format!("one of many {at}"), beat, |_, _| Ok(()));
                    job.inspect(|job| jobs.push(*job))
                });
                let ended = jobs.into_iter().filter(|job| job.remove(cx).is_ok()).count();
                return format!("{made}, {ended} ended");
            }
            _ => return "no operation".into(),
        };
        told(made, |made| {
            lock(&self.jobs).push(made);
            String::new()
        })
    }

    fn log(&self, cx: &Context, name: &str, words: &Words<'_>) -> String {
        let levels = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Fatal];
        let level = levels[words.unsigned(0) as usize];
        // The name of the fields, and how many there are.
        let field = words.text(2);
        let fields = vec![(field.as_str(), Field::Text("value")); words.unsigned(3) as usize];
        match name {
            "write" => shown(cx.log().write(level, &words.text(1), &fields)),
            "enabled" => format!("ok {}", cx.log().enabled(level)),
            "logger" => told(cx.log().logger(&fields), |logger| {
                let written = shown(logger.on(cx).write(level, "a record", &fields));
                lock(&self.loggers).push(logger);
                written
            }),
            "loggers_all" => until_refused(|_| cx.log().logger(&fields)),
            _ => "no operation".into(),
        }
    }

    fn context(&self, cx: &Context, name: &str, words: &Words<'_>) -> String {
        match name {
            "hold" => told(cx.hold(), |held| {
                lock(&self.held).push(Arc::new(held));
                String::new()
            }),
            // An operation with a held context.
            "held" => {
                let held = lock(&self.held).get(words.unsigned(0) as usize).cloned();
                let one = |held: Arc<Held>| self.one(&held, &Value::Array(words.0[1..].to_vec()));
                held.map_or("no such context".into(), one)
            }
            "release" => {
                let released = lock(&self.held).drain(..).count();
                format!("ok {released}")
            }
            "holds_all" => until_refused(|_| cx.hold()),
            "scope" => told(cx.scope(), |scope| {
                format!("{:?} {} {:?}", scope.tenant, scope.ends_with_call, cx.is_system().ok())
            }),
            "remaining" => told(cx.remaining(), |left| match left {
                None => "forever".into(),
                // Time passes in one of the hosts.
                Some(left) => if left.is_zero() { "nothing" } else { "some time" }.into(),
            }),
            "call" => {
                let timeout = words.0.get(4).map(|_| words.milliseconds(4));
                let (service, method, request) = (words.text(0), words.text(2), words.text(3));
                let reply = cx.call(&service, words.unsigned(1) as u32, &method, request.as_bytes(), timeout);
                told(reply, |reply| bytes(&reply))
            }
            _ => "no operation".into(),
        }
    }
}

fn files(cx: &Context, name: &str, words: &Words<'_>) -> String {
    let (files, path, data) = (cx.files(), words.text(0), words.text(1));
    let known = |info: FileInfo| {
        let order = info.created <= info.updated;
        format!("{} bytes version {} in order {order}", info.len, info.version)
    };
    let given = |found: Option<Vec<u8>>| found.map_or("nothing".into(), |found| bytes(&found));
    match name {
        "put" => told(files.put(&path, data.as_bytes()), known),
        "put_if" => shown(files.put_if_version(&path, data.as_bytes(), words.unsigned(2))),
        "create" => shown(files.create(&path, data.as_bytes())),
        "get" => told(files.get(&path), given),
        "read" => told(files.read(&path, words.unsigned(1), words.unsigned(2)), given),
        "stat" => told(files.stat(&path), |info| info.map_or("nothing".into(), known)),
        "list" => shown(files.list(&path).collect::<Result<Vec<_>>>()),
        // A page at a cursor that nobody gave.
        "page" => told(files.page(&path, &data, words.unsigned(2) as u32), |page| {
            format!("{:?} more {}", page.keys, page.next.is_some())
        }),
        // The cursor of one listing in another.
        "astray" => match files.page(&path, "", 1).map(|page| page.next) {
            Ok(Some(next)) => told(files.page(&data, &next, 1), |page| format!("{:?}", page.keys)),
            other => format!("{other:?}"),
        },
        "remove" => shown(files.remove(&path)),
        "resource" => told(files.resource(&path), |found| bytes(&found)),
        _ => "no operation".into(),
    }
}

fn config(cx: &Context, name: &str, words: &Words<'_>) -> String {
    let (config, pointer) = (cx.config(), words.text(0));
    match name {
        "get" => told(config.get::<Value>(&pointer), |value| value.to_string()),
        "text" => shown(config.text(&pointer)),
        "integer" => shown(config.integer(&pointer)),
        "number" => shown(config.number(&pointer)),
        "boolean" => shown(config.boolean(&pointer)),
        _ => "no operation".into(),
    }
}
