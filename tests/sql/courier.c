/* courier: carries statements to the host's table and what came of them back, both in a byte form that keeps every type.
 *
 * A request is statements, one behind the other: u8 how, u32 length of the SQL, the SQL, u32 number of values, the values. The
 * reply has an outcome for each, in order; `courier.rs` reads it. Numbers are those of the machine. A transaction that is begun
 * holds the statements behind it; where one is open when the request ends, the host rolls it back. So that a reply stays within
 * a mebibyte, it may end before all statements were done, outside of a transaction: what is left is asked again. */
#include <pintle/plugin.h>

PINTLE_MANIFEST({
  "id": "courier", "version": "0.1.0", "abi": "1.0",
  "services": { "database": {} },
  "provides": { "sql.carry": { "major": 1, "methods": ["carry", "count"] } }
});

enum { QUERY, QUERY_ONE, EXECUTE, SCRIPT, BEGIN, COMMIT, ROLLBACK };
/* Transactions that may be open, one in another; values of a statement; bytes of rows that are carried; bytes of a reply. */
enum { DEEPEST = 8, MOST_VALUES = 64, CARRIED = 32 << 10, ENOUGH = 400 << 10 };

typedef struct reader {
  const uint8_t *at, *end;
} reader;

typedef struct outcome {
  uint64_t rows;
  uint64_t hash; /* FNV-1a of all rows as they would be carried */
  uint64_t length;
  uint32_t columns; /* how often `columns` was called */
  pintle_buf names, carried;
} outcome;

static const pintle_host *host;

static void put(pintle_buf *to, const void *bytes, size_t length) { pintle_buf_write(to, bytes, length); }

static void put_number(pintle_buf *to, uint32_t number) { put(to, &number, sizeof number); }

static void put_long(pintle_buf *to, uint64_t number) { put(to, &number, sizeof number); }

static int get(reader *from, void *bytes, size_t length) {
  if ((size_t)(from->end - from->at) < length) return 0;
  if (length > 0) memcpy(bytes, from->at, length);
  from->at += length;
  return 1;
}

/* Bytes that stay where they are. */
static int get_bytes(reader *from, pintle_bytes *bytes) {
  uint32_t length;
  if (!get(from, &length, sizeof length) || (size_t)(from->end - from->at) < length) return 0;
  bytes->ptr = from->at;
  bytes->len = length;
  from->at += length;
  return 1;
}

static int get_value(reader *from, pintle_sql_value *value) {
  static const pintle_sql_value null;
  uint8_t kind;
  *value = null;
  if (!get(from, &kind, 1)) return 0;
  value->kind = kind;
  switch (kind) {
  case PINTLE_SQL_INTEGER:
    return get(from, &value->integer, sizeof value->integer);
  case PINTLE_SQL_REAL:
    return get(from, &value->real, sizeof value->real);
  case PINTLE_SQL_TEXT:
  case PINTLE_SQL_BLOB:
    return get_bytes(from, &value->bytes);
  default:
    return 1;
  }
}

static void carry_bytes(outcome *outcome, const void *bytes, size_t length) {
  const uint8_t *each = bytes;
  size_t at;
  for (at = 0; at < length; at++) outcome->hash = (outcome->hash ^ each[at]) * 0x100000001b3u;
  if (outcome->length + length <= CARRIED) put(&outcome->carried, bytes, length);
  outcome->length += length;
}

static pintle_status take_names(void *data, const pintle_str *names, size_t count) {
  outcome *outcome = data;
  size_t at;
  outcome->columns += 1;
  put_number(&outcome->names, (uint32_t)count);
  for (at = 0; at < count; at++) {
    put_number(&outcome->names, (uint32_t)names[at].len);
    put(&outcome->names, names[at].ptr, names[at].len);
  }
  return PINTLE_OK;
}

static pintle_status take_row(void *data, const pintle_sql_value *values, size_t count) {
  outcome *outcome = data;
  size_t at;
  outcome->rows += 1;
  for (at = 0; at < count; at++) {
    const pintle_sql_value *value = &values[at];
    uint8_t kind = (uint8_t)value->kind;
    carry_bytes(outcome, &kind, 1);
    switch (value->kind) {
    case PINTLE_SQL_INTEGER:
      carry_bytes(outcome, &value->integer, sizeof value->integer);
      break;
    case PINTLE_SQL_REAL:
      carry_bytes(outcome, &value->real, sizeof value->real);
      break;
    case PINTLE_SQL_TEXT:
    case PINTLE_SQL_BLOB: {
      uint32_t length = (uint32_t)value->bytes.len;
      carry_bytes(outcome, &length, sizeof length);
      carry_bytes(outcome, value->bytes.ptr, value->bytes.len);
      break;
    }
    default:
      break;
    }
  }
  return PINTLE_OK;
}

static void put_outcome(pintle_buf *to, pintle_ctx ctx, pintle_status status, const pintle_sql_info *info,
                        outcome *outcome) {
  pintle_buf text = {0};
  if (status != PINTLE_OK) host->last_error(ctx, pintle_buf_sink(&text));
  put_number(to, (uint32_t)status);
  put_number(to, info->error_code);
  put_long(to, info->changed);
  put_long(to, (uint64_t)info->last_insert_id);
  put_long(to, info->rows);
  put_long(to, (uint64_t)info->error_offset);
  put_number(to, (uint32_t)text.len);
  put(to, text.ptr, text.len);
  put_number(to, outcome->columns);
  put_number(to, (uint32_t)outcome->names.len);
  put(to, outcome->names.ptr, outcome->names.len);
  put_long(to, outcome->rows);
  put_long(to, outcome->hash);
  put_number(to, (uint32_t)outcome->carried.len);
  put(to, outcome->carried.ptr, outcome->carried.len);
  pintle_buf_free(&text);
  pintle_buf_free(&outcome->names);
  pintle_buf_free(&outcome->carried);
}

static pintle_status carry(pintle_ctx ctx, reader *from, pintle_buf *to) {
  pintle_transaction open[DEEPEST] = {0};
  size_t depth = 0;
  while (from->at < from->end && (depth > 0 || to->len < ENOUGH)) {
    pintle_sql_value values[MOST_VALUES];
    pintle_sql_info info = {0};
    pintle_sql_rows rows = {0};
    outcome outcome = {0};
    pintle_status status = PINTLE_UNSUPPORTED;
    pintle_bytes bytes;
    pintle_str sql;
    uint32_t count, at;
    uint8_t how;
    pintle_transaction tx = depth > 0 ? open[depth - 1] : 0;
    if (!get(from, &how, 1) || !get_bytes(from, &bytes) || !get(from, &count, sizeof count)) return PINTLE_INVALID_ARGUMENT;
    if (count > MOST_VALUES) return PINTLE_INVALID_ARGUMENT;
    for (at = 0; at < count; at++) {
      if (!get_value(from, &values[at])) return PINTLE_INVALID_ARGUMENT;
    }
    sql = pintle_strn((const char *)bytes.ptr, bytes.len);
    info.size = sizeof info;
    info.error_offset = -2; /* it is not written where the database was not reached */
    outcome.hash = 0xcbf29ce484222325u;
    rows.data = &outcome;
    rows.columns = take_names;
    rows.row = take_row;
    switch (how) {
    case QUERY:
      status = host->database->query(ctx, tx, sql, values, count, rows, NULL, &info);
      break;
    case QUERY_ONE:
      status = host->database->query_one(ctx, tx, sql, values, count, rows, NULL, &info);
      break;
    case EXECUTE:
      status = host->database->execute(ctx, tx, sql, values, count, NULL, &info);
      break;
    case SCRIPT:
      status = host->database->script(ctx, tx, sql, NULL, &info);
      break;
    case BEGIN:
      if (depth == DEEPEST) break;
      status = host->database->begin(ctx, tx, NULL, &open[depth]);
      if (status == PINTLE_OK) depth += 1;
      break;
    case COMMIT:
    case ROLLBACK:
      if (depth == 0) break;
      status = how == COMMIT ? host->database->commit(ctx, tx) : host->database->rollback(ctx, tx);
      depth -= 1;
      break;
    default:
      break;
    }
    put_outcome(to, ctx, status, &info, &outcome);
  }
  return PINTLE_OK;
}

typedef struct counted {
  uint64_t rows;
  uint64_t sum;
} counted;

static pintle_status count_row(void *data, const pintle_sql_value *values, size_t count) {
  counted *counted = data;
  size_t at;
  counted->rows += 1;
  for (at = 0; at < count; at++) counted->sum += (uint64_t)values[at].integer + values[at].bytes.len;
  return PINTLE_OK;
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  pintle_status status;
  (void)state;
  if (pintle_str_eq(request->method, pintle_cstr("count"))) {
    /* The request is SQL: how many rows it gives, and what was in them. */
    counted counted = {0, 0};
    pintle_sql_rows rows = {0};
    rows.data = &counted;
    rows.row = count_row;
    status = host->database->query(ctx, 0, pintle_strn((const char *)request->data.ptr, request->data.len), NULL, 0, rows,
                                   NULL, NULL);
    return status == PINTLE_OK ? pintle_sink_write(reply, &counted, sizeof counted) : status;
  } else {
    reader from = {request->data.ptr, request->data.ptr + request->data.len};
    pintle_buf to = {0};
    status = carry(ctx, &from, &to);
    if (status == PINTLE_OK) status = pintle_sink_write(reply, to.ptr, to.len);
    pintle_buf_free(&to);
    return status;
  }
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
  .id = PINTLE_STR_INIT("courier"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
  .call = call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
