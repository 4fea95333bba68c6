"""The training loop: one stage from its first step, or from its checkpoint, to its last.

Read from top to bottom. Not `model.fit`, because fit replays part of an epoch after a restore,
forgets Dropout's seeds, and fails across workers; see the README.
"""

import math
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import keras
import pandas as pd
import tensorflow as tf

from pipelines.records import count_kept, explain_damage
from pipelines.stream import evaluation_batches, training_batches
from rssc_tf.evaluation.metrics import display_name, score
from rssc_tf.evaluation.prediction import NotFinite, forward, predict
from rssc_tf.optimization.table import SCHEDULES, build_optimizer
from rssc_tf.settings import Settings, checkpoint_interval
from rssc_tf.tasks import task_of
from rssc_tf.training.checkpoint import Checkpointer, Progress, put_back, snapshot
from rssc_tf.training.cluster import Cluster
from rssc_tf.training.distribution import global_batch, synchronized
from rssc_tf.training.interrupts import Interrupts, Stopped
from rssc_tf.training.step import training_step
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.progress import Bar, progress_bar
from tfrecords_tools.records.card import Card

_FEW_STEPS = 50  # fewer hardly move the weights: said to the user
# Steps between reads of the losses: a read waits for the device. With several processes it is also
# how often they agree on a signal, and a preempted machine has half a minute.
_FLUSH, _FLUSH_TOGETHER = 32, 4


def train(
    model: keras.Model,
    records: Path,
    card: Card,
    config: Settings,
    folder: Path,
    cluster: Cluster,
    title: str,
    exclude: Sequence[str] = (),
) -> Progress:
    """Trains `model` on the `train` split; leaves the best weights in it.

    Best is the epoch with the highest top-1 (micro-F1) on the `val` split where the records have
    one, else the last. The test split is not read. Of several processes only the chief validates,
    writes, and ends with the best weights.

    Args:
        model: classifier built in the scope of the cluster's strategy.
        records: record folder.
        card: its card.
        config: settings; `epochs` and `learning_rate` are those of this stage.
        folder: gets `history.csv`, `checkpoints/` and `tensorboard/`; a checkpoint found there
            is continued.
        cluster: devices and processes.
        title: for the progress bar.
        exclude: ids of training examples to leave out.

    Returns:
        The finished `Progress`, with the history.

    Raises:
        NotFinite: the loss is not finite.
        RsscError: the records are damaged, the checkpoint does not fit, a process is lost.
        Stopped: a signal came; the checkpoint is written.
    """
    # --- lengths ---
    distribution = cluster.distribution
    examples = count_kept(records, card, "train", exclude)
    batch = global_batch(config.batch_size, examples, distribution)
    last_step = math.ceil(config.epochs * examples / batch)
    epoch_ends = {
        math.ceil((epoch + 1) * examples / batch): epoch + 1 for epoch in range(config.epochs)
    }

    # --- optimizer, state, and the step ---
    with distribution.scope():
        schedule = SCHEDULES[config.schedule](config.learning_rate, last_step)
        optimizer = build_optimizer(
            config.optimizer,
            schedule,
            model.trainable_variables,
            weight_decay=config.weight_decay,
            precision=config.precision,
        )
    progress = Progress(batch)
    checkpointer = Checkpointer(
        folder / "checkpoints", model, optimizer, progress, config.keep_checkpoints
    )
    with cluster.chief_first():
        resumed = checkpointer.restore(tidy=cluster.chief)
    _check_resumed(progress, batch, folder, cluster)
    losses = partial(task_of(card).losses, label_smoothing=config.label_smoothing)
    step = training_step(model, optimizer, distribution, batch, losses)
    evaluate = forward(model)
    every_steps, every_seconds = checkpoint_interval(config.checkpoint_every)

    # --- the stream, from the example where the checkpoint stands ---
    def pipeline(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return training_batches(
            records,
            card,
            context.get_per_replica_batch_size(batch),
            seed=config.seed,
            start=progress.step * batch,
            threads=config.workers,
            shard=(context.input_pipeline_id, context.num_input_pipelines),
            exclude=exclude,
            cache=config.cache,
            augment=config.augment,
        )

    batches = iter(distribution.distribute_datasets_from_function(pipeline))

    # --- the loop ---
    writer = (
        tf.summary.create_file_writer(str(folder / "tensorboard"))
        if cluster.chief
        else tf.summary.create_noop_writer()
    )
    flush = _FLUSH if cluster.count == 1 else _FLUSH_TOGETHER
    pending: deque = deque()
    saved_at, saved_step = time.monotonic(), progress.step

    def save():
        nonlocal saved_at, saved_step
        _collect(pending, progress, title)
        if cluster.chief:
            checkpointer.save()
        saved_at, saved_step = time.monotonic(), progress.step

    with (
        explain_damage(records),
        synchronized(model, distribution),
        Interrupts() as interrupts,
        progress_bar(title, last_step * batch) as bar,
    ):
        if resumed:
            bar.print(f"{title}: going on from step {progress.step} of {last_step}")
            bar(progress.step * batch)
        elif cluster.chief:
            few = ": few; smaller batches make more" if last_step < _FEW_STEPS else ""
            bar.print(f"{title}: {last_step} steps of {batch} of {examples} images{few}")
        while True:
            # What a step leaves to do comes before the next one, here, so that a checkpoint at
            # the end of an epoch goes on with the validation that a signal cut short.
            epoch = epoch_ends.get(progress.step, 0)
            ended = len(progress.history) < epoch
            flushed = ended or progress.step % flush == 0
            if flushed:
                _collect(pending, progress, title)
            if ended and cluster.chief:
                per_replica = batch // distribution.num_replicas_in_sync
                scores = _validate(evaluate, records, card, per_replica, interrupts)
                if scores is not None:
                    row = _row(epoch, progress, schedule) | scores
                    _keep_best(row, progress, model, card)
                    _report(row, progress, folder, writer, bar, title, config.epochs, card)
            due = (
                progress.step - saved_step >= every_steps
                if every_steps
                else time.monotonic() - saved_at >= every_seconds
            )
            if due and progress.step < last_step:
                save()
            stop = interrupts.pending
            if cluster.count > 1:  # all stop at the same step, or none
                stop = max(cluster.gather(stop or 0)) if flushed else None
            if stop:
                if progress.step > saved_step:
                    save()
                raise Stopped(stop, f"at step {progress.step} of {last_step}")
            if progress.step == last_step:
                break
            pending.append(step(next(batches)))
            progress.step += 1
            bar(batch)
    if progress.best_weights is not None:
        put_back(model, progress.best_weights)
    return progress


def _check_resumed(progress: Progress, batch: int, folder: Path, cluster: Cluster) -> None:
    if progress.batch != batch:
        raise RsscError(
            f"{folder} was begun in batches of {progress.batch}, on these devices they are of "
            f"{batch}: go on with a number of devices that divides {progress.batch}"
        )
    cluster.same(
        progress.step,
        f"worker {{worker}} reads another checkpoint in {folder} than the chief: it must be on "
        "a file system that all workers share",
    )


def _collect(pending: deque, progress: Progress, title: str) -> None:
    """Reads the losses of the steps that were sent off since the last call."""
    first = progress.step - len(pending) + 1
    for offset, loss in enumerate(pending):
        value = float(loss)
        if not math.isfinite(value):
            raise NotFinite(
                f"{title}: the loss is {value} at step {first + offset}: lower `learning_rate`, "
                "or use `precision='float32'`"
            )
        progress.losses = [progress.losses[0] + value, progress.losses[1] + 1]
    pending.clear()


def _row(epoch: int, progress: Progress, schedule) -> dict:
    return {
        "epoch": epoch,
        "step": progress.step,
        "learning_rate": float(schedule(progress.step - 1)),
        "loss": progress.losses[0] / progress.losses[1],
    }


def _validate(
    evaluate, records: Path, card: Card, batch: int, interrupts: Interrupts
) -> dict | None:
    """Scores on the `val` split, none if there is no such split; `None` if a signal came."""
    if "val" not in card.splits:
        return {}

    def batches():
        for content in evaluation_batches(records, card, "val", batch):
            if interrupts.pending:
                raise Stopped(interrupts.pending, "while validating")
            yield content

    try:
        found = predict(evaluate, batches(), task_of(card))
    except Stopped:
        return None
    scores = score(found.probabilities, found.labels)
    return {f"val_{name}": value for name, value in scores.items()}


def _keep_best(row: dict, progress: Progress, model: keras.Model, card: Card) -> None:
    name = f"val_{task_of(card).headline}"
    if name not in row:
        return
    rank = (row[name], -row["val_log_loss"])  # a small split has ties; the surer model wins
    best = progress.best
    if best is None or rank > (best[name], -best["val_log_loss"]):
        progress.best, progress.best_weights = row, snapshot(model)


def _report(
    row: dict,
    progress: Progress,
    folder: Path,
    writer,
    bar: Bar,
    title: str,
    epochs: int,
    card: Card,
) -> None:
    progress.history.append(row)
    progress.losses = [0.0, 0]
    with new_file(folder / "history.csv") as aside:
        pd.DataFrame(progress.history).to_csv(aside, index=False)
    with writer.as_default():
        for name, value in row.items():
            if name not in ("epoch", "step"):
                tf.summary.scalar(name, value, step=row["epoch"])
    writer.flush()
    line = f"{title}: epoch {row['epoch']}/{epochs}  loss {row['loss']:.4f}"
    name = f"val_{task_of(card).headline}"
    if name in row:
        line += f"  validation {display_name(name)} {row[name]:.4f}"
    bar.print(line)
