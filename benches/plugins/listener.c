/* listener-0000: counts events and keeps how long each took from when it was published to here. The bench makes as many
 * plugins of it as it needs, by writing other digits over those of the id. It also gives away the function that counts, so
 * that what a baseline calls is the same code in the same library. */
#define _POSIX_C_SOURCE 200809L
#include <pintle/plugin.h>

#include <time.h>

PINTLE_MANIFEST({
  "id": "listener-0000", "version": "0.1.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["plugin.publisher.>"] } },
  "provides": {
    "bench.listener-0000": { "major": 1, "methods": ["taken", "timed", "untimed", "function", "subscribe", "behave"] }
  }
});

#define MOST 65536

enum { WELL, SLOW, HANGING };

/* What a handler that is held tells the bench, and what it waits for. */
typedef struct gate {
  uint32_t held;
  uint32_t open;
} gate;

static const pintle_host *host;
static int timed = 1;
static uint64_t count;
static uint64_t latencies[MOST];
static uint64_t behaviour = WELL;
static gate *hanging;

static void nap(long nanoseconds) {
  struct timespec span = {0, nanoseconds};
  nanosleep(&span, NULL);
}

static void wait_at(gate *gate) {
  __atomic_add_fetch(&gate->held, 1, __ATOMIC_ACQ_REL);
  while (!__atomic_load_n(&gate->open, __ATOMIC_ACQUIRE)) nap(1000000);
}

static void take(const uint8_t *payload) {
  struct timespec at;
  uint64_t sent;
  if (timed) {
    memcpy(&sent, payload, sizeof sent);
    clock_gettime(CLOCK_MONOTONIC, &at);
    if (count < MOST) latencies[count] = (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec - sent;
  }
  count++;
}

static pintle_status on_tick(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  (void)user, (void)ctx, (void)reply;
  if (event->data.len != 64) return PINTLE_INVALID_ARGUMENT;
  take(event->data.ptr);
  return PINTLE_OK;
}

/* A tick, as one who is well, slow or hanging takes it. */
static pintle_status on_scene(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  if (behaviour == SLOW) nap(100000000);
  if (behaviour == HANGING) wait_at(hanging);
  return on_tick(user, ctx, event, reply);
}

/* Holds the lane at the gate that the payload names. */
static pintle_status on_hold(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  gate *gate;
  (void)user, (void)ctx, (void)reply;
  memcpy(&gate, event->data.ptr, sizeof gate);
  wait_at(gate);
  return PINTLE_OK;
}

static pintle_status subscribe(pintle_ctx ctx, pintle_str pattern, pintle_event_handler handler, uint32_t policy,
                               uint32_t capacity) {
  pintle_subscribe_options options = {0};
  options.size = (uint32_t)sizeof options;
  options.policy = policy;
  options.capacity = capacity;
  return host->events->subscribe(ctx, pattern, handler, NULL, NULL, &options, NULL);
}

/* Patterns, one a line, each of which a line end ends. */
static pintle_status subscribe_all(pintle_ctx ctx, pintle_bytes lines) {
  const char *at = (const char *)lines.ptr, *end = at + lines.len, *next;
  pintle_status status = PINTLE_OK;
  pintle_str pattern;
  for (; status == PINTLE_OK && at < end; at = next + 1) {
    next = memchr(at, '\n', (size_t)(end - at));
    if (!next) return PINTLE_INVALID_ARGUMENT;
    pattern.ptr = at;
    pattern.len = (size_t)(next - at);
    status = subscribe(ctx, pattern, on_tick, PINTLE_QUEUE_WAIT, 0);
  }
  return status;
}

/* `taken`: the count, then the latencies. It and `timed` and `untimed` begin anew. */
static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  void (*function)(const uint8_t *) = take;
  pintle_status status = PINTLE_OK;
  (void)state;
  if (pintle_str_eq(request->method, PINTLE_STR("function")))
    return pintle_sink_write(reply, &function, sizeof function);
  if (pintle_str_eq(request->method, PINTLE_STR("subscribe"))) return subscribe_all(ctx, request->data);
  if (pintle_str_eq(request->method, PINTLE_STR("behave"))) {
    if (request->data.len != sizeof behaviour + sizeof hanging) return PINTLE_INVALID_ARGUMENT;
    memcpy(&behaviour, request->data.ptr, sizeof behaviour);
    memcpy(&hanging, request->data.ptr + sizeof behaviour, sizeof hanging);
    return PINTLE_OK;
  }
  if (pintle_str_eq(request->method, PINTLE_STR("taken"))) {
    status = pintle_sink_write(reply, &count, sizeof count);
    if (status == PINTLE_OK && timed)
      status = pintle_sink_write(reply, latencies, (count < MOST ? count : MOST) * sizeof *latencies);
  } else {
    timed = pintle_str_eq(request->method, PINTLE_STR("timed"));
  }
  count = 0;
  return status;
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  pintle_status status;
  *state = NULL;
  host = given;
  status = subscribe(ctx, PINTLE_STR("plugin.publisher.tick"), on_tick, PINTLE_QUEUE_WAIT, 0);
  /* For it alone, whatever digits it has. */
  status |= subscribe(ctx, PINTLE_STR("plugin.publisher.listener-0000"), on_tick, PINTLE_QUEUE_WAIT, 0);
  status |= subscribe(ctx, PINTLE_STR("plugin.publisher.many"), on_tick, PINTLE_QUEUE_WAIT, 16384);
  status |= subscribe(ctx, PINTLE_STR("plugin.publisher.hold"), on_hold, PINTLE_QUEUE_WAIT, 0);
  /* With the default policy: nobody waits for those who are slow. */
  status |= subscribe(ctx, PINTLE_STR("plugin.publisher.scene"), on_scene, PINTLE_QUEUE_DROP_OLDEST, 0);
  return status;
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("listener-0000"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
  .call = call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
