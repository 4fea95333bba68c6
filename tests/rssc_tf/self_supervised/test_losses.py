"""What is minimised and watched, against plain NumPy."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from rssc_tf.evaluation.not_finite import Collapsed, NotFinite
from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.normalization import Normalization
from rssc_tf.models.precision import dtype_policy
from rssc_tf.probing.heads import knn
from rssc_tf.records import Records
from rssc_tf.self_supervised.distillation import open_teacher
from rssc_tf.self_supervised.monitor import Monitor, neighbours
from rssc_tf.self_supervised.spectrum import deviation, effective_rank
from rssc_tf.self_supervised.vicreg import vicreg
from tests.tiny import _build
from tfrecords_tools.records.card import Shard, Split


def test_vicreg_is_the_papers():
    rng = np.random.default_rng(0)
    first, second = (rng.normal(0, 0.5, (12, 5)).astype(np.float32) for _ in range(2))
    loss = 25 * np.mean((first - second) ** 2)
    for one in (first, second):
        matrix = np.cov(one, rowvar=False)
        spread = np.maximum(0, 1 - np.sqrt(np.diag(matrix) + 1e-4))
        loss += 25 * spread.mean() / 2 + (matrix[~np.eye(5, dtype=bool)] ** 2).sum() / 5
    assert float(vicreg(tf.constant(first), tf.constant(second))) == pytest.approx(loss, rel=1e-5)


def test_effective_rank_counts_directions():
    rng = np.random.default_rng(2)
    for rank in (1, 3, 10):
        basis = np.linalg.qr(rng.normal(size=(40, rank)))[0]
        values = np.linalg.qr(rng.normal(size=(200, rank)))[0] @ basis.T
        values -= values.mean(axis=0)
        found = effective_rank(values + 100)  # the mean does not count
        assert found == pytest.approx(rank, rel=0.05), rank
    wide = rng.normal(size=(20, 500))
    assert 15 < effective_rank(wide) <= 19
    turned = wide @ np.linalg.qr(rng.normal(size=(500, 500)))[0]
    assert effective_rank(wide) == pytest.approx(effective_rank(turned))
    assert effective_rank(np.ones((5, 4))) == 0
    rounding = rng.uniform(0.5, 2, 500) * (1 + 3e-8 * rng.normal(size=(20, 500)))
    assert effective_rank(rounding.astype(np.float32)) == 0  # directions enough, and no image


def test_deviation_is_that_of_directions():
    rng = np.random.default_rng(3)
    assert deviation(rng.normal(size=(500, 64))) == pytest.approx(1, abs=0.02)
    assert deviation(np.ones((5, 4))) == 0
    assert deviation(rng.random((500, 64)) + 100) < 0.01


class _Forward:
    """Features that a test says, of batches that it counts."""

    def __init__(self, features):
        self._features, self.calls = features, 0

    def __call__(self, images, full):
        self.calls += 1
        return tf.constant(self._features(np.asarray(images)))


def _means(images) -> np.ndarray:
    return images.reshape(len(images), -1)[:, :300].astype(np.float32)


def test_the_monitor_sees_a_collapse(records):
    opened = Records(records)

    def monitor(features):
        return Monitor(_Forward(features), opened, None, 1, 2, 100)

    found = monitor(_means)(1, lambda: False)
    assert set(found) == {"effective_rank", "deviation"} and found["effective_rank"] > 3
    constant = monitor(lambda images: np.ones((len(images), 4), np.float32))
    line = monitor(lambda images: _means(images)[:, :1] * np.ones((1, 4), np.float32))
    for collapsed in (constant, line):
        with pytest.raises(
            Collapsed, match=r"collapsed in epoch 2 .effective rank .*source_learni"
        ):
            collapsed(2, lambda: False)
    # From random weights all features of an inference point one way at first: the moving
    # statistics of BatchNormalization lag behind.
    lagging = monitor(lambda images: 1e6 + _means(images))
    assert lagging(1, lambda: False)["deviation"] < 1e-3
    with pytest.raises(Collapsed):
        lagging(2, lambda: False)
    # By the end they must have caught up, however few the steps.
    short = Monitor(_Forward(lambda images: 1e9 + _means(images)), opened, opened, 1, 2, 5)
    found = short(1, lambda: False)
    assert found["effective_rank"] == 0 and set(found) == {"effective_rank", "deviation"}
    with pytest.raises(Collapsed, match="or more `source_epochs`: 10 steps are few"):
        short(2, lambda: False)
    for value in (np.nan, np.inf):
        lost = monitor(lambda images, value=value: _means(images) * np.float32(value))
        with pytest.raises(NotFinite, match="not finite in epoch 1: lower `source_learning_rate`"):
            lost(1, lambda: False)


def test_the_monitor_names_the_set_whose_features_are_not_finite(records):
    """The source's are, the validation split's of the target are not."""
    opened = Records(records)
    target = Records(records, replace(opened.card, name="mine"))
    source = {image.tobytes() for batch in opened.split("train") for image in batch[0].numpy()}

    def features(images) -> np.ndarray:
        seen = [image.tobytes() in source for image in images]
        return np.where(np.array(seen)[:, None], _means(images), np.nan).astype(np.float32)

    probing = Monitor(_Forward(features), opened, target, 1, 2, 100)
    with pytest.raises(NotFinite, match="the features of mine are not finite in epoch 1"):
        probing(1, lambda: False)


def test_a_small_validation_split_is_probed_by_fewer_neighbours(records):
    card = Records(records).card

    def k(*counts):
        shards = (Shard("val-00000-of-00001.tfrecord", sum(counts), 1, "0" * 64),)
        return neighbours(replace(card, splits={"val": Split(shards, counts)}))

    # An image has n - 1 others of its class, and those of other classes outvote fewer.
    assert [k(n, n, n) for n in (1, 2, 3, 6, 7)] == [0, 1, 2, 5, 5]
    assert k(40, 40, 1) == 5 and k(1, 1, 2) == 0 and k(600, 600, 600) == 5
    assert k(*[2] * 2000) == 0  # of those that are looked at, most are alone
    assert neighbours(replace(card, splits={})) == 0


def test_the_monitor_probes_now_and_then_and_in_the_end(records):
    opened = Records(records)
    monitor = Monitor(_Forward(_means), opened, opened, 2, 5, 8)
    rows = {epoch: monitor(epoch, lambda: False) for epoch in range(1, 6)}
    assert [epoch for epoch, row in rows.items() if "val_knn_top1" in row] == [2, 4, 5]
    assert "validation kNN top-1" in monitor.in_words(rows[2])
    assert "kNN" not in monitor.in_words(rows[1])
    assert monitor(1, lambda: True) is None


def test_neighbours_of_each_image_among_the_others():
    rng = np.random.default_rng(4)
    values, labels = rng.normal(size=(30, 6)).astype(np.float32), rng.integers(0, 3, 30)
    (found,) = knn(values, labels, None, 3, [5])
    for number in range(30):
        others = np.arange(30) != number
        (one,) = knn(values[others], labels[others], values[[number]], 3, [5])
        np.testing.assert_allclose(found[number], one[0])


@pytest.mark.parametrize("saved", ["float32", "mixed_bfloat16"])
def test_a_teacher_that_was_saved_in_another_precision_is_another(saved, records, tmp_path):
    """An older version taught what that precision made of the images."""
    with dtype_policy(saved):
        model = build_classifier(_build(False), Normalization.from_mode("unit"), 4, 32)
    model.save(tmp_path / "copy.keras")
    (tmp_path / "config.yaml").write_text("backbone: tiny\n")
    teacher = open_teacher(str(tmp_path / "copy.keras"), Records(records), (), False)
    noted = {} if saved == "float32" else {"saved_precision": saved}
    assert teacher.definition == teacher.encoder.definition | noted
