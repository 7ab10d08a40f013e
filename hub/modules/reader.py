"""Reads the primitive values of a wasm binary with every step checked against the end of the bytes."""

from typing import NoReturn

from shared.errors import BadRequest

# What a whole module may list: types, functions, exports, table elements and so on taken together. At this number the
# worst module made to hurt costs 0.6 s and 20 MB; what compilers write into 8 MiB stays below it.
MAX_ITEMS = 250_000


def refuse(sentence: str, **detail: object) -> NoReturn:
    """Raises the BadRequest (code `bad_module`) of everything that is wrong with a module."""
    raise BadRequest(sentence, "bad_module", detail)


class Budget:
    """How many items may still be listed before a module counts as made to hurt."""

    __slots__ = ("left",)

    def __init__(self, items: int = MAX_ITEMS) -> None:
        self.left = items

    def charge(self, items: int) -> None:
        self.left -= items
        if self.left < 0:
            refuse(f"the module lists over {MAX_ITEMS} types, functions and other items: split it")


class Reader:
    """A place in data that moves forward up to end; what names the part for messages ("type section").

    whole: the end is the end of the upload, so that running into it means that bytes are missing.
    """

    __slots__ = ("at", "budget", "data", "end", "what", "whole")

    def __init__(self, data: bytes, at: int, end: int, what: str, budget: Budget, whole: bool = False) -> None:
        self.data = data
        self.at = at
        self.end = end
        self.what = what
        self.budget = budget
        self.whole = whole

    def left(self) -> int:
        """Bytes from here to the end."""
        return self.end - self.at

    def bad(self, problem: str) -> NoReturn:
        refuse(f"the {self.what} is malformed at byte {self.at}: {problem}", offset=self.at, part=self.what)

    def ends_early(self, missing: int) -> NoReturn:
        if self.whole:
            refuse(
                f"the module is cut short: it ends inside the {self.what}, {missing} or more bytes are missing; "
                "build or upload it again",
                offset=self.end,
                part=self.what,
            )
        self.bad(f"an entry goes on {missing} or more bytes beyond its end")

    def byte(self) -> int:
        at = self.at
        if at >= self.end:
            self.ends_early(1)
        self.at = at + 1
        return self.data[at]

    def leb(self, bits: int) -> int:
        """An unsigned LEB128 number of at most so many bits, in as many bytes as they may take."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift >= bits:
                self.bad(f"a number is longer than {bits} bits")
        if value >> bits:
            self.bad(f"a number is longer than {bits} bits")
        return value

    def u32(self) -> int:
        at = self.at
        # Nearly every number of a module has one byte.
        if at < self.end and self.data[at] < 0x80:
            self.at = at + 1
            return self.data[at]
        return self.leb(32)

    def signed(self, bits: int) -> None:
        """Steps over a signed LEB128 number; its value is no concern here."""
        room = bits
        while (byte := self.byte()) > 0x7F and room > 7:
            room -= 7
        # In the last byte there can be, what lies above the number must repeat its sign.
        if byte > 0x7F or (room < 7 and byte >> (room - 1) not in (0, (1 << (8 - room)) - 1)):
            self.bad(f"a number is longer than {bits} bits")

    def count(self, least: int = 1) -> int:
        """How many items follow, each of at least so many bytes: never more than the bytes left can hold."""
        count = self.u32()
        if count * least > self.left():
            self.ends_early(count * least - self.left())
        self.budget.charge(count)
        return count

    def take(self, size: int) -> bytes:
        at = self.at
        self.skip(size)
        return self.data[at : self.at]

    def skip(self, size: int) -> None:
        if size > self.left():
            self.ends_early(size - self.left())
        self.at += size

    def name(self) -> str:
        raw = self.take(self.u32())
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.bad("a name is not UTF-8")

    def part(self, what: str) -> "Reader":
        """The bytes that the size written here announces, as a reader of their own; this one moves behind them."""
        size = self.u32()
        at = self.at
        if size > self.left():
            self.what = what
        self.skip(size)
        return Reader(self.data, at, self.at, what, self.budget)

    def again(self) -> "Reader":
        """Another reader of what this one has not read."""
        return Reader(self.data, self.at, self.end, self.what, self.budget)

    def finish(self) -> None:
        """Refuses bytes that nothing has read."""
        if self.left():
            self.bad(f"{self.left()} bytes are left over")
