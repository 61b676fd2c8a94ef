/* Built against a contract that has grown: longer structs, one more function of several tables, one more table. It
 * asks with PINTLE_HAS before it uses what is newer, and sets newer options only to see them refused. */
#include <pintle/plugin.h>
#include <stdio.h>

PINTLE_MANIFEST({
  "id": "newer", "version": "1.0.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["ask.>"], "publish": ["answer"] }, "cache": {}, "storage": {} }
});

typedef struct { pintle_plugin now; void *later[8]; } newer_plugin;
typedef struct { uint32_t size, abi_minor; uint64_t now[sizeof(pintle_host) / 8 - 1]; const void *later; } newer_host;
typedef struct { uint32_t size, reserved; uint64_t now[sizeof(pintle_events) / 8 - 1]; void *later; } newer_events;
typedef struct { pintle_emit_options now; uint64_t later[2]; } newer_emit_options;
typedef struct { pintle_scope_info now; uint64_t later[2]; } newer_scope_info;

typedef struct { uint32_t size, reserved; uint64_t now[sizeof(pintle_cache) / 8 - 1]; void *later; } newer_cache;
typedef struct { uint32_t size, reserved; uint64_t now[sizeof(pintle_storage) / 8 - 1]; void *later; } newer_storage;
typedef struct { pintle_cache_options now; uint64_t later[2]; } newer_cache_options;
typedef struct { pintle_storage_options now; uint64_t later[2]; } newer_storage_options;
typedef struct { pintle_cache_info now; uint64_t later[2]; } newer_cache_info;
typedef struct { pintle_storage_info now; uint64_t later[2]; } newer_storage_info;

static const pintle_host *host;

/* Items with longer structs: first as they are, then with a newer member and a newer flag that must be refused. 0, or the
 * number of the step that was not as it should be. */
static int items(pintle_ctx ctx) {
  const pintle_cache *cache = host->cache;
  const pintle_storage *storage = host->storage;
  pintle_str key = PINTLE_STR("k");
  pintle_bytes value = pintle_bytesn("value", 5), never = pintle_bytesn("never", 5);
  newer_cache_options for_cache;
  newer_storage_options for_storage;
  newer_cache_info of_cached;
  newer_storage_info of_stored;
  uint64_t version = 0;
  if (PINTLE_HAS((const newer_cache *)cache, later) || PINTLE_HAS((const newer_storage *)storage, later)) return 1;
  if (!PINTLE_HAS(cache, ttl) || !PINTLE_HAS(storage, clear)) return 2;
  memset(&for_cache, 0, sizeof for_cache);
  memset(&for_storage, 0, sizeof for_storage);
  memset(&of_cached, 0xee, sizeof of_cached);
  memset(&of_stored, 0xee, sizeof of_stored);
  for_cache.now.size = (uint32_t)sizeof for_cache, for_storage.now.size = (uint32_t)sizeof for_storage;
  of_cached.now.size = (uint32_t)sizeof of_cached, of_stored.now.size = (uint32_t)sizeof of_stored;
  if (cache->set(ctx, key, key, value, &for_cache.now) != PINTLE_OK) return 3;
  if (storage->set(ctx, key, value, &for_storage.now, &version) != PINTLE_OK) return 4;
  for_cache.later[1] = 1, for_storage.later[1] = 1;
  if (cache->set(ctx, key, key, never, &for_cache.now) != PINTLE_UNSUPPORTED) return 5;
  if (cache->incr(ctx, key, key, 1, &for_cache.now, NULL) != PINTLE_UNSUPPORTED) return 6;
  if (storage->set(ctx, key, never, &for_storage.now, NULL) != PINTLE_UNSUPPORTED) return 7;
  for_cache.later[1] = 0, for_storage.later[1] = 0;
  for_cache.now.flags = 1u << 30, for_storage.now.flags = 1u << 30;
  if (cache->set(ctx, key, key, never, &for_cache.now) != PINTLE_UNSUPPORTED) return 8;
  if (storage->set(ctx, key, never, &for_storage.now, NULL) != PINTLE_UNSUPPORTED) return 9;
  if (cache->expire(ctx, key, key, -1, 1000, NULL) != PINTLE_UNSUPPORTED) return 10;
  if (cache->get(ctx, key, key, pintle_discard_sink(), &of_cached.now) != PINTLE_OK) return 11;
  if (storage->get(ctx, key, pintle_discard_sink(), &of_stored.now) != PINTLE_OK) return 12;
  if (of_cached.now.size != sizeof of_cached || of_cached.later[0] != 0xeeeeeeeeeeeeeeeeULL) return 13;
  if (of_stored.now.size != sizeof of_stored || of_stored.later[0] != 0xeeeeeeeeeeeeeeeeULL) return 14;
  return of_stored.now.version == version && of_cached.now.ttl_ms > 0 ? 0 : 15;
}

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
  snprintf(text, sizeof text,
           "{\"host\":%d,\"events\":%d,\"files\":%d,\"refused\":%d,\"scope\":%d,\"beyond\":%d,\"items\":%d}", has_host,
           has_events, has_files, (int)refused, (int)scope, info.later[0] == 0xeeeeeeeeeeeeeeeeULL, items(ctx));
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
