"""The PyTorch models whose parameter names torchvision's checkpoints have, small and plain.

Written for these tests from the papers (He et al. 2016; Sandler et al. 2018); torchvision itself
is not needed. Import only where torch is installed.
"""

import torch
from torch import nn


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels)


class _Block(nn.Module):
    """A residual block; `widths` are its convolutions' outputs, `kernels` their sizes."""

    def __init__(self, inputs: int, widths: list[int], kernels: list[int], stride: int):
        super().__init__()
        strided = kernels.index(3)
        channels = inputs
        for i, (width, kernel) in enumerate(zip(widths, kernels, strict=True), 1):
            step = stride if i - 1 == strided else 1
            self.add_module(
                f"conv{i}", nn.Conv2d(channels, width, kernel, step, kernel // 2, bias=False)
            )
            self.add_module(f"bn{i}", _norm(width))
            channels = width
        self.depth = len(widths)
        self.downsample = None
        if stride != 1 or inputs != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride, bias=False), _norm(channels)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        for i in range(1, self.depth + 1):
            x = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))
            x = torch.relu(x) if i < self.depth else x
        return torch.relu(x + shortcut)


class ResNet(nn.Module):
    """Features `(n, c, h/32, w/32)`; `fc` is there only to be dropped by the import."""

    def __init__(self, blocks: list[int], bottleneck: bool, classes: int = 10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = _norm(64)
        channels = 64
        for stage, count in enumerate(blocks):
            width, layers = 64 * 2**stage, []
            for i in range(count):
                widths = [width, width, 4 * width] if bottleneck else [width, width]
                kernels = [1, 3, 1] if bottleneck else [3, 3]
                stride = 2 if stage and i == 0 else 1
                layers.append(_Block(channels, widths, kernels, stride))
                channels = widths[-1]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = nn.functional.max_pool2d(x, 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def resnet18() -> ResNet:
    return ResNet([2, 2, 2, 2], bottleneck=False)


def resnet34() -> ResNet:
    return ResNet([3, 4, 6, 3], bottleneck=False)


def resnet50() -> ResNet:
    return ResNet([3, 4, 6, 3], bottleneck=True)


def resnet101() -> ResNet:
    return ResNet([3, 4, 23, 3], bottleneck=True)


class _Inverted(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, flat: bool):
        super().__init__()
        hidden = inputs * expansion
        expand = [nn.Conv2d(inputs, hidden, 1, bias=False), _norm(hidden), nn.ReLU6()]
        depthwise = [
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            _norm(hidden),
            nn.ReLU6(),
        ]
        last = [nn.Conv2d(hidden, outputs, 1, bias=False), _norm(outputs)]
        expand = expand if expansion != 1 else []
        if flat:
            self.conv = nn.Sequential(*expand, *depthwise, *last)
        else:
            steps = [nn.Sequential(*step) for step in (expand, depthwise) if step]
            self.conv = nn.Sequential(*steps, *last)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """Features `(n, 1280, h/32, w/32)`; `flat` names the blocks as torchvision 0.4 did."""

    def __init__(self, flat: bool = False, classes: int = 10):
        super().__init__()
        layers = [nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1, bias=False), _norm(32), nn.ReLU6())]
        channels = 32
        for expansion, outputs, count, stride in [
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ]:
            for i in range(count):
                step = stride if i == 0 else 1
                layers.append(_Inverted(channels, outputs, step, expansion, flat))
                channels = outputs
        layers.append(
            nn.Sequential(nn.Conv2d(channels, 1280, 1, bias=False), _norm(1280), nn.ReLU6())
        )
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x):
        return self.features(x)


class _Same(nn.Conv2d):
    """TensorFlow's "same": what an odd total leaves over is padded below and to the right."""

    def forward(self, x):
        pads = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(nn.functional.pad(x, pads))


class _LiteBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        hidden = inputs * expansion
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv = _Same(inputs, hidden, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(hidden, eps=1e-3)
        self._depthwise_conv = _Same(hidden, hidden, kernel, stride, groups=hidden, bias=False)
        self._bn1 = nn.BatchNorm2d(hidden, eps=1e-3)
        self._project_conv = _Same(hidden, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=1e-3)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, inputs):
        x = inputs
        if self.expands:
            x = nn.functional.relu6(self._bn0(self._expand_conv(x)))
        x = nn.functional.relu6(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        return x + inputs if self.residual else x


class EfficientNetLite(nn.Module):
    """Features `(n, 1280, h/32, w/32)`, in the names of efficientnet_lite_pytorch.

    `counts` and `outputs`: of the blocks of each stage.
    """

    def __init__(self, counts, outputs):
        super().__init__()
        self._conv_stem = _Same(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks, channels = [], 32
        plan = [(3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6)]
        for count, (kernel, stride, expansion), width in zip(counts, plan, outputs, strict=True):
            for i in range(count):
                step = stride if i == 0 else 1
                blocks.append(_LiteBlock(channels, width, kernel, step, expansion))
                channels = width
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _Same(channels, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x):
        x = nn.functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return nn.functional.relu6(self._bn1(self._conv_head(x)))


def EfficientNetLite0() -> EfficientNetLite:
    return EfficientNetLite([1, 2, 2, 3, 3, 4, 1], [16, 24, 40, 80, 112, 192, 320])


def EfficientNetLite1() -> EfficientNetLite:
    return EfficientNetLite([1, 3, 3, 4, 4, 5, 1], [16, 24, 40, 80, 112, 192, 320])


def EfficientNetLite2() -> EfficientNetLite:
    return EfficientNetLite([1, 3, 3, 4, 4, 5, 1], [16, 24, 48, 88, 120, 208, 352])


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights whose statistics fit them, and small enough for an epsilon to count.

    A fresh model has means of 0 and variances of 1, where a wrong epsilon does not show. Here
    each convolution's channels are scaled down at random, so that BatchNorm's variances go down
    to about 1e-2; the statistics are those of a batch, so that activations stay of order 1; gammas
    are small, as a residual network with larger ones amplifies rounding errors.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                fan = module.weight[0].numel()
                noise = torch.randn(module.weight.shape, generator=generator)
                scale = 10 ** -torch.rand((len(noise), 1, 1, 1), generator=generator)
                module.weight.copy_(noise * scale / fan**0.5)
            if isinstance(module, nn.BatchNorm2d):
                shape = module.weight.shape
                module.weight.copy_(torch.rand(shape, generator=generator) * 0.3 + 0.2)
                module.bias.copy_(torch.randn(shape, generator=generator) * 0.2)
                module.momentum = 1.0
        model.train()(torch.randn((8, 3, 64, 64), generator=generator))
    return model.eval()
