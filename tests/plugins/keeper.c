/* keeper: keeps things in cache and storage, listens, runs jobs and holds contexts, as it is told. See README.md beside it.
 *
 * -DNAME=second makes the plugin `second`; -DCACHE='{ "namespaces": ["a"] }' narrows what it asks of the cache, -DSTORAGE and
 * -DSCHEDULER alike, -DPUBLISH what it may publish; -DLIMITS is what its manifest expects; -DCONCURRENCY=2 lets so many of its
 * calls run at once. */
#define _GNU_SOURCE
#include "words.h"

#include <pthread.h>

#ifndef NAME
#define NAME keeper
#endif
#ifndef CACHE
#define CACHE {}
#endif
#ifndef STORAGE
#define STORAGE {}
#endif
#ifndef SCHEDULER
#define SCHEDULER {}
#endif
#ifndef PUBLISH
#define PUBLISH [">"]
#endif
#ifndef LIMITS
#define LIMITS {}
#endif
#ifndef CONCURRENCY
#define CONCURRENCY 1
#endif

MANIFEST({
  "id": TEXT(NAME), "version": "0.1.0", "abi": "1.0",
  "services": {
    "cache": CACHE, "storage": STORAGE, "scheduler": SCHEDULER,
    "events": { "subscribe": ["plugin.>", "k.>"], "publish": PUBLISH }
  },
  "limits": LIMITS, "concurrency": CONCURRENCY,
  "provides": { TEXT(NAME.run): { "major": 1, "methods": ["do"] } },
  "config": {
    "type": "object",
    "properties": { "load": { "type": "string", "default": "" } },
    "additionalProperties": false
  }
});

enum { WORDS = 8, HELD = 8 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pintle_buf heard; /* what events and jobs came, one line each */
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static int is_shut; /* while it is, watches wait where they are told something */
static pintle_buf loaded; /* what the commands in config `load` came to */

/* What `hold` keeps, by name. */
static struct {
  char name[16];
  pintle_ctx ctx;
} held[HELD];

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

static pintle_status on_change(void *user, pintle_ctx ctx, const pintle_storage_change *change, pintle_sink reply) {
  static const char *const kinds[] = {"?", "set", "removed", "expired", "cleared"};
  pintle_buf tenant = {0};
  const char *name = user;
  (void)reply;
  tenant_of(ctx, &tenant);
  pthread_mutex_lock(&lock);
  say(&heard, "watch %s %s %.*s version=%" PRIu64 " tenant=%s\n", name, kinds[change->kind < 5 ? change->kind : 0],
      (int)change->key.len, change->key.ptr, change->version, tenant.ptr ? (char *)tenant.ptr : "");
  while (is_shut) pthread_cond_wait(&opened, &lock);
  pthread_mutex_unlock(&lock);
  pintle_buf_free(&tenant);
  if (strcmp(name, "failing") != 0) return PINTLE_OK;
  host->set_error(ctx, PINTLE_STR("no more ink"));
  return PINTLE_INTERNAL;
}

/* Says that a watch is over. */
static void on_watch_over(void *user) {
  pthread_mutex_lock(&lock);
  say(&heard, "released %s\n", (char *)user);
  pthread_mutex_unlock(&lock);
  free(user);
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
  *rest = number(pintle_strn(word.ptr + len, word.len - len));
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

/* `[OPTION…]` as at the end of `sput KEY VALUE`: `version=7`, `ttl=5`, `keep`, `json`; none if there are none. */
static const pintle_storage_options *stored_with(pintle_storage_options *options, const pintle_str *w) {
  int64_t value;
  size_t at;
  memset(options, 0, sizeof *options);
  options->size = sizeof *options;
  for (at = 0; at < MORE && w[at].len > 0; at++) {
    if (is(w[at], "keep")) options->flags |= PINTLE_STORAGE_KEEP_TTL;
    if (is(w[at], "json")) options->flags |= PINTLE_STORAGE_JSON;
    if (begins(w[at], "ttl=", &options->ttl_ms)) options->flags |= PINTLE_STORAGE_TTL;
    if (begins(w[at], "version=", &value)) {
      options->flags |= PINTLE_STORAGE_IF_VERSION;
      options->if_version = (uint64_t)value;
    }
  }
  return at == 0 ? NULL : options;
}

enum { STEPS = 130, PARTS = 6, PLENTY = 1 << 20 };

/* The bytes of a value; `*7` is seven times x. */
static pintle_bytes value_of(pintle_str part) {
  static char plenty[PLENTY];
  size_t times = part.len > 0 && part.ptr[0] == '*' ? (size_t)number(pintle_strn(part.ptr + 1, part.len - 1)) : 0;
  if (times == 0 || times > PLENTY) return pintle_bytesn(part.ptr, part.len);
  memset(plenty, 'x', times);
  return pintle_bytesn(plenty, times);
}

/* The next part of a text, up to `end`; empty if there is none. */
static pintle_str part_of(pintle_str *rest, char end) {
  size_t len = 0;
  pintle_str part;
  while (len < rest->len && rest->ptr[len] != end) len++;
  part = pintle_strn(rest->ptr, len);
  if (len < rest->len) len++;
  *rest = pintle_strn(rest->ptr + len, rest->len - len);
  return part;
}

/* sbatch set:KEY:VALUE[:OPTION…];remove:KEY[:OPTION];incr:KEY:DELTA[:OPTION…];check:KEY:version=N;emit:TOPIC:DATA
 * ;cron:NAME:RULE:ZONE:DATA;every:NAME:MS;once:NAME:MS, with _ for a blank in rules; tells all that it is told. */
static void batch(pintle_ctx ctx, pintle_str text, pintle_buf *to) {
  static pintle_storage_step steps[STEPS]; /* too large for a stack; one batch at a time */
  static pintle_storage_options options[STEPS];
  static pintle_storage_job jobs[STEPS];
  static uint64_t versions[STEPS];
  static int64_t values[STEPS];
  static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
  pintle_status status;
  size_t count = 0, at, failed = 4711;
  pthread_mutex_lock(&one_at_a_time);
  memset(steps, 0, sizeof steps);
  memset(jobs, 0, sizeof jobs);
  for (at = 0; at < STEPS; at++) versions[at] = 7777, values[at] = 7777;
  while (text.len > 0 && count < STEPS) {
    pintle_storage_step *step = &steps[count];
    pintle_storage_job *job = &jobs[count];
    pintle_str rest = part_of(&text, ';'), part[PARTS];
    for (at = 0; at < PARTS; at++) part[at] = part_of(&rest, ':');
    step->size = sizeof *step;
    step->key = part[1];
    job->size = sizeof *job;
    if (is(part[0], "set")) {
      step->kind = PINTLE_STEP_SET;
      step->value = value_of(part[2]);
      step->options = stored_with(&options[count], part + 3);
    } else if (is(part[0], "remove") || is(part[0], "check")) {
      step->kind = is(part[0], "remove") ? PINTLE_STEP_REMOVE : PINTLE_STEP_CHECK;
      step->options = stored_with(&options[count], part + 2);
    } else if (is(part[0], "incr")) {
      step->kind = PINTLE_STEP_INCR;
      step->delta = number(part[2]);
      step->options = stored_with(&options[count], part + 3);
    } else if (is(part[0], "emit")) {
      step->kind = PINTLE_STEP_EMIT;
      step->value = pintle_bytesn(part[2].ptr, part[2].len);
    } else {
      step->kind = PINTLE_STEP_SCHEDULE;
      step->job = job;
      if (is(part[0], "cron")) {
        for (at = 0; at < part[2].len; at++) {
          if (part[2].ptr[at] == '_') ((char *)part[2].ptr)[at] = ' ';
        }
        job->rule = part[2];
        job->zone = part[3];
        step->value = pintle_bytesn(part[4].ptr, part[4].len);
      } else if (is(part[0], "every")) {
        job->every_ms = number(part[2]);
      } else if (is(part[0], "once")) {
        job->delay_ms = number(part[2]);
      } else {
        step->kind = 77;
      }
    }
    count++;
  }
  status = host->storage->batch(ctx, steps, count, versions, values, &failed);
  say_status(to, ctx, status);
  say(to, " failed=%zu versions=", failed);
  for (at = 0; at < count; at++) say(to, "%s%" PRIu64, at ? "," : "", versions[at]);
  say(to, " values=");
  for (at = 0; at < count; at++) say(to, "%s%" PRId64, at ? "," : "", values[at]);
  pthread_mutex_unlock(&one_at_a_time);
}

/* So many items with a number behind the prefix; the last one's version. */
static void fill(pintle_ctx ctx, pintle_str prefix, int64_t count, pintle_buf *to) {
  enum { TOGETHER = 100 };
  pintle_storage_step steps[TOGETHER];
  uint64_t versions[TOGETHER] = {0};
  char keys[TOGETHER][64];
  pintle_status status = PINTLE_OK;
  int64_t at = 0;
  size_t n = 0;
  while (at < count && status == PINTLE_OK) {
    memset(steps, 0, sizeof steps);
    for (n = 0; n < TOGETHER && at < count; n++, at++) {
      snprintf(keys[n], sizeof keys[n], "%s%" PRId64, prefix.ptr, at);
      steps[n].size = sizeof steps[n];
      steps[n].kind = PINTLE_STEP_SET;
      steps[n].key = pintle_cstr(keys[n]);
    }
    status = host->storage->batch(ctx, steps, n, versions, NULL, NULL);
  }
  say_status(to, ctx, status);
  say(to, " version=%" PRIu64, n > 0 ? versions[n - 1] : 0);
}

/* What is newer than the first tests of the storage. */
static int store(pintle_ctx ctx, const pintle_str *w, pintle_buf *to) {
  const pintle_storage *storage = host->storage;
  pintle_storage_options options;
  pintle_storage_info info;
  pintle_storage_stats stats;
  pintle_watch_options begin;
  uint64_t version = 7777;
  uint32_t there = 7;
  int64_t sum = 7777;
  memset(&info, 0, sizeof info);
  memset(&stats, 0, sizeof stats);
  memset(&begin, 0, sizeof begin);
  info.size = sizeof info;
  stats.size = sizeof stats;
  begin.size = sizeof begin;
  if (is(w[0], "sput")) { /* sput KEY VALUE [OPTION…] */
    say_status(to, ctx, storage->set(ctx, w[1], pintle_bytesn(w[2].ptr, w[2].len), stored_with(&options, w + 3), &version));
    say(to, " version=%" PRIu64, version);
  } else if (is(w[0], "sincr")) { /* sincr KEY DELTA [OPTION…] */
    say_status(to, ctx, storage->incr(ctx, w[1], number(w[2]), stored_with(&options, w + 3), &sum, &version));
    say(to, " %" PRId64 " version=%" PRIu64, sum, version);
  } else if (is(w[0], "sexpire")) { /* sexpire KEY MS */
    say_status(to, ctx, storage->expire(ctx, w[1], number(w[2]), &there));
    say(to, " %u", there);
  } else if (is(w[0], "slife")) { /* slife KEY */
    say_status(to, ctx, storage->get(ctx, w[1], pintle_discard_sink(), &info));
    say_life(to, info.ttl_ms);
  } else if (is(w[0], "sinto")) { /* sinto KEY CAP */
    uint8_t buf[64];
    size_t len = 4711, cap = (size_t)number(w[2]), at, untouched = 0;
    pintle_status status;
    memset(buf, '#', sizeof buf);
    status = storage->get_into(ctx, w[1], cap == 0 ? NULL : buf, cap, &len, &info);
    for (at = 0; at < sizeof buf; at++) untouched += buf[at] == '#';
    say_status(to, ctx, status);
    say(to, " len=%zu untouched=%zu known=%d ", len, untouched, info.version != 0);
    if (status == PINTLE_OK) say_bytes(to, buf, len);
  } else if (is(w[0], "sstats")) {
    say_status(to, ctx, storage->stats(ctx, &stats));
    say(to, " items=%" PRIu64 " bytes=%" PRIu64 " most_items=%" PRIu64 " most_bytes=%" PRIu64 " version=%" PRIu64,
        stats.items, stats.bytes, stats.most_items, stats.most_bytes, stats.version);
  } else if (is(w[0], "sbatch")) {
    batch(ctx, w[1], to);
  } else if (is(w[0], "sfill")) { /* sfill PREFIX COUNT: so many items, a hundred in a commit */
    fill(ctx, w[1], number(w[2]), to);
  } else if (is(w[0], "swatch")) { /* swatch NAME PREFIX [AFTER]; tells the handle */
    pintle_registration watch = 0;
    pintle_watch_handler handler = on_change;
    pintle_release over = on_watch_over;
    char *user = copy_of(w[1]);
    pintle_status status;
    if (w[3].len > 0) begin.flags = PINTLE_WATCH_AFTER, begin.after = (uint64_t)number(w[3]);
    status = storage->watch(ctx, w[2], handler, user, over, &begin, &watch);
    if (status != PINTLE_OK) free(user);
    say_status(to, ctx, status);
    say(to, " %" PRIu64, watch);
  } else if (is(w[0], "sunwatch")) { /* sunwatch HANDLE */
    say_status(to, ctx, storage->unwatch(ctx, token_of(w[1])));
  } else if (is(w[0], "shut") || is(w[0], "open")) {
    pthread_mutex_lock(&lock);
    is_shut = is(w[0], "shut");
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&lock);
    say(to, "0");
  } else {
    return 0;
  }
  return 1;
}

/* Wrong arguments by name; what came of them. */
static void wrong(pintle_ctx ctx, pintle_str name, pintle_buf *to) {
  const pintle_storage *storage = host->storage;
  const pintle_str key = PINTLE_STR("k"), nothing = {NULL, 3};
  const pintle_bytes value = pintle_bytesn("v", 1);
  const pintle_sink none = {NULL, NULL};
  struct {
    pintle_storage_options known;
    uint64_t newer;
  } longer;
  pintle_storage_options options;
  pintle_storage_info info;
  pintle_storage_stats stats;
  pintle_storage_step step[2];
  pintle_storage_job job;
  pintle_emit_options event;
  pintle_watch_options begin;
  size_t len = 4711, failed = 4711;
  uint32_t there = 7;
  uint8_t buf[8];
  pintle_watch_handler no_handler = NULL, handler = on_change;
  pintle_release no_release = NULL;
  int in_step = 1;
  memset(&longer, 0, sizeof longer);
  memset(&options, 0, sizeof options);
  memset(&info, 0, sizeof info);
  memset(&stats, 0, sizeof stats);
  memset(step, 0, sizeof step);
  memset(&job, 0, sizeof job);
  memset(&event, 0, sizeof event);
  memset(&begin, 0, sizeof begin);
  longer.known.size = sizeof longer;
  options.size = sizeof options;
  info.size = sizeof info;
  stats.size = sizeof stats;
  step[0].size = step[1].size = sizeof step[0];
  job.size = sizeof job;
  event.size = sizeof event;
  begin.size = sizeof begin;
  step[0].kind = step[1].kind = PINTLE_STEP_SET;
  step[0].key = step[1].key = key;
  if (is(name, "key")) say_status(to, ctx, storage->set(ctx, nothing, value, NULL, NULL));
  else if (is(name, "sink")) say_status(to, ctx, storage->get(ctx, key, none, NULL));
  else if (is(name, "info")) info.size = 4, say_status(to, ctx, storage->get(ctx, key, pintle_discard_sink(), &info));
  else if (is(name, "exists")) say_status(to, ctx, storage->exists(ctx, key, NULL));
  else if (is(name, "len")) say_status(to, ctx, storage->get_into(ctx, key, buf, sizeof buf, NULL, NULL));
  else if (is(name, "buf")) say_status(to, ctx, storage->get_into(ctx, key, NULL, 8, &len, NULL));
  else if (is(name, "stats")) say_status(to, ctx, storage->stats(ctx, NULL));
  else if (is(name, "stats-size")) stats.size = 7, say_status(to, ctx, storage->stats(ctx, &stats));
  else if (is(name, "short")) {
    stats.size = 16;
    say_status(to, ctx, storage->stats(ctx, &stats));
    say(to, " items=%" PRIu64 " bytes=%" PRIu64, stats.items, stats.bytes);
  } else if (is(name, "flags")) options.flags = 64, say_status(to, ctx, storage->set(ctx, key, value, &options, NULL));
  else if (is(name, "options-size")) options.size = 4097, say_status(to, ctx, storage->set(ctx, key, value, &options, NULL));
  else if (is(name, "longer")) say_status(to, ctx, storage->set(ctx, key, value, &longer.known, NULL));
  else if (is(name, "newer")) longer.newer = 1, say_status(to, ctx, storage->set(ctx, key, value, &longer.known, NULL));
  else if (is(name, "ttl-twice")) {
    options.flags = PINTLE_STORAGE_TTL | PINTLE_STORAGE_KEEP_TTL;
    say_status(to, ctx, storage->set(ctx, key, value, &options, NULL));
  } else if (is(name, "incr-json")) {
    options.flags = PINTLE_STORAGE_JSON;
    say_status(to, ctx, storage->incr(ctx, key, 1, &options, NULL, NULL));
  } else if (is(name, "handler")) say_status(to, ctx, storage->watch(ctx, key, no_handler, NULL, no_release, NULL, NULL));
  else if (is(name, "prefix")) say_status(to, ctx, storage->watch(ctx, nothing, handler, NULL, no_release, NULL, NULL));
  else if (is(name, "watch-flags")) {
    begin.flags = 2;
    say_status(to, ctx, storage->watch(ctx, key, handler, NULL, no_release, &begin, NULL));
  } else if (is(name, "no-watch")) say_status(to, ctx, storage->unwatch(ctx, 12345));
  else if (is(name, "no-steps")) {
    say_status(to, ctx, storage->batch(ctx, step, 0, NULL, NULL, &failed));
    say(to, " failed=%zu", failed);
  } else if (is(name, "null-steps")) {
    say_status(to, ctx, storage->batch(ctx, NULL, 2, NULL, NULL, &failed));
    say(to, " failed=%zu", failed);
  } else if (is(name, "stale")) {
    say(to, "%d failed=", storage->batch(12345, step, 2, NULL, NULL, &failed));
    say(to, "%zu", failed);
  } else {
    if (is(name, "step-size")) step[1].size = 64;
    else if (is(name, "step-null")) step[1].value.len = 3;
    else if (is(name, "set-delta")) step[1].delta = 1;
    else if (is(name, "set-event")) step[1].event = &event;
    else if (is(name, "set-job")) step[1].job = &job;
    else if (is(name, "remove-value")) step[1].kind = PINTLE_STEP_REMOVE, step[1].value = value;
    else if (is(name, "remove-ttl"))
      step[1].kind = PINTLE_STEP_REMOVE, step[1].options = &options, options.flags = PINTLE_STORAGE_TTL;
    else if (is(name, "check-alone")) step[1].kind = PINTLE_STEP_CHECK;
    else if (is(name, "check-delta")) step[1].kind = PINTLE_STEP_CHECK, step[1].delta = 1;
    else if (is(name, "emit-options")) step[1].kind = PINTLE_STEP_EMIT, step[1].options = &options;
    else if (is(name, "emit-wait")) step[1].kind = PINTLE_STEP_EMIT, step[1].event = &event, event.wait_ms = 5;
    else if (is(name, "no-job")) step[1].kind = PINTLE_STEP_SCHEDULE;
    else if (is(name, "job-size")) step[1].kind = PINTLE_STEP_SCHEDULE, step[1].job = &job, job.size = 4;
    else if (is(name, "job-overlap")) step[1].kind = PINTLE_STEP_SCHEDULE, step[1].job = &job, job.overlap = 9;
    else if (is(name, "job-both")) {
      step[1].kind = PINTLE_STEP_SCHEDULE, step[1].job = &job, job.every_ms = 5, job.rule = PINTLE_STR("@daily");
    } else if (is(name, "job-delay")) {
      step[1].kind = PINTLE_STEP_SCHEDULE, step[1].job = &job, job.every_ms = 5, job.delay_ms = 5;
    } else if (is(name, "job-zone")) {
      step[1].kind = PINTLE_STEP_SCHEDULE, step[1].job = &job, job.zone = PINTLE_STR("UTC");
    } else in_step = 0;
    if (in_step) say_status(to, ctx, storage->batch(ctx, step, 2, NULL, NULL, &failed));
    say(to, in_step ? " failed=%zu" : "-1 there is no such fault %zu", failed);
    storage->exists(ctx, key, &there);
    say(to, there == 0 ? "" : " and something was written");
  }
}

static void one(pintle_ctx ctx, const pintle_str *w, pintle_buf *to) {
  pintle_release release = free;
  int at;
  if (cache(ctx, w, to) || items(ctx, w, to) || storage(ctx, w, to) || store(ctx, w, to)) {
  } else if (is(w[0], "wrong")) { /* wrong FAULT: of the storage */
    wrong(ctx, w[1], to);
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
    say_status(to, ctx, host->scheduler->remove(ctx, token_of(w[1])));
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
    at = words_of(text, length, at, words, memory, WORDS);
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
