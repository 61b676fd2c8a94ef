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
typedef struct { pintle_cache_entry now; uint64_t later[2]; } newer_cache_entry;
typedef struct { pintle_cache_item now; uint64_t later[2]; } newer_cache_item;
typedef struct { pintle_cache_stats now; uint64_t later[2]; } newer_cache_stats;

static const pintle_host *host;

/* Reads no further than the item's `size` says, as a newer plugin must. */
static pintle_status on_item(void *user, const pintle_cache_item *item) {
  if (item->size < offsetof(newer_cache_item, later) + 8 && item->value.len == 5) ++*(int *)user;
  return PINTLE_OK;
}

/* Batches of longer structs. 0, or the number of the step that was not as it should be. */
static int batches(pintle_ctx ctx) {
  const pintle_cache *cache = host->cache;
  pintle_str keys[2];
  newer_cache_entry entries[2];
  newer_cache_stats stats;
  pintle_status statuses[2] = {77, 77};
  int at, read = 0;
  keys[0] = PINTLE_STR("first"), keys[1] = PINTLE_STR("second");
  memset(entries, 0, sizeof entries);
  memset(&stats, 0xee, sizeof stats);
  for (at = 0; at < 2; at++) {
    entries[at].now.size = (uint32_t)sizeof entries[at];
    entries[at].now.key = keys[at];
    entries[at].now.value = pintle_bytesn("value", 5);
  }
  entries[1].later[0] = 1;
  if (cache->set_many(ctx, keys[0], &entries[0].now, 2, statuses) != PINTLE_UNSUPPORTED || statuses[0] != 77) return 21;
  entries[1].later[0] = 0;
  if (cache->set_many(ctx, keys[0], &entries[0].now, 2, statuses) != PINTLE_OK) return 22;
  if (statuses[0] != PINTLE_OK || statuses[1] != PINTLE_OK) return 23;
  if (cache->get_many(ctx, keys[0], keys, 2, on_item, &read) != PINTLE_OK || read != 2) return 24;
  stats.now.size = (uint32_t)sizeof stats;
  if (cache->stats(ctx, &stats.now) != PINTLE_OK || stats.now.items < 2) return 25;
  return stats.now.size == sizeof stats && stats.later[0] == 0xeeeeeeeeeeeeeeeeULL ? 0 : 26;
}

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
  if (!PINTLE_HAS(cache, stats) || !PINTLE_HAS(storage, clear)) return 2;
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
  if (of_stored.now.version != version || of_cached.now.ttl_ms <= 0) return 15;
  return batches(ctx);
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
