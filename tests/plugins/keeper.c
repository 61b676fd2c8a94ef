/* keeper: keeps things in cache and storage, listens, runs jobs and holds contexts, as it is told. See README.md beside it.
 *
 * -DNAME=second makes the plugin `second`; -DCACHE='{ "namespaces": ["a"] }' narrows what it asks of the cache. */
#define _GNU_SOURCE
#include <pintle/plugin.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#ifndef NAME
#define NAME keeper
#endif
#ifndef CACHE
#define CACHE {}
#endif
#ifndef STORAGE
#define STORAGE {}
#endif
#define TEXT_OF(...) #__VA_ARGS__
#define TEXT(...) TEXT_OF(__VA_ARGS__)
#define MANIFEST(...) PINTLE_MANIFEST(__VA_ARGS__) /* expands NAME before it becomes text */

MANIFEST({
  "id": TEXT(NAME), "version": "0.1.0", "abi": "1.0",
  "services": {
    "cache": CACHE, "storage": STORAGE, "scheduler": {},
    "events": { "subscribe": ["plugin.>", "k.>"], "publish": [">"] }
  },
  "provides": { TEXT(NAME.run): { "major": 1, "methods": ["do"] } },
  "config": {
    "type": "object",
    "properties": { "load": { "type": "string", "default": "" } },
    "additionalProperties": false
  }
});

enum { WORDS = 8, HELD = 8 };

static const pintle_host *host;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pintle_buf heard; /* what events and jobs came, one line each */
static pintle_buf loaded; /* what the commands in config `load` came to */

/* What `hold` keeps, by name. */
static struct {
  char name[16];
  pintle_ctx ctx;
} held[HELD];

static void say(pintle_buf *to, const char *form, ...) {
  char text[1024];
  va_list values;
  int length;
  va_start(values, form);
  length = vsnprintf(text, sizeof text, form, values);
  va_end(values);
  if (length > 0) pintle_buf_write(to, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

/* One word of a command. `%41` is a byte, `%-` nothing, `%*7` seven times x. */
static pintle_str word_of(const char *from, size_t length, pintle_buf *memory) {
  size_t at, times;
  unsigned byte;
  pintle_buf_clear(memory);
  pintle_buf_write(memory, "", 0);
  for (at = 0; at < length; at++) {
    if (from[at] == '%' && from[at + 1] == '-') {
      at += 1;
    } else if (from[at] == '%' && from[at + 1] == '*') {
      for (times = strtoul(from + at + 2, NULL, 10); times > 0; times--) pintle_buf_write(memory, "x", 1);
      break;
    } else if (from[at] == '%' && sscanf(from + at + 1, "%2x", &byte) == 1) {
      char c = (char)byte;
      pintle_buf_write(memory, &c, 1);
      at += 2;
    } else {
      pintle_buf_write(memory, from + at, 1);
    }
  }
  return pintle_buf_str(memory);
}

static int64_t number(pintle_str word) {
  return strtoll(word.ptr, NULL, 10); /* every word is followed by a NUL */
}

static int is(pintle_str word, const char *text) {
  return pintle_str_eq(word, pintle_cstr(text));
}

/* Written so that a test can compare it: bytes that are not plain text as %41. */
static void say_bytes(pintle_buf *to, const uint8_t *bytes, size_t length) {
  size_t at;
  if (length > 256) {
    say(to, "%zu bytes", length);
    return;
  }
  for (at = 0; at < length; at++) {
    say(to, bytes[at] > 32 && bytes[at] < 127 && bytes[at] != '%' ? "%c" : "%%%02x", bytes[at]);
  }
}

static void say_life(pintle_buf *to, int64_t ttl_ms) {
  if (ttl_ms == PINTLE_FOREVER) say(to, " endless");
  else say(to, " %" PRId64, ttl_ms);
}

/* The status, and what the host says of it. */
static void say_status(pintle_buf *to, pintle_ctx ctx, pintle_status status) {
  say(to, "%d", status);
  if (status != PINTLE_OK) {
    pintle_buf text = {0};
    if (host->last_error(ctx, pintle_buf_sink(&text)) == PINTLE_OK) say(to, " %s", (char *)text.ptr);
    pintle_buf_free(&text);
  }
}

static void tenant_of(pintle_ctx ctx, pintle_buf *tenant) {
  pintle_scope_info info;
  memset(&info, 0, sizeof info);
  info.size = sizeof info;
  pintle_buf_clear(tenant);
  host->scope(ctx, &info, pintle_buf_sink(tenant));
}

static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  pintle_buf tenant = {0};
  (void)reply;
  tenant_of(ctx, &tenant);
  pthread_mutex_lock(&lock);
  say(&heard, "event %s tenant=%s data=%.*s\n", (char *)user, tenant.ptr ? (char *)tenant.ptr : "", (int)event->data.len,
      (const char *)event->data.ptr);
  pthread_mutex_unlock(&lock);
  pintle_buf_free(&tenant);
  return PINTLE_OK;
}

static pintle_status on_job(void *user, pintle_ctx ctx, const pintle_run *run, pintle_sink reply) {
  pintle_buf tenant = {0};
  (void)reply;
  (void)run;
  tenant_of(ctx, &tenant);
  pthread_mutex_lock(&lock);
  say(&heard, "job %s tenant=%s\n", (char *)user, tenant.ptr ? (char *)tenant.ptr : "");
  pthread_mutex_unlock(&lock);
  pintle_buf_free(&tenant);
  return PINTLE_OK;
}

static char *copy_of(pintle_str word) {
  char *copy = malloc(word.len + 1);
  if (copy != NULL) memcpy(copy, word.ptr, word.len + 1);
  return copy;
}

enum { TAGS = 20, MORE = 3 };

/* The number behind a front like `stale=`; 0 if the word has another. */
static int begins(pintle_str word, const char *front, int64_t *rest) {
  size_t len = strlen(front);
  if (word.len < len || memcmp(word.ptr, front, len) != 0) return 0;
  *rest = strtoll(word.ptr + len, NULL, 10);
  return 1;
}

/* `[TTL [OPTION…]]` as at the end of `set NS KEY VALUE`: none if the first word is empty; `keep`, `new`, `version=7`, `stale=5`,
 * `error=5`, `tags=a,b`. */
static const pintle_cache_options *with_options(pintle_cache_options *options, const pintle_str *w, pintle_str *tags) {
  int64_t value;
  size_t at, from;
  memset(options, 0, sizeof *options);
  options->size = sizeof *options;
  if (w[0].len > 0) {
    options->flags = PINTLE_CACHE_TTL;
    options->ttl_ms = number(w[0]);
  }
  for (at = 1; at <= MORE && w[at].len > 0; at++) {
    if (is(w[at], "keep")) options->flags |= PINTLE_CACHE_KEEP_TTL;
    if (is(w[at], "new")) options->flags |= PINTLE_CACHE_IF_ABSENT;
    if (begins(w[at], "version=", &value)) options->flags |= PINTLE_CACHE_IF_VERSION, options->version = (uint64_t)value;
    begins(w[at], "stale=", &options->stale_ms);
    begins(w[at], "error=", &options->error_ms);
    if (!begins(w[at], "tags=", &value)) continue;
    options->tags = tags;
    for (from = 5; options->tag_count < TAGS; from++) {
      size_t end = from;
      while (end < w[at].len && w[at].ptr[end] != ',') end++;
      tags[options->tag_count++] = pintle_strn(w[at].ptr + from, end - from);
      if (end == w[at].len) break;
      from = end;
    }
  }
  return w[0].len == 0 && at == 1 ? NULL : options;
}

/* Each item of `get_many`: which, its status, its value, or that it is known to be absent. */
static pintle_status say_item(void *user, const pintle_cache_item *item) {
  pintle_buf *to = user;
  say(to, " %zu:%d:", item->index, item->status);
  say_bytes(to, item->value.ptr, item->value.len);
  if (item->info != NULL && item->info->flags & PINTLE_CACHE_ABSENT) say(to, "absent");
  return PINTLE_OK;
}

/* What is about several items. */
static int items(pintle_ctx ctx, const pintle_str *w, pintle_buf *to) {
  const pintle_cache *cache = host->cache;
  pintle_cache_entry entries[MORE];
  pintle_cache_stats stats;
  pintle_status status, statuses[MORE] = {77, 77, 77};
  pintle_buf list = {0}, next = {0};
  uint64_t count = 7;
  size_t n, at;
  memset(entries, 0, sizeof entries);
  memset(&stats, 0, sizeof stats);
  stats.size = sizeof stats;
  for (n = 0; n < WORDS - 2 && w[n + 2].len > 0; n++) continue;
  if (is(w[0], "getmany")) { /* getmany NS KEY… */
    status = cache->get_many(ctx, w[1], w + 2, n, say_item, &list);
    say_status(to, ctx, status);
    pintle_buf_write(to, list.ptr, list.len);
  } else if (is(w[0], "setmany")) { /* setmany NS KEY VALUE KEY VALUE…; no empty ones but by %- at the end */
    for (n /= 2, at = 0; at < n; at++) {
      entries[at].size = sizeof entries[at];
      entries[at].key = w[2 + 2 * at];
      entries[at].value = pintle_bytesn(w[3 + 2 * at].ptr, w[3 + 2 * at].len);
    }
    status = cache->set_many(ctx, w[1], entries, n, statuses);
    say_status(to, ctx, status);
    for (at = 0; at < n; at++) say(to, " %d", statuses[at]);
    for (at = n; status == PINTLE_OK && at > 0 && statuses[at - 1] == PINTLE_OK; at--) continue;
    if (status == PINTLE_OK && at > 0 && host->last_error(ctx, pintle_buf_sink(&next)) == PINTLE_OK)
      say(to, " %s", (char *)next.ptr);
  } else if (is(w[0], "invalidate")) { /* invalidate NS PATTERN */
    say_status(to, ctx, cache->invalidate(ctx, w[1], w[2], &count));
    say(to, " %" PRIu64, count);
  } else if (is(w[0], "untag")) { /* untag TAG */
    say_status(to, ctx, cache->invalidate_tag(ctx, w[1], &count));
    say(to, " %" PRIu64, count);
  } else if (is(w[0], "clear")) { /* clear NS */
    say_status(to, ctx, cache->clear(ctx, w[1], &count));
    say(to, " %" PRIu64, count);
  } else if (is(w[0], "keys")) { /* keys NS PREFIX CURSOR LIMIT */
    status = cache->keys(ctx, w[1], w[2], w[3], (uint32_t)number(w[4]), pintle_buf_sink(&list), pintle_buf_sink(&next));
    say_status(to, ctx, status);
    for (at = 0; at < list.len; at += strlen((char *)list.ptr + at) + 1) {
      say(to, " ");
      say_bytes(to, list.ptr + at, strlen((char *)list.ptr + at));
    }
    say(to, " next=%s", next.ptr ? (char *)next.ptr : "");
  } else if (is(w[0], "stats")) {
    say_status(to, ctx, cache->stats(ctx, &stats));
    say(to, " items=%" PRIu64 " bytes=%" PRIu64 " of=%" PRIu64 " guaranteed=%" PRIu64 " evicted=%" PRIu64, stats.items,
        stats.bytes, stats.capacity_bytes, stats.guaranteed_bytes, stats.evicted);
  } else {
    return 0;
  }
  pintle_buf_free(&list);
  pintle_buf_free(&next);
  return 1;
}

static int cache(pintle_ctx ctx, const pintle_str *w, pintle_buf *to) {
  const pintle_cache *cache = host->cache;
  pintle_cache_options options;
  pintle_cache_info info;
  pintle_str tags[TAGS];
  pintle_buf value = {0};
  pintle_status status;
  uint32_t there = 7;
  int64_t sum = 7777;
  memset(&info, 0, sizeof info);
  info.size = sizeof info;
  if (is(w[0], "get")) {
    status = cache->get(ctx, w[1], w[2], pintle_buf_sink(&value), &info);
    say_status(to, ctx, status);
    if (status == PINTLE_OK) {
      say(to, info.flags & PINTLE_CACHE_INTEGER ? " integer " : " bytes ");
      say_bytes(to, value.ptr, value.len);
      if (info.flags & PINTLE_CACHE_INTEGER) say(to, " %" PRId64, info.integer);
      say_life(to, info.ttl_ms);
      if (info.flags & PINTLE_CACHE_STALE) say(to, " stale");
    } else if (info.flags & PINTLE_CACHE_ABSENT) {
      say(to, " absent version=%" PRIu64, info.version);
    }
  } else if (is(w[0], "version")) { /* version NS KEY: what `version=` takes */
    say_status(to, ctx, cache->get(ctx, w[1], w[2], pintle_discard_sink(), &info));
    say(to, " %" PRIu64, info.version);
  } else if (is(w[0], "absent")) { /* absent NS KEY [TTL [OPTION…]] */
    say_status(to, ctx, cache->set_absent(ctx, w[1], w[2], with_options(&options, w + 3, tags)));
  } else if (is(w[0], "into")) {
    uint8_t buf[64];
    size_t len = 4711, cap = (size_t)number(w[3]), at, untouched = 0;
    memset(buf, '#', sizeof buf);
    status = cache->get_into(ctx, w[1], w[2], cap == 0 ? NULL : buf, cap, &len, &info);
    for (at = 0; at < sizeof buf; at++) untouched += buf[at] == '#';
    say_status(to, ctx, status);
    say(to, " len=%zu untouched=%zu ", len, untouched);
    if (status == PINTLE_OK) say_bytes(to, buf, len);
  } else if (is(w[0], "set")) {
    status = cache->set(ctx, w[1], w[2], pintle_bytesn(w[3].ptr, w[3].len), with_options(&options, w + 4, tags));
    say_status(to, ctx, status);
  } else if (is(w[0], "remove")) {
    say_status(to, ctx, cache->remove(ctx, w[1], w[2], &there));
    say(to, " %u", there);
  } else if (is(w[0], "exists")) {
    say_status(to, ctx, cache->exists(ctx, w[1], w[2], &there));
    say(to, " %u", there);
  } else if (is(w[0], "incr")) {
    say_status(to, ctx, cache->incr(ctx, w[1], w[2], number(w[3]), with_options(&options, w + 4, tags), &sum));
    say(to, " %" PRId64, sum);
  } else if (is(w[0], "expire")) {
    say_status(to, ctx, cache->expire(ctx, w[1], w[2], number(w[3]), (uint32_t)number(w[4]), &there));
    say(to, " %u", there);
  } else if (is(w[0], "ttl")) {
    status = cache->ttl(ctx, w[1], w[2], &sum);
    say_status(to, ctx, status);
    if (status == PINTLE_OK) say_life(to, sum);
  } else {
    return 0;
  }
  pintle_buf_free(&value);
  return 1;
}

static int storage(pintle_ctx ctx, const pintle_str *w, pintle_buf *to) {
  const pintle_storage *storage = host->storage;
  pintle_storage_options options;
  pintle_storage_info info;
  pintle_buf value = {0}, next = {0};
  pintle_status status;
  uint32_t there = 7;
  uint64_t version = 7777;
  size_t at;
  memset(&options, 0, sizeof options);
  memset(&info, 0, sizeof info);
  options.size = sizeof options;
  info.size = sizeof info;
  if (is(w[0], "sget")) {
    status = storage->get(ctx, w[1], pintle_buf_sink(&value), &info);
    say_status(to, ctx, status);
    if (status == PINTLE_OK) {
      say(to, " ");
      say_bytes(to, value.ptr, value.len);
      say(to, " version=%" PRIu64 " created=%" PRId64 " updated=%" PRId64, info.version, info.created_ms,
          info.updated_ms);
    }
  } else if (is(w[0], "sset")) {
    if (w[3].len > 0) {
      options.flags = PINTLE_STORAGE_IF_VERSION;
      options.if_version = (uint64_t)number(w[3]);
    }
    say_status(to, ctx, storage->set(ctx, w[1], pintle_bytesn(w[2].ptr, w[2].len), &options, &version));
    say(to, " version=%" PRIu64, version);
  } else if (is(w[0], "sremove")) {
    say_status(to, ctx, storage->remove(ctx, w[1], &there));
    say(to, " %u", there);
  } else if (is(w[0], "sexists")) {
    say_status(to, ctx, storage->exists(ctx, w[1], &there));
    say(to, " %u", there);
  } else if (is(w[0], "skeys")) {
    status = storage->keys(ctx, w[1], w[2], (uint32_t)number(w[3]), pintle_buf_sink(&value), pintle_buf_sink(&next));
    say_status(to, ctx, status);
    for (at = 0; at < value.len; at += strlen((char *)value.ptr + at) + 1) {
      say(to, " ");
      say_bytes(to, value.ptr + at, strlen((char *)value.ptr + at));
    }
    say(to, " next=%s", next.ptr ? (char *)next.ptr : "");
  } else if (is(w[0], "sclear")) {
    say_status(to, ctx, storage->clear(ctx, &version));
    say(to, " %" PRIu64, version);
  } else {
    return 0;
  }
  pintle_buf_free(&value);
  pintle_buf_free(&next);
  return 1;
}

static void one(pintle_ctx ctx, const pintle_str *w, pintle_buf *to) {
  pintle_release release = free;
  int at;
  if (cache(ctx, w, to) || items(ctx, w, to) || storage(ctx, w, to)) {
  } else if (is(w[0], "listen")) { /* listen NAME PATTERN */
    pintle_subscribe_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.name = w[1];
    say_status(to, ctx, host->events->subscribe(ctx, w[2], on_event, copy_of(w[1]), release, &options, NULL));
  } else if (is(w[0], "emit")) { /* emit TOPIC DATA */
    say_status(to, ctx, host->events->emit(ctx, w[1], pintle_bytesn(w[2].ptr, w[2].len), NULL));
  } else if (is(w[0], "every")) { /* every NAME MS USER; tells the handle */
    pintle_registration job = 0;
    say_status(to, ctx,
               host->scheduler->interval(ctx, w[1], number(w[2]), on_job, copy_of(w[3]), release, NULL, &job));
    say(to, " %" PRIu64, job);
  } else if (is(w[0], "stop")) { /* stop HANDLE: of a job */
    say_status(to, ctx, host->scheduler->remove(ctx, (pintle_registration)strtoull(w[1].ptr, NULL, 10)));
  } else if (is(w[0], "hold")) { /* hold NAME */
    for (at = 0; at < HELD && held[at].ctx != 0; at++) continue;
    say_status(to, ctx, at == HELD ? PINTLE_QUOTA : host->hold(ctx, &held[at].ctx));
    if (at < HELD) snprintf(held[at].name, sizeof held[at].name, "%s", w[1].ptr);
  } else if (is(w[0], "heard")) {
    pthread_mutex_lock(&lock);
    say(to, "0 ");
    pintle_buf_write(to, heard.ptr, heard.len);
    pthread_mutex_unlock(&lock);
  } else if (is(w[0], "loaded")) {
    say(to, "0 ");
    pintle_buf_write(to, loaded.ptr, loaded.len);
  } else {
    say(to, "-1 there is no command %s", w[0].ptr);
  }
}

/* Commands, a line each; a line each of what they came to. `as NAME COMMAND` does it with a held context. */
static void commands(pintle_ctx ctx, const char *text, size_t length, pintle_buf *to) {
  pintle_buf memory[WORDS];
  pintle_str words[WORDS + 2]; /* as many as a command may have, also behind `as NAME` */
  size_t at = 0, n;
  memset(memory, 0, sizeof memory);
  memset(words, 0, sizeof words);
  while (at < length) {
    pintle_ctx with = ctx;
    size_t first = 0;
    for (n = 0; n < WORDS; n++) {
      size_t begin = at;
      while (at < length && text[at] != ' ' && text[at] != '\n') at++;
      words[n] = word_of(text + begin, at - begin, &memory[n]);
      if (at < length && text[at] == ' ') at++;
    }
    while (at < length && text[at] != '\n') at++;
    at++;
    if (is(words[0], "as")) {
      for (n = 0; n < HELD; n++) {
        if (is(words[1], held[n].name)) with = held[n].ctx;
      }
      first = 2;
    }
    one(with, words + first, to);
    say(to, "\n");
  }
  for (n = 0; n < WORDS; n++) pintle_buf_free(&memory[n]);
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  pintle_buf script = {0};
  (void)state;
  host = given;
  host->config->text(ctx, PINTLE_STR("/load"), pintle_buf_sink(&script));
  if (script.len > 0) commands(ctx, (char *)script.ptr, script.len, &loaded);
  pintle_buf_free(&script);
  return PINTLE_OK;
}

static void unload(void *state, pintle_ctx ctx) {
  (void)state;
  (void)ctx;
  pintle_buf_free(&heard);
  pintle_buf_free(&loaded);
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  pintle_buf answer = {0};
  pintle_status status;
  (void)state;
  commands(ctx, (const char *)request->data.ptr, request->data.len, &answer);
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
                                     NULL,
                                     NULL,
                                     unload,
                                     NULL,
                                     NULL,
                                     NULL,
                                     call,
                                     NULL};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) {
  return &plugin;
}
