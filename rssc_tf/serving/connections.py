"""Connections: how many there are, and how long one may keep the server waiting.

uvicorn's own cap (`limit_concurrency`) answers in plain text, logs a line for every refusal, and
counts connections that ask for nothing as it counts others; and it has no time limit for the head
of a request. So its protocol is extended here.
"""

import asyncio
import time

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from rssc_tf.serving.bodies import Bodies
from rssc_tf.serving.errors import refusal_bytes
from rssc_tf.serving.limits import Limits

_REFUSED = 64  # connections beyond the cap that are told so; more are closed without a word
_TELL_SECONDS = 2.0  # how long such a one may take to ask


class Gate:
    """Who may be connected.

    Args:
        limits: see `Limits`.
        bodies: of the requests; the slowest gives way where all connections have requests.
    """

    def __init__(self, limits: Limits, bodies: Bodies):
        self._limits = limits
        self._bodies = bodies
        self._connections: set[Connection] = set()

    def protocol(self, config, server_state, app_state, _loop=None) -> "Connection":
        """uvicorn's factory of protocols."""
        return Connection(self, config, server_state, app_state, _loop)

    def enter(self, connection: "Connection") -> None:
        """Lets a connection in, for which another one may have to leave: the one that has asked
        for nothing for the longest time, or that sends its body the slowest."""
        self._connections.add(connection)
        if len(self._connections) <= self._limits.connections:
            return
        idle = [other for other in self._connections if other.idle and other is not connection]
        if idle:
            min(idle, key=lambda other: other.since).end("its place was needed")
        elif len(self._connections) > self._limits.connections + _REFUSED:
            connection.transport.abort()
        elif not self._bodies.give_up_slowest():
            connection.refused = True

    def leave(self, connection: "Connection") -> None:
        self._connections.discard(connection)

    def sweep(self) -> None:
        """Ends what keeps the server waiting; called about once a second."""
        now, limits = time.monotonic(), self._limits
        for connection in list(self._connections):
            patience = _TELL_SECONDS if connection.refused else limits.head_seconds
            if connection.idle and now - connection.since > patience:
                connection.end(f"the head of the request took longer than {patience:g} seconds")
            elif connection.is_stuck(now, limits.head_seconds, limits.min_rate):
                connection.transport.abort()


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 over h11, which knows what it waits for.

    Attributes:
        since: when it began to wait for the head of a request.
        refused: whether there is no place for it.
        received: bytes since the last request ended, heads and framing included.
    """

    def __init__(self, gate: Gate, config, server_state, app_state, _loop=None):
        # A request finds its connection in its scope.
        super().__init__(config, server_state, {**app_state, "connection": self}, _loop)
        self._gate = gate
        self.since = time.monotonic()
        self.refused = False
        self.received = 0
        self._unsent: tuple[int, float] | None = None
        self._deaf = False

    @property
    def idle(self) -> bool:
        """Whether no request is being received or answered."""
        return not self.transport.is_closing() and (
            self.cycle is None or self.cycle.response_complete
        )

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._gate.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.refused:
            self._close_with(503, "the server has as many connections as it takes: try again")
            return
        if self._deaf:
            return
        self.received += len(data)
        super().data_received(data)

    def on_response_complete(self) -> None:
        self.since, self.received = time.monotonic(), 0
        chunked = any(name == b"transfer-encoding" for name, _ in self.headers)
        if chunked and self.conn.their_state is h11.SEND_BODY:
            # Answered before it was whole, and it may have no end. The rest is not looked at, as
            # each chunk costs time, but taken for a moment: else the answer could be lost.
            self._deaf = True
            self.loop.call_later(_TELL_SECONDS, self.transport.close)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        # Also for a chunk that is none, in a request that is being received.
        begun = self.cycle is not None and self.cycle.response_started
        if begun and not self.cycle.response_complete:
            self.transport.abort()
        else:
            self._close_with(400, msg)

    def end(self, reason: str) -> None:
        """Closes it; one that has sent a part of a request is told why."""
        begun = bool(self.conn.trailing_data[0])  # of a head, not the rest of a refused body
        if begun or self.refused:
            self._close_with(503 if self.refused else 408, reason)
        elif self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def is_stuck(self, now: float, seconds: float, rate: float) -> bool:
        """Whether an answer is taken more slowly than by `rate`, looked at every `seconds`."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent:
            self._unsent = None
            return False
        if self._unsent is None:
            self._unsent = unsent, now
        before, since = self._unsent
        if now - since <= seconds:
            return False
        self._unsent = unsent, now
        return before - unsent < rate * (now - since)

    def _close_with(self, status: int, reason: str) -> None:
        self.transport.write(refusal_bytes(status, reason))
        self.transport.close()
