/* A second file of a plugin in C++: the header in it must not define anything twice. */
#include <pintle/plugin.hpp>
#include <pintle/plugin.hpp>

const char *third_unit_name(pintle_status status);

const char *third_unit_name(pintle_status status) {
  if (!PINTLE_CHECK(status >= 0)) return "";
  return pintle::status_name(status);
}
