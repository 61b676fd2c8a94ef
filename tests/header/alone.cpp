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

int wrong = 0;

void expect(bool holds, const char *what) {
  if (holds) return;
  std::printf("%s: said \"%s\", logged \"%s\", asked \"%s\"\n", what, said.c_str(), logged.c_str(), asked.c_str());
  wrong++;
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
  pintle_scheduler scheduler = {};
  scheduler.size = static_cast<std::uint32_t>(sizeof scheduler);
  host.scheduler = &scheduler;
  pintle::Job job;
  logged.clear();
  expect(cx.scheduler().try_once("a", std::chrono::milliseconds(1), Bomb(), job) == PINTLE_UNSUPPORTED && !job &&
             logged == "what a handler had captured threw when it was destroyed: threw: burst",
         "a job that is not taken");
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
