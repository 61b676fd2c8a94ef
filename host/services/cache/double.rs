//! A back end for tests: the plain model, which can be stopped in the middle of a call, cut off, and counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    Address, Age, CacheBackend, Draft, Ends, ExpireIf, Expired, Glob, Item, Lifetime, Page, Space, Usage,
    Value, Whole, Written, conformance::Owned, model::Model,
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
    services::{clock::Clock, keys::Namespace},
};

/// Where a call can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// A read has looked, and told nobody yet.
    Found,
    /// Nothing was changed yet.
    Change,
    /// Something was changed, and the caller does not know yet.
    Changed,
}

pub(super) struct Double {
    /// What it has: those who come through it are others than the test's cache.
    pub(super) model: Model,
    pub(super) is_cut_for_reads: AtomicBool,
    pub(super) is_cut_for_writes: AtomicBool,
    pub(super) reads: AtomicUsize,
    pub(super) writes: AtomicUsize,
    stops: Mutex<Vec<Stop>>,
}

/// Tells that it was reached, and waits to be let go.
struct Stop {
    point: Point,
    reached: Sender<()>,
    go: Receiver<()>,
}

/// The test's side of a stop.
pub(super) struct Stopped {
    reached: Receiver<()>,
    go: Sender<()>,
}

impl Stopped {
    /// Waits until a call has come there.
    pub(super) fn is_reached(&self) {
        self.reached.recv_timeout(Duration::from_secs(60)).expect("a call comes there");
    }

    pub(super) fn go_on(self) {
        self.go.send(()).expect("it waits");
    }
}

impl Double {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            model: Model::new(clock),
            is_cut_for_reads: AtomicBool::new(false),
            is_cut_for_writes: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
            stops: Mutex::default(),
        }
    }

    /// Stops the next call that comes to `point`.
    pub(super) fn stop_at(&self, point: Point) -> Stopped {
        let ((reached, is_reached), (go, is_let_go)) = (channel(), channel());
        self.stops.lock().push(Stop { point, reached, go: is_let_go });
        Stopped { reached: is_reached, go }
    }

    pub(super) fn cut(&self, is_cut: bool) {
        self.is_cut_for_reads.store(is_cut, SeqCst);
        self.is_cut_for_writes.store(is_cut, SeqCst);
    }

    fn pass(&self, point: Point) {
        let stop = {
            let mut stops = self.stops.lock();
            let next = stops.iter().position(|stop| stop.point == point);
            next.map(|next| stops.remove(next))
        };
        if let Some(Stop { reached, go, .. }) = stop {
            reached.send(()).expect("the test waits");
            go.recv_timeout(Duration::from_secs(60)).expect("the test lets it go on");
        }
    }

    fn read<R>(&self, read: impl FnOnce() -> Result<R>) -> Result<R> {
        self.reads.fetch_add(1, SeqCst);
        if self.is_cut_for_reads.load(SeqCst) { Err(cut()) } else { read() }
    }

    fn change<R>(&self, change: impl FnOnce() -> Result<R>) -> Result<R> {
        self.writes.fetch_add(1, SeqCst);
        if self.is_cut_for_writes.load(SeqCst) {
            return Err(cut());
        }
        self.pass(Point::Change);
        let changed = change();
        self.pass(Point::Changed);
        changed
    }
}

fn cut() -> Error {
    Error::new(ErrorKind::Unavailable, "the cable was pulled")
}

impl CacheBackend for Double {
    fn get(&self, at: &Address<'_>, read: &mut dyn FnMut(Item<'_>)) -> Result<bool> {
        let mut lent = false;
        self.get_whole(at, &mut |whole| {
            if whole.item.age != Age::Kept {
                lent = true;
                read(whole.item);
            }
        })?;
        Ok(lent)
    }

    fn get_whole(&self, at: &Address<'_>, read: &mut dyn FnMut(Whole<'_>)) -> Result<bool> {
        self.read(|| {
            let mut found = None;
            self.model.get_whole(at, &mut |Whole { item, tags, fresh_for }| {
                let tags: Vec<_> = tags.iter().map(|tag| tag.as_str().to_owned()).collect();
                let rest = (item.age, item.version, item.fresh(), item.left());
                found = Some((Owned::from(item.value), rest, tags, fresh_for));
            })?;
            self.pass(Point::Found);
            let Some((value, (age, version, fresh, left), tags, fresh_for)) = &found else {
                return Ok(false);
            };
            let tags = tags.iter().map(|tag| Namespace::parse("tags", tag.as_bytes()));
            let value = match value {
                Owned::Bytes(bytes) => Value::Bytes(bytes),
                Owned::Integer(integer) => Value::Integer(*integer),
                Owned::Absent => Value::Absent,
            };
            read(Whole {
                item: Item {
                    value,
                    age: *age,
                    version: *version,
                    ends: Ends::In { fresh: *fresh, left: *left },
                },
                tags: &tags.collect::<Result<Vec<_>>>()?,
                fresh_for: *fresh_for,
            });
            Ok(true)
        })
    }

    fn set(&self, at: &Address<'_>, draft: &Draft<'_>) -> Result<Written> {
        self.change(|| self.model.set(at, draft))
    }

    fn remove(&self, at: &Address<'_>) -> Result<bool> {
        self.change(|| self.model.remove(at))
    }

    fn incr(&self, at: &Address<'_>, delta: i64, lifetime: Lifetime) -> Result<i64> {
        self.change(|| self.model.incr(at, delta, lifetime))
    }

    fn expire(&self, at: &Address<'_>, lifetime: Option<Lifetime>, condition: ExpireIf) -> Result<Expired> {
        self.change(|| self.model.expire(at, lifetime, condition))
    }

    fn invalidate_tag(&self, scope: &DataScope<'_>, tag: Namespace<'_>) -> Result<u64> {
        self.change(|| self.model.invalidate_tag(scope, tag))
    }

    fn invalidate(&self, space: &Space<'_>, pattern: &Glob) -> Result<u64> {
        self.change(|| self.model.invalidate(space, pattern))
    }

    fn clear(&self, space: &Space<'_>) -> Result<u64> {
        self.change(|| self.model.clear(space))
    }

    fn keys(&self, space: &Space<'_>, prefix: &str, cursor: Option<&str>, limit: usize) -> Result<Page> {
        self.read(|| self.model.keys(space, prefix, cursor, limit))
    }

    fn usage(&self) -> Result<Vec<Usage>> {
        self.read(|| self.model.usage())
    }

    fn capacity(&self) -> u64 {
        self.model.capacity()
    }

    fn guaranteed(&self) -> u64 {
        self.model.guaranteed()
    }

    fn set_plugins(&self, plugins: usize) {
        self.model.set_plugins(plugins);
    }

    fn health(&self) -> Result<()> {
        let is_cut = self.is_cut_for_reads.load(SeqCst) || self.is_cut_for_writes.load(SeqCst);
        if is_cut { Err(cut()) } else { Ok(()) }
    }

    fn remove_plugin(&self, id: &str) -> Result<u64> {
        self.change(|| self.model.remove_plugin(id))
    }

    fn close(&self) {
        self.model.close();
    }
}
