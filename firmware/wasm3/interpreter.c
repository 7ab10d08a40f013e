// wasm3 0.5.0 as one translation unit: its memory comes from MicroPython's heap, so the collector sees and counts it.
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include "heap.h"

#define calloc wasm3_calloc
#define realloc wasm3_realloc
#define free wasm3_free
#include "m3_core.c"
#undef calloc
#undef realloc
#undef free

#include "m3_bind.c"
#include "m3_code.c"
#include "m3_compile.c"
#include "m3_emit.c"
#include "m3_env.c"
#include "m3_exec.c"
#include "m3_function.c"
#include "m3_info.c"
#include "m3_module.c"
#include "m3_parse.c"

// The public header has no way to set it.
void wasm3_limit_memory(IM3Runtime runtime, uint32_t bytes) {
    runtime->memoryLimit = bytes;
}
