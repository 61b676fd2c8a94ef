/* What second_unit.c offers to plugin.c. */
#ifndef SECOND_UNIT_H
#define SECOND_UNIT_H

#include <pintle/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
__attribute__((visibility("hidden")))
#endif
size_t second_unit_length(pintle_str text);
#ifdef __cplusplus
}
#endif

#endif
