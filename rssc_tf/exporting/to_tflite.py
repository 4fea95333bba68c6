"""TensorFlow Lite: one flatbuffer for phones and small devices.

Converter and runtime are TensorFlow's own.
"""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrecords_tools.common.tensorflow import hold_stderr


def require() -> None:
    """Nothing beyond TensorFlow is needed."""


def runtime() -> str:
    """What `load` runs a file with."""
    return f"the interpreter of TensorFlow {tf.__version__}"


def convert(portable, samples: Iterable | None) -> bytes:
    """A file whose model has input `images` uint8 `(1, side, side, 3)` and output `probabilities`
    float32 `(1, classes)`.

    Args:
        portable: a `portable.Portable`.
        samples: tensors uint8 `(1, side, side, 3)` for int8, gone through more than once: every
            operation between the first cast and the last is then done on integers, softmax
            included, so that probabilities are multiples of 1/256. `None` for float32.
    """
    function = portable.function(1).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], portable)
    if samples is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([one.numpy()] for one in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return converter.convert()


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A file -> a function from uint8 `(n, side, side, 3)` to float32 `(n, classes)`."""
    # TensorFlow warns that its interpreter moves to a package of its own, and C++ code greets.
    with warnings.catch_warnings(), hold_stderr():
        warnings.simplefilter("ignore")
        run = tf.lite.Interpreter(str(path)).get_signature_runner()
        run(images=np.zeros(run.get_input_details()["images"]["shape"], np.uint8))

    def classify(images: np.ndarray) -> np.ndarray:
        return np.concatenate([run(images=image[None])["probabilities"] for image in images])

    return classify
