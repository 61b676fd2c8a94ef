/* The header included by a second file of one plugin, and twice by this one: nothing may be defined twice. */
#include <pintle/plugin.h>

#include "second_unit.h"

size_t second_unit_length(pintle_str text) {
  pintle_buf buf;
  size_t len;
  memset(&buf, 0, sizeof buf);
  if (pintle_buf_write(&buf, text.ptr, text.len) != PINTLE_OK) return 0;
  len = buf.len;
  pintle_buf_free(&buf);
  return len;
}
