"""The port between the hub's runtime and its devices, whatever broker carries the messages."""

from abc import ABC, abstractmethod
from typing import Protocol


class Handler(Protocol):
    """What the runtime offers to a link.

    All three are called synchronously in the event loop, so they must be quick and must not block. For one device they
    come in the order connected, message*, disconnected, and then perhaps again; what they raise is logged and counted,
    it neither reaches the link nor costs the device its connection.
    """

    def connected(self, device: str) -> None:
        """The device has an accepted connection (its subscription comes a moment later)."""

    def disconnected(self, device: str) -> None:
        """The connection has ended, for whatever reason; a take-over reports the old end before the new beginning."""

    def message(self, device: str, kind: str, payload: bytes) -> None:
        """A message on `up/<kind>`, in the order sent. The payload (at most 64 KiB) is as the device sent it, unread.

        The will arrives here too, as kind `gone`, just before `disconnected`.
        """


class Link(ABC):
    """A way to devices.

    - After `start` devices can connect at `address`; a port that is taken raises OSError and leaves nothing running.
    - A message is handed to the handler in the event loop turn in which it arrives, before it is acknowledged.
    - Messages of one device reach the handler in the order sent, and sends to one device arrive in order.
    - `send` never blocks and never raises, whatever becomes of the device meanwhile.
    - True from `send` means queued, not delivered: only the application's own acknowledgement says that.
    - A device has at most one connection; a new one ends the old one first.
    - Will `gone` comes when a device dies without DISCONNECT, not after one, and not because the link stops.
    - When `stop` returns every device has been reported `disconnected` and the handler is not called again.

    `counters` counts since the start of the process: `accepted`, `refused_full` (over the limit of connections),
    `refused_connect` (not a CONNECT of ours), `refused_login` (credentials), `taken_over`, `kicked` (for whatever
    reason), `received` and `sent` (messages), `unsent` (send was False), `denied` (publish or subscribe outside the
    device's own topics), `retained` (flags ignored), `held_back` (times a device was not read because of its rate),
    `errors` (of the handler or of the link itself).
    """

    counters: dict[str, int]

    @abstractmethod
    async def start(self, handler: Handler) -> None:
        """Let devices in; OSError when the address cannot be had."""

    @abstractmethod
    async def stop(self) -> None:
        """End every connection and release the port; harmless when not started."""

    @abstractmethod
    def send(self, device: str, payload: bytes) -> bool:
        """Queue a message, QoS 1, for the device's down topic.

        False when the device is not connected, has not subscribed, would have more than 1 MiB waiting, when the room
        for what waits for all devices is full and none of them is stuck, or when the payload is over 256 KiB.
        """

    @abstractmethod
    def kick(self, device: str, reason: str) -> None:
        """End the device's connection, if it has one; it may come back."""

    @abstractmethod
    def is_connected(self, device: str) -> bool:
        """Whether `send` may reach the device now."""

    @property
    @abstractmethod
    def address(self) -> tuple[str, int]:
        """(host, port) that devices connect to; known after `start`."""
