"""What is written for a candidate, and the comparisons that go on with the first."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from rssc_tf.ranking.candidates import read_candidates
from rssc_tf.ranking.going_on import comparisons_of
from rssc_tf.ranking.training_sets import Size
from tfrecords_tools.common.errors import SettingError


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


def test_a_list_may_be_longer_than_a_path_can_be():
    text = ",".join(f"hub:{letter * 250}=ssl" for letter in "abcdefghijklmnopqrst")
    found = read_candidates([text])
    assert len(found) == 20 and not any(one.is_export for one in found)


def test_an_export_is_known_by_its_files(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    (found,) = read_candidates([str(tmp_path)])
    assert found.is_export


class _Records(SimpleNamespace):
    def __len__(self) -> int:
        return 1400


def _ranking(*texts: str) -> SimpleNamespace:
    placed = [
        SimpleNamespace(candidate=one, definition={"backbone": one.backbone})
        for one in read_candidates(texts)
    ]
    return SimpleNamespace(
        placed=placed,
        records=_Records(path=Path("my records")),
        sets=[SimpleNamespace(size=Size(shots=5)), SimpleNamespace(size=Size(labels=280))],
        how={"draws": 3},
    )


def test_the_comparisons_that_go_on():
    """One for each backbone: random weights stand beside others of the same one."""
    ranking = _ranking("b=imagenet", "a=random", "b=random", "c=imagenet")
    first = "rssc-tf compare --target 'my records' --strategies"
    rest = "--shots 5 --fractions 0.2 --seeds 3 --out comparison"
    assert comparisons_of(ranking) == [
        f"{first} imagenet,scratch --backbone b {rest}-1",
        f"{first} scratch --backbone a {rest}-2",
    ]


def test_a_comparison_has_one_choice_of_weights():
    """Random weights stand beside any, but do not make others go together."""
    named, default = "r=imagenet-v2/resnet50", "r=ssl"
    for order in ((named, "r=random", default), ("r=random", named, default)):
        one, other = comparisons_of(_ranking(*order))
        assert "scratch" in one and "--weights imagenet-v2/resnet50" in one
        assert "--strategies ssl " in other and "--weights" not in other
