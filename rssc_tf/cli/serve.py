"""Serve an export over HTTP: TensorFlow Serving's REST shape, uploads, and a page."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from rssc_tf.cli.export_flags import Trust, Views
from tfrecords_tools.common.errors import MissingExtra
from tfrecords_tools.common.tensorflow import import_tensorflow

NAME = "serve"
LIBRARIES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "orjson")


def command(
    export: Annotated[Path, Argument(help="Export folder; its name is the model's.")],
    host: Annotated[
        str, Option(help="Address to listen at; 0.0.0.0 is every one, and there is no password.")
    ] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65535, help="0: any that is free.")] = 8501,
    max_batch: Annotated[
        int, Option(min=1, help="Views of images that the model sees at a time, at most.")
    ] = 32,
    max_wait_ms: Annotated[
        float, Option(min=0, help="How long an image waits for others to share a batch.")
    ] = 5.0,
    queue: Annotated[
        int, Option(min=1, help="Images that may wait; beyond it the answer is 503.")
    ] = 1024,
    max_request_mb: Annotated[
        float, Option(min=0.001, max=1e6, help="Size of a request, in MB.")
    ] = 32.0,
    max_pixels: Annotated[
        int | None,
        Option(min=1, help="Of an image, and of all images of a batch; 89 million at most."),
    ] = None,
    max_request_pixels: Annotated[
        int | None,
        Option(min=1, help="Of all images of a request; four times --max-pixels by default."),
    ] = None,
    max_elements: Annotated[
        int, Option(min=1, help="Commas and brackets in the JSON of a request.")
    ] = 5_000_000,
    request_seconds: Annotated[
        float, Option(min=0.001, help="For the answer to a request.")
    ] = 120.0,
    head_seconds: Annotated[
        float, Option(min=0.001, help="For the head of a request, and for idle connections.")
    ] = 10.0,
    body_seconds: Annotated[float, Option(min=0.001, help="For the body of a request.")] = 60.0,
    min_rate_kb: Annotated[
        float, Option(min=0, help="Of a body, in kB a second; slower ones are refused.")
    ] = 10.0,
    connections: Annotated[
        int, Option(min=1, help="At a time; at most half of the files that a process may open.")
    ] = 512,
    allow_host: Annotated[
        list[str] | None,
        Option(help="Name that requests may give this server, besides its address; several."),
    ] = None,
    views: Views = None,
    trust: Trust = False,
) -> None:
    require_serving()
    import_tensorflow()
    from rssc_tf.doctor.nvidia import warn_of_unused_gpu
    from rssc_tf.serving.limits import Limits
    from rssc_tf.serving.server import serve
    from tfrecords_tools.imaging.images import MAX_PIXELS

    warn_of_unused_gpu()
    pixels = min(max_pixels or MAX_PIXELS, MAX_PIXELS)
    limits = Limits(
        max_rows=max_batch,
        max_wait=max_wait_ms / 1000,
        max_queue=queue,
        max_pixels=pixels,
        request_pixels=max_request_pixels or 4 * pixels,
        max_elements=max_elements,
        max_bytes=int(max_request_mb * 1e6),
        request_seconds=request_seconds,
        head_seconds=head_seconds,
        body_seconds=body_seconds,
        min_rate=1e3 * min_rate_kb,
        connections=connections,
    )
    serve(export, host, port, limits, tuple(allow_host or ()), trust, views)


def require_serving() -> None:
    """Raises `RsscError` where a library of the extra is missing."""
    for name in LIBRARIES:
        if find_spec(name) is None:
            raise MissingExtra("rssc-tf serve", "serve", name)
