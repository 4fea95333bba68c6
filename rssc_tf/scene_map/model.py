"""The model of an export folder, as a map needs it: windows in, probabilities and features out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rssc_tf.exporting.beside import check_beside
from rssc_tf.exporting.novelty import NOVELTY, Novelty, read_novelty
from rssc_tf.tasks import Task, task_of
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.imaging.rule import OLD, PLAIN, Rule
from tfrecords_tools.records.card import CARD_NAME, read_card


@dataclass(frozen=True)
class Export:
    """What an export folder says of its model, without loading it.

    Attributes:
        folder: the export folder.
        classes: class names, in label order.
        side: of the files of most training images, in pixels, before they were reduced.
        reduced: whether it is what they were reduced to, from a side that nobody noted.
        size: longer sides are reduced to this by the model.
        task: single-label or multi-label.
        rule: how its training images became 8-bit RGB.
        novelty: to tell what is unknown, or `None` where it is not wanted.
    """

    folder: Path
    classes: tuple[str, ...]
    side: int
    reduced: bool
    size: int
    task: Task
    rule: Rule
    novelty: Novelty | None

    def load(
        self, trust: bool = False, views: int | None = None
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Loads the model.

        Args:
            trust, views: see `load_saved_model`.

        Returns:
            A function of windows, uint8 `(n, h, w, 3)`, to float32 `(n, classes + 1)`: their
            probabilities, and 1 where a window is unknown, else 0. It raises `DataError` where the
            files beside the model are those of another.
        """
        import tensorflow as tf

        from rssc_tf.predict import load_saved_model, views_of

        gives = ("probabilities", "features") if self.novelty else ("probabilities",)
        model = load_saved_model(self.folder, trust, views, signature="serve_images", gives=gives)
        serve, checked = model.signatures["serve_images"], False

        def classify_some(windows: np.ndarray) -> np.ndarray:
            nonlocal checked
            answer = serve(images=tf.constant(windows))
            answer = {name: value.numpy() for name, value in answer.items()}
            if not checked:
                self._check(answer)
                checked = True
            unknown = np.zeros(len(windows), bool)
            if self.novelty:
                unknown = self.novelty.is_unknown(answer["features"])
            return np.column_stack([answer["probabilities"], unknown]).astype(np.float32)

        def classify(windows: np.ndarray) -> np.ndarray:
            calls = min(views_of(model), len(windows))  # all views of a batch are there at once
            return np.concatenate([classify_some(part) for part in np.array_split(windows, calls)])

        classify.model = model  # the signature holds its weights only while the model lives
        return classify

    def _check(self, answer: dict[str, np.ndarray]) -> None:
        """Refuses files beside the model that are those of another."""
        check_beside(self.folder, answer)
        if self.novelty:
            own, kept = answer["features"].shape[1], self.novelty.features.shape[1]
            if own != kept:
                raise DataError(
                    f"{self.folder / NOVELTY} is of another model ({kept} features, and this one "
                    f"gives {own}): copy that of its own export there"
                )


def read_export(folder: Path, unknown: bool = False) -> Export:
    """Reads what an export folder says of its model.

    Args:
        folder: export folder.
        unknown: whether its training features are needed.

    Raises:
        RsscError: no export folder, one of an older release, or one without training features.
    """
    folder = Path(folder)
    if not (folder / CARD_NAME).is_file():
        raise DataError(
            f"{folder} is no export folder (it has no {CARD_NAME}): make it with rssc-tf export"
        )
    card = read_card(folder)
    novelty = read_novelty(folder) if unknown else None
    # Before there was a rule, a map took percentiles of the scene whatever the records were.
    rule = PLAIN if card.rule == OLD else card.rule
    side, reduced = card.file_side or card.side, card.file_side is None
    return Export(folder, card.classes, side, reduced, card.size, task_of(card), rule, novelty)
