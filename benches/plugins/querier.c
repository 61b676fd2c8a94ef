/* querier: runs SQL through the host's table as often as it is asked to, and tells how long it took.
 *
 * Request and reply are this file's structs, as bytes: the bench and the plugin are one process, so pointers mean the
 * same on both sides. */
#define _POSIX_C_SOURCE 200809L
#include <pintle/plugin.h>

#include <sched.h>
#include <time.h>

PINTLE_MANIFEST({
  "id": "querier", "version": "0.1.0", "abi": "1.0", "concurrency": 8,
  "services": { "database": {} },
  "provides": { "bench.sql": { "major": 1, "methods": ["run"] } }
});

enum { SCRIPT, ONE, STREAM, INSERTS, INSERT, BLOB, EMPTY };
enum { INSERTED = 1000 };

typedef struct work {
  uint64_t what;
  uint64_t turns;
  pintle_str sql;
  /* Which keys to take, one after the other: ONE. */
  const int64_t *keys;
  /* What is inserted: TEXT and BLOB. */
  pintle_bytes bytes;
  /* As many threads as `threads` says begin together: each counts itself in here and waits for the others. */
  uint64_t *gate;
  uint64_t threads;
} work;

typedef struct done {
  uint64_t from, to;
  uint64_t rows;
  /* Of everything that rows held, so that each value was looked at. */
  uint64_t sum;
} done;

static const pintle_host *host;

static uint64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static pintle_status meet(const work *work) {
  uint64_t until = now() + 10000000000u;
  __atomic_add_fetch(work->gate, 1, __ATOMIC_ACQ_REL);
  while (__atomic_load_n(work->gate, __ATOMIC_ACQUIRE) < work->threads) {
    if (now() > until) return PINTLE_TIMEOUT;
    sched_yield();
  }
  return PINTLE_OK;
}

static pintle_status take(void *data, const pintle_sql_value *values, size_t count) {
  done *done = data;
  size_t at;
  for (at = 0; at < count; at++) {
    const pintle_sql_value *value = &values[at];
    switch (value->kind) {
    case PINTLE_SQL_INTEGER:
      done->sum += (uint64_t)value->integer;
      break;
    case PINTLE_SQL_REAL:
      done->sum += (uint64_t)value->real;
      break;
    case PINTLE_SQL_TEXT:
    case PINTLE_SQL_BLOB:
      done->sum += value->bytes.len ? ((const uint8_t *)value->bytes.ptr)[0] : 0;
      break;
    default:
      break;
    }
  }
  done->rows += 1;
  return PINTLE_OK;
}

static pintle_sql_value integer(int64_t number) {
  pintle_sql_value value = {0};
  value.kind = PINTLE_SQL_INTEGER;
  value.integer = number;
  return value;
}

static pintle_sql_value of_bytes(uint32_t kind, pintle_bytes bytes) {
  pintle_sql_value value = {0};
  value.kind = kind;
  value.bytes = bytes;
  return value;
}

static pintle_status insert(pintle_ctx ctx, const work *work, pintle_transaction tx, uint64_t turn) {
  pintle_sql_value values[4] = {{0}};
  values[0] = integer((int64_t)turn + 1);
  values[1].kind = PINTLE_SQL_REAL;
  values[1].real = (double)turn * 0.5;
  values[2] = of_bytes(PINTLE_SQL_TEXT, work->bytes);
  values[3] = of_bytes(PINTLE_SQL_BLOB, work->bytes);
  return host->database->execute(ctx, tx, work->sql, values, 4, NULL, NULL);
}

static pintle_status inserts(pintle_ctx ctx, const work *work) {
  pintle_transaction tx;
  uint64_t at;
  pintle_status status = host->database->begin(ctx, 0, NULL, &tx);
  if (status != PINTLE_OK) return status;
  for (at = 0; at < INSERTED && status == PINTLE_OK; at++) status = insert(ctx, work, tx, at);
  if (status == PINTLE_OK) return host->database->commit(ctx, tx);
  host->database->rollback(ctx, tx);
  return status;
}

static pintle_status run(pintle_ctx ctx, const work *work, done *done) {
  pintle_sql_rows rows = {done, NULL, take};
  pintle_sql_value value;
  pintle_transaction tx;
  pintle_status status = PINTLE_OK;
  uint64_t turn;
  for (turn = 0; turn < work->turns && status == PINTLE_OK; turn++) {
    switch (work->what) {
    case SCRIPT:
      status = host->database->script(ctx, 0, work->sql, NULL, NULL);
      break;
    case ONE:
      value = integer(work->keys[turn]);
      status = host->database->query_one(ctx, 0, work->sql, &value, 1, rows, NULL, NULL);
      break;
    case STREAM:
      status = host->database->query(ctx, 0, work->sql, NULL, 0, rows, NULL, NULL);
      break;
    case INSERTS:
      status = inserts(ctx, work);
      break;
    case INSERT:
      status = insert(ctx, work, 0, turn);
      break;
    case BLOB:
      value = of_bytes(PINTLE_SQL_BLOB, work->bytes);
      status = host->database->execute(ctx, 0, work->sql, &value, 1, NULL, NULL);
      break;
    case EMPTY:
      status = host->database->begin(ctx, 0, NULL, &tx);
      if (status == PINTLE_OK) status = host->database->commit(ctx, tx);
      break;
    default:
      return PINTLE_UNSUPPORTED;
    }
  }
  return status;
}

/* Passes on what the host says of a failure. */
static void pass_on(pintle_ctx ctx, pintle_ctx held) {
  pintle_buf text = {0};
  if (host->last_error(held, pintle_buf_sink(&text)) == PINTLE_OK) host->set_error(ctx, pintle_buf_str(&text));
  pintle_buf_free(&text);
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  work work;
  done done = {0, 0, 0, 0};
  pintle_ctx held;
  pintle_status status;
  (void)state;
  if (request->data.len != sizeof work) return PINTLE_INVALID_ARGUMENT;
  memcpy(&work, request->data.ptr, sizeof work);
  /* A held context has no deadline, so that no clock is asked. */
  status = host->hold(ctx, &held);
  if (status != PINTLE_OK) return status;
  status = meet(&work);
  done.from = now();
  if (status == PINTLE_OK) status = run(held, &work, &done);
  done.to = now();
  if (status != PINTLE_OK) pass_on(ctx, held);
  host->release(held);
  return status == PINTLE_OK ? pintle_sink_write(reply, &done, sizeof done) : status;
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  (void)ctx;
  *state = NULL;
  host = given;
  return PINTLE_OK;
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("querier"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
  .call = call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
