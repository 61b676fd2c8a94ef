//! Export and import on the ledger, where the front cannot show it: batches, watches, lifetimes by a clock in the hand,
//! and damage. What an application sees is in `tests/services/carry.rs`.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use tempfile::TempDir;

use super::{
    Action, Batch, Change, ChangeKind, ExportPlan, GoOn, ImportMode, LedgerStorage, Lifetime, Listener,
    OUTBOX, Quotas, SCHEMA, Step, Storage, StorageOptions,
    conformance::{Scopes, key},
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::{
        clock::ManualClock,
        ledger::{Durability, Ledger, LedgerOptions},
    },
};

const NOW: i64 = 1_767_225_600_000;

/// A storage on a ledger in a folder of its own.
struct Rig {
    storage: Storage,
    clock: Arc<ManualClock>,
    ledger: Arc<Ledger>,
    folder: TempDir,
}

impl Rig {
    fn new() -> Self {
        Self::open(tempfile::tempdir().expect("there is a place for temporary files"))
    }

    fn open(folder: TempDir) -> Self {
        let clock = ManualClock::at(NOW);
        let options = LedgerOptions {
            durability: Durability::Off,
            clock: Arc::clone(&clock) as _,
            schemas: vec![SCHEMA, OUTBOX],
            report: Box::new(|error| eprintln!("{error}")),
        };
        let ledger = Ledger::open(folder.path().join("ledger.db"), options).expect("nothing is in its way");
        let ledger = Arc::new(ledger);
        let options = StorageOptions::new(Arc::clone(&clock) as _, |error| eprintln!("{error}"));
        let backend = LedgerStorage::open(Arc::clone(&ledger), options).expect("it can be read");
        let storage = Storage::new(Box::new(backend), 1 << 20, Arc::clone(&clock) as _);
        Self { storage, clock, ledger, folder }
    }

    /// Closes everything, for what is done to the file.
    fn close(self) -> TempDir {
        let Self { storage, ledger, folder, .. } = self;
        storage.close();
        drop(storage);
        drop(Arc::into_inner(ledger).expect("the storage has let go of it"));
        folder
    }

    fn export(&self, name: &str) -> Result<String> {
        let path = self.folder.path().join(name);
        let plan = ExportPlan { plugin: "meter", tenant: None, path: &path, overwrite: false, host: "0.0.0" };
        self.storage.export(&plan, &go_on())?;
        Ok(fs::read_to_string(&path).expect("it was written"))
    }

    fn import(&self, name: &str, mode: ImportMode) -> Result<(u64, u64)> {
        let path = self.folder.path().join(name);
        let done = self.storage.import(&path, mode, None, &go_on())?;
        Ok((done.items, done.removed))
    }

    /// Writes an item for the first of the scopes.
    fn set(&self, scopes: &Scopes, name: &str, ttl_ms: Option<i64>) -> u64 {
        let lifetime = ttl_ms.map_or(Lifetime::Endless, Lifetime::Ms);
        let step = Step { key: key(name), if_version: None, action: Action::Set { value: b"v", lifetime } };
        self.storage.apply_one(&scopes.at(0), step, Quotas::default()).expect("it can be written").version
    }
}

fn go_on() -> GoOn {
    Arc::new(|| Ok(()))
}

fn meter() -> Scopes {
    Scopes::of(&[("meter", "acme"), ("meter", ""), ("other", "acme")])
}

#[test]
fn storage_14_an_export_has_whole_batches_while_others_write_them() {
    let (rig, scopes) = (Rig::new(), meter());
    let names: Vec<String> = (0..64).map(|n| format!("{n:02}")).collect();
    let write = |round: u64| {
        let value = round.to_string();
        let action = Action::Set { value: value.as_bytes(), lifetime: Lifetime::Endless };
        let steps: Vec<Step<'_>> =
            names.iter().map(|name| Step { key: key(name), if_version: None, action }).collect();
        let batch = Batch { steps: &steps, events: &[], jobs: &[], quotas: Quotas::default() };
        for scope in [0, 1] {
            rig.storage.apply(&scopes.at(scope), &batch).expect("it can be written");
        }
    };
    write(0);
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| (1..).take_while(|_| !done.load(SeqCst)).for_each(write));
        for at in 0..30 {
            let text = rig.export(&format!("export {at}")).expect("nothing is in its way");
            let rounds = |tenant: &str| -> Vec<u64> {
                let of = format!("{{\"tenant\":\"{tenant}\"");
                let value = |line: &str| line.split("\"text\":\"").nth(1)?.split('"').next()?.parse().ok();
                text.lines().filter(|line| line.starts_with(&of)).filter_map(value).collect()
            };
            let (system, acme) = (rounds(""), rounds("acme"));
            assert_eq!((system.len(), acme.len()), (64, 64));
            for batch in [&system, &acme] {
                assert!(batch.iter().all(|round| *round == batch[0]), "{batch:?}");
            }
            // Of one moment over all tenants: acme's batch of a round comes before that of the system scope.
            assert!(acme[0] == system[0] || acme[0] == system[0] + 1, "{} {}", acme[0], system[0]);
        }
        done.store(true, SeqCst);
    });
}

#[derive(Default)]
struct Heard(Mutex<Vec<(String, Change)>>);

impl Listener for Heard {
    fn changed(&self, plugin: &str, tenant: &str, change: &Change) {
        assert_eq!(plugin, "meter");
        self.0.lock().push((tenant.to_owned(), change.clone()));
    }
}

#[test]
fn watches_are_told_of_an_import_as_of_other_writes_and_can_resume_behind_it() {
    let (rig, scopes) = (Rig::new(), meter());
    for name in ["a", "b"] {
        rig.set(&scopes, name, None);
    }
    rig.export("export").expect("nothing is in its way");
    let before = rig.set(&scopes, "c", None);
    let heard = Arc::<Heard>::default();
    rig.storage.listen(heard.clone());
    for (mode, removed, kinds) in [
        (
            ImportMode::Replace,
            3,
            &[(ChangeKind::Cleared, ""), (ChangeKind::Set, "a"), (ChangeKind::Set, "b")][..],
        ),
        (ImportMode::Merge, 0, &[(ChangeKind::Set, "a"), (ChangeKind::Set, "b")]),
    ] {
        assert_eq!(rig.import("export", mode).expect("it is whole"), (2, removed));
        let told = std::mem::take(&mut *heard.0.lock());
        assert!(told.iter().all(|(tenant, _)| tenant == "acme"), "{told:?}");
        let told: Vec<Change> = told.into_iter().map(|(_, change)| change).collect();
        let what: Vec<_> = told.iter().map(|change| (change.kind, &*change.key)).collect();
        assert_eq!(what, kinds);
        assert!(told.is_sorted_by_key(|change| change.version) && told[0].version > before, "{told:?}");
        assert_eq!(rig.storage.version().expect("it can be read"), told[told.len() - 1].version);
        let after =
            rig.storage.changes(&scopes.at(0), "", told[0].version - 1, 100).expect("it is remembered");
        let resumed = |changes: &[Change]| -> Vec<_> {
            changes.iter().map(|change| (change.kind, change.key.clone(), change.version)).collect()
        };
        assert_eq!(resumed(&after.list), resumed(&told), "{mode:?}");
    }
}

#[test]
fn what_has_expired_is_neither_exported_nor_in_the_way() {
    let (rig, scopes) = (Rig::new(), meter());
    rig.set(&scopes, "long", Some(10_000));
    rig.set(&scopes, "short", Some(10));
    let whole = rig.export("whole").expect("nothing is in its way");
    assert!(
        whole.contains("\"short\"") && whole.contains(&format!("\"expires_ms\":{}", NOW + 10)),
        "{whole}"
    );
    // As if nobody had time to remove it: no time passes, it is only later.
    rig.clock.set_wall(NOW + 10);
    let later = rig.export("later").expect("nothing is in its way");
    assert!(!later.contains("\"short\"") && later.contains("\"long\""), "{later}");
    let error = rig.import("whole", ImportMode::Empty).expect_err("one is there still");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("1 items for the tenant \"acme\""), "{error}");
    rig.clock.set_wall(NOW + 10_000);
    // The file's are over as well.
    assert_eq!(rig.import("whole", ImportMode::Empty).expect("nothing is there any more"), (0, 0));
    rig.clock.set_wall(NOW + 5);
    assert_eq!(rig.import("whole", ImportMode::Merge).expect("they live"), (2, 0));
    rig.clock.advance(Duration::from_millis(5));
    rig.clock.settle();
    assert!(rig.storage.exists(&scopes.at(0), key("long")).expect("it can be read"));
    assert!(!rig.storage.exists(&scopes.at(0), key("short")).expect("it can be read"));
    assert_eq!(rig.storage.usage_of(&scopes.at(0)).expect("it can be read").items, 1);
    assert_eq!(rig.storage.verify(true, &go_on()).expect("it can be read").problems, Vec::<String>::new());
}

#[test]
fn storage_15_what_fails_in_the_middle_has_changed_nothing() {
    let (rig, scopes) = (Rig::new(), meter());
    for n in 0..1_000 {
        rig.set(&scopes, &format!("{n:04}"), None);
    }
    rig.export("export").expect("nothing is in its way");
    let before = rig.export("before").expect("nothing is in its way");
    let path = rig.folder.path().join("export");
    // The file is looked through once before, in as many steps.
    for fails_at in [1, 500, 1_002, 1_003, 1_500, 2_003] {
        let steps = Mutex::new(0);
        let stop: GoOn = Arc::new(move || {
            *steps.lock() += 1;
            match *steps.lock() == fails_at {
                true => Err(Error::new(ErrorKind::Stopping, "the host is stopping")),
                false => Ok(()),
            }
        });
        let error = rig.storage.import(&path, ImportMode::Replace, None, &stop).expect_err("it was stopped");
        assert_eq!(error.kind(), ErrorKind::Stopping, "{error}");
        let after = rig.export(&format!("after {fails_at}")).expect("nothing is in its way");
        assert_eq!(after, before, "stopped at {fails_at}");
    }
    let stop: GoOn = Arc::new(|| Err(Error::new(ErrorKind::Stopping, "the host is stopping")));
    let late = rig.folder.path().join("late");
    let plan = ExportPlan { plugin: "meter", tenant: None, path: &late, overwrite: false, host: "0.0.0" };
    assert_eq!(rig.storage.export(&plan, &stop).expect_err("it was stopped").kind(), ErrorKind::Stopping);
    let left = fs::read_dir(rig.folder.path()).expect("it is there").filter_map(|entry| {
        entry.expect("it can be read").file_name().into_string().ok().filter(|name| name.starts_with("late"))
    });
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn storage_15_a_file_that_is_another_one_when_it_is_read_again_is_not_taken() {
    let (rig, scopes) = (Rig::new(), meter());
    for n in 0..100 {
        rig.set(&scopes, &format!("{n:04}"), None);
    }
    // A shorter one, so that the first look ends where it would have.
    let other = rig.export("other").expect("nothing is in its way");
    rig.set(&scopes, "new", None);
    let before = rig.export("export").expect("nothing is in its way");
    let path = rig.folder.path().join("export");
    let (steps, changed) = (Mutex::new(0), path.clone());
    let swap: GoOn = Arc::new(move || {
        *steps.lock() += 1;
        // The last line of the first look.
        if *steps.lock() == 103 {
            fs::write(&changed, &other).expect("it can be written");
        }
        Ok(())
    });
    let error = rig.storage.import(&path, ImportMode::Replace, None, &swap).expect_err("it was changed");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    let after = rig.export("after").expect("nothing is in its way");
    assert_eq!(after, before);
}

/// Does something to the ledger as if nobody but this had it.
fn meddle(folder: &Path, with: &str) {
    let ledger = rusqlite::Connection::open(folder.join("ledger.db")).expect("it is there");
    ledger.execute_batch(with).expect("it can be done");
}

#[test]
fn a_check_finds_what_does_not_agree() {
    let cases = [
        (
            "UPDATE storage_scopes SET items = items + 1 WHERE tenant = 'acme'",
            "plugin \"meter\", tenant \"acme\": 3 items of 4 bytes are counted, 2 of 4 are there",
        ),
        ("UPDATE storage_scopes SET bytes = 0", "2 items of 0 bytes are counted"),
        ("DELETE FROM storage_scopes", "2 items belong to no plugin"),
        ("UPDATE storage_items SET scope = 99 WHERE key = x'61'", "1 items belong to no plugin"),
    ];
    for (with, said) in cases {
        let (rig, scopes) = (Rig::new(), meter());
        for name in ["a", "b"] {
            rig.set(&scopes, name, None);
        }
        let whole = rig.storage.verify(true, &go_on()).expect("it can be read");
        assert_eq!((whole.scopes, whole.items, whole.bytes, whole.problems), (1, 2, 4, vec![]));
        let folder = rig.close();
        meddle(folder.path(), with);
        let rig = Rig::open(folder);
        let found = rig.storage.verify(true, &go_on()).expect("it can be read");
        assert!(found.problems.iter().any(|problem| problem.contains(said)), "{with}: {found:?}");
    }
}

#[test]
fn a_check_ends_where_it_may_not_go_on() {
    let (rig, scopes) = (Rig::new(), meter());
    rig.set(&scopes, "a", None);
    let stop: GoOn = Arc::new(|| Err(Error::new(ErrorKind::Stopping, "the host is stopping")));
    for thorough in [false, true] {
        let error = rig.storage.verify(thorough, &stop).expect_err("it was stopped");
        assert_eq!(error.kind(), ErrorKind::Stopping, "{error}");
        assert_eq!(rig.storage.verify(thorough, &go_on()).expect("it may").items, 1);
    }
}

/// As many as there are connections to read with would keep everybody else from reading.
#[test]
fn of_many_that_export_one_reads_at_a_time() {
    let (rig, scopes) = (Rig::new(), meter());
    for n in 0..200 {
        rig.set(&scopes, &format!("{n:04}"), None);
    }
    let (inside, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    thread::scope(|threads| {
        for at in 0..10 {
            let (rig, inside, most) = (&rig, Arc::clone(&inside), Arc::clone(&most));
            threads.spawn(move || {
                // It is asked for each item, the first to the last.
                let seen = AtomicUsize::new(0);
                let count: GoOn = Arc::new(move || {
                    let turn = seen.fetch_add(1, SeqCst);
                    if turn == 0 {
                        most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                    } else if turn == 199 {
                        inside.fetch_sub(1, SeqCst);
                    }
                    thread::yield_now();
                    Ok(())
                });
                let path = rig.folder.path().join(format!("export {at}"));
                let plan = ExportPlan {
                    plugin: "meter",
                    tenant: None,
                    path: &path,
                    overwrite: false,
                    host: "0.0.0",
                };
                rig.storage.export(&plan, &count).expect("nothing is in its way");
            });
        }
    });
    assert_eq!((inside.load(SeqCst), most.load(SeqCst)), (0, 1));
}
