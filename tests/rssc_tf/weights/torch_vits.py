"""Vision transformers of PyTorch, small and plain, with the parameter names of four libraries.

Written for these tests from the papers and the names of released checkpoints; none of the
libraries is needed. Each gives its tokens `(n, t, d)` after the last normalisation. Import only
where torch is installed.
"""

import torch
from torch import nn
from torch.nn import functional

DIM, DEPTH, HEADS, MLP, SIDE = 48, 2, 3, 96, 32


def attend(q, k, v):
    """Of `(n, t, d)` each."""

    def split(x):
        return x.reshape(len(x), -1, HEADS, DIM // HEADS).transpose(1, 2)

    weights = split(q) @ split(k).transpose(2, 3) / (DIM // HEADS) ** 0.5
    return (weights.softmax(-1) @ split(v)).transpose(1, 2).reshape(len(q), -1, DIM)


class _Named(nn.Module):
    """A module whose parts are given by name."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, nn.Parameter):
                self.register_parameter(name, part)
            else:
                self.add_module(name, part)


def _parameter(*shape):
    return nn.Parameter(torch.zeros(shape))


def _norm():
    return nn.LayerNorm(DIM, eps=1e-6)


class Timm(nn.Module):
    """timm's, DINO's, MAE's, and DINOv2's with `scale`, `registers` and `swiglu`."""

    def __init__(self, patch=8, registers=0, scale=False, swiglu=False, decoder=False):
        super().__init__()
        tokens = (SIDE // patch) ** 2
        self.cls_token = _parameter(1, 1, DIM)
        self.pos_embed = _parameter(1, 1 + tokens, DIM)
        if registers:
            self.register_tokens = _parameter(1, registers, DIM)
        if scale or decoder:
            self.mask_token = _parameter(1, DIM)
        self.patch_embed = _Named(proj=nn.Conv2d(3, DIM, patch, patch))
        self.blocks = nn.ModuleList(self._block(scale, swiglu) for _ in range(DEPTH))
        self.norm = _norm()
        if decoder:
            self.decoder_embed = nn.Linear(DIM, 16)
            self.decoder_blocks = nn.ModuleList([nn.Linear(16, 16)])
        else:
            self.head = nn.Linear(DIM, 10)
        self.swiglu = swiglu

    @staticmethod
    def _block(scale, swiglu):
        first, second = ("w12", "w3") if swiglu else ("fc1", "fc2")
        mlp = {first: nn.Linear(DIM, MLP * (1 + swiglu)), second: nn.Linear(MLP, DIM)}
        scales = {f"ls{i}": _Named(gamma=_parameter(DIM)) for i in (1, 2)} if scale else {}
        return _Named(
            norm1=_norm(),
            attn=_Named(qkv=nn.Linear(DIM, 3 * DIM), proj=nn.Linear(DIM, DIM)),
            norm2=_norm(),
            mlp=_Named(**mlp),
            **scales,
        )

    def forward(self, images):
        x = self.patch_embed.proj(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        if hasattr(self, "register_tokens"):
            registers = self.register_tokens.expand(len(x), -1, -1)
            x = torch.cat([x[:, :1], registers, x[:, 1:]], 1)
        for block in self.blocks:
            y = block.attn.proj(attend(*block.attn.qkv(block.norm1(x)).chunk(3, -1)))
            x = x + (y * block.ls1.gamma if hasattr(block, "ls1") else y)
            y = block.norm2(x)
            if self.swiglu:
                gate, value = block.mlp.w12(y).chunk(2, -1)
                y = block.mlp.w3(functional.silu(gate) * value)
            else:
                y = block.mlp.fc2(functional.gelu(block.mlp.fc1(y)))
            x = x + (y * block.ls2.gamma if hasattr(block, "ls2") else y)
        return self.norm(x)


class HuggingFace(nn.Module):
    """transformers' `ViTModel` or, with `dinov2`, `Dinov2WithRegistersModel`."""

    def __init__(self, dinov2=False):
        super().__init__()
        tokens = (SIDE // 8) ** 2
        embeddings = {
            "cls_token": _parameter(1, 1, DIM),
            "position_embeddings": _parameter(1, 1 + tokens, DIM),
            "patch_embeddings": _Named(projection=nn.Conv2d(3, DIM, 8, 8)),
        }
        if dinov2:
            embeddings |= {
                "mask_token": _parameter(1, DIM),
                "register_tokens": _parameter(1, 4, DIM),
            }
        self.embeddings = _Named(**embeddings)
        self.encoder = _Named(layer=nn.ModuleList(self._layer(dinov2) for _ in range(DEPTH)))
        self.layernorm = _norm()
        self.pooler = _Named(dense=nn.Linear(DIM, DIM))
        self.dinov2 = dinov2

    @staticmethod
    def _layer(dinov2):
        inner = {name: nn.Linear(DIM, DIM) for name in ("query", "key", "value")}
        attention = _Named(attention=_Named(**inner), output=_Named(dense=nn.Linear(DIM, DIM)))
        first, second = nn.Linear(DIM, MLP), nn.Linear(MLP, DIM)
        if dinov2:
            scales = {f"layer_scale{i}": _Named(lambda1=_parameter(DIM)) for i in (1, 2)}
            return _Named(
                norm1=_norm(),
                attention=attention,
                norm2=_norm(),
                mlp=_Named(fc1=first, fc2=second),
                **scales,
            )
        return _Named(
            attention=attention,
            intermediate=_Named(dense=first),
            output=_Named(dense=second),
            layernorm_before=_norm(),
            layernorm_after=_norm(),
        )

    def forward(self, images):
        parts = self.embeddings
        x = parts.patch_embeddings.projection(images).flatten(2).transpose(1, 2)
        x = torch.cat([parts.cls_token.expand(len(x), -1, -1), x], 1) + parts.position_embeddings
        if self.dinov2:
            registers = parts.register_tokens.expand(len(x), -1, -1)
            x = torch.cat([x[:, :1], registers, x[:, 1:]], 1)
        for layer in self.encoder.layer:
            y = (layer.norm1 if self.dinov2 else layer.layernorm_before)(x)
            inner = layer.attention.attention
            y = attend(inner.query(y), inner.key(y), inner.value(y))
            y = layer.attention.output.dense(y)
            x = x + (y * layer.layer_scale1.lambda1 if self.dinov2 else y)
            y = (layer.norm2 if self.dinov2 else layer.layernorm_after)(x)
            if self.dinov2:
                y = layer.mlp.fc2(functional.gelu(layer.mlp.fc1(y))) * layer.layer_scale2.lambda1
            else:
                y = layer.output.dense(functional.gelu(layer.intermediate.dense(y)))
            x = x + y
        return self.layernorm(x)


class _QuickGelu(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class OpenClip(nn.Module):
    """A CLIP whose image tower is computed; of the tower for texts there is one tensor."""

    def __init__(self, quick=False):
        super().__init__()
        blocks = [
            _Named(
                ln_1=nn.LayerNorm(DIM),
                attn=nn.MultiheadAttention(DIM, HEADS, batch_first=True),
                ln_2=nn.LayerNorm(DIM),
                mlp=_Named(c_fc=nn.Linear(DIM, MLP), c_proj=nn.Linear(MLP, DIM)),
            )
            for _ in range(DEPTH)
        ]
        self.visual = _Named(
            class_embedding=_parameter(DIM),
            positional_embedding=_parameter(1 + (SIDE // 8) ** 2, DIM),
            proj=_parameter(DIM, 32),
            conv1=nn.Conv2d(3, DIM, 8, 8, bias=False),
            ln_pre=nn.LayerNorm(DIM),
            transformer=_Named(resblocks=nn.ModuleList(blocks)),
            ln_post=nn.LayerNorm(DIM),
        )
        self.token_embedding = nn.Embedding(7, DIM)
        self.activation = _QuickGelu() if quick else nn.GELU()

    def forward(self, images):
        tower = self.visual
        x = tower.conv1(images).flatten(2).transpose(1, 2)
        first = tower.class_embedding.expand(len(x), 1, -1)
        x = tower.ln_pre(torch.cat([first, x], 1) + tower.positional_embedding)
        for block in tower.transformer.resblocks:
            y = block.ln_1(x)
            x = x + block.attn(y, y, y, need_weights=False)[0]
            x = x + block.mlp.c_proj(self.activation(block.mlp.c_fc(block.ln_2(x))))
        return tower.ln_post(x)


class HuggingFaceClip(nn.Module):
    """transformers' `CLIPVisionModel`."""

    def __init__(self):
        super().__init__()
        layers = [
            _Named(
                self_attn=_Named(
                    **{f"{name}_proj": nn.Linear(DIM, DIM) for name in ("k", "v", "q", "out")}
                ),
                layer_norm1=nn.LayerNorm(DIM),
                mlp=_Named(fc1=nn.Linear(DIM, MLP), fc2=nn.Linear(MLP, DIM)),
                layer_norm2=nn.LayerNorm(DIM),
            )
            for _ in range(DEPTH)
        ]
        self.vision_model = _Named(
            embeddings=_Named(
                class_embedding=_parameter(DIM),
                patch_embedding=nn.Conv2d(3, DIM, 8, 8, bias=False),
                position_embedding=nn.Embedding(1 + (SIDE // 8) ** 2, DIM),
            ),
            pre_layrnorm=nn.LayerNorm(DIM),
            encoder=_Named(layers=nn.ModuleList(layers)),
            post_layernorm=nn.LayerNorm(DIM),
        )

    def forward(self, images):
        tower = self.vision_model
        parts = tower.embeddings
        x = parts.patch_embedding(images).flatten(2).transpose(1, 2)
        first = parts.class_embedding.expand(len(x), 1, -1)
        x = tower.pre_layrnorm(torch.cat([first, x], 1) + parts.position_embedding.weight)
        for layer in tower.encoder.layers:
            y, inner = layer.layer_norm1(x), layer.self_attn
            x = x + inner.out_proj(attend(inner.q_proj(y), inner.k_proj(y), inner.v_proj(y)))
            y = layer.mlp.fc1(layer.layer_norm2(x))
            x = x + layer.mlp.fc2(y * torch.sigmoid(1.702 * y))
        return tower.post_layernorm(x)


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random values in every parameter, norms and scales about 1, so that each of them shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            fan = parameter[0].numel() if parameter.ndim > 1 else 1
            about_one = parameter.ndim == 1 and name.endswith(("weight", "gamma", "lambda1"))
            scale = 0.3 if parameter.ndim == 1 or fan > DIM * DIM else 1 / fan**0.5
            parameter.copy_(noise * scale + float(about_one))
    return model.eval()
