//! What the boundary keeps for each thread: whether it is inside a sink, its last failures, and its share of the
//! counts. Together with the table of contexts this is all of the process-wide state.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;

use crate::{error::Error, identity::Seat};

/// How many contexts' last failures a thread remembers.
const REMEMBERED: usize = 16;

thread_local! {
    /// No destructor, so that the access costs no more than the address.
    static FAST: Fast =
        const { Fast { counts: Cell::new(None), page: Cell::new(None), in_sink: Cell::new(false) } };
    static FAILURES: RefCell<VecDeque<(u64, Error)>> = const { RefCell::new(VecDeque::new()) };
    /// Gives the thread's counts back at its end.
    static COUNTS: RefCell<Option<Lease>> = const { RefCell::new(None) };
}

struct Fast {
    /// The page, if this thread has one and is not inside a sink: one look answers both, and that is what a call pays.
    counts: Cell<Option<&'static Counts>>,
    page: Cell<Option<&'static Counts>>,
    in_sink: Cell<bool>,
}

/// Counts by seat. Written by one thread, read by all.
pub(crate) struct Counts {
    calls: [AtomicU64; Seat::COUNT],
    failures: [AtomicU64; Seat::COUNT],
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

    /// Counts a call of the generation in this seat.
    #[inline]
    pub(crate) fn call(&self, seat: u16) {
        increment(&self.calls[usize::from(seat) % Seat::COUNT]);
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

/// Counts a failed call of the generation in this seat.
pub(crate) fn count_failure(seat: u16) {
    increment(&Counts::here().failures[usize::from(seat) % Seat::COUNT]);
}

/// Calls and failures of the generations that have had this seat, since the process began.
pub(crate) fn counted(seat: u16) -> (u64, u64) {
    let seat = usize::from(seat);
    let pages = PAGES.lock();
    pages.all.iter().fold((0, 0), |(calls, failures), page| {
        (calls + page.calls[seat].load(Relaxed), failures + page.failures[seat].load(Relaxed))
    })
}

/// Only this thread writes, so no locked instruction is needed.
#[inline]
fn increment(count: &AtomicU64) {
    count.store(count.load(Relaxed) + 1, Relaxed);
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
        let page: &'static Counts = Box::leak(Box::new(Counts {
            calls: [const { AtomicU64::new(0) }; Seat::COUNT],
            failures: [const { AtomicU64::new(0) }; Seat::COUNT],
        }));
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

    #[test]
    fn counts_outlive_their_threads() {
        let seat = 4000;
        let (before, _) = counted(seat);
        std::thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| (0..1000).for_each(|_| Counts::here().call(seat)));
            }
        });
        assert_eq!(counted(seat).0 - before, 3000);
    }

    #[test]
    fn inside_a_sink_a_thread_is_told_so_and_counts_all_the_same() {
        let seat = 4050;
        let (before, _) = counted(seat);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                // Its first call of all is made from inside.
                inside_sink(|| {
                    assert!(Counts::outside_sink().is_none());
                    Counts::here().call(seat);
                    inside_sink(|| assert!(Counts::outside_sink().is_none()));
                    assert!(Counts::outside_sink().is_none(), "still inside the outer one");
                });
                Counts::outside_sink().expect("outside again").call(seat);
            });
        });
        assert_eq!(counted(seat).0 - before, 2);
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
