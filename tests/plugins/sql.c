/* sql: does with its database what it is told. See README.md beside it.
 *
 * -DNAME=second makes the plugin `second`; -DDATABASE='{ "methods": ["query"] }' narrows what it asks of the database;
 * -DCONCURRENCY=4 lets so many of its calls run at once. */
#define _GNU_SOURCE
#include "words.h"

#include <pthread.h>

#ifndef NAME
#define NAME sql
#endif
#ifndef DATABASE
#define DATABASE {}
#endif
#ifndef CONCURRENCY
#define CONCURRENCY 1
#endif

MANIFEST({
  "id": TEXT(NAME), "version": "0.1.0", "abi": "1.0",
  "services": { "database": DATABASE, "storage": {} },
  "concurrency": CONCURRENCY,
  "provides": { TEXT(NAME.run): { "major": 1, "methods": ["do"] } },
  "config": {
    "type": "object",
    "properties": {
      "load": { "type": "string", "default": "" }, "enable": { "type": "string", "default": "" },
      "disable": { "type": "string", "default": "" }, "unload": { "type": "string", "default": "" }
    },
    "additionalProperties": false
  }
});

/* What stands between commands, between the fields of one, and between the parts of a field that repeats; and what is
 * replaced by how often it was repeated. */
enum { COMMAND = 0x1e, FIELD = 0x1f, REPEAT = 0x02, NUMBER = 0x01 };
enum { FIELDS = 600, NAMES = 1200, THREADS = 8, LONGEST_TOLD = 200000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static pintle_buf told[4]; /* what the commands of `load`, `enable`, `disable` and the last call came to */

/* Contexts that are held and transactions that were begun, by name. */
static struct {
  char name[16];
  uint64_t handle;
} named[NAMES];

/* A thread of the plugin's own, which does one command. */
typedef struct thread {
  char name[16];
  pthread_t id;
  pintle_ctx ctx;
  pintle_buf command, answer;
  uint64_t rows;
  int is_over;
} thread;

static thread threads[THREADS];

/* What is said of the rows of one query. */
typedef struct taken {
  pintle_buf *to;
  uint64_t rows, refuse_at;
  pintle_status refuse;
  thread *on;
  pintle_ctx ctx; /* whom to call from inside of a row; 0: nobody */
} taken;

static void remember(pintle_str name, uint64_t handle) {
  size_t at;
  pthread_mutex_lock(&lock);
  for (at = 0; at < NAMES && named[at].name[0] != 0 && !is(name, named[at].name); at++) continue;
  if (at < NAMES && name.len < sizeof named[at].name) {
    memset(named[at].name, 0, sizeof named[at].name);
    memcpy(named[at].name, name.ptr, name.len);
    named[at].handle = handle;
  }
  pthread_mutex_unlock(&lock);
}

/* `#17` is 17, anything else what was remembered under that name. */
static uint64_t handle_of(pintle_str name) {
  uint64_t handle = 0;
  size_t at;
  if (name.len > 0 && name.ptr[0] == '#') return token_of(pintle_strn(name.ptr + 1, name.len - 1));
  pthread_mutex_lock(&lock);
  for (at = 0; at < NAMES; at++) {
    if (named[at].name[0] != 0 && is(name, named[at].name)) handle = named[at].handle;
  }
  pthread_mutex_unlock(&lock);
  return handle;
}

static void say_value(pintle_buf *to, const pintle_sql_value *value) {
  size_t at;
  switch (value->kind) {
    case PINTLE_SQL_NULL: say(to, "n"); break;
    case PINTLE_SQL_INTEGER: say(to, "i%" PRId64, pintle_sql_as_int(value, 0)); break;
    case PINTLE_SQL_REAL: say(to, "r%.17g", pintle_sql_as_real(value, 0)); break;
    default:
      say(to, value->kind == PINTLE_SQL_TEXT ? "t" : value->kind == PINTLE_SQL_BLOB ? "x" : "?");
      if (value->bytes.len > 2000) {
        say(to, "(%zu bytes)", value->bytes.len);
      } else if (value->kind == PINTLE_SQL_TEXT) {
        pintle_buf_write(to, value->bytes.ptr, value->bytes.len);
      } else {
        for (at = 0; at < value->bytes.len; at++) say(to, "%02x", value->bytes.ptr[at]);
      }
  }
}

static pintle_status on_columns(void *data, const pintle_str *names, size_t count) {
  taken *to = data;
  size_t at;
  say(to->to, "\n");
  for (at = 0; at < count; at++) {
    say(to->to, at == 0 ? "" : "|");
    pintle_buf_write(to->to, names[at].ptr, names[at].len);
  }
  return PINTLE_OK;
}

/* What the host answers to calls from inside of a row. */
static void call_from_inside(taken *to) {
  pintle_transaction tx = 0;
  const pintle_database *db = host->database;
  say(to->to, "\ninside");
  say(to->to, " %d", db->execute(to->ctx, 0, PINTLE_STR("SELECT 1"), NULL, 0, NULL, NULL));
  say(to->to, " %d", db->begin(to->ctx, 0, NULL, &tx));
  say(to->to, " %d", db->rollback(to->ctx, 1));
  say(to->to, " %d", db->migrate(to->ctx, NULL, 0, NULL, NULL));
  say(to->to, " %d", host->storage->exists(to->ctx, PINTLE_STR("k"), NULL));
  say(to->to, " %d", host->last_error(to->ctx, pintle_discard_sink()));
  say(to->to, " %d", host->set_error(to->ctx, PINTLE_STR("from a row")));
}

static pintle_status on_row(void *data, const pintle_sql_value *values, size_t count) {
  taken *to = data;
  size_t at;
  to->rows++;
  if (to->on != NULL) {
    pthread_mutex_lock(&lock);
    to->on->rows++;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
  }
  if (to->ctx != 0) call_from_inside(to);
  if (to->refuse_at == to->rows) return to->refuse;
  if (to->to->len > LONGEST_TOLD) return PINTLE_OK;
  say(to->to, "\n");
  for (at = 0; at < count; at++) {
    say(to->to, at == 0 ? "" : "|");
    say_value(to->to, &values[at]);
  }
  return PINTLE_OK;
}

/* `i7`, `r0.5`, `tab`, `x00ff`, `n`; `T9` is a text of nine x, `B9` a blob of nine zeros. */
static pintle_sql_value value_of(pintle_str field, pintle_buf *memory) {
  pintle_str rest = pintle_strn(field.ptr + 1, field.len - 1);
  size_t at;
  unsigned byte;
  switch (field.ptr[0]) {
    case 'i': return pintle_sql_int(number(rest));
    case 'r': return pintle_sql_real(strtod(digits_of(rest.ptr, rest.len).text, NULL));
    case 't': return pintle_sql_text(rest);
    case 'x':
      for (at = 0; at + 1 < rest.len && sscanf(digits_of(rest.ptr + at, 2).text, "%2x", &byte) == 1; at += 2) {
        uint8_t one = (uint8_t)byte;
        pintle_buf_write(memory, &one, 1);
      }
      return pintle_sql_blob(pintle_bytesn(memory->ptr, memory->len));
    case 'T':
    case 'B':
      for (at = 0; at < (size_t)number(rest); at++) pintle_buf_write(memory, field.ptr[0] == 'T' ? "x" : "", 1);
      if (field.ptr[0] == 'T') return pintle_sql_text(pintle_buf_str(memory));
      return pintle_sql_blob(pintle_bytesn(memory->ptr, memory->len));
    default: return pintle_sql_null();
  }
}

/* The next part of a text up to `end`; `at` goes behind it. */
static pintle_str part_of(pintle_str text, size_t *at, char end) {
  size_t begin = *at;
  while (*at < text.len && text.ptr[*at] != end) (*at)++;
  *at += 1;
  return pintle_strn(text.ptr + begin, *at - 1 - begin);
}

/* A field, and where it begins with REPEAT what it comes to: how often, its beginning, what is repeated, its end. */
static pintle_str field_of(pintle_str text, size_t *at, pintle_buf *memory) {
  pintle_str field = part_of(text, at, FIELD), times, begin, body, end;
  size_t in = 1, n, from, to;
  char digits[24];
  if (field.len == 0 || field.ptr[0] != REPEAT) return field;
  times = part_of(field, &in, REPEAT);
  begin = part_of(field, &in, REPEAT);
  body = part_of(field, &in, REPEAT);
  end = part_of(field, &in, REPEAT);
  pintle_buf_write(memory, begin.ptr, begin.len);
  for (n = 0; n < (size_t)number(times); n++) {
    for (from = to = 0; to < body.len; to++) {
      if (body.ptr[to] != NUMBER) continue;
      pintle_buf_write(memory, body.ptr + from, to - from);
      pintle_buf_write(memory, digits, (size_t)snprintf(digits, sizeof digits, "%zu", n));
      from = to + 1;
    }
    pintle_buf_write(memory, body.ptr + from, body.len - from);
  }
  pintle_buf_write(memory, end.ptr, end.len);
  return pintle_buf_str(memory);
}

static void say_info(pintle_buf *to, const pintle_sql_info *info) {
  if (info->changed != 0) say(to, " changed=%" PRIu64, info->changed);
  if (info->last_insert_id != 0) say(to, " id=%" PRId64, info->last_insert_id);
  if (info->rows != 0) say(to, " rows=%" PRIu64, info->rows);
  if (info->error_code != 0) say(to, " code=%" PRIu32, info->error_code);
  if (info->error_offset >= 0) say(to, " at=%" PRId64, info->error_offset);
}

/* What the options of the next statements are. */
typedef struct options {
  pintle_sql_options sql;
  int are_given;
} options;

/* execute, query, one, count, refuse and inside: TX SQL VALUE… */
static void statement(pintle_ctx ctx, const pintle_str *f, size_t count, const options *how, thread *on, pintle_buf *to) {
  const pintle_database *db = host->database;
  const pintle_sql_options *options = how->are_given ? &how->sql : NULL;
  pintle_transaction tx = handle_of(f[1]);
  pintle_sql_info info;
  pintle_sql_value *values = NULL;
  pintle_buf *memory = NULL, rows = {0};
  pintle_sql_rows take;
  pintle_status status;
  taken taken = {0};
  const pintle_str what = f[0], sql = f[2];
  size_t at, bound = count - 3;
  memset(&info, 0, sizeof info);
  info.size = sizeof info;
  info.error_offset = -1;
  if (is(what, "refuse")) { /* at which row, with what */
    taken.refuse_at = (uint64_t)number(f[3]), taken.refuse = (pintle_status)number(f[4]);
    f += 2, bound -= 2;
  }
  if (bound > 0) {
    values = calloc(bound, sizeof *values);
    memory = calloc(bound, sizeof *memory);
  }
  for (at = 0; at < bound; at++) values[at] = value_of(f[3 + at], &memory[at]);
  taken.to = &rows;
  taken.on = on;
  taken.ctx = is(what, "inside") ? ctx : 0;
  take = pintle_sql_each(on_row, &taken);
  take.columns = on_columns;
  if (is(what, "execute")) status = db->execute(ctx, tx, sql, values, bound, options, &info);
  else if (is(what, "one")) status = db->query_one(ctx, tx, sql, values, bound, take, options, &info);
  else status = db->query(ctx, tx, sql, values, bound, take, options, &info);
  say_status(to, ctx, status);
  say_info(to, &info);
  if (!is(what, "count")) pintle_buf_write(to, rows.ptr, rows.len);
  else say(to, " seen=%" PRIu64, taken.rows);
  for (at = 0; at < bound; at++) pintle_buf_free(&memory[at]);
  pintle_buf_free(&rows);
  free(memory);
  free(values);
}

/* migrate DRY NUMBER NAME SQL … */
static void migrate(pintle_ctx ctx, const pintle_str *f, size_t count, pintle_buf *to) {
  pintle_migration history[FIELDS / 3];
  pintle_migrate_options options;
  pintle_migrate_info info;
  size_t at, steps = count < 2 ? 0 : (count - 2) / 3;
  memset(&options, 0, sizeof options);
  memset(&info, 0, sizeof info);
  options.size = sizeof options;
  options.flags = is(f[1], "dry") ? PINTLE_MIGRATE_DRY_RUN : 0;
  info.size = sizeof info;
  for (at = 0; at < steps; at++) {
    history[at].size = sizeof history[at];
    history[at].number = (uint32_t)number(f[2 + 3 * at]);
    history[at].name = f[3 + 3 * at];
    history[at].sql = f[4 + 3 * at];
  }
  say_status(to, ctx, host->database->migrate(ctx, history, steps, &options, &info));
  say(to, " applied=%" PRIu32 " pending=%" PRIu32 " current=%" PRIu32, info.applied, info.pending, info.current);
}

/* create TX TABLE (NAME KIND FLAGS DEFAULT) … */
static void create(pintle_ctx ctx, const pintle_str *f, size_t count, pintle_buf *to) {
  pintle_sql_column columns[FIELDS / 4];
  pintle_sql_value defaults[FIELDS / 4];
  pintle_buf memory = {0};
  uint32_t created = 7;
  size_t at, all = count < 3 ? 0 : (count - 3) / 4;
  for (at = 0; at < all; at++) {
    const pintle_str *of = f + 3 + 4 * at;
    columns[at] = pintle_sql_column_of(of[0], (uint32_t)number(of[1]), (uint32_t)number(of[2]));
    if (of[3].len == 0) continue;
    defaults[at] = value_of(of[3], &memory);
    columns[at].default_value = &defaults[at];
  }
  say_status(to, ctx, host->database->create_table(ctx, handle_of(f[1]), f[2], columns, all, &created));
  say(to, " created=%" PRIu32, created);
  pintle_buf_free(&memory);
}

static void one(pintle_ctx ctx, pintle_str *f, size_t count, options *how, thread *on, pintle_buf *to);

static void *run_thread(void *data) {
  thread *self = data;
  options none = {0};
  pintle_str fields[FIELDS] = {{0}};
  size_t at = 0, count = 0;
  pintle_str text = pintle_buf_str(&self->command);
  while (at < text.len && count < FIELDS) fields[count++] = part_of(text, &at, FIELD);
  one(self->ctx, fields, count, &none, self, &self->answer);
  pthread_mutex_lock(&lock);
  self->is_over = 1;
  pthread_cond_broadcast(&moved);
  pthread_mutex_unlock(&lock);
  return NULL;
}

static thread *thread_of(pintle_str name) {
  size_t at;
  for (at = 0; at < THREADS; at++) {
    if (is(name, threads[at].name)) return &threads[at];
  }
  return NULL;
}

/* thread, rows and join, of a thread that does one command. */
static int threading(pintle_ctx ctx, const pintle_str *f, size_t count, pintle_buf *to) {
  thread *of;
  size_t at;
  if (is(f[0], "thread")) { /* thread NAME COMMAND… */
    of = thread_of(pintle_strn("", 0));
    if (of == NULL || f[1].len >= sizeof of->name) return 0;
    memset(of, 0, sizeof *of);
    memcpy(of->name, f[1].ptr, f[1].len);
    of->ctx = ctx;
    for (at = 2; at < count; at++) {
      pintle_buf_write(&of->command, f[at].ptr, f[at].len);
      pintle_buf_write(&of->command, "\x1f", 1);
    }
    say(to, "%d", pthread_create(&of->id, NULL, run_thread, of));
    return 1;
  }
  of = thread_of(f[1]);
  if (of == NULL) return 0;
  if (is(f[0], "rows")) { /* rows NAME COUNT: waits until it was given so many, or is over */
    pthread_mutex_lock(&lock);
    while (of->rows < (uint64_t)number(f[2]) && !of->is_over) pthread_cond_wait(&moved, &lock);
    pthread_mutex_unlock(&lock);
    say(to, "0");
  } else { /* join NAME; tells what it came to */
    pthread_join(of->id, NULL);
    pintle_buf_write(to, of->answer.ptr, of->answer.len);
    pintle_buf_free(&of->answer);
    pintle_buf_free(&of->command);
    memset(of, 0, sizeof *of);
  }
  return 1;
}

static void one(pintle_ctx ctx, pintle_str *f, size_t count, options *how, thread *on, pintle_buf *to) {
  const pintle_database *db = host->database;
  static const char *const statements[] = {"execute", "query", "one", "count", "refuse", "inside"};
  size_t at;
  for (at = 0; at < sizeof statements / sizeof *statements && count >= 3; at++) {
    if (!is(f[0], statements[at])) continue;
    statement(ctx, f, count, how, on, to);
    return;
  }
  if (is(f[0], "script")) { /* script TX SQL */
    pintle_sql_info info;
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    info.error_offset = -1;
    say_status(to, ctx, db->script(ctx, handle_of(f[1]), f[2], how->are_given ? &how->sql : NULL, &info));
    say_info(to, &info);
  } else if (is(f[0], "begin")) { /* begin NAME OUTER FLAGS WAIT_MS TIMEOUT_MS */
    pintle_transaction_options options;
    pintle_transaction tx = 77;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.flags = (uint32_t)number(f[3]);
    options.wait_ms = number(f[4]);
    options.timeout_ms = number(f[5]);
    say_status(to, ctx, db->begin(ctx, handle_of(f[2]), count > 3 ? &options : NULL, &tx));
    if (tx != 77) remember(f[1], tx);
  } else if (is(f[0], "commit")) {
    say_status(to, ctx, db->commit(ctx, handle_of(f[1])));
  } else if (is(f[0], "rollback")) {
    say_status(to, ctx, db->rollback(ctx, handle_of(f[1])));
  } else if (is(f[0], "end")) { /* end TX STATUS */
    say_status(to, ctx, pintle_sql_end(db, ctx, handle_of(f[1]), (pintle_status)number(f[2])));
  } else if (is(f[0], "migrate")) {
    migrate(ctx, f, count, to);
  } else if (is(f[0], "create")) {
    create(ctx, f, count, to);
  } else if (is(f[0], "stats")) {
    pintle_database_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    say_status(to, ctx, db->stats(ctx, &stats));
    say(to, " transactions=%" PRIu32 " bytes=%" PRIu64 " free=%" PRIu64 " limit=%" PRIu64, stats.transactions, stats.bytes,
        stats.free_bytes, stats.limit_bytes);
  } else if (is(f[0], "options")) { /* options TIMEOUT_MS MAX_ROWS: of the statements after it */
    memset(how, 0, sizeof *how);
    how->sql.size = sizeof how->sql;
    how->sql.timeout_ms = number(f[1]);
    how->sql.max_rows = (uint64_t)number(f[2]);
    how->are_given = 1;
    say(to, "0");
  } else if (is(f[0], "hold")) { /* hold NAME */
    pintle_ctx held = 0;
    say_status(to, ctx, host->hold(ctx, &held));
    remember(f[1], held);
  } else if (is(f[0], "release")) { /* release NAME */
    say_status(to, ctx, host->release(handle_of(f[1])));
  } else if (is(f[0], "handle")) { /* handle NAME */
    say(to, "%" PRIu64, handle_of(f[1]));
  } else if (is(f[0], "told")) { /* told NUMBER */
    const pintle_buf *of = &told[number(f[1])];
    pintle_buf_write(to, of->ptr, of->len > 0 ? of->len - 1 : 0); /* its last end is that of this one */
  } else if (is(f[0], "as") && count > 2) { /* as NAME COMMAND… */
    one(handle_of(f[1]), f + 2, count - 2, how, on, to);
  } else if (is(f[0], "many") && count > 3) { /* many COUNT COMMAND…: how often each status came */
    size_t seen[PINTLE_PANIC + 1] = {0};
    for (at = 0; at < (size_t)number(f[1]); at++) {
      pintle_buf answer = {0};
      int status;
      one(ctx, f + 2, count - 2, how, on, &answer);
      status = (int)number(pintle_buf_str(&answer));
      if (status >= 0 && status <= PINTLE_PANIC) seen[status]++;
      pintle_buf_free(&answer);
    }
    for (at = 0; at <= PINTLE_PANIC; at++) {
      if (seen[at] > 0) say(to, "%zu:%zu ", at, seen[at]);
    }
  } else if (!threading(ctx, f, count, to)) {
    say(to, "-1 there is no such command");
  }
}

static void commands(pintle_ctx ctx, pintle_str text, pintle_buf *to) {
  options how = {0};
  size_t at = 0;
  while (at < text.len) {
    pintle_str fields[FIELDS], command = part_of(text, &at, COMMAND);
    pintle_buf *memory = calloc(FIELDS, sizeof *memory);
    size_t in = 0, count = 0, n;
    memset(fields, 0, sizeof fields);
    while (memory != NULL && in <= command.len && count < FIELDS) {
      fields[count] = field_of(command, &in, &memory[count]);
      count++;
    }
    one(ctx, fields, count, &how, NULL, to);
    pintle_buf_write(to, "\x1e", 1);
    for (n = 0; n < count; n++) pintle_buf_free(&memory[n]);
    free(memory);
  }
}

/* Does what the config says under this pointer. */
static void configured(pintle_ctx ctx, pintle_str pointer, pintle_buf *to) {
  pintle_buf text = {0};
  host->config->text(ctx, pointer, pintle_buf_sink(&text));
  if (text.len > 0) commands(ctx, pintle_buf_str(&text), to);
  pintle_buf_free(&text);
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  (void)state;
  host = given;
  configured(ctx, PINTLE_STR("/load"), &told[0]);
  return PINTLE_OK;
}

static pintle_status enable(void *state, pintle_ctx ctx) {
  (void)state;
  configured(ctx, PINTLE_STR("/enable"), &told[1]);
  return PINTLE_OK;
}

static pintle_status disable(void *state, pintle_ctx ctx) {
  (void)state;
  configured(ctx, PINTLE_STR("/disable"), &told[2]);
  return PINTLE_OK;
}

static void unload(void *state, pintle_ctx ctx) {
  pintle_buf answer = {0};
  size_t at;
  (void)state;
  configured(ctx, PINTLE_STR("/unload"), &answer);
  if (answer.len > 0) host->log->write(ctx, PINTLE_LOG_INFO, pintle_buf_str(&answer), NULL, 0);
  pintle_buf_free(&answer);
  for (at = 0; at < 4; at++) pintle_buf_free(&told[at]);
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  pintle_buf answer = {0};
  pintle_status status;
  (void)state;
  commands(ctx, pintle_strn((const char *)request->data.ptr, request->data.len), &answer);
  pthread_mutex_lock(&lock);
  if (answer.len > 0 && !(request->data.len > 4 && memcmp(request->data.ptr, "told", 4) == 0)) {
    pintle_buf_clear(&told[3]);
    pintle_buf_write(&told[3], answer.ptr, answer.len);
  }
  pthread_mutex_unlock(&lock);
  status = pintle_sink_write(reply, answer.ptr, answer.len);
  pintle_buf_free(&answer);
  return status;
}

static const pintle_plugin plugin = {sizeof(pintle_plugin),
                                     PINTLE_ABI_MINOR,
                                     PINTLE_MANIFEST_BYTES,
                                     PINTLE_STR_INIT(TEXT(NAME)),
                                     PINTLE_STR_INIT("0.1.0"),
                                     load,
                                     enable,
                                     disable,
                                     unload,
                                     NULL,
                                     NULL,
                                     NULL,
                                     call,
                                     NULL};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) {
  return &plugin;
}
