//! Time as the engines see it: a clock that is handed in, and the alarm that a thread sleeps on.
//!
//! No engine asks the operating system for the time or sleeps by itself, so a test moves the hands and the
//! threads follow. Whoever makes the engines (`host.rs`) gives them one [`SystemClock`].

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::{Condvar, Mutex};

/// How far [`Clock::coarse`] may be behind: some steps of a system that counts a hundred a second, and then some, for
/// threads of virtual machines that get no processor for a while.
pub(crate) const MOST_BEHIND: Duration = Duration::from_millis(250);

/// The longest step of a coarse clock that is known: that of a system that counts a hundred a second.
const LONGEST_STEP: Duration = Duration::from_millis(10);

/// Two times and a way to sleep.
pub(crate) trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01 UTC, rounded down. May step in both directions.
    fn now_ms(&self) -> i64;

    /// Time since some fixed moment. Never steps and never goes back; it may stand still while the machine sleeps.
    fn monotonic(&self) -> Duration;

    /// `monotonic()`, for less: never ahead of it, and behind by less than [`MOST_BEHIND`] unless the machine stands still.
    fn coarse(&self) -> Duration {
        self.monotonic()
    }

    /// A new alarm for one thread to sleep on.
    fn alarm(&self) -> Arc<Alarm>;

    /// Sleeps until `alarm` rings or `monotonic()` reaches `until`, whichever is first. A ring from before the
    /// call counts; several rings before one waking are one.
    fn wait(&self, alarm: &Alarm, until: Option<Duration>);
}

/// What a thread sleeps on and others ring. Made by [`Clock::alarm`], slept on with [`Clock::wait`].
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    state: Mutex<AlarmState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct AlarmState {
    rung: bool,
    /// For the manual clock, which must know when its threads have nothing more to do.
    #[cfg(test)]
    sleeper: Sleeper,
}

#[cfg(test)]
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Sleeper {
    /// Nobody has slept here yet.
    #[default]
    None,
    Awake,
    Asleep {
        until: Option<Duration>,
    },
}

impl Alarm {
    /// Wakes the thread that sleeps on it, or the next one that would.
    pub(crate) fn ring(&self) {
        self.state.lock().rung = true;
        self.changed.notify_all();
    }

    /// Nobody will sleep on it any more: the manual clock does not wait for that.
    pub(crate) fn leave(&self) {
        #[cfg(test)]
        {
            let mut state = self.state.lock();
            (state.sleeper, state.rung) = (Sleeper::None, false);
            self.changed.notify_all();
        }
    }
}

/// The clocks of the operating system.
#[derive(Debug)]
pub(crate) struct SystemClock {
    started: Instant,
    coarse: Option<Coarse>,
}

#[derive(Debug)]
struct Coarse {
    read: fn() -> Duration,
    /// What it shows where the clock's time begins, or a little more.
    start: Duration,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), coarse: None }
    }

    /// The same, with a cheap clock beside it that shows the same time in steps of up to 10 ms, less some constant.
    #[must_use]
    pub(crate) fn with_coarse(read: fn() -> Duration) -> Self {
        let started = Instant::now();
        // It is behind by up to a step here and may catch up later, so a step more is taken off.
        Self { started, coarse: Some(Coarse { read, start: read() + LONGEST_STEP }) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => ms(since),
            // Before 1970: rounded down means away from zero.
            Err(before) => -ms(before.duration() + Duration::from_nanos(999_999)),
        }
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    #[inline]
    fn coarse(&self) -> Duration {
        match &self.coarse {
            Some(coarse) => (coarse.read)().saturating_sub(coarse.start),
            None => self.monotonic(),
        }
    }

    fn alarm(&self) -> Arc<Alarm> {
        Arc::default()
    }

    fn wait(&self, alarm: &Alarm, until: Option<Duration>) {
        let until = until.and_then(|until| self.started.checked_add(until));
        let mut state = alarm.state.lock();
        while !state.rung {
            match until {
                None => alarm.changed.wait(&mut state),
                Some(until) => {
                    if alarm.changed.wait_until(&mut state, until).timed_out() {
                        break;
                    }
                }
            }
        }
        state.rung = false;
    }
}

/// A clock for tests: it stands still until somebody moves its hands, and threads that sleep by it wake when
/// their time has come by its hands.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct ManualClock {
    hands: Mutex<Hands>,
    alarms: Mutex<Vec<std::sync::Weak<Alarm>>>,
}

#[cfg(test)]
#[derive(Debug, Clone, Copy)]
struct Hands {
    wall_ms: i64,
    monotonic: Duration,
}

#[cfg(test)]
impl ManualClock {
    /// A clock that shows `wall_ms`.
    pub(crate) fn at(wall_ms: i64) -> Arc<Self> {
        let hands = Hands { wall_ms, monotonic: Duration::from_secs(1000) };
        Arc::new(Self { hands: Mutex::new(hands), alarms: Mutex::default() })
    }

    /// Time passes: both clocks move. Returns when every thread that sleeps by this clock has done what was
    /// due and sleeps again.
    pub(crate) fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).expect("a test's span is short");
        self.move_hands(|hands| {
            hands.wall_ms += ms;
            hands.monotonic += by;
        });
    }

    /// Somebody sets the wall clock; monotonic time does not move. Threads that sleep by monotonic time do not
    /// notice, as with a real clock.
    pub(crate) fn set_wall(&self, wall_ms: i64) {
        self.hands.lock().wall_ms = wall_ms;
    }

    /// Waits until every thread that sleeps by this clock has nothing left to do now.
    ///
    /// # Panics
    ///
    /// After 20 s of real time: a thread hangs, or never sleeps.
    pub(crate) fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let alarms = self.alarms.lock().clone();
        for alarm in alarms {
            // Not held while it is waited for: the thread that slept on it may end, and then nobody says so.
            while let Some(alarm) = alarm.upgrade() {
                let mut state = alarm.state.lock();
                if self.is_settled(&state) {
                    break;
                }
                assert!(Instant::now() < deadline, "a thread of this clock never came to rest");
                alarm.changed.wait_for(&mut state, Duration::from_millis(10));
            }
        }
    }

    /// Waits until so many threads sleep by this clock.
    ///
    /// # Panics
    ///
    /// After 20 s of real time: there are not so many.
    pub(crate) fn until_asleep(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let alarms: Vec<_> = self.alarms.lock().iter().filter_map(std::sync::Weak::upgrade).collect();
            let sleeps = |alarm: &&Arc<Alarm>| matches!(alarm.state.lock().sleeper, Sleeper::Asleep { .. });
            let asleep = alarms.iter().filter(sleeps).count();
            if asleep >= count {
                return;
            }
            assert!(Instant::now() < deadline, "{asleep} threads sleep by this clock, not {count}");
            std::thread::yield_now();
        }
    }

    fn is_settled(&self, state: &AlarmState) -> bool {
        let idle = match state.sleeper {
            Sleeper::None => true,
            Sleeper::Awake => false,
            Sleeper::Asleep { until } => until.is_none_or(|until| until > self.monotonic()),
        };
        idle && !state.rung
    }

    fn move_hands(&self, turn: impl FnOnce(&mut Hands)) {
        turn(&mut self.hands.lock());
        for alarm in self.alarms.lock().iter().filter_map(std::sync::Weak::upgrade) {
            // Taking the lock orders this with a sleeper between its look at the hands and its sleep.
            drop(alarm.state.lock());
            alarm.changed.notify_all();
        }
        self.settle();
    }
}

#[cfg(test)]
impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.hands.lock().wall_ms
    }

    fn monotonic(&self) -> Duration {
        self.hands.lock().monotonic
    }

    fn alarm(&self) -> Arc<Alarm> {
        let alarm = Arc::default();
        let mut alarms = self.alarms.lock();
        alarms.retain(|old| old.strong_count() > 0);
        alarms.push(Arc::downgrade(&alarm));
        alarm
    }

    fn wait(&self, alarm: &Alarm, until: Option<Duration>) {
        let mut state = alarm.state.lock();
        state.sleeper = Sleeper::Asleep { until };
        alarm.changed.notify_all();
        while !state.rung && until.is_none_or(|until| self.monotonic() < until) {
            alarm.changed.wait(&mut state);
        }
        state.rung = false;
        state.sleeper = Sleeper::Awake;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_never_wakes_early() {
        let clock = SystemClock::new();
        let alarm = clock.alarm();
        let until = clock.monotonic() + Duration::from_millis(3);
        clock.wait(&alarm, Some(until));
        assert!(clock.monotonic() >= until);
    }

    #[test]
    fn a_ring_before_the_wait_counts_once() {
        let clock = SystemClock::new();
        let alarm = clock.alarm();
        alarm.ring();
        alarm.ring();
        clock.wait(&alarm, None);
        let until = clock.monotonic() + Duration::from_millis(3);
        clock.wait(&alarm, Some(until));
        assert!(clock.monotonic() >= until, "the second wait was not ended by an old ring");
    }

    #[test]
    fn a_ring_wakes_a_sleeper() {
        let clock = Arc::new(SystemClock::new());
        let alarm = clock.alarm();
        let sleeper = std::thread::spawn({
            let (clock, alarm) = (Arc::clone(&clock), Arc::clone(&alarm));
            move || clock.wait(&alarm, None)
        });
        alarm.ring();
        sleeper.join().expect("the sleeper woke");
    }

    #[test]
    fn the_coarse_clock_is_never_ahead_and_not_far_behind() {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        // As a system's own does: in steps of 10 ms.
        fn stepping() -> Duration {
            let ms = START.elapsed().as_millis() as u64;
            Duration::from_millis(1_000_000 + ms / 10 * 10)
        }
        let clock = SystemClock::with_coarse(stepping);
        let until = clock.monotonic() + Duration::from_millis(60);
        let mut closest = Duration::MAX;
        while clock.monotonic() < until {
            let coarse = clock.coarse();
            let exact = clock.monotonic();
            assert!(coarse <= exact, "{coarse:?} is ahead of {exact:?}");
            closest = closest.min(exact - coarse);
        }
        assert!(closest < MOST_BEHIND, "behind by {closest:?}");
    }

    #[test]
    fn the_system_clock_shows_this_century() {
        let now = SystemClock::new().now_ms();
        assert!((1_600_000_000_000..4_200_000_000_000).contains(&now), "{now}");
    }
}
