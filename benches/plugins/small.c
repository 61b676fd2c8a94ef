/* small-0000: a plugin of 15 KiB that does nothing but live. The bench makes as many plugins of it as it needs, by writing
 * other digits over those of the id. */
#include <pintle/plugin.h>

PINTLE_MANIFEST({ "id": "small-0000", "version": "0.1.0", "abi": "1.0", "name": "A small plugin" });

static const pintle_host *host;
static int enabled;

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  (void)ctx;
  *state = &enabled;
  host = given;
  return host->log->size > 0 ? PINTLE_OK : PINTLE_UNSUPPORTED;
}

static pintle_status enable(void *state, pintle_ctx ctx) {
  (void)ctx;
  *(int *)state = 1;
  return PINTLE_OK;
}

static pintle_status disable(void *state, pintle_ctx ctx) {
  (void)ctx;
  *(int *)state = 0;
  return PINTLE_OK;
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("small-0000"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
  .enable = enable,
  .disable = disable,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
