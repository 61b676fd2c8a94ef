/* The one function that a plugin exports. It returns static data, does no work and calls nobody.
 *
 * Returns: what the plugin is, valid as long as the library is mapped.
 * Thread: one that the host made.
 * Blocks: never.
 * Since: 1.0. */
PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void);

/* PINTLE_MANIFEST({ "id": "…", … }); embeds the manifest, which is read without loading the library. Use it
 * once, at file level, and let the plugin's struct point at it with PINTLE_MANIFEST_BYTES. The text may have
 * at most 4,095 bytes in pedantic C; for longer ones put NAME.pintle.json beside the library. */
#if defined(__APPLE__)
#define PINTLE_SECTION __attribute__((section("__DATA,__pintle"), used, aligned(8)))
#elif defined(_MSC_VER)
#pragma section(".pintle", read)
#define PINTLE_SECTION __declspec(allocate(".pintle")) __declspec(align(8))
#else
#define PINTLE_SECTION __attribute__((section(".pintle"), used, aligned(8)))
#endif
#define PINTLE_MANIFEST(...)                                                                                  \
  static const struct {                                                                                       \
    char magic[8];                                                                                            \
    uint64_t length;                                                                                          \
    char text[sizeof(#__VA_ARGS__)];                                                                          \
  } pintle_manifest_record PINTLE_SECTION = {"PINTLE1", sizeof(#__VA_ARGS__) - 1, #__VA_ARGS__}
#define PINTLE_MANIFEST_BYTES {(const uint8_t *)&pintle_manifest_record, sizeof pintle_manifest_record}

/* A string literal as a pintle_str: in static initialisers, and in expressions. */
#define PINTLE_STR_INIT(literal) {"" literal, sizeof(literal) - 1}
#define PINTLE_STR(literal) pintle_strn("" literal, sizeof(literal) - 1)

/* Does this host's table reach as far as `member`? Ask before using what is newer than the manifest's `abi`. */
#define PINTLE_HAS(table, member)                                                                             \
  ((size_t)((const char *)(&(table)->member + 1) - (const char *)(table)) <= (size_t)(table)->size)

/* `len` bytes of text from `ptr`. */
static inline pintle_str pintle_strn(const char *ptr, size_t len) {
  pintle_str text;
  text.ptr = ptr;
  text.len = len;
  return text;
}

/* A NUL-terminated string; null is empty. */
static inline pintle_str pintle_cstr(const char *text) {
  return pintle_strn(text, text ? strlen(text) : 0);
}

/* `len` bytes from `ptr`. */
static inline pintle_bytes pintle_bytesn(const void *ptr, size_t len) {
  pintle_bytes bytes;
  bytes.ptr = (const uint8_t *)ptr;
  bytes.len = len;
  return bytes;
}

/* Are two texts the same bytes? */
static inline int pintle_str_eq(pintle_str a, pintle_str b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* A growable buffer of the plugin's own memory. Start with `pintle_buf b = {0}` ({} in C++), end with
 * pintle_buf_free. The bytes are always followed by a NUL that `len` does not count. */
typedef struct pintle_buf {
  uint8_t *ptr;
  size_t len;
  size_t cap;
} pintle_buf;

/* Appends; PINTLE_TOO_LARGE if there is no memory, and then nothing was appended. */
static inline pintle_status pintle_buf_write(pintle_buf *buf, const void *ptr, size_t len) {
  if (len > SIZE_MAX / 2 - 1 || buf->len > SIZE_MAX / 2 - 1 - len) return PINTLE_TOO_LARGE;
  if (buf->ptr == NULL || buf->len + len + 1 > buf->cap) {
    size_t cap = buf->cap < 64 ? 64 : buf->cap;
    uint8_t *grown;
    while (cap < buf->len + len + 1) cap *= 2;
    grown = (uint8_t *)realloc(buf->ptr, cap);
    if (grown == NULL) return PINTLE_TOO_LARGE;
    buf->ptr = grown;
    buf->cap = cap;
  }
  if (len > 0) memcpy(buf->ptr + buf->len, ptr, len);
  buf->len += len;
  buf->ptr[buf->len] = 0;
  return PINTLE_OK;
}

/* The `write` of pintle_buf_sink. */
static inline pintle_status pintle_buf_take(void *data, pintle_bytes piece) {
  return pintle_buf_write((pintle_buf *)data, piece.ptr, piece.len);
}

/* A sink that appends to `buf`, which must outlive the call that the sink is passed to. */
static inline pintle_sink pintle_buf_sink(pintle_buf *buf) {
  pintle_sink sink;
  sink.data = buf;
  sink.write = pintle_buf_take;
  return sink;
}

/* The text in the buffer; valid until it is next written to. */
static inline pintle_str pintle_buf_str(const pintle_buf *buf) {
  return pintle_strn((const char *)buf->ptr, buf->len);
}

/* Empties the buffer and keeps its memory. */
static inline void pintle_buf_clear(pintle_buf *buf) {
  buf->len = 0;
  if (buf->ptr != NULL) buf->ptr[0] = 0;
}

/* Frees the buffer's memory; it may be used again. */
static inline void pintle_buf_free(pintle_buf *buf) {
  free(buf->ptr);
  buf->ptr = NULL;
  buf->len = 0;
  buf->cap = 0;
}

/* A sink for results that are not wanted. */
static inline pintle_status pintle_discard(void *data, pintle_bytes piece) {
  (void)data;
  (void)piece;
  return PINTLE_OK;
}
static inline pintle_sink pintle_discard_sink(void) {
  pintle_sink sink;
  sink.data = NULL;
  sink.write = pintle_discard;
  return sink;
}

/* Writes to a sink that the host gave. */
static inline pintle_status pintle_sink_write(pintle_sink sink, const void *ptr, size_t len) {
  return sink.write(sink.data, pintle_bytesn(ptr, len));
}

/* Fields of log records. */
static inline pintle_field pintle_field_of(uint32_t kind, pintle_str name) {
  pintle_field field;
  memset(&field, 0, sizeof field);
  field.size = (uint32_t)sizeof field;
  field.kind = kind;
  field.name = name;
  return field;
}
static inline pintle_field pintle_field_text(pintle_str name, pintle_str value) {
  pintle_field field = pintle_field_of(PINTLE_FIELD_TEXT, name);
  field.text = value;
  return field;
}
static inline pintle_field pintle_field_integer(pintle_str name, int64_t value) {
  pintle_field field = pintle_field_of(PINTLE_FIELD_INTEGER, name);
  field.integer = value;
  return field;
}
static inline pintle_field pintle_field_number(pintle_str name, double value) {
  pintle_field field = pintle_field_of(PINTLE_FIELD_NUMBER, name);
  field.number = value;
  return field;
}
static inline pintle_field pintle_field_boolean(pintle_str name, int value) {
  pintle_field field = pintle_field_of(PINTLE_FIELD_BOOLEAN, name);
  field.integer = value != 0;
  return field;
}

/* Options for an item that is fresh for `ttl_ms`; 0: it does not expire. All else is the default until it is set. */
static inline pintle_cache_options pintle_cache_options_ttl(int64_t ttl_ms) {
  pintle_cache_options options;
  memset(&options, 0, sizeof options);
  options.size = (uint32_t)sizeof options;
  options.flags = PINTLE_CACHE_TTL;
  options.ttl_ms = ttl_ms;
  return options;
}

/* Reads an item into `value`, an empty buffer, and has `load` load it where it has to be loaded: once, however many ask for
 * it at the same time. `load` writes the item's bytes to the buffer that it is given and answers PINTLE_OK;
 * PINTLE_NOT_FOUND says that there is nothing to be loaded, which the cache keeps too, for a while; after anything else the
 * old item is given, if it is still within its spans. `options` (may be null) are for what is loaded; its tags also for
 * what is known to be absent. Answers what `fetch` does, or what `load` did; or what `set` does where the options are wrong or
 * writing is not granted, for then nothing would ever be kept. That what was loaded cannot be kept for another reason is no
 * failure. The manifest's methods, if it lists them, are `fetch` and `set`.
 *
 * Why it failed stands in `last_error`, also where a call to the host failed inside of `load`. A `load` that fails for a
 * reason of its own tells it by `set_error`: then do not put the text of `last_error` over it. */
static inline pintle_status pintle_cache_get_or_load(const pintle_cache *cache, pintle_ctx ctx, pintle_str ns,
                                                     pintle_str key, const pintle_cache_options *options,
                                                     pintle_status (*load)(void *user, pintle_ctx ctx, pintle_buf *value),
                                                     void *user, pintle_buf *value) {
  pintle_cache_lease lease = 0;
  pintle_cache_options kept;
  pintle_status written, status = cache->fetch(ctx, ns, key, NULL, pintle_buf_sink(value), NULL, &lease);
  if (lease == 0) return status;
  pintle_buf_clear(value); /* a stale item: `fail` gives it again */
  status = load(user, ctx, value);
  if (status != PINTLE_OK) pintle_buf_clear(value);
  if (status != PINTLE_OK && status != PINTLE_NOT_FOUND) {
    if (cache->fail(ctx, lease, pintle_buf_sink(value), NULL) == PINTLE_OK) return PINTLE_OK;
    pintle_buf_clear(value);
    return status;
  }
  memset(&kept, 0, sizeof kept);
  kept.size = (uint32_t)sizeof kept;
  if (options != NULL) {
    if (status == PINTLE_OK) kept = *options;
    kept.tags = options->tags;
    kept.tag_count = options->tag_count;
  }
  kept.lease = lease;
  written = status == PINTLE_OK ? cache->set(ctx, ns, key, pintle_bytesn(value->ptr, value->len), &kept)
                                : cache->set_absent(ctx, ns, key, &kept);
  /* What was loaded is good, whether it can be kept or not; but nobody is to wait any longer for it. */
  if (written != PINTLE_OK) cache->fail(ctx, lease, pintle_discard_sink(), NULL);
  if (written == PINTLE_DENIED || written == PINTLE_INVALID_ARGUMENT || written == PINTLE_OUT_OF_RANGE ||
      written == PINTLE_UNSUPPORTED) {
    pintle_buf_clear(value);
    return written;
  }
  return status;
}

#endif /* PINTLE_PLUGIN_H */
