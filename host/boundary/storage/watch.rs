//! Watching: `watch`, `unwatch`, and a plugin's watch as an entry of its register, which stands in its lane while there are
//! changes to be told.

use std::{
    ffi::c_void,
    sync::{Arc, OnceLock, Weak},
};

use pintle_abi::*;

use super::{
    super::{
        HandlerKind, PluginRecord,
        callback::{Callback, Occasion, not_null},
        stale,
    },
    enter, input,
};
use crate::{
    identity::{DataScope, Method, Tenant},
    lanes::{Entry, Run, Task},
    services::{
        keys::LONGEST_KEY,
        storage::{Change, ChangeKind, Deliver, Watch},
    },
};

/// How many changes are told before others of the lane have their turn.
const MOST_A_TURN: usize = 16;

type Handler =
    unsafe extern "C" fn(*mut c_void, PintleCtx, *const PintleStorageChange, PintleSink) -> PintleStatus;

pub(super) unsafe extern "C" fn watch(
    ctx: PintleCtx,
    prefix: PintleStr,
    handler: PintleWatchHandler,
    user: *mut c_void,
    release: PintleRelease,
    options: *const PintleWatchOptions,
    watch: *mut PintleRegistration,
) -> PintleStatus {
    enter(ctx, Method::StorageWatch, move |call| {
        let handler = not_null(handler.0)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let (prefix, options) =
            unsafe { (input::text("prefix", prefix, LONGEST_KEY)?, input::options(options)?) };
        let after =
            options.filter(|options| options.flags & PINTLE_WATCH_AFTER != 0).map(|options| options.after);
        let register = call.register()?;
        let tenant = call.tenant()?;
        let gateway = Arc::new(Gateway { watcher: OnceLock::new(), record: call.record });
        let made = call.core().storage.watch(&call.data_scope(), prefix, after, gateway.clone())?;
        let watcher =
            Arc::new(Watcher { callback: Callback::new(call, user, release), handler, tenant, watch: made });
        // Before it can be live, and so before the engine says that there are changes.
        let _ = gateway.watcher.set(Arc::downgrade(&watcher));
        let handle = register.add(watcher.clone()).inspect_err(|_| {
            watcher.shut();
            watcher.end();
        })?;
        if let Ok(out) = input::output("watch", watch) {
            // SAFETY: the contract says that outputs lead to memory of the caller.
            unsafe { out.write(handle) };
        }
        Ok(())
    })
}

pub(super) unsafe extern "C" fn unwatch(ctx: PintleCtx, watch: PintleRegistration) -> PintleStatus {
    enter(ctx, Method::StorageUnwatch, move |call| {
        let ended = call.register()?.end::<Watcher>(watch).ok_or_else(stale)?;
        ended.callback.release_soon();
        Ok(())
    })
}

/// A plugin's watch: an entry of its register, and the task of a turn.
struct Watcher {
    callback: Callback,
    handler: Handler,
    tenant: Tenant,
    watch: Arc<Watch>,
}

/// What the engine is given in place of the watcher, which does not exist yet when the engine is asked.
struct Gateway {
    watcher: OnceLock<Weak<Watcher>>,
    record: &'static PluginRecord,
}

impl Deliver for Gateway {
    fn ready(&self) {
        if let Some(watcher) = self.watcher.get().and_then(Weak::upgrade) {
            // Also if the lane is stuck: there is one for each watch at most, and nothing may be missed.
            self.record.lane().push_always(watcher);
        }
    }
}

impl Entry for Watcher {
    fn kind(&self) -> &'static str {
        "watch"
    }

    fn set_live(&self, live: bool) {
        self.callback.record().core.storage.set_live(&self.watch, live);
    }

    fn shut(&self) {
        self.callback.end();
    }

    fn end(&self) {
        self.callback.record().core.storage.unwatch(&self.watch);
    }

    fn needs_release(&self) -> bool {
        true
    }

    fn release(&self) {
        self.callback.release();
    }
}

impl Watcher {
    /// Tells one change; false if the watch has ended meanwhile.
    fn tell(&self, run: &mut Run<'_>, change: &Change) -> bool {
        let occasion = Occasion {
            tenant: &self.tenant,
            depth: 0,
            deadline: i64::MAX,
            kind: HandlerKind::Watch,
            name: Arc::clone(&change.key),
        };
        let outcome = self.callback.run(
            run,
            occasion,
            |_| true,
            |user, ctx, reply| {
                let seen = PintleStorageChange {
                    size: size_of::<PintleStorageChange>() as u32,
                    kind: kind_of(change.kind),
                    key: PintleStr::new(&change.key),
                    version: change.version,
                    at_ms: change.at_ms,
                };
                // SAFETY: the watch came with this handler and this `user`; the library is mapped, because the register is
                // drained before the generation ends, and an ended watch is not told.
                unsafe { (self.handler)(user, ctx, &raw const seen, reply) }
            },
        );
        let Some(outcome) = outcome else { return false };
        if let Err(error) = outcome {
            let about = format!("watch of {:?}, key {:?}", self.watch.prefix(), change.key);
            self.callback.record().core.report_failure(&error, &about);
        }
        true
    }
}

impl Task for Watcher {
    fn run(&self, run: &mut Run<'_>) {
        let record = self.callback.record();
        let storage = &record.core.storage;
        let scope = DataScope::new(record.number, &record.id, self.tenant.number(), &record.core.tenants);
        let turn = storage.turn(&self.watch);
        for told in 0..MOST_A_TURN {
            // Each handler has a deadline of its own; after one that went past it the lane is let go.
            if told > 0 && !run.begin_another() {
                break;
            }
            match storage.next_change(&turn, &scope) {
                Ok(Some(change)) if self.tell(run, &change) => {}
                Ok(_) => break,
                Err(error) => {
                    let about = format!("watch of {:?}", self.watch.prefix());
                    record.core.report_failure(&error.of(record.id.clone()), &about);
                    break;
                }
            }
        }
    }

    fn describe(&self) -> String {
        format!("the handler of its watch of {:?}", self.watch.prefix())
    }
}

fn kind_of(kind: ChangeKind) -> u32 {
    match kind {
        ChangeKind::Set => PINTLE_CHANGE_SET,
        ChangeKind::Removed => PINTLE_CHANGE_REMOVED,
        ChangeKind::Expired => PINTLE_CHANGE_EXPIRED,
        ChangeKind::Cleared => PINTLE_CHANGE_CLEARED,
    }
}
