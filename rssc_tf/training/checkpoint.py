"""Everything that a kill must not lose, in one TensorFlow checkpoint."""

import io
import json
import logging
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

_KEPT = 2


class Progress(tf.train.experimental.PythonState):
    """Where a stage stands.

    Attributes:
        step: optimizer steps done.
        history: one dict an epoch.
        losses: sum and count of the step losses of the epoch under way.
        best: the history row of the best epoch on the validation split, or `None`.
        best_weights: arrays of that epoch's `model.variables`, or `None`.
    """

    def __init__(self):
        self.step = 0
        self.history: list[dict] = []
        self.losses = [0.0, 0]
        self.best: dict | None = None
        self.best_weights: list[np.ndarray] | None = None

    def serialize(self) -> bytes:
        facts = {key: getattr(self, key) for key in ("step", "history", "losses", "best")}
        arrays = {f"{number:05d}": array for number, array in enumerate(self.best_weights or [])}
        stream = io.BytesIO()
        np.savez(stream, facts=np.array(json.dumps(facts)), **arrays)
        return stream.getvalue()

    def deserialize(self, string_value: bytes) -> None:
        with np.load(io.BytesIO(string_value), allow_pickle=False) as content:
            for key, value in json.loads(str(content["facts"])).items():
                setattr(self, key, value)
            arrays = [content[name] for name in sorted(content.files) if name != "facts"]
        self.best_weights = arrays or None


class Checkpointer:
    """Saves and restores model, optimizer and progress in a folder.

    The variables are listed one by one: `Checkpoint(model=...)` leaves out the state of Keras's
    seed generators, and Dropout would repeat itself after a resume.

    Args:
        folder: for the checkpoints; the newest two are kept.
        model: built keras.Model.
        optimizer: built keras optimizer.
        progress: the `Progress` to save and to restore into.
    """

    def __init__(self, folder: Path, model, optimizer, progress: Progress):
        content = {"model": model.variables, "optimizer": optimizer.variables}
        self._checkpoint = tf.train.Checkpoint(
            progress=progress,
            **{name: [variable.value for variable in found] for name, found in content.items()},
        )
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder), _KEPT)
        self._progress = progress

    def save(self) -> None:
        """Writes a checkpoint aside and renames it; the oldest goes."""
        self._manager.save(checkpoint_number=self._progress.step)

    def restore(self) -> bool:
        """Restores the newest checkpoint that is whole; says whether there was one."""
        found = list(reversed(self._manager.checkpoints))
        for path in found:
            try:
                self._checkpoint.restore(path).assert_existing_objects_matched()
                return True
            except (tf.errors.OpError, ValueError, AssertionError, OSError) as error:
                reason = str(error).splitlines()[0]
                logging.getLogger(__name__).warning("%s cannot be read (%s)", path, reason)
        return False


def snapshot(model: keras.Model) -> list[np.ndarray]:
    """The values of all variables of a model."""
    return [np.array(variable) for variable in model.variables]


def put_back(model: keras.Model, arrays: list[np.ndarray]) -> None:
    """Assigns what `snapshot` took."""
    for variable, array in zip(model.variables, arrays, strict=True):
        variable.assign(array)
