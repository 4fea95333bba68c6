"""The pre-training regimes of the study, as data: what they are, and how a report speaks of them.

A regime is a row of `REGIMES`; nothing else lists them. `REFERENCES` and `CLAIMS` say which of them
a comparison holds against each other. `strategy` is the setting, and the column of a table, that
names one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tfrecords_tools.common.errors import DataError, SettingError


@dataclass(frozen=True)
class Objective:
    """What a round on the source set learns from.

    Attributes:
        name: what `Regime.objective` takes.
        labels: whether from the labels. Without them the source may be any images, and what its
            round is trained with is `settings`, whatever the target round has: runs of any recipe
            share it.
        settings: fields of `Settings`.
        teacher: whether from a frozen network.
    """

    name: str
    labels: bool
    settings: Mapping[str, object] = field(default_factory=dict)
    teacher: bool = False


SUPERVISED, SELF_SUPERVISED, DISTILLATION = "supervised", "self-supervised", "distillation"
# Settings of a source round without labels that are not those of the target round. The batch is
# what two cores and any GPU hold; `source_batch_size` says another.
_WITHOUT_LABELS = {
    "optimizer": "adamw",
    "schedule": "cosine",
    "weight_decay": None,
    "augment": "crop,turn,flip",  # not looked at: views have their own
    "label_smoothing": 0.0,
    "ema_momentum": 0.0,
    "select": "best",  # by the probe, where there is one
    "batch_size": 128,
}
OBJECTIVES = {
    row.name: row
    for row in (
        Objective(SUPERVISED, labels=True),
        Objective(SELF_SUPERVISED, labels=False, settings=_WITHOUT_LABELS),
        Objective(DISTILLATION, labels=False, settings=_WITHOUT_LABELS, teacher=True),
    )
}


@dataclass(frozen=True)
class Regime:
    """What the weights are at first, and whether and how a round on the source set follows.

    Attributes:
        name: what `strategy` takes.
        pretraining: `"random"`, `"imagenet"` (supervised), `"ssl"` (self-supervised) or
            `"in-domain"` (overhead images, however trained); or what else a weights file says that
            it was pre-trained on. The last two come from `weights` alone.
        source_round: whether the whole network is trained on the source set before the target.
            Where it learns from labels, that round is a run of the regime with the same
            `pretraining` and no source round.
        summary: one line for people.
        worth: what a report says of it against `scratch`: a clause with `{}` for the gain and,
            where it is needed, `{source}` for the source set's name; empty: a plain one.
        colors: of its marks in a report, for light and dark paper, as CSS; empty: the text's.
        objective: of `OBJECTIVES`: what the source round learns from.
    """

    name: str
    pretraining: str
    source_round: bool
    summary: str
    worth: str = ""
    colors: tuple[str, str] | None = None
    objective: str = SUPERVISED

    @property
    def labels(self) -> bool:
        """Whether all its rounds learn from labels."""
        return not self.source_round or OBJECTIVES[self.objective].labels

    @property
    def from_random(self) -> bool:
        """Whether the target round begins with a backbone of random weights."""
        return self.pretraining == "random" and not self.source_round

    @property
    def teacher(self) -> bool:
        """Whether its source round learns from a frozen network."""
        return self.source_round and OBJECTIVES[self.objective].teacher


# How the general weights of a `pretraining` came to be, in words.
SUPERVISION = {"imagenet": "supervised", "ssl": "self-supervised"}
# What the weights of a `pretraining` are, in words.
KINDS = {"imagenet": "supervised ImageNet", "ssl": "self-supervised", "in-domain": "overhead"}

# Colours that the colour-blind can tell apart too (after Okabe & Ito).
REGIMES = {
    regime.name: regime
    for regime in (
        Regime(
            "scratch",
            "random",
            False,
            "random weights, target only",
            colors=("#6b7177", "#a3abb3"),
        ),
        Regime(
            "imagenet",
            "imagenet",
            False,
            "supervised ImageNet, then target",
            worth="ImageNet pre-training is worth {} over scratch",
            colors=("#0072b2", "#56b4e9"),
        ),
        Regime(
            "ssl",
            "ssl",
            False,
            "self-supervised weights (SwAV's of ImageNet, DINO's and others'), then target",
            worth="self-supervised pre-training is worth {} over scratch",
            colors=("#9b3f8f", "#d38bc8"),
        ),
        Regime(
            "in-domain",
            "random",
            True,
            "random weights, source, then target",
            worth="pre-training on {source} is worth {} over scratch",
            colors=("#00805c", "#2fc99a"),
        ),
        Regime(
            "dap",
            "imagenet",
            True,
            "supervised ImageNet, source, then target",
            worth="ImageNet weights adapted on {source} are worth {} over scratch",
            colors=("#cc5500", "#f28c38"),
        ),
        Regime(
            "dap-ssl",
            "ssl",
            True,
            "self-supervised weights, source, then target",
            worth="self-supervised weights adapted on {source} are worth {} over scratch",
            colors=("#8a6d00", "#e3c32b"),
        ),
        Regime(
            "overhead",
            "in-domain",
            False,
            "weights of other overhead images, given by name, then target",
            worth="the weights of other overhead images are worth {} over scratch",
            colors=("#a4002a", "#ff8f9f"),
        ),
        Regime(
            "in-domain-ssl",
            "random",
            True,
            "random weights, source without labels, then target",
            worth="self-supervised pre-training on {source} is worth {} over scratch",
            colors=("#00382a", "#a5f2d9"),
            objective=SELF_SUPERVISED,
        ),
        Regime(
            "dap-unlabelled",
            "imagenet",
            True,
            "supervised ImageNet, source without labels, then target",
            worth="ImageNet weights adapted on {source} without labels are worth {} over scratch",
            colors=("#6e2800", "#ffd0ad"),
            objective=SELF_SUPERVISED,
        ),
        Regime(
            "distil",
            "random",
            True,
            "random weights, a teacher's features on the source, then target",
            worth="a teacher's features of {source} are worth {} over scratch",
            colors=("#1f2a78", "#b9c3ff"),
            objective=DISTILLATION,
        ),
    )
}

# What every regime is held against, where it is there.
REFERENCES = ("scratch", "imagenet")


@dataclass(frozen=True)
class Claim:
    """What a report says of the gain of one regime over another.

    Attributes:
        regime, against: names.
        text: as `Regime.worth`.
        again: the same, right after a sentence on `against`.
    """

    regime: str
    against: str
    text: str
    again: str = ""


# What can be added to pre-training: a report makes the first of these that its runs can answer.
ADDED = (
    Claim(
        "dap",
        "imagenet",
        "adapting ImageNet weights on {source} adds {}",
        again="adapting it on {source} adds {}",
    ),
    Claim("dap-ssl", "ssl", "adapting self-supervised weights on {source} adds {}"),
    Claim("ssl", "imagenet", "self-supervised instead of supervised ImageNet weights add {}"),
    Claim("overhead", "imagenet", "weights of other overhead images instead of ImageNet's add {}"),
    Claim("in-domain", "imagenet", "pre-training on {source} instead of ImageNet adds {}"),
    Claim("dap", "in-domain", "starting from ImageNet weights before {source} adds {}"),
    Claim(
        "dap-ssl",
        "imagenet",
        "self-supervised weights adapted on {source} add {} to ImageNet's",
    ),
)

# What the labels of the source set matter: a report makes all of these that its runs can answer.
WITHOUT_LABELS = (
    Claim(
        "dap-unlabelled",
        "imagenet",
        "adapting ImageNet weights on {source} without labels adds {}",
        again="adapting it on {source} without labels adds {}",
    ),
    Claim(
        "dap",
        "dap-unlabelled",
        "the labels of {source} add {} to ImageNet weights adapted on it",
        again="the labels of {source} add {}",
    ),
    Claim("in-domain-ssl", "in-domain", "learning {source} without its labels adds {}"),
    Claim("distil", "in-domain", "a teacher instead of the labels of {source} adds {}"),
    Claim(
        "in-domain-ssl",
        "imagenet",
        "pre-training on {source} without labels instead of ImageNet adds {}",
    ),
)
CLAIMS = ADDED + WITHOUT_LABELS


def get_regime(name: str) -> Regime:
    """The regime called `name`; `SettingError` lists the names if there is none."""
    if name not in REGIMES:
        raise SettingError("strategy", f"is one of {', '.join(REGIMES)}", name)
    return REGIMES[name]


def in_order(names) -> list[str]:
    """Names of regimes as `REGIMES` has them; names that it does not have are left out."""
    return [name for name in REGIMES if name in names]


def plain_of(regime: Regime) -> Regime:
    """The regime with the same initial weights and no source round; `DataError` if none is."""
    for other in REGIMES.values():
        if other.pretraining == regime.pretraining and not other.source_round:
            return other
    raise DataError(
        f"strategy {regime.name!r} has a source round from {regime.pretraining} weights, and "
        "no strategy without one does: add that to rssc_tf/regimes.py too"
    )
