//! Drives the plugin `querier`: asks it to run SQL on one or more threads at once.

use std::{path::Path, sync::atomic::AtomicU64, thread, time::Duration};

use pintle::{Host, Settings};
use pintle_test_support::install;

use crate::source::compiled;

/// What the plugin does. The numbers are those of `querier.c`.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum What {
    Script,
    /// A query of one row for each key.
    One,
    Stream,
    /// A transaction with 1,000 inserts of a number, a real, a text and a blob.
    Inserts,
    /// The same insert, by itself.
    Insert,
    /// A statement with one blob.
    Blob,
    /// A transaction with nothing in it.
    Empty,
}

/// How many inserts a transaction of [`What::Inserts`] has.
pub(crate) const INSERTED: i64 = 1_000;

/// What it does with what.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    pub(crate) what: What,
    pub(crate) turns: u64,
    pub(crate) sql: &'a str,
    pub(crate) keys: &'a [i64],
    pub(crate) bytes: &'a [u8],
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    /// Nanoseconds from when the threads began until all had ended.
    pub(crate) took: f64,
    pub(crate) rows: u64,
    /// Of everything that rows held.
    pub(crate) sum: u64,
}

/// A host with the plugin in it.
pub(crate) struct Plugin {
    host: Host,
    _folder: tempfile::TempDir,
}

impl Plugin {
    /// With its data in this folder, and so many connections.
    pub(crate) fn start(data: &Path, connections: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the plugin");
        install(&compiled("querier"), folder.path());
        let mut settings = Settings { workers: Some(8), ..Settings::default() };
        settings.database.connections = connections;
        settings.database.statement = Duration::from_secs(60);
        settings.control.enabled = false;
        let host = Host::builder().settings(settings).plugins(folder.path()).data(data).build();
        let host = host.expect("a host can be made");
        let started = host.start();
        assert!(started.failed.is_empty(), "{:?}", started.failed);
        Self { host, _folder: folder }
    }

    /// Has the work done on so many threads at once, each for the whole of it.
    pub(crate) fn run(&self, tenant: &str, work: &Work<'_>, threads: u64) -> Done {
        let gate = AtomicU64::new(0);
        let once = || {
            let request: Vec<u8> = [
                work.what as u64,
                work.turns,
                work.sql.as_ptr().addr() as u64,
                work.sql.len() as u64,
                work.keys.as_ptr().addr() as u64,
                work.bytes.as_ptr().addr() as u64,
                work.bytes.len() as u64,
                (&raw const gate).addr() as u64,
                threads,
            ]
            .into_iter()
            .flat_map(u64::to_ne_bytes)
            .collect();
            let minutes = Some(Duration::from_secs(600));
            let reply = self.host.call(tenant, "bench.sql", 1, "run", &request, minutes);
            let reply = reply.unwrap_or_else(|error| panic!("the plugin runs: {error}"));
            let numbers: Vec<u64> =
                reply.as_chunks::<8>().0.iter().map(|number| u64::from_ne_bytes(*number)).collect();
            <[u64; 4]>::try_from(numbers).expect("four numbers")
        };
        let all: Vec<[u64; 4]> = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(once)).collect();
            let own = once();
            others.into_iter().map(|other| other.join().expect("it runs")).chain([own]).collect()
        });
        let from = all.iter().map(|one| one[0]).min().unwrap_or_default();
        let to = all.iter().map(|one| one[1]).max().unwrap_or_default();
        Done {
            took: (to - from) as f64,
            rows: all.iter().map(|one| one[2]).sum(),
            sum: all.iter().fold(0, |sum, one| sum.wrapping_add(one[3])),
        }
    }

    /// Runs a text of SQL on the tenant's database.
    pub(crate) fn script(&self, tenant: &str, sql: &str) {
        self.run(tenant, &Work { what: What::Script, turns: 1, sql, keys: &[], bytes: &[] }, 1);
    }
}
