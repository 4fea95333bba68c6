"""The end of an epoch: its scores, the best weights so far, `history.csv` and TensorBoard."""

from collections.abc import Callable
from pathlib import Path

import keras
import pandas as pd
import tensorflow as tf

from rssc_tf.training.base import Training
from rssc_tf.training.checkpoint import Progress, snapshot
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.csv_files import write_csv


class EpochEnd:
    """Call it after the last step of an epoch.

    Args:
        training: the stage.
        folder: gets `history.csv` and `tensorboard/`.
    """

    def __init__(self, training: Training, folder: Path):
        self._training, self._folder = training, folder
        self._scores = training.scores()
        self._writer = tf.summary.create_file_writer(str(folder / "tensorboard"))

    def __call__(self, epoch: int, progress: Progress, stopping: Callable[[], bool]) -> str | None:
        """Adds the epoch to the progress and its history.

        Args:
            epoch: number, from 1.
            progress: its losses, of at least one step, are used up.
            stopping: asked before every batch of what is looked at.

        Returns:
            A line for people, or `None` if it was stopped; then nothing has changed.
        """
        with self._training.assembly.averaged():
            return self._end(epoch, progress, stopping)

    def _end(self, epoch: int, progress: Progress, stopping: Callable[[], bool]) -> str | None:
        scores = self._scores(epoch, stopping)
        if scores is None:
            return None
        assembly = self._training.assembly
        # Steps whose gradients overflow in float16 move nothing, the schedule neither.
        moved = int(keras.ops.convert_to_numpy(assembly.optimizer.iterations))
        row = {
            "epoch": epoch,
            "step": progress.step,
            "learning_rate": float(assembly.schedule(max(moved - 1, 0))),
            "loss": progress.losses[0] / progress.losses[1],
            **scores,
        }
        progress.history.append(row)
        progress.losses = [0.0, 0]
        self._keep_best(row, progress)
        self._write(row, progress.history)
        line = f"epoch {epoch}/{self._training.config.epochs}  loss {row['loss']:.4f}"
        return f"{line}  {self._scores.in_words(row)}".rstrip()

    def _keep_best(self, row: dict, progress: Progress) -> None:
        if self._scores.headline not in row or self._training.config.select == "last":
            return
        best = progress.best
        if best is None or self._scores.rank(row) > self._scores.rank(best):
            progress.best, progress.best_weights = row, snapshot(self._training.model.variables)

    def _write(self, row: dict, history: list[dict]) -> None:
        with new_file(self._folder / "history.csv") as aside:
            write_csv(pd.DataFrame(history), aside)
        with self._writer.as_default():
            for name, value in row.items():
                if name not in ("epoch", "step"):
                    tf.summary.scalar(name, value, step=row["epoch"])
        self._writer.flush()
