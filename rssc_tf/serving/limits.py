"""What one request, one client and all of them together may cost a server."""

from dataclasses import dataclass, replace

from tfrecords_tools.imaging.images import MAX_PIXELS


@dataclass(frozen=True)
class Limits:
    """The limits of a server; each is checked before the work that it bounds.

    Attributes:
        max_rows: of a batch.
        max_wait: seconds that a row waits for others, at most.
        max_queue: rows of a request, and rows that may wait for the model.
        max_pixels: of an image, and of all images of a batch; twice as many are decoded at a time.
        request_pixels: of all images of a request together.
        max_elements: commas and brackets in the JSON of a request.
        max_bytes: of the body of a request.
        request_seconds: from the last byte of a request to its answer.
        head_seconds: for the head of a request, and what an idle connection is kept.
        body_seconds: for the body of a request.
        min_rate: bytes a second of a body, and of an answer that is being taken.
        connections: open at a time.
    """

    max_rows: int = 32
    max_wait: float = 0.005
    max_queue: int = 1024
    max_pixels: int = MAX_PIXELS
    request_pixels: int = 4 * MAX_PIXELS
    max_elements: int = 5_000_000
    max_bytes: int = 32_000_000
    request_seconds: float = 120.0
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    min_rate: float = 10_000.0
    connections: int = 512

    def within_this_process(self) -> "Limits":
        """With no more connections than half of the files that this process may open: uploads
        and libraries open files too. Windows has no such limit."""
        try:
            import resource
        except ImportError:
            return self
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return replace(self, connections=max(1, min(self.connections, files // 2)))

    def for_views(self, views: int) -> "Limits":
        """For a model that looks at several views of an image: rows of a batch are fewer."""
        return replace(self, max_rows=max(1, self.max_rows // views))

    def __str__(self) -> str:
        return (
            f"{self.max_bytes / 1e6:g} MB, {self.max_queue:,} images, "
            f"{self.request_pixels / 1e6:.0f} megapixels ({self.max_pixels / 1e6:.3g} an image) "
            f"and {self.max_elements / 1e6:g} million JSON values a request; "
            f"{self.head_seconds:g} s for its head, {self.body_seconds:g} s for its body, at "
            f"{self.min_rate / 1e3:g} kB/s or more, "
            f"{self.request_seconds:g} s for the answer; {self.connections} connections"
        )
