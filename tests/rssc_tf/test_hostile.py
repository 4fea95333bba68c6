"""Input that means harm, through the command line: one line, exit 1, nothing outside `--out`."""

import io
import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rssc_tf.settings import Settings
from rssc_tf.settings_file import load_config
from tests.tiny import SMALL
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.imaging.images import BadImage, load_rgb
from tfrecords_tools.records.card import read_card
from tfrecords_tools.sources.readers import refuse_unsafe

ODD_LABELS = ("../../x", "/etc/cron.d/x", "C:\\x", "<b>bold</b>", "a,b|c", "x" * 300)


def _one_line(answer: tuple[int, str, str], message: str) -> None:
    code, _, err = answer
    assert code == 1, err
    assert message in err
    assert len(err.strip().splitlines()) == 1, err
    assert err.strip().isprintable()


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# --- names ---


@pytest.mark.slow
def test_labels_that_look_like_paths_stay_labels(multi_scenes, exported, cli, tmp_path):
    folder, csv = multi_scenes
    table = pd.read_csv(csv)
    names = ODD_LABELS + tuple(f"l{n}" for n in range(2))
    generator = np.random.default_rng(0)
    for name in names:
        table[name] = generator.integers(0, 2, len(table))
    table.to_csv(tmp_path / "odd.csv", index=False)
    records, run, out = (tmp_path / "deep" / name for name in ("records", "run", "export"))
    for command in (
        ("convert", folder, "--labels", tmp_path / "odd.csv", "--out", records),
        ("train", "--strategy", "scratch", "--target", records, "--out", run, *SMALL),
        ("evaluate", run, "--split", "val"),
        ("export", run, "--out", out),
        ("predict", out, folder / "tile_00.png", "--out", tmp_path / "deep" / "answers.csv"),
        ("audit", folder, "--labels", tmp_path / "odd.csv", "--out", tmp_path / "deep" / "audit"),
    ):
        code, _, err = cli(*command)
        assert code == 0, (command, err)
    inside = ("deep/records/", "deep/run/", "deep/export/", "deep/answers.csv", "deep/audit/")
    assert all(name.startswith((*inside, "odd.csv")) for name in _files(tmp_path))
    assert set(names) < set(read_card(records).classes)
    for page in tmp_path.rglob("*.html"):
        assert "<b>bold</b>" not in page.read_text(), page


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "\x1b[2Jb", "b\x7f"])
def test_class_names_with_control_characters_are_refused(name, scenes, cli, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(scenes / "river", images / name)
    shutil.copytree(scenes / "forest", images / "forest")
    _one_line(cli("convert", images, "--out", tmp_path / "out"), "control character")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../../x", "/x", "a/b", "..", ".hidden", "x" * 300, "a\nb"])
def test_names_of_sets_are_file_names(name, scenes, cli, tmp_path):
    words = ("convert", scenes, "--out", tmp_path / "out", "--dataset", name)
    _one_line(cli(*words), "name the set with --dataset")
    assert _files(tmp_path) == set()


LEAD_OUT = (
    *("/etc/passwd", "../../etc/passwd", "river/../../x.jpg", "C:\\x.jpg", "\\\\host\\x.jpg"),
    "..\\..\\x.jpg",
)
NO_IMAGES = ("a\0b.jpg", "x" * 100_000, "\x1b[2J.jpg", "~/x.jpg", "%2e%2e/x.jpg")


@pytest.mark.parametrize("name", LEAD_OUT + NO_IMAGES)
def test_lists_name_nothing_outside(name, scenes, multi_scenes, cli, tmp_path):
    split = tmp_path / "train.csv"
    split.write_text(f'"{name}"\n' * 2)
    labels = tmp_path / "labels.csv"
    labels.write_text(f'image,a,b\n"{name}",0,1\n')
    out = ("--out", tmp_path / "out")
    by_split, by_label = (scenes, "--split-file", split), (multi_scenes[0], "--labels", labels)
    for words, said in (
        (by_split, "listed images are not there"),
        ((*by_split, "--ignore-missing", "--ignore-unlisted"), "names none of the 40 images"),
        (by_label, "1 rows name no image in"),
        ((*by_label, "--skip-bad"), f"no row of {labels} names an image"),
    ):
        said = "leads out of the folder" if name in LEAD_OUT else said
        _one_line(cli("convert", *words, *out), said)
    assert _files(tmp_path) == {"train.csv", "labels.csv"}


@given(st.text(max_size=60) | st.text("./\\a:~ ", max_size=12))
@settings(max_examples=100)
def test_accepted_names_lie_below_the_folder(name):
    try:
        refuse_unsafe(name, Path("list.csv"))
    except RsscError:
        return
    parts = name.strip().replace("\\", "/")
    path = Path("/images") / parts
    assert ".." not in path.parts
    assert path.is_relative_to("/images")
    assert not Path(parts).is_absolute()


def test_links_that_lead_in_circles(scenes, cli, tmp_path):
    images = Path(shutil.copytree(scenes, tmp_path / "images"))
    (images / "river" / "up").symlink_to(images)
    (images / "forest" / "other").symlink_to(images / "river")
    _one_line(cli("convert", images, "--out", tmp_path / "out"), "is a link to a folder")


# --- decompression bombs ---


def _huge_header(form: str, side: int) -> bytes:
    """A small image whose header promises `side` x `side` pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, form)
    data = bytearray(buffer.getvalue())
    if form == "png":
        data[16:24] = struct.pack(">II", side, side)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif form == "jpeg":
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", side, side)
    elif form == "gif":
        data[6:10] = struct.pack("<HH", side, side)
        at = data.index(b",\0\0\0\0")
        data[at + 5 : at + 9] = struct.pack("<HH", side, side)
    elif form == "bmp":
        data[18:26] = struct.pack("<ii", side, side)
    elif form == "tiff":
        image = Image.new("RGB", (16, 16))
        from PIL.TiffImagePlugin import ImageFileDirectory_v2

        tags = ImageFileDirectory_v2()
        buffer = io.BytesIO()
        image.save(buffer, form, tiffinfo=tags)
        data = bytearray(buffer.getvalue())
        for tag in (256, 257):  # ImageWidth, ImageLength
            at = data.index(struct.pack("<H", tag), 8)
            data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, side)
    return bytes(data)


FORMATS = ("png", "jpeg", "gif", "bmp", "tiff")


@pytest.mark.parametrize("form", FORMATS)
def test_huge_headers_are_refused_before_any_pixel(form):
    with pytest.raises(BadImage, match="decompression bomb"):
        load_rgb(_huge_header(form, 60_000))


def test_bombs_are_named_by_every_command(scenes, exported, cli, tmp_path):
    images = Path(shutil.copytree(scenes, tmp_path / "images"))
    for form in FORMATS:
        (images / "river" / f"bomb.{form}").write_bytes(_huge_header(form, 60_000))
    _one_line(cli("convert", images, "--out", tmp_path / "out"), "decompression bomb")
    code, out, err = cli("audit", images, "--out", tmp_path / "audit")
    assert code == 0, err
    assert out.count("refused as a decompression bomb") == len(FORMATS)
    code, out, err = cli("predict", exported, images / "river")
    assert code == 1
    assert out.count("ERROR refused as a decompression bomb") == len(FORMATS)
    assert len(err.strip().splitlines()) == 1


def test_the_exported_model_refuses_bombs(exported, scenes):
    import tensorflow as tf

    from tfrecords_tools.imaging.images import MAX_PIXELS

    serve = tf.saved_model.load(str(exported / "1")).signatures["serving_default"]
    whole = min(scenes.rglob("*.jpg")).read_bytes()
    honest = io.BytesIO()  # 92 million black pixels, whole: TensorFlow alone would decode them
    side = int(MAX_PIXELS**0.5) + 200
    Image.new("L", (side, side)).save(honest, "png")
    gif = io.BytesIO()
    Image.effect_noise((700, 700), 90).save(gif, "gif")
    assert len(gif.getvalue()) > 1 << 18
    bombs = [honest.getvalue(), gif.getvalue()]
    bombs += [_huge_header(form, 60_000) for form in ("png", "jpeg", "gif", "bmp")]
    bombs += [b"", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"text"]
    answer = serve(image_bytes=tf.constant([whole, *bombs, whole]))
    assert answer["valid"].numpy().tolist() == [True, *[False] * len(bombs), True]


def test_an_image_is_no_program(scenes, cli, tmp_path):
    """EPS would be rendered by another program, whatever the file's name says."""
    images = Path(shutil.copytree(scenes, tmp_path / "images"))
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    (images / "river" / "x.jpg").write_bytes(postscript)
    _one_line(cli("convert", images, "--out", tmp_path / "out"), "not an image")


# --- settings and cards ---

LAUGHS = "\n".join(
    ["a: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
)
BAD_SETTINGS = {
    "python": (
        "strategy: !!python/object/apply:os.system ['touch {canary}']",
        "could not determine a constructor for the tag",
    ),
    "laughs": (f"{LAUGHS}\nepochs: *a39", "aliases (*name) and deep nesting are not understood"),
    "deep": ("epochs: " + "[" * 150, "aliases (*name) and deep nesting are not understood"),
    "deeper": ("epochs: " + "[" * 100_000, "more than 200 brackets"),
    "bytes": ("\x00\x01", "special characters are not allowed"),
    "type": ("strategy: [scratch]\ntarget: x", "--strategy is text"),
    "nothing": ("strategy: scratch\ntarget: x\nepochs: null", "--epochs is a whole number"),
    "huge": ("strategy: scratch\ntarget: x\nepochs: 1000000000000", "--epochs is at most 100000"),
    "seed": ("strategy: scratch\ntarget: x\nseed: 99999999999", "--seed is at most 2147483647"),
    "not a number": (
        "strategy: scratch\ntarget: x\nlearning_rate: .nan",
        "--learning-rate is above 0. Received: nan",
    ),
}


@pytest.mark.parametrize("case", sorted(BAD_SETTINGS))
def test_hostile_settings(case, cli, tmp_path):
    canary = tmp_path / "canary"
    file = tmp_path / "settings.yaml"
    content, said = BAD_SETTINGS[case]
    file.write_text(content.replace("{canary}", str(canary)))
    _one_line(cli("train", "--config", file, "--out", tmp_path / "run"), said)
    assert _files(tmp_path) == {"settings.yaml"}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_NAMES = st.sampled_from([*Settings.__dataclass_fields__, "other"])


@given(st.dictionaries(_NAMES, _VALUES, max_size=5))
@settings(max_examples=200)
def test_any_settings_are_read_or_refused(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(json.dumps(content))  # JSON is YAML
    try:
        Settings(**{"strategy": "scratch", "target": "x", **load_config(file)})
    except RsscError as error:
        assert "\n" not in str(error)


@given(st.dictionaries(st.sampled_from(["name", "classes", "sizes", "splits", "x"]), _VALUES))
@settings(max_examples=200)
def test_any_card_is_read_or_refused(tmp_path_factory, records, content):
    card = json.loads((records / "dataset.json").read_text())
    del card["sha256"]
    folder = tmp_path_factory.getbasetemp() / "card"
    folder.mkdir(exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps({**card, **content}))
    try:
        read = read_card(folder)
    except RsscError:
        return
    assert read.side > 0
    assert read.to_json()


@pytest.mark.parametrize("name", ["config.yaml", "model.keras", "dataset.json"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0", b"[1, 2]", b"PK\x03\x04 no archive"])
def test_damaged_run_folders(name, content, trained, cli, tmp_path):
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    (run / name).write_bytes(content)
    for words in (("evaluate", run), ("export", run, "--out", tmp_path / "out")):
        _one_line(cli(*words), name)
    assert not (tmp_path / "out").exists()
