"""Bodies of requests: how many bytes they have, how fast they come, and what all of them hold."""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rssc_tf.serving.errors import Refused, refusal
from rssc_tf.serving.limits import Limits

IN_FLIGHT = 8  # times the largest body: what all bodies together may hold in memory
_WINDOW = 5.0  # seconds; in each of them a body has to bring its share
_SILENT = 1.0  # seconds without a byte: it may be given up where its place is needed
_SLOW = 10  # times the least rate: slower ones may be given up, too
# Framing of chunks may take a tenth of what comes: each chunk costs time, however small it is.
_FRAMING, _BUFFERED = 0.1, 400_000


class Bodies:
    """The bodies that are coming in or worked on.

    Args:
        limits: of one; all together hold `IN_FLIGHT` times as much.
    """

    def __init__(self, limits: Limits):
        self.limits = limits
        self.all: set[Body] = set()
        self._held = 0

    def hold(self, body: "Body", size: int) -> None:
        """Counts what a body brought. Where there is no room, the slowest others make it.

        Raises:
            Refused: there is none.
        """
        most = IN_FLIGHT * self.limits.max_bytes
        while self._held + size > most and (slow := self._slowest(body)):
            slow.give_up("its place was needed, and it was the slowest: send it again")
        if self._held + size > most:
            raise Refused(503, "too many bytes are being worked on: try again")
        self._held += size
        body.held += size

    def free(self, body: "Body") -> None:
        """Forgets what a body held."""
        self._held -= body.held
        body.held = 0

    def give_up_slowest(self) -> bool:
        """Refuses the slowest body that is still coming in; false where none is slow."""
        slow = self._slowest()
        if slow:
            slow.give_up("the server has too many connections, and this was the slowest")
        return slow is not None

    def _slowest(self, but: "Body | None" = None) -> "Body | None":
        slow = [body for body in self.all if body is not but and body.is_slow()]
        return min(slow, key=Body.order, default=None)


class Body:
    """The body of one request, counted as it comes.

    Args:
        bodies: it is one of them.
        receive: of the server.
        scope: of the request.
    """

    def __init__(self, bodies: Bodies, receive: Receive, scope: Scope):
        self._bodies, self._limits = bodies, bodies.limits
        self._receive = receive
        self._connection = scope.get("state", {}).get("connection")
        self._begun = self._heard = self._window = time.monotonic()
        self._in_window, self._rate = 0, float("inf")
        self._waiting: asyncio.Timeout | None = None
        self._given_up = ""
        self._whole = False
        self.size = self.held = 0

    def is_slow(self) -> bool:
        """Whether it is still coming in, and slowly."""
        if self._whole or self._given_up:
            return False
        silent = time.monotonic() - self._heard
        return silent > _SILENT or self._rate < _SLOW * self._limits.min_rate

    def order(self) -> tuple[float, float]:
        """The slowest first: by the rate of its last window, then by how long it is silent."""
        return self._rate, self._heard

    def give_up(self, reason: str) -> None:
        """Refuses it now, and gives back what it holds."""
        self._given_up = reason
        self._bodies.free(self)
        if self._waiting:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def receive(self) -> Message:
        """ASGI's, with limits.

        Raises:
            Refused: it is too large, too slow, or was given up.
        """
        if self._whole:  # what comes now is the client's leaving
            return await self._receive()
        message = await self._wait()
        part = len(message.get("body", b""))
        self._heard = time.monotonic()
        self._in_window += part
        if self.size + part > self._limits.max_bytes:
            if message.get("more_body"):
                await drain(self._receive, self._limits)
            raise too_large(self._limits)
        self._bodies.hold(self, part)
        self.size += part
        wire = self._connection.received if self._connection else 0
        if wire * (1 - _FRAMING) > self.size + _BUFFERED:
            raise Refused(400, "its chunks are too small: send at least 64 bytes in each")
        self._whole = not message.get("more_body", False)
        return message

    async def _wait(self) -> Message:
        while True:
            if self._given_up:
                raise Refused(503, self._given_up)
            now = time.monotonic()
            end = min(self._window + _WINDOW, self._begun + self._limits.body_seconds)
            try:
                async with asyncio.timeout(max(0.0, end - now)) as self._waiting:
                    return await self._receive()
            except TimeoutError:
                if not self._given_up:
                    self._end_window()
            finally:
                self._waiting = None

    def _end_window(self) -> None:
        now = time.monotonic()
        if now >= self._begun + self._limits.body_seconds:
            raise Refused(408, f"the body took longer than {self._limits.body_seconds:g} seconds")
        self._rate = self._in_window / (now - self._window)
        if self._rate < self._limits.min_rate:
            least = f"{self._limits.min_rate / 1e3:g} kB a second are the least"
            raise Refused(408, f"the body came too slowly: {least}")
        self._window, self._in_window = now, 0


class BodyLimits:
    """ASGI middleware that refuses a body before it is in memory.

    413 for a body that is too large, by its Content-Length or while it streams in; 408 for one
    that comes too slowly; 503 where all requests together hold too much.

    Args:
        app: the application behind it.
        bodies: all of them.
    """

    def __init__(self, app: ASGIApp, bodies: Bodies):
        self._app = app
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, limits = dict(scope["headers"]), self._bodies.limits
        # A length that is no number never comes this far: the HTTP parser refuses it.
        if int(headers.get(b"content-length", b"0")) > limits.max_bytes:
            if b"expect" not in headers:  # else the client asks before it sends
                await drain(receive, limits)
            await refusal(too_large(limits))(scope, receive, send)
            return
        body = Body(self._bodies, receive, scope)
        self._bodies.all.add(body)
        try:
            await self._app(scope, body.receive, send)
        finally:
            self._bodies.all.discard(body)
            self._bodies.free(body)


def too_large(limits: Limits) -> Refused:
    """The refusal of a body that is too large."""
    most = limits.max_bytes
    return Refused(413, f"the request is larger than {most:,} bytes", max_bytes=most)


async def drain(receive: Receive, limits: Limits) -> None:
    """Reads on for a moment: a client that is still sending would see a reset connection instead
    of the answer."""
    size = 0
    try:
        async with asyncio.timeout(5):
            while size < 4 * limits.max_bytes:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body"):
                    break
    except TimeoutError:
        pass
