//! `sysmon`: a job that reads `stat`, `meminfo` and `loadavg` from `/proc` and emits what it read as
//! `plugin.sysmon.cpu`, `plugin.sysmon.memory` and `plugin.sysmon.load`. How the files are read is in `proc.rs`.

#![forbid(unsafe_code)]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pintle_plugin::{Context, Error, Plugin, Result, Status, plugin, serde_json::Value};
use proc::{CpuTimes, Load, Memory};
use serde::Deserialize;

mod proc;

/// The plugin. Everything else lives in its job.
#[derive(Debug)]
pub struct Sysmon {
    enabled: AtomicBool,
}

#[derive(Deserialize)]
struct Settings {
    interval_ms: u64,
    proc: PathBuf,
}

impl Plugin for Sysmon {
    fn load(_: &Context) -> Result<Self> {
        Ok(Self { enabled: AtomicBool::new(false) })
    }

    fn enable(&self, cx: &Context) -> Result<()> {
        schedule(cx, cx.config().get("")?)?;
        self.enabled.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn disable(&self, _: &Context) -> Result<()> {
        self.enabled.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn configure(&self, cx: &Context, config: &Value) -> Result<()> {
        let settings = Settings::deserialize(config)?;
        if self.enabled.load(Ordering::Relaxed) {
            schedule(cx, settings)?; // Takes the place of the job with the same name.
        }
        Ok(())
    }
}

plugin!(Sysmon, "plugin.json");

/// Takes the first reading now, so that each run, the first one too, has one to compare with.
fn schedule(cx: &Context, settings: Settings) -> Result<()> {
    let sampler = Sampler::new(settings.proc)?;
    let every = Duration::from_millis(settings.interval_ms);
    cx.scheduler().interval("sample", every, move |cx, _| sampler.emit(cx))?;
    Ok(())
}

/// Reads one folder, and remembers the processors' times from one sample to the next.
struct Sampler {
    proc: PathBuf,
    last: Mutex<CpuTimes>,
}

impl Sampler {
    fn new(proc: PathBuf) -> Result<Self> {
        let last = Mutex::new(read(&proc, "stat", CpuTimes::parse)?);
        Ok(Self { proc, last })
    }

    /// Emits all three. One that fails does not keep the others from being emitted.
    fn emit(&self, cx: &Context) -> Result<()> {
        let outcomes = [
            read(&self.proc, "stat", CpuTimes::parse).and_then(|now| self.emit_cpu(cx, now)),
            read(&self.proc, "meminfo", Memory::parse)
                .and_then(|memory| cx.events().emit_json("memory", &memory)),
            read(&self.proc, "loadavg", Load::parse).and_then(|load| cx.events().emit_json("load", &load)),
        ];
        let failures = outcomes.into_iter().filter_map(Result::err);
        let joined = failures.reduce(|first, next| {
            Error::new(first.status(), format!("{}; {}", first.message(), next.message()))
        });
        joined.map_or(Ok(()), Err)
    }

    fn emit_cpu(&self, cx: &Context, now: CpuTimes) -> Result<()> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Between two ticks of the kernel there is nothing to tell.
        let Some(sample) = now.since(&last) else { return Ok(()) };
        *last = now;
        drop(last);
        cx.events().emit_json("cpu", &sample)
    }
}

fn read<T>(proc: &Path, file: &str, parse: fn(&str) -> Result<T, String>) -> Result<T> {
    let path = proc.join(file);
    let text = fs::read_to_string(&path)
        .map_err(|error| Error::from(error).context(format_args!("cannot read {}", path.display())))?;
    parse(&text).map_err(|problem| {
        Error::new(Status::InvalidArgument, format!("cannot understand {}: {problem}", path.display()))
    })
}
