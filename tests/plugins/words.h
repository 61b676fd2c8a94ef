/* Plugins that are told what to do, a command on each line, and answer a line for each: how lines are taken apart and answers
 * put together. Such a plugin includes this in place of <pintle/plugin.h>. Nothing is read behind the end of what it was sent. */
#ifndef WORDS_H
#define WORDS_H

#include <pintle/plugin.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define TEXT_OF(...) #__VA_ARGS__
#define TEXT(...) TEXT_OF(__VA_ARGS__)
#define MANIFEST(...) PINTLE_MANIFEST(__VA_ARGS__) /* expands NAME before it becomes text */

static const pintle_host *host; /* since `load` */

/* Digits end where the text ends, and the request has no NUL behind it: strtoll and sscanf get a copy that has one. */
typedef struct digits {
  char text[32];
} digits;

static inline digits digits_of(const char *from, size_t length) {
  digits copy = {{0}};
  if (length >= sizeof copy.text) length = sizeof copy.text - 1;
  if (length > 0) memcpy(copy.text, from, length);
  return copy;
}

/* The number that a text begins with; 0 if there is none. */
static inline int64_t number(pintle_str text) {
  digits copy = digits_of(text.ptr, text.len);
  return strtoll(copy.text, NULL, 10);
}

/* The same of tokens and handles, which fill 64 bits. */
static inline uint64_t token_of(pintle_str text) {
  digits copy = digits_of(text.ptr, text.len);
  return strtoull(copy.text, NULL, 10);
}

static inline int is(pintle_str word, const char *text) {
  return pintle_str_eq(word, pintle_cstr(text));
}

/* One word of a command. `%41` is a byte, `%-` nothing, `%*7` seven times x. What it becomes is followed by a NUL. */
static inline pintle_str word_of(const char *from, size_t length, pintle_buf *memory) {
  const char *end = from + length;
  unsigned byte;
  int64_t times;
  pintle_buf_clear(memory);
  pintle_buf_write(memory, "", 0);
  for (; from < end; from++) {
    size_t behind = (size_t)(end - from) - 1;
    if (*from == '%' && behind > 0 && from[1] == '-') {
      from += 1;
    } else if (*from == '%' && behind > 0 && from[1] == '*') {
      for (times = number(pintle_strn(from + 2, behind - 1)); times > 0; times--) pintle_buf_write(memory, "x", 1);
      break;
    } else if (*from == '%' && behind > 1 && sscanf(digits_of(from + 1, 2).text, "%2x", &byte) == 1) {
      char c = (char)byte;
      pintle_buf_write(memory, &c, 1);
      from += 2;
    } else {
      pintle_buf_write(memory, from, 1);
    }
  }
  return pintle_buf_str(memory);
}

/* Takes the line at `at` apart: as many words as there are, then empty ones. Tells where the next line begins. */
static inline size_t words_of(const char *text, size_t length, size_t at, pintle_str *words, pintle_buf *memory,
                              size_t most) {
  size_t n;
  for (n = 0; n < most; n++) {
    size_t begin = at;
    while (at < length && text[at] != ' ' && text[at] != '\n') at++;
    words[n] = word_of(text + begin, at - begin, &memory[n]);
    if (at < length && text[at] == ' ') at++;
  }
  while (at < length && text[at] != '\n') at++;
  return at + 1;
}

static inline void say(pintle_buf *to, const char *form, ...) {
  char text[1024];
  va_list values;
  int length;
  va_start(values, form);
  length = vsnprintf(text, sizeof text, form, values);
  va_end(values);
  if (length > 0) pintle_buf_write(to, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

/* The status, and what the host says of it. */
static inline void say_status(pintle_buf *to, pintle_ctx ctx, pintle_status status) {
  say(to, "%d", status);
  if (status != PINTLE_OK) {
    pintle_buf text = {0};
    if (host->last_error(ctx, pintle_buf_sink(&text)) == PINTLE_OK) say(to, " %s", (char *)text.ptr);
    pintle_buf_free(&text);
  }
}

#endif
