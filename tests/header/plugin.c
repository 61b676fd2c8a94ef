/* A plugin that uses every macro and every inline function of the header. Compiled as C and as C++, and twice into
 * application.c under other entry names, so everything but the entry is static or hidden. */
#include <pintle/plugin.h>

#include "second_unit.h"

PINTLE_MANIFEST({
  "id": "header-test", "version": "1.0.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["*"], "publish": ["a.>"] }, "log": {} }
});

static const pintle_str topic = PINTLE_STR_INIT("a.b");

static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  const pintle_host *host = (const pintle_host *)user;
  pintle_emit_options options;
  pintle_field fields[4];
  pintle_buf text;
  pintle_status status;
  memset(&text, 0, sizeof text);
  memset(&options, 0, sizeof options);
  options.size = (uint32_t)sizeof options;
  options.id = pintle_cstr("1");
  if (pintle_str_eq(event->topic, topic)) return PINTLE_OK;
  if (!PINTLE_HAS(host, files) || !PINTLE_HAS(host->log, write)) return PINTLE_UNSUPPORTED;
  fields[0] = pintle_field_text(PINTLE_STR("topic"), event->topic);
  fields[1] = pintle_field_integer(PINTLE_STR("time"), event->time_ms);
  fields[2] = pintle_field_number(PINTLE_STR("share"), 0.5);
  fields[3] = pintle_field_boolean(PINTLE_STR("late"), 2);
  status = host->log->write(ctx, PINTLE_LOG_INFO, PINTLE_STR("seen"), fields, 4);
  if (status != PINTLE_OK) return status;
  status = host->config->get(ctx, PINTLE_STR(""), pintle_buf_sink(&text));
  if (status == PINTLE_NOT_FOUND) status = host->last_error(ctx, pintle_buf_sink(&text));
  if (status == PINTLE_OK) status = pintle_sink_write(reply, text.ptr, text.len);
  if (status == PINTLE_OK) status = host->set_error(ctx, pintle_buf_str(&text));
  if (status == PINTLE_OK) status = host->scope(ctx, NULL, pintle_discard_sink());
  pintle_buf_clear(&text);
  pintle_buf_free(&text);
  return host->events->emit(ctx, topic, pintle_bytesn("{}", 2), &options);
}

static pintle_status load(pintle_ctx ctx, const pintle_host *host, void **state) {
  *state = (void *)(uintptr_t)host;
  if (second_unit_length(pintle_strn("four", 4)) != 4) return PINTLE_INTERNAL;
  return host->events->subscribe(ctx, PINTLE_STR(">"), on_event, *state, NULL, NULL, NULL);
}

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) {
  static const pintle_plugin plugin = {
      sizeof(pintle_plugin),
      PINTLE_ABI_MINOR,
      PINTLE_MANIFEST_BYTES,
      PINTLE_STR_INIT("header-test"),
      PINTLE_STR_INIT("1.0.0"),
      load,
      NULL,
      NULL,
      NULL,
      NULL,
      NULL,
      NULL,
      NULL,
      NULL,
  };
  return &plugin;
}
