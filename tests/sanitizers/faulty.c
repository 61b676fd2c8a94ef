/* faulty: answers fault.now with plugin.faulty.done, and does wrong before: what, says FAULT. */
#include <pintle/plugin.h>

#include <stdlib.h>
#include <string.h>

PINTLE_MANIFEST({
  "id": "faulty", "version": "0.1.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["fault.>"], "publish": ["done"] } }
});

static const pintle_host *host;
/* Volatile, so that no compiler sees the fault: neither warns of it nor makes use of it. */
static char *volatile kept;
static const char *volatile borrowed;
static volatile int number = 0x7fffffff;

enum { NONE, OVERFLOW, USE_AFTER_FREE, LEAK, USE_AFTER_RETURN, UNDEFINED, USE_AFTER_CALL, DOUBLE_FREE };

#if defined(__GNUC__)
__attribute__((noinline))
#endif
static void leave(char *local) {
  kept = local;
}

#if defined(__GNUC__)
__attribute__((noinline))
#endif
static void return_local(void) {
  char local[32];
  memset(local, 1, sizeof local);
  leave(local);
}

static char misbehave(const pintle_event *event) {
  char found = 0;
  switch (FAULT) {
    case OVERFLOW:
      kept = malloc(16);
      if (kept) kept[16] = 1;
      break;
    case USE_AFTER_FREE:
      kept = malloc(16);
      free(kept);
      found = kept[3];
      break;
    case LEAK:
      kept = malloc(1234);
      kept = NULL;
      break;
    case USE_AFTER_RETURN:
      return_local();
      found = kept[3];
      break;
    case UNDEFINED:
      number = number + 1;
      break;
    case USE_AFTER_CALL:
      /* The data of the last event: the host's, and lent for that call alone. */
      if (borrowed) found = borrowed[3];
      borrowed = (const char *)event->data.ptr;
      break;
    case DOUBLE_FREE:
      kept = malloc(16);
      free(kept);
      free(kept);
      break;
    default:
      break;
  }
  return found;
}

static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  volatile char found = misbehave(event);
  (void)user, (void)reply, (void)found;
  return host->events->emit(ctx, PINTLE_STR("done"), event->data, NULL);
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  *state = NULL;
  host = given;
  return host->events->subscribe(ctx, PINTLE_STR("fault.>"), on_event, NULL, NULL, NULL, NULL);
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("faulty"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
