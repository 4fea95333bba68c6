"""ONNX: by tf2onnx, run by onnxruntime. Both come with the extra `[export]`."""

import importlib
import logging
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from tfrecords_tools.common.errors import MissingExtra

OPSET = 18


def require() -> None:
    """Raises `RsscError` where a package of the extra is missing."""
    for name in ("onnx", "onnxruntime", "tf2onnx"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MissingExtra("`format='onnx'`", "export", name) from error


def runtime() -> str:
    """What `load` runs a file with."""
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}"


def convert(portable, samples: Iterable | None) -> bytes:
    """A file whose model has input `images` uint8 `(n, side, side, 3)` and output `probabilities`
    float32 `(n, classes)`.

    Args:
        portable: a `portable.Portable`.
        samples: tensors uint8 `(1, side, side, 3)` for int8: weights and activations are quantised
            where ONNX's QDQ nodes say so. `None` for float32.
    """
    import onnx
    import tf2onnx

    # It logs the stack of every einsum that it leaves as it is.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    function = portable.function(None)
    model, _ = tf2onnx.convert.from_function(
        function,
        function.input_signature,
        opset=OPSET,
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    # Tensors that a Keras layer holds as constants have become inputs without a value.
    for value, placeholder in function.get_concrete_function().graph.captures:
        for lost in [one for one in model.graph.input if one.name == placeholder.name]:
            model.graph.input.remove(lost)
            array = onnx.numpy_helper.from_array(value.numpy(), lost.name)
            model.graph.initializer.append(array)
    data = model.SerializeToString()
    return data if samples is None else _quantize(data, samples)


def _erfc(graph, node, name: str, _) -> None:
    """TensorFlow's GELU has an op that ONNX has not: erfc(x) is 1 - erf(x)."""
    one = graph.make_const(f"{name}/one", np.array(1, np.float32))
    erf = graph.make_node("Erf", node.input)
    node.type, node.domain = "Sub", ""
    graph.replace_inputs(node, [one.output[0], erf.output[0]])


def _quantize(data: bytes, samples: Iterable) -> bytes:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Samples(CalibrationDataReader):
        def __init__(self):
            self._left = ({"images": one.numpy()} for one in samples)

        def get_next(self):
            return next(self._left, None)

    with tempfile.TemporaryDirectory() as folder:
        exported, prepared, quantized = (Path(folder) / f"{stage}.onnx" for stage in "abc")
        exported.write_bytes(data)
        quant_pre_process(exported, prepared, skip_symbolic_shape=True)  # folds, infers shapes
        options = {"quant_format": QuantFormat.QDQ, "per_channel": True}
        quantize_static(prepared, quantized, Samples(), **options)
        return quantized.read_bytes()


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A file -> a function from uint8 `(n, side, side, 3)` to float32 `(n, classes)`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def classify(images: np.ndarray) -> np.ndarray:
        return session.run(["probabilities"], {"images": images})[0]

    classify(np.zeros([1, *session.get_inputs()[0].shape[1:]], np.uint8))  # does it run at all?
    return classify
