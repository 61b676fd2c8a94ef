/* keeper: reads and writes the storage through the host's table as often as it is asked to, and tells how long it took.
 *
 * Request and reply are this file's structs, as bytes: the bench and the plugin are one process, so pointers mean the
 * same on both sides. */
#define _POSIX_C_SOURCE 200809L
#include <pintle/plugin.h>

#include <sched.h>
#include <time.h>

PINTLE_MANIFEST({
  "id": "keeper", "version": "0.1.0", "abi": "1.0", "concurrency": 64,
  "services": { "storage": {} },
  "provides": { "bench.storage": { "major": 1, "methods": ["run"] } }
});

enum { SET, BATCH, GET };
enum { KEY = 16, VALUE = 100, STEPS = 100 };

typedef struct work {
  uint64_t what;
  uint64_t turns;
  /* Keys of 16 bytes each, and which of them to take, one after the other. */
  const char *keys;
  const uint32_t *order;
  /* As many threads as `threads` says begin together: each counts itself in here and waits for the others. */
  uint32_t *gate;
  uint64_t threads;
  /* Gets how many nanoseconds each turn took; may be null. */
  uint64_t *each;
} work;

typedef struct span {
  uint64_t from, to;
} span;

static const pintle_host *host;
static const char value[VALUE] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde";

static uint64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static pintle_status meet(const work *work) {
  uint64_t until = now() + 10000000000u;
  __atomic_add_fetch(work->gate, 1, __ATOMIC_ACQ_REL);
  while (__atomic_load_n(work->gate, __ATOMIC_ACQUIRE) < work->threads) {
    if (now() > until) return PINTLE_TIMEOUT;
    sched_yield();
  }
  return PINTLE_OK;
}

static pintle_str key_at(const work *work, uint64_t turn) {
  pintle_str key;
  key.ptr = work->keys + KEY * (size_t)work->order[turn];
  key.len = KEY;
  return key;
}

static pintle_status set(pintle_ctx ctx, const work *work, uint64_t turn) {
  return host->storage->set(ctx, key_at(work, turn), pintle_bytesn(value, sizeof value), NULL, NULL);
}

/* From one turn on as many keys as a batch has steps. */
static pintle_status batch(pintle_ctx ctx, const work *work, uint64_t turn) {
  static const pintle_storage_step none;
  pintle_storage_step steps[STEPS];
  size_t at;
  for (at = 0; at < STEPS; at++) {
    steps[at] = none;
    steps[at].size = sizeof none;
    steps[at].kind = PINTLE_STEP_SET;
    steps[at].key = key_at(work, turn + at);
    steps[at].value = pintle_bytesn(value, sizeof value);
  }
  return host->storage->batch(ctx, steps, STEPS, NULL, NULL, NULL);
}

static pintle_status get(pintle_ctx ctx, const work *work, uint64_t turn) {
  uint8_t found[VALUE];
  size_t len = 0;
  pintle_status status = host->storage->get_into(ctx, key_at(work, turn), found, sizeof found, &len, NULL);
  __asm__ volatile("" : : "r"(found) : "memory");
  return len == VALUE ? status : PINTLE_INTERNAL;
}

static pintle_status run(pintle_ctx ctx, const work *work) {
  pintle_status status = PINTLE_OK;
  uint64_t turn, step = work->what == BATCH ? STEPS : 1, before = 0;
  for (turn = 0; turn + step <= work->turns; turn += step) {
    if (work->each) before = now();
    switch (work->what) {
    case SET:
      status |= set(ctx, work, turn);
      break;
    case BATCH:
      status |= batch(ctx, work, turn);
      break;
    case GET:
      status |= get(ctx, work, turn);
      break;
    default:
      return PINTLE_UNSUPPORTED;
    }
    if (work->each) work->each[turn] = now() - before;
  }
  return status == PINTLE_OK ? PINTLE_OK : PINTLE_INTERNAL;
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  work work;
  span took;
  pintle_ctx held;
  pintle_status status;
  (void)state;
  if (request->data.len != sizeof work) return PINTLE_INVALID_ARGUMENT;
  memcpy(&work, request->data.ptr, sizeof work);
  /* A held context has no deadline, so that no clock is asked. */
  status = host->hold(ctx, &held);
  if (status != PINTLE_OK) return status;
  status = meet(&work);
  took.from = now();
  if (status == PINTLE_OK) status = run(held, &work);
  took.to = now();
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
  .id = PINTLE_STR_INIT("keeper"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
  .call = call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
