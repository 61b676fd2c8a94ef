/* tail: follows a log file and emits its lines as events, through rotation, truncation and restarts.
 *
 *   cc -shared -fPIC -O2 -Iinclude sample-plugins/c/tail/{tail,file,json}.c -o tail.so
 *
 * Emits plugin.tail.line with {"path","line","offset"}; "cut": true where the line was longer than `max_line`. The
 * line is what stands before the newline, with U+FFFD in place of what is not UTF-8.
 *
 * A job looks at the file every `every_ms` and takes at most `max_lines`, then stores where it is under the path as
 * key. After a clean stop the next start goes on with the next byte; after a crash at most the lines of the last look
 * come twice. Where nothing is stored it begins at the end of a file that is there already, unless `from` says
 * "start", and at the start of one that comes later.
 *
 * This file is the life of the plugin; file.c reads, json.c writes.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "tail.h"

#include <inttypes.h>
#include <stdio.h>

PINTLE_MANIFEST({
  "id": "tail", "version": "0.1.0", "abi": "1.0",
  "name": "Tail", "description": "Follows a log file and emits its lines as events",
  "license": "MIT OR Apache-2.0",
  "services": {
    "events": { "methods": ["emit"], "publish": ["line"] },
    "scheduler": { "methods": ["interval"] },
    "storage": { "methods": ["get", "set"] }
  },
  "config": {
    "type": "object",
    "properties": {
      "path": { "description": "The file to follow", "type": "string", "minLength": 1, "maxLength": 512 },
      "every_ms": {
        "description": "Milliseconds between two looks at the file",
        "type": "integer", "minimum": 10, "maximum": 3600000, "default": 250
      },
      "max_lines": {
        "description": "Lines taken at one look; the queue of a subscriber holds 1024 by default",
        "type": "integer", "minimum": 1, "maximum": 10000, "default": 256
      },
      "from": {
        "description": "Where to begin in a file that is there already and was never followed before",
        "enum": ["start", "end"], "default": "end"
      },
      "max_line": {
        "description": "Bytes after which a line is cut",
        "type": "integer", "minimum": 16, "maximum": 131072, "default": 16384
      }
    },
    "required": ["path"],
    "additionalProperties": false
  }
});

/* How long to wait for room in the queue of a subscriber that wants everything. */
enum { WAIT_MS = 1000 };

typedef struct {
  pintle_buf path;
  int64_t every_ms, max_lines, max_line;
  int from_start;
} settings;

typedef struct {
  settings settings;
  follower file;
  int64_t every_ms;     /* of the job that runs */
  position left;           /* where the file was left, or that there was none */
  uint8_t begun;           /* `left` was read from storage */
  uint8_t has_left;        /* `left` counts: it is not the first time */
  uint8_t unstored;        /* `left` is not in storage yet */
  uint8_t told_config;     /* it has been said that the config cannot be used, */
  uint8_t told_missing;    /* it has been said that there is no file, */
  uint8_t told_unstored;   /* that the position cannot be stored, */
  uint8_t told_unreadable; /* that the file cannot be read */
} tail;

static const pintle_host *host;

/* Fails with a text of two parts. */
static pintle_status fail(pintle_ctx ctx, pintle_status status, const char *what, const char *which) {
  pintle_buf text = {0};
  if (pintle_buf_write(&text, what, strlen(what)) == PINTLE_OK &&
      pintle_buf_write(&text, which, strlen(which)) == PINTLE_OK)
    host->set_error(ctx, pintle_buf_str(&text));
  pintle_buf_free(&text);
  return status;
}

/* Fails as the host did, with the host's text. */
static pintle_status pass_on(pintle_ctx ctx, pintle_status status) {
  pintle_buf text = {0};
  if (host->last_error(ctx, pintle_buf_sink(&text)) == PINTLE_OK) host->set_error(ctx, pintle_buf_str(&text));
  pintle_buf_free(&text);
  return status;
}

/* Writes a record about the file. */
static void say(pintle_ctx ctx, const tail *self, uint32_t level, const char *what, const char *why) {
  pintle_field fields[3];
  fields[0] = pintle_field_text(PINTLE_STR("path"), pintle_buf_str(&self->settings.path));
  fields[1] = pintle_field_integer(PINTLE_STR("offset"), (int64_t)self->file.at.offset);
  fields[2] = pintle_field_text(PINTLE_STR("reason"), pintle_cstr(why));
  host->log->write(ctx, level, pintle_cstr(what), fields, why == NULL ? 2 : 3);
}

static void settings_free(settings *settings) { pintle_buf_free(&settings->path); }

static pintle_status read_settings(pintle_ctx ctx, settings *out) {
  pintle_buf from = {0};
  pintle_status status = host->config->text(ctx, PINTLE_STR("/path"), pintle_buf_sink(&out->path));
  if (status == PINTLE_OK) status = host->config->text(ctx, PINTLE_STR("/from"), pintle_buf_sink(&from));
  if (status == PINTLE_OK) status = host->config->integer(ctx, PINTLE_STR("/every_ms"), &out->every_ms);
  if (status == PINTLE_OK) status = host->config->integer(ctx, PINTLE_STR("/max_lines"), &out->max_lines);
  if (status == PINTLE_OK) status = host->config->integer(ctx, PINTLE_STR("/max_line"), &out->max_line);
  out->from_start = pintle_str_eq(pintle_buf_str(&from), PINTLE_STR("start"));
  pintle_buf_free(&from);
  if (status != PINTLE_OK) return pass_on(ctx, status);
  if (out->path.len > 512) /* characters, which the schema counts, may have more bytes than one */
    return fail(ctx, PINTLE_INVALID_ARGUMENT, "the path is longer than the 512 bytes of a key in storage: ",
                "give the file a shorter name, or a link to it");
  if (memchr(out->path.ptr, 0, out->path.len) != NULL)
    return fail(ctx, PINTLE_INVALID_ARGUMENT, "the path has a NUL in it: ", "take it out");
  return PINTLE_OK;
}

/* Where the file was left the last time. What cannot be understood is as good as not there, and said. */
static pintle_status read_position(pintle_ctx ctx, tail *self) {
  pintle_buf text = {0};
  pintle_status status =
    host->storage->get(ctx, pintle_buf_str(&self->settings.path), pintle_buf_sink(&text), NULL);
  memset(&self->left, 0, sizeof self->left);
  self->unstored = 0;
  self->has_left = status == PINTLE_OK && position_parse((const char *)text.ptr, &self->left);
  if (status == PINTLE_OK && !self->has_left)
    say(ctx, self, PINTLE_LOG_WARN, "the stored position cannot be understood: it begins anew", (char *)text.ptr);
  pintle_buf_free(&text);
  return status == PINTLE_OK || status == PINTLE_NOT_FOUND ? PINTLE_OK : pass_on(ctx, status);
}

/* Stores where it is, if that is somewhere else than the last time. What fails is tried again at the next look. */
static void store_position(pintle_ctx ctx, tail *self) {
  char text[POSITION_SIZE];
  pintle_buf why = {0};
  if (self->file.fd >= 0 && memcmp(&self->file.at, &self->left, sizeof self->left) != 0) {
    self->left = self->file.at;
    self->unstored = 1;
  } else if (!self->has_left) {
    self->unstored = 1; /* what comes where nothing was is new from its first byte on */
  }
  self->has_left = 1;
  if (!self->unstored) return;
  if (host->storage->set(ctx, pintle_buf_str(&self->settings.path),
                         pintle_bytesn(text, position_format(&self->left, text)), NULL, NULL) == PINTLE_OK) {
    self->unstored = self->told_unstored = 0;
    return;
  }
  if (self->told_unstored) return;
  self->told_unstored = 1;
  host->last_error(ctx, pintle_buf_sink(&why));
  say(ctx, self, PINTLE_LOG_WARN, "the position cannot be stored: after a restart lines would come twice",
      (char *)why.ptr);
  pintle_buf_free(&why);
}

/* Lets the file go. Its position is stored already, unless the last look could not. */
static void leave(pintle_ctx ctx, tail *self) {
  if (self->file.fd >= 0) store_position(ctx, self);
  follower_close(&self->file);
}

/* Opens the file and says so, or says once that it is not there. */
static void open_file(pintle_ctx ctx, tail *self) {
  const char *how = follower_open(&self->file, (const char *)self->settings.path.ptr,
                                  self->has_left ? &self->left : NULL, self->settings.from_start);
  if (self->file.fd >= 0) {
    self->told_missing = 0;
    if (!self->told_unreadable) say(ctx, self, PINTLE_LOG_INFO, how, NULL);
  } else if (!self->told_missing) {
    self->told_missing = 1;
    say(ctx, self, PINTLE_LOG_INFO, "there is no file to follow yet", self->file.reason);
  }
}

static pintle_status emit(pintle_ctx ctx, tail *self, const text_line *line, pintle_buf *data) {
  pintle_emit_options options = {0};
  char offset[48];
  pintle_status status;
  snprintf(offset, sizeof offset, "\",\"offset\":%" PRIu64 "%s}", line->offset, line->cut ? ",\"cut\":true" : "");
  pintle_buf_clear(data);
  status = pintle_buf_write(data, "{\"path\":\"", 9);
  if (status == PINTLE_OK) status = json_escape(data, self->settings.path.ptr, self->settings.path.len);
  if (status == PINTLE_OK) status = pintle_buf_write(data, "\",\"line\":\"", 10);
  if (status == PINTLE_OK) status = json_escape(data, line->text, line->len);
  if (status == PINTLE_OK) status = pintle_buf_write(data, offset, strlen(offset));
  if (status != PINTLE_OK) return fail(ctx, status, "there is no memory for ", "a line");
  options.size = sizeof options;
  options.wait_ms = WAIT_MS;
  status = host->events->emit(ctx, PINTLE_STR("line"), pintle_bytesn(data->ptr, data->len), &options);
  return status == PINTLE_OK ? PINTLE_OK : pass_on(ctx, status);
}

/* Emits what is new. A line counts as taken only when it was emitted. */
static pintle_status take_lines(pintle_ctx ctx, tail *self) {
  pintle_buf data = {0};
  pintle_status status = PINTLE_OK;
  text_line line;
  int64_t taken;
  for (taken = 0; taken < self->settings.max_lines && follower_next(&self->file, (size_t)self->settings.max_line, &line); taken++) {
    status = emit(ctx, self, &line, &data);
    if (status != PINTLE_OK) break;
    follower_taken(&self->file);
  }
  pintle_buf_free(&data);
  return status;
}

/* A file that cannot be read is opened again at the next look. It is a failure once, not four times a second. */
static pintle_status check_readable(pintle_ctx ctx, tail *self) {
  uint8_t told = self->told_unreadable;
  self->told_unreadable = self->file.reason[0] != 0;
  if (!self->told_unreadable) return PINTLE_OK;
  follower_close(&self->file);
  return told ? PINTLE_OK : fail(ctx, PINTLE_UNAVAILABLE, "the file cannot be read: ", self->file.reason);
}

static pintle_status on_look(void *user, pintle_ctx ctx, const pintle_run *run, pintle_sink reply);

/* Begins to follow what the settings name, from where it was left the last time. */
static pintle_status begin(pintle_ctx ctx, tail *self) {
  pintle_status status = read_position(ctx, self);
  self->begun = status == PINTLE_OK;
  if (!self->begun) return status; /* the next look tries again */
  self->told_missing = self->told_unreadable = 0;
  open_file(ctx, self);
  store_position(ctx, self);
  if (self->every_ms == self->settings.every_ms) return PINTLE_OK;
  status = host->scheduler->interval(ctx, PINTLE_STR("look"), self->settings.every_ms, on_look, self, NULL, NULL, NULL);
  if (status != PINTLE_OK) return pass_on(ctx, status);
  self->every_ms = self->settings.every_ms;
  return PINTLE_OK;
}

static int same_settings(const settings *a, const settings *b) {
  return pintle_str_eq(pintle_buf_str(&a->path), pintle_buf_str(&b->path)) && a->every_ms == b->every_ms &&
         a->max_lines == b->max_lines && a->max_line == b->max_line && a->from_start == b->from_start;
}

/* Looks whether the config has changed: `configure` comes before the table shows the new values, so that what it notes
 * could be read too early. Another file is begun with as after a start, and the old one left as on a stop. */
static pintle_status follow_config(pintle_ctx ctx, tail *self) {
  settings fresh = {0};
  pintle_status status = read_settings(ctx, &fresh);
  if (status != PINTLE_OK || same_settings(&fresh, &self->settings)) {
    uint8_t told = self->told_config;
    self->told_config = status != PINTLE_OK;
    settings_free(&fresh);
    return told ? PINTLE_OK : status; /* a failure once, and the old settings meanwhile */
  }
  leave(ctx, self);
  settings_free(&self->settings);
  self->settings = fresh;
  return begin(ctx, self);
}

static pintle_status on_look(void *user, pintle_ctx ctx, const pintle_run *run, pintle_sink reply) {
  tail *self = user;
  const char *news;
  pintle_status status = PINTLE_OK;
  (void)run, (void)reply;
  if (self->begun) status = follow_config(ctx, self);
  if (!self->begun) status = begin(ctx, self);
  if (status == PINTLE_OK && self->file.fd < 0) open_file(ctx, self);
  if (status != PINTLE_OK || self->file.fd < 0) return status;
  news = follower_look(&self->file, (const char *)self->settings.path.ptr);
  if (news != NULL) say(ctx, self, PINTLE_LOG_INFO, news, NULL);
  status = take_lines(ctx, self);
  store_position(ctx, self);
  return status == PINTLE_OK ? check_readable(ctx, self) : status;
}

static pintle_status on_load(pintle_ctx ctx, const pintle_host *given, void **state) {
  tail *self;
  pintle_status status;
  host = given;
  self = calloc(1, sizeof *self);
  if (self == NULL) return fail(ctx, PINTLE_TOO_LARGE, "there is no memory for ", "the plugin's state");
  self->file.fd = -1;
  status = read_settings(ctx, &self->settings);
  if (status != PINTLE_OK) {
    settings_free(&self->settings);
    free(self);
    return status;
  }
  *state = self;
  return PINTLE_OK;
}

static pintle_status on_enable(void *state, pintle_ctx ctx) {
  tail *self = state;
  settings fresh = {0}; /* the config may have changed since `load` */
  pintle_status status = read_settings(ctx, &fresh);
  if (status != PINTLE_OK) {
    settings_free(&fresh);
    return status;
  }
  settings_free(&self->settings);
  self->settings = fresh;
  self->every_ms = 0; /* `disable` dropped the job */
  return begin(ctx, self);
}

static pintle_status on_disable(void *state, pintle_ctx ctx) {
  tail *self = state;
  leave(ctx, self);
  return PINTLE_OK;
}

static void on_unload(void *state, pintle_ctx ctx) {
  tail *self = state;
  (void)ctx;
  follower_free(&self->file);
  settings_free(&self->settings);
  free(self);
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("tail"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = on_load,
  .enable = on_enable,
  .disable = on_disable,
  .unload = on_unload,
};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
