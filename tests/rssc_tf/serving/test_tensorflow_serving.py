"""A client written from TensorFlow Serving's public REST description, and nothing of ours."""

import base64
import json
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image


@pytest.fixture(scope="module")
def url(server, exported) -> str:
    return f"{server.address}/v1/models/{urllib.parse.quote(exported.name)}"


@pytest.fixture(scope="module")
def files(scenes) -> list[bytes]:
    return [path.read_bytes() for path in sorted(scenes.glob("*/*.jpg"))[::9]]


@pytest.fixture(scope="module")
def truth(exported, files) -> dict[str, np.ndarray]:
    model = tf.saved_model.load(str(exported / "1"))
    answer = model.signatures["serving_default"](image_bytes=tf.constant(files))
    return {name: value.numpy() for name, value in answer.items()}


def b64(data: bytes) -> dict:
    return {"b64": base64.b64encode(data).decode()}


def ask(url: str, request=None) -> tuple[int, dict]:
    data = request
    if not (data is None or isinstance(data, bytes)):
        data = json.dumps(data).encode()
    try:
        with urllib.request.urlopen(url, data, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def check(predictions: list[dict], truth: dict) -> None:
    assert len(predictions) == len(truth["predicted"])
    for number, row in enumerate(predictions):
        assert set(row) == set(truth)
        np.testing.assert_allclose(row["probabilities"], truth["probabilities"][number], atol=1e-5)
        np.testing.assert_allclose(row["features"], truth["features"][number], atol=1e-4)
        assert row["class_names"] == [name.decode() for name in truth["class_names"][number]]
        assert row["predicted"] == truth["predicted"][number].decode()
        assert row["valid"] is True


@pytest.mark.parametrize("path", ["", "/versions/1"])
@pytest.mark.parametrize("named", [False, True])
def test_row_format(url, files, truth, path, named):
    instances = [{"image_bytes": b64(file)} if named else b64(file) for file in files]
    request = {"signature_name": "serving_default", "instances": instances}
    status, answer = ask(f"{url}{path}:predict", request)
    assert status == 200
    assert set(answer) == {"predictions"}
    check(answer["predictions"], truth)


@pytest.mark.parametrize("named", [False, True])
def test_columnar_format(url, files, truth, named):
    column = [b64(file) for file in files]
    status, answer = ask(f"{url}:predict", {"inputs": {"image_bytes": column} if named else column})
    assert status == 200
    assert set(answer) == {"outputs"}
    columns = answer["outputs"]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    check(rows, truth)


def test_an_image_as_numbers(url, exported):
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 48, 3), np.uint8)
    model = tf.saved_model.load(str(exported / "1"))
    expected = model.signatures["serve_images"](images=tf.constant(images))["probabilities"]
    for form in ("instances", "inputs"):
        status, answer = ask(
            f"{url}:predict", {"signature_name": "serve_images", form: images.tolist()}
        )
        assert status == 200
        found = (
            [row["probabilities"] for row in answer["predictions"]]
            if form == "instances"
            else answer["outputs"]["probabilities"]
        )
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_several_inputs(url, files, exported):
    model = tf.saved_model.load(str(exported / "1"))
    expected = model.signatures["explain"](
        image_bytes=tf.constant([files[0]] * 2), class_index=tf.constant([0, 3])
    )["heat"].numpy()
    assert np.abs(expected[0] - expected[1]).max() > 0.01
    rows = [{"image_bytes": b64(files[0]), "class_index": index} for index in (0, 3)]
    status, answer = ask(f"{url}:predict", {"signature_name": "explain", "instances": rows})
    assert status == 200
    for row, wanted in zip(answer["predictions"], expected, strict=True):
        heat = np.array(row["heat"])
        np.testing.assert_allclose(heat, wanted, atol=1e-5)
        assert heat.ndim == 2
        assert 0 <= heat.min() <= heat.max() <= 1
        assert len(row["view"]) == 4


def test_bad_images_in_a_batch(url, files, truth):
    instances = [b64(files[0]), b64(b"no image"), b64(files[1][:200]), b64(files[1])]
    status, answer = ask(f"{url}:predict", {"instances": instances})
    assert status == 200
    rows = answer["predictions"]
    assert [row["valid"] for row in rows] == [True, False, False, True]
    assert rows[1]["predicted"] == ""
    for row, number in ((rows[0], 0), (rows[3], 1)):
        np.testing.assert_allclose(row["probabilities"], truth["probabilities"][number], atol=1e-5)


@pytest.mark.parametrize("written", [base64.encodebytes, lambda data: base64.b64encode(data)[:-1]])
def test_base64_in_lines_and_without_padding(url, written):
    data = next(data for data in (b"a" * size for size in range(59, 90)) if len(data) % 3 == 2)
    text = written(data).decode()
    assert text != base64.b64encode(data).decode()
    status, answer = ask(f"{url}:predict", {"instances": [{"b64": text}]})
    assert (status, answer["error"].partition(" (")[0]) == (400, "bad image: not an image")


def test_status(url):
    fine = {"error_code": "OK", "error_message": ""}
    expected = {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": fine}]}
    assert ask(url) == ask(f"{url}/versions/1") == (200, expected)


def test_metadata(url, exported, truth):
    status, answer = ask(f"{url}/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": exported.name, "signature_name": "", "version": "1"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "serve_images"} <= set(signatures)
    signature = signatures["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
    assert signature["inputs"]["image_bytes"]["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    assert set(signature["outputs"]) == set(truth)


def test_another_model_or_version_is_not_found(url):
    base = url.rsplit("/", 1)[0]
    for address in (f"{base}/other", f"{url}/versions/2", f"{base}/other/metadata", f"{url}/x"):
        status, answer = ask(address)
        assert status == 404
        assert answer["error"]
    status, answer = ask(f"{base}/other:predict", {"instances": [1]})
    assert status == 404
    assert "other" in answer["error"]


GOOD = base64.b64encode(b"no image at all").decode()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff\xfe", "JSON"),
        ([], "object"),
        ({}, "instances"),
        ({"instances": [], "inputs": []}, "exactly one"),
        ({"instances": []}, "no instances"),
        ({"instances": {}}, "list"),
        ({"instances": [None]}, "image_bytes of instance 0"),
        ({"instances": [{"b64": 3}]}, "b64"),
        ({"instances": [{"b64": "%%"}]}, "base64"),
        ({"instances": [{"b64": GOOD, "x": 1}]}, "the inputs are image_bytes"),
        ({"instances": [{"image_bytes": 1.5}]}, "a number"),
        ({"instances": [{"b64": GOOD}], "signature_name": "x"}, "serving_default"),
        ({"inputs": {"image_bytes": {"b64": GOOD}}}, "list"),
        ({"inputs": {"images": []}}, "image_bytes"),
        ({"signature_name": "explain", "instances": [{"b64": GOOD}]}, "class_index"),
        (
            {"signature_name": "explain", "inputs": {"image_bytes": [GOOD], "class_index": []}},
            "unequal",
        ),
        ({"signature_name": "serve_images", "instances": [[[1]]]}, "shape (1, 1)"),
        ({"signature_name": "serve_images", "instances": [[[[1, 2, 300]]]]}, "255"),
        ({"signature_name": "serve_images", "instances": [[[[1, 2, 0.5]]]]}, "whole numbers"),
        ({"signature_name": "serve_images", "instances": [[[[1, 2, 3]], [[1]]]]}, "ragged"),
        ({"instances": [{"b64": GOOD}, "", {"b64": ""}]}, "image 1: the file is empty"),
        ({"instances": [{"b64": GOOD}]}, "not an image"),
    ],
)
def test_bad_requests_have_a_reason(url, request_, reason):
    status, answer = ask(f"{url}:predict", request_)
    assert status == 400
    assert set(answer) == {"error"}
    assert reason in answer["error"]


def test_tiff_is_sent_on(url, tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.tif")
    status, answer = ask(f"{url}:predict", {"instances": [b64((tmp_path / "a.tif").read_bytes())]})
    assert status == 400
    assert "/classify" in answer["error"]
