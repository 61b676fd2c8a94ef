//! Several events of one subscription, taken together by a worker that runs them one after the other: the queue is locked
//! twice for all of them.
//!
//! Those that have not begun still wait, as far as anybody can tell: they count as waiting and take room, and those that
//! are left when the batch ends are the first of the queue again. An event whose publisher waits for the answer is only
//! ever taken alone, so that whoever deals with waits finds it in the queue until it begins.

use std::{collections::VecDeque, sync::atomic::Ordering::Acquire};

use super::{
    Counters, Subscription,
    subscription::{Phase, Queue},
    sync::Delivery,
};

/// Events that were taken together. One at a time is out, from [`Batch::next`] to [`Batch::handled`] or
/// [`Batch::not_begun`].
pub(crate) struct Batch<'a> {
    subscription: &'a Subscription,
    first: Option<Delivery>,
    rest: VecDeque<Delivery>,
    epoch: u64,
    /// How many have been out, and of how many of them it has not been noted yet what became of them.
    out: usize,
    begun: u64,
    /// What became of them, as far as it has not been noted yet.
    settled: Settled,
    /// The queue had no more.
    exhausted: bool,
}

#[derive(Clone, Copy, Default)]
struct Settled {
    delivered: u64,
    failed: u64,
    too_late: u64,
    ended: u64,
}

impl Subscription {
    /// The next events to run, at most `most` of them, in the order in which they were queued. None if the tokens that led
    /// here have outlived their events.
    pub(crate) fn take_batch(&self, most: usize) -> Option<Batch<'_>> {
        let mut queue = self.queue.lock();
        let first = queue.events.pop_front()?;
        queue.counters.waiting -= 1;
        queue.counters.running += 1;
        let mut rest = VecDeque::new();
        // Of two that take at once, which the lanes do not let happen, only one may hold any.
        if queue.held == 0 && first.answer.is_none() {
            while rest.len() + 1 < most
                && let Some(next) = queue.events.pop_front_if(|next| next.answer.is_none())
            {
                rest.push_back(next);
            }
            queue.held = rest.len();
        }
        let exhausted = queue.events.is_empty();
        if rest.is_empty() {
            queue.wake_next(self.capacity);
        }
        Some(Batch {
            subscription: self,
            first: Some(first),
            rest,
            epoch: queue.epoch,
            out: 0,
            begun: 0,
            settled: Settled::default(),
            exhausted,
        })
    }
}

impl Batch<'_> {
    /// The next event to run. None: there is none, or the subscription was emptied meanwhile.
    pub(crate) fn next(&mut self) -> Option<Delivery> {
        let next = self.first.take().or_else(|| {
            let is_old = self.subscription.epoch.load(Acquire) != self.epoch;
            if is_old { None } else { self.rest.pop_front() }
        })?;
        self.out += 1;
        self.begun += 1;
        Some(next)
    }

    /// The handler has been called: whether it answered OK. `awaited`: somebody waits for the answer, and is to find it
    /// counted.
    pub(crate) fn handled(&mut self, ok: bool, awaited: bool) {
        *if ok { &mut self.settled.delivered } else { &mut self.settled.failed } += 1;
        if awaited {
            self.settle(&mut self.subscription.queue.lock());
        }
    }

    /// The handler was not called: because nobody waits for its answer any more, or because the subscription has ended.
    pub(crate) fn not_begun(&mut self, too_late: bool) {
        *if too_late { &mut self.settled.too_late } else { &mut self.settled.ended } += 1;
    }

    /// Whether there is no other event in it.
    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many of so many tokens it has used up: all of them if there was no event left for the others.
    pub(crate) fn used(&self, tokens: usize) -> usize {
        if self.exhausted && self.rest.is_empty() { tokens } else { self.out }
    }

    /// Notes what became of those that have been out. What is out still counts as running.
    fn settle(&mut self, queue: &mut Queue) {
        let Settled { delivered, failed, too_late, ended } = std::mem::take(&mut self.settled);
        let settled = delivered + failed + too_late + ended;
        let begun = std::mem::take(&mut self.begun);
        debug_assert!(settled <= begun, "more events were settled than begun");
        queue.account(|counters| {
            counters.delivered += delivered;
            // One that is not settled has brought a panic of the host.
            counters.failed += failed + (begun - settled);
            counters.dropped.too_late += too_late;
            counters.dropped.ended += ended;
            // The first has counted as running since it was taken, and the others, of which there are none where somebody
            // waits for the answer, as waiting.
            counters.running -= 1;
            counters.waiting -= begun - 1;
        });
        queue.held = self.rest.len();
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let mut queue = self.subscription.queue.lock();
        if let Some(first) = self.first.take() {
            // It has not been out at all.
            self.begun = 1;
            self.not_begun(first.not_begun());
        }
        if self.begun > 0 {
            self.settle(&mut queue);
        }
        let left = self.rest.len() as u64;
        queue.held = 0;
        if queue.epoch == self.epoch {
            while let Some(last) = self.rest.pop_back() {
                queue.events.push_front(last);
            }
        } else {
            let is_over = queue.phase == Phase::Over;
            queue.account(|Counters { waiting, dropped, .. }| {
                *waiting -= left;
                *if is_over { &mut dropped.ended } else { &mut dropped.not_live } += left;
            });
        }
        queue.wake_next(self.subscription.capacity);
    }
}
