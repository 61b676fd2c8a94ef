//! Drives the plugin `cacher`: asks it to read and write the cache on one or more threads at once.

use std::{sync::atomic::AtomicU32, thread, time::Duration};

use pintle::{Host, Settings};
use pintle_test_support::install;

use crate::source::compiled;

/// What the plugin does. The numbers are those of `cacher.c`.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum What {
    Get,
    Set,
    Mix,
}

/// What to do with which keys: one order for each thread.
pub(crate) struct Job<'a> {
    pub(crate) what: What,
    pub(crate) keys: &'a [[u8; 16]],
    pub(crate) orders: &'a [&'a [u32]],
}

/// A host with the plugin in it.
pub(crate) struct Plugin {
    host: Host,
    _folder: tempfile::TempDir,
}

impl Plugin {
    /// With so many bytes for the cache.
    pub(crate) fn start(capacity: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the plugin");
        install(&compiled("cacher"), folder.path());
        let mut settings = Settings::default();
        settings.cache.capacity = capacity;
        let host = Host::builder().settings(settings).plugins(folder.path()).build();
        let host = host.expect("a host can be made");
        let started = host.start();
        assert!(started.failed.is_empty(), "{:?}", started.failed);
        Self { host, _folder: folder }
    }

    /// Nanoseconds for each turn: of all threads the mean.
    pub(crate) fn run(&self, job: &Job<'_>) -> f64 {
        let gate = AtomicU32::new(0);
        let once = |order: &[u32]| {
            let request: Vec<u8> = [
                job.what as u64,
                order.len() as u64,
                job.keys.as_ptr().addr() as u64,
                order.as_ptr().addr() as u64,
                (&raw const gate).addr() as u64,
                job.orders.len() as u64,
            ]
            .into_iter()
            .flat_map(u64::to_ne_bytes)
            .collect();
            let minute = Some(Duration::from_secs(60));
            let reply = self.host.call("", "bench.cache", 1, "run", &request, minute);
            let reply = reply.unwrap_or_else(|error| panic!("the plugin runs: {error}"));
            u64::from_ne_bytes(reply.try_into().expect("the plugin answers one number")) as f64
                / order.len() as f64
        };
        let once = &once;
        let sum: f64 = thread::scope(|scope| {
            let others: Vec<_> =
                job.orders[1..].iter().map(|order| scope.spawn(move || once(order))).collect();
            let own = once(job.orders[0]);
            own + others.into_iter().map(|other| other.join().expect("it runs")).sum::<f64>()
        });
        sum / job.orders.len() as f64
    }
}
