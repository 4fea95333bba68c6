"""Image files -> answers of the model, through the batcher. Knows no HTTP but its status codes."""

import asyncio
import os
import re
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from rssc_tf.predict import read_any
from rssc_tf.serving.batching import Answer, Batcher, QueueFull, Row
from rssc_tf.serving.errors import Refused
from rssc_tf.serving.limits import Limits
from rssc_tf.serving.metrics import Metrics
from rssc_tf.serving.model import DEFAULT, EXPLAIN, IMAGE_BYTES, ServedModel
from rssc_tf.serving.pictures import count_pixels, preview, weigh, why_not
from rssc_tf.serving.rest import (
    PredictRequest,
    count_elements,
    format_predict,
    parse_predict,
    refuse_many,
    refuse_pixels,
    without_collection,
)
from rssc_tf.serving.turns import Flow, Readers, Turns
from tfrecords_tools.imaging.images import BadImage

_T = TypeVar("_T")

_SHOWN = 20  # reasons in a refusal
_SHORT = 1 << 18  # bytes; counting the elements of a shorter text takes less than a thread
_ELEMENT = 16  # pixels; a value in a list takes about as much memory
_FILE = 1 << 16  # pixels; what reading a file costs at least


@dataclass(frozen=True)
class _Read:
    """A file as the model takes it: its bytes, or what is wrong with it; and its preview."""

    data: bytes = b""
    error: str = ""
    preview: str | None = None


class Service:
    """What the addresses of a server do. Used as an asynchronous context manager.

    Large images are decoded one at a time, and beside them small ones, up to
    `limits.max_pixels` together: memory is bounded, and a large image delays no small one.

    Args:
        model: the export.
        limits: see `Limits`.
    """

    def __init__(self, model: ServedModel, limits: Limits):
        self.model = model
        self.limits = limits
        self.metrics = Metrics()
        self._batcher = Batcher(model.run, limits, self.metrics)
        # Beside the loop, and one more than a large image takes.
        self._readers = Readers(max(2, os.cpu_count() or 1))
        self._large, self._small = Turns(1), Turns(limits.max_pixels)

    async def __aenter__(self) -> "Service":
        await self._batcher.__aenter__()
        return self

    async def __aexit__(self, *reason) -> None:
        await self._batcher.__aexit__(*reason)
        self._readers.close()

    @property
    def alive(self) -> bool:
        """Whether requests are answered."""
        return self._batcher.alive

    async def predict(self, body: bytes) -> dict:
        """TensorFlow Serving's predict. An image that does not decode is a row with `valid`
        false, as the model answers; a request without any image that decodes is refused.

        Raises:
            Refused: with the reason.
        """
        flow = Flow()
        if len(body) < _SHORT:
            elements = count_elements(body, self.limits)
        else:
            elements = await self._readers.run(flow, _FILE, count_elements, body, self.limits)
        cost = _FILE + _ELEMENT * elements
        async with self._room(flow, cost):
            request, pixels, errors = await self._readers.run(flow, cost, self._read_request, body)
        if all(errors):
            self._count(0, len(errors))
            raise _all_bad(errors)
        rows = [
            Row(request.signature, values, size, flow)
            for values, size in zip(request.rows, pixels, strict=True)
        ]
        answers = await self._submit(rows)
        if IMAGE_BYTES in request.rows[0]:
            valid = [bool(answer["valid"]) for answer in answers]
            self._count(sum(valid), len(valid) - sum(valid))
            if not any(valid):
                raise _all_bad(
                    [
                        error or await self._why_not(flow, row.values[IMAGE_BYTES], row.pixels)
                        for error, row in zip(errors[:_SHOWN], rows, strict=False)
                    ],
                    len(rows),
                )
        else:
            self._count(len(answers), 0)
        return format_predict(request, answers)

    def _read_request(self, body: bytes) -> tuple[PredictRequest, list[int], list[str]]:
        """The request, and for each row its pixels and what is wrong with its image. A bad image
        is replaced by no bytes: the model need not try."""
        with without_collection():
            request = parse_predict(body, self.model, self.limits)
        pixels, errors = [], []
        together = 0
        for row in request.rows:
            size, error = sum(np.size(value) // 3 for value in row.values()), ""
            if IMAGE_BYTES in row:
                try:
                    own, size = weigh(row[IMAGE_BYTES], self.limits.max_pixels)
                    together += own
                except BadImage as bad:
                    row[IMAGE_BYTES], size, error = b"", 0, str(bad)
            pixels.append(size)
            errors.append(error)
        refuse_pixels(together, self.limits)
        return request, pixels, errors

    async def classify(self, files: list[tuple[str, bytes]], with_preview: bool) -> list[dict]:
        """Files of any format that `imaging` reads (TIFF and 16 bits included) -> one object each:
        `file`, `valid`, and `error`, or `predicted` (list of names) and `probabilities` (name to
        0..1, highest first), and on request `preview`.

        Raises:
            Refused: with the reason, if no file can be classified.
        """
        refuse_many(len(files), self.limits)
        flow = Flow()
        cost = _FILE * len(files)
        counts = await self._readers.run(
            flow, cost, lambda: [self._count_pixels(data) for _, data in files]
        )
        refuse_pixels(sum(pixels for (pixels, _), _ in counts), self.limits)

        async def one(name: str, data: bytes, size: tuple[int, int], error: str) -> dict:
            if not error:
                read, answer = await self._answer(flow, data, size, DEFAULT, {}, with_preview)
                if answer:
                    shown = {"preview": read.preview} if with_preview else {}
                    return {"file": name, "valid": True, **self._name(answer), **shown}
                error = read.error
            return {"file": name, "valid": False, "error": error}

        results = await _all(
            [one(*file, *count) for file, count in zip(files, counts, strict=True)]
        )
        bad = sum(not result["valid"] for result in results)
        self._count(len(results) - bad, bad)
        if bad == len(results):
            raise _all_bad([result["error"] for result in results], results=results)
        return results

    async def explain(self, data: bytes, class_name: str) -> dict:
        """Grad-CAM of one file for a class: `heat` `(h', w')` in 0..1, and `view`: left, top,
        right, bottom of the part of the picture that it covers, in 0..1.

        Raises:
            Refused: no such class, no Grad-CAM in this export, or no image.
        """
        if EXPLAIN not in self.model.signatures:
            raise Refused(404, "this export has no Grad-CAM: its backbone has no feature map")
        if class_name not in self.model.classes:
            raise Refused(400, f"no class {class_name[:200]!r}: see /info for their names")
        flow = Flow()
        size, error = await self._readers.run(flow, _FILE, self._count_pixels, data)
        answer = None
        if not error:
            index = np.int32(self.model.classes.index(class_name))
            read, answer = await self._answer(flow, data, size, EXPLAIN, {"class_index": index})
            error = read.error
        if not answer:
            raise Refused(400, error)
        return {"class": class_name, "heat": answer["heat"], "view": answer["view"]}

    async def _answer(
        self,
        flow: Flow,
        data: bytes,
        size: tuple[int, int],
        signature: str,
        values: dict,
        with_preview: bool = False,
    ) -> tuple[_Read, Answer | None]:
        """An uploaded file as it was read, and what the model says; `None` where its `error` says
        why there is nothing."""
        pixels, room = size
        async with self._room(flow, room):
            cost = _FILE + room
            read = await self._readers.run(flow, cost, self._read_file, data, with_preview)
            if read.error:
                return read, None
            row = Row(signature, {IMAGE_BYTES: read.data, **values}, pixels, flow)
            (answer,) = await self._submit([row])
            if answer["valid"]:
                return read, answer
            error = await self._readers.run(flow, cost, why_not, read.data)
            return _Read(error=error), None

    def _count_pixels(self, data: bytes) -> tuple[tuple[int, int], str]:
        """What `count_pixels` says of a file, and what is wrong with it."""
        try:
            return count_pixels(data, self.limits.max_pixels), ""
        except BadImage as error:
            return (0, 0), str(error)

    def _read_file(self, data: bytes, with_preview: bool) -> _Read:
        try:
            data, image = read_any(data, self.model.rule)
        except BadImage as error:
            return _Read(error=str(error))
        return _Read(data, preview=preview(image) if with_preview else None)

    async def _why_not(self, flow: Flow, data: bytes, pixels: int) -> str:
        async with self._room(flow, pixels):
            return await self._readers.run(flow, _FILE + pixels, why_not, data)

    def _room(self, flow: Flow, pixels: int) -> AbstractAsyncContextManager[None]:
        """Memory for so many decoded pixels of 8-bit RGB."""
        if pixels > self.limits.max_pixels / 2:
            return self._large.turn(flow, 1, pixels)
        return self._small.turn(flow, pixels, _FILE + pixels)

    def _name(self, answer: Answer) -> dict:
        order = np.argsort(-answer["probabilities"], kind="stable")
        probabilities = {self.model.classes[i]: answer["probabilities"][i] for i in order}
        found = _named(answer["predicted"].decode(), self.model.classes)
        named = [name for name in probabilities if name in found]
        return {"predicted": named, "probabilities": probabilities}

    async def _submit(self, rows: list[Row]) -> list[Answer]:
        try:
            return await self._batcher.submit(rows)
        except QueueFull as error:
            raise Refused(503, "too many images are waiting: try again") from error

    def _count(self, good: int, bad: int) -> None:
        self.metrics.images.labels("true").inc(good)
        self.metrics.images.labels("false").inc(bad)


def _named(predicted: str, classes: Sequence[str]) -> list[str]:
    """The classes that a model's `predicted` names: one, or labels in their order, joined by
    commas. A class may have commas in its name, too; the name of one class comes before any other
    way to read a text."""
    if predicted in classes:
        return [predicted]
    return next(_readings(predicted, classes), [])


def _readings(predicted: str, classes: Sequence[str]) -> Iterator[list[str]]:
    if not predicted:
        yield []
    for number, name in enumerate(classes):
        joined = re.sub(",+", ",", name).strip(",")  # as the model does (`saved_model.Server`)
        if f"{predicted},".startswith(f"{joined},"):
            for others in _readings(predicted[len(joined) + 1 :], classes[number + 1 :]):
                yield [name, *others]


async def _all(work: list[Awaitable[_T]]) -> list[_T]:
    """All results; where one fails, the others are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _all_bad(reasons: list[str], count: int | None = None, **more) -> Refused:
    """The refusal of images that are all bad; the first reasons are enough for it."""
    count = count or len(reasons)
    if count == 1:
        return Refused(400, f"bad image: {reasons[0]}", **more)
    shown = enumerate(reasons[:_SHOWN])
    listed = "; ".join(f"image {number}: {reason}" for number, reason in shown)
    return Refused(400, f"all {count} images are bad: {listed}", **more)
