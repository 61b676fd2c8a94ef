/* thrower: throws whenever an event of the scene comes. */
#include <pintle/plugin.hpp>

PINTLE_MANIFEST({
  "id": "thrower", "version": "0.1.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["plugin.publisher.scene"] } }
});

namespace {

class Thrower {
 public:
  explicit Thrower(const pintle::Context &cx)
      : scene_(cx.events().subscribe("plugin.publisher.scene", [](const pintle::Context &, const pintle::Event &) {
          throw std::runtime_error("thrower throws each time");
        })) {}

 private:
  pintle::Subscription scene_;
};

}  // namespace

PINTLE_PLUGIN(Thrower, "thrower", "0.1.0");
