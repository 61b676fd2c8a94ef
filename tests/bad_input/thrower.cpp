/* thrower: throws where its config says (`at`), what it says (`with`, see `burst`), and looks at what plugin.hpp owns.
 *
 * Events throw what their data says. Methods: `burst` throws what the request says, `sink` from inside a sink, `thread`
 * on a thread of the plugin's; `own` and `run` look at themselves with PINTLE_REQUIRE. */
#include <pintle/plugin.hpp>

#include <cassert>
#include <thread>

PINTLE_MANIFEST({
  "id": "thrower", "version": "0.1.0", "abi": "1.0",
  "services": {
    "events": { "subscribe": ["throw.>", "never.>"], "publish": ["survived"] },
    "scheduler": {}
  },
  "provides": { "thrower.run": { "major": 1, "methods": ["run", "burst", "sink", "thread", "own"] } },
  "config": {
    "type": "object",
    "properties": {
      "at": { "type": "string", "default": "nowhere" },
      "with": { "type": "string", "default": "text" }
    }
  }
});

namespace {

using pintle::Bytes;
using pintle::Context;

/* An exception whose destructor throws as well. */
struct Grenade {
  Grenade() = default;
  Grenade(const Grenade &) = default;
  ~Grenade() noexcept(false) { throw 1; }
};

/* A destructor that throws, where it may. */
struct Sharp {
  explicit Sharp(std::string at) : place(std::move(at)) {}
  Sharp(Sharp &&from) : place(std::exchange(from.place, {})) {}
  ~Sharp() noexcept(false) {
    if (!place.empty()) throw std::runtime_error("thrower in " + place);
  }
  std::string place;
};

/* A destructor as they are by default, in which something is not as it should be. */
struct Careful {
  ~Careful() { PINTLE_CHECK(stock >= 0); }
  int stock = -1;
};

void burst(const std::string &place, std::string_view with);

/* A destructor as they are by default, which throws all the same. */
struct Blunt {
  ~Blunt() { burst("a destructor", "text"); }
};

void burst(const std::string &place, std::string_view with) {
  if (with == "text") throw std::runtime_error("thrower in " + place);
  if (with == "error") throw pintle::Error(PINTLE_CONFLICT, "thrower refuses in " + place);
  if (with == "number") throw 42;
  if (with == "memory") throw std::bad_alloc();
  if (with == "grenade") throw Grenade();
  if (with == "destructor") Sharp sharp(place);
  if (with == "require") PINTLE_REQUIRE(place.empty());
  if (with == "careful") Careful careful;
  /* These end the process, whatever anybody does. */
  if (with == "noexcept") Blunt blunt;
  if (with == "assert") assert(place.empty());
  if (with == "unwinding") {
    Sharp sharp(place);
    throw 42;
  }
}

void trap(const Context &cx, const std::string &place) {
  if (cx.config().text("/at") == place) burst(place, cx.config().text("/with"));
}

/* Each object ends what it owns, once, and what was moved from owns nothing. */
void owns(const Context &cx) {
  for (int round = 0; round < 10000; round++) {
    pintle::HeldContext held = cx.hold();
    PINTLE_REQUIRE(held && held.tenant() == cx.tenant());
  }
  pintle::HeldContext first = cx.hold();
  const Context copy = first;
  pintle::HeldContext second = std::move(first);
  PINTLE_REQUIRE(!first && first.try_release() == PINTLE_STALE_HANDLE);
  PINTLE_REQUIRE(second.tenant() == cx.tenant());
  second = cx.hold();
  std::chrono::milliseconds left{};
  PINTLE_REQUIRE(copy.try_remaining(left) == PINTLE_STALE_HANDLE);
  PINTLE_REQUIRE(second.try_release() == PINTLE_OK && second.try_release() == PINTLE_STALE_HANDLE);

  const auto ignore = [](const Context &, const pintle::Event &) {};
  for (int round = 0; round < 10000; round++) {
    const pintle::Subscription dropped = cx.events().subscribe("never.dropped", ignore);
    const pintle::Logger logger = cx.log().with({{"round", round}});
    logger.trace("a record that nobody wants");
  }
  pintle::Subscription one = cx.events().subscribe("never.one", ignore);
  const pintle_registration old = one.handle();
  one = cx.events().subscribe("never.two", ignore);
  PINTLE_REQUIRE(cx.host()->events->unsubscribe(cx.raw(), old) == PINTLE_STALE_HANDLE);
  pintle::Subscription moved = std::move(one);
  PINTLE_REQUIRE(!one && one.try_unsubscribe() == PINTLE_STALE_HANDLE);
  PINTLE_REQUIRE(moved.try_unsubscribe() == PINTLE_OK && !moved);
  cx.events().subscribe("never.kept", ignore).detach();

  const auto never = [](const Context &, const pintle::Run &) {};
  const pintle::Job daily = cx.scheduler().cron("dropped", "@daily", never);
  cx.scheduler().interval("kept", std::chrono::hours(1), never).detach();
  pintle::Job none;
  PINTLE_REQUIRE(cx.scheduler().try_cron("bad", "soon", never, none) == PINTLE_INVALID_ARGUMENT && !none);
  PINTLE_REQUIRE(none.try_remove() == PINTLE_STALE_HANDLE);

  pintle::Buffer buffer;
  PINTLE_REQUIRE(buffer.empty() && buffer.text().empty());
  buffer.append("one");
  buffer.append(std::string(1000, 'x'));
  PINTLE_REQUIRE(buffer.size() == 1003 && buffer.text().substr(0, 4) == "onex");
  pintle::Buffer taken = std::move(buffer);
  PINTLE_REQUIRE(buffer.empty() && taken.size() == 1003);
  taken.clear();
  cx.check(cx.config().try_text("/at", taken.sink()));
  PINTLE_REQUIRE(taken.text() == "nowhere");
}

/* What the throwing forms say is what the host says. */
std::string words(const Context &cx) {
  bool thrown = false;
  try {
    (void)cx.config().integer("/at");
  } catch (const pintle::Error &error) {
    thrown = error.status() == PINTLE_WRONG_TYPE && error.what() == cx.last_error() && !cx.last_error().empty();
  }
  PINTLE_REQUIRE(thrown);
  std::int64_t untouched = 7;
  PINTLE_REQUIRE(cx.config().try_integer("/at", untouched) == PINTLE_WRONG_TYPE && untouched == 7);
  PINTLE_REQUIRE(cx.scope().ends_with_call && !cx.own().scope().ends_with_call && cx.own().tenant().empty());
  PINTLE_REQUIRE(cx.remaining() > std::chrono::milliseconds(0) && cx.own().remaining() == pintle::forever);
  return cx.config().json("/with");
}

class Thrower {
 public:
  explicit Thrower(const Context &cx) : end_(cx.config().text("/at") == "destroy" ? "destroy" : "") {
    trap(cx, "construct");
    hearing_ = cx.events().subscribe("throw.>", [](const Context &with, const pintle::Event &event) {
      burst("event", event.data().text());
      with.events().emit("survived", event.data());
    });
    if (cx.config().text("/at") == "job") {
      job_ = cx.scheduler().interval("throw", std::chrono::milliseconds(20),
                                     [](const Context &with, const pintle::Run &) { trap(with, "job"); });
    }
  }

  void load(const Context &cx) {
    if (cx.config().text("/at") == "both") end_.place = "destroy";
    if (cx.config().text("/at") == "both") throw std::runtime_error("thrower in load");
    trap(cx, "load");
  }

  void enable(const Context &cx) {
    trap(cx, "enable");
    if (cx.config().text("/at") == "release") {
      Sharp sharp("release");
      cx.events()
          .subscribe("never.released", [captured = std::move(sharp)](const Context &, const pintle::Event &) {})
          .detach();
    }
    if (cx.config().text("/at") == "careless") {
      cx.events()
          .subscribe("never.released", [captured = Careful()](const Context &, const pintle::Event &) {})
          .detach();
    }
  }
  void disable(const Context &cx) { trap(cx, "disable"); }
  void unload(const Context &cx) { trap(cx, "unload"); }
  void configure(const Context &cx, std::string_view json) {
    PINTLE_REQUIRE(json.front() == '{');
    trap(cx, "configure");
  }
  std::string save(const Context &) { throw std::runtime_error("thrower in save"); }
  void restore(const Context &, std::uint32_t, Bytes) { throw std::runtime_error("thrower in restore"); }
  const void *provide(std::string_view, std::uint32_t) { throw std::runtime_error("thrower in provide"); }

  pintle_status call(const Context &cx, const pintle::Request &request, const pintle::Reply &reply) {
    const std::string_view data = request.data().text();
    if (request.method() == "burst") burst("call", data);
    if (request.method() == "own") owns(cx);
    if (request.method() == "run") reply.write(words(cx));
    if (request.method() == "sink") {
      pintle::Sink sink([data](Bytes) { burst("sink", data); });
      sink.check(cx, cx.config().try_json("", sink));
    }
    if (request.method() == "thread") {
      const pintle::HeldContext held = cx.hold();
      pintle_status status = PINTLE_OK;
      std::thread worker([&] { status = pintle::contain(held, "a thread failed", [data] { burst("thread", data); }); });
      worker.join();
      return status;
    }
    return PINTLE_OK;
  }

 private:
  Sharp end_;
  pintle::Subscription hearing_;
  pintle::Job job_;
};

}  // namespace

PINTLE_PLUGIN(Thrower, "thrower", "0.1.0");
