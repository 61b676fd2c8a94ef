/* An application with the plugin compiled in twice; tries what the header's helpers do. */
#include <pintle/plugin.h>
#include <pintle/plugin.h>

#include <stdio.h>

PINTLE_EXPORT const pintle_plugin *first_entry(void);
PINTLE_EXPORT const pintle_plugin *second_entry(void);

static int failures;

#define CHECK(claim)                                             \
  do {                                                           \
    if (!(claim)) {                                              \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #claim); \
      failures++;                                                \
    }                                                            \
  } while (0)

static void entries_are_renamed(void) {
  CHECK(first_entry() != second_entry());
  CHECK(first_entry()->size == sizeof(pintle_plugin));
  CHECK(first_entry()->abi_minor == PINTLE_ABI_MINOR);
  CHECK(pintle_str_eq(first_entry()->id, pintle_cstr("header-test")));
  CHECK(first_entry()->load != NULL && first_entry()->provide == NULL);
  CHECK(memcmp(first_entry()->manifest.ptr, "PINTLE1", 8) == 0);
  CHECK(first_entry()->manifest.len > 16);
}

static void texts_are_compared_by_bytes(void) {
  CHECK(PINTLE_STR("").len == 0);
  CHECK(PINTLE_STR("four").len == 4);
  CHECK(PINTLE_STR("a\0b").len == 3);
  CHECK(pintle_cstr(NULL).len == 0 && pintle_cstr(NULL).ptr == NULL);
  CHECK(pintle_cstr("four").len == 4);
  CHECK(pintle_str_eq(PINTLE_STR("four"), pintle_strn("fourteen", 4)));
  CHECK(!pintle_str_eq(PINTLE_STR("four"), PINTLE_STR("fou")));
  CHECK(!pintle_str_eq(PINTLE_STR("four"), PINTLE_STR("foul")));
  CHECK(!pintle_str_eq(PINTLE_STR("a\0b"), PINTLE_STR("a\0c")));
  CHECK(pintle_str_eq(PINTLE_STR(""), pintle_cstr(NULL)));
}

static void a_buffer_grows_and_keeps_what_it_has(void) {
  pintle_buf buf;
  pintle_sink sink = pintle_buf_sink(&buf);
  size_t written = 0;
  size_t i;
  memset(&buf, 0, sizeof buf);
  for (i = 0; i < 10000; i++) {
    char piece[3];
    piece[0] = (char)('a' + i % 26);
    piece[1] = piece[2] = 'x';
    CHECK(pintle_sink_write(sink, piece, 1 + i % 3) == PINTLE_OK);
    written += 1 + i % 3;
    CHECK(buf.len == written && buf.cap > buf.len && buf.ptr[buf.len] == 0);
  }
  written = 0;
  for (i = 0; i < 10000; i++) {
    CHECK(buf.ptr[written] == (uint8_t)('a' + i % 26));
    written += 1 + i % 3;
  }
  CHECK(pintle_buf_str(&buf).len == written);

  pintle_buf_clear(&buf);
  CHECK(buf.len == 0 && buf.cap >= written && buf.ptr != NULL && buf.ptr[0] == 0);
  CHECK(pintle_buf_write(&buf, "again", 5) == PINTLE_OK);
  CHECK(pintle_str_eq(pintle_buf_str(&buf), PINTLE_STR("again")));

  CHECK(pintle_buf_write(&buf, "never", SIZE_MAX - 2) == PINTLE_TOO_LARGE);
  CHECK(pintle_buf_write(&buf, "never", SIZE_MAX / 2) == PINTLE_TOO_LARGE);
  CHECK(pintle_str_eq(pintle_buf_str(&buf), PINTLE_STR("again")));

  pintle_buf_free(&buf);
  CHECK(buf.ptr == NULL && buf.len == 0 && buf.cap == 0);
  pintle_buf_free(&buf);
  CHECK(pintle_buf_write(&buf, "once more", 9) == PINTLE_OK);
  CHECK(strcmp((const char *)buf.ptr, "once more") == 0);
  pintle_buf_free(&buf);
}

static void an_empty_value_is_an_empty_text_and_not_null(void) {
  pintle_buf buf;
  memset(&buf, 0, sizeof buf);
  pintle_buf_clear(&buf);
  CHECK(buf.ptr == NULL);
  CHECK(pintle_buf_str(&buf).len == 0);
  CHECK(pintle_sink_write(pintle_buf_sink(&buf), NULL, 0) == PINTLE_OK);
  CHECK(buf.ptr != NULL && buf.len == 0 && buf.ptr[0] == 0);
  pintle_buf_free(&buf);
  CHECK(pintle_sink_write(pintle_discard_sink(), "unwanted", 8) == PINTLE_OK);
}

static void fields_carry_their_kind_and_size(void) {
  pintle_field field = pintle_field_text(PINTLE_STR("name"), PINTLE_STR("value"));
  CHECK(field.size == sizeof(pintle_field) && field.kind == PINTLE_FIELD_TEXT);
  CHECK(pintle_str_eq(field.name, PINTLE_STR("name")) && pintle_str_eq(field.text, PINTLE_STR("value")));
  field = pintle_field_integer(PINTLE_STR("n"), INT64_MIN);
  CHECK(field.kind == PINTLE_FIELD_INTEGER && field.integer == INT64_MIN && field.text.ptr == NULL);
  field = pintle_field_number(PINTLE_STR("n"), 0.25);
  CHECK(field.kind == PINTLE_FIELD_NUMBER && field.number == 0.25);
  field = pintle_field_boolean(PINTLE_STR("n"), 7);
  CHECK(field.kind == PINTLE_FIELD_BOOLEAN && field.integer == 1);
}

static void a_shorter_table_does_not_have_its_later_members(void) {
  pintle_host host;
  memset(&host, 0, sizeof host);
  host.size = (uint32_t)sizeof host;
  CHECK(PINTLE_HAS(&host, size) && PINTLE_HAS(&host, files));
  host.size = (uint32_t)offsetof(pintle_host, files);
  CHECK(!PINTLE_HAS(&host, files) && PINTLE_HAS(&host, idempotency));
  host.size += 1;
  CHECK(!PINTLE_HAS(&host, files));
}

/* ---- a cache that notes how it was called, and a loader ---- */

static struct {
  pintle_status fetched, loads, written, old; /* what each answers */
  pintle_cache_lease lease;
  char calls[128];
  int64_t ttl_ms;
} fake;

static void note(const char *call) {
  strcat(fake.calls, call);
}

static pintle_status fake_fetch(pintle_ctx ctx, pintle_str ns, pintle_str key, const pintle_cache_fetch *options,
                                pintle_sink out, pintle_cache_info *info, pintle_cache_lease *lease) {
  (void)ctx, (void)ns, (void)key, (void)options, (void)info;
  note("fetch ");
  *lease = fake.lease;
  return fake.fetched == PINTLE_OK ? pintle_sink_write(out, "stale", 5) : fake.fetched;
}

static pintle_status fake_set(pintle_ctx ctx, pintle_str ns, pintle_str key, pintle_bytes value,
                              const pintle_cache_options *options) {
  (void)ctx, (void)ns, (void)key;
  CHECK(options->lease == fake.lease && options->size == sizeof *options && options->ttl_ms == fake.ttl_ms);
  CHECK(value.len == 6 && memcmp(value.ptr, "loaded", 6) == 0);
  note("set ");
  return fake.written;
}

static pintle_status fake_set_absent(pintle_ctx ctx, pintle_str ns, pintle_str key,
                                     const pintle_cache_options *options) {
  (void)ctx, (void)ns, (void)key;
  CHECK(options->lease == fake.lease && options->flags == 0 && options->stale_ms == 0 && options->tag_count == 1);
  note("absent ");
  return fake.written;
}

static pintle_status fake_fail(pintle_ctx ctx, pintle_cache_lease lease, pintle_sink out, pintle_cache_info *info) {
  (void)ctx, (void)info;
  CHECK(lease == fake.lease);
  note("fail ");
  return fake.old == PINTLE_OK ? pintle_sink_write(out, "old", 3) : fake.old;
}

static pintle_status load_item(void *user, pintle_ctx ctx, pintle_buf *value) {
  CHECK(user == &fake && ctx == 7 && value->len == 0);
  note("load ");
  (void)pintle_buf_write(value, "loaded", 6);
  return fake.loads;
}

/* What the cache and the loader answer, and what came of it. */
static void asked_for(pintle_status fetched, pintle_cache_lease lease, pintle_status loads, pintle_status written,
                      pintle_status old, pintle_status expected, const char *value, const char *calls) {
  pintle_cache_options options = pintle_cache_options_ttl(5000);
  const pintle_str tag = PINTLE_STR("t");
  pintle_cache cache;
  pintle_buf got;
  CHECK(options.size == sizeof options && options.flags == PINTLE_CACHE_TTL && options.tag_count == 0);
  options.stale_ms = 100, options.tags = &tag, options.tag_count = 1;
  memset(&cache, 0, sizeof cache);
  memset(&got, 0, sizeof got);
  cache.size = (uint32_t)sizeof cache;
  cache.fetch = fake_fetch, cache.set = fake_set, cache.set_absent = fake_set_absent, cache.fail = fake_fail;
  memset(&fake, 0, sizeof fake);
  fake.fetched = fetched, fake.lease = lease, fake.loads = loads, fake.written = written, fake.old = old;
  fake.ttl_ms = 5000;
  CHECK(pintle_cache_get_or_load(&cache, 7, PINTLE_STR("n"), PINTLE_STR("k"), &options, load_item, &fake, &got) ==
        expected);
  CHECK(pintle_str_eq(pintle_buf_str(&got), pintle_cstr(value)));
  CHECK(strcmp(fake.calls, calls) == 0);
  pintle_buf_free(&got);
}

static void a_lease_is_always_ended(void) {
  const pintle_status ok = PINTLE_OK, none = PINTLE_NOT_FOUND, busy = PINTLE_BUSY;
  asked_for(ok, 0, ok, ok, ok, ok, "stale", "fetch ");
  asked_for(none, 0, ok, ok, ok, none, "", "fetch ");
  asked_for(PINTLE_TIMEOUT, 0, ok, ok, ok, PINTLE_TIMEOUT, "", "fetch ");
  asked_for(none, 9, ok, ok, ok, ok, "loaded", "fetch load set ");
  asked_for(ok, 9, ok, ok, ok, ok, "loaded", "fetch load set ");
  asked_for(none, 9, ok, PINTLE_CONFLICT, none, ok, "loaded", "fetch load set fail ");
  asked_for(none, 9, ok, PINTLE_DENIED, none, PINTLE_DENIED, "", "fetch load set fail ");
  asked_for(none, 9, none, PINTLE_OUT_OF_RANGE, none, PINTLE_OUT_OF_RANGE, "", "fetch load absent fail ");
  asked_for(none, 9, none, ok, none, none, "", "fetch load absent ");
  asked_for(ok, 9, none, PINTLE_CONFLICT, ok, none, "", "fetch load absent fail ");
  asked_for(ok, 9, busy, ok, ok, ok, "old", "fetch load fail ");
  asked_for(none, 9, busy, ok, none, busy, "", "fetch load fail ");
}

/* ---- a database that gives one row, and notes how it was ended ---- */

static pintle_sql_value shelf[4];
static size_t shelved;

static pintle_status fake_query_one(pintle_ctx ctx, pintle_transaction tx, pintle_str sql, const pintle_sql_value *values,
                                    size_t count, pintle_sql_rows rows, const pintle_sql_options *options,
                                    pintle_sql_info *info) {
  (void)sql, (void)options, (void)info;
  CHECK(ctx == 7 && tx == 3);
  CHECK(count == 2 && values[0].kind == PINTLE_SQL_INTEGER && values[0].integer == 5 && values[1].kind == PINTLE_SQL_NULL);
  CHECK(rows.columns == NULL);
  if (rows.row(rows.data, shelf, shelved) != PINTLE_OK) return PINTLE_CANCELLED;
  return fake.fetched;
}

static pintle_status fake_commit(pintle_ctx ctx, pintle_transaction tx) {
  CHECK(ctx == 7 && tx == 3);
  note("commit ");
  return fake.written;
}

static pintle_status fake_rollback(pintle_ctx ctx, pintle_transaction tx) {
  CHECK(ctx == 7 && tx == 3);
  note("rollback ");
  return PINTLE_OK;
}

static void values_are_what_was_put_in_and_read_as_what_they_are(void) {
  const pintle_bytes none = pintle_bytesn(NULL, 0);
  pintle_sql_value of[5];
  int64_t integer = 77;
  double real = 77;
  pintle_str text = PINTLE_STR("77");
  pintle_bytes blob = pintle_bytesn("77", 2);
  size_t at, kind;
  of[0] = pintle_sql_null();
  of[1] = pintle_sql_int(INT64_MIN);
  of[2] = pintle_sql_real(0.25);
  of[3] = pintle_sql_text(PINTLE_STR("a\0b"));
  of[4] = pintle_sql_blob(pintle_bytesn("xy", 2));
  for (at = 0; at < 5; at++) {
    kind = of[at].kind;
    CHECK(kind == at && of[at].reserved == 0);
    CHECK(pintle_sql_is_null(&of[at]) == (kind == PINTLE_SQL_NULL));
    CHECK(pintle_sql_as_int(&of[at], 3) == (kind == PINTLE_SQL_INTEGER ? INT64_MIN : 3));
    CHECK(pintle_sql_as_real(&of[at], 3) ==
          (kind == PINTLE_SQL_REAL ? 0.25 : kind == PINTLE_SQL_INTEGER ? (double)INT64_MIN : 3));
    CHECK(pintle_str_eq(pintle_sql_as_text(&of[at], PINTLE_STR("?")),
                        kind == PINTLE_SQL_TEXT ? PINTLE_STR("a\0b") : PINTLE_STR("?")));
    CHECK(pintle_sql_as_blob(&of[at], none).len == (kind == PINTLE_SQL_BLOB ? 2u : 0u));
    if (kind != PINTLE_SQL_INTEGER) CHECK(pintle_sql_get_int(&of[at], &integer) == PINTLE_WRONG_TYPE);
    if (kind == PINTLE_SQL_NULL || kind > PINTLE_SQL_REAL)
      CHECK(pintle_sql_get_real(&of[at], &real) == PINTLE_WRONG_TYPE);
    if (kind != PINTLE_SQL_TEXT) CHECK(pintle_sql_get_text(&of[at], &text) == PINTLE_WRONG_TYPE);
    if (kind != PINTLE_SQL_BLOB) CHECK(pintle_sql_get_blob(&of[at], &blob) == PINTLE_WRONG_TYPE);
  }
  CHECK(integer == 77 && real == 77 && text.len == 2 && blob.len == 2 && *text.ptr == '7');
  CHECK(pintle_sql_get_int(&of[1], &integer) == PINTLE_OK && integer == INT64_MIN);
  CHECK(pintle_sql_get_real(&of[1], &real) == PINTLE_OK && real == (double)INT64_MIN);
  CHECK(pintle_sql_get_real(&of[2], &real) == PINTLE_OK && real == 0.25);
  CHECK(pintle_sql_get_text(&of[3], &text) == PINTLE_OK && text.len == 3);
  CHECK(pintle_sql_get_blob(&of[4], &blob) == PINTLE_OK && *blob.ptr == 'x');
}

static pintle_status took(const pintle_database *db, pintle_sql_value *row, size_t room, pintle_buf *bytes) {
  return pintle_sql_one(db, 7, 3, PINTLE_STR("?"), PINTLE_SQL(pintle_sql_int(5), pintle_sql_null()), row, room, bytes);
}

static void one_row_is_copied_with_its_texts(void) {
  pintle_database db;
  pintle_sql_value row[4];
  pintle_buf bytes;
  char large[5000];
  memset(&db, 0, sizeof db);
  memset(&bytes, 0, sizeof bytes);
  memset(large, 'l', sizeof large);
  memset(&fake, 0, sizeof fake);
  db.size = (uint32_t)sizeof db;
  db.query_one = fake_query_one;
  shelf[0] = pintle_sql_text(PINTLE_STR("first"));
  shelf[1] = pintle_sql_int(9);
  shelf[2] = pintle_sql_blob(pintle_bytesn(large, sizeof large));
  shelf[3] = pintle_sql_text(PINTLE_STR(""));
  shelved = 4;
  CHECK(pintle_buf_write(&bytes, "kept", 4) == PINTLE_OK);
  CHECK(took(&db, row, 4, &bytes) == PINTLE_OK);
  CHECK(strcmp((const char *)row[0].bytes.ptr, "first") == 0 && row[0].bytes.len == 5);
  CHECK(row[1].integer == 9 && row[2].bytes.len == sizeof large);
  CHECK(memcmp(row[2].bytes.ptr, large, sizeof large) == 0 && row[2].bytes.ptr[sizeof large] == 0);
  CHECK(row[3].kind == PINTLE_SQL_TEXT && row[3].bytes.len == 0 && *row[3].bytes.ptr == 0);
  CHECK(memcmp(bytes.ptr, "keptfirst", 9) == 0);
  /* Fewer are wanted, or given. */
  CHECK(took(&db, row, 1, &bytes) == PINTLE_OK && memcmp(row[0].bytes.ptr, "first", 5) == 0);
  shelved = 1;
  CHECK(took(&db, row, 2, &bytes) == PINTLE_OK && row[1].kind == PINTLE_SQL_NULL);
  /* Nowhere to put it, and a query that fails after its row. */
  CHECK(took(&db, row, 1, NULL) == PINTLE_WRONG_TYPE && row[0].kind == PINTLE_SQL_NULL);
  fake.fetched = PINTLE_TOO_LARGE;
  CHECK(took(&db, row, 1, &bytes) == PINTLE_TOO_LARGE && row[0].kind == PINTLE_SQL_NULL);
  pintle_buf_free(&bytes);
}

static void ended(pintle_status so_far, pintle_status commit, pintle_status expected, const char *calls) {
  pintle_database db;
  memset(&db, 0, sizeof db);
  memset(&fake, 0, sizeof fake);
  db.commit = fake_commit, db.rollback = fake_rollback;
  fake.written = commit;
  CHECK(pintle_sql_end(&db, 7, 3, so_far) == expected);
  CHECK(strcmp(fake.calls, calls) == 0);
}

static void a_transaction_is_always_ended(void) {
  ended(PINTLE_OK, PINTLE_OK, PINTLE_OK, "commit ");
  ended(PINTLE_CONFLICT, PINTLE_OK, PINTLE_CONFLICT, "rollback ");
  /* After these the handle is over, and a rollback would only put its own failure over the reason. */
  ended(PINTLE_OK, PINTLE_CONFLICT, PINTLE_CONFLICT, "commit ");
  ended(PINTLE_OK, PINTLE_BUSY, PINTLE_BUSY, "commit rollback ");
}

static void migrations_and_columns_carry_their_size(void) {
  static const pintle_migration history[] = {PINTLE_MIGRATION(1, "one", "CREATE TABLE t (a)"),
                                             PINTLE_MIGRATION(4, "four", "DROP TABLE t")};
  pintle_sql_column column = pintle_sql_column_of(PINTLE_STR("a"), PINTLE_SQL_TEXT, PINTLE_COLUMN_UNIQUE);
  CHECK(history[1].size == sizeof(pintle_migration) && history[1].number == 4);
  CHECK(pintle_str_eq(history[1].name, PINTLE_STR("four")) && pintle_str_eq(history[1].sql, PINTLE_STR("DROP TABLE t")));
  CHECK(column.size == sizeof column && column.kind == PINTLE_SQL_TEXT && column.flags == PINTLE_COLUMN_UNIQUE);
  CHECK(column.reserved == 0 && column.default_value == NULL && pintle_str_eq(column.name, PINTLE_STR("a")));
}

/* With an argument: tries what it names, and says that it works. */
int main(int count, char **words) {
  pintle_str topic = pintle_cstr(count == 2 ? words[1] : NULL);
  if (pintle_str_eq(topic, PINTLE_STR("entries"))) {
    entries_are_renamed();
  } else if (pintle_str_eq(topic, PINTLE_STR("values"))) {
    texts_are_compared_by_bytes();
    fields_carry_their_kind_and_size();
  } else if (pintle_str_eq(topic, PINTLE_STR("buffers"))) {
    a_buffer_grows_and_keeps_what_it_has();
    an_empty_value_is_an_empty_text_and_not_null();
  } else if (pintle_str_eq(topic, PINTLE_STR("loaders"))) {
    a_lease_is_always_ended();
  } else if (pintle_str_eq(topic, PINTLE_STR("rows"))) {
    values_are_what_was_put_in_and_read_as_what_they_are();
    one_row_is_copied_with_its_texts();
    a_transaction_is_always_ended();
    migrations_and_columns_carry_their_size();
  } else if (pintle_str_eq(topic, PINTLE_STR("tables"))) {
    a_shorter_table_does_not_have_its_later_members();
  } else {
    fputs("asked for nothing that is tried here\n", stderr);
    return 2;
  }
  if (failures == 0) printf("%s work\n", words[1]);
  return failures != 0;
}
