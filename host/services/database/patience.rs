//! Until when a caller waits for a statement, and whether there is still somebody who does.

use std::time::Duration;

use super::super::clock::Clock;
use crate::error::{Error, ErrorKind, Result};

/// How often somebody who waits for others looks whether his caller still waits for him.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// Who waits, and until when.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// In the clock's monotonic time.
    pub(crate) until: Duration,
    pub(crate) caller: Caller,
}

/// On whose behalf a statement runs: asked from time to time whether it should go on.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    /// What `gone` knows it by.
    pub(crate) id: u64,
    /// None: it still waits; else why nobody does.
    pub(crate) gone: fn(u64) -> Option<Gone>,
}

/// Why nobody waits for a statement any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The caller of the running function has given up.
    GivenUp,
    /// The context is over: its plugin is unloaded, say.
    Over,
}

impl Caller {
    /// One that always waits.
    pub(crate) const PATIENT: Self = Self { id: 0, gone: |_| None };
}

impl Gone {
    pub(super) fn error(self) -> Error {
        match self {
            Self::GivenUp => Error::new(
                ErrorKind::Cancelled,
                "the caller of this function has given up: the statement was stopped",
            ),
            Self::Over => Error::new(
                ErrorKind::StaleHandle,
                "the context ended while the statement ran: it was stopped",
            ),
        }
    }
}

impl Patience {
    /// Fails if there is nobody to go on for; tells until when to sleep at most before the next look.
    pub(super) fn next_look(&self, clock: &dyn Clock, late: impl FnOnce() -> Error) -> Result<Duration> {
        if let Some(gone) = (self.caller.gone)(self.caller.id) {
            return Err(gone.error());
        }
        let now = clock.monotonic();
        if now >= self.until {
            return Err(late());
        }
        Ok(self.until.min(now + LOOK))
    }
}
