"""The functions that a task finds in the import module `edge`: one table for the hub, which checks, and the edge."""

MODULE = "edge"

# name: (its type in wasm3's letters, the result first; whether a task must name it in `allow`)
FUNCTIONS = {
    "input_len": ("i()", False),
    "input_read": ("i(iii)", False),
    "input_byte": ("i(i)", False),
    "output": ("i(ii)", False),
    "output_byte": ("v(i)", False),
    "log": ("v(iii)", False),
    "millis": ("i()", False),
    "random": ("i(ii)", False),
    "progress": ("v(i)", False),
    "cancelled": ("i()", False),
    "attempt": ("i()", False),
    "task_name": ("i(ii)", False),
    "sensor": ("i(i)", True),
    "gpio_read": ("i(i)", True),
    "gpio_write": ("v(ii)", True),
    "adc": ("i(i)", True),
    "publish": ("i(iiii)", True),
}
