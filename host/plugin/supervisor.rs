//! The supervisor of a host: one thread that suspends plugins which have used up a budget, and releases them when they
//! have cooled down. There is none where no budget is set.
//!
//! It never waits for a plugin, so that one that hangs keeps no other from being suspended in time. What has to wait, an
//! `enable` after the cool-down, has a thread of its own as long as it takes.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::{
    boundary::{Overrun, Trip},
    error::{Error, ErrorKind, Result},
    services::clock::{Alarm, Clock},
};

/// How soon it looks again for a plugin whose `enable` has returned, and is about to be noted.
const SOON: Duration = Duration::from_millis(2);

/// How soon it tries again to release where no thread was to be had.
const LATER: Duration = Duration::from_secs(1);

/// Who suspends and releases plugins.
pub(super) trait Wards: Send + Sync + 'static {
    /// Suspends a plugin, without waiting for it.
    fn suspend(&self, trip: &Trip) -> Suspended;

    /// Enables a plugin that has cooled down, if it is still suspended for that. After how long that is to be tried again,
    /// if it fails.
    fn release_cooled(&self, ward: &Ward) -> Option<Duration>;
}

/// What became of a suspension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspended {
    /// It is suspended, for so long; none: until it is released by hand.
    For(Option<Duration>),
    /// The step that has enabled it is not noted yet: to be asked again.
    NotYet,
    /// It was disabled meanwhile.
    Over,
}

/// A plugin that is suspended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ward {
    pub(super) plugin: Arc<str>,
    /// In which arming it tripped: another one is another suspension.
    pub(super) arming: u64,
}

pub(super) struct Supervisor {
    clock: Arc<dyn Clock>,
    alarm: Arc<Alarm>,
    state: Mutex<State>,
    /// Signalled when its thread ends.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// Whom to suspend, and not before when: by the monotonic clock, like all times here.
    trips: Vec<(Duration, Trip)>,
    /// When whom to release.
    due: Vec<(Duration, Ward)>,
    running: bool,
    closing: bool,
}

impl Overrun for Supervisor {
    fn overrun(&self, trip: Trip) {
        let mut state = self.state.lock();
        if !state.closing {
            state.trips.push((Duration::ZERO, trip));
            drop(state);
            self.alarm.ring();
        }
    }
}

impl Supervisor {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let alarm = clock.alarm();
        Arc::new(Self { clock, alarm, state: Mutex::default(), ended: Condvar::new() })
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Begins to supervise.
    pub(super) fn start(self: &Arc<Self>, wards: Arc<dyn Wards>) -> Result<()> {
        self.state.lock().running = true;
        let me = self.clone();
        let spawned = thread::Builder::new().name("pintle-budgets".into()).spawn(move || {
            me.supervise(&wards);
            me.state.lock().running = false;
            me.ended.notify_all();
        });
        spawned.map(drop).map_err(|error| {
            self.state.lock().running = false;
            let text = format!("budgets are set, and there is no thread that could watch them: {error}");
            Error::new(ErrorKind::Unavailable, text)
        })
    }

    /// Nobody is suspended or released any more. False if its thread has not ended by `deadline`.
    pub(super) fn end(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        state.closing = true;
        self.alarm.ring();
        while state.running {
            if self.ended.wait_until(&mut state, deadline).timed_out() {
                return !state.running;
            }
        }
        true
    }

    fn supervise(self: &Arc<Self>, wards: &Arc<dyn Wards>) {
        loop {
            let now = self.clock.monotonic();
            let (trips, cooled) = {
                let mut state = self.state.lock();
                if state.closing {
                    return;
                }
                let State { trips, due, .. } = &mut *state;
                let trips: Vec<_> = trips.extract_if(.., |(due, _)| *due <= now).collect();
                let cooled: Vec<_> = due.extract_if(.., |(due, _)| *due <= now).collect();
                (trips, cooled)
            };
            for (_, trip) in trips {
                match wards.suspend(&trip) {
                    Suspended::For(Some(cooldown)) => {
                        self.release_after(cooldown, Ward { plugin: trip.plugin, arming: trip.arming });
                    }
                    Suspended::NotYet => {
                        let again = self.clock.monotonic().saturating_add(SOON);
                        self.state.lock().trips.push((again, trip));
                    }
                    Suspended::For(None) | Suspended::Over => {}
                }
            }
            for (_, ward) in cooled {
                self.release_aside(wards, ward);
            }
            let until = {
                let state = self.state.lock();
                let trips = state.trips.iter().map(|(due, _)| *due);
                trips.chain(state.due.iter().map(|(due, _)| *due)).min()
            };
            self.clock.wait(&self.alarm, until);
        }
    }

    fn release_after(&self, span: Duration, ward: Ward) {
        let due = self.clock.monotonic().saturating_add(span);
        self.state.lock().due.push((due, ward));
        self.alarm.ring();
    }

    /// Releases a plugin on a thread of its own, for that can take as long as `enable` may.
    fn release_aside(self: &Arc<Self>, wards: &Arc<dyn Wards>, ward: Ward) {
        let (me, wards, mine) = (self.clone(), wards.clone(), ward.clone());
        let release = move || {
            if let Some(again) = wards.release_cooled(&mine) {
                me.release_after(again, mine);
            }
        };
        if thread::Builder::new().name("pintle-release".into()).spawn(release).is_err() {
            self.release_after(LATER, ward);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::*;
    use crate::{
        boundary::{Excess, SuspensionReason},
        services::clock::ManualClock,
    };

    /// Answers as it is told, and tells what it is asked.
    struct Told {
        asked: Mutex<Sender<String>>,
        suspend: Mutex<Vec<Suspended>>,
        release: Mutex<Vec<Option<Duration>>>,
    }

    impl Wards for Told {
        fn suspend(&self, trip: &Trip) -> Suspended {
            let _ = self.asked.lock().send(format!("suspend {} {}", trip.plugin, trip.arming));
            self.suspend.lock().pop().unwrap_or(Suspended::For(None))
        }

        fn release_cooled(&self, ward: &Ward) -> Option<Duration> {
            let again = self.release.lock().pop().flatten();
            let _ = self.asked.lock().send(format!("release {} {}", ward.plugin, ward.arming));
            again
        }
    }

    struct Rig {
        clock: Arc<ManualClock>,
        supervisor: Arc<Supervisor>,
        told: Receiver<String>,
    }

    /// What is answered is taken from the front.
    fn rig(suspend: &[Suspended], release: &[Option<Duration>]) -> Rig {
        let (asked, told) = mpsc::channel();
        let clock = ManualClock::at(0);
        let supervisor = Supervisor::new(clock.clone());
        let wards = Told {
            asked: Mutex::new(asked),
            suspend: Mutex::new(suspend.iter().rev().copied().collect()),
            release: Mutex::new(release.iter().rev().copied().collect()),
        };
        supervisor.start(Arc::new(wards)).expect("there are threads");
        Rig { clock, supervisor, told }
    }

    impl Rig {
        fn trip(&self, plugin: &str, arming: u64) {
            let excess = Excess { reason: SuspensionReason::Errors, text: "too many".into() };
            self.supervisor.overrun(Trip { plugin: plugin.into(), generation: 1, arming, excess });
            self.clock.settle();
        }

        fn told(&self) -> String {
            self.told.recv_timeout(Duration::from_secs(20)).expect("it is asked")
        }

        fn nothing_told(&self) {
            self.clock.settle();
            assert_eq!(self.told.try_recv(), Err(mpsc::TryRecvError::Empty));
        }
    }

    impl Drop for Rig {
        fn drop(&mut self) {
            assert!(self.supervisor.end(Instant::now() + Duration::from_secs(20)));
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn budgets_4_a_plugin_is_released_when_it_has_cooled_down_and_not_before() {
        let rig = rig(&[Suspended::For(Some(seconds(60))), Suspended::For(Some(seconds(20)))], &[]);
        rig.trip("slow", 3);
        assert_eq!(rig.told(), "suspend slow 3");
        rig.clock.advance(seconds(30));
        rig.trip("faulty", 1);
        assert_eq!(rig.told(), "suspend faulty 1");
        rig.clock.advance(Duration::from_millis(19_999));
        rig.nothing_told();
        rig.clock.advance(Duration::from_millis(1));
        assert_eq!(rig.told(), "release faulty 1");
        rig.clock.advance(Duration::from_millis(9_999));
        rig.nothing_told();
        rig.clock.advance(Duration::from_millis(1));
        assert_eq!(rig.told(), "release slow 3");
        rig.clock.advance(seconds(86_400 * 366));
        rig.nothing_told();
    }

    #[test]
    fn budgets_5_a_release_that_fails_is_tried_again_after_another_cool_down() {
        let rig = rig(&[Suspended::For(Some(seconds(5)))], &[Some(seconds(5)), Some(seconds(7)), None]);
        rig.trip("p", 1);
        assert_eq!(rig.told(), "suspend p 1");
        for cooldown in [5, 5, 7] {
            // The thread of the last release says how long to wait when it ends.
            let due = |due: &[(Duration, Ward)]| due.len() == 1;
            let patience = Instant::now() + seconds(20);
            while !due(&rig.supervisor.state.lock().due) {
                assert!(Instant::now() < patience, "it is to be released");
                thread::yield_now();
            }
            rig.clock.settle();
            rig.clock.advance(seconds(cooldown) - Duration::from_millis(1));
            rig.nothing_told();
            rig.clock.advance(Duration::from_millis(1));
            assert_eq!(rig.told(), "release p 1");
        }
        rig.clock.advance(seconds(60));
        rig.nothing_told();
    }

    #[test]
    fn a_plugin_whose_enable_is_not_noted_yet_is_asked_for_again_until_it_is() {
        let rig = rig(&[Suspended::NotYet, Suspended::NotYet, Suspended::Over], &[]);
        rig.trip("p", 1);
        assert_eq!(rig.told(), "suspend p 1");
        rig.nothing_told();
        rig.clock.advance(SOON);
        assert_eq!(rig.told(), "suspend p 1");
        rig.clock.advance(SOON);
        assert_eq!(rig.told(), "suspend p 1");
        rig.clock.advance(seconds(60));
        rig.nothing_told();
    }

    #[test]
    fn without_a_cool_down_nothing_is_released() {
        let rig = rig(&[Suspended::For(None)], &[]);
        rig.trip("p", 1);
        assert_eq!(rig.told(), "suspend p 1");
        rig.clock.advance(seconds(86_400 * 366));
        rig.nothing_told();
    }

    #[test]
    fn after_the_end_nobody_is_suspended_or_released() {
        let rig = rig(&[Suspended::For(Some(seconds(1)))], &[]);
        rig.trip("p", 1);
        assert_eq!(rig.told(), "suspend p 1");
        assert!(rig.supervisor.end(Instant::now() + seconds(20)));
        assert!(rig.supervisor.end(Instant::now()), "again is nothing new");
        rig.supervisor.overrun(Trip {
            plugin: "p".into(),
            generation: 1,
            arming: 2,
            excess: Excess { reason: SuspensionReason::Slow, text: String::new() },
        });
        assert!(rig.supervisor.state.lock().trips.is_empty());
        assert!(rig.told.recv_timeout(seconds(20)).is_err(), "nobody is left who could ask");
    }
}
