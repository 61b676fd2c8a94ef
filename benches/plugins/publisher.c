/* publisher: emits events as often as it is asked to, or calls a bare function of the bench in place of `emit`, and tells how
 * long it took. What a baseline publishes goes through the same loop, so that both differ in what the loop calls and in
 * nothing else.
 *
 * Request and reply are this file's structs, as bytes: the bench and the plugin are one process, so pointers mean the
 * same on both sides. */
#define _POSIX_C_SOURCE 200809L
#include <pintle/plugin.h>

#include <sched.h>
#include <time.h>

PINTLE_MANIFEST({
  "id": "publisher", "version": "0.1.0", "abi": "1.0", "concurrency": 64,
  "services": { "events": { "publish": [">"], "subscribe": ["plugin.publisher.>"] } },
  "provides": { "bench.publish": { "major": 1, "methods": ["run"] } }
});

enum { EMIT, EMIT_SYNC, EMIT_DURABLE, BARE, SUBSCRIBE };
enum { PAYLOAD = 64 };

typedef struct work {
  uint64_t what;
  uint64_t turns;
  /* A turn begins at each multiple of so many nanoseconds; 0: at once. */
  uint64_t every;
  const char *topic;
  uint64_t topic_len;
  /* The first bytes of the payload; 0: the time. */
  uint64_t word;
  /* For BARE. */
  pintle_status (*bare)(void *user, const uint8_t *payload);
  void *user;
  /* As many threads as `threads` says begin together: each counts itself in here and waits for the others. */
  uint32_t *gate;
  uint64_t threads;
  /* Gets how many nanoseconds each turn took; may be null. */
  uint64_t *each;
  /* Becomes 1 when it is to end before its turns are done; may be null. */
  const uint32_t *enough;
} work;

typedef struct done {
  uint64_t from, to;
  uint64_t turns;
  /* Of EMIT_SYNC: handlers that answered OK, in all turns. */
  uint64_t handled;
  /* Time of processors, of this thread and of the whole process. */
  uint64_t thread, process;
} done;

static const pintle_host *host;

static uint64_t clocked(clockid_t clock) {
  struct timespec at;
  clock_gettime(clock, &at);
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static uint64_t now(void) { return clocked(CLOCK_MONOTONIC); }

static pintle_status meet(const work *work) {
  uint64_t until = now() + 10000000000u;
  __atomic_add_fetch(work->gate, 1, __ATOMIC_ACQ_REL);
  while (__atomic_load_n(work->gate, __ATOMIC_ACQUIRE) < work->threads) {
    if (now() > until) return PINTLE_TIMEOUT;
    sched_yield();
  }
  return PINTLE_OK;
}

static pintle_status on_result(void *user, const pintle_handler_result *result) {
  if (result->outcome == PINTLE_HANDLED) ++*(uint64_t *)user;
  return PINTLE_OK;
}

static pintle_status on_nothing(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  (void)user, (void)ctx, (void)event, (void)reply;
  return PINTLE_OK;
}

static pintle_status turn(pintle_ctx ctx, const work *work, pintle_str topic, done *done) {
  uint8_t payload[PAYLOAD] = {0};
  pintle_emit_options options = {0};
  pintle_bytes data = pintle_bytesn(payload, sizeof payload);
  pintle_registration subscription;
  pintle_status status;
  uint64_t word = work->word ? work->word : now();
  memcpy(payload, &word, sizeof word);
  options.size = (uint32_t)sizeof options;
  options.content_type = PINTLE_STR("application/octet-stream");
  switch (work->what) {
  case EMIT:
    options.wait_ms = 10000;
    return host->events->emit(ctx, topic, data, &options);
  case EMIT_DURABLE:
    options.flags = PINTLE_EMIT_DURABLE;
    return host->events->emit(ctx, topic, data, &options);
  case EMIT_SYNC:
    return host->events->emit_sync(ctx, topic, data, &options, 0, on_result, &done->handled, NULL);
  case BARE:
    return work->bare(work->user, payload);
  case SUBSCRIBE:
    status = host->events->subscribe(ctx, topic, on_nothing, NULL, NULL, NULL, &subscription);
    return status == PINTLE_OK ? host->events->unsubscribe(ctx, subscription) : status;
  default:
    return PINTLE_UNSUPPORTED;
  }
}

/* Sleeps until it is the next turn's time. */
static void pace(struct timespec *at, uint64_t every) {
  if (!every) return;
  at->tv_nsec += (long)every;
  if (at->tv_nsec >= 1000000000) at->tv_sec++, at->tv_nsec -= 1000000000;
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, at, NULL);
}

static pintle_status run(pintle_ctx ctx, const work *work, done *done) {
  pintle_status status = PINTLE_OK;
  pintle_str topic;
  struct timespec at;
  uint64_t before = 0;
  topic.ptr = work->topic;
  topic.len = (size_t)work->topic_len;
  clock_gettime(CLOCK_MONOTONIC, &at);
  while (status == PINTLE_OK && done->turns < work->turns) {
    if (work->enough && __atomic_load_n(work->enough, __ATOMIC_RELAXED)) break;
    pace(&at, work->every);
    if (work->each) before = now();
    status = turn(ctx, work, topic, done);
    if (work->each) work->each[done->turns] = now() - before;
    done->turns++;
  }
  return status;
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  work work;
  done done = {0};
  pintle_ctx held;
  pintle_status status;
  uint64_t thread, process;
  (void)state;
  if (request->data.len != sizeof work) return PINTLE_INVALID_ARGUMENT;
  memcpy(&work, request->data.ptr, sizeof work);
  /* A held context has no deadline, so that no clock is asked. */
  status = host->hold(ctx, &held);
  if (status != PINTLE_OK) return status;
  status = meet(&work);
  thread = clocked(CLOCK_THREAD_CPUTIME_ID);
  process = clocked(CLOCK_PROCESS_CPUTIME_ID);
  done.from = now();
  if (status == PINTLE_OK) status = run(held, &work, &done);
  done.to = now();
  done.thread = clocked(CLOCK_THREAD_CPUTIME_ID) - thread;
  done.process = clocked(CLOCK_PROCESS_CPUTIME_ID) - process;
  host->release(held);
  return status == PINTLE_OK ? pintle_sink_write(reply, &done, sizeof done) : status;
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
  .id = PINTLE_STR_INIT("publisher"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
  .call = call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
