//! The plugin's settings.

use pintle_abi::{PintleConfig, PintleCtx, PintleSink, PintleStatus, PintleStr};
use serde::de::DeserializeOwned;

use crate::{Context, Error, Result, Status, table::function, wire};

/// The plugin's settings, checked against the manifest's schema before `load`, with the schema's defaults filled in.
///
/// Values are named by JSON pointers: `/window`, `/limits/cpu`, `/hosts/0`, and the empty pointer for the whole. What is
/// not there is [`Status::NotFound`]; [`Optional`](crate::Optional) makes that a `None`.
///
/// ```
/// # use pintle_plugin::{Context, Optional, Result};
/// # use serde::Deserialize;
/// #[derive(Deserialize)]
/// struct Limits {
///     cpu: f64,
/// }
///
/// fn read(cx: &Context) -> Result<(Limits, i64, Option<String>)> {
///     let config = cx.config();
///     Ok((config.get("/limits")?, config.integer("/window")?, config.text("/proxy").optional()?))
/// }
/// ```
///
/// A changed config is offered to [`Plugin::configure`](crate::Plugin::configure) before these functions show it.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    cx: &'a Context,
}

impl<'a> Config<'a> {
    pub(crate) fn new(cx: &'a Context) -> Self {
        Self { cx }
    }

    /// Any value, as a type of the plugin's own.
    ///
    /// # Errors
    /// [`NotFound`](Status::NotFound); [`WrongType`](Status::WrongType) if `T` cannot be made of it;
    /// [`InvalidArgument`](Status::InvalidArgument) if `pointer` is none.
    pub fn get<T: DeserializeOwned>(&self, pointer: &str) -> Result<T> {
        let json = self.read(function!(self.cx.host(), config: PintleConfig, get)?, pointer)?;
        serde_json::from_slice(&json)
            .map_err(|error| Error::new(Status::WrongType, format!("config \"{pointer}\": {error}")))
    }

    /// A string.
    ///
    /// # Errors
    /// [`NotFound`](Status::NotFound), [`WrongType`](Status::WrongType), [`InvalidArgument`](Status::InvalidArgument).
    pub fn text(&self, pointer: &str) -> Result<String> {
        let text = self.read(function!(self.cx.host(), config: PintleConfig, text)?, pointer)?;
        String::from_utf8(text)
            .map_err(|error| Error::from(error).context(format_args!("config \"{pointer}\"")))
    }

    /// An integer; `2.0` is one.
    ///
    /// # Errors
    /// As [`text`](Config::text); [`OutOfRange`](Status::OutOfRange) if it does not fit.
    pub fn integer(&self, pointer: &str) -> Result<i64> {
        let integer = function!(self.cx.host(), config: PintleConfig, integer)?;
        let mut value = 0;
        // SAFETY: `pointer` is borrowed and `value` writable for the call.
        self.cx.check(unsafe { integer(self.cx.raw(), PintleStr::new(pointer), &raw mut value) })?;
        Ok(value)
    }

    /// A number; integers are converted.
    ///
    /// # Errors
    /// As [`text`](Config::text).
    pub fn number(&self, pointer: &str) -> Result<f64> {
        let number = function!(self.cx.host(), config: PintleConfig, number)?;
        let mut value = 0.0;
        // SAFETY: `pointer` is borrowed and `value` writable for the call.
        self.cx.check(unsafe { number(self.cx.raw(), PintleStr::new(pointer), &raw mut value) })?;
        Ok(value)
    }

    /// A boolean.
    ///
    /// # Errors
    /// As [`text`](Config::text).
    pub fn boolean(&self, pointer: &str) -> Result<bool> {
        let boolean = function!(self.cx.host(), config: PintleConfig, boolean)?;
        let mut value = 0;
        // SAFETY: `pointer` is borrowed and `value` writable for the call.
        self.cx.check(unsafe { boolean(self.cx.raw(), PintleStr::new(pointer), &raw mut value) })?;
        Ok(value != 0)
    }

    fn read(
        &self,
        reader: unsafe extern "C" fn(PintleCtx, PintleStr, PintleSink) -> PintleStatus,
        pointer: &str,
    ) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        // SAFETY: `pointer` is borrowed for the call; the sink's buffer outlives it.
        let status = unsafe { reader(self.cx.raw(), PintleStr::new(pointer), wire::sink_into(&mut out)) };
        self.cx.check(status)?;
        Ok(out)
    }
}
