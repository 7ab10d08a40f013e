"""The functions that a module may import from `edge`, and what a task must allow for it: one table for hub and edge."""

from shared.topics import LETTERS

MODULE = "edge"
# Imported by what the hub has prepared, and by nothing else.
TICK = "tick"
FUEL = "__fuel"

# name:signature as wasm3 writes it, result first; as text, which takes a board a third of the memory. A pointer is an
# i32 into the module's memory; one that leads beyond it ends the attempt with trap_oob. The comments are the
# documentation's.
_FUNCTIONS = (
    # (): bytes of the input
    "input_len:i() "
    # (dst, offset, len): copies input from offset; answers how many bytes it copied, 0 at the end
    "input_read:i(iii) "
    # (i): the input's byte at i, -1 beyond its end
    "input_byte:i(i) "
    # (src, len): appends to the output; answers len
    "output:i(ii) "
    # (byte): appends one byte to the output
    "output_byte:v(i) "
    # (level, src, len): a log line of the task; 0 debug, 1 info, 2 warning, 3 error
    "log:v(iii) "
    # (): milliseconds since the attempt began
    "millis:i() "
    # (dst, len): fills with random bytes; answers len
    "random:i(ii) "
    # (permille): how far the task is, 0 to 1000
    "progress:v(i) "
    # (permille, src, len): the same, with a few words about it
    "progress_message:v(iii) "
    # (): 1 when the task is being stopped and should end by itself, else 0
    "cancelled:i() "
    # (): the number of this attempt, from 1
    "attempt:i() "
    # (dst, len): copies at most len bytes of the task's name; answers its whole length
    "task_name:i(ii) "
    # (channel): a sensor's value in thousandths of its unit
    "sensor:i(i) "
    # (pin): 0 or 1
    "gpio_read:i(i) "
    # (pin, value): sets a pin to 0 or 1
    "gpio_write:v(ii) "
    # (channel): the raw reading of an analogue input
    "adc:i(i) "
    # (topic, topic_len, src, len): sends a message to the hub; answers len, -1 when it is not sent
    "publish:i(iiii) "
)
# What a task has to name in `allow`.
PRIVILEGED = ("sensor", "gpio_read", "gpio_write", "adc", "publish")

MAX_TOPIC = 128
# Characters: of text, or of base64.
MAX_PUBLISH = 8 * 1024


def functions() -> "dict[str, str]":
    """name: signature of each."""
    return dict([word.split(":") for word in _FUNCTIONS.split()])


def valid_topic(topic: str) -> bool:
    """What a task publishes to is 1-128 of A-Za-z0-9._-/"""
    return 0 < len(topic) <= MAX_TOPIC and all(c in LETTERS + "/" for c in topic)


def is_allowed(allow: "list[str]", name: str, argument: "str | None" = None) -> bool:
    """Whether a list of permissions covers a function with an argument; with None, with any argument at all.

    An entry is `name`, or `name:argument`: one pin or channel in decimal, for publish a topic or, with / at its end,
    all topics below it.
    """
    for entry in allow:
        function, colon, wanted = entry.partition(":")
        if function != name:
            continue
        if not colon or argument is None or argument == wanted:
            return True
        if name == "publish" and wanted.endswith("/") and argument.startswith(wanted):
            return True
    return False
