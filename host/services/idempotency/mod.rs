//! Idempotency: operations that must happen once however often they are asked for. Of all who begin one under the same
//! key one starts, and the others are told what became of it.
//!
//! [`Idempotency`] is the front that the table calls: it knows limits and lifetimes, and draws the tokens, the same for
//! every store. [`IdempotencyStore`] is what a store does; `ledger.rs` is the one that is always there, `upkeep.rs` its
//! thread, [`record`] says what is kept.

mod ledger;
mod record;
mod store;
mod upkeep;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod ledger_tests;
#[cfg(test)]
mod model;

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

pub(crate) use self::{
    ledger::{LedgerIdempotency, SCHEMA},
    record::{Address, Ending, Known, Start, State, Token},
    store::IdempotencyStore,
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
};

/// The most bytes that a fingerprint may have.
pub(crate) const LONGEST_FINGERPRINT: usize = 256;

/// The longest lease: a day.
pub(crate) const LONGEST_LEASE_MS: i64 = 86_400_000;

/// The longest time that a result is kept: a year.
pub(crate) const LONGEST_KEEP_MS: i64 = 31_536_000_000;

/// What holds where a caller does not say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) lease_ms: i64,
    pub(crate) keep_ms: i64,
    /// The most bytes that a result may have.
    pub(crate) largest_result: usize,
}

/// The idempotency service of one host.
pub(crate) struct Idempotency {
    store: Box<dyn IdempotencyStore>,
    limits: Limits,
    tokens: Tokens,
}

impl Idempotency {
    pub(crate) fn new(store: Box<dyn IdempotencyStore>, limits: Limits) -> Self {
        Self { store, limits, tokens: Tokens::default() }
    }

    /// Begins an operation, or tells what became of it. `lease_ms`, `keep_ms`: 0 is the default.
    ///
    /// TOO_LARGE: the fingerprint; OUT_OF_RANGE: a time.
    pub(crate) fn begin(
        &self,
        address: &Address<'_>,
        fingerprint: &[u8],
        lease_ms: i64,
        keep_ms: i64,
    ) -> Result<Known> {
        let len = fingerprint.len();
        if len > LONGEST_FINGERPRINT {
            return Err(Error::lazy(ErrorKind::TooLarge, move || {
                format!(
                    "argument `fingerprint`: {len} bytes, at most {LONGEST_FINGERPRINT} are taken: pass a hash of it"
                )
            }));
        }
        let lease_ms = time("lease_ms", lease_ms, LONGEST_LEASE_MS)?.unwrap_or(self.limits.lease_ms);
        let keep_ms = time("keep_ms", keep_ms, LONGEST_KEEP_MS)?.unwrap_or(self.limits.keep_ms);
        let start = Start { fingerprint, token: self.tokens.draw(), lease_ms, keep_ms };
        self.store.begin(address, &start)
    }

    /// Ends what was started under this token with its result.
    ///
    /// CONFLICT: the token counts no more; TOO_LARGE; INVALID_ARGUMENT: it is no token.
    pub(crate) fn complete(&self, scope: &DataScope<'_>, token: Token, result: &[u8]) -> Result<()> {
        self.check(token, "result", result)?;
        self.store.end(scope, token, Ending::Done(result))
    }

    /// Ends what was started under this token, and has failed: for good, so that `error` is kept, or not.
    ///
    /// As [`complete`](Self::complete).
    pub(crate) fn fail(&self, scope: &DataScope<'_>, token: Token, keep: bool, error: &[u8]) -> Result<()> {
        self.check(token, "error", error)?;
        self.store.end(scope, token, if keep { Ending::Failed(error) } else { Ending::Dropped })
    }

    /// From now on others keep off for another while. `lease_ms`: 0 is as long as it was begun for.
    ///
    /// CONFLICT: the token counts no more; OUT_OF_RANGE; INVALID_ARGUMENT: it is no token.
    pub(crate) fn renew(&self, scope: &DataScope<'_>, token: Token, lease_ms: i64) -> Result<()> {
        self.check(token, "result", &[])?;
        self.store.renew(scope, token, time("lease_ms", lease_ms, LONGEST_LEASE_MS)?)
    }

    /// What became of an operation, abandoned ones included.
    pub(crate) fn look(&self, address: &Address<'_>) -> Result<Option<Known>> {
        self.store.look(address)
    }

    /// Removes what is known of an operation; tells whether there was something.
    pub(crate) fn forget(&self, address: &Address<'_>) -> Result<bool> {
        self.store.forget(address)
    }

    /// Whether anything is known of a plugin's operations.
    pub(crate) fn knows(&self, plugin: &str) -> Result<bool> {
        self.store.knows(plugin)
    }

    /// Nobody is to call it any more.
    pub(crate) fn close(&self) {
        self.store.close();
    }

    fn check(&self, token: Token, name: &'static str, value: &[u8]) -> Result<()> {
        if token == 0 {
            return Err(Error::argument("token", "is 0, which no start has: pass what `begin` told"));
        }
        let (len, largest) = (value.len(), self.limits.largest_result);
        if len > largest {
            return Err(Error::lazy(ErrorKind::TooLarge, move || {
                format!(
                    "argument `{name}`: {len} bytes, at most {largest} are taken (idempotency.max_result in the settings)"
                )
            }));
        }
        Ok(())
    }
}

/// A time that a caller gives; none for 0, which is the default.
fn time(name: &'static str, ms: i64, longest: i64) -> Result<Option<i64>> {
    match ms {
        0 => Ok(None),
        ms if (1..=longest).contains(&ms) => Ok(Some(ms)),
        ms => Err(Error::lazy(ErrorKind::OutOfRange, move || {
            format!("argument `{name}`: {ms}, 1 to {longest} are taken, 0 is the default")
        })),
    }
}

/// Where tokens come from: a hash, keyed with what the system has of randomness, of numbers that do not repeat. Whoever
/// has seen some of them cannot tell the next. That two are alike is as likely as with any random 64 bits; the store takes
/// no second record with the same one.
#[derive(Default)]
struct Tokens {
    random: RandomState,
    drawn: AtomicU64,
}

impl Tokens {
    fn draw(&self) -> Token {
        loop {
            let token = self.random.hash_one(self.drawn.fetch_add(1, Relaxed));
            if token != 0 {
                return token;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Tokens;

    #[test]
    fn tokens_differ_within_a_host_and_between_hosts_and_do_not_count_up() {
        let hosts = [Tokens::default(), Tokens::default()];
        let drawn: Vec<u64> = hosts.iter().flat_map(|host| (0..10_000).map(|_| host.draw())).collect();
        assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), drawn.len());
        assert!(!drawn.contains(&0));
        // Each bit is set in about half of them: 10 standard deviations are 1,414.
        for bit in 0..64 {
            let set = drawn.iter().filter(|token| *token >> bit & 1 == 1).count();
            assert!(set.abs_diff(drawn.len() / 2) < 710, "bit {bit} is set in {set} of {}", drawn.len());
        }
    }
}
