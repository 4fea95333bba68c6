"""What lies damaged in the cache is told in one line and made again, and stands in nobody's way."""

import json
import os
import shutil
import zipfile
from types import SimpleNamespace

import pytest

from rssc_tf.cache import check_seal, file_name, key_of
from rssc_tf.evaluation.features import feature_file
from rssc_tf.runs import read_metrics
from rssc_tf.training import stages
from rssc_tf.training.cluster import Cluster
from rssc_tf.training.distribution import get_distribution
from rssc_tf.training.kept_rounds import discard_damaged, folder_of
from rssc_tf.weights.initial import Initial
from tests.lanes import slow
from tests.rights import not_given
from tests.signals import TERM, signal_at
from tests.tiny import SMALL
from tfrecords_tools.common.errors import DataError, MissingExtra
from tfrecords_tools.records.card import read_card


@pytest.fixture(scope="module")
def cached(records, tmp_path_factory):
    """A cache with a source round and its leaks, and the command that made them."""
    from rssc_tf.cli import main

    base = tmp_path_factory.mktemp("cached")
    words = ["train", "--strategy", "in-domain", "--target", records, "--source", records]
    words = [*map(str, words), *SMALL[:-1], "1", "--source-epochs", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RSSC_TF_CACHE", str(base / "cache"))
        assert main([*words, "--out", str(base / "first")]) == 0
    return base, words


@pytest.fixture
def cache(cached, tmp_path, monkeypatch):
    """A copy of that cache; its round and its leaks."""
    shutil.copytree(cached[0] / "cache", tmp_path / "cache")
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    (folder,) = (path for path in (tmp_path / "cache" / "source-rounds").iterdir())
    (leaks,) = (tmp_path / "cache" / "leaks").glob("*.json")
    return folder, leaks


def _cut(path):
    os.truncate(path, path.stat().st_size // 2)


def _folder(path):
    path.unlink()
    (path / "x").mkdir(parents=True)


def _fifo(path):
    path.unlink()
    os.mkfifo(path)


def _other(path):
    """A whole archive, but another one."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"another"


def _unsealed(change):
    def damage(path):
        path.with_name(f"{path.name}.sha256").unlink()  # as earlier releases left it
        change(path)

    return damage


DAMAGE = {
    "cut": ("model.keras", _cut),
    "cut, not sealed": ("model.keras", _unsealed(_cut)),
    "empty": ("model.keras", lambda path: path.write_bytes(b"")),
    "another": ("model.keras", _other),
    "folder": ("model.keras", _folder),
    "fifo": ("model.keras", _fifo),
    "gone": ("model.keras", lambda path: path.unlink()),
    "settings": ("config.yaml", _cut),
    "settings of another kind": ("config.yaml", lambda path: path.write_text("epochs: many")),
    "card": ("dataset.json", lambda path: path.write_text("[")),
    "metrics": ("metrics.json", lambda path: path.write_text("{")),
    "metrics, folder": ("metrics.json", _folder),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_round_is_removed(cache, name):
    folder, _ = cache
    file, damage = DAMAGE[name]
    discard_damaged(folder)
    assert (folder / "metrics.json").is_file()  # a whole one stays
    damage(folder / file)
    with pytest.warns(UserWarning, match="is damaged .*: making it again") as caught:
        discard_damaged(folder)
    assert len(caught) == 1 and "\n" not in str(caught[0].message)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["model.keras", "model.keras.sha256", "config.yaml"])
def test_a_round_that_the_system_does_not_give_stays(cache, name, monkeypatch):
    folder, _ = cache
    before = sorted(folder.rglob("*"))
    not_given(monkeypatch, folder / name)
    what = f"{name}: cannot be read: Permission denied; it may be whole, and stays"
    with pytest.raises(DataError, match=what):
        discard_damaged(folder)
    assert sorted(folder.rglob("*")) == before


def test_leaks_that_the_system_does_not_give_stay(cached, cache, cli, tmp_path, monkeypatch):
    _, words = cached
    _, leaks = cache
    before = leaks.read_bytes()
    not_given(monkeypatch, leaks)
    code, _, err = cli(*words, "--out", tmp_path / "again")
    line = err.strip().splitlines()[-1]
    assert code == 1 and f"{leaks}: cannot be read: Permission denied" in line, err
    assert "RSSC_TF_CACHE names another folder" in line
    assert leaks.read_bytes() == before and not (tmp_path / "again").exists()


def test_a_file_in_the_place_of_a_round(cache):
    folder, _ = cache
    shutil.rmtree(folder)
    folder.write_text("x")
    with pytest.warns(UserWarning, match="it is no folder"):
        discard_damaged(folder)
    assert not folder.exists()


def test_a_model_of_something_else(cache, trained):
    import keras

    folder, _ = cache
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(folder / "model.keras")
    (folder / "model.keras.sha256").unlink()
    with pytest.warns(UserWarning, match="has no layer 'backbone'"):
        discard_damaged(folder)


def test_a_round_of_a_library_that_is_not_installed_stays(tmp_path, monkeypatch):
    """Those of 0.1 with a ResNet of KerasHub; `[hub]` makes them readable again."""
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", '{"module": "keras_hub.src.models.resnet"}')
        archive.writestr("model.weights.h5", b"")
    (tmp_path / "metrics.json").write_text('{"accuracy": 1.0}')
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr("rssc_tf.weights.files.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"KerasHub, needs an extra: .*\[hub\]"):
        discard_damaged(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def _metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_training_goes_on_from_a_damaged_cache(cached, cache, cli, tmp_path):
    base, words = cached
    folder, leaks = cache
    _cut(folder / "model.keras")
    leaks.write_text("[")
    code, _, err = cli(*words, "--out", tmp_path / "again")
    assert code == 0, err
    lines = [line for line in err.splitlines() if "in the cache is damaged" in line]
    assert len(lines) == 2 and str(leaks) in lines[0] and str(folder) in lines[1], err
    assert all(line.endswith("making it again") for line in lines)
    assert json.loads(leaks.read_text()) and check_seal(leaks) is None
    check_seal(folder / "model.keras")
    assert _metrics(tmp_path / "again") == _metrics(base / "first")
    assert not list((tmp_path / "cache").rglob(".*"))  # no lock, nothing written aside


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_text('{"a": 1}'), id="no list"),
        slow(lambda path: path.write_text("[1]"), id="no ids"),
        slow(lambda path: path.write_text("[" * 5000), id="deep"),
        pytest.param(lambda path: path.write_text("[]"), id="another list"),
        slow(_folder, id="folder"),
        pytest.param(_fifo, id="fifo"),
    ],
)
def test_damaged_leaks_are_searched_again(cache, records, damage):
    from rssc_tf.records import Records
    from rssc_tf.training.source_leaks import leaked_ids

    _, leaks = cache
    whole, own = json.loads(leaks.read_text()), Records(records)
    assert len(whole) == 12  # the target's own test split
    damage(leaks)
    with pytest.warns(UserWarning, match="making it again"):
        assert leaked_ids(own, own, excluded=True) == (whole, 0)
    assert json.loads(leaks.read_text()) == whole


def test_draws_of_a_target_share_the_leaks(cache, records, tmp_path, monkeypatch):
    from rssc_tf.records import Records
    from rssc_tf.training import source_leaks
    from tfrecords_tools.subset import write_subset

    draws = [tmp_path / str(draw) for draw in range(2)]
    for draw, folder in enumerate(draws):
        write_subset(records, folder, shots=2, draw=draw)
    cards = {Records(folder).card.sha256 for folder in draws} | {Records(records).card.sha256}
    assert len(cards) == 3
    monkeypatch.setattr(source_leaks, "find_leaks", None)  # what is in the cache must do
    for folder in draws:
        found = source_leaks.leaked_ids(Records(records), Records(folder), excluded=True)
        assert (len(found[0]), found[1]) == (12, 0)


def test_weights_are_known_by_their_content(trained, records, cli, tmp_path, monkeypatch):
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    shutil.copytree(trained, tmp_path / "one")
    words = ("train", "--strategy", "dap", "--target", records, "--source", records, *SMALL[:-1], 1)
    words = (*words, "--source-epochs", 1, "--out")
    with monkeypatch.context() as patch:  # the key of earlier versions
        patch.setattr(Initial, "definition", property(lambda self: self.provenance))
        signal_at(patch, stages, "_trained_backbone", 1, TERM)
        assert cli(*words, tmp_path / "run", "--weights", tmp_path / "one")[0] == 143
    code, _, err = cli(*words, tmp_path / "another", "--weights", tmp_path / "one")
    assert (code, "source round: found in" in err) == (0, True), err
    # Under another name they are the same, for a run that goes on too.
    (tmp_path / "one").rename(tmp_path / "two")
    code, _, err = cli(*words, tmp_path / "run", "--weights", tmp_path / "two")
    assert (code, "source round: found in" in err) == (0, False), err
    (tmp_path / "two").rename(tmp_path / "three")
    code, _, err = cli(*words, tmp_path / "third", "--weights", tmp_path / "three")
    assert (code, "source round: found in" in err) == (0, True), err
    found = [read_metrics(tmp_path / run)["log_loss"] for run in ("another", "run", "third")]
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("resnet50", "resnet50"),
        ("hub:vit_base", "hub-vit_base"),
        ("hub:../../../presets/vit", "vit"),
        ("hub:hf://keras/vit", "vit"),
        ("hub:C:\\presets\\vit", "vit"),
        ("hub:/presets/vit/", "vit"),
    ],
)
def test_a_backbone_is_one_part_of_a_path(name, part, tmp_path, monkeypatch, records):
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path))
    assert file_name(name) == part
    alone = Cluster(get_distribution("none"))
    folder = folder_of("set", name, {"a": 1}, {"a": 0}, alone)
    assert folder == tmp_path / "source-rounds" / f"set-{part}-{key_of({'a': 1})}"
    file = feature_file({"backbone": name}, read_card(records), "val")
    assert (file.parent, f"-val-{part}-" in file.name) == (tmp_path / "features", True)


def test_the_chief_finds_the_folder_of_a_round(tmp_path, monkeypatch):
    """A process that looks later may find it removed, or begun."""
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path))
    rounds, now, then = tmp_path / "source-rounds", {"a": 1}, {"a": 0}
    for older in (True, False):
        found = SimpleNamespace(from_chief=lambda mine, older=older: older)
        expected = rounds / f"set-tiny-{key_of(then if older else now)}"
        assert folder_of("set", "tiny", now, then, found) == expected


def test_a_round_is_sealed_before_it_is_finished(cached, cache, cli, tmp_path, monkeypatch):
    folder, _ = cache
    _, words = cached
    for name in ("metrics.json", "model.keras.sha256"):
        (folder / name).unlink()
    with monkeypatch.context() as patch:
        signal_at(patch, stages, "evaluate_run", 1, TERM)
        assert cli(*words, "--out", tmp_path / "run")[0] == 143
    assert (folder / "model.keras.sha256").is_file() and check_seal(folder / "model.keras") is None
    assert not (folder / "metrics.json").exists()


def test_a_cache_that_cannot_be_written(tmp_path):
    from rssc_tf.cache import keep

    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match=r"RSSC_TF_CACHE names another folder") as caught:
        keep(tmp_path / "cache" / "leaks" / "x.json", lambda path: path.write_text("[]"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["~nobody-of-this-name/cache", "gs://bucket/cache"])
def test_a_cache_that_is_nowhere(where, cached, cli, tmp_path, monkeypatch):
    monkeypatch.setenv("RSSC_TF_CACHE", where)
    code, _, err = cli(*cached[1], "--out", tmp_path / "run")
    line = err.strip().splitlines()[-1]
    assert (code, "Traceback" in err) == (1, False), err
    assert f"the cache {where} cannot be found" in line
    assert line.endswith("set RSSC_TF_CACHE to a folder")


def test_stages_of_an_unfinished_run_that_are_cut(cached, cli, tmp_path, monkeypatch):
    base, words = cached
    shutil.copytree(base / "first", tmp_path / "run")
    shutil.copytree(base / "cache", tmp_path / "cache")
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    for name in ("metrics.json", "model.keras"):
        (tmp_path / "run" / name).unlink()
    for text in ("[", '{"a": 1}', "[1]", "[" * 9999, "[NaN]"):
        (tmp_path / "run" / "stages.json").write_text(text)
        code, _, err = cli(*words, "--out", tmp_path / "run")
        line = err.strip().splitlines()[-1]
        assert code == 1 and "stages.json" in line and "Traceback" not in err, err
    (tmp_path / "run" / "stages.json").unlink()  # as the line says
    assert cli(*words, "--out", tmp_path / "run")[0] == 0
