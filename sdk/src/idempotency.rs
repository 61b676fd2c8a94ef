//! Operations that must happen once, however often they are asked for.

use std::{
    ptr,
    time::{Duration, SystemTime},
};

use pintle_abi::{
    PINTLE_IDEMPOTENCY_DONE, PINTLE_IDEMPOTENCY_FAILED, PINTLE_IDEMPOTENCY_IN_PROGRESS,
    PINTLE_IDEMPOTENCY_MISMATCH, PINTLE_IDEMPOTENCY_STARTED, PINTLE_IDEMPOTENCY_TAKEN_OVER, PINTLE_NOT_FOUND,
    PINTLE_OK, PintleBytes, PintleIdempotency, PintleIdempotencyInfo, PintleIdempotencyOptions, PintleStr,
};

use crate::{Context, Error, Result, Status, context::patience, events::at, table::function, wire};

/// Operations that must happen once, for the plugin and the tenant of the context ([`Context::idempotency`]): of all who begin
/// one under the same key one starts, and the others are told what became of it.
///
/// A key lies under the name of an operation (1 to 128 bytes) and has 1 to 512 bytes: whoever asks again sends the same one,
/// as an order's number. The fingerprint (at most 256 bytes) says what was asked for, so that the same key with another
/// request is noticed. Records are durable: results are there for a day, unless somebody says otherwise, also after the host
/// was restarted.
///
/// ```
/// # use pintle_plugin::{Context, Error, Outcome, Result, Status};
/// # fn pay(order: &str, cents: u64) -> Result<Vec<u8>> { Ok(Vec::new()) }
/// fn charge(cx: &Context, order: &str, cents: u64) -> Result<Vec<u8>> {
///     let asked = cents.to_le_bytes();
///     match cx.idempotency().run("charge", order, &asked, || pay(order, cents))? {
///         Outcome::Done(receipt) => Ok(receipt), // now, or before
///         Outcome::InProgress { .. } => Err(Error::new(Status::Busy, "it is being paid just now: ask again")),
///         Outcome::Mismatch => Err(Error::new(Status::Conflict, "this order was of another sum")),
///         Outcome::Failed(why) => Err(Error::new(Status::Denied, String::from_utf8_lossy(&why).into_owned())),
///     }
/// }
/// ```
///
/// What lies outside of the host happens *at least* once: who takes over after a crash cannot know how far the one before
/// came, and is told so ([`Start::taken_over`]).
///
/// Beside what each function names, all answer [`Denied`](Status::Denied) (the manifest's `services.idempotency` does not ask
/// for the method), [`InvalidArgument`](Status::InvalidArgument) (an operation or a key that is none),
/// [`Unavailable`](Status::Unavailable) (the disk is full or fails, or the host has stopped) and
/// [`StaleHandle`](Status::StaleHandle). All but [`get`](Idempotency::get) answer `Unavailable` also in `load` and `restore`.
#[derive(Clone, Copy, Debug)]
pub struct Idempotency<'a> {
    cx: &'a Context,
}

impl<'a> Idempotency<'a> {
    #[inline]
    pub(crate) fn new(cx: &'a Context) -> Self {
        Self { cx }
    }

    /// Begins an operation, or tells what became of it.
    ///
    /// # Errors
    /// [`TooLarge`](Status::TooLarge): the fingerprint.
    pub fn begin(&self, operation: &str, key: &str, fingerprint: &[u8]) -> Result<Begun<'a>> {
        self.begin_with(operation, key, fingerprint, &BeginOptions::new())
    }

    /// [`begin`](Idempotency::begin) with more to say.
    ///
    /// # Errors
    /// As `begin`; [`OutOfRange`](Status::OutOfRange): a time.
    pub fn begin_with(
        &self,
        operation: &str,
        key: &str,
        fingerprint: &[u8],
        options: &BeginOptions,
    ) -> Result<Begun<'a>> {
        let begin = function!(self.cx.host(), idempotency: PintleIdempotency, begin)?;
        let options = PintleIdempotencyOptions {
            size: size_of::<PintleIdempotencyOptions>() as u32,
            flags: 0,
            lease_ms: patience(options.lease)?,
            keep_ms: patience(options.keep)?,
        };
        let (mut info, mut result) = (unknown(), Vec::new());
        let (operation, key) = (PintleStr::new(operation), PintleStr::new(key));
        let fingerprint = PintleBytes::new(fingerprint);
        // SAFETY: everything is borrowed, and `info`, which says its size, is writable for the call; the sink's buffer
        // outlives it.
        let status = unsafe {
            let sink = wire::sink_into(&mut result);
            begin(self.cx.raw(), operation, key, fingerprint, &raw const options, &raw mut info, sink)
        };
        self.cx.check(status)?;
        if info.state != PINTLE_IDEMPOTENCY_STARTED {
            return Ok(match outcome(&info, result)? {
                Outcome::InProgress { retry_after } => Begun::InProgress { retry_after },
                Outcome::Done(result) => Begun::Done(result),
                Outcome::Failed(error) => Begun::Failed(error),
                Outcome::Mismatch => Begun::Mismatch,
            });
        }
        Ok(Begun::Started(Start {
            cx: self.cx,
            token: info.token,
            attempt: info.attempt,
            begun_ms: info.begun_ms,
            taken_over: info.flags & PINTLE_IDEMPOTENCY_TAKEN_OVER != 0,
        }))
    }

    /// Has an operation done once: if nobody has begun it, `work` is done and what it gives is kept; else it is told what
    /// became of it.
    ///
    /// `work` that fails has not happened: nothing is kept, and whoever asks next starts. For a failure that all who ask are
    /// to get there is [`Start::fail_for_good`]. Where `work` panics nobody can say how far it came: others keep off until the
    /// lease is over, and whoever takes over is told so. The lease is not prolonged meanwhile: what may take longer than a
    /// minute is [begun with](Idempotency::begin_with) a longer one, or [renews](Start::renew) it.
    ///
    /// # Errors
    /// As [`begin`](Idempotency::begin), and that of `work`; [`Conflict`](Status::Conflict): it took longer than the lease,
    /// and somebody else has taken over; [`TooLarge`](Status::TooLarge): the result. In these two, and where the disk has
    /// failed meanwhile, `work` was done and its result was not kept.
    pub fn run(
        &self,
        operation: &str,
        key: &str,
        fingerprint: &[u8],
        work: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Outcome> {
        match self.begin(operation, key, fingerprint)? {
            Begun::Started(start) => match work() {
                Ok(result) => {
                    start.complete(&result)?;
                    Ok(Outcome::Done(result))
                }
                Err(error) => {
                    // Why it failed matters more than that others wait for the lease now.
                    let _ = start.fail();
                    Err(error)
                }
            },
            Begun::InProgress { retry_after } => Ok(Outcome::InProgress { retry_after }),
            Begun::Done(result) => Ok(Outcome::Done(result)),
            Begun::Failed(error) => Ok(Outcome::Failed(error)),
            Begun::Mismatch => Ok(Outcome::Mismatch),
        }
    }

    /// What became of an operation, without starting it; never [`Mismatch`](Outcome::Mismatch). `None`: it was not begun, has
    /// failed without being kept, was abandoned, or is forgotten.
    ///
    /// # Errors
    /// Those of [every function](Idempotency).
    pub fn get(&self, operation: &str, key: &str) -> Result<Option<Outcome>> {
        let get = function!(self.cx.host(), idempotency: PintleIdempotency, get)?;
        let (mut info, mut result) = (unknown(), Vec::new());
        let (operation, key) = (PintleStr::new(operation), PintleStr::new(key));
        // SAFETY: as in `begin_with`.
        let status =
            unsafe { get(self.cx.raw(), operation, key, &raw mut info, wire::sink_into(&mut result)) };
        match status {
            PINTLE_OK => outcome(&info, result).map(Some),
            // An answer, not a failure: nobody asks the host for its sentence.
            PINTLE_NOT_FOUND => Ok(None),
            status => self.cx.check(status).map(|()| None),
        }
    }

    /// A start of which only the [token](Start::token) was kept: by another function of the plugin, for the same tenant, also
    /// before the host's last start. Whether it still counts is seen when it is ended.
    pub fn resume(&self, token: u64) -> Start<'a> {
        Start { cx: self.cx, token, attempt: 0, begun_ms: 0, taken_over: false }
    }
}

/// How an operation is begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "it says how to begin, and begins nothing"]
pub struct BeginOptions {
    lease: Option<Duration>,
    keep: Option<Duration>,
}

impl BeginOptions {
    /// As the operator says: without settings a lease of a minute, and results that are kept for a day.
    pub const fn new() -> Self {
        Self { lease: None, keep: None }
    }

    /// How long others keep off: up to a day.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// How long the result is kept: up to 365 days.
    pub const fn keep(mut self, keep: Duration) -> Self {
        self.keep = Some(keep);
        self
    }
}

/// What came of beginning an operation.
#[derive(Debug)]
#[must_use = "whoever has started it must end it"]
pub enum Begun<'a> {
    /// Do it, and say what came of it.
    Started(Start<'a>),
    /// Somebody else is at it.
    InProgress {
        /// How long he has for it: before that it is hardly worth asking again.
        retry_after: Duration,
    },
    /// It was done: this is its result.
    Done(Vec<u8>),
    /// It has failed for good: this is what with.
    Failed(Vec<u8>),
    /// The key was begun with another fingerprint: it is another request under the same key.
    Mismatch,
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody is at it.
    InProgress {
        /// How long he has for it: before that it is hardly worth asking again.
        retry_after: Duration,
    },
    /// It is done: this is its result.
    Done(Vec<u8>),
    /// It has failed for good: this is what with.
    Failed(Vec<u8>),
    /// The key was begun with another fingerprint: it is another request under the same key.
    Mismatch,
}

/// An operation that was started here, and that is to be ended: [`complete`](Start::complete), [`fail`](Start::fail) or
/// [`fail_for_good`](Start::fail_for_good).
///
/// Dropping it ends nothing: the host cannot know how far the work came. Others keep off until the lease is over, and whoever
/// begins it then [takes over](Start::taken_over).
///
/// All three, and [`renew`](Start::renew), answer [`Conflict`](Status::Conflict) where it counts no more: the lease was over
/// and somebody else has taken over, it was ended otherwise, or nothing is known of it any more. A lease that is over alone is
/// no conflict.
#[derive(Debug)]
#[must_use = "dropping it ends nothing: others keep off until its lease is over"]
pub struct Start<'a> {
    cx: &'a Context,
    token: u64,
    attempt: u32,
    begun_ms: i64,
    taken_over: bool,
}

impl Start<'_> {
    /// Ends it with its result, at most 1 MiB unless the operator says otherwise, which all later beginners get. The same once
    /// more is well too: the answer may have been lost.
    ///
    /// # Errors
    /// [`Conflict`](Status::Conflict), [`TooLarge`](Status::TooLarge), and those of [every function](Idempotency).
    pub fn complete(&self, result: &[u8]) -> Result<()> {
        let complete = function!(self.cx.host(), idempotency: PintleIdempotency, complete)?;
        // SAFETY: the result is borrowed for the call.
        self.cx.check(unsafe { complete(self.cx.raw(), self.token, PintleBytes::new(result)) })
    }

    /// It has failed, and may start again at once: nothing is kept of it.
    ///
    /// # Errors
    /// [`Conflict`](Status::Conflict), and those of [every function](Idempotency).
    pub fn fail(&self) -> Result<()> {
        self.failed(0, PintleBytes { ptr: ptr::null(), len: 0 })
    }

    /// It has failed, and would again: all later beginners get `error`, as they would a result.
    ///
    /// # Errors
    /// As [`complete`](Start::complete).
    pub fn fail_for_good(&self, error: &[u8]) -> Result<()> {
        self.failed(1, PintleBytes::new(error))
    }

    fn failed(&self, keep: u32, error: PintleBytes) -> Result<()> {
        let fail = function!(self.cx.host(), idempotency: PintleIdempotency, fail)?;
        // SAFETY: the error is borrowed for the call.
        self.cx.check(unsafe { fail(self.cx.raw(), self.token, keep, error) })
    }

    /// Others keep off for another while from now on; `None`: as long as it was begun for.
    ///
    /// # Errors
    /// [`Conflict`](Status::Conflict), [`OutOfRange`](Status::OutOfRange) (up to a day), and those of
    /// [every function](Idempotency).
    pub fn renew(&self, lease: Option<Duration>) -> Result<()> {
        let renew = function!(self.cx.host(), idempotency: PintleIdempotency, renew)?;
        let lease_ms = patience(lease)?;
        // SAFETY: integers alone.
        self.cx.check(unsafe { renew(self.cx.raw(), self.token, lease_ms) })
    }

    /// What names it: for [`Idempotency::resume`], in another function of the plugin. Whoever has it can end the operation, so it
    /// is nobody else's business.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Has somebody started it before, and not ended it in time? He may have done a part, or all of it. False for one that
    /// was [resumed](Idempotency::resume), which remembers no more.
    #[must_use]
    pub fn taken_over(&self) -> bool {
        self.taken_over
    }

    /// How often it was started, this time included; 0 for one that was [resumed](Idempotency::resume).
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When it was begun first; `None` for one that was [resumed](Idempotency::resume).
    #[must_use]
    pub fn begun(&self) -> Option<SystemTime> {
        (self.attempt != 0).then(|| at(self.begun_ms))
    }
}

/// For the host to fill in.
fn unknown() -> PintleIdempotencyInfo {
    PintleIdempotencyInfo {
        size: size_of::<PintleIdempotencyInfo>() as u32,
        state: 0,
        flags: 0,
        attempt: 0,
        token: 0,
        left_ms: 0,
        begun_ms: 0,
    }
}

fn outcome(info: &PintleIdempotencyInfo, result: Vec<u8>) -> Result<Outcome> {
    match info.state {
        PINTLE_IDEMPOTENCY_IN_PROGRESS => {
            let retry_after = Duration::from_millis(u64::try_from(info.left_ms).unwrap_or(0));
            Ok(Outcome::InProgress { retry_after })
        }
        PINTLE_IDEMPOTENCY_DONE => Ok(Outcome::Done(result)),
        PINTLE_IDEMPOTENCY_FAILED => Ok(Outcome::Failed(result)),
        PINTLE_IDEMPOTENCY_MISMATCH => Ok(Outcome::Mismatch),
        state => {
            let text =
                format!("the host told state {state} of an operation, which this plugin does not know");
            Err(Error::new(Status::Unsupported, text))
        }
    }
}
