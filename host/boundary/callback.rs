//! What subscriptions, jobs and watches have in common: whose handler it is, under which scope it runs, and when `user` is
//! given back to the plugin.

use std::{
    ffi::c_void,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
};

use parking_lot::Mutex;
use pintle_abi::*;

use super::{Call, HandlerKind, PluginRecord, answered, reply_sink};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Grants, Scope, Tenant},
    lanes::{About, Register, Run, Task},
};

/// A plugin's handler, as its registration keeps it.
pub(crate) struct Callback {
    record: &'static PluginRecord,
    grants: &'static Grants,
    generation: u64,
    seat: u16,
    user: User,
    release: PintleRelease,
    state: Mutex<State>,
    /// The same as in `state`, to be seen without a lock.
    ended: AtomicBool,
}

/// Calls of one handler are under way, one after the other: what was registered is not released.
pub(crate) struct Running<'a>(&'a Callback);

/// What a handler is called for.
pub(crate) struct Occasion<'a> {
    pub(crate) tenant: &'a Tenant,
    /// How many events led to it.
    pub(crate) depth: u32,
    /// Until when somebody waits for it, in milliseconds of the host's clock; `i64::MAX`: nobody does.
    pub(crate) deadline: i64,
    pub(crate) kind: HandlerKind,
    /// The event's id, the job's name, the item's key.
    pub(crate) name: Arc<str>,
}

/// What a plugin wants to be handed back. Only ever passed back to it, on its lane.
#[derive(Clone, Copy)]
struct User(*mut c_void);

// SAFETY: the host never looks through it; the contract says that handlers are called from changing threads.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

#[derive(Default)]
struct State {
    running: u32,
    ended: bool,
    released: bool,
}

impl Callback {
    pub(crate) fn new(call: &Call, user: *mut c_void, release: PintleRelease) -> Self {
        Self {
            record: call.record,
            grants: call.grants(),
            generation: call.scope.generation,
            seat: call.scope.seat,
            user: User(user),
            release,
            state: Mutex::default(),
            ended: AtomicBool::new(false),
        }
    }

    pub(crate) fn record(&self) -> &'static PluginRecord {
        self.record
    }

    pub(crate) fn register(&self) -> Option<Arc<Register>> {
        self.record.register(self.generation)
    }

    /// Runs the handler, unless the registration has ended meanwhile, or `begin`, which is told the context of the call,
    /// does not want it any more (then `None`).
    pub(crate) fn run(
        &self,
        run: &mut Run<'_>,
        occasion: Occasion<'_>,
        begin: impl FnOnce(PintleCtx) -> bool,
        handler: impl FnOnce(*mut c_void, PintleCtx, PintleSink) -> PintleStatus,
    ) -> Option<Result<Vec<u8>>> {
        self.running()?.call(run, occasion, begin, handler)
    }

    /// Calls are to begin, unless the registration has ended meanwhile.
    pub(crate) fn running(&self) -> Option<Running<'_>> {
        let mut state = self.state.lock();
        if state.ended {
            return None;
        }
        state.running += 1;
        drop(state);
        Some(Running(self))
    }

    fn call(
        &self,
        run: &mut Run<'_>,
        occasion: Occasion<'_>,
        begin: impl FnOnce(PintleCtx) -> bool,
        handler: impl FnOnce(*mut c_void, PintleCtx, PintleSink) -> PintleStatus,
    ) -> Option<Result<Vec<u8>>> {
        if self.ended.load(Acquire) {
            return None;
        }
        let Occasion { tenant, depth, deadline, kind, name } = occasion;
        let handling = self.record.handling(kind, tenant);
        let scope = Scope {
            tenant: tenant.number(),
            depth: depth.min(u32::from(u16::MAX >> 1)) as u16,
            deadline,
            ..Scope::own(self.record.key(), self.grants, self.generation, self.seat, handling.account())
        };
        let ctx = run.enter(&scope, About { kind: kind.name(), name });
        if !begin(ctx) {
            drop(run.leave());
            return None;
        }
        let status = handler(self.user.0, ctx, reply_sink(ctx));
        let outcome = run.leave();
        let result = answered(ctx, status, outcome, format_args!("the {} handler", kind.name()));
        handling.end(result.as_ref().err().map(Error::kind));
        Some(result.map_err(|error| error.of(self.record.id.clone())))
    }

    fn finish(&self) {
        let mut state = self.state.lock();
        state.running -= 1;
        let last = state.ended && state.running == 0;
        drop(state);
        if last {
            self.release();
        }
    }

    /// No call begins any more.
    pub(crate) fn end(&self) {
        self.state.lock().ended = true;
        self.ended.store(true, Release);
    }

    /// The registration can still fail: as long as it is not owned, `user` stays with the caller.
    pub(crate) fn disown(&self) {
        self.state.lock().released = true;
    }

    /// The registration has succeeded: `user` is to be given back.
    pub(crate) fn own(&self) {
        self.state.lock().released = false;
    }

    /// Gives `user` back, once, if no call runs. On the lane.
    pub(crate) fn release(&self) {
        {
            let mut state = self.state.lock();
            if state.running > 0 || state.released {
                return;
            }
            state.released = true;
        }
        if let Some(release) = self.release.0 {
            // SAFETY: the registration came with this function and this `user`; the library is mapped, because the
            // register is drained, here, before the generation ends.
            unsafe { release(self.user.0) };
        }
    }

    /// Sees to it that the lane releases what was ended.
    pub(crate) fn release_soon(&self) {
        if let Some(register) = self.register() {
            self.record.lane().push_always(Arc::new(ReleaseEnded {
                register,
                generation: self.generation,
                seat: self.seat,
            }));
        }
    }
}

impl Running<'_> {
    /// Calls the handler, as [`Callback::run`].
    pub(crate) fn call(
        &self,
        run: &mut Run<'_>,
        occasion: Occasion<'_>,
        begin: impl FnOnce(PintleCtx) -> bool,
        handler: impl FnOnce(*mut c_void, PintleCtx, PintleSink) -> PintleStatus,
    ) -> Option<Result<Vec<u8>>> {
        self.0.call(run, occasion, begin, handler)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// A task: releases what was ended one by one.
struct ReleaseEnded {
    register: Arc<Register>,
    generation: u64,
    seat: u16,
}

impl Task for ReleaseEnded {
    fn run(&self, run: &mut Run<'_>) {
        run.note(self.generation, self.seat);
        self.register.release_ended();
    }

    fn describe(&self) -> String {
        "release".into()
    }
}

/// A handler that must not be null.
pub(crate) fn not_null<T>(handler: Option<T>) -> Result<T> {
    handler.ok_or_else(|| Error::argument("handler", "the pointer is null: pass the function to be called"))
}

/// The owner's tenant as the engines know it: none in the system scope.
pub(crate) fn tenant_name(tenant: &Tenant) -> Option<Arc<str>> {
    (tenant.number() != Tenant::SYSTEM).then(|| tenant.name().clone())
}

/// A value of one of a handful of constants.
pub(crate) fn unknown_value(name: &'static str, value: u32) -> Error {
    Error::lazy(ErrorKind::Unsupported, move || {
        format!(
            "argument `{name}`: this host does not know the value {value}: update the host or use one that the header lists"
        )
    })
}
