/* A plugin in C++ and a host of a few lines around it: for the functions that no host calls yet (`save`, `restore`,
 * `provide`), for a result handler that throws, and for a host whose table is shorter than the header's. */
#define PINTLE_ENTRY alone_entry
#include <pintle/plugin.hpp>

PINTLE_MANIFEST({ "id": "alone", "version": "0.1.0", "abi": "1.0" });

namespace {

std::string said, logged, asked;

std::string text_of(pintle_str text) { return std::string(text.ptr, text.len); }

pintle_status set_error(pintle_ctx, pintle_str text) {
  said = text_of(text);
  return PINTLE_OK;
}
pintle_status last_error(pintle_ctx, pintle_sink out) { return pintle_sink_write(out, asked.data(), asked.size()); }
pintle_status service(pintle_ctx, pintle_str id, std::uint32_t, std::uint32_t size, const void **, void **) {
  asked = text_of(id) + " of " + std::to_string(size);
  return PINTLE_NOT_FOUND;
}
pintle_status write_log(pintle_ctx, std::uint32_t, pintle_str message, const pintle_field *fields, std::size_t count) {
  logged = text_of(message) + ": " + (count > 0 ? text_of(fields[0].text) : "");
  return PINTLE_OK;
}
pintle_status emit_sync(pintle_ctx, pintle_str, pintle_bytes, const pintle_emit_options *, std::int64_t timeout,
                        pintle_result_handler each, void *user, std::uint32_t *) {
  if (timeout == -1) return PINTLE_OUT_OF_RANGE;
  pintle_handler_result result = {};
  result.size = static_cast<std::uint32_t>(sizeof result);
  return each(user, &result) == PINTLE_OK ? PINTLE_OK : PINTLE_CANCELLED;
}

int wrong = 0;

void expect(bool holds, const char *what) {
  if (holds) return;
  std::printf("%s: said \"%s\", logged \"%s\", asked \"%s\"\n", what, said.c_str(), logged.c_str(), asked.c_str());
  wrong++;
}

std::string told;
pintle_event_handler hearing;
void *hearer = nullptr;
pintle_release forgotten;

/* Tell what they were given. */
pintle_status emit(pintle_ctx, pintle_str, pintle_bytes, const pintle_emit_options *options) {
  told = text_of(options->id) + " " + std::to_string(options->flags);
  return PINTLE_OK;
}
pintle_status subscribe(pintle_ctx, pintle_str, pintle_event_handler handler, void *user, pintle_release release,
                        const pintle_subscribe_options *options, pintle_registration *) {
  hearing = handler;
  if (hearer != nullptr) forgotten(hearer);
  hearer = user;
  forgotten = release;
  told = text_of(options->name) + " " + text_of(options->filter);
  for (const std::int64_t number :
       {std::int64_t{options->flags}, std::int64_t{options->capacity}, std::int64_t{options->policy},
        std::int64_t{options->priority}, std::int64_t{options->start}, options->start_at, options->ack_ms,
        options->backoff_ms, std::int64_t{options->max_deliveries}, std::int64_t{options->in_flight}})
    told += " " + std::to_string(number);
  return PINTLE_OK;
}
pintle_status ack(pintle_ctx, pintle_delivery delivery) {
  told = "ack " + std::to_string(delivery);
  return delivery == 9 ? PINTLE_OK : PINTLE_STALE_HANDLE;
}
pintle_status nack(pintle_ctx, pintle_delivery delivery, std::int64_t delay_ms, pintle_str reason) {
  told = "nack " + std::to_string(delivery) + " " + std::to_string(delay_ms) + " " + text_of(reason);
  return PINTLE_OK;
}

pintle_status cron(pintle_ctx, pintle_str name, pintle_str rule, pintle_job_handler, void *, pintle_release release,
                   const pintle_job_options *options, pintle_registration *job) {
  (void)release;
  *job = 77;
  told = text_of(name) + " " + text_of(rule) + " " + text_of(options->zone) + " " +
         std::string(reinterpret_cast<const char *>(options->data.ptr), options->data.len);
  for (const std::int64_t number :
       {std::int64_t{options->flags}, std::int64_t{options->overlap}, std::int64_t{options->missed},
        options->start_deadline_ms, options->jitter_ms, options->timeout_ms, options->backoff_ms,
        std::int64_t{options->retries}})
    told += " " + std::to_string(number);
  return PINTLE_OK;
}
pintle_status remove_job(pintle_ctx, pintle_registration job) {
  told = "remove " + std::to_string(job);
  return PINTLE_OK;
}
pintle_status handle_jobs(pintle_ctx, pintle_str pattern, pintle_job_handler, void *, pintle_release,
                          pintle_registration *job) {
  *job = 78;
  told = "handle " + text_of(pattern);
  return PINTLE_OK;
}
pintle_status pause_job(pintle_ctx, pintle_str name) {
  told = "pause " + text_of(name);
  return PINTLE_OK;
}
pintle_status list_jobs(pintle_ctx, pintle_job_visitor visitor, void *user) {
  pintle_job job = {};
  job.size = static_cast<std::uint32_t>(sizeof job);
  job.flags = PINTLE_JOB_IS_DURABLE | PINTLE_JOB_IS_PAUSED;
  job.name = PINTLE_STR("nightly");
  job.next_ms = -1;
  job.runs = 3;
  return visitor(user, &job) == PINTLE_OK && visitor(user, &job) == PINTLE_OK ? PINTLE_OK : PINTLE_CANCELLED;
}
pintle_status list_runs(pintle_ctx, pintle_str name, pintle_run_visitor visitor, void *user) {
  pintle_run_result run = {};
  run.size = static_cast<std::uint32_t>(sizeof run);
  run.flags = PINTLE_RUN_AGAIN;
  run.id = name.len;
  run.duration_ms = 1500;
  run.attempts = 2;
  run.status = PINTLE_TIMEOUT;
  run.result = pintle_bytesn("slow", 4);
  return visitor(user, &run) == PINTLE_OK ? PINTLE_OK : PINTLE_CANCELLED;
}

/* What is said of jobs arrives, a durable one outlives its object, and what is listed is seen. */
void jobs(pintle_scheduler &scheduler, const pintle::Context &cx) {
  const auto last = [](const char *expected) { expect(told == expected, told.c_str()); };
  const auto run = [](const pintle::Context &, const pintle::Run &) {};
  const pintle::Scheduler none = cx.scheduler();
  expect(none.try_forget("a") == PINTLE_UNSUPPORTED && none.try_run_now("a") == PINTLE_UNSUPPORTED &&
             none.try_list([](const pintle::JobInfo &) {}) == PINTLE_UNSUPPORTED,
         "a host whose jobs are only scheduled");
  scheduler.cron = cron;
  scheduler.remove = remove_job;
  scheduler.handle = handle_jobs;
  scheduler.pause = pause_job;
  scheduler.list = list_jobs;
  scheduler.history = list_runs;
  (void)cx.scheduler().cron("a", "@daily", run);
  last("remove 77");
  pintle::JobOptions options;
  options.durable = true;
  {
    const pintle::Job kept = cx.scheduler().cron("a", "@daily", run, options);
    last("a @daily   1 0 0 0 0 0 0 0");
  }
  last("a @daily   1 0 0 0 0 0 0 0");
  options.zone = "Europe/Vienna";
  options.overlap = pintle::Overlap::allow;
  options.missed = pintle::Missed::all;
  options.start_deadline = std::chrono::seconds(1);
  options.jitter = std::chrono::milliseconds(2);
  options.timeout = std::chrono::milliseconds(3);
  options.backoff = std::chrono::milliseconds(4);
  options.retries = 5;
  options.data = "data";
  pintle::Job job = cx.scheduler().cron("a", "@daily", run, options);
  last("a @daily Europe/Vienna data 1 2 2 1000 2 3 4 5");
  expect(job.try_remove() == PINTLE_OK && !job, "a durable job that is removed");
  last("remove 77");
  (void)cx.scheduler().handle("a-*", run).detach();
  last("handle a-*");
  cx.scheduler().pause("a");
  last("pause a");
  std::uint64_t runs = 0;
  cx.scheduler().list([&runs](const pintle::JobInfo &one) {
    expect(one.name() == "nightly" && one.durable() && one.paused() && !one.running() && one.next_ms() == -1, "a job");
    runs += one.runs();
  });
  expect(runs == 6, "each job is seen");
  expect(cx.scheduler().try_list([](const pintle::JobInfo &) { return PINTLE_BUSY; }) == PINTLE_CANCELLED, "a list that is ended");
  cx.scheduler().history("four", [](const pintle::RunResult &one) {
    expect(one.id() == 4 && one.again() && !one.missed() && one.duration() == std::chrono::milliseconds(1500) &&
               one.attempts() == 2 && one.status() == PINTLE_TIMEOUT && one.result().text() == "slow",
           "a run that has ended");
  });
  try {
    cx.scheduler().history("a", [](const pintle::RunResult &) { throw std::runtime_error("seen enough"); });
    expect(false, "what a visitor throws");
  } catch (const std::runtime_error &error) {
    expect(std::string_view(error.what()) == "seen enough", error.what());
  }
}

/* What is said of durable events arrives, and what a delivery is of is seen. */
void durable(pintle_events &events, const pintle::Context &cx) {
  const auto last = [](const char *expected) { expect(told == expected, told.c_str()); };
  const pintle::Events none = cx.events();
  expect(none.try_ack(9) == PINTLE_UNSUPPORTED && none.try_nack(9) == PINTLE_UNSUPPORTED, "a host without acknowledgements");
  events.emit = emit;
  events.subscribe = subscribe;
  events.ack = ack;
  events.nack = nack;
  pintle::EmitOptions kept;
  kept.id = "i";
  cx.events().emit("a", "{}", kept);
  last("i 0");
  kept.durable = true;
  cx.events().emit("a", "{}", kept);
  last("i 1");
  pintle::SubscribeOptions options;
  pintle_delivery delivery = 0;
  const auto hear = [&delivery](const pintle::Context &, const pintle::Event &event) {
    expect(event.sequence() == 41 && event.attempt() == 2, "which delivery it is");
    delivery = event.delivery();
  };
  options.name = "plain";
  (void)cx.events().subscribe("a", hear, options).detach();
  last("plain  0 0 0 0 0 0 0 0 0 0");
  options.name = "n";
  options.durable = true;
  options.start = pintle::Start::all();
  (void)cx.events().subscribe("a", hear, options).detach();
  last("n  1 0 0 0 1 0 0 0 0 0");
  options.acknowledge = true;
  options.filter = "{}";
  options.priority = -3;
  options.start = pintle::Start::sequence(7);
  options.ack_within = std::chrono::seconds(1);
  options.backoff = std::chrono::milliseconds(2);
  options.max_deliveries = 4;
  options.in_flight = 5;
  (void)cx.events().subscribe("a", hear, options).detach();
  last("n {} 3 0 0 -3 2 7 1000 2 4 5");
  options.start = pintle::Start::time(-8);
  (void)cx.events().subscribe("a", hear, options).detach();
  last("n {} 3 0 0 -3 3 -8 1000 2 4 5");
  pintle_event event = {};
  event.size = static_cast<std::uint32_t>(sizeof event);
  event.sequence = 41;
  event.delivery = 9;
  event.attempt = 2;
  expect(hearing(hearer, 2, &event, pintle_discard_sink()) == PINTLE_OK && delivery == 9, "a delivery");
  cx.events().ack(delivery);
  last("ack 9");
  expect(cx.events().try_ack(8) == PINTLE_STALE_HANDLE, "a delivery that is over");
  cx.events().nack(delivery);
  last("nack 9 0 ");
  cx.events().nack(delivery, std::chrono::milliseconds(0), "at once");
  last("nack 9 1 at once");
  cx.events().nack(delivery, std::chrono::seconds(1));
  last("nack 9 1000 ");
  forgotten(hearer);
}

std::string stepped;

/* Tells what it was given; a step with the key `old` is in conflict with version 7. */
pintle_status batch(pintle_ctx, const pintle_storage_step *steps, std::size_t count, std::uint64_t *versions,
                    std::int64_t *values, std::size_t *failed) {
  stepped.clear();
  for (std::size_t at = 0; at < count; at++) {
    const pintle_storage_step &step = steps[at];
    stepped += std::to_string(step.kind) + " " + text_of(step.key) + " " + std::string(pintle::Bytes(step.value).text());
    stepped += " " + std::to_string(step.delta);
    if (step.options != nullptr) {
      stepped += " if " + std::to_string(step.options->flags) + " " + std::to_string(step.options->if_version) + " " +
                 std::to_string(step.options->ttl_ms);
    }
    if (step.event != nullptr) stepped += " key " + text_of(step.event->key) + " " + std::to_string(step.event->flags);
    if (step.job != nullptr) stepped += " " + text_of(step.job->rule) + " every " + std::to_string(step.job->every_ms);
    stepped += "\n";
    versions[at] = at + 1;
    values[at] = step.delta;
    if (text_of(step.key) != "old") continue;
    *failed = at;
    versions[at] = 7;
    asked = "old has moved on";
    return PINTLE_CONFLICT;
  }
  return PINTLE_OK;
}

pintle_watch_handler watching = nullptr;
void *watcher = nullptr;
pintle_release unwatching = nullptr;
std::uint64_t watched_after = 0;

pintle_status watch(pintle_ctx, pintle_str, pintle_watch_handler handler, void *user, pintle_release release,
                    const pintle_watch_options *options, pintle_registration *handle) {
  watching = handler;
  watcher = user;
  unwatching = release;
  watched_after = options->flags == PINTLE_WATCH_AFTER ? options->after : 999;
  *handle = 5;
  return PINTLE_OK;
}

std::string database_calls;

/* Gives the values back as a row, and fails where the SQL is "bad". */
pintle_status query(pintle_ctx, pintle_transaction tx, pintle_str sql, const pintle_sql_value *values, std::size_t count,
                    pintle_sql_rows rows, const pintle_sql_options *, pintle_sql_info *info) {
  database_calls += "query " + std::to_string(tx) + ";";
  if (text_of(sql) == "none") return PINTLE_NOT_FOUND;
  if (text_of(sql) == "bad") {
    asked = "near bad";
    info->error_code = 1;
    info->error_offset = 4;
    return PINTLE_INVALID_ARGUMENT;
  }
  asked = "refused";
  return rows.row(rows.data, values, count) == PINTLE_OK ? PINTLE_OK : PINTLE_CANCELLED;
}
pintle_status execute(pintle_ctx, pintle_transaction tx, pintle_str, const pintle_sql_value *, std::size_t,
                      const pintle_sql_options *, pintle_sql_info *) {
  database_calls += "execute " + std::to_string(tx) + ";";
  return tx == UINT64_MAX ? PINTLE_STALE_HANDLE : PINTLE_OK;
}
pintle_status begin(pintle_ctx, pintle_transaction outer, const pintle_transaction_options *, pintle_transaction *tx) {
  database_calls += "begin " + std::to_string(outer) + ";";
  *tx = outer + 5;
  return PINTLE_OK;
}
pintle_status commit(pintle_ctx, pintle_transaction tx) {
  database_calls += "commit " + std::to_string(tx) + ";";
  return tx == 10 ? PINTLE_BUSY : PINTLE_OK;
}
pintle_status rollback(pintle_ctx, pintle_transaction tx) {
  database_calls += "rollback " + std::to_string(tx) + ";";
  return PINTLE_OK;
}

struct Alone {
  int told = 0;

  void enable(const pintle::Context &cx) {
    cx.events().emit_sync("a", "b", {}, [this](const pintle::HandlerResult &) {
      told++;
      throw std::runtime_error("told too much");
    });
  }
  pintle_status disable(const pintle::Context &cx) {
    std::uint32_t handlers = 0;
    const auto each = [](const pintle::HandlerResult &) {};
    if (cx.events().try_emit_sync("a", "b", std::chrono::milliseconds(0), each, handlers) != PINTLE_OUT_OF_RANGE)
      return PINTLE_INTERNAL;
    cx.cache("ns").set("key", "value");
    return PINTLE_OK;
  }
  void save(const pintle::Context &) { throw std::runtime_error("lost"); }
  void restore(const pintle::Context &, std::uint32_t schema, pintle::Bytes saved) {
    if (saved.text() != "good") throw pintle::Error(PINTLE_UNSUPPORTED, "no schema " + std::to_string(schema));
  }
  const void *provide(std::string_view service, std::uint32_t) {
    if (service == "none") throw 42;
    return this;
  }
};

/* A handler whose capture throws when it is destroyed. */
struct Bomb {
  bool armed = true;
  Bomb() = default;
  Bomb(Bomb &&from) noexcept : armed(std::exchange(from.armed, false)) {}
  ~Bomb() noexcept(false) {
    if (armed) throw std::runtime_error("burst");
  }
  void operator()(const pintle::Context &, const pintle::Event &) const {}
  void operator()(const pintle::Context &, const pintle::Run &) const {}
};

template <class T>
pintle_status status_of(const pintle::SqlRow &row, std::size_t column) {
  try {
    (void)row.get<T>(column);
    return PINTLE_OK;
  } catch (const pintle::Error &error) {
    return error.status();
  }
}

/* Values, rows and transactions. */
void sql(pintle_host &host, const pintle::Context &cx) {
  pintle_database database = {};
  database.size = static_cast<std::uint32_t>(sizeof database);
  database.query = database.query_one = query;
  database.execute = execute;
  database.begin = begin;
  database.commit = commit;
  database.rollback = rollback;
  host.database = &database;
  const pintle::Database db = cx.database();
  int rows = 0;
  db.query("?", {300, 0.5, "text", pintle::Bytes("blob"), std::nullopt, true, std::optional<int>(), static_cast<const char *>(nullptr)},
           [&rows](const pintle::SqlRow &row) {
             rows++;
             expect(row.size() == 8 && row.get<std::int64_t>(0) == 300 && row.get<double>(0) == 300 && row.get<bool>(5),
                    "integers of a row");
             expect(row.get<double>(1) == 0.5 && row.get<std::string>(2) == "text" && row.get<std::string_view>(2) == "text",
                    "a number and a text of a row");
             expect(row.get<pintle::Bytes>(3).text() == "blob" && row.is_null(4) && row.is_null(6) && row.is_null(7), "a blob");
             expect(!row.get<std::optional<int>>(4) && row.get<std::optional<int>>(0) == 300, "what may be NULL");
             expect(status_of<std::int64_t>(row, 1) == PINTLE_WRONG_TYPE && status_of<std::string>(row, 3) == PINTLE_WRONG_TYPE &&
                        status_of<pintle::Bytes>(row, 2) == PINTLE_WRONG_TYPE && status_of<double>(row, 2) == PINTLE_WRONG_TYPE &&
                        status_of<std::int64_t>(row, 4) == PINTLE_WRONG_TYPE && status_of<bool>(row, 1) == PINTLE_WRONG_TYPE,
                    "a wrong kind");
             expect(status_of<std::uint8_t>(row, 0) == PINTLE_OUT_OF_RANGE && status_of<int>(row, 8) == PINTLE_OUT_OF_RANGE,
                    "a number that does not fit, and a column that is not there");
           });
  expect(rows == 1, "a row");
  try {
    db.query("?", {1}, [](const pintle::SqlRow &) { throw std::runtime_error("enough"); });
    expect(false, "what a row function throws");
  } catch (const std::runtime_error &error) {
    expect(std::string_view(error.what()) == "enough", "what a row function throws");
  }
  try {
    db.query("bad", {}, [](const pintle::SqlRow &) {});
    expect(false, "an error of SQL");
  } catch (const pintle::SqlError &error) {
    expect(error.status() == PINTLE_INVALID_ARGUMENT && error.code() == 1 && error.offset() == 4 &&
               std::string_view(error.what()) == "near bad",
           "an error of SQL");
  }
  expect(!db.value<int>("none") && db.value<std::string>("?", {"one"}) == "one" && !db.value<int>("?", {std::nullopt}), "a value");
  database_calls.clear();
  {
    pintle::Transaction outer = db.begin();
    pintle::Transaction inner = outer.begin();
    inner.execute("x");
    expect(inner.try_commit() == PINTLE_BUSY && inner, "a transaction that goes on");
    pintle::Transaction moved = std::move(inner);
    expect(moved && !inner && inner.try_execute("x") == PINTLE_STALE_HANDLE, "a transaction moved away commits nothing by itself");
    outer = std::move(moved);
  }
  expect(database_calls == "begin 0;begin 5;execute 10;commit 10;execute 18446744073709551615;rollback 5;rollback 10;",
         database_calls.c_str());
  database_calls.clear();
  {
    pintle::Transaction tx = db.begin();
    tx.commit();
    expect(tx.try_execute("x") == PINTLE_STALE_HANDLE && !tx && tx.try_rollback() == PINTLE_STALE_HANDLE, "one that has ended");
    pintle::Transaction none;
    none = std::move(tx);
  }
  expect(database_calls == "begin 0;commit 5;execute 18446744073709551615;", database_calls.c_str());
}

}  // namespace

PINTLE_PLUGIN(Alone, "alone", "0.1.0");

int main() {
  pintle_log log = {};
  log.size = static_cast<std::uint32_t>(sizeof log);
  log.write = write_log;
  pintle_events events = {};
  events.size = static_cast<std::uint32_t>(sizeof events);
  events.emit_sync = emit_sync;
  pintle_cache cache = {};
  cache.size = 8; /* of a host that has none */
  pintle_host host = {};
  host.size = static_cast<std::uint32_t>(sizeof host);
  host.set_error = set_error;
  host.last_error = last_error;
  host.service = service;
  host.log = &log;
  host.events = &events;
  host.cache = &cache;

  const pintle_plugin *plugin = alone_entry();
  void *state = nullptr;
  expect(plugin->load(1, nullptr, &state) == PINTLE_INVALID_ARGUMENT, "no host");
  host.size = static_cast<std::uint32_t>(offsetof(pintle_host, files));
  expect(plugin->load(1, &host, &state) == PINTLE_UNSUPPORTED && said.find("update the host") != std::string::npos,
         "a host that is too short");
  host.size = static_cast<std::uint32_t>(sizeof host);
  expect(plugin->load(1, &host, &state) == PINTLE_OK && state != nullptr, "load");
  expect(plugin->configure == nullptr && plugin->call == nullptr, "what a plugin does not have is null");
  expect(plugin->enable(state, 1) == PINTLE_PANIC && said == "threw: told too much", "a result handler that throws");
  expect(plugin->disable(state, 1) == PINTLE_UNSUPPORTED && said == asked && asked.find("pintle.cache of ") == 0,
         "a table that is too short");
  expect(plugin->save(state, 1, pintle_discard_sink()) == PINTLE_PANIC && said == "threw: lost", "save");
  expect(plugin->restore(state, 1, 3, pintle_bytesn("bad", 3)) == PINTLE_UNSUPPORTED && said == "no schema 3", "restore");
  expect(plugin->restore(state, 1, 3, pintle_bytesn("good", 4)) == PINTLE_OK, "restore what is good");
  expect(plugin->provide(state, PINTLE_STR("none"), 1) == nullptr &&
             logged == "the plugin threw in provide: threw what is not a std::exception",
         "provide");
  expect(plugin->provide(state, PINTLE_STR("some"), 1) != nullptr, "provide what is there");
  expect(plugin->enable(nullptr, 1) == PINTLE_INVALID_ARGUMENT, "no state");
  plugin->unload(state, 1);
  plugin->unload(nullptr, 1);
  const pintle::Context cx(&host, 1, 1);
  pintle::Subscription refused;
  logged.clear();
  expect(cx.events().try_subscribe("a", Bomb(), refused) == PINTLE_UNSUPPORTED && !refused &&
             logged == "what a handler had captured threw when it was destroyed: threw: burst",
         "a handler that is not taken");
  durable(events, cx);
  pintle_scheduler scheduler = {};
  scheduler.size = static_cast<std::uint32_t>(sizeof scheduler);
  host.scheduler = &scheduler;
  pintle::Job job;
  logged.clear();
  expect(cx.scheduler().try_once("a", std::chrono::milliseconds(1), Bomb(), job) == PINTLE_UNSUPPORTED && !job &&
             logged == "what a handler had captured threw when it was destroyed: threw: burst",
         "a job that is not taken");
  jobs(scheduler, cx);
  pintle_storage storage = {};
  storage.size = static_cast<std::uint32_t>(sizeof storage);
  storage.batch = batch;
  storage.watch = watch;
  host.storage = &storage;
  pintle::StorageOptions minute;
  minute.lifetime = std::chrono::minutes(1);
  pintle::EmitOptions keyed;
  keyed.key = "k";
  keyed.durable = true;
  pintle::BatchJob often;
  often.every = std::chrono::seconds(1);
  pintle::Batch steps = cx.storage().batch();
  steps.set(std::string("a"), "b", minute).incr("n", 3).check("c", 0).remove("d").emit("e", "{}", keyed);
  const pintle::List<pintle::StepOutcome> done = steps.schedule("f", often, "data").commit();
  expect(done.size() == 6 && done[1].value == 3 && done[5].version == 6, "outcomes of a batch");
  expect(stepped == "1 a b 0 if 2 0 60000\n3 n  3 if 0 0 0\n4 c  0 if 1 0 0\n2 d  0 if 0 0 0\n5 e {} 0 key k 1\n"
                    "6 f data 0  every 1000\n",
         stepped.c_str());
  try {
    cx.storage().batch().incr("n").check("old", 3).commit();
    expect(false, "a batch in conflict");
  } catch (const pintle::BatchError &error) {
    expect(error.status() == PINTLE_CONFLICT && error.failed().step == 1 && error.failed().current == 7 &&
               std::string_view(error.what()) == "old has moved on",
           "what failed in a batch");
  }
  sql(host, cx);
  pintle_storage_change change = {};
  change.size = static_cast<std::uint32_t>(sizeof change);
  change.key = PINTLE_STR("k");
  std::string seen;
  pintle::Watch live = cx.storage().watch("", [&seen](const pintle::Context &, const pintle::Change &one) {
    seen = one.key();
    if (one.version() == 1) throw std::runtime_error("seen too much");
  }, 0);
  expect(live && watched_after == 0 && watching(watcher, 2, &change, pintle_discard_sink()) == PINTLE_OK && seen == "k",
         "a watch");
  change.version = 1;
  expect(watching(watcher, 2, &change, pintle_discard_sink()) == PINTLE_PANIC && said == "threw: seen too much",
         "a watch that throws");
  change.size = 8;
  expect(watching(watcher, 2, &change, pintle_discard_sink()) == PINTLE_INVALID_ARGUMENT, "a change that is too short");
  (void)live.detach();
  unwatching(watcher);
  const char *nothing = nullptr;
  expect(pintle::Bytes(nothing).empty() && pintle::Field("text", nothing).text.len == 0, "a null text");
  static_assert(!std::is_convertible_v<std::nullptr_t, pintle::Bytes>, "null is a mistake");
  pintle::Buffer one, other;
  one.append("one");
  pintle::Buffer &same = one;
  one = std::move(same);
  expect(one.text() == "one", "a buffer moved to itself");
  other = std::move(one);
  expect(other.text() == "one" && one.empty(), "a buffer moved away");
  one.append("again");
  expect(one.text() == "again", "a buffer used after it was moved away");
  pintle::Logger logger;
  pintle::Subscription subscription;
  pintle::HeldContext held;
  logger = pintle::Logger(std::move(logger));
  subscription = pintle::Subscription(std::move(subscription));
  held = pintle::HeldContext(std::move(held));
  expect(logger.try_write(pintle::Level::info, "x") == PINTLE_STALE_HANDLE && !subscription && !held &&
             subscription.try_unsubscribe() == PINTLE_STALE_HANDLE && held.try_release() == PINTLE_STALE_HANDLE,
         "what owns nothing is stale");
  if (wrong == 0) std::printf("alone works\n");
  return wrong;
}
