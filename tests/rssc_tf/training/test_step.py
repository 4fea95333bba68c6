"""The optimizer step: when XLA compiles it, and that it is the same step then."""

import numpy as np
import pytest
import tensorflow as tf

from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.precision import dtype_policy
from rssc_tf.optimization.table import SCHEDULES, build_optimizer
from rssc_tf.tasks import SINGLE_LABEL
from rssc_tf.training import step as step_module
from rssc_tf.training.distribution import get_distribution
from rssc_tf.training.step import is_compiled, training_step
from rssc_tf.weights.initial import initialise
from tests.lanes import slow


@pytest.mark.parametrize(
    ("gpus", "replicas", "resolver", "compiled"),
    [(0, 1, None, False), (1, 1, None, True), (2, 2, None, False), (0, 2, None, False)]
    + [(1, 1, "a cluster of one", False)],
)
def test_xla_compiles_on_one_gpu_only(gpus, replicas, resolver, compiled, monkeypatch):
    class Distribution:
        num_replicas_in_sync = replicas
        cluster_resolver = resolver

    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["GPU"] * gpus)
    assert is_compiled(Distribution) is compiled


@pytest.mark.parametrize("precision", ["float32", slow("mixed_bfloat16"), "mixed_float16"])
def test_the_compiled_step_does_the_same(precision, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (8, 40, 40, 3), np.uint8)
    labels = np.arange(8, dtype=np.int32) % 4
    losses = []
    for compiled in (False, True):
        monkeypatch.setattr(step_module, "is_compiled", lambda _, compiled=compiled: compiled)
        distribution = get_distribution("auto")
        tf.keras.utils.set_random_seed(0)
        with distribution.scope(), dtype_policy(precision):
            backbone, normalization, _ = initialise("tiny_without_dropout", "random")
            model = build_classifier(backbone, normalization, 4, 32)
            schedule, variables = SCHEDULES["cosine"](1e-2, 10), model.trainable_variables
            optimizer = build_optimizer("adam", schedule, variables, precision=precision)
        step = training_step(model, optimizer, distribution, SINGLE_LABEL.losses)
        losses.append([float(step((images, labels))) for _ in range(3)])
    assert losses[0][0] > losses[0][2]
    np.testing.assert_allclose(*losses, rtol=1e-4 if precision == "float32" else 2e-2)
