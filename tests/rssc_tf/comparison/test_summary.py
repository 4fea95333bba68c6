"""Tables and the verdict, from drawn predictions whose truth is known."""

import re
import shutil
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from rssc_tf.comparison.folder import read_study
from rssc_tf.comparison.report.answers import answers, limits
from rssc_tf.comparison.report.tables import calibration_table
from rssc_tf.comparison.report.verdict import verdict
from rssc_tf.comparison.summary import comparisons, differences, summarise
from rssc_tf.evaluation.files import write_tables
from rssc_tf.evaluation.metrics import METRICS, NATS, Metric
from rssc_tf.evaluation.prediction import Predictions
from rssc_tf.regimes import REGIMES, WITHOUT_LABELS
from rssc_tf.tasks import SINGLE_LABEL
from tests.rssc_tf.comparison.conftest import draw_card
from tfrecords_tools.common.errors import RsscError

ALL = {"scratch": 1.0, "imagenet": 3.0, "ssl": 3.0, "in-domain": 2.0, "dap": 3.1, "dap-ssl": 3.1}
ALL |= {"overhead": 2.5}
# Every difference in a sentence is followed by its interval.
CLAIM = r"[+−]\d+\.\d points( of micro-F1)? \[−?\d+\.\d, −?\d+\.\d\]"


def test_summary_agrees_with_the_table_of_runs(draw_comparison):
    out = draw_comparison({"scratch": 1, "dap": 3}, fractions=(0.1, 0.4))
    table = pd.read_csv(out / "results.csv")
    summary = summarise(read_study(out))
    groups = table.groupby(["fraction", "strategy"])
    for metric in ("top1", "macro_f1", "ece"):
        ours = summary[summary["metric"] == metric].set_index(["fraction", "strategy"])
        np.testing.assert_allclose(ours["mean"].sort_index(), groups[metric].mean())
        np.testing.assert_allclose(ours["sd"].sort_index(), groups[metric].std())
        assert (ours["seeds"] == 3).all()
        assert set(ours["train_images"]) == {100, 400}
    sure = summary[summary["metric"].isin(["top1", "macro_f1"])]
    assert (sure["low"] < sure["mean"]).all() and (sure["mean"] < sure["high"]).all()
    assert summary[summary["metric"] == "ece"]["low"].isna().all()


def test_no_temperature_changes_what_is_told_by_order(draw_comparison):
    """A small one brings many labels to 1.0, where they are all alike."""
    out = draw_comparison({"scratch": 0.5}, seeds=2, card=draw_card("coast", multi=True))
    (target,) = read_study(out).targets
    for run in target.groups[0].runs["scratch"].values():
        trained, calibrated = run.probabilities, expit(logit(run.probabilities) / np.float32(0.05))
        assert (calibrated == 1).sum(axis=0).min() > 10
        found = Predictions(target.ids, run.labels, trained, logit(trained))
        write_tables(found, calibrated, target.card, run.folder, "", 1)
    summary = summarise(read_study(out)).set_index("metric")
    (group,) = read_study(out).targets[0].groups
    for metric in ("map", "micro_f1"):
        row, centre = summary.loc[metric], group.score("scratch", metric).value
        assert row["mean"] == pytest.approx(centre, abs=1e-6)
        assert row["mean"] == pytest.approx((row["low"] + row["high"]) / 2, abs=1e-6)
    (run, _) = group.runs["scratch"].values()
    assert (run.probabilities == 1).any() and not (run.as_trained == 1).any()


def test_only_shares_end_at_one(draw_comparison, monkeypatch):
    def loss(probabilities, labels, weights):
        return weights @ SINGLE_LABEL.example_losses(probabilities, labels) / weights.sum(axis=1)

    def value(probabilities, labels, task):
        return SINGLE_LABEL.example_losses(probabilities, labels).mean()

    row = Metric("surprise", "surprise", (SINGLE_LABEL,), value, NATS, interval=loss)
    monkeypatch.setitem(METRICS, row.name, row)
    summary = summarise(read_study(draw_comparison({"scratch": 0.1}))).set_index("metric")
    found = summary.loc["surprise"]
    assert 1 < found["low"] < found["mean"] < found["high"]
    assert row.difference_limits == (-np.inf, np.inf)
    assert METRICS["top1"].limits == (0, 1) and METRICS["top1"].difference_limits == (-1, 1)


def test_the_best_is_so_on_the_seeds_that_all_have(draw_comparison):
    """Two of three runs failed: what is left was on the easiest draw, and is behind there."""
    study = read_study(draw_comparison({"scratch": 0.1, "imagenet": 4, "dap": 2}))
    (group,) = study.targets[0].groups
    weak = group.runs.pop("scratch")
    group.runs["imagenet"] = {0: group.runs["imagenet"][0], 1: weak[1], 2: weak[2]}
    group.runs["dap"] = {0: group.runs["dap"][0]}
    assert group.score("imagenet").value < group.score("dap").value
    assert group.difference("dap", "imagenet").high < 0
    assert (group.best, group.reference) == ("imagenet", "dap")
    (said,) = answers(study)[0].sentences
    assert ": imagenet, " in said and said.endswith("ahead of all others."), said
    # Where no seed is common to all, their own decide, and nobody is ahead of what beats it.
    group.runs["dap"] = {3: group.runs["dap"][0]}
    assert group.best == "dap"
    assert "not told apart from it: imagenet" in answers(study)[0].sentences[0]


def test_differences_agree_with_the_table_of_runs(draw_comparison):
    out = draw_comparison({"scratch": 1, "imagenet": 3, "dap": 3})
    found = differences(read_study(out))
    means = pd.read_csv(out / "results.csv").groupby("strategy")["top1"].mean()
    top1 = found[found["metric"] == "top1"]
    pairs = [("imagenet", "scratch"), ("dap", "scratch"), ("dap", "imagenet")]
    assert list(zip(top1["strategy"], top1["against"], strict=True)) == pairs
    for row in top1.itertuples():
        assert row.difference == pytest.approx(means[row.strategy] - means[row.against])
        assert row.low < row.difference < row.high
        assert len(row.mcnemar_p.split()) == 3
    assert list(top1["differs"]) == [True, True, False]
    assert all(float(p) < 0.05 for p in top1.iloc[0]["mcnemar_p"].split())


def test_comparisons_without_scratch_or_imagenet(draw_comparison):
    out = draw_comparison({"in-domain": 2, "dap": 3, "dap-ssl": 3}, seeds=1)
    group = read_study(out).targets[0].main
    assert comparisons(group) == [("dap", "in-domain"), ("dap-ssl", "in-domain")]


def test_verdict_of_the_usual_case(draw_comparison):
    out = draw_comparison({"scratch": 1, "imagenet": 3, "dap": 3})
    (sentence,) = verdict(read_study(out))
    assert re.fullmatch(
        rf"With 200 labelled images, ImageNet pre-training is worth {CLAIM} over scratch; "
        rf"adapting it on world adds {CLAIM} \(not shown to differ from zero\)\.",
        sentence,
    )
    assert "worth +" in sentence


def test_what_the_labels_of_a_source_matter(draw_comparison):
    """Each claim that can be made is, of the source of its own regime, and has its row."""
    without = {"in-domain-ssl": 1.5, "dap-unlabelled": 3.0, "distil": 2.5}
    study = read_study(draw_comparison(ALL | without, seeds=2))
    (sentence,) = verdict(study)
    for words in (
        "adapting ImageNet weights on plain without labels adds",
        "the labels of world add",
        "learning plain without its labels adds",
        "a teacher instead of the labels of plain adds",
        "pre-training on plain without labels instead of ImageNet adds",
    ):
        assert re.search(rf"; {words} {CLAIM}", sentence), sentence
    found = differences(study)
    pairs = list(zip(found["strategy"], found["against"], strict=True))
    assert {(claim.regime, claim.against) for claim in WITHOUT_LABELS} < {*pairs}
    assert len(pairs) == len({*pairs}) * found["metric"].nunique()


def test_a_claim_that_stands_alone_has_its_antecedent(draw_comparison):
    study = read_study(draw_comparison({"imagenet": 3, "dap-unlabelled": 3.0}))
    assert "images, adapting ImageNet weights on plain without labels adds " in verdict(study)[0]
    group = study.targets[0].main
    study = read_study(draw_comparison({"dap": 3, "dap-unlabelled": 3.0}, name="labels"))
    assert " to ImageNet weights adapted on it" in verdict(study)[0]
    assert comparisons(study.targets[0].main) == [("dap", "dap-unlabelled")] != comparisons(group)


def test_a_loss_is_called_one(draw_comparison):
    (sentence,) = verdict(read_study(draw_comparison({"scratch": 3, "imagenet": 1})))
    assert re.search(rf"worth {CLAIM} over scratch \(a loss\)", sentence)
    assert "worth −" in sentence


def test_every_subset_of_strategies_has_a_verdict(draw_comparison):
    without_labels = {"in-domain-ssl": 1.5, "dap-unlabelled": 3.0, "distil": 2.5}
    study = read_study(draw_comparison(ALL | without_labels, seeds=2))
    group = study.targets[0].main
    every = dict(group.runs)
    for size in (1, 2, 3, 4, len(REGIMES)):  # a verdict speaks of three at most
        for subset in combinations(REGIMES, size):
            group.runs = {name: every[name] for name in subset}
            (sentence,) = verdict(study)
            assert sentence.count("points") == len(re.findall(CLAIM, sentence))
            assert ("points" in sentence) == (size > 1)
            named = "|".join(REGIMES)
            if size == 1:
                pattern = rf"({named}) reaches \d+\.\d% top-1 accuracy \[\d+\.\d, \d+\.\d\]\."
                assert re.search(pattern, sentence)


def test_fewest_and_most_images(draw_comparison):
    out = draw_comparison({"scratch": 1, "imagenet": 3}, fractions=(0.05, 0.2, 0.8))
    study = read_study(out)
    assert [sentence.split(",")[0] for sentence in verdict(study)] == [
        "With 50 labelled images",
        "With 800 labelled images",
    ]
    assert len(study.targets[0].groups) == 3


@pytest.fixture
def draw_recipes(draw_comparison):
    """A comparison with two recipes, from what is drawn for two heads; see `draw_comparison`."""

    def draw(skills: dict[str, dict[str, float]], **options):
        parts = [draw_comparison(skill, name=recipe, **options) for recipe, skill in skills.items()]
        tables = []
        for part, recipe in zip(parts, skills, strict=True):
            table = pd.read_csv(part / "results.csv").assign(recipe=recipe)
            table["run"] = [str(part / run) for run in table["run"]]
            table["key"] = recipe + table["key"]
            tables.append(table)
        pd.concat(tables).to_csv(parts[0] / "results.csv", index=False)
        return parts[0]

    return draw


def test_the_better_recipe_is_shown_and_what_it_adds(draw_recipes):
    """Better on average, though not for the regime that is best."""
    skills = {"paper": {"scratch": 0.5, "imagenet": 2}, "strong": {"scratch": 2, "imagenet": 1.9}}
    study = read_study(draw_recipes(skills, fractions=(0.05, 0.2)))
    (target,) = study.targets
    assert target.ways == ["finetune", "finetune, strong"]
    assert target.main.recipe == "strong"
    few, most, adds = verdict(study)
    assert few.startswith("With 50 labelled images (recipe strong), ImageNet")
    assert most.startswith("With 200 labelled images (recipe strong), ImageNet")
    assert re.fullmatch(
        rf"The recipe strong adds {CLAIM} with 50 labelled images( \(.*?\))? and {CLAIM} with 200 "
        r"labelled images( \(.*?\))? over paper, mean of 2 regimes\.",
        adds,
    )
    paper, strong = target.groups[1], target.main
    found = strong.gain_over(paper, strong.strategies)
    gains = [strong.gain_over(paper, [name]).value for name in ("scratch", "imagenet")]
    assert found.value == pytest.approx(np.mean(gains)) and found.low < found.value < found.high
    which, _, more = answers(study)
    assert all("(recipe strong): " in sentence for sentence in which.sentences)
    assert "Nothing can be said" in more.sentences[0]


def test_one_recipe_that_is_better_at_one_place_only_is_not_shown(draw_recipes):
    skills = {"paper": {"scratch": 2, "imagenet": 2}, "strong": {"scratch": 0.1, "imagenet": 2.3}}
    study = read_study(draw_recipes(skills))
    assert study.targets[0].main.recipe == "paper"
    assert "(recipe paper)" in verdict(study)[0]


def test_ways_are_held_against_each_other_on_the_seeds_that_all_have(draw_recipes):
    """The luck of a seed that one of them lacks does not choose."""
    skills = {"paper": {"scratch": 1}, "strong": {"scratch": 1.2}}
    study = read_study(draw_recipes(skills))
    (target,) = study.targets
    assert target.main.recipe == "strong"
    paper, strong = target.groups[0], target.groups[-1]
    for group in target.groups:
        runs = group.runs["scratch"]
        for seed, run in runs.items():
            value = {0: 0.5, 1: 0.9}.get(seed, 0.5) + 0.01 * (group.recipe == "strong")
            run.scores = lambda row, value=value: np.array([value])
        if group.recipe == "strong":
            del runs[1]
    assert (paper.recipe, strong.recipe) == ("paper", "strong")
    assert target.main.recipe == "strong"


def test_the_mean_of_a_table_is_that_of_the_draws(draw_comparison):
    study = read_study(draw_comparison({"scratch": 1}, seeds=4, draws=3))
    (row,) = summarise(study).query("metric == 'top1'").to_dict("records")
    scores = study.table.groupby("draw")["top1"].mean()
    assert row["mean"] == pytest.approx(scores.mean(), abs=1e-12)
    assert row["mean"] != pytest.approx(study.table["top1"].mean(), abs=1e-6)
    assert (row["low"] + row["high"]) / 2 == pytest.approx(row["mean"], abs=1e-6)


def _give_scores(group, scores: dict[str, list[float]]) -> None:
    """Lets the runs of a group have these scores, by seed."""
    for strategy, values in scores.items():
        for seed, run in group.runs[strategy].items():
            run.scores = lambda row, value=values[seed]: np.full(3, value)
            run.row["ece"] = values[seed]


def test_a_draw_counts_once_in_what_is_best(draw_comparison):
    """Seeds 0 and 2 have one draw: over seeds scratch would be ahead, over draws it is not."""
    unbalanced, other = [0.9, 0.5, 0.9], [0.7, 0.8, 0.7]
    assert np.mean(unbalanced) > np.mean(other)
    study = read_study(draw_comparison({"scratch": 1, "imagenet": 1}, seeds=3, draws=2))
    (target,) = study.targets
    _give_scores(target.main, {"scratch": unbalanced, "imagenet": other})
    assert target.main.best == "imagenet"
    assert target.main.score("imagenet").value == pytest.approx(0.75)
    table, _ = calibration_table(target.main)
    assert [row[1 + table.head[1:].index("ECE")] for row in table.rows] == ["70.0", "75.0"]


def test_a_draw_counts_once_in_which_way_is_shown(draw_comparison):
    heads = ("finetune", "linear")
    study = read_study(draw_comparison({"scratch": 1}, seeds=3, draws=2, heads=heads))
    (target,) = study.targets
    scores = {"finetune": [0.9, 0.5, 0.9], "linear": [0.7, 0.8, 0.7]}
    for group in target.groups:
        _give_scores(group, {"scratch": scores[group.head]})
    assert target.main.head == "linear"


def test_the_better_head_is_shown_and_named(draw_comparison):
    heads = ("finetune", "linear")
    study = read_study(draw_comparison({"scratch": 1, "imagenet": 3}, heads=heads))
    (target,) = study.targets
    scores = {
        group.head: np.mean([group.score(name).value for name in group.strategies])
        for group in target.groups
    }
    best = max(scores, key=scores.get)
    assert target.main.head == best
    first, adds = verdict(study)
    assert f"(head {best})" in first and adds.startswith(f"The head {best} adds ")


def test_regimes_that_saw_other_sizes_are_noted(draw_comparison):
    out = draw_comparison({"scratch": 1, "imagenet": 3, "dap": 3}, draws=3)
    assert not limits(read_study(out))
    for file in out.glob("runs/*/*/*/config.yaml"):
        size = 56 if "scratch" in file.parent.name else 224
        file.write_text(f"{file.read_text()}image_size: {size}\n")
    (line,) = limits(read_study(out))
    assert "(scratch at 56 px; imagenet, dap at 224 px)" in line and "image size 224" in line


def test_one_seed_is_said_to_be_one(draw_comparison):
    sentences = verdict(read_study(draw_comparison({"scratch": 1, "imagenet": 3}, seeds=1)))
    assert len(sentences) == 2
    assert "not the chance in training" in sentences[1]


def test_multi_label(draw_comparison):
    card = draw_card("coast", multi=True)
    out = draw_comparison({"scratch": 0.5, "imagenet": 1.5}, card=card)
    study = read_study(out)
    (sentence,) = verdict(study)
    assert re.search(r"worth \+\d+\.\d points of micro-F1 \[\d+\.\d, \d+\.\d\] over", sentence)
    table = pd.read_csv(out / "results.csv").groupby("strategy")["map"].mean()
    found = differences(study).set_index("metric")
    assert set(found.index) == {"micro_f1", "macro_f1", "map"}
    assert found.loc["map", "difference"] == pytest.approx(table["imagenet"] - table["scratch"])


def test_several_targets_are_named(draw_comparison):
    draw_comparison({"scratch": 1, "imagenet": 3})
    out = draw_comparison({"scratch": 1, "imagenet": 3}, card=draw_card("town"))
    assert [sentence.split(",")[0] for sentence in verdict(read_study(out))] == [
        "On coast",
        "On town",
    ]


def test_runs_that_cannot_be_used_are_set_aside(draw_comparison):
    out = draw_comparison({"scratch": 1, "imagenet": 3}, seeds=5)
    runs = out / "runs/coast/finetune-f0.2"
    shutil.rmtree(runs / "scratch-0")
    (runs / "scratch-1/predictions.parquet").write_bytes(b"PAR1 no more")
    table = pd.read_parquet(runs / "scratch-2/predictions.parquet")
    table.loc[3, "p_beach"] = np.nan
    table.to_parquet(runs / "scratch-2/predictions.parquet")
    table = pd.read_parquet(runs / "imagenet-3/predictions.parquet")
    table[::-1].to_parquet(runs / "imagenet-3/predictions.parquet")
    table.drop(columns="p_forest").to_parquet(runs / "imagenet-4/predictions.parquet")
    study = read_study(out)
    reasons = {(row["strategy"], row["seed"]): reason for row, reason in study.unusable}
    for run, word in {
        ("scratch", 0): "is gone",
        ("scratch", 1): "damaged",
        ("scratch", 2): "NaN",
        ("imagenet", 3): "other images",
        ("imagenet", 4): "p_forest",
    }.items():
        assert word in reasons.pop(run)
    assert not reasons
    # Scratch is left with seeds 3 and 4, ImageNet with 0 to 2: nothing can be paired.
    group = study.targets[0].main
    assert group.difference("imagenet", "scratch") is None
    (sentence,) = verdict(study)
    assert "imagenet reaches" in sentence
    assert differences(study).empty


def test_failed_runs(draw_comparison):
    out = draw_comparison({"scratch": 1, "imagenet": 3}, seeds=2)
    table = pd.read_csv(out / "results.csv")
    table["error"] = table["error"].astype(object)
    table.loc[0, ["status", "error"]] = ["failed", "the loss is NaN at step 7"]
    table.loc[0, ["top1", "macro_f1"]] = np.nan
    table.to_csv(out / "results.csv", index=False)
    study = read_study(out)
    assert [reason for _, reason in study.unusable] == ["the loss is NaN at step 7"]
    assert study.targets[0].main.difference("imagenet", "scratch").seeds == 1
    table["status"], table["error"] = "failed", "no"
    table.to_csv(out / "results.csv", index=False)
    assert verdict(read_study(out)) == ["No run has ended with predictions that can be used."]


def test_a_class_without_test_images_has_no_gain(draw_comparison):
    card = draw_card("coast", images=200)
    ids = np.array([f"{number}.jpg" for number in range(200)])
    labels = np.arange(200) % 3  # none is a meadow
    out = draw_comparison({"scratch": 1, "imagenet": 3}, card=card, examples=(ids, labels))
    gains = read_study(out).targets[0].main.class_gains("imagenet", "scratch")
    assert gains[3] is None
    assert all(gain.low < gain.value < gain.high for gain in gains[:3])


@pytest.mark.parametrize(
    ("content", "named"),
    [("a,b\n1,2\n", "column 'key'"), ("", "cannot be read"), (None, "no results.csv")],
)
def test_a_foreign_table_is_refused_in_one_line(tmp_path, content, named):
    if content is not None:
        (tmp_path / "results.csv").write_text(content)
    with pytest.raises(RsscError, match=named) as error:
        read_study(tmp_path)
    assert "\n" not in str(error.value)
