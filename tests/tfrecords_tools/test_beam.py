"""Apache Beam writes the same records as the local runner."""

import pytest

from rssc_tf.cli import main
from tfrecords_tools.convert import convert
from tfrecords_tools.records.verify import verify

pytest.importorskip("apache_beam", reason="needs the extra [beam]")


def _files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_200_images_are_the_same_byte_for_byte(class_folders, tmp_path):
    root = class_folders({"a": 80, "b": 70, "c": 50})
    options = {"name": "x", "train_fraction": 0.5, "size": 32}
    convert(root, tmp_path / "local", **options)
    convert(root, tmp_path / "beam", runner="beam", **options)
    assert _files(tmp_path / "local") == _files(tmp_path / "beam")
    assert verify(tmp_path / "beam") == []


def test_bad_images(class_folders, tmp_path, capsys):
    root = class_folders({"a": 8, "b": 8})
    (root / "a" / "a_03.jpg").write_bytes(b"")
    command = ["convert", str(root), "--out", str(tmp_path / "out"), "--runner", "beam"]
    command += ["--train-fraction", "0.5"]
    assert main(command) == 1
    assert "a_03.jpg: the file is empty" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*command, "--skip-bad"]) == 0
    assert verify(tmp_path / "out") == []
