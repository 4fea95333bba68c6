"""Plain uploads, operations, and what they answer to strangers."""

import asyncio
import base64
import io
import urllib.parse
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

from rssc_tf.predict import predict_files
from rssc_tf.serving.errors import Refused
from rssc_tf.serving.limits import Limits
from rssc_tf.serving.pictures import count_pixels
from rssc_tf.serving.service import Service
from tests.conftest import CLASSES
from tfrecords_tools.imaging.rule import PLAIN


@pytest.fixture(scope="module")
def files(scenes, tmp_path_factory):
    """A JPEG, a PNG, a WebP, a TIFF, and a TIFF and a PNG of 16 bits; all but the first made of
    one scene."""
    folder = tmp_path_factory.mktemp("uploads")
    first = sorted(scenes.glob("*/*.jpg"))[0]
    image = Image.open(sorted(scenes.glob("*/*.jpg"))[-1])
    (folder / "a b.jpg").write_bytes(first.read_bytes())
    for name in ("c.png", "d.webp", "e.tif"):
        image.save(folder / name)
    deep = np.asarray(image.convert("L")).astype(np.uint16) * 9 + 100
    Image.fromarray(deep).save(folder / "f.tif")
    Image.fromarray(deep).save(folder / "g.png")
    return sorted(folder.iterdir())


def send(files):
    return [(file.name, file.read_bytes()) for file in files]


def test_classify_answers_as_predict_does(client, files, exported):
    status, answer = client.upload("/classify", "files", send(files))
    assert status == 200
    assert answer["model"] == exported.name
    expected = predict_files(exported, files)
    assert [result["file"] for result in answer["results"]] == [file.name for file in files]
    for result, row in zip(answer["results"], expected.to_dict("records"), strict=True):
        assert result["valid"] is True
        assert result["predicted"] == [row["predicted"]]
        assert next(iter(result["probabilities"])) == row["predicted"]
        assert list(result["probabilities"].values()) == sorted(
            result["probabilities"].values(), reverse=True
        )
        for name in CLASSES:
            assert result["probabilities"][name] == pytest.approx(row[f"p_{name}"], abs=1e-5)


def test_previews_are_what_the_model_sees(client, tmp_path):
    # A photograph whose camera was held upright: the model sees the stored pixels, not turned.
    photo = Image.new("RGB", (1600, 800), (200, 30, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(tmp_path / "upright.jpg", exif=exif)
    status, answer = client.upload("/classify?preview=1", "files", send([tmp_path / "upright.jpg"]))
    assert status == 200
    kind, data = answer["results"][0]["preview"].split(",")
    assert kind == "data:image/jpeg;base64"
    shown = Image.open(io.BytesIO(base64.b64decode(data)))
    assert shown.size == (768, 384)
    assert not shown.getexif()


def test_bad_files(client, files):
    cut = files[0].read_bytes()[:150]
    status, answer = client.upload(
        "/classify", "files", [("<b>.txt", b"text"), *send(files[:1]), ("cut.jpg", cut)]
    )
    assert status == 200
    bad, good, short = answer["results"]
    assert good["valid"] and not bad["valid"] and not short["valid"]
    assert bad["file"] == "<b>.txt"
    assert "not an image" in bad["error"]
    assert "runcated" in short["error"]

    status, answer = client.upload("/classify", "files", [("x", b""), ("cut.jpg", cut)])
    assert status == 400
    assert answer["error"].startswith("all 2 images are bad: image 0: the file is empty")
    assert [result["valid"] for result in answer["results"]] == [False, False]


@pytest.mark.parametrize(
    ("shape", "kind", "room"),
    [
        ((40, 30, 3), "uint8", 1200),
        ((40, 30), "uint8", 1200),
        ((40, 30, 3), "uint16", 2400),
        ((40, 30), "float32", 1600),
        ((40, 30, 12), "float32", 19200),
    ],
)
def test_a_file_takes_the_room_of_all_its_bits_and_bands(shape, kind, room, monkeypatch):
    class Model:
        classes, rule, run = ["sea"], PLAIN.override(bands=(1,)), None

    file, taken, has_room = io.BytesIO(), [], Service._room
    pixels = np.random.default_rng(0).integers(0, 200, shape).astype(kind)
    tifffile.imwrite(file, pixels, photometric="minisblack", planarconfig="contig")
    assert count_pixels(file.getvalue(), 2000) == (1200, room)

    def note(self, flow, amount):
        taken.append(amount)
        return has_room(self, flow, amount)

    async def submit(self, rows):
        assert [row.pixels for row in rows] == [1200]  # the model is given 8-bit RGB
        return [{"valid": True, "predicted": b"sea", "probabilities": np.ones(1)}]

    monkeypatch.setattr(Service, "_room", note)
    monkeypatch.setattr(Service, "_submit", submit)
    service = Service(Model(), Limits(max_pixels=2000))
    (answer,) = asyncio.run(service.classify([("x.tif", file.getvalue())], False))
    assert answer["predicted"] == ["sea"]
    assert taken == [room]


@pytest.mark.parametrize(
    ("predicted", "names"),
    [
        (b"", []),
        (b"sea", ["sea"]),
        (b"dock,sea", ["sea", "dock"]),
        (b"a, b", ["a, b"]),
        (b"dock, dry", ["dock, dry"]),  # which is no dock
        (b"dock,dock, dry,sea", ["sea", "dock", "dock, dry"]),
        (b"sea,odd,name", ["sea", ",odd,,name"]),  # as the model joins them
    ],
)
def test_several_labels(predicted, names):
    class Model:
        classes = ["dock", "dock, dry", "sea", "sea ice", "a, b", ",odd,,name"]
        run = None

    answer = {"probabilities": np.float32([0.6, 0.4, 0.9, 0.1, 0.3, 0]), "predicted": predicted}
    result = Service(Model(), Limits())._name(answer)
    assert result["predicted"] == names
    assert list(result["probabilities"]) == [
        "sea",
        "dock",
        "dock, dry",
        "a, b",
        "sea ice",
        ",odd,,name",
    ]


def test_explain(client, files, exported):
    model = tf.saved_model.load(str(exported / "1"))
    for file, number in ((files[0], 0), (files[0], 3), (files[-1], 2)):
        address = "/explain?" + urllib.parse.urlencode({"class": CLASSES[number]})
        status, answer = client.upload(address, "file", send([file]))
        assert status == 200
        assert answer["class"] == CLASSES[number]
        heat = np.array(answer["heat"])
        assert heat.ndim == 2 and heat.min() >= 0 and heat.max() in (0, 1)
        if file == files[0]:  # the other one has 16 bits, which no SavedModel reads
            expected = model.signatures["explain"](
                image_bytes=tf.constant([file.read_bytes()]), class_index=tf.constant([number])
            )
            np.testing.assert_allclose(heat, expected["heat"][0], atol=1e-5)
        left, top, right, bottom = answer["view"]
        assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1


@pytest.mark.parametrize(
    ("path", "field", "data", "status", "reason"),
    [
        ("/explain?class=none", "file", b"x", 400, "no class 'none'"),
        ("/explain?class=river", "file", b"x", 400, "not an image"),
        ("/explain", "file", b"x", 400, "query.class"),
        ("/classify", "file", b"x", 400, "body.files"),
        ("/classify?preview=maybe", "files", b"x", 400, "query.preview"),
        ("/nowhere", "files", b"x", 404, "Not Found"),
        ("/info", "files", b"x", 405, "Method Not Allowed"),
    ],
)
def test_refusals(client, path, field, data, status, reason):
    found, answer = client.upload(path, field, [("x", data)])
    assert found == status
    assert reason in answer["error"]


def test_a_form_that_is_none(client):
    status, answer = client.post("/classify", b"--x", "multipart/form-data; boundary=y")
    assert status == 400 and answer["error"]
    status, answer = client.post("/classify", b"{}")
    assert status == 400 and answer["error"]


def test_health_info_and_metrics(client, server, files, exported):
    assert client.get("/healthz") == (200, {"status": "ok"})
    status, info = client.get("/info")
    assert status == 200
    assert info["model"] == exported.name
    assert info["classes"] == sorted(CLASSES)
    assert info["explain"] is True

    def metrics() -> dict[str, float]:
        with urllib.request.urlopen(f"{server.address}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            lines = [line for line in answer.read().decode().splitlines() if line[0] != "#"]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    before = metrics()
    client.upload("/classify", "files", [*send(files[:2]), ("x", b"x")])
    client.get("/made/up/1")
    client.get("/made/up/2")
    after = metrics()

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grown('rssc_requests_total{code="200",route="/classify"}') == 1
    assert grown('rssc_requests_total{code="404",route="other"}') == 2
    assert grown('rssc_images_total{valid="true"}') == 2
    assert grown('rssc_images_total{valid="false"}') == 1
    assert grown("rssc_batch_images_sum") == 2
    assert grown('rssc_request_seconds_count{route="/classify"}') == 1
    assert after["rssc_queue_images"] == 0
    assert not any("made" in name for name in after)


def test_page_has_no_door_for_scripts(server):
    for path in ("/", "/page.js", "/page.css"):
        with urllib.request.urlopen(server.address + path) as answer:
            policy = answer.headers["Content-Security-Policy"]
            text = answer.read().decode()
        assert "default-src 'none'" in policy and "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "//" not in text.replace("// ", "")  # nothing from elsewhere
        assert not any(word in text for word in ("innerHTML", "insertAdjacent", "eval("))
        with urllib.request.urlopen(f"{server.address}{path}?content=evil&kind=text/html") as again:
            assert again.read().decode() == text


def test_an_export_without_grad_cam():
    class Model:
        classes, signatures, run = ["sea"], {}, None

    with pytest.raises(Refused, match="this export has no Grad-CAM") as refused:
        asyncio.run(Service(Model(), Limits()).explain(b"x", "sea"))
    assert refused.value.status_code == 404
