"""What an export keeps to tell what is unknown."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from rssc_tf.exporting.novelty import fit_novelty, read_novelty, write_novelty
from rssc_tf.records import Records
from rssc_tf.runs import load_run
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.records.card import read_card

CENTRES = np.random.default_rng(0).normal(size=(4, 16))


@pytest.fixture
def around():
    """Draws points around centres, the same ones whichever tests came before."""
    rng = np.random.default_rng(1)

    def draw(centres, count):
        points = centres[rng.integers(len(centres), size=count)]
        return (points + rng.normal(0, 0.2, points.shape)) * rng.uniform(1, 5, (count, 1))

    return draw


def test_the_distance_is_that_of_scikit_learns_neighbours(around):
    training, new = around(CENTRES, 300), around(CENTRES, 50)
    found = fit_novelty(training, around(CENTRES, 200))
    neighbours = NearestNeighbors(n_neighbors=found.k, metric="cosine").fit(training)
    expected = neighbours.kneighbors(new)[0][:, -1]
    np.testing.assert_allclose(found.distance(new), expected, atol=2e-3)  # kept as float16


@pytest.mark.parametrize("validated", [True, False])
def test_a_twentieth_of_the_known_is_beyond_the_threshold_and_nearly_all_else(validated, around):
    training, validation = around(CENTRES, 400), around(CENTRES, 400)
    found = fit_novelty(training, validation if validated else None)
    elsewhere = np.random.default_rng(2).normal(size=(40, 16))
    known, other = around(CENTRES, 1000), around(elsewhere, 1000)
    assert 0.02 < found.is_unknown(known).mean() < 0.1
    assert found.is_unknown(other).mean() > 0.9
    distances = np.concatenate([found.distance(known), found.distance(other)])
    assert roc_auc_score(np.arange(2000) >= 1000, distances) > 0.97


def test_a_handful_of_images_is_enough(around):
    for count in (2, 3, 7):
        found = fit_novelty(around(CENTRES, count))
        assert found.k == min(5, count - 1)
        assert np.isfinite(found.threshold)


def test_one_training_image_is_enough_with_others_to_hold_against_it(around, tmp_path):
    found = fit_novelty(around(CENTRES[:1], 1), around(CENTRES[:1], 50))
    assert found.k == 1
    assert not found.is_unknown(around(CENTRES[:1], 5)).all()
    assert found.is_unknown(-CENTRES[:1]).all()
    np.savez(
        tmp_path / "novelty.npz", features=found.features, k=found.k, threshold=found.threshold
    )
    assert read_novelty(tmp_path).k == 1


def test_one_training_image_by_itself_tells_nothing(trained, records, tmp_path):
    run, card = load_run(trained), read_card(records)
    one = replace(
        card.splits["train"], shards=(replace(card.splits["train"].shards[0], examples=1),)
    )
    alone = Records(records, replace(card, splits={"train": one}))
    assert alone.splits == {"train": 1}
    with pytest.warns(UserWarning, match=r"there is no novelty\.npz, .*one training image"):
        write_novelty(run, alone, tmp_path)
    assert not any(tmp_path.iterdir())


def test_an_export_keeps_the_features_of_its_training_images(exported, trained, records):
    from rssc_tf.probing.features import extract_features

    run = load_run(trained)
    found = read_novelty(exported)
    features = extract_features(run.model, Records(records), "train").values
    expected = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(found.features, expected, atol=1e-3)
    validation = extract_features(run.model, Records(records), "val").values
    assert found.threshold == pytest.approx(np.quantile(found.distance(validation), 0.95))


def test_a_sample_of_the_features_is_their_beginning(trained, records):
    from rssc_tf.probing.features import extract_features

    run = load_run(trained)
    whole, some = (
        extract_features(run.model, Records(records), "train", most) for most in (None, 7)
    )
    assert some.ids.tolist() == whole.ids[:7].tolist()
    np.testing.assert_allclose(some.values, whole.values[:7], atol=1e-6)


@pytest.mark.parametrize("k", [0, 21])
def test_a_number_of_neighbours_that_there_are_not(k, exported, tmp_path):
    with np.load(exported / "novelty.npz") as found:
        content = dict(found)
    assert 1 <= content["k"] <= len(content["features"]) == 20
    np.savez(tmp_path / "novelty.npz", **content | {"k": k})
    with pytest.raises(DataError, match=rf"novelty\.npz is damaged \(k is {k}, .*export the run"):
        read_novelty(tmp_path)
