"""What eight views of an image cost, against `model.predict` on as many images."""

from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np

from pipelines.crop import crop_side
from rssc_tf.bench.measure import Variant, describe_machine, interleave, peak_memory, summarise
from rssc_tf.bench.target import open_target
from rssc_tf.evaluation.features import VIEWS_AT_ONCE
from rssc_tf.evaluation.prediction import Forward, forward
from rssc_tf.library import build_classifier
from rssc_tf.models.views import pooled, seen_in_views
from rssc_tf.records import Records

_VIEWS = 8
_CALL = 8  # batches
_PREDICT = "model.predict on as many images in memory"


def bench_views(
    target: Path, backbone: str, image_size: int | None, rounds: int, seconds: float
) -> dict:
    """Times features and probabilities of eight views of each image, read from records, and
    Keras's `model.predict` on eight times as many images that lie in memory.

    Args:
        target: record folder.
        backbone: name of a backbone; its weights are random.
        image_size: side at which the backbone sees images; `None`: the crop.
        rounds: how often each variant is timed.
        seconds: length of one timing, at least.

    Returns:
        JSON-ready: `variants`, in images a second, each in eight views.
    """
    records = open_target(target)
    image_size = image_size or crop_side(records.card.side)
    model = build_classifier(backbone, records, weights=None, image_size=image_size)
    exclusive = records.task.exclusive
    batches = _batches(records)
    variants = [
        Variant(_PREDICT, lambda: _predict(model, batches)),
        Variant("features, mean of 8 views", _over(forward(pooled(model, _VIEWS)), batches)),
        Variant(
            "probabilities, mean of 8 views",
            _over(forward(seen_in_views(model, _VIEWS, exclusive)), batches),
        ),
    ]
    interleave("bench views", variants, rounds, seconds, warm_up=3)
    return {
        "bench": "views",
        "records": records.name,
        "backbone": backbone,
        "image_size": image_size,
        "machine": describe_machine(),
        "peak_memory": peak_memory(),
        **summarise(variants, _PREDICT),
    }


def _batches(records: Records) -> Iterator:
    """Full batches of images without end, so that nothing is traced for another size."""
    size = min(VIEWS_AT_ONCE // _VIEWS, records.splits["train"])
    images = records.split("train", size).map(lambda images, _: images)
    return iter(images.filter(lambda images: len(images) == size).repeat())


def _predict(model: keras.Model, batches: Iterator) -> Iterator[int]:
    # Several batches a call: the call itself costs something too.
    images = np.concatenate([next(batches).numpy() for _ in range(_CALL)])
    views = np.repeat(images, _VIEWS, axis=0)
    while True:
        model.predict(views, batch_size=VIEWS_AT_ONCE, verbose=0)
        yield len(images)


def _over(look: Forward, batches: Iterator) -> Callable[[], Iterator[int]]:
    def start() -> Iterator[int]:
        for images in batches:
            look(images).numpy()
            yield len(images)

    return start
