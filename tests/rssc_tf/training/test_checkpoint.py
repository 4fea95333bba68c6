"""Checkpoints: all of the state, the newest kept, and torn ones passed over with a warning."""

import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

from rssc_tf.training import checkpoint
from rssc_tf.training.checkpoint import Checkpointer, Progress
from tests.rights import not_given
from tfrecords_tools.common.errors import DataError, RsscError


def _make(folder: Path, keep: int = 2, units: int = 3):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
    model.add(keras.layers.Dense(units, kernel_initializer="ones"))
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    progress = Progress(batch=8)
    return model, progress, Checkpointer(folder, model, optimizer, progress, keep)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Checkpoints of the steps 2, 4 and 6, of which two are kept; all weights are the step."""
    model, progress, checkpointer = _make(tmp_path / "checkpoints")
    assert not checkpointer.restore()
    for step in (2, 4, 6):
        progress.step, progress.history = step, [{"epoch": step, "loss": 0.1 + step}]
        progress.best_weights = [np.full(3, step, np.float32)]
        model.layers[-1].kernel.assign(np.full((4, 3), step))
        checkpointer.save()
    return tmp_path / "checkpoints"


def _restored(folder: Path, keep: int = 2) -> tuple[int | None, list[str], Checkpointer]:
    """The step at which a new process goes on (`None`: from the start), and its warnings."""
    model, progress, checkpointer = _make(folder, keep)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = checkpointer.restore()
    kernel = np.array(model.layers[-1].kernel)
    if found:
        assert progress.history == [{"epoch": progress.step, "loss": 0.1 + progress.step}]
        np.testing.assert_array_equal(progress.best_weights[0], progress.step)
        np.testing.assert_array_equal(kernel, progress.step)
    else:
        assert (progress.step, progress.history, progress.best_weights) == (0, [], None)
        np.testing.assert_array_equal(kernel, 1)
    texts = [str(warning.message) for warning in caught]
    assert all(len(text.splitlines()) == 1 for text in texts)
    return progress.step if found else None, texts, checkpointer


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


DATA, INDEX, LIST = "ckpt-6.data-00000-of-00001", "ckpt-6.index", "checkpoint"
DAMAGES = {
    "data cut": lambda folder: _cut(folder / DATA),
    "data flipped": lambda folder: _flip(folder / DATA),
    "data empty": lambda folder: (folder / DATA).write_bytes(b""),
    "data gone": lambda folder: (folder / DATA).unlink(),
    "index cut": lambda folder: _cut(folder / INDEX),
    "index flipped": lambda folder: _flip(folder / INDEX),
    "index empty": lambda folder: (folder / INDEX).write_bytes(b""),
    "index gone": lambda folder: (folder / INDEX).unlink(),
    "both gone": lambda folder: [(folder / name).unlink() for name in (DATA, INDEX)],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_torn_newest_one_falls_back_to_the_one_before(damage, folder):
    DAMAGES[damage](folder)
    step, warned, checkpointer = _restored(folder)
    assert step == 4
    assert len(warned) == 1
    assert f"{folder}/ckpt-6 cannot be read" in warned[0]
    assert "going on from the one of step 4" in warned[0]
    # It goes on as if the torn one had never been, and a third process sees nothing of it.
    checkpointer._progress.step = 5
    checkpointer._progress.history = [{"epoch": 5, "loss": 5.1}]
    checkpointer.save()
    assert sorted(path.name for path in folder.glob("*.index")) == ["ckpt-4.index", "ckpt-5.index"]
    assert not _restored_warnings(folder)


def _restored_warnings(folder: Path) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert _make(folder)[2].restore()
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    "content", [None, b"", b"model_check", b'model_checkpoint_path: "ckpt-', b"\xff\x00\x80"]
)
def test_a_torn_list_of_checkpoints_loses_none(content, folder):
    (folder / LIST).unlink()
    if content is not None:
        (folder / LIST).write_bytes(content)
    (folder / "checkpoint.tmp0123").write_text("a kill left this")
    step, warned, checkpointer = _restored(folder)
    assert (step, warned) == (6, [])
    assert not (folder / "checkpoint.tmp0123").exists()
    checkpointer._progress.step = 8
    checkpointer.save()
    assert sorted(path.name for path in folder.glob("*.index")) == ["ckpt-6.index", "ckpt-8.index"]


def test_nothing_readable_is_the_start_again(folder):
    for path in folder.glob("ckpt-*.data*"):
        _cut(path)
    step, warned, checkpointer = _restored(folder)
    assert step is None
    assert len(warned) == 2
    assert "going on from the one of step 4" in warned[0]
    assert "going on from the start" in warned[1]
    checkpointer._progress.step = 2
    checkpointer.save()
    assert [path.name for path in folder.glob("*.index")] == ["ckpt-2.index"]


def _save(folder: Path, steps: tuple[int, ...]) -> None:
    _, progress, checkpointer = _make(folder)
    checkpointer.restore()
    for progress.step in steps:
        checkpointer.save()


@pytest.mark.parametrize("name", ["run [1]", "a*", "wh?t", "back\\slash"])
def test_a_name_that_is_a_pattern(name, tmp_path, folder):
    folder = folder.rename(tmp_path / name)
    assert _restored(folder)[:2] == (6, [])
    _cut(folder / DATA)
    step, warned, _ = _restored(folder)
    assert (step, len(warned)) == (4, 1) and f"{folder}/ckpt-6 cannot be read" in warned[0]
    assert "rssc-tf-" not in warned[0]  # the link that it was read by
    _save(folder, (7, 8, 9))
    assert sorted(path.name for path in folder.glob("*.index")) == ["ckpt-8.index", "ckpt-9.index"]


def test_neighbours_that_the_name_would_match_keep_theirs(tmp_path):
    _save(tmp_path / "exp2", (10, 20))
    before = sorted((tmp_path / "exp2").iterdir())
    _save(tmp_path / "exp[2]", (10, 20, 30, 40))
    assert sorted((tmp_path / "exp2").iterdir()) == before


@pytest.mark.parametrize("name", [DATA, INDEX])
def test_what_the_system_does_not_give_is_not_damaged(name, folder, monkeypatch):
    before = sorted(folder.iterdir())
    _cut(folder / name)  # for TensorFlow, which root may have read anything
    not_given(monkeypatch, folder / name)
    with pytest.raises(DataError, match=f"{name}: cannot be read: Permission denied; .* stays"):
        _make(folder)[2].restore()
    assert sorted(folder.iterdir()) == before


def test_an_error_that_passes_is_no_damage(folder, monkeypatch):
    errors, load = [OSError("stale")], checkpoint.tf.train.load_checkpoint

    def loaded(path):
        if errors:
            raise errors.pop()
        return load(path)

    monkeypatch.setattr(checkpoint.tf.train, "load_checkpoint", loaded)
    assert _restored(folder)[:2] == (6, [])


def test_what_takes_too_much_memory_is_not_damaged(folder, monkeypatch):
    before = sorted(folder.iterdir())

    def loaded(path):
        raise MemoryError

    monkeypatch.setattr(checkpoint.tf.train, "load_checkpoint", loaded)
    with pytest.raises(RsscError, match="ckpt-6 takes more memory than there is"):
        _make(folder)[2].restore()
    assert sorted(folder.iterdir()) == before


def test_what_a_kill_left_while_saving_is_removed(folder):
    (folder / "ckpt-8_temp").mkdir()
    (folder / "ckpt-8_temp" / "part-00000-of-00001.index").write_bytes(b"half")
    step, warned, _ = _restored(folder)
    assert (step, warned) == (6, [])
    assert not (folder / "ckpt-8_temp").exists()


@pytest.mark.parametrize("keep", [1, 3])
def test_the_newest_are_kept(keep, folder):
    _, _, checkpointer = _restored(folder, keep)
    for step in (7, 8, 9):
        checkpointer._progress.step = step
        checkpointer.save()
    assert len(list(folder.glob("*.index"))) == len(list(folder.glob("*.data*"))) == keep
    assert (folder / "ckpt-9.index").is_file()


def test_a_checkpoint_of_another_model_is_no_start(folder):
    _, _, checkpointer = _make(folder, units=5)
    with pytest.raises(RsscError, match="ckpt-6 is of another model"):
        checkpointer.restore()


def test_seeds_of_dropout_are_part_of_it(tmp_path):
    model, _, checkpointer = _make(tmp_path)
    checkpointer.restore()
    images = np.ones((2, 4), np.float32)
    checkpointer.save()
    after = [np.array(model(images, training=True)) for _ in range(2)]
    other, _, resumed = _make(tmp_path)
    assert resumed.restore()
    for expected in after:
        np.testing.assert_array_equal(np.array(other(images, training=True)), expected)
