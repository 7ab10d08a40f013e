"""Which of a board's two slots holds the edge that starts. Copied once beside them, by itself, and never updated.

A slot is a folder with the packages edge and shared. One of the two is good. The other may be tried: it starts once,
and is the good one from confirm() on. A start that does not come so far was its last. What is so stands in a note of
512 bytes, of which there are two, written in turn and in place: a power cut leaves one of them, on every file system.
"""

from binascii import hexlify
from hashlib import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SLOTS = ("lib", "lib2")
NOTES = ("motet.slot0", "motet.slot1")
SIZE = 512

# What a note says of the slot that is not good.
NOTHING = 0
READY = 1  # to be tried at the next start
TRIED = 2

# The number of the slot that this boot has started; None before choose().
started: "int | None" = None
_timer: "Any" = None


def choose(trial_s: float = 300, root: str = "") -> str:
    """The folder of the edge to start now, before anything of it is imported: it must come first in sys.path.

    One that is tried is given so many seconds, on boards with a timer: then the board starts anew, with the good one.
    root: the folder of slots and notes with a / at its end.
    """
    global started
    _, good, state, name = read(root)
    started = good
    if state == READY:
        try:
            write(good, TRIED, name, root)
        except OSError:  # without the note nothing would bring the good one back
            return root + SLOTS[good]
        started = 1 - good
        _give(trial_s)
    return root + SLOTS[started]


def state(root: str = "") -> "tuple[str, str]":
    """(word, name) of the update that was tried last: on_trial, failed, ready; "" when it is this one that runs.

    The name is "" when there was none yet.
    """
    _, good, state, name = read(root)
    if state == TRIED:
        return ("failed" if started == good else "on_trial"), name
    return ("ready" if state == READY else ""), name


def begin(root: str = "") -> str:
    """The other slot's folder, to be filled: until try_next() it is not started. OSError: this slot is on trial."""
    _, good, state, _ = read(root)
    if started != good:
        raise OSError("the edge that runs is itself on trial")
    if state == READY:
        write(good, NOTHING, "", root)
    return root + SLOTS[1 - good]


def try_next(name: str, root: str = "") -> None:
    """The other slot is whole: it is tried at the next start. name: 1 to 16 letters or digits."""
    write(read(root)[1], READY, name, root)


def confirm(root: str = "") -> None:
    """The slot that is tried is the good one from now on."""
    global _timer
    _, good, state, name = read(root)
    if state == TRIED and started != good:
        write(1 - good, NOTHING, name, root)
    if _timer is not None:
        _timer.deinit()
        _timer = None


def read(root: str = "") -> "tuple[int, int, int, str]":
    """(its number, the good slot, state of the other, name of the update) of the newest note that is whole."""
    best = (0, 0, NOTHING, "")
    for path in NOTES:
        try:
            with open(root + path, "rb") as file:
                note = file.read()
            if len(note) == SIZE and note == _seal(note[:-16]):
                number, good, state, name = note[:-16].decode().split(" ")[:4]
                if int(number) > best[0]:
                    best = (int(number), int(good) & 1, int(state), name)
        except (OSError, ValueError):
            pass
    return best


def write(good: int, state: int, name: str, root: str = "") -> None:
    """Write the next note over the older one."""
    number = read(root)[0] + 1
    body = b"%d %d %d %s" % (number, good, state, name[:16].encode())
    note = _seal(body + b" " * (SIZE - 16 - len(body)))
    path = root + NOTES[number & 1]
    try:
        with open(path, "r+b") as file:
            file.write(note)
    except OSError:  # the first
        with open(path, "wb") as file:
            file.write(note)


def _seal(body: bytes) -> bytes:
    return body + hexlify(sha256(body).digest())[:16]


def _give(seconds: float) -> None:
    """Have the board start anew after so long, whatever its program does then. Without a timer the edge counts."""
    global _timer
    try:
        from machine import Timer, reset  # type: ignore[import-not-found]

        try:
            _timer = Timer(-1)  # one in software
        except ValueError:
            _timer = Timer(0)
        _timer.init(period=int(seconds * 1000), mode=Timer.ONE_SHOT, callback=lambda timer: reset())
    except Exception:  # whatever a board has in its place: this must not keep an edge from its start
        _timer = None
