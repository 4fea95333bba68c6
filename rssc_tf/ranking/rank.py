"""Candidates -> a ranking: features, probes over draws, intervals, and who may be the best.

Nothing is lost by an end on the way: features, costs and probes are kept in the cache as they are
made, under all that they depend on, and what is there is not made again.
"""

import gc
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.crop import crop_side
from rssc_tf.cache import CannotKeep
from rssc_tf.fields import check_value
from rssc_tf.models.view_count import check_views
from rssc_tf.probing.choice import PROBES
from rssc_tf.probing.features import Features, feature_file, kept_features, seconds_of
from rssc_tf.probing.probe import METHODS, refuse_one_class, tested_split
from rssc_tf.ranking.candidates import Candidate, read_candidates
from rssc_tf.ranking.cost import kept_cost
from rssc_tf.ranking.outcome import Entry, Ranking, placed
from rssc_tf.ranking.probes import Job, Split, outcomes_of
from rssc_tf.ranking.training_sets import TrainingSets, sizes_of, training_sets
from rssc_tf.records import Records
from rssc_tf.settings import Settings, check_seed
from tfrecords_tools.common.errors import DataError, RsscError, SettingError, as_flags, reason_of
from tfrecords_tools.records.card import BadRecords, refuse_unlabelled, refuse_untrained


def rank(
    records: Records | str | Path,
    weights: Sequence[str | Path],
    *,
    shots: Sequence[int] | None = None,
    labels: Sequence[int] | None = None,
    draws: int = 5,
    method: str = "both",
    views: int = 8,
    image_size: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    deterministic: bool = False,
) -> Ranking:
    """Ranks weights by what their frozen features are worth on a target.

    Args:
        records: of the target, single- or multi-label; with a training split, and one for tests.
        weights: candidates, 20 at most: each a name, an address, a file, a run or an export; or
            `BACKBONE=WEIGHTS`, where `random`, `imagenet` and `ssl` are weights too.
        shots: numbers of training images a class (multi-label: positives of every label that has
            as many); by default those of 1, 5, 10 and 20 that the training split has.
        labels: numbers of training images in all, stratified; beside `shots` or in their place.
        draws: how many choices of the training images, the same for all candidates.
        method: `"linear"`, `"knn"` or `"both"`; the first ranks.
        views: as of `open_encoder`.
        image_size: side at which candidates see images that are neither runs nor exports, in
            pixels; by default that of their weights.
        seed: int in 0..2**31 - 1, of draws, folds and random weights.
        workers: processes that fit the probes; all cores by default.
        deterministic: as of `open_encoder`.

    Returns:
        The candidates in order, those that cannot be loaded last, with the reason.

    Raises:
        SettingError: a setting out of range.
        DataError: bad records, training images of one class only, more shots than a class has
            images, no candidate can be loaded, or the cache cannot be written.
    """
    records = records if isinstance(records, Records) else Records(records)
    candidates = read_candidates(weights)
    if method not in METHODS:
        raise SettingError("method", f"is one of {', '.join(METHODS)}", method)
    if draws < 1:
        raise SettingError("draws", "is at least 1", draws)
    check_seed(seed)
    check_views(views)
    check_value(Settings, "image_size", image_size)
    refuse_unlabelled(records.path, records.card)
    splits = _splits(records)
    refuse_one_class(records)
    sizes = sizes_of(records.card, shots, labels)
    methods = tuple(PROBES) if method == "both" else (method,)

    seen = {"views": views, "seed": seed, "image_size": image_size}
    prepared: list[tuple[Entry, dict[str, Split]]] = []
    failed: list[Entry] = []
    train: Features | None = None
    for number, candidate in enumerate(candidates, 1):
        print(f"[{number}/{len(candidates)}] {candidate.name}", file=sys.stderr)
        try:
            *made, found = _prepare(candidate, records, splits, deterministic=deterministic, **seen)
        except (BadRecords, CannotKeep):  # no fault of the candidate's
            raise
        except Exception as error:  # libraries have their own for what cannot be loaded or run
            reason = str(error) if isinstance(error, RsscError) else reason_of(error)
            failed.append(Entry(candidate, reason))
            print(f"  left out: {as_flags(reason)}", file=sys.stderr)
            continue
        prepared.append(made)
        train = train or found
        gc.collect()  # a network has cycles, and the next one may be large
    if train is None:
        reasons = "; ".join(f"{entry.candidate.name}: {entry.error}" for entry in failed)
        raise DataError(f"none of the weights can be loaded: {reasons}")

    sets = training_sets(train, records.card, sizes, draws, seed)
    entries = _probe(prepared, sets, records, splits, methods, seed, workers)
    how = {"draws": draws, **seen}
    return placed(records, splits[-1], "val" in splits[:-1], methods, sets, entries, failed, how)


def _splits(records: Records) -> tuple[str, ...]:
    """Train, val if it chooses, and the split that is for tests, as `probe` has them."""
    refuse_untrained(records.path, records.card)
    tested_split(records)  # its error
    return tuple(name for name in ("train", "val", "test") if name in records.splits)


def _prepare(
    candidate: Candidate, records: Records, splits: Sequence[str], **seen
) -> tuple[Entry, dict[str, Split], Features]:
    """A candidate without its outcomes, where its features are, and those of train; `seen` is as of
    `Candidate.open`."""
    encoder = candidate.open(records, **seen)
    card, files, train = records.card, {}, None
    for split in splits:
        found = kept_features(encoder, records, split)
        train = train or found
        files[split] = Split(feature_file(encoder, card, split), card.splits[split].examples)
    cost = kept_cost(encoder, crop_side(card.side))
    times = [seconds_of(split.file) for split in files.values()]
    seconds = None if None in times else sum(times)
    entry = Entry(candidate, "", encoder.definition, cost, seconds)
    return entry, files, train


def _probe(
    prepared: Sequence[tuple[Entry, dict[str, Split]]],
    sets: Sequence[TrainingSets],
    records: Records,
    splits: Sequence[str],
    methods: tuple[str, ...],
    seed: int,
    workers: int | None,
) -> list[Entry]:
    """Every candidate on every draw of every size."""
    jobs = [
        Job(
            train=files["train"],
            val=files["val"] if "val" in splits[:-1] else None,
            test=files[splits[-1]],
            rows=tuple(map(int, rows)),
            classes=len(records.classes),
            methods=methods,
            seed=seed,
        )
        for _, files in prepared
        for one in sets
        for rows in one.draws
    ]
    made = outcomes_of(jobs, workers)
    return [
        replace(entry, outcomes=[[next(made) for _ in one.draws] for one in sets])
        for entry, _ in prepared
    ]
