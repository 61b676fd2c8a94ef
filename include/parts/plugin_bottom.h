/* The one function that a plugin exports. It returns static data, does no work and calls nobody.
 *
 * Returns: what the plugin is, valid as long as the library is mapped.
 * Thread: one that the host made.
 * Blocks: never.
 * Since: 1.0. */
PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void);

/* PINTLE_MANIFEST({ "id": "…", … }); embeds the manifest, which is read without loading the library. Use it
 * once, at file level, and let the plugin's struct point at it with PINTLE_MANIFEST_BYTES. The text may have
 * at most 4,095 bytes in pedantic C; for longer ones put NAME.pintle.json beside the library. */
#if defined(__APPLE__)
#define PINTLE_SECTION __attribute__((section("__DATA,__pintle"), used, aligned(8)))
#elif defined(_MSC_VER)
#pragma section(".pintle", read)
#define PINTLE_SECTION __declspec(allocate(".pintle")) __declspec(align(8))
#else
#define PINTLE_SECTION __attribute__((section(".pintle"), used, aligned(8)))
#endif
#define PINTLE_MANIFEST(...)                                                                                  \
  static const struct {                                                                                       \
    char magic[8];                                                                                            \
    uint64_t length;                                                                                          \
    char text[sizeof(#__VA_ARGS__)];                                                                          \
  } pintle_manifest_record PINTLE_SECTION = {"PINTLE1", sizeof(#__VA_ARGS__) - 1, #__VA_ARGS__}
#define PINTLE_MANIFEST_BYTES {(const uint8_t *)&pintle_manifest_record, sizeof pintle_manifest_record}

/* A string literal as a pintle_str: in static initialisers, and in expressions. */
#define PINTLE_STR_INIT(literal) {"" literal, sizeof(literal) - 1}
#define PINTLE_STR(literal) pintle_strn("" literal, sizeof(literal) - 1)

/* Does this host's table reach as far as `member`? Ask before using what is newer than the manifest's `abi`. */
#define PINTLE_HAS(table, member)                                                                             \
  ((size_t)((const char *)(&(table)->member + 1) - (const char *)(table)) <= (size_t)(table)->size)

/* `len` bytes of text from `ptr`. */
static inline pintle_str pintle_strn(const char *ptr, size_t len) {
  pintle_str text;
  text.ptr = ptr;
  text.len = len;
  return text;
}

/* A NUL-terminated string; null is empty. */
static inline pintle_str pintle_cstr(const char *text) {
  return pintle_strn(text, text ? strlen(text) : 0);
}

/* `len` bytes from `ptr`. */
static inline pintle_bytes pintle_bytesn(const void *ptr, size_t len) {
  pintle_bytes bytes;
  bytes.ptr = (const uint8_t *)ptr;
  bytes.len = len;
  return bytes;
}

/* Are two texts the same bytes? */
static inline int pintle_str_eq(pintle_str a, pintle_str b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* A growable buffer of the plugin's own memory. Start with `pintle_buf b = {0}` ({} in C++), end with
 * pintle_buf_free. The bytes are always followed by a NUL that `len` does not count. */
typedef struct pintle_buf {
  uint8_t *ptr;
  size_t len;
  size_t cap;
} pintle_buf;

/* Appends; PINTLE_TOO_LARGE if there is no memory, and then nothing was appended. */
static inline pintle_status pintle_buf_write(pintle_buf *buf, const void *ptr, size_t len) {
  if (len > SIZE_MAX / 2 - 1 || buf->len > SIZE_MAX / 2 - 1 - len) return PINTLE_TOO_LARGE;
  if (buf->ptr == NULL || buf->len + len + 1 > buf->cap) {
    size_t cap = buf->cap < 64 ? 64 : buf->cap;
    uint8_t *grown;
    while (cap < buf->len + len + 1) cap *= 2;
    grown = (uint8_t *)realloc(buf->ptr, cap);
    if (grown == NULL) return PINTLE_TOO_LARGE;
    buf->ptr = grown;
    buf->cap = cap;
  }
  if (len > 0) memcpy(buf->ptr + buf->len, ptr, len);
  buf->len += len;
  buf->ptr[buf->len] = 0;
  return PINTLE_OK;
}

/* The `write` of pintle_buf_sink. */
static inline pintle_status pintle_buf_take(void *data, pintle_bytes piece) {
  return pintle_buf_write((pintle_buf *)data, piece.ptr, piece.len);
}

/* A sink that appends to `buf`, which must outlive the call that the sink is passed to. */
static inline pintle_sink pintle_buf_sink(pintle_buf *buf) {
  pintle_sink sink;
  sink.data = buf;
  sink.write = pintle_buf_take;
  return sink;
}

/* The text in the buffer; valid until it is next written to. */
static inline pintle_str pintle_buf_str(const pintle_buf *buf) {
  return pintle_strn((const char *)buf->ptr, buf->len);
}

/* Empties the buffer and keeps its memory. */
static inline void pintle_buf_clear(pintle_buf *buf) {
  buf->len = 0;
  if (buf->ptr != NULL) buf->ptr[0] = 0;
}

/* Frees the buffer's memory; it may be used again. */
static inline void pintle_buf_free(pintle_buf *buf) {
  free(buf->ptr);
  buf->ptr = NULL;
  buf->len = 0;
  buf->cap = 0;
}

/* A sink for results that are not wanted. */
static inline pintle_status pintle_discard(void *data, pintle_bytes piece) {
  (void)data;
  (void)piece;
  return PINTLE_OK;
}
static inline pintle_sink pintle_discard_sink(void) {
  pintle_sink sink;
  sink.data = NULL;
  sink.write = pintle_discard;
  return sink;
}

/* Writes to a sink that the host gave. */
static inline pintle_status pintle_sink_write(pintle_sink sink, const void *ptr, size_t len) {
  return sink.write(sink.data, pintle_bytesn(ptr, len));
}

/* Fields of log records. */
static inline pintle_field pintle_field_of(uint32_t kind, pintle_str name) {
  pintle_field field;
  memset(&field, 0, sizeof field);
  field.size = (uint32_t)sizeof field;
  field.kind = kind;
  field.name = name;
  return field;
}
static inline pintle_field pintle_field_text(pintle_str name, pintle_str value) {
  pintle_field field = pintle_field_of(PINTLE_FIELD_TEXT, name);
  field.text = value;
  return field;
}
static inline pintle_field pintle_field_integer(pintle_str name, int64_t value) {
  pintle_field field = pintle_field_of(PINTLE_FIELD_INTEGER, name);
  field.integer = value;
  return field;
}
static inline pintle_field pintle_field_number(pintle_str name, double value) {
  pintle_field field = pintle_field_of(PINTLE_FIELD_NUMBER, name);
  field.number = value;
  return field;
}
static inline pintle_field pintle_field_boolean(pintle_str name, int value) {
  pintle_field field = pintle_field_of(PINTLE_FIELD_BOOLEAN, name);
  field.integer = value != 0;
  return field;
}

/* Options for an item that is fresh for `ttl_ms`; 0: it does not expire. All else is the default until it is set. */
static inline pintle_cache_options pintle_cache_options_ttl(int64_t ttl_ms) {
  pintle_cache_options options;
  memset(&options, 0, sizeof options);
  options.size = (uint32_t)sizeof options;
  options.flags = PINTLE_CACHE_TTL;
  options.ttl_ms = ttl_ms;
  return options;
}

/* Reads an item into `value`, an empty buffer, and has `load` load it where it has to be loaded: once, however many ask for
 * it at the same time. `load` writes the item's bytes to the buffer that it is given and answers PINTLE_OK;
 * PINTLE_NOT_FOUND says that there is nothing to be loaded, which the cache keeps too, for a while; after anything else the
 * old item is given, if it is still within its spans. `options` (may be null) are for what is loaded; its tags also for
 * what is known to be absent. Answers what `fetch` does, or what `load` did; or what `set` does where the options are wrong or
 * writing is not granted, for then nothing would ever be kept. That what was loaded cannot be kept for another reason is no
 * failure. The manifest's methods, if it lists them, are `fetch` and `set`.
 *
 * Why it failed stands in `last_error`, also where a call to the host failed inside of `load`. A `load` that fails for a
 * reason of its own tells it by `set_error`: then do not put the text of `last_error` over it. */
static inline pintle_status pintle_cache_get_or_load(const pintle_cache *cache, pintle_ctx ctx, pintle_str ns,
                                                     pintle_str key, const pintle_cache_options *options,
                                                     pintle_status (*load)(void *user, pintle_ctx ctx, pintle_buf *value),
                                                     void *user, pintle_buf *value) {
  pintle_cache_lease lease = 0;
  pintle_cache_options kept;
  pintle_status written, status = cache->fetch(ctx, ns, key, NULL, pintle_buf_sink(value), NULL, &lease);
  if (lease == 0) return status;
  pintle_buf_clear(value); /* a stale item: `fail` gives it again */
  status = load(user, ctx, value);
  if (status != PINTLE_OK) pintle_buf_clear(value);
  if (status != PINTLE_OK && status != PINTLE_NOT_FOUND) {
    if (cache->fail(ctx, lease, pintle_buf_sink(value), NULL) == PINTLE_OK) return PINTLE_OK;
    pintle_buf_clear(value);
    return status;
  }
  memset(&kept, 0, sizeof kept);
  kept.size = (uint32_t)sizeof kept;
  if (options != NULL) {
    if (status == PINTLE_OK) kept = *options;
    kept.tags = options->tags;
    kept.tag_count = options->tag_count;
  }
  kept.lease = lease;
  written = status == PINTLE_OK ? cache->set(ctx, ns, key, pintle_bytesn(value->ptr, value->len), &kept)
                                : cache->set_absent(ctx, ns, key, &kept);
  /* What was loaded is good, whether it can be kept or not; but nobody is to wait any longer for it. */
  if (written != PINTLE_OK) cache->fail(ctx, lease, pintle_discard_sink(), NULL);
  if (written == PINTLE_DENIED || written == PINTLE_INVALID_ARGUMENT || written == PINTLE_OUT_OF_RANGE ||
      written == PINTLE_UNSUPPORTED) {
    pintle_buf_clear(value);
    return written;
  }
  return status;
}

/* Options of `emit` for a durable event. With an id it is published once, however often it is said within the dedupe window;
 * without (PINTLE_STR("")) the host makes one. All else is the default until it is set. */
static inline pintle_emit_options pintle_emit_durable(pintle_str id) {
  pintle_emit_options options;
  memset(&options, 0, sizeof options);
  options.size = (uint32_t)sizeof options;
  options.flags = PINTLE_EMIT_DURABLE;
  options.id = id;
  return options;
}

/* Options of `subscribe` for a durable subscription of this name (empty: the pattern). Its events are acknowledged by the OK of
 * the handler, unless PINTLE_SUBSCRIBE_ACK is added to the flags. All else is the default until it is set. */
static inline pintle_subscribe_options pintle_subscribe_durable(pintle_str name) {
  pintle_subscribe_options options;
  memset(&options, 0, sizeof options);
  options.size = (uint32_t)sizeof options;
  options.flags = PINTLE_SUBSCRIBE_DURABLE;
  options.name = name;
  return options;
}

/* Options of `cron`, `interval`, `once` and `after` for a durable job that is tried again `retries` times where a run fails,
 * after a second at first and then each time twice as long. All else is the default until it is set. */
static inline pintle_job_options pintle_job_durable(uint32_t retries) {
  pintle_job_options options;
  memset(&options, 0, sizeof options);
  options.size = (uint32_t)sizeof options;
  options.flags = PINTLE_JOB_DURABLE;
  options.retries = retries;
  return options;
}

/* What the runs of a job are given, as text. */
static inline pintle_str pintle_run_text(const pintle_run *run) {
  return pintle_strn((const char *)run->data.ptr, run->data.len);
}

/* SQL. Values to be bound to placeholders; text and blobs are borrowed. */
static inline pintle_sql_value pintle_sql_null(void) {
  pintle_sql_value value;
  memset(&value, 0, sizeof value);
  return value;
}
static inline pintle_sql_value pintle_sql_int(int64_t integer) {
  pintle_sql_value value = pintle_sql_null();
  value.kind = PINTLE_SQL_INTEGER;
  value.integer = integer;
  return value;
}
static inline pintle_sql_value pintle_sql_real(double real) {
  pintle_sql_value value = pintle_sql_null();
  value.kind = PINTLE_SQL_REAL;
  value.real = real;
  return value;
}
static inline pintle_sql_value pintle_sql_blob(pintle_bytes bytes) {
  pintle_sql_value value = pintle_sql_null();
  value.kind = PINTLE_SQL_BLOB;
  value.bytes = bytes;
  return value;
}
static inline pintle_sql_value pintle_sql_text(pintle_str text) {
  pintle_sql_value value = pintle_sql_blob(pintle_bytesn(text.ptr, text.len));
  value.kind = PINTLE_SQL_TEXT;
  return value;
}

/* Values as the two arguments `values` and `count` of a call; without values pass NULL and 0.
 *
 *   db->execute(ctx, 0, PINTLE_STR("INSERT INTO seen VALUES (?1, ?2)"),
 *               PINTLE_SQL(pintle_sql_text(name), pintle_sql_int(7)), NULL, NULL); */
#ifdef __cplusplus
template <size_t count>
struct pintle_sql_array {
  pintle_sql_value values[count];
};
template <class... Value>
static inline pintle_sql_array<sizeof...(Value)> pintle_sql_array_of(const Value &...values) {
  return {{values...}};
}
template <size_t count>
static inline const pintle_sql_value *pintle_sql_first(const pintle_sql_array<count> &array) {
  return array.values;
}
#define PINTLE_SQL(...)                                                                                       \
  pintle_sql_first(pintle_sql_array_of(__VA_ARGS__)),                                                         \
      sizeof(pintle_sql_array_of(__VA_ARGS__)) / sizeof(pintle_sql_value)
#else
#define PINTLE_SQL(...)                                                                                       \
  (const pintle_sql_value[]){__VA_ARGS__}, sizeof((const pintle_sql_value[]){__VA_ARGS__}) / sizeof(pintle_sql_value)
#endif

/* The values of a row: what a column is, or `fallback` where it is NULL or of another kind. An INTEGER is taken for a REAL,
 * and nothing else for anything else. Text and blobs are borrowed from the row. */
static inline int pintle_sql_is_null(const pintle_sql_value *value) {
  return value->kind == PINTLE_SQL_NULL;
}
static inline int64_t pintle_sql_as_int(const pintle_sql_value *value, int64_t fallback) {
  return value->kind == PINTLE_SQL_INTEGER ? value->integer : fallback;
}
static inline double pintle_sql_as_real(const pintle_sql_value *value, double fallback) {
  if (value->kind == PINTLE_SQL_INTEGER) return (double)value->integer;
  return value->kind == PINTLE_SQL_REAL ? value->real : fallback;
}
static inline pintle_str pintle_sql_as_text(const pintle_sql_value *value, pintle_str fallback) {
  return value->kind == PINTLE_SQL_TEXT ? pintle_strn((const char *)value->bytes.ptr, value->bytes.len) : fallback;
}
static inline pintle_bytes pintle_sql_as_blob(const pintle_sql_value *value, pintle_bytes fallback) {
  return value->kind == PINTLE_SQL_BLOB ? value->bytes : fallback;
}

/* The same for those who must know: PINTLE_WRONG_TYPE where the column is NULL or of another kind, and nothing is written. */
static inline pintle_status pintle_sql_get_int(const pintle_sql_value *value, int64_t *integer) {
  if (value->kind != PINTLE_SQL_INTEGER) return PINTLE_WRONG_TYPE;
  *integer = value->integer;
  return PINTLE_OK;
}
static inline pintle_status pintle_sql_get_real(const pintle_sql_value *value, double *real) {
  if (value->kind != PINTLE_SQL_INTEGER && value->kind != PINTLE_SQL_REAL) return PINTLE_WRONG_TYPE;
  *real = pintle_sql_as_real(value, 0);
  return PINTLE_OK;
}
static inline pintle_status pintle_sql_get_text(const pintle_sql_value *value, pintle_str *text) {
  if (value->kind != PINTLE_SQL_TEXT) return PINTLE_WRONG_TYPE;
  *text = pintle_strn((const char *)value->bytes.ptr, value->bytes.len);
  return PINTLE_OK;
}
static inline pintle_status pintle_sql_get_blob(const pintle_sql_value *value, pintle_bytes *bytes) {
  if (value->kind != PINTLE_SQL_BLOB) return PINTLE_WRONG_TYPE;
  *bytes = value->bytes;
  return PINTLE_OK;
}

/* Rows for `query`: each goes to `row`, with `data`. Set `columns` of what is returned to be told the names, too. */
static inline pintle_sql_rows pintle_sql_each(pintle_status (*row)(void *data, const pintle_sql_value *values,
                                                                   size_t count),
                                              void *data) {
  pintle_sql_rows rows;
  rows.data = data;
  rows.columns = NULL;
  rows.row = row;
  return rows;
}

/* A row that is copied, with its text and blobs. */
typedef struct pintle_sql_copy {
  pintle_sql_value *values;
  size_t room;
  pintle_buf *bytes;
  pintle_status status;
} pintle_sql_copy;

/* The `row` of pintle_sql_one. */
static inline pintle_status pintle_sql_copy_row(void *data, const pintle_sql_value *values, size_t count) {
  pintle_sql_copy *copy = (pintle_sql_copy *)data;
  size_t at, offset = copy->bytes == NULL ? 0 : copy->bytes->len;
  if (count > copy->room) count = copy->room;
  for (at = 0; at < count && copy->status == PINTLE_OK; at++) {
    copy->values[at] = values[at];
    if (values[at].kind != PINTLE_SQL_TEXT && values[at].kind != PINTLE_SQL_BLOB) continue;
    if (copy->bytes == NULL)
      copy->status = PINTLE_WRONG_TYPE;
    else
      copy->status = pintle_buf_write(copy->bytes, values[at].bytes.ptr, values[at].bytes.len);
    if (copy->status == PINTLE_OK) copy->status = pintle_buf_write(copy->bytes, "", 1);
  }
  if (copy->status != PINTLE_OK) return copy->status;
  /* The buffer moves no more. */
  for (at = 0; at < count; at++) {
    if (values[at].kind != PINTLE_SQL_TEXT && values[at].kind != PINTLE_SQL_BLOB) continue;
    copy->values[at].bytes.ptr = copy->bytes->ptr + offset;
    offset += values[at].bytes.len + 1;
  }
  return PINTLE_OK;
}

/* Runs a query that gives one row, and copies up to `room` of its columns to `row`; what it has less is NULL. Texts and
 * blobs are appended to `bytes`, each with a NUL behind it that does not count, and stay until that is next written to.
 * Answers what `query_one` does, and nothing is in `row` where that is not OK; PINTLE_TOO_LARGE also if there is no memory,
 * PINTLE_WRONG_TYPE if `bytes` is null and there is something for it.
 *
 *   pintle_sql_value row[2];
 *   pintle_buf bytes = {0};
 *   status = pintle_sql_one(db, ctx, 0, PINTLE_STR("SELECT name, seen FROM people WHERE id = ?1"),
 *                           PINTLE_SQL(pintle_sql_int(id)), row, 2, &bytes); */
static inline pintle_status pintle_sql_one(const pintle_database *database, pintle_ctx ctx, pintle_transaction tx,
                                           pintle_str sql, const pintle_sql_value *values, size_t count,
                                           pintle_sql_value *row, size_t room, pintle_buf *bytes) {
  pintle_sql_copy copy;
  pintle_status status;
  size_t at;
  copy.values = row;
  copy.room = room;
  copy.bytes = bytes;
  copy.status = PINTLE_OK;
  for (at = 0; at < room; at++) row[at] = pintle_sql_null();
  status = database->query_one(ctx, tx, sql, values, count, pintle_sql_each(pintle_sql_copy_row, &copy), NULL, NULL);
  if (status == PINTLE_OK) return PINTLE_OK;
  for (at = 0; at < room; at++) row[at] = pintle_sql_null();
  return copy.status == PINTLE_OK ? status : copy.status;
}

/* Ends a transaction: commits it if all went well, and else rolls it back and gives that status on, with its text still in
 * `last_error`.
 *
 *   pintle_transaction tx;
 *   pintle_status status = db->begin(ctx, 0, NULL, &tx);
 *   if (status != PINTLE_OK) return status;
 *   status = db->execute(ctx, tx, PINTLE_STR("UPDATE stock SET left = left - 1 WHERE item = ?1"),
 *                        PINTLE_SQL(pintle_sql_text(item)), NULL, NULL);
 *   if (status == PINTLE_OK)
 *     status = db->execute(ctx, tx, PINTLE_STR("INSERT INTO sold VALUES (?1)"),
 *                          PINTLE_SQL(pintle_sql_text(item)), NULL, NULL);
 *   return pintle_sql_end(db, ctx, tx, status);
 *
 * Every statement in between names `tx`: with 0 it would wait for the transaction that its own caller has open. */
static inline pintle_status pintle_sql_end(const pintle_database *database, pintle_ctx ctx, pintle_transaction tx,
                                           pintle_status status) {
  if (status == PINTLE_OK) {
    status = database->commit(ctx, tx);
    if (status != PINTLE_BUSY) return status; /* then a nested one is open, and it goes on */
  }
  (void)database->rollback(ctx, tx);
  return status;
}

/* A migration, in a static initialiser:
 *
 *   static const pintle_migration history[] = {
 *     PINTLE_MIGRATION(1, "first", "CREATE TABLE seen (name TEXT PRIMARY KEY, times INTEGER NOT NULL) STRICT"),
 *     PINTLE_MIGRATION(2, "when", "ALTER TABLE seen ADD COLUMN last INTEGER"),
 *   }; */
#define PINTLE_MIGRATION(number, name, sql)                                                                   \
  {(uint32_t)sizeof(pintle_migration), number, PINTLE_STR_INIT(name), PINTLE_STR_INIT(sql)}

/* A column for `create_table`; set `default_value` of what is returned where there is one. */
static inline pintle_sql_column pintle_sql_column_of(pintle_str name, uint32_t kind, uint32_t flags) {
  pintle_sql_column column;
  memset(&column, 0, sizeof column);
  column.size = (uint32_t)sizeof column;
  column.flags = flags;
  column.name = name;
  column.kind = kind;
  return column;
}

#endif /* PINTLE_PLUGIN_H */
