"""How fast one device may speak: token buckets that say how long to wait instead of dropping anything."""

from hub.link.limits import Limits


class Bucket:
    """`burst` tokens, refilled with `rate` a second. Times are seconds of one monotonic clock."""

    __slots__ = ("_burst", "_rate", "_then", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._then = now

    def wait(self, now: float) -> float:
        """Seconds until there is a token, 0 when there is one."""
        self._tokens = min(self._burst, self._tokens + (now - self._then) * self._rate)
        self._then = now
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self._rate

    def take(self) -> None:
        """Take the token that `wait` has promised."""
        self._tokens -= 1


class Rates:
    """The rates of one device."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._all = Bucket(limits.publish_rate, limits.publish_burst, now)
        self._kinds = {
            "log": Bucket(limits.log_rate, limits.log_rate * limits.kind_burst, now),
            "beat": Bucket(limits.beat_rate, limits.beat_rate * limits.kind_burst, now),
        }
        self._denials = Bucket(limits.denied_per_minute / 60, limits.denied_per_minute, now)

    def packet(self, kind: str | None, now: float) -> float:
        """0 when a packet may pass and is counted, else the seconds until it may; `kind` is that of a message on the
        device's own topics, None for anything else."""
        own = self._kinds.get(kind) if kind else None
        wait = self._all.wait(now)
        if own is not None:
            wait = max(wait, own.wait(now))
        if wait == 0:
            self._all.take()
            if own is not None:
                own.take()
        return wait

    def deny(self, now: float) -> bool:
        """Count a publish or subscribe outside the device's own topics; False when it was one too many."""
        if self._denials.wait(now) > 0:
            return False
        self._denials.take()
        return True
