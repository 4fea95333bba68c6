"""A run -> an export folder in TensorFlow Serving's layout."""

import os
import warnings
from pathlib import Path

from rssc_tf.evaluation.grad_cam import has_feature_map
from rssc_tf.exporting import saved_model
from rssc_tf.exporting.model_card import model_card
from rssc_tf.exporting.novelty import write_novelty
from rssc_tf.exporting.records import image_files, own_records
from rssc_tf.exporting.versions import VERSION, refuse_later_versions
from rssc_tf.exporting.warmup import BATCHES, write_warmup
from rssc_tf.literal_paths import is_pattern
from rssc_tf.runs import Run
from rssc_tf.write_errors import writing
from tfrecords_tools.common.atomic import new_folder
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.locks import writes_to
from tfrecords_tools.records.card import CARD_NAME

MARKS = (CARD_NAME, "labels.txt")  # what every export has: see `atomic.new_folder`


@writes_to("out")
def export(
    run: Run,
    out: str | Path,
    overwrite: bool = False,
    records: str | Path | None = None,
    *,
    views: int | None = None,
) -> None:
    """Writes `OUT/1/` (the SavedModel, in TensorFlow Serving's layout, with warm-up requests),
    `OUT/labels.txt`, `OUT/dataset.json`, `OUT/model_card.md` and `OUT/novelty.npz` (features of
    the training images, to tell what is unlike them).

    Where the run's records can no longer be read, which is a warning, the warm-up requests hold a
    drawn image, and there is no `novelty.npz`.

    Args:
        run: a finished run.
        out: export folder; appears when it is whole. Its name is the model's when it is served.
        overwrite: replace an existing one, if it has no other version.
        records: where the run's records are now, if they were moved.
        views: 8: the export answers with the mean probability of an image's turns and flips, in
            eight times the time; 1: of the image as it lies. Defaults to the run's `views`.

    Raises:
        SettingError: no such number of views.
        RsscError: `out` exists or cannot be written, `records` are not the run's, or it is not
            calibrated for these views.
    """
    out, views = Path(out), run.views if views is None else views
    run.calibration(views)
    refuse_later_versions(out)
    with new_folder(out, overwrite, MARKS) as folder:
        try:
            own = own_records(run, records)
            images = image_files(own, max(BATCHES))
            write_novelty(run, own, folder, views)
        except RsscError as error:
            if records:
                raise
            warnings.warn(f"exporting without the run's records: {error}", stacklevel=2)
            images = []
        with writing(out):
            saved_model.save(run, folder / VERSION, views)
            write_warmup(folder / VERSION, Path(os.path.abspath(out)).name, images)
        describe(run, folder, model_card(run, views, has_feature_map(run.model)))
    if is_pattern(Path(os.path.abspath(out))):
        warnings.warn(
            f"{out} has one of the letters * ? [ \\ in its path, which TensorFlow takes for a "
            "pattern: other programs, such as TensorFlow Serving, cannot load the export there",
            stacklevel=2,
        )


def describe(run: Run, folder: Path, card: str) -> None:
    """Writes what lies beside a model: its card (Markdown), `labels.txt` and `dataset.json`."""
    (folder / "model_card.md").write_text(card, encoding="utf-8")
    (folder / "labels.txt").write_text("\n".join(run.card.classes) + "\n", encoding="utf-8")
    (folder / CARD_NAME).write_text(run.card.to_json(), encoding="utf-8")
