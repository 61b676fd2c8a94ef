#ifndef PINTLE_PLUGIN_H
#define PINTLE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if UINTPTR_MAX != UINT64_MAX
#error "Pintle is for 64-bit platforms only"
#endif

/* Makes the entry function visible, whatever -fvisibility says, and gives it C linkage. */
#if defined(_WIN32)
#define PINTLE_VISIBLE __declspec(dllexport)
#else
#define PINTLE_VISIBLE __attribute__((visibility("default")))
#endif
#ifdef __cplusplus
#define PINTLE_EXPORT extern "C" PINTLE_VISIBLE
#else
#define PINTLE_EXPORT PINTLE_VISIBLE
#endif

/* -DPINTLE_ENTRY=name renames the entry function of a plugin that is compiled into an application. */
#ifdef PINTLE_ENTRY
#define pintle_plugin_entry_v1 PINTLE_ENTRY
#endif
