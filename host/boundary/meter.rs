//! Calls per second: the quota that an operator may set for a plugin, and for each tenant that it serves.
//!
//! Off by default, and then it costs nothing: the grants of a metered plugin let no call through at once, so that only
//! its calls come here. The rule is the generic cell rate algorithm (ITU-T I.371): a second's worth of calls may come
//! at once, and from then on one each `1/rate` seconds.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};

const SECOND_NS: i64 = 1_000_000_000;

/// How many tenants are remembered before those that have been quiet for a second are forgotten.
const TENANTS: usize = 256;

/// The meter of one plugin.
pub(crate) struct Meter {
    plugin: Arc<str>,
    rate: Option<u32>,
    theirs: Cell,
    tenant_rate: Option<u32>,
    tenants: Mutex<Tenants>,
}

#[derive(Default)]
struct Tenants {
    cells: HashMap<u64, Cell>,
    /// When there are that many, the quiet ones are looked for.
    look_at: usize,
}

/// When, in nanoseconds, everything that was let through would have come at the rate.
#[derive(Default)]
struct Cell(AtomicI64);

impl Meter {
    /// A meter for calls of a plugin, and for those of each of its tenants; none if there is no quota.
    pub(crate) fn new(plugin: &Arc<str>, rate: Option<u32>, tenant_rate: Option<u32>) -> Option<Self> {
        (rate.is_some() || tenant_rate.is_some()).then(|| Self {
            plugin: plugin.clone(),
            rate,
            theirs: Cell::default(),
            tenant_rate,
            tenants: Mutex::new(Tenants { cells: HashMap::new(), look_at: TENANTS }),
        })
    }

    /// Lets one call through, or answers QUOTA. `now`: since any fixed moment.
    pub(crate) fn take(&self, tenant: u64, now: Duration) -> Result<()> {
        // In 146 years, when this is reached, the quota no longer fills up; nothing overflows.
        let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX).min(i64::MAX / 2);
        // A tenant that is refused uses nothing up of what the others share.
        if let Some(rate) = self.tenant_rate
            && !self.tenants.lock().take(tenant, rate, now)
        {
            return Err(self.refused(rate, "tenant_calls_per_second", " for one tenant"));
        }
        match self.rate {
            Some(rate) if !self.theirs.take(rate, now) => Err(self.refused(rate, "calls_per_second", "")),
            _ => Ok(()),
        }
    }

    fn refused(&self, rate: u32, key: &'static str, whose: &'static str) -> Error {
        let plugin = self.plugin.clone();
        Error::lazy(ErrorKind::Quota, move || {
            format!(
                "it calls the host more than {rate} times a second{whose}: call less often, or raise plugin.{plugin}.quota.{key} in the host's settings"
            )
        })
        .of(self.plugin.clone())
    }
}

impl Tenants {
    fn take(&mut self, tenant: u64, rate: u32, now: i64) -> bool {
        if self.cells.len() >= self.look_at && !self.cells.contains_key(&tenant) {
            self.cells.retain(|_, cell| cell.0.load(Relaxed) > now);
            self.look_at = TENANTS.max(2 * self.cells.len());
        }
        self.cells.entry(tenant).or_default().take(rate, now)
    }
}

impl Cell {
    fn take(&self, rate: u32, now: i64) -> bool {
        let each = SECOND_NS / i64::from(rate.max(1));
        let step = |due: i64| {
            let due = due.max(now);
            (due - now <= SECOND_NS - each).then_some(due + each)
        };
        self.0.fetch_update(Relaxed, Relaxed, step).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(rate: Option<u32>, tenant_rate: Option<u32>) -> Meter {
        Meter::new(&"greedy".into(), rate, tenant_rate).expect("there is a quota")
    }

    fn let_through(meter: &Meter, tenant: u64, now_ms: u64, calls: u32) -> u32 {
        let now = Duration::from_millis(now_ms);
        (0..calls).map(|_| u32::from(meter.take(tenant, now).is_ok())).sum()
    }

    #[test]
    fn everywhere_10_a_seconds_worth_comes_at_once_and_then_one_each_part_of_a_second() {
        let meter = meter(Some(5), None);
        assert_eq!(let_through(&meter, 0, 0, 10), 5);
        assert_eq!(let_through(&meter, 0, 199, 10), 0);
        assert_eq!(let_through(&meter, 0, 200, 10), 1);
        assert_eq!(let_through(&meter, 0, 1_000, 10), 4);
        assert_eq!(let_through(&meter, 0, 60_000, 100), 5, "what was not used is not saved up");
    }

    #[test]
    fn everywhere_10_a_tenant_that_is_refused_takes_nothing_from_the_others() {
        let meter = meter(Some(6), Some(2));
        assert_eq!(let_through(&meter, 1, 0, 100), 2);
        assert_eq!(let_through(&meter, 2, 0, 100), 2);
        assert_eq!(let_through(&meter, 0, 0, 100), 2, "the system scope is one of them");
        assert_eq!(let_through(&meter, 3, 0, 100), 0, "now the plugin as a whole has had its share");
        let error = meter.take(1, Duration::ZERO).expect_err("above the quota");
        assert_eq!(error.kind(), ErrorKind::Quota);
        assert_eq!(
            error.to_string(),
            "plugin \"greedy\": it calls the host more than 2 times a second for one tenant: call less often, or raise plugin.greedy.quota.tenant_calls_per_second in the host's settings"
        );
    }

    #[test]
    fn everywhere_10_holds_at_the_ends_of_rates_and_of_the_clock() {
        let far = [0, 1, 999_999_999, i64::MAX as u64 / 2, i64::MAX as u64 - 1, u64::MAX];
        let moments = far.map(Duration::from_nanos).into_iter().chain([Duration::MAX]);
        for now in moments {
            for (rate, tried, expected) in [
                (1, 5, 1),
                (2, 5, 2),
                (3, 5, 3),
                (7, 9, 7),
                (999, 2_000, 999),
                (1_000_000_000, 2_000, 2_000),
                (u32::MAX, 2_000, 2_000),
            ] {
                for meter in [meter(Some(rate), None), meter(None, Some(rate))] {
                    let through = (0..tried).filter(|_| meter.take(1, now).is_ok()).count();
                    assert_eq!(through, expected, "{rate} a second at {now:?}");
                }
            }
        }
        let once = meter(Some(1), None);
        let at = |ms| once.take(0, Duration::from_millis(ms)).is_ok();
        assert_eq!([0, 999, 1_000, 1_999, 2_000, 9_000].map(at), [true, false, true, false, true, true]);
    }

    #[test]
    fn everywhere_10_threads_at_once_get_no_more_than_one_alone() {
        for (meter, calls) in [(meter(Some(500), None), 500), (meter(None, Some(500)), 500)] {
            let through = AtomicI64::new(0);
            std::thread::scope(|threads| {
                for _ in 0..4 {
                    threads.spawn(|| {
                        let taken = (0..1_000).filter(|_| meter.take(7, Duration::ZERO).is_ok()).count();
                        through.fetch_add(taken as i64, Relaxed);
                    });
                }
            });
            assert_eq!(through.into_inner(), calls);
        }
    }

    #[test]
    fn tenants_that_are_quiet_are_forgotten() {
        let meter = meter(None, Some(1));
        for tenant in 0..100_000 {
            assert_eq!(let_through(&meter, tenant, tenant * 10, 1), 1);
        }
        assert!(meter.tenants.lock().cells.len() <= 2 * TENANTS);
    }
}
