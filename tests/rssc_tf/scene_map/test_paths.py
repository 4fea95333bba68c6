"""A map never takes the place of what it is made from, and says what that is without secrets."""

import pytest
import rasterio

from tests.rssc_tf.scene_map.conftest import paint, write_raster

VRT = """<VRTDataset rasterXSize="64" rasterYSize="64">{}</VRTDataset>"""
BAND = """<VRTRasterBand dataType="Byte" band="{0}"><SimpleSource>
<SourceFilename relativeToVRT="1">{1}</SourceFilename><SourceBand>{0}</SourceBand>
</SimpleSource></VRTRasterBand>"""


@pytest.mark.parametrize("scene", ["s.vrt", "outer.vrt", "GTIFF_DIR:1:{}/src.tif"])
@pytest.mark.parametrize("flag", ["--out", "--probabilities"])
def test_a_file_that_a_scene_is_read_from_is_not_replaced(scene, flag, colours, cli, tmp_path):
    source = write_raster(tmp_path / "src.tif", paint(["rg", "bb"], 32))
    for name, inner in (("s.vrt", "src.tif"), ("outer.vrt", "s.vrt")):
        bands = "".join(BAND.format(band, inner) for band in (1, 2, 3))
        (tmp_path / name).write_text(VRT.format(bands))
    before, content = sorted(tmp_path.iterdir()), source.read_bytes()
    (tmp_path / "link.tif").symlink_to("src.tif")
    scene = scene.format(tmp_path) if ":" in scene else tmp_path / scene
    out = () if flag == "--out" else ("--out", tmp_path / "map.tif")
    for name in ("src.tif", "link.tif"):
        words = (*out, flag, tmp_path / name, "--overwrite")
        code, _, err = cli("map", colours, scene, *words)
        assert (code, err.count("\n")) == (1, 1), err
        assert f"{name} is a part of the scene" in err
    (tmp_path / "link.tif").unlink()
    assert sorted(tmp_path.iterdir()) == before
    assert source.read_bytes() == content


def test_a_folder_is_no_place_for_a_map(colours, cli, tmp_path):
    scene = write_raster(tmp_path / "scene.tif", paint(["rg", "bb"], 32))
    (tmp_path / "map.tif").mkdir()
    code, _, err = cli("map", colours, scene, "--out", tmp_path / "map.tif", "--overwrite")
    assert (code, err.count("\n")) == (1, 1)
    assert "map.tif is a folder, and a file is to be written" in err


def test_no_secret_of_an_address_is_in_a_map(colours, cli, tmp_path, monkeypatch):
    scene = write_raster(tmp_path / "src.tif", paint(["rg", "bb"], 32))
    signed, real = "/vsicurl/https://example.org/x.tif?sig=SECRET", rasterio.open

    def opened(path, *args, **how):
        dataset = real(scene if path == signed else path, *args, **how)
        return Named(dataset) if path == signed else dataset

    class Named:
        """A dataset that is called as it was asked for."""

        name = signed

        def __init__(self, dataset):
            self._dataset = dataset

        def __getattr__(self, name):
            return getattr(self._dataset, name)

        def __enter__(self):
            return self

        def __exit__(self, *reason):
            self._dataset.close()

    monkeypatch.setattr(rasterio, "open", opened)
    code, _, err = cli("map", colours, signed, "--out", tmp_path / "map.tif")
    assert code == 0, err
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.tags()["scene"] == "x.tif"
