"""A regime is a list of stages: a source round where it has one, then the target round.

Both are the same thing, a run folder: settings, history, model, metrics. A source round lives in
the cache under a key of all that defines it, so that many targets pay for it once.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import tensorflow as tf

from pipelines.augmentations import check_mixture
from pipelines.cache import is_wanted
from pipelines.crop import crop_side
from pipelines.records import count_kept
from rssc_tf.cache import seal
from rssc_tf.environment import describe_environment
from rssc_tf.evaluation.evaluate import evaluate_run
from rssc_tf.evaluation.files import write_metrics
from rssc_tf.evaluation.not_finite import Diverged
from rssc_tf.evaluation.prediction import Forward
from rssc_tf.fields import WEIGHTS
from rssc_tf.keys import PROCEDURE, definition
from rssc_tf.models.normalization import Normalization
from rssc_tf.models.precision import dtype_policy
from rssc_tf.records import Records
from rssc_tf.regimes import get_regime
from rssc_tf.rounds import resolve, with_source_settings
from rssc_tf.runs import CONFIG, METRICS, MODEL, STAGES, load_model, read_settings
from rssc_tf.self_supervised.monitor import kept_row
from rssc_tf.settings import Settings
from rssc_tf.settings_file import save_config
from rssc_tf.tasks import Task
from rssc_tf.training.assembly import build_training, initial_backbone, set_seed
from rssc_tf.training.base import Training
from rssc_tf.training.cluster import Cluster
from rssc_tf.training.distribution import batch_on, get_distribution
from rssc_tf.training.from_file import size_for
from rssc_tf.training.head_on_features import on_features
from rssc_tf.training.interrupts import stopping_at_once
from rssc_tf.training.kept_rounds import (
    FAILED,
    discard_damaged,
    folder_of,
    note_failure,
    refuse_failed,
    try_again,
)
from rssc_tf.training.label_free import Guide, build_label_free, find_guide
from rssc_tf.training.loop import train
from rssc_tf.training.run_folder import begin, check_out, check_stages, goes_on
from rssc_tf.training.source_leaks import leaked_ids, left_out
from rssc_tf.weights.initial import Initial
from rssc_tf.weights.size import say_size
from tfrecords_tools.common.atomic import discard, new_file
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.common.locks import sole_writer
from tfrecords_tools.records.card import (
    refuse_replaced,
    refuse_unlabelled,
    refuse_untrained,
)
from tfrecords_tools.records.shards import check_shards

# Smoothing of labels, and that of a source, where older versions were left to the recipe `strong`.
_SMOOTHED = 0.1, None


def run_regime(
    config: Settings,
    out: Path,
    *,
    overwrite: bool = False,
    source_round: Settings | None = None,
    trial: bool = False,
    seen: Path | None = None,
) -> dict:
    """Trains one regime and evaluates it on the target's test split.

    Args:
        config: the settings.
        out: run folder. One that the same settings left unfinished is continued.
        overwrite: replace what is there, unless that is this very run, unfinished: it goes on.
        source_round: the settings, resolved, whose source round it starts from, where those of the
            target round are others.
        trial: evaluate on the validation split instead, and draw no pictures; the test split is
            then not read.
        seen: folder that notes which failure of the source round was seen, where `out` is not that
            of the run which needs it.

    Returns:
        The content of `out/metrics.json`.

    Raises:
        RsscError: bad records, weights or settings (found before anything is written), a
            finished run in `out`, or an unfinished one with other settings or that another
            process is training, or that process of several is lost.
        Stopped: a signal came; the same call goes on from there.
    """
    out = Path(out)
    regime = get_regime(config.strategy)
    target = _open(config.target)
    refuse_unlabelled(target.path, target.card)
    check_mixture(config.augment, target.path, target.card)
    source = _open(config.source_records) if regime.source_round else None
    if source is not None and regime.labels:
        refuse_unlabelled(source.path, source.card)
        check_mixture(config.augment, source.path, source.card)
    asked = config
    learnt = source.task if source is not None and regime.labels else None
    config = _resolved(asked, target, learnt, out, overwrite)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    cluster = Cluster(get_distribution(config.distribute))
    alone = sole_writer(out) if cluster.chief else nullcontext()
    with stopping_at_once(), cluster.watched(), alone:
        if cluster.chief:
            check_out(out, config, target.card, overwrite)
            if not asked.image_size:
                say_size(config.image_size, crop_side(target.card.side))
        source_config = None
        if source is not None:
            source_config = with_source_settings(source_round or config)
        what = (config, source_config, out, overwrite, target, source, cluster)
        trained = _run_stages(*what, pictures=not trial, seen=seen or out)
        return _evaluate(trained, config, target, out, cluster, trial)


def _run_stages(
    config: Settings,
    source_config: Settings | None,
    out: Path,
    overwrite: bool,
    target: Records,
    source: Records | None,
    cluster: Cluster,
    pictures: bool,
    seen: Path,
) -> Forward | None:
    # --- before anything is written ---
    cluster.same(
        [definition(config), target.card.sha256, None if source is None else source.card.sha256],
        "worker {worker} has other settings or records than the chief: start all with one command",
    )
    regime = get_regime(config.strategy)
    initial = initial_backbone(source_config or config, regime.pretraining, cluster.distribution)
    stages = [{"stage": "initial", **initial.provenance}]
    if source is not None:
        with cluster.chief_first():
            leaks, found = leaked_ids(source, target, config.exclude_leaks or not regime.labels)
        excluded, guide = leaks if config.exclude_leaks else [], None
        if not regime.labels:
            # Unasked: any images may be the source.
            excluded = left_out(source, leaks, target.evaluated)
            guide = find_guide(source_config, source, cluster.distribution, target, excluded)

    _check_work(config, target, cluster)

    if source is not None:
        facts = {"records": source.name, "card_sha256": source.card.sha256}
        facts |= {"leaks_found": found, "leaks_excluded": found if excluded else 0}
        if guide:
            facts |= {"objective": regime.objective, **guide.provenance}
        stages.append({"stage": "source", **facts})

    # --- the stages ---
    # What is replaced stays until there is a source round to replace it with.
    kept = overwrite and source is not None and (out / METRICS).is_file()
    if cluster.chief and not kept:
        if not (out / CONFIG).is_file() or (
            overwrite and not goes_on(out, config, target.card, stages)
        ):
            begin(config, target.card, out, overwrite)
        check_stages(out, stages)
    if source is not None:
        what = (source_config, source, initial, cluster, excluded, guide)
        folder = _source_round(*what, seen, again=overwrite)
        initial = _trained_backbone(folder, cluster, config)
        stages[-1]["folder"] = str(folder)
    if cluster.chief and kept:
        begin(config, target.card, out, overwrite)
    training = _train_stage(config, target, initial, out, cluster, stages, pictures=pictures)
    return training and training.assembly.forward


def _open(path: str) -> Records:
    records = Records(path)
    check_shards(records.path, records.card)
    refuse_untrained(records.path, records.card)
    return records


def _check_work(
    config: Settings,
    records: Records,
    cluster: Cluster,
    excluded: Sequence[str] = (),
    read: Sequence[str] = ("train", "val"),
) -> None:
    """Finds what a stage would end with after hours: no image, a batch that is too small for the
    devices, or too little memory."""
    examples = count_kept(records.path, records.card, "train", excluded)
    if not examples:
        raise DataError(
            f"{records.path} has no training image left: all {records.splits['train']} show "
            "photographs that the target is judged on. Give another `source`"
        )
    batch_on(cluster.distribution.num_replicas_in_sync, config.batch_size, examples)
    is_wanted(config.cache, records.card, *(split for split in read if split in records.splits))


def _resolved(
    asked: Settings, target: Records, learnt: Task | None, out: Path, overwrite: bool
) -> Settings:
    """What was asked for, with the defaults. A run that goes on has those that it began with: older
    versions showed images at the crop, and smoothed the labels of any task."""
    tasks, crop = (target.task, learnt), crop_side(target.card.side)
    new = resolve(asked, asked.image_size or size_for(asked, target.card), *tasks)
    if not (out / CONFIG).is_file() or (out / METRICS).is_file():
        return new
    try:
        old = read_settings(out)
    except DataError:
        if overwrite:
            return new
        raise
    begun = {}
    if asked.image_size is None and old["image_size"] == crop:
        begun["image_size"] = crop
    smoothed = old["label_smoothing"], old["source_label_smoothing"]
    if asked.label_smoothing is None and smoothed == _SMOOTHED:
        begun["label_smoothing"] = smoothed[0]
    as_begun = resolve(replace(asked, **begun), new.image_size, *tasks)
    return as_begun if not overwrite or goes_on(out, as_begun, target.card) else new


def _source_round(
    config: Settings,
    records: Records,
    initial: Initial,
    cluster: Cluster,
    excluded: list[str],
    guide: Guide | None,
    run: Path,
    again: bool,
) -> Path:
    """The folder of a finished source round, found in the cache or made there.

    Args:
        guide: of a round without labels.
        run: folder that notes the failure which the run has seen that it is for.
        again: make it anew if it has failed.

    Raises:
        Diverged: it has come to nothing, now or before.
    """
    defined = {"settings": definition(config, (WEIGHTS,)), "procedure": PROCEDURE}
    defined |= {"initial": initial.definition, "records": records.card.sha256}
    if excluded:
        defined["excluded"] = excluded
    if guide:
        defined |= guide.key(config.probe_every)
    older = defined | {"initial": initial.provenance}
    folder = folder_of(records.name, config.backbone, defined, older, cluster)
    # Runs that start together, such as shards of a comparison, must not both make it.
    with sole_writer(folder, wait=True) if cluster.chief else nullcontext():
        if cluster.chief:
            discard_damaged(folder)
            try_again(folder, run, again)
        if cluster.from_chief((folder / METRICS).is_file()):
            print(f"source round: found in {folder}", file=sys.stderr)
            return folder
        if cluster.from_chief((folder / FAILED).is_file()):
            cluster.see(folder / FAILED)
            refuse_failed(folder, run if cluster.chief else None)
        _check_work(config, records, cluster, excluded, ("train",) if guide else ("train", "val"))
        if cluster.chief and not (folder / CONFIG).is_file():
            discard(folder)  # of the cache: what is left there of a round can be made again
            begin(config, records.card, folder, overwrite=True)
        stages = [{"stage": "initial", **initial.provenance}]
        what = (folder, cluster, stages, excluded, guide)
        try:
            training = _train_stage(config, records, initial, *what, rate="source_learning_rate")
            if cluster.chief:
                seal(folder / MODEL)  # before the metrics, with which the round is finished
            if guide:
                _note_scores(folder, records, cluster)
            else:
                trained = training and training.assembly.forward
                _evaluate(trained, config, records, folder, cluster, rate="source_learning_rate")
        except Diverged as error:
            if cluster.chief:
                note_failure(folder, run, error)
            raise Diverged(str(error)) from error  # no failure of the settings that are tuned
    return folder


def _trained_backbone(folder: Path, cluster: Cluster, config: Settings) -> Initial:
    """The backbone of a finished source round, read back from its file in every case: a round
    found in the cache and one just trained then start the target round from the same bytes."""
    set_seed(config.seed)  # Dropout's seed is drawn anew when it is loaded
    with cluster.distribution.scope(), dtype_policy(config.precision):
        model = load_model(folder)
        layer = model.get_layer("normalization")
        return Initial(
            model.get_layer("backbone"), Normalization.from_config(layer.get_config()), {}
        )


def _train_stage(
    config: Settings,
    records: Records,
    initial: Initial,
    folder: Path,
    cluster: Cluster,
    stages: list,
    excluded: Sequence[str] = (),
    guide: Guide | None = None,
    rate: str = "learning_rate",
    pictures: bool = True,
) -> Training | None:
    """Trains one stage in `folder`, from its checkpoint if it has one; ends with the model's file.

    Args:
        rate: as of `train`.
        pictures: whether the history is drawn.

    Returns:
        The training, or `None` if its file was there already.
    """
    if cluster.chief:
        with new_file(folder / CONFIG) as aside:  # what may change in a run has perhaps changed
            save_config(config, aside)
    if cluster.from_chief((folder / MODEL).is_file()):
        return None
    if cluster.chief:
        for name, content in ((STAGES, stages), ("environment.json", describe_environment())):
            with new_file(folder / name) as aside:
                text = json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n"
                aside.write_text(text, encoding="utf-8")
    cluster.barrier()
    cluster.see(folder / STAGES)
    what = (config, records, initial, cluster.distribution, excluded)
    training = build_label_free(*what, guide) if guide else on_features(build_training(*what))
    title = f"{config.strategy} on {records.name}"
    progress = train(training, folder, cluster, title, rate)
    if cluster.chief:
        if pictures:
            _draw_history(folder, progress, title)
        # The model comes last: where it is, the stage is over, and its picture whole.
        with new_file(folder / MODEL) as aside:
            training.product.save(aside)
    cluster.barrier()
    cluster.see(folder / MODEL)
    return training


def _evaluate(
    trained: Forward | None,
    config: Settings,
    records: Records,
    folder: Path,
    cluster: Cluster,
    trial: bool = False,
    rate: str = "learning_rate",
) -> dict:
    """The chief evaluates the model of a stage; returns the content of `metrics.json`."""
    if cluster.chief:
        refuse_replaced(records.path, records.card)
        split, model = "val" if trial else records.evaluated, trained or load_model(folder)
        how = {"views": config.views, "pictures": not trial, "rate": rate}
        metrics = evaluate_run(model, records, split, folder, **how)
        cluster.barrier()
        return metrics
    cluster.barrier()
    cluster.see(folder / METRICS)
    return read_json(folder / METRICS)


def _note_scores(folder: Path, records: Records, cluster: Cluster) -> None:
    """`metrics.json` of a round without labels: the row of its history that was kept."""
    if cluster.chief:
        refuse_replaced(records.path, records.card)
        metrics = {"records": records.name, "card_sha256": records.card.sha256}
        write_metrics(metrics | kept_row(folder / "history.csv"), folder / METRICS)
    cluster.barrier()
    cluster.see(folder / METRICS)


def _draw_history(folder: Path, progress, title: str) -> None:
    import pandas as pd

    from rssc_tf.evaluation.plots import plot_history

    plot_history(pd.DataFrame(progress.history), folder / "history.png", title)
