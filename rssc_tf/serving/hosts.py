"""Which names a server answers to.

A page from elsewhere can have its name resolved to 127.0.0.1 and then read what a local server
answers (DNS rebinding); its requests name that host.
"""

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from rssc_tf.serving.errors import Refused, refusal

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]*))(?::[0-9]*)?")  # and its port
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


def trusted_hosts(bound: str, more: tuple[str, ...] = ()) -> frozenset[str] | None:
    """The hosts that a request may name, or `None` for any.

    Args:
        bound: address that the server listens at. Any name is right if it is not the loopback.
        more: names that are right besides.
    """
    if not more and not _is_loopback(bound):
        return None
    return _LOCAL | {bound.lower(), *(name.lower() for name in more)}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class TrustedHosts:
    """ASGI middleware: 421 for a request to another host.

    Starlette's answers in plain text and redirects to `www`.

    Args:
        app: the application behind it.
        hosts: see `trusted_hosts`.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None):
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._hosts is not None:
            name = _without_port(Headers(scope=scope).get("host", ""))
            if name not in self._hosts:
                known = ", ".join(sorted(self._hosts))
                refused = Refused(421, f"no host {name[:100]!r} here, only {known}")
                await refusal(refused)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _without_port(host: str) -> str:
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found else host
