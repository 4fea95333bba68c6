"""The default size of images belongs to the weights: of each kind, and in every command."""

import json
import shutil
from pathlib import Path

import pytest

import rssc_tf
from rssc_tf.records import Records
from rssc_tf.rounds import resolve
from rssc_tf.runs import load_model
from rssc_tf.settings import Settings
from rssc_tf.settings_file import load_config
from rssc_tf.training import stages
from rssc_tf.training.run_folder import begin
from rssc_tf.weights.files import read_metadata, save_weights
from rssc_tf.weights.size import default_size, trained_size
from tests.tiny import SMALL
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.records.card import read_card

CROP = 42  # of records of 48 px
QUICK = ("--backbone", "tiny", "--batch-size", 8, "--epochs", 1)


@pytest.fixture(scope="module")
def run(records, tmp_path_factory) -> Path:
    """A run whose backbone sees images at 64 px."""
    from rssc_tf.cli import main

    out = tmp_path_factory.mktemp("size") / "run"
    words = ["train", "--strategy", "scratch", "--target", str(records), "--out", str(out)]
    assert main([*words, *SMALL, "--image-size", "64"]) == 0
    return out


@pytest.fixture(scope="module")
def weights(run) -> Path:
    """The same as a weights file."""
    from rssc_tf.cli import main

    out = run.parent / "w.weights.h5"
    words = ["weights", "import", str(run), "--out", str(out), "--pretraining", "imagenet"]
    assert main(words) == 0
    return out


def test_weights_of_a_library():
    assert default_size(56, "resnet18", "imagenet") == 224
    assert default_size(256, "efficientnet_lite0", "imagenet") == 256
    assert default_size(56, "resnet18", "random") == 56
    assert trained_size("resnet50", "ssl") == 224
    assert default_size(56, "tiny", "imagenet") == 56  # nothing is known of its weights


def test_a_file_says_it(run, weights):
    assert read_metadata(weights)["image_size"] == 64
    for file in (run, run / "model.keras", weights):
        assert trained_size("tiny", "imagenet", file) == 64
        assert default_size(CROP, "tiny", "random", file) == CROP


def test_a_file_that_says_nothing_is_as_its_backbone(tmp_path):
    from rssc_tf.models.backbones import get_backbone

    model = get_backbone("resnet18").build(False)
    file = tmp_path / "w.weights.h5"
    save_weights(file, model, {"backbone": "resnet18"})  # as earlier versions wrote them
    assert trained_size("resnet18", "imagenet", file) == 224
    save_weights(file, model, {"backbone": "resnet18", "image_size": "big"})
    with pytest.raises(DataError, match=r"w.weights.h5: says that it was trained at 'big' px"):
        trained_size("resnet18", "imagenet", file)


def test_the_given_weights(shared):
    file = shared / "weights" / "mobilenet_v2_imagenet_notop.weights.h5"
    assert trained_size("mobilenet_v2", "imagenet", file) == 224


def test_train_shows_images_at_it(weights, records, cli, tmp_path):
    words = ("train", "--target", records, *QUICK)
    given = ("--strategy", "imagenet", "--weights", weights)
    code, _, err = cli(*words, *given, "--out", tmp_path / "w")
    assert code == 0, err
    assert "images are seen at 64 px, the size of the weights: about 2.3 times the work" in err
    assert load_config(tmp_path / "w" / "config.yaml")["image_size"] == 64
    assert load_model(tmp_path / "w").get_layer("resize").size == 64
    code, _, err = cli(*words, *given, "--image-size", CROP, "--out", tmp_path / "given")
    assert code == 0 and "images are seen" not in err
    assert load_config(tmp_path / "given" / "config.yaml")["image_size"] == CROP


@pytest.mark.slow
def test_a_run_that_was_begun_at_the_crop_goes_on_at_it(weights, records, cli, tmp_path):
    words = ("train", "--target", records, *QUICK, "--strategy", "imagenet", "--weights", weights)
    words = (*words, "--out", tmp_path / "run")
    assert cli(*words, "--image-size", CROP)[0] == 0
    (tmp_path / "run" / "metrics.json").unlink()  # as a kill before the end leaves it
    code, _, err = cli(*words)
    assert code == 0 and "images are seen" not in err, err
    assert load_config(tmp_path / "run" / "config.yaml")["image_size"] == CROP
    assert cli(*words, "--overwrite")[0] == 0
    assert load_config(tmp_path / "run" / "config.yaml")["image_size"] == 64


def test_what_is_overwritten_is_no_run_that_goes_on(weights, records, tmp_path):
    card, out = read_card(records), tmp_path / "run"
    scratch, trained = (
        Settings(strategy, str(records), backbone="tiny", weights=str(weights))
        for strategy in ("scratch", "imagenet")
    )

    def size(config: Settings) -> int:
        return stages._resolved(config, Records(records), None, out, overwrite=True).image_size

    assert (size(scratch), size(trained)) == (CROP, 64)
    begin(resolve(scratch, CROP), card, out, overwrite=False)
    assert (size(scratch), size(trained)) == (CROP, 64)  # another run, at its own size
    begin(resolve(trained, CROP), card, out, overwrite=True)
    assert (size(scratch), size(trained)) == (CROP, CROP)  # this one goes on as it was begun
    (out / "config.yaml").write_text("[")
    assert size(trained) == 64


def _sizes(out: Path) -> dict[str, int]:
    files = (out / "runs").rglob("config.yaml")
    return {file.parent.name: load_config(file)["image_size"] for file in files}


def test_compare_has_a_size_for_each_regime(weights, records, cli, tmp_path):
    words = ("compare", "--target", records, *QUICK, "--seeds", 1, "--weights", weights)
    words = (*words, "--out", tmp_path / "grid", "--strategies")
    code, _, err = cli(*words, "scratch,imagenet")
    assert code == 0 and "imagenet: images are seen at 64 px" in err, err
    assert _sizes(tmp_path / "grid") == {"scratch-0": CROP, "imagenet-0": 64}
    assert cli(*words, "scratch,imagenet")[0] == 0  # and finds them again


@pytest.mark.slow
def test_a_grid_that_was_begun_at_the_crop_goes_on_at_it(weights, records, cli, tmp_path):
    out = tmp_path / "grid"
    words = ("compare", "--target", records, *QUICK, "--seeds", 1, "--weights", weights)
    words = (*words, "--strategies", "scratch,imagenet", "--out", out)
    assert cli(*words, "--image-size", CROP)[0] == 0
    noted = json.loads((out / "compare.json").read_text())
    assert noted.pop("image_size") == "of the weights"
    (out / "compare.json").write_text(json.dumps(noted))  # as earlier versions wrote it
    shutil.rmtree(out / "runs" / "scenes" / "finetune-f0.5" / "imagenet-0")
    for _ in range(2):
        code, _, err = cli(*words)
        assert code == 0 and "images are seen" not in err, err
    assert _sizes(out) == {"scratch-0": CROP, "imagenet-0": CROP}


def test_probe_and_the_library_do_the_same(run, weights, records, cli, tmp_path):
    code, _, err = cli("probe", weights, "--target", records, "--out", tmp_path / "probe")
    assert code == 0 and "images are seen at 64 px" in err, err
    metrics = json.loads((tmp_path / "probe" / "knn-metrics.json").read_text())
    assert metrics["encoder"]["image_size"] == 64
    for given, size in ((weights, 64), (run, 64), (None, CROP)):
        model = rssc_tf.build_classifier("tiny", records, weights=given)
        assert model.get_layer("resize").size == size
    model = rssc_tf.build_classifier("tiny", records, weights=weights, image_size=32)
    assert model.get_layer("resize").size == 32
