"""The ABIs of a Linux edge. What a board lacks is imported by the worker that needs it: an idle edge stays small."""

from edge import call

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing costs a worker memory
    from typing import Any

NAMES = ("call", "edge")


def find(name: str) -> "Any":
    """The class of an ABI, None when there is none of this name."""
    return call.find_abi(name)
