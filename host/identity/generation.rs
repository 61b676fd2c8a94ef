//! Seats: where a live generation keeps what every call may ask of it, found by index without a lock.

use std::sync::atomic::{AtomicU8, Ordering::*};

use parking_lot::Mutex;

/// How many generations can be alive in a process at once, retired ones included.
const SEATS: usize = 4096;

/// Where a generation is in its life; decides what its calls may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// In `load` or `restore`: registers, but does not act.
    Preparing,
    /// Everything is allowed.
    Live,
    /// From the start of `disable` on: flushes, but neither registers nor waits.
    Stopping,
}

static PHASES: [AtomicU8; SEATS] = [const { AtomicU8::new(0) }; SEATS];
static FREE: Mutex<(Vec<u16>, usize)> = Mutex::new((Vec::new(), 0));

/// One generation's seat; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat(u16);

impl Seat {
    pub(crate) const COUNT: usize = SEATS;

    /// Takes a free seat, in the phase `Preparing`; `None` if all are taken.
    pub(crate) fn take() -> Option<Self> {
        let mut free = FREE.lock();
        let (returned, fresh) = &mut *free;
        let index = returned.pop().or_else(|| {
            (*fresh < SEATS).then(|| {
                *fresh += 1;
                (*fresh - 1) as u16
            })
        })?;
        PHASES[usize::from(index)].store(Phase::Preparing as u8, Release);
        Some(Self(index))
    }

    pub(crate) fn index(&self) -> u16 {
        self.0
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        PHASES[usize::from(self.0)].store(phase as u8, Release);
    }

    /// The phase of the generation in seat `index`.
    #[inline]
    pub(crate) fn phase(index: u16) -> Phase {
        match PHASES[usize::from(index) % SEATS].load(Acquire) {
            0 => Phase::Preparing,
            1 => Phase::Live,
            _ => Phase::Stopping,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        FREE.lock().0.push(self.0);
    }
}
