"""Refusals: an HTTP status and a reason, as `{"error": "..."}` like TensorFlow Serving's."""

from http import HTTPStatus

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

_RETRY = "1"  # seconds


class Refused(HTTPException):
    """A request that is not answered.

    Args:
        status: HTTP status.
        reason: one sentence for the client.
        more: goes into the answer beside `error`.
    """

    def __init__(self, status: int, reason: str, **more):
        super().__init__(status, reason)
        self.more = more


def json_response(content: dict, status: int = 200) -> Response:
    """Numpy arrays are lists in it; float32 has the digits it needs and no more."""
    data = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(data, status, media_type="application/json")


def refusal(error: HTTPException) -> Response:
    """The answer to a request that failed with `error`."""
    response = json_response(
        {"error": str(error.detail), **getattr(error, "more", {})}, error.status_code
    )
    response.headers.update(error.headers or {})
    if error.status_code == 503:
        response.headers["Retry-After"] = _RETRY
    return response


def refusal_bytes(status: int, reason: str) -> bytes:
    """The same for a connection that has no request, and is closed."""
    body = orjson.dumps({"error": reason})
    retry = f"Retry-After: {_RETRY}\r\n" if status == 503 else ""
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n{retry}\r\n"
    ).encode() + body
