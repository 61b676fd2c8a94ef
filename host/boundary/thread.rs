//! What the boundary keeps for each thread: whether it is inside a sink, its last failures, its share of the
//! counts, and a buffer. Together with the table of contexts this is all of the process-wide state.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;

use super::metrics::Tally;
use crate::{
    error::Error,
    identity::{Account, Service},
};

/// How many contexts' last failures a thread remembers.
const REMEMBERED: usize = 16;

/// What a thread keeps of its copy buffer between two calls.
const KEPT: usize = 64 << 10;

thread_local! {
    /// No destructor, so that the access costs no more than the address.
    static FAST: Fast =
        const { Fast { counts: Cell::new(None), page: Cell::new(None), in_sink: Cell::new(false) } };
    static FAILURES: RefCell<VecDeque<(u64, Error)>> = const { RefCell::new(VecDeque::new()) };
    /// Where a value waits between an engine, whose locks must not be held while a plugin's sink runs, and that sink.
    static COPY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Gives the thread's counts back at its end.
    static COUNTS: RefCell<Option<Lease>> = const { RefCell::new(None) };
}

struct Fast {
    /// The page, if this thread has one and is not inside a sink: one look answers both, and that is what a call pays.
    counts: Cell<Option<&'static Counts>>,
    page: Cell<Option<&'static Counts>>,
    in_sink: Cell<bool>,
}

/// Counts by account. Written by one thread, read by all. Large, and of zeroes that take no memory until they are
/// touched.
pub(crate) struct Counts([Line; Account::COUNT]);

/// One account's counts, by service.
struct Line {
    calls: [AtomicU64; Service::ROOM],
    failures: [AtomicU64; Service::ROOM],
    bytes: [AtomicU64; Service::ROOM],
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
}

/// All threads' counts. Never freed: those of threads that have ended are handed to new ones, and go on growing.
#[derive(Default)]
struct Pages {
    all: Vec<&'static Counts>,
    free: Vec<&'static Counts>,
}

static PAGES: LazyLock<Mutex<Pages>> = LazyLock::new(Mutex::default);

struct Lease(&'static Counts);

impl Drop for Lease {
    fn drop(&mut self) {
        // Calls that later destructors of this thread make are counted on a page that is its own until then.
        FAST.with(|fast| {
            fast.counts.set(None);
            fast.page.set(None);
        });
        PAGES.lock().free.push(self.0);
    }
}

impl Counts {
    /// This thread's; `None` if it is inside the `write` of a caller's sink.
    #[inline]
    pub(crate) fn outside_sink() -> Option<&'static Self> {
        FAST.with(|fast| fast.counts.get()).or_else(first_or_in_sink)
    }

    /// This thread's, also inside a sink.
    pub(crate) fn here() -> &'static Self {
        FAST.with(|fast| fast.page.get()).unwrap_or_else(take_page)
    }

    /// Counts a call; tells how many there were on this page before.
    #[inline]
    pub(crate) fn call(&self, account: u16, service: Service) -> u64 {
        add(&self.line(account).calls[service as usize], 1)
    }

    /// Counts a failed call.
    pub(crate) fn failure(&self, account: u16, service: Service) {
        add(&self.line(account).failures[service as usize], 1);
    }

    /// Counts bytes of values that a call took or gave.
    #[inline]
    pub(crate) fn bytes(&self, account: u16, service: Service, bytes: usize) {
        add(&self.line(account).bytes[service as usize], bytes as u64);
    }

    /// Counts an item of the cache that was asked for: whether it was there.
    #[inline]
    pub(crate) fn read(&self, account: u16, hit: bool) {
        let line = self.line(account);
        add(if hit { &line.cache_hits } else { &line.cache_misses }, 1);
    }

    #[inline]
    fn line(&self, account: u16) -> &Line {
        &self.0[usize::from(account) % Account::COUNT]
    }
}

/// Runs the `write` of a caller's sink.
pub(crate) fn inside_sink<R>(write: impl FnOnce() -> R) -> R {
    let outer = FAST.with(|fast| {
        fast.counts.set(None);
        fast.in_sink.replace(true)
    });
    let result = write();
    FAST.with(|fast| {
        fast.in_sink.set(outer);
        if !outer {
            fast.counts.set(fast.page.get());
        }
    });
    result
}

/// Lends this thread's copy buffer.
pub(crate) fn with_copy<R>(run: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    // Taken, not borrowed: a destructor that runs late in a thread's life finds none and makes its own.
    let mut copy = COPY.try_with(RefCell::take).unwrap_or_default();
    let result = run(&mut copy);
    if copy.capacity() <= KEPT {
        let _ = COPY.try_with(|kept| kept.replace(copy));
    }
    result
}

/// What was counted on an account since the process began, by all who have had it.
pub(crate) fn counted(account: u16) -> Tally {
    let mut tally = Tally::default();
    for page in &PAGES.lock().all {
        let Line { calls, failures, bytes, cache_hits, cache_misses } = page.line(account);
        for (service, sum) in tally.services.iter_mut().enumerate() {
            sum.calls += calls[service].load(Relaxed);
            sum.failures += failures[service].load(Relaxed);
            sum.bytes += bytes[service].load(Relaxed);
        }
        tally.cache_hits += cache_hits.load(Relaxed);
        tally.cache_misses += cache_misses.load(Relaxed);
    }
    tally
}

/// Only this thread writes, so no locked instruction is needed. Tells what it was before.
#[inline]
fn add(count: &AtomicU64, more: u64) -> u64 {
    let before = count.load(Relaxed);
    count.store(before.wrapping_add(more), Relaxed);
    before
}

#[cold]
#[inline(never)]
fn first_or_in_sink() -> Option<&'static Counts> {
    if FAST.with(|fast| fast.in_sink.get()) { None } else { Some(Counts::here()) }
}

#[cold]
#[inline(never)]
fn take_page() -> &'static Counts {
    let mut pages = PAGES.lock();
    let page = pages.free.pop().unwrap_or_else(|| {
        // SAFETY: it consists of atomic integers alone, for which zeroes are a value.
        let page: &'static Counts = Box::leak(unsafe { Box::<Counts>::new_zeroed().assume_init() });
        pages.all.push(page);
        page
    });
    drop(pages);
    // In a thread that is already ending there is no lease: its one page is lost to new threads, not to the sums.
    let _ = COUNTS.try_with(|lease| lease.replace(Some(Lease(page))));
    FAST.with(|fast| {
        fast.page.set(Some(page));
        if !fast.in_sink.get() {
            fast.counts.set(Some(page));
        }
    });
    page
}

/// Remembers a failure as this thread's last one with this context.
#[cold]
pub(crate) fn remember(ctx: u64, error: Error) {
    // In a thread that is already ending nobody can ask any more.
    let _ = FAILURES.try_with(|failures| {
        let mut failures = failures.borrow_mut();
        if let Some(at) = failures.iter().position(|(of, _)| *of == ctx) {
            failures.remove(at);
        } else if failures.len() == REMEMBERED {
            failures.pop_front();
        }
        failures.push_back((ctx, error));
    });
}

/// Forgets this thread's last failure with a context that lives on: a new function begins under it.
pub(crate) fn forget(ctx: u64) {
    let _ = FAILURES.try_with(|failures| failures.borrow_mut().retain(|(of, _)| *of != ctx));
}

/// This thread's last failure with this context.
pub(crate) fn last_failure(ctx: u64) -> Option<Error> {
    FAILURES
        .try_with(|failures| {
            failures.borrow().iter().find(|(of, _)| *of == ctx).map(|(_, error)| error.clone())
        })
        .ok()?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn calls(account: u16) -> u64 {
        counted(account).total().calls
    }

    #[test]
    fn counts_outlive_their_threads() {
        let account = 4000;
        let before = calls(account);
        std::thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    for _ in 0..1000 {
                        Counts::here().call(account, Service::Cache);
                    }
                });
            }
        });
        assert_eq!(calls(account) - before, 3000);
    }

    #[test]
    fn counts_are_kept_apart_by_account_and_service() {
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let page = Counts::here();
                assert_eq!([page.call(4061, Service::Log), page.call(4061, Service::Log)], [0, 1]);
                page.failure(4061, Service::Storage);
                page.bytes(4061, Service::Events, 70);
                page.read(4062, true);
                page.read(4062, true);
                page.read(4062, false);
            });
        });
        let (first, second) = (counted(4061), counted(4062));
        assert_eq!((first.of(Service::Log).calls, first.total().calls), (2, 2));
        assert_eq!((first.of(Service::Storage).failures, first.of(Service::Events).bytes), (1, 70));
        assert_eq!((second.cache_hits, second.cache_misses, second.total().calls), (2, 1, 0));
        assert_eq!((first.cache_hits, first.cache_misses), (0, 0));
    }

    #[test]
    fn inside_a_sink_a_thread_is_told_so_and_counts_all_the_same() {
        let account = 4050;
        let count = |page: &Counts| page.call(account, Service::Host);
        let before = calls(account);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                // Its first call of all is made from inside.
                inside_sink(|| {
                    assert!(Counts::outside_sink().is_none());
                    count(Counts::here());
                    inside_sink(|| assert!(Counts::outside_sink().is_none()));
                    assert!(Counts::outside_sink().is_none(), "still inside the outer one");
                });
                count(Counts::outside_sink().expect("outside again"));
            });
        });
        assert_eq!(calls(account) - before, 2);
    }

    #[test]
    fn the_last_failure_is_kept_for_each_of_the_latest_contexts() {
        for ctx in 0..20 {
            remember(ctx, Error::new(ErrorKind::NotFound, format!("first {ctx}")));
        }
        remember(19, Error::new(ErrorKind::NotFound, "second"));
        assert!(last_failure(3).is_none(), "older ones are forgotten");
        assert_eq!(last_failure(4).map(|error| error.to_string()), Some("first 4".into()));
        assert_eq!(last_failure(19).map(|error| error.to_string()), Some("second".into()));
    }
}
