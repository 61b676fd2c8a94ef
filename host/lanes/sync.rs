//! The locks, threads and counters of this folder, in one place, so that a model can put its own in theirs:
//! `tests/model` compiles these very files over primitives whose every interleaving can be chosen.

#[cfg(not(pintle_model))]
pub(super) use self::real::*;

#[cfg(pintle_model)]
pub(super) use self::modelled::*;

#[cfg(not(pintle_model))]
mod real {
    pub(in super::super) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
    pub(in super::super) use std::{
        sync::atomic::{AtomicBool, AtomicU64},
        thread::{Builder, JoinHandle},
        thread_local,
    };
}

/// The same shapes over `shuttle`. Its condition variables know no time: a deadline that has passed already is over
/// at once, and every other never comes, so that whoever would have been saved by it shows up as a deadlock.
#[cfg(pintle_model)]
mod modelled {
    use std::{
        ops::{Deref, DerefMut},
        time::{Duration, Instant},
    };

    use shuttle::sync as raw;
    pub(in super::super) use shuttle::{
        sync::atomic::{AtomicBool, AtomicU64},
        thread::{Builder, JoinHandle},
        thread_local,
    };

    #[derive(Default)]
    pub(in super::super) struct Mutex<T>(raw::Mutex<T>);

    pub(in super::super) struct MutexGuard<'a, T> {
        mutex: &'a raw::Mutex<T>,
        /// Always there but inside of a wait.
        held: Option<raw::MutexGuard<'a, T>>,
    }

    impl<T> Mutex<T> {
        pub(in super::super) fn new(value: T) -> Self {
            Self(raw::Mutex::new(value))
        }

        pub(in super::super) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard { mutex: &self.0, held: Some(self.0.lock().expect("no panic happens under a lock")) }
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.held.as_ref().expect("it is held outside of waits")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.held.as_mut().expect("it is held outside of waits")
        }
    }

    #[derive(Default)]
    pub(in super::super) struct RwLock<T>(raw::RwLock<T>);

    impl<T> RwLock<T> {
        pub(in super::super) fn read(&self) -> raw::RwLockReadGuard<'_, T> {
            self.0.read().expect("no panic happens under a lock")
        }

        pub(in super::super) fn write(&self) -> raw::RwLockWriteGuard<'_, T> {
            self.0.write().expect("no panic happens under a lock")
        }
    }

    pub(in super::super) struct Condvar(raw::Condvar);

    pub(in super::super) struct TimedOut(bool);

    impl TimedOut {
        pub(in super::super) fn timed_out(&self) -> bool {
            self.0
        }
    }

    impl Condvar {
        pub(in super::super) fn new() -> Self {
            Self(raw::Condvar::new())
        }

        pub(in super::super) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(in super::super) fn notify_all(&self) {
            self.0.notify_all();
        }

        pub(in super::super) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.held.take().expect("it is held outside of waits");
            guard.held = Some(self.0.wait(held).expect("no panic happens under a lock"));
        }

        pub(in super::super) fn wait_until<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            deadline: Instant,
        ) -> TimedOut {
            if deadline > Instant::now() {
                self.wait(guard);
                return TimedOut(false);
            }
            drop(guard.held.take());
            shuttle::thread::yield_now();
            guard.held = Some(guard.mutex.lock().expect("no panic happens under a lock"));
            TimedOut(true)
        }

        pub(in super::super) fn wait_for<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            span: Duration,
        ) -> TimedOut {
            self.wait_until(guard, Instant::now() + span)
        }
    }
}
