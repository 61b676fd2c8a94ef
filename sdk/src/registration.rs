//! What a plugin registers: a closure that the host keeps by pointer and gives back once, by `release`.

use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
};

use pintle_abi::{PINTLE_INVALID_ARGUMENT, PintleCtx, PintleRegistration, PintleRelease, PintleStatus};

use crate::{Context, Result, entry, table::Host};

/// The `user` of a registration: the closure, and what is needed to make it a [`Context`].
pub(crate) struct Registered<F> {
    host: Host,
    own: PintleCtx,
    handler: F,
}

impl<F> Registered<F> {
    /// Lends the closure to the host until its `release`. Where `register` fails, the closure is dropped here, for then
    /// the host has not kept it.
    pub(crate) fn hand_over(
        cx: &Context,
        handler: F,
        register: impl FnOnce(*mut c_void, PintleRelease, *mut PintleRegistration) -> PintleStatus,
    ) -> Result<PintleRegistration> {
        let registered = Box::into_raw(Box::new(Self { host: cx.host(), own: cx.own(), handler }));
        let mut handle = 0;
        let status = register(registered.cast(), PintleRelease(Some(release::<F>)), &raw mut handle);
        let outcome = cx.check(status);
        if outcome.is_err() {
            // SAFETY: made above, and a host that failed to register keeps nothing and calls no `release`.
            drop(unsafe { Box::from_raw(registered) });
        }
        outcome.map(|()| handle)
    }

    /// Runs one call of the closure: what every handler does.
    ///
    /// # Safety
    /// `user` is what [`hand_over`](Self::hand_over) gave to the host for this `F`, and is not released yet.
    pub(crate) unsafe fn run(
        user: *mut c_void,
        ctx: PintleCtx,
        call: impl FnOnce(&F, &Context) -> Result<()>,
    ) -> PintleStatus {
        // SAFETY: the caller's promise; it is shared only, also where handlers run at the same time (`F` is `Sync`).
        let Some(registered) = (unsafe { user.cast::<Self>().as_ref() }) else {
            return PINTLE_INVALID_ARGUMENT;
        };
        entry::guard(registered.host, ctx, || {
            call(&registered.handler, &Context::new(registered.host, ctx, registered.own))
        })
    }
}

unsafe extern "C" fn release<F>(user: *mut c_void) {
    if user.is_null() {
        return;
    }
    // SAFETY: the host calls this once for each registration, with the `user` that `hand_over` gave it.
    let registered = *unsafe { Box::from_raw(user.cast::<Registered<F>>()) };
    let Registered { host, own, handler } = registered;
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(handler))) {
        entry::report(
            &Context::new(host, own, own),
            "what a handler had captured panicked when dropped",
            payload,
        );
    }
}
