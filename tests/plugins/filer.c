/* filer: writes and reads files, and reads its resources, as it is told. See README.md beside it. */
#include <pintle/plugin.h>

#include <inttypes.h>
#include <stdio.h>

#ifndef SERVICES
#define SERVICES "files": {}
#endif
#define MANIFEST(...) PINTLE_MANIFEST(__VA_ARGS__) /* expands SERVICES before it becomes text */

MANIFEST({
  "id": "filer", "version": "0.1.0", "abi": "1.0",
  "services": { SERVICES },
  "provides": { "filer.run": { "major": 1, "methods": ["do"] } },
  "files": ["data/table.csv", "empty"]
});

static const pintle_host *host;
static pintle_buf loaded; /* what `load` came to */

/* A sink that keeps what it gets, looks at the pieces, and may refuse one of them. */
typedef struct taken {
  pintle_buf bytes;
  uint64_t pieces, largest, sum;
  uint64_t refuse; /* the piece from which on it does; 0: none */
  int drop;        /* keeps only the sum */
} taken;

static pintle_status take(void *data, pintle_bytes piece) {
  taken *to = data;
  size_t at;
  to->pieces++;
  if (to->refuse != 0 && to->pieces >= to->refuse) return PINTLE_QUOTA;
  if (piece.len > to->largest) to->largest = piece.len;
  for (at = 0; at < piece.len; at++) to->sum = to->sum * 31 + piece.ptr[at];
  return to->drop ? PINTLE_OK : pintle_buf_write(&to->bytes, piece.ptr, piece.len);
}

static uint64_t number(const uint8_t *from) {
  uint64_t value = 0;
  int at;
  for (at = 7; at >= 0; at--) value = value << 8 | from[at];
  return value;
}

/* What is written where the host writes nothing. */
static pintle_file_info untouched(void) {
  pintle_file_info info = {sizeof(pintle_file_info), 7, 7, 7, 7, 7};
  return info;
}

static void say(pintle_buf *to, pintle_ctx ctx, pintle_status status, const pintle_file_info *info, const taken *got) {
  char line[300];
  int length = snprintf(line, sizeof line,
                        "%d len=%" PRIu64 " version=%" PRIu64 " created=%" PRId64 " updated=%" PRId64 " pieces=%" PRIu64
                        " largest=%" PRIu64 " sum=%" PRIu64 "\n",
                        status, info->len, info->version, info->created_ms, info->updated_ms, got->pieces, got->largest,
                        got->sum);
  if (length > 0) pintle_buf_write(to, line, (size_t)length);
  if (status == PINTLE_OK || got->refuse != 0) {
    pintle_buf_write(to, got->bytes.ptr, got->bytes.len);
  } else {
    host->last_error(ctx, pintle_buf_sink(to));
  }
}

/* A letter, the length of the path in 8 bytes, the path, and what the letter asks for behind it. */
static void one(pintle_ctx ctx, pintle_bytes request, pintle_buf *to) {
  pintle_file_info info = untouched();
  pintle_file_options options = {sizeof(pintle_file_options), PINTLE_FILE_IF_VERSION, 0};
  taken got = {{0}, 0, 0, 0, 0, 0};
  pintle_sink sink = {&got, take};
  pintle_sink none = {0};
  pintle_str path = {(const char *)request.ptr + 9, (size_t)number(request.ptr + 1)};
  pintle_bytes rest = {request.ptr + 9 + path.len, request.len - 9 - path.len};
  pintle_status status = PINTLE_INTERNAL;
  uint32_t existed = 7;
  switch (request.ptr[0]) {
    case 'p': /* put: the bytes */
      status = host->files->put(ctx, path, rest, NULL, &info);
      break;
    case 'P': { /* put: so many bytes of one kind */
      size_t length = (size_t)number(rest.ptr);
      uint8_t *large = malloc(length);
      memset(large, rest.ptr[8], length);
      status = host->files->put(ctx, path, pintle_bytesn(large, length), NULL, NULL);
      free(large);
      break;
    }
    case 'c': /* put if: the version, the bytes */
      options.if_version = number(rest.ptr);
      rest.ptr += 8, rest.len -= 8;
      status = host->files->put(ctx, path, rest, &options, &info);
      break;
    case 'o': /* put with flags that no host knows */
      options.flags = 1u << 30;
      status = host->files->put(ctx, path, rest, &options, &info);
      break;
    case 'g':
      status = host->files->get(ctx, path, sink, &info);
      break;
    case 'h': /* the same of what is too large for a reply */
      got.drop = 1;
      status = host->files->get(ctx, path, sink, &info);
      break;
    case 'x': /* refuses the second piece */
      got.refuse = 2;
      status = host->files->get(ctx, path, sink, &info);
      break;
    case 'n': /* no sink */
      status = host->files->get(ctx, path, none, &info);
      break;
    case 'r': /* where from, how many */
      status = host->files->read(ctx, path, number(rest.ptr), number(rest.ptr + 8), sink, &info);
      break;
    case 's':
      status = host->files->stat(ctx, path, &info);
      break;
    case 'S': /* by one who knows the length alone */
      info.size = 16;
      status = host->files->stat(ctx, path, &info);
      break;
    case 'N': /* without a place for what is known */
      status = host->files->stat(ctx, path, NULL);
      break;
    case 'l': /* the path is a prefix: how many at most, the cursor */
      status = host->files->list(ctx, path, pintle_strn((const char *)rest.ptr + 8, rest.len - 8),
                                 (uint32_t)number(rest.ptr), sink, sink);
      break;
    case 'd':
      status = host->files->remove(ctx, path, &existed);
      info.len = existed;
      break;
    case 'R':
      status = host->files->resource(ctx, path, sink, &info);
      break;
    case 'L':
      pintle_buf_write(to, loaded.ptr, loaded.len);
      return;
  }
  say(to, ctx, status, &info, &got);
  pintle_buf_free(&got.bytes);
}

/* Prepares: may read, and not write. */
static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  static const uint8_t script[][24] = {
      {'p', 1, 0, 0, 0, 0, 0, 0, 0, 'a', 'b'},
      {'d', 1, 0, 0, 0, 0, 0, 0, 0, 'a'},
      {'s', 1, 0, 0, 0, 0, 0, 0, 0, 'a'},
      {'R', 14, 0, 0, 0, 0, 0, 0, 0, 'd', 'a', 't', 'a', '/', 't', 'a', 'b', 'l', 'e', '.', 'c', 's', 'v'},
  };
  static const size_t lengths[] = {11, 10, 10, 23};
  size_t at;
  (void)state;
  host = given;
  for (at = 0; at < sizeof lengths / sizeof *lengths; at++) {
    pintle_bytes request = {script[at], lengths[at]};
    one(ctx, request, &loaded);
    pintle_buf_write(&loaded, "\n", 1);
  }
  return PINTLE_OK;
}

static void unload(void *state, pintle_ctx ctx) {
  (void)state, (void)ctx;
  pintle_buf_free(&loaded);
}

static pintle_status call(void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) {
  pintle_buf answer = {0};
  pintle_status status;
  (void)state;
  one(ctx, request->data, &answer);
  status = pintle_sink_write(reply, answer.ptr, answer.len);
  pintle_buf_free(&answer);
  return status;
}

static const pintle_plugin plugin = {sizeof(pintle_plugin),
                                     PINTLE_ABI_MINOR,
                                     PINTLE_MANIFEST_BYTES,
                                     PINTLE_STR_INIT("filer"),
                                     PINTLE_STR_INIT("0.1.0"),
                                     load,
                                     NULL,
                                     NULL,
                                     unload,
                                     NULL,
                                     NULL,
                                     NULL,
                                     call,
                                     NULL};

PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) {
  return &plugin;
}
