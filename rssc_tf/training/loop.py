"""The training loop: one stage from its first step, or from its checkpoint, to its last.

Read from top to bottom. Not `model.fit`, because fit replays part of an epoch after a restore,
forgets Dropout's seeds, and fails across workers; see the README.
"""

import math
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import keras
import pandas as pd
import tensorflow as tf

from pipelines.records import count_kept, explain_damage
from pipelines.stream import evaluation_batches, training_batches
from rssc_tf.config import TrainConfig, checkpoint_interval
from rssc_tf.evaluation.inference import forward, predict
from rssc_tf.evaluation.metrics import display_name, headline, score
from rssc_tf.schedule import SCHEDULES
from rssc_tf.training.checkpoint import Checkpointer, Progress, put_back, snapshot
from rssc_tf.training.distribution import global_batch, synchronized
from rssc_tf.training.interrupts import Interrupts, Stopped
from tfrecords_tools.card import Card
from tfrecords_tools.errors import RsscError
from tfrecords_tools.folders import new_file
from tfrecords_tools.progress import Bar, progress_bar

_FLUSH = 32  # steps between reads of the losses: a read waits for the device


def train(
    model: keras.Model,
    records: Path,
    card: Card,
    config: TrainConfig,
    folder: Path,
    distribution: tf.distribute.Strategy,
    title: str,
    exclude: Sequence[str] = (),
) -> Progress:
    """Trains `model` on the `train` split; leaves the best weights in it.

    Best is the epoch with the highest top-1 (micro-F1) on the `val` split where the records have
    one, else the last. The test split is not read.

    Args:
        model: classifier built under `distribution.scope()`.
        records: record folder.
        card: its card.
        config: settings; `epochs` and `learning_rate` are those of this stage.
        folder: gets `history.csv`, `checkpoints/` and `tensorboard/`; a checkpoint found there
            is continued.
        distribution: devices.
        title: for the progress bar.
        exclude: ids of training examples to leave out.

    Returns:
        The finished `Progress`, with the history.

    Raises:
        RsscError: the loss is not finite, or the records are damaged.
        Stopped: a signal came; the checkpoint is written.
    """
    # --- lengths ---
    examples = count_kept(records, card, "train", exclude)
    batch = global_batch(config.batch_size, examples, distribution)
    last_step = math.ceil(config.epochs * examples / batch)
    epoch_ends = {
        math.ceil((epoch + 1) * examples / batch): epoch + 1 for epoch in range(config.epochs)
    }

    # --- optimizer, state, and the step ---
    with distribution.scope():
        schedule = SCHEDULES[config.schedule](config.learning_rate, last_step)
        optimizer = keras.optimizers.Adam(schedule)
        if config.precision == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(model.trainable_variables)
    progress = Progress()
    checkpointer = Checkpointer(folder / "checkpoints", model, optimizer, progress)
    resumed = checkpointer.restore()
    step = _training_step(model, optimizer, distribution, batch, card.multi_label)
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
        )

    batches = iter(distribution.distribute_datasets_from_function(pipeline))

    # --- the loop ---
    writer = tf.summary.create_file_writer(str(folder / "tensorboard"))
    pending: deque = deque()
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
        while progress.step < last_step:
            pending.append(step(next(batches)))
            progress.step += 1
            bar(batch)
            epoch = epoch_ends.get(progress.step)
            if epoch or len(pending) >= _FLUSH:
                _collect(pending, progress, title)
            if epoch:
                row = _finish_epoch(epoch, progress, schedule)
                row |= _validate(evaluate, records, card, batch)
                _keep_best(row, progress, model, card)
                _report(row, progress, folder, writer, bar, title, config.epochs)
            due = (
                progress.step - saved_step >= every_steps
                if every_steps
                else time.monotonic() - saved_at >= every_seconds
            )
            if interrupts.pending or (due and progress.step < last_step):
                _collect(pending, progress, title)
                checkpointer.save()
                saved_at, saved_step = time.monotonic(), progress.step
            if interrupts.pending:
                raise Stopped(interrupts.pending, f"at step {progress.step} of {last_step}")
    if progress.best_weights is not None:
        put_back(model, progress.best_weights)
    return progress


def _training_step(model, optimizer, distribution, batch: int, multi_label: bool):
    """`(images, labels)` of all replicas to the mean loss over the global batch."""
    if multi_label:

        def losses(labels, logits):
            return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), axis=1)

    else:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits

    def replica_step(images, labels):
        with tf.GradientTape() as tape:
            # A sum over the replica's part, divided by the global batch: the optimizer adds the
            # replicas' gradients up, and their number does not change the update.
            loss = tf.reduce_sum(losses(labels, model(images, training=True))) / batch
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    @tf.function
    def step(inputs):
        loss = distribution.run(replica_step, args=inputs)
        return distribution.reduce(tf.distribute.ReduceOp.SUM, loss, axis=None)

    return step


def _collect(pending: deque, progress: Progress, title: str) -> None:
    """Reads the losses of the steps that were sent off since the last call."""
    first = progress.step - len(pending) + 1
    for offset, loss in enumerate(pending):
        value = float(loss)
        if not math.isfinite(value):
            raise RsscError(
                f"{title}: the loss is {value} at step {first + offset}: lower --learning-rate, "
                "or use --precision float32"
            )
        progress.losses = [progress.losses[0] + value, progress.losses[1] + 1]
    pending.clear()


def _finish_epoch(epoch: int, progress: Progress, schedule) -> dict:
    row = {
        "epoch": epoch,
        "step": progress.step,
        "learning_rate": float(schedule(progress.step - 1)),
        "loss": progress.losses[0] / progress.losses[1],
    }
    progress.losses = [0.0, 0]
    return row


def _validate(evaluate, records: Path, card: Card, batch: int) -> dict:
    if "val" not in card.splits:
        return {}
    found = predict(evaluate, evaluation_batches(records, card, "val", batch), card.multi_label)
    scores = score(found.probabilities, found.labels, card.multi_label)
    return {f"val_{name}": value for name, value in scores.items()}


def _keep_best(row: dict, progress: Progress, model: keras.Model, card: Card) -> None:
    name = f"val_{headline(card.multi_label)}"
    if name not in row:
        return
    rank = (row[name], -row["val_log_loss"])  # a small split has ties; the surer model wins
    best = progress.best
    if best is None or rank > (best[name], -best["val_log_loss"]):
        progress.best, progress.best_weights = row, snapshot(model)


def _report(
    row: dict, progress: Progress, folder: Path, writer, bar: Bar, title: str, epochs: int
) -> None:
    progress.history.append(row)
    with new_file(folder / "history.csv") as aside:
        pd.DataFrame(progress.history).to_csv(aside, index=False)
    with writer.as_default():
        for name, value in row.items():
            if name not in ("epoch", "step"):
                tf.summary.scalar(name, value, step=row["epoch"])
    writer.flush()
    line = f"{title}: epoch {row['epoch']}/{epochs}  loss {row['loss']:.4f}"
    name = next((key for key in ("val_top1", "val_micro_f1") if key in row), None)
    if name:
        line += f"  validation {display_name(name.removeprefix('val_'))} {row[name]:.4f}"
    bar.print(line)
