"""The optimizer step: when XLA compiles it, and that it is the same step then."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.precision import dtype_policy
from rssc_tf.optimization.loss_scale import LossScaleOptimizer
from rssc_tf.optimization.table import SCHEDULES, build_optimizer
from rssc_tf.tasks import SINGLE_LABEL
from rssc_tf.training import step as step_module
from rssc_tf.training.distribution import get_distribution
from rssc_tf.training.step import is_compiled, training_step
from rssc_tf.weights.initial import initialise
from tests.conftest import ROOT
from tests.lanes import slow
from tests.tiny import SMALL


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


_TWO_REPLICAS = """
import json, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
from rssc_tf.optimization.table import SCHEDULES, build_optimizer
from rssc_tf.training.step import optimizer_step, training_step

replicas = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
found = []
for labels, overflown in ((True, None), (True, 0), (True, 1), (False, 1)):
    with replicas.scope():
        layer = keras.layers.Dense(1, kernel_initializer="ones")
        model = keras.Sequential([keras.Input((1,)), layer])
        schedule, variables = SCHEDULES["paper"](1e-3, 100), model.trainable_variables
        optimizer = build_optimizer("sgd", schedule, variables, precision="mixed_float16")
    def inputs(context):
        large = context.replica_id_in_sync_group == overflown
        return tf.constant([[1e35 if large else 1.0]]), tf.constant([[0.0]])
    if labels:
        losses = lambda labels, logits: logits - labels
        step = training_step(model, optimizer, replicas, losses)
    else:
        share = lambda images: tf.reduce_sum(model(images, training=True)) / 2
        step = optimizer_step(model, optimizer, replicas, share, look=lambda images, _: (images,))
    step(replicas.experimental_distribute_values_from_function(inputs))
    kernel, scale = float(model.trainable_variables[0].numpy()[0, 0]), optimizer.dynamic_scale
    found.append([kernel, float(scale.numpy()), int(optimizer.iterations.numpy())])
print(json.dumps(found))
"""


def test_an_overflow_on_any_replica_skips_the_step_on_all():
    words = [sys.executable, "-c", _TWO_REPLICAS]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    step, *skipped = json.loads(done.stdout)
    assert step == [pytest.approx(1 - 2e-4), 2.0**15, 1]  # a first rate of 1e-3 / 5
    assert skipped == [[1.0, 2.0**14, 0]] * 3


def test_the_rate_in_the_history_is_that_of_the_last_step_that_was_not_skipped(
    records, cli, tmp_path, monkeypatch, unshared
):
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL)
    words += ("--precision", "mixed_float16", "--learning-rate", 0.5, "--out", tmp_path / "run")
    plain = LossScaleOptimizer.__init__
    monkeypatch.setattr(  # an overflow in every step
        LossScaleOptimizer, "__init__", lambda self, inner: plain(self, inner, 2.0**100)
    )
    code, _, err = cli(*words)
    assert code == 0, err
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert list(history["step"]) == [3, 5]
    first = float(SCHEDULES["paper"](0.5, 5)(0))
    assert list(history["learning_rate"]) == pytest.approx([first, first])
