//! What a plugin is: the trait of its life, and the requests that it answers.

use std::{fmt, marker::PhantomData};

use pintle_abi::PintleRequest;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Context, Error, Result, Status, wire};

/// A plugin, from its `load` to its `unload`. Made known to hosts by [`plugin!`](crate::plugin!).
///
/// All functions but `call` run alone on the plugin's lane, with the plugin's own context, in the system scope. Each has
/// a deadline (10 seconds by default). An error goes to whoever asked, with its text; so does a panic.
pub trait Plugin: Send + Sync + Sized + 'static {
    /// Prepares. Emitting answers [`Unavailable`](Status::Unavailable) until `enable`; what is registered here is live
    /// from `enable` on, and stays over `disable`.
    ///
    /// # Errors
    /// Refuses to be loaded. What was registered is dropped by the host.
    fn load(cx: &Context) -> Result<Self>;

    /// Acts: once it has returned, handlers run.
    ///
    /// # Errors
    /// Keeps the plugin from being enabled; `disable` is not called.
    fn enable(&self, cx: &Context) -> Result<()> {
        let _ = cx;
        Ok(())
    }

    /// Stops acting. What was registered since `enable` is dropped when it returns. `enable` may follow.
    ///
    /// # Errors
    /// Reported; the plugin is disabled all the same.
    fn disable(&self, cx: &Context) -> Result<()> {
        let _ = cx;
        Ok(())
    }

    /// Ends. Threads that the plugin started must have ended when it returns. By default the plugin is dropped.
    fn unload(self, cx: &Context) {
        let _ = cx;
    }

    /// Is offered a changed config, already checked against the manifest's schema. [`Context::config`] still shows the
    /// old one. By default it is taken.
    ///
    /// # Errors
    /// Refuses it, and the old one stays.
    fn configure(&self, cx: &Context, config: &Value) -> Result<()> {
        let _ = (cx, config);
        Ok(())
    }

    /// Gives what the next generation needs to go on, at a reload. Changes nothing, for `enable` may follow if the reload
    /// fails. By default nothing is given.
    ///
    /// # Errors
    /// Ends the reload, and this generation goes on.
    fn save(&self, cx: &Context) -> Result<Vec<u8>> {
        let _ = cx;
        Ok(Vec::new())
    }

    /// Takes over what an earlier generation saved; `schema` is the `state` number of the manifest that saved it. By
    /// default it is ignored.
    ///
    /// # Errors
    /// Ends the reload, and the old generation goes on.
    fn restore(&self, cx: &Context, schema: u32, saved: &[u8]) -> Result<()> {
        let _ = (cx, schema, saved);
        Ok(())
    }

    /// Answers a call to a service that the manifest provides, under a context of the caller's tenant.
    /// [`Context::remaining`] tells how long the caller still waits.
    ///
    /// # Errors
    /// Reaches the caller, with its status and text. By default every method is
    /// [`Unsupported`](Status::Unsupported).
    fn call(&self, cx: &Context, request: &Request<'_>) -> Result<Vec<u8>> {
        let _ = cx;
        Err(request.unsupported())
    }
}

/// A call to a service of this plugin, lent to [`Plugin::call`].
pub struct Request<'a> {
    raw: PintleRequest,
    lent: PhantomData<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// None for null, and for one that is smaller than requests have been since ABI 1.0.
    ///
    /// # Safety
    /// `request` is null or a request of the host that is lent for `'a`.
    pub(crate) unsafe fn read(request: *const PintleRequest) -> Option<Self> {
        const SMALLEST: usize = 72;
        // SAFETY: a request begins with its size, and is read only where it is large enough.
        let raw = unsafe { crate::table::reaches(request.cast(), SMALLEST).then(|| request.read()) }?;
        Some(Self { raw, lent: PhantomData })
    }

    /// The service, one of the manifest's `provides`.
    #[must_use]
    pub fn service(&self) -> &'a str {
        // SAFETY: the host lends the request and all it points to until `call` returns; so in every accessor.
        unsafe { wire::text(self.raw.service) }
    }

    /// The major version of the service that the caller asks for.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.raw.major
    }

    /// The method, one of those that the manifest lists.
    #[must_use]
    pub fn method(&self) -> &'a str {
        // SAFETY: as in `service`.
        unsafe { wire::text(self.raw.method) }
    }

    /// Who calls: a plugin's id, or `application`.
    #[must_use]
    pub fn caller(&self) -> &'a str {
        // SAFETY: as in `service`.
        unsafe { wire::text(self.raw.caller) }
    }

    /// The request's bytes.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        // SAFETY: as in `service`.
        unsafe { wire::bytes(self.raw.data) }
    }

    /// The request, read as JSON.
    ///
    /// # Errors
    /// [`InvalidArgument`](Status::InvalidArgument) if it is not JSON or not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.data()).map_err(|error| {
            Error::from(error).context(format_args!("the request of {}.{}", self.service(), self.method()))
        })
    }

    /// Answers with JSON for JSON: reads the request as an `In`, gives it to `run`, and writes what that returns. An empty
    /// request is read as `null`, so that a method that needs nothing takes `()`.
    ///
    /// ```
    /// # use pintle_plugin::{Context, Plugin, Request, Result};
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Deserialize)]
    /// struct Find {
    ///     city: String,
    /// }
    ///
    /// #[derive(Serialize)]
    /// struct Place {
    ///     latitude: f64,
    ///     longitude: f64,
    /// }
    /// # struct Geo;
    /// # impl Geo {
    /// #     fn find(&self, find: &Find) -> Result<Place> { let _ = &find.city; Ok(Place { latitude: 48.2, longitude: 16.4 }) }
    /// #     fn count(&self) -> u64 { 1 }
    /// # }
    ///
    /// impl Plugin for Geo {
    ///     # fn load(_: &Context) -> Result<Self> { Ok(Geo) }
    ///     fn call(&self, _: &Context, request: &Request<'_>) -> Result<Vec<u8>> {
    ///         match request.method() {
    ///             "find" => request.answer(|find: Find| self.find(&find)),
    ///             "count" => request.answer(|(): ()| Ok(self.count())),
    ///             _ => Err(request.unsupported()),
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](Status::InvalidArgument) if the request is not JSON or not an `In`, or what `run` returns cannot
    /// be written; otherwise those of `run`.
    pub fn answer<In, Out>(&self, run: impl FnOnce(In) -> Result<Out>) -> Result<Vec<u8>>
    where
        In: DeserializeOwned,
        Out: Serialize,
    {
        let (service, method) = (self.service(), self.method());
        let data = if self.data().is_empty() { b"null" } else { self.data() };
        let input = serde_json::from_slice(data)
            .map_err(|error| Error::from(error).context(format_args!("the request of {service}.{method}")))?;
        let output = run(input)?;
        serde_json::to_vec(&output)
            .map_err(|error| Error::from(error).context(format_args!("the reply of {service}.{method}")))
    }

    /// The error for a method that the plugin does not have: the last arm of the `match`.
    #[must_use]
    pub fn unsupported(&self) -> Error {
        let (service, major, method) = (self.service(), self.major(), self.method());
        Error::new(Status::Unsupported, format!("service `{service}` {major} has no method `{method}`"))
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("service", &self.service())
            .field("major", &self.major())
            .field("method", &self.method())
            .field("caller", &self.caller())
            .field("bytes", &self.data().len())
            .finish()
    }
}
