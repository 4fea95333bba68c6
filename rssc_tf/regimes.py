"""The pre-training regimes of the study, as data."""

from dataclasses import dataclass

from tfrecords_tools.common.errors import RsscError


@dataclass(frozen=True)
class Strategy:
    """A regime: what the weights are at first, and whether a round on the source set follows.

    Attributes:
        name: what `strategy` takes.
        pretraining: `"random"`, `"imagenet"` (supervised), `"ssl"` (self-supervised), or what else
            a weights file was pre-trained on, such as `"in-domain"`; such weights come from
            `weights`.
        source_round: whether the whole network is trained on the source set before the target.
            That round is a run of the regime with the same `pretraining` and no source round.
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


def plain_of(strategy: Strategy) -> Strategy:
    """The regime with the same initial weights and no source round."""
    for other in STRATEGIES.values():
        if other.pretraining == strategy.pretraining and not other.source_round:
            return other
    raise RsscError(
        f"strategy {strategy.name!r} has a source round from {strategy.pretraining} weights, and "
        "no strategy without one does: add that to rssc_tf/regimes.py too"
    )
