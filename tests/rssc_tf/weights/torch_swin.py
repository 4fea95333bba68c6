"""Swin-V2 of PyTorch, small and plain, with the parameter names of torchvision.

Written for these tests from the papers (Liu et al. 2021, 2022) and the names of released
checkpoints: attention is computed a window at a time, and which cells see each other follows from
their places in the image. Import only where torch is installed.
"""

import math

import torch
from torch import nn
from torch.nn import functional

WINDOW = 8


class Attention(nn.Module):
    def __init__(self, dim: int, shifted: bool):
        super().__init__()
        self.heads, self.shifted = dim // 32, shifted
        self.logit_scale = nn.Parameter(torch.zeros(self.heads, 1, 1))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.cpb_mlp = nn.Sequential(
            nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, self.heads, bias=False)
        )
        distances = 2 * WINDOW - 1
        self.register_buffer("relative_coords_table", torch.zeros(1, distances, distances, 2))
        self.register_buffer("relative_position_index", torch.zeros(WINDOW**4, dtype=torch.long))

    def forward(self, x):
        _, height, width, dim = x.shape
        x = functional.pad(x, (0, 0, 0, -width % WINDOW, 0, -height % WINDOW))
        sides = x.shape[1:3]
        steps = [WINDOW // 2 if self.shifted and side > WINDOW else 0 for side in sides]
        x = x.roll([-step for step in steps], (1, 2))
        bias = self.qkv.bias.clone()
        bias[dim : 2 * dim] = 0  # keys have none
        parts = functional.linear(x, self.qkv.weight, bias).chunk(3, dim=-1)
        out = torch.zeros_like(x)
        for top in range(0, sides[0], WINDOW):
            for left in range(0, sides[1], WINDOW):
                rows, columns = torch.arange(top, top + WINDOW), torch.arange(left, left + WINDOW)
                places = torch.cartesian_prod(
                    (rows + steps[0]) % sides[0], (columns + steps[1]) % sides[1]
                )
                cells = torch.cartesian_prod(rows, columns).unbind(1)
                out[:, *cells] = self._attend(*(part[:, *cells] for part in parts), places)
        return self.proj(out.roll(steps, (1, 2))[:, :height, :width])

    def _attend(self, q, k, v, places):
        """Of `(n, cells, dim)` each; `places` `(cells, 2)` in the image."""

        def split(x):
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        q, k = (functional.normalize(split(x), dim=-1) for x in (q, k))
        scale = self.logit_scale.clamp(max=math.log(100)).exp()
        apart = (places[:, None] - places[None]).float()
        steps = apart.sign() * torch.log2(8 * apart.abs() / (WINDOW - 1) + 1) / 3
        bias = 16 * self.cpb_mlp(steps).sigmoid().permute(2, 0, 1)
        scores = q @ k.transpose(2, 3) * scale + bias
        scores = scores - 100.0 * (apart.abs() >= WINDOW).any(-1)
        return (scores.softmax(-1) @ split(v)).transpose(1, 2).flatten(2)


class Block(nn.Module):
    def __init__(self, dim: int, shifted: bool):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = Attention(dim, shifted)
        dropout = nn.Dropout(0.0)
        self.mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), dropout, nn.Linear(4 * dim, dim), dropout
        )

    def forward(self, x):
        x = x + self.norm1(self.attn(x))
        return x + self.norm2(self.mlp(x))


class Merging(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(2 * dim)

    def forward(self, x):
        x = functional.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        squares = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.norm(self.reduction(torch.cat(squares, -1)))


class ChannelsLast(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1)


class Swin(nn.Module):
    """Features `(n, c, h, w)`; `head` is there only to be dropped by the import."""

    def __init__(self, width: int, blocks: tuple[int, ...]):
        super().__init__()
        patches = nn.Conv2d(3, width, 4, 4)
        parts = [nn.Sequential(patches, ChannelsLast(), nn.LayerNorm(width))]
        for stage, count in enumerate(blocks):
            dim = width * 2**stage
            parts += [Merging(dim // 2)] if stage else []
            parts.append(nn.Sequential(*(Block(dim, number % 2 == 1) for number in range(count))))
        self.features = nn.Sequential(*parts)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 10)

    def forward(self, images):
        return self.norm(self.features(images)).permute(0, 3, 1, 2)


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Values of every parameter's own, so that one in the place of another shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("logit_scale"):
                parameter.copy_(noise + 3.5)  # some above the limit, which is 4.6
            elif parameter.ndim == 1:
                parameter.copy_(noise * 0.1 + (0.5 if "norm" in name else 0))
            else:
                parameter.copy_(noise * 0.7 / parameter[0].numel() ** 0.5)
    return model.eval()
