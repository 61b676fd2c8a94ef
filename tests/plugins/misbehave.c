/* misbehave: a plugin that breaks the contract, for the host's tests. See README.md beside it.
 *
 * -DVARIANT=name picks what is wrong with the entry; the config picks what goes wrong later. */
#define _POSIX_C_SOURCE 200809L
#include <pintle/plugin.h>

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#define NORMAL 0
#define ENTRY_NULL 1
#define SIZE_ZERO 2
#define SIZE_HUGE 3
#define SIZE_SHORT 4
#define ID_DIFFERS 5
#define VERSION_DIFFERS 6
#define LOAD_NULL 7
#define ID_NULL 8
#define ID_BAD_UTF8 9
#define ENTRY_MISSING 10
#ifndef VARIANT
#define VARIANT NORMAL
#endif

PINTLE_MANIFEST({
  "id": "misbehave", "version": "0.1.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["misbehave.>"], "publish": ["done"] }, "scheduler": {} },
  "provides": { "misbehave.run": { "major": 1, "methods": ["run"] } },
  "config": {
    "type": "object",
    "properties": {
      "load": { "$ref": "#/$defs/way" }, "enable": { "$ref": "#/$defs/way" }, "disable": { "$ref": "#/$defs/way" },
      "unload": { "$ref": "#/$defs/way" }, "configure": { "$ref": "#/$defs/way" }, "save": { "$ref": "#/$defs/way" },
      "restore": { "$ref": "#/$defs/way" }, "call": { "$ref": "#/$defs/way" }, "event": { "$ref": "#/$defs/way" },
      "job": { "$ref": "#/$defs/way" },
      "until": { "type": "string", "default": "" },
      "status": { "type": "integer", "default": 4711 }
    },
    "additionalProperties": false,
    "$defs": { "way": { "enum": ["ok", "fail", "silent", "garbage", "hang"] } }
  },
  "state": 1
});

static const pintle_host *host;

static int is_there(const char *path) { return access(path, F_OK) == 0; }

/* Makes the file UNTIL.hanging, so that a test knows, then hangs until the file UNTIL is there, or for ever. */
static void hang(pintle_ctx ctx) {
  const struct timespec beat = {0, 2000000};
  pintle_buf until = {0}, mark = {0};
  int named = host->config->text(ctx, PINTLE_STR("/until"), pintle_buf_sink(&until)) == PINTLE_OK && until.len > 0;
  if (named && pintle_buf_write(&mark, until.ptr, until.len) == PINTLE_OK &&
      pintle_buf_write(&mark, ".hanging", 8) == PINTLE_OK) {
    int file = open((const char *)mark.ptr, O_CREAT | O_WRONLY, 0600);
    if (file >= 0) close(file);
  }
  while (!named || !is_there((const char *)until.ptr)) nanosleep(&beat, NULL);
  pintle_buf_free(&until);
  pintle_buf_free(&mark);
}

/* Does what the config says for this place. */
static pintle_status act(pintle_ctx ctx, const char *place) {
  pintle_buf text = {0};
  pintle_str way = PINTLE_STR("ok");
  pintle_status status = PINTLE_OK;
  int64_t garbage = 4711;
  (void)pintle_buf_write(&text, "/", 1);
  (void)pintle_buf_write(&text, place, strlen(place));
  {
    pintle_buf found = {0};
    if (host->config->text(ctx, pintle_buf_str(&text), pintle_buf_sink(&found)) == PINTLE_OK)
      way = pintle_buf_str(&found);
    if (pintle_str_eq(way, PINTLE_STR("fail"))) {
      pintle_buf_clear(&text);
      (void)pintle_buf_write(&text, "misbehave was told to fail in ", 30);
      (void)pintle_buf_write(&text, place, strlen(place));
      host->set_error(ctx, pintle_buf_str(&text));
      status = PINTLE_CONFLICT;
    } else if (pintle_str_eq(way, PINTLE_STR("silent"))) {
      status = PINTLE_CONFLICT;
    } else if (pintle_str_eq(way, PINTLE_STR("garbage"))) {
      host->config->integer(ctx, PINTLE_STR("/status"), &garbage);
      status = (pintle_status)garbage;
    } else if (pintle_str_eq(way, PINTLE_STR("hang"))) {
      hang(ctx);
    }
    pintle_buf_free(&found);
  }
  pintle_buf_free(&text);
  return status;
}

static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  pintle_status status = act(ctx, "event");
  (void)user, (void)reply;
  return status == PINTLE_OK ? host->events->emit(ctx, PINTLE_STR("done"), event->data, NULL) : status;
}

static pintle_status on_job(void *user, pintle_ctx ctx, const pintle_run *run, pintle_sink reply) {
  (void)user, (void)run, (void)reply;
  return act(ctx, "job");
}

#if VARIANT != LOAD_NULL
static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  *state = NULL;
  host = given;
  return act(ctx, "load");
}
#endif

static pintle_status enable(void *state, pintle_ctx ctx) {
  pintle_status status = act(ctx, "enable");
  (void)state;
  if (status == PINTLE_OK)
    status = host->events->subscribe(ctx, PINTLE_STR("misbehave.>"), on_event, NULL, NULL, NULL, NULL);
  if (status == PINTLE_OK && host->config->text(ctx, PINTLE_STR("/job"), pintle_discard_sink()) == PINTLE_OK)
    status = host->scheduler->interval(ctx, PINTLE_STR("misbehave"), 20, on_job, NULL, NULL, NULL, NULL);
  return status;
}

static pintle_status disable(void *state, pintle_ctx ctx) {
  (void)state;
  return act(ctx, "disable");
}

static void unload(void *state, pintle_ctx ctx) {
  (void)state;
  (void)act(ctx, "unload");
}

static pintle_status configure(void *state, pintle_ctx ctx, pintle_bytes config) {
  (void)state, (void)config;
  return act(ctx, "configure");
}

static pintle_status save(void *state, pintle_ctx ctx, pintle_sink out) {
  pintle_status status = act(ctx, "save");
  (void)state;
  return status == PINTLE_OK ? pintle_sink_write(out, "saved", 5) : status;
}

static pintle_status restore(void *state, pintle_ctx ctx, uint32_t schema, pintle_bytes saved) {
  (void)state, (void)schema, (void)saved;
  return act(ctx, "restore");
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  pintle_status status = act(ctx, "call");
  (void)state;
  return status == PINTLE_OK ? pintle_sink_write(reply, request->data.ptr, request->data.len) : status;
}

static const pintle_plugin plugin = {
#if VARIANT == SIZE_ZERO
  .size = 0,
#elif VARIANT == SIZE_HUGE
  .size = UINT32_MAX,
#elif VARIANT == SIZE_SHORT
  .size = offsetof(pintle_plugin, load),
#else
  .size = sizeof plugin,
#endif
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
#if VARIANT == ID_DIFFERS
  .id = PINTLE_STR_INIT("somebody-else"),
#elif VARIANT == ID_NULL
  .id = {NULL, 9},
#elif VARIANT == ID_BAD_UTF8
  .id = PINTLE_STR_INIT("misbeh\xff\xfe!"),
#else
  .id = PINTLE_STR_INIT("misbehave"),
#endif
#if VARIANT == VERSION_DIFFERS
  .version = PINTLE_STR_INIT("9.9.9"),
#else
  .version = PINTLE_STR_INIT("0.1.0"),
#endif
#if VARIANT != LOAD_NULL
  .load = load,
#endif
  .enable = enable,
  .disable = disable,
  .unload = unload,
  .configure = configure,
  .save = save,
  .restore = restore,
  .call = call,
};

#if VARIANT == ENTRY_MISSING
#define pintle_plugin_entry_v1 pintle_plugin_entry_v0
PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void);
#endif

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) {
#if VARIANT == ENTRY_NULL
  (void)plugin;
  return NULL;
#else
  return &plugin;
#endif
}
