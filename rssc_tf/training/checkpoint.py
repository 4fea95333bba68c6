"""Everything that a kill must not lose, in one TensorFlow checkpoint."""

import io
import json
import re
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from rssc_tf.write_errors import writing
from tfrecords_tools.common.errors import DataError, first_line
from tfrecords_tools.common.json_files import parse_json

# The steps of a `WeightAverage`: older versions counted them in int32.
_COUNTER = "average/0/.ATTRIBUTES/VARIABLE_VALUE"


class Progress(tf.train.experimental.PythonState):
    """Where a stage stands.

    Attributes:
        batch: examples in a step; the place in the stream is `step * batch`.
        step: optimizer steps done.
        history: one dict an epoch, with its validation.
        losses: sum and count of the step losses since the last row of the history.
        best: the history row of the best epoch on the validation split, or `None`.
        best_weights: values of that epoch's `model.variables`, tensors or arrays, or `None`.
    """

    def __init__(self, batch: int):
        self.batch = batch
        self.step = 0
        self.history: list[dict] = []
        self.losses = [0.0, 0]
        self.best: dict | None = None
        self.best_weights: Sequence | None = None

    def serialize(self) -> bytes:
        names = ("batch", "step", "history", "losses", "best")
        facts = {name: getattr(self, name) for name in names}
        arrays = {f"{n:05d}": np.array(value) for n, value in enumerate(self.best_weights or [])}
        stream = io.BytesIO()
        np.savez(stream, facts=np.array(json.dumps(facts)), **arrays)
        return stream.getvalue()

    def deserialize(self, string_value: bytes) -> None:
        with np.load(io.BytesIO(string_value), allow_pickle=False) as content:
            for key, value in parse_json(str(content["facts"]), infinite=True).items():
                setattr(self, key, value)
            arrays = [content[name] for name in sorted(content.files) if name != "facts"]
        self.best_weights = arrays or None


class Checkpointer:
    """Saves and restores model, optimizer and progress in a folder; `restore` comes first.

    The variables are listed one by one: `Checkpoint(model=...)` leaves out the state of Keras's
    seed generators, and Dropout would repeat itself after a resume.

    Args:
        folder: for the checkpoints, `ckpt-STEP`.
        model: built keras.Model.
        optimizer: built keras optimizer.
        progress: the `Progress` to save and to restore into.
        keep: how many checkpoints stay, the newest.
        average: of the model's weights, a `WeightAverage`, if there is one.
    """

    def __init__(self, folder: Path, model, optimizer, progress: Progress, keep: int, average=None):
        content = {"model": model.variables, "optimizer": optimizer.variables}
        content = {name: [one.value for one in found] for name, found in content.items()}
        if average:
            content["average"] = list(average.variables)
        self._content = {"progress": progress, **content}
        self._checkpoint = tf.train.Checkpoint(**self._content)
        self._folder, self._progress, self._keep = Path(folder), progress, keep
        self._manager: tf.train.CheckpointManager | None = None

    def save(self) -> None:
        """Writes a checkpoint aside and renames it; the oldest goes.

        Raises:
            RsscError: it cannot be written; those before it are as they were.
        """
        with writing(self._folder):
            if self._manager is None:
                folder = str(self._folder)
                self._manager = tf.train.CheckpointManager(self._checkpoint, folder, self._keep)
            self._manager.save(checkpoint_number=self._progress.step)

    def restore(self, tidy: bool = True) -> bool:
        """Restores the newest checkpoint that is whole, and warns of every newer one.

        Args:
            tidy: whether to remove what a kill left by halves.

        Returns:
            Whether there was a whole one; if not, nothing has been changed.

        Raises:
            RsscError: the checkpoint is of another model.
        """
        steps = _steps(self._folder)
        whole = list(steps)
        while whole and (reason := _damage(self._path(whole[-1]))):
            path = self._path(whole.pop())
            rest = f"the one of step {whole[-1]}" if whole else "the start"
            warnings.warn(f"{path} cannot be read ({reason}): going on from {rest}", stacklevel=2)
        if tidy and steps:
            self._tidy(whole, torn=steps[len(whole) :])
        if not whole:
            return False
        path = self._path(whole[-1])
        try:
            self._restore(path)
        except (tf.errors.OpError, ValueError, AssertionError) as error:
            reason = first_line(error)
            raise DataError(
                f"{path} is of another model ({reason}): remove {self._folder} to begin anew"
            ) from error
        return True

    def _restore(self, path: str) -> None:
        checkpoint, average = self._checkpoint, self._content.get("average")
        types = tf.train.load_checkpoint(path).get_variable_to_dtype_map()
        older = average is not None and types.get(_COUNTER) == tf.int32
        if older:
            steps, *averages = average
            counter = tf.Variable(0, dtype=tf.int32)
            content = self._content | {"average": [counter, *averages]}
            checkpoint = tf.train.Checkpoint(**content)
        checkpoint.restore(path).assert_existing_objects_matched()
        if older:
            steps.assign(tf.cast(counter, steps.dtype))

    def _path(self, step: int) -> str:
        return str(self._folder / f"ckpt-{step}")

    def _tidy(self, whole: list[int], torn: list[int]) -> None:
        """Leaves the whole checkpoints, and a list of them for the manager."""
        for path in self._folder.glob("ckpt-*_temp"):
            shutil.rmtree(path, ignore_errors=True)
        lists = [*self._folder.glob("checkpoint.tmp*"), self._folder / "checkpoint"]
        files = [path for step in torn for path in self._folder.glob(f"ckpt-{step}.*")]
        for path in lists + files:
            path.unlink(missing_ok=True)
        if whole:
            # The manager ignores checkpoints without a time.
            times = {self._path(step): _written(self._path(step)) for step in whole}
            paths = [path for path, time in times.items() if time]
            tf.compat.v1.train.update_checkpoint_state(
                str(self._folder),
                paths[-1],
                paths,
                all_model_checkpoint_timestamps=[times[path] for path in paths],
                last_preserved_timestamp=0.0,
            )


def _steps(folder: Path) -> list[int]:
    """Steps of the checkpoints in a folder, rising: by their files, and by the manager's list."""
    listed = folder / "checkpoint"
    text = listed.read_bytes().decode(errors="replace") if listed.is_file() else ""
    names = [path.name for path in folder.glob("ckpt-*") if not path.is_dir()]
    return sorted({int(step) for step in re.findall(r"ckpt-(\d+)", "\n".join([text, *names]))})


def _written(path: str) -> float | None:
    """When a checkpoint was finished; `None` if it is not there."""
    index = Path(f"{path}.index")
    return index.stat().st_mtime if index.is_file() else None


def _damage(path: str) -> str | None:
    """Why a checkpoint cannot be read, or `None`.

    All of it is read before any of it is restored: a restore that fails half-way leaves a mixture.
    """
    try:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except Exception as error:  # a cut file is an IndexError, a flipped bit a DataLossError, ...
        return first_line(error)
    return None


def snapshot(variables: Sequence) -> list[tf.Tensor]:
    """The values of variables, on the device where they are."""
    return [tf.convert_to_tensor(variable) for variable in variables]


def put_back(variables: Sequence, values: Sequence) -> None:
    """Assigns what `snapshot` took, or arrays like it."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
