//! Which runs of a job take place when it is due: what was missed, what falls together with a run that has not ended, and what
//! follows when one has.

use std::sync::Arc;

use super::{
    Job, Overlap,
    due::{Due, MISSED_MS, Now, Passed},
    job::{JobState, Plan},
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

/// The runs that a due time means.
struct Meant {
    /// In their order.
    tickets: Vec<Ticket>,
    skipped: u64,
    /// The last due time of them, without jitter.
    since: Due,
}

impl Job {
    /// The run in its place in the queue is due now. The one that is to be handed over, if there is one, counts as under way from here on.
    pub(super) fn fall_due(&self, due: Due, now: Now) -> Option<Ticket> {
        let meant = self.meant(due, now);
        let mut state = self.state.lock();
        if !state.runs_on() {
            return None;
        }
        state.since = Some(meant.since);
        state.spent = matches!(self.plan, Plan::Once(_));
        if meant.skipped > 0 {
            state.activity().skipped += meant.skipped;
        }
        let several = meant.tickets.len() > 1;
        // The only run waits for one that somebody asked for.
        let overlap = if state.spent { Overlap::Queue } else { self.keeping().overlap };
        let mut first = None;
        for ticket in meant.tickets {
            let handed = if several && state.is_busy() {
                state.wait(ticket, Missed::MOST);
                false
            } else {
                state.take(ticket, overlap)
            };
            if handed {
                first = Some(ticket);
            }
        }
        first
    }

    /// A run that is not of its schedule is due now; false: there is no room for it.
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

    /// Whether a run may still begin; counts those that may not.
    pub(super) fn admits(&self, ticket: &Ticket, now: Now) -> bool {
        let state = self.state.lock();
        let wanted = !state.over && (!state.paused || ticket.kind == RunKind::Requested);
        let latest = self.keeping().start_deadline_ms;
        wanted && (latest == 0 || ticket.due.passed_ms(now) <= latest)
    }

    /// A run that was under way is not any more.
    pub(super) fn leave(&self) -> Next {
        let mut state = self.state.lock();
        let over = state.over;
        let activity = state.activity();
        activity.under_way = activity.under_way.saturating_sub(1);
        if activity.under_way > 0 {
            return Next::Nothing;
        }
        if over {
            return Next::Over(state.target.take());
        }
        let waiting = activity.waiting.pop_front();
        if let Some(ticket) = waiting {
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
        Some(if state.under_way() == 0 { state.target.take() } else { None })
    }

    fn meant(&self, due: Due, now: Now) -> Meant {
        let offset_ms = self.offset_ms();
        let ticket = |due: Due, kind| Ticket { due, due_ms: due.as_wall_ms(now), kind };
        let (Plan::Calendar(rule), Due::Wall(at)) = (&self.plan, due) else {
            return Meant { tickets: vec![ticket(due, RunKind::Scheduled)], skipped: 0, since: due };
        };
        let (first, until) = (at - offset_ms, now.wall_ms - offset_ms);
        if until - first < 1_000 {
            // Rules are whole seconds: there is no other.
            return Meant {
                tickets: vec![ticket(due, RunKind::Scheduled)],
                skipped: 0,
                since: Due::Wall(first),
            };
        }
        let missed = self.keeping().missed;
        let most = if missed == Missed::All { Missed::MOST } else { 1 };
        let Passed { last, before } = Passed::of_rule(rule, first, until, most);
        let newest = last[last.len() - 1];
        let is_late = |at: i64| until - at > MISSED_MS;
        let mut skipped = before;
        let mut tickets = Vec::with_capacity(last.len());
        for at in last {
            let late = is_late(at) || at != newest || (missed == Missed::Once && before > 0);
            if late && missed == Missed::Skip {
                skipped += 1;
                continue;
            }
            let kind = if late { RunKind::Missed } else { RunKind::Scheduled };
            tickets.push(ticket(Due::Wall(at + offset_ms), kind));
        }
        Meant { tickets, skipped, since: Due::Wall(newest) }
    }
}

impl JobState {
    pub(super) fn under_way(&self) -> u32 {
        self.activity.as_ref().map_or(0, |activity| activity.under_way)
    }

    fn is_busy(&self) -> bool {
        self.activity.as_ref().is_some_and(|activity| activity.under_way > 0 || !activity.waiting.is_empty())
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
