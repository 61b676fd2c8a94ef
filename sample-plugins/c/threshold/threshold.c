/* threshold: raises an alarm when a sample of sysmon crosses its limit, and clears it when it is back.
 *
 *   cc -shared -fPIC -O2 -Iinclude sample-plugins/c/threshold/threshold.c -o threshold.so
 *
 * Emits plugin.threshold.alarm with {"topic","field","value","limit","state":"raised"|"cleared"}.
 * Samples are flat JSON objects; numbers are passed on as they were written, so that no locale can spoil them.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <pintle/plugin.h>

PINTLE_MANIFEST({
  "id": "threshold", "version": "0.1.0", "abi": "1.0",
  "name": "Threshold", "description": "Raises alarms when samples of sysmon cross their limits",
  "license": "MIT OR Apache-2.0",
  "services": { "events": { "subscribe": ["plugin.sysmon.>"], "publish": ["alarm"] } },
  "config": {
    "type": "object",
    "properties": {
      "cpu_above": { "type": "number", "default": 90 },
      "memory_above": { "type": "number", "default": 90 },
      "load_above": { "type": "number", "default": 8 }
    },
    "additionalProperties": false
  },
  "state": 1
});

enum { RULES = 3, NUMBER_SIZE = 40 };

static const struct {
  const char *topic, *field, *setting, *pointer;
} rules[RULES] = {
  {"plugin.sysmon.cpu", "busy", "cpu_above", "/cpu_above"},
  {"plugin.sysmon.memory", "used", "memory_above", "/memory_above"},
  {"plugin.sysmon.load", "load1", "load_above", "/load_above"},
};

/* A number, and how it was written. */
typedef struct {
  double value;
  char text[NUMBER_SIZE];
} number;

typedef struct {
  number limits[RULES];
  uint8_t raised[RULES];
} threshold;

static const pintle_host *host;

/* Fails with a text. */
static pintle_status fail(pintle_ctx ctx, pintle_status status, const char *what, const char *which) {
  pintle_buf text = {0};
  if (pintle_buf_write(&text, what, strlen(what)) == PINTLE_OK &&
      pintle_buf_write(&text, which, strlen(which)) == PINTLE_OK)
    host->set_error(ctx, pintle_buf_str(&text));
  pintle_buf_free(&text);
  return status;
}

/* Fails as the host did, with the host's text. */
static pintle_status pass_on(pintle_ctx ctx, pintle_status status) {
  pintle_buf text = {0};
  if (host->last_error(ctx, pintle_buf_sink(&text)) == PINTLE_OK) host->set_error(ctx, pintle_buf_str(&text));
  pintle_buf_free(&text);
  return status;
}

static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* Reads a JSON number that fills `text` from start to end. strtod would ask the locale for the decimal point. */
static int parse_number(pintle_str text, number *out) {
  double value = 0, scale = 1;
  int exponent = 0, below = 0;
  size_t at = 0, digits;
  if (text.len == 0 || text.len >= NUMBER_SIZE) return 0;
  if (text.ptr[0] == '-') at = 1;
  for (digits = at; at < text.len && is_digit(text.ptr[at]); at++) value = value * 10 + (text.ptr[at] - '0');
  if (at == digits) return 0;
  if (at < text.len && text.ptr[at] == '.') {
    for (digits = ++at; at < text.len && is_digit(text.ptr[at]); at++, scale *= 10)
      value = value * 10 + (text.ptr[at] - '0');
    if (at == digits) return 0;
  }
  if (at < text.len && (text.ptr[at] == 'e' || text.ptr[at] == 'E')) {
    at++;
    if (at < text.len && (text.ptr[at] == '+' || text.ptr[at] == '-')) below = text.ptr[at++] == '-';
    for (digits = at; at < text.len && is_digit(text.ptr[at]); at++)
      if (exponent < 1000) exponent = exponent * 10 + (text.ptr[at] - '0');
    if (at == digits) return 0;
  }
  if (at != text.len) return 0;
  value /= scale; /* whole digits divided by a power of ten: as exact as up to 15 digits can be */
  for (; exponent > 0 && value != 0; exponent--) value = below ? value / 10 : value * 10;
  out->value = text.ptr[0] == '-' ? -value : value;
  memcpy(out->text, text.ptr, text.len);
  out->text[text.len] = 0;
  return 1;
}

/* The index of the quote that ends the string whose first character is at `at`; `len` if none does. */
static size_t string_end(const char *json, size_t len, size_t at) {
  while (at < len && json[at] != '"') at += json[at] == '\\' ? 2 : 1;
  return at < len ? at : len;
}

/* Finds a number in a JSON object by its name. Names inside nested values do not count. */
static int find_number(pintle_bytes data, const char *name, number *out) {
  const char *json = (const char *)data.ptr;
  size_t at, start, end, depth = 0;
  for (at = 0; at < data.len; at++) {
    if (json[at] == '{' || json[at] == '[') depth++;
    if (json[at] == '}' || json[at] == ']') depth--;
    if (json[at] != '"') continue;
    start = at + 1;
    at = end = string_end(json, data.len, start);
    if (depth != 1 || end - start != strlen(name) || memcmp(json + start, name, end - start) != 0) continue;
    for (at++; at < data.len && strchr(" \t\r\n", json[at]) != NULL && json[at] != 0; at++) continue;
    if (at >= data.len || json[at] != ':') continue; /* a value that reads like the name */
    for (at++; at < data.len && strchr(" \t\r\n", json[at]) != NULL && json[at] != 0; at++) continue;
    for (start = at; at < data.len && (is_digit(json[at]) || strchr("+-.eE", json[at]) != NULL) && json[at] != 0; at++)
      continue;
    return parse_number(pintle_strn(json + start, at - start), out);
  }
  return 0;
}

static pintle_status add(pintle_buf *buf, const char *text) { return pintle_buf_write(buf, text, strlen(text)); }

/* Emits the alarm and logs it. Where that fails nothing has changed, and the next sample tries again. */
static pintle_status announce(pintle_ctx ctx, const threshold *self, int rule, const number *value, int raised) {
  const char *state = raised ? "raised" : "cleared";
  const char *parts[11];
  pintle_buf data = {0};
  pintle_field fields[4];
  pintle_status status = PINTLE_OK;
  size_t at;
  parts[0] = "{\"topic\":\"", parts[1] = rules[rule].topic;
  parts[2] = "\",\"field\":\"", parts[3] = rules[rule].field;
  parts[4] = "\",\"value\":", parts[5] = value->text;
  parts[6] = ",\"limit\":", parts[7] = self->limits[rule].text;
  parts[8] = ",\"state\":\"", parts[9] = state, parts[10] = "\"}";
  for (at = 0; at < 11 && status == PINTLE_OK; at++) status = add(&data, parts[at]);
  if (status == PINTLE_OK) {
    status = host->events->emit(ctx, PINTLE_STR("alarm"), pintle_bytesn(data.ptr, data.len), NULL);
    if (status != PINTLE_OK) pass_on(ctx, status);
  }
  pintle_buf_free(&data);
  if (status != PINTLE_OK) return status;

  fields[0] = pintle_field_text(PINTLE_STR("topic"), pintle_cstr(rules[rule].topic));
  fields[1] = pintle_field_text(PINTLE_STR("field"), pintle_cstr(rules[rule].field));
  fields[2] = pintle_field_number(PINTLE_STR("value"), value->value);
  fields[3] = pintle_field_number(PINTLE_STR("limit"), self->limits[rule].value);
  if (raised)
    host->log->write(ctx, PINTLE_LOG_WARN, PINTLE_STR("alarm raised"), fields, 4);
  else
    host->log->write(ctx, PINTLE_LOG_INFO, PINTLE_STR("alarm cleared"), fields, 4);
  return PINTLE_OK;
}

static pintle_status on_sample(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  threshold *self = user;
  number value;
  int rule, above;
  (void)reply;
  for (rule = 0; rule < RULES; rule++) {
    pintle_status status;
    if (!pintle_str_eq(event->topic, pintle_cstr(rules[rule].topic))) continue;
    if (!find_number(event->data, rules[rule].field, &value))
      return fail(ctx, PINTLE_INVALID_ARGUMENT, "the sample has no number called ", rules[rule].field);
    above = value.value > self->limits[rule].value;
    if (above == self->raised[rule]) return PINTLE_OK;
    status = announce(ctx, self, rule, &value, above);
    if (status == PINTLE_OK) self->raised[rule] = (uint8_t)above;
    return status;
  }
  return PINTLE_OK; /* a sample that no rule is about */
}

static pintle_status read_limits(pintle_ctx ctx, number limits[RULES]) {
  pintle_buf text = {0};
  pintle_status status = PINTLE_OK;
  int rule;
  for (rule = 0; rule < RULES && status == PINTLE_OK; rule++) {
    pintle_buf_clear(&text);
    status = host->config->get(ctx, pintle_cstr(rules[rule].pointer), pintle_buf_sink(&text));
    if (status != PINTLE_OK)
      pass_on(ctx, status);
    else if (!parse_number(pintle_buf_str(&text), &limits[rule]))
      status = fail(ctx, PINTLE_WRONG_TYPE, "the config has a number that cannot be read: ", rules[rule].setting);
  }
  pintle_buf_free(&text);
  return status;
}

static pintle_status on_load(pintle_ctx ctx, const pintle_host *given, void **state) {
  threshold *self;
  pintle_status status;
  host = given;
  self = calloc(1, sizeof *self);
  if (self == NULL) return fail(ctx, PINTLE_TOO_LARGE, "there is no memory for ", "the plugin's state");
  status = read_limits(ctx, self->limits);
  if (status == PINTLE_OK) {
    status = host->events->subscribe(ctx, PINTLE_STR("plugin.sysmon.>"), on_sample, self, NULL, NULL, NULL);
    if (status != PINTLE_OK) pass_on(ctx, status);
  }
  if (status != PINTLE_OK) {
    free(self);
    return status;
  }
  *state = self;
  return PINTLE_OK;
}

static void on_unload(void *state, pintle_ctx ctx) {
  (void)ctx;
  free(state);
}

/* New limits count from the next sample on. */
static pintle_status on_configure(void *state, pintle_ctx ctx, pintle_bytes config) {
  threshold *self = state;
  number limits[RULES];
  int rule;
  for (rule = 0; rule < RULES; rule++)
    if (!find_number(config, rules[rule].setting, &limits[rule]))
      return fail(ctx, PINTLE_INVALID_ARGUMENT, "the config has no number called ", rules[rule].setting);
  memcpy(self->limits, limits, sizeof limits);
  return PINTLE_OK;
}

/* A reload neither raises an alarm again nor forgets to clear it. */
static pintle_status on_save(void *state, pintle_ctx ctx, pintle_sink out) {
  threshold *self = state;
  (void)ctx;
  return pintle_sink_write(out, self->raised, sizeof self->raised);
}

static pintle_status on_restore(void *state, pintle_ctx ctx, uint32_t schema, pintle_bytes saved) {
  threshold *self = state;
  int rule;
  if (saved.len == 0) return PINTLE_OK;
  if (schema != 1 || saved.len != sizeof self->raised)
    return fail(ctx, PINTLE_UNSUPPORTED, "the saved state is not of version 1: ", "load it without the old state");
  for (rule = 0; rule < RULES; rule++) self->raised[rule] = saved.ptr[rule] != 0;
  return PINTLE_OK;
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("threshold"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = on_load,
  .unload = on_unload,
  .configure = on_configure,
  .save = on_save,
  .restore = on_restore,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
