"""TensorFlow Datasets as a source; the network is replaced by a dataset made here."""

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.sources.readers import read_class_folders
from tfrecords_tools.sources.tfds_source import _lay_out, fetch_class_folders

INSTALLED = importlib.util.find_spec("tensorflow_datasets") is not None


@pytest.mark.skipif(INSTALLED, reason="tests what is said without the extra [tfds]")
def test_says_which_extra_is_missing():
    with pytest.raises(RsscError, match=r'pip install "rssc-tf\[tfds\]"'):
        fetch_class_folders("uc_merced")


@pytest.mark.parametrize(("text", "said"), [("", "OSError"), ("\nno route\nat all", "no route")])
def test_an_error_without_a_text_is_one_line(text, said, tmp_path, monkeypatch):
    def fail():
        raise OSError(text)

    info = SimpleNamespace(features={"image": 0, "label": 0}, splits={"train": 0})
    made = SimpleNamespace(info=info, data_dir=str(tmp_path), download_and_prepare=fail)
    library = SimpleNamespace(builder=lambda _: made)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", library)
    with pytest.raises(RsscError, match=f"tfds:tiny cannot be fetched: {said}$"):
        fetch_class_folders("tiny")
    library.builder = lambda _: fail()
    with pytest.raises(RsscError, match=f"has no usable 'tiny': {said}$"):
        fetch_class_folders("tiny")


@pytest.mark.skipif(not INSTALLED, reason="needs the extra [tfds]")
def test_a_builder_becomes_class_folders(tmp_path, monkeypatch):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    images = np.random.default_rng(0).integers(0, 255, (6, 16, 16, 3), np.uint8)
    labels = np.arange(6) % 2
    examples = tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(16, 16, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["sea", "sand"]),
        }
    )
    made = tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny_scenes",
        version="1.0.0",
        features=features,
        split_datasets={"train": examples},
        data_dir=str(tmp_path),
    )
    monkeypatch.setattr(tfds, "builder", lambda name: made)
    listing = read_class_folders(fetch_class_folders("tiny_scenes"))
    assert listing.classes == ["sand", "sea"]
    assert len(listing.table) == 6
    assert fetch_class_folders("tiny_scenes").is_dir()  # the second time it is only found


def _builder(*splits: str):
    """As much of a builder, and of the library, as the layout asks for."""
    examples = [{"image": b"\xff\xd8\xff", "label": label} for label in (0, 1, 1)]
    dataset = SimpleNamespace(as_numpy_iterator=lambda: iter(examples))
    label = SimpleNamespace(int2str=["sand", "sea"].__getitem__)
    info = SimpleNamespace(features={"label": label}, splits=dict.fromkeys(splits))
    library = SimpleNamespace(
        decode=SimpleNamespace(SkipDecoding=lambda: None), ReadConfig=lambda **_: None
    )
    return SimpleNamespace(info=info, name="tiny", as_dataset=lambda **_: dataset), library


@pytest.mark.parametrize(
    ("splits", "kept"),
    [
        (("train", "test"), ["test"] * 3 + ["train"] * 3),
        (("train",), [None] * 3),
        (("train", "extra"), [None] * 6),
    ],
)
def test_published_splits_are_kept(splits, kept, tmp_path):
    _lay_out(*_builder(*splits), tmp_path / "tiny")
    listing = read_class_folders(tmp_path / "tiny")
    assert listing.classes == ["sand", "sea"]
    assert list(listing.table["split"]) == kept


@pytest.mark.skipif(not INSTALLED, reason="needs the extra [tfds]")
def test_an_unknown_name():
    with pytest.raises(RsscError, match="has no usable 'no_such_set'"):
        fetch_class_folders("no_such_set")
