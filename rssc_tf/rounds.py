"""The two rounds of a run, as settings: what the target round resolves to, and the source round."""

from dataclasses import replace

from pipelines.augmentations import canonical
from rssc_tf.optimization.recipes import PAPER
from rssc_tf.regimes import OBJECTIVES, get_regime, plain_of
from rssc_tf.settings import Settings
from rssc_tf.tasks import Task


def resolve(
    config: Settings,
    image_size: int | None,
    task: Task | None = None,
    source_task: Task | None = None,
) -> Settings:
    """Fills in what was left to the defaults of the regime and of the records.

    Args:
        config: the settings.
        image_size: side at which the backbone sees images where the settings do not say, in
            pixels; `None` leaves that open.
        task: of the target; `None` leaves open what it says.
        source_task: of a source whose labels are learnt.
    """
    source_round = get_regime(config.strategy).source_round
    smoothing, of_source = _smoothing(config, task, source_task)
    return replace(
        config,
        source=config.source_records,
        augment=canonical(config.augment),
        # Random features have no best head, and no statistics to keep.
        head_first=config.head_first and not config.from_random(),
        freeze_statistics=config.freeze_statistics and not config.from_random(),
        learning_rate=config.target_rate(),
        source_learning_rate=config.source_rate() if source_round else None,
        label_smoothing=smoothing,
        source_label_smoothing=of_source if of_source != smoothing else None,
        # One size for both rounds: the features of a backbone are tied to the scale it sees.
        image_size=config.image_size or image_size,
    )


def _smoothing(
    config: Settings, task: Task | None, source_task: Task | None
) -> tuple[float | None, float | None]:
    """That of the target round and that of the source round."""
    given = config.label_smoothing
    smoothing = task.label_smoothing if given is None and task else given
    of_source = config.source_label_smoothing
    if of_source is None:
        of_source = source_task.label_smoothing if given is None and source_task else smoothing
    return smoothing, of_source


def with_source_settings(config: Settings) -> Settings:
    """The source round as a run of its own: the whole network, trained on the source set.

    One that learns from labels is a run of the regime without a source round; one that does not is
    told by the name of its regime.
    """
    regime = get_regime(config.strategy)
    if regime.labels:
        own = {"strategy": plain_of(regime).name, "source": None, "teacher": None}
        if config.source_label_smoothing is not None:
            own["label_smoothing"] = config.source_label_smoothing
    else:
        own = {**OBJECTIVES[regime.objective].settings, "recipe": PAPER}
        own |= {} if regime.teacher else {"teacher": None}
    if config.source_batch_size is not None:
        own["batch_size"] = config.source_batch_size
    return replace(
        config,
        **own,
        target=config.source,
        source_batch_size=None,
        source_label_smoothing=None,
        head="finetune",
        head_first=False,
        freeze_statistics=False,
        views=1,  # runs that look at several share it
        epochs=config.source_epochs,
        learning_rate=config.source_rate(),
        seed=config.seed if config.source_seed is None else config.source_seed,
        source_seed=None,
    )
