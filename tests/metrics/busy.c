/* busy: makes as many calls to the host as it is told, so that a test knows what there is to count.
 *
 * Service `<NAME>.run` 1, method `do`: lines "WHAT TIMES BYTES"; answers with how many of these calls were OK. In `load` it
 * makes one call: it subscribes to `in.>`, with room for two events. Events: `in.ok`, `in.fail`, and `in.hang`, which makes
 * the file in its data with `.here` behind it and waits until the file is there.
 *
 *   log log_bad config config_none cache cache_none storage emit emit_denied job call call_none scope
 *   fail      the method fails
 *
 * -DNAME=other makes the plugin `other`; -DKEYS has it import what makes its library stay until the threads that ran it
 * have ended. */
#define _GNU_SOURCE
#include <pintle/plugin.h>

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#ifndef NAME
#define NAME busy
#endif
#define TEXT_OF(...) #__VA_ARGS__
#define TEXT(...) TEXT_OF(__VA_ARGS__)
#define MANIFEST(...) PINTLE_MANIFEST(__VA_ARGS__) /* expands NAME before it becomes text */

MANIFEST({
  "id": TEXT(NAME), "version": "1.2.3", "abi": "1.0",
  "services": {
    "cache": {}, "storage": {}, "scheduler": {}, "call": ["other.run", "nobody.run"],
    "events": { "subscribe": ["in.>"], "publish": ["out"] }
  },
  "provides": { TEXT(NAME.run): { "major": 1, "methods": ["do"] } },
  "config": { "type": "object", "properties": { "n": { "type": "integer", "default": 7 } } }
});

static const pintle_host *host;
static char bytes[4096];
#ifdef KEYS
int (*const in_use)(pthread_key_t *, void (*)(void *)) = pthread_key_create;
#endif

static void hang(const char *file) {
  char here[600];
  FILE *seen;
  struct timespec nap = {0, 2000000};
  snprintf(here, sizeof here, "%s.here", file);
  seen = fopen(here, "w");
  if (seen != NULL) fclose(seen);
  while ((seen = fopen(file, "r")) == NULL) nanosleep(&nap, NULL);
  fclose(seen);
}

static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  char file[500];
  (void)user, (void)ctx, (void)reply;
  if (pintle_str_eq(event->topic, PINTLE_STR("in.fail"))) return PINTLE_CONFLICT;
  if (pintle_str_eq(event->topic, PINTLE_STR("in.hang"))) {
    snprintf(file, sizeof file, "%.*s", (int)event->data.len, (const char *)event->data.ptr);
    hang(file);
  }
  return PINTLE_OK;
}

static pintle_status on_job(void *user, pintle_ctx ctx, const pintle_run *run, pintle_sink reply) {
  (void)user, (void)ctx, (void)run, (void)reply;
  return PINTLE_OK;
}

static pintle_status once(pintle_ctx ctx, const char *what, unsigned at, size_t length) {
  pintle_str key, none = PINTLE_STR("nothing");
  pintle_bytes value = pintle_bytesn(bytes, length);
  pintle_buf got = {0};
  pintle_scope_info scope = {sizeof scope, 0, 0};
  pintle_status status = PINTLE_INTERNAL;
  int64_t number;
  char name[16];
  snprintf(name, sizeof name, "k%u", at);
  key = pintle_cstr(name);
#define IS(name) (strcmp(what, name) == 0)
  if (IS("log")) status = host->log->write(ctx, PINTLE_LOG_INFO, PINTLE_STR("counted"), NULL, 0);
  if (IS("log_bad")) status = host->log->write(ctx, 77, PINTLE_STR("counted"), NULL, 0);
  if (IS("config")) status = host->config->integer(ctx, PINTLE_STR("/n"), &number);
  if (IS("config_none")) status = host->config->integer(ctx, PINTLE_STR("/none"), &number);
  if (IS("cache")) status = host->cache->set(ctx, PINTLE_STR("n"), key, value, NULL);
  if (IS("cache_none")) status = host->cache->get(ctx, PINTLE_STR("n"), none, pintle_buf_sink(&got), NULL);
  if (IS("storage")) status = host->storage->set(ctx, key, value, NULL, NULL);
  if (IS("emit")) status = host->events->emit(ctx, PINTLE_STR("out"), value, NULL);
  if (IS("emit_denied")) status = host->events->emit(ctx, none, value, NULL);
  if (IS("job")) status = host->scheduler->once(ctx, key, 0, on_job, NULL, NULL, NULL, NULL);
  if (IS("call"))
    status = host->call(ctx, PINTLE_STR("other.run"), 1, PINTLE_STR("do"), value, 0, pintle_buf_sink(&got));
  if (IS("call_none"))
    status = host->call(ctx, PINTLE_STR("nobody.run"), 1, PINTLE_STR("do"), value, 0, pintle_buf_sink(&got));
  if (IS("scope")) status = host->scope(ctx, &scope, pintle_buf_sink(&got));
#undef IS
  pintle_buf_free(&got);
  return status;
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  char script[1024], what[32], answer[32];
  char *line, *rest = script;
  unsigned times, at, length, ok = 0;
  (void)state;
  snprintf(script, sizeof script, "%.*s", (int)request->data.len, (const char *)request->data.ptr);
  while ((line = strsep(&rest, "\n")) != NULL) {
    times = length = 0;
    if (sscanf(line, "%31s %u %u", what, &times, &length) < 1) continue;
    if (strcmp(what, "fail") == 0) return PINTLE_CONFLICT;
    for (at = 0; at < times; at++) ok += once(ctx, what, at, length) == PINTLE_OK;
  }
  snprintf(answer, sizeof answer, "%u", ok);
  return pintle_sink_write(reply, answer, strlen(answer));
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  pintle_subscribe_options two;
  memset(&two, 0, sizeof two);
  two.size = sizeof two;
  two.capacity = 2;
  *state = NULL;
  host = given;
  memset(bytes, ' ', sizeof bytes);
  return host->events->subscribe(ctx, PINTLE_STR("in.>"), on_event, NULL, NULL, &two, NULL);
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT(TEXT(NAME)),
  .version = PINTLE_STR_INIT("1.2.3"),
  .load = load,
  .call = call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
