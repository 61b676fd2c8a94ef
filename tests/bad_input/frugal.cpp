/* frugal: a plugin on plugin.hpp that is compiled without exceptions and answers with statuses. */
#include <pintle/plugin.hpp>

#if PINTLE_EXCEPTIONS
#error "compile it with -fno-exceptions"
#endif

PINTLE_MANIFEST({
  "id": "frugal", "version": "0.1.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["throw.>"] } },
  "provides": { "frugal.run": { "major": 1, "methods": ["count", "fail", "check"] } },
  "config": { "type": "object", "properties": { "limit": { "type": "integer", "default": 3 } } }
});

namespace {

class Frugal {
 public:
  pintle_status load(const pintle::Context &cx) {
    pintle_status status = cx.config().try_integer("/limit", limit_);
    if (status != PINTLE_OK) return cx.pass_on(status);
    if (limit_ == 0) {
      cx.set_error("a limit of 0 makes no sense");
      return PINTLE_INVALID_ARGUMENT;
    }
    const auto hear = [this](const pintle::Context &, const pintle::Event &) {
      count_++;
      return PINTLE_OK;
    };
    return cx.pass_on(cx.events().try_subscribe("throw.>", hear, hearing_));
  }

  pintle_status call(const pintle::Context &cx, const pintle::Request &request, const pintle::Reply &reply) {
    if (request.method() == "count") {
      char text[24];
      std::snprintf(text, sizeof text, "%lld", static_cast<long long>(count_));
      return cx.pass_on(reply.try_write(text));
    }
    if (request.method() == "fail") {
      pintle::Buffer text;
      return cx.pass_on(cx.config().try_text("/limit", text.sink()));
    }
    PINTLE_CHECK(false);
    return PINTLE_OK;
  }

 private:
  std::int64_t limit_ = 0;
  std::int64_t count_ = 0;
  pintle::Subscription hearing_;
};

}  // namespace

PINTLE_PLUGIN(Frugal, "frugal", "0.1.0");
