/* patient: tells what the host answers in each step of a life, and when the caller has given up.
 *
 * In `load`, `enable`, `disable` and `unload` it logs a record `phase` with a field for each function that it tried.
 * Service `patient.run` 1: `outlive` waits until its caller has given up, logs the record `outlived`, and returns
 * when the file that the request names is there; `crowd`
 * emits `plugin.patient.crowd` four times, willing to wait 60 s for room each time. */
#define _POSIX_C_SOURCE 200809L
#include <pintle/plugin.h>

#include <time.h>
#include <unistd.h>

PINTLE_MANIFEST({
  "id": "patient", "version": "1.0.0", "abi": "1.0",
  "services": {
    "events": { "subscribe": ["patient.>"], "publish": ["phase", "crowd"] }, "scheduler": {}, "call": ["a.ping"],
    "cache": {}, "storage": {}
  },
  "provides": { "patient.run": { "major": 1, "methods": ["outlive", "crowd"] } }
});

static const pintle_host *host;
static int turns;

static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  (void)user, (void)ctx, (void)event, (void)reply;
  return PINTLE_OK;
}

static pintle_status on_run(void *user, pintle_ctx ctx, const pintle_run *run, pintle_sink reply) {
  (void)user, (void)ctx, (void)run, (void)reply;
  return PINTLE_OK;
}

static pintle_status ask(pintle_ctx ctx, int64_t timeout_ms) {
  return host->call(ctx, PINTLE_STR("a.ping"), 1, PINTLE_STR("ping"), pintle_bytesn(NULL, 0), timeout_ms,
                    pintle_discard_sink());
}

static void try_all(pintle_ctx ctx, pintle_str phase) {
  const pintle_storage *storage = host->storage;
  pintle_str key = PINTLE_STR("k"), none = pintle_strn(NULL, 0);
  pintle_bytes value = pintle_bytesn("1", 1);
  pintle_field fields[16];
  int64_t sum = 0;
  uint64_t version = 0;
  uint32_t flag;
  pintle_ctx held = 0;
  pintle_subscribe_options named = {0};
  char name[2] = {0, 0};
  name[0] = (char)('a' + turns++ % 26);
  named.size = sizeof named;
  named.name = pintle_strn(name, 1);
  fields[0] = pintle_field_text(PINTLE_STR("phase"), phase);
  fields[1] = pintle_field_integer(
      PINTLE_STR("emit"), host->events->emit(ctx, PINTLE_STR("phase"), pintle_bytesn("1", 1), NULL));
  fields[2] = pintle_field_integer(
      PINTLE_STR("subscribe"),
      host->events->subscribe(ctx, PINTLE_STR("patient.>"), on_event, NULL, NULL, &named, NULL));
  fields[3] = pintle_field_integer(
      PINTLE_STR("once"), host->scheduler->once(ctx, named.name, 100000000, on_run, NULL, NULL, NULL, NULL));
  fields[4] = pintle_field_integer(PINTLE_STR("hold"), host->hold(ctx, &held));
  fields[5] = pintle_field_integer(PINTLE_STR("asked"), ask(ctx, 0));
  fields[6] = pintle_field_integer(
      PINTLE_STR("config"), host->config->get(ctx, PINTLE_STR(""), pintle_discard_sink()));
  fields[7] = pintle_field_integer(PINTLE_STR("held"), held != 0);
  fields[8] = pintle_field_integer(PINTLE_STR("cached"), host->cache->incr(ctx, key, key, 1, NULL, &sum));
  fields[9] = pintle_field_integer(PINTLE_STR("sum"), sum);
  fields[10] = pintle_field_integer(PINTLE_STR("stored"), storage->set(ctx, key, value, NULL, &version));
  fields[11] = pintle_field_integer(PINTLE_STR("given"), version != 0);
  fields[12] = pintle_field_integer(PINTLE_STR("looked"), storage->exists(ctx, key, &flag));
  fields[13] = pintle_field_integer(
      PINTLE_STR("listed"), storage->keys(ctx, none, none, 0, pintle_discard_sink(), pintle_discard_sink()));
  fields[14] = pintle_field_integer(PINTLE_STR("removed"), storage->remove(ctx, key, NULL));
  fields[15] = pintle_field_integer(PINTLE_STR("cleared"), storage->clear(ctx, NULL));
  host->log->write(ctx, PINTLE_LOG_INFO, PINTLE_STR("phase"), fields, 16);
}

/* Returns only when the file `path` is there, so that the caller has given up for certain. */
static pintle_status outlive(pintle_ctx ctx, const pintle_bytes *path) {
  const struct timespec beat = {0, 1000000};
  pintle_buf file = {0};
  pintle_field fields[4];
  pintle_buf text = {0};
  pintle_scope_info info = {0};
  int64_t ms = 1;
  while (host->remaining(ctx, &ms) == PINTLE_OK && ms > 0) nanosleep(&beat, NULL);
  fields[0] = pintle_field_integer(PINTLE_STR("remaining"), ms);
  fields[1] = pintle_field_integer(PINTLE_STR("asked"), ask(ctx, 60000));
  host->last_error(ctx, pintle_buf_sink(&text));
  fields[2] = pintle_field_text(PINTLE_STR("text"), pintle_buf_str(&text));
  info.size = sizeof info;
  fields[3] = pintle_field_integer(PINTLE_STR("scope"), host->scope(ctx, &info, pintle_discard_sink()));
  host->log->write(ctx, PINTLE_LOG_INFO, PINTLE_STR("outlived"), fields, 4);
  pintle_buf_free(&text);
  if (pintle_buf_write(&file, path->ptr, path->len) == PINTLE_OK)
    while (access((const char *)file.ptr, F_OK) != 0) nanosleep(&beat, NULL);
  pintle_buf_free(&file);
  return PINTLE_OK;
}

/* Four events, where the queue of the subscriber has room for one. */
static pintle_status crowd(pintle_ctx ctx) {
  pintle_emit_options waiting = {0};
  pintle_status status = PINTLE_OK;
  int at;
  waiting.size = sizeof waiting;
  waiting.wait_ms = 60000;
  for (at = 0; at < 4 && status == PINTLE_OK; at++)
    status = host->events->emit(ctx, PINTLE_STR("crowd"), pintle_bytesn("1", 1), &waiting);
  return status;
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  *state = NULL;
  host = given;
  try_all(ctx, PINTLE_STR("load"));
  return PINTLE_OK;
}

static pintle_status enable(void *state, pintle_ctx ctx) {
  (void)state;
  try_all(ctx, PINTLE_STR("enable"));
  return PINTLE_OK;
}

static pintle_status disable(void *state, pintle_ctx ctx) {
  (void)state;
  try_all(ctx, PINTLE_STR("disable"));
  return PINTLE_OK;
}

static void unload(void *state, pintle_ctx ctx) {
  (void)state;
  try_all(ctx, PINTLE_STR("unload"));
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  (void)state, (void)reply;
  if (pintle_str_eq(request->method, PINTLE_STR("crowd"))) return crowd(ctx);
  return outlive(ctx, &request->data);
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("patient"),
  .version = PINTLE_STR_INIT("1.0.0"),
  .load = load,
  .enable = enable,
  .disable = disable,
  .unload = unload,
  .call = call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
