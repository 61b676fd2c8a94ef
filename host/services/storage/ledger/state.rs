//! What the engine has in memory: versions, the numbers of scopes, who listens, and what is due.
//!
//! Writes change it when they are committed ([`Write::committed`](super::Write::committed)), in the order of commits and
//! before the next group runs, so that a write that is undone leaves nothing here. One thing is done before: what a write
//! makes wrong is forgotten when it runs, for the writes behind it in its group.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use parking_lot::RwLock;

use super::{
    super::{Change, Listener},
    hot::Hot,
    quota::Totals,
    upkeep::Due,
};
use crate::{error::Result, identity::DataScope};

/// A scope by its names, which outlive this host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) plugin: Arc<str>,
    /// Empty for the system scope.
    pub(super) tenant: Arc<str>,
}

impl Place {
    pub(super) fn of(scope: &DataScope<'_>) -> Result<Self> {
        Ok(Self { plugin: Arc::clone(scope.id), tenant: Arc::clone(scope.tenant()?.name()) })
    }
}

/// Shared by all writes.
pub(super) struct State {
    pub(super) versions: Versions,
    pub(super) numbers: Numbers,
    pub(super) listeners: Listeners,
    pub(super) due: Due,
    pub(super) totals: Totals,
    pub(super) hot: Hot,
}

/// The one sequence of versions. An attempt that is undone leaves a gap.
pub(super) struct Versions {
    next: AtomicU64,
    /// The last one that is on disk.
    last: AtomicU64,
}

impl Versions {
    pub(super) fn after(last: u64) -> Self {
        Self { next: AtomicU64::new(last + 1), last: AtomicU64::new(last) }
    }

    /// Only one write runs at a time.
    pub(super) fn next(&self) -> u64 {
        self.next.fetch_add(1, Relaxed)
    }

    pub(super) fn committed(&self, version: u64) {
        self.last.fetch_max(version, Release);
    }

    pub(super) fn last(&self) -> u64 {
        self.last.load(Acquire)
    }
}

/// More scopes than this are not remembered at once: tenants come and go.
const MOST_NUMBERS: usize = 10_000;

/// The numbers of scopes, so that nobody need ask for them. Knows only what is on disk.
///
/// A reader may see the disk from before a commit that is under way, and say a number that a write of that commit has just
/// changed. So those who write go by what writes have said alone.
#[derive(Default)]
pub(super) struct Numbers(RwLock<Known>);

#[derive(Default)]
struct Known {
    numbers: HashMap<Place, Number>,
    /// How often one was forgotten.
    forgotten: u64,
}

#[derive(Clone, Copy)]
struct Number {
    number: i64,
    /// A write has said it, and not a reader alone. While a write runs that gives the scope another number, readers still
    /// find the old one on disk, and whoever writes behind it in its group must not take that.
    written: bool,
}

/// That a number was not known, when the disk had not been asked yet.
#[derive(Clone, Copy)]
pub(super) struct Unknown(u64);

impl Numbers {
    /// For whoever reads.
    pub(super) fn find(&self, place: &Place) -> Result<i64, Unknown> {
        let known = self.0.read();
        known.numbers.get(place).map(|known| known.number).ok_or(Unknown(known.forgotten))
    }

    /// For a write, which sees what was written before it in its group too.
    pub(super) fn find_written(&self, place: &Place) -> Option<i64> {
        let known = self.0.read();
        known.numbers.get(place).filter(|known| known.written).map(|known| known.number)
    }

    /// What a write knows that was committed.
    pub(super) fn keep(&self, place: &Place, number: i64) {
        self.0.write().keep(place, Number { number, written: true });
    }

    /// What was read, unless it may be another by now.
    pub(super) fn learn(&self, place: &Place, number: i64, unknown: Unknown) {
        let mut known = self.0.write();
        if known.forgotten == unknown.0 && !known.numbers.contains_key(place) {
            known.keep(place, Number { number, written: false });
        }
    }

    /// When a write runs that changes it, and again when that is committed: between the two a reader may have learned the
    /// old one.
    pub(super) fn forget(&self, place: &Place) {
        let mut known = self.0.write();
        known.forgotten += 1;
        known.numbers.remove(place);
    }
}

impl Known {
    fn keep(&mut self, place: &Place, number: Number) {
        if self.numbers.len() >= MOST_NUMBERS {
            self.numbers.clear();
        }
        self.numbers.insert(place.clone(), number);
    }
}

/// Who is told of changes.
#[derive(Default)]
pub(super) struct Listeners(RwLock<Arc<[Arc<dyn Listener>]>>);

impl Listeners {
    pub(super) fn add(&self, listener: Arc<dyn Listener>) {
        let mut all = self.0.write();
        *all = all.iter().cloned().chain([listener]).collect();
    }

    /// Nobody listens.
    pub(super) fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }

    /// Tells everybody; what it tells is made only if somebody listens.
    pub(super) fn tell<'a>(&self, changes: impl IntoIterator<Item = (&'a Place, Change)>) {
        let all = Arc::clone(&self.0.read());
        if all.is_empty() {
            return;
        }
        for (place, change) in changes {
            for listener in &*all {
                listener.changed(&place.plugin, &place.tenant, &change);
            }
        }
    }
}
