//! Durable writes a second: one commit for each write by plain rusqlite, beside the storage on the ledger with one
//! caller, with 8 and with 64.
//!
//! `cargo bench -p pintle --bench ledger`. `TMPDIR` says on which disk; on one that answers `fsync` at once (a tmpfs)
//! there is nothing to share. A lone caller pays at most a little for the queue that others would meet it in; many
//! share commits, so they write several times as much. facts.md has figures to compare with.

#[path = "measure/bars.rs"]
mod bars;
mod measure;

use std::{process::ExitCode, sync::Barrier, thread};

use bars::{Report, pairs};
use measure::{measuring, rounds, time};
use pintle::bench_parts::Ledger;
use rusqlite::{Connection, params};

const VALUE: [u8; 100] = [7; 100];

/// How long a write may take beside the baseline's, by callers.
const BARS: [(usize, f64); 3] = [(1, 1.5), (8, 0.7), (64, 0.4)];

fn main() -> ExitCode {
    let writes = if measuring() { 1_024 } else { 64 };
    let folder = tempfile::tempdir().expect("a folder for the files");
    let ledger = Ledger::open(&folder.path().join("ledger.db")).expect("the ledger opens");
    let plain = Connection::open(folder.path().join("plain.db")).expect("SQLite opens it");
    plain
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            CREATE TABLE items (key BLOB PRIMARY KEY, value BLOB NOT NULL);",
        )
        .expect("nothing is in its way");

    let mut report = Report::default();
    println!(
        "a write of 100 bytes that is on disk when it returns, beside one commit for each by plain rusqlite:"
    );
    for (callers, bar) in BARS {
        let mut shared = Vec::new();
        let pairs = pairs(
            rounds(15),
            || time(|| alone(&plain, writes)) / writes as f64 / 1e3,
            || {
                let before = ledger.counts();
                let took = time(|| together(&ledger, callers, writes)) / writes as f64 / 1e3;
                let after = ledger.counts();
                shared.push((after.0 - before.0) as f64 / (after.1 - before.1) as f64);
                took
            },
        );
        let what = if callers == 1 { "a lone caller".to_owned() } else { format!("{callers} callers") };
        report.bar(&what, "us", &pairs, bar);
        let a_second = |took: &[f64]| 1e6 / measure::median(took.to_vec());
        println!(
            "    {:.0} writes/s to {:.0}, {:.1} for each commit",
            a_second(&pairs.subject),
            a_second(&pairs.baseline),
            measure::median(shared)
        );
    }
    report.end()
}

fn alone(plain: &Connection, writes: usize) {
    let mut set = plain.prepare_cached("INSERT OR REPLACE INTO items VALUES (?1, ?2)").expect("it is right");
    for number in 0..writes {
        let key = format!("0/{number}");
        set.execute(params![key.as_bytes(), VALUE]).expect("it can be written");
    }
}

fn together(ledger: &Ledger, callers: usize, writes: usize) {
    let begin = Barrier::new(callers);
    thread::scope(|threads| {
        for caller in 0..callers {
            let begin = &begin;
            threads.spawn(move || {
                begin.wait();
                for number in 0..writes / callers {
                    ledger.set(&format!("{caller}/{number}"), &VALUE).expect("it can be written");
                }
            });
        }
    });
}
