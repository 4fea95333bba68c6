"""Settings of a training run: what was asked, and what it resolves to."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import yaml

from rssc_tf.regimes import get_strategy, plain_of
from tfrecords_tools.common.errors import DataError, RsscError
from tfrecords_tools.common.regular_files import MOST_SETTINGS, BadFile, read_regular

HEADS = ("finetune", "linear")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
DISTRIBUTIONS = ("auto", "none", "mirrored", "multiworker")
SCHEDULES = ("paper", "cosine")
CACHES = ("auto", "none", "ram")

# Raised with a release in which the same settings train other weights, so that what an older one
# left in the cache or in a comparison is not taken for the same.
PROCEDURE = 2

# The study does not publish its rates. These are the usual ones for Adam; a linear head is the
# exception, whose 1e-3 is in the study's scripts.
_RATE_RANDOM, _RATE_PRETRAINED, _RATE_LINEAR = 1e-3, 3e-4, 1e-3


@dataclass(frozen=True)
class TrainConfig:
    """One run of `rssc-tf train`; every field is a flag of that name.

    Attributes:
        strategy: a name of `strategies.STRATEGIES`.
        target, source: record folders; `source` only for regimes with a source round.
        backbone: a name of `models.backbones.BACKBONES`, or `hub:<preset>`.
        weights: file with initial weights, or `None` for the library's download.
        normalization: overrides what the weights say, or `None`.
        head: `"finetune"` (the whole network) or `"linear"` (only the classifier).
        epochs, source_epochs: passes over the training split of target and source.
        batch_size: images in a step, over all replicas.
        learning_rate, source_learning_rate: peaks of the schedule. `None`: 1e-3 from random
            weights and for a linear head, 3e-4 from pre-trained ones.
        schedule: `"paper"` (warm-up, then division by 5 three times) or `"cosine"`.
        image_size: side at which the backbone sees images; `None`: the crop (256 of 292).
        precision: dtype policy of Keras.
        seed: int >= 0, of everything that is random.
        source_seed: int >= 0, of the source round; `None`: `seed`. Runs that differ in `seed`
            share one source round if this is the same.
        distribute: one of `DISTRIBUTIONS`; `auto` mirrors over all GPUs, or runs on the CPU;
            `multiworker` trains with all processes of TF_CONFIG.
        workers: threads that read and decode; `None`: all cores.
        cache: `"ram"`: decode the training images once, into memory; `"auto"`: if they take at
            most half of the free memory; `"none"`. The batches are the same.
        checkpoint_every: `"500"` steps or `"5m"` minutes.
        keep_checkpoints: how many stay, the newest.
        exclude_leaks: leave source images out that show a photograph of the target's test split.
        deterministic: whether TensorFlow's ops must be (same seed, same weights).
    """

    strategy: str
    target: str
    source: str | None = None
    backbone: str = "resnet50"
    weights: str | None = None
    normalization: str | None = None
    head: str = "finetune"
    epochs: int = 100
    source_epochs: int = 100
    batch_size: int = 100
    learning_rate: float | None = None
    source_learning_rate: float | None = None
    schedule: str = "paper"
    image_size: int | None = None
    precision: str = "float32"
    seed: int = 0
    source_seed: int | None = None
    distribute: str = "auto"
    workers: int | None = None
    cache: str = "auto"
    checkpoint_every: str = "5m"
    keep_checkpoints: int = 2
    exclude_leaks: bool = False
    deterministic: bool = True

    def __post_init__(self):
        for setting in fields(self):
            _check_type(setting.name, getattr(self, setting.name), setting.type)
        strategy = get_strategy(self.strategy)
        if strategy.source_round and not self.source:
            raise RsscError(f"`strategy='{self.strategy}'` needs `source`")
        for name, choices in (
            ("head", HEADS),
            ("precision", PRECISIONS),
            ("schedule", SCHEDULES),
            ("distribute", DISTRIBUTIONS),
            ("cache", CACHES),
        ):
            if getattr(self, name) not in choices:
                raise RsscError(
                    f"--{name} is one of {', '.join(choices)}. Received: {getattr(self, name)!r}"
                )
        for name, least, most in (
            ("epochs", 1, 10**5),
            ("source_epochs", 1, 10**5),
            ("batch_size", 1, 10**6),
            ("image_size", 8, 10**4),
            ("seed", 0, 2**31 - 1),
            ("source_seed", 0, 2**31 - 1),
            ("workers", 1, 10**3),
            ("keep_checkpoints", 1, 10**3),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise RsscError(f"{_flag(name)} is at least {least}. Received: {value!r}")
            if value is not None and value > most:
                raise RsscError(f"{_flag(name)} is at most {most}. Received: {value!r}")
        for name in ("learning_rate", "source_learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 10:
                raise RsscError(f"{_flag(name)} is above 0 and below 10. Received: {value!r}")
        checkpoint_interval(self.checkpoint_every)

    def target_rate(self) -> float:
        """Peak learning rate of the target round."""
        if self.learning_rate is not None:
            return self.learning_rate
        if self.head == "linear":
            return _RATE_LINEAR
        strategy = get_strategy(self.strategy)
        random = strategy.pretraining == "random" and not strategy.source_round
        return _RATE_RANDOM if random else _RATE_PRETRAINED

    def source_rate(self) -> float:
        """Peak learning rate of the source round."""
        if self.source_learning_rate is not None:
            return self.source_learning_rate
        random = get_strategy(self.strategy).pretraining == "random"
        return _RATE_RANDOM if random else _RATE_PRETRAINED


def _check_type(name: str, value: object, kind: type) -> None:
    """A YAML file can hold anything; `kind` is a type of `TrainConfig`'s fields."""
    kinds = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    base = next(one for one in kinds if one is kind or kind == (one | None))
    allowed = {base, int} if base is float else {base}
    if type(value) not in allowed and not (value is None and kind is not base):
        raise RsscError(f"{_flag(name)} is {kinds[base]}. Received: {str(value)[:80]!r}")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def checkpoint_interval(text: str) -> tuple[int | None, float | None]:
    """`"500"` -> (500 steps, None), `"5m"` -> (None, 300 seconds); else `RsscError`."""
    try:
        if text.endswith("m"):
            minutes = float(text[:-1])
            if minutes > 0:
                return None, minutes * 60
        elif int(text) > 0:
            return int(text), None
    except (ValueError, AttributeError):
        pass
    raise RsscError(f"`checkpoint_every` is steps (500) or minutes (5m). Received: {text!r}")


def _refuse_bombs(text: str) -> None:
    """A few lines of aliases to aliases stand for gigabytes; deep nesting takes minutes to read."""
    if text.count("[") + text.count("{") > 200:  # the scanner's time grows with their square
        raise ValueError("more than 200 brackets")
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > 9:
            raise ValueError("aliases (*name) and deep nesting are not understood")


def load_yaml(file: Path) -> dict:
    """A mapping of settings from YAML, with `_` for `-` in the names; `RsscError` if it is none."""
    try:
        text = read_regular(file, MOST_SETTINGS).decode()
        _refuse_bombs(text)
        content = yaml.safe_load(text)
    except BadFile as error:
        raise DataError(f"cannot read {error}") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"cannot read {file}: {reason}") from error
    if not isinstance(content, dict):
        raise RsscError(f"{file} is not a mapping of settings, as `epochs: 30`")
    return {str(key).replace("-", "_"): value for key, value in content.items()}


def load_config(file: Path) -> dict:
    """Settings from a YAML file (a run's own `config.yaml` is one), to be completed by flags.

    Raises:
        RsscError: it cannot be read, is no mapping, or has a key that is no setting.
    """
    content = load_yaml(file)
    known = {field.name for field in fields(TrainConfig)}
    unknown = sorted(set(content) - known)
    if unknown:
        raise RsscError(f"{file}: there is no setting {unknown[0]!r}")
    return content


def save_config(config: TrainConfig, file: Path) -> None:
    """Writes the settings as YAML that `config` takes."""
    file.write_text(yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True))


# These may differ when a run goes on: they change neither batches nor weights.
FREE = {
    "target",
    "source",
    "weights",
    "workers",
    "cache",
    "checkpoint_every",
    "keep_checkpoints",
    "distribute",
}


def changed_setting(old: dict, new: TrainConfig) -> str | None:
    """The first setting in which a resumed run differs, as `name: old -> new`, or `None`."""
    for name, value in asdict(new).items():
        if name not in FREE and old.get(name) != value:
            return f"{_flag(name)} was {old.get(name)}, is {value}"
    return None


def resolve(config: TrainConfig, crop: int) -> TrainConfig:
    """Fills in what was left to the defaults of the regime and of the target.

    Args:
        config: the settings.
        crop: side of the crop from the target's images, in pixels.
    """
    source_round = get_strategy(config.strategy).source_round
    return replace(
        config,
        learning_rate=config.target_rate(),
        source_learning_rate=config.source_rate() if source_round else None,
        # One size for both rounds: the features of a backbone are tied to the scale it sees.
        image_size=config.image_size or crop,
    )


def with_source_settings(config: TrainConfig) -> TrainConfig:
    """The source round as a run of its own: the whole network, trained on the source set."""
    plain = plain_of(get_strategy(config.strategy)).name
    return replace(
        config,
        strategy=plain,
        target=config.source,
        source=None,
        head="finetune",
        epochs=config.source_epochs,
        learning_rate=config.source_rate(),
        seed=config.seed if config.source_seed is None else config.source_seed,
        source_seed=None,
    )
