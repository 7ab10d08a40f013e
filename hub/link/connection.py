"""One device's socket: bytes in and out, within the limits, and the packets that the broker need not see."""

import asyncio
import logging
import socket
from collections import Counter
from typing import Protocol, cast

from hub.link import access, packets
from hub.link.budget import Budget, Share
from hub.link.limits import Limits
from hub.link.rates import Rates

log = logging.getLogger(__name__)

FRAMES_A_TURN = 64
"""Then the other connections have theirs: a burst of 4,000 messages would stop the loop for as long as they take."""
LEAST_HOLD_S = 0.05
"""A device beyond its rate waits at least this long: one timer for many messages."""
CALM_S = 1.0
"""A device that was not held back for this long is within its rate again."""


class Guest(Protocol):
    """What the broker is to an open connection."""

    def message(self, kind: str, payload: bytes) -> None:
        """The device has published on its own `up/<kind>`."""

    def acknowledged(self, packet_id: int) -> bool:
        """The device has received a QoS 1 message; False when it was not sent any with this id."""

    def farewell(self) -> None:
        """The device has sent DISCONNECT: no will."""


class Door(Protocol):
    """Who lets connections in, and knows what they hold together."""

    inbound: Budget
    outbound: Budget

    def opened(self, connection: "Connection") -> bool:
        """A new socket; False when there is no room for it."""

    def asked(self, connection: "Connection", connect: packets.Connect) -> None:
        """A proper CONNECT has come; nothing more is read until `Connection.admit`."""

    def closed(self, connection: "Connection") -> None:
        """The socket is gone."""


class Connection(asyncio.Protocol):
    """From an open socket to its end.

    PUBLISH, PUBACK, PINGREQ and DISCONNECT are dealt with here, in the turn of the loop in which they arrive: no queue,
    no task. CONNECT, SUBSCRIBE and UNSUBSCRIBE change what the broker knows: they go to `requests` one at a time, and
    what follows them waits for the answer, so that a device is never heard before it can hear.

    Every hold works by not reading the socket: TCP makes the device wait, and at most one packet and one read of the
    socket (256 KiB) are in memory. Every end is an abort: nothing lingers for a peer that does not read.
    """

    def __init__(self, door: Door, limits: Limits, counters: Counter[str]) -> None:
        self.device = ""
        self.closed = False
        self.ended = asyncio.Event()
        """Set by the door when the session is over as well."""
        self.requests: asyncio.Queue[bytes] = asyncio.Queue()
        """Packets for the broker, at most one that was read; b"" is the end."""
        self.outbound = Share(door.outbound, lambda: self.kick("it does not read, and others need the room"))
        """Messages on their way to the device, and what its socket has not taken."""
        self._inbound = Share(door.inbound, lambda: self.kick("its packet does not end, and others need the room"))
        self._door = door
        self._limits = limits
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._guest: Guest | None = None
        self._buffer = bytearray()
        self._acks = bytearray()
        self._held = False
        now = self._loop.time()
        self._rates = Rates(limits, now)
        self._heard_at = now
        self._patience_s = limits.connect_s
        self._over_since: float | None = None
        self._over_at = now
        self._behind = False
        self._unread = 0
        self._written = 0
        self._taken = 0
        self._taken_at = now

    # The socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio and uvloop set TCP_NODELAY themselves (a test holds it): Nagle and delayed ACK would cost 40 ms.
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._limits.kernel_bytes)
        self._transport.set_write_buffer_limits(high=self._limits.behind_bytes, low=0)
        if not self._door.opened(self):
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.close()
        self.requests.put_nowait(b"")
        self._door.closed(self)

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        if self._guest:  # before CONNECT the clock runs from the opening, however many bytes drip in
            self._heard_at = self._loop.time()
        self._buffer += data
        self._read()
        self._inbound.make_room()

    def pause_writing(self) -> None:
        """The socket takes less than it is given."""
        self._behind = True

    def resume_writing(self) -> None:
        """It has taken all."""
        self._behind = False
        self._count_unread(0)
        self.outbound.progressed()

    @property
    def is_behind(self) -> bool:
        """Whether there is more for the device than the kernel takes."""
        return self._behind

    @property
    def peer(self) -> tuple[str, int]:
        name = self._transport.get_extra_info("peername")
        return (name[0], name[1]) if name else ("unknown", 0)

    def write(self, data: bytes) -> None:
        """Send, or kick a device that lets too much wait; without effect when the connection is closed."""
        if self.closed:
            return
        self._transport.write(data)
        self._written += len(data)
        waiting = self._transport.get_write_buffer_size()
        if waiting > self._limits.outbound_bytes:
            self.kick("it does not read what it gets")
        elif self._behind:
            self._count_unread(waiting)
            self.outbound.make_room()

    def close(self) -> None:
        """End it, without a word."""
        if not self.closed:
            self.closed = True
            self._buffer.clear()
            self._inbound.clear()
            self.outbound.clear()
            self._transport.abort()

    def kick(self, reason: str) -> None:
        """End it because of something; logged and counted."""
        if not self.closed:
            self._counters["kicked"] += 1
            who = self.device or "a stranger"
            log.info("kicked %s at %s: %s", who, self.peer, reason, extra={"proplet": self.device})
            self.close()

    # What the door does

    def admit(self, guest: Guest) -> None:
        """The broker has accepted the CONNECT: read on, for this guest."""
        self._guest = guest
        self.proceed()

    def proceed(self) -> None:
        """Read on after a hold."""
        if self.closed:
            return
        self._held = False
        self._heard_at = self._loop.time()
        self._transport.resume_reading()
        self._read()

    def sweep(self, now: float) -> None:
        """Kick when a time limit is over; called by the door every `sweep_s`."""
        self._watch_reader(now)
        if not self._held and now - self._heard_at > self._patience_s:
            self.kick("it was silent for too long")
        if self._over_since is None:
            return
        if not self._held and now - self._over_at > CALM_S:
            self._over_since = None
        elif now - self._over_since > self._limits.over_rate_s:
            self.kick("it was beyond its rate for too long")

    def deny(self) -> None:
        """Count a publish or subscribe outside the device's own topics."""
        self._counters["denied"] += 1
        if not self._rates.deny(self._loop.time()):
            self.kick("it keeps using topics of others")

    # Reading

    def _read(self) -> None:
        before = len(self._buffer)
        try:
            for _ in range(FRAMES_A_TURN):
                if not self._read_frame():
                    break
            else:
                if not self._held:
                    self._hold()
                    self._loop.call_soon(self.proceed)
        except packets.Refused as refused:
            self._refused(refused)
        if self._acks:
            self.write(bytes(self._acks))
            self._acks.clear()
        left = len(self._buffer)
        self._inbound.add(left - self._inbound.bytes)
        if left < before:
            self._inbound.progressed()

    def _read_frame(self) -> bool:
        """Deal with the first frame of the buffer; False when there is none, or when it has to wait."""
        if self._held or self.closed:
            return False
        if self._guest is None:
            packets.check_first_byte(self._buffer)
        limit = self._limits.packet_bytes if self._guest else self._limits.connect_bytes
        frame = packets.next_frame(self._buffer, limit)
        if frame is None or not self._take(frame):
            return False
        del self._buffer[: frame.size]
        return True

    def _take(self, frame: packets.Frame) -> bool:
        """False when the frame has to stay in the buffer for now."""
        if self._guest is None:
            self._take_connect(frame)
            return True
        if frame.kind == packets.PUBLISH:
            return self._take_publish(self._guest, frame)
        if frame.kind == packets.PUBACK and self._guest.acknowledged(packets.read_puback(frame)):
            return True  # the hub sets the pace of these
        if self._is_beyond_rate(None):
            return False
        if frame.kind in (packets.SUBSCRIBE, packets.UNSUBSCRIBE):
            packets.check_filters(frame, self._limits.filters, self._limits.topic_bytes)
            self._hold()
            self.requests.put_nowait(bytes(self._buffer[: frame.size]))
        elif frame.kind != packets.PUBACK:
            self._take_empty(self._guest, frame)
        return True

    def _take_connect(self, frame: packets.Frame) -> None:
        connect = packets.read_connect(frame)
        self.device = connect.device
        self._patience_s = self._limits.keep_alive_s(connect.keep_alive_s) * self._limits.keep_alive_grace
        self._hold()
        self._door.asked(self, connect)

    def _take_publish(self, guest: Guest, frame: packets.Frame) -> bool:
        publish = packets.read_publish(frame, self._limits.publish_bytes, self._limits.topic_bytes)
        device, kind = access.parse_up(publish.topic) or ("", "")
        own = device == self.device
        if self._is_beyond_rate(kind if own else None):
            return False
        if publish.retain:
            self._counters["retained"] += 1
        if own:
            self._counters["received"] += 1
            guest.message(kind, publish.payload)
        else:
            self.deny()
        if publish.qos:
            # After the hand-over, and all of one read in one send: a send costs as much as the rest of the message.
            self._acks += packets.puback(publish.packet_id)
        return True

    def _take_empty(self, guest: Guest, frame: packets.Frame) -> None:
        if frame.kind not in (packets.PINGREQ, packets.DISCONNECT):
            raise packets.Refused(f"a packet of type {frame.kind}")
        packets.check_empty(frame)
        if frame.kind == packets.PINGREQ:
            self._acks += packets.PINGRESP
            return
        # amqtt handles DISCONNECT in a task that the FIN behind it cancels: the will went out all the same.
        guest.farewell()
        self.write(bytes(self._acks))
        self.close()

    def _refused(self, refused: packets.Refused) -> None:
        if self._guest is None:
            self._counters["refused_connect"] += 1
            self.refuse(refused)
        else:
            self.kick(refused.reason)

    def refuse(self, refused: packets.Refused) -> None:
        """End a connection that was never admitted, with a CONNACK where the protocol has one."""
        log.info("refused %s: %s", self.peer, refused.reason)
        if refused.code is not None:
            self.write(packets.connack(refused.code))
        self.close()

    # Holding

    def _hold(self) -> None:
        self._held = True
        self._transport.pause_reading()

    def _is_beyond_rate(self, kind: str | None) -> bool:
        """Whether the device has to wait before its next packet; then it is not read for a while."""
        now = self._loop.time()
        wait = self._rates.packet(kind, now)
        if wait == 0:
            return False
        self._counters["held_back"] += 1
        self._over_at = now
        if self._over_since is None:
            self._over_since = now
        self._hold()
        self._loop.call_later(max(wait, LEAST_HOLD_S), self.proceed)
        return True

    def _watch_reader(self, now: float) -> None:
        waiting = self._transport.get_write_buffer_size()
        taken = self._written - waiting
        if not waiting or taken != self._taken:
            self._taken = taken
            self._taken_at = now
            if self._behind:
                self._count_unread(waiting)
                self.outbound.progressed()
        elif now - self._taken_at > self._limits.stall_s:
            self.kick("it stopped reading")

    def _count_unread(self, waiting: int) -> None:
        if not self.closed:
            self.outbound.add(waiting - self._unread)
            self._unread = waiting
