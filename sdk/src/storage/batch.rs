//! Several writes, events and jobs in one commit: all of them, or none.

use std::{fmt, ptr, time::Duration};

use pintle_abi::{
    PINTLE_CONFLICT, PINTLE_STEP_CHECK, PINTLE_STEP_EMIT, PINTLE_STEP_INCR, PINTLE_STEP_REMOVE,
    PINTLE_STEP_SCHEDULE, PINTLE_STEP_SET, PintleBytes, PintleEmitOptions, PintleStorage, PintleStorageJob,
    PintleStorageOptions, PintleStorageStep, PintleStr,
};
use serde::Serialize;

use super::{
    Storage, StorageOptions,
    item::{json, there},
};
use crate::{
    Context, EmitOptions, Error, Overlap, Result, Status, context::milliseconds, events::KeptEmitOptions,
    table::function,
};

impl<'a> Storage<'a> {
    /// Begins a batch: up to 128 steps that happen in their order and in one commit, all of them or none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use pintle_plugin::{BatchJob, Context, Result, Status};
    /// /// Moves a crate from one ship to another, and tells the world, unless somebody else has moved it meanwhile.
    /// fn transship(cx: &Context, crate_: &str, from: &str, to: &str) -> Result<bool> {
    ///     let storage = cx.storage();
    ///     let Some(place) = storage.get_item(&format!("crates/{crate_}"))? else { return Ok(false) };
    ///     let moved = storage
    ///         .batch()
    ///         .check(&place.key, place.version)
    ///         .set(&place.key, to.as_bytes())
    ///         .incr(&format!("load/{from}"), -1)
    ///         .incr(&format!("load/{to}"), 1)
    ///         .emit_json("transshipped", &(crate_, from, to))
    ///         .schedule(&format!("weigh-{to}"), BatchJob::once(Duration::from_secs(60)), crate_.as_bytes())
    ///         .commit();
    ///     match moved {
    ///         Ok(steps) => {
    ///             cx.log().info("moved", &[("load", steps[3].value.into())]);
    ///             Ok(true)
    ///         }
    ///         Err(error) if error.status() == Status::Conflict => Ok(false), // it has `error.current()` now
    ///         Err(error) => Err(error.into()),
    ///     }
    /// }
    /// ```
    pub fn batch(&self) -> Batch<'a> {
        Batch { cx: self.cx, steps: Vec::new(), failed: None }
    }
}

/// Steps that are to happen in one commit. From [`Storage::batch`].
///
/// Events and jobs are kept in the same commit. Until hosts have durable events and durable jobs, that is all that becomes of
/// them: nobody publishes or runs them yet.
///
/// Later steps see what earlier ones wrote. Together they may have 16 MiB, unless the operator says otherwise. Needs the
/// grants that its steps would need one by one, beside that of `batch`.
#[must_use = "nothing is written before `commit`"]
pub struct Batch<'a> {
    cx: &'a Context,
    steps: Vec<Step>,
    /// What was wrong with a step before the host was asked.
    failed: Option<(usize, Error)>,
}

/// One step, with all that the contract's will point to. What its kind does not use is empty.
#[derive(Default)]
struct Step {
    kind: u32,
    key: String,
    value: Vec<u8>,
    delta: i64,
    options: Option<PintleStorageOptions>,
    event: Option<KeptEmitOptions>,
    job: Option<BatchJob>,
}

impl Batch<'_> {
    /// Writes an item for ever.
    pub fn set(self, key: &str, value: &[u8]) -> Self {
        self.add(Step { value: value.to_vec(), ..Step::new(PINTLE_STEP_SET, key) })
    }

    /// Writes an item with more to say: a lifetime, a condition ([`StorageOptions`]).
    pub fn set_with(self, key: &str, value: &[u8], options: impl Into<StorageOptions>) -> Self {
        let step = Step { value: value.to_vec(), ..Step::new(PINTLE_STEP_SET, key) };
        self.add_with(step, options.into())
    }

    /// [`set`](Batch::set) of a value, as JSON.
    pub fn set_json(self, key: &str, value: &impl Serialize) -> Self {
        self.add_json(Step::new(PINTLE_STEP_SET, key), json(key, value))
    }

    /// [`set_with`](Batch::set_with) of a value, as JSON.
    pub fn set_json_with(
        self,
        key: &str,
        value: &impl Serialize,
        options: impl Into<StorageOptions>,
    ) -> Self {
        match json(key, value) {
            Ok(value) => self.set_with(key, &value, options),
            failed => self.add_json(Step::new(PINTLE_STEP_SET, key), failed),
        }
    }

    /// Removes an item. No failure if it is not there.
    pub fn remove(self, key: &str) -> Self {
        self.add(Step::new(PINTLE_STEP_REMOVE, key))
    }

    /// Removes an item that must have this version.
    pub fn remove_if_version(self, key: &str, version: u64) -> Self {
        self.add_with(Step::new(PINTLE_STEP_REMOVE, key), StorageOptions::new().only_if_version(version))
    }

    /// Adds to a number, as [`Storage::incr`].
    pub fn incr(self, key: &str, delta: i64) -> Self {
        self.add(Step { delta, ..Step::new(PINTLE_STEP_INCR, key) })
    }

    /// Adds to a number, as [`Storage::incr_with`].
    pub fn incr_with(self, key: &str, delta: i64, options: impl Into<StorageOptions>) -> Self {
        self.add_with(Step { delta, ..Step::new(PINTLE_STEP_INCR, key) }, options.into())
    }

    /// Writes nothing: the item must have this version; 0: it must not be there.
    pub fn check(self, key: &str, version: u64) -> Self {
        self.add_with(Step::new(PINTLE_STEP_CHECK, key), StorageOptions::new().only_if_version(version))
    }

    /// Publishes an event once the batch is committed, at least once: it is [durable](EmitOptions::durable). Otherwise as
    /// [`Events::emit`](crate::Events::emit).
    pub fn emit(self, topic: &str, data: &[u8]) -> Self {
        self.emit_with(topic, data, &EmitOptions::default())
    }

    /// [`emit`](Batch::emit) of a value, as JSON.
    pub fn emit_json(self, topic: &str, data: &impl Serialize) -> Self {
        let event = Some(KeptEmitOptions::default());
        let data = serde_json::to_vec(data)
            .map_err(|error| Error::from(error).context(format_args!("the data of {topic}")));
        self.add_json(Step { event, ..Step::new(PINTLE_STEP_EMIT, topic) }, data)
    }

    /// [`emit`](Batch::emit) with more to say; [`EmitOptions::wait`] must not be among it.
    pub fn emit_with(self, topic: &str, data: &[u8], options: &EmitOptions<'_>) -> Self {
        let event = Some(options.kept());
        self.add(Step { value: data.to_vec(), event, ..Step::new(PINTLE_STEP_EMIT, topic) })
    }

    /// Schedules a durable job once the batch is committed, in place of one that has this name. Its runs are given `data`.
    pub fn schedule(mut self, name: &str, job: BatchJob, data: &[u8]) -> Self {
        if matches!(job.timing, Timing::Every(Duration::ZERO)) {
            let text = format!("job {name:?}: the interval must be longer than nothing");
            self.fail(Error::new(Status::OutOfRange, text));
        }
        self.add(Step { value: data.to_vec(), job: Some(job), ..Step::new(PINTLE_STEP_SCHEDULE, name) })
    }

    /// How many steps there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Has it no step?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Does all steps in one commit, or none, and gives one outcome for each. A batch without a step does nothing.
    ///
    /// # Errors
    /// What the failed step would answer on its own, and which it was: [`Conflict`](Status::Conflict) (its condition does not
    /// hold), [`WrongType`](Status::WrongType) and [`OutOfRange`](Status::OutOfRange) as
    /// [`Storage::incr`]; [`TooLarge`](Status::TooLarge) also for too many steps, or too many bytes together; those of
    /// [every function](Storage).
    pub fn commit(self) -> Result<Vec<StepOutcome>, BatchError> {
        if let Some((step, error)) = self.failed {
            return Err(BatchError { step: Some(step), current: None, error });
        }
        let batch = function!(self.cx.host(), storage: PintleStorage, batch)?;
        let count = self.steps.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let events: Vec<_> = self.steps.iter().map(Step::raw_event).collect();
        let jobs: Vec<_> = self.steps.iter().map(Step::raw_job).collect();
        let steps = self.steps.iter().zip(&events).zip(&jobs);
        let steps: Vec<_> = steps.map(|((step, event), job)| step.raw(event, job)).collect();
        let (mut versions, mut values, mut failed) = (vec![0; count], vec![0; count], count);
        // SAFETY: the steps and what they lead to are borrowed for the call; there is room for as many versions and values as
        // there are steps, and `failed` is writable for it.
        let status = unsafe {
            batch(
                self.cx.raw(),
                steps.as_ptr(),
                count,
                versions.as_mut_ptr(),
                values.as_mut_ptr(),
                &raw mut failed,
            )
        };
        if let Err(error) = self.cx.check(status) {
            let step = (failed < count).then_some(failed);
            let current = step.filter(|_| status == PINTLE_CONFLICT).and_then(|step| there(versions[step]));
            return Err(BatchError { step, current, error });
        }
        let outcomes = versions.into_iter().zip(values);
        Ok(outcomes.map(|(version, value)| StepOutcome { version: there(version), value }).collect())
    }

    fn add(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn add_with(mut self, mut step: Step, options: StorageOptions) -> Self {
        match options.raw(&step.key) {
            Ok(options) => step.options = Some(options),
            Err(error) => self.fail(error),
        }
        self.add(step)
    }

    fn add_json(mut self, mut step: Step, value: Result<Vec<u8>>) -> Self {
        match value {
            Ok(value) => step.value = value,
            Err(error) => self.fail(error),
        }
        self.add(step)
    }

    /// The step that is added next cannot be done. What failed first is told, as the host would.
    fn fail(&mut self, error: Error) {
        let step = self.steps.len();
        self.failed.get_or_insert((step, error));
    }
}

impl Step {
    fn new(kind: u32, key: &str) -> Self {
        Self { kind, key: key.to_owned(), ..Self::default() }
    }

    fn raw(&self, event: &Option<PintleEmitOptions>, job: &Option<PintleStorageJob>) -> PintleStorageStep {
        PintleStorageStep {
            size: size_of::<PintleStorageStep>() as u32,
            kind: self.kind,
            key: PintleStr::new(&self.key),
            value: PintleBytes::new(&self.value),
            delta: self.delta,
            options: self.options.as_ref().map_or(ptr::null(), ptr::from_ref),
            event: event.as_ref().map_or(ptr::null(), ptr::from_ref),
            job: job.as_ref().map_or(ptr::null(), ptr::from_ref),
        }
    }

    fn raw_event(&self) -> Option<PintleEmitOptions> {
        self.event.as_ref().map(|kept| kept.lend().raw())
    }

    fn raw_job(&self) -> Option<PintleStorageJob> {
        let job = self.job.as_ref()?;
        let (mut rule, mut every_ms, mut delay_ms) = ("", 0, 0);
        match &job.timing {
            Timing::Cron(cron) => rule = cron,
            Timing::Every(every) => every_ms = milliseconds(*every),
            Timing::Once(delay) => delay_ms = milliseconds(*delay),
        }
        Some(PintleStorageJob {
            size: size_of::<PintleStorageJob>() as u32,
            overlap: job.overlap.raw(),
            rule: PintleStr::new(rule),
            zone: PintleStr::new(&job.zone),
            every_ms,
            delay_ms,
        })
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("steps", &self.steps.len()).finish_non_exhaustive()
    }
}

/// When a job runs that a batch schedules.
#[derive(Clone, Debug)]
pub struct BatchJob {
    timing: Timing,
    zone: String,
    overlap: Overlap,
}

#[derive(Clone, Debug)]
enum Timing {
    Cron(String),
    Every(Duration),
    Once(Duration),
}

impl BatchJob {
    /// Whenever a cron rule says so, in UTC: as [`Scheduler::cron`](crate::Scheduler::cron) takes it.
    #[must_use]
    pub fn cron(rule: &str) -> Self {
        Self::new(Timing::Cron(rule.to_owned()))
    }

    /// At a steady beat, at most 366 days apart, in whole milliseconds, rounded up.
    #[must_use]
    pub fn every(span: Duration) -> Self {
        Self::new(Timing::Every(span))
    }

    /// Once, so long after the commit, at most 366 days, in whole milliseconds, rounded up.
    #[must_use]
    pub fn once(delay: Duration) -> Self {
        Self::new(Timing::Once(delay))
    }

    /// The time zone of the cron rule by its IANA name (`Europe/Vienna`).
    #[must_use]
    pub fn zone(mut self, zone: &str) -> Self {
        zone.clone_into(&mut self.zone);
        self
    }

    /// What happens to a run that is due while the last one has not ended.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    fn new(timing: Timing) -> Self {
        Self { timing, zone: String::new(), overlap: Overlap::default() }
    }
}

/// What a step of a batch did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepOutcome {
    /// The version that the item got; `None` where nothing was written.
    pub version: Option<u64>,
    /// The sum of an `incr`; 1 for a `remove` whose item was there; otherwise 0.
    pub value: i64,
}

/// Why a batch did not happen. `?` makes an [`Error`] of it.
#[derive(Debug)]
pub struct BatchError {
    step: Option<usize>,
    current: Option<u64>,
    error: Error,
}

impl BatchError {
    /// Which step failed, counted from 0; `None` if it was none of them: the disk is full, say.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        self.step
    }

    /// On [`Conflict`](Status::Conflict): the version that the failed step's item has; `None` if it is not there.
    #[must_use]
    pub fn current(&self) -> Option<u64> {
        self.current
    }

    /// What kind of failure.
    #[must_use]
    pub fn status(&self) -> Status {
        self.error.status()
    }

    /// What happened, and what to do about it.
    #[must_use]
    pub fn message(&self) -> &str {
        self.error.message()
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl From<BatchError> for Error {
    fn from(failed: BatchError) -> Self {
        failed.error
    }
}

impl From<Error> for BatchError {
    fn from(error: Error) -> Self {
        Self { step: None, current: None, error }
    }
}
