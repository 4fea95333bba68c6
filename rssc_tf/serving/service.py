"""Image files -> answers of the model, through the batcher. Knows no HTTP but its status codes."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from rssc_tf.predict import read_any
from rssc_tf.serving.batching import Answer, Batcher, Limits, QueueFull, Row
from rssc_tf.serving.errors import Refused
from rssc_tf.serving.metrics import Metrics
from rssc_tf.serving.model import DEFAULT, EXPLAIN, IMAGE_BYTES, ServedModel
from rssc_tf.serving.pictures import count_pixels, preview, read_header, why_not
from rssc_tf.serving.rest import PredictRequest, format_predict, parse_predict
from tfrecords_tools.imaging.images import BadImage

_T = TypeVar("_T")


class Service:
    """What the addresses of a server do. Used as an asynchronous context manager.

    Args:
        model: the export.
        limits: of batches, the queue, and the pixels of an image.
    """

    def __init__(self, model: ServedModel, limits: Limits):
        self.model = model
        self.metrics = Metrics()
        self._limits = limits
        self._batcher = Batcher(model.run, limits, self.metrics)
        # Files are decoded and texts parsed beside the loop, as many at a time as there are cores.
        self._readers = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="reader")

    async def __aenter__(self) -> "Service":
        await self._batcher.__aenter__()
        return self

    async def __aexit__(self, *reason) -> None:
        await self._batcher.__aexit__(*reason)
        self._readers.shutdown()

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
        request, pixels, errors = await self._beside(self._read_request, body)
        if all(errors):
            self._count(0, len(errors))
            raise _all_bad(errors)
        rows = [
            Row(request.signature, values, size)
            for values, size in zip(request.rows, pixels, strict=True)
        ]
        answers = await self._submit(rows)
        if IMAGE_BYTES in request.rows[0]:
            valid = [bool(answer["valid"]) for answer in answers]
            self._count(sum(valid), len(valid) - sum(valid))
            if not any(valid):
                reasons = [
                    error or await self._beside(why_not, row[IMAGE_BYTES])
                    for error, row in zip(errors, request.rows, strict=True)
                ]
                raise _all_bad(reasons)
        else:
            self._count(len(answers), 0)
        return format_predict(request, answers)

    def _read_request(self, body: bytes) -> tuple[PredictRequest, list[int], list[str]]:
        """The request, and for each row its pixels and what is wrong with its image. A bad image
        is replaced by no bytes: the model need not try."""
        request = parse_predict(body, self.model)
        self._refuse_many(len(request.rows))
        pixels, errors = [], []
        for row in request.rows:
            size, error = 0, ""
            if IMAGE_BYTES in row:
                try:
                    size = count_pixels(row[IMAGE_BYTES], self._limits.max_pixels)
                except BadImage as bad:
                    row[IMAGE_BYTES], error = b"", str(bad)
            pixels.append(size)
            errors.append(error)
        return request, pixels, errors

    async def classify(self, files: list[tuple[str, bytes]], with_preview: bool) -> list[dict]:
        """Files of any format that `imaging` reads (TIFF and 16 bits included) -> one object each:
        `file`, `valid`, and `error`, or `predicted` (list of names) and `probabilities` (name to
        0..1, highest first), and on request `preview`.

        Raises:
            Refused: with the reason, if no file can be classified.
        """
        self._refuse_many(len(files))
        read = [self._beside(self._read_file, data, with_preview) for _, data in files]
        read = await asyncio.gather(*read)
        good = [found for found in read if not found[2]]
        rows = [Row(DEFAULT, {IMAGE_BYTES: data}, size) for data, size, *_ in good]
        answers = iter(await self._submit(rows) if rows else ())
        results = []
        for (name, _), (data, _, error, shown) in zip(files, read, strict=True):
            answer = None if error else next(answers)
            if answer is not None and not answer["valid"]:
                error = await self._beside(why_not, data)
            if error:
                results.append({"file": name, "valid": False, "error": error})
                continue
            results.append({"file": name, "valid": True, **self._name(answer), **shown})
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
            raise Refused(400, f"no class {class_name!r}: see /info for their names")
        data, size, error, _ = await self._beside(self._read_file, data, False)
        if error:
            raise Refused(400, error)
        index = np.int32(self.model.classes.index(class_name))
        (answer,) = await self._submit(
            [Row(EXPLAIN, {IMAGE_BYTES: data, "class_index": index}, size)]
        )
        if not answer["valid"]:
            raise Refused(400, await self._beside(why_not, data))
        return {"class": class_name, "heat": answer["heat"], "view": answer["view"]}

    def _read_file(self, data: bytes, with_preview: bool) -> tuple[bytes, int, str, dict]:
        """What the model takes, its pixels, what is wrong with the file, and the preview."""
        try:
            pixels, _ = read_header(data, self._limits.max_pixels)
            data, image = read_any(data, self.model.rule)
        except BadImage as error:
            return b"", 0, str(error), {}
        return data, pixels, "", {"preview": preview(image)} if with_preview else {}

    def _name(self, answer: Answer) -> dict:
        order = np.argsort(-answer["probabilities"], kind="stable")
        probabilities = {self.model.classes[i]: answer["probabilities"][i] for i in order}
        # Several labels come joined by commas, and a class may have a comma in its name.
        predicted = f",{answer['predicted'].decode()},"
        named = [name for name in probabilities if f",{name}," in predicted]
        return {"predicted": named, "probabilities": probabilities}

    async def _submit(self, rows: list[Row]) -> list[Answer]:
        try:
            return await self._batcher.submit(rows)
        except QueueFull as error:
            raise Refused(503, "too many images are waiting: try again") from error

    def _refuse_many(self, count: int) -> None:
        if count > self._limits.max_queue:
            raise Refused(413, f"{count} images; at most {self._limits.max_queue} a request")

    def _count(self, good: int, bad: int) -> None:
        self.metrics.images.labels("true").inc(good)
        self.metrics.images.labels("false").inc(bad)

    async def _beside(self, function: Callable[..., _T], *arguments: Any) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, function, *arguments)


def _all_bad(reasons: list[str], **more) -> Refused:
    if len(reasons) == 1:
        return Refused(400, f"bad image: {reasons[0]}", **more)
    listed = "; ".join(f"image {number}: {reason}" for number, reason in enumerate(reasons[:20]))
    return Refused(400, f"all {len(reasons)} images are bad: {listed}", **more)
