/* threshold: raises an alarm when a sample of sysmon crosses its limit, and clears it when it is back.
 *
 *   cc -shared -fPIC -O2 -Iinclude sample-plugins/c/threshold/threshold.c -o threshold.so
 *
 * Emits plugin.threshold.alarm with
 * {"topic","field","value","limit","state":"raised"|"cleared","count","window_ms","beside":{"memory.used":…}}.
 * `count` is how many alarms of this metric were raised within the window, this one included; a window begins with the
 * first alarm after the last window. It is kept in the cache, whose items end by themselves, and left out where the
 * cache cannot be asked: an alarm is more than its number. `beside` has what the other metrics were lately, as far as the
 * cache knows. Each tenant has alarms and counts of its own. New limits for the system begin with new counts.
 *
 * How many alarms of a metric there ever were is counted in the storage, over restarts, and stands in the log as `total`.
 * Each tenant's alarms are also rows of a table, from which the service threshold.alarms 1 answers `top`: the metrics with the
 * most alarms, as many as the request says, [{"metric","raised","highest"}].
 *
 * The last alarm that was raised of a metric lies in a file, alarms/<metric>.json, for whoever comes later.
 *
 * A sample that comes twice, under the same id, makes one alarm: operations that must happen once are begun and completed
 * with the host, which remembers them over restarts (announce_once).
 *
 * Alarms are durable events: an alarm is on disk before it counts as raised, and whoever follows them with a durable subscription
 * (chronicle does) gets each of them, those too that were raised while it was not there (publish).
 *
 * Samples are flat JSON objects; numbers are passed on as they were written, so that no locale can spoil them.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <pintle/plugin.h>

#include <inttypes.h>
#include <stdio.h>

PINTLE_MANIFEST({
  "id": "threshold", "version": "0.1.0", "abi": "1.0",
  "name": "Threshold", "description": "Raises alarms when samples of sysmon cross their limits",
  "license": "MIT OR Apache-2.0",
  "services": {
    "events": { "subscribe": ["plugin.sysmon.>"], "publish": ["alarm"] },
    "cache": { "methods": ["get", "set", "incr", "invalidate"], "namespaces": ["alarms", "latest"] },
    "storage": { "methods": ["incr"] },
    "database": { "methods": ["migrate", "execute", "query"] },
    "idempotency": { "methods": ["begin", "complete", "fail"] },
    "files": { "methods": ["put"] }
  },
  "provides": { "threshold.alarms": { "major": 1, "methods": ["top"] } },
  "config": {
    "type": "object",
    "properties": {
      "cpu_above": { "type": "number", "default": 90 },
      "memory_above": { "type": "number", "default": 90 },
      "load_above": { "type": "number", "default": 8 },
      "window_ms": {
        "description": "Milliseconds within which alarms are counted",
        "type": "integer", "minimum": 1, "maximum": 31622400000, "default": 60000
      }
    },
    "additionalProperties": false
  },
  "state": 2
});

enum { RULES = 3, NUMBER_SIZE = 40, TENANT_SIZE = 128 };

static const struct {
  const char *topic, *field, *metric, *family, *setting, *pointer;
} rules[RULES] = {
  {"plugin.sysmon.cpu", "busy", "cpu.busy", "cpu.*", "cpu_above", "/cpu_above"},
  {"plugin.sysmon.memory", "used", "memory.used", "memory.*", "memory_above", "/memory_above"},
  {"plugin.sysmon.load", "load1", "load.load1", "load.*", "load_above", "/load_above"},
};

/* How long a sample is news, in milliseconds. */
enum { LATELY = 10000 };

/* A number, and how it was written. */
typedef struct {
  double value;
  char text[NUMBER_SIZE];
} number;

typedef struct {
  number limits[RULES];
  int64_t window_ms;
} settings;

/* An alarm that is raised. Those of all tenants are in one list, which is as long as things are bad. */
typedef struct {
  uint8_t rule, tenant_len;
  char tenant[TENANT_SIZE];
} alarm;

typedef struct {
  settings settings;
  alarm *raised;
  size_t count, room;
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

/* Says in the log what could not be done, with the host's reason. For what an alarm does not wait for. */
static void warn(pintle_ctx ctx, const char *what) {
  pintle_buf why = {0};
  pintle_field reason;
  host->last_error(ctx, pintle_buf_sink(&why));
  reason = pintle_field_text(PINTLE_STR("reason"), pintle_buf_str(&why));
  host->log->write(ctx, PINTLE_LOG_WARN, pintle_cstr(what), &reason, 1);
  pintle_buf_free(&why);
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

/* The alarm of a tenant, if it is raised. */
static alarm *find_alarm(const threshold *self, pintle_str tenant, int rule) {
  size_t at;
  for (at = 0; at < self->count; at++) {
    alarm *alarm = &self->raised[at];
    if (alarm->rule == rule && pintle_str_eq(pintle_strn(alarm->tenant, alarm->tenant_len), tenant)) return alarm;
  }
  return NULL;
}

/* Has room for one more alarm, so that noting it cannot fail any more. */
static int make_room(threshold *self) {
  size_t room = self->room < 8 ? 8 : self->room * 2;
  alarm *grown;
  if (self->count < self->room) return 1;
  grown = realloc(self->raised, room * sizeof *grown);
  if (grown == NULL) return 0;
  self->raised = grown;
  self->room = room;
  return 1;
}

static void note_alarm(threshold *self, pintle_str tenant, int rule) {
  alarm *alarm = &self->raised[self->count++];
  alarm->rule = (uint8_t)rule;
  alarm->tenant_len = (uint8_t)tenant.len;
  if (tenant.len > 0) memcpy(alarm->tenant, tenant.ptr, tenant.len);
}

static void forget_alarm(threshold *self, alarm *alarm) { *alarm = self->raised[--self->count]; }

/* Adds to the count of a metric, which begins at 0 when the last window has ended. The scope of `ctx` is the tenant's. */
static pintle_status add_count(pintle_ctx ctx, const threshold *self, int rule, int64_t delta, int64_t *count) {
  pintle_cache_options options = {0};
  options.size = sizeof options;
  options.flags = PINTLE_CACHE_TTL;
  options.ttl_ms = self->settings.window_ms;
  return host->cache->incr(ctx, PINTLE_STR("alarms"), pintle_cstr(rules[rule].metric), delta, &options, count);
}

/* How many alarms this one makes, or how many there were. 0 where the cache cannot tell, which the log says. */
static int64_t count_alarms(pintle_ctx ctx, const threshold *self, int rule, int raised) {
  pintle_cache_info info = {0};
  uint8_t digits[24];
  size_t len;
  int64_t count = 0;
  pintle_status status;
  info.size = sizeof info;
  if (raised) {
    status = add_count(ctx, self, rule, 1, &count);
  } else {
    status = host->cache->get_into(ctx, PINTLE_STR("alarms"), pintle_cstr(rules[rule].metric), digits, sizeof digits,
                                   &len, &info);
    count = info.integer;
  }
  if (status == PINTLE_OK) return count;
  if (status == PINTLE_NOT_FOUND) return 0; /* the window has ended */
  warn(ctx, "alarms cannot be counted");
  return 0;
}

/* Takes back the count of an alarm that nobody heard of. */
static void uncount_alarm(pintle_ctx ctx, const threshold *self, int rule) {
  int64_t left;
  if (add_count(ctx, self, rule, -1, &left) == PINTLE_OK && left < 0) add_count(ctx, self, rule, 1, NULL);
}

/* How many alarms of a metric were raised since the plugin was installed, with this one. 0 where the storage cannot tell. */
static int64_t count_for_good(pintle_ctx ctx, int rule) {
  char key[64];
  int64_t total = 0;
  const int len = snprintf(key, sizeof key, "raised/%s", rules[rule].metric);
  if (host->storage->incr(ctx, pintle_strn(key, (size_t)len), 1, NULL, &total, NULL) != PINTLE_OK) return 0;
  return total;
}

static pintle_status add(pintle_buf *buf, const char *text) { return pintle_buf_write(buf, text, strlen(text)); }

/* Keeps a sample for alarms of other metrics. Where that fails they have less to tell, and no more. The tag says whose it
 * is, so that all of them can be forgotten at once. */
static void keep_sample(pintle_ctx ctx, int rule, const number *value) {
  pintle_cache_options options = pintle_cache_options_ttl(LATELY);
  const pintle_str source = PINTLE_STR("sysmon");
  options.tags = &source;
  options.tag_count = 1;
  host->cache->set(ctx, PINTLE_STR("latest"), pintle_cstr(rules[rule].metric),
                   pintle_bytesn(value->text, strlen(value->text)), &options);
}

/* Adds a metric to the members of `beside`, if the cache has it. */
static pintle_status add_sample(void *user, const pintle_cache_item *item) {
  pintle_buf *members = user;
  const size_t before = members->len;
  if (item->status != PINTLE_OK) return PINTLE_OK;
  if (add(members, before > 0 ? ",\"" : "\"") == PINTLE_OK &&
      pintle_buf_write(members, item->key.ptr, item->key.len) == PINTLE_OK && add(members, "\":") == PINTLE_OK &&
      pintle_buf_write(members, item->value.ptr, item->value.len) == PINTLE_OK)
    return PINTLE_OK;
  members->len = before;
  return PINTLE_TOO_LARGE;
}

/* What the other metrics were lately, of the same tenant. */
static void find_beside(pintle_ctx ctx, int rule, pintle_buf *members) {
  pintle_str others[RULES - 1];
  size_t count = 0;
  int other;
  for (other = 0; other < RULES; other++)
    if (other != rule) others[count++] = pintle_cstr(rules[other].metric);
  host->cache->get_many(ctx, PINTLE_STR("latest"), others, count, add_sample, members);
}

/* Keeps an alarm as the last one of its metric. Whoever reads the file sees this alarm or the one before, whole, and once
 * `put` has answered it is on disk. */
static void keep_alarm(pintle_ctx ctx, int rule, const pintle_buf *data) {
  char path[64];
  const int len = snprintf(path, sizeof path, "alarms/%s.json", rules[rule].metric);
  const pintle_bytes bytes = pintle_bytesn(data->ptr, data->len);
  if (host->files->put(ctx, pintle_strn(path, (size_t)len), bytes, NULL, NULL) != PINTLE_OK)
    warn(ctx, "the alarm is not in its file");
}

/* What the database has gone through. One that has been run is never changed: what is to be otherwise is added behind it. */
static const pintle_migration history[] = {
  PINTLE_MIGRATION(1, "alarms", "CREATE TABLE alarms (metric TEXT PRIMARY KEY, raised INTEGER NOT NULL) STRICT"),
  PINTLE_MIGRATION(2, "highest", "ALTER TABLE alarms ADD COLUMN highest REAL"),
};

/* Brings the database of `ctx` up to date. Each tenant has one of its own, so it is done where it is used; what was run
 * before costs a look. */
static pintle_status prepare_table(pintle_ctx ctx) {
  return host->database->migrate(ctx, history, sizeof history / sizeof *history, NULL, NULL);
}

/* Counts an alarm in the table. */
static void note_row(pintle_ctx ctx, int rule, const number *value) {
  pintle_status status = prepare_table(ctx);
  if (status == PINTLE_OK)
    status = host->database->execute(
        ctx, 0,
        PINTLE_STR("INSERT INTO alarms (metric, raised, highest) VALUES (?1, 1, ?2) "
                   "ON CONFLICT (metric) DO UPDATE SET raised = raised + 1, highest = max(coalesce(highest, excluded.highest), excluded.highest)"),
        PINTLE_SQL(pintle_sql_text(pintle_cstr(rules[rule].metric)), pintle_sql_real(value->value)), NULL, NULL);
  if (status != PINTLE_OK) warn(ctx, "the alarm is not in the table");
}

/* Writes a row of `top` behind those before it. `data` is the buffer. */
static pintle_status write_row(void *data, const pintle_sql_value *row, size_t count) {
  pintle_buf *json = data;
  const pintle_str metric = pintle_sql_as_text(&row[0], PINTLE_STR("?"));
  char text[160];
  int len;
  (void)count;
  len = snprintf(text, sizeof text, "%s{\"metric\":\"%.*s\",\"raised\":%" PRId64 ",\"highest\":", json->len > 1 ? "," : "",
                 (int)metric.len, metric.ptr, pintle_sql_as_int(&row[1], 0));
  if (len < 0 || (size_t)len >= sizeof text) return PINTLE_TOO_LARGE;
  if (pintle_buf_write(json, text, (size_t)len) != PINTLE_OK) return PINTLE_TOO_LARGE;
  if (pintle_sql_is_null(&row[2])) return add(json, "null}");
  /* Thousandths, in integers: no locale has a say in them. */
  len = snprintf(text, sizeof text, "%" PRId64 "e-3}", (int64_t)(pintle_sql_as_real(&row[2], 0) * 1000 + 0.5));
  return pintle_buf_write(json, text, (size_t)len);
}

/* The metrics with the most alarms: threshold.alarms. */
static pintle_status on_call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  const char *const digits = (const char *)request->data.ptr;
  pintle_buf json = {0};
  number most;
  pintle_status status;
  (void)state;
  if (!parse_number(pintle_strn(digits, request->data.len), &most) || most.value < 1 || most.value > 1000)
    return fail(ctx, PINTLE_INVALID_ARGUMENT, "how many are wanted: ", "a number from 1 to 1000");
  status = add(&json, "[");
  if (status == PINTLE_OK) {
    status = prepare_table(ctx);
    if (status == PINTLE_OK)
      status = host->database->query(
          ctx, 0, PINTLE_STR("SELECT metric, raised, highest FROM alarms ORDER BY raised DESC, metric LIMIT ?1"),
          PINTLE_SQL(pintle_sql_int((int64_t)most.value)), pintle_sql_each(write_row, &json), NULL, NULL);
    if (status != PINTLE_OK) pass_on(ctx, status);
  }
  if (status == PINTLE_OK) status = add(&json, "]");
  if (status == PINTLE_OK) status = pintle_sink_write(reply, json.ptr, json.len);
  pintle_buf_free(&json);
  return status;
}

/* Publishes an alarm so that it outlives the host: when `emit` answers OK it is on disk, and when it fails nobody gets it.
 *
 * It has the sample's id: should the same sample raise it again soon (the plugin died before it could note that it had), the host
 * knows the event by that and delivers nothing. The metric is the ordering key: who fails to handle that an alarm was raised does
 * not hear before that it was cleared. */
static pintle_status publish(pintle_ctx ctx, pintle_str sample, int rule, const pintle_buf *data) {
  pintle_emit_options options = pintle_emit_durable(sample);
  options.key = pintle_cstr(rules[rule].metric);
  return host->events->emit(ctx, PINTLE_STR("alarm"), pintle_bytesn(data->ptr, data->len), &options);
}

/* Emits the alarm of a sample, keeps it and logs it. Where emitting fails, nothing has changed, and the next sample tries again. */
static pintle_status announce(pintle_ctx ctx, const threshold *self, pintle_str sample, int rule, const number *value,
                              int raised) {
  const char *state = raised ? "raised" : "cleared";
  const char *parts[12];
  const int64_t count = count_alarms(ctx, self, rule, raised);
  char counted[80] = "";
  pintle_buf data = {0}, beside = {0};
  pintle_field fields[6];
  pintle_status status = PINTLE_OK;
  int64_t total;
  size_t at;
  if (count > 0)
    snprintf(counted, sizeof counted, ",\"count\":%" PRId64 ",\"window_ms\":%" PRId64, count,
             self->settings.window_ms);
  parts[0] = "{\"topic\":\"", parts[1] = rules[rule].topic;
  parts[2] = "\",\"field\":\"", parts[3] = rules[rule].field;
  parts[4] = "\",\"value\":", parts[5] = value->text;
  parts[6] = ",\"limit\":", parts[7] = self->settings.limits[rule].text;
  parts[8] = ",\"state\":\"", parts[9] = state, parts[10] = "\"", parts[11] = counted;
  for (at = 0; at < 12 && status == PINTLE_OK; at++) status = add(&data, parts[at]);
  find_beside(ctx, rule, &beside);
  if (status == PINTLE_OK && beside.len > 0) {
    status = add(&data, ",\"beside\":{");
    if (status == PINTLE_OK) status = pintle_buf_write(&data, beside.ptr, beside.len);
    if (status == PINTLE_OK) status = add(&data, "}");
  }
  pintle_buf_free(&beside);
  if (status == PINTLE_OK) status = add(&data, "}");
  if (status == PINTLE_OK) {
    status = publish(ctx, sample, rule, &data);
    if (status != PINTLE_OK) pass_on(ctx, status);
  }
  if (status == PINTLE_OK && raised) keep_alarm(ctx, rule, &data);
  pintle_buf_free(&data);
  if (status != PINTLE_OK) {
    if (raised && count > 0) uncount_alarm(ctx, self, rule);
    return status;
  }

  fields[0] = pintle_field_text(PINTLE_STR("topic"), pintle_cstr(rules[rule].topic));
  fields[1] = pintle_field_text(PINTLE_STR("field"), pintle_cstr(rules[rule].field));
  fields[2] = pintle_field_number(PINTLE_STR("value"), value->value);
  fields[3] = pintle_field_number(PINTLE_STR("limit"), self->settings.limits[rule].value);
  at = 4;
  if (count > 0) fields[at++] = pintle_field_integer(PINTLE_STR("count"), count);
  total = raised ? count_for_good(ctx, rule) : 0;
  if (raised) note_row(ctx, rule, value);
  if (total > 0) fields[at++] = pintle_field_integer(PINTLE_STR("total"), total);
  if (raised)
    host->log->write(ctx, PINTLE_LOG_WARN, PINTLE_STR("alarm raised"), fields, at);
  else
    host->log->write(ctx, PINTLE_LOG_INFO, PINTLE_STR("alarm cleared"), fields, at);
  return PINTLE_OK;
}

/* Announces an alarm, but for a sample that has made its alarm before: `again` gets 1 then.
 *
 * Events may come twice. Whoever sends one and does not hear that it arrived sends it again, with the same id, maybe after a
 * restart. So what the sample leads to is an operation of the host, with the sample's id as its key:
 *
 * - `begin` answers OK whatever it finds: what there is to do stands in `begun.state`. Of all who begin under the same key
 *   one is told STARTED.
 * - Who has started ends it: `complete` when it is done, so that all who come later are told DONE; `fail` when nothing has
 *   happened, so that the next one starts. A plugin that dies in between has ended nothing: others are told IN_PROGRESS
 *   until its lease is over, a minute, and then one of them starts. So an alarm may be published twice after a crash, and then it
 *   has the same id (publish).
 * - The fingerprint says what the sample was about. The same id with another one is no repetition but a mistake. */
static pintle_status announce_once(pintle_ctx ctx, const threshold *self, const pintle_event *event, int rule,
                                   const number *value, int raised, int *again) {
  const pintle_sink nobody = {0}; /* there is no result that anybody would ask for */
  pintle_idempotency_info begun = {0};
  char asked[128]; /* at most 256 bytes; what may be longer is hashed */
  pintle_status status;
  const int len = snprintf(asked, sizeof asked, "%s=%s", rules[rule].metric, value->text);
  begun.size = sizeof begun;
  *again = 0;
  status = host->idempotency->begin(ctx, PINTLE_STR("alarm"), event->id, pintle_bytesn(asked, (size_t)len), NULL, &begun,
                                    nobody);
  if (status != PINTLE_OK) { /* better one alarm too many than none */
    warn(ctx, "an alarm may come twice");
    return announce(ctx, self, event->id, rule, value, raised);
  }
  if (begun.state == PINTLE_IDEMPOTENCY_DONE) {
    *again = 1;
    return PINTLE_OK;
  }
  if (begun.state == PINTLE_IDEMPOTENCY_IN_PROGRESS)
    return fail(ctx, PINTLE_BUSY, "the alarm of this sample was begun and not ended: ", "send it again in a minute");
  if (begun.state != PINTLE_IDEMPOTENCY_STARTED)
    return fail(ctx, PINTLE_CONFLICT, "another sample had the same id: ", "give each of them one of its own");

  status = announce(ctx, self, event->id, rule, value, raised);
  if (status != PINTLE_OK)
    host->idempotency->fail(ctx, begun.token, 0, pintle_bytesn(NULL, 0));
  else if (host->idempotency->complete(ctx, begun.token, pintle_bytesn(NULL, 0)) != PINTLE_OK)
    warn(ctx, "an alarm may come twice");
  return status;
}

static pintle_status on_sample(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  threshold *self = user;
  alarm *known;
  number value;
  int rule, above, again;
  (void)reply;
  for (rule = 0; rule < RULES; rule++) {
    pintle_status status;
    if (!pintle_str_eq(event->topic, pintle_cstr(rules[rule].topic))) continue;
    if (!find_number(event->data, rules[rule].field, &value))
      return fail(ctx, PINTLE_INVALID_ARGUMENT, "the sample has no number called ", rules[rule].field);
    keep_sample(ctx, rule, &value);
    above = value.value > self->settings.limits[rule].value;
    known = find_alarm(self, event->tenant, rule);
    if (above == (known != NULL)) return PINTLE_OK;
    if (above && (event->tenant.len > TENANT_SIZE || !make_room(self))) return fail(ctx, PINTLE_TOO_LARGE, "there is no memory for ", "one more alarm");
    status = announce_once(ctx, self, event, rule, &value, above, &again);
    if (status != PINTLE_OK || again) return status;
    if (above)
      note_alarm(self, event->tenant, rule);
    else
      forget_alarm(self, known);
    return PINTLE_OK;
  }
  return PINTLE_OK; /* a sample that no rule is about */
}

static pintle_status read_settings(pintle_ctx ctx, settings *out) {
  pintle_buf text = {0};
  pintle_status status = host->config->integer(ctx, PINTLE_STR("/window_ms"), &out->window_ms);
  int rule;
  if (status != PINTLE_OK) pass_on(ctx, status);
  for (rule = 0; rule < RULES && status == PINTLE_OK; rule++) {
    pintle_buf_clear(&text);
    status = host->config->get(ctx, pintle_cstr(rules[rule].pointer), pintle_buf_sink(&text));
    if (status != PINTLE_OK)
      pass_on(ctx, status);
    else if (!parse_number(pintle_buf_str(&text), &out->limits[rule]))
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
  status = read_settings(ctx, &self->settings);
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
  threshold *self = state;
  (void)ctx;
  free(self->raised);
  free(self);
}

/* New limits count from the next sample on, a new window from the next one on. What was counted against another limit is
 * not counted on. */
static pintle_status on_configure(void *state, pintle_ctx ctx, pintle_bytes config) {
  threshold *self = state;
  settings fresh;
  number window;
  int rule;
  for (rule = 0; rule < RULES; rule++)
    if (!find_number(config, rules[rule].setting, &fresh.limits[rule]))
      return fail(ctx, PINTLE_INVALID_ARGUMENT, "the config has no number called ", rules[rule].setting);
  if (!find_number(config, "window_ms", &window))
    return fail(ctx, PINTLE_INVALID_ARGUMENT, "the config has no number called ", "window_ms");
  fresh.window_ms = (int64_t)window.value; /* the schema has seen to its range */
  for (rule = 0; rule < RULES; rule++)
    if (strcmp(fresh.limits[rule].text, self->settings.limits[rule].text) != 0)
      host->cache->invalidate(ctx, PINTLE_STR("alarms"), pintle_cstr(rules[rule].family), NULL);
  self->settings = fresh;
  return PINTLE_OK;
}

/* The system's own table is there from the start, so that a history that was changed is noticed now and not with an alarm. */
static pintle_status on_enable(void *state, pintle_ctx ctx) {
  pintle_status status = prepare_table(ctx);
  (void)state;
  return status == PINTLE_OK || status == PINTLE_DENIED ? PINTLE_OK : pass_on(ctx, status);
}

/* What was sampled until now is no news when samples come again. */
static pintle_status on_disable(void *state, pintle_ctx ctx) {
  (void)state;
  host->cache->invalidate_tag(ctx, PINTLE_STR("sysmon"), NULL);
  return PINTLE_OK;
}

/* A reload neither raises an alarm again nor forgets to clear it: for each alarm the rule, the length of the tenant's
 * name, and the name. */
static pintle_status on_save(void *state, pintle_ctx ctx, pintle_sink out) {
  threshold *self = state;
  pintle_status status = PINTLE_OK;
  size_t at;
  (void)ctx;
  for (at = 0; at < self->count && status == PINTLE_OK; at++) {
    const alarm *alarm = &self->raised[at];
    uint8_t head[2];
    head[0] = alarm->rule, head[1] = alarm->tenant_len;
    status = pintle_sink_write(out, head, sizeof head);
    if (status == PINTLE_OK) status = pintle_sink_write(out, alarm->tenant, alarm->tenant_len);
  }
  return status;
}

static pintle_status on_restore(void *state, pintle_ctx ctx, uint32_t schema, pintle_bytes saved) {
  threshold *self = state;
  size_t at, len;
  self->count = 0;
  if (saved.len == 0) return PINTLE_OK;
  if (schema == 1 && saved.len == RULES) { /* one byte for each rule, before there were tenants */
    for (at = 0; at < RULES; at++) {
      if (saved.ptr[at] == 0) continue;
      if (!make_room(self)) return fail(ctx, PINTLE_TOO_LARGE, "there is no memory for ", "the alarms");
      note_alarm(self, pintle_strn("", 0), (int)at);
    }
    return PINTLE_OK;
  }
  for (at = 0; schema == 2 && at + 2 <= saved.len; at += 2 + len) {
    len = saved.ptr[at + 1];
    if (saved.ptr[at] >= RULES || len > TENANT_SIZE || len > saved.len - at - 2) break;
    if (!make_room(self)) return fail(ctx, PINTLE_TOO_LARGE, "there is no memory for ", "the alarms");
    note_alarm(self, pintle_strn((const char *)saved.ptr + at + 2, len), saved.ptr[at]);
  }
  if (schema == 2 && at == saved.len) return PINTLE_OK;
  return fail(ctx, PINTLE_UNSUPPORTED, "the saved state is not of version 1 or 2: ", "load it without the old state");
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("threshold"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = on_load,
  .enable = on_enable,
  .disable = on_disable,
  .unload = on_unload,
  .configure = on_configure,
  .save = on_save,
  .restore = on_restore,
  .call = on_call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
