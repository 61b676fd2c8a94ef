//! `fetch` and `fail` as a C plugin calls them, over the plain model.

use std::{ffi::c_void, sync::Arc, time::Duration};

use super::{super::TABLE, *};
use crate::{
    boundary::{
        PluginRecord,
        tests::{last_text, record_with},
    },
    identity::{DataScope, Grants, Permits, Scope, Slot},
    services::{
        cache::{Address, Write, model::Model},
        clock::ManualClock,
        keys::{Key, Namespace},
    },
};

/// A plugin.
struct Probe {
    record: &'static PluginRecord,
    clock: Arc<ManualClock>,
    seat: Seat,
}

/// One of its calls.
struct Running<'p> {
    probe: &'p Probe,
    ctx: PintleCtx,
    _slot: Slot,
}

/// What a function answered, and what it wrote: the value, `flags` and `version` of the info, the lease.
#[derive(Debug, PartialEq)]
struct Answer(PintleStatus, Option<String>, Option<(u32, u64)>, u64);

const UNTOUCHED: u64 = 4711;

impl Probe {
    fn new() -> Self {
        let clock = ManualClock::at(0);
        let record = record_with(Box::new(Model::new(clock.clone())), clock.clone());
        let seat = Seat::take().expect("a seat is free");
        seat.set_phase(Phase::Live);
        Self { record, clock, seat }
    }

    fn call(&self) -> Running<'_> {
        self.call_until(i64::MAX)
    }

    fn call_until(&self, deadline: i64) -> Running<'_> {
        let methods = Method::of_service("cache").map(|(method, _)| method).collect();
        let grants = Grants::intern("probe", "1.0.0", Permits { methods, ..Permits::default() });
        let mut slot = Slot::take().expect("a slot is free");
        let own = Scope::own(self.record.key(), grants, 7, self.seat.index(), self.seat.index());
        let ctx = slot.open(&Scope { call: true, deadline, ..own });
        Running { probe: self, ctx, _slot: slot }
    }

    fn set(&self, lease: u64, value: &[u8], stale_ms: i64, error_ms: i64) -> Result<u64> {
        let core = self.record.core;
        let at = Address {
            scope: DataScope::new(self.record.number, &self.record.id, 0, &core.tenants),
            namespace: Namespace::parse("ns", b"n")?,
            key: Key::parse("key", b"k")?,
        };
        let ttl_ms = if stale_ms + error_ms == 0 { 0 } else { 100 };
        core.cache.set(&at, &Write { lease, stale_ms, error_ms, ..Write::of(value, Some(ttl_ms)) })
    }
}

impl Running<'_> {
    fn fetch(&self) -> Answer {
        self.fetch_so(&options(0, 0, 0), PINTLE_OK)
    }

    fn fetch_so(&self, options: &PintleCacheFetch, sink_says: PintleStatus) -> Answer {
        let (mut taken, mut info, mut lease) =
            (Taken { value: None, says: sink_says }, untouched(), UNTOUCHED);
        let fetch = TABLE.fetch.expect("it is there");
        let (ns, key) = (PintleStr::new("n"), PintleStr::new("k"));
        // SAFETY: all is borrowed for the call, and the sink is for it alone.
        let status =
            unsafe { fetch(self.ctx, ns, key, options, sink(&mut taken), &raw mut info, &raw mut lease) };
        Answer(status, taken.value, seen(&info), lease)
    }

    fn fail(&self, lease: u64) -> Answer {
        let (mut taken, mut info) = (Taken { value: None, says: PINTLE_OK }, untouched());
        let fail = TABLE.fail.expect("it is there");
        // SAFETY: as above.
        let status = unsafe { fail(self.ctx, lease, sink(&mut taken), &raw mut info) };
        Answer(status, taken.value, seen(&info), UNTOUCHED)
    }

    /// Misses, and is the one to load.
    fn lease(&self) -> u64 {
        let Answer(status, value, info, lease) = self.fetch();
        assert_eq!((status, value, info), (PINTLE_NOT_FOUND, None, None), "{}", last_text(self.ctx));
        assert!(lease != 0 && lease != UNTOUCHED);
        lease
    }

    #[track_caller]
    fn says(&self, words: &str) {
        let text = last_text(self.ctx);
        assert!(text.contains(words), "{words:?} is not in {text:?}");
    }
}

fn options(flags: u32, wait_ms: i64, lease_ms: i64) -> PintleCacheFetch {
    PintleCacheFetch { size: size_of::<PintleCacheFetch>() as u32, flags, wait_ms, lease_ms }
}

fn untouched() -> PintleCacheInfo {
    let size = size_of::<PintleCacheInfo>() as u32;
    PintleCacheInfo { size, flags: 77, integer: 77, ttl_ms: 77, left_ms: 77, version: 77 }
}

fn seen(info: &PintleCacheInfo) -> Option<(u32, u64)> {
    (info.flags != 77).then_some((info.flags, info.version))
}

struct Taken {
    value: Option<String>,
    says: PintleStatus,
}

fn sink(taken: &mut Taken) -> PintleSink {
    unsafe extern "C" fn write(data: *mut c_void, piece: PintleBytes) -> PintleStatus {
        // SAFETY: `data` is what the sink was made of; a piece is borrowed for the call.
        let (taken, piece) =
            unsafe { (&mut *data.cast::<Taken>(), std::slice::from_raw_parts(piece.ptr, piece.len)) };
        taken.value = Some(String::from_utf8_lossy(piece).into_owned());
        taken.says
    }
    PintleSink { data: std::ptr::from_mut(taken).cast(), write: Some(write) }
}

fn found(value: &str, flags: u32, version: u64, lease: u64) -> Answer {
    Answer(PINTLE_OK, Some(value.into()), Some((flags, version)), lease)
}

fn refused(status: PintleStatus) -> Answer {
    Answer(status, None, None, UNTOUCHED)
}

#[test]
fn cache_23_a_miss_is_loaded_by_the_call_that_gets_the_lease() {
    let probe = Probe::new();
    let (first, second) = (probe.call(), probe.call());
    let lease = first.lease();
    first.says("this caller is to load it");
    assert_eq!(first.fetch(), refused(PINTLE_REENTRANT));
    assert_eq!(second.fetch_so(&options(PINTLE_CACHE_NO_WAIT, 0, 0), PINTLE_OK), refused(PINTLE_TIMEOUT));
    let version = probe.set(lease, b"v", 0, 0).expect("it is the holder");
    assert_eq!(second.fetch(), found("v", 0, version, 0));
    let late = probe.set(lease, b"w", 0, 0).expect_err("it is answered");
    assert_eq!(late.kind(), ErrorKind::Conflict);
}

#[test]
fn cache_19_a_stale_item_is_given_with_a_lease_and_a_sink_that_refuses_it_ends_that() {
    let probe = Probe::new();
    let version = probe.set(0, b"old", 60_000, 0).expect("it can be written");
    probe.clock.advance(Duration::from_millis(100));
    let call = probe.call();
    let Answer(status, value, info, lease) = call.fetch_so(&options(0, 0, 0), PINTLE_INTERNAL);
    assert_eq!((status, value.as_deref(), info), (PINTLE_CANCELLED, Some("old"), None));
    assert_eq!(lease, UNTOUCHED);
    let Answer(.., lease) = call.fetch();
    assert!(lease != 0 && lease != UNTOUCHED, "the other one is over");
    assert_eq!(probe.call().fetch(), found("old", PINTLE_CACHE_STALE, version, 0));
}

#[test]
fn cache_21_fail_gives_the_old_item_and_ends_the_lease() {
    let probe = Probe::new();
    let version = probe.set(0, b"old", 0, 60_000).expect("it can be written");
    probe.clock.advance(Duration::from_millis(100));
    let call = probe.call();
    let lease = call.lease();
    assert_eq!(
        call.fail(lease),
        Answer(PINTLE_OK, Some("old".into()), Some((PINTLE_CACHE_STALE, version)), UNTOUCHED)
    );
    assert_eq!(call.fail(lease), refused(PINTLE_STALE_HANDLE));
    call.says("it was given back by `fail`");
    for never in [0, 1, lease ^ 1 << 30] {
        assert_eq!(call.fail(never), refused(PINTLE_STALE_HANDLE));
    }
    let lease = call.lease();
    probe.clock.advance(Duration::from_millis(60_000));
    call.fail(lease);
    call.says("its deadline has passed");
    let lease = call.lease();
    assert_eq!(call.fail(lease), refused(PINTLE_NOT_FOUND));
}

#[test]
fn that_there_is_no_old_item_leaves_the_words_for_why_loading_failed() {
    let probe = Probe::new();
    let call = probe.call();
    let lease = call.lease();
    assert_eq!(call.fetch(), refused(PINTLE_REENTRANT), "as a loader that fails");
    let why = last_text(call.ctx);
    assert_eq!(call.fail(lease), refused(PINTLE_NOT_FOUND));
    assert_eq!(last_text(call.ctx), why);
}

#[test]
fn what_is_wrong_with_a_fetch_is_told_before_anything_is_given() {
    let probe = Probe::new();
    let call = probe.call();
    let cases = [
        (options(2, 0, 0), PINTLE_UNSUPPORTED),
        (options(0, -1, 0), PINTLE_OUT_OF_RANGE),
        (options(0, 3_600_001, 0), PINTLE_OUT_OF_RANGE),
        (options(0, 0, 3_600_001), PINTLE_OUT_OF_RANGE),
        (PintleCacheFetch { size: 3, ..options(0, 0, 0) }, PINTLE_INVALID_ARGUMENT),
    ];
    for (options, expected) in cases {
        assert_eq!(call.fetch_so(&options, PINTLE_OK), refused(expected), "{options:?}");
    }
    let fetch = TABLE.fetch.expect("it is there");
    let (ns, key, none) = (PintleStr::new("n"), PintleStr::new("k"), std::ptr::null_mut::<u64>());
    let mut taken = Taken { value: None, says: PINTLE_OK };
    // SAFETY: as above; a null lease is refused.
    let status = unsafe { fetch(call.ctx, ns, key, std::ptr::null(), sink(&mut taken), none.cast(), none) };
    assert_eq!(status, PINTLE_INVALID_ARGUMENT);
    call.lease();
}

#[test]
fn a_call_that_may_not_wait_is_told_why_only_where_it_would() {
    let probe = Probe::new();
    let late = probe.call_until(0);
    let lease = probe.call().lease();
    assert_eq!(late.fetch(), refused(PINTLE_CANCELLED));
    let waiting = probe.call();
    std::thread::scope(|threads| {
        let waits = threads.spawn(|| waiting.fetch());
        // Nobody says when it sleeps; whenever it is told, it ends.
        probe.seat.set_phase(Phase::Stopping);
        probe.record.core.cache.stop_waits(7);
        assert_eq!(waits.join().expect("it does not panic"), refused(PINTLE_STOPPING));
    });
    assert_eq!(waiting.fetch(), refused(PINTLE_STOPPING));
    let version = probe.set(lease, b"v", 0, 0).expect("it is the holder");
    for call in [&waiting, &late] {
        assert_eq!(call.fetch(), found("v", 0, version, 0), "what is there is given");
    }
}

#[test]
fn threads_that_share_a_context_of_the_plugins_own_wait_for_each_other() {
    let probe = Probe::new();
    let grants = Method::of_service("cache").map(|(method, _)| method).collect();
    let grants = Grants::intern("probe", "1.0.0", Permits { methods: grants, ..Permits::default() });
    let mut slot = Slot::take().expect("a slot is free");
    let seat = probe.seat.index();
    let ctx = slot.open(&Scope::own(probe.record.key(), grants, 7, seat, seat));
    let own = Running { probe: &probe, ctx, _slot: slot };
    let lease = own.lease();
    assert_eq!(own.fetch(), refused(PINTLE_REENTRANT), "this thread would wait for itself");
    std::thread::scope(|threads| {
        let other = threads.spawn(|| own.fetch());
        let version = own.probe.set(lease, b"v", 0, 0).expect("it is the holder");
        assert_eq!(other.join().expect("it does not panic"), found("v", 0, version, 0));
    });
}
