//! Where the handlers of one plugin are noted. It trips once, tells whoever looks after suspensions, and is quiet until the
//! plugin is enabled anew.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{Done, Excess, Limits, Window};
use crate::boundary::coarse::Moment;

/// What watches the handlers of one plugin, over all of its generations.
pub(crate) struct Watch {
    plugin: Arc<str>,
    limits: Limits,
    overrun: Arc<dyn Overrun>,
    state: Mutex<State>,
}

/// Who is told of a budget that is used up. On the plugin's own worker: must not wait.
pub(crate) trait Overrun: Send + Sync {
    fn overrun(&self, trip: Trip);
}

/// A plugin has used up a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trip {
    pub(crate) plugin: Arc<str>,
    pub(crate) generation: u64,
    /// Which `enable` it was enabled by, counted over all generations.
    pub(crate) arming: u64,
    pub(crate) excess: Excess,
}

struct State {
    window: Window,
    generation: u64,
    arming: u64,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The plugin is not enabled: nothing is noted.
    Off,
    On,
    /// A budget was used up, and the plugin has not been stopped since.
    Tripped,
}

impl Watch {
    pub(crate) fn new(plugin: &Arc<str>, limits: Limits, overrun: Arc<dyn Overrun>) -> Self {
        let window = Window::new(limits.window);
        let state = State { window, generation: 0, arming: 0, phase: Phase::Off };
        Self { plugin: plugin.clone(), limits, overrun, state: Mutex::new(state) }
    }

    /// A generation has been enabled, and none of its handlers runs yet: begins with an empty window.
    pub(crate) fn arm(&self, generation: u64) {
        let mut state = self.state.lock();
        state.window.clear();
        state.generation = generation;
        state.arming += 1;
        state.phase = Phase::On;
    }

    /// A generation stops. Another may have been enabled since.
    pub(crate) fn disarm(&self, generation: u64) {
        let mut state = self.state.lock();
        if state.generation == generation {
            state.phase = Phase::Off;
        }
    }

    /// Whether it tripped in this arming, and the plugin has not been stopped since.
    pub(crate) fn is_tripped(&self, arming: u64) -> bool {
        let state = self.state.lock();
        state.arming == arming && state.phase == Phase::Tripped
    }

    /// Whether it must be known exactly how long a handler takes.
    #[inline]
    pub(crate) fn times_handlers(&self) -> bool {
        self.limits.slow_after.is_some()
    }

    pub(crate) fn is_slow(&self, took: Duration) -> bool {
        self.limits.is_slow(took)
    }

    /// A handler has ended.
    pub(crate) fn handled(&self, now: Moment, failed: bool, slow: bool) {
        self.note(now, Done::Handler { failed, slow });
    }

    /// A call is past its deadline.
    pub(crate) fn stuck(&self) {
        self.note(Moment::now(), Done::Stuck);
    }

    fn note(&self, now: Moment, done: Done) {
        if let Some(trip) = self.trip(now.since_start(), done) {
            self.overrun.overrun(trip);
        }
    }

    fn trip(&self, now: Duration, done: Done) -> Option<Trip> {
        let mut state = self.state.lock();
        if state.phase != Phase::On {
            return None;
        }
        state.window.note(now, done);
        let excess = self.limits.exceeded(&state.window)?;
        state.phase = Phase::Tripped;
        Some(Trip { plugin: self.plugin.clone(), generation: state.generation, arming: state.arming, excess })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boundary::budget::SuspensionReason;

    #[derive(Default)]
    struct Told(Mutex<Vec<Trip>>);

    impl Overrun for Told {
        fn overrun(&self, trip: Trip) {
            self.0.lock().push(trip);
        }
    }

    fn watch() -> (Watch, Arc<Told>) {
        let told = Arc::new(Told::default());
        let limits = Limits {
            window: Duration::from_secs(3_600),
            slow_after: Some(Duration::from_millis(10)),
            slow: Some(2),
            stuck: None,
            errors_percent: None,
            errors_least: 1,
        };
        (Watch::new(&"p".into(), limits, told.clone()), told)
    }

    fn slow(watch: &Watch, times: usize) {
        for _ in 0..times {
            watch.handled(Moment::now(), false, true);
        }
    }

    #[test]
    fn it_trips_once_for_each_time_that_the_plugin_is_enabled_and_begins_anew_with_it() {
        let (watch, told) = watch();
        slow(&watch, 9);
        assert!(told.0.lock().is_empty(), "it was not enabled");
        watch.arm(7);
        slow(&watch, 2);
        watch.arm(7);
        slow(&watch, 2);
        assert!(told.0.lock().is_empty(), "each time two, which are tolerated");
        slow(&watch, 9);
        let trips = std::mem::take(&mut *told.0.lock());
        assert_eq!(trips.len(), 1, "{trips:?}");
        assert_eq!((trips[0].generation, trips[0].arming, &*trips[0].plugin), (7, 2, "p"));
        assert_eq!(trips[0].excess.reason, SuspensionReason::Slow);
        assert!(watch.is_tripped(2) && !watch.is_tripped(1));
        watch.disarm(6);
        assert!(watch.is_tripped(2), "another generation is of no account");
        watch.disarm(7);
        assert!(!watch.is_tripped(2));
        slow(&watch, 9);
        assert!(told.0.lock().is_empty(), "it is disabled");
        watch.arm(8);
        slow(&watch, 3);
        assert_eq!(told.0.lock().len(), 1);
    }

    #[test]
    fn threads_at_once_trip_it_once() {
        let (watch, told) = watch();
        watch.arm(1);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| slow(&watch, 1_000));
            }
        });
        assert_eq!(told.0.lock().len(), 1);
    }
}
