/* asker: asks the host for nothing in its manifest, and then for this and that.
 *
 * Service `asker.run` 1. Answers like those of probe (tests/plugins/README.md):
 * `denied`  a function of each service that the manifest did not ask for, and those that need no asking
 * `service` built-in tables, and what is not there
 * `arrays`  fields of unequal and of longer structs
 * `outputs` numbers: whether outputs of failing calls, set to 77 before, are still that
 * `sinks`   numbers: how many pieces, and how many bytes, an empty and a full value come in
 * `errors`  what last_error says, on this thread and on another
 * and `say`, which succeeds after a set_error, `twice` and `long`, which fail after several or a long one, and
 * `silent`, which fails without. */
#define _DEFAULT_SOURCE
#include <pintle/plugin.h>

#include <pthread.h>
#include <stdio.h>

PINTLE_MANIFEST({
  "id": "asker", "version": "1.0.0", "abi": "1.0",
  "provides": {
    "asker.run": {
      "major": 1,
      "methods": ["denied", "service", "arrays", "outputs", "sinks", "errors", "say", "twice", "long", "silent"]
    }
  },
  "config": {
    "type": "object",
    "properties": { "empty": { "type": "string", "default": "" }, "word": { "type": "string", "default": "hello" } }
  }
});

static const pintle_host *host;
static pintle_buf json;

static void add(const char *text) { (void)pintle_buf_write(&json, text, strlen(text)); }

static void begin(const char *name) {
  if (json.len > 1) add(",");
  add("\"");
  add(name);
  add("\":");
}

static void tell_number(const char *name, long long value) {
  char digits[32];
  begin(name);
  snprintf(digits, sizeof digits, "%lld", value);
  add(digits);
}

/* A case with the text of this thread's last failure with `ctx`. */
static void tell_of(const char *name, pintle_ctx ctx, pintle_status status) {
  char line[48];
  size_t at;
  pintle_buf text = {0};
  begin(name);
  snprintf(line, sizeof line, "{\"status\":%d,\"text\":\"", (int)status);
  add(line);
  if (status != PINTLE_OK) host->last_error(ctx, pintle_buf_sink(&text));
  for (at = 0; at < text.len; at++) {
    if (text.ptr[at] == '"' || text.ptr[at] == '\\') add("\\");
    (void)pintle_buf_write(&json, text.ptr + at, 1);
  }
  add("\"}");
  pintle_buf_free(&text);
}

static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  (void)user, (void)ctx, (void)event, (void)reply;
  return PINTLE_OK;
}

static pintle_status on_run(void *user, pintle_ctx ctx, const pintle_run *run, pintle_sink reply) {
  (void)user, (void)ctx, (void)run, (void)reply;
  return PINTLE_OK;
}

/* With arguments that are all wrong: what is not granted is not looked at. */
static void denied_items(pintle_ctx ctx) {
  const pintle_cache *cache = host->cache;
  const pintle_storage *storage = host->storage;
  pintle_str none = pintle_strn(NULL, 0);
  pintle_bytes bad = {NULL, 5};
  pintle_sink nowhere = {NULL, NULL};
  tell_of("cache_get", ctx, cache->get(ctx, none, none, nowhere, NULL));
  tell_of("cache_get_into", ctx, cache->get_into(ctx, none, none, NULL, 5, NULL, NULL));
  tell_of("cache_set", ctx, cache->set(ctx, none, none, bad, NULL));
  tell_of("cache_remove", ctx, cache->remove(ctx, none, none, NULL));
  tell_of("cache_exists", ctx, cache->exists(ctx, none, none, NULL));
  tell_of("cache_incr", ctx, cache->incr(ctx, none, none, 1, NULL, NULL));
  tell_of("cache_expire", ctx, cache->expire(ctx, none, none, 0, 99, NULL));
  tell_of("cache_ttl", ctx, cache->ttl(ctx, none, none, NULL));
  tell_of("cache_get_many", ctx, cache->get_many(ctx, none, NULL, 5, NULL, NULL));
  tell_of("cache_set_many", ctx, cache->set_many(ctx, none, NULL, 5, NULL));
  tell_of("cache_set_absent", ctx, cache->set_absent(ctx, none, none, NULL));
  tell_of("cache_invalidate", ctx, cache->invalidate(ctx, none, none, NULL));
  tell_of("cache_invalidate_tag", ctx, cache->invalidate_tag(ctx, none, NULL));
  tell_of("cache_clear", ctx, cache->clear(ctx, none, NULL));
  tell_of("cache_keys", ctx, cache->keys(ctx, none, none, none, 5000, nowhere, nowhere));
  tell_of("cache_stats", ctx, cache->stats(ctx, NULL));
  tell_of("storage_get", ctx, storage->get(ctx, none, nowhere, NULL));
  tell_of("storage_set", ctx, storage->set(ctx, none, bad, NULL, NULL));
  tell_of("storage_remove", ctx, storage->remove(ctx, none, NULL));
  tell_of("storage_exists", ctx, storage->exists(ctx, none, NULL));
  tell_of("storage_keys", ctx, storage->keys(ctx, none, none, 0, nowhere, nowhere));
  tell_of("storage_clear", ctx, storage->clear(ctx, NULL));
  tell_of("storage_get_into", ctx, storage->get_into(ctx, none, NULL, 5, NULL, NULL));
  tell_of("storage_incr", ctx, storage->incr(ctx, none, 1, NULL, NULL, NULL));
  tell_of("storage_expire", ctx, storage->expire(ctx, none, 0, NULL));
  tell_of("storage_batch", ctx, storage->batch(ctx, NULL, 5, NULL, NULL, NULL));
  tell_of("storage_watch", ctx, storage->watch(ctx, none, NULL, NULL, NULL, NULL, NULL));
  tell_of("storage_unwatch", ctx, storage->unwatch(ctx, 1));
  tell_of("storage_stats", ctx, storage->stats(ctx, NULL));
}

static void denied(pintle_ctx ctx) {
  const pintle_scheduler *jobs = host->scheduler;
  pintle_bytes none = {NULL, 0};
  pintle_str x = PINTLE_STR("x");
  tell_of("emit", ctx, host->events->emit(ctx, x, none, NULL));
  tell_of("subscribe", ctx, host->events->subscribe(ctx, x, on_event, NULL, NULL, NULL, NULL));
  tell_of("unsubscribe", ctx, host->events->unsubscribe(ctx, 1));
  tell_of("emit_sync", ctx, host->events->emit_sync(ctx, x, none, NULL, 0, NULL, NULL, NULL));
  tell_of("cron", ctx, jobs->cron(ctx, x, PINTLE_STR("@daily"), on_run, NULL, NULL, NULL, NULL));
  tell_of("interval", ctx, jobs->interval(ctx, x, 1000, on_run, NULL, NULL, NULL, NULL));
  tell_of("once", ctx, jobs->once(ctx, x, 1000, on_run, NULL, NULL, NULL, NULL));
  tell_of("remove", ctx, jobs->remove(ctx, 1));
  denied_items(ctx);
  tell_of("call", ctx, host->call(ctx, PINTLE_STR("a.ping"), 1, PINTLE_STR("ping"), none, 0, pintle_discard_sink()));
  tell_of("log", ctx, host->log->write(ctx, PINTLE_LOG_INFO, x, NULL, 0));
  tell_of("config", ctx, host->config->get(ctx, PINTLE_STR(""), pintle_discard_sink()));
}

static void service(pintle_ctx ctx) {
  const void *table = NULL;
  void *itself = &table;
  tell_of("log", ctx, host->service(ctx, PINTLE_STR("pintle.log"), 1, (uint32_t)sizeof(pintle_log), &table, &itself));
  tell_number("log_is_the_table", table == host->log && itself == NULL);
  tell_of("cache", ctx, host->service(ctx, PINTLE_STR("pintle.cache"), 1, 4, &table, NULL));
  tell_number("cache_is_the_table", table == host->cache);
  tell_of("longer", ctx, host->service(ctx, PINTLE_STR("pintle.log"), 1, (uint32_t)sizeof(pintle_log) + 1, &table, NULL));
  tell_of("other_major", ctx, host->service(ctx, PINTLE_STR("pintle.log"), 2, 4, &table, NULL));
  tell_of("nobodys", ctx, host->service(ctx, PINTLE_STR("pintle.teleport"), 1, 4, &table, NULL));
  tell_of("empty", ctx, host->service(ctx, PINTLE_STR(""), 1, 4, &table, NULL));
  tell_number("still_the_cache", table == host->cache);
}

typedef struct {
  pintle_field known;
  uint64_t later;
} longer_field;

static void arrays(pintle_ctx ctx) {
  const pintle_log *logs = host->log;
  pintle_field fields[2];
  longer_field longer[2];
  pintle_str name = PINTLE_STR("n");
  fields[0] = fields[1] = pintle_field_integer(name, 1);
  fields[1].size = 48;
  tell_of("unequal", ctx, logs->write(ctx, PINTLE_LOG_INFO, name, fields, 2));
  fields[1].size = 0;
  tell_of("second_zero", ctx, logs->write(ctx, PINTLE_LOG_INFO, name, fields, 2));
  memset(longer, 0, sizeof longer);
  longer[0].known = longer[1].known = pintle_field_integer(name, 1);
  longer[0].known.size = longer[1].known.size = sizeof longer[0];
  tell_of("longer", ctx, logs->write(ctx, PINTLE_LOG_INFO, PINTLE_STR("longer"), &longer[0].known, 2));
  longer[1].later = 1;
  tell_of("longer_set", ctx, logs->write(ctx, PINTLE_LOG_INFO, name, &longer[0].known, 2));
}

static void outputs(pintle_ctx ctx) {
  int64_t integer = 77;
  double number = 77;
  uint32_t flag = 77;
  pintle_ctx held = 77;
  pintle_logger logger = 77;
  pintle_field field = pintle_field_integer(PINTLE_STR(""), 1);
  pintle_scope_info info = {0};
  pintle_str word = PINTLE_STR("/word");
  const void *table = &integer;
  host->config->integer(ctx, word, &integer), tell_number("wrong_type_integer", integer);
  host->config->number(ctx, word, &number), tell_number("wrong_type_number", (long long)number);
  host->config->boolean(ctx, word, &flag), tell_number("wrong_type_boolean", flag);
  host->config->integer(ctx, PINTLE_STR("/none"), &integer), tell_number("not_found", integer);
  host->log->enabled(ctx, 99, &flag), tell_number("bad_level", flag);
  host->log->logger_new(ctx, &field, 1, &logger), tell_number("bad_field", (long long)logger);
  host->hold(12345, &held), tell_number("stale_hold", (long long)held);
  host->remaining(12345, &integer), tell_number("stale_remaining", integer);
  info.size = sizeof info, info.generation = 77;
  host->scope(12345, &info, pintle_discard_sink()), tell_number("stale_scope", (long long)info.generation);
  host->service(ctx, PINTLE_STR("x"), 1, 4, &table, NULL), tell_number("no_service", table == &integer ? 77 : 0);
}

typedef struct {
  int pieces;
  size_t bytes;
} counted;

static pintle_status count(void *data, pintle_bytes piece) {
  counted *seen = data;
  seen->pieces++;
  seen->bytes += piece.len;
  return PINTLE_OK;
}

static void sinks(pintle_ctx ctx) {
  counted empty = {0, 0}, full = {0, 0}, missing = {0, 0};
  pintle_sink sink = {NULL, count};
  sink.data = &empty;
  host->config->text(ctx, PINTLE_STR("/empty"), sink);
  sink.data = &full;
  host->config->text(ctx, PINTLE_STR("/word"), sink);
  sink.data = &missing;
  host->config->text(ctx, PINTLE_STR("/none"), sink);
  tell_number("empty_pieces", empty.pieces);
  tell_number("empty_bytes", (long long)empty.bytes);
  tell_number("full_bytes", (long long)full.bytes);
  tell_number("missing_pieces", missing.pieces);
}

static void *fail_elsewhere(void *data) {
  pintle_ctx ctx = *(pintle_ctx *)data;
  tell_number("elsewhere_before", host->last_error(ctx, pintle_discard_sink()));
  tell_of("elsewhere", ctx, host->config->get(ctx, PINTLE_STR("/elsewhere"), pintle_discard_sink()));
  return NULL;
}

static void errors(pintle_ctx ctx) {
  pthread_t thread;
  pintle_scope_info info = {0};
  info.size = sizeof info;
  tell_number("before", host->last_error(ctx, pintle_discard_sink()));
  tell_of("first", ctx, host->config->get(ctx, PINTLE_STR("/first"), pintle_discard_sink()));
  host->config->get(ctx, PINTLE_STR("/word"), pintle_discard_sink());
  tell_of("after_success", ctx, PINTLE_NOT_FOUND);
  tell_of("other_context", 7, host->scope(7, &info, pintle_discard_sink()));
  tell_of("after_other_context", ctx, PINTLE_NOT_FOUND);
  if (pthread_create(&thread, NULL, fail_elsewhere, &ctx) == 0) pthread_join(thread, NULL);
  tell_of("after_elsewhere", ctx, PINTLE_NOT_FOUND);
  tell_of("second", ctx, host->config->get(ctx, PINTLE_STR("/second"), pintle_discard_sink()));
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  (void)ctx;
  *state = NULL;
  host = given;
  return PINTLE_OK;
}

static void unload(void *state, pintle_ctx ctx) {
  (void)state, (void)ctx;
  pintle_buf_free(&json);
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  (void)state;
  pintle_buf_clear(&json);
  add("{");
#define METHOD(name) pintle_str_eq(request->method, PINTLE_STR(name))
  if (METHOD("denied")) denied(ctx);
  else if (METHOD("service")) service(ctx);
  else if (METHOD("arrays")) arrays(ctx);
  else if (METHOD("outputs")) outputs(ctx);
  else if (METHOD("sinks")) sinks(ctx);
  else if (METHOD("errors")) errors(ctx);
  else if (METHOD("say")) host->set_error(ctx, PINTLE_STR("left over"));
  else if (METHOD("silent")) return PINTLE_CONFLICT;
  else if (METHOD("twice")) {
    host->set_error(ctx, PINTLE_STR("the first"));
    host->set_error(ctx, PINTLE_STR("the\nsecond \x1b[31m"));
    return PINTLE_CONFLICT;
  } else if (METHOD("long")) {
    char text[5000];
    memset(text, 'x', sizeof text);
    host->set_error(ctx, pintle_strn(text, sizeof text));
    return PINTLE_CONFLICT;
  }
#undef METHOD
  add("}");
  return pintle_sink_write(reply, json.ptr, json.len);
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("asker"),
  .version = PINTLE_STR_INIT("1.0.0"),
  .load = load,
  .unload = unload,
  .call = call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
