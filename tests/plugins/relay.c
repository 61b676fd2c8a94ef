/* relay: plugins that call each other, for the tests of waiting. See README.md beside it.
 *
 * -DNAME=a makes the plugin `a` that provides the service `a.ping`; a, b, c and d may call each other. */
#define _POSIX_C_SOURCE 200809L
#include <pintle/plugin.h>

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#ifndef NAME
#define NAME a
#endif
#define TEXT_OF(...) #__VA_ARGS__
#define TEXT(...) TEXT_OF(__VA_ARGS__)
#define MANIFEST(...) PINTLE_MANIFEST(__VA_ARGS__) /* expands NAME before it becomes text */

MANIFEST({
  "id": TEXT(NAME), "version": "0.1.0", "abi": "1.0",
  "services": { "call": ["a.ping", "b.ping", "c.ping", "d.ping"] },
  "provides": { TEXT(NAME.ping): { "major": 1, "methods": ["ping", "forward", "hold_then_forward", "remaining"] } },
  "config": {
    "type": "object",
    "properties": { "timeout_ms": { "type": "integer", "default": 0 } },
    "additionalProperties": false
  }
});

static const pintle_host *host;

/* The next word of a text, which then begins behind it. */
static pintle_str word(pintle_str *text) {
  pintle_str found;
  size_t len = 0;
  while (len < text->len && text->ptr[len] != ' ') len++;
  found = pintle_strn(text->ptr, len);
  text->ptr += len < text->len ? len + 1 : len;
  text->len -= len < text->len ? len + 1 : len;
  return found;
}

static pintle_status fail(pintle_ctx ctx, pintle_status status, pintle_str text) {
  host->set_error(ctx, text);
  return status;
}

/* `b.ping c.ping`: calls b to call c. Answers NAME, `>` and what came back. */
static pintle_status forward(pintle_ctx ctx, pintle_str route, pintle_sink reply) {
  pintle_str next = word(&route);
  pintle_buf answer = {0}, text = {0};
  int64_t timeout = 0;
  pintle_status status;
  host->config->integer(ctx, PINTLE_STR("/timeout_ms"), &timeout);
  status = host->call(ctx, next, 1, route.len > 0 ? PINTLE_STR("forward") : PINTLE_STR("ping"),
                      pintle_bytesn(route.ptr, route.len), timeout, pintle_buf_sink(&answer));
  if (status == PINTLE_OK) {
    status = pintle_sink_write(reply, TEXT(NAME) ">", sizeof(TEXT(NAME)));
    if (status == PINTLE_OK) status = pintle_sink_write(reply, answer.ptr, answer.len);
  } else {
    (void)pintle_buf_write(&text, TEXT(NAME) " calling ", sizeof(TEXT(NAME) " calling ") - 1);
    (void)pintle_buf_write(&text, next.ptr, next.len);
    (void)pintle_buf_write(&text, ": ", 2);
    host->last_error(ctx, pintle_buf_sink(&text));
    fail(ctx, status, pintle_buf_str(&text));
  }
  pintle_buf_free(&answer);
  pintle_buf_free(&text);
  return status;
}

/* DIRECTORY/WHO.here */
static pintle_status path_of(pintle_buf *path, pintle_str directory, pintle_str who) {
  pintle_status status;
  pintle_buf_clear(path);
  status = pintle_buf_write(path, directory.ptr, directory.len);
  if (status == PINTLE_OK) status = pintle_buf_write(path, "/", 1);
  if (status == PINTLE_OK) status = pintle_buf_write(path, who.ptr, who.len);
  if (status == PINTLE_OK) status = pintle_buf_write(path, ".here", 5);
  return status;
}

/* `DIRECTORY b.ping …`: says that it is here, waits until b is, then forwards. So two chains surely cross. */
static pintle_status hold_then_forward(pintle_ctx ctx, pintle_str text, pintle_sink reply) {
  const struct timespec beat = {0, 1000000};
  pintle_str directory = word(&text), rest = text, peer = word(&rest);
  pintle_buf path = {0};
  int file, beats, met = 0;
  if (peer.len > 5) peer.len -= 5; /* without `.ping` */
  if (path_of(&path, directory, PINTLE_STR(TEXT(NAME))) == PINTLE_OK) {
    file = open((const char *)path.ptr, O_CREAT | O_WRONLY, 0600);
    if (file >= 0) close(file);
  }
  if (path_of(&path, directory, peer) == PINTLE_OK)
    for (beats = 0; beats < 10000 && !met; beats++) {
      met = access((const char *)path.ptr, F_OK) == 0;
      if (!met) nanosleep(&beat, NULL);
    }
  pintle_buf_free(&path);
  if (!met) return fail(ctx, PINTLE_TIMEOUT, PINTLE_STR("the other call did not arrive in 10 s"));
  return forward(ctx, text, reply);
}

/* How long the caller still waits, in decimal. */
static pintle_status remaining(pintle_ctx ctx, pintle_sink reply) {
  char digits[20];
  size_t at = sizeof digits;
  int64_t ms = 0;
  pintle_status status = host->remaining(ctx, &ms);
  if (status != PINTLE_OK) return status;
  do digits[--at] = (char)('0' + ms % 10);
  while ((ms /= 10) > 0);
  return pintle_sink_write(reply, digits + at, sizeof digits - at);
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  (void)ctx;
  *state = NULL;
  host = given;
  return PINTLE_OK;
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  pintle_str text = pintle_strn((const char *)request->data.ptr, request->data.len);
  (void)state;
  if (pintle_str_eq(request->method, PINTLE_STR("ping"))) return pintle_sink_write(reply, "pong", 4);
  if (pintle_str_eq(request->method, PINTLE_STR("forward"))) return forward(ctx, text, reply);
  if (pintle_str_eq(request->method, PINTLE_STR("hold_then_forward"))) return hold_then_forward(ctx, text, reply);
  if (pintle_str_eq(request->method, PINTLE_STR("remaining"))) return remaining(ctx, reply);
  return PINTLE_UNSUPPORTED;
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT(TEXT(NAME)),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
  .call = call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
