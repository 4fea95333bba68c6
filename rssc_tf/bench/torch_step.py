"""PyTorch's training step of the same ResNet, for comparison on the same device."""

import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from rssc_tf.bench.measure import Variant
from rssc_tf.training.assembly import SupervisedTraining
from tfrecords_tools.common.errors import first_line

_NETWORKS = ("resnet18", "resnet50")  # ours are torchvision's, layer by layer
_DTYPES = {"mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}
_IN_FLIGHT = 4


def torch_steps(
    precision: str, backbone: str, image_size: int, training: SupervisedTraining
) -> list[Variant]:
    """The step on a batch in memory, uncompiled and, on a GPU, compiled.

    uint8 images, normalised on the device, channels last; Adam in one kernel; the same precision
    (float32 with TensorFloat-32, as TensorFlow has it).

    Returns:
        Nothing unless torch and torchvision are installed and have the network, for one class an
        image.
    """
    if backbone not in _NETWORKS or not training.records.task.exclusive:
        return []
    if not (find_spec("torch") and find_spec("torchvision")):
        return []
    import torch

    classes = len(training.records.classes)
    kinds = {"uncompiled": False} | ({"compiled": True} if torch.cuda.is_available() else {})
    variants = []
    for name, compiled in kinds.items():
        try:
            step = _step(precision, backbone, image_size, training.batch, classes, compiled)
        except Exception as error:  # torch.compile needs compilers that may be absent
            reason = first_line(error)
            warnings.warn(f"PyTorch, {name}: {reason}", stacklevel=2)
            continue
        variants.append(
            Variant(f"{precision}, PyTorch, {name}", lambda step=step: _run(step, training.batch))
        )
    return variants


def _step(
    precision: str, backbone: str, size: int, batch: int, classes: int, compiled: bool
) -> Callable:
    """A function that does one step and returns its loss, after a first call."""
    import torch
    import torchvision

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    network = getattr(torchvision.models, backbone)(num_classes=classes)
    network = network.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-4, fused=device == "cuda")
    scaler = torch.amp.GradScaler(device, enabled=precision == "mixed_float16")
    dtype = getattr(torch, _DTYPES.get(precision, "float32"))
    images = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8, device=device)
    labels = torch.randint(0, classes, (batch,), device=device)
    mean, std = (
        255 * torch.tensor(values, device=device).view(1, 3, 1, 1)
        for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )

    def forward():
        x = (images.permute(0, 3, 1, 2).float() - mean) / std
        with torch.autocast(device, dtype, enabled=precision in _DTYPES):
            return network(x)

    if compiled:
        forward = torch.compile(forward)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(forward().float(), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    step().item()
    return step


def _run(step: Callable, batch: int) -> Iterator[int]:
    """As our own: a few steps are under way at once."""
    pending = []
    while True:
        pending.append(step())
        if len(pending) == _IN_FLIGHT:
            pending.pop(0).item()
        yield batch
