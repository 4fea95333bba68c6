"""How much of a training step is waiting for images, and what the end of an epoch costs."""

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import tensorflow as tf

from pipelines.cache import is_wanted
from pipelines.crop import crop_side
from rssc_tf.bench.measure import Variant, describe_machine, interleave, peak_memory, summarise
from rssc_tf.bench.target import open_target
from rssc_tf.bench.torch_step import torch_steps
from rssc_tf.records import Records
from rssc_tf.regimes import get_regime
from rssc_tf.rounds import with_source_settings
from rssc_tf.settings import Settings
from rssc_tf.training.assembly import SupervisedTraining, build_training, initial_backbone
from rssc_tf.training.base import Training
from rssc_tf.training.checkpoint import Progress
from rssc_tf.training.distribution import get_distribution
from rssc_tf.training.epoch_end import EpochEnd
from rssc_tf.training.label_free import build_label_free, find_guide
from rssc_tf.training.validation import Validation

_TENSOR, _STREAM = "a tensor in memory", "the stream"
_LABEL_FREE = "without labels"
_FORWARD, _VALIDATION, _END = "bare forward passes", "validation", "end of an epoch"
_IN_FLIGHT = 4  # steps that may be under way; the training loop reads its losses as rarely


def bench_train(
    target: Path,
    backbone: str,
    image_size: int | None,
    batch_size: int,
    precisions: Sequence[str],
    rounds: int,
    seconds: float,
    label_free: bool = False,
) -> dict:
    """Times the training step, fed by the stream and by one batch that lies in memory; and where
    the records have a `val` split, the end of an epoch against its bare forward passes.

    For a ResNet, where torch and torchvision are installed, PyTorch's step on one batch in memory
    takes its turns too.

    Args:
        target: record folder.
        backbone: name of a backbone; its weights are random.
        image_size: side at which the backbone sees images; `None`: the crop.
        batch_size: examples in a step, over all devices.
        precisions: dtype policies.
        rounds: how often each variant is timed.
        seconds: length of one timing, at least.
        label_free: time the step of a round without labels too, of two views each of half as many
            images; what is counted is views.

    Returns:
        JSON-ready: `variants`, and `stall`: for each precision and stream, the share of the step's
        time that the images cost, with the smallest and largest of the rounds; `epoch_end`: for
        each precision, how many times as long as the bare forward passes the validation and all of
        the end of an epoch take.
    """
    records = open_target(target)
    image_size = image_size or crop_side(records.card.side)
    what = records, backbone, image_size
    caches = ["none"] + (["ram"] if is_wanted("auto", records.card, "train") else [])
    variants: list[Variant] = []
    trainings: dict[str, SupervisedTraining] = {}
    for precision in precisions:
        trainings[precision] = _training("scratch", *what, batch_size, precision)
        variants += _variants(precision, trainings[precision], caches)
        if label_free:
            training = _training("in-domain-ssl", *what, batch_size // 2, precision)
            variants += _variants(f"{precision}, {_LABEL_FREE}", training, caches, training.views)
    with tempfile.TemporaryDirectory() as folder:
        for precision, training in trainings.items():
            variants += _epoch_ends(precision, training, Path(folder, precision))
            variants += torch_steps(precision, backbone, image_size, training)
        interleave("bench train", variants, rounds, seconds, warm_up=3)
    return {
        "bench": "train",
        "records": records.name,
        "sizes": records.card.sizes,
        "backbone": backbone,
        "image_size": image_size,
        "batch_size": batch_size,
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "machine": describe_machine(),
        "peak_memory": peak_memory(),
        "stall": _stalls(variants),
        "epoch_end": _epoch_end_ratios(variants),
        **summarise(variants, variants[0].name),
    }


def _training(
    strategy: str,
    records: Records,
    backbone: str,
    image_size: int,
    batch_size: int,
    precision: str,
) -> Training:
    """The target round of `scratch`, or the source round of a regime whose source is the target."""
    config = Settings(
        strategy,
        str(records.path),
        source=str(records.path),
        backbone=backbone,
        image_size=image_size,
        batch_size=batch_size,
        source_batch_size=batch_size,
        precision=precision,
    )
    distribution = get_distribution("auto")
    initial = initial_backbone(config, "random", distribution)
    if get_regime(strategy).labels:
        return build_training(config, records, initial, distribution)
    config = with_source_settings(config)
    guide = find_guide(config, records, distribution)
    return build_label_free(config, records, initial, distribution, (), guide)


def _variants(named: str, training: Training, caches: list[str], views: int = 1) -> list[Variant]:
    """The step on one batch and on each stream, counted in views."""
    step, batch = training.take_step, training.batch * views

    def constant() -> Iterator:
        inputs = next(training.batches(cache="none"))
        while True:
            yield inputs

    def variant(name: str, start: Callable[[], Iterator]) -> Variant:
        batches = start()  # kept from round to round: a training begins its stream once
        return Variant(f"{named}, {name}", lambda: _steps(step, batches, batch))

    streams = [
        variant(f"{_STREAM}, cache {cache}", partial(training.batches, cache=cache))
        for cache in caches
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


def _epoch_ends(precision: str, training: SupervisedTraining, folder: Path) -> list[Variant]:
    """Validation: its forward passes over batches in memory, all of it, and the rest too."""
    examples = training.records.splits.get("val")
    if examples is None:
        return []
    validation, end = Validation(training), EpochEnd(training, folder)
    held = [images for images, _ in validation.batches()]

    def forward() -> Iterator[int]:
        while True:
            for logits in [training.assembly.forward(images) for images in held]:
                logits.numpy()
            yield examples

    def validate() -> Iterator[int]:
        while validation(1, lambda: False):
            yield examples

    def end_epoch() -> Iterator[int]:
        while True:
            progress = Progress(training.batch)  # so that every epoch is the best so far
            progress.step, progress.losses = 1, [1.0, 1]
            end(1, progress, lambda: False)
            yield examples

    jobs = {_FORWARD: forward, _VALIDATION: validate, _END: end_epoch}
    return [Variant(f"{precision}, {name}", job) for name, job in jobs.items()]


def _epoch_end_ratios(variants: list[Variant]) -> list[dict]:
    """Times over the time of the forward passes, in the median of the rounds."""
    rates = {variant.name: statistics.median(variant.rates) for variant in variants}
    return [
        {
            "precision": name.partition(", ")[0],
            "validation": round(rate / rates[name.replace(_FORWARD, _VALIDATION)], 3),
            "all": round(rate / rates[name.replace(_FORWARD, _END)], 3),
        }
        for name, rate in rates.items()
        if name.endswith(_FORWARD)
    ]


def _stalls(variants: list[Variant]) -> list[dict]:
    """The share of the step's time that is lost to images, in the median and in each round."""
    stalls, plain = [], None
    for variant in variants:
        if variant.name.endswith(_TENSOR):
            plain = variant
        if _STREAM not in variant.name:
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
