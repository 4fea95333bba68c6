"""Weights that Keras wrote, into a backbone: every variable is used or named.

Keras loads by position and passes over what it does not look for. Here the backbone's own list
of variables decides: all of them must be in the file, each in its shape, and whatever else the
file holds is reported. Only arrays are read: no layer of a foreign file is ever deserialised.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import keras
import numpy as np

from rssc_tf.weights.files import config_member, settings_of, weights_member
from rssc_tf.weights.hdf5 import open_hdf5, reading
from tfrecords_tools.common.archives import open_zip
from tfrecords_tools.common.errors import DataError, reason_of
from tfrecords_tools.common.json_files import parse_json

# What Keras keeps beside the model's own variables.
_OPTIMIZER = ("optimizer/", "optimizer_weights/", "_optimizer/")


class KerasFile(NamedTuple):
    """An open file.

    Attributes:
        path: Path. For messages.
        arrays: dict of name to dataset, without the optimizer's.
        config: dict or `None`. The model's configuration, where the file has one.
        version: str. Of the Keras that wrote it; `""` where the file does not say.
    """

    path: Path
    arrays: dict[str, h5py.Dataset]
    config: dict | None
    version: str

    @property
    def legacy(self) -> bool:
        """Whether layers are found by name (Keras 2), not by class and number (Keras 3)."""
        return not any(name.split("/")[-2:-1] == ["vars"] for name in self.arrays)


@contextmanager
def open_keras(path: Path, kind: str) -> Iterator[KerasFile]:
    """Opens a `.weights.h5`, a legacy `.h5` or a `.keras` archive.

    Args:
        path: Path. The file.
        kind: str. What `check_file` said: `"hdf5"` or `"keras"`.

    Raises:
        DataError: it is truncated or damaged, or holds no array.
    """
    content, config, version = None, None, ""
    if kind == "keras":
        with open_zip(path) as archive:
            config = config_member(archive) if "config.json" in archive.namelist() else None
            content = weights_member(archive)
    with open_hdf5(path, content) as file:
        with reading(path):
            if content is None:
                config = _config_of(file)
                version = str(file.attrs.get("keras_version", ""))
            arrays = _datasets(file)
        if not arrays:
            raise DataError(f"{path}: holds no weights")
        config = config if isinstance(config, dict) else None
        yield KerasFile(path, arrays, config, version)


def _config_of(file: h5py.File) -> object:
    text = file.attrs.get("model_config")
    if text is None:
        return None
    try:
        return parse_json(text)
    except DataError as error:
        raise DataError(f"its model_config is damaged ({error})") from None


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(visit)
    return {name: item for name, item in found.items() if not name.startswith(_OPTIMIZER)}


def load_keras(file: KerasFile, backbone: keras.Model) -> list[str]:
    """Fills `backbone`; BatchNorm epsilons that differ are made up for in gamma.

    The backbone's variables may lie at the file's root or under any of its layers (a classifier
    whose backbone is one layer).

    Args:
        file: KerasFile.
        backbone: keras.Model. Built; changed in place, and only if everything fits.

    Returns:
        Names of the file's arrays that were not used (a head), sorted.

    Raises:
        DataError: a variable is missing, has another shape (both are named) or is not finite; or
            a convolution is left over, so that the file is of a deeper model.
    """
    dropped = _load_by_name(file, backbone) if file.legacy else _load_by_place(file, backbone)
    epsilons = _epsilons(file.config)
    for layer in backbone.layers:
        theirs = epsilons.get(layer.name)
        if isinstance(layer, keras.layers.BatchNormalization) and theirs is not None:
            variance = keras.ops.convert_to_numpy(layer.moving_variance).astype(np.float64)
            ratio = np.sqrt((variance + layer.epsilon) / (variance + theirs))
            layer.gamma.assign(keras.ops.convert_to_numpy(layer.gamma) * ratio)
    return sorted(dropped)


def _load_by_place(file: KerasFile, backbone: keras.Model) -> list[str]:
    """The format of Keras 3: `layers/<class>_<n>/vars/<i>`, nested as the layers are."""
    arrays = {
        # Keras 2.12 to 2.15 wrote the same tree under another name.
        name.replace("_layer_checkpoint_dependencies", "layers"): item
        for name, item in file.arrays.items()
    }
    with ExitStack() as stack:
        # Keras alone knows where it looks for each variable: have it write the list.
        with _temporarily():
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            skeleton = Path(folder) / "skeleton.weights.h5"
            backbone.save_weights(skeleton)
        with _temporarily(), h5py.File(skeleton, "r+") as ours:
            wanted = _datasets(ours)
            prefix = _prefix(arrays, wanted)
            for name, item in wanted.items():
                item[...] = _checked(file.path, arrays, prefix + name, item.shape)
            dropped = sorted(set(arrays) - {prefix + name for name in wanted})
        _refuse_convolutions(file.path, arrays, [d for d in dropped if d.startswith(prefix)])
        backbone.load_weights(skeleton)
    return dropped


@contextmanager
def _temporarily() -> Iterator[None]:
    """Says what is wrong with the folder of temporary files, where that cannot be written."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        folder = tempfile.tempdir or "a temporary folder"
        raise DataError(
            f"cannot write {folder}: {reason_of(error)} (TMPDIR names another folder)"
        ) from error


def _prefix(arrays: dict, wanted: dict) -> str:
    """The group under which most of the wanted names are found: `""` for a bare backbone."""
    first = next(iter(wanted))
    prefixes = {name[: -len(first)] for name in arrays if name.endswith("/" + first)} | {""}
    found = {p: sum(p + name in arrays for name in wanted) for p in sorted(prefixes, key=len)}
    return max(found, key=found.get)


def _load_by_name(file: KerasFile, backbone: keras.Model) -> list[str]:
    """The format of Keras 2: `[model_weights/]<layer>/.../<layer>/<variable>:0`."""
    arrays, names = {}, {}
    for name, item in file.arrays.items():
        layer, variable = (["", *name.split("/")])[-2:]
        variable = re.sub(r":\d+$", "", variable).replace("depthwise_kernel", "kernel")
        key = f"{layer}/{variable}"
        if key in arrays:
            raise DataError(f"{file.path}: holds {key} more than once: save the backbone alone")
        arrays[key], names[key] = item, name
    values = [
        (variable, _checked(file.path, arrays, f"{layer.name}/{variable.name}", variable.shape))
        for layer in backbone.layers
        for variable in layer.weights
    ]
    used = {
        f"{layer.name}/{variable.name}" for layer in backbone.layers for variable in layer.weights
    }
    dropped = [key for key in arrays if key not in used]
    _refuse_convolutions(file.path, arrays, dropped)
    for variable, value in values:
        variable.assign(value)
    return [names[key] for key in dropped]


def _checked(path: Path, arrays: dict[str, h5py.Dataset], name: str, shape) -> np.ndarray:
    if name not in arrays:
        some = ", ".join(sorted(arrays)[:3])
        raise DataError(
            f"{path}: {name} is not in the file (it has {some}, ...): are these the weights of "
            "another backbone?"
        )
    if tuple(arrays[name].shape) != tuple(shape):
        raise DataError(
            f"{path}: {name} has shape {tuple(arrays[name].shape)}, the backbone needs "
            f"{tuple(shape)}"
        )
    with reading(path):
        value = arrays[name][...]
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise DataError(f"{path}: {name} holds values that are not finite")
    return value


def _refuse_convolutions(path: Path, arrays: dict[str, h5py.Dataset], dropped: list[str]) -> None:
    for name in dropped:
        if arrays[name].ndim == 4:
            raise DataError(
                f"{path}: {name}, a convolution, has no place in the backbone: are these the "
                "weights of a deeper or wider architecture?"
            )


def _epsilons(config: object) -> dict[str, float]:
    """BatchNormalization epsilons by layer name, from a model's configuration."""
    found = {}
    if isinstance(config, dict):
        inner = settings_of(config)
        epsilon = inner.get("epsilon")
        ours = str(config.get("class_name")).startswith("BatchNormalization")
        if ours and isinstance(epsilon, int | float):
            found[str(inner.get("name"))] = epsilon
        for value in config.values():
            found |= _epsilons(value)
    elif isinstance(config, list):
        for value in config:
            found |= _epsilons(value)
    return found
