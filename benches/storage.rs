//! The storage through the C table of a plugin, beside bare rusqlite with one thread, one connection, WAL, `synchronous=FULL`
//! and one commit for each set, on the same disk: keys a second of one caller, of 8, of 64, and in batches of 100; a `get` of
//! what was read before and of what was not, beside a prepared point read; the slowest sets of 64 callers beside a bare 4 KiB
//! overwrite with `fdatasync`. For the record: redb and fjall with 64 callers who each want their write on disk.
//!
//! `cargo bench -p pintle --bench storage`. `TMPDIR` says on which disk; on one that answers `fsync` at once (a tmpfs) there
//! is nothing to share. The bars are those of issue 6.

#[path = "measure/bars.rs"]
mod bars;
#[path = "measure/keeper.rs"]
mod keeper;
mod measure;
#[path = "measure/source.rs"]
mod source;

use std::{
    fs::{File, OpenOptions},
    path::Path,
    process::ExitCode,
    sync::Barrier,
    thread,
};

use bars::{Pairs, Report, pairs};
use keeper::{MOST_THREADS, Plugin, What};
use measure::{measuring, median, rounds, time};
use rusqlite::{Connection, params};

const VALUE: [u8; 100] = [7; 100];

/// Steps of a batch, as in `keeper.c`.
const BATCH: usize = 100;

/// How long a set may take beside the baseline's, by callers: at least 0.9, 2.3 and 5 times as many a second.
const SETS: [(usize, f64); 3] = [(1, 1.0 / 0.9), (8, 1.0 / 2.3), (MOST_THREADS, 1.0 / 5.0)];

fn main() -> ExitCode {
    let mut report = Report::default();
    let folder = tempfile::tempdir().expect("a folder for the files");
    let load = Load::new(if measuring() { 12_800 } else { 640 });
    sets(&load, folder.path(), &mut report);
    gets(&load, folder.path(), &mut report);
    slowest(&load, folder.path(), &mut report);
    others(&load, folder.path(), &mut report);
    report.end()
}

/// Keys, and all of them in an order of their own.
struct Load {
    keys: Vec<[u8; 16]>,
    order: Vec<u32>,
}

impl Load {
    fn new(keys: usize) -> Self {
        let name = |number: u64| format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let names = (0..keys as u64).map(|number| name(number).into_bytes().try_into().expect("16 digits"));
        // 7,919 is prime, so that this meets each of them.
        let order = (0..keys as u64).map(|at| (at * 7_919 % keys as u64) as u32);
        Self { keys: names.collect(), order: order.collect() }
    }

    /// The keys shared out among callers.
    fn orders(&self, callers: usize) -> Vec<&[u32]> {
        self.order.chunks_exact(self.order.len() / callers).collect()
    }

    fn key(&self, number: u32) -> &[u8; 16] {
        &self.keys[number as usize]
    }
}

/// Keys a second that are on disk.
fn sets(load: &Load, folder: &Path, report: &mut Report) {
    let plugin = Plugin::start(&folder.join("sets"), 0);
    let plain = Plain::open(&folder.join("sets.db"));
    println!(
        "a set of 100 bytes that is on disk when it returns, beside one commit for each by bare rusqlite:"
    );
    let baseline = || plain.sets(load, 1_280);
    for (callers, bar) in SETS {
        let orders = load.orders(callers);
        let orders: Vec<&[u32]> = match callers {
            // As many as the baseline does: more would only take longer.
            1 => vec![&orders[0][..orders[0].len().min(1_280)]],
            _ => orders,
        };
        let turns = orders.iter().map(|order| order.len()).sum::<usize>() as f64;
        let subject = || plugin.run(What::Set, &load.keys, &orders, None) / turns / 1e3;
        let what = if callers == 1 { "a lone caller".to_owned() } else { format!("{callers} callers") };
        told(report, &what, &pairs(rounds(9), baseline, subject), bar);
    }
    let orders = load.orders(1);
    let whole = &orders[0][..orders[0].len() / BATCH * BATCH];
    let subject = || plugin.run(What::Batch, &load.keys, &[whole], None) / whole.len() as f64 / 1e3;
    told(report, "batches of 100", &pairs(rounds(9), baseline, subject), 1.0 / 6.0);
}

fn told(report: &mut Report, what: &str, pairs: &Pairs, bar: f64) {
    report.bar(what, "us", pairs, bar);
    let (baseline, subject) = (median(pairs.baseline.clone()), median(pairs.subject.clone()));
    println!(
        "    {:.0} keys/s to {:.0}: {:.2} times as many",
        1e6 / subject,
        1e6 / baseline,
        baseline / subject
    );
}

/// Reads of what is in memory and of what is not.
fn gets(load: &Load, folder: &Path, report: &mut Report) {
    let plain = Plain::open(&folder.join("gets.db"));
    plain.fill(load);
    println!("a get of 100 bytes, beside a prepared point read by bare rusqlite:");
    for (what, cache, bar) in [("hot", 64 << 20, 1.0 / 8.0), ("cold", 0, 1.3)] {
        let plugin = Plugin::start(&folder.join(what), cache);
        plugin.run(What::Set, &load.keys, &load.orders(64.min(load.order.len())), None);
        let order = load.orders(1);
        let subject = || plugin.run(What::Get, &load.keys, &order, None) / load.order.len() as f64;
        report.bar(what, "ns", &pairs(rounds(15), || plain.gets(load), subject), bar);
    }
}

/// The slowest sets of many callers.
fn slowest(load: &Load, folder: &Path, report: &mut Report) {
    let plugin = Plugin::start(&folder.join("slowest"), 0);
    let orders = load.orders(MOST_THREADS);
    let bare = Overwrite::new(&folder.join("overwrite"));
    println!(
        "the 99th percentile of sets with {MOST_THREADS} callers, beside the median of an overwrite of 4 KiB with fdatasync:"
    );
    let mut slowest = || {
        let mut each = vec![Vec::new(); orders.len()];
        plugin.run(What::Set, &load.keys, &orders, Some(&mut each));
        let mut each: Vec<u64> = each.into_iter().flatten().collect();
        each.sort_unstable();
        each[each.len() * 99 / 100] as f64 / 1e3
    };
    report.bar("p99", "us", &pairs(rounds(9), || bare.median(), &mut slowest), 35.0);
}

/// What others do with as many callers.
fn others(load: &Load, folder: &Path, report: &mut Report) {
    let plain = Plain::open(&folder.join("others.db"));
    let redb = redb::Database::create(folder.join("redb")).expect("redb makes it");
    let fjall = fjall::Database::builder(folder.join("fjall")).open().expect("fjall makes it");
    let items = fjall.keyspace("items", fjall::KeyspaceCreateOptions::default).expect("fjall makes it");
    println!(
        "for the record, a set with {MOST_THREADS} callers, beside one commit for each by bare rusqlite:"
    );
    let table = redb::TableDefinition::<&[u8], &[u8]>::new("items");
    let in_redb = |key: &[u8; 16]| {
        let write = redb.begin_write().expect("redb begins");
        write.open_table(table).expect("redb has it").insert(&key[..], &VALUE[..]).expect("redb takes it");
        write.commit().expect("redb commits");
    };
    let in_fjall = |key: &[u8; 16]| {
        items.insert(key, VALUE).expect("fjall takes it");
        fjall.persist(fjall::PersistMode::SyncData).expect("fjall syncs");
    };
    let baseline = || plain.sets(load, 640);
    let many = load.orders(MOST_THREADS);
    told(report, "redb", &pairs(rounds(3), baseline, || by_many(load, &many, &in_redb)), f64::NAN);
    told(report, "fjall", &pairs(rounds(3), baseline, || by_many(load, &many, &in_fjall)), f64::NAN);
}

/// Microseconds for each of the sets that a thread for each order does.
fn by_many(load: &Load, orders: &[&[u32]], set: &(impl Fn(&[u8; 16]) + Sync)) -> f64 {
    let begin = Barrier::new(orders.len());
    let took = time(|| {
        thread::scope(|threads| {
            for order in orders {
                threads.spawn(|| {
                    begin.wait();
                    order.iter().for_each(|number| set(load.key(*number)));
                });
            }
        });
    });
    took / orders.iter().map(|order| order.len()).sum::<usize>() as f64 / 1e3
}

/// Bare rusqlite.
struct Plain(Connection);

impl Plain {
    fn open(path: &Path) -> Self {
        let plain = Connection::open(path).expect("SQLite opens it");
        plain
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                CREATE TABLE items (key BLOB PRIMARY KEY, value BLOB NOT NULL);",
            )
            .expect("nothing is in its way");
        Self(plain)
    }

    /// Microseconds for each of so many sets.
    fn sets(&self, load: &Load, most: usize) -> f64 {
        let order = &load.order[..most.min(load.order.len())];
        let mut set =
            self.0.prepare_cached("INSERT OR REPLACE INTO items VALUES (?1, ?2)").expect("it is right");
        let took = time(|| {
            for number in order {
                set.execute(params![load.key(*number), VALUE]).expect("it can be written");
            }
        });
        took / order.len() as f64 / 1e3
    }

    fn fill(&self, load: &Load) {
        self.0.execute_batch("BEGIN").expect("it begins");
        self.sets(load, usize::MAX);
        self.0.execute_batch("COMMIT").expect("it can be written");
    }

    /// Nanoseconds for each of as many reads as there are keys.
    fn gets(&self, load: &Load) -> f64 {
        let mut get = self.0.prepare_cached("SELECT value FROM items WHERE key = ?1").expect("it is right");
        let mut found = [0; VALUE.len()];
        let took = time(|| {
            for number in &load.order {
                get.query_row([load.key(*number)], |row| {
                    found.copy_from_slice(row.get_ref(0)?.as_blob()?);
                    Ok(())
                })
                .expect("it is there");
                std::hint::black_box(&found);
            }
        });
        took / load.order.len() as f64
    }
}

/// A file that is overwritten, as SQLite writes its log at best.
struct Overwrite(File);

impl Overwrite {
    fn new(path: &Path) -> Self {
        let file = OpenOptions::new().write(true).create_new(true).open(path).expect("it can be made");
        let overwrite = Self(file);
        overwrite.once();
        overwrite.0.sync_all().expect("it can be synced");
        overwrite
    }

    fn once(&self) {
        std::os::unix::fs::FileExt::write_all_at(&self.0, &[7; 4096], 0).expect("it can be written");
        self.0.sync_data().expect("it can be synced");
    }

    /// Microseconds, the median of many.
    fn median(&self) -> f64 {
        let turns = if measuring() { 200 } else { 3 };
        median((0..turns).map(|_| time(|| self.once()) / 1e3).collect())
    }
}
