"""How much of a training step is waiting for images, per precision."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from pipelines.augment import crop_side
from pipelines.cache import is_wanted
from pipelines.stream import training_batches
from rssc_tf.bench.measure import Variant, describe_machine, interleave, peak_memory, summarise
from rssc_tf.models.classifier import build_classifier
from rssc_tf.optimization.table import SCHEDULES, build_optimizer
from rssc_tf.tasks import task_of
from rssc_tf.training.distribution import dtype_policy, get_distribution, global_batch
from rssc_tf.training.step import training_step
from rssc_tf.weights.initial import initialise
from tfrecords_tools.records.card import Card, open_records

_TENSOR = "a tensor in memory"
_IN_FLIGHT = 4  # steps that may be under way; the training loop reads its losses as rarely


def bench_train(
    target: Path,
    backbone: str,
    image_size: int | None,
    batch_size: int,
    precisions: Sequence[str],
    rounds: int,
    seconds: float,
) -> dict:
    """Times the training step, fed by the stream and by one batch that lies in memory.

    Args:
        target: record folder.
        backbone: name of a backbone; its weights are random.
        image_size: side at which the backbone sees images; `None`: the crop.
        batch_size: examples in a step, over all devices.
        precisions: dtype policies.
        rounds: how often each variant is timed.
        seconds: length of one timing, at least.

    Returns:
        JSON-ready: `variants`, and `stall`: for each precision and stream, the share of the step's
        time that the images cost, with the smallest and largest of the rounds.
    """
    card = open_records(target)
    image_size = image_size or crop_side(card.side)
    caches = ["none"] + (["ram"] if is_wanted("auto", card, "train") else [])
    variants: list[Variant] = []
    for precision in precisions:
        variants += _variants(target, card, backbone, image_size, batch_size, precision, caches)
    interleave("bench train", variants, rounds, seconds, warm_up=3)
    return {
        "bench": "train",
        "records": card.name,
        "sizes": card.sizes,
        "backbone": backbone,
        "image_size": image_size,
        "batch_size": batch_size,
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "machine": describe_machine(),
        "peak_memory": peak_memory(),
        "stall": _stalls(variants),
        **summarise(variants, variants[0].name),
    }


def _variants(
    target: Path,
    card: Card,
    backbone: str,
    image_size: int,
    batch_size: int,
    precision: str,
    caches: list[str],
) -> list[Variant]:
    distribution = get_distribution("auto")
    batch = global_batch(batch_size, card.splits["train"].examples, distribution)
    with distribution.scope(), dtype_policy(precision):
        network, normalization, _ = initialise(backbone, "random")
        model = build_classifier(network, normalization, len(card.classes), image_size)
        schedule = SCHEDULES["cosine"](1e-4, 10**6)
        optimizer = build_optimizer(
            "adam", schedule, model.trainable_variables, precision=precision
        )
    step = training_step(model, optimizer, distribution, batch, task_of(card).losses)

    def stream(cache: str) -> Iterator:
        def pipeline(context) -> tf.data.Dataset:
            size = context.get_per_replica_batch_size(batch)
            return training_batches(target, card, size, seed=0, cache=cache)

        return iter(distribution.distribute_datasets_from_function(pipeline))

    def constant() -> Iterator:
        inputs = next(stream("none"))
        while True:
            yield inputs

    def variant(name: str, start: Callable[[], Iterator]) -> Variant:
        batches = start()  # kept from round to round: a training begins its stream once
        return Variant(f"{precision}, {name}", lambda: _steps(step, batches, batch))

    streams = [
        variant(f"the stream, cache {cache}", lambda cache=cache: stream(cache)) for cache in caches
    ]
    return [variant(_TENSOR, constant), *streams]


def _steps(step: Callable, batches: Iterator, batch: int) -> Iterator[int]:
    """Steps, of which a few are under way at once; a step counts when its loss is known."""
    pending = []
    for inputs in batches:
        pending.append(step(inputs))
        if len(pending) == _IN_FLIGHT:
            float(pending.pop(0))
        yield batch


def _stalls(variants: list[Variant]) -> list[dict]:
    """The share of the step's time that is lost to images, in the median and in each round."""
    stalls, plain = [], None
    for variant in variants:
        if variant.name.endswith(_TENSOR):
            plain = variant
            continue
        rounds = [1 - rate / best for rate, best in zip(variant.rates, plain.rates, strict=True)]
        median = 1 - statistics.median(variant.rates) / statistics.median(plain.rates)
        cpu = statistics.median(variant.costs) - statistics.median(plain.costs)
        stalls.append(
            {
                "variant": variant.name,
                "stall": round(median, 4),
                "min": round(min(rounds), 4),
                "max": round(max(rounds), 4),
                "cpu_ms_per_image_of_stream": round(cpu, 4),
            }
        )
    return stalls
