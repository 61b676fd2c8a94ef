//! Who runs durable jobs that nobody has scheduled in this life of their plugin: those of storage batches, and of earlier lives.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use super::{check, names::Named, run::Run};
use crate::error::Result;

/// For which jobs a handler is.
#[derive(Clone, Debug)]
pub(crate) struct HandleRequest {
    /// Whose: the number of the plugin.
    pub(crate) owner: u64,
    /// The plugin's id, or `application`.
    pub(crate) plugin: Arc<str>,
    /// Of this tenant; none: of every tenant and of the system scope.
    pub(crate) tenant: Option<Arc<str>>,
    /// A job's name, or the beginning of names and `*`.
    pub(crate) pattern: Arc<str>,
    /// Whether it handles from now on; if not, from [`super::Scheduler::set_handler_live`] on.
    pub(crate) live: bool,
}

/// A handler of durable jobs; what its owner keeps.
pub(crate) struct Handler {
    request: HandleRequest,
    target: Arc<dyn Run>,
    state: AtomicU8,
}

const STILL: u8 = 0;
const LIVE: u8 = 1;
const OVER: u8 = 2;

impl Handler {
    pub(super) fn new(request: HandleRequest, target: Arc<dyn Run>) -> Result<Arc<Self>> {
        check::pattern(&request.pattern)?;
        let state = AtomicU8::new(if request.live { LIVE } else { STILL });
        Ok(Arc::new(Self { request, target, state }))
    }

    /// Whose it is, as given in the request.
    #[must_use]
    pub(crate) fn owner(&self) -> u64 {
        self.request.owner
    }

    /// Its pattern.
    #[must_use]
    pub(crate) fn pattern(&self) -> &Arc<str> {
        &self.request.pattern
    }

    pub(super) fn target(&self) -> &Arc<dyn Run> {
        &self.target
    }

    pub(super) fn is_live(&self) -> bool {
        self.state.load(Relaxed) == LIVE
    }

    /// False if it has ended.
    pub(super) fn set_live(&self, live: bool) -> bool {
        let to = if live { LIVE } else { STILL };
        self.state.try_update(Relaxed, Relaxed, |state| (state != OVER).then_some(to)).is_ok()
    }

    /// False if it has ended already.
    pub(super) fn end(&self) -> bool {
        self.state.swap(OVER, Relaxed) != OVER
    }

    pub(super) fn matches(&self, named: &Named<'_>) -> bool {
        let request = &self.request;
        let tenant = request.tenant.as_deref();
        let front = request.pattern.strip_suffix('*');
        *request.plugin == *named.plugin
            && (tenant.is_none() || tenant == named.tenant)
            && front.map_or(*request.pattern == *named.name, |front| named.name.starts_with(front))
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").field("request", &self.request).finish_non_exhaustive()
    }
}
