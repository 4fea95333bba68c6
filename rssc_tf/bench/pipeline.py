"""How fast the input stream is: ours, the study's, decoding alone, and other libraries."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import tensorflow as tf

from pipelines.cache import is_wanted
from pipelines.crop import crop_side
from pipelines.images import decode_whole
from pipelines.records import read
from pipelines.stream import training_batches
from rssc_tf.bench.decoders import decode_in_threads, thread_decoders, torch_batches
from rssc_tf.bench.measure import Variant, describe_machine, interleave, peak_memory, summarise
from rssc_tf.bench.study_pipeline import study_batches
from rssc_tf.bench.target import open_target
from rssc_tf.records import Records
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.records.schema import parse

BASELINE, CEILING = "study, parallel", "decode only"
_IN_MEMORY = 2000  # images that the variants outside tf.data go through


def bench_pipeline(path: Path, batch_size: int, rounds: int, seconds: float) -> dict:
    """Times the ways to feed a training from a record folder.

    Args:
        path: record folder with a `train` split, whose images are all of one size at least as
            large as the crop.
        batch_size: examples in a batch.
        rounds: how often each variant is timed.
        seconds: length of one timing.

    Returns:
        JSON-ready: `variants` with images per second and ratios, the machine, the records.

    Raises:
        DataError: images of several sizes, which decoding alone cannot put into a batch; or as of
            `open_target`.
    """
    records = open_target(path)
    card = records.card
    if len(card.sizes) > 1:
        some = ", ".join(list(card.sizes)[:3])
        raise DataError(
            f"{path} holds images of {len(card.sizes)} sizes, {some} among them, and decoding "
            "alone makes batches of them as they are: give records of one size"
        )
    variants = _variants(records, batch_size)
    interleave("bench pipeline", variants, rounds, seconds)
    return {
        "bench": "pipeline",
        "records": card.name,
        "sizes": card.sizes,
        "crop": crop_side(card.side),
        "mean_bytes": card.splits["train"].bytes // card.splits["train"].examples,
        "batch_size": batch_size,
        "machine": describe_machine(),
        "peak_memory": peak_memory(),
        **summarise(variants, BASELINE, CEILING),
    }


def _variants(records: Records, batch_size: int) -> list[Variant]:
    path, card = records.path, records.card
    stored = read(path, card, "train")
    endless = stored.repeat()
    images = [parse(record)["image"].numpy() for record in stored.take(_IN_MEMORY)]
    crop = crop_side(card.side)

    def decode_only() -> tf.data.Dataset:
        dataset = endless.map(lambda record: decode_whole(parse(record)["image"]), tf.data.AUTOTUNE)
        return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)

    datasets = {
        "study, serial": lambda: study_batches(endless, batch_size, parallel=False),
        BASELINE: lambda: study_batches(endless, batch_size, parallel=True),
        "ours": lambda: training_batches(path, card, batch_size, seed=0),
        CEILING: decode_only,
    }
    if is_wanted("auto", card, "train"):
        cached = training_batches(path, card, batch_size, seed=0, cache="ram")
        datasets["ours, cache ram"] = lambda: cached
    variants = [
        Variant(name, lambda make=make: _count(make(), batch_size))
        for name, make in datasets.items()
    ]
    for name, decode in thread_decoders().items():
        variants.append(
            Variant(
                f"decoder threads ({name})",
                lambda decode=decode: decode_in_threads(images, decode),
            )
        )
    if find_spec("torch"):
        # Its workers start once; they stop when their few prepared batches are not taken.
        loader = torch_batches(images, crop, batch_size)
        variants.append(Variant("torch DataLoader (Pillow)", lambda: loader, own_process=False))
    return variants


def _count(dataset: tf.data.Dataset, batch_size: int) -> Iterator[int]:
    for _ in dataset:
        yield batch_size
