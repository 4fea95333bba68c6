"""The pre-training regimes of the study, as data."""

from dataclasses import dataclass

from tfrecords_tools.errors import RsscError


@dataclass(frozen=True)
class Strategy:
    """A regime: what the weights are at first, and whether a round on the source set follows.

    Attributes:
        name: what `--strategy` takes.
        pretraining: `"random"`, `"imagenet"` (supervised) or `"ssl"` (self-supervised).
        source_round: whether the whole network is trained on the source set before the target.
        summary: one line for people.
    """

    name: str
    pretraining: str
    source_round: bool
    summary: str


STRATEGIES = {
    strategy.name: strategy
    for strategy in (
        Strategy("scratch", "random", False, "random weights, target only"),
        Strategy("imagenet", "imagenet", False, "supervised ImageNet, then target"),
        Strategy("ssl", "ssl", False, "self-supervised ImageNet, then target"),
        Strategy("in-domain", "random", True, "random weights, source, then target"),
        Strategy("dap", "imagenet", True, "supervised ImageNet, source, then target"),
        Strategy("dap-ssl", "ssl", True, "self-supervised ImageNet, source, then target"),
    )
}


def get_strategy(name: str) -> Strategy:
    """The regime called `name`; `RsscError` lists the names if there is none."""
    if name not in STRATEGIES:
        raise RsscError(f"unknown strategy {name!r}: choose one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name]
