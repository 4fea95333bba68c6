"""Features: what they are, when two are the same, and how they are kept."""

import random
import re
import threading
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.stream import evaluation_batches
from rssc_tf import cache as cache_module
from rssc_tf.cache import find, keep, key_of, seal
from rssc_tf.evaluation import features as module
from rssc_tf.models.backbones import BACKBONES
from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.normalization import Normalization
from rssc_tf.models.precision import dtype_policy
from rssc_tf.probing import encoder
from rssc_tf.probing.encoder import open_encoder
from rssc_tf.probing.features import (
    Features,
    extract_features,
    feature_file,
    kept_features,
)
from rssc_tf.records import Records
from rssc_tf.runs import load_model
from rssc_tf.weights.digest import weights_sha256
from rssc_tf.weights.files import save_weights
from tests.rights import not_given
from tests.tiny import SMALL, _build
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.locks import sole_writer
from tfrecords_tools.records.card import read_card

OWN = {"backbone": "tiny", "image_size": 32}


@pytest.fixture(scope="module")
def card(records):
    return read_card(records)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _assert_same(one: Features, two: Features) -> None:
    for name, array, other in zip(Features._fields, one, two, strict=True):
        np.testing.assert_array_equal(array, other, err_msg=name)
        assert array.dtype == other.dtype, name


def test_features_are_what_the_classifiers_head_sees(trained, records, card):
    model = load_model(trained)
    found = extract_features(model, Records(records, card), "test")
    assert found.values.shape == (12, 16)
    assert found.values.dtype == np.float32
    images, labels, ids = next(iter(evaluation_batches(records, card, "test", 12)))
    np.testing.assert_array_equal(found.labels, labels)
    assert list(found.ids) == [name.decode() for name in ids.numpy()]
    kernel, bias = model.get_layer("logits").get_weights()
    logits = model(images, training=False).numpy()
    np.testing.assert_allclose(found.values @ kernel + bias, logits, atol=1e-5)


def test_labels_of_a_multi_label_set(multi_records):
    card = read_card(multi_records)
    encoder = open_encoder("random", Records(multi_records), **OWN)
    found = extract_features(encoder.model, Records(multi_records), "val")
    assert found.labels.shape == (card.splits["val"].examples, 3)
    assert tuple(found.labels.sum(axis=0)) == card.splits["val"].class_counts


def test_a_second_computation_has_the_same_bits(records, card):
    first, second = (
        extract_features(
            open_encoder("random", Records(records, card), **OWN).model,
            Records(records, card),
            "train",
        )
        for _ in range(2)
    )
    _assert_same(first, second)


def test_what_makes_features_the_same(trained, records, card, cli, tmp_path):
    run = open_encoder(trained, Records(records, card))
    assert run.definition["image_size"] == 32
    assert (
        run.definition == open_encoder(trained / "model.keras", Records(records, card)).definition
    )
    weights = tmp_path / "other name.weights.h5"
    assert cli("weights", "import", trained, "--out", weights)[0] == 0
    assert run.definition == open_encoder(weights, Records(records, card), image_size=32).definition
    # A subset of the training images, as learning curves have it, shares the test split.
    subset = replace(card, splits={**card.splits, "train": card.splits["val"]}, made={})
    assert feature_file(run, subset, "test") == feature_file(run, card, "test")
    assert feature_file(run, subset, "train") != feature_file(run, card, "train")


def test_what_makes_features_others(records, card):
    encoders = [
        open_encoder("random", Records(records, card), **{**OWN, **change})
        for change in (
            {},
            {"seed": 1},
            {"image_size": 40},
            {"precision": "mixed_bfloat16"},
            {"normalization": "lite"},
            {"backbone": "tiny_without_dropout"},
            {"views": 1},
        )
    ]
    files = {feature_file(encoder, card, "test") for encoder in encoders}
    files.add(feature_file(encoders[0], replace(card, size=64), "test"))
    files.add(feature_file(encoders[0], card, "val"))
    assert len(files) == 9


def test_every_weight_counts(records, card):
    model = open_encoder("random", Records(records, card), **OWN).model
    before = weights_sha256(model)
    model.get_layer("logits").bias.assign_add([1.0])  # the head does not
    assert weights_sha256(model) == before
    variable = model.get_layer("backbone").weights[-1]
    variable.assign_add(np.full(variable.shape, 1e-6))
    assert weights_sha256(model) != before


def test_features_are_kept_and_found(records, card, cache, capsys):
    encoder = open_encoder("random", Records(records, card), **OWN)
    first = kept_features(encoder, Records(records, card), "test")
    file = feature_file(encoder, card, "test")
    assert file.is_relative_to(cache)
    assert f"kept in {file}" in capsys.readouterr().err
    without_model = replace(encoder, build=None)
    _assert_same(first, kept_features(without_model, Records(records, card), "test"))
    assert f"found in {file}" in capsys.readouterr().err
    assert [path.name for path in cache.rglob("*.npz")] == [file.name]


def test_where_all_is_kept_no_network_is_built(trained, records, card, cache, cli, monkeypatch):
    words = ("probe", trained, "--target", records, "--overwrite", "--out", cache / "probe")
    first = cli(*words)
    (definition,) = (cache / "encoders").glob("*.json")
    monkeypatch.setattr("rssc_tf.probing.network.load_run", None)
    assert cli(*words)[:2] == first[:2] == (0, first[1])
    fresh = open_encoder(trained, Records(records, card))
    definition.write_text("{}")
    monkeypatch.undo()
    monkeypatch.setenv("RSSC_TF_CACHE", str(cache))
    with pytest.warns(UserWarning, match="is damaged .*: making it again"):
        assert open_encoder(trained, Records(records, card)).definition == fresh.definition


def test_who_reads_while_another_process_writes_waits_for_the_seal(tmp_path, recwarn, monkeypatch):
    file, begun, seen = tmp_path / "x.json", threading.Event(), threading.Event()
    keep(file, lambda aside: aside.write_text("old"))

    def replace_it():
        with sole_writer(file):
            file.write_text("new")  # and its seal is that of the old
            begun.set()
            seen.wait(30)
            seal(file)

    def look(file):
        try:
            check_seal(file)
        finally:
            seen.set()

    check_seal = cache_module.check_seal
    monkeypatch.setattr(cache_module, "check_seal", look)
    writer = threading.Thread(target=replace_it)
    writer.start()
    begun.wait()
    assert find(file, Path.read_text) == "new"
    writer.join()
    assert not recwarn.list
    file.write_text("another")
    with pytest.warns(UserWarning, match="is damaged"):
        assert find(file, Path.read_text) is None
    assert not list(tmp_path.iterdir())


def test_what_is_gone_before_it_is_sealed_ends_nothing(tmp_path, monkeypatch):
    """A reader of an older version took the new file for a damaged one."""
    file = tmp_path / "x.json"

    @contextmanager
    def gone_at_once(path):
        with new_file(path) as aside:
            yield aside
        if path == file:
            path.unlink()

    monkeypatch.setattr(cache_module, "new_file", gone_at_once)
    keep(file, lambda aside: aside.write_text("new"))
    monkeypatch.undo()
    assert find(file, Path.read_text) is None
    keep(file, lambda aside: aside.write_text("new"))
    assert find(file, Path.read_text) == "new"


def test_the_key_of_facts():
    """That of every release: what is in a cache is found again."""
    assert key_of({"b": [1, None], "a": "\u00e9"}) == key_of({"a": "\u00e9", "b": (1, None)})
    assert key_of({"b": [1, None], "a": "\u00e9"}, 24) == "8920de3941419361f145cefb"


def test_a_guess_is_said_each_time_however_quiet_the_first(records, card, cache, tmp_path):
    file = tmp_path / "theirs.weights.h5"
    BACKBONES["tiny"].build(False).save_weights(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as PYTHONWARNINGS has it
        open_encoder(file, Records(records, card), **OWN)
    for _ in range(2):
        with pytest.warns(UserWarning, match="does not say how its images were normalised"):
            open_encoder(file, Records(records, card), **OWN)


def test_the_content_of_a_preset_counts_wherever_its_name_comes_from(
    records, card, cache, tmp_path, monkeypatch
):
    preset, seen, names = tmp_path / "preset", [], []
    preset.mkdir()
    (preset / "config.json").write_text("{}")
    theirs, ours = tmp_path / "theirs.weights.h5", tmp_path / "ours.weights.h5"
    BACKBONES["tiny"].build(False).save_weights(theirs)
    save_weights(ours, BACKBONES["tiny"].build(False), {"backbone": f"hub:{preset}"})

    def note(name, file, known, *_):
        seen.append(known)
        names.append(name)
        return SimpleNamespace(definition={})

    monkeypatch.setattr(encoder, "_encoder", note)
    sized = {"image_size": 32}
    for _ in range(2):
        open_encoder("imagenet", Records(records, card), backbone=f"hub:{preset}", **sized)
        open_encoder(theirs, Records(records, card), backbone=f"hub:{preset}", **sized)
        open_encoder(ours, Records(records, card), **sized)
        (preset / "config.json").write_text("[]")
    for before, after in zip(seen[:3], seen[3:], strict=True):
        assert before["preset"] != after["preset"]
    assert names[0] == names[3] == "imagenet-preset"  # no path, which a default folder would follow


def test_views_are_of_features(records, card):
    own = {name: open_encoder("random", Records(records), **OWN, views=name) for name in (1, 8)}
    assert own[8].definition == own[1].definition | {"views": 8}
    one, eight = (
        extract_features(encoder.model, Records(records, card), "train", views=views)
        for views, encoder in own.items()
    )
    np.testing.assert_array_equal(one.ids, eight.ids)
    np.testing.assert_array_equal(one.labels, eight.labels)
    assert one.values.shape == eight.values.shape
    assert not np.allclose(one.values, eight.values, rtol=0.001)


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _bad_values(first):
    """Whole archives whose content no features are."""
    same = {"ids": first.ids, "labels": first.labels}
    count = len(first.values[0])
    yield f"({count} images, not {len(first.ids)})", same | {"values": first.values[0]}
    yield "it holds values that are no features", same | {"values": first.values[:, 0]}
    yield "it holds ids, labels, x", same | {"x": first.values}
    objects = np.array([{}] * len(first.ids), object)
    yield (
        "it holds Python objects",
        {"ids": objects, "labels": first.labels, "values": first.values},
    )


def test_an_archive_of_something_else_is_computed_again(records, card, cache):
    encoder = open_encoder("random", Records(records, card), **OWN)
    first = kept_features(encoder, Records(records, card), "val")
    file = feature_file(encoder, card, "val")
    file.with_name(f"{file.name}.sha256").unlink()
    for why, arrays in _bad_values(first):
        np.savez(file, **arrays)
        file.with_name(f"{file.name}.sha256").unlink(missing_ok=True)
        with pytest.warns(UserWarning, match=f"is damaged .*{re.escape(why)}.*: making it again"):
            _assert_same(first, kept_features(encoder, Records(records, card), "val"))
    file.unlink()
    (file / "folder").mkdir(parents=True)
    with pytest.warns(UserWarning, match="is a folder, not a regular file"):
        _assert_same(first, kept_features(encoder, Records(records, card), "val"))
    assert file.is_file()


@pytest.mark.parametrize(
    "damage",
    [_flip, lambda data: data[:-100], lambda data: b"", lambda data: b"no features"],
    ids=["one bit", "cut", "empty", "other content"],
)
def test_a_damaged_file_is_computed_again(damage, records, card, cache):
    encoder = open_encoder("random", Records(records, card), **OWN)
    first = kept_features(encoder, Records(records, card), "val")
    file = feature_file(encoder, card, "val")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    with pytest.warns(UserWarning, match=r"is damaged .*: making it again"):
        _assert_same(first, kept_features(encoder, Records(records, card), "val"))
    assert file.read_bytes() == whole


def test_a_file_of_other_images_is_computed_again(records, card, cache):
    encoder = open_encoder("random", Records(records, card), **OWN)
    first = kept_features(encoder, Records(records, card), "val")
    file = feature_file(encoder, card, "val")
    np.savez(file, ids=first.ids[1:], labels=first.labels[1:], values=first.values[1:])
    with pytest.warns(UserWarning, match=r"its sha256 is not the one"):
        _assert_same(first, kept_features(encoder, Records(records, card), "val"))
    file.with_name(f"{file.name}.sha256").unlink()  # as earlier releases kept them
    _assert_same(first, kept_features(encoder, Records(records, card), "val"))
    np.savez(file, ids=first.ids[1:], labels=first.labels[1:], values=first.values[1:])
    with pytest.warns(UserWarning, match="7 images, not 8"):
        _assert_same(first, kept_features(encoder, Records(records, card), "val"))


def test_features_that_are_not_finite_are_refused(records, card, cache):
    encoder = open_encoder("random", Records(records, card), **OWN)
    kernel = encoder.model.get_layer("backbone").weights[0]
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(RsscError, match="features of 12 of 12 test images are not finite"):
        kept_features(encoder, Records(records, card), "test")
    assert not list(cache.rglob("*.npz"))


BAD_ENCODERS = {
    "missing": ("{tmp}/none.h5", {}, "none.h5: no such file"),
    "unfinished": ("{tmp}/begun", {}, "is not finished"),
    "no run": ("{tmp}", {}, "is no run folder"),
    "size of a run": ("{run}", {"image_size": 64}, "its own image size: leave out `image_size`"),
    "precision of a run": ("{run}", {"precision": "float32"}, "leave out `precision`"),
    "backbone of a run": ("{run}", {"backbone": "resnet18"}, "a run of tiny, not of resnet18"),
    "backbone of a file": (
        "{tmp}/w.weights.h5",
        {"backbone": "resnet18"},
        "holds weights of tiny, not of resnet18",
    ),
    "backbone": ("random", {"backbone": "vgg"}, "`backbone` is one of resnet50, "),
    "precision": ("random", {"precision": "half"}, "`precision` is one of float32"),
    "size": ("random", {"backbone": "tiny", "image_size": 0}, "`image_size` is at least 8"),
    "large": ("random", {"backbone": "tiny", "image_size": 20000}, "`image_size` is at most 10000"),
    "ssl": (
        "ssl",
        {"backbone": "resnet18"},
        "are known for resnet18: give some with `weights`",
    ),
}


@pytest.mark.parametrize("case", sorted(BAD_ENCODERS))
def test_bad_weights_are_one_line(case, trained, records, card, cli, tmp_path):
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.yaml").write_text((trained / "config.yaml").read_text())
    if "{tmp}/w" in BAD_ENCODERS[case][0]:
        assert cli("weights", "import", trained, "--out", tmp_path / "w.weights.h5")[0] == 0
    weights, settings, message = BAD_ENCODERS[case]
    with pytest.raises(RsscError) as error:
        open_encoder(weights.format(tmp=tmp_path, run=trained), Records(records, card), **settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_network_leaves_the_generators_as_they_were(records, card, cache):
    before = random.getstate(), np.random.get_state()[1].tolist()
    assert open_encoder("random", Records(records, card), **OWN, seed=3).model
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_a_run_in_bfloat16_keeps_its_precision(records, card, cli, tmp_path):
    words = ("--target", records, "--out", tmp_path / "run", "--precision", "mixed_bfloat16")
    assert cli("train", "--strategy", "scratch", *words, *SMALL)[0] == 0
    encoder = open_encoder(tmp_path / "run", Records(records, card))
    assert encoder.definition["precision"] == "mixed_bfloat16"
    found = extract_features(encoder.model, Records(records, card), "val")
    assert found.values.dtype == np.float32


def test_a_runs_file_alone_has_the_precision_that_is_asked_for(records, card, cli, tmp_path):
    with dtype_policy("mixed_bfloat16"):
        model = build_classifier(_build(False), Normalization.from_mode("unit"), 4, 32)
    model.save(tmp_path / "copy.keras")
    ours = tmp_path / "ours.weights.h5"
    words = ("weights", "import", tmp_path / "copy.keras", "--backbone", "tiny", "--out", ours)
    assert cli(*words)[0] == 0
    encoders = [
        open_encoder(file, Records(records, card), **OWN)
        for file in (tmp_path / "copy.keras", ours)
    ]
    assert encoders[0].definition == encoders[1].definition
    found = [extract_features(one.model, Records(records, card), "val") for one in encoders]
    _assert_same(*found)
    coarse = extract_features(model, Records(records, card), "val")
    assert not np.array_equal(found[0].values, coarse.values)


def test_features_that_the_system_does_not_give_stay(records, tmp_path, monkeypatch):
    """Who does not read them from the cache goes on without, on records that are still the same."""
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path))
    opened, looked = Records(records), []
    number = opened.splits["test"]
    ids, labels = np.arange(number).astype(str), np.zeros(number, np.int32)
    made = Features(ids, labels, np.zeros((number, 2), np.float32))
    what = {"definition": OWN, "records": opened, "split": "test", "make": lambda: made}
    module.found_or_kept(**what, must_keep=False)
    file = module.feature_file(OWN, opened.card, "test")
    before = file.read_bytes()
    not_given(monkeypatch, file)
    monkeypatch.setattr(module, "refuse_replaced", lambda *_: looked.append("the records"))
    with pytest.warns(UserWarning, match="features of test are made again: .* and stays"):
        assert module.found_or_kept(**what, must_keep=False) is made
    assert looked == ["the records"] and file.read_bytes() == before
    with pytest.raises(RsscError, match="it may be whole, and stays"):
        module.found_or_kept(**what)
