"""Temperature scaling, and the files of a run that hold what was fitted on validation.

What a classifier says of one view of an image has one temperature, of eight another, each its file.

By hand: scikit-learn's `CalibratedClassifierCV(method="temperature")` takes its own classifiers
and one class an image only, and its T may be anything from e^-10 to e^10.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar

from rssc_tf.tasks import task_of_labels
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.json_files import parse_json
from tfrecords_tools.common.regular_files import MOST_JSON, is_there, read_regular

CALIBRATION = "calibration.json"
_FILES = {1: CALIBRATION, 8: "calibration-8-views.json"}
BOUNDS = (0.05, 20.0)


@dataclass(frozen=True)
class Calibration:
    """What was fitted on the validation split of the run's own records.

    Attributes:
        temperature: the logits are divided by it.
        examples: number of validation examples.
        log_loss_before, log_loss_after: on them, in nats, without and with the temperature. The
            second may be the greater: of few examples, all of them right, a fit that is not sure
            of as much.
        thresholds: label to the probability from which it is given; `None` where none were tuned.
    """

    temperature: float
    examples: int
    log_loss_before: float
    log_loss_after: float
    thresholds: dict[str, float] | None = None


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The scalar T that minimises the log loss of `logits / T` on softened labels.

    Guo et al., "On Calibration of Modern Neural Networks", 2017, with the targets of Platt,
    "Probabilistic Outputs for Support Vector Machines", 1999: of m decisions (an image's class,
    each label of an image) what is so counts (m + 1) / (m + 2), the probability that as many right
    ones speak for, and what is not the rest. On the labels themselves the loss of a split where
    every example is right falls all the way to T = 0, by luck where it is small; many labels are
    hardly softened. The loss is convex in 1/T, so the minimum is the only one. T stays within
    0.05..20: where the logits say nothing it would be infinite.

    Args:
        logits: float `(n, classes)`, finite.
        labels: int `(n,)` class indices, or 0 and 1 `(n, classes)`.
    """
    task = task_of_labels(labels)
    softened = task.shares(labels, logits.shape[1], 1 / (np.size(labels) + 2))

    def loss(log_temperature: float) -> float:
        return task.log_loss(logits, softened, np.exp(log_temperature))

    found = minimize_scalar(loss, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-8})
    # The search stops short of its bounds; and where nothing beats 1, it stays 1.
    return float(min((1.0, np.exp(found.x), *BOUNDS), key=lambda t: loss(np.log(t))))


def calibrate(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fits the temperature on a validation split; arguments as for `fit_temperature`."""
    task, temperature = task_of_labels(labels), fit_temperature(logits, labels)
    losses = (task.log_loss(logits, labels, t) for t in (1.0, temperature))
    return Calibration(temperature, len(labels), *losses)


def write_calibration(calibration: Calibration, run: Path, views: int = 1) -> None:
    """Writes `run/calibration.json`, for eight views `run/calibration-8-views.json`."""
    content = {name: value for name, value in asdict(calibration).items() if value is not None}
    with new_file(run / _FILES[views]) as aside:
        aside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_calibration(run: Path, classes: tuple[str, ...], views: int = 1) -> Calibration | None:
    """Reads what `write_calibration` wrote, or `None` where there is none.

    Args:
        run: run folder.
        classes: of the run; thresholds must name exactly these.
        views: of an image that the calibration is for.

    Raises:
        DataError: the file is damaged.
    """
    path = Path(run) / _FILES[views]
    try:
        if not is_there(path):
            return None
        found = Calibration(**parse_json(read_regular(path, MOST_JSON)))
        if not BOUNDS[0] <= found.temperature <= BOUNDS[1]:
            raise ValueError(f"temperature is {found.temperature}")
        if found.thresholds is not None:
            if set(found.thresholds) != set(classes):
                raise ValueError("thresholds do not name the run's labels")
            if not all(0 <= value <= 1 for value in found.thresholds.values()):
                raise ValueError("a threshold is outside 0..1")
    except (ValueError, TypeError, AttributeError, OSError) as error:
        again = f"rssc-tf evaluate {run}" + ("" if views == 1 else f" `views={views}`")
        raise DataError(f"{path} is damaged ({error}): delete it, then run {again}") from error
    return found


def calibrated_views(run: Path, classes: tuple[str, ...]) -> int | None:
    """The first number of views that a run is calibrated for; arguments as of
    `read_calibration`."""
    return next((views for views in _FILES if read_calibration(run, classes, views)), None)
