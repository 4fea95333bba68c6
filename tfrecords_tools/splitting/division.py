"""What a user says of the splits, against what a set says of itself."""

from dataclasses import dataclass, replace
from pathlib import Path

from tfrecords_tools.common.errors import SettingError
from tfrecords_tools.sources.readers import Listing
from tfrecords_tools.splitting.splits import SplitPlan, assign_splits, keep_splits
from tfrecords_tools.splitting.stratify import read_groups


@dataclass(frozen=True)
class Division:
    """How a user wants images divided; `None` where nothing was said.

    Attributes:
        train_fraction, val_fraction, per_class, folds, fold: see `splits.SplitPlan`.
        group: see `stratify.read_groups`.
    """

    train_fraction: float | None
    val_fraction: float | None
    per_class: int | None
    folds: int | None
    fold: int | None
    group: str | None

    @property
    def _plan(self) -> SplitPlan:
        given = {"train": self.train_fraction, "val": self.val_fraction, "fold": self.fold}
        given = {name: value for name, value in given.items() if value is not None}
        return SplitPlan(per_class=self.per_class, folds=self.folds, **given)

    def without_labels(self) -> "Division":
        """The same, but that all images are for training where nothing else was said: what has no
        labels tests nothing."""
        train, val = self.train_fraction, self.val_fraction or 0.0
        if train is None and not self.folds:
            train = 1 - val if 0 <= val < 1 else 1.0  # `check` says what is wrong with `val`
        return replace(self, train_fraction=train, val_fraction=val)

    def check(self) -> None:
        """Raises `SettingError` for a number out of range, or two that contradict each other."""
        self._plan.check()
        other = "folds" if self.folds else "per_class"
        if self.train_fraction is not None and (self.folds or self.per_class):
            what = f"contradicts `{other}`, another kind of split: give one of them"
            raise SettingError("train_fraction", what, self.train_fraction)
        if self.fold is not None and not self.folds:
            raise SettingError("fold", "goes with `folds`", self.fold)

    def refuse(self, why: str, *allowed: str) -> None:
        """Raises `SettingError` with `why` for the first thing that was asked for."""
        for name, value in vars(self).items():
            if value is not None and name not in allowed:
                raise SettingError(name, why, value)

    def apply(self, listing: Listing, images: Path, seed: int) -> dict:
        """Fills `split`, or keeps what is there; returns what the card keeps of it.

        Raises:
            SettingError: the listing has splits already, and others were asked for.
            DataError: see `splits.assign_splits` and `splits.keep_splits`.
        """
        groups = read_groups(listing, self.group) if self.group else None
        facts = {"group": self.group} if self.group else {}
        if not listing.split_by:
            assign_splits(listing, self._plan, seed, groups)
            return self._plan.facts() | facts
        counts = listing.table["split"].value_counts()
        shown = ", ".join(f"{split} {count}" for split, count in counts.items())
        why = (
            f"contradicts the splits that {images} has already ({shown}): leave it out, or give "
            "`resplit=True` to divide all images anew"
        )
        takes_val = bool(self.val_fraction) and "val" not in counts
        allowed = ("val_fraction",) * ("val" not in counts) + ("group",) * takes_val
        self.refuse(why, *allowed)
        val = self.val_fraction if takes_val else 0.0
        keep_splits(listing, val, seed, groups)
        return listing.split_by | ({"val_fraction": val} | facts if takes_val else {})
