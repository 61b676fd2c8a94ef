//! Claims of runs, and what keeps two hosts from the same one: leases, fences, and whose turn it is when a lease has ended.

use std::{sync::Arc, time::Duration};

use super::{Chore, Durable, Record};
use crate::{
    error::{Error, Result},
    services::scheduler::{
        DueRun, Job,
        due::{Due, Now, ms, span},
        job::Plan,
        run::{Offer, Running, Ticket},
        store::{Claim, Lease, OpenRun, RunEnd, RunKind, Wanted},
        timer::Timer,
    },
};

/// How much longer than its handler may take a run is claimed: for clocks that differ, and for what is written at its end.
const MARGIN: Duration = Duration::from_secs(15);

/// How many open runs are looked at in one go.
const MOST_OPEN: usize = 1_024;

/// The longest wait after the store has failed.
const LONGEST_WAIT_MS: i64 = 60_000;

impl DueRun {
    /// Claims the run, or goes on with it. None: it does not take place now, which is accounted for.
    pub(in crate::services::scheduler) fn claim(
        &self,
        durable: &Durable,
        record: &Record,
        resumed: Option<Box<Running>>,
        now: Now,
    ) -> Option<Box<Running>> {
        let until_ms = now.wall_ms.saturating_add(ms(self.lease()));
        match resumed {
            None => self.claim_first(durable, record, now, until_ms),
            Some(running) if running.to_take_over => self.take_over(durable, running, now, until_ms),
            Some(running) => self.claim_again(durable, running, until_ms),
        }
    }

    /// For how long a run is claimed.
    fn lease(&self) -> Duration {
        let usual = || self.job().state.lock().target.as_ref().map(|target| target.deadline());
        self.timeout().or_else(usual).unwrap_or(Duration::from_secs(30)) + MARGIN
    }

    fn claim_first(
        &self,
        durable: &Durable,
        record: &Record,
        now: Now,
        until_ms: i64,
    ) -> Option<Box<Running>> {
        let claims = record.claims.lock();
        // Runs that stand side by side are claimed in their order, whichever worker comes first.
        let ticket = self.take_unclaimed(record);
        let job = self.job();
        let passed_over = {
            let mut state = job.state.lock();
            ticket.passed_over + std::mem::take(&mut state.activity().passed_over)
        };
        let wanted = Wanted {
            job: record.job,
            due_ms: ticket.nominal_ms,
            kind: if ticket.of_store { ticket.kind } else { RunKind::Requested },
            next_ms: ticket.next_ms,
            passed_over,
        };
        let claim = durable.store.claim(&wanted, now.wall_ms, until_ms);
        if let Ok(Claim::Granted(lease)) = &claim {
            durable.books.lock().own.insert(lease.run);
        }
        drop(claims);
        match claim {
            Ok(Claim::Granted(lease)) => {
                job.state.lock().activity().store_failures = 0;
                Some(Box::new(Running::first(ticket, lease.run, Some(lease), now)))
            }
            Ok(Claim::Taken { next_ms }) => {
                // Where the other host does not come to its end the run is this one's.
                job.state.lock().spent = false;
                self.timer().is_anothers(job, next_ms);
                // Its lease may end before it does.
                durable.chores.look_at(now.monotonic + self.lease());
                self.timer().run_ended(job);
                None
            }
            Ok(Claim::Gone) => {
                self.timer().remove(job);
                self.timer().run_ended(job);
                None
            }
            Ok(Claim::Paused) => {
                self.timer().set_paused(job, true);
                {
                    let mut state = job.state.lock();
                    if std::mem::take(&mut state.spent) {
                        // It is due when it is resumed.
                        state.activity().next = Some(ticket.nominal_ms);
                    }
                }
                self.timer().run_ended(job);
                None
            }
            Err(error) => {
                job.state.lock().activity().passed_over += passed_over - ticket.passed_over;
                self.try_again(Offer { ticket, resumed: None }, error);
                None
            }
        }
    }

    fn take_unclaimed(&self, record: &Record) -> Ticket {
        let mut unclaimed = record.unclaimed.lock();
        let own = self.ticket();
        if !own.of_store {
            return own;
        }
        unclaimed.pop_front().unwrap_or(own)
    }

    fn claim_again(&self, durable: &Durable, running: Box<Running>, until_ms: i64) -> Option<Box<Running>> {
        let lease = running.lease?;
        match durable.store.begin_again(&lease, until_ms) {
            Ok(true) => Some(running),
            Ok(false) => {
                self.lost(durable, &lease);
                None
            }
            Err(error) => {
                self.try_again(Offer { ticket: running.ticket, resumed: Some(running) }, error);
                None
            }
        }
    }

    fn take_over(
        &self,
        durable: &Durable,
        mut running: Box<Running>,
        now: Now,
        until_ms: i64,
    ) -> Option<Box<Running>> {
        let lapsed_ms = if durable.store.is_exclusive() { i64::MAX } else { now.wall_ms };
        let run = running.id;
        match durable.store.take_over(run, lapsed_ms, until_ms) {
            Ok(Some(open)) => {
                // It counts this attempt already.
                running.attempts = open.attempts.saturating_sub(1);
                (running.lease, running.started_ms) = (Some(open.lease), open.started_ms);
                running.to_take_over = false;
                Some(running)
            }
            Ok(None) => {
                durable.books.lock().own.remove(&run);
                durable.chores.look_at(now.monotonic + self.lease());
                self.timer().run_ended(self.job());
                None
            }
            Err(error) => {
                self.try_again(Offer { ticket: running.ticket, resumed: Some(running) }, error);
                None
            }
        }
    }

    /// The run is another host's now.
    fn lost(&self, durable: &Durable, lease: &Lease) {
        durable.books.lock().own.remove(&lease.run);
        self.timer().run_ended(self.job());
    }

    /// The store has failed: the run waits, and is tried again.
    fn try_again(&self, offer: Offer, error: Error) {
        let wait = {
            let mut state = self.job().state.lock();
            let activity = state.activity();
            activity.last_error = Some(error);
            activity.store_failures = activity.store_failures.saturating_add(1);
            (500_i64 << activity.store_failures.min(10)).min(LONGEST_WAIT_MS)
        };
        let at = self.timer().now().monotonic + span(wait);
        if let Err(offer) = self.timer().later(self.job(), offer, at) {
            self.timer().drop_offer(self.job(), offer);
        }
    }

    /// Another attempt follows: nobody else takes the run over before.
    pub(in crate::services::scheduler) fn postpone(
        &self,
        durable: &Durable,
        lease: &Lease,
        wait: Duration,
        now: Now,
    ) {
        let until_ms = now.wall_ms.saturating_add(ms(wait + self.lease()));
        // Where that fails, or the run is another's already, the next attempt is told.
        let _ = durable.store.postpone(lease, until_ms);
    }

    /// Notes how the run has ended. False: it is another's, and nothing is to be counted.
    pub(in crate::services::scheduler) fn finish(
        &self,
        durable: &Durable,
        running: &Running,
        lease: &Lease,
        end: RunEnd,
    ) -> bool {
        let once = matches!(self.job().plan, Plan::Once(_)) && running.ticket.of_store;
        let follow =
            if end.error.is_none() { self.timer().durable_followers(self.job()) } else { Vec::new() };
        let ids: Vec<u64> = follow.iter().filter_map(|job| Some(job.record()?.job)).collect();
        let ended_ms = end.ended_ms;
        let noted = match durable.store.finish(lease, &end, &ids, once) {
            Ok(noted) => noted,
            Err(error) => {
                self.job().state.lock().activity().last_error = Some(error);
                durable.chores.push(Chore::Finish { lease: *lease, end, follow: ids, once });
                // Until it is noted it stays this engine's own, and those that follow wait.
                return true;
            }
        };
        durable.books.lock().own.remove(&lease.run);
        if noted {
            self.timer().due_at(&follow, ended_ms);
        }
        noted
    }
}

impl Timer {
    /// Another host has claimed the run: the job goes on where the store says.
    fn is_anothers(&self, job: &Arc<Job>, next_ms: Option<i64>) {
        let behind = {
            let mut state = job.state.lock();
            let activity = state.activity();
            let behind = next_ms.is_some_and(|next| activity.next.is_none_or(|known| known < next));
            if behind {
                activity.next = next_ms;
            }
            behind
        };
        if behind {
            self.requeue(job);
        }
    }

    /// Jobs that follow another are due now.
    pub(super) fn due_at(&self, jobs: &[Arc<Job>], at_ms: i64) {
        for job in jobs {
            {
                let mut state = job.state.lock();
                if state.paused || state.over {
                    continue;
                }
                state.activity().next.get_or_insert(at_ms);
            }
            self.requeue(job);
        }
    }

    /// An offer that nobody takes any more: what it has claimed is for others.
    pub(in crate::services::scheduler) fn drop_offer(self: &Arc<Self>, job: &Arc<Job>, offer: Offer) {
        if let (Some(durable), Some(record)) = (&self.durable, job.record())
            && let Some(run) = offer.resumed.and_then(|running| running.run())
        {
            durable.abandon(record.job, run);
        }
        self.run_ended(job);
    }

    /// Looks for runs that are open and nobody's.
    pub(in crate::services::scheduler) fn look(&self, durable: &Durable) {
        durable.chores.look_at(self.now().monotonic);
    }

    /// The same, if such of this job are known.
    pub(in crate::services::scheduler) fn look_if_left(&self, job: &Job) {
        if let (Some(durable), Some(record)) = (&self.durable, job.record())
            && durable.books.lock().left.contains(&record.job)
        {
            self.look(durable);
        }
    }

    /// Offers what is open and nobody's to those that handle the jobs. Tells when the next lease ends that is another host's.
    pub(super) fn look_for_open(self: &Arc<Self>, durable: &Durable) -> Result<Option<Duration>> {
        let open = durable.store.open_runs(MOST_OPEN)?;
        let now = self.now();
        let mut next = None;
        durable.books.lock().left.clear();
        for run in open {
            if durable.books.lock().own.contains(&run.lease.run) {
                continue;
            }
            if !durable.store.is_exclusive() && run.until_ms > now.wall_ms {
                let ahead = now.monotonic + span(run.until_ms - now.wall_ms);
                next = Some(next.map_or(ahead, |next: Duration| next.min(ahead)));
                continue;
            }
            if !self.offer(durable, &run, now) {
                durable.books.lock().left.insert(run.job);
            }
        }
        Ok(next)
    }

    /// False: nobody handles its job.
    fn offer(self: &Arc<Self>, durable: &Durable, open: &OpenRun, now: Now) -> bool {
        let Some(job) = self.state.lock().by_record.get(&open.job).cloned() else { return false };
        {
            let mut state = job.state.lock();
            if !state.is_handled() {
                return false;
            }
            state.activity().under_way += 1;
        }
        durable.books.lock().own.insert(open.lease.run);
        let due_ms = open.due_ms + job.offset_ms();
        let ticket = Ticket::new(Due::Wall(due_ms), due_ms, open.kind).of_store(open.due_ms, None, 0);
        let mut running = Running::first(ticket, open.lease.run, None, now);
        (running.again, running.to_take_over) = (true, true);
        self.hand_over_soon(&job, Offer { ticket, resumed: Some(Box::new(running)) });
        true
    }
}
