"""What `weights` means: a name, an address, a file, a run; in every command."""

import dataclasses
import io
import json
import re
import urllib.request
from pathlib import Path

import pytest

from rssc_tf.cache import seal
from rssc_tf.comparison.cells import plan
from rssc_tf.comparison.grid import Grid
from rssc_tf.models.backbones import BACKBONES
from rssc_tf.probing.encoder import open_encoder
from rssc_tf.records import Records
from rssc_tf.weights import table
from rssc_tf.weights.fetch import fetch
from rssc_tf.weights.files import save_weights
from rssc_tf.weights.initial import initialise
from rssc_tf.weights.licence import say_licence
from rssc_tf.weights.row import Weights, on_commerce
from rssc_tf.weights.source import Source, backbone_of, find_source
from rssc_tf.weights.table import by_name
from tests.tiny import SMALL
from tfrecords_tools.common.errors import DataError, RsscError
from tfrecords_tools.common.regular_files import sha256_of

ROW = "theirs/tiny"


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """Weights of the backbone `tiny`."""
    import keras

    keras.utils.set_random_seed(3)
    path = tmp_path_factory.mktemp("w") / "tiny.weights.h5"
    facts = {"backbone": "tiny", "pretraining": "imagenet", "normalization": "tf", "image_size": 40}
    save_weights(path, BACKBONES["tiny"].build(False), {**facts, "origin": "a test"})
    return path


@pytest.fixture
def served(file, monkeypatch, tmp_path):
    """A server with that file at `https://example.org/w/NAME`; what was asked of it."""
    asked = []

    class Response(io.BytesIO):
        headers = {"Content-Length": str(file.stat().st_size)}

        def geturl(self):
            return asked[-1]

    def urlopen(url, timeout):
        asked.append(url)
        return Response(file.read_bytes())

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    return asked


@pytest.fixture
def row(file, monkeypatch) -> Weights:
    """A row of the table for it, with a licence that forbids commercial use."""
    made = Weights(
        ROW,
        "tiny",
        "imagenet",
        "tf",
        "a test",
        "CC-BY-NC-4.0",
        "A. Test",
        data="noise",
        training="supervised",
        source="here",
        url="https://example.org/w/tiny.weights.h5",
        sha256=sha256_of(file)[:8],
        image_size=48,
    )
    monkeypatch.setattr(table, "TABLE", (*table.TABLE, made))
    monkeypatch.setitem(table._BY_NAME, ROW, made)
    return made


def test_train_probe_and_compare_take_a_name(row, served, records, cli, tmp_path):
    given = ("--strategy", "imagenet", "--weights", ROW, "--out", tmp_path / "run")
    code, _, err = cli("train", "--target", records, "--epochs", 1, "--batch-size", 8, *given)
    assert code == 0, err
    assert "images are seen at 48 px" in err  # and the backbone is the row's
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert f"weights: {ROW}" in config and "backbone: tiny" in config
    stages = json.loads((tmp_path / "run" / "stages.json").read_text())
    assert stages[0]["sha256"].startswith(row.sha256) and stages[0]["origin"] == "a test"

    code, _, err = cli("probe", ROW, "--target", records, "--out", tmp_path / "probe")
    assert code == 0, err
    metrics = json.loads((tmp_path / "probe" / "knn-metrics.json").read_text())
    assert metrics["encoder"]["backbone"] == "tiny" and metrics["encoder"]["image_size"] == 48

    words = ("--target", records, *SMALL, "--epochs", 1, "--seeds", 1, "--weights", ROW)
    code, _, err = cli("compare", *words, "--strategies", "imagenet", "--out", tmp_path / "grid")
    assert code == 0, err
    assert len(served) == 1  # all from the cache
    code, out, _ = cli("weights", "fetch", ROW)
    assert code == 0 and "cache" in out and len(served) == 1


def test_an_address(served, file):
    url = "https://example.org/w/tiny.weights.h5"
    assert backbone_of(url) == "tiny"
    assert find_source(url).file().read_bytes() == file.read_bytes()
    assert find_source(url).label == "tiny" and served == [url]
    other = f"https://example.org/elsewhere/tiny-{sha256_of(file)[:8]}.h5?download=true"
    assert find_source(other).file() != find_source(url).file()
    wrong = "https://example.org/w/tiny-0a0a0a0a.h5"
    with pytest.raises(DataError, match=r"its sha256 is \w{64}, expected 0a0a0a0a"):
        find_source(wrong).file()


def test_a_date_is_no_hash():
    assert find_source("https://example.org/w/tiny-20230401.pth").address.sha256 is None
    assert find_source("https://example.org/w/tiny-0123456f.pth").address.sha256 == "0123456f"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gassl/resnet5", r"no such file, and no name .*did you mean gassl/resnet50\?"),
        ("http://example.org/w.pth", r"an address is https://HOST/\.\.\./FILE"),
        ("https://example.org/", r"an address is https://"),
        ("https://[/x.pth", r"an address is https://"),
        ("https://example.org:abc/f.pth", r"an address is https://"),
        ("https://example.org/a b.pth", r"an address is https://.* without spaces"),
        ("https://example.org/a%00b.pth", r"an address is https://"),
        ("https://example.org/..%5c..%5cevil.pth", r"an address is https://"),
        ("rsp/resnet50", r"rsp/resnet50 is fetched by hand .*ViTAE-Transformer/RSP.*`weights`"),
    ],
)
def test_what_is_not_there(given, message):
    with pytest.raises(RsscError, match=message) as caught:
        find_source(given).file()
    assert "\n" not in str(caught.value)


def test_a_page_in_the_place_of_a_file(monkeypatch, tmp_path, cli):
    class Response(io.BytesIO):
        headers = {}

        def geturl(self):
            return "https://example.org/login"

    page = b"<!DOCTYPE html>Sign in"
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: Response(page))
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path))
    code, _, err = cli("weights", "fetch", "gassl/resnet50")
    assert code == 1 and "is a web page" in err and len(err.strip().splitlines()) == 1


def test_weights_of_another_backbone(cli, records, tmp_path):
    words = ("train", "--strategy", "imagenet", "--weights", "gassl/resnet50")
    words = (*words, "--backbone", "resnet18", "--target", records, "--out", tmp_path / "run")
    code, _, err = cli(*words)
    assert code == 1
    assert "gassl/resnet50 are weights of resnet50, not of resnet18: use --backbone resnet50" in err


def test_a_licence_is_said_once(row, served, capsys):
    say_licence.cache_clear()
    for _ in range(2):
        initialise("tiny", "imagenet", ROW)
    said = capsys.readouterr().err
    assert said.count("its licence, CC-BY-NC-4.0, forbids commercial use") == 1


def test_a_licence_is_said_where_no_network_is_built(row, served, file, records, capsys, tmp_path):
    ours = tmp_path / "ours.weights.h5"
    facts = {"backbone": "tiny", "normalization": "tf", "licence": "CC-BY-NC-4.0"}
    save_weights(ours, BACKBONES["tiny"].build(False), facts)
    given = {"imagenet": {"backbone": "tiny"}, ROW: {}, ours: {}}
    for weights, words in given.items():
        open_encoder(weights, Records(records), **words)
    capsys.readouterr()
    say_licence.cache_clear()  # as in another process
    for weights, words in given.items():
        open_encoder(weights, Records(records), **words)
    said = capsys.readouterr().err
    assert said.count("forbids commercial use") == 2 and f"{ours}: its licence" in said
    assert said.count(f"{ROW}: its licence") == 1


def test_a_words_row_without_a_hash_is_known_by_its_file(row, served, file, records, monkeypatch):
    unhashed = dataclasses.replace(row, sha256=None)
    monkeypatch.setattr(table, "TABLE", (*table.TABLE[:-1], unhashed))

    def weights_of() -> str:
        return open_encoder("imagenet", Records(records), backbone="tiny").definition

    before = weights_of()
    assert weights_of() == before
    cached = fetch(unhashed)
    save_weights(cached, BACKBONES["tiny"].build(False), {"backbone": "tiny"})
    seal(cached)
    assert weights_of() != before


def test_a_keras_file_of_any_name_is_no_run(tmp_path):
    for name in ("model.keras", "theirs.keras"):
        (tmp_path / name).touch()
        assert find_source(tmp_path / name).run is None
    (tmp_path / "config.yaml").touch()
    assert find_source(tmp_path / "model.keras").run == tmp_path
    assert find_source(tmp_path / "theirs.keras").run is None
    assert find_source(tmp_path).run == tmp_path


def test_fetch_says_a_licence(row, served, cli):
    say_licence.cache_clear()
    code, out, err = cli("weights", "fetch", ROW)
    assert code == 0 and out.startswith(f"{ROW}: ")  # and no bar of progress
    assert err == f"{ROW}: its licence, CC-BY-NC-4.0, forbids commercial use\n"


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        *((one, "forbids") for one in ("CC-BY-NC-4.0", "CC BY NC 4.0", "CC BY-NC 4.0")),
        *((one, "forbids") for one in ("cc-by-nc-sa-4.0", "Non-Commercial", "noncommercial only")),
        ("see its page", "may forbid"),
        *((one, None) for one in (None, "MIT", "Apache-2.0", "CC BY 4.0", "INCLUSIVE", "ODC-BY")),
    ],
)
def test_what_a_licence_says_of_commercial_use(licence, said):
    found = on_commerce(licence)
    assert found is None if said is None else f"{said} commercial use" in found


def test_a_fetch_without_a_hash_says_so(row, served, cli, monkeypatch):
    known = dataclasses.replace(row, sha256="0" * 64)
    for one, said in ((known, False), (dataclasses.replace(row, sha256=None), True)):
        monkeypatch.setattr(Source, "file", lambda self: Path("w.pth"))
        monkeypatch.setitem(table._BY_NAME, ROW, one)
        code, out, _ = cli("weights", "fetch", ROW)
        assert (code, "unchecked" in out) == (0, said)


def test_the_row_of_a_file_of_ours_names_the_one_to_fetch():
    with pytest.raises(RsscError, match="take torchvision/mobilenet_v2, the same weights, or give"):
        find_source("torchvision/mobilenet_v2-keras").file()


def test_a_licence_is_printable(capsys):
    say_licence("w", "CC-NC-\x1b[2J\n")
    assert capsys.readouterr().err.rstrip("\n").isprintable()


def test_a_path_that_is_called_as_a_row(tmp_path, monkeypatch, cli):
    """`rssc-tf train --out swav/resnet50` is a natural name."""
    monkeypatch.chdir(tmp_path)
    Path("swav").mkdir()
    assert find_source("swav/resnet50").row is by_name("swav/resnet50")
    Path("swav/resnet50").write_bytes(b"mine")
    code, _, err = cli("weights", "inspect", "swav/resnet50")
    assert (code, len(err.strip().splitlines())) == (1, 1)
    assert "is a name of `rssc-tf weights list` and a path here: write ./swav/resnet50" in err
    assert find_source("./swav/resnet50").file() == Path("swav/resnet50")
    assert cli("weights", "show", "swav/resnet50")[0] == 0  # only a name


def test_keys_of_a_grid(row, file, records):
    """A row and its file are the same weights where the whole hash is known; a download whose hash
    is known is a part of the key where it is the default, too, and a package is not."""

    def key(**settings):
        grid = Grid((str(records),), ("imagenet",), seeds=1, settings=settings)
        return plan(grid, Path("nowhere"), write=False)[0].key

    tiny = {"backbone": "tiny", "image_size": 32}
    assert key(**tiny) == key(**tiny, weights=ROW) != key(**tiny, weights=str(file))
    lite = {"backbone": "efficientnet_lite0", "image_size": 32}
    named = key(**lite, weights="imagenet/efficientnet_lite0")
    package = find_source("imagenet/efficientnet_lite0").file()
    assert named == key(**lite, weights=str(package)) != key(**lite)


def test_show(cli):
    code, out, _ = cli("weights", "show", "gassl/resnet50")
    text = " ".join(out.split())
    assert code == 0
    for fact in ("fMoW", "da43d987", "not yet fetched by us", "0.017125 x -2.1179", "torchgeo"):
        assert fact in text, fact
    code, _, err = cli("weights", "show", "nothing/here")
    assert code == 1 and "no name of `rssc-tf weights list`" in err


def test_list_by_filters(cli):
    entries = json.loads(cli("weights", "list", "--training", "in-domain", "--json")[1])
    assert {entry["name"] for entry in entries} >= {"gassl/resnet50", "satlas/resnet50"}
    assert all(entry["pretraining"] == "in-domain" for entry in entries)
    code, out, _ = cli("weights", "list", "--backbone", "vit_base", "--licence", "cc-by-nc")
    assert code == 0 and re.findall(r"^ (\S+/\S+)", out, re.M) == ["mae/vit_base_patch16"]
    assert cli("weights", "list", "--training", "magic")[0] == 1
    out = cli("weights", "list")[1]
    assert "gassl/resnet50 *" in out and "not yet fetched by us" in out
    assert "three bands only" in out
