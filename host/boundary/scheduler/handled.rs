//! `handle`: one function for the runs of durable jobs that nobody has scheduled in this life of the plugin.

use std::{
    ffi::c_void,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use pintle_abi::*;

use super::{
    super::{
        callback::{not_null, tenant_name},
        enter, input,
    },
    Code, LONGEST_NAME,
};
use crate::{
    error::Result,
    identity::Method,
    lanes::Entry,
    services::scheduler::{DueRun, HandleRequest, Handler, Run as Runs},
};

pub(super) unsafe extern "C" fn handle(
    ctx: PintleCtx,
    pattern: PintleStr,
    handler: PintleJobHandler,
    user: *mut c_void,
    release: PintleRelease,
    registration: *mut PintleRegistration,
) -> PintleStatus {
    enter(ctx, Method::SchedulerHandle, move |call| {
        let handler = not_null(handler.0)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let pattern = unsafe { input::text("pattern", pattern, LONGEST_NAME) }?;
        let register = call.register()?;
        let request = HandleRequest {
            owner: call.record.number,
            plugin: call.record.id.clone(),
            tenant: tenant_name(&call.tenant()?),
            pattern: pattern.into(),
            live: false,
        };
        let handled =
            Arc::new(Handled { code: Code::new(call, handler, user, release), handler: OnceLock::new() });
        handled.code.callback.disown();
        let made = call.core().scheduler.handle(request, handled.clone())?;
        let _ = handled.handler.set(Arc::downgrade(&made));
        let handle = register.add(handled.clone()).inspect_err(|_| handled.end())?;
        handled.code.callback.own();
        if let Ok(out) = input::output("registration", registration) {
            // SAFETY: the contract says that outputs lead to memory of the caller.
            unsafe { out.write(handle) };
        }
        Ok(())
    })
}

/// A plugin's handler of durable jobs: an entry of its register, and what the engine tells of their runs.
pub(super) struct Handled {
    pub(super) code: Arc<Code>,
    handler: OnceLock<Weak<Handler>>,
}

impl Handled {
    fn handler(&self) -> Option<Arc<Handler>> {
        self.handler.get()?.upgrade()
    }
}

impl Entry for Handled {
    fn kind(&self) -> &'static str {
        "job handler"
    }

    fn set_live(&self, live: bool) {
        if let Some(handler) = self.handler() {
            self.code.callback.record().core.scheduler.set_handler_live(&handler, live);
        }
    }

    fn shut(&self) {
        self.code.callback.end();
    }

    fn end(&self) {
        if let Some(handler) = self.handler() {
            self.code.callback.record().core.scheduler.remove_handler(&handler);
        }
    }

    fn needs_release(&self) -> bool {
        true
    }

    fn release(&self) {
        self.code.callback.release();
    }
}

impl Runs for Handled {
    fn due(&self, run: Arc<DueRun>) -> Result<()> {
        let tenant = run.job().tenant().map_or("", |tenant| tenant);
        let tenant = self.code.callback.record().core.tenants.named(tenant);
        self.code.queue(tenant, run)
    }

    fn deadline(&self) -> Duration {
        self.code.deadline()
    }
}
