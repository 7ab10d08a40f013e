"""Every number that bounds what a device can ask of the hub (docs: protocol, the embedded broker)."""

from dataclasses import dataclass, replace

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Defaults are the contract; tests shrink them."""

    connections: int = 2000
    """Beyond it a new socket is closed at once."""
    connect_s: float = 5.0
    """From the open socket to a complete CONNECT, and again from there to CONNACK."""
    connect_bytes: int = 4 * KIB
    packet_bytes: int = 256 * KIB
    """A whole packet in, a payload out."""
    publish_bytes: int = 64 * KIB
    """Payload of a device's message."""
    topic_bytes: int = 256
    filters: int = 8
    """In one SUBSCRIBE or UNSUBSCRIBE. (One subscription a device follows from the access rule.)"""

    keep_alive_default_s: int = 120
    """For a device that asks for none."""
    keep_alive_least_s: int = 10
    keep_alive_most_s: int = 600
    keep_alive_grace: float = 1.5
    """A device is kicked after this many keep-alives of silence (MQTT 3.1.2.10)."""

    outbound_bytes: int = MIB
    """What may wait for one device, unacknowledged or unread."""
    kernel_bytes: int = 128 * KIB
    """Send buffer of a socket; by itself Linux would take up to 4 MiB for a device that does not read."""
    stall_s: float = 10.0
    """A device that has something to read and takes no byte of it for so long is kicked."""
    behind_bytes: int = 4 * KIB
    """A socket has so little in its own buffer, or it counts as one that is behind."""
    inflight: int = 16
    """Messages to a device without PUBACK; further ones wait."""

    outbound_each_bytes: int = 96 * KIB
    """Of what may wait for one device, what it has whatever the others do: room for a chunk of a module (87 KiB, as
    base64), so that those who do not read keep modules from nobody. 2,000 devices have 188 MiB so, 500 have 47."""
    outbound_all_bytes: int = 64 * MIB
    """What waits beyond that for all devices together: an eighth of the 512 MiB that a small gateway has left."""
    pressed_s: float = 5.0
    """When that is reached, a device that holds some of it and takes nothing for so long is kicked; else what is new
    is not sent."""
    inbound_each_bytes: int = 32 * KIB
    """Of what has come and is no whole packet yet, or waits because of a rate, what a device may hold whatever the
    others do. With `inbound_all_bytes` 2,000 devices can send a result of 48 KiB at a time."""
    inbound_all_bytes: int = 48 * MIB
    """The same beyond that, of all devices together. Whoever was longest without a whole packet is kicked then."""
    away_bytes: int = 16 * MIB
    """What was not acknowledged, in the sessions of all devices that are away; the oldest is dropped."""

    publish_rate: float = 2000.0
    """Messages a second of one device, all kinds together."""
    publish_burst: float = 4000.0
    log_rate: float = 20.0
    beat_rate: float = 2.0
    kind_burst: float = 10.0
    """Seconds' worth of `log` or `beat` that may come at once."""
    over_rate_s: float = 60.0
    """A device that stays beyond its rate for so long is kicked."""
    denied_per_minute: float = 100.0
    """Publishes and subscribes outside its own topics, then a device is kicked."""

    offline_sessions: int = 2000
    """Sessions (clean_session=0) kept for devices that are away; the oldest go first. One is about 25 KB."""
    session_s: int = 3600
    """How long such a session is kept."""
    sweep_s: float = 1.0
    """How often time limits are looked at."""

    def keep_alive_s(self, asked: int) -> int:
        """The keep-alive that is enforced for what a CONNECT asked for, both in seconds."""
        return min(max(asked or self.keep_alive_default_s, self.keep_alive_least_s), self.keep_alive_most_s)


def limits_for(beat_s: float) -> Limits:
    """The limits of a hub that tells its devices to beat each beat_s.

    Four times as many beats pass: those that waited while the hub stood still must not keep back, for ever, the
    results behind them.
    """
    defaults = Limits()
    return replace(defaults, beat_rate=max(defaults.beat_rate, 4 / beat_s))
