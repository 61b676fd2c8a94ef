//! What the funnel promises of every function, tried from inside where no plugin can make the case happen.

use super::*;
use crate::{
    identity::{Permits, Slot},
    lanes::{LaneOptions, PoolOptions, Report},
    services::{
        cache::{CacheBackend, Lifetime, Lifetimes, MemoryCache},
        clock::{Clock, SystemClock},
        events::{DurableOptions, LedgerLog, Retention, durable},
        files::{self, DiskFiles, DiskOptions},
        idempotency::{self, LedgerIdempotency},
        ledger::{Durability, Ledger, LedgerOptions},
        log::Options,
        scheduler::{self, Scheduler, durable::ledger::LedgerStore},
        storage::{self, LedgerStorage, StorageOptions},
    },
};

struct Nobody;

impl Report for Nobody {
    fn stuck(&self, _: &Arc<Lane>, _: &str, _: Duration) {}
    fn resumed(&self, _: &Arc<Lane>, _: &str) {}
    fn failed(&self, _: &str, _: &str) {}
}

fn record() -> &'static PluginRecord {
    let clock = Arc::new(SystemClock::new());
    record_with(Box::new(MemoryCache::new(1 << 20, clock.clone(), Arc::<Pages>::default())), clock)
}

/// A record whose host keeps its cache there.
pub(super) fn record_with(cached: Box<dyn CacheBackend>, clock: Arc<dyn Clock>) -> &'static PluginRecord {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let options = LedgerOptions {
        durability: Durability::Off,
        clock: clock.clone(),
        schemas: vec![
            storage::SCHEMA,
            storage::OUTBOX,
            durable::ledger::SCHEMA,
            scheduler::durable::ledger::SCHEMA,
            idempotency::SCHEMA,
            files::SCHEMA,
        ],
        report: Box::new(|_| ()),
    };
    let ledger = Ledger::open(folder.path().join("ledger.db"), options).expect("the folder can be written");
    let ledger = Arc::new(ledger);
    let stored = LedgerStorage::open(Arc::clone(&ledger), StorageOptions::new(clock.clone(), |_| ()));
    let stored = stored.expect("the ledger can be read");
    let operations = LedgerIdempotency::new(Arc::clone(&ledger), Arc::clone(&clock), |_| ());
    let options =
        DiskOptions { data: folder.path().to_owned(), durability: Durability::Off, report: Box::new(|_| ()) };
    let durable = Durable::new(DurableOptions {
        log: Arc::new(LedgerLog::new(Arc::clone(&ledger), Arc::clone(&clock))),
        clock: Arc::clone(&clock),
        running: folder.path().join("running"),
        retention: Retention { age_ms: i64::MAX, bytes: u64::MAX, dedupe_ms: 1_000 },
        report: Box::new(|_| ()),
    });
    let files = DiskFiles::open(Arc::clone(&ledger), options).expect("the folder can be read");
    let database = super::database::tests::databases_in(folder.path(), Arc::clone(&clock));
    let core = Core {
        pool: Pool::new(PoolOptions::default(), Arc::new(Nobody)),
        tenants: Tenants::new(),
        log: Arc::new(Log::new(Options::default()).expect("stderr can be written")),
        events: Arc::new(Events::new(|| 0)),
        durable: durable.expect("the folder can be written"),
        outbox: clock.alarm(),
        scheduler: Arc::new(Scheduler::new(
            clock.clone(),
            Some(Arc::new(LedgerStore::new(Arc::clone(&ledger), true))),
        )),
        cache: Cache::new(cached, Lifetimes { items: Lifetime::Endless, absent: Lifetime::Endless }, clock),
        storage: Storage::new(
            Box::new(stored),
            1 << 20,
            Arc::new(crate::services::clock::SystemClock::new()),
        ),
        idempotency: Idempotency::new(
            Box::new(operations.expect("the system has a thread")),
            idempotency::Limits { lease_ms: 60_000, keep_ms: 86_400_000, largest_result: 1 << 20 },
        ),
        files: Files::new(Box::new(files), 1 << 20),
        database,
        router: OnceLock::new(),
        kept: AtomicU64::new(0),
        epoch: Instant::now(),
        call_timeout: Duration::from_secs(5),
    }
    .keep();
    let options =
        LaneOptions { name: "probe".into(), concurrency: 1, capacity: 16, deadline: Duration::from_secs(30) };
    let lane = Lane::new(&core.pool, options);
    let meter = Meter::new(&"probe".into(), Some(3), None);
    PluginRecord::keep(core, &"probe".into(), "1.0.0", 1, lane, meter, Arc::new(PluginMetrics::new(10)))
}

/// `number` is seat and account at once: one that is nobody else's.
fn open(slot: &mut Slot, number: u16) -> PintleCtx {
    let grants = Grants::intern("probe", "1.0.0", Permits::default());
    slot.open(&Scope::own(record().key(), grants, 7, number, number))
}

pub(super) fn counted(account: u16) -> (u64, u64) {
    let total = thread::counted(account).total();
    (total.calls, total.failures)
}

pub(super) fn last_text(ctx: PintleCtx) -> String {
    thread::last_failure(ctx).map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn contract_76_a_panic_inside_the_host_is_a_status_and_the_host_goes_on() {
    let mut slot = Slot::take().expect("a slot is free");
    let ctx = open(&mut slot, 4001);
    let status = enter(ctx, Method::Hold, |_| panic!("a mistake of ours"));
    assert_eq!(status, PINTLE_PANIC);
    assert!(last_text(ctx).contains("a mistake of ours"), "{}", last_text(ctx));
    assert_eq!(enter(ctx, Method::Hold, |_| Ok(())), PINTLE_OK);
}

#[test]
fn calls_and_failures_are_counted_whatever_became_of_them() {
    let mut slot = Slot::take().expect("a slot is free");
    let seat = 4002;
    let ctx = open(&mut slot, seat);
    let before = counted(seat);
    assert_eq!(enter(ctx, Method::Hold, |_| Ok(())), PINTLE_OK);
    assert_eq!(enter(ctx, Method::Hold, |_| Err(stale())), PINTLE_STALE_HANDLE);
    assert_eq!(enter(ctx, Method::EventsEmit, |_| panic!("it is not granted")), PINTLE_DENIED);
    let after = counted(seat);
    assert_eq!((after.0 - before.0, after.1 - before.1), (3, 2));
}

/// The record has a quota of three calls a second; only contexts with metered grants are held to it.
#[test]
fn everywhere_10_what_is_not_granted_takes_nothing_of_a_quota_and_what_gives_back_needs_none() {
    let mut slot = Slot::take().expect("a slot is free");
    let permits = Permits { methods: vec![Method::CacheGet], metered: true, ..Permits::default() };
    let (grants, seat) = (Grants::intern("probe", "1.0.0", permits), 4005);
    let ctx = slot.open(&Scope::own(record().key(), grants, 7, seat, seat));
    let before = counted(seat);
    let tried = |method| enter(ctx, method, |_| Ok(()));
    for _ in 0..100 {
        assert_eq!(tried(Method::CacheSet), PINTLE_DENIED);
    }
    let through = (0..100).filter(|_| tried(Method::CacheGet) == PINTLE_OK).count();
    assert!((3..50).contains(&through), "{through}");
    while tried(Method::CacheGet) != PINTLE_QUOTA {}
    for method in [Method::Reply, Method::SetError, Method::Release, Method::Scope, Method::Remaining] {
        assert_eq!(tried(method), PINTLE_OK, "{method:?}");
    }
    assert_eq!(tried(Method::CacheSet), PINTLE_DENIED, "above the quota, too");
    let (calls, failures) = counted(seat);
    assert!(calls - before.0 >= 206 && failures - before.1 >= 151, "all are counted: {calls}, {failures}");
}

#[test]
fn contract_44_every_kind_of_failure_has_its_status_and_back() {
    let mut seen = std::collections::HashSet::new();
    for status in 1..=19 {
        let kind = kind_of(status).expect("a failure");
        assert_eq!(status_of(kind), status);
        assert!(seen.insert(status_of(kind)));
    }
    assert_eq!(kind_of(PINTLE_OK), None);
    for unknown in [-1, 20, 4711, i32::MIN, i32::MAX] {
        assert_eq!(kind_of(unknown), Some(ErrorKind::Internal), "{unknown}");
    }
}

#[test]
fn contract_48_a_context_that_ends_in_the_middle_of_a_call_lets_it_finish() {
    let mut slot = Slot::take().expect("a slot is free");
    let ctx = open(&mut slot, 4003);
    let status = enter(ctx, Method::Hold, |call| {
        slot.close();
        assert_eq!(enter(ctx, Method::Hold, |_| Ok(())), PINTLE_STALE_HANDLE);
        assert_eq!(call.grants().plugin(), "probe");
        Ok(())
    });
    assert_eq!(status, PINTLE_OK);
}
