"""The package as a library: a dataset and a model in two lines, and Keras does the rest."""

import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import rssc_tf
from pipelines.stream import training_batches
from rssc_tf.registration import MODULES
from tests.conftest import ROOT
from tests.lanes import slow

pytestmark = pytest.mark.usefixtures("quick_trainings")


def _fresh(code: str) -> str:
    """Runs code in a process of its own; returns what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_lines_for_keras_in_a_fresh_process(records):
    said = _fresh(
        f"""
from tests import tiny  # a backbone that is quick
tiny.register()

import rssc_tf
records = rssc_tf.Records({str(records)!r})
model = rssc_tf.build_classifier("tiny", records, weights=None, image_size=32)

import keras
assert isinstance(model, keras.Model)
train, test = records.train(batch_size=8), records.split("test", batch_size=8)
model.compile("adam", loss=records.task.loss(), metrics=records.task.metrics())
history = model.fit(train, epochs=1, validation_data=records.split("val"), verbose=0).history
assert set(history) == {{"loss", "top1", "val_loss", "val_top1"}}, history
loss, top1 = model.evaluate(test, verbose=0)
scores = rssc_tf.evaluate(model, test)
assert abs(scores["top1"] - top1) < 1e-6 and abs(scores["log_loss"] - loss) < 1e-3, scores
print(model.predict(test, verbose=0).shape)
"""
    )
    assert said.strip().endswith("(12, 4)")


@pytest.mark.parametrize(
    "imports",
    [
        "import rssc_tf, keras",
        slow("import keras; import rssc_tf"),
        slow("import rssc_tf, tensorflow; rssc_tf.Settings; import keras"),  # looks for Keras
        slow("import rssc_tf.models.classifier; import keras"),  # imported by one of ours
    ],
)
def test_keras_loads_the_model_of_a_run_after_the_import(imports, trained):
    code = f"{imports}; print(keras.models.load_model({str(trained / 'model.keras')!r}).name)"
    assert _fresh(code).strip().endswith("classifier")


def test_the_import_is_light_and_every_name_is_there():
    code = """
import rssc_tf, sys
heavy = {"numpy", "pandas", "tensorflow", "keras"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
rssc_tf.Settings, rssc_tf.REGIMES, rssc_tf.SettingError
assert not {"tensorflow", "keras"} & set(sys.modules)
"""
    _fresh(code)
    for name in rssc_tf.__all__:
        assert getattr(rssc_tf, name) is not None, name
    assert set(rssc_tf.__all__) <= set(dir(rssc_tf))
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = rssc_tf.trian


@pytest.mark.parametrize("module", ["rasterio", "shapely"])
def test_who_looks_at_all_names_asks_for_no_extra(module):
    code = f"""
import sys
sys.modules["{module}"] = None  # not installed
import rssc_tf
assert "map_scene" not in rssc_tf.__all__ + dir(rssc_tf) and "Grid" in rssc_tf.__all__
from rssc_tf import *
try:
    rssc_tf.map_scene
except MissingExtra as error:
    print(error)
"""
    assert "rssc_tf.map_scene needs an extra" in _fresh(code)


def test_a_stub_of_an_extra_is_taken_for_it():
    """Its module may have no spec, for which Python's own search of it raises."""
    code = """
import sys
from types import ModuleType
sys.modules["rasterio"] = ModuleType("rasterio")
import rssc_tf
print(rssc_tf.Settings.__name__)
"""
    assert "Settings" in _fresh(code)


def test_every_keras_class_is_registered_and_its_module_stands_alone():
    """A module that Keras's own import waits for may import of ours plain facts only."""
    files = [*ROOT.glob("rssc_tf/**/*.py"), *ROOT.glob("pipelines/**/*.py")]
    having = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in files
        if "@keras.saving.register_keras_serializable" in file.read_text(encoding="utf-8")
    }
    assert having == set(MODULES)
    heavy = re.compile(r"^\s*(from|import) (keras|tensorflow|rssc_tf|pipelines)\b", re.MULTILINE)
    for name in MODULES:
        for ours in re.findall(r"from ((?:rssc_tf|pipelines)\S*) import", _text(name)):
            assert not heavy.search(_text(ours)), (name, ours)


def _text(module: str) -> str:
    return (ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")


def _content(dataset) -> list[tuple]:
    return [(images.numpy().tobytes(), labels.numpy().tolist()) for images, labels in dataset]


def test_an_epoch_is_a_pure_function_of_seed_and_number(records):
    opened = rssc_tf.Records(records)
    dataset = opened.train(8, seed=3)
    assert dataset.cardinality().numpy() == 3  # 20 images: 8, 8 and 4
    first, second = _content(dataset), _content(dataset)
    assert [len(labels) for _, labels in first] == [8, 8, 4]
    assert first != second
    assert _content(opened.train(8, seed=3)) == first
    assert _content(opened.train(8, seed=3, first_epoch=1)) == second
    assert _content(opened.train(8, seed=3).repeat().take(6)) == first + second
    assert _content(opened.train(8, seed=4)) != first
    assert _content(opened.train(8, seed=3, cache="ram")) == first
    # The same images as the loop of `rssc-tf train` sees.
    images, labels = next(iter(training_batches(records, opened.card, 40, seed=3)))
    assert images.numpy().tobytes() == b"".join(pixels for pixels, _ in first + second)
    assert labels.numpy().tolist() == [label for _, part in first + second for label in part]


def test_images_left_out_shorten_an_epoch(records):
    opened = rssc_tf.Records(records)
    names = [name.decode() for *_, ids in opened.split("train", ids=True) for name in ids.numpy()]
    assert len(names) == 20
    dataset = opened.train(8, exclude=names[:5])
    assert (dataset.cardinality().numpy(), sum(len(one) for _, one in _content(dataset))) == (2, 15)


def test_records_know_themselves(records, multi_records):
    opened, several = rssc_tf.Records(str(records)), rssc_tf.Records(multi_records)
    assert (opened.task, several.task) == (rssc_tf.SINGLE_LABEL, rssc_tf.MULTI_LABEL)
    assert opened.splits == {"train": 20, "val": 8, "test": 12} and len(opened) == 40
    assert opened.classes == ("farmland", "forest", "parking", "river")
    assert opened == rssc_tf.Records(records) != several
    images, labels = next(iter(opened.split("test", 5)))
    assert (images.dtype, labels.dtype, labels.shape) == (tf.uint8, tf.int32, (5,))
    assert next(iter(several.train(5)))[1].shape == (5, 3)


def test_a_multi_label_model_is_compiled_by_its_task(multi_records, tmp_path):
    records = rssc_tf.Records(multi_records)
    model = rssc_tf.build_classifier("tiny", multi_records, weights=None, image_size=32, seed=1)
    model.compile("adam", loss=records.task.loss(), metrics=records.task.metrics())
    test = records.split("test")
    found, scores = model.evaluate(test, verbose=0, return_dict=True), rssc_tf.evaluate(model, test)
    assert found["micro_f1"] == pytest.approx(scores["micro_f1"], abs=1e-6)
    assert found["loss"] == pytest.approx(scores["log_loss"], abs=1e-5)
    model.save(tmp_path / "model.keras")  # with its loss and its metrics
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.evaluate(test, verbose=0, return_dict=True) == pytest.approx(found)


def test_mixed_labels_have_the_loss_that_the_docstring_names(records):
    own = rssc_tf.Records(records)
    model = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)])
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    history = model.fit(own.train(8, augment="mixup"), verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert "CategoricalCrossentropy(from_logits=True)" in rssc_tf.Records.train.__doc__


def test_a_seed_decides_the_weights_and_leaves_the_process_alone(records):
    import random

    random.seed(5)
    before = random.getstate()
    one, two, other = (
        rssc_tf.build_classifier("tiny", records, weights=None, image_size=32, seed=seed)
        for seed in (1, 1, 2)
    )
    assert random.getstate() == before
    with pytest.raises(rssc_tf.SettingError, match="`image_size` is at most 10000"):
        rssc_tf.build_classifier("tiny", records, weights=None, image_size=20000)
    for first, second in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    assert any(np.any(a != b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_a_classifier_from_the_weights_of_a_run(records, trained):
    model = rssc_tf.build_classifier("tiny", records, weights=trained, image_size=32, frozen=True)
    run = rssc_tf.load_run(trained)
    ours, theirs = (one.get_layer("backbone").get_weights() for one in (model, run.model))
    for first, second in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(first, second)
    assert len(model.trainable_variables) == 2


def test_a_run_is_trained_read_and_asked(records, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = rssc_tf.Settings(
        strategy="scratch",
        target=str(records),
        backbone="tiny",
        image_size=32,
        batch_size=8,
        epochs=1,
    )
    run = rssc_tf.train(settings)
    assert run.folder.as_posix() == "runs/scenes-scratch-0"
    assert run.classes == ("farmland", "forest", "parking", "river")
    opened, test = rssc_tf.Records(records), rssc_tf.Records(records).split("test")
    scores = rssc_tf.evaluate(run.model, test, temperature=run.temperature)
    assert run.temperature != 1
    for name, value in scores.items():
        assert run.metrics[name] == pytest.approx(value, abs=1e-6), name
    # Pictures are shown to the model as those of the records are: 48 px, of which 42 are seen.
    from pipelines.images import decode_whole
    from pipelines.records import read
    from tfrecords_tools.records.schema import parse

    stored = read(records, opened.card, "test").map(parse)
    pictures = [decode_whole(example["image"]).numpy() for example in stored]
    found = run.predict(pictures, batch_size=5)
    np.testing.assert_allclose(found, run.predict(test), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert run.predict([]).shape == (0, 4)
    with pytest.raises(rssc_tf.DataError, match=r"picture 0 has the shape \(3, 3\)"):
        run.predict([np.zeros((3, 3))])


def test_pictures_of_another_scale_are_refused(trained):
    run = rssc_tf.load_run(trained)
    plain = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    black = np.zeros_like(plain)
    found = run.predict([plain, plain.astype(int), plain.astype(float) + 0.3, plain.astype("f4")])
    np.testing.assert_array_equal(found, found[[0, 0, 0, 0]])
    np.testing.assert_array_equal(*run.predict([black, black.astype(float)]))
    resized = np.where(plain > 127, plain + 40.0, plain - 40.0)  # as a bicubic filter overshoots
    clipped = np.clip(resized, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(*run.predict([resized, clipped]))
    for picture, said in (
        (plain.astype(np.uint16) * 12, "is of uint16"),
        (plain.astype(np.uint16), "is of uint16"),
        (plain.astype(int) * 12, "has values from 0 to 3060"),
        (plain - 128.0, "has values from -128 to 127"),
        (plain.astype(">u2"), "is of >u2"),
        (plain / 255, "has values up to 1"),
        (np.full(plain.shape, np.nan), "has values that are not finite"),
    ):
        with pytest.raises(rssc_tf.DataError, match=f"picture 1 {said}: give RGB in 0..255"):
            run.predict([plain, picture])


def test_bad_arguments_are_caught_by_kind(records, trained):
    opened = rssc_tf.Records(records)
    model = rssc_tf.load_run(trained).model
    for call in (
        lambda: opened.train(0),
        lambda: opened.train(8, seed=-1),
        lambda: opened.split("test", 0),
        lambda: opened.train(cache="memory"),
        lambda: opened.split("test", cache="RAM"),
        lambda: opened.train(exclude="a/1.jpg"),
        lambda: rssc_tf.build_classifier("tiny", records, weights=None, image_size=2),
        lambda: rssc_tf.build_classifier("tiny", records, weights=None, seed=2**31),
        lambda: rssc_tf.rank(opened, "tiny=random"),
        lambda: rssc_tf.evaluate(
            model, opened.split("test").map(lambda images, labels: (images, labels[:, None]))
        ),
        lambda: rssc_tf.evaluate(model, opened.split("test"), temperature=0),
        lambda: rssc_tf.evaluate(model, opened.split("test").take(0)),
        lambda: rssc_tf.evaluate(
            model, opened.split("test").map(lambda images, labels: (images, labels + 2))
        ),
        lambda: rssc_tf.evaluate(model, opened.train(augment="mixup")),
    ):
        with pytest.raises(rssc_tf.SettingError) as caught:
            call()
        assert isinstance(caught.value, ValueError) and "--" not in str(caught.value)
    settings = rssc_tf.Settings(**rssc_tf.load_run(trained).config)
    for call, said in (
        (lambda: rssc_tf.build_classifier("vgg", records), "`backbone` is one of resnet50"),
        (
            lambda: rssc_tf.build_classifier("tiny", records, weights=None, normalization="unti"),
            "`normalization` is one of",
        ),
        (lambda: rssc_tf.train(settings, trained), "is a finished run"),
        (lambda: rssc_tf.train(settings, records), "is no run folder"),
        (lambda: rssc_tf.build_classifier("resnet18", records, weights=trained), "is not resnet18"),
        (lambda: rssc_tf.Records(trained.parent), "is no record folder"),
    ):
        with pytest.raises(ValueError, match=said) as caught:
            call()
        assert isinstance(caught.value, rssc_tf.RsscError) and "--" not in str(caught.value)
    with pytest.raises(rssc_tf.RsscError, match="has no split 'dev'"):
        opened.split("dev")
    with pytest.raises(rssc_tf.RsscError, match="is no record folder"):
        rssc_tf.Records(trained.parent)
