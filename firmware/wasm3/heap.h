// What interpreter.c and modwasm3.c need of each other.
#pragma once
#include <stddef.h>
#include <stdint.h>

void *wasm3_calloc(size_t count, size_t size);
void *wasm3_realloc(void *block, size_t size);
void wasm3_free(void *block);

struct M3Runtime;
// Bytes of linear memory that are there, whatever size the module sees; above them is a trap.
void wasm3_limit_memory(struct M3Runtime *runtime, uint32_t bytes);
