"""The backbones by name: what builds them and what their library's ImageNet weights expect.

Every backbone takes *normalised* float images `(batch, height, width, 3)` and returns a feature
map; normalisation is a layer of the classifier, chosen by the weights (see `normalization`).
The table itself needs no Keras: the command line lists its names.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from rssc_tf.compat import all_layers
from rssc_tf.models.vit_names import vit_name
from tfrecords_tools.common.errors import DataError, MissingExtra, SettingError
from tfrecords_tools.common.regular_files import sha256_of

if TYPE_CHECKING:
    import keras

    from rssc_tf.models.normalization import Normalization


HERE = "rssc_tf.models."  # how the `origin` begins of what is built here


@dataclass(frozen=True)
class Backbone:
    """One architecture.

    Attributes:
        name: str. What `backbone` takes.
        origin: str. The library (and preset) that defines it.
        normalization: `() -> Normalization` for the weights that the library downloads.
        build: `(pretrained: bool) -> keras.Model`. With `pretrained`, the library downloads (or
            finds in its cache) its ImageNet weights; without, weights are random. What is built
            here takes `False` only.
        image_size: `() -> int | None`, the side that these weights were trained at, in pixels.
    """

    name: str
    origin: str
    normalization: Callable[[], Normalization]
    build: Callable[[bool], keras.Model]
    image_size: Callable[[], int | None] = lambda: None


def _expects(mode: str) -> Callable[[], Normalization]:
    """The normalisation of that name, made when it is asked for."""

    def normalization() -> Normalization:
        from rssc_tf.models.normalization import Normalization

        return Normalization.from_mode(mode)

    return normalization


def _application(constructor: str, mode: str, first_layer: str | None = None):
    """A model of keras.applications; `first_layer` cuts off preprocessing that is built in."""

    def build(pretrained: bool) -> keras.Model:
        import keras

        model = getattr(keras.applications, constructor)(
            include_top=False,
            weights="imagenet" if pretrained else None,
            input_shape=(None, None, 3),
        )
        if first_layer:
            model = keras.Model(model.get_layer(first_layer).input, model.output, name=model.name)
        return model

    return f"keras.applications.{constructor}", _expects(mode), build


def _built_here(module: str, function: str, mode: str, name):
    """A model of `rssc_tf.models`: no library has weights of it, the table of weights has."""

    def build(pretrained: bool) -> keras.Model:
        if pretrained:
            raise NotImplementedError("its weights are rows of weights.table")
        return getattr(import_module(f"rssc_tf.models.{module}"), function)(name)

    return f"{HERE}{module}", _expects(mode), build


def _resnet(name: str):
    return _built_here("resnet", "resnet", "torch", name)


def _lite(name: str):
    return _built_here("efficientnet_lite", "efficientnet_lite", "lite", name)


def _swin(name: str):
    return _built_here("swin", "swin", "torch", name)


BACKBONES = {
    name: Backbone(name, *parts, lambda side=side: side)
    for name, side, parts in (
        ("resnet50", 224, _resnet("resnet50")),
        ("resnet18", 224, _resnet("resnet18")),
        ("resnet34", 224, _resnet("resnet34")),
        ("resnet101", 224, _resnet("resnet101")),
        ("resnet50_v1", 224, _application("ResNet50", "caffe")),
        ("mobilenet_v2", 224, _application("MobileNetV2", "tf")),
        # Keras builds x/255, mean and deviation into the model; ours is the layer before it.
        ("efficientnet_b0", 224, _application("EfficientNetB0", "torch", "stem_conv_pad")),
        ("efficientnet_lite0", 224, _lite("efficientnet_lite0")),
        ("efficientnet_lite1", 240, _lite("efficientnet_lite1")),
        ("efficientnet_lite2", 260, _lite("efficientnet_lite2")),
        ("swin_v2_t", 256, _swin("swin_v2_t")),
        ("swin_v2_s", 256, _swin("swin_v2_s")),
        ("swin_v2_b", 256, _swin("swin_v2_b")),
    )
}


def _hub(preset: str) -> Backbone:
    """Any image backbone that KerasHub has a preset for."""

    def build(pretrained: bool) -> keras.Model:
        hub = keras_hub(f"`backbone='hub:{preset}'`")
        model = hub.models.Backbone.from_preset(preset, load_weights=pretrained)
        model = getattr(model, "vision_encoder", model)  # of CLIP's and SigLIP's two towers
        if [len(one.shape) for one in model.inputs] != [4] or isinstance(model.output, dict):
            names = ", ".join(one.name for one in model.inputs)
            raise DataError(
                f"hub:{preset} cannot be a classifier's backbone: {type(model).__name__} takes "
                f"{names}, not images alone"
            )
        return model

    def converter():
        """`None`: the preset is of a backbone alone, as its `save_to_preset` writes it."""
        hub = keras_hub(f"`backbone='hub:{preset}'`")
        try:
            return hub.layers.ImageConverter.from_preset(preset)
        except FileNotFoundError:
            return None

    def normalization() -> Normalization:
        from rssc_tf.models.normalization import Normalization

        found = converter()
        if found is None:
            raise DataError(
                f"hub:{preset} has no image_converter.json, which says how its images are "
                "normalised: save its keras_hub.layers.ImageConverter there with save_to_preset, "
                "or, for train and probe, give `normalization`"
            )
        scale = 1.0 if found.scale is None else found.scale
        return Normalization(scale, 0.0 if found.offset is None else found.offset)

    def image_size() -> int | None:
        try:
            size = getattr(converter(), "image_size", None)
        except ValueError:  # it has none, or there is no preset, as `build` will say
            return None
        return None if size is None else max(size)

    return Backbone(f"hub:{preset}", f"keras_hub:{preset}", normalization, build, image_size)


def preset_folder(backbone: str) -> Path | None:
    """The folder of a KerasHub preset that `backbone` names, if it is one that lies here."""
    folder = Path(backbone.removeprefix("hub:"))
    return folder if backbone.startswith("hub:") and folder.is_dir() else None


def preset_content(backbone: str) -> str | None:
    """SHA-256 of what is in the folder of a preset, which can become another one under its name;
    `None` for any other backbone."""
    folder = preset_folder(backbone)
    if folder is None:
        return None
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return _content_of(tuple((str(path), *_stamp(path)) for path in files), folder)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@functools.lru_cache(maxsize=16)
def _content_of(stamps: tuple, folder: Path) -> str:
    """Read once for all runs of a comparison: presets are gigabytes."""
    content = hashlib.sha256()
    for name, *_ in stamps:
        content.update(f"{Path(name).relative_to(folder)} {sha256_of(Path(name))}\n".encode())
    return content.hexdigest()


def keras_hub(what: str):
    """The library; `MissingExtra` says how to install it for `what`."""
    try:
        return import_module("keras_hub")
    except ImportError:
        raise MissingExtra(what, "hub") from None


def get_backbone(name: str) -> Backbone:
    """The backbone called `name`; `SettingError` if there is none.

    `hub:<preset>` is any KerasHub preset; a vision transformer has its name in timm, see
    `vit_names`.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    if name.startswith("hub:") and len(name) > len("hub:"):
        return _hub(name.removeprefix("hub:"))
    if vit := vit_name(name):
        mode = "clip" if vit.clip else "torch"
        return Backbone(name, *_built_here("vit", "vit", mode, vit), lambda: vit.side)
    known = ", ".join(BACKBONES)
    what = f"is one of {known}, a vision transformer as vit_base_patch16, or hub:<preset>"
    raise SettingError("backbone", what, name)


def prepare(model: keras.Model) -> keras.Model:
    """Sets every BatchNormalization's momentum to 0.9, in place.

    keras.applications ships up to 0.999: on a few hundred images the moving statistics then
    never arrive, and test accuracy stays at chance while the training loss falls.
    """
    for layer in batch_normalizations(model):
        layer.momentum = 0.9
    return model


def batch_normalizations(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """All BatchNormalization layers of a model, nested ones included."""
    import keras

    return [
        layer for layer in all_layers(model) if isinstance(layer, keras.layers.BatchNormalization)
    ]
