//! How a job is to be kept.

use std::time::Duration;

use pintle_abi::{
    PINTLE_JOB_DURABLE, PINTLE_MISSED_ALL, PINTLE_MISSED_ONCE, PINTLE_MISSED_SKIP, PINTLE_OVERLAP_ALLOW,
    PINTLE_OVERLAP_QUEUE, PINTLE_OVERLAP_SKIP, PintleBytes, PintleJobOptions, PintleStr,
};

use crate::context::milliseconds;

/// What happens to a run that is due while the last one has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// It is skipped.
    #[default]
    Skip,
    /// At most one is queued behind it.
    Queue,
    /// They stand side by side, as far as the plugin's `concurrency` goes; at most 100 of one job.
    Allow,
}

impl Overlap {
    pub(crate) fn raw(self) -> u32 {
        match self {
            Self::Skip => PINTLE_OVERLAP_SKIP,
            Self::Queue => PINTLE_OVERLAP_QUEUE,
            Self::Allow => PINTLE_OVERLAP_ALLOW,
        }
    }
}

/// What happens to runs that were missed: a run that is due while the host is down, for a durable job, or that the host comes to
/// more than a minute late. Beats of an interval are missed only while the host is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Missed {
    /// Of any number of them one takes place, with the due time of the last.
    #[default]
    Once,
    /// None takes place.
    Skip,
    /// Each takes place, one after the other, at most the last 100.
    All,
}

/// How a job is to be kept.
///
/// A durable job that is tried again where it fails:
///
/// ```
/// # use std::time::Duration;
/// # use pintle_plugin::{Context, JobOptions, Missed, Result};
/// # fn bill(_: &Context, _: &str) -> Result<u32> { Ok(0) }
/// fn enable(cx: &Context) -> Result<()> {
///     let options = JobOptions::new()
///         .zone("Europe/Vienna")
///         .durable()
///         .retries(3)
///         .backoff(Duration::from_secs(60))
///         .jitter(Duration::from_secs(300))
///         .timeout(Duration::from_secs(600))
///         .missed(Missed::Once)
///         .start_deadline(Duration::from_secs(6 * 3_600))
///         .data(b"europe");
///     cx.scheduler().cron_with("billing", "0 3 * * *", &options, |cx, run| {
///         run.reply_json(&bill(cx, run.text()?)?)
///     })?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct JobOptions<'a> {
    flags: u32,
    zone: &'a str,
    overlap: Overlap,
    missed: Missed,
    start_deadline: Duration,
    jitter: Duration,
    timeout: Duration,
    backoff: Duration,
    retries: u32,
    data: &'a [u8],
}

impl<'a> JobOptions<'a> {
    /// The defaults: UTC, not durable, a run that would overlap is skipped, and one that has failed is not tried again.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The time zone of a cron rule by its IANA name (`Europe/Vienna`).
    #[must_use]
    pub fn zone(mut self, zone: &'a str) -> Self {
        self.zone = zone;
        self
    }

    /// The job outlives the host, and each of its runs happens at least once, and once only among all hosts that share the back
    /// end, unless a host ends in the middle of it. It lasts until it is [removed](crate::Job::remove) or
    /// [forgotten](crate::Scheduler::forget): a generation that schedules it again takes it over, with its history and where it
    /// stands.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.flags |= PINTLE_JOB_DURABLE;
        self
    }

    /// What happens to a run that is due while the last one has not ended. Until its last attempt has ended it has not.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// What happens to runs that were missed.
    #[must_use]
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// A run that has not begun so long after it was due is given up, and counts as skipped; at most 366 days. Otherwise it
    /// begins however late.
    #[must_use]
    pub fn start_deadline(mut self, time: Duration) -> Self {
        self.start_deadline = time;
        self
    }

    /// Each due time of a cron rule is put off by a part of this, at most a day, that is the same for every run of the job, so
    /// that many jobs of one rule do not begin in the same moment.
    #[must_use]
    pub fn jitter(mut self, most: Duration) -> Self {
        self.jitter = most;
        self
    }

    /// How long a run may take, at most a day; otherwise as long as any handler of the plugin. After that it has failed with
    /// [`Timeout`](crate::Status::Timeout), and the lane counts as stuck until the handler returns.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// How often a run that has failed is tried again, at most 100 times; otherwise never. Its attempts have one
    /// [id](crate::Run::id).
    #[must_use]
    pub fn retries(mut self, times: u32) -> Self {
        self.retries = times;
        self
    }

    /// How long after its first failure a run is tried again, at most an hour; otherwise a second. Each further failure doubles
    /// it, up to an hour.
    #[must_use]
    pub fn backoff(mut self, first: Duration) -> Self {
        self.backoff = first;
        self
    }

    /// What the runs are given ([`Run::data`](crate::Run::data)), at most 64 KiB.
    #[must_use]
    pub fn data(mut self, data: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.data = data.as_ref();
        self
    }

    pub(super) fn raw(&self) -> PintleJobOptions {
        PintleJobOptions {
            size: size_of::<PintleJobOptions>() as u32,
            flags: self.flags,
            zone: PintleStr::new(self.zone),
            overlap: self.overlap.raw(),
            missed: match self.missed {
                Missed::Once => PINTLE_MISSED_ONCE,
                Missed::Skip => PINTLE_MISSED_SKIP,
                Missed::All => PINTLE_MISSED_ALL,
            },
            start_deadline_ms: milliseconds(self.start_deadline),
            jitter_ms: milliseconds(self.jitter),
            timeout_ms: milliseconds(self.timeout),
            backoff_ms: milliseconds(self.backoff),
            retries: self.retries,
            reserved: 0,
            data: PintleBytes::new(self.data),
        }
    }
}
