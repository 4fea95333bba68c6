"""The step of a round without labels on one GPU, as far as it can be seen without one."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from rssc_tf.models.compiled import Compiled
from rssc_tf.records import Records
from rssc_tf.rounds import resolve, with_source_settings
from rssc_tf.settings import Settings
from rssc_tf.training import label_free, step
from rssc_tf.training.assembly import initial_backbone
from rssc_tf.training.distribution import get_distribution
from rssc_tf.training.label_free import LabelFreeTraining, build_label_free, find_guide
from tests.as_gpus import as_gpus
from tests.lanes import slow
from tests.rssc_tf.training.test_gpu_path import FORBIDDEN


def _training(strategy: str, records, teacher, precision: str) -> LabelFreeTraining:
    config = Settings(
        *(strategy, str(records), str(records)),
        backbone="tiny_without_dropout",
        teacher=str(teacher),
        image_size=32,
        source_batch_size=8,
        precision=precision,
    )
    config = with_source_settings(resolve(config, 32))
    opened, distribution = Records(records), get_distribution("auto")
    initial = initial_backbone(config, "random", distribution)
    guide = find_guide(config, opened, distribution)
    return build_label_free(config, opened, initial, distribution, (), guide)


@pytest.mark.parametrize("precision", ["float32", slow("mixed_float16")])
@pytest.mark.parametrize("strategy", ["in-domain-ssl", slow("distil")])
def test_the_compiled_step_is_deterministic_and_does_the_same(
    strategy, precision, records, trained, monkeypatch
):
    tf.config.experimental.enable_op_determinism()  # as a run does
    losses = []
    for compiled in (False, True):
        with monkeypatch.context() as patch:
            if compiled:
                as_gpus(patch)
            else:
                for module in (label_free, step):
                    patch.setattr(module, "is_compiled", lambda _: False)
            training = _training(strategy, records, trained, precision)
            assert isinstance(training.assembly.step, Compiled) == compiled
            batches = training.batches()
            losses.append([float(training.take_step(next(batches))) for _ in range(3)])
            if not compiled:
                continue
            lower = training.assembly.step.function.experimental_get_compiler_ir(next(batches))
            found = set(re.findall(r" = [^=]*? ([a-z][a-z0-9-]*)\(", lower(stage="hlo")))
            assert {"convolution", "dot", "reduce"} <= found  # it was read rightly
            assert {name: FORBIDDEN[name] for name in found & set(FORBIDDEN)} == {}
    np.testing.assert_allclose(*losses, rtol=1e-3 if precision == "float32" else 3e-2)
    assert np.isfinite(losses).all()
    keras.utils.clear_session()
