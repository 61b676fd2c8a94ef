//! The context: on whose behalf the host is called, and the door to everything that it offers.

use std::{fmt, ops::Deref, time::Duration};

use pintle_abi::{
    PINTLE_FOREVER, PINTLE_OK, PINTLE_SCOPE_CALL, PINTLE_SCOPE_SYSTEM, PintleBytes, PintleCtx, PintleHost,
    PintleScopeInfo, PintleSink, PintleStatus, PintleStr,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Cache, Config, Database, Error, Events, Files, Idempotency, Log, Result, Scheduler, Status, Storage,
    table::{Host, function, member},
    wire,
};

/// On whose behalf the host is called: a plugin, and a tenant or the system.
///
/// It is only ever lent, to a function of the plugin or a handler, and ends with it; that is why it cannot be cloned
/// or kept. May be used from any thread meanwhile, for example in [`std::thread::scope`].
///
/// ```compile_fail,E0521
/// # use pintle_plugin::{Context, Result};
/// fn enable(cx: &Context) -> Result<()> {
///     std::thread::spawn(|| cx.log().info("later", &[])); // the context may be over by then: hold one
///     Ok(())
/// }
/// ```
pub struct Context {
    ctx: PintleCtx,
    /// The plugin's own, which lives as long as the generation: for what is given back in destructors.
    own: PintleCtx,
    host: Host,
}

impl Context {
    pub(crate) fn new(host: Host, ctx: PintleCtx, own: PintleCtx) -> Self {
        Self { ctx, own, host }
    }

    /// Structured log records.
    #[must_use]
    pub fn log(&self) -> Log<'_> {
        Log::new(self)
    }

    /// The plugin's settings.
    #[must_use]
    pub fn config(&self) -> Config<'_> {
        Config::new(self)
    }

    /// A namespace of the cache: volatile items.
    #[must_use]
    #[inline]
    pub fn cache<'a>(&'a self, namespace: &'a str) -> Cache<'a> {
        Cache::new(self, namespace)
    }

    /// Durable items.
    #[must_use]
    #[inline]
    pub fn storage(&self) -> Storage<'_> {
        Storage::new(self)
    }

    /// SQL, on a database of the plugin's own.
    #[must_use]
    #[inline]
    pub fn database(&self) -> Database<'_> {
        Database::new(self)
    }

    /// Operations that must happen once.
    #[must_use]
    pub fn idempotency(&self) -> Idempotency<'_> {
        Idempotency::new(self)
    }

    /// Files by path, and the plugin's resources.
    #[must_use]
    pub fn files(&self) -> Files<'_> {
        Files::new(self)
    }

    /// Publish and subscribe.
    #[must_use]
    pub fn events(&self) -> Events<'_> {
        Events::new(self)
    }

    /// Jobs by time.
    #[must_use]
    pub fn scheduler(&self) -> Scheduler<'_> {
        Scheduler::new(self)
    }

    /// Calls a service of another plugin and waits for its reply, 5 seconds if `timeout` is `None`, and never longer
    /// than this function's own caller waits ([`remaining`](Context::remaining)). The manifest must list the service
    /// under `services.call`.
    ///
    /// # Errors
    /// [`NotFound`](Status::NotFound) if nobody provides the service in that major version,
    /// [`Unsupported`](Status::Unsupported) for an unknown method, [`Timeout`](Status::Timeout) (the provider may still
    /// run it), [`Reentrant`](Status::Reentrant) if only this very call could end the wait, and what else
    /// `pintle_host.call` names; otherwise what the provider answered, with its text.
    pub fn call(
        &self,
        service: &str,
        major: u32,
        method: &str,
        request: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Vec<u8>> {
        let timeout_ms = patience(timeout)?;
        let call = function!(self.host, call)?;
        let mut reply = Vec::new();
        // SAFETY: everything is borrowed for the call, as it asks; the sink's buffer outlives it.
        let status = unsafe {
            call(
                self.ctx,
                PintleStr::new(service),
                major,
                PintleStr::new(method),
                PintleBytes::new(request),
                timeout_ms,
                wire::sink_into(&mut reply),
            )
        };
        self.check(status)?;
        Ok(reply)
    }

    /// [`call`](Context::call) with values that go and come as JSON.
    ///
    /// # Errors
    /// As `call`; [`InvalidArgument`](Status::InvalidArgument) if the request cannot be written as JSON or the reply is
    /// not what is expected.
    pub fn call_json<T: DeserializeOwned>(
        &self,
        service: &str,
        major: u32,
        method: &str,
        request: &impl Serialize,
        timeout: Option<Duration>,
    ) -> Result<T> {
        let request = serde_json::to_vec(request)
            .map_err(|error| Error::from(error).context(format_args!("the request of {service}.{method}")))?;
        let reply = self.call(service, major, method, &request, timeout)?;
        serde_json::from_slice(&reply)
            .map_err(|error| Error::from(error).context(format_args!("the reply of {service}.{method}")))
    }

    /// A context of the same scope that lives on, for work that outlives this function.
    ///
    /// ```
    /// # use std::{sync::Mutex, thread::{self, JoinHandle}};
    /// # use pintle_plugin::{Context, Plugin, Result};
    /// struct Digger {
    ///     shift: Mutex<Option<JoinHandle<()>>>,
    /// }
    ///
    /// impl Plugin for Digger {
    ///     # fn load(_: &Context) -> Result<Self> { Ok(Digger { shift: Mutex::default() }) }
    ///     fn enable(&self, cx: &Context) -> Result<()> {
    ///         let held = cx.hold()?;
    ///         let shift = thread::spawn(move || held.log().info("dug a hole", &[]));
    ///         *self.shift.lock().expect("nothing panics with it") = Some(shift);
    ///         Ok(())
    ///     }
    ///
    ///     fn disable(&self, _: &Context) -> Result<()> {
    ///         // No thread of the plugin may be left when it is unloaded.
    ///         if let Some(shift) = self.shift.lock().expect("nothing panics with it").take() {
    ///             let _ = shift.join();
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Quota`](Status::Quota), [`Stopping`](Status::Stopping).
    pub fn hold(&self) -> Result<Held> {
        let hold = function!(self.host, hold)?;
        let mut ctx = 0;
        // SAFETY: `ctx` is writable for the call.
        self.check(unsafe { hold(self.ctx, &raw mut ctx) })?;
        Ok(Held(Context { ctx, own: self.own, host: self.host }))
    }

    /// How long the caller of this function still waits; `None` if nobody does. Zero means that it has given up: time
    /// to stop.
    ///
    /// # Errors
    /// [`StaleHandle`](Status::StaleHandle) where the context is over.
    pub fn remaining(&self) -> Result<Option<Duration>> {
        let remaining = function!(self.host, remaining)?;
        let mut ms = 0;
        // SAFETY: `ms` is writable for the call.
        self.check(unsafe { remaining(self.ctx, &raw mut ms) })?;
        Ok((ms != PINTLE_FOREVER).then(|| Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
    }

    /// What the host knows of this context.
    ///
    /// # Errors
    /// [`StaleHandle`](Status::StaleHandle) where the context is over.
    pub fn scope(&self) -> Result<Scope> {
        let mut tenant = Vec::new();
        let info = self.scope_info(wire::sink_into(&mut tenant))?;
        let system = info.flags & PINTLE_SCOPE_SYSTEM != 0;
        Ok(Scope {
            generation: info.generation,
            tenant: (!system).then(|| String::from_utf8_lossy(&tenant).into_owned()),
            ends_with_call: info.flags & PINTLE_SCOPE_CALL != 0,
        })
    }

    /// The tenant on whose behalf the plugin is asked; `None` in the system scope.
    ///
    /// # Errors
    /// As [`scope`](Context::scope).
    pub fn tenant(&self) -> Result<Option<String>> {
        Ok(self.scope()?.tenant)
    }

    /// Is this the system scope, outside of any tenant's behalf?
    ///
    /// # Errors
    /// As [`scope`](Context::scope).
    pub fn is_system(&self) -> Result<bool> {
        let nobody = PintleSink { data: std::ptr::null_mut(), write: None };
        Ok(self.scope_info(nobody)?.flags & PINTLE_SCOPE_SYSTEM != 0)
    }

    fn scope_info(&self, tenant: PintleSink) -> Result<PintleScopeInfo> {
        let scope = function!(self.host, scope)?;
        let mut info = PintleScopeInfo { size: size_of::<PintleScopeInfo>() as u32, flags: 0, generation: 0 };
        // SAFETY: `info` says its size and is writable for the call; the sink's buffer outlives it.
        self.check(unsafe { scope(self.ctx, &raw mut info, tenant) })?;
        Ok(info)
    }

    #[inline]
    pub(crate) fn raw(&self) -> PintleCtx {
        self.ctx
    }

    pub(crate) fn own(&self) -> PintleCtx {
        self.own
    }

    #[inline]
    pub(crate) fn host(&self) -> Host {
        self.host
    }

    /// Turns a status of a call with this context into a result.
    #[inline]
    pub(crate) fn check(&self, status: PintleStatus) -> Result<()> {
        if status == PINTLE_OK { Ok(()) } else { Err(self.failure(status)) }
    }

    /// The host's sentence is fetched at once, because it remembers only this thread's last failure.
    #[cold]
    fn failure(&self, status: PintleStatus) -> Error {
        let status = Status::from_code(status).unwrap_or(Status::Internal);
        let mut text = Vec::new();
        if let Some(last_error) = member!(self.host.as_ptr(), PintleHost, last_error) {
            // SAFETY: the sink's buffer outlives the call.
            let found = unsafe { last_error(self.ctx, wire::sink_into(&mut text)) };
            if found == PINTLE_OK && !text.is_empty() {
                return Error::new(status, String::from_utf8_lossy(&text).into_owned());
            }
        }
        Error::bare(status)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({:#018x})", self.ctx)
    }
}

/// A context that lives until it is dropped, or until the generation ends, after which it answers
/// [`StaleHandle`](Status::StaleHandle). From [`Context::hold`].
#[derive(Debug)]
pub struct Held(Context);

impl Deref for Held {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(release) = member!(self.0.host.as_ptr(), PintleHost, release) {
            // SAFETY: any value is allowed; one whose generation is over is answered with a status, which changes
            // nothing for us.
            unsafe { release(self.0.ctx) };
        }
    }
}

/// What the host knows of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scope {
    /// Which copy of the plugin this is: grows with every load in this process.
    pub generation: u64,
    /// The tenant; `None` in the system scope.
    pub tenant: Option<String>,
    /// Does it end with the function that it was lent to?
    pub ends_with_call: bool,
}

/// How long to wait, as the contract says it: there 0 is the default, which is not what somebody means who has no time.
pub(crate) fn patience(timeout: Option<Duration>) -> Result<i64> {
    match timeout {
        None => Ok(0),
        Some(Duration::ZERO) => {
            Err(Error::new(Status::OutOfRange, "argument `timeout`: must be longer than nothing"))
        }
        Some(timeout) => Ok(milliseconds(timeout)),
    }
}

/// Whole milliseconds, rounded up so that nothing is ever early.
pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}
