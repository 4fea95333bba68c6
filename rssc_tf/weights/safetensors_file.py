"""Checkpoints in the safetensors format, by its own library."""

from pathlib import Path

import ml_dtypes  # noqa: F401  teaches NumPy the name bfloat16
import numpy as np

from rssc_tf.weights.files import refuse_piece
from tfrecords_tools.common.errors import DataError


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a file by its name, in the file's order and dtype.

    Raises:
        DataError: the file is truncated or damaged, holds no tensor, or is one of several pieces.
    """
    import safetensors

    refuse_piece(path)
    try:
        with safetensors.safe_open(path, "np") as file:
            tensors = {name: _array(file, name) for name in file.keys()}  # noqa: SIM118
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # the library has one error for all, and NumPy its own
        reason = " ".join(str(error).split())[:90]
        raise DataError(f"{path}: the file is truncated or damaged ({reason})") from None
    if not tensors:
        raise DataError(f"{path}: the checkpoint holds no tensor")
    return tensors


def _array(file, name: str) -> np.ndarray:
    kind = file.get_slice(name).get_dtype()
    if kind.startswith(("F8", "F4", "F6")):
        raise DataError(f"{name} is stored in 8 bits or fewer ({kind}): save it in float16")
    return file.get_tensor(name)
