/* A plugin that uses everything that plugin.hpp offers: each template is made, with and without exceptions. */
#include <pintle/plugin.hpp>

PINTLE_MANIFEST({
  "id": "header-test", "version": "1.0.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["*"], "publish": ["a.>"] }, "log": {} }
});

const char *third_unit_name(pintle_status status);

namespace {

using pintle::Buffer;
using pintle::Bytes;
using pintle::Context;
using pintle::Event;
using pintle::HandlerResult;
using pintle::Reply;
using pintle::Request;
using pintle::Run;
using std::chrono::milliseconds;

pintle_status logs(const Context &cx) {
  const pintle::Log log = cx.log();
  const std::string name = "n";
  log.trace("a");
  log.debug("a", {{"text", "t"}, {"string", name}, {"view", std::string_view(name)}});
  log.info("a", {{"int", 1}, {"unsigned", 2u}, {"size", sizeof name}, {"yes", true}, {"share", 0.5f}});
  log.warn("a");
  log.error("a");
  log.fatal("a");
  pintle::Logger logger;
  const pintle_status status = log.try_with({{"part", "x"}}, logger);
  logger.info("b", {{"more", 'c'}});
  (void)logger.detach();
  return log.enabled(pintle::Level::debug) ? log.try_write(pintle::Level::debug, "c", {}) : status;
}

pintle_status settings(const Context &cx) {
  Buffer text;
  std::int64_t integer = 0;
  double number = 0;
  bool boolean = false;
  pintle_status status = cx.config().try_json("", text.sink());
  if (status == PINTLE_OK) status = cx.config().try_text("/a", text.sink());
  if (status == PINTLE_OK) status = cx.config().try_integer("/a", integer);
  if (status == PINTLE_OK) status = cx.config().try_number("/a", number);
  if (status == PINTLE_OK) status = cx.config().try_boolean("/a", boolean);
  return status;
}

pintle_status items(const Context &cx) {
  const pintle::Cache cache = cx.cache("hits");
  const pintle::Storage storage = cx.storage();
  Buffer value, next;
  char small[8];
  std::size_t len = 0;
  bool there = false;
  std::int64_t sum = 0;
  std::uint64_t version = 0;
  milliseconds left{};
  pintle_cache_info info = {};
  info.size = static_cast<std::uint32_t>(sizeof info);
  pintle::Sink sink([&len](Bytes piece) { len += piece.size(); });
  pintle::Sink refusing([](Bytes) -> pintle_status { return PINTLE_CANCELLED; });
  pintle_status status = cache.try_get("a", sink, &info);
  if (status == PINTLE_OK) status = cache.try_get("a", refusing);
  if (status == PINTLE_OK) status = cache.try_get_into("a", small, sizeof small, len);
  if (status == PINTLE_OK) status = cache.try_set("a", "b", pintle::forever);
  if (status == PINTLE_OK) status = cache.try_remove("a", there);
  if (status == PINTLE_OK) status = cache.try_exists("a", there);
  if (status == PINTLE_OK) status = cache.try_incr("a", -1, sum, std::chrono::seconds(1));
  if (status == PINTLE_OK) status = cache.try_expire("a", milliseconds(5), pintle::Expire::if_later, there);
  if (status == PINTLE_OK) status = cache.try_ttl("a", left);
  pintle::CacheOptions options;
  options.lifetime = pintle::forever;
  options.stale = std::chrono::seconds(1);
  options.tags = {"old", "new"};
  pintle_cache_stats cached = {};
  const auto load = [](const Context &, Buffer &into) { return into.try_append("loaded"); };
  const auto nothing = [](const Context &, Buffer &) {};
  if (status == PINTLE_OK) status = cache.try_set_with("a", "b", options);
  if (status == PINTLE_OK) status = cache.try_set_absent("a");
  if (status == PINTLE_OK) status = cache.try_get_or_load("a", load, value, options);
  if (status == PINTLE_OK) status = cache.try_get_or_load("a", nothing, value);
  if (status == PINTLE_OK) status = cache.try_invalidate("a/*", version);
  if (status == PINTLE_OK) status = cache.try_clear(version);
  if (status == PINTLE_OK) status = cache.try_keys("", "", 10, value.sink(), next.sink());
  if (status == PINTLE_OK) status = cx.try_invalidate_tag("old", version);
  if (status == PINTLE_OK) status = cx.try_cache_stats(cached);
  if (status == PINTLE_OK) status = storage.try_get("a", value.sink());
  if (status == PINTLE_OK) status = storage.try_set("a", value.bytes(), version);
  if (status == PINTLE_OK) status = storage.try_set_if("a", std::vector<std::uint8_t>{1, 2}, version, version);
  if (status == PINTLE_OK) status = storage.try_remove("a", there);
  if (status == PINTLE_OK) status = storage.try_exists("a", there);
  if (status == PINTLE_OK) status = storage.try_keys("", "", 10, value.sink(), next.sink());
  if (status == PINTLE_OK) status = storage.try_clear(version);
  pintle::StorageOptions kept;
  kept.lifetime = std::chrono::seconds(1);
  kept.if_version = version;
  kept.json = true;
  pintle_storage_stats stats = {};
  if (status == PINTLE_OK) status = storage.try_get_into("a", small, sizeof small, len);
  if (status == PINTLE_OK) status = storage.try_set("a", "{}", version, kept);
  if (status == PINTLE_OK) status = storage.try_incr("a", -1, sum, kept, &version);
  if (status == PINTLE_OK) status = storage.try_incr("a", -1, sum);
  if (status == PINTLE_OK) status = storage.try_expire("a", pintle::forever, there);
  if (status == PINTLE_OK) status = storage.try_stats(stats);
  if (status == PINTLE_OK) status = next.try_append(value.bytes());
  return status;
}

pintle_status together(const Context &cx) {
  pintle::StorageOptions keeping;
  keeping.keep_lifetime = true;
  pintle::EmitOptions with_key;
  with_key.key = "k";
  pintle::BatchJob often;
  often.every = milliseconds(5);
  pintle::BatchJob daily;
  daily.rule = "@daily";
  daily.zone = "Europe/Vienna";
  daily.overlap = pintle::Overlap::queue;
  pintle::List<pintle::StepOutcome> outcomes;
  pintle::FailedStep failed;
  pintle::Batch batch = cx.storage().batch();
  batch.set("a", "b").set(std::string("c"), Bytes("d"), keeping).remove("a").incr("n").incr("n", -1, keeping);
  batch.check("e", 0).emit("moved", "{}").emit("moved", "{}", with_key);
  batch.schedule("beat", often).schedule("daily", daily, "data").schedule("once", {});
  pintle_status status = batch.try_commit(outcomes, &failed);
  if (status == PINTLE_OK) status = batch.try_commit(outcomes);
  return failed.step < batch.size() && failed.current != 0 && outcomes.empty() ? PINTLE_CONFLICT : status;
}

pintle_status tables(const Context &cx) {
  const pintle::Database db = cx.database();
  const std::string name = "name";
  const std::optional<double> nothing;
  const std::vector<std::uint8_t> blob = {1, 2};
  pintle::SqlOptions quick;
  quick.timeout = milliseconds(5);
  quick.max_rows = 10;
  pintle::TransactionOptions reading;
  reading.read_only = true;
  pintle_sql_info info;
  pintle_migrate_info migrated;
  pintle_database_stats stats;
  bool created = false;
  pintle::SqlRows rows([](const pintle::SqlRow &row) -> pintle_status {
    std::int64_t integer = 0;
    std::uint8_t small = 0;
    bool yes = false;
    double real = 0;
    std::string_view text;
    std::string copy;
    Bytes bytes;
    std::optional<std::string> perhaps;
    pintle_status status = row.try_get(0, integer);
    if (status == PINTLE_OK) status = row.try_get(0, small);
    if (status == PINTLE_OK) status = row.try_get(0, yes);
    if (status == PINTLE_OK) status = row.try_get(1, real);
    if (status == PINTLE_OK) status = row.try_get(2, text);
    if (status == PINTLE_OK) status = row.try_get(2, copy);
    if (status == PINTLE_OK) status = row.try_get(3, bytes);
    if (status == PINTLE_OK) status = row.try_get(4, perhaps);
    return row.is_null(4) && row.size() > 5 ? PINTLE_CANCELLED : status;
  });
  pintle::SqlRows all([](const pintle::SqlRow &) {});
  pintle_status status = db.try_migrate({{1, "first", "CREATE TABLE t (a)"}, {2, "second", "SELECT 1"}}, migrated);
  if (status == PINTLE_OK)
    status = db.try_execute("INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                            {1, 2u, 0.5f, true, name, "literal", std::string_view(name), blob, std::nullopt}, &info, quick);
  if (status == PINTLE_OK) status = db.try_query("SELECT ?1, ?2, ?3", {Bytes("x"), nothing, 'c'}, rows, &info);
  if (status == PINTLE_OK) status = db.try_query_one("SELECT 1", {}, all);
  if (status == PINTLE_OK) status = db.try_script("SELECT 1; SELECT 2");
  if (status == PINTLE_OK)
    status = db.try_create_table("u", {pintle_sql_column_of(PINTLE_STR("a"), PINTLE_SQL_INTEGER, 0)}, created);
  if (status == PINTLE_OK) status = db.try_stats(stats);
  pintle::Transaction tx, inner;
  if (status == PINTLE_OK) status = db.try_begin(tx, reading);
  if (status == PINTLE_OK) status = tx.try_begin(inner);
  if (status == PINTLE_OK) status = inner.try_execute("DELETE FROM t");
  if (inner && inner.try_rollback() == PINTLE_OK) tx = std::move(inner);
  return status == PINTLE_OK && tx.handle() != 0 ? tx.try_commit() : status;
}

pintle_status contexts(const Context &cx) {
  pintle::HeldContext held;
  milliseconds left{};
  pintle_scope_info info = {};
  Buffer text;
  const void *table = nullptr;
  pintle_status status = cx.try_hold(held);
  if (status == PINTLE_OK) status = held.try_remaining(left);
  if (status == PINTLE_OK) status = held.try_scope(info, text.sink());
  if (status == PINTLE_OK) status = held.try_call("a.b", 1, "c", "d", text.sink(), milliseconds(10));
  if (status == PINTLE_OK) status = held.try_service("pintle.log", 1, 8, table);
  if (status == PINTLE_OK) status = held.try_last_error(text.sink());
  if (status == PINTLE_OK) status = held.try_release();
  (void)held.detach();
  cx.set_error(third_unit_name(status));
  (void)pintle::contain(cx.own(), "nothing fails", [] {});
  return cx.pass_on(status);
}

struct Plain {
  pintle_status operator()(const Context &cx, const Event &event, const Reply &reply) {
    const bool known = event.id().empty() || event.source().empty() || event.subject().empty() ||
                       event.content_type().empty() || event.key().empty() || event.tenant().empty();
    pintle::EmitOptions options;
    options.key = event.topic();
    options.durable = event.sequence() > 0;
    if (event.attempt() > 3) return cx.events().try_nack(event.delivery(), milliseconds(0), "too often");
    if (event.attempt() > 2) return cx.events().try_nack(event.delivery());
    if (event.delivery() != 0) return cx.events().try_ack(event.delivery());
    if (known || event.depth() > 3 || event.time_ms() == 0) return reply.try_write(event.data());
    return cx.events().try_emit("a", event.data(), options);
  }
};

struct Plugin {
  pintle_status load(const Context &cx) {
    pintle::SubscribeOptions options;
    options.policy = pintle::Queue::wait;
    pintle::SubscribeOptions durable;
    durable.durable = true;
    durable.acknowledge = true;
    durable.start = pintle::Start::sequence(7);
    if (durable.priority == 0) durable.start = pintle::Start::all();
    if (durable.in_flight == 1) durable.start = pintle::Start::time(1);
    durable.filter = "{\"exact\": {\"subject\": \"door-7\"}}";
    durable.priority = 1;
    durable.ack_within = std::chrono::seconds(60);
    durable.backoff = milliseconds(10);
    durable.max_deliveries = 5;
    durable.in_flight = 2;
    pintle::JobOptions zone;
    zone.zone = "Europe/Vienna";
    zone.overlap = pintle::Overlap::queue;
    pintle::JobOptions lasting;
    lasting.durable = true;
    lasting.missed = pintle::Missed::skip;
    lasting.start_deadline = lasting.jitter = lasting.timeout = lasting.backoff = milliseconds(4);
    lasting.retries = 3;
    lasting.data = "data";
    std::uint32_t handlers = 0;
    const auto run = [](const Context &, const Run &one) {
      (void)(one.attempt() + one.due_ms());
      if (one.requested() || one.missed() || one.again()) return one.id() == 0 ? one.data().text() : one.job();
      return std::string_view();
    };
    const auto told = [](const HandlerResult &one) {
      return one.error().empty() && one.reply().empty() && one.subscriber() == one.subscription() ? one.status() : 0;
    };
    pintle_status status = cx.events().try_subscribe(">", Plain(), hearing, options);
    const auto later = [this](const Context &, const Event &event) { late = event.delivery(); };
    if (status == PINTLE_OK) status = cx.events().try_subscribe("a.>", later, hearing, durable);
    if (status == PINTLE_OK) status = cx.scheduler().try_cron("a", "@daily", run, job, zone);
    if (status == PINTLE_OK) status = cx.scheduler().try_interval("b", milliseconds(1), run, job);
    if (status == PINTLE_OK) status = cx.scheduler().try_once("c", milliseconds(1), run, job);
    if (status == PINTLE_OK) status = cx.scheduler().try_after("d", "c", run, job, lasting);
    if (status == PINTLE_OK) status = cx.scheduler().try_handle("d*", run, job);
    if (status == PINTLE_OK) status = cx.scheduler().try_pause("a");
    if (status == PINTLE_OK) status = cx.scheduler().try_resume("a");
    if (status == PINTLE_OK) status = cx.scheduler().try_run_now("a");
    if (status == PINTLE_OK) {
      status = cx.scheduler().try_list([](const pintle::JobInfo &one) {
        return one.waiting() || one.when().empty() ? PINTLE_NOT_FOUND : PINTLE_OK;
      });
    }
    if (status == PINTLE_OK) status = cx.scheduler().try_history("a", [](const pintle::RunResult &) {});
    if (status == PINTLE_OK) status = cx.scheduler().try_forget("a");
    if (status == PINTLE_OK) status = cx.events().try_emit_sync("a", "{}", {}, told, handlers);
    if (status == PINTLE_OK) status = cx.events().try_emit_sync("a", "{}", {}, [](const HandlerResult &) {}, handlers);
    const auto changed = [](const Context &, const pintle::Change &one) {
      return one.kind() == PINTLE_CHANGE_SET && one.at_ms() > 0 ? one.key() : std::string_view();
    };
    if (status == PINTLE_OK) status = cx.storage().try_watch("a/", changed, watch);
    if (status == PINTLE_OK) status = cx.storage().try_watch("", [](const Context &, const pintle::Change &) {}, watch, 7);
    if (status == PINTLE_OK) status = watch.try_unwatch();
    if (status == PINTLE_OK) status = hearing.try_unsubscribe();
    if (status == PINTLE_OK) status = job.try_remove();
    return status;
  }
  void enable(const Context &cx) {
    (void)logs(cx);
    (void)together(cx);
    (void)tables(cx);
  }
  pintle_status disable(const Context &cx) { return settings(cx); }
  void unload(const Context &cx) { (void)items(cx); }
  pintle_status configure(const Context &, std::string_view json) { return json.empty() ? PINTLE_CONFLICT : PINTLE_OK; }
  std::string_view save(const Context &) { return "saved"; }
  void restore(const Context &, std::uint32_t schema, Bytes saved) { kept = schema + saved.size(); }
  Bytes call(const Context &cx, const Request &request) {
    (void)contexts(cx);
    return request.major() == 1 && request.service() != request.caller() ? request.data() : Bytes();
  }
  const void *provide(std::string_view, std::uint32_t) { return nullptr; }

  pintle::Subscription hearing;
  pintle::Job job;
  pintle::Watch watch;
  std::size_t kept = 0;
  pintle_delivery late = 0;
};

}  // namespace

#if PINTLE_EXCEPTIONS
/* The throwing forms, called by nobody. */
void throwing(const Context &cx, const Request &request);
void throwing(const Context &cx, const Request &request) {
  const pintle::Logger logger = cx.log().with({{"a", 1}});
  const pintle::Config config = cx.config();
  if (config.json("") == config.text("/a") && config.integer("/b") > 1 && config.number("/c") < 0.5)
    throw request.unsupported();
  const pintle::Cache cache = cx.cache("hits");
  cache.set("a", cache.get("b").value_or("c"), milliseconds(3));
  if (cache.remove("a") && cache.exists("b") && cache.incr("c") > 1 && cache.expire("d", pintle::forever))
    logger.info("odd", {{"ttl", cache.ttl("e").value_or(milliseconds(0)).count()}});
  pintle::CacheOptions once;
  once.if_absent = true;
  cache.set_with("a", "b", once);
  cache.set_absent("c");
  const auto load = [](const Context &, Buffer &into) { into.append("loaded"); };
  logger.info(cache.get_or_load("a", load).value_or("none"), {{"gone", cache.invalidate("a/*") + cache.clear()}});
  for (const std::string &key : cache.keys("")) logger.debug(key, {{"tagged", cx.invalidate_tag("old")}});
  if (cache.page("a").next.empty() && cx.cache_stats().items == 0) logger.debug("empty");
  const pintle::Storage storage = cx.storage();
  const std::optional<pintle::Item> item = storage.item("a");
  if (item) storage.set_if("a", item->value, item->version);
  if (storage.remove("a") && storage.exists("b") && !storage.get("c")) storage.set("d", storage.page("e", "", 3).next);
  for (const std::string &key : storage.keys("")) logger.debug(key);
  logger.debug("removed", {{"items", storage.clear()}});
  if (storage.incr("n") > 1 && storage.expire("n", milliseconds(3)) && storage.stats().items > 2)
    logger.debug("left", {{"ms", item->left.count()}});
  const pintle::Watch watch = storage.watch("a/", [](const Context &, const pintle::Change &one) { return one.version() > 3 ? "x" : ""; });
  try {
    logger.debug("done", {{"sum", storage.batch().incr("n", 2).check("a", 0).commit()[0].value}});
  } catch (const pintle::BatchError &error) {
    logger.debug(error.what(), {{"step", error.failed().step}, {"version", error.failed().current}});
  }
  const pintle::Database db = cx.database();
  try {
    db.migrate({{1, "first", "CREATE TABLE t (a)"}}, true);
    std::string names;
    pintle::Transaction tx = db.begin();
    tx.query("SELECT name FROM t WHERE a > ?1", {7}, [&names](const pintle::SqlRow &row) { names += row.get<std::string_view>(0); });
    pintle::Transaction inner = tx.begin();
    if (inner.execute("DELETE FROM t").changed > 1) inner.rollback();
    if (!tx.query_one("SELECT 1", {}, [](const pintle::SqlRow &) { return PINTLE_OK; })) tx.commit();
    if (db.value<std::int64_t>("SELECT count(*) FROM t").value_or(0) > 1 && db.value<std::string>("SELECT 'a'") == "a")
      db.script("DELETE FROM t");
    if (db.create_table("u", {}) && db.stats().transactions > 0) logger.info(names);
  } catch (const pintle::SqlError &error) {
    logger.debug(error.what(), {{"code", error.code()}, {"offset", error.offset()}});
  }
  cx.events().emit("a", "b");
  cx.events().ack(pintle_delivery{1});
  cx.events().nack(pintle_delivery{2}, milliseconds(5), "later");
  cx.events().emit_sync("a", "b", milliseconds(3), [](const HandlerResult &one) {
    PINTLE_REQUIRE(one.outcome() == PINTLE_HANDLED);
  });
  const auto run = [](const Context &, const Run &) {};
  const pintle::Job daily = cx.scheduler().cron("a", "@daily", run);
  const pintle::Job often = cx.scheduler().interval("b", milliseconds(1), run);
  const pintle::Job later = cx.scheduler().once("c", milliseconds(1), run);
  const pintle::Job next = cx.scheduler().after("d", "c", run);
  const pintle::Job rest = cx.scheduler().handle("e*", run);
  cx.scheduler().pause("a");
  cx.scheduler().resume("a");
  cx.scheduler().run_now("a");
  cx.scheduler().list([](const pintle::JobInfo &) {});
  cx.scheduler().history("a", [](const pintle::RunResult &) {});
  cx.scheduler().forget("a");
  const pintle::HeldContext held = cx.hold();
  if (held.remaining() == pintle::forever && held.scope().system) throw pintle::Error(PINTLE_CONFLICT, held.tenant());
  Buffer buffer;
  buffer.append(cx.call("a.b", 1, "c", "d", milliseconds(5)));
}
#endif

PINTLE_PLUGIN(Plugin, "header-test", "1.0.0");
