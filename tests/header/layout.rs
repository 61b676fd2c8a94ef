//! Sizes, alignments and offsets are the same in C, in C++ and in Rust. The C text is made from the Rust types, so
//! the compilers compare what the host reads with what a plugin writes.

use std::{fmt::Write, fs, mem::offset_of};

use pintle_abi::*;

use crate::{HEADER, compile, text};

struct Layout {
    name: &'static str,
    size: usize,
    alignment: usize,
    /// Name, offset, size.
    members: Vec<(&'static str, usize, usize)>,
}

macro_rules! layouts {
    ($($rust:ident = $c:literal { $($member:ident),+ })+) => {
        vec![$(Layout {
            name: $c,
            size: size_of::<$rust>(),
            alignment: align_of::<$rust>(),
            members: vec![$((
                stringify!($member),
                offset_of!($rust, $member),
                size_of_member(|all: &$rust| &all.$member),
            )),+],
        }),+]
    };
}

fn layouts() -> Vec<Layout> {
    layouts! {
        PintleStr = "pintle_str" { ptr, len }
        PintleBytes = "pintle_bytes" { ptr, len }
        PintleSink = "pintle_sink" { data, write }
        PintleField = "pintle_field" { size, kind, name, text, integer, number }
        PintleLog = "pintle_log" { size, reserved, write, enabled, logger_new, logger_write, logger_free }
        PintleConfig = "pintle_config" { size, reserved, get, text, integer, number, boolean }
        PintleEvent = "pintle_event" {
            size, depth, topic, id, source, subject, content_type, key, tenant, data, time_ms, sequence,
            delivery, attempt, reserved
        }
        PintleEmitOptions = "pintle_emit_options" { size, flags, id, subject, content_type, key, wait_ms }
        PintleSubscribeOptions = "pintle_subscribe_options" {
            size, flags, name, capacity, policy, filter, priority, start, start_at, ack_ms, backoff_ms, max_deliveries,
            in_flight
        }
        PintleHandlerResult = "pintle_handler_result" {
            size, outcome, status, reserved, subscriber, subscription, reply, error
        }
        PintleEvents = "pintle_events" {
            size, reserved, emit, subscribe, unsubscribe, emit_sync, ack, nack
        }
        PintleRun = "pintle_run" { size, attempt, job, due_ms, id, flags, reserved, data }
        PintleJobOptions = "pintle_job_options" {
            size, flags, zone, overlap, missed, start_deadline_ms, jitter_ms, timeout_ms, backoff_ms, retries, reserved,
            data
        }
        PintleJob = "pintle_job" { size, flags, name, when, next_ms, last_ms, runs, failed, skipped }
        PintleRunResult = "pintle_run_result" {
            size, flags, id, due_ms, started_ms, duration_ms, attempts, status, result
        }
        PintleScheduler = "pintle_scheduler" {
            size, reserved, cron, interval, once, remove, after, handle, forget, pause, resume, run_now, list, history
        }
        PintleCacheInfo = "pintle_cache_info" { size, flags, integer, ttl_ms, left_ms, version }
        PintleCacheOptions = "pintle_cache_options" {
            size, flags, ttl_ms, stale_ms, error_ms, version, lease, tags, tag_count
        }
        PintleCacheEntry = "pintle_cache_entry" { size, reserved, key, value, options }
        PintleCacheItem = "pintle_cache_item" { size, status, index, key, value, info }
        PintleCacheFetch = "pintle_cache_fetch" { size, flags, wait_ms, lease_ms }
        PintleCacheStats = "pintle_cache_stats" {
            size, reserved, items, bytes, guaranteed_bytes, capacity_bytes, evicted
        }
        PintleCache = "pintle_cache" {
            size, reserved, get, get_into, set, remove, exists, incr, expire, ttl, get_many, set_many, set_absent,
            fetch, fail, invalidate, invalidate_tag, clear, keys, stats
        }
        PintleStorageInfo = "pintle_storage_info" { size, flags, version, created_ms, updated_ms, ttl_ms }
        PintleStorageOptions = "pintle_storage_options" { size, flags, if_version, ttl_ms }
        PintleStorageJob = "pintle_storage_job" { size, overlap, rule, zone, every_ms, delay_ms }
        PintleStorageStep = "pintle_storage_step" { size, kind, key, value, delta, options, event, job }
        PintleStorageChange = "pintle_storage_change" { size, kind, key, version, at_ms }
        PintleWatchOptions = "pintle_watch_options" { size, flags, after }
        PintleStorageStats = "pintle_storage_stats" {
            size, reserved, items, bytes, most_items, most_bytes, version
        }
        PintleStorage = "pintle_storage" {
            size, reserved, get, set, remove, exists, keys, clear, get_into, incr, expire, batch, watch, unwatch, stats
        }
        PintleSqlValue = "pintle_sql_value" { kind, reserved, integer, real, bytes }
        PintleSqlRows = "pintle_sql_rows" { data, columns, row }
        PintleSqlOptions = "pintle_sql_options" { size, flags, timeout_ms, max_rows }
        PintleSqlInfo = "pintle_sql_info" {
            size, error_code, changed, last_insert_id, rows, error_offset
        }
        PintleTransactionOptions = "pintle_transaction_options" { size, flags, wait_ms, timeout_ms }
        PintleMigration = "pintle_migration" { size, number, name, sql }
        PintleMigrateOptions = "pintle_migrate_options" { size, flags, timeout_ms }
        PintleMigrateInfo = "pintle_migrate_info" { size, applied, pending, current }
        PintleSqlColumn = "pintle_sql_column" { size, flags, name, kind, reserved, default_value }
        PintleDatabaseStats = "pintle_database_stats" {
            size, transactions, bytes, free_bytes, limit_bytes
        }
        PintleDatabase = "pintle_database" {
            size, reserved, execute, query, query_one, script, begin, commit, rollback, migrate,
            create_table, stats
        }
        PintleIdempotencyInfo = "pintle_idempotency_info" {
            size, state, flags, attempt, token, left_ms, begun_ms
        }
        PintleIdempotencyOptions = "pintle_idempotency_options" { size, flags, lease_ms, keep_ms }
        PintleIdempotency = "pintle_idempotency" { size, reserved, begin, complete, fail, renew, get }
        PintleFileInfo = "pintle_file_info" { size, reserved, len, version, created_ms, updated_ms }
        PintleFileOptions = "pintle_file_options" { size, flags, if_version }
        PintleFiles = "pintle_files" { size, reserved, put, get, read, stat, list, remove, resource }
        PintleRequest = "pintle_request" { size, major, service, method, caller, data }
        PintleScopeInfo = "pintle_scope_info" { size, flags, generation }
        PintleHost = "pintle_host" {
            size, abi_minor, last_error, set_error, hold, release, scope, remaining, call, service, log, config,
            cache, storage, database, events, scheduler, idempotency, files
        }
        PintlePlugin = "pintle_plugin" {
            size, abi_minor, manifest, id, version, load, enable, disable, unload, configure, save, restore,
            call, provide
        }
    }
}

/// Types of the header alone: Rust never sees one.
const OF_C_ALONE: [&str; 2] = ["pintle_buf", "pintle_sql_copy"];

#[test]
fn contract_5_sizes_and_offsets_are_the_same_in_c_and_cpp() {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let source = folder.path().join("layout.c");
    fs::write(&source, assertions(&layouts())).expect("the folder can be written");
    for compiler in compile::compilers() {
        for standard in compiler.standards.iter().filter(|standard| **standard != "c99") {
            compile::object(compiler, standard, &source, &[], folder.path());
        }
    }
}

#[test]
fn a_wrong_offset_is_noticed() {
    let mut layouts = layouts();
    layouts[0].members[1].1 += 1;
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let source = folder.path().join("layout.c");
    fs::write(&source, assertions(&layouts)).expect("the folder can be written");
    let compiler = &compile::compilers()[0];
    let refusal = compile::try_object(compiler, "c11", &source, &[], folder.path()).expect_err("it is wrong");
    assert!(refusal.contains("offset of pintle_str.len"), "{refusal}");
}

#[test]
fn every_struct_and_member_of_the_header_is_compared() {
    let compared = layouts();
    for of in text::read(HEADER).structs {
        if OF_C_ALONE.contains(&of.name.as_str()) {
            continue;
        }
        let layout = compared.iter().find(|layout| layout.name == of.name);
        let layout = layout.unwrap_or_else(|| panic!("{} is missing in `layouts`", of.name));
        let members: Vec<_> = layout.members.iter().map(|(name, ..)| *name).collect();
        assert_eq!(members, of.members, "the members of {}", of.name);
    }
    assert_eq!(text::read(HEADER).structs.len(), compared.len() + OF_C_ALONE.len());
}

#[test]
fn every_constant_of_the_contract_is_in_the_header() {
    let mut seen = 0;
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/abi/src")).expect("it is there") {
        let text = fs::read_to_string(file.expect("it can be read").path()).expect("it can be read");
        for constant in text.lines().filter_map(|line| line.strip_prefix("pub const ")) {
            let name = constant.split(':').next().expect("a split gives one part at least");
            assert!(HEADER.contains(&format!("#define {name} ")), "{name} did not reach the header");
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} constants were found");
}

/// The numbers as they were given, once: a new status is added at the end, and none is ever changed.
#[test]
fn contract_10_a_status_keeps_its_number() {
    const NUMBERED: [&str; 20] = [
        "OK",
        "NOT_FOUND",
        "INVALID_ARGUMENT",
        "DENIED",
        "STALE_HANDLE",
        "BUFFER_TOO_SMALL",
        "CONFLICT",
        "WRONG_TYPE",
        "OUT_OF_RANGE",
        "TOO_LARGE",
        "QUOTA",
        "TIMEOUT",
        "CANCELLED",
        "BUSY",
        "UNAVAILABLE",
        "UNSUPPORTED",
        "STOPPING",
        "REENTRANT",
        "INTERNAL",
        "PANIC",
    ];
    let contract = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/abi/src/status.rs"));
    let contract = contract.expect("it is there");
    let given = contract.lines().filter_map(|line| line.strip_prefix("pub const PINTLE_"));
    for (number, name) in NUMBERED.iter().enumerate() {
        let line = format!("#define PINTLE_{name} {number}");
        assert!(HEADER.lines().any(|found| found == line), "the header has no line `{line}`");
    }
    assert_eq!(given.count(), NUMBERED.len(), "a new status belongs into this table");
}

fn assertions(layouts: &[Layout]) -> String {
    let mut c = String::from(
        "#include <pintle/plugin.h>\n\
         #ifdef __cplusplus\n#define _Static_assert static_assert\n#define _Alignof alignof\n#endif\n\
         _Static_assert((pintle_status)-1 < 0 && sizeof(pintle_status) == 4, \"pintle_status is an int32_t\");\n\
         _Static_assert((pintle_ctx)-1 > 0 && sizeof(pintle_ctx) == 8, \"pintle_ctx is a uint64_t\");\n\
         _Static_assert(sizeof(pintle_registration) == 8, \"size of pintle_registration\");\n\
         _Static_assert(sizeof(pintle_logger) == 8, \"size of pintle_logger\");\n\
         _Static_assert(sizeof(pintle_cache_lease) == 8, \"size of pintle_cache_lease\");\n\
         _Static_assert(sizeof(pintle_event_handler) == 8, \"size of pintle_event_handler\");\n\
         _Static_assert(sizeof(pintle_job_handler) == 8, \"size of pintle_job_handler\");\n\
         _Static_assert(sizeof(pintle_release) == 8, \"size of pintle_release\");\n",
    );
    let mut assert = |claim: String, what: String| {
        writeln!(c, "_Static_assert({claim}, \"{what}\");").expect("a String can be written");
    };
    for Layout { name, size, alignment, members } in layouts {
        assert(format!("sizeof({name}) == {size}"), format!("size of {name}"));
        assert(format!("_Alignof({name}) == {alignment}"), format!("alignment of {name}"));
        for (member, offset, size) in members {
            let at = format!("offsetof({name}, {member}) == {offset}");
            assert(at, format!("offset of {name}.{member}"));
            let wide = format!("sizeof((({name} *)0)->{member}) == {size}");
            assert(wide, format!("size of {name}.{member}"));
        }
    }
    c
}

fn size_of_member<S, M>(_: fn(&S) -> &M) -> usize {
    size_of::<M>()
}
