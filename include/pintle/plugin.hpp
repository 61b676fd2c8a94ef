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
 * Ownership. Text and bytes that are passed in are borrowed for the call. What an Event, Run, Request or HandlerResult
 * shows is borrowed from the host until the function that got it returns: copy what is to be kept. Subscription, Job,
 * Logger, HeldContext and Buffer own what they name, can be moved only, and end it in their destructor; `detach` leaves
 * it to the plugin's life. Handlers are moved into the host's keeping and destroyed on the lane after their last call.
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

/* One namespace of the volatile items of the plugin and the context's tenant; its name is borrowed. Nothing blocks where
 * the host's settings name no back end. Lifetimes are above zero, or `forever`; where none is given the host's settings
 * say, 1 hour by default. Batches, tags, patterns, lists of keys and loading once have no form of their own here: they
 * are those of plugin.h, as `cx.host()->cache` with `cx.raw()`. */
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
};

/* One page of keys. `next` is empty after the last. */
struct Page {
  std::vector<std::string> keys;
  std::string next;
};

/* The durable items of the plugin and the context's tenant. Writing blocks until it is on disk, reading while the disk
 * reads. Writes in the constructor, `load` and `restore` are UNAVAILABLE. */
class Storage : private detail::Part {
 public:
  /* storage.get; `info` may be null; set its size. */
  [[nodiscard]] pintle_status try_get(std::string_view key, pintle_sink out,
                                      pintle_storage_info *info = nullptr) const noexcept {
    return PINTLE_ASK_(storage, get, ctx_, detail::str(key), out, info);
  }
  /* storage.set; gives the item's new version. */
  [[nodiscard]] pintle_status try_set(std::string_view key, Bytes value, std::uint64_t &version) const noexcept {
    return PINTLE_ASK_(storage, set, ctx_, detail::str(key), value.raw(), nullptr, &version);
  }
  /* storage.set where the item has the version `expected` (0: is not there). CONFLICT otherwise; then `version` is the
   * one that it has. */
  [[nodiscard]] pintle_status try_set_if(std::string_view key, Bytes value, std::uint64_t expected,
                                         std::uint64_t &version) const noexcept {
    pintle_storage_options options = {};
    options.size = static_cast<std::uint32_t>(sizeof options);
    options.flags = PINTLE_STORAGE_IF_VERSION;
    options.if_version = expected;
    return PINTLE_ASK_(storage, set, ctx_, detail::str(key), value.raw(), &options, &version);
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
    return item;
  }
  /* The item's new version. */
  std::uint64_t set(std::string_view key, Bytes value) const {
    std::uint64_t version = 0;
    check(try_set(key, value, version));
    return version;
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
    Page page;
    std::string joined;
    Sink next([&page](Bytes piece) { page.next.append(piece.text()); });
    const bool found = collect(joined, [&](pintle_sink out) {
      const pintle_status status = try_keys(prefix, cursor, limit, out, next);
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
  /* All keys with this prefix, page by page: those that come or go meanwhile may be among them or not. */
  std::vector<std::string> keys(std::string_view prefix) const {
    Page all = page(prefix, {}, 1000);
    while (!all.next.empty()) {
      Page more = page(prefix, all.next, 1000);
      for (std::string &key : more.keys) all.keys.push_back(std::move(key));
      all.next = std::move(more.next);
    }
    return std::move(all.keys);
  }
  /* How many there were. */
  std::uint64_t clear() const {
    std::uint64_t removed = 0;
    check(try_clear(removed));
    return removed;
  }
#endif

 private:
  friend class Context;
  explicit Storage(const Part &part) noexcept : Part(part) {}
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
  const pintle_event *raw() const noexcept { return raw_; }

  explicit Event(const pintle_event *raw) noexcept : raw_(raw) {}

 private:
  const pintle_event *raw_;
};

/* One run of a job, lent to its handler. */
class Run {
 public:
  std::string_view job() const noexcept { return detail::view(raw_->job); }
  /* 1 for the first. */
  std::uint32_t attempt() const noexcept { return raw_->attempt; }
  /* When it was due, in milliseconds since 1970-01-01 UTC. */
  std::int64_t due_ms() const noexcept { return raw_->due_ms; }
  const pintle_run *raw() const noexcept { return raw_; }

  explicit Run(const pintle_run *raw) noexcept : raw_(raw) {}

 private:
  const pintle_run *raw_;
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
  std::string_view id = {};
  std::string_view subject = {};
  std::string_view content_type = {};
  std::string_view key = {};
  /* How long to wait for room in queues that make a publisher wait; must be zero for emit_sync. */
  std::chrono::milliseconds wait{0};
};

/* What happens to an event whose subscription has a full queue. */
enum class Queue : std::uint32_t {
  drop_oldest = PINTLE_QUEUE_DROP_OLDEST,
  drop_new = PINTLE_QUEUE_DROP_NEW,
  wait = PINTLE_QUEUE_WAIT
};

/* How a subscription is to be kept; empty and zero mean default, as in pintle_subscribe_options. */
struct SubscribeOptions {
  std::string_view name = {};
  std::uint32_t capacity = 0;
  Queue policy = Queue::drop_oldest;
};

/* What to do with a run that is due while the last one has not ended. */
enum class Overlap : std::uint32_t { skip = PINTLE_OVERLAP_SKIP, queue = PINTLE_OVERLAP_QUEUE };

/* How a job is to be kept; empty means default, as in pintle_job_options. */
struct JobOptions {
  std::string_view zone = {};
  Overlap overlap = Overlap::skip;
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

/* The `user` of a registration. */
template <class Handler>
struct Registered {
  const pintle_host *host;
  pintle_ctx own;
  Handler handler;

  static void release(void *user) noexcept;
  static pintle_status on_event(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) noexcept;
  static pintle_status on_run(void *user, pintle_ctx ctx, const pintle_run *run, pintle_sink reply) noexcept;
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

/* Owns a job: it ends with this object, and a run under way is finished. Keep it as a member of the plugin, or `detach`
 * it. */
class Job : public detail::Registration<detail::EndJob> {
 public:
  using Registration::Registration;
  /* scheduler.remove: STALE_HANDLE if it is over already, as a job of `once` is after its run. */
  pintle_status try_remove() noexcept { return end(); }
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
    raw.capacity = options.capacity;
    raw.policy = static_cast<std::uint32_t>(options.policy);
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

#if PINTLE_EXCEPTIONS
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

#if PINTLE_EXCEPTIONS
  /* The job ends with what is returned: keep it, or `detach` it. So for all three. */
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
#endif

 private:
  friend class Context;
  explicit Scheduler(const Part &part) noexcept : Part(part) {}

  template <class Handler, class Register>
  pintle_status hand_over(Handler handler, Job &job, const JobOptions &options, Register &&enroll) const {
    using Kept = detail::Registered<Handler>;
    pintle_job_options raw = {};
    raw.size = static_cast<std::uint32_t>(sizeof raw);
    raw.zone = detail::str(options.zone);
    raw.overlap = static_cast<std::uint32_t>(options.overlap);
    Kept *kept = detail::make<Kept>(host_, own_, std::move(handler));
    if (kept == nullptr) return PINTLE_TOO_LARGE;
    pintle_registration handle = 0;
    const pintle_status status =
        enroll(Kept::on_run, kept, Kept::release, static_cast<const pintle_job_options *>(&raw), &handle);
    if (status == PINTLE_OK) {
      job = Job(host_, own_, handle);
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
  Storage storage() const noexcept { return Storage(*this); }
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
#endif

  /* For calls that this header does not have. */
  const pintle_host *host() const noexcept { return host_; }
  pintle_ctx raw() const noexcept { return ctx_; }
  /* The plugin's own context, which lives as long as its generation. */
  Context own() const noexcept { return Context(host_, own_, own_); }

 private:
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

#if PINTLE_EXCEPTIONS
inline HeldContext Context::hold() const {
  HeldContext held;
  check(try_hold(held));
  return held;
}

template <class Take>
void Sink<Take>::check(const Context &cx, pintle_status status) {
  rethrow();
  cx.check(status);
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
                  "a handler takes (const pintle::Context &, const pintle::Event &), or Run, and perhaps a Reply");
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
  if (user == nullptr || run == nullptr || !PINTLE_HAS(run, due_ms)) return PINTLE_INVALID_ARGUMENT;
  auto *self = static_cast<Registered *>(user);
  return answering(self->host, ctx, [&] {
    return answer(Context(self->host, ctx, self->own), Reply(self->host, ctx, reply), self->handler, Run(run));
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
