//! Drives the plugin `keeper`: asks it to read and write the storage on up to 64 threads at once.

use std::{path::Path, sync::atomic::AtomicU32, thread, time::Duration};

use pintle::{Host, Settings};
use pintle_test_support::install;

use crate::source::compiled;

/// The most threads that it works on at once: `concurrency` in `keeper.c`.
pub(crate) const MOST_THREADS: usize = 64;

/// What the plugin does. The numbers are those of `keeper.c`.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum What {
    Set,
    /// 100 sets in one batch.
    Batch,
    Get,
}

/// A host with the plugin in it.
pub(crate) struct Plugin {
    host: Host,
    _folder: tempfile::TempDir,
}

impl Plugin {
    /// With its data in this folder, and so many bytes for what was read.
    pub(crate) fn start(data: &Path, read_cache: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the plugin");
        install(&compiled("keeper"), folder.path());
        let mut settings = Settings { workers: Some(MOST_THREADS), ..Settings::default() };
        settings.storage.read_cache = read_cache;
        settings.control.enabled = false;
        let host = Host::builder().settings(settings).plugins(folder.path()).data(data).build();
        let host = host.expect("a host can be made");
        let started = host.start();
        assert!(started.failed.is_empty(), "{:?}", started.failed);
        Self { host, _folder: folder }
    }

    /// Nanoseconds from when the threads began until all had ended; one order for each. `each` gets how long each turn took.
    pub(crate) fn run(
        &self,
        what: What,
        keys: &[[u8; 16]],
        orders: &[&[u32]],
        each: Option<&mut [Vec<u64>]>,
    ) -> f64 {
        let gate = AtomicU32::new(0);
        let mut times: Vec<*mut u64> = vec![std::ptr::null_mut(); orders.len()];
        if let Some(each) = each {
            for ((times, each), order) in times.iter_mut().zip(each).zip(orders) {
                each.resize(order.len(), 0);
                *times = each.as_mut_ptr();
            }
        }
        let once = |order: &[u32], times: usize| {
            let request: Vec<u8> = [
                what as u64,
                order.len() as u64,
                keys.as_ptr().addr() as u64,
                order.as_ptr().addr() as u64,
                (&raw const gate).addr() as u64,
                orders.len() as u64,
                times as u64,
            ]
            .into_iter()
            .flat_map(u64::to_ne_bytes)
            .collect();
            let minutes = Some(Duration::from_secs(600));
            let reply = self.host.call("", "bench.storage", 1, "run", &request, minutes);
            let reply = reply.unwrap_or_else(|error| panic!("the plugin runs: {error}"));
            let [from, to] = [0, 8].map(|at| reply[at..at + 8].try_into().map(u64::from_ne_bytes));
            (from.expect("two numbers"), to.expect("two numbers"))
        };
        let once = &once;
        let spans: Vec<(u64, u64)> = thread::scope(|scope| {
            let threads: Vec<_> = orders
                .iter()
                .zip(times)
                .map(|(order, times)| (order, times.expose_provenance()))
                .map(|(order, times)| scope.spawn(move || once(order, times)))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("it runs")).collect()
        });
        let from = spans.iter().map(|span| span.0).min().unwrap_or_default();
        let to = spans.iter().map(|span| span.1).max().unwrap_or_default();
        (to - from) as f64
    }
}
