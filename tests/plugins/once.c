/* once: begins and ends operations that must happen once, as it is told. See README.md beside it.
 *
 * -DNAME=second makes the plugin `second`; -DASKS='{ "methods": ["get"] }' narrows what it asks for. */
#define _GNU_SOURCE
#include "words.h"

#include <pthread.h>

#ifndef NAME
#define NAME once
#endif
#ifndef ASKS
#define ASKS {}
#endif

MANIFEST({
  "id": TEXT(NAME), "version": "0.1.0", "abi": "1.0",
  "services": { "idempotency": ASKS },
  "provides": { TEXT(NAME.run): { "major": 1, "methods": ["do"] } },
  "config": {
    "type": "object",
    "properties": { "load": { "type": "string", "default": "" } },
    "additionalProperties": false
  }
});

enum { WORDS = 7, CROWD = 64 };

static pintle_buf loaded; /* what the commands in config `load` came to */

static pintle_bytes bytes_of(pintle_str word) {
  return pintle_bytesn(word.ptr, word.len);
}

static void say_info(pintle_buf *to, const pintle_idempotency_info *info, const pintle_buf *result, size_t pieces) {
  static const char *const states[] = {"nothing", "started", "progress", "done", "failed", "mismatch"};
  say(to, " %s attempt=%u", info->state < 6 ? states[info->state] : "unknown", info->attempt);
  if (info->flags == PINTLE_IDEMPOTENCY_TAKEN_OVER) say(to, " over");
  else if (info->flags != 0) say(to, " flags=%u", info->flags);
  if (info->state == PINTLE_IDEMPOTENCY_DONE || info->state == PINTLE_IDEMPOTENCY_FAILED) {
    if (result->len > 256) say(to, " %zu bytes", result->len);
    else say(to, " result=%.*s/%zu", (int)result->len, result->len ? (const char *)result->ptr : "", pieces);
  } else if (pieces != 0) {
    say(to, " pieces=%zu", pieces);
  }
  if (info->token != 0) say(to, " token=%" PRIu64, info->token);
  say(to, " left=%" PRId64 " begun=%" PRId64, info->left_ms, info->begun_ms);
}

/* A sink that counts its pieces. */
struct counted {
  pintle_buf bytes;
  size_t pieces;
};

static pintle_status count(void *data, pintle_bytes piece) {
  struct counted *counted = data;
  counted->pieces++;
  return pintle_buf_write(&counted->bytes, piece.ptr, piece.len);
}

static pintle_status refuse(void *data, pintle_bytes piece) {
  (void)data;
  (void)piece;
  return PINTLE_BUSY;
}

/* Many that begin one key at once. */
struct crowd {
  pintle_ctx ctx;
  pintle_str key;
  pthread_barrier_t gate;
  pthread_mutex_t lock;
  int states[6], failed;
};

static void *begin_one(void *data) {
  struct crowd *crowd = data;
  pintle_idempotency_info info;
  pintle_status status;
  memset(&info, 0, sizeof info);
  info.size = sizeof info;
  pthread_barrier_wait(&crowd->gate);
  status = host->idempotency->begin(crowd->ctx, PINTLE_STR("race"), crowd->key, pintle_bytesn("p", 1), NULL, &info,
                                    pintle_discard_sink());
  pthread_mutex_lock(&crowd->lock);
  if (status == PINTLE_OK && info.state < 6) crowd->states[info.state]++;
  else crowd->failed++;
  pthread_mutex_unlock(&crowd->lock);
  return NULL;
}

static void race(pintle_ctx ctx, pintle_str key, pintle_buf *to) {
  struct crowd crowd;
  pthread_t threads[CROWD];
  int at;
  memset(&crowd, 0, sizeof crowd);
  crowd.ctx = ctx;
  crowd.key = key;
  pthread_barrier_init(&crowd.gate, NULL, CROWD);
  pthread_mutex_init(&crowd.lock, NULL);
  for (at = 0; at < CROWD; at++) {
    if (pthread_create(&threads[at], NULL, begin_one, &crowd) != 0) abort(); /* the others would wait for ever */
  }
  for (at = 0; at < CROWD; at++) pthread_join(threads[at], NULL);
  pthread_barrier_destroy(&crowd.gate);
  pthread_mutex_destroy(&crowd.lock);
  say(to, "started=%d progress=%d else=%d", crowd.states[PINTLE_IDEMPOTENCY_STARTED],
      crowd.states[PINTLE_IDEMPOTENCY_IN_PROGRESS],
      CROWD - crowd.states[PINTLE_IDEMPOTENCY_STARTED] - crowd.states[PINTLE_IDEMPOTENCY_IN_PROGRESS]);
}

/* `bad`: each argument that is wrong, and what comes of it. */
static void bad(pintle_ctx ctx, pintle_buf *to) {
  const pintle_idempotency *once = host->idempotency;
  const pintle_str op = PINTLE_STR("bad"), key = PINTLE_STR("k");
  const pintle_bytes none = pintle_bytesn(NULL, 0), null = pintle_bytesn(NULL, 3);
  const pintle_sink sink = pintle_discard_sink(), deaf = {NULL, NULL}, refusing = {NULL, refuse};
  pintle_str null_text = {NULL, 3};
  pintle_idempotency_options options;
  pintle_idempotency_info info;
  uint32_t sizes[] = {0, 7, 23, 4097}, at;
  memset(&info, 0, sizeof info);
  memset(&options, 0, sizeof options);
  info.size = sizeof info;
  options.size = sizeof options;
#define TRIED(name, call) (say(to, "%s ", name), say_status(to, ctx, call), say(to, "\n"))
  TRIED("operation_null", once->begin(ctx, null_text, key, none, NULL, &info, sink));
  TRIED("operation_empty", once->begin(ctx, PINTLE_STR(""), key, none, NULL, &info, sink));
  TRIED("operation_utf8", once->begin(ctx, PINTLE_STR("\xff"), key, none, NULL, &info, sink));
  TRIED("key_null", once->begin(ctx, op, null_text, none, NULL, &info, sink));
  TRIED("key_nul", once->begin(ctx, op, pintle_strn("a\0b", 3), none, NULL, &info, sink));
  TRIED("fingerprint_null", once->begin(ctx, op, key, null, NULL, &info, sink));
  TRIED("info_null", once->begin(ctx, op, key, none, NULL, NULL, sink));
  for (at = 0; at < sizeof sizes / sizeof *sizes; at++) {
    info.size = sizes[at];
    TRIED("info_size", once->begin(ctx, op, key, none, NULL, &info, sink));
  }
  info.size = sizeof info;
  options.flags = 1;
  TRIED("flags", once->begin(ctx, op, key, none, &options, &info, sink));
  options.flags = 0;
  options.size = 7;
  TRIED("options_size", once->begin(ctx, op, key, none, &options, &info, sink));
  options.size = sizeof options;
  options.lease_ms = -1;
  TRIED("lease_below", once->begin(ctx, op, key, none, &options, &info, sink));
  options.lease_ms = 86400001;
  TRIED("lease_above", once->begin(ctx, op, key, none, &options, &info, sink));
  options.lease_ms = 0;
  options.keep_ms = -1;
  TRIED("keep_below", once->begin(ctx, op, key, none, &options, &info, sink));
  options.keep_ms = INT64_C(31536000001);
  TRIED("keep_above", once->begin(ctx, op, key, none, &options, &info, sink));
  TRIED("get_operation", once->get(ctx, PINTLE_STR(""), key, &info, sink));
  TRIED("get_info", once->get(ctx, op, key, NULL, sink));
  TRIED("nothing_begun", once->get(ctx, op, key, &info, sink));
  info.state = 77;
  TRIED("stale", once->begin(12345, op, key, none, NULL, &info, sink));
  say(to, "untouched %u\n", info.state);
  TRIED("deaf", once->begin(ctx, op, key, none, NULL, &info, deaf));
  TRIED("complete_null", once->complete(ctx, info.token, null));
  TRIED("complete_zero", once->complete(ctx, 0, none));
  TRIED("fail_null", once->fail(ctx, info.token, 1, null));
  TRIED("fail_keep", once->fail(ctx, info.token, 2, none));
  TRIED("fail_zero", once->fail(ctx, 0, 1, none));
  TRIED("renew_zero", once->renew(ctx, 0, 0));
  TRIED("renew_below", once->renew(ctx, info.token, -1));
  TRIED("renew_above", once->renew(ctx, info.token, 86400001));
  TRIED("forged", once->complete(ctx, info.token ^ 1, none));
  TRIED("still_there", once->complete(ctx, info.token, none));
  info.state = 77;
  TRIED("refused", once->begin(ctx, op, key, none, NULL, &info, refusing));
  TRIED("refused_get", once->get(ctx, op, key, &info, refusing));
  say(to, "untouched %u\n", info.state);
  info.size = 24; /* as an older plugin has it: nothing behind the token is written */
  info.left_ms = 4711;
  TRIED("short", once->begin(ctx, op, key, none, NULL, &info, deaf));
  say(to, "short %u %" PRId64, info.state, info.left_ms);
#undef TRIED
}

static void one(pintle_ctx ctx, const pintle_str *w, pintle_buf *to) {
  const pintle_idempotency *once = host->idempotency;
  pintle_idempotency_options options;
  pintle_idempotency_info info;
  struct counted result;
  pintle_sink sink;
  pintle_status status;
  memset(&options, 0, sizeof options);
  memset(&info, 0, sizeof info);
  memset(&result, 0, sizeof result);
  options.size = sizeof options;
  info.size = sizeof info;
  sink.data = &result;
  sink.write = count;
  if (is(w[0], "begin")) { /* begin OPERATION KEY FINGERPRINT [LEASE [KEEP]] */
    options.lease_ms = number(w[4]);
    options.keep_ms = number(w[5]);
    status = once->begin(ctx, w[1], w[2], bytes_of(w[3]), w[4].len > 0 ? &options : NULL, &info, sink);
    say_status(to, ctx, status);
    if (status == PINTLE_OK) say_info(to, &info, &result.bytes, result.pieces);
  } else if (is(w[0], "get")) { /* get OPERATION KEY */
    status = once->get(ctx, w[1], w[2], &info, sink);
    say_status(to, ctx, status);
    if (status == PINTLE_OK) say_info(to, &info, &result.bytes, result.pieces);
  } else if (is(w[0], "complete")) { /* complete TOKEN RESULT */
    say_status(to, ctx, once->complete(ctx, token_of(w[1]), bytes_of(w[2])));
  } else if (is(w[0], "fail")) { /* fail TOKEN KEEP ERROR */
    say_status(to, ctx, once->fail(ctx, token_of(w[1]), (uint32_t)number(w[2]), bytes_of(w[3])));
  } else if (is(w[0], "renew")) { /* renew TOKEN LEASE */
    say_status(to, ctx, once->renew(ctx, token_of(w[1]), number(w[2])));
  } else if (is(w[0], "race")) { /* race KEY */
    race(ctx, w[1], to);
  } else if (is(w[0], "bad")) {
    bad(ctx, to);
  } else if (is(w[0], "loaded")) {
    pintle_buf_write(to, loaded.ptr, loaded.len);
  } else {
    say(to, "no command");
  }
  pintle_buf_free(&result.bytes);
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
  pintle_buf_free(&loaded);
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
