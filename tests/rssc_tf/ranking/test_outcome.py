"""Who may be the best: the set holds the truly best one as often as it says."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from rssc_tf.evaluation.metrics import intervals, score
from rssc_tf.evaluation.statistics import accuracy, bootstrap, estimate
from rssc_tf.probing.choice import Fitted
from rssc_tf.probing.features import Features
from rssc_tf.ranking import probes
from rssc_tf.ranking.candidates import Candidate
from rssc_tf.ranking.cost import Cost
from rssc_tf.ranking.outcome import Entry, placed
from rssc_tf.ranking.probes import Outcome
from rssc_tf.ranking.text import choice
from rssc_tf.ranking.training_sets import Size, TrainingSets
from rssc_tf.tasks import SINGLE_LABEL

IMAGES, DRAWS = 100, 4
RECORDS = SimpleNamespace(task=SINGLE_LABEL, splits={"test": IMAGES}, name="made up")
SETS = [TrainingSets(Size(shots=1), tuple(np.array([n]) for n in range(DRAWS)))]


def _outcomes(rng, advantage: float, images: np.ndarray) -> list[Outcome]:
    """Of a candidate with an advantage in logits, on images of some ease and draws of some luck."""
    found = []
    for luck in rng.normal(0, 0.3, DRAWS):
        right = rng.random(IMAGES) < 1 / (1 + np.exp(-images - advantage - luck))
        probabilities = np.stack([right, ~right], axis=1).astype(np.float32)
        values = bootstrap(accuracy, probabilities, np.zeros(IMAGES, int), replicates=100)
        found.append(Outcome({("linear", "top1"): values}, {"linear": 1.0}, 0.0))
    return found


def _ranking(rng, advantages):
    images = rng.normal(1, 1, IMAGES)
    entries = [
        Entry(
            Candidate(str(number), str(number), name=str(number)),
            definition={},
            cost=Cost(1, 1.0, 1.0),
            outcomes=[_outcomes(rng, advantage, images)],
        )
        for number, advantage in enumerate(advantages)
    ]
    return placed(RECORDS, "test", True, ("linear",), SETS, entries, [], {})


def test_the_best_is_in_the_set():
    rng = np.random.default_rng(0)
    found = [_ranking(rng, [0.0, -0.1, -0.2, -2.0]).best for _ in range(100)]
    kept = [any(entry.candidate.text == "0" for entry in best) for best in found]
    assert np.mean(kept) >= 0.95
    assert np.mean([len(best) for best in found]) < 3.5  # which a set of all would hold, too


def test_what_is_clearly_behind_is_not():
    found = _ranking(np.random.default_rng(1), [0, 0.05, -3])
    assert {entry.candidate.text for entry in found.best} == {"0", "1"}
    assert found.placed[-1].candidate.text == "2"
    assert not found.placed[-1].may_be_best
    assert found.placed[-1].behind.low > 0
    assert found.placed[0].behind is None


def test_a_score_that_is_undefined_is_last_and_no_number_of_json():
    cost, entries = Cost(1, 1.0, 1.0), []
    for name, value in (("a", np.nan), ("b", 0.2), ("c", 0.9)):
        values = {("linear", metric): np.full(11, value) for metric in intervals(SINGLE_LABEL)}
        of_size = [Outcome(values, {"linear": 1.0}, 0.0)] * DRAWS
        entries.append(Entry(Candidate(name, name, name=name), "", {}, cost, 1.0, [of_size]))
    found = placed(RECORDS, "test", True, ("linear",), SETS, entries, [], {})
    assert [entry.candidate.text for entry in found.placed] == ["c", "b", "a"]
    row = json.loads(json.dumps(found._row(found.placed[-1]), allow_nan=False))
    assert row["scores"][0]["of_draws"] == [None] * DRAWS and row["scores"][0]["value"] is None


def test_intervals_stay_where_scores_can_be():
    rng = np.random.default_rng(3)
    values = np.column_stack([[1.0, 0.9], rng.normal(0.95, 0.1, (2, 100))])
    low = 1 - values
    sets = [TrainingSets(Size(shots=1), (np.array([0]), np.array([1])))]
    cost, entries = Cost(1, 1.0, 1.0), []
    for name, rows in (("a", values), ("b", low)):
        of_size = [Outcome({("linear", "top1"): row}, {"linear": 1.0}, 0.0) for row in rows]
        entries.append(Entry(Candidate(name, name, name=name), "", {}, cost, 1.0, [of_size]))
    found = placed(RECORDS, "test", True, ("linear",), sets, entries, [], {})
    for one, end in zip(found.placed, ("high", "low"), strict=True):
        score = found.score(one, 0, "linear")
        assert 0 <= score.low <= score.value <= score.high <= 1
        assert getattr(score, end) == (1 if end == "high" else 0)
    assert found.placed[1].behind.high == 1


def test_scores_are_those_of_a_probe_where_labels_are_all_but_certain(monkeypatch):
    """Close to 1 there are many probabilities that float32 takes for one."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (20, 2)).astype(np.float32)
    probabilities = 1 - 1e-9 * rng.random((20, 2))
    found = Features(np.arange(20).astype(str), labels, np.zeros((20, 1), np.float32))
    split = SimpleNamespace(read=lambda: found)
    job = SimpleNamespace(train=split, val=None, test=split, rows=range(20), classes=2, seed=0)
    job.methods = ("linear",)
    monkeypatch.setattr(probes, "_fit", lambda *_: Fitted({"C": 1.0}, "", [], probabilities))
    values = probes.run(job).values["linear", "map"]
    assert values[0] == pytest.approx(score(probabilities, labels)["map"], abs=1e-6)


def test_what_chose_is_said_of_each_size():
    sizes = [TrainingSets(Size(shots=1), (), False), TrainingSets(Size(shots=5), ())]
    made = _outcomes(np.random.default_rng(0), 0, np.ones(IMAGES))
    entry = Entry(Candidate("a", "a", name="a"), outcomes=[[], made])
    found = placed(RECORDS, "test", False, ("linear", "knn"), sizes, [entry], [], {})
    assert [found.chosen_by(size) for size in (0, 1)] == ["nothing", "folds of train"]
    assert choice(found) == (
        "C and k were chosen by cross-validation of the drawn images; C is 1, k is 1 on 1 a class, "
        "which is too few to choose by."
    )
    assert choice(replace(found, chosen_on_val=True)).startswith("C and k were chosen on the val")
    assert choice(replace(found, sets=sizes[:1])).startswith("C is 1, k is 1 on 1 a class")


def test_equal_candidates_are_not_told_apart():
    rng = np.random.default_rng(2)
    one = _outcomes(rng, 0, np.ones(IMAGES))
    cost = Cost(1, 1.0, 1.0)
    entries = [Entry(Candidate(name, name, name=name), "", {}, cost, 1.0, [one]) for name in "ab"]
    found = placed(RECORDS, "test", True, ("linear",), SETS, entries, [], {})
    assert [entry.may_be_best for entry in found.placed] == [True, True]


def test_intervals_of_draws_that_share_images_hold_the_truth():
    """Draws of 20 of 40 images, each image adding its part: without `overlap` they fail."""
    rng, held = np.random.default_rng(0), {True: 0, False: 0}
    rows = tuple(np.roll(np.arange(40), -start)[:20] for start in (0, 20, 10, 30, 5))
    overlap = TrainingSets(Size(shots=1), rows).overlap
    for _ in range(300):
        pool = rng.normal(0, 0.3, 40)
        points = np.array([pool[one].mean() for one in rows])
        values = points[:, None] + rng.normal(0, 1e-6, 21)
        for known in held:
            found = estimate(values, 10**6, range(5), overlap=overlap if known else None)
            held[known] += found.low <= 0 <= found.high
    assert held[True] / 300 >= 0.93
    assert held[False] / 300 < 0.85
