/* echo-cpp: remembers what it hears on `echo.>`, for each tenant, and answers for it. Its twins are echo-c
 * (sample-plugins/c/echo) and echo-rust (sample-plugins/rust/echo): from outside they differ in nothing but the id.
 *
 *   c++ -shared -fPIC -O2 -std=c++17 -Wl,--version-script=include/pintle/plugin.map -Iinclude \
 *     sample-plugins/cpp/echo/echo.cpp -o echo.so
 *
 * With each event it
 *   - counts the topic in the cache, in the namespace `seen`, for `window_ms` (config, 60,000) from the first on;
 *   - keeps the data in the storage, under the topic;
 *   - logs `heard` with the fields topic and seen (the host adds the tenant);
 *   - emits plugin.echo-cpp.heard with {"topic":"…","seen":N,"tenant":"…"}, the tenant empty in the system scope;
 *   - replies with the data, for publishers that wait.
 *
 * Service `echo-cpp.run` 1, for the caller's tenant:
 *   latest   a topic         the data that was last heard on it; NOT_FOUND if there was none
 *   seen     a topic         how often in its window, decimal
 *   topics   a prefix        the topics that begin with it, a line each
 *   forget                   forgets counts and data; how many topics there were
 *   fail                     CONFLICT, to see how a failure looks
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <pintle/plugin.hpp>

PINTLE_MANIFEST({
  "id": "echo-cpp", "version": "0.1.0", "abi": "1.0",
  "name": "Echo in C++", "description": "Remembers what it hears on echo.> and answers for it",
  "license": "MIT OR Apache-2.0",
  "services": {
    "cache": { "methods": ["get", "incr", "remove"], "namespaces": ["seen"] },
    "storage": { "methods": ["get", "set", "keys", "clear"] },
    "events": { "subscribe": ["echo.>"], "publish": ["heard"] }
  },
  "provides": { "echo-cpp.run": { "major": 1, "methods": ["latest", "seen", "topics", "forget", "fail"] } },
  "config": {
    "type": "object",
    "properties": { "window_ms": { "type": "integer", "minimum": 1, "default": 60000 } },
    "additionalProperties": false
  }
});

namespace {

/* A string of JSON, with its quotes: a tenant may be called anything. */
std::string json(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
      quoted += escaped;
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

std::string hear(const pintle::Context &cx, const pintle::Event &event) {
  const std::chrono::milliseconds window(cx.config().integer("/window_ms"));
  const std::int64_t seen = cx.cache("seen").incr(event.topic(), 1, window);
  cx.storage().set(event.topic(), event.data());
  cx.log().info("heard", {{"topic", event.topic()}, {"seen", seen}});
  cx.events().emit("heard", "{\"topic\":" + json(event.topic()) + ",\"seen\":" + std::to_string(seen) +
                                ",\"tenant\":" + json(event.tenant()) + "}");
  return std::string(event.data().text());
}

class Echo {
 public:
  explicit Echo(const pintle::Context &cx) : hearing_(cx.events().subscribe("echo.>", hear)) {}

  std::string call(const pintle::Context &cx, const pintle::Request &request) {
    const std::string_view data = request.data().text();
    if (request.method() == "latest") return latest(cx, data);
    if (request.method() == "seen") return cx.cache("seen").get(data).value_or("0");
    if (request.method() == "topics") return topics(cx, data);
    if (request.method() == "forget") return forget(cx);
    if (request.method() == "fail") throw pintle::Error(PINTLE_CONFLICT, "echo was told to fail");
    throw request.unsupported();
  }

 private:
  static std::string latest(const pintle::Context &cx, std::string_view topic) {
    std::optional<std::string> data = cx.storage().get(topic);
    if (!data) throw pintle::Error(PINTLE_NOT_FOUND, "nothing was heard on that topic");
    return *std::move(data);
  }

  static std::string topics(const pintle::Context &cx, std::string_view prefix) {
    std::string lines;
    for (const std::string &topic : cx.storage().keys(prefix)) lines += topic + '\n';
    return lines;
  }

  static std::string forget(const pintle::Context &cx) {
    for (const std::string &topic : cx.storage().keys("")) cx.cache("seen").remove(topic);
    return std::to_string(cx.storage().clear());
  }

  pintle::Subscription hearing_;
};

}  // namespace

PINTLE_PLUGIN(Echo, "echo-cpp", "0.1.0");
