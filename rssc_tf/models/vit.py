"""Vision transformers with a class token: ViT, DINO, MAE, DINOv2 with its registers, CLIP's.

One model, in whose blocks the variants differ by a word. Sources: Dosovitskiy et al., "An Image is
Worth 16x16 Words", 2021; Oquab et al., "DINOv2", 2024 (LayerScale, SwiGLU); Darcet et al., "Vision
Transformers Need Registers", 2024; Radford et al., "Learning Transferable Visual Models", 2021.
"""

import keras
from keras import ops

from rssc_tf.models.vit_names import SIZES, VitName

_NORMAL = {"class_name": "TruncatedNormal", "config": {"stddev": 0.02}}


@keras.saving.register_keras_serializable(package="rssc_tf")
class ViT(keras.Model):
    """A backbone: `(batch, side, side, 3)` to normalised tokens `(batch, 1 + registers + n, dim)`.

    The first token is the class token, which is the feature. Positions are learned, for a grid of
    patches; `input_size.at_side` makes a copy for another one.

    Args:
        image_shape: `(side, side, 3)`, of which the patch divides the side.
        patch_size: int. Side of a patch, in pixels.
        dim: int. Width.
        depth: int. Number of blocks.
        heads: int. Of the attention; divides `dim`.
        mlp_dim: int. Width between the two layers of a block's MLP.
        num_register_tokens: int. Tokens without a meaning of their own, after the class token.
        layer_scale: bool. Whether a learned factor a channel scales what a block adds.
        activation: `"gelu"`, `"quick_gelu"` (of OpenAI's CLIP) or `"swiglu"` (gated; of the
            largest DINOv2).
        clip: bool. CLIP's: tokens are normalised before the blocks too, patches have no bias.
        epsilon: float. Of the normalisations.
        antialias_in_interpolation: bool. How positions are brought to another grid.
    """

    def __init__(
        self,
        image_shape,
        patch_size,
        dim,
        depth,
        heads,
        mlp_dim,
        num_register_tokens=0,
        layer_scale=False,
        activation="gelu",
        clip=False,
        epsilon=1e-6,
        antialias_in_interpolation=True,
        dtype=None,
        **kwargs,
    ):
        dtype = keras.dtype_policies.get(dtype)
        config = {
            "image_shape": tuple(image_shape),
            "patch_size": patch_size,
            "dim": dim,
            "depth": depth,
            "heads": heads,
            "mlp_dim": mlp_dim,
            "num_register_tokens": num_register_tokens,
            "layer_scale": layer_scale,
            "activation": activation,
            "clip": clip,
            "epsilon": epsilon,
            "antialias_in_interpolation": antialias_in_interpolation,
            "dtype": dtype.name,
        }

        def norm(x, name: str):
            return keras.layers.LayerNormalization(epsilon=epsilon, dtype=dtype, name=name)(x)

        def add(x, y, name: str):
            if layer_scale:
                y = LayerScale(dtype=dtype, name=f"{name}_scale")(y)
            return keras.layers.Add(dtype=dtype, name=f"{name}_add")([x, y])

        images = keras.Input(image_shape)
        patches = keras.layers.Conv2D(
            dim, patch_size, patch_size, use_bias=not clip, dtype=dtype, name="patches"
        )(images)
        x = Tokens(num_register_tokens, dtype=dtype, name="tokens")(
            keras.layers.Reshape((-1, dim), dtype=dtype, name="grid")(patches)
        )
        x = norm(x, "norm_pre") if clip else x
        for number in range(depth):
            name = f"block{number}"
            y = norm(x, f"{name}_norm1")
            y = keras.layers.MultiHeadAttention(
                heads, dim // heads, dtype=dtype, name=f"{name}_attention"
            )(y, y)
            x = add(x, y, f"{name}_attention")
            y = norm(x, f"{name}_norm2")
            gated = 2 if activation == "swiglu" else 1
            y = keras.layers.Dense(gated * mlp_dim, dtype=dtype, name=f"{name}_mlp1")(y)
            y = Gate(activation, dtype=dtype, name=f"{name}_gate")(y)
            y = keras.layers.Dense(dim, dtype=dtype, name=f"{name}_mlp2")(y)
            x = add(x, y, f"{name}_mlp")
        super().__init__(images, norm(x, "norm"), dtype=dtype, **kwargs)
        self.patch_size = patch_size
        self.num_register_tokens = num_register_tokens
        self.antialias_in_interpolation = antialias_in_interpolation
        self._config = config

    def get_config(self):
        return {"name": self.name, "trainable": self.trainable, **self._config}


class Tokens(keras.layers.Layer):
    """Patches `(batch, n, dim)` with positions, after the class token and the registers."""

    def __init__(self, registers=0, **kwargs):
        super().__init__(**kwargs)
        self.registers = registers

    def build(self, shape):
        _, count, dim = shape
        self.class_token = self.add_weight((1, 1, dim), _NORMAL, name="class_token")
        self.positions = self.add_weight((1, 1 + count, dim), _NORMAL, name="positions")
        if self.registers:
            self.register_tokens = self.add_weight(
                (1, self.registers, dim), _NORMAL, name="register_tokens"
            )

    def call(self, patches):
        def of_batch(token):
            return ops.broadcast_to(token, (ops.shape(patches)[0], *token.shape[1:]))

        first = self.class_token + self.positions[:, :1]
        tokens = [of_batch(ops.cast(first, patches.dtype))]
        if self.registers:
            tokens.append(of_batch(ops.cast(self.register_tokens, patches.dtype)))
        tokens.append(patches + ops.cast(self.positions[:, 1:], patches.dtype))
        return ops.concatenate(tokens, axis=1)

    def compute_output_shape(self, shape):
        return (shape[0], 1 + self.registers + shape[1], shape[2])


class LayerScale(keras.layers.Layer):
    """A learned factor a channel."""

    def build(self, shape):
        self.gamma = self.add_weight(shape[-1:], keras.initializers.Constant(1e-5), name="gamma")

    def call(self, x):
        return x * self.gamma


class Gate(keras.layers.Layer):
    """The activation between the layers of an MLP; `"swiglu"` halves the channels."""

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.activation = activation

    def call(self, x):
        if self.activation == "swiglu":
            gate, value = ops.split(x, 2, axis=-1)
            return ops.silu(gate) * value
        if self.activation == "quick_gelu":
            return x * ops.sigmoid(1.702 * x)
        return ops.gelu(x, approximate=False)


def vit(name: VitName) -> ViT:
    """The backbone of that name, with random weights, for images of its own side."""
    dim, depth, heads, mlp_dim = SIZES[name.size]
    activation = "swiglu" if name.size == "giant" else "gelu"
    return ViT(
        (name.side, name.side, 3),
        name.patch,
        dim,
        depth,
        heads,
        mlp_dim,
        num_register_tokens=name.registers,
        layer_scale=name.dinov2,
        activation="quick_gelu" if name.quick_gelu else activation,
        clip=name.clip,
        epsilon=1e-5 if name.clip else 1e-6,
        antialias_in_interpolation=name.antialias,
        name="vit",
    )
