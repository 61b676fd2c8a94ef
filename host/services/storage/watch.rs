//! Watches: who is told of which changes, and how one that has fallen behind catches up.
//!
//! Changes come to [`Watches`] on the thread that commits them, which must not be kept: those that somebody watches are
//! put into the queues of their watches, and nobody else pays for them. A queue that is full takes no more; its watch is
//! behind from there on, and whoever tells its changes reads what it has missed from the back end, in pages, and goes on with
//! the queue when there is nothing left to read. So memory is bounded, and nothing is missed.
//!
//! A watch is told its changes by [`Deliver`], one at a time: while a turn of it stands in line or runs, there is no other.
//! No lock is held while [`Deliver`] or the back end is called, but the list of watches while a change is handed out.
//!
//! A watch that could not read asks again after a pause: the first that cannot starts a thread that wakes it then.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{
            AtomicBool, AtomicI64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::{Mutex, RwLock};

use super::{Change, ChangeKind, Changes, Listener};
use crate::{
    error::{Error, ErrorKind},
    services::clock::{Alarm, Clock},
};

/// How many changes wait in a watch.
const MOST_WAITING: usize = 1_024;

/// How many changes are read at once by a watch that is behind.
pub(super) const PAGE: usize = 256;

/// How long a watch waits, after the back end failed, before it asks again.
const PAUSE_MS: i64 = 1_000;

/// What the engine needs of the outside: somebody who tells a plugin what has changed.
pub(crate) trait Deliver: Send + Sync {
    /// There are changes: see to it that [`Storage::turn`](super::Storage::turn) is called, soon and once. May be called on
    /// any thread, and must not wait.
    fn ready(&self);
}

/// All watches of a host.
pub(crate) struct Watches {
    this: Weak<Self>,
    clock: Arc<dyn Clock>,
    /// So that nobody looks further where nobody watches.
    count: AtomicUsize,
    by_plugin: RwLock<HashMap<Arc<str>, ByTenant>>,
    /// When the next watch is to ask a back end again that failed; `i64::MAX`: none is.
    again_ms: AtomicI64,
    alarm: Arc<Alarm>,
    ended: Arc<AtomicBool>,
    /// Wakes those that are to ask again. None until one is, and after the end.
    waker: Mutex<Option<JoinHandle<()>>>,
}

/// By the clock that does not step, in milliseconds.
fn now(clock: &dyn Clock) -> i64 {
    clock.monotonic().as_millis() as i64
}

type ByTenant = HashMap<Arc<str>, Vec<Arc<Watch>>>;

/// A standing order to be told of changes, made by [`Storage::watch`](super::Storage::watch).
pub(crate) struct Watch {
    plugin: Arc<str>,
    tenant: Arc<str>,
    prefix: Box<str>,
    deliver: Arc<dyn Deliver>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: bool,
    over: bool,
    /// A turn stands in line or runs.
    standing: bool,
    /// What is to be told next, in the order of versions.
    queue: VecDeque<Change>,
    /// Every change up to this version was told or is in the queue.
    known: u64,
    /// There is more to read behind `known`.
    more: bool,
    /// The version at which it began to read everything that is there, as long as it does.
    begun: Option<u64>,
    /// The newest change that there was no room for.
    missed: u64,
    /// The back end failed: when it may be asked again.
    again_ms: Option<i64>,
}

impl State {
    fn is_behind(&self) -> bool {
        self.more || self.missed > self.known
    }

    /// Takes a turn if there is something to do; the caller says so to [`Deliver`].
    fn stand(&mut self, clock: &dyn Clock) -> bool {
        let can_read = || self.again_ms.is_none_or(|again| again <= now(clock));
        let has_work = !self.queue.is_empty() || (self.is_behind() && can_read());
        let stands = self.live && !self.over && !self.standing && has_work;
        self.standing |= stands;
        stands
    }
}

/// One turn of a watch: as long as there is one, there is no other.
pub(crate) struct Turn<'a> {
    watches: &'a Watches,
    watch: &'a Watch,
}

/// What a turn does next.
pub(super) enum Next {
    Tell(Change),
    /// Read what has changed after this version, then say what there was.
    Read {
        after: u64,
        /// The version at which it began with 0.
        begun: Option<u64>,
        /// The newest change that was known to be missed before it is read.
        missed: u64,
    },
    /// Nothing, or nothing now.
    Rest,
}

impl Watches {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            alarm: clock.alarm(),
            clock,
            count: AtomicUsize::new(0),
            by_plugin: RwLock::default(),
            again_ms: AtomicI64::new(i64::MAX),
            ended: Arc::default(),
            waker: Mutex::default(),
        })
    }

    /// Nobody is woken any more.
    pub(super) fn end(&self) {
        let waker = {
            let mut waker = self.waker.lock();
            self.ended.store(true, SeqCst);
            waker.take()
        };
        self.alarm.ring();
        if let Some(waker) = waker {
            // A panic there has been written to stderr, and there is nothing to be saved from it.
            let _ = waker.join();
        }
    }

    /// A watch that is not live yet. `after`: it begins with what is to be read after this version.
    pub(super) fn add(
        &self,
        plugin: &Arc<str>,
        tenant: &Arc<str>,
        prefix: &str,
        after: Option<u64>,
        deliver: Arc<dyn Deliver>,
    ) -> Arc<Watch> {
        let state = State { known: after.unwrap_or(0), more: after.is_some(), ..State::default() };
        let watch = Arc::new(Watch {
            plugin: Arc::clone(plugin),
            tenant: Arc::clone(tenant),
            prefix: prefix.into(),
            deliver,
            state: Mutex::new(state),
        });
        let mut by_plugin = self.by_plugin.write();
        let by_tenant = by_plugin.entry(Arc::clone(plugin)).or_default();
        by_tenant.entry(Arc::clone(tenant)).or_default().push(Arc::clone(&watch));
        self.count.fetch_add(1, Relaxed);
        watch
    }

    /// Ends a watch: nothing more is told, and what waits is forgotten.
    pub(super) fn remove(&self, watch: &Watch) {
        let waiting = {
            let mut state = watch.state.lock();
            state.over = true;
            std::mem::take(&mut state.queue)
        };
        drop(waiting);
        let mut by_plugin = self.by_plugin.write();
        let Some(by_tenant) = by_plugin.get_mut(&watch.plugin) else { return };
        let Some(list) = by_tenant.get_mut(&watch.tenant) else { return };
        let before = list.len();
        list.retain(|one| !std::ptr::eq(Arc::as_ptr(one), watch));
        self.count.fetch_sub(before - list.len(), Relaxed);
        if list.is_empty() {
            by_tenant.remove(&watch.tenant);
        }
        if by_tenant.is_empty() {
            by_plugin.remove(&watch.plugin);
        }
    }

    /// Whether its changes are told. While they are not they wait, or are read later.
    pub(super) fn set_live(&self, watch: &Watch, live: bool) {
        watch.state.lock().live = live;
        self.stand(watch);
    }

    /// The turn that `watch` stands in line for begins.
    pub(super) fn turn<'a>(&'a self, watch: &'a Watch) -> Turn<'a> {
        Turn { watches: self, watch }
    }

    fn stand(&self, watch: &Watch) {
        let stands = watch.state.lock().stand(&*self.clock);
        if stands {
            watch.deliver.ready();
        }
    }

    /// A watch is to ask again at this time.
    fn ask_again(&self, again: i64) {
        self.again_ms.fetch_min(again, SeqCst);
        // Before there is a thread too: it looks when it begins.
        self.alarm.ring();
        let mut waker = self.waker.lock();
        if waker.is_none() && !self.ended.load(SeqCst) {
            let (watches, clock) = (Weak::clone(&self.this), Arc::clone(&self.clock));
            let (alarm, ended) = (Arc::clone(&self.alarm), Arc::clone(&self.ended));
            let wake = move || wake(&watches, &*clock, &alarm, &ended);
            // Where none can be started the next watch that cannot read tries to.
            *waker = thread::Builder::new().name("pintle-watches".into()).spawn(wake).ok();
        }
    }

    /// Wakes those whose pause is over; tells when the next one's is.
    fn try_again(&self) -> Option<Duration> {
        let now = now(&*self.clock);
        if now >= self.again_ms.load(SeqCst) {
            self.again_ms.store(i64::MAX, SeqCst);
            for watch in self.by_plugin.read().values().flat_map(HashMap::values).flatten() {
                self.stand(watch);
                // One that was woken says itself if it fails again; one that is not live is woken when it is.
                if let Some(again) = watch.state.lock().again_ms.filter(|again| *again > now) {
                    self.again_ms.fetch_min(again, SeqCst);
                }
            }
        }
        let again = self.again_ms.load(SeqCst);
        (again != i64::MAX).then(|| Duration::from_millis(again.unsigned_abs()))
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        // Nobody waits for the thread, which may be the one that drops this.
        self.ended.store(true, SeqCst);
        self.alarm.ring();
    }
}

/// The thread that wakes those whose pause is over.
fn wake(watches: &Weak<Watches>, clock: &dyn Clock, alarm: &Alarm, ended: &AtomicBool) {
    while let Some(until) = watches.upgrade().map(|watches| watches.try_again()) {
        clock.wait(alarm, until);
        if ended.load(SeqCst) {
            break;
        }
    }
    alarm.leave();
}

impl Listener for Watches {
    fn changed(&self, plugin: &str, tenant: &str, change: &Change) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let by_plugin = self.by_plugin.read();
        let Some(watches) = by_plugin.get(plugin).and_then(|by_tenant| by_tenant.get(tenant)) else { return };
        for watch in watches {
            if (change.kind == ChangeKind::Cleared || change.key.starts_with(&*watch.prefix))
                && watch.offer(change, &*self.clock)
            {
                watch.deliver.ready();
            }
        }
    }
}

impl Watch {
    /// Which keys.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Queues a change, or notes that there is one; tells whether a turn is to begin.
    fn offer(&self, change: &Change, clock: &dyn Clock) -> bool {
        let mut state = self.state.lock();
        // What was read already may be told by the back end later.
        if state.over || change.version <= state.known {
            return false;
        }
        if state.is_behind() || state.queue.len() >= MOST_WAITING {
            state.missed = change.version;
        } else {
            state.queue.push_back(change.clone());
            state.known = change.version;
        }
        state.stand(clock)
    }
}

impl Turn<'_> {
    pub(super) fn prefix(&self) -> &str {
        &self.watch.prefix
    }

    pub(super) fn next(&self) -> Next {
        let mut state = self.watch.state.lock();
        if !state.live || state.over {
            return Next::Rest;
        }
        if let Some(change) = state.queue.pop_front() {
            return Next::Tell(change);
        }
        // Not for good: a queue that was full once would keep its room.
        state.queue.shrink_to(PAGE);
        let is_early = || state.again_ms.is_some_and(|again| now(&*self.watches.clock) < again);
        if !state.is_behind() || is_early() {
            return Next::Rest;
        }
        Next::Read { after: state.known, begun: state.begun, missed: state.missed }
    }

    /// What there was to read. Meanwhile nothing was queued: it was behind.
    pub(super) fn was_read(&self, page: Changes, begun: Option<u64>, missed: u64) {
        let mut state = self.watch.state.lock();
        let known = state.known;
        state.more = page.list.len() >= PAGE;
        state.begun = begun.filter(|_| state.more);
        let last = page.list.last().map_or(0, |last| last.version);
        state.known = known.max(page.up_to).max(last);
        if !state.more {
            // What was told before the reading began had been committed before it, and is in the page if it counts.
            state.known = state.known.max(missed);
        }
        state.again_ms = None;
        if !state.over {
            state.queue.extend(page.list.into_iter().filter(|change| change.version > known));
        }
    }

    /// It could not be read. What the operator is to be told of that, if it is the first time in a row.
    pub(super) fn was_not_read(&self, error: Error) -> Option<Error> {
        let mut state = self.watch.state.lock();
        if error.kind() == ErrorKind::OutOfRange && state.known > 0 {
            // It has been asleep for longer than removals are remembered: to tell what is there is all that is left.
            (state.known, state.more, state.begun, state.missed) = (0, true, None, 0);
            return Some(Error::lazy(ErrorKind::OutOfRange, move || {
                format!(
                    "{error}; the watch has been behind for too long, and is told every item that is there"
                )
            }));
        }
        let is_first = state.again_ms.is_none();
        let again = now(&*self.watches.clock) + PAUSE_MS;
        state.again_ms = Some(again);
        drop(state);
        self.watches.ask_again(again);
        is_first.then_some(error)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.watch.state.lock().standing = false;
        self.watches.stand(self.watch);
    }
}
