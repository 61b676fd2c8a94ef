/* Built against a contract that ended earlier: its structs are frozen here, as an old header had them. It knows the
 * plugin's struct up to `load`, options that end after their first text, and a host that ends after `service`. */
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
#define TEXT "{\"id\":\"older\",\"version\":\"1.0.0\",\"abi\":\"1.0\",\"services\":{\"events\":{\"subscribe\":[\"ask.>\"],\"publish\":[\"answer\"]}}}"
static const struct { char magic[8]; uint64_t length; char text[sizeof TEXT]; } record
    __attribute__((section(".pintle"), used, aligned(8))) = {"PINTLE1", sizeof TEXT - 1, TEXT};

static const events *table;

static status on_ask(void *user, ctx_t ctx, const event *asked, sink reply) {
  emit_options options = {sizeof options, 0, {"an-id", 5}};
  (void)user, (void)reply;
  return table->emit(ctx, STR("answer"), (bytes){(const uint8_t *)asked->topic.ptr, asked->topic.len}, &options);
}

static status load(ctx_t ctx, const host *given, void **state) {
  subscribe_options options = {sizeof options, 0, {"asked", 5}};
  const void *found = NULL;
  status s = given->service(ctx, STR("pintle.events"), 1, sizeof(events), &found, NULL);
  *state = NULL;
  if (s != 0) return s;
  table = (const events *)found;
  return table->subscribe(ctx, STR("ask.>"), on_ask, NULL, NULL, &options, NULL);
}

__attribute__((visibility("default"))) const plugin *pintle_plugin_entry_v1(void) {
  static const plugin it = {sizeof it, 0, {(const uint8_t *)&record, sizeof record}, {"older", 5}, {"1.0.0", 5}, load};
  return &it;
}
