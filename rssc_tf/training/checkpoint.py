"""Everything that a kill must not lose, in one TensorFlow checkpoint."""

import io
import json
import os
import re
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from rssc_tf.literal_paths import literal
from rssc_tf.write_errors import writing
from tfrecords_tools.common.atomic import discard, new_file
from tfrecords_tools.common.errors import DataError, RsscError, first_line
from tfrecords_tools.common.json_files import parse_json
from tfrecords_tools.common.regular_files import (
    MIB,
    BadFile,
    check_readable,
    is_there,
    read_regular,
)

# The steps of a `WeightAverage`: older versions counted them in int32.
_COUNTER = "average/0/.ATTRIBUTES/VARIABLE_VALUE"
_LIST = "checkpoint"  # TensorFlow's list of them, by which `tf.train.latest_checkpoint` goes


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

    def save(self) -> None:
        """Writes a checkpoint aside and renames it; the oldest goes.

        Raises:
            RsscError: it cannot be written; those before it are as they were.
        """
        # Not by a `CheckpointManager`, which takes a folder's name for a pattern where it removes:
        # in `a[b]` those of `ab`.
        step = self._progress.step
        with writing(self._folder):
            self._checkpoint.write(self._path(step))
            others = [one for one in _steps(self._folder) if one != step]
            gone = others[: max(0, len(others) + 1 - self._keep)]
            self._list([*others[len(gone) :], step])
            self._remove(gone)

    def restore(self, tidy: bool = True) -> bool:
        """Restores the newest checkpoint that is whole, and warns of every newer one.

        Args:
            tidy: whether to remove what a kill left by halves.

        Returns:
            Whether there was a whole one; if not, nothing has been changed.

        Raises:
            RsscError: the checkpoint is of another model, or the system does not give it.
        """
        steps = _steps(self._folder)
        whole = list(steps)
        while whole and (reason := _damage(self._folder, whole[-1])):
            path = self._path(whole.pop())
            rest = f"the one of step {whole[-1]}" if whole else "the start"
            warnings.warn(f"{path} cannot be read ({reason}): going on from {rest}", stacklevel=2)
        if tidy and steps:
            self._tidy(whole, torn=steps[len(whole) :])
        if not whole:
            return False
        path = self._path(whole[-1])
        try:
            with literal(self._folder) as folder:
                self._restore(_path(folder, whole[-1]))
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
        # Older ones also count their saves.
        checkpoint.read(path).assert_existing_objects_matched().expect_partial()
        if older:
            steps.assign(tf.cast(counter, steps.dtype))

    def _path(self, step: int) -> str:
        return _path(self._folder, step)

    def _tidy(self, whole: list[int], torn: list[int]) -> None:
        """Leaves the whole checkpoints, and a list of them."""
        for path in self._folder.glob("ckpt-*_temp"):
            shutil.rmtree(path, ignore_errors=True)
        for path in [*self._folder.glob("checkpoint.tmp*"), self._folder / _LIST]:
            discard(path)
        self._remove(torn)
        if whole:
            self._list(whole)

    def _list(self, steps: list[int]) -> None:
        """Writes which checkpoints there are: of one whose files are lost the name is left."""
        lines = [f'model_checkpoint_path: "ckpt-{steps[-1]}"']
        lines += [f'all_model_checkpoint_paths: "ckpt-{step}"' for step in steps]
        with new_file(self._folder / _LIST) as aside:
            aside.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _remove(self, steps: list[int]) -> None:
        for step in steps:
            for path in _files(self._folder, step):
                discard(path)


def _path(folder: Path, step: int) -> str:
    return str(folder / f"ckpt-{step}")


def _files(folder: Path, step: int) -> list[Path]:
    return list(folder.glob(f"ckpt-{step}.*"))  # the folder's own name is no pattern here


def _steps(folder: Path) -> list[int]:
    """Steps of the checkpoints in a folder, rising: by their files, and by the list of them."""
    if not folder.exists():
        return []
    try:
        names = [one.name for one in os.scandir(folder) if not one.is_dir()]
    except OSError as error:  # what is not seen would be begun anew
        raise DataError(f"{folder} cannot be read: {error.strerror or error}") from error
    listed = folder / _LIST
    text = read_regular(listed, MIB).decode(errors="replace") if is_there(listed) else ""
    names = [name for name in names if name.startswith("ckpt-")]
    return sorted({int(step) for step in re.findall(r"ckpt-(\d+)", "\n".join([text, *names]))})


def _damage(folder: Path, step: int) -> str | None:
    """Why a checkpoint cannot be read, or `None`.

    All of it is read before any of it is restored: a restore that fails half-way leaves a mixture.

    Raises:
        DataError: the system does not give it, which is no damage.
    """
    if not _fault(folder, step):
        return None
    for file in _files(folder, step):
        try:
            check_readable(file)
        except BadFile as error:
            mend = "it may be whole, and stays: try again when it can be read"
            raise DataError(f"{error}; {mend}") from error
    return _fault(folder, step)


def _fault(folder: Path, step: int) -> str | None:
    """What TensorFlow says of a checkpoint that it cannot read."""
    with literal(folder) as link:
        try:
            reader = tf.train.load_checkpoint(_path(link, step))
            for name in reader.get_variable_to_shape_map():
                reader.get_tensor(name)
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:
            raise RsscError(f"{_path(folder, step)} takes more memory than there is") from error
        except Exception as error:  # an IndexError of a cut file, DataLossError of a flipped bit
            return first_line(error).replace(str(link), str(folder))
    return None


def snapshot(variables: Sequence) -> list[tf.Tensor]:
    """The values of variables, on the device where they are."""
    return [tf.convert_to_tensor(variable) for variable in variables]


def put_back(variables: Sequence, values: Sequence) -> None:
    """Assigns what `snapshot` took, or arrays like it."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
