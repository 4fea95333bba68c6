"""Weights trained on aerial and satellite images, of three bands: this is an RGB toolkit."""

from rssc_tf.weights.known import DINOV3, hub
from rssc_tf.weights.row import Weights

_STUDY = (
    "Risojevic and Stojnic, Do We Still Need ImageNet Pre-Training in Remote Sensing Scene "
    "Classification?, ISPRS Archives 2022"
)
_BY_PATH = "by path, from the folder that github.com/risojevicv/RSSC-transfer links to"


def _study(name: str, backbone: str, normalization: str, files: str, data: str) -> Weights:
    return Weights(
        name,
        backbone,
        "in-domain",
        normalization,
        f"{files}: {_BY_PATH}",
        "see its page",
        _STUDY,
        data=data,
        training="supervised",
        source="github.com/risojevicv/RSSC-transfer",
        image_size=256,
    )


KNOWN_OVERHEAD = (
    hub(
        "dinov3-satellite/large",
        "dinov3_vit_large_sat493m",
        "DINOv3",
        DINOV3,
        "SAT-493M",
        pretraining="in-domain",
    ),
    _study(
        "study/imagenet",
        "resnet50_v1",
        "caffe-rgb",
        "imagenet/rssc_resnet50_*.h5",
        "ImageNet-1k, then a scene set",
    ),
    _study("study/scratch", "resnet50_v1", "unit", "scratch/rssc_resnet50_*.h5", "a scene set"),
    _study(
        "study/swav", "resnet50", "torch", "rssc_resnet50_*.pth", "ImageNet-1k, then a scene set"
    ),
)
