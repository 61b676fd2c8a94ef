/* The cases of probe for cache and storage: part of probe.c, which includes it behind its `tell`. */

#define NS PINTLE_STR("probe")
#define KEPT PINTLE_STR("kept") /* an item that no bad call may change */

/* ---- what is there, so that a case can be looked at ---- */

static void keep(pintle_ctx ctx) {
  host->cache->set(ctx, NS, KEPT, pintle_bytesn("value", 5), NULL);
  host->storage->set(ctx, KEPT, pintle_bytesn("value", 5), NULL, NULL);
}

static uint64_t version_of(pintle_ctx ctx, pintle_str key) {
  pintle_storage_info info = {0};
  info.size = sizeof info;
  host->storage->get(ctx, key, pintle_discard_sink(), &info);
  return info.version;
}

static int holds(const pintle_buf *buf, const char *text) {
  return buf->len == strlen(text) && (buf->len == 0 || memcmp(buf->ptr, text, buf->len) == 0);
}

/* 1 if both items are as `keep` left them. */
static int is_kept(pintle_ctx ctx, uint64_t version) {
  pintle_buf cached = {0}, stored = {0};
  int kept;
  host->cache->get(ctx, NS, KEPT, pintle_buf_sink(&cached), NULL);
  host->storage->get(ctx, KEPT, pintle_buf_sink(&stored), NULL);
  kept = holds(&cached, "value") && holds(&stored, "value") && version_of(ctx, KEPT) == version;
  pintle_buf_free(&cached);
  pintle_buf_free(&stored);
  return kept;
}

/* ---- cases of many items at once ---- */

static pintle_status on_item(void *user, const pintle_cache_item *item) {
  (void)item;
  if (user != NULL) ++*(int *)user;
  return PINTLE_OK;
}

static pintle_cache_entry entry_of(pintle_str key, const pintle_cache_options *options) {
  pintle_cache_entry entry;
  memset(&entry, 0, sizeof entry);
  entry.size = sizeof entry;
  entry.key = key;
  entry.value = pintle_bytesn("never", 5);
  entry.options = options;
  return entry;
}

/* Of a batch of one: what became of the one. */
static pintle_status set_one(pintle_ctx ctx, pintle_str key, const pintle_cache_options *options) {
  pintle_cache_entry entry = entry_of(key, options);
  pintle_status status = 77, called = host->cache->set_many(ctx, NS, &entry, 1, &status);
  return called == PINTLE_OK ? status : called;
}

static void many_texts(answer *to, pintle_str bad) {
  const pintle_cache *cache = host->cache;
  pintle_ctx ctx = to->ctx;
  pintle_sink sink = pintle_discard_sink();
  pintle_str none = pintle_strn(NULL, 0), keys[2];
  pintle_cache_entry entry = entry_of(KEPT, NULL);
  pintle_cache_options tagged = {0};
  pintle_status status = 77;
  keys[0] = KEPT, keys[1] = bad;
  tagged.size = sizeof tagged, tagged.tags = &bad, tagged.tag_count = 1;
  tell(to, "cache_get_many_ns", cache->get_many(ctx, bad, keys, 1, on_item, NULL));
  tell(to, "cache_get_many_keys", cache->get_many(ctx, NS, keys, 2, on_item, NULL));
  tell(to, "cache_set_many_ns", cache->set_many(ctx, bad, &entry, 1, &status));
  tell(to, "cache_set_many_key", set_one(ctx, bad, NULL));
  tell(to, "cache_set_many_tags", set_one(ctx, KEPT, &tagged));
  tell(to, "cache_set_tags", cache->set(ctx, NS, KEPT, entry.value, &tagged));
  tell(to, "cache_set_absent_ns", cache->set_absent(ctx, bad, KEPT, NULL));
  tell(to, "cache_set_absent_key", cache->set_absent(ctx, NS, bad, NULL));
  tell(to, "cache_invalidate_ns", cache->invalidate(ctx, bad, KEPT, NULL));
  tell(to, "cache_invalidate_pattern", cache->invalidate(ctx, NS, bad, NULL));
  tell(to, "cache_invalidate_tag", cache->invalidate_tag(ctx, bad, NULL));
  tell(to, "cache_clear_ns", cache->clear(ctx, bad, NULL));
  tell(to, "cache_keys_ns", cache->keys(ctx, bad, none, none, 0, sink, sink));
  tell(to, "cache_keys_prefix", cache->keys(ctx, NS, bad, none, 0, sink, sink));
  tell(to, "cache_keys_cursor", cache->keys(ctx, NS, none, bad, 0, sink, sink));
}

/* Null where there must be something, and where there need not. */
static void many_pointers(answer *to) {
  const pintle_cache *cache = host->cache;
  pintle_ctx ctx = to->ctx;
  pintle_sink nowhere = {NULL, NULL}, sink = pintle_discard_sink();
  pintle_str none = pintle_strn(NULL, 0), key = KEPT;
  pintle_cache_entry entry = entry_of(KEPT, NULL);
  pintle_cache_options tagged = {0};
  pintle_status status = 77;
  tagged.size = sizeof tagged, tagged.tag_count = 1;
  tell(to, "get_many_keys", cache->get_many(ctx, NS, NULL, 2, on_item, NULL));
  tell(to, "get_many_each", cache->get_many(ctx, NS, &key, 1, NULL, NULL));
  tell(to, "set_many_entries", cache->set_many(ctx, NS, NULL, 1, &status));
  tell(to, "set_many_statuses", cache->set_many(ctx, NS, &entry, 1, NULL));
  entry.value.ptr = NULL;
  tell(to, "set_many_call", cache->set_many(ctx, NS, &entry, 1, &status));
  tell_number(to, "set_many_value", status);
  tell(to, "cache_set_null_tags", cache->set(ctx, NS, KEPT, pintle_bytesn("never", 5), &tagged));
  tell(to, "cache_keys_out", cache->keys(ctx, NS, none, none, 0, nowhere, sink));
  tell(to, "cache_stats_out", cache->stats(ctx, NULL));
  tell(to, "get_many_nothing", cache->get_many(ctx, NS, NULL, 0, on_item, NULL));
  tell(to, "set_many_nothing", cache->set_many(ctx, NS, NULL, 0, NULL));
  tell(to, "cache_keys_no_next", cache->keys(ctx, NS, none, none, 0, sink, nowhere));
  tell(to, "cache_invalidate_null", cache->invalidate(ctx, NS, PINTLE_STR("nothing"), NULL));
  tell(to, "cache_invalidate_tag_null", cache->invalidate_tag(ctx, PINTLE_STR("nothing"), NULL));
  tell(to, "cache_clear_null", cache->clear(ctx, PINTLE_STR("nothing"), NULL));
}

/* Counts that no memory can have, and those just above what is taken. */
static void many_lengths(answer *to) {
  const pintle_cache *cache = host->cache;
  static pintle_str keys[1025];
  static pintle_cache_entry entries[1025];
  static pintle_status statuses[1025];
  pintle_ctx ctx = to->ctx;
  size_t huge = (size_t)1 << 63, at;
  int told = 0;
  pintle_cache_options tagged = {0};
  for (at = 0; at < 1025; at++) keys[at] = KEPT, entries[at] = entry_of(KEPT, NULL), statuses[at] = 77;
  tagged.size = sizeof tagged, tagged.tags = keys, tagged.tag_count = SIZE_MAX;
  tell(to, "get_many_huge", cache->get_many(ctx, NS, keys, huge, on_item, &told));
  tell(to, "get_many_max", cache->get_many(ctx, NS, keys, SIZE_MAX, on_item, &told));
  tell(to, "get_many_1025", cache->get_many(ctx, NS, keys, 1025, on_item, &told));
  tell(to, "set_many_huge", cache->set_many(ctx, NS, entries, huge, statuses));
  tell(to, "set_many_1025", cache->set_many(ctx, NS, entries, 1025, statuses));
  tell(to, "tags_max", cache->set(ctx, NS, KEPT, pintle_bytesn("never", 5), &tagged));
  tell_number(to, "many_untouched", told == 0 && statuses[0] == 77);
  tell(to, "get_many_1024", cache->get_many(ctx, NS, keys, 1024, on_item, &told));
  tell_number(to, "many_told", told);
  for (at = 0; at < 1024; at++) entries[at].key = PINTLE_STR("many");
  tell(to, "set_many_1024", cache->set_many(ctx, NS, entries, 1024, statuses));
}

typedef struct {
  pintle_cache_entry known;
  uint64_t later;
} longer_entry;

/* Sizes and members of entries that no host of today knows. */
static void many_options(answer *to) {
  const pintle_cache *cache = host->cache;
  pintle_ctx ctx = to->ctx;
  pintle_status statuses[2] = {77, 77};
  pintle_cache_entry entries[2];
  longer_entry longer[2];
  pintle_cache_stats stats;
#define CASE(what) tell(to, what, cache->set_many(ctx, NS, entries, 2, statuses))
  entries[0] = entries[1] = entry_of(KEPT, NULL);
  entries[0].size = 7;
  CASE("entry_size_7");
  entries[0].size = 4097;
  CASE("entry_size_huge");
  entries[0].size = sizeof entries[0], entries[1].size = 0;
  CASE("entry_unequal");
  entries[1].size = sizeof entries[1], entries[1].reserved = 1;
  CASE("entry_reserved");
#undef CASE
  memset(longer, 0, sizeof longer);
  longer[0].known = longer[1].known = entry_of(PINTLE_STR("longer"), NULL);
  longer[0].known.size = longer[1].known.size = sizeof longer[0];
  longer[1].later = 1;
  tell(to, "entry_tail_set", cache->set_many(ctx, NS, &longer[0].known, 2, statuses));
  tell_number(to, "statuses_untouched", statuses[0] == 77 && statuses[1] == 77);
  longer[1].later = 0;
  tell(to, "entry_tail_zero", cache->set_many(ctx, NS, &longer[0].known, 2, statuses));
  memset(&stats, 0xee, sizeof stats);
  stats.size = 7;
  tell(to, "stats_size_7", cache->stats(ctx, &stats));
  stats.size = 16;
  tell(to, "stats_size_16", cache->stats(ctx, &stats));
  tell_number(to, "stats_written_16", stats.items < 1000 && stats.bytes == UINT64_C(0xeeeeeeeeeeeeeeee));
}

/* ---- cases ---- */

/* Every function that takes text, with the same text in the place of each argument in turn. */
static void item_texts(answer *to, pintle_str bad) {
  const pintle_cache *cache = host->cache;
  const pintle_storage *storage = host->storage;
  pintle_ctx ctx = to->ctx;
  pintle_bytes value = pintle_bytesn("never", 5);
  pintle_sink sink = pintle_discard_sink();
  pintle_str none = pintle_strn(NULL, 0);
  uint64_t version;
  uint8_t buf[8];
  size_t len;
  uint32_t flag;
  int64_t number;
  keep(ctx);
  version = version_of(ctx, KEPT);
  tell(to, "cache_get_ns", cache->get(ctx, bad, KEPT, sink, NULL));
  tell(to, "cache_get_key", cache->get(ctx, NS, bad, sink, NULL));
  tell(to, "cache_get_into_ns", cache->get_into(ctx, bad, KEPT, buf, sizeof buf, &len, NULL));
  tell(to, "cache_get_into_key", cache->get_into(ctx, NS, bad, buf, sizeof buf, &len, NULL));
  tell(to, "cache_set_ns", cache->set(ctx, bad, KEPT, value, NULL));
  tell(to, "cache_set_key", cache->set(ctx, NS, bad, value, NULL));
  tell(to, "cache_remove_ns", cache->remove(ctx, bad, KEPT, NULL));
  tell(to, "cache_remove_key", cache->remove(ctx, NS, bad, NULL));
  tell(to, "cache_exists_ns", cache->exists(ctx, bad, KEPT, &flag));
  tell(to, "cache_exists_key", cache->exists(ctx, NS, bad, &flag));
  tell(to, "cache_incr_ns", cache->incr(ctx, bad, KEPT, 1, NULL, &number));
  tell(to, "cache_incr_key", cache->incr(ctx, NS, bad, 1, NULL, &number));
  tell(to, "cache_expire_ns", cache->expire(ctx, bad, KEPT, -1, PINTLE_EXPIRE_ALWAYS, NULL));
  tell(to, "cache_expire_key", cache->expire(ctx, NS, bad, -1, PINTLE_EXPIRE_ALWAYS, NULL));
  tell(to, "cache_ttl_ns", cache->ttl(ctx, bad, KEPT, &number));
  tell(to, "cache_ttl_key", cache->ttl(ctx, NS, bad, &number));
  many_texts(to, bad);
  tell(to, "storage_get_key", storage->get(ctx, bad, sink, NULL));
  tell(to, "storage_set_key", storage->set(ctx, bad, value, NULL, NULL));
  tell(to, "storage_remove_key", storage->remove(ctx, bad, NULL));
  tell(to, "storage_exists_key", storage->exists(ctx, bad, &flag));
  tell(to, "storage_keys_prefix", storage->keys(ctx, bad, none, 0, sink, sink));
  tell(to, "storage_keys_cursor", storage->keys(ctx, none, bad, 0, sink, sink));
  tell_number(to, "items_kept_of_texts", is_kept(ctx, version));
}

/* Null with a length, null where the host should write, and null where it need not. */
static void item_pointers(answer *to) {
  const pintle_cache *cache = host->cache;
  const pintle_storage *storage = host->storage;
  pintle_ctx ctx = to->ctx;
  pintle_bytes bad = {NULL, 5}, empty = {NULL, 0};
  pintle_sink nowhere = {NULL, NULL}, sink = pintle_discard_sink();
  pintle_str none = pintle_strn(NULL, 0), other = PINTLE_STR("other");
  uint64_t version;
  uint8_t buf[8];
  size_t len = 77;
  keep(ctx);
  version = version_of(ctx, KEPT);
  tell(to, "cache_set_value", cache->set(ctx, NS, KEPT, bad, NULL));
  tell(to, "storage_set_value", storage->set(ctx, KEPT, bad, NULL, NULL));
  tell(to, "cache_get_out", cache->get(ctx, NS, KEPT, nowhere, NULL));
  tell(to, "storage_get_out", storage->get(ctx, KEPT, nowhere, NULL));
  tell(to, "storage_keys_out", storage->keys(ctx, none, none, 0, nowhere, sink));
  tell(to, "cache_get_into_buf", cache->get_into(ctx, NS, KEPT, NULL, 5, &len, NULL));
  tell(to, "cache_get_into_len", cache->get_into(ctx, NS, KEPT, buf, sizeof buf, NULL, NULL));
  tell(to, "cache_exists_out", cache->exists(ctx, NS, KEPT, NULL));
  tell(to, "cache_ttl_out", cache->ttl(ctx, NS, KEPT, NULL));
  tell(to, "storage_exists_out", storage->exists(ctx, KEPT, NULL));
  many_pointers(to);
  tell_number(to, "into_len_untouched", len == 77);
  tell_number(to, "items_kept_of_pointers", is_kept(ctx, version));
  tell(to, "cache_get_no_info", cache->get(ctx, NS, KEPT, sink, NULL));
  tell(to, "cache_get_into_asked_size", cache->get_into(ctx, NS, KEPT, NULL, 0, &len, NULL));
  tell(to, "cache_set_empty", cache->set(ctx, NS, other, empty, NULL));
  tell(to, "cache_get_into_empty", cache->get_into(ctx, NS, other, NULL, 0, &len, NULL));
  tell(to, "cache_expire_null", cache->expire(ctx, NS, other, 0, PINTLE_EXPIRE_ALWAYS, NULL));
  tell(to, "cache_remove_null", cache->remove(ctx, NS, other, NULL));
  tell(to, "cache_incr_null", cache->incr(ctx, NS, other, 1, NULL, NULL));
  tell(to, "storage_get_no_info", storage->get(ctx, KEPT, sink, NULL));
  tell(to, "storage_set_empty", storage->set(ctx, other, empty, NULL, NULL));
  tell(to, "storage_remove_null", storage->remove(ctx, other, NULL));
  tell(to, "storage_keys_no_next", storage->keys(ctx, none, none, 0, sink, nowhere));
  tell(to, "storage_clear_null", storage->clear(ctx, NULL));
}

/* Lengths that no memory can have, with pointers that are good. */
static void item_lengths(answer *to) {
  pintle_ctx ctx = to->ctx;
  size_t huge[2], len = 77;
  const char *names[6] = {"cache_set_value",     "storage_set_value",     "cache_get_into_cap",
                          "cache_set_value_max", "storage_set_value_max", "cache_get_into_cap_max"};
  uint8_t buf[8] = {0};
  uint64_t version;
  int at;
  huge[0] = (size_t)1 << 63, huge[1] = SIZE_MAX;
  keep(ctx);
  version = version_of(ctx, KEPT);
  for (at = 0; at < 2; at++) {
    tell(to, names[3 * at], host->cache->set(ctx, NS, KEPT, pintle_bytesn("x", huge[at]), NULL));
    tell(to, names[3 * at + 1], host->storage->set(ctx, KEPT, pintle_bytesn("x", huge[at]), NULL, NULL));
    tell(to, names[3 * at + 2], host->cache->get_into(ctx, NS, KEPT, buf, huge[at], &len, NULL));
  }
  tell(to, "cache_get_key_max", host->cache->get(ctx, NS, pintle_strn("k", SIZE_MAX), pintle_discard_sink(), NULL));
  tell(to, "storage_get_key_max", host->storage->get(ctx, pintle_strn("k", SIZE_MAX), pintle_discard_sink(), NULL));
  many_lengths(to);
  tell_number(to, "into_untouched", len == 77 && buf[0] == 0);
  tell_number(to, "items_kept_of_lengths", is_kept(ctx, version));
}

typedef struct {
  uint32_t size, flags;
  uint64_t value; /* `ttl_ms`, or `if_version` */
  char later[4200];
} any_options;

typedef struct {
  uint32_t size, flags;
  uint64_t rest[600];
} any_info;

/* One function with options, of each size and with each flag. */
static void options_of(answer *to, const char *function, pintle_status (*with)(pintle_ctx, const void *)) {
  any_options options;
  char name[64];
  uint64_t version;
#define CASE(what)                                              \
  snprintf(name, sizeof name, "%s_%s", function, what);         \
  tell(to, name, with(to->ctx, &options))
  keep(to->ctx);
  version = version_of(to->ctx, KEPT);
  memset(&options, 0, sizeof options);
  CASE("size_zero");
  options.size = 7;
  CASE("size_7");
  options.size = 4097;
  CASE("size_huge");
  options.size = 16 + 64, options.later[63] = 1;
  CASE("tail_set");
  options.later[63] = 0, options.size = 16, options.flags = 16;
  CASE("flag");
  options.flags = 0x80000001u;
  CASE("flag_beside_a_known_one");
  snprintf(name, sizeof name, "items_kept_of_%s", function);
  tell_number(to, name, is_kept(to->ctx, version));
  options.flags = 0, options.size = 8;
  CASE("size_older");
  options.size = 4096;
  CASE("tail_zero");
  options.size = 16, options.value = UINT64_MAX;
  CASE("value_without_its_flag");
  options.size = 8, options.flags = 1;
  CASE("flag_of_what_it_does_not_reach");
#undef CASE
}

static pintle_status set_cached(pintle_ctx ctx, const void *options) {
  return host->cache->set(ctx, NS, KEPT, pintle_bytesn("VALUE", 5), (const pintle_cache_options *)options);
}

static pintle_status count_cached(pintle_ctx ctx, const void *options) {
  return host->cache->incr(ctx, NS, PINTLE_STR("counter"), 1, (const pintle_cache_options *)options, NULL);
}

static pintle_status note_cached(pintle_ctx ctx, const void *options) {
  return host->cache->set_absent(ctx, NS, PINTLE_STR("noted"), (const pintle_cache_options *)options);
}

static pintle_status set_one_cached(pintle_ctx ctx, const void *options) {
  return set_one(ctx, PINTLE_STR("one of many"), (const pintle_cache_options *)options);
}

static pintle_status set_stored(pintle_ctx ctx, const void *options) {
  return host->storage->set(ctx, KEPT, pintle_bytesn("VALUE", 5), (const pintle_storage_options *)options, NULL);
}

/* One function with an info struct of each size; and how much of it was written, in bytes. */
static void infos_of(answer *to, const char *function, pintle_status (*with)(pintle_ctx, void *)) {
  static const uint32_t sizes[9] = {0, 7, 4097, UINT32_MAX, 8, 12, 16, 64, 4096};
  static any_info info;
  const uint8_t *bytes = (const uint8_t *)&info;
  char name[64];
  size_t at, last;
  keep(to->ctx);
  for (at = 0; at < 9; at++) {
    memset(&info, 0xee, sizeof info);
    info.size = sizes[at];
    snprintf(name, sizeof name, "%s_info_%u", function, (unsigned)sizes[at]);
    tell(to, name, with(to->ctx, &info));
    for (last = sizeof info; last > 4 && bytes[last - 1] == 0xee; last--) continue;
    snprintf(name, sizeof name, "%s_written_%u", function, (unsigned)sizes[at]);
    tell_number(to, name, info.size == sizes[at] ? (long long)last : -1);
  }
}

static pintle_status info_of_cached(pintle_ctx ctx, void *info) {
  return host->cache->get(ctx, NS, KEPT, pintle_discard_sink(), (pintle_cache_info *)info);
}

static pintle_status info_of_cached_into(pintle_ctx ctx, void *info) {
  uint8_t buf[8];
  size_t len;
  return host->cache->get_into(ctx, NS, KEPT, buf, sizeof buf, &len, (pintle_cache_info *)info);
}

static pintle_status info_of_stored(pintle_ctx ctx, void *info) {
  return host->storage->get(ctx, KEPT, pintle_discard_sink(), (pintle_storage_info *)info);
}

static void item_options(answer *to) {
  options_of(to, "cache_set", set_cached);
  options_of(to, "cache_incr", count_cached);
  options_of(to, "cache_set_absent", note_cached);
  options_of(to, "cache_set_many", set_one_cached);
  keep(to->ctx);
  many_options(to);
  tell_number(to, "items_kept_of_many", is_kept(to->ctx, version_of(to->ctx, KEPT)));
  options_of(to, "storage_set", set_stored);
  infos_of(to, "cache_get", info_of_cached);
  infos_of(to, "cache_get_into", info_of_cached_into);
  infos_of(to, "storage_get", info_of_stored);
  tell(to, "expire_condition_5", host->cache->expire(to->ctx, NS, KEPT, -1, 5, NULL));
  tell(to, "expire_condition_max", host->cache->expire(to->ctx, NS, KEPT, -1, UINT32_MAX, NULL));
}

/* Numbers at the ends of their types, and cursors that nobody gave out. */
static void item_limits(answer *to) {
  const pintle_cache *cache = host->cache;
  const pintle_storage *storage = host->storage;
  static const char *const cursors[6] = {"1.", "1.====", "2.YQ", "1.YQA", "1._w", "1.eg"};
  static const char *const named[6] = {"cursor_empty_key", "cursor_padded",  "cursor_other_form",
                                       "cursor_nul",       "cursor_no_utf8", "cursor_other_prefix"};
  pintle_ctx ctx = to->ctx;
  pintle_sink sink = pintle_discard_sink();
  pintle_str none = pintle_strn(NULL, 0), one = PINTLE_STR("one");
  pintle_cache_options options = {0};
  pintle_storage_options wanted = {0};
  size_t most = (size_t)4 << 20;
  char *large = calloc(1, most + 1);
  uint64_t version, found = 77;
  int64_t sum = 77;
  int at;
  if (large == NULL) return;
  keep(ctx);
  version = version_of(ctx, KEPT);
  options.size = sizeof options, options.flags = PINTLE_CACHE_TTL;
  options.ttl_ms = INT64_MIN;
  tell(to, "cache_set_ttl_min", cache->set(ctx, NS, KEPT, pintle_bytesn("x", 1), &options));
  options.ttl_ms = INT64_MAX;
  tell(to, "cache_set_ttl_max", cache->set(ctx, NS, KEPT, pintle_bytesn("x", 1), &options));
  tell(to, "cache_incr_ttl_max", cache->incr(ctx, NS, one, 1, &options, &sum));
  tell(to, "cache_expire_ttl_max", cache->expire(ctx, NS, KEPT, INT64_MAX, PINTLE_EXPIRE_ALWAYS, NULL));
  options.ttl_ms = 5, options.stale_ms = -1;
  tell(to, "cache_set_stale_negative", cache->set(ctx, NS, KEPT, pintle_bytesn("x", 1), &options));
  options.stale_ms = 0, options.error_ms = INT64_MAX;
  tell(to, "cache_set_error_max", cache->set(ctx, NS, KEPT, pintle_bytesn("x", 1), &options));
  options.error_ms = 0, options.flags = PINTLE_CACHE_IF_VERSION, options.version = UINT64_MAX;
  tell(to, "cache_set_version_max", cache->set(ctx, NS, KEPT, pintle_bytesn("x", 1), &options));
  options.flags = PINTLE_CACHE_IF_ABSENT;
  tell(to, "cache_set_there", cache->set(ctx, NS, KEPT, pintle_bytesn("x", 1), &options));
  tell(to, "cache_keys_limit_max", cache->keys(ctx, NS, none, none, UINT32_MAX, sink, sink));
  tell(to, "cache_incr_text", cache->incr(ctx, NS, KEPT, 1, NULL, &sum));
  cache->set(ctx, NS, one, pintle_bytesn("-1", 2), NULL);
  tell(to, "cache_incr_delta_min", cache->incr(ctx, NS, one, INT64_MIN, NULL, &sum));
  tell_number(to, "sum_untouched", sum == 77);
  wanted.size = sizeof wanted, wanted.flags = PINTLE_STORAGE_IF_VERSION, wanted.if_version = UINT64_MAX;
  tell(to, "storage_set_version_max", storage->set(ctx, KEPT, pintle_bytesn("x", 1), &wanted, &found));
  tell_number(to, "version_told", found == version);
  tell(to, "storage_set_more", storage->set(ctx, KEPT, pintle_bytesn(large, most + 1), NULL, &found));
  tell_number(to, "items_kept_of_limits", is_kept(ctx, version));
  tell(to, "storage_set_4_mib", storage->set(ctx, one, pintle_bytesn(large, most), NULL, NULL));
  tell(to, "storage_keys_limit_max", storage->keys(ctx, none, none, UINT32_MAX, sink, sink));
  memset(large, 'p', 1025);
  tell(to, "storage_keys_prefix_512", storage->keys(ctx, pintle_strn(large, 512), none, 1000, sink, sink));
  tell(to, "storage_keys_prefix_513", storage->keys(ctx, pintle_strn(large, 513), none, 0, sink, sink));
  tell(to, "storage_keys_cursor_1025", storage->keys(ctx, none, pintle_strn(large, 1025), 0, sink, sink));
  for (at = 0; at < 6; at++)
    tell(to, named[at], storage->keys(ctx, pintle_strn("k", at == 5), pintle_cstr(cursors[at]), 0, sink, sink));
  tell(to, "cache_expire_min", cache->expire(ctx, NS, KEPT, INT64_MIN, PINTLE_EXPIRE_ALWAYS, NULL));
  tell(to, "cache_gone", cache->get(ctx, NS, KEPT, sink, NULL));
  storage->clear(ctx, NULL);
  free(large);
}

/* Each function once, with a context that may be anybody's. */
static void item_use(answer *to, const char *front, pintle_ctx ctx) {
  const pintle_cache *cache = host->cache;
  const pintle_storage *storage = host->storage;
  pintle_str key = PINTLE_STR("used"), none = pintle_strn(NULL, 0);
  pintle_bytes value = pintle_bytesn("7", 1);
  pintle_sink sink = pintle_discard_sink();
  pintle_cache_entry entry = entry_of(key, NULL);
  pintle_cache_stats stats = {0};
  pintle_status written;
  char name[64];
  uint8_t buf[8];
  size_t len;
  uint32_t flag;
  int64_t number;
  stats.size = sizeof stats;
#define CASE(what, expression)                        \
  snprintf(name, sizeof name, "%s%s", front, what); \
  tell_of(to, name, ctx, expression)
  CASE("cache_set", cache->set(ctx, NS, key, value, NULL));
  CASE("cache_get", cache->get(ctx, NS, key, sink, NULL));
  CASE("cache_get_into", cache->get_into(ctx, NS, key, buf, sizeof buf, &len, NULL));
  CASE("cache_exists", cache->exists(ctx, NS, key, &flag));
  CASE("cache_incr", cache->incr(ctx, NS, key, 1, NULL, &number));
  CASE("cache_expire", cache->expire(ctx, NS, key, 0, PINTLE_EXPIRE_ALWAYS, NULL));
  CASE("cache_ttl", cache->ttl(ctx, NS, key, &number));
  CASE("cache_remove", cache->remove(ctx, NS, key, NULL));
  CASE("cache_get_many", cache->get_many(ctx, NS, &key, 1, on_item, NULL));
  CASE("cache_set_many", cache->set_many(ctx, NS, &entry, 1, &written));
  CASE("cache_set_absent", cache->set_absent(ctx, NS, key, NULL));
  CASE("cache_invalidate", cache->invalidate(ctx, NS, key, NULL));
  CASE("cache_invalidate_tag", cache->invalidate_tag(ctx, key, NULL));
  CASE("cache_keys", cache->keys(ctx, NS, none, none, 0, sink, sink));
  CASE("cache_clear", cache->clear(ctx, PINTLE_STR("elsewhere"), NULL));
  CASE("cache_stats", cache->stats(ctx, &stats));
  CASE("storage_set", storage->set(ctx, key, value, NULL, NULL));
  CASE("storage_get", storage->get(ctx, key, sink, NULL));
  CASE("storage_exists", storage->exists(ctx, key, &flag));
  CASE("storage_keys", storage->keys(ctx, none, none, 0, sink, sink));
  CASE("storage_remove", storage->remove(ctx, key, NULL));
  CASE("storage_clear", storage->clear(ctx, NULL));
#undef CASE
}

/* ---- sinks ---- */

/* Calls the host from inside, then takes the piece. */
typedef struct {
  answer *to;
  const char *front;
  pintle_buf taken;
  int pieces;
} caller;

static pintle_status call_inside(void *data, pintle_bytes piece) {
  caller *from = data;
  pintle_ctx ctx = from->to->ctx;
  pintle_str none = pintle_strn(NULL, 0);
  pintle_sink sink = pintle_discard_sink();
  char name[64];
#define CASE(what, expression)                              \
  snprintf(name, sizeof name, "%s_%s", from->front, what); \
  tell(from->to, name, expression)
  from->pieces++;
  CASE("cache_get", host->cache->get(ctx, NS, KEPT, sink, NULL));
  CASE("cache_set", host->cache->set(ctx, NS, KEPT, pintle_bytesn("never", 5), NULL));
  CASE("storage_get", host->storage->get(ctx, KEPT, sink, NULL));
  CASE("storage_set", host->storage->set(ctx, KEPT, pintle_bytesn("never", 5), NULL, NULL));
  CASE("storage_keys", host->storage->keys(ctx, none, none, 0, sink, sink));
#undef CASE
  return pintle_buf_write(&from->taken, piece.ptr, piece.len);
}

static pintle_status count_pieces(void *data, pintle_bytes piece) {
  int *pieces = data;
  pieces[0]++;
  pieces[1] += (int)piece.len;
  return PINTLE_OK;
}

static pintle_status call_from_inside(answer *to, const char *front, const char *expected, int *intact) {
  caller from;
  pintle_sink sink = {NULL, call_inside};
  pintle_str none = pintle_strn(NULL, 0);
  pintle_status status;
  memset(&from, 0, sizeof from);
  from.to = to, from.front = front, sink.data = &from;
  if (front[3] == 'c') status = host->cache->get(to->ctx, NS, KEPT, sink, NULL);
  else if (front[3] == 's') status = host->storage->get(to->ctx, KEPT, sink, NULL);
  else status = host->storage->keys(to->ctx, none, none, 0, sink, pintle_discard_sink());
  *intact = from.pieces == 1 && holds(&from.taken, expected);
  pintle_buf_free(&from.taken);
  return status;
}

/* A sink that, while it is written to, has a thread call every function about the very item. */
static void *use_elsewhere_meanwhile(void *data) {
  caller *from = data;
  item_use(from->to, from->front, from->to->ctx);
  return NULL;
}

static pintle_status call_beside(void *data, pintle_bytes piece) {
  caller *from = data;
  pthread_t thread;
  if (pthread_create(&thread, NULL, use_elsewhere_meanwhile, from) == 0) pthread_join(thread, NULL);
  return pintle_buf_write(&from->taken, piece.ptr, piece.len);
}

/* How much the sink took, which is what was there when the call began; -1 if the call failed. */
static long long call_from_beside(answer *to, const char *front, size_t size) {
  caller from;
  pintle_sink sink = {NULL, call_beside};
  pintle_str none = pintle_strn(NULL, 0), key = PINTLE_STR("used");
  pintle_bytes value;
  uint8_t *bytes = calloc(1, size);
  pintle_status status;
  long long taken;
  if (bytes == NULL) return -1;
  value = pintle_bytesn(bytes, size);
  memset(&from, 0, sizeof from);
  from.to = to, from.front = front, sink.data = &from;
  if (front[7] == 'c') {
    host->cache->set(to->ctx, NS, key, value, NULL);
    status = host->cache->get(to->ctx, NS, key, sink, NULL);
  } else {
    host->storage->set(to->ctx, key, value, NULL, NULL);
    status = front[7] == 's' ? host->storage->get(to->ctx, key, sink, NULL)
                             : host->storage->keys(to->ctx, key, none, 0, sink, pintle_discard_sink());
  }
  taken = status == PINTLE_OK ? (long long)from.taken.len : -1;
  pintle_buf_free(&from.taken);
  free(bytes);
  return taken;
}

/* Large and small values in turn: each sink gets its own bytes, whatever was copied before. */
static int sizes_in_turn(pintle_ctx ctx) {
  static const size_t sizes[7] = {1, 65536, 1048576, 0, 65537, 3, 1048576};
  pintle_str key = PINTLE_STR("sized");
  uint8_t *value = malloc(1048576);
  pintle_buf got = {0};
  int at, right = value != NULL;
  for (at = 0; right && at < 7; at++) {
    memset(value, 'a' + at, sizes[at]);
    pintle_buf_clear(&got);
    right = host->cache->set(ctx, NS, key, pintle_bytesn(value, sizes[at]), NULL) == PINTLE_OK &&
            host->cache->get(ctx, NS, key, pintle_buf_sink(&got), NULL) == PINTLE_OK && got.len == sizes[at] &&
            (got.len == 0 || memcmp(got.ptr, value, got.len) == 0);
  }
  host->cache->remove(ctx, NS, key, NULL);
  pintle_buf_free(&got);
  free(value);
  return right;
}

static void item_sinks(answer *to) {
  const pintle_cache *cache = host->cache;
  const pintle_storage *storage = host->storage;
  pintle_ctx ctx = to->ctx;
  pintle_sink refusing = {NULL, refuse}, counting = {NULL, count_pieces}, sink = pintle_discard_sink();
  pintle_str none = pintle_strn(NULL, 0), empty = PINTLE_STR("empty");
  pintle_cache_info cached = {0};
  pintle_storage_info stored = {0};
  uint64_t version;
  int pieces[2] = {0, 0}, intact;
  storage->clear(ctx, NULL);
  keep(ctx);
  version = version_of(ctx, KEPT);
  cached.size = sizeof cached, cached.ttl_ms = 77;
  stored.size = sizeof stored, stored.version = 77;
  tell(to, "refused_cache_get", cache->get(ctx, NS, KEPT, refusing, &cached));
  tell(to, "refused_storage_get", storage->get(ctx, KEPT, refusing, &stored));
  tell(to, "refused_keys_out", storage->keys(ctx, none, none, 0, refusing, sink));
  tell(to, "refused_keys_next", storage->keys(ctx, none, none, 0, sink, refusing));
  tell_number(to, "infos_untouched", cached.ttl_ms == 77 && stored.version == 77);
  tell(to, "around_in_cache", call_from_inside(to, "in_cache", "value", &intact));
  tell_number(to, "intact_in_cache", intact);
  tell(to, "around_in_storage", call_from_inside(to, "in_storage", "value", &intact));
  tell_number(to, "intact_in_storage", intact);
  tell(to, "around_in_keys", call_from_inside(to, "in_keys", "kept", &intact));
  tell_number(to, "items_kept_of_sinks", is_kept(ctx, version));
  tell_number(to, "sizes_in_turn", sizes_in_turn(ctx));
  tell_number(to, "taken_cache", call_from_beside(to, "beside_cache_", 5));
  tell_number(to, "taken_cache_large", call_from_beside(to, "beside_cache_large_", (size_t)1 << 20));
  tell_number(to, "taken_storage", call_from_beside(to, "beside_storage_", 100000));
  tell_number(to, "taken_keys", call_from_beside(to, "beside_keys_", 5));
  cache->set(ctx, NS, empty, pintle_bytesn(NULL, 0), NULL);
  storage->set(ctx, empty, pintle_bytesn(NULL, 0), NULL, NULL);
  counting.data = pieces;
  cache->get(ctx, NS, empty, counting, NULL);
  storage->get(ctx, empty, counting, NULL);
  storage->keys(ctx, PINTLE_STR("nobody"), none, 0, counting, counting);
  tell_number(to, "empty_pieces", pieces[0]);
  tell_number(to, "empty_bytes", pieces[1]);
  cache->get(ctx, NS, PINTLE_STR("missing"), counting, NULL);
  storage->get(ctx, PINTLE_STR("missing"), counting, NULL);
  tell_number(to, "missing_pieces", pieces[0] - 4);
  storage->clear(ctx, NULL);
}

/* The reply's sink as the sink of a result: `cache`, `storage`, `keys`, or `more`, which does not fit. Answers OK
 * whatever becomes of it; `reply_told` tells. */
static pintle_status reply_passed(answer *told, pintle_str what, pintle_sink reply) {
  pintle_ctx ctx = told->ctx;
  pintle_str none = pintle_strn(NULL, 0), key = PINTLE_STR("large");
  size_t size = ((size_t)1 << 20) + 1;
  uint8_t *large = calloc(1, size);
  if (large == NULL) return PINTLE_BUSY;
  host->storage->clear(ctx, NULL);
  keep(ctx);
  if (pintle_str_eq(what, PINTLE_STR("cache"))) {
    tell(told, "passed", host->cache->get(ctx, NS, KEPT, reply, NULL));
  } else if (pintle_str_eq(what, PINTLE_STR("storage"))) {
    tell(told, "passed", host->storage->get(ctx, KEPT, reply, NULL));
  } else if (pintle_str_eq(what, PINTLE_STR("keys"))) {
    tell(told, "passed", host->storage->keys(ctx, none, none, 0, reply, pintle_discard_sink()));
  } else {
    host->storage->set(ctx, key, pintle_bytesn(large, size), NULL, NULL);
    tell(told, "passed", host->storage->get(ctx, key, reply, NULL));
  }
  free(large);
  return PINTLE_OK;
}

#undef NS
#undef KEPT
