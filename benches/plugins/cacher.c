/* cacher: reads and writes the cache through the host's table as often as it is asked to, and tells how long it took.
 *
 * Request and reply are this file's structs, as bytes: the bench and the plugin are one process, so pointers mean the
 * same on both sides. */
#define _POSIX_C_SOURCE 200809L
#include <pintle/plugin.h>

#include <time.h>

PINTLE_MANIFEST({
  "id": "cacher", "version": "0.1.0", "abi": "1.0", "concurrency": 2,
  "services": { "cache": { "namespaces": ["sessions"] } },
  "provides": { "bench.cache": { "major": 1, "methods": ["run"] } }
});

enum { GET, SET, MIX, INCR };
enum { KEY = 16, VALUE = 64 };

typedef struct work {
  uint64_t what;
  uint64_t turns;
  /* Keys of 16 bytes each, and which of them to take, one after the other. */
  const char *keys;
  const uint32_t *order;
  /* As many threads as `threads` says begin together: each counts itself in here and waits for the others. */
  uint32_t *gate;
  uint64_t threads;
} work;

static const pintle_host *host;

static uint64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static pintle_status meet(const work *work) {
  uint64_t until = now() + 10000000000u, spins = 0;
  __atomic_add_fetch(work->gate, 1, __ATOMIC_ACQ_REL);
  while (__atomic_load_n(work->gate, __ATOMIC_ACQUIRE) < work->threads)
    if (++spins % 65536 == 0 && now() > until) return PINTLE_TIMEOUT;
  return PINTLE_OK;
}

static pintle_status get(pintle_ctx ctx, pintle_str key) {
  uint8_t value[VALUE];
  size_t len = 0;
  pintle_status status = host->cache->get_into(ctx, PINTLE_STR("sessions"), key, value, sizeof value, &len, NULL);
  __asm__ volatile("" : : "r"(value) : "memory");
  return len == VALUE ? status : PINTLE_INTERNAL;
}

static pintle_status set(pintle_ctx ctx, pintle_str key) {
  static const char value[VALUE] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde";
  return host->cache->set(ctx, PINTLE_STR("sessions"), key, pintle_bytesn(value, sizeof value), NULL);
}

static pintle_status run(pintle_ctx ctx, const work *work) {
  pintle_status status = PINTLE_OK;
  uint64_t turn;
  for (turn = 0; turn < work->turns; turn++) {
    pintle_str key;
    key.ptr = work->keys + KEY * (size_t)work->order[turn];
    key.len = KEY;
    switch (work->what) {
    case GET:
      status |= get(ctx, key);
      break;
    case SET:
      status |= set(ctx, key);
      break;
    case MIX:
      status |= turn % 10 == 0 ? set(ctx, key) : get(ctx, key);
      break;
    case INCR:
      status |= host->cache->incr(ctx, PINTLE_STR("sessions"), key, 1, NULL, NULL);
      break;
    default:
      return PINTLE_UNSUPPORTED;
    }
  }
  return status == PINTLE_OK ? PINTLE_OK : PINTLE_INTERNAL;
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  work work;
  pintle_ctx held;
  pintle_status status;
  uint64_t took = 0;
  (void)state;
  if (request->data.len != sizeof work) return PINTLE_INVALID_ARGUMENT;
  memcpy(&work, request->data.ptr, sizeof work);
  /* A held context has no deadline, so that no clock is asked. */
  status = host->hold(ctx, &held);
  if (status != PINTLE_OK) return status;
  status = meet(&work);
  if (status == PINTLE_OK) {
    took = now();
    status = run(held, &work);
    took = now() - took;
  }
  host->release(held);
  return status == PINTLE_OK ? pintle_sink_write(reply, &took, sizeof took) : status;
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  (void)ctx;
  *state = NULL;
  host = given;
  return PINTLE_OK;
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("cacher"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
  .call = call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
