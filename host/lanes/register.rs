//! What a generation has registered: subscriptions, jobs, watches, held contexts, loggers. One register for each
//! generation, drained in one place; there is no other way to register.

use std::{any::Any, collections::HashMap, sync::Arc};

use super::sync::Mutex;
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Phase, Seat, next_handle},
};

/// How many registrations of one kind a generation may have.
const MOST: usize = 1024;

/// One registration. None of its functions runs code of a plugin, but `release`. Those that are called with the register
/// locked may take the locks of engines, which never call into a register with a lock of theirs held.
pub(crate) trait Entry: Any + Send + Sync {
    /// What it is: `subscription`, `job`, `watch`, `held context`, `logger`.
    fn kind(&self) -> &'static str;

    /// Whether its handler may be called. Called with the register locked.
    fn set_live(&self, _live: bool) {}

    /// Its owner has been told that it is registered: from here on `release` is to be called. With the register locked.
    fn confirm(&self) {}

    /// No new call of it begins. With the register locked, so that whoever finds it ended finds it shut.
    fn shut(&self) {}

    /// Takes it out of its engine. After `shut`, with nothing locked.
    fn end(&self) {}

    /// Whether it takes the place of another, which then ends: so it needs no room of its own.
    fn replaces(&self, _other: &dyn Entry) -> bool {
        false
    }

    /// Whether the plugin is to be told when it has ended.
    fn needs_release(&self) -> bool {
        false
    }

    /// Gives `user` back to the plugin, once; called on its lane. While a call of it runs it does nothing, and the
    /// call's end does it.
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
    /// Ended one by one, and not released yet.
    ended: Vec<Arc<dyn Entry>>,
    live: bool,
    stopping: bool,
    /// Whether what is added now is dropped by `disable`.
    enabling: bool,
    /// The generation is over.
    drained: bool,
}

struct Held {
    entry: Arc<dyn Entry>,
    since_enable: bool,
}

fn too_many(kind: &'static str) -> Error {
    Error::lazy(ErrorKind::Quota, move || {
        format!(
            "the plugin has {MOST} registrations of the kind \"{kind}\" already: end those that are not needed"
        )
    })
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
    /// On an error the caller ends the entry. What can still fail afterwards is confirmed when it has not.
    pub(crate) fn add(&self, entry: Arc<dyn Entry>) -> Result<u64> {
        let handle = next_handle();
        self.add_as(handle, entry).map(|()| handle)
    }

    /// Adds a registration that a plugin may still make while it is disabled, to bring to an end what it has begun.
    /// STALE_HANDLE when the generation is over; QUOTA at 1,024 of a kind.
    pub(crate) fn add_while_stopping(&self, entry: Arc<dyn Entry>) -> Result<u64> {
        let mut state = self.state.lock();
        if state.drained {
            return Err(Error::new(ErrorKind::StaleHandle, "the plugin's generation is over"));
        }
        let kind = entry.kind();
        if state.entries.values().filter(|held| held.entry.kind() == kind).count() >= MOST {
            return Err(too_many(kind));
        }
        let handle = next_handle();
        let since_enable = state.enabling;
        state.entries.insert(handle, Held { entry, since_enable });
        Ok(handle)
    }

    /// Adds a registration that already has a number of its own: a held context.
    pub(crate) fn add_as(&self, handle: u64, entry: Arc<dyn Entry>) -> Result<()> {
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
            && !state.entries.values().any(|held| entry.replaces(&*held.entry))
        {
            return Err(too_many(kind));
        }
        if state.live {
            entry.set_live(true);
        }
        let since_enable = state.enabling;
        state.entries.insert(handle, Held { entry, since_enable });
        Ok(())
    }

    /// The registration of this handle has succeeded in its engine too: tells it, and whether it is live. STOPPING if
    /// it was drained meanwhile, CONFLICT if it was ended: then it is not released.
    pub(crate) fn confirm(&self, handle: u64) -> Result<()> {
        let state = self.state.lock();
        if let Some(held) = state.entries.get(&handle) {
            held.entry.confirm();
            held.entry.set_live(state.live);
            return Ok(());
        }
        Err(if state.stopping {
            Error::new(ErrorKind::Stopping, "the plugin is being disabled")
        } else {
            Error::new(ErrorKind::Conflict, "another registration took its place while it was made")
        })
    }

    /// The registration of this handle, if it is one of `T`.
    pub(crate) fn find<T: Entry>(&self, handle: u64) -> Option<Arc<T>> {
        let entry = self.state.lock().entries.get(&handle)?.entry.clone();
        (entry as Arc<dyn Any + Send + Sync>).downcast().ok()
    }

    /// Ends the registration of this handle, if it is one of `T`; `release_ended` on the lane does the rest.
    pub(crate) fn end<T: Entry>(&self, handle: u64) -> Option<Arc<T>> {
        let mut state = self.state.lock();
        let entry = state.entries.get(&handle)?.entry.clone();
        let found: Arc<T> = (entry.clone() as Arc<dyn Any + Send + Sync>).downcast().ok()?;
        state.entries.remove(&handle);
        found.shut();
        if entry.needs_release() {
            state.ended.push(entry);
        }
        drop(state);
        found.end();
        Some(found)
    }

    /// Ends those of `T` that `which` says, none of which has a handler.
    pub(crate) fn end_where<T: Entry>(&self, which: impl Fn(&T) -> bool) {
        let wanted = |held: &Held| {
            let entry: &dyn Any = &*held.entry;
            entry.downcast_ref::<T>().is_some_and(&which)
        };
        let ended: Vec<_> = {
            let mut state = self.state.lock();
            let ended = state.entries.extract_if(|_, held| wanted(held)).map(|(_, held)| held.entry);
            ended.inspect(|entry| entry.shut()).collect()
        };
        for entry in ended {
            entry.end();
        }
    }

    /// How many of `T` there are that `which` says.
    pub(crate) fn count<T: Entry>(&self, which: impl Fn(&T) -> bool) -> usize {
        let state = self.state.lock();
        let entries = state.entries.values().filter_map(|held| {
            let entry: &dyn Any = &*held.entry;
            entry.downcast_ref::<T>()
        });
        entries.filter(|entry| which(entry)).count()
    }

    /// Ends the registration of this handle, if it is still there, which has no handler.
    pub(crate) fn drop_entry(&self, handle: u64) {
        let Some(held) = self.state.lock().entries.remove(&handle) else { return };
        held.entry.shut();
        held.entry.end();
    }

    /// Whether the registration of this handle is there.
    pub(crate) fn contains(&self, handle: u64) -> bool {
        self.state.lock().entries.contains_key(&handle)
    }

    /// Ends a registration that is over by itself: a job that was replaced or has run its once.
    pub(crate) fn end_entry(&self, entry: &Arc<dyn Entry>) {
        let mut state = self.state.lock();
        let handle =
            state.entries.iter().find(|(_, held)| Arc::ptr_eq(&held.entry, entry)).map(|(handle, _)| *handle);
        let Some(held) = handle.and_then(|handle| state.entries.remove(&handle)) else { return };
        entry.shut();
        state.ended.push(held.entry);
        drop(state);
        entry.end();
    }

    /// Releases what was ended one by one. Called on the lane.
    pub(crate) fn release_ended(&self) {
        let ended = std::mem::take(&mut self.state.lock().ended);
        for entry in ended {
            entry.release();
        }
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

    /// Ends and releases the handlers that were registered since `enable`; contexts and loggers live on. Called on the
    /// lane, when nothing else of it runs.
    pub(crate) fn drain_since_enable(&self) {
        self.drain_where(|held| held.since_enable && held.entry.needs_release());
        self.state.lock().enabling = false;
    }

    /// Ends and releases what has handlers; contexts and loggers stay. Called on the lane, when nothing else of it runs.
    pub(crate) fn drain_handlers(&self) {
        self.drain_where(|held| held.entry.needs_release());
    }

    /// Ends and releases everything. Called on the lane, when nothing else of it runs.
    pub(crate) fn drain(&self) {
        self.state.lock().drained = true;
        self.drain_where(|_| true);
    }

    fn drain_where(&self, which: impl Fn(&Held) -> bool) {
        let drained: Vec<_> = {
            let mut state = self.state.lock();
            state
                .entries
                .extract_if(|_, held| which(held))
                .map(|(_, held)| held.entry)
                .inspect(|entry| entry.shut())
                .collect()
        };
        for entry in drained {
            entry.end();
            entry.release();
        }
        self.release_ended();
    }

    /// How many registrations there are.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sync::Mutex, *};

    /// Writes down what is done to it.
    struct Noted(&'static str, Arc<Mutex<Vec<String>>>);

    impl Noted {
        fn note(&self, what: &str) {
            self.1.lock().push(format!("{} {what}", self.0));
        }
    }

    impl Entry for Noted {
        fn kind(&self) -> &'static str {
            "probe"
        }
        fn set_live(&self, live: bool) {
            self.note(if live { "live" } else { "asleep" });
        }
        fn confirm(&self) {
            self.note("confirm");
        }
        fn shut(&self) {
            self.note("shut");
        }
        fn end(&self) {
            self.note("end");
        }
        fn needs_release(&self) -> bool {
            true
        }
        fn release(&self) {
            self.note("release");
        }
    }

    fn register() -> (Register, Arc<Mutex<Vec<String>>>) {
        (Register::new(1).expect("a seat is free"), Arc::default())
    }

    fn notes(of: &Mutex<Vec<String>>) -> Vec<String> {
        std::mem::take(&mut of.lock())
    }

    #[test]
    fn what_is_registered_since_enable_goes_with_disable_and_the_rest_stays() {
        let (register, noted) = register();
        register.add(Arc::new(Noted("a", noted.clone()))).expect("load registers");
        register.begin_enable();
        register.add(Arc::new(Noted("b", noted.clone()))).expect("enable registers");
        register.go_live();
        assert_eq!(noted.lock().len(), 2, "both are live");
        notes(&noted);
        register.stop();
        let refused = register.add(Arc::new(Noted("c", noted.clone())));
        assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Stopping));
        notes(&noted);
        register.drain_since_enable();
        assert_eq!(notes(&noted), ["b shut", "b end", "b release"]);
        assert_eq!(register.len(), 1);
        register.begin_enable();
        register.go_live();
        assert_eq!(notes(&noted), ["a live"]);
        register.drain();
        assert_eq!(notes(&noted), ["a shut", "a end", "a release"]);
    }

    #[test]
    fn what_was_ended_one_by_one_is_shut_before_it_can_be_released_and_released_once() {
        let (register, noted) = register();
        let handle = register.add(Arc::new(Noted("a", noted.clone()))).expect("it is taken");
        assert!(register.end::<Noted>(handle).is_some());
        assert!(register.end::<Noted>(handle).is_none());
        register.release_ended();
        register.drain();
        assert_eq!(notes(&noted), ["a shut", "a end", "a release"]);
    }

    #[test]
    fn a_registration_that_was_drained_before_it_was_made_is_refused() {
        let (register, noted) = register();
        let first = register.add(Arc::new(Noted("a", noted.clone()))).expect("it is taken");
        assert!(register.confirm(first).is_ok());
        assert_eq!(notes(&noted), ["a confirm", "a asleep"]);
        let second: Arc<dyn Entry> = Arc::new(Noted("b", noted.clone()));
        let handle = register.add(second.clone()).expect("it is taken");
        register.end_entry(&second);
        assert_eq!(register.confirm(handle).map_err(|error| error.kind()), Err(ErrorKind::Conflict));
        register.stop();
        register.drain();
        assert_eq!(register.confirm(first).map_err(|error| error.kind()), Err(ErrorKind::Stopping));
    }

    #[test]
    fn there_are_at_most_1024_of_a_kind() {
        let (register, noted) = register();
        for _ in 0..MOST {
            register.add(Arc::new(Noted("a", noted.clone()))).expect("there is room");
        }
        let refused = register.add(Arc::new(Noted("b", noted.clone())));
        assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Quota));
        assert_eq!(register.len(), MOST);
    }
}
