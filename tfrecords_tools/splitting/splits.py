"""Stratified splits from a seed: sorted names and the seed decide, nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.multi_hot import multi_hot
from tfrecords_tools.records.card import MULTI, SINGLE, SPLITS, UNLABELLED
from tfrecords_tools.sources.readers import Listing
from tfrecords_tools.splitting.draws import check_enough
from tfrecords_tools.splitting.stratify import assign_groups, iterative_cut, iterative_folds

_FAR = 0.05  # of all images, by which a share of whole groups is noted to be off


@dataclass(frozen=True)
class SplitPlan:
    """How images are divided.

    Attributes:
        train: share of all images for training, in (0, 1].
        val: share of all images for validation, in [0, 1), with `per_class` of those that are then
            left; the rest is the test split.
        per_class: few-shot: this many training images a class instead of `train`. In a
            multi-label set: until every label has that many positives, if it has them.
        folds: cross-validation: one of this many equal parts is the test split, `val` of all
            images the validation split, the rest trains.
        fold: which part, from 0.
    """

    train: float = 0.2
    val: float = 0.1
    per_class: int | None = None
    folds: int | None = None
    fold: int = 0

    def check(self) -> None:
        """Raises `SettingError` if a number is out of range, or two contradict each other."""
        by_share = not (self.per_class or self.folds)
        train = self.train if by_share else 0.0
        if by_share and not 0 < train <= 1:
            raise SettingError("train_fraction", "is in (0, 1], a share of all images", self.train)
        if not 0 <= self.val < 1:
            raise SettingError("val_fraction", "is in [0, 1), a share of all images", self.val)
        if train + self.val > 1 + 1e-9:
            what = "and `val_fraction` are shares of all images, at most 1 together"
            raise SettingError("train_fraction", what, (self.train, self.val))
        if self.per_class is not None and self.per_class < 1:
            raise SettingError("per_class", "is at least 1", self.per_class)
        if self.per_class and self.folds:
            what = "and `folds` are two kinds of split: give one of them"
            raise SettingError("per_class", what, (self.per_class, self.folds))
        if self.folds is not None and self.folds < 2:
            raise SettingError("folds", "is at least 2", self.folds)
        if self.folds and not 0 <= self.fold < self.folds:
            what = f"is from 0 to {self.folds - 1} with `folds={self.folds}`"
            raise SettingError("fold", what, self.fold)
        if self.folds and self.val > 1 - 1 / self.folds - 1e-9:
            what = f"leaves nothing to train on beside one of {self.folds} folds: lower it"
            raise SettingError("val_fraction", what, self.val)

    def shares(self) -> list[float]:
        """The shares of all images for train, val and test, where `per_class` is not given."""
        test = 1 / self.folds if self.folds else 1 - self.train - self.val
        test = test if test > 1e-9 else 0.0
        return [1 - self.val - test if self.folds else self.train, self.val, test]

    def facts(self) -> dict:
        """What the card keeps of it."""
        if self.folds:
            return {"folds": self.folds, "fold": self.fold, "val_fraction": self.val}
        if self.per_class:
            return {"per_class": self.per_class, "val_fraction": self.val}
        return {"train_fraction": self.train, "val_fraction": self.val}


def assign_splits(
    listing: Listing, plan: SplitPlan, seed: int, groups: list[str] | None = None
) -> None:
    """Fills `split` with train, val and test, in place.

    Single-label: every class is permuted by (seed, class) and cut at the same shares, so every
    class keeps its share and the training set of a small fraction is part of a larger one's.
    Images without labels are divided as one class.
    Multi-label: iterative stratification (Sechidis et al. 2011), from iterative-stratification.
    With groups: whole groups, largest first, each to the split that then fits its shares best.

    Args:
        listing: images in sorted order.
        plan: the shares.
        seed: int >= 0.
        groups: name of the group of each image; images of one group stay together.

    Raises:
        DataError: shares out of range, or fewer groups than splits.
    """
    plan.check()
    if groups is not None:
        split = _grouped(listing, plan, seed, groups)
    elif listing.task == MULTI:
        split = _multi_label(listing, plan, seed)
    else:
        split = _per_class(listing, plan, seed)
    listing.table["split"] = pd.Series(split, index=listing.table.index, dtype=object)


def keep_splits(listing: Listing, val: float, seed: int, groups: list[str] | None = None) -> None:
    """Keeps the splits that a set has, and takes a validation split from its training images.

    Args:
        listing: images whose `split` is filled.
        val: share of all images for validation; 0 leaves all as it is.
        seed: int >= 0.
        groups: as for `assign_splits`.

    Raises:
        DataError: a class of a single-label set has no training image.
        SettingError: `val` takes all training images.
    """
    table = listing.table
    train = (table["split"] == "train").to_numpy()
    if listing.task != MULTI:
        trained = {labels[0] for labels in table["labels"][train]}
        absent = [name for n, name in enumerate(listing.classes) if n not in trained]
        if absent:
            raise DataError(
                f"class {absent[0]!r} has no image in the training split that is kept (of "
                f"{len(listing.classes)} classes {len(absent)} have none): add some, or give "
                "`resplit=True` to divide all images anew"
            )
    present = set(table["split"])
    if "train" not in present:
        raise DataError(
            f"the splits that are kept are {', '.join(sorted(present))}, and nothing is for "
            "training: give `resplit=True` to divide all images anew"
        )
    lacking = [split for split in SPLITS if split not in present and not (split == "val" and val)]
    for split in lacking:
        mend = ": `val_fraction=0.1` takes one from train" if split == "val" else ""
        listing.notes.append(f"there is no {split} split{mend}")
    if not val:
        return
    share = val * len(table) / max(1, train.sum())
    if share >= 1:
        what = f"is below {train.mean():.2g} here, the share of the training images"
        raise SettingError("val_fraction", what, val)
    part = Listing(table[train].reset_index(drop=True), listing.classes, listing.task)
    own = [group for group, one in zip(groups, train, strict=True) if one] if groups else None
    assign_splits(part, SplitPlan(1 - share, share), seed, own)
    # The shares are of what was for training: what rounding leaves over stays that.
    table.loc[train, "split"] = part.table["split"].replace("test", "train").to_numpy()
    listing.notes.append(f"{int((table['split'] == 'val').sum())} images of train are now val")


def check_splits(listing: Listing) -> None:
    """Raises `DataError` where a class of a single-label set, or a set without labels, has no
    training image, or one class alone is left.

    In a multi-label set a rare label may lack one (AID's `mobile-home` has two positives in
    all); that is a note, because the other labels still train.
    """
    table = listing.table
    if listing.task == UNLABELLED and not (table["split"] == "train").any():
        raise DataError(
            f"none of the {len(table)} images is for training: raise `train_fraction` or add images"
        )
    if listing.task == SINGLE and len(listing.classes) < 2:
        raise DataError(
            f"of {listing.classes[0]!r} alone there are images: a classifier needs two classes or "
            "more"
        )
    trained = {label for labels in table["labels"][table["split"] == "train"] for label in labels}
    absent = [name for number, name in enumerate(listing.classes) if number not in trained]
    if not absent:
        return
    if listing.task == MULTI:
        listing.notes.append(f"labels without a training image: {', '.join(absent)}")
        return
    number = listing.classes.index(absent[0])
    count = int(table["labels"].map(lambda labels: number in labels).sum())
    if not count:  # what there was is left out
        mend = "mend its images, or leave it out with "
        mend += "`labels` without its rows" if listing.label_files else f"`ignore='{absent[0]}'`"
    elif listing.split_by:
        mend = "put some of its images into the training split"
    else:
        mend = "raise `train_fraction` or add images"
    raise DataError(
        f"class {absent[0]!r} ({count} images) has no training image (of {len(listing.classes)} "
        f"classes {len(absent)} have none): {mend}"
    )


def check_shots(listing: Listing, shots: Sequence[int]) -> None:
    """Raises where few-shot training sets of so many images a class cannot be drawn.

    Raises:
        SettingError: a number is below 1, or given twice.
        DataError: a class of a single-label set has fewer training images, or there are none.
    """
    labels = listing.table.loc[listing.table["split"] == "train", "labels"]
    if len(shots) and not len(labels):
        raise DataError(
            f"none of the {len(listing.table)} images is for training, and `shots` are drawn from "
            "those that are: leave it out, or put images into the training split"
        )
    counts = multi_hot(labels, len(listing.classes)).sum(axis=0, dtype=int)
    for number in shots:
        if number < 1 or shots.count(number) > 1:
            what = "are numbers of images a class, at least 1, none twice"
            raise SettingError("shots", what, ",".join(map(str, shots)))
        if listing.task != MULTI:
            check_enough(counts, number, listing.classes)


def limit(listing: Listing, count: int, seed: int) -> None:
    """Keeps about `count` images, the classes in turn, chosen by the seed, in place.

    Raises:
        SettingError: a class of a single-label set would have none.
    """
    table = listing.table
    if listing.task == SINGLE and count < len(listing.classes):
        what = f"is at least {len(listing.classes)} here, an image of each class"
        raise SettingError("limit", what, count)
    first = part = _first_labels(table)
    split = np.zeros(len(table), int)
    if table["split"].notna().all():  # every class keeps some of each split, of training first
        split = table["split"].map(SPLITS.index).to_numpy()
        part = (first + 1) * len(SPLITS) + split
    turn = np.empty(len(table), int)
    for one in np.unique(part):
        where = np.flatnonzero(part == one)
        turn[_generator(seed, one).permutation(where)] = np.arange(len(where))
    kept = np.sort(np.lexsort((first, split, turn))[:count])
    listing.table = table.iloc[kept].reset_index(drop=True)
    listing.notes.append(f"limited to {len(kept)} of {len(table)} images")


def _generator(seed: int, label: int) -> np.random.Generator:
    return np.random.default_rng([seed, int(label) + 1])


def _first_labels(table: pd.DataFrame) -> np.ndarray:
    """The first label of each image, -1 where it has none."""
    return table["labels"].map(lambda labels: labels[0] if labels else -1).to_numpy()


def _per_class(listing: Listing, plan: SplitPlan, seed: int) -> np.ndarray:
    labels = _first_labels(listing.table)
    split = np.full(len(labels), "test", dtype=object)
    offset = 0
    for label in np.unique(labels):
        where = _generator(seed, label).permutation(np.flatnonzero(labels == label))
        if plan.folds:
            # Classes start at different folds, so that remainders do not all fall on the first.
            fold = (np.arange(len(where)) + offset) % plan.folds
            offset += len(where)
            where = where[fold != plan.fold]
            second = int((len(where) + (fold == plan.fold).sum()) * plan.val + 0.5)
            split[where[:second]], split[where[second:]] = "val", "train"
            continue
        if plan.per_class:
            first = plan.per_class
            if first > len(where):
                raise DataError(
                    f"class {listing.classes[label]!r} has {len(where)} images, `per_class` asks "
                    f"for {first}: lower it or add images"
                )
            second = first + int((len(where) - first) * plan.val + 0.5)
        else:
            first = int(len(where) * plan.train + 0.5)
            second = int(len(where) * (plan.train + plan.val) + 0.5)
        split[where[:first]], split[where[first:second]] = "train", "val"
    return split


def _positives(listing: Listing) -> np.ndarray:
    """0/1 int `(images, classes)`."""
    return multi_hot(listing.table["labels"], len(listing.classes)).astype(int)


def _multi_label(listing: Listing, plan: SplitPlan, seed: int) -> np.ndarray:
    positive = _positives(listing)
    everything = np.arange(len(positive))
    split = np.full(len(everything), "test", dtype=object)
    if plan.folds:
        fold = iterative_folds(positive, plan.folds, seed)
        training = everything[fold != plan.fold]
        share = plan.val / (1 - 1 / plan.folds)
        validation, training = iterative_cut(training, positive, share, seed)
    elif plan.per_class:
        training = _few_shot(positive, plan.per_class, seed)
        rest = np.setdiff1d(everything, training)
        validation, _ = iterative_cut(rest, positive, plan.val, seed)
    else:
        training, rest = iterative_cut(everything, positive, plan.train, seed)
        share = plan.val / (1 - plan.train) if plan.train < 1 else 0
        validation, _ = iterative_cut(rest, positive, share, seed)
    split[training], split[validation] = "train", "val"
    return split


def _few_shot(positive: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows in which every label has `count` positives if it has them: rarest labels first."""
    order = np.random.default_rng([seed, 0]).permutation(len(positive))
    chosen = np.zeros(len(positive), bool)
    for label in np.argsort(positive.sum(0), kind="stable"):
        lacking = count - int(positive[chosen, label].sum())
        candidates = order[(positive[order, label] == 1) & ~chosen[order]]
        chosen[candidates[: max(lacking, 0)]] = True
    return np.flatnonzero(chosen)


def _grouped(listing: Listing, plan: SplitPlan, seed: int, groups: list[str]) -> np.ndarray:
    positive = _positives(listing)
    if plan.per_class:
        what = "takes single images, `group` whole groups: give one of them"
        raise SettingError("per_class", what, plan.per_class)
    names = np.array(groups)
    shares = plan.shares()
    if plan.folds:
        fold = assign_groups(positive, names, [1 / plan.folds] * plan.folds, seed)
        split = np.where(fold == plan.fold, "test", "train").astype(object)
        share = plan.val / (1 - 1 / plan.folds)
        training = np.flatnonzero(fold != plan.fold)
        if share > 0:
            part = assign_groups(positive[training], names[training], [1 - share, share], seed)
            split[training[part == 1]] = "val"
    else:
        split = np.array(SPLITS, dtype=object)[assign_groups(positive, names, shares, seed)]
    for name, share in zip(SPLITS, shares, strict=True):
        found = float((split == name).mean())
        if abs(found - share) > _FAR:
            listing.notes.append(
                f"{name} has {found:.0%} of the images, and {share:.0%} were asked for: groups "
                "stay whole, smaller ones come nearer"
            )
    return split
