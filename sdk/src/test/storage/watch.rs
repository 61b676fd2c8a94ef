//! Watches. How they are told is in `drive`.

use std::ffi::c_void;

use pintle_abi::*;

use crate::{
    Error, Status,
    test::{
        events::{end, register},
        input,
        inside::{What, enter},
    },
};

pub(super) unsafe extern "C" fn watch(
    ctx: PintleCtx,
    prefix: PintleStr,
    handler: PintleWatchHandler,
    user: *mut c_void,
    release: PintleRelease,
    options: *const PintleWatchOptions,
    watch: *mut PintleRegistration,
) -> PintleStatus {
    // SAFETY: the contract: inputs are readable and outputs writable for this call.
    enter(ctx, "storage.watch", |call| unsafe {
        if handler.0.is_none() {
            return Err(input::wrong("handler", "null"));
        }
        let prefix = input::text("prefix", prefix, 512)?.to_owned();
        let after = match input::options(options)? {
            None | Some(PintleWatchOptions { flags: 0, .. }) => None,
            Some(PintleWatchOptions { flags: PINTLE_WATCH_AFTER, after, .. }) => Some(after),
            Some(PintleWatchOptions { flags, .. }) => {
                return Err(Error::new(Status::Unsupported, format!("argument `options.flags`: {flags:#x}")));
            }
        };
        let told = call.state().storage.begin(after)?;
        let what = What::Watch { handler, told };
        let handle = register(call, prefix, what, None, (user, release))?;
        if let Some(watch) = watch.as_mut() {
            *watch = handle;
        }
        Ok(())
    })
}

pub(super) unsafe extern "C" fn unwatch(ctx: PintleCtx, watch: PintleRegistration) -> PintleStatus {
    enter(ctx, "storage.watch", |call| end(call, watch, |what| matches!(what, What::Watch { .. })))
}
