//! Several events of one subscription, taken together by a worker that runs them one after the other: the queue is locked
//! once for each of them, and its lane once for all.
//!
//! Those that have not begun still wait, as far as anybody can tell: they count as waiting, take room, and are dropped with the
//! others where the subscription is emptied. Those that are left when the batch ends are the first of the queue again. An event
//! whose publisher waits for the answer is only ever taken alone, so that whoever deals with waits finds it in the queue until it
//! begins.

use std::collections::VecDeque;

use super::{Subscription, subscription::Queue, sync::Delivery};

/// Events that were taken together. One at a time is out, from [`Batch::next`] to [`Batch::handled`] or
/// [`Batch::not_begun`].
pub(crate) struct Batch<'a> {
    subscription: &'a Subscription,
    first: Option<Delivery>,
    rest: VecDeque<Delivery>,
    epoch: u64,
    /// How many have been out.
    out: usize,
    /// Of the one that is out, or was last: it counts as running, or would if nobody had waited for its answer.
    last: Last,
    /// The queue had no more.
    exhausted: bool,
}

/// What is to be noted of the event that is out, or was last.
#[derive(Clone, Copy)]
enum Last {
    Running,
    Handled { ok: bool },
    NotBegun { too_late: bool },
    Noted,
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
        queue.wake_next(self.capacity);
        Some(Batch {
            subscription: self,
            first: Some(first),
            rest,
            epoch: queue.epoch,
            out: 0,
            last: Last::Running,
            exhausted,
        })
    }
}

impl Batch<'_> {
    /// The next event to run. None: there is none, or the subscription was emptied meanwhile.
    pub(crate) fn next(&mut self) -> Option<Delivery> {
        if let Some(first) = self.first.take() {
            self.out = 1;
            return Some(first);
        }
        if self.rest.is_empty() {
            return None;
        }
        let mut queue = self.subscription.queue.lock();
        self.last.note(&mut queue);
        if queue.epoch != self.epoch {
            return None;
        }
        let next = self.rest.pop_front()?;
        queue.held -= 1;
        queue.counters.waiting -= 1;
        queue.counters.running += 1;
        queue.wake_next(self.subscription.capacity);
        self.last = Last::Running;
        self.out += 1;
        Some(next)
    }

    /// The handler has been called: whether it answered OK. `awaited`: somebody waits for the answer, and is to find it
    /// counted.
    pub(crate) fn handled(&mut self, ok: bool, awaited: bool) {
        self.last = Last::Handled { ok };
        if awaited {
            self.last.note(&mut self.subscription.queue.lock());
        }
    }

    /// The handler was not called: because nobody waits for its answer any more, or because the subscription has ended.
    pub(crate) fn not_begun(&mut self, too_late: bool) {
        self.last = Last::NotBegun { too_late };
    }

    /// Whether there is no other event in it.
    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many of so many tokens it has used up: all of them if there was no event left for the others.
    pub(crate) fn used(&self, tokens: usize) -> usize {
        if self.exhausted && self.rest.is_empty() { tokens } else { self.out }
    }
}

impl Last {
    /// Counts it, once.
    fn note(&mut self, queue: &mut Queue) {
        let last = std::mem::replace(self, Self::Noted);
        queue.account(|counters| {
            let count = match last {
                Self::Noted => return,
                Self::Handled { ok: true } => &mut counters.delivered,
                // One of which nobody said how it ended has brought a panic of the host.
                Self::Handled { ok: false } | Self::Running => &mut counters.failed,
                Self::NotBegun { too_late: true } => &mut counters.dropped.too_late,
                Self::NotBegun { too_late: false } => &mut counters.dropped.ended,
            };
            *count += 1;
            counters.running -= 1;
        });
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if let Some(first) = self.first.take() {
            // It has not been out at all.
            self.not_begun(first.not_begun());
        }
        let mut queue = self.subscription.queue.lock();
        self.last.note(&mut queue);
        // Where the subscription was emptied meanwhile, those that are left were dropped with the others.
        if queue.epoch == self.epoch {
            queue.held -= self.rest.len();
            while let Some(last) = self.rest.pop_back() {
                queue.events.push_front(last);
            }
        }
        queue.wake_next(self.subscription.capacity);
    }
}
