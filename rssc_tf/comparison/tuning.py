"""Settings that a comparison chooses itself, the same way for every regime.

For each target, head, size of the training set and regime, values are tried on the first draw of
the training images with the first seed, and held against each other by the headline score on the
validation split; the test split is not read. Successive halving (Jamieson & Talwalkar, AISTATS
2016): all candidates are trained for a share of the epochs, the better half for twice that, and so
on; the last one is what all runs of the place are trained with. A short training is a whole one,
with a schedule of its own length. All regimes have the same candidates and the same shares.

Like a source round, the choice is made by the first run that needs it, under a lock, and kept in
`tuning/`, so that a comparison goes on where it was stopped, and processes and machines share it.
"""

import json
import math
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from rssc_tf.evaluation.not_finite import NotFinite
from rssc_tf.fields import declared, names_where, parse_text
from rssc_tf.runs import read_metrics
from rssc_tf.settings import Settings
from rssc_tf.tasks import comparable
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.common.locks import sole_writer

FOUND = "tuning.json"
Values = dict[str, object]


def parse_tune(given: Mapping[str, object] | Iterable[str] | str) -> dict[str, tuple]:
    """What is to be tuned, by name, from `name=value,value` texts or a mapping of names to values.

    Raises:
        SettingError: a name that is no setting or may not be tuned, fewer than two values, one
            twice, or one that the setting cannot have.
    """
    texts = [given] if isinstance(given, str) or not isinstance(given, Iterable) else given
    pairs = given.items() if isinstance(given, Mapping) else map(_pair, texts)
    tune: dict[str, tuple] = {}
    for name, values in pairs:
        name = str(name).strip().replace("-", "_")
        if name in tune:
            raise SettingError("tune", "names each setting once", name)
        tune[name] = _values(name, values)
    return dict(sorted(tune.items()))


def _pair(text: object) -> tuple[str, str]:
    name, equals, values = str(text).partition("=")
    if not (isinstance(text, str) and equals):
        raise SettingError("tune", "is NAME=VALUE,VALUE, as learning-rate=1e-4,3e-4", text)
    return name, values


def _values(name: str, values: object) -> tuple:
    tunable = names_where(Settings, lambda facts: facts.tunable)
    if name not in tunable:
        known = name in {one.name for one in fields(Settings)}
        why = "how weights are trained, not which or on what" if known else "no other setting"
        names = ", ".join(tunable).replace("_", "-")
        raise SettingError("tune", f"takes {names}: {why}", name.replace("_", "-"))
    one = Settings.__dataclass_fields__[name]
    parts = values.split(",") if isinstance(values, str) else values
    if not isinstance(parts, list | tuple):
        parts = [parts]
    found = tuple(parse_text(one, str(part).strip()) for part in parts)
    if len(found) < 2 or len(set(found)) < len(found):
        raise SettingError("tune", f"has two values of {name} or more, and none twice", values)
    return found


def candidates(tune: Mapping[str, tuple]) -> list[Values]:
    """Every combination of the values."""
    return [dict(zip(tune, values, strict=True)) for values in product(*tune.values())]


def rounds(count: int) -> list[tuple[int, float]]:
    """How many candidates are trained, and for which share of their epochs, round by round."""
    number = math.ceil(math.log2(count))
    return [(math.ceil(count / 2**n), 0.5 ** (number - n)) for n in range(number)]


def epochs_of(epochs: int, share: float) -> int:
    """The length of a short training."""
    return max(1, round(epochs * share))


def at_edge(tune: Mapping[str, tuple], chosen: Values) -> list[str]:
    """The settings whose best value is the least or the greatest that was tried, where the setting
    can have others beyond it: there are no weight decays below 0."""
    declarations = {one.name: declared(one) for one in fields(Settings)}
    return [
        name
        for name, tried in tune.items()
        if not isinstance(tried[0], str)
        and chosen[name] in (min(tried), max(tried))
        and chosen[name] not in (declarations[name].at_least, declarations[name].at_most)
    ]


def in_words(values: Values) -> str:
    """`learning_rate=0.001 epochs=20`."""
    return " ".join(f"{name}={value}" for name, value in values.items())


@dataclass(frozen=True)
class Tuning:
    """How the settings of the runs are chosen that differ in their seed only.

    Attributes:
        key: hash of all that defines the choice; empty as long as its records are not written.
        folder: below the comparison's.
        candidates: what is tried.
        trials: the settings of the training of each, in full length.
        base: the settings, resolved, whose source round all trials start from.
        again: trials as they are noted, which are made again where nothing is chosen.
    """

    key: str
    folder: Path
    candidates: tuple[Values, ...]
    trials: tuple[Settings, ...]
    base: Settings
    again: tuple[dict, ...] = ()

    def read(self, out: Path) -> dict:
        """What is known so far: `tried`, and, at the end, `chosen`, the number of a candidate.

        Raises:
            RsscError: it is damaged, or was begun with other settings.
        """
        folder = out / self.folder
        found = read_tuning(folder) or {"key": self.key, "tried": []}
        if self.key and found["key"] != self.key:
            raise DataError(
                f"{folder} was made with other settings or records: repeat those, or choose "
                "another `out`"
            )
        return found

    def retrying(self, out: Path) -> "Tuning":
        """The same, which makes the trials again whose loss has diverged by now. One that another
        process makes again meanwhile, and that diverges again, counts."""
        failed = (trial for trial in self.read(out)["tried"] if trial["score"] is None)
        return replace(self, again=tuple(failed))

    def choose(self, out: Path, seed: int = 0) -> int:
        """Makes the trials that are missing in `out`, a comparison's folder, and returns the number
        of the best candidate.

        Args:
            out: see above.
            seed: of the run that asks. All of a place share the trials, and each notes for itself
                which failure of their source round it has seen.

        Raises:
            NotFinite: the loss of every candidate diverges.
            Diverged: the source round has come to nothing.
        """
        seen = out / self.folder / f"seed-{seed}"
        with sole_writer(out / self.folder, wait=True):
            found = self.read(out)
            if "chosen" not in found:
                (out / self.folder).mkdir(parents=True, exist_ok=True)
                found["tried"] = [trial for trial in found["tried"] if trial not in self.again]
                found["chosen"] = self._halve(out, found, seen)
                self._write(out, found)
            return found["chosen"]

    def _halve(self, out: Path, found: dict, seen: Path) -> int:
        left = list(range(len(self.candidates)))
        for count, share in rounds(len(left)):
            ranks = {}
            for number in left[:count]:
                trial = self._trial(out, found, number, share, seen)
                ranks[number] = _rank(trial)
            left = sorted(ranks, key=ranks.get, reverse=True)
        if ranks[left[0]] == _FAILED:
            raise NotFinite(
                f"{out / self.folder}: the loss of every candidate diverges: give lower learning "
                "rates, in another `out`"
            )
        return left[0]

    def _trial(self, out: Path, found: dict, number: int, share: float, seen: Path) -> dict:
        """Trains a candidate for a share of its epochs, unless it is noted in `found`."""
        epochs = epochs_of(self.trials[number].epochs, share)
        folder = out / self.folder / f"{number}-epochs{epochs}"
        known = (t for t in found["tried"] if (t["candidate"], t["epochs"]) == (number, epochs))
        trial = next(known, None)
        if trial is None:
            values = self.candidates[number]
            print(f"--- tuning: {in_words(values)}, {epochs} epochs", flush=True)
            settings = replace(self.trials[number], epochs=epochs)
            trial = {"candidate": number, "values": values, "epochs": epochs}
            trial |= _validated(settings, folder, self.base, seen)
            found["tried"].append(trial)
            self._write(out, found)
        shutil.rmtree(folder, ignore_errors=True)  # only its score is of use
        return trial

    def _write(self, out: Path, found: dict) -> None:
        with new_file(out / self.folder / FOUND) as aside:
            aside.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


_FAILED = (-math.inf, -math.inf)


def _rank(trial: dict) -> tuple[float, float]:
    """The better the greater. A small split has ties; the surer model wins."""
    if trial["score"] is None:
        return _FAILED
    return trial["score"], -trial["log_loss"]


def _validated(settings: Settings, folder: Path, base: Settings, seen: Path) -> dict:
    """Trains, and evaluates on the validation split; no score where the loss diverges."""
    from rssc_tf.training.stages import run_regime

    started = time.monotonic()
    metrics = read_metrics(folder, f"remove {folder}")
    if metrics is None:
        try:
            metrics = run_regime(settings, folder, source_round=base, trial=True, seen=seen)
        except NotFinite:
            metrics = {"log_loss": None}
    seconds = round(time.monotonic() - started, 1)
    found = {"score": None, "log_loss": None}
    if metrics["log_loss"] is not None and math.isfinite(metrics["log_loss"]):
        score = comparable(metrics[metrics["headline"]])
        found = {"score": score, "log_loss": metrics["log_loss"]}
    # With the time no two are alike, see `retrying`.
    return found | {"seconds": seconds, "finished": datetime.now(UTC).isoformat()}


def read_tuning(folder: Path) -> dict | None:
    """What a folder of `tuning/` says, or `None` where nothing was tried yet; `DataError` if it is
    damaged."""
    file = folder / FOUND
    if not file.is_file():
        return None
    found = read_json(file, f"remove {folder}")
    try:
        names = {"candidate", "values", "epochs", "score", "log_loss"}
        whole = isinstance(found["key"], str) and all(names <= set(one) for one in found["tried"])
        chosen = found.get("chosen")
        whole &= chosen is None or chosen in {one["candidate"] for one in found["tried"]}
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise DataError(f"{file} is damaged: remove {folder}")
    return found
