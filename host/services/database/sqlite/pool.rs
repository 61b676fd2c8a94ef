//! The connections of all databases: a bounded number is open, those that nobody has stay open for a while, and where there are
//! too many the one that was used longest ago is closed. None is opened or closed under the lock.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};

use super::{super::patience::Patience, SqliteOptions, fault, gate::Gate, open, place, session::Conn};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{DataScope, Tenant},
    services::clock::{Alarm, Clock},
};

/// How many connections one database may have.
const EACH: usize = 4;

/// The numbers of a plugin and of a tenant.
type Key = (u64, u64);

/// One database that is in use, or was a short time ago.
pub(super) struct Place {
    key: Key,
    pub(super) path: Box<Path>,
    /// What SQLite keeps beside it and has not moved into it yet.
    pub(super) log: Box<Path>,
    plugin: Arc<str>,
    /// Held, so that its number stays.
    tenant: Tenant,
    pub(super) gate: Arc<Gate>,
    /// Held while a connection is opened: those who come while the file is being made find it whole.
    opening: Mutex<()>,
}

/// The databases and their connections.
pub(super) struct Pool {
    pub(super) options: SqliteOptions,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// A connection was closed.
    closed: Condvar,
}

#[derive(Default)]
struct State {
    places: HashMap<Key, Known, foldhash::quality::RandomState>,
    /// Connections that are open, or being opened or closed.
    open: usize,
    /// Those who wait look again when anything has changed: there are few.
    waiting: Vec<Arc<Alarm>>,
    /// Plugins, or tenants of them, whose databases nobody is to open now.
    going: Vec<(String, Option<String>)>,
    closed: bool,
}

struct Known {
    place: Arc<Place>,
    /// Those that nobody has, the one that was used last at the end.
    idle: Vec<Idle>,
    /// Those that somebody has, or opens.
    lent: usize,
}

struct Idle {
    conn: Conn,
    since: Duration,
}

/// The use of a database, and a connection to it, which goes back when this is dropped.
pub(super) struct Lent {
    pool: Arc<Pool>,
    place: Arc<Place>,
    /// None while others may have it.
    conn: Option<Conn>,
    discarded: bool,
}

/// What there is for whoever asks.
enum Found {
    Idle(Arc<Place>, Conn),
    /// One may be opened, when this one is closed.
    Room(Arc<Place>, Option<Conn>),
    Full,
}

/// Somebody waits until this is dropped.
struct Waiting<'a> {
    pool: &'a Pool,
    alarm: Arc<Alarm>,
}

/// A place among those that may be open, which is free again when this is dropped.
struct Opening<'a> {
    pool: &'a Pool,
    key: Key,
}

/// Nobody opens a database of these until this is dropped.
struct Going<'a>(&'a Pool, (String, Option<String>));

impl Place {
    fn is_of(&self, plugin: &str, tenant: Option<&str>) -> bool {
        *self.plugin == *plugin && tenant.is_none_or(|tenant| **self.tenant.name() == *tenant)
    }
}

impl Pool {
    pub(super) fn new(options: SqliteOptions) -> Arc<Self> {
        let clock = Arc::clone(&options.clock);
        Arc::new(Self { options, clock, state: Mutex::default(), closed: Condvar::new() })
    }

    /// A connection to the database of `scope`.
    pub(super) fn take(this: &Arc<Self>, scope: &DataScope<'_>, patience: &Patience) -> Result<Lent> {
        let make = || {
            let tenant = scope.tenant()?;
            let path = place::file(&this.options.data, scope.id, tenant.name());
            let mut log = path.clone().into_os_string();
            log.push("-wal");
            Ok(Arc::new(Place {
                key: (scope.plugin, scope.tenant_number()),
                path: path.into(),
                log: PathBuf::from(log).into(),
                plugin: Arc::clone(scope.id),
                tenant,
                gate: Arc::new(Gate::new(Arc::clone(&this.clock))),
                opening: Mutex::default(),
            }))
        };
        let (place, conn) = this.lend((scope.plugin, scope.tenant_number()), &make, patience)?;
        Ok(Lent { pool: Arc::clone(this), place, conn: Some(conn), discarded: false })
    }

    fn lend(
        &self,
        key: Key,
        make: &dyn Fn() -> Result<Arc<Place>>,
        patience: &Patience,
    ) -> Result<(Arc<Place>, Conn)> {
        let mut waiting = None;
        loop {
            match self.find(key, make)? {
                Found::Idle(place, conn) => return Ok((place, conn)),
                Found::Room(place, oldest) => {
                    let opening = Opening { pool: self, key };
                    drop(oldest);
                    let conn = self.open(&place)?;
                    // It is open.
                    std::mem::forget(opening);
                    return Ok((place, conn));
                }
                Found::Full => {
                    // What comes back between the look and this is found by the next look.
                    let Some(Waiting { alarm, .. }) = &waiting else {
                        waiting = Some(Waiting::begin(self));
                        continue;
                    };
                    let until = patience.next_look(&*self.clock, || self.busy())?;
                    self.clock.wait(alarm, Some(until));
                }
            }
        }
    }

    fn find(&self, key: Key, make: &dyn Fn() -> Result<Arc<Place>>) -> Result<Found> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::new(ErrorKind::Unavailable, "the host has stopped"));
        }
        let State { places, open, going, .. } = &mut *state;
        if !places.contains_key(&key) {
            let place = make()?;
            if going.iter().any(|(plugin, tenant)| place.is_of(plugin, tenant.as_deref())) {
                return Ok(Found::Full);
            }
            places.insert(key, Known { place, idle: Vec::new(), lent: 0 });
        }
        let Some(known) = places.get_mut(&key) else { return Ok(Found::Full) };
        if let Some(idle) = known.idle.pop() {
            known.lent += 1;
            return Ok(Found::Idle(Arc::clone(&known.place), idle.conn));
        }
        if known.lent >= EACH {
            return Ok(Found::Full);
        }
        let place = Arc::clone(&known.place);
        let oldest = if *open < self.options.connections {
            *open += 1;
            None
        } else {
            match oldest(places) {
                None => return Ok(Found::Full),
                oldest => oldest,
            }
        };
        if let Some(known) = places.get_mut(&key) {
            known.lent += 1;
        }
        Ok(Found::Room(place, oldest))
    }

    fn open(&self, place: &Place) -> Result<Conn> {
        let _one_at_a_time = place.opening.lock();
        let statements = open::open(&place.path, &place.plugin, place.tenant.name(), &self.options)?;
        Conn::new(statements, Arc::clone(&self.options.clock))
            .map_err(|error| fault::failed(&place.path, &error))
    }

    fn busy(&self) -> Error {
        let most = self.options.connections;
        let text = format!(
            "as many databases are in use as may be ({most} connections, {EACH} to one): try again, or raise database.connections in the settings"
        );
        Error::new(ErrorKind::Busy, text)
    }

    fn give_back(&self, key: Key, conn: Conn) {
        let since = self.clock.coarse();
        let mut state = self.state.lock();
        if !state.closed
            && let Some(known) = state.places.get_mut(&key)
        {
            known.lent -= 1;
            known.idle.push(Idle { conn, since });
            wake(&state);
            return;
        }
        drop(state);
        drop(conn);
        self.give_up(key);
    }

    /// A connection was not opened, or is closed.
    fn give_up(&self, key: Key) {
        if let Some(known) = self.state.lock().places.get_mut(&key) {
            known.lent -= 1;
        }
        self.are_closed(1);
    }

    fn are_closed(&self, connections: usize) {
        let mut state = self.state.lock();
        state.open -= connections;
        wake(&state);
        self.closed.notify_all();
    }

    /// Closes what nobody has had for long; tells when to look again.
    pub(super) fn tidy(&self, now: Duration) -> Option<Duration> {
        let idle_for = self.options.idle;
        let mut closing = Vec::new();
        let mut state = self.state.lock();
        for known in state.places.values_mut() {
            let young = known.idle.partition_point(|idle| idle.since + idle_for <= now);
            closing.extend(known.idle.drain(..young));
        }
        // Who has one, or waits to write with it, comes back to the same gate.
        state.places.retain(|_, known| !known.idle.is_empty() || known.is_used());
        let next =
            state.places.values().flat_map(|known| &known.idle).map(|idle| idle.since + idle_for).min();
        // One that is lent may come back and be forgotten: a look now and then.
        let next = next.or_else(|| (!state.places.is_empty()).then(|| now + idle_for));
        drop(state);
        // What SQLite moves into the file then holds nobody up.
        self.close_all(closing);
        next
    }

    /// Closes the connections that nobody has to databases of a plugin, or of one tenant of it, and does something while nobody can
    /// open another; BUSY if somebody uses one.
    pub(super) fn let_go<T>(
        &self,
        plugin: &str,
        tenant: Option<&str>,
        meanwhile: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let mut closing = Vec::new();
        let going = {
            let mut state = self.state.lock();
            let wanted = |known: &Known| known.place.is_of(plugin, tenant);
            if state.places.values().any(|known| wanted(known) && known.is_used()) {
                let text = format!("a database of plugin {plugin:?} is in use");
                return Err(Error::new(ErrorKind::Busy, text));
            }
            state.places.retain(|_, known| {
                let goes = wanted(known);
                if goes {
                    closing.append(&mut known.idle);
                }
                !goes
            });
            let what = (plugin.to_owned(), tenant.map(str::to_owned));
            state.going.push(what.clone());
            Going(self, what)
        };
        self.close_all(closing);
        let done = meanwhile();
        drop(going);
        done
    }

    /// Takes no more, and closes what nobody has.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let idle = state.places.values_mut().flat_map(|known| known.idle.drain(..)).collect();
        wake(&state);
        drop(state);
        self.close_all(idle);
    }

    /// After `close`: waits until whoever has a connection has given it back, and it is closed.
    pub(super) fn wait_closed(&self) {
        let mut state = self.state.lock();
        while state.open > 0 {
            self.closed.wait(&mut state);
        }
    }

    fn close_all(&self, closing: Vec<Idle>) {
        let count = closing.len();
        drop(closing);
        if count > 0 {
            self.are_closed(count);
        }
    }
}

/// Takes the connection that nobody has had for longest, of all databases.
fn oldest(places: &mut HashMap<Key, Known, foldhash::quality::RandomState>) -> Option<Conn> {
    let known =
        places.values_mut().filter(|known| !known.idle.is_empty()).min_by_key(|known| known.idle[0].since)?;
    Some(known.idle.remove(0).conn)
}

fn wake(state: &State) {
    for alarm in &state.waiting {
        alarm.ring();
    }
}

impl Known {
    /// Somebody has a connection, opens one, or had one and waits for the right to write.
    fn is_used(&self) -> bool {
        self.lent > 0 || Arc::strong_count(&self.place) > 1
    }
}

impl<'a> Waiting<'a> {
    fn begin(pool: &'a Pool) -> Self {
        let alarm = pool.clock.alarm();
        pool.state.lock().waiting.push(Arc::clone(&alarm));
        Self { pool, alarm }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pool.state.lock().waiting.retain(|other| !Arc::ptr_eq(other, &self.alarm));
        self.alarm.leave();
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.pool.give_up(self.key);
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if let Some(at) = state.going.iter().position(|what| *what == self.1) {
            state.going.swap_remove(at);
        }
        wake(&state);
    }
}

impl Lent {
    /// The database, and the connection to it.
    pub(super) fn parts(&mut self) -> (&Place, &mut Conn) {
        (&self.place, self.conn.as_mut().expect("nobody uses it while it rests"))
    }

    /// The connection; none while it rests.
    pub(super) fn conn(&self) -> Option<&Conn> {
        self.conn.as_ref()
    }

    pub(super) fn options(&self) -> &SqliteOptions {
        &self.pool.options
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Others may have the connection until `resume`.
    pub(super) fn rest(&mut self) {
        if let Some(conn) = self.conn.take() {
            let key = self.place.key;
            if self.discarded {
                drop(conn);
                self.pool.give_up(key);
                self.discarded = false;
            } else {
                self.pool.give_back(key, conn);
            }
        }
    }

    /// Has a connection again, if it had none.
    pub(super) fn resume(&mut self, patience: &Patience) -> Result<()> {
        if self.conn.is_none() {
            let make = || Ok(Arc::clone(&self.place));
            let (_, conn) = self.pool.lend(self.place.key, &make, patience)?;
            self.conn = Some(conn);
        }
        Ok(())
    }

    /// It is not to be used again.
    pub(super) fn discard(&mut self) {
        self.discarded = true;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.rest();
    }
}
