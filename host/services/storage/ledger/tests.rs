//! What only this engine can show: its tables, its thread, and what happens within one commit.

use std::{
    sync::{Arc, Barrier, Mutex},
    thread,
    time::Duration,
};

use rusqlite::types::Value;
use tempfile::TempDir;

use super::{
    super::{
        Action, Batch, Change, ChangeKind, Changes, Info, JobDraft, JobTiming, Lifetime, Listener, Outcome,
        Quota, Quotas, Refused, Step, StorageBackend,
        conformance::{Scopes, key},
    },
    LedgerStorage, OUTBOX, SCHEMA, StorageOptions, read, schema,
    state::{Place, State},
};
use crate::{
    error::{ErrorKind, Result},
    services::{
        clock::ManualClock,
        events::{Draft, Extension, Topic},
        ledger::{Durability, Fault, Ledger, LedgerOptions, Schema, Transaction, Write},
    },
};

/// When the tests begin.
const START: i64 = 1_000_000;

const HOUR: Duration = Duration::from_secs(3_600);

/// A storage on a ledger of its own. `meter` is in two tenants, `other` in one.
struct Scene {
    storage: LedgerStorage,
    ledger: Arc<Ledger>,
    scopes: Scopes,
    clock: Arc<ManualClock>,
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self::open(folder(), &ManualClock::at(START), 1_000)
    }

    /// Remembers removals for an hour, and at most so many.
    fn open(folder: TempDir, clock: &Arc<ManualClock>, most_removals: u64) -> Self {
        let ledger = open_ledger(&folder, clock, &[SCHEMA, OUTBOX]);
        let options = StorageOptions::new(Arc::clone(clock) as _, |error| panic!("{error}"));
        let options = StorageOptions { remembered: HOUR, most_removals, ..options };
        let storage = LedgerStorage::open(Arc::clone(&ledger), options).expect("it can be read");
        let scopes = Scopes::of(&[("meter", "acme"), ("meter", "zeta"), ("other", "acme")]);
        Self { storage, ledger, scopes, clock: Arc::clone(clock), folder }
    }

    fn restart(self) -> Self {
        let Self { storage, ledger, clock, folder, .. } = self;
        drop(storage);
        drop(Arc::into_inner(ledger).expect("the storage has let go of it"));
        Self::open(folder, &clock, 1_000)
    }

    fn apply_in(&self, scope: usize, steps: &[Step<'_>], quotas: Quotas) -> Result<Vec<Outcome>, Refused> {
        self.storage.apply(&self.scopes.at(scope), &Batch { steps, events: &[], jobs: &[], quotas })
    }

    fn apply(&self, steps: &[Step<'_>]) -> Result<Vec<Outcome>, Refused> {
        self.apply_in(0, steps, Quotas::default())
    }

    fn set_in(&self, scope: usize, name: &str) -> u64 {
        self.apply_in(scope, &[set(name)], Quotas::default()).expect("nothing is in its way")[0].version
    }

    fn set(&self, name: &str) -> u64 {
        self.set_in(0, name)
    }

    fn remove(&self, name: &str) -> u64 {
        self.apply(&[remove(name)]).expect("nothing is in its way")[0].version
    }

    fn clear(&self) -> u64 {
        self.storage.clear(&self.scopes.at(0)).expect("nothing is in its way")
    }

    fn get(&self, name: &str) -> Option<(Vec<u8>, Info)> {
        let mut found = None;
        let mut read = |value: &[u8], info| found = Some((value.to_vec(), info));
        self.storage.get(&self.scopes.at(0), key(name), &mut read).expect("it can be read");
        found
    }

    fn keys_in(&self, scope: usize) -> Vec<String> {
        self.storage.keys(&self.scopes.at(scope), "", None, 10_000).expect("it can be read")
    }

    fn keys(&self) -> Vec<String> {
        self.keys_in(0)
    }

    fn changes(&self, after: u64) -> Result<Changes> {
        self.storage.changes(&self.scopes.at(0), "", after, 1_000)
    }

    /// Items and bytes.
    fn usage(&self, scope: usize) -> (u64, u64) {
        let usage = self.storage.usage_of(&self.scopes.at(scope)).expect("it can be read");
        (usage.items, usage.bytes)
    }

    /// What one statement tells, row by row.
    fn rows(&self, statement: &str) -> Vec<Vec<Value>> {
        rows(&self.ledger, statement)
    }

    fn number(&self, statement: &str) -> i64 {
        let Value::Integer(number) = self.rows(statement)[0][0] else { panic!("it is a number") };
        number
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

fn open_ledger(folder: &TempDir, clock: &Arc<ManualClock>, schemas: &[Schema]) -> Arc<Ledger> {
    let options = LedgerOptions {
        durability: Durability::Off,
        clock: Arc::clone(clock) as _,
        schemas: schemas.to_vec(),
        report: Box::new(|error| eprintln!("{error}")),
    };
    Arc::new(Ledger::open(folder.path().join("ledger.db"), options).expect("nothing is in its way"))
}

fn rows(ledger: &Ledger, statement: &str) -> Vec<Vec<Value>> {
    let rows = ledger.read(|ledger| {
        let mut find = ledger.prepare(statement)?;
        let columns = find.column_count();
        let rows = find.query_map([], |row| (0..columns).map(|column| row.get(column)).collect())?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    });
    rows.expect("it can be read")
}

fn step<'a>(name: &'a str, action: Action<'a>) -> Step<'a> {
    Step { key: key(name), if_version: None, action }
}

fn set(name: &str) -> Step<'_> {
    step(name, Action::Set { value: b"value", lifetime: Lifetime::Endless })
}

fn set_for(name: &str, ms: i64) -> Step<'_> {
    step(name, Action::Set { value: b"value", lifetime: Lifetime::Ms(ms) })
}

fn remove(name: &str) -> Step<'_> {
    step(name, Action::Remove)
}

/// A step that fails where the item is not there.
fn impossible(name: &str) -> Step<'_> {
    Step { if_version: Some(u64::MAX >> 1), ..set(name) }
}

/// Keeps what it is told: plugin, tenant, change.
#[derive(Default)]
struct Told(Mutex<Vec<(String, String, Change)>>);

impl Told {
    fn take(&self) -> Vec<(String, String, Change)> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

impl Listener for Told {
    fn changed(&self, plugin: &str, tenant: &str, change: &Change) {
        let told = (plugin.to_owned(), tenant.to_owned(), change.clone());
        self.0.lock().expect("no panic").push(told);
    }
}

/// Has a group wait: reached, then open.
struct Hold(Arc<Barrier>);

impl Write for Hold {
    type Answer = ();

    fn apply(&self, _: &Transaction<'_>) -> Result<(), Fault> {
        self.0.wait();
        self.0.wait();
        Ok(())
    }

    fn size(&self) -> usize {
        0
    }
}

type Caller<'a, T> = Box<dyn FnOnce(&Scene) -> T + Send + 'a>;

/// Runs all of it in one group, in this order, and returns the answers.
fn together<T: Send>(scene: &Scene, callers: Vec<Caller<'_, T>>) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(2));
    let before = scene.ledger.counts();
    let many = callers.len();
    let answers = thread::scope(|threads| {
        let hold = Hold(Arc::clone(&barrier));
        threads.spawn(|| scene.ledger.write(hold).expect("nothing is in its way"));
        barrier.wait();
        let mut running = Vec::new();
        for (at, caller) in callers.into_iter().enumerate() {
            running.push(threads.spawn(move || caller(scene)));
            while scene.ledger.waiting() <= at {
                thread::yield_now();
            }
        }
        barrier.wait();
        running.into_iter().map(|caller| caller.join().expect("no panic")).collect()
    });
    assert!(scene.ledger.counts().largest_group >= many as u64);
    assert!(scene.ledger.counts().commits >= before.commits + 2);
    answers
}

/// A file as the first form had it.
#[test]
fn a_file_of_the_first_form_opens_and_keeps_keys_values_versions_and_times() {
    struct Fill;
    impl Write for Fill {
        type Answer = ();
        fn apply(&self, transaction: &Transaction<'_>) -> Result<(), Fault> {
            for statement in [
                "INSERT INTO storage_scopes VALUES (1, 'meter', 'acme', 2, 9), (2, 'other', 'acme', 1, 1)",
                "INSERT INTO storage_items (item, scope, key, version, created_ms, updated_ms, value) VALUES
                    (1, 1, CAST('b' AS BLOB), 40, 5, 9, x'00ff'), (2, 2, CAST('x' AS BLOB), 3, 6, 6, x''),
                    (3, 1, CAST('a' AS BLOB), 17, 7, 8, CAST('text!' AS BLOB))",
                "UPDATE storage_sequence SET version = 50",
            ] {
                transaction.prepare(statement)?.execute([])?;
            }
            Ok(())
        }
        fn size(&self) -> usize {
            0
        }
    }
    let (folder, clock) = (folder(), ManualClock::at(START));
    let first = Schema { service: "storage", steps: &[schema::FIRST] };
    let ledger = open_ledger(&folder, &clock, &[first]);
    ledger.write(Fill).expect("nothing is in its way");
    drop(ledger);

    let scene = Scene::open(folder, &clock, 1_000);
    assert_eq!(scene.keys(), ["a", "b"]);
    assert_eq!(scene.keys_in(2), ["x"]);
    let info = |version, created_ms, updated_ms| Info { version, created_ms, updated_ms, expires_ms: None };
    assert_eq!(scene.get("a"), Some((b"text!".to_vec(), info(17, 7, 8))));
    assert_eq!(scene.get("b"), Some((vec![0, 0xff], info(40, 5, 9))));
    assert_eq!((scene.usage(0), scene.usage(2)), ((2, 9), (1, 1)));
    // The items with versions up to 50 that are gone were told of, and so were their versions.
    assert_eq!(scene.storage.version().expect("it is known"), 50);
    assert_eq!(scene.changes(49).expect_err("removals are not known").kind(), ErrorKind::OutOfRange);
    let versions: Vec<_> = scene.changes(0).expect("all").list.iter().map(|change| change.version).collect();
    assert_eq!(versions, [17, 40]);
    let replaced = Step { if_version: Some(17), ..set("a") };
    assert_eq!(scene.apply(&[replaced]).expect("it has that version")[0].version, 51);
    assert_eq!(scene.clear(), 2);
    scene.clock.settle();
    assert_eq!(scene.number("SELECT count(*) FROM storage_items"), 1);
    assert_eq!(scene.keys_in(2), ["x"]);
}

#[test]
fn after_an_hour_removals_are_forgotten_and_who_asks_for_them_is_told_so() {
    let scene = Scene::new();
    let first = scene.set("a");
    let removed = scene.remove("a");
    scene.clock.advance(HOUR / 2);
    scene.set("b");
    let later = scene.remove("b");
    let kinds = |changes: &Changes| changes.list.iter().map(|change| change.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&scene.changes(first).expect("remembered")), [ChangeKind::Removed; 2]);
    assert_eq!(scene.changes(0).expect("it is possible").list, []);

    // The next look at what is old is up to a 24th of the time later.
    scene.clock.advance(HOUR / 2 + HOUR / 12);
    let error = scene.changes(first).expect_err("the first removal is forgotten");
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
    assert!(error.to_string().contains(&format!("from version {removed} on")), "{error}");
    assert_eq!(kinds(&scene.changes(removed).expect("remembered")), [ChangeKind::Removed]);
    assert_eq!(scene.changes(later).expect("remembered"), Changes { list: vec![], up_to: later });
    assert_eq!(scene.changes(0).expect("it is possible").list, []);
    // What began with 0 goes on where it was.
    let on = scene.storage.changes_since(&scene.scopes.at(0), "", first, later, 10);
    assert_eq!(on.expect("it began later"), Changes { list: vec![], up_to: later });
    let error = scene.changes(later + 1).expect_err("there is no such version yet");
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
    assert!(error.to_string().contains(&format!("the last one is {later}")), "{error}");
}

#[test]
fn storage_8_what_is_forgotten_of_others_keeps_nobody_from_going_on() {
    let scene = Scene::new();
    let quiet = scene.set_in(2, "quiet");
    let first = scene.set("a");
    let removed = scene.remove("a");
    scene.set("b");
    let changes = |scope, after| scene.storage.changes(&scene.scopes.at(scope), "", after, 10);
    scene.clock.advance(2 * HOUR);
    assert_eq!(scene.number("SELECT count(*) FROM storage_removed"), 0);
    assert!(changes(0, first).is_err() && changes(0, removed).is_ok());
    let later = scene.set_in(2, "later");
    let told: Vec<_> = changes(2, quiet).expect("none of its own").list;
    assert_eq!(told.iter().map(|change| change.version).collect::<Vec<_>>(), [later]);

    // A scope that is gone for good, and comes again, has forgotten too.
    let gone = scene.remove("b");
    scene.clock.advance(3 * HOUR);
    assert_eq!(scene.number("SELECT count(*) FROM storage_scopes"), 1, "tenants come and go");
    assert!(changes(0, removed).is_err() && changes(0, gone).is_ok());
    scene.set("c");
    assert!(changes(0, removed).is_err() && changes(0, gone).is_ok());
    assert!(changes(2, quiet).is_ok());
    let scene = scene.restart();
    assert!(scene.set("d") > gone && scene.changes(removed).is_err());
}

#[test]
fn more_removals_than_are_to_be_remembered_are_forgotten_oldest_first() {
    let scene = Scene::open(folder(), &ManualClock::at(START), 32);
    let removed: Vec<_> = (0..100)
        .map(|number| {
            let name = number.to_string();
            scene.set(&name);
            scene.remove(&name)
        })
        .collect();
    scene.clock.settle();
    let left = scene.rows("SELECT version FROM storage_removed ORDER BY version");
    assert!((16..=32).contains(&left.len()), "{} are remembered", left.len());
    let floor = scene.number("SELECT version FROM storage_floor");
    assert_eq!(floor.cast_unsigned(), removed[99 - left.len()], "the last one that is not");
    assert!(scene.changes(floor.cast_unsigned() - 1).is_err());
    assert_eq!(scene.changes(floor.cast_unsigned()).expect("remembered").list.len(), left.len());
}

#[test]
fn storage_2_no_version_comes_again_whatever_was_removed_before_a_restart() {
    type Ending = fn(&Scene) -> u64;
    let endings: [(&str, Ending); 5] = [
        ("nothing", |scene| scene.set("a")),
        ("the newest is removed", |scene| scene.remove("a")),
        ("its scope is cleared", |scene| {
            scene.clear();
            scene.storage.version().expect("it is known")
        }),
        ("it has expired", |scene| {
            scene.apply(&[set_for("a", 10)]).expect("nothing is in its way");
            scene.clock.advance(Duration::from_millis(10));
            scene.storage.version().expect("it is known")
        }),
        ("nothing of it is remembered", |scene| {
            scene.remove("a");
            let last = scene.remove("b");
            scene.clock.advance(3 * HOUR);
            assert_eq!(scene.number("SELECT count(*) FROM storage_scopes"), 0, "tenants come and go");
            assert_eq!(scene.number("SELECT count(*) FROM storage_removed"), 0);
            last
        }),
    ];
    for (name, end) in endings {
        let scene = Scene::new();
        scene.set("b");
        scene.set("a");
        let last = end(&scene);
        assert_eq!(scene.storage.version().expect("it is known"), last, "{name}");
        let scene = scene.restart();
        assert_eq!(scene.storage.version().expect("it is known"), last, "{name}");
        assert!(scene.set("c") > last, "{name}");
    }
}

#[test]
fn storage_12_clear_takes_one_small_write_and_what_lay_there_goes_in_steps() {
    let scene = Scene::new();
    let names: Vec<_> = (0..1_200).map(|number| format!("{number:04}")).collect();
    for some in names.chunks(100) {
        let steps: Vec<_> = some.iter().map(|name| set(name)).collect();
        scene.apply(&steps).expect("nothing is in its way");
    }
    scene.set_in(1, "mine");
    // Without its thread nothing is deleted.
    scene.storage.close();
    let before = scene.ledger.counts();
    assert_eq!(scene.clear(), 1_200);
    assert_eq!(scene.ledger.counts().writes, before.writes + 1);
    assert_eq!(scene.number("SELECT count(*) FROM storage_items"), 1_201);
    assert_eq!((scene.keys(), scene.usage(0)), (vec![], (0, 0)));
    assert_eq!((scene.get("0007"), scene.clear()), (None, 0));
    let again = scene.set("0007");
    assert_eq!(scene.clear(), 1);
    let again = scene.set("0008").max(again);
    assert_eq!(scene.keys(), ["0008"]);

    // It begins where the last one has ended.
    let scene = scene.restart();
    while scene.number("SELECT count(*) FROM storage_cleared") > 0 {
        thread::yield_now();
    }
    scene.clock.settle();
    assert_eq!(scene.number("SELECT count(*) FROM storage_items"), 2);
    assert!(scene.ledger.counts().writes >= 4, "500 at a time: {:?}", scene.ledger.counts());
    assert_eq!((scene.keys(), scene.usage(0)), (vec!["0008".to_owned()], (1, 9)));
    assert_eq!(scene.get("0008").expect("it is there").1.version, again);
    assert_eq!((scene.keys_in(1), scene.usage(1)), (vec!["mine".to_owned()], (1, 9)));
}

#[test]
fn what_a_batch_leads_to_is_in_the_outbox_and_what_is_refused_leaves_nothing() {
    let scene = Scene::new();
    let topic = Topic::parse("plugin.meter.read").expect("it is one");
    let given = Draft {
        id: Some("mine".into()),
        subject: "s".into(),
        content_type: "text/plain".into(),
        key: "k".into(),
        time_ms: Some(7),
        depth: 3,
        extensions: vec![
            ("a".into(), Extension::Text("\"".into())),
            ("b".into(), Extension::Integer(-1)),
            ("c".into(), Extension::Boolean(true)),
        ],
        ..Draft::new(topic.clone(), "/plugins/meter", *b"\0data")
    };
    let bare = Draft::new(topic, "/plugins/meter", *b"{}");
    let job = |name: &str, timing| JobDraft { name: name.into(), timing, overlap: 1, data: b"run".to_vec() };
    let events = [given, bare];
    let jobs = [
        job("cron", JobTiming::Cron { rule: "0 4 * * *".into(), zone: "Europe/Paris".into() }),
        job("every", JobTiming::Every(500)),
        job("once", JobTiming::Once(30)),
    ];
    let batch = |steps: &[Step<'_>]| {
        let quotas = Quotas::default();
        scene.storage.apply(&scene.scopes.at(0), &Batch { steps, events: &events, jobs: &jobs, quotas })
    };
    let refused = batch(&[set("a"), impossible("b")]).expect_err("the second does not hold");
    assert_eq!((refused.step, refused.current, refused.error.kind()), (Some(1), 0, ErrorKind::Conflict));
    assert_eq!(scene.get("a"), None);
    for table in ["outbox_events", "outbox_jobs"] {
        assert_eq!(scene.number(&format!("SELECT count(*) FROM {table}")), 0);
    }

    batch(&[set("a")]).expect("nothing is in its way");
    let text = |text: &str| Value::Text(text.to_owned());
    let blob = |bytes: &[u8]| Value::Blob(bytes.to_vec());
    let mut events = scene.rows(
        "SELECT seq, plugin, tenant, source, type, subject, content_type, key, depth, time_ms, extensions,
            data, id FROM outbox_events ORDER BY seq",
    );
    let made = events[1].pop().expect("its id");
    let own = events[0].pop().expect("its id");
    assert_eq!(own, text("mine"));
    assert!(matches!(&made, Value::Text(id) if !id.is_empty()), "{made:?}");
    let whose = |seq| vec![Value::Integer(seq), text("meter"), text("acme")];
    let about = |seq| [whose(seq), vec![text("/plugins/meter"), text("plugin.meter.read")]].concat();
    let given = vec![
        text("s"),
        text("text/plain"),
        text("k"),
        Value::Integer(3),
        Value::Integer(7),
        text(r#"{"a":"\"","b":-1,"c":true}"#),
        blob(b"\0data"),
    ];
    let bare = vec![
        text(""),
        text("application/json"),
        text(""),
        Value::Integer(0),
        Value::Integer(START),
        text("{}"),
        blob(b"{}"),
    ];
    assert_eq!(events, [[about(1), given].concat(), [about(2), bare].concat()]);

    let jobs = scene.rows(
        "SELECT seq, plugin, tenant, name, rule, zone, every_ms, due_ms, overlap, data FROM outbox_jobs
        ORDER BY seq",
    );
    let (none, run) = (Value::Null, [Value::Integer(1), blob(b"run")]);
    let timed = |seq, name, when: [&Value; 4]| {
        [whose(seq), vec![text(name)], when.map(Value::clone).to_vec(), run.to_vec()].concat()
    };
    let at = |ms| Value::Integer(START + ms);
    assert_eq!(
        jobs,
        [
            timed(1, "cron", [&text("0 4 * * *"), &text("Europe/Paris"), &none, &none]),
            timed(2, "every", [&none, &none, &Value::Integer(500), &at(500)]),
            timed(3, "once", [&none, &none, &none, &at(30)]),
        ]
    );
    let ids = "SELECT count(DISTINCT dedupe) FROM outbox_jobs WHERE dedupe <> ''";
    assert_eq!(scene.number(ids), 3);
}

#[test]
fn an_item_is_removed_at_its_time_and_whoever_listens_is_told() {
    let scene = Scene::new();
    // Its thread has looked around, and sleeps until somebody wakes it.
    scene.clock.settle();
    let told = Arc::<Told>::default();
    scene.storage.listen(Arc::clone(&told) as _);
    let set_version = scene.apply(&[set_for("a", 1_000)]).expect("nothing is in its way")[0].version;
    scene.apply_in(2, &[set_for("b", 500)], Quotas::default()).expect("nothing is in its way");
    scene.set("c");
    told.take();

    scene.clock.advance(Duration::from_millis(500));
    let [(plugin, tenant, change)] = &told.take()[..] else { panic!("one has expired") };
    assert_eq!(
        (&**plugin, &**tenant, &*change.key, change.kind),
        ("other", "acme", "b", ChangeKind::Expired)
    );
    scene.clock.advance(Duration::from_millis(499));
    assert!(told.take().is_empty() && scene.get("a").is_some());
    scene.clock.advance(Duration::from_millis(1));
    let [(plugin, _, change)] = &told.take()[..] else { panic!("one has expired") };
    assert_eq!((&**plugin, &*change.key, change.at_ms), ("meter", "a", START + 1_000));
    assert!(change.version > set_version);
    assert_eq!(scene.rows("SELECT CAST(key AS TEXT) FROM storage_items"), [[Value::Text("c".into())]]);
    assert_eq!(scene.changes(set_version).expect("remembered").list.last(), Some(change));
    assert_eq!(scene.usage(0), (1, 6));

    // One that lives longer now, and one that never ends, are not removed at the time that they had.
    scene.apply(&[set_for("d", 10), set_for("e", 10)]).expect("nothing is in its way");
    let longer = step("d", Action::Expire { lifetime: Lifetime::Ms(30) });
    scene.apply(&[longer, set("e")]).expect("nothing is in its way");
    scene.clock.advance(Duration::from_millis(29));
    assert_eq!(scene.keys(), ["c", "d", "e"]);
    scene.clock.advance(Duration::from_millis(1));
    assert_eq!(scene.keys(), ["c", "e"]);
    assert_eq!(scene.number("SELECT count(*) FROM storage_items"), 2);
}

/// The thread may be late: nobody sees what has expired.
#[test]
fn what_has_expired_and_lies_there_still_is_seen_by_nobody() {
    let scene = Scene::new();
    let lasting = scene.set("stays");
    let number = Action::Set { value: b"41", lifetime: Lifetime::Ms(10) };
    let steps = [set_for("a", 10), step("n", number), set_for("z", 10)];
    let before = scene.apply(&steps).expect("nothing is in its way");
    scene.storage.close();
    scene.clock.advance(Duration::from_millis(10));
    assert_eq!(scene.number("SELECT count(*) FROM storage_items"), 4, "the thread has ended");

    assert_eq!((scene.get("a"), scene.keys()), (None, vec!["stays".to_owned()]));
    assert!(!scene.storage.exists(&scene.scopes.at(0), key("a")).expect("it can be read"));
    assert_eq!(scene.usage(0), (1, 10));
    let all = scene.storage.usage().expect("it can be read");
    assert_eq!(all.iter().map(|usage| (usage.items, usage.bytes)).collect::<Vec<_>>(), [(1, 10)]);
    assert_eq!(scene.changes(0).expect("all").list.len(), 1);
    assert!(scene.changes(lasting).expect("remembered").list.is_empty(), "it is told once it is removed");
    let mut nothing = vec![remove("a"), step("a", Action::Expire { lifetime: Lifetime::Endless })];
    nothing.push(Step { if_version: Some(0), ..step("a", Action::Check) });
    assert_eq!(scene.apply(&nothing).expect("nothing is in its way"), [Outcome::default(); 3]);
    let old = Step { if_version: Some(before[0].version), ..set("a") };
    assert_eq!(scene.apply(&[old]).expect_err("it is not there").current, 0);
    // At most what there is, without what has expired.
    let most = |items| Quotas { tenant: Quota { items: Some(items), bytes: None }, ..Quotas::default() };
    let incr = step("n", Action::Incr { delta: 1, lifetime: Lifetime::Keep });
    assert!(scene.apply_in(0, &[incr], most(1)).is_err());
    assert_eq!(scene.apply_in(0, &[incr], most(2)).expect("there is room")[0].value, 1);
    let (value, info) = scene.get("n").expect("it is there");
    assert_eq!((&*value, info.created_ms, info.expires_ms), (&b"1"[..], START + 10, None));
    assert_eq!(scene.usage(0), (2, 12));
    assert_eq!(scene.clear(), 2);
    assert_eq!(scene.usage(0), (0, 0));
}

#[test]
fn a_batch_that_fails_takes_none_of_its_commit_with_it() {
    let scene = Scene::new();
    // The first one of the group makes the scope, and is undone.
    let answers = together(
        &scene,
        vec![
            Box::new(|scene: &Scene| scene.apply(&[set("a"), set("b"), impossible("c")]).map(drop)),
            Box::new(|scene: &Scene| scene.apply(&[set("b"), set("d")]).map(drop)),
            Box::new(|scene: &Scene| scene.apply(&[remove("d"), impossible("b")]).map(drop)),
            Box::new(|scene: &Scene| scene.apply(&[set("e")]).map(drop)),
        ],
    );
    let failed: Vec<_> =
        answers.iter().map(|answer| answer.as_ref().err().map(|failed| failed.step)).collect();
    assert_eq!(failed, [Some(Some(2)), None, Some(Some(1)), None]);
    let current = answers[2].as_ref().expect_err("it has failed").current;
    assert_eq!(current, scene.get("b").expect("it is there").1.version);
    assert_eq!((scene.keys(), scene.usage(0)), (["b", "d", "e"].map(String::from).to_vec(), (3, 18)));
    assert_eq!(scene.set("f"), scene.storage.version().expect("it is known"));
    assert_eq!(scene.usage(0), (4, 24));
}

#[test]
fn a_clear_and_the_writes_in_its_commit_count_in_their_order() {
    let scene = Scene::new();
    scene.set("old");
    let told = Arc::<Told>::default();
    scene.storage.listen(Arc::clone(&told) as _);
    together(
        &scene,
        vec![
            Box::new(|scene: &Scene| scene.set("before")),
            Box::new(|scene: &Scene| scene.clear()),
            Box::new(|scene: &Scene| scene.set("behind")),
        ],
    );
    assert_eq!((scene.keys(), scene.usage(0)), (vec!["behind".to_owned()], (1, 11)));
    let keys: Vec<_> = told.take().into_iter().map(|(_, _, change)| change.key.to_string()).collect();
    assert_eq!(keys, ["before", "", "behind"]);
    // Whoever wrote in that commit knows the right number.
    scene.set("later");
    assert_eq!(scene.keys(), ["behind", "later"]);
    let list = scene.changes(0).expect("all").list;
    assert!(list.iter().all(|change| change.kind == ChangeKind::Set), "{list:?}");
    assert_eq!(list.len(), 2);
}

/// Reads an item as another thread would while a group runs.
struct Reader {
    ledger: Arc<Ledger>,
    state: Arc<State>,
    name: &'static str,
}

impl Write for Reader {
    type Answer = bool;

    fn apply(&self, _: &Transaction<'_>) -> Result<bool, Fault> {
        let place = Place { plugin: "meter".into(), tenant: "acme".into() };
        Ok(read::get(&self.ledger, &self.state.numbers, &place, key(self.name), || START, &mut |_, _| {})?)
    }

    fn size(&self) -> usize {
        0
    }
}

#[test]
fn who_reads_between_a_clear_and_a_write_of_one_commit_takes_the_write_nowhere() {
    let scene = Scene::new();
    scene.set("old");
    let reader = |scene: &Scene| {
        let (ledger, state) = (Arc::clone(&scene.ledger), Arc::clone(&scene.storage.state));
        let found = scene.ledger.write(Reader { ledger, state, name: "old" });
        assert!(found.expect("it can be read"), "the clear is not on disk yet");
    };
    together(
        &scene,
        vec![
            Box::new(|scene: &Scene| assert_eq!(scene.clear(), 1)),
            Box::new(reader),
            Box::new(|scene: &Scene| assert!(scene.set("behind") > 0)),
        ],
    );
    assert_eq!((scene.keys(), scene.usage(0)), (vec!["behind".to_owned()], (1, 11)));
    assert!(scene.get("behind").is_some() && scene.get("old").is_none());
}

#[test]
fn quotas_hold_within_one_commit_and_for_all_tenants_together() {
    let scene = Scene::new();
    let none = Quota::default();
    let items = |items| Quota { items: Some(items), bytes: None };
    let bytes = |bytes| Quota { items: None, bytes: Some(bytes) };
    scene.set("a");
    scene.set_in(1, "a");
    let refused = |scope, steps: &[Step<'_>], tenant, plugin| {
        let refused = scene.apply_in(scope, steps, Quotas { tenant, plugin }).expect_err("it is too much");
        assert_eq!((refused.step, refused.error.kind()), (None, ErrorKind::Quota), "{}", refused.error);
        refused.error.to_string()
    };
    for (error, parts) in [
        (
            refused(0, &[set("b")], items(1), none),
            ["acme", "has 1 items", "have 2", "at most 1", "tenant_storage_items"],
        ),
        (
            refused(0, &[set("b")], bytes(11), none),
            ["acme", "has 6 bytes", "have 12", "at most 11", "tenant_storage_bytes"],
        ),
        (
            refused(0, &[set("b")], none, items(2)),
            ["all tenants", "has 2 items", "have 3", "at most 2", "quota.storage_items"],
        ),
        (
            refused(1, &[set("b")], none, bytes(17)),
            ["all tenants", "has 12 bytes", "have 18", "at most 17", "quota.storage_bytes"],
        ),
    ] {
        for part in parts.into_iter().chain(["plugin.meter.quota."]) {
            assert!(error.contains(part), "{error} does not say {part}");
        }
    }
    assert_eq!((scene.keys(), scene.usage(0)), (vec!["a".to_owned()], (1, 6)));
    // What does not grow, or grows and shrinks again, is no business of the quota; nor is another plugin.
    let one = Quotas { tenant: items(0), plugin: bytes(1) };
    scene.apply_in(0, &[set("a")], one).expect("it is as large as before");
    scene.apply_in(0, &[set("b"), remove("a")], one).expect("it is as much as before");
    scene.apply_in(2, &[set("a")], Quotas { tenant: items(1), plugin: items(1) }).expect("it has nothing");

    // What goes all at once, or by itself, makes room.
    let three = Quotas { tenant: none, plugin: items(3) };
    scene.apply_in(1, &[set_for("b", 5)], three).expect("there is room");
    assert!(scene.apply_in(1, &[set("c")], three).is_err());
    scene.clock.advance(Duration::from_millis(5));
    scene.apply_in(1, &[set("c")], three).expect("there is room again");
    assert!(scene.apply_in(0, &[set("c")], three).is_err());
    assert_eq!(scene.storage.clear(&scene.scopes.at(1)).expect("nothing is in its way"), 2);
    let fill = ["d", "e"].map(|name| scene.apply_in(1, &[set(name)], three).is_ok());
    assert_eq!(fill, [true, true]);
    assert!(scene.apply_in(1, &[set("f")], three).is_err());
    scene.storage.clear(&scene.scopes.at(1)).expect("nothing is in its way");

    // What the storage's own thread writes would stand between the two.
    while scene.number("SELECT count(*) FROM storage_cleared") > 0 {
        thread::yield_now();
    }
    let two = Quotas { tenant: items(2), plugin: none };
    let answers = together(
        &scene,
        ["c", "d"]
            .map(|name| Box::new(move |scene: &Scene| scene.apply_in(0, &[set(name)], two).is_ok()) as Box<_>)
            .into(),
    );
    assert_eq!(answers, [true, false], "there is room for one");
    assert_eq!(scene.keys(), ["b", "c"]);
}

#[test]
fn changes_come_in_pages_in_the_order_of_versions_through_whatever_lies_between() {
    let scene = Scene::new();
    let names: Vec<_> = (0..40).map(|number| format!("{number:02}")).collect();
    for name in &names {
        for scope in 0..3 {
            scene.set_in(scope, name);
        }
    }
    // A removal, one and a new item, and an item that is written again.
    let removed = scene.remove("03");
    scene.remove("05");
    let anew = scene.set("05");
    let again = scene.set("07");
    let all = |prefix: &str, after: u64, limit| {
        let (mut at, mut list) = (after, Vec::new());
        let begun = if after == 0 { scene.storage.version().expect("it is known") } else { after };
        loop {
            let page = scene.storage.changes_since(&scene.scopes.at(0), prefix, at, begun, limit);
            let mut page = page.expect("all is remembered");
            assert!(page.list.len() <= limit && page.up_to >= at);
            let ended = page.list.is_empty();
            list.append(&mut page.list);
            at = page.up_to;
            if ended {
                assert_eq!(at, scene.storage.version().expect("it is known"));
                return list;
            }
        }
    };
    let told = |list: Vec<Change>| {
        list.into_iter().map(|change| (change.key.to_string(), change.kind)).collect::<Vec<_>>()
    };
    let mut expected: Vec<_> = names
        .iter()
        .filter(|name| !["03", "05", "07"].contains(&name.as_str()))
        .map(|name| (name.clone(), ChangeKind::Set))
        .collect();
    expected.extend(["05", "07"].map(|name| (name.to_owned(), ChangeKind::Set)));
    for limit in [1, 2, 7, 8, 9, 1_000] {
        assert_eq!(told(all("", 0, limit)), expected, "{limit} at a time");
        let late = all("0", removed - 1, limit);
        let versions: Vec<_> = late.iter().map(|change| change.version).collect();
        assert_eq!(versions, [removed, anew, again], "{limit} at a time");
        assert_eq!(late[0].kind, ChangeKind::Removed);
    }
    scene.clear();
    let cleared = scene.storage.version().expect("it is known");
    let last = scene.set("new");
    assert_eq!(
        all("", removed - 1, 1).iter().map(|change| (change.kind, change.version)).collect::<Vec<_>>(),
        [(ChangeKind::Cleared, cleared), (ChangeKind::Set, last)]
    );
    assert_eq!(told(all("", 0, 1)), [("new".to_owned(), ChangeKind::Set)]);
}

#[test]
fn changes_are_told_in_the_order_of_versions_and_are_on_disk_by_then() {
    let scene = Scene::new();
    let told = Arc::<Told>::default();
    scene.storage.listen(Arc::clone(&told) as _);
    thread::scope(|threads| {
        for caller in 0..4 {
            let scene = &scene;
            threads.spawn(move || {
                for number in 0..40 {
                    let name = format!("{caller}/{number}");
                    let last = scene.set(&name);
                    assert!(scene.storage.version().expect("it is known") >= last);
                    if number % 8 == 0 {
                        scene.remove(&name);
                    }
                }
            });
        }
    });
    let told = told.take();
    assert!(told.iter().zip(&told[1..]).all(|((.., one), (.., next))| one.version < next.version));
    assert_eq!(told.len(), 4 * 45);
    assert_eq!(told.last().expect("many").2.version, scene.storage.version().expect("it is known"));
}
