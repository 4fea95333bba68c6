"""One real training step, forward pass and export for each device, precision and kind of backbone.

They are those of `train`, `evaluate` and `export`, on networks that trace in seconds.
"""

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from rssc_tf.evaluation.prediction import forward
from rssc_tf.exporting import saved_model
from rssc_tf.models.backbones import get_backbone, prepare
from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.normalization import Normalization
from rssc_tf.models.precision import dtype_policy
from rssc_tf.models.vit import ViT
from rssc_tf.optimization.schedules import CosineSchedule
from rssc_tf.optimization.table import build_optimizer
from rssc_tf.runs import Run
from rssc_tf.settings import PRECISIONS
from rssc_tf.tasks import SINGLE_LABEL
from rssc_tf.training.step import training_step
from tfrecords_tools.records.card import Card

_CLASSES = ("a", "b", "c", "d")
_SIDE, _CROP = 36, 32  # pixels of a stored image, and of its middle, which the network sees
_MIDDLE = slice((_SIDE - _CROP) // 2, (_SIDE + _CROP) // 2)
_BATCH = 4
_LONGEST = 300  # characters of a reason
# Largest difference of a probability between the model and its export, which rounds otherwise.
_TOLERANCE = {"float32": 1e-4, "mixed_float16": 0.01, "mixed_bfloat16": 0.05}

PARTS = STEP, FORWARD, EXPORT = "step", "forward", "export"


def _depthwise() -> keras.Model:
    return keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(None, None, 3), alpha=0.25
    )


def _transformer() -> keras.Model:
    return ViT((_CROP, _CROP, 3), patch_size=8, dim=32, depth=2, heads=2, mlp_dim=64)


KINDS: dict[str, Callable[[], keras.Model]] = {
    "plain": lambda: get_backbone("resnet18").build(False),
    "depthwise": _depthwise,
    "transformer": _transformer,
}


@dataclass
class Trial:
    """One combination, tried.

    Attributes:
        device, kind, precision: which.
        seconds: of `"step"`, `"forward"` and `"export"`, as far as it came; tracing included.
        failed: which of the three failed, or `None`.
        reason, mend: why, and what to do.
    """

    device: str
    kind: str
    precision: str
    seconds: dict[str, float] = field(default_factory=dict)
    failed: str | None = None
    reason: str | None = None
    mend: str | None = None


def devices() -> dict[str, list[str]]:
    """What can be trained on, by name: the CPU, each GPU, and all GPUs together."""
    cpu = tf.config.list_logical_devices("CPU")[0].name
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    short = {name.removeprefix("/device:"): [name] for name in (cpu, *gpus)}
    return short | ({f"{len(gpus)} GPUs": gpus} if len(gpus) > 1 else {})


def combinations() -> list[tuple[str, str, str]]:
    """Device, kind and precision of all trials, in the order in which they are made."""
    return list(product(devices(), KINDS, PRECISIONS))


def run_trials() -> Iterator[Trial]:
    """Tries all combinations; what fails is told, not raised."""
    tf.config.experimental.enable_op_determinism()  # as `train` does by default
    names = devices()
    for device, kind, precision in combinations():
        keras.backend.clear_session()
        trial = Trial(device, kind, precision)
        try:
            _try(trial, names[device])
        except Exception as error:  # whatever TensorFlow, Keras and CUDA raise
            trial.failed = next(name for name in PARTS if name not in trial.seconds)
            trial.reason = reason_of(error)
            trial.mend = mend_of(trial, error)
        yield trial


@contextmanager
def _timed(trial: Trial, name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    trial.seconds[name] = round(time.monotonic() - started, 2)


def _try(trial: Trial, names: list[str]) -> None:
    keras.utils.set_random_seed(0)
    if len(names) > 1:
        distribution = tf.distribute.MirroredStrategy(names)
    else:
        distribution = tf.distribute.get_strategy()
    images, labels = _draw(_BATCH * len(names))
    views = images[:, _MIDDLE, _MIDDLE]
    with tf.device(names[0]) if len(names) == 1 else distribution.scope():
        with _timed(trial, STEP):
            model = _one_step(trial, distribution, views, labels)
        with _timed(trial, FORWARD):
            logits = forward(model)(tf.constant(views))
            _check(np.isfinite(logits).all(), "a logit is not finite")
        with _timed(trial, EXPORT):
            _export(trial, model, images, SINGLE_LABEL.probabilities(logits).numpy())


def _draw(count: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, _SIDE, _SIDE, 3), np.uint8)
    return images, np.arange(count, dtype=np.int32) % len(_CLASSES)


def _one_step(
    trial: Trial, distribution: tf.distribute.Strategy, images: np.ndarray, labels: np.ndarray
) -> keras.Model:
    with distribution.scope(), dtype_policy(trial.precision):
        network, normalization = prepare(KINDS[trial.kind]()), Normalization.from_mode("torch")
        model = build_classifier(network, normalization, len(_CLASSES), _CROP)
        variables, schedule = model.trainable_variables, CosineSchedule(1e-3, 100)
        optimizer = build_optimizer("adam", schedule, variables, precision=trial.precision)
    step = training_step(model, optimizer, distribution, SINGLE_LABEL.losses)

    def of_replica(context) -> tuple:
        mine = slice(context.replica_id_in_sync_group, None, context.num_replicas_in_sync)
        return tf.constant(images[mine]), tf.constant(labels[mine])

    before = [np.array(weight) for weight in model.trainable_variables]
    loss = float(step(distribution.experimental_distribute_values_from_function(of_replica)))
    _check(np.isfinite(loss), f"the loss is {loss}")
    pairs = zip(before, model.trainable_variables, strict=True)
    changed = any((old != np.array(new)).any() for old, new in pairs)
    # In float16 the first steps are left out, while the scale of the loss comes down.
    _check(changed or trial.precision == "mixed_float16", "the step changes no weight")
    return model


def _export(trial: Trial, model: keras.Model, images: np.ndarray, expected: np.ndarray) -> None:
    sizes = {f"{_SIDE}x{_SIDE}": 1}
    card = Card("doctor", "single-label", _CLASSES, _SIDE, "png", sizes, {}, {})
    with tempfile.TemporaryDirectory(prefix="rssc-tf-") as name:
        folder = Path(name)
        saved_model.save(Run(folder, {"views": 1}, card, model), folder)
        serve = tf.saved_model.load(name).signatures["serve_images"]
        found = serve(images=tf.constant(images))["probabilities"].numpy()
    difference = float(np.abs(found - expected).max())
    _check(difference <= _TOLERANCE[trial.precision], f"the export is off by {difference:.3g}")


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ArithmeticError(otherwise)


# Lines of TensorFlow's messages that do not tell.
_FRAME = re.compile(r"in user code:|Graph execution|Detected at|File |<stack|Traceback|\[\[|Hint:")


def reason_of(error: Exception) -> str:
    """An error in a line: TensorFlow's have pages."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not _FRAME.match(line)]
    if not telling:
        return type(error).__name__
    if lines[0] == "in user code:":  # frames of tracing, and the error as a traceback ends
        return re.sub(r"^(?:\w+\.)*(\w+: )", r"\1", telling[-1])[:_LONGEST]
    return f"{type(error).__name__}: {telling[0]}"[:_LONGEST]


# What is found in an error, and its mend. The first that fits.
_MENDS = (
    (
        ("ResourceExhausted", "OOM", "out of memory", "CUDA_ERROR_OUT_OF_MEMORY"),
        "free its memory (nvidia-smi shows who has it), or take a smaller `batch_size`",
    ),
    (
        ("libdevice", "ptxas", "nvlink", "cuda_data_dir"),
        'pip install "rssc-tf[cuda]" brings the compiler that is missing',
    ),
    (
        ("cuDNN", "CUDNN", "DNN library", "cublas", "CUBLAS", "CUDA_ERROR", "no kernel image"),
        'pip install "rssc-tf[cuda]" brings libraries that fit TensorFlow; see that the driver is '
        "new enough",
    ),
    (("eterministic",), "train with `deterministic=False`"),
    (("No space left", "Read-only file system"), "TMPDIR names a folder with space"),
)


def mend_of(trial: Trial, error: Exception) -> str:
    """What a user can do about a failed trial; parameters as in the messages of errors."""
    text = f"{type(error).__name__} {error}"
    for signs, mend in _MENDS:
        if any(sign in text for sign in signs):
            return mend
    if trial.precision != "float32":
        return "train with `precision='float32'`"
    if not trial.device.startswith("CPU"):
        return "train on the CPU: CUDA_VISIBLE_DEVICES=-1"
    return "install TensorFlow anew: pip install --force-reinstall tensorflow"
