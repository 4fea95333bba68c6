"""What a server counts, in Prometheus' text format."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The metrics of one server; `rssc_` in front of every name.

    Attributes:
        requests: `requests_total` by route and code.
        seconds: `request_seconds` by route, from the first byte in to the last byte out.
        images: `images_total` by `valid`, `"true"` or `"false"`.
        queue: `queue_images`, rows that wait.
        batch_images: rows of a batch.
        model_seconds: of one batch, decoding included.
    """

    def __init__(self):
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # memory and processor time, on Linux
        PlatformCollector(registry=self._registry)
        of = {"namespace": "rssc", "registry": self._registry}
        self.requests = Counter("requests", "Requests answered.", ["route", "code"], **of)
        self.seconds = Histogram(
            "request_seconds", "Time to the end of an answer.", ["route"], buckets=_SECONDS, **of
        )
        self.images = Counter("images", "Images, and whether they decode.", ["valid"], **of)
        self.queue = Gauge("queue_images", "Rows that wait for the model.", **of)
        self.batch_images = Histogram("batch_images", "Rows of a batch.", buckets=_ROWS, **of)
        self.model_seconds = Histogram(
            "model_seconds", "Time of one batch in the model.", buckets=_SECONDS, **of
        )

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self._registry)
