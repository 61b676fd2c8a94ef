/* Built against a contract that ended earlier: its structs are frozen here, as an old header had them. It knows the
 * plugin's struct up to `load`, options that end after their first text, or before all that they could ask for, a host
 * that ends after `service`, and tables of cache and storage that end after `set`. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef int32_t status;
typedef uint64_t ctx_t;
typedef struct { const char *ptr; size_t len; } str;
typedef struct { const uint8_t *ptr; size_t len; } bytes;
typedef struct { void *data; status (*write)(void *, bytes); } sink;

typedef struct { uint32_t size, flags; str id; } emit_options;          /* without subject and all that follows */
typedef struct { uint32_t size, flags; str name; } subscribe_options;   /* without capacity and policy */
typedef struct { uint32_t size, depth; str topic; } event;              /* all that it reads */

typedef struct {
  uint32_t size, reserved;
  status (*emit)(ctx_t, str, bytes, const emit_options *);
  status (*subscribe)(ctx_t, str, status (*)(void *, ctx_t, const event *, sink), void *, void (*)(void *),
                      const subscribe_options *, uint64_t *);
} events;

typedef struct { uint32_t size, flags; } set_options;                   /* without ttl_ms, and without if_version */
typedef struct { uint32_t size, flags; int64_t integer; } cache_info;   /* without ttl_ms */
typedef struct { uint32_t size, flags; uint64_t version; } storage_info; /* without the times */

typedef struct {
  uint32_t size, reserved;
  status (*get)(ctx_t, str, str, sink, cache_info *);
  status (*get_into)(ctx_t, str, str, uint8_t *, size_t, size_t *, cache_info *);
  status (*set)(ctx_t, str, str, bytes, const set_options *);
} cache;

typedef struct {
  uint32_t size, reserved;
  status (*get)(ctx_t, str, sink, storage_info *);
  status (*set)(ctx_t, str, bytes, const set_options *, uint64_t *);
} storage;

typedef struct {
  uint32_t size, abi_minor;
  void (*before_service[7])(void);
  status (*service)(ctx_t, str, uint32_t, uint32_t, const void **, void **);
} host;

typedef struct {
  uint32_t size, abi_minor;
  bytes manifest;
  str id, version;
  status (*load)(ctx_t, const host *, void **);
} plugin;

#define STR(text) ((str){text, sizeof(text) - 1})
#define TEXT "{\"id\":\"older\",\"version\":\"1.0.0\",\"abi\":\"1.0\",\"services\":{\"events\":{\"subscribe\":[\"ask.>\"],\"publish\":[\"answer\"]},\"cache\":{},\"storage\":{}}}"
static const struct { char magic[8]; uint64_t length; char text[sizeof TEXT]; } record
    __attribute__((section(".pintle"), used, aligned(8))) = {"PINTLE1", sizeof TEXT - 1, TEXT};

static const events *table;
static const cache *cached;
static const storage *stored;

typedef struct { uint8_t text[64]; size_t len; } answer;

static status take(void *data, bytes piece) {
  answer *to = data;
  if (piece.len > sizeof to->text - to->len) return 1;
  memcpy(to->text + to->len, piece.ptr, piece.len);
  to->len += piece.len;
  return 0;
}

/* Has an item of each kept and read again, and answers with what was read; of the infos, all that it knows. */
static status on_ask(void *user, ctx_t ctx, const event *asked, sink reply) {
  emit_options options = {sizeof options, 0, {"an-id", 5}};
  bytes topic = {(const uint8_t *)asked->topic.ptr, asked->topic.len};
  set_options defaults = {sizeof defaults, 0};
  struct { cache_info known; uint64_t beyond; } of_cached = {{sizeof(cache_info), 7, 7}, 7};
  struct { storage_info known; uint64_t beyond; } of_stored = {{sizeof(storage_info), 7, 7}, 7};
  answer to = {{0}, 0};
  uint64_t version = 0;
  sink taken = {&to, take};
  status s;
  (void)user, (void)reply;
  if ((s = cached->set(ctx, STR("n"), STR("k"), topic, &defaults)) != 0) return s;
  if ((s = stored->set(ctx, STR("k"), topic, &defaults, &version)) != 0) return s;
  if ((s = cached->get(ctx, STR("n"), STR("k"), taken, &of_cached.known)) != 0) return s;
  take(&to, (bytes){(const uint8_t *)" ", 1});
  if ((s = stored->get(ctx, STR("k"), taken, &of_stored.known)) != 0) return s;
  if (of_cached.known.flags != 0 || of_cached.known.integer != 0 || of_cached.beyond != 7) return 1;
  if (of_stored.known.flags != 0 || of_stored.known.version != version || of_stored.beyond != 7) return 1;
  return table->emit(ctx, STR("answer"), (bytes){to.text, to.len}, &options);
}

static status load(ctx_t ctx, const host *given, void **state) {
  subscribe_options options = {sizeof options, 0, {"asked", 5}};
  const void *found = NULL;
  status s = given->service(ctx, STR("pintle.events"), 1, sizeof(events), &found, NULL);
  *state = NULL;
  if (s != 0) return s;
  table = (const events *)found;
  if ((s = given->service(ctx, STR("pintle.cache"), 1, sizeof(cache), &found, NULL)) != 0) return s;
  cached = (const cache *)found;
  if ((s = given->service(ctx, STR("pintle.storage"), 1, sizeof(storage), &found, NULL)) != 0) return s;
  stored = (const storage *)found;
  return table->subscribe(ctx, STR("ask.>"), on_ask, NULL, NULL, &options, NULL);
}

__attribute__((visibility("default"))) const plugin *pintle_plugin_entry_v1(void) {
  static const plugin it = {sizeof it, 0, {(const uint8_t *)&record, sizeof record}, {"older", 5}, {"1.0.0", 5}, load};
  return &it;
}
