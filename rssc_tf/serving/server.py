"""A server process: a port, the model, uvicorn, and an end that loses no request."""

import signal
import socket
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from rssc_tf.serving.app import build_app
from rssc_tf.serving.batching import Limits
from rssc_tf.serving.model import ServedModel
from rssc_tf.serving.service import Service
from tfrecords_tools.common.errors import RsscError

_STOPPING_SECONDS = 30  # for the requests that are being answered when the server is told to stop


def serve(export: Path, host: str, port: int, limits: Limits, max_bytes: int) -> None:
    """Serves an export until SIGTERM or Ctrl-C; then it takes no more connections, answers the
    requests it has, and returns.

    Args:
        export: export folder.
        host: address to listen at.
        port: 0 for any that is free.
        limits: of batches, the queue, and the pixels of an image.
        max_bytes: of the body of a request.

    Raises:
        RsscError: no export there, or the address cannot be used.
    """
    # Bound before the model is loaded, so that a port in use is told at once; nobody can connect
    # before uvicorn listens, with the model loaded.
    with _bind(host, port) as bound:
        model = ServedModel(export)
        app = build_app(Service(model, limits), max_bytes)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_STOPPING_SECONDS,
        )
        address = f"http://{_show_host(host)}:{bound.getsockname()[1]}"
        with _signals_end_quietly():
            _Server(config, f"serve: {model.name} at {address} (Ctrl-C stops)").run([bound])
        print("serve: stopped")


class _Server(uvicorn.Server):
    """Says where it is, once it can be reached."""

    def __init__(self, config: uvicorn.Config, hello: str):
        super().__init__(config)
        self._hello = hello

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self._hello, flush=True)


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise RsscError(f"no address {host!r} on this machine: {error.strerror}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise RsscError(
            f"cannot listen at {_show_host(host)}:{port}: {error.strerror}; choose another `port`"
        ) from error
    return bound


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
