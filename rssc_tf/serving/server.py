"""A server process: a port, the model, uvicorn, and an end that loses no request."""

import gc
import logging
import os
import signal
import socket
import time
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from rssc_tf.serving.app import build_app
from rssc_tf.serving.connections import Gate
from rssc_tf.serving.hosts import trusted_hosts
from rssc_tf.serving.limits import Limits
from rssc_tf.serving.model import ServedModel
from rssc_tf.serving.service import Service
from tfrecords_tools.common.errors import SettingError

# Connections that wait; also how many are accepted at once, before any can be turned away.
_BACKLOG = 128
_STOPPING_SECONDS = 30  # for the requests that are being answered when the server is told to stop


def serve(
    export: Path,
    host: str,
    port: int,
    limits: Limits,
    hosts: tuple[str, ...] = (),
    trust: bool = False,
    views: int | None = None,
) -> None:
    """Serves an export until SIGTERM or Ctrl-C; then it takes no more connections, answers the
    requests it has, and returns.

    Args:
        export: export folder.
        host: address to listen at.
        port: 0 for any that is free.
        limits: see `Limits`.
        hosts: names that requests may give this server, besides its address; see
            `hosts.trusted_hosts`.
        trust: run a graph that does more than computing; see `load_saved_model`.
        views: refuse an export that looks at another number of views of an image.

    Raises:
        DataError: no export there, one that is not trusted, or one with other views.
        SettingError: the address cannot be used.
    """
    # Bound before the model is loaded, so that a port in use is told at once; nobody can connect
    # before it listens, with the model loaded. Two that load at the same time may both have bound
    # it, and the second is told then.
    with _bind(host, port) as bound:
        model = ServedModel(export, trust, views)
        gc.freeze()  # TensorFlow's million objects stay; collections need not look at them
        limits = limits.within_this_process().for_views(model.views)
        app = build_app(Service(model, limits), trusted_hosts(host, hosts))
        address = f"http://{_show_host(host)}:{bound.getsockname()[1]}"
        hello = f"serve: {model.name} at {address} (Ctrl-C stops)\nlimits: {limits}"
        with _told_of_port(host, port):
            bound.listen(_BACKLOG)
        with _signals_end_quietly():
            Server(app, limits, hello).run([bound])
        print("serve: stopped")


class Server(uvicorn.Server):
    """uvicorn with limits of connections; says where it is, once it can be reached.

    Args:
        app: what `build_app` made.
        limits: see `Limits`.
        hello: what it says.
        options: of `uvicorn.Config`.
    """

    def __init__(self, app: FastAPI, limits: Limits, hello: str = "", **options):
        self._gate = Gate(limits, app.state.bodies)
        config = uvicorn.Config(
            app,
            http=self._gate.protocol,
            ws="none",
            loop="asyncio",
            log_level="warning",
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=_STOPPING_SECONDS,
            **options,
        )
        super().__init__(config)
        self._hello = hello
        for name in ("uvicorn.error", "asyncio"):
            logging.getLogger(name).addFilter(_SELDOM)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._hello:
            print(self._hello, flush=True)

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # a tick is a tenth of a second
            self._gate.sweep()
        return await super().on_tick(counter)


class Seldom(logging.Filter):
    """Lets each message pass once in `seconds`: clients must not be able to fill a disk."""

    def __init__(self, seconds: float = 60.0):
        super().__init__()
        self._seconds = seconds
        self._seen: dict[tuple, tuple[float, int]] = {}  # when it passed, and how many did not

    def filter(self, record: logging.LogRecord) -> bool:
        kind = (record.msg, record.exc_info and record.exc_info[0])
        now = time.monotonic()
        passed, missed = self._seen.get(kind, (now, 0))
        if kind in self._seen and now - passed < self._seconds:
            self._seen[kind] = passed, missed + 1
            return False
        if len(self._seen) > 100:
            self._seen.clear()
        self._seen[kind] = now, 0
        if missed:
            record.msg = f"{record.msg} ({missed} more like it before)"
        return True


_SELDOM = Seldom()  # one, however many servers a process has


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:  # the latter of labels that no name can have
        reason = getattr(error, "strerror", None) or error
        what = f"must be an address of this machine ({reason})"
        raise SettingError("host", what, host) from error
    with _told_of_port(host, port):
        try:
            if os.name == "nt":  # there, SO_REUSEADDR lets two servers have one port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    return bound


@contextmanager
def _told_of_port(host: str, port: int):
    try:
        yield
    except OSError as error:
        what = f"must be free at {_show_host(host)} ({error.strerror}): choose another one"
        raise SettingError("port", what, port) from error


def _show_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextmanager
def _signals_end_quietly():
    """uvicorn raises the signal that stopped it once more, when all is answered and closed."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
