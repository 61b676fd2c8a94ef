/* counter: makes COPIES events plugin.counter.copy of each event count.<anything>, hears them itself, in a queue for 64,
 * and counts both. What it has heard it tells as plugin.counter.counted when it is disabled. */
#include <pintle/plugin.h>

#include <stdio.h>
#include <string.h>

PINTLE_MANIFEST({
  "id": "counter", "version": "0.1.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["count.>", "plugin.counter.copy"], "publish": ["copy", "counted"] } }
});

static const pintle_host *host;
static unsigned long long events, copies;

static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  pintle_status status = PINTLE_OK;
  int copy;
  (void)user, (void)reply;
  events++;
  for (copy = 0; copy < COPIES && status == PINTLE_OK; copy++)
    status = host->events->emit(ctx, PINTLE_STR("copy"), event->data, NULL);
  return status;
}

static pintle_status on_copy(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  (void)user, (void)ctx, (void)event, (void)reply;
  copies++;
  return PINTLE_OK;
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  pintle_subscribe_options options;
  pintle_status status;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.capacity = 64;
  *state = NULL;
  host = given;
  status = host->events->subscribe(ctx, PINTLE_STR("count.>"), on_event, NULL, NULL, &options, NULL);
  if (status == PINTLE_OK)
    status = host->events->subscribe(ctx, PINTLE_STR("plugin.counter.copy"), on_copy, NULL, NULL, &options, NULL);
  return status;
}

static pintle_status disable(void *state, pintle_ctx ctx) {
  char text[80];
  (void)state;
  snprintf(text, sizeof text, "{\"events\":%llu,\"copies\":%llu}", events, copies);
  return host->events->emit(ctx, PINTLE_STR("counted"), pintle_bytesn(text, strlen(text)), NULL);
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("counter"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
  .disable = disable,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
