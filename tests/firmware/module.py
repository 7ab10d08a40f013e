"""Run by the firmware: what its wasm3 promises beyond pywasm3. The modules of test_module.py are files in a folder."""

import gc
import json
import sys
import time

import wasm3


def load(name, stack_bytes=4096, memory_bytes=0):
    with open(sys.argv[1] + "/" + name, "rb") as file:
        data = file.read()
    environment = wasm3.Environment()
    runtime = environment.new_runtime(stack_bytes, memory_bytes)
    module = environment.parse_module(data)
    runtime.load(module)
    return environment, runtime, module


def refused(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return [type(error).__name__, str(error)]
    return "nothing was raised"


def closing():
    environment, runtime, _ = load("adder")
    add = runtime.find_function("main")
    early = refused(environment.close)
    runtime.close()
    runtime.close()
    environment.close()
    return [early[1], refused(add, 1, 2), refused(environment.new_runtime, 1024), refused(runtime.get_memory, 0)]


def linked():
    """What a linked function raises, and what it may not do."""
    _, runtime, module = load("calls")
    answers = []

    def ask(number):
        answers.append(number)
        if number == 1:
            raise KeyError("from Python")
        if number == 2:
            answers.append([refused(runtime.close)[1], refused(main, 0)[1]])
        return 2**40 + number  # of which the low bits count

    module.link_function("env", "ask", "i(i)", ask)
    module.link_function("env", "not_imported", "v()", ask)
    main = runtime.find_function("main")
    return [main(7), refused(main, 1), main(2), answers]


def nested():
    """A linked function that runs another runtime with a deadline of its own."""
    _, runtime, module = load("calls")
    _, inner, _ = load("recursion", 32768)
    endless = inner.find_function("main")
    inner.timeout_ms = 1
    module.link_function("env", "ask", "i(i)", lambda number: len(refused(endless)[1]))
    return runtime.find_function("main")(3) > 0


def deadline():
    _, runtime, module = load("ticks")
    module.link_function("env", "ask", "i(i)", lambda number: number)
    runtime.timeout_ms = 50
    begun = time.ticks_ms()
    why = refused(runtime.find_function("main"))
    return [why[1], 50 <= time.ticks_diff(time.ticks_ms(), begun) < 1000]


def deep():
    """With a stack of wasm3's far above what the C stack holds."""
    _, runtime, _ = load("recursion", 128 << 10)
    return refused(runtime.find_function("main"))


def memory():
    _, runtime, _ = load("memory", 1024, 8192)
    view = runtime.get_memory(0)
    view[8190] = 7
    read = runtime.find_function("main")
    return [len(view), read(8190), refused(read, 8192)[1]]


def globals_():
    _, runtime, module = load("globals")
    module.set_global("g", -3)
    return [module.get_global("g"), refused(module.get_global, "none"), runtime.find_function("main")()]


def repeated():
    """A thousand runs of a module with a page: nothing stays."""
    free = []
    for number in range(1000):
        environment, runtime, _ = load("memory", 1024)
        assert runtime.find_function("main")(0) == 0
        if number % 2:  # the collector has the others
            runtime.close()
            environment.close()
        if number in (10, 999):
            environment = runtime = _ = None
            gc.collect()
            free.append(gc.mem_free())
    return abs(free[0] - free[1])


checks = (closing, linked, nested, deadline, deep, memory, globals_, repeated)
sys.stdout.write(json.dumps({check.__name__.strip("_"): check() for check in checks}))
