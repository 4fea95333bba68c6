"""Rows of concurrent requests -> batches for one model thread.

Rows that wait together are answered together: while the model works on one batch the next one
gathers, so under load batches fill by themselves, and `max_wait` is paid only by a server that is
nearly idle. Requests take turns (`turns.FairQueue`): one of a thousand rows does not keep one of
one row waiting for more than a batch.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rssc_tf.serving.limits import Limits
from rssc_tf.serving.metrics import Metrics
from rssc_tf.serving.turns import FairQueue, Flow

Run = Callable[[str, dict[str, Sequence]], dict[str, np.ndarray]]
Answer = dict[str, Any]

_PIXELS = 1 << 16  # decoding so many costs about as much as the network does on one image


class QueueFull(Exception):
    """As many rows wait as may wait."""


@dataclass(eq=False)
class Row:
    """One row of a request.

    Attributes:
        signature: function of the model.
        values: for each input its value: bytes, a number or an array.
        pixels: that the model has to decode for it.
        flow: of the request.
    """

    signature: str
    values: dict[str, Any]
    pixels: int = 0
    flow: Flow = field(default_factory=Flow, repr=False)
    answer: asyncio.Future = field(init=False, repr=False)
    arrived: float = field(init=False, default_factory=time.monotonic)

    def fits(self, other: "Row") -> bool:
        """Whether both can be rows of one batch."""
        return self.signature == other.signature and all(
            np.shape(value) == np.shape(other.values[name]) for name, value in self.values.items()
        )


class Batcher:
    """Collects rows, runs them in batches in a thread of its own, and hands the answers out.

    Used as an asynchronous context manager; leaving it waits for the batch that is at work.

    Args:
        run: signature and columns to the columns of the answer (`ServedModel.run`).
        limits: see `Limits`.
        metrics: told of every batch.
    """

    def __init__(self, run: Run, limits: Limits, metrics: Metrics):
        self._run_columns = run
        self._limits = limits
        self._metrics = metrics
        self._queue: FairQueue[Row] = FairQueue()
        self._waiting: Counter[Flow] = Counter()  # rows
        # What one request fills of the queue at most, however many rows it has.
        self._share = max(limits.max_rows, limits.max_queue // 8)
        self._some, self._enough = asyncio.Event(), asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    async def __aenter__(self) -> "Batcher":
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_) -> None:
        self._worker.cancel()
        await asyncio.to_thread(self._thread.shutdown)

    @property
    def alive(self) -> bool:
        """Whether rows are worked on."""
        return not self._worker.done()

    async def submit(self, rows: list[Row]) -> list[Answer]:
        """Answers to rows, in their order: all of them are taken, or none.

        Raises:
            QueueFull: too many rows wait already.
        """
        counts = self._waiting + Counter(row.flow for row in rows)
        if sum(min(count, self._share) for count in counts.values()) > self._limits.max_queue:
            raise QueueFull
        loop = asyncio.get_running_loop()
        for row in rows:
            row.answer = loop.create_future()
            self._queue.put(row, row.flow, 1 + row.pixels // _PIXELS)
        self._waiting = counts
        self._signal()
        try:
            return await asyncio.gather(*(row.answer for row in rows))
        except asyncio.CancelledError:
            self._queue.drop(self._forget)
            self._signal()
            raise

    def _forget(self, row: Row) -> bool:
        """Whether nobody waits for a row of the queue any more; then it does not count."""
        if row.answer.done():
            self._left(row)
        return row.answer.done()

    def _left(self, row: Row) -> None:
        self._waiting[row.flow] -= 1
        if not self._waiting[row.flow]:
            del self._waiting[row.flow]

    def _signal(self) -> None:
        self._metrics.queue.set(len(self._queue))
        for event, least in ((self._some, 1), (self._enough, self._limits.max_rows)):
            event.set() if len(self._queue) >= least else event.clear()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            patience = self._queue.first().arrived + self._limits.max_wait - time.monotonic()
            if patience > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._enough.wait(), patience)
            if batch := self._take():
                await loop.run_in_executor(self._thread, self._run, batch, loop)

    def _take(self) -> list[Row]:
        """The next row and those after it that go with it; the others keep their places."""
        first, pixels = None, 0

        def goes(row: Row) -> bool:
            nonlocal first, pixels
            if first is None:
                first = row
            elif pixels + row.pixels > self._limits.max_pixels or not row.fits(first):
                return False
            pixels += row.pixels
            return True

        batch = self._queue.take(goes, self._limits.max_rows)
        for row in batch:
            self._left(row)
        self._signal()
        return batch

    def _run(self, batch: list[Row], loop: asyncio.AbstractEventLoop) -> None:
        """In the model's thread: one call of the model. A row that makes it fail fails alone."""
        started = time.perf_counter()
        columns = {name: [row.values[name] for row in batch] for name in batch[0].values}
        try:
            answer = self._run_columns(batch[0].signature, columns)
        except Exception as error:
            if len(batch) > 1:
                for row in batch:
                    self._run([row], loop)
            else:
                loop.call_soon_threadsafe(_settle, batch[0].answer, None, error)
            return
        self._metrics.batch_images.observe(len(batch))
        self._metrics.model_seconds.observe(time.perf_counter() - started)
        for number, row in enumerate(batch):
            values = {name: column[number] for name, column in answer.items()}
            loop.call_soon_threadsafe(_settle, row.answer, values, None)


def _settle(future: asyncio.Future, answer: Answer | None, error: Exception | None) -> None:
    if future.done():
        return
    if error:
        future.set_exception(error)
    else:
        future.set_result(answer)
