//! What is counted of a plugin: its calls by service and by tenant, how long they take, and the handlers that were run.
//!
//! Calls are counted on pages of the thread's own ([`thread`](super::thread)), by the account that their context names.
//! Here is who has which account: one for the system scope, one for each tenant up to a bound, and one for all others.
//! Times of single calls are taken of one call in [`SAMPLE`].

use std::{
    collections::{HashMap, VecDeque},
    ops::{AddAssign, SubAssign},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{budget::Watch, coarse::Moment, thread::counted};
use crate::{
    error::ErrorKind,
    identity::{Account, Method, Service, Tenant, Tenants},
    stats::{CallStats, HandlerStats, TenantCallStats, TenantStats, Times},
};

/// One call in so many is timed.
pub(crate) const SAMPLE: u64 = 64;

/// Whether calls of this method are timed at all. Those that only look at the running call are not: they take two
/// nanoseconds, and even one look at the clock in 1,024 of them would be felt.
#[inline]
pub(crate) const fn is_timed(method: Method) -> bool {
    !matches!(method, Method::Remaining | Method::Scope | Method::SetError | Method::LogEnabled)
}

/// How long nobody must have used a tenant before it makes room for another. Where tenants come and go by the thousand
/// the same few are told for a while, rather than others at each moment, and moving counts costs next to nothing.
const QUIET: Duration = Duration::from_secs(600);

/// How many tenants are looked at, when there is no room, for one that nobody uses any more.
const LOOKED_AT: usize = 8;

/// What was counted of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// By service.
    pub(super) services: [ServiceTally; Service::ROOM],
    /// Items of the cache that were asked for and there; notes that there is nothing are among them, because they spare
    /// whoever asks the loading.
    pub(crate) cache_hits: u64,
    /// Items of the cache that were asked for and not there.
    pub(crate) cache_misses: u64,
}

/// What was counted of the calls to one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceTally {
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) bytes: u64,
}

impl Tally {
    pub(crate) fn of(&self, service: Service) -> ServiceTally {
        self.services[service as usize]
    }

    /// Over all services.
    pub(crate) fn total(&self) -> ServiceTally {
        let mut total = ServiceTally::default();
        for service in &self.services {
            total += *service;
        }
        total
    }
}

impl AddAssign for ServiceTally {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.bytes += other.bytes;
    }
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Self) {
        for (sum, other) in self.services.iter_mut().zip(&other.services) {
            *sum += *other;
        }
        self.cache_hits += other.cache_hits;
        self.cache_misses += other.cache_misses;
    }
}

impl SubAssign<&Tally> for Tally {
    fn sub_assign(&mut self, other: &Self) {
        for (sum, other) in self.services.iter_mut().zip(&other.services) {
            sum.calls -= other.calls;
            sum.failures -= other.failures;
            sum.bytes -= other.bytes;
        }
        self.cache_hits -= other.cache_hits;
        self.cache_misses -= other.cache_misses;
    }
}

/// What a handler is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandlerKind {
    Event,
    Job,
    Watch,
    Call,
}

impl HandlerKind {
    const ALL: [Self; 4] = [Self::Event, Self::Job, Self::Watch, Self::Call];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Job => "job",
            Self::Watch => "watch",
            Self::Call => "call",
        }
    }

    /// Whether such a failure speaks against the plugin. What it answers to a call may be the caller's fault, and no plugin
    /// is to get another one suspended.
    fn is_at_fault(self, failure: ErrorKind) -> bool {
        match self {
            Self::Event | Self::Job | Self::Watch => true,
            Self::Call => matches!(failure, ErrorKind::Internal | ErrorKind::Panic),
        }
    }
}

/// What is counted of one plugin, over all of its versions and generations in one host.
pub(crate) struct PluginMetrics {
    /// Calls and handlers in the system scope.
    own: Behalf,
    tenants: Mutex<TenantAccounts>,
    /// How many tenants are counted on their own.
    most: usize,
    /// How long one must have been quiet to make room, in milliseconds.
    quiet_ms: u64,
    /// How long calls to the host take, by service.
    times: [Histogram; Service::ROOM],
    handlers: [HandlerMetrics; HandlerKind::ALL.len()],
    emitted: AtomicU64,
    /// None unless the operator has set budgets.
    watch: Option<Watch>,
}

/// On whose behalf calls are made, and what is counted of them.
struct Behalf {
    /// The number that the tenant had last.
    tenant: AtomicU64,
    /// When a handler was last run on its behalf, in milliseconds of the coarse clock.
    used_ms: AtomicU64,
    /// The number of the account.
    account: u16,
    counted: Mutex<Counted>,
    handled: AtomicU64,
    failed: AtomicU64,
    busy_ns: AtomicU64,
}

/// What was counted on an account since it was taken, and what was taken over from others.
struct Counted {
    /// None where there was none to be had, and after the end.
    account: Option<Account>,
    /// What had been counted on it before.
    before: Tally,
    /// What is added to that.
    kept: Tally,
}

#[derive(Default)]
struct TenantAccounts {
    by_name: HashMap<Arc<str>, Arc<Behalf>>,
    /// The same, those that were looked at least lately in front.
    order: VecDeque<Arc<str>>,
    /// When it is worth while to look for room again.
    look_at_ms: u64,
    others: Option<Arc<Behalf>>,
}

/// What is counted of the handlers of one kind.
#[derive(Default)]
struct HandlerMetrics {
    handled: AtomicU64,
    failed: AtomicU64,
    slow: AtomicU64,
    busy_ns: AtomicU64,
    times: Histogram,
}

/// How long things took.
#[derive(Default)]
struct Histogram {
    buckets: [AtomicU64; Times::BOUNDS_NS.len() + 1],
    sum_ns: AtomicU64,
}

/// A handler that runs. Counted by `end`; one that did not begin after all is just dropped.
pub(crate) struct Handling<'m> {
    metrics: &'m PluginMetrics,
    /// None: in the system scope.
    behalf: Option<Arc<Behalf>>,
    kind: HandlerKind,
    begun: Moment,
    /// If it is timed.
    exactly: Option<Instant>,
    /// Whether it is timed for the histogram, not for a budget alone.
    sampled: bool,
}

impl PluginMetrics {
    /// `most`: how many tenants are counted on their own.
    pub(crate) fn new(most: usize) -> Self {
        Self::with_quiet(most, QUIET)
    }

    fn with_quiet(most: usize, quiet: Duration) -> Self {
        Self {
            own: Behalf::new(Tenant::SYSTEM, Account::take()),
            tenants: Mutex::default(),
            most,
            quiet_ms: quiet.as_millis() as u64,
            times: Default::default(),
            handlers: Default::default(),
            emitted: AtomicU64::new(0),
            watch: None,
        }
    }

    /// With somebody who watches its handlers.
    pub(crate) fn watched(self, watch: Option<Watch>) -> Self {
        Self { watch, ..self }
    }

    /// Who watches its handlers, if anybody does.
    pub(crate) fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// The account of the system scope.
    pub(crate) fn account(&self) -> u16 {
        self.own.account
    }

    /// A handler is about to run on behalf of `tenant`, which is held until it has ended.
    #[inline]
    pub(crate) fn begin(&self, kind: HandlerKind, tenant: &Tenant, tenants: &Tenants) -> Handling<'_> {
        let begun = Moment::now();
        let behalf = (tenant.number() != Tenant::SYSTEM)
            .then(|| self.behalf(tenant, tenants, begun.since_start().as_millis() as u64));
        let sampled = self.handlers[kind as usize].handled.load(Relaxed).is_multiple_of(SAMPLE);
        let is_timed = sampled || self.watch.as_ref().is_some_and(Watch::times_handlers);
        let exactly = is_timed.then(Instant::now);
        Handling { metrics: self, behalf, kind, begun, exactly, sampled }
    }

    /// Notes how long a call to a service took.
    #[cold]
    pub(crate) fn time(&self, service: Service, ns: u64) {
        self.times[service as usize].note(ns);
    }

    /// Notes that it has published an event.
    pub(crate) fn count_emitted(&self) {
        self.emitted.fetch_add(1, Relaxed);
    }

    /// How many events it has published.
    pub(crate) fn emitted(&self) -> u64 {
        self.emitted.load(Relaxed)
    }

    /// How many handlers and calls by message have run, and how many of them failed.
    pub(crate) fn handled(&self) -> (u64, u64) {
        self.handlers.iter().fold((0, 0), |(handled, failed), kind| {
            (handled + kind.handled.load(Relaxed), failed + kind.failed.load(Relaxed))
        })
    }

    /// Its calls to the host, for all tenants.
    pub(crate) fn tally(&self) -> Tally {
        let mut sum = self.own.counted.lock().tally();
        let tenants = self.tenants.lock();
        for behalf in tenants.by_name.values().chain(&tenants.others) {
            sum += &behalf.counted.lock().tally();
        }
        sum
    }

    /// Its calls to the host by service, for all tenants.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (&'static str, CallStats)> {
        let tally = self.tally();
        Service::ALL.into_iter().filter_map(move |service| {
            let ServiceTally { calls, failures, bytes } = tally.of(service);
            let times = self.times[service as usize].times();
            (calls > 0).then_some((service.name(), CallStats { calls, failed: failures, bytes, times }))
        })
    }

    /// The handlers that were run, by kind.
    pub(crate) fn handlers(&self) -> impl Iterator<Item = (&'static str, HandlerStats)> {
        let timed = self.watch.as_ref().is_some_and(Watch::times_handlers);
        HandlerKind::ALL.into_iter().zip(&self.handlers).filter_map(move |(kind, metrics)| {
            let handled = metrics.handled.load(Relaxed);
            let stats = HandlerStats {
                handled,
                failed: metrics.failed.load(Relaxed),
                slow: timed.then(|| metrics.slow.load(Relaxed)),
                busy_ms: metrics.busy_ns.load(Relaxed) / 1_000_000,
                times: metrics.times.times(),
            };
            (handled > 0).then_some((kind.name(), stats))
        })
    }

    /// Calls and handlers by tenant: the system scope, those with an account of their own by name, and the others.
    pub(crate) fn tenants(&self) -> Vec<TenantStats> {
        let tenants = self.tenants.lock();
        let mut named: Vec<_> = tenants.by_name.iter().collect();
        named.sort_unstable_by_key(|(name, _)| Arc::clone(name));
        let system = [self.own.stats(Some(""))].into_iter();
        let named = named.into_iter().map(|(name, behalf)| behalf.stats(Some(name)));
        let others = tenants.others.iter().map(|behalf| behalf.stats(None));
        system
            .chain(named)
            .chain(others)
            .filter(|stats| stats.handled > 0 || !stats.calls.is_empty())
            .collect()
    }

    /// No call is made any more: gives the accounts back and keeps what was counted.
    pub(crate) fn close(&self) {
        self.own.counted.lock().close();
        let tenants = self.tenants.lock();
        for behalf in tenants.by_name.values().chain(&tenants.others) {
            behalf.counted.lock().close();
        }
    }

    /// What is counted on behalf of a tenant, which is held meanwhile.
    fn behalf(&self, tenant: &Tenant, tenants: &Tenants, now_ms: u64) -> Arc<Behalf> {
        let mut accounts = self.tenants.lock();
        if let Some(known) = accounts.by_name.get(tenant.name()) {
            known.tenant.store(tenant.number(), Relaxed);
            known.used_ms.store(now_ms, Relaxed);
            return known.clone();
        }
        if (accounts.by_name.len() < self.most || accounts.make_room(tenants, now_ms, self.quiet_ms))
            && let Some(account) = Account::take_for_tenant()
        {
            let new = Arc::new(Behalf::new(tenant.number(), Some(account)));
            new.used_ms.store(now_ms, Relaxed);
            accounts.by_name.insert(tenant.name().clone(), new.clone());
            accounts.order.push_back(tenant.name().clone());
            return new;
        }
        accounts.others().clone()
    }
}

impl TenantAccounts {
    fn others(&mut self) -> &Arc<Behalf> {
        self.others.get_or_insert_with(|| Arc::new(Behalf::new(Tenant::SYSTEM, Account::take())))
    }

    /// Finds one that nobody uses any more and counts it among the others; false if those looked at are all in use.
    fn make_room(&mut self, tenants: &Tenants, now_ms: u64, quiet_ms: u64) -> bool {
        if now_ms < self.look_at_ms {
            return false;
        }
        for _ in 0..LOOKED_AT.min(self.order.len()) {
            let Some(name) = self.order.pop_front() else { return false };
            let Some(behalf) = self.by_name.get(&name) else { continue };
            // A handler that runs holds the one, and a context that lives the other.
            let in_use = now_ms.saturating_sub(behalf.used_ms.load(Relaxed)) < quiet_ms
                || Arc::strong_count(behalf) > 1
                || tenants.numbered(behalf.tenant.load(Relaxed)).is_some();
            if in_use {
                self.order.push_back(name);
                continue;
            }
            if let Some(over) = self.by_name.remove(&name) {
                self.others().take_over(&over);
                return true;
            }
        }
        self.look_at_ms = now_ms + quiet_ms / 100;
        false
    }
}

impl Behalf {
    fn new(tenant: u64, account: Option<Account>) -> Self {
        let counted = Counted::new(account);
        Self {
            tenant: AtomicU64::new(tenant),
            used_ms: AtomicU64::new(0),
            account: counted.account.as_ref().map_or(Account::NOBODY, Account::number),
            counted: Mutex::new(counted),
            handled: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            busy_ns: AtomicU64::new(0),
        }
    }

    fn take_over(&self, over: &Self) {
        self.counted.lock().kept += &over.counted.lock().tally();
        for (sum, over) in
            [(&self.handled, &over.handled), (&self.failed, &over.failed), (&self.busy_ns, &over.busy_ns)]
        {
            sum.fetch_add(over.load(Relaxed), Relaxed);
        }
    }

    fn stats(&self, tenant: Option<&str>) -> TenantStats {
        let tally = self.counted.lock().tally();
        let calls = Service::ALL.into_iter().filter_map(|service| {
            let ServiceTally { calls, failures, bytes } = tally.of(service);
            (calls > 0).then_some((service.name(), TenantCallStats { calls, failed: failures, bytes }))
        });
        TenantStats {
            tenant: tenant.map(Into::into),
            calls: calls.collect(),
            cache_hits: tally.cache_hits,
            cache_misses: tally.cache_misses,
            handled: self.handled.load(Relaxed),
            failed: self.failed.load(Relaxed),
            busy_ms: self.busy_ns.load(Relaxed) / 1_000_000,
        }
    }
}

impl Counted {
    fn new(account: Option<Account>) -> Self {
        let before = account.as_ref().map(|account| counted(account.number())).unwrap_or_default();
        Self { account, before, kept: Tally::default() }
    }

    fn tally(&self) -> Tally {
        let mut sum = self.kept.clone();
        if let Some(account) = &self.account {
            sum += &counted(account.number());
            sum -= &self.before;
        }
        sum
    }

    fn close(&mut self) {
        self.kept = self.tally();
        self.account = None;
    }
}

impl Handling<'_> {
    /// What calls are counted on that the handler makes.
    pub(crate) fn account(&self) -> u16 {
        self.behalf.as_ref().map_or(self.metrics.own.account, |behalf| behalf.account)
    }

    /// It has ended, perhaps with a failure; tells how long it took, give or take some milliseconds.
    pub(crate) fn end(self, failure: Option<ErrorKind>) -> Duration {
        let now = Moment::now();
        let took = now.since(self.begun);
        let busy_ns = took.as_nanos() as u64;
        let exactly = self.exactly.map(|begun| begun.elapsed());
        let kind = &self.metrics.handlers[self.kind as usize];
        if let Some(exactly) = exactly
            && self.sampled
        {
            kind.times.note(exactly.as_nanos() as u64);
        }
        let behalf = self.behalf.as_deref().unwrap_or(&self.metrics.own);
        for (handled, failed, busy) in
            [(&kind.handled, &kind.failed, &kind.busy_ns), (&behalf.handled, &behalf.failed, &behalf.busy_ns)]
        {
            handled.fetch_add(1, Relaxed);
            if failure.is_some() {
                failed.fetch_add(1, Relaxed);
            }
            if busy_ns > 0 {
                busy.fetch_add(busy_ns, Relaxed);
            }
        }
        if let Some(watch) = &self.metrics.watch {
            let slow = exactly.is_some_and(|took| watch.is_slow(took));
            if slow {
                kind.slow.fetch_add(1, Relaxed);
            }
            watch.handled(now, failure.is_some_and(|failure| self.kind.is_at_fault(failure)), slow);
        }
        took
    }
}

impl Histogram {
    fn note(&self, ns: u64) {
        self.buckets[Times::BOUNDS_NS.partition_point(|bound| *bound < ns)].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(ns, Relaxed);
    }

    fn times(&self) -> Times {
        let buckets: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        Times { count: buckets.iter().sum(), sum_ns: self.sum_ns.load(Relaxed), buckets }
    }
}

#[cfg(test)]
mod tests;
