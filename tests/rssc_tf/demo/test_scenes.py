"""The demo scenes: pure functions of their arguments, written as class folders."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rssc_tf.demo.scenes import SETS, draw, draw_mosaic, write_set
from tfrecords_tools.common.errors import RsscError

EVERY_CLASS = [(name, kind) for name, look in SETS.items() for kind in look.classes]


def test_two_sets_that_overlap_and_differ():
    source, target = set(SETS["source"].classes), set(SETS["target"].classes)
    assert len(source) >= 12 and len(target) >= 8
    assert source & target and source - target and target - source


@pytest.mark.parametrize(("set_name", "class_name"), EVERY_CLASS)
def test_every_class_paints_a_pure_function(set_name, class_name):
    images = [draw(set_name, class_name, index, size=48) for index in range(6)]
    for index, image in enumerate(images):
        assert image.shape == (48, 48, 3) and image.dtype == np.uint8
        assert image.std() > 4  # something is to be seen
        assert np.array_equal(image, draw(set_name, class_name, index, size=48))
    assert len({image.tobytes() for image in images}) == len(images)


def test_the_same_pixels_in_another_process():
    # A seed made with Python's hash() would differ: it is salted anew in each process.
    code = (
        "from rssc_tf.demo.scenes import draw; import sys, zlib; "
        "print(zlib.crc32(draw('target', 'parking', 3).tobytes()), 'tensorflow' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1 and runs.pop().endswith("False\n")


def test_classes_and_sets_differ_at_the_same_index():
    classes = SETS["source"].classes
    assert len({draw("source", name, 0, size=32).tobytes() for name in classes}) == len(classes)
    shared = [draw(name, "forest", 0, size=32) for name in SETS]
    assert not np.array_equal(*shared)


def test_the_target_is_drier_than_the_source():
    def greenness(set_name: str) -> float:
        images = np.stack([draw(set_name, "forest", index, size=32) for index in range(12)])
        red, green = images[..., :2].reshape(-1, 2).mean(0)
        return green - red

    assert greenness("source") > greenness("target") + 3


@pytest.mark.parametrize("size", [16, 97, 160])
def test_any_size(size):
    assert draw("source", "harbour", 1, size).shape == (size, size, 3)


def test_write_set_lays_out_class_folders(tmp_path):
    write_set("target", tmp_path / "new" / "target", images_per_class=2, size=32)
    folder = tmp_path / "new" / "target"
    assert sorted(path.name for path in folder.iterdir()) == sorted(SETS["target"].classes)
    files = sorted(path.name for path in (folder / "river").iterdir())
    assert files == ["river_0001.jpg", "river_0002.jpg"]
    with Image.open(folder / "river" / "river_0002.jpg") as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (32, 32))
        stored = np.asarray(picture, float)
    assert np.abs(stored - draw("target", "river", 1, size=32)).mean() < 12  # JPEG's loss only
    assert [path.name for path in folder.parent.iterdir()] == ["target"]  # nothing left aside


def test_write_set_is_reproducible_and_takes_an_empty_folder(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("a", "b"):
        write_set("target", tmp_path / name, images_per_class=1, size=24)
    first, second = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.jpg")}
        for root in (tmp_path / "a", tmp_path / "b")
    )
    assert first == second and len(first) == len(SETS["target"].classes)


def test_write_set_refuses_a_folder_in_use(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(RsscError, match="not an empty folder"):
        write_set("target", tmp_path, images_per_class=1, size=24)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path):
    """In a container every process has the same number."""
    program = f"""
import os, sys
from PIL import Image
from rssc_tf.demo.scenes import write_set
if sys.argv[1] == "kill":
    Image.Image.save = lambda *_, **__: os._exit(9)
os.getpid = lambda: 7
write_set("target", {str(tmp_path / "target")!r}, images_per_class=1, size=24)
"""
    for how, code in (("kill", 9), ("whole", 0)):
        assert subprocess.run([sys.executable, "-c", program, how]).returncode == code
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_write_set_leaves_nothing_when_it_fails(tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="no space"):
        write_set("target", tmp_path / "set", images_per_class=1, size=24)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("moon", "forest", 0), "`set_name` is one of source, target. Received: 'moon'"),
        (
            ("target", "harbour", 0),
            "`class_name` is, of the set 'target', one of dense_residential, ",
        ),
        (("target", "forest", -1), "`index` is at least 0. Received: -1"),
        (("target", "forest", 0, 8), "`size` is at least 16. Received: 8"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(RsscError, match=message):
        draw(*arguments)


def test_write_set_names_a_bad_count(tmp_path):
    with pytest.raises(RsscError, match="`images_per_class` is at least 1"):
        write_set("source", tmp_path / "set", images_per_class=0)


def test_a_mosaic_is_drawn_tile_by_tile():
    scene = draw_mosaic("target", [["forest", "river"], ["forest", "forest"]], 80, 32)
    assert scene.shape == (64, 64, 3)
    np.testing.assert_array_equal(scene[:32, :32], draw("target", "forest", 80, 32))
    np.testing.assert_array_equal(scene[:32, 32:], draw("target", "river", 80, 32))
    np.testing.assert_array_equal(scene[32:, 32:], draw("target", "forest", 82, 32))
