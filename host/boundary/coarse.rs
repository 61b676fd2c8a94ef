//! A clock that costs a few nanoseconds to read and goes in steps of some milliseconds: for what is asked of every
//! handler, where the exact time would cost more than what it tells.

use std::time::Duration;

/// A moment of it. Two of them differ by what has passed, give or take a step; of many such differences the steps even
/// out, so that their sum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn now() -> Self {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: it writes to `now` and fails only for clocks that are not there; this one is, since Linux 2.6.32.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
        Self(Duration::new(now.tv_sec as u64, now.tv_nsec as u32))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn now() -> Self {
        static START: std::sync::LazyLock<std::time::Instant> =
            std::sync::LazyLock::new(std::time::Instant::now);
        Self(START.elapsed())
    }

    /// What has passed since an earlier one.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// What has passed since the beginning, which is the same for all of them.
    pub(crate) fn since_start(self) -> Duration {
        self.0
    }
}
