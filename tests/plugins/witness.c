/* witness: keeps a journal of everything that the host does with it, and does what scripts in its config say. See
 * README.md beside it.
 *
 * -DNAME=second makes the plugin `second`; -DCONCURRENCY=4 lets four of its calls run at once;
 * -DSERVICE=x.y names its service, `<NAME>.run` otherwise; -DKEEP=true keeps it mapped; -DGATE="\"FILE\"" makes its
 * entry function hang until the file is there. */
#define _GNU_SOURCE
#include <pintle/plugin.h>

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#ifndef NAME
#define NAME witness
#endif
#ifndef CONCURRENCY
#define CONCURRENCY 1
#endif
#ifndef KEEP
#define KEEP false
#endif
#ifndef SERVICE
#define SERVICE NAME.run
#endif
#define TEXT_OF(...) #__VA_ARGS__
#define TEXT(...) TEXT_OF(__VA_ARGS__)
#define MANIFEST(...) PINTLE_MANIFEST(__VA_ARGS__) /* expands NAME before it becomes text */

MANIFEST({
  "id": TEXT(NAME), "version": "0.1.0", "abi": "1.0", "concurrency": CONCURRENCY, "keep_mapped": KEEP,
  "services": {
    "events": { "subscribe": ["w.>", "plugin.>"], "publish": ["out.>"] }, "scheduler": {},
    "call": ["witness.run", "second.run", "third.run"]
  },
  "provides": { TEXT(SERVICE): { "major": 1, "methods": ["do"] } },
  "config": {
    "type": "object", "required": ["journal"],
    "properties": {
      "journal": { "type": "string" },
      "load": { "$ref": "#/$defs/script" }, "enable": { "$ref": "#/$defs/script" },
      "disable": { "$ref": "#/$defs/script" }, "unload": { "$ref": "#/$defs/script" },
      "configure": { "$ref": "#/$defs/script" }, "event": { "$ref": "#/$defs/script" },
      "job": { "$ref": "#/$defs/script" }, "release": { "$ref": "#/$defs/script" },
      "number": { "type": "integer", "minimum": 1, "default": 1 },
      "doors": { "type": "array", "items": { "$ref": "#/$defs/door" } },
      "keys": { "type": "array", "items": { "type": "string", "writeOnly": true } }
    },
    "additionalProperties": false,
    "$defs": {
      "script": { "type": "string", "default": "" },
      "door": {
        "type": "object",
        "properties": { "name": { "type": "string" }, "key": { "type": "string", "writeOnly": true } }
      }
    }
  }
});

enum { MOST = 64 };

/* What a registration gets as its `user`. */
typedef struct {
  char name[64];
  pintle_registration handle;
} entry;

static const pintle_host *host;
static int journal = -1;
static pintle_ctx own;
static pintle_ctx held;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static entry *entries[MOST];
static char entry_thread[32];
static char options[16] = "null"; /* how defaults are asked for: "null", "zero" or "spelled" */

static void write_line(const char *line) {
  if (write(journal, line, strlen(line)) < 0) _exit(97); /* a test that cannot read on must not go on */
}

/* One line, in one piece. */
static void note(const char *form, ...) {
  char line[2048];
  va_list values;
  int len;
  va_start(values, form);
  len = vsnprintf(line, sizeof line - 1, form, values);
  va_end(values);
  if (len < 0) return;
  if ((size_t)len > sizeof line - 2) len = sizeof line - 2;
  line[len] = '\n', line[len + 1] = 0;
  if (journal >= 0) write_line(line);
}

static int is_there(const char *path) { return access(path, F_OK) == 0; }

static void hang(const char *until) {
  const struct timespec beat = {0, 1000000};
  while (!is_there(until)) nanosleep(&beat, NULL);
}

/* ---- registrations ---- */

static pintle_status run_config(pintle_ctx ctx, const char *place);

static void released(void *user) {
  entry *one = user;
  size_t at;
  note("release %s", one->name);
  (void)run_config(own, "release"); /* before `unload`: the plugin's own context is live */
  pthread_mutex_lock(&lock);
  for (at = 0; at < MOST; at++)
    if (entries[at] == one) entries[at] = NULL;
  pthread_mutex_unlock(&lock);
  free(one);
}

static entry *new_entry(const char *name) {
  entry *one = calloc(1, sizeof *one);
  size_t at;
  if (one == NULL) _exit(96);
  snprintf(one->name, sizeof one->name, "%s", name);
  pthread_mutex_lock(&lock);
  for (at = 0; at < MOST && entries[at] != NULL; at++) {}
  if (at < MOST) entries[at] = one;
  pthread_mutex_unlock(&lock);
  return one;
}

/* Where registering failed `user` stays with the plugin. */
static void forget(entry *one) {
  size_t at;
  pthread_mutex_lock(&lock);
  for (at = 0; at < MOST; at++)
    if (entries[at] == one) entries[at] = NULL;
  pthread_mutex_unlock(&lock);
  free(one);
}

static pintle_registration handle_of(const char *name) {
  pintle_registration found = 0;
  size_t at;
  pthread_mutex_lock(&lock);
  for (at = 0; at < MOST; at++)
    if (entries[at] != NULL && strcmp(entries[at]->name, name) == 0) found = entries[at]->handle;
  pthread_mutex_unlock(&lock);
  return found;
}

/* ---- scripts ---- */

/* Where the running handler of an event replies to: `answer`. */
static __thread pintle_sink answer;

static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  pintle_buf tenant = {0};
  pintle_scope_info info = {0};
  info.size = sizeof info;
  answer = reply;
  if (host->scope(ctx, &info, pintle_buf_sink(&tenant)) != PINTLE_OK) return PINTLE_INTERNAL;
  note("event %s %.*s tenant=%s system=%d call=%d data=%.*s", ((entry *)user)->name, (int)event->topic.len,
       event->topic.ptr, tenant.ptr ? (const char *)tenant.ptr : "", (info.flags & PINTLE_SCOPE_SYSTEM) != 0,
       (info.flags & PINTLE_SCOPE_CALL) != 0, (int)event->data.len, (const char *)event->data.ptr);
  pintle_buf_free(&tenant);
  return run_config(ctx, "event");
}

static pintle_status on_job(void *user, pintle_ctx ctx, const pintle_run *run, pintle_sink reply) {
  pintle_buf tenant = {0};
  (void)user, (void)reply;
  {
    pintle_scope_info info = {0};
    info.size = sizeof info;
    if (host->scope(ctx, &info, pintle_buf_sink(&tenant)) != PINTLE_OK) return PINTLE_INTERNAL;
  }
  note("job %.*s tenant=%s", (int)run->job.len, run->job.ptr, tenant.ptr ? (const char *)tenant.ptr : "");
  pintle_buf_free(&tenant);
  return run_config(ctx, "job");
}

/* The next part of a text up to `end`, which then begins behind it. */
static char *part(char **text, char end) {
  char *found = *text, *at = found;
  while (*at != 0 && *at != end) at++;
  if (*at != 0) *at++ = 0;
  *text = at;
  while (**text == ' ') ++*text;
  while (*found == ' ') found++;
  return found;
}

static int are(const char *how) { return strcmp(options, how) == 0; }

static pintle_status emit(pintle_ctx ctx, const char *topic, const char *data) {
  pintle_emit_options o = {0};
  o.size = sizeof o;
  if (are("spelled")) o.content_type = PINTLE_STR("application/json");
  return host->events->emit(ctx, pintle_cstr(topic), pintle_bytesn(data, strlen(data)), are("null") ? NULL : &o);
}

static pintle_status subscribe(pintle_ctx ctx, const char *pattern) {
  entry *one = new_entry(pattern);
  pintle_subscribe_options o = {0};
  pintle_status status;
  o.size = sizeof o;
  if (are("spelled")) o.name = pintle_cstr(pattern), o.capacity = 1024, o.policy = PINTLE_QUEUE_DROP_OLDEST;
  status = host->events->subscribe(ctx, pintle_cstr(pattern), on_event, one, released, are("null") ? NULL : &o,
                                   &one->handle);
  if (status != PINTLE_OK) forget(one);
  return status;
}

/* `when` is a rule for `c`ron, milliseconds for `i`nterval and `o`nce. */
static pintle_status schedule(pintle_ctx ctx, char kind, const char *name, const char *when, uint32_t overlap) {
  entry *one = new_entry(name);
  pintle_job_options o = {0};
  const pintle_job_options *given = are("null") && overlap == 0 ? NULL : &o;
  pintle_status status;
  o.size = sizeof o;
  o.overlap = overlap;
  if (are("spelled")) o.zone = PINTLE_STR("UTC");
  if (kind == 'c')
    status = host->scheduler->cron(ctx, pintle_cstr(name), pintle_cstr(when), on_job, one, released, given, &one->handle);
  else
    status = (kind == 'o' ? host->scheduler->once : host->scheduler->interval)(
        ctx, pintle_cstr(name), atoll(when), on_job, one, released, given, &one->handle);
  if (status != PINTLE_OK) forget(one);
  return status;
}

/* A sink that lets its writer wait until the file `data` is there. */
static pintle_status hanging_write(void *data, pintle_bytes piece) {
  (void)piece;
  note("hangs");
  hang(data);
  return PINTLE_OK;
}

static pintle_status hanging_result(void *user, const pintle_handler_result *result) {
  (void)result;
  return hanging_write(user, pintle_bytesn(NULL, 0));
}

/* Gives such a sink to one of the functions that take one. */
static pintle_status into_hanging_sink(pintle_ctx ctx, const char *function, char *until) {
  pintle_sink sink = {0};
  sink.write = hanging_write;
  sink.data = until;
  if (strcmp(function, "config") == 0) return host->config->get(ctx, PINTLE_STR(""), sink);
  if (strcmp(function, "text") == 0) return host->config->text(ctx, PINTLE_STR("/journal"), sink);
  if (strcmp(function, "scope") == 0) {
    pintle_scope_info info = {0};
    info.size = sizeof info;
    return host->scope(ctx, &info, sink);
  }
  if (strcmp(function, "call") == 0)
    return host->call(ctx, PINTLE_STR("second.run"), 1, PINTLE_STR("do"), pintle_bytesn("own", 3), 0, sink);
  if (strcmp(function, "sync") == 0)
    return host->events->emit_sync(ctx, PINTLE_STR("out.sink"), pintle_bytesn(NULL, 0), NULL, 0, hanging_result, until,
                                   NULL);
  if (strcmp(function, "error") == 0) {
    (void)host->events->unsubscribe(ctx, 0); /* fails */
    return host->last_error(ctx, sink);
  }
  return PINTLE_UNSUPPORTED;
}

/* What `sync` tells of its results, and how it takes them. */
typedef struct {
  pintle_ctx ctx;
  pintle_buf *out;
  const char *how;
} results;

static pintle_status on_result(void *user, const pintle_handler_result *result) {
  static const char *const outcomes[] = {"ok", "failed", "timeout", "panic", "skipped"};
  results *all = user;
  char line[320];
  const char *outcome = result->outcome < 5 ? outcomes[result->outcome] : "?";
  int len = snprintf(line, sizeof line, " | %.*s %.*s %s %d ", (int)result->subscriber.len, result->subscriber.ptr,
                     (int)result->subscription.len, result->subscription.ptr, outcome, (int)result->status);
  if (len < 0 || pintle_buf_write(all->out, line, (size_t)len) != PINTLE_OK) return PINTLE_INTERNAL;
  if (result->size != sizeof *result) return PINTLE_INTERNAL;
  if (result->reply.len > 64) {
    len = snprintf(line, sizeof line, "%u bytes", (unsigned)result->reply.len);
    return len < 0 ? PINTLE_INTERNAL : pintle_buf_write(all->out, line, (size_t)len);
  }
  if (result->reply.len > 0) (void)pintle_buf_write(all->out, result->reply.ptr, result->reply.len);
  if (result->error.len > 0) (void)pintle_buf_write(all->out, result->error.ptr, result->error.len);
  if (strcmp(all->how, "refuse") == 0) return PINTLE_CONFLICT;
  if (strcmp(all->how, "inside") == 0) {
    pintle_scope_info info = {0};
    pintle_bytes none = pintle_bytesn(NULL, 0);
    pintle_str topic = PINTLE_STR("out.inside");
    int emitted, synced, scoped, told;
    info.size = sizeof info;
    emitted = host->events->emit(all->ctx, topic, none, NULL);
    synced = host->events->emit_sync(all->ctx, topic, none, NULL, 0, NULL, NULL, NULL);
    scoped = host->scope(all->ctx, &info, pintle_discard_sink());
    told = host->last_error(all->ctx, pintle_discard_sink());
    len = snprintf(line, sizeof line, " emit %d sync %d scope %d error %d", emitted, synced, scoped, told);
    if (len > 0) (void)pintle_buf_write(all->out, line, (size_t)len);
  }
  return PINTLE_OK;
}

/* `TOPIC DATA [MS [HOW]]`; HOW is `refuse`, `inside`, `null` (no function and no number) or `deaf` (no function). */
static pintle_status sync_emit(pintle_ctx ctx, char *text, pintle_buf *extra) {
  char *topic = part(&text, ' '), *data = part(&text, ' '), *ms = part(&text, ' ');
  int null = strcmp(text, "null") == 0, deaf = null || strcmp(text, "deaf") == 0;
  uint32_t handlers = 77;
  pintle_buf told = {0};
  char line[32];
  results all = {0};
  pintle_status status;
  all.ctx = ctx, all.out = &told, all.how = text;
  status = host->events->emit_sync(ctx, pintle_cstr(topic), pintle_bytesn(data, strlen(data)), NULL,
                                   strtoll(ms, NULL, 10), deaf ? NULL : on_result, &all, null ? NULL : &handlers);
  snprintf(line, sizeof line, "%u", (unsigned)handlers);
  if (status == PINTLE_OK) {
    (void)pintle_buf_write(extra, line, strlen(line));
    if (told.len > 0) (void)pintle_buf_write(extra, told.ptr, told.len);
  } else if (told.len > 0 || handlers != 77) { /* what must not be */
    note("sync told %s%.*s", line, (int)told.len, told.ptr ? (const char *)told.ptr : "");
  }
  pintle_buf_free(&told);
  return status;
}

/* Does one command. `extra` takes what it has to tell beside its status. */
static pintle_status command(pintle_ctx ctx, char *text, pintle_buf *extra) {
  char *verb = part(&text, ' ');
  char line[256];
  if (strcmp(verb, "emit") == 0) {
    char *topic = part(&text, ' ');
    return emit(ctx, topic, text);
  }
  if (strcmp(verb, "subscribe") == 0) return subscribe(ctx, text);
  if (strcmp(verb, "unsubscribe") == 0) return host->events->unsubscribe(ctx, handle_of(text));
  if (strcmp(verb, "remove") == 0) return host->scheduler->remove(ctx, handle_of(text));
  if (strcmp(verb, "cron") == 0 || strcmp(verb, "interval") == 0 || strcmp(verb, "once") == 0) {
    char *name = part(&text, ' ');
    return schedule(ctx, verb[0], name, text, PINTLE_OVERLAP_SKIP);
  }
  if (strcmp(verb, "queue") == 0) {
    char *name = part(&text, ' ');
    return schedule(ctx, 'i', name, text, PINTLE_OVERLAP_QUEUE);
  }
  if (strcmp(verb, "options") == 0) {
    snprintf(options, sizeof options, "%s", text);
    return PINTLE_OK;
  }
  if (strcmp(verb, "narrow") == 0) { /* room for one, and publishers are to wait */
    entry *one = new_entry(text);
    pintle_subscribe_options o = {0};
    pintle_status status;
    o.size = sizeof o, o.capacity = 1, o.policy = PINTLE_QUEUE_WAIT;
    status = host->events->subscribe(ctx, pintle_cstr(text), on_event, one, released, &o, &one->handle);
    if (status != PINTLE_OK) forget(one);
    return status;
  }
  if (strcmp(verb, "choose") == 0) { /* PATTERN NAME PRIORITY FILTER */
    char *pattern = part(&text, ' '), *name = part(&text, ' '), *priority = part(&text, ' ');
    entry *one = new_entry(name);
    pintle_subscribe_options o = {0};
    pintle_status status;
    o.size = sizeof o, o.name = pintle_cstr(name), o.filter = pintle_cstr(text), o.priority = atoi(priority);
    status = host->events->subscribe(ctx, pintle_cstr(pattern), on_event, one, released, &o, &one->handle);
    if (status != PINTLE_OK) forget(one);
    return status;
  }
  if (strcmp(verb, "durably") == 0) { /* OPTION: that goes only with what is durable, and is not */
    pintle_subscribe_options o = {0};
    o.size = sizeof o;
    if (strcmp(text, "start") == 0) o.start = PINTLE_START_ALL;
    if (strcmp(text, "start_at") == 0) o.start_at = 1;
    if (strcmp(text, "ack_ms") == 0) o.ack_ms = 1;
    if (strcmp(text, "backoff_ms") == 0) o.backoff_ms = 1;
    if (strcmp(text, "max_deliveries") == 0) o.max_deliveries = 1;
    if (strcmp(text, "in_flight") == 0) o.in_flight = 1;
    return host->events->subscribe(ctx, PINTLE_STR("w.durably"), on_event, NULL, NULL, &o, NULL);
  }
  if (strcmp(verb, "patient") == 0) {
    pintle_emit_options o = {0};
    o.size = sizeof o, o.wait_ms = 60000;
    return host->events->emit(ctx, pintle_cstr(text), pintle_bytesn(NULL, 0), &o);
  }
  if (strcmp(verb, "handle") == 0) {
    snprintf(line, sizeof line, "%" PRIu64, handle_of(text));
    return pintle_buf_write(extra, line, strlen(line));
  }
  if (strcmp(verb, "end") == 0) { /* the handle `text`, whosever it is */
    pintle_registration other = strtoull(text, NULL, 10);
    snprintf(line, sizeof line, "unsubscribe %d remove %d", (int)host->events->unsubscribe(ctx, other),
             (int)host->scheduler->remove(ctx, other));
    return pintle_buf_write(extra, line, strlen(line));
  }
  if (strcmp(verb, "remaining") == 0) {
    int64_t ms = -1;
    pintle_status status = host->remaining(ctx, &ms);
    snprintf(line, sizeof line, ms == PINTLE_FOREVER ? "forever" : "%" PRId64, ms);
    return status == PINTLE_OK ? pintle_buf_write(extra, line, strlen(line)) : status;
  }
  if (strcmp(verb, "holds") == 0) { /* until it is refused; then all are released again */
    static pintle_ctx all[100000];
    size_t at, held_now = 0;
    pintle_status status = PINTLE_OK;
    while (held_now < 100000 && (status = host->hold(ctx, &all[held_now])) == PINTLE_OK) held_now++;
    for (at = 0; at < held_now; at++)
      if (host->release(all[at]) != PINTLE_OK) return PINTLE_INTERNAL;
    snprintf(line, sizeof line, "%d after %u", (int)status, (unsigned)held_now);
    return pintle_buf_write(extra, line, strlen(line));
  }
  if (strcmp(verb, "sink") == 0) {
    char *function = part(&text, ' ');
    return into_hanging_sink(ctx, function, text);
  }
  if (strcmp(verb, "call") == 0)
    return host->call(ctx, pintle_cstr(text), 1, PINTLE_STR("do"), pintle_bytesn(NULL, 0), 0, pintle_buf_sink(extra));
  if (strcmp(verb, "log") == 0) {
    char *level = part(&text, ' ');
    return host->log->write(ctx, (uint32_t)atoi(level), pintle_cstr(text), NULL, 0);
  }
  if (strcmp(verb, "hold") == 0) return host->hold(ctx, &held);
  if (strcmp(verb, "release") == 0) return host->release(held);
  if (strcmp(verb, "held") == 0) return command(held, text, extra);
  if (strcmp(verb, "sync") == 0) return sync_emit(ctx, text, extra);
  if (strcmp(verb, "answer") == 0) return pintle_sink_write(answer, text, strlen(text));
  if (strcmp(verb, "bytes") == 0) {
    size_t len = strtoul(text, NULL, 10);
    char *bytes = calloc(len, 1);
    pintle_status status = bytes == NULL ? PINTLE_INTERNAL : pintle_sink_write(answer, bytes, len);
    free(bytes);
    return status;
  }
  if (strcmp(verb, "meet") == 0) { /* makes the first file, then waits for the second */
    char *mine = part(&text, ' ');
    close(open(mine, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    hang(text);
    return PINTLE_OK;
  }
  if (strcmp(verb, "panic") == 0) return PINTLE_PANIC; /* as the wrappers of other languages answer what they caught */
  if (strcmp(verb, "own") == 0) {
    snprintf(line, sizeof line, "%" PRIu64, own);
    return pintle_buf_write(extra, line, strlen(line));
  }
  if (strcmp(verb, "use") == 0) { /* the context `text`, perhaps another plugin's or one that is over */
    pintle_ctx other = strtoull(text, NULL, 10);
    pintle_scope_info info = {0};
    info.size = sizeof info;
    snprintf(line, sizeof line, "scope %d emit %d subscribe %d log %d config %d",
             (int)host->scope(other, &info, pintle_discard_sink()),
             (int)host->events->emit(other, PINTLE_STR("out.stale"), pintle_bytesn(NULL, 0), NULL),
             (int)host->events->subscribe(other, PINTLE_STR("w.stale"), on_event, NULL, NULL, NULL, NULL),
             (int)host->log->write(other, PINTLE_LOG_INFO, PINTLE_STR("stale"), NULL, 0),
             (int)host->config->get(other, PINTLE_STR(""), pintle_discard_sink()));
    return pintle_buf_write(extra, line, strlen(line));
  }
  if (strcmp(verb, "config") == 0) return host->config->get(ctx, pintle_cstr(text), pintle_buf_sink(extra));
  if (strcmp(verb, "thread") == 0) {
    char name[32] = {0};
    pthread_getname_np(pthread_self(), name, sizeof name);
    snprintf(line, sizeof line, "%s entry %s", name, entry_thread);
    return pintle_buf_write(extra, line, strlen(line));
  }
  if (strcmp(verb, "hang") == 0) {
    note("hangs");
    hang(text);
    return PINTLE_OK;
  }
  if (strcmp(verb, "fail") == 0) {
    host->set_error(ctx, pintle_cstr(text));
    return PINTLE_CONFLICT;
  }
  return PINTLE_UNSUPPORTED;
}

/* Does the commands of a script, noting each with its status: the text of a failure behind it. The status of the whole
 * is that of `fail`; those of other commands are only noted. */
static pintle_status run_script(pintle_ctx ctx, const char *place, const char *script, pintle_buf *reply) {
  char *copy = strdup(script), *rest = copy;
  pintle_status whole = PINTLE_OK;
  if (copy == NULL) _exit(96);
  while (*rest != 0) {
    char *text = part(&rest, ';');
    pintle_buf line = {0}, extra = {0};
    char number[32];
    int failing = strncmp(text, "fail", 4) == 0 || strcmp(text, "panic") == 0;
    pintle_status status;
    (void)pintle_buf_write(&line, place, strlen(place));
    (void)pintle_buf_write(&line, ": ", 2);
    (void)pintle_buf_write(&line, text, strlen(text));
    status = command(ctx, text, &extra);
    if (failing) whole = status;
    snprintf(number, sizeof number, " = %d", (int)status);
    (void)pintle_buf_write(&line, number, strlen(number));
    if (status != PINTLE_OK && !failing) {
      (void)pintle_buf_write(&line, " ", 1);
      (void)host->last_error(ctx, pintle_buf_sink(&line));
    } else if (extra.len > 0) {
      (void)pintle_buf_write(&line, " ", 1);
      (void)pintle_buf_write(&line, extra.ptr, extra.len);
    }
    note("%s", (const char *)line.ptr);
    if (reply != NULL) {
      size_t from = strlen(place) + 2;
      (void)pintle_buf_write(reply, line.ptr + from, line.len - from);
      (void)pintle_buf_write(reply, "\n", 1);
    }
    pintle_buf_free(&line);
    pintle_buf_free(&extra);
  }
  free(copy);
  return whole;
}

static pintle_status run_config(pintle_ctx ctx, const char *place) {
  pintle_buf script = {0}, pointer = {0};
  pintle_status status = PINTLE_OK;
  (void)pintle_buf_write(&pointer, "/", 1);
  (void)pintle_buf_write(&pointer, place, strlen(place));
  if (host->config->text(ctx, pintle_buf_str(&pointer), pintle_buf_sink(&script)) == PINTLE_OK && script.len > 0)
    status = run_script(ctx, place, (const char *)script.ptr, NULL);
  pintle_buf_free(&script);
  pintle_buf_free(&pointer);
  return status;
}

/* ---- the plugin ---- */

static void close_journal(void) {
  if (journal >= 0) close(journal);
  journal = -1;
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  pintle_buf path = {0};
  pintle_status status;
  *state = &journal;
  host = given;
  own = ctx;
  status = host->config->text(ctx, PINTLE_STR("/journal"), pintle_buf_sink(&path));
  if (status != PINTLE_OK) return status;
  journal = open((const char *)path.ptr, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
  pintle_buf_free(&path);
  if (journal < 0) return PINTLE_UNAVAILABLE;
  note("load");
  status = run_config(ctx, "load");
  if (status != PINTLE_OK) close_journal();
  return status;
}

static pintle_status enable(void *state, pintle_ctx ctx) {
  (void)state;
  note("enable");
  return run_config(ctx, "enable");
}

static pintle_status disable(void *state, pintle_ctx ctx) {
  (void)state;
  note("disable");
  return run_config(ctx, "disable");
}

static void unload(void *state, pintle_ctx ctx) {
  (void)state;
  note("unload");
  (void)run_config(ctx, "unload");
  close_journal();
}

static pintle_status configure(void *state, pintle_ctx ctx, pintle_bytes config) {
  (void)state;
  note("configure %.*s", (int)config.len, (const char *)config.ptr);
  return run_config(ctx, "configure");
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  pintle_buf script = {0}, answer = {0};
  pintle_status status = pintle_buf_write(&script, request->data.ptr, request->data.len);
  (void)state;
  if (status == PINTLE_OK) status = run_script(ctx, "call", script.ptr ? (const char *)script.ptr : "", &answer);
  if (status == PINTLE_OK) status = pintle_sink_write(reply, answer.ptr, answer.len);
  pintle_buf_free(&script);
  pintle_buf_free(&answer);
  return status;
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT(TEXT(NAME)),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
  .enable = enable,
  .disable = disable,
  .unload = unload,
  .configure = configure,
  .call = call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) {
  pthread_getname_np(pthread_self(), entry_thread, sizeof entry_thread);
#ifdef GATE
  close(open(GATE ".here", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  hang(GATE);
#endif
  return &plugin;
}
