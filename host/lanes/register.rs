//! What a generation has registered: subscriptions, jobs, held contexts, loggers. One register for each
//! generation, drained in one place; there is no other way to register.

use std::{any::Any, collections::HashMap, sync::Arc};

use super::sync::Mutex;
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Phase, Seat, next_handle},
};

/// How many registrations of one kind a generation may have.
const MOST: usize = 1024;

/// One registration. None of its functions runs code of a plugin, but `release`.
pub(crate) trait Entry: Any + Send + Sync {
    /// What it is: `subscription`, `job`, `held context`, `logger`.
    fn kind(&self) -> &'static str;

    /// Whether its handler may be called. Called with the register locked.
    fn set_live(&self, _live: bool) {}

    /// Takes it out of its engine: no new call of it begins.
    fn end(&self) {}

    /// Gives `user` back to the plugin, on its lane, when no call of it runs. Never twice.
    fn release(&self) {}
}

/// What one generation has registered.
pub(crate) struct Register {
    generation: u64,
    seat: Seat,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<u64, Held>,
    live: bool,
    stopping: bool,
    /// Whether what is added now is dropped by `disable`.
    enabling: bool,
}

struct Held {
    entry: Arc<dyn Entry>,
    since_enable: bool,
}

impl Register {
    /// The register of a new generation; `None` if there are as many generations as the process can have.
    pub(crate) fn new(generation: u64) -> Option<Self> {
        Some(Self { generation, seat: Seat::take()?, state: Mutex::default() })
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn seat(&self) -> &Seat {
        &self.seat
    }

    /// Adds a registration and gives its handle. STOPPING from the start of `disable`; QUOTA at 1,024 of a kind.
    /// On an error the caller ends the entry.
    pub(crate) fn add(&self, entry: Arc<dyn Entry>) -> Result<u64> {
        let mut state = self.state.lock();
        if state.stopping {
            return Err(Error::new(
                ErrorKind::Stopping,
                "the plugin is being disabled: registrations are taken again from its next enable on",
            ));
        }
        let kind = entry.kind();
        if state.entries.len() >= MOST
            && state.entries.values().filter(|held| held.entry.kind() == kind).count() >= MOST
        {
            return Err(Error::lazy(ErrorKind::Quota, move || {
                format!("the plugin has {MOST} registrations of the kind \"{kind}\" already: end those that are not needed")
            }));
        }
        if state.live {
            entry.set_live(true);
        }
        let handle = next_handle();
        let since_enable = state.enabling;
        state.entries.insert(handle, Held { entry, since_enable });
        Ok(handle)
    }

    /// The registration of this handle, if it is one of `T`.
    pub(crate) fn find<T: Entry>(&self, handle: u64) -> Option<Arc<T>> {
        let entry = self.state.lock().entries.get(&handle)?.entry.clone();
        (entry as Arc<dyn Any + Send + Sync>).downcast().ok()
    }

    /// Takes the registration of this handle out, if it is one of `T`. The caller ends and releases it.
    pub(crate) fn take<T: Entry>(&self, handle: u64) -> Option<Arc<T>> {
        let mut state = self.state.lock();
        let entry = state.entries.get(&handle)?.entry.clone();
        let found = (entry as Arc<dyn Any + Send + Sync>).downcast().ok()?;
        state.entries.remove(&handle);
        Some(found)
    }

    /// Takes out a registration that has ended by itself, such as a job that ran once.
    pub(crate) fn forget(&self, entry: &Arc<dyn Entry>) {
        self.state.lock().entries.retain(|_, held| !Arc::ptr_eq(&held.entry, entry));
    }

    /// `enable` begins: registrations are taken, and dropped again by `disable`.
    pub(crate) fn begin_enable(&self) {
        let mut state = self.state.lock();
        state.stopping = false;
        state.enabling = true;
        self.seat.set_phase(Phase::Live);
    }

    /// `enable` returned OK: handlers run.
    pub(crate) fn go_live(&self) {
        let mut state = self.state.lock();
        state.live = true;
        for held in state.entries.values() {
            held.entry.set_live(true);
        }
    }

    /// `disable` begins, or `enable` failed, or the generation ends: nothing is delivered, nothing new is taken.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        state.live = false;
        state.stopping = true;
        self.seat.set_phase(Phase::Stopping);
        for held in state.entries.values() {
            held.entry.set_live(false);
        }
    }

    /// Takes out what was registered since `enable`. The caller ends and releases it.
    pub(crate) fn drain_since_enable(&self) -> Vec<Arc<dyn Entry>> {
        let mut state = self.state.lock();
        state.enabling = false;
        let handles: Vec<u64> =
            state.entries.iter().filter(|(_, held)| held.since_enable).map(|(handle, _)| *handle).collect();
        handles.iter().filter_map(|handle| state.entries.remove(handle)).map(|held| held.entry).collect()
    }

    /// Takes out everything. The caller ends and releases it.
    pub(crate) fn drain(&self) -> Vec<Arc<dyn Entry>> {
        self.state.lock().entries.drain().map(|(_, held)| held.entry).collect()
    }

    /// How many registrations there are.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().entries.len()
    }
}
