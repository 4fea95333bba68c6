"""How much a client may send: bytes of one request, bytes of all of them, and for how long."""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rssc_tf.serving.errors import Refused, refusal

BODY_SECONDS = 60.0
IN_FLIGHT = 8  # times the largest request: what all requests together may hold in memory


class BodyLimits:
    """ASGI middleware that refuses a body before it is in memory.

    413 for a body that is too large, by its Content-Length or while it streams in; 503 when all
    requests together hold too much; 408 for a body that takes longer than `BODY_SECONDS`.

    Args:
        app: the application behind it.
        max_bytes: of one body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int):
        self._app = app
        self._max = max_bytes
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        # A length that is no number never comes this far: the HTTP parser refuses it.
        if int(headers.get(b"content-length", b"0")) > self._max:
            if b"expect" not in headers:  # else the client asks before it sends
                await self._drain(receive)
            await refusal(self._too_large())(scope, receive, send)
            return
        body = _Body(self, receive)
        try:
            await self._app(scope, body.receive, send)
        finally:
            self._held -= body.size

    def _too_large(self) -> Refused:
        return Refused(413, f"the request is larger than {self._max:,} bytes", max_bytes=self._max)

    async def _drain(self, receive: Receive) -> None:
        """Reads on for a moment: a client that is still sending would see a reset connection
        instead of the answer."""
        size = 0
        try:
            async with asyncio.timeout(5):
                while size < 4 * self._max:
                    message = await receive()
                    size += len(message.get("body", b""))
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            pass

    def _hold(self, size: int) -> None:
        if self._held + size > IN_FLIGHT * self._max:
            raise Refused(503, "too many bytes are being worked on: try again")
        self._held += size


class _Body:
    """The body of one request, counted as it comes."""

    def __init__(self, limits: BodyLimits, receive: Receive):
        self._limits = limits
        self._receive = receive
        self._deadline = time.monotonic() + BODY_SECONDS
        self._whole = False
        self.size = 0

    async def receive(self) -> Message:
        if self._whole:  # what comes now is the client's leaving
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._deadline - time.monotonic())):
                message = await self._receive()
        except TimeoutError as error:
            raise Refused(408, f"the body took longer than {BODY_SECONDS:.0f} seconds") from error
        part = len(message.get("body", b""))
        if self.size + part > self._limits._max:
            if message.get("more_body"):
                await self._limits._drain(self._receive)
            raise self._limits._too_large()
        self._limits._hold(part)
        self.size += part
        self._whole = not message.get("more_body", False)
        return message
