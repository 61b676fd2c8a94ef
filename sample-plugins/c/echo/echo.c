/* echo-c: remembers what it hears on `echo.>`, for each tenant, and answers for it. Its twins are echo-cpp
 * (sample-plugins/cpp/echo) and echo-rust (sample-plugins/rust/echo): from outside they differ in nothing but the id.
 *
 *   cc -shared -fPIC -O2 -Iinclude sample-plugins/c/echo/echo.c -o echo.so
 *
 * With each event it
 *   - counts the topic in the cache, in the namespace `seen`, for `window_ms` (config, 60,000) from the first on;
 *   - keeps the data in the storage, under the topic;
 *   - logs `heard` with the fields topic and seen (the host adds the tenant);
 *   - emits plugin.echo-c.heard with {"topic":"…","seen":N,"tenant":"…"}, the tenant empty in the system scope;
 *   - replies with the data, for publishers that wait.
 *
 * Service `echo-c.run` 1, for the caller's tenant:
 *   latest   a topic         the data that was last heard on it; NOT_FOUND if there was none
 *   seen     a topic         how often in its window, decimal
 *   topics   a prefix        the topics that begin with it, a line each
 *   forget                   forgets counts and data; how many topics there were
 *   fail                     CONFLICT, to see how a failure looks
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <pintle/plugin.h>

#include <stdio.h>

PINTLE_MANIFEST({
  "id": "echo-c", "version": "0.1.0", "abi": "1.0",
  "name": "Echo in C", "description": "Remembers what it hears on echo.> and answers for it",
  "license": "MIT OR Apache-2.0",
  "services": {
    "cache": { "methods": ["get", "incr", "remove"], "namespaces": ["seen"] },
    "storage": { "methods": ["get", "set", "keys", "clear"] },
    "events": { "subscribe": ["echo.>"], "publish": ["heard"] }
  },
  "provides": { "echo-c.run": { "major": 1, "methods": ["latest", "seen", "topics", "forget", "fail"] } },
  "config": {
    "type": "object",
    "properties": { "window_ms": { "type": "integer", "minimum": 1, "default": 60000 } },
    "additionalProperties": false
  }
});

static const pintle_str seen = PINTLE_STR_INIT("seen");
static const pintle_host *host;

/* Fails as the host did, with the host's text. */
static pintle_status pass_on(pintle_ctx ctx, pintle_status status) {
  pintle_buf text = {0};
  if (status != PINTLE_OK && host->last_error(ctx, pintle_buf_sink(&text)) == PINTLE_OK)
    host->set_error(ctx, pintle_buf_str(&text));
  pintle_buf_free(&text);
  return status;
}

static pintle_status add(pintle_buf *buf, const char *text) { return pintle_buf_write(buf, text, strlen(text)); }

/* A string of JSON, with its quotes: a tenant may be called anything. */
static pintle_status add_json(pintle_buf *buf, pintle_str text) {
  pintle_status status = add(buf, "\"");
  size_t at;
  for (at = 0; at < text.len && status == PINTLE_OK; at++) {
    const char c = text.ptr[at];
    char escaped[8];
    if (c == '"' || c == '\\')
      sprintf(escaped, "\\%c", c);
    else if ((unsigned char)c < 0x20)
      sprintf(escaped, "\\u%04x", (unsigned)c);
    else
      sprintf(escaped, "%c", c);
    status = add(buf, escaped);
  }
  return status == PINTLE_OK ? add(buf, "\"") : status;
}

static pintle_status add_number(pintle_buf *buf, long long number) {
  char text[24];
  sprintf(text, "%lld", number);
  return add(buf, text);
}

static pintle_status tell(pintle_ctx ctx, const pintle_event *event, int64_t times) {
  pintle_buf data = {0};
  pintle_status status = add(&data, "{\"topic\":");
  if (status == PINTLE_OK) status = add_json(&data, event->topic);
  if (status == PINTLE_OK) status = add(&data, ",\"seen\":");
  if (status == PINTLE_OK) status = add_number(&data, (long long)times);
  if (status == PINTLE_OK) status = add(&data, ",\"tenant\":");
  if (status == PINTLE_OK) status = add_json(&data, event->tenant);
  if (status == PINTLE_OK) status = add(&data, "}");
  if (status == PINTLE_OK)
    status = pass_on(ctx, host->events->emit(ctx, PINTLE_STR("heard"), pintle_bytesn(data.ptr, data.len), NULL));
  pintle_buf_free(&data);
  return status;
}

static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  pintle_cache_options options = {0};
  pintle_field fields[2];
  pintle_status status;
  int64_t window, times;
  (void)user;
  status = host->config->integer(ctx, PINTLE_STR("/window_ms"), &window);
  if (status != PINTLE_OK) return pass_on(ctx, status);
  options.size = (uint32_t)sizeof options;
  options.flags = PINTLE_CACHE_TTL;
  options.ttl_ms = window;
  status = host->cache->incr(ctx, seen, event->topic, 1, &options, &times);
  if (status != PINTLE_OK) return pass_on(ctx, status);
  status = host->storage->set(ctx, event->topic, event->data, NULL, NULL);
  if (status != PINTLE_OK) return pass_on(ctx, status);

  fields[0] = pintle_field_text(PINTLE_STR("topic"), event->topic);
  fields[1] = pintle_field_integer(PINTLE_STR("seen"), times);
  host->log->write(ctx, PINTLE_LOG_INFO, PINTLE_STR("heard"), fields, 2);
  status = tell(ctx, event, times);
  if (status != PINTLE_OK) return status;
  return pass_on(ctx, pintle_sink_write(reply, event->data.ptr, event->data.len));
}

static pintle_status latest(pintle_ctx ctx, pintle_str topic, pintle_buf *answer) {
  const pintle_status status = host->storage->get(ctx, topic, pintle_buf_sink(answer), NULL);
  if (status == PINTLE_NOT_FOUND) {
    host->set_error(ctx, PINTLE_STR("nothing was heard on that topic"));
    return status;
  }
  return pass_on(ctx, status);
}

/* The digits are what the cache gives for an integer. What is not there was not seen. */
static pintle_status count(pintle_ctx ctx, pintle_str topic, pintle_buf *answer) {
  const pintle_status status = host->cache->get(ctx, seen, topic, pintle_buf_sink(answer), NULL);
  return status == PINTLE_NOT_FOUND ? add(answer, "0") : pass_on(ctx, status);
}

/* Every topic with this prefix, each followed by a NUL. */
static pintle_status list(pintle_ctx ctx, pintle_str prefix, pintle_buf *topics) {
  pintle_buf cursor = {0}, next = {0};
  pintle_status status;
  do {
    pintle_buf before = cursor;
    cursor = next;
    next = before;
    pintle_buf_clear(&next);
    status = host->storage->keys(ctx, prefix, pintle_buf_str(&cursor), 1000, pintle_buf_sink(topics),
                                 pintle_buf_sink(&next));
  } while (status == PINTLE_OK && next.len > 0);
  pintle_buf_free(&cursor);
  pintle_buf_free(&next);
  return pass_on(ctx, status);
}

static pintle_status lines(pintle_ctx ctx, pintle_str prefix, pintle_buf *answer) {
  const pintle_status status = list(ctx, prefix, answer);
  size_t at;
  for (at = 0; at < answer->len; at++)
    if (answer->ptr[at] == 0) answer->ptr[at] = '\n';
  return status;
}

static pintle_status forget(pintle_ctx ctx, pintle_buf *answer) {
  pintle_buf topics = {0};
  uint64_t removed = 0;
  pintle_status status = list(ctx, PINTLE_STR(""), &topics);
  size_t at;
  for (at = 0; at < topics.len && status == PINTLE_OK;) {
    const pintle_str topic = pintle_cstr((const char *)topics.ptr + at);
    status = pass_on(ctx, host->cache->remove(ctx, seen, topic, NULL));
    at += topic.len + 1;
  }
  pintle_buf_free(&topics);
  if (status == PINTLE_OK) status = pass_on(ctx, host->storage->clear(ctx, &removed));
  return status == PINTLE_OK ? add_number(answer, (long long)removed) : status;
}

static pintle_status on_call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  const pintle_str data = pintle_strn((const char *)request->data.ptr, request->data.len);
  pintle_buf answer = {0};
  pintle_status status;
  (void)state;
  if (pintle_str_eq(request->method, PINTLE_STR("latest"))) {
    status = latest(ctx, data, &answer);
  } else if (pintle_str_eq(request->method, PINTLE_STR("seen"))) {
    status = count(ctx, data, &answer);
  } else if (pintle_str_eq(request->method, PINTLE_STR("topics"))) {
    status = lines(ctx, data, &answer);
  } else if (pintle_str_eq(request->method, PINTLE_STR("forget"))) {
    status = forget(ctx, &answer);
  } else if (pintle_str_eq(request->method, PINTLE_STR("fail"))) {
    host->set_error(ctx, PINTLE_STR("echo was told to fail"));
    status = PINTLE_CONFLICT;
  } else {
    status = PINTLE_UNSUPPORTED;
  }
  if (status == PINTLE_OK) status = pass_on(ctx, pintle_sink_write(reply, answer.ptr, answer.len));
  pintle_buf_free(&answer);
  return status;
}

static pintle_status on_load(pintle_ctx ctx, const pintle_host *given, void **state) {
  host = given;
  *state = NULL;
  return pass_on(ctx, host->events->subscribe(ctx, PINTLE_STR("echo.>"), on_event, NULL, NULL, NULL, NULL));
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("echo-c"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = on_load,
  .call = on_call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
