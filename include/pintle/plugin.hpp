/* Pintle plugins in C++17 and up: plugin.h with RAII, std::string_view and exceptions that end at the boundary.
 *
 * One file without a library, to be copied or installed beside plugin.h as <pintle/plugin.hpp>; nothing in it that C
 * cannot do. Every function names its twin in plugin.h, whose comment has the limits and the statuses. A plugin is a
 * class, a PINTLE_MANIFEST and a PINTLE_PLUGIN (see the end of this file).
 *
 * Errors. `f(…)` throws pintle::Error (a status and the host's sentence) where its twin answers other than OK. Beside
 * it stands `try_f(…)`, which answers the pintle_status, writes its outputs only on OK, and throws nothing but
 * std::bad_alloc. What may well be absent comes as std::optional, and absence is no error. With -fno-exceptions only
 * the `try_` forms are there; end a handler with `return cx.pass_on(status)`.
 *
 * Unwinding. Every function that the host calls is wrapped here: the plugin's own, handlers, what frees their captures,
 * sinks, result handlers. What is thrown inside becomes a status with a text, or a record of the log where there is no
 * status, and the host goes on:
 *
 *   pintle::Error               its status and its text
 *   std::bad_alloc              TOO_LARGE
 *   another std::exception      PANIC, "threw: " and what()
 *   anything else               PANIC
 *   a failed PINTLE_REQUIRE     PANIC, the condition and its place
 *   a failed PINTLE_CHECK       the same; it does not throw, so it is for destructors and noexcept functions
 *
 * C++ itself ends the process where the following happens, and nobody can contain it: an exception that leaves a
 * noexcept function, which destructors are unless they say noexcept(false); one that leaves a destructor during the
 * unwinding of another; one that leaves a thread of your own (run its body in `contain`); a failed assert, abort, exit;
 * longjmp or pthread_exit out of a function; a thread that is cancelled inside of one. So: no assert, and PINTLE_CHECK
 * in destructors.
 *
 * Ownership. Text and bytes that are passed in are borrowed for the call. What an Event, Run, JobInfo, RunResult, Change, Request,
 * HandlerResult or SqlRow shows is borrowed from the host until the function that got it returns: copy what is to be kept.
 * Subscription, Job, Watch, Logger, Transaction, HeldContext and Buffer own what they name, can be moved only, and end it in their
 * destructor; `detach` leaves it to the plugin's life, and a durable job outlives its Job. Handlers are moved into the host's keeping and destroyed on the
 * lane after their last call.
 *
 * Threads. Every function may be called from any thread while its context lives, never with less than 256 KiB of stack;
 * the objects themselves have no locks. The plugin's functions and handlers run one at a time unless the manifest's
 * `concurrency` says more, on changing threads: thread_local values do not carry over. Threads of your own have ended
 * when `unload` (or the destructor) returns.
 *
 * Export the entry function alone, by the file beside this one: -Wl,--version-script=…/pintle/plugin.map. Otherwise
 * the C++ library may use a template that your plugin exports, and keep it in memory for good after its unload.
 * -fvisibility=hidden does not reach the templates of namespace std, and -fno-gnu-unique (g++) only the unique symbols.
 * This header itself has no variable that libraries could share.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PINTLE_PLUGIN_HPP
#define PINTLE_PLUGIN_HPP

#include <pintle/plugin.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#if !defined(__cplusplus) || (__cplusplus < 201703L && (!defined(_MSVC_LANG) || _MSVC_LANG < 201703L))
#error "pintle/plugin.hpp needs C++17 or later; pintle/plugin.h is for C and for older C++"
#endif

/* 1 where exceptions are on: only then are the throwing forms there. */
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define PINTLE_EXCEPTIONS 1
#else
#define PINTLE_EXCEPTIONS 0
#endif

namespace pintle {

class Context;
struct Page;

/* The name of a status as plugin.h has it, without PINTLE_; "UNKNOWN" for what this header does not know. */
inline const char *status_name(pintle_status status) noexcept {
  switch (status) {
    case PINTLE_OK: return "OK";
    case PINTLE_NOT_FOUND: return "NOT_FOUND";
    case PINTLE_INVALID_ARGUMENT: return "INVALID_ARGUMENT";
    case PINTLE_DENIED: return "DENIED";
    case PINTLE_STALE_HANDLE: return "STALE_HANDLE";
    case PINTLE_BUFFER_TOO_SMALL: return "BUFFER_TOO_SMALL";
    case PINTLE_CONFLICT: return "CONFLICT";
    case PINTLE_WRONG_TYPE: return "WRONG_TYPE";
    case PINTLE_OUT_OF_RANGE: return "OUT_OF_RANGE";
    case PINTLE_TOO_LARGE: return "TOO_LARGE";
    case PINTLE_QUOTA: return "QUOTA";
    case PINTLE_TIMEOUT: return "TIMEOUT";
    case PINTLE_CANCELLED: return "CANCELLED";
    case PINTLE_BUSY: return "BUSY";
    case PINTLE_UNAVAILABLE: return "UNAVAILABLE";
    case PINTLE_UNSUPPORTED: return "UNSUPPORTED";
    case PINTLE_STOPPING: return "STOPPING";
    case PINTLE_REENTRANT: return "REENTRANT";
    case PINTLE_INTERNAL: return "INTERNAL";
    case PINTLE_PANIC: return "PANIC";
    default: return "UNKNOWN";
  }
}

/* A failure: a status and one sentence. Thrown by this header with the host's words, and by a plugin with its own;
 * where it leaves a function of the plugin, its status and text go to whoever asked. Copies never throw. */
class Error : public std::runtime_error {
 public:
  /* A failure with a text of the plugin's own: what happened, to what, and what to do. OK is no failure and becomes
   * INTERNAL. */
  Error(pintle_status status, const std::string &text)
      : std::runtime_error(text), status_(status == PINTLE_OK ? PINTLE_INTERNAL : status) {}

  /* One of PINTLE_…, never OK. */
  pintle_status status() const noexcept { return status_; }

 private:
  pintle_status status_;
};

/* A time that never comes: an item that does not expire, a caller that does not exist. */
constexpr std::chrono::milliseconds forever{PINTLE_FOREVER};

/* A view of bytes, as std::string_view is one of text; what it shows must outlive it. */
class Bytes {
 public:
  constexpr Bytes() noexcept = default;
  Bytes(const void *ptr, std::size_t len) noexcept : ptr_(static_cast<const std::uint8_t *>(ptr)), len_(len) {}
  Bytes(std::string_view text) noexcept : Bytes(text.data(), text.size()) {}
  Bytes(const std::string &text) noexcept : Bytes(text.data(), text.size()) {}
  /* Null shows nothing, as what getenv answers may be. */
  Bytes(const char *text) noexcept : Bytes(text == nullptr ? std::string_view() : std::string_view(text)) {}
  /* So that `set("count", 0)`, which means a number, is refused: write std::to_string, or cache.incr. */
  Bytes(std::nullptr_t) = delete;
  Bytes(const std::vector<std::uint8_t> &bytes) noexcept : Bytes(bytes.data(), bytes.size()) {}
  Bytes(pintle_bytes raw) noexcept : ptr_(raw.ptr), len_(raw.len) {}

  const std::uint8_t *data() const noexcept { return ptr_; }
  std::size_t size() const noexcept { return len_; }
  bool empty() const noexcept { return len_ == 0; }
  const std::uint8_t *begin() const noexcept { return ptr_; }
  const std::uint8_t *end() const noexcept { return len_ == 0 ? ptr_ : ptr_ + len_; }
  /* The same bytes as text. They need not be UTF-8. */
  std::string_view text() const noexcept {
    return len_ == 0 ? std::string_view() : std::string_view(reinterpret_cast<const char *>(ptr_), len_);
  }
  pintle_bytes raw() const noexcept { return pintle_bytesn(ptr_, len_); }

 private:
  const std::uint8_t *ptr_ = nullptr;
  std::size_t len_ = 0;
};

/* A pintle_buf that is freed: growable memory of the plugin's own, for the outputs of `try_` forms. */
class Buffer {
 public:
  Buffer() noexcept = default;
  Buffer(Buffer &&from) noexcept : raw_(from.raw_) { from.raw_ = {}; }
  Buffer &operator=(Buffer &&from) noexcept {
    std::swap(raw_, from.raw_);
    return *this;
  }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  ~Buffer() { pintle_buf_free(&raw_); }

  /* A sink that appends to this buffer, which must neither move nor end before the call that the sink goes to. */
  pintle_sink sink() noexcept { return pintle_buf_sink(&raw_); }
  /* Appends; TOO_LARGE if there is no memory, and then nothing was appended. */
  [[nodiscard]] pintle_status try_append(Bytes bytes) noexcept {
    return pintle_buf_write(&raw_, bytes.data(), bytes.size());
  }
#if PINTLE_EXCEPTIONS
  /* Appends, or throws std::bad_alloc. */
  void append(Bytes bytes) {
    if (try_append(bytes) != PINTLE_OK) throw std::bad_alloc();
  }
#endif
  /* What is in it, until it is next written to. */
  std::string_view text() const noexcept { return bytes().text(); }
  Bytes bytes() const noexcept { return Bytes(raw_.ptr, raw_.len); }
  std::size_t size() const noexcept { return raw_.len; }
  bool empty() const noexcept { return raw_.len == 0; }
  /* Empties it and keeps its memory. */
  void clear() noexcept { pintle_buf_clear(&raw_); }
  pintle_buf *raw() noexcept { return &raw_; }

 private:
  pintle_buf raw_ = {};
};

/* A named value of a log record: text, integer, number or boolean, by its type. Borrows what it is made from. */
class Field : public pintle_field {
 public:
  Field(std::string_view label, std::string_view value) noexcept : Field(PINTLE_FIELD_TEXT, label) {
    text = pintle_strn(value.data(), value.size());
  }
  /* Null is an empty text. */
  Field(std::string_view label, const char *value) noexcept
      : Field(label, value == nullptr ? std::string_view() : std::string_view(value)) {}
  Field(std::string_view label, const std::string &value) noexcept : Field(label, std::string_view(value)) {}
  template <class Number, class = std::enable_if_t<std::is_arithmetic_v<Number>>>
  Field(std::string_view label, Number value) noexcept : Field(kind_of<Number>(), label) {
    if constexpr (std::is_floating_point_v<Number>) {
      number = static_cast<double>(value);
    } else {
      integer = static_cast<std::int64_t>(value);
    }
  }

 private:
  Field(std::uint32_t which, std::string_view label) noexcept
      : pintle_field(pintle_field_of(which, pintle_strn(label.data(), label.size()))) {}
  template <class Number>
  static constexpr std::uint32_t kind_of() noexcept {
    if (std::is_same_v<Number, bool>) return PINTLE_FIELD_BOOLEAN;
    if (std::is_floating_point_v<Number>) return PINTLE_FIELD_NUMBER;
    return std::is_unsigned_v<Number> ? PINTLE_FIELD_UNSIGNED : PINTLE_FIELD_INTEGER;
  }
};
static_assert(sizeof(Field) == sizeof(pintle_field), "an array of one is an array of the other");

/* The fields of one record. */
using Fields = std::initializer_list<Field>;

namespace detail {

#if defined(__GNUC__)
#define PINTLE_HIDDEN_ [[gnu::visibility("hidden")]]
#else
#define PINTLE_HIDDEN_
#endif

inline pintle_str str(std::string_view text) noexcept { return pintle_strn(text.data(), text.size()); }
inline std::string_view view(pintle_str text) noexcept {
  return text.len == 0 ? std::string_view() : std::string_view(text.ptr, text.len);
}
inline std::int64_t count(std::chrono::milliseconds time) noexcept { return static_cast<std::int64_t>(time.count()); }

/* For C a wait of 0 is the default. Here that is nullopt, and a wait that was computed as 0 is refused by the host as
 * what it is. */
inline std::int64_t wait(std::optional<std::chrono::milliseconds> time) noexcept {
  if (!time) return 0;
  return count(*time) == 0 ? -1 : count(*time);
}

/* For C a lifetime of 0 has no end. Here that is `forever`, for the same reason. */
inline std::int64_t lifetime(std::chrono::milliseconds time) noexcept {
  if (time == forever) return 0;
  return count(time) == 0 ? -1 : count(time);
}

/* A host that is older than this header may have a shorter table. Asking it for the longer one answers nothing, and
 * leaves the right words for last_error. */
inline pintle_status missing(const pintle_host *host, pintle_ctx ctx, std::string_view table, std::size_t end) {
  const void *found = nullptr;
  (void)host->service(ctx, str(table), 1, static_cast<std::uint32_t>(end), &found, nullptr);
  return PINTLE_UNSUPPORTED;
}
#define PINTLE_ASK_(table, member, ...)                                                                         \
  (PINTLE_HAS(host_->table, member) && host_->table->member != nullptr                                          \
       ? host_->table->member(__VA_ARGS__)                                                                      \
       : ::pintle::detail::missing(host_, ctx_, "pintle." #table,                                               \
                                   offsetof(pintle_##table, member) + sizeof(host_->table->member)))

class Running;
/* Which function of the plugin runs on this thread. Hidden, for with GNU's unique symbols it would be one for all
 * libraries and keep them in memory; without a destructor, so that a thread may outlive the library. */
PINTLE_HIDDEN_ inline thread_local Running *innermost = nullptr;

/* A function of the plugin that runs: where a failed PINTLE_CHECK leaves its text. */
class Running {
 public:
  Running() noexcept : outer_(innermost) {
    text_[0] = 0;
    innermost = this;
  }
  ~Running() { innermost = outer_; }
  Running(const Running &) = delete;
  Running &operator=(const Running &) = delete;

  static void failed(const char *condition, const char *file, int line) noexcept {
    char text[text_size];
    words(text, condition, file, line);
    if (innermost == nullptr) {
      std::fprintf(stderr, "pintle: outside of any function that the host called: %s\n", text);
    } else if (innermost->text_[0] == 0) {
      std::memcpy(innermost->text_, text, text_size);
    }
  }
  /* What failed first; empty if nothing did. */
  const char *text() const noexcept { return text_; }

  static constexpr std::size_t text_size = 512;
  static void words(char (&text)[text_size], const char *condition, const char *file, int line) noexcept {
    const char *slash = std::strrchr(file, '/');
    std::snprintf(text, text_size, "check failed: %.400s (%.80s:%d)", condition, slash ? slash + 1 : file, line);
  }

 private:
  Running *outer_;
  char text_[text_size];
};

/* Runs code of the plugin and lets nothing out. A failure's text goes to `tell`, which must not throw. */
template <class Body, class Tell>
pintle_status contain(Body &&body, Tell &&tell) noexcept {
  Running running;
  pintle_status status = PINTLE_PANIC;
#if PINTLE_EXCEPTIONS
  try {
    try {
      status = body();
    } catch (const Error &error) {
      status = error.status();
      tell(status, std::string_view(error.what()));
    } catch (const std::bad_alloc &) {
      status = PINTLE_TOO_LARGE;
      tell(status, std::string_view("there is no memory for what was asked for"));
    } catch (const std::exception &exception) {
      char text[1024];
      std::snprintf(text, sizeof text, "threw: %s", exception.what());
      tell(status, std::string_view(text));
    } catch (...) {
      tell(status, std::string_view("threw what is not a std::exception"));
    }
  } catch (...) {
    /* The destructor of what was caught has thrown as well. What it was has been told. */
  }
#else
  status = body();
#endif
  if (running.text()[0] != 0) {
    status = PINTLE_PANIC;
    tell(status, std::string_view(running.text()));
  }
  return status;
}

/* For functions that answer a status: the text goes with it. */
template <class Body>
pintle_status answering(const pintle_host *host, pintle_ctx ctx, Body &&body) noexcept {
  return contain(std::forward<Body>(body), [host, ctx](pintle_status, std::string_view text) noexcept {
    (void)host->set_error(ctx, str(text));
  });
}

/* For functions that answer nothing: the text goes to the log. */
template <class Body>
pintle_status logging(const pintle_host *host, pintle_ctx ctx, std::string_view what, Body &&body) noexcept {
  return contain(std::forward<Body>(body), [host, ctx, what](pintle_status status, std::string_view text) noexcept {
    const Field fields[] = {Field("error", text), Field("status", status_name(status))};
    (void)host->log->write(ctx, PINTLE_LOG_ERROR, str(what), fields, 2);
  });
}

/* Makes what the host keeps. Without exceptions it is null where there is no memory. */
template <class T, class... Arguments>
T *make(Arguments &&...arguments) {
#if PINTLE_EXCEPTIONS
  return new T{std::forward<Arguments>(arguments)...};
#else
  return new (std::nothrow) T{std::forward<Arguments>(arguments)...};
#endif
}

}  // namespace detail

/* Notes a failed check and goes on: never throws, so it may stand in destructors and noexcept functions. Whatever the
 * running function of the plugin answers, it becomes PANIC with the condition and its place; on a thread where none
 * runs, it goes to stderr. True if the condition holds, so `if (!PINTLE_CHECK(n > 0)) return;`. */
#define PINTLE_CHECK(...) ::pintle::check_that(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__)

/* The function behind PINTLE_CHECK. */
inline bool check_that(bool holds, const char *condition, const char *file, int line) noexcept {
  if (!holds) detail::Running::failed(condition, file, line);
  return holds;
}

#if PINTLE_EXCEPTIONS
/* Throws Error (PANIC, the condition and its place) where the condition does not hold: in place of assert, which would
 * end the host. Not for destructors. */
#define PINTLE_REQUIRE(...) ::pintle::require_that(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__)

/* The function behind PINTLE_REQUIRE. */
inline void require_that(bool holds, const char *condition, const char *file, int line) {
  if (holds) return;
  char text[detail::Running::text_size];
  detail::Running::words(text, condition, file, line);
  throw Error(PINTLE_PANIC, text);
}
#endif

/* A sink of the plugin's own: gives each piece to `take`, a function of Bytes that answers nothing or a pintle_status.
 * What it throws ends the call that the sink goes to (CANCELLED), and is thrown on by `check`:
 *
 *   pintle::Sink sink([&](pintle::Bytes piece) { file.write(piece.text()); });
 *   sink.check(cx, cx.storage().try_get("key", sink));
 *
 * Must outlive that call. Host calls from inside `take` answer REENTRANT. */
template <class Take>
class Sink {
 public:
  explicit Sink(Take take) : take_(std::move(take)) {}
  Sink(const Sink &) = delete;
  Sink &operator=(const Sink &) = delete;

  operator pintle_sink() noexcept {
    pintle_sink sink;
    sink.data = this;
    sink.write = write;
    return sink;
  }

#if PINTLE_EXCEPTIONS
  /* Throws what `take` threw; otherwise as Context::check. */
  void check(const Context &cx, pintle_status status);
  /* Throws what `take` threw, if it did. */
  void rethrow() {
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  }
#endif

 private:
  static pintle_status write(void *data, pintle_bytes piece) noexcept {
    Sink &self = *static_cast<Sink *>(data);
#if PINTLE_EXCEPTIONS
    try {
      return self.take(Bytes(piece));
    } catch (...) {
      self.thrown_ = std::current_exception();
      return PINTLE_CANCELLED;
    }
#else
    return self.take(Bytes(piece));
#endif
  }
  pintle_status take(Bytes piece) {
    if constexpr (std::is_void_v<std::invoke_result_t<Take &, Bytes>>) {
      take_(piece);
      return PINTLE_OK;
    } else {
      return take_(piece);
    }
  }

  Take take_;
#if PINTLE_EXCEPTIONS
  std::exception_ptr thrown_;
#endif
};

/* How bad it is; the numbers are those of PINTLE_LOG_…. */
enum class Level : std::uint32_t {
  trace = PINTLE_LOG_TRACE,
  debug = PINTLE_LOG_DEBUG,
  info = PINTLE_LOG_INFO,
  warn = PINTLE_LOG_WARN,
  error = PINTLE_LOG_ERROR,
  fatal = PINTLE_LOG_FATAL
};

namespace detail {

/* The levels as functions, for whoever has a `try_write(level, message, fields)`. A record that cannot be written is no
 * reason for its plugin to fail: these answer nothing. */
template <class Writer>
class Levels {
 public:
  void trace(std::string_view message, Fields fields = {}) const noexcept { write(Level::trace, message, fields); }
  void debug(std::string_view message, Fields fields = {}) const noexcept { write(Level::debug, message, fields); }
  void info(std::string_view message, Fields fields = {}) const noexcept { write(Level::info, message, fields); }
  void warn(std::string_view message, Fields fields = {}) const noexcept { write(Level::warn, message, fields); }
  void error(std::string_view message, Fields fields = {}) const noexcept { write(Level::error, message, fields); }
  void fatal(std::string_view message, Fields fields = {}) const noexcept { write(Level::fatal, message, fields); }
  void write(Level level, std::string_view message, Fields fields = {}) const noexcept {
    (void)static_cast<const Writer *>(this)->try_write(level, message, fields);
  }
};

/* What every part of a context has: the host, on whose behalf, and the plugin's own context for destructors. */
class Part {
 protected:
  Part(const pintle_host *host, pintle_ctx ctx, pintle_ctx own) noexcept : host_(host), ctx_(ctx), own_(own) {}
  Context context() const noexcept;
#if PINTLE_EXCEPTIONS
  void check(pintle_status status) const;
  /* What a call gives to a sink, as a string. False if the answer was NOT_FOUND. */
  template <class Call>
  bool collect(std::string &into, Call &&call) const;
  /* A page of keys from what `ask` gives to two sinks; and all pages, from one for each cursor. */
  template <class Ask>
  Page read_page(Ask &&ask) const;
  template <class Read>
  static std::vector<std::string> all_pages(Read &&read);
#endif

  const pintle_host *host_;
  pintle_ctx ctx_;
  pintle_ctx own_;
};

}  // namespace detail

/* A logger with preset fields; ended by its destructor. Outlives the context that it was made with: it writes as the
 * plugin, in the system scope. */
class Logger : public detail::Levels<Logger>, private detail::Part {
 public:
  Logger() noexcept : Part(nullptr, 0, 0) {}
  Logger(Logger &&from) noexcept : Part(from), handle_(std::exchange(from.handle_, 0)) {}
  Logger &operator=(Logger &&from) noexcept {
    if (this != &from) {
      end();
      static_cast<Part &>(*this) = from;
      handle_ = std::exchange(from.handle_, 0);
    }
    return *this;
  }
  ~Logger() { end(); }

  /* log.logger_write: a record that starts with the preset fields. STALE_HANDLE where it is empty. */
  pintle_status try_write(Level level, std::string_view message, Fields fields = {}) const noexcept {
    if (handle_ == 0) return PINTLE_STALE_HANDLE;
    return host_->log->logger_write(ctx_, handle_, static_cast<std::uint32_t>(level), detail::str(message),
                                    fields.begin(), fields.size());
  }
  /* Leaves the logger to the plugin's life, and forgets it. */
  pintle_logger detach() noexcept { return std::exchange(handle_, 0); }

 private:
  friend class Log;
  Logger(const Part &part, pintle_ctx own, pintle_logger handle) noexcept : Part(part), handle_(handle) { ctx_ = own; }
  void end() noexcept {
    if (handle_ != 0) (void)host_->log->logger_free(own_, handle_);
    handle_ = 0;
  }

  pintle_logger handle_ = 0;
};

/* Structured log records. Nothing here ever waits. */
class Log : public detail::Levels<Log>, private detail::Part {
 public:
  /* log.write: a record of at most 64 fields. OK also when its level is disabled. */
  pintle_status try_write(Level level, std::string_view message, Fields fields = {}) const noexcept {
    return host_->log->write(ctx_, static_cast<std::uint32_t>(level), detail::str(message), fields.begin(),
                             fields.size());
  }
  /* log.enabled: would a record of this level be written? For fields that are dear to make. False where the context is
   * over. */
  bool enabled(Level level) const noexcept {
    std::uint32_t yes = 0;
    return host_->log->enabled(ctx_, static_cast<std::uint32_t>(level), &yes) == PINTLE_OK && yes != 0;
  }
  /* log.logger_new: a logger whose records begin with these fields, which are copied. */
  [[nodiscard]] pintle_status try_with(Fields fields, Logger &logger) const noexcept {
    pintle_logger handle = 0;
    const pintle_status status = host_->log->logger_new(ctx_, fields.begin(), fields.size(), &handle);
    if (status == PINTLE_OK) logger = Logger(*this, own_, handle);
    return status;
  }
#if PINTLE_EXCEPTIONS
  [[nodiscard]] Logger with(Fields fields) const {
    Logger logger;
    check(try_with(fields, logger));
    return logger;
  }
#endif

 private:
  friend class Context;
  explicit Log(const Part &part) noexcept : Part(part) {}
};

/* The plugin's settings, by JSON pointers ("/limits/high"; "" is the whole). They never block. */
class Config : private detail::Part {
 public:
  /* config.get: the value as JSON text. */
  [[nodiscard]] pintle_status try_json(std::string_view pointer, pintle_sink out) const noexcept {
    return host_->config->get(ctx_, detail::str(pointer), out);
  }
  /* config.text: a string, without quotes and escapes. */
  [[nodiscard]] pintle_status try_text(std::string_view pointer, pintle_sink out) const noexcept {
    return host_->config->text(ctx_, detail::str(pointer), out);
  }
  /* config.integer */
  [[nodiscard]] pintle_status try_integer(std::string_view pointer, std::int64_t &value) const noexcept {
    return host_->config->integer(ctx_, detail::str(pointer), &value);
  }
  /* config.number: integers are converted. */
  [[nodiscard]] pintle_status try_number(std::string_view pointer, double &value) const noexcept {
    return host_->config->number(ctx_, detail::str(pointer), &value);
  }
  /* config.boolean */
  [[nodiscard]] pintle_status try_boolean(std::string_view pointer, bool &value) const noexcept {
    std::uint32_t yes = 0;
    const pintle_status status = host_->config->boolean(ctx_, detail::str(pointer), &yes);
    if (status == PINTLE_OK) value = yes != 0;
    return status;
  }

#if PINTLE_EXCEPTIONS
  /* These throw NOT_FOUND too: a default belongs into the manifest's schema, and then the value is there. */
  std::string json(std::string_view pointer) const {
    std::string value;
    if (!collect(value, [&](pintle_sink out) { return try_json(pointer, out); })) check(PINTLE_NOT_FOUND);
    return value;
  }
  std::string text(std::string_view pointer) const {
    std::string value;
    if (!collect(value, [&](pintle_sink out) { return try_text(pointer, out); })) check(PINTLE_NOT_FOUND);
    return value;
  }
  std::int64_t integer(std::string_view pointer) const {
    std::int64_t value = 0;
    check(try_integer(pointer, value));
    return value;
  }
  double number(std::string_view pointer) const {
    double value = 0;
    check(try_number(pointer, value));
    return value;
  }
  bool boolean(std::string_view pointer) const {
    bool value = false;
    check(try_boolean(pointer, value));
    return value;
  }
#endif

 private:
  friend class Context;
  explicit Config(const Part &part) noexcept : Part(part) {}
};

/* When Cache::expire changes a lifetime: `if_later` only ever prolongs it, `if_earlier` only ever cuts it. What does not
 * expire is later than all. */
enum class Expire : std::uint32_t {
  always = PINTLE_EXPIRE_ALWAYS,
  if_none = PINTLE_EXPIRE_IF_NONE,
  if_set = PINTLE_EXPIRE_IF_SET,
  if_later = PINTLE_EXPIRE_IF_LATER,
  if_earlier = PINTLE_EXPIRE_IF_EARLIER
};

/* One page of keys. `next` is empty after the last. */
struct Page {
  std::vector<std::string> keys;
  std::string next;
};

/* How an item of the cache is to be kept; nothing said: as long as the host's settings say, and whatever is there. */
struct CacheOptions {
  /* How long it is fresh, above zero, or `forever`. */
  std::optional<std::chrono::milliseconds> lifetime = {};
  /* An item that is there keeps its lifetime and spans. */
  bool keep_lifetime = false;
  /* CONFLICT where the item is there. */
  bool if_absent = false;
  /* CONFLICT where the item has another version; 0: where it is there. */
  std::optional<std::uint64_t> if_version = {};
  /* How long after its lifetime it is still given while somebody loads it anew, and to whoever could not load it. */
  std::chrono::milliseconds stale{0};
  std::chrono::milliseconds errors{0};
  /* At most 16, by which it can be invalidated; what they show must outlive the options. */
  std::vector<std::string_view> tags = {};
};

namespace detail {

/* CacheOptions as C has them, with room for as many tags as there may be, and one that is too many. */
struct RawCacheOptions {
  static constexpr std::size_t most = 17;
  pintle_str tags[most];
  pintle_cache_options raw = {};

  explicit RawCacheOptions(const CacheOptions &options) noexcept {
    raw.size = static_cast<std::uint32_t>(sizeof raw);
    raw.flags = (options.lifetime ? PINTLE_CACHE_TTL : 0) | (options.keep_lifetime ? PINTLE_CACHE_KEEP_TTL : 0) |
                (options.if_absent ? PINTLE_CACHE_IF_ABSENT : 0) | (options.if_version ? PINTLE_CACHE_IF_VERSION : 0);
    raw.ttl_ms = options.lifetime ? detail::lifetime(*options.lifetime) : 0;
    raw.stale_ms = count(options.stale);
    raw.error_ms = count(options.errors);
    raw.version = options.if_version.value_or(0);
    for (const std::string_view tag : options.tags) {
      if (raw.tag_count == most) break;
      tags[raw.tag_count++] = str(tag);
    }
    raw.tags = raw.tag_count == 0 ? nullptr : tags;
  }
  RawCacheOptions(const RawCacheOptions &) = delete;
  RawCacheOptions &operator=(const RawCacheOptions &) = delete;
};

}  // namespace detail

/* One namespace of the volatile items of the plugin and the context's tenant; its name is borrowed. Nothing blocks where
 * the host's settings name no back end. Lifetimes are above zero, or `forever`; where none is given the host's settings
 * say, 1 hour by default. Reading and writing many items in one call, and leases, have no form of their own here: they are
 * those of plugin.h, as `cx.host()->cache` with `cx.raw()`. */
class Cache : private detail::Part {
 public:
  using Lifetime = std::optional<std::chrono::milliseconds>;

  /* cache.get: the bytes, or the digits of an integer. `info` may be null; set its size. */
  [[nodiscard]] pintle_status try_get(std::string_view key, pintle_sink out,
                                      pintle_cache_info *info = nullptr) const noexcept {
    return PINTLE_ASK_(cache, get, ctx_, detail::str(ns_), detail::str(key), out, info);
  }
  /* cache.get_into: for hot paths. BUFFER_TOO_SMALL writes the needed length to `len` and nothing to `to`. */
  [[nodiscard]] pintle_status try_get_into(std::string_view key, void *to, std::size_t room, std::size_t &len,
                                           pintle_cache_info *info = nullptr) const noexcept {
    return PINTLE_ASK_(cache, get_into, ctx_, detail::str(ns_), detail::str(key), static_cast<std::uint8_t *>(to), room,
                       &len, info);
  }
  /* cache.set: writes bytes, at most 1 MiB, and the lifetime anew. */
  [[nodiscard]] pintle_status try_set(std::string_view key, Bytes value, Lifetime lifetime = {}) const noexcept {
    const pintle_cache_options options = kept(lifetime);
    return PINTLE_ASK_(cache, set, ctx_, detail::str(ns_), detail::str(key), value.raw(), &options);
  }
  /* cache.set with more to say. */
  [[nodiscard]] pintle_status try_set_with(std::string_view key, Bytes value,
                                           const CacheOptions &options) const noexcept {
    const detail::RawCacheOptions said(options);
    return PINTLE_ASK_(cache, set, ctx_, detail::str(ns_), detail::str(key), value.raw(), &said.raw);
  }
  /* cache.set_absent: notes for a while that there is no such thing. */
  [[nodiscard]] pintle_status try_set_absent(std::string_view key, const CacheOptions &options = {}) const noexcept {
    const detail::RawCacheOptions said(options);
    return PINTLE_ASK_(cache, set_absent, ctx_, detail::str(ns_), detail::str(key), &said.raw);
  }
  /* pintle_cache_get_or_load: reads an item into `value`, or has `load` load it, once, however many ask for it at the same
   * time. `load` is a function of (const Context &, Buffer &) that writes the item there and answers nothing, or a
   * pintle_status: NOT_FOUND says that there is nothing. What it throws is thrown on, unless the old item stands in. */
  template <class Load>
  [[nodiscard]] pintle_status try_get_or_load(std::string_view key, Load &&load, Buffer &value,
                                              const CacheOptions &options = {}) const;
  /* cache.invalidate: removes what a pattern matches; `count` gets how many there were. */
  [[nodiscard]] pintle_status try_invalidate(std::string_view pattern, std::uint64_t &count) const noexcept {
    return PINTLE_ASK_(cache, invalidate, ctx_, detail::str(ns_), detail::str(pattern), &count);
  }
  /* cache.clear: removes every item of this namespace and scope. */
  [[nodiscard]] pintle_status try_clear(std::uint64_t &removed) const noexcept {
    return PINTLE_ASK_(cache, clear, ctx_, detail::str(ns_), &removed);
  }
  /* cache.keys: a page of keys in no order, each followed by a NUL. `limit` 1 to 1,000; 0: 100. */
  [[nodiscard]] pintle_status try_keys(std::string_view prefix, std::string_view cursor, std::uint32_t limit,
                                       pintle_sink out, pintle_sink next) const noexcept {
    return PINTLE_ASK_(cache, keys, ctx_, detail::str(ns_), detail::str(prefix), detail::str(cursor), limit, out, next);
  }
  /* cache.remove: no failure if it is not there. */
  [[nodiscard]] pintle_status try_remove(std::string_view key, bool &existed) const noexcept {
    return told(existed, [&](std::uint32_t *yes) {
      return PINTLE_ASK_(cache, remove, ctx_, detail::str(ns_), detail::str(key), yes);
    });
  }
  /* cache.exists */
  [[nodiscard]] pintle_status try_exists(std::string_view key, bool &exists) const noexcept {
    return told(exists, [&](std::uint32_t *yes) {
      return PINTLE_ASK_(cache, exists, ctx_, detail::str(ns_), detail::str(key), yes);
    });
  }
  /* cache.incr: adds in one step; a missing item counts from 0. The lifetime counts only where the item is created. */
  [[nodiscard]] pintle_status try_incr(std::string_view key, std::int64_t delta, std::int64_t &sum,
                                       Lifetime lifetime = {}) const noexcept {
    const pintle_cache_options options = kept(lifetime);
    return PINTLE_ASK_(cache, incr, ctx_, detail::str(ns_), detail::str(key), delta, &options, &sum);
  }
  /* cache.expire: `forever` ends its expiry, zero and less remove it now. CONFLICT where the condition does not hold;
   * then, and on OK, `existed` is written. */
  [[nodiscard]] pintle_status try_expire(std::string_view key, std::chrono::milliseconds lifetime, Expire condition,
                                         bool &existed) const noexcept {
    std::uint32_t yes = 0;
    const std::int64_t ms = lifetime == forever ? 0 : (detail::count(lifetime) <= 0 ? -1 : detail::count(lifetime));
    const pintle_status status = PINTLE_ASK_(cache, expire, ctx_, detail::str(ns_), detail::str(key), ms,
                                             static_cast<std::uint32_t>(condition), &yes);
    if (status == PINTLE_OK || status == PINTLE_CONFLICT) existed = yes != 0;
    return status;
  }
  /* cache.ttl: how long it still lives, `forever` if it does not expire. */
  [[nodiscard]] pintle_status try_ttl(std::string_view key, std::chrono::milliseconds &left) const noexcept {
    std::int64_t ms = 0;
    const pintle_status status = PINTLE_ASK_(cache, ttl, ctx_, detail::str(ns_), detail::str(key), &ms);
    if (status == PINTLE_OK) left = std::chrono::milliseconds(ms);
    return status;
  }

#if PINTLE_EXCEPTIONS
  /* nullopt where the item is not there. */
  std::optional<std::string> get(std::string_view key) const {
    std::string value;
    if (!collect(value, [&](pintle_sink out) { return try_get(key, out); })) return std::nullopt;
    return value;
  }
  void set(std::string_view key, Bytes value, Lifetime lifetime = {}) const { check(try_set(key, value, lifetime)); }
  void set_with(std::string_view key, Bytes value, const CacheOptions &options) const {
    check(try_set_with(key, value, options));
  }
  void set_absent(std::string_view key, const CacheOptions &options = {}) const { check(try_set_absent(key, options)); }
  /* As try_get_or_load; nullopt where there is nothing, and nothing to be loaded. */
  template <class Load>
  std::optional<std::string> get_or_load(std::string_view key, Load &&load, const CacheOptions &options = {}) const {
    Buffer value;
    const pintle_status status = try_get_or_load(key, std::forward<Load>(load), value, options);
    if (status == PINTLE_NOT_FOUND) return std::nullopt;
    check(status);
    return std::string(value.text());
  }
  /* How many there were. So for both. */
  std::uint64_t invalidate(std::string_view pattern) const {
    std::uint64_t removed = 0;
    check(try_invalidate(pattern, removed));
    return removed;
  }
  std::uint64_t clear() const {
    std::uint64_t removed = 0;
    check(try_clear(removed));
    return removed;
  }
  /* At most `limit` keys with this prefix, from the first on or from where the last page's `next` says. */
  Page page(std::string_view prefix, std::string_view cursor = {}, std::uint32_t limit = 0) const {
    return read_page([&](pintle_sink out, pintle_sink next) { return try_keys(prefix, cursor, limit, out, next); });
  }
  /* All keys with this prefix, page by page: those that come or go meanwhile may be among them or not. */
  std::vector<std::string> keys(std::string_view prefix) const {
    return all_pages([&](std::string_view cursor) { return page(prefix, cursor, 1000); });
  }
  /* True if it was there. */
  bool remove(std::string_view key) const {
    bool existed = false;
    check(try_remove(key, existed));
    return existed;
  }
  bool exists(std::string_view key) const {
    bool is_there = false;
    check(try_exists(key, is_there));
    return is_there;
  }
  /* The sum. */
  std::int64_t incr(std::string_view key, std::int64_t delta = 1, Lifetime lifetime = {}) const {
    std::int64_t sum = 0;
    check(try_incr(key, delta, sum, lifetime));
    return sum;
  }
  /* True if the lifetime was changed: false where the item is not there or the condition does not hold. */
  bool expire(std::string_view key, std::chrono::milliseconds lifetime, Expire condition = Expire::always) const {
    bool existed = false;
    const pintle_status status = try_expire(key, lifetime, condition, existed);
    if (status == PINTLE_CONFLICT) return false;
    check(status);
    return existed;
  }
  /* nullopt where the item is not there, `forever` where it does not expire. */
  std::optional<std::chrono::milliseconds> ttl(std::string_view key) const {
    std::chrono::milliseconds left{};
    const pintle_status status = try_ttl(key, left);
    if (status == PINTLE_NOT_FOUND) return std::nullopt;
    check(status);
    return left;
  }
#endif

 private:
  friend class Context;
  Cache(const Part &part, std::string_view ns) noexcept : Part(part), ns_(ns) {}
  static pintle_cache_options kept(Lifetime lifetime) noexcept {
    pintle_cache_options options = {};
    options.size = static_cast<std::uint32_t>(sizeof options);
    if (lifetime) {
      options.flags = PINTLE_CACHE_TTL;
      options.ttl_ms = detail::lifetime(*lifetime);
    }
    return options;
  }
  template <class Ask>
  static pintle_status told(bool &answer, Ask &&ask) noexcept {
    std::uint32_t yes = 0;
    const pintle_status status = ask(&yes);
    if (status == PINTLE_OK) answer = yes != 0;
    return status;
  }

  std::string_view ns_;
};

/* An item of the storage, with what the host knows of it. Times are milliseconds since 1970-01-01 UTC. */
struct Item {
  std::string value;
  std::uint64_t version = 0;
  std::int64_t created_ms = 0;
  std::int64_t updated_ms = 0;
  /* How long it is still there; `forever` if it does not expire. */
  std::chrono::milliseconds left = forever;
};

/* How an item of the storage is to be written; nothing said: for ever, and whatever is there. */
struct StorageOptions {
  /* How long it lives, above zero, or `forever`. */
  std::optional<std::chrono::milliseconds> lifetime = {};
  /* An item that is there keeps the lifetime that it has; not together with `lifetime`. */
  bool keep_lifetime = false;
  /* Only if the item has this version; 0: only if it is not there. CONFLICT otherwise. */
  std::optional<std::uint64_t> if_version = {};
  /* The value must be one JSON text, else INVALID_ARGUMENT: for what comes from elsewhere. */
  bool json = false;

  pintle_storage_options raw() const noexcept {
    pintle_storage_options options = {};
    options.size = static_cast<std::uint32_t>(sizeof options);
    options.flags = (lifetime ? PINTLE_STORAGE_TTL : 0) | (keep_lifetime ? PINTLE_STORAGE_KEEP_TTL : 0) |
                    (if_version ? PINTLE_STORAGE_IF_VERSION : 0) | (json ? PINTLE_STORAGE_JSON : 0);
    options.if_version = if_version.value_or(0);
    options.ttl_ms = lifetime ? detail::lifetime(*lifetime) : 0;
    return options;
  }
};

class Batch;
class Watch;

/* The durable items of the plugin and the context's tenant. Writing blocks until it is on disk, reading while the disk
 * reads. Writes in the constructor, `load` and `restore` are UNAVAILABLE. What has expired is not there. */
class Storage : private detail::Part {
 public:
  /* storage.get; `info` may be null; set its size. */
  [[nodiscard]] pintle_status try_get(std::string_view key, pintle_sink out,
                                      pintle_storage_info *info = nullptr) const noexcept {
    return PINTLE_ASK_(storage, get, ctx_, detail::str(key), out, info);
  }
  /* storage.get_into: for hot paths. BUFFER_TOO_SMALL writes the needed length to `len` and nothing to `to`. */
  [[nodiscard]] pintle_status try_get_into(std::string_view key, void *to, std::size_t room, std::size_t &len,
                                           pintle_storage_info *info = nullptr) const noexcept {
    return PINTLE_ASK_(storage, get_into, ctx_, detail::str(key), static_cast<std::uint8_t *>(to), room, &len, info);
  }
  /* storage.set; gives the item's new version, and on CONFLICT the one that it has. */
  [[nodiscard]] pintle_status try_set(std::string_view key, Bytes value, std::uint64_t &version,
                                      const StorageOptions &options = {}) const noexcept {
    const pintle_storage_options raw = options.raw();
    return PINTLE_ASK_(storage, set, ctx_, detail::str(key), value.raw(), &raw, &version);
  }
  /* storage.set where the item has the version `expected` (0: is not there). CONFLICT otherwise; then `version` is the
   * one that it has. */
  [[nodiscard]] pintle_status try_set_if(std::string_view key, Bytes value, std::uint64_t expected,
                                         std::uint64_t &version) const noexcept {
    StorageOptions options;
    options.if_version = expected;
    return try_set(key, value, version, options);
  }
  /* storage.incr: adds to the decimal text of an integer, in one step; a missing item counts from 0. The lifetime counts
   * only where the item is created. `version` may be null; it gets what try_set gives. */
  [[nodiscard]] pintle_status try_incr(std::string_view key, std::int64_t delta, std::int64_t &sum,
                                       const StorageOptions &options = {},
                                       std::uint64_t *version = nullptr) const noexcept {
    const pintle_storage_options raw = options.raw();
    return PINTLE_ASK_(storage, incr, ctx_, detail::str(key), delta, &raw, &sum, version);
  }
  /* storage.expire: `forever` ends its expiry, zero and less remove it now. It is a write. */
  [[nodiscard]] pintle_status try_expire(std::string_view key, std::chrono::milliseconds lifetime,
                                         bool &existed) const noexcept {
    std::uint32_t yes = 0;
    const std::int64_t ms = lifetime == forever ? 0 : (detail::count(lifetime) <= 0 ? -1 : detail::count(lifetime));
    const pintle_status status = PINTLE_ASK_(storage, expire, ctx_, detail::str(key), ms, &yes);
    if (status == PINTLE_OK) existed = yes != 0;
    return status;
  }
  /* storage.remove: no failure if it is not there. */
  [[nodiscard]] pintle_status try_remove(std::string_view key, bool &existed) const noexcept {
    std::uint32_t yes = 0;
    const pintle_status status = PINTLE_ASK_(storage, remove, ctx_, detail::str(key), &yes);
    if (status == PINTLE_OK) existed = yes != 0;
    return status;
  }
  /* storage.exists */
  [[nodiscard]] pintle_status try_exists(std::string_view key, bool &exists) const noexcept {
    std::uint32_t yes = 0;
    const pintle_status status = PINTLE_ASK_(storage, exists, ctx_, detail::str(key), &yes);
    if (status == PINTLE_OK) exists = yes != 0;
    return status;
  }
  /* storage.keys: a page of keys in byte order, each followed by a NUL. `limit` 1 to 1,000; 0: 100. */
  [[nodiscard]] pintle_status try_keys(std::string_view prefix, std::string_view cursor, std::uint32_t limit,
                                       pintle_sink out, pintle_sink next) const noexcept {
    return PINTLE_ASK_(storage, keys, ctx_, detail::str(prefix), detail::str(cursor), limit, out, next);
  }
  /* storage.clear: removes every item of this scope, and of no other. */
  [[nodiscard]] pintle_status try_clear(std::uint64_t &removed) const noexcept {
    return PINTLE_ASK_(storage, clear, ctx_, &removed);
  }
  /* storage.stats: what this scope has. */
  [[nodiscard]] pintle_status try_stats(pintle_storage_stats &stats) const noexcept {
    stats.size = static_cast<std::uint32_t>(sizeof stats);
    return PINTLE_ASK_(storage, stats, ctx_, &stats);
  }
  /* storage.watch: calls a handler after each change of an item whose key begins with `prefix`, from now on, or from
   * behind the version `after` on (0: with every item that is there). The handler is as for events, with const Change &
   * in the place of the event; nobody reads its reply. */
  template <class Handler>
  [[nodiscard]] pintle_status try_watch(std::string_view prefix, Handler handler, Watch &watch,
                                        std::optional<std::uint64_t> after = {}) const;
  /* storage.batch: steps that happen in one commit, all of them or none. */
  Batch batch() const;

#if PINTLE_EXCEPTIONS
  /* nullopt where the item is not there. */
  std::optional<std::string> get(std::string_view key) const {
    std::string value;
    if (!collect(value, [&](pintle_sink out) { return try_get(key, out); })) return std::nullopt;
    return value;
  }
  /* With its version and times; nullopt where the item is not there. */
  std::optional<Item> item(std::string_view key) const {
    Item item;
    pintle_storage_info info = {};
    info.size = static_cast<std::uint32_t>(sizeof info);
    if (!collect(item.value, [&](pintle_sink out) { return try_get(key, out, &info); })) return std::nullopt;
    item.version = info.version;
    item.created_ms = info.created_ms;
    item.updated_ms = info.updated_ms;
    item.left = std::chrono::milliseconds(info.ttl_ms);
    return item;
  }
  /* The item's new version. */
  std::uint64_t set(std::string_view key, Bytes value, const StorageOptions &options = {}) const {
    std::uint64_t version = 0;
    check(try_set(key, value, version, options));
    return version;
  }
  /* The sum. */
  std::int64_t incr(std::string_view key, std::int64_t delta = 1, const StorageOptions &options = {}) const {
    std::int64_t sum = 0;
    check(try_incr(key, delta, sum, options));
    return sum;
  }
  /* True if it was there. */
  bool expire(std::string_view key, std::chrono::milliseconds lifetime) const {
    bool existed = false;
    check(try_expire(key, lifetime, existed));
    return existed;
  }
  /* As try_set_if; throws CONFLICT. */
  std::uint64_t set_if(std::string_view key, Bytes value, std::uint64_t expected) const {
    std::uint64_t version = 0;
    check(try_set_if(key, value, expected, version));
    return version;
  }
  /* True if it was there. */
  bool remove(std::string_view key) const {
    bool existed = false;
    check(try_remove(key, existed));
    return existed;
  }
  bool exists(std::string_view key) const {
    bool is_there = false;
    check(try_exists(key, is_there));
    return is_there;
  }
  /* At most `limit` keys with this prefix, from the first on or from where the last page's `next` says. */
  Page page(std::string_view prefix, std::string_view cursor = {}, std::uint32_t limit = 0) const {
    return read_page([&](pintle_sink out, pintle_sink next) { return try_keys(prefix, cursor, limit, out, next); });
  }
  /* All keys with this prefix, page by page: those that come or go meanwhile may be among them or not. */
  std::vector<std::string> keys(std::string_view prefix) const {
    return all_pages([&](std::string_view cursor) { return page(prefix, cursor, 1000); });
  }
  /* How many there were. */
  std::uint64_t clear() const {
    std::uint64_t removed = 0;
    check(try_clear(removed));
    return removed;
  }
  pintle_storage_stats stats() const {
    pintle_storage_stats told = {};
    check(try_stats(told));
    return told;
  }
  /* The watch ends with what is returned: keep it, or `detach` it. OUT_OF_RANGE where removals after that version are
   * forgotten: begin with 0. */
  template <class Handler>
  [[nodiscard]] Watch watch(std::string_view prefix, Handler handler, std::optional<std::uint64_t> after = {}) const;
#endif

 private:
  friend class Context;
  explicit Storage(const Part &part) noexcept : Part(part) {}
};

/* A value to be bound to a placeholder, by its type: nullopt, integers, floating point, text, and Bytes or
 * std::vector<std::uint8_t> for a blob. Borrows what it is made from. An unsigned 64-bit number must be cast: SQL has none. */
class SqlValue : public pintle_sql_value {
 public:
  SqlValue(std::nullopt_t = std::nullopt) noexcept : pintle_sql_value(pintle_sql_null()) {}
  SqlValue(std::string_view text) noexcept : pintle_sql_value(pintle_sql_text(detail::str(text))) {}
  SqlValue(const std::string &text) noexcept : SqlValue(std::string_view(text)) {}
  /* Null is NULL. */
  SqlValue(const char *text) noexcept : pintle_sql_value(pintle_sql_null()) {
    if (text != nullptr) *this = SqlValue(std::string_view(text));
  }
  SqlValue(std::nullptr_t) = delete;
  SqlValue(Bytes blob) noexcept : pintle_sql_value(pintle_sql_blob(blob.raw())) {}
  SqlValue(const std::vector<std::uint8_t> &blob) noexcept : SqlValue(Bytes(blob)) {}
  template <class Number, class = std::enable_if_t<std::is_arithmetic_v<Number>>>
  SqlValue(Number number) noexcept : pintle_sql_value(of(number)) {
    static_assert(std::is_floating_point_v<Number> || std::is_signed_v<Number> || sizeof(Number) < 8,
                  "SQL has no unsigned 64-bit integers: cast to std::int64_t");
  }
  template <class T>
  SqlValue(const std::optional<T> &value) noexcept : SqlValue() {
    if (value) *this = SqlValue(*value);
  }

 private:
  template <class Number>
  static pintle_sql_value of(Number number) noexcept {
    if constexpr (std::is_floating_point_v<Number>) {
      return pintle_sql_real(static_cast<double>(number));
    } else {
      return pintle_sql_int(static_cast<std::int64_t>(number));
    }
  }
};
static_assert(sizeof(SqlValue) == sizeof(pintle_sql_value), "an array of one is an array of the other");

/* The values of a statement. */
using SqlValues = std::initializer_list<SqlValue>;

/* A row, lent to the function that takes it: what it shows ends with that function. Columns count from 0. */
class SqlRow {
 public:
  std::size_t size() const noexcept { return count_; }
  /* PINTLE_SQL_NULL to PINTLE_SQL_BLOB; NULL also where there is no such column. */
  std::uint32_t kind(std::size_t column) const noexcept { return raw(column).kind; }
  bool is_null(std::size_t column) const noexcept { return kind(column) == PINTLE_SQL_NULL; }
  pintle_sql_value raw(std::size_t column) const noexcept {
    return column < count_ ? values_[column] : pintle_sql_null();
  }
  /* A column as an integer, bool, double, std::string_view, std::string or Bytes, or a std::optional of one, which takes NULL.
   * WRONG_TYPE where it is of another kind (an INTEGER is taken for a double), OUT_OF_RANGE where there is no such column, or
   * the number does not fit; then nothing is written. */
  template <class T>
  [[nodiscard]] pintle_status try_get(std::size_t column, T &value) const {
    if (column >= count_) return PINTLE_OUT_OF_RANGE;
    return read(values_[column], value);
  }
#if PINTLE_EXCEPTIONS
  template <class T>
  T get(std::size_t column) const {
    T value{};
    const pintle_status status = try_get(column, value);
    if (status == PINTLE_OUT_OF_RANGE && column >= count_)
      throw Error(status, "the row has " + std::to_string(count_) + " columns, and none has the number " + std::to_string(column));
    if (status != PINTLE_OK)
      throw Error(status, "column " + std::to_string(column) + " is " + word(kind(column)) + ", and cannot be read as what was asked for");
    return value;
  }
#endif

  /* For this header's own use. */
  SqlRow(const pintle_sql_value *values, std::size_t count) noexcept : values_(values), count_(count) {}

 private:
  static const char *word(std::uint32_t kind) noexcept {
    static constexpr const char *words[] = {"NULL", "an INTEGER", "a REAL", "a TEXT", "a BLOB"};
    return kind < 5 ? words[kind] : "of an unknown kind";
  }
  template <class T>
  static pintle_status read(const pintle_sql_value &from, std::optional<T> &to) {
    if (from.kind == PINTLE_SQL_NULL) {
      to.reset();
      return PINTLE_OK;
    }
    T value{};
    const pintle_status status = read(from, value);
    if (status == PINTLE_OK) to = std::move(value);
    return status;
  }
  template <class Number>
  static std::enable_if_t<std::is_arithmetic_v<Number>, pintle_status> read(const pintle_sql_value &from, Number &to) noexcept {
    if constexpr (std::is_floating_point_v<Number>) {
      double real = 0;
      const pintle_status status = pintle_sql_get_real(&from, &real);
      if (status == PINTLE_OK) to = static_cast<Number>(real);
      return status;
    } else if constexpr (std::is_same_v<Number, bool>) {
      if (from.kind == PINTLE_SQL_INTEGER) to = from.integer != 0;
      return from.kind == PINTLE_SQL_INTEGER ? PINTLE_OK : PINTLE_WRONG_TYPE;
    } else {
      if (from.kind != PINTLE_SQL_INTEGER) return PINTLE_WRONG_TYPE;
      const Number number = static_cast<Number>(from.integer);
      if (static_cast<std::int64_t>(number) != from.integer || (number < Number()) != (from.integer < 0)) return PINTLE_OUT_OF_RANGE;
      to = number;
      return PINTLE_OK;
    }
  }
  static pintle_status read(const pintle_sql_value &from, std::string_view &to) noexcept {
    pintle_str text = pintle_strn(nullptr, 0);
    const pintle_status status = pintle_sql_get_text(&from, &text);
    if (status == PINTLE_OK) to = detail::view(text);
    return status;
  }
  static pintle_status read(const pintle_sql_value &from, std::string &to) {
    std::string_view text;
    const pintle_status status = read(from, text);
    if (status == PINTLE_OK) to = text;
    return status;
  }
  static pintle_status read(const pintle_sql_value &from, Bytes &to) noexcept {
    if (from.kind != PINTLE_SQL_BLOB) return PINTLE_WRONG_TYPE;
    to = Bytes(from.bytes);
    return PINTLE_OK;
  }

  const pintle_sql_value *values_;
  std::size_t count_;
};

/* Takes rows for the `try_` forms: gives each to `take`, a function of const SqlRow & that answers nothing or a pintle_status.
 * What it throws ends the query, whose changes are undone, and is thrown on by `check`:
 *
 *   pintle::SqlRows rows([&](const pintle::SqlRow &row) { names.push_back(row.get<std::string>(0)); });
 *   rows.check(cx, cx.database().try_query("SELECT name FROM people", {}, rows));
 *
 * Must outlive that call. Host calls from inside `take` answer REENTRANT. */
template <class Take>
class SqlRows {
 public:
  explicit SqlRows(Take take) : take_(std::move(take)) {}
  SqlRows(const SqlRows &) = delete;
  SqlRows &operator=(const SqlRows &) = delete;

  operator pintle_sql_rows() noexcept { return pintle_sql_each(row, this); }

#if PINTLE_EXCEPTIONS
  /* Throws what `take` threw; otherwise as Context::check. */
  void check(const Context &cx, pintle_status status);
  /* Throws what `take` threw, if it did. */
  void rethrow() {
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  }
#endif

 private:
  static pintle_status row(void *data, const pintle_sql_value *values, std::size_t count) noexcept {
    SqlRows &self = *static_cast<SqlRows *>(data);
#if PINTLE_EXCEPTIONS
    try {
      return self.take(SqlRow(values, count));
    } catch (...) {
      self.thrown_ = std::current_exception();
      return PINTLE_CANCELLED;
    }
#else
    return self.take(SqlRow(values, count));
#endif
  }
  pintle_status take(const SqlRow &row) {
    if constexpr (std::is_void_v<std::invoke_result_t<Take &, const SqlRow &>>) {
      take_(row);
      return PINTLE_OK;
    } else {
      return take_(row);
    }
  }

  Take take_;
#if PINTLE_EXCEPTIONS
  std::exception_ptr thrown_;
#endif
};

/* How a statement is to be run; nothing said: as the host's settings say. */
struct SqlOptions {
  std::optional<std::chrono::milliseconds> timeout = {};
  std::uint64_t max_rows = 0;

  /* As C has them. */
  pintle_sql_options raw() const noexcept {
    pintle_sql_options raw = {};
    raw.size = static_cast<std::uint32_t>(sizeof raw);
    raw.timeout_ms = detail::wait(timeout);
    raw.max_rows = max_rows;
    return raw;
  }
};

/* How a transaction is to be begun; nothing said: it writes, and has the times of the host's settings. */
struct TransactionOptions {
  bool read_only = false;
  std::optional<std::chrono::milliseconds> wait = {};
  std::optional<std::chrono::milliseconds> timeout = {};

  /* As C has them. */
  pintle_transaction_options raw() const noexcept {
    pintle_transaction_options raw = {};
    raw.size = static_cast<std::uint32_t>(sizeof raw);
    raw.flags = read_only ? PINTLE_TRANSACTION_READ_ONLY : 0;
    raw.wait_ms = detail::wait(wait);
    raw.timeout_ms = detail::wait(timeout);
    return raw;
  }
};

/* One step of a database's history. Borrows its name and its SQL. */
struct Migration : pintle_migration {
  Migration(std::uint32_t version, std::string_view label, std::string_view statements) noexcept : pintle_migration{} {
    size = static_cast<std::uint32_t>(sizeof(pintle_migration));
    number = version;
    name = detail::str(label);
    sql = detail::str(statements);
  }
};
static_assert(sizeof(Migration) == sizeof(pintle_migration), "an array of one is an array of the other");

/* A statement that failed in the database itself: with SQLite's (extended) code, 0 if it did not get there, and which byte of
 * the SQL it is about, -1 if none in particular. */
class SqlError : public Error {
 public:
  SqlError(pintle_status status, const std::string &text, std::uint32_t code, std::int64_t offset)
      : Error(status, text), code_(code), offset_(offset) {}
  std::uint32_t code() const noexcept { return code_; }
  std::int64_t offset() const noexcept { return offset_; }

 private:
  std::uint32_t code_;
  std::int64_t offset_;
};

class Transaction;

namespace detail {

/* Statements, in a transaction or (`tx_` is 0) each by itself. `info` tells what one did; null: nobody asks. */
class Statements : protected Part {
 public:
  /* database.execute */
  [[nodiscard]] pintle_status try_execute(std::string_view sql, SqlValues values = {}, pintle_sql_info *info = nullptr,
                                          const SqlOptions &options = {}) const noexcept {
    const pintle_sql_options raw = options.raw();
    if (info != nullptr) start(*info);
    return PINTLE_ASK_(database, execute, ctx_, tx_, str(sql), values.begin(), values.size(), &raw, info);
  }
  /* database.query: each row goes to `rows`, a SqlRows or one made by hand. */
  [[nodiscard]] pintle_status try_query(std::string_view sql, SqlValues values, pintle_sql_rows rows,
                                        pintle_sql_info *info = nullptr, const SqlOptions &options = {}) const noexcept {
    const pintle_sql_options raw = options.raw();
    if (info != nullptr) start(*info);
    return PINTLE_ASK_(database, query, ctx_, tx_, str(sql), values.begin(), values.size(), rows, &raw, info);
  }
  /* database.query_one: NOT_FOUND without a row, TOO_LARGE with more than one. */
  [[nodiscard]] pintle_status try_query_one(std::string_view sql, SqlValues values, pintle_sql_rows rows,
                                            pintle_sql_info *info = nullptr, const SqlOptions &options = {}) const noexcept {
    const pintle_sql_options raw = options.raw();
    if (info != nullptr) start(*info);
    return PINTLE_ASK_(database, query_one, ctx_, tx_, str(sql), values.begin(), values.size(), rows, &raw, info);
  }
  /* database.script: all statements of a text, as a whole. */
  [[nodiscard]] pintle_status try_script(std::string_view sql, pintle_sql_info *info = nullptr,
                                         const SqlOptions &options = {}) const noexcept {
    const pintle_sql_options raw = options.raw();
    if (info != nullptr) start(*info);
    return PINTLE_ASK_(database, script, ctx_, tx_, str(sql), &raw, info);
  }
  /* database.create_table, of columns that pintle_sql_column_of makes. */
  [[nodiscard]] pintle_status try_create_table(std::string_view table, std::initializer_list<pintle_sql_column> columns,
                                               bool &created) const noexcept {
    std::uint32_t yes = 0;
    const pintle_status status =
        PINTLE_ASK_(database, create_table, ctx_, tx_, str(table), columns.begin(), columns.size(), &yes);
    if (status == PINTLE_OK) created = yes != 0;
    return status;
  }
  /* database.begin: of a transaction one that is nested in it. */
  [[nodiscard]] pintle_status try_begin(Transaction &transaction, const TransactionOptions &options = {}) const noexcept;

#if PINTLE_EXCEPTIONS
  /* What it did; throws SqlError. */
  pintle_sql_info execute(std::string_view sql, SqlValues values = {}, const SqlOptions &options = {}) const {
    pintle_sql_info info;
    check_sql(try_execute(sql, values, &info, options), info);
    return info;
  }
  /* Gives each row to `take`, a function of const SqlRow & that answers nothing or a pintle_status. What it throws ends the
   * query and is thrown on. */
  template <class Take>
  pintle_sql_info query(std::string_view sql, SqlValues values, Take &&take, const SqlOptions &options = {}) const {
    pintle_sql_info info;
    SqlRows rows([&take](const SqlRow &row) { return take(row); });
    const pintle_status status = try_query(sql, values, rows, &info, options);
    rows.rethrow();
    check_sql(status, info);
    return info;
  }
  /* The same of a query that gives one row; false if it gives none. */
  template <class Take>
  bool query_one(std::string_view sql, SqlValues values, Take &&take, const SqlOptions &options = {}) const {
    pintle_sql_info info;
    SqlRows rows([&take](const SqlRow &row) { return take(row); });
    const pintle_status status = try_query_one(sql, values, rows, &info, options);
    rows.rethrow();
    if (status != PINTLE_NOT_FOUND) check_sql(status, info);
    return status == PINTLE_OK;
  }
  /* The first column of a query that gives one row; nullopt if it gives none, or NULL. T is an integer, double or
   * std::string. */
  template <class T>
  std::optional<T> value(std::string_view sql, SqlValues values = {}, const SqlOptions &options = {}) const {
    static_assert(!std::is_same_v<T, std::string_view> && !std::is_same_v<T, Bytes>, "it would outlive its row");
    std::optional<T> found;
    query_one(sql, values, [&found](const SqlRow &row) { found = row.template get<std::optional<T>>(0); }, options);
    return found;
  }
  pintle_sql_info script(std::string_view sql, const SqlOptions &options = {}) const {
    pintle_sql_info info;
    check_sql(try_script(sql, &info, options), info);
    return info;
  }
  /* False if there is a table of that name, whatever its columns. */
  bool create_table(std::string_view table, std::initializer_list<pintle_sql_column> columns) const {
    bool created = false;
    check(try_create_table(table, columns, created));
    return created;
  }
  [[nodiscard]] Transaction begin(const TransactionOptions &options = {}) const;
#endif

 protected:
  Statements(const Part &part, pintle_transaction tx) noexcept : Part(part), tx_(tx) {}
  explicit Statements(pintle_transaction tx) noexcept : Part(nullptr, 0, 0), tx_(tx) {}

  static void start(pintle_sql_info &info) noexcept {
    info = {};
    info.size = static_cast<std::uint32_t>(sizeof info);
    info.error_offset = -1;
  }
#if PINTLE_EXCEPTIONS
  void check_sql(pintle_status status, const pintle_sql_info &info) const;
#endif

  pintle_transaction tx_;
};

}  // namespace detail

/* Owns a transaction: it is rolled back by the destructor, unless it was committed. Keep it no longer than the context that it
 * was begun with, which ends it too, and keep it short: others that write wait for its end. Every statement of it goes through
 * this object; one of cx.database() would wait for it. */
class Transaction : public detail::Statements {
 public:
  /* None; for try_begin. */
  Transaction() noexcept : Statements(ended) {}
  Transaction(Transaction &&from) noexcept : Statements(from, std::exchange(from.tx_, ended)) {}
  Transaction &operator=(Transaction &&from) noexcept {
    if (this != &from) {
      (void)try_rollback();
      static_cast<Statements &>(*this) = from;
      from.tx_ = ended;
    }
    return *this;
  }
  Transaction(const Transaction &) = delete;
  Transaction &operator=(const Transaction &) = delete;
  ~Transaction() { (void)try_rollback(); }

  /* Is there one that was not ended here? */
  explicit operator bool() const noexcept { return tx_ != ended; }
  pintle_transaction handle() const noexcept { return tx_; }

  /* database.commit. Whatever is answered, but for BUSY (a nested one is open), it is over. */
  [[nodiscard]] pintle_status try_commit() noexcept {
    if (tx_ == ended) return PINTLE_STALE_HANDLE;
    const pintle_status status = host_->database->commit(ctx_, tx_);
    if (status != PINTLE_BUSY) tx_ = ended;
    return status;
  }
  /* database.rollback */
  pintle_status try_rollback() noexcept {
    if (tx_ == ended) return PINTLE_STALE_HANDLE;
    return host_->database->rollback(ctx_, std::exchange(tx_, ended));
  }
#if PINTLE_EXCEPTIONS
  void commit() { end(try_commit()); }
  void rollback() { end(try_rollback()); }
#endif

 private:
  friend class detail::Statements;
  /* No handle, and not 0, with which a statement would commit by itself: the host answers STALE_HANDLE. */
  static constexpr pintle_transaction ended = UINT64_MAX;
  Transaction(const Part &part, pintle_transaction tx) noexcept : Statements(part, tx) {}
#if PINTLE_EXCEPTIONS
  void end(pintle_status status) const {
    if (host_ == nullptr) throw Error(status, "there is no transaction");
    check(status);
  }
#endif
};

/* SQL on the database of the plugin and the context's tenant. A statement that is called here commits by itself; `begin` puts
 * several together:
 *
 *   pintle::Transaction tx = cx.database().begin();
 *   tx.execute("UPDATE stock SET left = left - ?1 WHERE item = ?2", {1, item});
 *   tx.execute("INSERT INTO sold VALUES (?1)", {item});
 *   tx.commit(); */
class Database : public detail::Statements {
 public:
  /* database.migrate; what `info` says also counts where it fails. */
  [[nodiscard]] pintle_status try_migrate(std::initializer_list<Migration> history, pintle_migrate_info &info,
                                          bool dry_run = false,
                                          std::optional<std::chrono::milliseconds> timeout = {}) const noexcept {
    pintle_migrate_options raw = {};
    raw.size = static_cast<std::uint32_t>(sizeof raw);
    raw.flags = dry_run ? PINTLE_MIGRATE_DRY_RUN : 0;
    raw.timeout_ms = detail::wait(timeout);
    info = {};
    info.size = static_cast<std::uint32_t>(sizeof info);
    return PINTLE_ASK_(database, migrate, ctx_, history.begin(), history.size(), &raw, &info);
  }
  /* database.stats */
  [[nodiscard]] pintle_status try_stats(pintle_database_stats &stats) const noexcept {
    stats = {};
    stats.size = static_cast<std::uint32_t>(sizeof stats);
    return PINTLE_ASK_(database, stats, ctx_, &stats);
  }
#if PINTLE_EXCEPTIONS
  /* What was done. */
  pintle_migrate_info migrate(std::initializer_list<Migration> history, bool dry_run = false) const {
    pintle_migrate_info info;
    check(try_migrate(history, info, dry_run));
    return info;
  }
  pintle_database_stats stats() const {
    pintle_database_stats told;
    check(try_stats(told));
    return told;
  }
#endif

 private:
  friend class Context;
  explicit Database(const Part &part) noexcept : Statements(part, 0) {}
};

/* Where an answer goes: the reply of a call or handler, or what `save` gives. Ends with the function that got it. */
class Reply : private detail::Part {
 public:
  /* Appends, at most 1 MiB in all. A reply of which a piece was refused is not what you meant: look at the status. */
  [[nodiscard]] pintle_status try_write(Bytes bytes) const noexcept {
    return pintle_sink_write(sink_, bytes.data(), bytes.size());
  }
#if PINTLE_EXCEPTIONS
  void write(Bytes bytes) const { check(try_write(bytes)); }
#endif
  pintle_sink raw() const noexcept { return sink_; }

  /* For this header's own use. */
  Reply(const pintle_host *host, pintle_ctx ctx, pintle_sink sink) noexcept : Part(host, ctx, ctx), sink_(sink) {}

 private:
  pintle_sink sink_;
};

/* An event, lent to a handler. The attributes are those of CloudEvents; what there is none of is empty. */
class Event {
 public:
  /* The topic, whole. */
  std::string_view topic() const noexcept { return detail::view(raw_->topic); }
  std::string_view id() const noexcept { return detail::view(raw_->id); }
  /* `/plugins/<id>` for a plugin, otherwise what the application gave. */
  std::string_view source() const noexcept { return detail::view(raw_->source); }
  std::string_view subject() const noexcept { return detail::view(raw_->subject); }
  std::string_view content_type() const noexcept { return detail::view(raw_->content_type); }
  /* The ordering key. */
  std::string_view key() const noexcept { return detail::view(raw_->key); }
  /* Empty in the system scope. */
  std::string_view tenant() const noexcept { return detail::view(raw_->tenant); }
  Bytes data() const noexcept { return Bytes(raw_->data); }
  /* Milliseconds since 1970-01-01 UTC. */
  std::int64_t time_ms() const noexcept { return raw_->time_ms; }
  /* How many events led to this one: 0 for one that no handler emitted. */
  std::uint32_t depth() const noexcept { return raw_->depth; }
  /* The number of a durable event in the log, which grows; 0: it is transient. */
  std::uint64_t sequence() const noexcept { return raw_->sequence; }
  /* Which delivery to this durable subscription it is, from 1; 0: the subscription is transient. */
  std::uint32_t attempt() const noexcept { return raw_->attempt; }
  /* What Events::ack and Events::nack take, here or later; 0 unless the subscription acknowledges. */
  pintle_delivery delivery() const noexcept { return raw_->delivery; }
  const pintle_event *raw() const noexcept { return raw_; }

  explicit Event(const pintle_event *raw) noexcept : raw_(raw) {}

 private:
  const pintle_event *raw_;
};

/* One run of a job, lent to its handler. */
class Run {
 public:
  std::string_view job() const noexcept { return detail::view(raw_->job); }
  /* Its number, the same in all of its attempts; of a durable job no other run ever has it. */
  std::uint64_t id() const noexcept { return raw_->id; }
  /* 1 for the first; more for those that follow a failure or the end of a host. */
  std::uint32_t attempt() const noexcept { return raw_->attempt; }
  /* When it was due, in milliseconds since 1970-01-01 UTC. */
  std::int64_t due_ms() const noexcept { return raw_->due_ms; }
  /* Did somebody ask for it? Then it is not of the job's schedule. */
  bool requested() const noexcept { return (raw_->flags & PINTLE_RUN_REQUESTED) != 0; }
  /* Was it missed when it was due? */
  bool missed() const noexcept { return (raw_->flags & PINTLE_RUN_MISSED) != 0; }
  /* Was it begun before by a host that did not come to its end? A part of it may have been done. */
  bool again() const noexcept { return (raw_->flags & PINTLE_RUN_AGAIN) != 0; }
  /* What the job was scheduled with. */
  Bytes data() const noexcept { return Bytes(raw_->data); }
  const pintle_run *raw() const noexcept { return raw_; }

  explicit Run(const pintle_run *raw) noexcept : raw_(raw) {}

 private:
  const pintle_run *raw_;
};

/* A job, lent to what `list` is given. */
class JobInfo {
 public:
  std::string_view name() const noexcept { return detail::view(raw_->name); }
  /* When it runs, in words. */
  std::string_view when() const noexcept { return detail::view(raw_->when); }
  /* When it is due next and was due last, in milliseconds since 1970-01-01 UTC; -1: never, so far as is known. */
  std::int64_t next_ms() const noexcept { return raw_->next_ms; }
  std::int64_t last_ms() const noexcept { return raw_->last_ms; }
  /* How many runs have begun, how many of them have failed, and how many did not take place. */
  std::uint64_t runs() const noexcept { return raw_->runs; }
  std::uint64_t failed() const noexcept { return raw_->failed; }
  std::uint64_t skipped() const noexcept { return raw_->skipped; }
  bool durable() const noexcept { return (raw_->flags & PINTLE_JOB_IS_DURABLE) != 0; }
  bool paused() const noexcept { return (raw_->flags & PINTLE_JOB_IS_PAUSED) != 0; }
  bool running() const noexcept { return (raw_->flags & PINTLE_JOB_IS_RUNNING) != 0; }
  /* It is durable, and waits for a handler. */
  bool waiting() const noexcept { return (raw_->flags & PINTLE_JOB_IS_WAITING) != 0; }
  const pintle_job *raw() const noexcept { return raw_; }

  explicit JobInfo(const pintle_job *raw) noexcept : raw_(raw) {}

 private:
  const pintle_job *raw_;
};

/* A run that has ended, lent to what `history` is given. */
class RunResult {
 public:
  std::uint64_t id() const noexcept { return raw_->id; }
  /* When it was due and when its first attempt began, in milliseconds since 1970-01-01 UTC; how long it took from there. */
  std::int64_t due_ms() const noexcept { return raw_->due_ms; }
  std::int64_t started_ms() const noexcept { return raw_->started_ms; }
  std::chrono::milliseconds duration() const noexcept { return std::chrono::milliseconds(raw_->duration_ms); }
  std::uint32_t attempts() const noexcept { return raw_->attempts; }
  /* How the last attempt ended. */
  pintle_status status() const noexcept { return raw_->status; }
  /* What the handler replied, or why it failed; the first 1,024 bytes. */
  Bytes result() const noexcept { return Bytes(raw_->result); }
  bool requested() const noexcept { return (raw_->flags & PINTLE_RUN_REQUESTED) != 0; }
  bool missed() const noexcept { return (raw_->flags & PINTLE_RUN_MISSED) != 0; }
  bool again() const noexcept { return (raw_->flags & PINTLE_RUN_AGAIN) != 0; }
  const pintle_run_result *raw() const noexcept { return raw_; }

  explicit RunResult(const pintle_run_result *raw) noexcept : raw_(raw) {}

 private:
  const pintle_run_result *raw_;
};

/* A change of the storage, lent to the handler of a watch. */
class Change {
 public:
  /* One of PINTLE_CHANGE_…; skip what you do not know. */
  std::uint32_t kind() const noexcept { return raw_->kind; }
  /* Empty where all items were removed. */
  std::string_view key() const noexcept { return detail::view(raw_->key); }
  /* What to resume after. */
  std::uint64_t version() const noexcept { return raw_->version; }
  /* When it happened, in milliseconds since 1970-01-01 UTC. */
  std::int64_t at_ms() const noexcept { return raw_->at_ms; }
  const pintle_storage_change *raw() const noexcept { return raw_; }

  explicit Change(const pintle_storage_change *raw) noexcept : raw_(raw) {}

 private:
  const pintle_storage_change *raw_;
};

/* A call to a service of this plugin, lent to `call`. */
class Request {
 public:
  std::string_view service() const noexcept { return detail::view(raw_->service); }
  std::uint32_t major() const noexcept { return raw_->major; }
  std::string_view method() const noexcept { return detail::view(raw_->method); }
  /* Who calls: a plugin's id, or `application`. */
  std::string_view caller() const noexcept { return detail::view(raw_->caller); }
  Bytes data() const noexcept { return Bytes(raw_->data); }
  const pintle_request *raw() const noexcept { return raw_; }
#if PINTLE_EXCEPTIONS
  /* What to throw for a method that the plugin does not have. */
  Error unsupported() const {
    return Error(PINTLE_UNSUPPORTED,
                 "service `" + std::string(service()) + "` has no method `" + std::string(method()) + "`");
  }
#endif

  explicit Request(const pintle_request *raw) noexcept : raw_(raw) {}

 private:
  const pintle_request *raw_;
};

/* What became of an event at one subscription, lent to the result handler of emit_sync. */
class HandlerResult {
 public:
  /* PINTLE_HANDLED or one of PINTLE_HANDLER_…. */
  std::uint32_t outcome() const noexcept { return raw_->outcome; }
  pintle_status status() const noexcept { return raw_->status; }
  /* A plugin's id, or `application`. */
  std::string_view subscriber() const noexcept { return detail::view(raw_->subscriber); }
  std::string_view subscription() const noexcept { return detail::view(raw_->subscription); }
  /* What it replied; empty unless it answered OK. */
  Bytes reply() const noexcept { return Bytes(raw_->reply); }
  /* Why it did not; empty if it answered OK. */
  std::string_view error() const noexcept { return detail::view(raw_->error); }
  const pintle_handler_result *raw() const noexcept { return raw_; }

  explicit HandlerResult(const pintle_handler_result *raw) noexcept : raw_(raw) {}

 private:
  const pintle_handler_result *raw_;
};

/* What a publisher may say beside topic and data; empty and zero mean default, as in pintle_emit_options. */
struct EmitOptions {
  /* A durable event's id and source tell whether it was published already, within the dedupe window. */
  std::string_view id = {};
  std::string_view subject = {};
  std::string_view content_type = {};
  std::string_view key = {};
  /* How long to wait for room in queues that make a publisher wait; must be zero for emit_sync. */
  std::chrono::milliseconds wait{0};
  /* On disk before `emit` returns, and delivered to durable subscriptions until they acknowledge it. Not for emit_sync. */
  bool durable = false;
};

/* What happens to an event whose subscription has a full queue. */
enum class Queue : std::uint32_t {
  drop_oldest = PINTLE_QUEUE_DROP_OLDEST,
  drop_new = PINTLE_QUEUE_DROP_NEW,
  wait = PINTLE_QUEUE_WAIT
};

/* Where a durable subscription begins that has no position under its name yet: with the events that come after it, unless
 * it is said otherwise. */
struct Start {
  std::uint32_t kind = PINTLE_START_NEW;
  std::int64_t at = 0;

  /* With the oldest event of the log. */
  static constexpr Start all() noexcept { return {PINTLE_START_ALL, 0}; }
  /* With the event of this number (Event::sequence). */
  static constexpr Start sequence(std::uint64_t number) noexcept {
    return {PINTLE_START_SEQUENCE, static_cast<std::int64_t>(number)};
  }
  /* With the first event that was written at this time or later, in milliseconds since 1970-01-01 UTC. */
  static constexpr Start time(std::int64_t ms) noexcept { return {PINTLE_START_TIME, ms}; }
};

/* How a subscription is to be kept; empty and zero mean default, as in pintle_subscribe_options. */
struct SubscribeOptions {
  std::string_view name = {};
  /* How many events may wait, and what happens then: not of a durable subscription. */
  std::uint32_t capacity = 0;
  Queue policy = Queue::drop_oldest;
  /* Which of the events that match, as the JSON that pintle_subscribe_options tells of. */
  std::string_view filter = {};
  /* Of the plugin's subscriptions of one event, those with a higher number get it first. */
  std::int32_t priority = 0;
  /* It gets the durable events that match, and none but those, each until it is acknowledged; where it stands is kept under
   * its name. All below is for such subscriptions only. */
  bool durable = false;
  /* By Events::ack, and not by what the handler answers. */
  bool acknowledge = false;
  Start start = {};
  /* How long a delivery may take from the start of the handler. */
  std::chrono::milliseconds ack_within{0};
  /* How long an event waits after its first failure; each further one doubles it. */
  std::chrono::milliseconds backoff{0};
  /* After how many deliveries an event becomes a dead letter. */
  std::uint32_t max_deliveries = 0;
  /* How many events may be delivered and neither acknowledged nor failed. */
  std::uint32_t in_flight = 0;
};

/* What to do with a run that is due while the last one has not ended. */
enum class Overlap : std::uint32_t {
  skip = PINTLE_OVERLAP_SKIP,
  queue = PINTLE_OVERLAP_QUEUE,
  allow = PINTLE_OVERLAP_ALLOW
};

/* What to do with runs that were missed: of any number of them one takes place, none, or each. */
enum class Missed : std::uint32_t { once = PINTLE_MISSED_ONCE, skip = PINTLE_MISSED_SKIP, all = PINTLE_MISSED_ALL };

/* How a job is to be kept; empty and zero mean default, as in pintle_job_options. */
struct JobOptions {
  std::string_view zone = {};
  Overlap overlap = Overlap::skip;
  /* The job outlives the host, until it is removed or forgotten. */
  bool durable = false;
  Missed missed = Missed::once;
  /* A run that has not begun so long after it was due is skipped. */
  std::chrono::milliseconds start_deadline{0};
  /* Each due time of a cron rule is put off by a part of this that is the same for every run of the job. */
  std::chrono::milliseconds jitter{0};
  /* How long a run may take. */
  std::chrono::milliseconds timeout{0};
  /* How often a run that has failed is tried again, and how long after its first failure; each further one doubles it. */
  std::uint32_t retries = 0;
  std::chrono::milliseconds backoff{0};
  /* What the runs are given. */
  Bytes data = {};
};

namespace detail {

/* A registration that is ended by its destructor, through the plugin's own context. */
template <class Ender>
class Registration {
 public:
  Registration() noexcept = default;
  Registration(Registration &&from) noexcept
      : host_(from.host_), own_(from.own_), handle_(std::exchange(from.handle_, 0)) {}
  Registration &operator=(Registration &&from) noexcept {
    if (this != &from) {
      (void)end();
      host_ = from.host_;
      own_ = from.own_;
      handle_ = std::exchange(from.handle_, 0);
    }
    return *this;
  }
  ~Registration() { (void)end(); }

  /* Leaves it to the plugin's life, and forgets it; the handle still ends it. */
  pintle_registration detach() noexcept { return std::exchange(handle_, 0); }
  /* Does this object own a registration? It may be over all the same. */
  explicit operator bool() const noexcept { return handle_ != 0; }
  pintle_registration handle() const noexcept { return handle_; }

  Registration(const pintle_host *host, pintle_ctx own, pintle_registration handle) noexcept
      : host_(host), own_(own), handle_(handle) {}

 protected:
  pintle_status end() noexcept {
    if (handle_ == 0) return PINTLE_STALE_HANDLE;
    return Ender::end(host_, own_, std::exchange(handle_, 0));
  }

 private:
  const pintle_host *host_ = nullptr;
  pintle_ctx own_ = 0;
  pintle_registration handle_ = 0;
};

struct EndSubscription {
  static pintle_status end(const pintle_host *host, pintle_ctx own, pintle_registration handle) noexcept {
    return host->events->unsubscribe(own, handle);
  }
};

struct EndJob {
  static pintle_status end(const pintle_host *host, pintle_ctx own, pintle_registration handle) noexcept {
    return host->scheduler->remove(own, handle);
  }
};

struct EndWatch {
  static pintle_status end(const pintle_host *host, pintle_ctx own, pintle_registration handle) noexcept {
    return host->storage->unwatch(own, handle);
  }
};

/* The `user` of a registration. */
template <class Handler>
struct Registered {
  const pintle_host *host;
  pintle_ctx own;
  Handler handler;

  static void release(void *user) noexcept;
  static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) noexcept;
  static pintle_status on_run(void *user, pintle_ctx ctx, const pintle_run *run, pintle_sink reply) noexcept;
  static pintle_status on_change(void *user, pintle_ctx ctx, const pintle_storage_change *change,
                                 pintle_sink reply) noexcept;
};

/* Calls a function of the plugin with what it wants to have, and makes an answer of what it returns. */
template <class Function, class Lent>
pintle_status answer(const Context &cx, const Reply &reply, Function &&function, const Lent &lent);

}  // namespace detail

/* Owns a subscription: it ends with this object. Events that wait are dropped then, and a call under way is finished.
 * Keep it as a member of the plugin, or `detach` it. */
class Subscription : public detail::Registration<detail::EndSubscription> {
 public:
  using Registration::Registration;
  /* events.unsubscribe: STALE_HANDLE if it is over already. */
  pintle_status try_unsubscribe() noexcept { return end(); }
};

/* Owns a job, or a handler of jobs: it ends with this object, and a run under way is finished. Keep it as a member of the
 * plugin, or `detach` it. A durable job outlives this object, and the plugin: only `try_remove` and `forget` end it. */
class Job : public detail::Registration<detail::EndJob> {
 public:
  Job() noexcept = default;
  Job(const pintle_host *host, pintle_ctx own, pintle_registration handle, bool durable = false) noexcept
      : Registration(host, own, handle), durable_(durable) {}
  Job(Job &&from) noexcept = default;
  Job &operator=(Job &&from) noexcept {
    if (this != &from) {
      leave();
      Registration::operator=(std::move(from));
      durable_ = from.durable_;
    }
    return *this;
  }
  ~Job() { leave(); }

  /* scheduler.remove: STALE_HANDLE if it is over already, as a job of `once` is after its run. A durable job ends for good. */
  pintle_status try_remove() noexcept { return end(); }

 private:
  void leave() noexcept {
    if (durable_) (void)detach();
  }

  bool durable_ = false;
};

/* Owns a watch: it ends with this object, and a call under way is finished. Keep it as a member of the plugin, or
 * `detach` it. */
class Watch : public detail::Registration<detail::EndWatch> {
 public:
  using Registration::Registration;
  /* storage.unwatch: STALE_HANDLE if it is over already. */
  pintle_status try_unwatch() noexcept { return end(); }
};

/* A list that owns its elements and can be moved only. Not a std::vector, because templates of namespace std that are made
 * for a type of a plugin's are exported (see above), and may keep the plugin in memory. */
template <class T>
class List {
 public:
  List() noexcept = default;
  /* So many elements that are as T() makes them. */
  explicit List(std::size_t size) : items_(new T[size]()), size_(size), room_(size) {}
  List(List &&from) noexcept
      : items_(std::exchange(from.items_, nullptr)), size_(std::exchange(from.size_, 0)),
        room_(std::exchange(from.room_, 0)) {}
  List &operator=(List &&from) noexcept {
    std::swap(items_, from.items_);
    std::swap(size_, from.size_);
    std::swap(room_, from.room_);
    return *this;
  }
  ~List() { delete[] items_; }

  void push_back(T &&item) {
    if (size_ == room_) {
      List more(room_ == 0 ? 4 : room_ * 2);
      for (std::size_t at = 0; at < size_; at++) more.items_[at] = std::move(items_[at]);
      more.size_ = size_;
      *this = std::move(more);
    }
    items_[size_++] = std::move(item);
  }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  T &operator[](std::size_t at) noexcept { return items_[at]; }
  const T &operator[](std::size_t at) const noexcept { return items_[at]; }
  T *data() noexcept { return items_; }
  T &back() noexcept { return items_[size_ - 1]; }
  const T *begin() const noexcept { return items_; }
  const T *end() const noexcept { return items_ + size_; }

 private:
  T *items_ = nullptr;
  std::size_t size_ = 0;
  std::size_t room_ = 0;
};

/* What a step of a batch did: the version that its item got (0: nothing was written), and the sum of an `incr`, or 1 for
 * a `remove` whose item was there. */
struct StepOutcome {
  std::uint64_t version = 0;
  std::int64_t value = 0;
};

/* Which step of a batch failed, from 0 on (as many as there are: none of them), and on CONFLICT the version that its item
 * has (0: it is not there). */
struct FailedStep {
  std::size_t step = 0;
  std::uint64_t current = 0;
};

/* A batch that did not happen. Thrown by Batch::commit. */
class BatchError : public Error {
 public:
  BatchError(pintle_status status, const std::string &text, FailedStep failed) : Error(status, text), failed_(failed) {}
  FailedStep failed() const noexcept { return failed_; }

 private:
  FailedStep failed_;
};

/* A durable job that a batch schedules: by a cron rule, at a steady beat, or else once, so long after the commit. */
struct BatchJob {
  std::string_view rule = {};
  std::string_view zone = {};
  std::chrono::milliseconds every{0};
  std::chrono::milliseconds delay{0};
  Overlap overlap = Overlap::skip;
};

/* Up to 128 steps that happen in their order and in one commit, all of them or none; later ones see what earlier ones
 * wrote. What is passed in is copied. From Storage::batch; must not outlive the context.
 *
 *   cx.storage().batch().check("crate", version).set("crate", "B2").incr("moves").emit("moved", "{}").commit(); */
class Batch : private detail::Part {
 public:
  Batch &set(std::string_view key, Bytes value, const StorageOptions &options = {}) {
    return add(PINTLE_STEP_SET, key, value, options);
  }
  Batch &remove(std::string_view key, const StorageOptions &options = {}) {
    return add(PINTLE_STEP_REMOVE, key, {}, options);
  }
  Batch &incr(std::string_view key, std::int64_t delta = 1, const StorageOptions &options = {}) {
    add(PINTLE_STEP_INCR, key, {}, options);
    steps_.back().delta = delta;
    return *this;
  }
  /* Writes nothing: the item must have this version; 0: it must not be there. */
  Batch &check(std::string_view key, std::uint64_t version) {
    StorageOptions options;
    options.if_version = version;
    return add(PINTLE_STEP_CHECK, key, {}, options);
  }
  /* Publishes an event once the batch is committed, at least once. The options' `wait` must be zero. */
  Batch &emit(std::string_view topic, Bytes data, const EmitOptions &options = {}) {
    add(PINTLE_STEP_EMIT, topic, data, {});
    Step &step = steps_.back();
    step.texts = {std::string(options.id), std::string(options.subject), std::string(options.content_type),
                  std::string(options.key)};
    step.wait_ms = detail::count(options.wait);
    step.durable = options.durable;
    return *this;
  }
  /* Schedules a durable job once the batch is committed; its runs are given `data`. */
  Batch &schedule(std::string_view name, const BatchJob &job, Bytes data = {}) {
    add(PINTLE_STEP_SCHEDULE, name, data, {});
    Step &step = steps_.back();
    step.texts = {std::string(job.rule), std::string(job.zone)};
    step.every_ms = detail::count(job.every);
    step.delay_ms = detail::count(job.delay);
    step.overlap = static_cast<std::uint32_t>(job.overlap);
    return *this;
  }
  std::size_t size() const noexcept { return steps_.size(); }

  /* storage.batch: `outcomes` gets one for each step; `failed`, which may be null, what failed. */
  [[nodiscard]] pintle_status try_commit(List<StepOutcome> &outcomes, FailedStep *failed = nullptr) const {
    const std::size_t count = steps_.size();
    List<pintle_storage_step> steps(count);
    List<pintle_emit_options> events(count);
    List<pintle_storage_job> jobs(count);
    for (std::size_t at = 0; at < count; at++) steps_[at].write(steps[at], events[at], jobs[at]);
    List<std::uint64_t> versions(count);
    List<std::int64_t> values(count);
    FailedStep none{count, 0};
    FailedStep &told = failed == nullptr ? none : *failed;
    told = FailedStep{count, 0};
    const pintle_status status = PINTLE_ASK_(storage, batch, ctx_, steps.data(), count, versions.data(), values.data(),
                                             &told.step);
    if (status == PINTLE_CONFLICT && told.step < count) told.current = versions[told.step];
    if (status != PINTLE_OK) return status;
    outcomes = List<StepOutcome>(count);
    for (std::size_t at = 0; at < count; at++) outcomes[at] = StepOutcome{versions[at], values[at]};
    return PINTLE_OK;
  }
#if PINTLE_EXCEPTIONS
  /* One outcome for each step; throws BatchError. */
  List<StepOutcome> commit() const {
    List<StepOutcome> outcomes;
    FailedStep failed;
    const pintle_status status = try_commit(outcomes, &failed);
    if (status == PINTLE_OK) return outcomes;
    throw BatchError(status, said(status), failed);
  }
#endif

 private:
  friend class Storage;
  explicit Batch(const Part &part) noexcept : Part(part) {}

  /* A step with a copy of all that it leads to. */
  struct Step {
    std::uint32_t kind = 0;
    std::string key;
    std::string value;
    pintle_storage_options options = {};
    std::int64_t delta = 0;
    /* Of an event: id, subject, content type and key; of a job: rule and zone. */
    std::vector<std::string> texts;
    std::int64_t wait_ms = 0;
    bool durable = false;
    std::int64_t every_ms = 0;
    std::int64_t delay_ms = 0;
    std::uint32_t overlap = 0;

    void write(pintle_storage_step &step, pintle_emit_options &event, pintle_storage_job &job) const noexcept {
      step = {};
      step.size = static_cast<std::uint32_t>(sizeof step);
      step.kind = kind;
      step.key = detail::str(key);
      step.value = Bytes(value).raw();
      step.delta = delta;
      if (kind == PINTLE_STEP_EMIT) {
        event = {};
        event.size = static_cast<std::uint32_t>(sizeof event);
        event.id = detail::str(texts[0]);
        event.subject = detail::str(texts[1]);
        event.content_type = detail::str(texts[2]);
        event.key = detail::str(texts[3]);
        event.wait_ms = wait_ms;
        event.flags = durable ? PINTLE_EMIT_DURABLE : 0;
        step.event = &event;
      } else if (kind == PINTLE_STEP_SCHEDULE) {
        job = {};
        job.size = static_cast<std::uint32_t>(sizeof job);
        job.overlap = overlap;
        job.rule = detail::str(texts[0]);
        job.zone = detail::str(texts[1]);
        job.every_ms = every_ms;
        job.delay_ms = delay_ms;
        step.job = &job;
      } else {
        step.options = &options;
      }
    }
  };

  Batch &add(std::uint32_t kind, std::string_view key, Bytes value, const StorageOptions &options) {
    Step step;
    step.kind = kind;
    step.key = std::string(key);
    step.value = std::string(value.text());
    step.options = options.raw();
    steps_.push_back(std::move(step));
    return *this;
  }
#if PINTLE_EXCEPTIONS
  std::string said(pintle_status status) const;
#endif

  List<Step> steps_;
};

/* Publish and subscribe.
 *
 * A handler is any function of (const Context &, const Event &) or (const Context &, const Event &, const Reply &), and
 * answers nothing, a pintle_status, or bytes for the reply (std::string, say). It is called on the lane. */
class Events : private detail::Part {
 public:
  /* events.emit: publishes below `plugin.<id>.`, and waits for no handler. */
  [[nodiscard]] pintle_status try_emit(std::string_view topic, Bytes data,
                                       const EmitOptions &options = {}) const noexcept {
    const pintle_emit_options raw = said(options);
    return PINTLE_ASK_(events, emit, ctx_, detail::str(topic), data.raw(), &raw);
  }
  /* events.emit_sync: publishes, waits for all handlers together at most `timeout` (nullopt: 5 s by default), and gives
   * each result to `each`, a function of const HandlerResult & that answers nothing or a pintle_status. What `each`
   * throws ends the telling and is thrown on. `handlers` gets how many results there are. */
  template <class Each>
  [[nodiscard]] pintle_status try_emit_sync(std::string_view topic, Bytes data,
                                            std::optional<std::chrono::milliseconds> timeout, Each &&each,
                                            std::uint32_t &handlers, const EmitOptions &options = {}) const {
    const pintle_emit_options raw = said(options);
    Telling<std::remove_reference_t<Each>> telling{&each};
    const pintle_status status = PINTLE_ASK_(events, emit_sync, ctx_, detail::str(topic), data.raw(), &raw,
                                             detail::wait(timeout), telling.tell, &telling, &handlers);
#if PINTLE_EXCEPTIONS
    if (telling.thrown) std::rethrow_exception(telling.thrown);
#endif
    return status;
  }
  /* events.subscribe: where it fails, the handler is destroyed here; what its captures throw then goes to the log. */
  template <class Handler>
  [[nodiscard]] pintle_status try_subscribe(std::string_view pattern, Handler handler, Subscription &subscription,
                                            const SubscribeOptions &options = {}) const {
    using Kept = detail::Registered<Handler>;
    pintle_subscribe_options raw = {};
    raw.size = static_cast<std::uint32_t>(sizeof raw);
    raw.name = detail::str(options.name);
    raw.flags = (options.durable ? PINTLE_SUBSCRIBE_DURABLE : 0) | (options.acknowledge ? PINTLE_SUBSCRIBE_ACK : 0);
    raw.capacity = options.capacity;
    raw.policy = static_cast<std::uint32_t>(options.policy);
    raw.filter = detail::str(options.filter);
    raw.priority = options.priority;
    raw.start = options.start.kind;
    raw.start_at = options.start.at;
    raw.ack_ms = detail::count(options.ack_within);
    raw.backoff_ms = detail::count(options.backoff);
    raw.max_deliveries = options.max_deliveries;
    raw.in_flight = options.in_flight;
    Kept *kept = detail::make<Kept>(host_, own_, std::move(handler));
    if (kept == nullptr) return PINTLE_TOO_LARGE;
    pintle_registration handle = 0;
    const pintle_status status =
        PINTLE_ASK_(events, subscribe, ctx_, detail::str(pattern), Kept::on_event, kept, Kept::release, &raw, &handle);
    if (status == PINTLE_OK) {
      subscription = Subscription(host_, own_, handle);
    } else {
      Kept::release(kept);
    }
    return status;
  }
  /* events.ack: the event is done with. STALE_HANDLE if the delivery is over: acknowledged or refused before, too late, or of
   * a subscription that has ended. Also later and from other threads, with a context that is held. */
  [[nodiscard]] pintle_status try_ack(pintle_delivery delivery) const noexcept {
    return PINTLE_ASK_(events, ack, ctx_, delivery);
  }
  /* events.nack: the event comes again after `delay` (nullopt: as the subscription's back-off says), or is a dead letter. The
   * reason goes to the log and the dead letter. */
  [[nodiscard]] pintle_status try_nack(pintle_delivery delivery, std::optional<std::chrono::milliseconds> delay = {},
                                       std::string_view reason = {}) const noexcept {
    /* No delay at all is the shortest that there is. */
    const std::int64_t delay_ms = !delay ? 0 : delay->count() == 0 ? 1 : detail::count(*delay);
    return PINTLE_ASK_(events, nack, ctx_, delivery, delay_ms, detail::str(reason));
  }

#if PINTLE_EXCEPTIONS
  void ack(pintle_delivery delivery) const { check(try_ack(delivery)); }
  void nack(pintle_delivery delivery, std::optional<std::chrono::milliseconds> delay = {},
            std::string_view reason = {}) const {
    check(try_nack(delivery, delay, reason));
  }
  void emit(std::string_view topic, Bytes data, const EmitOptions &options = {}) const {
    check(try_emit(topic, data, options));
  }
  /* How many results were told. */
  template <class Each>
  std::uint32_t emit_sync(std::string_view topic, Bytes data, std::optional<std::chrono::milliseconds> timeout,
                          Each &&each, const EmitOptions &options = {}) const {
    std::uint32_t handlers = 0;
    check(try_emit_sync(topic, data, timeout, std::forward<Each>(each), handlers, options));
    return handlers;
  }
  /* The subscription ends with what is returned: keep it, or `detach` it. */
  template <class Handler>
  [[nodiscard]] Subscription subscribe(std::string_view pattern, Handler handler,
                                       const SubscribeOptions &options = {}) const {
    Subscription subscription;
    check(try_subscribe(pattern, std::move(handler), subscription, options));
    return subscription;
  }
#endif

 private:
  friend class Context;
  explicit Events(const Part &part) noexcept : Part(part) {}

  static pintle_emit_options said(const EmitOptions &options) noexcept {
    pintle_emit_options raw = {};
    raw.size = static_cast<std::uint32_t>(sizeof raw);
    raw.id = detail::str(options.id);
    raw.subject = detail::str(options.subject);
    raw.content_type = detail::str(options.content_type);
    raw.key = detail::str(options.key);
    raw.wait_ms = detail::count(options.wait);
    raw.flags = options.durable ? PINTLE_EMIT_DURABLE : 0;
    return raw;
  }

  /* The `user` of emit_sync. */
  template <class Each>
  struct Telling {
    Each *each;
#if PINTLE_EXCEPTIONS
    std::exception_ptr thrown = nullptr;
#endif
    static pintle_status tell(void *user, const pintle_handler_result *result) noexcept {
      Telling &self = *static_cast<Telling *>(user);
#if PINTLE_EXCEPTIONS
      try {
        return self.call(HandlerResult(result));
      } catch (...) {
        self.thrown = std::current_exception();
        return PINTLE_CANCELLED;
      }
#else
      return self.call(HandlerResult(result));
#endif
    }
    pintle_status call(const HandlerResult &result) {
      if constexpr (std::is_void_v<std::invoke_result_t<Each &, const HandlerResult &>>) {
        (*each)(result);
        return PINTLE_OK;
      } else {
        return (*each)(result);
      }
    }
  };
};

/* Jobs by time. A job has a name, unique in its scope; scheduling it again replaces it. It never runs early, and one
 * that fails keeps its schedule. A handler is as for events, with const Run & in the place of the event. */
class Scheduler : private detail::Part {
 public:
  /* scheduler.cron: "0 3 * * *", "@daily", "@every 90s"; in UTC or the options' zone. */
  template <class Handler>
  [[nodiscard]] pintle_status try_cron(std::string_view name, std::string_view rule, Handler handler, Job &job,
                                       const JobOptions &options = {}) const {
    return hand_over(std::move(handler), job, options, [&](auto run, void *user, auto release, auto... rest) {
      return PINTLE_ASK_(scheduler, cron, ctx_, detail::str(name), detail::str(rule), run, user, release, rest...);
    });
  }
  /* scheduler.interval: the first time one interval from now. */
  template <class Handler>
  [[nodiscard]] pintle_status try_interval(std::string_view name, std::chrono::milliseconds every, Handler handler,
                                           Job &job, const JobOptions &options = {}) const {
    return hand_over(std::move(handler), job, options, [&](auto run, void *user, auto release, auto... rest) {
      return PINTLE_ASK_(scheduler, interval, ctx_, detail::str(name), detail::count(every), run, user, release,
                         rest...);
    });
  }
  /* scheduler.once: the job is gone when the run has ended. */
  template <class Handler>
  [[nodiscard]] pintle_status try_once(std::string_view name, std::chrono::milliseconds delay, Handler handler,
                                       Job &job, const JobOptions &options = {}) const {
    return hand_over(std::move(handler), job, options, [&](auto run, void *user, auto release, auto... rest) {
      return PINTLE_ASK_(scheduler, once, ctx_, detail::str(name), detail::count(delay), run, user, release,
                         rest...);
    });
  }
  /* scheduler.after: each time that a run of the job `other` has ended well. */
  template <class Handler>
  [[nodiscard]] pintle_status try_after(std::string_view name, std::string_view other, Handler handler, Job &job,
                                        const JobOptions &options = {}) const {
    return hand_over(std::move(handler), job, options, [&](auto run, void *user, auto release, auto... rest) {
      return PINTLE_ASK_(scheduler, after, ctx_, detail::str(name), detail::str(other), run, user, release, rest...);
    });
  }
  /* scheduler.handle: the runs of durable jobs that have no handler of their own; a name, or the beginning of names and `*`. */
  template <class Handler>
  [[nodiscard]] pintle_status try_handle(std::string_view pattern, Handler handler, Job &job) const {
    return hand_over(std::move(handler), job, {}, [&](auto run, void *user, auto release, auto, auto handle) {
      return PINTLE_ASK_(scheduler, handle, ctx_, detail::str(pattern), run, user, release, handle);
    });
  }
  /* scheduler.forget: ends the job of a name, also a durable one that this life of the plugin has not scheduled. */
  [[nodiscard]] pintle_status try_forget(std::string_view name) const {
    return PINTLE_ASK_(scheduler, forget, ctx_, detail::str(name));
  }
  /* scheduler.pause: what is due until `resume` is not made up for. */
  [[nodiscard]] pintle_status try_pause(std::string_view name) const {
    return PINTLE_ASK_(scheduler, pause, ctx_, detail::str(name));
  }
  /* scheduler.resume: from the next due time on. */
  [[nodiscard]] pintle_status try_resume(std::string_view name) const {
    return PINTLE_ASK_(scheduler, resume, ctx_, detail::str(name));
  }
  /* scheduler.run_now: beside the schedule, also of a job that is paused; does not wait for the run. */
  [[nodiscard]] pintle_status try_run_now(std::string_view name) const {
    return PINTLE_ASK_(scheduler, run_now, ctx_, detail::str(name));
  }
  /* scheduler.list: calls `each` with a const JobInfo & for each job of the scope, in the order of their names; it answers
   * nothing or a pintle_status, of which all but OK end the list. What it throws does so too, and is thrown on. */
  template <class Each>
  [[nodiscard]] pintle_status try_list(Each &&each) const {
    using Visiting = Visit<std::remove_reference_t<Each>, JobInfo>;
    Visiting visit{&each};
    return visit.outcome(PINTLE_ASK_(scheduler, list, ctx_, &Visiting::template take<pintle_job>, &visit));
  }
  /* scheduler.history: calls `each` with a const RunResult & for each of the last runs of a job, the newest first; as in
   * `list`. */
  template <class Each>
  [[nodiscard]] pintle_status try_history(std::string_view name, Each &&each) const {
    using Visiting = Visit<std::remove_reference_t<Each>, RunResult>;
    Visiting visit{&each};
    return visit.outcome(PINTLE_ASK_(scheduler, history, ctx_, detail::str(name),
                                     &Visiting::template take<pintle_run_result>, &visit));
  }

#if PINTLE_EXCEPTIONS
  /* The job ends with what is returned, unless it is durable: keep it, or `detach` it. So for all of them. */
  template <class Handler>
  [[nodiscard]] Job cron(std::string_view name, std::string_view rule, Handler handler,
                         const JobOptions &options = {}) const {
    Job job;
    check(try_cron(name, rule, std::move(handler), job, options));
    return job;
  }
  template <class Handler>
  [[nodiscard]] Job interval(std::string_view name, std::chrono::milliseconds every, Handler handler,
                             const JobOptions &options = {}) const {
    Job job;
    check(try_interval(name, every, std::move(handler), job, options));
    return job;
  }
  template <class Handler>
  [[nodiscard]] Job once(std::string_view name, std::chrono::milliseconds delay, Handler handler,
                         const JobOptions &options = {}) const {
    Job job;
    check(try_once(name, delay, std::move(handler), job, options));
    return job;
  }
  template <class Handler>
  [[nodiscard]] Job after(std::string_view name, std::string_view other, Handler handler,
                          const JobOptions &options = {}) const {
    Job job;
    check(try_after(name, other, std::move(handler), job, options));
    return job;
  }
  template <class Handler>
  [[nodiscard]] Job handle(std::string_view pattern, Handler handler) const {
    Job job;
    check(try_handle(pattern, std::move(handler), job));
    return job;
  }
  void forget(std::string_view name) const { check(try_forget(name)); }
  void pause(std::string_view name) const { check(try_pause(name)); }
  void resume(std::string_view name) const { check(try_resume(name)); }
  void run_now(std::string_view name) const { check(try_run_now(name)); }
  template <class Each>
  void list(Each &&each) const {
    check(try_list(std::forward<Each>(each)));
  }
  template <class Each>
  void history(std::string_view name, Each &&each) const {
    check(try_history(name, std::forward<Each>(each)));
  }
#endif

 private:
  friend class Context;
  explicit Scheduler(const Part &part) noexcept : Part(part) {}

  /* The `user` of list and history. */
  template <class Each, class Shown>
  struct Visit {
    Each *each;
#if PINTLE_EXCEPTIONS
    std::exception_ptr thrown = nullptr;
#endif
    template <class Raw>
    static pintle_status take(void *user, const Raw *raw) noexcept {
      Visit &self = *static_cast<Visit *>(user);
#if PINTLE_EXCEPTIONS
      try {
        return self.call(Shown(raw));
      } catch (...) {
        self.thrown = std::current_exception();
        return PINTLE_CANCELLED;
      }
#else
      return self.call(Shown(raw));
#endif
    }
    pintle_status call(const Shown &shown) {
      if constexpr (std::is_void_v<std::invoke_result_t<Each &, const Shown &>>) {
        (*each)(shown);
        return PINTLE_OK;
      } else {
        return (*each)(shown);
      }
    }
    pintle_status outcome(pintle_status status) const {
#if PINTLE_EXCEPTIONS
      if (thrown) std::rethrow_exception(thrown);
#endif
      return status;
    }
  };

  template <class Handler, class Register>
  pintle_status hand_over(Handler handler, Job &job, const JobOptions &options, Register &&enroll) const {
    using Kept = detail::Registered<Handler>;
    pintle_job_options raw = {};
    raw.size = static_cast<std::uint32_t>(sizeof raw);
    raw.zone = detail::str(options.zone);
    raw.overlap = static_cast<std::uint32_t>(options.overlap);
    raw.flags = options.durable ? PINTLE_JOB_DURABLE : 0;
    raw.missed = static_cast<std::uint32_t>(options.missed);
    raw.start_deadline_ms = detail::count(options.start_deadline);
    raw.jitter_ms = detail::count(options.jitter);
    raw.timeout_ms = detail::count(options.timeout);
    raw.backoff_ms = detail::count(options.backoff);
    raw.retries = options.retries;
    raw.data = options.data.raw();
    Kept *kept = detail::make<Kept>(host_, own_, std::move(handler));
    if (kept == nullptr) return PINTLE_TOO_LARGE;
    pintle_registration handle = 0;
    const pintle_status status =
        enroll(Kept::on_run, kept, Kept::release, static_cast<const pintle_job_options *>(&raw), &handle);
    if (status == PINTLE_OK) {
      job = Job(host_, own_, handle, options.durable);
    } else {
      Kept::release(kept);
    }
    return status;
  }
};

/* What the host knows of a context. */
struct Scope {
  /* Which copy of the plugin this is: grows with every load in this process. */
  std::uint64_t generation = 0;
  /* Is it in the system scope? Then there is no tenant. */
  bool system = false;
  /* Does it end with the call that it was given to? */
  bool ends_with_call = false;
  /* Empty in the system scope. */
  std::string tenant = {};
};

class HeldContext;

/* On whose behalf the host is called: a plugin, and a tenant or the system. A view of 64 bits and the host's table: to
 * copy it is cheap, and a copy lives no longer. The one that a handler gets ends with the handler and answers
 * STALE_HANDLE afterwards; `hold` makes one that lives on. */
class Context : private detail::Part {
 public:
  /* `own` is the plugin's own context, which is kept for destructors; only for those who write `load` by hand. */
  Context(const pintle_host *host, pintle_ctx ctx, pintle_ctx own) noexcept : Part(host, ctx, own) {}

  Log log() const noexcept { return Log(*this); }
  Config config() const noexcept { return Config(*this); }
  /* The namespace's name is borrowed as long as the Cache is used. */
  Cache cache(std::string_view ns) const noexcept { return Cache(*this, ns); }
  /* cache.invalidate_tag: removes what was written with this tag, in all namespaces of the scope. */
  [[nodiscard]] pintle_status try_invalidate_tag(std::string_view tag, std::uint64_t &count) const noexcept {
    return PINTLE_ASK_(cache, invalidate_tag, ctx_, detail::str(tag), &count);
  }
  /* cache.stats: what the plugin has in the cache, for all tenants. */
  [[nodiscard]] pintle_status try_cache_stats(pintle_cache_stats &stats) const noexcept {
    stats.size = static_cast<std::uint32_t>(sizeof stats);
    return PINTLE_ASK_(cache, stats, ctx_, &stats);
  }
  Storage storage() const noexcept { return Storage(*this); }
  Database database() const noexcept { return Database(*this); }
  Events events() const noexcept { return Events(*this); }
  Scheduler scheduler() const noexcept { return Scheduler(*this); }

  /* host.call: calls a service of another plugin and waits for its reply, at most `timeout` (nullopt: 5 s), and never
   * longer than this function's own caller waits. */
  [[nodiscard]] pintle_status try_call(std::string_view service, std::uint32_t major, std::string_view method,
                                       Bytes request, pintle_sink reply,
                                       std::optional<std::chrono::milliseconds> timeout = {}) const noexcept {
    return host_->call(ctx_, detail::str(service), major, detail::str(method), request.raw(), detail::wait(timeout),
                       reply);
  }
  /* host.hold: a context of the same scope that outlives this function. */
  [[nodiscard]] pintle_status try_hold(HeldContext &held) const noexcept;
  /* host.remaining: how long the caller of this function still waits. Zero: it has given up; `forever`: nobody
   * waits. */
  [[nodiscard]] pintle_status try_remaining(std::chrono::milliseconds &left) const noexcept {
    std::int64_t ms = 0;
    const pintle_status status = host_->remaining(ctx_, &ms);
    if (status == PINTLE_OK) left = std::chrono::milliseconds(ms);
    return status;
  }
  /* host.scope */
  [[nodiscard]] pintle_status try_scope(pintle_scope_info &info, pintle_sink tenant) const noexcept {
    info.size = static_cast<std::uint32_t>(sizeof info);
    return host_->scope(ctx_, &info, tenant);
  }
  /* host.service: a table that begins with its size, `min_size` at least. `itself` is what the functions of an
   * application's table take first. */
  [[nodiscard]] pintle_status try_service(std::string_view id, std::uint32_t major, std::uint32_t min_size,
                                          const void *&table, void **itself = nullptr) const noexcept {
    return host_->service(ctx_, detail::str(id), major, min_size, &table, itself);
  }
  /* host.last_error: why this thread's last failed call with this context failed. */
  [[nodiscard]] pintle_status try_last_error(pintle_sink out) const noexcept { return host_->last_error(ctx_, out); }
  /* host.set_error: why the running function is about to fail. Throwing an Error does it too. */
  pintle_status set_error(std::string_view text) const noexcept { return host_->set_error(ctx_, detail::str(text)); }
  /* For those who answer with statuses: makes the host's words for this failure those of the running function, and
   * gives the status back. `return cx.pass_on(status);` */
  pintle_status pass_on(pintle_status status) const noexcept {
    Buffer text;
    if (status != PINTLE_OK && try_last_error(text.sink()) == PINTLE_OK) (void)set_error(text.text());
    return status;
  }

#if PINTLE_EXCEPTIONS
  /* Throws Error with the host's words for any status but OK. For the status of the last call with this context. */
  void check(pintle_status status) const {
    if (status != PINTLE_OK) throw Error(status, said_of(status));
  }
  /* The host's words for this thread's last failure with this context; empty if there was none. */
  std::string last_error() const {
    Buffer text;
    const pintle_status status = try_last_error(text.sink());
    if (status != PINTLE_OK && status != PINTLE_NOT_FOUND) throw std::bad_alloc();
    return std::string(text.text());
  }
  /* The reply. */
  std::string call(std::string_view service, std::uint32_t major, std::string_view method, Bytes request,
                   std::optional<std::chrono::milliseconds> timeout = {}) const {
    std::string reply;
    const auto ask = [&](pintle_sink out) { return try_call(service, major, method, request, out, timeout); };
    if (!collect(reply, ask)) check(PINTLE_NOT_FOUND);
    return reply;
  }
  [[nodiscard]] HeldContext hold() const;
  std::chrono::milliseconds remaining() const {
    std::chrono::milliseconds left{};
    check(try_remaining(left));
    return left;
  }
  Scope scope() const {
    Scope scope;
    pintle_scope_info info = {};
    const bool found = collect(scope.tenant, [&](pintle_sink tenant) { return try_scope(info, tenant); });
    if (!found) check(PINTLE_NOT_FOUND);
    scope.generation = info.generation;
    scope.system = (info.flags & PINTLE_SCOPE_SYSTEM) != 0;
    scope.ends_with_call = (info.flags & PINTLE_SCOPE_CALL) != 0;
    return scope;
  }
  /* The tenant on whose behalf the plugin is asked; empty in the system scope. */
  std::string tenant() const { return scope().tenant; }
  /* How many items of the cache there were with this tag. */
  std::uint64_t invalidate_tag(std::string_view tag) const {
    std::uint64_t removed = 0;
    check(try_invalidate_tag(tag, removed));
    return removed;
  }
  pintle_cache_stats cache_stats() const {
    pintle_cache_stats told = {};
    check(try_cache_stats(told));
    return told;
  }
#endif

  /* For calls that this header does not have. */
  const pintle_host *host() const noexcept { return host_; }
  pintle_ctx raw() const noexcept { return ctx_; }
  /* The plugin's own context, which lives as long as its generation. */
  Context own() const noexcept { return Context(host_, own_, own_); }

 private:
  friend class Batch;
  friend class detail::Statements;
#if PINTLE_EXCEPTIONS
  std::string said_of(pintle_status status) const {
    std::string text = last_error();
    return text.empty() ? std::string("the host answered ") + status_name(status) : text;
  }
#endif
};

/* Owns a held context: it ends with this object. Everything of Context is there. */
class HeldContext : public Context {
 public:
  HeldContext() noexcept : Context(nullptr, 0, 0) {}
  HeldContext(HeldContext &&from) noexcept : Context(from) { from.forget(); }
  HeldContext &operator=(HeldContext &&from) noexcept {
    if (this != &from) {
      (void)try_release();
      static_cast<Context &>(*this) = from;
      from.forget();
    }
    return *this;
  }
  HeldContext(const HeldContext &) = delete;
  HeldContext &operator=(const HeldContext &) = delete;
  ~HeldContext() { (void)try_release(); }

  /* host.release: ends it now. STALE_HANDLE if it is over already. */
  pintle_status try_release() noexcept {
    if (raw() == 0) return PINTLE_STALE_HANDLE;
    const pintle_status status = host()->release(raw());
    forget();
    return status;
  }
  /* Leaves it to the plugin's life, and forgets it. */
  Context detach() noexcept {
    const Context left = *this;
    forget();
    return left;
  }
  /* Is there one? */
  explicit operator bool() const noexcept { return raw() != 0; }

 private:
  friend class Context;
  explicit HeldContext(const Context &context) noexcept : Context(context) {}
  /* Keeps the host, so that a call through what is left is STALE_HANDLE and no crash. */
  void forget() noexcept { static_cast<Context &>(*this) = Context(host(), 0, 0); }
};

inline pintle_status Context::try_hold(HeldContext &held) const noexcept {
  pintle_ctx ctx = 0;
  const pintle_status status = host_->hold(ctx_, &ctx);
  if (status == PINTLE_OK) held = HeldContext(Context(host_, ctx, own_));
  return status;
}

/* Runs the body of a thread that the plugin has made, or anything else that nothing may leave: what it throws, and a
 * PINTLE_CHECK that fails in it, goes to the log as an error with the message `what`. `body` answers nothing or a
 * pintle_status. The context must outlive it; for a thread that is a held one, or the plugin's own.
 *
 *   std::thread worker([held = cx.hold()] { pintle::contain(held, "the worker failed", [&] { work(held); }); }); */
template <class Body>
pintle_status contain(const Context &cx, std::string_view what, Body &&body) noexcept {
  return detail::logging(cx.host(), cx.raw(), what, [&body]() -> pintle_status {
    if constexpr (std::is_void_v<std::invoke_result_t<Body &>>) {
      body();
      return PINTLE_OK;
    } else {
      return body();
    }
  });
}

template <class Load>
pintle_status Cache::try_get_or_load(std::string_view key, Load &&load, Buffer &value,
                                     const CacheOptions &options) const {
  struct Loading {
    const Cache *cache;
    std::remove_reference_t<Load> *load;
#if PINTLE_EXCEPTIONS
    std::exception_ptr thrown = nullptr;
#endif
    static pintle_status run(void *user, pintle_ctx, pintle_buf *into) noexcept {
      Loading &self = *static_cast<Loading *>(user);
      Buffer loaded;
      pintle_status status = PINTLE_PANIC;
#if PINTLE_EXCEPTIONS
      try {
        status = self.call(loaded);
      } catch (...) {
        self.thrown = std::current_exception();
      }
#else
      status = self.call(loaded);
#endif
      if (status == PINTLE_OK) std::swap(*into, *loaded.raw());
      return status;
    }
    pintle_status call(Buffer &loaded) {
      const Context cx = cache->context();
      if constexpr (std::is_void_v<std::invoke_result_t<decltype(*load), const Context &, Buffer &>>) {
        (*load)(cx, loaded);
        return PINTLE_OK;
      } else {
        return (*load)(cx, loaded);
      }
    }
  };
  if (!PINTLE_HAS(host_->cache, stats)) {
    return detail::missing(host_, ctx_, "pintle.cache", offsetof(pintle_cache, stats) + sizeof(host_->cache->stats));
  }
  const detail::RawCacheOptions said(options);
  Loading loading{this, &load};
  value.clear();
  const pintle_status status = pintle_cache_get_or_load(host_->cache, ctx_, detail::str(ns_), detail::str(key), &said.raw,
                                                        Loading::run, &loading, value.raw());
#if PINTLE_EXCEPTIONS
  if (status != PINTLE_OK && loading.thrown) std::rethrow_exception(loading.thrown);
#endif
  return status;
}

inline Batch Storage::batch() const { return Batch(*this); }

template <class Handler>
pintle_status Storage::try_watch(std::string_view prefix, Handler handler, Watch &watch,
                                 std::optional<std::uint64_t> after) const {
  using Kept = detail::Registered<Handler>;
  pintle_watch_options raw = {};
  raw.size = static_cast<std::uint32_t>(sizeof raw);
  raw.flags = after ? PINTLE_WATCH_AFTER : 0;
  raw.after = after.value_or(0);
  Kept *kept = detail::make<Kept>(host_, own_, std::move(handler));
  if (kept == nullptr) return PINTLE_TOO_LARGE;
  pintle_registration handle = 0;
  const pintle_status status =
      PINTLE_ASK_(storage, watch, ctx_, detail::str(prefix), Kept::on_change, kept, Kept::release, &raw, &handle);
  if (status == PINTLE_OK) {
    watch = Watch(host_, own_, handle);
  } else {
    Kept::release(kept);
  }
  return status;
}

#if PINTLE_EXCEPTIONS
template <class Handler>
Watch Storage::watch(std::string_view prefix, Handler handler, std::optional<std::uint64_t> after) const {
  Watch watch;
  check(try_watch(prefix, std::move(handler), watch, after));
  return watch;
}

inline HeldContext Context::hold() const {
  HeldContext held;
  check(try_hold(held));
  return held;
}

inline std::string Batch::said(pintle_status status) const { return context().said_of(status); }

template <class Take>
void Sink<Take>::check(const Context &cx, pintle_status status) {
  rethrow();
  cx.check(status);
}

template <class Take>
void SqlRows<Take>::check(const Context &cx, pintle_status status) {
  rethrow();
  cx.check(status);
}
#endif

inline pintle_status detail::Statements::try_begin(Transaction &transaction, const TransactionOptions &options) const noexcept {
  const pintle_transaction_options raw = options.raw();
  pintle_transaction handle = 0;
  const pintle_status status = PINTLE_ASK_(database, begin, ctx_, tx_, &raw, &handle);
  if (status == PINTLE_OK) transaction = Transaction(*this, handle);
  return status;
}

#if PINTLE_EXCEPTIONS
inline Transaction detail::Statements::begin(const TransactionOptions &options) const {
  Transaction transaction;
  check(try_begin(transaction, options));
  return transaction;
}

inline void detail::Statements::check_sql(pintle_status status, const pintle_sql_info &info) const {
  if (status != PINTLE_OK) throw SqlError(status, context().said_of(status), info.error_code, info.error_offset);
}
#endif

namespace detail {

inline Context Part::context() const noexcept { return Context(host_, ctx_, own_); }

#if PINTLE_EXCEPTIONS
inline void Part::check(pintle_status status) const { context().check(status); }

template <class Call>
bool Part::collect(std::string &into, Call &&call) const {
  Sink sink([&into](Bytes piece) { into.append(piece.text()); });
  const pintle_status status = call(sink);
  sink.rethrow();
  if (status != PINTLE_NOT_FOUND) check(status);
  return status == PINTLE_OK;
}
#endif

#if PINTLE_EXCEPTIONS
template <class Ask>
Page Part::read_page(Ask &&ask) const {
  Page page;
  std::string joined;
  Sink next([&page](Bytes piece) { page.next.append(piece.text()); });
  const bool found = collect(joined, [&](pintle_sink out) {
    const pintle_status status = ask(out, next);
    next.rethrow();
    return status;
  });
  if (!found) check(PINTLE_NOT_FOUND);
  for (std::size_t at = 0, end; at < joined.size(); at = end + 1) {
    end = joined.find('\0', at);
    if (end == std::string::npos) end = joined.size();
    page.keys.emplace_back(joined, at, end - at);
  }
  return page;
}

template <class Read>
std::vector<std::string> Part::all_pages(Read &&read) {
  Page all = read(std::string_view());
  while (!all.next.empty()) {
    Page more = read(std::string_view(all.next));
    for (std::string &key : more.keys) all.keys.push_back(std::move(key));
    all.next = std::move(more.next);
  }
  return std::move(all.keys);
}
#endif

/* What a function of the plugin returned, as the answer: nothing, a status, or bytes, which are written first. */
template <class Answer>
pintle_status result(const Context &cx, const Reply &reply, Answer &&answer) {
  using Plain = std::decay_t<Answer>;
  if constexpr (std::is_same_v<Plain, pintle_status>) {
    (void)cx;
    (void)reply;
    return answer;
  } else {
    static_assert(std::is_convertible_v<const Plain &, Bytes>,
                  "a function of a plugin returns nothing, a pintle_status, or bytes");
    return cx.pass_on(reply.try_write(answer));
  }
}

template <class Function, class... Lent>
pintle_status given(const Context &cx, const Reply &reply, Function &&function, Lent &&...lent) {
  if constexpr (std::is_void_v<std::invoke_result_t<Function &, Lent &...>>) {
    function(lent...);
    return PINTLE_OK;
  } else {
    return result(cx, reply, function(lent...));
  }
}

template <class Function, class Lent>
pintle_status answer(const Context &cx, const Reply &reply, Function &&function, const Lent &lent) {
  if constexpr (std::is_invocable_v<Function, const Context &, const Lent &, const Reply &>) {
    return given(cx, reply, function, cx, lent, reply);
  } else {
    static_assert(std::is_invocable_v<Function, const Context &, const Lent &>,
                  "a handler takes (const pintle::Context &, const pintle::Event &), or Run or Change, and perhaps a Reply");
    return given(cx, reply, function, cx, lent);
  }
}

template <class Handler>
void Registered<Handler>::release(void *user) noexcept {
  if (user == nullptr) return;
  auto *self = static_cast<Registered *>(user);
  (void)logging(self->host, self->own, "what a handler had captured threw when it was destroyed", [self] {
    delete self;
    return PINTLE_OK;
  });
}

template <class Handler>
pintle_status Registered<Handler>::on_event(void *user, pintle_ctx ctx, const pintle_event *event,
                                            pintle_sink reply) noexcept {
  if (user == nullptr || event == nullptr || !PINTLE_HAS(event, time_ms)) return PINTLE_INVALID_ARGUMENT;
  auto *self = static_cast<Registered *>(user);
  return answering(self->host, ctx, [&] {
    return answer(Context(self->host, ctx, self->own), Reply(self->host, ctx, reply), self->handler, Event(event));
  });
}

template <class Handler>
pintle_status Registered<Handler>::on_run(void *user, pintle_ctx ctx, const pintle_run *run,
                                          pintle_sink reply) noexcept {
  if (user == nullptr || run == nullptr || !PINTLE_HAS(run, data)) return PINTLE_INVALID_ARGUMENT;
  auto *self = static_cast<Registered *>(user);
  return answering(self->host, ctx, [&] {
    return answer(Context(self->host, ctx, self->own), Reply(self->host, ctx, reply), self->handler, Run(run));
  });
}

template <class Handler>
pintle_status Registered<Handler>::on_change(void *user, pintle_ctx ctx, const pintle_storage_change *change,
                                             pintle_sink reply) noexcept {
  if (user == nullptr || change == nullptr || !PINTLE_HAS(change, at_ms)) return PINTLE_INVALID_ARGUMENT;
  auto *self = static_cast<Registered *>(user);
  return answering(self->host, ctx, [&] {
    return answer(Context(self->host, ctx, self->own), Reply(self->host, ctx, reply), self->handler, Change(change));
  });
}

/* Has a class a function of this name that can be called so? A function of the name that cannot (other parameters,
 * private, one of several) is a mistake that would otherwise show as one that is never called. Whether there is one of
 * the name, whoever may call it, shows where a class that has it too is derived from both: there it is ambiguous. Of a
 * final class nothing can be derived, so it is asked what it shows. */
#define PINTLE_NAMED_(name)                                                                                     \
  struct with_##name {                                                                                          \
    int name;                                                                                                   \
  };                                                                                                            \
  template <class T, bool final>                                                                                \
  struct both_##name : T, with_##name {};                                                                       \
  template <class T>                                                                                            \
  struct both_##name<T, true> : with_##name {};                                                                 \
  template <class T, class = void>                                                                              \
  struct shows_##name : std::false_type {};                                                                     \
  template <class T>                                                                                            \
  struct shows_##name<T, std::void_t<decltype(&T::name)>> : std::true_type {};                                  \
  template <class T, class = void>                                                                              \
  struct alone_##name : std::false_type {};                                                                     \
  template <class T>                                                                                            \
  struct alone_##name<T, std::void_t<decltype(&both_##name<T, std::is_final_v<T>>::name)>> : std::true_type {}; \
  template <class T>                                                                                            \
  struct named_##name : std::bool_constant<shows_##name<T>::value || !alone_##name<T>::value> {};

#define PINTLE_OPTIONAL_(name, ...)                                                                             \
  PINTLE_NAMED_(name)                                                                                           \
  template <class T, class = void>                                                                              \
  struct has_##name##_ : std::false_type {};                                                                    \
  template <class T>                                                                                            \
  struct has_##name##_<T, std::void_t<decltype(std::declval<T &>().name(__VA_ARGS__))>> : std::true_type {};    \
  template <class T>                                                                                            \
  constexpr bool has_##name() {                                                                                 \
    static_assert(has_##name##_<T>::value || !named_##name<T>::value,                                           \
                  "the plugin's `" #name "` cannot be called as pintle/plugin.hpp says");                       \
    return has_##name##_<T>::value;                                                                             \
  }

PINTLE_OPTIONAL_(load, std::declval<const Context &>())
PINTLE_OPTIONAL_(enable, std::declval<const Context &>())
PINTLE_OPTIONAL_(disable, std::declval<const Context &>())
PINTLE_OPTIONAL_(unload, std::declval<const Context &>())
PINTLE_OPTIONAL_(configure, std::declval<const Context &>(), std::declval<std::string_view>())
PINTLE_OPTIONAL_(save, std::declval<const Context &>())
PINTLE_OPTIONAL_(restore, std::declval<const Context &>(), std::declval<std::uint32_t>(), std::declval<Bytes>())
PINTLE_OPTIONAL_(provide, std::declval<std::string_view>(), std::declval<std::uint32_t>())
#undef PINTLE_OPTIONAL_

/* `call` has two forms. */
PINTLE_NAMED_(call)
#undef PINTLE_NAMED_
template <class T, class = void>
struct calls_short : std::false_type {};
template <class T>
struct calls_short<T, std::void_t<decltype(std::declval<T &>().call(std::declval<const Context &>(),
                                                                    std::declval<const Request &>()))>>
    : std::true_type {};
template <class T, class = void>
struct calls_long : std::false_type {};
template <class T>
struct calls_long<T, std::void_t<decltype(std::declval<T &>().call(std::declval<const Context &>(),
                                                                   std::declval<const Request &>(),
                                                                   std::declval<const Reply &>()))>>
    : std::true_type {};
template <class T>
constexpr bool has_call() {
  static_assert(calls_short<T>::value || calls_long<T>::value || !named_call<T>::value,
                "the plugin's `call` cannot be called as pintle/plugin.hpp says");
  return calls_short<T>::value || calls_long<T>::value;
}

/* The state of a plugin. */
template <class T>
struct Loaded {
  const pintle_host *host;
  pintle_ctx own;
  T plugin;

  Loaded(const Context &cx, std::true_type) : host(cx.host()), own(cx.raw()), plugin(cx) {}
  Loaded(const Context &cx, std::false_type) : host(cx.host()), own(cx.raw()), plugin() {}
};

/* The C functions of a plugin of the class T. That templates have the C++ language linkage makes no difference in any
 * ABI that there is. */
template <class T>
struct Entry {
  using State = Loaded<T>;
  static_assert(std::is_constructible_v<T, const Context &> || std::is_default_constructible_v<T>,
                "a plugin is constructed from a const pintle::Context &, or from nothing");

  template <class Function, class... Lent>
  static pintle_status run(void *state, pintle_ctx ctx, Function &&function, const Lent &...lent) noexcept {
    return run_with(state, ctx, pintle_sink{nullptr, pintle_discard}, function, lent...);
  }

  template <class Function, class... Lent>
  static pintle_status run_with(void *state, pintle_ctx ctx, pintle_sink sink, Function &&function,
                                const Lent &...lent) noexcept {
    if (state == nullptr) return PINTLE_INVALID_ARGUMENT;
    State &loaded = *static_cast<State *>(state);
    return answering(loaded.host, ctx, [&] {
      const Context cx(loaded.host, ctx, loaded.own);
      return given(cx, Reply(loaded.host, ctx, sink), function, loaded.plugin, cx, lent...);
    });
  }

  static pintle_status load(pintle_ctx ctx, const pintle_host *host, void **state) noexcept {
    if (host == nullptr || state == nullptr) return PINTLE_INVALID_ARGUMENT;
    return answering(host, ctx, [&]() -> pintle_status {
      const Context cx(host, ctx, ctx);
      if (!PINTLE_HAS(host, files)) {
        (void)cx.set_error("the host's table ends before that of ABI 1.0, which this plugin needs: update the host");
        return PINTLE_UNSUPPORTED;
      }
#if PINTLE_EXCEPTIONS
      State *loaded = new State(cx, std::is_constructible<T, const Context &>());
#else
      State *loaded = new (std::nothrow) State(cx, std::is_constructible<T, const Context &>());
#endif
      if (loaded == nullptr) return PINTLE_TOO_LARGE;
      if constexpr (has_load<T>()) {
        pintle_status status = PINTLE_PANIC;
#if PINTLE_EXCEPTIONS
        try {
          status = given(cx, Reply(host, ctx, pintle_discard_sink()), [](T &plugin, const Context &with) {
            return plugin.load(with);
          }, loaded->plugin, cx);
        } catch (...) {
          discard(loaded);
          throw;
        }
#else
        status = given(cx, Reply(host, ctx, pintle_discard_sink()), [](T &plugin, const Context &with) {
          return plugin.load(with);
        }, loaded->plugin, cx);
#endif
        if (status != PINTLE_OK) {
          discard(loaded);
          return status;
        }
      }
      *state = loaded;
      return PINTLE_OK;
    });
  }

  /* Destroys a plugin where something else is being told already. */
  static void discard(State *loaded) noexcept {
    (void)logging(loaded->host, loaded->own, "the plugin threw when it was destroyed", [loaded] {
      delete loaded;
      return PINTLE_OK;
    });
  }

  static void unload(void *state, pintle_ctx ctx) noexcept {
    if (state == nullptr) return;
    State *loaded = static_cast<State *>(state);
    if constexpr (has_unload<T>()) {
      (void)logging(loaded->host, ctx, "the plugin threw in unload", [&] {
        const Context cx(loaded->host, ctx, loaded->own);
        return given(cx, Reply(loaded->host, ctx, pintle_discard_sink()), [](T &plugin, const Context &with) {
          return plugin.unload(with);
        }, loaded->plugin, cx);
      });
    }
    discard(loaded);
  }

  static constexpr auto enable() -> decltype(pintle_plugin::enable) {
    if constexpr (has_enable<T>()) {
      return [](void *state, pintle_ctx ctx) noexcept {
        return run(state, ctx, [](T &plugin, const Context &cx) { return plugin.enable(cx); });
      };
    } else {
      return nullptr;
    }
  }
  static constexpr auto disable() -> decltype(pintle_plugin::disable) {
    if constexpr (has_disable<T>()) {
      return [](void *state, pintle_ctx ctx) noexcept {
        return run(state, ctx, [](T &plugin, const Context &cx) { return plugin.disable(cx); });
      };
    } else {
      return nullptr;
    }
  }
  static constexpr auto configure() -> decltype(pintle_plugin::configure) {
    if constexpr (has_configure<T>()) {
      return [](void *state, pintle_ctx ctx, pintle_bytes config) noexcept {
        const auto configure = [](T &plugin, const Context &cx, std::string_view text) {
          return plugin.configure(cx, text);
        };
        return run(state, ctx, configure, Bytes(config).text());
      };
    } else {
      return nullptr;
    }
  }
  static constexpr auto save() -> decltype(pintle_plugin::save) {
    if constexpr (has_save<T>()) {
      return [](void *state, pintle_ctx ctx, pintle_sink out) noexcept {
        return run_with(state, ctx, out, [](T &plugin, const Context &cx) { return plugin.save(cx); });
      };
    } else {
      return nullptr;
    }
  }
  static constexpr auto restore() -> decltype(pintle_plugin::restore) {
    if constexpr (has_restore<T>()) {
      return [](void *state, pintle_ctx ctx, std::uint32_t schema, pintle_bytes saved) noexcept {
        const auto restore = [](T &plugin, const Context &cx, std::uint32_t of, Bytes bytes) {
          return plugin.restore(cx, of, bytes);
        };
        return run(state, ctx, restore, schema, Bytes(saved));
      };
    } else {
      return nullptr;
    }
  }
  static constexpr auto call() -> decltype(pintle_plugin::call) {
    if constexpr (has_call<T>()) {
      return [](void *state, pintle_ctx ctx, const pintle_request *request, pintle_sink reply) noexcept {
        if (state == nullptr || request == nullptr || !PINTLE_HAS(request, data)) return PINTLE_INVALID_ARGUMENT;
        State &loaded = *static_cast<State *>(state);
        const auto body = [](T &plugin, const Context &cx, const Request &lent, const Reply &to) {
          (void)to;
          if constexpr (calls_long<T>::value) {
            return plugin.call(cx, lent, to);
          } else {
            return plugin.call(cx, lent);
          }
        };
        return run_with(state, ctx, reply, body, Request(request), Reply(loaded.host, ctx, reply));
      };
    } else {
      return nullptr;
    }
  }
  static constexpr auto provide() -> decltype(pintle_plugin::provide) {
    if constexpr (has_provide<T>()) {
      return [](void *state, pintle_str service, std::uint32_t major) noexcept -> const void * {
        if (state == nullptr) return nullptr;
        State &loaded = *static_cast<State *>(state);
        const void *table = nullptr;
        const pintle_status status = logging(loaded.host, loaded.own, "the plugin threw in provide", [&] {
          table = loaded.plugin.provide(view(service), major);
          return PINTLE_OK;
        });
        return status == PINTLE_OK ? table : nullptr;
      };
    } else {
      return nullptr;
    }
  }
};

}  // namespace detail
}  // namespace pintle

#undef PINTLE_ASK_

/* Makes a class the plugin of this library: once, at file level, outside of namespaces, after PINTLE_MANIFEST, whose id
 * and version are repeated. What the class may have, all of it optional and public (one that is private is refused):
 *
 *   Plugin(const pintle::Context &cx)      load: prepares. What it throws refuses the load. Or a default constructor,
 *   load(cx)                               and this after it, which may answer a status: for -fno-exceptions
 *   enable(cx)                             acts; from its end on, handlers run
 *   disable(cx)                            stops acting; `enable` may follow
 *   unload(cx)                             flushes; the destructor follows
 *   configure(cx, std::string_view json)   takes a new config, or throws and keeps the old one
 *   save(cx)                               gives what the next generation needs, as std::string or the like
 *   restore(cx, std::uint32_t schema, pintle::Bytes saved)
 *   call(cx, const pintle::Request &)      answers a call: returns the reply's bytes, or takes a third parameter
 *                                          const pintle::Reply &
 *   provide(std::string_view service, std::uint32_t major)   gives a table, or null
 *
 * Each answers nothing or a pintle_status, where it says nothing else. All but `call` and `provide` run alone, with the
 * plugin's own context, in the system scope. See pintle_plugin in plugin.h for deadlines. */
#define PINTLE_PLUGIN(Type, id_text, version_text)                                                              \
  PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) {                                             \
    using PintleEntry = ::pintle::detail::Entry<Type>;                                                          \
    static const pintle_plugin plugin = {                                                                       \
        static_cast<std::uint32_t>(sizeof(pintle_plugin)),                                                      \
        PINTLE_ABI_MINOR,                                                                                       \
        PINTLE_MANIFEST_BYTES,                                                                                  \
        PINTLE_STR_INIT(id_text),                                                                               \
        PINTLE_STR_INIT(version_text),                                                                          \
        PintleEntry::load,                                                                                      \
        PintleEntry::enable(),                                                                                  \
        PintleEntry::disable(),                                                                                 \
        PintleEntry::unload,                                                                                    \
        PintleEntry::configure(),                                                                               \
        PintleEntry::save(),                                                                                    \
        PintleEntry::restore(),                                                                                 \
        PintleEntry::call(),                                                                                    \
        PintleEntry::provide(),                                                                                 \
    };                                                                                                          \
    return &plugin;                                                                                             \
  }                                                                                                             \
  static_assert(true, "so that it takes a semicolon")

#endif /* PINTLE_PLUGIN_HPP */
