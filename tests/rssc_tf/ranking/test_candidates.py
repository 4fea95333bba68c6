"""What is written for a candidate, and the comparisons that go on with the first."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from rssc_tf.models.backbones import BACKBONES
from rssc_tf.ranking.candidates import read_candidates
from rssc_tf.ranking.exported import ExportEncoder
from rssc_tf.ranking.going_on import going_on
from rssc_tf.ranking.training_sets import Size
from rssc_tf.weights.files import save_weights
from tfrecords_tools.common.errors import SettingError
from tfrecords_tools.subset import images_at


def test_what_is_written(tmp_path):
    file = tmp_path / "a=b.weights.h5"
    file.touch()
    address = "https://example.org/x?y=z/m.pth"
    texts = [f"tiny=random, {file}", f"tiny={file}", f"imagenet/resnet50,{address}", "hub:x=ssl"]
    found = read_candidates(texts)
    parts = [(one.weights, one.backbone, one.name) for one in found]
    assert parts == [
        ("random", "tiny", "tiny=random"),
        (str(file), None, "a=b"),
        (str(file), "tiny", "tiny=a=b"),
        ("imagenet/resnet50", None, "imagenet/resnet50"),
        (address, None, "m.pth"),
        ("ssl", "hub:x", "hub:x=ssl"),
    ]
    assert not any(one.is_export for one in found)


def test_files_that_are_there_do_not_say_how_the_text_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, said in (("a=b.h5", r"write \./a=b\.h5 for the path"), ("a,b", "parted at commas")):
        parts = [(one.weights, one.backbone) for one in read_candidates([name])]
        (tmp_path / name).touch()
        with pytest.raises(SettingError, match=said):
            read_candidates([name])
        assert parts == ([("b.h5", "a")] if "=" in name else [("a", None), ("b", None)])
    (found,) = read_candidates(["./a=b.h5"])
    assert (found.weights, found.backbone) == ("./a=b.h5", None)


def test_names_that_clash_are_whole(tmp_path):
    folders = [tmp_path / name / "run" for name in "ab"]
    for folder in folders:
        folder.mkdir(parents=True)
    assert [one.name for one in read_candidates([",".join(map(str, folders))])] == [
        str(folder) for folder in folders
    ]


@pytest.mark.parametrize("text", ["", "a,a", "a,,b", ",".join(map(str, range(21)))])
def test_how_many(text):
    with pytest.raises(SettingError, match="are 1 to 20, none of them twice"):
        read_candidates([text])


def test_candidates_may_be_paths_and_are_a_list():
    (found,) = read_candidates([Path("runs/x")])
    assert (found.text, found.weights) == (str(Path("runs/x")),) * 2
    for lone in ("runs/x", Path("runs/x")):
        with pytest.raises(SettingError, match="`weights` are a list of candidates"):
            read_candidates(lone)


@pytest.mark.parametrize("text", ["tiny=", "a,tiny=,b", "=random"])
def test_half_a_pair_is_refused(text):
    with pytest.raises(SettingError, match="are BACKBONE=WEIGHTS, with both"):
        read_candidates([text])


def test_a_list_may_be_longer_than_a_path_can_be():
    text = ",".join(f"hub:{letter * 250}=ssl" for letter in "abcdefghijklmnopqrst")
    found = read_candidates([text])
    assert len(found) == 20 and not any(one.is_export for one in found)


def test_an_export_is_known_by_its_files(tmp_path):
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "saved_model.pb").touch()
    (found,) = read_candidates([str(tmp_path)])
    assert found.is_export


def _card(train=(200, 200), test=(500, 500), multi_label=False, side=64) -> SimpleNamespace:
    splits = {
        name: SimpleNamespace(class_counts=counts, examples=sum(counts))
        for name, counts in (("train", train), ("test", test))
    }
    classes = tuple("abcdefgh"[: len(train)])
    return SimpleNamespace(
        name="mine", classes=classes, splits=splits, multi_label=multi_label, side=side
    )


def _ranking(*texts: str, labels=280, images=280, card=None, sizes=None) -> SimpleNamespace:
    placed = [
        SimpleNamespace(
            candidate=one,
            definition={
                "backbone": one.backbone or "tiny",
                "image_size": (sizes or {}).get(one.text, 64),
            },
        )
        for one in read_candidates(texts)
    ]
    return SimpleNamespace(
        placed=placed,
        split="test",
        records=SimpleNamespace(path=Path("my records"), card=card or _card()),
        sets=[
            SimpleNamespace(size=Size(shots=5), images=images),
            SimpleNamespace(size=Size(labels=labels), images=1000),
        ],
        how={"draws": 3, "image_size": None},
    )


def test_the_comparisons_that_go_on():
    """One for each backbone: random weights stand beside others of the same one."""
    found = going_on(_ranking("b=imagenet", "a=random", "b=random", "c=imagenet"))
    first = "rssc-tf compare --target 'my records' --strategies"
    rest = "--shots 5 --fractions 0.2 --seeds 3 --out comparison"
    how = "--recipes strong --epochs 20 --batch-size 16"
    assert found.lines == [
        f"{first} imagenet,scratch --backbone b {rest}-1 {how}",
        f"{first} scratch --backbone a {rest}-2 {how}",
    ]
    assert found.remarks == []


def test_few_steps_are_told():
    """The epochs of the lines are for a few hundred images."""
    (said,) = going_on(_ranking("b=random", images=35)).remarks
    assert said.startswith("With 35 training images 20 epochs are 44 steps")
    (said,) = going_on(_ranking("b=random", images=7)).remarks
    assert "20 steps" in said and "give more --epochs, or by_shots" in said


def test_a_comparison_has_one_choice_of_weights():
    """Random weights stand beside any, but do not make others go together."""
    named, default = "r=imagenet-v2/resnet50", "r=ssl"
    for order in ((named, "r=random", default), ("r=random", named, default)):
        one, other = going_on(_ranking(*order)).lines
        assert "scratch" in one and "--weights imagenet-v2/resnet50" in one
        assert "--strategies ssl " in other and "--weights" not in other


def _run(folder: Path, pretraining: str | None) -> str:
    folder.mkdir()
    if pretraining:
        stages = [{"stage": "initial", "pretraining": pretraining}]
        (folder / "stages.json").write_text(json.dumps(stages), encoding="utf-8")
    return str(folder)


def test_a_regime_is_what_weights_say_of_themselves(tmp_path):
    adapted = _run(tmp_path / "adapted", "imagenet")
    alone, old = _run(tmp_path / "alone", "random"), _run(tmp_path / "old", None)
    file = tmp_path / "file.weights.h5"
    metadata = {"backbone": "tiny", "pretraining": "ssl"}
    save_weights(file, BACKBONES["tiny"].build(False), metadata)
    own = tmp_path / "own.weights.h5"
    save_weights(own, BACKBONES["tiny"].build(False), {**metadata, "pretraining": None})
    aerial = tmp_path / "aerial.weights.h5"
    save_weights(aerial, BACKBONES["tiny"].build(False), {**metadata, "pretraining": "in-domain"})
    thermal = tmp_path / "thermal.weights.h5"
    save_weights(thermal, BACKBONES["tiny"].build(False), {**metadata, "pretraining": "thermal"})
    given = (alone, old, str(own), str(thermal), adapted, str(file), str(aerial), "b=random")
    sizes = {adapted: 32}
    found = going_on(_ranking(*given, sizes=sizes))
    assert [line.split(" --shots")[0].split("records' ")[1] for line in found.lines] == [
        f"--strategies imagenet --backbone tiny --weights {adapted} --image-size 32",
        f"--strategies ssl --backbone tiny --weights {file}",
        f"--strategies overhead --backbone tiny --weights {aerial}",
    ]
    one, two, three, four, five = found.remarks
    assert "`" not in " ".join(found.remarks)
    assert one.startswith("alone began with random weights, so that no line has it")
    assert two.startswith("old does not say what it was trained on")
    assert three.startswith("own does not say") and f"--weights {own}" in three
    assert four.startswith("thermal has thermal weights, so that no line has it")
    assert five.startswith("adapted stands for imagenet: a run that began with such weights")


UNBALANCED = _card((40, 40, 40, 3), (40, 40, 40, 3))


@pytest.mark.parametrize(
    ("card", "labels", "fraction", "images"),
    [
        (UNBALANCED, 20, "0.09", 22),  # at less a class has none
        (UNBALANCED, 4, "0.09", 22),
        (UNBALANCED, 123, "0.5", 123),
        (UNBALANCED, 60, "0.244", 61),
        (_card((7, 7, 7), (70, 70, 70)), 10, "0.04", 9),
        (_card((30, 30, 30), (3000, 3000, 3000), multi_label=True), 77, "0.0085", 77),
    ],
)
def test_a_number_of_labels_is_a_fraction_that_compare_takes(card, labels, fraction, images):
    found = going_on(_ranking("b=random", labels=labels, card=card))
    (line,) = found.lines
    text = line.partition("--fractions ")[2].partition(" ")[0]
    assert (text, images_at(card, float(text))) == (fraction, images)
    said = [f"--fractions {text} is {images} training images" in one for one in found.remarks]
    assert said == ([] if images == labels else [True])


def test_without_a_test_split_there_is_no_comparison():
    ranking = _ranking("b=random")
    ranking.split = "val"
    found = going_on(ranking)
    assert found.lines == [] and "needs a test split" in found.remarks[0]


def test_the_features_of_an_export_are_kept_by_its_highest_version(tmp_path):
    def kept_by(folder: Path) -> str:
        seen = SimpleNamespace(folder=folder, views=1)
        return ExportEncoder.definition.func(seen)["weights_sha256"]

    for version in ("1", "2", "10"):
        (tmp_path / version / "variables").mkdir(parents=True)
        (tmp_path / version / "saved_model.pb").write_text(version)
        assert kept_by(tmp_path) == kept_by(tmp_path / version)
