"""Refusals: an HTTP status and a reason, as `{"error": "..."}` like TensorFlow Serving's."""

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response


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
        response.headers["Retry-After"] = "1"
    return response
