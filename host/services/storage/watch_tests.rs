//! Watches over a back end that does what a test says: in which order they are told, and what they make up for.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{conformance::Scopes, item, *};
use crate::services::clock::ManualClock;

/// What has changed, in the order of versions, without values.
#[derive(Default)]
struct Changed {
    log: Mutex<Vec<(String, Change)>>,
    listener: OnceLock<Arc<dyn Listener>>,
    broken: AtomicBool,
    /// From which version on changes are known.
    oldest: Mutex<u64>,
    reads: AtomicUsize,
    /// Happens once, in the middle of the next reading.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Changed {
    /// A change of `tenant`, on disk and told.
    fn change(&self, tenant: &str, kind: ChangeKind, key: &str) -> u64 {
        let change = self.commit(tenant, kind, key);
        self.listener.get().expect("the storage listens").changed("meter", tenant, &change);
        change.version
    }

    /// The same, not told yet.
    fn commit(&self, tenant: &str, kind: ChangeKind, key: &str) -> Change {
        let mut log = self.log.lock();
        let change = Change { kind, key: key.into(), version: log.len() as u64 + 1, at_ms: 0 };
        log.push((tenant.to_owned(), change.clone()));
        change
    }

    fn read(&self, scope: &DataScope<'_>, prefix: &str, after: u64, limit: usize) -> Result<Changes> {
        let tenant = scope.tenant()?;
        let (mut list, newest) = {
            let log = self.log.lock();
            let list = log.iter().filter(|(of, change)| {
                let is_about = change.kind == ChangeKind::Cleared || change.key.starts_with(prefix);
                of.as_str() == &**tenant.name() && is_about && change.version > after
            });
            (list.map(|(_, change)| change.clone()).collect::<Vec<_>>(), log.len() as u64)
        };
        let up_to = list.get(limit.wrapping_sub(1)).map_or(newest, |last| last.version);
        list.truncate(limit);
        if let Some(meanwhile) = self.meanwhile.lock().take() {
            meanwhile();
        }
        Ok(Changes { list, up_to })
    }

    fn set(&self, key: &str) -> u64 {
        self.change("acme", ChangeKind::Set, key)
    }
}

impl StorageBackend for Arc<Changed> {
    fn changes(&self, scope: &DataScope<'_>, prefix: &str, after: u64, limit: usize) -> Result<Changes> {
        self.reads.fetch_add(1, SeqCst);
        if self.broken.load(SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "the disk is away"));
        }
        let oldest = *self.oldest.lock();
        if after > 0 && after < oldest {
            return Err(item::forgotten(after, oldest));
        }
        self.read(scope, prefix, after, limit)
    }

    fn changes_since(
        &self,
        scope: &DataScope<'_>,
        prefix: &str,
        after: u64,
        begun: u64,
        limit: usize,
    ) -> Result<Changes> {
        assert!(begun >= *self.oldest.lock(), "what is told is remembered");
        if after == 0 {
            self.changes(scope, prefix, after, limit)
        } else {
            self.read(scope, prefix, after, limit)
        }
    }

    fn listen(&self, listener: Arc<dyn Listener>) {
        assert!(self.listener.set(listener).is_ok(), "the storage listens once");
    }

    fn get(&self, _: &DataScope<'_>, _: Key<'_>, _: &mut dyn FnMut(&[u8], Info)) -> Result<bool> {
        unreachable!("nobody reads items here")
    }
    fn exists(&self, _: &DataScope<'_>, _: Key<'_>) -> Result<bool> {
        unreachable!("nobody reads items here")
    }
    fn keys(&self, _: &DataScope<'_>, _: &str, _: Option<Key<'_>>, _: usize) -> Result<Vec<String>> {
        unreachable!("nobody lists items here")
    }
    fn apply(&self, _: &DataScope<'_>, _: &Batch<'_>) -> Result<Vec<Outcome>, Refused> {
        unreachable!("nobody writes items here")
    }
    fn clear(&self, _: &DataScope<'_>) -> Result<u64> {
        unreachable!("nobody writes items here")
    }
    fn version(&self) -> Result<u64> {
        Ok(self.log.lock().len() as u64)
    }
    fn usage_of(&self, _: &DataScope<'_>) -> Result<Usage> {
        unreachable!("nobody counts items here")
    }
    fn usage(&self) -> Result<Vec<Usage>> {
        unreachable!("nobody counts items here")
    }
    fn export(
        &self,
        _: &str,
        _: Option<&str>,
        _: &mut dyn FnMut(export::Carried<'_>) -> Result<()>,
    ) -> Result<()> {
        unreachable!("nobody reads items here")
    }
    fn import(&self, _: export::Import) -> Result<export::Imported> {
        unreachable!("nobody writes items here")
    }
    fn verify(&self, _: bool, _: &GoOn) -> Result<StorageCheck> {
        unreachable!("nobody looks through items here")
    }
    fn close(&self) {}
}

/// Counts the turns that are to be taken.
#[derive(Default)]
struct Turns(AtomicUsize);

impl Deliver for Turns {
    fn ready(&self) {
        self.0.fetch_add(1, SeqCst);
    }
}

struct Tried {
    changed: Arc<Changed>,
    storage: Storage,
    clock: Arc<ManualClock>,
    scopes: Scopes,
    turns: Arc<Turns>,
}

impl Tried {
    fn new() -> Self {
        let changed = Arc::<Changed>::default();
        let clock = ManualClock::at(0);
        let storage = Storage::new(Box::new(changed.clone()), 1 << 10, clock.clone() as _);
        let scopes = Scopes::of(&[("meter", "acme"), ("meter", "other")]);
        Self { changed, storage, clock, scopes, turns: Arc::default() }
    }

    /// A live watch of the first scope.
    fn watch(&self, prefix: &str, after: Option<u64>) -> Arc<Watch> {
        let watch = self.asleep(prefix, after);
        self.storage.set_live(&watch, true);
        watch
    }

    fn asleep(&self, prefix: &str, after: Option<u64>) -> Arc<Watch> {
        let made = self.storage.watch(&self.scopes.at(0), prefix, after, self.turns.clone());
        made.expect("it can begin there")
    }

    /// Takes one turn, which somebody must have asked for, of at most `most` changes; tells their versions.
    fn turn(&self, watch: &Watch, most: usize) -> Result<Vec<u64>> {
        assert_eq!(self.turns.0.swap(0, SeqCst), 1, "one turn stands in line");
        let turn = self.storage.turn(watch);
        let mut told = Vec::new();
        while told.len() < most {
            match self.storage.next_change(&turn, &self.scopes.at(0))? {
                Some(change) => told.push(change.version),
                None => break,
            }
        }
        Ok(told)
    }

    /// Takes turns as long as they are asked for.
    fn rest(&self, watch: &Watch) -> Vec<u64> {
        let mut told = Vec::new();
        while self.turns.0.load(SeqCst) > 0 {
            told.extend(self.turn(watch, 16).expect("the back end works"));
        }
        told
    }
}

#[test]
fn storage_8_a_watch_is_told_its_prefix_in_its_scope_in_order_and_one_turn_at_a_time() {
    let tried = Tried::new();
    tried.changed.set("a/before");
    let watch = tried.watch("a/", None);
    let (first, other) = (tried.changed.set("a/1"), tried.changed.set("b/1"));
    tried.changed.change("other", ChangeKind::Set, "a/1");
    let removed = tried.changed.change("acme", ChangeKind::Removed, "a/1");
    let cleared = tried.changed.change("acme", ChangeKind::Cleared, "");
    assert!(other > first);
    assert_eq!(tried.turn(&watch, 2).ok(), Some(vec![first, removed]), "there was one turn for all of them");
    assert_eq!(tried.rest(&watch), [cleared], "and another for the rest");
    assert_eq!(tried.changed.reads.load(SeqCst), 0, "nothing is read for a watch that keeps up");
    tried.storage.unwatch(&watch);
    tried.changed.set("a/2");
    assert_eq!(tried.turns.0.load(SeqCst), 0, "what is over is told nothing");
}

#[test]
fn storage_8_what_does_not_fit_into_the_queue_is_read_later_and_nothing_is_told_twice_or_missed() {
    let tried = Tried::new();
    let watch = tried.watch("", None);
    let mut all: Vec<u64> = (0..5_000).map(|at| tried.changed.set(&format!("{at}"))).collect();
    let mut told = tried.turn(&watch, 16).expect("the back end works");
    // In the middle of the first page that is read: one that the page has, and is told later, and one that it does not have.
    let changed = tried.changed.clone();
    *tried.changed.meanwhile.lock() = Some(Box::new(move || {
        changed.set("meanwhile");
    }));
    told.extend(tried.rest(&watch));
    all.push(5_001);
    assert_eq!(told, all);
    let reads = tried.changed.reads.load(SeqCst);
    let next = tried.changed.set("later");
    assert_eq!(tried.rest(&watch), [next]);
    assert_eq!(tried.changed.reads.load(SeqCst), reads, "it has caught up: nothing more is read");
}

#[test]
fn storage_8_a_change_that_was_read_before_it_was_told_is_not_told_twice() {
    let tried = Tried::new();
    let first = tried.changed.set("a");
    let watch = tried.watch("", Some(0));
    let early = tried.changed.commit("acme", ChangeKind::Set, "b");
    assert_eq!(tried.rest(&watch), [first, early.version]);
    tried.changed.listener.get().expect("the storage listens").changed("meter", "acme", &early);
    assert_eq!(tried.turns.0.load(SeqCst), 0, "it is known");
    let late = tried.changed.set("c");
    assert_eq!(tried.rest(&watch), [late]);
}

#[test]
fn storage_8_a_change_that_comes_behind_a_page_that_was_the_last_is_read_with_the_next() {
    let tried = Tried::new();
    let first = tried.changed.set("a");
    let watch = tried.watch("", Some(0));
    let changed = tried.changed.clone();
    *tried.changed.meanwhile.lock() = Some(Box::new(move || {
        changed.set("b");
    }));
    assert_eq!(tried.rest(&watch), [first, first + 1]);
}

#[test]
fn storage_8_a_watch_resumes_after_a_version_and_is_refused_one_that_is_forgotten() {
    let tried = Tried::new();
    let versions: Vec<u64> = (0..600).map(|at| tried.changed.set(&format!("k{at}"))).collect();
    assert_eq!(tried.rest(&tried.watch("k", Some(versions[99]))), versions[100..]);
    *tried.changed.oldest.lock() = 50;
    let refused = tried.storage.watch(&tried.scopes.at(0), "", Some(49), tried.turns.clone());
    assert_eq!(refused.err().map(|error| error.kind()), Some(ErrorKind::OutOfRange));
    tried.changed.set("k");
    assert_eq!(tried.turns.0.swap(0, SeqCst), 1, "the refused one left nothing behind");
}

#[test]
fn storage_8_what_changes_while_a_watch_is_asleep_is_told_when_it_is_live() {
    let tried = Tried::new();
    let watch = tried.asleep("", None);
    let mut versions: Vec<u64> = (0..3).map(|at| tried.changed.set(&format!("{at}"))).collect();
    assert_eq!(tried.turns.0.load(SeqCst), 0);
    tried.storage.set_live(&watch, true);
    let mut told = tried.turn(&watch, 1).expect("the back end works");
    tried.storage.set_live(&watch, false);
    assert_eq!(tried.turn(&watch, 16).ok(), Some(vec![]), "a turn that stood in line finds nothing");
    versions.extend((0..2_000).map(|at| tried.changed.set(&format!("{at}"))));
    assert_eq!(tried.turns.0.load(SeqCst), 0, "nothing is asked for meanwhile");
    tried.storage.set_live(&watch, true);
    told.extend(tried.rest(&watch));
    assert_eq!(told, versions);
}

#[test]
fn storage_8_a_back_end_that_fails_is_told_once_and_asked_again_after_a_pause() {
    let tried = Tried::new();
    let first = tried.changed.set("a");
    let asked = || tried.changed.reads.load(SeqCst);
    let watch = tried.watch("", Some(0));
    tried.changed.broken.store(true, SeqCst);
    let before = asked();
    let error = tried.turn(&watch, 16).expect_err("the disk is away");
    assert_eq!(error.to_string(), "the disk is away");
    assert_eq!((asked() - before, tried.turns.0.load(SeqCst)), (1, 0), "it rests");
    tried.changed.set("b");
    tried.clock.advance(Duration::from_millis(999));
    assert_eq!(tried.turns.0.load(SeqCst), 0, "not at once again");
    // By itself: perhaps nobody changes anything for a long time.
    tried.clock.advance(Duration::from_millis(1));
    assert_eq!(tried.turn(&watch, 16).ok(), Some(vec![]), "it fails again, and says so no more");
    tried.changed.broken.store(false, SeqCst);
    tried.clock.advance(Duration::from_millis(1_000));
    assert_eq!(tried.rest(&watch), [first, first + 1]);
}

#[test]
fn storage_8_each_watch_that_could_not_read_asks_again_in_its_own_time() {
    let tried = Tried::new();
    let first = tried.changed.set("a");
    let (early, late, asleep) =
        (tried.watch("", Some(0)), tried.asleep("", Some(0)), tried.asleep("a", Some(0)));
    tried.changed.broken.store(true, SeqCst);
    assert!(tried.turn(&early, 16).is_err());
    tried.clock.advance(Duration::from_millis(400));
    for watch in [&late, &asleep] {
        tried.storage.set_live(watch, true);
        assert!(tried.turn(watch, 16).is_err());
    }
    tried.storage.set_live(&asleep, false);
    tried.changed.broken.store(false, SeqCst);
    tried.clock.advance(Duration::from_millis(600));
    assert_eq!(tried.rest(&early), [first]);
    tried.clock.advance(Duration::from_millis(399));
    assert_eq!(tried.turns.0.load(SeqCst), 0);
    tried.clock.advance(Duration::from_millis(1));
    assert_eq!(tried.rest(&late), [first]);
    assert_eq!(tried.turns.0.load(SeqCst), 0, "what is not live is not woken");
    tried.storage.set_live(&asleep, true);
    assert_eq!(tried.rest(&asleep), [first]);
    // What is over is not woken, and nothing is by a storage that is closed.
    let (over, left) = (tried.watch("", Some(0)), tried.asleep("", Some(0)));
    tried.changed.broken.store(true, SeqCst);
    assert!(tried.turn(&over, 16).is_err());
    tried.storage.unwatch(&over);
    tried.clock.advance(Duration::from_millis(1_000));
    assert_eq!(tried.turns.0.load(SeqCst), 0);
    tried.storage.set_live(&left, true);
    assert!(tried.turn(&left, 16).is_err());
    tried.storage.close();
    tried.clock.advance(Duration::from_millis(5_000));
    assert_eq!(tried.turns.0.load(SeqCst), 0);
}

#[test]
fn storage_8_a_watch_that_slept_for_too_long_says_so_and_is_told_what_is_there() {
    let tried = Tried::new();
    let watch = tried.watch("", None);
    let first = tried.changed.set("a");
    assert_eq!(tried.rest(&watch), [first]);
    tried.storage.set_live(&watch, false);
    for _ in 0..2_000 {
        tried.changed.set("a");
    }
    *tried.changed.oldest.lock() = 1_900;
    tried.storage.set_live(&watch, true);
    let mut told = Vec::new();
    let error = loop {
        match tried.turn(&watch, 16) {
            Ok(more) => told.extend(more),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().ends_with("is told every item that is there"), "{error}");
    assert_eq!(told.len(), 1_024);
    assert_eq!(tried.rest(&watch).len(), 2_001);
}
