/* courier: takes durable events, refuses each the first time, and acknowledges it the next. See README.md beside it. */
#include <pintle/plugin.h>

PINTLE_MANIFEST({
  "id": "courier", "version": "0.1.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["parcel.>"], "publish": ["delivered"] } }
});

static const pintle_host *host;

static pintle_status on_parcel(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  pintle_emit_options once;
  pintle_status status;
  (void)user;
  (void)reply;
  if (event->sequence == 0 || event->delivery == 0) return PINTLE_INTERNAL;
  if (event->attempt == 1) return host->events->nack(ctx, event->delivery, 60000, PINTLE_STR("nobody is in"));
  /* The same event may come again after this: under its id it is published once. */
  once = pintle_emit_durable(event->id);
  status = host->events->emit(ctx, PINTLE_STR("delivered"), event->data, &once);
  if (status == PINTLE_OK) status = host->events->emit(ctx, PINTLE_STR("delivered"), event->data, &once);
  return status == PINTLE_OK ? host->events->ack(ctx, event->delivery) : status;
}

static pintle_status load(pintle_ctx ctx, const pintle_host *from, void **state) {
  pintle_subscribe_options options = pintle_subscribe_durable(PINTLE_STR("parcels"));
  host = from;
  *state = (void *)&host;
  if (!PINTLE_HAS(host->events, nack)) return PINTLE_UNSUPPORTED;
  options.flags |= PINTLE_SUBSCRIBE_ACK;
  options.filter = PINTLE_STR("{\"not\": {\"exact\": {\"subject\": \"sample\"}}}");
  return host->events->subscribe(ctx, PINTLE_STR("parcel.>"), on_parcel, NULL, NULL, &options, NULL);
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("courier"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
