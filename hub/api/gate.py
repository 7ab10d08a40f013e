"""How much is asked of the hub at a time: what is beyond it is told to come again, before anything of it is read.

A request costs memory from its first byte to its last: its body, what is made of it, its answer. So there is a bound
on requests and on the bytes of their bodies. Streams of events have a bound of their own and are not counted here.
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.api import problems
from hub.api.bodies import MAX_BODY

REQUESTS = 256
BODIES_BYTES = 2 * MAX_BODY
# Streams, and who asks whether the hub is well.
_FREE = ("/events", "/health")


class Gate:
    """Counts what is within."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0

    def guarding(self, app: ASGIApp) -> ASGIApp:
        """The app, and 429 with Retry-After for what is too much at a time."""

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"].endswith(_FREE):
                await app(scope, receive, send)
                return
            size = _announced(Headers(scope=scope))
            why = self._too_much(size)
            if why is not None:
                headers = {"Retry-After": problems.RETRY_AFTER_S}
                refusal = problems.problem(429, f"{why}: try again in a moment", "busy", {}, headers)
                await refusal(scope, receive, send)
                return
            self.requests += 1
            self.bytes += size
            try:
                await app(scope, receive, send)
            finally:
                self.requests -= 1
                self.bytes -= size

        return wrapped

    def _too_much(self, size: int) -> str | None:
        if self.requests >= REQUESTS:
            return f"{REQUESTS} requests are being answered"
        if size and self.bytes + size > BODIES_BYTES:
            return f"the bodies of all requests at a time may have {BODIES_BYTES} bytes"
        return None


def _announced(headers: Headers) -> int:
    """Bytes of the body, the most that it may have where it does not say; what is over that is refused by its route."""
    length = headers.get("content-length")
    if length is None:
        return MAX_BODY if "transfer-encoding" in headers else 0
    return min(int(length[:20]), MAX_BODY) if length.isdigit() else 0
