/* listener-0000: counts events and keeps how long each took from `emit` to here. The bench makes as many plugins of it as
 * it needs, by writing other digits over those of the id. */
#define _POSIX_C_SOURCE 200809L
#include <pintle/plugin.h>

#include <time.h>

PINTLE_MANIFEST({
  "id": "listener-0000", "version": "0.1.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["plugin.looper.>"] } },
  "provides": { "bench.listener-0000": { "major": 1, "methods": ["taken", "clock", "no_clock"] } }
});

#define MOST 65536

static const pintle_host *host;
static int timed = 1;
static uint64_t count;
static uint64_t latencies[MOST];

static pintle_status on_tick(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  struct timespec at;
  uint64_t sent;
  (void)user, (void)ctx, (void)reply;
  if (timed && count < MOST && event->data.len == sizeof sent) {
    memcpy(&sent, event->data.ptr, sizeof sent);
    clock_gettime(CLOCK_MONOTONIC, &at);
    latencies[count] = (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec - sent;
  }
  count++;
  return PINTLE_OK;
}

/* `taken`: the count, then the latencies; begins anew. */
static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  pintle_status status = PINTLE_OK;
  (void)state, (void)ctx;
  if (pintle_str_eq(request->method, PINTLE_STR("taken"))) {
    status = pintle_sink_write(reply, &count, sizeof count);
    if (status == PINTLE_OK && timed)
      status = pintle_sink_write(reply, latencies, (count < MOST ? count : MOST) * sizeof *latencies);
  }
  timed = !pintle_str_eq(request->method, PINTLE_STR("no_clock"));
  count = 0;
  return status;
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  pintle_subscribe_options options = {0};
  *state = NULL;
  host = given;
  options.size = (uint32_t)sizeof options;
  options.policy = PINTLE_QUEUE_WAIT;
  return host->events->subscribe(ctx, PINTLE_STR("plugin.looper.>"), on_tick, NULL, NULL, &options, NULL);
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
