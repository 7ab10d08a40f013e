// How wasm3 is built for boards; every option may be set with -D, or in mpconfigboard.h before this file.
#pragma once

// The deepest value stack that a function may need. wasm3 keeps 5 bytes for each in every runtime.
#ifndef d_m3MaxFunctionStackHeight
#define d_m3MaxFunctionStackHeight 512
#endif
// Compiled code grows in steps of this many bytes.
#ifndef d_m3CodePageAlignSize
#define d_m3CodePageAlignSize 1024
#endif
#ifndef d_m3MaxConstantTableSize
#define d_m3MaxConstantTableSize 64
#endif
#ifndef d_m3VerboseErrorMessages
#define d_m3VerboseErrorMessages 0
#endif

// Function.call_argv(): wasm3 needs strtoull and strtod for it.
#ifndef WASM3_CALL_ARGV
#define WASM3_CALL_ARGV 0
#endif
// The most parameters or results of a function, as in pywasm3.
#ifndef WASM3_MAX_VALUES
#define WASM3_MAX_VALUES 32
#endif
