"""Which source set the runs of a grid have, and what stands for it in their keys."""

from pathlib import Path
from typing import NamedTuple

from rssc_tf.comparison.training_sets import TrainingSet
from rssc_tf.regimes import get_regime
from rssc_tf.settings import OWN, is_own
from rssc_tf.tasks import Task, task_of
from tfrecords_tools.records.card import Card, open_records, refuse_unlabelled


class SourceSet(NamedTuple):
    """The source set of runs that differ in their seed, and so their draw, only.

    Attributes:
        card: of the records that stand for it in a key; `None`: nothing does.
        own: whether it is the training set of each run itself.
        task: of the records that the rounds learn labels of; `None` where they learn none.
    """

    card: Card | None = None
    own: bool = False
    task: Task | None = None

    def card_of(self, training: TrainingSet) -> Card | None:
        """What stands for it in the key of a run on `training`."""
        return training.card if self.own else self.card


def find_source_set(strategy: str, source: str | None, shared: str | None) -> SourceSet:
    """Opens the source set of a regime.

    Args:
        strategy: the regime.
        source: its setting of that name.
        shared: what all regimes share; a regime may have its own.

    Raises:
        RsscError: bad records, or records without labels where these are learnt.
    """
    regime = get_regime(strategy)
    if not regime.source_round or not source:
        return SourceSet()
    if is_own(source, strategy):
        return SourceSet(own=True)
    card = open_records(Path(source))
    if not regime.labels:
        return SourceSet(card)
    refuse_unlabelled(source, card)
    task = task_of(card)
    # A key must stay what it was, and was made with what all regimes share, whatever one has.
    if not shared or shared == source:
        return SourceSet(card if shared else None, task=task)
    names_no_records = shared == OWN and not Path(OWN).is_dir()
    return SourceSet(card if names_no_records else open_records(Path(shared)), task=task)
