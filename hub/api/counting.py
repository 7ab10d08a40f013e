"""Counts of HTTP requests by route, for the metrics."""

import time
from collections import Counter, defaultdict

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.core.counts import Histogram

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
OTHER = "other"
_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Requests:
    """What was answered since the start.

    A route is its template (`/tasks/{id}`): paths themselves, or methods that nobody knows, would be without number.
    """

    def __init__(self) -> None:
        # (method, route, status)
        self.answered: Counter[tuple[str, str, int]] = Counter()
        # By method and route: seconds to the beginning of the answer, for a stream of events has no end.
        self.seconds: dict[tuple[str, str], Histogram] = defaultdict(lambda: Histogram(*_BOUNDS_S))

    def counted(self, app: ASGIApp) -> ASGIApp:
        """The app, with all its answers counted; one that breaks off before it has begun is none."""

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            began = time.perf_counter()

            async def counting_send(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._count(scope, message["status"], time.perf_counter() - began)
                await send(message)

            await app(scope, receive, counting_send)

        return wrapped

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        key = scope["method"] if scope["method"] in METHODS else OTHER, route.path if route is not None else OTHER
        self.answered[*key, status] += 1
        self.seconds[key].add(seconds)
