//! Durable events, beside one commit for each by bare rusqlite on the same disk.

use pintle::Settings;
use rusqlite::{Connection, params};

use crate::{
    bars::{Pairs, Report, pairs},
    measure::{measuring, median, rounds, time},
    publisher::{PAYLOAD, Plugins, What, Work},
};

/// The most that `publisher.c` does at once: its `concurrency`.
const EMITTERS: u64 = 64;

/// How long an event may take beside the baseline's, by emitters: at least 0.85 and 4 times as many a second.
const BARS: [(u64, f64); 2] = [(1, 1.0 / 0.85), (EMITTERS, 1.0 / 4.0)];

/// An emitter is a worker that runs the publisher, with a context that it holds; nobody subscribes, so that only the way to the
/// disk is measured. The baseline has one thread and one connection, which is the fastest that it can do, and writes the
/// row that the log has of such an event; it makes no id for it, and looks for none that was there before.
pub(crate) fn durable(report: &mut Report) {
    let folder = tempfile::tempdir().expect("a folder for the files");
    let mut settings = Settings { workers: Some(EMITTERS as usize), ..Settings::default() };
    settings.data = Some(folder.path().join("data"));
    let plugins = Plugins::start(0, settings);
    let plain = Plain::open(&folder.path().join("plain.db"));
    println!("durable events, on disk when emit returns, beside one commit for each by bare rusqlite:");
    let alone = if measuring() { 640 } else { 20 };
    let before = logged(&plugins);
    let mut emitted = 0;
    for (emitters, bar) in BARS {
        // Of many emitters each does fewer, together they do more: a group is only as large as those who come.
        let turns = if emitters == 1 { alone } else { alone / 10 };
        let work = Work { what: What::EmitDurable, turns, topic: "durable", ..Work::default() };
        let baseline = || plain.inserts(alone) / 1e3;
        let subject = || {
            emitted += turns * emitters;
            plugins.run_on(emitters, &work) / (turns * emitters) as f64 / 1e3
        };
        let pairs = pairs(rounds(11), baseline, subject);
        report.bar(&format!("{emitters} at once"), "us", &pairs, bar);
        rates(&pairs);
    }
    assert_eq!(logged(&plugins) - before, emitted, "each of them is in the log");
}

fn rates(pairs: &Pairs) {
    let (baseline, subject) = (median(pairs.baseline.clone()), median(pairs.subject.clone()));
    println!(
        "    {:.0} events/s to {:.0}: {:.2} times as many",
        1e6 / subject,
        1e6 / baseline,
        baseline / subject
    );
}

fn logged(plugins: &Plugins) -> u64 {
    plugins.host.event_log().expect("it can be read").events
}

struct Plain(Connection);

impl Plain {
    /// With the columns of `events_log` in `host/services/events/durable/ledger/mod.rs`.
    fn open(path: &std::path::Path) -> Self {
        let plain = Connection::open(path).expect("SQLite opens it");
        plain
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                CREATE TABLE events_log (
                    seq INTEGER PRIMARY KEY,
                    logged_ms INTEGER NOT NULL,
                    peak_ms INTEGER NOT NULL,
                    bytes INTEGER NOT NULL,
                    total INTEGER NOT NULL,
                    only_for INTEGER,
                    tenant TEXT NOT NULL,
                    id TEXT NOT NULL,
                    source TEXT NOT NULL,
                    type TEXT NOT NULL,
                    subject TEXT NOT NULL,
                    content_type TEXT NOT NULL,
                    key TEXT NOT NULL,
                    time_ms INTEGER NOT NULL,
                    depth INTEGER NOT NULL,
                    extensions TEXT,
                    data BLOB NOT NULL
                ) STRICT;",
            )
            .expect("nothing is in its way");
        Self(plain)
    }

    /// Nanoseconds for each.
    fn inserts(&self, turns: u64) -> f64 {
        const INSERT: &str = "INSERT INTO events_log VALUES (NULL, ?1, ?1, 200, 200, NULL, '', ?2, ?3, ?4, '', ?5, '', ?1, 0, NULL, ?6)";
        let mut insert = self.0.prepare_cached(INSERT).expect("it is right");
        let took = time(|| {
            for _ in 0..turns {
                let values = params![
                    1_700_000_000_000_i64,
                    "01890a5d-ac96-774b-bcce-b302099a8057",
                    "/plugins/publisher",
                    "plugin.publisher.durable",
                    "application/octet-stream",
                    [7_u8; PAYLOAD]
                ];
                insert.execute(values).expect("it can be written");
            }
        });
        took / turns as f64
    }
}
