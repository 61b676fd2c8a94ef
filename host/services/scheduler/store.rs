//! What a job store does: keeps durable jobs, claims their runs, and remembers how they ended. A store knows no handlers, no rules and no
//! time but that of its writes; when a job is due is decided by the engine (`durable.rs`).
//!
//! Several engines may share one store: each knows of all jobs, and when one is due they all ask for the run. One claim is granted for
//! each (job, due time). It is a lease: while it lasts nobody else begins the run, and after it another engine takes the run over. Each
//! claim of a run has a higher fence than the one before, and whoever comes with an older one is told that the run is not his any more.
//!
//! Everything that returns OK is on disk.

use std::sync::Arc;

use super::{Named, Overlap};
use crate::error::{ErrorKind, Result};

/// How many runs of a job that have ended are remembered.
pub(crate) const HISTORY: usize = 50;

/// How many bytes of a reply or of the text of a failure are remembered of a run.
pub(crate) const RESULT_BYTES: usize = 1024;

/// Whose job it is, and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct JobName {
    /// A plugin's id, or `application`.
    pub(crate) plugin: Arc<str>,
    /// The tenant on whose behalf it runs; empty: the system scope.
    pub(crate) tenant: Arc<str>,
    pub(crate) name: Arc<str>,
}

/// When a job runs, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    /// By a cron rule in a time zone by its IANA name; UTC if that is empty.
    Cron { rule: Arc<str>, zone: Arc<str> },
    /// Every so many milliseconds.
    Every(i64),
    /// Once, so many milliseconds from when it was scheduled.
    Once(i64),
    /// Each time that a run of the job of this name, in the same scope, has ended OK.
    After(Arc<str>),
}

/// What becomes of runs that were missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// One takes place for all of them.
    #[default]
    Once,
    /// None does.
    Skip,
    /// Each does, one after the other, at most the last [`Missed::MOST`].
    All,
}

impl Missed {
    /// How many missed runs of one job are made up for.
    pub const MOST: usize = 100;
}

/// How a job is kept. All spans in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keeping {
    pub(crate) overlap: Overlap,
    pub(crate) missed: Missed,
    /// How late a run may begin; 0: however late.
    pub(crate) start_deadline_ms: i64,
    /// By a part of so much each due time of a rule is put off, the same for every run of the job.
    pub(crate) jitter_ms: i64,
    /// How long an attempt may take; 0: as long as any handler of the plugin.
    pub(crate) timeout_ms: i64,
    /// How long after the first failure the next attempt begins; 0: [`Keeping::BACKOFF_MS`].
    pub(crate) backoff_ms: i64,
    /// How often a run that has failed is tried again.
    pub(crate) retries: u32,
}

impl Keeping {
    /// How a job is kept that asks for nothing.
    pub(crate) const USUAL: Self = Self {
        overlap: Overlap::Skip,
        missed: Missed::Once,
        start_deadline_ms: 0,
        jitter_ms: 0,
        timeout_ms: 0,
        backoff_ms: 0,
        retries: 0,
    };

    /// The first wait before another attempt, where nothing else is asked for.
    pub(crate) const BACKOFF_MS: i64 = 1_000;
    /// The longest wait before another attempt.
    pub(crate) const LONGEST_BACKOFF_MS: i64 = 3_600_000;

    /// How long to wait before the attempt that follows this one (1: the first).
    #[must_use]
    pub(crate) fn backoff_after(&self, attempt: u32) -> i64 {
        let first = if self.backoff_ms == 0 { Self::BACKOFF_MS } else { self.backoff_ms };
        let doubled = 1_i64.checked_shl(attempt.saturating_sub(1)).filter(|factor| *factor > 0);
        first.saturating_mul(doubled.unwrap_or(i64::MAX)).min(Self::LONGEST_BACKOFF_MS)
    }
}

/// All that is asked for of a durable job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobSpec {
    pub(crate) timing: Timing,
    pub(crate) keeping: Keeping,
    /// What its runs are given.
    pub(crate) data: Arc<[u8]>,
}

/// A durable job as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobRecord {
    /// What the store knows it by; never used again.
    pub(crate) job: u64,
    pub(crate) name: JobName,
    pub(crate) spec: JobSpec,
    pub(crate) paused: bool,
    /// When it is due next, without jitter: no run of this due time or a later one has been claimed. None: nothing is to be awaited.
    pub(crate) next_ms: Option<i64>,
    /// The due time of the last run that was claimed by its schedule.
    pub(crate) last_ms: Option<i64>,
    pub(crate) runs: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

/// Which run is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) job: u64,
    /// When it was due, without jitter.
    pub(crate) due_ms: i64,
    pub(crate) kind: RunKind,
    /// When the job is due next, once this run is claimed. Only a run by schedule moves it.
    pub(crate) next_ms: Option<i64>,
    /// How many due times before this one do not take place, with this claim: they count as skipped.
    pub(crate) passed_over: u64,
}

/// Why a run takes place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunKind {
    /// It was due.
    #[default]
    Scheduled,
    /// It was due, and the host came to it too late.
    Missed,
    /// Somebody asked for it.
    Requested,
}

/// What an engine may do that has asked for a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The run is its own until the lease ends.
    Granted(Lease),
    /// Somebody else has claimed it, or a later one: the job is due next at this time.
    Taken { next_ms: Option<i64> },
    /// There is no such job any more.
    Gone,
    /// The job is paused, which this engine did not know; only for runs by schedule.
    Paused,
}

/// A run that is one engine's own for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The run; never used again, and the same however often it is taken over.
    pub(crate) run: u64,
    /// Which claim of the run this is.
    pub(crate) fence: u64,
}

/// A run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenRun {
    pub(crate) job: u64,
    pub(crate) lease: Lease,
    pub(crate) due_ms: i64,
    pub(crate) kind: RunKind,
    /// When its first attempt began.
    pub(crate) started_ms: i64,
    /// How many attempts have begun.
    pub(crate) attempts: u32,
    /// When its lease ends, by the host's clock.
    pub(crate) until_ms: i64,
}

/// How a run has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunEnd {
    pub(crate) ended_ms: i64,
    /// None: OK.
    pub(crate) error: Option<ErrorKind>,
    /// The reply, or the text of the failure, at most [`RESULT_BYTES`].
    pub(crate) result: Vec<u8>,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndedRun {
    pub(crate) run: u64,
    pub(crate) due_ms: i64,
    pub(crate) kind: RunKind,
    /// It was taken over at least once.
    pub(crate) again: bool,
    pub(crate) started_ms: i64,
    pub(crate) attempts: u32,
    pub(crate) end: RunEnd,
}

/// Which jobs: those that are of all that is given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Of<'a> {
    pub(crate) plugin: Option<&'a str>,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
}

impl Of<'_> {
    /// Whether a job is one of them.
    #[must_use]
    pub(crate) fn matches(&self, named: &Named<'_>) -> bool {
        self.plugin.is_none_or(|plugin| plugin == named.plugin)
            && self.tenant.is_none_or(|tenant| tenant == named.tenant.unwrap_or_default())
            && self.name.is_none_or(|name| name == named.name)
    }
}

/// Keeps durable jobs. Called from any thread.
///
/// # Errors
///
/// Each answers UNAVAILABLE where the disk is full or fails, and after its end; nothing of what was asked for has happened then.
pub(crate) trait JobStore: Send + Sync {
    /// Whether no other host uses this store: then what an earlier host has left unfinished is lapsed at once.
    fn is_exclusive(&self) -> bool;

    /// Schedules a job that is due first at `next_ms`. One of the same name is replaced: where the timing is the same it keeps where it
    /// stands (`next_ms`, `last_ms`), whether it is paused, its counts and its history; otherwise it keeps its counts and its history, and
    /// is not paused. `origin`, not empty: what asks for it is known by this name, for a day at least, and asks a second time in vain;
    /// None is answered then.
    ///
    /// QUOTA: the plugin has `most` jobs already, and this would be one more.
    fn put(
        &self,
        name: &JobName,
        spec: &JobSpec,
        next_ms: Option<i64>,
        origin: &str,
        most: u64,
    ) -> Result<Option<JobRecord>>;

    /// The jobs, in the order of plugin, tenant and name.
    fn jobs(&self, of: &Of<'_>) -> Result<Vec<JobRecord>>;

    /// Forgets the jobs with their runs and history, also open ones; tells how many there were.
    fn forget(&self, of: &Of<'_>) -> Result<u64>;

    /// Pauses a job or lets it go on, due next at `next_ms`. False: there is no such job any more.
    fn set_paused(&self, job: u64, paused: bool, next_ms: Option<i64>) -> Result<bool>;

    /// Claims a run, its first attempt, until `until_ms`. By schedule it is granted if the job is due at that time or before by what the
    /// store knows; on request always. A due time that another run of the job has, as far as the store remembers it, becomes the next
    /// free millisecond, so that each run of a job has one of its own.
    fn claim(&self, wanted: &Wanted, now_ms: i64, until_ms: i64) -> Result<Claim>;

    /// Gives up due times without a run: the job is due next at `next_ms`, and `skipped` more have not taken place. Does nothing if the
    /// job is due then or later already, or no more: another engine has given up the same ones.
    fn pass_over(&self, job: u64, skipped: u64, next_ms: Option<i64>) -> Result<()>;

    /// The next attempt of a run begins, with its lease until `until_ms`. False: the run is another's, or has ended.
    fn begin_again(&self, lease: &Lease, until_ms: i64) -> Result<bool>;

    /// An attempt has failed, and another one follows: nobody else takes the run over before `until_ms`. False as above.
    fn postpone(&self, lease: &Lease, until_ms: i64) -> Result<bool>;

    /// A run has ended; where that was OK, the jobs `follow` are due at `end.ended_ms`, as far as they wait for nothing else and are not
    /// paused. A job that runs once is forgotten with it, `once`, unless it is due again: it was scheduled anew meanwhile, or the run
    /// was on request and its own is still to come. False: the run is another's, or has ended: nothing is noted.
    fn finish(&self, lease: &Lease, end: &RunEnd, follow: &[u64], once: bool) -> Result<bool>;

    /// The runs that have not ended, the one whose lease ends first at the front.
    fn open_runs(&self, most: usize) -> Result<Vec<OpenRun>>;

    /// Takes over a run whose lease has ended, or any that is open if `now_ms` is `i64::MAX`: another attempt of it begins. None: somebody
    /// else was faster, it has ended, or its lease has not.
    fn take_over(&self, run: u64, now_ms: i64, until_ms: i64) -> Result<Option<OpenRun>>;

    /// The last [`HISTORY`] runs of a job that have ended, the newest first.
    fn history(&self, job: u64) -> Result<Vec<EndedRun>>;

    /// Lets nobody in any more.
    fn close(&self);
}
