"""Work ends when nobody waits for it: when the client has left, or after its time."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rssc_tf.serving.errors import Refused, refusal


class WorkLimits:
    """ASGI middleware that cancels a request whose client has left (nothing is answered then), or
    that takes too long (503). What waits for its turn is never begun; see `turns.Readers` for
    what is at work.

    Args:
        app: the application behind it.
        seconds: from the end of a request's body.
    """

    def __init__(self, app: ASGIApp, seconds: float):
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        watch: asyncio.Task | None = None
        left = begun = False

        async def listen() -> Message:
            nonlocal watch
            message = await receive()
            if message["type"] == "http.disconnect":
                leave()
                await loop.create_future()  # until that cancels us
            if not message.get("more_body") and watch is None:
                work.reschedule(loop.time() + self._seconds)
                watch = loop.create_task(wait_for_leaving())
            return message

        async def wait_for_leaving() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            leave()

        def leave() -> None:
            nonlocal left
            left = True
            work.reschedule(loop.time())

        async def note(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            async with asyncio.timeout(None) as work:
                try:
                    await self._app(scope, listen, note)
                finally:
                    if watch:
                        watch.cancel()
        except TimeoutError:
            if not work.expired():
                raise
            if left or begun:  # a connection whose answer was begun is closed
                return
            late = Refused(503, f"no answer within {self._seconds:g} seconds: try again later")
            await refusal(late)(scope, receive, send)
