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
_TRUE_COLOUR = "channels 0, 1 and 2 (Sentinel-2's true colour)"
MULTI_BAND = {
    "59bfdff9": _SENTINEL2,  # resnet18_sentinel2_all_moco
    "df8b932e": _SENTINEL2,  # resnet50_sentinel2_all_moco
    "d6c330e9": _SENTINEL2,  # resnet50_sentinel2_all_dino
    "36bcc127": _SENTINEL2,  # vit_small_patch16_224_sentinel2_all_dino
    "67c9032d": _SENTINEL2,  # vit_small_patch16_224_sentinel2_all_moco
    "bc68e396": _TRUE_COLOUR,  # sentinel2_swint_si_ms, of Satlas
    "d8c659e3": _TRUE_COLOUR,  # sentinel2_swint_mi_ms
    "fe22a12c": _TRUE_COLOUR,  # sentinel2_swinb_si_ms
    "39c86721": _TRUE_COLOUR,  # sentinel2_swinb_mi_ms
    "1f454cc6": _TRUE_COLOUR,  # sentinel2_resnet50_si_ms
    "da5413d2": _TRUE_COLOUR,  # sentinel2_resnet50_mi_ms
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


_TORCHGEO = "torchgeo 0.8.1, torchgeo/models"
_LICENCES = "docs/api/weights: licence"


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
            "source": f"{_TORCHGEO}/resnet.py: address, data and transforms",
            **more,
        },
    )


_GASSL = "Ayush et al., Geography-Aware Self-Supervised Learning, ICCV 2021"
_SSL4EO = "Wang et al., SSL4EO-S12, IEEE GRSM 2023, arXiv:2211.07044"
_SECO = "Manas et al., Seasonal Contrast, ICCV 2021"
_SATLAS = "Bastani et al., SatlasPretrain, ICCV 2023"
_RSP = "Wang et al., An Empirical Study of Remote Sensing Pretraining, IEEE TGRS 2022"
_REMOTE_CLIP = "Liu et al., RemoteCLIP, IEEE TGRS 2024, arXiv:2306.11029"
_SCALE_MAE = "Reed et al., Scale-MAE, ICCV 2023, arXiv:2212.14532"
_SKYSCRIPT = "Wang et al., SkyScript, AAAI 2024, arXiv:2312.12856"
_RS5M = "Zhang et al., RS5M and GeoRSCLIP, IEEE TGRS 2024, arXiv:2306.11300"

# Reflectances were divided by 10,000 there; an 8-bit picture shows them as ESA's true colour does.
_MOCO = {
    "citation": _SSL4EO,
    "licence": "CC-BY-4.0",
    "source": f"{_TORCHGEO}/resnet.py: address, data and transforms; {_LICENCES}",
    "input": "Sentinel-2 B4, B3, B2 of level 1C as reflectance; an 8-bit picture is taken for "
    "ESA's true colour, where 255 is 0.3558",
}
# SeCo stretches reflectances to 8 bits between quantiles, divides by 255, and takes ImageNet's
# mean and deviation; a picture of 8 bits is taken as it is. (torchgeo's transforms leave the
# division out, so that its input has another range than that of the training.)
_SECO_FACTS = {
    "citation": _SECO,
    "licence": "Apache-2.0",
    "input": "Sentinel-2 B4, B3, B2 stretched to 8 bits between quantiles",
    "source": "github.com/ServiceNow/seasonal-contrast, datasets/seco_dataset.py: input; "
    f"{_TORCHGEO}/resnet.py: address, data; {_LICENCES}",
}


def _satlas(name: str, file: str) -> Weights:
    """Of its models of image series the backbone, which sees one image at a time all the same.

    The last normalisation of a Swin is still ImageNet's, with which training began: Satlas takes
    its feature maps before it.
    """
    what, _, backbone = name.partition("/")
    aerial = "NAIP and other aerial RGB of 0.5 to 2 m a pixel, 0 to 255"
    module = "resnet" if backbone.startswith("resnet") else "swin"
    return _torchgeo(
        name,
        backbone,
        "unit",
        f"satlas/resolve/081d6607431bf36bdb59c223777cbb267131b8f2/{file}",
        "SatlasPretrain, series" if "multi" in what else "SatlasPretrain",
        training="supervised",
        licence="ODC-BY",
        citation=_SATLAS,
        image_size=256,
        input=aerial if "aerial" in what else "Sentinel-2's true colour (TCI), 0 to 255",
        source="github.com/allenai/satlas, Normalization.md: input, SatlasPretrain.md: licence; "
        f"{_TORCHGEO}/{module}.py: address, data, size",
    )


def _clip(name: str, backbone: str, citation: str, data: str, source: str, **more) -> Weights:
    """An image tower trained with captions; what follows it, into the space of texts, is left."""
    file = more.get("url", "").rpartition("/")[2]
    return Weights(
        name,
        backbone,
        "in-domain",
        "clip",
        citation=citation,
        data=data,
        training="supervised",
        source=source,
        **{"origin": f"the authors' checkpoint, {file}", "licence": ON_PAGE, **more},
    )


def _skyclip(name: str, backbone: str, archive: str) -> Weights:
    return _clip(
        f"skyclip/{name}",
        backbone,
        _SKYSCRIPT,
        "SkyScript",
        "github.com/wangzhecheng/SkyScript, README: names of files, what training began with; "
        "cross_modal_retrieval.ipynb: activation; src/open_clip/factory.py: normalisation; LICENSE",
        licence="MIT",
        origin=f"the .pt in {archive}.zip, which github.com/wangzhecheng/SkyScript links to",
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
        **_SECO_FACTS,
    ),
    _torchgeo(
        "seco/resnet50",
        "resnet50",
        "torch",
        "resnet50_sentinel2_rgb_seco/resolve/fbd07b02a8edb8fc1035f7957160deed4321c145/"
        "resnet50_sentinel2_rgb_seco-018bf397.pth",
        "SeCo",
        **_SECO_FACTS,
    ),
    _satlas("satlas/resnet50", "sentinel2_resnet50_si_rgb-45fc6972.pth"),
    _satlas("satlas-multi/resnet50", "sentinel2_resnet50_mi_rgb-e79bb7fe.pth"),
    _satlas("satlas/swin_v2_t", "sentinel2_swint_si_rgb-0c1a96e0.pth"),
    _satlas("satlas-multi/swin_v2_t", "sentinel2_swint_mi_rgb-424d91f4.pth"),
    _satlas("satlas/swin_v2_b", "sentinel2_swinb_si_rgb-156a98d5.pth"),
    _satlas("satlas-multi/swin_v2_b", "sentinel2_swinb_mi_rgb-4efa210c.pth"),
    _satlas("satlas-aerial/swin_v2_b", "aerial_swinb_si-e4169eb1.pth"),
    _satlas("satlas-aerial-multi/swin_v2_b", "aerial_swinb_mi-326d69e1.pth"),
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
        *_REMOTE_CLIP_FACTS,
        url=f"{_REMOTE_CLIP_AT}/RemoteCLIP-ViT-B-32.pt",
    ),
    _clip(
        "remoteclip/vit_large_patch14",
        "vit_large_patch14_clip",
        *_REMOTE_CLIP_FACTS,
        url=f"{_REMOTE_CLIP_AT}/RemoteCLIP-ViT-L-14.pt",
    ),
    _clip(
        "georsclip/vit_base_patch32",
        "vit_base_patch32_clip_quickgelu",
        *_GEORSCLIP_FACTS,
        url=f"{_GEORSCLIP_AT}/RS5M_ViT-B-32.pt",
    ),
    _clip(
        "georsclip/vit_large_patch14",
        "vit_large_patch14_clip_quickgelu",
        *_GEORSCLIP_FACTS,
        url=f"{_GEORSCLIP_AT}/RS5M_ViT-L-14.pt",
    ),
    _skyclip("vit_base_patch32", "vit_base_patch32_clip", "SkyCLIP_ViT_B32_top50pct"),
    _skyclip("vit_large_patch14", "vit_large_patch14_clip_quickgelu", "SkyCLIP_ViT_L14_top50pct"),
    # Its positions are sines of the place times the size of a pixel, relative to training's. Those
    # that the file holds are for 1, which its authors take for evaluation at 224 px, and torchgeo
    # where nobody says otherwise: with them it is a plain vision transformer.
    Weights(
        "scalemae/vit_large_patch16",
        "vit_large_patch16",
        "in-domain",
        "torch",
        "torchgeo: vit_large_patch16_224_fmow_rgb_scalemae-98ed9821.pth",
        "CC-BY-NC-4.0",
        _SCALE_MAE,
        data="fMoW",
        training="self-supervised",
        source=f"{_TORCHGEO}/scale_mae.py: address, data, transforms; {_LICENCES}; "
        "github.com/bair-climate-initiative/scale-mae, scalemae/models_mae.py: positions",
        input="RGB, 0 to 255; positions for a pixel of size 1 at 224 px, whatever it measures",
        url="https://hf.co/isaaccorley/vit_large_patch16_224_fmow_rgb_scalemae/resolve/"
        "9dc7f569424baeb780698352cf6e87638c882123/"
        "vit_large_patch16_224_fmow_rgb_scalemae-98ed9821.pth",
        sha256="98ed9821",
        image_size=224,
        megabytes=1210,
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
