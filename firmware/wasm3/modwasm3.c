// The module `wasm3` for MicroPython: pywasm3's API, with close(), a memory limit and a timeout.
//
//     environment = wasm3.Environment()
//     runtime = environment.new_runtime(stack_bytes[, memory_bytes])   memory_bytes: see heap.h, 0 is no limit
//     runtime.timeout_ms = 500                                         0 is none
//     module = environment.parse_module(buffer)                        not copied: it must stay as it is
//     runtime.load(module)
//     module.link_function(module_name, name, [signature,] function)
//     module.get_global(name), module.set_global(name, value), module.name
//     function = runtime.find_function(name)                           runs a start function first
//     function(*arguments)                                             None, a value, or a tuple of values
//     function.name, .num_args, .num_rets, .arg_types, .ret_types
//     runtime.get_memory(0)        a memoryview, None without a memory; wrong as soon as the module has run again
//     runtime.close(), environment.close()                             free at once what the collector would free later
//
// Errors are RuntimeError with wasm3's text. What a linked function raises comes out of find_function() or of the call
// unchanged. A trap for too deep a recursion comes before the C stack is full; the deadline and Ctrl-C are looked at
// at calls, also those of linked functions: a loop that calls nothing is not interrupted.

#include <string.h>

#include "config.h"
#include "heap.h"
#include "py/binary.h"
#include "py/gc.h"
#include "py/mphal.h"
#include "py/objstr.h"
#include "py/runtime.h"
#include "wasm3.h"

// Texts of ours among wasm3's.
static const char RAISED[] = "[trap] a linked function raised";
static const char DEADLINE[] = "[trap] deadline";
static const char INTERRUPTED[] = "[trap] interrupted";
static const char CLOSED[] = "closed";

// ------------------------------------------------------------------------------------------------ the heap

void *wasm3_calloc(size_t count, size_t size) {
    void *block = m_malloc_maybe(count * size);
    if (block != NULL) {
        memset(block, 0, count * size);
    }
    return block;
}

void *wasm3_realloc(void *block, size_t size) {
    #if MICROPY_MALLOC_USES_ALLOCATED_SIZE
    return m_realloc_maybe(block, block == NULL ? 0 : gc_nbytes(block), size, true);
    #else
    return m_realloc_maybe(block, size, true);
    #endif
}

void wasm3_free(void *block) {
    if (block != NULL) {
        gc_free(block);
    }
}

// ------------------------------------------------------------------------------------------------ the objects

typedef struct {
    mp_obj_base_t base;
    IM3Environment environment; // NULL: closed
    size_t runtimes; // that are open
} environment_t;

typedef struct {
    mp_obj_base_t base;
    environment_t *environment;
    IM3Runtime runtime; // NULL: closed
    mp_obj_t modules; // wasm3's own pointers to their bytes and functions mean nothing to the collector
    mp_obj_t raised; // by a linked function, MP_OBJ_NULL: nothing
    mp_int_t timeout_ms;
    bool running;
} runtime_t;

typedef struct {
    mp_obj_base_t base;
    environment_t *environment;
    IM3Module module;
    mp_obj_t bytes;
    mp_obj_t linked;
    runtime_t *runtime; // NULL: not loaded
} module_t;

typedef struct {
    mp_obj_base_t base;
    runtime_t *runtime;
    IM3Function function;
} function_t;

static const mp_obj_type_t runtime_type, module_type, function_type;

static __attribute__((noreturn)) void fail(M3Result error) {
    mp_raise_msg_varg(&mp_type_RuntimeError, MP_ERROR_TEXT("%s"), error);
}

static environment_t *open_environment(mp_obj_t self) {
    environment_t *environment = MP_OBJ_TO_PTR(self);
    if (environment->environment == NULL) {
        fail(CLOSED);
    }
    return environment;
}

static runtime_t *open_runtime(runtime_t *runtime) {
    if (runtime->runtime == NULL) {
        fail(CLOSED);
    }
    return runtime;
}

static module_t *open_module(mp_obj_t self) {
    module_t *module = MP_OBJ_TO_PTR(self);
    if (module->runtime != NULL) {
        open_runtime(module->runtime);
    } else if (module->environment->environment == NULL) {
        fail(CLOSED);
    }
    return module;
}

static function_t *open_function(mp_obj_t self) {
    function_t *function = MP_OBJ_TO_PTR(self);
    open_runtime(function->runtime);
    return function;
}

// Raises what a linked function raised, what has interrupted the program, or wasm3's error.
static void check(runtime_t *runtime, M3Result error) {
    if (error == m3Err_none) {
        return;
    }
    M3ErrorInfo info = { 0 };
    m3_GetErrorInfo(runtime->runtime, &info); // read always: wasm3 would give this detail with the next error
    mp_obj_t raised = runtime->raised;
    if (raised != MP_OBJ_NULL) {
        runtime->raised = MP_OBJ_NULL;
        nlr_raise(MP_OBJ_TO_PTR(raised));
    }
    mp_handle_pending(true);
    if (info.message != NULL && info.message[0] != '\0') {
        mp_raise_msg_varg(&mp_type_RuntimeError, MP_ERROR_TEXT("%s (%s)"), error, info.message);
    }
    fail(error);
}

// ------------------------------------------------------------------------------------------------ while it runs

typedef struct {
    uintptr_t floor; // the C stack must not grow below
    bool timed;
    mp_uint_t deadline;
    unsigned int countdown; // calls until the clock is looked at
} watch_t;

enum { CALLS = 100 };
static watch_t watch; // of the runtime that runs

static M3Result look(void) {
    watch.countdown = CALLS;
    if (watch.timed && (mp_int_t)(mp_hal_ticks_ms() - watch.deadline) >= 0) {
        return DEADLINE;
    }
    if (MP_STATE_MAIN_THREAD(mp_pending_exception) != MP_OBJ_NULL) {
        return INTERRUPTED;
    }
    return m3Err_none;
}

// wasm3 asks at each call of a function; its own is weak.
M3Result m3_Yield(void) {
    if ((uintptr_t)__builtin_frame_address(0) < watch.floor) {
        return m3Err_trapStackOverflow;
    }
    return --watch.countdown == 0 ? look() : m3Err_none;
}

static watch_t enter(runtime_t *runtime) {
    if (runtime->running) {
        fail("the runtime is running");
    }
    watch_t outer = watch;
    runtime->running = true;
    runtime->raised = MP_OBJ_NULL;
    // A quarter of the stack stays for the linked functions: in them too deep a recursion is an error of ours.
    size_t limit = MP_STATE_THREAD(stack_limit);
    watch.floor = (uintptr_t)MP_STATE_THREAD(stack_top) - limit + limit / 4;
    watch.timed = runtime->timeout_ms > 0;
    watch.deadline = mp_hal_ticks_ms() + runtime->timeout_ms;
    watch.countdown = CALLS;
    return outer;
}

static void leave(runtime_t *runtime, const watch_t *outer, M3Result error) {
    watch = *outer;
    runtime->running = false;
    check(runtime, error);
}

// ------------------------------------------------------------------------------------------------ values

static mp_obj_t get_value(const void *cell, M3ValueType type) {
    union { int32_t i32; int64_t i64; float f32; double f64; } value;
    memcpy(&value, cell, sizeof(value));
    switch (type) {
        case c_m3Type_i32:
            return mp_obj_new_int(value.i32);
        case c_m3Type_i64:
            return mp_obj_new_int_from_ll(value.i64);
        case c_m3Type_f32:
            return mp_obj_new_float((mp_float_t)value.f32);
        case c_m3Type_f64:
            return mp_obj_new_float((mp_float_t)value.f64);
        default:
            return mp_const_none;
    }
}

// Of an int too large the low bits count.
static void put_value(void *cell, M3ValueType type, mp_obj_t object) {
    union { uint32_t i32; uint64_t i64; float f32; double f64; byte bytes[8]; } value = { .i64 = 0 };
    size_t size = 8;
    switch (type) {
        case c_m3Type_i32:
            value.i32 = (uint32_t)mp_obj_get_int_truncated(object);
            size = 4;
            break;
        case c_m3Type_i64: {
            byte *at = value.bytes;
            mp_binary_set_val('@', 'q', object, at, &at);
            break;
        }
        case c_m3Type_f32:
            value.f32 = (float)mp_obj_get_float(object);
            size = 4;
            break;
        case c_m3Type_f64:
            value.f64 = (double)mp_obj_get_float(object);
            break;
        default:
            return;
    }
    memcpy(cell, &value, size);
}

static void check_count(size_t count) {
    if (count > WASM3_MAX_VALUES) {
        fail("a function has too many parameters or results");
    }
}

// ------------------------------------------------------------------------------------------------ Environment

static mp_obj_t environment_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 0, 0, false);
    environment_t *self = mp_obj_malloc(environment_t, type);
    self->runtimes = 0;
    self->environment = m3_NewEnvironment();
    if (self->environment == NULL) {
        m_malloc_fail(0);
    }
    return MP_OBJ_FROM_PTR(self);
}

static mp_obj_t environment_new_runtime(size_t n_args, const mp_obj_t *args) {
    environment_t *environment = open_environment(args[0]);
    mp_int_t stack_bytes = mp_obj_get_int(args[1]);
    mp_int_t memory_bytes = n_args > 2 ? mp_obj_get_int(args[2]) : 0;
    if (stack_bytes <= 0 || memory_bytes < 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("a stack needs bytes, a limit must not be negative"));
    }
    runtime_t *self = mp_obj_malloc(runtime_t, &runtime_type);
    self->environment = environment;
    self->runtime = NULL;
    self->modules = mp_obj_new_list(0, NULL);
    self->raised = MP_OBJ_NULL;
    self->timeout_ms = 0;
    self->running = false;
    self->runtime = m3_NewRuntime(environment->environment, stack_bytes, self);
    if (self->runtime == NULL) {
        m_malloc_fail(stack_bytes);
    }
    wasm3_limit_memory(self->runtime, memory_bytes);
    environment->runtimes++;
    return MP_OBJ_FROM_PTR(self);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(environment_new_runtime_obj, 2, 3, environment_new_runtime);

static mp_obj_t environment_parse_module(mp_obj_t self_in, mp_obj_t bytes) {
    environment_t *environment = open_environment(self_in);
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(bytes, &buffer, MP_BUFFER_READ);
    module_t *self = mp_obj_malloc(module_t, &module_type);
    self->environment = environment;
    self->module = NULL;
    self->bytes = bytes;
    self->linked = mp_obj_new_list(0, NULL);
    self->runtime = NULL;
    M3Result error = m3_ParseModule(environment->environment, &self->module, buffer.buf, buffer.len);
    if (error != m3Err_none) {
        fail(error);
    }
    return MP_OBJ_FROM_PTR(self);
}
static MP_DEFINE_CONST_FUN_OBJ_2(environment_parse_module_obj, environment_parse_module);

static mp_obj_t environment_close(mp_obj_t self_in) {
    environment_t *self = MP_OBJ_TO_PTR(self_in);
    if (self->runtimes > 0) {
        fail("close the runtimes first");
    }
    m3_FreeEnvironment(self->environment);
    self->environment = NULL;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(environment_close_obj, environment_close);

static const mp_rom_map_elem_t environment_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_new_runtime), MP_ROM_PTR(&environment_new_runtime_obj) },
    { MP_ROM_QSTR(MP_QSTR_parse_module), MP_ROM_PTR(&environment_parse_module_obj) },
    { MP_ROM_QSTR(MP_QSTR_close), MP_ROM_PTR(&environment_close_obj) },
};
static MP_DEFINE_CONST_DICT(environment_locals, environment_locals_table);

static MP_DEFINE_CONST_OBJ_TYPE(
    environment_type, MP_QSTR_Environment, MP_TYPE_FLAG_NONE,
    make_new, environment_make_new,
    locals_dict, &environment_locals
    );

// ------------------------------------------------------------------------------------------------ Runtime

static mp_obj_t runtime_load(mp_obj_t self_in, mp_obj_t module_in) {
    runtime_t *self = open_runtime(MP_OBJ_TO_PTR(self_in));
    if (!mp_obj_is_type(module_in, &module_type)) {
        mp_raise_TypeError(MP_ERROR_TEXT("load() takes a Module"));
    }
    module_t *module = open_module(module_in);
    mp_obj_list_append(self->modules, module_in);
    check(self, m3_LoadModule(self->runtime, module->module));
    module->runtime = self;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(runtime_load_obj, runtime_load);

static mp_obj_t runtime_find_function(mp_obj_t self_in, mp_obj_t name_in) {
    runtime_t *runtime = open_runtime(MP_OBJ_TO_PTR(self_in));
    const char *name = mp_obj_str_get_str(name_in);
    function_t *self = mp_obj_malloc(function_t, &function_type);
    self->runtime = runtime;
    watch_t outer = enter(runtime);
    leave(runtime, &outer, m3_FindFunction(&self->function, runtime->runtime, name));
    return MP_OBJ_FROM_PTR(self);
}
static MP_DEFINE_CONST_FUN_OBJ_2(runtime_find_function_obj, runtime_find_function);

static mp_obj_t runtime_get_memory(mp_obj_t self_in, mp_obj_t index) {
    runtime_t *self = open_runtime(MP_OBJ_TO_PTR(self_in));
    uint32_t size = 0;
    uint8_t *memory = m3_GetMemory(self->runtime, &size, mp_obj_get_int(index));
    if (memory == NULL) {
        return mp_const_none;
    }
    return mp_obj_new_memoryview(MP_OBJ_ARRAY_TYPECODE_FLAG_RW | 'B', size, memory);
}
static MP_DEFINE_CONST_FUN_OBJ_2(runtime_get_memory_obj, runtime_get_memory);

static mp_obj_t runtime_close(mp_obj_t self_in) {
    runtime_t *self = MP_OBJ_TO_PTR(self_in);
    if (self->running) {
        fail("the runtime is running");
    }
    if (self->runtime != NULL) {
        m3_FreeRuntime(self->runtime);
        self->runtime = NULL;
        self->modules = mp_const_none;
        self->environment->runtimes--;
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(runtime_close_obj, runtime_close);

static void runtime_attr(mp_obj_t self_in, qstr name, mp_obj_t *dest) {
    runtime_t *self = MP_OBJ_TO_PTR(self_in);
    if (name != MP_QSTR_timeout_ms) {
        dest[1] = MP_OBJ_SENTINEL; // look in locals_dict
    } else if (dest[0] == MP_OBJ_NULL) {
        dest[0] = mp_obj_new_int(self->timeout_ms);
    } else if (dest[1] != MP_OBJ_NULL) {
        self->timeout_ms = mp_obj_get_int(dest[1]);
        dest[0] = MP_OBJ_NULL; // stored
    }
}

static const mp_rom_map_elem_t runtime_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_load), MP_ROM_PTR(&runtime_load_obj) },
    { MP_ROM_QSTR(MP_QSTR_find_function), MP_ROM_PTR(&runtime_find_function_obj) },
    { MP_ROM_QSTR(MP_QSTR_get_memory), MP_ROM_PTR(&runtime_get_memory_obj) },
    { MP_ROM_QSTR(MP_QSTR_close), MP_ROM_PTR(&runtime_close_obj) },
};
static MP_DEFINE_CONST_DICT(runtime_locals, runtime_locals_table);

static MP_DEFINE_CONST_OBJ_TYPE(
    runtime_type, MP_QSTR_Runtime, MP_TYPE_FLAG_NONE,
    attr, runtime_attr,
    locals_dict, &runtime_locals
    );

// ------------------------------------------------------------------------------------------------ Module

static MP_NOINLINE void call_python(mp_obj_t python, IM3Function function, uint64_t *cells) {
    size_t n_args = m3_GetArgCount(function);
    size_t n_results = m3_GetRetCount(function);
    check_count(n_args);
    mp_obj_t args[WASM3_MAX_VALUES];
    for (size_t i = 0; i < n_args; i++) {
        args[i] = get_value(&cells[n_results + i], m3_GetArgType(function, i));
    }
    mp_obj_t result = mp_call_function_n_kw(python, n_args, 0, args);
    if (n_results == 1) {
        put_value(&cells[0], m3_GetRetType(function, 0), result);
    } else if (n_results > 1) {
        mp_obj_t *results;
        mp_obj_get_array_fixed_n(result, n_results, &results);
        for (size_t i = 0; i < n_results; i++) {
            put_value(&cells[i], m3_GetRetType(function, i), results[i]);
        }
    }
}

// On its own and with nothing inlined: nlr_push() returns twice, the compiler does not know, and it would use the stack
// of a variable that is needed again for another one.
static MP_NOINLINE M3Result catch_raised(runtime_t *volatile runtime, IM3ImportContext context, uint64_t *cells) {
    nlr_buf_t nlr;
    if (nlr_push(&nlr) == 0) {
        call_python(MP_OBJ_FROM_PTR(context->userdata), context->function, cells);
        nlr_pop();
        return m3Err_none;
    }
    runtime->raised = MP_OBJ_FROM_PTR(nlr.ret_val);
    return RAISED;
}

// The results' cells come first on wasm3's stack, then the arguments'.
static const void *call_linked(IM3Runtime wasm3_runtime, IM3ImportContext context, uint64_t *cells, void *memory) {
    M3Result error = m3_Yield();
    if (error == m3Err_none) {
        watch_t mine = watch; // what is called may run other modules
        error = catch_raised(m3_GetUserData(wasm3_runtime), context, cells);
        watch = mine;
    }
    return error;
}

static mp_obj_t module_link_function(size_t n_args, const mp_obj_t *args) {
    module_t *self = open_module(args[0]);
    if (self->runtime == NULL) {
        fail("load the module first");
    }
    mp_obj_t python = args[n_args - 1];
    const char *signature = n_args == 5 ? mp_obj_str_get_str(args[3]) : NULL;
    const char *module = mp_obj_str_get_str(args[1]);
    const char *name = mp_obj_str_get_str(args[2]);
    mp_obj_list_append(self->linked, python);
    M3Result error = m3_LinkRawFunctionEx(self->module, module, name, signature, call_linked, MP_OBJ_TO_PTR(python));
    if (error != m3Err_functionLookupFailed) { // as in pywasm3: what the module does not import is left out
        check(self->runtime, error);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(module_link_function_obj, 4, 5, module_link_function);

static IM3Global find_global(module_t *self, mp_obj_t name) {
    IM3Global global = m3_FindGlobal(self->module, mp_obj_str_get_str(name));
    if (global == NULL) {
        fail(m3Err_globalLookupFailed);
    }
    return global;
}

static mp_obj_t module_get_global(mp_obj_t self_in, mp_obj_t name) {
    M3TaggedValue value;
    M3Result error = m3_GetGlobal(find_global(open_module(self_in), name), &value);
    if (error != m3Err_none) {
        fail(error);
    }
    return get_value(&value.value, value.type);
}
static MP_DEFINE_CONST_FUN_OBJ_2(module_get_global_obj, module_get_global);

static mp_obj_t module_set_global(mp_obj_t self_in, mp_obj_t name, mp_obj_t object) {
    IM3Global global = find_global(open_module(self_in), name);
    M3TaggedValue value = { .type = m3_GetGlobalType(global) };
    put_value(&value.value, value.type, object);
    M3Result error = m3_SetGlobal(global, &value);
    if (error != m3Err_none) {
        fail(error);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(module_set_global_obj, module_set_global);

static mp_obj_t new_text(const char *text) {
    return text == NULL ? mp_const_none : mp_obj_new_str_from_cstr(text);
}

static void module_attr(mp_obj_t self_in, qstr name, mp_obj_t *dest) {
    if (name != MP_QSTR_name) {
        dest[1] = MP_OBJ_SENTINEL;
    } else if (dest[0] == MP_OBJ_NULL) {
        dest[0] = new_text(m3_GetModuleName(open_module(self_in)->module));
    }
}

static const mp_rom_map_elem_t module_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_link_function), MP_ROM_PTR(&module_link_function_obj) },
    { MP_ROM_QSTR(MP_QSTR_get_global), MP_ROM_PTR(&module_get_global_obj) },
    { MP_ROM_QSTR(MP_QSTR_set_global), MP_ROM_PTR(&module_set_global_obj) },
};
static MP_DEFINE_CONST_DICT(module_locals, module_locals_table);

static MP_DEFINE_CONST_OBJ_TYPE(
    module_type, MP_QSTR_Module, MP_TYPE_FLAG_NONE,
    attr, module_attr,
    locals_dict, &module_locals
    );

// ------------------------------------------------------------------------------------------------ Function

static mp_obj_t results_of(function_t *self) {
    size_t count = m3_GetRetCount(self->function);
    if (count == 0) {
        return mp_const_none;
    }
    check_count(count);
    uint64_t cells[WASM3_MAX_VALUES];
    const void *pointers[WASM3_MAX_VALUES];
    for (size_t i = 0; i < count; i++) {
        pointers[i] = &cells[i];
    }
    check(self->runtime, m3_GetResults(self->function, count, pointers));
    mp_obj_t results[WASM3_MAX_VALUES];
    for (size_t i = 0; i < count; i++) {
        results[i] = get_value(&cells[i], m3_GetRetType(self->function, i));
    }
    return count == 1 ? results[0] : mp_obj_new_tuple(count, results);
}

static void run_function(function_t *self, size_t n_args, const mp_obj_t *args) {
    check_count(n_args);
    uint64_t cells[WASM3_MAX_VALUES];
    const void *pointers[WASM3_MAX_VALUES];
    for (size_t i = 0; i < n_args; i++) {
        put_value(&cells[i], m3_GetArgType(self->function, i), args[i]);
        pointers[i] = &cells[i];
    }
    watch_t outer = enter(self->runtime);
    leave(self->runtime, &outer, m3_Call(self->function, n_args, pointers));
}

static mp_obj_t function_call(mp_obj_t self_in, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    function_t *self = open_function(self_in);
    size_t wanted = m3_GetArgCount(self->function);
    mp_arg_check_num(n_args, n_kw, wanted, wanted, false);
    run_function(self, n_args, args);
    return results_of(self);
}

static mp_obj_t types_of(size_t count, M3ValueType (*type_of)(IM3Function, uint32_t), IM3Function function) {
    mp_obj_tuple_t *types = MP_OBJ_TO_PTR(mp_obj_new_tuple(count, NULL));
    for (size_t i = 0; i < count; i++) {
        types->items[i] = MP_OBJ_NEW_SMALL_INT(type_of(function, i));
    }
    return MP_OBJ_FROM_PTR(types);
}

static void function_attr(mp_obj_t self_in, qstr name, mp_obj_t *dest) {
    if (dest[0] != MP_OBJ_NULL) {
        return; // nothing can be set
    }
    IM3Function function = open_function(self_in)->function;
    switch (name) {
        case MP_QSTR_name:
            dest[0] = new_text(m3_GetFunctionName(function));
            break;
        case MP_QSTR_num_args:
            dest[0] = MP_OBJ_NEW_SMALL_INT(m3_GetArgCount(function));
            break;
        case MP_QSTR_num_rets:
            dest[0] = MP_OBJ_NEW_SMALL_INT(m3_GetRetCount(function));
            break;
        case MP_QSTR_arg_types:
            dest[0] = types_of(m3_GetArgCount(function), m3_GetArgType, function);
            break;
        case MP_QSTR_ret_types:
            dest[0] = types_of(m3_GetRetCount(function), m3_GetRetType, function);
            break;
        default:
            dest[1] = MP_OBJ_SENTINEL;
    }
}

#if WASM3_CALL_ARGV
static mp_obj_t function_call_argv(size_t n_args, const mp_obj_t *args) {
    function_t *self = open_function(args[0]);
    const char *texts[WASM3_MAX_VALUES];
    for (size_t i = 1; i < n_args; i++) {
        texts[i - 1] = mp_obj_str_get_str(args[i]);
    }
    watch_t outer = enter(self->runtime);
    leave(self->runtime, &outer, m3_CallArgv(self->function, n_args - 1, texts));
    return results_of(self);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(function_call_argv_obj, 1, WASM3_MAX_VALUES, function_call_argv);
#endif

static const mp_rom_map_elem_t function_locals_table[] = {
    #if WASM3_CALL_ARGV
    { MP_ROM_QSTR(MP_QSTR_call_argv), MP_ROM_PTR(&function_call_argv_obj) },
    #endif
};
static MP_DEFINE_CONST_DICT(function_locals, function_locals_table);

static MP_DEFINE_CONST_OBJ_TYPE(
    function_type, MP_QSTR_Function, MP_TYPE_FLAG_NONE,
    call, function_call,
    attr, function_attr,
    locals_dict, &function_locals
    );

// ------------------------------------------------------------------------------------------------ the module

static const MP_DEFINE_STR_OBJ(version_obj, M3_VERSION);

static const mp_rom_map_elem_t globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_wasm3) },
    { MP_ROM_QSTR(MP_QSTR_M3_VERSION), MP_ROM_PTR(&version_obj) },
    { MP_ROM_QSTR(MP_QSTR_Environment), MP_ROM_PTR(&environment_type) },
    { MP_ROM_QSTR(MP_QSTR_Runtime), MP_ROM_PTR(&runtime_type) },
    { MP_ROM_QSTR(MP_QSTR_Module), MP_ROM_PTR(&module_type) },
    { MP_ROM_QSTR(MP_QSTR_Function), MP_ROM_PTR(&function_type) },
};
static MP_DEFINE_CONST_DICT(globals, globals_table);

const mp_obj_module_t wasm3_user_cmodule = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&globals,
};
MP_REGISTER_MODULE(MP_QSTR_wasm3, wasm3_user_cmodule);
