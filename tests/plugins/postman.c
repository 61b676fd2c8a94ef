/* postman: publishes and follows durable events, as it is told, and tells what it was given. See README.md beside it.
 *
 * -DNAME=second makes the plugin `second`. */
#define _POSIX_C_SOURCE 200809L
#include "words.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#ifndef NAME
#define NAME postman
#endif

MANIFEST({
  "id": TEXT(NAME), "version": "0.1.0", "abi": "1.0",
  "services": {
    "events": { "publish": [">"], "subscribe": ["plugin.>", "orders.>"] },
    "storage": {}
  },
  "provides": { TEXT(NAME.run): { "major": 1, "methods": ["do"] } },
  "config": {
    "type": "object",
    "properties": {
      "load": { "type": "string", "default": "" },
      "notes": { "type": "string", "default": "" }
    },
    "additionalProperties": false
  }
});

enum { WORDS = 9, MOST = 16, PENDING = 1024 };

static pintle_buf loaded; /* what the commands in config `load` came to */
static pintle_buf seen;   /* a line for each delivery; only touched on the lane */
static pintle_registration made[MOST];
static size_t count;

/* What has config `notes`, the name of a file: there each delivery is noted when it begins and when it ends, so that it is
 * known even if the process is killed, and nothing is kept for `seen`. */
static int notes = -1;

/* A delivery that waits for `answer`. */
typedef struct pending {
  uint64_t delivery;
  char about[96];
  int fails; /* it is nacked, not acknowledged */
} pending;
static pending waiting[PENDING]; /* only touched on the lane */
static size_t waits;

/* One line, in one piece. */
static void note(const char *form, ...) {
  char text[256];
  va_list values;
  int length;
  va_start(values, form);
  length = vsnprintf(text, sizeof text, form, values);
  va_end(values);
  if (length < 0 || (size_t)length >= sizeof text || write(notes, text, (size_t)length) != length) abort();
}

/* Acknowledges a delivery. It is noted before, for it counts before this returns; and again if it did not. */
static pintle_status acknowledge(pintle_ctx ctx, uint64_t delivery, const char *about) {
  pintle_status status;
  note("A %s ok .\n", about);
  status = host->events->ack(ctx, delivery);
  if (status != PINTLE_OK) note("A %s fail .\n", about);
  return status;
}

/* A delivery where deliveries are noted: B NAME DATA SEQUENCE ATTEMPT KEY when it begins, E NAME DATA SEQUENCE ATTEMPT ANSWER when it
 * ends, A NAME DATA SEQUENCE ATTEMPT ANSWER when it is acknowledged; a dot ends a line that is whole. `fail` and `once` are as in
 * `on_event`; `slow` takes two milliseconds; where deliveries are acknowledged explicitly, `late` is so from within, and all others
 * by the command `answer`, to which `nack` is nacked at the first attempt. */
static pintle_status noted(const char *name, pintle_ctx ctx, const pintle_event *event) {
  const char *data = (const char *)event->data.ptr;
  struct timespec slow = {0, 2000000};
  pintle_status status = PINTLE_OK;
  char about[96];
#define BEGINS(text) (event->data.len >= sizeof text - 1 && memcmp(data, text, sizeof text - 1) == 0)
  snprintf(about, sizeof about, "%s %.*s %" PRIu64 " %u", name, (int)event->data.len, data, event->sequence,
           (unsigned)event->attempt);
  note("B %s %.*s .\n", about, (int)event->key.len, event->key.len ? event->key.ptr : "");
  if (BEGINS("slow")) nanosleep(&slow, NULL);
  if (BEGINS("fail") || (BEGINS("once") && event->attempt == 1)) {
    host->set_error(ctx, PINTLE_STR("as it was told"));
    status = PINTLE_INTERNAL;
  } else if (event->delivery != 0 && BEGINS("late")) {
    status = acknowledge(ctx, event->delivery, about);
  } else if (event->delivery != 0) {
    if (waits == PENDING) abort();
    waiting[waits].delivery = event->delivery;
    waiting[waits].fails = BEGINS("nack") && event->attempt == 1;
    memcpy(waiting[waits++].about, about, sizeof about);
  }
  note("E %s %s .\n", about, status != PINTLE_OK ? "fail" : event->delivery != 0 ? "wait" : "ok");
#undef BEGINS
  return status;
}

/* Answers every delivery that waits. */
static pintle_status answer(pintle_ctx ctx) {
  pintle_status status = PINTLE_OK, one;
  while (waits > 0) {
    pending *last = &waiting[--waits];
    if (last->fails) one = host->events->nack(ctx, last->delivery, 1, PINTLE_STR("as it was told"));
    else one = acknowledge(ctx, last->delivery, last->about);
    if (one != PINTLE_OK) status = one;
  }
  return status;
}

/* A line for each delivery: the subscription's name, the event's data, sequence, attempt, delivery, tenant and key. What the data
 * begin with says what is answered: `fail`: always an error; `once`: an error at the first attempt; `die`: the process ends; `late`:
 * an ack from within, then OK. */
static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  const char *data = (const char *)event->data.ptr;
  size_t length = event->data.len;
  (void)reply;
  if (notes >= 0) return noted((const char *)user, ctx, event);
#define BEGINS(text) (length >= sizeof text - 1 && memcmp(data, text, sizeof text - 1) == 0)
  if (BEGINS("die")) abort();
  say(&seen, "%s %.*s sequence=%" PRIu64 " attempt=%u delivery=%" PRIu64 " tenant=%.*s key=%.*s\n", (const char *)user,
      (int)length, data, event->sequence, event->attempt, event->delivery, (int)event->tenant.len,
      event->tenant.len ? event->tenant.ptr : "", (int)event->key.len, event->key.len ? event->key.ptr : "");
  if (BEGINS("late")) return host->events->ack(ctx, event->delivery);
  if (BEGINS("fail") || (BEGINS("once") && event->attempt == 1)) {
    host->set_error(ctx, PINTLE_STR("as it was told"));
    return PINTLE_INTERNAL;
  }
#undef BEGINS
  return PINTLE_OK;
}

static uint32_t start_of(pintle_str word) {
  if (is(word, "all")) return PINTLE_START_ALL;
  if (is(word, "sequence")) return PINTLE_START_SEQUENCE;
  if (is(word, "time")) return PINTLE_START_TIME;
  return PINTLE_START_NEW;
}

/* follow PATTERN NAME MODE [BACKOFF [MAX [START [AT]]]]; MODE: auto, ack, transient; `ack50` also sets the ack
 * deadline, `auto7` the priority */
static pintle_status follow(pintle_ctx ctx, const pintle_str *w) {
  pintle_subscribe_options options;
  pintle_event_handler handler = on_event;
  pintle_status status;
  char *name = malloc(w[2].len + 1);
  if (name == NULL || count == MOST) return PINTLE_INTERNAL;
  memcpy(name, w[2].ptr, w[2].len);
  name[w[2].len] = 0;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.name = w[2];
  if (!is(w[3], "transient")) options.flags |= PINTLE_SUBSCRIBE_DURABLE;
  if (w[3].len >= 3 && memcmp(w[3].ptr, "ack", 3) == 0) {
    options.flags |= PINTLE_SUBSCRIBE_ACK;
    options.ack_ms = number(pintle_strn(w[3].ptr + 3, w[3].len - 3));
  }
  if (w[3].len >= 4 && memcmp(w[3].ptr, "auto", 4) == 0)
    options.priority = (int32_t)number(pintle_strn(w[3].ptr + 4, w[3].len - 4));
  options.backoff_ms = number(w[4]);
  options.max_deliveries = (uint32_t)number(w[5]);
  options.start = start_of(w[6]);
  options.start_at = number(w[7]);
  options.filter = w[8];
  status = host->events->subscribe(ctx, w[1], handler, name, free, &options, &made[count]);
  if (status == PINTLE_OK) count++;
  else free(name);
  return status;
}

/* Options that are refused. */
static void bad(pintle_ctx ctx, pintle_buf *to) {
  pintle_subscribe_options o;
  pintle_emit_options e;
  pintle_str pattern = PINTLE_STR("plugin.postman.bad");
#define TRIED(what, set)                                                                                \
  (memset(&o, 0, sizeof o), o.size = sizeof o, o.flags = PINTLE_SUBSCRIBE_DURABLE, set, say(to, "%s ", what), \
   say_status(to, ctx, host->events->subscribe(ctx, pattern, on_event, NULL, NULL, &o, NULL)), say(to, "\n"))
  TRIED("capacity", o.capacity = 1);
  TRIED("policy", o.policy = PINTLE_QUEUE_WAIT);
  TRIED("flags", o.flags = 4);
  TRIED("ack_alone", o.flags = PINTLE_SUBSCRIBE_ACK);
  TRIED("start_of_transient", (o.flags = 0, o.start = PINTLE_START_ALL));
  TRIED("start", o.start = 9);
  TRIED("start_at", o.start_at = 1);
  TRIED("sequence", (o.start = PINTLE_START_SEQUENCE, o.start_at = -1));
  TRIED("ack_ms", o.ack_ms = 3600001);
  TRIED("backoff_ms", o.backoff_ms = -1);
  TRIED("max_deliveries", o.max_deliveries = 1001);
  TRIED("in_flight", o.in_flight = 1025);
  TRIED("priority", o.priority = 1001);
  TRIED("filter", o.filter = PINTLE_STR("{\"exact\":{}}"));
#undef TRIED
  memset(&e, 0, sizeof e);
  e.size = sizeof e;
  e.flags = PINTLE_EMIT_DURABLE;
  say(to, "emit_sync ");
  say_status(to, ctx,
             host->events->emit_sync(ctx, PINTLE_STR("x"), pintle_bytesn("", 0), &e, 0, NULL, NULL, NULL));
  e.flags = 2;
  say(to, "\nemit_flags ");
  say_status(to, ctx, host->events->emit(ctx, PINTLE_STR("x"), pintle_bytesn("", 0), &e));
  say(to, "\nack ");
  say_status(to, ctx, host->events->ack(ctx, 4711));
  say(to, "\nnack ");
  say_status(to, ctx, host->events->nack(ctx, 4711, 0, PINTLE_STR("")));
  say(to, "\nnack_delay ");
  say_status(to, ctx, host->events->nack(ctx, 4711, -1, PINTLE_STR("")));
}

/* batch KEY VERSION VALUE TOPIC DATA: an item, if it has this version, and an event */
static pintle_status batch(pintle_ctx ctx, const pintle_str *w) {
  pintle_storage_step steps[2];
  pintle_storage_options options;
  memset(steps, 0, sizeof steps);
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.flags = PINTLE_STORAGE_IF_VERSION;
  options.if_version = (uint64_t)number(w[2]);
  steps[0].size = steps[1].size = sizeof *steps;
  steps[0].kind = PINTLE_STEP_SET;
  steps[0].key = w[1];
  steps[0].value = pintle_bytesn(w[3].ptr, w[3].len);
  steps[0].options = &options;
  steps[1].kind = PINTLE_STEP_EMIT;
  steps[1].key = w[4];
  steps[1].value = pintle_bytesn(w[5].ptr, w[5].len);
  return host->storage->batch(ctx, steps, 2, NULL, NULL, NULL);
}

static void one(pintle_ctx ctx, const pintle_str *w, pintle_buf *to) {
  pintle_emit_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  if (is(w[0], "emit") || is(w[0], "plain")) { /* emit TOPIC DATA [KEY [ID]] */
    options.flags = is(w[0], "emit") ? PINTLE_EMIT_DURABLE : 0;
    options.key = w[3];
    options.id = w[4];
    say_status(to, ctx, host->events->emit(ctx, w[1], pintle_bytesn(w[2].ptr, w[2].len), &options));
  } else if (is(w[0], "follow")) {
    say_status(to, ctx, follow(ctx, w));
  } else if (is(w[0], "unfollow")) { /* unfollow NUMBER, from 0 in the order in which they were made */
    say_status(to, ctx, host->events->unsubscribe(ctx, made[(size_t)number(w[1]) % MOST]));
  } else if (is(w[0], "ack")) { /* ack DELIVERY */
    say_status(to, ctx, host->events->ack(ctx, token_of(w[1])));
  } else if (is(w[0], "nack")) { /* nack DELIVERY DELAY REASON */
    say_status(to, ctx, host->events->nack(ctx, token_of(w[1]), number(w[2]), w[3]));
  } else if (is(w[0], "answer")) { /* answers all that wait: see `noted` */
    say_status(to, ctx, answer(ctx));
  } else if (is(w[0], "batch")) {
    say_status(to, ctx, batch(ctx, w));
  } else if (is(w[0], "seen")) {
    pintle_buf_write(to, seen.ptr, seen.len);
  } else if (is(w[0], "bad")) {
    bad(ctx, to);
  } else if (is(w[0], "loaded")) {
    pintle_buf_write(to, loaded.ptr, loaded.len);
  } else {
    say(to, "no command");
  }
}

/* Does commands, a line each. */
static void all(pintle_ctx ctx, const char *from, size_t length, pintle_buf *to) {
  pintle_buf memory[WORDS];
  pintle_str words[WORDS];
  size_t at = 0, n;
  memset(memory, 0, sizeof memory);
  while (at < length) {
    at = words_of(from, length, at, words, memory, WORDS);
    one(ctx, words, to);
    say(to, "\n");
  }
  for (n = 0; n < WORDS; n++) pintle_buf_free(&memory[n]);
}

static pintle_status load(pintle_ctx ctx, const pintle_host *from, void **state) {
  pintle_buf commands = {0};
  *state = NULL;
  host = from;
  if (host->config->text(ctx, PINTLE_STR("/notes"), pintle_buf_sink(&commands)) == PINTLE_OK && commands.len > 0) {
    pintle_buf_write(&commands, "", 1);
    notes = open((const char *)commands.ptr, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (notes < 0) return PINTLE_INTERNAL;
  }
  pintle_buf_clear(&commands);
  if (host->config->text(ctx, PINTLE_STR("/load"), pintle_buf_sink(&commands)) == PINTLE_OK)
    all(ctx, (const char *)commands.ptr, commands.len, &loaded);
  pintle_buf_free(&commands);
  return PINTLE_OK;
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  pintle_buf told = {0};
  pintle_status status;
  (void)state;
  all(ctx, (const char *)request->data.ptr, request->data.len, &told);
  status = reply.write(reply.data, pintle_bytesn(told.ptr, told.len));
  pintle_buf_free(&told);
  return status;
}

static void unload(void *state, pintle_ctx ctx) {
  (void)state;
  (void)ctx;
  count = waits = 0;
  if (notes >= 0) close(notes);
  notes = -1;
  pintle_buf_free(&loaded);
  pintle_buf_free(&seen);
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
