"""Private names of other libraries: each is still there, and still needed."""

import ast

import keras
import pytest

from rssc_tf import compat
from tests.conftest import ROOT
from tfrecords_tools.common.compat import gdal_error

KNOWN = {"rssc_tf/compat.py": 3, "tfrecords_tools/common/compat.py": 2}
PACKAGES = ("tfrecords_tools", "pipelines", "rssc_tf")
# Modules that no library promises to keep.
PRIVATE = ("tensorflow.core", "tensorflow.python", "keras.src", "keras_hub.src")


def test_keras_has_no_public_name_for_all_layers():
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="inside")])
    model = keras.Sequential([keras.Input((2,)), inner])
    assert "inside" in {layer.name for layer in compat.all_layers(model)}
    assert "inside" not in {layer.name for layer in model.layers}
    assert not hasattr(keras.Model, "flatten_layers")


def test_rasterio_has_no_public_name_for_the_errors_of_gdal():
    errors = pytest.importorskip("rasterio.errors")
    found = gdal_error()
    assert issubclass(found, Exception)
    assert not issubclass(found, errors.RasterioError)
    assert found not in vars(errors).values()


def test_tensorflow_has_no_public_reader_of_a_saved_model(exported):
    import tensorflow as tf

    data = (exported / "1" / "saved_model.pb").read_bytes()
    graph = compat.saved_model_proto(data).meta_graphs[0]
    assert "serving_default" in graph.signature_def
    assert not hasattr(tf.saved_model, "SavedModel")


def test_names_of_layers_begin_anew():
    import keras

    compat.restart_names()
    assert [keras.layers.ReLU().name for _ in range(2)] == ["re_lu", "re_lu_1"]
    compat.restart_names()
    assert keras.layers.ReLU().name == "re_lu"
    assert not hasattr(keras.utils, "reset_uids") and not hasattr(keras.backend, "reset_uids")


def _private_uses(text: str) -> list[str]:
    """Attributes with an underscore of other objects, and imports of private modules."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            dunder = node.attr.startswith("__")
            through_self = ast.unparse(node.value).startswith("self.")
            named_tuple = node.attr in ("_asdict", "_fields", "_replace")  # public, for all that
            if not (own or dunder or through_self or named_tuple or node.attr == "_exit"):
                found.append(ast.unparse(node))
        modules = []
        if isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in modules:
            ours = module.split(".")[0] in PACKAGES
            hidden = any(part.startswith("_") for part in module.split(".")[1:])
            if not ours and ((hidden and "__" not in module) or module.startswith(PRIVATE)):
                found.append(module)
    return found


def test_private_names_of_other_libraries_stand_in_one_place():
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            found = _private_uses(file.read_text(encoding="utf-8"))
            assert len(found) == KNOWN.get(str(file.relative_to(ROOT)), 0), (file, found)


def test_a_private_name_is_found():
    for text in (
        "model._flatten_layers()",
        "from rasterio._err import CPLE_BaseError",
        "from tensorflow.python.eager import context",
        "import keras.src.layers",
    ):
        assert _private_uses(text), text
    assert _private_uses("self._own; found._asdict()\nfrom rssc_tf.a import _b") == []
