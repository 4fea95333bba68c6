"""Whatever is sent: an answer or a refusal with a reason, never a failure of the server."""

import base64
import json
import random
import string

import orjson
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from rssc_tf.serving.errors import Refused
from rssc_tf.serving.limits import Limits
from rssc_tf.serving.rest import parse_predict
from tests.fuzzing.mutation import mutate


@pytest.fixture(scope="module")
def image(scenes) -> bytes:
    return min(scenes.glob("*/*.jpg")).read_bytes()


def predict_body(image: bytes) -> bytes:
    return json.dumps({"instances": [{"b64": base64.b64encode(image).decode()}]}).encode()


def form(image: bytes) -> bytes:
    head = '--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    return head.encode() + image + b"\r\n--x--\r\n"


@pytest.mark.parametrize("what", ["json", "image", "form"])
def test_damaged_requests(client, exported, image, what):
    path, kind = f"/v1/models/{exported.name}:predict", "application/json"
    if what == "form":
        path, kind = "/classify", "multipart/form-data; boundary=x"
    statuses = set()
    for seed in range(100):
        chance = random.Random(seed)
        if what == "image":
            body = predict_body(mutate(image, chance))
        else:
            body = mutate(predict_body(image) if what == "json" else form(image), chance)
        status, answer = client.post(path, body, kind)
        statuses.add(status)
        assert status == 200 or answer["error"]
    assert statuses == {200, 400}
    assert client.get("/healthz")[0] == 200


class Model:
    """As much of a served model as a parser needs."""

    inputs_of = {
        "serving_default": {"image_bytes": tf.TensorSpec([None], tf.string)},
        "serve_images": {"images": tf.TensorSpec([None, None, None, 3], tf.uint8)},
        "explain": {
            "image_bytes": tf.TensorSpec([None], tf.string),
            "class_index": tf.TensorSpec([None], tf.int32),
        },
    }
    signatures = inputs_of

    def inputs(self, signature):
        return self.inputs_of[signature]


_NAMES = st.sampled_from(["b64", "image_bytes", "class_index", "images", "x"])
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False),
    st.text(string.printable, max_size=6),
    st.sampled_from(["", "AAAA", "Zm9v"]),
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=2),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["instances", "inputs", "signature_name", "other"]),
        _VALUES | st.sampled_from(sorted(Model.inputs_of)),
        max_size=3,
    )
)
def test_any_json_is_read_or_refused(content):
    try:
        found = parse_predict(orjson.dumps(content), Model(), Limits())
    except Refused as error:
        assert error.status_code == 400
        assert error.detail
        return
    assert found.rows
    for row in found.rows:
        assert set(row) == set(Model.inputs_of[found.signature])
        for name, value in row.items():
            dtype = Model.inputs_of[found.signature][name].dtype
            tf.constant([value], dtype)
