//! Which runs of a job take place when it is due: what was missed, what falls together with a run that has not ended, and what
//! follows when one has.

use std::sync::Arc;

use super::{
    Job, Overlap,
    due::{Due, MISSED_MS, Now, Passed},
    job::{Activity, JobState, Plan},
    run::{Run, Ticket},
    store::{Missed, RunKind},
};

/// What a job wants when a run of it has ended.
pub(super) enum Next {
    Nothing,
    /// It is over, and its target is to be told.
    Over(Option<Arc<dyn Run>>),
    /// It has run its once.
    Gone,
    /// A run that has waited; it counts as under way already.
    Follow(Ticket),
}

/// What comes of a due time.
#[derive(Default)]
pub(super) struct Fallen {
    /// The run that is to be handed over; it counts as under way from here on.
    pub(super) run: Option<Ticket>,
    /// How many runs of a durable job do not take place, which the store is to be told: what is due next is known to the job.
    pub(super) given_up: u64,
    /// Its only run does not take place.
    pub(super) gone: bool,
}

/// The runs that a due time means.
struct Meant {
    /// In their order.
    tickets: Vec<Ticket>,
    skipped: u64,
    /// The last due time of them, without jitter.
    since: Due,
    /// When a durable job is due next.
    next: Option<i64>,
}

impl Job {
    /// The run in its place in the queue is due now.
    pub(super) fn fall_due(&self, due: Due, now: Now) -> Fallen {
        let unattended = self.is_durable() && std::mem::take(&mut self.state.lock().activity().unattended);
        let meant = self.meant(due, now, unattended);
        let mut state = self.state.lock();
        if !state.runs_on() {
            return Fallen::default();
        }
        let before = state.skipped();
        if self.is_durable() {
            state.activity().next = meant.next;
        }
        state.since = Some(meant.since);
        state.spent = matches!(self.plan, Plan::Once(_));
        // The only run waits for one that somebody asked for.
        let overlap = if state.spent { Overlap::Queue } else { self.keeping().overlap };
        if meant.skipped > 0 {
            state.activity().skipped += meant.skipped;
        }
        // What was missed while the host was down waits for a run that another life has left unfinished.
        let in_turn = meant.tickets.len() > 1 || unattended;
        let none = meant.tickets.is_empty();
        let mut run = None;
        for ticket in meant.tickets {
            let handed = if in_turn && state.is_busy() {
                state.wait(ticket, Missed::MOST);
                false
            } else {
                state.take(ticket, overlap)
            };
            if handed {
                run = Some(ticket);
            }
        }
        let mut fallen = Fallen { run, given_up: 0, gone: none && state.spent && !state.is_busy() };
        if let Some(record) = self.record()
            && run.is_none()
        {
            let skipped = state.skipped() - before;
            let activity = state.activity();
            if activity.waiting.is_empty() && record.unclaimed.lock().is_empty() {
                fallen.given_up = skipped;
            } else {
                // The next claim tells it: before that the store must not know that the job is due later.
                activity.passed_over += skipped;
            }
        }
        fallen
    }

    /// A run that is not of its schedule is due now: the ticket if it is to be handed over, and not if it waits. None: there is no room.
    pub(super) fn request(&self, ticket: Ticket) -> Option<Option<Ticket>> {
        let mut state = self.state.lock();
        let overlap = self.keeping().overlap;
        let room = match overlap {
            Overlap::Skip => !state.is_busy(),
            Overlap::Queue => state.activity.as_ref().is_none_or(|activity| activity.waiting.is_empty()),
            Overlap::Allow => state.under_way() < Overlap::MOST,
        };
        room.then(|| state.take(ticket, overlap).then_some(ticket))
    }

    /// Whether a run may still begin.
    pub(super) fn admits(&self, ticket: &Ticket, now: Now) -> bool {
        let state = self.state.lock();
        let held = state.paused && ticket.kind != RunKind::Requested && !matches!(self.plan, Plan::Once(_));
        let latest = self.keeping().start_deadline_ms;
        !state.over && !held && (latest == 0 || ticket.due.passed_ms(now) <= latest)
    }

    /// A run that was under way is not any more: its own, or one of a job that it has followed.
    pub(super) fn leave(&self, own: bool) -> Next {
        let mut state = self.state.lock();
        let over = state.over;
        let activity = state.activity();
        let count = if own { &mut activity.under_way } else { &mut activity.inherited };
        *count = count.saturating_sub(1);
        let (under_way, inherited) = (activity.under_way, activity.inherited);
        if over {
            return if own && under_way == 0 { Next::Over(state.farewell()) } else { Next::Nothing };
        }
        if under_way + inherited > 0 {
            return Next::Nothing;
        }
        if let Some(ticket) = activity.waiting.pop_front() {
            activity.under_way = 1;
            return Next::Follow(ticket);
        }
        if state.spent { Next::Gone } else { Next::Nothing }
    }

    /// Ends it: nothing falls due any more. None: it was over already. The target is to be told unless a run is under way.
    pub(super) fn end(&self) -> Option<Option<Arc<dyn Run>>> {
        let mut state = self.state.lock();
        if state.over {
            return None;
        }
        state.over = true;
        if let Some(activity) = &mut state.activity {
            activity.waiting.clear();
        }
        Some(if state.under_way() == 0 { state.farewell() } else { None })
    }

    fn meant(&self, due: Due, now: Now, unattended: bool) -> Meant {
        let offset_ms = self.offset_ms();
        let ticket = |due: Due, kind| Ticket::new(due, due.as_wall_ms(now), kind);
        let Due::Wall(at) = due else {
            return Meant {
                tickets: vec![ticket(due, RunKind::Scheduled)],
                skipped: 0,
                since: due,
                next: None,
            };
        };
        let (first, until) = (at - offset_ms, now.wall_ms - offset_ms);
        let asked = self.keeping().missed;
        let only = Passed { last: vec![first], before: 0 };
        let (missed, Passed { last, before }) = match &self.plan {
            // Rules are whole seconds: there is no other.
            Plan::Calendar(_) if until - first < 1_000 => (asked, only),
            Plan::Calendar(rule) => (asked, Passed::of_rule(rule, first, until, asked.most())),
            Plan::Every(ms) if unattended => (asked, Passed::of_beat(*ms, first, until, asked.most())),
            // While the host is up a beat that is late takes place, and those before are skipped.
            Plan::Every(ms) => (Missed::Once, Passed::of_beat(*ms, first, until, 1)),
            Plan::Once(_) => (asked, only),
            Plan::After(_) | Plan::Reboot => (Missed::Once, only),
        };
        let newest = last[last.len() - 1];
        let next = match &self.plan {
            Plan::Calendar(rule) if self.is_durable() => rule.next(newest),
            Plan::Every(ms) => Some(newest.saturating_add(*ms)),
            Plan::Calendar(_) | Plan::Once(_) | Plan::After(_) | Plan::Reboot => None,
        };
        // Whether lateness alone says that one was missed.
        let by_time = !matches!(self.plan, Plan::Every(_) | Plan::After(_));
        let mut skipped = before;
        let mut tickets: Vec<Ticket> = Vec::with_capacity(last.len());
        for at in last {
            let stands_for_others = missed == Missed::Once && before > 0;
            let late = unattended || by_time && (until - at > MISSED_MS || at != newest || stands_for_others);
            if late && missed == Missed::Skip {
                skipped += 1;
                continue;
            }
            let kind = if late { RunKind::Missed } else { RunKind::Scheduled };
            let made = ticket(Due::Wall(at + offset_ms), kind);
            if let Some(last) = tickets.last_mut() {
                last.next_ms = Some(at);
            }
            let passed_over = if tickets.is_empty() { skipped } else { 0 };
            tickets.push(if self.is_durable() { made.of_store(at, next, passed_over) } else { made });
        }
        Meant { tickets, skipped, since: Due::Wall(newest), next }
    }
}

impl Missed {
    /// How many of those that were missed are looked at one by one.
    fn most(self) -> usize {
        if self == Self::All { Self::MOST } else { 1 }
    }
}

impl JobState {
    pub(super) fn under_way(&self) -> u32 {
        self.activity.as_ref().map_or(0, |activity| activity.under_way)
    }

    fn skipped(&self) -> u64 {
        self.activity.as_ref().map_or(0, |activity| activity.skipped)
    }

    fn is_busy(&self) -> bool {
        let busy =
            |activity: &Activity| activity.under_way + activity.inherited > 0 || !activity.waiting.is_empty();
        self.activity.as_deref().is_some_and(busy)
    }

    /// A run that is due: true if it is to be handed over.
    fn take(&mut self, ticket: Ticket, overlap: Overlap) -> bool {
        let busy = self.is_busy();
        match overlap {
            Overlap::Queue if busy => self.wait(ticket, 1),
            Overlap::Skip if busy => self.activity().skipped += 1,
            Overlap::Allow if self.under_way() >= Overlap::MOST => self.activity().skipped += 1,
            Overlap::Skip | Overlap::Queue | Overlap::Allow => {
                self.activity().under_way += 1;
                return true;
            }
        }
        false
    }

    fn wait(&mut self, ticket: Ticket, most: usize) {
        let activity = self.activity();
        if activity.waiting.len() < most {
            activity.waiting.push_back(ticket);
        } else {
            activity.skipped += 1;
        }
    }
}
