/* A plugin `NAME` that provides `NAME.ask` 1 and calls the same of others. Each method answers plain text.
 *   caller   who asks            tenant   on whose behalf          echo    the request
 *   error    fails with CONFLICT and the request as its text
 *   forward  "SERVICE METHOD TIMEOUT TEXT": calls it and answers "STATUS REPLY-OR-ERROR"
 *   wait     "FILE": makes FILE.here, then waits until FILE is there
 *   gone     "FILE": like wait, then tells what a call answers: the caller has given up by then
 *   twice    fails twice with different arguments and answers both texts of last_error, and what success leaves
 *   listen   subscribes to its own topic `again` and emits it: each handler emits the next, until the host refuses */
#include <pintle/plugin.h>
#include <stdio.h>
#include <time.h>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define ID TEXT(NAME)

#ifndef NAME
#define NAME a
#endif

#define MANIFEST_TEXT                                                                                                  \
  "{\"id\":\"" ID "\",\"version\":\"1.0.0\",\"abi\":\"1.0\","                                                          \
  "\"services\":{\"call\":[\"a.ask\",\"b.ask\",\"c.ask\",\"nobody.ask\"],"                                             \
  "\"events\":{\"publish\":[\"again\",\"end\"],\"subscribe\":[\"plugin." ID ".>\"]}},"                                 \
  "\"provides\":{\"" ID ".ask\":{\"major\":1,\"methods\":[\"caller\",\"tenant\",\"echo\",\"error\",\"forward\","       \
  "\"wait\",\"gone\",\"twice\",\"listen\",\"unknown_inside\"]}}}"
static const struct {
  char magic[8];
  uint64_t length;
  char text[sizeof MANIFEST_TEXT];
} pintle_manifest_record PINTLE_SECTION = {"PINTLE1", sizeof MANIFEST_TEXT - 1, MANIFEST_TEXT};

static const pintle_host *host;

static int is(pintle_str text, const char *other) { return pintle_str_eq(text, pintle_cstr(other)); }

static pintle_status say(pintle_sink reply, const char *text) { return pintle_sink_write(reply, text, strlen(text)); }

static void until(const char *file) {
  char here[600];
  FILE *seen;
  struct timespec nap = {0, 2000000};
  snprintf(here, sizeof here, "%s.here", file);
  seen = fopen(here, "w");
  if (seen != NULL) fclose(seen);
  while ((seen = fopen(file, "r")) == NULL) nanosleep(&nap, NULL);
  fclose(seen);
}

static pintle_status forward(pintle_ctx ctx, char *text, pintle_sink reply) {
  char service[64] = "", method[64] = "", rest[600] = "", answer[1024];
  long timeout = 0;
  pintle_buf got = {0};
  pintle_status status;
  sscanf(text, "%63s %63s %ld %599[^\n]", service, method, &timeout, rest);
  status = host->call(ctx, pintle_cstr(service), 1, pintle_cstr(method), pintle_bytesn(rest, strlen(rest)), timeout,
                      pintle_buf_sink(&got));
  if (status != PINTLE_OK) host->last_error(ctx, pintle_buf_sink(&got));
  snprintf(answer, sizeof answer, "%d %s", (int)status, got.ptr ? (const char *)got.ptr : "");
  pintle_buf_free(&got);
  return say(reply, answer);
}

static pintle_status twice(pintle_ctx ctx, pintle_sink reply) {
  pintle_buf text = {0};
  uint32_t enabled;
  pintle_status status;
  host->log->enabled(ctx, 77, &enabled);
  host->last_error(ctx, pintle_buf_sink(&text));
  pintle_buf_write(&text, "|", 1);
  host->log->enabled(ctx, 88, &enabled);
  host->log->enabled(ctx, PINTLE_LOG_INFO, &enabled);
  host->last_error(ctx, pintle_buf_sink(&text));
  pintle_buf_write(&text, "|", 1);
  host->last_error(ctx + 4, pintle_buf_sink(&text));
  status = pintle_sink_write(reply, text.ptr, text.len);
  pintle_buf_free(&text);
  return status;
}

static pintle_status on_again(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  char text[64];
  pintle_status status;
  (void)user, (void)reply;
  if (!is(event->topic, "plugin." ID ".again")) return PINTLE_OK;
  status = host->events->emit(ctx, PINTLE_STR("again"), event->data, NULL);
  if (status == PINTLE_OK) return PINTLE_OK;
  snprintf(text, sizeof text, "%d at %u", (int)status, (unsigned)event->depth);
  return host->events->emit(0, PINTLE_STR("end"), event->data, NULL) == PINTLE_STALE_HANDLE
             ? host->set_error(ctx, pintle_cstr(text)) == PINTLE_OK ? status : PINTLE_INTERNAL
             : PINTLE_INTERNAL;
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  char text[800];
  size_t len = request->data.len < sizeof text - 1 ? request->data.len : sizeof text - 1;
  (void)state;
  if (len > 0) memcpy(text, request->data.ptr, len);
  text[len] = 0;
  if (is(request->method, "caller")) return pintle_sink_write(reply, request->caller.ptr, request->caller.len);
  if (is(request->method, "tenant")) {
    pintle_scope_info info;
    char flags[32];
    pintle_status status;
    memset(&info, 0, sizeof info);
    info.size = (uint32_t)sizeof info;
    status = host->scope(ctx, &info, reply);
    snprintf(flags, sizeof flags, "/%u/%d", (unsigned)info.flags, info.generation > 0);
    return status == PINTLE_OK ? say(reply, flags) : status;
  }
  if (is(request->method, "echo")) return pintle_sink_write(reply, request->data.ptr, request->data.len);
  if (is(request->method, "error")) return host->set_error(ctx, pintle_cstr(text)), PINTLE_CONFLICT;
  if (is(request->method, "forward")) return forward(ctx, text, reply);
  if (is(request->method, "twice")) return twice(ctx, reply);
  if (is(request->method, "wait")) return until(text), say(reply, "waited");
  if (is(request->method, "gone")) {
    char left[sizeof text + 8];
    pintle_buf got = {0};
    int64_t ms = -1;
    pintle_status status, remaining;
    FILE *out;
    until(text);
    remaining = host->remaining(ctx, &ms);
    status = host->call(ctx, PINTLE_STR("b.ask"), 1, PINTLE_STR("echo"), request->data, 0, pintle_buf_sink(&got));
    pintle_buf_free(&got);
    snprintf(left, sizeof left, "%s.left", text);
    out = fopen(left, "w");
    if (out == NULL) return PINTLE_INTERNAL;
    fprintf(out, "%d %d %d\n", (int)remaining, (int)ms, (int)status);
    fclose(out);
    return PINTLE_OK;
  }
  if (is(request->method, "listen")) {
    pintle_status status = host->events->subscribe(ctx, PINTLE_STR("plugin." ID ".again"), on_again, NULL, (pintle_release)0, NULL, NULL);
    return status == PINTLE_OK ? host->events->emit(ctx, PINTLE_STR("again"), pintle_bytesn("x", 1), NULL) : status;
  }
  return PINTLE_UNSUPPORTED;
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  (void)ctx;
  *state = NULL;
  host = given;
  return PINTLE_OK;
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT(ID),
  .version = PINTLE_STR_INIT("1.0.0"),
  .load = load,
  .call = call,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
