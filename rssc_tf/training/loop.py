"""The training loop: one stage from its first step, or from its checkpoint, to its last.

Read from top to bottom. Not `model.fit`, because fit replays part of an epoch after a restore,
forgets Dropout's seeds, and fails across workers.
"""

import math
import time
from collections import deque
from pathlib import Path

from pipelines.records import explain_damage
from rssc_tf.evaluation.not_finite import NotFinite
from rssc_tf.optimization.table import FEW_STEPS
from rssc_tf.settings import checkpoint_interval
from rssc_tf.training.base import Training
from rssc_tf.training.checkpoint import Checkpointer, Progress, put_back
from rssc_tf.training.cluster import Cluster
from rssc_tf.training.epoch_end import EpochEnd
from rssc_tf.training.head_first import fit_head
from rssc_tf.training.interrupts import Interrupts, Stopped
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.progress import progress_bar

# Steps between reads of the losses: a read waits for the device. With several processes it is also
# how often they agree on a signal, and a preempted machine has half a minute.
_FLUSH, _FLUSH_TOGETHER = 32, 4


def train(
    training: Training,
    folder: Path,
    cluster: Cluster,
    title: str,
    rate: str = "learning_rate",
) -> Progress:
    """Trains on the `train` split; leaves the best weights in `training.model`.

    Best is the epoch that the headline of `training.scores` ranks first, where there is one and
    `select` is "best", else the last. The test split is not read. Of several processes only
    the chief validates, writes, and ends with the best weights.

    Args:
        training: built in the scope of the cluster's strategy.
        folder: gets `history.csv`, `checkpoints/` and `tensorboard/`; a checkpoint found there
            is continued.
        cluster: devices and processes.
        title: for the progress bar.
        rate: the setting that the learning rate of the stage is given by.

    Returns:
        The finished `Progress`, with the history.

    Raises:
        NotFinite: the loss is not finite.
        RsscError: the records are damaged, the checkpoint does not fit, a process is lost.
        Stopped: a signal came; the checkpoint is written.
    """
    # --- lengths, and where the checkpoint stands ---
    config, model, assembly = training.config, training.model, training.assembly
    records, examples = training.records.path, training.examples
    batch, last_step = training.batch, training.steps
    epoch_ends = {
        math.ceil((epoch + 1) * examples / batch): epoch + 1 for epoch in range(config.epochs)
    }
    progress = Progress(batch)
    checkpointer = Checkpointer(
        folder / "checkpoints",
        model,
        assembly.optimizer,
        progress,
        config.keep_checkpoints,
        assembly.average,
    )
    with cluster.chief_first():
        resumed = checkpointer.restore(tidy=cluster.chief)
    if config.head_first and not resumed:
        fit_head(model, training.records)
        assembly.begin_average()
    _check_resumed(progress, min(config.batch_size, examples), batch, folder, cluster)
    every_steps, every_seconds = checkpoint_interval(config.checkpoint_every)

    # --- the images: those of the next step, and of the end of an epoch ---
    batches = training.batches(progress.step)
    end_epoch = EpochEnd(training, folder) if cluster.chief else None

    # --- the loop ---
    flush = _FLUSH if cluster.count == 1 else _FLUSH_TOGETHER
    pending: deque = deque()
    saved_at, saved_step = time.monotonic(), progress.step

    def save():
        nonlocal saved_at, saved_step
        _collect(pending, progress, title, rate)
        if cluster.chief:
            checkpointer.save()
        saved_at, saved_step = time.monotonic(), progress.step

    with (
        explain_damage(records),
        Interrupts() as interrupts,
        progress_bar(title, last_step * batch) as bar,
    ):
        if resumed:
            bar.print(f"{title}: going on from step {progress.step} of {last_step}")
            bar(progress.step * batch)
        elif cluster.chief:
            few = ": few; more epochs or smaller batches make more" if last_step < FEW_STEPS else ""
            bar.print(f"{title}: {last_step} steps of {batch} of {examples} images{few}")
        while True:
            # What a step leaves to do comes before the next one, here, so that a checkpoint at
            # the end of an epoch goes on with the validation that a signal cut short.
            epoch = epoch_ends.get(progress.step, 0)
            ended = len(progress.history) < epoch
            flushed = ended or progress.step % flush == 0
            if flushed:
                _collect(pending, progress, title, rate)
            if ended and cluster.chief:
                line = end_epoch(epoch, progress, lambda: bool(interrupts.pending))
                if line:
                    bar.print(f"{title}: {line}")
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
            pending.append(training.take_step(next(batches)))
            progress.step += 1
            bar(batch)
    if progress.best_weights is not None:
        put_back(model.variables, progress.best_weights)
    elif assembly.average:
        assembly.average.keep()
    return progress


def _check_resumed(
    progress: Progress, wanted: int, batch: int, folder: Path, cluster: Cluster
) -> None:
    """Refuses to go on in batches of another size; `wanted` is that which devices round down."""
    if progress.batch != batch:
        fit = [str(n) for n in range(1, wanted + 1) if wanted // n * n == progress.batch][:4]
        raise RsscError(
            f"{folder} was begun in batches of {progress.batch}, on these devices they are of "
            f"{batch}: go on with {' or '.join(fit) or 'other'} devices, or remove it"
        )
    cluster.same(
        progress.step,
        f"worker {{worker}} reads another checkpoint in {folder} than the chief: it must be on "
        "a file system that all workers share",
    )


def _collect(pending: deque, progress: Progress, title: str, rate: str = "learning_rate") -> None:
    """Reads the losses of the steps that were sent off since the last call."""
    first = progress.step - len(pending) + 1
    for offset, loss in enumerate(pending):
        value = float(loss)
        if not math.isfinite(value):
            raise NotFinite(
                f"{title}: the loss is {value} at step {first + offset}: lower `{rate}`, or use "
                "`precision='float32'`"
            )
        progress.losses = [progress.losses[0] + value, progress.losses[1] + 1]
    pending.clear()
