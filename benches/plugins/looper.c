/* looper: calls one function a stated number of times, and tells how long it took. The bench names the function: one of
 * the host's tables, or one of a plain struct of functions that the bench itself hands over, to compare with.
 *
 * Request and reply are this file's structs, as bytes: the bench and the plugin are one process, so pointers mean the
 * same on both sides. */
#define _POSIX_C_SOURCE 200809L
#include <pintle/plugin.h>

#include <time.h>

PINTLE_MANIFEST({
  "id": "looper", "version": "0.1.0", "abi": "1.0", "concurrency": 2,
  "provides": { "bench.loop": { "major": 1, "methods": ["run"] } }
});

/* What the bench compares with: the same signatures as in the host's tables, nothing behind them. */
typedef struct bare {
  pintle_status (*remaining)(pintle_ctx ctx, int64_t *ms);
  pintle_status (*enabled)(pintle_ctx ctx, uint32_t level, uint32_t *out);
  pintle_status (*write)(pintle_ctx ctx, uint32_t level, pintle_str message, const pintle_field *fields, size_t count);
} bare;

enum { BARE_REMAINING, REMAINING, BARE_ENABLED, ENABLED, BARE_WRITE, WRITE_DISABLED, WRITE }; /* the last one waits */

typedef struct loop {
  uint64_t what;
  uint64_t rounds;
  const bare *table;
  /* As many threads as `threads` says begin together: each counts itself in here and waits for the others. */
  uint32_t *gate;
  uint64_t threads;
} loop;

typedef struct took {
  uint64_t nanoseconds;
} took;

static const pintle_host *host;

static uint64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

/* Loops that do not wait are timed by the thread's own clock, which stands still while other programs have the processor. */
static uint64_t clocked(uint64_t what) {
  struct timespec at;
  if (what >= WRITE) return now();
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static pintle_status meet(const loop *what) {
  uint64_t until = now() + 10000000000u, spins = 0;
  __atomic_add_fetch(what->gate, 1, __ATOMIC_ACQ_REL);
  while (__atomic_load_n(what->gate, __ATOMIC_ACQUIRE) < what->threads)
    if (++spins % 65536 == 0 && now() > until) return PINTLE_TIMEOUT;
  return PINTLE_OK;
}

static pintle_status run(pintle_ctx ctx, const loop *what) {
  const bare *table = what->table;
  uint64_t left = what->rounds;
  int64_t ms = 0;
  uint32_t out = 0;
  pintle_status status = PINTLE_OK;
  pintle_field fields[5];
  fields[0] = pintle_field_text(PINTLE_STR("path"), PINTLE_STR("/index.html"));
  fields[1] = pintle_field_integer(PINTLE_STR("status"), 200);
  fields[2] = pintle_field_integer(PINTLE_STR("bytes"), 0);
  fields[3] = pintle_field_number(PINTLE_STR("seconds"), 0.0123);
  fields[4] = pintle_field_boolean(PINTLE_STR("cached"), 1);
  switch (what->what) {
  case BARE_REMAINING:
    for (; left > 0; left--) status |= table->remaining(ctx, &ms);
    break;
  case REMAINING:
    for (; left > 0; left--) status |= host->remaining(ctx, &ms);
    break;
  case BARE_ENABLED:
    for (; left > 0; left--) status |= table->enabled(ctx, PINTLE_LOG_DEBUG, &out);
    break;
  case ENABLED:
    for (; left > 0; left--) status |= host->log->enabled(ctx, PINTLE_LOG_DEBUG, &out);
    break;
  case BARE_WRITE:
    for (; left > 0; left--)
      status |= table->write(ctx, PINTLE_LOG_DEBUG, PINTLE_STR("request answered"), fields, 5);
    break;
  case WRITE_DISABLED:
    for (; left > 0; left--)
      status |= host->log->write(ctx, PINTLE_LOG_DEBUG, PINTLE_STR("request answered"), fields, 5);
    break;
  case WRITE:
    for (; left > 0; left--) {
      fields[2].integer = (int64_t)left;
      status |= host->log->write(ctx, PINTLE_LOG_INFO, PINTLE_STR("request answered"), fields, 5);
    }
    break;
  default:
    return PINTLE_UNSUPPORTED;
  }
  return status == PINTLE_OK ? PINTLE_OK : PINTLE_INTERNAL;
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  loop what;
  took answer;
  pintle_ctx held;
  pintle_status status;
  uint64_t began;
  (void)state;
  if (request->data.len != sizeof what) return PINTLE_INVALID_ARGUMENT;
  memcpy(&what, request->data.ptr, sizeof what);
  /* A held context has no deadline, so that no clock is asked. */
  status = host->hold(ctx, &held);
  if (status != PINTLE_OK) return status;
  status = meet(&what);
  if (status == PINTLE_OK) {
    began = clocked(what.what);
    status = run(held, &what);
    answer.nanoseconds = clocked(what.what) - began;
  }
  host->release(held);
  return status == PINTLE_OK ? pintle_sink_write(reply, &answer, sizeof answer) : status;
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
  .id = PINTLE_STR_INIT("looper"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
  .call = call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
