/* listener: subscribes to `plugin.patient.crowd` with room for one event and the policy to make publishers wait; its
 * handler makes the file DIRECTORY/here and waits until DIRECTORY/go is there (config `directory`). */
#define _POSIX_C_SOURCE 200809L
#include <pintle/plugin.h>

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

PINTLE_MANIFEST({
  "id": "listener", "version": "1.0.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["plugin.patient.crowd"] } },
  "config": { "type": "object", "properties": { "directory": { "type": "string", "default": "" } } }
});

static const pintle_host *host;

static void path_of(pintle_ctx ctx, pintle_buf *path, const char *name) {
  host->config->text(ctx, PINTLE_STR("/directory"), pintle_buf_sink(path));
  (void)pintle_buf_write(path, name, strlen(name));
}

static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  const struct timespec beat = {0, 1000000};
  pintle_buf here = {0}, go = {0};
  int file;
  (void)user, (void)event, (void)reply;
  path_of(ctx, &here, "/here");
  path_of(ctx, &go, "/go");
  file = open((const char *)here.ptr, O_CREAT | O_WRONLY, 0600);
  if (file >= 0) close(file);
  while (access((const char *)go.ptr, F_OK) != 0) nanosleep(&beat, NULL);
  pintle_buf_free(&here);
  pintle_buf_free(&go);
  return PINTLE_OK;
}

static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  pintle_subscribe_options options = {0};
  *state = NULL;
  host = given;
  options.size = sizeof options;
  options.capacity = 1;
  options.policy = PINTLE_QUEUE_WAIT;
  return host->events->subscribe(ctx, PINTLE_STR("plugin.patient.crowd"), on_event, NULL, NULL, &options, NULL);
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("listener"),
  .version = PINTLE_STR_INIT("1.0.0"),
  .load = load,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
