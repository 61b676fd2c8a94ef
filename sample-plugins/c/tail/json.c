/* Text of any origin as JSON.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "tail.h"

size_t utf8_length(const uint8_t *text, size_t len, size_t *bad) {
  uint8_t low = 0x80, high = 0xBF; /* what the second byte may be: neither overlong, nor surrogates, nor too high */
  size_t whole, at;
  *bad = 1;
  if (text[0] < 0x80) return 1;
  if (text[0] < 0xC2 || text[0] > 0xF4) return 0;
  whole = text[0] < 0xE0 ? 2 : text[0] < 0xF0 ? 3 : 4;
  if (text[0] == 0xE0) low = 0xA0;
  if (text[0] == 0xED) high = 0x9F;
  if (text[0] == 0xF0) low = 0x90;
  if (text[0] == 0xF4) high = 0x8F;
  for (at = 1; at < whole; at++, low = 0x80, high = 0xBF) {
    *bad = at;
    if (at >= len || text[at] < low || text[at] > high) return 0;
  }
  return whole;
}

/* The short form of what must be escaped; null if it has none. */
static const char *short_escape(uint8_t byte) {
  switch (byte) {
  case '"': return "\\\"";
  case '\\': return "\\\\";
  case '\b': return "\\b";
  case '\f': return "\\f";
  case '\n': return "\\n";
  case '\r': return "\\r";
  case '\t': return "\\t";
  default: return NULL;
  }
}

pintle_status json_escape(pintle_buf *out, const uint8_t *text, size_t len) {
  static const char hex[] = "0123456789abcdef";
  size_t at = 0, plain = 0, bad;
  pintle_status status = PINTLE_OK;
  while (at < len && status == PINTLE_OK) {
    const char *escape = short_escape(text[at]);
    size_t whole = utf8_length(text + at, len - at, &bad);
    if (escape == NULL && whole > 0 && text[at] >= 0x20) {
      at += whole;
      continue;
    }
    if (at > plain) status = pintle_buf_write(out, text + plain, at - plain);
    if (status != PINTLE_OK) break;
    if (whole == 0) {
      status = pintle_buf_write(out, "\xEF\xBF\xBD", 3);
      at += bad;
    } else {
      char code[7] = "\\u00..";
      code[4] = hex[text[at] >> 4], code[5] = hex[text[at] & 15];
      if (escape == NULL) escape = code;
      status = pintle_buf_write(out, escape, strlen(escape));
      at++;
    }
    plain = at;
  }
  if (status == PINTLE_OK && at > plain) status = pintle_buf_write(out, text + plain, at - plain);
  return status;
}
