/* A library that leaves a file named MARK.<how> by each way in which loading it can run its code. With -DPLUGIN=1 it is a
 * plugin as well, with -DPLUGIN=9 one of a contract that no host has. */
#include <fcntl.h>
#include <unistd.h>

static void leave(const char *mark) {
  int file = open(mark, O_WRONLY | O_CREAT, 0600);
  if (file >= 0) close(file);
}

__attribute__((constructor)) static void constructed(void) { leave(MARK ".constructor"); }
__attribute__((destructor)) static void destroyed(void) { leave(MARK ".destructor"); }

/* Named to the linker as DT_INIT. */
void started(void);
void started(void) { leave(MARK ".init"); }

static void listed(void) { leave(MARK ".init_array"); }
__attribute__((section(".init_array"), used)) static void (*list[])(void) = {listed};

#if defined(__x86_64__) && defined(__GLIBC__)
/* The loader calls it while it relocates, when no other function can be called yet. */
static int chosen(void) { return 7; }
__attribute__((used)) static int (*choose(void))(void) {
  static const char mark[] = MARK ".ifunc";
  long made;
  __asm__ volatile("syscall" : "=a"(made) : "a"(85L), "D"(mark), "S"(0600L) : "rcx", "r11", "memory");
  return chosen;
}
int pick(void) __attribute__((ifunc("choose")));
int (*picked)(void) = pick;
#endif

#ifdef PLUGIN
#include <pintle/plugin.h>
#if PLUGIN == 1
PINTLE_MANIFEST({ "id": "planted", "version": "0.1.0", "abi": "1.0" });
#else
PINTLE_MANIFEST({ "id": "planted", "version": "0.1.0", "abi": "9.0" });
#endif
static pintle_status load(pintle_ctx ctx, const pintle_host *host, void **state) {
  (void)ctx, (void)host;
  *state = (void *)0;
  return PINTLE_OK;
}

static const pintle_plugin plugin = {
  .size = sizeof plugin,
  .abi_minor = PINTLE_ABI_MINOR,
  .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("planted"),
  .version = PINTLE_STR_INIT("0.1.0"),
  .load = load,
};
PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
#endif
