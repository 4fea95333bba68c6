"""The known backbones, each cut off at the first block that completes the kinds of its layers.

The blocks after it are of layers that it has already: a step of what is left has every operation
of the whole one's, and is traced and compiled in a quarter of the time.
"""

from dataclasses import replace

import keras
import pytest

from rssc_tf.models.backbones import BACKBONES


def shallow(patch: pytest.MonkeyPatch) -> None:
    """Backbones are built so while the patch holds."""
    for name, row in list(BACKBONES.items()):
        patch.setitem(BACKBONES, name, replace(row, build=_cut_off(row.build)))


def _cut_off(build):
    def build_less(pretrained: bool) -> keras.Model:
        model = build(pretrained)
        first = model.layers[1].input  # of a model cut out of another, not its input
        for layer in model.layers:
            if isinstance(layer, keras.layers.Add):  # the end of a block
                part = keras.Model(first, layer.output, name=model.name)
                if kinds_of_layers(part) == kinds_of_layers(model):
                    return part
        return model

    return build_less


def kinds_of_layers(model: keras.Model) -> set[tuple]:
    """Of each layer the class and what chooses among its operations; not the widths."""
    settings = ("kernel_size", "pool_size", "strides", "activation", "max_value")
    return {
        (type(layer).__name__, *(str(layer.get_config().get(name)) for name in settings))
        for layer in model.layers
    }
