/* The contract between a Pintle host and its plugins, ABI 1.0.
 *
 * Generated from abi/src by cbindgen: change it there, then `cargo xtask header`.
 * A plugin exports one function, pintle_plugin_entry_v1, which returns a static pintle_plugin; the host calls
 * its `load` with a context and a pintle_host, whose tables are everything a plugin can ask for.
 *
 * Every function says: what it does; each parameter (owner, how long it is borrowed); Returns (each status);
 * Thread; Blocks; Since. Output parameters are written only on OK, unless it says otherwise. A status other
 * than OK means that nothing was changed. Structs that begin with `size` only ever grow at the end: whoever makes
 * one sets it to the struct's sizeof (under 8 or over 4,096: INVALID_ARGUMENT). In options and fields, flags and
 * bytes that the host does not know yet must be 0, else the call answers UNSUPPORTED and nothing is done.
 *
 * Beside what it names, every function of the host may answer REENTRANT (it was called from inside a sink), QUOTA
 * (the operator has set how many calls a second the plugin may make; what only gives something back, or tells of
 * the running call, is never refused), and INTERNAL or PANIC (a fault of the host's own: please report it).
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0 */


#ifndef PINTLE_PLUGIN_H
#define PINTLE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if UINTPTR_MAX != UINT64_MAX
#error "Pintle is for 64-bit platforms only"
#endif

/* Makes the entry function visible, whatever -fvisibility says, and gives it C linkage. */
#if defined(_WIN32)
#define PINTLE_VISIBLE __declspec(dllexport)
#else
#define PINTLE_VISIBLE __attribute__((visibility("default")))
#endif
#ifdef __cplusplus
#define PINTLE_EXPORT extern "C" PINTLE_VISIBLE
#else
#define PINTLE_EXPORT PINTLE_VISIBLE
#endif

/* -DPINTLE_ENTRY=name renames the entry function of a plugin that is compiled into an application. */
#ifdef PINTLE_ENTRY
#define pintle_plugin_entry_v1 PINTLE_ENTRY
#endif


/* The major version of this contract. It is in the name of the entry function, so it never differs at run time. */
#define PINTLE_ABI_MAJOR 1

/* The minor version of this contract: what a plugin was built against, and what a host offers at least. */
#define PINTLE_ABI_MINOR 0

/* A deadline that never comes: what `remaining` answers where nobody waits. */
#define PINTLE_FOREVER INT64_MAX

/* `pintle_cache_info.flags`: the item is an integer; otherwise it is bytes. */
#define PINTLE_CACHE_INTEGER 1

/* `pintle_cache_info.flags`: the item is stale: past its lifetime, and still within its stale span. */
#define PINTLE_CACHE_STALE 2

/* `pintle_cache_info.flags`, with NOT_FOUND: it is known that there is nothing to be loaded (`set_absent`). */
#define PINTLE_CACHE_ABSENT 4

/* `pintle_cache_options.flags`: `ttl_ms` counts. */
#define PINTLE_CACHE_TTL 1

/* `pintle_cache_options.flags`: an item that is there keeps its lifetime and its spans; `ttl_ms` and the spans count
 * only where the item is created. */
#define PINTLE_CACHE_KEEP_TTL 2

/* `pintle_cache_options.flags`: only if the item is not there, else CONFLICT. */
#define PINTLE_CACHE_IF_ABSENT 4

/* `pintle_cache_options.flags`: only if the item has `version`, else CONFLICT. Not together with
 * `PINTLE_CACHE_IF_ABSENT` (INVALID_ARGUMENT). */
#define PINTLE_CACHE_IF_VERSION 8

/* `pintle_cache_fetch.flags`: do not wait for another caller who is loading the item: TIMEOUT at once. */
#define PINTLE_CACHE_NO_WAIT 1

/* `expire`: whatever the item's lifetime is. */
#define PINTLE_EXPIRE_ALWAYS 0

/* `expire`: only if the item does not expire yet. */
#define PINTLE_EXPIRE_IF_NONE 1

/* `expire`: only if the item expires already. */
#define PINTLE_EXPIRE_IF_SET 2

/* `expire`: only if the new end is later than the end that the item has. To have no end is later than any end. */
#define PINTLE_EXPIRE_IF_LATER 3

/* `expire`: only if the new end is earlier than the end that the item has. To have no end is later than any end;
 * to be removed now is earlier than all. */
#define PINTLE_EXPIRE_IF_EARLIER 4

/* `pintle_sql_value.kind`: NULL. */
#define PINTLE_SQL_NULL 0

/* `pintle_sql_value.kind`: the value is `integer`. */
#define PINTLE_SQL_INTEGER 1

/* `pintle_sql_value.kind`: the value is `real`. NaN becomes NULL, as SQL has none. */
#define PINTLE_SQL_REAL 2

/* `pintle_sql_value.kind`: the value is `bytes`, UTF-8. */
#define PINTLE_SQL_TEXT 3

/* `pintle_sql_value.kind`: the value is `bytes`. */
#define PINTLE_SQL_BLOB 4

/* `pintle_transaction_options.flags`: it writes nothing, so that it waits for no writer and none waits for it; a statement in it
 * that would write answers INVALID_ARGUMENT. */
#define PINTLE_TRANSACTION_READ_ONLY 1

/* `pintle_migrate_options.flags`: nothing is run: only told what would be, after the history was compared. */
#define PINTLE_MIGRATE_DRY_RUN 1

/* `pintle_sql_column.flags`: it is never NULL. */
#define PINTLE_COLUMN_NOT_NULL 1

/* `pintle_sql_column.flags`: no two rows have the same value. */
#define PINTLE_COLUMN_UNIQUE 2

/* `pintle_sql_column.flags`: it is the primary key, or a part of it; never NULL. */
#define PINTLE_COLUMN_PRIMARY_KEY 4

/* `pintle_sql_column.flags`: the database gives a number that grows, and was never used, to each row that names none. For an
 * INTEGER that is the whole primary key. */
#define PINTLE_COLUMN_AUTO_NUMBER 8

/* `pintle_emit_options.flags`: the event is written to the log before `emit` returns, and delivered to durable subscriptions until
 * they have acknowledged it, whatever happens to the process. Transient subscriptions get it as any other event. */
#define PINTLE_EMIT_DURABLE (1 << 0)

/* A full queue loses its oldest event. The default. */
#define PINTLE_QUEUE_DROP_OLDEST 0

/* A full queue takes nothing new. */
#define PINTLE_QUEUE_DROP_NEW 1

/* A full queue makes the publisher wait as long as its `wait_ms` says, then the new event is dropped. */
#define PINTLE_QUEUE_WAIT 2

/* `pintle_subscribe_options.flags`: the subscription gets the durable events that match, and none but those, each until it is
 * acknowledged. Which it has acknowledged is kept under its name for the plugin and tenant that made it, beyond its end, that of
 * the plugin and that of the host, until the plugin is uninstalled. Events wait while the plugin is disabled or not loaded. */
#define PINTLE_SUBSCRIBE_DURABLE (1 << 0)

/* `pintle_subscribe_options.flags`: with `PINTLE_SUBSCRIBE_DURABLE`: an event is acknowledged by `ack`, not by the OK of the handler. */
#define PINTLE_SUBSCRIBE_ACK (1 << 1)

/* A durable subscription that is made for the first time begins with the events that come after it. The default. */
#define PINTLE_START_NEW 0

/* It begins with the oldest event of the log. */
#define PINTLE_START_ALL 1

/* It begins with the event of the number `start_at`. */
#define PINTLE_START_SEQUENCE 2

/* It begins with the first event that was written at the time `start_at` or later, in milliseconds since 1970-01-01 UTC. */
#define PINTLE_START_TIME 3

/* `pintle_handler_result.outcome`: the handler answered OK. */
#define PINTLE_HANDLED 0

/* `pintle_handler_result.outcome`: the handler answered another status. */
#define PINTLE_HANDLER_FAILED 1

/* `pintle_handler_result.outcome`: the handler had not answered by the deadline; it may still do what it does. */
#define PINTLE_HANDLER_TIMEOUT 2

/* `pintle_handler_result.outcome`: the handler panicked or threw, which was caught. */
#define PINTLE_HANDLER_PANIC 3

/* `pintle_handler_result.outcome`: the handler was not called: its plugin is not enabled, is stuck, or has too
 * much to do. */
#define PINTLE_HANDLER_SKIPPED 4

/* `pintle_file_options.flags`: `if_version` counts. */
#define PINTLE_FILE_IF_VERSION 1

/* `pintle_scope_info.flags`: the context is in the system scope; there is no tenant. */
#define PINTLE_SCOPE_SYSTEM 1

/* `pintle_scope_info.flags`: the context ends with the call that it was given to. */
#define PINTLE_SCOPE_CALL 2

/* `pintle_idempotency_info.state`: the caller has started it and is to complete it. */
#define PINTLE_IDEMPOTENCY_STARTED 1

/* `pintle_idempotency_info.state`: somebody else has started it and holds the lease. */
#define PINTLE_IDEMPOTENCY_IN_PROGRESS 2

/* `pintle_idempotency_info.state`: it is over; the result is told. */
#define PINTLE_IDEMPOTENCY_DONE 3

/* `pintle_idempotency_info.state`: it is over and has failed for good; what was passed to `fail` is told. */
#define PINTLE_IDEMPOTENCY_FAILED 4

/* `pintle_idempotency_info.state`: the key was begun with another fingerprint: it is another request under the same key. */
#define PINTLE_IDEMPOTENCY_MISMATCH 5

/* `pintle_idempotency_info.flags`: the lease of the one who had started it before has ended: he may have done a part. */
#define PINTLE_IDEMPOTENCY_TAKEN_OVER 1

/* Finest detail. */
#define PINTLE_LOG_TRACE 0

/* For whoever debugs. */
#define PINTLE_LOG_DEBUG 1

/* What an operator wants to know of a normal day. The default level. */
#define PINTLE_LOG_INFO 2

/* Something is not as it should be, the work goes on. */
#define PINTLE_LOG_WARN 3

/* Something failed. */
#define PINTLE_LOG_ERROR 4

/* The plugin cannot go on. It is logged, nothing exits. */
#define PINTLE_LOG_FATAL 5

/* The field's value is `text`. */
#define PINTLE_FIELD_TEXT 0

/* The field's value is `integer`. */
#define PINTLE_FIELD_INTEGER 1

/* The field's value is `integer`, read as an unsigned number of the same bits. */
#define PINTLE_FIELD_UNSIGNED 2

/* The field's value is `number`. Infinities and NaN are written as text. */
#define PINTLE_FIELD_NUMBER 3

/* The field's value is `integer`: 0 is false, everything else true. */
#define PINTLE_FIELD_BOOLEAN 4

/* `pintle_run.flags`: somebody asked for it (`run_now`, an operator): it is not of the job's schedule. */
#define PINTLE_RUN_REQUESTED 1

/* `pintle_run.flags`: it was missed when it was due (the host was down, the machine slept, the clock was set forward). */
#define PINTLE_RUN_MISSED 2

/* `pintle_run.flags`: it was begun before by a host that did not come to its end: a part of it may have been done. */
#define PINTLE_RUN_AGAIN 4

/* Overlap: a run that is due while the last one has not ended is skipped. The default. */
#define PINTLE_OVERLAP_SKIP 0

/* Overlap: at most one run that is due while the last one has not ended is queued behind it. */
#define PINTLE_OVERLAP_QUEUE 1

/* Overlap: runs stand side by side, as far as the plugin's `concurrency` goes; at most 100 of one job. */
#define PINTLE_OVERLAP_ALLOW 2

/* Runs that were missed: of any number of them one takes place, with the due time of the last. The default. */
#define PINTLE_MISSED_ONCE 0

/* Runs that were missed: none takes place. */
#define PINTLE_MISSED_SKIP 1

/* Runs that were missed: each takes place, one after the other, at most the last 100. */
#define PINTLE_MISSED_ALL 2

/* `pintle_job_options.flags`: the job outlives the host, and its runs are claimed, so that each happens at least once, and
 * once only among all hosts that share the back end, unless a host ends in the middle of it. It lasts until it is removed:
 * a generation that schedules it again takes it over, with its history and where it stands. */
#define PINTLE_JOB_DURABLE 1

/* `pintle_job.flags`: it is durable. */
#define PINTLE_JOB_IS_DURABLE 1

/* `pintle_job.flags`: it is paused (`pause`, an operator). */
#define PINTLE_JOB_IS_PAUSED 2

/* `pintle_job.flags`: a run of it has begun, or waits for its next attempt. */
#define PINTLE_JOB_IS_RUNNING 4

/* `pintle_job.flags`: it waits for a handler: it is durable, and nothing has scheduled it or handles it in this life of
 * the plugin. */
#define PINTLE_JOB_IS_WAITING 8

/* `pintle_storage_options.flags`: `if_version` counts. */
#define PINTLE_STORAGE_IF_VERSION 1

/* `pintle_storage_options.flags`: `ttl_ms` counts. Without it an item that is written does not expire. */
#define PINTLE_STORAGE_TTL 2

/* `pintle_storage_options.flags`: an item that is there keeps the lifetime that it has; not together with
 * `PINTLE_STORAGE_TTL`. */
#define PINTLE_STORAGE_KEEP_TTL 4

/* `pintle_storage_options.flags`: the value must be one JSON text (RFC 8259), else INVALID_ARGUMENT with the place, and
 * nothing is written. */
#define PINTLE_STORAGE_JSON 8

/* `pintle_storage_step.kind`: writes `value` under `key`. */
#define PINTLE_STEP_SET 1

/* `pintle_storage_step.kind`: removes the item; no failure if it is not there. */
#define PINTLE_STEP_REMOVE 2

/* `pintle_storage_step.kind`: adds `delta` to the number that the item is. */
#define PINTLE_STEP_INCR 3

/* `pintle_storage_step.kind`: writes nothing; the item must have the version that the options name. */
#define PINTLE_STEP_CHECK 4

/* `pintle_storage_step.kind`: publishes an event: `key` is the topic, `value` the payload of at most 1 MiB, `event` its
 * options. */
#define PINTLE_STEP_EMIT 5

/* `pintle_storage_step.kind`: schedules a durable job: `key` is its name, `value` what its runs are given, `job` the rest. */
#define PINTLE_STEP_SCHEDULE 6

/* `pintle_storage_change.kind`: the item was written. */
#define PINTLE_CHANGE_SET 1

/* `pintle_storage_change.kind`: the item was removed. */
#define PINTLE_CHANGE_REMOVED 2

/* `pintle_storage_change.kind`: the item has expired. */
#define PINTLE_CHANGE_EXPIRED 3

/* `pintle_storage_change.kind`: every item that was there was removed, by `clear`; `key` is empty. */
#define PINTLE_CHANGE_CLEARED 4

/* `pintle_watch_options.flags`: `after` counts. Without it a watch begins with what changes from now on. */
#define PINTLE_WATCH_AFTER 1

/* The outcome of a call: 0 is OK, everything else a failure. A status other than OK means that nothing was
 * changed, unless the function's page says otherwise. */
typedef int32_t pintle_status;

/* UTF-8 text, not NUL-terminated, borrowed for the duration of the call it is passed to. `ptr` may be null
 * only if `len` is 0. Where the text must be valid UTF-8 and is not, the answer is INVALID_ARGUMENT. */
typedef struct pintle_str {
  /* The first byte. */
  const char *ptr;
  /* The number of bytes. */
  size_t len;
} pintle_str;

/* Bytes, borrowed for the duration of the call they are passed to. `ptr` may be null only if `len` is 0. */
typedef struct pintle_bytes {
  /* The first byte. */
  const uint8_t *ptr;
  /* The number of bytes. */
  size_t len;
} pintle_bytes;

/* Where a result of variable size goes. The side that wants the bytes makes it; the other side calls `write`
 * one or more times, in order, on the thread of the call, before that call returns. Joined, the pieces are the
 * value; an empty value is one empty piece. `write` answering other than OK ends the call with CANCELLED and
 * nothing changed. A host call from inside `write` answers REENTRANT, except `last_error` and `set_error`.
 *
 * A sink that the host gives (a reply, `save`) carries a checked handle as its `data`: written after the call
 * that it belongs to has ended, it answers STALE_HANDLE. */
typedef struct pintle_sink {
  /* Passed back to `write`, otherwise not looked at. */
  void *data;
  /* Takes the next piece. A sink whose `write` is null is answered with INVALID_ARGUMENT.
   *
   * - data: the sink's.
   * - piece: borrowed for this one call.
   *
   * Returns: OK to go on; anything else ends the call that the sink was passed to.
   * Thread: that of the call that the sink was passed to.
   * Blocks: it should not.
   * Since: 1.0. */
  pintle_status (*write)(void *data, struct pintle_bytes piece);
} pintle_sink;

/* Names on whose behalf a call is made: the plugin, its generation and the tenant. Opaque 64 bits that only
 * the host reads; 0 is never valid. A context of a gone generation, of an ended call or of nobody is answered
 * with STALE_HANDLE. A copied live context acts as its owner, on any thread. */
typedef uint64_t pintle_ctx;

/* Names one registration of a plugin: a subscription or a job. Opaque 64 bits; 0 is never valid. Checked for
 * its owner and its kind on every use. */
typedef uint64_t pintle_registration;

/* Names a logger with preset fields. Opaque 64 bits; 0 is never valid. Checked for its owner on every use. */
typedef uint64_t pintle_logger;

/* A named, typed value of a log record. In an array every `size` is equal and is the stride. */
typedef struct pintle_field {
  /* `sizeof(pintle_field)` of whoever filled it in. */
  uint32_t size;
  /* One of `PINTLE_FIELD_…`: which of the members counts. */
  uint32_t kind;
  /* The name, 1 to 128 bytes. Names that the host writes itself (time, level, message, plugin, …) get a
   * trailing `_`. */
  struct pintle_str name;
  /* The value, if `kind` is TEXT. Bad UTF-8 is replaced, control characters are escaped. */
  struct pintle_str text;
  /* The value, if `kind` is INTEGER, UNSIGNED or BOOLEAN. */
  int64_t integer;
  /* The value, if `kind` is NUMBER. */
  double number;
} pintle_field;

/* Structured log records. The host adds time, plugin, version, tenant and the running event or job.
 *
 * No function of this table ever waits: where the buffer is full the record is dropped and counted, and a
 * later record tells how many were lost. */
typedef struct pintle_log {
  /* The size of the host's table. */
  uint32_t size;
  /* Must be ignored. */
  uint32_t reserved;
  /* Writes a record, if `level` is enabled for the plugin.
   *
   * - ctx: on whose behalf.
   * - level: one of `PINTLE_LOG_…`.
   * - message: what happened; borrowed for the call. Longer than 64 KiB is cut and marked. Bad UTF-8 is
   *   replaced, control characters are escaped: a record is always one line.
   * - fields: an array of `count` fields, borrowed for the call; null only if `count` is 0.
   * - count: at most 64.
   *
   * Returns: OK, also when the level is disabled or the record was dropped; INVALID_ARGUMENT (level, null
   * pointer, a field's size, kind or name); TOO_LARGE (count); STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*write)(pintle_ctx ctx,
                         uint32_t level,
                         struct pintle_str message,
                         const struct pintle_field *fields,
                         size_t count);
  /* Tells whether a record of `level` would be written, for callers whose fields are dear to make.
   *
   * - ctx: on whose behalf.
   * - level: one of `PINTLE_LOG_…`.
   * - out: gets 1 or 0; owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT (level, null `out`); STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*enabled)(pintle_ctx ctx, uint32_t level, uint32_t *out);
  /* Makes a logger whose records all carry the given fields. It lives until `logger_free` or the end of the
   * generation.
   *
   * - ctx: on whose behalf; the logger belongs to its plugin, not to its tenant.
   * - fields: an array of `count` fields, copied; null only if `count` is 0.
   * - count: at most 64.
   * - logger: gets the handle; owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT (null pointer, a field); TOO_LARGE (count); QUOTA (1,024 loggers a
   * plugin); STOPPING; STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*logger_new)(pintle_ctx ctx,
                              const struct pintle_field *fields,
                              size_t count,
                              pintle_logger *logger);
  /* Writes a record that starts with the logger's fields.
   *
   * - ctx: on whose behalf.
   * - logger: from `logger_new` of the same plugin.
   * - level: one of `PINTLE_LOG_…`.
   * - message: as in `write`.
   * - fields: as in `write`; they follow the logger's own.
   * - count: at most 64.
   *
   * Returns: as `write`; STALE_HANDLE also for a logger that is over or another plugin's.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*logger_write)(pintle_ctx ctx,
                                pintle_logger logger,
                                uint32_t level,
                                struct pintle_str message,
                                const struct pintle_field *fields,
                                size_t count);
  /* Ends a logger. Needed only for loggers that are made again and again; the generation's end does it too.
   *
   * - ctx: any live context of the plugin.
   * - logger: from `logger_new` of the same plugin.
   *
   * Returns: OK; STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*logger_free)(pintle_ctx ctx, pintle_logger logger);
} pintle_log;

/* The plugin's settings: a JSON object, checked against the manifest's schema before `load`, with the
 * schema's defaults filled in. Values are addressed by JSON pointers (RFC 6901); the empty pointer is the whole.
 *
 * A change is offered to the plugin by `configure` before these functions show it. */
typedef struct pintle_config {
  /* The size of the host's table. */
  uint32_t size;
  /* Must be ignored. */
  uint32_t reserved;
  /* Reads a value as JSON text.
   *
   * - ctx: on whose behalf.
   * - pointer: RFC 6901, at most 1,024 bytes; borrowed for the call.
   * - out: gets the JSON text; the caller's.
   *
   * Returns: OK; NOT_FOUND; INVALID_ARGUMENT (not a JSON pointer, null `write`); CANCELLED (the sink
   * refused); STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*get)(pintle_ctx ctx, struct pintle_str pointer, struct pintle_sink out);
  /* Reads a string, without quotes and escapes.
   *
   * - ctx: on whose behalf.
   * - pointer: RFC 6901, at most 1,024 bytes; borrowed for the call.
   * - out: gets the text; the caller's.
   *
   * Returns: OK; NOT_FOUND; WRONG_TYPE; INVALID_ARGUMENT; CANCELLED; STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*text)(pintle_ctx ctx, struct pintle_str pointer, struct pintle_sink out);
  /* Reads an integer. A number with a zero fraction (`2.0`) is one.
   *
   * - ctx: on whose behalf.
   * - pointer: RFC 6901, at most 1,024 bytes; borrowed for the call.
   * - value: gets the integer; owned by the caller.
   *
   * Returns: OK; NOT_FOUND; WRONG_TYPE; OUT_OF_RANGE (does not fit); INVALID_ARGUMENT; STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*integer)(pintle_ctx ctx, struct pintle_str pointer, int64_t *value);
  /* Reads a number. Integers are converted.
   *
   * - ctx: on whose behalf.
   * - pointer: RFC 6901, at most 1,024 bytes; borrowed for the call.
   * - value: gets the number; owned by the caller.
   *
   * Returns: OK; NOT_FOUND; WRONG_TYPE; INVALID_ARGUMENT; STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*number)(pintle_ctx ctx, struct pintle_str pointer, double *value);
  /* Reads a boolean.
   *
   * - ctx: on whose behalf.
   * - pointer: RFC 6901, at most 1,024 bytes; borrowed for the call.
   * - value: gets 1 or 0; owned by the caller.
   *
   * Returns: OK; NOT_FOUND; WRONG_TYPE; INVALID_ARGUMENT; STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*boolean)(pintle_ctx ctx, struct pintle_str pointer, uint32_t *value);
} pintle_config;

/* What the host knows of an item that was read. The caller sets `size`, and the host writes no further. */
typedef struct pintle_cache_info {
  /* `sizeof(pintle_cache_info)` of the caller. */
  uint32_t size;
  /* `PINTLE_CACHE_INTEGER`, `PINTLE_CACHE_STALE` and `PINTLE_CACHE_ABSENT`, added up, or 0. */
  uint32_t flags;
  /* The value of an integer; 0 for bytes. */
  int64_t integer;
  /* How long the item is still fresh, in milliseconds, at least 1; 0 if it is stale; `PINTLE_FOREVER` if it does
   * not expire. */
  int64_t ttl_ms;
  /* How long it is still there, fresh or stale, in milliseconds, at least 1; 0 if it is past that and `fail` gives it;
   * `PINTLE_FOREVER` if it does not expire. */
  int64_t left_ms;
  /* Another one with each write of this key, never 0 and never one that this key has had before. 0 with
   * `PINTLE_CACHE_ABSENT`. */
  uint64_t version;
} pintle_cache_info;

/* The right, and the duty, to load one item: from `fetch`, until `set`, `set_absent` or `fail` ends it or its deadline
 * passes. 0 is none. Good for its plugin and tenant only, and for no longer than the generation that it was given to. */
typedef uint64_t pintle_cache_lease;

/* How an item is to be kept. Zero means default everywhere. */
typedef struct pintle_cache_options {
  /* `sizeof(pintle_cache_options)` of the plugin. */
  uint32_t size;
  /* `PINTLE_CACHE_TTL`, `PINTLE_CACHE_KEEP_TTL`, `PINTLE_CACHE_IF_ABSENT` and `PINTLE_CACHE_IF_VERSION`, added up, or 0. */
  uint32_t flags;
  /* With its flag: how long the item is fresh, in milliseconds, at most 100 years; 0: it does not expire. Without: as
   * long as the host's settings say, 1 hour by default. */
  int64_t ttl_ms;
  /* The stale span: how long after its lifetime the item is still given, as stale, while somebody loads it anew, in
   * milliseconds, at most 100 years (stale-while-revalidate, RFC 5861). */
  int64_t stale_ms;
  /* The error span: how long after its lifetime `fail` still gives the item to a caller who could not load it, in
   * milliseconds, at most 100 years (stale-if-error, RFC 5861). Past its stale span it is absent for all others. */
  int64_t error_ms;
  /* With `PINTLE_CACHE_IF_VERSION`: the version that the item must have; 0: it must not be there. */
  uint64_t version;
  /* From `fetch` of the same namespace and key: the write answers it, and is refused if it is over. 0: none. */
  pintle_cache_lease lease;
  /* By which the item can be invalidated: `tag_count` names, of 1 to 128 bytes, UTF-8 without NUL, borrowed for the
   * call. May be null if there are none. */
  const struct pintle_str *tags;
  /* How many tags there are, at most 16 (else INVALID_ARGUMENT); the same one twice is one. */
  size_t tag_count;
} pintle_cache_options;

/* One item to be written by `set_many`. */
typedef struct pintle_cache_entry {
  /* `sizeof(pintle_cache_entry)` of the plugin. */
  uint32_t size;
  /* 0. */
  uint32_t reserved;
  /* As in `set`. */
  struct pintle_str key;
  /* As in `set`. */
  struct pintle_bytes value;
  /* As in `set`. */
  const struct pintle_cache_options *options;
} pintle_cache_entry;

/* The answer to one key of `get_many`. */
typedef struct pintle_cache_item {
  /* `sizeof(pintle_cache_item)` of the host. */
  uint32_t size;
  /* OK, NOT_FOUND, or why it could not be read. */
  pintle_status status;
  /* Which of the keys it is, from 0. */
  size_t index;
  /* The key itself: the caller's own. */
  struct pintle_str key;
  /* The bytes, or the digits of an integer; empty unless the status is OK. */
  struct pintle_bytes value;
  /* What is known of the item; null unless the status is OK, or NOT_FOUND of what is known to be absent. */
  const struct pintle_cache_info *info;
} pintle_cache_item;

/* Called with the answer to each key of `get_many`. Host calls from inside answer REENTRANT, except `last_error` and
 * `set_error`.
 *
 * - user: as given to `get_many`.
 * - item: borrowed until this function returns.
 *
 * Returns: OK to go on; anything else: no further item is told, and `get_many` answers CANCELLED.
 * Thread: that of the call of `get_many`: [any-thread].
 * Blocks: it should not.
 * Since: 1.0. */
typedef pintle_status (*pintle_cache_item_handler)(void *user, const struct pintle_cache_item *item);

/* How an item is to be fetched. Zero means default everywhere. */
typedef struct pintle_cache_fetch {
  /* `sizeof(pintle_cache_fetch)` of the plugin. */
  uint32_t size;
  /* `PINTLE_CACHE_NO_WAIT`, or 0. */
  uint32_t flags;
  /* How long to wait for another caller who is loading the item, in milliseconds, 1 to 3,600,000; 0: 5,000 by
   * default. Never longer than this function's own caller waits. */
  int64_t wait_ms;
  /* How long the lease is good for, if this caller gets it, in milliseconds, 1 to 3,600,000; 0: 10,000. */
  int64_t lease_ms;
} pintle_cache_fetch;

/* What a plugin has in the cache. The caller sets `size`, and the host writes no further. */
typedef struct pintle_cache_stats {
  /* `sizeof(pintle_cache_stats)` of the caller. */
  uint32_t size;
  /* Must be ignored. */
  uint32_t reserved;
  /* Its items that have not expired, of all tenants. */
  uint64_t items;
  /* What they take, in bytes, with what it takes to keep them. */
  uint64_t bytes;
  /* Below how many bytes no other plugin can push it. */
  uint64_t guaranteed_bytes;
  /* What the items of all plugins together may take, in bytes. */
  uint64_t capacity_bytes;
  /* How many items have made room for others since the host started. */
  uint64_t evicted;
} pintle_cache_stats;

/* Volatile key-value items, at the speed of a local map; gone when the host stops, or when room is needed.
 *
 * Items belong to the plugin and the tenant of the context, and lie in namespaces (1 to 128 bytes) under keys
 * (1 to 512 bytes), both UTF-8 without NUL. An item is bytes, at most 1 MiB, or a 64-bit integer, which reads
 * as its decimal digits. An empty value is a value. An item that has expired is absent for every function.
 *
 * Where the host's settings name a back end behind the memory, items may outlive the host, reads of what is not in memory
 * and all writes block while that back end works, and if it is down reads find nothing and all else answers UNAVAILABLE. */
typedef struct pintle_cache {
  /* The size of the host's table. */
  uint32_t size;
  /* Must be ignored. */
  uint32_t reserved;
  /* Reads an item.
   *
   * - ctx: on whose behalf.
   * - ns: the namespace; borrowed for the call.
   * - key: borrowed for the call.
   * - out: gets the bytes, or the digits of an integer; the caller's.
   * - info: gets what is known of the item, on OK, and on NOT_FOUND if it is known to be absent; may be null. Owned by
   *   the caller.
   *
   * A stale item is given too, and `info` says that it is: whoever wants to load it anew calls `fetch`.
   *
   * Returns: OK; NOT_FOUND; INVALID_ARGUMENT; DENIED (the method, or the namespace); CANCELLED (the sink
   * refused); UNAVAILABLE (the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: never without a back end.
   * Since: 1.0. */
  pintle_status (*get)(pintle_ctx ctx,
                       struct pintle_str ns,
                       struct pintle_str key,
                       struct pintle_sink out,
                       struct pintle_cache_info *info);
  /* Reads an item into a buffer: `get` for hot paths, and granted with it.
   *
   * - ctx: on whose behalf.
   * - ns: the namespace; borrowed for the call.
   * - key: borrowed for the call.
   * - buf: gets the bytes, or the digits of an integer; may be null if `cap` is 0. Owned by the caller.
   * - cap: how many bytes `buf` has room for.
   * - len: gets the number of bytes of the value, on OK and on BUFFER_TOO_SMALL. Owned by the caller.
   * - info: as in `get`. Owned by the caller.
   *
   * Returns: OK; NOT_FOUND; BUFFER_TOO_SMALL (`len` is what is needed, and nothing else was written);
   * INVALID_ARGUMENT; DENIED; UNAVAILABLE (the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: never without a back end.
   * Since: 1.0. */
  pintle_status (*get_into)(pintle_ctx ctx,
                            struct pintle_str ns,
                            struct pintle_str key,
                            uint8_t *buf,
                            size_t cap,
                            size_t *len,
                            struct pintle_cache_info *info);
  /* Writes an item of bytes. Replaces value, lifetime, spans and tags of one that is there.
   *
   * - ctx: on whose behalf.
   * - ns: the namespace; borrowed for the call.
   * - key: borrowed for the call.
   * - value: at most 1 MiB, copied.
   * - options: may be null; borrowed for the call.
   *
   * Returns: OK; CONFLICT (a condition does not hold; or with a lease: it has lapsed, or the key or one of the tags was
   * written or invalidated since it was given): nothing was written; TOO_LARGE (above 1 MiB, or more than the
   * whole cache has room for); OUT_OF_RANGE (a lifetime or a span that is negative or above 100 years);
   * INVALID_ARGUMENT; DENIED (the method, or the namespace); UNSUPPORTED (an option this host does not know);
   * UNAVAILABLE (no room could be made for it, there is no memory, the back end is down, or the host has stopped);
   * STALE_HANDLE (also a lease that was never given to this plugin and tenant).
   * Thread: any.
   * Blocks: never without a back end.
   * Since: 1.0. */
  pintle_status (*set)(pintle_ctx ctx,
                       struct pintle_str ns,
                       struct pintle_str key,
                       struct pintle_bytes value,
                       const struct pintle_cache_options *options);
  /* Removes an item. No failure if it is not there.
   *
   * - ctx: on whose behalf.
   * - ns: the namespace; borrowed for the call.
   * - key: borrowed for the call.
   * - existed: gets 1 if the item was there, else 0; may be null. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT; DENIED; UNAVAILABLE (the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: never without a back end.
   * Since: 1.0. */
  pintle_status (*remove)(pintle_ctx ctx, struct pintle_str ns, struct pintle_str key, uint32_t *existed);
  /* Tells whether an item is there.
   *
   * - ctx: on whose behalf.
   * - ns: the namespace; borrowed for the call.
   * - key: borrowed for the call.
   * - exists: gets 1 if the item is there, else 0. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT; DENIED; UNAVAILABLE (the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: never without a back end.
   * Since: 1.0. */
  pintle_status (*exists)(pintle_ctx ctx, struct pintle_str ns, struct pintle_str key, uint32_t *exists);
  /* Adds to an integer, in one step that no other thread can come between. A missing item counts from 0, and
   * bytes that are the decimal digits of a 64-bit integer, as `get` would give them, become one.
   *
   * - ctx: on whose behalf.
   * - ns: the namespace; borrowed for the call.
   * - key: borrowed for the call.
   * - delta: what to add; may be negative or 0.
   * - options: may be null; borrowed for the call. Only the lifetime may be given (else INVALID_ARGUMENT), and it counts
   *   only where the item is created: it never slides.
   * - value: gets the sum; may be null. Owned by the caller.
   *
   * Returns: OK; WRONG_TYPE (other bytes); OUT_OF_RANGE (the sum overflows, or a lifetime as in `set`, also where
   * it does not count); TOO_LARGE (more than the whole cache has room for); INVALID_ARGUMENT; DENIED; UNSUPPORTED
   * (an option this host does not know); UNAVAILABLE (as `set`); STALE_HANDLE.
   * Thread: any.
   * Blocks: never without a back end.
   * Since: 1.0. */
  pintle_status (*incr)(pintle_ctx ctx,
                        struct pintle_str ns,
                        struct pintle_str key,
                        int64_t delta,
                        const struct pintle_cache_options *options,
                        int64_t *value);
  /* Changes how long an item lives. Its spans stay as long as they are.
   *
   * - ctx: on whose behalf.
   * - ns: the namespace; borrowed for the call.
   * - key: borrowed for the call.
   * - ttl_ms: from now on, in milliseconds, at most 100 years; 0: it does not expire any more; negative: it is
   *   removed now.
   * - condition: one of `PINTLE_EXPIRE_…`.
   * - existed: gets 1 if the item was there, else 0, on OK and on CONFLICT; may be null. Owned by the caller.
   *
   * Returns: OK, also where the item is not there; CONFLICT (the condition does not hold, nothing was changed);
   * OUT_OF_RANGE (`ttl_ms`); INVALID_ARGUMENT; DENIED; UNSUPPORTED (a condition this host does not know); UNAVAILABLE (the
   * host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: never without a back end.
   * Since: 1.0. */
  pintle_status (*expire)(pintle_ctx ctx,
                          struct pintle_str ns,
                          struct pintle_str key,
                          int64_t ttl_ms,
                          uint32_t condition,
                          uint32_t *existed);
  /* Tells how long an item is still fresh.
   *
   * - ctx: on whose behalf.
   * - ns: the namespace; borrowed for the call.
   * - key: borrowed for the call.
   * - ttl_ms: gets the milliseconds, at least 1; 0 if it is stale; `PINTLE_FOREVER` if it does not expire. Owned by the
   *   caller.
   *
   * Returns: OK; NOT_FOUND; INVALID_ARGUMENT; DENIED; UNAVAILABLE (the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: never without a back end.
   * Since: 1.0. */
  pintle_status (*ttl)(pintle_ctx ctx, struct pintle_str ns, struct pintle_str key, int64_t *ttl_ms);
  /* Reads several items. They are read one after the other: what others write meanwhile is seen in some of them.
   *
   * - ctx: on whose behalf.
   * - ns: the namespace of all; borrowed for the call.
   * - keys: borrowed for the call.
   * - count: how many keys, at most 1,024.
   * - each: called with the answer to each key, in their order, before this returns; not null.
   * - user: passed to `each`; the caller's.
   *
   * Returns: OK, whatever was found; CANCELLED (`each` refused); INVALID_ARGUMENT (also one of the keys: then nothing was
   * read); TOO_LARGE (the count); DENIED; UNAVAILABLE (the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: never without a back end.
   * Since: 1.0. */
  pintle_status (*get_many)(pintle_ctx ctx,
                            struct pintle_str ns,
                            const struct pintle_str *keys,
                            size_t count,
                            pintle_cache_item_handler each,
                            void *user);
  /* Writes several items, each as `set` would, in their order. One that fails does not keep the others from being
   * written.
   *
   * - ctx: on whose behalf.
   * - ns: the namespace of all; borrowed for the call.
   * - entries: borrowed for the call.
   * - count: how many, at most 1,024.
   * - statuses: gets what `set` answered for each, `count` of them, on OK; not null unless `count` is 0. `last_error` then
   *   tells of the last that failed. Owned by the caller.
   *
   * Returns: OK, whatever became of each; INVALID_ARGUMENT (the namespace, or what is no array); TOO_LARGE (the count);
   * DENIED; UNSUPPORTED (a member of an entry that this host does not know; an option like that is the answer to its
   * entry alone); UNAVAILABLE (the host has stopped); STALE_HANDLE. Where it is not OK nothing was written.
   * Thread: any.
   * Blocks: never without a back end.
   * Since: 1.0. */
  pintle_status (*set_many)(pintle_ctx ctx,
                            struct pintle_str ns,
                            const struct pintle_cache_entry *entries,
                            size_t count,
                            pintle_status *statuses);
  /* Writes that it is known to be absent: `get` and `fetch` answer NOT_FOUND at once, and nobody loads it meanwhile.
   * Replaces an item that is there. For all other functions it is not there.
   *
   * - ctx: on whose behalf.
   * - ns: the namespace; borrowed for the call.
   * - key: borrowed for the call.
   * - options: as in `set`, without spans (INVALID_ARGUMENT); may be null; borrowed for the call. Where no lifetime is
   *   given it is the one that the host's settings have for what is absent, 10 seconds by default.
   *
   * Returns: as `set`.
   * Thread: any.
   * Blocks: never without a back end.
   * Since: 1.0. */
  pintle_status (*set_absent)(pintle_ctx ctx,
                              struct pintle_str ns,
                              struct pintle_str key,
                              const struct pintle_cache_options *options);
  /* Reads an item, and makes one caller load it where it has to be loaded. Of many that miss the same item one gets
   * the lease, and the others wait for what it writes; if it fails, or its lease lapses, the next one gets a lease. Of
   * many that find a stale item the first gets the lease, and all get the item at once.
   *
   * - ctx: on whose behalf.
   * - ns: the namespace; borrowed for the call.
   * - key: borrowed for the call.
   * - options: may be null; borrowed for the call.
   * - out: gets the bytes, or the digits of an integer; the caller's.
   * - info: gets what is known of the item, on OK, and on NOT_FOUND if it is known to be absent; may be null. Owned by
   *   the caller.
   * - lease: gets the lease on OK and on NOT_FOUND: if it is not 0 the caller is to load the item and to end the lease by
   *   `set` or `set_absent` with it, or by `fail`. Owned by the caller.
   *
   * Returns: OK; NOT_FOUND (with a lease: load it; without: it is known to be absent); TIMEOUT (another caller is loading it
   * still); REENTRANT (it is this very call that is to load it, or one that waits for this call: waiting would never
   * end); BUSY (too many calls wait inside the host); QUOTA (the plugin has 1,024 leases); INVALID_ARGUMENT; OUT_OF_RANGE (a
   * time of the options); DENIED; UNSUPPORTED; CANCELLED (the sink refused: then the lease is over too; or the caller of
   * this function has given up); STOPPING; UNAVAILABLE (the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: until the item is there or to be loaded by this caller, at most `wait_ms`.
   * Since: 1.0. */
  pintle_status (*fetch)(pintle_ctx ctx,
                         struct pintle_str ns,
                         struct pintle_str key,
                         const struct pintle_cache_fetch *options,
                         struct pintle_sink out,
                         struct pintle_cache_info *info,
                         pintle_cache_lease *lease);
  /* Says that the item could not be loaded: the lease is over, and the next caller who waits gets one. Gives the old
   * item, if that is still within its stale or its error span.
   *
   * - ctx: on whose behalf: of the plugin and the tenant that got the lease.
   * - lease: from `fetch`.
   * - out: gets the bytes of the old item; the caller's.
   * - info: gets what is known of the old item; may be null. Owned by the caller.
   *
   * Returns: OK (the old item was given); NOT_FOUND (there is none to give; `last_error` goes on to tell of what failed
   * before); CANCELLED (the sink refused; the lease is over all the same); DENIED; UNAVAILABLE (the host has stopped);
   * STALE_HANDLE (also a lease that is over).
   * Thread: any.
   * Blocks: never without a back end.
   * Since: 1.0. */
  pintle_status (*fail)(pintle_ctx ctx,
                        pintle_cache_lease lease,
                        struct pintle_sink out,
                        struct pintle_cache_info *info);
  /* Removes all items whose keys match a pattern, and refuses what is loaded under leases for such keys.
   *
   * In a pattern `*` stands for any number of characters, `?` for one, `[a-z]` for one of a set and `[!a-z]` for one that
   * is not in it, and none of them for `/`; `**` between slashes, or at an end, for any number of whole segments, also
   * none; a backslash takes the meaning from the character behind it. All else stands for itself.
   *
   * - ctx: on whose behalf.
   * - ns: the namespace; borrowed for the call.
   * - pattern: 1 to 512 bytes, UTF-8 without NUL; borrowed for the call.
   * - count: gets how many items there were; may be null. Owned by the caller.
   *
   * Returns: OK, also where nothing matches; INVALID_ARGUMENT (also a bad pattern, with the place); DENIED; UNAVAILABLE (the
   * back end is down, or the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: while it looks at the keys of the namespace.
   * Since: 1.0. */
  pintle_status (*invalidate)(pintle_ctx ctx, struct pintle_str ns, struct pintle_str pattern, uint64_t *count);
  /* Removes all items that were written with a tag, in all namespaces, and refuses what is loaded under leases that are
   * out and is then written with it.
   *
   * - ctx: on whose behalf.
   * - tag: 1 to 128 bytes, UTF-8 without NUL; borrowed for the call.
   * - count: gets how many items there were; may be null. Owned by the caller.
   *
   * Returns: OK, also where nothing has it; INVALID_ARGUMENT; DENIED; UNAVAILABLE (the back end is down, or the host has
   * stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: while the items are removed.
   * Since: 1.0. */
  pintle_status (*invalidate_tag)(pintle_ctx ctx, struct pintle_str tag, uint64_t *count);
  /* Removes all items of a namespace, and refuses what is loaded under leases for keys of it.
   *
   * - ctx: on whose behalf.
   * - ns: the namespace; borrowed for the call.
   * - count: gets how many items there were; may be null. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT; DENIED; UNAVAILABLE (the back end is down, or the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: while the items are removed.
   * Since: 1.0. */
  pintle_status (*clear)(pintle_ctx ctx, struct pintle_str ns, uint64_t *count);
  /* Lists the keys of a namespace, in no order, in pages. A key whose item is there from the first page to the last is
   * told exactly once.
   *
   * - ctx: on whose behalf.
   * - ns: the namespace; borrowed for the call.
   * - prefix: which keys: those that begin with these bytes; empty: all. At most 512 bytes, no character has a
   *   meaning of its own. Borrowed for the call.
   * - cursor: empty for the first page, then what `next` got; borrowed for the call.
   * - limit: how many keys at most, 1 to 1,000; 0: 100.
   * - out: gets the keys, each followed by a NUL; the caller's.
   * - next: gets the cursor of the next page, empty after the last; its `write` may be null. The caller's.
   *
   * Returns: OK; INVALID_ARGUMENT (also a limit above 1,000, and a cursor that `next` did not get); DENIED; CANCELLED (a sink refused);
   * UNAVAILABLE (the back end is down, or the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: while it looks at the keys of the namespace.
   * Since: 1.0. */
  pintle_status (*keys)(pintle_ctx ctx,
                        struct pintle_str ns,
                        struct pintle_str prefix,
                        struct pintle_str cursor,
                        uint32_t limit,
                        struct pintle_sink out,
                        struct pintle_sink next);
  /* Tells what the plugin has in the cache, for all of its tenants.
   *
   * - ctx: on whose behalf.
   * - stats: gets it. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT; DENIED; UNAVAILABLE (the back end is down, or the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: never without a back end.
   * Since: 1.0. */
  pintle_status (*stats)(pintle_ctx ctx, struct pintle_cache_stats *stats);
} pintle_cache;

/* What the host knows of an item that was read. The caller sets `size`, and the host writes no further. */
typedef struct pintle_storage_info {
  /* `sizeof(pintle_storage_info)` of the caller. */
  uint32_t size;
  /* 0: no flag is known yet. */
  uint32_t flags;
  /* Grows with every write, over all items, and is never used again. */
  uint64_t version;
  /* When the item was created, in milliseconds since 1970-01-01 UTC. */
  int64_t created_ms;
  /* When it was last written, in milliseconds since 1970-01-01 UTC. */
  int64_t updated_ms;
  /* How long it is still there, in milliseconds; `PINTLE_FOREVER`: it does not expire. */
  int64_t ttl_ms;
} pintle_storage_info;

/* Under which condition, and for how long, an item is to be written. Zero means none, and for ever. */
typedef struct pintle_storage_options {
  /* `sizeof(pintle_storage_options)` of the plugin. */
  uint32_t size;
  /* `PINTLE_STORAGE_…`, or 0. */
  uint32_t flags;
  /* With its flag: write only if the item has this version; 0: only if it is not there. */
  uint64_t if_version;
  /* With its flag: how long the item lives, in milliseconds; 0: it does not expire; negative: OUT_OF_RANGE. */
  int64_t ttl_ms;
} pintle_storage_options;

/* A job that a batch schedules. One of `rule` and `every_ms` says when it runs; without both it runs once. */
typedef struct pintle_storage_job {
  /* `sizeof(pintle_storage_job)` of the plugin. */
  uint32_t size;
  /* One of `PINTLE_OVERLAP_…`. */
  uint32_t overlap;
  /* A cron rule, as `pintle_scheduler.cron` takes it; empty: none. */
  struct pintle_str rule;
  /* Time zone of the rule by its IANA name; empty: UTC. */
  struct pintle_str zone;
  /* How often it runs, in milliseconds; 0: not by interval. */
  int64_t every_ms;
  /* For a job that runs once: how long from the commit on, in milliseconds, at least 0. */
  int64_t delay_ms;
} pintle_storage_job;

/* The source of randomness and time is the host; what a publisher may say beside topic and data is here.
 * Zero means default everywhere: `pintle_emit_options o = {0}; o.size = sizeof o;` changes nothing. */
typedef struct pintle_emit_options {
  /* `sizeof(pintle_emit_options)` of the plugin. */
  uint32_t size;
  /* Any of `PINTLE_EMIT_…`. */
  uint32_t flags;
  /* CloudEvents `id`, 1 to 256 bytes; empty: the host makes one. A durable event whose id and source are those of one that was
   * written for the same tenant within the dedupe window (settings, two minutes by default) is that event: `emit` answers OK and
   * nothing is delivered again. */
  struct pintle_str id;
  /* CloudEvents `subject`, at most 512 bytes; empty: none. */
  struct pintle_str subject;
  /* CloudEvents `datacontenttype`, at most 128 bytes; empty: `application/json`. */
  struct pintle_str content_type;
  /* The ordering key, at most 512 bytes; empty: none. */
  struct pintle_str key;
  /* How long to wait for room in the queues of subscriptions with `PINTLE_QUEUE_WAIT`, in milliseconds, at
   * most 60,000; 0: not at all. Must be 0 in `emit_sync`, which has a deadline of its own. */
  int64_t wait_ms;
} pintle_emit_options;

/* One step of a batch. What its kind does not use must be zero, else INVALID_ARGUMENT. */
typedef struct pintle_storage_step {
  /* `sizeof(pintle_storage_step)` of the plugin; the same in all steps of a batch. */
  uint32_t size;
  /* One of `PINTLE_STEP_…`. */
  uint32_t kind;
  /* The item's key, the event's topic or the job's name. */
  struct pintle_str key;
  /* The item's value, the event's payload or what the job's runs are given. */
  struct pintle_bytes value;
  /* `PINTLE_STEP_INCR`: what to add. */
  int64_t delta;
  /* Of the write: as in `set` and `incr`; may be null. `PINTLE_STEP_REMOVE` and `PINTLE_STEP_CHECK` take
   * `PINTLE_STORAGE_IF_VERSION` alone, and a check must have it. */
  const struct pintle_storage_options *options;
  /* `PINTLE_STEP_EMIT`: as in `emit`; may be null. Its `wait_ms` must be 0. */
  const struct pintle_emit_options *event;
  /* `PINTLE_STEP_SCHEDULE`: when the job runs; not null. */
  const struct pintle_storage_job *job;
} pintle_storage_step;

/* A change, as a watch sees it. Borrowed until the handler returns. */
typedef struct pintle_storage_change {
  /* `sizeof(pintle_storage_change)` of the host. */
  uint32_t size;
  /* One of `PINTLE_CHANGE_…`; handlers must skip what they do not know. */
  uint32_t kind;
  /* The item's key. Its value is not told: `get` reads the newest. */
  struct pintle_str key;
  /* The version of the change: what to resume after. */
  uint64_t version;
  /* When it happened, in milliseconds since 1970-01-01 UTC. */
  int64_t at_ms;
} pintle_storage_change;

/* Called on the plugin's lane with each change that a watch is about, in the order of their versions.
 *
 * - user: as given to `watch`.
 * - ctx: of the plugin, in the scope that watches; valid until the handler returns.
 * - change: borrowed until the handler returns.
 * - reply: nobody reads it.
 *
 * Returns: OK, or any other status: counted and logged as a failure; the watch goes on with the next change.
 * Thread: the plugin's lane: [lane].
 * Blocks: it may, until the handler's deadline (30 s by default); the lane waits meanwhile.
 * Since: 1.0. */
typedef pintle_status (*pintle_watch_handler)(void *user,
                                              pintle_ctx ctx,
                                              const struct pintle_storage_change *change,
                                              struct pintle_sink reply);

/* Where a watch begins. Zero means with what changes from now on. */
typedef struct pintle_watch_options {
  /* `sizeof(pintle_watch_options)` of the plugin. */
  uint32_t size;
  /* `PINTLE_WATCH_AFTER`, or 0. */
  uint32_t flags;
  /* With its flag: begin with what has changed after this version; 0: with every item that is there. */
  uint64_t after;
} pintle_watch_options;

/* What a plugin has in the storage for one tenant. The caller sets `size`, and the host writes no further. */
typedef struct pintle_storage_stats {
  /* `sizeof(pintle_storage_stats)` of the caller. */
  uint32_t size;
  /* Must be ignored. */
  uint32_t reserved;
  /* How many items there are for the tenant of the context. One that has expired may count for a moment. */
  uint64_t items;
  /* The bytes of their keys and values. */
  uint64_t bytes;
  /* How many items the tenant of the context may have; 0: no limit. */
  uint64_t most_items;
  /* How many bytes they may have; 0: no limit. */
  uint64_t most_bytes;
  /* The version that was given last, to an item of anybody. */
  uint64_t version;
} pintle_storage_stats;

/* Called once on the plugin's lane after the last call of a registration, at the latest before `unload`: the
 * place to free `user`.
 *
 * - user: as given when registering.
 *
 * Returns: nothing.
 * Thread: the plugin's lane: [lane].
 * Blocks: it should not.
 * Since: 1.0. */
typedef void (*pintle_release)(void *user);

/* Durable key-value items: OK to a write means that it is on disk.
 *
 * Items belong to the plugin and the tenant of the context and lie under keys of 1 to 512 bytes, UTF-8 without
 * NUL. Values are bytes, at most 4 MiB by default; an empty value is a value. They outlive the host, reloads and
 * updates of the plugin. An item that has expired is not there, for every function. In `load` and `restore` every function
 * that writes answers UNAVAILABLE. */
typedef struct pintle_storage {
  /* The size of the host's table. */
  uint32_t size;
  /* Must be ignored. */
  uint32_t reserved;
  /* Reads an item.
   *
   * - ctx: on whose behalf.
   * - key: borrowed for the call.
   * - out: gets the bytes; the caller's.
   * - info: gets what is known of the item; may be null. Owned by the caller.
   *
   * Returns: OK; NOT_FOUND; INVALID_ARGUMENT; DENIED; CANCELLED (the sink refused); UNAVAILABLE (the disk
   * fails, or the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: while the disk reads.
   * Since: 1.0. */
  pintle_status (*get)(pintle_ctx ctx,
                       struct pintle_str key,
                       struct pintle_sink out,
                       struct pintle_storage_info *info);
  /* Writes an item.
   *
   * - ctx: on whose behalf.
   * - key: borrowed for the call.
   * - value: at most 4 MiB by default, copied.
   * - options: may be null; borrowed for the call.
   * - version: gets the item's new version, and on CONFLICT the one that it has (0: it is not there); may be
   *   null. Owned by the caller.
   *
   * Returns: OK; CONFLICT (not the version asked for); TOO_LARGE; INVALID_ARGUMENT (also what is to be JSON and is
   * not); OUT_OF_RANGE (the lifetime); QUOTA (more items or bytes than the settings allow); DENIED; UNSUPPORTED (an
   * option this host does not know); UNAVAILABLE (in `load` and `restore`; the disk is full or fails, the text says
   * which; the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: until the write is on disk.
   * Since: 1.0. */
  pintle_status (*set)(pintle_ctx ctx,
                       struct pintle_str key,
                       struct pintle_bytes value,
                       const struct pintle_storage_options *options,
                       uint64_t *version);
  /* Removes an item. No failure if it is not there.
   *
   * - ctx: on whose behalf.
   * - key: borrowed for the call.
   * - existed: gets 1 if the item was there, else 0; may be null. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT; DENIED; UNAVAILABLE (as `set`); STALE_HANDLE.
   * Thread: any.
   * Blocks: until the removal is on disk.
   * Since: 1.0. */
  pintle_status (*remove)(pintle_ctx ctx, struct pintle_str key, uint32_t *existed);
  /* Tells whether an item is there.
   *
   * - ctx: on whose behalf.
   * - key: borrowed for the call.
   * - exists: gets 1 if the item is there, else 0. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT; DENIED; UNAVAILABLE (as `get`); STALE_HANDLE.
   * Thread: any.
   * Blocks: while the disk reads.
   * Since: 1.0. */
  pintle_status (*exists)(pintle_ctx ctx, struct pintle_str key, uint32_t *exists);
  /* Lists keys in byte order, in pages.
   *
   * - ctx: on whose behalf.
   * - prefix: which keys: those that begin with these bytes; empty: all. At most 512 bytes, no character has a
   *   meaning of its own. Borrowed for the call.
   * - cursor: empty for the first page, then what `next` got; borrowed for the call.
   * - limit: how many keys at most, 1 to 1,000; 0: 100.
   * - out: gets the keys, each followed by a NUL; the caller's.
   * - next: gets the cursor of the next page, empty after the last; its `write` may be null. The caller's. Keys
   *   that come or go between two pages do not disturb it.
   *
   * Returns: OK; INVALID_ARGUMENT (also a cursor that `next` did not get); DENIED; CANCELLED (a sink refused);
   * UNAVAILABLE (as `get`); STALE_HANDLE.
   * Thread: any.
   * Blocks: while the disk reads.
   * Since: 1.0. */
  pintle_status (*keys)(pintle_ctx ctx,
                        struct pintle_str prefix,
                        struct pintle_str cursor,
                        uint32_t limit,
                        struct pintle_sink out,
                        struct pintle_sink next);
  /* Removes every item of the plugin for the tenant of the context, and none of another.
   *
   * - ctx: on whose behalf.
   * - removed: gets how many there were; may be null. Owned by the caller.
   *
   * Returns: OK; DENIED; UNAVAILABLE (as `set`); STALE_HANDLE.
   * Thread: any.
   * Blocks: until the removal is on disk.
   * Since: 1.0. */
  pintle_status (*clear)(pintle_ctx ctx, uint64_t *removed);
  /* Reads an item into a buffer of the caller's: `get` for hot paths.
   *
   * - ctx: on whose behalf.
   * - key: borrowed for the call.
   * - buf: gets the bytes; the caller's; may be null if `cap` is 0.
   * - cap: how many bytes `buf` has.
   * - len: gets how many bytes the value has, also on BUFFER_TOO_SMALL. Owned by the caller.
   * - info: gets what is known of the item, also on BUFFER_TOO_SMALL; may be null. Owned by the caller.
   *
   * Returns: OK; BUFFER_TOO_SMALL (nothing is written to `buf`); NOT_FOUND; INVALID_ARGUMENT; DENIED; UNAVAILABLE (as
   * `get`); STALE_HANDLE.
   * Thread: any.
   * Blocks: while the disk reads.
   * Since: 1.0. */
  pintle_status (*get_into)(pintle_ctx ctx,
                            struct pintle_str key,
                            uint8_t *buf,
                            size_t cap,
                            size_t *len,
                            struct pintle_storage_info *info);
  /* Adds to the number that an item is, and tells the sum. The item is the decimal text of a 64-bit integer, without
   * leading zeros or a plus sign; one that is not there counts from 0.
   *
   * - ctx: on whose behalf.
   * - key: borrowed for the call.
   * - delta: what to add.
   * - options: `if_version` as in `set`; the lifetime counts only where the item is created, and never slides; no other
   *   flag is taken. May be null. Borrowed for the call.
   * - value: gets the sum; may be null. Owned by the caller.
   * - version: gets the item's new version, and on CONFLICT the one that it has; may be null. Owned by the caller.
   *
   * Returns: OK; WRONG_TYPE (the item is another text); OUT_OF_RANGE (the sum, or the lifetime); CONFLICT;
   * INVALID_ARGUMENT; QUOTA; DENIED; UNSUPPORTED; UNAVAILABLE (as `set`); STALE_HANDLE.
   * Thread: any.
   * Blocks: until the write is on disk.
   * Since: 1.0. */
  pintle_status (*incr)(pintle_ctx ctx,
                        struct pintle_str key,
                        int64_t delta,
                        const struct pintle_storage_options *options,
                        int64_t *value,
                        uint64_t *version);
  /* Gives an item another lifetime, from now on. It is a write: the item gets another version.
   *
   * - ctx: on whose behalf.
   * - key: borrowed for the call.
   * - ttl_ms: in milliseconds; 0: it does not expire any more; negative: it is removed now.
   * - existed: gets 1 if the item was there, else 0; may be null. Owned by the caller.
   *
   * Returns: OK; OUT_OF_RANGE (the end of the lifetime lies beyond all time); INVALID_ARGUMENT; DENIED; UNAVAILABLE (as
   * `set`); STALE_HANDLE.
   * Thread: any.
   * Blocks: until the write is on disk.
   * Since: 1.0. */
  pintle_status (*expire)(pintle_ctx ctx, struct pintle_str key, int64_t ttl_ms, uint32_t *existed);
  /* Does up to 128 steps in their order, all of them or none, in one commit. Later steps see what earlier ones wrote.
   * Events and jobs are committed with the writes, and then published and scheduled at least once. Needs the grants
   * that its steps would need one by one.
   *
   * - ctx: on whose behalf.
   * - steps: what is to be done, and what they lead to; borrowed for the call. With 16 MiB together at most, by default.
   * - count: how many there are, at least 1.
   * - versions: as many as there are steps: each gets the new version of its item, 0 where nothing was written; on
   *   CONFLICT the failed step's gets the version that its item has (0: it is not there). May be null. Owned by the
   *   caller.
   * - values: as many as there are steps: each gets the sum of its `PINTLE_STEP_INCR`, 1 for a `PINTLE_STEP_REMOVE`
   *   whose item was there, else 0. May be null. Owned by the caller.
   * - failed: gets which step failed, from 0 on, where one did; `count` where it was none of them. Written also where
   *   this does not answer OK. May be null. Owned by the caller.
   *
   * Returns: OK; what the failed step would answer on its own: CONFLICT, WRONG_TYPE, OUT_OF_RANGE, TOO_LARGE,
   * INVALID_ARGUMENT, QUOTA, DENIED, UNSUPPORTED; TOO_LARGE (too many steps, or too many bytes together);
   * UNAVAILABLE (as `set`); STALE_HANDLE.
   * Thread: any.
   * Blocks: until the batch is on disk.
   * Since: 1.0. */
  pintle_status (*batch)(pintle_ctx ctx,
                         const struct pintle_storage_step *steps,
                         size_t count,
                         uint64_t *versions,
                         int64_t *values,
                         size_t *failed);
  /* Watches the items whose keys begin with a prefix. After any change of such an item the handler is told of its key,
   * with the version of that change or of a later one: a key that changes while its last change still waits to be told
   * may be told once. The same change may be told again after a resumption. Made in `load`, it is live from `enable` on.
   *
   * A handler that keeps the last version that it was told, and passes it as `after` the next time, misses nothing, also
   * across restarts. Removals are remembered for 24 hours by default.
   *
   * - ctx: on whose behalf; the scope that is watched.
   * - prefix: which keys: those that begin with these bytes; empty: all. At most 512 bytes. Borrowed for the call.
   * - handler: called with each change; not null.
   * - user: passed to `handler` and `release`; the plugin's.
   * - release: called once when `user` is needed no more; may be null. Where this call fails it is not
   *   called, and `user` stays with the caller.
   * - options: where to begin; may be null; borrowed for the call.
   * - watch: gets the handle; may be null. Owned by the caller.
   *
   * Returns: OK; OUT_OF_RANGE (removals after `after` are forgotten, or there was no such version: begin with 0);
   * INVALID_ARGUMENT; QUOTA (1,024 registrations a plugin); DENIED; UNSUPPORTED; UNAVAILABLE (as `get`); STOPPING;
   * STALE_HANDLE.
   * Thread: any.
   * Blocks: while the disk reads.
   * Since: 1.0. */
  pintle_status (*watch)(pintle_ctx ctx,
                         struct pintle_str prefix,
                         pintle_watch_handler handler,
                         void *user,
                         pintle_release release,
                         const struct pintle_watch_options *options,
                         pintle_registration *watch);
  /* Ends a watch. A call under way is finished, then `release` is called.
   *
   * - ctx: any live context of the plugin.
   * - watch: from `watch` of the same plugin.
   *
   * Returns: OK; STALE_HANDLE (also for a watch that is over, or another plugin's).
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*unwatch)(pintle_ctx ctx, pintle_registration watch);
  /* Tells what the plugin has in the storage for the tenant of the context.
   *
   * - ctx: on whose behalf.
   * - stats: `size` set by the caller; the rest is written by the host. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT (null `stats`, `size` under 8); DENIED; UNAVAILABLE (as `get`); STALE_HANDLE.
   * Thread: any.
   * Blocks: while the disk reads.
   * Since: 1.0. */
  pintle_status (*stats)(pintle_ctx ctx, struct pintle_storage_stats *stats);
} pintle_storage;

/* One delivery of a durable event to a subscription that acknowledges. It is over with its `ack` or `nack`, at the ack deadline,
 * and with the subscription. */
typedef uint64_t pintle_delivery;

/* An event as a handler sees it. Everything is borrowed until the handler returns. The attributes are those of
 * CloudEvents 1.0; all but what the publisher gave are filled in by the host. */
typedef struct pintle_event {
  /* `sizeof(pintle_event)` of the host. */
  uint32_t size;
  /* How many events led to this one: 0 for one that no handler emitted. Limited to 64. */
  uint32_t depth;
  /* CloudEvents `type`: the topic, whole. */
  struct pintle_str topic;
  /* CloudEvents `id`: unique together with `source`. */
  struct pintle_str id;
  /* CloudEvents `source`: `/plugins/<id>` for a plugin, otherwise what the application gave. */
  struct pintle_str source;
  /* CloudEvents `subject`; empty if there is none. */
  struct pintle_str subject;
  /* CloudEvents `datacontenttype`; empty if there is none. */
  struct pintle_str content_type;
  /* The ordering key; empty if there is none. */
  struct pintle_str key;
  /* The tenant on whose behalf it was emitted; empty in the system scope. */
  struct pintle_str tenant;
  /* The payload, shared by all handlers. */
  struct pintle_bytes data;
  /* CloudEvents `time`, in milliseconds since 1970-01-01 UTC. */
  int64_t time_ms;
  /* The number of the event in the log, which grows; 0: the event or the subscription is transient. */
  uint64_t sequence;
  /* What `ack` and `nack` know this delivery by; 0 unless the subscription is `PINTLE_SUBSCRIBE_ACK`. */
  pintle_delivery delivery;
  /* Which delivery of the event to this durable subscription it is, from 1; 0: the subscription is transient. */
  uint32_t attempt;
  /* Must be ignored. */
  uint32_t reserved;
} pintle_event;

/* How a subscription is to be kept. Zero means default everywhere.
 *
 * A filter is one JSON object, at most 4,096 bytes, with exactly one member (the dialects of the CloudEvents Subscriptions API 1.0):
 * `{"exact": {"subject": "door-7"}}`, `{"prefix": {…}}`, `{"suffix": {…}}`, each with one or more attributes that must all fulfil it,
 * `{"all": [filters]}`, `{"any": [filters]}`, `{"not": filter}`, nested up to 8 deep, 64 altogether. Attributes are `type`, `id`,
 * `source`, `subject`, `datacontenttype`, `partitionkey` (the ordering key), `tenant` and extensions that came in with the event, as
 * text; an attribute that an event does not have fulfils nothing. Values are 1 to 512 bytes and compared byte for byte. */
typedef struct pintle_subscribe_options {
  /* `sizeof(pintle_subscribe_options)` of the plugin. */
  uint32_t size;
  /* Any of `PINTLE_SUBSCRIBE_…`. */
  uint32_t flags;
  /* The subscription's name, unique in its scope, 1 to 128 bytes; empty: the pattern. */
  struct pintle_str name;
  /* How many events may wait, 1 to 65,536; 0: 1,024. Must be 0 of a durable subscription: its events wait in the log. */
  uint32_t capacity;
  /* One of `PINTLE_QUEUE_…`: what happens when that many wait. Must be 0 of a durable subscription. */
  uint32_t policy;
  /* Which of the events that match the pattern it is for; empty: all. Others do not count for it, and a durable subscription
   * passes over them. */
  struct pintle_str filter;
  /* Of the subscriptions of one event, those with a higher number get it first, and those with the same in the order in which
   * they were made; each on its own lane, so that only subscriptions of one plugin also run in that order. -1,000 to 1,000. */
  int32_t priority;
  /* One of `PINTLE_START_…`: where a durable subscription begins that has no position under its name yet. */
  uint32_t start;
  /* For `PINTLE_START_SEQUENCE` and `PINTLE_START_TIME`; otherwise 0. */
  int64_t start_at;
  /* Of a durable subscription, how long a delivery may take from the start of the handler, in milliseconds, 1 to 3,600,000; 0:
   * 30,000. Then it counts as failed, and what the handler still answers no longer counts. */
  int64_t ack_ms;
  /* Of a durable subscription, how long an event waits after its first failure, in milliseconds, 1 to 3,600,000; 0: 1,000. Each
   * further failure doubles it, up to an hour. */
  int64_t backoff_ms;
  /* Of a durable subscription, after how many deliveries an event that was not acknowledged becomes a dead letter, 1 to 1,000;
   * 0: 10. */
  uint32_t max_deliveries;
  /* Of a durable subscription, how many events may be delivered and neither acknowledged nor failed, 1 to 1,024; 0: 64. */
  uint32_t in_flight;
} pintle_subscribe_options;

/* Called on the plugin's lane with each event of a subscription.
 *
 * - user: as given to `subscribe`.
 * - ctx: of the plugin, bound to the event's tenant; valid until the handler returns.
 * - event: borrowed until the handler returns.
 * - reply: takes at most 1 MiB, for a publisher that waits for it (`emit_sync`); above, it has failed with
 *   TOO_LARGE, whatever the handler answers. Valid until the handler returns.
 *
 * Returns: OK, or any other status: counted and logged as a failure, with the text of `set_error`. Of a durable subscription OK
 * acknowledges the event, unless it acknowledges by `ack`; any other status is as a `nack` without a delay.
 * Thread: the plugin's lane: [lane].
 * Blocks: it may, until the handler's deadline (30 s by default); the lane waits meanwhile.
 * Since: 1.0. */
typedef pintle_status (*pintle_event_handler)(void *user,
                                              pintle_ctx ctx,
                                              const struct pintle_event *event,
                                              struct pintle_sink reply);

/* What became of an event at one subscription. Everything is borrowed until the function that gets it returns. */
typedef struct pintle_handler_result {
  /* `sizeof(pintle_handler_result)` of the host. */
  uint32_t size;
  /* One of `PINTLE_HANDLED` and `PINTLE_HANDLER_…`. */
  uint32_t outcome;
  /* OK, what the handler answered, or why it was not called. */
  pintle_status status;
  /* Must be ignored. */
  uint32_t reserved;
  /* Whose subscription it is: a plugin's id, or `application`. */
  struct pintle_str subscriber;
  /* The subscription's name. */
  struct pintle_str subscription;
  /* What the handler wrote to its reply; empty unless it answered OK. */
  struct pintle_bytes reply;
  /* Why it did not, in one sentence; empty if it answered OK. */
  struct pintle_str error;
} pintle_handler_result;

/* Called with the result of each handler of `emit_sync`. Host calls from inside answer REENTRANT, except
 * `last_error` and `set_error`.
 *
 * - user: as given to `emit_sync`.
 * - result: borrowed until this function returns.
 *
 * Returns: OK to go on; anything else: no further result is told, and `emit_sync` answers CANCELLED.
 * Thread: that of the call of `emit_sync`: [any-thread].
 * Blocks: it should not.
 * Since: 1.0. */
typedef pintle_status (*pintle_result_handler)(void *user, const struct pintle_handler_result *result);

/* Publish and subscribe. Topics are dot-separated tokens of `[A-Za-z0-9_-]`, at most 16 tokens and 256 bytes;
 * in patterns `*` stands for one token and a last `>` for one or more. */
typedef struct pintle_events {
  /* The size of the host's table. */
  uint32_t size;
  /* Must be ignored. */
  uint32_t reserved;
  /* Publishes an event: at most once to each transient subscription that matches, and with `PINTLE_EMIT_DURABLE` at least once to
   * each durable one. Never waits for handlers.
   *
   * - ctx: on whose behalf; the event gets its tenant.
   * - topic: the host puts `plugin.<id of the plugin>.` in front; borrowed for the call.
   * - data: the payload, at most 1 MiB, copied.
   * - options: may be null; borrowed for the call.
   *
   * Returns: OK, also when nobody listens or a queue was full (counted and reported); INVALID_ARGUMENT;
   * TOO_LARGE; DENIED; UNSUPPORTED (an option this host does not know); UNAVAILABLE (in `load` and
   * `restore`, and after the end of the host; of a durable event also: the disk is full or fails, and nobody gets it); REENTRANT
   * (depth above 64, or from inside a sink); STALE_HANDLE.
   * Thread: any.
   * Blocks: at most `wait_ms`; of a durable event also until it is on disk.
   * Since: 1.0. */
  pintle_status (*emit)(pintle_ctx ctx,
                        struct pintle_str topic,
                        struct pintle_bytes data,
                        const struct pintle_emit_options *options);
  /* Subscribes to all topics that match a pattern. Made in the system scope it sees every tenant's events,
   * made under a tenant only that tenant's. Made in `load`, it is live from `enable` on.
   *
   * A durable subscription gets the events in the order of the log, one after the other. An event that has failed comes again later, and others pass it, but for those with the same ordering key,
   * which wait until it succeeds or is a dead letter. At least once: an event may come again whose handler had answered OK, if the
   * process ended before that was on disk. `unsubscribe` ends it and keeps its position.
   *
   * - ctx: on whose behalf.
   * - pattern: borrowed for the call.
   * - handler: called with each event; not null.
   * - user: passed to `handler` and `release`; the plugin's.
   * - release: called once when `user` is needed no more; may be null. Where this call fails it is not
   *   called, and `user` stays with the caller.
   * - options: may be null; borrowed for the call.
   * - subscription: gets the handle; may be null. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT (also: the filter, with where it is wrong; the capacity; options that go only with others);
   * OUT_OF_RANGE (the priority; `start_at`, a time or a number of a durable one); DENIED (the pattern is not within what the
   * manifest asks for); CONFLICT (the name is taken); QUOTA (1,024 registrations a plugin); UNSUPPORTED; UNAVAILABLE (of a durable one: the disk fails); STOPPING; STALE_HANDLE.
   * Thread: any.
   * Blocks: never; of a durable one until its position is on disk.
   * Since: 1.0. */
  pintle_status (*subscribe)(pintle_ctx ctx,
                             struct pintle_str pattern,
                             pintle_event_handler handler,
                             void *user,
                             pintle_release release,
                             const struct pintle_subscribe_options *options,
                             pintle_registration *subscription);
  /* Ends a subscription. Events that still wait in its queue are dropped; a call under way is finished, then
   * `release` is called.
   *
   * - ctx: any live context of the plugin.
   * - subscription: from `subscribe` of the same plugin.
   *
   * Returns: OK; STALE_HANDLE (also for a subscription that is over, or another plugin's).
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*unsubscribe)(pintle_ctx ctx, pintle_registration subscription);
  /* Publishes an event and waits for its handlers, which run at the same time as far as their plugins can.
   *
   * - ctx: on whose behalf; the event gets its tenant.
   * - topic: the host puts `plugin.<id of the plugin>.` in front; borrowed for the call.
   * - data: the payload, at most 1 MiB, copied.
   * - options: may be null; borrowed for the call. Without `PINTLE_EMIT_DURABLE`.
   * - timeout_ms: how long to wait for all of them together, in milliseconds, 1 to 3,600,000; 0: 5,000 by default.
   *   Never longer than this function's own caller waits.
   * - each: called with the result of each handler, in the order of the subscriptions, before this returns; may
   *   be null.
   * - user: passed to `each`; the caller's.
   * - handlers: gets how many results there are; may be null. Owned by the caller.
   *
   * Returns: OK, whatever the handlers answered, also when nobody listens; CANCELLED (`each` refused, or the
   * caller of this function has given up); REENTRANT (a handler could only run after this call has returned: its
   * own lane, or one that waits for it; or depth above 64, or from inside a sink): then no handler was called;
   * BUSY (too many calls wait inside the host); OUT_OF_RANGE; INVALID_ARGUMENT; TOO_LARGE; DENIED; UNSUPPORTED;
   * UNAVAILABLE (in `load` and `restore`); STOPPING; STALE_HANDLE.
   * Thread: any.
   * Blocks: until all handlers have answered, at most `timeout_ms`.
   * Since: 1.0. */
  pintle_status (*emit_sync)(pintle_ctx ctx,
                             struct pintle_str topic,
                             struct pintle_bytes data,
                             const struct pintle_emit_options *options,
                             int64_t timeout_ms,
                             pintle_result_handler each,
                             void *user,
                             uint32_t *handlers);
  /* Acknowledges a delivery of a subscription with `PINTLE_SUBSCRIBE_ACK`, in its handler or later: the event is done with and
   * not delivered to it again. On disk soon, not necessarily when this returns.
   *
   * - ctx: any live context of the plugin.
   * - delivery: from `pintle_event.delivery`.
   *
   * Returns: OK; STALE_HANDLE (the delivery is over: it was acknowledged or refused, its ack deadline has passed, or its
   * subscription has ended); DENIED.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*ack)(pintle_ctx ctx, pintle_delivery delivery);
  /* Says that a delivery of a subscription with `PINTLE_SUBSCRIBE_ACK` has failed: the event comes again, or becomes a dead letter
   * if it was the last delivery.
   *
   * - ctx: any live context of the plugin.
   * - delivery: from `pintle_event.delivery`.
   * - delay_ms: after how long, in milliseconds, 1 to 86,400,000; 0: as `backoff_ms` says.
   * - reason: why, at most 1,024 bytes, for the log and the dead letter; may be empty; borrowed for the call.
   *
   * Returns: OK; STALE_HANDLE (as for `ack`); OUT_OF_RANGE (the delay); INVALID_ARGUMENT (the reason); DENIED.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*nack)(pintle_ctx ctx, pintle_delivery delivery, int64_t delay_ms, struct pintle_str reason);
} pintle_events;

/* One run of a job, as its handler sees it. Everything is borrowed until the handler returns. */
typedef struct pintle_run {
  /* `sizeof(pintle_run)` of the host. */
  uint32_t size;
  /* 1 for the first attempt; more for those that follow a failure (`retries`) or the end of a host. */
  uint32_t attempt;
  /* The job's name. */
  struct pintle_str job;
  /* When it was due, in milliseconds since 1970-01-01 UTC. The run never starts before. */
  int64_t due_ms;
  /* The run's number, the same in all of its attempts. Of a durable job no other run ever has it: a good key for
   * `pintle_idempotency.begin`. Of any other job no other run of this host's life has it. */
  uint64_t id;
  /* `PINTLE_RUN_…`, or 0; handlers must ignore bits that they do not know. */
  uint32_t flags;
  /* Must be ignored. */
  uint32_t reserved;
  /* What the job was scheduled with: `pintle_job_options.data`, or the `value` of a storage step. */
  struct pintle_bytes data;
} pintle_run;

/* How a job is to be kept. Zero means default everywhere. */
typedef struct pintle_job_options {
  /* `sizeof(pintle_job_options)` of the plugin. */
  uint32_t size;
  /* `PINTLE_JOB_DURABLE`, or 0. */
  uint32_t flags;
  /* Time zone of a cron rule by its IANA name (`Europe/Vienna`); empty: UTC. */
  struct pintle_str zone;
  /* One of `PINTLE_OVERLAP_…`. */
  uint32_t overlap;
  /* One of `PINTLE_MISSED_…`. A run is missed that is due while the host is down, for a durable job, or that the host
   * comes to more than a minute late. Beats of an interval are missed only while the host is down. */
  uint32_t missed;
  /* A run that has not begun so many milliseconds after it was due is given up, and counts as skipped: 1 to
   * 31,622,400,000; 0: however late. */
  int64_t start_deadline_ms;
  /* Each due time of a cron rule is put off by a part of so many milliseconds (0 to 86,400,000) that is the same for
   * every run of the job, so that many jobs of one rule do not begin in the same moment. */
  int64_t jitter_ms;
  /* How long a run may take, in milliseconds, 1 to 86,400,000; 0: as long as any handler of the plugin (30 s by
   * default). After that its context has no time left, its lane counts as stuck until it returns, and it has failed
   * with TIMEOUT. */
  int64_t timeout_ms;
  /* How long after a failure the next attempt begins, in milliseconds, 1 to 3,600,000; each time twice as long, at most
   * an hour; 0: 1,000 by default. */
  int64_t backoff_ms;
  /* How often a run that has failed is tried again, 0 to 100. Until its last attempt has ended it has not ended. */
  uint32_t retries;
  /* Must be 0. */
  uint32_t reserved;
  /* What the runs are given, at most 64 KiB; copied. */
  struct pintle_bytes data;
} pintle_job_options;

/* Called on the plugin's lane with each run of a job.
 *
 * - user: as given when scheduling.
 * - ctx: of the plugin, in the scope that scheduled the job; valid until the handler returns.
 * - run: borrowed until the handler returns.
 * - reply: takes at most 1 MiB, of which the job's history keeps the first 1,024 bytes; above, the run has failed with
 *   TOO_LARGE, whatever the handler answers. Valid until the handler returns.
 *
 * Returns: OK, or any other status: counted and logged as a failure, and tried again as often as the job's `retries`
 * say; the job keeps its schedule.
 * Thread: the plugin's lane: [lane].
 * Blocks: it may, until the handler's deadline (30 s by default); the lane waits meanwhile.
 * Since: 1.0. */
typedef pintle_status (*pintle_job_handler)(void *user,
                                            pintle_ctx ctx,
                                            const struct pintle_run *run,
                                            struct pintle_sink reply);

/* A job, as `list` shows it. Borrowed until the visitor returns. */
typedef struct pintle_job {
  /* `sizeof(pintle_job)` of the host. */
  uint32_t size;
  /* `PINTLE_JOB_IS_…`, or 0; ignore bits that you do not know. */
  uint32_t flags;
  /* Its name. */
  struct pintle_str name;
  /* When it runs, in words: the rule and its zone, the span, the job that it follows. */
  struct pintle_str when;
  /* When it is due next, in milliseconds since 1970-01-01 UTC; -1: nothing is to be awaited. */
  int64_t next_ms;
  /* When its last run was due; -1: it has not run. */
  int64_t last_ms;
  /* How many runs have begun; of a durable job in all of its life, as of the next two. */
  uint64_t runs;
  /* How many of them have failed, their last attempt. */
  uint64_t failed;
  /* How many did not take place: the last one had not ended, it was too late, or the lane did not take it. */
  uint64_t skipped;
} pintle_job;

/* A run that has ended, as `history` shows it. Borrowed until the visitor returns. */
typedef struct pintle_run_result {
  /* `sizeof(pintle_run_result)` of the host. */
  uint32_t size;
  /* `PINTLE_RUN_…`, or 0; ignore bits that you do not know. */
  uint32_t flags;
  /* The run's number. */
  uint64_t id;
  /* When it was due, in milliseconds since 1970-01-01 UTC. */
  int64_t due_ms;
  /* When its first attempt began, in milliseconds since 1970-01-01 UTC. */
  int64_t started_ms;
  /* How long it took from there to the end of its last attempt, in milliseconds. */
  int64_t duration_ms;
  /* How many attempts there were. */
  uint32_t attempts;
  /* How the last one ended. */
  pintle_status status;
  /* What the handler wrote to its reply sink, or the text of its failure; the first 1,024 bytes. */
  struct pintle_bytes result;
} pintle_run_result;

/* Called with each job of a list.
 *
 * - user: as given to `list`.
 * - job: borrowed until it returns.
 *
 * Returns: OK to go on; anything else ends the list with CANCELLED.
 * Thread: the caller's, inside of `list`: other calls of the host answer REENTRANT.
 * Blocks: it should not.
 * Since: 1.0. */
typedef pintle_status (*pintle_job_visitor)(void *user, const struct pintle_job *job);

/* Called with each run of a history.
 *
 * - user: as given to `history`.
 * - run: borrowed until it returns.
 *
 * Returns: OK to go on; anything else ends the history with CANCELLED.
 * Thread: the caller's, inside of `history`: other calls of the host answer REENTRANT.
 * Blocks: it should not.
 * Since: 1.0. */
typedef pintle_status (*pintle_run_visitor)(void *user, const struct pintle_run_result *run);

/* Jobs by time. Each has a name, 1 to 128 bytes, unique in its scope; scheduling a name again replaces the
 * job. A job never runs early, and one that fails keeps its schedule. Made in `load`, it is live from `enable` on. */
typedef struct pintle_scheduler {
  /* The size of the host's table. */
  uint32_t size;
  /* Must be ignored. */
  uint32_t reserved;
  /* Runs a handler whenever a cron rule says so.
   *
   * - ctx: on whose behalf; the runs have its tenant.
   * - name: the job's; borrowed for the call.
   * - rule: 5 or 6 fields (seconds first), names, `L W #`, `@hourly @daily @weekly @monthly @yearly`, `@every 90s`, `@reboot`
   *   (once, when the host has started); borrowed for the call. Day fields as in Debian's cron: if either begins with `*` both must match, else either.
   * - handler: not null.
   * - user: passed to `handler` and `release`; the plugin's.
   * - release: called once when `user` is needed no more; may be null. Where this call fails it is not
   *   called, and `user` stays with the caller.
   * - options: may be null; borrowed for the call.
   * - job: gets the handle; may be null. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT (name, rule with position and reason, zone); OUT_OF_RANGE (a number of the options);
   * TOO_LARGE (`data`); QUOTA (1,024 registrations a plugin; durable jobs: 10,000 a plugin, also those that no generation
   * schedules any more); UNSUPPORTED (an option this host does not know); UNAVAILABLE (a durable job: the disk, or a host
   * without a data folder); DENIED; STOPPING; STALE_HANDLE.
   * Thread: any.
   * Blocks: never, but for a durable job: until it is on disk.
   * Since: 1.0. */
  pintle_status (*cron)(pintle_ctx ctx,
                        struct pintle_str name,
                        struct pintle_str rule,
                        pintle_job_handler handler,
                        void *user,
                        pintle_release release,
                        const struct pintle_job_options *options,
                        pintle_registration *job);
  /* Runs a handler every so many milliseconds, the first time one interval from now. The beat is kept: a
   * late run does not move those after it; beats that passed meanwhile are skipped.
   *
   * - ctx: on whose behalf; the runs have its tenant.
   * - name: the job's; borrowed for the call.
   * - every_ms: 1 to 31,622,400,000 (366 days).
   * - handler: not null.
   * - user: as in `cron`.
   * - release: as in `cron`.
   * - options: may be null; borrowed for the call. `zone` and `jitter_ms` do not count.
   * - job: gets the handle; may be null. Owned by the caller.
   *
   * Returns: OK; OUT_OF_RANGE (every_ms); otherwise as `cron`.
   * Thread: any.
   * Blocks: as `cron`.
   * Since: 1.0. */
  pintle_status (*interval)(pintle_ctx ctx,
                            struct pintle_str name,
                            int64_t every_ms,
                            pintle_job_handler handler,
                            void *user,
                            pintle_release release,
                            const struct pintle_job_options *options,
                            pintle_registration *job);
  /* Runs a handler once, so many milliseconds from now; the job is gone when the run has ended.
   *
   * - ctx: on whose behalf; the run has its tenant.
   * - name: the job's; borrowed for the call.
   * - delay_ms: 0 to 31,622,400,000 (366 days).
   * - handler: not null.
   * - user: as in `cron`.
   * - release: as in `cron`.
   * - options: may be null; borrowed for the call. `zone`, `overlap` and `jitter_ms` do not count.
   * - job: gets the handle; may be null. Owned by the caller.
   *
   * Returns: OK; OUT_OF_RANGE (delay_ms); otherwise as `cron`.
   * Thread: any.
   * Blocks: as `cron`.
   * Since: 1.0. */
  pintle_status (*once)(pintle_ctx ctx,
                        struct pintle_str name,
                        int64_t delay_ms,
                        pintle_job_handler handler,
                        void *user,
                        pintle_release release,
                        const struct pintle_job_options *options,
                        pintle_registration *job);
  /* Ends a job, a durable one for good, with its history. A run under way is finished, then `release` is called.
   *
   * - ctx: any live context of the plugin.
   * - job: from `cron`, `interval`, `once`, `after` or `handle` of the same plugin.
   *
   * Returns: OK; UNAVAILABLE (a durable job: the disk; it stays); STALE_HANDLE (also for a job that is over, was replaced, or is
   * another plugin's).
   * Thread: any.
   * Blocks: as `cron`.
   * Since: 1.0. */
  pintle_status (*remove)(pintle_ctx ctx, pintle_registration job);
  /* Runs a handler each time that a run of another job has ended OK, its last attempt.
   *
   * - ctx: on whose behalf; the runs have its tenant.
   * - name: the job's; borrowed for the call.
   * - after: the name of the other job, in the same scope. Where that is removed this one stays, and follows a job of the
   *   same name that is scheduled later; borrowed for the call.
   * - handler: not null.
   * - user: as in `cron`.
   * - release: as in `cron`.
   * - options: may be null; borrowed for the call. `zone`, `missed` and `jitter_ms` do not count. A durable job follows a
   *   durable one only: then no end of a host comes between the two.
   * - job: gets the handle; may be null. Owned by the caller.
   *
   * Returns: OK; NOT_FOUND (there is no such other job); CONFLICT (it would follow itself, by the chain that the error
   * names; or it is durable and the other one is not); otherwise as `cron`.
   * Thread: any.
   * Blocks: never, but for a durable job: until it is on disk.
   * Since: 1.0. */
  pintle_status (*after)(pintle_ctx ctx,
                         struct pintle_str name,
                         struct pintle_str after,
                         pintle_job_handler handler,
                         void *user,
                         pintle_release release,
                         const struct pintle_job_options *options,
                         pintle_registration *job);
  /* Runs a handler for durable jobs that have none of their own: those that storage batches schedule
   * (`PINTLE_STEP_SCHEDULE`), and those that an earlier life of the plugin has scheduled.
   *
   * - ctx: on whose behalf: for jobs of its tenant; in the system scope for those of every tenant, each run under its own.
   * - pattern: a job's name, or the beginning of names and `*`; 1 to 128 bytes, borrowed for the call. Of several that
   *   match the longest counts.
   * - handler: not null.
   * - user: as in `cron`.
   * - release: as in `cron`.
   * - registration: gets the handle, for `remove`; may be null. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT (pattern); QUOTA (1,024 registrations a plugin); DENIED; STOPPING; STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*handle)(pintle_ctx ctx,
                          struct pintle_str pattern,
                          pintle_job_handler handler,
                          void *user,
                          pintle_release release,
                          pintle_registration *registration);
  /* Ends the job of a name, also a durable one that this life of the plugin has not scheduled; otherwise as `remove`.
   *
   * - ctx: in whose scope.
   * - name: the job's; borrowed for the call.
   *
   * Returns: OK; NOT_FOUND; UNAVAILABLE (the disk); INVALID_ARGUMENT; DENIED; STALE_HANDLE.
   * Thread: any.
   * Blocks: never, but for a durable job: until it is on disk.
   * Since: 1.0. */
  pintle_status (*forget)(pintle_ctx ctx, struct pintle_str name);
  /* Lets a job run no more until `resume`: what is due meanwhile is not made up for. A run under way is finished, with
   * its attempts. For a durable job it lasts until `resume`, whatever ends meanwhile.
   *
   * - ctx: in whose scope.
   * - name: the job's; borrowed for the call.
   *
   * Returns: OK, also for one that is paused already; otherwise as `forget`.
   * Thread: any.
   * Blocks: as `forget`.
   * Since: 1.0. */
  pintle_status (*pause)(pintle_ctx ctx, struct pintle_str name);
  /* Lets a job that was paused run again, from its next due time on; an interval begins anew.
   *
   * - ctx: in whose scope.
   * - name: the job's; borrowed for the call.
   *
   * Returns: OK, also for one that is not paused; otherwise as `forget`.
   * Thread: any.
   * Blocks: as `forget`.
   * Since: 1.0. */
  pintle_status (*resume)(pintle_ctx ctx, struct pintle_str name);
  /* Makes a run due now, beside the job's schedule, also of a job that is paused. The call does not wait for it.
   *
   * - ctx: in whose scope.
   * - name: the job's; borrowed for the call.
   *
   * Returns: OK; BUSY (a run has not ended, and `overlap` lets no other stand beside or behind it); UNAVAILABLE (it waits
   * for a handler, or the plugin is not enabled yet); otherwise as `forget`.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*run_now)(pintle_ctx ctx, struct pintle_str name);
  /* Shows the jobs of the scope, in the order of their names.
   *
   * - ctx: whose.
   * - visitor: not null; called with each job before `list` returns.
   * - user: passed to `visitor`; the caller's.
   *
   * Returns: OK; CANCELLED (the visitor ended it); UNAVAILABLE (the disk); DENIED; STALE_HANDLE.
   * Thread: any.
   * Blocks: on the disk, where there are durable jobs.
   * Since: 1.0. */
  pintle_status (*list)(pintle_ctx ctx, pintle_job_visitor visitor, void *user);
  /* Shows the last 50 runs of a job that have ended, the newest first. Those of a job that is not durable are known since
   * it was scheduled last.
   *
   * - ctx: in whose scope.
   * - name: the job's; borrowed for the call.
   * - visitor: not null; called with each run before `history` returns.
   * - user: passed to `visitor`; the caller's.
   *
   * Returns: OK; NOT_FOUND (no such job); otherwise as `list`.
   * Thread: any.
   * Blocks: on the disk, for a durable job.
   * Since: 1.0. */
  pintle_status (*history)(pintle_ctx ctx, struct pintle_str name, pintle_run_visitor visitor, void *user);
} pintle_scheduler;

/* Names a transaction, or one nested in it. Opaque 64 bits; 0 is never valid, and where a transaction may be named means "none:
 * the statement commits by itself". Checked for its owner on every use. */
typedef uint64_t pintle_transaction;

/* A value of SQL: one that is bound to a placeholder, or one column of a row. Frozen, like `pintle_str`: it never grows and
 * carries no size, so that a row is a plain array of them. */
typedef struct pintle_sql_value {
  /* One of `PINTLE_SQL_NULL` to `PINTLE_SQL_BLOB`: which of the members counts. */
  uint32_t kind;
  /* 0. */
  uint32_t reserved;
  /* The value, if `kind` is INTEGER. */
  int64_t integer;
  /* The value, if `kind` is REAL. */
  double real;
  /* The value, if `kind` is TEXT or BLOB. Borrowed for the call that it is passed to, and not copied on the way in; in a row,
   * borrowed for that one call of `row`. */
  struct pintle_bytes bytes;
} pintle_sql_value;
/* NULL. */
#define pintle_sql_value_NULL (pintle_sql_value){ .kind = PINTLE_SQL_NULL, .reserved = 0, .integer = 0, .real = 0.0, .bytes = pintle_bytes_EMPTY }

/* Where the rows of a query go. Frozen, like `pintle_sink`. A host call from inside its functions answers REENTRANT, except
 * `last_error` and `set_error`. */
typedef struct pintle_sql_rows {
  /* Passed back to both functions, otherwise not looked at. */
  void *data;
  /* Is told the names of the columns, once, before the first row, also if there is none. May be null.
   *
   * - data: that of the struct.
   * - names: `count` names as SQL gives them, borrowed for this one call; two may be the same.
   * - count: as many as each row has values.
   *
   * Returns: OK to go on; anything else ends the query with CANCELLED and nothing changed.
   * Thread: that of the call that the struct was passed to.
   * Blocks: it should not: the deadline of the statement goes on.
   * Since: 1.0. */
  pintle_status (*columns)(void *data, const struct pintle_str *names, size_t count);
  /* Is handed each row as it comes; rows are not collected before. Null: they are not wanted.
   *
   * - data: that of the struct.
   * - values: `count` values, borrowed for this one call.
   * - count: as many as the query has columns.
   *
   * Returns: OK to go on; anything else ends the query with CANCELLED and nothing changed.
   * Thread: that of the call that the struct was passed to.
   * Blocks: it should not: the deadline of the statement goes on.
   * Since: 1.0. */
  pintle_status (*row)(void *data, const struct pintle_sql_value *values, size_t count);
} pintle_sql_rows;

/* How a statement is to be run. Zero means default everywhere. */
typedef struct pintle_sql_options {
  /* `sizeof(pintle_sql_options)` of the plugin. */
  uint32_t size;
  /* Must be 0: no flag is known yet. */
  uint32_t flags;
  /* How long the statement may take, its waiting for others and the time in `row` included, in milliseconds; 0, and anything
   * longer: what the host's settings say (5,000). */
  int64_t timeout_ms;
  /* How many rows it may give; 0, and anything more: what the host's settings say (1,000,000). One more ends it with
   * TOO_LARGE, and nothing is changed. */
  uint64_t max_rows;
} pintle_sql_options;

/* What a statement did. The caller sets `size`, and the host writes no further. It is also written where a statement fails in the
 * database itself (see `error_code`). */
typedef struct pintle_sql_info {
  /* `sizeof(pintle_sql_info)` of the caller. */
  uint32_t size;
  /* 0; after a failure in the database the extended result code of SQLite (<https://sqlite.org/rescode.html>), such as 2067 for
   * a UNIQUE constraint. */
  uint32_t error_code;
  /* How many rows an INSERT, UPDATE or DELETE changed, triggers and foreign-key actions not counted; else 0. */
  uint64_t changed;
  /* The rowid of the row that an INSERT made last; 0 if it made none. */
  int64_t last_insert_id;
  /* How many rows were given. */
  uint64_t rows;
  /* Which byte of the SQL a failure is about, from 0; -1: none in particular. */
  int64_t error_offset;
} pintle_sql_info;

/* How a transaction is to be begun. Zero means default everywhere. */
typedef struct pintle_transaction_options {
  /* `sizeof(pintle_transaction_options)` of the plugin. */
  uint32_t size;
  /* `PINTLE_TRANSACTION_READ_ONLY`, or 0. A nested one is as the one around it. */
  uint32_t flags;
  /* How long to wait for others that write, in milliseconds; 0, and anything longer: what the host's settings say for a
   * statement (5,000). */
  int64_t wait_ms;
  /* After how long it is rolled back if it has not ended, in milliseconds; 0, and anything longer: what the host's settings say
   * (30,000). A nested one has the deadline of the one around it. */
  int64_t timeout_ms;
} pintle_transaction_options;

/* One step of a database's history. */
typedef struct pintle_migration {
  /* `sizeof(pintle_migration)` of whoever filled it in. In an array every `size` is equal and is the stride. */
  uint32_t size;
  /* Its number, from 1. In the array numbers grow; gaps are allowed. */
  uint32_t number;
  /* What it is called, 1 to 128 bytes, without control characters. */
  struct pintle_str name;
  /* One or more statements, without placeholders. They run in one transaction. */
  struct pintle_str sql;
} pintle_migration;

/* How migrations are to be run. Zero means default everywhere. */
typedef struct pintle_migrate_options {
  /* `sizeof(pintle_migrate_options)` of the plugin. */
  uint32_t size;
  /* `PINTLE_MIGRATE_DRY_RUN`, or 0. */
  uint32_t flags;
  /* How long each migration may take, waiting for others included, in milliseconds; 0: 60,000; at most 3,600,000. */
  int64_t timeout_ms;
} pintle_migrate_options;

/* What `migrate` did. The caller sets `size`, and the host writes no further. Also written on a failure: then what was done before. */
typedef struct pintle_migrate_info {
  /* `sizeof(pintle_migrate_info)` of the caller. */
  uint32_t size;
  /* How many were run by this call. */
  uint32_t applied;
  /* How many are still to be run: after a dry run, or those from the one that failed on. */
  uint32_t pending;
  /* The number of the last one that has been run, by this call or before; 0: none. */
  uint32_t current;
} pintle_migrate_info;

/* A column of a table to be created. */
typedef struct pintle_sql_column {
  /* `sizeof(pintle_sql_column)` of whoever filled it in. In an array every `size` is equal and is the stride. */
  uint32_t size;
  /* `PINTLE_COLUMN_…`, or 0. */
  uint32_t flags;
  /* Its name, 1 to 63 bytes: a letter or `_`, then letters, digits and `_`, all of ASCII. */
  struct pintle_str name;
  /* `PINTLE_SQL_INTEGER`, `PINTLE_SQL_REAL`, `PINTLE_SQL_TEXT` or `PINTLE_SQL_BLOB`. Nothing else can be stored in it. */
  uint32_t kind;
  /* Must be 0. */
  uint32_t reserved;
  /* What rows get that name no value; borrowed for the call; null: NULL. */
  const struct pintle_sql_value *default_value;
} pintle_sql_column;

/* What a database has. The caller sets `size`, and the host writes no further. */
typedef struct pintle_database_stats {
  /* `sizeof(pintle_database_stats)` of the caller. */
  uint32_t size;
  /* Transactions of this plugin and tenant that are open, nested ones not counted. */
  uint32_t transactions;
  /* Bytes of the pages that the database has, free ones included. */
  uint64_t bytes;
  /* Bytes of pages that are free for new rows. */
  uint64_t free_bytes;
  /* How many bytes it may have. */
  uint64_t limit_bytes;
} pintle_database_stats;

/* SQL on a database of one's own.
 *
 * Each (plugin, tenant) has a database, made when it is first used, that no SQL leads out of. A statement that names no transaction
 * is one of its own: when it returns OK all of it is on disk, and on any other status nothing of it. Statements that only read run
 * beside one that writes and wait for none; those that write wait for each other, in order, up to their deadline (BUSY).
 *
 * SQL is that of SQLite (<https://sqlite.org/lang.html>) with what follows. Placeholders are `?1` or `$1`, numbered from 1 without
 * gaps, or plain `?`; their values are bound and never become part of the text. A text is one statement; more answers
 * INVALID_ARGUMENT. Transactions are begun by `begin`, not by SQL. Temporary tables live in a transaction and end with it. Foreign
 * keys are enforced. Answered with DENIED: ATTACH, DETACH, VACUUM, PRAGMAs but for a list of harmless ones, `load_extension`, virtual
 * tables other than fts5 and rtree, `dbstat` and its like, and the host's own tables, whose names begin with `pintle_`. A value has at
 * most 1 MiB, a text of SQL too, and so has a row (settings); longer ones answer TOO_LARGE.
 *
 * `docs/database.md` has the whole list, and what of it other back ends do differently. */
typedef struct pintle_database {
  /* The size of the host's table. */
  uint32_t size;
  /* Must be ignored. */
  uint32_t reserved;
  /* Runs a statement and drops the rows that it gives, if any.
   *
   * - ctx: on whose behalf.
   * - tx: the transaction that it is part of; 0: it commits by itself.
   * - sql: one statement; borrowed for the call. The host keeps it prepared: the same text again costs no parsing.
   * - values: `count` values for its placeholders, as many as it has; borrowed for the call, and not copied. Null only if
   *   `count` is 0.
   * - count: how many.
   * - options: may be null; borrowed for the call.
   * - info: what it did; also written where the database refuses. May be null. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT (the SQL is wrong, with SQLite's text and where; the number of values; a write in a transaction
   * that only reads); CONFLICT (a constraint: the text and `error_code` say which); WRONG_TYPE (a value of another kind than a
   * STRICT column takes); OUT_OF_RANGE (an integer overflow); DENIED (what it does is not allowed, or the manifest does not ask for
   * it); TOO_LARGE (a value, a row, the SQL, its complexity, the number of rows); QUOTA (the database, or its temporary files, may
   * not become larger); BUSY (others write, until the deadline; at once if that is the calling thread itself, in a transaction of
   * `ctx` that `tx` does not name or in a statement whose rows it is being given; more databases are in use than the settings
   * allow); TIMEOUT (it took too long); CANCELLED (the caller of the running function has given up); UNAVAILABLE (a write in `load` and `restore`; the
   * disk is full or fails, the text says which; the host has stopped); UNSUPPORTED (an option this host does not know);
   * STALE_HANDLE (ctx, tx). With a `tx` that was rolled back for what went wrong before: that status again, with its text.
   * Thread: any.
   * Blocks: until it is done, at most until its deadline.
   * Since: 1.0. */
  pintle_status (*execute)(pintle_ctx ctx,
                           pintle_transaction tx,
                           struct pintle_str sql,
                           const struct pintle_sql_value *values,
                           size_t count,
                           const struct pintle_sql_options *options,
                           struct pintle_sql_info *info);
  /* Runs a statement and hands over its rows one by one, as they come: memory does not grow with their number. They are of one
   * state of the database, whoever writes meanwhile.
   *
   * - ctx: on whose behalf.
   * - tx: as in `execute`.
   * - sql: as in `execute`; may also be an INSERT, UPDATE or DELETE with RETURNING.
   * - values: as in `execute`.
   * - count: as in `execute`.
   * - rows: gets the rows; used until the call returns.
   * - options: may be null; borrowed for the call.
   * - info: as in `execute`.
   *
   * Returns: OK, also if there was no row; CANCELLED also if `rows` refused; otherwise as `execute`. Rows may have been handed over
   * before a failure.
   * Thread: any.
   * Blocks: until the last row is given, at most until its deadline.
   * Since: 1.0. */
  pintle_status (*query)(pintle_ctx ctx,
                         pintle_transaction tx,
                         struct pintle_str sql,
                         const struct pintle_sql_value *values,
                         size_t count,
                         struct pintle_sql_rows rows,
                         const struct pintle_sql_options *options,
                         struct pintle_sql_info *info);
  /* The same for a statement that gives one row.
   *
   * - ctx: on whose behalf.
   * - tx: as in `execute`.
   * - sql: as in `query`.
   * - values: as in `execute`.
   * - count: as in `execute`.
   * - rows: gets the row; used until the call returns.
   * - options: may be null; borrowed for the call. Its `max_rows` is not looked at.
   * - info: as in `execute`.
   *
   * Returns: OK; NOT_FOUND (no row); TOO_LARGE (more than one: then nothing is changed, and the row that was handed over does not
   * count); otherwise as `query`.
   * Thread: any.
   * Blocks: as `query`.
   * Since: 1.0. */
  pintle_status (*query_one)(pintle_ctx ctx,
                             pintle_transaction tx,
                             struct pintle_str sql,
                             const struct pintle_sql_value *values,
                             size_t count,
                             struct pintle_sql_rows rows,
                             const struct pintle_sql_options *options,
                             struct pintle_sql_info *info);
  /* Runs all statements of a text, one after the other, as a whole: if one fails none has happened.
   *
   * - ctx: on whose behalf.
   * - tx: as in `execute`.
   * - sql: any number of statements, separated by `;`, without placeholders; borrowed for the call.
   * - options: may be null; borrowed for the call. The deadline is that of all of them; rows are dropped.
   * - info: of the last statement, `changed` of all; where one fails `error_offset` counts from the beginning of the text. May be
   *   null. Owned by the caller.
   *
   * Returns: as `execute`.
   * Thread: any.
   * Blocks: as `execute`.
   * Since: 1.0. */
  pintle_status (*script)(pintle_ctx ctx,
                          pintle_transaction tx,
                          struct pintle_str sql,
                          const struct pintle_sql_options *options,
                          struct pintle_sql_info *info);
  /* Begins a transaction, or one nested in another.
   *
   * It belongs to the scope of `ctx` and ends at the latest with it: what is open when the function returns that was given `ctx`,
   * when a held context is released, when its deadline has passed, or when the plugin is unloaded, is rolled back. Until then its
   * statements see what it wrote and nobody else does. Others that write wait for its end, so keep it short. While a nested one is
   * open, only the innermost may be used (BUSY), but each may be rolled back.
   *
   * - ctx: on whose behalf.
   * - outer: the transaction around it; 0: none.
   * - options: may be null; borrowed for the call.
   * - tx: gets its handle. Owned by the caller.
   *
   * Returns: OK; BUSY (others write, until `wait_ms` is over; at once if that is the calling thread, as in `execute`; more databases are in use than the settings allow; `outer` has another
   * nested one); QUOTA (32 are nested already); DENIED; CANCELLED (the caller of the running function has given up); UNSUPPORTED (an
   * option this host does not know); OUT_OF_RANGE (a negative time); UNAVAILABLE (in `load` and `restore` unless it only reads; the
   * disk fails; the host has stopped); STALE_HANDLE (ctx, outer). With an `outer` that was rolled back for what went wrong before:
   * that status again, with its text.
   * Thread: any.
   * Blocks: until nobody else writes, at most `wait_ms`; never if it only reads.
   * Since: 1.0. */
  pintle_status (*begin)(pintle_ctx ctx,
                         pintle_transaction outer,
                         const struct pintle_transaction_options *options,
                         pintle_transaction *tx);
  /* Ends a transaction and keeps what it wrote: of an outermost one it is then on disk, of a nested one it is part of the one around
   * it.
   *
   * - ctx: on whose behalf.
   * - tx: the transaction. Whatever is answered, but for BUSY, the handle is over.
   *
   * Returns: OK; BUSY (a nested one is open: end that first); CONFLICT (a deferred foreign key is not there: it was rolled back);
   * UNAVAILABLE (the disk is full or fails: it was rolled back); STALE_HANDLE. If it was rolled back for what went wrong before: that
   * status again, with its text.
   * Thread: any.
   * Blocks: until it is on disk.
   * Since: 1.0. */
  pintle_status (*commit)(pintle_ctx ctx, pintle_transaction tx);
  /* Ends a transaction and undoes what it wrote, those nested in it included.
   *
   * - ctx: on whose behalf.
   * - tx: the transaction. Whatever is answered, the handle is over.
   *
   * Returns: OK, also if it was rolled back already for what went wrong; STALE_HANDLE.
   * Thread: any.
   * Blocks: until a statement of it that runs has ended.
   * Since: 1.0. */
  pintle_status (*rollback)(pintle_ctx ctx, pintle_transaction tx);
  /* Brings the database of `ctx` up to date: runs the migrations that it has not seen, in order, each in a transaction of its own,
   * and notes them with a checksum of name and SQL. Nobody else migrates the same database meanwhile.
   *
   * - ctx: on whose behalf.
   * - migrations: `count` of them, the whole history from the first on; borrowed for the call. Null only if `count` is 0.
   * - count: at most 10,000.
   * - options: may be null; borrowed for the call.
   * - info: what was done; also written on a failure. May be null. Owned by the caller.
   *
   * Returns: OK; CONFLICT (one that was run has another name or other SQL now, or is missing, or a new one has a number below one that
   * was run: the text names it; nothing was run); INVALID_ARGUMENT (numbers that do not grow, a name, SQL that is wrong, with its
   * number and name); otherwise what `script` answers, with the number and name of the one that failed. Those before it stay.
   * Thread: any.
   * Blocks: until all are done, each at most until its deadline.
   * Since: 1.0. */
  pintle_status (*migrate)(pintle_ctx ctx,
                           const struct pintle_migration *migrations,
                           size_t count,
                           const struct pintle_migrate_options *options,
                           struct pintle_migrate_info *info);
  /* Creates a table if there is none of that name, in the words of whatever database the operator has chosen.
   *
   * - ctx: on whose behalf.
   * - tx: as in `execute`.
   * - table: its name, under the rules of a column's; borrowed for the call.
   * - columns: `count` columns; borrowed for the call.
   * - count: 1 to 256.
   * - created: gets 1 if it was created, 0 if there was one, whatever its columns. May be null. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT (a name, a kind, two columns of one name, AUTO_NUMBER where it cannot be); UNSUPPORTED (a flag this
   * host does not know); otherwise as `execute`.
   * Thread: any.
   * Blocks: as `execute`.
   * Since: 1.0. */
  pintle_status (*create_table)(pintle_ctx ctx,
                                pintle_transaction tx,
                                struct pintle_str table,
                                const struct pintle_sql_column *columns,
                                size_t count,
                                uint32_t *created);
  /* Tells how large the database of `ctx` is and may be.
   *
   * - ctx: on whose behalf.
   * - stats: gets it. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT (`stats` is null, its size); DENIED; BUSY; UNAVAILABLE; STALE_HANDLE.
   * Thread: any.
   * Blocks: on the disk.
   * Since: 1.0. */
  pintle_status (*stats)(pintle_ctx ctx, struct pintle_database_stats *stats);
} pintle_database;

/* Names one start of an operation: what may end it, until somebody else takes over or the record is gone. Opaque 64 bits;
 * 0 is never valid. It outlives contexts, generations and the host. */
typedef uint64_t pintle_idempotency_token;

/* What is known of a key. The caller sets `size`, and the host writes no further. */
typedef struct pintle_idempotency_info {
  /* `sizeof(pintle_idempotency_info)` of the caller. */
  uint32_t size;
  /* One of `PINTLE_IDEMPOTENCY_STARTED` to `PINTLE_IDEMPOTENCY_MISMATCH`. */
  uint32_t state;
  /* `PINTLE_IDEMPOTENCY_TAKEN_OVER`, or 0. */
  uint32_t flags;
  /* How often it was started, this time included, for as long as there is a record of it: it grows when somebody takes
   * over, and is 1 again after a failure that was not kept, and after the record has expired or was forgotten. */
  uint32_t attempt;
  /* Started: what to pass to `complete`, `fail` and `renew`; else 0. */
  pintle_idempotency_token token;
  /* Started and in progress: how long the lease still lasts, in milliseconds, after which it is worth asking again. Else
   * how long the record is still kept. */
  int64_t left_ms;
  /* When the key was begun first, for as long as there is a record of it, in milliseconds since 1970-01-01 UTC. */
  int64_t begun_ms;
} pintle_idempotency_info;

/* How an operation is to be begun. Zero means default everywhere. */
typedef struct pintle_idempotency_options {
  /* `sizeof(pintle_idempotency_options)` of the plugin. */
  uint32_t size;
  /* Must be 0: no flag is known yet. */
  uint32_t flags;
  /* How long others keep off, in milliseconds, 1 to 86,400,000; 0: 60,000 by default. */
  int64_t lease_ms;
  /* How long the result is kept once it is there, in milliseconds, 1 to 31,536,000,000; 0: 24 hours by default. Of an
   * operation that never ends it is known for so long after its lease that it was begun. */
  int64_t keep_ms;
} pintle_idempotency_options;

/* Operations that must happen once however often they are asked for: of all who begin one under the same key exactly one
 * starts, and the others get its result.
 *
 * Keys belong to the plugin and the tenant of the context, and lie under the name of an operation (1 to 128 bytes). They
 * have 1 to 512 bytes, UTF-8 without NUL. Records are durable: they outlive the host. One that has expired is as if it
 * never was. In `load` and `restore` every function but `get` answers UNAVAILABLE.
 *
 * A lease goes by the wall clock. That it has ended takes nothing from its holder as long as nobody else begins: he may
 * still complete, fail and renew.
 *
 * Effects that lie outside of the host happen at least once: who takes over after a crash cannot know how far the one before
 * came, and is told so (`PINTLE_IDEMPOTENCY_TAKEN_OVER`). */
typedef struct pintle_idempotency {
  /* The size of the host's table. */
  uint32_t size;
  /* Must be ignored. */
  uint32_t reserved;
  /* Begins an operation, or tells what became of it. Another fingerprint is MISMATCH as long as there is a record, in
   * progress or over.
   *
   * - ctx: on whose behalf.
   * - operation: what is to be done: `charge`. Borrowed for the call.
   * - key: which one: what its caller sends again when he tries again. Borrowed for the call.
   * - fingerprint: what the request looked like, or a hash of it, at most 256 bytes: the same key with another one is
   *   PINTLE_IDEMPOTENCY_MISMATCH. Borrowed for the call.
   * - options: may be null; borrowed for the call.
   * - info: `size` set by the caller, beyond `token`; gets the state, and the token if the caller is the one who starts.
   *   Owned by the caller.
   * - result: gets the result, or what it failed with, if the state is DONE or FAILED, else nothing; the caller's. Its
   *   `write` may be null.
   *
   * Returns: OK, whatever the state; INVALID_ARGUMENT; TOO_LARGE (the fingerprint); OUT_OF_RANGE (the options); DENIED;
   * QUOTA; UNSUPPORTED (an option this host does not know); CANCELLED (the sink refused); UNAVAILABLE (in `load` and
   * `restore`; the disk is full or fails, the text says which; the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: until the start is on disk.
   * Since: 1.0. */
  pintle_status (*begin)(pintle_ctx ctx,
                         struct pintle_str operation,
                         struct pintle_str key,
                         struct pintle_bytes fingerprint,
                         const struct pintle_idempotency_options *options,
                         struct pintle_idempotency_info *info,
                         struct pintle_sink result);
  /* Ends an operation with its result, which all later beginners get.
   *
   * - ctx: any live context of the plugin under the tenant that it was begun under.
   * - token: from `begin`.
   * - result: at most 1 MiB by default, copied; may be empty.
   *
   * Returns: OK, also where the same token has completed it with the same result before; CONFLICT (somebody else has
   * taken over after the lease, it has ended otherwise, or the record is gone: the result was not kept); TOO_LARGE;
   * INVALID_ARGUMENT; QUOTA; DENIED; UNAVAILABLE (as `begin`); STALE_HANDLE.
   * Thread: any.
   * Blocks: until it is on disk.
   * Since: 1.0. */
  pintle_status (*complete)(pintle_ctx ctx, pintle_idempotency_token token, struct pintle_bytes result);
  /* Ends an operation that has failed.
   *
   * - ctx: as in `complete`.
   * - token: from `begin`.
   * - keep: 0: nothing is kept, and the key may start again at once, with any fingerprint; 1: the failure is for good, and
   *   all later beginners get it. Others: UNSUPPORTED.
   * - error: what it failed with, told to later beginners if it is kept, else dropped; at most 1 MiB by default, copied.
   *
   * Returns: OK, also where the same token has failed for good with the same error before; CONFLICT, TOO_LARGE,
   * INVALID_ARGUMENT, UNSUPPORTED, QUOTA, DENIED, UNAVAILABLE and STALE_HANDLE as `complete`.
   * Thread: any.
   * Blocks: until it is on disk.
   * Since: 1.0. */
  pintle_status (*fail)(pintle_ctx ctx,
                        pintle_idempotency_token token,
                        uint32_t keep,
                        struct pintle_bytes error);
  /* Prolongs the lease: from now on others keep off for another while.
   *
   * - ctx: as in `complete`.
   * - token: from `begin`.
   * - lease_ms: in milliseconds, 1 to 86,400,000; 0: as long as it was begun for.
   *
   * Returns: OK; CONFLICT (somebody else has taken over, it is over, or the record is gone); INVALID_ARGUMENT;
   * OUT_OF_RANGE; DENIED; QUOTA; UNAVAILABLE (as `begin`); STALE_HANDLE.
   * Thread: any.
   * Blocks: until it is on disk.
   * Since: 1.0. */
  pintle_status (*renew)(pintle_ctx ctx, pintle_idempotency_token token, int64_t lease_ms);
  /* Tells what became of an operation, without starting it.
   *
   * - ctx: on whose behalf.
   * - operation: borrowed for the call.
   * - key: borrowed for the call.
   * - info: `size` set by the caller; gets the state: IN_PROGRESS, DONE or FAILED. Owned by the caller.
   * - result: as in `begin`.
   *
   * Returns: OK; NOT_FOUND (it was not begun, has failed without being kept, was abandoned, so that whoever begins it
   * starts, or is forgotten); INVALID_ARGUMENT; CANCELLED; DENIED; QUOTA; UNAVAILABLE (the disk fails, or the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: while the disk reads.
   * Since: 1.0. */
  pintle_status (*get)(pintle_ctx ctx,
                       struct pintle_str operation,
                       struct pintle_str key,
                       struct pintle_idempotency_info *info,
                       struct pintle_sink result);
} pintle_idempotency;

/* What the host knows of a file. The caller sets `size`, and the host writes no further. */
typedef struct pintle_file_info {
  /* `sizeof(pintle_file_info)` of the caller. */
  uint32_t size;
  /* Must be ignored. */
  uint32_t reserved;
  /* How many bytes it has. */
  uint64_t len;
  /* Another one with each `put`; grows over all files, and is never used again; never 0. 0 for a resource. */
  uint64_t version;
  /* When it was first put, in milliseconds since 1970-01-01 UTC; 0 for a resource. */
  int64_t created_ms;
  /* When it was last put, in milliseconds since 1970-01-01 UTC; 0 for a resource. */
  int64_t updated_ms;
} pintle_file_info;

/* Under which condition a file is to be written. Zero means none. */
typedef struct pintle_file_options {
  /* `sizeof(pintle_file_options)` of the plugin. */
  uint32_t size;
  /* `PINTLE_FILE_IF_VERSION`, or 0. */
  uint32_t flags;
  /* With its flag: write only if the file has this version; 0: only if there is none. */
  uint64_t if_version;
} pintle_file_options;

/* Blobs by path, and the plugin's own resources.
 *
 * Files belong to the plugin and the tenant of the context and lie in a folder of their own, which no path leads out of. A
 * path has 1 to 512 bytes, UTF-8 without NUL, and one or more segments separated by `/`. No segment is empty, `.` or `..`, so
 * that none begins or ends with `/`; `\` and control characters are refused too. Paths differ if their bytes differ, whatever
 * the disk thinks of case and of Unicode's forms; `a` and `a/b` can be there together. A write is atomic: whoever reads sees the
 * old bytes or the new ones, whole, also after a crash, and OK means that they are on disk. In `load` and `restore` `put` and
 * `remove` answer UNAVAILABLE. */
typedef struct pintle_files {
  /* The size of the host's table. */
  uint32_t size;
  /* Must be ignored. */
  uint32_t reserved;
  /* Writes a file, in place of the one that is there.
   *
   * - ctx: on whose behalf.
   * - path: borrowed for the call.
   * - bytes: at most 64 MiB by default; borrowed for the call.
   * - options: may be null; borrowed for the call.
   * - info: gets what is known of the file then; on CONFLICT its `version` is the one that the file has (0: there is none)
   *   and the rest is 0. May be null. Owned by the caller.
   *
   * Returns: OK; CONFLICT (not the version asked for); TOO_LARGE; INVALID_ARGUMENT (the path, with what is wrong with
   * it); QUOTA (more files or bytes than the settings allow); DENIED; UNSUPPORTED (an option this host does not know);
   * UNAVAILABLE (in `load` and `restore`; the disk is full or fails, the text says which; the host has stopped);
   * STALE_HANDLE.
   * Thread: any.
   * Blocks: until the file is on disk.
   * Since: 1.0. */
  pintle_status (*put)(pintle_ctx ctx,
                       struct pintle_str path,
                       struct pintle_bytes bytes,
                       const struct pintle_file_options *options,
                       struct pintle_file_info *info);
  /* Reads a file, whole.
   *
   * - ctx: on whose behalf.
   * - path: borrowed for the call.
   * - out: gets the bytes, in pieces; the caller's.
   * - info: gets what is known of the file; may be null. Owned by the caller.
   *
   * Returns: OK; NOT_FOUND; INVALID_ARGUMENT; DENIED; CANCELLED (the sink refused); UNAVAILABLE (the disk fails, the
   * file is damaged, or the host has stopped); STALE_HANDLE.
   * Thread: any.
   * Blocks: while the disk reads.
   * Since: 1.0. */
  pintle_status (*get)(pintle_ctx ctx,
                       struct pintle_str path,
                       struct pintle_sink out,
                       struct pintle_file_info *info);
  /* Reads a part of a file. What lies behind its end is left out: a part that begins there is empty.
   *
   * - ctx: on whose behalf.
   * - path: borrowed for the call.
   * - offset: the first byte, from 0 on.
   * - len: how many bytes at most.
   * - out: gets the bytes, in pieces; the caller's.
   * - info: gets what is known of the whole file; may be null. Owned by the caller.
   *
   * Returns: OK; NOT_FOUND; INVALID_ARGUMENT; DENIED; CANCELLED; UNAVAILABLE (as `get`); STALE_HANDLE.
   * Thread: any.
   * Blocks: while the disk reads.
   * Since: 1.0. */
  pintle_status (*read)(pintle_ctx ctx,
                        struct pintle_str path,
                        uint64_t offset,
                        uint64_t len,
                        struct pintle_sink out,
                        struct pintle_file_info *info);
  /* Tells what is known of a file.
   *
   * - ctx: on whose behalf.
   * - path: borrowed for the call.
   * - info: `size` set by the caller; the rest is written by the host. Owned by the caller.
   *
   * Returns: OK; NOT_FOUND; INVALID_ARGUMENT; DENIED; UNAVAILABLE (as `get`); STALE_HANDLE.
   * Thread: any.
   * Blocks: while the disk reads.
   * Since: 1.0. */
  pintle_status (*stat)(pintle_ctx ctx, struct pintle_str path, struct pintle_file_info *info);
  /* Lists paths in byte order, in pages.
   *
   * - ctx: on whose behalf.
   * - prefix: which paths: those that begin with these bytes; empty: all. At most 512 bytes; borrowed for the call.
   * - cursor: empty for the first page, then what `next` got; borrowed for the call.
   * - limit: how many paths at most, 1 to 1,000; 0: 100.
   * - out: gets the paths, each followed by a NUL; the caller's.
   * - next: gets the cursor of the next page, empty after the last; its `write` may be null. The caller's. Files that come
   *   or go between two pages do not disturb it.
   *
   * Returns: OK; INVALID_ARGUMENT (also a cursor that `next` did not get); DENIED; CANCELLED (a sink refused);
   * UNAVAILABLE (as `get`); STALE_HANDLE.
   * Thread: any.
   * Blocks: while the disk reads.
   * Since: 1.0. */
  pintle_status (*list)(pintle_ctx ctx,
                        struct pintle_str prefix,
                        struct pintle_str cursor,
                        uint32_t limit,
                        struct pintle_sink out,
                        struct pintle_sink next);
  /* Removes a file. No failure if there is none.
   *
   * - ctx: on whose behalf.
   * - path: borrowed for the call.
   * - existed: gets 1 if there was one, else 0; may be null. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT; DENIED; UNAVAILABLE (as `put`); STALE_HANDLE.
   * Thread: any.
   * Blocks: until the removal is on disk.
   * Since: 1.0. */
  pintle_status (*remove)(pintle_ctx ctx, struct pintle_str path, uint32_t *existed);
  /* Reads a resource: a file that the manifest names and that was copied along with the library, so that it is the one of
   * this version. May be called in `load`.
   *
   * - ctx: any live context of the plugin.
   * - name: as in the manifest's `files`; borrowed for the call.
   * - out: gets the bytes, in pieces; the caller's.
   * - info: gets how long it is; may be null. Owned by the caller.
   *
   * Returns: OK; NOT_FOUND (the manifest does not name it); INVALID_ARGUMENT; DENIED; CANCELLED; UNAVAILABLE (the disk
   * fails); STALE_HANDLE.
   * Thread: any.
   * Blocks: while the disk reads.
   * Since: 1.0. */
  pintle_status (*resource)(pintle_ctx ctx,
                            struct pintle_str name,
                            struct pintle_sink out,
                            struct pintle_file_info *info);
} pintle_files;

/* A call by message from another plugin or from the application. Everything is borrowed until `call` returns. */
typedef struct pintle_request {
  /* `sizeof(pintle_request)` of the host. */
  uint32_t size;
  /* The major version of the service that the caller asks for. */
  uint32_t major;
  /* The service, one of the manifest's `provides`. */
  struct pintle_str service;
  /* The method, one of those that the manifest lists for it. */
  struct pintle_str method;
  /* Who calls: a plugin's id, or `application`. */
  struct pintle_str caller;
  /* The request's bytes. */
  struct pintle_bytes data;
} pintle_request;

/* What the host knows of a context. The caller sets `size`, and the host writes no further. */
typedef struct pintle_scope_info {
  /* `sizeof(pintle_scope_info)` of the caller. */
  uint32_t size;
  /* `PINTLE_SCOPE_…`. */
  uint32_t flags;
  /* Which copy of the plugin this is: grows with every load in this process. */
  uint64_t generation;
} pintle_scope_info;

/* What the host hands over: its own functions, and the tables of the built-in services. No table pointer is
 * ever null: a service that the manifest does not ask for answers DENIED, with the line to add.
 *
 * All functions may be called from any thread, also one that the plugin made, as long as the context lives;
 * never from a signal handler, in a forked child, from a thread that may be cancelled inside the call, or with
 * less than 256 KiB of stack left. */
typedef struct pintle_host {
  /* The size of the host's table. */
  uint32_t size;
  /* The host's `PINTLE_ABI_MINOR`. */
  uint32_t abi_minor;
  /* Tells in one sentence why this thread's last failed call with this context failed, and what to do about
   * it. Successful calls do not clear it. Each thread remembers the last failure of its 16 most recently
   * failing contexts.
   *
   * - ctx: the value that the failed call was made with, valid or not.
   * - out: gets the text; the caller's. May be called from inside a sink.
   *
   * Returns: OK; NOT_FOUND (no failure is remembered); INVALID_ARGUMENT (null `write`); CANCELLED (the sink
   * refused). Its own failures are not remembered.
   * Thread: any; answers for the calling thread.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*last_error)(pintle_ctx ctx, struct pintle_sink out);
  /* Says why the running function is about to fail. Kept until the function returns; goes to the caller, the
   * log and the report if its status is not OK.
   *
   * - ctx: the context that the running function was given.
   * - message: one sentence, at most 4 KiB are kept; bad UTF-8 is replaced. Borrowed for the call. May be
   *   called from inside a sink.
   *
   * Returns: OK; INVALID_ARGUMENT (null pointer); NOT_FOUND (no function runs under this context);
   * STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*set_error)(pintle_ctx ctx, struct pintle_str message);
  /* Gives a context of the same scope that lives until `release` or the end of the generation, for work that
   * outlives its handler.
   *
   * - ctx: the context to take the scope from.
   * - held: gets the new context; owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT (null `held`); QUOTA (1,024 registrations a plugin); STOPPING; STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*hold)(pintle_ctx ctx, pintle_ctx *held);
  /* Ends a held context. Calls under way with it are finished.
   *
   * - held: from `hold`.
   *
   * Returns: OK; INVALID_ARGUMENT (a live context that was not held); STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*release)(pintle_ctx held);
  /* Tells what the host knows of a context.
   *
   * - ctx: the context in question.
   * - out: `size` set by the caller; the rest is written by the host. Owned by the caller.
   * - tenant: gets the tenant's name, empty in the system scope; the caller's. `write` may be null if it is
   *   not wanted.
   *
   * Returns: OK; INVALID_ARGUMENT (null `out`, `size` under 8); CANCELLED; STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*scope)(pintle_ctx ctx, struct pintle_scope_info *out, struct pintle_sink tenant);
  /* Tells how long the caller of the running function still waits.
   *
   * - ctx: the context in question.
   * - ms: gets milliseconds; 0: the caller has given up; `PINTLE_FOREVER`: nobody waits. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT (null `ms`); STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*remaining)(pintle_ctx ctx, int64_t *ms);
  /* Calls a service of another plugin by message and waits for its reply. The request is copied and run on
   * the provider's lane, under a context of the provider and the caller's tenant.
   *
   * - ctx: on whose behalf.
   * - service: as in the provider's manifest, and in the caller's `services.call`; borrowed for the call.
   * - major: the version of the service that the caller knows.
   * - method: one of those in the provider's manifest; borrowed for the call.
   * - request: at most 1 MiB, copied.
   * - timeout_ms: how long to wait, 1 to 3,600,000; 0: 5,000. Never longer than `remaining`.
   * - reply: gets the reply; the caller's.
   *
   * Returns: OK; NOT_FOUND (nobody provides the service in that major); UNSUPPORTED (unknown method); DENIED;
   * INVALID_ARGUMENT; OUT_OF_RANGE (timeout_ms); TOO_LARGE; TIMEOUT (the provider may still run it);
   * CANCELLED (the sink refused, when the provider has run already, or the caller's own caller has given up); REENTRANT (only the waiter itself
   * could end the wait); BUSY (the provider's queue is full, or too many wait); UNAVAILABLE (the provider is
   * disabled, unloaded or stuck); STOPPING; STALE_HANDLE; otherwise what the provider answered.
   * Thread: any.
   * Blocks: until the reply, at most `timeout_ms`.
   * Since: 1.0. */
  pintle_status (*call)(pintle_ctx ctx,
                        struct pintle_str service,
                        uint32_t major,
                        struct pintle_str method,
                        struct pintle_bytes request,
                        int64_t timeout_ms,
                        struct pintle_sink reply);
  /* Gives a table of functions: one of the embedding application, or a built-in one (`pintle.log`,
   * `pintle.config`, `pintle.cache`, …, major 1). Asking for what is not there is silent.
   *
   * - ctx: on whose behalf.
   * - id: the service; borrowed for the call.
   * - major: the version that the caller knows.
   * - min_size: how far the table must reach at least, in bytes.
   * - table: gets the table, which is valid until the host stops. Owned by the caller.
   * - itself: gets what the functions of an application's table take first, null for a built-in one; may be
   *   null. Owned by the caller.
   *
   * Returns: OK; NOT_FOUND (no such service, other major, or a shorter table); INVALID_ARGUMENT; DENIED;
   * STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*service)(pintle_ctx ctx,
                           struct pintle_str id,
                           uint32_t major,
                           uint32_t min_size,
                           const void **table,
                           void **itself);
  /* Structured log records. */
  const struct pintle_log *log;
  /* The plugin's settings. */
  const struct pintle_config *config;
  /* Volatile items. */
  const struct pintle_cache *cache;
  /* Durable items. */
  const struct pintle_storage *storage;
  /* SQL. */
  const struct pintle_database *database;
  /* Publish and subscribe. */
  const struct pintle_events *events;
  /* Jobs by time. */
  const struct pintle_scheduler *scheduler;
  /* Exactly-once starts. */
  const struct pintle_idempotency *idempotency;
  /* Blobs and resources. */
  const struct pintle_files *files;
} pintle_host;

/* What a plugin is. Returned by its entry function as static data, which is valid as long as the library is
 * mapped.
 *
 * Lifecycle functions run alone on the plugin's lane, ahead of its queue, with the plugin's own context. No
 * handler runs before `enable` returned OK. */
typedef struct pintle_plugin {
  /* `sizeof(pintle_plugin)` when the plugin was built. */
  uint32_t size;
  /* `PINTLE_ABI_MINOR` when the plugin was built: information, not a demand. */
  uint32_t abi_minor;
  /* The embedded manifest record (`PINTLE_MANIFEST_BYTES`), which keeps linkers from dropping its section;
   * empty if the manifest is in a file beside the library. */
  struct pintle_bytes manifest;
  /* Must equal the manifest's `id`. */
  struct pintle_str id;
  /* Must equal the manifest's `version`. */
  struct pintle_str version;
  /* Prepares. Required. Emits and durable writes answer UNAVAILABLE until `enable`; registrations are taken,
   * and live from `enable` on.
   *
   * - ctx: the plugin's own, in the system scope; valid until the generation ends.
   * - host: what the host hands over; valid as long as the library is mapped.
   * - state: gets what is passed to every other function; the plugin's.
   *
   * Returns: OK; anything else refuses to be loaded, with the text of `set_error`; then nothing else is called.
   * Thread: the plugin's lane, alone: [lane].
   * Blocks: it may, until its deadline (10 s by default).
   * Since: 1.0. */
  pintle_status (*load)(pintle_ctx ctx, const struct pintle_host *host, void **state);
  /* Acts: from its OK on, handlers run. Optional.
   *
   * - state: from `load`.
   * - ctx: the plugin's own.
   *
   * Returns: OK; anything else keeps the plugin from being enabled, and `disable` is not called.
   * Thread: the plugin's lane, alone: [lane].
   * Blocks: it may, until its deadline (10 s by default).
   * Since: 1.0. */
  pintle_status (*enable)(void *state, pintle_ctx ctx);
  /* Stops acting. Handlers no longer run; what was registered since `enable` is dropped when it returns; new
   * registrations and waits answer STOPPING from its start on. Optional. `enable` may follow.
   *
   * - state: from `load`.
   * - ctx: the plugin's own.
   *
   * Returns: OK; anything else is reported, and the plugin is disabled all the same.
   * Thread: the plugin's lane, alone: [lane].
   * Blocks: it may, until its deadline (10 s by default).
   * Since: 1.0. */
  pintle_status (*disable)(void *state, pintle_ctx ctx);
  /* Frees everything, and has ended the threads that the plugin started. Afterwards every context and handle
   * of the generation is stale. Optional.
   *
   * - state: from `load`.
   * - ctx: the plugin's own, for the last time.
   *
   * Returns: nothing.
   * Thread: the plugin's lane, alone: [lane].
   * Blocks: it may, until its deadline (10 s by default).
   * Since: 1.0. */
  void (*unload)(void *state, pintle_ctx ctx);
  /* Is offered a new config, already checked against the schema. Optional; without it every valid config is
   * taken.
   *
   * - state: from `load`.
   * - ctx: the plugin's own; the config table still shows the old values.
   * - config: the whole new config as a JSON object; borrowed for the call.
   *
   * Returns: OK takes it; anything else refuses it, with the text of `set_error`, and the old one stays.
   * Thread: the plugin's lane, alone: [lane].
   * Blocks: it may, until its deadline (10 s by default).
   * Since: 1.0. */
  pintle_status (*configure)(void *state, pintle_ctx ctx, struct pintle_bytes config);
  /* Writes what the next generation needs to go on. Changes nothing: `enable` may follow. Optional.
   *
   * - state: from `load`.
   * - ctx: the plugin's own.
   * - out: the host's; valid until `save` returns.
   *
   * Returns: OK; anything else ends the reload, and this generation goes on.
   * Thread: the plugin's lane, alone: [lane].
   * Blocks: it may, until its deadline (10 s by default).
   * Since: 1.0. */
  pintle_status (*save)(void *state, pintle_ctx ctx, struct pintle_sink out);
  /* Takes over what an earlier generation saved. Emits and durable writes answer UNAVAILABLE. Optional.
   *
   * - state: from `load`.
   * - ctx: the plugin's own.
   * - schema: the `state` number of the manifest that saved it.
   * - saved: borrowed for the call.
   *
   * Returns: OK; anything else ends the reload, and the old generation goes on.
   * Thread: the plugin's lane, alone: [lane].
   * Blocks: it may, until its deadline (10 s by default).
   * Since: 1.0. */
  pintle_status (*restore)(void *state, pintle_ctx ctx, uint32_t schema, struct pintle_bytes saved);
  /* Answers a call by message to a service that the manifest provides. Optional if it provides none.
   *
   * - state: from `load`.
   * - ctx: of the plugin, bound to the caller's tenant; valid until `call` returns.
   * - request: borrowed until `call` returns.
   * - reply: takes at most 1 MiB; above, the caller gets TOO_LARGE, whatever `call` answers. Valid until `call`
   *   returns.
   *
   * Returns: OK with what was written to `reply`; UNSUPPORTED for an unknown method; anything else reaches
   * the caller as this call's status, with the text of `set_error`.
   * Thread: the plugin's lane: [lane].
   * Blocks: it may, until its deadline (30 s by default); `remaining` tells how long the caller still waits.
   * Since: 1.0. */
  pintle_status (*call)(void *state,
                        pintle_ctx ctx,
                        const struct pintle_request *request,
                        struct pintle_sink reply);
  /* Hands out a table of functions that the host knows, or that an application calls directly (the manifest
   * says `direct`). Optional.
   *
   * - state: from `load`.
   * - service: one of the manifest's `provides`; borrowed for the call.
   * - major: the version asked for.
   *
   * Returns: static data of the plugin that begins with its size, or null.
   * Thread: the plugin's lane: [lane].
   * Blocks: it should not.
   * Since: 1.0. */
  const void *(*provide)(void *state, struct pintle_str service, uint32_t major);
} pintle_plugin;

/* It worked. */
#define PINTLE_OK 0

/* What was asked for is not there. */
#define PINTLE_NOT_FOUND 1

/* An argument is malformed; `last_error` says which and why. */
#define PINTLE_INVALID_ARGUMENT 2

/* The manifest did not ask for it, or the operator does not allow it; `last_error` names the missing line. */
#define PINTLE_DENIED 3

/* The context or handle is over, belongs to another, or never was. */
#define PINTLE_STALE_HANDLE 4

/* The buffer is too small; the needed size was written, nothing else. */
#define PINTLE_BUFFER_TOO_SMALL 5

/* Somebody else was first: a name is taken, a version has moved on, a setting is fixed elsewhere. */
#define PINTLE_CONFLICT 6

/* The value exists but is of another type than asked for. */
#define PINTLE_WRONG_TYPE 7

/* A number is outside of what the function takes, or the result would overflow. */
#define PINTLE_OUT_OF_RANGE 8

/* A value is larger than the limit; `last_error` names the limit. */
#define PINTLE_TOO_LARGE 9

/* The plugin or its tenant has used up what the operator allows. */
#define PINTLE_QUOTA 10

/* The deadline of the wait passed; the work may still be done by the other side. */
#define PINTLE_TIMEOUT 11

/* The caller's sink or the caller itself gave up. */
#define PINTLE_CANCELLED 12

/* The host has no room for more of this now; try again later. */
#define PINTLE_BUSY 13

/* The other side cannot answer now: unloaded, disabled, stuck, or this phase of the life does not allow it. */
#define PINTLE_UNAVAILABLE 14

/* This host does not know this method, flag or field. */
#define PINTLE_UNSUPPORTED 15

/* The plugin or the host is stopping: no new registrations and no waits. */
#define PINTLE_STOPPING 16

/* The wait could only be ended by the waiter itself, or a sink called the host. */
#define PINTLE_REENTRANT 17

/* It failed, and no other status says how. From the host itself: please report it. */
#define PINTLE_INTERNAL 18

/* Code panicked or threw; it was caught at the boundary. */
#define PINTLE_PANIC 19

/* The one function that a plugin exports. It returns static data, does no work and calls nobody.
 *
 * Returns: what the plugin is, valid as long as the library is mapped.
 * Thread: one that the host made.
 * Blocks: never.
 * Since: 1.0. */
PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void);

/* PINTLE_MANIFEST({ "id": "…", … }); embeds the manifest, which is read without loading the library. Use it
 * once, at file level, and let the plugin's struct point at it with PINTLE_MANIFEST_BYTES. The text may have
 * at most 4,095 bytes in pedantic C; for longer ones put NAME.pintle.json beside the library. */
#if defined(__APPLE__)
#define PINTLE_SECTION __attribute__((section("__DATA,__pintle"), used, aligned(8)))
#elif defined(_MSC_VER)
#pragma section(".pintle", read)
#define PINTLE_SECTION __declspec(allocate(".pintle")) __declspec(align(8))
#else
#define PINTLE_SECTION __attribute__((section(".pintle"), used, aligned(8)))
#endif
#define PINTLE_MANIFEST(...)                                                                                  \
  static const struct {                                                                                       \
    char magic[8];                                                                                            \
    uint64_t length;                                                                                          \
    char text[sizeof(#__VA_ARGS__)];                                                                          \
  } pintle_manifest_record PINTLE_SECTION = {"PINTLE1", sizeof(#__VA_ARGS__) - 1, #__VA_ARGS__}
#define PINTLE_MANIFEST_BYTES {(const uint8_t *)&pintle_manifest_record, sizeof pintle_manifest_record}

/* A string literal as a pintle_str: in static initialisers, and in expressions. */
#define PINTLE_STR_INIT(literal) {"" literal, sizeof(literal) - 1}
#define PINTLE_STR(literal) pintle_strn("" literal, sizeof(literal) - 1)

/* Does this host's table reach as far as `member`? Ask before using what is newer than the manifest's `abi`. */
#define PINTLE_HAS(table, member)                                                                             \
  ((size_t)((const char *)(&(table)->member + 1) - (const char *)(table)) <= (size_t)(table)->size)

/* `len` bytes of text from `ptr`. */
static inline pintle_str pintle_strn(const char *ptr, size_t len) {
  pintle_str text;
  text.ptr = ptr;
  text.len = len;
  return text;
}

/* A NUL-terminated string; null is empty. */
static inline pintle_str pintle_cstr(const char *text) {
  return pintle_strn(text, text ? strlen(text) : 0);
}

/* `len` bytes from `ptr`. */
static inline pintle_bytes pintle_bytesn(const void *ptr, size_t len) {
  pintle_bytes bytes;
  bytes.ptr = (const uint8_t *)ptr;
  bytes.len = len;
  return bytes;
}

/* Are two texts the same bytes? */
static inline int pintle_str_eq(pintle_str a, pintle_str b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* A growable buffer of the plugin's own memory. Start with `pintle_buf b = {0}` ({} in C++), end with
 * pintle_buf_free. The bytes are always followed by a NUL that `len` does not count. */
typedef struct pintle_buf {
  uint8_t *ptr;
  size_t len;
  size_t cap;
} pintle_buf;

/* Appends; PINTLE_TOO_LARGE if there is no memory, and then nothing was appended. */
static inline pintle_status pintle_buf_write(pintle_buf *buf, const void *ptr, size_t len) {
  if (len > SIZE_MAX / 2 - 1 || buf->len > SIZE_MAX / 2 - 1 - len) return PINTLE_TOO_LARGE;
  if (buf->ptr == NULL || buf->len + len + 1 > buf->cap) {
    size_t cap = buf->cap < 64 ? 64 : buf->cap;
    uint8_t *grown;
    while (cap < buf->len + len + 1) cap *= 2;
    grown = (uint8_t *)realloc(buf->ptr, cap);
    if (grown == NULL) return PINTLE_TOO_LARGE;
    buf->ptr = grown;
    buf->cap = cap;
  }
  if (len > 0) memcpy(buf->ptr + buf->len, ptr, len);
  buf->len += len;
  buf->ptr[buf->len] = 0;
  return PINTLE_OK;
}

/* The `write` of pintle_buf_sink. */
static inline pintle_status pintle_buf_take(void *data, pintle_bytes piece) {
  return pintle_buf_write((pintle_buf *)data, piece.ptr, piece.len);
}

/* A sink that appends to `buf`, which must outlive the call that the sink is passed to. */
static inline pintle_sink pintle_buf_sink(pintle_buf *buf) {
  pintle_sink sink;
  sink.data = buf;
  sink.write = pintle_buf_take;
  return sink;
}

/* The text in the buffer; valid until it is next written to. */
static inline pintle_str pintle_buf_str(const pintle_buf *buf) {
  return pintle_strn((const char *)buf->ptr, buf->len);
}

/* Empties the buffer and keeps its memory. */
static inline void pintle_buf_clear(pintle_buf *buf) {
  buf->len = 0;
  if (buf->ptr != NULL) buf->ptr[0] = 0;
}

/* Frees the buffer's memory; it may be used again. */
static inline void pintle_buf_free(pintle_buf *buf) {
  free(buf->ptr);
  buf->ptr = NULL;
  buf->len = 0;
  buf->cap = 0;
}

/* A sink for results that are not wanted. */
static inline pintle_status pintle_discard(void *data, pintle_bytes piece) {
  (void)data;
  (void)piece;
  return PINTLE_OK;
}
static inline pintle_sink pintle_discard_sink(void) {
  pintle_sink sink;
  sink.data = NULL;
  sink.write = pintle_discard;
  return sink;
}

/* Writes to a sink that the host gave. */
static inline pintle_status pintle_sink_write(pintle_sink sink, const void *ptr, size_t len) {
  return sink.write(sink.data, pintle_bytesn(ptr, len));
}

/* Fields of log records. */
static inline pintle_field pintle_field_of(uint32_t kind, pintle_str name) {
  pintle_field field;
  memset(&field, 0, sizeof field);
  field.size = (uint32_t)sizeof field;
  field.kind = kind;
  field.name = name;
  return field;
}
static inline pintle_field pintle_field_text(pintle_str name, pintle_str value) {
  pintle_field field = pintle_field_of(PINTLE_FIELD_TEXT, name);
  field.text = value;
  return field;
}
static inline pintle_field pintle_field_integer(pintle_str name, int64_t value) {
  pintle_field field = pintle_field_of(PINTLE_FIELD_INTEGER, name);
  field.integer = value;
  return field;
}
static inline pintle_field pintle_field_number(pintle_str name, double value) {
  pintle_field field = pintle_field_of(PINTLE_FIELD_NUMBER, name);
  field.number = value;
  return field;
}
static inline pintle_field pintle_field_boolean(pintle_str name, int value) {
  pintle_field field = pintle_field_of(PINTLE_FIELD_BOOLEAN, name);
  field.integer = value != 0;
  return field;
}

/* Options for an item that is fresh for `ttl_ms`; 0: it does not expire. All else is the default until it is set. */
static inline pintle_cache_options pintle_cache_options_ttl(int64_t ttl_ms) {
  pintle_cache_options options;
  memset(&options, 0, sizeof options);
  options.size = (uint32_t)sizeof options;
  options.flags = PINTLE_CACHE_TTL;
  options.ttl_ms = ttl_ms;
  return options;
}

/* Reads an item into `value`, an empty buffer, and has `load` load it where it has to be loaded: once, however many ask for
 * it at the same time. `load` writes the item's bytes to the buffer that it is given and answers PINTLE_OK;
 * PINTLE_NOT_FOUND says that there is nothing to be loaded, which the cache keeps too, for a while; after anything else the
 * old item is given, if it is still within its spans. `options` (may be null) are for what is loaded; its tags also for
 * what is known to be absent. Answers what `fetch` does, or what `load` did; or what `set` does where the options are wrong or
 * writing is not granted, for then nothing would ever be kept. That what was loaded cannot be kept for another reason is no
 * failure. The manifest's methods, if it lists them, are `fetch` and `set`.
 *
 * Why it failed stands in `last_error`, also where a call to the host failed inside of `load`. A `load` that fails for a
 * reason of its own tells it by `set_error`: then do not put the text of `last_error` over it. */
static inline pintle_status pintle_cache_get_or_load(const pintle_cache *cache, pintle_ctx ctx, pintle_str ns,
                                                     pintle_str key, const pintle_cache_options *options,
                                                     pintle_status (*load)(void *user, pintle_ctx ctx, pintle_buf *value),
                                                     void *user, pintle_buf *value) {
  pintle_cache_lease lease = 0;
  pintle_cache_options kept;
  pintle_status written, status = cache->fetch(ctx, ns, key, NULL, pintle_buf_sink(value), NULL, &lease);
  if (lease == 0) return status;
  pintle_buf_clear(value); /* a stale item: `fail` gives it again */
  status = load(user, ctx, value);
  if (status != PINTLE_OK) pintle_buf_clear(value);
  if (status != PINTLE_OK && status != PINTLE_NOT_FOUND) {
    if (cache->fail(ctx, lease, pintle_buf_sink(value), NULL) == PINTLE_OK) return PINTLE_OK;
    pintle_buf_clear(value);
    return status;
  }
  memset(&kept, 0, sizeof kept);
  kept.size = (uint32_t)sizeof kept;
  if (options != NULL) {
    if (status == PINTLE_OK) kept = *options;
    kept.tags = options->tags;
    kept.tag_count = options->tag_count;
  }
  kept.lease = lease;
  written = status == PINTLE_OK ? cache->set(ctx, ns, key, pintle_bytesn(value->ptr, value->len), &kept)
                                : cache->set_absent(ctx, ns, key, &kept);
  /* What was loaded is good, whether it can be kept or not; but nobody is to wait any longer for it. */
  if (written != PINTLE_OK) cache->fail(ctx, lease, pintle_discard_sink(), NULL);
  if (written == PINTLE_DENIED || written == PINTLE_INVALID_ARGUMENT || written == PINTLE_OUT_OF_RANGE ||
      written == PINTLE_UNSUPPORTED) {
    pintle_buf_clear(value);
    return written;
  }
  return status;
}

/* Options of `emit` for a durable event. With an id it is published once, however often it is said within the dedupe window;
 * without (PINTLE_STR("")) the host makes one. All else is the default until it is set. */
static inline pintle_emit_options pintle_emit_durable(pintle_str id) {
  pintle_emit_options options;
  memset(&options, 0, sizeof options);
  options.size = (uint32_t)sizeof options;
  options.flags = PINTLE_EMIT_DURABLE;
  options.id = id;
  return options;
}

/* Options of `subscribe` for a durable subscription of this name (empty: the pattern). Its events are acknowledged by the OK of
 * the handler, unless PINTLE_SUBSCRIBE_ACK is added to the flags. All else is the default until it is set. */
static inline pintle_subscribe_options pintle_subscribe_durable(pintle_str name) {
  pintle_subscribe_options options;
  memset(&options, 0, sizeof options);
  options.size = (uint32_t)sizeof options;
  options.flags = PINTLE_SUBSCRIBE_DURABLE;
  options.name = name;
  return options;
}

/* Options of `cron`, `interval`, `once` and `after` for a durable job that is tried again `retries` times where a run fails,
 * after a second at first and then each time twice as long. All else is the default until it is set. */
static inline pintle_job_options pintle_job_durable(uint32_t retries) {
  pintle_job_options options;
  memset(&options, 0, sizeof options);
  options.size = (uint32_t)sizeof options;
  options.flags = PINTLE_JOB_DURABLE;
  options.retries = retries;
  return options;
}

/* What the runs of a job are given, as text. */
static inline pintle_str pintle_run_text(const pintle_run *run) {
  return pintle_strn((const char *)run->data.ptr, run->data.len);
}

/* SQL. Values to be bound to placeholders; text and blobs are borrowed. */
static inline pintle_sql_value pintle_sql_null(void) {
  pintle_sql_value value;
  memset(&value, 0, sizeof value);
  return value;
}
static inline pintle_sql_value pintle_sql_int(int64_t integer) {
  pintle_sql_value value = pintle_sql_null();
  value.kind = PINTLE_SQL_INTEGER;
  value.integer = integer;
  return value;
}
static inline pintle_sql_value pintle_sql_real(double real) {
  pintle_sql_value value = pintle_sql_null();
  value.kind = PINTLE_SQL_REAL;
  value.real = real;
  return value;
}
static inline pintle_sql_value pintle_sql_blob(pintle_bytes bytes) {
  pintle_sql_value value = pintle_sql_null();
  value.kind = PINTLE_SQL_BLOB;
  value.bytes = bytes;
  return value;
}
static inline pintle_sql_value pintle_sql_text(pintle_str text) {
  pintle_sql_value value = pintle_sql_blob(pintle_bytesn(text.ptr, text.len));
  value.kind = PINTLE_SQL_TEXT;
  return value;
}

/* Values as the two arguments `values` and `count` of a call; without values pass NULL and 0.
 *
 *   db->execute(ctx, 0, PINTLE_STR("INSERT INTO seen VALUES (?1, ?2)"),
 *               PINTLE_SQL(pintle_sql_text(name), pintle_sql_int(7)), NULL, NULL); */
#ifdef __cplusplus
template <size_t count>
struct pintle_sql_array {
  pintle_sql_value values[count];
};
template <class... Value>
static inline pintle_sql_array<sizeof...(Value)> pintle_sql_array_of(const Value &...values) {
  return {{values...}};
}
template <size_t count>
static inline const pintle_sql_value *pintle_sql_first(const pintle_sql_array<count> &array) {
  return array.values;
}
#define PINTLE_SQL(...)                                                                                       \
  pintle_sql_first(pintle_sql_array_of(__VA_ARGS__)),                                                         \
      sizeof(pintle_sql_array_of(__VA_ARGS__)) / sizeof(pintle_sql_value)
#else
#define PINTLE_SQL(...)                                                                                       \
  (const pintle_sql_value[]){__VA_ARGS__}, sizeof((const pintle_sql_value[]){__VA_ARGS__}) / sizeof(pintle_sql_value)
#endif

/* The values of a row: what a column is, or `fallback` where it is NULL or of another kind. An INTEGER is taken for a REAL,
 * and nothing else for anything else. Text and blobs are borrowed from the row. */
static inline int pintle_sql_is_null(const pintle_sql_value *value) {
  return value->kind == PINTLE_SQL_NULL;
}
static inline int64_t pintle_sql_as_int(const pintle_sql_value *value, int64_t fallback) {
  return value->kind == PINTLE_SQL_INTEGER ? value->integer : fallback;
}
static inline double pintle_sql_as_real(const pintle_sql_value *value, double fallback) {
  if (value->kind == PINTLE_SQL_INTEGER) return (double)value->integer;
  return value->kind == PINTLE_SQL_REAL ? value->real : fallback;
}
static inline pintle_str pintle_sql_as_text(const pintle_sql_value *value, pintle_str fallback) {
  return value->kind == PINTLE_SQL_TEXT ? pintle_strn((const char *)value->bytes.ptr, value->bytes.len) : fallback;
}
static inline pintle_bytes pintle_sql_as_blob(const pintle_sql_value *value, pintle_bytes fallback) {
  return value->kind == PINTLE_SQL_BLOB ? value->bytes : fallback;
}

/* The same for those who must know: PINTLE_WRONG_TYPE where the column is NULL or of another kind, and nothing is written. */
static inline pintle_status pintle_sql_get_int(const pintle_sql_value *value, int64_t *integer) {
  if (value->kind != PINTLE_SQL_INTEGER) return PINTLE_WRONG_TYPE;
  *integer = value->integer;
  return PINTLE_OK;
}
static inline pintle_status pintle_sql_get_real(const pintle_sql_value *value, double *real) {
  if (value->kind != PINTLE_SQL_INTEGER && value->kind != PINTLE_SQL_REAL) return PINTLE_WRONG_TYPE;
  *real = pintle_sql_as_real(value, 0);
  return PINTLE_OK;
}
static inline pintle_status pintle_sql_get_text(const pintle_sql_value *value, pintle_str *text) {
  if (value->kind != PINTLE_SQL_TEXT) return PINTLE_WRONG_TYPE;
  *text = pintle_strn((const char *)value->bytes.ptr, value->bytes.len);
  return PINTLE_OK;
}
static inline pintle_status pintle_sql_get_blob(const pintle_sql_value *value, pintle_bytes *bytes) {
  if (value->kind != PINTLE_SQL_BLOB) return PINTLE_WRONG_TYPE;
  *bytes = value->bytes;
  return PINTLE_OK;
}

/* Rows for `query`: each goes to `row`, with `data`. Set `columns` of what is returned to be told the names, too. */
static inline pintle_sql_rows pintle_sql_each(pintle_status (*row)(void *data, const pintle_sql_value *values,
                                                                   size_t count),
                                              void *data) {
  pintle_sql_rows rows;
  rows.data = data;
  rows.columns = NULL;
  rows.row = row;
  return rows;
}

/* A row that is copied, with its text and blobs. */
typedef struct pintle_sql_copy {
  pintle_sql_value *values;
  size_t room;
  pintle_buf *bytes;
  pintle_status status;
} pintle_sql_copy;

/* The `row` of pintle_sql_one. */
static inline pintle_status pintle_sql_copy_row(void *data, const pintle_sql_value *values, size_t count) {
  pintle_sql_copy *copy = (pintle_sql_copy *)data;
  size_t at, offset = copy->bytes == NULL ? 0 : copy->bytes->len;
  if (count > copy->room) count = copy->room;
  for (at = 0; at < count && copy->status == PINTLE_OK; at++) {
    copy->values[at] = values[at];
    if (values[at].kind != PINTLE_SQL_TEXT && values[at].kind != PINTLE_SQL_BLOB) continue;
    if (copy->bytes == NULL)
      copy->status = PINTLE_WRONG_TYPE;
    else
      copy->status = pintle_buf_write(copy->bytes, values[at].bytes.ptr, values[at].bytes.len);
    if (copy->status == PINTLE_OK) copy->status = pintle_buf_write(copy->bytes, "", 1);
  }
  if (copy->status != PINTLE_OK) return copy->status;
  /* The buffer moves no more. */
  for (at = 0; at < count; at++) {
    if (values[at].kind != PINTLE_SQL_TEXT && values[at].kind != PINTLE_SQL_BLOB) continue;
    copy->values[at].bytes.ptr = copy->bytes->ptr + offset;
    offset += values[at].bytes.len + 1;
  }
  return PINTLE_OK;
}

/* Runs a query that gives one row, and copies up to `room` of its columns to `row`; what it has less is NULL. Texts and
 * blobs are appended to `bytes`, each with a NUL behind it that does not count, and stay until that is next written to.
 * Answers what `query_one` does, and nothing is in `row` where that is not OK; PINTLE_TOO_LARGE also if there is no memory,
 * PINTLE_WRONG_TYPE if `bytes` is null and there is something for it.
 *
 *   pintle_sql_value row[2];
 *   pintle_buf bytes = {0};
 *   status = pintle_sql_one(db, ctx, 0, PINTLE_STR("SELECT name, seen FROM people WHERE id = ?1"),
 *                           PINTLE_SQL(pintle_sql_int(id)), row, 2, &bytes); */
static inline pintle_status pintle_sql_one(const pintle_database *database, pintle_ctx ctx, pintle_transaction tx,
                                           pintle_str sql, const pintle_sql_value *values, size_t count,
                                           pintle_sql_value *row, size_t room, pintle_buf *bytes) {
  pintle_sql_copy copy;
  pintle_status status;
  size_t at;
  copy.values = row;
  copy.room = room;
  copy.bytes = bytes;
  copy.status = PINTLE_OK;
  for (at = 0; at < room; at++) row[at] = pintle_sql_null();
  status = database->query_one(ctx, tx, sql, values, count, pintle_sql_each(pintle_sql_copy_row, &copy), NULL, NULL);
  if (status == PINTLE_OK) return PINTLE_OK;
  for (at = 0; at < room; at++) row[at] = pintle_sql_null();
  return copy.status == PINTLE_OK ? status : copy.status;
}

/* Ends a transaction: commits it if all went well, and else rolls it back and gives that status on, with its text still in
 * `last_error`.
 *
 *   pintle_transaction tx;
 *   pintle_status status = db->begin(ctx, 0, NULL, &tx);
 *   if (status != PINTLE_OK) return status;
 *   status = db->execute(ctx, tx, PINTLE_STR("UPDATE stock SET left = left - 1 WHERE item = ?1"),
 *                        PINTLE_SQL(pintle_sql_text(item)), NULL, NULL);
 *   if (status == PINTLE_OK)
 *     status = db->execute(ctx, tx, PINTLE_STR("INSERT INTO sold VALUES (?1)"),
 *                          PINTLE_SQL(pintle_sql_text(item)), NULL, NULL);
 *   return pintle_sql_end(db, ctx, tx, status);
 *
 * Every statement in between names `tx`: with 0 it would wait for the transaction that its own caller has open. */
static inline pintle_status pintle_sql_end(const pintle_database *database, pintle_ctx ctx, pintle_transaction tx,
                                           pintle_status status) {
  if (status == PINTLE_OK) {
    status = database->commit(ctx, tx);
    if (status != PINTLE_BUSY) return status; /* then a nested one is open, and it goes on */
  }
  (void)database->rollback(ctx, tx);
  return status;
}

/* A migration, in a static initialiser:
 *
 *   static const pintle_migration history[] = {
 *     PINTLE_MIGRATION(1, "first", "CREATE TABLE seen (name TEXT PRIMARY KEY, times INTEGER NOT NULL) STRICT"),
 *     PINTLE_MIGRATION(2, "when", "ALTER TABLE seen ADD COLUMN last INTEGER"),
 *   }; */
#define PINTLE_MIGRATION(number, name, sql)                                                                   \
  {(uint32_t)sizeof(pintle_migration), number, PINTLE_STR_INIT(name), PINTLE_STR_INIT(sql)}

/* A column for `create_table`; set `default_value` of what is returned where there is one. */
static inline pintle_sql_column pintle_sql_column_of(pintle_str name, uint32_t kind, uint32_t flags) {
  pintle_sql_column column;
  memset(&column, 0, sizeof column);
  column.size = (uint32_t)sizeof column;
  column.flags = flags;
  column.name = name;
  column.kind = kind;
  return column;
}

#endif /* PINTLE_PLUGIN_H */
