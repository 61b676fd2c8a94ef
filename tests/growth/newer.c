/* Built against a contract that has grown: longer structs, one more function of the events table, one more table. It
 * asks with PINTLE_HAS before it uses what is newer, and sets newer options only to see them refused. */
#include <pintle/plugin.h>
#include <stdio.h>

PINTLE_MANIFEST({
  "id": "newer", "version": "1.0.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["ask.>"], "publish": ["answer"] } }
});

typedef struct { pintle_plugin now; void *later[8]; } newer_plugin;
typedef struct { uint32_t size, abi_minor; uint64_t now[sizeof(pintle_host) / 8 - 1]; const void *later; } newer_host;
typedef struct { uint32_t size, reserved; uint64_t now[sizeof(pintle_events) / 8 - 1]; void *later; } newer_events;
typedef struct { pintle_emit_options now; uint64_t later[2]; } newer_emit_options;
typedef struct { pintle_scope_info now; uint64_t later[2]; } newer_scope_info;

static const pintle_host *host;

static pintle_status on_ask(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  newer_emit_options plain, set;
  newer_scope_info info;
  char text[160];
  int has_host = PINTLE_HAS((const newer_host *)host, later);
  int has_events = PINTLE_HAS((const newer_events *)host->events, later);
  int has_files = PINTLE_HAS(host, files);
  pintle_status refused, scope;
  (void)user, (void)reply, (void)event;
  memset(&plain, 0, sizeof plain);
  memset(&set, 0, sizeof set);
  memset(&info, 0xee, sizeof info);
  plain.now.size = set.now.size = (uint32_t)sizeof plain;
  set.later[1] = 1;
  refused = host->events->emit(ctx, PINTLE_STR("answer"), pintle_bytesn("never", 5), &set.now);
  info.now.size = (uint32_t)sizeof info;
  scope = host->scope(ctx, &info.now, pintle_discard_sink());
  snprintf(text, sizeof text, "{\"host\":%d,\"events\":%d,\"files\":%d,\"refused\":%d,\"scope\":%d,\"beyond\":%d}", has_host,
           has_events, has_files, (int)refused, (int)scope, info.later[0] == 0xeeeeeeeeeeeeeeeeULL);
  return host->events->emit(ctx, PINTLE_STR("answer"), pintle_bytesn(text, strlen(text)), &plain.now);
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  *state = NULL;
  host = given;
  return host->events->subscribe(ctx, PINTLE_STR("ask.>"), on_ask, NULL, NULL, NULL, NULL);
}

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) {
  static newer_plugin plugin;
  static const pintle_bytes manifest = PINTLE_MANIFEST_BYTES;
  plugin.now.size = (uint32_t)sizeof plugin;
  plugin.now.abi_minor = PINTLE_ABI_MINOR + 7;
  plugin.now.manifest = manifest;
  plugin.now.id = PINTLE_STR("newer");
  plugin.now.version = PINTLE_STR("1.0.0");
  plugin.now.load = load;
  plugin.later[3] = &plugin;
  return &plugin.now;
}
