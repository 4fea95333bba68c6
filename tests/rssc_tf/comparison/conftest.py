"""Comparisons as `rssc-tf compare` leaves them, with drawn predictions instead of trained ones."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from rssc_tf.comparison import runner
from rssc_tf.evaluation.metrics import score
from rssc_tf.evaluation.not_finite import NotFinite
from rssc_tf.regimes import get_regime
from rssc_tf.settings_file import save_config
from rssc_tf.tasks import task_of
from rssc_tf.training import stages
from tfrecords_tools.records.card import CARD_NAME, Card, Shard, Split, open_records

CLASSES = ("beach", "forest", "harbour", "meadow")


def draw_card(name: str, classes=CLASSES, images: int = 200, multi: bool = False) -> Card:
    """The card of records that do not exist."""
    counts = (images // len(classes),) * len(classes)
    shard = Shard("test-00000-of-00001.tfrecord", sum(counts), 1000, "0" * 64)
    task = "multi-label" if multi else "single-label"
    sizes = {"64x64": sum(counts)}
    return Card(
        name, task, tuple(classes), 64, "jpeg", sizes, {"test": Split((shard,), counts)}, {}
    )


@pytest.fixture
def draw_comparison(tmp_path) -> Callable[..., Path]:
    """Writes a comparison's folder; see `draw`."""

    def draw(
        skills: dict[str, float],
        *,
        seeds: int = 3,
        fractions: tuple[float, ...] = (0.2,),
        heads: tuple[str, ...] = ("finetune",),
        draws: int = 1,
        card: Card | None = None,
        examples: tuple[np.ndarray, np.ndarray] | None = None,
        target: str = "records/none",
        name: str = "out",
    ) -> Path:
        """Args:
        skills: strategy to how far apart its classes are: 0 is chance, 4 nearly perfect.
        draws: of the training images: a seed has the draw `seed % draws`.
        card, examples: of the test split, ids and labels; 200 drawn images by default.
        target: the record folder that the runs name.
        """
        out = tmp_path / name
        generator = np.random.default_rng(0)
        card = card or draw_card("coast")
        ids, labels = examples or _draw_examples(card, generator)
        difficulty = generator.normal(size=(len(labels), len(card.classes)))
        rows = []
        for fraction in fractions:
            for head in heads:
                for strategy, skill in skills.items():
                    for seed in range(seeds):
                        run = f"runs/{card.name}/{head}-f{fraction:g}/{strategy}-{seed}"
                        noise = generator.normal(size=difficulty.shape)
                        logits = difficulty + noise + (skill + fraction) * _signal(labels, card)
                        place = {"head": head, "fraction": fraction, "strategy": strategy}
                        place |= {"target": card.name, "seed": seed, "run": run}
                        place |= {"shots": 0, "draw": seed % draws}
                        metrics = _write_run(out / run, card, ids, labels, logits, place, target)
                        rows.append(_row(place, labels, card, metrics))
        old = pd.read_csv(out / "results.csv") if (out / "results.csv").exists() else None
        pd.concat([old, pd.DataFrame(rows)]).to_csv(out / "results.csv", index=False)
        command = {"command": "rssc-tf compare --target a&b --out out", "version": "0"}
        (out / "compare.json").write_text(json.dumps(command))
        times = pd.DataFrame({"key": [row["key"] for row in rows], "seconds": 60.0})
        times.to_csv(out / "times.csv", index=False)
        return out

    return draw


def _draw_examples(card: Card, generator) -> tuple[np.ndarray, np.ndarray]:
    images = card.splits["test"].examples
    ids = np.array([f"{number:04d}.jpg" for number in range(images)])
    if card.multi_label:
        return ids, (generator.random((images, len(card.classes))) < 0.3).astype(int)
    return ids, np.repeat(np.arange(len(card.classes)), card.splits["test"].class_counts)


def _signal(labels: np.ndarray, card: Card) -> np.ndarray:
    return 2 * labels - 1 if card.multi_label else np.eye(len(card.classes))[labels]


def _write_run(folder, card, ids, labels, logits, place, target) -> dict:
    folder.mkdir(parents=True)
    odds = np.exp(logits)
    probabilities = odds / (1 + odds if card.multi_label else odds.sum(axis=1, keepdims=True))
    probabilities = probabilities.astype(np.float32)
    label = [list(row.nonzero()[0]) for row in labels] if card.multi_label else labels
    table = {"id": ids, "labels" if card.multi_label else "label": label}
    columns = {f"p_{one}": probabilities[:, i] for i, one in enumerate(card.classes)}
    pd.DataFrame({**table, **columns}).to_parquet(folder / "predictions.parquet", index=False)
    (folder / CARD_NAME).write_text(card.to_json(), encoding="utf-8")
    settings = {"strategy": place["strategy"], "target": target, "seed": place["seed"]}
    settings["learning_rate"] = 1e-3 if place["strategy"] == "scratch" else 3e-4
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    stages = [
        {"stage": "initial", "pretraining": "imagenet", "origin": "drawn", "sha256": "1" * 64}
    ]
    regime = get_regime(place["strategy"])
    if regime.source_round:
        name = "world" if regime.labels else "plain"
        found = {"records": name, "folder": "cache/world", "leaks_found": 3, "leaks_excluded": 2}
        stages.append({"stage": "source", **found})
    (folder / "stages.json").write_text(json.dumps(stages))
    (folder / "environment.json").write_text(json.dumps({"keras": "3.15", "cpu_count": 2}))
    return score(probabilities, labels)


def _row(place: dict, labels: np.ndarray, card: Card, metrics: dict) -> dict:
    facts = {"key": place["run"], "train_images": int(1000 * place["fraction"])}
    facts |= {"status": "done", "error": "", "split": "test", "examples": len(labels)}
    return {**place, **facts, "headline": task_of(card).headline, **metrics}


@pytest.fixture
def drawn_runs(monkeypatch) -> list[Path]:
    """Runs of a comparison have drawn predictions, and take no time; where the learning rate is
    above 1 the loss diverges. Gives the folders of those that were begun."""
    begun = []

    def run_regime(config, out, *, trial=False, **_) -> dict:
        begun.append(out)
        if config.learning_rate > 1:
            raise NotFinite("the loss is no longer finite at step 1")
        card = open_records(Path(config.target))
        labels = np.repeat(np.arange(len(card.classes)), card.splits["test"].class_counts)
        ids = np.array([f"{number:04d}.jpg" for number in range(len(labels))])
        generator = np.random.default_rng(config.seed)
        logits = generator.normal(size=(len(labels), len(card.classes)))
        place = {"strategy": config.strategy, "seed": config.seed}
        metrics = _write_run(out, card, ids, labels, logits, place, config.target)
        save_config(config, out / "config.yaml")
        metrics |= {"headline": "top1", "split": "test", "examples": len(labels)}
        (out / "metrics.json").write_text(json.dumps(metrics | {"views": config.views}))
        return metrics

    monkeypatch.setattr(runner, "run_regime", run_regime)
    monkeypatch.setattr(stages, "run_regime", run_regime)  # of trials
    return begun
