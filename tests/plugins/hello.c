/* hello: answers events greet.<anything> with an event plugin.hello.greeted that carries the same data.
 *   cc -shared -fPIC -Iinclude hello.c -o hello.so */
#include <pintle/plugin.h>

PINTLE_MANIFEST({
  "id": "hello", "version": "0.1.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["greet.>"], "publish": ["greeted"] } }
});

static const pintle_host *host;

static pintle_status on_greet(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  pintle_field field = pintle_field_text(PINTLE_STR("topic"), event->topic);
  (void)user, (void)reply;
  host->log->write(ctx, PINTLE_LOG_INFO, PINTLE_STR("greeting"), &field, 1);
  return host->events->emit(ctx, PINTLE_STR("greeted"), event->data, NULL);
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  *state = NULL;
  host = given;
  return host->events->subscribe(ctx, PINTLE_STR("greet.>"), on_greet, NULL, NULL, NULL, NULL);
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("hello"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
