/* querier: passes wrong arguments to the functions of the database.
 *
 * Service `querier.run` 1, method `bad`. Answers like those of probe (tests/plugins/README.md): each case with the status and
 * what last_error says. Of every function that takes a text, values, options or an info each wrong one; then numbers:
 * `untouched`, that no output of a call that failed was written to, and `rows`, how many rows the table has at the end. */
#include <pintle/plugin.h>

#include <stdio.h>

PINTLE_MANIFEST({
  "id": "querier", "version": "1.0.0", "abi": "1.0",
  "services": { "database": {} },
  "provides": { "querier.run": { "major": 1, "methods": ["bad"] } }
});

static const pintle_host *host;
static const pintle_database *db;
static pintle_ctx ctx;
static pintle_buf json;

static void add(const char *text) { (void)pintle_buf_write(&json, text, strlen(text)); }

static void tell_number(const char *name, long long value) {
  char line[96];
  snprintf(line, sizeof line, "%s\"%s\":%lld", json.len > 1 ? "," : "", name, value);
  add(line);
}

/* A case with the text of this thread's last failure. */
static void tell(const char *of, const char *what, pintle_status status) {
  char line[128];
  size_t at;
  pintle_buf text = {0};
  snprintf(line, sizeof line, "%s\"%s%s\":{\"status\":%d,\"text\":\"", json.len > 1 ? "," : "", of, what, (int)status);
  add(line);
  if (status != PINTLE_OK) host->last_error(ctx, pintle_buf_sink(&text));
  for (at = 0; at < text.len; at++) {
    if (text.ptr[at] == '"' || text.ptr[at] == '\\') add("\\");
    (void)pintle_buf_write(&json, text.ptr + at, 1);
  }
  add("\"}");
  pintle_buf_free(&text);
}

static pintle_status on_row(void *data, const pintle_sql_value *values, size_t count) {
  if (count > 0) *(int64_t *)data = pintle_sql_as_int(&values[0], -1);
  return PINTLE_OK;
}

static const pintle_str insert = PINTLE_STR_INIT("INSERT INTO t VALUES (?1)");

/* A text in the place of each that is one. */
static void text(const char *of, pintle_str bad) {
  pintle_sql_rows rows = pintle_sql_each(on_row, NULL);
  pintle_migration step;
  pintle_sql_column column = pintle_sql_column_of(bad, PINTLE_SQL_TEXT, 0);
  memset(&step, 0, sizeof step);
  step.size = sizeof step, step.number = 1, step.name = bad, step.sql = PINTLE_STR("SELECT 1");
  tell(of, "_execute", db->execute(ctx, 0, bad, NULL, 0, NULL, NULL));
  tell(of, "_query", db->query(ctx, 0, bad, NULL, 0, rows, NULL, NULL));
  tell(of, "_query_one", db->query_one(ctx, 0, bad, NULL, 0, rows, NULL, NULL));
  tell(of, "_script", db->script(ctx, 0, bad, NULL, NULL));
  tell(of, "_migration_name", db->migrate(ctx, &step, 1, NULL, NULL));
  step.name = PINTLE_STR("a"), step.sql = bad;
  tell(of, "_migration_sql", db->migrate(ctx, &step, 1, NULL, NULL));
  tell(of, "_table", db->create_table(ctx, 0, bad, &column, 1, NULL));
  tell(of, "_column", db->create_table(ctx, 0, PINTLE_STR("u"), &column, 1, NULL));
}

/* A value, bound and as a column's default. */
static void value(const char *of, pintle_sql_value bad) {
  pintle_sql_column column = pintle_sql_column_of(PINTLE_STR("a"), PINTLE_SQL_TEXT, 0);
  column.default_value = &bad;
  tell(of, "_bound", db->execute(ctx, 0, insert, &bad, 1, NULL, NULL));
  tell(of, "_default", db->create_table(ctx, 0, PINTLE_STR("u"), &column, 1, NULL));
}

static void values(void) {
  pintle_sql_value bad = pintle_sql_int(1);
  bad.kind = 5;
  value("kind", bad);
  bad.kind = UINT32_MAX;
  value("kind_max", bad);
  bad = pintle_sql_int(1);
  bad.reserved = 9;
  value("reserved", bad);
  value("text_null", pintle_sql_text(pintle_strn(NULL, 3)));
  value("blob_null", pintle_sql_blob(pintle_bytesn(NULL, 3)));
  value("text_huge", pintle_sql_text(pintle_strn("x", SIZE_MAX)));
  value("text_utf8", pintle_sql_text(pintle_strn("abc\xff", 4)));
  tell("values", "_null", db->execute(ctx, 0, insert, NULL, 1, NULL, NULL));
  tell("values", "_many", db->execute(ctx, 0, insert, &bad, 100001, NULL, NULL));
  tell("values", "_max", db->execute(ctx, 0, insert, &bad, SIZE_MAX, NULL, NULL));
  tell("values", "_none", db->execute(ctx, 0, insert, &bad, 0, NULL, NULL));
  tell("values", "_spare", db->execute(ctx, 0, PINTLE_STR("DELETE FROM t"), PINTLE_SQL(pintle_sql_int(1)), NULL, NULL));
}

/* Options and infos of a size that nothing has, and what is set in them that no host knows. */
static void structs(void) {
  static const uint32_t sizes[] = {0, 7, 4097};
  struct {
    pintle_sql_options known;
    uint64_t newer;
  } options;
  struct {
    pintle_sql_info known;
    uint64_t newer;
  } info;
  pintle_transaction_options begin;
  pintle_migrate_options migrating;
  pintle_migrate_info migrated;
  pintle_migration step[2] = {PINTLE_MIGRATION(1, "a", "SELECT 1"), PINTLE_MIGRATION(2, "b", "SELECT 1")};
  pintle_sql_column column[2];
  pintle_database_stats stats;
  pintle_transaction tx = 77;
  uint32_t created = 77;
  size_t at;
  char of[16];
  memset(&options, 0, sizeof options);
  memset(&info, 0, sizeof info);
  memset(&begin, 0, sizeof begin);
  memset(&migrating, 0, sizeof migrating);
  memset(&migrated, 0, sizeof migrated);
  memset(&stats, 0, sizeof stats);
  column[0] = pintle_sql_column_of(PINTLE_STR("a"), PINTLE_SQL_TEXT, 0);
  column[1] = pintle_sql_column_of(PINTLE_STR("b"), PINTLE_SQL_TEXT, 0);
  for (at = 0; at < 3; at++) {
    snprintf(of, sizeof of, "size_%u", (unsigned)sizes[at]);
    options.known.size = info.known.size = begin.size = migrating.size = migrated.size = stats.size = sizes[at];
    step[0].size = step[1].size = column[0].size = column[1].size = sizes[at];
    tell(of, "_options", db->execute(ctx, 0, PINTLE_STR("DELETE FROM t"), NULL, 0, &options.known, NULL));
    tell(of, "_info", db->execute(ctx, 0, PINTLE_STR("DELETE FROM t"), NULL, 0, NULL, &info.known));
    tell(of, "_begin", db->begin(ctx, 0, &begin, &tx));
    tell(of, "_migrate", db->migrate(ctx, NULL, 0, &migrating, NULL));
    tell(of, "_migrated", db->migrate(ctx, NULL, 0, NULL, &migrated));
    tell(of, "_step", db->migrate(ctx, step, 2, NULL, NULL));
    tell(of, "_columns", db->create_table(ctx, 0, PINTLE_STR("u"), column, 2, &created));
    tell(of, "_stats", db->stats(ctx, &stats));
  }
  options.known.size = sizeof options.known, begin.size = sizeof begin, migrating.size = sizeof migrating;
  step[0].size = step[1].size = sizeof step[0], column[0].size = column[1].size = sizeof column[0];
  options.known.flags = 1;
  tell("flags", "_options", db->execute(ctx, 0, PINTLE_STR("DELETE FROM t"), NULL, 0, &options.known, NULL));
  begin.flags = 2;
  tell("flags", "_begin", db->begin(ctx, 0, &begin, &tx));
  migrating.flags = 2;
  tell("flags", "_migrate", db->migrate(ctx, NULL, 0, &migrating, NULL));
  options.known.flags = begin.flags = migrating.flags = 0;
  options.known.timeout_ms = begin.wait_ms = migrating.timeout_ms = -1;
  tell("negative", "_timeout", db->execute(ctx, 0, PINTLE_STR("DELETE FROM t"), NULL, 0, &options.known, NULL));
  tell("negative", "_wait", db->begin(ctx, 0, &begin, &tx));
  tell("negative", "_migrate", db->migrate(ctx, NULL, 0, &migrating, NULL));
  begin.wait_ms = 0, begin.timeout_ms = INT64_MIN, migrating.timeout_ms = 3600001;
  tell("negative", "_begin", db->begin(ctx, 0, &begin, &tx));
  tell("late", "_migrate", db->migrate(ctx, NULL, 0, &migrating, NULL));
  options.known.timeout_ms = 0, options.known.size = sizeof options, options.newer = 1;
  tell("newer", "_options", db->execute(ctx, 0, PINTLE_STR("DELETE FROM t"), NULL, 0, &options.known, NULL));
  options.newer = 0;
  tell("longer", "_options", db->execute(ctx, 0, PINTLE_STR("SELECT 1"), NULL, 0, &options.known, NULL));
  info.known.size = sizeof info;
  info.newer = 77;
  tell("longer", "_info", db->execute(ctx, 0, PINTLE_STR("SELECT 1"), NULL, 0, NULL, &info.known));
  step[1].size = 8;
  tell("unequal", "_step", db->migrate(ctx, step, 2, NULL, NULL));
  column[1].size = 8;
  tell("unequal", "_columns", db->create_table(ctx, 0, PINTLE_STR("u"), column, 2, &created));
  column[0].reserved = 3;
  tell("reserved", "_column", db->create_table(ctx, 0, PINTLE_STR("u"), column, 1, &created));
  tell("null", "_migrations", db->migrate(ctx, NULL, 1, NULL, NULL));
  tell("null", "_columns", db->create_table(ctx, 0, PINTLE_STR("u"), NULL, 1, &created));
  tell("many", "_migrations", db->migrate(ctx, step, 10001, NULL, NULL));
  tell("many", "_columns", db->create_table(ctx, 0, PINTLE_STR("u"), column, 257, &created));
  tell("null", "_tx", db->begin(ctx, 0, NULL, NULL));
  tell("null", "_stats", db->stats(ctx, NULL));
  tell("null", "_rows", db->query(ctx, 0, PINTLE_STR("SELECT 1"), NULL, 0, pintle_sql_each(NULL, NULL), NULL, NULL));
  tell("null", "_created", db->create_table(ctx, 0, PINTLE_STR("t"), column, 0, NULL));
  tell_number("untouched", tx == 77 && created == 77 && info.newer == 77 && migrated.applied == 0 && stats.bytes == 0);
}

/* What is wrong with the handle goes before what is wrong with the rest. */
static void stale(void) {
  pintle_ctx right = ctx;
  ctx = 12345;
  tell("stale", "_execute", db->execute(ctx, 1, pintle_strn(NULL, 3), NULL, 3, NULL, NULL));
  tell("stale", "_begin", db->begin(ctx, 1, NULL, NULL));
  tell("stale", "_migrate", db->migrate(ctx, NULL, 3, NULL, NULL));
  tell("stale", "_stats", db->stats(ctx, NULL));
  ctx = right;
}

static pintle_status load(pintle_ctx own, const pintle_host *given, void **state) {
  (void)own, (void)state;
  host = given;
  db = given->database;
  return PINTLE_OK;
}

static pintle_status call(void *state, pintle_ctx given, const pintle_request *request, pintle_sink reply) {
  int64_t rows = -1;
  pintle_status status;
  (void)state, (void)request;
  ctx = given;
  pintle_buf_clear(&json);
  add("{");
  tell("made", "", db->script(ctx, 0, PINTLE_STR("CREATE TABLE t (a); INSERT INTO t VALUES (1)"), NULL, NULL));
  text("null", pintle_strn(NULL, 3));
  text("huge", pintle_strn("x", SIZE_MAX));
  text("utf8", pintle_strn("bad \xff", 5));
  text("nul", pintle_strn("bad \0x", 6));
  values();
  structs();
  stale();
  tell("read", "",
       db->query_one(ctx, 0, PINTLE_STR("SELECT count(*) FROM t"), NULL, 0, pintle_sql_each(on_row, &rows), NULL, NULL));
  tell_number("rows", rows);
  add("}");
  status = pintle_sink_write(reply, json.ptr, json.len);
  pintle_buf_free(&json);
  return status;
}

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) {
  static const pintle_plugin plugin = {sizeof(pintle_plugin),
                                       PINTLE_ABI_MINOR,
                                       PINTLE_MANIFEST_BYTES,
                                       PINTLE_STR_INIT("querier"),
                                       PINTLE_STR_INIT("1.0.0"),
                                       load,
                                       NULL,
                                       NULL,
                                       NULL,
                                       NULL,
                                       NULL,
                                       NULL,
                                       call,
                                       NULL};
  return &plugin;
}
