"""Settings of a training run: what was asked, and what it resolves to."""

import functools
import inspect
from dataclasses import dataclass, fields
from pathlib import Path

from pipelines.augmentations import AUGMENTATIONS, STUDY, canonical
from pipelines.memory import CACHES
from rssc_tf.fields import (
    EVALUATION,
    NOTHING,
    SOURCE_ROUND,
    as_plain,
    check_fields,
    check_value,
    names_where,
    setting,
)
from rssc_tf.models.backbones import BACKBONES, get_backbone
from rssc_tf.models.view_count import CLASSIFIER_VIEWS, check_views
from rssc_tf.optimization.recipes import PAPER, RECIPES, get_recipe, set_by_recipes
from rssc_tf.optimization.table import LINEAR, OPTIMIZERS, PRETRAINED, RANDOM, SCHEDULES
from rssc_tf.regimes import OBJECTIVES, REGIMES, get_regime
from tfrecords_tools.common.errors import SettingError

HEADS = ("finetune", "linear")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
DISTRIBUTIONS = ("auto", "none", "mirrored", "multiworker")
SELECTIONS = ("best", "last")
OWN = "target"  # as `source`: the target's own training images

DATA, MODEL, TRAINING, RUN = "Data", "Model", "Training", "Run"
_SEED = 2**31 - 1


def checkpoint_interval(text: str) -> tuple[int | None, float | None]:
    """`"500"` -> (500 steps, None), `"5m"` -> (None, 300 seconds); else `SettingError`."""
    try:
        if text.endswith("m"):
            minutes = float(text[:-1])
            if minutes > 0:
                return None, minutes * 60
        elif int(text) > 0:
            return int(text), None
    except (ValueError, AttributeError):
        pass
    raise SettingError("checkpoint_every", "is steps (500) or minutes (5m)", text)


def _parts(recipe: str) -> dict:
    """The settings of a recipe."""
    parts = dict(get_recipe(recipe).settings)
    for name in unknown_settings(parts):
        raise SettingError("recipe", f"has a part {name!r}, which is no setting", recipe)
    return parts


def _with_recipe(settings: type) -> type:
    """Lets a new `settings` take what it is not given from its recipe, before the defaults.

    `dataclasses.replace` gives all fields, and so changes those only that it names.
    """
    plain = settings.__init__
    signature = inspect.signature(plain)

    @functools.wraps(plain)
    def init(self, *args, **given):
        values = signature.bind_partial(self, *args, **given).arguments
        parts = _parts(values.get("recipe", settings.recipe))
        plain(**{name: as_plain(value) for name, value in {**parts, **values}.items()})

    settings.__init__ = init
    return settings


@_with_recipe
@dataclass(frozen=True)
class Settings:
    """One run of `rssc-tf train`; every field is a flag, and what is declared here is all of it.

    Lengths are in passes over a training split, sides in pixels, rates are peaks of the schedule.
    What is not given is as `recipe` has it, and else at its default.

    Raises:
        SettingError: a value that its declaration does not allow, or that contradicts another.
    """

    strategy: str = setting(
        help="One of {choices}.", panel=DATA, choices=REGIMES, check=get_regime, of_grid=True
    )
    target: str = setting(
        help="Record folder to classify; the demo's by default.",
        panel=DATA,
        affects=NOTHING,  # its content does, and is looked at
        of_grid=True,
    )
    source: str | None = setting(
        None,
        help="Record folder of the source round; without labels also: target, its own images.",
        panel=DATA,
        affects=NOTHING,
    )
    exclude_leaks: bool = setting(
        False,
        help="Leave source images out that show a target test image.",
        panel=DATA,
        affects=SOURCE_ROUND,
    )
    backbone: str = setting(
        "resnet50",
        help="One of {choices}, a ViT by its name in timm, or a KerasHub preset as hub:NAME.",
        panel=MODEL,
        choices=BACKBONES,
        check=get_backbone,
        timed=True,
    )
    weights: str | None = setting(
        None,
        help="Initial weights: a name of `weights list`, https://..., a file, or a run folder.",
        panel=MODEL,
        affects=NOTHING,
    )
    teacher: str | None = setting(
        None,
        help="What distil learns from: a name of `weights list`, a file, or a run folder.",
        panel=MODEL,
        affects=NOTHING,  # its content does, and is in the key of the source round
    )
    normalization: str | None = setting(
        None, help="What a foreign weights file was trained with.", panel=MODEL
    )
    head: str = setting(
        "finetune",
        help="finetune: the whole network; linear: the classifier alone.",
        panel=MODEL,
        choices=HEADS,
        of_grid=True,
        timed=True,
    )
    image_size: int | None = setting(
        None,
        help="Side the backbone sees; by default the crop, for trained weights at least theirs.",
        panel=MODEL,
        at_least=8,
        at_most=10**4,
        timed=True,
    )
    recipe: str = setting(
        PAPER,
        help="Defaults of the settings below: one of {choices}.",
        panel=TRAINING,
        choices=RECIPES,
        check=get_recipe,
        affects=NOTHING,  # what it stands for does
        of_grid=True,
        tunable=True,
    )
    epochs: int = setting(
        100, help="Of the target round.", panel=TRAINING, at_least=1, at_most=10**5, tunable=True
    )
    source_epochs: int = setting(
        100, help="Of the source round.", panel=TRAINING, at_least=1, at_most=10**5
    )
    batch_size: int = setting(
        100,
        help="Over all devices.",
        panel=TRAINING,
        at_least=1,
        at_most=10**6,
        timed=True,
    )
    source_batch_size: int | None = setting(
        None,
        help="Of the source round; 128 without labels, else that of the target round.",
        panel=TRAINING,
        at_least=1,
        at_most=10**6,
        affects=SOURCE_ROUND,
    )
    augment: str = setting(
        STUDY,
        help="Comma-separated, of {choices}; or none.",
        panel=TRAINING,
        choices=AUGMENTATIONS,
        check=canonical,
        timed=True,
    )
    head_first: bool = setting(
        False,
        help="Begin with the best linear head on the features of trained weights.",
        panel=TRAINING,
    )
    freeze_statistics: bool = setting(
        False,
        help="BatchNormalization keeps the statistics of trained weights.",
        panel=TRAINING,
        timed=True,
    )
    optimizer: str = setting(
        "adam",
        help="One of {choices}.",
        panel=TRAINING,
        choices=OPTIMIZERS,
        timed=True,
        tunable=True,
    )
    learning_rate: float | None = setting(
        None,
        help="Peak; 1e-3 from random weights or linear, else 3e-4 (sgd: 0.1, 0.01).",
        panel=TRAINING,
        above=0,
        below=10,
        tunable=True,
    )
    source_learning_rate: float | None = setting(
        None, help="Peak of the source round.", panel=TRAINING, above=0, below=10
    )
    schedule: str = setting(
        "paper", help="paper (steps) or cosine.", panel=TRAINING, choices=SCHEDULES, tunable=True
    )
    weight_decay: float | None = setting(
        None,
        help="Decoupled, not on biases and norms; 0.01 for adamw, else 0.",
        panel=TRAINING,
        at_least=0,
        below=1,
        timed=True,
        tunable=True,
    )
    label_smoothing: float | None = setting(
        0.0,
        help="Share of a target that goes to all classes.",
        panel=TRAINING,
        at_least=0,
        below=1,
        tunable=True,
    )
    source_label_smoothing: float | None = setting(
        None,
        help="In a source round with labels; by default as in the target round.",
        panel=TRAINING,
        at_least=0,
        below=1,
        affects=SOURCE_ROUND,
    )
    ema_momentum: float = setting(
        0.0,
        help="Of a moving average of the weights, which is then the model; 0: none.",
        panel=TRAINING,
        at_least=0,
        below=1,
        timed=True,
    )
    select: str = setting(
        "best",
        help="The model: of the best epoch by the validation split, or of the last.",
        panel=TRAINING,
        choices=SELECTIONS,
    )
    probe_every: int = setting(
        5,
        help="Epochs of a source round without labels between probes on the validation split.",
        panel=TRAINING,
        at_least=1,
        at_most=10**5,
        affects=SOURCE_ROUND,
    )
    precision: str = setting(
        "float32", help="One of {choices}.", panel=TRAINING, choices=PRECISIONS, timed=True
    )
    seed: int = setting(
        0,
        help="Of all that is random.",
        panel=TRAINING,
        at_least=0,
        at_most=_SEED,
        of_grid=True,
    )
    source_seed: int | None = setting(
        None,
        help="Of the source round; that of the target round by default.",
        panel=TRAINING,
        at_least=0,
        at_most=_SEED,
        affects=SOURCE_ROUND,
        of_grid=True,
    )
    deterministic: bool = setting(True, help="Same seed, same weights.", panel=TRAINING)
    views: int = setting(
        CLASSIFIER_VIEWS,
        help="Of an image in an evaluation: 1, or 8: mean probability of its turns and flips.",
        panel=RUN,
        check=check_views,
        affects=EVALUATION,
        absent=1,
    )
    distribute: str = setting(
        "auto",
        help="auto, none, mirrored or multiworker (with TF_CONFIG).",
        panel=RUN,
        choices=DISTRIBUTIONS,
        affects=NOTHING,
        timed=True,
    )
    workers: int | None = setting(
        None,
        help="Threads that read and decode.",
        panel=RUN,
        at_least=1,
        at_most=10**3,
        affects=NOTHING,
        timed=True,
    )
    cache: str = setting(
        "auto",
        help="Decoded images in memory: auto (if they take half of the free), none, ram.",
        panel=RUN,
        choices=CACHES,
        affects=NOTHING,
        timed=True,
    )
    checkpoint_every: str = setting(
        "5m",
        help="Steps (500) or minutes (5m).",
        panel=RUN,
        check=checkpoint_interval,
        affects=NOTHING,
    )
    keep_checkpoints: int = setting(
        2,
        help="How many stay, the newest.",
        panel=RUN,
        at_least=1,
        at_most=10**3,
        affects=NOTHING,
    )

    def __post_init__(self):
        check_fields(self)
        regime = get_regime(self.strategy)
        if regime.source_round and not self.source:
            raise SettingError("strategy", "needs `source`", self.strategy)
        if regime.teacher and not self.teacher:
            raise SettingError("strategy", "needs `teacher`", self.strategy)
        OPTIMIZERS[self.optimizer].check_decay(self.weight_decay)

    def target_rate(self) -> float:
        """Peak learning rate of the target round."""
        if self.learning_rate is not None:
            return self.learning_rate
        if self.head == "linear":
            return OPTIMIZERS[self.optimizer].rates[LINEAR]
        return _rate(self.optimizer, self.from_random())

    def from_random(self) -> bool:
        """Whether the target round begins with a backbone of random weights."""
        return get_regime(self.strategy).from_random

    def source_rate(self) -> float:
        """Peak learning rate of the source round."""
        if self.source_learning_rate is not None:
            return self.source_learning_rate
        regime = get_regime(self.strategy)
        optimizer = OBJECTIVES[regime.objective].settings.get("optimizer", self.optimizer)
        return _rate(optimizer, regime.pretraining == "random")

    @property
    def source_records(self) -> str | None:
        """The record folder that `source` stands for; errors as of `is_own`."""
        return self.target if is_own(self.source, self.strategy) else self.source


def is_own(source: str | None, strategy: str) -> bool:
    """Whether `source` stands for the target's own training images.

    It does where no labels are learnt; else it is a folder, as it always was.

    Raises:
        SettingError: a round that learns labels is to begin, and there is no such folder.
    """
    regime = get_regime(strategy)
    if source != OWN or not regime.source_round:
        return False
    if regime.labels and not Path(source).is_dir():
        what = "is another set where its labels are learnt, and there is no folder of that name"
        raise SettingError("source", what, source)
    return not regime.labels


def _rate(optimizer: str, random: bool) -> float:
    """The usual peak from random or from trained weights."""
    return OPTIMIZERS[optimizer].rates[RANDOM if random else PRETRAINED]


def default_parts() -> dict:
    """The defaults of every setting that some recipe decides."""
    return {one: getattr(Settings, one) for one in set_by_recipes() if hasattr(Settings, one)}


def all_of_recipe(name: str) -> dict:
    """What a recipe says of every setting that some recipe decides."""
    parts = _parts(name)
    return {"recipe": name, **default_parts(), **parts}


def check_seed(seed: int) -> None:
    """Raises `SettingError` for a seed that no run could have: NumPy, Keras and scikit-learn each
    take others beyond it."""
    check_value(Settings, "seed", int(seed))


TrainConfig = Settings  # its name in 0.1, which scripts import


def unknown_settings(names) -> list[str]:
    """Those names that are no setting of this version, sorted."""
    return sorted(set(names) - {one.name for one in fields(Settings)})


# --- what a setting is good for: all from its declaration ---


def decided_by_grid() -> list[str]:
    """The settings that a comparison decides for each of its runs."""
    return names_where(Settings, lambda facts: facts.of_grid)


def step_kind(config: Settings) -> tuple:
    """The settings that the time of a training step depends on."""
    return tuple(getattr(config, name) for name in names_where(Settings, lambda f: f.timed))
