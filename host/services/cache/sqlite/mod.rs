//! The back end that outlives the host: items in one SQLite file of their own, `cache.db`.
//!
//! Reads go to connections of their own and wait for no write; writes take turns (`connections.rs`) and are bounded by bytes
//! (`accounting.rs`, `work.rs`). A thread takes away what has gone, gives the file its empty pages back and moves the
//! write-ahead log into it (`upkeep.rs`). What is in the file can be made again, so one that is no good stops nobody:
//! it is set aside (`aside.rs`), when it is opened (`file.rs`) and later too, and all goes on with an empty one.
//!
//! Who must make room for others is the plugin that has most above what is guaranteed to it, with what it wrote longest
//! ago: an approximation of what it needs least, for reads leave no trace in the file. The memory in front of it keeps
//! what is read often.

mod accounting;
mod aside;
mod connections;
mod file;
mod upkeep;
mod work;

#[cfg(all(test, unix))]
mod damage_tests;
#[cfg(test)]
mod full_disk_tests;
#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::in_a_folder_of_its_own;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, params};

use self::{
    connections::{Connections, Failure, Moment},
    file::Unfit,
    upkeep::Upkeep,
    work::{A_MS, Work, text, value_of},
};
use super::{
    Address, Age, CacheBackend, Draft, Ends, ExpireIf, Expired, Glob, Item, Lifetime, Page, Space, Usage,
    Whole, Written,
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{DataScope, Tenant},
    services::{
        clock::{Alarm, Clock},
        keys::{Key, Namespace},
        ledger::Fault,
    },
};

/// How such a cache is opened.
pub(crate) struct SqliteOptions {
    /// How many bytes all items together may take, with what it takes to keep them: about as much as the file has.
    pub(crate) capacity: u64,
    pub(crate) clock: Arc<dyn Clock>,
    /// Told what goes wrong where no caller is told: a file that was set aside, above all.
    pub(crate) report: Box<dyn Fn(&Error) + Send + Sync>,
}

/// The open cache. Ends with [`CacheBackend::close`], or when it is dropped.
pub(crate) struct SqliteCache {
    store: Arc<Store>,
    upkeep: Mutex<Option<Upkeep>>,
    /// Goes with it.
    #[cfg(test)]
    folder: Option<tempfile::TempDir>,
}

/// What callers and the thread share.
struct Store {
    path: Arc<Path>,
    report: Box<dyn Fn(&Error) + Send + Sync>,
    time: Time,
    limits: Limits,
    /// The thread's, and gone with it: nobody else sleeps on it.
    alarm: Weak<Alarm>,
    /// When the next item goes, as far as the thread need know.
    due: AtomicI64,
    state: RwLock<State>,
    health: Health,
}

enum State {
    Open(Arc<Connections>),
    /// There is no file to work on. The thread tries again.
    Broken {
        error: Error,
        last_version: u64,
    },
    Closed,
}

/// Lifetimes go by this: the wall clock's time when the cache was opened, and the monotonic clock's from there on. So a
/// wall clock that is set changes nothing before the next start, and what is kept in the file counts on while it is
/// closed. In microseconds, of which an `i64` has room for 290,000 years.
struct Time {
    clock: Arc<dyn Clock>,
    wall: i64,
    opened: Duration,
}

/// How much there is room for.
struct Limits {
    capacity: u64,
    plugins: AtomicUsize,
}

/// What went wrong last, until the thread finds that the file can be written again.
#[derive(Default)]
struct Health {
    failing: AtomicBool,
    error: Mutex<Option<Error>>,
}

/// Where an item lies, by names that outlive the host.
struct Place<'a> {
    plugin: &'a Arc<str>,
    tenant: Tenant,
    namespace: &'a str,
    key: &'a str,
}

impl SqliteCache {
    /// Opens the file at `path`; makes it if it is not there, and sets it aside if it is no good. That nobody else has
    /// it open is the caller's to see to.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: it cannot be read, made or moved, another process has it, or it is a ledger. Each says what to do.
    pub(crate) fn open(path: impl Into<PathBuf>, options: SqliteOptions) -> Result<Self> {
        let SqliteOptions { capacity, clock, report } = options;
        let alarm = clock.alarm();
        let store = Store {
            path: path.into().into(),
            report,
            time: Time::starting_now(clock),
            limits: Limits { capacity, plugins: AtomicUsize::new(1) },
            alarm: Arc::downgrade(&alarm),
            due: AtomicI64::new(i64::MIN),
            state: RwLock::new(State::Closed),
            health: Health::default(),
        };
        let connections = store.connect(0, &alarm)?;
        *store.state.write() = State::Open(Arc::new(connections));
        let store = Arc::new(store);
        let upkeep = Upkeep::start(&store, alarm)?;
        Ok(Self {
            store,
            upkeep: Mutex::new(Some(upkeep)),
            #[cfg(test)]
            folder: None,
        })
    }
}

/// Lends the item of a place with its row, if there is one; tells whether.
fn lend(
    connection: &Connection,
    place: &Place<'_>,
    now: i64,
    read: &mut dyn FnMut(&rusqlite::Row<'_>, Item<'_>) -> Result<(), Fault>,
) -> Result<bool, Fault> {
    let mut find = connection.prepare_cached(
        "SELECT value, version, fresh_until, left_until, gone_at, item FROM items
        WHERE plugin = ?1 AND tenant = ?2 AND namespace = ?3 AND key = ?4",
    )?;
    let mut found = find.query(place.names())?;
    let Some(row) = found.next()? else { return Ok(false) };
    let is_over = |end: Option<i64>| end.is_some_and(|end| end <= now);
    let (fresh_until, left_until) = (row.get(2)?, row.get(3)?);
    let age = match (is_over(fresh_until), is_over(left_until), is_over(row.get(4)?)) {
        (false, ..) => Age::Fresh,
        (_, false, _) => Age::Stale,
        (.., false) => Age::Kept,
        _ => return Ok(false),
    };
    let (fresh, left) = (remaining(fresh_until, now), remaining(left_until, now));
    read(
        row,
        Item { value: value_of(row.get_ref(0)?)?, age, version: row.get(1)?, ends: Ends::In { fresh, left } },
    )?;
    Ok(true)
}

impl CacheBackend for SqliteCache {
    fn get(&self, at: &Address<'_>, read: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        let place = Place::of(at)?;
        let now = self.store.time.now();
        self.store.read(|connection| {
            let mut lent = false;
            lend(connection, &place, now, &mut |_, item| {
                if item.age != Age::Kept {
                    lent = true;
                    read(item);
                }
                Ok(())
            })?;
            Ok(lent)
        })
    }

    fn get_whole(&self, at: &Address<'_>, read: &mut dyn FnMut(Whole<'_>)) -> Result<bool> {
        let place = Place::of(at)?;
        let now = self.store.time.now();
        self.store.read(|connection| {
            // One look at both tables, whatever is written in between.
            let snapshot = connection.unchecked_transaction()?;
            lend(&snapshot, &place, now, &mut |row, item| {
                let (number, fresh_until): (i64, Option<i64>) = (row.get(5)?, row.get(2)?);
                let mut of_item = snapshot.prepare_cached("SELECT tag FROM tags WHERE item = ?1")?;
                let tags: Vec<String> =
                    of_item.query_map([number], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
                let tags: Vec<Namespace<'_>> =
                    tags.iter().filter_map(|tag| Namespace::parse("tag", tag.as_bytes()).ok()).collect();
                let rest = |end: i64| Duration::from_micros(end.saturating_sub(now).max(0).unsigned_abs());
                read(Whole { item, tags: &tags, fresh_for: fresh_until.map(rest) });
                Ok(())
            })
        })
    }

    fn set(&self, at: &Address<'_>, draft: &Draft<'_>) -> Result<Written> {
        let place = Place::of(at)?;
        self.store.write(|work| work.set(&place, draft))
    }

    fn set_many(&self, writes: &[(Address<'_>, Draft<'_>)]) -> Vec<Result<Written>> {
        // Before the writer is held, and each for itself: a tenant that is gone is one caller's mistake.
        let places: Vec<Result<Place<'_>>> = writes.iter().map(|(at, _)| Place::of(at)).collect();
        self.store.write_many(writes.len(), &mut |work, number| match &places[number] {
            Ok(place) => work.set(place, &writes[number].1),
            Err(error) => Err(error.clone().into()),
        })
    }

    fn remove(&self, at: &Address<'_>) -> Result<bool> {
        let place = Place::of(at)?;
        self.store.write(|work| work.remove(&place))
    }

    fn incr(&self, at: &Address<'_>, delta: i64, lifetime: Lifetime) -> Result<i64> {
        let place = Place::of(at)?;
        self.store.write(|work| work.incr(&place, delta, lifetime))
    }

    fn expire(&self, at: &Address<'_>, lifetime: Option<Lifetime>, condition: ExpireIf) -> Result<Expired> {
        let place = Place::of(at)?;
        self.store.write(|work| work.expire(&place, lifetime, condition))
    }

    fn invalidate_tag(&self, scope: &DataScope<'_>, tag: Namespace<'_>) -> Result<u64> {
        let tenant = scope.tenant()?;
        self.store.write(|work| work.invalidate_tag(scope, tenant.name(), tag))
    }

    fn invalidate(&self, space: &Space<'_>, pattern: &Glob) -> Result<u64> {
        let tenant = space.scope.tenant()?;
        self.store.write(|work| work.invalidate(space, tenant.name(), pattern))
    }

    fn clear(&self, space: &Space<'_>) -> Result<u64> {
        let tenant = space.scope.tenant()?;
        self.store.write(|work| work.clear(space, tenant.name()))
    }

    fn keys(&self, space: &Space<'_>, prefix: &str, cursor: Option<&str>, limit: usize) -> Result<Page> {
        let after = cursor.map(after).transpose()?.unwrap_or_default();
        let tenant = space.scope.tenant()?;
        let now = self.store.time.now();
        self.store.read(|connection| page(connection, space, tenant.name(), prefix, after, limit, now))
    }

    fn usage(&self) -> Result<Vec<Usage>> {
        let now = self.store.time.now();
        // What is counted and not there: few, for they go soon.
        let count_over = |connection: &Connection| {
            let mut over = connection.prepare_cached(
                "SELECT plugin, count(*), sum(size) FROM items WHERE gone_at <= ?1 GROUP BY plugin
                UNION ALL
                SELECT plugin, count(*), sum(size) FROM items
                WHERE error_ms > stale_ms AND left_until <= ?1 AND gone_at > ?1 GROUP BY plugin",
            )?;
            let over = over.query_map([now], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            Ok(over.collect::<rusqlite::Result<Vec<(Box<str>, u64, u64)>>>()?)
        };
        let (mut shares, over) = self.store.with(|connections| {
            // Both of one moment: what is swept in between would be counted on and not taken off.
            connections.while_nobody_writes(|| Ok((connections.shares(), connections.read(count_over)?)))
        })?;
        for (plugin, items, bytes) in over {
            if let Some(share) = shares.get_mut(&*plugin) {
                share.items = share.items.saturating_sub(items);
                share.bytes = share.bytes.saturating_sub(bytes);
            }
        }
        let used = |(plugin, share): (Arc<str>, accounting::Share)| Usage {
            plugin,
            items: share.items,
            bytes: share.bytes,
            evicted: share.evicted,
        };
        Ok(shares.into_iter().filter(|(_, share)| share.items > 0).map(used).collect())
    }

    fn capacity(&self) -> u64 {
        self.store.limits.capacity
    }

    fn guaranteed(&self) -> u64 {
        let plugins = match &*self.store.state.read() {
            State::Open(connections) => connections.shares().values().filter(|share| share.items > 0).count(),
            State::Broken { .. } | State::Closed => 0,
        };
        self.store.limits.guaranteed(plugins)
    }

    fn set_plugins(&self, plugins: usize) {
        self.store.limits.plugins.store(plugins.max(1), Relaxed);
    }

    fn health(&self) -> Result<()> {
        match &*self.store.state.read() {
            State::Open(_) => {}
            State::Broken { error, .. } => return Err(error.clone()),
            State::Closed => return Err(closed()),
        }
        self.store.health.tell()
    }

    fn remove_plugin(&self, id: &str) -> Result<u64> {
        self.store.write(|work| work.remove_plugin(id))
    }

    fn close(&self) {
        if let Some(upkeep) = self.upkeep.lock().take() {
            upkeep.end();
        }
        let state = std::mem::replace(&mut *self.store.state.write(), State::Closed);
        if let State::Open(connections) = state {
            connections.retire(true);
        }
    }
}

impl Drop for SqliteCache {
    fn drop(&mut self) {
        self.close();
    }
}

impl Store {
    fn read<T>(&self, mut look: impl FnMut(&Connection) -> Result<T, Fault>) -> Result<T> {
        self.with(|connections| connections.read(&mut look))
    }

    fn write<T>(&self, mut work: impl FnMut(&mut Work<'_>) -> Result<T, Fault>) -> Result<T> {
        self.with(|connections| connections.write(&self.moment(), &mut work))
    }

    fn write_many<T>(&self, count: usize, work: &mut connections::Step<'_, T>) -> Vec<Result<T>> {
        let done = self.with(|connections| connections.write_many(&self.moment(), count, work));
        let answers = match done {
            Ok(answers) => answers,
            Err(error) => return (0..count).map(|_| Err(error.clone())).collect(),
        };
        answers.into_iter().map(|answer| answer.map_err(|failure| self.told(failure))).collect()
    }

    /// Does `call` with the file that is open; with an empty one, if that turns out to be no good.
    fn with<T>(&self, mut call: impl FnMut(&Connections) -> Result<T, Failure>) -> Result<T> {
        // Whoever finds it replaced has not done anything yet.
        for _ in 0..3 {
            let connections = match &*self.state.read() {
                State::Open(connections) => Arc::clone(connections),
                State::Broken { error, .. } => return Err(error.clone()),
                State::Closed => return Err(closed()),
            };
            match call(&connections) {
                Ok(done) => return Ok(done),
                Err(Failure::Damaged) => self.replace(&connections),
                Err(Failure::Retired) => {}
                Err(failure) => return Err(self.told(failure)),
            }
        }
        let what = format!("{} was damaged again while it was used", self.path.display());
        Err(Error::new(ErrorKind::Unavailable, what).mend("look at the disk and at the system's log"))
    }

    /// The error as the caller gets it; noted, if it is not the caller's own.
    fn told(&self, failure: Failure) -> Error {
        match failure {
            Failure::Refused(error) => error,
            Failure::Unavailable(error) => {
                if self.health.ill(&error)
                    && let Some(alarm) = self.alarm.upgrade()
                {
                    // It may have nothing else to wake for. Only once: what it tries itself may fail as well.
                    alarm.ring();
                }
                error
            }
            Failure::Damaged | Failure::Retired => {
                Error::new(ErrorKind::Unavailable, format!("{} was damaged", self.path.display()))
            }
        }
    }

    /// Opens the file, or an empty one in its place if it is no good.
    fn connect(&self, last_version: u64, alarm: &Arc<Alarm>) -> Result<Connections> {
        let taken = match file::open(&self.path, self.first_version(last_version)) {
            Ok(taken) => taken,
            Err(Unfit::Failed(error)) => return Err(error),
            Err(Unfit::Aside(what)) => {
                self.set_aside(&what)?;
                match file::open(&self.path, self.first_version(last_version)) {
                    Ok(taken) => taken,
                    Err(Unfit::Failed(error)) => return Err(error),
                    Err(Unfit::Aside(what)) => {
                        let what = format!("{}, made anew, {what}", self.path.display());
                        let mend = "look at the disk and at the system's log";
                        return Err(Error::new(ErrorKind::Unavailable, what).mend(mend));
                    }
                }
            }
        };
        let connections = Connections::new(&self.path, taken, alarm);
        connections.map_err(|error| crate::services::ledger::parts::failed(&self.path, &error))
    }

    /// Behind every version that the file before this one can have given: so many microseconds have passed since 1970,
    /// and no file has been written to more often than that.
    fn first_version(&self, last: u64) -> u64 {
        last.max(u64::try_from(self.time.now()).unwrap_or(0)).max(1)
    }

    fn set_aside(&self, what: &str) -> Result<()> {
        let aside = aside::set_aside(&self.path, self.time.clock.now_ms())?;
        let what = format!("{} {what}: it was moved to {}", self.path.display(), aside.display());
        let mend = "the cache goes on with an empty one, and nothing need be done";
        (self.report)(&Error::new(ErrorKind::Unavailable, what).mend(mend));
        Ok(())
    }

    /// The file has shown itself to be no good.
    fn replace(&self, damaged: &Arc<Connections>) {
        let mut state = self.state.write();
        if !matches!(&*state, State::Open(connections) if Arc::ptr_eq(connections, damaged)) {
            // Somebody else has met the same damage.
            return;
        }
        // Gone means that the cache is about to be closed.
        let Some(alarm) = self.alarm.upgrade() else { return };
        let last_version = damaged.retire(false);
        let connections = self.set_aside("is damaged").and_then(|()| self.connect(last_version, &alarm));
        *state = match connections {
            Ok(connections) => State::Open(Arc::new(connections)),
            Err(error) => {
                (self.report)(&error);
                State::Broken { error, last_version }
            }
        };
        self.due.store(i64::MIN, Relaxed);
        alarm.ring();
    }

    /// The thread's part, where there is no file to work on.
    fn try_again(&self, alarm: &Arc<Alarm>) {
        let mut state = self.state.write();
        let State::Broken { last_version, .. } = &*state else { return };
        let last_version = *last_version;
        *state = match self.connect(last_version, alarm) {
            Ok(connections) => State::Open(Arc::new(connections)),
            Err(error) => State::Broken { error, last_version },
        };
    }

    fn moment(&self) -> Moment<'_> {
        Moment { now: self.time.now(), limits: &self.limits, due: &self.due }
    }
}

impl Time {
    fn starting_now(clock: Arc<dyn Clock>) -> Self {
        let wall = clock.now_ms().max(0).saturating_mul(A_MS);
        Self { wall, opened: clock.monotonic(), clock }
    }

    fn now(&self) -> i64 {
        let since = self.clock.monotonic().saturating_sub(self.opened).as_micros();
        self.wall.saturating_add(i64::try_from(since).unwrap_or(i64::MAX))
    }

    /// When it is `time`, by the monotonic clock.
    fn at(&self, time: i64) -> Duration {
        self.opened + Duration::from_micros(time.saturating_sub(self.wall).try_into().unwrap_or(0))
    }
}

impl Limits {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Half of the capacity, divided by the plugins that are loaded, or by those that have something if these are more:
    /// what is guaranteed to all together never fills it.
    fn guaranteed(&self, with_items: usize) -> u64 {
        self.capacity / 2 / self.plugins.load(Relaxed).max(with_items).max(1) as u64
    }
}

impl Health {
    fn tell(&self) -> Result<()> {
        if !self.failing.load(Relaxed) {
            return Ok(());
        }
        self.error.lock().clone().map_or(Ok(()), Err)
    }

    /// Tells whether it was well before.
    fn ill(&self, error: &Error) -> bool {
        let mut held = self.error.lock();
        *held = Some(error.clone());
        !self.failing.swap(true, Relaxed)
    }

    /// Costs nothing while all is well.
    fn well(&self) {
        if self.failing.load(Relaxed) {
            let mut held = self.error.lock();
            *held = None;
            self.failing.store(false, Relaxed);
        }
    }
}

impl<'a> Place<'a> {
    fn of(at: &Address<'a>) -> Result<Self> {
        let (namespace, key) = (at.namespace.as_str(), at.key.as_str());
        Ok(Self { plugin: at.scope.id, tenant: at.scope.tenant()?, namespace, key })
    }

    fn tenant(&self) -> &str {
        self.tenant.name()
    }

    /// As the index over them has them.
    fn names(&self) -> (&str, &str, &str, &str) {
        (self.plugin, self.tenant(), self.namespace, self.key)
    }

    /// How many bytes the names have.
    fn bytes(&self) -> usize {
        self.plugin.len() + self.tenant().len() + self.namespace.len() + self.key.len()
    }
}

/// The keys from behind `after` on, in the order of their bytes.
fn page(
    connection: &Connection,
    space: &Space<'_>,
    tenant: &str,
    prefix: &str,
    after: &str,
    limit: usize,
    now: i64,
) -> Result<Page, Fault> {
    let mut list = connection.prepare_cached(
        "SELECT key FROM items
        WHERE plugin = ?1 AND tenant = ?2 AND namespace = ?3 AND key >= ?4 AND key > ?5
            AND value IS NOT NULL AND (left_until IS NULL OR left_until > ?6)
        ORDER BY key",
    )?;
    let (id, namespace) = (&**space.scope.id, space.namespace.as_str());
    let mut rows = list.query(params![id, tenant, namespace, prefix, after, now])?;
    let mut page = Page::default();
    while let Some(row) = rows.next()? {
        let key = text(row.get_ref(0)?)?;
        if !key.starts_with(prefix) {
            break;
        }
        if page.keys.len() >= limit {
            page.next = page.keys.last().map(|last| format!("{CURSOR}{last}"));
            break;
        }
        page.keys.push(key.to_owned());
    }
    Ok(page)
}

/// What a cursor begins with; the last key of its page follows.
const CURSOR: char = '>';

fn after(cursor: &str) -> Result<&str> {
    let key = cursor.strip_prefix(CURSOR).filter(|key| Key::parse("cursor", key.as_bytes()).is_ok());
    key.ok_or_else(|| Error::argument("cursor", "no page has had it"))
}

fn remaining(end: Option<i64>, now: i64) -> Lifetime {
    match end {
        None => Lifetime::Endless,
        Some(end) => Lifetime::Ms((end.saturating_sub(now).max(0) as u64).div_ceil(A_MS as u64) as i64),
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the host has stopped")
}
