/* A plugin that uses every macro and every inline function of the header. Compiled as C and as C++, and twice into
 * application.c under other entry names, so everything but the entry is static or hidden. */
#include <pintle/plugin.h>

#include "second_unit.h"

PINTLE_MANIFEST({
  "id": "header-test", "version": "1.0.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["*"], "publish": ["a.>"] }, "log": {} }
});

static const pintle_str topic = PINTLE_STR_INIT("a.b");

static const pintle_migration history[] = {
  PINTLE_MIGRATION(1, "first", "CREATE TABLE t (a INTEGER, b TEXT) STRICT"),
  PINTLE_MIGRATION(2, "second", "CREATE INDEX i ON t (b)"),
};

static pintle_status on_row(void *data, const pintle_sql_value *row, size_t count) {
  int64_t integer = pintle_sql_as_int(&row[0], -1);
  double real = pintle_sql_as_real(&row[0], 0.5);
  pintle_str text = pintle_sql_as_text(&row[1], PINTLE_STR("none"));
  pintle_bytes blob = pintle_sql_as_blob(&row[1], pintle_bytesn(NULL, 0));
  pintle_status status = pintle_sql_get_int(&row[0], &integer);
  if (status == PINTLE_OK) status = pintle_sql_get_real(&row[0], &real);
  if (status == PINTLE_OK) status = pintle_sql_get_text(&row[1], &text);
  if (status == PINTLE_OK) status = pintle_sql_get_blob(&row[1], &blob);
  *(size_t *)data += count + text.len + blob.len + (real > 1 || integer > 1);
  return pintle_sql_is_null(&row[0]) ? PINTLE_CANCELLED : status;
}

static pintle_status tables(const pintle_database *db, pintle_ctx ctx) {
  pintle_sql_value row[2];
  pintle_sql_column column = pintle_sql_column_of(PINTLE_STR("a"), PINTLE_SQL_INTEGER, PINTLE_COLUMN_PRIMARY_KEY);
  pintle_transaction tx = 0;
  pintle_buf bytes;
  size_t seen = 0;
  pintle_status status = db->migrate(ctx, history, 2, NULL, NULL);
  memset(&bytes, 0, sizeof bytes);
  if (status == PINTLE_OK) status = db->create_table(ctx, 0, PINTLE_STR("u"), &column, 1, NULL);
  if (status == PINTLE_OK) status = db->begin(ctx, 0, NULL, &tx);
  if (status != PINTLE_OK) return status;
  status = db->execute(ctx, tx, PINTLE_STR("INSERT INTO t VALUES (?1, ?2)"),
                       PINTLE_SQL(pintle_sql_int(7), pintle_sql_text(PINTLE_STR("x"))), NULL, NULL);
  if (status == PINTLE_OK)
    status = db->query(ctx, tx, PINTLE_STR("SELECT ?1, ?2, ?3"),
                       PINTLE_SQL(pintle_sql_real(0.5), pintle_sql_null(), pintle_sql_blob(pintle_bytesn("x", 1))),
                       pintle_sql_each(on_row, &seen), NULL, NULL);
  if (status == PINTLE_OK)
    status = pintle_sql_one(db, ctx, tx, PINTLE_STR("SELECT a, b FROM t"), NULL, 0, row, 2, &bytes);
  pintle_buf_free(&bytes);
  return pintle_sql_end(db, ctx, tx, status);
}

static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  const pintle_host *host = (const pintle_host *)user;
  pintle_emit_options options = pintle_emit_durable(PINTLE_STR(""));
  pintle_field fields[4];
  pintle_buf text;
  pintle_status status;
  memset(&text, 0, sizeof text);
  options.id = pintle_cstr("1");
  if (event->sequence != 0 && event->attempt > 3)
    return host->events->nack(ctx, event->delivery, 1000, PINTLE_STR("too often"));
  if (pintle_str_eq(event->topic, topic)) return PINTLE_OK;
  if (!PINTLE_HAS(host, files) || !PINTLE_HAS(host->log, write)) return PINTLE_UNSUPPORTED;
  fields[0] = pintle_field_text(PINTLE_STR("topic"), event->topic);
  fields[1] = pintle_field_integer(PINTLE_STR("time"), event->time_ms);
  fields[2] = pintle_field_number(PINTLE_STR("share"), 0.5);
  fields[3] = pintle_field_boolean(PINTLE_STR("late"), 2);
  status = host->log->write(ctx, PINTLE_LOG_INFO, PINTLE_STR("seen"), fields, 4);
  if (status != PINTLE_OK) return status;
  status = host->config->get(ctx, PINTLE_STR(""), pintle_buf_sink(&text));
  if (status == PINTLE_NOT_FOUND) status = host->last_error(ctx, pintle_buf_sink(&text));
  if (status == PINTLE_OK) status = pintle_sink_write(reply, text.ptr, text.len);
  if (status == PINTLE_OK) status = host->set_error(ctx, pintle_buf_str(&text));
  if (status == PINTLE_OK) status = host->scope(ctx, NULL, pintle_discard_sink());
  pintle_buf_clear(&text);
  pintle_buf_free(&text);
  return host->events->emit(ctx, topic, pintle_bytesn("{}", 2), &options);
}

static pintle_status on_run(void *user, pintle_ctx ctx, const pintle_run *run, pintle_sink reply) {
  pintle_str text = pintle_run_text(run);
  (void)user;
  (void)ctx;
  return pintle_sink_write(reply, text.ptr, text.len);
}

static pintle_status on_job(void *user, const pintle_job *job) {
  *(uint64_t *)user += job->runs;
  return PINTLE_OK;
}

static pintle_status jobs(const pintle_scheduler *scheduler, pintle_ctx ctx) {
  pintle_job_options options = pintle_job_durable(3);
  uint64_t runs = 0;
  options.missed = PINTLE_MISSED_ALL;
  options.data = pintle_bytesn("data", 4);
  if (!PINTLE_HAS(scheduler, history)) return PINTLE_UNSUPPORTED;
  if (scheduler->list(ctx, on_job, &runs) != PINTLE_OK) return PINTLE_INTERNAL;
  return scheduler->cron(ctx, PINTLE_STR("a"), PINTLE_STR("@daily"), on_run, NULL, NULL, &options, NULL);
}

static pintle_status load(pintle_ctx ctx, const pintle_host *host, void **state) {
  pintle_subscribe_options durable = pintle_subscribe_durable(PINTLE_STR("mine"));
  if (jobs(host->scheduler, ctx) != PINTLE_OK) return PINTLE_INTERNAL;
  *state = (void *)(uintptr_t)host;
  if (second_unit_length(pintle_strn("four", 4)) != 4) return PINTLE_INTERNAL;
  if (!PINTLE_HAS(host->database, stats) || tables(host->database, ctx) != PINTLE_OK) return PINTLE_UNSUPPORTED;
  durable.flags |= PINTLE_SUBSCRIBE_ACK;
  durable.start = PINTLE_START_ALL;
  if (!PINTLE_HAS(host->events, nack) || host->events->ack(ctx, (pintle_delivery)0) == PINTLE_OK) return PINTLE_UNSUPPORTED;
  return host->events->subscribe(ctx, PINTLE_STR(">"), on_event, *state, NULL, &durable, NULL);
}

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) {
  static const pintle_plugin plugin = {
      sizeof(pintle_plugin),
      PINTLE_ABI_MINOR,
      PINTLE_MANIFEST_BYTES,
      PINTLE_STR_INIT("header-test"),
      PINTLE_STR_INIT("1.0.0"),
      load,
      NULL,
      NULL,
      NULL,
      NULL,
      NULL,
      NULL,
      NULL,
      NULL,
  };
  return &plugin;
}
