"""`rssc-tf predict`: what it refuses before it works, and what it writes."""

import shutil

import pytest


@pytest.mark.parametrize("given", ["the file", "its folder", "a link"])
def test_a_photograph_is_not_replaced_by_the_table(given, exported, scenes, cli, tmp_path):
    photo = tmp_path / "images" / "river 00.jpg"
    photo.parent.mkdir()
    shutil.copy(scenes / "river" / "river 00.jpg", photo)
    (tmp_path / "link").symlink_to(photo)
    images = photo.parent if given == "its folder" else photo
    out = tmp_path / "link" if given == "a link" else photo
    content = photo.read_bytes()
    code, said, err = cli("predict", exported, images, "--out", out, "--overwrite")
    assert (code, said, err.count("\n")) == (1, "", 1)
    assert f"{photo} is {out}, which is to be written: choose another --out" in err
    assert photo.read_bytes() == content
    # A table may lie beside the images.
    out = photo.parent / "classes.csv"
    assert cli("predict", exported, photo.parent, "--out", out)[0] == 0
    assert out.read_text().startswith("path,valid,error,predicted,p_farmland")


def test_a_folder_for_a_table_is_told_before_the_work(exported, scenes, cli, tmp_path, monkeypatch):
    monkeypatch.setattr("rssc_tf.predict.load_saved_model", lambda *_: pytest.fail("it works"))
    (tmp_path / "out").mkdir()
    for flags in ((), ("--overwrite",)):
        code, _, err = cli("predict", exported, scenes, "--out", tmp_path / "out", *flags)
        assert (code, err.count("\n")) == (1, 1)
        assert "out is a folder, and a file is to be written" in err
