//! `sysmon`: jobs that read `stat`, `meminfo`, `loadavg` and `diskstats` from `/proc` and emit what they read as
//! `plugin.sysmon.cpu`, `.memory`, `.load` and, for each disk, `.disk`. How the files are read is in `proc.rs` and
//! `disk.rs`.
//!
//! One job runs in the system scope. An application that emits `sysmon.watch` on behalf of a tenant starts another one,
//! whose samples are that tenant's, until it emits `sysmon.unwatch`.

#![forbid(unsafe_code)]

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use disk::Disks;
use pintle_plugin::{
    Context, EmitOptions, Error, Event, Held, Job, Plugin, Result, Status, plugin,
    serde_json::{self, Value},
};
use proc::{CpuTimes, Load, Memory};
use serde::{Deserialize, Serialize};

mod disk;
mod proc;

/// The plugin: who is sampled. Everything else lives in the jobs.
#[derive(Debug)]
pub struct Sysmon {
    watched: Arc<Watched>,
}

/// Who is sampled, from `enable` to `disable`.
#[derive(Debug, Default)]
struct Watched {
    enabled: AtomicBool,
    /// The tenants that asked for samples of their own, each with a context to start its job anew.
    tenants: Mutex<BTreeMap<String, (Held, Job)>>,
    /// It has been said that there is no `diskstats`.
    told_no_disks: Arc<AtomicBool>,
}

#[derive(Deserialize)]
struct Settings {
    interval_ms: u64,
    proc: PathBuf,
}

impl Plugin for Sysmon {
    fn load(cx: &Context) -> Result<Self> {
        let watched = Arc::<Watched>::default();
        let (watch, unwatch) = (Arc::clone(&watched), Arc::clone(&watched));
        cx.events().subscribe("sysmon.watch", move |cx, event| watch.watch(cx, event))?;
        cx.events().subscribe("sysmon.unwatch", move |cx, event| unwatch.unwatch(cx, event))?;
        Ok(Self { watched })
    }

    fn enable(&self, cx: &Context) -> Result<()> {
        self.watched.schedule(cx, &cx.config().get("")?)?;
        self.watched.enabled.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn disable(&self, _: &Context) -> Result<()> {
        self.watched.enabled.store(false, Ordering::Relaxed);
        // The host drops the jobs and the contexts.
        self.watched.tenants().clear();
        Ok(())
    }

    fn configure(&self, cx: &Context, config: &Value) -> Result<()> {
        let settings = Settings::deserialize(config)?;
        if !self.watched.enabled.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.watched.schedule(cx, &settings)?; // Takes the place of the job with the same name.
        for (held, job) in self.watched.tenants().values_mut() {
            *job = self.watched.schedule(held, &settings)?;
        }
        Ok(())
    }
}

plugin!(Sysmon, "plugin.json");

impl Watched {
    /// Starts samples for the event's tenant. Asked for twice they are started once.
    fn watch(&self, cx: &Context, event: &Event<'_>) -> Result<()> {
        // The system's own samples are always there.
        let Some(tenant) = event.tenant() else { return Ok(()) };
        let mut tenants = self.tenants();
        if !tenants.contains_key(tenant) {
            let held = cx.hold()?;
            let job = self.schedule(cx, &cx.config().get("")?)?;
            tenants.insert(tenant.to_owned(), (held, job));
        }
        Ok(())
    }

    fn unwatch(&self, cx: &Context, event: &Event<'_>) -> Result<()> {
        let watched = event.tenant().and_then(|tenant| self.tenants().remove(tenant));
        watched.map_or(Ok(()), |(_, job)| job.remove(cx))
    }

    /// Takes the first reading now, so that each run, the first one too, has one to compare with. The job runs in the
    /// scope of `cx`.
    fn schedule(&self, cx: &Context, settings: &Settings) -> Result<Job> {
        let sampler = Sampler::new(cx, &settings.proc, Arc::clone(&self.told_no_disks))?;
        let every = Duration::from_millis(settings.interval_ms);
        cx.scheduler().interval("sample", every, move |cx, _| sampler.emit(cx))
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<String, (Held, Job)>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads one folder, and remembers the counters of processors and disks from one sample to the next.
struct Sampler {
    proc: PathBuf,
    cpu: Mutex<CpuTimes>,
    disks: Mutex<Option<(Instant, Disks)>>,
    told_no_disks: Arc<AtomicBool>,
}

impl Sampler {
    fn new(cx: &Context, proc: &Path, told_no_disks: Arc<AtomicBool>) -> Result<Self> {
        let cpu = Mutex::new(read(proc, "stat", CpuTimes::parse)?);
        let sampler = Self { proc: proc.to_owned(), cpu, disks: Mutex::default(), told_no_disks };
        *sampler.disks.lock().unwrap_or_else(PoisonError::into_inner) = sampler.read_disks(cx)?;
        Ok(sampler)
    }

    /// Emits all of them. One that fails does not keep the others from being emitted.
    fn emit(&self, cx: &Context) -> Result<()> {
        let outcomes = [
            read(&self.proc, "stat", CpuTimes::parse).and_then(|now| self.emit_cpu(cx, now)),
            read(&self.proc, "meminfo", Memory::parse)
                .and_then(|memory| cx.events().emit_json("memory", &memory)),
            read(&self.proc, "loadavg", Load::parse).and_then(|load| cx.events().emit_json("load", &load)),
            self.emit_disks(cx),
        ];
        let failures = outcomes.into_iter().filter_map(Result::err);
        let joined = failures.reduce(|first, next| {
            Error::new(first.status(), format!("{}; {}", first.message(), next.message()))
        });
        joined.map_or(Ok(()), Err)
    }

    fn emit_cpu(&self, cx: &Context, now: CpuTimes) -> Result<()> {
        let mut last = self.cpu.lock().unwrap_or_else(PoisonError::into_inner);
        // Between two ticks of the kernel there is nothing to tell.
        let Some(sample) = now.since(&last) else { return Ok(()) };
        *last = now;
        drop(last);
        cx.events().emit_json("cpu", &sample)
    }

    fn emit_disks(&self, cx: &Context) -> Result<()> {
        let now = self.read_disks(cx)?;
        let mut last = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = std::mem::replace(&mut *last, now);
        let (Some((then, earlier)), Some((time, disks))) = (earlier, &*last) else { return Ok(()) };
        let samples = disks.since(&earlier, time.saturating_duration_since(then));
        drop(last);
        samples.iter().try_for_each(|disk| emit_about(cx, "disk", &disk.device, disk))
    }

    /// The disks and when they were read; none where the machine shows none, as in a container.
    fn read_disks(&self, cx: &Context) -> Result<Option<(Instant, Disks)>> {
        let path = self.proc.join("diskstats");
        match fs::read_to_string(&path) {
            Ok(text) => {
                Ok(Some((Instant::now(), Disks::parse(&text).map_err(|problem| odd(&path, &problem))?)))
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
            {
                if !self.told_no_disks.swap(true, Ordering::Relaxed) {
                    let (path, reason) = (path.display().to_string(), error.to_string());
                    let fields = [("path", path.as_str().into()), ("reason", reason.as_str().into())];
                    cx.log()
                        .info("there are no samples of disks, for this machine does not show them", &fields);
                }
                Ok(None)
            }
            Err(error) => Err(unreadable(&path, error)),
        }
    }
}

fn emit_about(cx: &Context, topic: &str, subject: &str, sample: &impl Serialize) -> Result<()> {
    cx.events().emit_with(topic, &serde_json::to_vec(sample)?, &EmitOptions::new().subject(subject))
}

fn read<T>(proc: &Path, file: &str, parse: fn(&str) -> Result<T, String>) -> Result<T> {
    let path = proc.join(file);
    let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
    parse(&text).map_err(|problem| odd(&path, &problem))
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::from(error).context(format_args!("cannot read {}", path.display()))
}

fn odd(path: &Path, problem: &str) -> Error {
    Error::new(Status::InvalidArgument, format!("cannot understand {}: {problem}", path.display()))
}
