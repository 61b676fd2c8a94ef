//! The table as a C plugin calls it, over the plain model, so that what is tried is the boundary and not an engine.

use std::{ffi::c_void, sync::Arc, time::Duration};

use super::*;
use crate::{
    boundary::{
        PluginRecord,
        tests::{counted, last_text, record_with},
        thread,
    },
    identity::{Grants, Method, Permits, Scope, Slot},
    services::{cache::model::Model, clock::ManualClock},
};

/// A plugin with a context, and an account that is nobody else's.
struct Caller {
    ctx: PintleCtx,
    account: u16,
    record: &'static PluginRecord,
    clock: Arc<ManualClock>,
    _slot: Slot,
}

const NS: &str = "n";

impl Caller {
    fn new(account: u16) -> Self {
        let clock = ManualClock::at(0);
        let record = record_with(Box::new(Model::new(clock.clone())), clock.clone());
        let methods = Method::of_service("cache").map(|(method, _)| method).collect();
        let grants = Grants::intern("probe", "1.0.0", Permits { methods, ..Permits::default() });
        let mut slot = Slot::take().expect("a slot is free");
        let ctx = slot.open(&Scope::own(record.key(), grants, 7, account, account));
        Self { ctx, account, record, clock, _slot: slot }
    }

    fn set(&self, key: &str, value: &str, options: &PintleCacheOptions) -> PintleStatus {
        let set = TABLE.set.expect("it is there");
        let value = PintleBytes::new(value.as_bytes());
        // SAFETY: all is borrowed for the call, here and below.
        unsafe { set(self.ctx, PintleStr::new(NS), PintleStr::new(key), value, options) }
    }

    fn set_absent(&self, key: &str, options: &PintleCacheOptions) -> PintleStatus {
        let set_absent = TABLE.set_absent.expect("it is there");
        // SAFETY: as above.
        unsafe { set_absent(self.ctx, PintleStr::new(NS), PintleStr::new(key), options) }
    }

    fn get(&self, key: &str) -> (PintleStatus, String, PintleCacheInfo) {
        let (mut value, mut info) = (String::new(), untouched());
        let get = TABLE.get.expect("it is there");
        // SAFETY: as above; the sink is for this call.
        let status = unsafe {
            get(self.ctx, PintleStr::new(NS), PintleStr::new(key), sink(&mut value), &raw mut info)
        };
        (status, value, info)
    }

    fn get_into(&self, key: &str, room: usize) -> (PintleStatus, usize, PintleCacheInfo) {
        let (mut buf, mut len, mut info) = ([0; 64], 4711, untouched());
        let get_into = TABLE.get_into.expect("it is there");
        let (ns, key) = (PintleStr::new(NS), PintleStr::new(key));
        // SAFETY: as above.
        let status =
            unsafe { get_into(self.ctx, ns, key, buf.as_mut_ptr(), room, &raw mut len, &raw mut info) };
        (status, len, info)
    }

    fn get_many(&self, keys: &[&str], teller: &mut Teller) -> PintleStatus {
        let keys: Vec<_> = keys.iter().map(|key| PintleStr::new(key)).collect();
        let get_many = TABLE.get_many.expect("it is there");
        let (each, user) = (PintleCacheItemHandler(Some(on_item)), std::ptr::from_mut(teller).cast());
        // SAFETY: as above.
        unsafe { get_many(self.ctx, PintleStr::new(NS), keys.as_ptr(), keys.len(), each, user) }
    }

    fn set_many(&self, entries: &[PintleCacheEntry]) -> (PintleStatus, Vec<PintleStatus>) {
        let mut statuses = vec![77; entries.len()];
        let set_many = TABLE.set_many.expect("it is there");
        let ns = PintleStr::new(NS);
        // SAFETY: as above.
        let status =
            unsafe { set_many(self.ctx, ns, entries.as_ptr(), entries.len(), statuses.as_mut_ptr()) };
        (status, statuses)
    }

    fn ttl(&self, key: &str) -> (PintleStatus, i64) {
        let (mut ttl_ms, ttl) = (77, TABLE.ttl.expect("it is there"));
        // SAFETY: as above.
        let status = unsafe { ttl(self.ctx, PintleStr::new(NS), PintleStr::new(key), &raw mut ttl_ms) };
        (status, ttl_ms)
    }

    fn keys(&self, cursor: &str, limit: u32) -> (PintleStatus, String, String) {
        let (mut list, mut next) = (String::new(), String::new());
        let keys = TABLE.keys.expect("it is there");
        let (ns, all) = (PintleStr::new(NS), PintleStr::new(""));
        let (out, to) = (sink(&mut list), sink(&mut next));
        // SAFETY: as above.
        let status = unsafe { keys(self.ctx, ns, all, PintleStr::new(cursor), limit, out, to) };
        (status, list, next)
    }

    #[track_caller]
    fn says(&self, words: &str) {
        let text = last_text(self.ctx);
        assert!(text.contains(words), "{words:?} is not in {text:?}");
    }
}

fn options() -> PintleCacheOptions {
    PintleCacheOptions {
        size: size_of::<PintleCacheOptions>() as u32,
        flags: 0,
        ttl_ms: 0,
        stale_ms: 0,
        error_ms: 0,
        version: 0,
        lease: 0,
        tags: std::ptr::null(),
        tag_count: 0,
    }
}

fn entry(key: &str, value: &str) -> PintleCacheEntry {
    PintleCacheEntry {
        size: size_of::<PintleCacheEntry>() as u32,
        reserved: 0,
        key: PintleStr::new(key),
        value: PintleBytes::new(value.as_bytes()),
        options: std::ptr::null(),
    }
}

fn untouched() -> PintleCacheInfo {
    let size = size_of::<PintleCacheInfo>() as u32;
    PintleCacheInfo { size, flags: 77, integer: 77, ttl_ms: 77, left_ms: 77, version: 77 }
}

fn sink(to: &mut String) -> PintleSink {
    unsafe extern "C" fn write(data: *mut c_void, piece: PintleBytes) -> PintleStatus {
        // SAFETY: `data` is the string that the sink was made of; a piece is borrowed for the call.
        let (to, piece) =
            unsafe { (&mut *data.cast::<String>(), std::slice::from_raw_parts(piece.ptr, piece.len)) };
        to.push_str(str::from_utf8(piece).expect("tests write text"));
        PINTLE_OK
    }
    PintleSink { data: std::ptr::from_mut(to).cast(), write: Some(write) }
}

/// What `get_many` tells.
#[derive(Default)]
struct Teller {
    told: Vec<(usize, PintleStatus, String, String, Option<u32>)>,
    /// After so many it refuses.
    most: Option<usize>,
    /// Calls the host from inside with this context.
    calls: Option<PintleCtx>,
    inside: Option<PintleStatus>,
}

unsafe extern "C" fn on_item(user: *mut c_void, item: *const PintleCacheItem) -> PintleStatus {
    // SAFETY: `user` is the teller, and the item and what it leads to are borrowed for the call.
    let (teller, item) = unsafe { (&mut *user.cast::<Teller>(), &*item) };
    let text = |ptr: *const u8, len| {
        // SAFETY: as above.
        let bytes = unsafe { if len == 0 { &[][..] } else { std::slice::from_raw_parts(ptr, len) } };
        String::from_utf8(bytes.to_vec()).expect("tests write text")
    };
    // SAFETY: as above.
    let flags = unsafe { item.info.as_ref() }.map(|info| info.flags);
    let (key, value) = (text(item.key.ptr.cast(), item.key.len), text(item.value.ptr, item.value.len));
    teller.told.push((item.index, item.status, key, value, flags));
    if let Some(ctx) = teller.calls {
        let exists = TABLE.exists.expect("it is there");
        let mut there = 0;
        // SAFETY: all is borrowed for the call.
        let status = unsafe { exists(ctx, PintleStr::new(NS), PintleStr::new("k"), &raw mut there) };
        teller.inside = Some(status);
    }
    if teller.most == Some(teller.told.len()) { PINTLE_BUSY } else { PINTLE_OK }
}

#[test]
fn what_is_known_to_be_absent_is_told_by_get_and_there_for_nobody_else() {
    let caller = Caller::new(4010);
    let lifetime = PintleCacheOptions { flags: PINTLE_CACHE_TTL, ttl_ms: 50, ..options() };
    assert_eq!(caller.set_absent("k", &lifetime), PINTLE_OK);
    for (status, info) in
        [(caller.get("k").0, caller.get("k").2), (caller.get_into("k", 64).0, caller.get_into("k", 64).2)]
    {
        assert_eq!((status, info.flags, info.version), (PINTLE_NOT_FOUND, PINTLE_CACHE_ABSENT, 0));
        assert_eq!((info.integer, info.ttl_ms, info.left_ms), (0, 50, 50));
    }
    caller.says("it is known that there is nothing");
    assert_eq!((caller.get("k").1.as_str(), caller.get_into("k", 64).1), ("", 4711));
    assert_eq!(caller.ttl("k"), (PINTLE_NOT_FOUND, 77));
    assert_eq!(caller.keys("", 0), (PINTLE_OK, String::new(), String::new()));
    let (status, _, info) = caller.get("nobody");
    assert_eq!((status, info.flags), (PINTLE_NOT_FOUND, 77), "of what is unknown nothing is written");
    let spans = PintleCacheOptions { stale_ms: 1, ..options() };
    assert_eq!(caller.set_absent("k", &spans), PINTLE_INVALID_ARGUMENT);
}

#[test]
fn cache_14_a_write_keeps_its_condition_and_a_conflict_names_the_version_that_is_there() {
    let caller = Caller::new(4011);
    let with = |flags, version| PintleCacheOptions { flags, version, ..options() };
    let version = |key| caller.get(key).2.version;
    assert_eq!(caller.set("k", "1", &with(PINTLE_CACHE_IF_ABSENT, 0)), PINTLE_OK);
    assert_eq!(caller.set("k", "2", &with(PINTLE_CACHE_IF_ABSENT, 0)), PINTLE_CONFLICT);
    caller.says(&format!("the item is there, with version {}", version("k")));
    assert_eq!(caller.set("k", "2", &with(PINTLE_CACHE_IF_VERSION, 0)), PINTLE_CONFLICT);
    caller.says("the item is there, with version");
    assert_eq!(caller.set("new", "1", &with(PINTLE_CACHE_IF_VERSION, 0)), PINTLE_OK);
    let first = version("k");
    assert_eq!(caller.set("k", "2", &with(PINTLE_CACHE_IF_VERSION, first)), PINTLE_OK);
    assert_eq!(caller.set("k", "3", &with(PINTLE_CACHE_IF_VERSION, first)), PINTLE_CONFLICT);
    caller.says(&format!("the item has version {}, not {first}", version("k")));
    assert_eq!(caller.get("k").1, "2");
    let both = with(PINTLE_CACHE_IF_VERSION | PINTLE_CACHE_IF_ABSENT, first);
    assert_eq!(caller.set("k", "3", &both), PINTLE_INVALID_ARGUMENT);
    caller.says("only one of them");
}

#[test]
fn cache_14_a_write_can_keep_the_lifetime_and_the_spans_that_the_item_has() {
    let caller = Caller::new(4012);
    let written = PintleCacheOptions { flags: PINTLE_CACHE_TTL, ttl_ms: 1_000, stale_ms: 500, ..options() };
    caller.set("k", "1", &written);
    caller.clock.advance(Duration::from_millis(400));
    let keep = PINTLE_CACHE_KEEP_TTL | PINTLE_CACHE_TTL;
    assert_eq!(caller.set("k", "2", &PintleCacheOptions { flags: keep, ttl_ms: 9, ..options() }), PINTLE_OK);
    let (_, value, info) = caller.get("k");
    assert_eq!((value.as_str(), info.ttl_ms, info.left_ms), ("2", 600, 1_100));
}

#[test]
fn a_stale_item_is_told_as_such_and_has_no_lifetime_left() {
    let caller = Caller::new(4013);
    let spans = PintleCacheOptions { flags: PINTLE_CACHE_TTL, ttl_ms: 10, stale_ms: 30, ..options() };
    caller.set("k", "v", &spans);
    caller.clock.advance(Duration::from_millis(15));
    let (status, value, info) = caller.get("k");
    assert_eq!((status, value.as_str(), info.flags), (PINTLE_OK, "v", PINTLE_CACHE_STALE));
    assert_eq!((info.ttl_ms, info.left_ms, caller.ttl("k")), (0, 25, (PINTLE_OK, 0)));
    caller.clock.advance(Duration::from_millis(25));
    assert_eq!(caller.get("k").0, PINTLE_NOT_FOUND);
}

#[test]
fn tags_are_checked_like_names_and_hit_what_bears_them() {
    let caller = Caller::new(4014);
    let tags = ["a", "b", "a"].map(PintleStr::new);
    let tagged = PintleCacheOptions { tags: tags.as_ptr(), tag_count: 3, ..options() };
    assert_eq!(caller.set("k", "v", &tagged), PINTLE_OK);
    assert_eq!(caller.set("other", "v", &PintleCacheOptions { tag_count: 1, ..tagged }), PINTLE_OK);
    let invalidate = |tag: &str| {
        let (mut count, invalidate_tag) = (77, TABLE.invalidate_tag.expect("it is there"));
        // SAFETY: all is borrowed for the call.
        (unsafe { invalidate_tag(caller.ctx, PintleStr::new(tag), &raw mut count) }, count)
    };
    assert_eq!([invalidate("b"), invalidate("a"), invalidate("a")], [1, 1, 0].map(|n| (PINTLE_OK, n)));
    assert_eq!(invalidate(""), (PINTLE_INVALID_ARGUMENT, 77));
    let many = [PintleStr::new("t"); 17];
    let empty = [PintleStr::new("")];
    for (tags, tag_count, words) in [
        (std::ptr::null(), 1, "argument `options.tags`: the pointer is null"),
        (many.as_ptr(), 17, "argument `options.tags`: 17 tags, an item has at most 16"),
        (many.as_ptr(), usize::MAX, "18446744073709551615 tags"),
        (empty.as_ptr(), 1, "argument `options.tags`: it is empty, 1 to 128"),
    ] {
        let wrong = PintleCacheOptions { tags, tag_count, ..options() };
        assert_eq!(caller.set("k", "v", &wrong), PINTLE_INVALID_ARGUMENT);
        caller.says(words);
        assert_eq!(caller.set_absent("k", &wrong), PINTLE_INVALID_ARGUMENT);
    }
    assert_eq!(caller.get("k").0, PINTLE_NOT_FOUND);
}

#[test]
fn cache_16_what_is_set_together_has_an_answer_for_each_and_the_last_failure_is_told() {
    let caller = Caller::new(4015);
    let only_new = PintleCacheOptions { flags: PINTLE_CACHE_IF_ABSENT, ..options() };
    let unknown = PintleCacheOptions { flags: 1 << 20, ..options() };
    let negative = PintleCacheOptions { flags: PINTLE_CACHE_TTL, ttl_ms: -1, ..options() };
    let tag = [PintleStr::new("t")];
    let tagged = PintleCacheOptions { tags: tag.as_ptr(), tag_count: 1, ..options() };
    let before = counted(caller.account).1;
    let (status, statuses) = caller.set_many(&[
        entry("a", "1"),
        PintleCacheEntry { options: &raw const only_new, ..entry("a", "2") },
        entry("", "3"),
        PintleCacheEntry { options: &raw const tagged, ..entry("b", "4") },
        PintleCacheEntry { options: &raw const unknown, ..entry("c", "5") },
        PintleCacheEntry { options: &raw const negative, ..entry("d", "6") },
        entry("e", ""),
    ]);
    assert_eq!(status, PINTLE_OK);
    assert_eq!(
        statuses,
        [
            PINTLE_OK,
            PINTLE_CONFLICT,
            PINTLE_INVALID_ARGUMENT,
            PINTLE_OK,
            PINTLE_UNSUPPORTED,
            PINTLE_OUT_OF_RANGE,
            PINTLE_OK
        ]
    );
    caller.says("`ttl_ms` is -1");
    caller.says("(element 5)");
    assert_eq!(counted(caller.account).1, before, "the call itself did not fail");
    let values = ["a", "b", "c", "d", "e"].map(|key| (caller.get(key).0, caller.get(key).1));
    let values: Vec<_> = values.iter().map(|(status, value)| (*status, value.as_str())).collect();
    assert_eq!(values, [(0, "1"), (0, "4"), (1, ""), (1, ""), (0, "")]);
    assert_eq!(caller.set_many(&[]).0, PINTLE_OK);
}

#[test]
fn what_is_no_array_of_entries_writes_nothing() {
    let caller = Caller::new(4016);
    for (second, status, words) in [
        (PintleCacheEntry { size: 40, ..entry("b", "2") }, PINTLE_INVALID_ARGUMENT, "they must be equal"),
        (PintleCacheEntry { reserved: 1, ..entry("b", "2") }, PINTLE_UNSUPPORTED, "`entries.reserved`"),
    ] {
        assert_eq!(caller.set_many(&[entry("a", "1"), second]), (status, vec![77, 77]));
        caller.says(words);
        assert_eq!(caller.get("a").0, PINTLE_NOT_FOUND);
    }
    let set_many = TABLE.set_many.expect("it is there");
    let (ns, one, mut statuses) = (PintleStr::new(NS), [entry("a", "1")], [77]);
    let (null, none) = (std::ptr::null(), std::ptr::null_mut());
    // SAFETY: what is not null is borrowed for the call, and nothing behind it is read where it does not reach.
    let tried = unsafe {
        [
            set_many(caller.ctx, ns, null, 1, statuses.as_mut_ptr()),
            set_many(caller.ctx, ns, one.as_ptr(), 1, none),
            set_many(caller.ctx, ns, one.as_ptr(), 1_025, statuses.as_mut_ptr()),
            set_many(caller.ctx, ns, null, 0, none),
        ]
    };
    assert_eq!(tried, [PINTLE_INVALID_ARGUMENT, PINTLE_INVALID_ARGUMENT, PINTLE_TOO_LARGE, PINTLE_OK]);
    assert_eq!((caller.get("a").0, statuses), (PINTLE_NOT_FOUND, [77]));
}

#[test]
fn cache_16_what_is_read_together_is_told_in_order_and_one_after_the_other() {
    let caller = Caller::new(4017);
    caller.set("a", "1", &options());
    caller.set("empty", "", &options());
    caller.set_absent("none", &options());
    let mut teller = Teller { calls: Some(caller.ctx), ..Teller::default() };
    assert_eq!(caller.get_many(&["a", "b", "none", "a", "empty"], &mut teller), PINTLE_OK);
    let told =
        |index, status, key: &str, value: &str, flags| (index, status, key.into(), value.into(), flags);
    assert_eq!(
        teller.told,
        [
            told(0, PINTLE_OK, "a", "1", Some(0)),
            told(1, PINTLE_NOT_FOUND, "b", "", None),
            told(2, PINTLE_NOT_FOUND, "none", "", Some(PINTLE_CACHE_ABSENT)),
            told(3, PINTLE_OK, "a", "1", Some(0)),
            told(4, PINTLE_OK, "empty", "", Some(0)),
        ]
    );
    assert_eq!(teller.inside, Some(PINTLE_REENTRANT));

    let mut refusing = Teller { most: Some(2), ..Teller::default() };
    assert_eq!(caller.get_many(&["a", "b", "a"], &mut refusing), PINTLE_CANCELLED);
    assert_eq!(refusing.told.len(), 2);
    caller.says("refused a result with status 13");

    let mut nobody = Teller::default();
    assert_eq!(caller.get_many(&["a", ""], &mut nobody), PINTLE_INVALID_ARGUMENT);
    caller.says("argument `keys`: it is empty, 1 to 512 bytes are taken (element 1)");
    assert_eq!(caller.get_many(&vec!["a"; 1_025], &mut nobody), PINTLE_TOO_LARGE);
    assert!(nobody.told.is_empty(), "nothing was read");
    assert_eq!(caller.get_many(&vec!["a"; 1_024], &mut nobody), PINTLE_OK);

    caller.record.core.cache.close();
    assert_eq!(caller.get_many(&["a"], &mut Teller::default()), PINTLE_UNAVAILABLE);
    assert_eq!(caller.set_many(&[entry("a", "1")]), (PINTLE_UNAVAILABLE, vec![77]));
}

#[test]
fn the_keys_of_a_namespace_come_in_pages() {
    let caller = Caller::new(4018);
    for key in ["a", "b", "c"] {
        caller.set(key, "v", &options());
    }
    let (status, list, next) = caller.keys("", 2);
    assert_eq!((status, list.as_str(), next.is_empty()), (PINTLE_OK, "a\0b\0", false));
    assert_eq!(caller.keys(&next, 2), (PINTLE_OK, "c\0".into(), String::new()));
    for (cursor, limit) in [("nobody's", 0), ("", 1_001)] {
        let (status, list, next) = caller.keys(cursor, limit);
        assert_eq!((status, list.as_str(), next.as_str()), (PINTLE_INVALID_ARGUMENT, "", ""));
    }
}

#[test]
fn what_a_namespace_holds_is_removed_by_pattern_or_whole() {
    let caller = Caller::new(4019);
    let (ns, clear) = (PintleStr::new(NS), TABLE.clear.expect("it is there"));
    let invalidate = TABLE.invalidate.expect("it is there");
    for key in ["a", "b", "c"] {
        caller.set(key, "v", &options());
    }
    let mut count = 77;
    // SAFETY: all is borrowed for the call.
    assert_eq!(unsafe { invalidate(caller.ctx, ns, PintleStr::new("b"), &raw mut count) }, PINTLE_OK);
    assert_eq!((count, caller.get("b").0, caller.get("a").0), (1, PINTLE_NOT_FOUND, PINTLE_OK));
    // SAFETY: as above.
    let bad = unsafe { invalidate(caller.ctx, ns, PintleStr::new(""), &raw mut count) };
    assert_eq!((bad, count), (PINTLE_INVALID_ARGUMENT, 1));
    caller.says("argument `pattern`");
    // SAFETY: as above.
    assert_eq!(unsafe { clear(caller.ctx, ns, &raw mut count) }, PINTLE_OK);
    assert_eq!((count, caller.keys("", 0).1.as_str()), (2, ""));
    // SAFETY: as above.
    assert_eq!(unsafe { clear(caller.ctx, ns, std::ptr::null_mut()) }, PINTLE_OK);
}

#[test]
fn incr_takes_a_lifetime_and_nothing_else() {
    let caller = Caller::new(4020);
    let incr = TABLE.incr.expect("it is there");
    let tag = [PintleStr::new("t")];
    let added = |options: PintleCacheOptions| {
        let mut sum = 77;
        let (ns, key) = (PintleStr::new(NS), PintleStr::new("i"));
        // SAFETY: all is borrowed for the call.
        (unsafe { incr(caller.ctx, ns, key, 1, &raw const options, &raw mut sum) }, sum)
    };
    for refused in [
        PintleCacheOptions { flags: PINTLE_CACHE_KEEP_TTL, ..options() },
        PintleCacheOptions { flags: PINTLE_CACHE_IF_ABSENT | PINTLE_CACHE_TTL, ..options() },
        PintleCacheOptions { flags: PINTLE_CACHE_IF_VERSION, ..options() },
        PintleCacheOptions { stale_ms: 1, ..options() },
        PintleCacheOptions { error_ms: -1, ..options() },
        PintleCacheOptions { lease: 1, ..options() },
        PintleCacheOptions { tags: tag.as_ptr(), tag_count: 1, ..options() },
    ] {
        assert_eq!(added(refused), (PINTLE_INVALID_ARGUMENT, 77), "{refused:?}");
        caller.says("`incr` takes a lifetime only");
    }
    let lifetime = PintleCacheOptions { flags: PINTLE_CACHE_TTL, ttl_ms: 30, ..options() };
    assert_eq!((added(lifetime), caller.ttl("i")), ((PINTLE_OK, 1), (PINTLE_OK, 30)));
}

#[test]
fn stats_tell_what_the_plugin_has_and_no_further_than_the_caller_knows() {
    let caller = Caller::new(4021);
    caller.set("a", "1", &options());
    caller.set("b", "22", &options());
    let mut told = PintleCacheStats {
        size: 24,
        reserved: 77,
        items: 77,
        bytes: 77,
        guaranteed_bytes: 77,
        capacity_bytes: 77,
        evicted: 77,
    };
    let stats = TABLE.stats.expect("it is there");
    // SAFETY: all is borrowed for the call.
    assert_eq!(unsafe { stats(caller.ctx, &raw mut told) }, PINTLE_OK);
    assert_eq!((told.size, told.items, told.bytes, told.guaranteed_bytes), (24, 2, 5, 77));
    told.size = size_of::<PintleCacheStats>() as u32;
    // SAFETY: as above.
    assert_eq!(unsafe { stats(caller.ctx, &raw mut told) }, PINTLE_OK);
    assert_eq!((told.capacity_bytes, told.evicted), (u64::MAX, 0));
    // SAFETY: as above.
    assert_eq!(unsafe { stats(caller.ctx, std::ptr::null_mut()) }, PINTLE_INVALID_ARGUMENT);
    caller.says("argument `stats`: the pointer is null");
}

#[test]
fn each_item_that_is_asked_for_is_a_hit_or_a_miss() {
    let caller = Caller::new(4022);
    caller.set("k", "value", &options());
    caller.set_absent("none", &options());
    let read = || {
        let tally = thread::counted(caller.account);
        (tally.cache_hits, tally.cache_misses)
    };
    let (hits, misses) = read();
    caller.get("k");
    caller.get_into("k", 64);
    caller.get_into("k", 2); // too small: it was there
    caller.get("none"); // a note: nobody has to look for it
    caller.get("nobody");
    caller.get_into("nobody", 64);
    caller.get_many(&["k", "none", "nobody"], &mut Teller::default());
    caller.ttl("k");
    caller.get("");
    assert_eq!((read().0 - hits, read().1 - misses), (6, 3));
}
