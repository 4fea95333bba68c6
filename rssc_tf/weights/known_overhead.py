"""Weights trained on aerial and satellite images, of three bands: this is an RGB toolkit."""

from rssc_tf.weights.known import DINOV3, hub
from rssc_tf.weights.row import ON_PAGE, Weights

_STUDY = (
    "Risojevic and Stojnic, Do We Still Need ImageNet Pre-Training in Remote Sensing Scene "
    "Classification?, ISPRS Archives 2022"
)
_BY_PATH = "by path, from the folder that github.com/risojevicv/RSSC-transfer links to"


# Weights for other images than RGB ones that people try: the first digits of the file's hash, and
# which of its channels, counted from 0, are red, green and blue. From torchgeo's tables.
_SENTINEL2 = "channels 3, 2 and 1 (bands B4, B3, B2 of Sentinel-2)"
MULTI_BAND = {
    "59bfdff9": _SENTINEL2,  # resnet18_sentinel2_all_moco
    "df8b932e": _SENTINEL2,  # resnet50_sentinel2_all_moco
    "d6c330e9": _SENTINEL2,  # resnet50_sentinel2_all_dino
    "36bcc127": _SENTINEL2,  # vit_small_patch16_224_sentinel2_all_dino
    "67c9032d": _SENTINEL2,  # vit_small_patch16_224_sentinel2_all_moco
}


def _study(name: str, backbone: str, normalization: str, files: str, data: str) -> Weights:
    return Weights(
        name,
        backbone,
        "in-domain",
        normalization,
        f"{files}: {_BY_PATH}",
        ON_PAGE,
        _STUDY,
        data=data,
        training="supervised",
        source="github.com/risojevicv/RSSC-transfer",
        image_size=256,
    )


_TORCHGEO = "torchgeo 0.8.1, torchgeo/models/resnet.py"


def _torchgeo(
    name: str, backbone: str, normalization: str, place: str, data: str, **more
) -> Weights:
    """A file of torchgeo's, whose name ends in the first digits of its hash."""
    file = place.rpartition("/")[2]
    return Weights(
        name,
        backbone,
        "in-domain",
        normalization,
        f"torchgeo: {file}",
        data=data,
        url=f"https://hf.co/torchgeo/{place}",
        sha256=file.removesuffix(".pth").rpartition("-")[2],
        **{
            "training": "self-supervised",
            "licence": ON_PAGE,
            "source": f"{_TORCHGEO}: address, data and transforms",
            **more,
        },
    )


_GASSL = "Ayush et al., Geography-Aware Self-Supervised Learning, ICCV 2021"
_SSL4EO = "Wang et al., SSL4EO-S12, IEEE GRSM 2023, arXiv:2211.07044"
_SECO = "Manas et al., Seasonal Contrast, ICCV 2021"
_SATLAS = "Bastani et al., SatlasPretrain, ICCV 2023"
_RSP = "Wang et al., An Empirical Study of Remote Sensing Pretraining, IEEE TGRS 2022"
_REMOTE_CLIP = "Liu et al., RemoteCLIP, IEEE TGRS 2024, arXiv:2306.11029"
_RS5M = "Zhang et al., RS5M and GeoRSCLIP, IEEE TGRS 2024, arXiv:2306.11300"

# Reflectances were divided by 10,000 there; an 8-bit picture shows them as ESA's true colour does.
_MOCO = {
    "citation": _SSL4EO,
    "input": "Sentinel-2 B4, B3, B2 of level 1C as reflectance; an 8-bit picture is taken for "
    "ESA's true colour, where 255 is 0.3558",
}
# There, reflectances were stretched to 8 bits between quantiles; a picture is taken as it is.
# torchgeo's transforms multiply by 255 between the quantiles and ImageNet's mean and deviation;
# here these follow on 0..1, what they are made for, and what a tensor of an 8-bit picture has.
# Which of the two the training saw was not verified, and nobody here has had the file.
_SECO_INPUT = {
    "citation": _SECO,
    "input": "Sentinel-2 B4, B3, B2 stretched to 8 bits between quantiles, then ImageNet's mean "
    "and deviation of 0 to 1",
    "source": f"{_TORCHGEO}: address, data, quantiles; its transforms multiply by 255 before mean "
    "and deviation, which is taken for a slip and not done here (not verified)",
}
_SATLAS_FACTS = {
    "training": "supervised",
    "licence": "ODC-BY",
    "citation": _SATLAS,
    "image_size": 256,
    "input": "Sentinel-2's true colour (TCI), 0 to 255",
}
_SATLAS_AT = "satlas/resolve/081d6607431bf36bdb59c223777cbb267131b8f2"


def _clip(name: str, backbone: str, url: str, citation: str, data: str, source: str) -> Weights:
    """An image tower trained with captions; what follows it, into the space of texts, is left."""
    return Weights(
        name,
        backbone,
        "in-domain",
        "clip",
        f"the authors' checkpoint, {url.rpartition('/')[2]}",
        ON_PAGE,
        citation,
        data=data,
        training="supervised",
        source=source,
        url=url,
    )


_REMOTE_CLIP_AT = "https://huggingface.co/chendelong/RemoteCLIP/resolve/main"
_GEORSCLIP_AT = "https://huggingface.co/Zilun/GeoRSCLIP/resolve/main/ckpt"
_REMOTE_CLIP_FACTS = (
    _REMOTE_CLIP,
    "captioned scenes",
    "github.com/ChenDelong1999/RemoteCLIP, README: names of files, loaded with GELU",
)
_GEORSCLIP_FACTS = (
    _RS5M,
    "RS5M",
    "github.com/om-ai-lab/RS5M: names of files; begun from OpenAI's models, hence QuickGELU",
)

KNOWN_OVERHEAD = (
    _torchgeo(
        "gassl/resnet50",
        "resnet50",
        "torch",
        "resnet50_fmow_rgb_gassl/resolve/fe8a91026cf9104f1e884316b8e8772d7af9052c/"
        "resnet50_fmow_rgb_gassl-da43d987.pth",
        "fMoW",
        citation=_GASSL,
    ),
    _torchgeo(
        "moco-sentinel2/resnet18",
        "resnet18",
        "sentinel2",
        "resnet18_sentinel2_rgb_moco/resolve/e1c032e7785fd0625224cdb6699aa138bb304eec/"
        "resnet18_sentinel2_rgb_moco-e3a335e3.pth",
        "SSL4EO-S12",
        **_MOCO,
    ),
    _torchgeo(
        "moco-sentinel2/resnet50",
        "resnet50",
        "sentinel2",
        "resnet50_sentinel2_rgb_moco/resolve/efd9723b59a88e9dc1420dc1e96afb25b0630a3c/"
        "resnet50_sentinel2_rgb_moco-2b57ba8b.pth",
        "SSL4EO-S12",
        **_MOCO,
    ),
    _torchgeo(
        "seco/resnet18",
        "resnet18",
        "torch",
        "resnet18_sentinel2_rgb_seco/resolve/f8dcee692cf7142163b55a5c197d981fe0e717a0/"
        "resnet18_sentinel2_rgb_seco-cefca942.pth",
        "SeCo",
        **_SECO_INPUT,
    ),
    _torchgeo(
        "seco/resnet50",
        "resnet50",
        "torch",
        "resnet50_sentinel2_rgb_seco/resolve/fbd07b02a8edb8fc1035f7957160deed4321c145/"
        "resnet50_sentinel2_rgb_seco-018bf397.pth",
        "SeCo",
        **_SECO_INPUT,
    ),
    _torchgeo(
        "satlas/resnet50",
        "resnet50",
        "unit",
        f"{_SATLAS_AT}/sentinel2_resnet50_si_rgb-45fc6972.pth",
        "SatlasPretrain",
        **_SATLAS_FACTS,
    ),
    _torchgeo(
        "satlas-multi/resnet50",
        "resnet50",
        "unit",
        f"{_SATLAS_AT}/sentinel2_resnet50_mi_rgb-e79bb7fe.pth",
        "SatlasPretrain, series",
        **_SATLAS_FACTS,
    ),
    Weights(
        "rsp/resnet50",
        "resnet50",
        "in-domain",
        "torch",
        "RSP-ResNet-50-E300 by hand: linked to from github.com/ViTAE-Transformer/RSP",
        "MIT",
        _RSP,
        data="MillionAID",
        training="supervised",
        source="github.com/ViTAE-Transformer/RSP, README; the normalisation is not stated there",
        image_size=224,
    ),
    _clip(
        "remoteclip/vit_base_patch32",
        "vit_base_patch32_clip",
        f"{_REMOTE_CLIP_AT}/RemoteCLIP-ViT-B-32.pt",
        *_REMOTE_CLIP_FACTS,
    ),
    _clip(
        "remoteclip/vit_large_patch14",
        "vit_large_patch14_clip",
        f"{_REMOTE_CLIP_AT}/RemoteCLIP-ViT-L-14.pt",
        *_REMOTE_CLIP_FACTS,
    ),
    _clip(
        "georsclip/vit_base_patch32",
        "vit_base_patch32_clip_quickgelu",
        f"{_GEORSCLIP_AT}/RS5M_ViT-B-32.pt",
        *_GEORSCLIP_FACTS,
    ),
    _clip(
        "georsclip/vit_large_patch14",
        "vit_large_patch14_clip_quickgelu",
        f"{_GEORSCLIP_AT}/RS5M_ViT-L-14.pt",
        *_GEORSCLIP_FACTS,
    ),
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
