"""One source for blocking and async callers: what the client does is written once, as coroutines over a Port.

A blocking Port does its I/O inside its coroutines and never suspends them, so a coroutine over it runs to its end at
the first step. An `operation` gives callers of a Blocking object its value, those of an Awaiting object the coroutine.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Blocking:
    """Its operations return their value."""


class Awaiting:
    """Its operations are awaited for their value."""


class operation(Generic[P, R]):
    """A coroutine method that blocks on a Blocking object and is awaited on an Awaiting one."""

    def __init__(self, coroutine: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> None:
        # Operations call each other through this: whatever the object is, they are coroutines among themselves.
        self.coroutine = coroutine
        self.__doc__ = coroutine.__doc__

    @overload
    def __get__(self, owner: None, kind: type | None = None) -> Self: ...
    @overload
    def __get__(self, owner: Blocking, kind: type | None = None) -> Callable[P, R]: ...
    @overload
    def __get__(self, owner: Awaiting, kind: type | None = None) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        if owner is None:
            return self
        method: Callable[P, Coroutine[Any, Any, R]] = self.coroutine.__get__(owner)
        if not isinstance(owner, Blocking):
            return method

        def blocking(*args: P.args, **kwargs: P.kwargs) -> R:
            return finished(method(*args, **kwargs))

        return update_wrapper(blocking, method)


def finished(coroutine: Coroutine[Any, Any, R]) -> R:
    """The value of a coroutine over a blocking port."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: R = end.value
        return value
    coroutine.close()
    raise RuntimeError("a blocking port must not suspend")


_END = object()


def iterated(items: AsyncGenerator[T, None]) -> Iterator[T]:
    """The items of an async generator over a blocking port."""

    async def following() -> Any:
        return await anext(items, _END)

    try:
        while (item := finished(following())) is not _END:
            yield item
    finally:
        finished(items.aclose())
