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

/* A full queue loses its oldest event. The default. */
#define PINTLE_QUEUE_DROP_OLDEST 0

/* A full queue takes nothing new. */
#define PINTLE_QUEUE_DROP_NEW 1

/* A full queue makes the publisher wait as long as its `wait_ms` says, then the new event is dropped. */
#define PINTLE_QUEUE_WAIT 2

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

/* `pintle_scope_info.flags`: the context is in the system scope; there is no tenant. */
#define PINTLE_SCOPE_SYSTEM 1

/* `pintle_scope_info.flags`: the context ends with the call that it was given to. */
#define PINTLE_SCOPE_CALL 2

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

/* Overlap: a run that is due while the last one has not ended is skipped. The default. */
#define PINTLE_OVERLAP_SKIP 0

/* Overlap: at most one run that is due while the last one has not ended is queued behind it. */
#define PINTLE_OVERLAP_QUEUE 1

/* `pintle_storage_options.flags`: `if_version` counts. */
#define PINTLE_STORAGE_IF_VERSION 1

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
} pintle_storage_info;

/* Under which condition an item is to be written. Zero means none. */
typedef struct pintle_storage_options {
  /* `sizeof(pintle_storage_options)` of the plugin. */
  uint32_t size;
  /* `PINTLE_STORAGE_IF_VERSION`, or 0. */
  uint32_t flags;
  /* With its flag: write only if the item has this version; 0: only if it is not there. */
  uint64_t if_version;
} pintle_storage_options;

/* Durable key-value items: OK to a write means that it is on disk.
 *
 * Items belong to the plugin and the tenant of the context and lie under keys of 1 to 512 bytes, UTF-8 without
 * NUL. Values are bytes, at most 4 MiB by default; an empty value is a value. They outlive the host, reloads and
 * updates of the plugin. In `load` and `restore` every function that writes answers UNAVAILABLE. */
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
   * Returns: OK; CONFLICT (not the version asked for); TOO_LARGE; INVALID_ARGUMENT; DENIED; UNSUPPORTED (an
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
} pintle_storage;

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
} pintle_event;

/* The source of randomness and time is the host; what a publisher may say beside topic and data is here.
 * Zero means default everywhere: `pintle_emit_options o = {0}; o.size = sizeof o;` changes nothing. */
typedef struct pintle_emit_options {
  /* `sizeof(pintle_emit_options)` of the plugin. */
  uint32_t size;
  /* Must be 0: no flag is known yet. */
  uint32_t flags;
  /* CloudEvents `id`, 1 to 256 bytes; empty: the host makes one. */
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

/* How a subscription is to be kept. Zero means default everywhere. */
typedef struct pintle_subscribe_options {
  /* `sizeof(pintle_subscribe_options)` of the plugin. */
  uint32_t size;
  /* Must be 0: no flag is known yet. */
  uint32_t flags;
  /* The subscription's name, unique in its scope, 1 to 128 bytes; empty: the pattern. */
  struct pintle_str name;
  /* How many events may wait, 1 to 65,536; 0: 1,024. */
  uint32_t capacity;
  /* One of `PINTLE_QUEUE_…`: what happens when that many wait. */
  uint32_t policy;
} pintle_subscribe_options;

/* Called on the plugin's lane with each event of a subscription.
 *
 * - user: as given to `subscribe`.
 * - ctx: of the plugin, bound to the event's tenant; valid until the handler returns.
 * - event: borrowed until the handler returns.
 * - reply: takes at most 1 MiB, for a publisher that waits for it (`emit_sync`); above, it has failed with
 *   TOO_LARGE, whatever the handler answers. Valid until the handler returns.
 *
 * Returns: OK, or any other status: counted and logged as a failure, with the text of `set_error`.
 * Thread: the plugin's lane: [lane].
 * Blocks: it may, until the handler's deadline (30 s by default); the lane waits meanwhile.
 * Since: 1.0. */
typedef pintle_status (*pintle_event_handler)(void *user,
                                              pintle_ctx ctx,
                                              const struct pintle_event *event,
                                              struct pintle_sink reply);

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
  /* Publishes an event: at most once to each subscription that matches. Never waits for handlers.
   *
   * - ctx: on whose behalf; the event gets its tenant.
   * - topic: the host puts `plugin.<id of the plugin>.` in front; borrowed for the call.
   * - data: the payload, at most 1 MiB, copied.
   * - options: may be null; borrowed for the call.
   *
   * Returns: OK, also when nobody listens or a queue was full (counted and reported); INVALID_ARGUMENT;
   * TOO_LARGE; DENIED; UNSUPPORTED (an option this host does not know); UNAVAILABLE (in `load` and
   * `restore`, and after the end of the host); REENTRANT (depth above 64, or from inside a sink);
   * STALE_HANDLE.
   * Thread: any.
   * Blocks: at most `wait_ms`.
   * Since: 1.0. */
  pintle_status (*emit)(pintle_ctx ctx,
                        struct pintle_str topic,
                        struct pintle_bytes data,
                        const struct pintle_emit_options *options);
  /* Subscribes to all topics that match a pattern. Made in the system scope it sees every tenant's events,
   * made under a tenant only that tenant's. Made in `load`, it is live from `enable` on.
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
   * Returns: OK; INVALID_ARGUMENT; DENIED (the pattern is not within what the manifest asks for); CONFLICT
   * (the name is taken); QUOTA (1,024 registrations a plugin); UNSUPPORTED; STOPPING; STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
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
   * - options: may be null; borrowed for the call.
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
} pintle_events;

/* One run of a job, as its handler sees it. Everything is borrowed until the handler returns. */
typedef struct pintle_run {
  /* `sizeof(pintle_run)` of the host. */
  uint32_t size;
  /* 1 for the first attempt. */
  uint32_t attempt;
  /* The job's name. */
  struct pintle_str job;
  /* When it was due, in milliseconds since 1970-01-01 UTC. The run never starts before. */
  int64_t due_ms;
} pintle_run;

/* How a job is to be kept. Zero means default everywhere. */
typedef struct pintle_job_options {
  /* `sizeof(pintle_job_options)` of the plugin. */
  uint32_t size;
  /* Must be 0: no flag is known yet. */
  uint32_t flags;
  /* Time zone of a cron rule by its IANA name (`Europe/Vienna`); empty: UTC. */
  struct pintle_str zone;
  /* One of `PINTLE_OVERLAP_…`. */
  uint32_t overlap;
  /* Must be 0. */
  uint32_t reserved;
} pintle_job_options;

/* Called on the plugin's lane with each run of a job.
 *
 * - user: as given when scheduling.
 * - ctx: of the plugin, in the scope that scheduled the job; valid until the handler returns.
 * - run: borrowed until the handler returns.
 * - reply: takes at most 1 MiB, for the history of the job (not kept yet); above, the run has failed with
 *   TOO_LARGE, whatever the handler answers. Valid until the handler returns.
 *
 * Returns: OK, or any other status: counted and logged as a failure; the job keeps its schedule.
 * Thread: the plugin's lane: [lane].
 * Blocks: it may, until the handler's deadline (30 s by default); the lane waits meanwhile.
 * Since: 1.0. */
typedef pintle_status (*pintle_job_handler)(void *user,
                                            pintle_ctx ctx,
                                            const struct pintle_run *run,
                                            struct pintle_sink reply);

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
   * - rule: 5 or 6 fields (seconds first), names, `L W #`, `@hourly @daily @weekly @monthly @yearly`, `@every 90s`; borrowed
   *   for the call. Day fields as in Debian's cron: if either begins with `*` both must match, else either.
   * - handler: not null.
   * - user: passed to `handler` and `release`; the plugin's.
   * - release: called once when `user` is needed no more; may be null. Where this call fails it is not
   *   called, and `user` stays with the caller.
   * - options: may be null; borrowed for the call.
   * - job: gets the handle; may be null. Owned by the caller.
   *
   * Returns: OK; INVALID_ARGUMENT (name, rule with position and reason, zone); QUOTA (1,024 registrations a
   * plugin); UNSUPPORTED (an option this host does not know); DENIED; STOPPING; STALE_HANDLE.
   * Thread: any.
   * Blocks: never.
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
   * - options: may be null; borrowed for the call. `zone` does not count.
   * - job: gets the handle; may be null. Owned by the caller.
   *
   * Returns: OK; OUT_OF_RANGE (every_ms); otherwise as `cron`.
   * Thread: any.
   * Blocks: never.
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
   * - options: may be null; borrowed for the call. `zone` and `overlap` do not count.
   * - job: gets the handle; may be null. Owned by the caller.
   *
   * Returns: OK; OUT_OF_RANGE (delay_ms); otherwise as `cron`.
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*once)(pintle_ctx ctx,
                        struct pintle_str name,
                        int64_t delay_ms,
                        pintle_job_handler handler,
                        void *user,
                        pintle_release release,
                        const struct pintle_job_options *options,
                        pintle_registration *job);
  /* Ends a job. A run under way is finished, then `release` is called.
   *
   * - ctx: any live context of the plugin.
   * - job: from `cron`, `interval` or `once` of the same plugin.
   *
   * Returns: OK; STALE_HANDLE (also for a job that is over, was replaced, or is another plugin's).
   * Thread: any.
   * Blocks: never.
   * Since: 1.0. */
  pintle_status (*remove)(pintle_ctx ctx, pintle_registration job);
} pintle_scheduler;

/* SQL databases. Not built yet. */
typedef struct pintle_database {
  /* The size of the host's table. */
  uint32_t size;
} pintle_database;

/* Exactly-once starts. Not built yet. */
typedef struct pintle_idempotency {
  /* The size of the host's table. */
  uint32_t size;
} pintle_idempotency;

/* Blobs by path, and the plugin's own resources. Not built yet. */
typedef struct pintle_files {
  /* The size of the host's table. */
  uint32_t size;
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

#endif /* PINTLE_PLUGIN_H */
