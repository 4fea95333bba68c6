"""The signatures of an export: names, types and shapes, and none but these."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rssc_tf.compat import saved_model_proto

ANSWER = {
    "probabilities": ("DT_FLOAT", "(-1, 4)"),
    "class_names": ("DT_STRING", "(-1, 4)"),
    "predicted": ("DT_STRING", "(-1)"),
    "features": ("DT_FLOAT", "(-1, 16)"),
    "valid": ("DT_BOOL", "(-1)"),
}
SIGNATURES = {
    "serving_default": {"image_bytes": ("DT_STRING", "(-1)"), **ANSWER},
    "serve_images": {"images": ("DT_UINT8", "(-1, -1, -1, 3)"), **ANSWER},
    "explain": {
        "image_bytes": ("DT_STRING", "(-1)"),
        "class_index": ("DT_INT32", "(-1)"),
        "heat": ("DT_FLOAT", "(-1, 8, 8)"),
        "view": ("DT_FLOAT", "(-1, 4)"),
        "valid": ("DT_BOOL", "(-1)"),
    },
}


def _described(tensor) -> tuple[str, str]:
    """Type and shape of a tensor of a signature, as `saved_model_cli` writes them."""
    types = tensor.DESCRIPTOR.fields_by_name["dtype"].enum_type.values_by_number
    shape = ", ".join(str(axis.size) for axis in tensor.tensor_shape.dim)
    return types[tensor.dtype].name, f"({shape})"


def test_the_signatures_and_nothing_else(exported):
    (graph,) = saved_model_proto((exported / "1" / "saved_model.pb").read_bytes()).meta_graphs
    found = {
        name: {key: _described(one) for key, one in {**each.inputs, **each.outputs}.items()}
        for name, each in graph.signature_def.items()
    }
    assert found.pop("__saved_model_init_op", {}).keys() <= {"__saved_model_init_op"}
    assert found == SIGNATURES


@pytest.mark.slow
def test_saved_model_cli_shows_the_signatures_and_nothing_else(exported):
    script = Path(sys.executable).with_name("saved_model_cli")
    command = [script, "show", "--dir", exported / "1", "--tag_set", "serve", "--all"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {}
    for part in shown.split("signature_def['")[1:]:
        part = part.split("Concrete Functions:")[0]
        name, body = part.split("']:", 1)
        tensors = re.findall(r"\['(\w+)'\] tensor_info:\s+dtype: (\w+)\s+shape: (.*)", body)
        found[name] = {tensor: (dtype, shape.strip()) for tensor, dtype, shape in tensors}
    assert found.pop("__saved_model_init_op", {}).keys() <= {"__saved_model_init_op"}
    assert found == SIGNATURES
