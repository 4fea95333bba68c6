"""Splits: stratified, nested, grouped, few-shot, in folds, for one label and for several."""

import numpy as np
import pandas as pd
import pytest

from tfrecords_tools.common.errors import DataError, RsscError, SettingError
from tfrecords_tools.records.card import MULTI, SINGLE
from tfrecords_tools.sources.readers import Listing
from tfrecords_tools.splitting.splits import (
    SplitPlan,
    assign_splits,
    check_splits,
    keep_splits,
    limit,
)
from tfrecords_tools.splitting.stratify import iterative_cut, read_groups


@pytest.mark.parametrize("share", [0.0, 0.004, 0.012, 0.02, 0.3, 0.99, 0.999, 1.0])
def test_a_cut_of_any_share_is_one_of_about_so_many(share):
    positive = np.random.default_rng(0).integers(0, 2, (41, 3))
    first, second = iterative_cut(np.arange(41), positive, share, 0)
    assert sorted([*first, *second]) == list(range(41))
    assert abs(len(first) - 41 * share) <= 1.5


def _single(counts: dict[str, int]) -> Listing:
    rows = [
        (f"{name}/{name}_{i:03d}.jpg", (label,))
        for label, (name, count) in enumerate(sorted(counts.items()))
        for i in range(count)
    ]
    table = pd.DataFrame(rows, columns=["id", "labels"])
    return Listing(table.assign(path=table["id"], split=None), sorted(counts), SINGLE)


def _multi(images: int = 300) -> Listing:
    generator = np.random.default_rng(0)
    shares = np.array([0.5, 0.3, 0.1, 0.02])
    positive = generator.random((images, 4)) < shares
    labels = [tuple(int(i) for i in row.nonzero()[0]) for row in positive]
    table = pd.DataFrame({"id": [f"scene{i // 10}_{i:04d}" for i in range(images)]})
    table = table.assign(path=table["id"], labels=labels, split=None)
    return Listing(table, list("abcd"), MULTI)


def _counts(listing: Listing) -> pd.DataFrame:
    rows = listing.table.explode("labels")
    return pd.crosstab(rows["labels"], rows["split"])


def _trained(listing: Listing) -> set:
    return set(listing.table["id"][listing.table["split"] == "train"])


def test_every_class_keeps_its_share():
    listing = _single({"a": 100, "b": 40, "c": 10})
    assign_splits(listing, SplitPlan(0.2, 0.1), seed=0)
    assert _counts(listing)[["train", "val", "test"]].to_numpy().tolist() == [
        [20, 10, 70],
        [8, 4, 28],
        [2, 1, 7],
    ]


def test_the_split_of_a_seed_never_changes():
    # A release that splits otherwise would silently mix training and test images of older ones.
    listing = _single({"a": 5, "b": 5})
    assign_splits(listing, SplitPlan(0.4, 0.2), seed=0)
    assert " ".join(listing.table["split"]) == (
        "test train test val train test val train test train"
    )


def test_seed_decides_and_small_training_sets_are_nested():
    first, second, other = (_single({"a": 60, "b": 60}) for _ in range(3))
    assign_splits(first, SplitPlan(0.2, 0.1), seed=1)
    assign_splits(second, SplitPlan(0.5, 0.1), seed=1)
    assign_splits(other, SplitPlan(0.2, 0.1), seed=2)
    assert _trained(first) < _trained(second)
    assert _trained(first) != _trained(other)


def test_folds_cover_everything_once():
    tested = []
    for fold in range(3):
        listing = _single({"a": 31, "b": 20})
        assign_splits(listing, SplitPlan(val=0.1, folds=3, fold=fold), seed=0)
        tested += list(listing.table["id"][listing.table["split"] == "test"])
        assert {"train", "val", "test"} == set(listing.table["split"])
        assert 9 <= _counts(listing).loc[0, "test"] <= 11
    assert sorted(tested) == sorted(_single({"a": 31, "b": 20}).table["id"])


def test_multi_label_folds_cover_everything_once():
    tested = []
    for fold in range(4):
        listing = _multi()
        assign_splits(listing, SplitPlan(val=0.1, folds=4, fold=fold), seed=0)
        tested += list(listing.table["id"][listing.table["split"] == "test"])
        assert abs(_counts(listing).loc[1, "test"] - 90 / 4) < 6
    assert sorted(tested) == sorted(_multi().table["id"])


def test_few_shot():
    listing = _single({"a": 30, "b": 8})
    assign_splits(listing, SplitPlan(val=0.5, per_class=5), seed=0)
    assert _counts(listing)["train"].tolist() == [5, 5]
    with pytest.raises(RsscError, match="class 'b' has 8 images, `per_class` asks for 9"):
        assign_splits(listing, SplitPlan(val=0, per_class=9), seed=0)


def test_few_shot_multi_label():
    listing = _multi()
    assign_splits(listing, SplitPlan(val=0.1, per_class=4), seed=0)
    assert (_counts(listing)["train"] >= 4).all()
    assert len(_trained(listing)) <= 16


def test_multi_label_shares_hold_for_rare_labels():
    listing = _multi()
    assign_splits(listing, SplitPlan(0.5, 0.2), seed=0)
    counts = _counts(listing)
    shares = counts.div(counts.sum(axis=1), axis=0)
    assert abs(shares.loc[0, "train"] - 0.5) < 0.05
    assert counts.loc[3, "train"] >= 1


@pytest.mark.parametrize("make", [_multi, lambda: _single({"a": 90, "b": 60})])
def test_groups_stay_together(make):
    listing = make()
    groups = [name[:-4] for name in listing.table["id"]]
    groups = [f"{g}{i // 10}" for i, g in enumerate(groups)]
    assign_splits(listing, SplitPlan(0.5, 0.2), seed=0, groups=groups)
    frame = pd.DataFrame({"group": groups, "split": listing.table["split"]})
    assert (frame.groupby("group")["split"].nunique() == 1).all()
    shares = listing.table["split"].value_counts(normalize=True)
    assert abs(shares["train"] - 0.5) < 0.1
    assert abs(shares["val"] - 0.2) < 0.1


def test_groups_in_folds():
    for fold in range(3):
        listing = _single({"a": 60, "b": 60})
        groups = [f"{i // 6}" for i in range(120)]
        assign_splits(listing, SplitPlan(val=0.1, folds=3, fold=fold), seed=0, groups=groups)
        frame = pd.DataFrame({"group": groups, "split": listing.table["split"]})
        assert (frame.groupby("group")["split"].nunique() == 1).all()
        assert 0.2 < (frame["split"] == "test").mean() < 0.45


def test_groups_from_an_expression_and_from_a_column(tmp_path):
    listing = _multi(20)
    assert read_groups(listing, r"scene(\d+)_") == ["0"] * 10 + ["1"] * 10
    file = tmp_path / "g.csv"
    file.write_text("image,city\n" + "".join(f"{n},x{n[5]}\n" for n in listing.table["id"]))
    assert read_groups(listing, f"{file}:city") == ["x0"] * 10 + ["x1"] * 10
    for by, message in (
        ("nothing", "names no group for 20 of 20"),
        ("(", "`group` is a regular expression"),
        (f"{file}:town", "has no column 'town'"),
    ):
        with pytest.raises(RsscError, match=message):
            read_groups(listing, by)


def test_a_table_of_groups_as_spreadsheets_write_it(tmp_path):
    """Rows may end in a comma that the header has not; an image twice in a group is in it once."""
    listing, file = _multi(20), tmp_path / "g.csv"
    rows = [f"{n},x{n[5]}" for n in listing.table["id"]]
    for text in (",\n".join(["image,city", *rows, ""]), "\n".join([",city", *rows, rows[3]])):
        file.write_text(text)
        assert read_groups(listing, f"{file}:city") == ["x0"] * 10 + ["x1"] * 10
    for text, message in (
        (["image,city", *rows, f"{listing.table['id'][3]},x1"], r"row 22: .* in the group 'x0'"),
        (["image,city,city", *(f"{row},x2" for row in rows)], "several columns 'city'"),
        (["image,city", *(f"{row},x2" for row in rows)], "line 2 has 3 cells"),
    ):
        file.write_text("\n".join(text))
        with pytest.raises(RsscError, match=message):
            read_groups(listing, f"{file}:city")


def test_a_table_of_groups_as_r_writes_it(tmp_path):
    """The header has no name for the numbers of rows."""
    listing, file = _multi(20), tmp_path / "g.csv"
    rows = [f'"{k}","{n}","x{n[5]}"' for k, n in enumerate(listing.table["id"], 1)]
    file.write_text("\n".join(['"image","city"', *rows]))
    assert read_groups(listing, f"{file}:city") == ["x0"] * 10 + ["x1"] * 10
    rows[3] = rows[2]  # a number twice is none of a row
    file.write_text("\n".join(['"image","city"', *rows]))
    with pytest.raises(RsscError, match=r"line 2 has 3 cells and the first line 2: .* has a name"):
        read_groups(listing, f"{file}:city")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sizes", [(8,) * 6, (20, 9, 9), (50, 1, 1, 1)])
def test_no_split_is_left_without_a_group(sizes, seed):
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    listing = _single({"a": len(groups)})
    listing.classes.append("b")
    assign_splits(listing, SplitPlan(0.8, 0.1), seed, groups)
    assert set(listing.table["split"]) == {"train", "val", "test"}
    assign_splits(listing, SplitPlan(0.9, 0.1), seed, groups)
    assert set(listing.table["split"]) == {"train", "val"}


def test_shares_that_whole_groups_cannot_have_are_said():
    listing = _single({"a": 48})
    assign_splits(listing, SplitPlan(0.8, 0.1), 0, [f"g{number // 8}" for number in range(48)])
    assert [note.partition(" were")[0] for note in listing.notes] == [
        "train has 67% of the images, and 80%",
        "val has 17% of the images, and 10%",
        "test has 17% of the images, and 10%",
    ]
    listing = _single({"a": 100})
    assign_splits(listing, SplitPlan(0.8, 0.1), 0, [f"g{number // 5}" for number in range(100)])
    assert listing.notes == []


def test_too_few_groups():
    listing = _single({"a": 6, "b": 6})
    with pytest.raises(RsscError, match=r"2 groups .* cannot fill 3 splits"):
        assign_splits(listing, SplitPlan(0.5, 0.2), 0, groups=["x"] * 6 + ["y"] * 6)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (SplitPlan(0, 0.1), r"`train_fraction` is in \(0, 1\], .* Received: 0"),
        (SplitPlan(0.8, 0.3), r"`train_fraction` and `val_fraction` .* Received: \(0.8, 0.3\)"),
        (SplitPlan(1.2, 0), r"`train_fraction` is in \(0, 1\]"),
        (SplitPlan(0.5, -0.1), r"`val_fraction` is in \[0, 1\)"),
        (SplitPlan(folds=1), "`folds` is at least 2"),
        (SplitPlan(folds=3, fold=3), "`fold` is from 0 to 2"),
        (SplitPlan(folds=2, val=0.5), "leaves nothing to train on"),
        (SplitPlan(per_class=0), "`per_class` is at least 1"),
        (SplitPlan(per_class=2, folds=2), "two kinds of split"),
    ],
)
def test_contradictions_are_refused(plan, message):
    with pytest.raises(SettingError, match=message):
        assign_splits(_single({"a": 9, "b": 9}), plan, seed=0)


def test_a_class_without_training_images():
    listing = _single({"a": 20, "b": 2})
    assign_splits(listing, SplitPlan(0.1, 0), seed=0)
    with pytest.raises(RsscError, match=r"class 'b' \(2 images\) has no training image"):
        check_splits(listing)


def test_limit_takes_the_classes_in_turn():
    listing = _single({"a": 50, "b": 5})
    limit(listing, 10, seed=0)
    assert len(listing.table) == 10
    assert [labels[0] for labels in listing.table["labels"]].count(1) == 5


def _divided(train: int, val: int, test: int) -> Listing:
    listing = _single({"a": train + val + test, "b": train + val + test})
    listing.table["split"] = (["train"] * train + ["val"] * val + ["test"] * test) * 2
    return listing


def test_kept_splits_stay_as_they_are():
    listing = _divided(6, 2, 4)
    before = list(listing.table["split"])
    keep_splits(listing, 0, seed=0)
    assert list(listing.table["split"]) == before
    assert listing.notes == []


def test_a_validation_split_is_taken_from_kept_training_images():
    listing = _divided(30, 0, 10)
    test = listing.table["id"][listing.table["split"] == "test"]
    keep_splits(listing, 0.15, seed=0)
    assert _counts(listing)[["train", "val", "test"]].to_numpy().tolist() == [[24, 6, 10]] * 2
    assert set(listing.table["id"][listing.table["split"] == "test"]) == set(test)
    again = _divided(30, 0, 10)
    keep_splits(again, 0.15, seed=0)
    assert again.table.equals(listing.table)
    with pytest.raises(SettingError, match=r"`val_fraction` is below 0\.75 here"):
        keep_splits(_divided(30, 0, 10), 0.8, seed=0)


def test_kept_splits_need_training_images_of_every_class():
    listing = _divided(3, 0, 3)
    listing.table.loc[listing.table["labels"] == (1,), "split"] = "test"
    with pytest.raises(DataError, match="class 'b' has no image in the training split"):
        keep_splits(listing, 0, seed=0)


def test_limit_keeps_some_of_every_kept_split():
    listing = _divided(20, 10, 30)
    limit(listing, 12, seed=0)
    assert _counts(listing)[["train", "val", "test"]].to_numpy().tolist() == [[2, 2, 2]] * 2


def test_a_small_limit_leaves_every_class_something_to_train_on():
    listing = _divided(20, 10, 30)
    limit(listing, 3, seed=0)
    assert _counts(listing)["train"].tolist() == [1, 1]
