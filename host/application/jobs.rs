//! Jobs of the application: closures that run when they are due, on the lane of its subscriptions.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{Application, OWNER, contained, over};
use crate::{
    boundary::Core,
    error::Result,
    lanes::{Lane, Run, Task},
    services::scheduler::{
        DueRun, HandleRequest, JobRequest, Overlap, Run as Runs,
        store::{Keeping, Missed, RunKind},
    },
};

/// As which plugin the scheduler knows the application.
const APPLICATION: &str = "application";

/// How a job of the application is kept. Spans are rounded up to milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobOptions {
    /// On whose behalf it runs; empty: the system scope. Names of jobs are unique in their tenant.
    pub tenant: String,
    /// Time zone of a cron rule by its IANA name (`Europe/Vienna`); None: that which the rule names, or UTC.
    pub zone: Option<String>,
    /// Whether it outlives the host: it is kept in the data folder, with its history, until it is forgotten. Of several hosts that share
    /// what they keep one runs it. It runs at least once for each due time, and again if a host ends in the middle.
    pub durable: bool,
    /// What happens when a run is due while the last one has not ended. Runs of the application take place one at a time, so with
    /// [`Overlap::Allow`] they wait for each other.
    pub overlap: Overlap,
    /// What becomes of runs that were missed: that were due while the host was down, or that it comes to more than a minute late.
    pub missed: Missed,
    /// A run that has not begun so long after it was due is given up; zero: however late. At most 366 days.
    pub start_deadline: Duration,
    /// Each due time of a cron rule is put off by a part of this that is the same for every run of the job; at most a day.
    pub jitter: Duration,
    /// How long a run may take; zero: as long as the settings say for handlers. At most a day. What it answers later has failed with
    /// TIMEOUT.
    pub timeout: Duration,
    /// How often a run that has failed is tried again, at most 100.
    pub retries: u32,
    /// How long after the first failure the next attempt begins; each time twice as long, at most an hour; zero: a second.
    pub backoff: Duration,
    /// What the runs are given, at most 64 KiB.
    pub data: Vec<u8>,
}

/// A run of a job, as the application's handler gets it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct JobRun<'a> {
    /// The job's name.
    pub job: &'a str,
    /// On whose behalf it runs; empty: the system scope.
    pub tenant: &'a str,
    /// The run's number. All attempts of it have the same, also those after a crash.
    pub id: u64,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When the run was due, in milliseconds since 1970-01-01 UTC.
    pub due_ms: i64,
    /// Why it takes place.
    pub kind: RunKind,
    /// It was begun before by a host that did not come to its end: what it does may have been done already.
    pub again: bool,
    /// What the job was scheduled with.
    pub data: &'a [u8],
}

type Handler = Box<dyn Fn(&JobRun<'_>) -> Result<Vec<u8>> + Send + Sync>;

/// When a job is to run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timing<'a> {
    Cron(&'a str),
    Every(Duration),
    Once(Duration),
    After(&'a str),
}

/// One closure: what the engine hands runs to.
struct Runner {
    core: &'static Core,
    /// The engine keeps this, and the lane is the application's.
    lane: Weak<Lane>,
    deadline: Duration,
    handler: Handler,
    me: Weak<Self>,
}

/// The task of a run.
struct Turn {
    runner: Arc<Runner>,
    run: Arc<DueRun>,
}

impl Application {
    /// Runs `handler` when `timing` says so.
    pub(crate) fn schedule(
        &self,
        name: &str,
        timing: Timing<'_>,
        options: JobOptions,
        handler: Handler,
    ) -> Result<()> {
        // Whether it is a name of one.
        self.core.tenants.named_by_application(&options.tenant)?;
        let scheduler = &self.core.scheduler;
        let zone = options.zone.clone();
        let request = request(name, options);
        let target = self.runner(handler);
        match timing {
            Timing::Cron(rule) => scheduler.cron(request, rule, zone.as_deref(), target),
            Timing::Every(span) => scheduler.interval(request, ms(span), target),
            Timing::Once(delay) => scheduler.once(request, ms(delay), target),
            Timing::After(other) => scheduler.after(request, other, target),
        }
        .map(drop)
    }

    /// Runs `handler` for durable jobs that nobody has scheduled since the start.
    pub(crate) fn handle_jobs(&self, pattern: &str, handler: Handler) -> Result<()> {
        let request = HandleRequest {
            owner: OWNER,
            plugin: APPLICATION.into(),
            tenant: None,
            pattern: pattern.into(),
            live: true,
        };
        let handler = self.core.scheduler.handle(request, self.runner(handler))?;
        self.runners.lock().push(handler);
        Ok(())
    }

    fn runner(&self, handler: Handler) -> Arc<Runner> {
        Arc::new_cyclic(|me| Runner {
            core: self.core,
            lane: Arc::downgrade(&self.lane),
            deadline: self.lane.deadline(),
            handler,
            me: me.clone(),
        })
    }
}

fn request(name: &str, options: JobOptions) -> JobRequest {
    let JobOptions { tenant, zone: _, durable, overlap, missed, .. } = options;
    let keeping = Keeping {
        overlap,
        missed,
        start_deadline_ms: ms(options.start_deadline),
        jitter_ms: ms(options.jitter),
        timeout_ms: ms(options.timeout),
        backoff_ms: ms(options.backoff),
        retries: options.retries,
    };
    JobRequest {
        owner: OWNER,
        plugin: APPLICATION.into(),
        tenant: (!tenant.is_empty()).then(|| tenant.into()),
        name: name.into(),
        keeping,
        data: options.data.into(),
        durable,
        live: true,
    }
}

/// Rounded up: a part of a millisecond is not nothing, which would mean the default.
fn ms(span: Duration) -> i64 {
    i64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

impl Runs for Runner {
    fn due(&self, run: Arc<DueRun>) -> Result<()> {
        let lane = self.lane.upgrade().ok_or_else(over)?;
        let runner = self.me.upgrade().ok_or_else(over)?;
        // Bounded by the overlap policy of each job.
        lane.push_event(Arc::new(Turn { runner, run }))
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }
}

impl Task for Turn {
    fn run(&self, _: &mut Run<'_>) {
        let Some(begun) = self.run.begin() else { return };
        let job = self.run.job();
        let run = JobRun {
            job: job.name(),
            tenant: job.tenant().map(|tenant| &**tenant).unwrap_or_default(),
            id: begun.id,
            attempt: begun.attempt,
            due_ms: begun.due_ms,
            kind: begun.kind,
            again: begun.again,
            data: &begun.data,
        };
        let result = contained(|| (self.runner.handler)(&run));
        if let Err(error) = &result {
            let about = format!("job \"{}\", attempt {}", run.job, run.attempt);
            self.runner.core.report_failure(error, &about);
        }
        self.run.finished(result);
    }

    fn describe(&self) -> String {
        format!("the application's job \"{}\"", self.run.job().name())
    }

    fn deadline(&self) -> Option<Duration> {
        self.run.timeout()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_millisecond_is_not_nothing() {
        for (nanos, expected) in [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2)] {
            assert_eq!(ms(Duration::from_nanos(nanos)), expected, "{nanos}");
        }
        assert_eq!(ms(Duration::MAX), i64::MAX);
    }

    #[test]
    fn options_reach_the_engine_each_in_its_place() {
        let usual = request("j", JobOptions::default());
        assert_eq!((&usual.keeping, usual.durable, usual.tenant), (&Keeping::USUAL, false, None));
        let span = Duration::from_millis;
        let asked = request(
            "j",
            JobOptions {
                tenant: "acme".into(),
                zone: Some("UTC".into()),
                durable: true,
                overlap: Overlap::Queue,
                missed: Missed::All,
                start_deadline: span(1),
                jitter: span(2),
                timeout: span(3),
                retries: 4,
                backoff: span(5),
                data: b"six".to_vec(),
            },
        );
        let keeping = Keeping {
            overlap: Overlap::Queue,
            missed: Missed::All,
            start_deadline_ms: 1,
            jitter_ms: 2,
            timeout_ms: 3,
            retries: 4,
            backoff_ms: 5,
        };
        assert_eq!((asked.keeping, asked.durable, &*asked.data), (keeping, true, &b"six"[..]));
        assert_eq!(
            (asked.owner, &*asked.plugin, asked.tenant.as_deref()),
            (OWNER, APPLICATION, Some("acme"))
        );
    }
}
