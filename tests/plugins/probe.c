/* probe: hands bad input to every function of the host and tells what it got back. See README.md beside it.
 *
 * Each method of its service answers a JSON object of cases: { "name": { "status": 2, "text": "…" }, … }, where the
 * text is what last_error said right after a failure. -DNAME=probe2 makes a second plugin of another id. */
#define _DEFAULT_SOURCE
#include <pintle/plugin.h>

#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef NAME
#define NAME probe
#endif
#define TEXT_OF(...) #__VA_ARGS__
#define TEXT(...) TEXT_OF(__VA_ARGS__)
#define MANIFEST(...) PINTLE_MANIFEST(__VA_ARGS__) /* expands NAME before it becomes text */

MANIFEST({
  "id": TEXT(NAME), "version": "0.1.0", "abi": "1.0",
  "services": {
    "events": { "subscribe": ["probe.>"], "publish": ["out.>"] }, "scheduler": {}, "call": ["a.ping"],
    "cache": {}, "storage": {}
  },
  "provides": {
    TEXT(NAME.run): {
      "major": 1,
      "methods": [
        "tables", "pointers", "utf8", "nul", "lengths", "options", "limits", "contexts", "stash", "stale", "thread",
        "own", "use", "fork", "sinks", "reply_stash", "reply_late", "reply_bad", "reply_more", "reply_told",
        "reply_passed", "handles", "hold", "fail"
      ]
    }
  },
  "config": {
    "type": "object",
    "properties": { "word": { "type": "string", "default": "hello" }, "n": { "type": "integer", "default": 5 } },
    "additionalProperties": false
  }
});

static const pintle_host *host;
static pintle_ctx own;          /* the plugin's own, from load */
static pintle_ctx stashed;      /* a call's, after that call has ended */
static pintle_sink late;        /* a reply sink, after its call has ended */
static const char *null_text;   /* null, in a way that no compiler sees through */

/* ---- the answer ---- */

typedef struct {
  pintle_buf json;
  pintle_ctx ctx;
} answer;

static void add(pintle_buf *buf, const char *text) { (void)pintle_buf_write(buf, text, strlen(text)); }

static void add_json_text(pintle_buf *buf, const pintle_buf *text) {
  size_t at;
  add(buf, "\"");
  for (at = 0; at < text->len; at++) {
    char escaped[8];
    unsigned char c = text->ptr[at];
    if (c == '"' || c == '\\' || c < 0x20) {
      snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)c);
      add(buf, escaped);
    } else {
      (void)pintle_buf_write(buf, &c, 1);
    }
  }
  add(buf, "\"");
}

static answer more; /* what `reply_more` got back */

/* A case that was called with `ctx`. */
static void tell_of(answer *to, const char *name, pintle_ctx ctx, pintle_status status) {
  char line[96];
  snprintf(line, sizeof line, "%s\"%s\":{\"status\":%d", to->json.len > 0 ? "," : "", name, (int)status);
  add(&to->json, line);
  if (status != PINTLE_OK) {
    pintle_buf text = {0};
    add(&to->json, ",\"text\":");
    host->last_error(ctx, pintle_buf_sink(&text));
    add_json_text(&to->json, &text);
    pintle_buf_free(&text);
  }
  add(&to->json, "}");
}

static void tell(answer *to, const char *name, pintle_status status) { tell_of(to, name, to->ctx, status); }

static void tell_number(answer *to, const char *name, long long value) {
  char line[96];
  snprintf(line, sizeof line, "%s\"%s\":%lld", to->json.len > 0 ? "," : "", name, value);
  add(&to->json, line);
}

/* A sink's. */
static pintle_status refuse(void *data, pintle_bytes piece) {
  (void)data, (void)piece;
  return 99;
}

/* ---- what is registered ---- */

static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  (void)user, (void)ctx, (void)event, (void)reply;
  return PINTLE_OK;
}

static pintle_status on_run(void *user, pintle_ctx ctx, const pintle_run *run, pintle_sink reply) {
  (void)user, (void)ctx, (void)run, (void)reply;
  return PINTLE_OK;
}

#include "probe_items.h"

/* ---- cases ---- */

/* How far each table reaches; 0 for a null one. */
static void tables(answer *to) {
  tell_number(to, "host", host->size);
  tell_number(to, "abi_minor", host->abi_minor);
  tell_number(to, "log", host->log ? host->log->size : 0);
  tell_number(to, "config", host->config ? host->config->size : 0);
  tell_number(to, "cache", host->cache ? host->cache->size : 0);
  tell_number(to, "storage", host->storage ? host->storage->size : 0);
  tell_number(to, "database", host->database ? host->database->size : 0);
  tell_number(to, "events", host->events ? host->events->size : 0);
  tell_number(to, "scheduler", host->scheduler ? host->scheduler->size : 0);
  tell_number(to, "idempotency", host->idempotency ? host->idempotency->size : 0);
  tell_number(to, "files", host->files ? host->files->size : 0);
  tell_number(to, "has_emit", PINTLE_HAS(host->events, emit));
  tell_number(to, "has_files", PINTLE_HAS(host, files));
}

/* Every function that takes text, with the same text in the place of each argument in turn. */
static void texts(answer *to, pintle_str bad) {
  pintle_ctx ctx = to->ctx;
  pintle_str good = PINTLE_STR("out.x");
  pintle_bytes none = {NULL, 0};
  pintle_sink sink = pintle_discard_sink();
  pintle_field field = pintle_field_integer(bad, 1), value = pintle_field_text(PINTLE_STR("f"), bad);
  pintle_emit_options emit = {0};
  pintle_subscribe_options subscribe = {0};
  pintle_job_options job = {0};
  const void *table;
  int64_t integer;
  double number;
  uint32_t boolean;
  pintle_logger logger;
  tell(to, "emit_topic", host->events->emit(ctx, bad, none, NULL));
  emit.size = sizeof emit;
  emit.id = bad;
  tell(to, "emit_id", host->events->emit(ctx, good, none, &emit));
  emit.id = pintle_strn(NULL, 0), emit.subject = bad;
  tell(to, "emit_subject", host->events->emit(ctx, good, none, &emit));
  emit.subject = pintle_strn(NULL, 0), emit.content_type = bad;
  tell(to, "emit_content_type", host->events->emit(ctx, good, none, &emit));
  emit.content_type = pintle_strn(NULL, 0), emit.key = bad;
  tell(to, "emit_key", host->events->emit(ctx, good, none, &emit));
  tell(to, "sync_key", host->events->emit_sync(ctx, good, none, &emit, 1000, NULL, NULL, NULL));
  tell(to, "sync_topic", host->events->emit_sync(ctx, bad, none, NULL, 1000, NULL, NULL, NULL));
  tell(to, "subscribe_pattern", host->events->subscribe(ctx, bad, on_event, NULL, NULL, NULL, NULL));
  subscribe.size = sizeof subscribe;
  subscribe.name = bad;
  tell(to, "subscribe_name",
       host->events->subscribe(ctx, PINTLE_STR("probe.text"), on_event, NULL, NULL, &subscribe, NULL));
  tell(to, "cron_name", host->scheduler->cron(ctx, bad, PINTLE_STR("@daily"), on_run, NULL, NULL, NULL, NULL));
  tell(to, "cron_rule", host->scheduler->cron(ctx, PINTLE_STR("bad"), bad, on_run, NULL, NULL, NULL, NULL));
  job.size = sizeof job;
  job.zone = bad;
  tell(to, "cron_zone",
       host->scheduler->cron(ctx, PINTLE_STR("bad"), PINTLE_STR("@daily"), on_run, NULL, NULL, &job, NULL));
  tell(to, "interval_name", host->scheduler->interval(ctx, bad, 100000, on_run, NULL, NULL, NULL, NULL));
  tell(to, "once_name", host->scheduler->once(ctx, bad, 100000, on_run, NULL, NULL, NULL, NULL));
  tell(to, "config_get", host->config->get(ctx, bad, sink));
  tell(to, "config_text", host->config->text(ctx, bad, sink));
  tell(to, "config_integer", host->config->integer(ctx, bad, &integer));
  tell(to, "config_number", host->config->number(ctx, bad, &number));
  tell(to, "config_boolean", host->config->boolean(ctx, bad, &boolean));
  tell(to, "call_service", host->call(ctx, bad, 1, PINTLE_STR("ping"), none, 100, sink));
  tell(to, "call_method", host->call(ctx, PINTLE_STR("a.ping"), 1, bad, none, 100, sink));
  tell(to, "service_id", host->service(ctx, bad, 1, 8, &table, NULL));
  tell(to, "log_message", host->log->write(ctx, PINTLE_LOG_INFO, bad, NULL, 0));
  tell(to, "log_field_name", host->log->write(ctx, PINTLE_LOG_INFO, PINTLE_STR("m"), &field, 1));
  tell(to, "log_field_text", host->log->write(ctx, PINTLE_LOG_INFO, PINTLE_STR("m"), &value, 1));
  tell(to, "logger_field_name", host->log->logger_new(ctx, &field, 1, &logger));
  tell(to, "set_error", host->set_error(ctx, bad));
  item_texts(to, bad);
}

/* Null with a length, and null where the host should write. */
static void pointers(answer *to) {
  pintle_ctx ctx = to->ctx;
  pintle_str good = PINTLE_STR("out.x"), word = PINTLE_STR("/word");
  pintle_bytes none = {NULL, 0}, bad = {NULL, 5};
  pintle_sink nowhere = {NULL, NULL};
  const void *table;
  texts(to, pintle_strn(null_text, 3));
  tell(to, "emit_data", host->events->emit(ctx, good, bad, NULL));
  tell(to, "sync_data", host->events->emit_sync(ctx, good, bad, NULL, 1000, NULL, NULL, NULL));
  tell(to, "call_request", host->call(ctx, PINTLE_STR("a.ping"), 1, PINTLE_STR("ping"), bad, 100, pintle_discard_sink()));
  tell(to, "call_reply", host->call(ctx, PINTLE_STR("a.ping"), 1, PINTLE_STR("ping"), none, 100, nowhere));
  tell(to, "subscribe_handler", host->events->subscribe(ctx, PINTLE_STR("probe.null"), NULL, NULL, NULL, NULL, NULL));
  tell(to, "cron_handler",
       host->scheduler->cron(ctx, PINTLE_STR("null"), PINTLE_STR("@daily"), NULL, NULL, NULL, NULL, NULL));
  tell(to, "interval_handler", host->scheduler->interval(ctx, PINTLE_STR("null"), 100000, NULL, NULL, NULL, NULL, NULL));
  tell(to, "once_handler", host->scheduler->once(ctx, PINTLE_STR("null"), 100000, NULL, NULL, NULL, NULL, NULL));
  tell(to, "config_get_out", host->config->get(ctx, word, nowhere));
  tell(to, "config_text_out", host->config->text(ctx, word, nowhere));
  tell(to, "config_integer_out", host->config->integer(ctx, PINTLE_STR("/n"), NULL));
  tell(to, "config_number_out", host->config->number(ctx, PINTLE_STR("/n"), NULL));
  tell(to, "config_boolean_out", host->config->boolean(ctx, PINTLE_STR("/n"), NULL));
  tell(to, "log_fields", host->log->write(ctx, PINTLE_LOG_INFO, word, NULL, 2));
  tell(to, "log_enabled_out", host->log->enabled(ctx, PINTLE_LOG_INFO, NULL));
  tell(to, "logger_out", host->log->logger_new(ctx, NULL, 0, NULL));
  tell(to, "hold_out", host->hold(ctx, NULL));
  tell(to, "scope_out", host->scope(ctx, NULL, pintle_discard_sink()));
  tell(to, "remaining_out", host->remaining(ctx, NULL));
  tell(to, "service_table", host->service(ctx, PINTLE_STR("pintle.log"), 1, 8, NULL, NULL));
  tell(to, "service_itself", host->service(ctx, PINTLE_STR("pintle.log"), 1, 8, &table, NULL));
  tell_number(to, "last_error_out", host->last_error(ctx, nowhere));
  tell(to, "emit_empty_null", host->events->emit(ctx, good, none, NULL));
  tell(to, "sync_all_null", host->events->emit_sync(ctx, good, none, NULL, 1000, NULL, NULL, NULL));
  item_pointers(to);
}

/* Lengths that no memory can have, with pointers that are good. */
static void lengths(answer *to) {
  pintle_ctx ctx = to->ctx;
  pintle_field field = pintle_field_integer(PINTLE_STR("n"), 1);
  size_t huge = (size_t)1 << 63;
  pintle_bytes data = pintle_bytesn("x", huge);
  pintle_logger logger;
  texts(to, pintle_strn("out.x", huge));
  tell(to, "emit_data", host->events->emit(ctx, PINTLE_STR("out.x"), data, NULL));
  tell(to, "sync_data", host->events->emit_sync(ctx, PINTLE_STR("out.x"), data, NULL, 1000, NULL, NULL, NULL));
  tell(to, "call_request",
       host->call(ctx, PINTLE_STR("a.ping"), 1, PINTLE_STR("ping"), data, 100, pintle_discard_sink()));
  tell(to, "log_count", host->log->write(ctx, PINTLE_LOG_INFO, PINTLE_STR("m"), &field, huge));
  tell(to, "logger_count", host->log->logger_new(ctx, &field, huge, &logger));
  tell(to, "emit_topic_max", host->events->emit(ctx, pintle_strn("out.x", SIZE_MAX), pintle_bytesn(NULL, 0), NULL));
  data.len = SIZE_MAX;
  tell(to, "emit_data_max", host->events->emit(ctx, PINTLE_STR("out.x"), data, NULL));
  item_lengths(to);
}

/* Sizes, flags and values of structs that no host of today knows. */
static void options(answer *to) {
  pintle_ctx ctx = to->ctx;
  struct {
    pintle_emit_options known;
    char later[4200];
  } emit;
  pintle_subscribe_options subscribe = {0};
  pintle_job_options job = {0};
  pintle_field field = pintle_field_integer(PINTLE_STR("n"), 1);
  pintle_scope_info info = {0};
  pintle_str topic = PINTLE_STR("out.x"), pattern = PINTLE_STR("probe.options");
  pintle_bytes none = {NULL, 0};
  memset(&emit, 0, sizeof emit);
  tell(to, "emit_size_zero", host->events->emit(ctx, topic, none, &emit.known));
  emit.known.size = 8;
  tell(to, "emit_size_older", host->events->emit(ctx, topic, none, &emit.known));
  emit.known.size = sizeof emit.known + 64;
  tell(to, "emit_tail_zero", host->events->emit(ctx, topic, none, &emit.known));
  emit.later[63] = 1;
  tell(to, "emit_tail_set", host->events->emit(ctx, topic, none, &emit.known));
  tell(to, "sync_tail_set", host->events->emit_sync(ctx, topic, none, &emit.known, 1000, NULL, NULL, NULL));
  emit.later[63] = 0;
  emit.known.size = 4097;
  tell(to, "emit_size_huge", host->events->emit(ctx, topic, none, &emit.known));
  emit.known.size = sizeof emit.known;
  emit.known.flags = 0x80000000u;
  tell(to, "emit_flag", host->events->emit(ctx, topic, none, &emit.known));
  tell(to, "sync_flag", host->events->emit_sync(ctx, topic, none, &emit.known, 1000, NULL, NULL, NULL));
  emit.known.flags = 0;
  emit.known.wait_ms = -1;
  tell(to, "emit_wait_negative", host->events->emit(ctx, topic, none, &emit.known));
  emit.known.wait_ms = 60001;
  tell(to, "emit_wait_long", host->events->emit(ctx, topic, none, &emit.known));
  emit.known.wait_ms = 1;
  tell(to, "sync_wait", host->events->emit_sync(ctx, topic, none, &emit.known, 1000, NULL, NULL, NULL));
  emit.known.wait_ms = 0;
  tell(to, "sync_zeroes", host->events->emit_sync(ctx, topic, none, &emit.known, 1000, NULL, NULL, NULL));
  subscribe.size = sizeof subscribe;
  subscribe.policy = 99;
  tell(to, "subscribe_policy", host->events->subscribe(ctx, pattern, on_event, NULL, NULL, &subscribe, NULL));
  subscribe.policy = 0, subscribe.capacity = 65537;
  tell(to, "subscribe_capacity", host->events->subscribe(ctx, pattern, on_event, NULL, NULL, &subscribe, NULL));
  subscribe.capacity = 0, subscribe.flags = 4;
  tell(to, "subscribe_flag", host->events->subscribe(ctx, pattern, on_event, NULL, NULL, &subscribe, NULL));
  job.size = sizeof job;
  job.overlap = 99;
  tell(to, "job_overlap", host->scheduler->interval(ctx, PINTLE_STR("options"), 100000, on_run, NULL, NULL, &job, NULL));
  job.overlap = 0, job.reserved = 1;
  tell(to, "job_reserved", host->scheduler->interval(ctx, PINTLE_STR("options"), 100000, on_run, NULL, NULL, &job, NULL));
  job.reserved = 0, job.flags = 0x80000000u;
  tell(to, "job_flag", host->scheduler->interval(ctx, PINTLE_STR("options"), 100000, on_run, NULL, NULL, &job, NULL));
  field.size = 0;
  tell(to, "field_size_zero", host->log->write(ctx, PINTLE_LOG_INFO, topic, &field, 1));
  field.size = 4097;
  tell(to, "field_size_huge", host->log->write(ctx, PINTLE_LOG_INFO, topic, &field, 1));
  field.size = sizeof field, field.kind = 99;
  tell(to, "field_kind", host->log->write(ctx, PINTLE_LOG_INFO, topic, &field, 1));
  tell(to, "log_level", host->log->write(ctx, 99, topic, NULL, 0));
  info.size = 0;
  tell(to, "scope_size_zero", host->scope(ctx, &info, pintle_discard_sink()));
  info.size = 8, info.generation = 12345;
  tell(to, "scope_size_short", host->scope(ctx, &info, pintle_discard_sink()));
  tell_number(to, "scope_generation_untouched", info.generation == 12345);
  item_options(to);
}

/* Values just outside of what is allowed. */
static void limits(answer *to) {
  pintle_ctx ctx = to->ctx;
  const pintle_scheduler *jobs = host->scheduler;
  size_t mebibyte = (size_t)1 << 20;
  uint8_t *large = calloc(1, mebibyte + 1);
  char topic[258];
  pintle_field fields[65];
  pintle_str name = PINTLE_STR("limits");
  pintle_bytes none = {NULL, 0};
  pintle_sink sink = pintle_discard_sink();
  int at;
  if (large == NULL) return;
  memset(topic, 'a', sizeof topic);
  for (at = 0; at < 65; at++) fields[at] = pintle_field_integer(PINTLE_STR("n"), at);
  tell(to, "emit_1_mib", host->events->emit(ctx, PINTLE_STR("out.x"), pintle_bytesn(large, mebibyte), NULL));
  tell(to, "emit_more", host->events->emit(ctx, PINTLE_STR("out.x"), pintle_bytesn(large, mebibyte + 1), NULL));
  tell(to, "sync_1_mib", host->events->emit_sync(ctx, PINTLE_STR("out.x"), pintle_bytesn(large, mebibyte), NULL, 1000, NULL, NULL, NULL));
  tell(to, "sync_more", host->events->emit_sync(ctx, PINTLE_STR("out.x"), pintle_bytesn(large, mebibyte + 1), NULL, 1000, NULL, NULL, NULL));
  tell(to, "sync_topic_257", host->events->emit_sync(ctx, pintle_strn(topic, 257), none, NULL, 1000, NULL, NULL, NULL));
  tell(to, "sync_wildcard", host->events->emit_sync(ctx, PINTLE_STR("out.*"), none, NULL, 1000, NULL, NULL, NULL));
  tell(to, "sync_not_granted", host->events->emit_sync(ctx, PINTLE_STR("other"), none, NULL, 1000, NULL, NULL, NULL));
  tell(to, "sync_timeout_negative", host->events->emit_sync(ctx, PINTLE_STR("out.x"), none, NULL, -1, NULL, NULL, NULL));
  tell(to, "sync_timeout_long", host->events->emit_sync(ctx, PINTLE_STR("out.x"), none, NULL, 3600001, NULL, NULL, NULL));
  tell(to, "sync_timeout_most", host->events->emit_sync(ctx, PINTLE_STR("out.x"), none, NULL, 3600000, NULL, NULL, NULL));
  tell(to, "call_more", host->call(ctx, PINTLE_STR("a.ping"), 1, PINTLE_STR("ping"), pintle_bytesn(large, mebibyte + 1), 100, sink));
  memcpy(topic, "out.", 4);
  tell(to, "emit_topic_257", host->events->emit(ctx, pintle_strn(topic, 257), none, NULL));
  tell(to, "emit_17_tokens",
       host->events->emit(ctx, PINTLE_STR("out.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17"), none, NULL));
  tell(to, "emit_topic_empty", host->events->emit(ctx, PINTLE_STR(""), none, NULL));
  tell(to, "emit_empty_token", host->events->emit(ctx, PINTLE_STR("out..x"), none, NULL));
  tell(to, "emit_wildcard", host->events->emit(ctx, PINTLE_STR("out.*"), none, NULL));
  tell(to, "emit_not_granted", host->events->emit(ctx, PINTLE_STR("other"), none, NULL));
  tell(to, "subscribe_not_granted",
       host->events->subscribe(ctx, PINTLE_STR("other.>"), on_event, NULL, NULL, NULL, NULL));
  tell(to, "subscribe_bad_pattern",
       host->events->subscribe(ctx, PINTLE_STR("probe.>.x"), on_event, NULL, NULL, NULL, NULL));
  tell(to, "call_not_granted", host->call(ctx, PINTLE_STR("b.ping"), 1, PINTLE_STR("ping"), none, 100, sink));
  tell(to, "call_timeout_negative", host->call(ctx, PINTLE_STR("a.ping"), 1, PINTLE_STR("ping"), none, -1, sink));
  tell(to, "call_timeout_long", host->call(ctx, PINTLE_STR("a.ping"), 1, PINTLE_STR("ping"), none, 3600001, sink));
  tell(to, "log_64_fields", host->log->write(ctx, PINTLE_LOG_INFO, name, fields, 64));
  tell(to, "log_65_fields", host->log->write(ctx, PINTLE_LOG_INFO, name, fields, 65));
  tell(to, "interval_zero", jobs->interval(ctx, name, 0, on_run, NULL, NULL, NULL, NULL));
  tell(to, "interval_negative", jobs->interval(ctx, name, -1, on_run, NULL, NULL, NULL, NULL));
  tell(to, "interval_long", jobs->interval(ctx, name, INT64_C(31622400001), on_run, NULL, NULL, NULL, NULL));
  tell(to, "once_negative", jobs->once(ctx, name, -1, on_run, NULL, NULL, NULL, NULL));
  tell(to, "once_min", jobs->once(ctx, name, INT64_MIN, on_run, NULL, NULL, NULL, NULL));
  tell(to, "once_long", jobs->once(ctx, name, INT64_MAX, on_run, NULL, NULL, NULL, NULL));
  tell(to, "cron_rule", jobs->cron(ctx, name, PINTLE_STR("61 * * * *"), on_run, NULL, NULL, NULL, NULL));
  tell(to, "config_pointer", host->config->get(ctx, PINTLE_STR("word"), sink));
  tell(to, "config_missing", host->config->get(ctx, PINTLE_STR("/missing"), sink));
  tell(to, "config_wrong_type", host->config->text(ctx, PINTLE_STR("/n"), sink));
  free(large);
  item_limits(to);
}

/* The same calls with a context that may be anybody's. `front` tells the cases apart. */
static void use(answer *to, const char *front, pintle_ctx ctx) {
  char name[64];
  pintle_scope_info info = {0};
  pintle_ctx held = 0;
  int64_t ms;
  uint32_t enabled;
  info.size = sizeof info;
#define CASE(what, expression)                        \
  snprintf(name, sizeof name, "%s%s", front, what); \
  tell_of(to, name, ctx, expression)
  CASE("scope", host->scope(ctx, &info, pintle_discard_sink()));
  CASE("emit", host->events->emit(ctx, PINTLE_STR("out.used"), pintle_bytesn("1", 1), NULL));
  CASE("sync", host->events->emit_sync(ctx, PINTLE_STR("out.used"), pintle_bytesn(NULL, 0), NULL, 1000, NULL, NULL, NULL));
  CASE("subscribe", host->events->subscribe(ctx, PINTLE_STR("probe.used"), on_event, NULL, NULL, NULL, NULL));
  CASE("job", host->scheduler->once(ctx, PINTLE_STR("used"), 100000000, on_run, NULL, NULL, NULL, NULL));
  CASE("log", host->log->write(ctx, PINTLE_LOG_INFO, PINTLE_STR("used"), NULL, 0));
  CASE("enabled", host->log->enabled(ctx, PINTLE_LOG_INFO, &enabled));
  CASE("config", host->config->get(ctx, PINTLE_STR("/word"), pintle_discard_sink()));
  CASE("remaining", host->remaining(ctx, &ms));
  CASE("hold", host->hold(ctx, &held));
  if (held != 0) host->release(held);
  CASE("call", host->call(ctx, PINTLE_STR("a.ping"), 1, PINTLE_STR("ping"), pintle_bytesn(NULL, 0), 0, pintle_discard_sink()));
  CASE("set_error", host->set_error(ctx, PINTLE_STR("used")));
#undef CASE
  item_use(to, front, ctx);
}

/* Zero, small numbers, neighbours of a good one, and 100,000 guesses. */
static void contexts(answer *to) {
  pintle_ctx ctx = to->ctx, guess = ctx;
  pintle_scope_info info = {0};
  long long answered = 0;
  int at;
  use(to, "zero_", 0);
  use(to, "one_", 1);
  use(to, "all_ones_", UINT64_MAX);
  use(to, "next_", ctx + 1);
  use(to, "one_bit_", ctx ^ ((pintle_ctx)1 << 40));
  tell_of(to, "release_zero", 0, host->release(0));
  tell_of(to, "release_forged", 12345, host->release(12345));
  info.size = sizeof info;
  for (at = 0; at < 100000; at++) {
    guess = guess * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    if (host->scope(guess, &info, pintle_discard_sink()) != PINTLE_STALE_HANDLE) answered++;
  }
  tell_number(to, "guesses_not_stale", answered);
}

typedef struct {
  answer *to;
  const char *front;
  pintle_ctx ctx;
} elsewhere;

static void *use_elsewhere(void *data) {
  elsewhere *here = data;
  use(here->to, here->front, here->ctx);
  return NULL;
}

/* On a thread of the plugin's own, which has ended when this returns. */
static void use_on_thread(answer *to, const char *front, pintle_ctx ctx) {
  elsewhere there;
  pthread_t thread;
  there.to = to, there.front = front, there.ctx = ctx;
  if (pthread_create(&thread, NULL, use_elsewhere, &there) == 0) pthread_join(thread, NULL);
}

/* What a few functions answer; the first that is not STALE_HANDLE if they differ. */
static pintle_status in_child(pintle_ctx ctx) {
  pintle_scope_info info = {0};
  pintle_sink sink = {NULL, NULL}, taking = pintle_discard_sink();
  pintle_str key = PINTLE_STR("child");
  pintle_bytes value = pintle_bytesn("x", 1);
  pintle_status status;
  info.size = sizeof info;
  if ((status = host->scope(ctx, &info, sink)) != PINTLE_STALE_HANDLE) return status;
  if ((status = host->cache->set(ctx, key, key, value, NULL)) != PINTLE_STALE_HANDLE) return status;
  if ((status = host->cache->get(ctx, key, key, taking, NULL)) != PINTLE_STALE_HANDLE) return status;
  if ((status = host->storage->set(ctx, key, value, NULL, NULL)) != PINTLE_STALE_HANDLE) return status;
  return host->storage->get(ctx, key, taking, NULL);
}

/* What a forked child gets for the running call's context and for the plugin's own; 200 if a signal ended it. */
static void forked(answer *to) {
  pintle_ctx tried[2];
  int at;
  tried[0] = to->ctx, tried[1] = own;
  for (at = 0; at < 2; at++) {
    int end = 0;
    pid_t child = fork();
    if (child == 0) {
      alarm(5);
      _exit(in_child(tried[at]));
    }
    if (child > 0) waitpid(child, &end, 0);
    tell_number(to, at == 0 ? "child_call" : "child_own", child > 0 && WIFEXITED(end) ? WEXITSTATUS(end) : 200);
  }
  use(to, "parent_", to->ctx);
}

/* ---- sinks ---- */

static pintle_status emit_inside(void *data, pintle_bytes piece) {
  answer *to = data;
  pintle_scope_info info = {0};
  (void)piece;
  info.size = sizeof info;
  tell(to, "inside_emit", host->events->emit(to->ctx, PINTLE_STR("out.inside"), pintle_bytesn(NULL, 0), NULL));
  tell(to, "inside_scope", host->scope(to->ctx, &info, pintle_discard_sink()));
  tell(to, "inside_config", host->config->get(to->ctx, PINTLE_STR("/word"), pintle_discard_sink()));
  tell(to, "inside_log", host->log->write(to->ctx, PINTLE_LOG_INFO, PINTLE_STR("inside"), NULL, 0));
  tell(to, "inside_set_error", host->set_error(to->ctx, PINTLE_STR("inside")));
  tell_number(to, "inside_last_error", host->last_error(to->ctx, pintle_discard_sink()));
  return PINTLE_OK;
}

static void sinks(answer *to) {
  pintle_ctx ctx = to->ctx;
  pintle_str word = PINTLE_STR("/word");
  pintle_sink refusing = {NULL, refuse}, calling = {NULL, emit_inside};
  pintle_scope_info info = {0};
  calling.data = to;
  info.size = sizeof info;
  tell(to, "refused_get", host->config->get(ctx, word, refusing));
  tell(to, "refused_text", host->config->text(ctx, word, refusing));
  tell(to, "refused_scope", host->scope(ctx, &info, refusing));
  tell(to, "refused_call", host->call(ctx, PINTLE_STR("a.ping"), 1, PINTLE_STR("ping"), pintle_bytesn(NULL, 0), 1000, refusing));
  tell_number(to, "refused_last_error", host->last_error(ctx, refusing));
  tell(to, "get_around", host->config->get(ctx, word, calling));
  tell(to, "afterwards", host->events->emit(ctx, PINTLE_STR("out.after"), pintle_bytesn(NULL, 0), NULL));
  item_sinks(to);
}

/* Forged and impossible writes to the reply of this very call. */
static void reply_bad(answer *to, pintle_sink reply) {
  tell(to, "null", reply.write(reply.data, pintle_bytesn(NULL, 5)));
  tell(to, "length_2_63", reply.write(reply.data, pintle_bytesn("x", (size_t)1 << 63)));
  tell_of(to, "data_null", 0, reply.write(NULL, pintle_bytesn("x", 1)));
  tell_of(to, "data_forged", 12345, reply.write((void *)(uintptr_t)12345, pintle_bytesn("x", 1)));
}

/* More than a reply takes, in one piece or in `pieces`, and a little behind it: what the writes answer is told by
 * `reply_told`, for this call goes on as if nothing were wrong. */
static pintle_status reply_more(pintle_ctx ctx, int in_pieces, pintle_sink reply) {
  size_t mebibyte = (size_t)1 << 20;
  uint8_t *large = calloc(1, mebibyte + 1);
  if (large == NULL) return PINTLE_BUSY;
  pintle_buf_clear(&more.json);
  more.ctx = ctx;
  tell(&more, "before", pintle_sink_write(reply, "x", 1));
  tell(&more, "more", pintle_sink_write(reply, large, in_pieces ? mebibyte : mebibyte + 1));
  tell(&more, "behind", pintle_sink_write(reply, "x", 1));
  free(large);
  return PINTLE_OK;
}

/* ---- handles ---- */

static void handles(answer *to) {
  pintle_ctx ctx = to->ctx;
  const pintle_events *events = host->events;
  pintle_registration subscription = 0, job = 0;
  pintle_logger logger = 0;
  tell(to, "subscribe", events->subscribe(ctx, PINTLE_STR("probe.handles"), on_event, NULL, NULL, NULL, &subscription));
  tell(to, "subscribe_again", events->subscribe(ctx, PINTLE_STR("probe.handles"), on_event, NULL, NULL, NULL, NULL));
  tell(to, "once", host->scheduler->once(ctx, PINTLE_STR("handles"), 100000000, on_run, NULL, NULL, NULL, &job));
  tell(to, "unsubscribe_zero", events->unsubscribe(ctx, 0));
  tell(to, "unsubscribe_forged", events->unsubscribe(ctx, subscription + 1000));
  tell(to, "unsubscribe_a_job", events->unsubscribe(ctx, job));
  tell(to, "remove_a_subscription", host->scheduler->remove(ctx, subscription));
  tell(to, "unsubscribe", events->unsubscribe(ctx, subscription));
  tell(to, "unsubscribe_again", events->unsubscribe(ctx, subscription));
  tell(to, "remove", host->scheduler->remove(ctx, job));
  tell(to, "remove_again", host->scheduler->remove(ctx, job));
  tell(to, "logger_new", host->log->logger_new(ctx, NULL, 0, &logger));
  tell(to, "logger_write", host->log->logger_write(ctx, logger, PINTLE_LOG_INFO, PINTLE_STR("m"), NULL, 0));
  tell(to, "logger_forged", host->log->logger_write(ctx, logger + 1000, PINTLE_LOG_INFO, PINTLE_STR("m"), NULL, 0));
  tell(to, "logger_zero", host->log->logger_write(ctx, 0, PINTLE_LOG_INFO, PINTLE_STR("m"), NULL, 0));
  tell(to, "logger_free", host->log->logger_free(ctx, logger));
  tell(to, "logger_free_again", host->log->logger_free(ctx, logger));
  tell(to, "logger_after_free", host->log->logger_write(ctx, logger, PINTLE_LOG_INFO, PINTLE_STR("m"), NULL, 0));
}

static void hold(answer *to) {
  pintle_ctx held = 0;
  tell(to, "hold", host->hold(to->ctx, &held));
  use(to, "held_", held);
  tell_of(to, "release", held, host->release(held));
  tell_of(to, "release_again", held, host->release(held));
  use(to, "released_", held);
  tell(to, "release_a_calls", host->release(to->ctx));
  tell_of(to, "release_the_own", own, host->release(own));
}

/* A decimal number; anything else is 0. */
static uint64_t decimal(pintle_bytes text) {
  uint64_t value = 0;
  size_t at;
  for (at = 0; at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9'; at++)
    value = value * 10 + (uint64_t)(text.ptr[at] - '0');
  return value;
}

/* ---- the plugin ---- */

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  *state = NULL;
  host = given;
  own = ctx;
  return PINTLE_OK;
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  answer to = {{NULL, 0, 0}, 0};
  pintle_status status;
  char number[32];
  (void)state;
  to.ctx = ctx;
#define METHOD(name) pintle_str_eq(request->method, PINTLE_STR(name))
  if (METHOD("tables")) tables(&to);
  else if (METHOD("pointers")) pointers(&to);
  else if (METHOD("utf8")) texts(&to, pintle_strn("out.\xff\xfe", 6));
  else if (METHOD("nul")) texts(&to, pintle_strn("out.\0x", 6));
  else if (METHOD("lengths")) lengths(&to);
  else if (METHOD("options")) options(&to);
  else if (METHOD("limits")) limits(&to);
  else if (METHOD("contexts")) contexts(&to);
  else if (METHOD("stash")) stashed = ctx;
  else if (METHOD("stale")) use(&to, "same_", stashed), use_on_thread(&to, "other_", stashed);
  else if (METHOD("thread")) use_on_thread(&to, "call_", ctx), use_on_thread(&to, "own_", own);
  else if (METHOD("use")) use(&to, "", decimal(request->data)), use_on_thread(&to, "other_", decimal(request->data));
  else if (METHOD("fork")) forked(&to);
  else if (METHOD("sinks")) sinks(&to);
  else if (METHOD("reply_stash")) late = reply;
  else if (METHOD("reply_late")) tell_of(&to, "late", (pintle_ctx)(uintptr_t)late.data, late.write(late.data, pintle_bytesn("late", 4)));
  else if (METHOD("reply_bad")) reply_bad(&to, reply);
  else if (METHOD("reply_more")) return reply_more(ctx, request->data.len > 0, reply);
  else if (METHOD("reply_passed")) {
    pintle_buf_clear(&more.json);
    more.ctx = ctx;
    return reply_passed(&more, pintle_strn((const char *)request->data.ptr, request->data.len), reply);
  } else if (METHOD("reply_told")) add(&to.json, (const char *)more.json.ptr);
  else if (METHOD("handles")) handles(&to);
  else if (METHOD("hold")) hold(&to);
  else if (METHOD("own")) {
    snprintf(number, sizeof number, "%llu", (unsigned long long)own);
    return pintle_sink_write(reply, number, strlen(number));
  } else if (METHOD("fail")) {
    host->set_error(ctx, pintle_strn("probe was told to fail", 22));
    return (pintle_status)decimal(request->data);
  } else return PINTLE_UNSUPPORTED;
#undef METHOD
  status = pintle_sink_write(reply, "{", 1);
  if (status == PINTLE_OK) status = pintle_sink_write(reply, to.json.ptr, to.json.len);
  if (status == PINTLE_OK) status = pintle_sink_write(reply, "}", 1);
  pintle_buf_free(&to.json);
  return status;
}

/* What is left in a static is out of reach once the library is gone. */
static void unload(void *state, pintle_ctx ctx) {
  (void)state, (void)ctx;
  pintle_buf_free(&more.json);
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT(TEXT(NAME)),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
  .unload = unload,
  .call = call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
